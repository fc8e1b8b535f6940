//! What a step leaves behind that runs later outside: refused, held back or told, by layout, place and content; and
//! ordinary work passes. Long, because it is a table of cases for each kind of place, read one by one.

mod workspace_support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use agentic_executor::workspace::{AllowPersist, Attempt, Backend, ChangeSet, Level, WorkspaceError};
use agentic_testkit::{find_program, skip};
use workspace_support::{World, tree, upper, world};

const HOOK: &str = "#!/bin/sh\ntouch /tmp/owned\n";
const PLAIN: &str = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n[user]\n\tname = A\n";
const EVIL: &str = "[core]\n\tfsmonitor = ./x\n";
const HEAD: &str = "ref: refs/heads/main\n";

/// Files as `path → text`; a text that begins with `-> ` is a link, a path that ends in `/` a folder.
type Files<'a> = &'a [(&'a str, &'a str)];

fn put(root: &Path, files: Files<'_>) {
    for (path, text) in files {
        let at = root.join(path);
        if path.ends_with('/') {
            fs::create_dir_all(&at).unwrap();
            continue;
        }
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => {
                let _absent = fs::remove_file(&at);
                symlink(target, &at).unwrap();
            }
            None => fs::write(&at, text).unwrap(),
        }
    }
}

/// A step that writes `after` over `before`, by its layer alone.
fn stepped(before: Files<'_>, after: Files<'_>) -> (World, Attempt) {
    let world = world();
    put(&world.root, before);
    let attempt = world.open();
    put(&upper(&attempt, 0), after);
    (world, attempt)
}

/// What is told: path, level, kind.
fn told(set: &ChangeSet, root: &Path) -> Vec<(String, Level, String)> {
    let rest = |path: &Path| path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
    set.persistence.iter().map(|one| (rest(&one.path), one.level, one.kind.clone().into_owned())).collect()
}

/// The step is judged so, and committing it does what that means.
#[track_caller]
fn judged(before: Files<'_>, after: Files<'_>, expected: &[(&str, Level, &str)]) {
    let (world, attempt) = stepped(before, after);
    let found = told(&attempt.change_set().unwrap(), &world.root);
    let expected: Vec<_> =
        expected.iter().map(|(path, level, kind)| ((*path).into(), *level, (*kind).into())).collect();
    assert_eq!(found, expected, "{after:?}");
    let (was, refused) = (tree(&world.root), expected.iter().any(|one| one.1 == Level::Protected));
    match attempt.commit() {
        Ok(set) => {
            assert!(!refused, "{after:?} was committed");
            assert_eq!(told(&set, &world.root), expected);
            assert_ne!(tree(&world.root), was, "nothing was committed");
        }
        Err(WorkspaceError::Persistence(found)) => {
            assert!(refused && found.iter().all(|one| one.level == Level::Protected), "{found:?}");
            assert_eq!(tree(&world.root), was);
        }
        Err(other) => panic!("{other}"),
    }
    world.assert_clean();
}

use Level::{Flagged, Protected};

#[test]
fn ordinary_files_of_a_project_pass() {
    judged(
        &[],
        &[("Makefile", "all:\n"), ("build.rs", "fn main() {}"), ("src/a.py", "1"), ("tests/conftest.py", "")],
        &[],
    );
    judged(&[], &[("weights.pth", "x"), ("notes.md", "x"), ("scripts/run.sh", HOOK), ("bin/git", HOOK)], &[]);
    judged(
        &[],
        &[(".editorconfig", "x"), (".gitignore", "x"), (".gitattributes", "*.png binary\n"), (".env", "KEY=1\n")],
        &[],
    );
    judged(
        &[],
        &[("package.json", r#"{"scripts": {"test": "jest", "build": "tsc"}}"#), (".vscode/x.code-snippets", "{}")],
        &[],
    );
    judged(&[("a", "1")], &[("link", "-> a"), ("d/up", "-> ../a")], &[]);
}

#[test]
fn a_fresh_repository_passes_and_its_hooks_do_not() {
    let fresh: Files<'_> = &[
        (".git/HEAD", HEAD),
        (".git/objects/pack/", ""),
        (".git/refs/heads/", ""),
        (".git/config", PLAIN),
        (".git/hooks/pre-commit.sample", HOOK),
        (".git/info/exclude", "x"),
    ];
    judged(&[], fresh, &[]);
    let with = |more: (&'static str, &'static str)| fresh.iter().copied().chain([more]).collect::<Vec<_>>();
    judged(&[], &with((".git/hooks/pre-commit", HOOK)), &[(".git/hooks/pre-commit", Protected, "git_hook")]);
    judged(&[], &with((".git/config", EVIL)), &[(".git/config", Protected, "git_config")]);
    judged(&[], &with((".git/config.worktree", EVIL)), &[(".git/config.worktree", Protected, "git_config")]);
    judged(&[], &with((".git/commondir", "../evil\n")), &[(".git/commondir", Protected, "git_link")]);
}

#[test]
fn hooks_and_configuration_are_found_by_layout_wherever_they_lie() {
    for folder in ["vendor/thing.git", "a/b/c", ".git/modules/sub", ".git/worktrees/wt", "x/.GIT"] {
        let at = |name: &str| format!("{folder}/{name}");
        let (head, objects, refs) = (at("HEAD"), at("objects/"), at("refs/"));
        let before: Vec<(&str, &str)> = vec![(&head, HEAD), (&objects, ""), (&refs, "")];
        let (hook, config) = (at("hooks/post-checkout"), at("config"));
        judged(&before, &[(&hook, HOOK)], &[(&hook, Protected, "git_hook")]);
        judged(&before, &[(&config, EVIL)], &[(&config, Protected, "git_config")]);
        judged(&before, &[(&config, PLAIN)], &[]);
    }
    // Without the layout it is a folder like any other.
    judged(&[("a/HEAD", HEAD)], &[("a/hooks/x", HOOK), ("a/config", EVIL)], &[]);
}

#[test]
fn a_folder_that_becomes_a_repository_is_judged_as_a_whole() {
    let lying: Files<'_> =
        &[("evil/config", EVIL), ("evil/hooks/pre-push", HOOK), ("evil/objects/", ""), ("evil/refs/", "")];
    let both = [("evil/config", Protected, "git_config"), ("evil/hooks/pre-push", Protected, "git_hook")];
    judged(lying, &[("evil/HEAD", HEAD)], &both);
    judged(
        lying,
        &[("evil/HEAD", HEAD), ("evil/commondir", "../..")],
        &[("evil/commondir", Protected, "git_link"), both[0], both[1]],
    );
    // The root itself.
    judged(
        &[("config", EVIL), ("objects/", ""), ("refs/", "")],
        &[("HEAD", HEAD)],
        &[("config", Protected, "git_config")],
    );
}

#[test]
fn a_repository_inside_a_repositorys_folder_hides_nothing() {
    let before: Files<'_> = &[(".git/HEAD", HEAD), (".git/objects/", ""), (".git/refs/", "")];
    let after: Files<'_> = &[
        (".git/hooks/HEAD", HEAD),
        (".git/hooks/objects/a", ""),
        (".git/hooks/refs/a", ""),
        (".git/hooks/pre-commit", HOOK),
    ];
    let every = [".git/hooks/HEAD", ".git/hooks/objects/a", ".git/hooks/pre-commit", ".git/hooks/refs/a"];
    judged(before, after, &every.map(|path| (path, Protected, "git_hook")));
}

#[test]
fn a_git_file_is_judged_by_where_it_leads() {
    let module: Files<'_> = &[
        (".git/HEAD", HEAD),
        (".git/objects/", ""),
        (".git/refs/", ""),
        (".git/modules/sub/HEAD", HEAD),
        (".git/modules/sub/objects/", ""),
        (".git/modules/sub/refs/", ""),
        (".git/modules/sub/config", PLAIN),
    ];
    judged(module, &[("sub/.git", "gitdir: ../.git/modules/sub\n")], &[]);
    judged(module, &[("sub/.git", "gitdir: /tmp/elsewhere\n")], &[("sub/.git", Protected, "git_link")]);
    judged(module, &[("sub/.git", "gitdir: ../../elsewhere\n")], &[("sub/.git", Protected, "git_link")]);
    judged(module, &[("sub/.git", "nonsense")], &[("sub/.git", Protected, "git_link")]);
    let lying: Files<'_> = &[("evil/config", EVIL), ("door", "-> evil")];
    judged(lying, &[("sub/.git", "gitdir: ../evil\n")], &[("evil/config", Protected, "git_config")]);
    judged(lying, &[("sub/.git", "-> ../evil")], &[("evil/config", Protected, "git_config")]);
    judged(lying, &[("sub/.git", "gitdir: ../door/x\n")], &[("sub/.git", Protected, "git_link")]);
}

#[test]
fn hooks_and_settings_that_a_configuration_names_elsewhere_are_found() {
    let config = "[core]\n\thooksPath = tools/hooks\n[include]\n\tpath = ../.gitsettings\n";
    let before: Files<'_> = &[
        (".git/HEAD", HEAD),
        (".git/objects/", ""),
        (".git/refs/", ""),
        (".git/config", config),
        ("tools/hooks/a", "1"),
    ];
    judged(before, &[("tools/hooks/a", HOOK)], &[("tools/hooks/a", Protected, "git_hook")]);
    judged(before, &[(".gitsettings", EVIL)], &[(".gitsettings", Protected, "git_config")]);
    judged(before, &[("tools/other", HOOK)], &[]);
    // The owner's own settings are no news when the step changes others.
    let more = format!("{config}[user]\n\tname = B\n");
    judged(before, &[(".git/config", &more)], &[]);
    let link: Files<'_> =
        &[(".git/HEAD", HEAD), (".git/objects/", ""), (".git/refs/", ""), (".git/hooks", "-> ../myhooks")];
    judged(link, &[("myhooks/pre-commit", HOOK)], &[("myhooks/pre-commit", Protected, "git_hook")]);
}

#[test]
fn a_hook_that_becomes_executable_counts() {
    let world = world();
    put(
        &world.root,
        &[(".git/HEAD", HEAD), (".git/objects/", ""), (".git/refs/", ""), (".git/hooks/pre-commit", HOOK)],
    );
    let attempt = world.open();
    let at = upper(&attempt, 0);
    put(&at, &[(".git/hooks/pre-commit", HOOK)]);
    fs::set_permissions(at.join(".git/hooks/pre-commit"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(attempt.commit(), Err(WorkspaceError::Persistence(_))));
}

#[test]
fn a_rebase_that_would_run_commands_counts() {
    let before: Files<'_> = &[(".git/HEAD", HEAD), (".git/objects/", ""), (".git/refs/", "")];
    let todo = ".git/rebase-merge/git-rebase-todo";
    judged(before, &[(todo, "pick 1 a\nexec touch x\n")], &[(todo, Protected, "git_hook")]);
    judged(before, &[(todo, "pick 1 a\n")], &[]);
}

#[test]
fn places_are_protected_or_flagged() {
    for path in [
        ".bashrc",
        "home/.zshenv",
        ".envrc",
        ".config/autostart/x.desktop",
        ".vscode/tasks.json",
        ".VSCode/Settings.json",
        "p.code-workspace",
        ".idea/workspace.xml",
        ".devcontainer/devcontainer.json",
        ".claude/settings.json",
        ".mcp.json",
        ".cursor/mcp.json",
        ".codex/config.toml",
        ".zed/tasks.json",
        ".gdbinit",
        ".Rprofile",
        "sitecustomize.py",
        ".venv/lib/python3.12/site-packages/usercustomize.py",
        ".ssh/authorized_keys",
        ".exrc",
        "mise.local.toml",
        ".config/mise.toml",
        "rust-project.json",
        ".gitpod.yml",
        ".github/hooks/x.json",
        ".windsurf/hooks.json",
        ".openhands/setup.sh",
        ".docker/config.json",
    ] {
        let (world, attempt) = stepped(&[], &[(path, "x")]);
        let found = told(&attempt.change_set().unwrap(), &world.root);
        assert_eq!(found.iter().map(|one| (&*one.0, one.1)).collect::<Vec<_>>(), [(path, Protected)]);
    }
    for path in [
        "AGENTS.md",
        "sub/CLAUDE.md",
        ".claude/commands/x.md",
        ".github/workflows/ci.yml",
        ".gitlab-ci.yml",
        "conftest.py",
        ".pre-commit-config.yaml",
        ".husky/pre-commit",
        ".npmrc",
        "pip.conf",
        ".cargo/config.toml",
        ".gitmodules",
        ".venv/lib/python3.12/site-packages/x.pth",
        "eslint.config.js",
        "gradle/wrapper/gradle-wrapper.jar",
        "x.desktop",
        ".pdm-python",
        "uv.toml",
        "poetry.toml",
        "lefthook.toml",
        ".lefthook/pre-push/x.sh",
        "lint-staged.config.js",
        ".pylintrc",
        ".roomodes",
    ] {
        let (world, attempt) = stepped(&[], &[(path, "")]);
        let found = told(&attempt.change_set().unwrap(), &world.root);
        assert_eq!(found.iter().map(|one| (&*one.0, one.1)).collect::<Vec<_>>(), [(path, Flagged)]);
    }
}

#[test]
fn content_decides_where_a_place_alone_does_not() {
    judged(
        &[],
        &[("package.json", r#"{"scripts": {"postinstall": "x"}}"#)],
        &[("package.json", Flagged, "package_scripts")],
    );
    judged(&[], &[(".npmrc", "script-shell=./x\n")], &[(".npmrc", Protected, "package_manager")]);
    judged(
        &[],
        &[(".cargo/config.toml", "[build]\nrustc-wrapper = \"./x\"\n")],
        &[(".cargo/config.toml", Protected, "build_tool")],
    );
    judged(&[], &[(".env", "LD_PRELOAD=./x.so\n")], &[(".env", Flagged, "dotenv")]);
    judged(&[], &[(".gitattributes", "*.c filter=x\n")], &[(".gitattributes", Flagged, "git_attributes")]);
    judged(
        &[],
        &[(".gitmodules", "[submodule \"a\"]\nurl = ../a\nupdate = !x\n")],
        &[(".gitmodules", Protected, "git_submodules")],
    );
    judged(&[], &[(".gitconfig", EVIL)], &[(".gitconfig", Protected, "git_config")]);
    judged(&[], &[(".gitconfig", PLAIN)], &[]);
    judged(
        &[],
        &[("rust-toolchain.toml", "[toolchain]\npath = \"./x\"\n")],
        &[("rust-toolchain.toml", Protected, "build_tool")],
    );
    judged(&[], &[("rust-toolchain.toml", "[toolchain]\nchannel = \"1.90\"\n")], &[]);
}

#[test]
fn what_says_where_python_and_its_packages_come_from_counts() {
    let index = "[[tool.uv.index]]\nurl = \"http://a.test\"\n";
    let project = "[project]\nname = \"a\"\n[tool.uv]\ndev-dependencies = []\n[tool.poetry]\nname = \"a\"\n";
    judged(&[], &[("pyproject.toml", project)], &[]);
    let found: &[(&str, Level, &str)] = &[("pyproject.toml", Flagged, "package_manager")];
    judged(&[("pyproject.toml", project)], &[("pyproject.toml", index)], found);
    judged(&[], &[("pyproject.toml", "[tool.poetry.requires-plugins]\nx = \"1\"\n")], found);
    // The owner's own index is no news.
    judged(&[("pyproject.toml", index)], &[("pyproject.toml", &format!("{index}[project]\nname = \"b\"\n"))], &[]);
    for (path, by_name, by_path) in [
        (".python-version", "3.12.1\npypy3\n", "./bin/python\n"),
        (".tool-versions", "python 3.12.1 # comment/1\n", "python path:./x\n"),
    ] {
        judged(&[("x", "")], &[(path, by_name)], &[]);
        judged(&[(path, by_name)], &[(path, by_path)], &[(path, Protected, "build_tool")]);
        judged(&[(path, by_path)], &[(path, &format!("{by_name}{by_path}"))], &[]);
    }
}

#[test]
fn what_an_installed_hook_reads_counts_as_the_hook() {
    const COPIED: &str = "#!/bin/sh\nexec pre-commit hook-impl\n";
    let plain: Files<'_> =
        &[(".git/HEAD", HEAD), (".git/objects/", ""), (".git/refs/", ""), (".git/hooks/pre-commit.sample", HOOK)];
    let with = |more: (&'static str, &'static str)| plain.iter().copied().chain([more]).collect::<Vec<_>>();
    let installed = with((".git/hooks/pre-commit", COPIED));
    let husky = with((".git/config", "[core]\n\thooksPath = .husky/_\n"));
    for path in [".pre-commit-config.yaml", "lefthook.yml", ".husky/pre-commit", "sub/.lintstagedrc.json"] {
        judged(plain, &[(path, "x")], &[(path, Flagged, "hook_manager")]);
        for before in [&installed, &husky] {
            judged(before, &[(path, "x")], &[(path, Protected, "hook_manager")]);
        }
    }
    // In a worktree or a submodule the hooks are where `.git` leads; out of sight they may be there.
    let path = "tree/.pre-commit-config.yaml";
    for (more, level) in [(&[][..], Flagged), (&[(".git/hooks/post-merge", COPIED)][..], Protected)] {
        let before: Vec<(&str, &str)> = [
            (".git/worktrees/tree/HEAD", HEAD),
            (".git/worktrees/tree/commondir", "../..\n"),
            ("tree/.git", "gitdir: ../.git/worktrees/tree\n"),
        ]
        .into_iter()
        .chain(plain.iter().copied().skip(1))
        .chain(more.iter().copied())
        .collect();
        judged(&before, &[(path, "x")], &[(path, level, "hook_manager")]);
    }
    judged(&[("tree/.git", "gitdir: /elsewhere/.git\n")], &[(path, "x")], &[(path, Protected, "hook_manager")]);
}

#[test]
fn what_git_keeps_of_a_worktree_is_judged() {
    let before: Files<'_> = &[
        (".git/HEAD", HEAD),
        (".git/objects/", ""),
        (".git/refs/", ""),
        (".git/worktrees/tree/HEAD", HEAD),
        (".git/worktrees/tree/commondir", "../..\n"),
    ];
    let config = ".git/worktrees/tree/config.worktree";
    judged(before, &[(config, EVIL)], &[(config, Protected, "git_config")]);
    judged(before, &[(config, PLAIN)], &[]);
    let gitdir = ".git/worktrees/tree/gitdir";
    judged(before, &[(gitdir, "/elsewhere/tree/.git\n")], &[(gitdir, Flagged, "git_link")]);
    let (world, attempt) = stepped(before, &[]);
    let inside = format!("{}\n", world.root.join("tree/.git").display());
    put(&upper(&attempt, 0), &[(gitdir, &inside)]);
    assert_eq!(told(&attempt.change_set().unwrap(), &world.root), []);
}

#[test]
fn what_lies_among_installed_packages_counts_less() {
    judged(
        &[],
        &[("node_modules/p/.vscode/settings.json", "{}")],
        &[("node_modules/p/.vscode/settings.json", Flagged, "editor")],
    );
    judged(
        &[],
        &[
            ("node_modules/p/.github/workflows/x.yml", ""),
            ("node_modules/p/package.json", r#"{"scripts": {"install": "x"}}"#),
        ],
        &[],
    );
    let repository: Files<'_> = &[
        ("node_modules/p/HEAD", HEAD),
        ("node_modules/p/objects/", ""),
        ("node_modules/p/refs/", ""),
        ("node_modules/p/config", EVIL),
    ];
    judged(&[], repository, &[("node_modules/p/config", Protected, "git_config")]);
}

#[test]
fn links_out_are_told_and_never_replace_anything() {
    judged(&[], &[("out", "-> /etc/hostname")], &[("out", Flagged, "link_out")]);
    judged(&[("d/keep", "")], &[("d/out", "-> ../../x")], &[("d/out", Flagged, "link_out")]);
    judged(&[("README.md", "x")], &[("README.md", "-> /etc/hostname")], &[("README.md", Protected, "link_out")]);
    judged(&[("bin/x", "")], &[(".vscode", "-> bin")], &[(".vscode", Protected, "editor")]);
    // What lies behind the owner's own link counts as if it lay there.
    judged(
        &[("tools/claude/x", ""), (".claude", "-> tools/claude")],
        &[("tools/claude/settings.json", "{}")],
        &[("tools/claude/settings.json", Protected, "agent")],
    );
}

#[test]
fn an_environment_in_use_keeps_its_interpreter() {
    let fresh: Files<'_> = &[
        (".venv/pyvenv.cfg", "home = /usr/bin\n"),
        (".venv/bin/python", "-> /usr/bin/python3"),
        (".venv/bin/python3", "-> python"),
        (".venv/bin/activate", "x"),
        (".venv/bin/pip", "x"),
    ];
    judged(&[], fresh, &[]);
    judged(fresh, &[(".venv/bin/python", "x")], &[(".venv/bin/python", Protected, "environment")]);
    judged(fresh, &[(".venv/bin/activate", HOOK)], &[(".venv/bin/activate", Protected, "environment")]);
    judged(fresh, &[(".venv/pyvenv.cfg", "home = /tmp\n")], &[(".venv/pyvenv.cfg", Protected, "environment")]);
    judged(fresh, &[(".venv/bin/git", HOOK)], &[(".venv/bin/git", Protected, "environment")]);
    judged(fresh, &[(".venv/bin/pip", "y")], &[(".venv/bin/pip", Flagged, "environment")]);
    judged(fresh, &[(".venv/bin/pytest", "y")], &[]);
    judged(&[], &[("e/pyvenv.cfg", ""), ("e/bin/python", "-> /tmp/python")], &[("e/bin/python", Flagged, "link_out")]);
}

#[test]
fn bytecode_is_judged_by_its_source_and_its_header() {
    let timed = "\u{1}\u{2}\u{3}\u{4}\0\0\0\0aaaabbbb";
    let unchecked = "\u{1}\u{2}\u{3}\u{4}\u{1}\0\0\0aaaabbbb";
    let at = "__pycache__/a.cpython-312.pyc";
    judged(&[], &[("a.py", "1"), (at, timed)], &[]);
    judged(&[("a.py", "1")], &[(at, timed)], &[(at, Flagged, "bytecode")]);
    judged(&[("a.py", "1")], &[("a.py", "2"), (at, timed)], &[]);
    judged(&[("a.py", "1")], &[("a.py", "2"), (at, unchecked)], &[(at, Protected, "bytecode")]);
    judged(&[], &[("json.pyc", timed)], &[("json.pyc", Flagged, "bytecode")]);
    judged(&[], &[("__pycache__/gone.cpython-312.pyc", timed)], &[]);
}

#[test]
fn a_set_id_bit_is_dropped_and_told() {
    let (world, attempt) = stepped(&[], &[("tool", HOOK)]);
    fs::set_permissions(upper(&attempt, 0).join("tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    let set = attempt.commit().unwrap();
    assert_eq!(told(&set, &world.root), [("tool".to_owned(), Flagged, "set_id".to_owned())]);
    assert_eq!(fs::metadata(world.root.join("tool")).unwrap().permissions().mode() & 0o7777, 0o755);
}

#[test]
fn what_the_operator_allows_passes_and_nothing_else() {
    let after: Files<'_> = &[(".vscode/tasks.json", "{}"), (".vscode/launch.json", "{}"), (".envrc", "x")];
    let committed = |allowed: AllowPersist| {
        let (world, attempt) = stepped(&[], after);
        attempt.allow_persist(allowed);
        let outcome = attempt.commit();
        (world, outcome)
    };
    for words in [vec!["all"], vec![".vscode", ".envrc"], vec!["./.vscode/", ".envrc"]] {
        let (world, outcome) = committed(AllowPersist::from_words(&words));
        assert_eq!(outcome.unwrap().persistence.len(), 3, "{words:?}");
        assert!(world.root.join(".envrc").exists());
    }
    for words in [vec![".vscode/tasks.json"], vec![".vs"], vec!["./all"], vec!["/", "nothing"]] {
        let (_world, outcome) = committed(AllowPersist::from_words(&words));
        match (outcome, words[0]) {
            // `/` holds every path, and says so.
            (Ok(_), "/") => {}
            (Err(WorkspaceError::Persistence(found)), _) => assert!(!found.is_empty()),
            other => panic!("{words:?}: {other:?}"),
        }
    }
    let (world, attempt) = stepped(&[], after);
    let absolute = [world.root.join(".vscode"), world.root.join(".envrc")];
    attempt.allow_persist(AllowPersist::Paths(absolute.to_vec()));
    attempt.commit().unwrap();
}

#[test]
fn what_is_held_back_is_named_and_the_rest_is_applied() {
    for backend in [Backend::Overlay, Backend::Copy] {
        let world = world();
        put(&world.root, &[("tools/x", "1"), ("evil/config", EVIL), ("evil/objects/", ""), ("evil/refs/", "")]);
        let mut attempt = world.open_as(backend);
        let at = upper(&attempt, 0);
        put(&at, &[("kept", "1"), (".git/hooks/pre-commit", HOOK), (".vscode/tasks.json", "{}"), ("evil/HEAD", HEAD)]);
        assert!(matches!(attempt.try_commit(), Err(WorkspaceError::Persistence(_))), "{backend}");
        let (dir, inner) = attempt.written(&world.root.join(".vscode/tasks.json")).unwrap().unwrap();
        assert_eq!(dir.read(&inner, 10).unwrap(), b"{}");
        attempt.hold_back_protected();
        let set = attempt.try_commit().unwrap();
        let left: Vec<_> =
            set.left_out.iter().map(|one| one.path.strip_prefix(&world.root).unwrap().to_owned()).collect();
        assert_eq!(left, [".git/hooks/pre-commit", ".vscode/tasks.json", "evil"].map(PathBuf::from), "{backend}");
        assert!(set.persistence.is_empty());
        drop(attempt);
        assert_eq!(world.read("kept"), "1");
        for absent in [".git/hooks/pre-commit", ".vscode/tasks.json", "evil/HEAD"] {
            assert!(!world.root.join(absent).exists(), "{absent} {backend}");
        }
        world.assert_clean();
    }
}

#[test]
fn a_layer_that_waits_is_held_to_the_same() {
    let world = world();
    put(&world.root, &[("a", "1")]);
    let other = world.open();
    let mut attempt = world.open();
    put(&upper(&attempt, 0), &[("b", "1"), (".envrc", "x")]);
    assert!(matches!(attempt.try_commit(), Err(WorkspaceError::Persistence(_))));
    attempt.hold_back_protected();
    attempt.try_commit().unwrap();
    drop(attempt);
    assert!(!world.root.join("b").exists(), "it waits for the other");
    other.discard();
    world.workspaces.settle().unwrap();
    assert_eq!(world.read("b"), "1");
    assert!(!world.root.join(".envrc").exists());
}

#[test]
fn hostile_files_at_known_places_are_refused_and_not_opened() {
    let world = world();
    let attempt = world.open();
    let at = upper(&attempt, 0);
    put(&at, &[(".git/HEAD", HEAD), (".git/objects/", ""), (".git/refs/", "")]);
    fs::File::create(at.join(".git/config")).unwrap().set_len(1 << 40).unwrap();
    fs::File::create(at.join("package.json")).unwrap().set_len(1 << 40).unwrap();
    symlink("/etc/passwd", at.join(".npmrc")).unwrap();
    fs::create_dir(at.join(".gitattributes")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at.join(".envrc"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let found = told(&attempt.change_set().unwrap(), &world.root);
    let protected: Vec<&str> = found.iter().filter(|one| one.1 == Protected).map(|one| &*one.0).collect();
    assert_eq!(protected, [".git/config", ".npmrc", "package.json"]);
}

/// Runs programs in the layer of a step.
fn after_running(before: Files<'_>, commands: &[&[&str]]) -> Option<(World, Attempt)> {
    let world = world();
    put(&world.root, before);
    let attempt = world.open_as(Backend::Copy);
    let at = upper(&attempt, 0);
    for words in commands {
        let program = find_program(words[0])?;
        let output = Command::new(program)
            .args(&words[1..])
            .current_dir(&at)
            .env("HOME", world.temp.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ALLOW_PROTOCOL", "file")
            .env_remove("GIT_DIR")
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Some((world, attempt))
}

#[test]
fn everyday_tools_do_what_the_table_says() {
    const GIT: &[&str] = &["git", "init", "-q", "-b", "main", "."];
    const ME: &[&str] = &["git", "config", "user.email", "a@example.org"];
    const NAME: &[&str] = &["git", "config", "user.name", "A"];
    const COMMIT: &[&str] = &["git", "commit", "-q", "--allow-empty", "-m", "first"];
    type Row<'a> = (&'a str, Vec<&'a [&'a str]>, Vec<(&'a str, Level)>);
    let table: Vec<Row<'_>> = vec![
        ("git init, config, commit", vec![GIT, ME, NAME, COMMIT], vec![]),
        (
            "git branch and tag",
            vec![GIT, ME, NAME, COMMIT, &["git", "branch", "hooks/x"], &["git", "tag", "config"]],
            vec![],
        ),
        ("git clone", vec![&["git", "init", "-q", "up"], &["git", "clone", "-q", "up", "down"]], vec![]),
        (
            "git clone --bare",
            vec![&["git", "init", "-q", "up"], &["git", "clone", "-q", "--bare", "up", "down.git"]],
            vec![],
        ),
        (
            "git submodule add",
            vec![
                &["git", "init", "-q", "up"],
                &[
                    "git",
                    "-C",
                    "up",
                    "-c",
                    "user.name=A",
                    "-c",
                    "user.email=a@b",
                    "commit",
                    "-q",
                    "--allow-empty",
                    "-m",
                    "1",
                ],
                GIT,
                &["git", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "./up", "sub"],
            ],
            vec![(".gitmodules", Flagged)],
        ),
        ("git config alias", vec![GIT, &["git", "config", "alias.x", "!true"]], vec![(".git/config", Protected)]),
        (
            "git config core.hooksPath",
            vec![GIT, &["git", "config", "core.hooksPath", "h"]],
            vec![(".git/config", Protected)],
        ),
        ("cargo new", vec![&["cargo", "new", "-q", "thing", "--vcs", "git"]], vec![]),
        ("npm init", vec![&["npm", "init", "-y"]], vec![]),
    ];
    let mut seen = 0;
    for (name, commands, expected) in table {
        let Some((world, attempt)) = after_running(&[], &commands) else {
            agentic_testkit::report_skip(&format!("{name}: its program is not installed"));
            continue;
        };
        let found = told(&attempt.change_set().unwrap(), &world.root);
        let found: Vec<(&str, Level)> = found.iter().map(|one| (&*one.0, one.1)).collect();
        assert_eq!(found, expected, "{name}");
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn a_virtual_environment_that_python_makes_passes() {
    let Some((world, attempt)) = after_running(&[], &[&["python3", "-m", "venv", "--without-pip", ".venv"]]) else {
        skip!("python3 is not installed");
    };
    assert_eq!(told(&attempt.change_set().unwrap(), &world.root), []);
    attempt.commit().unwrap();
    assert!(world.root.join(".venv/bin/python3").symlink_metadata().is_ok());
}
