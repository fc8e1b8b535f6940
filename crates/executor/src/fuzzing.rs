//! What the fuzz targets of this crate call (`fuzz/`), and the same with a fixed sequence of inputs as tests. In no other build.

use serde_json::{Map, Value};

use crate::planner::{Format, PlanFile, render};
use crate::tools::{ToolRegistry, commands};
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
