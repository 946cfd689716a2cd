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

/// Of what does not fit, nothing is left but the default.
macro_rules! anything_else {
    () => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("anything")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

macro_rules! no_text {
    () => {
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

macro_rules! no_number {
    () => {
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        no_fraction!();
    };
}

macro_rules! no_fraction {
    () => {
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

macro_rules! no_flag {
    () => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }
    };
}

macro_rules! no_list {
    ($lifetime:lifetime) => {
        fn visit_seq<A: SeqAccess<$lifetime>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
}

macro_rules! no_object {
    ($lifetime:lifetime) => {
        fn visit_map<A: MapAccess<$lifetime>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;
            anything_else!();
            no_flag!();
            no_number!();
            no_list!('de);
            no_object!('de);

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Number;
            anything_else!();
            no_flag!();
            no_fraction!();
            no_text!();
            no_list!('de);
            no_object!('de);

            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Some(number)))
            }
        }
        from.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Real {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Real;
            anything_else!();
            no_flag!();
            no_text!();
            no_list!('de);
            no_object!('de);

            #[expect(clippy::cast_precision_loss, reason = "as JSON has it")]
            fn visit_u64<E>(self, number: u64) -> Result<Real, E> {
                Ok(Real(Some(number as f64)))
            }

            #[expect(clippy::cast_precision_loss, reason = "as JSON has it")]
            fn visit_i64<E>(self, number: i64) -> Result<Real, E> {
                Ok(Real(Some(number as f64)))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Real, E> {
                Ok(Real(Some(number)))
            }
        }
        from.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Flag;
            anything_else!();
            no_text!();
            no_number!();
            no_list!('de);
            no_object!('de);

            fn visit_bool<E>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(Some(flag)))
            }
        }
        from.deserialize_any(Any)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Any<T> {
            type Value = List<T>;
            anything_else!();
            no_flag!();
            no_text!();
            no_number!();

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some((IgnoredAny, value)) = map.next_entry()? {
                    values.push(value);
                }
                Ok(List(values))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    elements.push(element);
                }
                Ok(List(elements))
            }
        }
        from.deserialize_any(Any(PhantomData))
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

        impl<'de $(: $lifetime, $lifetime)?> $crate::agent::lenient::FromObject<'de> for $name $(<$lifetime>)? {
            fn field<A: $crate::agent::lenient::MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
                match key {
                    $($key => self.$field = map.next_value()?,)*
                    _ => {
                        map.next_value::<$crate::agent::lenient::IgnoredAny>()?;
                    }
                }
                Ok(())
            }
        }

        impl<'de $(: $lifetime, $lifetime)?> $crate::agent::lenient::Deserialize<'de> for $name $(<$lifetime>)? {
            fn deserialize<D: $crate::agent::lenient::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::agent::lenient::object(from)
            }
        }
    };
}

/// What [`lenient!`](crate::lenient) makes of a type.
pub trait FromObject<'de>: Default {
    /// Takes the value of one key, or drains it.
    ///
    /// # Errors
    /// Where the JSON is broken.
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Reads an object; anything else is the default.
///
/// # Errors
/// Where the JSON is broken.
pub fn object<'de, T: FromObject<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    struct Any<T>(PhantomData<T>);
    impl<'de, T: FromObject<'de>> Visitor<'de> for Any<T> {
        type Value = T;
        anything_else!();
        no_flag!();
        no_text!();
        no_number!();
        no_list!('de);

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
            let mut object = T::default();
            while let Some(key) = map.next_key::<Text<'de>>()? {
                object.field(&key, &mut map)?;
            }
            Ok(object)
        }
    }
    from.deserialize_any(Any(PhantomData))
}
