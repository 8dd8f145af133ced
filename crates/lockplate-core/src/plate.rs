//! Plate text: canonical form, fold, and the input of the PRF. This module must never print a plate: the types have no
//! `Display` and a redacted `Debug`. The text goes on into a [`Read`](crate::read::Read), the folded key into the sealer.

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};
use zeroize::Zeroize;

use crate::id::AgencyId;
use crate::limits::{PLATE_BYTES_MAX, PLATE_CHARS_MAX};

/// Text of the read that the test of a camera seals. It is longer than any plate that is issued, and no hot list takes it
/// ([`check_form`](crate::hotlist::load::check_form)), whoever signed.
pub const TEST_PLATE: &str = "LOCKPLATETEST";

/// Canonical plate text: NFKC, upper case, letters and digits only, 1 to 16 characters and at most 57 bytes (LPv1
/// section 4, `intake.md` section 2). Not folded.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Plate {
    text: String,
    overlong: bool,
}

impl Plate {
    /// Canonical form of what an engine read; `None` if nothing readable is left. Total and idempotent.
    #[must_use]
    pub fn parse(raw: &str) -> Option<Self> {
        // Most engines say it so already, and every record does.
        let is_canonical = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        if (1..=PLATE_CHARS_MAX).contains(&raw.len()) && raw.bytes().all(is_canonical) {
            return Some(Self { text: raw.to_owned(), overlong: false });
        }
        let mut text = canonical_round(raw);
        // One round suffices for each scalar alone; two letters with a dropped scalar between them can need a second.
        loop {
            let again = canonical_round(&text);
            if again == text {
                break;
            }
            text = again;
        }
        let mut end = text.len();
        for (count, (at, c)) in text.char_indices().enumerate() {
            if count == PLATE_CHARS_MAX || at.saturating_add(c.len_utf8()) > PLATE_BYTES_MAX {
                end = at;
                break;
            }
        }
        let overlong = end < text.len();
        text.truncate(end);
        (!text.is_empty()).then_some(Self { text, overlong })
    }

    /// The text. Call sites are few on purpose: what gets it must never print it outside a result.
    #[must_use]
    pub fn expose_text(&self) -> &str {
        &self.text
    }

    /// True if characters had to be cut; such a plate is sealed under kind 2.
    #[must_use]
    pub const fn is_overlong(&self) -> bool {
        self.overlong
    }

    /// Fold v1: O, Q, D become 0; I becomes 1; B 8; Z 2; S 5, and nothing else.
    #[must_use]
    pub fn fold(&self) -> String {
        fold(&self.text)
    }
}

impl core::fmt::Debug for Plate {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Plate(..)")
    }
}

impl Drop for Plate {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

fn canonical_round(raw: &str) -> String {
    raw.nfkc().flat_map(char::to_uppercase).filter(|c| is_plate_character(*c)).collect()
}

fn is_plate_character(c: char) -> bool {
    matches!(
        c.general_category(),
        GeneralCategory::UppercaseLetter
            | GeneralCategory::LowercaseLetter
            | GeneralCategory::TitlecaseLetter
            | GeneralCategory::ModifierLetter
            | GeneralCategory::OtherLetter
            | GeneralCategory::DecimalNumber
    )
}

/// True if a raw text has a character that stands for others in some system, in any of its forms: canonical text drops it, and another
/// plate would be left. Blanks, dashes and the points of a spelling are none, nor is an emblem.
#[must_use]
pub fn has_wildcard(raw: &str) -> bool {
    let is_point = |c: char| matches!(c, '.' | ',' | ':' | '/' | '&' | '\'' | '\u{b7}' | '\u{2022}');
    let may_stand = |c: char| {
        matches!(
            c.general_category(),
            GeneralCategory::OtherPunctuation
                | GeneralCategory::ConnectorPunctuation
                | GeneralCategory::MathSymbol
                | GeneralCategory::CurrencySymbol
                | GeneralCategory::ModifierSymbol
        )
    };
    // What is letters and digits only is so in every form.
    !raw.bytes().all(|byte| byte.is_ascii_alphanumeric()) && raw.nfkc().any(|c| may_stand(c) && !is_point(c))
}

fn fold(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            'O' | 'Q' | 'D' => '0',
            'I' => '1',
            'B' => '8',
            'Z' => '2',
            'S' => '5',
            other => other,
        })
        .collect()
}

/// Who issued a plate: ISO 3166-2 where a subdivision issues plates (`US-CT`), else ISO 3166-1 alpha-2 (`PL`). Two to six
/// characters, upper-case letters, digits and one hyphen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jurisdiction {
    bytes: [u8; 6],
    len: u8,
}

impl Jurisdiction {
    /// From its code, exact case; `None` if the form is not `CC` or `CC-S`, `CC-SS`, `CC-SSS`.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let raw = code.as_bytes();
        let (country, rest) = raw.split_at_checked(2)?;
        let country_ok = country.iter().all(u8::is_ascii_uppercase);
        let rest_ok = match rest.split_first() {
            None => true,
            Some((b'-', sub)) => {
                (1..=3).contains(&sub.len()) && sub.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
            }
            Some(_) => false,
        };
        if !country_ok || !rest_ok {
            return None;
        }
        let mut bytes = [0; 6];
        bytes.get_mut(..raw.len())?.copy_from_slice(raw);
        Some(Self { bytes, len: u8::try_from(raw.len()).ok()? })
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &str {
        // INVARIANT: only `parse` makes one, from ASCII no longer than the array.
        self.bytes.get(..usize::from(self.len)).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or("")
    }
}

impl core::fmt::Debug for Jurisdiction {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.code())
    }
}

/// Kind of an index entry (LPv1 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IndexKind {
    /// 1: the key begins with the jurisdiction's code.
    Known,
    /// 2: the key begins with `?:`.
    Unknown,
    /// 4: a canary.
    Canary,
}

impl IndexKind {
    /// Number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Known => 1,
            Self::Unknown => 2,
            Self::Canary => 4,
        }
    }

    /// From the number on the wire; 3 is reserved.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Known),
            2 => Some(Self::Unknown),
            4 => Some(Self::Canary),
            _ => None,
        }
    }
}

/// Input of the PRF for one plate at one agency (LPv1 section 4): version, agency, kind, length-prefixed key. 20 to 82
/// bytes, secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlateInput {
    kind: IndexKind,
    bytes: Vec<u8>,
}

impl PlateInput {
    /// Kind 1 where a jurisdiction is given and the plate was not cut, else kind 2.
    #[must_use]
    pub fn new(agency: AgencyId, plate: &Plate, jurisdiction: Option<Jurisdiction>) -> Self {
        match jurisdiction {
            Some(code) if !plate.is_overlong() => {
                Self::from_folded(agency, IndexKind::Known, code.code(), &plate.fold())
            }
            _ => Self::from_folded(agency, IndexKind::Unknown, "?", &plate.fold()),
        }
    }

    /// From a spelling that is folded already (`spellings.rs`): kind 1 with a jurisdiction, else kind 2. `None` if the text is
    /// empty or too long for a key.
    #[must_use]
    pub fn from_spelling(agency: AgencyId, folded: &str, jurisdiction: Option<Jurisdiction>) -> Option<Self> {
        if folded.is_empty() || folded.len() > PLATE_BYTES_MAX {
            return None;
        }
        Some(match jurisdiction {
            Some(code) => Self::from_folded(agency, IndexKind::Known, code.code(), folded),
            None => Self::from_folded(agency, IndexKind::Unknown, "?", folded),
        })
    }

    fn from_folded(agency: AgencyId, kind: IndexKind, prefix: &str, folded: &str) -> Self {
        // INVARIANT: 6 + 1 + 57 bytes at most, so the length fits `key<1..64>`.
        let len = u8::try_from(prefix.len().saturating_add(1).saturating_add(folded.len())).unwrap_or(u8::MAX);
        let mut bytes = Vec::with_capacity(84);
        bytes.push(1);
        bytes.extend_from_slice(&agency.0);
        bytes.extend_from_slice(&[kind.code(), len]);
        bytes.extend_from_slice(prefix.as_bytes());
        bytes.push(b':');
        bytes.extend_from_slice(folded.as_bytes());
        Self { kind, bytes }
    }

    /// From its bytes, as they travel in an Opening: version 1, a known kind, a key of 1 to 64 bytes, nothing after it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[1, ..], key) = (bytes.get(..17)?, bytes.get(17..)?) else { return None };
        let (&kind, key) = key.split_first()?;
        let (&len, key) = key.split_first()?;
        if usize::from(len) != key.len() || !(1..=64).contains(&len) {
            return None;
        }
        Some(Self { kind: IndexKind::from_code(kind)?, bytes: bytes.to_vec() })
    }

    /// The agency whose archive it is for.
    #[must_use]
    pub fn agency(&self) -> AgencyId {
        // INVARIANT: both makers write 16 bytes after the version.
        AgencyId(self.bytes.get(1..17).and_then(|id| id.try_into().ok()).unwrap_or([0; 16]))
    }

    /// The key before its colon: a jurisdiction's code or `?`. Empty if the key has no colon or is not text.
    #[must_use]
    pub fn jurisdiction_text(&self) -> &str {
        self.key_parts().0
    }

    /// The key after its colon: the folded text. Empty if the key has no colon or is not text.
    #[must_use]
    pub fn folded_text(&self) -> &str {
        self.key_parts().1
    }

    fn key_parts(&self) -> (&str, &str) {
        let key = self.bytes.get(19..).and_then(|key| core::str::from_utf8(key).ok());
        key.and_then(|key| key.split_once(':')).unwrap_or(("", ""))
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> IndexKind {
        self.kind
    }

    /// The exact bytes that are hashed to the group.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl core::fmt::Debug for PlateInput {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PlateInput(..)")
    }
}

impl Drop for PlateInput {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(raw: &str) -> Option<String> {
        Plate::parse(raw).map(|p| p.expose_text().to_owned())
    }

    #[test]
    fn the_table_of_canonical_texts() {
        for (raw, want) in [
            ("ab-12 345", Some("AB12345")),
            ("V-D 001·A", Some("VD001A")),
            ("ＡＢ①②x²", Some("AB12X2")),
            ("№5", Some("NO5")),
            ("ß1", Some("SS1")),
            ("ı1i", Some("I1I")),
            ("蓝苏A8HK52", Some("蓝苏A8HK52")),
            ("กก 1234", Some("กก1234")),
            ("А123ВС77", Some("А123ВС77")),
            ("L8S\u{2062}7353", Some("L8S7353")),
            ("\u{1100}\u{200d}\u{1161}", Some("\u{ac00}")),
            ("----", None),
            ("", None),
        ] {
            assert_eq!(canonical(raw).as_deref(), want, "{raw:?}");
        }
    }

    #[test]
    fn every_scalar_is_total_and_idempotent() {
        for c in (0..=0x0010_ffff).filter_map(char::from_u32) {
            if let Some(once) = canonical(&c.to_string()) {
                assert_eq!(canonical(&once).as_deref(), Some(once.as_str()), "U+{:04X}", u32::from(c));
            }
        }
    }

    #[test]
    fn long_text_is_cut_and_sealed_under_kind_two() {
        let plate = Plate::parse("ABCDEFGHIJKLMNOPQ").unwrap();
        assert!(plate.is_overlong());
        assert_eq!(plate.expose_text().len(), 16);
        let agency = AgencyId([7; 16]);
        let input = PlateInput::new(agency, &plate, Jurisdiction::parse("US-CT"));
        assert_eq!(input.kind(), IndexKind::Unknown);
        let wide = Plate::parse(&"蓝".repeat(40)).unwrap();
        assert!(wide.expose_text().chars().count() == 16);
        let four_bytes = Plate::parse(&"\u{20000}".repeat(16)).unwrap();
        assert!(four_bytes.expose_text().len() <= 57 && four_bytes.is_overlong());
    }

    #[test]
    fn the_input_has_the_bytes_of_the_protocol() {
        let plate = Plate::parse("ab 12345").unwrap();
        let input = PlateInput::new(AgencyId([0xf0; 16]), &plate, Jurisdiction::parse("US-CT"));
        let mut want = vec![1];
        want.extend([0xf0; 16]);
        want.extend([1, 13]);
        want.extend(b"US-CT:A812345");
        assert_eq!(input.expose_bytes(), want);
        assert_eq!(PlateInput::from_bytes(&want), Some(input));
        assert_eq!(PlateInput::from_bytes(&want[..want.len() - 1]), None);
    }

    #[test]
    fn debug_shows_no_plate() {
        let plate = Plate::parse("AB12345").unwrap();
        let input = PlateInput::new(AgencyId([1; 16]), &plate, None);
        assert_eq!(format!("{plate:?} {input:?}"), "Plate(..) PlateInput(..)");
    }

    #[test]
    fn jurisdictions_have_one_form() {
        for good in ["US-CT", "PL", "CA-QC", "AU-NSW", "MX-CMX"] {
            assert_eq!(Jurisdiction::parse(good).unwrap().code(), good);
        }
        for bad in ["", "U", "us-ct", "US-", "USCT", "US-CONN", "US_CT", "1S", "US-CT\n"] {
            assert_eq!(Jurisdiction::parse(bad), None, "{bad:?}");
        }
    }
}
