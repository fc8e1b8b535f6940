//! `docs/reference/attack-results.md`: the corpus in both tiers, by both users, and every barrier removed in turn, each
//! by its test program, whose lines are the page.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::run::{cannot_start, cargo, must, quiet};
use crate::test::ordinary::Stage;
use crate::test::{self, Program};
use crate::{Failure, example, root, say};

const PAGE: &str = "docs/reference/attack-results.md";
/// The headings of a table that a test of the corpus prints.
const COLUMNS: &[&str] = &["attempts", "refused", "escapes", "inconclusive", "skipped", "not promised", "proven here"];
/// Test programs whose lines the page is made of, and the tier of those that run the corpus.
const PROGRAMS: &[(&str, Option<&str>)] =
    &[("attack corpus", Some("A")), ("attack tier_b", Some("B")), ("attack mutation", None)];

/// What one test program said, started by one user.
#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    seconds: u64,
    green: bool,
}

/// Runs all of it and writes the page. True when every program was green.
pub(super) fn write() -> Result<bool, Failure> {
    must(&mut cargo(&["build", "--package", "agentic-sandbox"]), "building the spawner")?;
    let (spawner, weakened) = (crate::target().join("debug/agentic-spawner"), example::build_weakened()?);
    let programs = test::build(&["--package", "agentic-attack"])?;
    let stage = if is_root()? { Some(Stage::with(&spawner, &weakened)?) } else { None };
    let commit =
        quiet(Command::new("git").args(["describe", "--always", "--dirty", "--exclude=*"]).current_dir(root()))?;
    let mut page = head(String::from_utf8_lossy(&commit.stdout).trim())?;
    let mut green = true;
    for user in ["root", "ordinary user"] {
        let stage = match (user, &stage) {
            ("root", None) => {
                say("not root: the page is an ordinary user's alone");
                continue;
            }
            ("root", Some(_)) => None,
            (_, stage) => stage.as_ref(),
        };
        for (label, tier) in PROGRAMS {
            let named = programs.iter().find(|program| program.label == *label);
            let program = named.ok_or_else(|| format!("there is no test program `{label}` any more"))?;
            say(format!("{} ({user})", program.label));
            let said = run(program, stage, &weakened)?;
            green &= said.green;
            match tier {
                // Root's runs are the host's root nowhere, which has a name of its own.
                Some("A") if user == "root" => page.push_str(&corpus("A'", user, &said)),
                Some(tier) => page.push_str(&corpus(tier, user, &said)),
                None => page.push_str(&mutation(user, &said)),
            }
        }
    }
    let page = page.trim_end().to_owned() + "\n";
    fs::write(root().join(PAGE), page).map_err(|error| format!("cannot write {PAGE}: {error}"))?;
    say(format!("wrote {PAGE}"));
    Ok(green)
}

fn is_root() -> Result<bool, Failure> {
    Ok(quiet(Command::new("id").arg("-u"))?.stdout == b"0\n")
}

fn run(program: &Program, stage: Option<&Stage>, weakened: &Path) -> Result<Said, Failure> {
    let mut command = match stage {
        None => {
            let mut command = Command::new(&program.path);
            command.current_dir(&program.package).env("AGENTIC_WEAKENED_SPAWNER", weakened);
            command
        }
        Some(stage) => {
            let copy = stage.copy_program(&program.path, &program.label.replace(' ', "-"))?;
            let mut command = stage.command(&copy);
            let package = stage.path().join("project/crates/attack");
            command.current_dir(&package).env("CARGO_MANIFEST_DIR", &package);
            command
        }
    };
    command.arg("--nocapture").env("AGENTIC_MUTATE", "all").env_remove("AGENTIC_ATTACK");
    let began = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|error| cannot_start(&command, &error))?;
    let mut lines = Vec::new();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(|error| format!("cannot read what {} says: {error}", program.label))?;
            println!("{line}");
            lines.push(line);
        }
    }
    let status = child.wait().map_err(|error| format!("cannot wait for {}: {error}", program.label))?;
    Ok(Said { lines, seconds: began.elapsed().as_secs(), green: status.success() })
}

/// What machine and what code: nothing that names it.
fn head(commit: &str) -> Result<String, Failure> {
    let word = |program: &str, argument: &str| -> Result<String, Failure> {
        let said = quiet(Command::new(program).arg(argument))?;
        Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let memory = read("/proc/meminfo");
    let memory = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)).unwrap_or("0");
    let memory = memory.parse::<u64>().unwrap_or(0).div_ceil(1 << 20);
    // A group of a login is below one that systemd made; what matters is which version can be written.
    let cgroup = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { "v2" } else { "v1 or none" };
    Ok(format!(
        "<!-- Written by `cargo xtask attack`. -->\n\
         # What the attack corpus came to\n\n\
         The last full run of [the attack corpus](../design/attack-corpus.md): each attempt, beside its controls. *Refused*: it\n\
         heard exactly the refusal that was expected. *Inconclusive*: anything else but an escape, also a control that did not\n\
         work. *Skipped* and *not promised* are listed with their reasons. *Proven here*: refused, and a control was seen to get\n\
         through on this very machine.\n\n\
         Command: `cargo xtask attack`, as root, which runs it once more as an ordinary user (uid 65534). Date: {}. Commit:\n\
         {commit}. Kernel: Linux {} ({}), {} processors, {memory} GB of memory, cgroup {cgroup}.\n\n\
         On other kernels: [kernels.md](kernels.md).\n\n",
        word("date", "+%Y-%m-%d")?,
        // What a builder appends to the version may name the machine.
        word("uname", "-r")?.split('-').next().unwrap_or_default(),
        word("uname", "-m")?,
        word("nproc", "--all")?,
    ))
}

/// The rows of a table: a group and its seven numbers.
fn rows(lines: &[String]) -> Vec<Vec<&str>> {
    let words = lines.iter().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let number = |word: &&str| word.parse::<u32>().is_ok();
    words.filter(|words| words.len() == COLUMNS.len() + 1 && words[1..].iter().all(number)).collect()
}

/// `prefix ID: WHY` lines: ids by reason. What a reason says of one attempt alone is cut, where `cut`.
fn reasons(lines: &[String], prefix: &str, cut: bool) -> BTreeMap<String, Vec<String>> {
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (id, why) in lines.iter().filter_map(|line| line.strip_prefix(prefix)?.split_once(": ")) {
        // Several controls are one line; the first says enough.
        let why = why.split("; ").next().unwrap_or(why);
        let why = if cut { why.split([':', '(']).next().unwrap_or(why).trim() } else { why };
        by_reason.entry(why.to_owned()).or_default().push(id.to_owned());
    }
    by_reason
}

fn corpus(tier: &str, user: &str, said: &Said) -> String {
    let mut text = format!("## Tier {tier}, {user}\n\n");
    if !said.green {
        text.push_str("**Not green.**\n\n");
    }
    text.push_str(&format!("| group | {} |\n|---|{}\n", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len())));
    for row in rows(&said.lines) {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    text.push_str(&format!("\n{} s, four at once.\n", said.seconds));
    let lists = [
        ("not promised ", "Not promised in this tier, and so it gets through (SECURITY.md)", false),
        ("skipped ", "Not made here", false),
        ("no control here for ", "Refused, without a control that could be run here", true),
    ];
    for (prefix, title, cut) in lists {
        let found = reasons(&said.lines, prefix, cut);
        if found.is_empty() {
            continue;
        }
        text.push_str(&format!("\n{title}:\n\n"));
        for (why, ids) in found {
            text.push_str(&format!("- {why} ({}): `{}`\n", ids.len(), ids.join("`, `")));
        }
    }
    text + "\n"
}

/// The barriers removed in turn, by how that was noticed.
fn mutation(user: &str, said: &Said) -> String {
    let removed = |how: &str| said.lines.iter().filter(|line| line.len() > 29 && line[29..].contains(how)).count();
    let last = said.lines.iter().find(|line| line.contains(" barriers removed, ")).map_or("", String::as_str);
    let mut text = format!("## Each barrier removed in turn, {user}\n\n");
    if !said.green {
        text.push_str("**Not green.**\n\n");
    }
    let not_here: Vec<_> = said.lines.iter().filter(|line| line.ends_with(" not shown on this host")).collect();
    let not_here: Vec<_> = not_here.iter().filter_map(|line| line.split_whitespace().next()).collect();
    text.push_str(&format!("{}.\n\n| what came of it | barriers |\n|---|---|\n", last.trim()));
    for (how, number) in [
        ("noticed when it alone is gone", removed(" alone: ")),
        ("noticed with others gone too, and not while it stands", removed(" in depth: ")),
        ("no run starts without it", removed("no run starts: ")),
        ("noticed by nothing", removed("NOTHING NOTICED")),
    ] {
        text.push_str(&format!("| {how} | {number} |\n"));
    }
    if !not_here.is_empty() {
        text.push_str(&format!("| not shown here: `{}` | {} |\n", not_here.join("`, `"), not_here.len()));
    }
    text.push_str(&format!("\n{} s.\n\n", said.seconds));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_test_become_a_table_and_lists() {
        let lines = [
            "running 1 test",
            "no control here for kernel/a: this kernel has none (ENOSYS); shown elsewhere",
            "not promised network/b: the ports that the host listens on",
            "cold, tier B         attempts      refused      escapes inconclusive      skipped not promised  proven here",
            "network                    54           53            0            0            0            1           17",
            "all                        54           53            0            0            0            1           17",
        ];
        let said = Said { lines: lines.map(str::to_owned).to_vec(), seconds: 7, green: true };
        let page = corpus("B", "root", &said);
        for line in [
            "| group | attempts | refused | escapes | inconclusive | skipped | not promised | proven here |",
            "| network | 54 | 53 | 0 | 0 | 0 | 1 | 17 |",
            "- the ports that the host listens on (1): `network/b`",
            "- this kernel has none (1): `kernel/a`",
        ] {
            assert!(page.lines().any(|there| there == line), "{line}\n{page}");
        }
        assert!(!page.contains("Not green") && !page.contains("Not made here"), "{page}");
    }

    #[test]
    fn barriers_are_counted_by_how_they_are_noticed() {
        let lines = [
            "call:add_key                 1 alone: kernel/add-key",
            "call:chroot                  1 in depth: kernel/chroot (beside capabilities)",
            "call:keyctl                  not shown on this host",
            "pid-namespace                no run starts: the init is not 1",
            "4 barriers removed, 1 of them without a control that this host can run",
        ];
        let page = mutation("root", &Said { lines: lines.map(str::to_owned).to_vec(), seconds: 1, green: false });
        for line in [
            "| noticed when it alone is gone | 1 |",
            "| noticed with others gone too, and not while it stands | 1 |",
            "| no run starts without it | 1 |",
            "| noticed by nothing | 0 |",
            "| not shown here: `call:keyctl` | 1 |",
            "**Not green.**",
        ] {
            assert!(page.lines().any(|there| there == line), "{line}\n{page}");
        }
    }
}
