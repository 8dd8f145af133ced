//! One load, from the bytes of a file to a set that may be put in force: parsed, decided class by class, counted. It runs on two blocking
//! threads, keeps no line, and writes nothing; the file's bytes are gone when it returns, but for lists that live with the recorder.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use axum::body::Bytes;
use lockplate_core::Timestamp;
use lockplate_core::entry::ListClass;
use lockplate_core::hotlist::ListEntry;
use lockplate_core::hotlist::load::{
    ListPolicy, LoadHeader, LoadMode, LoadOutcome, LoadRefusal, LoadRules, Loading, PastLoad, Refusal, Ruling,
};
use lockplate_core::hotlist::set::{ListSet, SetKind};
use lockplate_core::hotlist::steward::{ListConfig, OrderedDelivery};
use lockplate_core::vocabulary::{Basis, Offence, Purpose};
use lockplate_intake::hotlist_file::{
    self, Delivery, FileRefused, Header, HotlistFile, Mode, Outcome, OwnForm, Template,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::law::{Acted, EXTRACT_DAYS, ListLaw, Matter, purpose_of};
use super::matcher::InForce;

/// Bytes of a file that is kept: 24 custom entries, or all AMBER alerts of a country.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a file whose rows are handed on together, and how many such batches may wait to be judged.
const BATCH_BYTES: usize = 512 * 1024;
const BATCHES_MAX: usize = 2;
/// Bytes at the beginning of a file that are waited for before it is decided how the file is read. One that is longer is not of one entry.
const START_BYTES_MAX: usize = 64 * 1024;
const DAY_SECONDS: u64 = 86_400;

/// What one load is judged by.
pub(super) struct Judged<'a> {
    pub(super) config: &'a ListConfig,
    pub(super) template: Option<&'a Template>,
    pub(super) delivery: Option<OrderedDelivery>,
    pub(super) law: &'a ListLaw,
    pub(super) acted: Acted,
    /// Key of the steward of the list.
    pub(super) steward: [u8; 32],
    /// Entries of an extract: what the steward signed, and no more than the charter lets.
    pub(super) entries_max: u64,
    /// A supervisor signed this load.
    pub(super) supervised: bool,
    pub(super) before: Option<&'a InForce>,
    pub(super) history: &'a [PastLoad],
    pub(super) lost: &'a BTreeMap<ListClass, u64>,
    /// Of a custom list: the agency's other custom lists.
    pub(super) elsewhere: &'a [Arc<InForce>],
    pub(super) new_today: u64,
    pub(super) by_hand: bool,
    /// Random, this process's own.
    pub(super) index_key: u64,
    /// Random, this process's own: ids of entries that have none.
    pub(super) id_key: [u8; 32],
    pub(super) now: Timestamp,
}

/// A load that was read to its end.
pub(super) struct Read {
    pub(super) outcome: LoadOutcome,
    pub(super) of: FileRead,
}

/// What is known of a file beyond its entries.
pub(super) struct FileRead {
    /// SHA-256 of the file.
    pub(super) file: [u8; 32],
    /// The file, of a list that lives with the recorder.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Creators of the entries of a custom list.
    pub(super) creators: BTreeMap<String, [u8; 32]>,
    pub(super) is_full: bool,
}

/// Why there is no set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotRead {
    File(FileRefused),
    Load(LoadRefusal),
    /// It broke off.
    BrokenOff,
    /// The file is not the one that was signed for.
    OtherFile,
    /// The list's files have a format that does not say what they are, and nobody said it.
    NoDelivery,
    /// Another change of the list is in the log and not confirmed.
    Behind,
    /// The same of another custom list: caps are counted over all of them.
    OtherBefore,
    /// It takes off what others have on the list.
    OthersEntries,
}

impl NotRead {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::File(FileRefused::BadHeader) => "the first line of the file is missing or not of its format",
            Self::File(FileRefused::TooLarge) => {
                "the file is too large: 2 GiB at most, and where it is one JSON body 8 MiB and a million values"
            }
            Self::File(FileRefused::TooManyRows) => "the file, or one request of this source, has too many rows",
            Self::File(FileRefused::Empty) => "the file is empty",
            Self::File(FileRefused::Truncated) => "the file ends before its end",
            Self::File(FileRefused::Malformed) => "the file is no JSON object, or is cut off",
            Self::File(FileRefused::TooManyBadLines) => "too many lines cannot be read",
            Self::Load(refusal) => refusal.label(),
            Self::BrokenOff => "the file broke off on its way",
            Self::OtherFile => "this is not the file that the order was signed for",
            Self::NoDelivery => "say which load of the list this file is: its format does not",
            Self::Behind => {
                "an earlier change of this list is logged and waits for the log's witnesses: bring this file once that has taken effect"
            }
            Self::OtherBefore => {
                "a load of another list of the agency's own waits for the log's witnesses: bring this file once that has taken effect"
            }
            Self::OthersEntries => {
                "it takes entries off that others brought: only the list's steward, or a supervisor who signs for it, does that"
            }
        }
    }
}

impl From<FileRefused> for NotRead {
    fn from(refused: FileRefused) -> Self {
        Self::File(refused)
    }
}

impl From<LoadRefusal> for NotRead {
    fn from(refused: LoadRefusal) -> Self {
        Self::Load(refused)
    }
}

/// The policy's answers for one load.
struct Asked<'a> {
    law: &'a ListLaw,
    acted: &'a Acted,
    purpose: Option<Purpose>,
    now: Timestamp,
}

impl Asked<'_> {
    fn rule(&self, class: ListClass, basis: Basis, case_number: bool, offence: Offence, days: i64) -> Ruling {
        // A class that nobody loads is asked about all the same: the decision on it stands in the leaf. Its purpose is the one that the
        // class stands for, or none that a list may have.
        let own = if class == ListClass::Custom { self.purpose } else { purpose_of(class) };
        let never =
            if class == ListClass::ImmigrationViolator { Purpose::CivilImmigration } else { Purpose::ProtectedTrait };
        let purpose = own.unwrap_or(never);
        let matter = Matter { class, purpose, basis, case_number, offence, expires_in_days: days };
        self.law.add_entry(self.acted, &matter).ruling
    }
}

impl ListPolicy for Asked<'_> {
    fn rule_on_class(&self, class: ListClass) -> Ruling {
        let is_custom = class == ListClass::Custom;
        let days = if class == ListClass::AmberAlert { 3 } else { EXTRACT_DAYS };
        // Of a custom list each entry is asked about by itself, with its own basis and case.
        let basis = if is_custom { Basis::ReasonableSuspicion } else { Basis::StatutoryDuty };
        self.rule(class, basis, is_custom, Offence::None, days)
    }

    fn rule_on_entry(&self, entry: &ListEntry) -> Ruling {
        let days = entry.expires_at.0.saturating_sub(self.now.0).div_ceil(DAY_SECONDS);
        let days = i64::try_from(days).unwrap_or(i64::MAX);
        self.rule(entry.class, entry.basis, !entry.case.trim().is_empty(), entry.offence, days)
    }
}

/// Reads a file that comes in pieces to its end. `file` is the digest that was signed for, where somebody did.
pub(super) fn read(
    judged: &Judged<'_>,
    pieces: &mut mpsc::Receiver<Option<Bytes>>,
    file: Option<[u8; 32]>,
) -> Result<Read, NotRead> {
    let is_kept = judged.config.settings.kind != SetKind::Extract;
    let delivery = judged.delivery.as_ref().map(|delivery| of_delivery(judged, delivery));
    let start = Start::of(pieces).ok_or(NotRead::BrokenOff)?;
    let signed: BTreeSet<String> =
        if judged.supervised && is_kept { start.only_entry().into_iter().collect() } else { BTreeSet::new() };
    let load = hotlist_file::Load { now: judged.now, signed_placeholders: &signed };
    let parser = match (judged.template, &delivery) {
        (None, _) => {
            let source_file = delivery.as_ref().and_then(|delivery| delivery.source_file.as_deref());
            HotlistFile::own(start.form(), load).of_source_file(source_file.unwrap_or_default())
        }
        (Some(template), Some(delivery)) => HotlistFile::by_template(template, delivery, load)?,
        (Some(_), None) => return Err(NotRead::NoDelivery),
    };
    let law = Asked { law: judged.law, acted: &judged.acted, purpose: judged.config.purpose, now: judged.now };
    let elsewhere: Vec<&ListSet> = judged.elsewhere.iter().map(|list| &list.set).collect();
    let rules = LoadRules {
        settings: judged.config.settings,
        steward: Some(judged.steward),
        entries_max: judged.entries_max,
        signed: &signed,
        elsewhere: &elsewhere,
        new_today: judged.new_today,
        by_hand: judged.by_hand,
        history: judged.history,
        lost: judged.lost,
        index_key: judged.index_key,
    };
    let mut hash = Sha256::new();
    let mut bytes = Zeroizing::new(Vec::new());
    let mut loading: Option<Loading<'_, Asked<'_>>> = None;
    let mut creators = BTreeMap::new();
    let (parsed, judging) = std::thread::scope(|scope| {
        let (to, batches) = sync_channel(BATCHES_MAX);
        let parsing = scope.spawn(|| parse(parser, start, pieces, to));
        let judging = batches.into_iter().try_for_each(|Batch { pieces, header, rows }| {
            for piece in pieces {
                hash.update(&piece);
                if is_kept {
                    if bytes.len().saturating_add(piece.len()) > KEPT_BYTES_MAX {
                        return Err(NotRead::File(FileRefused::TooLarge));
                    }
                    bytes.extend_from_slice(&piece);
                }
            }
            if let Some(header) = header {
                let before = judged.before.map(|before| &before.set);
                loading = Some(begin(judged, &rules, before, &law, &header)?);
            }
            let Some(loading) = &mut loading else { return Ok(()) };
            rows.into_iter().for_each(|row| take(loading, row, judged, &mut creators));
            Ok(())
        });
        (parsing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), judging)
    });
    // A file that is not wanted is not read to its end.
    judging?;
    let header = parsed?;
    let loading = loading.ok_or(NotRead::BrokenOff)?;
    let file_read: [u8; 32] = hash.finalize().into();
    if file.is_some_and(|file| file != file_read) {
        return Err(NotRead::OtherFile);
    }
    let is_full = header.mode == Mode::Full;
    if !is_full && let Some(before) = judged.before {
        let kept = before.creators.iter().map(|(id, key)| (id.clone(), *key));
        creators = kept.chain(creators).collect();
    }
    Ok(Read { outcome: loading.finish()?, of: FileRead { file: file_read, bytes, creators, is_full } })
}

/// The beginning of a file. Where a file is cut into pieces is for its sender to choose, so nothing of it is decided by its first piece.
struct Start {
    /// All of a file of at most [`START_BYTES_MAX`], of a longer one more than that.
    bytes: Bytes,
    /// The file's end has come.
    is_whole: bool,
}

impl Start {
    /// Waits for it; none where the file broke off before.
    fn of(pieces: &mut mpsc::Receiver<Option<Bytes>>) -> Option<Self> {
        let mut bytes = Vec::new();
        let is_whole = loop {
            let more = pieces.blocking_recv().flatten()?;
            if more.is_empty() {
                break true;
            }
            bytes.extend_from_slice(&more);
            if bytes.len() > START_BYTES_MAX {
                break false;
            }
        };
        Some(Self { bytes: bytes.into(), is_whole })
    }

    /// The form of a file in the own format.
    fn form(&self) -> OwnForm {
        // Of a longer file there may be more here or less.
        let start = self.bytes.get(..START_BYTES_MAX).unwrap_or(&self.bytes);
        // The parser too leaves out a BOM before the first line.
        let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        if text.trim_ascii_start().first() == Some(&b'{') { OwnForm::Ndjson } else { OwnForm::Csv }
    }

    /// The id of the entry of a file of one entry. Whoever signs such a file signs this very entry; "signed one by one" is nothing else.
    fn only_entry(&self) -> Option<String> {
        if !self.is_whole {
            return None;
        }
        let lines = self.bytes.split(|byte| *byte == b'\n').skip(1);
        let mut entries = lines.filter(|line| !line.trim_ascii().is_empty());
        let (only, None) = (entries.next()?, entries.next()) else { return None };
        let object: serde_json::Value = serde_json::from_slice(only).ok()?;
        object.get("entry_id")?.as_str().map(str::to_owned)
    }
}

/// Pieces of a file and what is in them. The header is in the first batch in which it is known, and before any row.
#[derive(Default)]
struct Batch {
    pieces: Vec<Bytes>,
    header: Option<Header>,
    rows: Vec<Outcome>,
}

/// Reads a file to its end, beside whoever judges its rows: a state's list has millions of them.
fn parse(
    mut parser: HotlistFile<'_>,
    start: Start,
    pieces: &mut mpsc::Receiver<Option<Bytes>>,
    to: SyncSender<Batch>,
) -> Result<Header, NotRead> {
    // Where nobody listens any more, it was said why.
    let hand_on = |batch| to.send(batch).map_err(|_judged| NotRead::BrokenOff);
    let mut batch = Batch::default();
    let mut is_begun = false;
    let Start { bytes, is_whole } = start;
    let mut piece = Some(bytes);
    loop {
        let Some(more) = piece else { return Err(NotRead::BrokenOff) };
        if more.is_empty() {
            break;
        }
        parser.push(&more, |_, outcome| batch.rows.push(outcome))?;
        batch.pieces.push(more);
        if batch.pieces.iter().map(Bytes::len).sum::<usize>() >= BATCH_BYTES {
            batch.header = parser.header().filter(|_| !is_begun).cloned();
            is_begun |= batch.header.is_some();
            hand_on(core::mem::take(&mut batch))?;
        }
        // The end of a short file was taken with its beginning.
        piece = if is_whole { Some(Bytes::new()) } else { pieces.blocking_recv().flatten() };
    }
    let complete = parser.finish(|_, outcome| batch.rows.push(outcome))?;
    batch.header = Some(complete.header()).filter(|_| !is_begun).cloned();
    hand_on(batch)?;
    Ok(complete.header().clone())
}

fn of_delivery(judged: &Judged<'_>, delivery: &OrderedDelivery) -> Delivery {
    let (mode, base) = match delivery.mode {
        LoadMode::Full => (Mode::Full, None),
        LoadMode::Incremental { base } => (Mode::Incremental, Some(base)),
    };
    Delivery {
        header: Header {
            list: judged.config.name.clone(),
            mode,
            sequence: delivery.sequence,
            base,
            produced_at: delivery.produced_at,
            entries: None,
        },
        source_file: (!delivery.source_file.is_empty()).then(|| delivery.source_file.clone()),
        removes: delivery.removes,
        id_key: judged.id_key,
    }
}

fn begin<'a>(
    judged: &Judged<'a>,
    rules: &LoadRules<'a>,
    before: Option<&'a ListSet>,
    law: &'a Asked<'a>,
    header: &Header,
) -> Result<Loading<'a, Asked<'a>>, NotRead> {
    if header.list != judged.config.name {
        return Err(NotRead::Load(LoadRefusal::OtherList));
    }
    let mode = match (header.mode, header.base) {
        (Mode::Full, _) => LoadMode::Full,
        (Mode::Incremental, Some(base)) => LoadMode::Incremental { base },
        (Mode::Incremental, None) => return Err(NotRead::Load(LoadRefusal::Gap)),
    };
    let header = LoadHeader {
        list: rules.settings.list,
        mode,
        sequence: header.sequence,
        produced_at: header.produced_at,
        entries: header.entries,
    };
    Ok(Loading::begin(rules.clone(), header, before, law, judged.now)?)
}

fn take(
    loading: &mut Loading<'_, Asked<'_>>,
    row: Outcome,
    judged: &Judged<'_>,
    creators: &mut BTreeMap<String, [u8; 32]>,
) {
    match row {
        Outcome::Add(entry) => {
            if entry.class == ListClass::Custom {
                // Brought again it stays the case of whoever brought it first.
                let first = judged.before.and_then(|before| before.creators.get(before.set.id_of_like(&entry)?));
                creators.insert(entry.entry_id.clone(), *first.unwrap_or(&judged.acted.officer.key_id));
            }
            loading.add(*entry);
        }
        Outcome::Remove(id) => loading.remove(&id),
        Outcome::Drop(class) => loading.refuse(class, Refusal::NotAllowed),
        Outcome::Over { class, entry_id } => loading.over(class, entry_id),
        Outcome::Refuse { class, reason } => match refusal(reason) {
            Some(refusal) => loading.refuse(class, refusal),
            None => loading.bad_line(),
        },
    }
}

/// A parser's reason in the words of a load; none for a line that nobody can read.
const fn refusal(reason: hotlist_file::Refusal) -> Option<Refusal> {
    use hotlist_file::Refusal as Why;
    match reason {
        Why::BadLine | Why::BadValue | Why::MissingField => None,
        Why::UnknownState => Some(Refusal::UnknownState),
        Why::Wildcard => Some(Refusal::Wildcard),
        Why::TooShort | Why::TooLong => Some(Refusal::PlateLength),
        Why::Placeholder => Some(Refusal::Placeholder),
        Why::NoExpiry => Some(Refusal::NoExpiry),
        Why::Expired | Why::TooOld => Some(Refusal::Expired),
        Why::NoCase => Some(Refusal::NoCase),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use lockplate_core::hotlist::set::ListSettings;
    use lockplate_core::id::AgencyId;

    use super::super::law::tests::{acted, law};
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_348_800);
    const TEMPLATE: &str = "source = \"Invented\"\nkind = \"hot\"\nformat = \"delimited\"\ndelimiter = \";\"\nheader = false\n\
        cells = 3\nencoding = \"utf-8\"\nend = \"line_break\"\nstates = \"iso\"\nclass_from = \"column\"\nlife_hours = 48\n\
        basis = \"statutoryDuty\"\nagency = \"CT0000000\"\nentered_at_from_file = true\nentry_id_from_plate = true\n\
        [columns]\nplate = 1\nstate = 2\nclass = 3\n[classes]\nV = \"stolenVehicle\"\nM = \"missingPerson\"\n";

    fn config(entries_max: u64) -> ListConfig {
        ListConfig {
            agency: AgencyId([1; 16]),
            name: "state".to_owned(),
            settings: ListSettings { list: [9; 16], kind: SetKind::Extract, conf_min: 800, trust_jurisdiction: false },
            purpose: None,
            template: [1; 32],
            entries_max,
            alert_key: None,
            serial: 1,
            retired: false,
            time: NOW,
        }
    }

    /// A first load of an extract by its steward, with a second person.
    pub(in super::super) fn judged<'a>(
        config: &'a ListConfig,
        law: &'a ListLaw,
        template: Option<&'a Template>,
        delivery: OrderedDelivery,
    ) -> Judged<'a> {
        static NOTHING: BTreeMap<ListClass, u64> = BTreeMap::new();
        Judged {
            config,
            template,
            delivery: Some(delivery),
            law,
            acted: acted(law.owner(), true),
            steward: [8; 32],
            entries_max: config.entries_max,
            supervised: false,
            before: None,
            history: &[],
            lost: &NOTHING,
            elsewhere: &[],
            new_today: 0,
            by_hand: true,
            index_key: 7,
            id_key: [3; 32],
            now: NOW,
        }
    }

    /// The first load of a list with this law and bound, in the format of [`TEMPLATE`].
    fn first_load(entries_max: u64, pieces: &mut mpsc::Receiver<Option<Bytes>>) -> Result<Read, NotRead> {
        let (law, config) = (law("CT"), config(entries_max));
        let template = Template::parse(TEMPLATE).unwrap();
        read(&judged(&config, &law, Some(&template), delivery()), pieces, None)
    }

    fn delivery() -> OrderedDelivery {
        OrderedDelivery {
            mode: LoadMode::Full,
            sequence: 1,
            produced_at: NOW,
            source_file: String::new(),
            removes: false,
        }
    }

    /// A file of a custom list in the own format, an entry a plate.
    fn own_file(plates: &[&str]) -> String {
        let mut text = header_line(plates.len());
        for (number, plate) in plates.iter().enumerate() {
            text.push_str(&format!(
                "{{\"entry_id\":\"e{number}\",\"plate\":\"{plate}\",\"jurisdiction\":\"US-CT\",\"class\":\"custom\",\
                 \"offence\":\"felony\",\"entered_at\":\"2026-11-21T12:00:00Z\",\"expires_at\":\"2026-11-24T12:00:00Z\",\
                 \"case\":\"26-0042\",\"basis\":\"statutoryDuty\",\"agency\":\"CT0000000\"}}\n"
            ));
        }
        text
    }

    fn header_line(entries: usize) -> String {
        format!(
            "{{\"list\":\"state\",\"mode\":\"full\",\"sequence\":1,\"produced_at\":\"2026-11-22T11:00:00Z\",\"entries\":{entries}}}\n"
        )
    }

    /// Loads a file of a custom list that a supervisor signed: how many entries there are then, and how many were refused as no plates.
    fn signed_load(pieces: &[&[u8]]) -> Result<(u64, u64), NotRead> {
        let (send, mut received) = mpsc::channel(pieces.len() + 1);
        for piece in pieces {
            send.try_send(Some(Bytes::copy_from_slice(piece))).unwrap();
        }
        send.try_send(Some(Bytes::new())).unwrap();
        let (law, mut config) = (law("CT"), config(100));
        config.settings.kind = SetKind::Custom;
        config.purpose = Some(Purpose::MissingPerson);
        let judged = Judged { supervised: true, ..judged(&config, &law, None, delivery()) };
        let loaded = match read(&judged, &mut received, None)?.outcome {
            LoadOutcome::Ready(loaded) => *loaded,
            LoadOutcome::Held(held) => held.into_loaded(),
            LoadOutcome::Void(void) => void.into_loaded(),
        };
        Ok((loaded.set().entries(), loaded.refusals().get(&Refusal::Placeholder).copied().unwrap_or(0)))
    }

    /// A file as it may come in pieces: whole, line by line, cut behind its first entry, and byte by byte.
    fn each_way(file: &str) -> [Vec<&[u8]>; 4] {
        let bytes = file.as_bytes();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let (start, rest) = bytes.split_at(lines[0].len() + lines[1].len());
        [vec![bytes], lines, vec![start, rest], bytes.chunks(1).collect()]
    }

    #[test]
    fn how_a_file_is_cut_on_its_way_does_not_decide_what_is_loaded() {
        let one = own_file(&["NOPLATE"]);
        // Signed one by one is what comes alone.
        for (file, loaded) in [(&own_file(&["NOPLATE", "ZKX001", "ZKX002"]), (2, 1)), (&one, (1, 0))] {
            for (way, pieces) in each_way(file).iter().enumerate() {
                assert_eq!(signed_load(pieces), Ok(loaded), "way {way} of {file}");
            }
        }
        // Blank lines behind the entry, up to the bound and beyond it.
        for (length, loaded) in [(START_BYTES_MAX, (1, 0)), (START_BYTES_MAX + 1, (0, 1))] {
            let mut long = one.clone().into_bytes();
            long.resize(length, b'\n');
            assert_eq!(signed_load(&[long.as_slice()]), Ok(loaded), "{length}");
            assert_eq!(signed_load(&long.chunks(1_000).collect::<Vec<_>>()), Ok(loaded), "{length} in pieces");
        }
    }

    #[test]
    fn a_byte_order_mark_before_a_file_is_none_of_it() {
        let lines = own_file(&["ZKX001", "ZKX002"]);
        let table = format!(
            "#{}entry_id,plate,class,offence,entered_at,expires_at,case,basis,agency\n\
             e0,ZKX001,custom,felony,2026-11-21T12:00:00Z,2026-11-24T12:00:00Z,26-0042,statutoryDuty,CT0000000\n",
            header_line(1)
        );
        for (file, entries) in [(&lines, 2), (&table, 1)] {
            for mark in ["", "\u{feff}"] {
                for (way, pieces) in each_way(&format!("{mark}{file}")).iter().enumerate() {
                    assert_eq!(signed_load(pieces), Ok((entries, 0)), "way {way} of {mark:?}{file}");
                }
            }
            for other in [format!("\u{feff}\u{feff}{file}"), format!("\n\u{feff}{file}")] {
                let refused = Err(NotRead::File(FileRefused::BadHeader));
                assert_eq!(signed_load(&[other.as_bytes()]), refused, "{other:?}");
            }
        }
    }

    /// The set of some rows.
    pub(in super::super) fn set_of(rows: &'static str) -> ListSet {
        let (send, mut pieces) = mpsc::channel(4);
        for piece in [rows, ""] {
            send.try_send(Some(Bytes::from(piece))).unwrap();
        }
        let Ok(Read { outcome: LoadOutcome::Held(held), .. }) = first_load(100, &mut pieces) else { panic!("{rows}") };
        held.into_loaded().into_set()
    }

    /// Loads `rows` rows, of which every fourth is an entry that may be loaded.
    fn load(rows: u64, entries_max: u64) -> Result<Read, NotRead> {
        let (send, mut pieces) = mpsc::channel(4);
        let source = std::thread::spawn(move || {
            let mut piece = String::new();
            for row in 0..rows {
                // An entry, an immigration violator, a wildcard, one character, a class that nobody knows, a stranger's state.
                let line = match row % 8 {
                    0 | 4 => format!("K{:07};CT;V\n", row / 4),
                    1 => format!("K{:07};CT;Immigration Violator\n", row / 8),
                    2 => format!("K{:05}*;CT;V\n", row / 800),
                    3 => "A;CT;V\n".to_owned(),
                    5 => format!("K{:07};CT;Gang\n", row / 8),
                    6 => format!("K{:07};CT;?\n", row / 8),
                    _ => format!("K{:07};ZZ;V\n", row / 8),
                };
                piece.push_str(&line);
                if piece.len() >= 64 * 1024
                    && send.blocking_send(Some(Bytes::from(core::mem::take(&mut piece)))).is_err()
                {
                    return;
                }
            }
            drop(send.blocking_send(Some(Bytes::from(piece))));
            drop(send.blocking_send(Some(Bytes::new())));
        });
        let read = first_load(entries_max, &mut pieces);
        drop(pieces);
        source.join().unwrap();
        read
    }

    fn is_lawful(read: Read, rows: u64) {
        let LoadOutcome::Held(held) = read.outcome else { panic!("a first load waits for people") };
        let loaded = held.into_loaded();
        assert_eq!(loaded.set().entries(), rows / 4);
        let names: Vec<&str> = loaded.set().classes().keys().map(|class| class.name()).collect();
        assert_eq!(names, ["stolenVehicle"], "nothing else is in the set");
        let dropped = |name: &str| loaded.counts().iter().find(|one| one.class.name() == name).unwrap().dropped;
        assert_eq!(
            (dropped("immigrationViolator"), dropped("gang"), dropped("unknown")),
            (rows / 8, rows / 8, rows / 8)
        );
        let refused: u64 = loaded.refusals().values().sum();
        assert_eq!(refused, rows / 8 * 3);
    }

    #[test]
    fn every_kind_of_bad_row_is_counted_and_none_is_loaded() {
        is_lawful(load(8_000, 10_000).unwrap(), 8_000);
        let Err(NotRead::Load(LoadRefusal::TooMany)) = load(80_000, 10_000) else {
            panic!("more than the list may have")
        };
    }

    #[test]
    #[ignore = "ten million rows: about a minute"]
    fn ten_million_mixed_rows_stay_within_memory_and_load_nothing_unlawful() {
        is_lawful(load(10_000_000, 5_000_000).unwrap(), 10_000_000);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        println!("peak memory {} MiB", kib / 1024);
        assert!(kib < 600 * 1024, "{kib} KiB");
    }
}
