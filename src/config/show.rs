//! Owns how the configuration is shown to people: as a commented file of the defaults, and as what holds with where it
//! comes from. Both are TOML that is read again as what was shown.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::key::{Key, keys};
use super::merged::Merged;

/// As wide as the lines of a comment are.
const WIDTH: usize = 100;

const HEAD: &[&str] = &[
    "The configuration of mynah. Every key may be left out; here all of them stand with their defaults, as comments. \
     Take the # off and change what is behind it.",
    "`mynah serve` reads the first of: --config FILE, $MYNAH_CONFIG, $XDG_CONFIG_HOME/mynah/mynah.toml (or \
     ~/.config/mynah/mynah.toml), /etc/mynah/mynah.toml. A flag goes before a variable of the environment, that before \
     this file. The variable of limits.rooms is MYNAH_LIMITS_ROOMS, and so for all keys.",
    "`mynah config check` says whether all is well, and where each value comes from. A running server reads this file \
     again on SIGHUP (systemctl reload mynah); behind each key stands when a changed value applies.",
];

/// What is told above the keys of a table.
const TABLES: &[(&str, &str)] = &[
    (
        "access",
        "Who may come to which service. Addresses of IPv4 and IPv6 are written one by one, or as prefixes.",
    ),
    (
        "limits",
        "Limits. What is over one is refused, dropped or cut, counted, and logged. Numbers have no unit behind them.",
    ),
];

/// The defaults as a TOML file in which all is commented out. Lines of words begin with `##`, those of keys with `#`: with
/// one `#` less in front of each line it is a file that says what holds anyway.
pub fn default_file() -> String {
    let mut out = String::new();
    for (number, paragraph) in HEAD.iter().enumerate() {
        if number > 0 {
            out.push_str("##\n");
        }
        comment(&mut out, paragraph);
    }
    let mut told = BTreeSet::new();
    let mut last = "";
    for key in keys() {
        let (table, _) = key.name().split_once('.').unwrap_or_default();
        if table != last {
            last = table;
            if let Some((_, words)) = TABLES.iter().find(|(name, _)| *name == table) {
                out.push('\n');
                comment(&mut out, words);
            }
        }
        // What is the same for many stands at the first of them.
        if told.insert(key.doc()) {
            out.push('\n');
            comment(&mut out, key.doc());
            comment(&mut out, &right(key));
        }
        let _ = writeln!(out, "# {} = {}", key.name(), key.example());
    }
    out
}

/// What a value may be, what holds without one where that is not to be seen, and when a change applies.
fn right(key: &Key) -> String {
    let (right, applies) = (key.right(), key.reload());
    let default = match key.default() {
        default if default == key.example() => String::new(),
        default => format!(" Default: {default}."),
    };
    let mut letters = right.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let right: String = first.into_iter().chain(letters).collect();
    format!("{right}; a change applies {applies}.{default}")
}

/// Words as comments, none wider than the page.
fn comment(out: &mut String, words: &str) {
    let mut width = 0;
    for word in words.split_whitespace() {
        let length = word.chars().count() + 1;
        if width == 0 || width + length > WIDTH {
            let end = if width == 0 { "" } else { "\n" };
            out.push_str(end);
            out.push_str("##");
            width = 2;
        }
        out.push(' ');
        out.push_str(word);
        width += length;
    }
    out.push('\n');
}

impl Merged {
    /// What holds as a TOML file, behind each line as a comment where its value comes from.
    pub fn show(&self) -> String {
        let mut out = String::new();
        let file = self.file.as_ref().map(|path| path.display().to_string());
        let file = file.unwrap_or_else(|| "none".to_owned());
        // No line end of a path ends the comment.
        let _ = writeln!(out, "# configuration file: {}", file.escape_debug());
        for key in keys() {
            let value = key.get(&self.settings);
            let origin = self.origin(key).to_string();
            let _ = writeln!(out, "{} = {value}  # {}", key.name(), origin.escape_debug());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn settings(text: &str) -> Settings {
        let merged = Merged::of_file(text.as_bytes());
        merged.unwrap_or_else(|error| panic!("{error}")).settings
    }

    #[test]
    fn the_default_file_says_nothing_as_it_is_and_the_defaults_without_its_comment_signs() {
        let text = default_file();
        assert_eq!(settings(&text), Settings::default());
        let lines = text
            .lines()
            .map(|line| line.strip_prefix('#').unwrap_or(line));
        let without: String = lines.map(|line| format!("{line}\n")).collect();
        let all = settings(&without);
        let default = Settings {
            data_dir: "/var/lib/mynah".into(),
            ..Settings::default()
        };
        assert_eq!(all, default);
        for key in keys() {
            let line = format!("\n {} = ", key.name());
            assert_eq!(without.matches(&line).count(), 1, "{}", key.name());
            assert!(
                text.split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .replace("## ", "")
                    .contains(key.doc())
            );
        }
        let widest = text.lines().filter(|line| line.starts_with("##"));
        assert!(widest.map(|line| line.chars().count()).max() <= Some(WIDTH));
    }

    #[test]
    fn what_holds_is_shown_so_that_it_is_read_as_the_same() {
        let text = "limits.rooms = 7\nlimits.messages_per_second = 0\nwelcome = \"\"\"\na \"b\" \\\\\n\tc\n\"\"\"\n\
                    access.group.deny = [\"::1\", \"10.0.0.0/8\"]\ncontrol = \"\"\n";
        let merged = Merged::of_file(text.as_bytes()).unwrap();
        let shown = merged.show();
        assert_eq!(settings(&shown), merged.settings, "{shown}");
        assert!(
            shown.contains("\nlimits.rooms = 7  # mynah.toml:1\n"),
            "{shown}"
        );
        assert!(shown.contains("\nisolate = false  # default\n"), "{shown}");
        assert!(
            shown.contains("\nwelcome = \"a \\\"b\\\" \\\\\\n\\tc\"  # mynah.toml:3\n"),
            "{shown}"
        );
    }
}
