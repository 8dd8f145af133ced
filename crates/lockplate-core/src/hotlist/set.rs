//! The set that reads are compared with: entries of one list, packed into few bytes and found by plate text. It is made once by a load
//! and never changed; a later load makes another. It must never be printed or written anywhere: extracts are kept in memory only, and
//! are wiped when their set goes. It is compared by `matching.rs`.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::limits::{ENTRY_ID_BYTES_MAX, ENTRY_TEXT_BYTES_MAX, NEAR_ENTRIES_MAX, SAME_NEAR_TEXT_MAX, SAME_TEXT_MAX};
use super::packed::{Beside, Packed, Put, Taker, put_number, put_text};
use super::{AlertLevel, ListEntry, Variants, counted_case};
use crate::Timestamp;
use crate::entry::ListClass;
use crate::error::{Error, Result};
use crate::limits::ELEMENTS_MAX;
use crate::plate::{Jurisdiction, Plate};
use crate::read::{Coded, Vehicle};
use crate::spellings::{Mode, Spellings};
use crate::vocabulary::{Basis, Offence};

/// Where a list comes from, which decides its caps and its age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetKind {
    /// An extract of a national or state file, or another agency's list.
    Extract,
    /// The agency's own entries, each with a case and a decision of its own.
    Custom,
    /// AMBER alerts.
    Amber,
}

/// How a list is matched: signed by its steward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListSettings {
    /// Id of the list.
    pub list: [u8; 16],
    /// Where it comes from.
    pub kind: SetKind,
    /// Confidence of a plate's text below which a read is no hit, 1/1000.
    pub conf_min: u16,
    /// A state that an engine names without a confidence counts as read, where the source's setting trusts it too.
    pub trust_jurisdiction: bool,
}

/// When a set was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetStamp {
    /// Number of the load.
    pub sequence: u64,
    /// When its source made it.
    pub produced_at: Timestamp,
    /// When the last complete file was made on which it rests.
    pub full_at: Timestamp,
}

/// An entry that may be matched: form and life were checked, and the policy let it in. Only
/// [`FormChecked::ruled`](super::load::FormChecked::ruled) makes one.
#[derive(Clone, PartialEq, Eq)]
pub struct CheckedEntry(pub(super) ListEntry);

impl CheckedEntry {
    /// The entry.
    #[must_use]
    pub const fn entry(&self) -> &ListEntry {
        &self.0
    }
}

impl core::fmt::Debug for CheckedEntry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("CheckedEntry(..)")
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// It stands.
    Added,
    /// It stands in place of an older one for the same plate, state and class.
    Newer,
    /// A newer one stands already.
    Older,
    /// Too many entries for one plate text: refused.
    TooMany,
}

/// Entries while they are packed.
pub(super) struct SetBuilder {
    settings: ListSettings,
    index_key: u64,
    packed: Packed,
    classes: BTreeMap<ListClass, u64>,
    buffer: Zeroizing<Vec<u8>>,
}

impl SetBuilder {
    /// `index_key` is random and this process's own; `expected` is a guess at the number of entries.
    pub(super) fn new(settings: ListSettings, index_key: u64, expected: usize) -> Self {
        let packed = Packed::new(index_key, expected);
        // Room for the longest entry: a buffer that grows leaves copies behind.
        let buffer = Zeroizing::new(Vec::with_capacity(ENTRY_TEXT_BYTES_MAX.saturating_mul(8)));
        Self { settings, index_key, packed, classes: BTreeMap::new(), buffer }
    }

    /// Merges one entry: of those with the same plate, state and class the one that was entered last stands.
    pub(super) fn add(&mut self, entry: &ListEntry) -> Result<Merged> {
        self.buffer.clear();
        pack(entry, &mut self.buffer)?;
        let merged = put(&mut self.packed, entry.plate.expose_text(), &self.buffer)?;
        if merged == Merged::Added {
            let count = self.classes.entry(entry.class).or_default();
            *count = count.saturating_add(1);
        }
        Ok(merged)
    }

    /// Takes over a record of an earlier set as it is packed there.
    fn carry(&mut self, text: &str, payload: &[u8], class: ListClass) -> Result<()> {
        if put(&mut self.packed, text, payload)? == Merged::Added {
            let count = self.classes.entry(class).or_default();
            *count = count.saturating_add(1);
        }
        Ok(())
    }

    /// Takes over all entries of an earlier set that `keep` keeps.
    pub(super) fn carry_from(&mut self, before: &ListSet, mut keep: impl FnMut(&EntryView<'_>) -> bool) -> Result<()> {
        for (_, text, payload) in before.packed.records() {
            let view = EntryView::of(text, payload).ok_or(Error::internal("a packed entry is read back"))?;
            if keep(&view) {
                self.carry(text, payload, view.class)?;
            }
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.packed.len()
    }

    /// The set. Misreadings are indexed here, once it is certain which entries stand.
    pub(super) fn finish(self, stamp: SetStamp) -> Result<ListSet> {
        let mut near = Packed::new(self.index_key, 0);
        let mut entries: usize = 0;
        for (place, text, payload) in self.packed.records() {
            let view = EntryView::of(text, payload).ok_or(Error::internal("a packed entry is read back"))?;
            if view.variants == Variants::None {
                continue;
            }
            entries = entries.saturating_add(1);
            if entries > NEAR_ENTRIES_MAX {
                return Err(Error::invalid("too many entries of a list are matched with misreadings"));
            }
            let spellings = Spellings::new(text, Mode::Near, 0, ELEMENTS_MAX);
            let spellings = spellings.map_err(|_fault| Error::internal("a plate of an entry has spellings"))?;
            for misread in spellings.expose_texts() {
                let put = near.put(misread, &place.to_be_bytes(), SAME_NEAR_TEXT_MAX, |_| Beside::Both)?;
                if put != Put::Added {
                    return Err(Error::invalid("too many entries of a list may be misread as one text"));
                }
            }
        }
        Ok(ListSet { settings: self.settings, stamp, packed: self.packed, near, classes: self.classes })
    }
}

/// The merge rule (`hotlists.md` section 4, step 5). Of two entered at one moment the greater encoding stands, so that the order of lines
/// does not matter.
fn put(packed: &mut Packed, text: &str, payload: &[u8]) -> Result<Merged> {
    let fault = Error::internal("a packed entry is read back");
    let (key, entered_at) = merge_key(payload).ok_or(fault)?;
    let beside = |old: &[u8]| match merge_key(old) {
        Some((old_key, old_entered_at)) if old_key == key => {
            if (entered_at, payload) > (old_entered_at, old) {
                Beside::Replace
            } else {
                Beside::Keep
            }
        }
        Some(_) | None => Beside::Both,
    };
    Ok(match packed.put(text, payload, SAME_TEXT_MAX, beside)? {
        Put::Added => Merged::Added,
        Put::Replaced => Merged::Newer,
        Put::Kept => Merged::Older,
        Put::TooMany => Merged::TooMany,
    })
}

/// Entries of one list, immutable. At most 120 bytes an entry of ordinary length; wiped on drop.
pub struct ListSet {
    settings: ListSettings,
    stamp: SetStamp,
    packed: Packed,
    /// Places of entries by the folded texts that they may be misread as.
    near: Packed,
    classes: BTreeMap<ListClass, u64>,
}

impl core::fmt::Debug for ListSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "ListSet({} entries)", self.packed.len())
    }
}

impl ListSet {
    /// A set of checked entries, merged. `index_key` is random and this process's own.
    ///
    /// # Errors
    /// `Invalid` if there are more than a set can hold.
    pub fn build(
        settings: ListSettings,
        stamp: SetStamp,
        index_key: u64,
        entries: impl Iterator<Item = CheckedEntry>,
    ) -> Result<Self> {
        let mut builder = SetBuilder::new(settings, index_key, entries.size_hint().0);
        for entry in entries {
            if builder.add(&entry.0)? == Merged::TooMany {
                return Err(Error::invalid("too many entries of a list have one plate text"));
            }
        }
        builder.finish(stamp)
    }

    /// How the list is matched.
    #[must_use]
    pub const fn settings(&self) -> &ListSettings {
        &self.settings
    }

    /// When the set was made.
    #[must_use]
    pub const fn stamp(&self) -> &SetStamp {
        &self.stamp
    }

    /// Entries.
    #[must_use]
    pub fn entries(&self) -> u64 {
        u64::try_from(self.packed.len()).unwrap_or(u64::MAX)
    }

    /// Entries by class; a class without one is absent.
    #[must_use]
    pub const fn classes(&self) -> &BTreeMap<ListClass, u64> {
        &self.classes
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.packed.heap_bytes().saturating_add(self.near.heap_bytes())
    }

    /// What the leaf says of the set: SHA-256 over label, salt and the packed form of every entry, by plate, each part with its length
    /// before it. One set has one digest, whatever the order of its file; without the salt no entry can be tried on it.
    #[must_use]
    pub fn salted_digest(&self, salt: &[u8; 16]) -> [u8; 32] {
        // Sorted by the first bytes of the text, which tell nearly all plates apart without a look at the records.
        let mut order = Zeroizing::new(Vec::with_capacity(self.packed.len()));
        order.extend(self.packed.records().map(|(place, text, _)| (first_bytes(text), place)));
        let record = |place: u32| self.packed.record(place).unwrap_or(("", &[]));
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| record(a.1).cmp(&record(b.1))));
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(bytes);
        };
        for label in [b"LOCKPLATE-V1".as_slice(), b"hotlist-set", salt] {
            part(label);
        }
        for (_, place) in order.iter() {
            let (text, payload) = record(*place);
            part(text.as_bytes());
            part(payload);
        }
        hash.finalize().into()
    }

    /// True if there is an entry for the same plate, state and class, and of custom ones for the same case.
    pub(super) fn has_like(&self, entry: &EntryView<'_>) -> bool {
        self.under(entry.text).any(|own| own.is_like(entry))
    }

    /// Ids of entries that have not ended and that a later set has none like.
    pub fn gone_in<'a>(&'a self, later: &'a Self, now: Timestamp) -> impl Iterator<Item = &'a str> {
        let gone = self.views().filter(move |view| view.expires_at > now && !later.has_like(view));
        gone.map(|view| view.entry_id)
    }

    /// Id of the custom entry for the same plate, state and case.
    #[must_use]
    pub fn id_of_like<'a>(&'a self, entry: &'a ListEntry) -> Option<&'a str> {
        let case = counted_case(&entry.case);
        let is_like = |own: &EntryView<'_>| {
            let same = own.class == ListClass::Custom && own.jurisdiction == entry.jurisdiction;
            same && own.case().is_some_and(|own| counted_case(own) == case)
        };
        self.under(entry.plate.expose_text()).find(is_like).map(|own| own.entry_id)
    }

    pub(super) const fn restamp(&mut self, stamp: SetStamp) {
        self.stamp = stamp;
    }

    /// Entries with this very text.
    pub(super) fn under<'a>(&'a self, text: &'a str) -> impl Iterator<Item = EntryView<'a>> + 'a {
        self.packed.under(text).filter_map(move |payload| EntryView::of(text, payload))
    }

    /// True if any entry is matched with misreadings.
    pub(super) const fn has_near(&self) -> bool {
        self.near.len() > 0
    }

    /// Entries that may be misread as this folded text, those of the same text among them.
    pub(super) fn near<'a>(&'a self, folded: &'a str) -> impl Iterator<Item = EntryView<'a>> + 'a {
        self.near.under(folded).filter_map(|place| {
            let place = u32::from_be_bytes(place.try_into().ok()?);
            let (text, payload) = self.packed.record(place)?;
            EntryView::of(text, payload)
        })
    }

    /// Every entry, in no order that means anything.
    pub(super) fn views(&self) -> impl Iterator<Item = EntryView<'_>> {
        self.packed.records().filter_map(|(_, text, payload)| EntryView::of(text, payload))
    }
}

fn first_bytes(text: &str) -> u64 {
    text.bytes().chain(core::iter::repeat(0)).take(8).fold(0, |sum, byte| (sum << 8) | u64::from(byte))
}

/// An entry as it is packed, read so far as matching needs it.
#[derive(Clone, Copy)]
pub(super) struct EntryView<'a> {
    pub(super) text: &'a str,
    pub(super) class: ListClass,
    pub(super) jurisdiction: Option<Jurisdiction>,
    pub(super) entered_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) effective_at: Option<Timestamp>,
    pub(super) vehicle: Vehicle,
    pub(super) level: AlertLevel,
    pub(super) state_required: bool,
    pub(super) variants: Variants,
    pub(super) entry_id: &'a str,
    /// What only an alert needs.
    rest: &'a [u8],
}

const EFFECTIVE: u8 = 1;
const STATE_REQUIRED: u8 = 1 << 1;
const NEAR: u8 = 1 << 2;
const HIGH: u8 = 1 << 3;
const MEDIUM: u8 = 1 << 4;

/// Class, length of the state's code, code: entries that are equal in them are one.
fn merge_key(payload: &[u8]) -> Option<(&[u8], u64)> {
    let code = usize::from(*payload.get(1)?);
    let (key, rest) = payload.split_at_checked(code.checked_add(2)?)?;
    Some((key, Taker(rest).number()?))
}

fn pack(entry: &ListEntry, out: &mut Vec<u8>) -> Result<()> {
    let texts = [&entry.source_file, &entry.case, &entry.agency, &entry.note];
    let fits = texts.iter().all(|text| text.len() <= ENTRY_TEXT_BYTES_MAX);
    if !fits || entry.entry_id.len() > ENTRY_ID_BYTES_MAX {
        return Err(Error::internal("texts of a checked entry are within their bounds"));
    }
    out.push(class_code(entry.class));
    let code = entry.jurisdiction.as_ref().map_or("", Jurisdiction::code);
    put_text(out, code);
    put_number(out, entry.entered_at.0);
    put_number(out, entry.expires_at.0);
    let bit = |set: bool, bit: u8| if set { bit } else { 0 };
    let level = match entry.level {
        AlertLevel::Low => 0,
        AlertLevel::Medium => MEDIUM,
        AlertLevel::High => HIGH,
    };
    let near = bit(entry.variants == Variants::Near, NEAR);
    let effective = bit(entry.effective_at.is_some(), EFFECTIVE);
    out.push(level | near | effective | bit(entry.state_required, STATE_REQUIRED));
    if let Some(time) = entry.effective_at {
        put_number(out, time.0);
    }
    let vehicle = [entry.vehicle.class, entry.vehicle.make, entry.vehicle.colour];
    let bits = vehicle.iter().zip([1_u8, 2, 4]).map(|(part, low)| match part {
        None => 0,
        Some(Coded { conf: None, .. }) => low,
        Some(Coded { conf: Some(_), .. }) => low | (low << 3),
    });
    out.push(bits.fold(0, |sum, one| sum | one));
    for part in vehicle.into_iter().flatten() {
        put_number(out, u64::from(part.code));
        if let Some(conf) = part.conf {
            put_number(out, u64::from(conf));
        }
    }
    put_text(out, &entry.entry_id);
    put_number(out, u64::from(entry.basis.code()));
    put_number(out, u64::from(entry.offence.code()));
    for text in texts {
        put_text(out, text);
    }
    Ok(())
}

impl<'a> EntryView<'a> {
    fn of(text: &'a str, payload: &'a [u8]) -> Option<Self> {
        let mut taker = Taker(payload);
        let class = class_of(taker.byte()?)?;
        let jurisdiction = match taker.text()? {
            "" => None,
            code => Some(Jurisdiction::parse(code)?),
        };
        let (entered_at, expires_at) = (Timestamp(taker.number()?), Timestamp(taker.number()?));
        let flags = taker.byte()?;
        let effective_at = if flags & EFFECTIVE == 0 { None } else { Some(Timestamp(taker.number()?)) };
        let bits = taker.byte()?;
        let mut vehicle = Vehicle::default();
        for (low, part) in [(1_u8, &mut vehicle.class), (2, &mut vehicle.make), (4, &mut vehicle.colour)] {
            if bits & low != 0 {
                let code = u16::try_from(taker.number()?).ok()?;
                let conf = if bits & (low << 3) == 0 { None } else { Some(u16::try_from(taker.number()?).ok()?) };
                *part = Some(Coded { code, conf });
            }
        }
        let entry_id = taker.text()?;
        let level = if flags & HIGH != 0 {
            AlertLevel::High
        } else if flags & MEDIUM != 0 {
            AlertLevel::Medium
        } else {
            AlertLevel::Low
        };
        let variants = if flags & NEAR == 0 { Variants::None } else { Variants::Near };
        let state_required = flags & STATE_REQUIRED != 0;
        let rest = taker.0;
        Some(Self {
            text,
            class,
            jurisdiction,
            entered_at,
            expires_at,
            effective_at,
            vehicle,
            level,
            state_required,
            variants,
            entry_id,
            rest,
        })
    }

    fn is_like(&self, other: &EntryView<'_>) -> bool {
        let case = |view: &EntryView<'_>| view.case().map(counted_case);
        let same = self.jurisdiction == other.jurisdiction && self.class == other.class;
        same && (self.class != ListClass::Custom || case(self) == case(other))
    }

    /// The case number.
    pub(super) fn case(&self) -> Option<&'a str> {
        let mut taker = Taker(self.rest);
        let (_, _) = (taker.number()?, taker.number()?);
        taker.text()?;
        taker.text()
    }

    /// The whole entry, for an alert.
    pub(super) fn to_entry(self) -> Option<ListEntry> {
        let mut taker = Taker(self.rest);
        let basis = Basis::from_code(u16::try_from(taker.number()?).ok()?)?;
        let offence = Offence::from_code(u16::try_from(taker.number()?).ok()?)?;
        let mut text = || taker.text().map(str::to_owned);
        let (source_file, case, agency, note) = (text()?, text()?, text()?, text()?);
        Some(ListEntry {
            entry_id: self.entry_id.to_owned(),
            plate: Plate::parse(self.text)?,
            jurisdiction: self.jurisdiction,
            class: self.class,
            source_file,
            offence,
            entered_at: self.entered_at,
            expires_at: self.expires_at,
            effective_at: self.effective_at,
            case,
            basis,
            agency,
            vehicle: self.vehicle,
            level: self.level,
            state_required: self.state_required,
            variants: self.variants,
            note,
        })
    }
}

const fn class_code(class: ListClass) -> u8 {
    match class {
        ListClass::StolenVehicle => 1,
        ListClass::StolenPlate => 2,
        ListClass::WantedPerson => 3,
        ListClass::MissingPerson => 4,
        ListClass::AmberAlert => 5,
        ListClass::Custom => 6,
        ListClass::ProtectionOrder => 7,
        ListClass::ExtremeRiskOrder => 8,
        ListClass::Gang => 9,
        ListClass::TerroristScreening => 10,
        ListClass::SupervisedRelease => 11,
        ListClass::SexOffender => 12,
        ListClass::ImmigrationViolator => 13,
        ListClass::ProtectiveInterest => 14,
        ListClass::ViolentPerson => 15,
        ListClass::Unknown => 16,
    }
}

const fn class_of(code: u8) -> Option<ListClass> {
    Some(match code {
        1 => ListClass::StolenVehicle,
        2 => ListClass::StolenPlate,
        3 => ListClass::WantedPerson,
        4 => ListClass::MissingPerson,
        5 => ListClass::AmberAlert,
        6 => ListClass::Custom,
        7 => ListClass::ProtectionOrder,
        8 => ListClass::ExtremeRiskOrder,
        9 => ListClass::Gang,
        10 => ListClass::TerroristScreening,
        11 => ListClass::SupervisedRelease,
        12 => ListClass::SexOffender,
        13 => ListClass::ImmigrationViolator,
        14 => ListClass::ProtectiveInterest,
        15 => ListClass::ViolentPerson,
        16 => ListClass::Unknown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
