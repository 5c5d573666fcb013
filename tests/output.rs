//! What waits to be sent has a budget, over everybody: who keeps the most of it goes first, and those who read lose
//! nothing. The whole server in memory; what it takes of the heap is in `output_memory`.

#[path = "support/memory_crowd.rs"]
mod memory_crowd;

use std::time::Duration;

use memory_crowd::{Crowd, Heard, name};
use mynah::chat::MAX_TEXT_BYTES;
use mynah::server::Limits;

const MIB: usize = 1024 * 1024;

fn limits(output_bytes: usize) -> Limits {
    Limits {
        output_bytes,
        ..Limits::default()
    }
}

/// Fills the history of a room with lines that are as long as they may be.
fn fill_history(crowd: &mut Crowd, speaker: usize) {
    for _ in 0..10 {
        crowd.say_in_tcp_room(speaker, &"x".repeat(MAX_TEXT_BYTES));
    }
    crowd.settle();
}

#[test]
fn r37_those_who_keep_the_most_go_first_and_those_who_read_lose_nothing() {
    const BUDGET: usize = 4 * MIB;
    let mut crowd = Crowd::with(2, limits(BUDGET), true);
    let (speaker, reader) = (0, 1);
    let tcp_speaker = crowd.come_to_tcp_room(usize::MAX);
    let tcp_reader = crowd.come_to_tcp_room(usize::MAX);
    crowd.settle();
    crowd.members[reader].listen();
    crowd.members[tcp_reader].listen();
    // Some who wait for little: their welcome is short.
    let modest: Vec<_> = (0..50).map(|_| crowd.come_to_tcp_room(0)).collect();
    crowd.settle();
    // One who alone has its room keep a backlog.
    let laggard = crowd.come(usize::MAX);
    crowd.settle();
    crowd.stop_reading(laggard);
    let mut said = Vec::new();
    for n in 0..200 {
        let text = format!("{n} {}", "x".repeat(4000));
        crowd.say(speaker, &text);
        crowd.settle();
        said.push(text);
    }
    assert!(!crowd.members[laggard].is_gone() && crowd.server.output_memory() > 800_000);
    assert_eq!(crowd.server.counters().slow_over_budget, 0);
    fill_history(&mut crowd, tcp_speaker);
    // And many with much, one after the other.
    let mut greedy = Vec::new();
    let each = 10 * MAX_TEXT_BYTES;
    while greedy.len() < 3 * BUDGET / each {
        greedy.push(crowd.come_to_tcp_room(0));
        crowd.settle();
        let memory = crowd.server.output_memory();
        assert!(memory <= BUDGET, "{memory} bytes wait");
        if crowd.server.counters().slow_over_budget == 1 {
            assert!(
                crowd.members[laggard].is_gone(),
                "who keeps the most goes first"
            );
        }
    }
    let counters = *crowd.server.counters();
    let gone = |who: &[usize]| {
        who.iter()
            .filter(|who| crowd.members[**who].is_gone())
            .count()
    };
    assert_eq!(gone(&modest), 0, "who keeps little stays");
    assert_eq!(counters.slow_over_budget, 1 + gone(&greedy) as u64);
    assert_eq!(counters.slow, counters.slow_over_budget);
    let memory = crowd.server.output_memory();
    assert!(
        memory > BUDGET / 2,
        "no more are cut than has to be: {memory} bytes are left"
    );
    // Room is made for more than the next one, so that it is not made every time.
    let cuts = counters.slow_over_budget as usize * each;
    assert!(cuts < 3 * BUDGET, "{} were cut", counters.slow_over_budget);

    let heard = crowd.members[reader].heard();
    let texts: Vec<_> = heard
        .into_iter()
        .filter_map(|heard| match heard {
            Heard::Said(from, text) => (from == name(speaker)).then_some(text),
            Heard::List(_) | Heard::Came(_) | Heard::Went(_) => None,
        })
        .collect();
    assert!(
        texts == said,
        "the reader heard {} of {}",
        texts.len(),
        said.len()
    );
    let received = crowd.members[tcp_reader].received();
    let long = vec![b'x'; MAX_TEXT_BYTES];
    assert_eq!(memchr::memmem::find_iter(&received, &long).count(), 10);
    crowd.server.audit();
}

#[test]
fn r37_who_lags_less_than_the_slowest_of_its_room_stays() {
    let mut crowd = Crowd::with(2, limits(MIB), true);
    let (slowest, slow) = (crowd.come(usize::MAX), crowd.come(usize::MAX));
    crowd.settle();
    let say = |crowd: &mut Crowd| {
        crowd.say(0, &"x".repeat(4000));
        crowd.settle();
    };
    crowd.stop_reading(slowest);
    (0..150).for_each(|_| say(&mut crowd));
    crowd.stop_reading(slow);
    while crowd.server.counters().slow_over_budget == 0 {
        say(&mut crowd);
    }
    assert!(crowd.members[slowest].is_gone() && !crowd.members[slow].is_gone());
    let memory = crowd.server.output_memory();
    assert!(
        memory < MIB / 2,
        "the room needs {memory} bytes less far back"
    );
    // It was cut for nothing that it kept from being let go: what it has still to get is there.
    crowd.members[slow].listen();
    crowd.read(slow, usize::MAX / 2);
    crowd.settle();
    let heard = crowd.members[slow].heard();
    assert!(heard.contains(&Heard::Went(name(slowest))));
    assert!(
        heard
            .iter()
            .filter(|heard| matches!(heard, Heard::Said(..)))
            .count()
            > 50
    );
    crowd.server.audit();
}

#[test]
fn r37_what_nobody_can_be_cut_for_holds_nobody_up() {
    const BUDGET: usize = 32 * 1024;
    const SPEAKERS: usize = 200;
    let mut crowd = Crowd::with(1500, limits(BUDGET), false);
    // The list that it is sent is kept for who comes next.
    crowd.come(usize::MAX);
    crowd.settle();
    let kept = crowd.server.output_memory();
    assert!(kept > BUDGET, "{kept} bytes wait");
    (0..SPEAKERS).for_each(|speaker| crowd.say(speaker, "hello"));
    crowd.turn();
    assert_eq!(crowd.server.counters().messages, SPEAKERS as u64);
    // Who keeps little of what is too much is cut once in a while, not looked for every turn.
    let laggard = SPEAKERS;
    crowd.stop_reading(laggard);
    crowd.say(0, "hello");
    crowd.settle();
    assert!(!crowd.members[laggard].is_gone());
    crowd.pass(Duration::from_secs(1));
    crowd.say(0, "hello");
    crowd.settle();
    assert!(crowd.members[laggard].is_gone());
    // And who keeps much, at once.
    let laggard = SPEAKERS + 1;
    crowd.stop_reading(laggard);
    for _ in 0..3 {
        crowd.say(0, &"x".repeat(4000));
        crowd.turn();
    }
    crowd.settle();
    assert!(crowd.members[laggard].is_gone());
    crowd.server.audit();
}
