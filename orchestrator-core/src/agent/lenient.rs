//! Reading events whose shape is another's: of a line of JSON, what is asked for is kept, and nothing else is even copied.
//!
//! Whatever has another type than was expected counts as not there, and a key that is there twice counts as it was last: an agent's next
//! version says more than this one, and says it otherwise. That is what [`serde_json::Value`] gives as well, at several times the price:
//! most of what agents write is output of tools, which nobody here looks at.

use std::{borrow::Cow, fmt, ops::Deref};

#[doc(hidden)]
pub use serde::de::{IgnoredAny, MapAccess};
use serde::{
    Deserialize as _, Deserializer,
    de::{
        DeserializeSeed, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};
use serde_json::Value;

/// Reads one line as a type of [`lenient!`](crate::lenient). `None` for what is no JSON object.
#[must_use]
#[inline]
pub fn read<'a, T: Lenient<'a>>(line: &'a [u8]) -> Option<T> {
    let begins = line.iter().find(|byte| !byte.is_ascii_whitespace());
    if begins != Some(&b'{') {
        return None;
    }
    let mut value = T::default();
    // What is UTF-8 as a whole need not be looked at string by string.
    match str::from_utf8(line) {
        Ok(line) => whole(serde_json::Deserializer::from_str(line), &mut value),
        Err(_) => whole(serde_json::Deserializer::from_slice(line), &mut value),
    }
    .ok()?;
    Some(value)
}

/// Reads a value that was read before as a type of [`lenient!`](crate::lenient).
#[must_use]
pub fn of<'a, T: Lenient<'a>>(value: &'a Value) -> T {
    let mut read = T::default();
    // A value is no broken JSON.
    let _ = Into(&mut read).deserialize(value);
    read
}

/// All that there is to read, as one value.
#[inline]
fn whole<'a, R: serde_json::de::Read<'a>>(
    mut from: serde_json::Deserializer<R>,
    value: &mut impl Lenient<'a>,
) -> serde_json::Result<()> {
    from.deserialize_any(Into(value))?;
    from.end()
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

/// The values of an object with their names; empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<'a, T>(pub Vec<(Text<'a>, T)>);

impl<T> Default for Named<'_, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// What comes of each kind of JSON, where its default stands: of those that do not fit, nothing.
pub trait Lenient<'de>: Default {
    /// A string, with its escapes resolved.
    fn text(&mut self, _: Cow<'de, str>) {}

    /// A whole number that is not negative.
    fn whole(&mut self, _: u64) {}

    /// A whole number below zero: as any other, unless said otherwise.
    #[expect(clippy::cast_precision_loss, reason = "as JSON has it")]
    fn negative(&mut self, number: i64) {
        self.real(number as f64);
    }

    /// A number with a fraction or an exponent, or one that is out of range.
    fn real(&mut self, _: f64) {}

    /// Yes or no.
    fn flag(&mut self, _: bool) {}

    /// A list, read to its end.
    ///
    /// # Errors
    /// Where the JSON is broken.
    fn list<A: SeqAccess<'de>>(&mut self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    /// An object, read to its end.
    ///
    /// # Errors
    /// Where the JSON is broken.
    fn object<A: MapAccess<'de>>(&mut self, mut object: A) -> Result<(), A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Reads whatever there is to where its value belongs: large values are never moved.
#[doc(hidden)]
#[derive(Debug)]
pub struct Into<'t, T>(pub &'t mut T);

impl<'de, T: Lenient<'de>> DeserializeSeed<'de> for Into<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        // A key that is there twice counts as it was last.
        *self.0 = T::default();
        from.deserialize_any(self)
    }
}

impl<'de, T: Lenient<'de>> Visitor<'de> for Into<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.0.flag(flag);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.0.whole(number);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.0.negative(number);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.0.real(number);
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.0.text(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.text(Cow::Owned(text.to_owned()));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        self.0.list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<(), A::Error> {
        self.0.object(object)
    }
}

impl<'de: 'a, 'a> Lenient<'de> for Text<'a> {
    #[inline]
    fn text(&mut self, text: Cow<'de, str>) {
        self.0 = text;
    }
}

impl Lenient<'_> for Number {
    fn whole(&mut self, number: u64) {
        self.0 = Some(number);
    }
}

impl Lenient<'_> for Real {
    #[expect(clippy::cast_precision_loss, reason = "as JSON has it")]
    fn whole(&mut self, number: u64) {
        self.0 = Some(number as f64);
    }

    fn real(&mut self, number: f64) {
        self.0 = Some(number);
    }
}

impl Lenient<'_> for Flag {
    fn flag(&mut self, flag: bool) {
        self.0 = Some(flag);
    }
}

impl<'de, T: Lenient<'de>> Lenient<'de> for List<T> {
    fn list<A: SeqAccess<'de>>(&mut self, mut list: A) -> Result<(), A::Error> {
        let mut element = T::default();
        while list.next_element_seed(Into(&mut element))?.is_some() {
            self.0.push(std::mem::take(&mut element));
        }
        Ok(())
    }

    fn object<A: MapAccess<'de>>(&mut self, mut object: A) -> Result<(), A::Error> {
        let mut value = T::default();
        while object.next_key::<IgnoredAny>()?.is_some() {
            object.next_value_seed(Into(&mut value))?;
            self.0.push(std::mem::take(&mut value));
        }
        Ok(())
    }
}

impl<'de: 'a, 'a, T: Lenient<'de>> Lenient<'de> for Named<'a, T> {
    fn object<A: MapAccess<'de>>(&mut self, mut object: A) -> Result<(), A::Error> {
        let mut name = Text::default();
        let mut value = T::default();
        while object.next_key_seed(Into(&mut name))?.is_some() {
            object.next_value_seed(Into(&mut value))?;
            self.0
                .push((std::mem::take(&mut name), std::mem::take(&mut value)));
        }
        Ok(())
    }
}

/// As it is.
impl<'de> Lenient<'de> for Value {
    fn text(&mut self, text: Cow<'de, str>) {
        *self = text.into();
    }

    fn whole(&mut self, number: u64) {
        *self = number.into();
    }

    fn negative(&mut self, number: i64) {
        *self = number.into();
    }

    fn real(&mut self, number: f64) {
        *self = number.into();
    }

    fn flag(&mut self, flag: bool) {
        *self = flag.into();
    }

    fn list<A: SeqAccess<'de>>(&mut self, list: A) -> Result<(), A::Error> {
        *self = Self::deserialize(SeqAccessDeserializer::new(list))?;
        Ok(())
    }

    fn object<A: MapAccess<'de>>(&mut self, object: A) -> Result<(), A::Error> {
        *self = Self::deserialize(MapAccessDeserializer::new(object))?;
        Ok(())
    }
}

/// Defines a type that is read from an object, field by field: `name: Type = "key"`, with `pub` or the like in front where it is wanted. Each type has a [`Default`], which stands for what is
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
    ($(#[$doc:meta])* $visible:vis struct $name:ident $(<$lifetime:lifetime>)? { $($seen:vis $field:ident: $kind:ty = $key:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default)]
        $visible struct $name $(<$lifetime>)? {
            $($seen $field: $kind,)*
        }

        impl<'de $(: $lifetime, $lifetime)?> $crate::agent::lenient::Lenient<'de> for $name $(<$lifetime>)? {
            fn object<A: $crate::agent::lenient::MapAccess<'de>>(&mut self, mut object: A) -> Result<(), A::Error> {
                use $crate::agent::lenient::{IgnoredAny, Into, Text};
                let mut key = Text::default();
                while object.next_key_seed(Into(&mut key))?.is_some() {
                    match &*key {
                        $($key => object.next_value_seed(Into(&mut self.$field))?,)*
                        _ => {
                            object.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(())
            }
        }
    };
}
