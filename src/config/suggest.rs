//! Owns which name somebody meant who wrote another.

/// Less alike than this are names that only happen to share letters.
const LEAST: f64 = 0.6;

/// The name that is most like `wrong`, by itself or without its table, if one is like it at all.
pub(super) fn nearest(wrong: &str, names: impl Iterator<Item = String>) -> Option<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |name: &str| {
        let whole = strsim::normalized_damerau_levenshtein(wrong, name);
        // Of two that are as like, the one in the table that was written.
        let inner = 0.95 * strsim::normalized_damerau_levenshtein(&last(wrong), &last(name));
        whole.max(inner)
    };
    let rated = names.map(|name| (likeness(&name), name));
    let (likeness, name) = rated.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness >= LEAST).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant() {
        for (wrong, meant) in [
            ("limits.roms", Some("limits.rooms")),
            ("rooms", Some("limits.rooms")),
            ("limit.rooms", Some("limits.rooms")),
            ("datadir", Some("data_dir")),
            ("data-dir", Some("data_dir")),
            ("listen_on", Some("listen")),
            ("loglevel", Some("log_level")),
            ("mesh.port", None),
            ("x", None),
            ("", None),
        ] {
            let names = super::super::names().map(str::to_owned);
            assert_eq!(nearest(wrong, names).as_deref(), meant, "{wrong}");
        }
    }
}
