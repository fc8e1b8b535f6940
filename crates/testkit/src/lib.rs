//! What the tests of every crate share: temporary workspaces, planted secrets, probes, counted skips.
//!
//! [`TestWorkspace`] is where most tests begin. The rest serves one habit: a denial is believed only beside
//! its control, so everything here that must be unreachable from inside ([`SecretServer`], [`PlantedHome`])
//! also says that it is reachable from outside. Failures of the world around a test panic with what was tried.
//!
//! ```
//! use agentic_testkit::TestWorkspace;
//! let workspace = TestWorkspace::new();
//! workspace.file("src/a.py", "print(1)\n");
//! assert_eq!(workspace.read("src/a.py"), "print(1)\n");
//! ```
#![forbid(unsafe_code)]

mod mutate;
mod place;
mod processes;
mod pty;
mod secrets;
mod server;
mod skip;
mod stock_container;
mod workspace;

pub use mutate::mutations;
pub use place::{OrdinaryUser, agentic_binary, find_program, is_root, ordinary_user, project_root, spawner_binary};
pub use processes::{processes_with_marker, wait_until_gone};
pub use pty::{Pty, PtyError};
pub use secrets::{PlantedHome, Secret, SecretKind};
pub use server::SecretServer;
pub use skip::report_skip;
pub use stock_container::in_stock_container;
pub use workspace::TestWorkspace;
