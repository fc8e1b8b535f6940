//! An internet of one machine: `internet.py` in namespaces of its own, and what came of the commands that ran in it.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::https;
use crate::scene::Scene;

/// A public address, that of no machine but this one here.
pub(crate) const PUBLIC: &str = "93.184.215.14";
pub(crate) const PUBLIC_6: &str = "2606:2800:21f:cb07:6820:80da:af6b:8b2c";
pub(crate) const OTHER: &str = "93.184.215.15";

/// What came of some runs.
pub(crate) struct Report(pub(crate) Value);

impl Report {
    /// The result of a run as JSON; it ended with 0.
    pub(crate) fn run(&self, number: usize) -> Value {
        let run = &self.0["runs"][number];
        assert_eq!(run["code"], 0, "{run}");
        serde_json::from_str(run["stdout"].as_str().unwrap()).unwrap()
    }
    pub(crate) fn printed(&self, number: usize) -> Vec<String> {
        self.run(number)["stdout"].as_str().unwrap().lines().map(str::to_owned).collect()
    }
    /// Allowed or not, with the address or the reason.
    pub(crate) fn decided(&self, number: usize) -> Vec<(bool, String)> {
        let decisions = self.run(number)["network"]["decisions"].as_array().unwrap().clone();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        decisions
            .iter()
            .map(|one| match one["allowed"] == true {
                true => (true, word(&one["address"])),
                false => (false, word(&one["reason"])),
            })
            .collect()
    }
    /// The heads that arrived at an address.
    pub(crate) fn seen_at(&self, at: &str) -> Vec<String> {
        let seen = self.0["seen"].as_array().unwrap();
        seen.iter().filter(|one| one["at"] == at).map(|one| one["head"].as_str().unwrap().to_owned()).collect()
    }
    pub(crate) fn queries(&self, name: &str) -> usize {
        self.0["queries"].as_array().unwrap().iter().filter(|asked| *asked == name).count()
    }
}

/// What there is on it.
pub(crate) struct Internet<'a> {
    /// Names that the servers have a certificate for.
    pub(crate) hosts: &'a [&'a str],
    /// The addresses of a name, one list a query.
    pub(crate) names: Value,
    /// Where paths lead.
    pub(crate) redirects: Value,
    /// What hosts serve, by host and path; without, every server answers with its address.
    pub(crate) files: Option<&'a Path>,
}

impl Internet<'_> {
    /// Runs commands on it. Its authority is `state/authority.pem` of the scene. `Err` when this host allows no such
    /// internet.
    pub(crate) fn run(&self, scene: &Scene, commands: Vec<Vec<String>>) -> Result<Report, String> {
        let certified = https::certify(self.hosts, "authority of an internet of one machine");
        let keep = |name: &str, text: &str| {
            let path = scene.path("state").join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        keep("authority.pem", &certified.authority);
        let certificate = keep("certificate.pem", &certified.certificate.pem());
        let key = keep("key.pem", &certified.key.serialize_pem());
        // In a user namespace an ordinary user is root; for the commands he is himself again.
        let (user, group) = (rustix::process::getuid(), rustix::process::getgid().as_raw());
        let ids = [format!("--map-user={}", user.as_raw()), format!("--map-group={group}")];
        let back = [&["unshare".to_owned(), "--user".to_owned()][..], &ids, &["--".to_owned()]].concat();
        let commands: Vec<Vec<String>> = commands
            .into_iter()
            .map(|command| if user.is_root() { command } else { [back.clone(), command].concat() })
            .collect();
        let asked = json!({
            "addresses": [PUBLIC, OTHER], "six": PUBLIC_6, "names": self.names, "redirects": self.redirects, "files": self.files,
            "commands": commands, "certificate": certificate, "key": key,
        });
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--net"]);
        if !user.is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        let mut probe = Command::new("unshare");
        probe.args(unshare.get_args()).arg("true").stderr(Stdio::piped());
        match probe.output() {
            Ok(out) if out.status.success() => {}
            Ok(out) => return Err(String::from_utf8_lossy(&out.stderr).trim().to_owned()),
            Err(error) => return Err(format!("unshare(1): {error}")),
        }
        scene.surround(&mut unshare);
        unshare.arg("python3").args(["-c", include_str!("internet.py")]).arg(asked.to_string());
        let out = unshare.output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        Ok(Report(serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{error}: {text}\n{}", String::from_utf8_lossy(&out.stderr));
        })))
    }
}
