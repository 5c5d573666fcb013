//! Owns those who come to the server of a run: programs that keep the rules, and others.

pub mod client;
pub mod hostile;
pub mod mesh;
pub mod mutants;
pub mod scripted;

use crate::rng::Rng;

/// A text that nobody says twice, and of which no two pieces are alike.
pub fn text(begin: &str, rng: &mut Rng, longest: usize) -> String {
    let nonce = rng.next();
    let mut text = format!("{begin}-{nonce:016x}");
    if rng.once_in(3) {
        let length = rng.below(longest);
        for n in 0.. {
            if text.len() + 24 > length {
                break;
            }
            text.push_str(&format!(" {n}:{:x}", nonce >> 40));
        }
    }
    text
}

/// The text of a message to one member, who can be told from it.
pub fn private_text(from: &str, to: &str, rng: &mut Rng) -> String {
    format!("dm {from} {to} {:016x}", rng.next())
}

/// Whom such a text is for; nothing of a public one.
pub fn receiver_of(text: &str) -> Option<&str> {
    text.strip_prefix("dm ")?.split(' ').nth(1)
}

/// Whether a text moves no cursor, rings no bell and breaks no line of whoever it is shown to.
pub fn is_harmless(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && c != '\t')
}
