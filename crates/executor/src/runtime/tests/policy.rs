//! What each view shows and passes, as a policy and an environment; nothing is run.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use agentic_sandbox::{Closed, Control, Enforcement, Network, Profile, Source, View, Workspace};

use super::World;
use crate::cause::Cause;
use crate::runtime::exec::{self, prepare_over};
use crate::runtime::{Language, Prepared, Program, Request, Runtimes, Toolchains, host_policy, system_policy};

fn mounts(world: &World) -> Vec<Workspace> {
    vec![Workspace { path: world.workspace.clone(), source: Source::ReadOnly }]
}

fn env(prepared: &Prepared) -> BTreeMap<OsString, OsString> {
    prepared.env.iter().cloned().collect()
}

fn get<'a>(env: &'a BTreeMap<OsString, OsString>, name: &str) -> Option<&'a str> {
    env.get(OsStr::new(name)).and_then(|value| value.to_str())
}

#[test]
fn the_host_view_shows_tools_and_not_what_lies_beside_them() {
    let mut world = World::new();
    let secrets = [
        ".cargo/credentials.toml",
        ".cargo/credentials",
        ".npmrc",
        ".pypirc",
        ".netrc",
        ".config/pip/pip.conf",
        ".gem/credentials",
        ".docker/config.json",
        ".ssh/id_ed25519",
        ".aws/credentials",
        ".gnupg/secring.gpg",
        ".bash_history",
        ".kube/config",
        ".config/gh/hosts.yml",
        ".git-credentials",
        ".m2/settings.xml",
        ".gradle/gradle.properties",
        ".local/share/keyrings/login.keyring",
        ".mozilla/firefox/cookies.sqlite",
        ".local/share/uv/credentials/x",
        ".cache/huggingface/token",
        "other/.env",
        ".pgpass",
        ".vault-token",
        ".terraformrc",
        ".claude/auth.json",
        ".local/share/fish/fish_history",
        ".npm/_logs/debug.log",
        ".netrc.gpg",
        ".env",
    ];
    for secret in secrets {
        world.file(secret, "secret");
    }
    let tools = [
        ".cargo/bin/cargo",
        ".cargo/registry/cache/x",
        ".rustup/toolchains/stable/bin/rustc",
        ".pyenv/versions/3.11/bin/python",
        ".pyenv/version",
        ".nvm/versions/node/v20/bin/node",
        "go/pkg/mod/x/y.go",
        ".npm/_cacache/index",
        ".local/bin/tool",
        ".local/lib/python3.11/site-packages/x.py",
        ".local/share/uv/python/cpython/bin/python",
        ".sdkman/candidates/java/x",
    ];
    for tool in tools {
        world.file(tool, "tool");
    }
    world.file("custom/bin/thing", "tool");
    world.set("PATH", world.home.join("custom/bin"));
    let prepared = host_policy(&world.config, mounts(&world));
    let shown: Vec<&PathBuf> = prepared.policy.read_only.iter().chain(&prepared.policy.caches).collect();
    let visible = |path: &str| shown.iter().any(|folder| world.home.join(path).starts_with(folder));
    for secret in secrets {
        assert!(!visible(secret), "{secret} is shown");
    }
    for tool in tools.iter().chain(&["custom/bin/thing"]) {
        assert!(visible(tool), "{tool} is not shown");
    }
    assert!(prepared.policy.caches.contains(&world.home.join(".cargo/registry")));
    assert!(prepared.policy.caches.contains(&world.home.join(".npm/_cacache")));
    assert_eq!(prepared.policy.home.as_deref(), Some(world.home.as_path()));
    assert_eq!((prepared.policy.view, prepared.policy.profile), (View::Host, Profile::Default));
}

#[test]
fn an_activated_environment_is_shown_and_what_lies_beside_it_is_not() {
    let mut world = World::new();
    for path in ["envs/one/pyvenv.cfg", "envs/one/bin/python", "envs/one/lib/python3/x.py", "envs/one/.env"] {
        world.file(path, "");
    }
    world.file("envs/none/bin/python", "");
    let probe = Toolchains::probe(&world.config.host);
    assert!(!probe.shows(&world.home.join("envs/one/lib")));
    for variable in ["VIRTUAL_ENV", "PATH"] {
        let mut world = world.config.host.clone();
        let one = world.home.clone().unwrap().join("envs/one");
        let value = if variable == "PATH" { one.join("bin") } else { one.clone() };
        world.env.insert(variable.into(), value.into());
        let probe = Toolchains::probe(&world);
        assert!(probe.shows(&one.join("lib/python3/x.py")) && probe.shows(&one.join("pyvenv.cfg")), "{variable}");
        assert!(!probe.shows(&one.join(".env")), "{variable}");
    }
    world.set("VIRTUAL_ENV", world.home.join("envs/none"));
    assert!(!Toolchains::probe(&world.config.host).shows(&world.home.join("envs/none/bin")), "no environment");
}

#[test]
fn variables_cannot_make_home_or_secrets_visible() {
    let mut world = World::new();
    world.file(".ssh/bin/x", "");
    world.file("bin/x", "");
    for (name, value) in [
        ("JAVA_HOME", world.home.clone()),
        ("GOROOT", world.home.parent().unwrap().to_owned()),
        ("CCACHE_DIR", world.home.join(".ssh")),
        ("UV_CACHE_DIR", PathBuf::from("/")),
        ("DENO_DIR", PathBuf::from("/run")),
        ("GOCACHE", world.home.join("x/..")),
        ("PATH", world.home.join(".ssh/bin")),
    ] {
        world.set(name, value);
    }
    world.link("sly", ".ssh");
    world.set("WORKON_HOME", world.home.join("sly"));
    let probe = Toolchains::probe(&world.config.host);
    let under_home =
        probe.shown.iter().filter(|shown| world.home.starts_with(&shown.path) || shown.path.starts_with(&world.home));
    assert_eq!(under_home.count(), 0, "{:?}", probe.shown);
    assert!(
        // Why depends on where this test's home lies: it is home, or it lies in a folder that is fresh inside.
        probe.left_out.iter().any(|(path, why)| *path == world.home && (why.contains("home") || why.contains("tmp"))),
        "{:?}",
        probe.left_out
    );
}

#[test]
fn a_settings_file_is_shown_only_without_credentials() {
    let world = World::new();
    let config = world.file(".cargo/config.toml", "[build]\njobs = 2\n");
    assert!(Toolchains::probe(&world.config.host).shows(&config));
    for secret in ["[registry]\ntoken = 'x'\n", "index = 'https://me:pw@example.org/'\n", "PASSWORD=x"] {
        world.file(".cargo/config.toml", secret);
        let probe = Toolchains::probe(&world.config.host);
        assert!(!probe.shows(&config), "{secret}");
        assert!(probe.left_out.iter().any(|(path, why)| *path == config && why.contains("(--ro, read_only)")));
    }
}

#[test]
fn only_named_variables_pass() {
    let mut world = World::new();
    for (name, value) in [
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("CARGO_REGISTRY_TOKEN", "x"),
        ("OPENAI_API_KEY", "x"),
        ("SSH_AUTH_SOCK", "/run/x"),
        ("LD_PRELOAD", "/x"),
        ("PYTHONPATH", "/x"),
        ("NODE_OPTIONS", "x"),
        ("PIP_INDEX_URL", "https://u:p@x"),
        ("TERM", "xterm"),
        ("TZ", "UTC"),
        ("LC_ALL", "de_DE.UTF-8"),
        ("RUSTUP_TOOLCHAIN", "stable"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ] {
        world.set(name, value);
    }
    world.file(".cargo/bin/cargo", "");
    world.file("elsewhere/bin/x", "");
    let path = [world.home.join(".cargo/bin"), world.home.join(".absent/bin"), "/usr/bin".into(), "relative".into()];
    world.set("PATH", std::env::join_paths(path).unwrap());
    world.config.sandbox.env.insert("EXTRA".into(), "1".into());
    world.config.sandbox.env.insert("TZ".into(), "Europe/Berlin".into());

    let host = env(&host_policy(&world.config, mounts(&world)));
    let system = env(&system_policy(&world.config, None, mounts(&world)));
    for env in [&host, &system] {
        for name in [
            "AWS_SECRET_ACCESS_KEY",
            "CARGO_REGISTRY_TOKEN",
            "OPENAI_API_KEY",
            "SSH_AUTH_SOCK",
            "LD_PRELOAD",
            "PYTHONPATH",
            "NODE_OPTIONS",
            "PIP_INDEX_URL",
        ] {
            assert_eq!(get(env, name), None, "{name}");
        }
        assert_eq!(get(env, "TERM"), Some("xterm"));
        assert_eq!(get(env, "LC_ALL"), Some("de_DE.UTF-8"));
        assert_eq!(get(env, "PYTHONDONTWRITEBYTECODE"), Some("1"));
        assert_eq!((get(env, "EXTRA"), get(env, "TZ")), (Some("1"), Some("Europe/Berlin")));
        assert_eq!(get(env, "TMPDIR"), Some("/tmp"));
    }
    assert_eq!(get(&host, "RUSTUP_TOOLCHAIN"), Some("stable"));
    assert_eq!(get(&system, "RUSTUP_TOOLCHAIN"), None);
    assert_eq!(get(&host, "HOME"), world.home.to_str());
    assert_eq!(get(&system, "HOME"), Some("/home/user"));
    let shown = get(&host, "PATH").unwrap();
    assert!(shown.starts_with(&format!("{}:/usr/bin:", world.home.join(".cargo/bin").display())), "{shown}");
    assert!(!shown.contains(".absent") && !shown.contains("relative"), "{shown}");
    assert!(!get(&system, "PATH").unwrap().contains(".cargo"));
    world.config.sandbox.network = Network::Host;
    let open = env(&host_policy(&world.config, mounts(&world)));
    for (name, closed) in [("CARGO_NET_OFFLINE", "true"), ("npm_config_fetch_retries", "0"), ("PIP_RETRIES", "0")] {
        assert_eq!((get(&host, name), get(&open, name)), (Some(closed), None), "{name}");
    }
}

#[test]
fn the_git_identity_passes_and_nothing_else_of_git() {
    let world = World::new();
    world.file(
        ".gitconfig",
        "[credential]\n helper = store\n[user]\n\tname = \"A. N. Other\" ; me\n\temail=a@example.org\n[url \"x\"]\n name = no\n",
    );
    let host = env(&host_policy(&world.config, mounts(&world)));
    for key in ["GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"] {
        assert_eq!(get(&host, key), Some("A. N. Other"));
    }
    assert_eq!(get(&host, "GIT_AUTHOR_EMAIL"), Some("a@example.org"));
    // A project's own identity is not overruled.
    world.file("project/.git/config", "[user]\n email = project@example.org\n");
    let host = env(&host_policy(&world.config, mounts(&world)));
    assert_eq!((get(&host, "GIT_AUTHOR_EMAIL"), get(&host, "GIT_AUTHOR_NAME")), (None, Some("A. N. Other")));
    assert_eq!(get(&env(&system_policy(&world.config, None, mounts(&world))), "GIT_AUTHOR_NAME"), None);
}

#[test]
fn dotenv_files_are_hidden_in_the_system_view_and_shown_in_the_host_view() {
    let mut world = World::new();
    let secret =
        [".env", ".env.local", "app/.env.production", "a/b/c/d/.env"].map(|path| Path::new("project").join(path));
    let secret = secret.map(|path| world.file(path, "KEY=1"));
    for open in [".env.example", "app/.env.sample", ".env.template", "environment", "node_modules/x/.env"] {
        world.file(Path::new("project").join(open), "KEY=");
    }
    let mut hidden = |dotenv: Option<bool>, view: View| {
        world.config.sandbox.dotenv = dotenv;
        let mounts = mounts(&world);
        let prepared = match view {
            View::System => system_policy(&world.config, None, mounts),
            View::Host => host_policy(&world.config, mounts),
        };
        (prepared.policy.hide, prepared.notes.get(&Control::Dotenv).cloned())
    };
    let (mut found, note) = hidden(None, View::System);
    found.sort();
    let mut expected = secret.to_vec();
    expected.sort();
    assert_eq!((found, note), (expected, Some(Enforcement::Active)));
    assert!(hidden(None, View::Host).0.is_empty());
    assert!(hidden(Some(true), View::System).0.is_empty());
    assert_eq!(hidden(Some(false), View::Host).0.len(), 4);
    assert!(matches!(hidden(None, View::Host).1, Some(Enforcement::Off(_))));
}

#[test]
fn a_dotenv_walk_that_was_cut_short_says_so() {
    let world = World::new();
    world.file("project/1/2/3/4/5/6/.env", "");
    let prepared = system_policy(&world.config, None, mounts(&world));
    assert!(prepared.policy.hide.is_empty());
    let Some(Enforcement::Degraded(reason)) = prepared.notes.get(&Control::Dotenv) else { panic!("not said") };
    assert!(reason.contains("(--hide, hide)"), "{reason}");
}

#[test]
fn what_the_operator_named_reaches_the_policy() {
    let mut world = World::new();
    let settings = &mut world.config.sandbox;
    settings.read_only = vec!["/srv/data".into(), world.workspace.join("inside")];
    settings.read_write = vec!["/srv/out".into()];
    settings.hide = vec![world.workspace.join("secret")];
    settings.blocked_imports = vec!["subprocess".into()];
    settings.allow_degraded.insert(Control::Disk);
    settings.profile = Profile::Strict;
    let system = system_policy(&world.config, None, mounts(&world)).policy;
    let host = host_policy(&world.config, mounts(&world)).policy;
    for policy in [&system, &host] {
        assert!(policy.read_only.contains(&"/srv/data".into()));
        assert!(!policy.read_only.iter().any(|path| path.starts_with(&world.workspace)), "it would cover the layer");
        assert_eq!(policy.read_write, [PathBuf::from("/srv/out")]);
        assert!(policy.hide.contains(&world.workspace.join("secret")));
        assert!(policy.allow_degraded.contains(&Control::Disk));
    }
    assert_eq!((system.closed.exec, host.closed.exec), (true, false));
    assert_eq!((system.profile, host.profile), (Profile::Strict, Profile::Default));
}

fn prepared(world: &World, request: &Request) -> Result<exec::Invocation, crate::runtime::RuntimeError> {
    prepare_over(&Runtimes::new(), None, &world.config, request, mounts(world), &world.config.state.join("code"))
}

fn with_python(world: &mut World) {
    let python = world.program("py/bin/python3");
    world.config.sandbox.runtimes.insert("python".into(), python);
}

#[test]
fn code_is_an_argument_until_it_is_too_large_for_one() {
    let mut world = World::new();
    with_python(&mut world);
    let small = prepared(&world, &Request::new(Language::Python, Program::Code(b"print(1)".to_vec()))).unwrap();
    assert_eq!(small.command.get_args(), ["-c", "print(1)"]);
    assert!(!world.config.state.join("code").exists());

    let code = vec![b'#'; 300 << 10];
    let large = prepared(&world, &Request::new(Language::Python, Program::Code(code.clone()))).unwrap();
    let folder =
        large.prepared.policy.read_only.iter().find(|path| path.starts_with(&world.config.state)).unwrap().clone();
    assert_eq!(std::fs::read(folder.join("code")).unwrap(), code);
    assert!(!folder.starts_with(&world.workspace));
    drop(large);
    assert!(!folder.exists());
}

#[test]
fn what_cannot_be_passed_on_is_refused_before_anything_starts() {
    let mut world = World::new();
    with_python(&mut world);
    world.file("project/folder/x", "");
    world.file("outside.py", "");
    let refuse = |program: Program| {
        let error = prepared(&world, &Request::new(Language::Python, program)).unwrap_err();
        (error.cause(), error.to_string())
    };
    let (cause, message) = refuse(Program::Code(b"a\0b".to_vec()));
    assert!(cause == Cause::InvalidArguments && message.contains("NUL byte at offset 1"), "{message}");
    for folder in ["folder", ".", "../project"] {
        let (cause, message) = refuse(Program::File(folder.into()));
        assert!(cause == Cause::InvalidArguments && message.contains("is a folder"), "{message}");
    }
    for outside in ["../outside.py", "/etc/hostname", "folder/../../outside.py"] {
        assert_eq!(refuse(Program::File(outside.into())).0, Cause::PermissionDenied, "{outside}");
    }
    let mut shown = Request::new(Language::Python, Program::File(world.home.join("outside.py")));
    shown.shows_file = true;
    let shown = prepared(&world, &shown).unwrap();
    assert!(shown.prepared.policy.read_only.contains(&world.home.join("outside.py")));
    let mut zero = Request::new(Language::Python, Program::Stdin);
    zero.limits.memory = 0;
    assert!(prepared(&world, &zero).unwrap_err().to_string().contains("`memory`"));
}

#[test]
fn only_an_import_policy_brings_the_bootstrap() {
    let mut world = World::new();
    with_python(&mut world);
    let shown = |world: &World, program: Program| {
        let invocation = prepared(world, &Request::new(Language::Python, program)).unwrap();
        let args: Vec<OsString> = invocation.command.get_args().to_vec();
        let closed = invocation.command.get_policy().closed;
        ((args, closed), invocation.notes.get(&Control::Imports).cloned())
    };
    assert_eq!(shown(&world, Program::File("a.py".into())).0.0, ["a.py"]);
    assert_eq!(shown(&world, Program::Stdin).0.0, ["-"]);
    assert_eq!(shown(&world, Program::File("-c".into())).0.0, ["./-c"]);
    assert_eq!(shown(&world, Program::Stdin).0.1, Closed::default());
    assert_eq!(shown(&world, Program::Stdin).1, None);
    world.config.sandbox.blocked_imports = vec!["socket".into()];
    let ((args, closed), note) = shown(&world, Program::File("a.py".into()));
    assert!(args[0] == "-c" && args.iter().any(|arg| arg.to_string_lossy().contains("\"POLICY\": ")), "{args:?}");
    assert_eq!(closed, Closed { exec: false, inet: true });
    assert_eq!(note, Some(Enforcement::Active));
}

#[test]
fn an_environment_in_a_folder_for_everybody_is_shown_while_nobody_else_can_write_it() {
    let mut world = World::new();
    let everybodys = tempfile::tempdir_in("/var/tmp").unwrap();
    let venv = fs::canonicalize(everybodys.path()).unwrap();
    fs::create_dir(venv.join("bin")).unwrap();
    fs::write(venv.join("beside"), "not of the environment").unwrap();
    world.set("VIRTUAL_ENV", venv.as_os_str());
    let shows = |path: &str| Toolchains::probe(&world.config.host).shows(&venv.join(path));
    assert!(!shows("bin"), "a folder without pyvenv.cfg is no environment");
    fs::write(venv.join("pyvenv.cfg"), "").unwrap();
    assert!(shows("bin") && shows("pyvenv.cfg") && !shows("beside"));
    fs::set_permissions(&venv, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(!shows("bin"), "others could put programs there");
}
