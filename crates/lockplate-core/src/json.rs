//! Canonical JSON: the one text form of leaves, charters and signed objects (`log.md` section 6, RFC 8785 with a narrower
//! alphabet). One value has exactly one encoding, so a digest of the bytes is a digest of the meaning. Nothing here may print a
//! value: the same type carries plates and case numbers.
#![deny(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use std::collections::{BTreeMap, BTreeSet};

use unicode_normalization::is_nfc;

use crate::Timestamp;
use crate::error::{Error, Result};
use crate::facts::Obligations;
use crate::id::{AgencyId, EpochId, KeeperIndex, RecorderId, RequestId, b64url, from_b64url};
use crate::plate::Jurisdiction;
use crate::vocabulary::{Action, ArchiveKind, Assurance, Basis, DeclarationName, Level, Offence, Purpose, Role, State};

/// Bytes of one canonical text: the charter is the longest.
pub const JSON_BYTES_MAX: usize = crate::limits::CHARTER_BYTES_MAX;
/// Nesting of arrays and objects; the deepest object of the design (a trust entry inside a charter) has 5.
pub const JSON_DEPTH_MAX: usize = 12;
/// Largest integer that every JSON reader keeps exactly: 2^53 - 1.
pub const JSON_INT_MAX: u64 = 9_007_199_254_740_991;

/// Last second that has a four-digit year: 9999-12-31T23:59:59Z.
const TIME_MAX: u64 = 253_402_300_799;

/// A JSON value of the narrow alphabet: no null, no fraction, no sign.
#[derive(Clone, PartialEq, Eq)]
pub enum Json {
    /// NFC text without control characters.
    Str(String),
    /// 0 to 2^53 - 1.
    Int(u64),
    /// `true` or `false`.
    Bool(bool),
    /// Values in order.
    Array(Vec<Json>),
    /// Values by key; keys are `[a-z_]`.
    Object(BTreeMap<String, Json>),
}

impl core::fmt::Debug for Json {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Json(..)")
    }
}

impl Json {
    /// An object of the pairs given; a key given twice keeps its last value.
    #[must_use]
    pub fn object<const N: usize>(pairs: [(&str, Self); N]) -> Self {
        Self::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// A string value.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Str(text.to_owned())
    }

    /// Bytes as base64url without padding.
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::Str(b64url(bytes))
    }

    /// The one encoding of this value: sorted keys, no space, only `"` and `\` escaped.
    ///
    /// # Errors
    /// `Invalid` if the value is outside the alphabet (integer over 2^53 - 1, text not NFC or with a control character, a key
    /// not `[a-z_]`), nested too deep, or longer than [`JSON_BYTES_MAX`].
    pub fn to_canonical_bytes(&self) -> Result<Vec<u8>> {
        self.to_canonical_bytes_within(JSON_BYTES_MAX)
    }

    /// The same within another bound.
    ///
    /// # Errors
    /// As [`Json::to_canonical_bytes`].
    pub fn to_canonical_bytes_within(&self, bytes_max: usize) -> Result<Vec<u8>> {
        let mut out = String::new();
        write(self, &mut out, 0)?;
        if out.len() > bytes_max {
            return Err(Error::invalid("the object is too long"));
        }
        Ok(out.into_bytes())
    }
}

fn write(value: &Json, out: &mut String, depth: usize) -> Result<()> {
    if depth > JSON_DEPTH_MAX {
        return Err(Error::invalid("the object is nested too deep"));
    }
    let below = depth.saturating_add(1);
    match value {
        Json::Str(text) => write_text(text, out)?,
        Json::Int(number) if *number > JSON_INT_MAX => return Err(Error::invalid("an integer is too large for json")),
        Json::Int(number) => out.push_str(&number.to_string()),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Array(values) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(value, out, below)?;
            }
            out.push(']');
        }
        Json::Object(fields) => {
            out.push('{');
            for (at, (key, value)) in fields.iter().enumerate() {
                if key.is_empty() || !key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                    return Err(Error::invalid("a key is not of lower-case letters"));
                }
                if at > 0 {
                    out.push(',');
                }
                out.push('"');
                out.push_str(key);
                out.push_str("\":");
                write(value, out, below)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut String) -> Result<()> {
    if text.chars().any(char::is_control) {
        return Err(Error::invalid("a text has a control character"));
    }
    if !is_nfc(text) {
        return Err(Error::invalid("a text is not in normal form c"));
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    Ok(())
}

/// Reads one value and refuses every text but its canonical one: what is parsed is written again and must be byte-equal, so a
/// double key, a space, an escape, `1.0` or text outside NFC never gets in.
///
/// # Errors
/// `Malformed` for everything else, texts over [`JSON_BYTES_MAX`] included.
pub fn parse_canonical(bytes: &[u8]) -> Result<Json> {
    parse_canonical_within(bytes, JSON_BYTES_MAX)
}

/// The same within another bound.
///
/// # Errors
/// As [`parse_canonical`].
pub fn parse_canonical_within(bytes: &[u8], bytes_max: usize) -> Result<Json> {
    let bad = || Error::malformed("not canonical json");
    if bytes.len() > bytes_max {
        return Err(Error::malformed("the object is too long"));
    }
    let parsed: serde_json::Value = serde_json::from_slice(bytes).ok().ok_or_else(bad)?;
    let value = narrow(parsed, 0).ok_or_else(bad)?;
    match value.to_canonical_bytes_within(bytes_max) {
        Ok(again) if again == bytes => Ok(value),
        Ok(_) | Err(_) => Err(bad()),
    }
}

fn narrow(value: serde_json::Value, depth: usize) -> Option<Json> {
    if depth > JSON_DEPTH_MAX {
        return None;
    }
    let below = depth.saturating_add(1);
    Some(match value {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(bit) => Json::Bool(bit),
        serde_json::Value::Number(number) => Json::Int(number.as_u64()?),
        serde_json::Value::String(text) => Json::Str(text),
        serde_json::Value::Array(values) => {
            Json::Array(values.into_iter().map(|value| narrow(value, below)).collect::<Option<_>>()?)
        }
        serde_json::Value::Object(fields) => Json::Object(
            fields.into_iter().map(|(key, value)| Some((key, narrow(value, below)?))).collect::<Option<_>>()?,
        ),
    })
}

/// The fields of one object while they are taken out by name. [`Fields::finish`] refuses what nobody asked for.
pub struct Fields(BTreeMap<String, Json>);

impl core::fmt::Debug for Fields {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Fields(..)")
    }
}

impl Fields {
    /// The fields of an object.
    ///
    /// # Errors
    /// `Malformed` for any other value.
    pub fn of(value: Json) -> Result<Self> {
        match value {
            Json::Object(fields) => Ok(Self(fields)),
            Json::Str(_) | Json::Int(_) | Json::Bool(_) | Json::Array(_) => Err(Error::malformed("not a json object")),
        }
    }

    /// True if there is a field `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Takes the field `name` as a `T`.
    ///
    /// # Errors
    /// `Malformed` if it is missing or not a `T`.
    pub fn take<T: Field>(&mut self, name: &str) -> Result<T> {
        T::from_json(self.0.remove(name).ok_or(Error::malformed("a field is missing"))?)
    }

    /// Takes the field `name`, which must be exactly `value`.
    ///
    /// # Errors
    /// `Malformed` if it is missing or anything else.
    pub fn expect(&mut self, name: &str, value: &Json) -> Result<()> {
        match self.0.remove(name) {
            Some(found) if found == *value => Ok(()),
            Some(_) | None => Err(Error::malformed("a fixed field has another value")),
        }
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// `Malformed` if there is a field nobody asked for.
    pub fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::malformed("an unknown field")) }
    }
}

/// A type with exactly one JSON form. `from_json(to_json(x)) == x`.
pub trait Field: Sized {
    /// Its JSON form.
    fn to_json(&self) -> Json;
    /// Back from its JSON form.
    ///
    /// # Errors
    /// `Malformed` for any other value.
    fn from_json(value: Json) -> Result<Self>;
}

/// A type whose JSON form is an object of named fields.
pub trait JsonObject: Sized {
    /// Adds its fields.
    fn put(&self, fields: &mut BTreeMap<String, Json>);
    /// Takes its fields out and leaves the others.
    ///
    /// # Errors
    /// `Malformed` if one is missing or of another type.
    fn take(fields: &mut Fields) -> Result<Self>;
}

impl Field for Json {
    fn to_json(&self) -> Json {
        self.clone()
    }

    fn from_json(value: Json) -> Result<Self> {
        Ok(value)
    }
}

impl Field for String {
    fn to_json(&self) -> Json {
        Json::Str(self.clone())
    }

    fn from_json(value: Json) -> Result<Self> {
        match value {
            Json::Str(text) => Ok(text),
            Json::Int(_) | Json::Bool(_) | Json::Array(_) | Json::Object(_) => Err(Error::malformed("not a text")),
        }
    }
}

impl Field for u64 {
    fn to_json(&self) -> Json {
        Json::Int(*self)
    }

    fn from_json(value: Json) -> Result<Self> {
        match value {
            Json::Int(number) => Ok(number),
            Json::Str(_) | Json::Bool(_) | Json::Array(_) | Json::Object(_) => Err(Error::malformed("not a number")),
        }
    }
}

macro_rules! small_numbers {
    ($($type:ty)*) => {$(
        impl Field for $type {
            fn to_json(&self) -> Json {
                Json::Int(u64::from(*self))
            }

            fn from_json(value: Json) -> Result<Self> {
                Self::try_from(u64::from_json(value)?).ok().ok_or(Error::malformed("a number is too large"))
            }
        }
    )*};
}

small_numbers! { u8 u32 }

impl Field for bool {
    fn to_json(&self) -> Json {
        Json::Bool(*self)
    }

    fn from_json(value: Json) -> Result<Self> {
        match value {
            Json::Bool(bit) => Ok(bit),
            Json::Str(_) | Json::Int(_) | Json::Array(_) | Json::Object(_) => Err(Error::malformed("not a yes or no")),
        }
    }
}

impl<const N: usize> Field for [u8; N] {
    fn to_json(&self) -> Json {
        Json::bytes(self)
    }

    fn from_json(value: Json) -> Result<Self> {
        from_b64url(&String::from_json(value)?).ok_or(Error::malformed("not base64url of the right length"))
    }
}

/// `""` is none.
impl<const N: usize> Field for Option<[u8; N]> {
    fn to_json(&self) -> Json {
        self.as_ref().map_or_else(|| Json::Str(String::new()), Field::to_json)
    }

    fn from_json(value: Json) -> Result<Self> {
        if value == Json::Str(String::new()) { Ok(None) } else { Field::from_json(value).map(Some) }
    }
}

impl<T: Field> Field for Vec<T> {
    fn to_json(&self) -> Json {
        Json::Array(self.iter().map(Field::to_json).collect())
    }

    fn from_json(value: Json) -> Result<Self> {
        match value {
            Json::Array(values) => values.into_iter().map(T::from_json).collect(),
            Json::Str(_) | Json::Int(_) | Json::Bool(_) | Json::Object(_) => Err(Error::malformed("not a list")),
        }
    }
}

/// Sorted, each once: one set has one text.
impl<T: Field + Ord> Field for BTreeSet<T> {
    fn to_json(&self) -> Json {
        Json::Array(self.iter().map(Field::to_json).collect())
    }

    fn from_json(value: Json) -> Result<Self> {
        let values = Vec::<T>::from_json(value)?;
        if !values.is_sorted_by(|before, after| before < after) {
            return Err(Error::malformed("a set is not sorted, or names something twice"));
        }
        Ok(values.into_iter().collect())
    }
}

/// `[from, to]`.
impl Field for (Timestamp, Timestamp) {
    fn to_json(&self) -> Json {
        Json::Array(vec![self.0.to_json(), self.1.to_json()])
    }

    fn from_json(value: Json) -> Result<Self> {
        match <[Timestamp; 2]>::try_from(Vec::<Timestamp>::from_json(value)?) {
            Ok([from, to]) => Ok((from, to)),
            Err(_) => Err(Error::malformed("not a pair of times")),
        }
    }
}

/// A time after 9999-12-31T23:59:59Z is written as that second: no clock of this project reads one.
impl Field for Timestamp {
    fn to_json(&self) -> Json {
        Json::Str(time_text(*self))
    }

    fn from_json(value: Json) -> Result<Self> {
        parse_time(&String::from_json(value)?).ok_or(Error::malformed("not a time"))
    }
}

macro_rules! id_fields {
    ($($type:ident)*) => {$(
        impl Field for $type {
            fn to_json(&self) -> Json {
                Json::bytes(&self.0)
            }

            fn from_json(value: Json) -> Result<Self> {
                Field::from_json(value).map(Self)
            }
        }
    )*};
}

id_fields! { AgencyId RecorderId EpochId RequestId }

impl Field for KeeperIndex {
    fn to_json(&self) -> Json {
        self.0.to_json()
    }

    fn from_json(value: Json) -> Result<Self> {
        Field::from_json(value).map(Self)
    }
}

macro_rules! named_fields {
    ($($type:ident)*) => {$(
        impl Field for $type {
            fn to_json(&self) -> Json {
                Json::text(self.name())
            }

            fn from_json(value: Json) -> Result<Self> {
                Self::from_name(&String::from_json(value)?).ok_or(Error::malformed("a name outside its closed list"))
            }
        }
    )*};
}

named_fields! { Purpose Basis Assurance Offence Level Role ArchiveKind DeclarationName Action }

impl Field for State {
    fn to_json(&self) -> Json {
        Json::text(self.code())
    }

    fn from_json(value: Json) -> Result<Self> {
        Self::parse(&String::from_json(value)?).ok_or(Error::malformed("not a state of the closed list"))
    }
}

/// `""` is a plate whose state is not known.
impl Field for Option<Jurisdiction> {
    fn to_json(&self) -> Json {
        Json::text(self.as_ref().map_or("", Jurisdiction::code))
    }

    fn from_json(value: Json) -> Result<Self> {
        match String::from_json(value)?.as_str() {
            "" => Ok(None),
            code => Jurisdiction::parse(code).map(Some).ok_or(Error::malformed("not a jurisdiction")),
        }
    }
}

/// `{}` is none (a refusal carries no duties). Days are ISO 8601 durations, as the policy's annotations have them.
impl Field for Option<Obligations> {
    fn to_json(&self) -> Json {
        let Some(duties) = self else { return Json::Object(BTreeMap::new()) };
        Json::object([
            ("approvers", duties.approvers.to_json()),
            ("retain", Json::Str(format!("P{}D", duties.retain_days))),
            ("notice", Json::Str(format!("P{}D", duties.notice_days))),
            ("confirm", Json::text(if duties.confirm_visual { "visual" } else { "" })),
        ])
    }

    fn from_json(value: Json) -> Result<Self> {
        let mut fields = Fields::of(value)?;
        if fields.0.is_empty() {
            return Ok(None);
        }
        let duties = Obligations {
            approvers: fields.take("approvers")?,
            retain_days: parse_days(&fields.take::<String>("retain")?)?,
            notice_days: parse_days(&fields.take::<String>("notice")?)?,
            confirm_visual: match fields.take::<String>("confirm")?.as_str() {
                "visual" => true,
                "" => false,
                _ => return Err(Error::malformed("a name outside its closed list")),
            },
        };
        fields.finish()?;
        Ok(Some(duties))
    }
}

fn parse_days(text: &str) -> Result<u32> {
    let bad = Error::malformed("not a duration in days");
    let digits = text.strip_prefix('P').and_then(|rest| rest.strip_suffix('D')).ok_or_else(|| bad.clone())?;
    let days: u32 = digits.parse().ok().ok_or_else(|| bad.clone())?;
    if format!("{days}") == digits { Ok(days) } else { Err(bad) }
}

/// A plain struct whose JSON form is a strict object: every field present, none besides. A field's key is its name, or the
/// literal after `as`.
macro_rules! json_object {
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty $(as $key:literal)?,)* })*) => {$(
        $(#[$doc])*
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $crate::json::JsonObject for $name {
            fn put(&self, fields: &mut std::collections::BTreeMap<String, $crate::json::Json>) {
                $(fields.insert(
                    $crate::json::json_object!(@key $field $($key)?).to_owned(),
                    $crate::json::Field::to_json(&self.$field),
                );)*
            }

            fn take(fields: &mut $crate::json::Fields) -> $crate::error::Result<Self> {
                Ok(Self { $($field: fields.take($crate::json::json_object!(@key $field $($key)?))?,)* })
            }
        }

        impl $crate::json::Field for $name {
            fn to_json(&self) -> $crate::json::Json {
                let mut fields = std::collections::BTreeMap::new();
                $crate::json::JsonObject::put(self, &mut fields);
                $crate::json::Json::Object(fields)
            }

            fn from_json(value: $crate::json::Json) -> $crate::error::Result<Self> {
                let mut fields = $crate::json::Fields::of(value)?;
                let object = $crate::json::JsonObject::take(&mut fields)?;
                fields.finish()?;
                Ok(object)
            }
        }
    )*};
}
pub(crate) use json_object;

/// A closed list of names, each a variant with its text form.
macro_rules! json_names {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Its text form.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// From its text form, exact case.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl $crate::json::Field for $name {
            fn to_json(&self) -> $crate::json::Json {
                $crate::json::Json::text(self.name())
            }

            fn from_json(value: $crate::json::Json) -> $crate::error::Result<Self> {
                Self::from_name(&<String as $crate::json::Field>::from_json(value)?)
                    .ok_or($crate::error::Error::malformed("a name outside its closed list"))
            }
        }
    )*};
}
pub(crate) use json_names;

/// Text form of a time: `2026-11-22T14:00:07Z`, always 20 characters. Later than the year 9999: the last second of it.
#[must_use]
pub fn time_text(time: Timestamp) -> String {
    let seconds = time.0.min(TIME_MAX);
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let rest = seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

/// The same of milliseconds since the Unix epoch: `2026-11-22T14:00:07.250Z`. Before 1970: its first second.
#[must_use]
pub fn time_ms_text(time_ms: i64) -> String {
    let seconds = u64::try_from(time_ms.div_euclid(1_000)).unwrap_or(0);
    let whole = time_text(Timestamp(seconds));
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), time_ms.rem_euclid(1_000))
}

/// Reads exactly the form that [`time_text`] writes: years 1970 to 9999, no leap second, no offset, no fraction.
#[must_use]
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59
    {
        return None;
    }
    let days = days_from_civil(year, month, day)?;
    let clock = hour.checked_mul(3_600)?.checked_add(minute.checked_mul(60)?)?.checked_add(second)?;
    let time = Timestamp(days.checked_mul(86_400)?.checked_add(clock)?);
    // What is written again must be the same text: refuses 30 February, other separators and anything behind the Z.
    (time_text(time) == text).then_some(time)
}

/// Year, month and day (proleptic Gregorian) of a day since 1970-01-01. Years are counted from March, so that the leap day is
/// the last of its year, in eras of 400 years or 146,097 days.
#[expect(clippy::arithmetic_side_effects, reason = "days are at most 2^64 / 86,400, far from any bound of u64")]
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let since_march_0000 = days + 719_468;
    let era = since_march_0000 / 146_097;
    let day_of_era = since_march_0000 % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// The inverse of [`civil_from_days`] for years from 1970 on; a day beyond its month counts into the next one.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = year.checked_sub(u64::from(month <= 2))?;
    let month_from_march = if month > 2 { month.checked_sub(3)? } else { month.checked_add(9)? };
    let day_of_year =
        month_from_march.checked_mul(153)?.checked_add(2)?.checked_div(5)?.checked_add(day)?.checked_sub(1)?;
    let leap_days = (year / 4).checked_sub(year / 100)?.checked_add(year / 400)?;
    year.checked_mul(365)?.checked_add(leap_days)?.checked_add(day_of_year)?.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_that_are_not_canonical_are_refused() {
        for good in [r#"{}"#, r#"{"a":1,"b":[true,"é\"\\"],"c_d":{"a":0}}"#, r#""x""#, "9007199254740991", r#"["/"]"#]
        {
            assert!(parse_canonical(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"b":1,"a":1}"#,
            r#"{"a": 1}"#,
            r#"{"a":1} "#,
            "{\"a\":1}\n",
            r#"{"A":1}"#,
            r#"{"":1}"#,
            r#"{"a1":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":-1}"#,
            r#"{"a":-0}"#,
            r#"{"a":01}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":null}"#,
            r#"{"a":"\u0041"}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\/"}"#,
            r#"{"a":"\n"}"#,
            "{\"a\":\"\u{7f}\"}",
            "{\"a\":\"e\u{301}\"}",
            "",
        ] {
            assert!(parse_canonical(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(parse_canonical(b"\"\xff\"").is_err());
    }

    #[test]
    fn depth_and_length_end_at_their_bounds() {
        let nested = |levels: usize| [vec![b'['; levels], vec![b']'; levels]].concat();
        assert!(parse_canonical(&nested(JSON_DEPTH_MAX + 1)).is_ok());
        assert!(parse_canonical(&nested(JSON_DEPTH_MAX + 2)).is_err());
        let long = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        assert!(parse_canonical(long(JSON_BYTES_MAX).as_bytes()).is_ok());
        assert!(parse_canonical(long(JSON_BYTES_MAX + 1).as_bytes()).is_err());
        assert!(Json::Str("x".repeat(JSON_BYTES_MAX)).to_canonical_bytes().is_err());
        assert!(Json::Int(JSON_INT_MAX + 1).to_canonical_bytes().is_err());
    }

    #[test]
    fn known_times() {
        // From `date -u -d`, GNU coreutils.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_356_007, "2026-11-22T14:00:07Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (TIME_MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(time_text(Timestamp(seconds)), text);
            assert_eq!(parse_time(text), Some(Timestamp(seconds)));
        }
        assert_eq!(time_text(Timestamp(u64::MAX)), "9999-12-31T23:59:59Z");
        for bad in [
            "2026-11-22T14:00:07z",
            "2026-11-22 14:00:07Z",
            "2026-11-22T14:00:60Z",
            "2026-11-22T24:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-11-22T14:00:07Z ",
            "2026-11-22T14:00:07+00:00",
            "+026-11-22T14:00:07Z",
            "٢٠٢٦-11-22T14:00:07Z",
            "",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            "[ -~]{0,12}".prop_map(Json::Str),
            (0..=JSON_INT_MAX).prop_map(Json::Int),
            any::<bool>().prop_map(Json::Bool),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
                proptest::collection::btree_map("[a-z_]{1,6}", inner, 0..4).prop_map(Json::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_comes_back(value in json()) {
            let bytes = value.to_canonical_bytes().unwrap();
            prop_assert_eq!(parse_canonical(&bytes).unwrap(), value);
        }

        #[test]
        fn parsing_is_total_and_accepts_one_text_a_value(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = parse_canonical(&bytes) {
                prop_assert_eq!(value.to_canonical_bytes().unwrap(), bytes);
            }
        }

        #[test]
        fn every_time_comes_back(seconds in 0..=TIME_MAX) {
            prop_assert_eq!(parse_time(&time_text(Timestamp(seconds))), Some(Timestamp(seconds)));
        }

        #[test]
        fn reading_times_is_total(text in "[0-9TZ:-]{0,22}|.{0,22}") {
            prop_assert!(parse_time(&text).is_none_or(|time| time_text(time) == text));
        }
    }
}
