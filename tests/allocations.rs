//! Once warm, a delivery allocates nothing: the whole server on streams in memory, its heap counted.

#[path = "support/memory_room.rs"]
mod memory_room;

use memory_room::Room;
use mynah::chat::TimeOfDay;
use mynah::protocol::tcp_room::frame;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// One test and no other in this file: the counter is the process's.
#[test]
fn once_warm_nothing_is_allocated_for_a_delivery() {
    const MEMBERS: usize = 500;
    const TURNS: usize = 200;
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut room = Room::with(MEMBERS);
    let (mut one, mut burst) = (Vec::new(), Vec::new());
    frame::encode_say(TimeOfDay::MIDNIGHT, "x", &"hello ".repeat(10), &mut one);
    for n in 0..50 {
        frame::encode_say(
            TimeOfDay::MIDNIGHT,
            "x",
            &format!("number {n:040}"),
            &mut burst,
        );
    }
    let round = |room: &mut Room| {
        for turn in 0..TURNS {
            room.says(turn % MEMBERS, if turn % 2 == 0 { &one } else { &burst });
        }
    };
    round(&mut room);
    let warm = dhat::HeapStats::get().total_blocks;
    assert!(warm > MEMBERS as u64, "the counter counts");
    let (bytes_before, writes_before) = room.delivered();
    round(&mut room);
    let allocated = dhat::HeapStats::get().total_blocks - warm;
    let (bytes, writes) = room.delivered();
    assert_eq!(
        writes - writes_before,
        TURNS * MEMBERS,
        "one write per member and turn"
    );
    assert!(
        bytes - bytes_before > TURNS * MEMBERS * 1000,
        "a burst is delivered whole"
    );
    assert_eq!(
        allocated,
        0,
        "blocks for {} deliveries",
        TURNS / 2 * 51 * MEMBERS
    );
}
