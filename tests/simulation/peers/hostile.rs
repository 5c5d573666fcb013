//! Owns somebody who sends whatever datagrams may do harm, from addresses that are not its own, and somebody
//! who connects and says nothing of use.

use std::net::SocketAddr;

use mynah::protocol::registry::Protocol;
use mynah::protocol::tcrp::datagram::encode_to_server;
use mynah::reactor::Key;

use super::mutants;
use crate::air::Air;
use crate::rng::Rng;
use crate::stream::PeerEnd;

/// A connection that brings nothing good. It may become a member's, of a name that nobody knows.
pub struct Intruder {
    pub end: PeerEnd,
    /// Where it comes from.
    pub from: SocketAddr,
    pub key: Option<Key>,
    pub plan: Vec<u8>,
    pub reads: bool,
    pub received: Vec<u8>,
}

impl Intruder {
    pub fn read(&mut self) {
        self.end.receive(usize::MAX, &mut self.received);
    }

    /// What it is going to say.
    pub fn plan(protocol: Protocol, name: &str, rng: &mut Rng) -> Vec<u8> {
        let mut plan: Vec<u8> = match (protocol, rng.below(12)) {
            // Let in first, or not; then one thing after the other that is almost right.
            (_, 5..) => {
                let mut plan = match rng.once_in(2) {
                    true => mutants::golden(protocol, name).swap_remove(0),
                    false => Vec::new(),
                };
                for _ in 0..1 + rng.below(4) {
                    plan.extend(mutants::mutant(protocol, name, rng));
                }
                plan
            }
            (Protocol::TcpRoom, _) => return mutants::mutant(protocol, name, rng),
            (_, 0) => (0..rng.below(400)).map(|_| rng.next() as u8).collect(),
            (Protocol::Group, 1) => b"REGISTER:half a na".to_vec(),
            (Protocol::Group, 2) => vec![b'x'; 9000],
            (Protocol::Group, 3) => b"BROADCAST:x:5:hello\r\nREGISTER:a b:1.2.3.4:9\r\n".to_vec(),
            (Protocol::Group, _) => b"BROADCAST:x:99999999999999999999:x\r\n".to_vec(),
            (_, 1) => vec![5, 1, 0, 0xff, 0xff],
            (_, 2) => vec![0; 40],
            // A payload of 2^31 bytes, and one that is no JSON.
            (_, 3) => [&[1, 2][..], &[0; 26], &[0x80, 0, 0, 0], b"x"].concat(),
            (_, _) => [&[3, 1, 0][..], &[0; 28], &[4], b"tea{{{{"].concat(),
        };
        if rng.once_in(6) {
            plan.truncate(rng.below(plan.len()));
        }
        plan
    }
}

/// The ports, as they are numbered.
pub struct Ports {
    pub room: u8,
    pub login: u8,
    pub ucrp: u8,
    pub mesh: u8,
}

/// One thing that may do harm.
pub fn attack(ports: &Ports, names: &[String], rng: &mut Rng, air: &mut Air) {
    let victim = |rng: &mut Rng| -> SocketAddr {
        let (host, port) = (1 + rng.below(3), 4000 + rng.below(3));
        format!("198.51.100.{host}:{port}").parse().unwrap()
    };
    let from = victim(rng);
    let name = match names.is_empty() {
        true => "nobody".to_string(),
        false => names[rng.below(names.len())].clone(),
    };
    let hex = format!("{:016x}{:016x}", rng.next(), rng.next());
    let seq = rng.below(60);
    match rng.below(13) {
        9.. => {
            let (port, protocol) = [
                (ports.room, Protocol::UdpRoom),
                (ports.login, Protocol::UdpLogin),
                (ports.ucrp, Protocol::Ucrp),
                (ports.mesh, Protocol::UdpMesh),
            ][rng.below(4)];
            let name = format!("gremlin{}", rng.below(4));
            air.send(from, port, &mutants::mutant(protocol, &name, rng));
        }
        0 => {
            let port = rng.below(4) as u8;
            let length = match rng.once_in(8) {
                true => 5000,
                false => rng.below(60),
            };
            let bytes: Vec<u8> = (0..length).map(|_| rng.next() as u8).collect();
            air.send(from, port, &bytes);
        }
        1 => {
            let ask = match rng.below(4) {
                0 => format!("C {seq} LOGIN {name}"),
                1 => format!("C {seq} LOGIN x"),
                2 => format!("C {seq} PASS forged{} p", rng.below(5)),
                _ => format!("C {seq} PASS {name} wrong"),
            };
            air.send(from, ports.login, ask.as_bytes());
        }
        2 => {
            let ask = match rng.below(5) {
                0 => format!("C {seq} PING {hex}"),
                1 => format!("C {seq} EX {hex}"),
                2 => format!("D {seq} {hex} forged"),
                3 => "C 1 PM x".to_string(),
                _ => format!("C {seq} NONSENSE {hex}"),
            };
            air.send(from, ports.login, ask.as_bytes());
        }
        3 => {
            let mut bytes = Vec::new();
            let what = ["__REGISTER__", "__LEAVE__", "forged"][rng.below(3)];
            encode_to_server("room1", &format!("token_{hex}"), what, &mut bytes);
            air.send(from, ports.ucrp, &bytes);
        }
        4 => {
            // Such an address never joins, so that all it is sent is on the account of what it says.
            let stranger: SocketAddr = format!("203.0.113.{}:7", 1 + rng.below(4)).parse().unwrap();
            air.strangers.insert(stranger);
            let said = match rng.below(3) {
                0 => "hi".to_string(),
                1 => format!("PM| {name}: forged"),
                _ => format!("DM| {name}> {name}: forged"),
            };
            air.send(stranger, ports.room, said.as_bytes());
        }
        5 => {
            let ghost = rng.below(6);
            let said = match rng.below(4) {
                0 | 1 => format!("UN| ghost{ghost}"),
                // Taken at all times. Another's it would get once that one has left: here it is who says so.
                2 => "UN| Ear".to_string(),
                _ => "EX| ".to_string(),
            };
            air.send(from, ports.room, said.as_bytes());
        }
        6 => {
            // 471 and 472 with a pickle that wants more than it may.
            let bytes = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.";
            air.send(from, ports.mesh, bytes);
        }
        _ => {
            if air.overheard.is_empty() {
                return;
            }
            let (port, bytes) = air.overheard[rng.below(air.overheard.len())].clone();
            // Names and passwords cross these networks in clear: whoever reads them can use them. The
            // mesh knows its peers by their names alone.
            let in_clear = bytes.windows(6).any(|part| part == b" PASS ")
                || bytes.starts_with(b"UN|")
                || port == ports.mesh;
            if !in_clear {
                air.send(from, port, &bytes);
            }
        }
    }
}
