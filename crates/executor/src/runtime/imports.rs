//! The import policy: which modules user code may import, and what their names stand for in the kernel.
//!
//! [`ImportPolicy`] is built from the settings; [`ImportPolicy::closed`] closes capabilities, and
//! [`ImportPolicy::arguments`] start the Python source that refuses names by name. One decision: the bootstrap
//! only explains. Whatever it fails to catch meets the same wall in the kernel, so it may stay simple.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use agentic_sandbox::Closed;

use super::compiled;
use crate::config::SandboxSettings;

/// What a module's name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Starting programs.
    Exec,
    /// INET sockets.
    Inet,
}

/// Module names, what they stand for, and why. A name covers what lies beneath it: `urllib` is also `urllib.request`.
/// `docs/reference/imports.md` shows this table, and a test holds the two together.
pub const STANDS_FOR: &[(&str, Capability, &str)] = &[
    ("subprocess", Capability::Exec, "starts programs"),
    ("_posixsubprocess", Capability::Exec, "what subprocess starts programs with"),
    ("pty", Capability::Exec, "pty.spawn starts programs"),
    ("sh", Capability::Exec, "starts programs by attribute"),
    ("plumbum", Capability::Exec, "starts programs"),
    ("pexpect", Capability::Exec, "starts programs on a terminal"),
    ("invoke", Capability::Exec, "starts programs"),
    ("os.system", Capability::Exec, "starts a shell"),
    ("os.popen", Capability::Exec, "starts a shell"),
    ("os.execl", Capability::Exec, "replaces the program"),
    ("os.execle", Capability::Exec, "replaces the program"),
    ("os.execlp", Capability::Exec, "replaces the program"),
    ("os.execlpe", Capability::Exec, "replaces the program"),
    ("os.execv", Capability::Exec, "replaces the program"),
    ("os.execve", Capability::Exec, "replaces the program"),
    ("os.execvp", Capability::Exec, "replaces the program"),
    ("os.execvpe", Capability::Exec, "replaces the program"),
    ("os.spawnl", Capability::Exec, "starts a program"),
    ("os.spawnle", Capability::Exec, "starts a program"),
    ("os.spawnlp", Capability::Exec, "starts a program"),
    ("os.spawnlpe", Capability::Exec, "starts a program"),
    ("os.spawnv", Capability::Exec, "starts a program"),
    ("os.spawnve", Capability::Exec, "starts a program"),
    ("os.spawnvp", Capability::Exec, "starts a program"),
    ("os.spawnvpe", Capability::Exec, "starts a program"),
    ("os.posix_spawn", Capability::Exec, "starts a program"),
    ("os.posix_spawnp", Capability::Exec, "starts a program"),
    ("socket", Capability::Inet, "opens sockets"),
    ("_socket", Capability::Inet, "what socket is made of"),
    ("socketserver", Capability::Inet, "serves on sockets"),
    ("http", Capability::Inet, "http.client and http.server"),
    ("urllib", Capability::Inet, "urllib.request fetches"),
    ("urllib3", Capability::Inet, "fetches"),
    ("requests", Capability::Inet, "fetches"),
    ("httpx", Capability::Inet, "fetches"),
    ("httplib2", Capability::Inet, "fetches"),
    ("aiohttp", Capability::Inet, "fetches and serves"),
    ("websocket", Capability::Inet, "opens websockets"),
    ("websockets", Capability::Inet, "opens websockets"),
    ("pycurl", Capability::Inet, "fetches"),
    ("paramiko", Capability::Inet, "speaks SSH"),
    ("ftplib", Capability::Inet, "speaks FTP"),
    ("telnetlib", Capability::Inet, "speaks telnet"),
    ("smtplib", Capability::Inet, "sends mail"),
    ("poplib", Capability::Inet, "fetches mail"),
    ("imaplib", Capability::Inet, "fetches mail"),
    ("nntplib", Capability::Inet, "reads news"),
    ("xmlrpc", Capability::Inet, "calls over HTTP"),
];

/// How the message begins with which Python's own functions refuse to start a program.
pub(super) const EXEC_CLOSED: &str = "starting programs is closed by the import policy";

/// Names beneath a module of [`STANDS_FOR`] that need nothing of it.
const HARMLESS: &[&str] = &["urllib.parse", "urllib.error", "http.cookies"];

/// What refuses names. It reads `POLICY` of its namespace.
pub(super) const BOOTSTRAP: &str = include_str!("bootstrap.py");
/// The name that the bootstrap's code bears in frames and tracebacks, by which it knows itself.
pub(super) const FILE_NAME: &str = "<import policy>";

/// How the bootstrap gets the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source<'a> {
    /// The argument after the bootstrap, as `python -c CODE`.
    Argument,
    /// A file that holds what would be that argument.
    CodeFile(&'a Path),
    /// A program of its own, as `python FILE`.
    File(&'a Path),
    /// Standard input, as `python -`.
    Stdin,
}

/// Which modules user code may import.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportPolicy {
    /// The only modules user code may import, when given.
    pub allowed: Option<Vec<String>>,
    /// Modules, and dotted names, that user code may not import. They beat `allowed`.
    pub blocked: Vec<String>,
}

impl ImportPolicy {
    /// The policy of these settings.
    pub fn new(settings: &SandboxSettings) -> Self {
        let tidy = |names: &[String]| -> Vec<String> {
            names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
        };
        Self { allowed: settings.allowed_imports.as_deref().map(tidy), blocked: tidy(&settings.blocked_imports) }
    }
    /// Whether it refuses anything at all.
    pub fn is_empty(&self) -> bool {
        self.allowed.is_none() && self.blocked.is_empty()
    }
    /// Whether user code may not import this name, or a function of that dotted name.
    pub fn refuses(&self, name: &str) -> bool {
        let listed = |rules: &[String]| rules.iter().any(|rule| covers(rule, name) || covers(name, rule));
        listed(&self.blocked)
            || self.allowed.as_deref().is_some_and(|allowed| !allowed.iter().any(|rule| covers(rule, name)))
    }
    /// Whether the kernel closes a capability: a blocked name stands for it, or there is an allow-list and no
    /// name on it (that is not also blocked) does.
    pub fn closes(&self, capability: Capability) -> bool {
        if self.blocked.iter().any(|name| stands_for(name, capability)) {
            return true;
        }
        let Some(allowed) = &self.allowed else { return false };
        let refused = |name: &str| self.blocked.iter().any(|rule| covers(rule, name));
        !allowed.iter().any(|name| !refused(name) && stands_for(name, capability))
    }
    /// What the kernel closes because the names stand for it.
    pub fn closed(&self) -> Closed {
        Closed { exec: self.closes(Capability::Exec), inet: self.closes(Capability::Inet) }
    }
    /// What closes a capability, in words for messages.
    pub fn reason(&self, capability: Capability) -> String {
        let names = self.blocked.iter().filter(|name| stands_for(name, capability)).map(|name| format!("{name:?}"));
        let names: Vec<String> = names.collect();
        if names.is_empty() {
            return "allowed_imports names no module that stands for it".to_owned();
        }
        format!("blocked_imports has {}", names.join(", "))
    }
    /// The interpreter's arguments that run a program under this policy, up to the program's own code: `-c` and a stub
    /// that reads the bootstrap from the file `compiled`; without one its source follows. `roots` are the workspace's
    /// folders.
    pub(super) fn arguments(&self, source: Source<'_>, roots: &[PathBuf], compiled: Option<&Path>) -> Vec<OsString> {
        // The bootstrap gets a namespace of its own, so that `__main__` stays the program's.
        let space = format!("{{\"__name__\": \"import policy\", \"POLICY\": {}}}", self.literal(source, roots));
        let code = compiled.map_or_else(
            || format!("compile(__import__(\"sys\").argv.pop(1), {FILE_NAME:?}, \"exec\")"),
            |path| compiled::expression(&python_path(path)),
        );
        let stub = format!("exec({code}, {space})");
        let source = compiled.is_none().then(|| BOOTSTRAP.into());
        ["-c".into(), stub.into()].into_iter().chain(source).collect()
    }
    /// The policy as the bootstrap reads it.
    fn literal(&self, source: Source<'_>, roots: &[PathBuf]) -> String {
        let (kind, program) = match source {
            Source::Argument => ("argument", None),
            Source::CodeFile(path) => ("code_file", Some(path)),
            Source::File(path) => ("file", Some(path)),
            Source::Stdin => ("stdin", None),
        };
        let list = |names: &[String]| names.iter().map(|name| python_string(name.as_bytes())).collect::<Vec<_>>();
        let roots = roots.iter().map(|root| python_path(root)).collect::<Vec<_>>().join(", ");
        let exec_closed = self.closes(Capability::Exec).then(|| {
            let why = self.reason(Capability::Exec);
            python_string(format!("{EXEC_CLOSED}: {why}").as_bytes())
        });
        let none = || "None".to_owned();
        format!(
            "{{\"allowed\": {}, \"blocked\": [{}], \"roots\": [{roots}], \"exec_closed\": {}, \
             \"kind\": \"{kind}\", \"program\": {}}}",
            self.allowed.as_deref().map_or_else(none, |names| format!("[{}]", list(names).join(", "))),
            list(&self.blocked).join(", "),
            exec_closed.unwrap_or_else(none),
            program.map_or_else(none, python_path),
        )
    }
}

/// Whether a name is the rule's, or lies beneath it.
fn covers(rule: &str, name: &str) -> bool {
    name.strip_prefix(rule).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn stands_for(name: &str, capability: Capability) -> bool {
    let harmless = HARMLESS.iter().any(|harmless| covers(harmless, name));
    !harmless && STANDS_FOR.iter().any(|(module, stands, _)| *stands == capability && covers(module, name))
}

/// A Python string literal that any source encoding can hold.
fn python_string(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => literal.extend(['\\', c]),
            ' '..='~' => literal.push(c),
            _ => literal.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    literal.push('"');
    literal
}

/// A path as Python sees it: bytes that are not UTF-8 as lone surrogates (PEP 383).
fn python_path(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut literal = String::from("\"");
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        let text = python_string(chunk.valid().as_bytes());
        literal.push_str(&text[1..text.len() - 1]);
        for byte in chunk.invalid() {
            literal.push_str(&format!("\\udc{byte:02x}"));
        }
    }
    literal.push('"');
    literal
}
