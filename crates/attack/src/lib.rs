//! The attack corpus: hostile programs of our own writing, what each must hear, and the control that shows that it
//! would get what it wants without the barrier.
//!
//! An [`Attempt`] is data: a program, the exact refusal, and how its *control* is run. The corpus is a list of them in
//! groups, a file each ([`groups`]). A [`Runner`] puts attempts through an [`Enclosure`] (a cold run here; anything
//! else that runs a program and says how it ended can take its place) and answers with a [`Report`].
//!
//! A control is one of four things ([`Proof`]): the same program unconfined on this host; the same sandbox without the
//! barrier, by a *weakened spawner*; the same sandbox with another limit or policy; or code of ours. An attempt that is
//! refused proves nothing while its control was not seen to work, so a control that fails makes it *inconclusive*.
//!
//! It is a crate so that neither the library nor the Python package carries attacks.
#![forbid(unsafe_code)]

mod attempt;
mod bait;
mod enclosure;
pub mod groups;
mod imports;
pub mod mutation;
mod program;
mod report;
mod run;
mod tier_b;
mod weakened;

pub use attempt::{Act, Attempt, End, Expectation, Group, Limit, Proof, Scene, Setup};
pub use bait::Bait;
pub use enclosure::{Cold, Enclosure, Ran, Running, Unconfined};
pub use report::{Control, Counts, Outcome, Report, Row};
pub use run::Runner;
pub use weakened::Weakened;
