//! Owns from where people may come: prefixes of addresses that are let in, or are not. Knows nothing of what they want.

use std::net::IpAddr;

use ipnet::IpNet;

/// From where people may come to one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// From these alone; from everywhere, if there are none.
    pub allow: Vec<IpNet>,
    /// But not from these.
    pub deny: Vec<IpNet>,
}

impl Access {
    /// Whether an address, in its [`plain`](crate::reactor::plain) form, is let in.
    pub fn admits(&self, address: IpAddr) -> bool {
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        (self.allow.is_empty() || within(&self.allow)) && !within(&self.deny)
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
            (&["10.0.0.0/8"], &[], "11.1.2.3", false),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.2.3", false),
            (&[], &["2001:db8::/32"], "2001:db8::1", false),
            (&[], &["2001:db8::/32"], "2001:db9::1", true),
            (&["0.0.0.0/0"], &[], "::1", false),
        ];
        for (allow, deny, address, admitted) in table {
            let access = Access {
                allow: nets(allow),
                deny: nets(deny),
            };
            assert_eq!(
                access.admits(address.parse().unwrap()),
                admitted,
                "{address}"
            );
        }
    }
}
