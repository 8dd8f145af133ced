//! XML as cameras send it: a small tree of local names and texts, bounded before anything is built. It must never read
//! a document type, an entity beside the five that XML names, or an attribute: nothing is expanded, nothing is fetched.
//! The sources read the tree; namespaces, comments and mixed content mean nothing to them.

#![deny(clippy::arithmetic_side_effects)]

use std::borrow::Cow;

use quick_xml::events::{BytesRef, Event};
use quick_xml::reader::Reader;
use serde_json::Value;

use crate::limits::{BODY_BYTES_MAX, NESTING_MAX, PARTS_MAX, TEXT_BYTES_MAX, XML_EVENTS_MAX};
use crate::own::windows_1252;
use crate::source::{Payload, Problem, Slug};

#[cfg(test)]
mod tests;

/// Bytes at the beginning in which an XML declaration is looked for.
const DECLARATION_BYTES_MAX: usize = 256;

/// The bytes of a payload that are XML, found by their content: the body, or the first part that begins like a
/// document. Cameras call that part what they like.
///
/// # Errors
/// `TooLarge` for more than [`PARTS_MAX`] parts.
pub fn document<'a>(payload: &Payload<'a>) -> Result<Option<&'a [u8]>, Problem> {
    if payload.parts.len() > PARTS_MAX {
        return Err(Problem::whole(Slug::TooLarge));
    }
    let mut bodies = core::iter::once(payload.body).chain(payload.parts.iter().map(|part| part.body));
    Ok(bodies.find(|bytes| begins_like_xml(bytes)))
}

/// True for bytes that begin with a tag, after a BOM and blanks.
#[must_use]
pub fn begins_like_xml(bytes: &[u8]) -> bool {
    without_bom(bytes).trim_ascii_start().starts_with(b"<")
}

/// The text of a document: UTF-8, or windows-1252 where its declaration says so. What declares another character set is
/// taken while it is ASCII, in which all of them agree.
///
/// # Errors
/// `TooLarge` beyond [`BODY_BYTES_MAX`]; `UnsupportedType` for another character set; `Malformed` for NUL and for what is
/// not in the character set.
pub fn text_of(bytes: &[u8]) -> Result<Cow<'_, str>, Problem> {
    if bytes.len() > BODY_BYTES_MAX {
        return Err(Problem::whole(Slug::TooLarge));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Problem::whole(Slug::UnsupportedType));
    }
    let bytes = without_bom(bytes);
    if bytes.contains(&0) {
        return Err(Problem::whole(Slug::Malformed));
    }
    match declared_charset(bytes).as_deref() {
        Some("windows-1252" | "iso-8859-1") => Ok(bytes.iter().map(|byte| windows_1252(*byte)).collect()),
        Some(name) if name != "utf-8" && !bytes.is_ascii() => Err(Problem::whole(Slug::UnsupportedType)),
        Some(_) | None => {
            core::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_no_utf8| Problem::whole(Slug::Malformed))
        }
    }
}

fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The character set of the XML declaration, in lower case.
fn declared_charset(bytes: &[u8]) -> Option<String> {
    let head = bytes.iter().take(DECLARATION_BYTES_MAX).take_while(|byte| **byte != b'>');
    let head: String = head.map(|byte| char::from(*byte).to_ascii_lowercase()).collect();
    let (_, value) = head.trim_start().strip_prefix("<?xml")?.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let (name, _) = value.strip_prefix(quote)?.split_once(quote)?;
    Some(name.to_owned())
}

/// Parses one document.
///
/// # Errors
/// `Malformed` for anything that is not well-formed, declares a document type, refers to another entity than `lt`, `gt`,
/// `amp`, `apos` or `quot`, or is deeper than [`NESTING_MAX`]; `TooLarge` beyond [`XML_EVENTS_MAX`].
pub fn parse(text: &str) -> Result<Element<'_>, Problem> {
    let malformed = || Problem::whole(Slug::Malformed);
    look_ahead(text)?;
    let mut reader = Reader::from_str(text);
    let mut tree = Tree::default();
    for _event in 0..XML_EVENTS_MAX {
        match reader.read_event().map_err(|_library| malformed())? {
            Event::Start(tag) => tree.open(tag.local_name().into_inner()).ok_or_else(malformed)?,
            Event::Empty(tag) => {
                tree.open(tag.local_name().into_inner()).ok_or_else(malformed)?;
                tree.close().ok_or_else(malformed)?;
            }
            Event::End(_) => tree.close().ok_or_else(malformed)?,
            Event::Text(text) => tree.push(text.into_inner()).ok_or_else(malformed)?,
            Event::CData(text) => tree.push(text.into_inner()).ok_or_else(malformed)?,
            Event::GeneralRef(reference) => {
                let meant = character(&reference).ok_or_else(malformed)?;
                tree.push(Cow::Owned(meant.to_string())).ok_or_else(malformed)?;
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::DocType(_) => return Err(malformed()),
            Event::Eof if tree.open.is_empty() => return tree.root.ok_or_else(malformed),
            Event::Eof => return Err(malformed()),
        }
    }
    Err(Problem::whole(Slug::TooLarge))
}

/// One pass before the reader runs: it never walks through the entities of a bomb, and builds nothing of a document
/// with more tags than may be. A document type inside CDATA would be harmless; no camera has one there.
fn look_ahead(text: &str) -> Result<(), Problem> {
    const DOCUMENT_TYPE: &[u8] = b"<!doctype";
    for (count, (at, _)) in text.match_indices('<').enumerate() {
        if count >= XML_EVENTS_MAX {
            return Err(Problem::whole(Slug::TooLarge));
        }
        let tag = text.as_bytes().get(at..).and_then(|rest| rest.get(..DOCUMENT_TYPE.len()));
        if tag.is_some_and(|tag| tag.eq_ignore_ascii_case(DOCUMENT_TYPE)) {
            return Err(Problem::whole(Slug::Malformed));
        }
    }
    Ok(())
}

/// What a reference means: one of the five entities, or a character by its number. Numbers are no entities: they mean
/// one character, whatever a document says.
fn character(reference: &BytesRef<'_>) -> Option<char> {
    match reference.resolve_char_ref() {
        Ok(Some(by_number)) => Some(by_number).filter(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r')),
        Ok(None) => match &**reference {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "apos" => Some('\''),
            "quot" => Some('"'),
            _ => None,
        },
        Err(_no_number) => None,
    }
}

/// A tree while it grows.
#[derive(Default)]
struct Tree<'a> {
    open: Vec<Element<'a>>,
    root: Option<Element<'a>>,
}

impl<'a> Tree<'a> {
    fn open(&mut self, local_name: &str) -> Option<()> {
        if self.open.len() >= NESTING_MAX || self.root.is_some() {
            return None;
        }
        let name = local_name.to_owned();
        self.open.push(Element { name, text: Cow::Borrowed(""), children: Vec::new() });
        Some(())
    }

    fn close(&mut self) -> Option<()> {
        let closed = self.open.pop()?;
        match self.open.last_mut() {
            Some(parent) => {
                parent.text = Cow::Borrowed("");
                parent.children.push(closed);
            }
            None => self.root = Some(closed),
        }
        Some(())
    }

    /// Outside the root only blanks may stand.
    fn push(&mut self, more: Cow<'a, str>) -> Option<()> {
        match self.open.last_mut() {
            Some(element) if !element.children.is_empty() => {}
            Some(element) if element.text.is_empty() => element.text = more,
            Some(element) => element.text.to_mut().push_str(&more),
            None => return more.trim().is_empty().then_some(()),
        }
        Some(())
    }
}

/// An element. It has text or elements in it; text beside elements is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Element<'a> {
    name: String,
    text: Cow<'a, str>,
    children: Vec<Self>,
}

impl core::fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Element(..)")
    }
}

impl Element<'_> {
    /// Its local name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The elements in it, in the order of the document.
    pub fn children(&self) -> impl Iterator<Item = &Self> {
        self.children.iter()
    }

    /// The first element `name` in it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The first element `name` at any depth that says something, in the order of the document.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Self> {
        self.children.iter().find_map(|child| {
            if child.name == name && child.as_text().is_some() { Some(child) } else { child.find(name) }
        })
    }

    /// Its text without blanks around it, at most [`TEXT_BYTES_MAX`] bytes; `""` and `"-"` are absent.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        let text = self.text.trim();
        (!text.is_empty() && text != "-" && text.len() <= TEXT_BYTES_MAX).then_some(text)
    }

    /// The text of the first element `name` in it.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    /// The text of the first element `name` in it as a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse::<f64>().ok().filter(|number| number.is_finite())
    }

    /// As a JSON value, for sources that say the same in both: an object of its elements (of two with one name the last
    /// wins, as in JSON), or its text.
    #[must_use]
    pub fn to_value(&self) -> Value {
        if self.children.is_empty() {
            return Value::String(self.text.trim().to_owned());
        }
        Value::Object(self.children.iter().map(|child| (child.name.clone(), child.to_value())).collect())
    }
}
