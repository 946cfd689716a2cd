//! Text from outside, and types whose one form outside of memory is text.

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
                std::borrow::Cow::<'de, str>::deserialize(from)?.parse().map_err(serde::de::Error::custom)
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

/// Text from outside without control characters, newlines and tabs excepted.
#[must_use]
pub fn clean(text: &str) -> String {
    // Most text has none; those beyond ASCII begin with this byte in UTF-8.
    let may_be = |byte: &u8| *byte < b' ' && !b"\n\t".contains(byte) || matches!(byte, 0x7f | 0xc2);
    if !text.as_bytes().iter().any(may_be) {
        return text.to_owned();
    }
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
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
    fn a_fence_is_longer_than_anything_within() {
        assert_eq!(fenced("a\n````\nb"), "`````text\na\n````\nb\n`````\n");
        assert_eq!(fenced("plain"), "```text\nplain\n```\n");
    }
}
