//! Puts attempts and their controls through enclosures, several at once, and judges what comes back.

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentic_sandbox::ExitReason;

use crate::attempt::{Act, Attempt, End, Expectation, Group, Proof, Scene, Setup};
use crate::bait::{Bait, token};
use crate::enclosure::{Enclosure, Ran, Unconfined, python_is_there};
use crate::report::{Control, Outcome, Report, Row};
use crate::weakened::Weakened;

/// Runs attempts in one enclosure.
#[derive(Clone, Copy)]
pub struct Runner<'a> {
    /// Where they run.
    pub enclosure: &'a dyn Enclosure,
    /// Where sandboxes without a barrier come from; without them the controls that need one are skipped.
    pub weakened: Option<&'a Weakened>,
    /// How many at once.
    pub width: usize,
}

impl std::fmt::Debug for Runner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("enclosure", &self.enclosure.name()).field("width", &self.width).finish()
    }
}

impl Runner<'_> {
    /// Makes every attempt and runs its controls.
    pub fn run(&self, attempts: &[&'static Attempt]) -> Report {
        self.run_watched(attempts, &|_| ControlFlow::Continue(()))
    }

    /// The same, telling each row as it comes, from several threads. Once it is told to break, no attempt is begun any
    /// more, and what those that are on their way come to is not in the report.
    pub fn run_watched(
        &self,
        attempts: &[&'static Attempt],
        watch: &(dyn Fn(Option<&Row>) -> ControlFlow<()> + Sync),
    ) -> Report {
        let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..self.width.max(1) {
                scope.spawn(|| {
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let Some(attempt) = attempts.get(place) else { return };
                        if watch(None).is_break() {
                            return;
                        }
                        let row = self.row(attempt);
                        if watch(Some(&row)).is_break() {
                            return;
                        }
                        rows.lock().unwrap_or_else(PoisonError::into_inner).push((place, row));
                    }
                });
            }
        });
        let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        rows.sort_by_key(|(place, _)| *place);
        Report { enclosure: self.enclosure.name(), rows: rows.into_iter().map(|(_, row)| row).collect() }
    }

    fn row(&self, attempt: &'static Attempt) -> Row {
        let (outcome, controls) = match self.not_here(attempt) {
            Some(why) => (Outcome::Skipped(why), Vec::new()),
            None => match Bait::new() {
                Ok(bait) => {
                    let outcome = self.attempt(attempt, &bait);
                    (outcome, self.controls(attempt))
                }
                Err(error) => (Outcome::Inconclusive(format!("no bait could be laid out: {error}")), Vec::new()),
            },
        };
        let group = attempt.group().unwrap_or(Group::Kernel);
        Row { id: attempt.id, what: attempt.what, group, outcome, controls }
    }

    fn not_here(&self, attempt: &Attempt) -> Option<String> {
        if let Some(arch) = attempt.arch.filter(|arch| *arch != std::env::consts::ARCH) {
            return Some(format!("it is written for {arch}"));
        }
        if let Expectation::Pointless(why) = self.enclosure.expectation(attempt) {
            return Some(why.to_owned());
        }
        (!python_is_there()).then(|| "there is no /usr/bin/python3".to_owned())
    }

    /// Makes an attempt, without its controls.
    pub fn attempt(&self, attempt: &Attempt, bait: &Bait) -> Outcome {
        let expectation = self.enclosure.expectation(attempt);
        let attempt = match expectation {
            Expectation::Refused(refused) => &Attempt { refused, end: None, ..*attempt },
            _ => attempt,
        };
        let outcome = match act(self.enclosure, attempt, bait) {
            Ok(ran) => match expectation {
                Expectation::Stopped(complaint) => judge_stopped(attempt, complaint, &ran),
                _ => judge(attempt, &ran),
            },
            Err(why) => Outcome::Inconclusive(format!("it could not be made: {why}")),
        };
        match (outcome, expectation) {
            (Outcome::Escaped(_), Expectation::NotPromised(sentence)) => Outcome::NotPromised(sentence.to_owned()),
            (Outcome::Refused(line), Expectation::NotPromised(_)) if attempt.missing.contains(&line.as_str()) => {
                Outcome::Skipped("the host has none of it".to_owned())
            }
            // A place in the list that is not needed hides what comes to need it.
            (Outcome::Refused(line), Expectation::NotPromised(_)) => {
                Outcome::Inconclusive(format!("it is listed as not promised, and is refused: {line}"))
            }
            (outcome, _) => outcome,
        }
    }

    /// Its controls in turn. What the kernel lacks outside, none inside can show, although it may answer there as a barrier
    /// does.
    fn controls(&self, attempt: &Attempt) -> Vec<Control> {
        let mut controls: Vec<Control> = Vec::new();
        for proof in attempt.proofs {
            let lacking = controls.iter().find(|control| matches!(control, Control::Lacking(_))).cloned();
            controls.push(match (self.control(attempt, proof), lacking) {
                (Control::NotShown(_), Some(lacking)) => lacking,
                (control, _) => control,
            });
        }
        controls
    }

    fn control(&self, attempt: &Attempt, proof: &Proof) -> Control {
        let bait = match Bait::new() {
            Ok(bait) => bait,
            Err(error) => return Control::NotShown(format!("no bait could be laid out: {error}")),
        };
        let on_host = matches!(proof, Proof::Host | Proof::HostAsRoot);
        if !on_host && self.enclosure.expectation(attempt) != Expectation::Same {
            return Control::Skipped("closed here under every policy; shown where it is not".into());
        }
        let ran = match proof {
            Proof::Elsewhere(test) => return Control::Skipped(format!("shown by a test of its own: {test}")),
            Proof::HostAsRoot if !rustix::process::geteuid().is_root() => {
                return Control::Skipped("outside, the kernel answers only root otherwise".into());
            }
            Proof::WithoutAsUser(_) if rustix::process::geteuid().is_root() => {
                return Control::Skipped("started as root, a run has an id of its own".into());
            }
            Proof::Host | Proof::HostAsRoot => act(&Unconfined, attempt, &bait),
            Proof::Without(barriers) | Proof::WithoutAsUser(barriers) => {
                let Some(weakened) = self.weakened else {
                    return Control::Skipped(format!(
                        "shown by the test suite alone, which takes the barrier away: {barriers}"
                    ));
                };
                match weakened.without(barriers) {
                    Ok(sandbox) => match self.enclosure.without(sandbox, barriers) {
                        Some(enclosure) => act(&*enclosure, attempt, &bait),
                        None => return Control::Skipped(format!("there is no such barrier here: {barriers}")),
                    },
                    Err(error) => Err(format!("no spawner without {barriers}: {error}")),
                }
            }
            Proof::With(setup) => act(self.enclosure, &attempt.within(*setup), &bait),
            Proof::By(code) => code(&Scene { enclosure: self.enclosure, bait: &bait, attempt }).map(said),
        };
        match ran {
            Ok(ran) if ran.stdout.lines().any(|line| attempt.reached.contains(&line)) => Control::Shown,
            Ok(ran) => {
                let line = ran.stdout.lines().last().unwrap_or_default().to_owned();
                let lacks = attempt.missing.contains(&line.as_str());
                if lacks && (on_host || !attempt.refused.contains(&line.as_str())) {
                    return Control::Lacking(line);
                }
                Control::NotShown(format!("{proof:?}: {}", told(&ran)))
            }
            Err(why) => Control::NotShown(format!("{proof:?}: {why}")),
        }
    }
}

fn said(line: String) -> Ran {
    Ran { stdout: line, stderr: String::new(), reason: ExitReason::Exited(0), hits: Vec::new(), cpu: Duration::ZERO }
}

/// Makes an attempt in an enclosure.
pub(crate) fn act(enclosure: &dyn Enclosure, attempt: &Attempt, bait: &Bait) -> Result<Ran, String> {
    match attempt.act {
        Act::Pair(sender, receiver) => {
            let word = token();
            let mut running = enclosure.start(Act::Python(sender), &attempt.setup, bait, &word)?;
            running.wait_for("ready").map_err(|why| format!("the sender is not ready: {why}"))?;
            let ran = enclosure.run_paired(Act::Python(receiver), &attempt.setup, bait, Some(&word));
            // A sender that was heard cleans up what it left on the host.
            let heard = ran.as_ref().is_ok_and(|ran| ran.stdout.lines().any(|line| attempt.reached.contains(&line)));
            running.end(if heard { Duration::from_secs(2) } else { Duration::ZERO });
            if let Some(undo) = attempt.undo {
                let undone = Unconfined.run_paired(Act::Python(undo), &Setup::PLAIN, bait, Some(&word))?;
                if undone.stdout != "undone\n" {
                    return Err(format!("what it may leave on the host was not taken away: {}", told(&undone)));
                }
            }
            ran
        }
        Act::Host(code) => code(&Scene { enclosure, bait, attempt }).map(said),
        _ => enclosure.run(attempt.act, &attempt.setup, bait),
    }
}

/// What a run came to, by its line, its end and its limits. Anything but the exact refusal is inconclusive.
pub(crate) fn judge(attempt: &Attempt, ran: &Ran) -> Outcome {
    let lines: Vec<&str> = ran.stdout.lines().collect();
    if let Some(line) = lines.iter().find(|line| attempt.reached.contains(line)) {
        return Outcome::Escaped((*line).to_owned());
    }
    let End { reason, hits } = attempt.end.unwrap_or(End { reason: ExitReason::Exited(0), hits: &[] });
    let unnamed = attempt.sampled && ran.hits.is_empty();
    if ran.reason != reason || (ran.hits != hits && !unnamed) {
        return Outcome::Inconclusive(told(ran));
    }
    let last = lines.last().copied().unwrap_or_default();
    let one = attempt.end.is_some() || lines.len() == 1;
    match attempt.refused {
        [] => Outcome::Refused(format!("{reason:?}")),
        refused if one && refused.contains(&last) => Outcome::Refused(last.to_owned()),
        _ => Outcome::Inconclusive(told(ran)),
    }
}

/// What a run came to that has to be stopped on its way to what it attempts.
fn judge_stopped(attempt: &Attempt, complaint: &str, ran: &Ran) -> Outcome {
    if let Some(line) = ran.stdout.lines().find(|line| attempt.reached.contains(line)) {
        return Outcome::Escaped(line.to_owned());
    }
    let last = ran.stderr.trim().lines().last().unwrap_or_default();
    let stopped = ran.reason == ExitReason::Exited(1) && ran.hits.is_empty() && ran.stdout.is_empty();
    if stopped && last.starts_with(complaint) {
        return Outcome::Refused(last.to_owned());
    }
    Outcome::Inconclusive(told(ran))
}

/// A run in one line, for a person.
fn told(ran: &Ran) -> String {
    let short = |text: &str| -> String { text.trim().replace('\n', " | ").chars().take(300).collect() };
    let last = ran.stderr.trim().lines().last().unwrap_or_default();
    format!("{:?} {:?}, printed `{}`, complained `{}`", ran.reason, ran.hits, short(&ran.stdout), short(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::python;

    const ATTEMPT: Attempt = python("kernel/none", "nothing", "", &["refused EPERM"], &[Proof::Host]);

    fn judged(stdout: &str, reason: ExitReason) -> Outcome {
        judge(&ATTEMPT, &Ran { reason, ..said(stdout.into()) })
    }

    #[test]
    fn a_program_that_is_stopped_says_by_what() {
        let stopped = |stdout: &str, stderr: &str, code| {
            let ran = Ran { stderr: stderr.into(), reason: ExitReason::Exited(code), ..said(stdout.into()) };
            judge_stopped(&ATTEMPT, "OSError: [Errno 97]", &ran)
        };
        assert!(matches!(stopped("", "Traceback\nOSError: [Errno 97] no\n", 1), Outcome::Refused(_)));
        assert!(matches!(stopped("reached\n", "OSError: [Errno 97] no\n", 1), Outcome::Escaped(_)));
        for (stdout, stderr, code) in [
            ("", "OSError: [Errno 13] no", 1),
            ("", "OSError: [Errno 97] no", 0),
            ("refused EPERM\n", "OSError: [Errno 97] no", 1),
            ("", "OSError: [Errno 97] no\nand more", 1),
            ("", "", 1),
        ] {
            assert!(matches!(stopped(stdout, stderr, code), Outcome::Inconclusive(_)), "{stdout:?} {stderr:?} {code}");
        }
    }

    #[test]
    fn only_the_exact_refusal_counts() {
        assert_eq!(judged("refused EPERM\n", ExitReason::Exited(0)), Outcome::Refused("refused EPERM".into()));
        assert_eq!(judged("noise\nreached\n", ExitReason::Signalled(9)), Outcome::Escaped("reached".into()));
        for (stdout, reason) in [
            ("", ExitReason::Exited(0)),
            ("refused EACCES\n", ExitReason::Exited(0)),
            ("noise\nrefused EPERM\n", ExitReason::Exited(0)),
            ("refused EPERM\n", ExitReason::Exited(1)),
            ("refused EPERM\n", ExitReason::TimedOut),
        ] {
            assert!(matches!(judged(stdout, reason), Outcome::Inconclusive(_)), "{stdout:?} {reason:?}");
        }
    }
}
