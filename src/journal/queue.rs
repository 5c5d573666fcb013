//! Owns the lines between those who log and the thread that writes. Knows nothing of what stands in
//! them, nor where they go.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// Lines on their way, at most [`MAX_LINES`]. What is too much is dropped and counted.
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
    /// Everything is written.
    emptied: Condvar,
    /// What a line of the queue's own begins with: the time, and how loud it is.
    stamp: Stamp,
}

type Stamp = Box<dyn Fn() -> String + Send + Sync>;

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Lines that came since the queue was full; not yet told.
    dropped: u64,
    /// A line is being written, and stands in the queue no more.
    writing: bool,
}

/// With the longest line, 1 MiB in all. At the rates to which repeated records are limited this is
/// minutes of a standard error that stands still.
const MAX_LINES: usize = 1024;

/// Once it was full, the queue takes lines again when only so many are left: one long gap with one
/// notice, not a notice for every second line.
const ROOM_AGAIN: usize = MAX_LINES / 2;

/// How long the end of the program may be held up by a slow standard error. On a busy machine the writing thread alone may
/// wait for a tenth of a second until it runs.
const FLUSH_WAIT: Duration = Duration::from_millis(500);

impl Queue {
    /// Empty. `stamp` gives what a line begins with that the queue itself has to say.
    pub(super) fn new(stamp: impl Fn() -> String + Send + Sync + 'static) -> Queue {
        Queue {
            state: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            stamp: Box::new(stamp),
        }
    }

    /// Puts a line at the end, or drops it.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut state = self.lock();
        let room = if state.dropped == 0 {
            MAX_LINES
        } else {
            ROOM_AGAIN
        };
        if state.lines.len() >= room {
            state.dropped += 1;
            return;
        }
        if let Some(notice) = state.take_notice(&self.stamp) {
            state.lines.push_back(notice);
        }
        state.lines.push_back(line);
        drop(state);
        self.filled.notify_one();
    }

    /// Waits until everything is written, but not long.
    pub(super) fn flush(&self) {
        let waited = self
            .emptied
            .wait_timeout_while(self.lock(), FLUSH_WAIT, |state| {
                state.writing || !state.lines.is_empty() || state.dropped > 0
            });
        drop(waited.expect("invariant: nothing panics while it holds the lines"));
    }

    /// The writing thread's whole life: each line goes out with one write, as far as the system
    /// takes it in one. An `out` that fails is not told so (where?): the line is lost.
    pub(super) fn drain(&self, mut out: impl Write) {
        loop {
            let line = self.next();
            let _ = out.write_all(&line);
            let mut state = self.lock();
            state.writing = false;
            if state.lines.is_empty() && state.dropped == 0 {
                self.emptied.notify_all();
            }
        }
    }

    /// Waits for the next line to write.
    fn next(&self) -> Vec<u8> {
        let mut state = self
            .filled
            .wait_while(self.lock(), |state| {
                state.lines.is_empty() && state.dropped == 0
            })
            .expect("invariant: nothing panics while it holds the lines");
        state.writing = true;
        let line = state
            .lines
            .pop_front()
            .or_else(|| state.take_notice(&self.stamp));
        line.expect("invariant: the wait ends with a line or a notice")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("invariant: nothing panics while it holds the lines")
    }
}

impl State {
    /// A line about the lines that were dropped where it stands, if any were.
    fn take_notice(&mut self, stamp: &Stamp) -> Option<Vec<u8>> {
        let records = match mem::take(&mut self.dropped) {
            0 => return None,
            1 => "1 log record".to_owned(),
            n => format!("{n} log records"),
        };
        let line = format!("{}{records} dropped: standard error is slow\n", stamp());
        Some(line.into_bytes())
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

/// Gathers the pieces in which a formatter writes until a line is whole, and queues it.
pub(super) struct Lines {
    queue: Arc<Queue>,
    /// What each of them begins with.
    prefix: &'static str,
    line: Vec<u8>,
}

impl Lines {
    pub(super) fn new(queue: Arc<Queue>, prefix: &'static str) -> Lines {
        Lines {
            queue,
            prefix,
            line: Vec::new(),
        }
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.line.is_empty() {
            self.line.extend_from_slice(self.prefix.as_bytes());
        }
        self.line.extend_from_slice(bytes);
        // A message has no line end of its own (they are escaped), so this is the formatter's.
        if self.line.last() == Some(&b'\n') {
            self.queue.push(mem::take(&mut self.line));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Sender};
    use std::thread;
    use std::time::Instant;

    use super::*;

    /// Tells of every single write.
    struct Writes(Sender<String>);

    impl Write for Writes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .send(String::from_utf8(bytes.to_vec()).unwrap())
                .map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn drained(queue: &Arc<Queue>) -> mpsc::Receiver<String> {
        let (sender, writes) = mpsc::channel();
        let queue = Arc::clone(queue);
        thread::spawn(move || queue.drain(Writes(sender)));
        writes
    }

    #[test]
    fn a_line_is_one_write_however_it_came() {
        let queue = Arc::new(Queue::new(String::new));
        let writes = drained(&queue);
        let mut lines = Lines::new(Arc::clone(&queue), "<4>");
        for piece in ["time ", "[level] ", "first", "\n", "second\n"] {
            lines.write_all(piece.as_bytes()).unwrap();
        }
        queue.flush();
        let writes: Vec<String> = writes.try_iter().collect();
        assert_eq!(writes, ["<4>time [level] first\n", "<4>second\n"]);
    }

    #[test]
    fn a_full_queue_counts_what_it_drops_and_says_so_where_it_is_missing() {
        let queue = Arc::new(Queue::new(String::new));
        for number in 0..MAX_LINES + 5 {
            queue.push(format!("{number}\n").into_bytes());
        }
        let (mut seen, mut dropped) = (Vec::new(), 5);
        while queue.lock().lines.len() >= ROOM_AGAIN {
            queue.push(b"no room yet\n".to_vec());
            dropped += 1;
            seen.push(queue.next());
        }
        queue.push(b"room again\n".to_vec());
        for _ in 0..ROOM_AGAIN + 1 {
            seen.push(queue.next());
        }
        let kept = (0..MAX_LINES).map(|number| format!("{number}\n"));
        let notice = format!("{dropped} log records dropped: standard error is slow\n");
        let expected = kept.chain([notice, "room again\n".to_owned()]);
        assert!(seen.into_iter().eq(expected.map(String::into_bytes)));
    }

    #[test]
    fn what_was_dropped_is_said_even_if_nobody_logs_again() {
        let queue = Arc::new(Queue::new(String::new));
        for _ in 0..=MAX_LINES {
            queue.push(b"line\n".to_vec());
        }
        let writes = drained(&queue);
        let wait = Duration::from_secs(10);
        let writes: Vec<String> = (0..=MAX_LINES)
            .map(|_| writes.recv_timeout(wait).unwrap())
            .collect();
        let last = writes.last().unwrap();
        assert_eq!(last, "1 log record dropped: standard error is slow\n");
    }

    #[test]
    fn a_flush_gives_up_on_an_output_that_stands_still() {
        let queue = Queue::new(String::new);
        queue.push(b"line\n".to_vec());
        let begin = Instant::now();
        queue.flush();
        assert!(begin.elapsed() >= FLUSH_WAIT);
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
}
