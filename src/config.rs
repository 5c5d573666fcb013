//! Owns what the program is set to: the flags, the environment, the configuration file and the defaults
//! become one [`Settings`]. Knows nothing of what is done with it.
//!
//! A flag goes before the environment, that before the file, and the file before the default. The defaults stand here,
//! once. A key is one row of a table, and everything that is known of it comes from there:
//!
//! ```text
//!              table.rs, access.rs, limits.rs: a Key for each
//!                                │
//!  file.rs ──Value──▶ Key::set ──▶ Settings ──▶ Key::get ──Value──▶ show.rs   (config default, config check)
//!  environment.rs ───┘                │                     └─────▶ change.rs (what a reload changes)
//!                        merged.rs: who goes before whom; together.rs: what does not go together
//! ```

#![cfg_attr(
    not(test),
    deny(
        clippy::get_unwrap,
        clippy::panic,
        clippy::string_slice,
        clippy::unwrap_used
    )
)]

mod access;
mod bench;
mod change;
mod environment;
mod error;
mod file;
mod key;
mod limits;
mod listen;
mod merged;
mod show;
mod suggest;
mod table;
mod together;
mod value;
mod welcome;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::chat::Name;
use crate::journal::Filter;
pub use crate::server::Advertise;
use crate::server::{Access, Limits, Rules, Terms};
use crate::store::{BANS_FILE_NAME, FILE_NAME, HashCost};

pub use bench::{Shares, SharesError, Target, TargetError, count, duration};
pub use change::{Change, changed};
pub use error::{ConfigError, Origin, Problem};
pub use key::{Key, Reload, Unit, keys, names};
pub use listen::{Listen, ListenError, Service};
pub use merged::{Merged, Whereabouts, fuzz};
pub use show::default_file;

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

/// What holds when nothing is said, but for the data directory, which depends on the machine: see [`Settings::read`].
impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: Listen::defaults(),
            data_dir: merged::DATA_DIR.into(),
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

impl Settings {
    /// Where the accounts are.
    pub fn accounts_path(&self) -> PathBuf {
        self.data_dir.join(FILE_NAME)
    }

    /// Where the bans are.
    pub fn bans_path(&self) -> PathBuf {
        self.data_dir.join(BANS_FILE_NAME)
    }

    /// What a reload may change, but for the doors: which there are depends on more than this.
    pub fn terms(&self) -> Terms {
        let access = self.access.iter();
        Terms {
            doors: Vec::new(),
            rules: Rules {
                limits: self.limits,
                advertise: self.advertise,
                registration_open: self.registration == Registration::Open,
                hash_cost: self.hash_cost,
            },
            welcome: self.welcome.clone(),
            access: access
                .map(|(service, access)| ((*service).into(), access.clone()))
                .collect(),
            drain_timeout: self.drain_timeout,
        }
    }

    /// Where the socket for `mynah ctl` is; `None` where there is to be none.
    pub fn control_path(&self) -> Option<PathBuf> {
        match &self.control {
            Some(path) if path.as_os_str().is_empty() => None,
            // An absolute one stays as it is.
            Some(path) => Some(self.data_dir.join(path)),
            None => Some(self.data_dir.join(table::CONTROL_NAME)),
        }
    }
}
