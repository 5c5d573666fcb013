//! Owns those who only chat, and how long they wait for each other: one says something a hundred times a second, and
//! the others note when they hear it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use memchr::memmem;
use mynah::chat::TimeOfDay;
use mynah::protocol::tcp_room::frame;

use crate::apart;

/// A room's ordinary members. They are `tcp-room` members of the lobby.
pub struct Chatters {
    talker: JoinHandle<io::Result<()>>,
    listeners: Vec<JoinHandle<io::Result<Histogram<u64>>>>,
    stop: Arc<AtomicBool>,
}

/// From one line to the next.
const INTERVAL: Duration = Duration::from_millis(10);

/// Longer than anything that is measured: who hears nothing for so long was cut.
const PATIENCE: Duration = Duration::from_secs(60);

static ROUNDS: AtomicUsize = AtomicUsize::new(0);

const MARK: &[u8] = b"@chat@";
const DIGITS: usize = 16;

impl Chatters {
    /// So many listeners come, and one who talks.
    pub fn start(address: SocketAddr, listeners: usize) -> io::Result<Chatters> {
        let start = Instant::now();
        // Those before may not be gone yet.
        let round = ROUNDS.fetch_add(1, Ordering::Relaxed);
        let stop = Arc::new(AtomicBool::new(false));
        let listeners = (0..listeners).map(|number| {
            let stream = join(address, &format!("listener-{round}-{number}"))?;
            Ok(thread::spawn(move || listen(stream, start)))
        });
        let listeners = listeners.collect::<io::Result<_>>()?;
        let mut stream = join(address, &format!("talker-{round}"))?;
        let mut reader = stream.try_clone()?;
        // It hears itself too, and has to read it.
        thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        let stopped = Arc::clone(&stop);
        let talker = thread::spawn(move || {
            let mut due = Instant::now();
            let mut bytes = Vec::new();
            loop {
                let ends = stopped.load(Ordering::Relaxed);
                // When it should have been said: a server that makes the talker wait is not let off.
                let at = match ends {
                    true => 0,
                    false => (due - start).as_micros(),
                };
                let mark = String::from_utf8_lossy(MARK);
                let text = format!("{mark}{at:0DIGITS$}");
                bytes.clear();
                frame::encode_say(TimeOfDay::MIDNIGHT, "talker", &text, &mut bytes);
                stream.write_all(&bytes)?;
                if ends {
                    return stream.shutdown(Shutdown::Both);
                }
                due += INTERVAL;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        Ok(Chatters {
            talker,
            listeners,
            stop,
        })
    }

    /// They stop; how long each of them waited for each line, in microseconds.
    pub fn finish(self) -> io::Result<Histogram<u64>> {
        self.stop.store(true, Ordering::Relaxed);
        let died = |_| io::Error::other("a chatter's thread died");
        self.talker.join().map_err(died)??;
        let mut all = histogram();
        for listener in self.listeners {
            let heard = listener.join().map_err(died)??;
            all.add(heard).map_err(io::Error::other)?;
        }
        Ok(all)
    }
}

/// How long those who chat wait while something is done, in microseconds, and what came of it.
pub fn beside<T: Send>(
    address: SocketAddr,
    listeners: usize,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<(T, Histogram<u64>)> {
    let chatters = Chatters::start(address, listeners)?;
    let result = thread::scope(|scope| {
        let worker = scope.spawn(|| {
            apart::step_back();
            work()
        });
        let died = |_| io::Error::other("a thread died");
        worker.join().map_err(died)?
    });
    let waits = chatters.finish();
    Ok((result?, waits?))
}

/// A quantile in milliseconds.
pub fn milliseconds(waits: &Histogram<u64>, quantile: f64) -> f64 {
    waits.value_at_quantile(quantile) as f64 / 1000.0
}

/// A member who is in, and has read its welcome (or the beginning of it).
pub fn join(address: SocketAddr, name: &str) -> io::Result<TcpStream> {
    enter(TcpStream::connect(address)?, name)
}

/// The same over a connection that is there.
pub fn enter(mut stream: TcpStream, name: &str) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut bytes = Vec::new();
    frame::encode_join(name, &mut bytes);
    stream.write_all(&bytes)?;
    let mut verdict = [0];
    stream.read_exact(&mut verdict)?;
    match verdict {
        [1] => Ok(stream),
        _ => Err(io::Error::other(format!("{name} was not let in"))),
    }
}

fn listen(mut stream: TcpStream, start: Instant) -> io::Result<Histogram<u64>> {
    let mut waits = histogram();
    let mark = memmem::Finder::new(MARK);
    let mut buffer = vec![0; 256 * 1024];
    let mut kept = 0;
    loop {
        let count = stream.read(&mut buffer[kept..])?;
        if count == 0 {
            return Err(io::Error::other("a chatter was cut"));
        }
        let now = start.elapsed().as_micros() as u64;
        let filled = kept + count;
        let mut at = 0;
        while let Some(found) = mark.find(&buffer[at..filled]) {
            let digits = at + found + MARK.len();
            let Some(number) = buffer[..filled].get(digits..digits + DIGITS) else {
                break;
            };
            let said = std::str::from_utf8(number)
                .ok()
                .and_then(|n| n.parse().ok());
            match said {
                // A history has lines of those who chatted before.
                Some(0) if !waits.is_empty() => return Ok(waits),
                Some(said) if said > 0 && said <= now => {
                    waits.record(now - said).map_err(io::Error::other)?;
                }
                _ => {}
            }
            at = digits + DIGITS;
        }
        // A mark may be cut in two.
        let keep = (filled - at).min(MARK.len() + DIGITS - 1);
        buffer.copy_within(filled - keep..filled, 0);
        kept = keep;
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("invariant: these bounds are in order")
}
