//! One kernel mechanism a file, and the only folder of the project with `unsafe` in it.
//!
//! Everything here is called in a forked child of one thread, between fork and exec, or by the spawner: no
//! function starts a thread, and each returns an error that names the step instead of panicking.

pub(crate) mod capabilities;
pub(crate) mod cgroup;
pub(crate) mod confine;
pub(crate) mod landlock;
pub(crate) mod lease;
pub(crate) mod mounts;
pub(crate) mod network;
pub(crate) mod rlimit;
pub(crate) mod seccomp;
pub(crate) mod sys;

#[cfg(test)]
pub(crate) mod child;
