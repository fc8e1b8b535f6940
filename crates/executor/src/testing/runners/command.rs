//! A command of which nothing is known: one test, which passes when the command ends with status 0. When it starts
//! pytest somewhere inside, as `make test` often does, its reports come all the same.

use std::borrow::Cow;

use super::pytest;
use super::{Launch, Round, Runner};
use crate::testing::command::TestCommand;
use crate::testing::tally::Known;

#[derive(Debug)]
pub(super) struct Opaque(pub(super) TestCommand);

impl Runner for Opaque {
    fn name(&self) -> &'static str {
        "command"
    }
    fn files(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        vec![(pytest::PLUGIN.0, Cow::Borrowed(pytest::PLUGIN.1))]
    }
    fn launch(&self, round: &Round) -> Launch {
        Launch { line: self.0.line.clone(), env: pytest::environment(round), files: Vec::new() }
    }
    fn says_finished(&self) -> bool {
        false
    }
    fn whole(&self) -> Option<Known> {
        Some(Known { id: self.0.line.clone(), name: self.0.line.clone(), ..Known::default() })
    }
}
