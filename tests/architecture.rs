//! The never-rules of the house, as greps: what a room may not know is worth more than what it knows.
//! Comments count too, so that nobody explains one room in the words of another.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mynah::journal::TARGETS;

/// Every Rust file below a folder of `src`, with its text.
fn files(room: &str) -> Vec<(PathBuf, String)> {
    fn walk(path: &Path, found: &mut Vec<(PathBuf, String)>) {
        let Ok(entries) = fs::read_dir(path) else {
            return;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room);
    walk(&root, &mut found);
    found
}

/// The lines of a room in which one of the words stands, as they would be shown to whoever broke the rule.
fn lines_with(room: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files(room) {
        for (number, line) in (1..).zip(text.lines()) {
            if words.iter().any(|word| has_word(line, word)) {
                found.push(format!("{}:{number}: {}", path.display(), line.trim()));
            }
        }
    }
    found
}

/// Whether a word stands in a line by itself, not as a part of another.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

fn forbid(rule: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

/// Code that no test is in: what stands before the first `#[cfg(test)]`.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

#[test]
fn the_rooms_are_where_they_should_be() {
    for room in [
        "chat", "protocol", "fanout", "store", "reactor", "server", "client", "load", "report",
        "commands", "control",
    ] {
        assert!(
            !files(room).is_empty(),
            "src/{room} is missing: is the test looking at the house?"
        );
    }
}

#[test]
fn the_pure_rooms_know_no_sockets_and_no_clock() {
    let sockets = [
        "mio",
        "socket2",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "rustix",
        "libc",
    ];
    let clocks = [
        "Instant::now",
        "SystemTime::now",
        "SystemTime",
        "Local::now",
        "Utc::now",
    ];
    for room in [
        "chat", "protocol", "fanout", "store", "report", "http", "control", "metrics",
    ] {
        forbid(
            &format!("{room} names a socket"),
            lines_with(room, &sockets),
        );
        let mut found = Vec::new();
        for (path, text) in files(room) {
            // Tests hold the clock; to hold it they must start it once.
            for line in without_tests(&text).lines() {
                if clocks.iter().any(|clock| line.contains(clock))
                    && !path.ends_with("properties.rs")
                    && !path.ends_with("tests.rs")
                {
                    found.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
        forbid(&format!("{room} reads a clock"), found);
    }
}

#[test]
fn the_reactor_knows_nothing_of_chat() {
    let words = [
        "crate::chat",
        "crate::protocol",
        "crate::server",
        "crate::client",
        "crate::fanout",
        "crate::store",
    ];
    forbid(
        "reactor names a room above it",
        lines_with("reactor", &words),
    );
}

#[test]
fn the_hub_the_fan_out_and_the_store_know_no_protocol() {
    for room in ["chat", "fanout", "store"] {
        let words = [
            "crate::protocol",
            "crate::server",
            "crate::client",
            "crate::reactor",
        ];
        forbid(
            &format!("{room} names a room above it"),
            lines_with(room, &words),
        );
    }
}

#[test]
fn the_load_generator_knows_no_server_from_the_inside_and_no_terminal() {
    let words = [
        "crate::server",
        "crate::fanout",
        "crate::store",
        "crate::report",
        "crate::commands",
        "crate::cli",
        "Hub",
        "stdout",
        "stderr",
        "println",
        "termios",
    ];
    forbid(
        "load names what it measures or who shows it",
        lines_with("load", &words),
    );
}

#[test]
fn what_was_measured_is_shown_by_who_did_not_measure_it() {
    let words = [
        "crate::server",
        "crate::reactor",
        "crate::client",
        "crate::commands",
        "crate::cli",
        "crate::chat",
        "crate::protocol",
        "std::fs",
        "std::io",
    ];
    forbid(
        "report names more than the load generator",
        lines_with("report", &words),
    );
}

#[test]
fn no_protocol_knows_another() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol");
    let folders: Vec<String> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert!(folders.contains(&"tcp_room".to_string()));
    for folder in &folders {
        let others: Vec<&str> = folders
            .iter()
            .filter(|o| *o != folder)
            .map(String::as_str)
            .collect();
        let found = lines_with(&format!("protocol/{folder}"), &others);
        forbid(&format!("protocol/{folder} names another protocol"), found);
        for file in ["mod.rs", "frame.rs"] {
            let has = files(&format!("protocol/{folder}"))
                .iter()
                .any(|(path, _)| path.ends_with(file));
            assert!(
                has,
                "protocol/{folder} has no {file}: knowing one is knowing six"
            );
        }
    }
}

#[test]
fn r50_unsafe_stands_in_one_file_of_the_reactor() {
    let mut found = Vec::new();
    for (path, text) in files("") {
        let code = text
            .lines()
            .map(|line| line.split("//").next().unwrap_or(""));
        let used = code.filter(|line| has_word(line, "unsafe")).count();
        if used > 0 && !path.ends_with("src/reactor/sys.rs") {
            found.push(path.display().to_string());
        }
    }
    forbid("unsafe outside src/reactor/sys.rs", found);
}

#[test]
fn there_is_no_async_and_one_thread_owns_all_state() {
    let runtimes = [
        "async fn",
        "async move",
        ".await",
        "tokio",
        "async_std",
        "smol::",
        "futures::",
    ];
    let mut found = Vec::new();
    for (path, text) in files("") {
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            if runtimes.iter().any(|word| line.contains(word)) {
                found.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    forbid("an async runtime", found);
    let mut found = Vec::new();
    for (path, text) in files("") {
        let threads = ["thread::spawn", "thread::Builder", "thread::scope"];
        let code = without_tests(&text);
        // The journal's thread owns nothing but lines: a log that nobody reads may stop it for ever.
        let threads_allowed = ["src/reactor/helper.rs", "src/journal/mod.rs"];
        let allowed = threads_allowed.iter().any(|file| path.ends_with(file));
        if !allowed && threads.iter().any(|word| code.contains(word)) {
            found.push(path.display().to_string());
        }
    }
    forbid("a thread beside the helper", found);
}

#[test]
fn every_protocol_has_its_row_in_the_readme() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for protocol in mynah::protocol::registry::Protocol::ALL {
        let row = format!("| `{protocol}` |");
        assert!(
            readme.contains(&row),
            "README.md has no row that begins {row:?}"
        );
    }
}

/// What a peer sends may break a rule, never the program: where its bytes and its names go, nothing is unwrapped and
/// nothing is looked up without asking whether it is there. Clippy checks it; that Clippy is asked stands here.
#[test]
fn r49_the_lints_against_panics_stand() {
    let all = [
        "get_unwrap",
        "indexing_slicing",
        "panic",
        "string_slice",
        "unwrap_used",
    ];
    // Timers are slots by number, and buffers are cut at what the kernel says it has taken.
    let without_indexing = ["get_unwrap", "panic", "unwrap_used"];
    let rooms = [
        ("chat/mod.rs", &all[..]),
        ("protocol/mod.rs", &all),
        ("fanout/mod.rs", &all),
        ("store/mod.rs", &all),
        ("control/mod.rs", &all),
        ("server/mod.rs", &all),
        ("http/mod.rs", &all),
        ("metrics/mod.rs", &all),
        ("journal/mod.rs", &all),
        ("reactor/mod.rs", &without_indexing),
        ("client/mod.rs", &without_indexing),
        ("config.rs", &without_indexing),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (file, lints) in rooms {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let start = text.find("#![cfg_attr(").unwrap_or(text.len());
        let attribute = text[start..].split(")]").next().unwrap();
        assert!(attribute.contains("deny("), "{file} denies nothing");
        for lint in lints {
            let lint = format!("clippy::{lint}");
            assert!(has_word(attribute, &lint), "{file} does not deny {lint}");
        }
    }
    // None of them is lifted again, but where a fuzz entry says what it found.
    let mut found = Vec::new();
    for (path, text) in files("") {
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let lifts = line.contains("allow(") || line.contains("expect(");
            let lint = all
                .iter()
                .any(|lint| line.contains(&format!("clippy::{lint}")));
            let next = lines.get(number + 1).unwrap_or(&"");
            if lifts && lint && !next.starts_with("pub fn fuzz(") {
                found.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    forbid("a lint against panics is lifted", found);
}

/// Whoever knows how names and addresses are hashed makes a table of them slow: they are hashed with a key that is
/// drawn anew for each table, which is what the standard library does when it is left to it.
#[test]
fn r39_every_hash_is_keyed() {
    let words = [
        "BuildHasherDefault",
        "DefaultHasher",
        "SipHasher",
        "ahash",
        "fnv",
        "foldhash",
        "fxhash",
        "rustc_hash",
        "with_hasher",
        "with_capacity_and_hasher",
        "impl Hasher",
        "impl BuildHasher for",
    ];
    forbid("a hash of its own", lines_with("", &words));
    // A table of hashbrown's has no hasher of its own: who has one has the keys beside it.
    let mut found = Vec::new();
    for (path, text) in files("") {
        let has_table = text.contains("use hashbrown::HashTable;");
        if text.contains("use hashbrown::") != has_table {
            found.push(format!("{}: more than a table", path.display()));
        }
        if has_table && !text.contains("RandomState") {
            found.push(format!("{}: a table without keys", path.display()));
        }
    }
    forbid("a table of hashbrown's", found);
}

/// What the log is asked for is what logs, and all of it: a filter with a target that tells nothing is a mistake that
/// nobody notices.
#[test]
fn the_targets_of_the_log_are_the_modules_that_log() {
    let mut logging = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (path, text) in files("") {
        let path = path.strip_prefix(&root).unwrap().with_extension("");
        let module = path.to_str().unwrap().replace('/', "::");
        let module = module.strip_suffix("::mod").unwrap_or(&module);
        let text = without_tests(&text);
        let mut calls = ["error", "warn", "info", "debug", "trace"]
            .into_iter()
            .flat_map(|level| {
                text.split(&format!("log::{level}!("))
                    .skip(1)
                    .collect::<Vec<_>>()
            });
        if calls.any(|call| !call.trim_start().starts_with("target:")) {
            logging.insert(module.to_owned());
        }
        // Those of whoever logs for others are in quotes.
        let of_others = TARGETS
            .iter()
            .filter(|target| text.contains(&format!("\"{target}\"")));
        if module != "journal::filter" {
            logging.extend(of_others.map(|target| (*target).to_owned()));
        }
    }
    // What was dropped is told by the journal itself; and mio is no part of this crate.
    logging.extend(["journal", "mio::poll"].map(str::to_owned));
    let known: Vec<&str> = logging.iter().map(String::as_str).collect();
    assert_eq!(TARGETS, known);
}
