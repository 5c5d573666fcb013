//! Owns the prefixes of addresses that can be banned, as a person writes them. Knows nothing of who is behind them.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// A prefix of addresses. An IPv4 address dressed as IPv6 (`::ffff:a.b.c.d`) is IPv4 again, as the server sees all
/// addresses; bits behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    net: IpNet,
    /// Bits were set behind the prefix.
    trimmed: bool,
}

/// Why a text is no prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixError {
    text: String,
}

/// With fewer bits, an IPv4 prefix is more than what one registry gives to anybody (a /8), and an IPv6 one likewise.
const WIDE: (u8, u8) = (8, 16);

impl Prefix {
    /// An address alone is the prefix of itself.
    pub fn parse(text: &str) -> Result<Prefix, PrefixError> {
        let wrong = || PrefixError { text: text.into() };
        let net = match text.parse::<IpNet>() {
            Ok(net) => net,
            Err(_) => text.parse::<IpAddr>().map_err(|_| wrong())?.into(),
        };
        let net = undressed(net);
        Ok(Prefix {
            net: net.trunc(),
            trimmed: net.trunc() != net,
        })
    }

    /// The addresses.
    pub fn net(&self) -> IpNet {
        self.net
    }

    /// Whether bits were set behind the prefix, which count for nothing.
    pub fn was_trimmed(&self) -> bool {
        self.trimmed
    }

    /// Why to ask again before so much is banned; `None` where there is no reason to.
    pub fn concern(&self) -> Option<&'static str> {
        let loopback = match self.net {
            IpNet::V4(net) => {
                let own = Ipv4Net::new_assert([127, 0, 0, 0].into(), 8);
                net.contains(&own) || own.contains(&net)
            }
            IpNet::V6(net) => net.contains(&Ipv6Addr::LOCALHOST),
        };
        let least = match self.net {
            IpNet::V4(_) => WIDE.0,
            IpNet::V6(_) => WIDE.1,
        };
        if loopback {
            Some("this machine itself is in it")
        } else if self.net.prefix_len() < least {
            Some("a large part of all addresses is in it")
        } else {
            None
        }
    }
}

fn undressed(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let Some(address) = v6.addr().to_ipv4_mapped()
        && let Some(length) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(address, length)
    {
        return v4.into();
    }
    net
}

impl From<IpNet> for Prefix {
    fn from(net: IpNet) -> Prefix {
        let net = undressed(net);
        Prefix {
            net: net.trunc(),
            trimmed: false,
        }
    }
}

/// A whole address without its length.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.net.prefix_len() == self.net.max_prefix_len() {
            true => self.net.addr().fmt(f),
            false => self.net.fmt(f),
        }
    }
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no address and no prefix, as 192.0.2.7, 192.0.2.0/24, 2001:db8::7 or 2001:db8::/48",
            self.text
        )
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
        ] {
            let error = Prefix::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
