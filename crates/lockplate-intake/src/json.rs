//! JSON as cameras send it: parsed to a value tree first, so that duplicate keys (last wins) and unknown keys do no harm.
//! Bounded before anything is built: nesting, NUL, size. Numbers in text are read; `""`, `"-"` and null are absent.

use std::borrow::Cow;

use serde_json::Value;

use crate::limits::{BODY_BYTES_MAX, ID_BYTES_MAX, JSON_VALUES_MAX, LIST_VALUES_MAX, NESTING_MAX, TEXT_BYTES_MAX};
use crate::source::{Observation, Parsed, Problem, Slug};
use crate::time::{SourceTime, Zone, from_text};

/// Parses one JSON text in UTF-8, with or without BOM.
///
/// # Errors
/// `Malformed` for anything that is not JSON, deeper than [`NESTING_MAX`], or has NUL in it; `TooLarge` beyond
/// [`BODY_BYTES_MAX`] or [`JSON_VALUES_MAX`].
pub fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    parse_within(bytes, JSON_VALUES_MAX)
}

/// Parses the JSON object that is a whole list: as [`object`], with at most [`LIST_VALUES_MAX`] values.
pub(crate) fn list(bytes: &[u8]) -> Result<Value, Problem> {
    parse_within(bytes, LIST_VALUES_MAX).and_then(only_object)
}

fn parse_within(bytes: &[u8], values_max: usize) -> Result<Value, Problem> {
    if bytes.len() > BODY_BYTES_MAX {
        return Err(Problem::whole(Slug::TooLarge));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bounded(bytes, values_max).map_err(Problem::whole)?;
    serde_json::from_slice(bytes).map_err(|_no_json| Problem::whole(Slug::Malformed))
}

/// Parses one JSON text that must be an object.
///
/// # Errors
/// As [`parse`]; `Malformed` for another type.
pub fn object(bytes: &[u8]) -> Result<Value, Problem> {
    parse(bytes).and_then(only_object)
}

fn only_object(value: Value) -> Result<Value, Problem> {
    if value.is_object() { Ok(value) } else { Err(Problem::whole(Slug::Malformed)) }
}

/// What a payload says that is one JSON object about one pass; `read` maps its fields.
pub(crate) fn one_read<F>(body: &[u8], read: F) -> Parsed
where
    F: FnOnce(&Cursor<'_>, &mut Parsed) -> Result<Option<Observation>, Problem>,
{
    let mut parsed = Parsed::default();
    let observation = object(body).and_then(|value| read(&Cursor::root(&value), &mut parsed));
    parsed.observe(observation);
    parsed
}

/// One pass without building anything: nesting at most [`NESTING_MAX`], values at most `values_max`, no NUL, raw or escaped.
fn bounded(bytes: &[u8], values_max: usize) -> Result<(), Slug> {
    let mut depth = 0_usize;
    // Each begins with a bracket or stands behind a comma, but for the first.
    let mut values = 0_usize;
    let mut in_text = false;
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            0 => return Err(Slug::Malformed),
            b'"' => in_text = !in_text,
            b'\\' if in_text => {
                if rest.starts_with(b"u0000") {
                    return Err(Slug::Malformed);
                }
                rest = rest.get(1..).unwrap_or_default();
            }
            b'[' | b'{' if !in_text => {
                depth = depth.saturating_add(1);
                values = values.saturating_add(1);
                if depth > NESTING_MAX {
                    return Err(Slug::Malformed);
                }
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            b',' if !in_text => values = values.saturating_add(1),
            _ => {}
        }
        if values > values_max {
            return Err(Slug::TooLarge);
        }
    }
    Ok(())
}

/// A place in the tree, with its JSON pointer for problems. Reads leniently: a wrong type is absent, unless required.
#[derive(Clone)]
pub struct Cursor<'a> {
    value: &'a Value,
    pointer: String,
}

impl core::fmt::Debug for Cursor<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Cursor(..)")
    }
}

impl<'a> Cursor<'a> {
    /// At the root.
    #[must_use]
    pub const fn root(value: &'a Value) -> Self {
        Self { value, pointer: String::new() }
    }

    /// JSON pointer of this place.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// Pointer of `key` here.
    #[must_use]
    pub fn pointer_to(&self, key: &str) -> String {
        format!("{}/{key}", self.pointer)
    }

    /// True for an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.value.is_object()
    }

    /// True for true or false.
    #[must_use]
    pub fn is_bool(&self) -> bool {
        self.value.is_boolean()
    }

    /// True for an array.
    #[must_use]
    pub fn is_array(&self) -> bool {
        self.value.is_array()
    }

    /// True if the object has `key`, whatever its value.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.value.get(key).is_some()
    }

    /// Keys of the object here.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.value.as_object().into_iter().flat_map(|map| map.keys().map(String::as_str))
    }

    /// The value under `key`, unless absent or null.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key).filter(|v| !v.is_null())?;
        Some(Self { value, pointer: self.pointer_to(key) })
    }

    /// The elements here; empty if this is no array.
    pub fn items(&self) -> impl Iterator<Item = Self> {
        let pointer = self.pointer.clone();
        self.value
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .map(move |(at, value)| Self { value, pointer: format!("{pointer}/{at}") })
    }

    /// The elements under `key`; empty if that is no array.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<Self> {
        self.get(key).map(|inner| inner.items().collect()).unwrap_or_default()
    }

    /// This value as text: texts and numbers, at most [`TEXT_BYTES_MAX`] bytes; `""` and `"-"` are absent.
    #[must_use]
    pub fn as_text(&self) -> Option<Cow<'a, str>> {
        match self.value {
            Value::String(text) if text.is_empty() || text == "-" || text.len() > TEXT_BYTES_MAX => None,
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The text under `key`.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key)?.as_text()
    }

    /// The text under `key` if it is short enough for an id, a track name or a camera key.
    #[must_use]
    pub fn short(&self, key: &str) -> Option<String> {
        self.text(key).filter(|text| text.len() <= ID_BYTES_MAX).map(Cow::into_owned)
    }

    /// The text under `key` without the bound of texts: images.
    #[must_use]
    pub fn image(&self, key: &str) -> Option<&'a str> {
        self.value.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// This value as a number; text is read as one.
    #[must_use]
    pub fn as_number(&self) -> Option<f64> {
        match self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse::<f64>().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
        .filter(|number| number.is_finite())
    }

    /// The number under `key`.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_number()
    }

    /// The flag under `key`: bool, 0 or 1, or such a text.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        match self.get(key).map(|inner| inner.value) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::Number(number)) => number.as_f64().is_some_and(|n| n > 0.0),
            Some(Value::String(text)) => text == "1" || text.eq_ignore_ascii_case("true"),
            None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => false,
        }
    }

    /// The text under `key`, which must be there.
    ///
    /// # Errors
    /// `MissingField` if absent; `Malformed` for another type; `OutOfRange` beyond `bytes_max`.
    pub fn required_text(&self, key: &str, bytes_max: usize) -> Result<Cow<'a, str>, Problem> {
        let here = self.get(key).ok_or_else(|| Problem::at(Slug::MissingField, &self.pointer_to(key)))?;
        match here.value {
            Value::String(text) if text.len() > bytes_max => Err(Problem::at(Slug::OutOfRange, &here.pointer)),
            Value::String(_) | Value::Number(_) => {
                here.as_text().ok_or_else(|| Problem::at(Slug::MissingField, &here.pointer))
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                Err(Problem::at(Slug::Malformed, &here.pointer))
            }
        }
    }

    /// The time under `key`, which must be there: an epoch number, text with an offset, or local text in `zone`.
    ///
    /// # Errors
    /// As [`Cursor::required_text`]; `OutOfRange` for what is no time.
    pub fn required_time(&self, key: &str, zone: Option<&Zone>) -> Result<SourceTime, Problem> {
        let text = self.required_text(key, 64)?;
        from_text(&text, zone).ok_or_else(|| Problem::at(Slug::OutOfRange, &self.pointer_to(key)))
    }

    /// The raw plate text under `key`. The key must be there; its value may say "nothing read" (`None`).
    ///
    /// # Errors
    /// As [`Cursor::required_text`].
    pub fn plate(&self, key: &str) -> Result<Option<Cow<'a, str>>, Problem> {
        match self.value.get(key) {
            None => Err(Problem::at(Slug::MissingField, &self.pointer_to(key))),
            Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() || text == "-" => Ok(None),
            Some(_) => self.required_text(key, TEXT_BYTES_MAX).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_at_the_bound_and_beyond() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nested(NESTING_MAX).as_bytes()).is_ok());
        assert_eq!(parse(nested(NESTING_MAX + 1).as_bytes()), Err(Problem::whole(Slug::Malformed)));
        assert!(parse(nested(100_000).as_bytes()).is_err());
        // Brackets in text do not nest.
        assert!(parse(format!("\"{}\"", "[{\\\"".repeat(500)).as_bytes()).is_ok());
    }

    #[test]
    fn values_at_the_bound_and_beyond() {
        let values = |n: usize| format!("[{}0]", "0,".repeat(n - 2));
        assert!(parse(values(JSON_VALUES_MAX).as_bytes()).is_ok());
        assert_eq!(parse(values(JSON_VALUES_MAX + 2).as_bytes()), Err(Problem::whole(Slug::TooLarge)));
        let whole = |n: usize| format!("{{\"a\":{}}}", values(n - 1));
        assert!(list(whole(LIST_VALUES_MAX).as_bytes()).is_ok());
        assert_eq!(list(whole(LIST_VALUES_MAX + 2).as_bytes()), Err(Problem::whole(Slug::TooLarge)));
        let objects = format!("[{}0]", r#"{"a":0},"#.repeat(1_000_000));
        assert_eq!(parse(objects.as_bytes()), Err(Problem::whole(Slug::TooLarge)));
        // Those in text are none.
        assert!(parse(format!("\"{}\"", "{,".repeat(JSON_VALUES_MAX)).as_bytes()).is_ok());
    }

    #[test]
    fn nul_is_refused_raw_and_escaped() {
        assert!(parse(b"{\"a\":\"x\0\"}").is_err());
        assert!(parse(br#"{"a":"x\u0000"}"#).is_err());
        assert!(parse(br#"{"a":"x\\u0000"}"#).is_ok());
    }

    #[test]
    fn duplicate_keys_numbers_and_absent_forms() {
        let value =
            parse(br#"{"a":1,"a":2,"n":"8031714103340852224","u":18446744073709551616,"e":"","d":"-","z":null}"#)
                .unwrap();
        let root = Cursor::root(&value);
        assert_eq!(root.number("a"), Some(2.0));
        assert_eq!(root.number("n"), Some(8_031_714_103_340_852_224.0));
        assert_eq!(root.number("u"), Some(18_446_744_073_709_551_616.0));
        assert!(["e", "d", "z", "none"].iter().all(|key| root.text(key).is_none()));
        assert!(parse(br#"{"a":1e400}"#).is_err());
        assert!(parse(br#"{"a":NaN}"#).is_err());
        assert!(parse("\u{feff}{}".as_bytes()).is_ok());
    }

    #[test]
    fn text_at_the_bound_and_beyond() {
        for (len, fits) in [(TEXT_BYTES_MAX, true), (TEXT_BYTES_MAX + 1, false)] {
            let value = Value::String("A".repeat(len));
            let object = serde_json::json!({ "t": value });
            assert_eq!(Cursor::root(&object).text("t").is_some(), fits);
            assert_eq!(Cursor::root(&object).required_text("t", TEXT_BYTES_MAX).is_ok(), fits);
        }
    }
}
