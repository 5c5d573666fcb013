//! Owns what is different between two settings, for who reloads them.

use std::fmt;

use super::Settings;
use super::key::{Key, Reload, keys};

/// A key whose value is another one.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which it is.
    pub key: &'static Key,
    /// As it was, written as in the file.
    pub from: String,
    /// As it is now.
    pub to: String,
}

impl Change {
    /// When it takes effect.
    pub fn reload(&self) -> Reload {
        self.key.reload
    }
}

/// `limits.rooms: 4096 -> 7`, and when that takes effect if not at once.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.key.name, self.from, self.to)?;
        match self.reload() {
            Reload::Now => Ok(()),
            Reload::NewConnections => write!(f, " for connections to come"),
            Reload::Restart => write!(f, " needs a restart"),
        }
    }
}

/// Every key that differs, in the order of [`keys`].
pub fn changed(old: &Settings, new: &Settings) -> Vec<Change> {
    let pairs = keys().map(|key| (key, key.get(old), key.get(new)));
    let different = pairs.filter(|(_, from, to)| from != to);
    different
        .map(|(key, from, to)| Change {
            key,
            from: from.to_string(),
            to: to.to_string(),
        })
        .collect()
}

impl Settings {
    /// These settings as a server can have them that runs with `running` and is not started anew: what needs a restart
    /// stays as it is there.
    pub fn as_reloaded(self, running: &Settings) -> Settings {
        // All fields, so that none is forgotten.
        let Settings {
            listen,
            data_dir: _,
            isolate: _,
            log_level,
            limits,
            registration,
            advertise,
            hash_cost,
            mesh: _,
            control: _,
            drain_timeout,
            welcome,
            access,
        } = self;
        Settings {
            listen,
            data_dir: running.data_dir.clone(),
            isolate: running.isolate,
            log_level,
            limits,
            registration,
            advertise,
            hash_cost,
            mesh: running.mesh.clone(),
            control: running.control.clone(),
            drain_timeout,
            welcome,
            access,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Merged;

    #[test]
    fn what_is_different_is_told_and_when_it_takes_effect() {
        let old = Settings::default();
        assert!(changed(&old, &old).is_empty());
        let text = "limits.rooms = 7\nlimits.keepalive_idle = 7\naccess.group.deny = [\"::1\"]\ndata_dir = \"x\"";
        let new = Merged::of_file(text.as_bytes()).unwrap().settings;
        let told: Vec<String> = changed(&old, &new).iter().map(Change::to_string).collect();
        assert_eq!(
            told,
            [
                "data_dir: \"mynah-data\" -> \"x\" needs a restart",
                "access.group.deny: [] -> [\"::1\"]",
                "limits.rooms: 4096 -> 7",
                "limits.keepalive_idle: 20 -> 7 for connections to come",
            ]
        );
    }

    #[test]
    fn a_reload_leaves_just_what_needs_a_restart() {
        let other = "listen = [\"group=127.0.0.1:1\"]\ndata_dir = \"x\"\nisolate = true\nlog_level = \"off\"\n\
             limits.rooms = 7\naccounts.registration = \"closed\"\ngroup.advertise = \"claimed\"\n\
             accounts.argon2_passes = 3\nmesh.name = \"x\"\nmesh.broadcast = \"10.0.0.255\"\ncontrol = \"x\"\n\
             drain_timeout = 1\nwelcome = \"x\"\naccess.group.deny = [\"::1\"]\n";
        let (old, new) = (
            Settings::default(),
            Merged::of_file(other.as_bytes()).unwrap().settings,
        );
        let (later, now): (Vec<Change>, Vec<Change>) = changed(&old, &new)
            .into_iter()
            .partition(|change| change.reload() == Reload::Restart);
        let reloaded = new.clone().as_reloaded(&old);
        let names =
            |changes: Vec<Change>| changes.iter().map(|one| one.key.name).collect::<Vec<_>>();
        assert_eq!(names(changed(&old, &reloaded)), names(now));
        assert_eq!(names(changed(&reloaded, &new)), names(later));
    }
}
