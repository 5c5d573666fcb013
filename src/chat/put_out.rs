//! Owns the words with which the server puts somebody out: whoever says them and whoever hears them have them from here.

use super::SERVER_NAME;

/// Told to who is put out, alone or with `: REASON` behind it: it may come back.
pub const KICKED: &str = "kicked";

/// The same where nobody is let in any more from its address.
pub const BANNED: &str = "banned";

/// Whether what `from` says is that whoever hears it was put out. Over datagrams nothing else tells.
pub fn is_put_out(from: &str, text: &str) -> bool {
    let behind = |word| text.strip_prefix(word);
    from == SERVER_NAME
        && [KICKED, BANNED]
            .into_iter()
            .filter_map(behind)
            .any(|rest| rest.is_empty() || rest.starts_with(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_server_puts_out_and_only_with_these_words() {
        let table = [
            (SERVER_NAME, "kicked", true),
            (SERVER_NAME, "kicked: too loud", true),
            (SERVER_NAME, "banned: too loud", true),
            (SERVER_NAME, "kicked somebody", false),
            (SERVER_NAME, "not kicked: you", false),
            (SERVER_NAME, "", false),
            ("bob", "kicked: too loud", false),
        ];
        for (from, text, is) in table {
            assert_eq!(is_put_out(from, text), is, "{from}: {text}");
        }
    }
}
