//! What attempts come to in tier B, a run without namespaces, where that is not what they come to in tier A: another refusal,
//! or a sentence of SECURITY.md that says that nothing is promised.

use crate::attempt::Expectation;

const OTHERWISE: &[(&str, Expectation)] = &[];

/// What an attempt comes to in tier B.
pub fn expectation(id: &str) -> Expectation {
    OTHERWISE.iter().find(|(listed, _)| *listed == id).map_or(Expectation::Same, |(_, expectation)| *expectation)
}
