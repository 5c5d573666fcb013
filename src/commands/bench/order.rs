//! Owns what the flags of `mynah bench` come to: whom, how many, how fast, how often. Refuses what cannot be.

use std::net::SocketAddr;

use super::Failure;
use crate::cli::BenchArgs;
use crate::config::{Shares, Target};
use crate::load::{Pace, Part, Plan};
use crate::protocol::registry::{Protocol, Transport};

/// What the flags come to.
pub struct Order {
    pub targets: Vec<Target>,
    pub shares: Shares,
    /// Whether the server is one of our own.
    pub is_own: bool,
    pub plans: Vec<Plan>,
    pub repeat: usize,
    pub floor: bool,
}

impl Order {
    pub fn of(args: &BenchArgs) -> Result<Order, Failure> {
        let usage = |reason: &str| Err(Failure::Usage(reason.to_string()));
        let mut targets = args.targets.clone();
        if targets.is_empty() {
            targets.push(Target {
                protocol: Protocol::TcpRoom,
                address: None,
            });
        }
        let is_own = targets.iter().all(|target| target.address.is_none());
        if !is_own && targets.iter().any(|target| target.address.is_none()) {
            return usage(
                "either all protocols have an address, or none has and bench starts the server",
            );
        }
        if is_own && args.pid.is_some() {
            return usage(
                "--pid is for a server with an address; bench knows the one that it starts",
            );
        }
        let shares = args.mix.clone().unwrap_or(Shares::even(targets.len()));
        if shares.each().len() != targets.len() {
            let are = |count: usize, what: &str| match count {
                1 => format!("is 1 {what}"),
                count => format!("are {count} {what}s"),
            };
            return usage(&format!(
                "--mix {shares} {}, and there {}: {}",
                are(shares.each().len(), "share"),
                are(targets.len(), "protocol"),
                names(&targets).join(", ")
            ));
        }
        if args.floor {
            let streams = targets.iter().filter(|target| is_stream(target)).count();
            if streams != 0 && streams != targets.len() {
                return usage("--floor: there is no one loop for streams and datagrams together");
            }
            if targets
                .iter()
                .any(|target| target.protocol == Protocol::UdpMesh)
            {
                return usage("--floor: members of a mesh hear each other without a server");
            }
        }
        let paces: Vec<Pace> = match (args.rate.is_empty(), args.window.is_empty()) {
            (false, _) => args.rate.iter().copied().map(Pace::Rate).collect(),
            (true, false) => args.window.iter().copied().map(Pace::Window).collect(),
            (true, true) => DEFAULT_WINDOWS.map(Pace::Window).to_vec(),
        };
        let mut plans = Vec::new();
        for members in &args.members {
            for pace in &paces {
                let plan = Plan {
                    members: *members,
                    senders: args.senders,
                    pace: *pace,
                    payload: args.payload,
                    duration: args.duration,
                    warm_up: args.warm_up,
                    logins_in_flight: args.logins_in_flight,
                    server: args.pid,
                };
                plan.check()
                    .map_err(|error| Failure::Usage(error.to_string()))?;
                plans.push(plan);
            }
        }
        Ok(Order {
            targets,
            shares,
            is_own,
            plans,
            repeat: args.repeat,
            floor: args.floor,
        })
    }

    /// Whether this process may have the descriptors that each plan takes: none is measured if one cannot be.
    pub fn check_descriptors(&self, limit: u64) -> Result<(), Failure> {
        for plan in &self.plans {
            let needed = |members: usize| self.descriptors(members, plan.logins_in_flight);
            if needed(plan.members) <= limit {
                continue;
            }
            let most = (1..plan.members).rev().find(|most| needed(*most) <= limit);
            return Err(Failure::Usage(format!(
                "{} members need {} descriptors, and the limit here (ulimit -Hn) is {limit}: {} would do",
                plan.members,
                needed(plan.members),
                most.unwrap_or(0)
            )));
        }
        Ok(())
    }

    /// What so many members take: one each, or two in a mesh; those on their way in another one for a moment.
    fn descriptors(&self, members: usize, logins_in_flight: usize) -> u64 {
        let each = self.targets.iter().zip(self.shares.each());
        let (mut descriptors, mut shares) = (0, 0);
        for (target, share) in each {
            let of_one = match target.protocol {
                Protocol::UdpMesh => 2,
                _ => 1,
            };
            descriptors += of_one * u64::from(*share);
            shares += u64::from(*share);
        }
        let all = (members as u64 * descriptors).div_ceil(shares.max(1));
        all + members.min(logins_in_flight) as u64 + OTHER_DESCRIPTORS
    }

    /// How often something is measured.
    pub fn runs(&self) -> usize {
        self.plans.len() * self.repeat * if self.floor { 2 } else { 1 }
    }

    /// Who the members are, in words.
    pub fn crowd(&self) -> String {
        match names(&self.targets).as_slice() {
            [one] => one.clone(),
            [all @ .., last] => format!("{} and {last} {}", all.join(", "), self.shares),
            [] => String::new(),
        }
    }

    /// Whose server it is, in words.
    pub fn server(&self) -> String {
        let addresses = self.targets.iter().filter_map(|target| target.address);
        let mut addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
        addresses.dedup();
        match addresses.is_empty() {
            true => "a server of its own".into(),
            false => addresses.join(", "),
        }
    }

    /// Whether nothing may be lost.
    pub fn is_stream(&self) -> bool {
        self.targets.iter().all(is_stream)
    }

    /// Whether anybody talks over a stream.
    pub fn has_streams(&self) -> bool {
        self.targets.iter().any(is_stream)
    }

    /// The members' protocols where the server is at these addresses.
    pub fn parts(&self, place: impl Fn(&Target) -> Option<Place>) -> Result<Vec<Part>, Failure> {
        let each = self.targets.iter().zip(self.shares.each());
        let parts = each.map(|(target, share)| {
            let place = place(target).ok_or_else(|| {
                Failure::Other(format!(
                    "the server does not listen for {}",
                    target.protocol
                ))
            })?;
            Ok(Part {
                protocol: target.protocol,
                address: place.address,
                ucrp: place.ucrp,
                share: *share,
            })
        });
        parts.collect()
    }
}

/// Where a protocol is served.
pub struct Place {
    pub address: SocketAddr,
    /// Where the datagrams of `tcrp` go, if it is known.
    pub ucrp: Option<SocketAddr>,
}

/// Whether members talk over a stream. Who joins by `tcrp` does not.
fn is_stream(target: &Target) -> bool {
    target.protocol.transport() == Transport::Tcp && target.protocol != Protocol::Tcrp
}

fn names(targets: &[Target]) -> Vec<String> {
    targets
        .iter()
        .map(|target| target.protocol.to_string())
        .collect()
}

/// Beside those of members: standard streams, the poll, files of `/proc`.
const OTHER_DESCRIPTORS: u64 = 32;

/// One at a time, a few, and as many as anybody has seen a room say at once.
const DEFAULT_WINDOWS: [u32; 3] = [1, 16, 256];

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn order(flags: &[&str]) -> Result<Order, String> {
        let cli = Cli::try_parse_from(["mynah", "bench"].iter().chain(flags));
        match cli.map_err(|error| error.to_string())?.command {
            Command::Bench(args) => Order::of(&args).map_err(|failure| match failure {
                Failure::Usage(reason) => reason,
                Failure::Other(reason) => panic!("{reason}"),
                Failure::Interrupted(signal) => panic!("{signal}"),
            }),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_flags_it_is_three_windows_of_tcp_room() {
        let order = order(&[]).unwrap();
        let paces: Vec<Pace> = order.plans.iter().map(|plan| plan.pace).collect();
        assert_eq!(paces, DEFAULT_WINDOWS.map(Pace::Window));
        assert_eq!((order.crowd().as_str(), order.runs()), ("tcp-room", 3));
        assert_eq!(order.server(), "a server of its own");
        assert!(order.is_own && order.is_stream());
    }

    #[test]
    fn every_number_of_members_is_measured_at_every_pace() {
        let flags = ["-n", "10,20", "--rate", "5,0.5", "-r", "3", "-f"];
        let order = order(&flags).unwrap();
        let cases: Vec<(usize, Pace)> = order.plans.iter().map(|p| (p.members, p.pace)).collect();
        let rates = [Pace::Rate(5.0), Pace::Rate(0.5)];
        assert_eq!(
            cases,
            [
                (10, rates[0]),
                (10, rates[1]),
                (20, rates[0]),
                (20, rates[1])
            ]
        );
        assert_eq!(order.runs(), 4 * 3 * 2);
    }

    #[test]
    fn a_mix_is_told_in_words() {
        let order = order(&["tcp-room", "group", "ucrp", "--mix", "3:1:2"]).unwrap();
        assert_eq!(order.crowd(), "tcp-room, group and tcrp 3:1:2");
        assert!(!order.is_stream());
        let parts = order.parts(|_| {
            Some(Place {
                address: "127.0.0.1:7".parse().unwrap(),
                ucrp: None,
            })
        });
        let Ok(parts) = parts else {
            panic!("they have addresses");
        };
        let shares: Vec<u16> = parts.iter().map(|part| part.share).collect();
        assert_eq!(shares, [3, 1, 2]);
    }

    #[test]
    fn every_plan_is_checked_before_any_is_measured() {
        let said = |flags: &[&str], limit: u64| match order(flags).unwrap().check_descriptors(limit)
        {
            Ok(()) => None,
            Err(Failure::Usage(reason)) => Some(reason),
            Err(_) => panic!("{flags:?}"),
        };
        let flags = ["-n", "100,30000", "--logins-in-flight", "16"];
        assert_eq!(said(&flags, 30_048), None);
        assert_eq!(
            said(&flags, 20_000).unwrap(),
            "30000 members need 30048 descriptors, and the limit here (ulimit -Hn) is 20000: 19952 would do"
        );
        let flags = ["udp-mesh", "-n", "100", "--logins-in-flight", "1"];
        assert!(said(&flags, 133).unwrap().ends_with("50 would do"));
        assert!(said(&flags, 20).unwrap().ends_with(": 0 would do"));
        assert_eq!(said(&flags, 233), None);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let table: [(&[&str], &str); 6] = [
            (
                &["--mix", "1:2"],
                "--mix 1:2 are 2 shares, and there is 1 protocol: tcp-room",
            ),
            (
                &["tcp-room", "group", "--mix", "3"],
                "--mix 3 is 1 share, and there are 2 protocols: tcp-room, group",
            ),
            (&["group=127.0.0.1:1", "udp-room"], "either all protocols"),
            (
                &["group", "udp-room", "-f"],
                "--floor: there is no one loop",
            ),
            (&["udp-mesh", "-f"], "--floor: members of a mesh"),
            (
                &["--senders=9", "-n=5"],
                "senders: 9 is not between 1 and 5",
            ),
        ];
        for (flags, said) in table {
            let Err(error) = order(flags) else {
                panic!("{flags:?} is taken");
            };
            assert!(error.starts_with(said), "{flags:?}: {error}");
        }
    }
}
