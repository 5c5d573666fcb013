//! The table of `docs/performance.md` as `benches/peers/run` makes it of figures, and what its configurations must not do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use serde_json::{Value, json};

fn benches() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers")
}

/// A run as the generator tells it, as far as the table looks at it.
fn run(cost: f64, rate: f64) -> Value {
    json!({
        "cpu_us_per_delivery": cost,
        "deliveries_per_s": rate,
        "memory_bytes_per_member": 250.4,
        "memory_before_bytes": 1_000_000,
        "memory_peak_bytes": 2_500_000,
        "cpu_us_per_login": 17.25,
        "lost": 0,
        "doubled": 0,
        "disordered": 0,
        "members_cut": 0,
        "generator_was_bottleneck": false,
    })
}

fn pair(floor: Value, server: Value) -> Value {
    json!({ "floor": floor, "server": server })
}

fn cell(server: &str, floor: &str, window: u32, pairs: Vec<Value>) -> Value {
    json!({ "server": server, "floor": floor, "members": 100, "window": window, "pairs": pairs })
}

/// Three pairs a cell: one where the machine was half as fast, one where something was lost, one that failed.
fn results() -> Value {
    let mut lossy = run(0.2, 4.0e6);
    lossy["lost"] = json!(3);
    let failed = json!({ "error": "the server ended with 1" });
    json!({
        "date": "2026-01-31",
        "machine": { "processor": "A processor", "cores": 2, "kernel": "6.1" },
        "versions": { "redis": "7.0.15-1" },
        "namespace": true,
        "congestion_control": "reno",
        "repeat": 3,
        "seconds": 2.0,
        "payload": 64,
        "cells": [
            cell("redis", "bare-tcp", 1, vec![
                pair(run(2.0, 1e5), run(2.2, 1e5)),
                pair(run(4.0, 5e4), run(4.4, 5e4)),
                pair(run(2.0, 1e5), run(2.6, 1e5)),
            ]),
            cell("redis", "bare-tcp-coalesce", 16, vec![
                pair(run(0.1, 8.0e6), run(0.2, 2.0e6)),
                pair(run(0.1, 8.0e6), lossy),
                pair(run(0.1, 8.0e6), run(0.2, 4.4e6)),
            ]),
            cell("nats", "bare-tcp", 1, vec![pair(run(2.0, 1e5), failed)]),
        ],
    })
}

/// What `run --table-only` says, and the document after it; `None` without python3.
fn table_only(results: &Value, document: &str) -> Option<(Output, String)> {
    let has_python = Command::new("python3").arg("--version").output().is_ok();
    if !has_python {
        eprintln!("skipped: there is no python3");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let (out, docs) = (
        folder.path().join("out.json"),
        folder.path().join("docs.md"),
    );
    fs::write(&out, results.to_string()).unwrap();
    fs::write(&docs, document).unwrap();
    let output = Command::new("python3")
        // Nothing is left beside the script.
        .arg("-B")
        .arg(benches().join("run"))
        .arg("--table-only")
        .arg("--out")
        .arg(&out)
        .arg("--docs")
        .arg(&docs)
        .output()
        .unwrap();
    Some((output, fs::read_to_string(&docs).unwrap()))
}

#[test]
fn the_table_has_medians_of_paired_ratios_and_says_what_went_wrong() {
    let document = "# Title\n\n<!-- peers:begin -->\nold\n<!-- peers:end -->\n\nmore\n";
    let Some((output, made)) = table_only(&results(), document) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("failed: nats N=100 W=1"), "{said}");
    assert!(
        made.starts_with("# Title\n\n<!-- peers:begin -->\n"),
        "{made}"
    );
    assert!(made.ends_with("<!-- peers:end -->\n\nmore\n"), "{made}");
    assert!(!made.contains("old"), "{made}");
    let rows = [
        // Of the floor beside both servers, four runs.
        "| bare-tcp | 2.00 | – | 250 | – | 17.2 |",
        "| bare-tcp-coalesce | – | 8.00 M | 250 | 1.50 | 17.2 |",
        // The machine that was half as fast moves the median, not the ratio.
        "| redis 7.0.15-1 | 2.60 | 4.00 M† | 250 | 1.50 | 17.2 |",
        "| nats | – | – | – | – | – |",
        // The pair of which something was lost is left out.
        "| redis | 1.10 | 0.40† |",
        "| nats | – | – |",
        "† something was lost",
    ];
    for row in rows {
        assert!(made.contains(row), "no {row:?} in\n{made}");
    }
}

#[test]
fn a_floor_that_lost_something_is_in_no_ratio() {
    let mut results = results();
    let pairs = &mut results["cells"][0]["pairs"];
    for pair in [0, 1] {
        pairs[pair]["floor"]["members_cut"] = json!(1);
    }
    let document = "<!-- peers:begin -->\n<!-- peers:end -->\n";
    let Some((_, made)) = table_only(&results, document) else {
        return;
    };
    assert!(made.contains("| redis | 1.30† | 0.40† |"), "{made}");
    results["cells"][0]["pairs"][2]["server"]["doubled"] = json!(1);
    let Some((_, made)) = table_only(&results, document) else {
        return;
    };
    assert!(made.contains("| redis | –† | 0.40† |"), "{made}");
}

#[test]
fn a_document_without_markers_is_left_alone() {
    let document = "# Title\n\n<!-- peers:end --> <!-- peers:begin -->\n";
    let Some((output, made)) = table_only(&results(), document) else {
        return;
    };
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no <!-- peers:begin -->"));
    assert_eq!(made, document);
}

#[test]
fn the_document_has_its_markers() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md");
    let text = fs::read_to_string(docs).unwrap();
    let begin = text.find("<!-- peers:begin -->");
    assert!(begin.is_some() && begin < text.find("<!-- peers:end -->"));
}

/// Servers without passwords listen on this machine only.
#[test]
fn every_configuration_listens_on_loopback() {
    let lines = [
        ("redis.conf", "bind 127.0.0.1"),
        ("mosquitto.conf", "listener 1883 127.0.0.1"),
        ("nats.conf", "listen: \"127.0.0.1:4222\""),
        ("ngircd.conf", "Listen = 127.0.0.1"),
        ("inspircd.conf", "<bind address=\"127.0.0.1\""),
    ];
    for (name, wanted) in lines {
        let text = fs::read_to_string(benches().join("conf").join(name)).unwrap();
        let said: Vec<&str> = text.lines().map(str::trim).collect();
        assert!(said.iter().any(|line| line.starts_with(wanted)), "{name}");
    }
}
