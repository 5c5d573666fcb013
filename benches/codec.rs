//! What the codecs cost: encode, decode whole, and decode dripped byte by byte as the worst of peers sends.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use mynah::chat::{History, TimeOfDay, public};
use mynah::protocol::tcp_room::frame::{self, Limits};
use mynah::protocol::{Datagrams, Decoded, Secret, group, tcrp, udp_login, udp_mesh, udp_room};

/// A line of chat as people write them.
const TEXT: &str = "the quick brown fox jumps over the lazy dog and does not look back";

fn tcp_room(c: &mut Criterion) {
    let mut say = Vec::new();
    frame::encode_say(TimeOfDay::MIDNIGHT, "alice", TEXT, &mut say);
    let mut group = c.benchmark_group("codec");
    let of = |what: &str| BenchmarkId::new(what, "tcp-room");
    group.throughput(Throughput::Elements(1));

    let mut out = Vec::with_capacity(4096);
    group.bench_function(of("encode"), |b| {
        b.iter(|| {
            out.clear();
            frame::encode_said(TimeOfDay::MIDNIGHT, "alice", &[black_box(TEXT)], &mut out);
            black_box(&out);
        });
    });
    group.bench_function(of("decode-whole"), |b| {
        b.iter(|| frame::decode_message(black_box(&say), &Limits::SERVER));
    });
    let mut said = Vec::new();
    frame::encode_said(TimeOfDay::MIDNIGHT, "alice", &[TEXT], &mut said);
    group.bench_function(of("decode-as-a-client"), |b| {
        b.iter(|| frame::decode_message(black_box(&said), &Limits::CLIENT));
    });
    decode_dripped(&mut group, "tcp-room", &say, |input, _| {
        needed(&frame::decode_message(input, &Limits::SERVER))
    });
    group.finish();
}

fn group_lines(c: &mut Criterion) {
    use group::frame::{decode_from_client, decode_from_server, encode_broadcast};
    let mut say = Vec::new();
    encode_broadcast("alice", &[TEXT], &mut say);
    let mut group = c.benchmark_group("codec");
    let of = |what: &str| BenchmarkId::new(what, "group");
    group.throughput(Throughput::Elements(1));

    let mut out = Vec::with_capacity(4096);
    group.bench_function(of("encode"), |b| {
        b.iter(|| {
            out.clear();
            encode_broadcast("alice", &public(black_box(TEXT)), &mut out);
            black_box(&out);
        });
    });
    group.bench_function(of("decode-whole"), |b| {
        b.iter(|| decode_from_client(black_box(&say), 0));
    });
    group.bench_function(of("decode-as-a-client"), |b| {
        b.iter(|| decode_from_server(black_box(&say), 0));
    });
    decode_dripped(&mut group, "group", &say, |input, searched| {
        needed(&decode_from_client(input, searched))
    });
    group.finish();
}

fn tcrp_requests(c: &mut Criterion) {
    use tcrp::frame::{
        Form, Head, Operation, decode_answer, decode_request, encode_answers, encode_request,
    };
    let mut request = Vec::new();
    encode_request(Form::Long, Operation::Join, "tea", "alice", &mut request);
    let head = Head {
        form: Form::Long,
        operation: Operation::Join.number(),
    };
    let mut group = c.benchmark_group("codec");
    let of = |what: &str| BenchmarkId::new(what, "tcrp");
    group.throughput(Throughput::Elements(1));

    let mut out = Vec::with_capacity(4096);
    group.bench_function(of("encode"), |b| {
        b.iter(|| {
            out.clear();
            encode_answers(head, "tea", Ok(black_box(Secret::new([7; 16]))), &mut out);
            black_box(&out);
        });
    });
    group.bench_function(of("decode-whole"), |b| {
        b.iter(|| decode_request(black_box(&request)));
    });
    let mut answers = Vec::new();
    encode_answers(head, "tea", Ok(Secret::new([7; 16])), &mut answers);
    group.bench_function(of("decode-as-a-client"), |b| {
        b.iter(|| decode_answer(black_box(&answers), Form::Long));
    });
    decode_dripped(&mut group, "tcrp", &request, |input, _| {
        needed(&decode_request(input))
    });
    group.finish();
}

fn ucrp(c: &mut Criterion) {
    use tcrp::datagram::{
        claimed_token, decode_to_member, decode_to_server, encode_said, encode_to_server,
    };
    let mut say = Vec::new();
    let token = format!("token_{}", "07".repeat(16));
    encode_to_server("tea", &token, TEXT, &mut say);
    let mut group = c.benchmark_group("codec");
    let of = |what: &str| BenchmarkId::new(what, "ucrp");
    group.throughput(Throughput::Elements(1));

    let mut out = Datagrams::new();
    group.bench_function(of("encode"), |b| {
        b.iter(|| {
            out.clear();
            encode_said("alice", black_box(TEXT), &mut out);
            black_box(&out);
        });
    });
    group.bench_function(of("decode-whole"), |b| {
        b.iter(|| {
            let datagram = black_box(&say);
            (claimed_token(datagram), decode_to_server(datagram))
        });
    });
    out.clear();
    encode_said("alice", TEXT, &mut out);
    let said = out.iter().next().map(<[u8]>::to_vec).unwrap_or_default();
    group.bench_function(of("decode-as-a-client"), |b| {
        b.iter(|| black_box(decode_to_member(black_box(&said))).is_ok());
    });
    group.finish();
}

/// As the server does it: while fewer bytes are there than are needed, nothing is decoded. The decoder is told
/// how many there were when it needed more, and answers how many it needs, or nothing when it is done.
fn decode_dripped(
    group: &mut BenchmarkGroup<'_, WallTime>,
    protocol: &str,
    frame: &[u8],
    decode: impl Fn(&[u8], usize) -> Option<usize>,
) {
    group.bench_function(BenchmarkId::new("decode-dripped", protocol), |b| {
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

fn udp_room(c: &mut Criterion) {
    use udp_room::frame::{Asked, Heard, decode_asked, decode_heard, encode_asked, encode_heard};

    let claimed = Some("alice");
    let mut say = Vec::new();
    encode_asked(
        &Asked::Say {
            claimed,
            text: TEXT,
        },
        &mut say,
    );
    let from = "alice";
    let mut out = Datagrams::new();
    encode_heard(&Heard::Message { from, text: TEXT }, &mut out);
    let said = out.iter().next().map(<[u8]>::to_vec).unwrap_or_default();

    let mut group = c.benchmark_group("codec");
    let of = |what: &str| BenchmarkId::new(what, "udp-room");
    group.throughput(Throughput::Elements(1));
    group.bench_function(of("encode"), |b| {
        b.iter(|| {
            out.clear();
            let text = black_box(TEXT);
            encode_heard(&Heard::Message { from, text }, &mut out);
            black_box(&out);
        });
    });
    group.bench_function(of("decode-whole"), |b| {
        b.iter(|| black_box(decode_asked(black_box(&say))).is_ok());
    });
    group.bench_function(of("decode-as-a-client"), |b| {
        b.iter(|| black_box(decode_heard(black_box(&said))).is_ok());
    });
    group.finish();
}

fn udp_login(c: &mut Criterion) {
    use udp_login::frame::{
        Asked, Heard, Wants, decode_asked, decode_heard, encode_asked, encode_heard,
    };

    let wants = Wants::Data { rest: TEXT };
    let sid = Some(Secret::new([0xa5; 16]));
    let seq = 12_345;
    let mut data = Vec::new();
    encode_asked(&Asked::Session { seq, sid, wants }, &mut data);
    let from = "alice";
    let mut out = Datagrams::new();
    encode_heard(&Heard::Message { from, text: TEXT }, &mut out);
    let said = out.iter().next().map(<[u8]>::to_vec).unwrap_or_default();

    let mut group = c.benchmark_group("codec");
    let of = |what: &str| BenchmarkId::new(what, "udp-login");
    group.throughput(Throughput::Elements(1));
    group.bench_function(of("encode"), |b| {
        b.iter(|| {
            out.clear();
            let text = black_box(TEXT);
            encode_heard(&Heard::Message { from, text }, &mut out);
            black_box(&out);
        });
    });
    group.bench_function(of("decode-whole"), |b| {
        b.iter(|| black_box(decode_asked(black_box(&data))).is_ok());
    });
    group.bench_function(of("decode-as-a-client"), |b| {
        b.iter(|| black_box(decode_heard(black_box(&said))).is_ok());
    });
    group.finish();
}

fn udp_mesh(c: &mut Criterion) {
    use udp_mesh::frame::{decode, encode_say, encode_welcome};

    let mut say = Vec::new();
    encode_say("alice", TEXT, |datagram| say.extend_from_slice(datagram));
    let mut history = History::default();
    (0..10).for_each(|_| history.push(TimeOfDay::MIDNIGHT, "alice", TEXT));
    let mut welcome = Vec::new();
    encode_welcome("bob", history.lines(), &mut welcome);
    // The most that a datagram can ask of the decoder: as many instructions as it has room for.
    let mut busiest = b"\x80\x05}(\x8c\x07message](\x8c\0\x94".to_vec();
    busiest.extend(b"h\0".repeat(240));
    busiest.push(b'e');
    busiest.extend(b"(e".repeat((udp_mesh::frame::MAX_DATAGRAM_BYTES - busiest.len()) / 2));
    let mut group = c.benchmark_group("codec");
    let of = |what: &str| BenchmarkId::new(what, "udp-mesh");
    group.throughput(Throughput::Elements(1));

    group.bench_function(of("encode"), |b| {
        b.iter(|| {
            let mut bytes = 0;
            encode_say("alice", black_box(TEXT), |datagram| bytes += datagram.len());
            bytes
        });
    });
    group.bench_function(of("encode-history"), |b| {
        let mut out = Vec::with_capacity(4096);
        b.iter(|| {
            out.clear();
            encode_welcome("bob", black_box(&history).lines(), &mut out);
            black_box(&out);
        });
    });
    for (name, datagram) in [
        ("decode-whole", &say),
        ("decode-history", &welcome),
        ("decode-busiest", &busiest),
    ] {
        group.bench_function(of(name), |b| b.iter(|| decode(black_box(datagram)).is_ok()));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .noise_threshold(0.05)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    targets = tcp_room, group_lines, udp_room, udp_login, tcrp_requests, ucrp, udp_mesh
}
criterion_main!(benches);
