//! The table of events: six Python programs on six protocols, in one lobby or each in its own.

use super::{Server, have_python, mesh_port};

fn play(scenario: &str, flags: &[&str]) {
    if have_python() {
        let mesh = format!("udp-mesh=127.0.0.1:{}", mesh_port());
        let protocols = ["tcp-room", "group", "udp-room", "udp-login", "tcrp", &mesh];
        let flags = [&["--mesh-broadcast", "127.255.255.255"], flags].concat();
        Server::with(&protocols, "", &flags).play("events_scenario.py", scenario);
    }
}

#[test]
fn every_protocol_hears_every_other() {
    play("public", &[]);
}

#[test]
fn nobody_forges_a_direct_message() {
    play("private_mark", &[]);
}

#[test]
fn direct_messages_reach_every_protocol_that_has_a_way() {
    play("direct", &[]);
}

#[test]
fn arrivals_and_departures_are_told_where_there_is_a_way() {
    play("coming_and_going", &[]);
}

#[test]
fn who_joins_finds_the_last_ten_public_lines_where_there_is_a_way() {
    play("history", &[]);
}

#[test]
fn isolated_protocols_hear_nothing_of_each_other() {
    play("isolated", &["--isolate"]);
}
