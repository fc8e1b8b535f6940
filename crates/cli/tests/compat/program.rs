//! One row of the matrix as its table has it.

use std::path::Path;

use agentic_testkit::{find_program, is_root};
use serde::Deserialize;

/// A table of programs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    pub(crate) program: Vec<Program>,
}

/// A program and what it must say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Program {
    pub(crate) name: String,
    /// `python` (in the system view) or `bash` (in the host view).
    pub(crate) language: String,
    /// Another view than the language's.
    pub(crate) view: Option<String>,
    /// What it needs on the PATH.
    #[serde(default)]
    pub(crate) programs: Vec<String>,
    /// What Python must find.
    #[serde(default)]
    pub(crate) packages: Vec<String>,
    /// It takes so long that only `cargo xtask compat` runs it.
    #[serde(default)]
    pub(crate) long: bool,
    /// Its control needs root.
    #[serde(default)]
    pub(crate) root: bool,
    /// Its control refuses to run as root; inside, root has another uid.
    #[serde(default)]
    pub(crate) ordinary: bool,
    /// Megabytes, where the default for its view is too little.
    pub(crate) memory: Option<String>,
    #[serde(default)]
    pub(crate) stdin: String,
    /// `@PORT@` and `@SOCKET@` stand for a server of the host, by address and by path.
    pub(crate) code: String,
    /// Standard output inside, and outside unless `outside` says another.
    pub(crate) expect: String,
    #[serde(default)]
    pub(crate) status: i32,
    /// Why it is broken inside, where it is meant to be; then `outside` is what the control says.
    pub(crate) by_design: Option<String>,
    pub(crate) outside: Option<String>,
    /// Why `strict` breaks it; without a reason it must do there what it does here. A script of bash starts programs.
    strict: Option<String>,
}

impl Program {
    pub(crate) fn is_python(&self) -> bool {
        match &*self.language {
            "python" => true,
            "bash" => false,
            other => panic!("{}: no language `{other}`", self.name),
        }
    }
    pub(crate) fn file(&self) -> &'static str {
        if self.is_python() { "main.py" } else { "main.sh" }
    }
    pub(crate) fn interpreter(&self) -> &'static str {
        if self.is_python() { "python3" } else { "bash" }
    }
    pub(crate) fn view(&self) -> &str {
        self.view.as_deref().unwrap_or(if self.is_python() { "system" } else { "host" })
    }
    /// What stands behind its name in the report.
    pub(crate) fn with_memory(&self) -> String {
        self.memory.as_ref().map_or_else(String::new, |memory| format!(" (`--memory {memory}`)"))
    }
    /// Why the profile `strict` breaks it; `None` when it must not.
    pub(crate) fn broken_by_strict(&self) -> Option<&str> {
        self.strict.as_deref().or((!self.is_python()).then_some("starts programs"))
    }
    pub(crate) fn said_outside(&self) -> &str {
        self.outside.as_deref().unwrap_or(&self.expect)
    }
    /// What this host lacks for it.
    pub(crate) fn lacks(&self) -> Option<String> {
        if self.root && !is_root() {
            return Some("its control needs root".to_owned());
        }
        if self.ordinary && is_root() {
            return Some("it refuses to run as root outside, so there is no control".to_owned());
        }
        let needed = || self.programs.iter().map(String::as_str).chain([self.interpreter()]);
        let missing: Vec<_> = needed().filter(|name| find_program(name).is_none()).collect();
        if !missing.is_empty() {
            return Some(format!("not installed: {}", missing.join(", ")));
        }
        // Outside, a folder of root's that happens to be passable serves, or one for temporary files; inside, another's
        // home is never shown, nor what lies among everybody's files.
        let shown = |path: &Path| {
            !(path.starts_with("/tmp") || path.starts_with("/var/tmp") || path.starts_with("/root") && !is_root())
        };
        let hidden = |name: &&str| find_program(name).is_some_and(|path| !shown(&path));
        let hidden: Vec<_> = needed().filter(hidden).collect();
        (!hidden.is_empty()).then(|| format!("only where a sandbox shows nothing: {}", hidden.join(", ")))
    }
}
