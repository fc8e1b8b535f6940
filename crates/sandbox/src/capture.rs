//! One output stream: kept as head and tail, shown to an observer, or passed on to a descriptor.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::command::Stream;
use crate::output::Captured;

/// A pipe or terminal that reports room takes this much without blocking (POSIX: PIPE_BUF is at least 512, on Linux 4,096).
const ATOMIC: usize = 4096;

/// Bytes that are remembered of a relayed stream.
const LAST_MOST: usize = 8 << 10;

/// Where one stream goes, and what was kept of it. Memory is bounded whatever the program prints.
pub(crate) struct Capture {
    stream: Stream,
    /// Bytes that are kept, or passed on, at most.
    most: Option<u64>,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    pending: Vec<u8>,
    at: usize,
    passed: u64,
    total: u64,
    broken: bool,
    refused: Option<i32>,
}

impl Capture {
    pub(crate) fn new(stream: Stream, most: u64) -> Self {
        let most = match &stream {
            Stream::Relay { most, .. } => *most,
            Stream::Capture | Stream::Observe(_) => Some(most),
        };
        Self {
            stream,
            most,
            head: Vec::new(),
            tail: VecDeque::new(),
            pending: Vec::new(),
            at: 0,
            passed: 0,
            total: 0,
            broken: false,
            refused: None,
        }
    }

    /// The descriptor that must take bytes before more are read, if there is one.
    pub(crate) fn blocked_on(&self) -> Option<BorrowedFd<'_>> {
        match &self.stream {
            Stream::Relay { to, .. } if self.at < self.pending.len() && !self.broken => Some(to.as_fd()),
            _ => None,
        }
    }

    /// Takes what is there. False at the end of the stream.
    pub(crate) fn read_from(&mut self, pipe: BorrowedFd<'_>) -> bool {
        let mut buffer = [0; 64 * 1024];
        match rustix::io::read(pipe, &mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                self.take(&buffer[..n]);
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => false,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        match &self.stream {
            Stream::Relay { .. } => {
                self.tail.extend(&bytes[bytes.len().saturating_sub(LAST_MOST)..]);
                self.tail.drain(..self.tail.len().saturating_sub(LAST_MOST));
                let room = self.most.map_or(u64::MAX, |most| most.saturating_sub(self.passed));
                let n = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                if n > 0 && !self.broken {
                    self.passed += n as u64;
                    self.pending.extend_from_slice(&bytes[..n]);
                    self.flush();
                }
            }
            Stream::Observe(observer) => {
                observer(bytes);
                self.keep(bytes);
            }
            Stream::Capture => self.keep(bytes),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let most = usize::try_from(self.most.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let head_most = most - most / 2;
        let n = bytes.len().min(head_most - self.head.len().min(head_most));
        self.head.extend_from_slice(&bytes[..n]);
        let tail_most = most - head_most;
        let rest = &bytes[n..];
        let rest = &rest[rest.len() - rest.len().min(tail_most)..];
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(tail_most);
        self.tail.drain(..over);
    }

    /// Passes on what waits, as far as it goes without blocking.
    pub(crate) fn flush(&mut self) {
        let Stream::Relay { to, .. } = &self.stream else { return };
        while self.at < self.pending.len() {
            let mut ready = [PollFd::new(to, PollFlags::OUT)];
            match poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
                Ok(0) => return,
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => break,
            }
            let end = self.pending.len().min(self.at + ATOMIC);
            match rustix::io::write(to, &self.pending[self.at..end]) {
                Ok(n) => self.at += n,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // The reader is gone (EPIPE): drain the program quietly, as a shell pipeline would end it.
                // Any other error loses output that somebody waits for: it is reported.
                Err(error) => {
                    self.broken = true;
                    self.refused = Some(error).filter(|error| *error != Errno::PIPE).map(Errno::raw_os_error);
                    break;
                }
            }
        }
        self.pending.clear();
        self.at = 0;
    }

    /// Passes on the rest, waiting for the reader as long as it takes.
    pub(crate) fn finish(&mut self) {
        while let Some(to) = self.blocked_on() {
            let mut ready = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
            if !matches!(poll(&mut ready, None), Ok(_) | Err(Errno::INTR)) {
                return;
            }
            self.flush();
        }
    }

    /// What was kept, and whether bytes were dropped.
    pub(crate) fn into_captured(self) -> (Captured, bool) {
        let relayed = matches!(self.stream, Stream::Relay { .. });
        let cut = if relayed {
            self.most.is_some_and(|most| self.total > most)
        } else {
            (self.head.len() + self.tail.len()) as u64 != self.total
        };
        let (tail, last) = if relayed { (Vec::new(), self.tail.into()) } else { (self.tail.into(), Vec::new()) };
        (Captured { head: self.head, tail, total: self.total, refused: self.refused, last }, cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(most: u64, pieces: &[&[u8]]) -> Captured {
        let mut capture = Capture::new(Stream::Capture, most);
        pieces.iter().for_each(|piece| capture.take(piece));
        capture.into_captured().0
    }

    #[test]
    fn what_fits_is_kept_whole() {
        let captured = kept(10, &[b"abc", b"defg", b"hij"]);
        assert_eq!((captured.text().as_str(), captured.truncated()), ("abcdefghij", false));
    }

    #[test]
    fn head_and_tail_are_kept_of_what_does_not_fit() {
        for pieces in [
            vec![&b"0123456789abcdef"[..]],
            b"0123456789abcdef".chunks(1).collect(),
            b"0123456789abcdef".chunks(7).collect(),
        ] {
            let captured = kept(8, &pieces);
            assert_eq!((&captured.head[..], &captured.tail[..]), (&b"0123"[..], &b"cdef"[..]));
            assert_eq!((captured.total, captured.dropped()), (16, 8));
        }
    }
}
