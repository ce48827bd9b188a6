//! Values of packets: bounded text and bytes, flags, and the encoding.

use core::fmt;
use core::ops::Deref;

use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something is longer than its type allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong {
    /// Its length in bytes.
    pub length: usize,
    /// The most that is allowed.
    pub max: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes where at most {} are allowed", self.length, self.max)
    }
}

impl core::error::Error for TooLong {}

/// At most `MAX` bytes of UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text<'a, const MAX: usize>(&'a str);

impl<'a, const MAX: usize> Text<'a, MAX> {
    /// The most bytes.
    pub const MAX: usize = MAX;

    /// Checks the length.
    pub const fn new(text: &'a str) -> Result<Self, TooLong> {
        if text.len() > MAX { Err(TooLong { length: text.len(), max: MAX }) } else { Ok(Self(text)) }
    }

    /// As much of the text as fits, up to the end of a character.
    pub fn truncated(text: &'a str) -> Self {
        Self(text.get(..text.floor_char_boundary(MAX)).unwrap_or_default())
    }

    /// The text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl<const MAX: usize> Deref for Text<'_, MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl<'a, const MAX: usize> TryFrom<&'a str> for Text<'a, MAX> {
    type Error = TooLong;

    fn try_from(text: &'a str) -> Result<Self, TooLong> {
        Self::new(text)
    }
}

impl<const MAX: usize> fmt::Debug for Text<'_, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl<const MAX: usize> fmt::Display for Text<'_, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0, f)
    }
}

impl<const MAX: usize> Serialize for Text<'_, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de: 'a, 'a, const MAX: usize> Deserialize<'de> for Text<'a, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        Self::new(text).map_err(|_| D::Error::invalid_length(text.len(), &"a shorter text"))
    }
}

/// At most `MAX` bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes<'a, const MAX: usize>(&'a [u8]);

impl<'a, const MAX: usize> Bytes<'a, MAX> {
    /// The most bytes.
    pub const MAX: usize = MAX;

    /// Checks the length.
    pub const fn new(bytes: &'a [u8]) -> Result<Self, TooLong> {
        if bytes.len() > MAX { Err(TooLong { length: bytes.len(), max: MAX }) } else { Ok(Self(bytes)) }
    }

    /// As many of the bytes as fit.
    pub fn truncated(bytes: &'a [u8]) -> Self {
        Self(bytes.get(..MAX).unwrap_or(bytes))
    }

    /// The bytes.
    pub const fn as_slice(self) -> &'a [u8] {
        self.0
    }
}

impl<const MAX: usize> Deref for Bytes<'_, MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0
    }
}

impl<'a, const MAX: usize> TryFrom<&'a [u8]> for Bytes<'a, MAX> {
    type Error = TooLong;

    fn try_from(bytes: &'a [u8]) -> Result<Self, TooLong> {
        Self::new(bytes)
    }
}

impl<const MAX: usize> fmt::Debug for Bytes<'_, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl<const MAX: usize> Serialize for Bytes<'_, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a, const MAX: usize> Deserialize<'de> for Bytes<'a, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;

        impl<'de> Visitor<'de> for Borrowed {
            type Value = &'de [u8];

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(bytes)
            }
        }

        let bytes = deserializer.deserialize_bytes(Borrowed)?;
        Self::new(bytes).map_err(|_| D::Error::invalid_length(bytes.len(), &"fewer bytes"))
    }
}

/// Refuses bits that have no name.
pub(crate) fn known_bits<E: serde::de::Error>(bits: u64, known: u64) -> Result<(), E> {
    if bits & !known == 0 { Ok(()) } else { Err(E::invalid_value(Unexpected::Unsigned(bits), &"known flags")) }
}

/// Encodes a value; `None` if the buffer is too small.
pub fn encode<T: Serialize>(value: &T, buffer: &mut [u8]) -> Option<usize> {
    postcard::to_slice(value, buffer).ok().map(|bytes| bytes.len())
}

/// Decodes a value that takes up all of the bytes.
pub fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

/// A set of named bits.
macro_rules! flags {
    ($(#[$meta:meta])* $name:ident: $bits:ty { $($(#[$flag_meta:meta])* $flag:ident = $value:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
        pub struct $name($bits);

        impl $name {
            /// No flag.
            pub const NONE: Self = Self(0);
            /// Every flag.
            pub const ALL: Self = Self($($value)|+);
            $($(#[$flag_meta])* pub const $flag: Self = Self($value);)+

            /// The bits.
            pub const fn bits(self) -> $bits {
                self.0
            }

            /// The flags with these bits; bits without a name are dropped.
            pub const fn from_bits_truncate(bits: $bits) -> Self {
                Self(bits & Self::ALL.0)
            }

            /// Whether no flag is set.
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// Whether every flag of `other` is set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The flags in both.
            #[must_use]
            pub const fn and(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            /// The flags in either.
            #[must_use]
            pub const fn or(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// The flags that are not in `other`.
            #[must_use]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bits = <$bits>::deserialize(deserializer)?;
                $crate::value::known_bits(bits.into(), Self::ALL.0.into())?;
                Ok(Self(bits))
            }
        }
    };
}
pub(crate) use flags;
