//! What a program was refused is said where its failure is: by `exec` on standard error and in its JSON, by `run` under
//! the step that failed.

mod scene;

use scene::Scene;
use serde_json::Value;

#[test]
fn exec_says_what_was_refused_and_how_to_allow_it() {
    let scene = Scene::new();
    let seen = scene.run(["exec", "-e", "open('/srv/absent.csv')"]);
    seen.ends(1).says("agentic: probably refused: /srv/absent.csv (not in the view)").says("--ro /srv/absent.csv");
    scene
        .run(["exec", "-e", "open('/usr/written', 'w')"])
        .ends(1)
        .says("probably refused: /usr/written (read-only in the view)")
        .says("--rw /usr/written");
    scene
        .run(["exec", "-e", "import ctypes; ctypes.CDLL(None).mount(0, 0, 0, 0, 0); raise SystemExit(5)"])
        .ends(5)
        .says("agentic: refused: mount (mounts are finished); no setting allows it");
    // Python's own functions refuse by themselves; what goes past them meets the filter.
    let own = "import os; os.execv('/bin/true', ['true'])";
    scene
        .run(["exec", "--block-import", "subprocess", "-e", own])
        .ends(1)
        .says("agentic: refused: starting programs (the import policy closes it: blocked_imports has \"subprocess\")");
    let past = "import ctypes; ctypes.CDLL(None).execv(b'/bin/true', (ctypes.c_char_p * 2)(b'true', None)); 1 / 0";
    scene
        .run(["exec", "--block-import", "subprocess", "-e", past])
        .ends(1)
        .says("agentic: refused: exec of /bin/true (no program is started after the first)")
        .says("--block-import");
    let lookup = "import socket; socket.getaddrinfo('example.invalid', 80)";
    scene
        .run(["exec", "-e", lookup])
        .ends(1)
        .says("(network: none); to allow it: the host's name (--allow-net HOST, allow_net)");
}

#[test]
fn a_program_that_went_well_or_failed_by_itself_is_not_commented_on() {
    let scene = Scene::new();
    scene.file("there.csv", "1");
    let quiet = scene.run(["exec", "-e", "open('there.csv')\ntry: open('/srv/absent')\nexcept OSError: pass"]);
    assert_eq!(quiet.ends(0).stderr, "");
    let failed = scene.run(["exec", "-e", "raise SystemExit('no such luck')"]);
    assert_eq!(failed.ends(1).stderr, "no such luck\n");
}

#[test]
fn the_json_form_has_every_denial() {
    let seen = Scene::new().run([
        "exec",
        "--json",
        "--timeout",
        "1",
        "-e",
        "import ctypes\nctypes.CDLL(None).setns(0, 0)\nwhile True: pass",
    ]);
    let result: Value = serde_json::from_str(&seen.stdout).unwrap();
    let denials = result["denials"].as_array().unwrap();
    let of = |control: &str| denials.iter().find(|denial| denial["control"] == control).unwrap();
    assert_eq!(of("limits")["object"], "time on the clock");
    assert_eq!(of("seccomp")["object"], "setns");
    assert_eq!(of("seccomp")["how_to_allow"], Value::Null);
    for denial in denials {
        assert_eq!((&denial["certainty"], &denial["count"]), (&Value::from("exact"), &Value::from(1)), "{denial}");
    }
}

#[test]
fn a_step_that_failed_says_it_under_its_line_and_in_its_result() {
    let scene = Scene::new();
    scene.file(
        "plan.yaml",
        "task: read\nsteps:\n  - id: one\n    tool: shell\n    params: {command: cat /srv/absent.csv}\n",
    );
    let seen = scene.run(["run", "plan.yaml"]);
    assert!(seen.code != 0, "{seen:?}");
    let all = format!("{}{}", seen.stdout, seen.stderr);
    assert!(all.contains("probably refused: /srv/absent.csv (not in the view)"), "{all}");
    let seen = scene.run(["run", "plan.yaml", "--json"]);
    assert!(seen.stdout.contains("\"denials\":[{\"control\":\"view\""), "{}", seen.stdout);
}
