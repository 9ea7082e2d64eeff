//! Who takes part in the group: the leader brings the group's members in line with the
//! coordinators that the catalog names, one at a time.
//!
//! A new one is a learner first: it receives everything and has no vote, so that a coordinator
//! that has not been started yet, or is far behind, holds nobody up.

use std::collections::BTreeSet;

use raft::eraftpb::ConfState;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    AddLearner(u64),
    AddVoter(u64),
    Remove(u64),
    /// Before the leader itself goes.
    Transfer(u64),
}

/// What the leader `own` does next; `None` when the group is as wanted, or waits.
pub fn next_change(
    members: &ConfState,
    wanted: &BTreeSet<u64>,
    own: u64,
    is_caught_up: impl Fn(u64) -> bool,
) -> Option<MemberChange> {
    // Without any coordinator the catalog is not the cluster's yet.
    if wanted.is_empty() || !members.voters_outgoing.is_empty() {
        return None;
    }
    let is_voter = |node: &u64| members.voters.contains(node);
    let ready = members.learners.iter().find(|node| wanted.contains(node) && is_caught_up(**node));
    if let Some(node) = ready {
        return Some(MemberChange::AddVoter(*node));
    }
    let is_member = |node: &u64| is_voter(node) || members.learners.contains(node);
    if let Some(node) = wanted.iter().find(|node| !is_member(node)) {
        return Some(MemberChange::AddLearner(*node));
    }
    let all = members.voters.iter().chain(&members.learners);
    let gone: Vec<u64> = all.filter(|node| !wanted.contains(node)).copied().collect();
    if let Some(node) = gone.iter().find(|node| **node != own) {
        return Some(MemberChange::Remove(*node));
    }
    let other = members.voters.iter().find(|node| wanted.contains(node) && is_caught_up(**node));
    gone.first().and(other).map(|node| MemberChange::Transfer(*node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(voters: &[u64], learners: &[u64]) -> ConfState {
        ConfState { voters: voters.into(), learners: learners.into(), ..ConfState::default() }
    }

    #[test]
    fn one_at_a_time_and_learners_first() {
        let next = |voters: &[u64], learners: &[u64], wanted: &[u64], caught_up: bool| {
            let wanted = wanted.iter().copied().collect();
            next_change(&members(voters, learners), &wanted, 1, |_| caught_up)
        };
        assert_eq!(next(&[1, 2, 3], &[], &[1, 2, 3], true), None);
        assert_eq!(next(&[1, 2, 3], &[], &[], true), None);
        assert_eq!(next(&[1], &[], &[1, 2, 3], true), Some(MemberChange::AddLearner(2)));
        assert_eq!(next(&[1], &[2], &[1, 2], false), None);
        assert_eq!(next(&[1], &[2], &[1, 2], true), Some(MemberChange::AddVoter(2)));
        assert_eq!(next(&[1, 2, 3], &[], &[1, 2], true), Some(MemberChange::Remove(3)));
        assert_eq!(next(&[1, 2], &[4], &[1, 2], true), Some(MemberChange::Remove(4)));
        assert_eq!(next(&[1, 2, 3], &[], &[2, 3], true), Some(MemberChange::Transfer(2)));
        assert_eq!(next(&[1, 2, 3], &[], &[2, 3], false), None);
    }
}
