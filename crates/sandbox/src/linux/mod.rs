//! One kernel mechanism a file. All `unsafe` of the project lies in this folder.

pub(crate) mod capabilities;
pub(crate) mod cgroup;
pub(crate) mod landlock;
pub(crate) mod mounts;
pub(crate) mod network;
pub(crate) mod rlimit;
pub(crate) mod seccomp;
pub(crate) mod sys;
