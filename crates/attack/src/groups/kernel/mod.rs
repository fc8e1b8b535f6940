//! The kernel's interface: system calls, socket families, foreign entries, `/proc`, mounts, descriptors, capabilities.

mod calls;
mod sockets;
mod surroundings;

pub(super) use calls::CALLS;
pub(super) use sockets::SOCKETS;
pub(super) use surroundings::{EXECUTION, FILES, IDENTITY, PROC};
