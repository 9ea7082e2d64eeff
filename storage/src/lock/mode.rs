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
    /// A shard lock of writers: compatible with itself.
    pub const SHARD_SHARED: Self = Self::KeyShare;
    /// A shard lock of TRUNCATE and schema changes: excludes all others.
    pub const SHARD_EXCLUSIVE: Self = Self::Update;

    pub fn from_u8(byte: u8) -> Option<Self> {
        [Self::KeyShare, Self::Share, Self::NoKeyUpdate, Self::Update].get(byte as usize).copied()
    }

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
