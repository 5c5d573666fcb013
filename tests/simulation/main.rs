//! The whole server on an in-memory network with a virtual clock, seeded: split and delayed reads, full
//! buffers, short writes, resets, peers that do not read, that never finish, that break the rules.
//!
//! After every run the promises are checked: one order for all, frames whole, histories exact, names
//! held once, memory bounded, nobody and nothing left. `MYNAH_SEEDS=100000 cargo test --test simulation`
//! runs more seeds; a failing one says how to replay it: `MYNAH_SEED=N`.

mod network;
mod world;

use std::panic;

use world::{Outcome, World};

/// As many as run in seconds.
const SEEDS: u64 = 1_000;

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={value:?} is not a number")),
    )
}

fn run(seed: u64) -> Outcome {
    panic::catch_unwind(|| World::new(seed).run()).unwrap_or_else(|cause| {
        eprintln!("replay with: MYNAH_SEED={seed} cargo test --test simulation");
        panic::resume_unwind(cause);
    })
}

#[test]
fn the_promises_hold_whatever_the_network_does() {
    if let Some(seed) = number("MYNAH_SEED") {
        eprintln!("{:?}", run(seed));
        return;
    }
    let mut total = Outcome::default();
    for seed in 0..number("MYNAH_SEEDS").unwrap_or(SEEDS) {
        let outcome = run(seed);
        total.turns += outcome.turns;
        total.messages += outcome.messages;
        total.slow += outcome.slow;
        total.violations += outcome.violations;
        total.timed_out += outcome.timed_out;
        total.refused += outcome.refused;
        total.lost += outcome.lost;
        total.late += outcome.late;
        total.checked_whole += outcome.checked_whole;
    }
    eprintln!("{total:?}");
    // A simulation in which nothing bad happens proves nothing, nor one in which nothing else does.
    let seen = [
        total.slow,
        total.violations,
        total.timed_out,
        total.refused,
        total.lost,
        total.late,
        total.checked_whole as u64,
    ];
    assert!(
        seen.iter().all(|count| *count > 10),
        "some of it never happened: {total:?}"
    );
}

#[test]
fn a_seed_replays_the_same() {
    for seed in 0..20 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
