//! Which test left a process running: no runner tells, so halves of the tests that passed are run again until one is left.

use std::time::{Duration, Instant};

use super::round::Ran;
use super::runners::Select;
use super::suite::Suite;
use super::tally::Known;
use super::verdict::{passed, tests};
use crate::tools::ToolResult;

/// Rounds that look for the test which left a process running.
const MOST_TRACES: u32 = 24;
/// What the looking may take, or twice the first round where that is more.
const LONGEST_TRACE: Duration = Duration::from_secs(60);

impl Suite<'_> {
    /// Notes what a round of one test left running.
    pub(super) fn left_by(&mut self, test: &Known, ran: &Ran) {
        if !ran.output.left.is_empty() {
            self.record(test).left.clone_from(&ran.output.left);
        }
    }
    /// Finds the tests that left processes running, by running halves of those that passed.
    pub(super) fn trace_left(&mut self, ran: &Ran) -> Result<(), Box<ToolResult>> {
        let passed: Vec<Known> = passed(&ran.tally);
        if !ran.by_itself() {
            self.unseen.extend(passed);
            return Ok(());
        }
        if ran.output.left.is_empty() {
            return Ok(());
        }
        self.trace(passed, &ran.output.left)
    }
    fn trace(&mut self, suspects: Vec<Known>, left: &[String]) -> Result<(), Box<ToolResult>> {
        self.tracing = true;
        let outcome = self.halve(suspects, left);
        self.tracing = false;
        outcome
    }
    fn halve(&mut self, suspects: Vec<Known>, left: &[String]) -> Result<(), Box<ToolResult>> {
        let until = Instant::now() + LONGEST_TRACE.max(2 * self.first);
        let mut groups = vec![suspects];
        let mut traces = 0;
        let mut found = false;
        let mut whole = true;
        while let Some(mut group) = groups.pop() {
            if group.is_empty() {
                continue;
            }
            // A group is known to leave something: one test alone is the one.
            if group.len() == 1 {
                let test = group.remove(0);
                if self.record(&test).left.is_empty() {
                    self.record(&test).left = left.to_vec();
                }
                found = true;
                continue;
            }
            if traces >= MOST_TRACES || Instant::now() >= until || !self.may_go_on() {
                whole = false;
                continue;
            }
            let half = group.split_off(group.len() / 2);
            for half in [group, half] {
                traces += 1;
                let ran = self.round(Select::Only(half.clone()), Some(1), 1)?;
                match (ran.output.left.is_empty(), half.as_slice()) {
                    (true, _) => {}
                    (false, [one]) => {
                        let one = one.clone();
                        self.left_by(&one, &ran);
                        found = true;
                    }
                    (false, _) => groups.push(half),
                }
            }
        }
        if !found || !whole {
            for name in left {
                if !self.told.left_processes.contains(name) {
                    self.told.left_processes.push(name.clone());
                }
            }
            self.told.notes.push(format!(
                "processes were left running ({}), and not all of them could be traced to a test",
                left.join(", ")
            ));
        }
        Ok(())
    }
    /// Tests that passed in a round that was ended: whether they leave something shows when they are run once more.
    pub(super) fn look_for_unseen(&mut self) -> Result<(), Box<ToolResult>> {
        let unseen = std::mem::take(&mut self.unseen);
        if unseen.is_empty() {
            return Ok(());
        }
        let seconds: f64 =
            unseen.iter().filter_map(|test| self.records[*self.places.get(&test.id)?].attempts.first()?.duration).sum();
        if seconds > LONGEST_TRACE.as_secs_f64() || !self.may_go_on() {
            self.told.notes.push(format!(
                "whether processes were left running was not looked at for {}, which passed in a round that was ended",
                tests(unseen.len())
            ));
            return Ok(());
        }
        self.tracing = true;
        let ran = self.round(Select::Only(unseen), self.terms.workers, 1);
        self.tracing = false;
        let ran = ran?;
        if ran.by_itself() && !ran.output.left.is_empty() {
            return self.trace(passed(&ran.tally), &ran.output.left);
        }
        Ok(())
    }
}
