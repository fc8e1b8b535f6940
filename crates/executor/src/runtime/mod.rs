//! Interpreters and toolchains of the host: finding them without running anything, and turning what the
//! operator decided into a sandbox [`Policy`](agentic_sandbox::Policy), an environment and a command.
//!
//! [`Runtimes`] finds a [`Runtime`]; [`Invocation`] is a program ready to start under a policy. One decision:
//! the workspace is never believed. A committed `.venv`, `.python-version` or link may choose among the
//! interpreters of this host, and can make nothing else of it visible.

mod compiled;
pub mod denials;
pub mod diagnose;
mod dotenv;
mod environment;
mod error;
pub mod exec;
mod find;
mod imports;
mod policy;
mod regular;
mod shims;
mod toolchains;

pub use diagnose::{Diagnosis, diagnose};
pub use environment::{HOME_INSIDE, PASSED_ALWAYS, PASSED_TO_HOST_VIEW};
pub use error::RuntimeError;
pub use exec::{Invocation, Program, Request};
pub use find::{Language, Runtime, Runtimes};
pub use imports::{Capability, ImportPolicy, STANDS_FOR};
pub use policy::{Prepared, host_policy, system_policy};
pub use toolchains::{Shown, Toolchains};

#[cfg(test)]
mod tests;
