//! Flags > environment > the workspace's `agentic.toml` (narrowing only) > the user's `config.toml` >
//! defaults, and where each value came from, as `agentic doctor --json` tells it.

mod scene;

use scene::Scene;
use serde_json::Value;

/// A setting's value and where it came from.
fn setting(scene: &Scene, name: &str) -> (Value, String) {
    let seen = scene.run(["doctor", "--json"]).json();
    let settings = seen["settings"].as_array().unwrap();
    let found = settings.iter().find(|entry| entry["name"] == name).unwrap();
    (found["value"].clone(), found["from"].as_str().unwrap().to_owned())
}

fn warnings(scene: &Scene) -> String {
    scene.run(["doctor", "--json"]).json()["warnings"].to_string()
}

#[test]
fn each_layer_beats_the_one_below() {
    let scene = Scene::new();
    assert_eq!(setting(&scene, "max_steps"), (Value::Null, "default".into()));
    scene.user_settings("# note\nmax_steps = 40\n");
    let (value, from) = setting(&scene, "max_steps");
    assert_eq!(value, "40");
    assert!(from.ends_with("config.toml:2"), "{from}");
    scene.file("agentic.toml", "max_steps = 30\n");
    let (value, from) = setting(&scene, "max_steps");
    assert_eq!(value, "30");
    assert!(from.ends_with("work/agentic.toml:1"), "{from}");
    let scene = scene.variable("AGENTIC_MAX_STEPS", "45");
    assert_eq!(setting(&scene, "max_steps"), ("45".into(), "$AGENTIC_MAX_STEPS".into()));
    // The flag beats them all: it is the flag that is refused, not the variable.
    scene.run(["run", "run tests", "--max-steps", "0"]).ends(2).says("--max-steps is `0`");
}

#[test]
fn a_workspace_narrows_and_never_widens() {
    let scene = Scene::new();
    scene.user_settings("[sandbox]\nread_only = [\"/srv\", \"/opt\"]\n");
    scene.file(
        "agentic.toml",
        "max_steps = 60\nview = \"host\"\nmode = \"parallel\"\n[sandbox]\nnetwork = \"host\"\nread_write = [\"/etc\"]\n\
         read_only = [\"/srv\"]\nblocked_imports = [\"socket\"]\nallowed_imports = [\"math\"]\nallow_degraded = [\"landlock\"]\n\
         dotenv = true\n[sandbox.limits]\nmemory = 4096\nwall = 5\n[sandbox.env]\nLD_PRELOAD = \"x\"\n\
         [sandbox.runtimes]\npython = \"/tmp/evil\"\n",
    );
    let warnings = warnings(&scene);
    for name in [
        "max_steps",
        "view",
        "mode",
        "sandbox.network",
        "sandbox.read_write",
        "sandbox.allow_degraded",
        "sandbox.dotenv",
        "sandbox.limits.memory",
        "sandbox.env",
        "sandbox.runtimes.python",
    ] {
        assert!(warnings.contains(&format!("`{name}` ignored")), "{name} is not in {warnings}");
        assert_eq!(setting(&scene, name), (Value::Null, "default".into()), "{name}");
    }
    // The control: what narrows is taken, without a warning.
    for (name, value) in [
        ("sandbox.read_only", "[/srv]"),
        ("sandbox.blocked_imports", "[socket]"),
        ("sandbox.allowed_imports", "[math]"),
        ("sandbox.limits.wall", "5"),
    ] {
        assert!(!warnings.contains(&format!("`{name}` ignored")), "{name} is in {warnings}");
        let (seen, from) = setting(&scene, name);
        assert_eq!(seen, value, "{name}");
        assert!(from.contains("agentic.toml:"), "{from}");
    }
}

#[test]
fn rules_of_a_workspace_only_take_away() {
    let scene = Scene::new();
    scene.user_settings("[[approval]]\naction = \"deny\"\ntool = \"shell\"\n");
    scene.file(
        "agentic.toml",
        "[[approval]]\naction = \"allow\"\ntool = \"shell\"\n[[approval]]\naction = \"ask\"\ntool = \"shell\"\n\
         [[approval]]\naction = \"deny\"\ntool = \"file_write\"\n",
    );
    assert!(warnings(&scene).contains("`allow` rule ignored"));
    let shown = scene.run(["doctor"]).stdout;
    let order: Vec<&str> =
        shown.lines().filter(|line| line.trim_start().starts_with("approval")).map(|line| line[34..].trim()).collect();
    assert_eq!(order, ["ask shell", "deny shell", "deny file_write"]);
}

#[test]
fn a_mistake_in_a_file_is_an_error_at_its_line() {
    let scene = Scene::new();
    scene.user_settings("\n[sandbox]\nnetwrk = \"none\"\n");
    scene
        .run(["doctor"])
        .ends(2)
        .says("config.toml:3: unknown setting `sandbox.netwrk`")
        .says("did you mean `sandbox.network`?");
    scene.user_settings("");
    scene.file("agentic.toml", "max_steps = \"many\"\n");
    scene.run(["run", "run tests"]).ends(2).says("agentic.toml:1: `max_steps` must be");
    scene.run(["exec", "-e", "1"]).ends(125).says("agentic.toml:1");
    scene.file("agentic.toml", "this is not = = toml");
    scene.run(["doctor"]).ends(2).says("agentic.toml:1: not TOML");
}

#[test]
fn a_variable_that_cannot_be_meant_is_refused_by_name() {
    Scene::new()
        .variable("AGENTIC_MEMORY", "0")
        .run(["exec", "-e", "1"])
        .ends(125)
        .says("AGENTIC_MEMORY is `0`; it must be a number of MB");
    Scene::new().variable("AGENTIC_CONFIG", "/nowhere/x.toml").run(["doctor"]).ends(2).says("there is no such file");
    let strange = Scene::new().variable("AGENTIC_MEMRY", "5");
    assert!(warnings(&strange).contains("AGENTIC_MEMRY"));
}

#[test]
fn the_state_folder_follows_xdg_and_the_variable() {
    let scene = Scene::new();
    let state = |scene: &Scene| scene.run(["doctor", "--json"]).json()["state"].as_str().unwrap().to_owned();
    assert_eq!(state(&scene), scene.path("state/agentic").to_str().unwrap());
    let scene = scene.variable("AGENTIC_STATE", "/tmp/elsewhere");
    assert_eq!(state(&scene), "/tmp/elsewhere");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let plain = Scene::new();
    assert!(!plain.run(["doctor"]).stdout.contains('\x1b'), "colours in a pipe");
    // The control: forced, they are there, and NO_COLOR beats the force.
    let forced = Scene::new().variable("CLICOLOR_FORCE", "1");
    assert!(forced.run(["doctor"]).stdout.contains("\x1b["));
    let both = Scene::new().variable("CLICOLOR_FORCE", "1").variable("NO_COLOR", "1");
    assert!(!both.run(["doctor"]).stdout.contains('\x1b'));
}
