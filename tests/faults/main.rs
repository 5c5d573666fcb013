//! What the server bears: faults of peers, of the machine and of whoever started it. The server is the real
//! one, in a process of its own; the faults are real, too.

#[path = "../support/chat.rs"]
mod chat;
#[path = "../support/namespaces.rs"]
mod namespaces;
#[path = "../support/mod.rs"]
mod support;

mod datagrams;
mod descriptors;
mod listening;
mod logged;
mod networks;
mod passwords;
mod process;
mod signals;
mod store;
mod streams;
mod tracer;
