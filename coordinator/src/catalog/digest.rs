//! Whether two coordinators have the same catalog: a digest of all of it, to be compared between
//! states of the same log index.

use satsuma_common::hash::extended_hash;
use satsuma_common::{Datum, PgType};

use super::State;

impl State {
    /// Equal for equal states, and hardly ever for others; costs an encoding of the whole state.
    pub fn digest(&self) -> u64 {
        let bytes = postcard::to_stdvec(self).unwrap_or_default();
        extended_hash(&Datum::Bytea(bytes), &PgType::Bytea, 0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use satsuma_common::Timestamp;

    use super::super::{Command, State, apply};

    #[test]
    fn states_with_the_same_past_have_the_same_digest() {
        let raise = |state: &mut State, to: u64| {
            apply(state, Command::RaiseTimestampCeiling { ceiling: Timestamp(to) });
        };
        let (mut one, mut other) = (State::default(), State::default());
        assert_eq!(one.digest(), other.digest());
        raise(&mut one, 7);
        assert_ne!(one.digest(), other.digest());
        raise(&mut other, 7);
        assert_eq!(one.digest(), other.digest());
    }
}
