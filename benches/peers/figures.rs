//! Owns a run's figures as one JSON object. Knows not how they came about.
//!
//! A field's name ends with its unit; what could not be measured is `null`.

use std::time::Duration;

use mynah::load::{Outcome, Pace, Plan};
use serde_json::{Value, json};

pub fn json(plan: &Plan, outcome: &Outcome) -> Value {
    let Outcome {
        logins,
        deliveries,
        lateness,
        cost,
        ..
    } = outcome;
    let (window, rate) = match plan.pace {
        Pace::Window(window) => (Some(window), None),
        Pace::Rate(rate) => (None, Some(rate)),
    };
    let received = deliveries.received as f64;
    let members = logins.members as f64;
    let elapsed = deliveries.elapsed.as_secs_f64();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let memory = cost.map(|cost| cost.memory_idle.saturating_sub(cost.memory_before) as f64);
    let late = |quantile: f64| {
        let each = &lateness.each;
        (!each.is_empty()).then(|| each.value_at_quantile(quantile) as f64 / 1e3)
    };
    json!({
        "members": plan.members,
        "senders": plan.senders,
        "window": window,
        "rate_per_s": rate,
        "payload_bytes": plan.payload,
        "duration_s": plan.duration.as_secs_f64(),
        "warm_up_s": plan.warm_up.as_secs_f64(),
        "logins_in_flight": plan.logins_in_flight,

        "members_in": logins.members,
        "logins_elapsed_s": logins.elapsed.as_secs_f64(),
        "logins_cpu_s": logins.cpu.map(|cpu| cpu.as_secs_f64()),
        "logins_received_bytes": logins.bytes,
        "cpu_us_per_login": logins.cpu.and_then(|cpu| quotient(micros(cpu), members)),

        "messages": deliveries.messages,
        "deliveries": deliveries.received,
        "lost": deliveries.lost,
        "doubled": deliveries.doubled,
        "disordered": deliveries.disordered,
        "members_cut": deliveries.cut,
        "elapsed_s": elapsed,
        "received_bytes": deliveries.bytes,
        "deliveries_per_read": deliveries.per_read,
        "deliveries_per_s": quotient(received, elapsed),
        "latency_us": {
            "p50": late(0.5),
            "p99": late(0.99),
            "p99_9": late(0.999),
            "max": late(1.0),
        },

        "cpu_s": cost.map(|cost| cost.cpu.as_secs_f64()),
        "cpu_us_per_delivery": cost.and_then(|cost| quotient(micros(cost.cpu), received)),
        "memory_before_bytes": cost.map(|cost| cost.memory_before),
        "memory_idle_bytes": cost.map(|cost| cost.memory_idle),
        "memory_peak_bytes": cost.map(|cost| cost.memory_peak),
        "memory_bytes_per_member": memory.and_then(|memory| quotient(memory, members)),

        "generator_busy": outcome.busy,
        "generator_was_bottleneck": outcome.is_bottleneck,
    })
}

fn quotient(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}
