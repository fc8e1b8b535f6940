//! The two ends of a connection: TCP or TLS over it, and the masking of secrets in what comes back.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

use rustls::{ClientConnection, ServerConnection, StreamOwned};

/// One end.
pub(crate) enum Stream {
    Plain(TcpStream),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    Server(Box<StreamOwned<ServerConnection, Replay>>),
}

impl Stream {
    /// Says that nothing more is sent.
    pub(crate) fn finish(&mut self) {
        match self {
            Self::Plain(stream) => drop(stream.shutdown(Shutdown::Write)),
            Self::Client(stream) => {
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
            Self::Server(stream) => {
                stream.conn.send_close_notify();
                let _ = stream.flush();
                let _ = stream.sock.stream.shutdown(Shutdown::Write);
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Client(stream) => match stream.read(buffer) {
                // Many servers close without saying so. Lengths and chunks tell the client whether all came.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                other => other,
            },
            Self::Server(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Client(stream) => stream.write(bytes),
            Self::Server(stream) => stream.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Client(stream) => stream.flush(),
            Self::Server(stream) => stream.flush(),
        }
    }
}

/// A stream whose first bytes were read already.
pub(crate) struct Replay {
    pub(crate) first: io::Cursor<Vec<u8>>,
    pub(crate) stream: TcpStream,
}

impl Read for Replay {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.first.read(buffer)? {
            0 => self.stream.read(buffer),
            count => Ok(count),
        }
    }
}

impl Write for Replay {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Replaces secrets by as many asterisks, also where they lie over two pieces.
#[derive(Debug, Default)]
pub(crate) struct Mask {
    secrets: Vec<Vec<u8>>,
    held: Vec<u8>,
}

impl Mask {
    pub(crate) fn new(secrets: impl Iterator<Item = String>) -> Self {
        // Less would match by chance.
        Self { secrets: secrets.map(String::into_bytes).filter(|secret| secret.len() >= 6).collect(), held: Vec::new() }
    }
    /// What can be passed on now; the rest might be the beginning of a secret.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        for secret in &self.secrets {
            let mut from = 0;
            while let Some(at) = self.held[from..].windows(secret.len()).position(|window| window == secret) {
                self.held[from + at..from + at + secret.len()].fill(b'*');
                from += at + secret.len();
            }
        }
        let begun = |secret: &Vec<u8>| {
            (1..secret.len()).rev().find(|length| self.held.ends_with(&secret[..*length])).unwrap_or(0)
        };
        let keep = self.secrets.iter().map(begun).max().unwrap_or(0);
        self.held.drain(..self.held.len() - keep).collect()
    }
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_the_pieces_end() {
        let text = b"a hunter22 b hunter2 c hunter22";
        for cut in 0..text.len() {
            let mut mask = Mask::new(["hunter22".to_owned()].into_iter());
            let mut out = mask.pass(&text[..cut]);
            out.extend(mask.pass(&text[cut..]));
            out.extend(mask.rest());
            assert_eq!(out, b"a ******** b hunter2 c ********", "cut at {cut}");
        }
    }
}
