//! unittest, started by a program of ours that is `python -m unittest` in all but its result class.

use std::borrow::Cow;

use super::{Exit, Launch, Round, Runner, inside};
use crate::testing::command::TestCommand;

#[derive(Debug)]
pub(super) struct Unittest(pub(super) TestCommand);

impl Runner for Unittest {
    fn name(&self) -> &'static str {
        "unittest"
    }
    fn files(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        vec![("agentic_unittest.py", Cow::Borrowed(include_str!("agentic_unittest.py")))]
    }
    fn launch(&self, _round: &Round) -> Launch {
        // `python3 -m unittest ARGS` becomes `python3 OURS ARGS`.
        let mut command = self.0.clone();
        let keep = command.front.len().saturating_sub(2);
        command.front.truncate(keep);
        let mark = "AGENTIC_UNITTEST";
        Launch::new(command.with(&[mark]).replacen(mark, &inside("agentic_unittest.py"), 1))
    }
    fn lists(&self) -> bool {
        true
    }
    /// 5 is that of no tests, from Python 3.12 on; our program gives it always.
    fn exit(&self, code: i32) -> Exit {
        match code {
            0 => Exit::Fine,
            2 => Exit::Broken("unittest was called in a way that it does not understand".into()),
            5 => Exit::NoTests,
            _ => Exit::Failed,
        }
    }
    fn notes(&self, workers: Option<u32>) -> Vec<String> {
        let note = "unittest runs one test at a time: the number of workers has no effect";
        workers.filter(|workers| *workers > 1).map(|_| note.to_owned()).into_iter().collect()
    }
}
