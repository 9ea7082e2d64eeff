//! Of the extension pgcrypto: digests, keyed or not, and random bytes.

use md5::{Digest, Md5};
use rand::RngCore as _;
use satsuma_common::{Datum, SqlError, SqlResult, SqlState};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::error::unexpected_value;
use super::library::Builder;
use super::strings::int;
use crate::casts::text::text;

/// Most random bytes of one call.
const MOST_RANDOM: i32 = 1024;

pub(crate) fn install(b: &mut Builder) {
    for ty in ["text", "bytea"] {
        b.row(&format!("digest({ty},text) bytea"), |args, _| {
            let name = text(&args[1])?;
            let algorithm = Algorithm::named(name)?;
            Ok(Datum::Bytea(algorithm.digest(&[bytes(&args[0])?])))
        });
        b.row(&format!("hmac({ty},{ty},text) bytea"), |args, _| {
            let algorithm = Algorithm::named(text(&args[2])?)?;
            Ok(Datum::Bytea(algorithm.hmac(bytes(&args[0])?, bytes(&args[1])?)))
        });
    }
    b.volatile(|b| {
        b.row("gen_random_bytes(int4) bytea", |args, _| {
            let length = int(&args[0])?;
            let range = || SqlError::new(SqlState(*b"39000"), "Length not in range");
            if !(1..=MOST_RANDOM).contains(&length) {
                return Err(range());
            }
            let mut random = vec![0; usize::try_from(length).map_err(|_| range())?];
            rand::rng().fill_bytes(&mut random);
            Ok(Datum::Bytea(random))
        });
    });
}

fn bytes(value: &Datum) -> SqlResult<&[u8]> {
    match value {
        Datum::Bytea(bytes) => Ok(bytes),
        Datum::Text(text) => Ok(text.as_bytes()),
        _ => Err(unexpected_value("text or bytea")),
    }
}

#[derive(Clone, Copy)]
enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    fn named(name: &str) -> SqlResult<Self> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "md5" => Self::Md5,
            "sha1" => Self::Sha1,
            "sha224" => Self::Sha224,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => {
                return Err(SqlError::new(
                    SqlState::INVALID_PARAMETER_VALUE,
                    format!("Cannot use \"{name}\": No such hash algorithm"),
                ));
            }
        })
    }

    fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        fn of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut digest = D::new();
            parts.iter().for_each(|part| digest.update(part));
            digest.finalize().to_vec()
        }
        match self {
            Self::Md5 => of::<Md5>(parts),
            Self::Sha1 => of::<Sha1>(parts),
            Self::Sha224 => of::<Sha224>(parts),
            Self::Sha256 => of::<Sha256>(parts),
            Self::Sha384 => of::<Sha384>(parts),
            Self::Sha512 => of::<Sha512>(parts),
        }
    }

    /// RFC 2104.
    fn hmac(self, data: &[u8], key: &[u8]) -> Vec<u8> {
        let block = match self {
            Self::Md5 | Self::Sha1 | Self::Sha224 | Self::Sha256 => 64,
            Self::Sha384 | Self::Sha512 => 128,
        };
        let mut padded = if key.len() > block { self.digest(&[key]) } else { key.to_vec() };
        padded.resize(block, 0);
        let with = |pad: u8| padded.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>();
        let inner = self.digest(&[&with(0x36), data]);
        self.digest(&[&with(0x5c), &inner])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyed_digests_are_those_of_the_rfc() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        // RFC 2202 and RFC 4231, test case 2.
        let (data, key) = (b"what do ya want for nothing?", b"Jefe");
        assert_eq!(hex(Algorithm::Md5.hmac(data, key)), "750c783e6ab0b503eaa86e310a5db738");
        assert_eq!(
            hex(Algorithm::Sha1.hmac(data, key)),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        assert_eq!(
            hex(Algorithm::Sha256.hmac(data, key)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
