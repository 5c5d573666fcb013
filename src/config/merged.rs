//! Owns the order in which flags, environment, file and defaults go before each other, and which of them each value
//! came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::error::{ConfigError, Origin};
use super::file::{self, Reading, Source};
use super::key::Key;
use super::listen::{Listen, Service, with_chat, with_partners};
use super::table::{DATA_DIR as DATA_DIR_KEY, LISTEN};
use super::{Settings, together};
use crate::cli::ServeArgs;

/// All that was said, put together.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    /// What holds.
    pub settings: Settings,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    /// What should be told to somebody, and is no reason not to start: variables that are misspelt.
    pub warnings: Vec<String>,
    /// Whether no chat socket was named, so that those are listened at that are by default.
    has_default_chat: bool,
    /// Of what is no default.
    origins: BTreeMap<&'static str, Origin>,
}

impl Merged {
    /// A flag goes before the environment, that before the file, and the file before the default.
    ///
    /// Fails where a file that is named is not there, one cannot be read, or something may not be.
    pub fn read(args: &ServeArgs) -> Result<Merged, ConfigError> {
        Merged::read_in(args, &Environment::of_process(), Reading::First)
    }

    /// The same for a reload. The file that `before` was read from may have another before it by now, but that it has gone
    /// is no reason to go on without it, and what stands in its place and is none, as a pipe, is refused.
    pub fn read_again(args: &ServeArgs, before: &Merged) -> Result<Merged, ConfigError> {
        Merged::read_again_in(args, before, &Environment::of_process())
    }

    fn read_again_in(
        args: &ServeArgs,
        before: &Merged,
        environment: &Environment,
    ) -> Result<Merged, ConfigError> {
        let merged = Merged::read_in(args, environment, Reading::Again)?;
        let places = file::places(environment);
        // One that is named is there, or else it cannot be read.
        let rank = |path: &PathBuf| places.iter().position(|place| place == path).unwrap_or(0);
        let now = merged.file.as_ref().map_or(places.len(), rank);
        match &before.file {
            Some(path) if rank(path) < now => Err(file::gone(path)),
            _ => Ok(merged),
        }
    }

    pub(super) fn read_in(
        args: &ServeArgs,
        environment: &Environment,
        reading: Reading,
    ) -> Result<Merged, ConfigError> {
        let mut merged = Merged::default();
        merged.settings.data_dir = default_data_dir(environment);
        if let Some(source) = file::find(args.config.as_deref(), environment, reading)? {
            source.apply(&mut merged)?;
            merged.file = Some(source.path);
        }
        environment.apply(&mut merged)?;
        merged.take_flags(args);
        merged.finish()?;
        merged.warnings = environment.unknown();
        Ok(merged)
    }

    /// What a file says alone, as if it had been read.
    pub(super) fn of_file(bytes: &[u8]) -> Result<Merged, ConfigError> {
        let mut merged = Merged::default();
        Source::in_memory(bytes).apply(&mut merged)?;
        merged.finish()?;
        Ok(merged)
    }

    /// Where the value of a key comes from.
    pub fn origin(&self, key: &Key) -> &Origin {
        self.origins.get(key.name()).unwrap_or(&Origin::Default)
    }

    /// Whether somebody has said that this is to be listened for.
    pub fn names(&self, service: Service) -> bool {
        let is_default = self.has_default_chat && matches!(service, Service::Chat(_));
        self.origins.contains_key(LISTEN) && !is_default
    }

    pub(super) fn came_from(&mut self, key: &Key, origin: Origin) {
        self.origins.insert(key.name, origin);
    }

    /// What follows from all of it.
    fn finish(&mut self) -> Result<(), ConfigError> {
        together::without_empty_rates(&mut self.settings.limits);
        let listen = std::mem::take(&mut self.settings.listen);
        let is_chat = |one: &Listen| matches!(one.service, Service::Chat(_));
        self.has_default_chat = !listen.iter().any(is_chat);
        self.settings.listen = with_partners(with_chat(listen));
        together::check(self)
    }

    fn take_flags(&mut self, args: &ServeArgs) {
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
        let Merged {
            settings, origins, ..
        } = self;
        let mut said = |key: &'static str, flag| {
            origins.insert(key, Origin::Flag(flag));
        };
        // Who names one chat socket gets that one and no others.
        if !listen.is_empty() {
            settings.listen.clone_from(listen);
            said("listen", "--listen");
        }
        if let Some(data_dir) = data_dir {
            settings.data_dir.clone_from(data_dir);
            said("data_dir", "--data-dir");
        }
        if *isolate {
            settings.isolate = true;
            said("isolate", "--isolate");
        }
        if let Some(level) = log_level {
            settings.log_level.clone_from(level);
            said("log_level", "--log-level");
        }
        if let Some(registration) = registration {
            settings.registration = *registration;
            said("accounts.registration", "--registration");
        }
        if let Some(advertise) = advertise {
            settings.advertise = *advertise;
            said("group.advertise", "--advertise");
        }
        if let Some(name) = mesh_name {
            settings.mesh.name.clone_from(name);
            said("mesh.name", "--mesh-name");
        }
        if let Some(broadcast) = mesh_broadcast {
            settings.mesh.broadcast = *broadcast;
            said("mesh.broadcast", "--mesh-broadcast");
        }
    }
}

/// Where a server is, as far as that can be known: its data directory and its control socket. The rest may be wrong.
#[derive(Debug)]
pub struct Whereabouts {
    pub settings: Settings,
    /// What is wrong with the file.
    pub wrong: Option<ConfigError>,
    /// Whether the data directory is what the file says. Otherwise it is a guess, good enough to look for a server there.
    pub is_sure: bool,
}

impl Whereabouts {
    /// What [`Merged::read`] would say, or, where the file is wrong, what is to be had without what is wrong in it.
    ///
    /// Fails where a file that a flag names cannot be read at all, and where the environment is wrong.
    pub fn read(args: &ServeArgs) -> Result<Whereabouts, ConfigError> {
        Whereabouts::read_in(args, &Environment::of_process())
    }

    fn read_in(args: &ServeArgs, environment: &Environment) -> Result<Whereabouts, ConfigError> {
        let error = match Merged::read_in(args, environment, Reading::First) {
            Ok(merged) => {
                return Ok(Whereabouts {
                    settings: merged.settings,
                    wrong: None,
                    is_sure: true,
                });
            }
            Err(error) => error,
        };
        let mut merged = Merged::default();
        merged.settings.data_dir = default_data_dir(environment);
        let is_whole = match file::find(args.config.as_deref(), environment, Reading::First) {
            Ok(Some(source)) => source.apply_what_is_right(&mut merged),
            Ok(None) => true,
            Err(error) if args.config.is_some() => return Err(error),
            Err(_) => false,
        };
        environment.apply(&mut merged)?;
        merged.take_flags(args);
        Ok(Whereabouts {
            is_sure: is_whole || merged.origins.contains_key(DATA_DIR_KEY),
            settings: merged.settings,
            wrong: Some(error),
        })
    }
}

impl Settings {
    /// What flags, environment, file and defaults say together: [`Merged::read`] without where it comes from. Called
    /// again with the same flags it reads everything again, for a reload.
    pub fn read(args: &ServeArgs) -> Result<Settings, ConfigError> {
        Merged::read(args).map(|merged| merged.settings)
    }
}

/// The entry for fuzzing: whatever the bytes are, they are settings or refused in a line that they have; a comment more
/// changes nothing, and what is shown of the settings is read as the same.
pub fn fuzz(input: &[u8]) {
    match Merged::of_file(input) {
        Ok(merged) => {
            let again = Merged::of_file(&[input, b"\n# a comment\n"].concat());
            let again = again.map(|again| again.settings);
            assert_eq!(
                again.ok().as_ref(),
                Some(&merged.settings),
                "a comment more"
            );
            let shown = merged.show();
            let again = Merged::of_file(shown.as_bytes()).map(|again| again.settings);
            assert_eq!(again.ok(), Some(merged.settings), "{shown}");
        }
        Err(error) => {
            let lines = input.iter().filter(|byte| **byte == b'\n').count() + 1;
            let Origin::File {
                line: Some(line), ..
            } = error.origin
            else {
                unreachable!("what is wrong stands somewhere: {error}");
            };
            assert!((1..=lines).contains(&line), "{error}");
            assert!(!error.to_string().is_empty());
        }
    }
}

/// The service manager's directory (systemd.exec(5), the first if there are several), else the user's
/// (XDG Base Directory Specification), else the present one.
pub(super) fn default_data_dir(environment: &Environment) -> PathBuf {
    if let Some(state) = environment.get("STATE_DIRECTORY")
        && let Some(first) = std::env::split_paths(state).find(|path| path.is_absolute())
    {
        return first;
    }
    let user = environment.absolute("XDG_STATE_HOME");
    user.or_else(|| Some(environment.absolute("HOME")?.join(".local/state")))
        .map_or_else(
            || Path::new(DATA_DIR).to_owned(),
            |state| state.join("mynah"),
        )
}

/// Where there is neither.
pub(super) const DATA_DIR: &str = "mynah-data";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::config::{Advertise, Registration, keys};

    fn read(flags: &[&str], variables: &[(&str, &str)]) -> Result<Merged, ConfigError> {
        let cli = Cli::try_parse_from(["mynah", "serve"].iter().chain(flags));
        match cli.unwrap_or_else(|error| panic!("{error}")).command {
            Command::Serve(args) => {
                Merged::read_in(&args, &Environment::of(variables), Reading::First)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_flag_goes_before_the_environment_and_that_before_the_file_and_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mynah.toml");
        let text = r#"
            listen = ["tcp-room=127.0.0.1:1"]
            data_dir = "/file"
            log_level = "warn"
            group.advertise = "claimed"
            accounts.registration = "closed"
            limits.rooms = 7
            limits.frame_time = 7
            [mesh]
            name = "file"
            broadcast = "10.0.0.255"
        "#;
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        let of_file = read(&["--config", path], &[]).unwrap().settings;
        assert_eq!(of_file.listen[0].address.port(), 1);
        let accounts = of_file.accounts_path();
        assert_eq!(accounts, PathBuf::from("/file/chat_users.json"));
        assert_eq!(of_file.log_level, log::LevelFilter::Warn.into());
        assert_eq!(of_file.advertise, Advertise::Claimed);
        assert_eq!(of_file.registration, Registration::Closed);
        assert_eq!(of_file.mesh.name.as_str(), "file");
        let variables = [
            ("MYNAH_CONFIG", path),
            ("MYNAH_LISTEN", "tcp-room=127.0.0.1:3 group=[::1]:3"),
            ("MYNAH_DATA_DIR", "/variable"),
            ("MYNAH_LIMITS_ROOMS", "8"),
            ("MYNAH_LIMITS_FRAMETIME", "8"),
        ];
        let merged = read(&[], &variables).unwrap();
        assert_eq!(merged.settings.listen.len(), 2);
        assert_eq!(merged.settings.data_dir, PathBuf::from("/variable"));
        assert_eq!(merged.settings.limits.hub.rooms, 8);
        assert_eq!(merged.warnings.len(), 1);
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
        let all = read(&flags, &variables).unwrap();
        let mut flags_alone = read(&flags, &[]).unwrap().settings;
        assert_eq!(all.settings.listen.len(), 1);
        assert_eq!(all.settings.data_dir, PathBuf::from("/flag"));
        flags_alone.limits.hub.rooms = 8;
        flags_alone.limits.frame_time = std::time::Duration::from_secs(7);
        assert_eq!(all.settings, flags_alone);
        let shown = all.show();
        for (key, origin) in [
            ("listen = [\"tcp-room=127.0.0.1:2\"]", "--listen"),
            ("data_dir = \"/flag\"", "--data-dir"),
            ("isolate = true", "--isolate"),
            ("log_level = \"debug\"", "--log-level"),
            ("group.advertise = \"connection\"", "--advertise"),
            ("accounts.registration = \"open\"", "--registration"),
            ("mesh.name = \"flag\"", "--mesh-name"),
            ("mesh.broadcast = \"10.1.1.255\"", "--mesh-broadcast"),
            ("limits.rooms = 8", "MYNAH_LIMITS_ROOMS"),
            ("limits.frame_time = 7", &format!("{path}:8")),
            ("limits.name_time = 60", "default"),
        ] {
            let line = format!("\n{key}  # {origin}\n");
            assert!(shown.contains(&line), "{line} is not in {shown}");
        }
        assert!(shown.starts_with(&format!("# configuration file: {path}\n")));
    }

    #[test]
    fn who_names_the_figures_alone_has_named_no_chat() {
        let chat = Service::Chat(crate::protocol::registry::Protocol::Group);
        let metrics = ("MYNAH_LISTEN", "metrics=127.0.0.1:1");
        let defaults = Settings::default().listen.len();
        for (flags, variables, sockets, names) in [
            (&[][..], &[][..], defaults, [false, false]),
            (
                &["--listen=metrics=127.0.0.1:1"],
                &[],
                defaults + 1,
                [true, false],
            ),
            (&[], &[metrics], defaults + 1, [true, false]),
            (&["--listen=group=127.0.0.1:1"], &[metrics], 1, [true, true]),
        ] {
            let merged = read(flags, variables).unwrap();
            assert_eq!(merged.settings.listen.len(), sockets);
            assert_eq!([Service::Metrics, chat].map(|one| merged.names(one)), names);
        }
    }

    #[test]
    fn a_file_that_has_gone_is_missed_and_one_that_has_come_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (config, home) = (folder.path().join("config"), folder.path().join("home"));
        let path = config.join("mynah/mynah.toml");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let variables = [
            ("XDG_CONFIG_HOME", config.to_str().unwrap()),
            ("HOME", home.to_str().unwrap()),
        ];
        let again = |before: &Merged| {
            let environment = Environment::of(&variables);
            Merged::read_again_in(&ServeArgs::default(), before, &environment)
        };
        let without = read(&[], &variables).unwrap();
        assert_ne!(without.file.as_ref(), Some(&path));
        std::fs::write(&path, "limits.rooms = 7").unwrap();
        let with = again(&without).unwrap();
        assert_eq!(with.settings.limits.hub.rooms, 7);
        assert!(again(&with).is_ok());
        std::fs::remove_file(&path).unwrap();
        let error = again(&with).unwrap_err().to_string();
        let gone = "it was read before and is not there any more";
        assert_eq!(error, format!("{}: {gone}", path.display()));
        assert!(again(&without).is_ok());
    }

    #[test]
    fn a_server_is_found_although_its_file_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mynah.toml");
        let flag = format!("--config={}", path.display());
        let found = |text: &str, more: &[&str]| {
            std::fs::write(&path, text).unwrap();
            let flags = [&[flag.as_str()], more].concat();
            let cli = Cli::try_parse_from(["mynah", "serve"].iter().chain(&flags)).unwrap();
            let Command::Serve(args) = cli.command else {
                unreachable!()
            };
            let found = Whereabouts::read_in(&args, &Environment::of(&[])).unwrap();
            let data_dir = found.settings.data_dir.display().to_string();
            (data_dir, found.wrong.is_some(), found.is_sure)
        };
        let default = DATA_DIR.to_owned();
        for (text, data_dir, wrong, sure) in [
            ("data_dir = \"x\"", "x", false, true),
            ("limit = 3\ndata_dir = \"x\"", "x", true, true),
            ("limits = 3\ndata_dir = \"x\"", "x", true, true),
            ("data_dir = \"x\"\nlimits.rooms = 0 0", "x", true, true),
            (
                "limits.rooms = 0 0\ndata_dir = \"x\"",
                &default,
                true,
                false,
            ),
            ("data_dir = 3", &default, true, false),
            ("limits.rooms = \"x\"", &default, true, true),
        ] {
            let got = found(text, &[]);
            assert_eq!(got, (data_dir.to_owned(), wrong, sure), "{text}");
            let (data_dir, _, sure) = found(text, &["--data-dir=y"]);
            assert_eq!((data_dir.as_str(), sure), ("y", true), "{text}");
        }
        let args = ServeArgs {
            config: Some("/nonexistent/x".into()),
            ..ServeArgs::default()
        };
        assert!(Whereabouts::read_in(&args, &Environment::of(&[])).is_err());
    }

    #[test]
    fn without_a_word_the_defaults_hold() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        let merged = read(&[], &[("MYNAH_CONFIG", empty.to_str().unwrap())]).unwrap();
        assert_eq!(merged.settings, Settings::default());
        assert!(keys().all(|key| *merged.origin(key) == Origin::Default));
        assert!(read(&["--config", "/nonexistent/x"], &[]).is_err());
    }

    #[test]
    fn data_goes_where_the_service_manager_or_the_user_says() {
        let data_dir = |set: &[(&str, &str)]| default_data_dir(&Environment::of(set));
        let home = ("HOME", "/home/a");
        assert_eq!(data_dir(&[]), PathBuf::from("mynah-data"));
        let of_home = PathBuf::from("/home/a/.local/state/mynah");
        assert_eq!(data_dir(&[home]), of_home);
        let xdg = ("XDG_STATE_HOME", "/x");
        assert_eq!(data_dir(&[home, xdg]), PathBuf::from("/x/mynah"));
        let relative = ("XDG_STATE_HOME", "x");
        assert_eq!(data_dir(&[home, relative]), of_home);
        let systemd = ("STATE_DIRECTORY", "/var/lib/mynah:/var/lib/other");
        let all = data_dir(&[home, xdg, systemd]);
        assert_eq!(all, PathBuf::from("/var/lib/mynah"));
    }
}
