//! What the peers of some protocols say, written from the protocols' pages and not by our codecs.

#![allow(dead_code, reason = "each user takes its part")]

use mynah::protocol::registry::Protocol;

/// Those that are spoken over a connection.
pub const STREAMS: [Protocol; 3] = [Protocol::TcpRoom, Protocol::Group, Protocol::Tcrp];

/// What a TCRP request asks for.
pub const CREATE: u8 = 1;
pub const JOIN: u8 = 2;

/// What somebody says first: that it comes, or that it reserves a name.
pub fn enter(protocol: Protocol, name: &str) -> Vec<u8> {
    match protocol {
        Protocol::TcpRoom => [&471_i32.to_le_bytes()[..], &string(name)].concat(),
        Protocol::Group => format!("REGISTER:{name}:0.0.0.0:0\r\n").into_bytes(),
        Protocol::Tcrp => reserve(CREATE, "tea", name),
        other => panic!("{other} has no connections"),
    }
}

/// What a member says; in TCRP nobody does.
pub fn say(protocol: Protocol, name: &str, text: &str) -> Vec<u8> {
    match protocol {
        Protocol::TcpRoom => message(472, "00:00:00", name, text),
        Protocol::Group => format!("BROADCAST:{name}:{}:{text}\r\n", text.len()).into_bytes(),
        other => panic!("nothing is said in {other}"),
    }
}

/// What everybody in `tcp-room` hears of that.
pub fn said_by(name: &str, text: &str) -> Vec<u8> {
    message(372, "00:00:00", name, text)
}

/// Something said in `tcp-room`: 472 to the server, 372 from it.
pub fn message(number: i32, time: &str, name: &str, text: &str) -> Vec<u8> {
    [&number.to_le_bytes()[..], &line([time, name, text])].concat()
}

/// The list that is in it and in a history.
pub fn line(strings: [&str; 3]) -> Vec<u8> {
    let strings = strings.map(string).concat();
    [&3_i32.to_le_bytes()[..], &strings].concat()
}

/// A TCRP request with a header of 32 bytes.
pub fn reserve(operation: u8, room: &str, name: &str) -> Vec<u8> {
    let payload = format!("\"{name}\"");
    let mut bytes = vec![room.len() as u8, operation, 0];
    bytes.resize(31, 0);
    bytes.push(payload.len() as u8);
    bytes.extend(room.bytes());
    bytes.extend(payload.bytes());
    bytes
}

/// A datagram of a member that has a token.
pub fn ucrp(room: &str, token: &str, text: &str) -> Vec<u8> {
    let mut datagram = vec![room.len() as u8, token.len() as u8];
    for part in [room, token, text] {
        datagram.extend_from_slice(part.as_bytes());
    }
    datagram
}

fn string(text: &str) -> Vec<u8> {
    let length = i32::try_from(text.len()).unwrap();
    [&length.to_le_bytes()[..], text.as_bytes()].concat()
}
