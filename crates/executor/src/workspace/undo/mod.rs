//! What steps replaced, kept so that it can be put back: undo that covers the side effects of a shell too.
//!
//! Before a layer is applied, a [`Record`] says what each of its paths was and what it becomes (`capture.rs`), and the
//! bytes that are about to be replaced are in the store. It is on the disk before the first name changes (`records.rs`).
//! [`Workspaces::roll_back`](super::Workspaces::roll_back) joins the records of the layers that are to be undone, compares
//! the folder with what they left there, and applies the way back as one more layer: all or nothing, verified, and kept in
//! a record of its own, so that a rollback can be rolled back (`restore.rs`, `roll_back.rs`). A layer that was being applied when
//! its process ended is taken back in the same way when the state folder is opened again (`recover.rs`). [`Difference`] tells records as a
//! diff, [`unified`] and [`Stat`] write it for people; [`Records::collect`] bounds what all of it takes.

mod capture;
mod collect;
mod difference;
mod left;
mod record;
mod records;
mod recover;
mod restore;
mod roll_back;
mod stage;
mod unified;

pub use collect::{Collect, Collected};
pub use difference::{Bytes, Difference, differences};
pub use record::{Kept, Record, State, Time};
pub use records::Records;
pub use recover::Recovered;
pub use restore::{RollBack, RolledBack};
pub use roll_back::PlannedRollBack;
pub use unified::{DiffLine, DiffPart, Stat, StatRow, unified};

pub(super) use capture::capture;
pub(super) use difference::differences_in;
pub(super) use record::hash_file;
pub(super) use records::Pending;
pub(super) use recover::recover;
