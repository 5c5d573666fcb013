//! Owns how messages are found in what one member is sent over a stream. Knows no protocol: only what a message
//! begins with, and that the frames around equal texts are equally long.
//!
//! Once two messages were found, the next is looked for where the distance between them says, and is known by
//! three comparisons, the last of its last byte; nothing between is read. Where it does not stand there, it is searched for.

use memchr::memmem::Finder;

use super::text::{ID_BYTES, Id, MARK_BYTES, Marking, label, next_label};

/// What is remembered of a member's stream from one read to the next.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    /// From the beginning of the last message to the end of what was dealt with, if there was one.
    since: u32,
    /// From one message to the next; 0 while it is not known.
    stride: u32,
    /// How much of the last message is still to come.
    missing: u32,
    /// The last message that was found; who sent it probably sent the next.
    sequence: u32,
    sender: u16,
    /// How much of `rest` there is.
    kept: u8,
    /// What may be the beginning of a message.
    rest: [u8; ID_BYTES - 1],
}

/// How much room a reader leaves in front of what it reads: see [`Scan::restore`].
pub const ROOM: usize = ID_BYTES;

const NEVER: u32 = u32::MAX;

/// Whom a scan tells of what it found.
pub trait Heard {
    /// The sequence number that this sender's next message should have.
    fn expected(&self, sender: u16) -> u32;

    /// All messages of that sender from `first` to before `end` are here, of which `first` is the expected one.
    fn run(&mut self, sender: u16, first: u32, end: u32);

    /// This message is here, whether expected or not.
    fn message(&mut self, id: Id);

    /// Bytes in which no message stands: notices, questions, the frames of messages at unexpected places.
    fn between(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }
}

/// What is searched for, prepared once for all.
#[derive(Debug)]
pub struct Scanner {
    marking: Marking,
    finder: Finder<'static>,
}

impl Default for Scan {
    fn default() -> Self {
        Scan {
            since: NEVER,
            stride: 0,
            missing: 0,
            sequence: 0,
            sender: 0,
            kept: 0,
            rest: [0; ID_BYTES - 1],
        }
    }
}

impl Scan {
    /// Puts what was kept from the last read in front of `buffer[ROOM..]`, where the next is read to, and returns
    /// where it begins: what is between that and the end of the read is for [`Scanner::scan`].
    pub fn restore(&self, buffer: &mut [u8]) -> usize {
        let from = ROOM - usize::from(self.kept);
        if let (Some(room), Some(rest)) = (
            buffer.get_mut(from..ROOM),
            self.rest.get(..usize::from(self.kept)),
        ) {
            room.copy_from_slice(rest);
        }
        from
    }

    fn keep(&mut self, rest: &[u8]) {
        self.kept = 0;
        if let Some(room) = self.rest.get_mut(..rest.len()) {
            room.copy_from_slice(rest);
            self.kept = rest.len() as u8;
        }
    }
}

impl Scanner {
    pub fn new(marking: Marking) -> Scanner {
        Scanner {
            marking,
            finder: Finder::new(&marking.mark()).into_owned(),
        }
    }

    /// Which message stands whole somewhere in these bytes: for datagrams, which hold one.
    pub fn find(&self, bytes: &[u8]) -> Option<Id> {
        let mut rest = bytes;
        loop {
            rest = rest.get(self.finder.find(rest)?..)?;
            let message = rest.get(..self.marking.payload())?;
            match self.marking.id(message) {
                Some(id) if self.marking.is_ended(message) => return Some(id),
                // Somebody else's words.
                _ => rest = rest.get(MARK_BYTES..)?,
            }
        }
    }

    /// Finds all messages in the next bytes of a stream, those before which were kept included.
    pub fn scan(&self, scan: &mut Scan, bytes: &[u8], heard: &mut impl Heard) {
        let payload = self.marking.payload();
        // How far everything is dealt with.
        let mut done = 0;
        if scan.missing > 0 {
            let missing = scan.missing as usize;
            if missing > bytes.len() {
                scan.missing -= bytes.len() as u32;
                scan.since = scan.since.saturating_add(bytes.len() as u32);
                return;
            }
            scan.missing = 0;
            done = missing;
            // Without its end it was none; what was in it is not read again.
            if self
                .marking
                .is_ended(bytes.get(..missing).unwrap_or_default())
            {
                heard.message(Id {
                    sender: scan.sender,
                    sequence: scan.sequence,
                });
            }
        }
        // Where the last message began: before these bytes, mostly.
        let mut last = (scan.since != NEVER).then_some(-i64::from(scan.since));
        loop {
            if let (Some(begin), 1..) = (last, scan.stride)
                && let Ok(at) = usize::try_from(begin + i64::from(scan.stride))
            {
                let stride = scan.stride as usize;
                let found = self.run(scan.sender, at, stride, bytes, heard);
                if found > 0 {
                    let begin = at + stride * (found - 1);
                    last = Some(begin as i64);
                    done = begin + payload;
                }
            }
            let Some((at, id)) = self.search(bytes, &mut done, heard) else {
                break;
            };
            if let Some(begin) = last
                && let Ok(stride) = u32::try_from(at as i64 - begin)
            {
                scan.stride = stride;
            }
            last = Some(at as i64);
            scan.sender = id.sender;
            done = at + payload;
            if done > bytes.len() {
                scan.sequence = id.sequence;
                scan.missing = (done - bytes.len()) as u32;
                break;
            }
            heard.message(id);
        }
        let rest = bytes.get(done..).unwrap_or_default();
        scan.keep(rest);
        let end = bytes.len() - rest.len();
        scan.since = match last {
            Some(begin) => u32::try_from(end as i64 - begin).unwrap_or(NEVER),
            None => NEVER,
        };
    }

    /// How many messages of that sender follow one another at `at`, `at + stride` and so on, as expected.
    fn run(
        &self,
        sender: u16,
        mut at: usize,
        stride: usize,
        bytes: &[u8],
        heard: &mut impl Heard,
    ) -> usize {
        let payload = self.marking.payload();
        let head = self.marking.head(sender);
        let first = heard.expected(sender);
        let mut wanted = label(first);
        let mut found = 0;
        while let Some(message) = bytes.get(at..at + payload)
            && let Some((got_head, rest)) = message.split_first_chunk::<8>()
            && let Some((got_label, _)) = rest.split_first_chunk::<8>()
            && u64::from_le_bytes(*got_head) == head
            && u64::from_le_bytes(*got_label) == wanted
            && self.marking.is_ended(message)
        {
            found += 1;
            wanted = next_label(wanted);
            at += stride;
        }
        if found > 0 {
            heard.run(sender, first, first.wrapping_add(found as u32));
        }
        found
    }

    /// The next place behind `done` where a message begins. Without one, `done` is behind all that cannot be the
    /// beginning of one.
    fn search(
        &self,
        bytes: &[u8],
        done: &mut usize,
        heard: &mut impl Heard,
    ) -> Option<(usize, Id)> {
        loop {
            let rest = bytes.get(*done..).unwrap_or_default();
            let Some(at) = self.finder.find(rest) else {
                // The mark may have begun.
                let kept = rest.len().min(MARK_BYTES - 1);
                let over = rest.len() - kept;
                heard.between(rest.get(..over).unwrap_or_default());
                *done += over;
                return None;
            };
            heard.between(rest.get(..at).unwrap_or_default());
            *done += at;
            let message = rest.get(at..).unwrap_or_default();
            if message.len() < ID_BYTES {
                return None;
            }
            if let Some(id) = self.marking.id(message)
                && let whole = message.get(..self.marking.payload())
                && whole.is_none_or(|whole| self.marking.is_ended(whole))
            {
                return Some((*done, id));
            }
            // Somebody else's words.
            *done += MARK_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: usize = 40;

    fn marking() -> Marking {
        Marking::new(3, PAYLOAD)
    }

    /// What one member heard: as the ledger, it expects what follows the last of each sender.
    #[derive(Default)]
    struct Log {
        heard: Vec<(u16, u32)>,
        next: [u32; 8],
        between: Vec<u8>,
        runs: usize,
    }

    impl Heard for Log {
        fn expected(&self, sender: u16) -> u32 {
            self.next[usize::from(sender)]
        }

        fn run(&mut self, sender: u16, first: u32, end: u32) {
            assert_eq!(first, self.expected(sender));
            assert!(first < end);
            self.runs += 1;
            self.heard
                .extend((first..end).map(|sequence| (sender, sequence)));
            self.next[usize::from(sender)] = end;
        }

        fn message(&mut self, id: Id) {
            self.heard.push((id.sender, id.sequence));
            self.next[usize::from(id.sender)] = id.sequence + 1;
        }

        fn between(&mut self, bytes: &[u8]) {
            self.between.extend_from_slice(bytes);
        }
    }

    fn text(sender: u16, sequence: u32) -> Vec<u8> {
        let mut text = Vec::new();
        marking().write(Id { sender, sequence }, 0, &mut text);
        text
    }

    /// Messages in frames, and bytes of other things.
    enum Piece {
        Said(u16, u32),
        /// In a frame of another length.
        SaidLonger(u16, u32),
        Other(&'static [u8]),
    }
    use Piece::{Other, Said, SaidLonger};

    fn bytes(pieces: &[Piece]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in pieces {
            match piece {
                Said(sender, sequence) => {
                    bytes.extend_from_slice(b"<head>");
                    bytes.extend_from_slice(&text(*sender, *sequence));
                    bytes.extend_from_slice(b"\r\n");
                }
                SaidLonger(sender, sequence) => {
                    bytes.extend_from_slice(b"<a longer head>");
                    bytes.extend_from_slice(&text(*sender, *sequence));
                }
                Other(other) => bytes.extend_from_slice(other),
            }
        }
        bytes
    }

    fn said(pieces: &[Piece]) -> Vec<(u16, u32)> {
        let said = |piece: &Piece| match piece {
            Said(sender, sequence) | SaidLonger(sender, sequence) => Some((*sender, *sequence)),
            Other(_) => None,
        };
        pieces.iter().filter_map(said).collect()
    }

    /// As a reader does it: every part is one read.
    fn scan<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Log {
        let scanner = Scanner::new(marking());
        let (mut scan, mut log) = (Scan::default(), Log::default());
        let mut buffer = vec![0; 1 << 16];
        for part in parts {
            let from = scan.restore(&mut buffer);
            buffer[ROOM..ROOM + part.len()].copy_from_slice(part);
            scanner.scan(&mut scan, &buffer[from..ROOM + part.len()], &mut log);
        }
        log
    }

    fn mixed() -> Vec<Piece> {
        let mut pieces = vec![Other(b"welcome\r\n")];
        pieces.extend((0..4).map(|sequence| Said(0, sequence)));
        // A notice, words of others that look like ours, lengths that change, two senders, one that lost something.
        pieces.extend([
            Other(b"somebody came\r\n"),
            Said(0, 4),
            Other(b"~"),
            Said(0, 5),
            Other(b"~mda~mda but not a number"),
            SaidLonger(0, 6),
            SaidLonger(0, 7),
            Said(1, 0),
            Said(0, 8),
            SaidLonger(1, 1),
            Other(b"~mdaaaaaaaaa"),
            Said(1, 2),
            Said(1, 3),
            Said(1, 3),
            Said(0, 12),
            Said(0, 9),
            Said(7, 4_000_000_000),
        ]);
        pieces
    }

    #[test]
    fn everything_is_found_however_it_is_cut() {
        let pieces = mixed();
        let (bytes, wanted) = (bytes(&pieces), said(&pieces));
        assert_eq!(scan([&bytes[..]]).heard, wanted);
        for at in 0..=bytes.len() {
            let (front, back) = bytes.split_at(at);
            assert_eq!(scan([front, back]).heard, wanted, "cut at {at}");
        }
        for length in 1..=2 * PAYLOAD {
            assert_eq!(scan(bytes.chunks(length)).heard, wanted, "by {length}");
        }
    }

    #[test]
    fn a_message_counts_when_its_last_byte_is_there() {
        let bytes = bytes(&[Said(0, 0), Said(0, 1)]);
        let end = bytes.len() - b"\r\n".len();
        for (length, heard) in [
            (0, 0),
            (6 + PAYLOAD - 1, 0),
            (6 + PAYLOAD, 1),
            (end - 1, 1),
            (end, 2),
        ] {
            let (front, _) = bytes.split_at(length);
            assert_eq!(scan([front]).heard.len(), heard, "{length} bytes");
            assert_eq!(
                scan(front.chunks(7)).heard.len(),
                heard,
                "{length} bytes by 7"
            );
        }
    }

    #[test]
    fn a_burst_is_one_run() {
        let pieces: Vec<Piece> = (0..100).map(|sequence| Said(0, sequence)).collect();
        let log = scan([&bytes(&pieces)[..]]);
        assert_eq!(log.heard.len(), 100);
        // The first two are searched for, to learn how far they are apart.
        assert_eq!(log.runs, 1);
    }

    #[test]
    fn what_stands_between_is_told_once_it_is_searched() {
        let pieces = [Said(0, 0), Said(0, 1), Other(b"PING\r\n"), Said(0, 2)];
        let between = scan([&bytes(&pieces)[..]]).between;
        assert!(between.windows(6).any(|window| window == b"PING\r\n"));
    }

    #[test]
    fn a_text_without_its_end_is_no_message_and_hides_none() {
        let mut broken = text(0, 1);
        broken.truncate(PAYLOAD - 1);
        let bytes = [
            bytes(&[Said(0, 0)]),
            broken,
            bytes(&[Said(0, 2), Said(0, 3)]),
        ]
        .concat();
        assert_eq!(scan([&bytes[..]]).heard, [(0, 0), (0, 2), (0, 3)]);
        // Found where it should be, too.
        let mut run = self::bytes(&[Said(0, 0), Said(0, 1), Said(0, 2), Said(0, 3)]);
        let end = 2 * (6 + PAYLOAD + 2) + 6 + PAYLOAD - 1;
        assert_eq!(run[end], b'$');
        run[end] = b'.';
        for length in [run.len(), end, 7] {
            let heard = scan(run.chunks(length)).heard;
            assert_eq!(heard, [(0, 0), (0, 1), (0, 3)], "by {length}");
        }
    }

    #[test]
    fn words_that_look_like_a_message_hide_none_in_a_datagram() {
        let scanner = Scanner::new(marking());
        let id = Id {
            sender: 5,
            sequence: 6,
        };
        let mut unended = text(5, 5);
        unended[PAYLOAD - 1] = b'.';
        for before in [&b"~mda~mdano number"[..], b"~", &unended] {
            let datagram = [before, &text(5, 6)].concat();
            assert_eq!(scanner.find(&datagram), Some(id));
        }
        assert_eq!(scanner.find(&unended), None);
    }

    #[test]
    fn a_datagram_holds_one_whole_message() {
        let scanner = Scanner::new(marking());
        let whole = bytes(&[Said(5, 6)]);
        let id = Id {
            sender: 5,
            sequence: 6,
        };
        assert_eq!(scanner.find(&whole), Some(id));
        assert_eq!(scanner.find(&whole[..6 + PAYLOAD]), Some(id));
        assert_eq!(scanner.find(&whole[..6 + PAYLOAD - 1]), None);
        assert_eq!(scanner.find(b"[alice joined the server]"), None);
    }
}
