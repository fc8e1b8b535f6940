//! Ctrl-C and SIGTERM: the first asks for a clean end, the second ends at once (the spawner sees our end
//! and kills every enclosure, so nothing is left behind either way).

use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use agentic_executor::Cancel;

use crate::error::{Failure, Result};
use crate::exit_code::ExitCode;

/// The watch over signals.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    held: Arc<AtomicBool>,
}

/// While it lives, signals are somebody else's (an editor's).
#[derive(Debug)]
pub(crate) struct Held(Arc<AtomicBool>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Watch {
    /// From now on the first SIGINT or SIGTERM cancels `cancel`, and the second ends the program.
    pub(crate) fn start(cancel: &Cancel, on_first: impl Fn() + Send + 'static) -> Result<Self> {
        let refuse = |error: std::io::Error| Failure::failed(format!("failed to watch for signals: {error}"));
        let (mut receive, send) = UnixStream::pair().map_err(refuse)?;
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::low_level::pipe::register(signal, send.try_clone().map_err(refuse)?).map_err(refuse)?;
        }
        let watch = Self::default();
        let held = watch.held.clone();
        let cancel = cancel.clone();
        let follow = move || {
            let mut next = || loop {
                receive.read_exact(&mut [0]).ok()?;
                if !held.load(Ordering::SeqCst) {
                    return Some(());
                }
            };
            if next().is_none() {
                return;
            }
            on_first();
            // Hooks of the cancellation may take their time: the second signal must not wait for them.
            let first = cancel.clone();
            let asked = std::thread::Builder::new().name("cancel".into()).spawn(move || first.cancel());
            if asked.is_err() {
                cancel.cancel();
            }
            if next().is_some() {
                crate::tty::restore();
                std::process::exit(ExitCode::Cancelled.into());
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(follow).map_err(refuse)?;
        Ok(watch)
    }
    /// Leaves signals to somebody else for a while.
    pub(crate) fn hold(&self) -> Held {
        self.held.store(true, Ordering::SeqCst);
        Held(self.held.clone())
    }
}
