//! One JSON object of the own format, borrowed from its line. A list has millions of lines, so nothing is copied that needs no unescaping; and
//! it is strict: no key stands twice, at any depth. Of two classes in one line the second would win, unseen.

use core::fmt;
use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

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
    /// The object that is the whole of `bytes`; none if they are anything else, a text has NUL in it, or
    /// an object more than [`MEMBERS_MAX`] members.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
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

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Cell::deserialize(deserializer)? {
            Cell::Object(object) => Ok(object),
            Cell::Null | Cell::Flag(_) | Cell::Number(_) | Cell::Text(_) | Cell::Other => {
                Err(Error::custom("no object"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Cell<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
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
        while elements.next_element::<Cell<'de>>()?.is_some() {}
        Ok(Cell::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut object = Object(Vec::with_capacity(MEMBERS));
        while let Some(key) = members.next_key::<Cell<'de>>()? {
            let Cell::Text(key) = key else { return Err(Error::custom("a key is a text")) };
            if object.0.len() >= MEMBERS_MAX || !object.put(key, members.next_value()?) {
                return Err(Error::custom("a key stands twice, or there are too many"));
            }
        }
        Ok(Cell::Object(object))
    }
}
