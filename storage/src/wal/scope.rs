//! Which shards a record is about: what is left to say when the record itself cannot be read.
//!
//! ```text
//! scope   = 00 (any shard) | varint:count + 1, (varint:group * 4 + effect, varint:shard)*
//! tally   = varint:count, scope of each of so many frames before this one, the oldest first
//! ```

use std::collections::VecDeque;

use satsuma_common::row::{put_varint, take_varint};
use satsuma_common::{GroupId, ShardId};

use super::frame;

/// Longest scope; one that would be longer is [`Scope::Any`].
const MAX_BYTES: usize = 8 << 10;
/// A tally reaches back over so many bytes of frames: what one bad page of a disk takes, the frames
/// behind it up to the next tally, and the frame that asks for that. No frame counts for more than
/// [`SPACING`]: the heads are what is looked for.
const REACH: u64 = 3 * SPACING;
/// There is a tally at least every so many bytes.
const SPACING: u64 = 4 << 10;
/// Longest tally; where it would be longer it reaches back less far.
const MAX_TALLY: usize = 64 << 10;

/// Shards that would not be what they were without a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Not known, or too many.
    Any,
    Shards(Vec<Concern>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Concern {
    pub group: GroupId,
    pub shard: ShardId,
    pub effect: Effect,
}

/// When a record's effects come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// With the record: a shard that is sealed up to it does not need it any more.
    Rows,
    /// With a later record.
    Pending,
    /// On what the worker knows of the shard, not on its rows.
    Meta,
}

impl Scope {
    /// Of a record that leaves every shard as it is.
    pub fn none() -> Self {
        Self::Shards(Vec::new())
    }

    fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        if let Self::Shards(shards) = self {
            put_varint(out, shards.len() as u64 + 1);
            for Concern { group, shard, effect } in shards {
                let effect = match effect {
                    Effect::Rows => 0,
                    Effect::Pending => 1,
                    Effect::Meta => 2,
                };
                put_varint(out, group.0 << 2 | effect);
                put_varint(out, shard.0);
            }
            if out.len() - start <= MAX_BYTES {
                return;
            }
            out.truncate(start);
        }
        out.push(0);
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        let Some(count) = take_varint(rest).ok()?.checked_sub(1) else {
            return Some(Self::Any);
        };
        let mut shards = Vec::new();
        for _ in 0..count {
            let group = take_varint(rest).ok()?;
            let effect = match group & 3 {
                0 => Effect::Rows,
                1 => Effect::Pending,
                2 => Effect::Meta,
                _ => return None,
            };
            let shard = ShardId(take_varint(rest).ok()?);
            shards.push(Concern { group: GroupId(group >> 2), shard, effect });
        }
        Some(Self::Shards(shards))
    }
}

/// What stands between a frame's head and its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notes {
    pub scope: Scope,
    /// Scopes of the frames before this one, the oldest first.
    pub tally: Vec<Scope>,
}

impl Notes {
    /// Longest that there are: what is longer is damage.
    pub const MAX_BYTES: usize = MAX_TALLY + MAX_BYTES + 16;

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let rest = &mut rest;
        let scope = Scope::take(rest)?;
        let mut tally = Vec::new();
        for _ in 0..take_varint(rest).ok()? {
            tally.push(Scope::take(rest)?);
        }
        rest.is_empty().then_some(Self { scope, tally })
    }

    /// The scopes of the records `first` to `last`, by the notes of the frame `lsn`: of those that
    /// it tells of, and the first of them.
    pub fn tell(&self, lsn: u64, first: u64, last: u64) -> Option<(u64, Scope)> {
        let begins = lsn.saturating_sub(self.tally.len() as u64).max(1);
        let from = first.max(begins);
        if from > last || last >= lsn {
            return None;
        }
        let (skip, take) = ((from - begins) as usize, (last - from + 1) as usize);
        let scopes = self.tally.iter().skip(skip).take(take);
        Some((from, union(scopes)))
    }
}

/// All of them together.
pub fn union<'a>(scopes: impl Iterator<Item = &'a Scope>) -> Scope {
    let mut all = std::collections::BTreeSet::new();
    for scope in scopes {
        match scope {
            Scope::Any => return Scope::Any,
            Scope::Shards(shards) => all.extend(shards.iter().copied()),
        }
    }
    Scope::Shards(all.into_iter().collect())
}

/// Scopes of the last frames, as the next tally tells them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Bytes of each frame, and of its scope.
    frames: VecDeque<(u64, usize)>,
    scopes: VecDeque<u8>,
    bytes: u64,
    /// Bytes since the last tally.
    untold: u64,
}

impl Recent {
    /// The notes of the next frame, the first one of a write or not. The frame is among the recent
    /// ones then.
    pub fn next(&mut self, scope: &Scope, payload: usize, begins_write: bool) -> Vec<u8> {
        let mut notes = Vec::new();
        scope.put(&mut notes);
        let scope = notes.len();
        if begins_write || self.untold >= SPACING {
            put_varint(&mut notes, self.frames.len() as u64);
            notes.extend(&self.scopes);
            self.untold = 0;
        } else {
            notes.push(0);
        }
        self.push(&notes[..scope], frame::size(notes.len(), payload));
        notes
    }

    /// Of the frames that a tally tells of.
    pub fn told(tally: &[Scope]) -> Self {
        let mut recent = Self::default();
        tally.iter().for_each(|scope| recent.found(scope, frame::size(0, 0)));
        recent
    }

    /// A frame of so many bytes is there.
    pub fn found(&mut self, scope: &Scope, bytes: u64) {
        let mut encoded = Vec::new();
        scope.put(&mut encoded);
        self.push(&encoded, bytes);
    }

    fn push(&mut self, scope: &[u8], bytes: u64) {
        self.untold += bytes;
        let bytes = bytes.min(SPACING);
        self.bytes += bytes;
        self.frames.push_back((bytes, scope.len()));
        self.scopes.extend(scope);
        while let Some((first, len)) = self.frames.front().copied()
            && (self.bytes - first >= REACH || self.scopes.len() > MAX_TALLY)
        {
            self.bytes -= first;
            self.scopes.drain(..len);
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(shard: u64) -> Scope {
        let effect = [Effect::Rows, Effect::Pending, Effect::Meta][shard as usize % 3];
        Scope::Shards(vec![Concern { group: GroupId(shard / 3), shard: ShardId(shard), effect }])
    }

    #[test]
    fn a_tally_tells_the_scope_of_each_frame_before_it() {
        let mut recent = Recent::default();
        for lsn in 1..=300u64 {
            let tells = lsn.is_multiple_of(3);
            let notes = Notes::decode(&recent.next(&scope(lsn), 60, tells)).unwrap();
            assert_eq!(notes.scope, scope(lsn));
            if !tells {
                continue;
            }
            assert_eq!(notes.tell(lsn, lsn - 1, lsn - 1), Some((lsn - 1, scope(lsn - 1))));
            let two = union([scope(lsn - 2), scope(lsn - 1)].iter());
            assert_eq!(notes.tell(lsn, lsn - 2, lsn - 1), Some((lsn - 2, two)));
            assert_eq!(notes.tell(lsn, lsn, lsn), None);
        }
        recent.found(&Scope::Any, 100);
        let notes = Notes::decode(&recent.next(&Scope::none(), 60, true)).unwrap();
        assert_eq!(notes.tell(302, 300, 301), Some((300, Scope::Any)));
        assert_eq!(notes.tell(302, 300, 300), Some((300, scope(300))));
        // Of all that a bad page can take, and not of the whole log.
        let (first, _) = notes.tell(302, 1, 301).unwrap();
        assert!(first > 20 && recent.bytes >= REACH, "{first}");
    }

    #[test]
    fn a_tally_reaches_behind_a_long_frame() {
        let mut recent = Recent::default();
        for shard in 1..=3 {
            recent.next(&scope(shard), 100, false);
        }
        recent.next(&scope(4), 10 << 10, false);
        let notes = Notes::decode(&recent.next(&scope(5), 100, false)).unwrap();
        assert_eq!(notes.tell(5, 2, 2), Some((2, scope(2))));
        assert_eq!(
            notes.tell(5, 1, 4),
            Some((1, union((1..=4).map(scope).collect::<Vec<_>>().iter())))
        );
    }

    #[test]
    fn a_scope_that_is_too_long_is_any_shard_and_tallies_are_bounded() {
        let concern = |shard| Concern {
            group: GroupId(1 << 60),
            shard: ShardId(u64::MAX - shard),
            effect: Effect::Rows,
        };
        let mut recent = Recent::default();
        let many = Scope::Shards((0..1000).map(concern).collect());
        let notes = Notes::decode(&recent.next(&many, 1, true)).unwrap();
        assert_eq!(notes, Notes { scope: Scope::Any, tally: Vec::new() });
        let some = Scope::Shards((0..300).map(concern).collect());
        (0..1000).for_each(|_| recent.found(&some, 8));
        let notes = recent.next(&some, 1, true);
        assert!(notes.len() <= Notes::MAX_BYTES && notes.len() > MAX_TALLY - MAX_BYTES);
        assert_eq!(Notes::decode(&notes).unwrap().scope, some);
    }
}
