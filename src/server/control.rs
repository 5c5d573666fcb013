//! Owns what an administrator asks of the running server: it is decided here, and answered now or once it is done.
//! Knows no sockets, and of the protocol only its requests and lines.
//!
//! A list is written a part a turn, so that nobody who chats waits for ten thousand lines; what needs the helper thread
//! is answered when that has done it. Both come out of [`next_answer`](Server::next_answer).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::bans::{Ban, TooManyBans};
use super::book::{BanSettings, Book, Change};
use super::core::Server;
use super::members::Whom;
use super::registrar::Setting;
use crate::chat::Name;
use crate::control::{
    self, BanLine, ErrorKind, Last, MemberLine, Prefix, Request, RoomLine, Row, StatusLine,
};
use crate::protocol::registry::Protocol;
use crate::reactor::{DatagramPort, Key, Stream};
use crate::store::KeptBan;

/// Who asked, as the owner of the sockets knows it: an answer comes back with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker(pub u32);

/// What became of a request.
#[derive(Debug)]
pub enum Obeyed {
    /// This is all of the answer.
    Answer(Vec<u8>),
    /// The answer is one of the [next](Server::next_answer).
    Later,
    /// It is for the driver to do, and to answer.
    Driver(Order),
}

/// What only the driver can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Read the configuration again.
    Reload,
    /// Let nobody in any more, and stop when all have gone.
    Drain,
    /// Stop.
    Stop,
    /// Write the figures.
    Metrics,
}

/// What the server tells of itself.
#[derive(Clone, Debug, Default)]
pub struct About {
    pub version: String,
    pub data_dir: String,
}

/// The orders at work.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) book: Book,
    pub(super) verdicts: VecDeque<Verdict>,
    lists: VecDeque<List>,
    about: About,
    /// Where people come to now.
    doors: Vec<String>,
    /// Seconds since 1970, when somebody last asked.
    unix_time: u64,
}

/// How it went, and who is to be told.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) asker: Asker,
    pub(super) last: Last,
}

/// A list that is being written.
#[derive(Debug)]
struct List {
    asker: Asker,
    rows: Rows,
    written: usize,
    out: Vec<u8>,
}

/// What is still to be written.
#[derive(Debug)]
enum Rows {
    /// Those of these who are still there.
    Members(std::vec::IntoIter<Key>),
    Ready(std::vec::IntoIter<Row>),
}

/// Lines that are written in one turn: some tenths of a millisecond.
const LINES_PER_TURN: usize = 512;

impl Asker {
    #[cfg(test)]
    pub(super) fn of_test(number: u32) -> Asker {
        Asker(number)
    }
}

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Keeps those out who are banned, and writes down who will be. `unix_time` is in seconds.
    pub fn keep_bans(&mut self, settings: BanSettings, now: Instant, unix_time: u64) {
        let book = Book::new(settings);
        for ban in book.iter(unix_time) {
            if let Err(error) = self.ban(in_force(ban, now, unix_time), now) {
                log::error!("{} is not banned: {error}", Prefix::from(ban.net));
            }
        }
        self.orders.book = book;
    }

    /// What it tells of itself from now on.
    pub fn describe(&mut self, about: About) {
        self.orders.about = about;
    }

    /// Where people come to, before [`Request::Status`] is obeyed.
    pub fn describe_doors(&mut self, doors: Vec<String>) {
        self.orders.doors = doors;
    }

    /// Does what an administrator asks, or begins with it. `unix_time` is in seconds.
    pub fn obey(&mut self, request: Request, asker: Asker, now: Instant, unix_time: u64) -> Obeyed {
        self.now = now;
        self.orders.unix_time = unix_time;
        let last = match request {
            Request::Members => {
                let keys = self.tenants.all_keys();
                return self.list(asker, Rows::Members(keys.into_iter()));
            }
            Request::Rooms => {
                let rows = self.room_lines();
                return self.list(asker, Rows::Ready(rows.into_iter()));
            }
            Request::Bans => {
                let bans = self.orders.book.iter(unix_time);
                let rows: Vec<Row> = bans.map(|ban| Row::Ban(BanLine::from(ban))).collect();
                return self.list(asker, Rows::Ready(rows.into_iter()));
            }
            Request::Accounts => {
                let lines = self.accounts.as_ref().map(|accounts| accounts.lines());
                let rows = lines.unwrap_or_default().into_iter().map(Row::Account);
                let rows: Vec<Row> = rows.collect();
                return self.list(asker, Rows::Ready(rows.into_iter()));
            }
            Request::Status => {
                let rows = vec![Row::Status(self.status())];
                return self.list(asker, Rows::Ready(rows.into_iter()));
            }
            Request::Kick { whom, reason } => Some(self.obey_kick(whom, &reason, now)),
            Request::Ban {
                net,
                reason,
                seconds,
                force,
            } => self.obey_ban(asker, net, reason, seconds, force),
            Request::Unban { net } => self.obey_unban(asker, net),
            Request::Say { text } => {
                log::info!("control: say {text:?}");
                self.tell_all(&text, now);
                Some(Last::done())
            }
            Request::AccountAdd { name, password } => {
                self.set_account(asker, Setting::Add, name, password)
            }
            Request::AccountPasswd { name, password } => {
                self.set_account(asker, Setting::Passwd, name, password)
            }
            Request::AccountDelete { name } => self.delete_account(asker, &name),
            Request::Reload => return Obeyed::Driver(Order::Reload),
            Request::Drain => return Obeyed::Driver(Order::Drain),
            Request::Stop => return Obeyed::Driver(Order::Stop),
            Request::Metrics => return Obeyed::Driver(Order::Metrics),
        };
        match last {
            Some(last) => Obeyed::Answer(last.to_line()),
            None => Obeyed::Later,
        }
    }

    /// An answer that is whole by now, and whose it is. To be called until there is none, once a turn.
    pub fn next_answer(&mut self) -> Option<(Asker, Vec<u8>)> {
        let verdict = self.orders.verdicts.pop_front()?;
        Some((verdict.asker, verdict.last.to_line()))
    }

    /// Writes a part of the first list. Once a turn; the list, when it is whole.
    pub fn write_list(&mut self) -> Option<(Asker, Vec<u8>)> {
        let mut list = self.orders.lists.pop_front()?;
        let goes_on = match &mut list.rows {
            Rows::Members(keys) => {
                for key in keys.by_ref().take(LINES_PER_TURN) {
                    if let Some(line) = self.member_line(key) {
                        control::encode_row(&Row::Member(line), &mut list.out);
                        list.written += 1;
                    }
                }
                keys.len() > 0
            }
            Rows::Ready(rows) => {
                for row in rows.by_ref().take(LINES_PER_TURN) {
                    control::encode_row(&row, &mut list.out);
                    list.written += 1;
                }
                rows.len() > 0
            }
        };
        if goes_on {
            self.orders.lists.push_front(list);
            return None;
        }
        Last::count(list.written).encode(&mut list.out);
        Some((list.asker, list.out))
    }

    /// Whether there is more to be written, or told, at once.
    pub fn has_answers(&self) -> bool {
        !self.orders.lists.is_empty() || !self.orders.verdicts.is_empty()
    }

    /// The disk has the bans, or would not take them.
    pub(super) fn bans_saved(&mut self, result: std::io::Result<()>) {
        let Orders {
            book,
            verdicts,
            unix_time,
            ..
        } = &mut self.orders;
        book.saved(result, *unix_time, verdicts);
    }

    fn list(&mut self, asker: Asker, rows: Rows) -> Obeyed {
        self.orders.lists.push_back(List {
            asker,
            rows,
            written: 0,
            out: Vec::new(),
        });
        Obeyed::Later
    }

    fn member_line(&self, key: Key) -> Option<MemberLine> {
        let row = self.member(key)?;
        Some(MemberLine {
            name: row.name.to_owned(),
            protocol: row.protocol.name().to_owned(),
            address: row.address.to_string(),
            room: row.room.to_owned(),
            lag: row.lag_bytes.map(|bytes| bytes as u64),
        })
    }

    fn room_lines(&self) -> Vec<Row> {
        let shared = self.houses.len() == 1;
        let houses = Protocol::ALL.iter().copied().filter(|protocol| {
            // Of those that share a house, the one it is named after.
            protocol.kin() == *protocol
        });
        let houses = houses.take(if shared { 1 } else { usize::MAX });
        let mut rows = Vec::new();
        for protocol in houses {
            let Some(house) = self.houses.get(self.house_of(protocol)) else {
                continue;
            };
            let rooms = house
                .hub
                .rooms()
                .filter_map(|id| Some((house.hub.room_name(id)?, house.hub.heard_in(id))));
            rows.extend(rooms.map(|(room, members)| {
                Row::Room(RoomLine {
                    room: room.as_str().to_owned(),
                    protocol: (!shared).then(|| protocol.name().to_owned()),
                    members: members as u64,
                })
            }));
        }
        rows
    }

    fn status(&self) -> StatusLine {
        let About { version, data_dir } = self.orders.about.clone();
        let (members, _) = self.population();
        StatusLine {
            version,
            pid: std::process::id(),
            uptime: self.now.saturating_duration_since(self.start).as_secs(),
            data_dir,
            listening: self.orders.doors.clone(),
            connections: self.len() as u64,
            members: members as u64,
            draining: self.is_draining(),
        }
    }

    fn obey_kick(&mut self, whom: control::Whom, reason: &str, now: Instant) -> Last {
        let (whom, shown) = match whom {
            control::Whom::Named { name, room } => {
                let of_room = room.as_ref().map(Name::as_str);
                let shown = match of_room {
                    Some(room) => format!("{:?} in {room:?}", name.as_str()),
                    None => format!("{:?}", name.as_str()),
                };
                let room = of_room.map(str::to_owned);
                let name = name.as_str().to_owned();
                (Whom::Name { name, room }, shown)
            }
            control::Whom::From(address) => (Whom::From(address.into()), address.to_string()),
            control::Whom::At(address) => (Whom::At(address), address.to_string()),
        };
        match self.kick(&whom, reason, now) {
            0 => Last::error(ErrorKind::Nobody, format!("nobody is there: {shown}")),
            count => {
                log::info!("control: kick {shown}: {count}, reason {reason:?}");
                Last::count(count)
            }
        }
    }

    fn obey_ban(
        &mut self,
        asker: Asker,
        net: Prefix,
        reason: String,
        seconds: Option<u64>,
        force: bool,
    ) -> Option<Last> {
        if let Some(concern) = net.concern().filter(|_| !force) {
            let why = format!("{net}: {concern}; if that is what you want, say so with --force");
            return Some(Last::error(ErrorKind::Sure, why));
        }
        let (now, since) = (self.now, self.orders.unix_time);
        // What is written must be read again at the next start.
        if !self.orders.book.has_room(net.net(), since) {
            return Some(Last::error(ErrorKind::Failed, TooManyBans));
        }
        let ban = KeptBan {
            net: net.net(),
            reason,
            since,
            until: seconds.map(|seconds| since.saturating_add(seconds)),
        };
        let count = match self.ban(in_force(&ban, now, since), now) {
            Ok(count) => count,
            Err(error) => return Some(Last::error(ErrorKind::Failed, error)),
        };
        log::info!(
            "control: ban {net}: {count} were in, reason {:?}",
            ban.reason
        );
        self.orders.book.enter(ban);
        let last = match net.was_trimmed() {
            true => Last::count(count).with_note(format!("all of {net} is banned")),
            false => Last::count(count),
        };
        self.orders
            .book
            .save_for(asker, Change::Banned, last, since)
    }

    fn obey_unban(&mut self, asker: Asker, net: Prefix) -> Option<Last> {
        let unix_time = self.orders.unix_time;
        let now = self.now;
        let was_banned = self.unban(net.net()).is_some_and(|ban| ban.holds(now));
        if !self.orders.book.strike(net.net(), unix_time) && !was_banned {
            let mut wider = self.orders.book.iter(unix_time);
            let wider = wider.find(|ban| ban.net.contains(&net.net()));
            let why = match wider {
                Some(wider) => format!(
                    "{net} is not banned by itself, but {} is, which it is part of",
                    Prefix::from(wider.net)
                ),
                None => format!("{net} is not banned"),
            };
            return Some(Last::error(ErrorKind::Nobody, why));
        }
        log::info!("control: unban {net}");
        self.orders
            .book
            .save_for(asker, Change::Lifted, Last::done(), unix_time)
    }
}

impl From<&KeptBan> for BanLine {
    fn from(ban: &KeptBan) -> BanLine {
        BanLine {
            address: Prefix::from(ban.net).to_string(),
            reason: ban.reason.clone(),
            since: ban.since,
            until: ban.until,
        }
    }
}

/// A ban as it is held, by the clock that only goes forwards.
fn in_force(ban: &KeptBan, now: Instant, unix_time: u64) -> Ban {
    let left = ban.until.map(|until| until.saturating_sub(unix_time));
    Ban {
        net: ban.net,
        reason: ban.reason.clone(),
        // A time that the clock does not have is never.
        until: left.and_then(|seconds| now.checked_add(Duration::from_secs(seconds))),
    }
}
