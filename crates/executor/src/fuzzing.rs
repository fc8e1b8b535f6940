//! What the fuzz targets of this crate call (`fuzz/`), and the same with a fixed sequence of inputs as tests. In no other build.

use serde_json::{Map, Value};

use crate::planner::{Format, PlanFile, render};
use crate::tools::{ToolRegistry, commands, patch};
pub use crate::workspace::fuzzing::layer;

/// A plan file: refused with its problems, or written and read back as itself and shown in every format.
///
/// # Panics
/// When what was read is not read back from what it is written as.
pub fn plan(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(file) = PlanFile::parse(text, "fuzz") else { return };
    let written = file.to_yaml();
    let again = PlanFile::parse(&written, "again").unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert_eq!(again.to_yaml(), written);
    for format in [Format::Text, Format::Json, Format::Yaml, Format::Mermaid, Format::Dot] {
        render(&file.plan, format);
    }
}

/// A shell command under lists.
///
/// # Panics
/// When a longer list of blocked commands lets pass what a shorter one refused.
pub fn command(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let few = commands::judge(text, None, &list(commands::BLOCKED_BY_DEFAULT));
    let more = commands::judge(text, None, &list(&["rm -rf /", "mkfs", "dd if=", "git push"]));
    assert!(few.is_ok() || more.is_err(), "{text:?}");
    let allowed = commands::judge(text, Some(&list(&["git", "ls"])), &[]);
    let fewer = commands::judge(text, Some(&list(&["git"])), &[]);
    assert!(allowed.is_ok() || fewer.is_err(), "{text:?}");
}

/// A patch of either form: refused at a line of it, or read as files that each say something.
///
/// # Panics
/// When what was read is none, or an error is at no line of the text.
pub fn patch(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match patch::parse(text) {
        Ok(patch) => {
            assert!(!patch.files.is_empty());
            for file in &patch.files {
                assert!(file.paths().all(|path| !path.is_empty()));
                for hunk in &file.hunks {
                    assert!(hunk.line > file.line && hunk.line <= text.lines().count(), "{hunk:?}");
                    assert!(
                        hunk.old().count() < hunk.lines.len() || hunk.renewed().count() < hunk.lines.len(),
                        "{hunk:?}"
                    );
                }
            }
        }
        Err(error) => assert!((1..=text.lines().count().max(1)).contains(&error.line), "{error} {text:?}"),
    }
}

/// A patch of either form on a text: refused, or applied so that a text without any of its lines is refused.
///
/// # Panics
/// When a patch whose every hunk has old lines is applied to an empty file.
pub fn hunks(bytes: &[u8]) {
    let Some(at) = bytes.windows(2).position(|pair| pair == b"\0\0") else { return };
    let Ok(text) = std::str::from_utf8(&bytes[at + 2..]) else { return };
    let Ok(patch) = patch::parse(text) else { return };
    for file in &patch.files {
        let placed = patch::place(&bytes[..at], patch.form, &file.hunks);
        if let Some((changes, after)) = placed {
            let removed: usize = changes.iter().map(|(range, _)| range.len()).sum();
            let put: usize = changes.iter().map(|(_, new)| new.len()).sum();
            assert_eq!(after.len(), at - removed + put);
            assert!(changes.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start), "{changes:?}");
        }
        let emptied = patch::place(b"", patch.form, &file.hunks);
        let searching = file.hunks.iter().any(|hunk| hunk.old().next().is_some());
        assert!(emptied.is_none() || !searching, "{text:?}");
    }
}

/// Arguments of a built-in tool; the first byte says of which.
///
/// # Panics
/// When arguments that were taken are not taken again as they were completed.
pub fn arguments(bytes: &[u8]) {
    thread_local! {
        static REGISTRY: ToolRegistry = ToolRegistry::default_registry();
    }
    let Some((which, bytes)) = bytes.split_first() else { return };
    let Ok(Value::Object(params)) = serde_json::from_slice::<Value>(bytes) else { return };
    REGISTRY.with(|registry| {
        let tools = registry.list_tools();
        let tool = &tools[usize::from(*which) % tools.len()];
        let taken: Map<String, Value> = match registry.validate(tool, &params) {
            Ok(taken) => taken,
            Err(_) => return,
        };
        assert_eq!(registry.validate(tool, &taken).ok().as_ref(), Some(&taken), "{tool}");
    });
}

#[cfg(test)]
mod tests {
    use agentic_testkit::mutations;

    use super::*;

    #[test]
    fn a_plan_file_is_read_or_refused() {
        let seeds: &[&[u8]] = &[
            b"task: build\nsteps:\n  - id: a\n    tool: shell\n    params: {command: make}\n    retry: {attempts: 3}\n",
            b"steps:\n- {id: a, tool: search, params: {pattern: x}}\n- {id: b, tool: shell, needs: [a], when: \"${{ steps.a.output }}\"}\n",
            b"task: t\nmode: parallel\ncontext: {k: 1.5}\nsteps: [{id: a, tool: edit, for_each: {item: x, in: [1, 2]}}]\n",
            b"steps: &a [*a]\n",
        ];
        seeds.iter().for_each(|seed| plan(seed));
        mutations(seeds, 3_000).for_each(|bytes| plan(&bytes));
    }

    #[test]
    fn a_command_is_judged() {
        let seeds: &[&[u8]] = &[
            b"git status && ls -la | wc -l",
            b"for f in *.py; do echo \"$f\" > \"${f%.py}\"; done",
            b"bash -c 'rm -rf / --no-preserve-root' <<EOF\n$(ls `pwd`)\nEOF\n",
            b"env A=1 sudo -u x nice -n 5 dd if=/dev/zero of=x; [[ a == b ]] || (cd x; git push)",
        ];
        seeds.iter().for_each(|seed| command(seed));
        mutations(seeds, 1_500).for_each(|bytes| command(&bytes));
    }

    const ENVELOPE: &[u8] = b"*** Begin Patch\n*** Update File: a.py\n*** Move to: b.py\n@@ class A:\n@@ def f():\n x\n-y\n+z\n*** End of File\n\
        *** Add File: c\n+1\n*** Delete File: d\n*** End Patch\n";
    const DIFF: &[u8] = b"diff --git a/f b/f\nold mode 100644\nnew mode 100755\nindex 1..2\n--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@ x\n a\n-b\n+c\n d\n\
        \\ No newline at end of file\ndiff --git \"a/\\303\\251\" \"b/\\303\\251\"\nrename from x\nrename to y\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+n\n-- \n2.40\n";

    #[test]
    fn a_patch_is_read_or_refused() {
        let seeds: &[&[u8]] = &[ENVELOPE, DIFF, b"--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n-a\n+b\n c\n"];
        seeds.iter().for_each(|seed| patch(seed));
        mutations(seeds, 6_000).for_each(|bytes| patch(&bytes));
    }

    #[test]
    fn hunks_are_placed_or_refused() {
        let on = |text: &[u8], patch: &[u8]| [text, b"\0\0", patch].concat();
        let envelope = b"*** Begin Patch\n*** Update File: f\n@@ g:\n a\n-b\n+c\n@@\n-d\n+e\n*** End Patch\n";
        let diff = b"--- a/f\n+++ b/f\n@@ -1,2 +1,2 @@\n-a\n+b\n c\n@@ -4 +4,2 @@\n d\n+e\n";
        let seeds = [on(b"g:\n\ta\n\tb \r\nd", envelope), on(b"a\nc\nx\nd\n", diff), on(b"\xEF\xBB\xBFa\r\nb", diff)];
        let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        seeds.iter().for_each(|seed| hunks(seed));
        mutations(&seeds, 6_000).for_each(|bytes| hunks(&bytes));
    }

    #[test]
    fn arguments_are_taken_or_refused() {
        let seeds: &[&[u8]] = &[
            b"\x00{\"path\": \"a.py\", \"content\": \"x\"}",
            b"\x01{\"command\": \"ls\", \"timeout\": 1.5}",
            b"\x02{\"pattern\": \"x\", \"file_pattern\": \"*.py\"}",
            b"\x03{\"file_path\": \"a\", \"edits\": [{\"old_string\": \"a\", \"new_string\": \"b\"}]}",
            b"\x04{\"code\": \"print(1)\", \"language\": \"python\", \"args\": [\"x\"], \"memory_mb\": 64}",
        ];
        seeds.iter().for_each(|seed| arguments(seed));
        mutations(seeds, 3_000).for_each(|bytes| arguments(&bytes));
    }
}
