//! One JSON object of the own format, borrowed from its line. A list has millions of lines, so nothing is copied that needs no unescaping; and
//! it is strict: no key stands twice, at any depth. Of two classes in one line the second would win, unseen.

use core::fmt;
use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::limits::NESTING_MAX;

/// Members for which there is room at once: of an ordinary line all.
const MEMBERS: usize = 16;
/// Members of an object. No line of ours has so many, and each is compared with the others.
const MEMBERS_MAX: usize = 64;

/// Members in the order of the line. Few, so that looking at each is the quickest way to one.
#[derive(Default)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Cell<'a>)>);

/// What stands under a key.
pub(super) enum Cell<'a> {
    Null,
    Flag(bool),
    Number(u64),
    Text(Cow<'a, str>),
    Object(Object<'a>),
    /// What no field has: arrays, other numbers.
    Other,
}

impl<'a> Object<'a> {
    /// The object that is the whole of `bytes`; none if they are anything else, it is deeper than
    /// [`NESTING_MAX`], a text has NUL in it, or an object more than [`MEMBERS_MAX`] members.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let cell = Within(NESTING_MAX).deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        match cell {
            Cell::Object(object) => Some(object),
            Cell::Null | Cell::Flag(_) | Cell::Number(_) | Cell::Text(_) | Cell::Other => None,
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Cell<'a>> {
        self.0.iter().find_map(|(known, cell)| (known == key).then_some(cell))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_ref())
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts `cell` under a key that was not there; false if it was.
    pub(super) fn put(&mut self, key: Cow<'a, str>, cell: Cell<'a>) -> bool {
        let is_new = self.get(&key).is_none();
        if is_new {
            self.0.push((key, cell));
        }
        is_new
    }
}

/// Reads a value with so many arrays and objects inside each other at most.
#[derive(Clone, Copy)]
struct Within(usize);

impl Within {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Within {
    type Value = Cell<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Cell::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Cell::Number(number))
    }

    fn visit_i64<E>(self, _number: i64) -> Result<Self::Value, E> {
        Ok(Cell::Other)
    }

    fn visit_f64<E>(self, _number: f64) -> Result<Self::Value, E> {
        Ok(Cell::Other)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        // Only written as an escape does it come this far.
        if text.contains('\0') { Err(E::custom("NUL")) } else { Ok(Cell::Text(Cow::Owned(text.to_owned()))) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let deeper = self.deeper()?;
        while elements.next_element_seed(deeper)?.is_some() {}
        Ok(Cell::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Object(Vec::with_capacity(MEMBERS));
        while let Some(key) = members.next_key_seed(deeper)? {
            let Cell::Text(key) = key else { return Err(Error::custom("a key is a text")) };
            if object.0.len() >= MEMBERS_MAX || !object.put(key, members.next_value_seed(deeper)?) {
                return Err(Error::custom("a key stands twice, or there are too many"));
            }
        }
        Ok(Cell::Object(object))
    }
}
