//! Peers of the byte-stream protocols that misbehave.

use socket2::{Domain, Socket, Type};

use crate::support::serve::{Client, Mynah, say};

#[test]
fn a_member_that_never_reads_is_cut_and_costs_one_backlog() {
    let server = Mynah::serve();
    let mut talker = server.join("talker");
    let mut listener = server.join("listener");
    let deaf: Vec<Client> = (0..20)
        .map(|n| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            // As little as the kernel gives, set before the handshake.
            socket.set_recv_buffer_size(2048).unwrap();
            socket.connect(&server.address().into()).unwrap();
            let mut client = Client::over(socket.into());
            client.join(&format!("deaf{n}"));
            assert_eq!(client.read_verdict(), 1);
            client
        })
        .collect();
    let before = server.memory("VmHWM");
    let text = "x".repeat(4000);
    // Kernel buffers hold some megabytes per connection; what is beyond them is ours to bound.
    let rounds = 3000;
    for _ in 0..rounds {
        talker.say(&text);
        assert_eq!(talker.hear_text().len(), 4000, "the talker is served on");
        assert_eq!(listener.hear_text().len(), 4000, "and so is the listener");
    }
    let grown = server.memory("VmHWM") - before;
    assert!(grown <= 5 * 1024, "{grown} kB for twenty that do not read");
    for (n, mut client) in deaf.into_iter().enumerate() {
        // It was cut: what the kernels held is all that it gets. Its name is free again.
        let got = client.read_to_end().len();
        assert!(got < rounds * 4000, "deaf{n} was not cut");
        server.join(&format!("deaf{n}"));
    }
}

#[test]
fn a_flooder_loses_nothing_itself() {
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
