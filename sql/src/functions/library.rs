//! The table of all functions and operators: a signature and a body each.
//!
//! Families (`strings`, `math`, `datetime`, ...) fill it once per process. A body is one of
//!
//! - a *rewrite*: arguments to an expression of DataFusion's own, where its semantics are exactly
//!   PostgreSQL's, so that the optimizer understands it;
//! - *columns*: Arrow arrays in, Arrow array out;
//! - a *row*: values in, value out, driven over batches.
//!
//! The last two become a [`super::udf::PgScalar`], whose name says which instance it is, so that a
//! worker finds the same body by name.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::{ColumnarValue, Volatility};
use satsuma_common::text::TextContext;
use satsuma_common::{Datum, PgType, SqlResult};

use super::Typed;
use super::env::{FunctionEnv, Settings};
use super::signature::Signature;

/// What a body knows of its call beside the values.
pub struct Call {
    pub arguments: Vec<PgType>,
    pub result: PgType,
    /// The session's settings, where the definition asks for them.
    pub settings: Settings,
    pub context: TextContext,
    pub rows: usize,
}

pub type RowBody = Box<dyn Fn(&[Datum], &Call) -> SqlResult<Datum> + Send + Sync>;
pub type ColumnsBody =
    Box<dyn Fn(&[ColumnarValue], &Call) -> SqlResult<ColumnarValue> + Send + Sync>;
/// Arguments are already of the parameter types, up to numeric's and varchar's modifiers.
pub type RewriteBody =
    Box<dyn Fn(Vec<Typed>, &PgType, &FunctionEnv) -> SqlResult<Typed> + Send + Sync>;

pub enum Body {
    Row(RowBody),
    Columns(ColumnsBody),
    Rewrite(RewriteBody),
}

pub struct Definition {
    pub signature: Signature,
    pub body: Body,
    pub volatility: Volatility,
    /// A NULL argument makes the result NULL without a call.
    pub strict: bool,
    /// Never NULL when no argument is.
    pub total: bool,
    /// The session's settings are handed in as a hidden last argument.
    pub uses_settings: bool,
    /// May raise an error on some values, other than overflow.
    pub fallible: bool,
}

impl super::signature::Candidate for Definition {
    fn signature(&self) -> &Signature {
        &self.signature
    }
}

impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.signature.key())
    }
}

/// All definitions, by name and by signature.
#[derive(Default)]
pub struct Library {
    by_name: BTreeMap<String, Vec<Arc<Definition>>>,
    by_key: BTreeMap<String, Arc<Definition>>,
}

impl Library {
    pub fn named(&self, name: &str) -> &[Arc<Definition>] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn by_key(&self, key: &str) -> Option<&Arc<Definition>> {
        self.by_key.get(key)
    }

    pub fn definitions(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.by_key.values()
    }

    fn insert(&mut self, definition: Definition) {
        let definition = Arc::new(definition);
        let key = definition.signature.key();
        let clash = self.by_key.insert(key, definition.clone());
        debug_assert!(clash.is_none(), "{definition:?} is defined twice");
        self.by_name.entry(definition.signature.name.clone()).or_default().push(definition);
    }
}

/// How families add to the library. Strict and immutable unless said otherwise.
pub struct Builder {
    library: Library,
    volatility: Volatility,
    uses_settings: bool,
    strict: bool,
    fallible: bool,
}

impl Builder {
    fn new() -> Self {
        Self {
            library: Library::default(),
            volatility: Volatility::Immutable,
            uses_settings: false,
            strict: true,
            fallible: true,
        }
    }

    /// What `add` adds sees NULL arguments.
    pub fn called_on_null(&mut self, add: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.strict, false);
        add(self);
        self.strict = before;
    }

    /// What `add` adds depends on the session's settings.
    pub fn with_settings(&mut self, add: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.uses_settings, true);
        add(self);
        self.uses_settings = before;
    }

    /// What `add` adds never raises an error, overflow apart.
    pub fn infallible(&mut self, add: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.fallible, false);
        add(self);
        self.fallible = before;
    }

    pub fn volatile(&mut self, add: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.volatility, Volatility::Volatile);
        add(self);
        self.volatility = before;
    }

    fn add(&mut self, signature: &str, body: Body) {
        let parsed = Signature::parse(signature);
        debug_assert!(parsed.is_some(), "not a signature: {signature}");
        let Some(signature) = parsed else { return };
        self.library.insert(Definition {
            signature,
            body,
            volatility: self.volatility,
            strict: self.strict,
            total: false,
            uses_settings: self.uses_settings,
            fallible: self.fallible,
        });
    }

    pub fn row(
        &mut self,
        signature: &str,
        body: impl Fn(&[Datum], &Call) -> SqlResult<Datum> + Send + Sync + 'static,
    ) {
        self.add(signature, Body::Row(Box::new(body)));
    }

    pub fn columns(
        &mut self,
        signature: &str,
        body: impl Fn(&[ColumnarValue], &Call) -> SqlResult<ColumnarValue> + Send + Sync + 'static,
    ) {
        self.add(signature, Body::Columns(Box::new(body)));
    }

    pub fn rewrite(
        &mut self,
        signature: &str,
        body: impl Fn(Vec<Typed>, &PgType, &FunctionEnv) -> SqlResult<Typed> + Send + Sync + 'static,
    ) {
        self.add(signature, Body::Rewrite(Box::new(body)));
    }
}

static FUNCTIONS: LazyLock<Library> = LazyLock::new(|| {
    let mut builder = Builder::new();
    super::install(&mut builder);
    builder.library
});

static OPERATORS: LazyLock<Library> = LazyLock::new(|| {
    let mut builder = Builder::new();
    crate::operators::install(&mut builder);
    builder.library
});

pub fn functions() -> &'static Library {
    &FUNCTIONS
}

pub fn operators() -> &'static Library {
    &OPERATORS
}
