//! What the program is made of, as `deny.toml` has it: where every crate comes from, which there must not be, and
//! under which licences. For who has no `cargo deny`; known holes are asked for by that alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Crates that what people run is made of, ours and those that build it included. Each is one more whom everybody
/// trusts who runs this: a new one is a decision.
const MOST_CRATES: usize = 95;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn table(file: &str) -> toml::Table {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    text.parse().unwrap()
}

/// The crates that what people run is made of on this machine, with their licences, as cargo has them.
fn parts() -> BTreeMap<String, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline", "--locked", "--edges", "normal,build"]);
    cargo.args(["--prefix", "none", "--no-dedupe", "--format", "{p}\t{l}"]);
    let output = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let tree = String::from_utf8(output.stdout).unwrap();
    let parts = tree.lines().map(|line| {
        let (package, license) = line.split_once('\t').unwrap();
        // `name v1.2.3 (proc-macro)`.
        let words: Vec<&str> = package.split(' ').take(2).collect();
        (words.join(" "), license.to_owned())
    });
    parts.collect()
}

fn strings(value: &toml::Value) -> BTreeSet<&str> {
    let all = value.as_array().unwrap().iter();
    all.map(|one| one.as_str().unwrap()).collect()
}

#[test]
fn r50_every_crate_comes_from_the_registry_and_is_what_it_was() {
    let lock = table("Cargo.lock");
    let packages = lock["package"].as_array().unwrap();
    assert!(packages.len() > 100);
    for package in packages {
        let name = package["name"].as_str().unwrap();
        if name == env!("CARGO_PKG_NAME") {
            continue;
        }
        let source = package.get("source").and_then(toml::Value::as_str);
        assert_eq!(source, Some(REGISTRY), "{name}");
        let checksum = package.get("checksum").and_then(toml::Value::as_str);
        let is_sum = |sum: &str| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(checksum.is_some_and(is_sum), "{name}");
    }
}

#[test]
fn r50_what_people_run_is_made_of_few_crates_and_of_none_that_are_banned() {
    let deny = table("deny.toml");
    let banned = deny["bans"]["deny"].as_array().unwrap().iter();
    let banned: BTreeSet<&str> = banned.map(|one| one["crate"].as_str().unwrap()).collect();
    assert!(banned.contains("tokio") && banned.contains("openssl-sys"));
    let parts = parts();
    let names = parts.keys().map(|part| part.split(' ').next().unwrap());
    let names: BTreeSet<&str> = names.collect();
    assert!(names.contains("mio"), "is the test looking at the program?");
    let found: Vec<&&str> = names.intersection(&banned).collect();
    assert!(found.is_empty(), "{found:?}");
    let crates: Vec<&String> = parts.keys().collect();
    assert!(crates.len() <= MOST_CRATES, "{}: {crates:?}", crates.len());
}

#[test]
fn r50_every_licence_is_one_that_we_allow() {
    let deny = table("deny.toml");
    let allowed = strings(&deny["licenses"]["allow"]);
    let mut used = BTreeSet::new();
    for (name, license) in parts() {
        // One of those joined by OR, of each of those joined by AND. No crate here needs more of SPDX than this.
        for one in license.split(" AND ") {
            let one = one.trim_matches(['(', ')']);
            let mut choices = one.split(" OR ").flat_map(|choice| choice.split('/'));
            let chosen = choices.find_map(|choice| allowed.get(choice.trim()));
            let chosen = chosen.unwrap_or_else(|| panic!("{name}: {license:?}"));
            used.insert(*chosen);
        }
    }
    assert_eq!(used, allowed, "what is allowed is used");
}
