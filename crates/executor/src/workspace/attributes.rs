//! Extended attributes: which ones travel with a file.
//!
//! `user.*` travels. What decides about rights (`security.*`, ACLs in `system.*`, `trusted.*`) and what is
//! overlayfs's own bookkeeping (`user.overlay.*`) never leaves a layer.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// Attributes that overlayfs keeps for itself, in either of its namespaces.
pub(super) const OVERLAY: [&[u8]; 2] = [b"user.overlay.", b"trusted.overlay."];

/// Whether an attribute travels with its file.
fn travels(name: &[u8]) -> bool {
    name.starts_with(b"user.") && !OVERLAY.iter().any(|prefix| name.starts_with(prefix))
}

/// The attributes of an open file that travel, sorted by name. Empty where the file system has none.
pub(super) fn travelling(file: impl AsFd) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let file = file.as_fd();
    let mut found = Vec::new();
    for name in names(file)? {
        if travels(name.as_bytes())
            && let Some(value) = value(file, name.as_bytes())?
        {
            found.push((name, value));
        }
    }
    found.sort();
    Ok(found)
}

/// Copies the attributes that travel. A file system that keeps none gets none.
pub(super) fn copy(from: impl AsFd, to: impl AsFd) -> io::Result<()> {
    set(&travelling(from)?, to)
}

/// Makes these the attributes of an open file that travel. A file system that keeps none gets none.
pub(super) fn set(attributes: &[(OsString, Vec<u8>)], to: impl AsFd) -> io::Result<()> {
    for name in names(&to)?.iter().filter(|name| travels(name.as_bytes())) {
        if !attributes.iter().any(|(wanted, _)| wanted == name) {
            match rustix::fs::fremovexattr(to.as_fd(), name) {
                Ok(()) | Err(Errno::NODATA) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    for (name, value) in attributes {
        match rustix::fs::fsetxattr(to.as_fd(), name, value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Whether an open file has these attributes; its file system may keep none.
pub(super) fn are(attributes: &[(OsString, Vec<u8>)], file: impl AsFd) -> io::Result<bool> {
    if travelling(&file)? == attributes {
        return Ok(true);
    }
    let asked = rustix::fs::fgetxattr(file.as_fd(), "user.agentic", &mut [0_u8; 0][..]);
    Ok(matches!(asked, Err(Errno::OPNOTSUPP)))
}

/// The names of an open file's attributes, as far as we may see them.
pub(super) fn names(file: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut list = vec![0_u8; 1024];
    loop {
        match rustix::fs::flistxattr(file.as_fd(), &mut list[..]) {
            Ok(length) => {
                list.truncate(length);
                let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
                return Ok(names.map(|name| OsString::from_vec(name.to_vec())).collect());
            }
            // 64 KiB is the kernel's own ceiling.
            Err(Errno::RANGE) if list.len() < 1 << 17 => list = vec![0; list.len() * 8],
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The value of one attribute; `None` when it is not set or the file system keeps none.
pub(super) fn value(file: impl AsFd, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0_u8; 256];
    loop {
        match rustix::fs::fgetxattr(file.as_fd(), name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            Err(Errno::RANGE) if value.len() < 1 << 17 => value = vec![0; value.len() * 8],
            Err(Errno::OPNOTSUPP | Errno::NODATA) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
}
