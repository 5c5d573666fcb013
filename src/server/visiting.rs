//! Owns how those fare who come to the annex: they are received and their questions answered, by what the driver knows.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::annex::Annex;
use super::control::{Asker, Obeyed, Order};
use super::desk::{Desk, Question};
use super::driver::Driver;
use super::entrance::{Entrance, EntranceSocket, Gate};
use super::exposure::{Running, expose};
use crate::control::{ErrorKind, Last, Request};
use crate::http::{Answer, PAGE, POLICY, Page, Status};
use crate::reactor::{Poller, ProcessFigures, Wire, is_trusted};

impl Driver {
    /// The annex's part of a turn: behind that of those who chat, and one question at the most.
    pub(super) fn attend_to_visitors(&mut self, now: Instant) {
        if let Some((asker, answer)) = self.server.write_list() {
            self.annex.answer(asker.into(), answer, now);
        }
        while let Some((asker, answer)) = self.server.next_answer() {
            self.annex.answer(asker.into(), answer, now);
        }
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
                Question::Control(line) => {
                    if let Some(answer) = self.obey(&line, ticket.into(), now) {
                        self.annex.answer(ticket, answer, now);
                    }
                }
            }
        }
        self.annex.send_out(now);
    }

    /// Does what an administrator asks. `None` where the answer comes later.
    fn obey(&mut self, line: &[u8], asker: Asker, now: Instant) -> Option<Vec<u8>> {
        let request = match Request::decode(line) {
            Ok(request) => request,
            Err(error) => return Some(Last::error(ErrorKind::Request, error).to_line()),
        };
        log::debug!("control: {}", request.name());
        if matches!(request, Request::Status) {
            let doors: Vec<_> = self
                .doors()
                .map(|(door, ..)| self.describe(&door))
                .collect();
            self.server.describe_doors(doors);
        }
        let order = match self.server.obey(request, asker, now, date()) {
            Obeyed::Answer(answer) => return Some(answer),
            Obeyed::Later => return None,
            Obeyed::Driver(order) => order,
        };
        let last = match order {
            Order::Metrics => Last {
                metrics: Some(self.figures()),
                ..Last::done()
            },
            Order::Stop => {
                if !self.is_stopping() {
                    self.stop("mynah ctl", now);
                }
                Last::done()
            }
            Order::Drain if self.is_stopping() => {
                Last::error(ErrorKind::Failed, "it stops already")
            }
            Order::Drain => {
                self.drain("mynah ctl", now);
                Last::done()
            }
            Order::Reload if !self.is_serving() => {
                Last::error(ErrorKind::Failed, "the server is about to stop")
            }
            Order::Reload if self.reread.is_none() => {
                Last::error(ErrorKind::Failed, "there is no configuration to read again")
            }
            Order::Reload => {
                self.reloaders.push((asker, self.reading.is_some()));
                self.begin_reload(now);
                return None;
            }
        };
        Some(last.to_line())
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
            reloads: self.reloads,
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

/// Takes one of those in who wait at the control socket, if it is one of our own or root.
pub(super) fn receive_administrator(
    annex: &mut Annex<Wire>,
    poller: &Poller,
    entrance: &mut Entrance,
    now: Instant,
) {
    let EntranceSocket::Unix(listener) = &entrance.socket else {
        debug_assert!(false, "invariant: the control socket is a Unix socket");
        return;
    };
    match listener.accept() {
        Ok(None) => {
            entrance.pause.after_success();
            entrance.gate = Gate::Quiet;
        }
        Ok(Some(stream)) if is_trusted(&stream) => {
            entrance.pause.after_success();
            receive(annex, poller, stream.into(), Desk::Control, now);
        }
        Ok(Some(_)) => log::warn!("control: somebody came who is neither our own user nor root"),
        Err(error) => {
            let pause = entrance.pause.after_failure();
            entrance.gate = Gate::Shut { until: now + pause };
            log::warn!("control: not accepting for {pause:?}: {error}");
        }
    }
}

/// Seconds since 1970.
pub(super) fn date() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
