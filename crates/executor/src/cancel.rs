//! Asking a run to end, from any thread.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// A request to end that many parties can share. Cloning shares it.
///
/// ```
/// use agentic_executor::Cancel;
/// let cancel = Cancel::new();
/// let guard = cancel.on_cancel(|| println!("ending"));
/// cancel.cancel();
/// assert!(cancel.is_cancelled());
/// drop(guard);
/// ```
#[derive(Clone, Default)]
pub struct Cancel {
    state: Arc<Mutex<State>>,
}

type Hook = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct State {
    cancelled: bool,
    next: u64,
    hooks: Vec<(u64, Hook)>,
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("cancelled", &self.is_cancelled()).finish()
    }
}

impl Cancel {
    /// Not yet cancelled.
    pub fn new() -> Self {
        Self::default()
    }
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Asks for the end: every hook runs once, on this thread. Idempotent.
    pub fn cancel(&self) {
        let hooks = {
            let mut state = self.state();
            state.cancelled = true;
            std::mem::take(&mut state.hooks)
        };
        for (_, hook) in hooks {
            hook();
        }
    }
    /// Whether the end was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }
    /// Runs `hook` when the end is asked for (at once if it was already), until the guard is dropped.
    #[must_use = "the hook is taken back when the guard is dropped"]
    pub fn on_cancel(&self, hook: impl Fn() + Send + Sync + 'static) -> CancelGuard {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        if state.cancelled {
            drop(state);
            hook();
        } else {
            state.hooks.push((id, Arc::new(hook)));
        }
        CancelGuard { cancel: self.clone(), id }
    }
}

/// Takes a hook back when dropped.
#[derive(Debug)]
pub struct CancelGuard {
    cancel: Cancel,
    id: u64,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.cancel.state().hooks.retain(|(id, _)| *id != self.id);
    }
}
