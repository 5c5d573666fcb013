//! Owns every flag and its help text. Knows nothing of what they make the program do.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use log::LevelFilter;

use crate::chat::{Name, NameError};
use crate::config::{Advertise, LEVELS, Listen, Registration};

/// A chat server and the clients of its protocols.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What the program is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: every protocol on this machine, unless told otherwise
    Serve(ServeArgs),
    /// Talk to others through a server
    Chat(ChatArgs),
}

/// `mynah serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Read settings from a file in TOML; a flag goes before what stands there
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen for a protocol on an address: tcp-room, group, udp-room, udp-login, tcrp, ucrp or udp-mesh;
    /// repeatable; port 0 lets the kernel choose; only what is named is opened [default: all but udp-mesh, on
    /// 127.0.0.1]
    #[arg(long, value_name = "NAME=ADDR:PORT")]
    pub listen: Vec<Listen>,
    /// Where what outlives the process is kept [default: $STATE_DIRECTORY, or mynah in the XDG state
    /// directory]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Give each protocol rooms and names of its own
    #[arg(long)]
    pub isolate: bool,
    /// What is told on standard error [default: info]
    #[arg(long, value_name = "LEVEL", ignore_case = true, value_parser = levels())]
    pub log_level: Option<LevelFilter>,
    /// Who may make an account [default: open]
    #[arg(long, value_name = "WHO")]
    pub registration: Option<Registration>,
    /// Which address of a group participant the others are told [default: connection]
    #[arg(long, value_name = "WHICH")]
    pub advertise: Option<Advertise>,
    /// What the mesh gateway is called [default: mynah]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub mesh_name: Option<Name>,
    /// Where the mesh gateway's broadcasts go [default: 255.255.255.255]
    #[arg(long, value_name = "ADDR")]
    pub mesh_broadcast: Option<Ipv4Addr>,
}

/// `mynah chat`
#[derive(Debug, Args)]
pub struct ChatArgs {
    #[command(subcommand)]
    pub protocol: ChatProtocol,
}

/// Which protocol to speak.
#[derive(Debug, Subcommand)]
pub enum ChatProtocol {
    /// Binary frames over TCP, one room
    #[command(name = "tcp-room")]
    TcpRoom(TcpRoomArgs),
    /// Lines over TCP, one room, and conversations with one member without the server
    #[command(name = "group")]
    Group(GroupArgs),
    /// Text over UDP, one room
    #[command(name = "udp-room")]
    UdpRoom(UdpRoomArgs),
    /// Text over UDP, one room, with accounts; the password crosses the network in clear
    #[command(name = "udp-login")]
    UdpLogin(UdpLoginArgs),
    /// Rooms with a host: asked for over TCP, talked in over UDP
    #[command(name = "tcrp")]
    Tcrp(TcrpArgs),
    /// A local network without a server: everybody hears everybody's broadcasts
    #[command(name = "udp-mesh")]
    UdpMesh(UdpMeshArgs),
}

/// `mynah chat tcp-room`
#[derive(Debug, Args)]
pub struct TcpRoomArgs {
    /// The server; without a port it is 42069, and an IPv6 address with one stands in brackets
    #[arg(value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    #[command(flatten)]
    pub common: ChatOptions,
}

/// `mynah chat group`
#[derive(Debug, Args)]
pub struct GroupArgs {
    /// The server; without a port it is 1337, and an IPv6 address with one stands in brackets
    #[arg(value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    /// Refuse to talk with others without the server: nobody may connect to us
    #[arg(long)]
    pub no_p2p: bool,
    #[command(flatten)]
    pub common: ChatOptions,
}

/// `mynah chat udp-room`
#[derive(Debug, Args)]
pub struct UdpRoomArgs {
    /// The server; without a port it is 9999, and an IPv6 address with one stands in brackets
    #[arg(value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    /// Our own port; any but 9999, which is the server's [default: any free one]
    #[arg(long, value_name = "PORT")]
    pub local_port: Option<u16>,
    #[command(flatten)]
    pub common: ChatOptions,
}

/// `mynah chat udp-login`
#[derive(Debug, Args)]
pub struct UdpLoginArgs {
    /// The server; without a port it is 65015, and an IPv6 address with one stands in brackets
    #[arg(value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    /// Read the password from the first line of this file; otherwise it comes from MYNAH_PASSWORD or is
    /// asked for on a terminal
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    #[command(flatten)]
    pub common: ChatOptions,
}

/// `mynah chat tcrp`
#[derive(Debug, Args)]
pub struct TcrpArgs {
    /// The server; without a port it is 9090, and an IPv6 address with one stands in brackets
    #[arg(value_name = "HOST[:PORT]")]
    pub server: Option<String>,
    /// Open this room and be its host: it closes when you leave
    #[arg(long, value_name = "ROOM", conflicts_with = "join")]
    pub create: Option<String>,
    /// Enter this room
    #[arg(long, value_name = "ROOM")]
    pub join: Option<String>,
    /// Where the server takes datagrams [default: its host, at its port plus one]
    #[arg(long, value_name = "ADDR:PORT")]
    pub ucrp: Option<String>,
    #[command(flatten)]
    pub common: ChatOptions,
}

/// `mynah chat udp-mesh`
#[derive(Debug, Args)]
pub struct UdpMeshArgs {
    /// Our own address, on a machine with several [default: all of them]
    #[arg(long, value_name = "ADDR")]
    pub bind: Option<Ipv4Addr>,
    /// The broadcast address of the network
    #[arg(long, value_name = "ADDR", default_value = "255.255.255.255")]
    pub broadcast: Ipv4Addr,
    #[command(flatten)]
    pub common: ChatOptions,
}

/// What every client takes.
#[derive(Debug, Args)]
pub struct ChatOptions {
    /// How others see you; asked for on a terminal
    #[arg(long)]
    pub name: Option<String>,
    /// Print events as JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

fn name(text: &str) -> Result<Name, NameError> {
    Name::parse(text)
}

fn levels() -> impl TypedValueParser<Value = LevelFilter> {
    PossibleValuesParser::new(LEVELS).map(|name| name.parse().unwrap_or(LevelFilter::Info))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_make_sense_together() {
        Cli::command().debug_assert();
    }
}
