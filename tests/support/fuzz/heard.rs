//! Owns what a server may have sent: every byte of it is a frame of its protocol, as our own clients read it.

use mynah::protocol::registry::Protocol;
use mynah::protocol::{Decoded, group, tcp_room, tcrp, udp_login, udp_mesh, udp_room};

/// Reads all that came over a stream. Returns the bytes of an unfinished frame at its end.
pub fn read_stream(protocol: Protocol, mut rest: &[u8]) -> usize {
    let mut frames = 0;
    loop {
        let used = match protocol {
            Protocol::TcpRoom => used_of_tcp_room(frames, rest),
            Protocol::Group => used_of(group::frame::decode_from_server(rest, 0)),
            _ => used_of_tcrp(rest),
        };
        let Some(used) = used else {
            return rest.len();
        };
        assert!(used > 0, "a frame of nothing");
        let refused = protocol == Protocol::TcpRoom && frames == 0 && rest[0] == 0;
        rest = &rest[used..];
        assert!(!refused || rest.is_empty(), "more behind a refusal");
        frames += 1;
    }
}

fn used_of_tcp_room(frames: usize, rest: &[u8]) -> Option<usize> {
    use tcp_room::frame::{Limits, SAID, decode_history, decode_message, decode_verdict};
    match frames {
        0 => used_of(decode_verdict(rest)),
        1 => used_of(decode_history(rest, &Limits::CLIENT)),
        _ => {
            let used = used_of(decode_message(rest, &Limits::CLIENT))?;
            assert_eq!(rest[..4], SAID.to_le_bytes(), "not what a server says");
            Some(used)
        }
    }
}

/// An answer is in the form of its request, which nobody here remembers.
fn used_of_tcrp(rest: &[u8]) -> Option<usize> {
    use tcrp::frame::{Form, decode_answer};
    let both = [Form::Long, Form::Short].map(|form| decode_answer(rest, form));
    assert!(
        both.iter().any(Result::is_ok),
        "an answer in neither form: {both:?}"
    );
    let mut needs_more = false;
    for answer in both {
        match answer {
            Ok(Decoded::Done { used, .. }) => return Some(used),
            Ok(Decoded::NeedMore { .. }) => needs_more = true,
            Err(_) => {}
        }
    }
    assert!(needs_more);
    None
}

fn used_of<T, V: std::fmt::Debug>(decoded: Result<Decoded<T>, V>) -> Option<usize> {
    match decoded.expect("what the protocol has") {
        Decoded::Done { used, .. } => Some(used),
        Decoded::NeedMore { .. } => None,
    }
}

/// Reads one datagram.
pub fn read_datagram(protocol: Protocol, datagram: &[u8]) {
    let longest = match protocol {
        Protocol::UdpRoom => udp_room::frame::MAX_DATAGRAM_BYTES,
        _ => 4096,
    };
    assert!(datagram.len() <= longest, "{} bytes", datagram.len());
    let understood = match protocol {
        Protocol::UdpRoom => udp_room::frame::decode_heard(datagram).is_ok(),
        Protocol::UdpLogin => udp_login::frame::decode_heard(datagram).is_ok(),
        Protocol::Ucrp => tcrp::datagram::decode_to_member(datagram).is_ok(),
        _ => udp_mesh::frame::decode(datagram).is_ok(),
    };
    assert!(
        understood,
        "{protocol}: {:?}",
        String::from_utf8_lossy(datagram)
    );
}
