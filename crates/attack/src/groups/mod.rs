//! The groups, a file each. To add an attempt, add it to its table; to add a group, add a file, its table to
//! [`TABLES`] and its name to [`Group`](crate::Group).

mod cross_run;
mod kernel;
mod network;
mod proxied;
mod python;
mod resources;
mod reward_hacking;

use crate::attempt::{Attempt, Group};

const TABLES: &[&[Attempt]] = &[
    kernel::CALLS,
    kernel::SOCKETS,
    kernel::PROC,
    kernel::FILES,
    kernel::EXECUTION,
    kernel::IDENTITY,
    network::NETWORK,
    cross_run::CROSS_RUN,
    python::PYTHON,
    resources::RESOURCES,
    reward_hacking::REWARD_HACKING,
];

/// Every attempt.
pub fn corpus() -> Vec<&'static Attempt> {
    TABLES.iter().flat_map(|table| table.iter()).collect()
}

/// Those that ask the proxy of a run that may reach some host ([`Cold::reaching`](crate::Cold::reaching)); without one they
/// mean nothing, so they are no part of [`corpus`].
pub fn proxied() -> Vec<&'static Attempt> {
    proxied::PROXIED.iter().collect()
}

/// The attempts of one group.
pub fn of(group: Group) -> Vec<&'static Attempt> {
    corpus().into_iter().filter(|attempt| attempt.group() == Some(group)).collect()
}

/// The attempts whose id contains this word.
pub fn named(word: &str) -> Vec<&'static Attempt> {
    corpus().into_iter().filter(|attempt| attempt.id.contains(word)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_attempt_has_a_group_an_id_of_its_own_and_a_control() {
        let mut seen = BTreeSet::new();
        for attempt in corpus().into_iter().chain(proxied()) {
            assert!(attempt.group().is_some(), "{} names no group", attempt.id);
            assert!(seen.insert(attempt.id), "{} is there twice", attempt.id);
            assert!(!attempt.proofs.is_empty(), "{} has no control", attempt.id);
            assert!(!attempt.refused.is_empty() || attempt.end.is_some(), "{} expects nothing", attempt.id);
            let both = attempt.refused.iter().find(|line| attempt.reached.contains(line));
            assert_eq!(both, None, "{} takes a line for both", attempt.id);
        }
    }
}
