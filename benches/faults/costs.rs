//! What one thing costs at worst, without a server around it: R20, R39.

use std::io;
use std::time::Instant;

use mynah::chat::{Choice, Contact, Hub, HubLimits, Name};
use mynah::protocol::udp_mesh::frame::{MAX_DATAGRAM_BYTES, decode};

use crate::{Figure, Order, figure};

/// The longest that a datagram of the mesh keeps its decoder busy.
pub fn r20(_: &Order) -> io::Result<Vec<Figure>> {
    const LIST: &[u8] = b"\x80\x05}(\x8c\x07message]\x8c\0\x94";
    let filled = |start: &[u8], more: &[u8]| {
        let mut datagram = start.to_vec();
        while datagram.len() + more.len() <= MAX_DATAGRAM_BYTES {
            datagram.extend_from_slice(more);
        }
        datagram
    };
    let corpus = [
        filled(b"\x80\x05}", b"("),
        filled(b"\x80\x05}", b"K\0"),
        filled(b"\x80\x05}", b"\x94"),
        filled(&[LIST, b"a"].concat(), b"h\0a"),
        filled(&[LIST, b"a("].concat(), b"h\0"),
        filled(&[LIST, b"a"].concat(), b"(h\0h\0e"),
        filled(&[LIST, b"a"].concat(), b"\x8c\0\x94a"),
        filled(b"\x80\x05}\x8d\0\0\0\0\0\0\0\x40", b"x"),
        filled(b"\x80\x05}X\xff\xff\xff\x7f", b"x"),
        filled(
            b"\x80\x05}(\x8c\x07message\x8d\0\x0f\0\0\0\0\0\0",
            "é".as_bytes(),
        ),
    ];
    let mut worst = 0.0f64;
    for datagram in &corpus {
        let start = Instant::now();
        for _ in 0..1000 {
            std::hint::black_box(decode(std::hint::black_box(datagram)).is_ok());
        }
        // A thousand of a thousandth: microseconds each.
        worst = worst.max(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(vec![figure(
        "R20",
        "the worst datagram of a mesh",
        worst,
        "us",
        50.0,
    )])
}

/// A hundred thousand names that a hash without a key puts in one place, beside as many others.
pub fn r39(_: &Order) -> io::Result<Vec<Figure>> {
    let colliding = colliding();
    // The same lengths and letters.
    let mut others: Vec<String> = Vec::new();
    for (number, name) in colliding.iter().enumerate() {
        let at = name.len().saturating_sub(8);
        others.push(format!("{}{number:08}", name.get(..at).unwrap_or_default()));
    }
    let (mut one, mut other) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..5 {
        one = one.min(insert(&colliding)?);
        other = other.min(insert(&others)?);
    }
    let what = format!("ns a name: {one:.0} that collide under FNV, {other:.0} others; times");
    Ok(vec![figure("R39", what, one / other, "", 2.0)])
}

/// Nanoseconds for each to get into a room.
fn insert(names: &[String]) -> io::Result<f64> {
    let names = names.iter().map(|name| Name::parse(name));
    let names: Vec<Name> = names.collect::<Result<_, _>>().map_err(io::Error::other)?;
    let limits = HubLimits {
        rooms: 2,
        members_per_room: names.len(),
    };
    let mut hub: Hub<u32> = Hub::new(limits);
    let count = names.len() as f64;
    let start = Instant::now();
    for name in names {
        let held = hub.hold(Choice::Lobby, name, Contact::NONE, 0);
        held.map_err(|_| io::Error::other("a name was refused"))?;
    }
    Ok(start.elapsed().as_secs_f64() * 1e9 / count)
}

/// FNV-1a in the 20 bits that a table of a million looks at.
fn fnv(state: u32, text: &[u8]) -> u32 {
    text.iter().fold(state, |state, byte| {
        (state ^ u32::from(*byte)).wrapping_mul(0x0100_0193) & 0xf_ffff
    })
}

/// One of two texts after one of two after one of two …, each two ending where the other ends.
fn colliding() -> Vec<String> {
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789-_.,;!?*+=/()[]{}~^@#$%&";
    let (mut state, mut names) = (0xc_9dc5, vec![String::new()]);
    while names.len() < 100_000 {
        let mut seen = std::collections::HashMap::new();
        let mut all = letters
            .iter()
            .flat_map(|a| letters.iter().map(move |b| (*a, *b)))
            .flat_map(|(a, b)| letters.iter().map(move |c| [a, b, *c]));
        let Some(both) = all.find_map(|text| {
            let other = seen.insert(fnv(state, &text), text)?;
            Some([other, text])
        }) else {
            break;
        };
        state = fnv(state, &both[0]);
        let both = both.map(|text| String::from_utf8_lossy(&text).into_owned());
        let longer = |name: &String| both.clone().map(|piece| format!("{name}{piece}"));
        names = names.iter().flat_map(longer).collect();
    }
    names
}
