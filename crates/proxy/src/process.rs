//! The proxy's process: started with an empty environment, told the rules over a socket, confined before it takes a
//! byte from inside or from the network, ended with the engine.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use agentic_sandbox::{Enforcement, channel, confine_proxy};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::serve::{Server, System};
use crate::tls::{Authority, Upstream};
use crate::wire::{Order, Said, Word};

/// `argv[0]` of a proxy, and its only argument.
pub(crate) const NAME: &str = "agentic-proxy";

/// What resolving a name reads: configuration and the C library's modules.
const READABLE: &[&str] = &[
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/dev/null",
    "/dev/urandom",
];

/// To be called first thing in `main` of every executable that serves as a proxy, as
/// [`agentic_sandbox::spawner_hook`]: returns at once unless this process was started as a proxy.
pub fn proxy_hook() {
    let mut args = std::env::args_os();
    if args.next().is_some_and(|name| name == NAME) && args.next().is_none() {
        // Standard input is the engine's socket.
        let code =
            match rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).map_err(io::Error::from).and_then(run) {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("agentic proxy: {error}");
                    1
                }
            };
        std::process::exit(code);
    }
}

fn run(socket: OwnedFd) -> io::Result<()> {
    let engine = rustix::net::sockopt::socket_peercred(&socket)?.pid;
    let engine_ended = pidfd_open(engine, PidfdFlags::empty())?;
    if rustix::process::getppid() != Some(engine) {
        return Ok(());
    }
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    let Some((Order::Begin(access), _)) = channel::receive::<Order>(&socket)? else { return Ok(()) };
    let terminates = !access.terminate.is_empty();
    let prepared = Upstream::new(access.extra_roots.as_deref()).and_then(|upstream| {
        let authority = terminates.then(|| Authority::new(&access.terminate)).transpose()?;
        let readable: Vec<PathBuf> = READABLE.iter().map(PathBuf::from).collect();
        Ok((upstream, authority, confine_proxy(&readable)?))
    });
    let (upstream, authority, confined) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let why = format!("failed to prepare the network proxy: {error}");
            return channel::send(&socket, &Word::Failed(why), &[]);
        }
    };
    let confined = match confined {
        Enforcement::Active => Said::Active,
        Enforcement::Degraded(why) | Enforcement::Off(why) => Said::Degraded(why),
    };
    let pem = authority.as_ref().map(|authority| authority.pem().to_owned());
    channel::send(&socket, &Word::Ready { confined, authority: pem }, &[])?;
    let socket = Arc::new(socket);
    let server = Server::new(*access, Arc::new(System), upstream, authority, {
        let socket = socket.clone();
        // Nobody left to tell means that the run is over.
        move |word| drop(channel::send(&socket, &word, &[]))
    });
    loop {
        let mut ready = [PollFd::new(&*socket, PollFlags::IN), PollFd::new(&engine_ended, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut ready, None))?;
        if !ready[1].revents().is_empty() {
            return Ok(());
        }
        match channel::receive::<Order>(&*socket)? {
            Some((Order::Listen(entries), listeners)) => {
                for (entry, listener) in entries.into_iter().zip(listeners) {
                    let listener = TcpListener::from(listener);
                    let server = server.clone();
                    std::thread::Builder::new()
                        .name("listen".into())
                        .spawn(move || server.accept(&listener, &entry))?;
                }
            }
            Some((Order::Begin(_), _)) => {}
            Some((Order::End, _)) | None => {
                server.end();
                return Ok(());
            }
        }
    }
}
