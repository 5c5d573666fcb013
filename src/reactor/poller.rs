//! Owns the `mio::Poll`. Knows tokens and readiness, not what stands behind a token.

use std::io;
use std::time::Duration;

use mio::event::{Event, Source};
use mio::{Events, Interest, Poll, Registry, Token, Waker};

/// What the kernel told about one token. Hints all: the truth is what read and write say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whom it concerns.
    pub token: Token,
    /// There are bytes, datagrams or connections to take in.
    pub readable: bool,
    /// There is room to send. On epoll every readable event says so too.
    pub writable: bool,
    /// The peer will send no more, or there is an error to collect: a short read does not end
    /// reading, for the kernel will not tell again.
    pub read_closed: bool,
}

/// The poll and its buffer of events.
#[derive(Debug)]
pub struct Poller {
    poll: Poll,
    events: Events,
}

/// Events taken from the kernel at a time. The rest come with the next wait, in turn.
const EVENTS: usize = 1024;

impl Poller {
    /// Fails when the kernel has no descriptor for an epoll.
    pub fn new() -> io::Result<Poller> {
        Ok(Poller {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
        })
    }

    /// Where sources are registered.
    pub fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Registers for reading and writing, once and for the source's whole life: edge-triggered
    /// interest costs nothing while unused, and changing it would cost a system call.
    pub fn register(&self, source: &mut impl Source, token: Token) -> io::Result<()> {
        self.registry()
            .register(source, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Registers what nothing is ever sent by: a listener, signals.
    pub fn register_reading(&self, source: &mut impl Source, token: Token) -> io::Result<()> {
        self.registry().register(source, token, Interest::READABLE)
    }

    /// A handle by which another thread ends a [`wait`](Poller::wait). One per poller.
    pub fn waker(&self, token: Token) -> io::Result<Waker> {
        Waker::new(self.registry(), token)
    }

    /// Waits until something is ready or `timeout` has passed (rounded up to whole milliseconds;
    /// `None` is for ever). An interrupting signal ends it early with nothing.
    pub fn wait(
        &mut self,
        timeout: Option<Duration>,
    ) -> io::Result<impl Iterator<Item = Readiness> + '_> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(error),
        }
        Ok(self.events.iter().map(Readiness::from))
    }
}

impl From<&Event> for Readiness {
    fn from(event: &Event) -> Readiness {
        Readiness {
            token: event.token(),
            readable: event.is_readable(),
            writable: event.is_writable(),
            read_closed: event.is_read_closed() || event.is_error(),
        }
    }
}
