//! Owns the client's loop: what a person types goes to the session and over the connection, and what comes
//! back is shown. Knows no protocol, only [`ClientSession`].
//!
//! A turn is: wait; take in what signals, the connection and the person have; let what is due fall due;
//! send out to both sides; let go of what has nothing more to send. Nothing in it blocks, and what one side does not take stops the reading of the
//! other, never the hearing of Ctrl-C.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chrono::Timelike;
use mio::Token;

use super::address::Address;
use super::connect::{self, connect};
use super::console::{Console, Typed};
use super::failure::{Failure, said_in_passing};
use super::input;
use super::link::{Link, Received};
use super::show::Event;
use crate::chat::TimeOfDay;
use crate::protocol::{ClientSession, Command, Context, Outbound, Told, Unsupported};
use crate::reactor::{Poller, Readiness, Signal, Signals, Stream};

/// What a client is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The protocol's name, for what it has nothing for.
    pub protocol: &'static str,
    /// The server.
    pub address: Address,
    /// An object a line instead of lines for people.
    pub json: bool,
}

const SIGNALS: Token = Token(0);
const HELPER: Token = Token(1);
const CONNECTION: Token = Token(2);
const INPUT: Token = Token(3);
const OUTPUT: Token = Token(4);

/// How long a server may take to let us in.
const JOINING_LIMIT: Duration = Duration::from_secs(30);

/// How long nothing may be sent and nothing confirmed after the input's end, while something should be.
const CONFIRMATION_LIMIT: Duration = Duration::from_secs(5);

/// How long leaving may take: the rest of the output, and then the server's own goodbye.
const LEAVING_LIMIT: Duration = Duration::from_secs(2);

/// Reads from the connection per turn, so that a server which never stops talking leaves room for a person.
const READS_PER_TURN: usize = 8;

/// Connects, and has the person talk by means of `session` until one side leaves.
///
/// Reads standard input, writes standard output, and catches SIGINT, SIGTERM, SIGHUP and SIGWINCH for the
/// rest of the process's life. What it returns is for standard error; the terminal is as it was.
pub fn run<S: ClientSession>(session: S, settings: Settings) -> Result<(), Failure> {
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
    let connected = connect(&mut poller, &mut signals, tokens, &settings.address)?;
    let Some((stream, server)) = connected else {
        return Ok(());
    };
    let console = Console::open(&poller, INPUT, OUTPUT, settings.json)
        .map_err(Failure::system("taking over standard input and output"))?;
    let conversation = Conversation::new(session, Link::new(stream), console, server, settings);
    conversation.run(&mut poller, &mut signals)
}

/// One connection and one person.
struct Conversation<S, T> {
    session: S,
    link: Link<T>,
    console: Console,
    /// For what is said about the connection.
    server: SocketAddr,
    settings: Settings,
    stage: Stage,
    /// Typed and not looked at, because we are not in yet.
    typed: VecDeque<String>,
    /// Somebody asked us to go, so nothing may last longer than this any more.
    hurry: Option<Instant>,
}

/// ```text
///            let in      input's end     all answered      FIN
///   Joining ────────▶ Talking ────▶ Finishing ────▶ Leaving ────▶ Over
///      │                 │              │              ▲           ▲
///      ├─────────────────┴──────────────┴─ Ctrl-C, ────┘           │
///      │                                   /quit                   │
///      └───────────────── (from any) lost, refused ────────────────┘
/// ```
enum Stage {
    /// The server has not let us in yet.
    Joining { deadline: Instant },
    /// In.
    Talking,
    /// There is no more input. `progress` is how far things were when the deadline was set.
    Finishing {
        deadline: Instant,
        progress: Progress,
    },
    /// The last bytes go out, then our half closes, then the server's. `confirm` says whether what is not
    /// confirmed by then is a failure.
    Leaving { deadline: Instant, confirm: bool },
    /// The connection is gone; what is still to be read on standard output is waited for.
    Over { result: Result<(), Failure> },
}

/// Grows as long as a server takes what we send and answers it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Progress {
    sent: u64,
    unanswered: usize,
}

impl<S: ClientSession, T: Stream> Conversation<S, T> {
    fn new(
        mut session: S,
        mut link: Link<T>,
        console: Console,
        server: SocketAddr,
        settings: Settings,
    ) -> Conversation<S, T> {
        let mut out = Outbound::default();
        session.start(&mut Context {
            now: Instant::now(),
            time: local_time(),
            told: &mut Vec::new(),
            out: &mut out,
        });
        link.output().append(&mut out.stream);
        Conversation {
            session,
            link,
            console,
            server,
            settings,
            stage: Stage::Joining {
                deadline: Instant::now() + JOINING_LIMIT,
            },
            typed: VecDeque::new(),
            hurry: None,
        }
    }

    fn run(mut self, poller: &mut Poller, signals: &mut Signals) -> Result<(), Failure> {
        self.send_out();
        loop {
            if let Stage::Over { result } = &mut self.stage
                && self.console.is_drained()
            {
                let result = std::mem::replace(result, Ok(()));
                // What was to be shown and could not be is lost, however politely we left.
                let lost = self.console.take_failure().map_or(Ok(()), Err);
                return result.and(lost.map_err(Failure::system("writing standard output")));
            }
            let mut signalled = false;
            let waited = poller.wait(self.timeout(Instant::now()));
            for readiness in waited.map_err(Failure::system("waiting"))? {
                signalled |= readiness.token == SIGNALS;
                self.handle_readiness(readiness);
            }
            if signalled {
                signals
                    .pending()
                    .for_each(|signal| self.handle_signal(signal));
            }
            self.receive();
            self.take_in();
            self.fall_due(Instant::now());
            self.send_out();
            self.let_go();
        }
    }

    /// Until when there is nothing to do, unless the poll says so.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let at_once = (self.wants_connection() && self.link.may_receive())
            || (self.wants_input() && self.console.has_input())
            || self.console.can_send_out();
        if at_once {
            return Some(Duration::ZERO);
        }
        let due = match &self.stage {
            Stage::Joining { deadline }
            | Stage::Finishing { deadline, .. }
            | Stage::Leaving { deadline, .. } => Some(*deadline),
            Stage::Talking | Stage::Over { .. } => None,
        };
        let next = due.into_iter().chain(self.hurry).min()?;
        Some(next.saturating_duration_since(now))
    }

    /// With too much waiting to be read, nothing more is got: the server will see it by its own means.
    fn wants_connection(&self) -> bool {
        !matches!(self.stage, Stage::Over { .. }) && !self.console.is_congested()
    }

    /// Keys are always read, for Ctrl-C is one of them. Lines are, when they can be said.
    fn wants_input(&self) -> bool {
        match self.stage {
            _ if self.console.is_terminal() => true,
            Stage::Talking => !self.link.is_congested() && !self.console.is_congested(),
            Stage::Joining { .. }
            | Stage::Finishing { .. }
            | Stage::Leaving { .. }
            | Stage::Over { .. } => false,
        }
    }

    fn handle_readiness(&mut self, readiness: Readiness) {
        if readiness.token == CONNECTION {
            self.link.handle_readiness(readiness);
        }
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Interrupt | Signal::Terminate | Signal::Hangup => self.interrupt(),
            Signal::WindowChange => self.console.resize(),
        }
    }

    /// Asked politely once, we leave politely; asked twice, at once.
    fn interrupt(&mut self) {
        let now = Instant::now();
        let insisted = self.hurry.is_some();
        self.hurry = Some(if insisted { now } else { now + LEAVING_LIMIT });
        match self.stage {
            Stage::Leaving { .. } if insisted => self.end(Ok(())),
            Stage::Over { .. } => {}
            Stage::Joining { .. }
            | Stage::Talking
            | Stage::Finishing { .. }
            | Stage::Leaving { .. } => self.leave(false),
        }
    }

    fn receive(&mut self) {
        for _ in 0..READS_PER_TURN {
            if !self.wants_connection() || !self.link.may_receive() {
                return;
            }
            match self.link.receive() {
                Ok(Received::Bytes) => self.handle_bytes(),
                Ok(Received::Nothing) => return,
                Ok(Received::End) => self.handle_end(None),
                Err(error) => self.handle_end(Some(&error)),
            }
        }
    }

    fn handle_bytes(&mut self) {
        let mut told = Vec::new();
        let mut out = Outbound::default();
        let mut context = Context {
            now: Instant::now(),
            time: local_time(),
            told: &mut told,
            out: &mut out,
        };
        let used = self.session.handle_bytes(self.link.input(), &mut context);
        self.link.output().append(&mut out.stream);
        for told in told {
            match told {
                Told::Refused { reason } => {
                    let server = self.server.to_string();
                    return self.fail(Failure::Refused { server, reason });
                }
                told => self.console.show(&Event::Told(told)),
            }
        }
        match used {
            Ok(used) => self.link.use_up(used),
            Err(violation) => {
                return self.lose(&format!("the server broke the protocol: {violation}"));
            }
        }
        if matches!(self.stage, Stage::Joining { .. }) && self.session.is_joined() {
            self.stage = Stage::Talking;
            self.handle_typed();
        }
    }

    /// The server's half of the connection is over.
    fn handle_end(&mut self, error: Option<&io::Error>) {
        let how = match error {
            None => "the server closed the connection".to_owned(),
            Some(error) => said_in_passing(error),
        };
        match self.stage {
            // It is the answer to our own end, or as good as that. A reset is not: the server had cut us.
            Stage::Leaving { confirm: true, .. } | Stage::Finishing { .. }
                if error.is_none() && self.is_all_answered() =>
            {
                self.end(Ok(()));
            }
            Stage::Joining { .. } => self.lose(&format!("{how} before it let us in")),
            Stage::Talking if !self.link.input().is_empty() => {
                self.lose(&format!("{how} in the middle of a message"));
            }
            Stage::Talking
            | Stage::Finishing { .. }
            | Stage::Leaving { .. }
            | Stage::Over { .. } => self.lose(&how),
        }
    }

    fn take_in(&mut self) {
        if !self.wants_input() {
            return;
        }
        let mut typed = Vec::new();
        self.console.take_in(&mut typed);
        for typed in typed {
            match typed {
                Typed::Line(line) => self.typed.push_back(line),
                // It was hung up: nobody is there to wait for confirmations.
                Typed::End if self.console.is_terminal() => self.leave(false),
                Typed::End => {
                    self.handle_typed();
                    self.finish();
                }
                Typed::Leave => self.interrupt(),
            }
        }
        self.handle_typed();
    }

    fn handle_typed(&mut self) {
        while matches!(self.stage, Stage::Talking)
            && let Some(line) = self.typed.pop_front()
        {
            self.handle_line(&line);
        }
    }

    fn handle_line(&mut self, line: &str) {
        match input::parse(line) {
            input::Typed::Nothing => {}
            input::Typed::Say(text) => {
                for text in input::messages(text) {
                    self.command(Command::Say(&text), "public messages");
                }
            }
            input::Typed::Direct { to, text } => {
                for text in input::messages(text) {
                    self.command(Command::Direct { to, text: &text }, "/msg");
                }
            }
            input::Typed::Who => self.command(Command::Who, "/who"),
            input::Typed::Help => input::HELP.iter().for_each(|line| self.notice(line)),
            // A script that ends with it wants to know what became of its lines, a person wants to go.
            input::Typed::Leave if self.console.is_terminal() => self.leave(false),
            input::Typed::Leave => self.finish(),
            input::Typed::Incomplete { usage } => self.notice(&format!("usage: {usage}")),
            input::Typed::Unknown { word } => self.notice(&format!(
                "there is no command /{word}: /help lists them, and //{word} says /{word}"
            )),
        }
    }

    fn command(&mut self, command: Command<'_>, what: &str) {
        let mut out = Outbound::default();
        let done = self.session.handle_command(
            command,
            &mut Context {
                now: Instant::now(),
                time: local_time(),
                told: &mut Vec::new(),
                out: &mut out,
            },
        );
        self.link.output().append(&mut out.stream);
        if let Err(Unsupported) = done {
            self.notice(&format!(
                "{} has nothing for {what}",
                self.settings.protocol
            ));
        }
    }

    fn notice(&mut self, text: &str) {
        let text = text.to_owned();
        self.console.show(&Event::Told(Told::Notice { text }));
    }

    fn fall_due(&mut self, now: Instant) {
        let progress = self.progress();
        let answered = self.is_all_answered();
        let congested = self.console.is_congested();
        match &mut self.stage {
            // What keeps us from hearing the answer is our own reader, who may take any time.
            Stage::Joining { deadline } if congested => *deadline = now + JOINING_LIMIT,
            Stage::Joining { deadline } if *deadline <= now => {
                let limit = JOINING_LIMIT.as_secs();
                self.lose(&format!("the server did not let us in within {limit} s"));
            }
            Stage::Finishing {
                deadline,
                progress: last,
            } if congested || *last != progress => {
                *last = progress;
                *deadline = now + CONFIRMATION_LIMIT;
            }
            Stage::Finishing { deadline, .. } if *deadline <= now => self.leave(true),
            Stage::Leaving { deadline, confirm } if *deadline <= now => {
                if *confirm && !answered {
                    self.lose("the server does not answer");
                } else {
                    self.end(Ok(()));
                }
            }
            Stage::Joining { .. }
            | Stage::Talking
            | Stage::Finishing { .. }
            | Stage::Leaving { .. }
            | Stage::Over { .. } => {}
        }
        if self.hurry.is_some_and(|hurry| hurry <= now) {
            self.end(Ok(()));
            self.console.abandon();
        }
    }

    fn send_out(&mut self) {
        self.link.send_out();
        self.console.send_out();
    }

    /// What became due by sending out: nothing else would wake us for it.
    fn let_go(&mut self) {
        if self.console.is_gone() && !matches!(self.stage, Stage::Leaving { confirm: false, .. }) {
            self.leave(false);
        }
        if matches!(self.stage, Stage::Finishing { .. }) && self.is_all_answered() {
            self.leave(true);
        }
        if let Stage::Leaving { deadline, .. } = &mut self.stage
            && !self.link.is_finished()
        {
            self.link.send_out();
            if self.link.unsent() == 0 {
                self.link.finish();
                *deadline = Instant::now() + LEAVING_LIMIT;
            }
        }
    }

    /// There is no more input: what was said is still to be sent and heard back.
    fn finish(&mut self) {
        if let Stage::Talking = self.stage {
            self.stage = Stage::Finishing {
                deadline: Instant::now() + CONFIRMATION_LIMIT,
                progress: self.progress(),
            };
        }
    }

    /// Says goodbye. Does nothing when it is over.
    fn leave(&mut self, confirm: bool) {
        match self.stage {
            Stage::Over { .. } => return,
            Stage::Leaving { .. } => {}
            Stage::Joining { .. } | Stage::Talking | Stage::Finishing { .. } => {
                // A protocol without a word for it has the end of the connection.
                let mut out = Outbound::default();
                let _ = self.session.handle_command(
                    Command::Leave,
                    &mut Context {
                        now: Instant::now(),
                        time: local_time(),
                        told: &mut Vec::new(),
                        out: &mut out,
                    },
                );
                self.link.output().append(&mut out.stream);
            }
        }
        self.stage = Stage::Leaving {
            deadline: Instant::now() + LEAVING_LIMIT,
            confirm,
        };
    }

    fn lose(&mut self, reason: &str) {
        let reason = match self.session.unanswered() {
            0 => reason.to_owned(),
            1 => format!("{reason}; 1 message was not confirmed"),
            count => format!("{reason}; {count} messages were not confirmed"),
        };
        let server = self.server.to_string();
        self.fail(Failure::Lost { server, reason });
    }

    /// Who is leaving anyway does not mind how it ends.
    fn fail(&mut self, failure: Failure) {
        match self.stage {
            Stage::Leaving { confirm: false, .. } => self.end(Ok(())),
            Stage::Joining { .. }
            | Stage::Talking
            | Stage::Finishing { .. }
            | Stage::Leaving { confirm: true, .. }
            | Stage::Over { .. } => self.end(Err(failure)),
        }
    }

    /// Nothing goes over the connection any more. The first result stays.
    fn end(&mut self, result: Result<(), Failure>) {
        if let Stage::Over { .. } = self.stage {
            return;
        }
        let reason = match &result {
            Ok(()) => "left".to_owned(),
            Err(failure) => failure.reason(),
        };
        self.console.show(&Event::Closed { reason });
        self.console.end_editing();
        self.stage = Stage::Over { result };
    }

    fn is_all_answered(&self) -> bool {
        self.link.unsent() == 0 && self.session.unanswered() == 0
    }

    fn progress(&self) -> Progress {
        Progress {
            sent: self.link.sent_in_all(),
            unanswered: self.session.unanswered(),
        }
    }
}

fn local_time() -> TimeOfDay {
    let now = chrono::Local::now();
    TimeOfDay::new(now.hour(), now.minute(), now.second()).unwrap_or_default()
}
