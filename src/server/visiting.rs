//! Owns how those fare who come to the annex: they are received and their questions answered, by what the driver knows.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::annex::Annex;
use super::desk::{Desk, Question};
use super::driver::Driver;
use super::exposure::{Running, expose};
use crate::http::{Answer, PAGE, POLICY, Page, Status};
use crate::reactor::{Poller, ProcessFigures, Wire};

impl Driver {
    /// The annex's part of a turn: behind that of those who chat, and one question at the most.
    pub(super) fn attend_to_visitors(&mut self, now: Instant) {
        self.annex.take_in(now);
        if let Some((ticket, question)) = self.annex.next_question() {
            match question {
                Question::Http(asked) => {
                    let (answer, method) = match asked {
                        Ok(request) => (self.page(request.page), request.method),
                        Err(refusal) => (refusal.into(), refusal.method),
                    };
                    log::debug!("metrics: {asked:?}: {}", answer.status().code());
                    let bytes = answer.encode(method, date());
                    self.annex.answer(ticket, bytes, now);
                }
            }
        }
        self.annex.send_out(now);
    }

    fn page(&self, page: Page) -> Answer {
        match page {
            Page::Status => Answer::page(PAGE, POLICY),
            Page::Metrics => Answer::figures(self.figures()),
            Page::Health => self.health(),
        }
    }

    /// All figures, for Prometheus.
    fn figures(&self) -> String {
        let running = Running {
            turns: &self.turns,
            draining: self.server.is_draining(),
            process: ProcessFigures::read(),
        };
        expose(&self.server.figures(), &running)
    }

    /// What a load balancer is to do: it sends nobody to a server that will soon be gone.
    fn health(&self) -> Answer {
        if self.is_stopping() {
            Answer::line(Status::ServiceUnavailable, "stopping")
        } else if self.server.is_draining() {
            Answer::line(Status::ServiceUnavailable, "draining")
        } else {
            Answer::line(Status::Ok, "ok")
        }
    }
}

/// Takes somebody in and has the kernel tell of it.
pub(super) fn receive(
    annex: &mut Annex<Wire>,
    poller: &Poller,
    stream: Wire,
    desk: Desk,
    now: Instant,
) {
    let Some(ticket) = annex.admit(stream, desk, now) else {
        log::debug!("{desk}: turned away, everybody there is being answered");
        return;
    };
    let registered = match annex.stream_mut(ticket) {
        Some(stream) => poller.register(stream, ticket.token()),
        None => Ok(()),
    };
    if let Err(error) = registered {
        log::debug!("{desk}: not taken in: {error}");
        annex.drop_visitor(ticket);
    }
}

/// Seconds since 1970.
fn date() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
