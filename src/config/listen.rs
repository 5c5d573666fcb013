//! Owns what a socket is for and where it is: `NAME=ADDR:PORT`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::protocol::registry::{Protocol, Transport};
use crate::server::Purpose;

/// One socket: `NAME=ADDR:PORT` on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub service: Service,
    pub address: SocketAddr,
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Chat, in that protocol.
    Chat(Protocol),
    /// Figures for Prometheus, and the status page, over HTTP.
    Metrics,
}

/// What a socket for it is for.
impl From<Service> for Purpose {
    fn from(service: Service) -> Purpose {
        match service {
            Service::Chat(protocol) => Purpose::Chat(protocol),
            Service::Metrics => Purpose::Metrics,
        }
    }
}

impl Service {
    /// All that there are.
    pub fn all() -> impl Iterator<Item = Service> {
        let chat = Protocol::ALL.iter().copied().map(Service::Chat);
        chat.chain([Service::Metrics])
    }

    /// As it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Service::Chat(protocol) => protocol.name(),
            Service::Metrics => "metrics",
        }
    }

    /// What carries it.
    pub fn transport(self) -> Transport {
        match self {
            Service::Chat(protocol) => protocol.transport(),
            Service::Metrics => Transport::Tcp,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Listen {
    /// Where people come to when nobody says where.
    pub(super) fn defaults() -> Vec<Listen> {
        let protocols = Protocol::ALL.iter().copied();
        let defaults = protocols.filter(|protocol| protocol.is_default());
        defaults.map(Listen::default_of).collect()
    }

    /// This machine only, on the port that the protocol's programs expect.
    fn default_of(protocol: Protocol) -> Listen {
        Listen {
            service: Service::Chat(protocol),
            address: (Ipv4Addr::LOCALHOST, protocol.default_port()).into(),
        }
    }
}

/// Figures of nothing are no use: who names their socket alone gets them beside the chat that there is by default.
pub(super) fn with_chat(listen: Vec<Listen>) -> Vec<Listen> {
    if listen.iter().any(|one| one.service != Service::Metrics) {
        return listen;
    }
    Listen::defaults().into_iter().chain(listen).collect()
}

/// Who names TCRP alone gets its other half, where its tokens are shown, on the port behind it.
pub(super) fn with_partners(mut listen: Vec<Listen>) -> Vec<Listen> {
    let is_of = |protocol| move |one: &&Listen| one.service == Service::Chat(protocol);
    if listen.iter().any(|one| is_of(Protocol::Ucrp)(&one)) {
        return listen;
    }
    let halves = listen.iter().filter(is_of(Protocol::Tcrp));
    let others: Vec<Listen> = halves
        .map(|one| {
            let port = match one.address.port() {
                0 => 0,
                // Behind the last port there is none, so the kernel chooses.
                port => port.checked_add(1).unwrap_or(0),
            };
            Listen {
                service: Service::Chat(Protocol::Ucrp),
                address: SocketAddr::new(one.address.ip(), port),
            }
        })
        .collect();
    listen.extend(others);
    listen
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Listen, ListenError> {
        let (name, address) = text.split_once('=').ok_or(ListenError::Form)?;
        let service = Service::all().find(|service| service.name() == name);
        let service = service.ok_or_else(|| ListenError::Name(name.into()))?;
        let address = address
            .parse()
            .map_err(|_| ListenError::Address(address.into()))?;
        Ok(Listen { service, address })
    }
}

/// As it is read.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.service, self.address)
    }
}

/// What is wrong with a `NAME=ADDR:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenError {
    /// There is no `=`.
    Form,
    /// No protocol is called so, and nothing else that listens.
    Name(String),
    /// That is no IP address with a port.
    Address(String),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenError::Form => {
                write!(
                    f,
                    "it has the form NAME=ADDR:PORT, as tcp-room=127.0.0.1:42069"
                )
            }
            ListenError::Name(name) => {
                let names: Vec<&str> = Service::all().map(Service::name).collect();
                write!(
                    f,
                    "nothing that listens is called {name:?}; there is: {}",
                    names.join(", ")
                )
            }
            ListenError::Address(address) => write!(
                f,
                "{address:?} is no IP address with a port from 0 to 65535, as 127.0.0.1:42069, \
                 0.0.0.0:42069 or [::1]:42069"
            ),
        }
    }
}

impl std::error::Error for ListenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listened_for_is_read_or_what_is_wrong_is_named() {
        let listen: Listen = "tcp-room=[::1]:0".parse().unwrap();
        assert_eq!(listen.service, Service::Chat(Protocol::TcpRoom));
        assert_eq!(listen.address.to_string(), "[::1]:0");
        let error = |text: &str| text.parse::<Listen>().unwrap_err();
        assert_eq!(error("tcp-room"), ListenError::Form);
        assert_eq!(error("irc=127.0.0.1:1"), ListenError::Name("irc".into()));
        for address in [
            "",
            "127.0.0.1",
            "127.0.0.1:70000",
            "localhost:1",
            ":1",
            "::1:1:x",
        ] {
            let text = format!("tcp-room={address}");
            assert_eq!(error(&text), ListenError::Address(address.into()));
        }
    }

    #[test]
    fn figures_alone_come_with_the_chat_that_they_are_of() {
        let read = |texts: &[&str]| -> Vec<Listen> {
            let listen = texts.iter().map(|text| text.parse().unwrap()).collect();
            with_chat(listen)
        };
        let metrics = ["metrics=127.0.0.1:9464", "metrics=[::1]:9464"];
        let both = read(&metrics);
        let (chat, figures) = both.split_at(Listen::defaults().len());
        assert_eq!(chat, Listen::defaults());
        assert_eq!(figures[0].to_string(), metrics[0]);
        assert_eq!(figures[1].to_string(), metrics[1]);
        let named = read(&["metrics=127.0.0.1:1", "group=127.0.0.1:2"]);
        assert_eq!(named.len(), 2);
    }

    #[test]
    fn tcrp_alone_brings_its_other_half() {
        let listened = |texts: &[&str]| {
            let listen = texts.iter().map(|text| text.parse().unwrap()).collect();
            let all = with_partners(listen);
            let named = all
                .iter()
                .map(|one| format!("{}={}", one.service, one.address));
            named.collect::<Vec<_>>()
        };
        assert_eq!(
            listened(&["tcrp=127.0.0.1:9090", "tcrp=[::1]:0"]),
            [
                "tcrp=127.0.0.1:9090",
                "tcrp=[::1]:0",
                "ucrp=127.0.0.1:9091",
                "ucrp=[::1]:0"
            ]
        );
        let both = ["tcrp=127.0.0.1:9090", "ucrp=127.0.0.1:7"];
        assert_eq!(listened(&both), both);
        assert_eq!(listened(&["group=127.0.0.1:1"]), ["group=127.0.0.1:1"]);
    }
}
