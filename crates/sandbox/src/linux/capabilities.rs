//! Takes every capability away for good, and reads back that it is so: [`drop_all`].
//!
//! The bounding set goes first, while there is still the capability to change it, and the securebits are locked so
//! that neither an exec as uid 0 nor a change of uid gives anything back.

use std::io;

/// A step of dropping capabilities that failed, or a set that was not empty afterwards.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CapabilityError {
    /// The kernel refused a step.
    #[error("{step}: {source}")]
    Step {
        /// What was attempted.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Every step was accepted and a capability is still there.
    #[error("capability {capability} is still in the {set} set")]
    Left {
        /// Its number.
        capability: u32,
        /// The set.
        set: &'static str,
    },
    /// The securebits are not what was asked for.
    #[error("securebits are {0:#x}")]
    Securebits(u32),
}

// linux/securebits.h: NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE set and locked, KEEP_CAPS clear and locked.
const SECUREBITS: u32 = 0b1110_1111;
/// Version 3 of the `capget`/`capset` structures: 64 capabilities in two halves.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Empties the ambient, bounding, inheritable, permitted and effective sets of the calling thread, locks the
/// securebits, and verifies all of it. Needs CAP_SETPCAP in the thread's user namespace.
///
/// # Errors
/// The step that the kernel refused, or what was left.
pub(crate) fn drop_all() -> Result<(), CapabilityError> {
    let step = |step| move |source| CapabilityError::Step { step, source };
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0).map_err(step("clear the ambient set"))?;
    for capability in known() {
        prctl(libc::PR_CAPBSET_DROP, capability.into(), 0).map_err(step("drop from the bounding set"))?;
    }
    prctl(libc::PR_SET_SECUREBITS, SECUREBITS.into(), 0).map_err(step("lock the securebits"))?;
    set(&[Half::default(); 2]).map_err(step("empty the permitted set"))?;
    verify()
}

/// Puts every capability that this thread has into its ambient set, so that a program keeps them: the opposite of
/// [`drop_all`], and reached only in a weakened spawner.
pub(crate) fn keep_all() -> io::Result<()> {
    let mut halves = get()?;
    for half in &mut halves {
        half.inheritable = half.permitted;
    }
    set(&halves)?;
    for capability in known() {
        // One that is not permitted stays away.
        let _ = prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, capability.into());
    }
    Ok(())
}

/// As [`drop_all`], by a thread that may not have the means: the sets that it holds are emptied and verified in any
/// case, the bounding set and the securebits where CAP_SETPCAP is permitted.
///
/// # Errors
/// The step that the kernel refused, or what was left.
pub(crate) fn drop_permitted() -> Result<(), CapabilityError> {
    const SETPCAP: u32 = 8;
    let step = |step| move |source| CapabilityError::Step { step, source };
    let [mut low, high] = get().map_err(step("read the capability sets"))?;
    if low.permitted >> SETPCAP & 1 == 1 {
        low.effective = low.permitted;
        set(&[low, high]).map_err(step("take the permitted set into effect"))?;
        return drop_all();
    }
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0).map_err(step("clear the ambient set"))?;
    set(&[Half::default(); 2]).map_err(step("empty the permitted set"))?;
    let [low, high] = get().map_err(step("read the capability sets"))?;
    let left = [low, high].iter().fold(0, |bits, half| bits | half.effective | half.permitted | half.inheritable);
    match left {
        0 => Ok(()),
        bits => Err(CapabilityError::Left { capability: bits.trailing_zeros(), set: "permitted" }),
    }
}

/// Fails unless every set of the calling thread is empty and the securebits are locked.
///
/// # Errors
/// The first capability found, and where.
pub(crate) fn verify() -> Result<(), CapabilityError> {
    let step = |step| move |source| CapabilityError::Step { step, source };
    let [low, high] = get().map_err(step("read the capability sets"))?;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    for (set, bits) in [
        ("effective", join(low.effective, high.effective)),
        ("permitted", join(low.permitted, high.permitted)),
        ("inheritable", join(low.inheritable, high.inheritable)),
    ] {
        if bits != 0 {
            return Err(CapabilityError::Left { capability: bits.trailing_zeros(), set });
        }
    }
    for capability in known() {
        let ambient = prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_IS_SET as u64, capability.into());
        for (set, held) in [("bounding", prctl(libc::PR_CAPBSET_READ, capability.into(), 0)), ("ambient", ambient)] {
            if held.map_err(step("read a capability set"))? != 0 {
                return Err(CapabilityError::Left { capability, set });
            }
        }
    }
    match prctl(libc::PR_GET_SECUREBITS, 0, 0).map_err(step("read the securebits"))? as u32 {
        SECUREBITS => Ok(()),
        other => Err(CapabilityError::Securebits(other)),
    }
}

/// Every capability that this kernel knows: reading the bounding set answers EINVAL past the last one.
fn known() -> impl Iterator<Item = u32> {
    (0..64).take_while(|capability| prctl(libc::PR_CAPBSET_READ, u64::from(*capability), 0).is_ok())
}

fn prctl(option: i32, first: u64, second: u64) -> io::Result<i32> {
    // SAFETY: the options used in this file take integers only, and the unused arguments must be zero and are.
    match unsafe { libc::prctl(option, first, second, 0_u64, 0_u64) } {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

fn get() -> io::Result<[Half; 2]> {
    let mut halves = [Half::default(); 2];
    let mut header = Header { version: VERSION, pid: 0 };
    // SAFETY: version 3 makes capget write exactly the two halves behind the second pointer, and the
    // header, which it may write too, is ours and live.
    match unsafe { libc::syscall(libc::SYS_capget, &raw mut header, halves.as_mut_ptr()) } {
        0 => Ok(halves),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set(halves: &[Half; 2]) -> io::Result<()> {
    let mut header = Header { version: VERSION, pid: 0 };
    // SAFETY: version 3 makes capset read exactly the two halves behind the second pointer; pid 0 is this thread.
    match unsafe { libc::syscall(libc::SYS_capset, &raw mut header, halves.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::child::{errno_of, in_child};

    /// A child that has every capability over a fresh user namespace, as the nest init has.
    fn with_capabilities(run: impl FnOnce() -> i32) -> Option<crate::linux::child::Ended> {
        let entered = in_child(|| errno_of(libc::SYS_unshare, [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0]));
        if entered.code != Some(0) {
            println!("SKIP: no user namespace here ({entered:?})");
            return None;
        }
        Some(in_child(|| {
            assert_eq!(errno_of(libc::SYS_unshare, [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0]), 0);
            run()
        }))
    }

    #[test]
    fn every_set_is_empty_afterwards_and_was_not_before() {
        let Some(ended) = with_capabilities(|| {
            assert!(matches!(verify(), Err(CapabilityError::Left { capability: 0, set: "effective" })));
            drop_all().unwrap();
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            for line in status.lines().filter(|line| line.starts_with("Cap")) {
                assert!(line.ends_with("0000000000000000"), "{line}");
            }
            // And what a capability allowed is refused: a new mount namespace.
            assert_eq!(errno_of(libc::SYS_unshare, [libc::CLONE_NEWNS as u64, 0, 0, 0, 0, 0]), libc::EPERM);
            // Twice is refused, not silently accepted: the means to drop are gone.
            assert!(matches!(drop_all(), Err(CapabilityError::Step { .. })));
            verify().unwrap();
            0
        }) else {
            return;
        };
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    #[test]
    fn the_same_call_works_while_the_capability_is_there() {
        let Some(ended) = with_capabilities(|| errno_of(libc::SYS_unshare, [libc::CLONE_NEWNS as u64, 0, 0, 0, 0, 0]))
        else {
            return;
        };
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }

    #[test]
    fn a_dropped_bounding_set_alone_is_not_taken_for_done() {
        let Some(ended) = with_capabilities(|| {
            for capability in known() {
                prctl(libc::PR_CAPBSET_DROP, capability.into(), 0).unwrap();
            }
            i32::from(verify().is_ok())
        }) else {
            return;
        };
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}
