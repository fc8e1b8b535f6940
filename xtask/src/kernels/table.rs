//! `docs/reference/kernels.md`, made from the logs of all machines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::debian::{Version, write};
use super::log::{self, Log, User};
use super::{MEMORY, VARIANTS};
use crate::{Failure, root, say};

/// Controls that `doctor` names and a host may lack. The disk limit is the same everywhere.
const CONTROLS: &[&str] = &[
    "user_namespace",
    "mount_namespace",
    "pid_namespace",
    "network_namespace",
    "ipc_namespace",
    "uts_namespace",
    "cgroup_namespace",
    "view",
    "capabilities",
    "no_new_privs",
    "landlock",
    "seccomp",
    "memory",
    "processes",
    "cpu",
];

const PAGE: &str = "docs/reference/kernels.md";

/// Writes the page.
pub(super) fn write_page() -> Result<(), Failure> {
    write(&root().join(PAGE), &page(&logs()?))?;
    say(format!("wrote {PAGE}"));
    Ok(())
}

/// Every log that is there, the default start first, then by kernel.
pub(super) fn logs() -> Result<Vec<Log>, Failure> {
    let mut logs = Vec::new();
    let entries = fs::read_dir(log::folder()).map_err(|error| format!("there is no log yet: {error}"))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.extension().is_some_and(|end| end == "log") {
            logs.push(log::read(&path)?);
        }
    }
    let variant = |log: &Log| VARIANTS.iter().position(|variant| variant.name == log.word("variant"));
    logs.sort_by_key(|log| (variant(log), Version::of(log.word("series"))));
    Ok(logs)
}

/// The page's text.
pub(super) fn page(logs: &[Log]) -> String {
    let each = |word: &str| {
        let values: BTreeSet<&str> = logs.iter().map(|log| log.word(word)).filter(|value| !value.is_empty()).collect();
        values.into_iter().collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "<!-- Written by `cargo xtask kernels --table` from the logs of `cargo xtask kernels`. -->\n\
         # Kernels\n\n\
         What holds on kernels other than the one that the tests usually run on, tried in virtual machines by software\n\
         emulation: `cargo xtask kernels`. Each machine runs Debian's kernel of that series with two processors and\n\
         {MEMORY} MB, and each user's programs run in a cgroup as a login has it.\n\n\
         Emulator: {}, {}. Date: {}. Commit: {}.\n\n",
        each("emulator"),
        each("processor"),
        each("date"),
        each("commit"),
    );
    text.push_str("| start | what it is |\n|---|---|\n");
    for variant in VARIANTS {
        text.push_str(&format!("| {} | {} |\n", variant.name, variant.what));
    }
    text.push_str("\nNot tried: AppArmor's restriction of user namespaces, which is Ubuntu's.\n\n");
    text.push_str(&results(logs));
    text.push_str(&attacks(logs));
    text.push_str(&failures(logs));
    text.push_str(&reasons(logs));
    text
}

fn results(logs: &[Log]) -> String {
    let mut text =
        "## Results\n\nTier as `agentic doctor` names it; Landlock's ABI as the kernel names it, 0 for none. \
        \"Not in full\" are the controls that\n`doctor` shows as degraded or off, with the reason below. \"Not run\": `doctor` alone was.\n\n\
        | kernel | start | user | tier | Landlock | cgroup | not in full | passed | failed | skipped | commit |\n\
        |---|---|---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for log in logs {
        for (name, user) in &log.users {
            let (passed, failed, skipped) = user.summary.counts();
            let counts = [passed, failed, skipped].map(|count| count.to_string());
            let not_run = passed + failed + skipped == 0;
            let [passed, failed, skipped] = if not_run { ["not run", "", ""].map(str::to_owned) } else { counts };
            let lacking: Vec<String> = lacking(user).map(|(control, state, _)| format!("{control} {state}")).collect();
            let lacking = if user.refused().is_some() { "refused".to_owned() } else { lacking.join(", ") };
            let cells = [
                log.word("kernel"),
                log.word("variant"),
                name,
                user.tier(),
                log.word("landlock"),
                user.cgroup(),
                &lacking,
                &passed,
                &failed,
                &skipped,
                log.word("commit"),
            ];
            text.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
    }
    text.push('\n');
    text
}

/// The attack corpus, where it was run.
fn attacks(logs: &[Log]) -> String {
    let rows: String = logs
        .iter()
        .flat_map(|log| log.users.iter().map(move |(name, user)| (log, name, user)))
        .flat_map(|(log, name, user)| user.attacks.iter().map(move |(test, numbers)| (log, name, test, numbers)))
        .map(|(log, name, test, numbers)| {
            let (kernel, variant, tier) = (log.word("kernel"), log.word("variant"), tier(test, name));
            format!("| {kernel} | {variant} | {name} | {tier} | {} |\n", numbers.join(" | "))
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "## The attack corpus\n\n\
         | kernel | start | user | tier | attempts | refused | escapes | inconclusive | skipped | not promised | proven here |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n{rows}\n"
    )
}

/// In which tier a test of the corpus runs programs.
fn tier(test: &str, user: &str) -> &'static str {
    match (test, user) {
        ("tier_b", _) => "B",
        ("allowed_host", "root") => "A', one host allowed",
        ("allowed_host", _) => "A, one host allowed",
        (_, "root") => "A'",
        _ => "A",
    }
}

/// Failed tests, with where they failed.
fn failures(logs: &[Log]) -> String {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for log in logs {
        let machine = format!("{} {}", log.word("series"), log.word("variant"));
        for (name, user) in &log.users {
            for test in user.summary.failed() {
                places.entry(test.clone()).or_default().push(format!("{machine} {name}"));
            }
        }
        if !log.ended {
            places.entry("the machine did not reach its end".into()).or_default().push(machine);
        }
    }
    if places.is_empty() {
        return "## Failed tests\n\nNone.\n\n".into();
    }
    let lines: String = places.iter().map(|(test, where_)| format!("- `{test}`: {}\n", where_.join("; "))).collect();
    format!("## Failed tests\n\n{lines}\n")
}

/// Why a control does not hold in full, or a run is refused, with where.
fn reasons(logs: &[Log]) -> String {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for log in logs {
        for (name, user) in &log.users {
            let place = format!("{} {} {name}", log.word("series"), log.word("variant"));
            if let Some(why) = user.refused() {
                places.entry(format!("refused: {why}")).or_default().push(place.clone());
            }
            for (control, state, why) in lacking(user) {
                places.entry(format!("{control} {state}: {why}")).or_default().push(place.clone());
            }
        }
    }
    let lines: String = places.iter().map(|(why, where_)| format!("- {why} ({})\n", where_.join("; "))).collect();
    if lines.is_empty() { String::new() } else { format!("## What does not hold in full, and why\n\n{lines}") }
}

fn lacking(user: &User) -> impl Iterator<Item = (&'static str, &str, &str)> {
    CONTROLS.iter().filter_map(|control| {
        let (state, why) = user.control(control)?;
        (state != "active").then_some((*control, state, why))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_machines_failures_and_reasons() {
        let log = log::parse(
            "@@ series 5.10\n@@ commit c0\n@@ variant default\n@@ kernel 5.10.0\n@@ landlock 0\n@@ doctor user\n\
             {\"tier\":\"A\",\"controls\":{\"landlock\":{\"state\":\"off\",\"reason\":\"no such thing\"},\"view\":{\"state\":\"active\"}},\"host\":{\"cgroup\":\"v2 (memory)\"}}\n\
             @@ end 0\n@@ test user sandbox kernel\ntest a ... ok\ntest b ... FAILED\n@@ end 101\n\
             @@ test user attack corpus\nall    300  298    0    1    1    0   280\n@@ end 0\n@@ over\n",
        );
        let page = page(&[log]);
        for line in [
            "| 5.10.0 | default | user | A | 0 | v2 | landlock off | 1 | 1 | 0 | c0 |",
            "| 5.10.0 | default | user | A | 300 | 298 | 0 | 1 | 1 | 0 | 280 |",
            "- `sandbox kernel b`: 5.10 default user",
            "- landlock off: no such thing (5.10 default user)",
        ] {
            assert!(page.lines().any(|there| there == line), "{line}\n{page}");
        }
    }
}
