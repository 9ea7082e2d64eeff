//! Foreign keys, and when in a transaction they are checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{ColumnId, TableId};

/// A foreign key from `table (columns)` to `target (target_columns)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct ForeignKey {
    pub name: String,
    pub table: TableId,
    pub table_name: String,
    pub columns: Vec<ColumnId>,
    pub target: TableId,
    pub target_name: String,
    pub target_columns: Vec<ColumnId>,
    pub on_delete: ForeignKeyAction,
    pub on_update: ForeignKeyAction,
    /// Which columns SET NULL and SET DEFAULT set when the target's row is deleted; none stands
    /// for all.
    pub set_on_delete: Vec<ColumnId>,
    /// What SET DEFAULT sets, beside `columns`, in the row codec's form (`None` is NULL); empty
    /// where no action is SET DEFAULT.
    pub defaults: Vec<Option<Vec<u8>>>,
    /// MATCH FULL: either all columns are NULL or none.
    pub full: bool,
    pub timing: Timing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForeignKeyAction {
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

/// When a foreign key is checked: at the end of each statement, or of the transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    #[default]
    NotDeferrable,
    /// DEFERRABLE INITIALLY IMMEDIATE
    Immediate,
    /// DEFERRABLE INITIALLY DEFERRED
    Deferred,
}

impl Timing {
    pub fn is_deferrable(self) -> bool {
        self != Self::NotDeferrable
    }
}

/// A constraint by its table and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConstraintRef {
    pub table: TableId,
    pub name: String,
}

/// What SET CONSTRAINTS has said in a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConstraintModes {
    /// Whether all are deferred; `None`: as they were declared.
    pub all: Option<bool>,
    /// Those that were named after that.
    pub named: BTreeMap<ConstraintRef, bool>,
}

impl ConstraintModes {
    pub fn set_all(&mut self, deferred: bool) {
        self.all = Some(deferred);
        self.named.clear();
    }

    pub fn set(&mut self, constraint: ConstraintRef, deferred: bool) {
        self.named.insert(constraint, deferred);
    }

    /// Whether the key waits for the end of the transaction.
    pub fn is_deferred(&self, key: &ForeignKey) -> bool {
        match key.timing {
            Timing::NotDeferrable => false,
            timing => {
                let said = match self.named.is_empty() {
                    true => None,
                    false => self.named.get(&key.reference()).copied(),
                };
                said.or(self.all).unwrap_or(timing == Timing::Deferred)
            }
        }
    }
}

impl ForeignKey {
    pub fn sets_defaults(&self) -> bool {
        [self.on_delete, self.on_update].contains(&ForeignKeyAction::SetDefault)
    }

    /// Whether SET NULL or SET DEFAULT of a deletion, or of an update, sets the column.
    pub fn sets(&self, column: ColumnId, deletion: bool) -> bool {
        !deletion || self.set_on_delete.is_empty() || self.set_on_delete.contains(&column)
    }

    pub fn reference(&self) -> ConstraintRef {
        ConstraintRef { table: self.table, name: self.name.clone() }
    }
}

/// How a foreign key is stored. Keys that were stored before there was a timing, and before MATCH
/// FULL, read as such that are not deferrable, and not full: both are kept with the last action,
/// `action + 5 * timing + 15 * full`.
#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    table: TableId,
    table_name: String,
    columns: Vec<ColumnId>,
    target: TableId,
    target_name: String,
    target_columns: Vec<ColumnId>,
    on_delete: OnDelete,
    on_update_and_more: u8,
}

/// In the order of [`ForeignKeyAction`], and what came later.
#[derive(Serialize, Deserialize)]
enum OnDelete {
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
    SetNullOf(Vec<ColumnId>),
    SetDefaultOf(Vec<ColumnId>),
    /// An action, and the values that it or that of an update sets.
    WithDefaults(Box<OnDelete>, Vec<Option<Vec<u8>>>),
}

const ACTIONS: [ForeignKeyAction; 5] = [
    ForeignKeyAction::NoAction,
    ForeignKeyAction::Restrict,
    ForeignKeyAction::Cascade,
    ForeignKeyAction::SetNull,
    ForeignKeyAction::SetDefault,
];
const TIMINGS: [Timing; 3] = [Timing::NotDeferrable, Timing::Immediate, Timing::Deferred];

impl From<ForeignKey> for Stored {
    fn from(key: ForeignKey) -> Self {
        let on_update_and_more =
            key.on_update as u8 + 5 * key.timing as u8 + 15 * u8::from(key.full);
        let on_delete = match key.on_delete {
            ForeignKeyAction::NoAction => OnDelete::NoAction,
            ForeignKeyAction::Restrict => OnDelete::Restrict,
            ForeignKeyAction::Cascade => OnDelete::Cascade,
            ForeignKeyAction::SetNull if key.set_on_delete.is_empty() => OnDelete::SetNull,
            ForeignKeyAction::SetNull => OnDelete::SetNullOf(key.set_on_delete),
            ForeignKeyAction::SetDefault if key.set_on_delete.is_empty() => OnDelete::SetDefault,
            ForeignKeyAction::SetDefault => OnDelete::SetDefaultOf(key.set_on_delete),
        };
        let on_delete = match key.defaults.is_empty() {
            true => on_delete,
            false => OnDelete::WithDefaults(Box::new(on_delete), key.defaults),
        };
        let ForeignKey { name, table, table_name, columns, target, target_name, .. } = key;
        Self {
            name,
            table,
            table_name,
            columns,
            target,
            target_name,
            target_columns: key.target_columns,
            on_delete,
            on_update_and_more,
        }
    }
}

impl TryFrom<Stored> for ForeignKey {
    type Error = &'static str;

    fn try_from(key: Stored) -> Result<Self, Self::Error> {
        let more = usize::from(key.on_update_and_more);
        let (action, more) = (more % ACTIONS.len(), more / ACTIONS.len());
        let (timing, full) = (more % TIMINGS.len(), more / TIMINGS.len());
        if full > 1 {
            return Err("no such timing of a foreign key");
        }
        let (on_delete, defaults) = match key.on_delete {
            OnDelete::WithDefaults(on_delete, defaults) => (*on_delete, defaults),
            on_delete => (on_delete, Vec::new()),
        };
        let (on_delete, set_on_delete) = match on_delete {
            OnDelete::WithDefaults(..) => return Err("a foreign key with defaults twice"),
            OnDelete::NoAction => (ForeignKeyAction::NoAction, Vec::new()),
            OnDelete::Restrict => (ForeignKeyAction::Restrict, Vec::new()),
            OnDelete::Cascade => (ForeignKeyAction::Cascade, Vec::new()),
            OnDelete::SetNull => (ForeignKeyAction::SetNull, Vec::new()),
            OnDelete::SetNullOf(columns) => (ForeignKeyAction::SetNull, columns),
            OnDelete::SetDefault => (ForeignKeyAction::SetDefault, Vec::new()),
            OnDelete::SetDefaultOf(columns) => (ForeignKeyAction::SetDefault, columns),
        };
        let Stored { name, table, table_name, columns, target, target_name, .. } = key;
        Ok(Self {
            name,
            table,
            table_name,
            columns,
            target,
            target_name,
            target_columns: key.target_columns,
            on_delete,
            on_update: ACTIONS[action],
            set_on_delete,
            defaults,
            full: full == 1,
            timing: TIMINGS[timing],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(timing: Timing) -> ForeignKey {
        ForeignKey {
            name: "c_p_fkey".into(),
            table: TableId(7),
            table_name: "c".into(),
            columns: vec![ColumnId(2)],
            target: TableId(6),
            target_name: "p".into(),
            target_columns: vec![ColumnId(1)],
            on_delete: ForeignKeyAction::Cascade,
            on_update: ForeignKeyAction::SetNull,
            set_on_delete: Vec::new(),
            defaults: Vec::new(),
            full: false,
            timing,
        }
    }

    #[test]
    fn keys_of_before_read_as_not_deferrable() {
        let name = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        let stored = [name("c_p_fkey"), vec![7], name("c"), vec![1, 2], vec![6], name("p")];
        let before = [stored.concat(), vec![1, 1], vec![2, 3]].concat();
        assert_eq!(postcard::to_allocvec(&key(Timing::NotDeferrable)).unwrap(), before);
        let read: ForeignKey = postcard::from_bytes(&before).unwrap();
        assert_eq!(read, key(Timing::NotDeferrable));
    }

    #[test]
    fn all_there_is_to_a_key_is_stored() {
        let same = |key: ForeignKey| {
            let stored = postcard::to_allocvec(&key).unwrap();
            assert_eq!(postcard::from_bytes::<ForeignKey>(&stored).unwrap(), key);
        };
        for timing in TIMINGS {
            for action in ACTIONS {
                for full in [false, true] {
                    same(ForeignKey { on_update: action, full, ..key(timing) });
                    same(ForeignKey { on_delete: action, full, ..key(timing) });
                }
            }
        }
        let set_on_delete = vec![ColumnId(2)];
        let on_delete = ForeignKeyAction::SetNull;
        same(ForeignKey { on_delete, set_on_delete, ..key(Timing::Deferred) });
        let on_delete = ForeignKeyAction::SetDefault;
        let set_on_delete = vec![ColumnId(2)];
        let defaults = vec![Some(vec![1, 0, 0, 0])];
        same(ForeignKey { on_delete, set_on_delete, defaults, ..key(Timing::Deferred) });
        let on_update = ForeignKeyAction::SetDefault;
        same(ForeignKey { on_update, defaults: vec![None], ..key(Timing::Immediate) });
        let mut stored = postcard::to_allocvec(&key(Timing::Deferred)).unwrap();
        *stored.last_mut().unwrap() = 30;
        assert!(postcard::from_bytes::<ForeignKey>(&stored).is_err());
    }

    #[test]
    fn what_was_said_last_counts() {
        let (never, now, late) =
            (key(Timing::NotDeferrable), key(Timing::Immediate), key(Timing::Deferred));
        let deferred =
            |modes: &ConstraintModes| [&never, &now, &late].map(|key| modes.is_deferred(key));
        let mut modes = ConstraintModes::default();
        assert_eq!(deferred(&modes), [false, false, true]);
        modes.set_all(true);
        assert_eq!(deferred(&modes), [false, true, true]);
        modes.set(late.reference(), false);
        assert_eq!(deferred(&modes), [false, false, false]);
        modes.set(ConstraintRef { table: TableId(9), ..late.reference() }, true);
        assert_eq!(deferred(&modes), [false, false, false]);
        modes.set_all(true);
        assert_eq!(deferred(&modes), [false, true, true]);
    }
}
