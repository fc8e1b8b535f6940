//! A machine's log, read: what it was, and for each user what `agentic doctor` and the test programs said.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::summary::Summary;

/// Where the logs lie.
pub(super) fn folder() -> PathBuf {
    super::folder().join("logs")
}

/// One machine.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// One word, and what was said after it: `series`, `variant`, `commit`, `date`, `kernel`, `processor`, `landlock` and so on.
    pub(super) words: BTreeMap<String, String>,
    pub(super) users: BTreeMap<String, User>,
    /// Whether the guest's script came to its end.
    pub(super) ended: bool,
}

/// One user's results.
#[derive(Debug, Default)]
pub(super) struct User {
    /// What `agentic doctor --json` printed.
    pub(super) doctor: String,
    pub(super) summary: Summary,
    /// The attack corpus' last line, by the name of its test: attempts, refused, escapes, inconclusive, skipped, not
    /// promised, proven here.
    pub(super) attacks: Vec<(String, Vec<String>)>,
}

impl Log {
    pub(super) fn word(&self, name: &str) -> &str {
        self.words.get(name).map_or("", String::as_str)
    }

    /// Failed tests by user and name; the machine itself when it did not reach its end.
    pub(super) fn failed(&self) -> impl Iterator<Item = String> {
        let tests = self
            .users
            .iter()
            .flat_map(|(user, results)| results.summary.failed().iter().map(move |name| format!("{user} {name}")));
        tests.chain((!self.ended).then(|| "the machine did not reach its end".to_owned()))
    }
}

impl User {
    /// The isolation tier that `doctor` names.
    pub(super) fn tier(&self) -> &str {
        after(&self.doctor, "\"tier\":\"").unwrap_or("?")
    }

    /// The version of cgroups that it found.
    pub(super) fn cgroup(&self) -> &str {
        let found = after(&self.doctor, "\"cgroup\":\"").unwrap_or("?");
        found.split(' ').next().unwrap_or(found)
    }

    /// Why a run is refused, when it is.
    pub(super) fn refused(&self) -> Option<&str> {
        after(&self.doctor, "\"refused\":\"")
    }

    /// The state of a control, and the reason when there is one.
    pub(super) fn control(&self, name: &str) -> Option<(&str, &str)> {
        let (_, rest) = self.doctor.split_once(&format!("\"{name}\":{{\"state\":\""))?;
        let (inside, _) = rest.split_once('}')?;
        Some((inside.split_once('"')?.0, after(inside, "\"reason\":\"").unwrap_or_default()))
    }
}

/// The text between a mark and the next quotation mark.
fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    Some(text.split_once(mark)?.1.split_once('"')?.0)
}

/// Reads a log from its file.
pub(super) fn read(path: &Path) -> Result<Log, Failure> {
    // A test may print any bytes.
    let bytes = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(parse(&String::from_utf8_lossy(&bytes)))
}

pub(super) fn parse(text: &str) -> Log {
    let mut log = Log::default();
    // Whose lines these are, and of which test program; no program is `doctor`.
    let mut place: Option<(String, Option<String>, usize)> = None;
    for line in text.lines() {
        let Some(words) = line.strip_prefix("@@ ") else {
            if let Some((user, program, _)) = &place {
                let results = log.users.entry(user.clone()).or_default();
                match program {
                    Some(program) => {
                        results.summary.line(program, line);
                        let words: Vec<&str> = line.split_whitespace().collect();
                        if let ["all", numbers @ ..] = &words[..]
                            && let Some(test) = program.strip_prefix("attack ").filter(|_| numbers.len() == 7)
                        {
                            let numbers = numbers.iter().map(|word| (*word).to_owned()).collect();
                            results.attacks.push((test.to_owned(), numbers));
                        }
                    }
                    None => results.doctor.push_str(line),
                }
            }
            continue;
        };
        let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
        match word {
            "doctor" => place = Some((rest.to_owned(), None, 0)),
            "test" => {
                let (user, program) = rest.split_once(' ').unwrap_or((rest, ""));
                let summary = &mut log.users.entry(user.to_owned()).or_default().summary;
                summary.begin();
                place = Some((user.to_owned(), Some(program.to_owned()), summary.failures()));
            }
            "end" => {
                if let Some((user, Some(program), before)) = place.take() {
                    let summary = &mut log.users.entry(user).or_default().summary;
                    if rest == "124" {
                        summary.add(&format!("{program} took too long and was ended"), false);
                    } else if rest != "0" && summary.failures() == before {
                        summary.add(&format!("{program} ended with {rest} and named no failed test"), false);
                    }
                }
            }
            "over" => log.ended = true,
            _ => drop(log.words.insert(word.to_owned(), rest.to_owned())),
        }
    }
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
@@ series 6.1
@@ kernel 6.1.0-50-cloud-amd64
@@ doctor user
{\"tier\":\"A\",\"controls\":{\"view\":{\"state\":\"active\"},\"memory\":{\"state\":\"degraded\",\"reason\":\"no cgroup\"}}}
@@ end 0
@@ test user sandbox kernel
test a ... ok
test b ... FAILED
@@ end 101
@@ test user sandbox network
test a ... ok
@@ end 134
@@ test user sandbox slow
@@ end 124
";

    #[test]
    fn a_log_tells_who_failed_at_what() {
        let log = parse(LOG);
        assert_eq!(log.word("kernel"), "6.1.0-50-cloud-amd64");
        let user = &log.users["user"];
        assert_eq!(user.tier(), "A");
        assert_eq!(user.control("view"), Some(("active", "")));
        assert_eq!(user.control("memory"), Some(("degraded", "no cgroup")));
        assert_eq!(user.control("landlock"), None);
        let failed: Vec<_> = log.failed().collect();
        assert_eq!(
            failed,
            [
                "user sandbox kernel b",
                "user sandbox network ended with 134 and named no failed test",
                "user sandbox slow took too long and was ended",
                "the machine did not reach its end",
            ]
        );
        assert_eq!(parse(&format!("{LOG}@@ over\n")).failed().count(), 3);
    }
}
