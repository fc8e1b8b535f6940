//! The compatibility matrix: everyday programs under the `default` profile and under `strict`, with their times.
//!
//! The programs and the driver are a test of `agentic-cli`; this prepares Python's packages, runs everything with a
//! release build, and writes `docs/reference/compatibility.md`.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{cargo, must, quiet, show_and_run};
use crate::venv::{PYTEST, Venv};
use crate::{Failure, root, say, target};

/// What the programs of the matrix import, beside what every environment that runs tests has.
const PACKAGES: &[&str] = &[
    PYTEST,
    "setuptools",
    "numpy",
    "pandas",
    "scipy",
    "matplotlib",
    "pillow",
    "lxml",
    "requests",
    "pydantic",
    "sqlalchemy",
    "pytest-xdist",
    "scikit-learn",
    "pyarrow",
    "polars",
    "cryptography",
    "pyyaml",
    "jinja2",
    "psutil",
    "flask",
    "aiohttp",
    "httpx",
    "sympy",
    "networkx",
    "cffi",
    "rich",
    "click",
    "mypy",
    "ruff",
    "uv",
    "cmake",
    "ninja",
];
/// How often times are compared.
const ROUNDS: &str = "3";
const PAGE: &str = "docs/reference/compatibility.md";

/// A row as the driver wrote it.
struct Row {
    table: String,
    program: String,
    default: String,
    strict: String,
    ratio: String,
    reason: String,
}

/// Runs the matrix and writes the page. True when every program did as its table says.
pub(crate) fn run() -> Result<bool, Failure> {
    say(format!("the matrix needs these packages of Python, below the target folder: {}", PACKAGES.join(", ")));
    let venv = Venv::with("compat/venv", Path::new("python3"), PACKAGES)?;
    must(&mut cargo(&["build", "--release", "--package", "agentic-cli"]), "building agentic")?;
    let report = target().join("compat/report");
    let fail = |error: std::io::Error| format!("cannot prepare {}: {error}", report.display());
    if report.exists() {
        fs::remove_dir_all(&report).map_err(fail)?;
    }
    fs::create_dir_all(&report).map_err(fail)?;
    // One at a time: times are compared.
    let mut test = cargo(&["test", "--package", "agentic-cli", "--test", "compat", "--", "--test-threads=1"]);
    test.env("AGENTIC_BIN", target().join("release/agentic"));
    test.env("AGENTIC_COMPAT_REPORT", &report).env("AGENTIC_COMPAT_ROUNDS", ROUNDS);
    venv.activate(&mut test, std::env::var_os("PATH"));
    let passed = show_and_run(&mut test)?;
    write_page()?;
    Ok(passed)
}

/// Writes the page from the last report. True when every program did as its table says.
pub(crate) fn write_page() -> Result<bool, Failure> {
    let rows = read(&target().join("compat/report"))?;
    fs::write(root().join(PAGE), page(&rows)).map_err(|error| format!("cannot write {PAGE}: {error}"))?;
    say(format!("{} programs, {PAGE} is written", rows.len()));
    Ok(rows.iter().all(|row| !row.default.starts_with("FAILS")))
}

fn read(report: &Path) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for name in ["python_standard_library", "python_packages", "shell", "toolchains", "by_design"] {
        let path: PathBuf = report.join(name).with_extension("tsv");
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        for line in text.lines() {
            let cells: Vec<_> = line.split('\t').map(str::to_owned).collect();
            let [table, program, default, strict, ratio, reason] = <[String; 6]>::try_from(cells)
                .map_err(|_| format!("{} has a line that is no row: {line}", path.display()))?;
            rows.push(Row { table, program, default, strict, ratio, reason });
        }
    }
    Ok(rows)
}

fn page(rows: &[Row]) -> String {
    let count = |wanted: &str| rows.iter().filter(|row| row.default.starts_with(wanted)).count();
    let mut page = format!(
        "# Compatibility\n\n\
         Made by `cargo xtask compat`; do not edit by hand. The programs, with their expected output, are the tables in\n\
         `crates/cli/tests/compat/`. Each runs outside first (the control), then through `agentic exec`: Python in the\n\
         `system` view, scripts in the `host` view; output and exit status must be exactly those that its table has.\n\n\
         {} pass under `default`, {} fail, {} are refused by design, {} could not be run on this machine.\n\n\
         Time is that of the sandboxed program ÷ the same outside, whole processes, the median of {ROUNDS} pairs: a short\n\
         program shows the cost of a cold start ([cold-start.md](../design/cold-start.md)), a long one that of running inside.\n\n\
         Measured with {}.\n",
        count("passes"),
        count("FAILS"),
        count("refused"),
        count("not run"),
        machine(),
    );
    let mut table = "";
    for row in rows {
        if table != row.table {
            let _ = write!(page, "\n## {}\n\n", row.table);
            page += match &*row.default {
                "refused" => "| program | `default` | why |\n|---|---|---|\n",
                _ => "| program | `default` | `strict` | time |\n|---|---|---|---|\n",
            };
            table = &row.table;
        }
        let name = row.program.replace('|', "\\|");
        let _ = match (&*row.default, &*row.strict) {
            ("refused", _) => writeln!(page, "| {name} | refused | {} |", row.reason),
            (default, "breaks") => writeln!(page, "| {name} | {default} | breaks: it {} | {} |", row.reason, row.ratio),
            (default, strict) => writeln!(page, "| {name} | {default} | {strict} | {} |", row.ratio),
        };
    }
    page
}

/// The machine, the day and the versions, in words.
fn machine() -> String {
    let said = |program: &str, args: &[&str]| {
        let output = quiet(Command::new(program).args(args)).map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).trim().to_owned()
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let user = if said("id", &["-u"]) == "0" { "root" } else { "an ordinary user" };
    format!(
        "`cargo xtask compat` on {}, as {user}, on {cpus} processors (load {} at the end), Linux {}, {}",
        said("date", &["-u", "+%Y-%m-%d"]),
        said("cut", &["-d", " ", "-f", "2", "/proc/loadavg"]),
        said("uname", &["-r"]),
        said("python3", &["--version"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_row_for_each_program_and_the_reason_where_it_breaks() {
        let row = |table: &str, default: &str, strict: &str, reason: &str| Row {
            table: table.to_owned(),
            program: "a | b".to_owned(),
            default: default.to_owned(),
            strict: strict.to_owned(),
            ratio: "1.20".to_owned(),
            reason: reason.to_owned(),
        };
        let page = page(&[
            row("One", "passes", "breaks", "starts programs"),
            row("One", "passes", "passes", ""),
            row("Two", "refused", "", "EPERM"),
        ]);
        assert!(page.contains("| a \\| b | passes | breaks: it starts programs | 1.20 |"), "{page}");
        assert!(page.contains("| a \\| b | passes | passes | 1.20 |"), "{page}");
        assert!(page.contains("| a \\| b | refused | EPERM |"), "{page}");
        assert!(page.contains("2 pass under `default`, 0 fail, 1 are refused"), "{page}");
    }
}
