//! TCRP and UCRP: Python clients at our server.

use super::{Server, have_python};

fn play(scenario: &str) {
    play_with(scenario, "");
}

fn play_with(scenario: &str, config: &str) {
    if have_python() {
        Server::with(&["tcrp", "tcp-room"], config, &[]).play("tcrp_scenario.py", scenario);
    }
}

#[test]
fn both_sizes_of_header_are_answered_in_kind() {
    play("headers");
}

#[test]
fn who_cannot_come_in_is_told_why() {
    play("refusals");
}

#[test]
fn broken_requests_end_their_connection() {
    play("broken");
}

#[test]
fn members_hear_each_other_from_register_to_leave() {
    play("talking");
}

#[test]
fn a_room_closes_with_its_host() {
    play("closing");
}

#[test]
fn tokens_are_worth_nothing_elsewhere() {
    play("tokens");
}

#[test]
fn who_never_registers_is_forgotten() {
    play_with("never_registered", "limits.registering_time = 2\n");
}

#[test]
fn long_lines_are_cut() {
    play("long_lines");
}
