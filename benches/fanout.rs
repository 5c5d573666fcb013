//! What a delivery costs, by protocol and size of the room: the log alone, the whole server in memory, and
//! the whole server over sockets.
//!
//! Throughput is in deliveries. In memory a write is free, so what is measured is what we add; over
//! sockets the kernel's part is there, on both sides, and nine tenths of it all.

#[path = "../tests/support/crowd.rs"]
mod crowd;
#[path = "../tests/support/memory_room.rs"]
mod memory_room;

use std::hint::black_box;
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crowd::{Crowd, Place};
use memory_room::{Room, speech};
use mynah::chat::TimeOfDay;
use mynah::fanout::{Audience, Feed};
use mynah::protocol::registry::Protocol;
use mynah::protocol::tcp_room::frame;
use mynah::server::{self, About, BanSettings, Door, House, Terms};
use speech::{FANNED_OUT, TEXT};

/// Append once, offer to everybody, forget.
fn log(c: &mut Criterion) {
    let mut group = c.benchmark_group("fanout/log");
    for members in [10, 100, 1_000, 10_000] {
        let mut audience = Audience::new();
        let mut feeds: Vec<Feed> = Vec::new();
        for member in 0..members {
            audience.join(member);
            feeds.push(Feed::default());
        }
        group.throughput(Throughput::Elements(members as u64));
        group.bench_function(BenchmarkId::new("tcp-room", members), |b| {
            b.iter(|| {
                audience.append(|out| {
                    frame::encode_said(TimeOfDay::MIDNIGHT, "alice", &[TEXT], out);
                });
                audience.take_news();
                for feed in &mut feeds {
                    let sent = black_box(feed.plain(audience.log())).map_or(0, <[u8]>::len);
                    feed.advance(audience.log(), sent);
                }
                audience.settle(|_| None);
            });
        });
    }
    group.finish();
}

/// From bytes in to bytes out, without a kernel.
fn in_memory(c: &mut Criterion) {
    in_memory_at_once(c, "fanout/memory", 1, &[10, 100, 1_000, 10_000]);
}

/// The same of many messages that came together.
fn in_bursts(c: &mut Criterion) {
    for messages in [16, 256] {
        let name = format!("fanout/memory-burst-{messages}");
        in_memory_at_once(c, &name, messages, &[100, 1_000]);
    }
}

fn in_memory_at_once(c: &mut Criterion, name: &str, messages: usize, sizes: &[usize]) {
    let mut group = c.benchmark_group(name);
    for protocol in FANNED_OUT {
        for &members in sizes {
            let deliveries = speech::listeners(protocol, members) * messages;
            group.throughput(Throughput::Elements(deliveries as u64));
            // Filled only if it is measured.
            let mut filled = None;
            group.bench_function(BenchmarkId::new(protocol.name(), members), |b| {
                let (room, speech) = filled.get_or_insert_with(|| {
                    let room = Room::with(protocol, members);
                    let speech = room.speech(0, TEXT, messages);
                    (room, speech)
                });
                b.iter(|| room.says(0, black_box(speech)));
            });
        }
    }
    group.finish();
}

/// Through the loopback: one message in flight, heard by all before the next.
fn over_sockets(c: &mut Criterion) {
    let mut group = c.benchmark_group("fanout/sockets");
    for protocol in FANNED_OUT {
        let mut crowd = None;
        for members in [10, 100, 1_000] {
            let deliveries = speech::listeners(protocol, members);
            group.throughput(Throughput::Elements(deliveries as u64));
            let mut is_complete = false;
            group.bench_function(BenchmarkId::new(protocol.name(), members), |b| {
                let crowd = crowd.get_or_insert_with(|| Crowd::new(place(protocol)));
                if !is_complete {
                    crowd.grow_to(members);
                    is_complete = true;
                }
                b.iter(|| crowd.says_and_hears());
            });
        }
    }
    group.finish();
}

/// The most members over sockets.
const CROWD: usize = 1_000;

/// Where each protocol is served, in a thread of its own, for as long as the process lives.
static PLACES: LazyLock<Vec<Place>> = LazyLock::new(|| {
    // A thousand connections have two ends in this process.
    mynah::reactor::raise_descriptor_limit().expect("the limit can be raised to what is allowed");
    let any = "127.0.0.1:0".parse().expect("an address");
    let open = |protocol| Door::open(protocol, any).expect("a port is free");
    let tokens = open(Protocol::Tcrp);
    let mut doors: Vec<Door> = FANNED_OUT.into_iter().map(open).collect();
    let address = |door: &Door| door.place().address().expect("an address");
    let places = FANNED_OUT
        .into_iter()
        .zip(&doors)
        .map(|(protocol, door)| Place {
            protocol,
            address: address(door),
            tokens: (protocol == Protocol::Ucrp).then(|| address(&tokens)),
        });
    let places = places.collect();
    doors.push(tokens);
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || {
        let house = House {
            terms: Terms::default(),
            // One protocol's members are not told what is said in another.
            isolate: true,
            accounts: Some(memory_room::accounts(CROWD)),
            bans: BanSettings::default(),
            about: About::default(),
            reread: None,
        };
        let caught = server::Caught::new().expect("signals are caught");
        server::run(doors, house, caught, || {
            let _ = ready.send(());
        })
    });
    is_ready.recv().expect("the server starts");
    places
});

fn place(protocol: Protocol) -> Place {
    let found = PLACES.iter().find(|place| place.protocol == protocol);
    *found.expect("invariant: each has a door")
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .noise_threshold(0.05)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1_500));
    targets = log, in_memory, in_bursts, over_sockets
}
criterion_main!(benches);
