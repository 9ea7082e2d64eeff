//! Lock strengths and which of them exclude each other.

/// PostgreSQL's row lock strengths, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RowLockMode {
    KeyShare = 0,
    Share = 1,
    NoKeyUpdate = 2,
    Update = 3,
}

impl RowLockMode {
    /// PostgreSQL's table 13.3.
    ///
    /// ```text
    ///                KEY SHARE  SHARE  NO KEY UPDATE  UPDATE
    /// KEY SHARE                                         x
    /// SHARE                                  x          x
    /// NO KEY UPDATE               x          x          x
    /// UPDATE             x        x          x          x
    /// ```
    pub fn conflicts(self, other: Self) -> bool {
        use RowLockMode::{KeyShare, NoKeyUpdate, Share, Update};
        match (self, other) {
            (Update, _) | (_, Update) => true,
            (KeyShare, _) | (_, KeyShare) | (Share, Share) => false,
            (Share | NoKeyUpdate, NoKeyUpdate) | (NoKeyUpdate, Share) => true,
        }
    }
}

/// PostgreSQL's table lock strengths, which a shard is locked with as a whole. They are not in a
/// line: SHARE and ROW EXCLUSIVE exclude each other, and one transaction may hold both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TableLockMode {
    AccessShare = 4,
    /// Whoever locks rows.
    RowShare = 5,
    /// Whoever writes.
    RowExclusive = 6,
    ShareUpdateExclusive = 7,
    Share = 8,
    ShareRowExclusive = 9,
    Exclusive = 10,
    /// TRUNCATE and changes of the table. Readers take no locks: they go on with their snapshots.
    AccessExclusive = 11,
}

impl TableLockMode {
    /// PostgreSQL's table 13.2, a bit for each mode that this one excludes.
    fn excluded(self) -> u8 {
        match self {
            Self::AccessShare => 0b1000_0000,
            Self::RowShare => 0b1100_0000,
            Self::RowExclusive => 0b1111_0000,
            Self::ShareUpdateExclusive => 0b1111_1000,
            Self::Share => 0b1110_1100,
            Self::ShareRowExclusive => 0b1111_1100,
            Self::Exclusive => 0b1111_1110,
            Self::AccessExclusive => 0b1111_1111,
        }
    }

    pub fn conflicts(self, other: Self) -> bool {
        self.excluded() & (1 << (other as u8 - 4)) != 0
    }
}

/// A strength on a row, or on a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockMode {
    Row(RowLockMode),
    Table(TableLockMode),
}

impl From<RowLockMode> for LockMode {
    fn from(mode: RowLockMode) -> Self {
        Self::Row(mode)
    }
}

impl From<TableLockMode> for LockMode {
    fn from(mode: TableLockMode) -> Self {
        Self::Table(mode)
    }
}

impl LockMode {
    const ALL: [Self; 12] = [
        Self::Row(RowLockMode::KeyShare),
        Self::Row(RowLockMode::Share),
        Self::Row(RowLockMode::NoKeyUpdate),
        Self::Row(RowLockMode::Update),
        Self::Table(TableLockMode::AccessShare),
        Self::Table(TableLockMode::RowShare),
        Self::Table(TableLockMode::RowExclusive),
        Self::Table(TableLockMode::ShareUpdateExclusive),
        Self::Table(TableLockMode::Share),
        Self::Table(TableLockMode::ShareRowExclusive),
        Self::Table(TableLockMode::Exclusive),
        Self::Table(TableLockMode::AccessExclusive),
    ];

    pub fn to_u8(self) -> u8 {
        match self {
            Self::Row(mode) => mode as u8,
            Self::Table(mode) => mode as u8,
        }
    }

    pub fn from_u8(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }

    pub fn conflicts(self, other: Self) -> bool {
        match (self, other) {
            (Self::Row(one), Self::Row(other)) => one.conflicts(other),
            (Self::Table(one), Self::Table(other)) => one.conflicts(other),
            (Self::Row(_), Self::Table(_)) | (Self::Table(_), Self::Row(_)) => false,
        }
    }

    /// Whether who holds this needs `other` no more: this one excludes at least as much.
    fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::Row(one), Self::Row(other)) => one >= other,
            (Self::Table(one), Self::Table(other)) => {
                one == other || one.excluded() & other.excluded() == other.excluded()
            }
            (Self::Row(_), Self::Table(_)) | (Self::Table(_), Self::Row(_)) => false,
        }
    }
}

/// The strengths that one transaction holds on one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LockModes(u16);

impl LockModes {
    pub fn add(&mut self, mode: LockMode) {
        self.0 |= 1 << mode.to_u8();
    }

    /// `false` when it was not there.
    pub fn remove(&mut self, mode: LockMode) -> bool {
        let bit = 1 << mode.to_u8();
        let was = self.0 & bit != 0;
        self.0 &= !bit;
        was
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = LockMode> {
        LockMode::ALL.into_iter().filter(move |mode| self.0 & (1 << mode.to_u8()) != 0)
    }

    pub fn conflict(self, wanted: LockMode) -> bool {
        self.iter().any(|held| held.conflicts(wanted))
    }

    pub fn cover(self, wanted: LockMode) -> bool {
        self.iter().any(|held| held.covers(wanted))
    }

    /// Without those that a stronger one makes needless.
    pub fn strongest(self) -> impl Iterator<Item = LockMode> {
        self.iter().filter(move |mode| {
            !self.iter().any(|other| other != *mode && other.covers(*mode))
        })
    }
}
