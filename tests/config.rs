//! The configuration file as whoever starts the server meets it.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::serve::{Client, Mynah};

fn serve(config: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["serve", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn what_is_wrong_in_the_file_is_told_with_file_line_and_key_and_ends_with_78() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.toml");
    for (text, parts) in [
        ("\nisolate = 1", &[":2: isolate: 1 ", "true or false"][..]),
        (
            "[limits]\nrooms = 0",
            &[":2: limits.rooms: 0 ", "from 1 to"],
        ),
        ("[mesh]\nport = 1", &[":2: mesh.port: ", "name, broadcast"]),
        ("[mesh", &[":1: no TOML"]),
    ] {
        fs::write(&path, text).unwrap();
        let output = serve(&path);
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert_eq!(output.stdout, b"");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("mynah: {}:", path.display())));
        for part in parts {
            assert!(said.contains(part), "{said:?} does not tell {part:?}");
        }
    }
    let output = serve(&folder.path().join("not there"));
    assert_eq!(output.status.code(), Some(78));
}

#[test]
fn the_server_does_what_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.toml");
    let text = "listen = [\"tcp-room=127.0.0.1:0\", \"tcp-room=127.0.0.1:0\"]\n";
    fs::write(&path, text).unwrap();
    let server = Mynah::serve_with(&["--config", path.to_str().unwrap()]);
    assert_eq!(server.listening.len(), 2);
    let first = server.join("alice");
    drop(first);
}

/// Whether the rows of the documentation's tables are what the program has. `MYNAH_RENEW=1` writes them anew.
#[test]
fn the_documentation_has_every_key_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let old = fs::read_to_string(&path).unwrap();
    let mut new = old.clone();
    for table in ["settings", "access", "limits"] {
        let begin = format!("<!-- table: {table} -->\n");
        let (before, rest) = new.split_once(&begin).expect("its place is marked");
        let (_, after) = rest.split_once("<!-- end -->").expect("and its end");
        new = format!("{before}{begin}{}<!-- end -->{after}", documented(table));
    }
    if std::env::var_os("MYNAH_RENEW").is_some() {
        fs::write(&path, &new).unwrap();
        return;
    }
    assert!(
        new == old,
        "docs/configuration.md is old: MYNAH_RENEW=1 cargo test --test config"
    );
}

/// The table of those keys.
fn documented(table: &str) -> String {
    let mut out = String::from(
        "| key | what it is | what it may be | a change applies | default |\n|---|---|---|---|---|\n",
    );
    for key in mynah::config::keys() {
        let mut name = key.name().to_owned();
        let own = match key.name().split_once('.').unwrap_or_default().0 {
            own @ ("access" | "limits") => own,
            _ => "settings",
        };
        if own == "access" {
            let (_, list) = name.rsplit_once('.').unwrap();
            name = format!("access.NAME.{list}");
        }
        let is_there = out.contains(&format!("| `{name}` |"));
        if own != table || is_there {
            continue;
        }
        let default = match key.default() {
            value if value.starts_with(['"', '[']) || value == "false" => format!("`{value}`"),
            value => value,
        };
        let (doc, right, reload) = (key.doc(), key.right(), key.reload());
        out += &format!("| `{name}` | {doc} | {right} | {reload} | {default} |\n");
    }
    out
}

/// `mynah` as whoever is not disturbed by a configuration of this machine.
fn mynah(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MYNAH_") {
            command.env_remove(name);
        }
    }
    command.env("MYNAH_CONFIG", "/dev/null");
    command
}

/// Exit status, standard output, standard error.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// With that on standard input.
fn run_with(command: &mut Command, input: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    fs::write(&path, input).unwrap();
    run(command.stdin(fs::File::open(&path).unwrap()))
}

const CHECK_INPUT: [&str; 4] = ["config", "check", "--config", "-"];

#[test]
fn the_default_file_is_clean_as_it_is_and_without_its_comment_signs() {
    let (status, file, said) = run(&mut mynah(&["config", "default"]));
    assert_eq!((status, said.as_str()), (Some(0), ""));
    let (status, of_file, said) = run_with(&mut mynah(&CHECK_INPUT), &file);
    assert_eq!((status, said.as_str()), (Some(0), ""));
    let without: String = file
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix('#').unwrap_or(line)))
        .collect();
    let (status, of_all, said) = run_with(&mut mynah(&CHECK_INPUT), &without);
    assert_eq!((status, said.as_str()), (Some(0), ""));
    // The same but for where it comes from, and where the data is on this machine.
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.map(|line| line.rsplit_once("  # ").unwrap().0.to_owned());
        values
            .filter(|line| !line.starts_with("data_dir ="))
            .collect()
    };
    assert_eq!(values(&of_file), values(&of_all));
    assert_eq!(values(&of_file).len() + 1, mynah::config::keys().count());
    assert!(
        of_file
            .lines()
            .skip(1)
            .all(|line| line.ends_with("  # default"))
    );
    let from_input = of_all.lines().skip(1);
    assert!(from_input.clone().count() > 60);
    for line in from_input {
        assert!(line.contains("  # standard input:"), "{line}");
    }
    // What is printed is a file again.
    let (status, again, said) = run_with(&mut mynah(&CHECK_INPUT), &of_all);
    assert_eq!((status, said.as_str()), (Some(0), ""));
    assert_eq!(values(&again), values(&of_all));
}

#[test]
fn what_holds_is_printed_with_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mynah.toml");
    fs::write(
        &path,
        "\nisolate = true\n[limits]\nrooms = 5\nframe_time = 5\n",
    )
    .unwrap();
    let path = path.to_str().unwrap();
    let flags = [
        "config",
        "check",
        "--listen",
        "group=127.0.0.1:0",
        "--log-level=warn",
    ];
    let mut command = mynah(&flags);
    command
        .env("MYNAH_CONFIG", path)
        .env("MYNAH_LIMITS_ROOMS", "7")
        .env("MYNAH_LISTEN", "tcp-room=127.0.0.1:0")
        .env("MYNAH_LIMIT_ROOMS", "9");
    let (status, shown, said) = run(&mut command);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(
        said,
        "mynah: warning: MYNAH_LIMIT_ROOMS: no key has this variable; did you mean MYNAH_LIMITS_ROOMS?\n"
    );
    let file = |line| format!("{path}:{line}");
    for (value, origin) in [
        ("listen = [\"group=127.0.0.1:0\"]", "--listen".to_owned()),
        ("log_level = \"warn\"", "--log-level".to_owned()),
        ("isolate = true", file(2)),
        ("limits.rooms = 7", "MYNAH_LIMITS_ROOMS".to_owned()),
        ("limits.frame_time = 5", file(5)),
        ("limits.name_time = 60", "default".to_owned()),
    ] {
        let line = format!("\n{value}  # {origin}\n");
        assert!(shown.contains(&line), "{line} is not in {shown}");
    }
    let (status, again, said) = run_with(&mut mynah(&CHECK_INPUT), &shown);
    assert_eq!((status, said.as_str()), (Some(0), ""));
    assert!(again.contains("\nlimits.rooms = 7  # standard input:"));
}

#[test]
fn the_file_is_found_where_such_files_are_and_a_named_one_goes_before() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, rooms) in [
        ("home/.config/mynah/mynah.toml", 1),
        ("xdg/mynah/mynah.toml", 2),
        ("variable.toml", 3),
        ("flag.toml", 4),
    ] {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), format!("limits.rooms = {rooms}\n")).unwrap();
    }
    let flag = at("flag.toml");
    let mut command = mynah(&["config", "check"]);
    command
        .env_remove("MYNAH_CONFIG")
        .env_remove("XDG_CONFIG_HOME");
    let finds = |command: &mut Command, name: &str, rooms: u32| {
        let (status, shown, said) = run(command);
        assert_eq!(status, Some(0), "{said}");
        let line = format!("\nlimits.rooms = {rooms}  # {}:1\n", at(name).display());
        assert!(shown.contains(&line), "{shown}");
    };
    command.env("HOME", at("home"));
    finds(&mut command, "home/.config/mynah/mynah.toml", 1);
    command.env("XDG_CONFIG_HOME", at("xdg"));
    finds(&mut command, "xdg/mynah/mynah.toml", 2);
    command.env("MYNAH_CONFIG", at("variable.toml"));
    finds(&mut command, "variable.toml", 3);
    command.arg("--config").arg(flag);
    finds(&mut command, "flag.toml", 4);
}

#[test]
fn a_file_that_is_named_and_not_there_or_cannot_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let fails = |command: &mut Command, told: &str| {
        let (status, shown, said) = run(command);
        assert_eq!((status, shown.as_str()), (Some(78), ""), "{said}");
        assert!(said.contains(told), "{said}");
        assert!(
            said.starts_with("mynah: ") && said.lines().count() == 1,
            "{said}"
        );
    };
    let missing = folder.path().join("missing.toml");
    let missing = missing.to_str().unwrap();
    let told = format!("{missing}: cannot be read: No such file");
    for words in [["config", "check"].as_slice(), &["serve"]] {
        fails(mynah(words).args(["--config", missing]), &told);
        fails(mynah(words).env("MYNAH_CONFIG", missing), &told);
    }
    let directory = folder.path().to_str().unwrap();
    let told = format!("{directory}: cannot be read: Is a directory");
    fails(
        &mut mynah(&["config", "check", "--config", directory]),
        &told,
    );

    // One that is found and may not be read, by somebody who is not root.
    let xdg = folder.path().join("xdg");
    fs::create_dir_all(xdg.join("mynah")).unwrap();
    let closed = xdg.join("mynah/mynah.toml");
    fs::write(&closed, "isolate = true\n").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let program = folder.path().join("mynah");
    fs::copy(env!("CARGO_BIN_EXE_mynah"), &program).unwrap();
    for open in [folder.path(), &xdg, &xdg.join("mynah"), &program] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(&program);
    command.args(["config", "check"]).stdin(Stdio::null());
    command
        .env("XDG_CONFIG_HOME", &xdg)
        .env_remove("MYNAH_CONFIG");
    if rustix::process::geteuid().is_root() {
        command.uid(65534);
    }
    let told = format!("{}: cannot be read: Permission denied", closed.display());
    fails(&mut command, &told);
}

#[test]
fn what_is_wrong_is_told_where_it_stands() {
    let wrong = |input: &str, variables: &[(&str, &str)], flags: &[&str], told: &str| {
        let mut command = mynah(&CHECK_INPUT);
        command.args(flags).envs(variables.iter().copied());
        let (status, shown, said) = run_with(&mut command, input);
        assert_eq!((status, shown.as_str()), (Some(78), ""), "{said}");
        assert_eq!(said.trim_end(), format!("mynah: {told}"));
    };
    wrong(
        "[limits]\nstall_time = \"30s\"\n",
        &[],
        &[],
        "standard input:2: limits.stall_time: \"30s\" cannot be; right is: a whole number of seconds from 1 to 3600, \
         without a unit and without quotes: 30",
    );
    wrong(
        "",
        &[("MYNAH_LIMITS_ROOMS", "many")],
        &[],
        "MYNAH_LIMITS_ROOMS: limits.rooms: \"many\" cannot be; right is: a whole number from 1 to 1000000, without a \
         unit and without quotes",
    );
    wrong(
        "",
        &[],
        &["--listen", "udp-mesh=[::1]:5238"],
        "--listen: listen: [\"udp-mesh=[::1]:5238\"] cannot be; right is: an IPv4 address for udp-mesh, not \
         [::1]:5238: it broadcasts, which IPv6 does not have",
    );
    wrong(
        "limits.output_bytes = 4194304\n",
        &[("MYNAH_LIMITS_MEMBERS_PER_ROOM", "100000")],
        &[],
        "standard input:1: limits.output_bytes: 4194304 cannot be; right is: something that goes with the others; \
         limits.output_bytes is at least 12745728 with these limits.members_per_room, limits.backlog_bytes, \
         limits.mailing_bytes",
    );
}

#[test]
fn a_server_does_what_its_environment_says_and_warns_of_what_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = mynah(&["serve"]);
    command
        .env("MYNAH_LISTEN", "tcp-room=127.0.0.1:0 group=127.0.0.1:0")
        .env("MYNAH_LISTENS", "udp-room=127.0.0.1:0")
        .env("MYNAH_DATA_DIR", folder.path())
        .stderr(fs::File::create(&log).unwrap());
    let server = Mynah::start(command);
    assert_eq!(server.listening.len(), 2);
    drop(server.join("alice"));
    assert!(server.terminate().success());
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.contains("MYNAH_LISTENS: no key has this variable; did you mean MYNAH_LISTEN?"),
        "{log}"
    );
}

#[test]
fn the_help_tells_where_settings_come_from() {
    for words in [
        ["serve", "--help"].as_slice(),
        &["config", "check", "--help"],
    ] {
        let (status, shown, _) = run(&mut mynah(words));
        assert_eq!(status, Some(0));
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        for place in [
            "--config FILE, $MYNAH_CONFIG, $XDG_CONFIG_HOME/mynah/mynah.toml",
            "/etc/mynah/mynah.toml",
        ] {
            assert!(shown.contains(place), "{shown}");
        }
    }
}

#[test]
fn two_servers_do_not_share_their_accounts() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let flags = ["--data-dir", data_dir, "--listen", "udp-login=127.0.0.1:0"];
    let first = Mynah::serve_with(&flags);
    let second = mynah(&["serve"]).args(flags).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(
        said.contains(data_dir) && said.contains("another server"),
        "{said}"
    );
    assert!(first.terminate().success());
    assert!(Mynah::serve_with(&flags).terminate().success());
}

#[test]
fn an_account_keeps_its_name_where_nobody_can_log_in_either() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat_users.json");
    fs::write(&file, r#"{"ann":"some password"}"#).unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let flags = ["--data-dir", data_dir, "--listen", "tcp-room=127.0.0.1:0"];
    let server = Mynah::serve_with(&flags);
    let mut refused = Client::connect(server.address());
    refused.join("Ann");
    assert_eq!(refused.read_to_end(), [0]);
    server.join("bob");
    assert!(server.terminate().success());
    let left = fs::read_to_string(&file).unwrap();
    assert_eq!(
        left, r#"{"ann":"some password"}"#,
        "nothing of it is changed"
    );
}
