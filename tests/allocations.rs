//! Once warm, a delivery allocates nothing, in any protocol: the whole server in memory, its heap counted.

#[path = "support/memory_room.rs"]
mod memory_room;

use memory_room::Room;
use memory_room::speech::{FANNED_OUT, Speech, TEXT};
use mynah::protocol::registry::Protocol;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const MEMBERS: usize = 200;

/// Messages that are said in one go, every other time.
const BURST: usize = 50;

/// One test and no other in this file: the counter is the process's.
#[test]
fn once_warm_nothing_is_allocated_for_a_delivery() {
    let _profiler = dhat::Profiler::builder().testing().build();
    for protocol in FANNED_OUT {
        nothing_is_allocated_in(protocol);
    }
}

fn nothing_is_allocated_in(protocol: Protocol) {
    let blocks = || dhat::HeapStats::get().total_blocks;
    let cold = blocks();
    let mut room = Room::with(protocol, MEMBERS);
    let mut speeches: Vec<[Speech; 2]> = (0..MEMBERS)
        .map(|member| [1, BURST].map(|messages| room.speech(member, TEXT, messages)))
        .collect();
    let mut round = |room: &mut Room| {
        for (member, speeches) in speeches.iter_mut().enumerate() {
            room.says(member, &mut speeches[member % 2]);
        }
    };
    round(&mut room);
    round(&mut room);
    let warm = blocks();
    assert!(warm - cold > MEMBERS as u64, "the counter counts");
    let before = room.delivered();
    round(&mut room);
    let allocated = blocks() - warm;
    let (bytes, writes) = room.delivered();
    let (bytes, writes) = (bytes - before.0, writes - before.1);
    let messages = MEMBERS / 2 * (1 + BURST);
    let deliveries = messages * room.listeners();
    assert!(
        bytes > deliveries * TEXT.len(),
        "{protocol}: all is delivered"
    );
    match protocol.session() {
        Some(_) => assert_eq!(
            writes,
            MEMBERS * room.listeners(),
            "{protocol}: one write per member and turn"
        ),
        // `udp-login` answers each request besides.
        None => assert!(writes >= deliveries, "{protocol}: {writes}"),
    }
    assert_eq!(
        allocated, 0,
        "{protocol}: blocks for {deliveries} deliveries"
    );
}
