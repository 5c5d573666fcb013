//! A listener when the process is out of descriptors. Alone in its file, hence in its process, whose
//! limit it lowers.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mio::Token;
use mynah::reactor::{Accept, Listener, Poller, Reserve};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const FAREWELL: &[u8] = b"the server is full\n";

#[test]
fn r21_who_comes_when_none_is_left_is_told_and_closed() {
    lower_limit(64);
    let mut poller = Poller::new().unwrap();
    let mut reserve = Reserve::new().unwrap();
    let mut listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    poller.register_reading(&mut listener, Token(1)).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut clients: Vec<TcpStream> = (0..3).map(|_| connect(addr)).collect();
    let mut hoard = take_all_descriptors();
    wait_until_readable(&mut poller);

    for client in &clients {
        match listener.accept(&mut reserve, FAREWELL) {
            Accept::Shed { error, turned_away } => {
                assert_eq!(Errno::from_io_error(&error), Some(Errno::MFILE));
                assert_eq!(turned_away, Some(client.local_addr().unwrap()));
            }
            other => panic!("{other:?}"),
        }
    }
    // Linux says EMFILE even when nobody waits; that is no failure.
    assert!(matches!(
        listener.accept(&mut reserve, FAREWELL),
        Accept::Nothing
    ));
    for client in &mut clients {
        let mut told = Vec::new();
        client.read_to_end(&mut told).unwrap();
        assert_eq!(told, FAREWELL);
    }

    // As soon as one descriptor is free (the newcomer takes another) all is well again.
    hoard.truncate(hoard.len() - 2);
    let late = connect(addr);
    wait_until_readable(&mut poller);
    match listener.accept(&mut reserve, FAREWELL) {
        Accept::Connection { peer, .. } => assert_eq!(peer, late.local_addr().unwrap()),
        other => panic!("{other:?}"),
    }
}

fn lower_limit(current: u64) {
    let limit = Rlimit {
        current: Some(current),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

fn take_all_descriptors() -> Vec<File> {
    let mut hoard = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => hoard.push(file),
            Err(error) => {
                assert_eq!(io::Error::from(Errno::MFILE).kind(), error.kind());
                return hoard;
            }
        }
    }
}

fn wait_until_readable(poller: &mut Poller) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "nobody came");
        if poller.wait(Some(left)).unwrap().any(|ready| ready.readable) {
            return;
        }
    }
}
