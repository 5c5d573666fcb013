//! Owns what ties sessions, hub, fan-out and transport together: the server itself.
//! Knows a connection only as a [`Stream`](crate::reactor::Stream) and a UDP socket only as a
//! [`DatagramPort`](crate::reactor::DatagramPort), so that the same code runs on mio's sockets and on the tests'
//! in-memory network. Clocks are read by its driver alone ([`run()`] and what it
//! needs); [`Server`] knows the times that it is given.
//!
//! A turn is the same six steps, in this order, always:
//!
//! 1. **wait** (the driver: [`run()`], or a test) until something is ready or the next timer is due
//! 2. **take in**: read what is ready, each connection and the turn as a whole bounded
//! 3. **decide**: sessions turn bytes into requests, the hub turns requests into events, events are
//!    encoded once per audience
//! 4. **fall due**: timers, and what the helper thread has finished
//! 5. **send out**: every connection with something to send gets one write for all of it
//! 6. **let go**: connections marked for closing are closed
//!
//! ```text
//!                    peer ends, breaks a rule,                all sent          peer ends, or
//!   accept           is refused, is too late                                    has had its time
//!  ───────▶ Open ───────────────────────────▶ Closing ───────▶ Lingering ───────▶ (gone)
//!             │                                  │                                  ▲
//!             └──── dead, or a slow consumer ────┴──────────────────────────────────┘
//! ```
//!
//! A *guest* has no connection. It lives in the same slab, is found by the source of its datagrams or by
//! the secret in them, and is gone as soon as it is let go:
//!
//! ```text
//!   asks to be let in       its password is hashed,
//!   or TCRP keeps a name    or it has still to come        let in, or appears      leaves, is silent,
//!  ────────────────────▶ Nowhere ──────▶ Held ──────────────────────▶ In ────────▶ its room closes ──▶ (gone)
//!                           └─ refused ───┴── never came ───────────────────────────────────────────────▲
//! ```
//!
//! Connections are read in `core`, sent to in `sending` and ended in `closing`; guests are heard in `receiving`,
//! come and go in `hosting` and are sent to in `posting`; what waits for all of them is bounded in `budget`, and what any
//! of them asks is decided in `deciding`. `port` and `guest` are what they work on; `accounts` is who may log in, `login` how, `gateway` the mesh.
//! Whoever runs the server can have it say something (`notices`), put somebody out, ban an address (`order`), see who is in
//! (`members`) and change its rules (`rules`); from where people may come is in `access`, `bans` and `nets`.
//!
//! What only production has: `run` begins, `driver` owns the loop, its `doors` and `entrance`s; `reload` and `swap` change
//! them, `manager` tells the service manager. Those who do not chat are in the `annex`, each at a `desk`: `visiting` and
//! `exposure` answer who asks for figures, `control`, `registrar` and `book` an administrator.

#![cfg_attr(
    not(test),
    deny(
        clippy::get_unwrap,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unwrap_used
    )
)]

mod access;
mod accounts;
mod address;
mod annex;
mod bans;
mod book;
mod budget;
mod clock;
mod closing;
mod connection;
mod control;
mod core;
mod counters;
mod deciding;
mod desk;
mod doors;
mod driver;
mod entrance;
mod entropy;
mod exchange;
mod exposure;
mod figures;
mod gateway;
mod guest;
mod hosting;
mod limits;
mod login;
mod manager;
mod members;
mod nets;
mod notes;
mod notices;
mod order;
mod port;
mod posting;
mod receiving;
mod registrar;
mod reload;
mod rules;
mod run;
mod sending;
mod sources;
mod swap;
mod tenants;
mod visiting;

pub use self::core::Server;
pub use access::{Access, Gate};
pub use accounts::AccountSettings;
pub use bans::{Ban, MAX_BANS, TooManyBans};
pub use book::BanSettings;
pub use connection::CloseReason;
pub use control::{About, Asker, Obeyed, Order};
pub use counters::Counters;
pub use doors::{Door, OpenError, Place, Purpose, UnfitError, Wanted};
pub use driver::Caught;
pub use figures::Figures;
pub use limits::{Advertise, Gathering, Limits, MessageRate};
pub use members::{MemberRow, Whom};
pub use order::MAX_REASON_BYTES;
pub use port::{MAX_PORTS, Pace};
pub use reload::{Reloads, Reread, Revision, Terms};
pub use rules::Rules;
pub use run::{House, run};
