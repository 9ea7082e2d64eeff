//! `json` and `jsonb` as text.
//!
//! A jsonb value is held in PostgreSQL's output form: keys sorted by length, then bytes, the last
//! of duplicate keys kept, one space after `:` and `,`, numbers as `numeric` prints them, strings
//! with the fewest escapes. Two equal values therefore have equal text (up to the scale of their
//! numbers), and printing costs nothing. Access functions skip over what they do not need and
//! return slices of the text; no tree is built.
//!
//! | file | what |
//! |---|---|
//! | `jsonb/parse.rs` | validation and normalisation of input |
//! | `jsonb/scan.rs` | walking over valid text |
//! | `jsonb/walk.rs` | every key and scalar, with the way to it |
//! | `jsonb/access.rs` | `->`, `->>`, `#>`, `?`, elements, keys |
//! | `jsonb/contain.rs` | `@>`, order and equality |
//! | `jsonb/assign.rs` | assignment to a part |
//! | `jsonb/edit.rs` | `\|\|`, `-`, `#-`, set, insert, strip, pretty |

mod access;
mod assign;
mod contain;
mod edit;
mod parse;
mod scan;
mod walk;

pub use access::*;
pub use assign::assign;
pub use contain::{compare, contains};
pub use edit::*;
pub use parse::{JsonError, normalize, normalize_into, validate};
pub use scan::{Kind, kind, quote, quote_into, unquote};
pub use walk::{Met, Scalar, Step, walk};

use crate::hash::{hash_bytes, hash_numeric};
use crate::numeric::Numeric;
use scan::{Token, Tokens};

/// PostgreSQL's `jsonb_hash`.
pub fn hash(text: &str) -> i32 {
    const ARRAY: u32 = 0x4000_0000;
    const OBJECT: u32 = 0x2000_0000;
    if matches!(text, "[]" | "{}") {
        return 0;
    }
    // A scalar is stored as an array of one.
    let mut hash = if matches!(kind(text), Kind::Array | Kind::Object) { 0 } else { ARRAY };
    let scalar = |hash: &mut u32, value: u32| *hash = hash.rotate_left(1) ^ value;
    for token in Tokens::new(text) {
        match token {
            Token::BeginArray => hash ^= ARRAY,
            Token::BeginObject => hash ^= OBJECT,
            Token::End | Token::Comma | Token::Colon => {}
            Token::String(quoted) => {
                scalar(&mut hash, hash_bytes(unquote(quoted).as_bytes()));
            }
            Token::Number(digits) => {
                let value = Numeric::parse(digits).unwrap_or(Numeric::ZERO);
                scalar(&mut hash, hash_numeric(&value) as u32);
            }
            Token::Null => scalar(&mut hash, 1),
            Token::True => scalar(&mut hash, 2),
            Token::False => scalar(&mut hash, 4),
        }
    }
    hash as i32
}

#[cfg(test)]
mod tests;
