//! What a searcher asks for (`intake.md` section 9): the texts a plate may have been read as, one element each, and why an
//! opened read matched. Texts are folded; they must never be printed.

use std::collections::BTreeSet;

use crate::limits::{ELEMENTS_MAX, JURISDICTION_CONF_MIN, PLATE_BYTES_MAX, PLATE_CHARS_MAX};
use crate::plate::{Jurisdiction, Plate};

/// How far from the asked text the search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// The folded text.
    #[default]
    Fold,
    /// And one character missing, or a `1` added at an end.
    Near,
    /// And one substitution of a pair that engines confuse.
    Wide,
}

/// Pairs that engines confuse and the fold does not cover, in order of the design.
const PAIRS: [(char, char); 11] = [
    ('8', 'H'),
    ('8', '9'),
    ('0', '1'),
    ('H', 'M'),
    ('6', 'G'),
    ('C', 'G'),
    ('F', 'P'),
    ('E', 'F'),
    ('3', 'E'),
    ('3', '8'),
    ('4', '8'),
];

/// Values of `#`.
const DIGITS: &str = "0123456789";
/// Letters that the fold leaves.
const LETTERS: &str = "ACEFGHJKLMNPRTUVWXY";
/// Digits that stand for folded letters: with [`LETTERS`] the values of `@`.
const LETTER_DIGITS: &str = "01258";

/// Why a question cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpellingFault {
    /// Nothing readable, or longer than a plate.
    NotAPlate,
    /// Wildcards go with `fold` only.
    WildcardWithMode,
    /// More elements than the cap.
    TooMany,
}

impl core::fmt::Display for SpellingFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotAPlate => "this is not a plate: 1 to 16 letters and digits",
            Self::WildcardWithMode => "wildcards cannot be combined with near or wide",
            Self::TooMany => "this asks for more elements than a request may have",
        })
    }
}

impl core::error::Error for SpellingFault {}

/// The texts of a search.
#[derive(Clone, PartialEq, Eq)]
pub struct Spellings {
    texts: Vec<String>,
    elements: usize,
}

impl core::fmt::Debug for Spellings {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Spellings(..)")
    }
}

impl Spellings {
    /// Enumerates. `states` is the number of states asked; each text costs `states` + 1 elements (the one is "unknown").
    ///
    /// # Errors
    /// A [`SpellingFault`]; nothing is cut to fit `elements_max`.
    pub fn new(asked: &str, mode: Mode, states: usize, elements_max: usize) -> Result<Self, SpellingFault> {
        let pattern = Pattern::parse(asked)?;
        let each = states.saturating_add(1);
        if pattern.count().saturating_mul(each) > elements_max {
            return Err(SpellingFault::TooMany);
        }
        let texts = match (pattern.is_plain(), mode) {
            (false, Mode::Near | Mode::Wide) => return Err(SpellingFault::WildcardWithMode),
            (_, Mode::Fold) => pattern.texts(),
            (true, Mode::Near) => near(&pattern.texts().concat()),
            (true, Mode::Wide) => wide(&pattern.texts().concat()),
        };
        let texts = without_doubles(texts);
        let elements = texts.len().saturating_mul(each);
        if elements > elements_max { Err(SpellingFault::TooMany) } else { Ok(Self { texts, elements }) }
    }

    /// Folded texts, in the order of the design, no doubles.
    #[must_use]
    pub fn expose_texts(&self) -> &[String] {
        &self.texts
    }

    /// Elements of the request.
    #[must_use]
    pub const fn elements(&self) -> usize {
        self.elements
    }
}

/// Every text that counts as a spelling of one plate, folded: those of [`Mode::Wide`], which holds the other modes. A keeper
/// compares a request's elements with it; empty if `plate` is not a plate.
#[must_use]
pub fn listed(plate: &str) -> BTreeSet<String> {
    Spellings::new(plate, Mode::Wide, 0, ELEMENTS_MAX).map(|all| all.texts.into_iter().collect()).unwrap_or_default()
}

/// A folded pattern: a set of values for each character.
struct Pattern(Vec<Slot>);

enum Slot {
    Exact(char),
    Digit,
    Letter,
    Either,
}

impl Slot {
    fn values(&self) -> String {
        match self {
            Self::Exact(c) => c.to_string(),
            Self::Digit => DIGITS.to_owned(),
            Self::Letter => format!("{LETTER_DIGITS}{LETTERS}"),
            Self::Either => format!("{DIGITS}{LETTERS}"),
        }
    }

    const fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }
}

impl Pattern {
    fn parse(asked: &str) -> Result<Self, SpellingFault> {
        let mut slots = Vec::new();
        for piece in asked.split_inclusive(['#', '@', '?']) {
            let (run, wildcard) = match piece.chars().last() {
                Some('#') => (piece.strip_suffix('#').unwrap_or(piece), Some(Slot::Digit)),
                Some('@') => (piece.strip_suffix('@').unwrap_or(piece), Some(Slot::Letter)),
                Some('?') => (piece.strip_suffix('?').unwrap_or(piece), Some(Slot::Either)),
                _ => (piece, None),
            };
            if let Some(plate) = Plate::parse(run) {
                if plate.is_overlong() {
                    return Err(SpellingFault::NotAPlate);
                }
                slots.extend(plate.fold().chars().map(Slot::Exact));
            }
            slots.extend(wildcard);
        }
        let bytes: usize = slots.iter().map(|slot| if let Slot::Exact(c) = slot { c.len_utf8() } else { 1 }).sum();
        let fits = (1..=PLATE_CHARS_MAX).contains(&slots.len()) && bytes <= PLATE_BYTES_MAX;
        if fits { Ok(Self(slots)) } else { Err(SpellingFault::NotAPlate) }
    }

    fn is_plain(&self) -> bool {
        self.0.iter().all(Slot::is_exact)
    }

    fn count(&self) -> usize {
        self.0.iter().map(|slot| slot.values().chars().count()).fold(1, usize::saturating_mul)
    }

    /// Only after [`Pattern::count`] was bounded.
    fn texts(&self) -> Vec<String> {
        self.0.iter().fold(vec![String::new()], |texts, slot| {
            let values = slot.values();
            texts.iter().flat_map(|text| values.chars().map(move |c| format!("{text}{c}"))).collect()
        })
    }

    fn matches(&self, folded: &str) -> bool {
        let same_length = self.0.len() == folded.chars().count();
        same_length && self.0.iter().zip(folded.chars()).all(|(slot, c)| slot.values().contains(c))
    }
}

fn near(text: &str) -> Vec<String> {
    let left_out = (0..text.chars().count())
        .map(|out| text.chars().enumerate().filter(|(at, _)| *at != out).map(|(_, c)| c).collect::<String>());
    let added = [format!("1{text}"), format!("{text}1")];
    core::iter::once(text.to_owned())
        .chain(left_out)
        .chain(added)
        // No read has such a text.
        .filter(|text| !text.is_empty() && text.chars().count() <= PLATE_CHARS_MAX && text.len() <= PLATE_BYTES_MAX)
        .collect()
}

fn wide(text: &str) -> Vec<String> {
    let mut texts = near(text);
    for (at, own) in text.chars().enumerate() {
        for other in PAIRS.iter().filter_map(|pair| partner(*pair, own)) {
            texts.push(text.chars().enumerate().map(|(i, c)| if i == at { other } else { c }).collect());
        }
    }
    texts
}

fn partner((a, b): (char, char), own: char) -> Option<char> {
    if own == a {
        Some(b)
    } else if own == b {
        Some(a)
    } else {
        None
    }
}

fn without_doubles(texts: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    texts.into_iter().filter(|text| seen.insert(text.clone())).collect()
}

/// Why the text of an opened read matched.
#[derive(Clone, PartialEq, Eq)]
pub enum TextMatch {
    /// The same text.
    Same,
    /// The same after folding; where (from 0), asked, read.
    Folded(Vec<(usize, char, char)>),
    /// The read lacks one character.
    Missing,
    /// The read has one more.
    Added,
    /// One other pair.
    OtherPair(char, char),
    /// The question had wildcards.
    Wildcard,
    /// It cannot be the plate asked for: counted as *others* and dropped.
    Not,
}

impl core::fmt::Debug for TextMatch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.label())
    }
}

impl TextMatch {
    /// Words for it, without any character of a plate.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Same => "same text",
            Self::Folded(_) => "same after folding",
            Self::Missing => "one character missing",
            Self::Added => "one character added",
            Self::OtherPair(..) => "one character confused",
            Self::Wildcard => "wildcard",
            Self::Not => "another plate",
        }
    }

    /// All but the same text is a possible misread, which the officer marks relevant or not.
    #[must_use]
    pub const fn is_possible_misread(&self) -> bool {
        !matches!(self, Self::Same)
    }
}

/// How the state of an opened read relates to the states asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateMatch {
    /// One of those asked, and certain.
    Same,
    /// One of those asked, or none was asked, and not certain.
    Weak,
    /// The engine named none.
    NotRead,
    /// Another; `certain` from a confidence of 800.
    Another {
        /// The engine was certain.
        certain: bool,
    },
}

/// Why a read matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// By its text.
    pub text: TextMatch,
    /// By its state.
    pub state: StateMatch,
}

impl StateMatch {
    /// In words.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Same => "state the same",
            Self::Weak => "state uncertain",
            Self::NotRead => "state not read",
            Self::Another { .. } => "another state, uncertain",
        }
    }
}

impl Why {
    /// It counts as *others* in the Disclosure and is dropped.
    #[must_use]
    pub fn is_other(&self) -> bool {
        self.text == TextMatch::Not || self.state == StateMatch::Another { certain: true }
    }
}

/// Classifies an opened read. `asked` is the plate as the officer typed it, `states` those asked.
#[must_use]
pub fn why_matched(
    asked: &str,
    states: &[Jurisdiction],
    read: &Plate,
    jurisdiction: Option<Jurisdiction>,
    jur_conf: Option<u16>,
    jurisdiction_trusted: bool,
) -> Why {
    let state = match jurisdiction {
        None => StateMatch::NotRead,
        Some(code) if states.contains(&code) && jurisdiction_trusted => StateMatch::Same,
        Some(code) if states.contains(&code) || states.is_empty() => StateMatch::Weak,
        Some(_) => StateMatch::Another { certain: jur_conf.is_some_and(|conf| conf >= JURISDICTION_CONF_MIN) },
    };
    Why { text: text_match(asked, read), state }
}

fn text_match(asked: &str, read: &Plate) -> TextMatch {
    let Ok(pattern) = Pattern::parse(asked) else { return TextMatch::Not };
    if !pattern.is_plain() {
        return if pattern.matches(&read.fold()) { TextMatch::Wildcard } else { TextMatch::Not };
    }
    let Some(asked) = Plate::parse(asked) else { return TextMatch::Not };
    if asked == *read {
        return TextMatch::Same;
    }
    let (folded, read_folded) = (asked.fold(), read.fold());
    if folded == read_folded {
        let pairs = asked.expose_text().chars().zip(read.expose_text().chars()).enumerate();
        return TextMatch::Folded(pairs.filter(|(_, (a, b))| a != b).map(|(at, (a, b))| (at, a, b)).collect());
    }
    let (asked_len, read_len) = (folded.chars().count(), read_folded.chars().count());
    if near(&folded).contains(&read_folded) {
        return if read_len < asked_len { TextMatch::Missing } else { TextMatch::Added };
    }
    let differing: Vec<(char, char)> = folded.chars().zip(read_folded.chars()).filter(|(a, b)| a != b).collect();
    match differing.as_slice() {
        [(a, b)] if asked_len == read_len && PAIRS.iter().any(|pair| partner(*pair, *a) == Some(*b)) => {
            TextMatch::OtherPair(*a, *b)
        }
        _ => TextMatch::Not,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(asked: &str, mode: Mode) -> String {
        Spellings::new(asked, mode, 1, 64).unwrap().expose_texts().join(" ")
    }

    #[test]
    fn the_examples_of_the_page() {
        let near = "A8C1234 8C1234 AC1234 A81234 A8C234 A8C134 A8C124 A8C123 1A8C1234 A8C12341";
        assert_eq!(texts("ABC1234", Mode::Near), near);
        assert_eq!(texts("00DD", Mode::Near), "0000 000 10000 00001");
        assert_eq!(texts("abc-1234", Mode::Fold), "A8C1234");
    }

    #[test]
    fn elements_of_the_page() {
        let count = |asked: &str, mode, states| Spellings::new(asked, mode, states, 64).map(|s| s.elements());
        assert_eq!(count("ABC1234", Mode::Near, 1), Ok(20));
        assert_eq!(count("ABC12?", Mode::Fold, 1), Ok(58));
        assert_eq!(count("ABC##", Mode::Fold, 0), Err(SpellingFault::TooMany));
        assert_eq!(count("ABC1234", Mode::Fold, 51), Ok(52));
        assert_eq!(count("ABC1234", Mode::Fold, 61), Ok(62));
        assert_eq!(
            (count("ABC1234", Mode::Fold, 63), count("ABC1234", Mode::Fold, 64)),
            (Ok(64), Err(SpellingFault::TooMany))
        );
        assert_eq!(count("ABC#", Mode::Near, 1), Err(SpellingFault::WildcardWithMode));
        assert_eq!(count("????????????????", Mode::Fold, 1), Err(SpellingFault::TooMany));
        for bad in ["", "----", "ABCDEFGHIJKLMNOPQ", "ABCDEFGHIJKLMNOP#"] {
            assert_eq!(count(bad, Mode::Fold, 0), Err(SpellingFault::NotAPlate), "{bad}");
        }
        let one = |asked: &str| Spellings::new(asked, Mode::Fold, 0, 64).unwrap().expose_texts().len();
        assert_eq!((one("A#"), one("A@"), one("A?")), (10, 24, 29));
    }

    #[test]
    fn wide_follows_near_and_stays_within_27_for_seven_characters() {
        for asked in ["8868888", "8CE3F86", "ABC1234", "HHHHHHH", "EEE3333", "8F8G8C8"] {
            let wide = Spellings::new(asked, Mode::Wide, 0, 64).unwrap();
            let near = texts(asked, Mode::Near);
            assert!(wide.expose_texts().join(" ").starts_with(&near), "{asked}");
        }
        let tail = texts("ABC1234", Mode::Wide).split_off(texts("ABC1234", Mode::Near).len() + 1);
        assert_eq!(tail, "AHC1234 A9C1234 A3C1234 A4C1234 A8G1234 A8C0234 A8C12E4 A8C1284 A8C1238");
    }

    #[test]
    fn why_a_read_matched() {
        let ct = Jurisdiction::parse("US-CT").unwrap();
        let text = |asked: &str, read: &str| text_match(asked, &Plate::parse(read).unwrap());
        assert_eq!(text("abc 1234", "ABC1234"), TextMatch::Same);
        assert_eq!(text("ABC1234", "A8CI234"), TextMatch::Folded(vec![(1, 'B', '8'), (3, '1', 'I')]));
        assert_eq!(text("ABC1234", "ABC134"), TextMatch::Missing);
        assert_eq!(text("ABC1234", "ABC12341"), TextMatch::Added);
        assert_eq!(text("ABC1234", "AHC1234"), TextMatch::OtherPair('8', 'H'));
        assert_eq!(text("ABC123#", "ABC1234"), TextMatch::Wildcard);
        for (asked, read) in
            [("ABC123#", "ABC123X"), ("ABC1234", "XYZ1234"), ("ABC1234", "ABC12345"), ("ABC1234", "AKC1234")]
        {
            assert_eq!(text(asked, read), TextMatch::Not, "{asked} {read}");
        }
        let plate = Plate::parse("ABC1234").unwrap();
        let state = |code: Option<&str>, conf, trusted| {
            why_matched("ABC1234", &[ct], &plate, code.and_then(Jurisdiction::parse), conf, trusted)
        };
        assert_eq!(state(Some("US-CT"), Some(900), true).state, StateMatch::Same);
        assert_eq!(state(Some("US-CT"), Some(700), false).state, StateMatch::Weak);
        assert_eq!(state(None, None, false).state, StateMatch::NotRead);
        assert!(!state(Some("US-NY"), Some(799), false).is_other());
        assert!(state(Some("US-NY"), Some(800), false).is_other());
        assert!(!format!("{:?}", text("ABC1234", "A8CI234")).contains('8'));
    }
}
