//! One run and another at the same time: a sender that prints `ready` and stays, and a receiver that must find nothing.
//! The control is the same pair without the barrier, on the host or in weakened sandboxes. Timing is left aside: runs
//! share processors and caches, and what they tell by that is not promised (SECURITY.md, side channels).

use crate::attempt::{Attempt, Proof::*, pair};

#[rustfmt::skip]
pub(super) const CROSS_RUN: &[Attempt] = &[
    pair("cross-run/shm-system-v", "a shared memory segment by its key",
        ("import ctypes, time\nkey = int(HOST['pair'].split('-')[1], 16) & 0x7fffffff\nnumber = libc().shmget(key, 4096, 0o1666)\nprint('ready', flush=True)\ntime.sleep(3)\nlibc().shmctl(number, 0, 0)",
         "key = int(HOST['pair'].split('-')[1], 16) & 0x7fffffff\nreached() if libc().shmget(key, 0, 0) >= 0 else refused('absent')"),
        &["refused absent"], &[Host, Without("ipc-namespace")]),
];
