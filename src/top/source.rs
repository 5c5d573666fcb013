//! Owns how a server is asked for its figures: over its control socket, or over HTTP. Knows nothing of what they mean.
//!
//! Asking blocks, for [`PATIENCE`] at most, so it is work for the helper thread.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::client::{Address, AddressError};
use crate::control::{Last, Request};

/// Where figures come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The control socket of a server on this machine.
    Control(PathBuf),
    /// The server's `metrics` socket, or a proxy in front of it.
    Http {
        address: Address,
        /// Begins with `/`.
        path: String,
    },
}

/// The port of `metrics` where none is named, as in the README: the first that Prometheus' exporters leave free.
pub const DEFAULT_PORT: u16 = 9464;

/// How long one asking may take, the look-up of a name aside.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer is some 10 kB; what is so long is none.
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Why a server could not be asked, or did not answer with figures.
#[derive(Debug)]
pub enum SourceError {
    /// Nobody is there, or we may not go there.
    Unreachable { error: io::Error },
    /// It did not answer in time.
    TooSlow,
    /// The connection broke.
    Lost { error: io::Error },
    /// The answer is longer than figures are.
    TooLong,
    /// What came is no HTTP.
    NotHttp,
    /// Whoever is there has no figures for us: an HTTP status.
    Status { code: u16 },
    /// The server said over its control socket why not.
    Refused { reason: String },
    /// The answer is not what a server of ours says.
    NotUnderstood { reason: String },
}

/// Why a text names no source.
#[derive(Debug, PartialEq, Eq)]
pub enum TargetError {
    Address(AddressError),
    /// `https`, or anything else but `http`.
    Scheme {
        scheme: String,
    },
}

/// See [`Source::parse`].
impl FromStr for Source {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Source, TargetError> {
        Source::parse(text)
    }
}

impl Source {
    /// Reads `HOST`, `HOST:PORT` or `http://HOST:PORT/PATH`; without a path it is `/metrics`, without a port
    /// [`DEFAULT_PORT`] (in a URL, 80).
    pub fn parse(text: &str) -> Result<Source, TargetError> {
        let (place, path, port) = match text.split_once("://") {
            None => (text, "", DEFAULT_PORT),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
                let rest = rest.split('#').next().unwrap_or(rest);
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (place, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
                (place, path, 80)
            }
            Some((scheme, _)) => {
                let scheme = scheme.to_owned();
                return Err(TargetError::Scheme { scheme });
            }
        };
        let address = Address::parse(place, port).map_err(TargetError::Address)?;
        let path = match path {
            "" | "/" => "/metrics".to_owned(),
            // A request line is printable ASCII without a blank.
            path => path.chars().map(percent_encoded).collect(),
        };
        Ok(Source::Http { address, path })
    }

    /// What the server says of itself now, in Prometheus' text format.
    pub fn ask(&self) -> Result<String, SourceError> {
        let deadline = Instant::now() + PATIENCE;
        let answer = match self {
            Source::Control(path) => {
                let stream = UnixStream::connect(path).map_err(unreachable)?;
                exchange(stream, &Request::Metrics.encode(), deadline)?
            }
            Source::Http { address, path } => {
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
                     Accept: text/plain\r\nUser-Agent: mynah/{}\r\n\r\n",
                    env!("CARGO_PKG_VERSION")
                );
                exchange(connect(address, deadline)?, request.as_bytes(), deadline)?
            }
        };
        match self {
            Source::Control(_) => of_control(&answer),
            Source::Http { .. } => of_http(&answer),
        }
    }
}

fn percent_encoded(c: char) -> String {
    if c.is_ascii_graphic() {
        return c.to_string();
    }
    let mut bytes = [0; 4];
    let encoded = c.encode_utf8(&mut bytes).bytes();
    encoded.map(|byte| format!("%{byte:02X}")).collect()
}

/// Tries all addresses of the host, and says of the last one why not.
fn connect(address: &Address, deadline: Instant) -> Result<TcpStream, SourceError> {
    let found = (address.host.as_str(), address.port).to_socket_addrs();
    let mut failure = io::Error::other("this name has no addresses");
    for address in found.map_err(unreachable)? {
        let left = time_left(deadline)?;
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(unreachable(failure))
}

/// A stream whose reads and writes can end.
trait Timed: Read + Write {
    fn set_timeouts(&self, limit: Duration) -> io::Result<()>;
}

impl Timed for TcpStream {
    fn set_timeouts(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }
}

impl Timed for UnixStream {
    fn set_timeouts(&self, limit: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }
}

/// Sends the request, and reads all that comes up to the end.
fn exchange(
    mut stream: impl Timed,
    request: &[u8],
    deadline: Instant,
) -> Result<Vec<u8>, SourceError> {
    stream.set_timeouts(time_left(deadline)?).map_err(lost)?;
    stream.write_all(request).map_err(lost)?;
    let mut answer = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        stream.set_timeouts(time_left(deadline)?).map_err(lost)?;
        let count = match stream.read(&mut piece) {
            Ok(0) => return Ok(answer),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(lost(error)),
        };
        answer.extend_from_slice(piece.get(..count).unwrap_or_default());
        if answer.len() > MAX_ANSWER_BYTES {
            return Err(SourceError::TooLong);
        }
    }
}

/// What is left of the time; never nothing, which would be no limit (socket(7), `SO_RCVTIMEO`).
fn time_left(deadline: Instant) -> Result<Duration, SourceError> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(SourceError::TooSlow),
        false => Ok(left),
    }
}

/// The text in a whole answer over HTTP (RFC 9112).
fn of_http(answer: &[u8]) -> Result<String, SourceError> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(answer).map_err(|_| SourceError::NotHttp)?;
    let (httparse::Status::Complete(head), Some(code)) = (parsed, response.code) else {
        return Err(SourceError::NotHttp);
    };
    if code != 200 {
        return Err(SourceError::Status { code });
    }
    let header = |name: &str| {
        let same = |header: &&httparse::Header| header.name.eq_ignore_ascii_case(name);
        let value = response.headers.iter().find(same)?.value;
        Some(String::from_utf8_lossy(value).trim().to_owned())
    };
    let body = answer.get(head..).unwrap_or_default();
    if let Some(encoding) = header("transfer-encoding") {
        let reason = format!("its transfer encoding is {encoding:?}, which is not read here");
        return Err(SourceError::NotUnderstood { reason });
    }
    let body = match header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        None => body,
        Some(length) => body.get(..length).ok_or_else(|| SourceError::Lost {
            error: io::ErrorKind::UnexpectedEof.into(),
        })?,
    };
    String::from_utf8(body.to_vec()).map_err(|_| SourceError::NotUnderstood {
        reason: "it is no UTF-8".to_owned(),
    })
}

/// The text in the answer over the control socket: what its last line of JSON has.
fn of_control(answer: &[u8]) -> Result<String, SourceError> {
    let mut lines = answer.split_inclusive(|&byte| byte == b'\n');
    let last = lines.next_back().and_then(Last::decode);
    match last.map(|last| (last.metrics, last.error)) {
        Some((Some(metrics), _)) => Ok(metrics),
        Some((None, Some(reason))) => Err(SourceError::Refused { reason }),
        Some((None, None)) => Err(SourceError::NotUnderstood {
            reason: "it has no figures".to_owned(),
        }),
        None if answer.is_empty() => Err(SourceError::Lost {
            error: io::ErrorKind::UnexpectedEof.into(),
        }),
        None => Err(SourceError::NotUnderstood {
            reason: "it does not end with how it went".to_owned(),
        }),
    }
}

fn unreachable(error: io::Error) -> SourceError {
    match is_timeout(&error) {
        true => SourceError::TooSlow,
        false => SourceError::Unreachable { error },
    }
}

fn lost(error: io::Error) -> SourceError {
    match is_timeout(&error) {
        true => SourceError::TooSlow,
        false => SourceError::Lost { error },
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Control(path) => write!(f, "{}", path.display()),
            Source::Http { address, path } if path == "/metrics" => write!(f, "{address}"),
            Source::Http { address, path } => write!(f, "http://{address}{path}"),
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::Unreachable { error } | SourceError::Lost { error } => {
                write!(f, "{error}")
            }
            SourceError::TooSlow => write!(f, "no answer within {} s", PATIENCE.as_secs()),
            SourceError::TooLong => write!(
                f,
                "the answer is longer than {} MiB, which no figures are",
                MAX_ANSWER_BYTES >> 20
            ),
            SourceError::NotHttp => f.write_str("what answers there does not speak HTTP"),
            SourceError::Status { code } => write!(
                f,
                "what answers there has no figures: HTTP status {code}; is it the metrics socket?"
            ),
            SourceError::Refused { reason } => write!(f, "the server says: {reason}"),
            SourceError::NotUnderstood { reason } => {
                write!(f, "the answer is not understood: {reason}")
            }
        }
    }
}

impl std::error::Error for SourceError {}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetError::Address(error) => write!(f, "{error}"),
            TargetError::Scheme { scheme } => write!(
                f,
                "{scheme:?} is not spoken: it is HOST[:PORT] or http://HOST[:PORT]/PATH"
            ),
        }
    }
}

impl std::error::Error for TargetError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_target() {
        let table = [
            ("localhost", "localhost", 9464, "/metrics", "localhost:9464"),
            (
                "10.0.0.7:9100",
                "10.0.0.7",
                9100,
                "/metrics",
                "10.0.0.7:9100",
            ),
            ("[::1]:1", "::1", 1, "/metrics", "[::1]:1"),
            ("http://a", "a", 80, "/metrics", "a:80"),
            ("HTTP://a:81/", "a", 81, "/metrics", "a:81"),
            ("http://a/b c", "a", 80, "/b%20c", "http://a:80/b%20c"),
            (
                "http://[::1]:2/m?x#y",
                "::1",
                2,
                "/m?x",
                "http://[::1]:2/m?x",
            ),
        ];
        for (text, host, port, path, shown) in table {
            let source = Source::parse(text).unwrap();
            let expected = Source::Http {
                address: Address {
                    host: host.into(),
                    port,
                },
                path: path.into(),
            };
            assert_eq!(source, expected, "{text}");
            assert_eq!(source.to_string(), shown);
        }
        let scheme = Source::parse("https://a").unwrap_err().to_string();
        assert!(scheme.starts_with("\"https\" is not spoken"), "{scheme}");
        let port = Source::parse("a:b").unwrap_err().to_string();
        assert!(port.starts_with("\"b\" is not a port"), "{port}");
    }

    #[test]
    fn an_answer_over_http_is_taken_apart() {
        let table = [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nup 1more",
                "up 1",
            ),
            ("HTTP/1.0 200 OK\r\n\r\nup 1", "up 1"),
            (
                "HTTP/1.1 404 Not Found\r\n\r\n",
                "what answers there has no figures: HTTP status 404; is it the metrics socket?",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nup 1",
                "unexpected end of file",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "the answer is not understood: its transfer encoding is \"chunked\", which is not read here",
            ),
            ("SSH-2.0-x\r\n", "what answers there does not speak HTTP"),
            (
                "HTTP/1.1 200 OK\r\nServer: x",
                "what answers there does not speak HTTP",
            ),
            ("", "what answers there does not speak HTTP"),
        ];
        for (answer, expected) in table {
            let read = of_http(answer.as_bytes());
            let text = read.unwrap_or_else(|error| error.to_string());
            assert_eq!(text, expected, "{answer}");
        }
        assert!(of_http(b"HTTP/1.1 200 OK\r\n\r\n\xff").is_err());
    }

    #[test]
    fn an_answer_over_the_control_socket_ends_with_the_figures() {
        let table = [
            (
                "{\"done\":true,\"metrics\":\"up 1\\nx 2\\n\"}\n",
                "up 1\nx 2\n",
            ),
            (
                "{\"error\":\"not now\",\"kind\":\"busy\"}\n",
                "the server says: not now",
            ),
            (
                "{\"done\":true}\n",
                "the answer is not understood: it has no figures",
            ),
            (
                "{\"name\":\"ann\"}\n",
                "the answer is not understood: it does not end with how it went",
            ),
            (
                "{\"done\":true,\"metrics\":\"up",
                "the answer is not understood: it does not end with how it went",
            ),
            ("", "unexpected end of file"),
        ];
        for (answer, expected) in table {
            let read = of_control(answer.as_bytes());
            let text = read.unwrap_or_else(|error| error.to_string());
            assert_eq!(text, expected, "{answer}");
        }
    }
}
