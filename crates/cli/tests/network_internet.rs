//! `agentic exec --allow-net` on an internet of one machine (`internet/internet.py`): the program as it is delivered,
//! with the system's resolver, names that change their address, public addresses, the ports 80 and 443.

mod https;
mod internet;
mod scene;

use agentic_testkit::skip;
use internet::{Internet, OTHER, PUBLIC, PUBLIC_6, Report};
use scene::Scene;
use serde_json::{Value, json};

/// Runs `agentic exec --json` with each list of arguments. `Err` when this host allows no such internet.
fn internet(scene: &Scene, names: Value, redirects: Value, runs: &[Vec<&str>]) -> Result<Report, String> {
    let hosts = ["secure.test", "a.wild.test", "other.test"];
    let internet = Internet { hosts: &hosts, names, redirects, files: None };
    let authority = scene.path("state").join("authority.pem");
    let command = |args: &Vec<&str>| {
        let program = agentic_testkit::agentic_binary();
        let fixed = [program.to_str().unwrap(), "exec", "--json", "--trust-ca", authority.to_str().unwrap()];
        fixed.iter().chain(args).map(|&arg| arg.to_owned()).collect()
    };
    internet.run(scene, runs.iter().map(command).collect())
}

#[test]
fn a_name_that_changes_its_address_gains_nothing() {
    let scene = Scene::new();
    let code = r#"
import socket, urllib.request
for n in range(5):
    try: print(urllib.request.urlopen('http://rebind.test/').read().decode())
    except OSError as e: print(e.code, e.read().decode().splitlines()[0])
print(urllib.request.urlopen('http://mixed.test/').read().decode())
# What knows no proxy is led to the same door.
with socket.create_connection(('rebind.test', 443)) as s:
    try: s.sendall(b'x'); print(s.recv(10))
    except ConnectionError: print(b'')
"#;
    let names = json!({
        "rebind.test": [[PUBLIC], ["127.0.0.1"], ["10.0.0.7"], [PUBLIC], ["169.254.169.254"], ["127.0.0.1"]],
        "mixed.test": [["127.0.0.1", PUBLIC]],
    });
    let run = vec!["--allow-net", "rebind.test", "--allow-net", "mixed.test", "-e", code];
    let report = match internet(&scene, names, json!({}), &[run]) {
        Ok(report) => report,
        Err(why) => skip!("no namespaces for the test's internet: {why}"),
    };
    let refused = |address: &str, what: &str| format!("rebind.test:80 resolves to {address} ({what})");
    let reasons = [
        refused("127.0.0.1", "loopback"),
        refused("10.0.0.7", "a private network"),
        refused("169.254.169.254", "link-local, where clouds keep credentials"),
    ];
    let answer = |reason: &String| format!("403 agentic: network access denied: {reason}");
    let wanted: [String; 7] = [
        PUBLIC.into(),
        answer(&reasons[0]),
        answer(&reasons[1]),
        PUBLIC.into(),
        answer(&reasons[2]),
        PUBLIC.into(),
        "b''".into(),
    ];
    assert_eq!(report.printed(0), wanted, "{}", report.0);
    let mut decided = report.decided(0);
    let last = decided.pop().unwrap();
    assert_eq!(last, (false, "rebind.test:443 resolves to 127.0.0.1 (loopback)".to_owned()));
    let public = || (true, PUBLIC.to_owned());
    let [first, second, third] = reasons.map(|reason| (false, reason));
    assert_eq!(decided, [public(), first, second, public(), third, public()]);
    // Each connection asked once: there is no second answer for what was checked.
    assert_eq!((report.queries("rebind.test"), report.queries("mixed.test")), (6, 1));
    assert_eq!(report.seen_at(&format!("{PUBLIC}:80")).len(), 3);
    assert!(report.seen_at("127.0.0.1:80").is_empty() && report.seen_at("127.0.0.1:443").is_empty());
}

#[test]
fn a_rule_without_a_port_opens_80_and_443() {
    let scene = Scene::new().variable("API_KEY", "s3cret-value-5d2e");
    let code = r#"
import os, socket, ssl, urllib.request
def get(url):
    try: return urllib.request.urlopen(url).read().decode()
    except OSError as e: return str(e)
print(get('https://secure.test/v1'))
print(get('http://secure.test/v1'))
print(get('https://secure.test:8443/'))
print(get('https://other.test/'))
print(get('https://a.wild.test/'))
for name in list(os.environ):
    if 'proxy' in name.lower(): del os.environ[name]
print(get('https://secure.test/direct'))
with socket.create_connection(('secure.test', 443)) as s:
    try: s.sendall(b'GET / HTTP/1.1\r\nHost: secure.test\r\n\r\n'); print(s.recv(10))
    except ConnectionError: print(b'')
"#;
    let names = json!({"secure.test": [[PUBLIC]], "a.wild.test": [[OTHER]], "other.test": [[OTHER]]});
    let allow = ["--allow-net", "secure.test", "--allow-net", "*.wild.test"];
    let opened = ["--tls-terminate", "secure.test", "--tls-terminate", "*.wild.test"];
    let secret = ["--secret", "X-Key=env:API_KEY@secure.test/v1"];
    let tunnelled = [&allow[..], &["-e", code]].concat();
    let read = [&allow[..], &opened, &secret, &["-e", code]].concat();
    let report = match internet(&scene, names, json!({}), &[tunnelled, read]) {
        Ok(report) => report,
        Err(why) => skip!("no namespaces for the test's internet: {why}"),
    };
    for number in [0, 1] {
        let printed = report.printed(number);
        assert_eq!((printed[0].as_str(), printed[1].as_str()), (PUBLIC, PUBLIC), "{}", report.0);
        assert!(printed[2].contains("403") && printed[3].contains("403"), "{printed:?}");
        assert_eq!((printed[4].as_str(), printed[5].as_str(), printed[6].as_str()), (OTHER, PUBLIC, "b''"));
        let decided = report.decided(number);
        assert_eq!(decided[2], (false, "no rule allows secure.test:8443".to_owned()));
        assert_eq!(decided[3], (false, "no rule allows other.test:443".to_owned()));
    }
    // On port 443 nothing but TLS for that host is passed on.
    let reason = |number: usize| report.run(number)["network"]["decisions"][6]["reason"].clone();
    for number in [0, 1] {
        assert!(reason(number).as_str().unwrap().contains("not TLS"), "{}", report.run(number));
    }
    let heads = report.seen_at(&format!("{PUBLIC}:443"));
    let with_key: Vec<bool> = heads.iter().map(|head| head.contains("s3cret-value-5d2e")).collect();
    assert_eq!(with_key, [false, false, true, false], "the opened request beneath /v1, and no other: {heads:?}");
    assert!(report.seen_at(&format!("{PUBLIC}:80")).iter().all(|head| !head.contains("s3cret")));
}

#[test]
fn a_redirect_to_an_allowed_name_with_a_private_address_is_refused() {
    let scene = Scene::new();
    let code = r#"
import urllib.request
for path in ('inner', 'plain'):
    try: print(urllib.request.urlopen('https://secure.test/' + path).read().decode())
    except OSError as e: print(e.code, e.url)
"#;
    let names = json!({"secure.test": [[PUBLIC]], "inner.test": [["127.0.0.1"]]});
    let redirects = json!({"/inner": "http://inner.test/admin"});
    let allow = ["--allow-net", "secure.test", "--allow-net", "inner.test"];
    let runs =
        [[&allow[..], &["-e", code]].concat(), [&allow[..], &["--tls-terminate", "secure.test", "-e", code]].concat()];
    let report = match internet(&scene, names, redirects, &runs) {
        Ok(report) => report,
        Err(why) => skip!("no namespaces for the test's internet: {why}"),
    };
    for number in [0, 1] {
        assert_eq!(report.printed(number), ["403 http://inner.test/admin", PUBLIC], "{}", report.0);
        let decided = report.decided(number);
        assert_eq!(decided[1], (false, "inner.test:80 resolves to 127.0.0.1 (loopback)".to_owned()));
    }
    assert!(report.seen_at("127.0.0.1:80").is_empty());
}

#[test]
fn ipv6_addresses_are_judged_as_the_others_are() {
    let scene = Scene::new();
    let code = r#"
import urllib.request
for n in range(5):
    try: print(urllib.request.urlopen('http://six.test/').read().decode())
    except OSError as e: print(e.code, e.read().decode().splitlines()[0])
print(urllib.request.urlopen('https://secure.test/').read().decode())
"#;
    let names = json!({
        "six.test": [[PUBLIC_6], ["::1"], ["fd00:ec2::254"], ["64:ff9b::7f00:1"], ["::ffff:127.0.0.1"]],
        "secure.test": [["::1", PUBLIC_6, "127.0.0.1"]],
    });
    let run = vec!["--allow-net", "six.test", "--allow-net", "secure.test", "-e", code];
    let report = match internet(&scene, names, json!({}), &[run]) {
        Ok(report) if report.0["six"] == true => report,
        Ok(_) => skip!("no IPv6 on this host"),
        Err(why) => skip!("no namespaces for the test's internet: {why}"),
    };
    let refused = [
        "six.test:80 resolves to ::1 (loopback)",
        "six.test:80 resolves to fd00:ec2::254 (a private network, where clouds keep credentials)",
        "six.test:80 resolves to 64:ff9b::7f00:1 (an IPv4 address that is not public, in IPv6)",
        "six.test:80 resolves to 127.0.0.1 (loopback)",
    ];
    let mut wanted = vec![PUBLIC_6.to_owned()];
    wanted.extend(refused.map(|reason| format!("403 agentic: network access denied: {reason}")));
    wanted.push(PUBLIC_6.to_owned());
    assert_eq!(report.printed(0), wanted, "{}", report.0);
    assert!(report.seen_at("::1:80").is_empty() && report.seen_at("::1:443").is_empty());
    assert!(report.seen_at("127.0.0.1:80").is_empty() && report.seen_at("127.0.0.1:443").is_empty());
}
