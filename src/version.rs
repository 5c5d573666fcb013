//! Owns what the program says of itself: its version, and what it was built from. Knows nothing else; `build.rs` finds it
//! out when it is compiled.

/// As in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, twelve digits, with `-dirty` behind it where the source was not what was committed;
/// `unknown` where nobody knew.
pub const COMMIT: &str = env!("BUILT_COMMIT");

/// The day of that commit in UTC, as 2026-01-31, or that of SOURCE_DATE_EPOCH, or `unknown`.
pub const DATE: &str = env!("BUILT_DATE");

/// What `--version` prints behind the name; `-V` prints [`VERSION`] alone.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("BUILT_COMMIT"),
    " (",
    env!("BUILT_DATE"),
    ")\nprotocols: tcp-room group udp-room udp-login tcrp ucrp udp-mesh",
    "\nfeatures: metrics systemd",
    "\nlibc: ",
    env!("BUILT_LIBC"),
    "\ntarget: ",
    env!("BUILT_TARGET"),
    "\nprofile: ",
    env!("BUILT_PROFILE"),
    "\nrustc: ",
    env!("BUILT_RUSTC"),
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::registry::Protocol;

    #[test]
    fn every_protocol_is_named() {
        let names: Vec<&str> = Protocol::ALL.iter().map(|one| one.name()).collect();
        let line = format!("\nprotocols: {}\n", names.join(" "));
        assert!(LONG.contains(&line), "{LONG}");
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
