//! A SCRAM-SHA-256 verifier: what a server stores instead of a password (RFC 5803's form as
//! PostgreSQL writes it in `pg_authid.rolpassword`).

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, ScramSecret, gen_salted_password};
use satsuma_common::{SqlError, SqlState};

const PREFIX: &str = "SCRAM-SHA-256$";
const SALT_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
/// A stored verifier with more would let one login burn seconds of CPU.
const MOST_ITERATIONS: usize = 1_000_000;

#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: usize,
    salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl Verifier {
    pub fn from_password(password: &str) -> Self {
        let salt: [u8; SALT_BYTES] = rand::random();
        Self::derive(password, salt.to_vec(), SCRAM_ITERATIONS)
    }

    /// A verifier that stays the same for a user and that nobody knows a password for.
    pub fn unknown(user: &str, secret: &[u8]) -> Self {
        let mut salt = gen_salted_password(user, secret, 1);
        salt.truncate(SALT_BYTES);
        let key: [u8; KEY_BYTES] = rand::random();
        Self {
            iterations: SCRAM_ITERATIONS,
            salt,
            stored_key: key.to_vec(),
            server_key: key.to_vec(),
        }
    }

    fn derive(password: &str, salt: Vec<u8>, iterations: usize) -> Self {
        let salted = gen_salted_password(password, &salt, iterations);
        match ScramSecret::verifier_from_salted_password(salt, salted, iterations) {
            ScramSecret::Verifier { salt, iterations, stored_key, server_key } => {
                Self { iterations, salt, stored_key, server_key }
            }
            ScramSecret::SaltedPassword { salt, .. } => {
                Self { iterations, salt, stored_key: Vec::new(), server_key: Vec::new() }
            }
        }
    }

    /// Whether this is the password. Compares hashes of secrets, so its timing tells nothing.
    pub fn matches(&self, password: &str) -> bool {
        self.stored_key.len() == KEY_BYTES
            && Self::derive(password, self.salt.clone(), self.iterations).stored_key
                == self.stored_key
    }

    pub fn secret(self) -> ScramSecret {
        ScramSecret::Verifier {
            salt: self.salt,
            iterations: self.iterations,
            stored_key: self.stored_key,
            server_key: self.server_key,
        }
    }
}

/// `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`, the last three in base64.
impl FromStr for Verifier {
    type Err = SqlError;

    fn from_str(stored: &str) -> Result<Self, SqlError> {
        parse(stored).ok_or_else(|| {
            SqlError::new(SqlState::DATA_CORRUPTED, "stored password is not a SCRAM verifier")
        })
    }
}

fn parse(stored: &str) -> Option<Verifier> {
    let (head, keys) = stored.strip_prefix(PREFIX)?.split_once('$')?;
    let (iterations, salt) = head.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    let verifier = Verifier {
        iterations: iterations.parse().ok()?,
        salt: STANDARD.decode(salt).ok()?,
        stored_key: STANDARD.decode(stored_key).ok()?,
        server_key: STANDARD.decode(server_key.trim_end()).ok()?,
    };
    let sound = (1..=MOST_ITERATIONS).contains(&verifier.iterations)
        && verifier.stored_key.len() == KEY_BYTES
        && verifier.server_key.len() == KEY_BYTES;
    sound.then_some(verifier)
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{PREFIX}{}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(&self.stored_key),
            STANDARD.encode(&self.server_key)
        )
    }
}

/// Key material stays out of logs.
impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The password `pencil` as PostgreSQL 15 stored it.
    const STORED: &str = concat!(
        "SCRAM-SHA-256$4096:wHfblWpW/Jf+4E4wPs2ZWQ==",
        "$rmEGn2d8Knj1dw9NVNVQN8kGIgFB0Aioyvq2/jI18x8=",
        ":iuFRJhyq1F5u8AllRnpLOxcb2VuKBafYybUExHqtIgc="
    );

    #[test]
    fn a_password_fits_its_own_verifier_alone() {
        let verifier = Verifier::from_password("tall tree");
        let stored: Verifier = verifier.to_string().parse().unwrap();
        assert_eq!(stored, verifier);
        assert!(stored.matches("tall tree"));
        assert!(!stored.matches("small tree"));
        assert!(!Verifier::unknown("eve", b"k").matches(""));
    }

    #[test]
    fn postgresql_form_is_read_and_rubbish_refused() {
        let verifier: Verifier = STORED.parse().unwrap();
        assert_eq!(verifier.to_string(), STORED);
        assert!(verifier.matches("pencil"));
        for bad in ["", "md5abc", "SCRAM-SHA-256$0:AA==$AA==:AA==", "SCRAM-SHA-256$4096:x"] {
            assert!(bad.parse::<Verifier>().is_err(), "{bad}");
        }
    }
}
