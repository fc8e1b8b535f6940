//! What there is to be had on the host: the things that a program must not reach, each of them really there.

use std::fs;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

/// Sockets, files and a process of the host, for as long as this value lives.
#[derive(Debug)]
pub struct Bait {
    place: TempDir,
    token: String,
    tcp: TcpListener,
    /// Absent on a host without IPv6.
    tcp_six: Option<TcpListener>,
    udp: UdpSocket,
    _stream: UnixListener,
    _datagram: UnixDatagram,
    _abstract: UnixListener,
    victim: Child,
}

/// Numbers of tokens and pairs, so that no two meet.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A word that nothing else on this host contains.
pub(crate) fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    format!("{:x}-{:x}-{:x}", std::process::id(), now & 0xff_ffff_ffff, COUNTER.fetch_add(1, Ordering::Relaxed))
}

impl Bait {
    /// Lays everything out. The folder lies on a disk, where a layer can: `TMPDIR`, else `/var/tmp`.
    ///
    /// # Errors
    /// What the host refused.
    pub fn new() -> io::Result<Self> {
        let disk = std::env::var_os("TMPDIR").map_or_else(|| "/var/tmp".into(), PathBuf::from);
        let place = tempfile::Builder::new().prefix("agentic-attack-").tempdir_in(disk)?;
        let token = token();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755))?;
        let shared = place.path().join("shared");
        fs::create_dir(&shared)?;
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o777))?;
        for (path, mode) in [("shared/open", 0o666), ("shared/hidden", 0o644), ("beside", 0o644)] {
            let path = place.path().join(path);
            fs::write(&path, &token)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
        let stream = UnixListener::bind(shared.join("stream"))?;
        let datagram = UnixDatagram::bind(shared.join("datagram"))?;
        for name in ["stream", "datagram"] {
            fs::set_permissions(shared.join(name), fs::Permissions::from_mode(0o777))?;
        }
        let address = SocketAddr::from_abstract_name(format!("agentic-attack-{token}"))?;
        // It reads what we hold the other end of, and so ends with us, however we end.
        let victim = Command::new("cat")
            .env("AGENTIC_ATTACK_TOKEN", &token)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self {
            tcp: TcpListener::bind("127.0.0.1:0")?,
            tcp_six: TcpListener::bind("[::1]:0").ok(),
            udp: UdpSocket::bind("127.0.0.1:0")?,
            _stream: stream,
            _datagram: datagram,
            _abstract: UnixListener::bind_addr(&address)?,
            victim,
            place,
            token,
        })
    }

    /// The folder that [`crate::Setup::shared`] shows.
    pub fn shared(&self) -> PathBuf {
        self.place.path().join("shared")
    }
    /// Where everything lies.
    pub fn place(&self) -> &Path {
        self.place.path()
    }
    /// The word that stands in its files.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What programs are told of it: the items of `HOST`, as Python writes a dictionary.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let port = |address: io::Result<std::net::SocketAddr>| address.map_or(0, |address| address.port()).to_string();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        vec![
            ("token", quoted(&self.token)),
            ("shared", quoted(&self.shared().to_string_lossy())),
            ("beside", quoted(&self.place.path().join("beside").to_string_lossy())),
            ("abstract", quoted(&format!("agentic-attack-{}", self.token))),
            ("tcp", port(self.tcp.local_addr())),
            ("tcp_six", self.tcp_six.as_ref().map_or_else(|| "9".to_owned(), |listener| port(listener.local_addr()))),
            ("udp", port(self.udp.local_addr())),
            ("victim", self.victim.id().to_string()),
            ("engine", std::process::id().to_string()),
            ("name", quoted(&host)),
        ]
    }
}

impl Drop for Bait {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

/// A Python string literal.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n"))
}
