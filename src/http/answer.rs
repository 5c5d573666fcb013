//! Owns the writing of answers: a status, the headers that every answer of ours has, and a body, all in one piece.

use std::fmt::Write;

use chrono::DateTime;

use super::request::{Method, Refusal};

/// How an answer begins (RFC 9110, 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    ContentTooLarge,
    UriTooLong,
    HeadersTooLarge,
    NotImplemented,
    ServiceUnavailable,
    VersionNotSupported,
}

/// What somebody is told. Every answer is the last of its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: Status,
    media_type: &'static str,
    /// What a browser may do with it (`Content-Security-Policy`).
    policy: Option<&'static str>,
    body: Vec<u8>,
}

/// Prometheus' text format, version 0.0.4.
const FIGURES: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

impl Status {
    /// Its number.
    pub fn code(self) -> u16 {
        match self {
            Status::Ok => 200,
            Status::BadRequest => 400,
            Status::NotFound => 404,
            Status::MethodNotAllowed => 405,
            Status::RequestTimeout => 408,
            Status::ContentTooLarge => 413,
            Status::UriTooLong => 414,
            Status::HeadersTooLarge => 431,
            Status::NotImplemented => 501,
            Status::ServiceUnavailable => 503,
            Status::VersionNotSupported => 505,
        }
    }

    /// Its words (RFC 9110, 15; RFC 6585, 5).
    pub fn reason(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::BadRequest => "Bad Request",
            Status::NotFound => "Not Found",
            Status::MethodNotAllowed => "Method Not Allowed",
            Status::RequestTimeout => "Request Timeout",
            Status::ContentTooLarge => "Content Too Large",
            Status::UriTooLong => "URI Too Long",
            Status::HeadersTooLarge => "Request Header Fields Too Large",
            Status::NotImplemented => "Not Implemented",
            Status::ServiceUnavailable => "Service Unavailable",
            Status::VersionNotSupported => "HTTP Version Not Supported",
        }
    }
}

impl Answer {
    /// Figures for Prometheus.
    pub fn figures(text: String) -> Answer {
        Answer {
            status: Status::Ok,
            media_type: FIGURES,
            policy: None,
            body: text.into_bytes(),
        }
    }

    /// A page for people, and what a browser may do on it.
    pub fn page(html: &str, policy: &'static str) -> Answer {
        Answer {
            status: Status::Ok,
            media_type: HTML,
            policy: Some(policy),
            body: html.into(),
        }
    }

    /// A line.
    pub fn line(status: Status, text: &str) -> Answer {
        Answer {
            status,
            media_type: PLAIN,
            policy: None,
            body: format!("{text}\n").into_bytes(),
        }
    }

    /// With which status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// All the bytes of it, sent at `date` (seconds since 1970, UTC).
    pub fn encode(&self, method: Method, date: u64) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\n",
            self.status.code(),
            self.status.reason()
        );
        let mut add = |name: &str, value: &str| {
            let _ = write!(head, "{name}: {value}\r\n");
        };
        if let Some(date) = http_date(date) {
            add("Date", &date);
        }
        add("Content-Type", self.media_type);
        add("Content-Length", &self.body.len().to_string());
        add("Cache-Control", "no-store");
        add("X-Content-Type-Options", "nosniff");
        add("Cross-Origin-Resource-Policy", "same-origin");
        add("Referrer-Policy", "no-referrer");
        if let Some(policy) = self.policy {
            add("Content-Security-Policy", policy);
        }
        if self.status == Status::MethodNotAllowed {
            add("Allow", "GET, HEAD");
        }
        add("Connection", "close");
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if method == Method::Get {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// Says what is wrong, for people.
impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Answer {
        let status = refusal.status;
        let hint = match status {
            Status::NotFound => ": there is /, /metrics and /healthz",
            Status::MethodNotAllowed | Status::NotImplemented => ": GET and HEAD are answered",
            Status::ContentTooLarge => ": requests have no body here",
            Status::VersionNotSupported => ": HTTP/1.0 and HTTP/1.1 are spoken here",
            _ => "",
        };
        Answer::line(
            status,
            &format!("{} {}{hint}", status.code(), status.reason()),
        )
    }
}

/// As RFC 9110 wants it (5.6.7); `None` for a year that has no four digits.
fn http_date(seconds: u64) -> Option<String> {
    let date = DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)?;
    let text = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    (text.len() == "Sun, 06 Nov 1994 08:49:37 GMT".len()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(answer: &Answer, method: Method) -> String {
        String::from_utf8(answer.encode(method, 784_111_777)).unwrap()
    }

    #[test]
    fn figures_are_an_answer_to_its_last_byte() {
        let answer = Answer::figures("mynah_rooms 1\n".into());
        let head = "HTTP/1.1 200 OK\r\n\
            Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
            Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
            Content-Length: 14\r\n\
            Cache-Control: no-store\r\n\
            X-Content-Type-Options: nosniff\r\n\
            Cross-Origin-Resource-Policy: same-origin\r\n\
            Referrer-Policy: no-referrer\r\n\
            Connection: close\r\n\r\n";
        assert_eq!(text(&answer, Method::Get), format!("{head}mynah_rooms 1\n"));
        assert_eq!(
            text(&answer, Method::Head),
            head,
            "the same without its body"
        );
    }

    #[test]
    fn a_page_comes_with_what_may_be_done_on_it() {
        let answer = text(
            &Answer::page("<p>\u{fc}", "default-src 'none'"),
            Method::Get,
        );
        assert!(answer.contains("\r\nContent-Security-Policy: default-src 'none'\r\n"));
        assert!(answer.contains("\r\nContent-Length: 5\r\n"));
        assert!(answer.ends_with("\r\n\r\n<p>\u{fc}"));
    }

    #[test]
    fn who_is_refused_is_told_why_and_what_else_there_is() {
        let refused = |status| {
            let refusal = Refusal {
                status,
                method: Method::Get,
            };
            text(&refusal.into(), Method::Get)
        };
        let not_allowed = refused(Status::MethodNotAllowed);
        assert!(not_allowed.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
        assert!(not_allowed.contains("\r\nAllow: GET, HEAD\r\n"));
        let not_found = refused(Status::NotFound);
        assert!(!not_found.contains("Allow"));
        assert!(not_found.ends_with("\r\n\r\n404 Not Found: there is /, /metrics and /healthz\n"));
    }

    #[test]
    fn a_date_that_cannot_be_written_is_left_out() {
        assert_eq!(http_date(u64::MAX), None);
        assert_eq!(http_date(253_402_300_800), None, "the year 10000");
        assert_eq!(http_date(0).unwrap(), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
