//! udp-mesh: a Python peer and our gateway.

use super::{Server, have_python, mesh_port};

fn play(scenario: &str) {
    play_with(scenario, &[]);
}

fn play_with(scenario: &str, flags: &[&str]) {
    if have_python() {
        let listen = format!("udp-mesh=127.0.0.1:{}", mesh_port());
        let protocols = ["tcp-room", &listen, "udp-room"];
        let flags = [&["--mesh-broadcast", "127.255.255.255"], flags].concat();
        let server = Server::with(&protocols, "", &flags);
        let folder = server.folder.path().to_str().unwrap().to_owned();
        server.play_with("mesh_scenario.py", scenario, &[&format!("folder={folder}")]);
    }
}

#[test]
fn who_asks_is_welcomed_or_told_that_the_name_is_held() {
    play("asking");
}

#[test]
fn the_gateway_is_called_as_it_was_told() {
    play_with("named", &["--mesh-name", "parrot"]);
}

#[test]
fn an_asker_is_answered_once_a_second() {
    play("pacing");
}

#[test]
fn the_lobby_and_the_mesh_hear_each_other() {
    play("talking");
}

#[test]
fn pickles_of_every_protocol_are_read() {
    play("pickles");
}

#[test]
fn hostile_pickles_do_nothing() {
    play("hostile");
}
