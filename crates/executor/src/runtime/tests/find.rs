//! Which interpreter is found, behind shims and in venvs, and what cannot be made to look like one.

use std::path::{Path, PathBuf};

use super::World;
use crate::cause::Cause;
use crate::runtime::{Language, Runtime, RuntimeError, Runtimes};

const SHIM: &[u8] = b"#!/usr/bin/env bash\nexec pyenv exec \"$0\"\n";

fn find(world: &World, language: Language) -> Result<Runtime, RuntimeError> {
    Runtimes::new().find(&world.config, language)
}

fn python(world: &World) -> Runtime {
    find(world, Language::Python).unwrap()
}

/// A pyenv with two versions and its shims on PATH.
fn pyenv(world: &mut World) -> PathBuf {
    for version in ["3.10.13", "3.11.7", "3.11.12"] {
        world.program(format!(".pyenv/versions/{version}/bin/python3.11"));
        world.link(format!(".pyenv/versions/{version}/bin/python3"), "python3.11");
    }
    world.executable(".pyenv/shims/python3", SHIM);
    world.set("PATH", world.home.join(".pyenv/shims"));
    world.home.join(".pyenv/versions")
}

#[test]
fn python3_comes_before_python_and_links_are_followed() {
    let mut world = World::new();
    world.program("one/bin/python");
    world.program("two/bin/python3.12");
    world.link("two/bin/python3", "python3.12");
    world.set("PATH", std::env::join_paths([world.home.join("one/bin"), world.home.join("two/bin")]).unwrap());
    let runtime = python(&world);
    assert_eq!(runtime.executable, world.home.join("two/bin/python3.12"));
    assert_eq!(runtime.prefixes, [world.home.join("two")]);
    assert_eq!(runtime.version.as_deref(), Some("3.12"));
}

#[test]
fn a_pyenv_shim_is_looked_through_by_pyenvs_own_rules() {
    let mut world = World::new();
    let versions = pyenv(&mut world);
    world.file(".pyenv/version", "3.10.13\n");
    assert_eq!(python(&world).prefixes, [versions.join("3.10.13")]);
    // The workspace's choice beats the global one, and a short name means the newest.
    world.file("project/.python-version", "# ours\n3.11\n");
    assert_eq!(python(&world).executable, versions.join("3.11.12/bin/python3.11"));
    // The variable beats both.
    world.set("PYENV_VERSION", "3.11.7");
    assert_eq!(python(&world).prefixes, [versions.join("3.11.7")]);
    assert_eq!(python(&world).version.as_deref(), Some("3.11"));
}

#[test]
fn a_version_file_cannot_lead_out_of_the_versions() {
    let mut world = World::new();
    pyenv(&mut world);
    world.program("secret/bin/python3");
    world.file("project/.python-version", "../../secret\n");
    let found = find(&world, Language::Python).map(|runtime| runtime.executable);
    assert!(!found.as_ref().is_ok_and(|path| path.starts_with(&world.home)), "{found:?}");
}

#[test]
fn a_script_is_never_an_interpreter() {
    let mut world = World::new();
    let script = world.executable("bin/python3", SHIM);
    world.set("PATH", world.home.join("bin"));
    let found = find(&world, Language::Python).map(|runtime| runtime.executable);
    assert!(!found.as_ref().is_ok_and(|path| *path == script), "{found:?}");
    world.config.sandbox.runtimes.insert("python".into(), script);
    let error = find(&world, Language::Python).unwrap_err();
    assert_eq!((error.cause(), error.code()), (Cause::PermissionDenied, 126));
    assert!(error.to_string().contains("it is a script"), "{error}");
}

#[test]
fn a_dispatcher_under_the_interpreters_name_is_none() {
    let mut world = World::new();
    let mise = world.program("bin/mise");
    world.link(".local/share/mise/shims/node", &mise);
    world.program(".local/share/mise/installs/node/22.1.0/bin/node");
    world.link(".local/share/mise/installs/node/latest", "./22.1.0");
    world.set("PATH", world.home.join(".local/share/mise/shims"));
    let node = find(&world, Language::JavaScript).unwrap();
    assert_eq!(node.executable, world.home.join(".local/share/mise/installs/node/22.1.0/bin/node"));
}

#[test]
fn asdf_versions_come_from_tool_versions() {
    let mut world = World::new();
    for version in ["18.20.0", "20.11.1"] {
        world.program(format!(".asdf/installs/nodejs/{version}/bin/node"));
    }
    world.executable(".asdf/shims/node", SHIM);
    world.file(".tool-versions", "nodejs 18.20.0\n");
    world.set("PATH", world.home.join(".asdf/shims"));
    let version = |world: &World| find(world, Language::JavaScript).unwrap().prefixes;
    assert_eq!(version(&world), [world.home.join(".asdf/installs/nodejs/18.20.0")]);
    world.file("project/.tool-versions", "python 3.12.1\nnodejs 20.11.1 # newer\n");
    assert_eq!(version(&world), [world.home.join(".asdf/installs/nodejs/20.11.1")]);
}

#[test]
fn nvms_default_alias_is_followed() {
    let world = World::new();
    for version in ["v18.20.0", "v20.11.1", "v20.9.0"] {
        world.program(format!(".nvm/versions/node/{version}/bin/node"));
    }
    world.file(".nvm/alias/default", "lts/*\n");
    world.file(".nvm/alias/lts/*", "lts/iron\n");
    world.file(".nvm/alias/lts/iron", "v20\n");
    let node = find(&world, Language::JavaScript).unwrap();
    assert_eq!(node.executable, world.home.join(".nvm/versions/node/v20.11.1/bin/node"));
    assert_eq!(node.version.as_deref(), Some("20.11.1"));
}

#[test]
fn a_venv_of_the_workspace_is_found_by_its_own_name() {
    let mut world = World::new();
    let versions = pyenv(&mut world);
    world.file(".pyenv/version", "3.10.13\n");
    let base = versions.join("3.11.7");
    world.file("project/.venv/pyvenv.cfg", format!("home = {}\nversion = 3.11.7\n", base.join("bin").display()));
    let venv = world.link("project/.venv/bin/python", base.join("bin/python3.11"));
    let venv3 = world.link("project/.venv/bin/python3", "python");
    let runtime = python(&world);
    assert_eq!(Path::new(&runtime.arg0), venv3);
    assert_eq!(runtime.executable, base.join("bin/python3.11"));
    // The venv lies in the workspace; only its base has to be shown.
    assert_eq!(runtime.prefixes, std::slice::from_ref(&base));
    assert_eq!(runtime.version.as_deref(), Some("3.11.7"));
    // The same named by the operator.
    world.config.sandbox.runtimes.insert("python".into(), venv.clone());
    assert_eq!(Path::new(&python(&world).arg0), venv);
}

#[test]
fn a_venv_elsewhere_is_shown_with_its_base() {
    let mut world = World::new();
    let base = world.program("opt/python/bin/python3.12");
    world.file("envs/one/pyvenv.cfg", format!("home = {}\n", base.parent().unwrap().display()));
    world.link("envs/one/bin/python3", &base);
    world.set("VIRTUAL_ENV", world.home.join("envs/one"));
    let runtime = python(&world);
    assert_eq!(runtime.prefixes, [world.home.join("opt/python"), world.home.join("envs/one")]);
}

#[test]
fn a_hostile_venv_makes_nothing_visible() {
    let world = World::new();
    world.program("private/bin/python3");
    world.program("bin/python3");
    for home in ["private/bin", "bin"] {
        let target = world.home.join(home).join("python3");
        world.file("project/.venv/pyvenv.cfg", format!("home = {}\n", world.home.join(home).display()));
        let link = world.link("project/.venv/bin/python3", &target);
        let found = find(&world, Language::Python);
        let shown = |runtime: &Runtime| runtime.prefixes.iter().any(|prefix| prefix.starts_with(&world.home));
        assert!(!found.as_ref().is_ok_and(shown), "{found:?}");
        std::fs::remove_file(link).unwrap();
    }
    // Nor by the base alone, with an interpreter that is beyond suspicion.
    world.file("project/.venv/pyvenv.cfg", format!("home = {}\n", world.home.join("private/bin").display()));
    world.program("project/.venv/bin/python3");
    let found = find(&world, Language::Python);
    let shown = |runtime: &Runtime| runtime.prefixes.iter().any(|prefix| prefix.starts_with(&world.home));
    assert!(!found.as_ref().is_ok_and(shown), "{found:?}");
}

#[test]
fn an_interpreter_in_home_shows_itself_and_not_home() {
    let mut world = World::new();
    let python3 = world.program("bin/python3");
    world.set("PATH", world.home.join("bin"));
    assert_eq!(python(&world).prefixes, [python3]);
}

#[test]
fn what_is_missing_is_told_with_where_and_what_to_do() {
    let mut world = World::new();
    let named = world.home.join("nowhere/python3");
    world.config.sandbox.runtimes.insert("python".into(), named.clone());
    let error = find(&world, Language::Python).unwrap_err();
    assert_eq!((error.cause(), error.code()), (Cause::MissingCommand, 127));
    assert!(error.to_string().contains(&named.display().to_string()), "{error}");
    let error = RuntimeError::Missing { language: "python", names: "python3".into(), places: "PATH (/x)".into() };
    assert_eq!(error.cause(), Cause::MissingCommand);
    assert!(error.to_string().contains("--runtime PATH") && error.to_string().contains("PATH (/x)"), "{error}");
    assert!(Language::parse("cobol").unwrap_err().to_string().contains("python, bash and javascript"));
}

#[test]
fn a_loop_of_links_and_a_folder_are_refused() {
    let mut world = World::new();
    world.link("loop/a", "b");
    let looped = world.link("loop/b", "a");
    for path in [looped, world.home.clone(), PathBuf::from("../python3"), PathBuf::from("/dev/zero")] {
        world.config.sandbox.runtimes.insert("python".into(), path.clone());
        assert!(find(&world, Language::Python).is_err(), "{}", path.display());
    }
}

#[test]
fn what_was_learned_of_a_file_is_forgotten_when_it_changes() {
    let mut world = World::new();
    let path = world.program("bin/python3");
    world.config.sandbox.runtimes.insert("python".into(), path.clone());
    let runtimes = Runtimes::new();
    assert!(runtimes.find(&world.config, Language::Python).is_ok());
    world.executable("bin/python3", SHIM);
    assert!(runtimes.find(&world.config, Language::Python).is_err());
}
