//! Our pickles beside those of everybody else: the `pickle` of every CPython that is installed, its C half and
//! its Python half, and the crate serde-pickle.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mynah::protocol::udp_mesh::pickle::{Dict, Message, Violation, decode, encode};
use proptest::prelude::*;
use serde_json::json;
use serde_pickle::{DeOptions, HashableValue, Value};
use support::or_skip;

/// A dict that owns its strings.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Case {
    number: i64,
    username: String,
    message: Said,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Text(String),
    Lines(Vec<String>),
}

impl Case {
    fn dict(&self) -> Dict<'_> {
        Dict {
            protocol_num: self.number,
            username: &self.username,
            message: match &self.message {
                Said::Text(text) => Message::Text(text),
                Said::Lines(lines) => Message::Lines(lines.iter().map(String::as_str).collect()),
            },
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&self.dict(), &mut out);
        out
    }

    /// For `pickles.py`.
    fn json(&self) -> serde_json::Value {
        let (text, lines) = match &self.message {
            Said::Text(text) => (Some(hex(text.as_bytes())), None),
            Said::Lines(lines) => {
                let lines: Vec<String> = lines.iter().map(|line| hex(line.as_bytes())).collect();
                (None, Some(lines))
            }
        };
        json!({
            "number": self.number,
            "username": hex(self.username.as_bytes()),
            "text": text,
            "lines": lines,
            "ours": hex(&self.bytes()),
        })
    }

    /// More than a decoder need take.
    fn is_too_long(&self) -> bool {
        matches!(&self.message, Said::Lines(lines) if lines.len() > 200)
    }
}

/// SplitMix64: the same cases on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn text(&mut self) -> String {
        let alphabet = [
            "a", "B", "é", "ÿ", "\u{80}", "ā", "語", "🐦", "\0", "\n", " ",
        ];
        match self.below(8) {
            0 => String::new(),
            // Single characters: of ASCII, of Latin-1, beyond.
            1 | 2 => self.pick(&alphabet).to_string(),
            3 => self
                .pick(&["protocol_num", "username", "message", "ab", "éé"])
                .to_string(),
            // Around the length at which the instruction changes.
            4 => "x".repeat(253 + self.below(6)),
            5 => "é".repeat(126 + self.below(4)),
            _ => {
                let length = self.below(40);
                (0..length).map(|_| self.pick(&alphabet)).collect()
            }
        }
    }

    fn case(&mut self) -> Case {
        let edges = [
            0,
            1,
            255,
            256,
            65_535,
            65_536,
            i64::from(i32::MAX),
            i64::from(i32::MAX) + 1,
            i64::from(i32::MIN),
            i64::from(i32::MIN) - 1,
            -1,
            -129,
            (1 << 39) - 1,
            1 << 39,
            -(1 << 39),
            -(1 << 39) - 1,
            i64::MAX,
            i64::MIN,
        ];
        let number = match self.below(3) {
            0 => self.pick(&edges),
            _ => self.pick(&[471, 370, 371, 472]),
        };
        let username = self.text();
        let message = match self.below(5) {
            0 => Said::Text(self.text()),
            1 => Said::Text(username.clone()),
            2 => Said::Text(self.pick(&["x", "é", "🐦"]).repeat(1000 + self.below(3000))),
            _ => {
                let length = self.pick(&[0, 1, 2, 10, 12]);
                Said::Lines((0..length).map(|_| self.text()).collect())
            }
        };
        Case {
            number,
            username,
            message,
        }
    }
}

fn cases() -> Vec<Case> {
    let case = |number, username: &str, message| Case {
        number,
        username: username.to_string(),
        message,
    };
    let text = |text: &str| Said::Text(text.to_string());
    let lines = |lines: &[&str]| Said::Lines(lines.iter().map(|line| line.to_string()).collect());
    let numbered = |count: usize| Said::Lines((0..count).map(|n| format!("line {n}")).collect());
    let mut cases = vec![
        case(471, "alice", text("")),
        case(370, "", text("")),
        case(472, "x", text("x")),
        case(472, "é", text("é")),
        case(472, "ā", text("ā")),
        case(472, "alice", text("alice")),
        case(371, "a", lines(&[])),
        case(371, "a", lines(&["a"])),
        case(371, "", lines(&["", "", "ÿ", "ÿ", "ab", "ab", "Ā", "Ā"])),
        case(371, "bob", lines(&["> 12:00:00 alice: hi"; 10])),
        case(472, "bob", text(&"🐦".repeat(1000))),
        case(371, "bob", numbered(200)),
        // The memo grows beyond one byte, and the list beyond a batch.
        case(371, "bob", numbered(300)),
        case(371, "bob", numbered(1000)),
        case(371, "bob", numbered(1001)),
        case(371, "bob", numbered(2000)),
    ];
    let mut long = vec!["é".to_string(); 1002];
    long.insert(0, "first".to_string());
    cases.push(case(371, "bob", Said::Lines(long)));
    let mut random = Random(5238);
    cases.extend((0..400).map(|_| random.case()));
    cases
}

/// Every CPython 3.6 or later on the `PATH` and among those of pyenv, each version once.
fn pythons() -> BTreeMap<(u32, u32), PathBuf> {
    let mut candidates: Vec<PathBuf> = Vec::new();
    if let Some(home) = std::env::var_os("HOME") {
        let versions = fs::read_dir(Path::new(&home).join(".pyenv/versions"));
        let versions = versions.into_iter().flatten().flatten();
        candidates.extend(versions.map(|version| version.path().join("bin/python3")));
    }
    candidates.push("python3".into());
    candidates.extend((6..30).map(|minor| format!("python3.{minor}").into()));
    let mut found = BTreeMap::new();
    for python in candidates {
        let question = "import sys; print(sys.implementation.name, *sys.version_info[:2])";
        let Ok(answer) = Command::new(&python).args(["-c", question]).output() else {
            continue;
        };
        let answer = String::from_utf8(answer.stdout).unwrap();
        let words: Vec<&str> = answer.split_whitespace().collect();
        if let ["cpython", major, minor] = words[..]
            && let version = (major.parse().unwrap(), minor.parse().unwrap())
            && version >= (3, 6)
        {
            found.entry(version).or_insert(python);
        }
    }
    found
}

#[test]
fn r20_every_python_reads_what_we_write_and_we_read_what_it_writes() {
    let pythons = pythons();
    let newest = pythons.keys().next_back();
    if !or_skip(
        newest.is_some_and(|version| *version >= (3, 8)),
        "python3.8",
    ) {
        return;
    }
    let cases = cases();
    let file = tempfile::NamedTempFile::new().unwrap();
    let input: Vec<String> = cases.iter().map(|case| case.json().to_string()).collect();
    fs::write(file.path(), input.join("\n")).unwrap();
    for ((major, minor), python) in pythons {
        let output = Command::new(&python)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/peers/pickles.py"
            ))
            .arg(file.path())
            .output()
            .unwrap();
        let version = format!("Python {major}.{minor}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{version}: {said}");
        let output = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.lines().count(), cases.len(), "{version}");
        for (case, line) in cases.iter().zip(output.lines()) {
            let answer: serde_json::Value = serde_json::from_str(line).unwrap();
            let dumps = answer["dumps"].as_object().unwrap();
            if (major, minor) >= (3, 8) {
                let theirs = dumps["c5"].as_str().unwrap();
                assert_eq!(hex(&case.bytes()), theirs, "{version}: {case:?}");
                assert_eq!(answer["read"], true, "{version}: {case:?}");
                assert_eq!(dumps.len(), 8);
            }
            for (how, bytes) in dumps {
                let bytes = unhex(bytes.as_str().unwrap());
                match decode(&bytes) {
                    Err(Violation::TooManyItems { .. } | Violation::MemoFull { .. }) => {
                        assert!(case.is_too_long(), "{version} {how}: {case:?}");
                    }
                    read => assert_eq!(read, Ok(case.dict()), "{version} {how}: {case:?}"),
                }
            }
        }
    }
}

/// One of our pickles with a few bytes changed, cut out or doubled, so that we still take it.
fn changed(random: &mut Random) -> Option<Vec<u8>> {
    let mut bytes = random.case().bytes();
    // Without its frame, whose length any change would break.
    bytes.drain(2..11);
    for _ in 0..1 + random.below(3) {
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[at] = random.pick(OPCODES),
            1 => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, random.pick(OPCODES)),
        }
    }
    decode(&bytes).is_ok().then_some(bytes)
}

#[test]
fn r20_what_we_accept_python_reads_as_the_same() {
    let pythons = pythons();
    let Some((_, python)) = pythons.last_key_value() else {
        or_skip(false, "python3");
        return;
    };
    let mut random = Random(20);
    let accepted: Vec<Vec<u8>> = (0..60_000).filter_map(|_| changed(&mut random)).collect();
    assert!(accepted.len() > 5_000, "{}", accepted.len());
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines: Vec<String> = accepted.iter().map(|bytes| hex(bytes)).collect();
    fs::write(file.path(), lines.join("\n")).unwrap();
    let output = Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/peers/pickles.py"
        ))
        .arg("--read")
        .arg(file.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let read = String::from_utf8(output.stdout).unwrap();
    let refused = || &lines[read.lines().count()];
    assert!(output.status.success(), "it refused {}: {said}", refused());
    assert_eq!(read.lines().count(), accepted.len());
    for (bytes, theirs) in accepted.iter().zip(read.lines()) {
        let theirs: serde_json::Value = serde_json::from_str(theirs).unwrap();
        let ours = decode(bytes).unwrap();
        let message = match &ours.message {
            Message::Text(text) => json!(text),
            Message::Lines(lines) => json!(lines),
        };
        let ours = json!({
            "protocol_num": ours.protocol_num,
            "username": ours.username,
            "message": message,
        });
        assert_eq!(ours, theirs, "{}", hex(bytes));
    }
}

/// What serde-pickle reads, if it is such a dict.
fn by_serde(bytes: &[u8]) -> Option<Case> {
    let Value::Dict(mut dict) = serde_pickle::value_from_slice(bytes, DeOptions::new()).ok()?
    else {
        return None;
    };
    let mut take = |key: &str| dict.remove(&HashableValue::String(key.to_string()));
    let string = |value: Value| match value {
        Value::String(text) => Some(text),
        _ => None,
    };
    Some(Case {
        number: match take("protocol_num")? {
            Value::I64(number) => number,
            Value::Int(number) => number.to_string().parse().ok()?,
            _ => return None,
        },
        username: string(take("username")?)?,
        message: match take("message")? {
            Value::List(lines) => {
                Said::Lines(lines.into_iter().map(string).collect::<Option<_>>()?)
            }
            other => Said::Text(string(other)?),
        },
    })
    .filter(|_| dict.is_empty())
}

#[test]
fn serde_pickle_reads_what_we_write() {
    for case in cases() {
        assert_eq!(by_serde(&case.bytes()), Some(case));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// Our pickles with a few bytes changed, cut out or doubled, mostly where no string is.
    #[test]
    fn r20_what_we_accept_serde_pickle_reads_as_the_same(
        seed in any::<u64>(),
        changes in proptest::collection::vec(
            (any::<prop::sample::Index>(), 0u8..4, proptest::sample::select(OPCODES.to_vec())),
            0..4,
        ),
    ) {
        let mut bytes = Random(seed).case().bytes();
        // Without its frame, whose length any change would break.
        if seed % 4 != 0 {
            bytes.drain(2..11);
        }
        for (at, change, opcode) in changes {
            let at = at.index(bytes.len());
            match change {
                0 => bytes[at] = opcode,
                1 => bytes[at] ^= 1 << (opcode % 8),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, opcode),
            }
            if bytes.is_empty() {
                break;
            }
        }
        if let Ok(dict) = decode(&bytes) {
            let Some(theirs) = by_serde(&bytes) else {
                panic!("refused what we took: {dict:?} in {}", hex(&bytes));
            };
            prop_assert_eq!(theirs.dict(), dict);
        }
    }
}

/// The instructions that we read, by their letters.
const OPCODES: &[u8] = b"}](aesuKMJX.\x80\x8a\x8c\x8d\x94\x95qrhj";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = (0..text.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
