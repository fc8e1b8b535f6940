//! Journals while the process forks: closed, and by nobody opened.
//!
//! SQLite keeps the locks of a process in the process's memory. A forked child inherits that book-keeping for every file
//! that is open then, and with it locks that it does not hold and cannot give back: its own connections wait for them in
//! vain, or overwrite what others hold (<https://www.sqlite.org/howtocorrupt.html>, section 2.6). What is closed at
//! the fork is not in the book. A journal opens again with the next write.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use super::lock;
use super::writer::Disk;

static FORKS: RwLock<()> = RwLock::new(());
static OPEN: Mutex<Vec<Weak<Mutex<Disk>>>> = Mutex::new(Vec::new());

/// Held by whoever calls SQLite; taken before a journal's own lock, and only once by a thread.
pub(super) fn in_use() -> RwLockReadGuard<'static, ()> {
    FORKS.read().unwrap_or_else(PoisonError::into_inner)
}

/// From now on this one is closed at a fork, too.
pub(super) fn register(disk: &Arc<Mutex<Disk>>) {
    let mut open = lock(&OPEN);
    open.retain(|disk| disk.strong_count() > 0);
    open.push(Arc::downgrade(disk));
}

/// While it lives no journal of this process is open, and threads that need one wait.
#[derive(Debug)]
#[must_use = "dropping it lets the journals open again"]
pub struct ClosedForFork {
    _alone: RwLockWriteGuard<'static, ()>,
}

/// Closes every journal of this process, for a program that is about to fork and goes on in the child; to be dropped by the
/// same thread after the fork, in the parent and in the child. Waits for a write that is under way.
pub fn close_for_fork() -> ClosedForFork {
    let alone = FORKS.write().unwrap_or_else(PoisonError::into_inner);
    for disk in lock(&OPEN).iter().filter_map(Weak::upgrade) {
        lock(&disk).close();
    }
    ClosedForFork { _alone: alone }
}
