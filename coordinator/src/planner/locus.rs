//! Where the rows of a plan node are.

use std::collections::BTreeSet;

use satsuma_common::{ColocationId, GroupId, PgType};

/// Shard groups of one co-location, all or some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupSet(pub BTreeSet<GroupId>);

impl GroupSet {
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    /// This set, or one group of `other` when it is empty. A plan that is known to give no rows
    /// still runs once, so that what stands above it (`count(*)`) runs once too.
    pub fn or_one_of(self, other: &Self) -> Self {
        if self.0.is_empty() { Self(other.0.first().copied().into_iter().collect()) } else { self }
    }

    /// The group, when there is exactly one.
    pub fn single(&self) -> Option<GroupId> {
        match self.0.len() {
            1 => self.0.first().copied(),
            _ => None,
        }
    }
}

/// Where the rows of a plan node are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locus {
    /// Computed from nothing stored: VALUES, SELECT without FROM. Right wherever it runs once.
    Anywhere,
    /// The same rows on every worker.
    Replicated,
    /// Spread over shard groups.
    Hashed(Hashed),
    /// Exists at the coordinator only: catalog relations, and everything above a remote leaf.
    Coordinator,
}

/// Rows spread over the groups of a co-location; each row in exactly one of `groups`, which are
/// never none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    pub colocation: ColocationId,
    /// Where rows can be; other groups hold none.
    pub groups: GroupSet,
    /// Positions in the node's output of columns whose value decides the group. Empty when
    /// none came through.
    pub columns: BTreeSet<usize>,
    /// What the values in `columns` are hashed as; see [`hash_class`]. NULL counts to the first
    /// group. `None` where rows are in one group whatever their values.
    pub key: Option<PgType>,
}

/// The type that stands for all whose equal values have equal hashes.
pub fn hash_class(ty: &PgType) -> PgType {
    match ty {
        PgType::Int2 | PgType::Int4 | PgType::Int8 => PgType::Int8,
        PgType::Text | PgType::Varchar(_) | PgType::Name => PgType::Text,
        other => other.without_modifier(),
    }
}

impl Hashed {
    /// All rows are in one group: any operator may run there.
    pub fn is_single(&self) -> bool {
        self.groups.single().is_some()
    }
}

impl Locus {
    /// The same locus with output positions mapped; `None` drops a column.
    pub fn map_columns(self, map: impl Fn(usize) -> Vec<usize>) -> Self {
        match self {
            Self::Hashed(hashed) => Self::Hashed(Hashed {
                columns: hashed.columns.iter().flat_map(|column| map(*column)).collect(),
                ..hashed
            }),
            other => other,
        }
    }

    /// Whether any operator over these rows alone is right where they are.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Anywhere | Self::Replicated => true,
            Self::Hashed(hashed) => hashed.is_single(),
            Self::Coordinator => false,
        }
    }
}
