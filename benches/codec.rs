//! What the codecs cost: encode, decode whole, and decode dripped byte by byte as the worst of peers sends.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use mynah::chat::{TimeOfDay, public};
use mynah::protocol::tcp_room::frame::{self, Limits};
use mynah::protocol::{Datagrams, Decoded, Secret, group, tcrp};

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
    decode_dripped(&mut group, &say, |input, _| {
        needed(&frame::decode_message(input, &Limits::SERVER))
    });
    group.finish();
}

fn group_lines(c: &mut Criterion) {
    use group::frame::{decode_from_client, encode_broadcast};
    let mut say = Vec::new();
    encode_broadcast("alice", &[TEXT], &mut say);
    let mut group = c.benchmark_group("codec/group");
    group.throughput(Throughput::Elements(1));

    let mut out = Vec::with_capacity(4096);
    group.bench_function("encode", |b| {
        b.iter(|| {
            out.clear();
            encode_broadcast("alice", &public(black_box(TEXT)), &mut out);
            black_box(&out);
        });
    });
    group.bench_function("decode whole", |b| {
        b.iter(|| decode_from_client(black_box(&say), 0));
    });
    decode_dripped(&mut group, &say, |input, searched| {
        needed(&decode_from_client(input, searched))
    });
    group.finish();
}

fn tcrp_requests(c: &mut Criterion) {
    use tcrp::frame::{Form, Head, Operation, decode_request, encode_answers, encode_request};
    let mut request = Vec::new();
    encode_request(Form::Long, Operation::Join, "tea", "alice", &mut request);
    let head = Head {
        form: Form::Long,
        operation: Operation::Join.number(),
    };
    let mut group = c.benchmark_group("codec/tcrp");
    group.throughput(Throughput::Elements(1));

    let mut out = Vec::with_capacity(4096);
    group.bench_function("encode", |b| {
        b.iter(|| {
            out.clear();
            encode_answers(head, "tea", Ok(black_box(Secret::new([7; 16]))), &mut out);
            black_box(&out);
        });
    });
    group.bench_function("decode whole", |b| {
        b.iter(|| decode_request(black_box(&request)));
    });
    decode_dripped(&mut group, &request, |input, _| {
        needed(&decode_request(input))
    });
    group.finish();
}

fn ucrp(c: &mut Criterion) {
    use tcrp::datagram::{claimed_token, decode_to_server, encode_said, encode_to_server};
    let mut say = Vec::new();
    let token = format!("token_{}", "07".repeat(16));
    encode_to_server("tea", &token, TEXT, &mut say);
    let mut group = c.benchmark_group("codec/ucrp");
    group.throughput(Throughput::Elements(1));

    let mut out = Datagrams::new();
    group.bench_function("encode", |b| {
        b.iter(|| {
            out.clear();
            encode_said("alice", black_box(TEXT), &mut out);
            black_box(&out);
        });
    });
    group.bench_function("decode whole", |b| {
        b.iter(|| {
            let datagram = black_box(&say);
            (claimed_token(datagram), decode_to_server(datagram))
        });
    });
    group.finish();
}

/// As the server does it: while fewer bytes are there than are needed, nothing is decoded. The decoder is told
/// how many there were when it needed more, and answers how many it needs, or nothing when it is done.
fn decode_dripped(
    group: &mut BenchmarkGroup<'_, WallTime>,
    frame: &[u8],
    decode: impl Fn(&[u8], usize) -> Option<usize>,
) {
    group.bench_function("decode dripped", |b| {
        b.iter(|| {
            let (mut wanted, mut searched) = (0, 0);
            for length in 1..=frame.len() {
                if length < wanted {
                    continue;
                }
                match decode(black_box(&frame[..length]), searched) {
                    Some(needed) => (wanted, searched) = (needed, length),
                    None => return length,
                }
            }
            unreachable!("the frame is whole in the end");
        });
    });
}

fn needed<T, V>(decoded: &Result<Decoded<T>, V>) -> Option<usize> {
    match black_box(decoded) {
        Ok(Decoded::NeedMore { needed }) => Some(*needed),
        Ok(Decoded::Done { .. }) | Err(_) => None,
    }
}

criterion_group!(benches, tcp_room, group_lines, tcrp_requests, ucrp);
criterion_main!(benches);
