//! HTTP/1 heads and bodies, read strictly: whatever two programs could frame differently is refused, because the proxy
//! and the server behind it would then see different requests (RFC 9112, sections 2.2, 5.2, 6.3 and 11.2).
//!
//! [`parse_request`] takes bytes and touches nothing else, so that it can be fuzzed.

use std::io::{self, Read, Write};

use crate::host::Target;
use crate::rules::HOP_BY_HOP;

/// The longest head that is read.
pub const LONGEST_HEAD: usize = 64 << 10;
const MOST_HEADERS: usize = 128;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `CONNECT HOST:PORT`: a tunnel.
    Connect(Target),
    /// `GET http://HOST/PATH`, as it is said to a proxy.
    Absolute(Target, String),
    /// `GET /PATH`, as it is said to a server; the `Host` header says which, where there is one.
    Origin(Option<Target>, String),
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// This many bytes.
    Length(u64),
    /// Chunks, the last one empty.
    Chunked,
}

/// A request's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// What for.
    pub form: Form,
    /// The headers that go on to the server: end-to-end ones, without `Host`, `Content-Length` and `Expect`.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body that follows.
    pub body: Body,
    /// Whether the client waits for `100 Continue` before the body.
    pub expects: bool,
}

/// Why a request is refused, with the status that says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct HttpError {
    /// The status code.
    pub status: u16,
    /// What is wrong.
    pub why: String,
}

fn bad(why: impl Into<String>) -> HttpError {
    HttpError { status: 400, why: why.into() }
}

/// Reads up to the empty line that ends a head. `None` when the stream ends before the first byte.
///
/// # Errors
/// The stream's own, an end in the middle, a head that is too long.
pub fn read_head(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut byte = [0];
    // One byte at a time, from a buffered stream: what follows the head is not the head's to take.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= LONGEST_HEAD {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the head is longer than 64 KiB"));
        }
        match stream.read(&mut byte)? {
            0 if head.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => head.push(byte[0]),
        }
        // A bare line feed would end the head for a lenient reader.
        if head.ends_with(b"\n") && !head.ends_with(b"\r\n") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line ends without a carriage return"));
        }
    }
    Ok(Some(head))
}

/// Line ends, control characters and folding, which readers treat differently.
fn check_lines(head: &[u8]) -> Result<(), HttpError> {
    for (at, byte) in head.iter().enumerate() {
        match byte {
            b'\n' if at == 0 || head[at - 1] != b'\r' => return Err(bad("a line ends without a carriage return")),
            b'\r' if head.get(at + 1) != Some(&b'\n') => return Err(bad("a carriage return stands in a line")),
            b' ' | b'\t' if at > 0 && head[at - 1] == b'\n' => return Err(bad("a header is folded over two lines")),
            b'\t' | b'\r' | b'\n' => {}
            byte if *byte < b' ' || *byte == 0x7F => return Err(bad("a control character stands in the head")),
            _ => {}
        }
    }
    if head.ends_with(b"\r\n\r\n") { Ok(()) } else { Err(bad("the head does not end")) }
}

/// Reads a request's head, its last line included. `port` stands where a `Host` header has none.
///
/// # Errors
/// [`HttpError`], for all that is not plain HTTP/1.
pub fn parse_request(head: &[u8], port: u16) -> Result<Request, HttpError> {
    check_lines(head)?;
    let mut space = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut space);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) => return Err(bad("the head is not one head")),
        Err(error) => return Err(bad(format!("not HTTP/1: {error}"))),
    }
    let (method, uri) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
    let minor = parsed.version.unwrap_or_default();
    if method.len() > 32 || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
        return Err(bad("the method is none"));
    }
    if !uri.bytes().all(|byte| (b'!'..0x7F).contains(&byte)) {
        return Err(bad("the request's target holds a character that is not ASCII"));
    }
    let of = |name: &str| -> Vec<&[u8]> {
        parsed
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
            .collect()
    };
    let body = body(&of("content-length"), &of("transfer-encoding"), minor)?;
    let host = match of("host")[..] {
        [] if minor == 0 => None,
        [] => return Err(bad("there is no Host header")),
        [host] => Some(host),
        _ => return Err(bad("there are two Host headers")),
    };
    let read = |text: &[u8], default| Target::from_wire(text, default).map_err(|error| bad(error.to_string()));
    let form = if method == "CONNECT" {
        let target = read(uri.as_bytes(), None)?;
        // Some clients send another port here, or none; the name must agree.
        if let Some(host) = host
            && read(host, Some(target.port))?.host != target.host
        {
            return Err(bad("the Host header names another host than the request line"));
        }
        Form::Connect(target)
    } else if uri.starts_with('/') {
        Form::Origin(host.map(|host| read(host, Some(port))).transpose()?, uri.to_owned())
    } else if let Some(rest) = uri.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).and(uri.get(7..)) {
        let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
        let target = read(authority.as_bytes(), Some(80))?;
        if let Some(host) = host
            && read(host, Some(80))? != target
        {
            return Err(bad("the Host header names another host than the request line"));
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Form::Absolute(target, path)
    } else {
        return Err(bad("the request is neither `CONNECT HOST:PORT` nor for an http:// address"));
    };
    if let Form::Absolute(_, path) | Form::Origin(_, path) = &form
        && path.contains('#')
    {
        return Err(bad("the request's target holds a fragment"));
    }
    // What `Connection` lists belongs to this connection alone.
    let listed: Vec<String> = of("connection")
        .iter()
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
        .collect();
    let dropped = |name: &str| {
        HOP_BY_HOP.contains(&name)
            || ["host", "content-length", "expect"].contains(&name)
            || listed.iter().any(|other| other == name)
    };
    let headers = parsed
        .headers
        .iter()
        .map(|header| (header.name.to_ascii_lowercase(), header.value.to_vec()))
        .filter(|(name, _)| !dropped(name))
        .collect();
    let expects = of("expect").iter().any(|value| value.eq_ignore_ascii_case(b"100-continue"));
    Ok(Request { method: method.to_owned(), form, headers, body, expects })
}

fn body(lengths: &[&[u8]], encodings: &[&[u8]], minor: u8) -> Result<Body, HttpError> {
    match (lengths, encodings) {
        ([], []) => Ok(Body::Length(0)),
        ([length], []) => {
            let text = std::str::from_utf8(length)
                .ok()
                .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
            let length = text.and_then(|text| text.parse().ok());
            length.map(Body::Length).ok_or_else(|| bad("the Content-Length is no number"))
        }
        ([], [encoding]) if minor == 1 && encoding.eq_ignore_ascii_case(b"chunked") => Ok(Body::Chunked),
        (_, []) => Err(bad("there are two Content-Length headers")),
        ([], _) => Err(bad("a Transfer-Encoding other than one `chunked`")),
        _ => Err(bad("there are both a Content-Length and a Transfer-Encoding")),
    }
}

impl Request {
    /// The head that goes to the server: origin form, the host that was checked, and an end after the answer.
    pub fn for_server(&self, target: &Target, tls: bool, path: &str, set: &[(String, String)]) -> Vec<u8> {
        let port = if tls { 443 } else { 80 };
        let host = if target.port == port { target.host.to_string() } else { target.to_string() };
        let mut head = format!("{} {path} HTTP/1.1\r\nHost: {host}\r\n", self.method).into_bytes();
        let kept = self.headers.iter().filter(|(name, _)| !set.iter().any(|(other, _)| other == name));
        for (name, value) in kept {
            head.extend_from_slice(name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        for (name, value) in set {
            head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        match self.body {
            Body::Length(0) if !["POST", "PUT", "PATCH"].contains(&self.method.as_str()) => {}
            Body::Length(length) => head.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes()),
            Body::Chunked => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
        head.extend_from_slice(b"Connection: close\r\n\r\n");
        head
    }
}

/// A server's answer, its head as the client gets it.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The head: hop-by-hop headers out, an end after the answer in.
    pub head: Vec<u8>,
    /// How long the body is, where the head says it.
    pub length: Option<u64>,
    /// Whether the body comes in chunks.
    pub chunked: bool,
}

/// Reads a server's head. With `unpacked` the body is to be read, so no transfer coding but `chunked` will do.
///
/// # Errors
/// An answer that is not HTTP/1, or whose body cannot be read.
pub fn rewrite_response(head: &[u8], unpacked: bool) -> Result<Response, HttpError> {
    let wrong = |why: String| HttpError { status: 502, why };
    check_lines(head).map_err(|error| wrong(format!("the server's answer: {error}")))?;
    let mut space = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Response::new(&mut space);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        other => return Err(wrong(format!("the server's answer is not HTTP/1: {other:?}"))),
    }
    let status = parsed.code.unwrap_or_default();
    if status < 100 {
        return Err(wrong("the server's answer has no status".into()));
    }
    let mut out = format!("HTTP/1.1 {status} {}\r\n", parsed.reason.unwrap_or_default()).into_bytes();
    let mut length = None;
    let mut chunked = false;
    for header in parsed.headers.iter() {
        let name = header.name.to_ascii_lowercase();
        // How the body is framed stays as it is, since the body does.
        if HOP_BY_HOP.contains(&name.as_str()) && name != "transfer-encoding" && name != "trailer" || name == "alt-svc"
        {
            continue;
        }
        if name == "transfer-encoding" {
            if unpacked && (chunked || !header.value.eq_ignore_ascii_case(b"chunked")) {
                return Err(wrong("the server's answer has a transfer coding other than one `chunked`".into()));
            }
            chunked = true;
        }
        if name == "content-length" {
            let one = std::str::from_utf8(header.value).ok().and_then(|text| text.parse().ok());
            if one.is_none() || length.is_some() {
                return Err(wrong("the server's answer has no one length".into()));
            }
            length = one;
        }
        out.extend_from_slice(header.name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(header.value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(if status < 200 { b"\r\n" } else { b"Connection: close\r\n\r\n" });
    Ok(Response { status, head: out, length: length.filter(|_| !chunked), chunked })
}

/// Passes a body on, framed anew; `spend` is told each piece and may end it.
///
/// # Errors
/// Either stream's own, a body that ends early, a chunk that is none, and what `spend` says.
pub fn copy_body(
    body: Body,
    from: &mut impl Read,
    to: &mut impl Write,
    mut spend: impl FnMut(usize) -> io::Result<()>,
) -> io::Result<()> {
    match body {
        Body::Length(mut left) => {
            let mut buffer = [0; 16 << 10];
            while left > 0 {
                let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                match from.read(&mut buffer[..most])? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => {
                        spend(count)?;
                        to.write_all(&buffer[..count])?;
                        left -= count as u64;
                    }
                }
            }
        }
        Body::Chunked => {
            let mut chunks = Chunks::new(from);
            let mut buffer = [0; 16 << 10];
            loop {
                let count = chunks.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                spend(count)?;
                write_chunk(to, &buffer[..count])?;
            }
            to.write_all(LAST_CHUNK)?;
        }
    }
    to.flush()
}

/// The end of a body in chunks.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes one chunk; of nothing it would be the last, so none is written.
pub(crate) fn write_chunk(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    to.write_all(format!("{:x}\r\n", bytes.len()).as_bytes())?;
    to.write_all(bytes)?;
    to.write_all(b"\r\n")
}

/// What a body in chunks holds. Trailers are left out.
#[derive(Debug)]
pub struct Chunks<R> {
    from: R,
    /// Of the chunk that is being read.
    left: u64,
    ended: bool,
}

impl<R: Read> Chunks<R> {
    /// Reads the body that begins here.
    pub fn new(from: R) -> Self {
        Self { from, left: 0, ended: false }
    }
    /// The size of the next chunk, 0 at the end.
    fn begin(&mut self) -> io::Result<u64> {
        let line = read_line(&mut self.from)?;
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(digits)
            .ok()
            .filter(|text| (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|text| u64::from_str_radix(text, 16).ok())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a chunk's size is no number"))?;
        if size > 0 {
            return Ok(size);
        }
        let mut trailers = 0;
        loop {
            let line = read_line(&mut self.from)?;
            trailers += line.len();
            if line.is_empty() {
                return Ok(0);
            }
            if trailers > LONGEST_HEAD {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the trailers are too long"));
            }
        }
    }
}

impl<R: Read> Read for Chunks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            self.left = self.begin()?;
            if self.left == 0 {
                self.ended = true;
                return Ok(0);
            }
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.from.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        if self.left == 0 && !read_line(&mut self.from)?.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk is longer than its size"));
        }
        Ok(count)
    }
}

/// One line without its end, which must be CR LF.
fn read_line(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match from.read(&mut byte)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if line.len() > 4096 => return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long")),
            _ if byte[0] == b'\n' && line.last() == Some(&b'\r') => {
                line.pop();
                return Ok(line);
            }
            _ if byte[0] == b'\n' => return Err(io::Error::new(io::ErrorKind::InvalidData, "a bare line feed")),
            _ => line.push(byte[0]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Request, String> {
        parse_request(text.as_bytes(), 80).map_err(|error| error.why)
    }

    #[test]
    fn plain_requests_are_read() {
        let request =
            parse("GET http://A.test/x?y HTTP/1.1\r\nHost: a.test\r\nProxy-Connection: keep-alive\r\nX: 1\r\n\r\n")
                .unwrap();
        assert_eq!(request.form, Form::Absolute(Target::parse("a.test:80", None).unwrap(), "/x?y".into()));
        assert_eq!(request.headers, [("x".to_owned(), b"1".to_vec())]);
        let target = Target::parse("a.test:80", None).unwrap();
        let sent = request.for_server(&target, false, "/x?y", &[("x".into(), "2".into())]);
        assert_eq!(
            String::from_utf8(sent).unwrap(),
            "GET /x?y HTTP/1.1\r\nHost: a.test\r\nx: 2\r\nConnection: close\r\n\r\n"
        );
        assert!(matches!(
            parse("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n").unwrap().form,
            Form::Connect(_)
        ));
        assert!(matches!(parse("GET / HTTP/1.0\r\n\r\n").unwrap().form, Form::Origin(None, _)));
        assert_eq!(
            parse("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap().body,
            Body::Chunked
        );
    }

    #[test]
    fn what_could_be_framed_or_addressed_in_two_ways_is_refused() {
        for (text, why) in [
            ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", "another host"),
            ("GET http://a/ HTTP/1.1\r\nHost: a:81\r\n\r\n", "another host"),
            ("GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "two Host"),
            ("GET http://a/ HTTP/1.1\r\n\r\n", "no Host"),
            ("CONNECT a:443 HTTP/1.1\r\nHost: b\r\n\r\n", "another host"),
            ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "port is missing"),
            ("CONNECT http://a:443 HTTP/1.1\r\nHost: a\r\n\r\n", ""),
            ("CONNECT a:443/x HTTP/1.1\r\nHost: a\r\n\r\n", ""),
            ("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "separates"),
            ("GET http://a%2eb/ HTTP/1.1\r\nHost: a\r\n\r\n", "separates"),
            ("GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n", "separates"),
            ("GET http://a/#x HTTP/1.1\r\nHost: a\r\n\r\n", "fragment"),
            ("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "neither"),
            ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "neither"),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "neither"),
            ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", "neither"),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "two Content-Length"),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", "no number"),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", "no number"),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", "no number"),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "both"),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", "Transfer-Encoding"),
            ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "Transfer-Encoding"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                "Transfer-Encoding",
            ),
            ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", "folded"),
            ("GET / HTTP/1.1\nHost: a\n\n", "carriage return"),
            ("GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", "carriage return"),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n", "carriage return"),
            ("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", "control"),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "not HTTP/1"),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "not HTTP/1"),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "not HTTP/1"),
            ("get / HTTP/1.1\r\nHost: a\r\n\r\n", "method"),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "space"),
            ("GET / HTTP/1.1\r\nHost: b\u{fc}cher.test\r\n\r\n", "ASCII"),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n", "not one head"),
        ] {
            let found = parse(text).expect_err(text);
            assert!(found.contains(why), "{text:?}: {found}");
        }
    }

    #[test]
    fn bodies_are_framed_anew() {
        let copy = |body, bytes: &[u8]| {
            let mut out = Vec::new();
            copy_body(body, &mut &bytes[..], &mut out, |_| Ok(())).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(copy(Body::Length(2), b"abc").unwrap(), "ab");
        assert_eq!(copy(Body::Chunked, b"3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\nrest").unwrap(), "3\r\nabc\r\n0\r\n\r\n");
        for broken in
            ["3\r\nab", "x\r\n", "-1\r\n", "3\r\nabcd\r\n0\r\n\r\n", "3\nabc\n0\n\n", "11111111111111111\r\n", "0\r\n"]
        {
            assert!(copy(Body::Chunked, broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(copy(Body::Length(4), b"abc").is_err());
    }

    #[test]
    fn an_answer_is_read_as_it_is_framed() {
        let read = |headers: &str, unpacked| {
            let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
            rewrite_response(head.as_bytes(), unpacked).map(|response| (response.length, response.chunked))
        };
        assert_eq!(read("Content-Length: 3\r\n", true).unwrap(), (Some(3), false));
        assert_eq!(read("", true).unwrap(), (None, false));
        assert_eq!(read("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", true).unwrap(), (None, true));
        assert!(rewrite_response(b"HTTP/1.1 000 OK\r\n\r\n", false).is_err());
        for coded in ["Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"]
        {
            assert!(read(coded, true).is_err() && read(coded, false).is_ok(), "{coded}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_request(&bytes, 80);
            let _ = rewrite_response(&bytes, true);
            let _ = copy_body(Body::Chunked, &mut &bytes[..], &mut Vec::new(), |_| Ok(()));
        }
    }
}
