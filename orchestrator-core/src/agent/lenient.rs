//! Reading events whose shape is another's: of a line of JSON, what is asked for is kept, and nothing else is even copied.
//!
//! Whatever has another type than was expected counts as not there, and a key that is there twice counts as it was last: an agent's next
//! version says more than this one, and says it otherwise. That is what [`serde_json::Value`] gives as well, at several times the price:
//! most of what agents write is output of tools, which nobody here looks at.

use std::{borrow::Cow, fmt, marker::PhantomData, ops::Deref};

use serde::de::{SeqAccess, Visitor};
#[doc(hidden)]
pub use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess},
};

/// Reads one line as a type of [`lenient!`](crate::lenient). `None` for what is no JSON object.
#[must_use]
pub fn read<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Option<T> {
    let begins = line.iter().find(|byte| !byte.is_ascii_whitespace());
    serde_json::from_slice(line).ok().filter(|_| begins == Some(&b'{'))
}

/// A string; empty where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text<'a>(Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Text<'_> {
    /// The same, if it is not empty.
    #[must_use]
    pub fn some(&self) -> Option<&str> {
        Some(&*self.0).filter(|text| !text.is_empty())
    }
}

/// A number that is whole and not negative; none where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Number(pub Option<u64>);

/// A number of any kind; none where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Real(pub Option<f64>);

/// Yes or no; none where it is neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flag(pub Option<bool>);

/// The elements of a list, or the values of an object; empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// What comes of each kind of JSON: of those that do not fit, the default.
#[doc(hidden)]
pub trait Lenient<'de>: Default {
    #[must_use]
    fn text(_: Cow<'de, str>) -> Self {
        Self::default()
    }

    #[must_use]
    fn whole(_: u64) -> Self {
        Self::default()
    }

    #[must_use]
    fn real(_: f64) -> Self {
        Self::default()
    }

    #[must_use]
    fn flag(_: bool) -> Self {
        Self::default()
    }

    /// # Errors
    /// Where the JSON is broken.
    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    /// # Errors
    /// Where the JSON is broken.
    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

/// Reads whatever there is.
///
/// # Errors
/// Where the JSON is broken.
#[doc(hidden)]
pub fn any<'de, T: Lenient<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_any(Any(PhantomData))
}

struct Any<T>(PhantomData<T>);

impl<'de, T: Lenient<'de>> Visitor<'de> for Any<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<T, E> {
        Ok(T::flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<T, E> {
        Ok(T::whole(number))
    }

    #[expect(clippy::cast_precision_loss, reason = "as JSON has it")]
    fn visit_i64<E>(self, number: i64) -> Result<T, E> {
        Ok(T::real(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<T, E> {
        Ok(T::real(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::object(object)
    }
}

impl<'de> Lenient<'de> for Text<'de> {
    fn text(text: Cow<'de, str>) -> Self {
        Self(text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        any::<Text<'de>, D>(from)
    }
}

impl Lenient<'_> for Number {
    fn whole(number: u64) -> Self {
        Self(Some(number))
    }
}

impl Lenient<'_> for Real {
    #[expect(clippy::cast_precision_loss, reason = "as JSON has it")]
    fn whole(number: u64) -> Self {
        Self(Some(number as f64))
    }

    fn real(number: f64) -> Self {
        Self(Some(number))
    }
}

impl Lenient<'_> for Flag {
    fn flag(flag: bool) -> Self {
        Self(Some(flag))
    }
}

macro_rules! read_from_anything {
    ($($Kind:ident),*) => {$(
        impl<'de> Deserialize<'de> for $Kind {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                any(from)
            }
        }
    )*};
}

read_from_anything!(Number, Real, Flag);

impl<'de, T: Deserialize<'de>> Lenient<'de> for List<T> {
    fn list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Self(elements))
    }

    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut values = Vec::new();
        while let Some((IgnoredAny, value)) = object.next_entry()? {
            values.push(value);
        }
        Ok(Self(values))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        any(from)
    }
}

/// Defines a type that is read from an object, field by field: `name: Type = "key"`. Each type has a [`Default`], which stands for what is
/// not there.
///
/// ```
/// use orchestrator_core::{agent::lenient::{Flag, List, Number, Real, Text, read}, lenient};
///
/// lenient! {
///     /// Who says how much.
///     struct Said<'a> {
///         who: Text<'a> = "who",
///         much: Number = "much",
///         words: List<Text<'a>> = "words",
///         cost: Real = "cost",
///         sure: Flag = "sure",
///     }
/// }
///
/// let said: Said = read(br#"{"who":"me","who":"you","much":"none","words":{"a":"b","c":1},"cost":1,"more":[{"of":"it"}]}"#).unwrap();
/// assert_eq!((&*said.who, said.much, said.cost, said.sure), ("you", Number(None), Real(Some(1.0)), Flag(None)));
/// assert_eq!(said.words.0.iter().map(|word| word.to_string()).collect::<Vec<_>>(), ["b", ""]);
/// assert!(read::<Said>(b"[1]").is_none());
/// ```
#[macro_export]
macro_rules! lenient {
    ($(#[$doc:meta])* $visible:vis struct $name:ident $(<$lifetime:lifetime>)? { $($field:ident: $kind:ty = $key:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default)]
        $visible struct $name $(<$lifetime>)? {
            $($field: $kind,)*
        }

        impl<'de $(: $lifetime, $lifetime)?> $crate::agent::lenient::Lenient<'de> for $name $(<$lifetime>)? {
            fn object<A: $crate::agent::lenient::MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
                let mut read = Self::default();
                while let Some(key) = object.next_key::<$crate::agent::lenient::Text<'de>>()? {
                    match &*key {
                        $($key => read.$field = object.next_value()?,)*
                        _ => {
                            object.next_value::<$crate::agent::lenient::IgnoredAny>()?;
                        }
                    }
                }
                Ok(read)
            }
        }

        impl<'de $(: $lifetime, $lifetime)?> $crate::agent::lenient::Deserialize<'de> for $name $(<$lifetime>)? {
            fn deserialize<D: $crate::agent::lenient::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::agent::lenient::any(from)
            }
        }
    };
}
