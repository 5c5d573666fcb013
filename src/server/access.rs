//! Owns from where people may come: prefixes of addresses that are let in, or are not. Knows nothing of what they want.

use std::net::IpAddr;

use ipnet::IpNet;

use super::nets::Nets;

/// From where people may come to one service, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// From these alone; from everywhere, if there are none.
    pub allow: Vec<IpNet>,
    /// But not from these.
    pub deny: Vec<IpNet>,
}

/// The same, as it is looked at for each who comes: it costs no more with ten thousand prefixes than with one of
/// each length.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    allow: Nets<()>,
    deny: Nets<()>,
}

impl Gate {
    /// Lets in whom that lets in.
    pub fn new(access: &Access) -> Gate {
        let collect = |nets: &[IpNet]| {
            let mut all = Nets::default();
            for net in nets {
                all.insert(*net, ());
            }
            all
        };
        Gate {
            allow: collect(&access.allow),
            deny: collect(&access.deny),
        }
    }

    /// Whether an address is let in. An IPv4 address that is mapped into IPv6 is the IPv4 address.
    pub fn admits(&self, address: IpAddr) -> bool {
        let is_in = |nets: &Nets<()>| nets.of(address).next().is_some();
        (self.allow.is_empty() || is_in(&self.allow)) && !is_in(&self.deny)
    }

    /// Whether everybody is let in.
    pub fn is_open(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_denied_is_not_let_in_and_who_is_not_allowed_neither() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let table = [
            (&[][..], &[][..], "192.0.2.1", true),
            (&["10.0.0.0/8"], &[], "10.1.2.3", true),
            (&["10.0.0.0/8"], &[], "::ffff:10.1.2.3", true),
            (&["10.0.0.0/8"], &[], "11.1.2.3", false),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.2.3", false),
            (&[], &["2001:db8::/32"], "2001:db8::1", false),
            (&[], &["2001:db8::/32"], "2001:db9::1", true),
            (&["0.0.0.0/0"], &[], "::1", false),
            (&["::/0"], &[], "192.0.2.1", false),
        ];
        for (allow, deny, address, admitted) in table {
            let access = Access {
                allow: nets(allow),
                deny: nets(deny),
            };
            let gate = Gate::new(&access);
            assert_eq!(gate.admits(address.parse().unwrap()), admitted, "{address}");
            assert_eq!(gate.is_open(), access == Access::default());
        }
    }
}
