//! Owns what the figures look like: a screen of any size, or a table for a pipe. Knows no terminal: rows come out.

use unicode_width::UnicodeWidthChar;

use super::figures::{Figures, OfProtocol, OfReason};
use super::history::{History, SHOWN, Shown, Track};
use super::units::{Unit, write, write_age};
use crate::chat;

/// All that is shown.
pub struct View<'a> {
    /// Where the figures come from.
    pub source: &'a str,
    /// The last ones, however old.
    pub figures: Option<&'a Figures>,
    pub history: &'a History,
    pub state: State<'a>,
}

/// How things are with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State<'a> {
    /// It has not answered yet.
    Asking,
    /// It answers.
    Live,
    /// It answers, and is another process than before.
    Restarted,
    /// It does not answer, for so many seconds.
    Gone { why: &'a str, seconds: u64 },
}

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: usize,
    pub rows: usize,
}

impl View<'_> {
    /// Appends what draws all of the screen anew, row by row from its top.
    pub fn draw(&self, size: Size, colours: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\x1b[H");
        for (number, row) in self.rows(size).iter().take(size.rows).enumerate() {
            if number > 0 {
                out.extend_from_slice(b"\r\n");
            }
            row.write(size.columns, colours, out);
            out.extend_from_slice(b"\x1b[K");
        }
        // What a bigger screen had below.
        out.extend_from_slice(b"\x1b[J");
    }

    /// All that is known, as lines of any length.
    pub fn table(&self) -> String {
        const ALL: usize = usize::MAX;
        let mut rows = vec![Row::of(Look::Plain, self.headline())];
        rows.push(self.state_row());
        rows.push(Row::default());
        let names = SHOWN.iter().map(|shown| shown.name.len());
        let width = names.max().unwrap_or(0);
        for (shown, track) in self.history.tracks() {
            let value = write(track.now(), shown.unit);
            rows.push(Row::of(
                Look::Plain,
                format!("{:width$}  {value:>11}", shown.name),
            ));
        }
        for table in [self.protocols(ALL), self.reasons(ALL, ALL)] {
            if !table.is_empty() {
                rows.push(Row::default());
                rows.extend(table);
            }
        }
        let mut out = Vec::new();
        for row in rows {
            row.write(usize::MAX, false, &mut out);
            out.push(b'\n');
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn rows(&self, size: Size) -> Vec<Row> {
        let mut head = Row::of(Look::Strong, self.headline());
        head.push_right(self.source, size.columns);
        let mut state = self.state_row();
        state.push_right("q: leave", size.columns);
        let mut rows = vec![head, state];
        let all = size.rows >= SHOWN.len() + rows.len() + 2;
        let shown = |shown: &Shown| all || shown.needed;
        let tracks = self.history.tracks().filter(|(track, _)| shown(track));
        rows.extend(tracks.map(|(shown, track)| figure_row(shown, track, size.columns)));
        let left = size.rows.saturating_sub(rows.len());
        match size.columns {
            // A few rows say nothing in tables.
            _ if left < 4 => rows.extend(self.in_words()),
            columns if columns >= BESIDE => {
                let reasons = self.reasons(left, columns - PROTOCOLS_COLUMNS);
                rows.extend(beside(self.protocols(left), reasons));
            }
            _ => {
                let reasons = self.figures.map_or(0, |figures| figures.reasons.len());
                let for_reasons = match reasons {
                    0 => 0,
                    count => (count + 1).min(left / 2),
                };
                rows.extend(self.protocols(left - for_reasons));
                let left = size.rows.saturating_sub(rows.len());
                rows.extend(self.reasons(left, size.columns));
            }
        }
        rows
    }

    fn headline(&self) -> String {
        let Some(figures) = self.figures else {
            return "mynah".to_owned();
        };
        let version = chat::harmless(&figures.version);
        match figures.uptime {
            Some(uptime) => format!("mynah {version}  up {}", write_age(uptime)),
            None => format!("mynah {version}"),
        }
    }

    fn state_row(&self) -> Row {
        let draining = self.figures.is_some_and(|figures| figures.draining);
        match self.state {
            State::Asking => Row::of(Look::Quiet, format!("asking {} ...", self.source)),
            State::Gone { why, seconds } => {
                let age = write_age(seconds as f64);
                let why = chat::harmless(why);
                Row::of(Look::Bad, format!("cannot be reached for {age}: {why}"))
            }
            State::Live | State::Restarted if draining => {
                Row::of(Look::Warning, "draining: nobody new is let in".to_owned())
            }
            State::Restarted => Row::of(
                Look::Warning,
                "live: the server was started anew".to_owned(),
            ),
            State::Live => Row::of(Look::Good, "live".to_owned()),
        }
    }

    /// Who is there by which protocol, in so many rows at most.
    fn protocols(&self, room: usize) -> Vec<Row> {
        let all = self.figures.map_or(&[][..], |figures| &figures.protocols);
        let is_used = |one: &&OfProtocol| {
            one.members.unwrap_or(0.0) > 0.0 || one.connections.unwrap_or(0.0) > 0.0
        };
        let mut shown: Vec<&OfProtocol> = all.iter().collect();
        if shown.len() >= room {
            shown.retain(is_used);
        }
        let row = |name: &str, connections: String, members: String| {
            format!(
                "{} {connections:>12} {members:>8}",
                fitted(name, NAME_COLUMNS)
            )
        };
        let title = row("protocol", "connections".into(), "members".into());
        let rows = shown.iter().map(|one| {
            let connections = write(one.connections, Unit::Count);
            let members = write(one.members, Unit::Count);
            (Look::Plain, row(&one.name, connections, members))
        });
        titled(title, rows.collect(), room)
    }

    /// What was dropped, refused and closed: what happens now first, then what happened most.
    fn reasons(&self, room: usize, columns: usize) -> Vec<Row> {
        let columns = columns
            .saturating_sub(REASON_FIGURES)
            .min(MAX_REASON_COLUMNS);
        let rows = self.reasons_by_weight().into_iter().map(|one| {
            let now = one.per_second.is_some_and(|rate| rate > 0.0);
            let look = if now { Look::Warning } else { Look::Plain };
            let what = of_reason(&one.what, &one.reason, columns);
            let total = write(Some(one.total), Unit::Count);
            let rate = write(one.per_second, Unit::PerSecond);
            (look, format!("{what} {total:>6} {rate:>8}"))
        });
        let what = fitted("reason", columns);
        let title = format!("{what} {:>6} {:>8}", "so far", "now");
        titled(title, rows.collect(), room)
    }

    fn reasons_by_weight(&self) -> Vec<&OfReason> {
        let all = self.figures.map_or(&[][..], |figures| &figures.reasons);
        let mut all: Vec<&OfReason> = all.iter().collect();
        let weight = |one: &OfReason| (one.per_second.unwrap_or(0.0), one.total);
        all.sort_by(|a, b| {
            let ((a_now, a_all), (b_now, b_all)) = (weight(a), weight(b));
            b_now.total_cmp(&a_now).then(b_all.total_cmp(&a_all))
        });
        all
    }

    /// The two tables as a row each.
    fn in_words(&self) -> Vec<Row> {
        let protocols = self.figures.map_or(&[][..], |figures| &figures.protocols);
        let members = protocols.iter().filter_map(|one| {
            let members = one.members.filter(|&members| members > 0.0)?;
            Some(format!(
                "{} {}",
                one.name,
                write(Some(members), Unit::Count)
            ))
        });
        let reasons = self.reasons_by_weight().into_iter().map(|one| {
            let total = write(Some(one.total), Unit::Count);
            format!("{} {}: {total}", one.what, one.reason)
        });
        let lists = [members.collect::<Vec<_>>(), reasons.collect()];
        let said = lists.into_iter().filter(|list| !list.is_empty());
        said.map(|list| Row::of(Look::Plain, chat::harmless(&list.join(", ")).into_owned()))
            .collect()
    }
}

const NAME_COLUMNS: usize = 12;

/// What the protocols' table takes, and two blanks behind it.
const PROTOCOLS_COLUMNS: usize = NAME_COLUMNS + 22 + 2;

/// What stands behind a reason.
const REASON_FIGURES: usize = 16;
const MAX_REASON_COLUMNS: usize = 40;

/// From this width on the two tables stand beside each other.
const BESIDE: usize = PROTOCOLS_COLUMNS + 20 + REASON_FIGURES;

/// The figure, what it was, and, where there is room, the highest of what is seen of it.
fn figure_row(shown: &Shown, track: Track<'_>, columns: usize) -> Row {
    let mut row = Row::of(Look::Plain, format!("{:<15}", shown.name));
    row.push(
        Look::Strong,
        format!("{:>10}", write(track.now(), shown.unit)),
    );
    let for_highest = if columns >= 70 { 20 } else { 0 };
    let width = columns.saturating_sub(15 + 10 + 2 + for_highest);
    row.push(Look::Chart, format!("  {}", track.sparkline(width)));
    if for_highest > 0 {
        let highest = write(track.highest(width), shown.unit);
        row.push(Look::Quiet, format!("  highest {highest}"));
    }
    row
}

fn titled(title: String, rows: Vec<(Look, String)>, room: usize) -> Vec<Row> {
    if rows.is_empty() || room < 2 {
        return Vec::new();
    }
    let mut all = vec![Row::of(Look::Quiet, title)];
    all.extend(rows.into_iter().map(|(look, text)| Row::of(look, text)));
    all.truncate(room);
    all
}

fn beside(left: Vec<Row>, right: Vec<Row>) -> Vec<Row> {
    let mut rows = left;
    rows.resize_with(rows.len().max(right.len()), Row::default);
    for (row, beside) in rows.iter_mut().zip(right) {
        let gap = PROTOCOLS_COLUMNS.saturating_sub(row.width());
        row.push(Look::Plain, " ".repeat(gap));
        row.0.extend(beside.0);
    }
    rows
}

/// What a server said, in exactly so many columns and without a control character.
fn fitted(text: &str, columns: usize) -> String {
    let mut fitted = String::new();
    let mut left = columns;
    for c in chat::harmless(text).chars() {
        let Some(rest) = left.checked_sub(c.width().unwrap_or(0)) else {
            break;
        };
        fitted.push(c);
        left = rest;
    }
    fitted + &" ".repeat(left)
}

/// What happened and why, in so many columns. Where they are too few the reason stands whole, for as long as something
/// is left of what it is the reason of.
fn of_reason(what: &str, reason: &str, columns: usize) -> String {
    let whole = format!("{what}: {reason}");
    let for_what = columns.saturating_sub(width(reason) + width("…: "));
    match width(&whole) > columns && for_what >= 4 {
        true => fitted(&format!("{}…: {reason}", fitted(what, for_what)), columns),
        false => fitted(&whole, columns),
    }
}

fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// How a piece of text looks, where there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Plain,
    Strong,
    Quiet,
    Good,
    Warning,
    Bad,
    Chart,
}

impl Look {
    /// What selects it (ECMA-48, SGR).
    fn code(self) -> Option<&'static str> {
        match self {
            Look::Plain => None,
            Look::Strong => Some("1"),
            Look::Quiet => Some("2"),
            Look::Good => Some("32"),
            Look::Warning => Some("33"),
            Look::Bad => Some("31"),
            Look::Chart => Some("36"),
        }
    }
}

/// One line, in pieces that look differently.
#[derive(Debug, Default)]
struct Row(Vec<(Look, String)>);

impl Row {
    fn of(look: Look, text: String) -> Row {
        Row(vec![(look, text)])
    }

    fn push(&mut self, look: Look, text: String) {
        self.0.push((look, text));
    }

    /// Puts this at the right edge, if there is room for it.
    fn push_right(&mut self, text: &str, columns: usize) {
        let text = chat::harmless(text);
        let gap = columns.checked_sub(self.width() + width(&text));
        if let Some(gap) = gap.filter(|&gap| gap >= 2) {
            self.push(Look::Plain, " ".repeat(gap));
            self.push(Look::Quiet, text.into_owned());
        }
    }

    fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| width(text)).sum()
    }

    /// As much as fits into so many columns; blanks at the end are left away.
    fn write(&self, columns: usize, colours: bool, out: &mut Vec<u8>) {
        let mut left = columns;
        let last = self
            .0
            .iter()
            .rposition(|(_, text)| !text.trim_end().is_empty());
        for (number, (look, text)) in self.0.iter().enumerate() {
            let text = match last {
                Some(last) if number < last => text.as_str(),
                Some(last) if number == last => text.trim_end(),
                _ => "",
            };
            let mut end = text.len();
            for (at, c) in text.char_indices() {
                match left.checked_sub(c.width().unwrap_or(0)) {
                    Some(rest) => left = rest,
                    None => {
                        end = at;
                        left = 0;
                        break;
                    }
                }
            }
            let text = text.get(..end).unwrap_or_default();
            match look.code().filter(|_| colours && !text.is_empty()) {
                Some(code) => out.extend(format!("\x1b[{code}m{text}\x1b[m").bytes()),
                None => out.extend(text.bytes()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::{reading, said};
    use super::*;

    /// Two readings, a second apart.
    fn shown(of: impl FnOnce(&View<'_>)) {
        let first = reading(10, &said(1000, 100));
        let second = reading(11, &said(1000, 150));
        let mut history = History::default();
        history.push(&Figures::between(None, &first));
        let figures = Figures::between(Some(&first), &second);
        history.push(&figures);
        of(&View {
            source: "127.0.0.1:9464",
            figures: Some(&figures),
            history: &history,
            state: State::Live,
        });
    }

    fn screen(view: &View<'_>, columns: usize, rows: usize) -> Vec<String> {
        let mut out = Vec::new();
        view.draw(Size { columns, rows }, false, &mut out);
        let text = String::from_utf8(out).unwrap();
        let text = text.strip_prefix("\x1b[H").unwrap();
        let text = text.strip_suffix("\x1b[J").unwrap();
        text.split("\r\n")
            .map(|row| row.strip_suffix("\x1b[K").unwrap().to_owned())
            .collect()
    }

    /// A row without what stands at the right edge.
    fn left_of(row: &str) -> &str {
        row.split("  ").next().unwrap()
    }

    #[test]
    fn a_screen_of_the_usual_size_has_all() {
        shown(|view| {
            let rows = screen(view, 80, 24);
            let expected = [
                "mynah 0.1.0 (8b10308)  up 16 min 51 s                             127.0.0.1:9464",
                "live                                                                    q: leave",
                "messages in          50/s                                  █  highest 50/s",
                "deliveries out   2.50 k/s                                  █  highest 2.50 k/s",
                "sent             500 kB/s                                  █  highest 500 kB/s",
                "received        5.00 kB/s                                  █  highest 5.00 kB/s",
                "members                57                                 ██  highest 57",
                "connections            42                                 ██  highest 42",
                "rooms                   1                                 ██  highest 1",
                "slowest lag       2.05 kB                                 ██  highest 2.05 kB",
                "to be sent        4.10 kB                                 ██  highest 4.10 kB",
                "turn p50          1.00 ms                                  █  highest 1.00 ms",
                "turn p99          1.98 ms                                  █  highest 1.98 ms",
                "processor          5.00 %                                  █  highest 5.00 %",
                "helper jobs             2                                 ██  highest 2",
                "memory            4.10 MB                                 ██  highest 4.10 MB",
                "protocol      connections  members  reason                       so far      now",
                "tcp-room               41       40  datagrams dropped: too long     150     50/s",
                "udp-room                -       17  closed: slow backlog              3      0/s",
                "metrics                 1        -",
            ];
            assert_eq!(rows, expected);
        });
    }

    #[test]
    fn a_reason_stands_whole_where_there_is_room_for_it() {
        let of = |columns| of_reason("datagrams dropped", "out of turn", columns);
        assert_eq!(of(30), "datagrams dropped: out of turn");
        assert_eq!(of(24), "datagrams …: out of turn");
        assert_eq!(of(18), "data…: out of turn");
        assert_eq!(of(12), "datagrams dr");
    }

    #[test]
    fn a_small_screen_has_what_is_needed() {
        shown(|view| {
            let rows = screen(view, 40, 10);
            let expected = [
                "mynah 0.1.0 (8b10308)  up 16 min 51 s",
                "live                            q: leave",
                "messages in          50/s              █",
                "deliveries out   2.50 k/s              █",
                "members                57             ██",
                "slowest lag       2.05 kB             ██",
                "turn p99          1.98 ms              █",
                "memory            4.10 MB             ██",
                "tcp-room 40, udp-room 17",
                "datagrams dropped too long: 150, closed ",
            ];
            assert_eq!(rows, expected);
        });
    }

    #[test]
    fn no_row_is_wider_than_the_screen_and_none_is_below_it() {
        shown(|view| {
            for columns in [1, 2, 10, 25, 39, 70, 75, 79, 200] {
                for rows in [1, 2, 5, 9, 12, 15, 18, 30] {
                    let drawn = screen(view, columns, rows);
                    assert!(drawn.len() <= rows, "{columns} x {rows}: {drawn:#?}");
                    let widest = drawn.iter().map(|row| width(row)).max().unwrap();
                    assert!(widest <= columns, "{columns} x {rows}: {drawn:#?}");
                }
            }
        });
    }

    #[test]
    fn a_server_that_is_gone_is_told_above_its_last_figures() {
        shown(|view| {
            let table = [
                (State::Asking, "asking 127.0.0.1:9464 ..."),
                (State::Restarted, "live: the server was started anew"),
                (
                    State::Gone {
                        why: "connection \x1b[31mrefused",
                        seconds: 75,
                    },
                    "cannot be reached for 1 min 15 s: connection \u{fffd}[31mrefused",
                ),
            ];
            for (state, expected) in table {
                let view = View { state, ..*view };
                let rows = screen(&view, 80, 24);
                assert_eq!(left_of(&rows[1]), expected);
                assert!(rows[2].starts_with("messages in          50/s"));
            }
            let draining = Figures {
                draining: true,
                ..view.figures.unwrap().clone()
            };
            let view = View {
                figures: Some(&draining),
                ..*view
            };
            let state = &screen(&view, 80, 24)[1];
            assert_eq!(left_of(state), "draining: nobody new is let in");
        });
    }

    #[test]
    fn colours_are_left_away_where_they_are_not_wanted() {
        shown(|view| {
            for (colours, count) in [(true, 1), (false, 0)] {
                let mut out = Vec::new();
                let size = Size {
                    columns: 80,
                    rows: 24,
                };
                view.draw(size, colours, &mut out);
                let text = String::from_utf8(out).unwrap();
                assert_eq!(text.matches("\x1b[32mlive\x1b[m").count(), count);
                assert_eq!(text.contains("\x1b[1m"), colours);
            }
        });
    }

    #[test]
    fn a_table_has_all_of_it() {
        shown(|view| {
            let table = view.table();
            assert!(table.starts_with("mynah 0.1.0 (8b10308)  up 16 min 51 s\nlive\n\n"));
            for line in [
                "messages in            50/s",
                "memory              4.10 MB",
                "udp-room                -       17",
                "closed: slow backlog                          3      0/s",
            ] {
                assert!(table.lines().any(|l| l == line), "{line:?} in\n{table}");
            }
        });
    }
}
