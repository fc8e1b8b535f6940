//! `agentic exec --tty`: the caller's terminal, handed to the program's own.
//!
//! While a [`Raw`] lives, the terminal passes every key on unread (Ctrl-C is a byte that the program's own
//! terminal turns into a signal). One decision: the settings to go back to lie in a static, because a second
//! signal ends this program from another thread, past every destructor.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;

/// What the terminal was set to before it became raw.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal in raw mode, until dropped.
#[derive(Debug)]
pub(crate) struct Raw;

impl Raw {
    /// Makes the terminal of standard input raw.
    pub(crate) fn enter() -> Result<Self> {
        let refuse = |error: rustix::io::Errno| {
            Failure::new(ExitCode::Refused, format!("failed to set up the terminal of standard input: {error}"))
        };
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).map_err(refuse)?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        // From here on the destructor puts it back, also when only a part was set.
        let entered = Self;
        tcsetattr(&stdin, OptionalActions::Drain, &raw).map_err(refuse)?;
        Ok(entered)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back as it was found. Does nothing when it was not touched.
pub(crate) fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // A terminal that is gone needs nothing.
        let _gone = tcsetattr(std::io::stdin(), OptionalActions::Drain, &before);
    }
}

/// Refuses to stand between a program's terminal and something that is none.
pub(crate) fn check() -> Result<()> {
    let name = match (std::io::stdin().is_terminal(), std::io::stdout().is_terminal()) {
        (true, true) => return Ok(()),
        (false, _) => "input",
        (true, false) => "output",
    };
    Err(Failure::new(
        ExitCode::Refused,
        format!("failed to give the program a terminal: standard {name} is not a terminal itself"),
    )
    .hint("leave out --tty: the program gets pipes"))
}

/// Rows and columns of the caller's terminal.
pub(crate) fn size() -> (u16, u16) {
    match tcgetwinsize(std::io::stdout()) {
        Ok(size) => (size.ws_row, size.ws_col),
        Err(_) => (24, 80),
    }
}
