//! Random calls of real tools: what programs do to folders, in shell, Python, edits and patches.
#![allow(unreachable_pub, reason = "a module of a test binary")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use agentic_executor::PlanStep;
use agentic_executor::planner::{OnFailure, RetryPolicy};
use agentic_testkit::is_root;
use serde_json::{Value, json};

use crate::undo_support::Random;

/// Names that shells, JSON and terminals find hard.
const NAMES: [&[u8]; 4] = [b"a", b"b", b"c \nd", b"-e\xff"];
/// Those of them that a tool can be told in JSON and in a patch.
const PLAIN: [&str; 2] = ["a", "b"];
const WORDS: [&str; 8] = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
const FILE_MODES: [u32; 6] = [0o644, 0o600, 0o755, 0o444, 0o640, 0o000];
const FOLDER_MODES: [u32; 5] = [0o755, 0o700, 0o711, 0o555, 0o500];

/// Where calls act: the whole workspace, or one folder of it.
#[derive(Debug, Clone, Default)]
pub struct Within(pub Option<String>);

impl Within {
    fn path(&self, random: &mut Random) -> Vec<u8> {
        let depth = random.one_of(&[1, 1, 1, 2, 2, 2, 3]);
        let names: Vec<&[u8]> = (0..depth).map(|_| random.one_of(&NAMES)).collect();
        let folder = self.0.iter().flat_map(|folder| [folder.as_bytes(), b"/"]).flatten().copied();
        b"./".iter().copied().chain(folder).chain(names.join(&b'/')).collect()
    }
    fn plain(&self, random: &mut Random) -> String {
        let depth = random.one_of(&[1, 1, 2, 2, 3]);
        let names: Vec<&str> = (0..depth).map(|_| random.one_of(&PLAIN)).collect();
        self.0.iter().map(|folder| format!("{folder}/")).collect::<String>() + &names.join("/")
    }
}

fn lines(random: &mut Random) -> String {
    (0..random.below(5)).map(|_| format!("{}\n", random.one_of(&WORDS))).collect()
}

/// A path for `sh`: octal escapes for `printf`, whose output it is. A newline within is kept, and no name ends with one.
fn shell_path(path: &[u8]) -> String {
    if path.iter().all(|byte| byte.is_ascii_alphanumeric() || b"./ -".contains(byte)) {
        return format!("'{}'", String::from_utf8_lossy(path));
    }
    let escaped = path.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:03o}");
        text
    });
    format!("\"$(printf '{escaped}')\"")
}

/// A script of a few acts. What cannot be done is not.
pub fn script(random: &mut Random, within: &Within, acts: usize) -> String {
    let mut script = String::from("exec 2>/dev/null\n");
    if let Within(Some(folder)) = within {
        let _ = writeln!(script, "mkdir -p {folder}");
    }
    for _ in 0..acts {
        let _ = writeln!(script, "{}", act(random, within));
    }
    script + ":\n"
}

fn act(random: &mut Random, within: &Within) -> String {
    let path = shell_path(&within.path(random));
    let other = shell_path(&within.path(random));
    let text = lines(random).replace('\n', "\\n");
    let number = random.below(1000);
    match random.below(24) {
        0..=2 => format!("printf '{text}{number}' > {path}"),
        3 => format!("mkdir -p \"$(dirname {path})\"; printf '{text}' > {path}"),
        4 => format!("printf '{text}' >> {path}"),
        5 => format!("truncate -s {} {path}", random.one_of(&[0, 1, 7, 70_000])),
        // Not `:`, a special builtin: a shell ends when its redirection fails.
        6 => format!("true > {path}"),
        7 | 8 => format!("mkdir -p {path}"),
        9 | 10 => format!("rm -rf {path}"),
        11 => format!("rm -f {path} || rmdir {path}"),
        12 => format!("mv -T {path} {other}"),
        13 => format!("mv {path} {other}"),
        14 => format!("rm -rf {other}; mv -T {path} {other}"),
        15 => {
            let (file, folder) = (random.one_of(&FILE_MODES), random.one_of(&FOLDER_MODES));
            // What its owner closed, an ordinary user cannot work in.
            let (file, folder) = if is_root() { (file, folder) } else { (file | 0o600, folder | 0o700) };
            format!("if [ -d {path} ]; then chmod {folder:o} {path}; else chmod {file:o} {path}; fi")
        }
        16 => format!("ln -sfn {} {path}", shell_path(random.one_of(&NAMES))),
        17 => format!("rm -rf {path}; ln -s {} {path}", random.one_of(&["nowhere", "/nowhere/at/all", "a", "b/a"])),
        18 | 19 => format!("ln {}{path} {other}", random.one_of(&["", "-f "])),
        20 => format!("rm -rf {path}; mkdir {path}; printf '{number}' > {path}/a"),
        21 => format!("rm -rf {path}; printf '{number}' > {path}"),
        22 => format!("cp -a {path} {other}"),
        _ => match random.below(3) {
            0 => format!("printf '{text}{number}' > {path}.new; mv -f {path}.new {path}"),
            1 => format!("touch -d @{} {path}", 1_000_000_000 + number),
            _ => format!("chmod -R u+rwX {path}; find {path} -type f -exec sh -c 'echo {number} >> \"$1\"' - {{}} ';'"),
        },
    }
}

/// Python that does the like through system calls, extended attributes too.
fn python(random: &mut Random, within: &Within) -> String {
    let mut code = String::from("import os, shutil\ndef act(what):\n    try: what()\n    except OSError: pass\n");
    let literal = |path: &[u8]| {
        let bytes = path.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "\\x{byte:02x}");
            text
        });
        format!("b'{bytes}'")
    };
    for _ in 0..1 + random.below(4) {
        let (path, other) = (literal(&within.path(random)), literal(&within.path(random)));
        let number = random.below(1000);
        let line = match random.below(8) {
            0 => format!("open({path}, 'w').write('{number}')"),
            1 => format!("open({path}, 'r+b').write(b'{number}')"),
            2 => format!("os.replace({path}, {other})"),
            3 => format!("os.rename({path}, {other})"),
            4 => format!("os.link({path}, {other})"),
            5 => format!("shutil.rmtree({path})"),
            6 => format!("os.setxattr({path}, 'user.{}', b'{number}')", random.one_of(&["k", "l"])),
            _ => format!("os.truncate({path}, {})", number % 10),
        };
        let _ = writeln!(code, "act(lambda: {line})");
    }
    code
}

fn patch(random: &mut Random, within: &Within) -> String {
    let (path, other) = (within.plain(random), within.plain(random));
    let (old, new) = (random.one_of(&WORDS), random.one_of(&WORDS));
    let body = match random.below(4) {
        0 => format!("*** Add File: {path}\n+{old}\n+{new}\n"),
        1 => format!("*** Delete File: {path}\n"),
        2 => format!("*** Update File: {path}\n@@\n-{old}\n+{new}\n"),
        _ => format!("*** Update File: {path}\n*** Move to: {other}\n@@\n-{old}\n+{new}\n"),
    };
    format!("*** Begin Patch\n{body}*** End Patch\n")
}

/// One call as a step of a plan that goes on when it fails.
pub fn step(random: &mut Random, within: &Within, id: &str, has_python: bool) -> PlanStep {
    let (tool, params) = match random.below(100) {
        0..=7 => ("file_write", json!({ "path": within.plain(random), "content": lines(random) })),
        // A file that is not there is looked for by its name, in the folders of other steps too.
        8..=15 if within.0.is_none() => {
            let (old, new) = (random.one_of(&WORDS), random.one_of(&WORDS));
            ("edit", json!({ "path": within.plain(random), "old": old, "new": new, "replace_all": true }))
        }
        16..=22 if within.0.is_none() => ("apply_patch", json!({ "patch": patch(random, within) })),
        23..=27 if has_python => ("run_code", json!({ "code": python(random, within) })),
        28..=30 => {
            let acts = 1 + random.below(8);
            ("run_code", json!({ "language": "bash", "code": script(random, within, acts) }))
        }
        _ => {
            let acts = 1 + random.below(14);
            let mut command = script(random, within, acts);
            if random.percent(5) {
                // Last: whoever writes to it waits for a reader. It is not applied.
                let path = shell_path(&within.path(random));
                let _ = writeln!(command, "rm -rf {path}; mkfifo {path}; :");
            }
            ("shell", json!({ "command": command }))
        }
    };
    let Value::Object(params) = params else { unreachable!("arguments are an object") };
    let mut step = PlanStep::new(id, tool, params, id);
    step.on_failure = OnFailure::Continue;
    step.retry = RetryPolicy { max: 0, ..RetryPolicy::default() };
    step
}

/// Does the like from outside, with a shell of the host.
pub fn by_hand(random: &mut Random, root: &Path, within: &Within, acts: usize) {
    let status = Command::new("/bin/sh").arg("-c").arg(script(random, within, acts)).current_dir(root).status();
    assert!(status.expect("a shell").success());
}
