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
#[derive(Debug)]
pub enum Waited<T> {
    For(T),
    /// Somebody wants to leave.
    Interrupted,
}

/// How long one address may take: a host that drops packets would otherwise cost minutes.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);

/// Looks up names and connects, with an ear for signals.
pub struct Connector<'a> {
    poller: &'a mut Poller,
    signals: &'a mut Signals,
    tokens: Tokens,
    /// The resolver blocks, and Ctrl-C is not to wait for it. Started for the first name.
    helper: Option<Helper<io::Result<Vec<SocketAddr>>>>,
}

impl<'a> Connector<'a> {
    pub fn new(poller: &'a mut Poller, signals: &'a mut Signals, tokens: Tokens) -> Connector<'a> {
        Connector {
            poller,
            signals,
            tokens,
            helper: None,
        }
    }

    /// The poller, for whoever registers something else.
    pub fn poller(&self) -> &Poller {
        self.poller
    }

    /// Connects to the first address of the host that takes us.
    ///
    /// The stream stays registered as `tokens.connection`; what it was ready for may be lost, so begin by
    /// trying.
    pub fn connect(
        &mut self,
        address: &Address,
    ) -> Result<Waited<(TcpStream, SocketAddr)>, Failure> {
        let addresses = match self.look_up(address)? {
            Waited::For(found) => found,
            Waited::Interrupted => return Ok(Waited::Interrupted),
        };
        let mut failures = Vec::new();
        for address in addresses {
            match self.attempt(address) {
                Ok(Waited::For(stream)) => return Ok(Waited::For((stream, address))),
                Ok(Waited::Interrupted) => return Ok(Waited::Interrupted),
                Err(error) => failures.push(format!("{address}: {}", said_in_passing(&error))),
            }
        }
        Err(Failure::Unreachable {
            reason: failures.join("; "),
        })
    }

    /// The addresses of a host, at least one.
    pub fn look_up(&mut self, address: &Address) -> Result<Waited<Vec<SocketAddr>>, Failure> {
        let port = address.port;
        if let Ok(ip) = address.host.parse::<IpAddr>() {
            return Ok(Waited::For(vec![SocketAddr::new(ip, port)]));
        }
        let helper = match self.helper.take() {
            Some(helper) => helper,
            None => self
                .poller
                .waker(self.tokens.helper)
                .and_then(Helper::start)
                .map_err(Failure::system("starting the name look-up"))?,
        };
        let host = address.host.clone();
        let job = move || Ok((host, port).to_socket_addrs()?.collect());
        helper
            .submit(Urgency::Later, job)
            .expect("invariant: one job does not fill the queue");
        let helper = self.helper.insert(helper);
        loop {
            if let Some(found) = helper.finished() {
                let found: Vec<SocketAddr> =
                    found.map_err(|error| unreachable(address, &said_in_passing(&error)))?;
                if found.is_empty() {
                    return Err(unreachable(address, "this name has no addresses"));
                }
                return Ok(Waited::For(found));
            }
            let interrupted = wait(self.poller, self.signals, self.tokens, None)
                .map_err(Failure::system("waiting for the name"))?;
            if interrupted {
                return Ok(Waited::Interrupted);
            }
        }
    }

    fn attempt(&mut self, address: SocketAddr) -> io::Result<Waited<TcpStream>> {
        let deadline = Instant::now() + ATTEMPT_LIMIT;
        let mut stream = TcpStream::connect(address)?;
        self.poller.register(&mut stream, self.tokens.connection)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let limit = ATTEMPT_LIMIT.as_secs();
                return Err(io::Error::other(format!("no answer within {limit} s")));
            }
            if wait(self.poller, self.signals, self.tokens, Some(left))? {
                return Ok(Waited::Interrupted);
            }
            if is_connected(&stream)? {
                return Ok(Waited::For(stream));
            }
        }
    }
}

/// Whether a connection under way has come about; an error when it never will.
pub fn is_connected(stream: &TcpStream) -> io::Result<bool> {
    // What mio says about it: the error first, then whether there is a peer.
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => {
            // A line is one small frame, and nothing comes behind it that it could wait for.
            stream.set_nodelay(true)?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
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
