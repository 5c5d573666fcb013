//! The control socket of a real server: who may come there, what can be asked, and that nobody who chats waits for it.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use mynah::protocol::registry::Protocol;
use mynah::reactor::raise_descriptor_limit;
use rustix::process::Signal;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use support::serve::{Client, Mynah, reserve};
use support::{PATIENCE, frames, until, wait_for_exit};
use tempfile::TempDir;

/// A server with three protocols and a data directory of its own.
struct House {
    server: Mynah,
    folder: TempDir,
}

impl House {
    fn new() -> House {
        let folder = tempfile::tempdir().unwrap();
        let server = House::serve(folder.path(), &[]);
        House { server, folder }
    }

    fn serve(folder: &Path, more: &[&str]) -> Mynah {
        let data = folder.join("data");
        let mut arguments = vec!["--data-dir", data.to_str().unwrap()];
        for listen in ["tcp-room", "group", "udp-room"] {
            arguments.extend(["--listen", listen_at(listen)]);
        }
        arguments.extend(more);
        Mynah::serve_with(&arguments)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn socket(&self) -> PathBuf {
        self.data().join("mynah.sock")
    }

    fn ask(&self, line: &str) -> Vec<Value> {
        ask(&self.socket(), line)
    }

    /// The one line of an answer.
    fn answer(&self, line: &str) -> Value {
        let mut lines = self.ask(line);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }

    fn ctl(&self, words: &[&str]) -> Output {
        ctl(&self.data(), words)
    }

    fn group(&self, name: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.server.at(1)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(&frames::enter(Protocol::Group, name))
            .unwrap();
        read_until(&mut stream, "\r\n");
        stream
    }

    fn udp_room(&self, name: &str) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(self.server.at(2)).unwrap();
        socket.send(format!("UN| {name}").as_bytes()).unwrap();
        hear_until(&socket, name);
        socket
    }
}

fn listen_at(name: &str) -> &'static str {
    match name {
        "tcp-room" => "tcp-room=127.0.0.1:0",
        "group" => "group=127.0.0.1:0",
        _ => "udp-room=127.0.0.1:0",
    }
}

/// What a line is answered with.
fn ask(path: &Path, line: &str) -> Vec<Value> {
    let mut stream = connect(path);
    // It may have been answered, and closed, before all is sent.
    let _ = stream.write_all(format!("{line}\n").as_bytes());
    lines(stream)
}

fn connect(path: &Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn lines(stream: UnixStream) -> Vec<Value> {
    let lines = BufReader::new(stream).lines();
    lines
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect()
}

fn ctl(data: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["ctl", "--data-dir"])
        .arg(data)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{err}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output, status: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(status), "{text}");
    text
}

fn read_until(stream: &mut TcpStream, what: &str) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&text).contains(what) {
        let count = stream.read(&mut byte).unwrap();
        assert_eq!(count, 1, "{what} comes before the end");
        text.extend(byte);
    }
    String::from_utf8(text).unwrap()
}

fn hear_until(socket: &UdpSocket, what: &str) -> String {
    let mut buffer = [0; 4096];
    loop {
        let count = socket.recv(&mut buffer).unwrap();
        let text = String::from_utf8(buffer[..count].to_vec()).unwrap();
        if text.contains(what) {
            return text;
        }
    }
}

#[test]
fn the_socket_is_for_its_owner_alone_and_goes_with_the_server() {
    let house = House::new();
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&house.socket()), 0o600);
    assert_eq!(mode(&house.data()), 0o700);
    let House { server, folder } = house;
    let socket = folder.path().join("data/mynah.sock");
    assert!(server.terminate().success());
    assert!(!socket.exists());
    // A killed one leaves its socket, and the next replaces it.
    let mut server = House::serve(folder.path(), &[]);
    server.signal(Signal::KILL);
    wait_for_exit(&mut server.child);
    assert!(socket.exists());
    let said = err(&ctl(&folder.path().join("data"), &["members"]), 1);
    assert!(
        said.contains("no server listens at") && said.contains("mynah.sock"),
        "{said}"
    );
    let _server = House::serve(folder.path(), &[]);
    assert_eq!(mode(&socket), 0o600);
    assert_eq!(ask(&socket, r#"{"do":"members"}"#)[0]["count"], 0);
}

#[test]
fn of_two_servers_with_one_directory_the_first_has_the_socket() {
    let house = House::new();
    let second = House::serve(house.folder.path(), &[]);
    let status = house.ask(r#"{"do":"status"}"#);
    assert_eq!(status[0]["pid"], house.server.child.id());
    // Its own socket, elsewhere, it has; but nothing that is kept is its to write.
    let path = house.folder.path().join("other.sock");
    let third = House::serve_control(house.folder.path(), &path);
    let status = ask(&path, r#"{"do":"status"}"#);
    assert_eq!(status[0]["pid"], third.child.id());
    let ban = ask(&path, r#"{"do":"ban","address":"192.0.2.7"}"#);
    assert_eq!(ban[0]["done"], true);
    assert!(
        ban[0]["note"]
            .as_str()
            .unwrap()
            .contains("as long as this server")
    );
    let account = ask(&path, r#"{"do":"account-add","name":"ann","password":"x"}"#);
    assert_eq!(account[0]["kind"], "failed");
    // Who asks for a path where somebody lives does not start.
    let config = control_config(house.folder.path(), &path);
    let output = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["serve", "--listen", "tcp-room=127.0.0.1:0", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let said = err(&output, 1);
    assert!(
        said.contains("other.sock") && said.contains("in use"),
        "{said}"
    );
    assert!(path.exists());
    assert!(second.terminate().success());
    assert!(house.socket().exists(), "it was not the second's to remove");
}

impl House {
    /// One with a control socket that is asked for.
    fn serve_control(folder: &Path, path: &Path) -> Mynah {
        let config = control_config(folder, path);
        House::serve(folder, &["--config", config.to_str().unwrap()])
    }
}

fn control_config(folder: &Path, path: &Path) -> PathBuf {
    let config = folder.join("control.toml");
    fs::write(&config, format!("control = {path:?}\n")).unwrap();
    config
}

#[test]
fn a_path_that_is_too_long_is_told_and_no_reason_not_to_serve() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(120));
    let server = House::serve(&long, &[]);
    let data = long.join("data");
    let said = err(&ctl(&data, &["members"]), 1);
    assert!(
        said.contains("107 at the most") && said.contains("--control"),
        "{said}"
    );
    assert!(!data.join("mynah.sock").exists());
    server.join("ann");
}

#[test]
fn members_of_all_protocols_are_listed_spoken_to_and_put_out() {
    let house = House::new();
    let mut ann = house.server.join("ann");
    let mut ben = house.group("ben");
    let cyd = house.udp_room("cyd");
    let text = out(&house.ctl(&["members"]));
    let first: Vec<&str> = text
        .lines()
        .map(|l| l.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(first, ["NAME", "ann", "ben", "cyd"], "{text}");
    let rows = house.ask(r#"{"do":"members"}"#);
    let address = ann.stream.local_addr().unwrap().to_string();
    assert_eq!(rows[0]["address"], address);
    let protocols: Vec<_> = rows[..3]
        .iter()
        .map(|row| row["protocol"].as_str().unwrap())
        .collect();
    assert_eq!(protocols, ["tcp-room", "group", "udp-room"]);
    assert_eq!(
        (&rows[0]["lag"], &rows[2]["lag"]),
        (&0.into(), &Value::Null)
    );
    assert_eq!(rows[3]["count"], 3);
    assert_eq!(out(&house.ctl(&["rooms"])), "ROOM   MEMBERS\nlobby  3\n");
    out(&house.ctl(&["say", "tea", "at", "four"]));
    assert_eq!(ann.hear_text(), "tea at four");
    read_until(&mut ben, "tea at four");
    hear_until(&cyd, "tea at four");
    // By name; the others see it leave.
    assert_eq!(
        out(&house.ctl(&["kick", "BEN", "enough", "is", "enough"])),
        "kicked 1\n"
    );
    let said = read_until(&mut ben, "enough is enough");
    assert!(said.contains("kicked"), "{said}");
    let mut rest = Vec::new();
    ben.read_to_end(&mut rest).unwrap();
    hear_until(&cyd, "ben left");
    // By address and port.
    let at = cyd.local_addr().unwrap().to_string();
    assert_eq!(out(&house.ctl(&["kick", "--address", &at])), "kicked 1\n");
    hear_until(&cyd, "kicked");
    assert_eq!(house.ask(r#"{"do":"members"}"#).len(), 2);
    // In a room, and nobody.
    assert_eq!(
        err(&house.ctl(&["kick", "ann", "--room", "den"]), 3)
            .lines()
            .count(),
        1
    );
    assert_eq!(
        out(&house.ctl(&["kick", "ann", "--room", "LOBBY"])),
        "kicked 1\n"
    );
    ann.read_to_end();
    let said = err(&house.ctl(&["kick", "ann"]), 3);
    assert!(said.contains("\"ann\""), "{said}");
    assert_eq!(
        err(&house.ctl(&["kick", "--address", "192.0.2.7"]), 3)
            .lines()
            .count(),
        1
    );
    // The same name again: kicked is not banned.
    house.server.join("ann");
}

#[test]
fn who_is_banned_stays_out_over_a_restart_until_it_is_taken_back() {
    let house = House::new();
    let mut ann = house.server.join("ann");
    let sure = err(&house.ctl(&["ban", "127.0.0.1"]), 1);
    assert!(sure.contains("--force"), "{sure}");
    assert!(!house.data().join("bans.json").exists());
    let text = out(&house.ctl(&["ban", "127.0.0.1/8", "--force", "--for", "1h", "no", "more"]));
    assert!(
        text.contains("banned 127.0.0.0/8 for 1h; 1 were in"),
        "{text}"
    );
    let rest = ann.read_to_end();
    assert!(
        String::from_utf8_lossy(&rest).contains("no more"),
        "it is told why"
    );
    // It is on the disk by now.
    let kept = fs::read_to_string(house.data().join("bans.json")).unwrap();
    assert!(
        kept.contains("127.0.0.0/8") && kept.contains("no more"),
        "{kept}"
    );
    let refused = |server: &Mynah| {
        let mut client = Client::connect(server.address());
        client.join("ann");
        client.read_to_end()
    };
    assert_eq!(refused(&house.server), b"");
    let House { mut server, folder } = house;
    server.signal(Signal::KILL);
    wait_for_exit(&mut server.child);
    let server = House::serve(folder.path(), &[]);
    assert_eq!(refused(&server), b"");
    let data = folder.path().join("data");
    let text = out(&ctl(&data, &["bans"]));
    assert!(
        text.contains("127.0.0.0/8") && text.contains("no more"),
        "{text}"
    );
    let part = err(&ctl(&data, &["unban", "127.0.0.1"]), 3);
    assert!(
        part.contains("127.0.0.0/8 is, which it is part of"),
        "{part}"
    );
    out(&ctl(&data, &["unban", "127.0.0.0/8"]));
    server.join("ann");
    assert_eq!(
        out(&ctl(&data, &["bans"])),
        "ADDRESS  SINCE  UNTIL  REASON\n"
    );
    drop(server);
    // Half a file of bans would let in whoever stands in the other half.
    fs::write(data.join("bans.json"), "{\"version\": 1,\n \"bans\": [{}").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["serve", "--listen", "tcp-room=127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    let said = err(&output, 78);
    assert!(
        said.contains("bans.json:2:12: missing field `address`"),
        "{said}"
    );
}

#[test]
fn who_is_banned_is_told_no_figures_either() {
    let folder = tempfile::tempdir().unwrap();
    let server = House::serve(folder.path(), &["--listen", "metrics=127.0.0.1:0"]);
    let figures = server.at(3);
    let ask = |source: [u8; 4]| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect(&figures.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = String::new();
        // It may be closed already.
        let _ = stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n");
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    assert!(ask([127, 0, 0, 2]).starts_with("HTTP/1.1 200 OK"));
    let data = folder.path().join("data");
    out(&ctl(&data, &["ban", "127.0.0.2", "--force"]));
    assert_eq!(ask([127, 0, 0, 2]), "");
    let answer = ask([127, 0, 0, 1]);
    let counted = "\nmynah_turned_away_total{reason=\"banned\"} 1\n";
    assert!(answer.contains(counted), "{answer}");
}

#[test]
fn a_name_that_is_only_kept_is_no_member_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let more = ["tcrp", "ucrp", "metrics"].map(|service| format!("--listen={service}=127.0.0.1:0"));
    let server = House::serve(folder.path(), &more.each_ref().map(String::as_str));
    let data = folder.path().join("data");
    let count = || {
        let members = out(&ctl(&data, &["members"])).lines().count() - 1;
        let rooms = out(&ctl(&data, &["rooms"]));
        let tea = rooms.lines().find(|line| line.starts_with("tea ")).unwrap();
        let status = out(&ctl(&data, &["status"]));
        let figures = out(&ctl(&data, &["metrics"]));
        let sample = "mynah_members{protocol=\"ucrp\"} ";
        let sample = figures.lines().find_map(|line| line.strip_prefix(sample));
        let last = |line: &str| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
        let total = status
            .lines()
            .find(|line| line.starts_with("members "))
            .unwrap();
        [members, last(tea), last(total), last(sample.unwrap())]
    };
    let tcrp = TcpStream::connect(server.at(3)).unwrap();
    let token = reserve(tcrp, frames::CREATE, "tea", "mio");
    assert_eq!(count(), [0; 4]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let shown = frames::ucrp("tea", &token, "__REGISTER__");
    socket.send_to(&shown, server.at(4)).unwrap();
    until("the token was shown", || (count()[0] == 1).then_some(()));
    assert_eq!(count(), [1; 4]);
}

#[test]
fn a_disk_that_takes_no_ban_is_told_and_the_ban_holds() {
    let house = House::new();
    fs::create_dir(house.data().join("bans.json")).unwrap();
    let answer = house.answer(r#"{"do":"ban","address":"192.0.2.7"}"#);
    assert_eq!(answer["kind"], "failed");
    let why = answer["error"].as_str().unwrap();
    assert!(why.contains("until this server ends"), "{why}");
    assert_eq!(house.ask(r#"{"do":"bans"}"#)[0]["address"], "192.0.2.7");
    let lifted = err(&house.ctl(&["unban", "192.0.2.7"]), 1);
    assert!(lifted.contains("lifted until this server ends"), "{lifted}");
    assert!(err(&house.ctl(&["unban", "192.0.2.7"]), 3).contains("is not banned"));
}

#[test]
fn what_a_ban_comes_to_is_said() {
    let house = House::new();
    let text = out(&house.ctl(&["ban", "192.0.2.7/24", "spam", "--for", "1h"]));
    assert_eq!(
        text,
        "banned 192.0.2.0/24 for 1h; 0 were in and are not any more; all of 192.0.2.0/24 is banned\n"
    );
    let text = out(&house.ctl(&["ban", "192.0.2.0/24"]));
    assert!(!text.contains("all of"), "as it was written: {text}");
    assert_eq!(
        out(&house.ctl(&["unban", "192.0.2.9/24"])),
        "192.0.2.0/24 is banned no more\n"
    );
    let none = err(&house.ctl(&["ban", "192.0.2.7", "--for", "0s"]), 2);
    assert!(none.contains("--for 0s"), "{none}");
    let wide = err(&house.ctl(&["ban", "::ffff:0.0.0.0/90"]), 2);
    assert!(wide.contains("0.0.0.0/0"), "{wide}");
    // One that is over is none.
    out(&house.ctl(&["ban", "192.0.2.7", "--for", "1s"]));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(out(&house.ctl(&["bans"])).lines().count(), 1);
    let none = err(&house.ctl(&["unban", "192.0.2.7"]), 3);
    assert!(none.contains("192.0.2.7 is not banned"), "{none}");
}

#[test]
fn the_server_is_told_what_to_do_and_tells_what_it_is() {
    let house = House::new();
    let mut ann = house.server.join("ann");
    let status = &house.ask(r#"{"do":"status"}"#)[0];
    assert_eq!(
        (&status["members"], &status["draining"]),
        (&1.into(), &false.into())
    );
    assert_eq!(status["listening"].as_array().unwrap().len(), 4);
    assert!(out(&house.ctl(&["status"])).contains("connections  1"));
    let metrics = out(&house.ctl(&["metrics"]));
    assert!(metrics.contains("\nmynah_rooms 1\n"), "{metrics}");
    assert_eq!(house.answer(r#"{"do":"metrics"}"#)["done"], true);
    let reloaded = out(&house.ctl(&["reload"]));
    assert_eq!(reloaded, "reloaded: nothing has changed\n");
    ann.say("still here");
    assert_eq!(ann.hear_text(), "still here");
    // A drain waits for her, and the socket goes on answering.
    out(&house.ctl(&["drain"]));
    assert!(ann.hear_text().contains("stops"), "everybody is told");
    assert_eq!(house.ask(r#"{"do":"status"}"#)[0]["draining"], true);
    assert_eq!(house.answer(r#"{"do":"reload"}"#)["kind"], "failed");
    let said = out(&house.ctl(&["stop"]));
    assert_eq!(said, "stopping\n");
    let House { mut server, .. } = house;
    assert!(wait_for_exit(&mut server.child).success());
}

#[test]
fn a_server_is_found_and_tells_what_is_wrong_although_its_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mynah.toml");
    let config = file.to_str().unwrap();
    std::fs::write(&file, "").unwrap();
    let server = House::serve(folder.path(), &["--config", config]);
    let house = House { server, folder };
    let with_file = |words: &[&str]| house.ctl(&[&["--config", config], words].concat());
    // What is different is told to whoever asked, and not only to the log.
    std::fs::write(&file, "limits.rooms = 7\nmesh.name = \"mina\"\n").unwrap();
    assert_eq!(
        out(&with_file(&["reload"])),
        "reloaded\nmesh.name: \"mynah\" -> \"mina\" needs a restart\nlimits.rooms: 4096 -> 7\n"
    );
    std::fs::write(&file, "limits.rooms = 0 0\n").unwrap();
    let refused = err(&with_file(&["reload"]), 1);
    let wrong = format!("mynah: {config}:1: ");
    assert!(refused.starts_with(&wrong), "{refused}");
    let why = format!("everything stays as it is: {config}:1: ");
    assert!(refused.contains(&why), "{refused}");
    assert!(out(&with_file(&["status"])).contains("listening"));
    // Nothing is changed where only a guess says that it is meant.
    let guessed = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["account", "delete", "ann", "--config", config])
        .output()
        .unwrap();
    assert!(err(&guessed, 78).contains("--data-dir DIR says"));
    std::fs::remove_file(&file).unwrap();
    let gone = err(&house.ctl(&["reload"]), 1);
    assert!(gone.contains(config), "{gone}");
}

#[test]
fn what_cannot_be_understood_is_answered_and_harms_nobody() {
    let house = House::new();
    let mut ann = house.server.join("ann");
    for (line, says) in [
        ("", "a request is a line like"),
        ("hello", "a request is a line like"),
        (
            r#"{"do":"dance"}"#,
            "nothing is called \"dance\"; there is: members",
        ),
        (r#"{"do":"kick"}"#, "needs a \"name\" or an \"address\""),
        (r#"{"do":"members","extra":1}"#, "unknown field `extra`"),
        (r#"{"do":"ban","address":"bob"}"#, "\"bob\" is no address"),
    ] {
        let answer = house.answer(line);
        assert_eq!(answer["kind"], "request", "{line}");
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(says), "{line}: {error}");
    }
    let long = house.answer(&format!("{{\"do\":\"{}\"}}", "x".repeat(100_000)));
    assert!(
        long["error"].as_str().unwrap().contains("32768 bytes"),
        "{long}"
    );
    // Half a line is one if no more will come.
    let mut half = connect(&house.socket());
    half.write_all(br#"{"do":"rooms"}"#).unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    assert_eq!(lines(half).len(), 2);
    let nothing = connect(&house.socket());
    nothing.shutdown(Shutdown::Write).unwrap();
    assert_eq!(lines(nothing).len(), 0);
    // In pieces, and with more behind it.
    let mut pieces = connect(&house.socket());
    for piece in [&b"{\"do\":"[..], b"\"rooms\"}\n{\"do\":\"stop\"}\n"] {
        pieces.write_all(piece).unwrap();
    }
    assert_eq!(lines(pieces).len(), 2, "one question is one connection");
    for (words, says) in [
        (&["kick", "a b"][..], "no name"),
        (&["kick", "-a", "bob"], "no address"),
        (&["ban", "10.0.0.0/33"], "no prefix"),
        (&["ban", "10.0.0.7", "--for", "soon"], "--for"),
        (&["say"], "TEXT"),
        (&["dance"], "dance"),
    ] {
        let said = err(&house.ctl(words), 2);
        assert!(said.contains(says), "{words:?}: {said}");
    }
    ann.say("nobody noticed");
    assert_eq!(ann.hear_text(), "nobody noticed");
}

#[test]
fn a_thousand_lines_reach_a_slow_reader_and_a_hundred_who_hold_their_places_keep_nobody_out() {
    let _ = raise_descriptor_limit();
    let house = House::new();
    let crowd: Vec<Client> = (0..1000)
        .map(|n| house.server.join(&format!("m{n}")))
        .collect();
    // Who holds its place and says nothing, or half of something.
    let idle: Vec<UnixStream> = (0..100)
        .map(|n| {
            let mut stream = connect(&house.socket());
            if n % 2 == 0 {
                let _ = stream.write_all(b"{\"do\":");
            }
            stream
        })
        .collect();
    // Who asks for all and reads nothing yet.
    let mut slow = connect(&house.socket());
    slow.write_all(b"{\"do\":\"members\"}\n").unwrap();
    let rows = house.ask(r#"{"do":"members"}"#);
    assert_eq!(rows.len(), 1001);
    assert_eq!(rows[1000]["count"], 1000);
    let mut ann = house.server.join("ann");
    ann.say("we talk on");
    assert_eq!(ann.hear_text(), "we talk on");
    let text = out(&house.ctl(&["members"]));
    assert_eq!(text.lines().count(), 1002);
    let rows = lines(slow);
    assert_eq!(rows.len(), 1001, "all of it was kept for the slow one");
    drop((idle, crowd));
    until("all have left", || {
        let rows = house.ask(r#"{"do":"rooms"}"#);
        (rows[0]["members"] == 1).then_some(())
    });
}

#[test]
fn a_client_is_told_when_the_socket_is_not_its_own() {
    // Root may go anywhere: then there is nobody to be kept out.
    if !support::or_skip(
        rustix::process::geteuid().is_root(),
        "root, to become somebody else",
    ) {
        return;
    }
    let house = House::new();
    fs::set_permissions(house.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(house.data(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = house.socket();
    let path = socket.to_str().unwrap();
    let other = |command: &mut Command| {
        use std::os::unix::process::CommandExt;
        command.uid(65534).gid(65534).output()
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
    command
        .args(["ctl", "--control", path, "stop"])
        .current_dir("/");
    let output = match other(&mut command) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return,
        output => output.unwrap(),
    };
    let said = err(&output, 1);
    assert!(
        said.contains("permission denied") && said.contains("user 0"),
        "{said}"
    );
    // Even with the mode widened, the other end looks who it is.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    let output = other(&mut command).unwrap();
    err(&output, 1);
    house.server.join("ann");
}
