//! What the role may do with the relations that a statement names.
//!
//! Of a relation that may be used only by columns, each use of a column is looked at where the
//! column is named.

use satsuma_common::{ColumnId, Oid, SqlResult, TableId};

use super::binder::Binder;
use super::scope::{Entry, Scope, ScopeColumn};
use crate::catalog_view::{Access, Allowed, TableInfo};
use crate::functions::Typed;

impl Binder<'_> {
    fn allowed(&self, relation: Oid, access: Access) -> Allowed {
        match self.checks_access {
            true => self.catalog.allowed(relation, access, self.view),
            false => Allowed::All,
        }
    }

    /// 42501 unless the statement may use the whole table like this.
    pub fn check_access(&self, table: &TableInfo, access: Access) -> SqlResult<()> {
        let relation = Oid(table.shape.table.0);
        match self.allowed(relation, access) {
            Allowed::All => Ok(()),
            Allowed::Columns(_) => Err(self.catalog.permission_denied(relation)),
        }
    }

    /// The same of these columns; where there are none, of any.
    pub fn check_columns(
        &self,
        table: &TableInfo,
        access: Access,
        mut indexes: impl Iterator<Item = usize>,
    ) -> SqlResult<()> {
        let relation = Oid(table.shape.table.0);
        let Allowed::Columns(allowed) = self.allowed(relation, access) else { return Ok(()) };
        let is_allowed = |index: usize| {
            table.shape.columns.get(index).is_some_and(|column| allowed.contains(&column.id))
        };
        match !allowed.is_empty() && indexes.all(is_allowed) {
            true => Ok(()),
            false => Err(self.catalog.permission_denied(relation)),
        }
    }

    /// The same of a system relation.
    pub fn check_system(&self, name: &str) -> SqlResult<()> {
        match self.checks_access {
            true => self.catalog.check_system(name, self.view),
            false => Ok(()),
        }
    }

    /// A relation is read: which of its columns, is seen as they are named.
    pub fn check_read(&self, relation: Oid) -> SqlResult<()> {
        if let Allowed::Columns(allowed) = self.allowed(relation, Access::Select) {
            if allowed.is_empty() {
                return Err(self.catalog.permission_denied(relation));
            }
            self.read_in_part.borrow_mut().insert(TableId(relation.0), allowed);
        }
        Ok(())
    }

    /// A table is changed, and read as far as the statement names columns of it.
    pub fn note_changed(&self, table: &TableInfo) {
        let id = table.shape.table;
        if let Allowed::Columns(allowed) = self.allowed(Oid(id.0), Access::Select) {
            self.read_in_part.borrow_mut().insert(id, allowed);
        }
    }

    /// 42501 if the column is of a table of which it may not be read.
    pub fn check_column(&self, column: &ScopeColumn) -> SqlResult<()> {
        match column.origin {
            Some((table, id)) => self.check_part(table, Some(id)),
            None => Ok(()),
        }
    }

    /// The same of a column that every table has.
    pub fn check_system_column(&self, entry: &Entry) -> SqlResult<()> {
        match &entry.table {
            Some(table) => self.check_part(table.shape.table, None),
            None => Ok(()),
        }
    }

    fn check_part(&self, table: TableId, column: Option<ColumnId>) -> SqlResult<()> {
        match self.read_in_part.borrow().get(&table) {
            Some(allowed) if !column.is_some_and(|column| allowed.contains(&column)) => {
                Err(self.catalog.permission_denied(Oid(table.0)))
            }
            _ => Ok(()),
        }
    }

    /// The plan expression of a found column, which must be allowed to be read.
    pub fn reference(
        &self,
        scope: &Scope<'_>,
        column: &ScopeColumn,
        level: usize,
        position: u32,
    ) -> SqlResult<Typed> {
        self.check_column(column)?;
        Ok(scope.reference(column, level, position))
    }
}
