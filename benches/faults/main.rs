//! What `docs/reliability.md` says in milliseconds and megabytes: this program starts `mynah serve`, attacks it, and
//! says how those fared who only chat. Threads and blocking sockets: it is who measures, not what is measured.
//!
//!     attacks r36              one attack
//!     attacks all              every one that spares the server, on one server, and how it is afterwards
//!     attacks r01 r04 r41      some
//!
//! One line a figure goes to standard output: `R36 | what | figure | limit | held`, or `OVER`.

mod apart;
mod chatters;
mod costs;
mod crowd;
mod endings;
mod floods;
mod logins;
mod server;
mod slow;
mod together;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Attacks a server of its own and measures those who chat there meanwhile.
#[derive(Debug, Parser)]
#[command(name = "attacks")]
struct Args {
    /// Rows of docs/reliability.md, or `each`, or `all` together on one server
    #[arg(required = true, value_name = "ROW")]
    rows: Vec<String>,

    /// The program to attack [default: that which was built beside this one]
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,

    /// Members of a crowd; fewer where fewer descriptors are to be had
    #[arg(long, value_name = "N", default_value_t = 5000)]
    crowd: usize,

    /// Logins of each kind that are timed
    #[arg(long, value_name = "N", default_value_t = 1000)]
    samples: usize,

    /// Seconds that a flood or a storm lasts
    #[arg(long, value_name = "S", default_value_t = 10)]
    seconds: u64,
}

/// What an attack is done with.
#[derive(Debug)]
pub struct Order {
    pub server: PathBuf,
    pub crowd: usize,
    pub samples: usize,
    pub seconds: u64,
}

/// Something measured, and what it may be at most.
#[derive(Debug)]
pub struct Figure {
    pub row: &'static str,
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    /// None where it only tells more of another.
    pub limit: Option<f64>,
}

type Attack = fn(&Order) -> io::Result<Vec<Figure>>;

const ATTACKS: [(&str, Attack); 15] = [
    ("r01", slow::r01),
    ("r04", slow::r04),
    ("r16", logins::r16),
    ("r17", logins::r17),
    ("r19", logins::r19),
    ("r20", costs::r20),
    ("r21", floods::r21),
    ("r30", endings::r30),
    ("r35", floods::r35),
    ("r36", floods::r36),
    ("r37", slow::r37),
    ("r39", costs::r39),
    ("r41", endings::r41),
    ("r43", slow::r43),
    ("all", together::all),
];

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("attacks: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every figure is within its limit.
fn run(args: &Args) -> io::Result<bool> {
    apart::leave_one_processor()?;
    let descriptors = mynah::reactor::raise_descriptor_limit()?;
    let room = usize::try_from(descriptors).unwrap_or(usize::MAX);
    let beside = || {
        Some(
            std::env::current_exe()
                .ok()?
                .parent()?
                .parent()?
                .join("mynah"),
        )
    };
    let server = args.server.clone().or_else(beside);
    let order = Order {
        server: server.ok_or_else(|| io::Error::other("no server: --server FILE"))?,
        crowd: args.crowd.min(room.saturating_sub(500)),
        samples: args.samples.max(1),
        seconds: args.seconds.max(1),
    };
    let mut chosen = Vec::new();
    for row in &args.rows {
        let row = row.to_lowercase();
        match row.as_str() {
            "each" => chosen.extend(ATTACKS.iter().filter(|(name, _)| *name != "all")),
            _ => match ATTACKS.iter().find(|(name, _)| *name == row) {
                Some(attack) => chosen.push(attack),
                None => return Err(io::Error::other(format!("there is no attack {row}"))),
            },
        }
    }
    let mut held = true;
    for (name, attack) in chosen {
        let figures =
            attack(&order).map_err(|e| io::Error::new(e.kind(), format!("{name}: {e}")))?;
        for figure in figures {
            held &= figure.is_held();
            println!("{figure}");
        }
    }
    Ok(held)
}

impl Figure {
    fn is_held(&self) -> bool {
        self.limit.is_none_or(|limit| self.value <= limit)
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figure {
            row,
            what,
            value,
            unit,
            limit,
        } = self;
        let digits = match value.abs() {
            0.0..10.0 => 2,
            10.0..100.0 => 1,
            _ => 0,
        };
        write!(f, "{row} | {what} | {value:.digits$} {unit} | ")?;
        match limit {
            Some(limit) => {
                let verdict = if self.is_held() { "held" } else { "OVER" };
                write!(f, "{limit} {unit} | {verdict}")
            }
            None => write!(f, "- | -"),
        }
    }
}

/// Several of one row, in few words.
pub fn figure(
    row: &'static str,
    what: impl Into<String>,
    value: f64,
    unit: &'static str,
    limit: impl Into<Option<f64>>,
) -> Figure {
    Figure {
        row,
        what: what.into(),
        value,
        unit,
        limit: limit.into(),
    }
}
