//! The commands of `docs/guides/network.md` do what the guide says, on an internet of one machine whose servers are those
//! of the names in it.

mod https;
mod internet;
mod published;
mod scene;

use std::path::Path;

use agentic_testkit::{find_program, skip};
use internet::{Internet, PUBLIC};
use published::WHEEL;
use scene::Scene;
use serde_json::json;

/// The commands of the `console` blocks, each with what is shown below it.
fn commands(guide: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for block in guide.split("```console\n").skip(1) {
        let block = block.split("```\n").next().unwrap();
        let mut open = false;
        for line in block.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => found.push((command.to_owned(), String::new())),
                None if open => found.last_mut().unwrap().0.push_str(&format!("\n{line}")),
                None => found.last_mut().unwrap().1.push_str(&format!("{line}\n")),
            }
            open = line.ends_with('\\');
        }
    }
    found
}

/// Whether a text is as shown, where three dots stand for anything.
fn is(text: &str, shown: &str) -> bool {
    let mut parts = shown.split("...");
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty()
}

/// What the servers of the guide's names serve.
fn publish(files: &Path) {
    let write = |name: &str, bytes: &[u8]| {
        let path = files.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write("api.example.org/hello", b"hello from afar\n");
    write("api.example.org/v1/me", b"you sent: {authorization}\n");
    let (index, packages) = (files.join("pypi.org"), files.join("files.pythonhosted.org/packages"));
    published::index(&index, &format!("https://files.pythonhosted.org/packages/{WHEEL}"));
    published::wheel(&packages, "installed from afar");
    published::tarball(&files.join("registry.npmjs.org"), "installed from afar");
    let at = "https://registry.npmjs.org/greeting-1.0.0.tgz";
    let version = json!({"name": "greeting", "version": "1.0.0", "dist": {"tarball": at}});
    let package = json!({"name": "greeting", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}});
    write("registry.npmjs.org/greeting", package.to_string().as_bytes());
    published::repository(&files.join("code.example.org"), "README", "cloned from afar\n");
}

#[test]
fn the_guides_commands_do_what_it_says() {
    for program in ["curl", "git", "node", "npm", "pip"] {
        if find_program(program).is_none() {
            skip!("{program} is not installed");
        }
    }
    let scene = Scene::new();
    let inside = scene.run(["exec", "--discard", "--lang", "bash", "-e", "pip --version && npm --version"]);
    if inside.code != 0 {
        skip!("pip or npm does not run in the sandbox: {}", inside.stderr.trim());
    }
    let hosts = [
        "api.example.org",
        "other.example.org",
        "code.example.org",
        "pypi.org",
        "files.pythonhosted.org",
        "registry.npmjs.org",
    ];
    let mut names: serde_json::Map<_, _> = hosts.iter().map(|&host| (host.to_owned(), json!([[PUBLIC]]))).collect();
    names.insert("wiki.example.org".into(), json!([["10.1.2.3"]]));
    let files = scene.path("files");
    publish(&files);
    let authority = scene.path("state").join("authority.pem");
    scene.user_settings(&format!("[sandbox]\ntrust_ca = \"{}\"\n", authority.display()));
    let bin = scene.path("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(agentic_testkit::agentic_binary(), bin.join("agentic")).unwrap();
    let guide = include_str!("../../../docs/guides/network.md");
    let commands = commands(guide);
    assert!(commands.len() > 10, "the guide has commands");
    // What one exports the next ones see.
    let exports: String = commands
        .iter()
        .filter(|(line, _)| line.starts_with("export "))
        .fold(format!("PATH={}:$PATH\n", bin.display()), |all, (line, _)| format!("{all}{line}\n"));
    let runs =
        commands.iter().map(|(line, _)| vec!["bash".into(), "-c".into(), format!("{exports}{{ {line}\n}} 2>&1")]);
    let internet = Internet { hosts: &hosts, names: names.into(), redirects: json!({}), files: Some(&files) };
    let report = match internet.run(&scene, runs.collect()) {
        Ok(report) => report,
        Err(why) => skip!("no namespaces for the test's internet: {why}"),
    };
    let mut wrong = String::new();
    for ((line, shown), run) in commands.iter().zip(report.0["runs"].as_array().unwrap()) {
        let printed = run["stdout"].as_str().unwrap();
        if !is(printed, shown) {
            wrong += &format!("$ {line}\nprinted:\n{printed}and the guide shows:\n{shown}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
