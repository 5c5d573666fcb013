//! Owns every flag and its help text. Knows nothing of what they make the program do.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::chat::{Name, NameError};
use crate::config::{Advertise, Listen, Registration, Shares, Target, count, duration};
use crate::control::Prefix;
use crate::journal::Filter;
use crate::top::Source;
use crate::version;

/// A chat server and the clients of its protocols.
#[derive(Debug, Parser)]
#[command(version, long_version = version::long())]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// What the program is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server: every protocol on this machine, unless told otherwise
    #[command(after_long_help = SOURCES, after_help = SOURCES)]
    Serve(ServeArgs),
    /// Show the configuration: what there is to set, and what is set
    Config(ConfigArgs),
    /// Talk to others through a server
    Chat(ChatArgs),
    /// Measure a server: members of any protocol come in, talk, and count every delivery
    Bench(BenchArgs),
    /// Keep order in a running server: see who is in, kick, ban, speak to all, stop
    Ctl(CtlArgs),
    /// Make and change accounts, whether a server runs or not
    Account(AccountArgs),
    /// Watch a server: its figures live in this terminal
    Top(TopArgs),
    /// The bare write loop that `bench` measures beside a server
    #[command(hide = true)]
    BenchFloor(BenchFloorArgs),
}

/// Where settings come from, for whoever asks what `serve` takes.
const SOURCES: &str = "\
Settings: a flag goes before the environment (MYNAH_LIMITS_ROOMS=7 is limits.rooms), that before the file, the file \
before the default. The file is the first of --config FILE, $MYNAH_CONFIG, $XDG_CONFIG_HOME/mynah/mynah.toml (or \
~/.config/mynah/mynah.toml) and /etc/mynah/mynah.toml; none is fine. `mynah config default` prints one with all keys, \
`mynah config check` what holds and where it comes from.";

/// `mynah config`
#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What to show of the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print a configuration file with all keys, their defaults and what they are, commented out
    Default,
    /// Read the configuration as `serve` with the same flags would, and print what holds and where each value comes
    /// from; exit status 78 if something is wrong
    #[command(after_long_help = SOURCES, after_help = SOURCES)]
    Check(ServeArgs),
}

/// `mynah serve`
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// Read settings from this file in TOML, and no other; - is standard input
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen for a protocol on an address: tcp-room, group, udp-room, udp-login, tcrp, ucrp, udp-mesh or metrics;
    /// repeatable; port 0 lets the kernel choose; only what is named is opened, but beside metrics alone the default
    /// [default: all but udp-mesh, on 127.0.0.1]
    #[arg(long, value_name = "NAME=ADDR:PORT")]
    pub listen: Vec<Listen>,
    /// Where what outlives the process is kept [default: $STATE_DIRECTORY, or mynah in the XDG state
    /// directory]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Give each protocol rooms and names of its own
    #[arg(long)]
    pub isolate: bool,
    /// What is told on standard error: off, error, warn, info, debug or trace, and levels of their own for parts of
    /// the program, as info,store=debug,server::driver=off [default: info]
    #[arg(long, value_name = "LEVEL[,TARGET=LEVEL...]")]
    pub log_level: Option<Filter>,
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
    /// End when this process does, which has started us
    #[arg(long, value_name = "PID", hide = true)]
    pub parent: Option<u32>,
}

/// Where the server is, for whoever is to talk to it as its administrator.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Its configuration file
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Its data directory
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// Its control socket [default: mynah.sock in the data directory]
    #[arg(long, value_name = "PATH", global = true)]
    pub control: Option<PathBuf>,
}

/// `mynah ctl`
#[derive(Debug, Args)]
pub struct CtlArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Show the answer as the server gives it: lines of JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: CtlCommand,
}

/// What a running server is asked.
#[derive(Debug, Subcommand)]
pub enum CtlCommand {
    /// Who is in: name, protocol, address, room, and the bytes that it is behind
    Members,
    /// Which rooms there are, and how many are in each
    Rooms,
    /// Put somebody out, who may come back
    Kick {
        /// A name; with --address an address, or an address with its port
        whom: String,
        /// WHOM is an address: everybody from there, or the one at ADDR:PORT
        #[arg(long, short, conflicts_with = "room")]
        address: bool,
        /// In this room alone
        #[arg(long, value_name = "ROOM", value_parser = name)]
        room: Option<Name>,
        /// What it is told
        reason: Vec<String>,
    },
    /// Let nobody in from an address or prefix, and put out who is in; it is kept in the data directory
    Ban {
        /// As 192.0.2.7, 192.0.2.0/24 or 2001:db8::/48
        #[arg(value_name = "ADDR[/BITS]", value_parser = Prefix::parse)]
        net: Prefix,
        /// What those are told who are in
        reason: Vec<String>,
        /// For so long, as 30m, 12h or 7d [default: for good]
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        time: Option<Duration>,
        /// Even if it is this machine, or a large part of all
        #[arg(long)]
        force: bool,
    },
    /// Take a ban back
    Unban {
        /// As it was banned
        #[arg(value_name = "ADDR[/BITS]", value_parser = Prefix::parse)]
        net: Prefix,
    },
    /// Who is banned, since when, until when and why
    Bans,
    /// Tell everybody something
    Say {
        #[arg(required = true)]
        text: Vec<String>,
    },
    /// Read the configuration again, as SIGHUP
    Reload,
    /// Let nobody in any more, and stop when all have left, as SIGUSR2
    Drain,
    /// Stop, as SIGTERM
    Stop,
    /// The figures, as Prometheus reads them
    Metrics,
    /// What server it is, since when, and where it listens
    Status,
    /// Which accounts there are
    Accounts,
}

/// `mynah account`
#[derive(Debug, Args)]
pub struct AccountArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Show the answer as lines of JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: AccountCommand,
}

/// What is done to accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Make an account; its password is asked for
    Add {
        #[arg(value_parser = name)]
        name: Name,
        /// Read the password from the first line of this file; - is standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Give an account another password; who is in with the old one stays
    Passwd {
        #[arg(value_parser = name)]
        name: Name,
        /// Read the password from the first line of this file; - is standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Take an account away, and let its owner go
    Delete { name: String },
    /// Which accounts there are; never what their passwords are known by
    List,
}

/// `mynah top`
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Ask the metrics socket there, over HTTP, as 127.0.0.1:9464 or http://host/metrics [default: the control
    /// socket of the server on this machine]
    #[arg(value_name = "ADDR:PORT|URL", conflicts_with_all = ["control", "data_dir", "config"])]
    pub target: Option<Source>,
    /// How long from one look to the next
    #[arg(long, short, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Print one table and leave; the rates in it are of one interval. Always so when the output is no terminal
    #[arg(long)]
    pub once: bool,
    /// The server's control socket [default: as in its configuration]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["data_dir", "config"])]
    pub control: Option<PathBuf>,
    /// The server's data directory, where its control socket is
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The server's configuration file, which says where its control socket is
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `mynah bench`
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What the members speak: tcp-room, group, udp-room, udp-login, tcrp or udp-mesh; several share the members.
    /// With an address that server is measured, without one bench starts a server of its own [default: tcp-room]
    #[arg(value_name = "PROTOCOL[=ADDR:PORT]")]
    pub targets: Vec<Target>,
    /// The proportion of several protocols' members, in their order [default: the same of each]
    #[arg(long, value_name = "SHARE:SHARE...")]
    pub mix: Option<Shares>,
    /// The process of a server with an address, to measure its processor time and memory
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,

    /// How many there are in the room; several numbers are measured one after the other
    #[arg(
        long, short = 'n', value_name = "N", value_delimiter = ',', default_value = "1000",
        value_parser = count, help_heading = MEASURED
    )]
    pub members: Vec<usize>,
    /// How many of them take turns at talking
    #[arg(long, value_name = "N", default_value = "1", value_parser = count, help_heading = MEASURED)]
    pub senders: usize,
    /// As fast as it goes, with so many messages in flight; one is until everybody has it [default: 1,16,256]
    #[arg(
        long, short, value_name = "W", value_delimiter = ',', conflicts_with = "rate",
        value_parser = clap::value_parser!(u32).range(1..), help_heading = MEASURED
    )]
    pub window: Vec<u32>,
    /// So many messages a second by all senders together, come what may
    #[arg(long, value_name = "MSGS_PER_S", value_delimiter = ',', help_heading = MEASURED)]
    pub rate: Vec<f64>,
    /// Bytes of one message's text
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = count, help_heading = MEASURED)]
    pub payload: usize,
    /// How long each run sends messages
    #[arg(long, short, value_name = "TIME", default_value = "2s", value_parser = duration, help_heading = MEASURED)]
    pub duration: Duration,
    /// How long it sends before anything counts
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = duration, help_heading = MEASURED)]
    pub warm_up: Duration,
    /// How many members may be on their way in at one time
    #[arg(long, value_name = "N", default_value = "16", value_parser = count, help_heading = MEASURED)]
    pub logins_in_flight: usize,
    /// Measure everything so often, and show medians
    #[arg(long, short, value_name = "N", default_value = "1", value_parser = count, help_heading = MEASURED)]
    pub repeat: usize,
    /// Before each run measure the bare write loop, which no server can pass, and show the ratio
    #[arg(long, short, help_heading = MEASURED)]
    pub floor: bool,

    /// Write an object for each run, and a summary, to this file; without one, to standard output instead of the
    /// table
    #[arg(
        long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-",
        help_heading = SHOWN
    )]
    pub json: Option<PathBuf>,
    /// Draw the latency distribution, and deliveries against members, as SVG
    #[arg(long, value_name = "FILE", help_heading = SHOWN)]
    pub plot: Option<PathBuf>,
    /// No word on standard error while it runs
    #[arg(long, short, help_heading = SHOWN)]
    pub quiet: bool,
}

const MEASURED: &str = "What is measured";
const SHOWN: &str = "What is shown";

/// `mynah bench-floor`
#[derive(Debug, Args)]
pub struct BenchFloorArgs {
    /// Which of the loops
    #[arg(long, value_enum)]
    pub kind: FloorKind,
    /// End when this process does, which has started us
    #[arg(long, value_name = "PID")]
    pub parent: Option<u32>,
}

/// A bare loop that hands on what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FloorKind {
    /// One write for each frame and member
    Stream,
    /// One write for each member with all that is there
    Gathering,
    /// One datagram for each and member
    Datagrams,
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

/// Not so short that asking is all that a server does.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    match interval {
        _ if interval < Duration::from_millis(100) => Err("it is 100ms at least".into()),
        _ if interval > Duration::from_secs(3600) => Err("it is 1h at most".into()),
        _ => Ok(interval),
    }
}

fn name(text: &str) -> Result<Name, NameError> {
    Name::parse(text)
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
