//! `mynah chat`: asks for what the command line lacks, checks it, and hands it to the client.

mod ask;

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Instant;

use self::ask::{Missing, usage};
use crate::chat::{Choice, Name};
use crate::cli::{
    ChatArgs, ChatOptions, ChatProtocol, GroupArgs, TcpRoomArgs, TcrpArgs, UdpLoginArgs,
    UdpMeshArgs, UdpRoomArgs,
};
use crate::client::{
    self, Address, Datagrams, Dialect, Endpoints, Failure, Place, Prompts, Settings, Transport,
};
use crate::protocol::registry::Protocol;
use crate::protocol::{
    ClientSession, any_session, group, tcp_room, tcrp, udp_login, udp_mesh, udp_room,
};
use crate::reactor::own_addresses;

/// Talks until one side leaves. A failure is on standard error already when this returns.
pub fn run(args: ChatArgs) -> ExitCode {
    let result = match args.protocol {
        ChatProtocol::TcpRoom(args) => tcp_room(args),
        ChatProtocol::Group(args) => group(args),
        ChatProtocol::UdpRoom(args) => udp_room(args),
        ChatProtocol::UdpLogin(args) => udp_login(args),
        ChatProtocol::Tcrp(args) => tcrp(args),
        ChatProtocol::UdpMesh(args) => udp_mesh(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be closed, which changes nothing.
            let _ = writeln!(io::stderr(), "mynah: {failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}

fn tcp_room(args: TcpRoomArgs) -> Result<(), Failure> {
    let protocol = Protocol::TcpRoom;
    let (address, name, json) = common(protocol, args.server, args.common)?;
    let settings = Settings {
        protocol: protocol.name(),
        transport: Transport::stream(address),
        dialect: Dialect {
            echoes: true,
            ..Dialect::default()
        },
        json,
    };
    run_session(settings, |_| tcp_room::client::Session::new(name.as_str()))
}

fn group(args: GroupArgs) -> Result<(), Failure> {
    let protocol = Protocol::Group;
    let (address, name, json) = common(protocol, args.server, args.common)?;
    let settings = Settings {
        protocol: protocol.name(),
        transport: Transport::both(address, Datagrams::Peers),
        dialect: Dialect {
            who: true,
            peer_to_peer: !args.no_p2p,
            ..Dialect::default()
        },
        json,
    };
    let session = |endpoints: &Endpoints| {
        let unknown = (Ipv4Addr::UNSPECIFIED, 0).into();
        let own = endpoints.datagrams.unwrap_or(unknown);
        let draw = Box::new(random_bits);
        group::client::Session::new(name.as_str(), own.ip(), own.port(), !args.no_p2p, draw)
    };
    run_session(settings, session)
}

fn udp_room(args: UdpRoomArgs) -> Result<(), Failure> {
    let protocol = Protocol::UdpRoom;
    let local_port = args.local_port.unwrap_or(0);
    if local_port == protocol.default_port() {
        return Err(usage(format!(
            "port {local_port} is the server's: choose another one, or none"
        )));
    }
    let (address, name, json) = common(protocol, args.server, args.common)?;
    let settings = Settings {
        protocol: protocol.name(),
        transport: Transport::datagrams(Datagrams::Server {
            at: Place::At(address),
            local_port,
        }),
        dialect: Dialect {
            leave_words: &["EX"],
            prompts: Prompts::Plain,
            direct: true,
            echoes: true,
            ..Dialect::default()
        },
        json,
    };
    run_session(settings, |_| udp_room::client::Session::new(name.as_str()))
}

fn udp_login(args: UdpLoginArgs) -> Result<(), Failure> {
    let protocol = Protocol::UdpLogin;
    let mut missing = Missing::default();
    let address = server(protocol, args.server, &mut missing)?;
    let name = name(args.common.name, &mut missing)?;
    let password = ask::password(args.password_file.as_deref(), &mut missing)?;
    let (Some(address), Some(name), Some(password)) = (address, name, password) else {
        return Err(missing.failure());
    };
    let settings = Settings {
        protocol: protocol.name(),
        transport: Transport::datagrams(Datagrams::Server {
            at: Place::At(address),
            local_port: 0,
        }),
        dialect: Dialect {
            leave_words: &["EX"],
            prompts: Prompts::WithMembers,
            who: true,
            direct: true,
            ..Dialect::default()
        },
        json: args.common.json,
    };
    run_session(settings, |_| {
        udp_login::client::Session::new(name.as_str(), password)
    })
}

/// A room of `tcrp`, and whether it is opened or entered.
struct Room {
    create: bool,
    name: Name,
}

fn tcrp(args: TcrpArgs) -> Result<(), Failure> {
    let protocol = Protocol::Tcrp;
    let mut missing = Missing::default();
    let address = server(protocol, args.server, &mut missing)?;
    let name = name(args.common.name, &mut missing)?;
    let room = room(args.create, args.join, &mut missing)?;
    let (Some(address), Some(name), Some(room)) = (address, name, room) else {
        return Err(missing.failure());
    };
    let at = match args.ucrp {
        Some(given) => Place::At(parse_address(&given, Protocol::Ucrp)?),
        None => Place::BesideStream {
            port: address.port.checked_add(1).ok_or_else(|| {
                usage("there is no port behind 65535: --ucrp ADDR:PORT says where else".to_owned())
            })?,
        },
    };
    let settings = Settings {
        protocol: protocol.name(),
        transport: Transport::both(address, Datagrams::Server { at, local_port: 0 }),
        dialect: Dialect {
            leave_words: &["exit", "quit", "q"],
            ..Dialect::default()
        },
        json: args.common.json,
    };
    let choice = match room.create {
        true => Choice::Create(room.name.as_str()),
        false => Choice::Join(room.name.as_str()),
    };
    run_session(settings, |_| {
        tcrp::client::Session::new(name.as_str(), choice)
    })
}

fn udp_mesh(args: UdpMeshArgs) -> Result<(), Failure> {
    let mut missing = Missing::default();
    let Some(name) = name(args.common.name, &mut missing)? else {
        return Err(missing.failure());
    };
    let own = match args.bind {
        Some(bind) => vec![bind.into()],
        None => own_addresses().map_err(|error| Failure::System {
            doing: "listing the addresses of this machine",
            error,
        })?,
    };
    let settings = Settings {
        protocol: Protocol::UdpMesh.name(),
        transport: Transport::datagrams(Datagrams::Broadcast {
            bind: args.bind,
            broadcast: args.broadcast,
            port: Protocol::UdpMesh.default_port(),
        }),
        dialect: Dialect {
            who: true,
            echoes: true,
            ..Dialect::default()
        },
        json: args.common.json,
    };
    run_session(settings, |_| {
        udp_mesh::client::Session::new(name, own, Instant::now())
    })
}

/// Talks by means of that session.
fn run_session<S: ClientSession + 'static>(
    settings: Settings,
    session: impl FnOnce(&Endpoints) -> S,
) -> Result<(), Failure> {
    client::run(
        settings,
        Box::new(|endpoints| any_session(session(endpoints))),
    )
}

/// Where, as whom and how: what every client of a server needs.
fn common(
    protocol: Protocol,
    given: Option<String>,
    options: ChatOptions,
) -> Result<(Address, Name, bool), Failure> {
    let mut missing = Missing::default();
    let address = server(protocol, given, &mut missing)?;
    let name = name(options.name, &mut missing)?;
    match (address, name) {
        (Some(address), Some(name)) => Ok((address, name, options.json)),
        _ => Err(missing.failure()),
    }
}

fn server(
    protocol: Protocol,
    given: Option<String>,
    missing: &mut Missing,
) -> Result<Option<Address>, Failure> {
    ask::given_or_asked(given, "HOST[:PORT]", "server", missing, |given| {
        Address::parse(given, protocol.default_port()).map_err(|error| error.to_string())
    })
}

fn name(given: Option<String>, missing: &mut Missing) -> Result<Option<Name>, Failure> {
    ask::given_or_asked(given, "--name NAME", "name", missing, parse_name)
}

fn room(
    create: Option<String>,
    join: Option<String>,
    missing: &mut Missing,
) -> Result<Option<Room>, Failure> {
    const FLAGS: &str = "--create ROOM or --join ROOM";
    let (create, given) = match (create, join) {
        (Some(create), _) => (Some(true), Some(create)),
        (None, Some(join)) => (Some(false), Some(join)),
        (None, None) => (None, None),
    };
    let create = match create {
        Some(create) => Some(create),
        None => ask::given_or_asked(
            None,
            FLAGS,
            "create or join",
            missing,
            |answer| match answer.to_ascii_lowercase().as_str() {
                "create" | "c" | "1" => Ok(true),
                "join" | "j" | "2" => Ok(false),
                _ => Err("create (1) opens a room, join (2) enters one".to_owned()),
            },
        )?,
    };
    let Some(create) = create else {
        return Ok(None);
    };
    let name = ask::given_or_asked(given, FLAGS, "room", missing, parse_name)?;
    Ok(name.map(|name| Room { create, name }))
}

fn parse_name(given: &str) -> Result<Name, String> {
    Name::parse(given).map_err(|error| format!("{given:?} is not a name: {error}"))
}

fn parse_address(given: &str, protocol: Protocol) -> Result<Address, Failure> {
    Address::parse(given, protocol.default_port()).map_err(|error| usage(error.to_string()))
}

fn random_bits() -> [u8; 16] {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("invariant: the kernel has random bits (getrandom(2))");
    bits
}
