//! What tells of the configuration beside the program: its manual page, and the file that a package installs.

use std::fmt::Write;

use mynah::config::{Key, default_file, keys};

use super::{dist, pages};

/// `mynah.toml.5`: every key, as the program's table has it.
pub fn page() -> String {
    let mut body = String::new();
    for key in runs() {
        let [first, ..] = key[..] else { unreachable!() };
        for (number, key) in key.iter().enumerate() {
            let macro_name = if number == 0 { "TP" } else { "TQ" };
            writeln!(body, ".{macro_name}\n.B {}", pages::escaped(key.name())).unwrap();
        }
        let (right, applies) = (first.right(), first.reload());
        writeln!(body, "{}", plain(first.doc())).unwrap();
        writeln!(body, ".br\nValue: {}.", plain(&right)).unwrap();
        writeln!(body, ".br\nDefault: {}.", plain(&first.default())).unwrap();
        writeln!(body, ".br\nA change applies {applies}.").unwrap();
    }
    let path = dist().join("man/sections/mynah.toml.roff");
    let around = std::fs::read_to_string(path).unwrap();
    assert_eq!(around.matches("KEYS_ARE_HERE\n").count(), 1);
    let text = around.replace("KEYS_ARE_HERE\n", &body);
    pages::titled("mynah.toml", 5, &text)
}

/// Keys that stand together and of which the same is told.
fn runs() -> Vec<Vec<&'static Key>> {
    let mut runs: Vec<Vec<&Key>> = Vec::new();
    for key in keys() {
        match runs.last_mut() {
            Some(run) if run[0].doc() == key.doc() => run.push(key),
            _ => runs.push(vec![key]),
        }
    }
    runs
}

/// A text in which nothing means something to roff. Backquotes are how documents in Markdown mark what is typed.
fn plain(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('`', "");
    let text = text.replace('\'', "\\(aq").replace('"', "\\(dq");
    let chars = text.chars().map(|c| match c.is_ascii() {
        true => c.to_string(),
        false => format!("\\[u{:04X}]", u32::from(c)),
    });
    let text: String = chars.collect();
    match text.starts_with('.') {
        true => format!("\\&{text}"),
        false => text,
    }
}

/// What the package puts in `/etc/mynah`: all defaults, but that the data is where the service has it whoever asks,
/// an administrator with `mynah ctl` for instance.
pub fn file() -> String {
    let file = default_file();
    let commented = "\n# data_dir = \"/var/lib/mynah\"\n";
    assert_eq!(file.matches(commented).count(), 1);
    file.replace(commented, "\ndata_dir = \"/var/lib/mynah\"\n")
}
