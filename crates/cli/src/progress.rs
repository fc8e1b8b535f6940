//! Shows a run while it goes on: a spinner a running step on a terminal, plain lines in a pipe, a line of
//! JSON an event, or nothing. What the lines say is decided in [`crate::render`].

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use agentic_executor::{Event, EventBody};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::render::Story;
use crate::terminal::Appearance;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Not at all: one JSON object at the end says everything.
    Silent,
    /// Each event as a line of JSON.
    JsonLines,
    /// Lines for people.
    Lines,
}

/// Shows a run while it goes on. It may be called from any thread.
#[derive(Debug)]
pub(crate) struct Progress {
    manner: Manner,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    story: Story,
    live: Option<Live>,
}

#[derive(Debug)]
struct Live {
    area: MultiProgress,
    spinners: BTreeMap<String, ProgressBar>,
}

impl Progress {
    /// Shows a run in `workspace` on standard output.
    pub(crate) fn new(manner: Manner, look: Appearance, workspace: &Path) -> Self {
        let live = (manner == Manner::Lines && look.live).then(|| Live {
            area: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
            spinners: BTreeMap::new(),
        });
        Self { manner, state: Mutex::new(State { story: Story::new(look, workspace), live }) }
    }

    /// Takes in one event.
    pub(crate) fn event(&self, event: &Event) {
        match self.manner {
            Manner::Silent => {}
            Manner::JsonLines => {
                if let Ok(line) = serde_json::to_string(event) {
                    say(&line);
                }
            }
            Manner::Lines => {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.show(event);
            }
        }
    }

    /// A line of our own, above whatever is being drawn.
    pub(crate) fn note(&self, line: &str) {
        if self.manner == Manner::Lines {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.line(line);
        }
    }

    /// Takes away what is drawn over, before the last lines.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = &mut state.live {
            for spinner in std::mem::take(&mut live.spinners).into_values() {
                spinner.finish_and_clear();
            }
        }
    }
}

impl State {
    fn show(&mut self, event: &Event) {
        let ended = match &event.body {
            EventBody::StepFinished { step, .. } => Some(step.to_string()),
            _ => None,
        };
        if let (Some(step), Some(live)) = (&ended, &mut self.live)
            && let Some(spinner) = live.spinners.remove(step)
        {
            spinner.finish_and_clear();
        }
        for line in self.story.tell(event) {
            self.line(&line);
        }
        let Some(live) = &mut self.live else { return };
        match &event.body {
            EventBody::StepStarted { step, .. } => {
                let spinner = live.area.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}  {elapsed}  {wide_msg:.dim}") {
                    spinner.set_style(style);
                }
                spinner.set_prefix(self.story.title(step.as_str()));
                spinner.enable_steady_tick(Duration::from_millis(120));
                live.spinners.insert(step.to_string(), spinner);
            }
            EventBody::CallOutput { step: Some(step), .. } => {
                if let Some(spinner) = live.spinners.get(step.as_str()) {
                    spinner.set_message(self.story.latest(step.as_str()));
                }
            }
            _ => {}
        }
    }

    fn line(&self, line: &str) {
        match &self.live {
            // An area that is not drawn (the terminal went away) takes no lines.
            Some(live) if !live.area.is_hidden() => {
                let _gone = live.area.println(line);
            }
            _ => say(line),
        }
    }
}

/// Prints a line; a reader that went away does not end the run.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _gone = writeln!(out, "{line}").and_then(|()| out.flush());
}
