//! The status page as a browser shows it: headless Chromium on a real server.

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use browser::Browser;
use rustix::process::Signal;
use serde_json::json;
use support::serve::{Client, Mynah};
use support::{PATIENCE, have, receive, until};
use tempfile::TempDir;

/// A server for members of two protocols, and its page.
struct Server {
    mynah: Mynah,
    _data: TempDir,
}

impl Server {
    fn start() -> Server {
        Server::start_at("127.0.0.1:0".parse().unwrap())
    }

    /// With its page there.
    fn start_at(metrics: SocketAddr) -> Server {
        let data = tempfile::tempdir().unwrap();
        let metrics = format!("metrics={metrics}");
        let mynah = Mynah::serve_with(&[
            "--listen",
            &metrics,
            "--listen",
            "tcp-room=127.0.0.1:0",
            "--listen",
            "udp-room=127.0.0.1:0",
            "--listen",
            "group=127.0.0.1:0",
            "--data-dir",
            data.path().to_str().unwrap(),
        ]);
        Server { mynah, _data: data }
    }

    fn at(&self, service: &str) -> SocketAddr {
        let begin = format!("listening {service} ");
        let place = |line: &String| line.starts_with(&begin);
        self.mynah
            .at(self.mynah.listening.iter().position(place).unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}/", self.at("metrics"))
    }

    fn join(&self, name: &str) -> Client {
        let mut client = Client::connect(self.at("tcp-room"));
        client.join(name);
        assert_eq!(client.read_verdict(), 1, "{name} is let in");
        client.read_history();
        client
    }

    /// A member without a connection.
    fn join_by_datagram(&self, name: &str) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let greeting = format!("UN| {name}");
        socket
            .send_to(greeting.as_bytes(), self.at("udp-room"))
            .unwrap();
        receive(&socket);
        socket
    }
}

/// The rows of a table of the page, each with its cells.
fn rows(browser: &mut Browser, id: &str) -> Vec<Vec<String>> {
    let rows = browser.evaluate(&format!(
        "[...document.getElementById('{id}').rows].map(r => [...r.cells].map(c => c.textContent))"
    ));
    serde_json::from_value(rows).unwrap()
}

fn row(browser: &mut Browser, id: &str, first: &str) -> Option<Vec<String>> {
    let rows = rows(browser, id);
    rows.into_iter().find(|row| row[0] == first)
}

/// Whether that row gets to be so.
fn expect_row(browser: &mut Browser, id: &str, expected: &[&str]) {
    until(&format!("{expected:?}"), || {
        let row = row(browser, id, expected[0])?;
        (row[..expected.len()] == *expected).then_some(())
    });
}

const LIVE: &str = "document.body.dataset.state === 'live'";
const GONE: &str = "document.body.dataset.state === 'gone'";

/// Nothing went wrong in the browser, and nobody but the server was asked for anything.
fn expect_no_complaints(browser: &mut Browser, server: &str, allowed: &str) {
    for method in ["Runtime.exceptionThrown", "Runtime.consoleAPICalled"] {
        assert_eq!(browser.events(method), [json!(null); 0], "{method}");
    }
    for entry in browser.events("Log.entryAdded") {
        let text = entry["entry"]["text"].as_str().unwrap().to_owned();
        assert!(!allowed.is_empty() && text.contains(allowed), "{entry}");
    }
    let requests = browser.events("Network.requestWillBeSent");
    assert!(!requests.is_empty());
    for request in requests {
        let url = request["request"]["url"].as_str().unwrap();
        assert!(url.starts_with(server) || url == "data:,", "{url}");
    }
}

#[test]
fn the_figures_are_right_and_move() {
    if !have("chromium") {
        return;
    }
    let server = Server::start();
    let mut ann = server.join("ann");
    let _ben = server.join("ben");
    let _cyd = server.join_by_datagram("cyd");
    let mut browser = Browser::start();
    browser.open(&server.url());
    browser.expect(LIVE);
    for expected in [
        &["tcp-room", "2", "2"][..],
        &["udp-room", "–", "1"],
        &["group", "0", "0"],
    ] {
        expect_row(&mut browser, "protocols", expected);
    }
    expect_row(
        &mut browser,
        "figures",
        &["Members", "3, tcp-room 2, udp-room 1", "3"],
    );
    expect_row(&mut browser, "figures", &["Connections", "2", "2"]);
    expect_row(&mut browser, "figures", &["Rooms", "1", "1"]);
    assert_eq!(browser.text("document.title"), "mynah: 3 members");
    let version = browser.text("document.getElementById('version').textContent");
    assert!(version.starts_with(env!("CARGO_PKG_VERSION")), "{version}");
    let uptime = "document.getElementById('uptime').textContent";
    assert!(browser.text(uptime).starts_with("up "));

    // Somebody talks: everything that moves by that does.
    let moving = ["Messages in", "Turn length", "Memory"];
    until("figures of what is said", || {
        ann.say("good morning");
        ann.hear();
        let figures = rows(&mut browser, "figures");
        let known = |row: &Vec<String>| !row[1].starts_with('–') && !row[1].starts_with("0/s");
        let known = |name: &&str| figures.iter().any(|row| row[0] == **name && known(row));
        moving.iter().all(|name| known(&name)).then_some(())
    });
    let line = "document.querySelector('svg path').getAttribute('d')";
    let before = browser.text(line);
    until("another line", || {
        ann.say("and again");
        ann.hear();
        (browser.text(line) != before).then_some(())
    });

    // One more comes, and one goes.
    let dora = server.join("dora");
    expect_row(
        &mut browser,
        "figures",
        &["Members", "4, tcp-room 3, udp-room 1", "4"],
    );
    drop(dora);
    expect_row(
        &mut browser,
        "figures",
        &["Members", "3, tcp-room 2, udp-room 1", "4"],
    );
    expect_row(&mut browser, "reasons", &["closed: left", "1"]);

    // Whoever cannot see the charts is told what is in them.
    let charts = rows(&mut browser, "figures").len();
    assert!(charts >= 12);
    let described = "[...document.querySelectorAll('svg[role=img]')].filter(s => \
                     / of the last five minutes: now .*, highest /.test(s.getAttribute('aria-label'))).length";
    assert_eq!(browser.evaluate(described), json!(charts));
    let status = "document.querySelector('[role=status]').textContent";
    assert_eq!(browser.text(status), "live");
    expect_no_complaints(&mut browser, &server.url(), "");

    // The policy is in force: what stands in the page by some mistake is not run.
    let smuggled = "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; \
                    document.head.append(s); window.ran === undefined";
    assert_eq!(browser.evaluate(smuggled), json!(true));
    until("the browser's complaint", || {
        let complaints = browser.events("Log.entryAdded");
        let text =
            |entry: &serde_json::Value| entry.to_string().contains("Content Security Policy");
        complaints.iter().any(text).then_some(())
    });
}

#[test]
fn a_server_that_goes_is_told_of_and_one_that_comes_is_followed() {
    if !have("chromium") {
        return;
    }
    let server = Server::start();
    let (address, url) = (server.at("metrics"), server.url());
    let mut browser = Browser::start();
    browser.open(&url);
    browser.expect(LIVE);
    let ann = server.join("ann");
    expect_row(&mut browser, "protocols", &["tcp-room", "1", "1"]);

    server.mynah.signal(Signal::USR2);
    browser.expect("document.body.dataset.state === 'draining'");
    browser.expect("/nobody new/.test(document.getElementById('state').textContent)");

    // Killed, with a member in.
    drop(server);
    drop(ann);
    browser.expect(GONE);
    let state = browser.text("document.getElementById('state').textContent");
    assert!(state.starts_with("the server cannot be reached"), "{state}");
    assert_eq!(browser.text("document.title"), "mynah: cannot be reached");
    // Nobody knows what it is now; what it was stays to be read.
    expect_row(&mut browser, "figures", &["Rooms", "–", "1"]);

    let server = Server::start_at(address);
    browser.expect(LIVE);
    expect_row(&mut browser, "protocols", &["tcp-room", "0", "0"]);
    let mut ben = server.join("ben");
    until("figures of what is said", || {
        ben.say("anybody?");
        ben.hear();
        let messages = row(&mut browser, "figures", "Messages in")?;
        (messages[1] != "–" && messages[1] != "0/s").then_some(())
    });
    // The counters began anew, and no rate was ever below nothing.
    let lines = "[...document.querySelectorAll('svg path')].map(p => p.getAttribute('d')).join()";
    let lines = browser.text(lines);
    assert!(
        !lines.contains("NaN") && !lines.contains("Infinity"),
        "{lines}"
    );
    for row in rows(&mut browser, "figures") {
        assert!(!row[1].contains('-') || row[0] == "Members", "{row:?}");
    }
    expect_no_complaints(&mut browser, &url, "ERR_CONNECTION_REFUSED");
}

#[test]
fn the_page_fits_a_phone_and_is_dark_where_that_is_wanted() {
    if !have("chromium") {
        return;
    }
    let server = Server::start();
    let mut browser = Browser::start();
    let ground = "getComputedStyle(document.body).backgroundColor";
    let mut grounds = Vec::new();
    for (width, scheme) in [(360, "light"), (360, "dark"), (1200, "dark")] {
        let size = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": true});
        browser.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        browser.call("Emulation.setEmulatedMedia", json!({"features": scheme}));
        browser.open(&server.url());
        browser.expect(LIVE);
        let fits = format!("document.documentElement.scrollWidth <= {width}");
        assert_eq!(browser.evaluate(&fits), json!(true), "{width}");
        grounds.push(browser.text(ground));
    }
    assert_ne!(grounds[0], grounds[1]);
    assert_eq!(grounds[1], grounds[2]);
}

/// Makes the picture of the documentation again, from a server with members of three protocols who talk:
/// `cargo test --release --test status_page -- --ignored`.
#[test]
#[ignore = "it takes a minute and a half, and changes docs/status-page.png"]
fn the_picture_of_the_documentation() {
    if !have("chromium") {
        return;
    }
    let server = Server::start();
    let _load = Load::on(&server);
    let mut browser = Browser::start();
    let size = json!({"width": 1200, "height": 830, "deviceScaleFactor": 1, "mobile": false});
    browser.call("Emulation.setDeviceMetricsOverride", size);
    browser.open(&server.url());
    browser.expect(LIVE);
    thread::sleep(Duration::from_secs(75));
    assert_ne!(
        row(&mut browser, "figures", "Messages in").unwrap()[1],
        "0/s"
    );
    browser.picture(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/status-page.png"));
}

/// Members of three protocols who talk, by `mynah bench`; ended when dropped.
struct Load(Child);

impl Load {
    fn on(server: &Server) -> Load {
        let targets = ["tcp-room", "group", "udp-room"];
        let targets = targets.map(|name| format!("{name}={}", server.at(name)));
        let mut command = Command::new(env!("CARGO_BIN_EXE_mynah"));
        command.arg("bench").args(targets).args(["--mix", "5:3:2"]);
        command.args("-n 100 --senders 7 --rate 150 --duration 5m --quiet".split(' '));
        command.stdout(Stdio::null());
        Load(command.spawn().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
