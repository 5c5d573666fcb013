//! What a datagram of the mesh can make its decoder take, its heap counted.

use mynah::protocol::udp_mesh::frame::{MAX_DATAGRAM_BYTES, decode};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// A datagram that begins so and goes on so to its full length.
fn filled(start: &[u8], more: &[u8]) -> Vec<u8> {
    let mut datagram = start.to_vec();
    while datagram.len() + more.len() <= MAX_DATAGRAM_BYTES {
        datagram.extend_from_slice(more);
    }
    datagram
}

/// One test and no other in this file: the counter is the process's.
#[test]
fn r20_no_datagram_takes_more_than_sixteen_times_its_room() {
    const LIST: &[u8] = b"\x80\x05}(\x8c\x07message]\x8c\0\x94";
    let datagrams = [
        // Marks, numbers, what is kept, items one by one, all of them in turn.
        filled(b"\x80\x05}", b"("),
        filled(b"\x80\x05}", b"K\0"),
        filled(b"\x80\x05}", b"\x94"),
        filled(&[LIST, b"a"].concat(), b"h\0a"),
        filled(&[LIST, b"a("].concat(), b"h\0"),
        filled(&[LIST, b"a"].concat(), b"(h\0h\0e"),
        filled(&[LIST, b"a"].concat(), b"\x8c\0\x94a"),
        // Lengths that nobody has sent the bytes of.
        filled(b"\x80\x05}\x8d\0\0\0\0\0\0\0\x40", b"x"),
        filled(b"\x80\x05}X\xff\xff\xff\x7f", b"x"),
        filled(b"\x80\x05\x95\0\0\0\0\0\0\0\x40}", b"x"),
        filled(b"\x80\x05}r\xff\xff\xff\x7f", b"x"),
    ];
    let _profiler = dhat::Profiler::builder().testing().build();
    for datagram in datagrams {
        let before = dhat::HeapStats::get();
        assert!(decode(&datagram).is_err());
        let after = dhat::HeapStats::get();
        // All that was ever taken, given back or not.
        let taken = after.total_bytes - before.total_bytes;
        assert!(taken <= 64 * 1024, "{taken} bytes");
        assert_eq!(after.curr_bytes, before.curr_bytes);
    }
}
