//! Owns the way to whoever started the process as a service: the socket of sd_notify(3). Knows nothing of what is
//! told there.
//!
//! A service manager that is busy, stopped or gone never holds the loop up: what it does not take at once waits here,
//! or is forgotten if something newer says more. (sd-notify's own `notify` waits as long as the manager's queue, ten
//! datagrams on Linux, is full.)

use std::collections::VecDeque;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// The socket, and what it still has to be told.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    to: SocketAddr,
    /// In order.
    waiting: VecDeque<String>,
}

/// Changes of state that may wait: more than one reload, which is two. Beyond them the oldest are forgotten, for it is
/// the last that counts.
const MAX_WAITING: usize = 8;

impl Notifier {
    /// The socket that `NOTIFY_SOCKET` names: a path, or a name in the abstract space after `@`. `None` where nobody
    /// wants to be told.
    pub fn from_environment() -> io::Result<Option<Notifier>> {
        match env::var_os("NOTIFY_SOCKET") {
            Some(name) if !name.is_empty() => Notifier::to(&name).map(Some),
            _ => Ok(None),
        }
    }

    fn to(name: &OsStr) -> io::Result<Notifier> {
        let to = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            [b'/', ..] => SocketAddr::from_pathname(name),
            // sd_notify(3) knows AF_VSOCK too, from virtual machines to their hosts.
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "neither an absolute path nor an abstract name",
            )),
        }?;
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Notifier {
            socket,
            to,
            waiting: VecDeque::new(),
        })
    }

    /// Tells a change of state, now or as soon as there is room: see [`owes`](Notifier::owes).
    ///
    /// An error is about a socket that is not there, or refuses; then nothing waits any more.
    pub fn tell(&mut self, states: &[NotifyState<'_>]) -> io::Result<()> {
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(message(states));
        self.go_on()
    }

    /// Tells what the next one replaces, if it is taken at once.
    pub fn mention(&mut self, states: &[NotifyState<'_>]) -> io::Result<()> {
        self.go_on()?;
        match self.waiting.is_empty() {
            true => self.send(&message(states)).map(drop),
            false => Ok(()),
        }
    }

    /// Whether something waits; then [`go_on`](Notifier::go_on) before long.
    pub fn owes(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Tells what waits, as far as it is taken.
    pub fn go_on(&mut self) -> io::Result<()> {
        while let Some(message) = self.waiting.front() {
            match self.send(message) {
                Ok(true) => drop(self.waiting.pop_front()),
                Ok(false) => break,
                Err(error) => {
                    self.waiting.clear();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Whether it was taken.
    fn send(&self, message: &str) -> io::Result<bool> {
        loop {
            // The name is looked up each time: a manager that was started anew has made another socket there.
            return match self.socket.send_to_addr(message.as_bytes(), &self.to) {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(error) => Err(error),
            };
        }
    }
}

/// A line each.
fn message(states: &[NotifyState<'_>]) -> String {
    let lines = states.iter().map(|state| format!("{state}\n"));
    lines.collect()
}

/// How often the service manager wants to hear that we live: `None` where it does not, or does not want it of this
/// process (`WATCHDOG_USEC` and `WATCHDOG_PID` in sd_watchdog_enabled(3)).
pub fn watchdog_period() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|period| !period.is_zero())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    /// What came, and nothing more.
    fn read(manager: &UnixDatagram) -> Option<String> {
        manager.set_nonblocking(true).unwrap();
        let mut buffer = [0; 256];
        match manager.recv(&mut buffer) {
            Ok(length) => Some(String::from_utf8(buffer[..length].to_vec()).unwrap()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn manager() -> (UnixDatagram, Notifier, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str()).unwrap();
        (manager, notifier, folder)
    }

    #[test]
    fn states_are_a_line_each() {
        let (manager, mut notifier, _folder) = manager();
        let states = [NotifyState::Ready, NotifyState::Status("2 members")];
        notifier.tell(&states).unwrap();
        assert_eq!(read(&manager).unwrap(), "READY=1\nSTATUS=2 members\n");
        notifier.mention(&[NotifyState::Watchdog]).unwrap();
        assert_eq!(read(&manager).unwrap(), "WATCHDOG=1\n");
    }

    #[test]
    fn an_abstract_name_is_a_socket_too() {
        let name = format!("mynah-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let mut notifier = Notifier::to(OsStr::new(&format!("@{name}"))).unwrap();
        notifier.tell(&[NotifyState::Stopping]).unwrap();
        assert_eq!(read(&manager).unwrap(), "STOPPING=1\n");
    }

    #[test]
    fn a_manager_that_reads_nothing_holds_nobody_up_and_hears_the_last_states() {
        let (manager, mut notifier, _folder) = manager();
        // However long its queue is.
        while !notifier.owes() {
            notifier.tell(&[NotifyState::Status("filling")]).unwrap();
        }
        for number in 0..100 {
            let status = format!("{number}");
            notifier.tell(&[NotifyState::Status(&status)]).unwrap();
            notifier.mention(&[NotifyState::Watchdog]).unwrap();
        }
        assert_eq!(notifier.waiting.len(), MAX_WAITING);
        while let Some(text) = read(&manager) {
            assert_eq!(text, "STATUS=filling\n");
        }
        notifier.go_on().unwrap();
        let mut heard = Vec::new();
        loop {
            match read(&manager) {
                Some(text) => heard.push(text),
                None if notifier.owes() => notifier.go_on().unwrap(),
                None => break,
            }
        }
        let last = (100 - MAX_WAITING..100).map(|number| format!("STATUS={number}\n"));
        assert_eq!(heard, last.collect::<Vec<_>>());
    }

    #[test]
    fn a_manager_that_is_gone_is_told_of_once() {
        let (manager, mut notifier, _folder) = manager();
        drop(manager);
        let error = notifier.tell(&[NotifyState::Ready]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(!notifier.owes());
        assert!(Notifier::to(OsStr::new("relative")).is_err());
    }
}
