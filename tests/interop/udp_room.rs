//! udp-room: Python clients at our server.

use super::{Server, have_python};

fn play(scenario: &str) {
    if have_python() {
        Server::of(&["udp-room", "tcp-room"]).play("udp_room_scenario.py", scenario);
    }
}

#[test]
fn a_name_is_given_confirmed_and_refused() {
    play("joining");
}

#[test]
fn public_messages_go_to_every_member() {
    play("public");
}

#[test]
fn direct_messages_go_to_their_receiver_once() {
    play("direct");
}

#[test]
fn strangers_are_told_no_more_than_they_said() {
    play("strangers");
}

#[test]
fn no_datagram_is_longer_than_its_readers_read() {
    play("long_lines");
}
