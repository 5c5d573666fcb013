//! Peers of the byte-stream protocols that misbehave.

use mynah::protocol::registry::Protocol;
use socket2::{Domain, Socket, Type};

use crate::logged::Logged;
use crate::support::frames::{self, STREAMS, enter};
use crate::support::serve::{Client, Mynah, say};

#[test]
fn r01_members_that_never_read_are_cut_and_cost_one_backlog() {
    let server = Logged::serve();
    let mut talker = server.mynah.join("talker");
    let mut listener = server.mynah.join("listener");
    let deaf: Vec<Client> = (0..20)
        .map(|n| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            // As little as the kernel gives, set before the handshake.
            socket.set_recv_buffer_size(2048).unwrap();
            socket.connect(&server.mynah.address().into()).unwrap();
            let mut client = Client::over(socket.into());
            client.join(&format!("deaf{n}"));
            assert_eq!(client.read_verdict(), 1);
            client
        })
        .collect();
    let before = server.mynah.memory("VmHWM");
    // 100 MB. Kernel buffers hold some of them per connection; what is beyond them is ours to bound.
    let text = "x".repeat(4000);
    let (rounds, burst) = (3125, 8);
    let burst_of = say("12:34:56", "talker", &text).repeat(burst);
    for _ in 0..rounds {
        talker.send(&burst_of);
        for _ in 0..burst {
            assert_eq!(talker.hear_text().len(), 4000, "the talker is served on");
            assert_eq!(listener.hear_text().len(), 4000, "and so is the listener");
        }
    }
    let grown = server.mynah.memory("VmHWM") - before;
    assert!(grown <= 5 * 1024, "{grown} kB for twenty that do not read");
    for (n, client) in deaf.into_iter().enumerate() {
        let mut client = client;
        // It was cut, and what our kernel still had for it, megabytes, was given back at once: what its own held is all
        // that it gets. Its name is free again.
        let got = client.read_to_end().len();
        assert!(got < 64 * 1024, "deaf{n} got {got} bytes");
        server.mynah.join(&format!("deaf{n}"));
    }
    let stopped = server.stop();
    assert_eq!(stopped.count("slow"), 20);
    // It is told who was cut and why; or that there were more.
    let why = " bytes behind the room, the limit is 1048576";
    let told = stopped
        .log
        .lines()
        .filter(|line| line.contains(": slow consumer: "));
    let told: Vec<&str> = told.collect();
    for (n, line) in told.iter().enumerate() {
        let who = format!(" deaf{n}: slow consumer: ");
        assert!(line.contains(&who) && line.ends_with(why), "{line}");
    }
    let suppressed = stopped.log.lines().filter_map(|line| {
        let (_, count) = line.split_once("slow consumers: ")?;
        count.strip_suffix(" suppressed")?.parse::<usize>().ok()
    });
    assert!(told.len() >= 10, "{}", stopped.log);
    assert_eq!(
        told.len() + suppressed.sum::<usize>(),
        20,
        "{}",
        stopped.log
    );
}

#[test]
fn r03_what_comes_byte_by_byte_is_the_same_conversation() {
    let listens = STREAMS.map(|protocol| format!("{protocol}=127.0.0.1:0"));
    let arguments: Vec<&str> = listens.iter().flat_map(|on| ["--listen", on]).collect();
    // Each conversation has a server of its own: the names are free.
    let converse = |at: usize, bytes: &[u8], size: usize| {
        let server = Mynah::serve_with(&arguments);
        let mut listener = server.join("listener");
        let mut speaker = Client::connect(server.at(at));
        for part in bytes.chunks(size) {
            speaker.send(part);
        }
        speaker.end();
        let told = speaker.read_to_end();
        listener.end();
        (told, listener.read_to_end())
    };
    for (at, protocol) in STREAMS.into_iter().enumerate() {
        let name = "am\u{e9}lie";
        let last = "a bird: \u{1f426}";
        let mut bytes = enter(protocol, name);
        if protocol != Protocol::Tcrp {
            for text in ["hi", "", last] {
                bytes.extend(frames::say(protocol, name, text));
            }
        }
        let mut whole = converse(at, &bytes, bytes.len());
        let mut dripped = converse(at, &bytes, 1);
        for (told, heard) in [&mut whole, &mut dripped] {
            assert!(!told.is_empty(), "{protocol}");
            if protocol == Protocol::Tcrp {
                // A token is never the same.
                let token = told.windows(6).position(|part| part == b"token_");
                let token = token.expect("it is given one") + 6;
                told[token..token + 32].fill(b'0');
            } else {
                assert!(heard.ends_with(last.as_bytes()), "{protocol}");
                hide_times(heard);
                hide_times(told);
            }
        }
        assert_eq!(dripped, whole, "{protocol}");
    }
}

/// Makes every time of day the same: where a protocol's peers say none, it is the server's.
fn hide_times(bytes: &mut [u8]) {
    for at in 0..bytes.len().saturating_sub(7) {
        let time = &mut bytes[at..at + 8];
        if time[2] == b':' && time[5] == b':' && time[0].is_ascii_digit() {
            time.copy_from_slice(b"00:00:00");
        }
    }
}

#[test]
fn r43_a_flooder_loses_nothing_itself() {
    let server = Mynah::serve();
    let mut flooder = server.join("flooder");
    let lines = 20_000;
    let mut bytes = Vec::new();
    for n in 0..lines {
        bytes.extend(say("00:00:00", "", &format!("{n:0500}")));
    }
    let mut writer = Client::over(flooder.stream.try_clone().unwrap());
    let writing = std::thread::spawn(move || writer.send(&bytes));
    for n in 0..lines {
        assert_eq!(flooder.hear_text(), format!("{n:0500}"));
    }
    writing.join().unwrap();
    let peak = server.memory("VmHWM");
    assert!(peak <= 12 * 1024, "{peak} kB at its peak");
}
