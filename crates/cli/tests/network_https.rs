//! Clients of every day over HTTPS under `agentic exec --allow-net`, as they are: curl, Python, git, pip, npm. Each
//! reaches the host that was allowed by name, through a tunnel and with its TLS opened by the proxy, and each is
//! refused another, with the reason in the result. The authority of the test is trusted by `--trust-ca` alone.

mod https;
mod published;
mod scene;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use agentic_testkit::{find_program, skip};
use https::{Answer, Https, Request};
use published::prepare;
use scene::{Scene, Seen};
use serde_json::Value;

/// The files of a folder; a folder's own page is its `index.html`.
fn file(folder: &Path, request: &Request) -> Answer {
    let mut path = folder.join(request.path().0.trim_start_matches('/'));
    if path.is_dir() {
        path.push("index.html");
    }
    let kind = if path.extension().is_some_and(|end| end == "html") { "text/html" } else { "application/octet-stream" };
    std::fs::read(&path).map_or_else(|_| Answer::not_found(), |bytes| Answer::ok(kind, bytes))
}

fn decisions(seen: &Seen) -> Vec<Value> {
    seen.json()["network"]["decisions"].as_array().unwrap().clone()
}

/// One client against one server: what it prints when it got what it came for, and that it does not otherwise.
struct Client<'a> {
    language: &'a str,
    script: String,
    prints: &'a str,
    /// What it says of a certificate that nobody vouches for.
    distrusts: &'a str,
}

impl Client<'_> {
    fn run(&self, scene: &Scene, args: &[&str]) -> Seen {
        let mut all = vec!["exec", "--json", "--discard", "--timeout", "240", "--memory", "1500"];
        all.extend(args);
        all.extend(["--lang", self.language, "-e", &self.script]);
        scene.run(all)
    }

    fn is_served(&self, scene: &Scene, server: &Https, name: &str) {
        let (rule, authority) = (server.rule(name), server.authority(scene));
        let trusted = ["--allow-net", &rule, "--trust-ca", authority.to_str().unwrap()];
        let mut arrived = 0;
        for (more, kind) in [(&[][..], "connect"), (&["--tls-terminate", name][..], "tls")] {
            let seen = self.run(scene, &[&trusted[..], more].concat());
            seen.ends(0);
            let printed = seen.json()["stdout"].as_str().unwrap().to_owned();
            assert!(printed.contains(self.prints), "{kind}: {seen:?}");
            let decided = decisions(&seen);
            assert!(!decided.is_empty());
            for one in &decided {
                assert_eq!((&one["allowed"], &one["kind"], &one["host"]), (&true.into(), &kind.into(), &name.into()));
            }
            assert_eq!(seen.json()["denials"], serde_json::json!([]), "{seen:?}");
            assert!(server.seen().len() > arrived, "{kind}: it was this server");
            arrived = server.seen().len();
        }
        // Another name on the list: the tunnel is refused, and the result says by which rule, and how to allow it.
        let seen = self.run(scene, &["--allow-net", "other.test=127.0.0.1", trusted[2], trusted[3]]);
        assert_ne!(seen.code, 0, "{seen:?}");
        let target = format!("{name}:{}", server.port);
        let denial = &seen.json()["denials"][0];
        assert_eq!(denial["control"], "network_allow_list", "{seen:?}");
        let how = format!("name the host (--allow-net {target}, allow_net=[\"{target}\"])");
        assert_eq!(denial["how_to_allow"], how, "{seen:?}");
        for one in decisions(&seen) {
            assert_eq!(one["allowed"], false, "{one}");
            assert_eq!(one["reason"], format!("no rule allows {target}"));
        }
        // The control for the authority: without `--trust-ca` the client trusts the server as little as anybody would.
        let seen = self.run(scene, &["--allow-net", &rule]);
        assert_ne!(seen.code, 0, "{seen:?}");
        assert!(seen.stdout.contains(self.distrusts), "{seen:?}");
        assert_eq!(server.seen().len(), arrived, "no further request arrived");
    }
}

#[test]
fn curl_and_python_fetch() {
    let (scene, server) = (Scene::new(), Https::start(&["api.test"], |_| Answer::ok("text/plain", "from afar\n")));
    let url = format!("https://api.test:{}/a", server.port);
    let script = format!("import urllib.request\nprint(urllib.request.urlopen({url:?}).read().decode())");
    let python = Client { language: "python", script, prints: "from afar", distrusts: "CERTIFICATE_VERIFY_FAILED" };
    python.is_served(&scene, &server, "api.test");
    if find_program("curl").is_none() {
        skip!("curl is not installed");
    }
    let script = format!("curl -sS --fail {url}");
    let curl = Client { language: "bash", script, prints: "from afar", distrusts: "SSL certificate problem" };
    curl.is_served(&scene, &server, "api.test");
}

/// git's own server program, for a request.
fn git_backend(folder: &Path, request: &Request) -> Answer {
    let (path, query) = request.path();
    let mut command = Command::new("git");
    command.arg("http-backend").stdin(Stdio::piped()).stdout(Stdio::piped());
    for (name, value) in [("PATH_INFO", path), ("QUERY_STRING", query), ("REQUEST_METHOD", request.method())] {
        command.env(name, value);
    }
    for (name, header) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
        ("CONTENT_LENGTH", "content-length"),
    ] {
        request.header(header).map(|value| command.env(name, value));
    }
    command.env("GIT_PROJECT_ROOT", folder).env("GIT_HTTP_EXPORT_ALL", "1").env("GIT_CONFIG_NOSYSTEM", "1");
    let mut child = command.env("GIT_CONFIG_GLOBAL", "/dev/null").spawn().unwrap();
    child.stdin.take().unwrap().write_all(&request.body).unwrap();
    let out = child.wait_with_output().unwrap().stdout;
    let end = out.windows(4).position(|four| four == b"\r\n\r\n").expect("a CGI program answers with a head");
    let head = String::from_utf8_lossy(&out[..end]).into_owned();
    let of = |line: &str| line.strip_prefix("Status: ").and_then(|status| status.get(..3)?.parse().ok());
    let status = head.lines().find_map(of).unwrap_or(200);
    let headers = head.lines().filter(|line| !line.starts_with("Status:")).map(str::to_owned).collect();
    Answer { status, headers, body: out[end + 4..].to_vec() }
}

#[test]
fn git_clones() {
    if find_program("git").is_none() {
        skip!("git is not installed");
    }
    let (scene, served) = (Scene::new(), tempfile::tempdir().unwrap());
    let programs = String::from_utf8(prepare(Command::new("git").arg("--exec-path"))).unwrap();
    if !Path::new(programs.trim()).join("git-http-backend").exists() {
        skip!("git has no http-backend here");
    }
    published::repository(served.path(), "hello.txt", "from afar\n");
    let folder = served.path().to_owned();
    let server = Https::start(&["code.test"], move |request| git_backend(&folder, request));
    let script = format!(
        "git clone -q https://code.test:{}/project.git /tmp/project && cat /tmp/project/hello.txt",
        server.port
    );
    let git = Client { language: "bash", script, prints: "from afar", distrusts: "certificate" };
    git.is_served(&scene, &server, "code.test");
    assert!(server.seen().iter().any(|request| request.method() == "POST"), "it was the protocol with a request body");
}

#[test]
fn pip_installs() {
    let scene = Scene::new();
    if scene.run(["exec", "-e", "import pip"]).code != 0 {
        skip!("the Python of the sandbox has no pip");
    }
    let served = tempfile::tempdir().unwrap();
    published::index(served.path(), published::WHEEL);
    published::wheel(&served.path().join("simple/greeting"), "from afar");
    let root = served.path().to_owned();
    let server = Https::start(&["index.test"], move |request| file(&root, request));
    let script = format!(
        r#"
import subprocess, sys
pip = [sys.executable, '-m', 'pip', 'install', '--disable-pip-version-check', '--no-cache-dir', '--retries', '0',
       '--target', '/tmp/site', '--index-url', 'https://index.test:{}/simple', 'greeting']
code = subprocess.run(pip).returncode
if code: sys.exit(code)
sys.path.insert(0, '/tmp/site')
import greeting
print(greeting.WORD)
"#,
        server.port
    );
    let pip = Client { language: "python", script, prints: "from afar", distrusts: "CERTIFICATE_VERIFY_FAILED" };
    pip.is_served(&scene, &server, "index.test");
}

/// A registry of one package.
fn registry(tarball: PathBuf, integrity: String) -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    move |request| match request.path().0 {
        "/greeting" => {
            let host = request.header("host").unwrap_or_default();
            let version = serde_json::json!({
                "name": "greeting", "version": "1.0.0", "main": "index.js",
                "dist": {"tarball": format!("https://{host}/greeting/-/greeting-1.0.0.tgz"), "integrity": integrity},
            });
            let package = serde_json::json!({
                "name": "greeting", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version},
            });
            Answer::ok("application/json", package.to_string())
        }
        "/greeting/-/greeting-1.0.0.tgz" => {
            Answer::ok("application/octet-stream", std::fs::read(&tarball).unwrap_or_default())
        }
        _ => Answer::not_found(),
    }
}

#[test]
fn npm_installs() {
    for program in ["node", "npm"] {
        if find_program(program).is_none() {
            skip!("{program} is not installed");
        }
    }
    let (scene, made) = (Scene::new(), tempfile::tempdir().unwrap());
    let tarball = published::tarball(made.path(), "from afar");
    let hash = "console.log('sha512-' + require('crypto').createHash('sha512').update(require('fs').readFileSync(process.argv[1])).digest('base64'))";
    let integrity = String::from_utf8(prepare(Command::new("node").args(["-e", hash]).arg(&tarball))).unwrap();
    let server = Https::start(&["registry.test"], registry(tarball, integrity.trim().to_owned()));
    // A refusal is final: waiting a minute for another try is left out. The rest is as npm has it.
    let script = format!(
        "mkdir /tmp/app && cd /tmp/app && echo '{{}}' > package.json && npm install --fetch-retries=0 --registry https://registry.test:{}/ greeting && node -e \"console.log(require('greeting'))\"",
        server.port
    );
    let npm = Client { language: "bash", script, prints: "from afar", distrusts: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" };
    npm.is_served(&scene, &server, "registry.test");
}

#[test]
fn wildcards_hold_over_tls() {
    let names = ["a.pack.test", "b.c.pack.test", "pack.test", "evilpack.test"];
    let (scene, server) =
        (Scene::new(), Https::start(&names, |request| Answer::ok("text/plain", request.name.clone())));
    let (rule, authority) = (server.rule("*.pack.test"), server.authority(&scene));
    let code = format!(
        r#"
import urllib.request
for name in {names:?}:
    try: print(urllib.request.urlopen('https://%s:{}/' % name).read().decode())
    except OSError as e: print(name, e)
"#,
        server.port
    );
    for (more, kind) in [(&[][..], "connect"), (&["--tls-terminate", "*.pack.test"][..], "tls")] {
        let args = ["exec", "--json", "--allow-net", &rule, "--trust-ca", authority.to_str().unwrap()];
        let seen = scene.run(args.iter().chain(more).chain(&["-e", &code]));
        seen.ends(0);
        let printed = seen.json()["stdout"].as_str().unwrap().to_owned();
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(lines[..2], ["a.pack.test", "b.c.pack.test"], "{kind}: {seen:?}");
        assert!(lines[2..].iter().all(|line| line.contains("Tunnel connection failed: 403")), "{kind}: {lines:?}");
        let decided = decisions(&seen);
        let told: Vec<_> = decided.iter().map(|one| (one["host"].as_str().unwrap(), one["allowed"] == true)).collect();
        assert_eq!(told, names.into_iter().zip([true, true, false, false]).collect::<Vec<_>>(), "{kind}");
        assert_eq!(decided[0]["kind"], kind);
    }
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn a_redirect_from_an_allowed_host_leads_to_no_other() {
    let inner = Https::start(&["localhost"], |_| Answer::ok("text/plain", "kept inside"));
    let private = format!("https://127.0.0.1:{}/", inner.port);
    let targets = [private.clone(), "http://169.254.169.254/latest".into(), "http://[::1]:8080/".into()];
    let places = targets.clone();
    let server = Https::start(&["api.test"], move |request| {
        let at = request.path().0.trim_start_matches('/').parse().ok().and_then(|at: usize| places.get(at).cloned());
        at.map_or_else(|| Answer::ok("text/plain", "here"), |to| Answer::redirect(&to))
    });
    let (scene, rule) = (Scene::new(), server.rule("api.test"));
    let authority = server.authority(&scene);
    let code = format!(
        r#"
import os, urllib.request
# What is in NO_PROXY would be tried without the proxy, where nothing answers at all.
os.environ.pop('NO_PROXY'), os.environ.pop('no_proxy')
for n in range(4):
    try: print(urllib.request.urlopen('https://api.test:{}/%d' % n).read().decode())
    except OSError as e: print(e)
"#,
        server.port
    );
    for more in [&[][..], &["--tls-terminate", "api.test"][..]] {
        let args = ["exec", "--json", "--allow-net", &rule, "--trust-ca", authority.to_str().unwrap()];
        let seen = scene.run(args.iter().chain(more).chain(&["-e", &code]));
        seen.ends(0);
        let printed = seen.json()["stdout"].as_str().unwrap().to_owned();
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!((lines.len(), lines[3]), (4, "here"), "{seen:?}");
        assert!(lines[..3].iter().all(|line| line.contains("403")), "{lines:?}");
        let refused: Vec<String> = decisions(&seen)
            .iter()
            .filter(|one| one["allowed"] == false)
            .map(|one| one["reason"].as_str().unwrap().to_owned())
            .collect();
        let port = inner.port;
        let wanted = [format!("127.0.0.1:{port}"), "169.254.169.254:80".to_owned(), "[::1]:8080".to_owned()];
        assert_eq!(refused, wanted.map(|target| format!("no rule allows {target}")));
    }
    assert!(inner.seen().is_empty());
}
