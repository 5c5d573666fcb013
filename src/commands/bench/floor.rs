//! Owns which bare loop a server is compared with, and that loop as a process: `mynah bench-floor`.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use super::Failure;
use super::order::{Order, Place};
use crate::chat::{Event, TimeOfDay};
use crate::cli::{BenchFloorArgs, FloorKind};
use crate::commands::parent;
use crate::load::floor::{self, Floor, FloorCrowd};
use crate::load::{Crowd, Mix, Pace, Plan};
use crate::protocol::Datagrams;
use crate::protocol::registry::{Protocol, Transport};

/// What it says that it listens for.
pub const NAME: &str = "floor";

/// Serves until it is ended.
pub fn run(args: BenchFloorArgs) -> ExitCode {
    let floor = match args.kind {
        FloorKind::Stream => Floor::Stream,
        FloorKind::Gathering => Floor::Gathering,
        FloorKind::Datagrams => Floor::Datagrams,
    };
    let parent = args.parent.map_or(Ok(()), parent::end_with);
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let Err(error) = parent.and_then(|()| floor::serve(floor, local, announce));
    let _ = writeln!(io::stderr(), "mynah: {error}");
    ExitCode::FAILURE
}

fn announce(address: SocketAddr) {
    let mut stdout = io::stdout().lock();
    let said = writeln!(stdout, "listening {NAME} on {address}\nready");
    // Whoever started it may be gone already, and then it ends.
    let _ = said.and_then(|()| stdout.flush());
}

/// The loop for this plan, and its arguments.
pub fn of(order: &Order, plan: &Plan) -> (Floor, Vec<String>) {
    let (floor, kind) = match (order.is_stream(), plan.pace) {
        (false, _) => (Floor::Datagrams, "datagrams"),
        (true, Pace::Window(1)) => (Floor::Stream, "stream"),
        // At a rate too: a server that falls behind gathers what has come meanwhile, and so may the floor.
        (true, Pace::Window(_) | Pace::Rate(_)) => (Floor::Gathering, "gathering"),
    };
    let arguments = vec!["bench-floor".into(), format!("--kind={kind}")];
    (floor, arguments)
}

/// Its members, whose frames are as long as those of the order's protocols are in the mean, and who hear themselves
/// where the same members of the order do: there are as many deliveries.
pub fn crowd(order: &Order, floor: Floor, address: SocketAddr) -> Result<FloorCrowd, Failure> {
    let each = order.targets.iter().zip(order.shares.each());
    let (mut bytes, mut shares) = (0, 0);
    for (target, share) in each {
        bytes += overhead(target.protocol) * usize::from(*share);
        shares += usize::from(*share);
    }
    let parts = order.parts(|_| {
        Some(Place {
            address,
            ucrp: Some(address),
        })
    })?;
    let mix = Mix::new(&parts, MEMBER).map_err(|error| Failure::Usage(error.to_string()))?;
    let echoes: Vec<bool> = (0..shares).map(|member| mix.echoes(member)).collect();
    let crowd = FloorCrowd::new(floor, address, bytes.div_ceil(shares.max(1)), true);
    Ok(crowd.echoing(&echoes))
}

/// What stands around a text in this protocol when a member hears it.
fn overhead(protocol: Protocol) -> usize {
    const TEXT: &str = "~";
    let said = Event::Said {
        from: MEMBER,
        text: TEXT,
        time: TimeOfDay::default(),
    };
    let spoken = match protocol {
        // Who joined by one talks in the other.
        Protocol::Tcrp => Protocol::Ucrp,
        other => other,
    };
    let bytes = match spoken.transport() {
        Transport::Tcp => {
            let mut frame = Vec::new();
            spoken.encode_event(&said, &mut frame);
            frame.len()
        }
        Transport::Udp => {
            let mut datagrams = Datagrams::new();
            spoken.encode_datagrams(&said, &mut datagrams);
            datagrams.total_bytes()
        }
    };
    bytes.saturating_sub(TEXT.len())
}

/// As long as every name of a [`Mix`] is: two letters and a number.
const MEMBER: &str = "ab00000";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn order(flags: &[&str]) -> Order {
        let cli = Cli::try_parse_from(["mynah", "bench"].iter().chain(flags)).unwrap();
        match cli.command {
            Command::Bench(args) => Order::of(&args).unwrap_or_else(|_| panic!("{flags:?}")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_one_message_at_a_time_is_not_gathered() {
        let floors = |flags: &[&str]| -> Vec<Floor> {
            let order = order(flags);
            order.plans.iter().map(|plan| of(&order, plan).0).collect()
        };
        assert_eq!(
            floors(&["-w", "1,16"]),
            [Floor::Stream, Floor::Gathering],
            "by window"
        );
        assert_eq!(floors(&["--rate", "10"]), [Floor::Gathering]);
        assert_eq!(floors(&["udp-room", "-w", "1"]), [Floor::Datagrams]);
    }

    #[test]
    fn members_hear_themselves_as_those_of_the_mix_do() {
        let order = order(&["tcp-room", "group", "--mix", "2:1"]);
        let address = "127.0.0.1:65535".parse().unwrap();
        let Ok(crowd) = crowd(&order, Floor::Gathering, address) else {
            panic!("there is a crowd");
        };
        let echoes: Vec<bool> = (0..6).map(|member| crowd.echoes(member)).collect();
        let turn = [true, false, true];
        assert_eq!(echoes, [turn, turn].concat());
    }

    #[test]
    fn frames_are_as_long_as_the_protocols() {
        // 372, three strings: their number and lengths, and the time.
        assert_eq!(overhead(Protocol::TcpRoom), 5 * 4 + 8 + 7);
        for protocol in Protocol::ALL
            .iter()
            .filter(|one| **one != Protocol::UdpMesh)
        {
            let overhead = overhead(*protocol);
            assert!((8..128).contains(&overhead), "{protocol}: {overhead}");
        }
    }
}
