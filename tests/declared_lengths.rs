//! What is done with a length that nothing has: nothing. The whole server in memory, its heap counted.

#[path = "support/memory_house.rs"]
mod memory_house;

use memory_house::frames::{STREAMS, enter};
use memory_house::{HERE, House};
use mynah::protocol::registry::Protocol;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// All that may be allocated for such a frame, the words of farewell included.
const ENOUGH: u64 = 2048;

/// A protocol, what its peer says first, and a frame up to its length, which nothing in the protocol has.
fn beginnings() -> Vec<(Protocol, Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    let declared = [
        // Just over the limit of a name, of a text; what a signed length may be at the most; and what is negative.
        65,
        4097,
        (1 << 28) - 1,
        1 << 30,
        i32::MAX,
        i32::MIN,
        i32::MIN + 1,
        -1,
        -0x1000_0000,
    ];
    for length in declared {
        let length: i32 = length;
        let length_is = |before: &[i32]| {
            let numbers = before.iter().chain([&length]);
            numbers.flat_map(|number| number.to_le_bytes()).collect()
        };
        all.push((Protocol::TcpRoom, Vec::new(), length_is(&[471])));
        let is_over_all = !(0..4097).contains(&length);
        let mut say = |before: &[i32]| {
            if is_over_all {
                let first = enter(Protocol::TcpRoom, "ann");
                all.push((Protocol::TcpRoom, first, length_is(before)));
            }
        };
        say(&[472]);
        say(&[472, 3]);
        say(&[472, 3, 0]);
        say(&[472, 3, 0, 0]);
    }
    for digits in [
        "-1",
        "-0",
        "8192:",
        "268435455:",
        "999999999:",
        "2147483648",
        "4294967295",
        "9223372036854775808",
        "18446744073709551616",
        "00000000000000000000000000001",
    ] {
        let first = enter(Protocol::Group, "ann");
        let bytes = format!("BROADCAST:ann:{digits}").into_bytes();
        all.push((Protocol::Group, first, bytes));
    }
    // A header with 29 bytes for the size, big end first; with 28 of them it is told from the other by its end.
    for size in [
        // What is a size of one byte in the shorter header is not among them.
        0x1_0101,
        (1 << 28) - 1,
        1 << 31,
        1 << 32,
        (1 << 32) + 1,
        1 << 63,
        u64::MAX as u128,
        1 << 64,
        u128::MAX,
    ] {
        let size: u128 = size;
        let mut bytes = vec![3, 1, 0];
        bytes.resize(3 + 29 - 16, 0);
        bytes.extend(size.to_be_bytes());
        all.push((Protocol::Tcrp, Vec::new(), bytes));
    }
    for fill in [28, 29] {
        let mut bytes = vec![3, 1, 0];
        bytes.resize(3 + fill, 0xff);
        all.push((Protocol::Tcrp, Vec::new(), bytes));
    }
    all
}

/// One test and no other in this file: the counter is the process's.
#[test]
fn r05_a_length_over_its_limit_takes_no_memory_and_ends_the_connection_in_its_turn() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut house = House::of_streams();
    // What the first of all makes, and those who come later find.
    for protocol in STREAMS {
        let peer = house.join(protocol, HERE, "first");
        house.end(&peer);
        house.turn();
    }
    let beginnings = beginnings();
    assert!(beginnings.len() > 50);
    for (n, (protocol, first, bytes)) in beginnings.iter().enumerate() {
        let peer = house.come(*protocol, HERE).unwrap();
        if !first.is_empty() {
            house.say(&peer, first);
        }
        let before = dhat::HeapStats::get().total_bytes;
        let violations = house.server.counters().violations;
        house.say(&peer, bytes);
        let taken = dhat::HeapStats::get().total_bytes - before;
        assert!(
            taken <= ENOUGH,
            "{protocol} {n}: {taken} bytes for {bytes:x?}"
        );
        assert_eq!(
            house.server.counters().violations,
            violations + 1,
            "{protocol} {n}: {bytes:x?}"
        );
        assert!(peer.stream.is_closed(), "{protocol} {n}, in the same turn");
        house.end(&peer);
        house.turn();
        assert!(house.server.is_empty(), "{protocol} {n}");
    }
    house.server.audit();
}
