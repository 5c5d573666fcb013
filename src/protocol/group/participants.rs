//! Owns how a participant stands in a line: `Nickname:IP-Address:UDP-Port`, alone or one behind the other.
//! Knows nothing of the lines, and believes nothing that stands in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::frame::{Violation, number};

/// The most participants that a client takes in one `LIST`. A line of 4 MiB could name more, and they would cost
/// much more memory than the line.
pub const MAX_PARTICIPANTS: usize = 65_536;

/// Somebody in the room, as the wire has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Participant<'a> {
    pub nickname: &'a str,
    /// `None` where something else than an address stands.
    pub ip: Option<IpAddr>,
    pub port: u16,
}

/// `Nickname:IP-Address:UDP-Port`: the name to the first `:`, the port after the last.
pub(super) fn participant(text: &str) -> Option<Participant<'_>> {
    let (nickname, rest) = text.split_once(':')?;
    let (ip, port) = rest.rsplit_once(':')?;
    Some(Participant {
        nickname,
        ip: ip.parse().ok(),
        port: number(port)?,
    })
}

/// Participants one behind the other. An IPv6 address has colons too; it is taken where only one reading
/// makes sense.
pub(super) fn participants(text: &str) -> Result<Vec<Participant<'_>>, Violation> {
    let mut found = Vec::new();
    let mut rest = Some(text).filter(|text| !text.is_empty());
    while let Some(text) = rest {
        if found.len() == MAX_PARTICIPANTS {
            let limit = MAX_PARTICIPANTS;
            return Err(Violation::TooManyParticipants { limit });
        }
        let (participant, behind) = next_participant(text).ok_or(Violation::MalformedList)?;
        found.push(participant);
        rest = behind;
    }
    Ok(found)
}

fn next_participant(text: &str) -> Option<(Participant<'_>, Option<&str>)> {
    let (nickname, rest) = text.split_once(':')?;
    let (host, behind) = rest.split_once(':')?;
    let ip = match host.parse::<Ipv4Addr>() {
        Ok(ip) => Some(IpAddr::V4(ip)),
        // The first part of an IPv6 address is empty or some hexadecimal digits. Anything else is a host's name.
        Err(_) if host.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            return participant_on_ipv6(nickname, rest);
        }
        Err(_) => None,
    };
    let (port, behind) = cut_at_colon(behind);
    let port = number(port)?;
    Some((Participant { nickname, ip, port }, behind))
}

/// The one reading of `rest` as an address, a port, and either nothing or more participants.
fn participant_on_ipv6<'a>(
    nickname: &'a str,
    rest: &'a str,
) -> Option<(Participant<'a>, Option<&'a str>)> {
    let colons = rest.match_indices(':').map(|(at, _)| at);
    let mut readings = colons.take(LONGEST_IPV6_COLONS + 1).filter_map(|at| {
        let ip: Ipv6Addr = rest.get(..at)?.parse().ok()?;
        let (port, behind) = cut_at_colon(rest.get(at + 1..)?);
        let port = number(port)?;
        let ip = Some(IpAddr::V6(ip));
        let enough = behind.is_none_or(|behind| behind.split(':').nth(2).is_some());
        enough.then_some((Participant { nickname, ip, port }, behind))
    });
    let only = readings.next()?;
    readings.next().is_none().then_some(only)
}

/// Eight parts, or fewer with one empty at an end.
const LONGEST_IPV6_COLONS: usize = 8;

fn cut_at_colon(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_the_first_colon_and_ports_begin_after_the_last() {
        let parts = |text| participant(text).map(|of| (of.nickname, of.ip.is_some(), of.port));
        assert_eq!(parts("bob:10.0.0.7:5000"), Some(("bob", true, 5000)));
        assert_eq!(parts("bob:fe80::1:5000"), Some(("bob", true, 5000)));
        assert_eq!(parts("bob:here:5000"), Some(("bob", false, 5000)));
        assert_eq!(parts("::0"), Some(("", false, 0)));
        for bad in [
            "",
            "bob",
            "bob:5000",
            "bob:10.0.0.7:",
            "bob:10.0.0.7:-1",
            "bob:10.0.0.7:65536",
        ] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn lists_are_taken_apart_where_there_is_one_reading() {
        let names = |text: &str| -> Result<Vec<String>, Violation> {
            let found = participants(text)?;
            Ok(found.iter().map(|of| of.nickname.to_string()).collect())
        };
        let list = |text: &str| names(text).map(|names| names.join(" "));
        assert_eq!(list(""), Ok(String::new()));
        assert_eq!(
            list("bob:1.2.3.4:1:eve:::1:7:joe:h:9").unwrap(),
            "bob eve joe"
        );
        assert_eq!(list("eve:1:2:3:4:5:6:7:8:9").unwrap(), "eve");
        assert_eq!(
            list("eve:::ffff:1.2.3.4:9:bob:1.2.3.4:1").unwrap(),
            "eve bob"
        );
        // ::1 with port 7 and then 8, or ::1:7 with port 8 and then 9?
        for bad in [
            "bob",
            "bob:1.2.3.4",
            "bob:1.2.3.4:x",
            "bob:1.2.3.4:1:eve",
            "bob:1.2.3.4:1:",
            "joe:::1:7:8:9:a:b",
        ] {
            assert_eq!(list(bad), Err(Violation::MalformedList), "{bad}");
        }
        let many = "a:h:0:".repeat(MAX_PARTICIPANTS + 1);
        let limit = MAX_PARTICIPANTS;
        let result = list(many.trim_end_matches(':'));
        assert_eq!(result, Err(Violation::TooManyParticipants { limit }));
    }
}
