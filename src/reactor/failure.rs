//! Owns what a failed send of a datagram means. None of these ends a port: the datagram is lost, as any may be.

use std::io::{self, ErrorKind};

use rustix::io::Errno;

/// Why the kernel would not send a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendFailure {
    /// An earlier datagram was answered that nobody is there (ICMP): it is about that one, not this.
    NobodyThere,
    /// It has no memory for it.
    NoMemory,
    /// Longer than the way there takes.
    TooLong,
    /// There is no way there, or a filter forbids it.
    NoRoute,
    /// Anything else.
    Other,
}

impl SendFailure {
    /// What an error means.
    pub fn of(error: &io::Error) -> SendFailure {
        match Errno::from_io_error(error) {
            Some(Errno::NOBUFS) => return SendFailure::NoMemory,
            Some(Errno::MSGSIZE) => return SendFailure::TooLong,
            _ => {}
        }
        match error.kind() {
            ErrorKind::ConnectionRefused => SendFailure::NobodyThere,
            ErrorKind::OutOfMemory => SendFailure::NoMemory,
            ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::AddrNotAvailable
            | ErrorKind::PermissionDenied => SendFailure::NoRoute,
            _ => SendFailure::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_errno_of_a_send_has_its_class() {
        for (errno, failure) in [
            (Errno::CONNREFUSED, SendFailure::NobodyThere),
            (Errno::NOBUFS, SendFailure::NoMemory),
            (Errno::NOMEM, SendFailure::NoMemory),
            (Errno::MSGSIZE, SendFailure::TooLong),
            (Errno::HOSTUNREACH, SendFailure::NoRoute),
            (Errno::NETUNREACH, SendFailure::NoRoute),
            (Errno::NETDOWN, SendFailure::NoRoute),
            (Errno::PERM, SendFailure::NoRoute),
            (Errno::ACCESS, SendFailure::NoRoute),
            (Errno::INVAL, SendFailure::Other),
            (Errno::IO, SendFailure::Other),
        ] {
            assert_eq!(SendFailure::of(&errno.into()), failure, "{errno}");
        }
    }
}
