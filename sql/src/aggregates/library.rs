//! The table of our own aggregates.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::GroupsAccumulator;
use satsuma_common::{Datum, PgType, SqlResult};

use crate::functions::signature::{Candidate, Signature};

/// The types of one use of an aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct Types {
    pub arguments: Vec<PgType>,
    pub result: PgType,
}

/// The state of one group, fed row by row.
pub trait Transition: Send + Sync + fmt::Debug {
    /// Rows with a NULL argument do not come here if the aggregate is strict.
    fn update(&mut self, args: &[Datum]) -> SqlResult<()>;
    /// Takes back a row that [`Self::update`] brought. `false`: that cannot be done, and the others
    /// have to be brought anew.
    fn retract(&mut self, _args: &[Datum]) -> SqlResult<bool> {
        Ok(false)
    }
    /// Which of `rows` sorted rows are enough, as ascending places: others are not brought by
    /// [`Self::update`] then. `args` are those of any one row. `None`: all of them.
    fn wants(&mut self, _args: &[Datum], _rows: usize) -> SqlResult<Option<Vec<usize>>> {
        Ok(None)
    }
    /// What another node needs to go on; of the types that the definition names.
    fn state(&self) -> SqlResult<Vec<Datum>>;
    /// A state of another node.
    fn merge(&mut self, state: &[Datum]) -> SqlResult<()>;
    /// The result so far; more rows may follow.
    fn finish(&self) -> SqlResult<Datum>;
    /// Bytes held beyond the object itself.
    fn heap_size(&self) -> usize {
        0
    }
}

type Make = Box<dyn Fn(&Types) -> Box<dyn Transition> + Send + Sync>;
pub type MakeGroups = fn(&Types) -> Option<Box<dyn GroupsAccumulator>>;

pub struct AggregateDefinition {
    pub signature: Signature,
    /// Rows with a NULL argument are passed over.
    pub strict: bool,
    /// The order of rows matters: an ORDER BY is obeyed.
    pub sorts: bool,
    pub within_group: bool,
    pub make: Make,
    pub state: fn(&Types) -> Vec<PgType>,
    /// The result's type with its modifier, from the arguments' types and the signature's result.
    pub result: fn(&[PgType], PgType) -> PgType,
    /// States of all groups in columns, where that is worth it.
    pub groups: Option<MakeGroups>,
}

impl fmt::Debug for AggregateDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.signature.key())
    }
}

impl Candidate for AggregateDefinition {
    fn signature(&self) -> &Signature {
        &self.signature
    }
}

#[derive(Default)]
pub struct Builder {
    by_name: BTreeMap<String, Vec<Arc<AggregateDefinition>>>,
    by_key: BTreeMap<String, Arc<AggregateDefinition>>,
}

impl Builder {
    pub fn add(&mut self, definition: AggregateDefinition) {
        let definition = Arc::new(definition);
        let clash = self.by_key.insert(definition.signature.key(), definition.clone());
        debug_assert!(clash.is_none(), "{definition:?} is defined twice");
        self.by_name.entry(definition.signature.name.clone()).or_default().push(definition);
    }

    /// A strict aggregate whose order of rows does not matter.
    pub fn simple(
        &mut self,
        signature: &str,
        state: fn(&Types) -> Vec<PgType>,
        make: impl Fn(&Types) -> Box<dyn Transition> + Send + Sync + 'static,
    ) {
        self.with(signature, state, make, |_| {});
    }

    /// As [`Self::simple`], then changed by `change`.
    pub fn with(
        &mut self,
        signature: &str,
        state: fn(&Types) -> Vec<PgType>,
        make: impl Fn(&Types) -> Box<dyn Transition> + Send + Sync + 'static,
        change: impl FnOnce(&mut AggregateDefinition),
    ) {
        let parsed = Signature::parse(signature);
        debug_assert!(parsed.is_some(), "not a signature: {signature}");
        let Some(signature) = parsed else { return };
        let mut definition = AggregateDefinition {
            signature,
            strict: true,
            sorts: false,
            within_group: false,
            make: Box::new(make),
            state,
            result: |_, result| result,
            groups: None,
        };
        change(&mut definition);
        self.add(definition);
    }
}

static LIBRARY: LazyLock<Builder> = LazyLock::new(|| {
    let mut builder = Builder::default();
    super::sums::install(&mut builder);
    super::wide_sums::install(&mut builder);
    super::collect::install(&mut builder);
    super::statistics::install(&mut builder);
    super::ordered::install(&mut builder);
    super::json::install(&mut builder);
    builder
});

pub fn named(name: &str) -> &'static [Arc<AggregateDefinition>] {
    LIBRARY.by_name.get(name).map_or(&[], Vec::as_slice)
}

pub fn exists(name: &str) -> bool {
    LIBRARY.by_name.contains_key(name)
}

pub fn by_key(key: &str) -> Option<Arc<AggregateDefinition>> {
    LIBRARY.by_key.get(key).cloned()
}
