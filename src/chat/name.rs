//! Owns what a name of a person or a room may be, and when two names are the same.
//! Knows nothing of who holds a name: that is the hub's.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::ops::Deref;

use smol_str::SmolStr;
use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_script::{Script, UnicodeScript};
use unicode_security::mixed_script::AugmentedScriptSet;

/// The longest name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 64;

/// The longest that a name may become when it is written out: one of these characters is a sentence of eighteen.
const MAX_WRITTEN_OUT_BYTES: usize = 2 * MAX_NAME_BYTES;

/// As whom the server itself speaks. It breaks the rules for names, by its `>`: nobody can be called that or has been, not
/// even whoever had an account before the server spoke. Existing programs show it like any other name: it has none of
/// the characters that they cut a frame at that bears a sender (`:` in `group` and `udp-room`, a space in `udp-login`).
pub const SERVER_NAME: &str = "<server>";

/// A name that keeps the rules, as its owner wrote it.
///
/// 1 to 64 bytes of UTF-8, without control, white-space or format characters, without any of
/// `:` `|` `>` `"` (the six protocols cut their frames at these), and not mixing scripts that
/// UTS 39 calls confusable (Cyrillic `а` in an otherwise Latin name is how people are
/// impersonated). It is shown as given and compared by what is seen of it: after NFKC and case-folding, without what
/// no font shows. So `Zoë`, `zoë` and `ZOË` are one name however the dots are encoded, and so are `alice` and the same
/// in full-width letters, or with a variation selector behind it.
///
/// Names of up to 23 bytes need no memory beside it: there is one of these per member.
///
/// ```
/// use mynah::chat::{Name, NameError};
///
/// let name = Name::parse("Zoë").unwrap();
/// assert_eq!(name.as_str(), "Zoë");
/// assert!(name.same_as("ZOE\u{308}"));
/// assert_eq!(Name::parse("a:b"), Err(NameError::Forbidden { character: ':' }));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Name(SmolStr);

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing at all, or nothing that is seen.
    Empty,
    /// More than [`MAX_NAME_BYTES`].
    TooLong { bytes: usize },
    /// A character that would break a frame, a line or a terminal.
    Forbidden { character: char },
    /// Letters of scripts that nobody writes one word in.
    MixedScripts,
    /// More than twice [`MAX_NAME_BYTES`] once its ligatures are written out.
    Expands,
}

impl Name {
    /// Checks the rules; the text is copied only when it keeps them.
    pub fn parse(text: &str) -> Result<Name, NameError> {
        Name::check(text)?;
        Ok(Name(text.into()))
    }

    /// Checks the rules, for who only asks.
    pub fn check(text: &str) -> Result<(), NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong { bytes: text.len() });
        }
        if let Some(character) = text.chars().find(|&c| is_forbidden(c)) {
            return Err(NameError::Forbidden { character });
        }
        if text.is_ascii() {
            return Ok(());
        }
        if text.chars().all(is_invisible) {
            return Err(NameError::Empty);
        }
        if mixes_scripts(text) {
            return Err(NameError::MixedScripts);
        }
        if expands(text) {
            return Err(NameError::Expands);
        }
        Ok(())
    }

    /// As its owner wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are one name, however it is written.
    pub fn same_as(&self, other: &str) -> bool {
        if self.0.is_ascii() && other.is_ascii() {
            return self.0.eq_ignore_ascii_case(other);
        }
        // Peers claim names of any length, and to fold them is work.
        if self.0 == other || other.len() > MAX_NAME_BYTES {
            return self.0 == other;
        }
        fold(&self.0) == fold(other)
    }

    /// Whether both have the same letters, in whatever case and however their marks are encoded. All that have are
    /// [the same](Name::same_as), but not the other way round: of `ｆｉｎｎ` and `finn` there were two accounts once.
    pub fn same_letters_as(&self, other: &str) -> bool {
        let letters = |text: &str| {
            let composed: String = text.nfc().collect();
            let folded = unicase::UniCase::unicode(composed).to_folded_case();
            folded.nfc().collect::<String>()
        };
        letters(&self.0) == letters(other)
    }

    /// A hash under which names that are the same are equal. The hasher must be keyed: peers
    /// choose these strings. What is too long is the same as no name and hashed as it is.
    pub fn hash_of(text: &str, hasher: &impl BuildHasher) -> u64 {
        let mut state = hasher.build_hasher();
        if text.is_ascii() {
            // The common case costs no allocation: a name is short enough for the stack.
            let mut folded = [0u8; MAX_NAME_BYTES];
            for piece in text.as_bytes().chunks(MAX_NAME_BYTES) {
                for (to, from) in folded.iter_mut().zip(piece) {
                    *to = from.to_ascii_lowercase();
                }
                state.write(folded.get(..piece.len()).unwrap_or_default());
            }
        } else if text.len() <= MAX_NAME_BYTES {
            state.write(fold(text).as_bytes());
        } else {
            state.write(text.as_bytes());
        }
        state.finish()
    }
}

/// A name as somebody asks for it: no longer than a name may be, and nothing else of it is checked.
///
/// It owns its bytes, for there are formats in which a name stands with escapes and cannot be borrowed; it
/// takes no memory for that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AskedName {
    bytes: [u8; MAX_NAME_BYTES],
    length: usize,
}

impl AskedName {
    /// Refuses what is too long for a name.
    pub fn new(text: &str) -> Result<AskedName, NameError> {
        let mut bytes = [0; MAX_NAME_BYTES];
        let room = bytes.get_mut(..text.len());
        let room = room.ok_or(NameError::TooLong { bytes: text.len() })?;
        room.copy_from_slice(text.as_bytes());
        Ok(AskedName {
            bytes,
            length: text.len(),
        })
    }
}

impl Deref for AskedName {
    type Target = str;

    fn deref(&self) -> &str {
        let text = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Debug for AskedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => write!(f, "a name has at least one character"),
            NameError::TooLong { bytes } => write!(
                f,
                "a name has at most {MAX_NAME_BYTES} bytes of UTF-8, this one has {bytes}"
            ),
            NameError::Forbidden { character } => write!(
                f,
                "a name has no white space, no control or format characters and none of : | > \", \
                 this one has {character:?}"
            ),
            NameError::MixedScripts => {
                write!(f, "a name keeps to one script, this one mixes several")
            }
            NameError::Expands => write!(
                f,
                "a name has at most {MAX_WRITTEN_OUT_BYTES} bytes with its ligatures written out, this one has more"
            ),
        }
    }
}

impl std::error::Error for NameError {}

fn is_forbidden(c: char) -> bool {
    matches!(c, ':' | '|' | '>' | '"')
        || c.is_control()
        || c.is_whitespace()
        || (!c.is_ascii() && c.general_category() == GeneralCategory::Format)
}

/// UTS 39, restriction level "highly restrictive": one script, or Latin with the scripts of
/// Chinese, Japanese or Korean. Digits, punctuation and emoji belong to every script.
fn mixes_scripts(text: &str) -> bool {
    let resolve = |chars: &mut dyn Iterator<Item = char>| {
        let mut scripts = AugmentedScriptSet::default();
        chars.for_each(|c| scripts.intersect_with(c.into()));
        scripts
    };
    if !resolve(&mut text.chars()).is_empty() {
        return false;
    }
    let rest = resolve(&mut text.chars().filter(|c| c.script() != Script::Latin));
    !(rest.hanb || rest.jpan || rest.kore)
}

/// Whether a name gets too long when it is written out, of which no more is done than shows it.
fn expands(text: &str) -> bool {
    let mut lengths = text.nfkc().scan(0, |bytes, c| {
        *bytes += c.len_utf8();
        Some(*bytes)
    });
    lengths.any(|bytes| bytes > MAX_WRITTEN_OUT_BYTES)
}

/// The form in which names are compared; of what no name is, only the beginning.
fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
    }
    let mut bytes = 0;
    let written_out = text.nfkc().take_while(|c| {
        bytes += c.len_utf8();
        bytes <= MAX_WRITTEN_OUT_BYTES
    });
    let seen: String = written_out.filter(|c| !is_invisible(*c)).collect();
    let folded = unicase::UniCase::unicode(seen).to_folded_case();
    // Folding may take letters apart (ŉ) or leave marks to be composed again.
    Cow::Owned(folded.nfkc().collect())
}

/// The characters with the property Default_Ignorable_Code_Point that are no format characters, which no name has:
/// joiners and fillers that some scripts and many emoji are written with, and that nobody sees behind a letter.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{34f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2065}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}'
        | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;

    fn error(text: &str) -> NameError {
        Name::parse(text).unwrap_err()
    }

    #[test]
    fn nobody_is_called_what_the_server_is() {
        let character = '>';
        assert_eq!(error(SERVER_NAME), NameError::Forbidden { character });
        // However it is written: what looks like it is folded into it, and has a character of its own before that.
        assert!(!SERVER_NAME.contains([':', ' ']));
    }

    #[test]
    fn rules_are_named_when_broken() {
        assert_eq!(error(""), NameError::Empty);
        assert_eq!(error(&"x".repeat(65)), NameError::TooLong { bytes: 65 });
        assert_eq!(error(&"é".repeat(33)), NameError::TooLong { bytes: 66 });
        for character in [
            ':',
            '|',
            '>',
            '"',
            ' ',
            '\t',
            '\n',
            '\r',
            '\0',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{a0}',
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{202e}',
            '\u{2028}',
            '\u{3000}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert_eq!(
                error(&format!("a{character}b")),
                NameError::Forbidden { character },
                "{character:?}"
            );
        }
    }

    #[test]
    fn ordinary_names_of_the_world_are_names() {
        for good in [
            "a",
            "alice",
            "o'brien",
            "<bot",
            "Zoë",
            "Ωμέγα",
            "Алиса",
            "김철수",
            "李小龙",
            "たろうタロ",
            "Li李",
            "Ken健二",
            "محمد",
            "राम",
            "🐦",
            "tom-7_x",
            "Vân",
            &"x".repeat(64),
            &"é".repeat(32),
        ] {
            assert_eq!(
                Name::parse(good).map(|n| n.to_string()),
                Ok(good.to_string())
            );
        }
    }

    #[test]
    fn r10_names_that_imitate_others_with_letters_of_another_script_are_refused() {
        // Latin with letters of Cyrillic, Greek, Armenian, Cherokee and Coptic that look the same (UTS 39,
        // confusables.txt), each at the end of a word.
        let lookalikes = "аеорсхуіѕјһԁԛԝАВЕКМНОРСТХοναρικΑΒΕΖΗΙΚΜΝΟΡΤΥΧոսօցհᎪᎠᏚⲟⲣ";
        for lookalike in lookalikes.chars() {
            let bad = format!("admin{lookalike}");
            assert_eq!(error(&bad), NameError::MixedScripts, "{bad}");
        }
        let bad = [
            "p\u{430}ul",
            "\u{391}lice",
            "Ελlen",
            "Mикe",
            "ivаn李",
            "иvan김",
        ];
        for bad in bad {
            assert_eq!(error(bad), NameError::MixedScripts, "{bad}");
        }
    }

    #[test]
    fn r10_what_is_not_seen_makes_no_other_name() {
        let hasher = RandomState::new();
        let alice = Name::parse("alice").unwrap();
        for other in [
            "alice\u{fe0f}",
            "al\u{34f}ice",
            "alice\u{3164}",
            "\u{ffa0}alice",
            "alice\u{180b}",
            "alice\u{e0100}",
            "ａｌｉｃｅ",
            "𝐚𝐥𝐢𝐜𝐞",
            "ⓐⓛⓘⓒⓔ",
            "ᴬlice",
        ] {
            // Some are refused besides, for the script that they are of.
            assert!(alice.same_as(other), "{other:?}");
            let hash = Name::hash_of(other, &hasher);
            assert_eq!(hash, Name::hash_of("Alice", &hasher), "{other:?}");
        }
        for nothing in ["\u{3164}", "\u{fe0f}\u{34f}", "\u{115f}\u{1160}"] {
            assert_eq!(error(nothing), NameError::Empty, "{nothing:?}");
        }
        assert!(Name::parse("❤\u{fe0f}").unwrap().same_as("❤"));
    }

    #[test]
    fn r43_names_are_not_written_out_beyond_what_a_name_may_have() {
        // Eighteen characters of Arabic in three bytes, 33 bytes written out.
        let sentences = |count| "\u{fdfa}".repeat(count);
        assert!(Name::parse(&sentences(3)).is_ok());
        for count in 4..=21 {
            assert_eq!(error(&sentences(count)), NameError::Expands, "{count}");
            let folded = fold(&sentences(count)).len();
            assert!(folded <= MAX_WRITTEN_OUT_BYTES, "{count}: {folded}");
        }
        // Half as many bytes as they become.
        for good in ["㋿".repeat(21), "½".repeat(25)] {
            assert!(Name::parse(&good).is_ok(), "{good}");
        }
        // What is too long is not folded at all, or these would be the same.
        let (hasher, alice) = (RandomState::new(), Name::parse("alice").unwrap());
        let behind = |count| format!("alice{}", "\u{34f}".repeat(count));
        for (count, is_same) in [(29, true), (30, false), (30_000, false)] {
            let other = behind(count);
            assert_eq!(alice.same_as(&other), is_same, "{count}");
            let hashes = [&other, "alice"].map(|text| Name::hash_of(text, &hasher));
            assert_eq!(hashes[0] == hashes[1], is_same, "{count}");
        }
    }

    #[test]
    fn an_asked_name_is_short_and_nothing_else() {
        let longest = "é".repeat(32);
        for text in ["", "alice", "a:b", &longest] {
            assert_eq!(AskedName::new(text).as_deref(), Ok(text));
        }
        let bytes = 65;
        let long = AskedName::new(&"x".repeat(bytes));
        assert_eq!(long, Err(NameError::TooLong { bytes }));
    }

    #[test]
    fn r10_same_name_however_it_is_written() {
        let hasher = RandomState::new();
        for (one, other) in [
            ("Alice", "aLICE"),
            ("Zo\u{eb}", "ZOE\u{308}"),
            ("straße", "STRASSE"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("\u{212b}ngström", "ångström"),
        ] {
            let name = Name::parse(one).unwrap();
            assert!(name.same_as(other), "{one} {other}");
            assert_eq!(Name::hash_of(one, &hasher), Name::hash_of(other, &hasher));
            assert_eq!(name.as_str(), one, "shown as given");
        }
        assert!(!Name::parse("alice").unwrap().same_as("alicia"));
        assert!(!Name::parse("alice").unwrap().same_as("alicé"));
    }

    /// FNV-1a from a state on, in the 20 bits that a table of a million looks at.
    fn unkeyed(state: u32, text: &[u8]) -> u32 {
        text.iter().fold(state, |state, byte| {
            (state ^ u32::from(*byte)).wrapping_mul(0x0100_0193) & 0xf_ffff
        })
    }

    /// Two short texts that take the same way from that state on, which every hash without a key has.
    fn collision(state: u32) -> [[u8; 3]; 2] {
        let letters = b"abcdefghijklmnopqrstuvwxyz0123456789-_.,;!?*+=/()[]{}~^@#$%&";
        let mut seen = std::collections::HashMap::new();
        for first in letters {
            for second in letters {
                for third in letters {
                    let text = [*first, *second, *third];
                    if let Some(other) = seen.insert(unkeyed(state, &text), text) {
                        return [other, text];
                    }
                }
            }
        }
        panic!("no two of 216,000 collide");
    }

    #[test]
    fn r39_names_that_collide_elsewhere_are_spread() {
        // One of two after one of two after one of two … all end where the first ends.
        let (mut state, mut names) = (0xc_9dc5, vec![Vec::new()]);
        while names.len() < 100_000 {
            let both = collision(state);
            state = unkeyed(state, &both[0]);
            let longer = |name: &Vec<u8>| both.map(|piece| [&name[..], &piece].concat());
            names = names.iter().flat_map(longer).collect();
        }
        let names: Vec<&str> = names
            .iter()
            .map(|n| std::str::from_utf8(n).unwrap())
            .collect();
        assert!(names.iter().all(|name| Name::check(name).is_ok()));
        assert!(
            names
                .iter()
                .all(|name| unkeyed(0xc_9dc5, name.as_bytes()) == state)
        );

        // 131,072 names in as many buckets. The fullest of those has 8 or so, and 20 never.
        let fullest = |hasher: &RandomState| {
            let mut buckets = vec![0; names.len()];
            for name in &names {
                buckets[Name::hash_of(name, hasher) as usize % names.len()] += 1;
            }
            buckets.into_iter().max().unwrap_or(0)
        };
        let (one, other) = (RandomState::new(), RandomState::new());
        for hasher in [&one, &other] {
            assert!(fullest(hasher) < 20, "{}", fullest(hasher));
        }
        // Nor does anybody learn from one table what another does.
        let same = |name: &&&str| Name::hash_of(name, &one) == Name::hash_of(name, &other);
        assert!(names.iter().filter(same).count() < 2);
    }
}
