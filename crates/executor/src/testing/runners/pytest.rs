//! pytest, through a plugin of ours: exact node ids, when each test begins, what was captured.
//!
//! The plugin is loaded by environment (`PYTEST_ADDOPTS`, `PYTHONPATH`), so it is there however pytest is started.

use std::borrow::Cow;

use super::{Exit, Launch, Round, Runner};
use crate::testing::command::TestCommand;

pub(super) const PLUGIN: (&str, &str) = ("agentic_pytest.py", include_str!("agentic_pytest.py"));

#[derive(Debug)]
pub(super) struct Pytest(pub(super) TestCommand);

/// What makes pytest load the plugin.
pub(super) fn environment(round: &Round) -> Vec<(&'static str, String)> {
    let mut env = vec![
        ("PYTHONPATH", "\"$AGENTIC_TEST_DIR${PYTHONPATH:+:$PYTHONPATH}\"".to_owned()),
        ("PYTEST_ADDOPTS", "\"-p agentic_pytest${PYTEST_ADDOPTS:+ $PYTEST_ADDOPTS}\"".to_owned()),
    ];
    if let Some(workers) = round.workers {
        env.push(("AGENTIC_TEST_WORKERS", workers.to_string()));
    }
    env
}

impl Runner for Pytest {
    fn name(&self) -> &'static str {
        "pytest"
    }
    fn files(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        vec![(PLUGIN.0, Cow::Borrowed(PLUGIN.1))]
    }
    fn launch(&self, round: &Round) -> Launch {
        Launch { line: self.0.with(&[]), env: environment(round), files: Vec::new() }
    }
    fn lists(&self) -> bool {
        true
    }
    /// Exit codes of pytest: 1 tests failed, 2 interrupted, 3 internal error, 4 usage error, 5 no tests collected.
    fn exit(&self, code: i32) -> Exit {
        match code {
            0 => Exit::Fine,
            3 => Exit::Broken("pytest had an internal error".into()),
            4 => Exit::Broken("pytest was called in a way that it does not understand".into()),
            5 => Exit::NoTests,
            _ => Exit::Failed,
        }
    }
}
