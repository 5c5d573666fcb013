//! Owns how a running server is changed: all of its limits and what else its configuration says, at once.

use std::time::Instant;

use super::core::Server;
use super::doors::Purpose;
use super::limits::{Advertise, Limits};
use super::reload::Terms;
use crate::reactor::{DatagramPort, Stream};
use crate::store::HashCost;

/// What can be changed while the server runs.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub limits: Limits,
    /// Which address of a member others are told. Those who are in are told of as they were.
    pub advertise: Advertise,
    /// Whether accounts may be made.
    pub registration_open: bool,
    /// What the hash of a new password costs. Those that there are keep theirs.
    pub hash_cost: HashCost,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            limits: Limits::default(),
            advertise: Advertise::default(),
            registration_open: true,
            hash_cost: HashCost::default(),
        }
    }
}

impl<S: Stream, D: DatagramPort> Server<S, D> {
    /// Goes by those terms from now on, as far as they are about those who chat, and says how many were put out because
    /// nobody may come any more from where they are. Doors are not touched.
    pub fn go_by(&mut self, terms: &Terms, now: Instant) -> usize {
        self.reconfigure(terms.rules, now);
        self.welcome_newcomers(&terms.welcome);
        let access = terms.access.iter();
        let chat = access.filter_map(|(purpose, access)| match purpose {
            Purpose::Chat(protocol) => Some((*protocol, access.clone())),
            Purpose::Metrics | Purpose::Control => None,
        });
        self.let_in(&chat.collect(), now)
    }

    /// Changes the rules at once. Nobody is let go by it: what it means for those who are over a lowered limit is in
    /// `docs/configuration.md`, with each key.
    pub fn reconfigure(&mut self, rules: Rules, now: Instant) {
        self.now = now;
        let Rules {
            limits,
            advertise,
            registration_open,
            hash_cost,
        } = rules;
        self.limits = limits;
        self.advertise = advertise;
        for house in &mut self.houses {
            house.hub.set_limits(limits.hub);
        }
        self.allowances.set_pace(limits.pace);
        for port in self.ports.iter_mut() {
            port.mailing.set_limit(limits.mailing_bytes);
        }
        if let Some(accounts) = &mut self.accounts {
            accounts.change_rules(registration_open, hash_cost, limits.attempts);
        }
        self.look_sooner();
    }

    /// The limits that hold.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}
