//! Those who guess passwords, ask who has an account, or only make the server hash: R16, R17, R19.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use mynah::protocol::registry::Protocol;
use mynah::store::{self, HashCost, Password};

use crate::chatters::{beside, milliseconds};
use crate::server::Server;
use crate::slow::{FEW, median};
use crate::{Figure, Order, figure};

const PASSWORD: &str = "the right password";

/// One who logs in, or tries to.
struct Visitor {
    socket: UdpSocket,
    seq: u64,
}

impl Visitor {
    /// From an address of this machine that only it has.
    fn new(server: SocketAddr, number: usize) -> io::Result<Visitor> {
        let [_, _, high, low] = u32::try_from(number).unwrap_or(0).to_be_bytes();
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 3, high, low), 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Visitor { socket, seq: 0 })
    }

    /// The answer without its number, and how long it took.
    fn try_password(&mut self, name: &str, password: &str) -> io::Result<(String, Duration)> {
        self.seq += 1;
        let start = Instant::now();
        let asked = format!("C {} PASS {name} {password}", self.seq);
        self.socket.send(asked.as_bytes())?;
        let mine = format!("C {} ", self.seq);
        loop {
            let mut buffer = [0; 4096];
            let count = self.socket.recv(&mut buffer)?;
            let answer = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if let Some(answer) = answer.strip_prefix(&mine) {
                return Ok((answer.to_owned(), start.elapsed()));
            }
        }
    }
}

/// A file with these accounts, all of one password, at the usual cost.
fn accounts(names: impl Iterator<Item = String>) -> io::Result<String> {
    let broken = |_| io::Error::other("no hash");
    let password = Password::new(PASSWORD).map_err(|_| io::Error::other("no password"))?;
    let phc = store::hash(&password, [7; 16], HashCost::default()).map_err(broken)?;
    let mut text = String::from("{\"version\":1,\"users\":{");
    for (number, name) in names.enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            text,
            "{comma}\"{name}\":{{\"password\":\"{}\"}}",
            phc.as_str()
        );
    }
    text.push_str("}}");
    Ok(text)
}

/// A thousand wrong passwords a second for one account.
pub fn r16(order: &Order) -> io::Result<Vec<Figure>> {
    let victim = accounts(["victim".to_owned()].into_iter())?;
    let server = Server::start_with(&order.server, Some(&victim), "", None)?;
    server.warm_up()?;
    let room = server.address(Protocol::TcpRoom);
    let login = server.address(Protocol::UdpLogin);
    let pause = || {
        thread::sleep(Duration::from_secs(order.seconds));
        Ok(())
    };
    let ((), quiet) = beside(room, FEW, pause)?;
    let storm = || {
        let visitor = Visitor::new(login, 1)?;
        visitor.socket.set_nonblocking(true)?;
        let (start, mut hashed, mut answered) = (Instant::now(), 0, 0);
        let mut buffer = [0; 4096];
        for number in 1..=1000 * order.seconds {
            let asked = format!("C {number} PASS victim wrong-{number}");
            visitor.socket.send(asked.as_bytes())?;
            while let Ok(count) = visitor.socket.recv(&mut buffer) {
                let answer = String::from_utf8_lossy(&buffer[..count]);
                answered += 1;
                hashed += u32::from(answer.contains("DENIED") && !answer.contains("try again"));
            }
            let due = start + Duration::from_millis(number);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        Ok((hashed, answered))
    };
    let ((hashed, answered), waits) = beside(room, FEW, storm)?;
    let what = format!(
        "p99 of chat under 1000 wrong passwords a second ({answered} answered; quiet {:.2} ms)",
        milliseconds(&quiet, 0.99)
    );
    // Five, and one after each wait, which are 1, 2, 4 … seconds.
    let waits_over = (1..9).filter(|n| (1 << n) - 1 <= order.seconds).count();
    let most = (5 + waits_over) as f64;
    Ok(vec![
        figure(
            "R16",
            "passwords looked at for one account",
            hashed.into(),
            "",
            most,
        ),
        figure("R16", what, milliseconds(&waits, 0.99), "ms", 5.0),
    ])
}

/// Whether the time of a no tells which no it is.
pub fn r17(order: &Order) -> io::Result<Vec<Figure>> {
    let samples = order.samples.min(4000);
    let names = |kind: &'static str| (0..samples).map(move |n| format!("{kind}{n}"));
    let file = accounts(names("held").chain(names("free")))?;
    let settings = "[accounts]\nregistration = \"closed\"\n";
    let server = Server::start_with(&order.server, Some(&file), settings, None)?;
    let login = server.address(Protocol::UdpLogin);
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    let mut answers = BTreeSet::new();
    for number in 0..samples {
        let held = format!("held{number}");
        let (welcome, _) = Visitor::new(login, 4 * number)?.try_password(&held, PASSWORD)?;
        if !welcome.starts_with("WELCOME") {
            return Err(io::Error::other(welcome));
        }
        let tries = [
            (held, PASSWORD),
            (format!("free{number}"), "the wrong password"),
            (format!("nobody{number}"), PASSWORD),
        ];
        for (kind, (name, password)) in tries.iter().enumerate() {
            // Another comes first each time.
            let mut visitor = Visitor::new(login, 4 * number + 1 + kind)?;
            let (answer, time) = visitor.try_password(name, password)?;
            times[kind].push(time.as_secs_f64() * 1000.0);
            answers.insert(answer);
        }
    }
    let medians = times.map(|mut times| median(&mut times));
    let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
    let most = medians.iter().copied().fold(0.0, f64::max);
    let [online, wrong, closed] = medians;
    let what = format!(
        "medians of {samples} each: online {online:.2}, wrong password {wrong:.2}, closed {closed:.2} ms; apart by"
    );
    Ok(vec![
        figure("R17", "different answers", answers.len() as f64, "", 1.0),
        figure("R17", what, (most / least - 1.0) * 100.0, "%", 5.0),
    ])
}

/// Ten thousand log in at once, each under a name of its own.
pub fn r19(order: &Order) -> io::Result<Vec<Figure>> {
    let server = Server::warm(&order.server)?;
    let room = server.address(Protocol::TcpRoom);
    let login = server.address(Protocol::UdpLogin);
    let before = server.usage()?.resident_kib;
    let storm = || {
        for number in 0..10_000 {
            let visitor = Visitor::new(login, number)?;
            let asked = format!("C 1 PASS somebody{number} password-{number}");
            visitor.socket.send(asked.as_bytes())?;
        }
        // Those that were let wait are hashed meanwhile.
        thread::sleep(Duration::from_secs(order.seconds));
        Ok(())
    };
    let (((), largest), waits) = beside(room, FEW, || server.largest(storm))?;
    let grown = (largest - before) / 1024.0;
    let what = format!("p99 of {FEW} chatters under 10000 logins");
    Ok(vec![
        figure("R19", "memory for 10000 logins at once", grown, "MiB", 20.0),
        figure("R19", what, milliseconds(&waits, 0.99), "ms", 5.0),
    ])
}
