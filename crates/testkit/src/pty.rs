//! A terminal for programs that ask: spawn on a pseudo-terminal, send keys, expect text before a deadline.
//!
//! The session and its controlling terminal are made by `setsid --ctty` of util-linux, because doing it
//! between fork and exec here would take `unsafe`.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Ctrl-C as the terminal sends it.
const INTERRUPT: &str = "\x03";

/// The text did not come.
#[derive(Debug)]
pub struct PtyError {
    /// What was waited for.
    pub expected: String,
    /// Why waiting ended: the deadline, or the end of the output.
    pub reason: &'static str,
    /// What had come since the last match.
    pub unread: String,
}

impl std::fmt::Display for PtyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {:?}, but {}; unread output:\n{}", self.expected, self.reason, self.unread)
    }
}

impl std::error::Error for PtyError {}

#[derive(Debug, Default)]
struct Screen {
    bytes: Vec<u8>,
    read: usize,
    ended: bool,
}

/// A program on a pseudo-terminal of 24 lines and 100 columns, killed when dropped.
#[derive(Debug)]
pub struct Pty {
    child: Child,
    keyboard: File,
    screen: Arc<(Mutex<Screen>, Condvar)>,
}

impl Pty {
    /// Starts `program` as the leader of a session whose terminal this is. `configure` sets folder and environment.
    ///
    /// # Errors
    /// When no terminal is to be had, or `setsid` or the program cannot be started.
    pub fn spawn<S: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
        configure: impl FnOnce(&mut Command),
    ) -> io::Result<Self> {
        let setsid = ["/usr/bin/setsid", "/bin/setsid"]
            .into_iter()
            .find(|path| Path::new(path).exists())
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "setsid of util-linux is not installed"))?;
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        tcsetwinsize(&master, Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 })?;
        let name = PathBuf::from(OsString::from_vec(ptsname(&master, Vec::new())?.into_bytes()));
        let no_ctty = i32::try_from(OFlags::NOCTTY.bits()).map_err(io::Error::other)?;
        let terminal = OpenOptions::new().read(true).write(true).custom_flags(no_ctty).open(name)?;
        let mut command = Command::new(setsid);
        command.arg("--ctty").arg(program).args(arguments);
        configure(&mut command);
        command.stdin(terminal.try_clone()?).stdout(terminal.try_clone()?).stderr(terminal);
        let child = command.spawn()?;
        drop(command); // holds the terminal open otherwise, and the output would never end
        let keyboard = File::from(master);
        let screen = Arc::new((Mutex::new(Screen::default()), Condvar::new()));
        let (reader, shared) = (keyboard.try_clone()?, Arc::clone(&screen));
        std::thread::spawn(move || collect(reader, &shared));
        Ok(Self { child, keyboard, screen })
    }
    /// Types `text`; a line ends with `\n`.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.keyboard.write_all(text.as_bytes())
    }
    /// Types Ctrl-C.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn interrupt(&mut self) -> io::Result<()> {
        self.send(INTERRUPT)
    }
    /// Gives the terminal another size, as dragging a window's corner does.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resize(&mut self, rows: u16, columns: u16) -> io::Result<()> {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(&self.keyboard, size)?)
    }
    /// Waits until `text` has come since the last match, and returns everything up to its end.
    ///
    /// # Errors
    /// When `most` passes or the output ends first; the error shows what did come.
    pub fn expect(&self, text: &str, most: Duration) -> Result<String, PtyError> {
        let end = Instant::now() + most;
        let (lock, changed) = &*self.screen;
        let mut screen = lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let unread = &screen.bytes[screen.read..];
            if let Some(at) = unread.windows(text.len().max(1)).position(|window| window == text.as_bytes()) {
                let upto = at + text.len();
                let matched = String::from_utf8_lossy(&unread[..upto]).into_owned();
                screen.read += upto;
                return Ok(matched);
            }
            let left = end.saturating_duration_since(Instant::now());
            if screen.ended || left.is_zero() {
                let reason = if screen.ended { "the output ended" } else { "the deadline passed" };
                let unread = String::from_utf8_lossy(unread).into_owned();
                return Err(PtyError { expected: text.to_owned(), reason, unread });
            }
            screen = changed.wait_timeout(screen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
    /// Everything that came so far, matched or not.
    pub fn output(&self) -> String {
        let screen = self.screen.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&screen.bytes).into_owned()
    }
    /// The process id of the program.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
    /// Waits for the program's end; `None` when `most` passes first.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn wait(&mut self, most: Duration) -> io::Result<Option<ExitStatus>> {
        let end = Instant::now() + most;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn collect(mut reader: File, shared: &(Mutex<Screen>, Condvar)) {
    let mut buffer = [0; 4096];
    loop {
        // The last close of the other side reads as EIO.
        let count = match reader.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(count) => count,
            Err(_) => 0,
        };
        let mut screen = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        screen.bytes.extend_from_slice(&buffer[..count]);
        screen.ended = count == 0;
        let ended = screen.ended;
        drop(screen);
        shared.1.notify_all();
        if ended {
            return;
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // Both fail only when it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_program_on_it_sees_a_terminal_and_reads_lines() {
        let script = "test -t 0 && test -t 1 && read -p 'name? ' name && echo hello $name";
        let mut pty = Pty::spawn("bash", ["-c", script], |_| {}).expect("a terminal");
        pty.expect("name? ", SOON).expect("the question");
        pty.send("Ada\n").expect("type");
        pty.expect("hello Ada", SOON).expect("the answer");
        assert!(pty.wait(SOON).expect("wait").expect("an end").success());
    }

    #[test]
    fn ctrl_c_reaches_the_program_as_a_signal() {
        let script = "trap 'echo interrupted; exit 7' INT; echo ready; while :; do sleep 0.05; done";
        let mut pty = Pty::spawn("bash", ["-c", script], |_| {}).expect("a terminal");
        pty.expect("ready", SOON).expect("the start");
        pty.interrupt().expect("type");
        pty.expect("interrupted", SOON).expect("the trap");
        assert_eq!(pty.wait(SOON).expect("wait").expect("an end").code(), Some(7));
    }

    #[test]
    fn what_does_not_come_is_an_error_that_shows_what_did() {
        let pty = Pty::spawn("echo", ["something else"], |_| {}).expect("a terminal");
        let error = pty.expect("never", SOON).expect_err("it never comes");
        assert!(error.unread.contains("something else"), "{error}");
        assert_eq!(error.reason, "the output ended");
    }
}
