//! Owns which bare loop a server is compared with, and that loop as a process: `mynah bench-floor`.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use super::order::Order;
use crate::chat::{Event, TimeOfDay};
use crate::cli::{BenchFloorArgs, FloorKind};
use crate::commands::parent;
use crate::load::floor::{self, Floor, FloorCrowd};
use crate::load::{Pace, Plan};
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
        (true, Pace::Window(1) | Pace::Rate(_)) => (Floor::Stream, "stream"),
        (true, Pace::Window(_)) => (Floor::Gathering, "gathering"),
    };
    let arguments = vec!["bench-floor".into(), format!("--kind={kind}")];
    (floor, arguments)
}

/// Its members, whose frames are as long as those of the order's protocols are in the mean.
pub fn crowd(order: &Order, floor: Floor, address: SocketAddr) -> FloorCrowd {
    let each = order.targets.iter().zip(order.shares.each());
    let (mut bytes, mut shares) = (0, 0);
    for (target, share) in each {
        bytes += overhead(target.protocol) * usize::from(*share);
        shares += usize::from(*share);
    }
    let protocols = order.targets.iter().map(|target| target.protocol);
    let echoes = protocols.into_iter().all(Protocol::echoes);
    FloorCrowd::new(floor, address, bytes.div_ceil(shares.max(1)), echoes)
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

/// As long as every name of a [`Mix`](crate::load::Mix) is: two letters and a number.
const MEMBER: &str = "ab00000";

#[cfg(test)]
mod tests {
    use super::*;

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
