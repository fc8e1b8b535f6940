//! What a failed run was refused, read from what it printed and from the policy it was under.
//!
//! [`inferred`] adds to what the sandbox itself told ([`Output::denials`]). One decision: only the policy is asked, never
//! the host. Whether a file that a program named is there outside is none of the program's business, nor of whoever
//! reads its result; that it is not in the view is.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use agentic_sandbox::{Denial, ExitReason, MOST_DENIALS, Network, Output, Policy, Refuser, Source, View};
use regex::Regex;

use super::diagnose::{NETWORK, tail};
use super::find::is_system;
use super::imports::{Capability, EXEC_CLOSED, ImportPolicy};
use crate::workspace::plain_path;

/// Inferred denials of one run, at most: the last ones that were printed.
const MOST_INFERRED: usize = 8;

/// What a run was under, as far as it explains messages.
#[derive(Debug, Clone, Copy)]
pub struct Under<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// The import policy.
    pub imports: &'a ImportPolicy,
    /// The folder that relative paths start from.
    pub dir: &'a Path,
}

/// A message that names a path: the first group is the path, the kind says what it means.
struct Form {
    absent: bool,
    form: &'static str,
}

const FORMS: &[Form] = &[
    Form { absent: true, form: r#"\[Errno 2\] [^:\n]*: ['"]([^'"\n]+)['"]"# },
    Form { absent: false, form: r#"\[Errno (?:1|13|30)\] [^:\n]*: ['"]([^'"\n]+)['"]"# },
    Form { absent: true, form: r"ENOENT: no such file or directory, \w+ '([^'\n]+)'" },
    Form { absent: false, form: r"E(?:ACCES|PERM|ROFS): [^,\n]*, \w+ '([^'\n]+)'" },
    Form {
        absent: true,
        form: r"(?m)(?:^|[\s'\x22\u{2018}])(/[^\s'\x22\u{2018}\u{2019}:]+)['\x22\u{2019}]?: No such file or directory",
    },
    Form {
        absent: false,
        form: r"(?m)(?:^|[\s'\x22\u{2018}])(/[^\s'\x22\u{2018}\u{2019}:]+)['\x22\u{2019}]?: (?:Permission denied|Read-only file system|Operation not permitted)",
    },
];

struct Compiled {
    paths: Vec<(bool, Regex)>,
    network: Option<Regex>,
    import: Option<Regex>,
    descriptors: Option<Regex>,
    file_size: Option<Regex>,
}

static COMPILED: LazyLock<Compiled> = LazyLock::new(|| Compiled {
    // A form that does not compile would silently match nothing; a test holds that all do.
    paths: FORMS.iter().filter_map(|form| Some((form.absent, Regex::new(form.form).ok()?))).collect(),
    network: Regex::new(&format!("(?m)^.*(?:{NETWORK}).*$")).ok(),
    import: Regex::new(r#"Blocked import: ['"]([^'"\n]+)['"]"#).ok(),
    descriptors: Regex::new(r"\[Errno 24\]|\bEMFILE\b|Too many open files").ok(),
    file_size: Regex::new(r"\[Errno 27\]|\bEFBIG\b|File too large").ok(),
});

/// What the messages of a failed run tell of refusals, beside what its result says already.
pub fn inferred(output: &Output, under: Under<'_>) -> Vec<Denial> {
    if output.reason == ExitReason::Exited(0) {
        return Vec::new();
    }
    let text = [&output.stdout, &output.stderr].map(|stream| match stream.last.is_empty() {
        true => tail(&stream.text()),
        false => String::from_utf8_lossy(&stream.last).into_owned(),
    });
    let text = text.join("\n");
    let mut found = Vec::new();
    imports(&text, under.imports, &mut found);
    starting(&text, under.imports, &mut found);
    network(&text, under.policy, &mut found);
    files(&text, under, &output.denials, &mut found);
    limits(&text, under.policy.view, &output.denials, &mut found);
    found.truncate(MOST_INFERRED.min(MOST_DENIALS.saturating_sub(output.denials.len())));
    found
}

/// Limits that the kernel tells of by an error number alone. A program in the host view has limits of its own.
fn limits(text: &str, view: View, known: &[Denial], found: &mut Vec<Denial>) {
    let table = if view == View::Host { "sandbox.host_limits" } else { "sandbox.limits" };
    let met = |form: &Option<Regex>| form.as_ref().is_some_and(|form| form.is_match(text));
    let mut tell = |rule: &str, object: &str, setting: &str, field: &str| {
        if known.iter().any(|known| known.object == object) {
            return;
        }
        let how = format!("a higher limit ({table}.{setting}, {field})");
        found.push(Denial::inferred(Refuser::Limits, rule, object, Some(how)));
    };
    if met(&COMPILED.descriptors) {
        tell("limited for each process", "open descriptors", "open_files", "max_open_files");
    }
    if met(&COMPILED.file_size) {
        tell(
            "limited for each file; one of the workspace is copied before it is moved or written",
            "the size of a file",
            "file_size",
            "max_file_size_mb",
        );
    }
}

/// Modules that the policy does block; the message alone anybody can print.
fn imports(text: &str, policy: &ImportPolicy, found: &mut Vec<Denial>) {
    let Some(form) = &COMPILED.import else { return };
    for module in form.captures_iter(text).filter_map(|captures| Some(captures.get(1)?.as_str())) {
        if !policy.refuses(module) || found.iter().any(|known: &Denial| known.object == module) {
            continue;
        }
        let how = match &policy.allowed {
            Some(_) => format!("name `{module}` among the allowed imports (--allow-import, allowed_imports)"),
            None => format!("leave `{module}` out of the blocked imports (--block-import, blocked_imports)"),
        };
        found.push(Denial::exact(Refuser::Imports, "the import policy blocks it", module, Some(how)));
    }
}

/// What the names stand for: Python's own functions are refused before they ask the kernel.
fn starting(text: &str, policy: &ImportPolicy, found: &mut Vec<Denial>) {
    if policy.closes(Capability::Exec) && text.contains(EXEC_CLOSED) {
        let how = "an import policy that leaves `subprocess` and `os.system` open (--block-import, blocked_imports)";
        let rule = format!("the import policy closes it: {}", policy.reason(Capability::Exec));
        found.push(Denial::exact(Refuser::Imports, rule, "starting programs", Some(how.to_owned())));
    }
}

fn network(text: &str, policy: &Policy, found: &mut Vec<Denial>) {
    // Where no socket can be made either, the filter has told of it.
    if policy.network != Network::None || policy.closes_inet() {
        return;
    }
    if let Some(line) = COMPILED.network.as_ref().and_then(|form| form.find_iter(text).last()) {
        let how =
            "the host's name (--allow-net HOST, allow_net), or all of the network (--network host, network=\"host\")";
        found.push(Denial::inferred(Refuser::Network, "network: none", line.as_str().trim(), Some(how.to_owned())));
    }
}

/// Paths that what is `known` already names are not guessed about.
fn files(text: &str, under: Under<'_>, known: &[Denial], found: &mut Vec<Denial>) {
    let mut named: Vec<(usize, bool, PathBuf)> = Vec::new();
    for (absent, form) in &COMPILED.paths {
        for captures in form.captures_iter(text) {
            if let Some(path) = captures.get(1) {
                named.push((path.start(), *absent, plain_path(&under.dir.join(path.as_str()))));
            }
        }
    }
    // What was printed last is most likely what it failed of.
    named.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    named.retain(|(.., path)| {
        let told = format!(" {}", path.display());
        !known.iter().any(|denial| denial.object.ends_with(&told))
    });
    for (_, absent, path) in named.into_iter().take(64) {
        let told = if absent { absence(&path, under.policy) } else { refusal(&path, under.policy) };
        if let Some((rule, how)) = told {
            let denial = Denial::inferred(Refuser::View, rule, &path.to_string_lossy(), Some(how));
            if !found.contains(&denial) {
                found.push(denial);
            }
        }
    }
}

/// Why a path is absent that a program looked for, if it is the view that leaves it out.
fn absence(path: &Path, policy: &Policy) -> Option<(&'static str, String)> {
    let shown = path.display();
    if policy.hide.iter().any(|hidden| path.starts_with(hidden)) {
        let name = path.file_name().map(|name| name.to_string_lossy());
        return Some(match name {
            Some(name) if name.starts_with(".env") => {
                ("dotenv files are hidden", "sandbox.dotenv = true, dotenv=True, or --view host".into())
            }
            _ => ("hidden by name", format!("take {shown} out of the hidden paths (--hide, hide)")),
        });
    }
    if visible(path, policy) || own(path) {
        return None;
    }
    let home = policy.home.as_deref().is_some_and(|home| path.starts_with(home));
    let rule = if home { "home is an empty folder inside" } else { "not in the view" };
    Some((rule, format!("show it, if it is there (--ro {shown}, read_only)")))
}

/// Why a path took no writes, if it is the view that makes it so.
fn refusal(path: &Path, policy: &Policy) -> Option<(&'static str, String)> {
    let written = |folder: &PathBuf| path.starts_with(folder);
    let of_workspace = policy.workspaces.iter().find(|workspace| path.starts_with(&workspace.path));
    if policy.read_write.iter().chain(&policy.caches).any(written) {
        return None;
    }
    match of_workspace.map(|workspace| &workspace.source) {
        Some(Source::ReadOnly) => {
            return Some(("the workspace is read-only here", "a step or tool that writes".into()));
        }
        // Modes and owners: not ours.
        Some(_) => return None,
        None => {}
    }
    let read_only = is_system(path) || policy.read_only.iter().any(written) || path.starts_with("/etc");
    let how = || format!("write in the workspace, or let it be written through (--rw {}, read_write)", path.display());
    read_only.then(|| ("read-only in the view", how()))
}

/// Whether the policy shows what lies there.
fn visible(path: &Path, policy: &Policy) -> bool {
    let shown = policy.read_only.iter().chain(&policy.read_write).chain(&policy.caches);
    is_system(path)
        || policy.workspaces.iter().any(|workspace| path.starts_with(&workspace.path))
        || shown.into_iter().any(|shown| path.starts_with(shown))
}

/// Folders that every run has for itself.
fn own(path: &Path) -> bool {
    ["/tmp", "/var/tmp", "/run", "/dev", "/proc", "/sys"].iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
#[path = "tests/denials.rs"]
mod tests;
