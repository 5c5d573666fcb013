//! Datagrams that the kernel refuses, that the network loses or doubles, and members of whom nothing is left but their
//! address.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::chat::Chat;
use crate::logged::{Logged, Stopped};
use crate::namespaces::{Host, Network};
use crate::support::frames::{self, JOIN};
use crate::support::serve::{Client, reserve};
use crate::support::{PATIENCE, have, or_skip, until};
use crate::tracer::{Attached, Tracer};

/// A server, and where its config is.
struct Server {
    logged: Logged,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(listen: &[&str]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("mynah.toml");
        // What is said here is not to be held back, and passwords are not what is tried.
        let settings = "[limits]
messages_per_second = 0
datagrams_per_second = 0
\
             [accounts]
argon2_memory_kib = 1024
argon2_passes = 1
argon2_lanes = 1
";
        std::fs::write(&config, settings).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        command.arg("serve").arg("--config").arg(config);
        command.arg("--data-dir").arg(folder.path());
        for listen in listen {
            command.args(["--listen", listen]);
        }
        Server {
            logged: Logged::start(command),
            _folder: folder,
        }
    }

    /// Where its socket is that it told of in this place.
    fn at(&self, place: usize) -> SocketAddr {
        self.logged.mynah.at(place)
    }

    /// Begins to trace it. Its second socket is a tcp-room.
    fn trace(&self, calls: &str, inject: &[String], poke: impl Fn(SocketAddr)) -> Attached {
        Tracer::attach(calls, inject, &self.logged.mynah, || poke(self.at(1)))
    }

    fn stop(self) -> Stopped {
        self.logged.stop()
    }
}

/// Has a server do something: somebody comes and goes.
fn poke(door: SocketAddr) {
    drop(TcpStream::connect(door).unwrap());
}

/// A member of a udp-room, of raw bytes.
struct Member {
    socket: UdpSocket,
    server: SocketAddr,
    name: String,
}

impl Member {
    fn open(server: SocketAddr, name: &str) -> Member {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Member {
            socket,
            server,
            name: name.to_owned(),
        }
    }

    fn join(server: SocketAddr, name: &str) -> Member {
        let member = Member::open(server, name);
        member.ask();
        member
    }

    fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.server).unwrap();
    }

    fn receive(&self) -> String {
        let (bytes, _) = crate::support::receive(&self.socket);
        String::from_utf8(bytes).unwrap()
    }

    /// Asks to be let in, as often as is needed; asked by a member it is answered, and nothing changes.
    fn ask(&self) {
        let wanted = format!("[{} joined the server]", self.name);
        self.insist(&format!("UN| {}", self.name), |told| {
            (told == wanted).then_some(())
        });
    }

    /// Says something until it is answered as wanted.
    fn insist<T>(&self, text: &str, wanted: impl FnMut(&str) -> Option<T>) -> T {
        insist(&self.socket, self.server, text.as_bytes(), wanted)
    }

    /// All that was said by `talker` until the last of it.
    fn lines_of(&self, talker: &str, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.receive();
            let Some(text) = line.strip_prefix(&format!("{talker}: ")) else {
                continue;
            };
            if text == last {
                return lines;
            }
            lines.push(text.to_owned());
        }
    }

    /// Reads what has come.
    fn drain(&self, mut hear: impl FnMut(&str)) {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
            hear(&String::from_utf8_lossy(&buffer[..length]));
        }
        self.socket.set_nonblocking(false).unwrap();
    }
}

/// Sends a datagram again and again, until what comes is what is wanted.
fn insist<T>(
    socket: &UdpSocket,
    server: SocketAddr,
    datagram: &[u8],
    mut wanted: impl FnMut(&str) -> Option<T>,
) -> T {
    let before = socket.read_timeout().unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    let found = 'found: loop {
        let shown = String::from_utf8_lossy(datagram);
        assert!(Instant::now() < deadline, "{shown:?} came to nothing");
        socket.send_to(datagram, server).unwrap();
        let mut buffer = [0; 4096];
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            let told = String::from_utf8_lossy(&buffer[..length]);
            if let Some(found) = wanted(&told) {
                break 'found found;
            }
        }
    };
    socket.set_read_timeout(before).unwrap();
    found
}

/// Has calls of the server's fail while somebody talks to a room, and returns how many did, what of the lines the
/// members have not heard, and how the server ended.
fn talk_while_calls_fail(calls: &str, inject: &[String]) -> (u64, u64, Stopped) {
    const LINES: usize = 12;
    let server = Server::start(&["udp-room=127.0.0.1:0", "tcp-room=127.0.0.1:0"]);
    let members: Vec<Member> = (0..5)
        .map(|n| Member::join(server.at(0), &format!("member{n}")))
        .collect();
    let talker = Member::join(server.at(0), "talker");
    // A connection's calls are the same as those for one datagram; where those fail there is none.
    let mut other = (!calls.contains("to") && !calls.contains("from")).then(|| {
        let mut other = Client::connect(server.at(1));
        other.join("other");
        assert_eq!(other.read_verdict(), 1);
        other.read_history();
        other
    });
    let tracer = server.trace(calls, inject, poke);
    let text = |n: usize| format!("line {n:04}");
    let mut lines = 0;
    until("a call that fails", || {
        for _ in 0..LINES {
            talker.send(&text(lines));
            lines += 1;
            // Each is sent before the next comes, and what waits for an edge has one. The second answer goes alone.
            talker.ask();
            talker.ask();
            talker.drain(|_| ());
        }
        tracer.injected().then_some(())
    });
    let trace = tracer.detach();
    let injected = trace.matches("(INJECTED)").count();
    assert!(injected > 0, "{trace}");
    talker.insist("the end", |told| (told == "talker: the end").then_some(()));
    let wanted: Vec<String> = (0..lines).map(text).collect();
    let mut missed = 0;
    for member in &members {
        let heard = member.lines_of("talker", "the end");
        assert!(heard.is_sorted(), "{heard:?}");
        let mut once = heard.clone();
        once.dedup();
        assert_eq!(once, heard, "nothing is heard twice");
        assert!(heard.iter().all(|line| wanted.contains(line)), "{heard:?}");
        missed += (lines - heard.len()) as u64;
    }
    // Connections never notice.
    if let Some(other) = &mut other {
        for line in &wanted {
            assert_eq!(other.hear_text(), *line);
        }
    }
    (injected as u64, missed, server.stop())
}

#[test]
fn r22_whatever_the_kernel_says_to_a_send_is_counted_and_the_others_are_sent_theirs() {
    if !have("strace") {
        return;
    }
    for call in ["sendmmsg", "sendto"] {
        // What ICMP told of an earlier one is no answer about this one, and a full socket gets room: those are sent
        // all the same.
        for (error, counter) in [
            ("ENOBUFS", Some("failed_sends_no_memory")),
            ("EMSGSIZE", Some("failed_sends_too_long")),
            ("EPERM", Some("failed_sends_no_route")),
            ("ECONNREFUSED", None),
            ("EAGAIN", None),
        ] {
            for when in ["1", "4", "2+3"] {
                let inject = format!("{call}:error={error}:when={when}");
                let (injected, missed, stopped) =
                    talk_while_calls_fail(call, std::slice::from_ref(&inject));
                let refused = counter.map_or(0, |_| injected);
                let counted = counter.map_or(0, |counter| stopped.count(counter));
                assert_eq!(counted, refused, "{inject}");
                assert_eq!(stopped.count("failed_sends"), refused, "{inject}");
                assert!(missed <= refused, "{inject}: {missed} missed");
                assert_eq!(stopped.count("overflowed"), 0, "{inject}");
                assert_eq!(
                    stopped.log.contains("the kernel refused (udp-room: "),
                    refused > 0,
                    "{inject}: {}",
                    stopped.log
                );
            }
        }
    }
}

#[test]
fn r22_whatever_the_kernel_says_to_a_receive_is_counted_and_nothing_is_lost() {
    if !have("strace") {
        return;
    }
    for error in ["ENOBUFS", "ECONNREFUSED", "EPERM", "ENOMEM", "EAGAIN"] {
        for when in ["1", "4", "2+3"] {
            let inject = format!("recvmmsg:error={error}:when={when}");
            let (injected, missed, stopped) =
                talk_while_calls_fail("recvmmsg", std::slice::from_ref(&inject));
            let told = if error == "EAGAIN" { 0 } else { injected };
            assert_eq!(stopped.count("failed_receives"), told, "{inject}");
            assert_eq!(missed, 0, "{inject}");
            let logged = stopped.log.contains("datagrams not received: ");
            assert_eq!(logged, told > 0, "{inject}: {}", stopped.log);
        }
    }
}

#[test]
fn r22_a_kernel_without_calls_for_many_datagrams_is_served_one_by_one() {
    if !have("strace") {
        return;
    }
    for error in ["ENOBUFS", "EAGAIN"] {
        // The calls for many are not there at all, and those for one fail now and then.
        let inject = [
            "recvmmsg:error=ENOSYS:when=1+".to_owned(),
            "sendmmsg:error=ENOSYS:when=1+".to_owned(),
            format!("sendto:error={error}:when=5+7"),
            format!("recvfrom:error={error}:when=5+7"),
        ];
        let calls = "recvmmsg,sendmmsg,sendto,recvfrom";
        let (injected, missed, stopped) = talk_while_calls_fail(calls, &inject);
        assert!(injected > 2, "{injected}");
        let refused = stopped.count("failed_sends");
        assert!(missed <= refused && refused <= injected, "{missed} missed");
        // One that comes behind a datagram that was sent is met by the next call, which may go well.
        assert!(refused == 0 || error != "EAGAIN", "{refused} refused");
    }
}

#[test]
fn r22_a_send_that_the_kernel_puts_off_without_a_word_is_tried_again() {
    if !have("strace") {
        return;
    }
    let server = Server::start(&["udp-room=127.0.0.1:0", "tcp-room=127.0.0.1:0"]);
    let members = ["ann", "bob"].map(|name| Member::join(server.at(0), name));
    // Heard by the members alone, so that the port is told nothing by anybody from then on.
    let mut talker = Client::connect(server.at(1));
    talker.join("talker");
    assert_eq!(talker.read_verdict(), 1);
    talker.read_history();
    let inject = ["sendmmsg:error=EAGAIN:when=1..3".to_owned()];
    let tracer = server.trace("sendmmsg", &inject, poke);
    talker.say("hello");
    for member in &members {
        assert_eq!(member.lines_of("talker", "hello"), Vec::<String>::new());
    }
    let trace = tracer.detach();
    assert_eq!(trace.matches("(INJECTED)").count(), 3, "{trace}");
    let stopped = server.stop();
    assert_eq!(
        (stopped.count("failed_sends"), stopped.count("overflowed")),
        (0, 0)
    );
}

/// A host whose own network is as slow as this, or nothing where that cannot be had.
fn slow_loopback(host: &Host, limit: &str) -> bool {
    let arguments = format!("qdisc add dev lo root tbf rate 20mbit burst 70kb limit {limit}");
    let made = host.within(|| {
        let output = Command::new("tc").args(arguments.split(' ')).output();
        output.is_ok_and(|output| output.status.success())
    });
    or_skip(made, "tc with tbf")
}

#[test]
fn r22_a_full_socket_goes_on_when_there_is_room() {
    const MEMBERS: usize = 8;
    const LINES: usize = 40;
    let Some(network) = Network::of::<1>() else {
        return;
    };
    let [host] = network.hosts();
    if !have("strace") || !slow_loopback(host, "4mb") {
        return;
    }
    let (server, members, talker) = host.within(|| {
        let server = Server::start(&["udp-room=127.0.0.1:0", "tcp-room=127.0.0.1:0"]);
        let members: Vec<Member> = (0..MEMBERS)
            .map(|n| Member::join(server.at(0), &format!("member{n}")))
            .collect();
        let talker = Member::join(server.at(0), "talker");
        (server, members, talker)
    });
    let poke_there = |door| host.within(|| poke(door));
    let tracer = server.trace("sendmmsg,sendto", &[], poke_there);
    let text = |n: usize| format!("{n:04}{}", "x".repeat(900));
    for window in 0..4 {
        let wanted: Vec<String> = (0..LINES).map(|n| text(window * LINES + n)).collect();
        wanted.iter().for_each(|line| talker.send(line));
        talker.send("so far");
        for member in members.iter().chain([&talker]) {
            assert_eq!(member.lines_of("talker", "so far"), wanted);
        }
    }
    let trace = tracer.detach();
    let refused = trace.matches("EAGAIN").count();
    assert!(refused > 0, "its buffer was never full");
    let stopped = server.stop();
    assert_eq!(
        (stopped.count("failed_sends"), stopped.count("overflowed")),
        (0, 0)
    );
}

#[test]
fn r22_what_a_full_device_drops_is_counted_one_by_one() {
    const MEMBERS: usize = 8;
    const ROUNDS: usize = 20;
    const LINES: usize = 10;
    let Some(network) = Network::of::<1>() else {
        return;
    };
    let [host] = network.hosts();
    if !slow_loopback(host, "20kb") {
        return;
    }
    let (server, members, mut talker) = host.within(|| {
        let server = Server::start(&["udp-room=127.0.0.1:0", "tcp-room=127.0.0.1:0"]);
        let members: Vec<Member> = (0..MEMBERS)
            .map(|n| Member::join(server.at(0), &format!("member{n}")))
            .collect();
        let mut talker = Client::connect(server.at(1));
        talker.join("talker");
        assert_eq!(talker.read_verdict(), 1);
        talker.read_history();
        (server, members, talker)
    });
    let mut heard = 0;
    let mut count = |told: &str| heard += usize::from(told.starts_with("talker: "));
    let text = "x".repeat(900);
    for _ in 0..ROUNDS {
        for _ in 0..LINES {
            talker.say(&text);
        }
        for _ in 0..LINES {
            talker.hear();
        }
        members.iter().for_each(|member| member.drain(&mut count));
    }
    // Behind all that is still on its way.
    for member in &members {
        member.insist("UN| whoever", |told| {
            count(told);
            told.starts_with("[you are ").then_some(())
        });
    }
    let stopped = server.stop();
    let refused = stopped.count("failed_sends") as usize;
    assert!(refused > 0, "nothing was dropped");
    assert_eq!(heard + refused, ROUNDS * LINES * MEMBERS);
}

/// Everything that a member of group is told, by a way that loses nothing.
struct Observer {
    stream: TcpStream,
    lines: Receiver<String>,
    told: Vec<String>,
}

impl Observer {
    fn join(server: SocketAddr) -> Observer {
        let mut stream = TcpStream::connect(server).unwrap();
        stream
            .write_all(b"REGISTER:observer:0.0.0.0:0\r\n")
            .unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let list = receiver.recv_timeout(PATIENCE).unwrap();
        assert!(list.starts_with("LIST:observer"), "{list}");
        Observer {
            stream,
            lines: receiver,
            told: Vec::new(),
        }
    }

    /// How many lines begin like that, of all so far.
    fn count(&mut self, begin: &str) -> usize {
        self.told.extend(self.lines.try_iter());
        let begins = |line: &&String| line.starts_with(begin);
        self.told.iter().filter(begins).count()
    }

    fn say(&mut self, text: &str) {
        let line = format!("BROADCAST:observer:{}:{text}\r\n", text.len());
        self.stream.write_all(line.as_bytes()).unwrap();
    }
}

fn ucrp(token: &str, text: &str) -> Vec<u8> {
    frames::ucrp("lobby", token, text)
}

#[test]
fn r23_with_a_third_lost_both_ways_and_all_sent_twice_everybody_comes_speaks_and_goes_once() {
    let Some(network) = Network::of::<3>() else {
        return;
    };
    let hosts: [&Host; 3] = network.hosts();
    let [host, one, two] = hosts;
    for host in hosts {
        host.iptables("-A INPUT -p udp -m statistic --mode random --probability 0.3 -j DROP");
    }
    let ip = host.ip;
    let server = host.within(|| {
        let listen = [
            ("group", 1337),
            ("udp-room", 9999),
            ("udp-login", 65015),
            ("tcrp", 9090),
        ];
        let listen = listen.map(|(protocol, port)| format!("{protocol}={ip}:{port}"));
        Server::start(&listen.each_ref().map(String::as_str))
    });
    let mut observer = one.within(|| Observer::join(host.at(1337)));
    let open = |host: &Host| host.within(|| UdpSocket::bind((host.ip, 0)).unwrap());
    let twice = |socket: &UdpSocket, to: SocketAddr, datagram: &[u8]| {
        for _ in 0..2 {
            socket.send_to(datagram, to).unwrap();
        }
    };
    let came = |observer: &mut Observer, name: &str| {
        let line = format!("UPDATE:JOIN:{name}:");
        observer.count(&line)
    };
    let spoke = |observer: &mut Observer, name: &str| {
        let line = format!("BROADCAST:{name}:");
        observer.count(&line)
    };
    let went = |observer: &mut Observer, name: &str| {
        let line = format!("UPDATE:LEAVE:{name}:");
        observer.count(&line)
    };
    let mut names = Vec::new();

    let mut rooms = Vec::new();
    for (n, at) in [one, two, one, two].into_iter().enumerate() {
        let (socket, name) = (open(at), format!("room{n}"));
        let wanted = format!("[{name} joined the server]");
        let asks = format!("UN| {name}");
        twice(&socket, host.at(9999), asks.as_bytes());
        insist(&socket, host.at(9999), asks.as_bytes(), |told| {
            (told == wanted).then_some(())
        });
        names.push(name.clone());
        rooms.push((socket, name));
    }
    let mut logins = Vec::new();
    for (n, at) in [one, two].into_iter().enumerate() {
        let (socket, name) = (open(at), format!("login{n}"));
        let ask = |request: &str, answer: &str| {
            twice(&socket, host.at(65015), request.as_bytes());
            insist(&socket, host.at(65015), request.as_bytes(), |told| {
                told.strip_prefix(answer).map(str::to_owned)
            })
        };
        ask(&format!("C 1 LOGIN {name}"), "C 1 PASSWORD new");
        let sid = ask(&format!("C 2 PASS {name} password"), "C 2 WELCOME ");
        ask(&format!("C 3 PING {sid}"), "C 3 PONG");
        names.push(name.clone());
        logins.push((socket, name, sid));
    }
    let mut tokens = Vec::new();
    for (n, at) in [one, two].into_iter().enumerate() {
        let name = format!("token{n}");
        let stream = at.within(|| TcpStream::connect(host.at(9090)).unwrap());
        let token = reserve(stream, JOIN, "lobby", &name);
        let socket = open(at);
        until("a register that comes", || {
            twice(&socket, host.at(9091), &ucrp(&token, "__REGISTER__"));
            (came(&mut observer, &name) > 0).then_some(())
        });
        names.push(name.clone());
        tokens.push((socket, name, token));
    }
    for name in &names {
        until(name, || (came(&mut observer, name) > 0).then_some(()));
    }

    for (socket, name) in &rooms {
        let echo = format!("{name}: hello");
        insist(socket, host.at(9999), b"hello", |told| {
            (told == echo).then_some(())
        });
    }
    for (socket, _, sid) in &logins {
        for (request, answer) in [
            (format!("C 4 PM {sid}"), "C 4 READY"),
            (format!("D 5 {sid} hello"), "C 5 SENT "),
        ] {
            twice(socket, host.at(65015), request.as_bytes());
            insist(socket, host.at(65015), request.as_bytes(), |told| {
                told.starts_with(answer).then_some(())
            });
        }
    }
    for (socket, name, token) in &tokens {
        until("a line that comes", || {
            twice(socket, host.at(9091), &ucrp(token, "hello"));
            (spoke(&mut observer, name) > 0).then_some(())
        });
    }
    for name in &names {
        until(name, || (spoke(&mut observer, name) > 0).then_some(()));
    }

    for (socket, name) in &rooms {
        until("a goodbye that comes", || {
            twice(socket, host.at(9999), b"EX|");
            (went(&mut observer, name) > 0).then_some(())
        });
    }
    for (socket, name, sid) in &logins {
        let request = format!("C 6 EX {sid}");
        twice(socket, host.at(65015), request.as_bytes());
        insist(socket, host.at(65015), request.as_bytes(), |told| {
            ["C 6 BYE", "C 6 GONE"].contains(&told).then_some(())
        });
        until(name, || (went(&mut observer, name) > 0).then_some(()));
    }
    for (socket, name, token) in &tokens {
        until("a goodbye that comes", || {
            twice(socket, host.at(9091), &ucrp(token, "__LEAVE__"));
            (went(&mut observer, name) > 0).then_some(())
        });
    }
    for name in &names {
        let times = (came(&mut observer, name), went(&mut observer, name));
        assert_eq!(times, (1, 1), "{name} comes once and goes once");
    }
    for (_, name, _) in &logins {
        assert_eq!(spoke(&mut observer, name), 1, "a request is executed once");
    }
    let stopped = server.stop();
    assert_eq!(stopped.count("joined"), names.len() as u64 + 1);
    assert_eq!(stopped.count("registered"), 2);
}

#[test]
fn r23_a_member_that_was_killed_is_let_go_once_its_machine_says_so() {
    let server = Server::start(&[
        "group=127.0.0.1:0",
        "udp-room=127.0.0.1:0",
        "udp-login=127.0.0.1:0",
        "tcrp=127.0.0.1:0",
    ]);
    let mut observer = Observer::join(server.at(0));
    let ucrp = server.at(4);
    let mut killed = Vec::new();
    for (protocol, place, more) in [
        ("udp-room", 1, String::new()),
        ("udp-login", 2, String::new()),
        ("tcrp", 3, format!(" --join lobby --ucrp {ucrp}")),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        let arguments = format!(
            "chat {protocol} {} --name {protocol}{more} --json",
            server.at(place)
        );
        command
            .args(arguments.split(' '))
            .env("MYNAH_PASSWORD", "password");
        let mut chat = Chat::spawn(&mut command);
        chat.joined();
        let line = format!("UPDATE:JOIN:{protocol}:");
        until(protocol, || (observer.count(&line) > 0).then_some(()));
        // Nothing is said any more.
        chat.signal(Signal::KILL);
        assert_eq!(chat.wait().status, None);
        killed.push(protocol);
    }
    let stays = Member::join(server.at(1), "stays");
    until("all to be missed", || {
        // Only what is sent there can come back as unreachable.
        observer.say("anybody?");
        let gone = |name: &&str| observer.count(&format!("UPDATE:LEAVE:{name}:")) == 1;
        killed.iter().all(gone).then_some(())
    });
    stays.ask();
    assert_eq!(observer.count("UPDATE:LEAVE:stays:"), 0);
    let stopped = server.stop();
    assert_eq!(stopped.count("unreachable"), 3);
    for name in killed {
        let line = format!("{name}: left: nobody receives at its address");
        assert!(stopped.log.contains(&line), "{}", stopped.log);
    }
}

#[test]
fn r34_a_port_of_ipv6_takes_ipv6_alone_and_both_families_are_one_room() {
    if !or_skip(UdpSocket::bind("[::1]:0").is_ok(), "IPv6 on the loopback") {
        return;
    }
    let server = Server::start(&["udp-room=[::]:0", "udp-room=0.0.0.0:0"]);
    let (six, four) = (server.at(0).port(), server.at(1).port());
    // Whoever comes to its port by IPv4 finds nobody there, and does not come in by a mapped address.
    let stray = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    stray.set_read_timeout(Some(PATIENCE)).unwrap();
    stray.connect((Ipv4Addr::LOCALHOST, six)).unwrap();
    stray.send(b"UN| stray").unwrap();
    let refused = stray.recv(&mut [0; 64]).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    let by_four = Member::join((Ipv4Addr::LOCALHOST, four).into(), "four");
    let socket = UdpSocket::bind("[::1]:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let by_six = Member {
        socket,
        server: format!("[::1]:{six}").parse().unwrap(),
        name: "six".to_owned(),
    };
    by_six.ask();
    by_six.send("hello, four");
    assert_eq!(by_four.lines_of("six", "hello, four"), Vec::<String>::new());
    by_four.send("hello, six");
    let before = by_six.lines_of("four", "hello, six");
    assert_eq!(before, Vec::<String>::new());
    let stopped = server.stop();
    assert_eq!(stopped.count("joined"), 2);
}

#[test]
fn r12_who_listens_beyond_this_machine_for_a_protocol_without_proof_is_warned() {
    for (protocol, words) in [
        ("udp-room", "nobody there can prove who he is"),
        ("udp-login", "passwords"),
    ] {
        for (address, warns) in [("0.0.0.0:0", true), ("127.0.0.1:0", false)] {
            let server = Server::start(&[&format!("{protocol}={address}")]);
            let log = server.stop().log;
            let warned = log
                .lines()
                .any(|line| line.contains("WARN") && line.contains(words));
            assert_eq!(warned, warns, "{protocol} on {address}: {log}");
        }
    }
}
