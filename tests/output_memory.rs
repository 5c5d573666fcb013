//! What waits to be sent and what it takes of the heap: the whole server in memory, its heap counted.

#[path = "support/memory_crowd.rs"]
mod memory_crowd;

use std::collections::VecDeque;
use std::time::Duration;

use dhat::{HeapStats, Profiler};
use memory_crowd::{Crowd, name};
use mynah::chat::MAX_TEXT_BYTES;
use mynah::server::Limits;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// What a connection takes beside what waits for it, and what stays of it in the test.
const CONNECTION: usize = KIB;

/// One test and no other in this file: the counter is the process's.
#[test]
fn r37_a_thousand_who_never_read_cost_one_backlog_and_all_together_one_budget() {
    a_thousand_behind_one_room();
    lists_that_nobody_reads();
    many_who_come_at_once_to_a_long_history();
}

fn a_thousand_behind_one_room() {
    let mut crowd = Crowd::of(1002);
    let backlog = Limits::default().lag.backlog_bytes;
    for member in 2..1002 {
        crowd.stop_reading(member);
    }
    let profiler = Profiler::builder().testing().build();
    let before = crowd.counts().bytes;
    let text = "x".repeat(4000);
    let messages = backlog / (text.len() + 60);
    for _ in 0..messages {
        crowd.say(0, &text);
        crowd.settle();
    }
    assert_eq!(crowd.inside(), 1002, "nobody is behind by more than it may");
    let read = crowd.counts().bytes - before;
    assert!(
        read >= messages * text.len(),
        "who reads has it all: {read}"
    );
    let waits = crowd.server.output_memory();
    assert!(waits >= messages * text.len());
    assert!(waits <= backlog + backlog / 2, "{waits} bytes wait");
    // For a moment, a log that grows is there twice.
    let most = HeapStats::get().max_bytes;
    assert!(most <= 3 * MIB, "{most} bytes more than before");
    // And what is beyond the backlog costs them their place.
    for _ in 0..10 {
        crowd.say(0, &text);
        crowd.settle();
    }
    crowd.pass(Duration::from_secs(1));
    assert_eq!((crowd.inside(), crowd.server.counters().slow), (2, 1000));
    let waits = crowd.server.output_memory();
    assert!(waits <= 256 * KIB, "{waits} bytes wait for those who read");
    let most = HeapStats::get().max_bytes;
    assert!(most <= 10 * MIB, "{most} bytes more than before");
    crowd.server.audit();
    drop(profiler);
}

/// Each newcomer is told another list, since so many came and went in between that it was begun anew.
fn lists_that_nobody_reads() {
    const BUDGET: usize = 4 * MIB;
    const MEMBERS: usize = 1000;
    let limits = Limits {
        output_bytes: BUDGET,
        ..Limits::default()
    };
    let mut crowd = Crowd::with(MEMBERS, limits, false);
    let mut inside: VecDeque<usize> = (0..MEMBERS).collect();
    let list = MEMBERS * (name(0).len() + ":".len() + ":0.0.0.0:0".len());
    let newcomers = 3 * BUDGET / list;
    let profiler = Profiler::builder().testing().build();
    for _ in 0..newcomers {
        crowd.come(0);
        crowd.settle();
        for _ in 0..40 {
            crowd.end(inside.pop_front().expect("many are in"));
            inside.push_back(crowd.come(usize::MAX));
        }
        crowd.settle();
        let waits = crowd.server.output_memory();
        assert!(waits <= BUDGET, "{waits} bytes wait");
    }
    let cut = crowd.server.counters().slow_over_budget as usize;
    assert_eq!(crowd.inside(), MEMBERS + newcomers - cut);
    assert!(
        cut > newcomers / 2 && cut < newcomers,
        "{cut} of {newcomers} were cut"
    );
    let most = HeapStats::get().max_bytes;
    let besides = 40 * newcomers * CONNECTION;
    assert!(most <= BUDGET + besides, "{most} bytes more than before");
    crowd.server.audit();
    drop(profiler);
}

/// Nobody does not read, but what they are all told in one turn is far more than what they said.
fn many_who_come_at_once_to_a_long_history() {
    const BUDGET: usize = 4 * MIB;
    const NEWCOMERS: usize = 1000;
    let limits = Limits {
        output_bytes: BUDGET,
        ..Limits::default()
    };
    let mut crowd = Crowd::with(0, limits, false);
    let speaker = crowd.come_to_tcp_room(usize::MAX);
    for _ in 0..10 {
        crowd.say_in_tcp_room(speaker, &"x".repeat(MAX_TEXT_BYTES));
    }
    crowd.settle();
    for _ in 0..NEWCOMERS {
        crowd.come_to_tcp_room(usize::MAX);
    }
    let profiler = Profiler::builder().testing().build();
    let before = crowd.counts().bytes;
    crowd.settle();
    let told = crowd.counts().bytes - before;
    assert!(told > 10 * MAX_TEXT_BYTES * NEWCOMERS, "{told}");
    assert_eq!(crowd.inside(), NEWCOMERS + 1);
    let most = HeapStats::get().max_bytes;
    assert!(most <= BUDGET + MIB, "{most} bytes more than before");
    drop(profiler);
}
