//! What a delivery costs: the log alone, the whole server in memory, and the whole server over sockets.
//!
//! Throughput is in deliveries. In memory a write is free, so what is measured is what we add; over
//! sockets the kernel's part is there, on both sides, and nine tenths of it all.

#[path = "../tests/support/memory_room.rs"]
mod memory_room;

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use memory_room::Room;
use mynah::chat::{Name, TimeOfDay};
use mynah::fanout::{Audience, Feed};
use mynah::protocol::registry::Protocol;
use mynah::protocol::tcp_room::frame;
use mynah::server::{self, Door, House, Limits};

/// A payload of the usual size in such measurements.
const TEXT: &str = "0123456789012345678901234567890123456789012345678901234567890123";

fn say() -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::encode_say(TimeOfDay::MIDNIGHT, "x", TEXT, &mut bytes);
    bytes
}

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
        group.bench_function(BenchmarkId::from_parameter(members), |b| {
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
    let say = say();
    let mut group = c.benchmark_group("fanout/server in memory");
    for members in [10, 100, 1_000, 10_000] {
        let mut room = Room::with(members);
        group.throughput(Throughput::Elements(members as u64));
        group.bench_function(BenchmarkId::from_parameter(members), |b| {
            b.iter(|| room.says(0, black_box(&say)));
        });
    }
    group.finish();
}

/// Through the loopback: one message in flight, heard by all before the next.
fn over_sockets(c: &mut Criterion) {
    let address = start_server();
    let say = say();
    let mut group = c.benchmark_group("fanout/sockets");
    group.sample_size(20);
    let mut members: Vec<TcpStream> = Vec::new();
    for count in [10, 100, 1_000] {
        while members.len() < count {
            let number = members.len();
            members.push(join(address, &format!("member{number:05}")));
        }
        // 372, three strings, their lengths: what comes of one message.
        let mut heard = vec![0; 4 + 4 + 4 + 8 + 4 + "member00000".len() + 4 + TEXT.len()];
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                members[0].write_all(&say).expect("the server reads");
                for member in &mut members {
                    member.read_exact(&mut heard).expect("everybody hears it");
                }
            });
        });
    }
    group.finish();
}

/// The server in a thread of its own, for as long as the process lives.
fn start_server() -> SocketAddr {
    // A thousand connections have two ends in this process.
    mynah::reactor::raise_descriptor_limit().expect("the limit can be raised to what is allowed");
    let any = "127.0.0.1:0".parse().expect("an address");
    let door = Door::open(Protocol::TcpRoom, any).expect("a port is free");
    let address = door.address();
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || {
        let house = House {
            limits: Limits::default(),
            isolate: false,
            advertise: server::Advertise::default(),
            accounts: None,
            mesh_name: Name::parse("mynah").expect("a name"),
        };
        server::run(vec![door], house, || {
            let _ = ready.send(());
        })
    });
    is_ready.recv().expect("the server starts");
    address
}

fn join(address: SocketAddr, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_nodelay(true).expect("the option exists");
    let mut join = Vec::new();
    frame::encode_join(name, &mut join);
    stream.write_all(&join).expect("the server reads");
    // The verdict, 371, and the lines, whose sizes are all the same here.
    let mut welcome = [0; 9];
    stream.read_exact(&mut welcome).expect("a welcome");
    let lines = usize::from(welcome[5]);
    let mut rest = vec![0; lines * (4 + 4 + 8 + 4 + name.len() + 4 + TEXT.len())];
    stream.read_exact(&mut rest).expect("a history");
    stream
}

criterion_group!(benches, log, in_memory, over_sockets);
criterion_main!(benches);
