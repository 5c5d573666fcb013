//! Owns how the values of `mynah bench` are written: whom to load, in which proportion, for how long. Knows
//! nothing of what is done with them.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::protocol::registry::Protocol;

/// Whom some of the members talk to: `NAME`, or `NAME=ADDR:PORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Of `tcrp` and `ucrp` it is always `tcrp`: who talks in one has come by the other.
    pub protocol: Protocol,
    /// The server that somebody else has started. Without one there is to be one of our own.
    pub address: Option<SocketAddr>,
}

/// What is wrong with a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// No protocol is called so.
    Name(String),
    /// That is no IP address with a port.
    Address(String),
    /// Nobody can come by UCRP alone.
    UcrpAlone,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        let (name, address) = match text.split_once('=') {
            Some((name, address)) => (name, Some(address)),
            None => (text, None),
        };
        let unknown = |_| TargetError::Name(name.into());
        let protocol: Protocol = name.parse().map_err(unknown)?;
        let address = match address {
            None => None,
            Some(_) if protocol == Protocol::Ucrp => return Err(TargetError::UcrpAlone),
            Some(address) => match address.parse::<SocketAddr>() {
                Ok(parsed) if parsed.port() != 0 => Some(parsed),
                _ => return Err(TargetError::Address(address.into())),
            },
        };
        Ok(Target {
            protocol: protocol.kin(),
            address,
        })
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetError::Name(name) => {
                let names: Vec<&str> = Protocol::ALL.iter().map(|one| one.name()).collect();
                write!(
                    f,
                    "no protocol is called {name:?}; there is: {}",
                    names.join(", ")
                )
            }
            TargetError::Address(address) => write!(
                f,
                "{address:?} is no IP address with a port from 1 to 65535, as 127.0.0.1:42069 or [::1]:42069"
            ),
            TargetError::UcrpAlone => write!(
                f,
                "its members come by tcrp: name tcrp=ADDR:PORT, and datagrams go to the port behind it"
            ),
        }
    }
}

impl std::error::Error for TargetError {}

/// The proportion of several targets' members, in their order: `3:1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares(Vec<u16>);

/// It is not numbers from 1 with colons between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharesError;

impl Shares {
    /// The same share for each of so many.
    pub fn even(targets: usize) -> Shares {
        Shares(vec![1; targets])
    }

    /// One for each target, each at least one.
    pub fn each(&self) -> &[u16] {
        &self.0
    }
}

impl FromStr for Shares {
    type Err = SharesError;

    fn from_str(text: &str) -> Result<Shares, SharesError> {
        let shares = text.split(':').map(|share| match share.parse() {
            Ok(share) if share > 0 => Ok(share),
            _ => Err(SharesError),
        });
        shares.collect::<Result<Vec<u16>, _>>().map(Shares)
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares: Vec<String> = self.0.iter().map(u16::to_string).collect();
        f.write_str(&shares.join(":"))
    }
}

impl fmt::Display for SharesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a share for each protocol, in their order, as 3:1 for three members of the first for one of the second"
        )
    }
}

impl std::error::Error for SharesError {}

/// A length of time: a number and its unit, as `500ms`, `30m` or `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| {
        // Most often the unit is what is missing.
        let meant = match text.trim().parse::<f64>() {
            Ok(_) => format!("; {0} seconds are {0}s", text.trim()),
            Err(_) => String::new(),
        };
        format!("it is a number with its unit, as 500ms, 2s, 30m, 12h or 7d{meant}")
    })
}

/// A whole number that is not 0.
pub fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("it is a whole number from 1".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_protocol_and_perhaps_an_address() {
        let target: Target = "group".parse().unwrap();
        assert_eq!((target.protocol, target.address), (Protocol::Group, None));
        let target: Target = "udp-room=[::1]:9".parse().unwrap();
        assert_eq!(target.protocol, Protocol::UdpRoom);
        assert_eq!(target.address.unwrap().to_string(), "[::1]:9");
        let ucrp: Target = "ucrp".parse().unwrap();
        assert_eq!(ucrp, "tcrp".parse().unwrap());
        let error = |text: &str| text.parse::<Target>().unwrap_err().to_string();
        assert_eq!(
            error("irc=1.2.3.4:5"),
            "no protocol is called \"irc\"; there is: tcp-room, group, udp-room, udp-login, tcrp, ucrp, udp-mesh"
        );
        for address in ["", "127.0.0.1", "127.0.0.1:0", "localhost:1", "::1:1:x"] {
            let said = error(&format!("group={address}"));
            assert!(said.starts_with(&format!("{address:?} is no IP")), "{said}");
        }
        assert!(error("ucrp=127.0.0.1:1").contains("tcrp=ADDR:PORT"));
    }

    #[test]
    fn shares_are_numbers() {
        assert_eq!("3:1".parse::<Shares>().unwrap().each(), [3, 1]);
        assert_eq!("7".parse::<Shares>().unwrap().each(), [7]);
        assert_eq!(Shares::even(2).to_string(), "1:1");
        for wrong in ["", "0:1", "1:", "a", "3,1", "-1:2", "1:9999999999"] {
            assert_eq!(wrong.parse::<Shares>(), Err(SharesError), "{wrong}");
        }
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        let error = duration("2").unwrap_err();
        assert!(error.ends_with("; 2 seconds are 2s"), "{error}");
        assert_eq!(
            duration("soon").unwrap_err(),
            "it is a number with its unit, as 500ms, 2s, 30m, 12h or 7d"
        );
    }
}
