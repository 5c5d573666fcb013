//! Owns the reading of pickles, protocols 2 to 5, as CPython and its pure Python twin write them. Knows
//! nothing of writing them, and of Python objects only dict, list, string and number.

use byteorder::{ByteOrder, LittleEndian};

use super::opcode::*;
use super::{Dict, Key, Message, Opcode, Violation};

/// How many marks may be open. A pickler opens two; the rest of this protocol's depth is that there is one
/// dict and one list, and neither goes into anything but the one into the other.
pub const MAX_DEPTH: usize = 16;

/// How many values may be in the list, and how many on the stack.
pub const MAX_ITEMS: usize = 256;

/// How many values may be kept in the memo.
pub const MAX_MEMO: usize = 256;

/// Reads a dict from the whole of `input`.
///
/// It takes no memory but for references: at most 256 on the stack, in the memo and in the list each.
pub fn decode(input: &[u8]) -> Result<Dict<'_>, Violation> {
    let mut machine = Machine {
        reader: Reader {
            input,
            at: 0,
            frame_end: None,
        },
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        dict: None,
        list: None,
    };
    match machine.reader.input.first() {
        Some(&PROTO) => machine.reader.skip(1)?,
        _ => return Err(Violation::NoProtocol),
    }
    match machine.reader.u8()? {
        2..=5 => {}
        got => return Err(Violation::UnknownProtocol { got }),
    }
    while machine.step()? == Go::On {}
    machine.finish()
}

/// Whether there is another instruction.
#[derive(PartialEq, Eq)]
enum Go {
    On,
    Stop,
}

/// A value on the stack. There is one dict and one list, so their places need not hold them.
#[derive(Clone, Copy)]
enum Value<'a> {
    Dict,
    List,
    Int(i64),
    Str(&'a str),
}

/// The dict as far as it is filled.
#[derive(Clone, Copy, Default)]
struct Fields<'a> {
    protocol_num: Option<i64>,
    username: Option<&'a str>,
    message: Option<Filled<'a>>,
}

#[derive(Clone, Copy)]
enum Filled<'a> {
    Text(&'a str),
    TheList,
}

/// The list as far as it is filled, and how long its strings are together.
#[derive(Default)]
struct List<'a> {
    lines: Vec<&'a str>,
    bytes: usize,
}

struct Machine<'a> {
    reader: Reader<'a>,
    stack: Vec<Value<'a>>,
    /// How high the stack was at each open mark. What is below the last mark is out of reach.
    marks: Vec<usize>,
    memo: Vec<Value<'a>>,
    dict: Option<Fields<'a>>,
    list: Option<List<'a>>,
}

impl<'a> Machine<'a> {
    fn step(&mut self) -> Result<Go, Violation> {
        let (at, op) = self.reader.op()?;
        let opcode = Opcode(op);
        let misplaced = Violation::Misplaced { opcode };
        match op {
            FRAME => self.reader.begin_frame(at)?,

            EMPTY_DICT if self.dict.is_some() => {
                return Err(Violation::SecondContainer { opcode });
            }
            EMPTY_DICT => {
                self.dict = Some(Fields::default());
                self.push(Value::Dict)?;
            }
            EMPTY_LIST if self.list.is_some() => {
                return Err(Violation::SecondContainer { opcode });
            }
            EMPTY_LIST => {
                self.list = Some(List::default());
                self.push(Value::List)?;
            }
            MARK if self.marks.len() == MAX_DEPTH => {
                return Err(Violation::TooDeep { limit: MAX_DEPTH });
            }
            MARK => self.marks.push(self.stack.len()),

            SHORT_BINUNICODE => {
                let length = self.reader.u8()?;
                self.push_text(length.into())?;
            }
            BINUNICODE => {
                let length = self.reader.u32()?;
                self.push_text(length.into())?;
            }
            BINUNICODE8 => {
                let length = self.reader.u64()?;
                self.push_text(length)?;
            }
            BININT1 => {
                let value = self.reader.u8()?;
                self.push(Value::Int(value.into()))?;
            }
            BININT2 => {
                let value = self.reader.take(2).map(LittleEndian::read_u16)?;
                self.push(Value::Int(value.into()))?;
            }
            BININT => {
                let value = self.reader.take(4).map(LittleEndian::read_i32)?;
                self.push(Value::Int(value.into()))?;
            }
            LONG1 => {
                let bytes = self.reader.u8()?;
                let value = match bytes {
                    0 => 0,
                    1..=8 => LittleEndian::read_int(self.reader.take(bytes.into())?, bytes.into()),
                    _ => return Err(Violation::NumberTooLong { bytes }),
                };
                self.push(Value::Int(value))?;
            }

            MEMOIZE => self.keep(None, misplaced)?,
            BINPUT => {
                let place = self.reader.u8()?;
                self.keep(Some(place.into()), misplaced)?;
            }
            LONG_BINPUT => {
                let place = self.reader.u32()?;
                self.keep(Some(place), misplaced)?;
            }
            BINGET => {
                let place = self.reader.u8()?;
                self.fetch(place.into())?;
            }
            LONG_BINGET => {
                let place = self.reader.u32()?;
                self.fetch(place)?;
            }

            APPEND => {
                let item = self.pop().ok_or(misplaced)?;
                let Some(Value::List) = self.top() else {
                    return Err(misplaced);
                };
                self.append(item, misplaced)?;
            }
            APPENDS => {
                let items = self.pop_to_mark().ok_or(misplaced)?;
                let Some(Value::List) = self.top() else {
                    return Err(misplaced);
                };
                for item in items {
                    self.append(item, misplaced)?;
                }
            }
            SETITEM => {
                let value = self.pop().ok_or(misplaced)?;
                let key = self.pop().ok_or(misplaced)?;
                let Some(Value::Dict) = self.top() else {
                    return Err(misplaced);
                };
                self.set(key, value, misplaced)?;
            }
            SETITEMS => {
                let items = self.pop_to_mark().ok_or(misplaced)?;
                let Some(Value::Dict) = self.top() else {
                    return Err(misplaced);
                };
                for item in items.chunks(2) {
                    let &[key, value] = item else {
                        return Err(misplaced);
                    };
                    self.set(key, value, misplaced)?;
                }
            }

            STOP => {
                let (true, [Value::Dict]) = (self.marks.is_empty(), self.stack.as_slice()) else {
                    return Err(misplaced);
                };
                return Ok(Go::Stop);
            }
            _ => return Err(Violation::Forbidden { opcode, at }),
        }
        Ok(Go::On)
    }

    /// What was read, once nothing is left to read.
    fn finish(self) -> Result<Dict<'a>, Violation> {
        let count = self.reader.input.len() - self.reader.at;
        if count > 0 {
            return Err(Violation::TrailingBytes { count });
        }
        let missing = |key| Violation::MissingKey { key };
        let fields = self.dict.unwrap_or_default();
        Ok(Dict {
            protocol_num: fields.protocol_num.ok_or(missing(Key::ProtocolNum))?,
            username: fields.username.ok_or(missing(Key::Username))?,
            message: match fields.message.ok_or(missing(Key::Message))? {
                Filled::Text(text) => Message::Text(text),
                Filled::TheList => Message::Lines(self.list.unwrap_or_default().lines),
            },
        })
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), Violation> {
        if self.stack.len() == MAX_ITEMS {
            return Err(Violation::TooManyItems { limit: MAX_ITEMS });
        }
        self.stack.push(value);
        Ok(())
    }

    fn push_text(&mut self, length: u64) -> Result<(), Violation> {
        let bytes = self.reader.string(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Violation::NotUtf8)?;
        self.push(Value::Str(text))
    }

    /// The value on top of the stack, if it is in reach.
    fn top(&self) -> Option<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.get(floor..)?.last().copied()
    }

    fn pop(&mut self) -> Option<Value<'a>> {
        let value = self.top()?;
        self.stack.pop();
        Some(value)
    }

    /// Everything above the last mark, and the mark with it.
    fn pop_to_mark(&mut self) -> Option<Vec<Value<'a>>> {
        let floor = self.marks.pop()?;
        (floor <= self.stack.len()).then(|| self.stack.split_off(floor))
    }

    /// Keeps the value on top. Picklers number what they keep 0, 1, 2 …; whoever numbers otherwise wants
    /// a large table of us.
    fn keep(&mut self, place: Option<u32>, misplaced: Violation) -> Result<(), Violation> {
        let next = self.memo.len();
        if next == MAX_MEMO {
            return Err(Violation::MemoFull { limit: MAX_MEMO });
        }
        if let Some(got) = place
            && usize::try_from(got) != Ok(next)
        {
            return Err(Violation::MemoNotDense { got, next });
        }
        let value = self.top().ok_or(misplaced)?;
        self.memo.push(value);
        Ok(())
    }

    /// Dict and list come once in what we read, so a reference to one of them is a cycle or a copy.
    fn fetch(&mut self, got: u32) -> Result<(), Violation> {
        let kept = usize::try_from(got)
            .ok()
            .and_then(|place| self.memo.get(place));
        match kept {
            Some(&value @ (Value::Str(_) | Value::Int(_))) => self.push(value),
            Some(Value::Dict | Value::List) | None => Err(Violation::NotInMemo { got }),
        }
    }

    fn append(&mut self, item: Value<'a>, misplaced: Violation) -> Result<(), Violation> {
        let (Value::Str(line), Some(list)) = (item, &mut self.list) else {
            return Err(misplaced);
        };
        if list.lines.len() == MAX_ITEMS {
            return Err(Violation::TooManyItems { limit: MAX_ITEMS });
        }
        // A reference costs two bytes, whatever it refers to. CPython writes them for strings of at most
        // two bytes, so its lines are never longer than its pickle.
        let limit = self.reader.input.len();
        list.bytes += line.len();
        if list.bytes > limit {
            return Err(Violation::Multiplied { limit });
        }
        list.lines.push(line);
        Ok(())
    }

    fn set(
        &mut self,
        key: Value<'a>,
        value: Value<'a>,
        misplaced: Violation,
    ) -> Result<(), Violation> {
        let (Value::Str(name), Some(fields)) = (key, &mut self.dict) else {
            return Err(misplaced);
        };
        let keys = [Key::ProtocolNum, Key::Username, Key::Message];
        let Some(key) = keys.into_iter().find(|key| key.name() == name) else {
            return Err(Violation::UnknownKey);
        };
        let twice = match (key, value) {
            (Key::ProtocolNum, Value::Int(number)) => fields.protocol_num.replace(number).is_some(),
            (Key::Username, Value::Str(username)) => fields.username.replace(username).is_some(),
            (Key::Message, Value::Str(text)) => {
                fields.message.replace(Filled::Text(text)).is_some()
            }
            (Key::Message, Value::List) => fields.message.replace(Filled::TheList).is_some(),
            (Key::ProtocolNum | Key::Username | Key::Message, _) => {
                return Err(Violation::WrongType { key });
            }
        };
        match twice {
            true => Err(Violation::DuplicateKey { key }),
            false => Ok(()),
        }
    }
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    /// Where the frame ends that is being read. No instruction lies across that.
    frame_end: Option<usize>,
}

impl<'a> Reader<'a> {
    /// The next instruction, and where it stands.
    fn op(&mut self) -> Result<(usize, u8), Violation> {
        if self.frame_end == Some(self.at) {
            self.frame_end = None;
        }
        let at = self.at;
        Ok((at, self.u8()?))
    }

    fn begin_frame(&mut self, at: usize) -> Result<(), Violation> {
        if self.frame_end.is_some() {
            return Err(Violation::FrameBroken { at });
        }
        let got = self.u64()?;
        let length = self.within_input(got)?;
        self.frame_end = Some(self.at + length);
        Ok(())
    }

    /// A length that the peer declares, compared with what there is.
    fn within_input(&self, got: u64) -> Result<usize, Violation> {
        let left = self.input.len() - self.at;
        match usize::try_from(got) {
            Ok(length) if length <= left => Ok(length),
            _ => Err(Violation::LengthOverInput { got, left }),
        }
    }

    fn string(&mut self, length: u64) -> Result<&'a [u8], Violation> {
        let length = self.within_input(length)?;
        self.take(length)
    }

    /// `length` is at most what the input has, or small.
    fn take(&mut self, length: usize) -> Result<&'a [u8], Violation> {
        let end = self.at + length;
        if self.frame_end.is_some_and(|frame_end| end > frame_end) {
            return Err(Violation::FrameBroken { at: self.at });
        }
        let bytes = self.input.get(self.at..end).ok_or(Violation::Truncated)?;
        self.at = end;
        Ok(bytes)
    }

    fn skip(&mut self, length: usize) -> Result<(), Violation> {
        self.take(length).map(|_| ())
    }

    fn u8(&mut self) -> Result<u8, Violation> {
        match self.take(1)? {
            &[byte] => Ok(byte),
            _ => Err(Violation::Truncated),
        }
    }

    fn u32(&mut self) -> Result<u32, Violation> {
        self.take(4).map(LittleEndian::read_u32)
    }

    fn u64(&mut self) -> Result<u64, Violation> {
        self.take(8).map(LittleEndian::read_u64)
    }
}
