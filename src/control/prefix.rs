//! Owns the prefixes of addresses that can be banned, as a person writes them. Knows nothing of who is behind them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::store::unmapped;

/// A prefix of addresses. An IPv4 address dressed as IPv6 (`::ffff:a.b.c.d`) is IPv4 again, as the server sees all
/// addresses; bits behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// With the bits that were set behind the prefix, if some were.
    written: IpNet,
}

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// It is none of addresses.
    NoPrefix { text: String },
    /// It begins in the IPv4 addresses that are dressed as IPv6, and is wider than all of them.
    TooWide { text: String },
}

/// With fewer bits, an IPv4 prefix is more than what one registry gives to anybody (a /8), and an IPv6 one likewise.
const WIDE: (u8, u8) = (8, 16);

impl Prefix {
    /// An address alone is the prefix of itself.
    pub fn parse(text: &str) -> Result<Prefix, PrefixError> {
        let net = text.parse::<IpNet>();
        let net = net.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let net = net.map_err(|_| PrefixError::NoPrefix { text: text.into() })?;
        let written = unmapped(net).ok_or_else(|| PrefixError::TooWide { text: text.into() })?;
        Ok(Prefix { written })
    }

    /// The addresses.
    pub fn net(&self) -> IpNet {
        self.written.trunc()
    }

    /// Whether bits were set behind the prefix, which count for nothing.
    pub fn was_trimmed(&self) -> bool {
        self.net() != self.written
    }

    /// The prefix with those bits, as it was written: whoever asks for it is to be told of them.
    pub fn as_written(&self) -> impl fmt::Display {
        Written(self.written)
    }

    /// Why to ask again before so much is banned; `None` where there is no reason to.
    pub fn concern(&self) -> Option<&'static str> {
        let net = self.net();
        let loopback = match net {
            IpNet::V4(net) => {
                let own = Ipv4Net::new_assert([127, 0, 0, 0].into(), 8);
                net.contains(&own) || own.contains(&net)
            }
            IpNet::V6(net) => net.contains(&Ipv6Addr::LOCALHOST),
        };
        let least = match net {
            IpNet::V4(_) => WIDE.0,
            IpNet::V6(_) => WIDE.1,
        };
        if loopback {
            Some("this machine itself is in it")
        } else if net.prefix_len() < least {
            Some("a large part of all addresses is in it")
        } else {
            None
        }
    }
}

impl From<IpNet> for Prefix {
    fn from(net: IpNet) -> Prefix {
        let written = unmapped(net).unwrap_or(net).trunc();
        Prefix { written }
    }
}

/// Without the bits behind it.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Written(self.net()).fmt(f)
    }
}

/// A whole address stands without its length.
struct Written(IpNet);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.prefix_len() == self.0.max_prefix_len() {
            true => self.0.addr().fmt(f),
            false => self.0.fmt(f),
        }
    }
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixError::NoPrefix { text } => write!(
                f,
                "{text:?} is no address and no prefix, as 192.0.2.7, 192.0.2.0/24, 2001:db8::7 or 2001:db8::/48"
            ),
            PrefixError::TooWide { text } => write!(
                f,
                "{text:?} is wider than all IPv4 addresses, which are 0.0.0.0/0; of IPv6 it bans nothing"
            ),
        }
    }
}

impl std::error::Error for PrefixError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_writes_is_one_prefix() {
        let table = [
            ("10.0.0.7", "10.0.0.7", false, false),
            ("10.0.0.7/32", "10.0.0.7", false, false),
            ("10.0.0.7/24", "10.0.0.0/24", true, false),
            ("10.0.0.0/8", "10.0.0.0/8", false, false),
            ("10.0.0.0/7", "10.0.0.0/7", false, true),
            ("0.0.0.0/0", "0.0.0.0/0", false, true),
            ("127.0.0.1", "127.0.0.1", false, true),
            ("127.9.9.9/16", "127.9.0.0/16", true, true),
            ("126.0.0.0/7", "126.0.0.0/7", false, true),
            ("128.0.0.0/8", "128.0.0.0/8", false, false),
            ("2001:db8::7", "2001:db8::7", false, false),
            ("2001:db8::7/48", "2001:db8::/48", true, false),
            ("2000::/3", "2000::/3", false, true),
            ("::1", "::1", false, true),
            ("::/0", "::/0", false, true),
            ("::ffff:10.0.0.7", "10.0.0.7", false, false),
            ("::ffff:10.0.0.7/120", "10.0.0.0/24", true, false),
            ("::ffff:127.0.0.1", "127.0.0.1", false, true),
            ("::ffff:0:0/96", "0.0.0.0/0", false, true),
        ];
        for (text, shown, trimmed, concern) in table {
            let prefix = Prefix::parse(text).unwrap();
            assert_eq!(prefix.to_string(), shown, "{text}");
            assert_eq!(prefix.was_trimmed(), trimmed, "{text}");
            assert_eq!(prefix.concern().is_some(), concern, "{text}");
            let again = Prefix::parse(shown).unwrap();
            assert_eq!((again.net(), again.was_trimmed()), (prefix.net(), false));
        }
        for text in [
            "",
            "x",
            "10.0.0",
            "10.0.0.7/33",
            "10.0.0.7/",
            "/8",
            "10.0.0.7 ",
            "010.0.0.7",
            "::1/129",
            "[::1]",
            "10.0.0.7:80",
            "10.0.0.0/255.0.0.0",
            "::ffff:0.0.0.0/90",
            "::ffff:10.0.0.0/95",
        ] {
            let error = Prefix::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
