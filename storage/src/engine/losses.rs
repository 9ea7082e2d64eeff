//! Records that damage to the log has cost, and whose shards they were.
//!
//! Such a shard refuses, and goes on refusing after the log has been cut behind it: the store says
//! so, until it is dropped. The others do not suffer: a shard is spared where a record says that it
//! is about others, where it was made after the record, and where its segments have the record.

use std::collections::BTreeMap;

use satsuma_common::{GroupId, Lsn, ShardId};

use super::meta::Meta;
use super::store::Store;
use crate::error::Result;
use crate::kv::Batch;
use crate::manifest::{self, Loss};
use crate::wal::record::{MetaChange, Op, Section};
use crate::wal::{Concern, Effect, Lost, Scope};

/// What a recovery finds out about losses.
#[derive(Debug, Default)]
pub struct Losses {
    /// The store knows the worker's shards as of this record.
    stored: u64,
    /// What the store says.
    known: BTreeMap<ShardId, Loss>,
    /// Shards that were dropped, and by which record.
    dropped: BTreeMap<ShardId, u64>,
    /// Shards that records write to and that are not here, with the first such record.
    absent: BTreeMap<ShardId, (GroupId, u64)>,
    /// Shards whose segments have rows of records that are lost, with the last such record.
    spared: BTreeMap<ShardId, Lost>,
    /// Damage that may have been about any shard: any may have been created there.
    blind: Option<Lost>,
}

impl Losses {
    pub fn new(meta: &Meta) -> Self {
        Self { stored: meta.lsn.0, known: meta.losses.clone(), ..Self::default() }
    }

    pub fn note_change(&mut self, lsn: Lsn, change: &MetaChange) {
        if let MetaChange::DropShards { shards } = change {
            self.dropped.extend(shards.iter().map(|shard| (*shard, lsn.0)));
            self.absent.retain(|shard, _| !shards.contains(shard));
        }
    }

    pub fn note_sections(&mut self, meta: &Meta, lsn: Lsn, sections: &[Section]) {
        let absent = sections.iter().filter(|section| {
            lsn.0 > self.stored
                && !meta.shards.contains_key(&section.shard)
                && !self.dropped.contains_key(&section.shard)
        });
        for section in absent {
            self.absent.entry(section.shard).or_insert((section.group, lsn.0));
        }
    }

    pub fn lose(&mut self, meta: &mut Meta, lost: Lost) {
        match &lost.scope {
            Scope::Shards(concerns) => {
                for concern in concerns {
                    self.lose_of(meta, *concern, &lost);
                }
            }
            Scope::Any => {
                let any = |(id, group)| Concern { group, shard: id, effect: Effect::Pending };
                let all: Vec<_> =
                    meta.shards.values().map(|shard| any((shard.id, shard.group))).collect();
                for concern in all {
                    self.lose_of(meta, concern, &lost);
                    if let Some(loss) = meta.losses.get_mut(&concern.shard) {
                        loss.only_rows = false;
                    }
                }
                if lost.last > self.stored {
                    self.blind = Some(lost);
                }
            }
        }
    }

    /// Whether a commit of a transaction that is still prepared, by the log, may be in the shard's
    /// segments.
    pub fn may_have_committed(&self, shard: ShardId) -> bool {
        self.spared.contains_key(&shard)
    }

    /// A transaction that is prepared from `from` on by the log, and whose commit may be among the
    /// records that a shard's segments have: its rows, committed once more, would stand above later
    /// ones. The shard refuses.
    pub fn refuse_prepared(&self, meta: &mut Meta, from: Lsn, sections: &[Section]) {
        for section in sections {
            let writes = section.ops.iter().any(|op| !matches!(op, Op::Attach(_)));
            let Some(lost) = self.spared.get(&section.shard) else { continue };
            let Some(shard) = meta.shards.get(&section.shard).cloned() else { continue };
            if writes && lost.last > from.0 {
                shard.set_lost(lost.error.clone());
                let (group, shard_id) = (section.group, section.shard);
                let concern = Concern { group, shard: shard_id, effect: Effect::Pending };
                mark(meta, concern, shard.created.0, lost);
            }
        }
    }

    fn lose_of(&mut self, meta: &mut Meta, concern: Concern, lost: &Lost) {
        let id = concern.shard;
        let created = match meta.shards.get(&id) {
            Some(shard) => {
                let is_spared = match concern.effect {
                    Effect::Rows => shard.contents().sealed >= lost.last,
                    Effect::Pending => false,
                    Effect::Meta => lost.last <= self.stored,
                };
                if shard.created.0 > lost.last {
                    return;
                }
                if is_spared {
                    if concern.effect == Effect::Rows {
                        let spared = self.spared.entry(id).or_insert_with(|| lost.clone());
                        if spared.last < lost.last {
                            *spared = lost.clone();
                        }
                    }
                    return;
                }
                // The first loss is the one that is told.
                let is_known = meta.losses.get(&id).map(|loss| loss.created);
                if is_known != Some(shard.created.0) {
                    shard.set_lost(lost.error.clone());
                }
                shard.created.0
            }
            None => {
                let is_gone = match (self.dropped.get(&id), concern.effect) {
                    (Some(dropped), Effect::Meta) => *dropped > lost.last,
                    (Some(_), Effect::Rows | Effect::Pending) => true,
                    (None, _) => false,
                };
                if is_gone || lost.last <= self.stored {
                    return;
                }
                0
            }
        };
        mark(meta, concern, created, lost);
    }

    /// After the last record: shards of which nothing is known but that they were written to, and
    /// what has to outlive the log.
    pub fn settle(&mut self, meta: &mut Meta, store: &Store) -> Result<()> {
        if let Some(lost) = self.blind.take() {
            for (shard, (group, written)) in std::mem::take(&mut self.absent) {
                let concern = Concern { group, shard, effect: Effect::Meta };
                match meta.shards.get(&shard).cloned() {
                    None => mark(meta, concern, 0, &lost),
                    // It was made before it was made, as far as the log can be read.
                    Some(found) if found.created.0 > written => {
                        found.set_lost(lost.error.clone());
                        mark(meta, concern, found.created.0, &lost);
                    }
                    Some(_) => {}
                }
            }
        }
        let shards = &meta.shards;
        meta.losses
            .retain(|id, loss| shards.get(id).map_or(0, |shard| shard.created.0) == loss.created);
        if meta.losses == self.known {
            return Ok(());
        }
        let mut batch = Batch::new();
        for id in self.known.keys().filter(|id| !meta.losses.contains_key(id)) {
            batch.push((manifest::shard_key(b'd', *id), None));
        }
        for (id, loss) in &meta.losses {
            manifest::put(&mut batch, manifest::shard_key(b'd', *id), loss)?;
        }
        store.kv.write(batch)?;
        store.kv.flush()
    }
}

fn mark(meta: &mut Meta, concern: Concern, created: u64, lost: &Lost) {
    let only_rows = concern.effect != Effect::Meta;
    match meta.losses.get_mut(&concern.shard) {
        Some(known) if known.created == created => {
            known.last = known.last.max(lost.last);
            known.only_rows &= only_rows;
        }
        _ => {
            let (created, last) = (Lsn(created), Lsn(lost.last));
            let loss = Loss::of_rows(concern.group, created, last, &lost.error);
            meta.losses.insert(concern.shard, Loss { only_rows, ..loss });
        }
    }
}
