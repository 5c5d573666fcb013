//! The configuration file as whoever starts the server meets it.

mod support;

use std::fs;
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

#[test]
fn every_key_stands_in_the_documentation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let text = fs::read_to_string(path).unwrap();
    let documented: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    for name in mynah::config::names() {
        assert!(documented.contains(&name), "{name} is not documented");
    }
    for name in documented {
        assert!(
            mynah::config::names().any(|key| key == name),
            "{name} is documented, and no key"
        );
    }
}

#[test]
fn two_servers_do_not_share_their_accounts() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let flags = ["--data-dir", data_dir, "--listen", "udp-login=127.0.0.1:0"];
    let first = Mynah::serve_with(&flags);
    let second = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .arg("serve")
        .args(flags)
        .stdin(Stdio::null())
        .output()
        .unwrap();
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
