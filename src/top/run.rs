//! Owns the loop of the live view, and the one table where nobody looks on. Knows keys and the screen, not what the
//! figures mean.
//!
//! A turn is: wait; take in signals, keys and what the helper has got; ask when it is time; draw what is new;
//! write what the terminal takes. Nothing in it blocks, so a server that does not answer keeps nobody from leaving.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use mio::Token;

use super::draw::{Size, State, View};
use super::exposition::Exposition;
use super::figures::{Figures, Reading};
use super::history::History;
use super::source::{Source, SourceError};
use crate::client::keys::{Key, Keys};
use crate::client::stdio::{Input, Output};
use crate::client::terminal::{self, RawMode};
use crate::reactor::{Helper, Poller, Signal, Signals, Urgency};

/// What is to be looked at, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    pub source: Source,
    /// From one asking to the next.
    pub interval: Duration,
    /// One table instead of a live view, on a terminal too.
    pub once: bool,
}

/// Why it ended otherwise than by leaving. Exit status 1.
#[derive(Debug)]
pub enum Failure {
    /// There is no table without the server.
    Source { source: Source, error: SourceError },
    System {
        doing: &'static str,
        error: io::Error,
    },
}

const SIGNALS: Token = Token(0);
const HELPER: Token = Token(1);
const INPUT: Token = Token(2);
const OUTPUT: Token = Token(3);

/// A server that does not answer is asked so often at least.
const RETRY: Duration = Duration::from_secs(1);

/// How long it is told that a server was started anew.
const RESTART_TOLD: Duration = Duration::from_secs(10);

/// How long a terminal that takes nothing is waited for at the end.
const LEAVING_LIMIT: Duration = Duration::from_secs(1);

/// Watches the server until somebody leaves, or prints one table where there is no terminal.
pub fn run(settings: Settings) -> Result<(), Failure> {
    match settings.once || !terminal::is_editable() {
        true => print_once(&settings),
        false => watch(settings),
    }
}

/// Two readings make the rates of one table.
fn print_once(settings: &Settings) -> Result<(), Failure> {
    let failure = |error| Failure::Source {
        source: settings.source.clone(),
        error,
    };
    let begun = Instant::now();
    let first = read(&settings.source, begun).map_err(failure)?;
    thread::sleep(settings.interval);
    let second = read(&settings.source, begun).map_err(failure)?;
    let figures = Figures::between(Some(&first), &second);
    let mut history = History::default();
    history.push(&figures);
    let view = View {
        source: &settings.source.to_string(),
        figures: Some(&figures),
        history: &history,
        state: match second.is_of_another_process(&first) {
            true => State::Restarted,
            false => State::Live,
        },
    };
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(view.table().as_bytes());
    match written.and_then(|()| stdout.flush()) {
        // A reader that goes away has seen enough: `mynah top | head -1`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(system("writing standard output")),
    }
}

fn read(source: &Source, begun: Instant) -> Result<Reading, SourceError> {
    let text = source.ask()?;
    let said = Exposition::parse(&text).map_err(|error| SourceError::NotUnderstood {
        reason: error.to_string(),
    })?;
    // Any exporter speaks that format.
    if said.of("mynah_build_info").next().is_none() {
        let reason = "these are not the figures of a mynah server".to_owned();
        return Err(SourceError::NotUnderstood { reason });
    }
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Ok(Reading {
        at: begun.elapsed(),
        clock: clock.unwrap_or_default().as_secs_f64(),
        said,
    })
}

fn watch(settings: Settings) -> Result<(), Failure> {
    let mut poller = Poller::new().map_err(system("opening a poll"))?;
    let caught = [
        Signal::Interrupt,
        Signal::Terminate,
        Signal::Hangup,
        Signal::WindowChange,
    ];
    let mut signals =
        Signals::new(&poller, SIGNALS, &caught).map_err(system("catching signals"))?;
    let helper = poller.waker(HELPER).and_then(Helper::start);
    let helper = helper.map_err(system("starting the thread that asks"))?;
    let screen = Screen::open(&poller).map_err(system("taking over the terminal"))?;
    let mut live = Live {
        name: settings.source.to_string(),
        settings,
        helper,
        begun: Instant::now(),
        asking: false,
        next: Instant::now(),
        last: None,
        figures: None,
        history: History::default(),
        health: Health::Asking,
        screen,
    };
    while !live.screen.leaving {
        live.ask_when_due(Instant::now());
        live.draw();
        let timeout = live.timeout(Instant::now());
        let mut signalled = false;
        for readiness in poller.wait(Some(timeout)).map_err(system("waiting"))? {
            signalled |= readiness.token == SIGNALS;
        }
        if signalled {
            signals
                .pending()
                .for_each(|signal| live.screen.handle_signal(signal));
        }
        live.screen.take_in();
        live.take_answers();
    }
    live.screen.close();
    Ok(())
}

/// The server as it is seen from here.
struct Live {
    settings: Settings,
    /// The source as it is shown.
    name: String,
    helper: Helper<Result<Reading, SourceError>>,
    begun: Instant,
    /// The helper is at it.
    asking: bool,
    /// When to ask next.
    next: Instant,
    /// Of the last answer, as long as none failed since.
    last: Option<Reading>,
    figures: Option<Figures>,
    history: History,
    health: Health,
    screen: Screen,
}

/// How the last askings went.
enum Health {
    Asking,
    Live { restarted: Option<Instant> },
    Gone { since: Instant, why: String },
}

impl Live {
    fn ask_when_due(&mut self, now: Instant) {
        if self.asking || now < self.next {
            return;
        }
        let (source, begun) = (self.settings.source.clone(), self.begun);
        let job = move || read(&source, begun);
        // One job does not fill the queue.
        self.asking = self.helper.submit(Urgency::Later, job).is_ok();
        let pause = match self.health {
            Health::Gone { .. } => self.settings.interval.min(RETRY),
            Health::Asking | Health::Live { .. } => self.settings.interval,
        };
        self.next = now + pause;
        self.screen.is_stale = true;
    }

    fn take_answers(&mut self) {
        while let Some(answer) = self.helper.finished() {
            self.asking = false;
            self.screen.is_stale = true;
            match answer {
                Ok(reading) => self.take(reading),
                Err(error) => self.miss(error),
            }
        }
    }

    fn take(&mut self, reading: Reading) {
        let last = self.last.replace(reading);
        let Some(now) = &self.last else {
            return;
        };
        // Kept across an absence: whoever comes back may be another.
        let figures = Figures::between(last.as_ref(), now);
        let is_another = last.is_some_and(|last| now.is_of_another_process(&last));
        let restarted = match &self.health {
            _ if is_another => Some(Instant::now()),
            Health::Live { restarted } => *restarted,
            Health::Asking | Health::Gone { .. } => None,
        };
        self.health = Health::Live { restarted };
        self.history.push(&figures);
        self.figures = Some(figures);
    }

    fn miss(&mut self, error: SourceError) {
        let why = error.to_string();
        self.health = match mem::replace(&mut self.health, Health::Asking) {
            Health::Gone { since, .. } => Health::Gone { since, why },
            Health::Asking | Health::Live { .. } => {
                // A server that is started in the meantime need not wait for a long interval.
                self.next = self.next.min(Instant::now() + RETRY);
                let since = Instant::now();
                Health::Gone { since, why }
            }
        };
        if self.figures.is_some() {
            self.history.push_gap();
        }
    }

    fn draw(&mut self) {
        let state = match &self.health {
            Health::Asking => State::Asking,
            Health::Live {
                restarted: Some(at),
            } if at.elapsed() < RESTART_TOLD => State::Restarted,
            Health::Live { .. } => State::Live,
            Health::Gone { since, why } => State::Gone {
                why,
                seconds: since.elapsed().as_secs(),
            },
        };
        let view = View {
            source: &self.name,
            figures: self.figures.as_ref(),
            history: &self.history,
            state,
        };
        self.screen.draw(&view);
    }

    fn timeout(&self, now: Instant) -> Duration {
        if self.screen.is_busy() {
            return Duration::ZERO;
        }
        match self.asking {
            // The helper wakes us, or its patience ends.
            true => RETRY,
            false => self.next.saturating_duration_since(now),
        }
    }
}

/// The terminal, all of it.
struct Screen {
    input: Input,
    output: Output,
    keys: Keys,
    /// `None` only in the middle of being suspended.
    raw: Option<RawMode>,
    colours: bool,
    is_stale: bool,
    leaving: bool,
}

impl Screen {
    fn open(poller: &Poller) -> io::Result<Screen> {
        let mut screen = Screen {
            input: Input::open(poller, INPUT)?,
            output: Output::open(poller, OUTPUT)?,
            keys: Keys::default(),
            raw: Some(RawMode::enter()?),
            colours: terminal::wants_colours(),
            is_stale: true,
            leaving: false,
        };
        terminal::take_screen(screen.output.buffer());
        Ok(screen)
    }

    fn handle_signal(&mut self, signal: Signal) {
        match signal {
            Signal::WindowChange => self.is_stale = true,
            // Of those that we catch.
            _ => self.leaving = true,
        }
    }

    fn take_in(&mut self) {
        let mut buffer = [0; 256];
        let count = self.input.read(&mut buffer);
        // A terminal that was hung up shows nothing any more.
        self.leaving |= self.input.has_ended();
        let mut keys = Vec::new();
        let bytes = buffer.get(..count).unwrap_or_default();
        self.keys.feed(bytes, &mut keys);
        for key in keys {
            match key {
                Key::Char('q' | 'Q') | Key::Interrupt | Key::EndOfInput => self.leaving = true,
                Key::Clear => {
                    self.output.buffer().extend_from_slice(b"\x1b[2J");
                    self.is_stale = true;
                }
                Key::Suspend => self.suspend(),
                _ => {}
            }
        }
    }

    /// A slow terminal gets the next picture when it has taken the last one.
    fn draw(&mut self, view: &View<'_>) {
        if self.is_stale && self.output.waiting() == 0 {
            self.is_stale = false;
            let (columns, rows) = terminal::size();
            let size = Size { columns, rows };
            view.draw(size, self.colours, self.output.buffer());
        }
        self.output.write();
        self.leaving |= self.output.is_gone();
    }

    fn is_busy(&self) -> bool {
        self.leaving
            || self.input.is_ready()
            || self.output.is_ready()
            || (self.is_stale && self.output.waiting() == 0)
    }

    fn suspend(&mut self) {
        self.give_back();
        self.raw = self.raw.take().and_then(|raw| raw.suspend().ok());
        self.leaving |= self.raw.is_none();
        terminal::take_screen(self.output.buffer());
        self.is_stale = true;
    }

    /// The terminal is as it was, if it takes what makes it so.
    fn close(mut self) {
        self.give_back();
    }

    fn give_back(&mut self) {
        terminal::give_screen_back(self.output.buffer());
        let deadline = Instant::now() + LEAVING_LIMIT;
        while self.output.waiting() > 0 && Instant::now() < deadline {
            self.output.write();
            if self.output.waiting() > 0 {
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::System { doing, error }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Source { source, error } => {
                write!(f, "{source}: {error}")?;
                let Source::Control(path) = source else {
                    return Ok(());
                };
                let parent = path.parent().unwrap_or(path).display();
                match error {
                    SourceError::Unreachable { .. } => write!(
                        f,
                        "; is a server running, with {parent} as its data directory?"
                    ),
                    _ => Ok(()),
                }
            }
            Failure::System { doing, error } => write!(f, "{doing}: {error}"),
        }
    }
}

impl std::error::Error for Failure {}
