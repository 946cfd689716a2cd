//! Text from outside, and types whose one form outside of memory is text.

use std::{error::Error, fmt, marker::PhantomData, str::FromStr};

use serde::{Deserializer, de};

/// Reads a text and parses it where it lies.
pub(super) fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    from: D,
) -> Result<T, D::Error> {
    struct Text<T>(PhantomData<T>);
    impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for Text<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }
    from.deserialize_str(Text(PhantomData))
}

/// What caused an error, the nearest first.
pub fn causes<'a>(error: &'a dyn Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// An error and what caused it, on one line, with a colon before each cause.
#[must_use]
pub fn with_source(error: &dyn Error) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Names in one line, each as code.
pub(crate) fn listed(names: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// Whether a file has no lines, as git tells it: by a NUL among its first 8000 bytes.
pub(crate) fn is_binary(content: &[u8]) -> bool {
    content.iter().take(8000).any(|byte| *byte == 0)
}

/// Serde and schema for types that have `Display` and `FromStr`: a string, checked when it is read.
macro_rules! text_form {
    ($($Name:ident),*) => {$(
        impl serde::Serialize for $Name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $Name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                crate::model::text::parsed(from)
            }
        }
        impl schemars::JsonSchema for $Name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($Name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    )*};
}

pub(super) use text_form;

/// Text from outside, fit to be shown: on a terminal, in a page, in a prompt.
///
/// - Control characters (C0 and C1) are removed, newlines and tabs excepted; so is the rest of a terminal's
///   colour or cursor sequence (`ESC [ ... m`).
/// - Characters that nobody sees, or that change the order in which others are seen, are shown by their code, such as
///   `<U+202E>`: bidirectional controls, zero-width characters, line and paragraph separators, soft hyphens, tags,
///   fillers and the other format characters.
/// - A zero-width joiner or non-joiner between two characters beyond ASCII stays, and so does a variation selector
///   after one: scripts and emoji need them.
///
/// Cleaning a text twice changes nothing more.
#[must_use]
pub fn clean(text: &str) -> String {
    // Most text has none. Asked without a branch, many bytes are seen at once.
    let may_be = |byte: u8| {
        (byte < b' ') & (byte != b'\n') & (byte != b'\t') | (byte == 0x7f) | may_begin_hidden(byte)
    };
    if !text
        .as_bytes()
        .iter()
        .fold(false, |found, byte| found | may_be(*byte))
    {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = characters.next() {
        if c == '\u{1b}' && characters.next_if_eq(&'[').is_some() {
            while characters.next_if(|c| matches!(c, ' '..='?')).is_some() {}
            characters.next_if(|c| matches!(c, '@'..='~'));
            continue;
        }
        if c.is_control() && !matches!(c, '\n' | '\t') {
            continue;
        }
        let after = characters.peek().copied().unwrap_or(' ');
        if is_hidden(c) && !is_needed(before, c, after) {
            shown.push_str(&format!("<U+{:04X}>", u32::from(c)));
            before = ' ';
        } else {
            shown.push(c);
            before = c;
        }
    }
    shown
}

/// The same on one line.
#[must_use]
pub fn clean_line(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

/// Whether a character of several bytes that is hidden may begin with this byte.
fn may_begin_hidden(byte: u8) -> bool {
    (byte == 0xc2)
        | (byte == 0xcd)
        | (byte == 0xd8)
        | matches!(byte, 0xe1..=0xe3)
        | (byte == 0xef)
        | (byte == 0xf0)
        | (byte == 0xf3)
}

/// Whether nobody sees this character, or it changes how others are seen.
pub(super) fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// JSON in which hidden characters are written as escapes (`\\u202e`): the same data for a program, and nothing that changes
/// how a terminal shows it.
///
/// `json` must be valid JSON: such characters stand in its strings alone, where an escape means the same.
#[must_use]
pub fn escaped_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if !is_hidden(c) && (!c.is_control() || matches!(c, '\n' | '\t' | '\r')) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            shown.push_str(&format!("\\u{unit:04x}"));
        }
    }
    shown
}

/// Whether a hidden character is part of how its neighbours are written.
fn is_needed(before: char, c: char, after: char) -> bool {
    let visible = |c: char| !c.is_ascii() && !is_hidden(c) && !c.is_whitespace();
    match c {
        // An emoji may have its variation selector before the joiner.
        '\u{200c}' | '\u{200d}' => (visible(before) || before == '\u{fe0f}') && visible(after),
        '\u{fe00}'..='\u{fe0f}' => visible(before),
        _ => false,
    }
}

/// Text between two lines of backticks, more of them than it holds anywhere.
pub(crate) fn fenced(text: &str) -> String {
    let text = clean(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_shown_by_their_code() {
        for (code, text) in [
            ("00AD", "\u{ad}"),
            ("061C", "\u{61c}"),
            ("180E", "\u{180e}"),
            ("200B", "\u{200b}"),
            ("200E", "\u{200e}"),
            ("200F", "\u{200f}"),
            ("2028", "\u{2028}"),
            ("2029", "\u{2029}"),
            ("202A", "\u{202a}"),
            ("202E", "\u{202e}"),
            ("2066", "\u{2066}"),
            ("2069", "\u{2069}"),
            ("206F", "\u{206f}"),
            ("3164", "\u{3164}"),
            ("FE0F", "\u{fe0f}"),
            ("FEFF", "\u{feff}"),
            ("FFF9", "\u{fff9}"),
            ("1D173", "\u{1d173}"),
            ("E0041", "\u{e0041}"),
            ("E0100", "\u{e0100}"),
        ] {
            let shown = clean(&format!("a{text}b"));
            assert_eq!(shown, format!("a<U+{code}>b"));
            assert_eq!(clean(&shown), shown);
        }
    }

    #[test]
    fn controls_and_colours_go() {
        assert_eq!(
            clean("\u{1b}[1;31mred\u{1b}[0m\r\n\ta\u{7}\u{9b}b\u{7f}"),
            "red\n\tab"
        );
        assert_eq!(clean("end\u{1b}["), "end");
        assert_eq!(clean("\u{1b}]0;title\u{7}x"), "]0;titlex");
        assert_eq!(clean_line("a\nb\tc"), "a b c");
    }

    #[test]
    fn json_keeps_its_data_without_hidden_characters() {
        let data = "a\u{202e}b\u{e0041}\u{9b}";
        let json = serde_json::to_string(data).expect("serialises");
        let escaped = escaped_json(&json);
        assert_eq!(escaped, "\"a\\u202eb\\udb40\\udc41\\u009b\"");
        let read: String = serde_json::from_str(&escaped).expect("is JSON");
        assert_eq!(read, data);
    }

    #[test]
    fn scripts_and_emoji_keep_their_joiners() {
        for text in [
            "\u{1f468}\u{200d}\u{1f469}",
            "\u{2764}\u{fe0f}\u{200d}\u{1f525}",
            "\u{645}\u{200c}\u{62e}",
            "日本語 é ü ð",
        ] {
            assert_eq!(clean(text), text);
        }
        assert_eq!(clean("a\u{200d}\u{1f469}"), "a<U+200D>\u{1f469}");
        assert_eq!(
            clean("\u{1f468}\u{200d}\u{200d}\u{1f469}"),
            "\u{1f468}<U+200D><U+200D>\u{1f469}"
        );
    }

    #[test]
    fn a_fence_is_longer_than_anything_within() {
        assert_eq!(fenced("a\n````\nb"), "`````text\na\n````\nb\n`````\n");
        assert_eq!(fenced("plain"), "```text\nplain\n```\n");
    }
}
