//! What thousands cost who begin a frame and never finish it: the whole server in memory, its heap counted.

#[path = "support/memory_house.rs"]
mod memory_house;

use memory_house::frames::{enter, reserve, say};
use memory_house::{HERE, House, Peer, SECOND};
use mynah::protocol::registry::Protocol;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const PEERS: usize = 5000;

/// One test and no other in this file: the counter is the process's.
#[test]
fn r04_thousands_who_drip_a_frame_are_gone_in_its_time_and_cost_little() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let bytes = || dhat::HeapStats::get().curr_bytes;
    let mut house = House::of_streams();
    let before = bytes();
    // Members have said who they are; the others begin with that.
    let name = "x".repeat(60);
    let frames = [
        (Protocol::TcpRoom, true, say(Protocol::TcpRoom, "", &name)),
        (Protocol::TcpRoom, false, enter(Protocol::TcpRoom, &name)),
        (Protocol::Group, true, say(Protocol::Group, "", &name)),
        (Protocol::Group, false, enter(Protocol::Group, &name)),
        (Protocol::Tcrp, false, reserve(1, "tea", &name)),
    ];
    let mut peers: Vec<(Peer, &[u8])> = Vec::new();
    for number in 0..PEERS {
        let (protocol, is_member, frame) = &frames[number % frames.len()];
        let peer = match is_member {
            true => house.join(*protocol, HERE, &format!("member{number}")),
            false => house.come(*protocol, HERE).unwrap(),
        };
        peers.push((peer, frame));
    }
    let mut most = 0;
    for second in 0..20 {
        for (peer, frame) in &peers {
            house.write(peer, &frame[second..=second]);
        }
        // Those whose first frame this is have less time in some protocols.
        house.pass(SECOND);
        most = most.max(bytes() - before);
        let members = PEERS / frames.len() * 2;
        assert!(second == 19 || house.server.len() >= members, "{second}");
    }
    house.pass(SECOND / 10);
    let left = peers.iter().filter(|(peer, _)| !peer.stream.is_closed());
    assert_eq!(left.count(), 0, "all are told that it is over");
    house.pass(SECOND);
    assert!(house.server.is_empty(), "and gone, though they stay");
    house.server.audit();
    assert_eq!(house.server.counters().timed_out, PEERS as u64);
    assert!(most <= 5_000_000, "{most} bytes at the most");
    drop(peers);
    let kept = bytes() - before;
    assert!(kept <= 2_000_000, "{kept} bytes are kept");
}
