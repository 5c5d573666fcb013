//! Owns everything that touches the kernel: the poll, sockets, listeners, batched datagrams, timers,
//! signals, the one helper thread, and what a service manager hands over and is told.
//! Knows nothing of what the bytes mean: no message, no member, no wire format.
//!
//! Everything is edge-triggered, as mio is: after a readiness whoever owns the socket goes on until
//! the kernel says `WouldBlock` (for a stream also until a short read), or remembers it in its own
//! ready list. Nobody is told twice.

#![cfg_attr(
    not(test),
    deny(
        clippy::get_unwrap,
        clippy::panic,
        clippy::string_slice,
        clippy::unwrap_used
    )
)]

mod datagram;
mod descriptors;
mod destination;
mod failure;
mod helper;
mod inherited;
mod key;
mod listener;
mod memory;
mod notify;
mod poller;
mod private;
mod process;
mod signals;
mod stream;
mod sys;
mod timers;
mod wire;

pub use datagram::{
    BATCH, DatagramPort, Inbox, Incoming, MAX_DATAGRAM, Outgoing, SEND_BATCH, Told, UdpPort,
    own_addresses,
};
pub use descriptors::{Reserve, raise_descriptor_limit};
pub use destination::Destination;
pub use failure::SendFailure;
pub use helper::{Busy, Helper, MAX_WAITING_JOBS, Urgency};
pub use inherited::{Inherited, Misfit, inherited};
pub use key::{Key, Slots};
pub use listener::{Accept, DeadPeer, Listener, Pause, plain};
pub use memory::{give_back_code, give_back_free_memory};
pub use notify::{Notifier, watchdog_period};
pub use poller::{Poller, Readiness};
pub use private::{MAX_SOCKET_PATH, PrivateListener, is_trusted};
pub use process::ProcessFigures;
pub use signals::{ControllingTerminal, Signal, Signals, is_ignored};
pub use stream::Stream;
pub use timers::{TimerId, Timers};
pub use wire::Wire;
