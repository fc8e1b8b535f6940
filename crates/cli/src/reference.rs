//! `docs/reference/cli.md` and `settings.md` are made here from the command line and the table of settings.
//! The tests fail when a file differs; `AGENTIC_UPDATE=1 cargo test -p agentic-cli reference` writes them.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::CommandFactory;

use crate::args::Arguments;
use crate::settings::table::{KEYS, Narrow};

fn command_line() -> String {
    let mut page = String::from(
        "# Command line\n\nMade from the program itself by `crates/cli/src/reference.rs`; do not edit by hand.\n",
    );
    let mut root = Arguments::command().term_width(100);
    root.build();
    describe(&mut page, &mut root, 2);
    page
}

fn describe(page: &mut String, command: &mut clap::Command, depth: usize) {
    let name = command.get_bin_name().unwrap_or("agentic").to_owned();
    let help = command.render_long_help().to_string();
    let help: String = help.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    write!(page, "\n{} {name}\n\n```text\n{}\n```\n", "#".repeat(depth), help.trim_end()).unwrap();
    for inner in command.get_subcommands_mut() {
        describe(page, inner, depth + 1);
    }
}

fn settings() -> String {
    let mut page = String::from(
        "# Settings\n\nMade from the table in `crates/cli/src/settings/table.rs` by `crates/cli/src/reference.rs`; do not edit by hand.\n\n\
         Flags beat environment variables, which beat the workspace's `agentic.toml`, which beats the user's\n\
         `$XDG_CONFIG_HOME/agentic/config.toml` (or the file that `AGENTIC_CONFIG` names), which beats the defaults.\n\
         A workspace's file may only narrow what a run may do: a wider value there is ignored, and a warning names it.\n\
         An unknown name is an error, at its line. MB is 2^20 bytes. `agentic doctor` prints every setting with where it came from.\n\n\
         ```toml\n\
         # ~/.config/agentic/config.toml\n\
         max_steps = 100\n\n\
         [sandbox]\n\
         read_only = [\"/srv/datasets\", \"~/reference\"]\n\n\
         [sandbox.limits]\n\
         memory = 1024\n\n\
         [[approval]]\n\
         action = \"ask\"\n\
         tool = \"shell\"\n\
         command = \"git push*\"\n\
         ```\n\n\
         An `[[approval]]` rule has an `action` (`allow`, `ask`, `deny`) and globs: `tool`, `path`, `command`. The last rule that\n\
         matches a call decides; without one it passes. Of a workspace's rules, `deny` is taken last of all the files', `ask` first,\n\
         and `allow` is ignored. `--approve` comes after every file.\n\n\
         | name | may be | default | environment | a workspace may | what |\n|---|---|---|---|---|---|\n",
    );
    for key in KEYS {
        let variable = key.variable.map(|name| format!("`{name}`")).unwrap_or_default();
        let narrow = match key.narrow {
            Narrow::No => "not set it".to_owned(),
            Narrow::Less => "lower it".to_owned(),
            Narrow::To(value) => format!("set `{value}`"),
            Narrow::More => "add to it".to_owned(),
            Narrow::Fewer => "take from it".to_owned(),
            Narrow::Within => "set it, or take from it".to_owned(),
        };
        writeln!(
            page,
            "| `{}` | {} | {} | {variable} | {narrow} | {} |",
            key.name,
            key.kind.expected(),
            key.default,
            key.what
        )
        .unwrap();
    }
    page
}

fn check(file: &str, made: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference").join(file);
    if std::env::var_os("AGENTIC_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == made,
        "docs/reference/{file} is not what the program says; AGENTIC_UPDATE=1 cargo test -p agentic-cli reference writes it"
    );
}

#[test]
fn the_command_line_is_documented() {
    check("cli.md", &command_line());
}

#[test]
fn the_settings_are_documented() {
    check("settings.md", &settings());
}
