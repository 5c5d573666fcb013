//! Owns the text of the messages that are sent: how one is written, and how it is known again among other bytes.
//! Knows no protocol: it is harmless to all of them, and stands unchanged wherever they put it.
//!
//! ```text
//!  ~m cd | baaa   | jcaaaaaa | fkdobaaaaaaa    | ........ | $
//!  mark  | sender | sequence | due, in ns from | filler   | end
//!        |        |          | the run's start |          |
//! ```
//!
//! Numbers are letters from `a` (0) to `p` (15), the lowest digit first: so the sixteen bytes at the front are two
//! integers of the machine's, and to know the next message of a sender is to compare two.

/// How many bytes at the front of a text say which message it is.
pub const ID_BYTES: usize = 16;

/// The bytes of the mark.
pub const MARK_BYTES: usize = 4;

const END: u8 = b'$';
const FILLER: u8 = b'.';
const A: u64 = 0x6161_6161_6161_6161;
const LOW: u64 = 0x0f0f_0f0f_0f0f_0f0f;

/// How the texts of one run are written and known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marking {
    mark: [u8; MARK_BYTES],
    payload: usize,
}

/// Which message it is: who sent it, and which of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    pub sender: u16,
    pub sequence: u32,
}

impl Marking {
    /// For texts of `payload` bytes. `run` tells those of one run from those of another, which a server may
    /// remember.
    pub fn new(run: u8, payload: usize) -> Marking {
        let letter = |digit: u8| b'a' + (digit & 15);
        Marking {
            mark: [b'~', b'm', letter(run), letter(run >> 4)],
            payload,
        }
    }

    /// What every text of this run begins with.
    pub fn mark(&self) -> [u8; MARK_BYTES] {
        self.mark
    }

    /// How long every text is.
    pub fn payload(&self) -> usize {
        self.payload
    }

    /// Writes a text, instead of what was there. `due` is when it is to be sent, in nanoseconds.
    pub fn write(&self, id: Id, due: u64, text: &mut Vec<u8>) {
        text.clear();
        text.extend_from_slice(&self.head(id.sender).to_le_bytes());
        text.extend_from_slice(&label(id.sequence).to_le_bytes());
        text.extend_from_slice(&label(due as u32).to_le_bytes());
        text.extend_from_slice(&half_label((due >> 32) as u16).to_le_bytes());
        text.resize(self.payload.saturating_sub(1), FILLER);
        text.push(END);
    }

    /// The first eight bytes of all texts of a sender, as they are read.
    pub fn head(&self, sender: u16) -> u64 {
        u64::from(u32::from_le_bytes(self.mark)) | u64::from(half_label(sender)) << 32
    }

    /// Whether that text, as long as all are, ends as one of this run.
    pub fn is_ended(&self, text: &[u8]) -> bool {
        text.last() == Some(&END)
    }

    /// Which message begins here, if one does.
    pub fn id(&self, bytes: &[u8]) -> Option<Id> {
        let (head, rest) = bytes.split_first_chunk::<8>()?;
        let (sequence, _) = rest.split_first_chunk::<8>()?;
        let head = u64::from_le_bytes(*head);
        if head as u32 != u32::from_le_bytes(self.mark) {
            return None;
        }
        // The mark's place is filled with zeros of the letters'.
        let sender = read(head & !0xffff_ffff | A & 0xffff_ffff)?;
        Some(Id {
            sender: (sender >> 16) as u16,
            sequence: read(u64::from_le_bytes(*sequence))?,
        })
    }
}

/// A number as eight letters, as they are read.
pub fn label(number: u32) -> u64 {
    let mut digits = u64::from(number);
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & LOW;
    digits + A
}

fn half_label(number: u16) -> u32 {
    label(u32::from(number)) as u32
}

fn read(label: u64) -> Option<u32> {
    let digits = label.wrapping_sub(A);
    if digits & !LOW != 0 {
        return None;
    }
    let digits = (digits | digits >> 4) & 0x00ff_00ff_00ff_00ff;
    let digits = (digits | digits >> 8) & 0x0000_ffff_0000_ffff;
    Some((digits | digits >> 16) as u32)
}

/// The label of the next number.
pub fn next_label(label: u64) -> u64 {
    // With all high halves set, a carry runs through to the next digit.
    let digits = (label.wrapping_sub(A) | !LOW).wrapping_add(1) & LOW;
    digits + A
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chat::harmless;
    use crate::load::Plan;

    fn text(marking: &Marking, sender: u16, sequence: u32, due: u64) -> Vec<u8> {
        let mut text = Vec::new();
        marking.write(Id { sender, sequence }, due, &mut text);
        text
    }

    #[test]
    fn a_text_is_as_the_picture_has_it() {
        let marking = Marking::new(0x32, 40);
        assert_eq!(
            text(&marking, 1, 0x29, 0x1e3a5),
            b"~mcdbaaajcaaaaaafkdobaaaaaaa...........$"
        );
    }

    #[test]
    fn the_least_payload_holds_all_of_it() {
        let text = text(
            &Marking::new(1, Plan::LEAST_PAYLOAD),
            65535,
            u32::MAX,
            (1 << 48) - 1,
        );
        assert_eq!(text.len(), Plan::LEAST_PAYLOAD);
        assert_eq!(text.last(), Some(&END));
        assert_eq!(
            text.iter().filter(|byte| **byte == b'p').count(),
            4 + 8 + 12
        );
    }

    #[test]
    fn another_run_and_other_bytes_are_no_message() {
        let marking = Marking::new(7, 32);
        let whole = text(&marking, 5, 6, 7);
        assert_eq!(Marking::new(8, 32).id(&whole), None);
        assert_eq!(marking.id(&whole[..ID_BYTES - 1]), None);
        for at in 0..ID_BYTES {
            let mut broken = whole.clone();
            broken[at] = b'q';
            assert_eq!(marking.id(&broken), None, "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(run: u8, sender: u16, sequence: u32, due in 0u64..1 << 48, payload in 32usize..200) {
            let marking = Marking::new(run, payload);
            let text = text(&marking, sender, sequence, due);
            prop_assert_eq!(text.len(), payload);
            prop_assert_eq!(marking.id(&text), Some(Id { sender, sequence }));
            prop_assert_eq!(&text[..8], &marking.head(sender).to_le_bytes());
            prop_assert_eq!(&text[8..16], &label(sequence).to_le_bytes());
            let text = std::str::from_utf8(&text).unwrap();
            prop_assert_eq!(harmless(text), text);
            prop_assert!(!text.contains([':', '|', '>', '<', '"', ' ', '[', '(', '/']));
        }

        #[test]
        fn the_next_label_is_the_label_of_the_next(number: u32) {
            prop_assert_eq!(next_label(label(number)), label(number.wrapping_add(1)));
        }
    }
}
