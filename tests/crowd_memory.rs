//! What newcomers cost that do not read what they are told of a crowd: the whole server in memory, its heap counted.

#[path = "support/memory_crowd.rs"]
mod memory_crowd;

use memory_crowd::{Crowd, name};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const MEMBERS: usize = 5000;

const NEWCOMERS: usize = 100;

/// One test and no other in this file: the counter is the process's.
#[test]
fn newcomers_that_never_read_share_their_list() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut crowd = Crowd::of(MEMBERS);
    let bytes = || dhat::HeapStats::get().curr_bytes;
    let before = bytes();
    for _ in 0..NEWCOMERS {
        crowd.come(0);
        crowd.settle();
    }
    let each = (bytes() - before) / NEWCOMERS;
    assert_eq!(crowd.inside(), MEMBERS + NEWCOMERS);
    let list = MEMBERS * (name(0).len() + ":".len() + ":0.0.0.0:0".len());
    // But for its end, of which everybody has a copy.
    assert!(list > 180 * 1024, "{list}");
    assert!(each < 36 * 1024, "{each} bytes each, the list is {list}");
}
