//! Holds `docs/reliability.md` against the code: every fault has its row, every row its tests and figures, and
//! whatever a row names is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mynah::server::Counters;

/// The numbers of the faults and attacks.
const ROWS: std::ops::RangeInclusive<u8> = 1..=50;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// What is said of one fault below its own heading.
#[derive(Default)]
struct Row {
    number: String,
    title: String,
    limits: String,
    counted: String,
    promised: String,
    timed: bool,
    /// Files, and tests in them.
    tests: Vec<(String, String)>,
}

fn rows() -> Vec<Row> {
    let page = page("reliability.md");
    let sections = page.split("\n### ").skip(1);
    sections
        .filter(|section| is_number(section.split(':').next().unwrap_or_default()))
        .map(row)
        .collect()
}

fn row(section: &str) -> Row {
    let (heading, body) = section.split_once('\n').unwrap();
    let (number, title) = heading.split_once(": ").unwrap();
    let mut row = Row {
        number: number.to_owned(),
        title: title.to_owned(),
        ..Row::default()
    };
    // An item may be several lines.
    let items = format!("\n{body}");
    for item in items.split("\n- ").skip(1) {
        let (name, text) = item.split_once(':').unwrap();
        let text = text.split("\n\n").next().unwrap_or_default();
        match name {
            "limits" => row.limits = text.to_owned(),
            "counted" => row.counted = text.to_owned(),
            "promised" => row.promised = text.split_whitespace().collect::<Vec<_>>().join(" "),
            "timed" => row.timed = true,
            "tests" => {
                let mut file = "";
                for name in quoted(text) {
                    match name.ends_with(".rs") {
                        true => file = name,
                        false => row.tests.push((file.to_owned(), name.to_owned())),
                    }
                }
            }
            "logged" | "shown" | "note" => {}
            other => panic!("{number}: {other} is no item"),
        }
    }
    row
}

/// Whether that is a row's number, as `R07`.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('R').unwrap_or_default();
    digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The rows of all tables with so many columns that begin with a number.
fn table(columns: usize) -> Vec<Vec<String>> {
    let page = page("reliability.md");
    let cells = page.lines().filter_map(|line| {
        let inner = line.trim().strip_prefix("| ")?.strip_suffix(" |")?;
        Some(
            inner
                .split(" | ")
                .map(|cell| cell.trim().to_owned())
                .collect(),
        )
    });
    cells
        .filter(|cells: &Vec<String>| cells.len() == columns && is_number(&cells[0]))
        .collect()
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn rust_files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Every test whose name begins with a row's number: its file, its name.
fn numbered_tests() -> BTreeSet<(String, String)> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        rust_files(&root().join(folder), &mut files);
    }
    let mut found = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let path = file.strip_prefix(root()).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let mut is_test = false;
        for line in text.lines().map(str::trim_start) {
            if let Some(rest) = line.strip_prefix("fn ") {
                let name = rest.split(['(', '<']).next().unwrap_or_default();
                let number = name.split('_').next().unwrap_or_default();
                if is_test && number.starts_with('r') && is_number(&number.to_uppercase()) {
                    found.insert((path.clone(), name.to_owned()));
                }
            }
            is_test = line == "#[test]" || (is_test && line.starts_with("#["));
        }
    }
    found
}

#[test]
fn every_fault_is_in_the_table_and_told_of_or_said_to_wait() {
    let mut told: BTreeMap<String, u32> = BTreeMap::new();
    let waiting = table(2).into_iter().map(|cells| cells[0].clone());
    for number in rows().into_iter().map(|row| row.number).chain(waiting) {
        *told.entry(number).or_default() += 1;
    }
    for number in ROWS {
        let number = format!("R{number:02}");
        assert_eq!(told.remove(&number), Some(1), "{number}");
    }
    assert!(told.is_empty(), "{told:?}");
    let table: Vec<_> = table(4)
        .into_iter()
        .map(|cells| {
            (
                cells[0].clone(),
                cells[1].clone(),
                cells[2].clone(),
                cells[3].ends_with("timed"),
            )
        })
        .collect();
    let rows: Vec<_> = rows()
        .into_iter()
        .map(|row| (row.number, row.title, row.promised, row.timed))
        .collect();
    assert_eq!(table, rows, "the table says what the rows say");
}

#[test]
fn every_row_names_its_tests_and_every_numbered_test_stands_in_its_row() {
    let tests = numbered_tests();
    let mut named = BTreeSet::new();
    for row in rows() {
        assert!(!row.tests.is_empty(), "{} has no test", row.number);
        for test in row.tests {
            assert!(tests.contains(&test), "{}: no test {test:?}", row.number);
            let prefix = format!("{}_", row.number.to_lowercase());
            assert!(test.1.starts_with(&prefix), "{} is of another row", test.1);
            named.insert(test);
        }
    }
    let unnamed: Vec<_> = tests.difference(&named).collect();
    assert!(unnamed.is_empty(), "in no row: {unnamed:#?}");
}

#[test]
fn what_a_row_counts_and_bounds_is_there_with_its_default() {
    let counters: BTreeSet<&str> = Counters::default().all().map(|(name, _)| name).collect();
    let configuration = page("configuration.md");
    let defaults: BTreeMap<&str, &str> = configuration
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ");
            let key = cells.next()?.trim_end_matches('`');
            Some((key, cells.last()?))
        })
        .collect();
    let mut bounded = BTreeSet::new();
    for row in rows() {
        for name in quoted(&row.counted) {
            assert!(counters.contains(name), "{}: no counter {name}", row.number);
        }
        for limit in row.limits.split(';') {
            let Some(key) = quoted(limit).next() else {
                continue;
            };
            let value = limit.splitn(3, '`').last().unwrap_or_default().trim();
            assert_eq!(defaults.get(key), Some(&value), "{}: {key}", row.number);
            bounded.insert(key.to_owned());
        }
    }
    let unused: Vec<_> = mynah::config::names()
        .filter(|key| key.starts_with("limits.") && !bounded.contains(*key))
        .collect();
    assert!(
        unused.is_empty(),
        "these bound nothing that is told: {unused:?}"
    );
}

#[test]
fn every_figure_of_time_was_measured() {
    let measured = table(5);
    for row in rows().into_iter().filter(|row| row.timed) {
        let mut lines = measured.iter().filter(|cells| cells[0] == row.number);
        let line = lines.next();
        assert!(line.is_some(), "{} has no measured figure", row.number);
        for cells in line.into_iter().chain(lines) {
            let [number, _, figure, command, date] = &cells[..] else {
                unreachable!("five columns")
            };
            assert!(
                figure.contains(|c: char| c.is_ascii_digit()),
                "{number}: {figure:?}"
            );
            assert!(
                command.len() > 2 && command.starts_with('`'),
                "{number}: {command:?}"
            );
            let date: Vec<_> = date.split('-').map(|part| part.parse::<u32>()).collect();
            assert!(
                matches!(date[..], [Ok(2025..), Ok(1..=12), Ok(1..=31)]),
                "{number}: {date:?}"
            );
        }
    }
}
