//! Which proposals have been applied, so that one proposed twice counts once.
//!
//! A coordinator numbers its proposals from 1 in each of its lives (`boot`), proposes again what
//! it does not hear of, and says with each proposal below which number it waits for nothing. The
//! record is as long as what is in flight.

use std::collections::{BTreeMap, BTreeSet};

use satsuma_common::NodeId;
use serde::{Deserialize, Serialize};

use super::shared::Shared;

/// Who proposed an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId {
    pub node: NodeId,
    /// Grows with every start of the node.
    pub boot: u64,
    pub number: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests(Shared<BTreeMap<NodeId, Window>>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    boot: u64,
    /// All requests below this are over.
    floor: u64,
    /// Applied ones from `floor` on.
    applied: BTreeSet<u64>,
}

impl Requests {
    /// Whether the request is new; it counts as applied from now on.
    pub(super) fn admit(&mut self, id: RequestId, floor: u64) -> bool {
        let window = self.0.make_mut().entry(id.node).or_default();
        if id.boot < window.boot {
            return false;
        }
        if id.boot > window.boot {
            *window = Window { boot: id.boot, ..Window::default() };
        }
        if floor > window.floor {
            window.floor = floor;
            window.applied = window.applied.split_off(&floor);
        }
        id.number >= window.floor && window.applied.insert(id.number)
    }

    pub fn is_applied(&self, id: RequestId) -> bool {
        self.0.get(&id.node).is_some_and(|window| {
            id.boot < window.boot
                || (id.boot == window.boot
                    && (id.number < window.floor || window.applied.contains(&id.number)))
        })
    }
}
