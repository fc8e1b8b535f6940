use crate::output::Control;
use std::os::fd::BorrowedFd;
use std::time::Duration;
#[derive(Debug)]
pub(crate) struct Support;
impl Support {
    pub(crate) fn probe() -> Self {
        Self
    }
    pub(crate) fn why_not(&self, _c: Control) -> String {
        "stub".into()
    }
}
#[derive(Debug)]
pub(crate) struct Group;
impl Group {
    pub(crate) fn create(_s: &Support, _l: &crate::Limits) -> Option<Self> {
        None
    }
    pub(crate) fn clone_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    pub(crate) fn join(&self, _pid: i32) -> std::io::Result<()> {
        Ok(())
    }
    pub(crate) fn holds(&self, _c: Control) -> bool {
        false
    }
    pub(crate) fn oom_kills(&self) -> u64 {
        0
    }
    pub(crate) fn pids_max_hits(&self) -> u64 {
        0
    }
    pub(crate) fn cpu(&self) -> Option<(Duration, Duration)> {
        None
    }
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        None
    }
}
