//! Owns the values of the configuration as they are written: read from TOML or from the bare text of a variable,
//! and written as TOML. Knows no key.

use std::fmt::{self, Write};
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

/// What a key can be set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    Truth(bool),
    Text(String),
    Texts(Vec<String>),
}

impl Value {
    /// `None` is something that no key takes: a date, a table, a number below 0. The error is where in a list that stands.
    pub(super) fn of_toml(value: &Spanned<DeValue<'_>>) -> Result<Value, Option<Range<usize>>> {
        let value = value.get_ref();
        if let Some(number) = value.as_integer() {
            let number = u64::from_str_radix(number.as_str(), number.radix());
            return number.map(Value::Number).map_err(|_| None);
        }
        if let Some(truth) = value.as_bool() {
            return Ok(Value::Truth(truth));
        }
        if let Some(text) = value.as_str() {
            return Ok(Value::Text(text.to_owned()));
        }
        let list = value.as_array().ok_or(None)?;
        let texts = list.iter().map(|item| {
            let text = item.get_ref().as_str().map(str::to_owned);
            text.ok_or_else(|| Some(item.span()))
        });
        texts.collect::<Result<_, _>>().map(Value::Texts)
    }

    /// The number in a variable, written as in TOML.
    pub(super) fn bare_number(text: &str) -> Option<Value> {
        let value = DeValue::parse(text.trim()).ok()?;
        let value = Value::of_toml(&value).ok()?;
        matches!(value, Value::Number(_)).then_some(value)
    }

    /// `true` or `false` in a variable.
    pub(super) fn bare_truth(text: &str) -> Option<Value> {
        text.trim().parse().ok().map(Value::Truth)
    }

    /// The list in a variable, with spaces or commas between what is in it.
    pub(super) fn bare_texts(text: &str) -> Value {
        let items = text.split([' ', ',', '\t', '\n']);
        let items = items.filter(|item| !item.is_empty()).map(str::to_owned);
        Value::Texts(items.collect())
    }
}

/// As it stands in a TOML file.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Truth(truth) => write!(f, "{truth}"),
            Value::Text(text) => quote(f, text),
            Value::Texts(texts) => {
                f.write_char('[')?;
                for (number, text) in texts.iter().enumerate() {
                    if number > 0 {
                        f.write_str(", ")?;
                    }
                    quote(f, text)?;
                }
                f.write_char(']')
            }
        }
    }
}

/// A basic string (TOML 1.0, “String”): nothing stands in it as it is that is not seen.
fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c if is_hidden(c) && u32::from(c) > 0xffff => write!(f, "\\U{:08X}", u32::from(c))?,
            c if is_hidden(c) => write!(f, "\\u{:04X}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// Whether it has no look of its own: a control character, or one that turns the direction of what stands behind it.
fn is_hidden(c: char) -> bool {
    c.is_control() || !c.is_ascii() && c.escape_debug().count() > 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn what_is_not_seen_is_written_out() {
        for (text, shown) in [
            ("a\u{202e}b", "\"a\\u202Eb\""),
            ("\u{1b}[31m", "\"\\u001B[31m\""),
            ("\u{e0001}", "\"\\U000E0001\""),
            ("it's für 你", "\"it's für 你\""),
        ] {
            assert_eq!(Value::Text(text.to_owned()).to_string(), shown);
        }
    }

    use super::*;

    fn again(value: &Value) -> Value {
        let text = value.to_string();
        Value::of_toml(&DeValue::parse(&text).unwrap()).unwrap()
    }

    #[test]
    fn what_is_written_in_a_variable() {
        let number = |text| Value::bare_number(text);
        assert_eq!(number("7"), Some(Value::Number(7)));
        assert_eq!(number(" 1_000 "), Some(Value::Number(1000)));
        assert_eq!(number("0x10"), Some(Value::Number(16)));
        for text in ["", "-1", "7.5", "7s", "\"7\"", "true", "[7]", "7 # seven"] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(Value::bare_truth("true"), Some(Value::Truth(true)));
        assert_eq!(Value::bare_truth("yes"), None);
        let list = ["a=1:2", "b"].map(str::to_owned).to_vec();
        for text in ["a=1:2 b", "a=1:2,b", " a=1:2 ,, b\n"] {
            assert_eq!(Value::bare_texts(text), Value::Texts(list.clone()));
        }
        assert_eq!(Value::bare_texts(""), Value::Texts(Vec::new()));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(texts in prop::collection::vec("\\PC*|[\\x00-\\x{ff}]*", 0..4), number in 0..=u64::MAX >> 1) {
            let value = Value::Texts(texts.clone());
            prop_assert_eq!(again(&value), value.clone());
            prop_assert!(!value.to_string().contains('\n'));
            for text in texts {
                let value = Value::Text(text);
                prop_assert_eq!(again(&value), value);
            }
            prop_assert_eq!(again(&Value::Number(number)), Value::Number(number));
        }
    }
}
