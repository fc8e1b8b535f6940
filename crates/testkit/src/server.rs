//! A server on the host's loopback that hands out a secret: what a run without network must not reach.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Answers every HTTP request on 127.0.0.1 with its secret, until dropped.
///
/// ```
/// let server = agentic_testkit::SecretServer::start();
/// assert!(server.reach().unwrap().contains(server.secret())); // the control
/// assert_eq!(server.hits(), 1);
/// ```
#[derive(Debug)]
pub struct SecretServer {
    address: SocketAddr,
    secret: String,
    hits: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl SecretServer {
    /// Starts it on a free port.
    ///
    /// # Panics
    /// When loopback cannot be bound.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind 127.0.0.1");
        let address = listener.local_addr().expect("the address that was bound");
        let secret = crate::secrets::marker("loopback");
        let (hits, stopping) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::spawn({
            let (secret, hits, stopping) = (secret.clone(), hits.clone(), stopping.clone());
            move || {
                for stream in listener.incoming().flatten() {
                    if stopping.load(Ordering::SeqCst) {
                        return;
                    }
                    hits.fetch_add(1, Ordering::SeqCst);
                    // A client that hangs up early is no concern of the test.
                    let _ = answer(stream, &secret);
                }
            }
        });
        Self { address, secret, hits, stopping, thread: Some(thread) }
    }
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
    /// What it hands out.
    pub fn secret(&self) -> &str {
        &self.secret
    }
    /// Connections so far.
    pub fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
    /// The control: asks it from here and returns the whole answer.
    ///
    /// # Errors
    /// When it does not answer within 5 s.
    pub fn reach(&self) -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

fn answer(mut stream: TcpStream, secret: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 && !line.trim_end().is_empty() {
        line.clear();
    }
    let length = secret.len();
    write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{secret}")
}

impl Drop for SecretServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the accept loop; when this fails the loop has ended already.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
