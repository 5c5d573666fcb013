//! Crowds: thousands who come, hear of each other and go at once, and nobody waits for them.

#[path = "support/memory_crowd.rs"]
mod memory_crowd;
mod support;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use memory_crowd::{Counts, Crowd, Heard, name};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use mynah::reactor::raise_descriptor_limit;
use mynah::server::{Gathering, Limits};
use support::serve::{Client, Mynah, join};
use support::{PATIENCE, or_skip, until};

/// As many as one room is to hold with ease.
const MANY: usize = 10_000;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_newcomer_that_reads_slowly_gets_its_whole_list_and_all_that_is_said_meanwhile() {
    let mut crowd = Crowd::of(MANY);
    let limits = Limits::default().lag;
    let newcomer = crowd.come(0);
    crowd.members[newcomer].listen();
    crowd.settle();
    let mut wanted = vec![Heard::List((0..=newcomer).map(name).collect())];
    let mut heard = Vec::new();
    let mut turns = 0;
    while heard.len() < wanted.len() {
        crowd.read(newcomer, 1000);
        match turns {
            // Whoever goes and whoever comes makes another list for those who come next.
            _ if turns > 200 => {}
            50 => {
                crowd.end(7);
                wanted.push(Heard::Went(name(7)));
            }
            100 => {
                let next = crowd.come(usize::MAX);
                wanted.push(Heard::Came(name(next)));
            }
            _ if turns % 10 == 0 => {
                let text = format!("at turn {turns}");
                crowd.say(turns, &text);
                wanted.push(Heard::Said(name(turns), text));
            }
            _ => {}
        }
        crowd.settle();
        crowd.pass(10 * MILLISECOND);
        heard.extend(crowd.members[newcomer].heard());
        turns += 1;
        assert!(turns < 10_000, "it comes to an end");
    }
    let bytes = crowd.members[newcomer].counts().bytes;
    assert!(
        bytes > limits.outbox_bytes + 64 * 1024,
        "its list is more than might wait for it alone: {bytes}"
    );
    assert_eq!(heard, wanted);
    assert_eq!(crowd.server.counters().slow, 0);
    assert_eq!(crowd.inside(), MANY + 1);
    crowd.server.audit();
}

#[test]
fn r01_a_newcomer_that_never_reads_is_cut_in_its_time() {
    let mut crowd = Crowd::of(MANY);
    let limits = Limits::default().lag;
    crowd.members[0].listen();
    let newcomer = crowd.come(0);
    crowd.settle();
    crowd.pass(limits.stall_time);
    assert_eq!(crowd.server.counters().slow, 0);
    assert_eq!(crowd.members[0].heard(), [Heard::Came(name(newcomer))]);
    crowd.pass(3 * SECOND);
    assert_eq!(crowd.server.counters().slow, 1);
    assert!(crowd.members[newcomer].is_gone());
    assert_eq!(crowd.members[newcomer].counts().bytes, 0);
    assert_eq!(crowd.members[0].heard(), [Heard::Went(name(newcomer))]);
    assert_eq!(crowd.inside(), MANY);
    crowd.server.audit();
}

#[test]
fn notices_of_a_crowd_that_comes_are_few_writes_and_what_is_said_does_not_wait() {
    let (members, newcomers) = (1000, 500);
    let mut crowd = Crowd::of(members);
    let before: Vec<Counts> = crowd.members.iter().map(|one| one.counts()).collect();
    crowd.members.iter().for_each(|member| member.listen());
    let came = |numbers: std::ops::Range<usize>| numbers.map(|n| Heard::Came(name(n)));
    for newcomer in 0..newcomers {
        if newcomer == newcomers / 2 {
            crowd.say(3, "hello, newcomers");
            crowd.settle();
            let mut wanted: Vec<Heard> = came(members..members + newcomers / 2).collect();
            for (number, member) in crowd.members[..members].iter().enumerate() {
                if number == 3 {
                    assert_eq!(member.heard(), wanted, "the speaker");
                }
            }
            wanted.push(Heard::Said(name(3), "hello, newcomers".to_owned()));
            for (number, member) in crowd.members[..members].iter().enumerate() {
                if number != 3 {
                    assert_eq!(member.heard(), wanted, "{number}");
                }
            }
        }
        crowd.comes_in();
        crowd.now += MILLISECOND / newcomers as u32;
    }
    crowd.pass(Gathering::default().limit);
    let rest: Vec<Heard> = came(members + newcomers / 2..members + newcomers).collect();
    for (number, member) in crowd.members[..members].iter().enumerate() {
        assert_eq!(member.heard(), rest, "{number}");
        let writes = member.counts().writes - before[number].writes;
        assert_eq!(writes, 2, "{number}: with what was said, and the rest");
    }
    crowd.server.audit();
}

#[test]
fn among_few_nothing_waits() {
    let few = Gathering::default().members;
    // The newcomer is one of them.
    for (members, waits) in [(2, false), (few - 2, false), (few - 1, true), (few, true)] {
        let mut crowd = Crowd::of(members);
        crowd.members[0].listen();
        let newcomer = crowd.comes_in();
        let wanted = [Heard::Came(name(newcomer))];
        let at_once = if waits { &[][..] } else { &wanted };
        assert_eq!(crowd.members[0].heard(), at_once, "{members}");
        // Nothing else would wake the server for it.
        let limit = crowd.now + Gathering::default().limit;
        let due = crowd.server.next_deadline().filter(|due| *due <= limit);
        assert_eq!(due.is_some(), waits, "{members}");
        crowd.pass(Gathering::default().limit);
        let later = if waits { &wanted } else { &[][..] };
        assert_eq!(crowd.members[0].heard(), later, "{members}");
    }
}

#[test]
fn who_stops_does_not_wait() {
    let mut crowd = Crowd::of(1000);
    crowd.members[0].listen();
    let newcomer = crowd.comes_in();
    assert_eq!(crowd.members[0].heard(), []);
    crowd.server.stop(crowd.now);
    crowd.settle();
    let heard = crowd.members[0].heard();
    assert_eq!(
        heard,
        [Heard::Came(name(newcomer))],
        "and of nobody's going"
    );
    crowd.pass(SECOND);
    crowd.settle();
    assert!(crowd.server.is_empty());
    assert!(crowd.members.iter().all(|member| member.is_gone()));
}

/// What it comes to when so many go at once while a hundred stay, of whom one talks.
fn departure(of: usize) -> Counts {
    let staying = 100;
    let mut crowd = Crowd::of(staying + of);
    let (before, start) = (crowd.counts(), crowd.now);
    let stayer = staying / 2;
    crowd.members[stayer].listen();
    for member in staying..staying + of {
        if member == staying + of / 2 {
            crowd.say(0, "where are you going?");
        }
        crowd.end(member);
    }
    crowd.say(0, "good-bye");
    crowd.settle();
    assert_eq!(
        crowd.inside(),
        staying,
        "nobody waits for notices to be sent"
    );
    assert_eq!(crowd.now, start, "nor for time to go by");
    crowd.pass(Gathering::default().limit);
    let mut heard = crowd.members[stayer].heard();
    let said: Vec<Heard> = heard
        .extract_if(.., |heard| matches!(heard, Heard::Said(..)))
        .collect();
    let wanted = ["where are you going?", "good-bye"];
    let wanted = wanted.map(|text| Heard::Said(name(0), text.to_owned()));
    assert_eq!(said, wanted);
    // Who goes first of those who go at once is not said.
    heard.sort_by(|one, other| format!("{one:?}").cmp(&format!("{other:?}")));
    let went = (staying..staying + of).map(|n| Heard::Went(name(n)));
    assert!(heard.iter().eq(&went.collect::<Vec<_>>()), "each once");
    assert_eq!(crowd.inside(), staying);
    assert_eq!(crowd.server.len(), staying);
    crowd.server.audit();
    let after = crowd.counts();
    Counts {
        calls: after.calls - before.calls,
        writes: after.writes - before.writes,
        bytes: after.bytes - before.bytes,
    }
}

#[test]
fn r41_many_who_go_at_once_cost_no_more_each_than_few() {
    let (few, many) = (departure(MANY / 4), departure(MANY));
    assert!(many.calls <= 5 * few.calls, "{few:?}, {many:?}");
    assert!(many.bytes <= 5 * few.bytes, "{few:?}, {many:?}");
}

#[test]
fn notices_of_very_many_do_not_wait_for_more() {
    let mut crowd = Crowd::of(1000);
    crowd.members[0].listen();
    let start = crowd.now;
    for _ in 0..6000 {
        crowd.come(usize::MAX);
    }
    crowd.settle();
    let heard = crowd.members[0].heard().len();
    assert!(heard > 5000, "{heard} at once, and the rest as they do");
    assert_eq!(crowd.now, start);
    crowd.pass(Gathering::default().limit);
    assert_eq!(heard + crowd.members[0].heard().len(), 6000);
}

/// A crowd over loopback, all of it on its way at once.
struct Throng {
    poll: Poll,
    streams: Vec<TcpStream>,
}

impl Throng {
    fn connect(address: SocketAddr, members: usize) -> Throng {
        let poll = Poll::new().unwrap();
        let connect = |number| {
            let mut stream = TcpStream::connect(address).unwrap();
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = poll.registry();
            registry
                .register(&mut stream, Token(number), interest)
                .unwrap();
            stream
        };
        let streams = (0..members).map(connect).collect();
        Throng { poll, streams }
    }

    /// Everybody asks to be let in as soon as it is connected and reads what it is told, until all are in: until all
    /// were told something, which begins with `welcome`.
    fn join(&mut self, enter: impl Fn(&str) -> Vec<u8>, welcome: u8) {
        let deadline = Instant::now() + PATIENCE;
        let mut asked = vec![false; self.streams.len()];
        let mut told = vec![false; self.streams.len()];
        let mut inside = 0;
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 256 * 1024];
        while inside < self.streams.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{inside} are in, in time");
            self.poll.poll(&mut events, Some(left)).unwrap();
            for event in &events {
                let number = event.token().0;
                let stream = &mut self.streams[number];
                if event.is_writable() && !std::mem::replace(&mut asked[number], true) {
                    assert!(stream.take_error().unwrap().is_none(), "{number}");
                    stream.write_all(&enter(&name(number))).unwrap();
                }
                while event.is_readable() {
                    match stream.read(&mut buffer) {
                        Ok(0) => panic!("{number} is turned away"),
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => panic!("{number}: {error}"),
                    }
                    if !std::mem::replace(&mut told[number], true) {
                        assert_eq!(buffer[0], welcome, "{number} is let in");
                        inside += 1;
                    }
                }
            }
        }
    }
}

/// Two who talk with each other, whoever else comes.
trait Talk: Send {
    /// One of them says the next thing, and the other hears just that.
    fn goes_on(&mut self);
}

/// In a room that tells of nothing else.
struct Plain {
    speaker: Client,
    listener: Client,
    said: usize,
}

impl Talk for Plain {
    fn goes_on(&mut self) {
        self.said += 1;
        let text = format!("remark {}", self.said);
        self.speaker.say(&text);
        assert_eq!(self.listener.hear_text(), text);
        assert_eq!(self.speaker.hear_text(), text);
        std::mem::swap(&mut self.speaker, &mut self.listener);
    }
}

/// In a room that tells of all who come and go.
struct Informed {
    pair: [BufReader<std::net::TcpStream>; 2],
    said: usize,
    /// Who each of them was told has come or gone.
    told: [HashSet<String>; 2],
}

impl Informed {
    fn begin(address: SocketAddr) -> Informed {
        let pair = ["amy", "bob"].map(|name| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(&register(name)).unwrap();
            let mut stream = BufReader::new(stream);
            let mut list = String::new();
            stream.read_line(&mut list).unwrap();
            assert!(list.starts_with("LIST:amy:"), "{list}");
            stream
        });
        Informed {
            pair,
            said: 0,
            told: Default::default(),
        }
    }

    /// What one of them is told next of somebody else; or what it hears.
    fn next(&mut self, listener: usize) -> Option<String> {
        let mut line = String::new();
        self.pair[listener].read_line(&mut line).unwrap();
        let line = line.strip_suffix("\r\n").expect("a whole line");
        if line.starts_with("BROADCAST:") {
            return line.rsplit(':').next().map(str::to_owned);
        }
        let told = line
            .strip_prefix("UPDATE:")
            .expect("nothing else")
            .to_owned();
        assert!(self.told[listener].insert(told), "told once: {line}");
        None
    }
}

impl Talk for Informed {
    fn goes_on(&mut self) {
        self.said += 1;
        let [speaker, listener] = [self.said % 2, (self.said + 1) % 2];
        let text = format!("remark {}", self.said);
        let length = text.len();
        let said = format!("BROADCAST:whoever:{length}:{text}\r\n");
        let mut stream = self.pair[speaker].get_ref();
        stream.write_all(said.as_bytes()).unwrap();
        loop {
            if let Some(heard) = self.next(listener) {
                assert_eq!(heard, text);
                return;
            }
        }
    }
}

fn register(name: &str) -> Vec<u8> {
    format!("REGISTER:{name}:0.0.0.0:0\r\n").into_bytes()
}

/// Says that it is over, also when a test fails: nobody goes on for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The descriptors that a process has.
fn descriptors(server: &Mynah) -> usize {
    let path = format!("/proc/{}/fd", server.child.id());
    std::fs::read_dir(path).unwrap().count()
}

/// As many as there may be on either side, with some for all else.
fn or_fewer(members: usize) -> usize {
    let limit = raise_descriptor_limit().unwrap();
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    members.min(most.saturating_sub(200))
}

/// All come while two talk, and then all go at once.
fn come_and_go(
    server: &Mynah,
    talk: &mut impl Talk,
    members: usize,
    enter: impl Fn(&str) -> Vec<u8>,
    welcome: u8,
) {
    talk.goes_on();
    let few = descriptors(server);
    let (is_over, said) = (AtomicBool::new(false), AtomicUsize::new(0));
    let throng = thread::scope(|scope| {
        let over = Over(&is_over);
        let talking = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                talk.goes_on();
                said.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mut throng = Throng::connect(server.address(), members);
        throng.join(enter, welcome);
        let said = said.load(Ordering::Relaxed);
        assert!(said >= 2, "{said} remarks were heard before all were in");
        drop(over);
        talking.join().unwrap();
        throng
    });
    assert_eq!(descriptors(server), few + members);
    drop(throng);
    talk.goes_on();
    until("the descriptors are free", || {
        (descriptors(server) == few).then_some(())
    });
    talk.goes_on();
}

#[test]
fn a_crowd_comes_and_goes_at_once_and_two_talk_on() {
    let members = or_fewer(MANY);
    if !or_skip(members >= MANY / 2, "a limit of 5,200 descriptors") {
        return;
    }
    let server = Mynah::serve();
    let mut talk = Plain {
        speaker: server.join("amy"),
        listener: server.join("bob"),
        said: 0,
    };
    come_and_go(&server, &mut talk, members, join, 1);
    assert!(server.terminate().success());
}

#[test]
fn two_who_talk_are_told_of_all_of_a_crowd_that_comes_and_goes() {
    let members = or_fewer(MANY / 4);
    if !or_skip(members == MANY / 4, "a limit of 2,700 descriptors") {
        return;
    }
    let server = Mynah::serve_with(&["--listen", "group=127.0.0.1:0"]);
    let mut talk = Informed::begin(server.address());
    come_and_go(&server, &mut talk, members, register, b'L');
    // Bob came after amy.
    for (listener, told) in [(0, 2 * members + 1), (1, 2 * members)] {
        while talk.told[listener].len() < told {
            assert_eq!(talk.next(listener), None);
        }
    }
    assert!(server.terminate().success());
}

#[test]
fn r41_thousands_close_at_once_while_two_talk_and_hear_everything() {
    let members = or_fewer(MANY / 2);
    if !or_skip(members == MANY / 2, "a limit of 5,200 descriptors") {
        return;
    }
    let server = Mynah::serve();
    let mut talk = Plain {
        speaker: server.join("amy"),
        listener: server.join("bob"),
        said: 0,
    };
    let few = descriptors(&server);
    let mut throng = Throng::connect(server.address(), members);
    throng.join(join, 1);
    assert_eq!(descriptors(&server), few + members);
    let (is_over, said) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                talk.goes_on();
                said.fetch_add(1, Ordering::Relaxed);
            }
        });
        let goes_on = |remarks: usize| {
            let before = said.load(Ordering::Relaxed);
            until("they talk on", || {
                (said.load(Ordering::Relaxed) >= before + remarks).then_some(())
            });
        };
        // All are told, and none of them reads: their ends are resets.
        goes_on(10);
        drop(throng);
        goes_on(10);
        until("all are gone", || {
            (descriptors(&server) == few).then_some(())
        });
        goes_on(10);
    });
    assert!(server.terminate().success());
}
