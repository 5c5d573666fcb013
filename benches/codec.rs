//! What the codecs cost: encode, decode whole, and decode dripped byte by byte as the worst of peers sends.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mynah::chat::TimeOfDay;
use mynah::protocol::Decoded;
use mynah::protocol::tcp_room::frame::{self, Limits};

/// A line of chat as people write them.
const TEXT: &str = "the quick brown fox jumps over the lazy dog and does not look back";

fn tcp_room(c: &mut Criterion) {
    let mut say = Vec::new();
    frame::encode_say(TimeOfDay::MIDNIGHT, "alice", TEXT, &mut say);
    let mut group = c.benchmark_group("codec/tcp-room");
    group.throughput(Throughput::Elements(1));

    let mut out = Vec::with_capacity(4096);
    group.bench_function("encode", |b| {
        b.iter(|| {
            out.clear();
            frame::encode_said(TimeOfDay::MIDNIGHT, "alice", &[black_box(TEXT)], &mut out);
            black_box(&out);
        });
    });
    group.bench_function("decode whole", |b| {
        b.iter(|| frame::decode_message(black_box(&say), &Limits::SERVER));
    });
    // As the server does it: while fewer bytes are there than are needed, nothing is decoded.
    group.bench_function("decode dripped", |b| {
        b.iter(|| {
            let mut wanted = 0;
            for length in 1..=say.len() {
                if length < wanted {
                    continue;
                }
                let input = black_box(&say[..length]);
                match frame::decode_message(input, &Limits::SERVER) {
                    Ok(Decoded::NeedMore { needed }) => wanted = needed,
                    other => return black_box(other).is_ok(),
                }
            }
            unreachable!("the frame is whole in the end");
        });
    });
    group.finish();
}

criterion_group!(benches, tcp_room);
criterion_main!(benches);
