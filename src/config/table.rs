//! Owns the keys that are neither limits nor lists of who may come: a row for each.

use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;

use super::key::{Key, Kind, Reload, Told, Unit, Unsaid, Wrong};
use super::{Listen, ListenError, welcome};
use crate::chat::Name;
use crate::journal::FilterError;

pub(super) const LISTEN: &str = "listen";
pub(super) const CONTROL: &str = "control";
pub(super) const MEMORY: &str = "accounts.argon2_memory_kib";
pub(super) const PASSES: &str = "accounts.argon2_passes";
pub(super) const LANES: &str = "accounts.argon2_lanes";

/// What the socket for `mynah ctl` is called in the data directory.
pub(super) const CONTROL_NAME: &str = "mynah.sock";

pub(super) static TABLE: &[Key] = &[
    Key {
        name: LISTEN,
        doc: "What to listen for, and where: NAME=ADDR:PORT. Only what is named is opened; port 0 lets the kernel \
              choose. A name is tcp-room, group, udp-room, udp-login, tcrp, ucrp, udp-mesh or metrics.",
        reload: Reload::Now,
        unsaid: Unsaid::Told("all protocols but `udp-mesh`, on 127.0.0.1"),
        kind: Kind::Texts {
            right: "a list of strings NAME=ADDR:PORT, as [\"tcp-room=127.0.0.1:42069\"]",
            get: |settings| settings.listen.iter().map(Listen::to_string).collect(),
            set: |settings, texts| {
                let listen = texts.iter().enumerate().map(|(number, text)| {
                    text.parse().map_err(|error: ListenError| Wrong {
                        item: Some(number),
                        told: Told::Because(error.to_string()),
                    })
                });
                let listen: Vec<_> = listen.collect::<Result<_, Wrong>>()?;
                if listen.is_empty() {
                    return Err(Wrong::default());
                }
                settings.listen = listen;
                Ok(())
            },
        },
    },
    Key {
        name: "data_dir",
        doc: "Where accounts and bans are kept, of one server at a time.",
        reload: Reload::Restart,
        unsaid: Unsaid::Depends {
            told: "`$STATE_DIRECTORY`, else `mynah` in `$XDG_STATE_HOME` or `~/.local/state`, else `mynah-data` where it is started",
            example: "\"/var/lib/mynah\"",
        },
        kind: Kind::Text {
            right: "a path in quotes",
            get: |settings| settings.data_dir.to_string_lossy().into_owned(),
            set: |settings, text| {
                if text.is_empty() || text.contains('\0') {
                    return Err(Wrong::default());
                }
                settings.data_dir = text.into();
                Ok(())
            },
        },
    },
    Key {
        name: CONTROL,
        doc: "The Unix socket that `mynah ctl` comes to; a path that does not begin with / is in the data directory. \
              With an empty path there is none.",
        reload: Reload::Restart,
        unsaid: Unsaid::Value,
        kind: Kind::Text {
            right: "a path in quotes, or \"\"",
            get: |settings| match &settings.control {
                Some(path) => path.to_string_lossy().into_owned(),
                None => CONTROL_NAME.to_owned(),
            },
            set: |settings, text| {
                if text.contains('\0') {
                    return Err(Wrong::default());
                }
                settings.control =
                    Some(Path::new(text).to_owned()).filter(|_| text != CONTROL_NAME);
                Ok(())
            },
        },
    },
    Key {
        name: "isolate",
        doc: "Whether each protocol has rooms and names of its own.",
        reload: Reload::Restart,
        unsaid: Unsaid::Value,
        kind: Kind::Truth {
            get: |settings| settings.isolate,
            set: |settings, isolate| settings.isolate = isolate,
        },
    },
    Key {
        name: "log_level",
        doc: "What is told on standard error.",
        reload: Reload::Now,
        unsaid: Unsaid::Value,
        kind: Kind::Text {
            right: "a level in quotes: \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\", with others for \
                    parts of the program, as \"info,store=debug\"",
            get: |settings| settings.log_level.to_string(),
            set: |settings, text| {
                settings.log_level = text
                    .parse()
                    .map_err(|error: FilterError| error.to_string())?;
                Ok(())
            },
        },
    },
    Key {
        name: "welcome",
        doc: "What newcomers are told, where their protocol can show it. An empty text is nothing.",
        reload: Reload::Now,
        unsaid: Unsaid::Value,
        kind: Kind::Text {
            right: "a text in quotes, of up to 1024 bytes and 10 lines",
            get: |settings| settings.welcome.clone(),
            set: |settings, text| {
                settings.welcome = welcome::read(text).map_err(|error| error.to_string())?;
                Ok(())
            },
        },
    },
    Key {
        name: "drain_timeout",
        doc: "How long a server that is told to drain (SIGUSR2) waits for its members to go by themselves.",
        reload: Reload::Now,
        unsaid: Unsaid::Value,
        kind: Kind::Number {
            unit: Unit::Seconds,
            bounds: 0..=604_800,
            get: |settings| settings.drain_timeout.as_secs(),
            set: |settings, seconds| settings.drain_timeout = Duration::from_secs(seconds),
        },
    },
    Key {
        name: "group.advertise",
        doc: "Which address of a `group` member the others are told, for who talks to it without the server.",
        // What others are told of somebody is settled when that somebody comes in.
        reload: Reload::NewConnections,
        unsaid: Unsaid::Value,
        kind: Kind::Text {
            right: "\"connection\" (the address that it comes from) or \"claimed\" (the one that it says, if it \
                    could be there)",
            get: |settings| chosen(settings.advertise),
            set: |settings, text| choose(text, &mut settings.advertise),
        },
    },
    Key {
        name: "accounts.registration",
        doc: "Who may make an account.",
        reload: Reload::Now,
        unsaid: Unsaid::Value,
        kind: Kind::Text {
            right: "\"open\" (anybody) or \"closed\" (nobody)",
            get: |settings| chosen(settings.registration),
            set: |settings, text| choose(text, &mut settings.registration),
        },
    },
    Key {
        name: MEMORY,
        doc: "Memory for one password hash.",
        reload: Reload::Now,
        unsaid: Unsaid::Value,
        kind: Kind::Number {
            unit: Unit::Kib,
            bounds: 1024..=1024 * 1024,
            get: |settings| settings.hash_cost.memory_kib.into(),
            set: |settings, number| settings.hash_cost.memory_kib = number as u32,
        },
    },
    Key {
        name: PASSES,
        doc: "Passes over it.",
        reload: Reload::Now,
        unsaid: Unsaid::Value,
        kind: Kind::Number {
            unit: Unit::Things,
            bounds: 1..=100,
            get: |settings| settings.hash_cost.passes.into(),
            set: |settings, number| settings.hash_cost.passes = number as u32,
        },
    },
    Key {
        name: LANES,
        doc: "Lanes of it.",
        reload: Reload::Now,
        unsaid: Unsaid::Value,
        kind: Kind::Number {
            unit: Unit::Things,
            bounds: 1..=64,
            get: |settings| settings.hash_cost.lanes.into(),
            set: |settings, number| settings.hash_cost.lanes = number as u32,
        },
    },
    Key {
        name: "mesh.name",
        doc: "As whom the gateway answers in a mesh.",
        reload: Reload::Restart,
        unsaid: Unsaid::Value,
        kind: Kind::Text {
            right: "a name in quotes",
            get: |settings| settings.mesh.name.to_string(),
            set: |settings, text| {
                settings.mesh.name = Name::parse(text).map_err(|error| error.to_string())?;
                Ok(())
            },
        },
    },
    Key {
        name: "mesh.broadcast",
        doc: "Where its broadcasts go, by the interface of the address that it listens on, where it hears them as well.",
        reload: Reload::Restart,
        unsaid: Unsaid::Value,
        kind: Kind::Text {
            right: "an IPv4 address in quotes, as \"255.255.255.255\" or \"192.168.1.255\"",
            get: |settings| settings.mesh.broadcast.to_string(),
            set: |settings, text| {
                settings.mesh.broadcast = text.parse().map_err(|_| Wrong::default())?;
                Ok(())
            },
        },
    },
];

/// One of a few words, as the command line has them.
fn chosen<T: ValueEnum>(choice: T) -> String {
    let value = choice.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

fn choose<T: ValueEnum>(text: &str, into: &mut T) -> Result<(), Wrong> {
    *into = T::from_str(text, false).map_err(|_| Wrong::default())?;
    Ok(())
}
