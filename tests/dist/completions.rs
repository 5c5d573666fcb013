//! The completions of bash, zsh and fish: what they are, and that the first of them completes.

use std::process::Command;

use clap_complete::Shell;

use super::support::have;
use super::{Files, dist};

/// By the names under which each shell looks for those of a program `mynah`.
pub fn all(mut command: clap::Command) -> Files {
    let shells = [
        (Shell::Bash, "mynah.bash"),
        (Shell::Zsh, "_mynah"),
        (Shell::Fish, "mynah.fish"),
    ];
    let files = shells.map(|(shell, name)| {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, "mynah", &mut text);
        (name.into(), String::from_utf8(text).unwrap())
    });
    Files::from(files)
}

#[test]
fn bash_completes_commands_protocols_and_flags() {
    if !have("bash") {
        return;
    }
    let path = dist().join("completions/mynah.bash");
    let cases = [
        ("mynah s", "serve"),
        ("mynah chat tcp-", "tcp-room"),
        ("mynah chat group --no-", "--no-p2p"),
        ("mynah serve --registration c", "closed"),
    ];
    for (typed, completed) in cases {
        let words: Vec<&str> = typed.split(' ').collect();
        let script = format!(
            "source '{}'; COMP_WORDS=({typed}); COMP_CWORD={}; _mynah mynah '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            path.display(),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let output = Command::new("bash")
            .args(["--norc", "-c", &script])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.is_empty(), "{typed:?}: {said}");
        let offered = String::from_utf8(output.stdout).unwrap();
        assert!(
            offered.lines().any(|one| one == completed),
            "{typed:?}: {offered:?}"
        );
    }
}
