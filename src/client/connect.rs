//! Owns how a connection comes about: the look-up of the host, and one attempt after another at its
//! addresses. Knows nothing of what is said over it.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use mio::Token;
use mio::net::TcpStream;

use super::address::Address;
use super::failure::{Failure, said_in_passing};
use crate::reactor::{Helper, Poller, Signal, Signals, Urgency};

/// The tokens that are of interest while connecting.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    pub signals: Token,
    pub helper: Token,
    pub connection: Token,
}

/// What waiting came to.
enum Waited<T> {
    For(T),
    /// Somebody wants to leave.
    Interrupted,
}

/// How long one address may take: a host that drops packets would otherwise cost minutes.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// Connects to the first address of the host that takes us; `None` when a signal came first.
///
/// The stream stays registered as `tokens.connection`; what it was ready for may be lost, so begin by
/// trying.
pub fn connect(
    poller: &mut Poller,
    signals: &mut Signals,
    tokens: Tokens,
    address: &Address,
) -> Result<Option<(TcpStream, SocketAddr)>, Failure> {
    let found = match look_up(poller, signals, tokens, address)? {
        Waited::For(found) => found,
        Waited::Interrupted => return Ok(None),
    };
    let addresses = found.map_err(|error| unreachable(address, &said_in_passing(&error)))?;
    let mut failures = Vec::new();
    for address in addresses {
        match attempt(poller, signals, tokens, address) {
            Ok(Waited::For(stream)) => return Ok(Some((stream, address))),
            Ok(Waited::Interrupted) => return Ok(None),
            Err(error) => failures.push(format!("{address}: {}", said_in_passing(&error))),
        }
    }
    if failures.is_empty() {
        return Err(unreachable(address, "this name has no addresses"));
    }
    Err(Failure::Unreachable {
        reason: failures.join("; "),
    })
}

/// On the helper thread: the resolver blocks, and Ctrl-C is not to wait for it.
fn look_up(
    poller: &mut Poller,
    signals: &mut Signals,
    tokens: Tokens,
    address: &Address,
) -> Result<Waited<io::Result<Vec<SocketAddr>>>, Failure> {
    let port = address.port;
    if let Ok(ip) = address.host.parse::<IpAddr>() {
        return Ok(Waited::For(Ok(vec![SocketAddr::new(ip, port)])));
    }
    let helper = poller
        .waker(tokens.helper)
        .and_then(Helper::start)
        .map_err(Failure::system("starting the name look-up"))?;
    let host = address.host.clone();
    let job = move || Ok((host, port).to_socket_addrs()?.collect());
    helper
        .submit(Urgency::Later, job)
        .expect("invariant: one job does not fill the queue");
    loop {
        if let Some(found) = helper.finished() {
            return Ok(Waited::For(found));
        }
        let interrupted =
            wait(poller, signals, tokens, None).map_err(Failure::system("waiting for the name"))?;
        if interrupted {
            return Ok(Waited::Interrupted);
        }
    }
}

fn attempt(
    poller: &mut Poller,
    signals: &mut Signals,
    tokens: Tokens,
    address: SocketAddr,
) -> io::Result<Waited<TcpStream>> {
    let deadline = Instant::now() + ATTEMPT_LIMIT;
    let mut stream = TcpStream::connect(address)?;
    poller.register(&mut stream, tokens.connection)?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let limit = ATTEMPT_LIMIT.as_secs();
            return Err(io::Error::other(format!("no answer within {limit} s")));
        }
        if wait(poller, signals, tokens, Some(left))? {
            return Ok(Waited::Interrupted);
        }
        // What mio says about a connection under way: the error first, then whether there is a peer.
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            Ok(_) => {
                // A line is one small frame, and nothing comes behind it that it could wait for.
                stream.set_nodelay(true)?;
                return Ok(Waited::For(stream));
            }
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
            Err(error) => return Err(error),
        }
    }
}

/// Waits once; whether a signal asked us to leave.
fn wait(
    poller: &mut Poller,
    signals: &mut Signals,
    tokens: Tokens,
    limit: Option<Duration>,
) -> io::Result<bool> {
    // All of them, or a later edge of what was left out would never come.
    let signalled = poller.wait(limit)?.fold(false, |signalled, readiness| {
        signalled | (readiness.token == tokens.signals)
    });
    Ok(signalled
        && signals
            .pending()
            .any(|signal| signal != Signal::WindowChange))
}

fn unreachable(address: &Address, reason: &str) -> Failure {
    Failure::Unreachable {
        reason: format!("{address}: {reason}"),
    }
}
