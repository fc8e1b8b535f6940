//! What the fuzz targets of this crate call (`fuzz/`), and the same with a fixed sequence of inputs as tests. In no other build.

use crate::host::{Host, Target};
use crate::http::{self, Body, Form, Request};
use crate::mask::Mask;
use crate::rules::{AllowRule, HostPattern, SecretSpec};
use crate::tls::{Hello, server_name};

/// A host, and the same bytes as a target, a rule, a pattern and a secret's description.
///
/// # Panics
/// When what was read is not read back from what it is written as, or has a spelling that another reader could take for
/// something else.
pub fn host(bytes: &[u8]) {
    if let Ok(target) = Target::from_wire(bytes, Some(80)) {
        assert!(bytes.is_ascii(), "{target}");
        assert_eq!(Target::from_wire(target.to_string().as_bytes(), None).as_ref(), Ok(&target));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(host) = Host::parse(text) {
        let written = host.to_string();
        assert_eq!(Host::parse(&written).as_ref(), Ok(&host));
        if let Host::Name(name) = &host {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
            assert!(name.as_str().len() <= 253 && name.as_str().bytes().all(plain), "{written}");
            // What the system would read as a number is an address, and no name.
            assert!(written.parse::<std::net::Ipv4Addr>().is_err(), "{written}");
            assert!(!HostPattern::Below(name.clone()).names(&host), "{written} is below itself");
        }
    }
    if let Ok(rule) = text.parse::<AllowRule>() {
        assert_eq!(rule.to_string().parse::<AllowRule>().as_ref(), Ok(&rule));
    }
    match text.parse::<SecretSpec>() {
        Ok(spec) => assert!(spec.scope.covers(spec.scope.tls, &spec.scope.target, &spec.scope.path), "{}", spec.scope),
        // Whatever was typed where a source belongs may be the value.
        Err(error) => drop(error.to_string()),
    }
}

/// A request's head; the same bytes as a server's head and as a body in chunks.
///
/// # Panics
/// When what goes on to the server is another request than what was read.
pub fn head(bytes: &[u8]) {
    if let Ok(request) = http::parse_request(bytes, 80) {
        goes_on(&request);
    }
    if let Ok(response) = http::rewrite_response(bytes, true) {
        // As the client reads it, it says the same of the body.
        let again = http::rewrite_response(&response.head, true);
        let again = again.unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&response.head)));
        let of = |one: &http::Response| (one.status, one.length, one.chunked);
        assert_eq!(of(&again), of(&response));
    }
    let mut framed = Vec::new();
    if http::copy_body(Body::Chunked, &mut &bytes[..], &mut framed, |_| Ok(())).is_ok() {
        let mut again = Vec::new();
        assert!(http::copy_body(Body::Chunked, &mut &framed[..], &mut again, |_| Ok(())).is_ok());
        assert_eq!(again, framed);
    }
}

fn goes_on(request: &Request) {
    let (target, path) = match &request.form {
        Form::Absolute(target, path) | Form::Origin(Some(target), path) => (target, path),
        _ => return,
    };
    // Two lines are added, and there is a most.
    if request.headers.len() > 120 {
        return;
    }
    let sent = request.for_server(target, false, path, &[]);
    let again = http::parse_request(&sent, 80).unwrap_or_else(|error| panic!("{error}: {request:?}"));
    assert_eq!(again.form, Form::Origin(Some(target.clone()), path.clone()));
    assert_eq!((&again.method, again.body, &again.headers), (&request.method, request.body, &request.headers));
}

/// What stands after `CONNECT`, in the request line and in the `Host` header.
///
/// # Panics
/// When a tunnel is for another host than the line says.
pub fn connect(bytes: &[u8]) {
    let line = [b"CONNECT ", bytes, b" HTTP/1.1\r\nHost: ", bytes, b"\r\n\r\n"].concat();
    if let Ok(request) = http::parse_request(&line, 80) {
        let Form::Connect(target) = &request.form else { panic!("{request:?}") };
        assert_eq!(Target::from_wire(bytes, None).as_ref(), Ok(target));
        let other = [b"CONNECT ", bytes, b" HTTP/1.1\r\nHost: other.test\r\n\r\n"].concat();
        let other = http::parse_request(&other, 80);
        assert!(other.is_err() || target.host == Host::parse("other.test").unwrap());
    }
}

/// The beginning of a TLS stream.
///
/// # Panics
/// When it depends on how the bytes arrive which name it asks for.
pub fn hello(bytes: &[u8]) {
    let whole = server_name(bytes);
    let half = server_name(&bytes[..bytes.len() / 2]);
    match (&half, &whole) {
        (Hello::Incomplete, _) => {}
        (Hello::Complete(early), Hello::Complete(late)) => assert_eq!(early, late),
        (Hello::Complete(_), _) => panic!("{half:?} became {whole:?}"),
        (Hello::Other(_), _) => assert!(matches!(whole, Hello::Other(_)), "{half:?} became {whole:?}"),
    }
    if let Hello::Complete(Some(name)) = whole {
        drop(Host::parse(&name));
    }
}

/// A value, up to the first zero, and an answer in which it is masked.
///
/// # Panics
/// When it depends on how the bytes arrive what is masked, or the value is left.
pub fn mask(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (value, text) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let Ok(value) = std::str::from_utf8(value) else { return };
    let masked = |pieces: &[&[u8]]| {
        let mut mask = Mask::new([value.to_owned()].into_iter());
        let mut out: Vec<u8> = pieces.iter().flat_map(|piece| mask.pass(piece)).collect();
        out.extend(mask.rest());
        out
    };
    let whole = masked(&[text]);
    assert_eq!(whole.len(), text.len());
    assert_eq!(whole, masked(&[&text[..text.len() / 3], &text[text.len() / 3..]]));
    let left = value.len() >= 6 && whole.windows(value.len()).any(|window| window == value.as_bytes());
    assert!(!left || value.contains('*'), "{value:?} is left in {:?}", String::from_utf8_lossy(&whole));
}

#[cfg(test)]
mod tests {
    use agentic_testkit::mutations;

    use super::*;
    use crate::tls::Upstream;

    fn tried(target: fn(&[u8]), seeds: &[&[u8]], count: usize) {
        seeds.iter().for_each(|seed| target(seed));
        mutations(seeds, count).for_each(|bytes| target(&bytes));
    }

    #[test]
    fn a_host_is_read_or_refused() {
        let seeds: &[&[u8]] = &[
            b"api.example.org:443",
            b"*.example.org:8443=10.0.0.0/8",
            b"[2001:db8::1]:80",
            b"[::ffff:127.0.0.1]",
            b"127.0.0.1:65535=[::1]",
            "b\u{fc}cher.example.".as_bytes(),
            b"xn--bcher-kva.example",
            b"0x7f.1",
            b"Authorization=Bearer env:TOKEN@https://api.example.org:443/v1/a",
        ];
        tried(host, seeds, 20_000);
    }

    #[test]
    fn a_head_is_read_or_refused() {
        let seeds: &[&[u8]] = &[
            b"GET http://a.test/x?y HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nProxy-Connection: keep-alive\r\n\r\n",
            b"POST /x HTTP/1.1\r\nHost: a.test:81\r\nContent-Length: 3\r\nConnection: close, X-A\r\nX-A: 1\r\n\r\n",
            b"PUT / HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\nAlt-Svc: h3\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
            b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
        ];
        tried(head, seeds, 20_000);
    }

    #[test]
    fn a_tunnel_is_for_what_its_line_says() {
        let seeds: &[&[u8]] =
            &[b"a.test:443", b"[::1]:443", b"127.0.0.1:443", b"a.test:443 HTTP/1.1\r\nHost: b.test:443", b"u@a.test:1"];
        tried(connect, seeds, 20_000);
    }

    #[test]
    fn a_hello_is_read_or_refused() {
        let made = |host: &str| {
            let mut session = Upstream::new(None).unwrap().connect(&Host::parse(host).unwrap()).unwrap();
            let mut bytes = Vec::new();
            session.write_tls(&mut bytes).unwrap();
            bytes
        };
        let (named, bare) = (made("api.example.org"), made("127.0.0.1"));
        assert_eq!(server_name(&named), Hello::Complete(Some("api.example.org".into())));
        assert_eq!(server_name(&bare), Hello::Complete(None));
        tried(hello, &[&named, &bare, b"GET / HTTP/1.1\r\n\r\n"], 3_000);
    }

    #[test]
    fn a_value_is_masked_however_it_arrives() {
        let seeds: &[&[u8]] = &[
            b"hunter22\0a hunter22 b hunter2",
            b"p@ss w/rd\0p%40ss%20w%2Frd p@ss+w\\/rd \\u0070@ss w/rd",
            b"hunter22\x0068756E7465723232 aHVudGVyMjI= YWh1bnRlcjIy",
            b"aabaab!\0aabaabaab!",
        ];
        tried(mask, seeds, 2_000);
    }
}
