//! The programs of UPDATEs by key that this coordinator has sent, and to whom.
//!
//! A program goes by its content: the same UPDATE prepared by a hundred sessions is one program at
//! each worker.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use satsuma_common::{NodeId, Recent, TableId};
use satsuma_proto::worker::{Program, ProgramId};

/// Programs that are remembered.
const KEPT: usize = 4096;

/// What tells one program from another.
type Content = (TableId, u64, bytes::Bytes, Vec<u32>, Vec<u32>);

pub struct Programs {
    origin: u64,
    known: Mutex<Known>,
}

struct Known {
    next: u64,
    programs: Recent<Content, Arc<SharedProgram>>,
}

/// A program under its number.
#[derive(Debug)]
pub struct SharedProgram {
    pub id: ProgramId,
    program: Program,
    /// Workers that have it, as far as is known.
    sent: Mutex<BTreeSet<NodeId>>,
}

impl Default for Programs {
    fn default() -> Self {
        let known = Known { next: 1, programs: Recent::new(KEPT) };
        Self { origin: rand::random(), known: Mutex::new(known) }
    }
}

impl Programs {
    /// The program for rows of a table under a version of its shape.
    pub fn share(&self, table: TableId, version: u64, program: Program) -> Arc<SharedProgram> {
        let content =
            (table, version, program.plan.clone(), program.inputs.clone(), program.targets.clone());
        let mut known = self.known.lock();
        if let Some(found) = known.programs.get(&content) {
            return found;
        }
        let id = ProgramId { origin: self.origin, number: known.next };
        known.next += 1;
        let shared = Arc::new(SharedProgram { id, program, sent: Mutex::default() });
        known.programs.insert(content, shared.clone());
        shared
    }
}

impl SharedProgram {
    /// The program, if `node` may not have it. From now on it has.
    pub fn to_send(&self, node: NodeId) -> Option<Program> {
        self.sent.lock().insert(node).then(|| self.program.clone())
    }

    /// The worker said that it has not.
    pub fn forgotten_by(&self, node: NodeId) {
        self.sent.lock().remove(&node);
    }
}
