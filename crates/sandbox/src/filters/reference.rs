//! Writes the list as a page for readers, `docs/reference/system-calls.md`, and fails when the page differs.
//! `AGENTIC_UPDATE=1 cargo test -p agentic-sandbox reference` writes it.

use std::fmt::Write as _;

use super::rules::{Clauses, Test};
use super::table::TABLE;
use super::tests::PROFILES;
use super::{Answer, Arch, Decision, LAST_REVIEWED};

const TOP: &str = "# System calls

What a run is answered, call by call, for each [profile](../glossary.md). A test generates this page from the list in
`crates/sandbox/src/filters/`; another asks every number of a running kernel from inside. Why it is this way:
[design/system-calls.md](../design/system-calls.md).

`networked` is what `default` becomes where the run has a network. An import policy closes exec and INET sockets beyond the
profile; UNIX sockets are closed with the host's network where Landlock cannot scope their abstract names. A number that
is not in the table answers ENOSYS; a call by a foreign architecture's entry ends the process with SIGSYS.
";

fn word(decision: Decision) -> String {
    match decision {
        Decision::Allow => "allow".into(),
        Decision::Errno(errno) => Answer::Errno(errno).name(),
        Decision::ByArgument(_) => "by argument".into(),
    }
}

/// The list as a Markdown table, by the number on x86_64; calls that only aarch64 has come last.
pub(super) fn table() -> String {
    let mut entries: Vec<_> = TABLE
        .iter()
        .map(|entry| {
            let number = |arch: Arch| arch.number(entry.name);
            (number(Arch::X86_64), number(Arch::Aarch64), entry)
        })
        .collect();
    entries.sort_by_key(|(x86_64, aarch64, _)| (x86_64.unwrap_or(u32::MAX), *aarch64));
    let mut text = String::from(
        "| x86_64 | aarch64 | call | strict | default | networked | why |\n|---:|---:|---|---|---|---|---|\n",
    );
    for (x86_64, aarch64, entry) in entries {
        let number = |number: Option<u32>| number.map_or_else(|| "–".to_owned(), |number| number.to_string());
        let [strict, default, networked] = PROFILES.map(|profile| word(entry.under(profile)));
        let reason = match entry.strict {
            Some((_, why)) => format!("{}; strict: {why}", entry.reason),
            None => entry.reason.to_owned(),
        };
        writeln!(
            text,
            "| {} | {} | `{}` | {strict} | {default} | {networked} | {reason} |",
            number(x86_64),
            number(aarch64),
            entry.name
        )
        .unwrap();
    }
    text
}

fn argument(arg: u8, mask: u32) -> String {
    match mask {
        u32::MAX => format!("argument {arg}"),
        _ => format!("argument {arg} & {mask:#x}"),
    }
}

fn condition(test: &Test) -> String {
    match test {
        Test::Low { arg, mask, one_of } => {
            let values: Vec<String> = one_of.iter().map(|value| format!("{value:#x}")).collect();
            match &values[..] {
                [value] => format!("{} = {value}", argument(*arg, *mask)),
                _ => format!("{} in {{{}}}", argument(*arg, *mask), values.join(", ")),
            }
        }
        Test::Below { arg, end } => format!("argument {arg} < {end:#x}"),
        Test::LowIs { arg, value } => format!("argument {arg} = {value:#x}"),
        Test::Null { arg } => format!("argument {arg} is null"),
        Test::Key(_) => "the run's own ticket".into(),
    }
}

fn described(clauses: &Clauses) -> String {
    let mut parts: Vec<String> = clauses
        .list
        .iter()
        .map(|clause| {
            let tests: Vec<String> = clause.tests.iter().map(condition).collect();
            format!("{} → {}", tests.join(" and "), clause.then.name())
        })
        .collect();
    parts.push(format!("{}{}", if parts.is_empty() { "always " } else { "otherwise " }, clauses.otherwise.name()));
    parts.join("; ")
}

/// Every argument rule, in words, for each profile where they differ.
fn by_argument() -> String {
    let mut text = String::from(
        "## By argument\n\nArguments are counted from 0. Where the kernel takes an `int`, its low 32 bits are what is compared. \
         The first condition that holds answers.\n\n",
    );
    for entry in TABLE {
        if !matches!(entry.decision, Decision::ByArgument(_)) {
            continue;
        }
        let said = PROFILES.map(|profile| match entry.under(profile) {
            Decision::ByArgument(rule) => described(&rule.clauses(profile.into(), None)),
            other => word(other),
        });
        let mut groups: Vec<(Vec<&str>, &str)> = Vec::new();
        for (name, said) in ["strict", "default", "networked"].into_iter().zip(&said) {
            match groups.last_mut() {
                Some((names, same)) if *same == said => names.push(name),
                _ => groups.push((vec![name], said)),
            }
        }
        writeln!(text, "- `{}`", entry.name).unwrap();
        for (names, said) in groups {
            let names = if names.len() == PROFILES.len() { "every profile".to_owned() } else { names.join(", ") };
            writeln!(text, "  - {names}: {said}").unwrap();
        }
    }
    text
}

#[test]
fn the_page_of_system_calls_is_what_the_list_says() {
    let page = format!("{TOP}\nReviewed up to number {LAST_REVIEWED}.\n\n{}\n{}", table(), by_argument());
    let path = agentic_testkit::project_root().join("docs/reference/system-calls.md");
    if std::env::var_os("AGENTIC_UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == page,
        "docs/reference/system-calls.md is not what the list says; AGENTIC_UPDATE=1 cargo test -p agentic-sandbox reference writes it"
    );
}
