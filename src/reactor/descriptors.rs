//! Owns what the process does about running out of file descriptors: a limit as high as it may be,
//! and one descriptor kept in reserve. Knows nothing of what the others are for.

use std::fs::File;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open descriptors to what the administrator allows, and returns it.
///
/// The soft limit of most systems is 1,024, for the sake of programs that use `select`; we do not.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised)?;
    }
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// A descriptor for bad days: without any, a connection that waits could not even be accepted to be
/// told so, and would wait (its peer believing itself connected) until another one ends.
///
/// One is enough for all listeners.
#[derive(Debug)]
pub struct Reserve {
    /// `None` while it is given up, and after somebody else was faster to take it.
    held: Option<File>,
}

impl Reserve {
    /// Takes the descriptor; early, while there are some.
    pub fn new() -> io::Result<Reserve> {
        Ok(Reserve {
            held: Some(open()?),
        })
    }

    /// Does `work` with one more descriptor to be had, and takes it back afterwards.
    ///
    /// If that fails (the helper thread opened a file meanwhile), the next call has none to give up and
    /// tries again at its end.
    pub(super) fn lend<T>(&mut self, work: impl FnOnce() -> T) -> T {
        self.held = None;
        let result = work();
        self.held = open().ok();
        result
    }
}

/// A descriptor that costs the kernel least.
fn open() -> io::Result<File> {
    File::open("/dev/null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let limit = raise_descriptor_limit().unwrap();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
        assert_eq!(limit, now.maximum.unwrap_or(u64::MAX));
    }

    #[test]
    fn what_was_lent_is_taken_back() {
        let mut reserve = Reserve::new().unwrap();
        assert_eq!(reserve.lend(|| 7), 7);
        assert!(reserve.held.is_some());
    }
}
