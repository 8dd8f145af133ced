//! Loading a list (`hotlists.md` section 4, steps 3 to 6): which entries a load refuses, which classes the policy keeps out, how entries
//! are merged, and whether the result may be used. It reads no file and decides no law: lines come from a parser, answers from the
//! policy. The result is a set for the recorders and the numbers of the leaf, which is logged before the set is used.

use std::collections::{BTreeMap, BTreeSet};

use super::limits::{
    AMBER_LIFE_SECONDS, AMBER_LIVE_MAX, BAD_LINES_MIN, BAD_LINES_ONE_IN, CASE_PLATES_MAX, CUSTOM_LIFE_SECONDS,
    CUSTOM_LIVE_MAX, CUSTOM_NEW_A_DAY_MAX, CUSTOM_UPLOAD_REFUSED, ENTRY_ID_BYTES_MAX, ENTRY_PLATE_CHARS_MIN,
    ENTRY_TEXT_BYTES_MAX, EXTRACT_ENTRIES_MAX, FULL_SECONDS_MAX, GROWTH_ENTRIES_MAX, GROWTH_PERCENT_MAX, HISTORY_LOADS,
    INCREMENT_LINES_MAX, LOAD_LINES_MAX, SHRINK_PERCENT_ALARM,
};
use super::matching::{Marks, may_be_near};
use super::set::{CheckedEntry, EntryView, ListSet, ListSettings, Merged, SetBuilder, SetKind, SetStamp};
use super::steward::LoadOrder;
use super::{ListEntry, Variants, counted_case};
use crate::Timestamp;
use crate::charter::Charter;
use crate::directory::{CLOCK_SKEW_SECONDS_MAX, VerifiedDirectory};
use crate::disclosure::SD_OTHER;
use crate::entry::{HotlistLeaf, ListClass, ListCounts, ListKind, SaltedDigests};
use crate::person::{ByPerson, PersonKey};
use crate::plate::TEST_PLATE;
use crate::sign::VerifyKey;
use crate::wire::th;

/// Texts that stand for "no plate" in lists and are vanity plates as well.
const PLACEHOLDERS: [&str; 6] = ["NONE", "UNKNOWN", "UNK", "NOPLATE", "NULL", "TEMP"];

/// What the policy says about a class or an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// It may be loaded.
    pub allowed: bool,
    /// Digest of the decision, for the leaf.
    pub digest: [u8; 32],
}

/// The seam to the policy: one `addHotlistEntry` decision a class, and one a custom entry. An error while deciding is a refusal.
pub trait ListPolicy {
    /// On the entries of a class of this list.
    fn rule_on_class(&self, class: ListClass) -> Ruling;
    /// On one custom entry, its life already cut.
    fn rule_on_entry(&self, entry: &ListEntry) -> Ruling;
}

/// Why one entry is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// A wildcard in the plate: the parser saw it, canonical text has none.
    Wildcard,
    /// No expiry: the parser saw it, an entry has one.
    NoExpiry,
    /// A plate under 2 or over 16 characters.
    PlateLength,
    /// A text that stands for "no plate", or one character repeated, and nobody signed it as a plate.
    Placeholder,
    /// Expired when it is loaded, its life cut.
    Expired,
    /// Custom without a case.
    NoCase,
    /// A class that does not belong into a list of this kind.
    OtherKind,
    /// An id or a text over its bound, or no id.
    TextLength,
    /// The policy refuses this entry.
    NotAllowed,
    /// A state that nobody knows: read as "unknown" it would meet the plates of all states. The parser saw it.
    UnknownState,
    /// Too many entries for one plate text.
    OneText,
}

impl Refusal {
    /// In words.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Wildcard => "wildcard in the plate",
            Self::NoExpiry => "no expiry",
            Self::PlateLength => "plate too short or too long",
            Self::Placeholder => "not a plate unless signed",
            Self::Expired => "expired",
            Self::NoCase => "no case number",
            Self::OtherKind => "class of another kind of list",
            Self::TextLength => "a text is too long",
            Self::NotAllowed => "not allowed by the policy",
            Self::UnknownState => "a state that is not known",
            Self::OneText => "too many entries for one plate",
        }
    }
}

/// An entry whose form and life were checked; the policy was not asked yet. Only [`check_form`] makes one.
#[derive(Clone, PartialEq, Eq)]
pub struct FormChecked {
    entry: ListEntry,
    /// Its expiry was beyond the life of its class.
    pub cut: bool,
    /// It asked for misreadings without a supervisor's signature and is matched without.
    pub near_unsigned: bool,
}

impl core::fmt::Debug for FormChecked {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("FormChecked(..)")
    }
}

impl FormChecked {
    /// The entry, its life cut.
    #[must_use]
    pub const fn entry(&self) -> &ListEntry {
        &self.entry
    }

    /// The entry, if the policy lets it in.
    ///
    /// # Errors
    /// [`Refusal::NotAllowed`] if it does not.
    pub fn ruled(self, ruling: &Ruling) -> Result<CheckedEntry, Refusal> {
        if ruling.allowed && self.entry.class != ListClass::Unknown {
            Ok(CheckedEntry(self.entry))
        } else {
            Err(Refusal::NotAllowed)
        }
    }
}

/// Checks one entry for a list of `kind`. `signed`: a supervisor signed this very entry, plate text and misreadings.
///
/// # Errors
/// A [`Refusal`].
pub fn check_form(mut entry: ListEntry, kind: SetKind, signed: bool, now: Timestamp) -> Result<FormChecked, Refusal> {
    if !belongs(entry.class, kind) {
        return Err(Refusal::OtherKind);
    }
    let texts = [&entry.source_file, &entry.case, &entry.agency, &entry.note];
    let id = entry.entry_id.len();
    if id == 0 || id > ENTRY_ID_BYTES_MAX || texts.iter().any(|text| text.len() > ENTRY_TEXT_BYTES_MAX) {
        return Err(Refusal::TextLength);
    }
    let text = entry.plate.expose_text();
    if entry.plate.is_overlong() || text.chars().count() < ENTRY_PLATE_CHARS_MIN {
        return Err(Refusal::PlateLength);
    }
    if text == TEST_PLATE || (!signed && is_placeholder(text)) {
        return Err(Refusal::Placeholder);
    }
    if entry.class == ListClass::Custom && entry.case.trim().is_empty() {
        return Err(Refusal::NoCase);
    }
    let end = life_seconds(entry.class).map(|life| entry.entered_at.min(now).0.saturating_add(life));
    let cut = end.is_some_and(|end| entry.expires_at.0 > end);
    if let Some(end) = end {
        entry.expires_at = entry.expires_at.min(Timestamp(end));
    }
    if entry.expires_at <= now {
        return Err(Refusal::Expired);
    }
    // Custom entries are loaded with a supervisor's signature or not at all (`base.list-custom`).
    let may_be_near = signed || may_be_near(entry.class) || entry.class == ListClass::Custom;
    let near_unsigned = entry.variants == Variants::Near && !may_be_near;
    if near_unsigned {
        entry.variants = Variants::None;
    }
    Ok(FormChecked { entry, cut, near_unsigned })
}

fn is_placeholder(text: &str) -> bool {
    let mut characters = text.chars();
    let first = characters.next();
    PLACEHOLDERS.contains(&text) || characters.all(|c| Some(c) == first)
}

/// A custom entry in an extract would escape its caps and the decision of its own; another class in a custom list would be an extract
/// without a source.
const fn belongs(class: ListClass, kind: SetKind) -> bool {
    match class {
        ListClass::Custom => matches!(kind, SetKind::Custom),
        ListClass::AmberAlert => matches!(kind, SetKind::Amber),
        ListClass::StolenVehicle
        | ListClass::StolenPlate
        | ListClass::WantedPerson
        | ListClass::MissingPerson
        | ListClass::ProtectionOrder
        | ListClass::ExtremeRiskOrder
        | ListClass::Gang
        | ListClass::TerroristScreening
        | ListClass::SupervisedRelease
        | ListClass::SexOffender
        | ListClass::ImmigrationViolator
        | ListClass::ProtectiveInterest
        | ListClass::ViolentPerson
        | ListClass::Unknown => matches!(kind, SetKind::Extract),
    }
}

/// The life of an entry from when it was entered; none for what lives as long as it stands in the current extract, whose own age ends
/// the matching.
#[must_use]
pub const fn life_seconds(class: ListClass) -> Option<u64> {
    match class {
        ListClass::AmberAlert => Some(AMBER_LIFE_SECONDS),
        ListClass::Custom => Some(CUSTOM_LIFE_SECONDS),
        ListClass::StolenVehicle
        | ListClass::StolenPlate
        | ListClass::WantedPerson
        | ListClass::MissingPerson
        | ListClass::ProtectionOrder
        | ListClass::ExtremeRiskOrder
        | ListClass::Gang
        | ListClass::TerroristScreening
        | ListClass::SupervisedRelease
        | ListClass::SexOffender
        | ListClass::ImmigrationViolator
        | ListClass::ProtectiveInterest
        | ListClass::ViolentPerson
        | ListClass::Unknown => None,
    }
}

/// How a file relates to the set before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadMode {
    /// All entries.
    Full,
    /// What changed since the load `base`.
    Incremental {
        /// Sequence of the load before.
        base: u64,
    },
}

/// What a file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadHeader {
    /// The list.
    pub list: [u8; 16],
    /// Full or incremental.
    pub mode: LoadMode,
    /// Number of the load.
    pub sequence: u64,
    /// When its source made it.
    pub produced_at: Timestamp,
    /// Lines that follow; none where the source's format does not say.
    pub entries: Option<u64>,
}

/// An earlier load of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastLoad {
    /// Entries after it.
    pub entries: u64,
    /// Classes that had any.
    pub classes: BTreeSet<ListClass>,
}

/// What the recorder knows beside the file.
#[derive(Clone, Debug)]
pub struct LoadRules<'a> {
    /// How the list is matched.
    pub settings: ListSettings,
    /// Key of the officer who signed these settings; a list without one loads nothing.
    pub steward: Option<[u8; 32]>,
    /// Entries of an extract that the charter allows.
    pub entries_max: u64,
    /// Ids of entries that a supervisor signed one by one.
    pub signed: &'a BTreeSet<String>,
    /// Of a custom list: the agency's other custom lists, those whose leaf is not confirmed yet among them. Caps are the agency's.
    pub elsewhere: &'a [&'a ListSet],
    /// Custom entries that the officer has added today.
    pub new_today: u64,
    /// A person brings it, and no feed.
    pub by_hand: bool,
    /// Loads before, the latest last.
    pub history: &'a [PastLoad],
    /// Entries by class that the last leaf speaks of, which is what the counts start from; empty where nothing is logged.
    pub lost: &'a BTreeMap<ListClass, u64>,
    /// Random, this process's own.
    pub index_key: u64,
}

/// Why a whole load is refused; the old set stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadRefusal {
    /// The file names another list.
    OtherList,
    /// Nobody signed the list's settings.
    NoSteward,
    /// The sequence does not follow: a complete file is needed.
    Gap,
    /// The last complete file is too old: another is needed.
    NeedsFull,
    /// Made before the load before, or in the future.
    ProducedAt,
    /// Fewer or more lines than the file says.
    LineCount,
    /// A complete extract without a line.
    Empty,
    /// A complete file of which so much is left out that nothing would be left of the list.
    Emptied,
    /// Of a custom list: a complete file, or one by hand, of which nothing is taken. Nothing would change.
    NothingTaken,
    /// Too many bad lines.
    BadLines,
    /// More entries, or more lines, than the list may have.
    TooMany,
    /// So many plates in one upload are no case.
    CustomUpload,
    /// More live custom entries than an agency may have.
    CustomLive,
    /// More new custom entries than an officer may add in a day.
    CustomDay,
}

impl LoadRefusal {
    /// In words.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::OtherList => "the file is another list's",
            Self::NoSteward => "the list has no steward",
            Self::Gap => "the sequence does not follow; send a full file",
            Self::NeedsFull => "the last full file is too old; send a full file",
            Self::ProducedAt => "the file was made before the last one, or in the future",
            Self::LineCount => "the file has another number of lines than it says",
            Self::Empty => "the file is empty",
            Self::Emptied => {
                "nothing of the file may be matched, and the list would be empty; to end a list, retire it"
            }
            Self::NothingTaken => {
                "no entry of the file is accepted, and none that is listed is taken off: nothing changes"
            }
            Self::BadLines => "too many lines cannot be read",
            Self::TooMany => "the list is larger than allowed",
            Self::CustomUpload => "too many plates in one upload",
            Self::CustomLive => "too many live custom entries",
            Self::CustomDay => "too many new custom entries in a day",
        }
    }
}

impl core::fmt::Display for LoadRefusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.label())
    }
}

impl core::error::Error for LoadRefusal {}

/// Why a load waits for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HoldReason {
    /// Larger than usual: two people.
    Growth,
    /// A class that no load before had: two people.
    NewClass,
    /// New AMBER alerts that come from no feed: two people.
    AmberByHand,
    /// More plates of one case, in all custom lists of the agency, than without a human keeper.
    CasePlates,
}

/// What somebody must be told of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadAlarm {
    /// Much smaller than the set before; applied all the same.
    Shrunk,
}

/// A load that may be used once its leaf is logged.
#[derive(Debug)]
pub struct Loaded {
    set: ListSet,
    kind: ListKind,
    counts: Vec<ListCounts>,
    decisions: Vec<[u8; 32]>,
    refusals: BTreeMap<Refusal, u64>,
    alarms: BTreeSet<LoadAlarm>,
    cut: u64,
    near_unsigned: u64,
    removals_unknown: u64,
    /// Ids that an incremental file confirmed; a complete one confirms all of the set.
    named: Option<BTreeSet<String>>,
}

/// A load that was read to its end and comes to nothing. The old set stays.
#[derive(Debug)]
pub struct VoidLoad {
    loaded: Loaded,
    why: LoadRefusal,
}

/// A load that two people, or a human keeper, must release. Until then the old set stays.
#[derive(Debug)]
pub struct HeldLoad {
    loaded: Loaded,
    reasons: BTreeSet<HoldReason>,
}

impl HoldReason {
    /// In words.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Growth => "it is larger than usual: two people must sign for it",
            Self::NewClass => "it has a class that no load before had: two people must sign for it",
            Self::AmberByHand => "somebody adds AMBER alerts that no feed brought: two people must sign for it",
            Self::CasePlates => "more than five plates of one case: a human keeper must sign for it as well",
        }
    }
}

impl LoadAlarm {
    /// In words.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Shrunk => "it is much smaller than the load before",
        }
    }
}

/// What becomes of a load that is not refused.
#[derive(Debug)]
pub enum LoadOutcome {
    /// To be logged and used.
    Ready(Box<Loaded>),
    /// To be released first.
    Held(Box<HeldLoad>),
    /// Refused for what it came to.
    Void(Box<VoidLoad>),
}

impl VoidLoad {
    /// Why it is refused.
    #[must_use]
    pub const fn why(&self) -> LoadRefusal {
        self.why
    }

    /// The load as it would be, to be looked at.
    #[must_use]
    pub const fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// The load, because it is in the log from before: what is decided otherwise today goes all the same.
    #[must_use]
    pub fn into_loaded(self: Box<Self>) -> Loaded {
        self.loaded
    }
}

/// Two people of one agency, as its directory knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwoPeople(());

impl TwoPeople {
    /// None if the keys are one person's, or one is not in the directory. Their signatures are the caller's to verify.
    #[must_use]
    pub fn new(directory: &VerifiedDirectory, one: &[u8; 32], other: &[u8; 32]) -> Option<Self> {
        directory.are_two_persons(one, other).then_some(Self(()))
    }
}

/// A person who decides for a keeper of the charter, and signed for this load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanKeeper(());

impl HumanKeeper {
    /// True if a key is one of the people who decide for keepers: those of other legal entities than the owner's, whose case it is.
    #[must_use]
    pub fn is_one(charter: &Charter, key: &[u8; 32]) -> bool {
        let mut others = charter.keepers.iter().filter(|keeper| keeper.legal_entity != charter.owner.name);
        others.any(|keeper| keeper.human_keys.contains(key))
    }

    /// None unless such a person signed. With a key file: the public half of a passkey is with its keeper alone.
    #[must_use]
    pub fn new(charter: &Charter, signed: &ByPerson<LoadOrder>) -> Option<Self> {
        let key = *signed.claimed_key();
        let is_signed = Self::is_one(charter, &key) && signed.verify(&PersonKey::File(VerifyKey(key))).is_ok();
        is_signed.then_some(Self(()))
    }
}

impl HeldLoad {
    /// What it waits for.
    #[must_use]
    pub const fn reasons(&self) -> &BTreeSet<HoldReason> {
        &self.reasons
    }

    /// The load, to be looked at or because it was released and logged before.
    #[must_use]
    pub fn into_loaded(self: Box<Self>) -> Loaded {
        self.loaded
    }

    /// The load as it would be, to be looked at.
    #[must_use]
    pub const fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Releases it.
    ///
    /// # Errors
    /// The held load itself if what it waits for is not there.
    pub fn release(self, people: Option<TwoPeople>, keeper: Option<HumanKeeper>) -> Result<Loaded, Box<Self>> {
        let missing = self.reasons.iter().any(|reason| match reason {
            HoldReason::Growth | HoldReason::NewClass | HoldReason::AmberByHand => people.is_none(),
            HoldReason::CasePlates => keeper.is_none(),
        });
        if missing { Err(Box::new(self)) } else { Ok(self.loaded) }
    }
}

impl Loaded {
    /// The set.
    #[must_use]
    pub const fn set(&self) -> &ListSet {
        &self.set
    }

    /// The set, to be used now that the leaf is logged.
    #[must_use]
    pub fn into_set(self) -> ListSet {
        self.set
    }

    /// Counts a class, by name.
    #[must_use]
    pub fn counts(&self) -> &[ListCounts] {
        &self.counts
    }

    /// Refused entries by reason.
    #[must_use]
    pub const fn refusals(&self) -> &BTreeMap<Refusal, u64> {
        &self.refusals
    }

    /// What somebody must be told.
    #[must_use]
    pub const fn alarms(&self) -> &BTreeSet<LoadAlarm> {
        &self.alarms
    }

    /// Entries whose expiry was cut to the life of their class.
    #[must_use]
    pub const fn cut(&self) -> u64 {
        self.cut
    }

    /// Entries that are matched without misreadings, because nobody signed for them.
    #[must_use]
    pub const fn near_unsigned(&self) -> u64 {
        self.near_unsigned
    }

    /// Removals of ids that the set before did not have.
    #[must_use]
    pub const fn removals_unknown(&self) -> u64 {
        self.removals_unknown
    }

    /// What the next load compares itself with.
    #[must_use]
    pub fn to_past(&self) -> PastLoad {
        PastLoad { entries: self.set.entries(), classes: self.set.classes().keys().copied().collect() }
    }

    /// The same load as one that the log speaks of: a file whose source does not say when it made it is as old as when it first came.
    pub const fn as_logged(&mut self, sequence: u64, at: Timestamp) {
        self.set.restamp(SetStamp { sequence, produced_at: at, full_at: at });
    }

    /// The same bytes as of the load before: whoever sends them again has not looked at one entry anew.
    pub fn confirms_nothing(&mut self) {
        self.named = Some(BTreeSet::new());
    }

    /// Ends the suspension of entries that this load names, if its source made it after they were suspended, and forgets what is known
    /// of entries that are gone.
    pub fn confirm(&self, marks: &mut Marks) {
        if marks.is_empty() {
            return;
        }
        let produced_at = self.set.stamp().produced_at;
        let mut here = BTreeSet::new();
        for view in self.set.views().filter(|view| marks.names(view.entry_id)) {
            here.insert(view.entry_id.to_owned());
        }
        marks.keep(&here);
        for id in here.iter().filter(|id| self.named.as_ref().is_none_or(|named| named.contains(*id))) {
            marks.confirmed(id, produced_at);
        }
    }

    /// The leaf. Its times have no seconds: which load a request to the source belongs to is not to be seen.
    #[must_use]
    pub fn leaf(&self, salt: &[u8; 16], sd: SaltedDigests<SD_OTHER>) -> HotlistLeaf {
        let stamp = self.set.stamp();
        HotlistLeaf {
            list: self.set.settings().list,
            kind: self.kind,
            sequence: stamp.sequence,
            produced_at: stamp.produced_at.to_minute(),
            classes: self.counts.clone(),
            set: self.set.salted_digest(salt),
            decisions: self.decisions.clone(),
            sd,
        }
    }
}

/// What the leaf of a list that ends says of its classes: every entry goes.
#[must_use]
pub fn retired(before: &BTreeMap<ListClass, u64>) -> Vec<ListCounts> {
    let gone = before.iter().map(|(class, n)| ListCounts {
        class: *class,
        accepted: 0,
        added: 0,
        removed: *n,
        dropped: 0,
        refused: 0,
    });
    by_name(gone.collect())
}

fn by_name(mut counts: Vec<ListCounts>) -> Vec<ListCounts> {
    counts.sort_unstable_by_key(|one| one.class.name());
    counts
}

/// A load while its lines come in. Lines are not kept: accepted entries are packed at once.
pub struct Loading<'a, P: ListPolicy> {
    rules: LoadRules<'a>,
    header: LoadHeader,
    before: Option<&'a ListSet>,
    policy: &'a P,
    now: Timestamp,
    full_at: Timestamp,
    builder: SetBuilder,
    fault: Option<LoadRefusal>,
    lines: u64,
    bad: u64,
    /// Lines that were taken: entries that were accepted, listed ones that were taken off.
    taken: u64,
    /// Listed entries of which an AMBER list says that they are over.
    over_ids: BTreeSet<String>,
    rulings: BTreeMap<ListClass, Ruling>,
    custom_digests: Vec<[u8; 32]>,
    dropped: BTreeMap<ListClass, u64>,
    refused: BTreeMap<(ListClass, Refusal), u64>,
    removed_ids: BTreeSet<String>,
    added_ids: BTreeSet<String>,
    cut: u64,
    near_unsigned: u64,
}

impl<P: ListPolicy> core::fmt::Debug for Loading<'_, P> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Loading({} lines)", self.lines)
    }
}

fn count<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K) {
    let n = counts.entry(key).or_default();
    *n = n.saturating_add(1);
}

impl<'a, P: ListPolicy> Loading<'a, P> {
    /// Begins: the file is this list's, and follows the set before.
    ///
    /// # Errors
    /// A [`LoadRefusal`].
    pub fn begin(
        rules: LoadRules<'a>,
        header: LoadHeader,
        before: Option<&'a ListSet>,
        policy: &'a P,
        now: Timestamp,
    ) -> Result<Self, LoadRefusal> {
        if header.list != rules.settings.list || before.is_some_and(|set| set.settings().list != header.list) {
            return Err(LoadRefusal::OtherList);
        }
        if rules.steward.is_none() {
            return Err(LoadRefusal::NoSteward);
        }
        if header.entries.is_some_and(|lines| lines > LOAD_LINES_MAX) {
            return Err(LoadRefusal::TooMany);
        }
        let stamp = before.map(|set| *set.stamp());
        let made = header.produced_at;
        let in_future = made.0 > now.0.saturating_add(CLOCK_SKEW_SECONDS_MAX);
        if in_future || stamp.is_some_and(|stamp| made < stamp.produced_at) {
            return Err(LoadRefusal::ProducedAt);
        }
        // A clock that is a little ahead must not make a leaf that is of its own future.
        let header = LoadHeader { produced_at: made.min(now), ..header };
        let full_at = match (header.mode, stamp) {
            (LoadMode::Full, Some(stamp)) if header.sequence <= stamp.sequence => return Err(LoadRefusal::Gap),
            (LoadMode::Full, Some(_) | None) => header.produced_at,
            (LoadMode::Incremental { .. }, None) => return Err(LoadRefusal::Gap),
            (LoadMode::Incremental { base }, Some(stamp)) => {
                if base != stamp.sequence || base.checked_add(1) != Some(header.sequence) {
                    return Err(LoadRefusal::Gap);
                }
                // Nobody makes a custom list anew every day: its entries have lives of their own.
                let is_extract = rules.settings.kind == SetKind::Extract;
                if is_extract && now.0.saturating_sub(stamp.full_at.0) > FULL_SECONDS_MAX {
                    return Err(LoadRefusal::NeedsFull);
                }
                stamp.full_at
            }
        };
        let old = before.map_or(0, ListSet::entries);
        let expected = header.entries.unwrap_or(0).saturating_add(if header.mode == LoadMode::Full { 0 } else { old });
        let expected = usize::try_from(expected.min(entries_max(&rules))).unwrap_or(0);
        let builder = SetBuilder::new(rules.settings, rules.index_key, expected);
        Ok(Self {
            rules,
            header,
            before,
            policy,
            now,
            full_at,
            builder,
            fault: None,
            lines: 0,
            bad: 0,
            taken: 0,
            over_ids: BTreeSet::new(),
            rulings: BTreeMap::new(),
            custom_digests: Vec::new(),
            dropped: BTreeMap::new(),
            refused: BTreeMap::new(),
            removed_ids: BTreeSet::new(),
            added_ids: BTreeSet::new(),
            cut: 0,
            near_unsigned: 0,
        })
    }

    /// A line that adds an entry.
    pub fn add(&mut self, entry: ListEntry) {
        self.line();
        if self.header.mode != LoadMode::Full {
            // Whatever becomes of the line, what the set before says of the entry is out of date.
            self.added_ids.insert(entry.entry_id.clone());
            self.bound_increment();
        }
        let class = entry.class;
        let ruling = self.rule_on_class(class);
        if !ruling.allowed {
            count(&mut self.dropped, class);
            return;
        }
        if entry.expires_at <= self.now {
            self.note_over(entry.entry_id.clone());
        }
        if let Err(refusal) = self.accept(entry, &ruling) {
            count(&mut self.refused, (class, refusal));
        }
    }

    /// A line that removes an entry. Removals are of the set before; in a complete file the line is bad.
    pub fn remove(&mut self, entry_id: &str) {
        if self.header.mode == LoadMode::Full {
            self.bad_line();
            return;
        }
        self.line();
        self.removed_ids.insert(entry_id.to_owned());
        self.bound_increment();
    }

    /// A line that the parser refused for a reason of section 4, step 3.
    pub fn refuse(&mut self, class: ListClass, refusal: Refusal) {
        self.line();
        let known = self.rule_on_class(class).allowed;
        if known { count(&mut self.refused, (class, refusal)) } else { count(&mut self.dropped, class) }
    }

    /// A line of an entry whose time is over.
    pub fn over(&mut self, class: ListClass, entry_id: String) {
        self.note_over(entry_id);
        self.refuse(class, Refusal::Expired);
    }

    fn note_over(&mut self, entry_id: String) {
        // Some tens of entries at most; only those that are listed count.
        let is_listed = |before: &ListSet| before.views().any(|view| view.entry_id == entry_id);
        if self.rules.settings.kind == SetKind::Amber && self.before.is_some_and(is_listed) {
            self.over_ids.insert(entry_id);
        }
    }

    /// A line that nobody can read.
    pub fn bad_line(&mut self) {
        self.line();
        self.bad = self.bad.saturating_add(1);
    }

    /// Ends the load.
    ///
    /// # Errors
    /// A [`LoadRefusal`]; the old set stays.
    pub fn finish(mut self) -> Result<LoadOutcome, LoadRefusal> {
        self.check_lines()?;
        let removals_unknown = self.carry_over()?;
        if u64::try_from(self.builder.len()).unwrap_or(u64::MAX) > entries_max(&self.rules) {
            return Err(LoadRefusal::TooMany);
        }
        let stamp =
            SetStamp { sequence: self.header.sequence, produced_at: self.header.produced_at, full_at: self.full_at };
        let empty = SetBuilder::new(self.rules.settings, self.rules.index_key, 0);
        let builder = core::mem::replace(&mut self.builder, empty);
        let set = builder.finish(stamp).map_err(|_too_large| LoadRefusal::TooMany)?;
        let (added, cases) = self.added(&set);
        let counts = self.counts(&set, &added);
        self.check_custom(&set, &added)?;
        let reasons = self.hold_reasons(&set, &added, &cases);
        let decisions = counts.iter().map(|one| self.decision(one.class)).collect();
        let mut refusals: BTreeMap<Refusal, u64> = BTreeMap::new();
        for ((_, refusal), n) in &self.refused {
            let sum = refusals.entry(*refusal).or_default();
            *sum = sum.saturating_add(*n);
        }
        let (kind, named) = match self.header.mode {
            LoadMode::Full => (ListKind::Full, None),
            LoadMode::Incremental { .. } => (ListKind::Incremental, Some(core::mem::take(&mut self.added_ids))),
        };
        let alarms = self.alarms(&set);
        let void = self.void(&set);
        let (cut, near_unsigned) = (self.cut, self.near_unsigned);
        let loaded =
            Loaded { set, kind, counts, decisions, refusals, alarms, cut, near_unsigned, removals_unknown, named };
        Ok(match void {
            Some(why) => LoadOutcome::Void(Box::new(VoidLoad { loaded, why })),
            None if reasons.is_empty() => LoadOutcome::Ready(Box::new(loaded)),
            None => LoadOutcome::Held(Box::new(HeldLoad { loaded, reasons })),
        })
    }

    /// Why the load comes to nothing, if it does. A list ends by the word of its steward, not because a whole file lost its codes, its
    /// form or its second signature. What an incremental file takes off is meant, and one of a feed that is refused would be a gap before the
    /// next; a person whose file changes nothing must not move the list on either, past whoever feeds it.
    fn void(&self, set: &ListSet) -> Option<LoadRefusal> {
        let kind = self.rules.settings.kind;
        if self.header.mode != LoadMode::Full {
            let changes_nothing = kind == SetKind::Custom && self.rules.by_hand && self.taken == 0;
            return changes_nothing.then_some(LoadRefusal::NothingTaken);
        }
        if set.entries() > 0 {
            return None;
        }
        let loses = self.bad > 0 || !self.dropped.is_empty() || !self.refused.is_empty();
        // That an alert is over is said in this way too, of each one. A whole extract or custom list whose entries are all over is old.
        let had_more = || match self.before {
            Some(before) => {
                before.views().any(|view| view.expires_at > self.now && !self.over_ids.contains(view.entry_id))
            }
            // Nobody remembers which: then all that is left out must be over.
            None => {
                let all_over = self.bad == 0 && self.dropped.is_empty();
                let all_over = all_over && self.refused.keys().all(|(_, why)| *why == Refusal::Expired);
                !(kind == SetKind::Amber && all_over) && self.rules.lost.values().any(|n| *n > 0)
            }
        };
        if loses && had_more() {
            return Some(LoadRefusal::Emptied);
        }
        (kind == SetKind::Custom && self.lines > 0).then_some(LoadRefusal::NothingTaken)
    }

    fn line(&mut self) {
        self.lines = self.lines.saturating_add(1);
        if self.lines > self.header.entries.unwrap_or(LOAD_LINES_MAX) {
            self.fault.get_or_insert(LoadRefusal::LineCount);
        }
    }

    fn bound_increment(&mut self) {
        if self.added_ids.len() > INCREMENT_LINES_MAX || self.removed_ids.len() > INCREMENT_LINES_MAX {
            self.fault.get_or_insert(LoadRefusal::TooMany);
            self.added_ids.clear();
            self.removed_ids.clear();
        }
    }

    /// One question a class. No class is no class, whatever a policy says.
    fn rule_on_class(&mut self, class: ListClass) -> Ruling {
        let policy = self.policy;
        let ruling = *self.rulings.entry(class).or_insert_with(|| policy.rule_on_class(class));
        Ruling { allowed: ruling.allowed && class != ListClass::Unknown, ..ruling }
    }

    fn accept(&mut self, entry: ListEntry, ruling: &Ruling) -> Result<(), Refusal> {
        // A load that is refused anyway is read to its end for its numbers, not for its entries.
        if self.fault.is_some() {
            return Ok(());
        }
        let signed = self.rules.signed.contains(&entry.entry_id);
        let checked = check_form(entry, self.rules.settings.kind, signed, self.now)?;
        let (cut, near_unsigned) = (checked.cut, checked.near_unsigned);
        let checked = if checked.entry().class == ListClass::Custom {
            let own = self.policy.rule_on_entry(checked.entry());
            self.custom_digests.push(own.digest);
            checked.ruled(&own)?
        } else {
            checked.ruled(ruling)?
        };
        match self.builder.add(&checked.0) {
            Ok(Merged::Added | Merged::Newer | Merged::Older) => {}
            Ok(Merged::TooMany) => return Err(Refusal::OneText),
            Err(_full) => {
                self.fault.get_or_insert(LoadRefusal::TooMany);
            }
        }
        if u64::try_from(self.builder.len()).unwrap_or(u64::MAX) > entries_max(&self.rules) {
            self.fault.get_or_insert(LoadRefusal::TooMany);
        }
        self.taken = self.taken.saturating_add(1);
        self.cut = self.cut.saturating_add(u64::from(cut));
        self.near_unsigned = self.near_unsigned.saturating_add(u64::from(near_unsigned));
        Ok(())
    }

    fn check_lines(&self) -> Result<(), LoadRefusal> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if self.header.entries.is_some_and(|stated| self.lines != stated) {
            return Err(LoadRefusal::LineCount);
        }
        if too_many_bad(self.bad, self.lines) {
            return Err(LoadRefusal::BadLines);
        }
        // No AMBER alert at all is the usual state of that list; no stolen car at all is a broken file.
        let is_extract = self.rules.settings.kind == SetKind::Extract;
        if is_extract && self.header.mode == LoadMode::Full && self.lines == 0 {
            return Err(LoadRefusal::Empty);
        }
        Ok(())
    }

    /// Takes over what an incremental file leaves of the set before. Gives the number of removals that removed nothing.
    fn carry_over(&mut self) -> Result<u64, LoadRefusal> {
        let (LoadMode::Incremental { .. }, Some(before)) = (self.header.mode, self.before) else { return Ok(0) };
        let classes: Vec<ListClass> = before.classes().keys().copied().collect();
        // Custom entries were decided on one by one, when somebody signed for each: whoever brings this file need not sign for them again.
        let stays = |class: &ListClass| *class == ListClass::Custom || self.rule_on_class(*class).allowed;
        let allowed: BTreeSet<ListClass> = classes.into_iter().filter(stays).collect();
        let (removed, superseded, now) = (&self.removed_ids, &self.added_ids, self.now);
        let mut found = BTreeSet::new();
        let keep = |view: &EntryView<'_>| {
            if let Some(id) = removed.get(view.entry_id) {
                found.insert(id.as_str());
                return false;
            }
            !superseded.contains(view.entry_id) && view.expires_at > now && allowed.contains(&view.class)
        };
        self.builder.carry_from(before, keep).map_err(|_too_large| LoadRefusal::TooMany)?;
        self.taken = self.taken.saturating_add(u64::try_from(found.len()).unwrap_or(u64::MAX));
        Ok(u64::try_from(removed.len().saturating_sub(found.len())).unwrap_or(u64::MAX))
    }

    /// Entries by class that the set before has not, and of custom ones their cases as [`counted_case`] has them.
    fn added(&self, set: &ListSet) -> (BTreeMap<ListClass, u64>, BTreeSet<String>) {
        let (mut added, mut cases) = (BTreeMap::new(), BTreeSet::new());
        for view in set.views().filter(|view| self.before.is_none_or(|before| !before.has_like(view))) {
            count(&mut added, view.class);
            if view.class == ListClass::Custom {
                cases.extend(view.case().map(counted_case));
            }
        }
        (added, cases)
    }

    fn counts(&mut self, set: &ListSet, added: &BTreeMap<ListClass, u64>) -> Vec<ListCounts> {
        // What the log says counts: entries that ended while the process was away went without a leaf.
        let in_memory = self.before.map_or(self.rules.lost, ListSet::classes);
        let before = if self.rules.lost.is_empty() { in_memory } else { self.rules.lost };
        let classes: BTreeSet<ListClass> = before
            .keys()
            .chain(set.classes().keys())
            .chain(self.dropped.keys())
            .chain(self.refused.keys().map(|(class, _)| class))
            .copied()
            .collect();
        let of = |counts: &BTreeMap<ListClass, u64>, class: ListClass| counts.get(&class).copied().unwrap_or(0);
        let counts = classes.iter().map(|class| {
            let (accepted, added) = (of(set.classes(), *class), of(added, *class));
            let refused = self.refused.iter().filter(|((of, _), _)| of == class).map(|(_, n)| *n);
            ListCounts {
                class: *class,
                accepted,
                added,
                removed: of(before, *class).saturating_sub(accepted.saturating_sub(added)),
                dropped: of(&self.dropped, *class),
                refused: refused.fold(0, u64::saturating_add),
            }
        });
        by_name(counts.collect())
    }

    fn check_custom(&self, set: &ListSet, added: &BTreeMap<ListClass, u64>) -> Result<(), LoadRefusal> {
        let new = added.get(&ListClass::Custom).copied().unwrap_or(0);
        if self.rules.settings.kind != SetKind::Custom || new == 0 {
            return Ok(());
        }
        let elsewhere = u64::try_from(self.live_elsewhere().count()).unwrap_or(u64::MAX);
        if new >= CUSTOM_UPLOAD_REFUSED {
            Err(LoadRefusal::CustomUpload)
        } else if set.entries().saturating_add(elsewhere) > CUSTOM_LIVE_MAX {
            Err(LoadRefusal::CustomLive)
        } else if self.rules.new_today.saturating_add(new) > CUSTOM_NEW_A_DAY_MAX {
            Err(LoadRefusal::CustomDay)
        } else {
            Ok(())
        }
    }

    fn hold_reasons(
        &self,
        set: &ListSet,
        added: &BTreeMap<ListClass, u64>,
        cases: &BTreeSet<String>,
    ) -> BTreeSet<HoldReason> {
        let mut reasons = BTreeSet::new();
        if grows(set.entries(), self.rules.history) {
            reasons.insert(HoldReason::Growth);
        }
        // The class of other lists is their kind; the first AMBER alert after a quiet month must not wait for two people.
        let known = |class: &ListClass| self.rules.history.iter().any(|load| load.classes.contains(class));
        if self.rules.settings.kind == SetKind::Extract && !set.classes().keys().all(known) {
            reasons.insert(HoldReason::NewClass);
        }
        if self.rules.settings.kind == SetKind::Amber && self.rules.by_hand && !added.is_empty() {
            reasons.insert(HoldReason::AmberByHand);
        }
        let mut plates: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        if !cases.is_empty() {
            for view in set.views().chain(self.live_elsewhere()) {
                if let Some(case) = view.case().map(counted_case).filter(|case| cases.contains(case)) {
                    plates.entry(case).or_default().insert(view.text);
                }
            }
        }
        if plates.values().any(|plates| plates.len() > CASE_PLATES_MAX) {
            reasons.insert(HoldReason::CasePlates);
        }
        reasons
    }

    /// Entries of the agency's other custom lists that have not ended.
    fn live_elsewhere(&self) -> impl Iterator<Item = EntryView<'a>> + use<'a, P> {
        let now = self.now;
        self.rules.elsewhere.iter().flat_map(|set| set.views()).filter(move |view| view.expires_at > now)
    }

    /// Of extracts only: a list of three custom entries loses a third of itself on an ordinary day.
    fn alarms(&self, set: &ListSet) -> BTreeSet<LoadAlarm> {
        if self.rules.settings.kind != SetKind::Extract {
            return BTreeSet::new();
        }
        let logged = || self.rules.lost.values().fold(0, |sum: u64, n| sum.saturating_add(*n));
        let before = self.before.map_or_else(logged, ListSet::entries);
        has_shrunk(before, set.entries()).then_some(LoadAlarm::Shrunk).into_iter().collect()
    }

    fn decision(&mut self, class: ListClass) -> [u8; 32] {
        if class == ListClass::Custom && !self.custom_digests.is_empty() {
            self.custom_digests.sort_unstable();
            let digests: Vec<&[u8]> = self.custom_digests.iter().map(<[u8; 32]>::as_slice).collect();
            return th("hotlist-decisions", &digests);
        }
        self.rule_on_class(class).digest
    }
}

fn entries_max(rules: &LoadRules<'_>) -> u64 {
    let most = if rules.settings.kind == SetKind::Amber { AMBER_LIVE_MAX } else { EXTRACT_ENTRIES_MAX };
    rules.entries_max.min(most)
}

/// A list has lost so much of itself that its file may be cut off.
#[must_use]
pub const fn has_shrunk(before: u64, now: u64) -> bool {
    before.saturating_sub(now).saturating_mul(100) > before.saturating_mul(SHRINK_PERCENT_ALARM)
}

/// More than 1% of the lines are bad, and at least 10.
#[must_use]
pub const fn too_many_bad(bad: u64, lines: u64) -> bool {
    bad >= BAD_LINES_MIN && bad.saturating_mul(BAD_LINES_ONE_IN) > lines
}

/// Beyond +10% and +1,000 of the median of the last 14 loads. A list's first load grows from nothing.
#[must_use]
pub fn grows(entries: u64, history: &[PastLoad]) -> bool {
    let mut sizes: Vec<u64> = history.iter().rev().take(HISTORY_LOADS).map(|load| load.entries).collect();
    sizes.sort_unstable();
    // The lower of the two in the middle: what is held too often is looked at, what is let through is not.
    let median = sizes.get(sizes.len().saturating_sub(1) / 2).copied().unwrap_or(0);
    let more = entries.saturating_sub(median);
    more > GROWTH_ENTRIES_MAX && more.saturating_mul(100) > median.saturating_mul(GROWTH_PERCENT_MAX)
}

#[cfg(test)]
mod tests;
