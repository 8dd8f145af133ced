//! A request in plain JSON, for whoever wants to know what the rules say of it before anybody asks (`lockplate policy
//! explain`). It holds the facts that a keeper would have computed, and no plate. The reader is strict: every key is needed, an
//! unknown one is an error, and no value is repeated in an error. The result goes to [`crate::CedarPolicy`].

use core::fmt;
use core::marker::PhantomData;
use std::collections::{BTreeMap, BTreeSet};

use lockplate_core::Timestamp;
use lockplate_core::entry::ListClass;
use lockplate_core::facts::{AgencyFacts, LegalFacts, OfficerFacts, SearchFacts};
use lockplate_core::id::AgencyId;
use lockplate_core::json::parse_time;
use lockplate_core::vocabulary::{
    Action, ArchiveKind, Assurance, Basis, DeclarationName, Level, Offence, Purpose, Role, State,
};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};

use crate::facts::{ListAction, ListFacts};

/// Bytes of a request file; the one in `docs/policy.md` has 2 KB.
pub const QUESTION_BYTES_MAX: usize = 64 * 1024;
/// Agencies, and officers, that one file may describe: more than a request can name.
const DESCRIBED_MAX: usize = 32;

/// What the rules are asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A search, a hold, an owner's access.
    Search(SearchFacts),
    /// An entry of a hot list, or a hit.
    List(ListFacts),
}

/// Why a file is no question. It names keys and places, and no value but a key that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuestionError {
    place: Option<(usize, usize)>,
    what: String,
}

impl Question {
    /// Reads a request file; the format is in `docs/policy.md`.
    ///
    /// # Errors
    /// A text over [`QUESTION_BYTES_MAX`], not JSON, with a key missing, twice or unknown, with a value of the wrong kind, or
    /// naming an agency or officer that it does not describe.
    pub fn from_json(text: &str) -> Result<Self, QuestionError> {
        if text.len() > QUESTION_BYTES_MAX {
            return Err(QuestionError::of("is longer than a request file may be"));
        }
        #[derive(Deserialize)]
        struct Kind {
            action: Word<AnyAction>,
        }
        match strict::<Kind>(text)?.action.0 {
            AnyAction::Search(action) => strict::<SearchFile>(text)?.facts(action).map(Self::Search),
            AnyAction::List(action) => strict::<ListFile>(text)?.facts(action).map(Self::List),
        }
    }
}

impl QuestionError {
    fn of(what: impl Into<String>) -> Self {
        Self { place: None, what: what.into() }
    }
}

impl fmt::Display for QuestionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl core::error::Error for QuestionError {}

/// Reads `T`. The parser's sentences repeat what they do not like, so they are told again without it.
pub(crate) fn strict<T: DeserializeOwned>(text: &str) -> Result<T, QuestionError> {
    serde_json::from_str(text).map_err(|error| {
        let place = (error.line() > 0).then(|| (error.line(), error.column()));
        QuestionError { place, what: told_again(&error) }
    })
}

pub(crate) fn told_again(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    match error.classify() {
        Category::Io | Category::Syntax => "is not JSON".to_owned(),
        Category::Eof => "is not JSON: it ends too early".to_owned(),
        Category::Data => {
            let whole = error.to_string();
            let sentence = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(sentence, _)| sentence);
            let known = ["unknown field `", "missing field `", "duplicate field `", OWN_SENTENCE];
            if let Some(own) = sentence.strip_prefix(OWN_SENTENCE) {
                own.to_owned()
            } else if known.iter().any(|start| sentence.starts_with(start)) {
                sentence.replacen("field", "key", 1)
            } else {
                match sentence.rsplit_once(", expected ") {
                    Some((_, expected)) => format!("the value is not {}", expected.replace("struct ", "a ")),
                    None => "the value is of the wrong kind".to_owned(),
                }
            }
        }
    }
}

/// Marks the sentences of this module among those of the parser.
const OWN_SENTENCE: &str = "question: ";

fn own<E: serde::de::Error>(sentence: impl fmt::Display) -> E {
    E::custom(format_args!("{OWN_SENTENCE}{sentence}"))
}

/// One name of a closed list.
pub(crate) struct Word<T>(pub(crate) T);

/// A closed list of names.
pub(crate) trait Vocabulary: Sized {
    /// The member of that name.
    fn named(name: &str) -> Option<Self>;
    /// What the list is of, for an error.
    const OF: &'static str;
}

macro_rules! vocabularies {
    ($($name:ident $of:literal)*) => {$(
        impl Vocabulary for $name {
            fn named(name: &str) -> Option<Self> {
                Self::from_name(name)
            }
            const OF: &'static str = $of;
        }
    )*};
}

vocabularies! {
    Purpose "purposes" Basis "legal bases" Assurance "assurances" Offence "offence classes" Level "levels" Role "roles"
    ArchiveKind "kinds of archive" DeclarationName "declarations" ListClass "list classes"
}

impl Vocabulary for State {
    fn named(name: &str) -> Option<Self> {
        Self::parse(name)
    }
    const OF: &'static str = "states";
}

/// An action of either kind.
pub(crate) enum AnyAction {
    Search(Action),
    List(ListAction),
}

impl Vocabulary for AnyAction {
    fn named(name: &str) -> Option<Self> {
        let list = [ListAction::ReadHit, ListAction::AddEntry].into_iter().find(|action| action.name() == name);
        Action::from_name(name).map(Self::Search).or(list.map(Self::List))
    }
    const OF: &'static str = "actions";
}

impl<'de, T: Vocabulary> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let name = String::deserialize(input)?;
        T::named(&name)
            .map(Self)
            .ok_or_else(|| own(format_args!("the value is none of the {} of the policy schema", T::OF)))
    }
}

/// `2026-11-22T14:00:00Z`.
pub(crate) struct Time(pub(crate) Timestamp);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        parse_time(&text).map(Self).ok_or_else(|| own("the value is not a time such as 2026-11-22T14:00:00Z"))
    }
}

/// Things by the label that the file gives them; a label twice is an error.
struct Labelled<T>(BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Labelled<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Labelled<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of labels and descriptions")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((label, described)) = pairs.next_entry()? {
                    if all.len() == DESCRIBED_MAX {
                        return Err(own("describes more agencies or officers than a request can name"));
                    }
                    if all.insert(label, described).is_some() {
                        return Err(own("a label is given twice"));
                    }
                }
                Ok(Labelled(all))
            }
        }
        input.deserialize_map(Pairs(PhantomData))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AgencyFile {
    state: Word<State>,
    level: Word<Level>,
    law_enforcement: bool,
    declarations: Vec<Word<DeclarationName>>,
    overdue_papers: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct OfficerFile {
    agency: String,
    active: bool,
    trained_until: Time,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ArchiveFile {
    owner: String,
    kind: Word<ArchiveKind>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LegalFile {
    kind: Word<Basis>,
    judicial: bool,
    assurance: Word<Assurance>,
    valid_from: Time,
    valid_until: Time,
    case_number: bool,
    offence: Word<Offence>,
    facts_stated: bool,
}

/// A search, a hold or an owner's access, as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SearchFile {
    #[serde(rename = "action")]
    _action: Word<AnyAction>,
    agencies: Labelled<AgencyFile>,
    officers: Labelled<OfficerFile>,
    officer: String,
    archive: ArchiveFile,
    on_behalf_of: String,
    now: Time,
    from: Time,
    to: Time,
    window_days: i64,
    age_days: i64,
    purpose: Word<Purpose>,
    legal: LegalFile,
    plates: u32,
    variants: u32,
    element_epochs: u32,
    approvers: Vec<String>,
    approver_roles: Vec<Word<Role>>,
    mfa: bool,
    emergency_declared: bool,
    prior_same_plate_30d: u32,
    requests_last_24h: u32,
    registered_owner: bool,
    co_registrants_consent: bool,
}

/// An entry of a hot list or a hit, as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ListFile {
    #[serde(rename = "action")]
    _action: Word<AnyAction>,
    agencies: Labelled<AgencyFile>,
    officers: Labelled<OfficerFile>,
    officer: String,
    archive: ArchiveFile,
    on_behalf_of: String,
    now: Time,
    purpose: Word<Purpose>,
    legal: LegalFile,
    list_class: Word<ListClass>,
    expires_in_days: i64,
    approvers: Vec<String>,
    approver_roles: Vec<Word<Role>>,
    mfa: bool,
    emergency_declared: bool,
}

impl SearchFile {
    fn facts(self, action: Action) -> Result<SearchFacts, QuestionError> {
        let described = Described { agencies: self.agencies, officers: self.officers };
        Ok(SearchFacts {
            action,
            officer: described.officer(&self.officer)?,
            owner: described.agency(&self.archive.owner)?,
            archive_kind: self.archive.kind.0,
            now: self.now.0,
            from: self.from.0,
            to: self.to.0,
            window_days: self.window_days,
            age_days: self.age_days,
            purpose: self.purpose.0,
            legal: self.legal.facts(),
            plates: self.plates,
            variants: self.variants,
            element_epochs: self.element_epochs,
            on_behalf_of: described.agency(&self.on_behalf_of)?,
            approvers: described.officers(&self.approvers)?,
            approver_roles: words(self.approver_roles),
            mfa: self.mfa,
            emergency_declared: self.emergency_declared,
            prior_same_plate_30d: self.prior_same_plate_30d,
            requests_last_24h: self.requests_last_24h,
            registered_owner: self.registered_owner,
            co_registrants_consent: self.co_registrants_consent,
        })
    }
}

impl ListFile {
    fn facts(self, action: ListAction) -> Result<ListFacts, QuestionError> {
        let described = Described { agencies: self.agencies, officers: self.officers };
        Ok(ListFacts {
            action,
            officer: described.officer(&self.officer)?,
            owner: described.agency(&self.archive.owner)?,
            archive_kind: self.archive.kind.0,
            now: self.now.0,
            purpose: self.purpose.0,
            legal: self.legal.facts(),
            list_class: self.list_class.0,
            expires_in_days: self.expires_in_days,
            on_behalf_of: described.agency(&self.on_behalf_of)?,
            approvers: described.officers(&self.approvers)?,
            approver_roles: words(self.approver_roles),
            mfa: self.mfa,
            emergency_declared: self.emergency_declared,
        })
    }
}

impl LegalFile {
    fn facts(self) -> LegalFacts {
        LegalFacts {
            kind: self.kind.0,
            judicial: self.judicial,
            assurance: self.assurance.0,
            valid_from: self.valid_from.0,
            valid_until: self.valid_until.0,
            case_number: self.case_number,
            offence: self.offence.0,
            facts_stated: self.facts_stated,
        }
    }
}

fn words<T: Ord>(list: Vec<Word<T>>) -> BTreeSet<T> {
    list.into_iter().map(|word| word.0).collect()
}

/// The agencies and officers of one file. Their ids are their places in it: the rules only ask whether two are the same.
struct Described {
    agencies: Labelled<AgencyFile>,
    officers: Labelled<OfficerFile>,
}

impl Described {
    fn agency(&self, label: &str) -> Result<AgencyFacts, QuestionError> {
        let (place, (_, file)) = numbered(&self.agencies, label)
            .ok_or_else(|| QuestionError::of("an agency is named that `agencies` does not describe"))?;
        Ok(AgencyFacts {
            id: AgencyId([place; 16]),
            state: file.state.0,
            level: file.level.0,
            law_enforcement: file.law_enforcement,
            declarations: file.declarations.iter().map(|word| word.0).collect(),
            overdue_papers: file.overdue_papers,
        })
    }

    fn officer(&self, label: &str) -> Result<OfficerFacts, QuestionError> {
        let (place, (_, file)) = numbered(&self.officers, label)
            .ok_or_else(|| QuestionError::of("an officer is named that `officers` does not describe"))?;
        Ok(OfficerFacts {
            key_id: [place; 32],
            agency: self.agency(&file.agency)?,
            trained_until: file.trained_until.0,
            active: file.active,
        })
    }

    fn officers(&self, labels: &[String]) -> Result<Vec<OfficerFacts>, QuestionError> {
        labels.iter().map(|label| self.officer(label)).collect()
    }
}

fn numbered<'a, T>(list: &'a Labelled<T>, label: &str) -> Option<(u8, (&'a String, &'a T))> {
    (1..=u8::MAX).zip(&list.0).find(|(_, (other, _))| *other == label)
}
