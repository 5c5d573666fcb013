//! Owns what the program says of itself: its version, and what it was built from. Knows nothing else; `build.rs` finds it
//! out when it is compiled.

use std::sync::LazyLock;

use crate::protocol::registry::Protocol;

/// As in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, twelve digits, with `-dirty` behind it where the source was not what was committed;
/// `unknown` where nobody knew.
pub const COMMIT: &str = env!("BUILT_COMMIT");

/// The day of that commit in UTC, as 2026-01-31, or that of SOURCE_DATE_EPOCH, or `unknown`.
pub const DATE: &str = env!("BUILT_DATE");

/// What is in it that not every chat server has.
const FEATURES: &str = "metrics systemd";

/// The C library that it uses, and whether that is a part of it.
const LIBC: &str = match (
    cfg!(target_env = "musl"),
    cfg!(target_feature = "crt-static"),
) {
    (false, false) => "glibc, dynamic",
    (false, true) => "glibc, static",
    (true, false) => "musl, dynamic",
    (true, true) => "musl, static",
};

/// What `--version` prints behind the name: all that whoever reports a fault should tell. `-V` prints [`VERSION`] alone.
pub fn long() -> &'static str {
    static LONG: LazyLock<String> = LazyLock::new(|| {
        let protocols: Vec<&str> = Protocol::ALL.iter().map(|one| one.name()).collect();
        let lines = [
            VERSION.to_owned(),
            format!("commit: {COMMIT} ({DATE})"),
            format!("protocols: {}", protocols.join(" ")),
            format!("features: {FEATURES}"),
            format!("libc: {LIBC}"),
            format!("target: {}", env!("BUILT_TARGET")),
            format!("profile: {}", env!("BUILT_PROFILE")),
            format!("rustc: {}", env!("BUILT_RUSTC")),
        ];
        lines.join("\n")
    });
    &LONG
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_was_built_from_is_told_a_line_each() {
        let keys = ["commit", "protocols", "features", "libc"];
        let keys = keys.into_iter().chain(["target", "profile", "rustc"]);
        let mut lines = long().lines();
        assert_eq!(lines.next(), Some(VERSION));
        for key in keys {
            let (said, value) = lines.next().unwrap().split_once(": ").unwrap();
            assert_eq!(said, key);
            assert!(!value.is_empty(), "{key}");
        }
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn the_commit_is_what_git_calls_one_or_unknown() {
        // Who tells the build calls it as they like.
        if std::env::var_os("MYNAH_COMMIT").is_some() {
            return;
        }
        let commit = COMMIT.strip_suffix("-dirty").unwrap_or(COMMIT);
        let is_hash = commit.len() == 12 && commit.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(is_hash || commit == "unknown", "{commit}");
        let is_day = DATE.len() == 10 && DATE.split('-').count() == 3;
        assert!(is_day || DATE == "unknown", "{DATE}");
    }
}
