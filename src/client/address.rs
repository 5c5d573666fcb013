//! Owns how the place of a server is written: `host`, `host:port`, `[::1]:port` or `::1`.
//! Knows no name service: what the host means is looked up elsewhere.

use std::fmt;
use std::net::Ipv6Addr;

/// A server as somebody typed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

/// Why a text is not an address, with what is wrong about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// No host.
    NoHost { given: String },
    /// A port that is none.
    BadPort { port: String },
    /// A `[` without its `]`, or something else than a port behind it.
    BadBrackets { given: String },
}

impl Address {
    /// Reads one of the four forms; without a port it is `default_port`.
    pub fn parse(given: &str, default_port: u16) -> Result<Address, AddressError> {
        let (host, port) = if let Some(inside) = given.strip_prefix('[') {
            match inside.split_once(']') {
                Some((host, "")) => (host, None),
                Some((host, rest)) if rest.starts_with(':') => (host, rest.strip_prefix(':')),
                _ => {
                    return Err(AddressError::BadBrackets {
                        given: given.into(),
                    });
                }
            }
        } else if is_ipv6(given) {
            (given, None)
        } else {
            match given.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (given, None),
            }
        };
        if host.is_empty() {
            return Err(AddressError::NoHost {
                given: given.into(),
            });
        }
        let port = match port {
            Some(port) => parse_port(port)?,
            None => default_port,
        };
        Ok(Address {
            host: host.into(),
            port,
        })
    }
}

/// An IPv6 address, perhaps with the network interface that it is to be reached by (`fe80::1%eth0`).
fn is_ipv6(text: &str) -> bool {
    let address = text.split_once('%').map_or(text, |(address, _)| address);
    address.parse::<Ipv6Addr>().is_ok()
}

fn parse_port(port: &str) -> Result<u16, AddressError> {
    match port.parse() {
        // `u16` takes a sign, which nobody means.
        Ok(number) if number != 0 && !port.starts_with('+') => Ok(number),
        _ => Err(AddressError::BadPort { port: port.into() }),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::NoHost { given } => {
                write!(f, "{given:?} names no host: it is HOST or HOST:PORT")
            }
            AddressError::BadPort { port } => {
                write!(
                    f,
                    "{port:?} is not a port: a port is a number from 1 to 65535"
                )
            }
            AddressError::BadBrackets { given } => {
                write!(
                    f,
                    "{given:?} is not an address: with brackets it is [IPv6] or [IPv6]:PORT"
                )
            }
        }
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_an_address() {
        let table = [
            ("localhost", "localhost", 42069, "localhost:42069"),
            ("example.org:7000", "example.org", 7000, "example.org:7000"),
            ("127.0.0.1:1", "127.0.0.1", 1, "127.0.0.1:1"),
            ("::1", "::1", 42069, "[::1]:42069"),
            ("[::1]", "::1", 42069, "[::1]:42069"),
            ("[::1]:65535", "::1", 65535, "[::1]:65535"),
            (
                "fe80::1%eth0",
                "fe80::1%eth0",
                42069,
                "[fe80::1%eth0]:42069",
            ),
        ];
        for (given, host, port, shown) in table {
            let address = Address::parse(given, 42069).unwrap();
            assert_eq!(
                (address.host.as_str(), address.port),
                (host, port),
                "{given}"
            );
            assert_eq!(address.to_string(), shown);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            ("", "\"\" names no host"),
            (":42069", "\":42069\" names no host"),
            ("[]:1", "\"[]:1\" names no host"),
            (
                "host:abc",
                "\"abc\" is not a port: a port is a number from 1 to 65535",
            ),
            ("host:70000", "\"70000\" is not a port"),
            ("host:0", "\"0\" is not a port"),
            ("host:+5", "\"+5\" is not a port"),
            ("host:", "\"\" is not a port"),
            ("host:1:2", "\"1:2\" is not a port"),
            ("[::1", "\"[::1\" is not an address"),
            ("[::1]42069", "\"[::1]42069\" is not an address"),
        ];
        for (given, message) in table {
            let error = Address::parse(given, 42069).unwrap_err().to_string();
            assert!(error.starts_with(message), "{given}: {error}");
        }
    }
}
