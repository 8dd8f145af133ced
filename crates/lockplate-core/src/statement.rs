//! The officer's statement (`authorisation.md` section 4): what he swears to, the same bytes for every keeper and auditor. It
//! names the plate, the case and the facts, so it travels only inside sealed Openings and is never printed. Its digest, bound
//! into `openings_hash`, stops a desk from telling two keepers two stories.

use lockplate_oprf::Secret;

use crate::error::{Error, Result};
use crate::id::AgencyId;
use crate::json::{Field, json_object, parse_canonical};
use crate::limits::ATTACHMENTS_MAX;
use crate::plate::{Jurisdiction, Plate};
use crate::signed::VersionOne;
use crate::vocabulary::Offence;
use crate::wire::th;

/// Bytes of a statement; beside it an Opening has room for 64 elements.
pub const STATEMENT_BYTES_MAX: usize = 32 * 1024;
/// Characters of a usable case number.
pub const CASE_NUMBER_CHARS: core::ops::RangeInclusive<usize> = 3..=40;
/// Characters of a usable statement of facts, least.
pub const FACTS_CHARS_MIN: usize = 20;
/// Different words of a usable statement of facts, least.
pub const FACTS_WORDS_MIN: usize = 3;

/// Texts that stand in a field because something had to: `vendor-audits.md` section 3, from exported search logs.
const PLACEHOLDERS: &[&str] = &["none", "n/a", "na", "-", "--", "x", "xxx", "*", ".", "0", "test", "null"];

json_object! {
    /// The plate named. Canonical text, and the state's code or "" where it is not known.
    #[derive(Clone, PartialEq, Eq)]
    PlateName {
        /// Jurisdiction that issued it.
        state: Option<Jurisdiction>,
        /// Canonical text; read it through [`PlateName::plate`].
        text: String,
    }
    /// The offence.
    #[derive(Clone, PartialEq, Eq)]
    OffenceStated {
        /// Its class.
        class: Offence,
        /// In words.
        text: String,
    }
    /// What the officer states. Every field is private.
    #[derive(Clone, PartialEq, Eq)]
    Statement {
        /// Version.
        v: VersionOne,
        /// The plate.
        plate: PlateName,
        /// The agency for which the request is made; the officer's own where for nobody else.
        on_behalf_of: AgencyId,
        /// Case number.
        case_number: String,
        /// Offence.
        offence: OffenceStated,
        /// The facts that make the search lawful.
        facts: String,
        /// Declared as an emergency.
        emergency: bool,
        /// The reads are to be kept as evidence: keepers decide about a hold, not about a search.
        hold: bool,
        /// Digests of the `.auth` files and disclosures sent along.
        attachments: Vec<[u8; 32]>,
    }
}

impl core::fmt::Debug for PlateName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PlateName(..)")
    }
}

impl core::fmt::Debug for OffenceStated {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OffenceStated(..)")
    }
}

impl core::fmt::Debug for Statement {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Statement(..)")
    }
}

impl PlateName {
    /// The name of a plate.
    #[must_use]
    pub fn new(plate: &Plate, state: Option<Jurisdiction>) -> Self {
        Self { state, text: plate.expose_text().to_owned() }
    }

    /// The plate, if the text is in canonical form.
    ///
    /// # Errors
    /// `Malformed` if it is empty, not canonical, or longer than a plate.
    pub fn plate(&self) -> Result<Plate> {
        Plate::parse(&self.text)
            .filter(|plate| plate.expose_text() == self.text)
            .ok_or(Error::malformed("the plate named is not in canonical form"))
    }
}

impl Statement {
    /// True if the case number has 3 to 40 characters, one of them a digit (`law.md` section 4).
    #[must_use]
    pub fn has_case_number(&self) -> bool {
        let number = self.case_number.trim();
        CASE_NUMBER_CHARS.contains(&number.chars().count())
            && number.chars().any(|c| c.is_ascii_digit())
            && !is_placeholder(number)
    }

    /// True if the facts have at least 20 characters and 3 different words and are no placeholder (`law.md` section 4).
    #[must_use]
    pub fn has_facts(&self) -> bool {
        let facts = self.facts.trim().to_lowercase();
        let words: std::collections::BTreeSet<&str> = facts
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| word.chars().any(char::is_alphabetic) && !is_placeholder(word))
            .collect();
        facts.chars().count() >= FACTS_CHARS_MIN && words.len() >= FACTS_WORDS_MIN && !is_placeholder(&facts)
    }

    fn check(&self) -> Result<()> {
        self.plate.plate()?;
        if self.attachments.len() > ATTACHMENTS_MAX {
            return Err(Error::malformed("a statement names too many attachments"));
        }
        Ok(())
    }
}

/// True for a text that says nothing: on the closed list, or without a letter or digit.
fn is_placeholder(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    PLACEHOLDERS.contains(&text.as_str()) || !text.chars().any(char::is_alphanumeric)
}

/// A statement with its exact bytes, which are what is hashed and sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct StatementText {
    statement: Statement,
    bytes: Vec<u8>,
}

impl core::fmt::Debug for StatementText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("StatementText(..)")
    }
}

impl Drop for StatementText {
    fn drop(&mut self) {
        use zeroize::Zeroize as _;
        self.bytes.zeroize();
        self.statement.plate.text.zeroize();
        self.statement.facts.zeroize();
        self.statement.case_number.zeroize();
    }
}

impl StatementText {
    /// Writes a statement.
    ///
    /// # Errors
    /// `Malformed` or `Invalid` if the plate is not canonical, a text is outside the alphabet of canonical JSON (a line break,
    /// for one), there are over 16 attachments, or it is over 32 KiB.
    pub fn new(statement: Statement) -> Result<Self> {
        statement.check()?;
        let bytes = statement.to_json().to_canonical_bytes()?;
        if bytes.len() > STATEMENT_BYTES_MAX {
            return Err(Error::invalid("the statement is too long"));
        }
        Ok(Self { statement, bytes })
    }

    /// Reads the exact bytes of a statement.
    ///
    /// # Errors
    /// `Malformed` if they are not canonical JSON of exactly a statement's fields, or over 32 KiB.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > STATEMENT_BYTES_MAX {
            return Err(Error::malformed("the statement is too long"));
        }
        let statement = Statement::from_json(parse_canonical(bytes)?)?;
        statement.check()?;
        Ok(Self { statement, bytes: bytes.to_vec() })
    }

    /// The statement.
    #[must_use]
    pub const fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The exact bytes: for the Opening.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// `statement_digest` = TH("statement", s_r, statement). The secret keeps guesses at the plate from being tested on it.
    #[must_use]
    pub fn digest(&self, salts: &Secret<32>) -> [u8; 32] {
        th("statement", &[salts.expose_secret(), &self.bytes])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;
    use proptest::prelude::*;

    fn statement() -> Statement {
        Statement {
            v: VersionOne,
            plate: PlateName::new(&Plate::parse("AB12345").unwrap(), Jurisdiction::parse("US-CT")),
            on_behalf_of: AgencyId([7; 16]),
            case_number: "26-1234".to_owned(),
            offence: OffenceStated { class: Offence::Felony, text: "burglary".to_owned() },
            facts: "A grey van left the yard after the break-in.".to_owned(),
            emergency: false,
            hold: false,
            attachments: vec![[3; 32]],
        }
    }

    #[test]
    fn a_statement_comes_back_and_its_digest_binds_bytes_and_secret() {
        let text = StatementText::new(statement()).unwrap();
        let again = StatementText::from_bytes(text.expose_bytes()).unwrap();
        assert_eq!(again, text);
        assert_eq!(again.statement(), &statement());
        let salts = Secret::new([1; 32]);
        assert_eq!(text.digest(&salts), th("statement", &[&[1; 32], text.expose_bytes()]));
        assert_ne!(text.digest(&salts), text.digest(&Secret::new([2; 32])));
        let other = StatementText::new(Statement { emergency: true, ..statement() }).unwrap();
        assert_ne!(text.digest(&salts), other.digest(&salts));
        let hold = StatementText::new(Statement { hold: true, ..statement() }).unwrap();
        assert_ne!(text.digest(&salts), hold.digest(&salts), "nobody can turn a search into a hold");
    }

    #[test]
    fn nothing_private_is_printed() {
        let shown = format!("{:?} {:?} {:?}", statement(), StatementText::new(statement()).unwrap(), statement().plate);
        for private in ["AB12345", "26-1234", "grey", "burglary", "US-CT"] {
            assert!(!shown.contains(private));
        }
    }

    #[test]
    fn case_numbers() {
        let usable = |text: &str| Statement { case_number: text.to_owned(), ..statement() }.has_case_number();
        for good in ["26-1234", "A-1", &"7".repeat(40)] {
            assert!(usable(good), "{good}");
        }
        for bad in ["", "12", " 12 ", "unknown", "n/a", "0", "---", &"7".repeat(41), "x  "] {
            assert!(!usable(bad), "{bad}");
        }
    }

    #[test]
    fn facts() {
        let usable = |text: &str| Statement { facts: text.to_owned(), ..statement() }.has_facts();
        assert!(usable("seen by two witnesses"));
        for bad in [
            "",
            "seen by two",
            "investigation investigation investigation",
            "test test test test test test",
            "xxx n/a none -- xxx n/a none --",
            "--------------------------",
            "11111 22222 33333 44444 55555",
        ] {
            assert!(!usable(bad), "{bad}");
        }
    }

    #[test]
    fn bad_statements_are_refused() {
        let with = |change: fn(&mut Statement)| {
            let mut changed = statement();
            change(&mut changed);
            StatementText::new(changed)
        };
        assert!(with(|s| s.plate.text = "ab 123".to_owned()).is_err());
        assert!(with(|s| s.plate.text = String::new()).is_err());
        assert!(with(|s| s.facts = "two\nlines".to_owned()).is_err());
        assert!(with(|s| s.facts = "x".repeat(STATEMENT_BYTES_MAX)).is_err());
        assert!(with(|s| s.attachments = vec![[0; 32]; ATTACHMENTS_MAX]).is_ok());
        assert!(with(|s| s.attachments = vec![[0; 32]; ATTACHMENTS_MAX + 1]).is_err());
        let Json::Object(mut fields) = statement().to_json() else { panic!("an object") };
        fields.insert("extra".to_owned(), Json::Bool(true));
        assert!(StatementText::from_bytes(&Json::Object(fields.clone()).to_canonical_bytes().unwrap()).is_err());
        fields.remove("extra");
        assert!(StatementText::from_bytes(&Json::Object(fields.clone()).to_canonical_bytes().unwrap()).is_ok());
        fields.remove("hold");
        assert!(StatementText::from_bytes(&Json::Object(fields).to_canonical_bytes().unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn parsing_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..100), at in 0_usize..200, flip in any::<u8>()) {
            drop(StatementText::from_bytes(&bytes));
            let mut good = StatementText::new(statement()).unwrap().expose_bytes().to_vec();
            if let Some(byte) = good.get_mut(at) {
                *byte ^= flip;
            }
            if let Ok(text) = StatementText::from_bytes(&good) {
                prop_assert_eq!(text.expose_bytes(), good);
            }
        }
    }
}
