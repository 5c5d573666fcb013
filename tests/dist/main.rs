//! What is packed beside the program: the manual pages, the completions of shells and the configuration are what the
//! flags and the keys are now, and they are sound. After a change of a flag, a key, or what is told of them:
//!
//! ```text
//! MYNAH_RENEW=1 cargo test --test dist
//! ```

mod completions;
mod pages;
mod settings;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use clap::CommandFactory;
use mynah::cli::Cli;

/// Files by their names below a folder.
type Files = BTreeMap<PathBuf, String>;

fn dist() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist")
}

/// What a folder holds, without the folders in it.
fn held(folder: &Path) -> Files {
    let Ok(entries) = fs::read_dir(folder) else {
        return Files::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.is_file());
    files
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.file_name().unwrap().into(), text)
        })
        .collect()
}

/// Compares a folder with what is generated, or renews it.
fn is_current(folder: &str, generated: &Files) {
    let path = dist().join(folder);
    let held = held(&path);
    if env::var_os("MYNAH_RENEW").is_some() {
        fs::create_dir_all(&path).unwrap();
        for name in held.keys().filter(|name| !generated.contains_key(*name)) {
            fs::remove_file(path.join(name)).unwrap();
        }
        for (name, text) in generated {
            fs::write(path.join(name), text).unwrap();
        }
        return;
    }
    let all = held.keys().chain(generated.keys());
    let mut stale: Vec<String> = all
        .filter(|name| held.get(*name) != generated.get(*name))
        .map(|name| format!("dist/{folder}/{}", name.display()))
        .collect();
    stale.dedup();
    assert!(
        stale.is_empty(),
        "not what the flags are now: {stale:?}. Renew them: MYNAH_RENEW=1 cargo test --test dist"
    );
}

fn command() -> clap::Command {
    Cli::command()
}

#[test]
fn the_manual_pages_are_current() {
    let mut pages = pages::all(command());
    pages.insert("mynah.toml.5".into(), settings::page());
    is_current("man", &pages);
}

#[test]
fn the_completions_are_current() {
    is_current("completions", &completions::all(command()));
}

#[test]
fn the_configuration_that_is_installed_is_current_and_right() {
    let file = settings::file();
    let path = dist().join("mynah.toml");
    if env::var_os("MYNAH_RENEW").is_some() {
        fs::write(&path, &file).unwrap();
    }
    let installed = fs::read_to_string(&path).unwrap();
    assert!(
        installed == file,
        "dist/mynah.toml is not what the keys are now. Renew it: MYNAH_RENEW=1 cargo test --test dist"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_mynah"))
        .args(["config", "check", "--config"])
        .arg(&path)
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        shown.contains("\ndata_dir = \"/var/lib/mynah\"  # "),
        "{shown}"
    );
}
