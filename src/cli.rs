//! Owns every flag and its help text. Knows nothing of what they make the program do.

use clap::{Args, Parser, Subcommand};

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
    /// Talk to others through a server
    Chat(ChatArgs),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_make_sense_together() {
        Cli::command().debug_assert();
    }
}
