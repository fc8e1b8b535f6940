//! `agentic exec --allow-net`: what was allowed is reached by name, by programs as they are; everything else is not,
//! however it is spelled. Each refusal stands beside the spelling that works.

mod scene;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use agentic_testkit::{find_program, skip};
use scene::{Scene, Seen};
use serde_json::Value;

/// Answers every HTTP request with its head, as a server of that name would; keeps what it saw.
struct Echo {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let keep = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keep = keep.clone();
                std::thread::spawn(move || drop(echo(stream, &keep)));
            }
        });
        Self { port, seen }
    }
    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn echo(mut stream: TcpStream, keep: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 0 && !head.ends_with("\r\n\r\n") {}
    keep.lock().unwrap().push(head.clone());
    let answer = if head.starts_with("GET /redirect ") {
        "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n".to_owned()
    } else {
        let body = format!("echo {head}");
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    stream.write_all(answer.as_bytes())
}

fn exec(scene: &Scene, allow: &[&str], code: &str) -> Seen {
    let mut args = vec!["exec", "--json"];
    allow.iter().for_each(|rule| args.extend(["--allow-net", rule]));
    args.extend(["-e", code]);
    scene.run(args)
}

fn stdout(seen: &Seen) -> String {
    seen.json()["stdout"].as_str().unwrap().to_owned()
}

fn decisions(seen: &Seen) -> Vec<Value> {
    seen.json()["network"]["decisions"].as_array().unwrap().clone()
}

/// Says raw bytes to the proxy and prints the first line of the answer.
fn raw(request: &str) -> String {
    format!(
        "import socket\ns = socket.create_connection(('127.0.0.1', 3128))\ns.sendall({request:?}.encode('latin-1'))\ns.settimeout(20)\nprint(s.makefile('rb').readline().decode().strip() or 'closed')\n"
    )
}

#[test]
fn an_allowed_host_is_reached_by_name_and_the_result_says_so() {
    let (scene, server) = (Scene::new(), Echo::start());
    let rule = format!("api.test:{}=127.0.0.1", server.port);
    let url = format!("http://api.test:{}/hello?x=1", server.port);
    let code = format!("import urllib.request\nprint(urllib.request.urlopen({url:?}).read().decode())");
    let seen = exec(&scene, &[&rule], &code);
    seen.ends(0);
    assert!(stdout(&seen).contains("GET /hello?x=1 HTTP/1.1"), "{seen:?}");
    assert!(stdout(&seen).contains(&format!("Host: api.test:{}", server.port)), "{seen:?}");
    let decided = decisions(&seen);
    assert_eq!(decided.len(), 1, "{decided:?}");
    assert_eq!(decided[0]["allowed"], true);
    assert_eq!((decided[0]["host"].as_str(), decided[0]["kind"].as_str()), (Some("api.test"), Some("http")));
    assert_eq!((decided[0]["address"].as_str(), decided[0]["rule"].as_str()), (Some("127.0.0.1"), Some(rule.as_str())));
    assert!(decided[0]["received"].as_u64().unwrap() > 50);
    assert_eq!(seen.json()["enforced"]["network_namespace"]["state"], "active");
    assert!(seen.json()["enforced"]["network_proxy"]["state"].is_string());
    // The same without the rule: nothing answers.
    scene.run(["exec", "-e", &code]).ends(1);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn another_host_is_refused_with_the_flag_that_would_allow_it() {
    let (scene, server) = (Scene::new(), Echo::start());
    let rule = format!("api.test:{}=127.0.0.1", server.port);
    let code = "import urllib.request, urllib.error\ntry: urllib.request.urlopen('http://other.test:81/')\nexcept urllib.error.HTTPError as e: print(e.code, e.read().decode())";
    let seen = exec(&scene, &[&rule], code);
    seen.ends(0);
    assert!(stdout(&seen).contains("403") && stdout(&seen).contains("--allow-net other.test:81"), "{seen:?}");
    let decided = decisions(&seen);
    assert_eq!((&decided[0]["allowed"], decided[0]["host"].as_str()), (&Value::Bool(false), Some("other.test")));
    assert_eq!(seen.json()["denials"][0]["control"], "network_allow_list");
    // A person is told of it when the program failed.
    let seen = scene.run(["exec", "--allow-net", &rule, "-e", &format!("{code}\nraise SystemExit(3)")]);
    seen.ends(3)
        .says("agentic: refused: other.test:81 (no rule allows other.test:81); to allow it: name the host (--allow-net other.test:81, ");
}

#[test]
fn a_program_that_knows_no_proxy_reaches_a_tcp_service_by_name() {
    let scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Like a database, it speaks first.
            let _ = stream.write_all(b"hello\n");
            let mut byte = [0; 4];
            if stream.read_exact(&mut byte).is_ok() {
                let _ = stream.write_all(&byte);
            }
        }
    });
    let code = format!(
        "import socket\ns = socket.create_connection(('db.test', {port}))\nf = s.makefile('rwb')\nprint(f.readline()); f.write(b'ping'); f.flush(); print(f.read(4))"
    );
    let rule = format!("db.test:{port}=127.0.0.1");
    let seen = exec(&scene, &[&rule], &code);
    seen.ends(0);
    assert_eq!(stdout(&seen), "b'hello\\n'\nb'ping'\n");
    assert_eq!(decisions(&seen)[0]["kind"], "tcp");
    assert_eq!((&decisions(&seen)[0]["sent"], &decisions(&seen)[0]["received"]), (&4.into(), &10.into()));
    // Another port of the same name leads nowhere.
    let other = format!("db.test:{}=127.0.0.1", port.wrapping_add(1).max(1024));
    exec(&scene, &[&other], &code).ends(1);
}

#[test]
fn spellings_that_would_get_around_the_rule_are_refused() {
    let (scene, server) = (Scene::new(), Echo::start());
    let port = server.port;
    let rule = format!("api.test:{port}=127.0.0.1");
    let get = |host: &str| format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let connect = |host: &str| format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut attempts: Vec<(String, &str)> = Vec::new();
    for host in ["api.test", "API.TEST", "api.test.", "Api.Test."] {
        attempts.push((get(&format!("{host}:{port}")), "200"));
    }
    for host in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("127.1:{port}"),
        format!("0177.0.0.1:{port}"),
        format!("0x7f000001:{port}"),
        format!("2130706433:{port}"),
        format!("[::1]:{port}"),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("[::1%25lo]:{port}"),
        format!("0.0.0.0:{port}"),
        format!("127.0.0.1.:{port}"),
        format!("0:{port}"),
        format!("api.test@127.0.0.1:{port}"),
        format!("127.0.0.1:{port}@api.test"),
        format!("api.test:x@127.0.0.1:{port}"),
        format!("api.test%00.evil.test:{port}"),
        format!("api%2etest:{port}"),
        format!("api.test.evil.test:{port}"),
        format!("evilapi.test:{port}"),
        format!("evil.api.test:{port}"),
        format!("xapi.test:{port}"),
        format!("api.tes:{port}"),
        format!("api.test..:{port}"),
        format!(".api.test:{port}"),
        format!("api..test:{port}"),
        format!("аpi.test:{port}"),
        format!("xn--pi-7kc.test:{port}"),
        format!("api.test\\@127.0.0.1:{port}"),
        format!("api.test,127.0.0.1:{port}"),
        format!("api.test;127.0.0.1:{port}"),
        format!("api_test:{port}"),
        format!("*.test:{port}"),
        "api.test".into(),
        "api.test:22".into(),
        format!("api.test:0{port}"),
        "api.test:0".into(),
        format!("api.test:{port}:{port}"),
        format!("api.test:{}", u32::from(port) + 65536),
        "169.254.169.254".into(),
        "metadata.google.internal".into(),
        "[fd00:ec2::254]".into(),
        "[64:ff9b::a9fe:a9fe]".into(),
    ] {
        attempts.push((get(&host), "4"));
        attempts.push((connect(&host), "4"));
    }
    for request in [
        format!("GET http://api.test:{port}/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
        format!("GET http://api.test:{port}/ HTTP/1.1\r\nHost: api.test:{port}\r\nHost: evil.test\r\n\r\n"),
        format!("GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: api.test:{port}\r\n\r\n"),
        format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: api.test:{port}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: api.test:{port}\r\n\r\n"),
        format!(
            "GET http://api.test:{port}/ HTTP/1.1\r\nHost: api.test:{port}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        format!("GET http://api.test:{port}/ HTTP/1.1\r\nHost: api.test:{port}\r\nX: a\n\rHost: evil\r\n\r\n"),
        format!("GET http://api.test:{port}/ HTTP/1.1\r\nHost: api.test:{port}\r\n X: folded\r\n\r\n"),
        format!("GET http://api.test:{port}/ HTTP/1.1\r\nHost: api.test:{port}\r\nX\0: 1\r\n\r\n"),
        format!("GET https://api.test:{port}/ HTTP/1.1\r\nHost: api.test:{port}\r\n\r\n"),
        format!("GET file:///etc/passwd HTTP/1.1\r\nHost: api.test:{port}\r\n\r\n"),
        format!("GET http://api.test:{port}/ HTTP/1.1\n\n"),
        "\u{5}\u{1}\u{0}\r\n\r\n".into(),
        "PRI * HTTP/2.0\r\n\r\n".into(),
    ] {
        attempts.push((request, "4"));
    }
    let list = serde_json::to_string(&attempts.iter().map(|(request, _)| request).collect::<Vec<_>>()).unwrap();
    let code = format!(
        "import socket, json\nfor r in json.loads({list:?}):\n s = socket.create_connection(('127.0.0.1', 3128)); s.settimeout(30)\n s.sendall(r.encode('utf-8'))\n print(json.dumps(s.makefile('rb').read(4096).decode('latin-1'))); s.close()\n"
    );
    let args = ["exec", "--timeout", "60", "--allow-net", &rule, "-e", &code];
    let seen = scene.run(args);
    seen.ends(0);
    let answers: Vec<String> = seen.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), attempts.len());
    for ((request, wanted), found) in attempts.iter().zip(answers) {
        assert!(found.starts_with(&format!("HTTP/1.1 {wanted}")), "{request:?} was answered {found}, not {wanted}");
        // It is the proxy that refuses, and says why: by the rule, or since it cannot be read in one way.
        let reason = found.starts_with("HTTP/1.1 403") && found.contains("network access denied: no rule allows ")
            || found.starts_with("HTTP/1.1 400") && found.contains("the network proxy refused this: ");
        assert!(*wanted != "4" || found.contains("X-Agentic-Denied: 1") && reason, "{request:?}: {found}");
    }
    assert_eq!(server.seen().len(), 4, "only the allowed spellings arrive: {:?}", server.seen());
}

#[test]
fn what_does_not_go_through_the_proxy_goes_nowhere() {
    let (scene, server) = (Scene::new(), Echo::start());
    let port = server.port;
    let rule = format!("api.test:{port}=127.0.0.1");
    let code = format!(
        r#"
import os, socket, errno, urllib.request
def tried(work):
    try: work(); return 'reached'
    except OSError as e: return errno.errorcode.get(e.errno, type(e).__name__)
def connect(address, kind=socket.SOCK_STREAM, family=socket.AF_INET):
    s = socket.socket(family, kind); s.settimeout(5); s.connect(address)
print(tried(lambda: connect(('127.0.0.1', {port}))))
print(tried(lambda: connect(('192.0.2.1', 80))))
print(tried(lambda: connect(('192.0.2.1', 53), socket.SOCK_DGRAM)))
print(tried(lambda: connect(('169.254.169.254', 80))))
print(tried(lambda: connect(('2001:db8::1', 80), family=socket.AF_INET6)))
print(tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)) != 'reached')
print(tried(lambda: socket.getaddrinfo('example.org', 80)) != 'reached')
for name in list(os.environ):
    if 'proxy' in name.lower(): del os.environ[name]
print(tried(lambda: urllib.request.urlopen('http://other.test/')) != 'reached')
os.environ['NO_PROXY'] = '*'
print(tried(lambda: urllib.request.urlopen('http://127.0.0.1:{port}/')) != 'reached')
# By its name it is still the allowed host, and still the proxy that answers.
print(urllib.request.urlopen('http://api.test:{port}/').status)
"#
    );
    let seen = exec(&scene, &[&rule], &code);
    seen.ends(0);
    assert_eq!(
        stdout(&seen).lines().collect::<Vec<_>>(),
        [
            "ECONNREFUSED",
            "ENETUNREACH",
            "ENETUNREACH",
            "ENETUNREACH",
            "ENETUNREACH",
            "True",
            "True",
            "True",
            "True",
            "200"
        ],
        "{seen:?}"
    );
}

#[test]
fn a_redirect_is_checked_as_every_request_is() {
    let (scene, server) = (Scene::new(), Echo::start());
    let rule = format!("api.test:{}=127.0.0.1", server.port);
    let code = format!(
        "import urllib.request, urllib.error\ntry: urllib.request.urlopen('http://api.test:{}/redirect')\nexcept urllib.error.HTTPError as e: print(e.code, e.url)",
        server.port
    );
    let seen = exec(&scene, &[&rule], &code);
    seen.ends(0);
    assert_eq!(stdout(&seen), "403 http://169.254.169.254/latest\n");
    // A rule that names the address would have it resolved and connected to, so the refusal is the rule's.
    assert_eq!(decisions(&seen).iter().map(|one| one["allowed"] == true).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_tunnel_must_carry_tls_for_its_own_host() {
    let scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
    let keep = seen.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut byte = [0; 3];
            if stream.read_exact(&mut byte).is_ok() {
                keep.lock().unwrap().extend(byte);
            }
        }
    });
    let rule = format!("api.test:{port}=127.0.0.1");
    let code = format!(
        r#"
import socket, ssl
def hello(name):
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(); context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
    tls = context.wrap_bio(into, out, server_hostname=name)
    try: tls.do_handshake()
    except ssl.SSLWantReadError: pass
    return out.read()
for name in ('api.test', 'evil.test', None):
    s = socket.create_connection(('127.0.0.1', 3128)); s.settimeout(20)
    s.sendall(b'CONNECT api.test:{port} HTTP/1.1\r\nHost: api.test:{port}\r\n\r\n')
    f = s.makefile('rb'); print(f.readline().split()[1].decode()); f.readline()
    s.sendall(hello(name)); f.read(1)
"#
    );
    let ran = exec(&scene, &[&rule], &code);
    ran.ends(0);
    assert_eq!(*seen.lock().unwrap(), [0x16, 3, 1], "only the hello for the allowed name arrives: {ran:?}");
    let reasons: Vec<Value> = decisions(&ran).iter().map(|one| one["reason"].clone()).collect();
    assert!(
        reasons.iter().any(|reason| reason.as_str().is_some_and(|why| why.contains("asks for evil.test"))),
        "{reasons:?}"
    );
    assert!(
        reasons.iter().any(|reason| reason.as_str().is_some_and(|why| why.contains("names no host"))),
        "{reasons:?}"
    );
}

#[test]
fn a_secret_arrives_at_its_host_and_path_and_is_nowhere_inside() {
    let (server, other) = (Echo::start(), Echo::start());
    let secret = "s3cret-value-91f0";
    let scene = Scene::new().variable("API_TOKEN", secret);
    let (rule, elsewhere) =
        (format!("api.test:{}=127.0.0.1", server.port), format!("other.test:{}=127.0.0.1", other.port));
    let scope = format!("Authorization=Bearer env:API_TOKEN@http://api.test:{}/v1", server.port);
    let code = format!(
        r#"
import os, urllib.request
def get(url): return urllib.request.urlopen(urllib.request.Request(url, headers={{'Authorization': 'mine'}})).read().decode()
print(get('http://api.test:{0}/v1/a')); print(get('http://api.test:{0}/v2')); print(get('http://other.test:{1}/v1/a'))
held = b'' + repr(dict(os.environ)).encode() + open('/proc/self/cmdline', 'rb').read() + open('/proc/1/cmdline', 'rb').read()
wanted = ('s3cret-' + 'value').encode()
found = [name for name in ('environ and argv',) if wanted in held]
for folder in ('/etc', '/tmp', '/run', '/home'):
    for place, _, names in os.walk(folder):
        for path in (os.path.join(place, name) for name in names):
            if os.path.isfile(path) and wanted in open(path, 'rb').read(1 << 20): found.append(path)
print('held', found)
"#,
        server.port, other.port
    );
    let seen =
        scene.run(["exec", "--json", "--allow-net", &rule, "--allow-net", &elsewhere, "--secret", &scope, "-e", &code]);
    seen.ends(0);
    let arrived = server.seen();
    assert!(
        arrived[0].contains(&format!("authorization: Bearer {secret}\r\n")) && !arrived[0].contains("mine"),
        "{arrived:?}"
    );
    assert!(
        !arrived[1].contains(secret) && arrived[1].contains("mine"),
        "another path gets what the program said: {arrived:?}"
    );
    assert!(!other.seen()[0].contains(secret));
    // The server echoed it: what comes back is masked.
    assert!(!seen.stdout.contains(secret) && !seen.stderr.contains(secret), "{seen:?}");
    assert!(stdout(&seen).contains("Bearer *****") && stdout(&seen).contains("held []"), "{seen:?}");
    assert_eq!(decisions(&seen)[0]["secrets"], serde_json::json!(["authorization"]));
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_runs() {
    let scene = Scene::new().variable("TOKEN", "hunter2");
    let refused = |args: &[&str], why: &str| {
        let all: Vec<&str> = ["exec"].iter().chain(args).chain(&["-e", "print(1)"]).copied().collect();
        let seen = scene.run(all);
        seen.ends(125).says(why);
        assert_eq!(seen.stdout, "");
    };
    refused(&["--allow-net", "https://example.org"], "without `https://`");
    refused(&["--allow-net", "*"], "--network host");
    refused(&["--allow-net", "127.1"], "write a.b.c.d");
    refused(&["--allow-net", "example.org", "--network", "host"], "leave the network setting out");
    refused(&["--secret", "X=env:TOKEN@api.test"], "--allow-net");
    refused(&["--allow-net", "api.test", "--secret", "X=env:TOKEN@api.test"], "--tls-terminate api.test");
    refused(&["--allow-net", "api.test", "--secret", "X=env:ABSENT@http://api.test"], "ABSENT, which is not set");
    refused(&["--allow-net", "api.test", "--secret", "X=hunter2@http://api.test"], "the value itself is not typed");
    let closed = "no socket is left to reach them by: ";
    refused(&["--allow-net", "api.test", "--profile", "strict"], &format!("{closed}the profile `strict`"));
    refused(&["--allow-net", "api.test", "--profile", "strict"], "leave the profile `strict` or --allow-net out");
    for module in ["socket", "urllib", "requests"] {
        let why = format!("{closed}blocked_imports has {module:?}");
        refused(&["--allow-net", "api.test", "--block-import", module], &why);
    }
    refused(&["--allow-net", "api.test", "--allow-import", "json"], "--allow-import socket");
    refused(&["--tls-terminate", "api.test"], "--tls-terminate is for hosts that are allowed, and none is");
    refused(&["--secret", "X=env:TOKEN@http://api.test"], "--secret is for hosts that are allowed");
    refused(&["--trust-ca", "/etc/hostname"], "--trust-ca is for hosts that are allowed");
    refused(&["--max-net", "5"], "--max-net is for hosts that are allowed");
    refused(
        &["--allow-net", "api.test", "--trust-ca", "/etc/hosts"],
        "--trust-ca: /etc/hosts: it holds no certificate",
    );
    refused(&["--allow-net", "api.test", "--trust-ca", "/nowhere"], "--trust-ca: /nowhere: failed to read it");
    refused(
        &["--allow-net", "api.test", "--tls-terminate", "b.test"],
        "name b.test as a host (--allow-net, allow_net)",
    );
    refused(&["--allow-net", "api.test", "--secret", "X=env:TOKEN@http://b.test"], "b.test:80 is not allowed: name it");
    refused(&["--allow-net", "api.test", "--secret", "X=env:TOKEN@http://*.api.test"], "a secret is for one host");
    let twice = ["--secret", "X=env:TOKEN@http://api.test", "--secret", "X=env:TOKEN@http://api.test/v1"];
    refused(&[&["--allow-net", "api.test"], &twice[..]].concat(), "the same header is set for http://api.test:80/");
    refused(&["--allow-net", "api.test", "--tier", "b"], "needs a network namespace");
    // The controls.
    for more in [&[][..], &["--block-import", "subprocess"], &["--allow-import", "socket"], &["--max-net", "5"]] {
        scene.run([&["exec", "--allow-net", "api.test"], more, &["-e", "print(1)"]].concat()).ends(0).prints("1");
    }
    scene.run(["exec", "--profile", "strict", "-e", "print(1)"]).ends(0).prints("1");
    // What settings say of hosts that are allowed waits until some are; what closes sockets there counts as a flag does.
    scene.user_settings("[sandbox]\ntrust_ca = \"/nowhere\"\nnetwork_bytes = 5\nprofile = \"strict\"\n");
    scene.run(["exec", "-e", "print(1)"]).ends(0).prints("1");
    refused(&["--allow-net", "api.test"], "--trust-ca: /nowhere");
    scene.user_settings("[sandbox]\nprofile = \"strict\"\n");
    refused(&["--allow-net", "api.test"], closed);
}

#[test]
fn a_byte_budget_ends_what_passes_it() {
    let (scene, server) = (Scene::new(), Echo::start());
    let rule = format!("api.test:{}=127.0.0.1", server.port);
    let code = format!(
        "import urllib.request\nfor n in range(200):\n try: urllib.request.urlopen('http://api.test:{}/' + 'x' * 1000).read()\n except Exception: print('cut', n); break",
        server.port
    );
    let seen = scene.run(["exec", "--json", "--allow-net", &rule, "--max-net", "0.01", "-e", &code]);
    seen.ends(0);
    assert!(stdout(&seen).starts_with("cut "), "{seen:?}");
    assert!(seen.json()["network"]["decisions"].to_string().contains("network budget is spent"), "{seen:?}");
}

#[test]
fn curl_reaches_an_allowed_host_and_no_other() {
    if find_program("curl").is_none() {
        skip!("curl is not installed");
    }
    let (scene, server) = (Scene::new(), Echo::start());
    let rule = format!("api.test:{}=127.0.0.1", server.port);
    let script = format!(
        "curl -sS http://api.test:{}/c -d body=1 | head -1; curl -sS -o /dev/null -w '%{{http_code}}\\n' http://other.test/",
        server.port
    );
    let seen = scene.run(["exec", "--allow-net", &rule, "--lang", "bash", "-e", &script]);
    seen.ends(0);
    assert_eq!(seen.stdout.replace('\r', ""), "echo POST /c HTTP/1.1\n403\n");
}

#[test]
fn the_proxy_ends_with_the_run() {
    let (scene, server) = (Scene::new(), Echo::start());
    let rule = format!("api.test:{}=127.0.0.1", server.port);
    let mut engine =
        scene.command(["exec", "--allow-net", &rule, "-e", "import time; print('up', flush=True); time.sleep(600)"]);
    let mut engine = engine.stdout(std::process::Stdio::piped()).stdin(std::process::Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(engine.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let proxies = |parent: u32| -> Vec<u32> {
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        let all =
            std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        drop(children);
        all.filter(|pid: &u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let named = std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"agentic-proxy\0");
            named && status.contains(&format!("PPid:\t{parent}\n"))
        })
        .collect()
    };
    let found = proxies(engine.id());
    assert_eq!(found.len(), 1, "one proxy runs beside it");
    let status = std::fs::read_to_string(format!("/proc/{}/status", found[0])).unwrap();
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    engine.kill().unwrap();
    engine.wait().unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::path::Path::new(&format!("/proc/{}", found[0])).exists() {
        assert!(std::time::Instant::now() < end, "the proxy outlives its engine");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn raw_bytes_to_the_proxy_get_an_answer() {
    let scene = Scene::new();
    scene.run(["exec", "--allow-net", "api.test", "-e", &raw("BREW / HTTP/1.1\r\n\r\n")]).ends(0).prints("400");
}

#[test]
fn a_secret_that_comes_back_in_another_form_or_in_pieces_is_masked() {
    let secret = "s3cret-value-91f0";
    let forms = [
        secret,
        "7333637265742d76616c75652d39316630",
        "7333637265742D76616C75652D39316630",
        "%73%33%63%72%65%74%2D%76%61%6C%75%65%2D%39%31%66%30",
        "s3cret%2dvalue%2D91f0",
        "s3cret\\u002Dvalue-91f0",
        "czNjcmV0LXZhbHVlLTkxZjB6eg==",
        "YXMzY3JldC12YWx1ZS05MWYweno=",
        "YWJzM2NyZXQtdmFsdWUtOTFmMHp6",
    ];
    let text = forms.join(" ") + " the end";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answered = text.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while reader.read_line(&mut head).is_ok_and(|count| count > 0) && !head.ends_with("\r\n\r\n") {}
            let mut answer = "HTTP/1.1 200 OK\r\n".to_owned();
            if head.starts_with("GET /v1/chunks ") {
                answer += "Transfer-Encoding: chunked\r\n\r\n";
                answered.as_bytes().chunks(5).for_each(|piece| {
                    answer += &format!("{:x}\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece));
                });
                answer += "0\r\n\r\n";
            } else {
                answer += &format!("Content-Length: {}\r\n\r\n{answered}", answered.len());
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let scene = Scene::new().variable("API_TOKEN", secret);
    let (rule, scope) =
        (format!("api.test:{port}=127.0.0.1"), format!("X-Key=env:API_TOKEN@http://api.test:{port}/v1"));
    let code = format!(
        "import urllib.request\nfor path in ('v1/chunks', 'v1/whole', 'other'): print(urllib.request.urlopen('http://api.test:{port}/' + path).read().decode())"
    );
    let seen = scene.run(["exec", "--json", "--allow-net", &rule, "--secret", &scope, "-e", &code]);
    seen.ends(0);
    let printed = stdout(&seen);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 3, "{seen:?}");
    for line in lines {
        // Characters of base64 that hold bits of what stands around the value may stay.
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!((line.len(), words.len()), (text.len(), forms.len() + 2), "{line}");
        for (form, word) in forms.iter().zip(&words).take(6) {
            assert_eq!(*word, "*".repeat(form.len()), "{form}");
        }
        for (form, word) in forms.iter().zip(&words).skip(6) {
            let kept = word.chars().filter(|c| *c != '*').count();
            assert!(kept <= 6 && word.len() == form.len(), "{form} came as {word}");
        }
        assert!(line.ends_with(" the end"));
    }
    // The control: without a secret for that host, all of it comes as it is.
    let seen = scene.run(["exec", "--json", "--allow-net", &rule, "-e", &code]);
    seen.ends(0);
    assert_eq!(stdout(&seen), format!("{text}\n").repeat(3));
}
