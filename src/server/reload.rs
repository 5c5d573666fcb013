//! Owns what a configuration that is read again may change in a running server, and the seam to whoever can read
//! one. Knows no file and no key.
//!
//! ```text
//!  SIGHUP ──▶ Reread::read, on a thread ──▶ Revision ──▶ new doors open? ──▶ terms swapped ──▶ Revision::in_force
//!                     │ cannot be read                        │ one does not open
//!                     └───────────── everything stays as it is, and the log says why ◀──┘
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::access::Access;
use super::doors::{Purpose, Wanted};
use super::rules::Rules;

/// What can be otherwise from one moment to the next.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Which doors there are to be, beside those that were handed over.
    pub doors: Vec<Wanted>,
    /// Limits, and what else the server goes by.
    pub rules: Rules,
    /// What newcomers are told; empty is nothing.
    pub welcome: String,
    /// From where people may come. What is not there is open to everybody.
    pub access: BTreeMap<Purpose, Access>,
    /// How long a drain waits for members to go by themselves.
    pub drain_timeout: Duration,
}

/// The defaults, and no doors.
impl Default for Terms {
    fn default() -> Terms {
        Terms {
            doors: Vec::new(),
            rules: Rules::default(),
            welcome: String::new(),
            access: BTreeMap::new(),
            drain_timeout: Duration::from_secs(60 * 60),
        }
    }
}

/// Reads the configuration anew, or says what is wrong with it, and where. Called on a thread of its own: its disk may
/// take as long as it likes.
#[derive(Clone)]
pub struct Reread(Arc<dyn Fn() -> Result<Revision, String> + Send + Sync>);

impl Reread {
    pub fn new(read: impl Fn() -> Result<Revision, String> + Send + Sync + 'static) -> Reread {
        Reread(Arc::new(read))
    }

    /// Reads it.
    pub fn read(&self) -> Result<Revision, String> {
        (self.0)()
    }
}

/// A configuration that was read and is right in itself; nothing of it is in force.
pub struct Revision {
    pub terms: Terms,
    /// What is different from what was in force, a line each, for who asked.
    pub changes: Vec<String>,
    /// Called by the loop once the terms are in force: sets what is not the server's, and has the log told of what has
    /// changed. It must not wait for anything.
    pub in_force: Box<dyn FnOnce() + Send>,
}

/// How often the configuration was read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// And put in force, changed or not.
    pub done: u64,
    /// And left alone, for it was wrong, or something in it could not be done.
    pub refused: u64,
}

impl fmt::Debug for Reread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reread").finish_non_exhaustive()
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revision")
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}
