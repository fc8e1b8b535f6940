//! jest, vitest and `node --test`, each through a reporter of ours that writes down what begins and what ends at once.
//!
//! Their tests are not listed beforehand; a file's tests share a process. When one takes its process with it, the file is
//! run again without those that are done. Facts of each runner: `docs/design/test-runners.md`.

use std::borrow::Cow;
use std::time::Duration;

use super::{Launch, Round, Runner, Select, inside};
use crate::testing::command::{Kind, TestCommand};
use crate::testing::tally::{Known, Tally};

/// What the three have in common.
const TELL: (&str, &str) = ("agentic_tell.cjs", include_str!("agentic_tell.cjs"));
const JEST: (&str, &str) = ("agentic_jest.cjs", include_str!("agentic_jest.cjs"));
const VITEST: (&str, &str) = ("agentic_vitest.mjs", include_str!("agentic_vitest.mjs"));
const NODE: (&str, &str) = ("agentic_node.cjs", include_str!("agentic_node.cjs"));

/// Stands for a file of ours in a line that is quoted as a whole.
const MARK: &str = "AGENTIC_TEST_REPORTER";

#[derive(Debug)]
pub(super) struct JavaScript(pub(super) TestCommand);

/// Options of a runner, by what becomes of them.
struct Options {
    /// Left out, as they contradict ours.
    dropped: &'static [&'static str],
    /// Left out with the word after them.
    dropped_valued: &'static [&'static str],
    /// Those whose value may be the next word: what else is no option is a file.
    valued: &'static [&'static str],
    /// The filter by name, which a selection takes the place of.
    pattern: &'static [&'static str],
}

const OF_JEST: Options = Options {
    dropped: &["-i", "--runInBand", "--watch", "--watchAll", "--detectOpenHandles", "--ci", "-b", "--bail"],
    dropped_valued: &["-w", "--maxWorkers"],
    valued: &[
        "-c",
        "--config",
        "--rootDir",
        "--env",
        "--testEnvironment",
        "--testTimeout",
        "--selectProjects",
        "--shard",
    ],
    pattern: &["-t", "--testNamePattern"],
};
const OF_VITEST: Options = Options {
    dropped: &["-w", "--watch", "--ui", "--run", "--bail"],
    dropped_valued: &["--maxWorkers"],
    valued: &[
        "-c",
        "--config",
        "-r",
        "--root",
        "--dir",
        "--project",
        "--environment",
        "--pool",
        "--mode",
        "--shard",
        "--testTimeout",
    ],
    pattern: &["-t", "--testNamePattern"],
};
const OF_NODE: Options = Options {
    dropped: &["--watch"],
    dropped_valued: &["--test-reporter", "--test-reporter-destination", "--test-concurrency"],
    valued: &["-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions", "--env-file"],
    pattern: &["--test-name-pattern"],
};

/// The arguments that are kept, and the files among them.
fn sort(args: &[String], options: &Options, selecting: bool) -> (Vec<String>, Vec<String>) {
    let (mut kept, mut files) = (Vec::new(), Vec::new());
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or(word);
        let apart = !word.contains('=');
        if options.dropped.contains(&name) {
            continue;
        }
        if options.dropped_valued.contains(&name) || selecting && options.pattern.contains(&name) {
            if apart {
                words.next();
            }
            continue;
        }
        if !word.starts_with('-') {
            files.push(word.clone());
            continue;
        }
        kept.push(word.clone());
        if apart && (options.valued.contains(&name) || options.pattern.contains(&name)) {
            kept.extend(words.next().cloned());
        }
    }
    (kept, files)
}

/// A name as a JavaScript regular expression; the parts of a path of names are joined by a blank there.
fn pattern(test: &Known) -> String {
    let whole = match &test.suite {
        Some(suite) => format!("{suite} > {}", test.name),
        None => test.name.clone(),
    };
    let mut pattern = String::new();
    for letter in whole.chars() {
        if "\\^$.*+?()[]{}|".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    // A name may have the sign in it, too.
    pattern.replace(" > ", "(?: > | )")
}

/// The line with our file where the mark stands: outside the quotes, as the shell is to say where it is.
fn reporter(line: &str, option: &str, file: &str) -> String {
    let word = format!("{option}{MARK}");
    let quoted = shlex::try_quote(&word).map_or_else(|_| word.clone(), Cow::into_owned);
    line.replacen(&quoted, &format!("{option}{}", inside(file)), 1)
}

fn files_of(tests: &[Known]) -> Vec<String> {
    let mut files: Vec<String> = tests.iter().filter_map(|test| test.file.clone()).collect();
    files.sort();
    files.dedup();
    files
}

impl JavaScript {
    fn jest(&self, round: &Round) -> Launch {
        let selecting = round.select != Select::All;
        let (kept, files) = sort(&self.0.args, &OF_JEST, selecting);
        // Only processes of their own keep a crash to its file, and this is the only option that asks for them always.
        let mut ours: Vec<String> = [
            &format!("--reporters={MARK}"),
            "--reporters=default",
            "--testLocationInResults",
            "--ci",
            "--watchAll=false",
            "--workerIdleMemoryLimit=64GB",
            // One failure more or less is not known before what failed was run again.
            "--bail=0",
        ]
        .map(str::to_owned)
        .into();
        ours.extend(round.workers.map(|workers| format!("--maxWorkers={workers}")));
        // A part of the tests is not to be judged by its coverage.
        ours.extend(selecting.then(|| "--coverage=false".to_owned()));
        let line = |more: &[String]| {
            // List options swallow the words after them: a file never follows one.
            let words: Vec<&str> = kept.iter().chain(&ours).chain(more).map(String::as_str).collect();
            reporter(&self.0.instead(&words), "--reporters=", JEST.0)
        };
        let named = |file: &str, pattern: String| {
            line(&[format!("--testNamePattern={pattern}"), "--runTestsByPath".into(), file.to_owned()])
        };
        let of = |tests: &[Known], file: &str| {
            let names = tests.iter().filter(|test| test.file.as_deref() == Some(file)).map(pattern);
            names.collect::<Vec<_>>().join("|")
        };
        match &round.select {
            Select::All => {
                let mut more = files;
                more.insert(0, "--passWithNoTests=false".into());
                Launch::new(line(&more))
            }
            Select::Only(tests) => {
                let lines = files_of(tests).into_iter().map(|file| named(&file, format!("^({})$", of(tests, &file))));
                Launch::new(lines.collect::<Vec<_>>().join("; "))
            }
            Select::Except { files: begun, done } => {
                let mut lines: Vec<String> = begun
                    .iter()
                    .map(|file| match of(done, file) {
                        none if none.is_empty() => line(&["--runTestsByPath".into(), file.clone()]),
                        names => named(file, format!("^(?!(?:{names})$)")),
                    })
                    .collect();
                let seen: Vec<String> = files_of(done).into_iter().chain(begun.iter().cloned()).collect();
                let mut listing: Vec<&str> = kept.iter().map(String::as_str).collect();
                listing.push("--listTests");
                listing.extend(files.iter().map(String::as_str));
                lines.push(format!(
                    "{} | grep -vxF -f {} | xargs -r -d '\\n' {}",
                    self.0.instead(&listing),
                    inside("seen.txt"),
                    line(&["--runTestsByPath".into()])
                ));
                let mut launch = Launch::new(lines.join("; "));
                launch.files.push(("seen.txt", format!("{}\n", seen.join("\n"))));
                launch
            }
        }
    }
    fn vitest(&self, round: &Round) -> Launch {
        let selecting = round.select != Select::All;
        let (mut kept, mut files) = sort(&self.0.args, &OF_VITEST, selecting);
        files.retain(|word| !matches!(word.as_str(), "run" | "watch" | "dev"));
        let mut words = vec!["run".to_owned()];
        words.append(&mut kept);
        words.extend([format!("--reporter={MARK}"), "--reporter=default".into(), "--watch=false".into()]);
        words.extend(["--includeTaskLocation", "--bail=0"].map(str::to_owned));
        if selecting {
            words.retain(|word| !word.starts_with("--coverage"));
            words.push("--coverage.enabled=false".into());
        }
        words.extend(round.workers.map(|workers| format!("--maxWorkers={workers}")));
        words.extend(self.files(round, files));
        let mut command = self.0.clone();
        // `vitest run` is one word of its own here.
        command.front.retain(|word| word != "run");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Launch::new(reporter(&command.instead(&words), "--reporter=", VITEST.0))
    }
    fn node(&self, round: &Round) -> Launch {
        let selecting = round.select != Select::All;
        let (kept, files) = sort(&self.0.args, &OF_NODE, selecting);
        let mut words = kept;
        words.extend(round.workers.map(|workers| format!("--test-concurrency={workers}")));
        words.extend([
            format!("--test-reporter={MARK}"),
            "--test-reporter-destination=stderr".into(),
            "--test-reporter=spec".into(),
            "--test-reporter-destination=stdout".into(),
        ]);
        words.extend(self.files(round, files));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Launch::new(reporter(&self.0.instead(&words), "--test-reporter=", NODE.0))
    }
    /// The files of a round: the reporter itself leaves out the tests that are not to run.
    fn files(&self, round: &Round, own: Vec<String>) -> Vec<String> {
        match &round.select {
            Select::Only(tests) => files_of(tests),
            Select::Except { files, .. } if !files.is_empty() => files.clone(),
            _ => own,
        }
    }
}

impl Runner for JavaScript {
    fn name(&self) -> &'static str {
        match self.0.kind {
            Kind::Jest => "jest",
            Kind::Vitest => "vitest",
            _ => "node --test",
        }
    }
    fn files(&self) -> Vec<(&'static str, Cow<'static, str>)> {
        let (name, text) = match self.0.kind {
            Kind::Jest => JEST,
            Kind::Vitest => VITEST,
            _ => NODE,
        };
        vec![(name, Cow::Borrowed(text)), (TELL.0, Cow::Borrowed(TELL.1))]
    }
    fn launch(&self, round: &Round) -> Launch {
        let mut launch = match self.0.kind {
            Kind::Jest => self.jest(round),
            Kind::Vitest => self.vitest(round),
            _ => self.node(round),
        };
        // As npm has it, for packages of a workspace too.
        let folders = ["", "/..", "/../.."].map(|up| format!("$PWD{up}/node_modules/.bin"));
        launch.env.push(("PATH", format!("\"{}:$PATH\"", folders.join(":"))));
        launch
    }
    fn tells_deaths_late(&self) -> bool {
        self.0.kind == Kind::Vitest
    }
    fn slack(&self) -> Duration {
        Duration::from_millis(500)
    }
    fn rest(&self, tally: &Tally, done: &[Known]) -> Vec<Select> {
        let mut files: Vec<String> = tally.broken_files().map(str::to_owned).collect();
        // All files were begun where the runner came to its end; else those that were not are not known.
        if !tally.finished && self.0.kind != Kind::Jest {
            files.clear();
        }
        vec![Select::Except { files, done: done.to_vec() }]
    }
}
