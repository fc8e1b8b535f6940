//! A person at a terminal: a pseudo-terminal with the program in its foreground, read until a text appears.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;

use super::Scene;

/// The program at a terminal.
pub(crate) struct Terminal {
    master: File,
    child: Child,
    /// Everything shown so far.
    pub(crate) shown: String,
    /// How much of it was waited for already.
    read: usize,
}

/// Long enough for a debug build on a busy machine; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

impl Terminal {
    /// Starts the program. `None`, with a line that says so, where no `setsid` gives it the terminal.
    pub(crate) fn start(scene: &Scene, args: &[&str], variables: &[(&str, &str)]) -> Option<Self> {
        let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = File::from(rustix::fs::open(name, flags, Mode::empty()).unwrap());
        // `setsid -c` makes the terminal the controlling one, so that Ctrl-C is a signal.
        let mut command = Command::new("setsid");
        command.arg("-c").arg(env!("CARGO_BIN_EXE_agentic")).args(args);
        scene.surround(&mut command);
        command
            .env("TERM", "xterm")
            .envs(variables.iter().copied())
            .stdin(Stdio::from(slave.try_clone().unwrap()))
            .stdout(Stdio::from(slave.try_clone().unwrap()))
            .stderr(Stdio::from(slave));
        match command.spawn() {
            Ok(child) => Some(Self { master: File::from(master), child, shown: String::new(), read: 0 }),
            Err(error) => {
                println!("SKIP: no `setsid` to give a program a terminal: {error}");
                None
            }
        }
    }
    /// Waits until this text appears after what was waited for before.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.shown[self.read..].find(text) {
                self.read += at + text.len();
                return;
            }
            assert!(Instant::now() < until, "`{text}` never appeared: {}", self.shown);
            assert!(self.more(), "the program ended without `{text}`: {}", self.shown);
        }
    }
    /// Types this.
    pub(crate) fn press(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }
    /// Waits for the end and answers with the exit code.
    #[track_caller]
    pub(crate) fn end(&mut self) -> i32 {
        let until = Instant::now() + PATIENCE;
        while self.more() {
            assert!(Instant::now() < until, "the program never ended: {}", self.shown);
        }
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
    /// Reads on; `false` when the program has closed the terminal.
    fn more(&mut self) -> bool {
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        let pause = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        if rustix::event::poll(&mut fds, Some(&pause)) == Ok(0) {
            return true;
        }
        let mut bytes = [0; 4096];
        match self.master.read(&mut bytes) {
            // EIO: nobody has the terminal open any more.
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
                true
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
