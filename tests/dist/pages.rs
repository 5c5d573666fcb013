//! The manual pages: one of each command and of each command in it, generated from the flags, with what flags do not
//! tell from `dist/man/sections`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use clap_mangen::Man;

use super::support::have;
use super::{Files, command, dist, held};

/// What there is to set stands in a page of its own; those that lead to it.
const CONFIGURED: [&str; 4] = ["mynah", "mynah-serve", "mynah-config", "mynah-ctl"];

/// Every page of section 1, by names like `mynah-chat-group.1`.
pub fn all(command: clap::Command) -> Files {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Files::new();
    add(&command, &[], &mut pages);
    pages
}

/// Adds the page of a command, and those of the commands in it. `around`: the pages of the commands that it is in, from
/// the outermost.
fn add(command: &clap::Command, around: &[String], pages: &mut Files) {
    let name = page_name(command);
    let inner: Vec<String> = shown(command).map(page_name).collect();
    let related = around.iter().chain(&inner).map(|page| (page.as_str(), 1));
    let configured = CONFIGURED.contains(&name.as_str());
    let related = related.chain(configured.then_some(("mynah.toml", 5)));
    let text = page(command, &sections(&name, around), related);
    pages.insert(format!("{name}.1").into(), text);
    let around: Vec<String> = around.iter().cloned().chain([name]).collect();
    for one in shown(command) {
        add(one, &around, pages);
    }
}

fn shown(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|one| !one.is_hide_set())
}

fn page_name(command: &clap::Command) -> String {
    let name = command.get_display_name();
    name.unwrap_or(command.get_name()).to_owned()
}

fn page<'a>(
    command: &clap::Command,
    sections: &str,
    related: impl Iterator<Item = (&'a str, u8)>,
) -> String {
    let man = Man::new(command.clone());
    let mut body = Vec::new();
    man.render_name_section(&mut body).unwrap();
    writeln!(body, ".SH SYNOPSIS\n{}", synopsis(command)).unwrap();
    // A description of its own goes before that which is repeated from the name.
    let (description, sections) = sections.split_at(described(sections));
    let description = description.trim_start_matches(DESCRIPTION);
    man.render_description_section(&mut body).unwrap();
    if !description.is_empty() {
        body.extend_from_slice(b".PP\n");
        body.extend_from_slice(description.as_bytes());
    }
    man.render_options_section(&mut body).unwrap();
    if shown(command).next().is_some() {
        man.render_subcommands_section(&mut body).unwrap();
    }
    body.extend_from_slice(sections.as_bytes());
    let related = related.map(|(page, section)| format!(".BR {} ({section})", escaped(page)));
    let related: Vec<String> = related.collect();
    if !related.is_empty() {
        writeln!(body, ".SH \"SEE ALSO\"\n{}", related.join(",\n")).unwrap();
    }
    let body = tidied(&String::from_utf8(body).unwrap());
    titled(&page_name(command), 1, &body)
}

/// A page with its title. Without a date: it changes when a flag or a key does, or a release is made, and at no other
/// time.
pub fn titled(name: &str, section: u8, body: &str) -> String {
    let (name, version) = (escaped(&name.to_uppercase()), env!("CARGO_PKG_VERSION"));
    format!(".TH {name} {section} \"\" \"mynah {version}\" \"mynah manual\"\n{body}")
}

/// As `mynah chat group [OPTIONS] [HOST[:PORT]]`, the words of it that are typed as they stand in bold.
fn synopsis(command: &clap::Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let rest = usage.strip_prefix(name).unwrap();
    format!("\\fB{}\\fR{}", escaped(name), escaped(rest))
}

pub fn escaped(text: &str) -> String {
    text.replace('-', "\\-")
}

/// Each part was a document of its own and begins as one; and a break needs no break before it.
fn tidied(text: &str) -> String {
    const APOSTROPHES: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";
    let text = text.replace(APOSTROPHES, "");
    let text = text.replace(".br\n\n.br\n", ".sp\n");
    let lines = text.lines().map(str::trim_end);
    let text = lines
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
        + "\n";
    APOSTROPHES.to_owned() + &text
}

/// What stands in `dist/man/sections` for a page, or else for the page around it, but for what that one describes.
fn sections(name: &str, around: &[String]) -> String {
    let folder = dist().join("man/sections");
    let read = |name: &str| fs::read_to_string(folder.join(format!("{name}.roff"))).ok();
    let inherited = || {
        let text = around.iter().rev().find_map(|name| read(name))?;
        Some(text.split_at(described(&text)).1.to_owned())
    };
    read(name).or_else(inherited).unwrap_or_default()
}

/// How long the description is with which sections begin, if they do.
fn described(sections: &str) -> usize {
    match sections.strip_prefix(DESCRIPTION) {
        Some(rest) => DESCRIPTION.len() + rest.find(".SH ").unwrap_or(rest.len()),
        None => 0,
    }
}

const DESCRIPTION: &str = ".SH DESCRIPTION\n";

/// Every page that is there, by path.
fn paths() -> Vec<std::path::PathBuf> {
    let folder = dist().join("man");
    let paths: Vec<_> = held(&folder)
        .into_keys()
        .map(|name| folder.join(name))
        .collect();
    assert!(paths.len() > 8, "is the test looking at the pages?");
    paths
}

/// What a program that checks a page finds wrong with it.
fn complaints(program: &str, arguments: &[&str], page: &Path) -> String {
    let output = Command::new(program)
        .args(arguments)
        .arg(page)
        .env("LC_ALL", "C.UTF-8")
        .env("MANWIDTH", "80")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

#[test]
fn every_page_tells_the_exit_status_and_where_to_read_on() {
    let mut command = command();
    command.build();
    for (name, text) in all(command) {
        for section in [".SH \"EXIT STATUS\"\n", ".SH \"SEE ALSO\"\n"] {
            assert_eq!(
                text.matches(section).count(),
                1,
                "{section} in {}",
                name.display()
            );
        }
    }
}

#[test]
fn what_is_told_beside_the_flags_is_told_of_a_command() {
    let pages = all(command());
    for name in held(&dist().join("man/sections")).into_keys() {
        let page = name.with_extension("1");
        let is_of_a_command = pages.contains_key(&page) || name == Path::new("mynah.toml.roff");
        assert!(is_of_a_command, "no command: {}", name.display());
    }
}

#[test]
fn groff_is_content() {
    if !have("groff") {
        return;
    }
    for page in paths() {
        let said = complaints("groff", &["-man", "-Tutf8", "-ww", "-z"], &page);
        assert_eq!(said, "", "{}", page.display());
    }
}

#[test]
fn mandoc_is_content() {
    // It knows no `--version`.
    let there = Command::new("mandoc").stdin(Stdio::null()).output().is_ok();
    if !super::support::or_skip(there, "mandoc") {
        return;
    }
    for page in paths() {
        let said = complaints("mandoc", &["-Tlint", "-Wwarning"], &page);
        let mut lines = said.lines();
        let dated = lines.next().unwrap_or_default();
        // There is none on purpose.
        assert!(dated.contains("missing date"), "{said}");
        assert_eq!(lines.next(), None, "{said}");
    }
}
