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
    /// Listen for a protocol (tcp-room) on an address; repeatable, and given once, only what is named
    /// is opened; port 0 lets the kernel choose
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
