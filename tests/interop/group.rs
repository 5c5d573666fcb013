//! group: Python clients at our server.

use super::{Server, have_python};

const SCRIPT: &str = "group_scenario.py";

fn play(scenario: &str) {
    if have_python() {
        Server::of(&["group", "tcp-room", "udp-room"]).play(SCRIPT, scenario);
    }
}

#[test]
fn the_list_comes_first_and_the_others_are_told_who_comes_and_goes() {
    play("coming_and_going");
}

#[test]
fn what_is_said_goes_to_all_others_under_the_name_of_its_sender() {
    play("broadcasts");
}

#[test]
fn a_length_counts_bytes_or_code_points() {
    play("lengths");
}

#[test]
fn a_length_that_counts_neither_ends_the_connection() {
    play("broken_lengths");
}

#[test]
fn an_error_keeps_the_connection() {
    play("errors");
}

#[test]
fn a_line_without_end_ends_the_connection() {
    play("endless_lines");
}

#[test]
fn members_of_other_protocols_have_no_address() {
    play("strangers");
}

#[test]
fn the_addresses_are_good_for_sessions_without_the_server() {
    play("peer_to_peer");
}

#[test]
fn members_on_ipv6_have_no_address() {
    if have_python() {
        Server::of(&["group", "group=[::1]:0"]).play(SCRIPT, "ipv6");
    }
}

#[test]
fn a_claimed_address_is_told_where_that_is_wanted() {
    if have_python() {
        Server::with(&["group"], "", &["--advertise", "claimed"]).play(SCRIPT, "claimed");
        Server::with(&["group"], "group.advertise = \"claimed\"\n", &[]).play(SCRIPT, "claimed");
    }
}
