//! CREATE VIEW. A view is its query's text and the search path it was made with; its columns and
//! their types are settled here.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use satsuma_common::{Oid, PgType, SqlError, SqlResult, SqlState};
use satsuma_sql::bind::{self, BindContext};
use satsuma_sql::bound::BoundQuery;
use satsuma_sql::functions::{FunctionEnv, Identity};
use satsuma_sql::parse;
use sqlparser::ast;

use super::{Ddl, names, stored_text};
use crate::catalog::{CatalogSnapshot, Command, RelationRef, State, View, split_name};
use crate::session::SessionSurroundings;
use crate::session_api::Notice;
use crate::system_relations::{SessionFunctions, SystemCatalog};

pub async fn create_view(ddl: &mut Ddl<'_>, create: &ast::CreateView) -> SqlResult<()> {
    refuse_unsupported(create)?;
    let (schema, name) = names::split(&create.name)?;
    let definition = text_to_keep(ddl, &create.query)?;
    let reads_temporary = reads_temporary(ddl, &create.query)?;
    let temporary = create.temporary || reads_temporary;
    if temporary && !create.temporary {
        let message = format!("view \"{name}\" will be a temporary view");
        ddl.notices.push(Notice::plain(message));
    }
    let schema_oid = ddl.schema_for(schema.as_deref(), temporary).await?;
    let state = ddl.state();
    let schema = state.schema(schema_oid).ok_or_else(|| SqlError::internal("a schema is gone"))?;
    let before = match schema.relation(&name) {
        None => None,
        Some(_) if !create.or_replace => {
            return Err(SqlError::new(
                SqlState::DUPLICATE_TABLE,
                format!("relation \"{name}\" already exists"),
            ));
        }
        Some(RelationRef::View(oid)) => {
            if let Some(view) = state.view(oid) {
                ddl.require_owner(view.owner, "view", &name)?;
            }
            state.view(oid)
        }
        Some(_) => {
            return Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("\"{name}\" is not a view"),
            ));
        }
    };
    let columns = columns(ddl, create, &definition)?;
    let mut depends_on = relations(ddl, &state, &create.query)?;
    depends_on.extend(sequences(&state, &ddl.snapshot.search_path, &create.query));
    columns.iter().for_each(|(_, ty)| depends_on.extend(user_type(ty)));
    let mut view = View {
        oid: Oid(0),
        name,
        schema: schema.oid,
        owner: ddl.snapshot.user,
        columns,
        definition,
        search_path: ddl.snapshot.search_path.clone(),
        depends_on: depends_on.into_iter().collect(),
    };
    let Some(before) = before else {
        view.oid = ddl.oid().await?;
        ddl.apply(Command::CreateView(view))?;
        return Ok(());
    };
    view.oid = before.oid;
    view.owner = before.owner;
    check_replacement(&before.columns, &view.columns)?;
    if reads(&state, &view.depends_on, view.oid) {
        return Err(SqlError::new(
            SqlState::INVALID_OBJECT_DEFINITION,
            format!("infinite recursion detected in rules for relation \"{}\"", view.name),
        ));
    }
    if view.columns.len() > before.columns.len() {
        refuse_wildcards_over(&state, view.oid, &view.name)?;
    }
    ddl.apply(Command::AlterView(view))?;
    Ok(())
}

/// The query's text as it is stored.
pub(super) fn text_to_keep(ddl: &mut Ddl<'_>, query: &ast::Query) -> SqlResult<String> {
    let mut query = query.clone();
    bind::expand_stars(&mut query, &ddl.source, &ddl.bind_context())?;
    bind::settle_query(&mut query, &ddl.bind_context());
    Ok(query.to_string())
}

fn refuse_unsupported(create: &ast::CreateView) -> SqlResult<()> {
    let refused = [
        (create.if_not_exists, "CREATE VIEW IF NOT EXISTS"),
        (!has_known_options(&create.options), "options of views"),
        (
            create.or_alter
                || create.secure
                || create.copy_grants
                || create.to.is_some()
                || create.with_no_schema_binding
                || create.comment.is_some()
                || create.params.is_some()
                || !create.cluster_by.is_empty(),
            "clauses of CREATE VIEW that PostgreSQL does not have",
        ),
    ];
    match refused.iter().find(|(is_used, _)| *is_used) {
        Some((_, what)) => Err(SqlError::unsupported(format!("{what} are not supported"))),
        None => Ok(()),
    }
}

/// Whether the options are `security_barrier` alone, which keeps functions of users from rows that
/// a view hides: there are none.
fn has_known_options(options: &ast::CreateTableOptions) -> bool {
    let options = match options {
        ast::CreateTableOptions::None => return true,
        ast::CreateTableOptions::With(options) | ast::CreateTableOptions::Options(options) => {
            options
        }
        _ => return false,
    };
    options.iter().all(|option| match option {
        ast::SqlOption::Ident(name) | ast::SqlOption::KeyValue { key: name, .. } => {
            names::fold(name) == "security_barrier"
        }
        _ => false,
    })
}

/// Names and types of the view's columns. Binds the text that is stored, not what it came from.
fn columns(
    ddl: &Ddl<'_>,
    create: &ast::CreateView,
    definition: &str,
) -> SqlResult<Vec<(String, PgType)>> {
    let parsed = parse::parse(definition)?;
    let [parsed] = parsed.as_slice() else {
        return Err(SqlError::internal("a view's query does not parse as one statement"));
    };
    let context =
        BindContext { catalog: &ddl.snapshot, env: &ddl.env, param_types: None, param_values: &[] };
    // Positions in the text that is stored are not those of the statement.
    let bound = bind::bind_stored_query(parsed, &context).map_err(|mut error| {
        error.fields_mut().position = None;
        error
    })?;
    let Some(query) = bound else {
        return Err(SqlError::unsupported("a view must be defined by a query that only reads"));
    };
    if create.columns.len() > query.columns.len() {
        return Err(SqlError::new(
            SqlState::SYNTAX_ERROR,
            "CREATE VIEW specifies more column names than columns",
        ));
    }
    let mut columns: Vec<(String, PgType)> = Vec::new();
    for (position, column) in query.columns.into_iter().enumerate() {
        let name = match create.columns.get(position) {
            Some(named) => names::fold(&named.name),
            None => column.name.clone(),
        };
        if columns.iter().any(|(known, _)| *known == name) {
            return Err(SqlError::new(
                SqlState::DUPLICATE_COLUMN,
                format!("column \"{name}\" specified more than once"),
            ));
        }
        if matches!(column.ty, PgType::Record | PgType::Void | PgType::Unknown) {
            return Err(SqlError::new(
                SqlState::INVALID_TABLE_DEFINITION,
                format!("column \"{name}\" has pseudo-type {}", column.ty),
            ));
        }
        columns.push((name, column.declared_type()));
    }
    Ok(columns)
}

/// Oids of the relations that a query names. A WITH query under a relation's name counts as that
/// relation: a dependency too many, never one too few.
pub(super) fn relations(
    ddl: &Ddl<'_>,
    state: &State,
    query: &ast::Query,
) -> SqlResult<BTreeSet<Oid>> {
    let mut found = BTreeSet::new();
    let visited = ast::visit_relations(query, |name| match names::split(name) {
        Ok((schema, relation)) => {
            let path = &ddl.snapshot.search_path;
            match state.relation_by_name(path, schema.as_deref(), &relation) {
                Some(known) => found.extend([known.oid()]),
                // It would be left behind, broken, when the shard's table goes or is split.
                None if ddl.snapshot.is_shard(schema.as_deref(), &relation) => {
                    return ControlFlow::Break(
                        SqlError::unsupported(format!("a view cannot read shard \"{relation}\""))
                            .hint("Read the table that the shard belongs to."),
                    );
                }
                None => {}
            }
            ControlFlow::Continue(())
        }
        Err(error) => ControlFlow::Break(error),
    });
    match visited {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(found),
    }
}

/// Oids of the sequences that a query draws from by name.
pub(super) fn sequences(state: &State, path: &[String], query: &ast::Query) -> Vec<Oid> {
    let mut found = Vec::new();
    stored_text::each_sequence(&mut query.clone(), |name| {
        found.extend(sequence_named(state, path, name).map(RelationRef::oid));
    });
    found
}

/// The sequence that a text names.
pub(super) fn sequence_named(state: &State, path: &[String], text: &str) -> Option<RelationRef> {
    let (schema, name) = split_name(text)?;
    let found = state.relation_by_name(path, schema.as_deref(), &name);
    found.filter(|found| matches!(found, RelationRef::Sequence(_)))
}

/// Whether the query reads a temporary relation.
pub(super) fn reads_temporary(ddl: &mut Ddl<'_>, query: &ast::Query) -> SqlResult<bool> {
    let state = ddl.state();
    let Some(own) = state.schema_by_name(&ddl.temporary_name) else { return Ok(false) };
    let read = relations(ddl, &state, query)?;
    let is_own = |oid: &Oid| {
        state
            .relation(*oid)
            .and_then(|relation| state.relation_name(relation))
            .is_some_and(|(schema, _)| schema.oid == own.oid)
    };
    Ok(read.iter().any(is_own))
}

pub(super) fn user_type(ty: &PgType) -> Option<Oid> {
    match ty {
        PgType::Enum(oid) => Some(*oid),
        PgType::Array(element) => user_type(element),
        _ => None,
    }
}

/// Whether what is read leads to `view`.
fn reads(state: &State, depends_on: &[Oid], view: Oid) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting = depends_on.to_vec();
    while let Some(oid) = waiting.pop() {
        if oid == view {
            return true;
        }
        if seen.insert(oid)
            && let Some(inner) = state.view(oid)
        {
            waiting.extend(&inner.depends_on);
        }
    }
    false
}

/// OR REPLACE keeps the columns there are and may add some after them.
fn check_replacement(before: &[(String, PgType)], after: &[(String, PgType)]) -> SqlResult<()> {
    let refuse = |message: String| SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message);
    if after.len() < before.len() {
        return Err(refuse("cannot drop columns from view".into()));
    }
    for ((old, old_type), (new, new_type)) in before.iter().zip(after) {
        if old != new {
            return Err(refuse(format!(
                "cannot change name of view column \"{old}\" to \"{new}\""
            ))
            .hint("Use ALTER VIEW ... RENAME COLUMN ... to change name of view column instead."));
        }
        if old_type != new_type {
            return Err(refuse(format!(
                "cannot change data type of view column \"{old}\" from {old_type} to {new_type}"
            )));
        }
    }
    Ok(())
}

/// A view with `*` would change its columns with those of what it reads: refused, as the view's
/// are settled when it is made.
pub(super) fn refuse_wildcards_over(state: &State, relation: Oid, name: &str) -> SqlResult<()> {
    let reader = state
        .stored_queries()
        .find(|view| view.depends_on.contains(&relation) && has_wildcard(&view.definition));
    match reader {
        None => Ok(()),
        Some(view) => Err(SqlError::unsupported(format!(
            "adding a column to \"{name}\" is not supported: view \"{}\" reads all its columns",
            view.name
        ))
        .hint("Define the view with a list of columns instead of \"*\".")),
    }
}

impl Ddl<'_> {
    /// Views that read the relation, or only those that use its column at this position.
    pub(super) async fn views_reading(
        &mut self,
        relation: Oid,
        column: Option<usize>,
    ) -> SqlResult<Vec<Oid>> {
        let state = self.state();
        let mut found = Vec::new();
        for view in state.stored_queries().filter(|view| view.depends_on.contains(&relation)) {
            let used = match column {
                None => true,
                Some(column) => self.columns_used(view)?.contains(&(relation, column)),
            };
            if used {
                found.push(view.oid);
            }
        }
        Ok(found)
    }

    /// Columns of tables that a view's rows depend on, as positions.
    fn columns_used(&self, view: &View) -> SqlResult<BTreeSet<(Oid, usize)>> {
        let query = self.bind_as_owner(view, bind::bind_stored_query)?;
        self.cluster.executor.columns_used(&query.plan)
    }

    /// The view's query, as its owner may run it.
    pub(super) fn bind_view(&self, view: &View) -> SqlResult<BoundQuery> {
        self.bind_as_owner(view, bind::bind_query)
    }

    fn bind_as_owner(
        &self,
        view: &View,
        bind: impl Fn(&parse::Parsed, &BindContext<'_>) -> SqlResult<Option<BoundQuery>>,
    ) -> SqlResult<BoundQuery> {
        let parsed = parse::parse(&view.definition)?;
        let [parsed] = parsed.as_slice() else {
            return Err(SqlError::internal("a view's query does not parse as one statement"));
        };
        let around = Arc::new(SessionSurroundings { role: view.owner, ..self.around.clone() });
        let snapshot = CatalogSnapshot {
            state: self.snapshot.state.clone(),
            search_path: view.search_path.clone(),
            user: view.owner,
            system: Arc::new(SystemCatalog::new(around.clone())),
            new_labels: self.snapshot.new_labels.clone(),
        };
        let settings = around.settings.clone();
        let mut env = FunctionEnv {
            search_path: Arc::new(view.search_path.clone()),
            catalog: Arc::new(snapshot.clone()),
            catalog_functions: Arc::new(SessionFunctions::new(snapshot.clone(), around, settings)),
            sequences: Arc::new(self.sequences.on(&snapshot)),
            ..self.env.clone()
        };
        if let Some(owner) = snapshot.state.role(view.owner) {
            let user = owner.name.clone();
            env.identity = Arc::new(Identity { user, ..env.identity.as_ref().clone() });
        }
        let context =
            BindContext { catalog: &snapshot, env: &env, param_types: None, param_values: &[] };
        bind(parsed, &context)?.ok_or_else(|| SqlError::internal("a view's query is no query"))
    }

    /// The view and every view that reads it, those last made first.
    pub(super) fn view_tree(&mut self, view: Oid) -> Vec<Oid> {
        let state = self.state();
        let (mut tree, mut at) = (vec![view], 0);
        while let Some(oid) = tree.get(at).copied() {
            at += 1;
            let readers = state.stored_queries();
            for reader in readers.filter(|reader| reader.depends_on.contains(&oid)) {
                tree.retain(|known| *known != reader.oid);
                tree.push(reader.oid);
            }
            at = at.min(tree.len());
        }
        tree.reverse();
        tree
    }

    /// Drops a view with those that read it.
    pub(super) async fn drop_view_tree(&mut self, view: Oid) -> SqlResult<()> {
        for oid in self.view_tree(view) {
            let state = self.state();
            match state.relation(oid) {
                Some(RelationRef::View(_)) => {
                    self.apply(Command::DropView { oid })?;
                }
                Some(RelationRef::Table(id)) => {
                    let Some(table) = state.table_arc(id) else { continue };
                    self.lock_table(&table).await?;
                    self.drop_shards(&table);
                    self.apply(Command::DropTable { table: id })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Views follow the change of a name that `change` makes, after `rename` in their texts: they
    /// must mean the same afterwards.
    pub(super) fn with_views_renamed(
        &mut self,
        readers: &[Oid],
        rename: impl Fn(&State, &View, &mut ast::Query) -> SqlResult<()>,
        change: impl FnOnce(&mut Self) -> SqlResult<()>,
    ) -> SqlResult<()> {
        let state = self.state();
        let mut renamed = Vec::new();
        for view in readers.iter().filter_map(|oid| state.view(*oid)) {
            let used = self.columns_used(view)?;
            let parsed = parse::parse(&view.definition)?;
            let Some(parse::Statement::Sql(statement)) =
                parsed.into_iter().next().map(|parsed| parsed.statement)
            else {
                return Err(SqlError::internal("a view's query does not parse"));
            };
            let ast::Statement::Query(mut query) = *statement else {
                return Err(SqlError::internal("a view's query is no query"));
            };
            rename(&state, view, &mut query)?;
            renamed.push((View { definition: query.to_string(), ..view.clone() }, used));
        }
        change(self)?;
        for (view, before) in renamed {
            let refused = || {
                SqlError::unsupported(format!(
                    "this name cannot be changed while view \"{}\" uses it in this way",
                    view.name
                ))
                .hint("Drop the view first, and create it again afterwards.")
            };
            let bound =
                self.bind_as_owner(&view, bind::bind_stored_query).map_err(|_| refused())?;
            let types = bound.columns.iter().map(|column| &column.ty);
            let same = types.eq(view.columns.iter().map(|(_, ty)| ty))
                && self.cluster.executor.columns_used(&bound.plan)? == before;
            if !same {
                return Err(refused());
            }
            self.apply(Command::AlterView(view))?;
        }
        Ok(())
    }
}

/// A column's new name in a query over the relation.
pub(super) fn rename_column_in(
    state: &State,
    view: &View,
    query: &mut ast::Query,
    relation: Oid,
    (from, to): (&str, &str),
) {
    let mut rename = RenameColumn {
        is_relation: &|name| resolves(state, view, name, relation),
        qualifiers: BTreeSet::new(),
        from,
        to,
    };
    // Twice: names of relations may come after the columns that they qualify.
    let _ = ast::VisitMut::visit(query, &mut Qualifiers(&mut rename));
    let _ = ast::VisitMut::visit(query, &mut rename);
}

fn resolves(state: &State, view: &View, name: &ast::ObjectName, relation: Oid) -> bool {
    names::split(name).is_ok_and(|(schema, name)| {
        let found = state.relation_by_name(&view.search_path, schema.as_deref(), &name);
        found.is_some_and(|found| found.oid() == relation)
    })
}

struct RenameColumn<'a> {
    is_relation: &'a dyn Fn(&ast::ObjectName) -> bool,
    /// What stands for the relation before its columns.
    qualifiers: BTreeSet<String>,
    from: &'a str,
    to: &'a str,
}

struct Qualifiers<'a, 'b>(&'b mut RenameColumn<'a>);

impl ast::VisitorMut for Qualifiers<'_, '_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
        if let ast::TableFactor::Table { name, alias, .. } = factor
            && (self.0.is_relation)(name)
        {
            let qualifier = match alias {
                Some(alias) => Some(names::fold(&alias.name)),
                None => name.0.last().and_then(|part| part.as_ident()).map(names::fold),
            };
            self.0.qualifiers.extend(qualifier);
        }
        ControlFlow::Continue(())
    }
}

impl RenameColumn<'_> {
    /// The part of an expression that names the column.
    fn part<'e>(&self, expr: &'e mut ast::Expr) -> Option<&'e mut ast::Ident> {
        let part = match expr {
            ast::Expr::Identifier(ident) => Some(ident),
            ast::Expr::CompoundIdentifier(parts) => {
                let qualifier = parts.len().checked_sub(2).map(|at| names::fold(&parts[at]))?;
                self.qualifiers.contains(&qualifier).then(|| parts.last_mut()).flatten()
            }
            _ => None,
        };
        part.filter(|part| names::fold(part) == self.from)
    }
}

impl ast::VisitorMut for RenameColumn<'_> {
    type Break = ();

    /// An output column keeps its name.
    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let ast::SelectItem::UnnamedExpr(expr) = item
                && self.part(expr).is_some()
            {
                let alias = super::stored_text::ident(self.from);
                *item = ast::SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        let to = super::stored_text::ident(self.to);
        if let Some(part) = self.part(expr) {
            *part = to;
        }
        ControlFlow::Continue(())
    }
}

/// A relation's new name in a query; columns go on being qualified by the old one.
pub(super) fn rename_relation_in(
    state: &State,
    view: &View,
    query: &mut ast::Query,
    relation: Oid,
    (schema, name): (&str, &str),
) {
    struct Rename<'a> {
        is_relation: &'a dyn Fn(&ast::ObjectName) -> bool,
        to: ast::ObjectName,
    }
    impl ast::VisitorMut for Rename<'_> {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &mut ast::TableFactor) -> ControlFlow<()> {
            if let ast::TableFactor::Table { name, alias, .. } = factor
                && (self.is_relation)(name)
            {
                if alias.is_none()
                    && let Some(last) = name.0.last().and_then(|part| part.as_ident())
                {
                    *alias = Some(ast::TableAlias {
                        explicit: true,
                        name: last.clone(),
                        columns: Vec::new(),
                        at: None,
                    });
                }
                *name = self.to.clone();
            }
            ControlFlow::Continue(())
        }
    }
    let ident = super::stored_text::ident;
    let mut rename = Rename {
        is_relation: &|name| resolves(state, view, name, relation),
        to: ast::ObjectName::from(vec![ident(schema), ident(name)]),
    };
    let _ = ast::VisitMut::visit(query, &mut rename);
}

/// Whether a query selects `*`, `t.*` or `(t).*`, or counts the columns of a join to name them.
/// The fields of what a function gives stay.
fn has_wildcard(definition: &str) -> bool {
    struct Stars;
    impl ast::Visitor for Stars {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
            match factor {
                ast::TableFactor::NestedJoin { alias: Some(alias), .. }
                    if !alias.columns.is_empty() =>
                {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }

        fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<()> {
            let is_star = |item: &ast::SelectItem| match item {
                ast::SelectItem::UnnamedExpr(expr) => parse::all_fields(expr)
                    .map(stored_text::without_parentheses)
                    .is_some_and(|row| !matches!(row, ast::Expr::Function(_))),
                ast::SelectItem::Wildcard(_) | ast::SelectItem::QualifiedWildcard(..) => true,
                _ => false,
            };
            match select.projection.iter().any(is_star) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }
    match parse::parse(definition).as_deref() {
        Ok([parse::Parsed { statement: parse::Statement::Sql(statement), .. }]) => {
            ast::Visit::visit(statement, &mut Stars).is_break()
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_may_only_add_columns() {
        let column = |name: &str, ty: PgType| (name.to_owned(), ty);
        let before = [column("a", PgType::Int4), column("b", PgType::Text)];
        let message = |after: &[(String, PgType)]| {
            check_replacement(&before, after).map_err(|error| error.fields().message.clone())
        };
        let mut longer = before.to_vec();
        longer.push(column("c", PgType::Bool));
        assert_eq!(message(&longer), Ok(()));
        assert_eq!(message(&before[..1]).unwrap_err(), "cannot drop columns from view");
        let renamed = [column("x", PgType::Int4), column("b", PgType::Text)];
        assert_eq!(
            message(&renamed).unwrap_err(),
            "cannot change name of view column \"a\" to \"x\""
        );
        let retyped = [column("a", PgType::Int8), column("b", PgType::Text)];
        assert_eq!(
            message(&retyped).unwrap_err(),
            "cannot change data type of view column \"a\" from integer to bigint"
        );
    }

    #[test]
    fn a_star_that_names_columns_is_told_from_other_stars() {
        assert!(has_wildcard("SELECT * FROM t"));
        assert!(has_wildcard("SELECT 1, t.* FROM t"));
        assert!(has_wildcard("SELECT DISTINCT ON (a) * FROM t"));
        assert!(has_wildcard("SELECT a FROM (SELECT (t).* FROM t) AS s"));
        assert!(has_wildcard("SELECT j.x FROM (a JOIN b ON a.i = b.i) j (x, y)"));
        assert!(!has_wildcard("SELECT count(*), a * 2 FROM t"));
        assert!(!has_wildcard("SELECT (jsonb_each(j)).* FROM t"));
    }
}
