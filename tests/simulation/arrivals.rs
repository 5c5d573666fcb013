//! Owns who comes to a run: of which protocol, from where, under which name, and with what in mind.

use std::net::{IpAddr, SocketAddr};

use mynah::chat::Choice;
use mynah::protocol::registry::Protocol;
use mynah::protocol::tcp_room::frame;
use mynah::protocol::{group, tcrp, udp_login, udp_room};

use crate::air::Way;
use crate::peers::client::{AnySession, Client, Fate, Line, Mailbox};
use crate::peers::hostile::Intruder;
use crate::peers::mesh::MeshPeer;
use crate::peers::scripted::{Kind, Scripted, script};
use crate::stream::{PeerEnd, SimStream, link};
use crate::world::World;

const SCRIPTED: usize = 9;
const CLIENTS: usize = 12;
const MESH: usize = 2;
const INTRUDERS: usize = 3;

impl World {
    pub(crate) fn arrive_witness_and_ear(&mut self) {
        let (stream, end) = link(usize::MAX / 2, 0);
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
        self.clients[0].fate = Fate::Stays;
        while !self.clients[0].joined() {
            self.pass_time();
        }
        // Sometimes somebody speaks to them.
        self.names.push("witness".to_string());
    }

    pub(crate) fn somebody_arrives(&mut self) {
        if !self.rng.once_in(5) {
            return;
        }
        match self.rng.below(11) {
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
            10 if self.intruders.len() < INTRUDERS && !self.calm => self.arrive_intruder(),
            _ => {}
        }
    }

    /// Sometimes a name that somebody may hold, in other letters, or that an account keeps: then it says so.
    fn choose_name(&mut self, kind: &str) -> (String, bool) {
        match self.rng.below(9) {
            0 => ("Twin".to_string(), false),
            1 => ("tWIN".to_string(), false),
            2 if !self.accounts.is_empty() => {
                let account = self.rng.below(self.accounts.len());
                (self.accounts[account].to_uppercase(), true)
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
        link(capacity, miserly)
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
            impostor: false,
        });
    }

    fn arrive_client(&mut self, protocol: Protocol) {
        let (name, mut impostor) = self.choose_name("u");
        let way = match !self.calm && self.rng.once_in(2) {
            true => Way::Lossy,
            false => Way::Perfect,
        };
        // Whoever dies on this machine without a word stays for ever, so nobody here does, nor loses its
        // last word.
        let loopback = way == Way::Perfect && !self.rng.once_in(3);
        let address = self.choose_address(loopback);
        let mut fate = match self.rng.below(6) {
            0 if !loopback => Fate::Dies,
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
        let ip = match loopback {
            true => [127, 0, 0, 1],
            false => [192, 0, 2, 10 + self.rng.below(6) as u8],
        };
        SocketAddr::new(IpAddr::from(ip), 2000 + self.counted as u16)
    }

    fn connect(&mut self, address: SocketAddr, protocol: Protocol) -> Line {
        let (stream, end) = self.choose_link();
        let key = self.server.accept(stream, address, protocol, self.now);
        Line::new(end, key, self.choose_appetite())
    }

    fn arrive_in_mesh(&mut self) {
        let (name, impostor) = self.choose_name("m");
        let way = match self.rng.once_in(2) {
            true => Way::Lossy,
            false => Way::Perfect,
        };
        self.counted += 1;
        let address = format!("192.0.2.{}:5238", 100 + self.counted % 100);
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
        let protocol = [Protocol::Group, Protocol::Tcrp][self.rng.below(2)];
        let (stream, end) = self.choose_link();
        let address = self.choose_address(false);
        let key = self.server.accept(stream, address, protocol, self.now);
        let plan = Intruder::plan(protocol, &mut self.rng);
        self.intruders.push(Intruder { end, key, plan });
    }
}
