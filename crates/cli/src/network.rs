//! The network allow-list as it is typed: what of it cannot be meant is blamed by its flag.

use agentic_proxy::{Access, Written};

use crate::error::{Failure, Result};
use crate::settings::Surroundings;

/// The rules, with the values of secrets read from where they are.
pub(crate) fn access(written: &Written, found: &Surroundings) -> Result<Access> {
    written.read(&found.host.env).map_err(|error| Failure::bad_input(format!("{}: {}", error.field.flag(), error.why)))
}
