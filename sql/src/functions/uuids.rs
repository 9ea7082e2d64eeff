//! UUIDs.

use satsuma_common::Datum;

use super::library::Builder;

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
}
