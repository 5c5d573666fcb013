//! The load generator of `mynah bench` against other servers, each in its own protocol, and the floors to measure
//! them beside: what `benches/peers/run` runs. One JSON object per run goes to standard output.
//!
//!     peers --server redis --address 127.0.0.1:6379 --pid 4711 --members 1000 --window 16
//!     peers --serve bare-tcp --address 127.0.0.1:7001

mod irc;
mod mqtt;
mod nats;
mod people;
mod questions;
mod redis;
mod wire;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use mynah::load::{self, Crowd, Failure, Outcome, Pace, Plan, Verdict, floor};
use mynah::report::{Against, Run};

use self::people::{Server, Visitor};

/// Loads another server with mynah's generator, or is one that does nothing but what the kernel makes everybody do.
#[derive(Debug, Parser)]
#[command(name = "peers")]
struct Args {
    /// Whose protocol to speak
    #[arg(long, value_enum, required_unless_present = "serve")]
    server: Option<Server>,

    /// Be that one, a floor, until killed
    #[arg(long, value_name = "FLOOR", value_enum, conflicts_with = "server")]
    serve: Option<Server>,

    /// Where the server is, or is to be; TCRP has its datagrams at the port behind
    #[arg(long, value_name = "ADDR:PORT")]
    address: SocketAddr,

    /// Its process, whose processor time and memory are measured
    #[arg(long)]
    pid: Option<u32>,

    /// Members of the room
    #[arg(long, value_name = "N", default_value_t = 100)]
    members: usize,

    /// How many of them take turns at talking
    #[arg(long, value_name = "N", default_value_t = 1)]
    senders: usize,

    /// Messages in flight: one is until everybody has it
    #[arg(long, value_name = "W", default_value_t = 1)]
    window: u32,

    /// Messages a second instead, by all senders together
    #[arg(long, value_name = "R", conflicts_with = "window")]
    rate: Option<f64>,

    /// Seconds for which messages are sent
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    duration: f64,

    /// Seconds before that, in which nothing counts
    #[arg(long, value_name = "S", default_value_t = 0.5, value_parser = seconds)]
    warm_up: f64,

    /// Bytes of a message's text
    #[arg(long, value_name = "BYTES", default_value_t = 64)]
    payload: usize,

    /// Members on their way in at one time
    #[arg(long, value_name = "N", default_value_t = 64)]
    in_flight: usize,

    /// How often to do all of it
    #[arg(long, value_name = "K", default_value_t = 1)]
    repeat: usize,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_string())?;
    match (0.0..=3600.0).contains(&seconds) {
        true => Ok(seconds),
        false => Err("from 0 to 3600 seconds".to_string()),
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("peers: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    if let Some(server) = args.serve {
        let Some(floor) = server.floor() else {
            return Err("only bare-tcp, bare-tcp-coalesce and bare-udp can be served".to_string());
        };
        return match floor::serve(floor, args.address, |_| {}) {
            Ok(never) => match never {},
            Err(error) => Err(format!("{}: {error}", args.address)),
        };
    }
    let Some(server) = args.server else {
        return Ok(());
    };
    let plan = args.plan();
    for round in 1..=args.repeat {
        let outcome = server
            .visit(args.address, Load(&plan))?
            .map_err(|failure| failure.to_string())?;
        let mut line = line(server, &plan, round, &outcome)?;
        line.push('\n');
        io::stdout()
            .write_all(line.as_bytes())
            .map_err(|error| format!("standard output: {error}"))?;
    }
    Ok(())
}

/// A run as `mynah bench` tells it.
fn line(server: Server, plan: &Plan, round: usize, outcome: &Outcome) -> Result<String, String> {
    let against = match server.floor() {
        Some(_) => Against::Floor,
        None => Against::Server,
    };
    let name = server.to_possible_value();
    let name = name.as_ref().map_or("", |name| name.get_name());
    let run = Run::of(name, plan, round, against, outcome);
    serde_json::to_string(&run).map_err(|error| error.to_string())
}

impl Args {
    fn plan(&self) -> Plan {
        Plan {
            members: self.members,
            senders: self.senders,
            pace: match self.rate {
                Some(rate) => Pace::Rate(rate),
                None => Pace::Window(self.window),
            },
            payload: self.payload,
            duration: Duration::from_secs_f64(self.duration),
            warm_up: Duration::from_secs_f64(self.warm_up),
            logins_in_flight: self.in_flight,
            server: self.pid,
        }
    }
}

/// Runs the plan with whichever members.
struct Load<'a>(&'a Plan);

impl Visitor for Load<'_> {
    type Done = Result<Outcome, Failure>;

    fn visit<C: Crowd>(self, crowd: &C) -> Self::Done {
        load::run(self.0, crowd, &mut |_| Verdict::GoOn)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// A floor that serves until the test ends, and where.
    fn serve(server: Server) -> SocketAddr {
        let floor = server.floor().unwrap();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            floor::serve(floor, any, |address| tell.send(address).unwrap())
        });
        told.recv().unwrap()
    }

    #[test]
    fn every_floor_is_loaded_and_loses_nothing() {
        for server in [Server::BareTcp, Server::BareTcpCoalesce, Server::BareUdp] {
            let plan = Plan {
                members: 10,
                senders: 2,
                pace: Pace::Window(4),
                payload: 64,
                duration: Duration::from_millis(50),
                warm_up: Duration::from_millis(10),
                logins_in_flight: 4,
                server: Some(std::process::id()),
            };
            let outcome = server.visit(serve(server), Load(&plan)).unwrap().unwrap();
            let deliveries = &outcome.deliveries;
            assert_eq!(outcome.logins.members, 10, "{server:?}");
            assert!(deliveries.messages > 0, "{server:?}");
            assert_eq!(deliveries.received, 10 * deliveries.messages, "{server:?}");
            assert_eq!(
                (deliveries.lost, deliveries.doubled, deliveries.disordered),
                (0, 0, 0)
            );

            let said = line(server, &plan, 1, &outcome).unwrap();
            let said: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!(said["against"], "floor");
            // What the table is made of.
            for figure in [
                "deliveries_per_s",
                "cpu_us_per_delivery",
                "memory_bytes_per_member",
                "memory_before_bytes",
                "memory_peak_bytes",
                "cpu_us_per_login",
                "lost",
                "doubled",
                "disordered",
                "members_cut",
            ] {
                assert!(said[figure].is_number(), "{figure} in {said}");
            }
            assert!(said["generator_was_bottleneck"].is_boolean());
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        use clap::CommandFactory;

        Args::command().debug_assert();
        for words in [
            "",
            "--server redis",
            "--address 127.0.0.1:1",
            "--server redis --serve bare-tcp --address 127.0.0.1:1",
            "--server redis --address 127.0.0.1:1 --window 1 --rate 5",
            "--server redis --address 127.0.0.1:1 --duration -1",
            "--server telnet --address 127.0.0.1:1",
        ] {
            let words = ["peers"].into_iter().chain(words.split_whitespace());
            assert!(Args::try_parse_from(words).is_err());
        }
    }
}
