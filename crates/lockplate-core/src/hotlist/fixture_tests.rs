//! Invented lists, reads and people for the tests of this folder.

use std::collections::{BTreeMap, BTreeSet};

use lockplate_log::note::{NoteSigner, Origin};

use super::load::check_form;
use super::load::{ListPolicy, LoadHeader, LoadMode, LoadOutcome, LoadRefusal, LoadRules, Loading, PastLoad, Ruling};
use super::matching::{Comparison, Marks, ReadFacts, compare};
use super::set::{CheckedEntry, ListSet, ListSettings, SetKind, SetStamp};
use super::{AlertLevel, ListEntry, Variants};
use crate::Timestamp;
use crate::charter::AgencyPage;
use crate::directory::{Directory, DirectoryBody, OfficerEntry, VerifiedDirectory};
use crate::entry::ListClass;
use crate::id::AgencyId;
use crate::plate::{Jurisdiction, Plate};
use crate::read::{Motion, Read, ReadFlags, TimeQuality, Vehicle};
use crate::sign::SigningKey;
use crate::signed::{Header, Signable as _, SignedObject, VersionOne};
use crate::vocabulary::{Basis, Level, Offence, Role, State};

/// 2026-11-22T14:00:00Z.
pub(super) const NOW: Timestamp = Timestamp(1_795_356_000);
pub(super) const LIST: [u8; 16] = [0x4c; 16];
pub(super) const DAY: u64 = 86_400;
pub(super) const HOUR: u64 = 3_600;

pub(super) const fn after(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 + seconds)
}

pub(super) const fn before(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 - seconds)
}

pub(super) fn plate(text: &str) -> Plate {
    Plate::parse(text).unwrap()
}

pub(super) fn state(code: &str) -> Jurisdiction {
    Jurisdiction::parse(code).unwrap()
}

pub(super) fn entry(id: &str, text: &str, code: Option<&str>, class: ListClass) -> ListEntry {
    ListEntry {
        entry_id: id.to_owned(),
        plate: plate(text),
        jurisdiction: code.map(state),
        class,
        source_file: "VEH".to_owned(),
        offence: Offence::Felony,
        entered_at: before(DAY),
        expires_at: after(20 * DAY),
        effective_at: None,
        case: "26-0417".to_owned(),
        basis: Basis::StatutoryDuty,
        agency: "CT0000001".to_owned(),
        vehicle: Vehicle::default(),
        level: AlertLevel::High,
        state_required: false,
        variants: Variants::None,
        note: String::new(),
    }
}

pub(super) fn stolen(id: &str, text: &str, code: Option<&str>) -> ListEntry {
    entry(id, text, code, ListClass::StolenVehicle)
}

pub(super) const fn settings(kind: SetKind) -> ListSettings {
    ListSettings { list: LIST, kind, conf_min: super::limits::CONF_MIN, trust_jurisdiction: true }
}

pub(super) const fn stamp() -> SetStamp {
    SetStamp { sequence: 1, produced_at: before(HOUR), full_at: before(HOUR) }
}

pub(super) fn checked(entry: ListEntry, kind: SetKind) -> CheckedEntry {
    let allowed = Ruling { allowed: true, digest: [1; 32] };
    check_form(entry, kind, true, NOW).unwrap().ruled(&allowed).unwrap()
}

pub(super) fn set_of(kind: SetKind, entries: Vec<ListEntry>) -> ListSet {
    ListSet::build(settings(kind), stamp(), 7, entries.into_iter().map(|one| checked(one, kind))).unwrap()
}

pub(super) fn extract(entries: Vec<ListEntry>) -> ListSet {
    set_of(SetKind::Extract, entries)
}

pub(super) fn read(text: &str, code: Option<&str>, jur_conf: Option<u16>) -> Read {
    Read {
        source: 1,
        engine_ref: None,
        camera: 77,
        captured_at: i64::try_from(NOW.0).unwrap() * 1_000 + 250,
        source_time: None,
        time_quality: TimeQuality::Exact,
        plate: plate(text),
        jurisdiction: code.map(state),
        jur_conf,
        jurisdiction_trusted: code.is_some() && jur_conf.is_none_or(|conf| conf >= 800),
        conf: Some(950),
        vehicle: Vehicle::default(),
        motion: Motion::Approaching,
        frames: 9,
        flags: ReadFlags::default(),
    }
}

pub(super) fn facts(read: &Read) -> ReadFacts<'_> {
    ReadFacts { read, of_frames: false, conf_min: 0 }
}

pub(super) fn compared(set: &ListSet, read: &Read) -> Comparison {
    compare(set, &Marks::default(), &facts(read), NOW)
}

/// The base pack as `hotlists.md` section 2 has it. A custom entry whose id begins with "denied" is refused.
pub(super) struct BasePack;

impl ListPolicy for BasePack {
    fn rule_on_class(&self, class: ListClass) -> Ruling {
        let loaded = ["stolenVehicle", "stolenPlate", "wantedPerson", "missingPerson", "amberAlert", "custom"];
        let digest = crate::wire::th("test", &[class.name().as_bytes()]);
        Ruling { allowed: loaded.contains(&class.name()), digest }
    }

    fn rule_on_entry(&self, entry: &ListEntry) -> Ruling {
        let digest = crate::wire::th("test", &[entry.entry_id.as_bytes()]);
        Ruling { allowed: !entry.entry_id.starts_with("denied"), digest }
    }
}

/// Fourteen loads of `entries` with all classes of an extract.
pub(super) fn history(entries: u64) -> Vec<PastLoad> {
    let classes = ["stolenVehicle", "stolenPlate", "wantedPerson", "missingPerson", "custom", "amberAlert"];
    let classes: BTreeSet<_> = classes.iter().map(|name| ListClass::from_name(name).unwrap()).collect();
    vec![PastLoad { entries, classes }; 14]
}

/// One load in the making: everything that a test may want to change.
pub(super) struct Load {
    pub(super) kind: SetKind,
    pub(super) mode: LoadMode,
    pub(super) sequence: u64,
    pub(super) produced_at: Timestamp,
    pub(super) now: Timestamp,
    pub(super) lines: Option<u64>,
    pub(super) steward: Option<[u8; 32]>,
    pub(super) entries_max: u64,
    pub(super) signed: BTreeSet<String>,
    pub(super) elsewhere: Vec<ListSet>,
    pub(super) new_today: u64,
    pub(super) by_hand: bool,
    pub(super) history: Vec<PastLoad>,
    pub(super) bad: u64,
    pub(super) add: Vec<ListEntry>,
    pub(super) remove: Vec<&'static str>,
    /// Brought without a supervisor.
    pub(super) alone: bool,
}

/// The pack where an officer has nobody beside him.
struct Alone;

impl ListPolicy for Alone {
    fn rule_on_class(&self, class: ListClass) -> Ruling {
        let ruling = BasePack.rule_on_class(class);
        Ruling { allowed: ruling.allowed && class != ListClass::Custom, ..ruling }
    }

    fn rule_on_entry(&self, entry: &ListEntry) -> Ruling {
        Ruling { allowed: false, ..BasePack.rule_on_entry(entry) }
    }
}

impl Load {
    pub(super) fn full(kind: SetKind, add: Vec<ListEntry>) -> Self {
        Self {
            kind,
            mode: LoadMode::Full,
            sequence: 1,
            produced_at: before(HOUR),
            now: NOW,
            lines: None,
            steward: Some([5; 32]),
            entries_max: 1_000_000,
            signed: BTreeSet::new(),
            elsewhere: vec![],
            new_today: 0,
            by_hand: false,
            history: history(0),
            bad: 0,
            add,
            remove: vec![],
            alone: false,
        }
    }

    pub(super) fn change(kind: SetKind, sequence: u64, add: Vec<ListEntry>, remove: Vec<&'static str>) -> Self {
        let mode = LoadMode::Incremental { base: sequence - 1 };
        Self { mode, sequence, remove, ..Self::full(kind, add) }
    }

    pub(super) fn run(self, before: Option<&ListSet>) -> Result<LoadOutcome, LoadRefusal> {
        let lines = u64::try_from(self.add.len() + self.remove.len()).unwrap() + self.bad;
        let header = LoadHeader {
            list: LIST,
            mode: self.mode,
            sequence: self.sequence,
            produced_at: self.produced_at,
            entries: Some(self.lines.unwrap_or(lines)),
        };
        let elsewhere: Vec<&ListSet> = self.elsewhere.iter().collect();
        let rules = LoadRules {
            settings: settings(self.kind),
            steward: self.steward,
            entries_max: self.entries_max,
            signed: &self.signed,
            elsewhere: &elsewhere,
            new_today: self.new_today,
            by_hand: self.by_hand,
            history: &self.history,
            lost: &BTreeMap::new(),
            index_key: 7,
        };
        if self.alone {
            let loading = Loading::begin(rules, header, before, &Alone, self.now)?;
            return Self::feed(loading, self.add, &self.remove, self.bad);
        }
        let loading = Loading::begin(rules, header, before, &BasePack, self.now)?;
        Self::feed(loading, self.add, &self.remove, self.bad)
    }

    fn feed<P: ListPolicy>(
        mut loading: Loading<'_, P>,
        add: Vec<ListEntry>,
        remove: &[&str],
        bad: u64,
    ) -> Result<LoadOutcome, LoadRefusal> {
        add.into_iter().for_each(|one| loading.add(one));
        remove.iter().for_each(|id| loading.remove(id));
        (0..bad).for_each(|_| loading.bad_line());
        loading.finish()
    }

    pub(super) fn ready(self, before: Option<&ListSet>) -> super::load::Loaded {
        match self.run(before).unwrap() {
            LoadOutcome::Ready(loaded) => *loaded,
            LoadOutcome::Held(held) => panic!("held: {:?}", held.reasons()),
            LoadOutcome::Void(void) => panic!("void: {:?}", void.why()),
        }
    }
}

/// An officer's key; the seed is its name.
pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&lockplate_oprf::Secret::new([seed; 32]))
}

pub(super) fn key_id(seed: u8) -> [u8; 32] {
    key(seed).verify_key().0
}

/// Officers 1, 2, 4 (with a second key, 5), and 3, who is a supervisor.
pub(super) fn directory() -> VerifiedDirectory {
    let signer = |name: &str, seed: u8| NoteSigner::new(Origin::parse(name).unwrap(), &[seed; 32]).unwrap();
    let officer = |person: u8, keys: &[u8], roles: &[Role]| OfficerEntry {
        person: [person; 32],
        keys: keys.iter().map(|seed| key_id(*seed)).collect(),
        trained_until: after(DAY),
        active: true,
        roles: roles.iter().copied().collect(),
    };
    let agency = AgencyId([9; 16]);
    let directory = Directory {
        header: Header { v: VersionOne, nonce: [1; 16], issued: NOW, issuer: "agency".to_owned() },
        body: DirectoryBody {
            agency,
            name: "Millbrook Police Department".to_owned(),
            ori: String::new(),
            state: State::parse("CT").unwrap(),
            level: Level::Local,
            law_enforcement: true,
            serial: 1,
            valid_until: after(DAY),
            officers: vec![
                officer(1, &[1], &[]),
                officer(2, &[2], &[]),
                officer(3, &[3], &[Role::Supervisor]),
                officer(4, &[4, 5], &[]),
            ],
            desk_log: "alpr.example/log/desk".to_owned(),
            desk_key: signer("desk", 4).verifier_key().clone(),
        },
    };
    let key = signer("agency", 3);
    let object = SignedObject::parse(&directory.sign(&[&key]).unwrap()).unwrap();
    let known = AgencyPage {
        id: agency,
        name: "Millbrook Police Department".to_owned(),
        state: State::parse("CT").unwrap(),
        level: Level::Local,
        desk_log: None,
        url: "https://alpr.example".to_owned(),
        tls_pin: [0; 32],
    };
    VerifiedDirectory::verify(&object, &known, &[key.verifier_key().clone()], None, NOW).unwrap()
}
