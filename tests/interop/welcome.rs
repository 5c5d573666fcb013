//! A welcome text, as programs see it that know nothing of one.

use super::{Server, have_python};

#[test]
fn every_program_shows_a_welcome_and_goes_on() {
    if have_python() {
        let protocols = ["tcp-room", "group", "udp-room", "udp-login", "tcrp"];
        let config = "welcome = \"be welcome\\nand kind\"\n";
        Server::with(&protocols, config, &[]).play("welcome_scenario.py", "everybody");
    }
}
