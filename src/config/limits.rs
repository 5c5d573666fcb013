//! Owns the keys of `[limits]`: a row for each. Their defaults stand in [`server::Limits`](crate::server::Limits).

use std::time::Duration;

use super::Settings;
use super::key::{Key, Kind, Reload, Unit, Unsaid};
use crate::server::{Limits, MessageRate};

const KIB: u64 = 1024;
const GIB: u64 = 1024 * 1024 * 1024;
const MANY: u64 = 1_000_000;

/// A row: its name, what is told of it, its unit, its bounds, and the field that is a number of that type, or a time
/// in seconds.
macro_rules! row {
    ($name:literal, $doc:literal, Seconds, $bounds:expr, $($field:ident).+) => {
        row(
            concat!("limits.", $name), $doc, Unit::Seconds, $bounds,
            |settings| settings.limits.$($field).+.as_secs(),
            |settings, number| settings.limits.$($field).+ = Duration::from_secs(number),
        )
    };
    ($name:literal, $doc:literal, $unit:ident, $bounds:expr, $($field:ident).+ as $type:ty) => {
        row(
            concat!("limits.", $name), $doc, Unit::$unit, $bounds,
            |settings| settings.limits.$($field).+ as u64,
            |settings, number| settings.limits.$($field).+ = number as $type,
        )
    };
    // Without a rate, which is 0 a second, no burst is kept: the default is shown.
    ($name:literal, $doc:literal, $bounds:expr, burst of $rate:ident) => {
        row(
            concat!("limits.", $name), $doc, Unit::Things, $bounds,
            |settings| {
                let rate = settings.limits.$rate.or(Limits::default().$rate);
                rate.map_or(1, |rate| rate.burst.into())
            },
            |settings, number| rate(&mut settings.limits.$rate).burst = number as u16,
        )
    };
    ($name:literal, $doc:literal, $bounds:expr, $rate:ident) => {
        row(
            concat!("limits.", $name), $doc, Unit::Things, $bounds,
            |settings| settings.limits.$rate.map_or(0, |rate| rate.per_second.into()),
            |settings, number| rate(&mut settings.limits.$rate).per_second = number as u16,
        )
    };
}

#[rustfmt::skip]
pub(super) static LIMITS: &[Key] = &[
    row!("max_per_address", "Members and connections of one IPv4 address or IPv6 /64. This machine's own are exempt.",
        Things, (1, MANY), max_per_address as usize),
    row!("mesh_names_per_address", "Names that one address brings from a mesh. This machine's own are exempt.",
        Things, (1, MANY), mesh_names_per_address as usize),
    row!("rooms", "Rooms, the lobby among them.",
        Things, (1, MANY), hub.rooms as usize),
    row!("rooms_per_address", "Rooms that one address or /64 has opened. This machine's own are exempt.",
        Things, (1, MANY), rooms_per_address as usize),
    row!("unproven_members", "Members of `udp-room` from all other machines together: their addresses can be forged.",
        Things, (1, MANY), unproven_members as usize),
    row!("members_per_room", "Members of one room.",
        Things, (1, MANY), hub.members_per_room as usize),
    row!("message_burst", "Messages of one member at once. This machine's own are exempt.",
        (1, 65_535), burst of message_rate),
    row!("messages_per_second", "Messages of one member in the long run; 0 is as many as it likes. This machine's own are exempt.",
        (0, 1000), message_rate),
    row!("datagram_burst", "Datagrams of one address or /64 at once. This machine's own are exempt.",
        (1, 65_535), burst of datagram_rate),
    row!("datagrams_per_second", "The same in the long run; 0 is as many as it likes. This machine's own are exempt.",
        (0, 1000), datagram_rate),
    // Room for the longest message and its frame, several times.
    row!("backlog_bytes", "How far a member may be behind its room.",
        Bytes, (16 * KIB, GIB), lag.backlog_bytes as usize),
    row!("outbox_bytes", "What may wait for one member alone.",
        Bytes, (16 * KIB, GIB), lag.outbox_bytes as usize),
    row!("stall_bytes", "Who is behind by more than this for `limits.stall_time` is cut.",
        Bytes, (KIB, GIB), lag.stall_bytes as usize),
    row!("stall_time", "How long somebody may be behind by more than `limits.stall_bytes`.",
        Seconds, (1, 3600), lag.stall_time),
    row!("unsent_bytes", "Who has more unsent is not read from.",
        Bytes, (4 * KIB, GIB), unsent_bytes as usize),
    row!("mailing_bytes", "What may wait on one datagram port; then the oldest message goes.",
        Bytes, (16 * KIB, GIB), mailing_bytes as usize),
    // What one turn brings, several times; what depends on other limits is in `together.rs`.
    row!("output_bytes", "Memory of all that waits to be sent, over everybody; then those are cut that keep the most of it. \
        At least 96 × `limits.members_per_room` + 2 × `limits.backlog_bytes` + `limits.mailing_bytes`.",
        Bytes, (4096 * KIB, 64 * GIB), output_bytes as usize),
    row!("pace_bytes_per_second", "What a `udp-room` address is sent in a second, which cannot show that it receives there. \
        This machine's own are exempt.",
        Bytes, (256, 1_000_000_000), pace.bytes_per_second as u32),
    row!("pace_burst_bytes", "What such an address is sent at once. This machine's own are exempt.",
        Bytes, (4 * KIB, GIB), pace.burst_bytes as u32),
    row!("udp_idle", "How long a member of `udp-room`, `ucrp` or a mesh may be silent until it is let go. \
        This machine's own are exempt.",
        Seconds, (10, 86_400), udp_idle),
    row!("login_idle", "The same in `udp-login`, whose clients say something every minute. This machine's own are exempt.",
        Seconds, (10, 86_400), login_idle),
    row!("registering_time", "For showing a `tcrp` token.",
        Seconds, (1, 3600), registering_time),
    row!("secrets_per_address", "Tokens of one address that are not shown yet. This machine's own are exempt.",
        Things, (1, MANY), secrets_per_address as usize),
    row!("wrong_passwords_per_name", "Wrong passwords in a row for one account, before each has to wait: 1 s, 2, 4 ….",
        Things, (1, 1000), attempts.wrong_per_name as u32),
    row!("wrong_passwords_per_address", "The same from one address or /64.",
        Things, (1, 1000), attempts.wrong_per_address as u32),
    row!("longest_login_wait", "The longest such wait. Wrong ones are forgotten after twelve of them without a try, and one \
        more for each that is free.",
        Seconds, (1, 3600), attempts.longest_wait),
    row!("registrations_per_hour", "Accounts that one address or /64 makes within an hour. This machine's own are exempt.",
        Things, (1, 100), attempts.registrations_per_hour as usize),
    row!("answer_keeping_time", "How long a denied login is told the same again.",
        Seconds, (1, 300), answer_keeping_time),
    row!("name_time", "For a person to type a name, in `tcp-room`: from the connection to the name, the number before it \
        included.",
        Seconds, (1, 3600), name_time),
    row!("first_frame_time", "For the first whole frame, in `group` and `tcrp`.",
        Seconds, (1, 3600), first_frame_time),
    row!("frame_time", "For the rest of a frame that is begun.",
        Seconds, (1, 3600), frame_time),
    row!("joining_time", "How long a `group` client that is not in may be silent until it is let go.",
        Seconds, (1, 86_400), joining_time),
    row!("closing_time", "For what is due to a connection that ends.",
        Seconds, (1, 60), closing_time),
    row!("lingering_time", "For the peer to close after that.",
        Seconds, (1, 60), lingering_time),
    row!("stopping_time", "For what is due to all, and for logins under way, once the server is told to stop; to one connection no longer than \
        `limits.closing_time`.",
        Seconds, (1, 60), stopping_time),
    with_new_connections(row!("keepalive_idle", "How long a TCP connection is silent before the kernel asks whether anybody \
        is there.",
        Seconds, (1, 3600), dead_peer.idle)),
    with_new_connections(row!("keepalive_interval", "Between such questions.",
        Seconds, (1, 3600), dead_peer.interval)),
    with_new_connections(row!("unacknowledged_time", "After so long a TCP connection is given up whose peer acknowledges \
        nothing (`TCP_USER_TIMEOUT`).",
        Seconds, (1, 3600), dead_peer.unacknowledged)),
];

const fn row(
    name: &'static str,
    doc: &'static str,
    unit: Unit,
    (least, most): (u64, u64),
    get: fn(&Settings) -> u64,
    set: fn(&mut Settings, u64),
) -> Key {
    Key {
        name,
        doc,
        reload: Reload::Now,
        unsaid: Unsaid::Value,
        kind: Kind::Number {
            unit,
            bounds: least..=most,
            get,
            set,
        },
    }
}

/// What the kernel keeps for each connection, which has it from the socket that it came in by.
const fn with_new_connections(key: Key) -> Key {
    Key {
        reload: Reload::NewConnections,
        ..key
    }
}

/// `per_second` may be 0 in it until all that is said is put together.
fn rate(rate: &mut Option<MessageRate>) -> &mut MessageRate {
    rate.get_or_insert_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Merged;

    fn settings(text: &str) -> Settings {
        let merged = Merged::of_file(text.as_bytes());
        merged.unwrap_or_else(|error| panic!("{error}")).settings
    }

    fn said(text: impl AsRef<[u8]>) -> String {
        let said = Merged::of_file(text.as_ref()).unwrap_err().to_string();
        said.strip_prefix("mynah.toml:").unwrap().to_owned()
    }

    #[test]
    fn every_limit_takes_effect_within_its_bounds_and_no_two_are_one() {
        let mut seen = Vec::new();
        for key in LIMITS {
            let Kind::Number { bounds, .. } = &key.kind else {
                panic!("{} is no number", key.name);
            };
            let (least, most) = (*bounds.start(), *bounds.end());
            // Those that bound each other are as far apart as they can be.
            let others = match key.name {
                "limits.output_bytes" => "limits.members_per_room = 1",
                _ => "limits.output_bytes = 68_719_476_736",
            };
            let without = settings(others);
            let settings = |value| settings(&format!("{others}\n{} = {value}", key.name));
            // The least is taken; the default may be just that.
            settings(least);
            for value in [most, most - 1] {
                let got = settings(value);
                assert_ne!(got, without, "{} = {value}", key.name);
                assert_eq!(key.get(&got).to_string(), value.to_string());
                assert!(!seen.contains(&got), "{} does what another does", key.name);
                seen.push(got);
            }
            for value in [most + 1, u64::MAX >> 1] {
                let said = said(format!("\n{} = {value}", key.name));
                let begin = format!("2: {}: {value} cannot be; right is: a whole", key.name);
                assert!(said.starts_with(&begin), "{said}");
                assert!(said.ends_with(&format!("from {least} to {most}")), "{said}");
            }
        }
        let unlimited = settings("[limits]\nmessages_per_second = 0\nmessage_burst = 9");
        assert_eq!(unlimited.limits.message_rate, None);
        let seconds = settings("limits.stall_time = 90").limits.lag.stall_time;
        assert_eq!(seconds, Duration::from_secs(90));
    }
}
