//! The loopback interface of a fresh network namespace, which starts down.

use std::io;
use std::mem::zeroed;
use std::net::SocketAddrV4;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

/// Brings `lo` up (netdevice(7), `SIOCSIFFLAGS`).
pub(crate) fn loopback_up() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: `ifreq` is plain data for which all zeroes is valid; the name stays NUL-terminated, because
    // only its first two bytes are set; the kernel reads the struct, which outlives the call.
    let result = unsafe {
        let mut request: libc::ifreq = zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A listening TCP socket in this network namespace, whose socket it stays wherever it is sent.
pub(crate) fn listen(address: SocketAddrV4) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &address)?;
    rustix::net::listen(&socket, 128)?;
    Ok(socket)
}
