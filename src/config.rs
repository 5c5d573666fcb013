//! Owns what the program is set to: the flags, the configuration file, the environment and the defaults
//! become one [`Settings`]. Knows nothing of what is done with it.
//!
//! A flag goes before the file, the file before the default. The defaults stand here, once.

#![cfg_attr(
    not(test),
    deny(
        clippy::get_unwrap,
        clippy::panic,
        clippy::string_slice,
        clippy::unwrap_used
    )
)]

mod bench;
mod file;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

use crate::chat::Name;
use crate::cli::ServeArgs;
use crate::journal::Filter;
use crate::protocol::registry::{Protocol, Transport};
pub use crate::server::Advertise;
use crate::server::{Access, Limits};
use crate::store::{FILE_NAME, HashCost};

pub use bench::{Shares, SharesError, Target, TargetError, count, duration};
pub use file::{ConfigError, Problem, fuzz, names};

/// Everything that `mynah serve` needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What to listen for, and where.
    pub listen: Vec<Listen>,
    /// Where what must outlive the process is kept. Not made before something is.
    pub data_dir: PathBuf,
    /// Whether each protocol has rooms and names of its own.
    pub isolate: bool,
    /// What is logged.
    pub log_level: Filter,
    /// Everything that is bounded.
    pub limits: Limits,
    /// Who may make an account.
    pub registration: Registration,
    /// Which address of a `group` participant the others are told.
    pub advertise: Advertise,
    /// What hashing one password costs.
    pub hash_cost: HashCost,
    /// How the mesh gateway appears.
    pub mesh: MeshSettings,
    /// The Unix socket that `mynah ctl` comes to; `None` is `mynah.sock` in the data directory, and an empty path
    /// none at all.
    pub control: Option<PathBuf>,
    /// How long a drain waits for members to go by themselves.
    pub drain_timeout: Duration,
    /// What newcomers are told, where their protocol can show it. Empty is nothing.
    pub welcome: String,
    /// From where people may come to each service. A service that is not there lets in everybody.
    pub access: BTreeMap<Service, Access>,
}

/// Whether accounts can be made by whoever asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Registration {
    /// By anybody, a few an hour per address.
    #[default]
    Open,
    /// By nobody: those that are in the file are all.
    Closed,
}

/// The mesh gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshSettings {
    /// Who answers those that join the mesh.
    pub name: Name,
    /// Where broadcasts go.
    pub broadcast: Ipv4Addr,
}

/// What holds when nothing is said, but for the environment: see [`Settings::of_serve`].
impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: Protocol::ALL
                .iter()
                .copied()
                .filter(|protocol| protocol.is_default())
                .map(Listen::default_of)
                .collect(),
            data_dir: default_data_dir(|_| None),
            isolate: false,
            log_level: Filter::default(),
            limits: Limits::default(),
            registration: Registration::default(),
            advertise: Advertise::default(),
            hash_cost: HashCost::default(),
            mesh: MeshSettings {
                name: Name::parse("mynah").expect("invariant: `mynah` is a name"),
                broadcast: Ipv4Addr::BROADCAST,
            },
            control: None,
            drain_timeout: Duration::from_secs(60 * 60),
            welcome: String::new(),
            access: BTreeMap::new(),
        }
    }
}

/// One socket: `NAME=ADDR:PORT` on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub service: Service,
    pub address: SocketAddr,
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Chat, in that protocol.
    Chat(Protocol),
    /// Figures for Prometheus, and the status page, over HTTP.
    Metrics,
}

impl Service {
    /// All that there are.
    pub fn all() -> impl Iterator<Item = Service> {
        let chat = Protocol::ALL.iter().copied().map(Service::Chat);
        chat.chain([Service::Metrics])
    }

    /// As it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Service::Chat(protocol) => protocol.name(),
            Service::Metrics => "metrics",
        }
    }

    /// What carries it.
    pub fn transport(self) -> Transport {
        match self {
            Service::Chat(protocol) => protocol.transport(),
            Service::Metrics => Transport::Tcp,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Settings {
    /// What the flags say, then what the file says that one of them may name, then the defaults.
    pub fn of_serve(args: ServeArgs) -> Result<Settings, ConfigError> {
        let mut settings = Settings {
            data_dir: default_data_dir(env::var_os),
            ..Settings::default()
        };
        if let Some(path) = &args.config {
            file::read(path, &mut settings)?;
        }
        settings.take_flags(args);
        settings.listen = with_partners(settings.listen);
        Ok(settings)
    }

    /// Where the accounts are.
    pub fn accounts_path(&self) -> PathBuf {
        self.data_dir.join(FILE_NAME)
    }

    fn take_flags(&mut self, args: ServeArgs) {
        // All fields, so that no flag is forgotten.
        let ServeArgs {
            config: _,
            listen,
            data_dir,
            isolate,
            log_level,
            registration,
            advertise,
            mesh_name,
            mesh_broadcast,
            parent: _,
        } = args;
        // Who names one socket gets that one and no others.
        replace(&mut self.listen, Some(listen).filter(|l| !l.is_empty()));
        replace(&mut self.data_dir, data_dir);
        self.isolate |= isolate;
        replace(&mut self.log_level, log_level);
        replace(&mut self.registration, registration);
        replace(&mut self.advertise, advertise);
        replace(&mut self.mesh.name, mesh_name);
        replace(&mut self.mesh.broadcast, mesh_broadcast);
    }
}

fn replace<T>(setting: &mut T, flag: Option<T>) {
    if let Some(flag) = flag {
        *setting = flag;
    }
}

impl Listen {
    /// This machine only, on the port that the protocol's programs expect.
    fn default_of(protocol: Protocol) -> Listen {
        Listen {
            service: Service::Chat(protocol),
            address: (Ipv4Addr::LOCALHOST, protocol.default_port()).into(),
        }
    }
}

/// Who names TCRP alone gets its other half, where its tokens are shown, on the port behind it.
fn with_partners(mut listen: Vec<Listen>) -> Vec<Listen> {
    let is_of = |protocol| move |one: &&Listen| one.service == Service::Chat(protocol);
    if listen.iter().any(|one| is_of(Protocol::Ucrp)(&one)) {
        return listen;
    }
    let halves = listen.iter().filter(is_of(Protocol::Tcrp));
    let others: Vec<Listen> = halves
        .map(|one| {
            let port = match one.address.port() {
                0 => 0,
                // Behind the last port there is none, so the kernel chooses.
                port => port.checked_add(1).unwrap_or(0),
            };
            Listen {
                service: Service::Chat(Protocol::Ucrp),
                address: SocketAddr::new(one.address.ip(), port),
            }
        })
        .collect();
    listen.extend(others);
    listen
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Listen, ListenError> {
        let (name, address) = text.split_once('=').ok_or(ListenError::Form)?;
        let service = Service::all().find(|service| service.name() == name);
        let service = service.ok_or_else(|| ListenError::Name(name.into()))?;
        let address = address
            .parse()
            .map_err(|_| ListenError::Address(address.into()))?;
        Ok(Listen { service, address })
    }
}

/// What is wrong with a `NAME=ADDR:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// There is no `=`.
    Form,
    /// No protocol is called so, and nothing else that listens.
    Name(String),
    /// That is no IP address with a port.
    Address(String),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::Form => {
                write!(
                    f,
                    "it has the form NAME=ADDR:PORT, as tcp-room=127.0.0.1:42069"
                )
            }
            ListenError::Name(name) => {
                let names: Vec<&str> = Service::all().map(Service::name).collect();
                write!(
                    f,
                    "nothing that listens is called {name:?}; there is: {}",
                    names.join(", ")
                )
            }
            ListenError::Address(address) => write!(
                f,
                "{address:?} is no IP address with a port from 0 to 65535, as 127.0.0.1:42069, \
                 0.0.0.0:42069 or [::1]:42069"
            ),
        }
    }
}

impl std::error::Error for ListenError {}

/// The service manager's directory (systemd.exec(5), the first if there are several), else the user's
/// (XDG Base Directory Specification: a relative path there is ignored), else the present one.
fn default_data_dir(variable: impl Fn(&'static str) -> Option<OsString>) -> PathBuf {
    if let Some(state) = variable("STATE_DIRECTORY")
        && let Some(first) = env::split_paths(&state).find(|path| path.is_absolute())
    {
        return first;
    }
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/state")))
        .map_or_else(|| PathBuf::from("mynah-data"), |state| state.join("mynah"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn what_is_listened_for_is_read_or_what_is_wrong_is_named() {
        let listen: Listen = "tcp-room=[::1]:0".parse().unwrap();
        assert_eq!(listen.service, Service::Chat(Protocol::TcpRoom));
        assert_eq!(listen.address.to_string(), "[::1]:0");
        let error = |text: &str| text.parse::<Listen>().unwrap_err();
        assert_eq!(error("tcp-room"), ListenError::Form);
        assert_eq!(error("irc=127.0.0.1:1"), ListenError::Name("irc".into()));
        for address in [
            "",
            "127.0.0.1",
            "127.0.0.1:70000",
            "localhost:1",
            ":1",
            "::1:1:x",
        ] {
            let text = format!("tcp-room={address}");
            assert_eq!(error(&text), ListenError::Address(address.into()));
        }
    }

    fn of_serve(flags: &[&str]) -> Result<Settings, ConfigError> {
        let cli = Cli::try_parse_from(["mynah", "serve"].iter().chain(flags));
        match cli.unwrap_or_else(|error| panic!("{error}")).command {
            Command::Serve(args) => Settings::of_serve(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_flag_goes_before_the_file_and_the_file_before_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mynah.toml");
        let text = r#"
            listen = ["tcp-room=127.0.0.1:1"]
            data_dir = "/file"
            log_level = "warn"
            group.advertise = "claimed"
            accounts.registration = "closed"
            limits.rooms = 7
            [mesh]
            name = "file"
            broadcast = "10.0.0.255"
        "#;
        std::fs::write(&path, text).unwrap();
        let config = ["--config", path.to_str().unwrap()];
        let of_file = of_serve(&config).unwrap();
        assert_eq!(of_file.listen[0].address.port(), 1);
        assert_eq!(
            of_file.accounts_path(),
            PathBuf::from("/file/chat_users.json")
        );
        assert_eq!(of_file.log_level, log::LevelFilter::Warn.into());
        assert_eq!(of_file.advertise, Advertise::Claimed);
        assert_eq!(of_file.registration, Registration::Closed);
        assert_eq!(of_file.mesh.name.as_str(), "file");
        let flags = [
            "--listen=tcp-room=127.0.0.1:2",
            "--data-dir=/flag",
            "--isolate",
            "--log-level=debug",
            "--advertise=connection",
            "--registration=open",
            "--mesh-name=flag",
            "--mesh-broadcast=10.1.1.255",
        ];
        let both = of_serve(&[&config[..], &flags].concat()).unwrap();
        let mut flags_alone = of_serve(&flags).unwrap();
        assert_eq!(both.listen.len(), 1);
        assert_eq!(both.data_dir, PathBuf::from("/flag"));
        flags_alone.limits.hub.rooms = 7;
        assert_eq!(both, flags_alone);
        let defaults = Settings {
            data_dir: default_data_dir(env::var_os),
            ..Settings::default()
        };
        assert_eq!(of_serve(&[]).unwrap(), defaults);
        assert!(of_serve(&["--config", "/nonexistent/x"]).is_err());
    }

    #[test]
    fn tcrp_alone_brings_its_other_half() {
        let listened = |texts: &[&str]| {
            let listen = texts.iter().map(|text| text.parse().unwrap()).collect();
            let all = with_partners(listen);
            let named = all
                .iter()
                .map(|one| format!("{}={}", one.service, one.address));
            named.collect::<Vec<_>>()
        };
        assert_eq!(
            listened(&["tcrp=127.0.0.1:9090", "tcrp=[::1]:0"]),
            [
                "tcrp=127.0.0.1:9090",
                "tcrp=[::1]:0",
                "ucrp=127.0.0.1:9091",
                "ucrp=[::1]:0"
            ]
        );
        let both = ["tcrp=127.0.0.1:9090", "ucrp=127.0.0.1:7"];
        assert_eq!(listened(&both), both);
        assert_eq!(listened(&["group=127.0.0.1:1"]), ["group=127.0.0.1:1"]);
    }

    #[test]
    fn data_goes_where_the_service_manager_or_the_user_says() {
        let home = ("HOME", "/home/a");
        assert_eq!(data_dir(&[]), PathBuf::from("mynah-data"));
        assert_eq!(
            data_dir(&[home]),
            PathBuf::from("/home/a/.local/state/mynah")
        );
        let xdg = ("XDG_STATE_HOME", "/x");
        assert_eq!(data_dir(&[home, xdg]), PathBuf::from("/x/mynah"));
        let relative = ("XDG_STATE_HOME", "x");
        assert_eq!(
            data_dir(&[home, relative]),
            PathBuf::from("/home/a/.local/state/mynah")
        );
        let systemd = ("STATE_DIRECTORY", "/var/lib/mynah:/var/lib/other");
        assert_eq!(
            data_dir(&[home, xdg, systemd]),
            PathBuf::from("/var/lib/mynah")
        );
    }

    fn data_dir(set: &[(&str, &str)]) -> PathBuf {
        default_data_dir(|name| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.into())
        })
    }
}
