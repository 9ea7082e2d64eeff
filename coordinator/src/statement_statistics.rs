//! `citus_stat_statements`: which statements this coordinator ran, and how often.
//!
//! Statements that differ only in constants count as one. A text is looked at once; after that
//! counting is a lookup.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

/// Statements that are remembered; the one with the fewest calls makes room for a new one.
const MOST_STATEMENTS: usize = 5000;
/// Texts that are known to stand for one of them.
const MOST_TEXTS: usize = 20_000;
/// Longer texts are cut.
const MOST_BYTES: usize = 16_384;

/// A statement and who ran it.
#[derive(Debug)]
pub struct StatementEntry {
    pub query_id: i64,
    pub user: String,
    /// With `$1`, `$2`, ... for constants.
    pub query: String,
    calls: AtomicU64,
}

impl StatementEntry {
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub struct StatementStatistics {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By user and text.
    by_text: HashMap<String, HashMap<String, Arc<StatementEntry>>>,
    /// How many texts these are.
    texts: usize,
    entries: BTreeMap<(i64, String), Arc<StatementEntry>>,
}

impl StatementStatistics {
    pub fn record(&self, user: &str, text: &str) {
        let text = &text[..text.floor_char_boundary(MOST_BYTES)];
        let mut inner = self.inner.lock();
        if let Some(entry) = inner.by_text.get(user).and_then(|texts| texts.get(text)) {
            entry.calls.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let query = normalized(text);
        let mut hasher = DefaultHasher::new();
        query.hash(&mut hasher);
        let query_id = hasher.finish() as i64;
        let named = (query_id, user.to_owned());
        if !inner.entries.contains_key(&named) && inner.entries.len() >= MOST_STATEMENTS {
            inner.make_room();
        }
        let entry = inner
            .entries
            .entry(named)
            .or_insert_with(|| {
                let (user, calls) = (user.to_owned(), AtomicU64::new(0));
                Arc::new(StatementEntry { query_id, user, query, calls })
            })
            .clone();
        entry.calls.fetch_add(1, Ordering::Relaxed);
        if inner.texts >= MOST_TEXTS {
            inner.by_text.clear();
            inner.texts = 0;
        }
        inner.by_text.entry(user.to_owned()).or_default().insert(text.to_owned(), entry);
        inner.texts += 1;
    }

    pub fn entries(&self) -> Vec<Arc<StatementEntry>> {
        self.inner.lock().entries.values().cloned().collect()
    }

    /// `citus_stat_statements_reset()`.
    pub fn reset(&self) {
        *self.inner.lock() = Inner::default();
    }
}

impl Inner {
    fn make_room(&mut self) {
        let least = self.entries.iter().min_by_key(|(_, entry)| entry.calls());
        if let Some((query_id, user)) = least.map(|(key, _)| key.clone()) {
            if let Some(texts) = self.by_text.get_mut(&user) {
                let before = texts.len();
                texts.retain(|_, entry| entry.query_id != query_id);
                self.texts -= before - texts.len();
            }
            self.entries.remove(&(query_id, user));
        }
    }
}

/// The statement with its constants numbered. One that cannot be read stays as it is.
fn normalized(text: &str) -> String {
    let Ok(tokens) = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize() else {
        return text.trim().to_owned();
    };
    let mut out = String::with_capacity(text.len());
    let mut number = 0;
    for token in tokens {
        match token {
            Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_) => {
                number += 1;
                out.push_str(&format!("${number}"));
            }
            Token::Whitespace(_) => {
                if !out.ends_with(' ') {
                    out.push(' ');
                }
            }
            other => out.push_str(&other.to_string()),
        }
    }
    out.trim().trim_end_matches(';').trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_do_not_tell_statements_apart() {
        let statistics = StatementStatistics::default();
        statistics.record("me", "SELECT * FROM t WHERE a = 1 AND b = 'x'");
        statistics.record("me", "SELECT *  FROM t WHERE a = 22 AND b = 'yy';");
        statistics.record("you", "SELECT * FROM t WHERE a = 1 AND b = 'x'");
        let entries = statistics.entries();
        let mut shown: Vec<_> =
            entries.iter().map(|e| (e.user.as_str(), e.query.as_str(), e.calls())).collect();
        shown.sort_unstable();
        let query = "SELECT * FROM t WHERE a = $1 AND b = $2";
        assert_eq!(shown, [("me", query, 2), ("you", query, 1)]);
        statistics.reset();
        assert!(statistics.entries().is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let statistics = StatementStatistics::default();
        for number in 0..MOST_STATEMENTS + 10 {
            statistics.record("me", &format!("SELECT c{number} FROM t"));
        }
        assert_eq!(statistics.entries().len(), MOST_STATEMENTS);
    }
}
