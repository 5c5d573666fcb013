//! Owns the form in which the kernel takes an address: encoded once, sent to as often as there is something to send.
//! Knows nothing of sockets.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Where a datagram goes, as the bytes of a `sockaddr_in` or a `sockaddr_in6`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C, align(4))]
pub struct Destination([u8; LONGEST]);

/// A `sockaddr_in6`.
const LONGEST: usize = size_of::<libc::sockaddr_in6>();

const FAMILY_V6: [u8; 2] = (libc::AF_INET6 as libc::sa_family_t).to_ne_bytes();
const FAMILY_V4: [u8; 2] = (libc::AF_INET as libc::sa_family_t).to_ne_bytes();

impl Destination {
    /// No address at all: to fill arrays with. The kernel refuses it.
    pub const NOWHERE: Destination = Destination([0; LONGEST]);

    /// The address in its usual form.
    pub fn address(&self) -> SocketAddr {
        // family: 2, port: 2, then IPv4: address: 4; or IPv6: flow: 4, address: 16, scope: 4.
        let [f0, f1, p0, p1, a0, a1, a2, a3, rest @ ..] = self.0;
        let port = u16::from_be_bytes([p0, p1]);
        if [f0, f1] != FAMILY_V6 {
            let ip = Ipv4Addr::new(a0, a1, a2, a3);
            return SocketAddr::V4(SocketAddrV4::new(ip, port));
        }
        let [ip @ .., s0, s1, s2, s3] = rest;
        let flow = u32::from_ne_bytes([a0, a1, a2, a3]);
        let scope = u32::from_ne_bytes([s0, s1, s2, s3]);
        SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope))
    }

    /// How many of its bytes count.
    pub(super) fn name_len(&self) -> libc::socklen_t {
        let len = match self.0 {
            [f0, f1, ..] if [f0, f1] == FAMILY_V6 => size_of::<libc::sockaddr_in6>(),
            _ => size_of::<libc::sockaddr_in>(),
        };
        len as libc::socklen_t
    }

    /// Where its bytes are.
    pub(super) fn name(&self) -> *const libc::c_void {
        self.0.as_ptr().cast()
    }
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Destination {
        let mut bytes = [0; LONGEST];
        let mut fields = bytes.iter_mut();
        let mut put = |field: &[u8]| {
            for (byte, to) in field.iter().zip(&mut fields) {
                *to = *byte;
            }
        };
        match address {
            SocketAddr::V4(address) => {
                put(&FAMILY_V4);
                put(&address.port().to_be_bytes());
                put(&address.ip().octets());
            }
            SocketAddr::V6(address) => {
                put(&FAMILY_V6);
                put(&address.port().to_be_bytes());
                put(&address.flowinfo().to_ne_bytes());
                put(&address.ip().octets());
                put(&address.scope_id().to_ne_bytes());
            }
        }
        Destination(bytes)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_what_the_kernel_takes() {
        for text in [
            "192.0.2.7:7000",
            "0.0.0.0:0",
            "255.255.255.255:65535",
            "[2001:db8::1]:80",
            "[fe80::1%3]:5",
            "[::]:0",
        ] {
            let address: SocketAddr = text.parse().unwrap();
            let destination = Destination::from(address);
            assert_eq!(destination.address(), address);
            let kernels = socket2::SockAddr::from(address);
            assert_eq!(destination.name_len(), kernels.len(), "{text}");
        }
        let with_flow = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 9, 0x0102_0304, 7));
        assert_eq!(Destination::from(with_flow).address(), with_flow);
        assert_eq!(size_of::<Destination>(), 28);
    }
}
