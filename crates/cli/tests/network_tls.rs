//! HTTPS under `agentic exec --allow-net`: through a tunnel that the proxy does not open, and opened by it for a secret.
//! The servers here are real TLS servers on the loopback, under an authority that the test makes.

mod https;
mod scene;

use agentic_testkit::{find_program, skip};
use https::{Answer, Https};
use scene::{Scene, Seen};
use serde_json::Value;

const SECRET: &str = "s3cret-value-77ab";

/// Answers with the head that it got.
fn echo(names: &[&str]) -> Https {
    Https::start(names, |request| Answer::ok("text/plain", format!("for {}: {}", request.name, request.head)))
}

fn stdout(seen: &Seen) -> String {
    seen.json()["stdout"].as_str().unwrap().to_owned()
}

fn decisions(seen: &Seen) -> Vec<Value> {
    seen.json()["network"]["decisions"].as_array().unwrap().clone()
}

/// Fetches addresses and prints what came, or why nothing did.
fn fetch(urls: &[String]) -> String {
    format!(
        r#"
import urllib.request, urllib.error
for url in {urls:?}:
    try: print(urllib.request.urlopen(url).read().decode())
    except urllib.error.HTTPError as e: print(e.code, e.read().decode())
    except urllib.error.URLError as e: print('URLError', e.reason)
"#
    )
}

#[test]
fn https_passes_an_unopened_tunnel_end_to_end() {
    let (scene, server) = (Scene::new(), echo(&["api.test"]));
    let (rule, authority) = (server.rule("api.test"), server.authority(&scene));
    let trusted = ["exec", "--json", "--allow-net", &rule, "--trust-ca", authority.to_str().unwrap()];
    let code = fetch(&[format!("https://api.test:{}/a", server.port)]);
    let seen = scene.run(trusted.iter().copied().chain(["-e", &code]));
    seen.ends(0);
    assert!(stdout(&seen).starts_with("for api.test: GET /a HTTP/1.1\r\n"), "{seen:?}");
    let decided = decisions(&seen);
    assert_eq!((&decided[0]["kind"], &decided[0]["allowed"], decided.len()), (&"connect".into(), &true.into(), 1));
    // The program checks the certificate itself: without the authority it takes none.
    let seen = scene.run(["exec", "--json", "--allow-net", &rule, "-e", &code]);
    seen.ends(0);
    assert!(stdout(&seen).contains("CERTIFICATE_VERIFY_FAILED"), "{seen:?}");
    assert_eq!(server.seen().len(), 1);
    if find_program("curl").is_none() {
        skip!("curl is not installed");
    }
    let script = format!("curl -sS https://api.test:{}/b", server.port);
    let seen = scene.run(trusted.iter().copied().chain(["--lang", "bash", "-e", &script]));
    seen.ends(0);
    assert!(stdout(&seen).starts_with("for api.test: GET /b HTTP/1.1\r\n"), "{seen:?}");
}

/// `--secret` and what goes with it, for everything below `/v1` of the server.
fn with_secret(server: &Https) -> [String; 6] {
    let scope = format!("Authorization=Bearer env:API_TOKEN@https://api.test:{}/v1", server.port);
    [
        "--allow-net".into(),
        server.rule("api.test"),
        "--tls-terminate".into(),
        "api.test".into(),
        "--secret".into(),
        scope,
    ]
}

#[test]
fn a_secret_over_https_arrives_and_is_nowhere_inside() {
    let server = echo(&["api.test"]);
    let scene = Scene::new().variable("API_TOKEN", SECRET);
    let (access, authority) = (with_secret(&server), server.authority(&scene));
    let mut args = vec!["exec", "--json", "--trust-ca", authority.to_str().unwrap()];
    args.extend(access.iter().map(String::as_str));
    let code = format!(
        r#"{}
import os
wanted = ('s3cret-' + 'value').encode()
found, looked = [], 0
for folder in ('/proc/self', '/etc', '/tmp', '/run', '/home', os.getcwd()):
    for place, below, names in os.walk(folder):
        # What a walk of its own descriptors and threads would show is this very file, read again.
        below[:] = [name for name in below if name not in ('fd', 'task', 'map_files', 'cwd', 'root')]
        for path in (os.path.join(place, name) for name in names):
            if path.endswith('/mem') or not os.path.isfile(path): continue
            try: held = open(path, 'rb').read(1 << 20)
            except OSError: continue
            looked += 1
            if wanted in held: found.append(path)
print('held', found, 'control', 'PATH=' in open('/proc/self/environ').read() and looked > 10)
"#,
        fetch(&[format!("https://api.test:{}/v1/a", server.port), format!("https://api.test:{}/v2", server.port)])
    );
    let seen = scene.run(args.iter().copied().chain(["-e", &code]));
    seen.ends(0);
    let arrived = server.seen();
    assert_eq!(arrived.len(), 2, "{seen:?}");
    assert!(arrived[0].head.contains(&format!("authorization: Bearer {SECRET}\r\n")), "{arrived:?}");
    assert!(arrived[0].name == "api.test" && arrived[0].head.starts_with("GET /v1/a "), "{arrived:?}");
    assert!(!arrived[1].head.contains(SECRET), "another path gets none: {arrived:?}");
    assert!(!seen.stdout.contains(SECRET) && !seen.stderr.contains(SECRET), "{seen:?}");
    assert!(stdout(&seen).contains("Bearer *****") && stdout(&seen).contains("held [] control True"), "{seen:?}");
    let decided = decisions(&seen);
    assert_eq!((&decided[0]["kind"], &decided[0]["secrets"]), (&"tls".into(), &serde_json::json!(["authorization"])));
    assert_eq!(decided[1]["secrets"], serde_json::json!([]));
    if find_program("curl").is_none() {
        skip!("curl is not installed");
    }
    let script = format!("curl -sS https://api.test:{}/v1/c -d body=1", server.port);
    scene.run(args.iter().copied().chain(["--lang", "bash", "-e", &script])).ends(0);
    let last = server.seen().pop().unwrap().head;
    assert!(last.contains("POST /v1/c HTTP/1.1") && last.contains(SECRET), "{last}");
}

#[test]
fn a_server_that_cannot_prove_its_name_gets_no_request() {
    let scene = Scene::new().variable("API_TOKEN", SECRET);
    let unknown = echo(&["api.test"]);
    let other = echo(&["other.test"]);
    let trusted = echo(&["api.test"]);
    let ask = |server: &Https, authority: &Https| {
        let (access, path) = (with_secret(server), authority.authority(&scene));
        let code = fetch(&[format!("https://api.test:{}/v1/a", server.port)]);
        let args = ["exec", "--json", "--trust-ca", path.to_str().unwrap()].map(str::to_owned);
        let seen = scene.run(args.into_iter().chain(access).chain(["-e".into(), code]));
        seen.ends(0);
        seen
    };
    for (server, authority, why) in [(&unknown, &trusted, "UnknownIssuer"), (&other, &other, "not valid for name")] {
        let seen = ask(server, authority);
        assert!(stdout(&seen).starts_with("502 ") && stdout(&seen).contains(why), "{why}: {seen:?}");
        assert!(decisions(&seen)[0]["reason"].as_str().unwrap().contains(why), "{seen:?}");
        assert_eq!(decisions(&seen)[0]["secrets"], serde_json::json!([]));
        assert!(server.seen().is_empty(), "no request and no secret arrives: {:?}", server.seen());
    }
    // The control: the same, with its own authority and name.
    assert!(stdout(&ask(&trusted, &trusted)).starts_with("for api.test: GET /v1/a "));
}

#[test]
fn opened_tls_must_be_for_its_own_host_too() {
    let server = echo(&["api.test"]);
    let scene = Scene::new().variable("API_TOKEN", SECRET);
    let (access, authority) = (with_secret(&server), server.authority(&scene));
    let code = format!(
        r#"
import os, socket, ssl
def ask(name):
    s = socket.create_connection(('127.0.0.1', 3128)); s.settimeout(30)
    s.sendall(b'CONNECT api.test:{0} HTTP/1.1\r\nHost: api.test:{0}\r\n\r\n')
    head = b''
    while not head.endswith(b'\r\n\r\n'): head += s.recv(1)
    context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
    try: tls = context.wrap_socket(s, server_hostname=name)
    except OSError: return 'closed'
    tls.sendall(b'GET /v1/a HTTP/1.1\r\nHost: api.test:{0}\r\n\r\n')
    return tls.recv(12).decode()
print(ask('api.test')); print(ask('evil.test')); print(ask(None))
"#,
        server.port
    );
    let args = ["exec", "--json", "--trust-ca", authority.to_str().unwrap()].map(str::to_owned);
    let seen = scene.run(args.into_iter().chain(access).chain(["-e".into(), code]));
    seen.ends(0);
    assert_eq!(stdout(&seen), "HTTP/1.1 200\nclosed\nclosed\n", "{seen:?}");
    assert_eq!(server.seen().len(), 1);
    let reasons = seen.json()["network"]["decisions"].to_string();
    assert!(reasons.contains("asks for evil.test") && reasons.contains("names no host"), "{reasons}");
}
