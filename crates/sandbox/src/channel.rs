//! Typed messages with descriptors over `SOCK_SEQPACKET`: one message a datagram, bounded, never split.

use std::io;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most descriptors that one message carries; the kernel's own bound is 253.
pub const MOST_DESCRIPTORS: usize = 250;
/// The longest message. Anything longer travels in a memfd.
const LONGEST: usize = 64 * 1024;

/// Two connected ends.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends one message with its descriptors.
pub fn send<T: Serialize>(to: impl AsFd, message: &T, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    if bytes.len() > LONGEST || descriptors.len() > MOST_DESCRIPTORS {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "message too long"));
    }
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    rustix::io::retry_on_intr(|| sendmsg(&to, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Receives one message with its descriptors; `None` when the other end is closed.
pub fn receive<T: DeserializeOwned>(from: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; LONGEST];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut once = || {
        rustix::io::retry_on_intr(|| {
            recvmsg(&from, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)
        })
    };
    // An end that was closed with unread messages in its queue says so, once, and before what it had sent is given out
    // (net/unix/af_unix.c, `unix_release_sock`). For us it is closed all the same, and what it said counts.
    let received = match once() {
        Err(rustix::io::Errno::CONNRESET) => once()?,
        other => other?,
    };
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    let message = postcard::from_bytes(&bytes[..received.bytes]).map_err(io::Error::other)?;
    Ok(Some((message, descriptors)))
}

/// A memfd holding `value`, for what is too long for a message.
pub(crate) fn pack<T: Serialize>(value: &T) -> io::Result<OwnedFd> {
    let bytes = postcard::to_stdvec(value).map_err(io::Error::other)?;
    let file = rustix::fs::memfd_create("spec", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest))?;
        rest = &rest[written..];
    }
    Ok(file)
}

/// Reads back what [`pack`] wrote.
pub(crate) fn unpack<T: DeserializeOwned>(file: BorrowedFd<'_>) -> io::Result<T> {
    let size = rustix::fs::fstat(file)?.st_size as usize;
    let mut bytes = vec![0; size];
    let mut at = 0;
    while at < size {
        match rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut bytes[at..], at as u64))? {
            0 => break,
            n => at += n,
        }
    }
    postcard::from_bytes(&bytes[..at]).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_an_end_that_was_closed_unread_are_heard() {
        let (ours, theirs) = pair().expect("a pair");
        send(&ours, &1_u8, &[]).expect("a message that nobody reads");
        send(&theirs, &"why".to_owned(), &[]).expect("the last words");
        drop(theirs);
        assert_eq!(receive::<String>(&ours).expect("a message").map(|(said, _)| said).as_deref(), Some("why"));
        assert!(receive::<String>(&ours).expect("the end").is_none());
    }
}
