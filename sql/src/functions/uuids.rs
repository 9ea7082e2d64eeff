//! UUIDs: random ones, and those of the extension uuid-ossp.

use md5::{Digest as _, Md5};
use satsuma_common::{Datum, SqlResult};
use sha1::Sha1;

use super::error::unexpected_value;
use super::library::Builder;
use crate::casts::text::text;

/// What RFC 4122 names: nothing, and the name spaces of names.
const KNOWN: [(&str, u128); 5] = [
    ("uuid_nil", 0),
    ("uuid_ns_dns", 0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8),
    ("uuid_ns_url", 0x6ba7_b811_9dad_11d1_80b4_00c0_4fd4_30c8),
    ("uuid_ns_oid", 0x6ba7_b812_9dad_11d1_80b4_00c0_4fd4_30c8),
    ("uuid_ns_x500", 0x6ba7_b814_9dad_11d1_80b4_00c0_4fd4_30c8),
];

pub(crate) fn install(b: &mut Builder) {
    b.volatile(|b| {
        b.infallible(|b| {
            for name in ["gen_random_uuid", "uuid_generate_v4"] {
                b.row(&format!("{name}() uuid"), |_, _| {
                    Ok(Datum::Uuid(uuid::Uuid::new_v4().into_bytes()))
                });
            }
        });
    });
    b.infallible(|b| {
        for (name, value) in KNOWN {
            b.row(&format!("{name}() uuid"), move |_, _| Ok(Datum::Uuid(value.to_be_bytes())));
        }
        b.row("uuid_generate_v3(uuid,text) uuid", |args, _| {
            named(args, 3, |space, name| {
                Md5::new().chain_update(space).chain_update(name).finalize().into()
            })
        });
        b.row("uuid_generate_v5(uuid,text) uuid", |args, _| {
            named(args, 5, |space, name| {
                let digest = Sha1::new().chain_update(space).chain_update(name).finalize();
                std::array::from_fn(|at| digest[at])
            })
        });
    });
}

/// The UUID that a digest of a name space and a name makes.
fn named(
    args: &[Datum],
    version: u8,
    digest: impl Fn(&[u8], &[u8]) -> [u8; 16],
) -> SqlResult<Datum> {
    let [Datum::Uuid(space), name] = args else { return Err(unexpected_value("a name")) };
    let mut bytes = digest(space, text(name)?.as_bytes());
    bytes[6] = bytes[6] & 0x0f | version << 4;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(Datum::Uuid(bytes))
}
