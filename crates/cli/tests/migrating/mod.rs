//! A small project with a name to be renamed, and migrations of it.

#![allow(dead_code, reason = "each test file uses its own part")]

use serde_json::Value;

use crate::scene::{Scene, Seen};

pub(crate) const UNITTEST: &str = "python3 -m unittest";
pub(crate) const RENAME: &str = "rules: [{id: fetch, identifier: {from: fetch, to: load}}]\n";

/// A scene with a module of its own and tests that use it.
pub(crate) fn scene() -> Scene {
    let mut scene = Scene::new();
    if let Ok(home) = std::env::var("HOME") {
        scene = scene.variable("HOME", &home);
    }
    scene.file("lib.py", "def fetch(x):\n    return x + 1\n").file("m.yaml", RENAME);
    for name in ["a", "b"] {
        scene.file(&format!("test_{name}.py"), test(name, "self.assertEqual(fetch(1), 2)"));
    }
    scene
}

pub(crate) fn test(name: &str, line: &str) -> String {
    format!(
        "import unittest\nfrom lib import *\n\nclass T(unittest.TestCase):\n    def test_{name}(self):\n        {line}\n"
    )
}

/// The same with a test that the rename breaks.
pub(crate) fn breaking() -> Scene {
    let scene = scene();
    scene.file("test_c.py", test("c", "fetch = 3; self.assertEqual(locals()['fetch'], 3)"));
    scene
}

pub(crate) fn migrate(scene: &Scene, args: &[&str]) -> Seen {
    scene.run(["migrate", "m.yaml"].iter().chain(args))
}

pub(crate) fn kept(report: &Value) -> Vec<&str> {
    let files = report["files"].as_array().unwrap().iter().filter(|file| file["kept"] == true);
    files.map(|file| file["path"].as_str().unwrap()).collect()
}
