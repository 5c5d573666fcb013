//! How many instructions a delivery takes, by protocol: counted by callgrind, compared with the figures of
//! `instructions.txt`, so that speed that is lost is noticed at once, however noisy the machine.
//!
//! The program runs itself under callgrind, with so many rounds of messages and with twice as many; the
//! difference is what the rounds took, whatever it takes to get there. What is compared is the ratio to a loop
//! that never changes, counted in the same way: it moves with whatever moves everything.

#[path = "../tests/support/memory_room.rs"]
mod memory_room;

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use memory_room::{Room, speech};
use mynah::protocol::registry::Protocol;
use speech::{FANNED_OUT, TEXT};

/// In the room.
const MEMBERS: usize = 200;

/// Messages in one go, by the name of the figure.
const AT_ONCE: [(&str, usize); 2] = [("single", 1), ("burst-16", 16)];

/// Messages that are counted, and as many again in the second run.
const MESSAGES: usize = 1_600;

/// Rounds before the first that counts: every buffer has grown to its size.
const WARM_UP: usize = 16;

/// How far a ratio may move, in per cent. Towards less as well: a gain that is not recorded hides the loss after it.
const ALLOWED: f64 = 3.0;

const USAGE: &str = "\
instructions: counts the instructions of a delivery, under callgrind
  cargo bench --bench instructions -- check     compares them with benches/instructions.txt
  cargo bench --bench instructions -- record    writes them there";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["check", ..] => check(),
        ["record", ..] => record(),
        ["run", case, messages, rounds] => {
            run(case, number(messages), number(rounds));
            Ok(())
        }
        // With the other benches there is nothing to be done: nothing is timed here.
        _ => {
            println!("{USAGE}");
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\nerror: {why}");
            ExitCode::FAILURE
        }
    }
}

/// A protocol, and so many messages in one go.
#[derive(Clone, Copy)]
struct Case {
    protocol: Protocol,
    name: &'static str,
    messages: usize,
}

/// What a delivery takes.
struct Figure {
    case: Case,
    instructions: f64,
    /// To what a step of the reference takes.
    ratio: f64,
}

/// What was counted, or was when it was recorded.
struct Counted {
    rustc: String,
    target: String,
    reference: f64,
    figures: Vec<Figure>,
}

fn cases() -> impl Iterator<Item = Case> {
    FANNED_OUT.into_iter().flat_map(|protocol| {
        AT_ONCE.map(|(name, messages)| Case {
            protocol,
            name,
            messages,
        })
    })
}

fn check() -> Result<(), String> {
    let text = fs::read_to_string(recorded_at()).map_err(|error| format!("no figures: {error}"))?;
    let then = parse(&text).ok_or("benches/instructions.txt is not what `record` writes")?;
    let now = count_all()?;
    let mut moved = Vec::new();
    println!("instructions of a delivery, and their ratio to the reference loop");
    println!("                                 then              now");
    for figure in &now.figures {
        let Case { protocol, name, .. } = figure.case;
        let what = format!("{protocol} {name}");
        let same = |then: &&Figure| then.case.protocol == protocol && then.case.name == name;
        let Some(then) = then.figures.iter().find(same) else {
            moved.push(format!("{what} is not recorded"));
            continue;
        };
        let change = (figure.ratio / then.ratio - 1.0) * 100.0;
        println!(
            "{what:<20} {:>8.2} {:>7.4} {:>8.2} {:>7.4} {change:>+7.2} %",
            then.instructions, then.ratio, figure.instructions, figure.ratio
        );
        if change > ALLOWED {
            moved.push(format!("{what} takes {change:.1} % more"));
        } else if change < -ALLOWED {
            moved.push(format!(
                "{what} takes {:.1} % less: record it, or it may be lost again unseen",
                -change
            ));
        }
    }
    println!(
        "{:<20} {:>8.2} {:>16.2}",
        "reference", then.reference, now.reference
    );
    if moved.is_empty() {
        return Ok(());
    }
    let mut why = format!(
        "beyond {ALLOWED} %:\n  {}\nIf it is meant to be so: {RECORD}",
        moved.join("\n  ")
    );
    for (what, then, now) in [
        ("compiler", &then.rustc, &now.rustc),
        ("target", &then.target, &now.target),
    ] {
        if then != now {
            let _ = write!(why, "\nThe {what} is another one: {then} then, {now} now");
        }
    }
    Err(why)
}

const RECORD: &str = "cargo bench --bench instructions -- record";

fn record() -> Result<(), String> {
    let counted = count_all()?;
    let mut text = format!(
        "# Instructions of one delivery in a room of {MEMBERS}, and their ratio to one step of the reference loop.\n\
         # Written by `{RECORD}`; see README.md.\n\
         compiler   {}\n\
         target     {}\n\
         reference  {:.2}\n",
        counted.rustc, counted.target, counted.reference
    );
    for figure in &counted.figures {
        let Case { protocol, name, .. } = figure.case;
        let _ = writeln!(
            text,
            "{:<10} {name:<10} {:>8.2} {:>9.5}",
            protocol.name(),
            figure.instructions,
            figure.ratio
        );
    }
    print!("{text}");
    fs::write(recorded_at(), text).map_err(|error| format!("cannot write it: {error}"))
}

fn parse(text: &str) -> Option<Counted> {
    let field = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(rest.trim())
    };
    let figures = cases().filter_map(|case| {
        let mut figures = text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let is_it = words.next()? == case.protocol.name() && words.next()? == case.name;
            is_it.then_some(words)
        })?;
        Some(Figure {
            case,
            instructions: figures.next()?.parse().ok()?,
            ratio: figures.next()?.parse().ok()?,
        })
    });
    Some(Counted {
        rustc: field("compiler ")?.to_string(),
        target: field("target ")?.to_string(),
        reference: field("reference ")?.parse().ok()?,
        figures: figures.collect(),
    })
}

fn recorded_at() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

fn count_all() -> Result<Counted, String> {
    if cfg!(debug_assertions) {
        return Err("this is not what people run: build it as `cargo bench` does".into());
    }
    let steps = (MESSAGES * MEMBERS) as f64;
    let reference = count("reference", 1)? as f64 / steps;
    let mut figures = Vec::new();
    for case in cases() {
        let instructions = count(case.protocol.name(), case.messages)?;
        let deliveries = MESSAGES * speech::listeners(case.protocol, MEMBERS);
        let instructions = instructions as f64 / deliveries as f64;
        figures.push(Figure {
            case,
            instructions,
            ratio: instructions / reference,
        });
    }
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let rustc = Command::new(rustc).arg("--version").output();
    let rustc = rustc.map_err(|error| format!("rustc --version: {error}"))?;
    Ok(Counted {
        rustc: String::from_utf8_lossy(&rustc.stdout).trim().to_string(),
        target: format!("{}-{}", env::consts::ARCH, env::consts::OS),
        reference,
        figures,
    })
}

/// The instructions of [`MESSAGES`] messages.
fn count(case: &str, messages: usize) -> Result<u64, String> {
    let rounds = MESSAGES / messages;
    let once = collected(case, messages, rounds)?;
    let twice = collected(case, messages, 2 * rounds)?;
    Ok(twice.saturating_sub(once))
}

/// The instructions of a whole run.
fn collected(case: &str, messages: usize, rounds: usize) -> Result<u64, String> {
    let program = env::current_exe().map_err(|error| format!("where am I? {error}"))?;
    let mut callgrind = match addresses_can_be_fixed() {
        true => {
            let mut setarch = Command::new("setarch");
            setarch.args(["-R", "valgrind"]);
            setarch
        }
        false => Command::new("valgrind"),
    };
    let run = callgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        // Of one length, for they are on the stack.
        .args(["run", case, &messages.to_string(), &format!("{rounds:06}")])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("GLIBC_TUNABLES", PLAIN_COPIES)
        .stdout(Stdio::null())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&run.stderr);
    let count = said
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse().ok());
    match count {
        Some(count) if run.status.success() => Ok(count),
        _ => Err(format!(
            "callgrind did not count {case}, {}:\n{said}",
            run.status
        )),
    }
}

/// Alignment decides about a few instructions of a copy, so addresses had better be the same each time. Not every
/// container allows that; without it counts differ by two in a thousand.
fn addresses_can_be_fixed() -> bool {
    let tried = Command::new("setarch")
        .args(["-R", "true"])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

/// Has glibc copy without AVX and without the string instructions of some processors: callgrind has those that the
/// machine has, and copies in them are counted otherwise.
const PLAIN_COPIES: &str =
    "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX512F,-AVX512VL,-AVX512F_Usable,-ERMS,-FSRM";

/// What is counted.
fn run(case: &str, messages: usize, rounds: usize) {
    let Ok(protocol) = case.parse::<Protocol>() else {
        return reference(WARM_UP + rounds);
    };
    let mut room = Room::with(protocol, MEMBERS);
    let mut speech = room.speech(0, TEXT, messages);
    for _ in 0..WARM_UP + rounds {
        room.says(0, &mut speech);
    }
    let (bytes, _) = room.delivered();
    let said = (WARM_UP + rounds) * messages;
    assert!(
        bytes > said * room.listeners() * TEXT.len(),
        "all is delivered"
    );
}

/// The text copied for each member and its bytes summed up (FNV-1a): what no compiler can leave out, and no
/// change of ours touches.
fn reference(rounds: usize) {
    let mut copies = vec![[0u8; TEXT.len()]; MEMBERS];
    let mut sum = 0xcbf2_9ce4_8422_2325u64;
    for _ in 0..rounds {
        for copy in &mut copies {
            copy.copy_from_slice(black_box(TEXT).as_bytes());
            for byte in black_box(copy) {
                sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    black_box(sum);
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}
