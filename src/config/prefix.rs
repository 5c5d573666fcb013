//! Owns how a network is written: an address, or a prefix of addresses.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// What is wrong with a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// Neither an address nor a prefix.
    Form,
    /// An address inside the network, where its first is meant to stand.
    HostBits { meant: IpNet },
}

/// One address as `192.0.2.1`, or a prefix as `10.0.0.0/8` or `2001:db8::/32`. An IPv4 address mapped into IPv6
/// (RFC 4291, 2.5.5.2) is the IPv4 address: that is how peers are known.
pub fn prefix(text: &str) -> Result<IpNet, PrefixError> {
    let net: IpNet = match text.parse::<IpAddr>() {
        Ok(address) => address.into(),
        Err(_) => text.parse().map_err(|_| PrefixError::Form)?,
    };
    let net = plain(net);
    if net.addr() != net.network() {
        let meant = net.trunc();
        return Err(PrefixError::HostBits { meant });
    }
    Ok(net)
}

/// As [`prefix`] reads it: a whole address has no `/` behind it.
pub fn show_prefix(net: &IpNet) -> String {
    match net.prefix_len() == net.max_prefix_len() {
        true => net.addr().to_string(),
        false => net.to_string(),
    }
}

/// Networks of mapped addresses as the networks of IPv4 that they are.
fn plain(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let Some(address) = v6.addr().to_ipv4_mapped()
        && let Some(length) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(address, length)
    {
        return v4.into();
    }
    net
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixError::Form => f.write_str(
                "an IP address or a prefix of addresses, as 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32",
            ),
            PrefixError::HostBits { meant } => {
                let only = show_prefix(meant);
                write!(
                    f,
                    "the first address of the network before the /, as {only}"
                )
            }
        }
    }
}

impl std::error::Error for PrefixError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_prefixes() {
        for (text, shown) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(show_prefix(&prefix(text).unwrap()), shown, "{text}");
        }
        for text in [
            "",
            "10",
            "10.0.0.0/33",
            "10.0.0.0/",
            "localhost",
            "::/129",
            "10.0.0.0/8/8",
        ] {
            assert_eq!(prefix(text), Err(PrefixError::Form), "{text}");
        }
        let error = prefix("10.1.2.3/8").unwrap_err();
        assert!(error.to_string().contains("as 10.0.0.0/8"), "{error}");
    }
}
