//! Owns our conversations with other clients that go without the server: who invites whom, and what is said then.
//! Knows no socket, the time only as it is told, and not who is in the room: whoever calls it has looked that up.
//!
//! ```text
//!           Listening           ACK               Connected
//!  Opening ──────────▶ Inviting ───▶ Awaiting ─────────────▶ Talking
//!   (/start)               │           Connected (ACK lost)    ▲
//!                          └───────────────────────────────────┤
//!  Connecting ─────────────────────────────────────────────────┘
//!   (INIT came)                        Connected
//! ```
//!
//! From any of them a conversation ends by its stream's end, by `/end`, and before Talking by its time. There is
//! one with each member at the most; when both begin at once, the one with the smaller secret stays.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;

use super::direct;
use super::pace::Pace;
use crate::chat::{MAX_TEXT_BYTES, Name, split};
use crate::protocol::{
    Call, Context, Decoded, Destination, Hidden, PeerEvent, PeerLink, Secret, Told,
};

/// Draws 128 bits that nobody can guess.
pub type DrawSecret = Box<dyn FnMut() -> [u8; 16]>;

/// How many conversations there may be: each may cost a socket, and others begin them too.
pub const MAX_CONVERSATIONS: usize = 64;

/// How often `INIT` is sent before we give up.
const INITS: u8 = 6;

/// How long we wait between them for `ACK`.
const INIT_INTERVAL: Duration = Duration::from_millis(500);

/// How long it may take until the stream stands, once both know that they want it.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Texts that wait for a stream that does not stand yet.
const MAX_WAITING: usize = 64;

/// Secrets of invitations that we have answered: a late copy is answered again, and nothing else.
const REMEMBERED: usize = 64;

/// How long a member's further invitations are ignored after one was taken up, whatever became of that: each
/// costs a connection, and anybody can send them in its name. It is less than the time for which an honest one
/// is repeated.
const INVITED_PACE: Duration = Duration::from_secs(2);

/// How long nothing more is said of a member's invitations that come to nothing.
const FAILED_PACE: Duration = Duration::from_secs(60);

/// All conversations of one client.
pub struct Peers {
    conversations: Vec<Conversation>,
    next_link: u32,
    draw: DrawSecret,
    answered: VecDeque<String>,
    invited: Pace,
    failed: Pace,
}

/// One conversation.
#[derive(Debug)]
struct Conversation {
    link: PeerLink,
    name: String,
    /// Where its datagrams come from.
    address: SocketAddr,
    secret: Hidden<String>,
    stage: Stage,
    /// Whether the person began it or has said something in it, and so must hear what becomes of it.
    wanted: bool,
    /// Said before the stream stood.
    waiting: Vec<String>,
    /// Until so many bytes are there, there is no whole frame.
    needed: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// We want to invite, and have no port yet.
    Opening,
    /// We have invited that often, on that port.
    Inviting { port: u16, sent: u8, next: Instant },
    /// Our invitation was heard.
    Awaiting { until: Instant },
    /// We were invited.
    Connecting { until: Instant },
    /// The stream stands.
    Talking,
}

impl Stage {
    /// Whether we began it, and it is not decided yet.
    fn is_invitation(self) -> bool {
        match self {
            Stage::Opening | Stage::Inviting { .. } | Stage::Awaiting { .. } => true,
            Stage::Connecting { .. } | Stage::Talking => false,
        }
    }

    fn due(self) -> Option<Instant> {
        match self {
            Stage::Inviting { next, .. } => Some(next),
            Stage::Awaiting { until } | Stage::Connecting { until } => Some(until),
            Stage::Opening | Stage::Talking => None,
        }
    }
}

impl Peers {
    /// None yet.
    pub fn new(draw: DrawSecret) -> Peers {
        Peers {
            conversations: Vec::new(),
            next_link: 0,
            draw,
            answered: VecDeque::new(),
            invited: Pace::new(INVITED_PACE),
            failed: Pace::new(FAILED_PACE),
        }
    }

    /// The person wants to talk with this member, whose datagrams go to `address`.
    pub fn start(&mut self, name: &str, address: SocketAddr, context: &mut Context<'_>) {
        if self.with(name).is_some() {
            return notice(
                context,
                format!("there is a direct session with {name} already"),
            );
        }
        if self.conversations.len() >= MAX_CONVERSATIONS {
            return notice(context, "too many direct sessions".to_string());
        }
        let mut secret = Vec::new();
        Secret::new((self.draw)()).encode(&mut secret);
        let secret = String::from_utf8_lossy(&secret).into_owned();
        let mut begun = self.prepare(name, address, secret, Stage::Opening);
        begun.wanted = true;
        let link = begun.link;
        self.conversations.push(begun);
        let from = canonical(address);
        context.out.calls.push(Call::Listen { link, from });
    }

    /// Says something to a member, now or as soon as the stream stands. Whether there is a conversation.
    pub fn chat(&mut self, name: &str, text: &str, context: &mut Context<'_>) -> bool {
        let Some(conversation) = self.with(name) else {
            return false;
        };
        conversation.wanted = true;
        let talking = conversation.stage == Stage::Talking;
        for piece in split(text, MAX_TEXT_BYTES) {
            if talking {
                conversation.send(piece, context);
            } else if conversation.waiting.len() < MAX_WAITING {
                conversation.waiting.push(piece.to_string());
            } else {
                notice(
                    context,
                    format!("not sent, {name} has not answered yet: {piece}"),
                );
            }
        }
        true
    }

    /// Ends the conversation with this member, whose name is written as it was. Whether there was one.
    pub fn end(&mut self, name: &str, context: &mut Context<'_>) -> bool {
        let Some(conversation) = self.take(|conversation| conversation.name == name) else {
            return false;
        };
        close(&conversation, context);
        notice(context, format!("direct session with {name} ended"));
        conversation.tell_not_sent(context);
        true
    }

    /// Somebody has come under this name: whoever had it before, however it was written, is not who has it now.
    pub fn handle_arrived(&mut self, name: &str, context: &mut Context<'_>) {
        let names = self.conversations.iter().map(|of| of.name.clone());
        let before: Vec<String> = names.filter(|of| is_same_name(of, name)).collect();
        for name in before {
            self.end(&name, context);
        }
    }

    /// The conversation that a person means who names somebody no longer here: with whom it is, exactly as
    /// written or else as names are compared.
    pub fn meant(&self, name: &str) -> Option<&str> {
        let mut names = self.conversations.iter().map(|of| of.name.as_str());
        let exact = names.clone().find(|of| *of == name);
        exact.or_else(|| names.find(|of| is_same_name(of, name)))
    }

    /// A member has left the room. A stream that stands may go on; what is being prepared is in vain.
    pub fn handle_left(&mut self, name: &str, context: &mut Context<'_>) {
        let is_it = |of: &Conversation| of.name == name && of.stage != Stage::Talking;
        if let Some(conversation) = self.take(is_it) {
            close(&conversation, context);
            self.tell_failed(&conversation, &format!("{name} has left"), context);
        }
    }

    /// Ends all of them: the person leaves, and is told only what was not sent.
    pub fn end_all(&mut self, context: &mut Context<'_>) {
        for conversation in self.conversations.drain(..) {
            close(&conversation, context);
            conversation.tell_not_sent(context);
        }
    }

    /// The member `name`, whose datagrams come from `from`, invites us to connect to its `port`.
    pub fn handle_init(
        &mut self,
        name: &str,
        from: SocketAddr,
        secret: &str,
        port: u16,
        context: &mut Context<'_>,
    ) {
        if self
            .answered
            .iter()
            .any(|answered| is_same_secret(answered, secret))
        {
            return acknowledge(from, secret, context);
        }
        if let Some(ours) = self.with(name) {
            // Either it has one with us that it may not know to be over, in which case it asks again, or we have
            // begun at once: then it hears of our smaller secret and gives in, or we do.
            if !ours.stage.is_invitation() || !direct::is_smaller(secret, &ours.secret) {
                return;
            }
        } else if self.conversations.len() >= MAX_CONVERSATIONS {
            return;
        }
        if !self.invited.take_turn(name, context.now) {
            return;
        }
        let ours = self.take(|conversation| conversation.name == name);
        if let Some(ours) = &ours {
            close(ours, context);
        }
        acknowledge(from, secret, context);
        if self.answered.len() == REMEMBERED {
            self.answered.pop_front();
        }
        self.answered.push_back(secret.to_string());
        let until = context.now + CONNECT_TIME;
        let secret = secret.to_string();
        let mut begun = self.prepare(name, from, secret, Stage::Connecting { until });
        if let Some(ours) = ours {
            (begun.wanted, begun.waiting) = (ours.wanted, ours.waiting);
        }
        let link = begun.link;
        self.conversations.push(begun);
        let to = SocketAddr::new(from.ip().to_canonical(), port);
        context.out.calls.push(Call::Connect { link, to });
    }

    /// Somebody says that it has heard of an invitation with that secret.
    pub fn handle_ack(&mut self, from: SocketAddr, secret: &str, context: &mut Context<'_>) {
        let heard = self.conversations.iter_mut().find(|conversation| {
            is_same_secret(&conversation.secret, secret)
                && is_same(conversation.address, from)
                && matches!(conversation.stage, Stage::Inviting { .. })
        });
        if let Some(conversation) = heard {
            let until = context.now + CONNECT_TIME;
            conversation.stage = Stage::Awaiting { until };
        }
    }

    /// What became of a stream; how many of its bytes were used.
    pub fn handle_event(
        &mut self,
        link: PeerLink,
        event: PeerEvent<'_>,
        context: &mut Context<'_>,
    ) -> usize {
        let is_it = |conversation: &Conversation| conversation.link == link;
        let Some(conversation) = self.conversations.iter_mut().find(|of| is_it(of)) else {
            // Closed by us; what was still on its way is nobody's.
            return match event {
                PeerEvent::Bytes(bytes) => bytes.len(),
                PeerEvent::Listening { .. } | PeerEvent::Connected | PeerEvent::Closed => 0,
            };
        };
        match (conversation.stage, event) {
            (Stage::Opening, PeerEvent::Listening { port }) => {
                conversation.invite(port, 1, context);
                0
            }
            (
                Stage::Opening
                | Stage::Inviting { .. }
                | Stage::Awaiting { .. }
                | Stage::Connecting { .. },
                PeerEvent::Connected,
            ) => {
                conversation.stage = Stage::Talking;
                let name = &conversation.name;
                notice(context, format!("direct session with {name} started"));
                for text in std::mem::take(&mut conversation.waiting) {
                    conversation.send(&text, context);
                }
                0
            }
            (Stage::Talking, PeerEvent::Bytes(bytes)) => match conversation.hear(bytes, context) {
                Ok(used) => used,
                Err(violation) => {
                    if let Some(conversation) = self.take(is_it) {
                        let name = &conversation.name;
                        close(&conversation, context);
                        let text = format!("direct session with {name} ended: it sent {violation}");
                        notice(context, text);
                    }
                    bytes.len()
                }
            },
            (Stage::Talking, PeerEvent::Closed) => {
                if let Some(conversation) = self.take(is_it) {
                    let name = &conversation.name;
                    notice(context, format!("direct session with {name} ended"));
                }
                0
            }
            (
                Stage::Opening
                | Stage::Inviting { .. }
                | Stage::Awaiting { .. }
                | Stage::Connecting { .. },
                PeerEvent::Closed,
            ) => {
                if let Some(conversation) = self.take(is_it) {
                    self.tell_failed(&conversation, "no connection", context);
                }
                0
            }
            // A driver that is out of step.
            (
                Stage::Opening
                | Stage::Inviting { .. }
                | Stage::Awaiting { .. }
                | Stage::Connecting { .. },
                PeerEvent::Bytes(bytes),
            ) => bytes.len(),
            (
                Stage::Inviting { .. }
                | Stage::Awaiting { .. }
                | Stage::Connecting { .. }
                | Stage::Talking,
                PeerEvent::Listening { .. },
            )
            | (Stage::Talking, PeerEvent::Connected) => 0,
        }
    }

    /// When something is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let dues = self.conversations.iter().map(|of| of.stage.due());
        dues.flatten().min()
    }

    /// Repeats what is to be repeated, and gives up what has taken too long.
    pub fn handle_timeout(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        for conversation in &mut self.conversations {
            if let Stage::Inviting { port, sent, next } = conversation.stage
                && next <= now
                && sent < INITS
            {
                conversation.invite(port, sent + 1, context);
            }
        }
        let is_over =
            |conversation: &Conversation| conversation.stage.due().is_some_and(|due| due <= now);
        while let Some(conversation) = self.take(is_over) {
            close(&conversation, context);
            let why = format!("{} does not answer", conversation.name);
            self.tell_failed(&conversation, &why, context);
        }
    }

    /// How many conversations of ours are not decided yet.
    pub fn undecided(&self) -> usize {
        let stages = self.conversations.iter().map(|of| of.stage);
        stages.filter(|stage| stage.is_invitation()).count()
    }

    fn prepare(
        &mut self,
        name: &str,
        address: SocketAddr,
        secret: String,
        stage: Stage,
    ) -> Conversation {
        let link = PeerLink(self.next_link);
        self.next_link = self.next_link.wrapping_add(1);
        Conversation {
            link,
            name: name.to_string(),
            address,
            secret: Hidden(secret),
            stage,
            wanted: false,
            waiting: Vec::new(),
            needed: 0,
        }
    }

    /// It came to nothing. What the person has no part in is not said again and again.
    fn tell_failed(&mut self, conversation: &Conversation, why: &str, context: &mut Context<'_>) {
        let name = &conversation.name;
        if conversation.wanted || self.failed.take_turn(name, context.now) {
            notice(context, format!("no direct session with {name}: {why}"));
        }
        conversation.tell_not_sent(context);
    }

    fn with(&mut self, name: &str) -> Option<&mut Conversation> {
        self.conversations.iter_mut().find(|of| of.name == name)
    }

    fn take(&mut self, is_it: impl Fn(&Conversation) -> bool) -> Option<Conversation> {
        let index = self.conversations.iter().position(is_it)?;
        Some(self.conversations.remove(index))
    }
}

impl Conversation {
    /// Sends the invitation for the `sent`th time.
    fn invite(&mut self, port: u16, sent: u8, context: &mut Context<'_>) {
        let to = Destination::Peer(self.address);
        let secret = &self.secret;
        context
            .out
            .datagram(to, |out| direct::encode_init(secret, port, out));
        let next = context.now + INIT_INTERVAL;
        self.stage = Stage::Inviting { port, sent, next };
    }

    /// What has waited for a stream that never stood.
    fn tell_not_sent(&self, context: &mut Context<'_>) {
        for text in &self.waiting {
            notice(context, format!("not sent: {text}"));
        }
    }

    fn send(&self, text: &str, context: &mut Context<'_>) {
        let link = self.link;
        let mut bytes = Vec::new();
        direct::encode_chat(text, &mut bytes);
        context.out.calls.push(Call::Send { link, bytes });
    }

    /// Takes all whole frames; how many bytes they had.
    fn hear(
        &mut self,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) -> Result<usize, direct::Violation> {
        let mut used = 0;
        while let Some(rest) = bytes
            .get(used..)
            .filter(|rest| rest.len() >= self.needed.max(1))
        {
            self.needed = 0;
            match direct::decode_chat(rest)? {
                Decoded::NeedMore { needed } => self.needed = needed,
                Decoded::Done {
                    frame: text,
                    used: length,
                } => {
                    used += length;
                    if !text.is_empty() {
                        context.told.push(Told::Direct {
                            from: self.name.clone(),
                            text: text.to_string(),
                        });
                    }
                }
            }
        }
        Ok(used)
    }
}

/// Whether two addresses are one, however IPv4 is written.
pub fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    canonical(one) == canonical(other)
}

/// Whether two secrets are one, in a time that does not tell how much of them is.
fn is_same_secret(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// Whether two names are one, also where existing servers let in names that ours would refuse.
fn is_same_name(one: &str, other: &str) -> bool {
    one == other || Name::parse(one).is_ok_and(|one| one.same_as(other))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// To where it came from, exactly: that is what our socket can reach.
fn acknowledge(to: SocketAddr, secret: &str, context: &mut Context<'_>) {
    let to = Destination::Peer(to);
    context
        .out
        .datagram(to, |out| direct::encode_ack(secret, out));
}

fn close(conversation: &Conversation, context: &mut Context<'_>) {
    let link = conversation.link;
    context.out.calls.push(Call::Close { link });
}

fn notice(context: &mut Context<'_>, text: String) {
    context.told.push(Told::Notice { text });
}
