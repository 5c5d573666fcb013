//! Owns sockets of this machine alone, with a path instead of a port, and who may come to them. Knows nothing of what is
//! said there.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Socket, Type};

use super::stream::retrying;

/// The longest path of a socket, in bytes: `sun_path` has 108 with a zero behind (unix(7)).
pub const MAX_SOCKET_PATH: usize = 107;

/// Connections that wait to be accepted: whoever keeps order is few.
const BACKLOG: i32 = 64;

/// A Unix socket that listens. Register it with [`register_reading`](super::Poller::register_reading); when it is readable,
/// [`accept`](PrivateListener::accept) until there is nobody.
#[derive(Debug)]
pub struct PrivateListener {
    inner: UnixListener,
    /// Of one that was handed over, the path is whoever's that made it.
    _path: Option<SocketPath>,
}

/// The path of a socket that we listen at. It is free again as soon as this goes.
#[derive(Debug)]
struct SocketPath {
    path: PathBuf,
    /// Device and number of the file that is ours.
    file: (u64, u64),
}

impl PrivateListener {
    /// Listens at a path, for our own user and root alone: nobody else can connect, not for a moment.
    ///
    /// What a process that was killed has left there is replaced. With somebody listening there it is `AddrInUse`, and
    /// with something that is no socket `AlreadyExists`: neither is touched. `ResourceBusy` is that somebody else opens one
    /// in the same folder at this moment, and is done in the next: whoever may wait tries again.
    pub fn bind(path: &Path) -> io::Result<PrivateListener> {
        let (inner, path) = bind(path)?;
        Ok(PrivateListener {
            inner,
            _path: Some(path),
        })
    }

    /// Takes one connection; `None` when nobody waits.
    pub fn accept(&self) -> io::Result<Option<UnixStream>> {
        match retrying(|| self.inner.accept()) {
            Ok((stream, _)) => Ok(Some(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// One that somebody else has made.
impl From<UnixListener> for PrivateListener {
    fn from(inner: UnixListener) -> PrivateListener {
        PrivateListener { inner, _path: None }
    }
}

impl Source for PrivateListener {
    fn register(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.inner.register(registry, token, what)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.inner.reregister(registry, token, what)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.inner.deregister(registry)
    }
}

fn bind(path: &Path) -> io::Result<(UnixListener, SocketPath)> {
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            format!(
                "the path has {} bytes, and may have {MAX_SOCKET_PATH} (unix(7))",
                path.as_os_str().len()
            ),
        ));
    }
    let address = SockAddr::unix(path)?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // Who finds the path left behind and who has just taken it must not be at it at once.
    let folder = File::open(folder)?;
    lock(&folder)?;
    forget_stale(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Before it has a name: Linux gives the file the mode of the socket, less the umask (unix_bind).
    rustix::fs::fchmod(socket.as_fd(), Mode::RUSR | Mode::WUSR)?;
    socket.bind(&address)?;
    let metadata = fs::symlink_metadata(path)?;
    let ours = SocketPath {
        path: path.into(),
        file: (metadata.dev(), metadata.ino()),
    };
    if metadata.mode() & 0o077 != 0 {
        let why = format!(
            "others could connect (mode {:04o})",
            metadata.mode() & 0o7777
        );
        return Err(io::Error::new(ErrorKind::Unsupported, why));
    }
    socket.listen(BACKLOG)?;
    Ok((UnixListener::from_std(socket.into()), ours))
}

/// Takes the folder's lock, which goes with its descriptor (flock(2)), if nobody has it.
fn lock(folder: &File) -> io::Result<()> {
    folder.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => ErrorKind::ResourceBusy.into(),
        TryLockError::Error(error) => error,
    })
}

/// Removes a socket that nobody listens at.
fn forget_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        let why = "something is there that is no socket";
        return Err(io::Error::new(ErrorKind::AlreadyExists, why));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // So many wait there already that it would have to wait: somebody listens.
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(()) => Err(ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::AddrInUse.into()),
        Err(error) => Err(error),
    }
}

/// Whether the process at the other end is our own user's or root's, as it was when it connected (SO_PEERCRED in
/// unix(7)). The socket's mode says the same already; a folder that was opened to others does not undo this.
pub fn is_trusted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    match rustix::net::sockopt::socket_peercred(stream) {
        Ok(peer) => peer.uid == own || peer.uid.is_root(),
        Err(_) => false,
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        // Unless somebody has put another one there.
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.file);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream as Blocking;
    use std::thread;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_socket_is_for_its_owner_alone_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = PrivateListener::bind(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(listener.accept().unwrap().is_none());
        let client = Blocking::connect(&path).unwrap();
        let stream = listener.accept().unwrap().unwrap();
        assert!(is_trusted(&stream));
        drop((client, listener));
        assert!(!path.exists());
    }

    #[test]
    fn what_was_left_is_replaced_and_what_lives_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (listener, ours) = bind(&path).unwrap();
        let error = bind(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(path.exists());
        // As after a kill: the file stays, and nobody listens.
        std::mem::forget(ours);
        drop(listener);
        let (listener, ours) = bind(&path).unwrap();
        drop(Blocking::connect(&path).unwrap());
        // Another one in its place is not removed with it.
        fs::remove_file(&path).unwrap();
        let (_other, _others) = bind(&path).unwrap();
        drop((listener, ours));
        assert!(path.exists());
    }

    #[test]
    fn what_is_no_socket_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        fs::write(&path, "text").unwrap();
        let error = bind(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"text");
        let none = bind(&folder.path().join("no/s")).unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_path_is_as_long_as_the_kernel_takes_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let length = MAX_SOCKET_PATH - folder.path().as_os_str().len() - 1;
        let longest = folder.path().join("x".repeat(length));
        assert_eq!(longest.as_os_str().len(), MAX_SOCKET_PATH);
        drop(bind(&longest).unwrap());
        let error = bind(&folder.path().join("x".repeat(length + 1))).unwrap_err();
        assert!(error.to_string().contains("108 bytes"), "{error}");
    }

    #[test]
    fn of_many_who_want_a_stale_path_one_gets_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        for _ in 0..20 {
            let (listener, ours) = bind(&path).unwrap();
            std::mem::forget(ours);
            drop(listener);
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    let path = path.clone();
                    thread::spawn(move || bind(&path).ok())
                })
                .collect();
            let all: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
            assert_eq!(all.iter().flatten().count(), 1);
            Blocking::connect(&path).unwrap();
        }
    }
}
