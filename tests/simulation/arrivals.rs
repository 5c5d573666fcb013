//! Owns who comes to a run: of which protocol, from where, under which name, and with what in mind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mynah::chat::Choice;
use mynah::protocol::registry::Protocol;
use mynah::protocol::tcp_room::frame;
use mynah::protocol::{group, tcrp, udp_login, udp_room};

use crate::air::Way;
use crate::peers::client::{AnySession, Client, Fate, Line, Mailbox, Phase};
use crate::peers::hostile::Intruder;
use crate::peers::mesh::MeshPeer;
use crate::peers::scripted::{Kind, Scripted, script};
use crate::rng::Rng;
use crate::stream::{PeerEnd, SimStream, link};
use crate::world::World;

const SCRIPTED: usize = 9;
const CLIENTS: usize = 12;
const MESH: usize = 2;
const INTRUDERS: usize = 6;

/// Who hears who comes and goes in a house of that protocol alone.
pub const EAR_OF_GROUP: &str = "ear-of-group";
pub const EAR_OF_LOGIN: &str = "ear-of-login";

impl World {
    /// Those who are there from the beginning to the end, and miss nothing.
    pub(crate) fn arrive_residents(&mut self) {
        let (stream, end) = link(&self.meter, usize::MAX / 2, 0);
        let mut plan = Vec::new();
        frame::encode_join("witness", &mut plan);
        self.add_scripted(stream, end, Kind::Chatter, "witness", (plan, Vec::new()));
        self.scripted[0].appetite = usize::MAX;
        // It is in before anybody else.
        self.scripted[0].send_all();
        self.tell_what_happened();
        self.take_turn();
        self.scripted[0].read();
        let mailbox = Mailbox {
            address: "127.0.0.1:1".parse().unwrap(),
            port: self.ports.room,
            way: Way::Perfect,
        };
        let session = Box::new(udp_room::client::Session::new("ear"));
        let ear = Client::new(Protocol::UdpRoom, "ear", session, None, Some(mailbox));
        self.add_client(ear);
        if self.isolate {
            let address = "127.0.0.1:2".parse().unwrap();
            let draw = Box::new(|| [0; 16]);
            let session =
                group::client::Session::new(EAR_OF_GROUP, [127, 0, 0, 1].into(), 2, false, draw);
            let (stream, end) = link(&self.meter, usize::MAX / 2, 0);
            let key = self
                .server
                .accept(stream, address, Protocol::Group, self.now);
            let line = Line::new(end, address, key, usize::MAX);
            let session = Box::new(session);
            let ear = Client::new(Protocol::Group, EAR_OF_GROUP, session, Some(line), None);
            self.add_client(ear);
            let mailbox = Mailbox {
                address: "127.0.0.1:3".parse().unwrap(),
                port: self.ports.login,
                way: Way::Perfect,
            };
            let password = format!("pw {EAR_OF_LOGIN}");
            let session = Box::new(udp_login::client::Session::new(EAR_OF_LOGIN, password));
            let ear = Client::new(
                Protocol::UdpLogin,
                EAR_OF_LOGIN,
                session,
                None,
                Some(mailbox),
            );
            self.add_client(ear);
        }
        self.residents = self.clients.len();
        for resident in &mut self.clients {
            resident.fate = Fate::Stays;
        }
        let mut patience = 2000;
        while !self.clients.iter().all(Client::joined) {
            for client in &mut self.clients {
                client.move_bytes(usize::MAX, &mut self.air.borrow_mut(), self.now);
                assert!(!client.ended(), "{} is not let in", client.name);
            }
            self.pass(Duration::from_millis(20));
            patience -= 1;
            assert!(patience > 0, "the residents are not let in");
        }
        // Sometimes somebody speaks to them.
        self.names.push("witness".to_string());
    }

    pub(crate) fn somebody_arrives(&mut self) {
        if !self.rng.once_in(5) {
            return;
        }
        match self.rng.below(13) {
            10.. if self.intruders.len() < INTRUDERS && !self.calm => self.arrive_intruder(),
            0..=3 if self.scripted.len() <= SCRIPTED => self.arrive_scripted(),
            4..=8 if self.clients.len() <= CLIENTS => {
                let protocols = [
                    Protocol::Group,
                    Protocol::UdpRoom,
                    Protocol::UdpLogin,
                    Protocol::UdpLogin,
                    Protocol::Ucrp,
                    Protocol::Ucrp,
                ];
                let protocol = protocols[self.rng.below(protocols.len())];
                self.arrive_client(protocol);
            }
            9 if self.mesh.len() < MESH => self.arrive_in_mesh(),
            _ => {}
        }
    }

    /// More than a turn has time for, most of them with a lot to say.
    pub(crate) fn many_arrive(&mut self) {
        self.outcome.mass_joins += 1;
        for n in 0..15 + self.rng.below(25) {
            self.counted += 1;
            let name = format!("one{}", self.counted);
            let kind = match n {
                0..7 if !self.calm => Kind::Flooder,
                7..10 if !self.calm => Kind::Deaf,
                _ => Kind::Chatter,
            };
            let script = script(kind, &name, &mut self.rng);
            let (stream, end) = match kind {
                Kind::Flooder => link(&self.meter, 1 << 20, 0),
                _ => self.choose_link(),
            };
            let before = self.scripted.len();
            self.add_scripted(stream, end, kind, &name, script);
            let appetite = match kind {
                Kind::Deaf => 0,
                Kind::Flooder => usize::MAX,
                _ => self.choose_appetite(),
            };
            let peer = &mut self.scripted[before];
            peer.appetite = appetite;
            // They begin in the same moment.
            peer.send_all();
            self.names.push(name);
        }
        // Who hears a list of all of them and does not read it holds it.
        for _ in 0..6 {
            self.arrive_client(Protocol::Group);
            let client = self.clients.last_mut().expect("it came");
            if !self.calm
                && let Some(line) = &mut client.line
            {
                line.appetite = 0;
            }
        }
    }

    /// Everybody goes at once, while something is said.
    pub(crate) fn many_go(&mut self) {
        self.outcome.mass_departures += 1;
        self.witness_speaks();
        let kills = self.rng.once_in(2);
        for peer in self.scripted.iter_mut().skip(1).filter(|peer| !peer.ended) {
            if !matches!(peer.kind, Kind::Chatter | Kind::Flooder) {
                continue;
            }
            peer.send_all();
            match kills {
                true => {
                    peer.kind = Kind::Killed;
                    peer.ended = true;
                    match self.rng.once_in(2) {
                        true => peer.end.reset(),
                        false => peer.end.reset_in_send(self.rng.below(3) as u32),
                    }
                }
                false => peer.leave(),
            }
        }
        let mut air = self.air.borrow_mut();
        for client in self.clients.iter_mut().skip(self.residents) {
            match client.phase {
                Phase::Running if kills && client.fate == Fate::Dies => client.die(&mut air),
                // Who leaves does not read on.
                Phase::Running if self.calm && client.line.is_some() => {}
                Phase::Running if client.fate == Fate::Leaves && client.may_leave() => {
                    client.leave(&mut air, self.now);
                }
                _ => {}
            }
        }
    }

    /// Sometimes a name that somebody may hold, in other letters, or that an account keeps: then it says so.
    fn choose_name(&mut self, kind: &str) -> (String, bool) {
        match self.rng.below(9) {
            0 => ("Twin".to_string(), false),
            1 => ("tWIN".to_string(), false),
            2 if !self.accounts.is_empty() => {
                let account = self.rng.below(self.accounts.len());
                (self.accounts[account].to_uppercase(), !self.isolate)
            }
            _ => {
                self.counted += 1;
                (format!("{kind}{}", self.counted), false)
            }
        }
    }

    fn arrive_scripted(&mut self) {
        let (name, impostor) = self.choose_name("peer");
        let rng = &mut self.rng;
        let kind = match rng.below(10) {
            0 if !self.calm => Kind::Deaf,
            1 => Kind::Violator,
            2 if !self.calm => Kind::Slowloris,
            3 | 4 => Kind::Killed,
            _ => Kind::Chatter,
        };
        let script = script(kind, &name, rng);
        let (stream, end) = self.choose_link();
        let before = self.scripted.len();
        self.add_scripted(stream, end, kind, &name, script);
        let appetite = match kind {
            Kind::Deaf => 0,
            _ => self.choose_appetite(),
        };
        if let Some(peer) = self.scripted.get_mut(before) {
            peer.appetite = appetite;
            peer.impostor = impostor;
        }
        self.names.push(name);
    }

    fn choose_link(&mut self) -> (SimStream, PeerEnd) {
        // A network on which a welcome takes longer than closing may is for the other runs.
        let (capacities, miserly) = match self.calm {
            true => ([10_000, 20_000, 50_000, 100_000], [0, 0, 0, 2000]),
            false => ([64, 500, 5000, 100_000], [0, 0, 7, 300]),
        };
        let capacity = capacities[self.rng.below(4)];
        let miserly = miserly[self.rng.below(4)];
        link(&self.meter, capacity, miserly)
    }

    fn choose_appetite(&mut self) -> usize {
        match self.calm {
            true => usize::MAX,
            false => [10, 300, usize::MAX][self.rng.below(3)],
        }
    }

    fn add_scripted(
        &mut self,
        stream: SimStream,
        end: PeerEnd,
        kind: Kind,
        name: &str,
        (plan, said): (Vec<u8>, Vec<String>),
    ) {
        let peer = "127.0.0.1:4711".parse().unwrap();
        let key = self
            .server
            .accept(stream, peer, Protocol::TcpRoom, self.now)
            .expect("loopback is not limited");
        self.scripted.push(Scripted {
            end,
            key,
            kind,
            name: name.to_string(),
            plan,
            said,
            received: Vec::new(),
            appetite: usize::MAX,
            ended: false,
            came: self.now,
            kicked: false,
            impostor: false,
        });
    }

    fn arrive_client(&mut self, protocol: Protocol) {
        let (name, mut impostor) = self.choose_name("u");
        let way = match !self.calm && self.rng.once_in(2) {
            true => Way::Lossy,
            false => Way::Perfect,
        };
        // Whoever loses its last word on this machine stays for ever, so nobody here does. Of one who dies the
        // kernel tells.
        let loopback = way == Way::Perfect && !self.rng.once_in(3);
        let address = self.choose_address(loopback);
        let mut fate = match self.rng.below(6) {
            0 if !loopback || (protocol != Protocol::Ucrp && !self.isolate) => Fate::Dies,
            1 | 2 => Fate::Stays,
            _ => Fate::Leaves,
        };
        let mut to_say = self.rng.below(14);
        let (mut room, mut is_host) = (None, false);
        let (mut line, mut mailbox) = (None, None);
        let session: Box<dyn AnySession> = match protocol {
            Protocol::Group => {
                if self.rng.once_in(6) {
                    fate = Fate::Dies;
                }
                line = Some(self.connect(address, protocol));
                let draw = Box::new(|| [0; 16]);
                let (ip, port) = (address.ip(), address.port());
                Box::new(group::client::Session::new(&name, ip, port, false, draw))
            }
            Protocol::UdpRoom => {
                mailbox = Some(self.ports.room);
                Box::new(udp_room::client::Session::new(&name))
            }
            Protocol::UdpLogin => {
                mailbox = Some(self.ports.login);
                // Its owner may be back.
                let mut password = format!("pw {}", name.to_lowercase());
                if impostor {
                    match self.rng.once_in(2) {
                        true => impostor = false,
                        false => password.push('?'),
                    }
                }
                Box::new(udp_login::client::Session::new(&name, password))
            }
            _ => {
                mailbox = Some(self.ports.ucrp);
                line = Some(self.connect(address, Protocol::Tcrp));
                let choice = self.rng.below(8);
                let number = match choice {
                    0 | 1 => {
                        self.rooms += 1;
                        self.rooms
                    }
                    _ => 1 + self.rng.below(self.rooms + 1),
                };
                let wanted = format!("room{number}");
                is_host = choice <= 2;
                // A host says nothing, so it hears all that is said in its room.
                to_say = if is_host { 0 } else { to_say };
                let choice = match choice {
                    0..=2 => Choice::Create(&wanted),
                    3 => Choice::Join("Lobby"),
                    _ => Choice::Join(&wanted),
                };
                let session = Box::new(tcrp::client::Session::new(&name, choice));
                let lobby = choice == Choice::Join("Lobby");
                // Only in the lobby do accounts keep their names.
                impostor &= lobby;
                room = (!lobby).then_some(wanted);
                session
            }
        };
        let mailbox = mailbox.map(|port| Mailbox { address, port, way });
        let mut client = Client::new(protocol, &name, session, line, mailbox);
        client.room = room;
        client.is_host = is_host;
        client.impostor = impostor;
        client.fate = fate;
        client.to_say = to_say;
        if is_host {
            client.leisure = 80;
        }
        let has_rooms = matches!(protocol, Protocol::Ucrp);
        if !self.calm && !has_rooms && !impostor && !loopback && self.rng.once_in(8) {
            client.mad = Some(Rng::new(self.rng.next()));
            client.impostor = false;
        }
        if !loopback
            && let Some(Mailbox { address, port, .. }) = client.mailbox
            && !has_rooms
        {
            self.air.borrow_mut().maligned.push((port, address));
        }
        self.add_client(client);
        if !matches!(protocol, Protocol::Ucrp) || self.clients.last().unwrap().room.is_none() {
            self.names.push(name);
        }
    }

    fn add_client(&mut self, mut client: Client) {
        let mut air = self.air.borrow_mut();
        if let Some(Mailbox { address, way, .. }) = client.mailbox {
            air.attach(address, way, false);
        }
        client.start(&mut air, self.now);
        drop(air);
        self.clients.push(client);
    }

    /// An address that nobody has; some share an IP.
    fn choose_address(&mut self, loopback: bool) -> SocketAddr {
        self.counted += 1;
        let host = 10 + self.rng.below(6) as u16;
        let is_v6 = self.rng.once_in(4);
        let ip: IpAddr = match (loopback, is_v6) {
            (true, true) => Ipv6Addr::LOCALHOST.into(),
            (true, false) => Ipv4Addr::LOCALHOST.into(),
            // Two of one host are in one /64.
            (false, true) => {
                Ipv6Addr::new(0x2001, 0xdb8, 0, host, 0, 0, 0, self.counted as u16).into()
            }
            (false, false) => Ipv4Addr::new(192, 0, 2, host as u8).into(),
        };
        SocketAddr::new(ip, 2000 + self.counted as u16)
    }

    fn connect(&mut self, address: SocketAddr, protocol: Protocol) -> Line {
        let (stream, end) = self.choose_link();
        let peer = self.sometimes_mapped(address);
        let key = self.server.accept(stream, peer, protocol, self.now);
        Line::new(end, address, key, self.choose_appetite())
    }

    /// An IPv4 address as a socket of both families has it.
    fn sometimes_mapped(&mut self, address: SocketAddr) -> SocketAddr {
        match address.ip() {
            IpAddr::V4(ip) if self.rng.once_in(3) => {
                SocketAddr::new(ip.to_ipv6_mapped().into(), address.port())
            }
            _ => address,
        }
    }

    fn arrive_in_mesh(&mut self) {
        let (name, impostor) = self.choose_name("m");
        let way = match self.rng.once_in(2) {
            true => Way::Lossy,
            false => Way::Perfect,
        };
        let address = format!("192.0.2.{}:5238", 100 + self.mesh.len());
        let peer = MeshPeer {
            name: name.clone(),
            address: address.parse().unwrap(),
            port: self.ports.mesh,
            way,
            impostor,
            asks: 3,
            to_say: self.rng.below(6),
            said: Vec::new(),
            raw: Vec::new(),
        };
        self.air.borrow_mut().attach(peer.address, way, true);
        self.mesh.push(peer);
        self.names.push(name);
    }

    fn arrive_intruder(&mut self) {
        let protocols = [Protocol::TcpRoom, Protocol::Group, Protocol::Tcrp];
        let protocol = protocols[self.rng.below(3)];
        let (stream, end) = self.choose_link();
        let from = self.choose_address(false);
        let peer = self.sometimes_mapped(from);
        let key = self.server.accept(stream, peer, protocol, self.now);
        let name = format!("gremlin{}", self.rng.below(4));
        let plan = Intruder::plan(protocol, &name, &mut self.rng);
        self.intruders.push(Intruder {
            end,
            from,
            key,
            plan,
            reads: self.rng.once_in(2),
            received: Vec::new(),
        });
    }
}
