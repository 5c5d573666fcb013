//! What the log says of a server that is attacked in every way at once: it stays short, and leaves nothing out. The
//! whole server in memory, a clock that the test holds, and a logger that keeps what it is told; the process has but
//! one, so this is the only test here.

#[path = "support/memory_house.rs"]
mod memory_house;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record};
use memory_house::frames::{CREATE, enter, say, ucrp};
use memory_house::{House, OWN, Peer, SECOND, UCRP, UDP_LOGIN, UDP_ROOM};
use mynah::protocol::registry::Protocol::{Group, TcpRoom};
use mynah::protocol::tcrp::datagram::REGISTER;
use mynah::server::Limits;
use rustix::io::Errno;

/// What was logged, and in which millisecond of the test's.
static LINES: Mutex<Vec<(u64, String)>> = Mutex::new(Vec::new());
static NOW: AtomicU64 = AtomicU64::new(0);

struct Keeper;

impl Log for Keeper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = (NOW.load(Ordering::Relaxed), record.args().to_string());
        LINES.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

/// Time, level and target, which the journal puts before a message, and the end of the line.
const AROUND: usize = 60;

/// Where somebody hosts a room.
const HOST: &str = "192.0.2.8:8";

/// A step of the flood, and how many there are.
const STEP: Duration = Duration::from_millis(100);
const STEPS: u64 = 1500;

/// What a class of lines is about, by the words in each and by what its counts of suppressed ones begin with; and the
/// counters that came to the same.
const CLASSES: &[(&str, &str, &[&str])] = &[
    (": turned away, ", "members turned away", &["turned_away"]),
    (
        ": no room opened, ",
        "rooms not opened",
        &["refused_rooms_of_address"],
    ),
    (
        ": speaks too fast",
        "messages over their rate",
        &["over_rate"],
    ),
    (": violation: ", "violations", &["violations"]),
    (": timed out: ", "connections timed out", &["timed_out"]),
    (
        ": its name is free again: ",
        "guests silent or unreachable",
        &["never_came"],
    ),
    (": slow consumer: ", "slow consumers", &["slow"]),
    (
        ": did not take ",
        "connections closed late",
        &["closed_late"],
    ),
    (
        ": a datagram is dropped: not UTF-8",
        "datagrams dropped",
        &["dropped_malformed"],
    ),
    (
        ": a datagram is dropped: its source is forged",
        "datagrams forged, or with a bad token",
        &["dropped_own_port"],
    ),
    (
        "datagrams not received: 1 errors",
        "turns with datagrams not received",
        &["failed_receives"],
    ),
    (
        ": login refused: ",
        "logins refused",
        &["denied", "refused_try_again", "refused_busy"],
    ),
    (": account ", "accounts made", &["registered"]),
    (
        "a password was not looked at: ",
        "passwords not looked at",
        &["not_hashed"],
    ),
    (
        " cannot be written: ",
        "times that accounts were not saved",
        &["not_saved"],
    ),
    (
        ": not accepting for ",
        "times that no connection was accepted",
        &["shed"],
    ),
];

/// That which has no counter of its own: it is told once in a turn.
const NOT_SENT: (&str, &str) = ("datagrams not sent: ", "turns with datagrams not sent");

#[test]
fn r40_the_log_of_an_attack_is_short_and_tells_the_story() {
    log::set_logger(&Keeper).unwrap();
    log::set_max_level(LevelFilter::Info);
    let mut limits = Limits::default();
    limits.lag.backlog_bytes = 16 * 1024;
    limits.max_per_address = 4;
    limits.rooms_per_address = 1;
    // Everybody here is one of a few.
    limits.datagram_rate = None;
    limits.attempts.registrations_per_hour = 100;
    let mut house = House::with(limits);
    let mut attack = Attack::begin(&mut house);
    for step in 0..STEPS {
        attack.step(&mut house, step);
        NOW.fetch_add(STEP.as_millis() as u64, Ordering::Relaxed);
        house.pass(STEP);
    }
    // It is over, and what was suppressed is told without anything else to tell than of names that nobody comes for.
    for _ in 0..80 {
        NOW.fetch_add(1000, Ordering::Relaxed);
        house.pass(SECOND);
    }
    let lines = std::mem::take(&mut *LINES.lock().unwrap());

    for (_, line) in &lines {
        assert!(
            line.len() + AROUND <= mynah::journal::MAX_LINE_BYTES,
            "{line}"
        );
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    for begin in (0..STEPS * 100).step_by(1000) {
        let minute = lines
            .iter()
            .filter(|(at, _)| (begin..begin + 60_000).contains(at));
        let bytes: usize = minute.map(|(_, line)| line.len() + AROUND).sum();
        assert!(bytes <= 100_000, "{bytes} in the minute from {begin} ms");
    }
    let mut told_of = 0;
    for (words, class, counters) in CLASSES {
        let told = lines
            .iter()
            .filter(|(_, line)| line.contains(words))
            .count();
        let wanted: u64 = counters.iter().map(|counter| house.count(counter)).sum();
        assert!(wanted >= STEPS / 2, "{class}: {wanted} is no flood");
        assert!(told >= 15, "{class}: {told} lines tell nothing");
        assert_eq!(told as u64 + suppressed(&lines, class), wanted, "{class}");
        told_of += told;
    }
    let (words, class) = NOT_SENT;
    let told = lines
        .iter()
        .filter(|(_, line)| line.starts_with(words))
        .count();
    assert!(
        told as u64 + suppressed(&lines, class) >= STEPS / 2,
        "{class}"
    );
    // There is no line that is of no class.
    let counts = lines
        .iter()
        .filter(|(_, line)| line.ends_with(" suppressed"));
    assert_eq!(lines.len(), told_of + told + counts.count());
}

/// How many of a class were suppressed, as the log says.
fn suppressed(lines: &[(u64, String)], class: &str) -> u64 {
    let counts = lines.iter().filter_map(|(_, line)| {
        let rest = line.strip_prefix(class)?.strip_prefix(": ")?;
        rest.strip_suffix(" suppressed")?.parse::<u64>().ok()
    });
    counts.sum()
}

/// Everything that peers can have logged, again and again.
struct Attack {
    /// Who says too much.
    flooder: Peer,
    /// Who says what those do not take who are slow.
    talker: Peer,
}

impl Attack {
    fn begin(house: &mut House) -> Attack {
        let flooder = house.join(TcpRoom, "192.0.2.1:1", "flooder");
        for port in 2..5 {
            house.come_with(
                TcpRoom,
                &format!("192.0.2.1:{port}"),
                &enter(TcpRoom, &format!("friend{port}")),
            );
        }
        let talker = house.join(TcpRoom, "127.0.0.1:1", "talker");
        // Somebody whose name others guess the password of.
        house.give(UDP_LOGIN, "127.0.0.1:1", "C 1 PASS ann the right password");
        house.work_with_disk(|| Ok(()));
        // And one who has as many rooms as it may.
        let token = house.reserve(HOST, CREATE, "den", "host").unwrap();
        house.give(UCRP, HOST, ucrp("den", &token, REGISTER));
        Attack { flooder, talker }
    }

    fn step(&mut self, house: &mut House, step: u64) {
        house.say(&self.flooder, &say(TcpRoom, "flooder", "hi").repeat(10));
        assert!(house.come(Group, "192.0.2.1:9").is_none());
        // In 10 s it is too late for it.
        house.come(Group, "127.0.0.1:9");
        house.come_with(TcpRoom, "127.0.0.1:9", b"GET / HTTP/1.1\r\n\r\n");
        self.do_not_read(house, step);
        for junk in [&b"\xff\x1b[2J\n"[..], &[0xff; 1000]] {
            house.give(UDP_ROOM, "192.0.2.7:7", junk);
        }
        house.give(UDP_ROOM, OWN, "hi");
        house.port(UDP_ROOM).fail(Errno::HOSTUNREACH);
        house.give(
            UDP_ROOM,
            "192.0.2.7:7",
            "UN| a name for which there is an answer",
        );
        house.give(UDP_ROOM, "192.0.2.7:7", "EX|");
        house.port(UDP_ROOM).fail_to_receive(Errno::CONNREFUSED);
        house.edge(UDP_ROOM);
        house.turn();
        // The name and the room are kept for a minute, and nobody comes.
        let room = format!("room{step}");
        assert!(
            house
                .reserve("127.0.0.1:8", CREATE, &room, "host")
                .is_some()
        );
        assert!(house.reserve(HOST, CREATE, &room, "host").is_none());
        log_in(house, step);
        let (server, now) = (&mut house.server, house.now);
        let error = Errno::MFILE.into();
        server.note_not_accepted(TcpRoom, &error, STEP, now);
    }

    /// One that is cut for it, and one that does not take its last words.
    fn do_not_read(&self, house: &mut House, step: u64) {
        let deaf = house.join(TcpRoom, "127.0.0.1:9", &format!("deaf{step}"));
        deaf.stream.refuse();
        house.say(
            &self.talker,
            &say(TcpRoom, "talker", &"x".repeat(1000)).repeat(17),
        );
        let peer = house.come(Group, "127.0.0.1:9").unwrap();
        peer.stream.refuse();
        house.say(&peer, &[b'x'; 10_000]);
    }
}

/// One password is wrong, one is for a new account, one for an account that the disk does not take, and for one
/// there is no memory.
fn log_in(house: &mut House, step: u64) {
    let number = step as u16;
    let [high, low] = number.to_be_bytes();
    house.give(
        UDP_LOGIN,
        &format!("203.{high}.{low}.1:1"),
        "C 1 PASS ann a wrong password",
    );
    house.work_with_disk(|| Ok(()));
    let new = format!("127.7.{high}.{low}:1");
    house.port(UDP_LOGIN).take();
    house.give(UDP_LOGIN, &new, format!("C 1 PASS new{step} password"));
    house.work_with_disk(|| Ok(()));
    let told = house.port(UDP_LOGIN).take_for(new.parse().unwrap());
    let sid = told[0].strip_prefix("C 1 WELCOME ").unwrap();
    house.give(UDP_LOGIN, &new, format!("C 2 EX {sid}"));
    let other = format!("C {step} PASS other{step} password");
    house.give(UDP_LOGIN, "127.0.0.1:71", &other);
    house.work_with_disk(|| Err(Errno::NOSPC.into()));
    house.give(UDP_LOGIN, "127.0.0.1:72", &other);
    house.fail_to_hash();
}
