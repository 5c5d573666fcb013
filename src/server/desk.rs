//! Owns what is asked at the desks of the annex: when a question is whole, and what is made of one that never will be.
//! Answers nothing itself, and knows no sockets.

use std::fmt;

use zeroize::Zeroizing;

use crate::control::MAX_REQUEST_BYTES;
use crate::http;

/// What those who come to the annex want; each desk has a door of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Desk {
    /// To be told how the server fares, over HTTP.
    Figures,
    /// To keep order: `mynah ctl`.
    Control,
}

/// What somebody asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// A page, or what is wrong with what was asked instead.
    Http(Result<http::Request, http::Refusal>),
    /// A line, or what there is of one. A password may be in it.
    Control(Zeroizing<Vec<u8>>),
}

/// Whether more may come of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    MayCome,
    /// The peer has ended its half.
    Ended,
    /// It had its time.
    TooLate,
}

impl Desk {
    /// The longest question, in bytes.
    pub(super) fn longest(self) -> usize {
        match self {
            Desk::Figures => http::MAX_HEAD,
            // With its end.
            Desk::Control => MAX_REQUEST_BYTES + 1,
        }
    }

    /// What is asked in the bytes that have come so far, [`longest`](Desk::longest) at the most; `None` until that is known. Who
    /// has as many bytes or will send no more is answered or, with nothing to be answered, let go.
    pub(super) fn hear(self, heard: &[u8], rest: Rest) -> Option<Question> {
        match self {
            Desk::Figures => {
                let asked = http::parse(heard).transpose();
                let asked = asked.or_else(|| match rest {
                    _ if heard.is_empty() => None,
                    Rest::MayCome => None,
                    Rest::Ended => Some(Err(http::Refusal::cut_short(heard))),
                    Rest::TooLate => Some(Err(http::Refusal::too_late(heard))),
                });
                asked.map(Question::Http)
            }
            Desk::Control => {
                let line = match memchr::memchr(b'\n', heard) {
                    Some(end) => heard.get(..end),
                    None if heard.len() >= self.longest() => Some(heard),
                    None if rest != Rest::MayCome && !heard.is_empty() => Some(heard),
                    None => None,
                };
                line.map(|line| Question::Control(Zeroizing::new(line.to_vec())))
            }
        }
    }
}

impl fmt::Display for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Desk::Figures => "metrics",
            Desk::Control => "control",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Method, Page, Refusal, Request, Status};

    #[test]
    fn who_asks_half_a_question_is_told_so_and_who_asks_nothing_is_not() {
        let hear = |heard: &[u8], rest| Desk::Figures.hear(heard, rest);
        let refused = |status| {
            let method = Method::Head;
            Some(Question::Http(Err(Refusal { status, method })))
        };
        let half = b"HEAD / HTTP/1.0\r\n";
        assert_eq!(hear(half, Rest::MayCome), None);
        assert_eq!(hear(half, Rest::Ended), refused(Status::BadRequest));
        assert_eq!(hear(half, Rest::TooLate), refused(Status::RequestTimeout));
        let line = |text: &[u8]| Some(Question::Control(Zeroizing::new(text.to_vec())));
        let hear_order = |heard: &[u8], rest| Desk::Control.hear(heard, rest);
        assert_eq!(hear_order(b"{}\n", Rest::MayCome), line(b"{}"));
        assert_eq!(hear_order(b"{}\n{}\n", Rest::Ended), line(b"{}"));
        assert_eq!(hear_order(b"{", Rest::MayCome), None);
        assert_eq!(hear_order(b"{", Rest::Ended), line(b"{"));
        assert_eq!(hear_order(b"{", Rest::TooLate), line(b"{"));
        assert_eq!(hear_order(b"", Rest::Ended), None);
        let long = vec![b'x'; Desk::Control.longest()];
        assert_eq!(hear_order(&long, Rest::MayCome), line(&long));
        for rest in [Rest::MayCome, Rest::Ended, Rest::TooLate] {
            assert_eq!(hear(b"", rest), None);
            let whole = hear(b"HEAD / HTTP/1.0\r\n\r\n", rest);
            let (page, method) = (Page::Status, Method::Head);
            assert_eq!(whole, Some(Question::Http(Ok(Request { page, method }))));
        }
    }
}
