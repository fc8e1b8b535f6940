//! Interactive mode: `Run step_2 shell "pytest"? [y]es [n]o [e]dit [a]ll [q]uit`, asked on the terminal.
//! Ctrl-C while a question stands ends the run as it does elsewhere; end of input counts as quit.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use agentic_executor::workspace::Persistence;
use agentic_executor::{Cancel, PlanStep};
use rustix::event::{EventfdFlags, PollFd, PollFlags};
use serde_json::{Map, Value};

use crate::engine::{Answer, Prompt};
use crate::render::gist;
use crate::signals::Watch;
use crate::terminal::printable;

/// Asks on the terminal.
#[derive(Debug)]
pub(crate) struct TerminalPrompt {
    cancel: Cancel,
    watch: Watch,
    /// The user's editor, from `$VISUAL` or `$EDITOR`.
    editor: Option<String>,
    /// One question at a time.
    asking: Mutex<()>,
}

/// Answers yes to everything: `--yes`.
#[derive(Debug)]
pub(crate) struct AlwaysYes;

impl Prompt for AlwaysYes {
    fn ask(&self, _step: &PlanStep) -> Answer {
        Answer::Yes
    }
}

impl Prompt for TerminalPrompt {
    fn ask(&self, step: &PlanStep) -> Answer {
        let _one = self.asking.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let question = question(step);
        loop {
            let Some(line) = self.line(&question) else { return Answer::Abort };
            match line.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" => return Answer::Yes,
                "n" | "no" => return Answer::No,
                "a" | "all" => return Answer::All,
                "q" | "quit" => return Answer::Abort,
                "e" | "edit" => match self.edit(&step.params) {
                    Edited::To(params) => return Answer::Edit(params),
                    Edited::Unchanged => {}
                    Edited::Ended => return Answer::Abort,
                },
                other => show(&format!("`{}` is not one of y, n, e, a, q\n", printable(other))),
            }
        }
    }
    fn persist(&self, step: &PlanStep, found: &[Persistence]) -> bool {
        let _one = self.asking.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let question = persist_question(step, found);
        loop {
            let Some(line) = self.line(&question) else { return false };
            match line.trim().to_ascii_lowercase().as_str() {
                "y" | "yes" => return true,
                "n" | "no" | "" => return false,
                other => show(&format!("`{}` is not one of y, n\n", printable(other))),
            }
        }
    }
}

enum Edited {
    To(Map<String, Value>),
    Unchanged,
    Ended,
}

impl TerminalPrompt {
    /// A prompt on standard input and standard error.
    pub(crate) fn new(cancel: Cancel, watch: Watch, editor: Option<String>) -> Self {
        Self { cancel, watch, editor, asking: Mutex::new(()) }
    }

    /// Asks one of these letters or words; `None` at the end of input or when the run is cancelled.
    pub(crate) fn choose(&self, question: &str, among: &[&'static str]) -> Option<&'static str> {
        let _one = self.asking.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        loop {
            let line = self.line(question)?;
            let said = line.trim().to_ascii_lowercase();
            let meant = among.iter().find(|word| said == **word || (!said.is_empty() && word.starts_with(&said)));
            if let Some(word) = meant {
                return Some(word);
            }
            show(&format!("`{}` is not one of {}\n", printable(&said), among.join(", ")));
        }
    }

    /// A line from the terminal; `None` at its end or when the run is cancelled.
    fn line(&self, question: &str) -> Option<String> {
        show(question);
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
        let waker: OwnedFd = wake.try_clone().ok()?;
        let _guard = self.cancel.on_cancel(move || {
            let _full = rustix::io::write(&waker, &1_u64.to_ne_bytes());
        });
        let stdin = std::io::stdin();
        let mut line = Vec::new();
        loop {
            let mut fds = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&wake, PollFlags::IN)];
            match rustix::event::poll(&mut fds, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return None,
            }
            if self.cancel.is_cancelled() {
                show("\n");
                return None;
            }
            let mut bytes = [0; 4096];
            match rustix::io::read(stdin.as_fd(), &mut bytes) {
                Ok(0) if line.is_empty() => {
                    show("\n");
                    return None;
                }
                Ok(0) => break,
                Ok(count) => {
                    line.extend_from_slice(&bytes[..count]);
                    if line.ends_with(b"\n") || line.len() > 1 << 20 {
                        break;
                    }
                }
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(_) => return None,
            }
        }
        // Several lines typed ahead arrive as one: the first is the answer, and a run is not
        // to be driven by what was typed before its question was seen.
        String::from_utf8_lossy(&line).lines().next().map(str::to_owned)
    }

    fn edit(&self, params: &Map<String, Value>) -> Edited {
        match &self.editor {
            Some(editor) => self.edit_in(editor, params),
            None => self.edit_line(params),
        }
    }

    /// Without an editor: one line of JSON.
    fn edit_line(&self, params: &Map<String, Value>) -> Edited {
        show(&format!("now: {}\n", printable(&Value::Object(params.clone()).to_string())));
        loop {
            let Some(line) = self.line("new (JSON, empty to keep): ") else { return Edited::Ended };
            if line.trim().is_empty() {
                return Edited::Unchanged;
            }
            match parse(&line) {
                Ok(params) => return Edited::To(params),
                Err(why) => show(&format!("{why}\n")),
            }
        }
    }

    fn edit_in(&self, editor: &str, params: &Map<String, Value>) -> Edited {
        let text = serde_json::to_string_pretty(params).unwrap_or_default() + "\n";
        let edited = Draft::write(&text).and_then(|draft| {
            // Ctrl-C belongs to the editor while it is open.
            let _held = self.watch.hold();
            let mut words = editor.split_whitespace();
            let program = words.next().unwrap_or("vi");
            let status = std::process::Command::new(program).args(words).arg(&draft.path).status()?;
            if !status.success() {
                return Err(std::io::Error::other(format!("it ended with {status}")));
            }
            std::fs::read_to_string(&draft.path)
        });
        match edited {
            Err(error) => show(&format!("failed to edit with `{}`: {error}\n", printable(editor))),
            Ok(after) if after == text => {}
            Ok(after) => match parse(&after) {
                Ok(params) => return Edited::To(params),
                Err(why) => show(&format!("{why}\n")),
            },
        }
        Edited::Unchanged
    }
}

/// A private file that is taken away again.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(text: &str) -> std::io::Result<Self> {
        let unique = agentic_executor::CallId::new();
        let path = std::env::temp_dir().join(format!("agentic-{unique}.json"));
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let draft = Self { path };
        file.write_all(text.as_bytes())?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(Path::new(&self.path));
    }
}

fn parse(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(params)) => Ok(params),
        Ok(_) => Err("the parameters must be a JSON object, for example {\"command\": \"pytest\"}".to_owned()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

fn question(step: &PlanStep) -> String {
    let gist = gist(&step.params);
    let gist = if gist.is_empty() { String::new() } else { format!(" \"{gist}\"") };
    printable(&format!("Run {} {}{gist}? [y]es [n]o [e]dit [a]ll [q]uit ", step.id, step.tool)).into_owned()
}

/// Every path is shown, however many: whoever says yes has seen them.
fn persist_question(step: &PlanStep, found: &[Persistence]) -> String {
    let mut text = format!("{} {} would leave behind what runs later outside:\n", step.id, step.tool);
    for one in found {
        text.push_str(&format!("  {one}\n"));
    }
    text.push_str("Keep it? [y]es [n]o ");
    printable(&text).into_owned()
}

fn show(text: &str) {
    let mut out = std::io::stderr().lock();
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_question_names_step_tool_and_gist() {
        let params = json!({"command": "pytest\x1b[2J"}).as_object().cloned().unwrap();
        let step = PlanStep::new("step_2", "shell", params, "Run tests");
        assert_eq!(question(&step), "Run step_2 shell \"pytest\\x1b[2J\"? [y]es [n]o [e]dit [a]ll [q]uit ");
    }

    #[test]
    fn only_an_object_is_taken_as_parameters() {
        assert!(parse("{\"a\": 1}").is_ok());
        assert!(parse("[1]").unwrap_err().contains("JSON object"));
        assert!(parse("{").unwrap_err().starts_with("not JSON"));
    }
}
