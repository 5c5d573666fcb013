//! Owns how a client comes about and ends: its sockets are opened, its session is made, and the two and a
//! person have their [`Conversation`]. Knows no protocol.

use mio::Token;

use super::connect::{self, Connector, Waited};
use super::console::Console;
use super::conversation::Conversation;
use super::failure::Failure;
use super::input::{Dialect, Input};
use super::sockets::{self, Sockets};
use super::transport::{Endpoints, Transport};
use crate::protocol::AnySession;
use crate::reactor::{Poller, Signal, Signals};

/// What a client is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The protocol's name, for what it has nothing for.
    pub protocol: &'static str,
    /// What carries it.
    pub transport: Transport,
    /// What can be typed.
    pub dialect: Dialect,
    /// An object a line instead of lines for people.
    pub json: bool,
}

pub(super) const SIGNALS: Token = Token(0);
const HELPER: Token = Token(1);
const INPUT: Token = Token(2);
const OUTPUT: Token = Token(3);
const CONNECTION: Token = Token(4);
const FIRST_PORT: Token = Token(5);
const FIRST_PEER: Token = Token(7);

/// Opens what carries the session, makes it, and has the person talk by means of it until one side leaves.
///
/// Reads standard input, writes standard output, and catches SIGINT, SIGTERM, SIGHUP and SIGWINCH for the
/// rest of the process's life. What it returns is for standard error; the terminal is as it was.
pub fn run(
    settings: Settings,
    session: Box<dyn FnOnce(&Endpoints) -> AnySession + '_>,
) -> Result<(), Failure> {
    let mut poller = Poller::new().map_err(Failure::system("opening a poll"))?;
    let caught = [
        Signal::Interrupt,
        Signal::Terminate,
        Signal::Hangup,
        Signal::WindowChange,
    ];
    let mut signals =
        Signals::new(&poller, SIGNALS, &caught).map_err(Failure::system("catching signals"))?;
    let tokens = connect::Tokens {
        signals: SIGNALS,
        helper: HELPER,
        connection: CONNECTION,
    };
    let mut connector = Connector::new(&mut poller, &mut signals, tokens);
    let tokens = sockets::Tokens {
        connection: CONNECTION,
        first_port: FIRST_PORT,
        first_peer: FIRST_PEER,
    };
    let sockets = match Sockets::open(&mut connector, &settings.transport, tokens)? {
        Waited::For(sockets) => sockets,
        Waited::Interrupted => return Ok(()),
    };
    let console = Console::open(&poller, INPUT, OUTPUT, settings.json)
        .map_err(Failure::system("taking over standard input and output"))?;
    let session = session(sockets.endpoints());
    let input = Input::new(settings.dialect);
    Conversation::new(session, sockets, console, settings.protocol, input)
        .run(&mut poller, &mut signals)
}
