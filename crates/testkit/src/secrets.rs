//! A home folder full of planted secrets, none of which a run may see, each with its control.
//!
//! [`PlantedHome::probe`] is a Python program that tries them all and prints what it gets. Run outside it
//! must find every one (the control); run inside it must find none. No secret here is a real one.

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

/// How a secret is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKind {
    /// By reading a file.
    File,
    /// By connecting to a Unix stream socket, which answers with it.
    Socket,
}

/// One planted secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Where it lies, absolute.
    pub path: PathBuf,
    /// The text that must not be seen.
    pub marker: String,
    /// How it is reached.
    pub kind: SecretKind,
}

/// Files that real machines keep in a home folder, and what stands around the marker in each.
const FILES: [(&str, &str); 27] = [
    (".ssh/id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\n@\n-----END OPENSSH PRIVATE KEY-----\n"),
    (".ssh/id_rsa", "-----BEGIN RSA PRIVATE KEY-----\n@\n-----END RSA PRIVATE KEY-----\n"),
    (".ssh/config", "Host prod\n  ProxyCommand @\n"),
    (".ssh/known_hosts", "@ ssh-ed25519 AAAA\n"),
    (".gnupg/private-keys-v1.d/key.key", "@"),
    (".aws/credentials", "[default]\naws_secret_access_key = @\n"),
    (".config/gcloud/application_default_credentials.json", "{\"refresh_token\": \"@\"}\n"),
    (".azure/accessTokens.json", "[{\"accessToken\": \"@\"}]\n"),
    (".kube/config", "users:\n- user:\n    token: @\n"),
    (".docker/config.json", "{\"auths\": {\"registry.example\": {\"auth\": \"@\"}}}\n"),
    (".config/gh/hosts.yml", "github.com:\n  oauth_token: @\n"),
    (".git-credentials", "https://user:@@git.example\n"),
    (".netrc", "machine api.example login user password @\n"),
    (".npmrc", "//registry.example/:_authToken=@\n"),
    (".pypirc", "[pypi]\npassword = @\n"),
    (".cargo/credentials.toml", "[registry]\ntoken = \"@\"\n"),
    (".gem/credentials", ":rubygems_api_key: @\n"),
    (".m2/settings.xml", "<settings><password>@</password></settings>\n"),
    (".pgpass", "db.example:5432:*:user:@\n"),
    (".my.cnf", "[client]\npassword=@\n"),
    (".bash_history", "export TOKEN=@\n"),
    (".zsh_history", ": 1:0;export TOKEN=@\n"),
    (".python_history", "token = '@'\n"),
    (".config/chromium/Default/Login Data", "@"),
    (".mozilla/firefox/profile/logins.json", "{\"logins\": [\"@\"]}\n"),
    (".local/share/keyrings/login.keyring", "@"),
    ("projects/other/.env", "DATABASE_PASSWORD=@\n"),
];

/// Sockets of agents that act for the user.
const SOCKETS: [&str; 3] = [".ssh/agent.sock", ".gnupg/S.gpg-agent", ".docker/run/docker.sock"];

/// Text that no other run of a test produces.
pub(crate) fn marker(label: &str) -> String {
    let random = || RandomState::new().hash_one(label);
    format!("planted-{:016x}{:016x}", random(), random())
}

/// A temporary home folder with 30 planted secrets and a project to work in.
#[derive(Debug)]
pub struct PlantedHome {
    _temporary: TempDir,
    path: PathBuf,
    secrets: Vec<Secret>,
}

impl PlantedHome {
    /// Plants them in a temporary folder.
    ///
    /// # Panics
    /// When the folder cannot be made or filled.
    pub fn new() -> Self {
        // A socket's path has 107 bytes at most, so the folder's name is short.
        let temporary = tempfile::Builder::new().prefix("ah-").tempdir().expect("make a temporary folder");
        let path = temporary.path().canonicalize().expect("resolve the temporary folder");
        fs::create_dir_all(path.join("projects/mine")).expect("make the project");
        let mut secrets = Vec::new();
        for (relative, around) in FILES {
            let secret = Secret { path: path.join(relative), marker: marker(relative), kind: SecretKind::File };
            make_folder(&secret.path);
            // The marker takes the place of the first `@`.
            fs::write(&secret.path, around.replacen('@', &secret.marker, 1)).expect("plant a file");
            fs::set_permissions(&secret.path, fs::Permissions::from_mode(0o600)).expect("make it private");
            secrets.push(secret);
        }
        for relative in SOCKETS {
            let secret = Secret { path: path.join(relative), marker: marker(relative), kind: SecretKind::Socket };
            make_folder(&secret.path);
            let listener = UnixListener::bind(&secret.path).expect("plant a socket");
            let answer = secret.marker.clone();
            // Ends with the test process; a peer that hangs up early is no concern of the test.
            std::thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let _ = stream.write_all(answer.as_bytes());
                }
            });
            secrets.push(secret);
        }
        Self { _temporary: temporary, path, secrets }
    }
    /// The home folder, absolute and without symlinks.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// A project folder in it, empty: a workspace beside the secrets.
    pub fn project(&self) -> PathBuf {
        self.path.join("projects/mine")
    }
    /// What was planted.
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }
    /// The control: reaches each secret from here and returns those that could not be reached, with the reason.
    pub fn unreachable(&self) -> Vec<(&Secret, String)> {
        self.secrets
            .iter()
            .filter_map(|secret| match reach(secret) {
                Ok(text) if text.contains(&secret.marker) => None,
                Ok(_) => Some((secret, "it lacks its marker".to_owned())),
                Err(error) => Some((secret, error.to_string())),
            })
            .collect()
    }
    /// The secrets whose marker appears in `text`: what a run saw.
    pub fn seen_in(&self, text: &str) -> Vec<&Secret> {
        self.secrets.iter().filter(|secret| text.contains(&secret.marker)).collect()
    }
    /// A Python program that tries every secret and prints what it gets, or `denied PATH: ERROR`.
    pub fn probe(&self) -> String {
        let by_kind = |kind| -> Vec<String> {
            let paths = self.secrets.iter().filter(|secret| secret.kind == kind);
            paths.map(|secret| secret.path.display().to_string()).collect()
        };
        let table = HashMap::from([("file", by_kind(SecretKind::File)), ("socket", by_kind(SecretKind::Socket))]);
        let table = serde_json::to_string(&table).expect("strings are JSON");
        format!(
            "import json, os, socket\n\
             table = json.loads({table:?})\n\
             def by_file(path):\n    \
                 with open(path, 'rb') as file:\n        \
                     return file.read().decode()\n\
             def by_socket(path):\n    \
                 with socket.socket(socket.AF_UNIX) as peer:\n        \
                     peer.settimeout(5)\n        \
                     peer.connect(path)\n        \
                     return peer.recv(4096).decode()\n\
             for kind, reach in (('file', by_file), ('socket', by_socket)):\n    \
                 for path in table[kind]:\n        \
                     try:\n            \
                         print(reach(path))\n        \
                     except OSError as error:\n            \
                         print('denied', path + ':', error)\n"
        )
    }
}

impl Default for PlantedHome {
    fn default() -> Self {
        Self::new()
    }
}

fn make_folder(file: &Path) {
    let folder = file.parent().expect("a file has a folder");
    fs::create_dir_all(folder).unwrap_or_else(|error| panic!("make {}: {error}", folder.display()));
}

fn reach(secret: &Secret) -> io::Result<String> {
    match secret.kind {
        SecretKind::File => fs::read_to_string(&secret.path),
        SecretKind::Socket => {
            let mut stream = UnixStream::connect(&secret.path)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_thirty_are_reachable_from_outside() {
        let home = PlantedHome::new();
        assert_eq!(home.secrets().len(), 30);
        assert_eq!(home.unreachable(), []);
    }

    #[test]
    fn the_probe_sees_all_of_them_without_a_sandbox() {
        let Some(python) = crate::find_program("python3") else { crate::skip!("python3 is not installed") };
        let home = PlantedHome::new();
        let output = std::process::Command::new(python).args(["-c", &home.probe()]).output().expect("python3");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(home.seen_in(&text).len(), 30, "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(home.seen_in("nothing"), Vec::<&Secret>::new());
    }
}
