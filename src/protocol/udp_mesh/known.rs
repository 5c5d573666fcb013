//! Owns the names of the peers that were heard of lately. Knows no clock, and not where they are.

use std::hash::RandomState;
use std::time::{Duration, Instant};

use hashbrown::HashTable;

use crate::chat::Name;

/// How long a peer is known without a word of it. Nobody says that they leave.
pub const KNOWN_FOR: Duration = Duration::from_secs(15 * 60);

/// How many peers are known at most. Of more, those not heard of for longest are forgotten.
pub const MAX_KNOWN: usize = 1024;

/// The peers that were heard of lately, each name once.
#[derive(Debug, Default)]
pub struct Known {
    peers: HashTable<Peer>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Peer {
    name: Name,
    heard: Instant,
}

impl Known {
    /// There was word of this peer. What is not a name is not remembered.
    pub fn heard_of(&mut self, name: &str, now: Instant) {
        let hash = Name::hash_of(name, &self.hasher);
        if let Some(peer) = self.peers.find_mut(hash, |peer| peer.name.same_as(name)) {
            peer.heard = now;
            return;
        }
        let Ok(name) = Name::parse(name) else {
            return;
        };
        if self.peers.len() == MAX_KNOWN {
            self.forget_the_longest_silent();
        }
        let peer = Peer { name, heard: now };
        self.peers.insert_unique(hash, peer, |peer| {
            Name::hash_of(peer.name.as_str(), &self.hasher)
        });
    }

    /// The names of those heard of within [`KNOWN_FOR`], sorted. The others are forgotten.
    pub fn names(&mut self, now: Instant) -> Vec<String> {
        self.peers
            .retain(|peer| now.saturating_duration_since(peer.heard) < KNOWN_FOR);
        let names = self.peers.iter().map(|peer| peer.name.to_string());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    fn forget_the_longest_silent(&mut self) {
        let Some(silent) = self.peers.iter().min_by_key(|peer| peer.heard) else {
            return;
        };
        let name = silent.name.clone();
        let hash = Name::hash_of(name.as_str(), &self.hasher);
        if let Ok(entry) = self.peers.find_entry(hash, |peer| peer.name == name) {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_known_once_and_until_it_was_silent_for_long() {
        let (mut known, start) = (Known::default(), Instant::now());
        for name in ["bob", "alice", "BOB", "not a name", ""] {
            known.heard_of(name, start);
        }
        assert_eq!(known.names(start), ["alice", "bob"]);
        known.heard_of("bob", start + Duration::from_secs(1));
        assert_eq!(known.names(start + KNOWN_FOR), ["bob"]);
        let later = start + KNOWN_FOR + Duration::from_secs(1);
        assert!(known.names(later).is_empty());
    }

    #[test]
    fn of_too_many_the_longest_silent_are_forgotten() {
        let (mut known, start) = (Known::default(), Instant::now());
        for n in 0..MAX_KNOWN as u64 + 100 {
            let now = start + Duration::from_millis(n);
            known.heard_of("always", now);
            known.heard_of(&format!("peer{n}"), now);
        }
        let names = known.names(start + Duration::from_secs(10));
        assert_eq!(names.len(), MAX_KNOWN);
        assert!(names.contains(&"always".to_string()));
        assert!(!names.contains(&"peer0".to_string()));
        assert!(names.contains(&format!("peer{}", MAX_KNOWN + 99)));
    }
}
