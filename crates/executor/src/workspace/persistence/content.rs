//! Files that count by what they say: compared with what they said before the step, so that an edit beside a line
//! which was there already is no news.
//!
//! Main function: [`judge`]. What cannot be read or is too large to be read is taken for the worst.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use serde_json::Value;

use super::Level::{self, Flagged, Protected};
use super::git_config;
use super::rules::{Check, Group};
use super::sight::{Content, Sight};

/// Scripts that npm, pnpm and yarn run by themselves (npm-scripts(7), "Life Cycle Scripts").
const LIFE_CYCLE: &[&str] = &[
    "preinstall",
    "install",
    "postinstall",
    "preprepare",
    "prepare",
    "postprepare",
    "prepublish",
    "prepublishOnly",
    "prepack",
    "postpack",
    "dependencies",
    "pnpm:devPreinstall",
];

/// Settings of .npmrc that name a program, or options for one (npm-config(7)).
const NPMRC: &[&str] = &[
    "git",
    "script-shell",
    "shell",
    "editor",
    "viewer",
    "browser",
    "node-options",
    "python",
    "init-module",
    "userconfig",
    "globalconfig",
    "node-gyp",
    "onload-script",
    "pnpmfile",
    "global-pnpmfile",
];

/// Variables that make a program load or run something: ld.so(8), bash(1), and the interpreters' own manuals.
const LOADER: &[&str] = &[
    "PATH",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "LD_AUDIT",
    "DYLD_INSERT_LIBRARIES",
    "BASH_ENV",
    "ENV",
    "PROMPT_COMMAND",
    "SHELL",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONHOME",
    "PYTHONBREAKPOINT",
    "PYTHONWARNINGS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PERL5OPT",
    "PERL5LIB",
    "RUBYOPT",
    "RUBYLIB",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
    "CLASSPATH",
    "EDITOR",
    "VISUAL",
    "PAGER",
    "BROWSER",
    "RUSTC_WRAPPER",
    "RUSTC",
    "RUSTFLAGS",
    "CC",
    "CXX",
    "LESSOPEN",
    "LESSCLOSE",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_INDEX_URL",
    "NPM_CONFIG_REGISTRY",
];

/// Tables of a cargo configuration that replace a program of the build
/// (<https://doc.rust-lang.org/cargo/reference/config.html>).
const CARGO_BUILD: &[&str] =
    &["rustc", "rustc-wrapper", "rustc-workspace-wrapper", "rustdoc", "rustflags", "rustdocflags"];

/// Tables of pyproject.toml that say where packages and plugins come from, by tool: the manuals of uv, Poetry and PDM.
const PYPROJECT: &[(&str, &[&str])] = &[
    ("uv", &["index", "index-url", "extra-index-url", "find-links", "pip"]),
    ("poetry", &["source", "requires-plugins"]),
    ("pdm", &["source", "plugins"]),
];

/// What the file at `path` means for its group, given what it says; `None` when nothing. `hooked`: a repository around it
/// has hooks installed.
pub(super) fn judge(
    group: &Group,
    path: &Path,
    sight: &Sight<'_>,
    hooked: bool,
) -> io::Result<Option<(Level, String)>> {
    let plain = |level| Some((level, group.reason.to_owned()));
    match group.check {
        Check::Place => return Ok(plain(group.level)),
        Check::HookManager if hooked => {
            return Ok(Some((Protected, format!("{}, and hooks are installed", group.reason))));
        }
        Check::HookManager => return Ok(plain(group.level)),
        _ => {}
    }
    let now = match sight.read_after(path)? {
        Content::Bytes(bytes) => bytes,
        // Gone again, or a folder: nothing reads it.
        Content::Missing | Content::Other => return Ok(None),
        Content::Link(_) => {
            return Ok(Some((Protected, format!("{}, and is a link to another file", group.reason))));
        }
        Content::TooLarge(_) => {
            return Ok(Some((Protected, format!("{}, and is too large to be read", group.reason))));
        }
    };
    let before = match sight.read_before(path)? {
        Content::Bytes(bytes) => bytes,
        _ => Vec::new(),
    };
    Ok(match group.check {
        Check::Place | Check::HookManager => plain(group.level),
        Check::Version => {
            let (now, before) = (by_path(&now), by_path(&before));
            (!now.is_subset(&before)).then(|| (Protected, group.reason.to_owned()))
        }
        Check::Pyproject => {
            news(&sources(&now), &sources(&before)).map(|names| (Flagged, format!("{} ({names})", group.reason)))
        }
        Check::PackageScripts => {
            news(&scripts(&now), &scripts(&before)).map(|names| (Flagged, format!("{} ({names})", group.reason)))
        }
        Check::Npmrc => match news(&settings(&now, NPMRC), &settings(&before, NPMRC)) {
            Some(names) => Some((Protected, format!("names what npm runs ({names})"))),
            None => plain(Flagged),
        },
        Check::Cargo => match news(&cargo(&now), &cargo(&before)) {
            Some(names) => Some((Protected, format!("replaces a program of cargo's ({names})"))),
            None => plain(Flagged),
        },
        Check::Toolchain => {
            let path = |bytes: &[u8]| {
                let table = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<toml::Table>().ok());
                table.and_then(|table| Some(table.get("toolchain")?.get("path")?.to_string()))
            };
            (path(&now).is_some() && path(&now) != path(&before)).then(|| (Protected, group.reason.to_owned()))
        }
        Check::Loader => {
            news(&variables(&now), &variables(&before)).map(|names| (Flagged, format!("{} ({names})", group.reason)))
        }
        Check::Attributes => {
            news(&drivers(&now), &drivers(&before)).map(|names| (Flagged, format!("{} ({names})", group.reason)))
        }
        Check::GitConfig | Check::Submodules => match config(&now, &before) {
            Some(what) => Some((Protected, what)),
            None if group.check == Check::Submodules => plain(Flagged),
            None => None,
        },
    })
}

/// Why a git configuration counts: the keys that run something and were not there before.
pub(super) fn config(now: &[u8], before: &[u8]) -> Option<String> {
    let now = match git_config::parse(now) {
        Ok(entries) => entries,
        Err(why) => return Some(format!("is a git configuration that cannot be judged: {why}")),
    };
    let before = git_config::parse(before).unwrap_or_default();
    let names: BTreeSet<String> = git_config::executing(&now, &before).into_iter().map(|entry| entry.name()).collect();
    (!names.is_empty()).then(|| format!("makes git run a program ({})", listed(&names)))
}

/// The entries that are new, in words.
fn news(now: &BTreeSet<String>, before: &BTreeSet<String>) -> Option<String> {
    let new: BTreeSet<String> = now
        .difference(before)
        .map(|entry| entry.split(['=', '\n']).next().unwrap_or_default().trim().to_owned())
        .collect();
    (!new.is_empty()).then(|| listed(&new))
}

fn listed(names: &BTreeSet<String>) -> String {
    let shown: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
    let more = if names.len() > 5 { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn scripts(bytes: &[u8]) -> BTreeSet<String> {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return BTreeSet::new() };
    let Some(Value::Object(scripts)) = value.get("scripts") else { return BTreeSet::new() };
    let runs = scripts.iter().filter(|(name, _)| LIFE_CYCLE.contains(&name.as_str()));
    runs.map(|(name, text)| format!("{name}={text}")).collect()
}

/// `name = value` lines whose name is one of these; a scope or registry before the name does not count.
fn settings(bytes: &[u8], wanted: &[&str]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().filter_map(|line| {
        let (name, value) = line.trim().split_once('=').unwrap_or((line.trim(), ""));
        let name = name.trim().trim_matches('"').trim_end_matches("[]").to_ascii_lowercase().replace('_', "-");
        wanted.contains(&&*name).then(|| format!("{name}={}", value.trim()))
    });
    lines.collect()
}

/// Lines that name a version by a path: pyenv and uv take one, asdf and mise one after `path:`.
fn by_path(bytes: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| line.contains(['/', '\\'])).map(str::to_owned).collect()
}

fn sources(bytes: &[u8]) -> BTreeSet<String> {
    let table = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<toml::Table>().ok());
    // What is no TOML none of these tools reads.
    let Some(table) = table else { return BTreeSet::new() };
    let tables = PYPROJECT.iter().flat_map(|(tool, keys)| keys.iter().map(move |key| (tool, key)));
    let found = tables.filter_map(|(tool, key)| {
        let value = table.get("tool")?.get(tool)?.get(key)?;
        Some(format!("tool.{tool}.{key}={value}"))
    });
    found.collect()
}

fn variables(bytes: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let (name, value) = line.split_once(['=', ':'])?;
        let name = name.trim().trim_matches(['"', '\'']);
        (LOADER.contains(&name) || name.starts_with("GIT_")).then(|| format!("{name}={}", value.trim()))
    });
    lines.collect()
}

fn drivers(bytes: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let words = lines.flat_map(str::split_whitespace).filter(|word| {
        word.split_once('=').is_some_and(|(name, driver)| {
            matches!(name, "filter" | "merge") && !matches!(driver, "text" | "binary" | "union") || name == "diff"
        })
    });
    // The word as a whole is the news: `filter=lfs` is told as such.
    words.map(|word| word.replace('=', ":")).collect()
}

fn cargo(bytes: &[u8]) -> BTreeSet<String> {
    let table = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<toml::Table>().ok());
    // What cargo cannot read it does not run.
    let Some(table) = table else { return BTreeSet::new() };
    let mut found = BTreeSet::new();
    let mut add = |name: String, value: &toml::Value| found.insert(format!("{name}={value}"));
    for (name, value) in &table {
        match (name.as_str(), value) {
            ("build", toml::Value::Table(build)) => {
                for key in CARGO_BUILD {
                    build.get(*key).map(|value| add(format!("build.{key}"), value));
                }
            }
            ("target", toml::Value::Table(targets)) => {
                for (target, value) in targets {
                    for key in ["runner", "linker", "rustflags", "rustdocflags"] {
                        value.get(key).map(|value| add(format!("target.{target}.{key}"), value));
                    }
                }
            }
            ("registry" | "registries", value) if value.to_string().contains("credential-provider") => {
                add(format!("{name}.credential-provider"), value);
            }
            (
                "alias" | "env" | "include" | "host" | "doc" | "paths" | "patch" | "source" | "credential-alias",
                value,
            ) => {
                add(name.clone(), value);
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_and_is_new_is_told() {
        let now = br#"{"scripts": {"test": "x", "postinstall": "y", "prepare": "husky"}}"#;
        let before = br#"{"scripts": {"prepare": "husky"}}"#;
        assert_eq!(news(&scripts(now), &scripts(before)).as_deref(), Some("postinstall"));
        assert_eq!(news(&scripts(before), &scripts(now)), None);
        assert_eq!(news(&scripts(b"not json"), &scripts(b"")), None);

        assert_eq!(
            news(&settings(b"Script_Shell = ./x\nfund=false\n", NPMRC), &BTreeSet::new()).as_deref(),
            Some("script-shell")
        );
        assert_eq!(
            news(&variables(b"export LD_PRELOAD=./x.so\nKEY=1\n"), &BTreeSet::new()).as_deref(),
            Some("LD_PRELOAD")
        );
        assert_eq!(news(&variables(b"PATHS=1\n"), &BTreeSet::new()), None);
        assert_eq!(
            news(&drivers(b"*.png binary\n*.bin filter=lfs diff=lfs -text\n"), &BTreeSet::new()).as_deref(),
            Some("diff:lfs, filter:lfs")
        );
        assert_eq!(news(&drivers(b"* text=auto\nCHANGES merge=union\n"), &BTreeSet::new()), None);
        assert_eq!(
            news(&cargo(b"[build]\njobs = 2\nrustc-wrapper = \"./x\"\n"), &BTreeSet::new()).as_deref(),
            Some("build.rustc-wrapper")
        );
        assert_eq!(
            news(&cargo(b"[target.x86_64-unknown-linux-gnu]\nrunner = \"./x\"\n"), &BTreeSet::new()).as_deref(),
            Some("target.x86_64-unknown-linux-gnu.runner")
        );
        assert_eq!(news(&cargo(b"[net]\noffline = true\n"), &BTreeSet::new()), None);
    }
}
