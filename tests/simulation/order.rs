//! Owns whoever keeps order: what it has the server say and do while everybody comes, talks and goes, and what is to be
//! true of that.

use std::time::Duration;

use mynah::chat::{LOBBY, SERVER_NAME};
use mynah::protocol::registry::Protocol;
use mynah::server::{Advertise, Rules, Whom};

use crate::peers::client::Phase;
use crate::world::{CHEAP, End, World};

/// What newcomers are told in some runs.
pub const WELCOME: &str = "be welcome";

impl World {
    /// Whatever whoever keeps order may do in a moment.
    pub(crate) fn keep_order(&mut self) {
        match self.rng.below(4) {
            0 => self.tell_all(),
            1 => self.change_rules(),
            _ => self.kick_somebody(),
        }
        self.server.audit();
    }

    /// Everybody who is in is told something; the witness always is.
    fn tell_all(&mut self) {
        let text = format!("notice {}", self.notices.len());
        self.server.tell_all(&text, self.now);
        self.notices.push(text);
    }

    /// Other limits, none of which makes anybody lose anything.
    fn change_rules(&mut self) {
        let before = (self.server.len(), self.server.guests());
        self.limits.gathering.members = 1 + self.rng.below(64);
        self.limits.name_time = Duration::from_secs(30 + self.rng.below(60) as u64);
        self.limits.answer_keeping_time = Duration::from_secs(5 + self.rng.below(10) as u64);
        self.limits.attempts.wrong_per_address = 10 + self.rng.below(20) as u32;
        let rules = Rules {
            limits: self.limits,
            advertise: Advertise::Connection,
            registration_open: true,
            hash_cost: CHEAP,
        };
        self.server.reconfigure(rules, self.now);
        let after = (self.server.len(), self.server.guests());
        assert_eq!(after, before, "somebody was let go by other limits");
        self.outcome.reconfigured += 1;
    }

    /// Somebody who is in is put out: it is gone at once, and nobody else is.
    fn kick_somebody(&mut self) {
        let clients = self.clients.iter().skip(self.residents);
        let clients = clients.filter(|client| client.phase == Phase::Running && client.joined());
        let names: Vec<(Protocol, String)> = clients
            .map(|client| (client.protocol, client.name.clone()))
            .collect();
        // In another house somebody may be called like a resident, who is to stay.
        let residents = self.clients[..self.residents].iter();
        let residents = residents.map(|client| client.name.as_str());
        let residents: Vec<&str> = residents.chain(["witness"]).collect();
        let is_residents = |name: &str| residents.iter().any(|own| own.eq_ignore_ascii_case(name));
        let names: Vec<_> = names
            .into_iter()
            .filter(|(_, name)| !is_residents(name))
            .collect();
        if names.is_empty() {
            return;
        }
        let (protocol, name) = &names[self.rng.below(names.len())];
        let hub = self.server.hub(*protocol).expect("each has a house");
        let before = hub.count(LOBBY);
        let was_there = u64::from(hub.find(LOBBY, name).is_some());
        let whom = Whom::Name {
            name: name.clone(),
            room: Some("lobby".to_string()),
        };
        let others: usize = self.others_called(*protocol, name);
        let out = self.server.kick(&whom, "order", self.now);
        let hub = self.server.hub(*protocol).expect("each has a house");
        assert!(hub.find(LOBBY, name).is_none(), "{name} is out and in");
        assert_eq!(hub.count(LOBBY) as u64, before as u64 - was_there);
        assert_eq!(out as u64, was_there + others as u64);
        self.outcome.kicked += out as u64;
        for client in &mut self.clients {
            client.kicked |= client.name.eq_ignore_ascii_case(name);
        }
        for peer in &mut self.scripted {
            peer.kicked |= peer.name.eq_ignore_ascii_case(name);
        }
    }

    /// How many have that name in the lobbies of other houses.
    fn others_called(&self, protocol: Protocol, name: &str) -> usize {
        let own = protocol.kin();
        let others = Protocol::ALL
            .iter()
            .filter(|other| self.isolate && other.kin() == **other && **other != own);
        others
            .filter(|other| {
                let hub = self.server.hub(**other).expect("each has a house");
                hub.find(LOBBY, name).is_some()
            })
            .count()
    }

    /// Nobody is let in any more; those who are in are told.
    pub(crate) fn drain(&mut self) {
        self.server.drain(Duration::from_secs(3600), self.now);
        self.notices.push(
            "the server stops once everybody has left, in 60 minutes at the latest: please leave"
                .to_string(),
        );
        self.outcome.drained += 1;
    }

    /// The witness was told everything that all were told, in order, and first of all what newcomers are; up to where it was
    /// cut, if the server went while it was there.
    pub(crate) fn check_notices(&self, heard: &[String], end: End) {
        let welcome = self.welcomes.then(|| WELCOME.to_string());
        let told: Vec<&String> = welcome.iter().chain(&self.notices).collect();
        let heard: Vec<&String> = heard.iter().collect();
        match end {
            End::Politely => assert_eq!(heard, told, "what {SERVER_NAME} has said"),
            End::InFullSwing | End::Crash => {
                assert!(told.starts_with(&heard), "{heard:?} {told:?}")
            }
        }
    }
}

/// Whether a datagram is something that the server itself says.
pub fn is_notice(protocol: Protocol, datagram: &[u8]) -> bool {
    let begin = match protocol {
        Protocol::UdpRoom => format!("{SERVER_NAME}: "),
        Protocol::UdpLogin => format!("D PM {SERVER_NAME} "),
        _ => format!("\u{8}{SERVER_NAME}"),
    };
    datagram.starts_with(begin.as_bytes())
}
