//! Tunnels, TLS opened on the way, and the two directions of a connection.

use std::io::{self, BufReader, Cursor, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rustls::{ServerConnection, StreamOwned};

use super::{Denied, Open, STACK, Server, answer, check_name};
use crate::host::Target;
use crate::stream::{Replay, Stream};
use crate::tls::{Hello, read_hello, server_name};

impl Server {
    /// `CONNECT`: answered once the host was reached, or the connection is the proxy's own end.
    pub(super) fn connect(&self, mut client: Replay, target: &Target) -> Result<(), Denied> {
        let opened =
            self.0.access.rule(target).is_some() && (target.port == 80 || self.0.access.terminates(&target.host));
        if opened {
            client.stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            return self.opened(client, target);
        }
        self.decided("connect", Some(target), |open| {
            let reached = self.reach(target, open).inspect_err(|denied| answer(&mut client.stream, denied))?;
            client.stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            self.relay(client, reached, target, open)
        })
    }

    /// A connection of a program that knows no proxy.
    pub(super) fn tunnel(&self, client: BufReader<Stream>, target: &Target, kind: &str) -> Result<(), Denied> {
        let rest = client.buffer().to_vec();
        let Stream::Plain(stream) = client.into_inner() else { return Ok(()) };
        let client = Replay { first: Cursor::new(rest), stream };
        if self.0.access.terminates(&target.host) {
            return self.opened(client, target);
        }
        self.decided(kind, Some(target), |open| {
            let reached = self.reach(target, open)?;
            self.relay(client, reached, target, open)
        })
    }

    /// A tunnel whose requests are read: plain HTTP, or TLS that the proxy ends itself.
    fn opened(&self, mut client: Replay, target: &Target) -> Result<(), Denied> {
        let tls = self.0.access.terminates(&target.host);
        if !tls {
            let rest = client.first.into_inner();
            if !rest.is_empty() {
                return self
                    .decided("http", Some(target), |_| Err(Denied::new(400, "bytes came before the tunnel was open")));
            }
            let mut client = BufReader::new(Stream::Plain(client.stream));
            self.exchange(&mut client, Some((target, false)));
            return Ok(());
        }
        let Some(authority) = &self.0.authority else {
            return self
                .decided("tls", Some(target), |_| Err(Denied::new(502, "there is no authority of the run's own")));
        };
        let greeted = read_hello(&mut client).map_err(Denied::from).and_then(|(bytes, name)| {
            check_name(target, name.as_deref())?;
            Ok((bytes, ServerConnection::new(authority.server(&target.host)?).map_err(io::Error::other)?))
        });
        let (bytes, session) = match greeted {
            Ok(greeted) => greeted,
            Err(denied) => return self.decided("tls", Some(target), |_| Err(denied)),
        };
        let client = Replay { first: Cursor::new(bytes), stream: client.stream };
        let mut client = BufReader::new(Stream::Server(Box::new(StreamOwned::new(session, client))));
        self.exchange(&mut client, Some((target, true)));
        Ok(())
    }

    /// Both directions of a tunnel that is not opened. What looks like TLS must be for the host that was allowed.
    fn relay(
        &self,
        mut client: Replay,
        mut server: TcpStream,
        target: &Target,
        open: &Arc<Open>,
    ) -> Result<(), Denied> {
        let mut first = Vec::new();
        if target.port == 443 {
            let (bytes, name) = read_hello(&mut client)?;
            check_name(target, name.as_deref())?;
            first = bytes;
        }
        client.stream.set_read_timeout(None)?;
        let (mut back, mut to_client) = (server.try_clone()?, client.stream.try_clone()?);
        let down = {
            let (this, open) = (self.clone(), open.clone());
            std::thread::Builder::new().stack_size(STACK).spawn(move || {
                let result = this.pump(&mut back, &mut to_client, &open.received);
                let _ = to_client.shutdown(Shutdown::Write);
                if let Err(error) = result {
                    open.cut(error.to_string());
                    let _ = back.shutdown(Shutdown::Both);
                    let _ = to_client.shutdown(Shutdown::Both);
                }
            })?
        };
        let up = self.upward(&mut client, &mut server, first, target, open);
        let _ = server.shutdown(Shutdown::Write);
        if up.is_err() {
            let _ = server.shutdown(Shutdown::Both);
            let _ = client.stream.shutdown(Shutdown::Both);
        }
        let _ = down.join();
        up
    }

    pub(super) fn upward(
        &self,
        client: &mut Replay,
        server: &mut TcpStream,
        mut first: Vec<u8>,
        target: &Target,
        open: &Open,
    ) -> Result<(), Denied> {
        if first.is_empty() {
            // A server may speak first, so nothing is waited for but what the client says when it does.
            let mut buffer = [0; 4096];
            loop {
                let count = client.read(&mut buffer)?;
                first.extend_from_slice(&buffer[..count]);
                let like_tls = first.first() == Some(&0x16) && first.get(1).is_none_or(|major| *major == 3);
                if count == 0 || !like_tls {
                    break;
                }
                match server_name(&first) {
                    Hello::Incomplete => {}
                    Hello::Complete(name) => {
                        check_name(target, name.as_deref())?;
                        break;
                    }
                    Hello::Other(why) => {
                        return Err(Denied::new(403, format!("not TLS, though it begins like it: {why}")));
                    }
                }
            }
        }
        self.spend(&open.sent, first.len())?;
        server.write_all(&first)?;
        self.pump(client, server, &open.sent)?;
        Ok(())
    }

    pub(super) fn pump(&self, from: &mut impl Read, to: &mut impl Write, counter: &AtomicU64) -> io::Result<()> {
        let mut buffer = [0; 32 << 10];
        loop {
            let count = match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // The other side hung up: an end like another.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error),
            };
            self.spend(counter, count)?;
            match to.write_all(&buffer[..count]) {
                Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                    return Ok(());
                }
                other => other?,
            }
        }
    }
}
