//! Waiting between tries: the only place where a run sleeps, so that tests need not.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::cancel::Cancel;

type Sleep = dyn Fn(Duration, &Cancel) + Send + Sync;

/// How a run waits.
#[derive(Clone)]
pub(crate) struct Waiter(Arc<Sleep>);

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiter")
    }
}

impl Default for Waiter {
    fn default() -> Self {
        Self::new(|time, cancel| {
            let (wake, woken) = mpsc::channel();
            let wake = Mutex::new(wake);
            let _guard = cancel.on_cancel(move || {
                // Nobody waits any more when this fails.
                wake.lock().unwrap_or_else(PoisonError::into_inner).send(()).ok();
            });
            // Either the time is over or the run is: both end the wait.
            woken.recv_timeout(time).ok();
        })
    }
}

impl Waiter {
    pub(crate) fn new(sleep: impl Fn(Duration, &Cancel) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sleep))
    }
    pub(crate) fn wait(&self, time: Duration, cancel: &Cancel) {
        if !time.is_zero() && !cancel.is_cancelled() {
            (self.0)(time, cancel);
        }
    }
}

/// How long to wait before each try after the first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    /// Tries after the first.
    pub(crate) max: u32,
    /// Seconds before the first of them.
    pub(crate) delay: f64,
    /// Each wait is this many times the one before.
    pub(crate) factor: f64,
    /// The longest wait in seconds.
    pub(crate) max_delay: f64,
    /// Whether each wait is shortened by a random part.
    pub(crate) jitter: bool,
}

/// The waits of a pace, one for each try after the first.
#[derive(Debug)]
pub(crate) struct Backoff {
    waits: ExponentialBackoff,
    jitter: bool,
}

impl Backoff {
    pub(crate) fn new(pace: &Pace) -> Self {
        let seconds = |value: f64| Duration::try_from_secs_f64(value.clamp(0.0, 86_400.0)).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, reason = "a factor needs no more than seven digits")]
        let factor = if pace.factor.is_finite() { pace.factor.clamp(1.0, 1000.0) as f32 } else { 1.0 };
        let most = seconds(pace.max_delay);
        let mut waits = ExponentialBuilder::new()
            .with_min_delay(seconds(pace.delay).min(most))
            .with_max_delay(most)
            .with_factor(factor)
            .with_max_times(pace.max as usize);
        if pace.jitter {
            waits = waits.with_jitter();
        }
        Self { waits: waits.build(), jitter: pace.jitter }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        // The jitter of backon lengthens a wait up to twofold; ours is documented to shorten it.
        self.waits.next().map(|wait| if self.jitter { wait / 2 } else { wait })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_jitter_only_shortens() {
        let pace = Pace { max: 5, delay: 1.0, factor: 3.0, max_delay: 10.0, jitter: false };
        let plain: Vec<_> = Backoff::new(&pace).map(|wait| wait.as_secs_f64()).collect();
        assert_eq!(plain, [1.0, 3.0, 9.0, 10.0, 10.0]);
        let jittered: Vec<_> = Backoff::new(&Pace { jitter: true, ..pace }).collect();
        assert_eq!(jittered.len(), 5);
        for (wait, longest) in jittered.iter().zip(plain) {
            assert!(wait.as_secs_f64() <= longest && wait.as_secs_f64() >= longest / 2.0);
        }
    }

    #[test]
    fn absurd_policies_do_not_panic() {
        for value in [f64::NAN, -1.0, f64::INFINITY, f64::MAX] {
            let pace = Pace { max: 3, delay: value, factor: value, max_delay: value, jitter: true };
            assert_eq!(Backoff::new(&pace).count(), 3);
        }
    }

    #[test]
    fn a_wait_ends_when_the_run_is_cancelled() {
        let cancel = Cancel::new();
        cancel.cancel();
        let began = std::time::Instant::now();
        Waiter::default().wait(Duration::from_secs(600), &cancel);
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}
