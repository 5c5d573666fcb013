//! A thousand members on the five protocols of the server, in one lobby.

use super::{Server, have_python};

#[test]
fn a_thousand_members_lose_nothing() {
    if have_python() {
        let protocols = ["tcp-room", "group", "udp-room", "udp-login", "tcrp"];
        Server::of(&protocols).play("crowd_scenario.py", "thousand");
    }
}
