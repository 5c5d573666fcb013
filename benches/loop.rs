//! What the reactor's own parts cost: timers, slots, the wait, accepting, datagrams in batches.
//!
//! Throughput is in what each is about: timers, slots, readinesses, connections, datagrams.

use std::hint::black_box;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mio::{Interest, Token};
use mynah::reactor::{
    Accept, DatagramPort, Inbox, Key, Listener, Outgoing, Poller, Reserve, Slots, Timers, UdpPort,
    raise_descriptor_limit,
};
use socket2::SockRef;

/// Timers that are armed meanwhile.
const ARMED: u32 = 10_000;

/// What most timers here are for: some seconds' patience.
const PATIENCE: Duration = Duration::from_secs(20);

/// A chat message of the usual size.
const DATAGRAM: [u8; 99] = [b'x'; 99];

/// Some seconds' worth of timers, one every few milliseconds.
fn armed(start: Instant) -> Timers<u32> {
    let mut timers = Timers::new(start);
    for number in 0..ARMED {
        timers.arm(start + PATIENCE * number / ARMED, number);
    }
    timers
}

fn timers(c: &mut Criterion) {
    let start = Instant::now();
    let mut group = c.benchmark_group("loop/timers");

    let mut timers = armed(start);
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::new("arm-and-cancel", ARMED), |b| {
        b.iter(|| {
            let id = timers.arm(start + black_box(PATIENCE), 0);
            timers.cancel(id);
        });
    });
    group.bench_function(BenchmarkId::new("next-deadline", ARMED), |b| {
        b.iter(|| black_box(&timers).next_deadline());
    });
    group.bench_function(BenchmarkId::new("nothing-due", ARMED), |b| {
        let mut due = Vec::new();
        b.iter(|| timers.expire(black_box(start), &mut due));
    });
    let mut due = Vec::with_capacity(ARMED as usize);
    group.throughput(Throughput::Elements(u64::from(ARMED)));
    group.bench_function(BenchmarkId::new("all-due-in-turn", ARMED), |b| {
        b.iter_batched_ref(
            || armed(start),
            |timers| {
                due.clear();
                while let Some(now) = timers.next_deadline() {
                    timers.expire(now, &mut due);
                }
                assert_eq!(due.len(), ARMED as usize);
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn slots(c: &mut Criterion) {
    let mut slots: Slots<[u64; 16]> = Slots::new();
    let keys: Vec<Key> = (0..10_000)
        .map(|number| slots.insert_with(|_| [number; 16]))
        .collect();
    let mut group = c.benchmark_group("loop/slots");
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::new("insert-and-remove", keys.len()), |b| {
        b.iter(|| {
            let key = slots.insert_with(|_| [7; 16]);
            slots.remove(black_box(key))
        });
    });
    group.throughput(Throughput::Elements(keys.len() as u64));
    group.bench_function(BenchmarkId::new("find-each", keys.len()), |b| {
        b.iter(|| {
            let found = keys.iter().filter_map(|key| slots.get(*black_box(key)));
            found.map(|value| value[0]).sum::<u64>()
        });
    });
    group.bench_function(BenchmarkId::new("find-each-by-token", keys.len()), |b| {
        b.iter(|| {
            let tokens = keys.iter().map(|key| black_box(key.token()));
            let found = tokens.filter_map(|token| slots.get(Key::from_token(token)?));
            found.map(|value| value[0]).sum::<u64>()
        });
    });
    group.finish();
}

/// One of so many registered is ready. It is made so by registering it anew (one `epoll_ctl`, no packet):
/// there is always room to send.
fn wait(c: &mut Criterion) {
    let mut group = c.benchmark_group("loop/wait");
    group.throughput(Throughput::Elements(1));
    let allowed = raise_descriptor_limit().expect("the limit can be raised to what is allowed");
    for count in [1, 100, 1_000, 10_000] {
        if count + 100 > allowed as usize {
            println!(
                "loop/wait/one-ready/{count}: left out, no more than {allowed} descriptors are allowed"
            );
            continue;
        }
        let mut registered = None;
        group.bench_function(BenchmarkId::new("one-ready", count), |b| {
            let (poller, sockets) = registered.get_or_insert_with(|| register(count));
            let both = Interest::READABLE | Interest::WRITABLE;
            let mut next = 0;
            b.iter(|| {
                next = (next + 1) % count;
                let token = Token(next);
                let socket = &mut sockets[next];
                let again = poller.registry().reregister(socket, token, both);
                again.expect("it is registered");
                let ready = poller.wait(Some(Duration::ZERO)).expect("it can wait");
                assert_eq!(ready.map(|readiness| readiness.token).last(), Some(token));
            });
        });
    }
    group.finish();
}

/// Sockets whose first readiness, that there is room to send, is known.
fn register(count: usize) -> (Poller, Vec<UdpPort>) {
    let mut poller = Poller::new().expect("a descriptor");
    let mut sockets = Vec::new();
    for number in 0..count {
        let mut socket = UdpPort::bind(anywhere()).expect("a port is free");
        let registered = poller.register(&mut socket, Token(number));
        registered.expect("it can be waited for");
        sockets.push(socket);
    }
    let mut known = 0;
    while known < count {
        let ready = poller.wait(None).expect("it can wait");
        known += ready.count();
    }
    (poller, sockets)
}

/// Through the loopback: the client's `connect` and both `close` are in it.
fn accept(c: &mut Criterion) {
    let mut listener = Listener::bind(anywhere()).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let mut reserve = Reserve::new().expect("a descriptor");
    let mut group = c.benchmark_group("loop/accept");
    for count in [1, 64] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("connect-accept-close", count), |b| {
            b.iter(|| {
                let clients: Vec<TcpStream> = (0..count).map(|_| connect(address)).collect();
                for _ in 0..count {
                    match listener.accept(&mut reserve, b"") {
                        Accept::Connection { stream, .. } => drop(stream),
                        other => panic!("everybody is there: {other:?}"),
                    }
                }
                clients
            });
        });
    }
    group.finish();
}

/// A client whose closing is a reset: otherwise its port would be taken for a minute, and soon all of them.
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the listener is there");
    let at_once = Some(Duration::ZERO);
    let set = SockRef::from(&stream).set_linger(at_once);
    set.expect("the option exists");
    stream
}

/// One datagram to each of so many, in batches of so many, and by `send_to` one by one. They are read in
/// between, untimed.
fn send(c: &mut Criterion) {
    let mut group = c.benchmark_group("loop/send");
    for count in [32, 1_000] {
        let receivers: Vec<UdpSocket> = (0..count).map(|_| receiver()).collect();
        let addresses = receivers.iter().map(|one| one.local_addr());
        let addresses: Vec<SocketAddr> = addresses.map(|one| one.expect("it is bound")).collect();
        let bytes = black_box(&DATAGRAM[..]);
        let outgoing: Vec<Outgoing<'_>> = addresses
            .iter()
            .map(|&to| Outgoing {
                to: to.into(),
                bytes,
            })
            .collect();
        group.throughput(Throughput::Elements(count));
        let sender = receiver();
        group.bench_function(BenchmarkId::new("send-to-singly", count), |b| {
            b.iter_custom(|rounds| {
                timed(rounds, &receivers, || {
                    for to in &addresses {
                        sender.send_to(bytes, to).expect("there is room");
                    }
                })
            });
        });
        let mut port = UdpPort::bind(anywhere()).expect("a port is free");
        for batch in [1, 8, 32] {
            group.bench_function(
                BenchmarkId::new(format!("batches-of-{batch}"), count),
                |b| {
                    b.iter_custom(|rounds| {
                        timed(rounds, &receivers, || {
                            for outgoing in outgoing.chunks(batch) {
                                let sent = port.send_batch(outgoing).expect("there is room");
                                assert_eq!(sent, outgoing.len());
                            }
                        })
                    });
                },
            );
        }
    }
    group.finish();
}

fn timed(rounds: u64, receivers: &[UdpSocket], mut work: impl FnMut()) -> Duration {
    let mut buffer = [0; 256];
    let mut time = Duration::ZERO;
    for _ in 0..rounds {
        let start = Instant::now();
        work();
        time += start.elapsed();
        for receiver in receivers {
            while receiver.recv(&mut buffer).is_ok() {}
        }
    }
    time
}

/// So many datagrams that wait, taken in with one inbox, and by `recv_from` one by one. They are sent in
/// between, untimed. That there are no more is asked too, as it must be.
fn receive(c: &mut Criterion) {
    let mut group = c.benchmark_group("loop/receive");
    let sender = receiver();
    for count in [1, 8, 32] {
        group.throughput(Throughput::Elements(count));
        let single = receiver();
        let fill = |to: SocketAddr| {
            for _ in 0..count {
                sender.send_to(&DATAGRAM, to).expect("there is room");
            }
        };
        group.bench_function(BenchmarkId::new("recv-from-singly", count), |b| {
            let to = single.local_addr().expect("it is bound");
            let mut buffer = [0; 4096];
            b.iter_batched(
                || fill(to),
                |()| while single.recv_from(black_box(&mut buffer)).is_ok() {},
                BatchSize::PerIteration,
            );
        });
        let mut port = UdpPort::bind(anywhere()).expect("a port is free");
        let to = port.local_addr().expect("it is bound");
        let mut inbox = Inbox::new();
        group.bench_function(BenchmarkId::new("inbox", count), |b| {
            b.iter_batched(
                || fill(to),
                |()| {
                    let mut taken = 0;
                    let end = loop {
                        match port.recv_batch(&mut inbox) {
                            Ok(()) => taken += black_box(&inbox).iter().len(),
                            Err(error) => break error,
                        }
                    };
                    assert_eq!(end.kind(), ErrorKind::WouldBlock);
                    assert_eq!(taken as u64, count);
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn receiver() -> UdpSocket {
    let socket = UdpSocket::bind(anywhere()).expect("a port is free");
    socket.set_nonblocking(true).expect("the option exists");
    socket
}

fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .noise_threshold(0.05)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1_500));
    targets = timers, slots, wait, accept, send, receive
}
criterion_main!(benches);
