//! Owns the connection and the bytes on their way over it. Knows nothing of what they mean.

use std::io;

use crate::reactor::{Readiness, Stream};

/// A connection with what was not sent and what was not understood yet.
#[derive(Debug)]
pub struct Link<T> {
    stream: T,
    /// What came and is no whole frame yet.
    input: Vec<u8>,
    /// What goes out; `sent` of it did.
    output: Vec<u8>,
    sent: usize,
    /// What was sent in all: how progress is seen.
    sent_in_all: u64,
    /// The kernel may have something. Edge-triggered: true until it said that it has not.
    readable: bool,
    /// Our half is over, by a FIN or by an error.
    finished: bool,
}

/// What one [`receive`](Link::receive) came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// Something is new in [`input`](Link::input).
    Bytes,
    /// Nothing now.
    Nothing,
    /// The server will send no more.
    End,
}

/// Read at a time.
const READ_BYTES: usize = 16 * 1024;

/// With more than this unsent, nothing more is to be said.
const CONGESTED_BYTES: usize = 64 * 1024;

impl<T: Stream> Link<T> {
    /// Takes over a stream that is connected.
    pub fn new(stream: T) -> Link<T> {
        Link {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            sent_in_all: 0,
            readable: true,
            finished: false,
        }
    }

    /// The stream itself.
    pub fn stream(&self) -> &T {
        &self.stream
    }

    /// Remembers what the poll said.
    pub fn handle_readiness(&mut self, readiness: Readiness) {
        self.readable |= readiness.readable || readiness.read_closed;
    }

    /// Whether [`receive`](Link::receive) may find something.
    pub fn may_receive(&self) -> bool {
        self.readable
    }

    /// Reads once. An error is the end of the connection.
    pub fn receive(&mut self) -> io::Result<Received> {
        let start = self.input.len();
        self.input.resize(start + READ_BYTES, 0);
        let result = self.stream.recv(&mut self.input[start..]);
        let count = *result.as_ref().unwrap_or(&0);
        self.input.truncate(start + count);
        match result {
            Ok(0) => Ok(Received::End),
            Ok(_) => Ok(Received::Bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(Received::Nothing)
            }
            Err(error) => Err(error),
        }
    }

    /// What came and was not used up.
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// The first `used` bytes of the input were understood.
    pub fn use_up(&mut self, used: usize) {
        self.input.drain(..used);
    }

    /// Where to put what is to be sent.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Sends as much as the kernel takes. An error ends only our half: what the server said before may
    /// still be there to read, and says why.
    pub fn send_out(&mut self) {
        while self.unsent() > 0 {
            match self.stream.send(&self.output[self.sent..]) {
                Ok(count) => {
                    self.sent += count;
                    self.sent_in_all += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.finished = true;
                    self.readable = true;
                    break;
                }
            }
        }
        if self.finished || self.unsent() == 0 {
            self.output.clear();
            self.sent = 0;
        }
    }

    /// Bytes that wait to be sent.
    pub fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Bytes that were ever sent.
    pub fn sent_in_all(&self) -> u64 {
        self.sent_in_all
    }

    /// Whether so much waits to be sent that nothing should be added.
    pub fn is_congested(&self) -> bool {
        self.unsent() > CONGESTED_BYTES
    }

    /// Whether our half is over.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Ends our half: the server reads what was sent, then an end.
    pub fn finish(&mut self) {
        self.finished = true;
        // A connection that is dead already says so when it is read.
        let _ = self.stream.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::IoSlice;

    use super::*;

    /// A stream that takes `room` bytes and gives what it was given.
    #[derive(Default)]
    struct Fake {
        room: usize,
        taken: Vec<u8>,
        gives: VecDeque<io::Result<Vec<u8>>>,
        broken: bool,
    }

    impl Stream for Fake {
        fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let bytes = self
                .gives
                .pop_front()
                .unwrap_or(Err(io::ErrorKind::WouldBlock.into()))?;
            buffer[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }

        fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.broken {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn send_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
            self.send(pieces.first().map_or(&[], |piece| piece))
        }

        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_does_not_fit_is_sent_later() {
        let mut link = Link::new(Fake {
            room: 3,
            ..Fake::default()
        });
        link.output().extend_from_slice(b"hello");
        link.send_out();
        assert_eq!((link.unsent(), link.sent_in_all()), (2, 3));
        link.output().extend_from_slice(b"!");
        link.stream.room = 10;
        link.send_out();
        assert_eq!((link.unsent(), link.sent_in_all()), (0, 6));
        assert_eq!(link.stream.taken, b"hello!");
        assert!(link.output.is_empty());
    }

    #[test]
    fn input_gathers_until_it_is_used() {
        let mut link = Link::new(Fake {
            gives: [Ok(b"ab".to_vec()), Ok(b"c".to_vec())].into(),
            ..Fake::default()
        });
        assert_eq!(link.receive().unwrap(), Received::Bytes);
        assert_eq!(link.receive().unwrap(), Received::Bytes);
        assert!(link.may_receive());
        assert_eq!(link.receive().unwrap(), Received::Nothing);
        assert!(!link.may_receive());
        link.use_up(2);
        assert_eq!(link.input(), b"c");
    }

    #[test]
    fn last_words_are_read_after_a_send_failed() {
        let mut link = Link::new(Fake {
            broken: true,
            gives: [Ok(b"0".to_vec()), Ok(Vec::new())].into(),
            ..Fake::default()
        });
        link.readable = false;
        link.output().extend_from_slice(b"hello");
        link.send_out();
        assert_eq!(link.unsent(), 0, "it never will be sent");
        assert!(link.may_receive());
        assert_eq!(link.receive().unwrap(), Received::Bytes);
        assert_eq!(link.receive().unwrap(), Received::End);
        assert!(link.is_finished());
    }
}
