//! Which tables, shards and groups this worker holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use satsuma_common::key::KeyEncoder;
use satsuma_common::row::{Layouts, RowDecoder, RowEncoder};
use satsuma_common::table::{Column, TableShape};
use satsuma_common::{
    Epoch, Generation, GroupId, Lsn, Oid, PgType, ShardId, TableId, TxnId, arrow_types,
};

use crate::error::{Result, StorageError};
use crate::index::TableIndex;
use crate::manifest::Loss;
use crate::shard::Shard;
use crate::wal::record::MetaChange;
use crate::wal::{Concern, Effect, Scope};

#[derive(Debug)]
pub struct Meta {
    /// The last change that is in here.
    pub lsn: Lsn,
    pub tables: BTreeMap<TableId, Arc<TableMeta>>,
    pub shards: BTreeMap<ShardId, Arc<Shard>>,
    /// Shards whose rows are written anew in others, with the shape that reads them. They go when
    /// that is committed, and are the table's again when it is not.
    pub retired: BTreeMap<ShardId, Arc<TableMeta>>,
    pub groups: BTreeMap<GroupId, (Generation, Epoch)>,
    /// Tables whose shape is not committed yet, and whose it is. No segment must be written by it,
    /// with values of columns that will not be, or without those of columns that stay.
    pub pending: BTreeMap<TableId, TxnId>,
    /// Groups whose rows are served elsewhere: their shards here are to be dropped.
    pub fenced: BTreeSet<GroupId>,
    /// Shards that have lost records to damage of the log, those whose creation is lost among
    /// them.
    pub losses: BTreeMap<ShardId, Loss>,
}

/// A table's present shape, and what reads and writes its rows.
#[derive(Clone, Debug)]
pub struct TableMeta {
    pub shape: Arc<TableShape>,
    pub layouts: Arc<Layouts>,
    pub(crate) encoder: RowEncoder,
    /// `None`: rows have hidden ids.
    pub(crate) key: Option<KeyEncoder>,
    pub(crate) key_positions: Vec<usize>,
    indexes: Vec<Arc<TableIndex>>,
    decoder: RowDecoder,
}

impl TableMeta {
    pub fn new(shape: TableShape, mut layouts: Layouts) -> Result<Self> {
        layouts.add(&shape);
        let shape = Arc::new(shape);
        let layouts = Arc::new(layouts);
        let key_positions = shape.key_positions();
        let types = key_positions.iter().map(|p| shape.columns[*p].ty.clone());
        let key = match shape.primary_key.is_empty() {
            true => None,
            false => Some(KeyEncoder::new(types)?),
        };
        let indexes = shape.indexes.iter().map(|index| TableIndex::new(index.clone(), &shape));
        let indexes = indexes.map(|index| index.map(Arc::new)).collect::<Result<_>>()?;
        Ok(Self {
            indexes,
            encoder: RowEncoder::new(&shape),
            decoder: RowDecoder::new(shape.clone(), layouts.clone()),
            key,
            key_positions,
            layouts,
            shape,
        })
    }

    /// Reads rows of this table, of whatever version.
    pub fn decoder(&self) -> &RowDecoder {
        &self.decoder
    }

    /// Whether rows and keys that were written under this shape can be read under `new`.
    fn reads_as(&self, new: &Self) -> bool {
        let key_types = |table: &Self| -> Vec<PgType> {
            table.key_positions.iter().map(|p| table.shape.columns[*p].ty.clone()).collect()
        };
        let same_form = |old: &Column| {
            let now = new.shape.column(old.id);
            now.is_none_or(|now| arrow_types::data_type(&now.ty) == arrow_types::data_type(&old.ty))
        };
        self.shape.primary_key == new.shape.primary_key
            && key_types(self)
                .iter()
                .map(PgType::without_modifier)
                .eq(key_types(new).iter().map(PgType::without_modifier))
            && self.shape.columns.iter().all(same_form)
    }

    /// Writes rows of the present shape.
    pub fn encoder(&self) -> &RowEncoder {
        &self.encoder
    }

    /// The primary key of a row; empty for tables without one.
    pub(crate) fn key_of(&self, row: &[u8]) -> Result<Vec<u8>> {
        let Some(key) = &self.key else { return Ok(Vec::new()) };
        let mut values = Vec::with_capacity(self.key_positions.len());
        for position in &self.key_positions {
            values.push(self.decoder.bytes(row, *position)?);
        }
        Ok(key.encode_physical(values)?)
    }

    /// The row under the present shape, whichever one it was written under.
    pub fn current(&self, row: &Bytes) -> Result<Bytes> {
        if self.layouts.split(row)?.0.version == self.shape.version {
            return Ok(row.clone());
        }
        let mut values = Vec::with_capacity(self.shape.columns.len());
        for position in 0..self.shape.columns.len() {
            values.push(self.decoder.bytes(row, position)?);
        }
        Ok(self.encoder.encode_physical(|position| values[position])?.into())
    }

    pub fn indexes(&self) -> &[Arc<TableIndex>] {
        &self.indexes
    }

    pub fn index(&self, id: Oid) -> Option<&Arc<TableIndex>> {
        self.indexes.iter().find(|index| index.shape.id == id)
    }

    /// Encodes the primary key; `None` for tables without one.
    pub fn key_encoder(&self) -> Option<&KeyEncoder> {
        self.key.as_ref()
    }
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            lsn: Lsn(0),
            tables: BTreeMap::new(),
            shards: BTreeMap::new(),
            retired: BTreeMap::new(),
            pending: BTreeMap::new(),
            groups: BTreeMap::new(),
            fenced: BTreeSet::new(),
            losses: BTreeMap::new(),
        }
    }
}

impl Meta {
    /// Whether the change would be accepted.
    pub fn check(&self, change: &MetaChange) -> Result<()> {
        match change {
            MetaChange::CreateShards { shape, shards } => {
                if let Some(group) = self.fenced_for(shards) {
                    return Err(StorageError::GroupMoved(group));
                }
                // It would be taken for the shard that is lost.
                shards.iter().try_for_each(|(shard, ..)| self.check_lost(*shard))?;
                TableMeta::new((**shape).clone(), Layouts::default()).map(|_| ())
            }
            MetaChange::AlterTable { shape, .. } => {
                let new = TableMeta::new((**shape).clone(), Layouts::default())?;
                match self.tables.get(&shape.table) {
                    Some(old) if !old.reads_as(&new) && self.has_rows(shape.table) => {
                        Err(StorageError::NeedsRewrite(shape.table))
                    }
                    _ => Ok(()),
                }
            }
            MetaChange::CopyShards { .. }
            | MetaChange::DropShards { .. }
            | MetaChange::SetGeneration { .. }
            | MetaChange::FenceGroup { .. } => Ok(()),
        }
    }

    /// What a change changes; `None`: nothing. A shard that is here is not made again: a record
    /// that does so would pass for the first one, where that is lost with rows that came before it.
    pub fn news(&self, mut change: MetaChange) -> Option<MetaChange> {
        match &mut change {
            MetaChange::CreateShards { shape, shards } => {
                shards.retain(|(shard, group, generation)| {
                    let known = self.groups.get(group).map(|known| known.0);
                    !self.shards.contains_key(shard) || known < Some(*generation)
                });
                let is_known = shards.is_empty() && !self.is_new(shape);
                (!is_known).then_some(change)
            }
            MetaChange::CopyShards { shards, .. } => {
                shards.retain(|(shard, _)| !self.shards.contains_key(shard));
                Some(change)
            }
            MetaChange::AlterTable { .. }
            | MetaChange::DropShards { .. }
            | MetaChange::SetGeneration { .. }
            | MetaChange::FenceGroup { .. } => Some(change),
        }
    }

    /// Whether a table that has shards here would be another one with this shape.
    fn is_new(&self, shape: &TableShape) -> bool {
        let known = self.tables.get(&shape.table);
        known.is_some_and(|known| {
            *known.shape != *shape && known.shape.version <= shape.version
                || known.layouts.get(shape.version).is_none()
        })
    }

    /// How many shards refuse because of damage, those whose creation is lost among them.
    pub fn damaged(&self) -> usize {
        let absent = self.losses.keys().filter(|id| !self.shards.contains_key(id));
        let refusing = self.shards.values().filter(|shard| shard.check().is_err());
        absent.count() + refusing.count()
    }

    /// The shards whose place in here, or whose reading, a change is about.
    pub fn scope_of(&self, change: &MetaChange) -> Scope {
        let here = |id: &ShardId| Some((*id, self.shards.get(id)?.group));
        let group = |group: GroupId| self.shards_of(group).into_iter().map(|s| (s.id, s.group));
        let of_table = |table: TableId| {
            let shards = self.shards.values().filter(move |shard| shard.table == table);
            shards.map(|shard| (shard.id, shard.group))
        };
        let shards: BTreeSet<(ShardId, GroupId)> = match change {
            MetaChange::CreateShards { shape, shards } => {
                let others = of_table(shape.table).filter(|_| self.is_new(shape));
                shards.iter().map(|(shard, group, _)| (*shard, *group)).chain(others).collect()
            }
            // It may bring the table another shape, too.
            MetaChange::CopyShards { shape, shards, .. } => {
                shards.iter().copied().chain(of_table(shape.table)).collect()
            }
            MetaChange::DropShards { shards } => shards.iter().filter_map(here).collect(),
            MetaChange::AlterTable { shape, .. } => of_table(shape.table).collect(),
            MetaChange::SetGeneration { group: of, .. }
            | MetaChange::FenceGroup { group: of, .. } => group(*of).collect(),
        };
        let concern = |(shard, group)| Concern { group, shard, effect: Effect::Meta };
        Scope::Shards(shards.into_iter().map(concern).collect())
    }

    /// A shard that is here. Of one that is lost the error tells where.
    pub fn shard(&self, id: ShardId) -> Result<&Arc<Shard>> {
        match self.shards.get(&id) {
            Some(shard) => Ok(shard),
            None => Err(self.check_lost(id).err().unwrap_or(StorageError::NoSuchShard(id))),
        }
    }

    /// An error unless the shard is here, or was before it was lost.
    pub fn check_known(&self, id: ShardId) -> Result<()> {
        match self.shards.contains_key(&id) || self.losses.contains_key(&id) {
            true => Ok(()),
            false => Err(StorageError::NoSuchShard(id)),
        }
    }

    /// An error for a shard that is not here because its creation is lost.
    fn check_lost(&self, id: ShardId) -> Result<()> {
        match self.losses.get(&id).filter(|_| !self.shards.contains_key(&id)) {
            Some(loss) => Err(loss.error()),
            None => Ok(()),
        }
    }

    /// Shards of a group whose creation is lost.
    pub fn lost_of(&self, group: GroupId) -> Vec<ShardId> {
        let lost = self
            .losses
            .iter()
            .filter(|(id, loss)| loss.group == group && !self.shards.contains_key(id));
        lost.map(|(id, _)| *id).collect()
    }

    /// An error when a shard of the group has lost more than rows.
    pub fn check_group(&self, group: GroupId) -> Result<()> {
        match self.losses.values().find(|loss| loss.group == group && !loss.only_rows) {
            Some(loss) => Err(loss.error()),
            None => Ok(()),
        }
    }

    /// A shard that is dropped, or of which a copy takes the place, has lost nothing.
    fn forget_losses(&mut self, lsn: Lsn, change: &MetaChange) {
        let (shards, is_drop): (Vec<ShardId>, bool) = match change {
            MetaChange::DropShards { shards } => (shards.clone(), true),
            MetaChange::CopyShards { shards, .. } => {
                (shards.iter().map(|(shard, _)| *shard).collect(), false)
            }
            MetaChange::CreateShards { .. }
            | MetaChange::AlterTable { .. }
            | MetaChange::SetGeneration { .. }
            | MetaChange::FenceGroup { .. } => return,
        };
        for shard in shards {
            let is_new = is_drop || !self.shards.contains_key(&shard);
            if is_new && self.losses.get(&shard).is_some_and(|loss| loss.last < lsn.0) {
                self.losses.remove(&shard);
            }
        }
    }

    fn has_rows(&self, table: TableId) -> bool {
        self.present(table).any(|shard| !shard.is_bare())
    }

    /// The shards of a table that are not retired.
    pub fn present(&self, table: TableId) -> impl Iterator<Item = &Arc<Shard>> {
        let shards = self.shards.values().filter(move |shard| shard.table == table);
        shards.filter(|shard| !self.retired.contains_key(&shard.id))
    }

    /// What reads the rows of a shard.
    pub fn table_of(&self, shard: &Shard) -> Option<&Arc<TableMeta>> {
        self.retired.get(&shard.id).or_else(|| self.tables.get(&shard.table))
    }

    /// What the shard's rows may be written to a segment by; `None` while it may be taken back,
    /// and for a shard that has been dropped: its table's shape may not read its rows.
    pub fn settled_table_of(&self, shard: &Shard) -> Option<&Arc<TableMeta>> {
        let is_pending = self.pending.contains_key(&shard.table);
        self.table_of(shard).filter(|_| self.is_here(shard) && !is_pending)
    }

    /// Whether the shard has not been dropped. Another one may have its number by then.
    pub fn is_here(&self, shard: &Shard) -> bool {
        self.shards.get(&shard.id).is_some_and(|here| here.created == shard.created)
    }

    /// The transaction's definitions are committed.
    pub fn settle(&mut self, txn: TxnId) {
        self.pending.retain(|_, by| *by != txn);
    }

    /// Shards of a newer shape take the place of those that are there.
    fn retire(&mut self, shape: &TableShape) {
        let Some(known) = self.tables.get(&shape.table).cloned() else { return };
        if known.shape.version >= shape.version {
            return;
        }
        let old: Vec<ShardId> = self.present(shape.table).map(|shard| shard.id).collect();
        self.retired.extend(old.into_iter().map(|shard| (shard, known.clone())));
        self.tables.remove(&shape.table);
    }

    /// Retired shards are the table's again, under a shape that reads them, once those that were
    /// to take their place are gone.
    fn reinstate(&mut self, shape: &TableShape) -> Result<()> {
        if self.present(shape.table).next().is_some() {
            return Ok(());
        }
        let new = TableMeta::new(shape.clone(), Layouts::default())?;
        let mut back: Option<Arc<TableMeta>> = None;
        self.retired.retain(|_, known| {
            let returns = known.shape.table == shape.table && known.reads_as(&new);
            if returns {
                back = Some(known.clone());
            }
            !returns
        });
        if let Some(known) = back {
            self.tables.insert(shape.table, known);
        }
        Ok(())
    }

    /// Makes a logged change. Repeating one changes nothing.
    pub fn apply(&mut self, lsn: Lsn, change: &MetaChange) -> Result<()> {
        if lsn <= self.lsn {
            return Ok(());
        }
        self.lsn = lsn;
        self.forget_losses(lsn, change);
        match change {
            // The group was fenced after the change had been checked.
            MetaChange::CreateShards { shards, .. } if self.fenced_for(shards).is_some() => {}
            MetaChange::CreateShards { shape, shards } => {
                if shards.iter().any(|(shard, ..)| !self.shards.contains_key(shard)) {
                    self.retire(shape);
                }
                self.set_shape(shape, false)?;
                for (shard, group, generation) in shards {
                    // It was here when this was logged, or its drop is lost, too.
                    if self.losses.get(shard).is_some_and(|loss| loss.created == 0) {
                        continue;
                    }
                    self.shards
                        .entry(*shard)
                        .or_insert_with(|| Arc::new(Shard::new(*shard, *group, shape.table, lsn)));
                    let known = self.groups.entry(*group).or_insert((*generation, Epoch(0)));
                    known.0 = known.0.max(*generation);
                }
            }
            MetaChange::AlterTable { shape, by } => {
                self.reinstate(shape)?;
                self.set_shape(shape, true)?;
                match by {
                    Some(txn) => self.pending.insert(shape.table, *txn),
                    None => self.pending.remove(&shape.table),
                };
            }
            MetaChange::DropShards { shards } => {
                for shard in shards {
                    self.shards.remove(shard);
                    self.retired.remove(shard);
                }
                self.forget_unused();
            }
            MetaChange::SetGeneration { group, held: Some(held), .. }
            | MetaChange::FenceGroup { group, held, .. }
                if !self.has_just(*group, held) => {}
            MetaChange::SetGeneration { group, generation, epoch, .. } => {
                let known = self.groups.entry(*group).or_insert((*generation, *epoch));
                // A message that was under way for long does not turn the clock back.
                if *generation >= known.0 {
                    if *generation > known.0 {
                        self.fenced.remove(group);
                    }
                    *known = (*generation, *epoch);
                }
            }
            MetaChange::CopyShards { shape, layouts, shards } => {
                let known = self.tables.get(&shape.table);
                let mut all = known.map(|table| (*table.layouts).clone()).unwrap_or_default();
                all.merge(layouts);
                let newest = match known {
                    Some(table) if table.shape.version > shape.version => (*table.shape).clone(),
                    _ => (**shape).clone(),
                };
                self.tables.insert(shape.table, Arc::new(TableMeta::new(newest, all)?));
                for (shard, group) in shards {
                    self.shards
                        .entry(*shard)
                        .or_insert_with(|| Arc::new(Shard::new(*shard, *group, shape.table, lsn)));
                    // No request names this generation: nothing is read before it is complete.
                    self.groups.entry(*group).or_insert((Generation(0), Epoch(0)));
                }
            }
            MetaChange::FenceGroup { group, generation, .. } => {
                if let Some(known) = self.groups.get_mut(group)
                    && *generation > known.0
                {
                    known.0 = *generation;
                    self.fenced.insert(*group);
                }
            }
        }
        Ok(())
    }

    /// The shape of a table from now on. Unless it is `forced`, an older one than the present only
    /// adds the layout of its rows; a definition that was rolled back is forced.
    fn set_shape(&mut self, shape: &TableShape, forced: bool) -> Result<()> {
        let known = self.tables.get(&shape.table);
        let mut layouts = known.map(|table| (*table.layouts).clone()).unwrap_or_default();
        layouts.add(shape);
        let newest = match known {
            Some(table) if !forced && table.shape.version > shape.version => (*table.shape).clone(),
            _ => shape.clone(),
        };
        self.tables.insert(shape.table, Arc::new(TableMeta::new(newest, layouts)?));
        Ok(())
    }

    /// An error when one of the shards is in a group that is served elsewhere.
    pub fn check_fence(&self, shards: &[ShardId]) -> Result<()> {
        if self.fenced.is_empty() {
            return Ok(());
        }
        let groups = shards.iter().filter_map(|id| self.shards.get(id)).map(|shard| shard.group);
        match groups.into_iter().find(|group| self.fenced.contains(group)) {
            Some(group) => Err(StorageError::GroupMoved(group)),
            None => Ok(()),
        }
    }

    /// A group that is served elsewhere and would get a new shard.
    fn fenced_for(&self, shards: &[(ShardId, GroupId, Generation)]) -> Option<GroupId> {
        let new = shards.iter().filter(|(shard, ..)| !self.shards.contains_key(shard));
        new.map(|(_, group, _)| *group).find(|group| self.fenced.contains(group))
    }

    /// Whether these are the group's shards, in the order of ids.
    fn has_just(&self, group: GroupId, shards: &[ShardId]) -> bool {
        let here = self.shards.values().filter(|shard| shard.group == group);
        here.map(|shard| &shard.id).eq(shards)
    }

    /// The group's shards, in the order of ids.
    pub fn shards_of(&self, group: GroupId) -> Vec<Arc<Shard>> {
        self.shards.values().filter(|shard| shard.group == group).cloned().collect()
    }

    fn forget_unused(&mut self) {
        let shards = &self.shards;
        self.tables.retain(|table, _| shards.values().any(|shard| shard.table == *table));
        self.pending.retain(|table, _| self.tables.contains_key(table));
        let used: BTreeSet<_> = shards.values().map(|shard| shard.group).collect();
        self.groups.retain(|group, _| used.contains(group));
        self.fenced.retain(|group| used.contains(group));
    }
}
