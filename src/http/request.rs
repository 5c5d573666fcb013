//! Owns the reading of requests: what is asked for, or with which status it is refused. A function of the bytes that
//! have come so far.

use httparse::{EMPTY_HEADER, Header};

use super::answer::Status;

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub page: Page,
    pub method: Method,
}

/// All that there is to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/`: for people.
    Status,
    /// `/metrics`: for Prometheus.
    Metrics,
    /// `/healthz`: for load balancers.
    Health,
}

/// How it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    /// The same without its body (RFC 9110, 9.3.2).
    Head,
}

/// Why there is nothing to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: Status,
    /// Whoever asks by HEAD is refused without a body, too.
    pub method: Method,
}

/// The longest head of a request, in bytes. Browsers send half a kilobyte, and cookies of others on the same host.
pub const MAX_HEAD: usize = 8 * 1024;

/// A browser sends fifteen.
const MAX_HEADERS: usize = 64;

/// What HTTP has registered and we do not do (RFC 9110, 9; RFC 5789): who asks so is told what we do. A method that
/// nobody has heard of is not implemented.
const OTHER_METHODS: [&str; 7] = [
    "CONNECT", "DELETE", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// What is asked in the bytes that have come so far, from the first on; `None` is not known before more have come.
///
/// What stands behind the head is not looked at: requests sent ahead are not answered, for every answer says that it
/// is the last. To look again at all of it for each byte that drips in costs less than to be woken for the byte.
pub fn parse(input: &[u8]) -> Result<Option<Request>, Refusal> {
    let method = method_of(input);
    match read(input) {
        Ok(page) => Ok(page.map(|page| Request { page, method })),
        Err(status) => Err(Refusal { status, method }),
    }
}

impl Refusal {
    /// For one who has sent that, and no more in the time that there is.
    pub fn too_late(input: &[u8]) -> Refusal {
        Refusal {
            status: Status::RequestTimeout,
            method: method_of(input),
        }
    }

    /// For one who has sent that and ended.
    pub fn cut_short(input: &[u8]) -> Refusal {
        Refusal {
            status: Status::BadRequest,
            method: method_of(input),
        }
    }
}

/// What is not HEAD is answered with a body.
fn method_of(input: &[u8]) -> Method {
    let blank = |byte: &u8| !matches!(byte, b'\r' | b'\n');
    let start = input.iter().position(blank).unwrap_or(input.len());
    match input.get(start..) {
        Some(line) if line.starts_with(b"HEAD ") => Method::Head,
        _ => Method::Get,
    }
}

fn read(input: &[u8]) -> Result<Option<Page>, Status> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    match head.parse(input) {
        Ok(httparse::Status::Partial) if input.len() < MAX_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) if head.path.is_none() => return Err(Status::UriTooLong),
        Ok(httparse::Status::Partial) => return Err(Status::HeadersTooLarge),
        Ok(httparse::Status::Complete(used)) if used > MAX_HEAD => {
            return Err(Status::HeadersTooLarge);
        }
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Status::HeadersTooLarge),
        Err(httparse::Error::Version) => match version(input) {
            None if input.len() < MAX_HEAD => return Ok(None),
            None => return Err(Status::UriTooLong),
            Some(version) if is_version(version) => return Err(Status::VersionNotSupported),
            Some(_) => return Err(Status::BadRequest),
        },
        Err(_) => return Err(Status::BadRequest),
    }
    match head.method {
        Some("GET" | "HEAD") => {}
        Some(method) if OTHER_METHODS.contains(&method) => return Err(Status::MethodNotAllowed),
        _ => return Err(Status::NotImplemented),
    }
    check_host(head.headers, head.version)?;
    check_no_body(head.headers)?;
    page_at(head.path.unwrap_or_default()).map(Some)
}

/// The last word of the first line, once the line is there.
fn version(input: &[u8]) -> Option<&[u8]> {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = input.iter().position(|byte| !is_end(byte))?;
    let rest = input.get(start..)?;
    let line = rest.get(..rest.iter().position(is_end)?)?;
    line.rsplit(|byte| *byte == b' ').next()
}

/// Whether that is one of HTTP, whichever.
fn is_version(word: &[u8]) -> bool {
    matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}

/// From version 1.1 on there is one and only one `Host`, and in any version it is one (RFC 9112, 3.2). Whose it is
/// we do not care.
fn check_host(headers: &[Header<'_>], version: Option<u8>) -> Result<(), Status> {
    let mut hosts = values(headers, "host");
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Some(0) => Ok(()),
        (Some(host), None) if is_host(host) => Ok(()),
        _ => Err(Status::BadRequest),
    }
}

/// What a name or an address with or without a port can consist of (RFC 3986, 3.2.2); nothing is something.
fn is_host(host: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte);
    host.iter().all(fits)
}

/// Nobody who asks for a page has something to say; and where a body ends is what one program and the next have
/// always disagreed on (RFC 9112, 11.2).
fn check_no_body(headers: &[Header<'_>]) -> Result<(), Status> {
    let mut has_body = false;
    let mut has_length = false;
    for length in values(headers, "content-length") {
        if length.is_empty() || !length.iter().all(u8::is_ascii_digit) {
            return Err(Status::BadRequest);
        }
        has_length = true;
        has_body |= length.iter().any(|digit| *digit != b'0');
    }
    if values(headers, "transfer-encoding").next().is_some() {
        if has_length {
            return Err(Status::BadRequest);
        }
        has_body = true;
    }
    match has_body {
        true => Err(Status::ContentTooLarge),
        false => Ok(()),
    }
}

/// The values of all headers of that name, which is in lower case.
fn values<'a>(headers: &'a [Header<'_>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named = headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| header.value.trim_ascii())
}

/// A target is a path, or an address with one, as proxies are told (RFC 9112, 3.2.2). What is asked of a page in a
/// query makes no difference; a fragment is nothing that is sent.
fn page_at(target: &str) -> Result<Page, Status> {
    if target.contains('#') {
        return Err(Status::BadRequest);
    }
    let path = match target.strip_prefix('/') {
        Some(_) => target,
        None => path_of_absolute(target).ok_or(Status::BadRequest)?,
    };
    let path = path.split('?').next().unwrap_or_default();
    match path {
        "" | "/" => Ok(Page::Status),
        "/metrics" => Ok(Page::Metrics),
        "/healthz" => Ok(Page::Health),
        _ => Err(Status::NotFound),
    }
}

/// What stands behind `http://HOST`.
fn path_of_absolute(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at_checked(end)?;
    (is_http && !host.is_empty() && is_host(host.as_bytes())).then_some(path)
}

/// Feeds bytes of anybody's choice: what is answered to a beginning of them is answered to all of them.
///
/// # Panics
///
/// When a rule of this room is broken.
pub fn fuzz(input: &[u8]) {
    let whole = parse(input);
    let first = (0..=input.len().min(MAX_HEAD)).find_map(|end| {
        let answer = parse(input.get(..end).unwrap_or_default());
        (answer != Ok(None)).then_some(answer)
    });
    match first {
        Some(Ok(first)) => assert_eq!(whole, Ok(first)),
        Some(Err(_)) => assert!(whole.is_err()),
        None => assert_eq!(whole, Ok(None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(page: Page) -> Result<Option<Request>, Refusal> {
        Ok(Some(Request {
            page,
            method: Method::Get,
        }))
    }

    fn head(page: Page) -> Result<Option<Request>, Refusal> {
        Ok(Some(Request {
            page,
            method: Method::Head,
        }))
    }

    fn no(status: Status) -> Result<Option<Request>, Refusal> {
        Err(Refusal {
            status,
            method: Method::Get,
        })
    }

    /// Whole requests, and what they come to.
    fn table() -> Vec<(String, Result<Option<Request>, Refusal>)> {
        use Page::{Health, Metrics};
        use Status::*;
        let host = "Host: localhost:9464\r\n\r\n";
        let with_host = |line: &str| format!("{line}\r\n{host}");
        let with = |header: &str| format!("GET /metrics HTTP/1.1\r\n{header}\r\n{host}");
        vec![
            (with_host("GET / HTTP/1.1"), get(Page::Status)),
            (with_host("GET /metrics HTTP/1.1"), get(Metrics)),
            (with_host("GET /healthz HTTP/1.1"), get(Health)),
            (with_host("HEAD /metrics HTTP/1.1"), head(Metrics)),
            (with_host("HEAD /healthz HTTP/1.1"), head(Health)),
            // Older, with or without the header that it does not need.
            ("GET /metrics HTTP/1.0\r\n\r\n".into(), get(Metrics)),
            (with_host("GET /metrics HTTP/1.0"), get(Metrics)),
            // By hand, in a terminal.
            ("GET /metrics HTTP/1.0\n\n".into(), get(Metrics)),
            // An empty line before it (RFC 9112, 2.2).
            (with_host("\r\nGET /metrics HTTP/1.1"), get(Metrics)),
            (with_host("\r\n\nHEAD /metrics HTTP/1.1"), head(Metrics)),
            // Queries, and targets as proxies are told.
            (with_host("GET /?x=/metrics HTTP/1.1"), get(Page::Status)),
            (with_host("GET /metrics?name[]=a HTTP/1.1"), get(Metrics)),
            (with_host("GET http://h/metrics?x HTTP/1.1"), get(Metrics)),
            (with_host("GET HTTPS://[::1]:1 HTTP/1.1"), get(Page::Status)),
            (with_host("GET http://h?x HTTP/1.1"), get(Page::Status)),
            (with_host("GET http:///metrics HTTP/1.1"), no(BadRequest)),
            (with_host("GET ftp://h/metrics HTTP/1.1"), no(BadRequest)),
            (with_host("GET http://a@b/ HTTP/1.1"), no(BadRequest)),
            (with_host("GET metrics HTTP/1.1"), no(BadRequest)),
            (with_host("GET * HTTP/1.1"), no(BadRequest)),
            (with_host("GET /metrics#x HTTP/1.1"), no(BadRequest)),
            // Pages that are not there.
            (with_host("GET /metrics/ HTTP/1.1"), no(NotFound)),
            (with_host("GET //metrics HTTP/1.1"), no(NotFound)),
            (with_host("GET /../etc/passwd HTTP/1.1"), no(NotFound)),
            (with_host("GET /favicon.ico HTTP/1.1"), no(NotFound)),
            (with_host("GET /Metrics HTTP/1.1"), no(NotFound)),
            (
                with_host("HEAD /nowhere HTTP/1.1"),
                Err(Refusal {
                    status: NotFound,
                    method: Method::Head,
                }),
            ),
            // Methods.
            (with_host("POST /metrics HTTP/1.1"), no(MethodNotAllowed)),
            (with_host("PUT /metrics HTTP/1.1"), no(MethodNotAllowed)),
            (with_host("DELETE / HTTP/1.1"), no(MethodNotAllowed)),
            (with_host("OPTIONS * HTTP/1.1"), no(MethodNotAllowed)),
            (with_host("TRACE / HTTP/1.1"), no(MethodNotAllowed)),
            (with_host("PATCH / HTTP/1.1"), no(MethodNotAllowed)),
            (with_host("CONNECT h:1 HTTP/1.1"), no(MethodNotAllowed)),
            (with_host("get /metrics HTTP/1.1"), no(NotImplemented)),
            (with_host("BREW / HTTP/1.1"), no(NotImplemented)),
            // Versions, and what is none.
            (with_host("GET /metrics HTTP/2.0"), no(VersionNotSupported)),
            (
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
                no(VersionNotSupported),
            ),
            (with_host("GET /metrics HTTP/0.9"), no(VersionNotSupported)),
            (with_host("GET /metrics HTTPS/1.1"), no(BadRequest)),
            (with_host("GET /metrics FTP/1"), no(BadRequest)),
            (with_host("GET /metrics"), no(BadRequest)),
            (with_host("GET  /metrics HTTP/1.1"), no(BadRequest)),
            (with_host(" GET /metrics HTTP/1.1"), no(BadRequest)),
            (with_host("G\u{e9}T /metrics HTTP/1.1"), no(BadRequest)),
            (with_host("GET /met\0rics HTTP/1.1"), no(BadRequest)),
            // Hosts.
            ("GET /metrics HTTP/1.1\r\n\r\n".into(), no(BadRequest)),
            (with("Host: other"), no(BadRequest)),
            (
                "GET /metrics HTTP/1.1\r\nhOST:\t[::1]:1 \r\n\r\n".into(),
                get(Metrics),
            ),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n".into(), get(Page::Status)),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), no(BadRequest)),
            ("GET / HTTP/1.0\r\nHost: a b\r\n\r\n".into(), no(BadRequest)),
            // Bodies.
            (with("Content-Length: 0"), get(Metrics)),
            (with("Content-Length: 00"), get(Metrics)),
            (with("Content-Length: 5"), no(ContentTooLarge)),
            (
                with("Content-Length: 99999999999999999999"),
                no(ContentTooLarge),
            ),
            (
                with("Content-Length: 0\r\nContent-Length: 1"),
                no(ContentTooLarge),
            ),
            (with("Content-Length: -1"), no(BadRequest)),
            (with("Content-Length: +0"), no(BadRequest)),
            (with("Content-Length: 0, 0"), no(BadRequest)),
            (with("Content-Length:"), no(BadRequest)),
            (with("Transfer-Encoding: chunked"), no(ContentTooLarge)),
            (
                with("Transfer-Encoding: chunked\r\nContent-Length: 0"),
                no(BadRequest),
            ),
            // Headers that are none.
            (with("Content-Length : 0"), no(BadRequest)),
            (with("X: a\r\n folded"), no(BadRequest)),
            (with(": empty"), no(BadRequest)),
            (with("no colon"), no(BadRequest)),
            (with("X: nul\0"), no(BadRequest)),
            // What is allowed and makes no difference.
            (with("X: \u{fc}ml\u{e4}ut"), get(Metrics)),
            (with("Expect: 100-continue"), get(Metrics)),
            (with("Connection: keep-alive"), get(Metrics)),
            (with("Accept: application/openmetrics-text"), get(Metrics)),
            // Too many, too long.
            (with(&"X: y\r\n".repeat(70)), no(HeadersTooLarge)),
        ]
    }

    #[test]
    fn every_request_comes_to_what_the_table_says_in_whatever_pieces() {
        for (request, expected) in table() {
            let bytes = request.as_bytes();
            assert_eq!(parse(bytes), expected, "{request:?}");
            let mut beginnings = (0..=bytes.len()).map(|end| parse(&bytes[..end]));
            let first = beginnings.find(|answer| *answer != Ok(None));
            assert_eq!(first, Some(expected), "byte by byte: {request:?}");
            if expected.is_ok() {
                let early = &bytes[..bytes.len() - 1];
                assert_eq!(parse(early), Ok(None), "one byte is missing: {request:?}");
                let two = [bytes, bytes].concat();
                assert_eq!(parse(&two), expected, "sent ahead: {request:?}");
            }
            fuzz(bytes);
        }
    }

    #[test]
    fn what_is_too_long_is_refused_by_what_is_too_long_of_it() {
        let long = "x".repeat(MAX_HEAD);
        let target = format!("GET /{long}");
        assert_eq!(
            parse(&target.as_bytes()[..MAX_HEAD]),
            no(Status::UriTooLong)
        );
        assert_eq!(parse(&target.as_bytes()[..MAX_HEAD - 1]), Ok(None));
        let header = format!("GET / HTTP/1.1\r\nX: {long}");
        let refused = parse(&header.as_bytes()[..MAX_HEAD]);
        assert_eq!(refused, no(Status::HeadersTooLarge));
        let whole = format!("{header}\r\nHost: a\r\n\r\n");
        assert_eq!(parse(whole.as_bytes()), no(Status::HeadersTooLarge));
        fuzz(whole.as_bytes());
        fuzz(target.as_bytes());
    }

    #[test]
    fn who_comes_with_something_else_is_told_soon() {
        // The first bytes of TLS, and of a chat protocol.
        for garbage in [&b"\x16\x03\x01\x02\x00"[..], &[215, 1, 0, 0]] {
            assert_eq!(parse(garbage), no(Status::BadRequest));
        }
    }
}
