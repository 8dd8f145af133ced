//! Comparing reads with a set (`hotlists.md` section 5). Rules 1 to 9 are one function of set, read and time; rule 10 and the rule for
//! held reads are small machines that take the time. A read that hits nothing leaves no trace here. Hits go to `alert.rs`, numbers of
//! what was suppressed to the day's leaf.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::alert::{AlertRecord, AlertText};
use super::limits::{
    AMBER_AGE_SECONDS, CONF_MIN, EXTRACT_AGE_SECONDS, EXTRACT_ALARM_SECONDS, MOTORCYCLE, REPEAT_SECONDS, REPEATS_MAX,
    SETTLED_MS, TRACKS_MAX, WRONG_STATE_TIMES,
};
use super::set::{EntryView, ListSet, ListSettings, SetKind, SetStamp};
use super::{AlertLevel, ListEntry};
use crate::Timestamp;
use crate::entry::{ListClass, MatchKind, Suppression};
use crate::error::{self, Error};
use crate::limits::JURISDICTION_CONF_MIN;
use crate::plate::{Jurisdiction, Plate};
use crate::read::{Coded, Read, ReadFlags, TimeQuality};
use crate::wire::{Reader, Writer};

/// A read as matching looks at it.
#[derive(Clone, Copy, Debug)]
pub struct ReadFacts<'a> {
    /// The read that is sealed beside.
    pub read: &'a Read,
    /// Its source sends frames, so that a read of one frame is a glimpse.
    pub of_frames: bool,
    /// Confidence that the source's engine needs beyond the list's minimum, 1/1000; 0 for most.
    pub conf_min: u16,
}

/// What the recorder knows of single entries of one list beyond what the list says. Loads keep it as small as the list: what is known of
/// entries that are gone is forgotten ([`Loaded::confirm`](super::load::Loaded::confirm)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    suspended: BTreeMap<String, Timestamp>,
    wrong_states: BTreeMap<String, u8>,
}

impl Marks {
    /// An alert on the entry was closed as stale.
    pub fn suspend(&mut self, entry_id: &str, now: Timestamp) {
        self.suspended.insert(entry_id.to_owned(), now);
    }

    /// An alert on the entry was closed because the plate was another state's.
    pub fn wrong_state(&mut self, entry_id: &str) {
        let times = self.wrong_states.entry(entry_id.to_owned()).or_default();
        *times = times.saturating_add(1);
    }

    /// A load was made that names the entry: a suspension from before its source made it is over.
    pub fn confirmed(&mut self, entry_id: &str, produced_at: Timestamp) {
        if self.suspended.get(entry_id).is_some_and(|since| *since < produced_at) {
            self.suspended.remove(entry_id);
        }
    }

    /// True while the entry is suspended.
    #[must_use]
    pub fn is_suspended(&self, entry_id: &str) -> bool {
        self.suspended.contains_key(entry_id)
    }

    /// True once the entry was hit by another state's plates too often.
    #[must_use]
    pub fn needs_state(&self, entry_id: &str) -> bool {
        self.wrong_states.get(entry_id).is_some_and(|times| *times >= WRONG_STATE_TIMES)
    }

    /// What is known, to be kept (sealed: ids of entries are a list's content): since when entries are suspended, and how often they were
    /// hit by another state's plate.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let ids: BTreeSet<&String> = self.suspended.keys().chain(self.wrong_states.keys()).collect();
        let mut w = Writer::new();
        w.u32(u32::try_from(ids.len()).unwrap_or(u32::MAX));
        for id in ids {
            let since = self.suspended.get(id).map_or(0, |since| since.0);
            w.lv8(id.as_bytes()).u64(since).u8(self.wrong_states.get(id).copied().unwrap_or(0));
        }
        w.finish()
    }

    /// Reads what [`Marks::to_bytes`] wrote.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn from_bytes(bytes: &[u8]) -> error::Result<Self> {
        let mut r = Reader::new(bytes);
        let mut marks = Self::default();
        for _ in 0..r.u32()? {
            let id = core::str::from_utf8(r.lv8()?).map_err(|_utf8| Error::malformed("an entry's id is text"))?;
            let (since, times) = (r.u64()?, r.u8()?);
            if since > 0 {
                marks.suspended.insert(id.to_owned(), Timestamp(since));
            }
            if times > 0 {
                marks.wrong_states.insert(id.to_owned(), times);
            }
        }
        r.end()?;
        Ok(marks)
    }

    /// True if anything is known of the entry.
    pub(super) fn names(&self, entry_id: &str) -> bool {
        self.suspended.contains_key(entry_id) || self.wrong_states.contains_key(entry_id)
    }

    /// True if nothing is known of any entry.
    pub(super) fn is_empty(&self) -> bool {
        self.suspended.is_empty() && self.wrong_states.is_empty()
    }

    /// Forgets all entries but these.
    pub(super) fn keep(&mut self, entry_ids: &BTreeSet<String>) {
        self.suspended.retain(|id, _| entry_ids.contains(id));
        self.wrong_states.retain(|id, _| entry_ids.contains(id));
    }
}

/// What an alert must say beside its texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remark {
    /// "State not read: check it first."
    StateNotRead,
    /// "The list does not know the state: check it first."
    StateNotListed,
    /// "Engine gives no confidence."
    NoConfidence,
    /// "Camera clock wrong, time of receipt."
    ClockWrong,
    /// "Not live."
    NotLive,
    /// The text read is another than the one listed.
    OtherText,
    /// Another class of vehicle than listed.
    OtherClass,
    /// Another make.
    OtherMake,
    /// Another colour.
    OtherColour,
}

impl Remark {
    /// In words, with nothing of read or entry in them.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::StateNotRead => "state not read: check it first",
            Self::StateNotListed => "state not listed: check it first",
            Self::NoConfidence => "engine gives no confidence",
            Self::ClockWrong => "camera clock wrong, time of receipt",
            Self::NotLive => "not live",
            Self::OtherText => "the text read differs from the text listed",
            Self::OtherClass => "another class of vehicle",
            Self::OtherMake => "another make",
            Self::OtherColour => "another colour",
        }
    }
}

/// A read met an entry. No suspicion: something to look at.
#[derive(Clone, PartialEq, Eq)]
pub struct Hit {
    /// The list.
    pub list: [u8; 16],
    /// Where it comes from.
    pub kind: SetKind,
    /// The entry.
    pub entry: ListEntry,
    /// How it was met.
    pub matched: MatchKind,
    /// How the alert is shown.
    pub level: AlertLevel,
    /// Somebody is notified; a late read is only recorded.
    pub live: bool,
    /// What the alert must say, in order.
    pub remarks: BTreeSet<Remark>,
}

impl core::fmt::Debug for Hit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Hit({})", self.matched.name())
    }
}

/// What comparing one read with one set comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Entries that were hit.
    pub hits: Vec<Hit>,
    /// Entries that were met and are no hit, by reason.
    pub suppressed: BTreeMap<Suppression, u64>,
}

impl Comparison {
    fn note(&mut self, met: Result<Hit, Suppression>) {
        match met {
            Ok(hit) => self.hits.push(hit),
            Err(reason) => {
                let count = self.suppressed.entry(reason).or_default();
                *count = count.saturating_add(1);
            }
        }
    }
}

/// Rules 1 to 9: compares a read with every entry of the set. A miss allocates nothing unless some entry is matched with misreadings.
/// Each entry that is met counts once, as a hit or under the first reason that applies, in the order: the list's age, the entry's times,
/// its suspension, the state, the vehicle, the confidence, the frames.
#[must_use]
pub fn compare(set: &ListSet, marks: &Marks, facts: &ReadFacts<'_>, now: Timestamp) -> Comparison {
    let mut out = Comparison::default();
    let text = facts.read.plate.expose_text();
    // A text that was cut is no plate's whole text, and no entry is longer than one.
    if facts.read.plate.is_overlong() || facts.read.flags.has(ReadFlags::OVERLONG) {
        return out;
    }
    let met = Met { settings: set.settings(), stamp: set.stamp(), marks, facts, now };
    for entry in set.under(text) {
        out.note(met.weigh(&entry, true));
    }
    if set.has_near() {
        let folded = zeroize::Zeroizing::new(facts.read.plate.fold());
        for entry in set.near(&folded).filter(|entry| entry.text != text) {
            out.note(met.weigh(&entry, false));
        }
    }
    out
}

/// A read that must hit: the first entry of a set that is in force, as if it were read beyond doubt. None where no entry is. It shows that
/// matching works, and is neither sealed nor told to anybody.
#[must_use]
pub fn canary(set: &ListSet, marks: &Marks, now: Timestamp) -> Option<Read> {
    let stamp = set.stamp();
    if is_too_old(set.settings().kind, stamp, now) {
        return None;
    }
    let in_force = |view: &EntryView<'_>| {
        view.expires_at > now
            && view.effective_at.is_none_or(|from| from <= now)
            && !marks.is_suspended(view.entry_id)
            && (view.jurisdiction.is_some() || !view.state_required && !marks.needs_state(view.entry_id))
    };
    let entry = set.views().find(in_force)?;
    let captured_at = i64::try_from(now.0).unwrap_or(i64::MAX).saturating_mul(1_000);
    Some(Read::beyond_doubt(Plate::parse(entry.text)?, entry.jurisdiction, captured_at))
}

/// True from the age at which a set is not matched any more.
#[must_use]
pub const fn is_too_old(kind: SetKind, stamp: &SetStamp, now: Timestamp) -> bool {
    let age = now.0.saturating_sub(stamp.produced_at.0);
    match kind {
        SetKind::Extract => age >= EXTRACT_AGE_SECONDS,
        SetKind::Amber => age >= AMBER_AGE_SECONDS,
        // Its entries have lives of their own.
        SetKind::Custom => false,
    }
}

/// True from the age at which somebody must be told that a list is not renewed.
#[must_use]
pub const fn is_overdue(kind: SetKind, stamp: &SetStamp, now: Timestamp) -> bool {
    let age = now.0.saturating_sub(stamp.produced_at.0);
    match kind {
        SetKind::Extract => age >= EXTRACT_ALARM_SECONDS,
        SetKind::Amber => age >= AMBER_AGE_SECONDS,
        SetKind::Custom => false,
    }
}

/// How the state of a read relates to a state that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StateRead {
    /// The same, and certain.
    Same,
    /// Another, and certain.
    Another,
    /// Not read, or weak.
    Unread,
}

/// The engine's state counts if it is confident, or where it gives no confidence and both source and list trust it.
pub(super) fn state_read(read: &Read, looked_for: &Jurisdiction, trusted: bool) -> StateRead {
    let certain = match read.jur_conf {
        Some(conf) => conf >= JURISDICTION_CONF_MIN,
        None => trusted && read.jurisdiction_trusted,
    };
    match &read.jurisdiction {
        Some(code) if certain && code == looked_for => StateRead::Same,
        Some(_) if certain => StateRead::Another,
        Some(_) | None => StateRead::Unread,
    }
}

/// A read that met an entry by its text.
struct Met<'a> {
    settings: &'a ListSettings,
    stamp: &'a SetStamp,
    marks: &'a Marks,
    facts: &'a ReadFacts<'a>,
    now: Timestamp,
}

impl Met<'_> {
    fn weigh(&self, entry: &EntryView<'_>, same_text: bool) -> Result<Hit, Suppression> {
        self.in_force(entry)?;
        let read = self.facts.read;
        let mut remarks = BTreeSet::new();
        let state = match &entry.jurisdiction {
            None => {
                remarks.insert(Remark::StateNotListed);
                StateRead::Unread
            }
            Some(code) => state_read(read, code, self.settings.trust_jurisdiction),
        };
        match state {
            StateRead::Another => return Err(Suppression::OtherState),
            StateRead::Unread if entry.state_required || self.marks.needs_state(entry.entry_id) => {
                return Err(Suppression::StateRequired);
            }
            StateRead::Unread if entry.jurisdiction.is_some() => {
                remarks.insert(Remark::StateNotRead);
            }
            StateRead::Unread | StateRead::Same => {}
        }
        if contradicts(entry.vehicle.class, read.vehicle.class) {
            return Err(Suppression::OtherVehicle);
        }
        self.is_good(&mut remarks)?;
        differences(entry, read, &mut remarks);
        let (matched, level) = match (same_text, state) {
            (false, _) => {
                remarks.insert(Remark::OtherText);
                (MatchKind::PossibleMisread, AlertLevel::Low)
            }
            (true, StateRead::Same) => (MatchKind::PlateAndState, entry.level),
            (true, StateRead::Unread | StateRead::Another) => (MatchKind::PlateOnly, one_lower(entry.level)),
        };
        let live = !read.flags.has(ReadFlags::LATE);
        if !live {
            remarks.insert(Remark::NotLive);
        }
        if read.time_quality == TimeQuality::ReceiveTime {
            remarks.insert(Remark::ClockWrong);
        }
        // INVARIANT: what `set.rs` packed reads back; a test packs and reads every kind of entry.
        let entry = entry.to_entry().ok_or(Suppression::NotEffective)?;
        Ok(Hit { list: self.settings.list, kind: self.settings.kind, entry, matched, level, live, remarks })
    }

    /// Rule 8.
    fn in_force(&self, entry: &EntryView<'_>) -> Result<(), Suppression> {
        if is_too_old(self.settings.kind, self.stamp, self.now) {
            Err(Suppression::ListTooOld)
        } else if self.now >= entry.expires_at {
            Err(Suppression::Expired)
        } else if entry.effective_at.is_some_and(|from| self.now < from) {
            Err(Suppression::NotEffective)
        } else if self.marks.is_suspended(entry.entry_id) {
            Err(Suppression::Suspended)
        } else {
            Ok(())
        }
    }

    /// Rules 5 and 6.
    fn is_good(&self, remarks: &mut BTreeSet<Remark>) -> Result<(), Suppression> {
        let least = self.settings.conf_min.max(self.facts.conf_min);
        match self.facts.read.conf {
            Some(conf) if conf < least => return Err(Suppression::LowConfidence),
            Some(_) => {}
            None => {
                remarks.insert(Remark::NoConfidence);
            }
        }
        if self.facts.of_frames && self.facts.read.frames <= 1 { Err(Suppression::OneFrame) } else { Ok(()) }
    }
}

/// Rule 4: a motorcycle against anything else. Other classes are told apart too badly to rest on.
fn contradicts(listed: Option<Coded>, read: Option<Coded>) -> bool {
    match (listed, read) {
        (Some(listed), Some(read)) => is_certain(read) && (listed.code == MOTORCYCLE) != (read.code == MOTORCYCLE),
        (Some(_), None) | (None, Some(_) | None) => false,
    }
}

fn is_certain(read: Coded) -> bool {
    read.conf.is_some_and(|conf| conf >= CONF_MIN)
}

fn differences(entry: &EntryView<'_>, read: &Read, remarks: &mut BTreeSet<Remark>) {
    let pairs = [
        (entry.vehicle.class, read.vehicle.class, Remark::OtherClass),
        (entry.vehicle.make, read.vehicle.make, Remark::OtherMake),
        (entry.vehicle.colour, read.vehicle.colour, Remark::OtherColour),
    ];
    let differs = |listed: Option<Coded>, read: Option<Coded>| listed.zip(read).is_some_and(|(a, b)| a.code != b.code);
    remarks.extend(pairs.into_iter().filter(|(listed, read, _)| differs(*listed, *read)).map(|(_, _, remark)| remark));
}

const fn one_lower(level: AlertLevel) -> AlertLevel {
    match level {
        AlertLevel::High => AlertLevel::Medium,
        AlertLevel::Medium | AlertLevel::Low => AlertLevel::Low,
    }
}

/// True if entries of this class may be matched with misreadings without a supervisor's signature (rule 7).
pub(super) const fn may_be_near(class: ListClass) -> bool {
    match class {
        ListClass::MissingPerson | ListClass::AmberAlert => true,
        ListClass::StolenVehicle
        | ListClass::StolenPlate
        | ListClass::WantedPerson
        | ListClass::Custom
        | ListClass::ProtectionOrder
        | ListClass::ExtremeRiskOrder
        | ListClass::Gang
        | ListClass::TerroristScreening
        | ListClass::SupervisedRelease
        | ListClass::SexOffender
        | ListClass::ImmigrationViolator
        | ListClass::ProtectiveInterest
        | ListClass::ViolentPerson
        | ListClass::Unknown => false,
    }
}

/// True if what its source may still say of a read refutes the hit no more: plate and state are read, and no class of vehicle is open.
/// Of a read that is held any other hit waits for the last word.
#[must_use]
pub fn is_beyond_refining(hit: &Hit, read: &Read) -> bool {
    let class_is_open = hit.entry.vehicle.class.is_some() && !read.vehicle.class.is_some_and(is_certain);
    hit.matched == MatchKind::PlateAndState && !class_is_open
}

/// A tracked vehicle at one camera, as intake holds it.
pub type TrackId = u64;

struct Track {
    text: Plate,
    since_ms: i64,
    compared: bool,
    met: BTreeSet<([u8; 16], String)>,
}

/// When a held read is compared: once its text has been the same for 3 s, or it is final; and each entry at most once a track.
#[derive(Default)]
pub struct HeldTracks(BTreeMap<TrackId, Track>);

impl core::fmt::Debug for HeldTracks {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "HeldTracks({})", self.0.len())
    }
}

impl HeldTracks {
    /// A track shows `plate`. True if it is to be compared now: a text once when it has settled, and the last word whatever was compared
    /// before, as it may say more than the text. While more than [`TRACKS_MAX`] are watched, further ones are compared as they stand:
    /// nothing is missed for want of room.
    pub fn observe(&mut self, track: TrackId, plate: &Plate, is_final: bool, now_ms: i64) -> bool {
        let is_full = self.0.len() >= TRACKS_MAX;
        let known = match self.0.get_mut(&track) {
            Some(known) => known,
            None if is_full => return true,
            None => {
                let fresh = Track { text: plate.clone(), since_ms: now_ms, compared: false, met: BTreeSet::new() };
                self.0.entry(track).or_insert(fresh)
            }
        };
        if known.text != *plate {
            known.text = plate.clone();
            known.since_ms = now_ms;
            known.compared = false;
        }
        let settled = now_ms.saturating_sub(known.since_ms) >= SETTLED_MS;
        let due = is_final || (settled && !known.compared);
        known.compared |= due;
        due
    }

    /// Tracks whose text has settled without a further frame; each is to be compared now.
    pub fn settled(&mut self, now_ms: i64) -> Vec<TrackId> {
        let waiting = self.0.iter_mut().filter(|(_, track)| !track.compared);
        let due = waiting.filter(|(_, track)| now_ms.saturating_sub(track.since_ms) >= SETTLED_MS);
        due.map(|(id, track)| {
            track.compared = true;
            *id
        })
        .collect()
    }

    /// A comparison of the track hit an entry. True the first time.
    pub fn is_first(&mut self, track: TrackId, hit: &Hit) -> bool {
        let key = (hit.list, hit.entry.entry_id.clone());
        self.0.get_mut(&track).is_none_or(|known| known.met.insert(key))
    }

    /// The track ended and its read is sealed.
    pub fn forget(&mut self, track: TrackId) {
        self.0.remove(&track);
    }
}

/// What rule 10 makes of a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// A new alert is raised.
    First,
    /// The alert that was raised for the same entry and camera counts once more; nobody is notified again.
    Again {
        /// The alert.
        alert: [u8; 16],
    },
}

/// List, entry, plate and state listed, camera, live.
type RepeatKey = ([u8; 16], String, (String, Option<Jurisdiction>), u32, bool);

/// Rule 10: the same entry, as it is listed, and camera within 10 minutes of the alert is the same alert. Counted from when it was raised, so that a car
/// that stays before a camera is said again; late reads and live ones apart, so that an old read silences no live one.
#[derive(Default)]
pub struct Repeats {
    raised: BTreeMap<RepeatKey, [u8; 16]>,
    order: VecDeque<(Timestamp, RepeatKey)>,
}

impl core::fmt::Debug for Repeats {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Repeats({})", self.raised.len())
    }
}

impl Repeats {
    /// Takes a hit at `camera`; `alert` is the id of the alert that it raises if it is the first. If that alert then cannot be stored,
    /// [`withdraw`](Self::withdraw) it: an alert that is not there must silence no later one.
    pub fn take(&mut self, hit: &Hit, camera: u32, alert: [u8; 16], now: Timestamp) -> Repeat {
        let listed = (hit.entry.plate.expose_text().to_owned(), hit.entry.jurisdiction);
        self.remember((hit.list, hit.entry.entry_id.clone(), listed, camera, hit.live), alert, now)
    }

    /// Takes an alert that an earlier run raised; oldest first. Its minute is the begin of its ten: at the worst it is said once more.
    pub fn restore(&mut self, text: &AlertText, record: &AlertRecord) {
        let entry = &text.entry;
        let listed = (entry.plate.clone(), entry.jurisdiction);
        let key = (record.list, entry.entry_id.clone(), listed, text.read.camera, record.live);
        self.remember(key, record.alert, record.raised_at);
    }

    /// The alert was not stored.
    pub fn withdraw(&mut self, alert: &[u8; 16]) {
        let Self { raised, order } = self;
        raised.retain(|_, raised| raised != alert);
        order.retain(|(_, key)| raised.contains_key(key));
    }

    fn remember(&mut self, key: RepeatKey, alert: [u8; 16], now: Timestamp) -> Repeat {
        self.forget_before(now);
        if let Some(alert) = self.raised.get(&key) {
            return Repeat::Again { alert: *alert };
        }
        if self.raised.len() >= REPEATS_MAX
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.raised.remove(&oldest);
        }
        self.order.push_back((now, key.clone()));
        self.raised.insert(key, alert);
        Repeat::First
    }

    fn forget_before(&mut self, now: Timestamp) {
        // A clock that went back would keep what it finds in its future: it goes as well.
        let over = |since: Timestamp| since.0.saturating_add(REPEAT_SECONDS) <= now.0 || since > now;
        while self.order.front().is_some_and(|(since, _)| over(*since)) {
            if let Some((_, key)) = self.order.pop_front() {
                self.raised.remove(&key);
            }
        }
    }
}

/// True if the state of a read is the one looked for, or could be.
pub(super) fn state_matches(read: &Read, looked_for: &Jurisdiction, trusted: bool) -> Option<MatchKind> {
    match state_read(read, looked_for, trusted) {
        StateRead::Same => Some(MatchKind::PlateAndState),
        StateRead::Unread => Some(MatchKind::PlateOnly),
        StateRead::Another => None,
    }
}

#[cfg(test)]
mod tests;
