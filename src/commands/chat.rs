//! `mynah chat`: asks for what the command line lacks, checks it, and hands it to the client.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use crate::chat::Name;
use crate::cli::{ChatArgs, ChatProtocol, TcpRoomArgs};
use crate::client::{self, Address, Dialect, Failure, Settings, Transport};
use crate::protocol::registry::Protocol;
use crate::protocol::tcp_room;

/// Talks until one side leaves. A failure is on standard error already when this returns.
pub fn run(args: ChatArgs) -> ExitCode {
    let result = match args.protocol {
        ChatProtocol::TcpRoom(args) => tcp_room(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be closed, which changes nothing.
            let _ = writeln!(io::stderr(), "mynah: {failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}

fn tcp_room(args: TcpRoomArgs) -> Result<(), Failure> {
    let protocol = Protocol::TcpRoom;
    let port = protocol.default_port();
    let mut missing = Vec::new();
    let address = given_or_asked(
        args.server,
        "HOST[:PORT]",
        "server",
        &mut missing,
        |given| Address::parse(given, port).map_err(|error| error.to_string()),
    )?;
    let name = given_or_asked(
        args.common.name,
        "--name NAME",
        "name",
        &mut missing,
        |given| Name::parse(given).map_err(|error| format!("{given:?} is not a name: {error}")),
    )?;
    let (Some(address), Some(name)) = (address, name) else {
        let missing = missing.join(" and ");
        return Err(usage(format!(
            "{missing} missing on the command line, and standard input is no terminal to ask on"
        )));
    };
    let settings = Settings {
        protocol: protocol.name(),
        transport: Transport::stream(address),
        dialect: Dialect::default(),
        json: args.common.json,
    };
    client::run(settings, |_| tcp_room::client::Session::new(name.as_str()))
}

/// What was given, or what the person at the terminal answers, checked. `None` when there is no terminal:
/// then its `flag` is added to what is missing.
fn given_or_asked<T>(
    given: Option<String>,
    flag: &'static str,
    question: &str,
    missing: &mut Vec<&'static str>,
    check: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Failure> {
    match given {
        Some(given) => check(&given).map(Some).map_err(usage),
        None if io::stdin().is_terminal() => ask(question, check).map(Some),
        None => {
            missing.push(flag);
            Ok(None)
        }
    }
}

/// Asks until the answer is right. Standard error carries the question: standard output is for events.
fn ask<T>(question: &str, check: impl Fn(&str) -> Result<T, String>) -> Result<T, Failure> {
    loop {
        let _ = write!(io::stderr(), "{question}: ").and_then(|()| io::stderr().flush());
        let mut answer = String::new();
        // A terminal gives a line at a time, so nothing is swallowed that was typed ahead for the client.
        let read = io::stdin().lock().read_line(&mut answer);
        if !matches!(read, Ok(1..)) {
            let _ = writeln!(io::stderr());
            return Err(usage(format!("no {question} was given")));
        }
        match check(answer.trim()) {
            Ok(checked) => return Ok(checked),
            Err(reason) => {
                let _ = writeln!(io::stderr(), "{reason}");
            }
        }
    }
}

fn usage(reason: String) -> Failure {
    Failure::Usage { reason }
}
