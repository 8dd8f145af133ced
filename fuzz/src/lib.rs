//! One function a parser of outside input: it must be total, and what it accepts must come back as the same bytes. Each
//! function is the whole of one fuzz target (`fuzz_targets/`); a panic is a finding. Nothing here may panic for another
//! reason than a broken promise of the code under test.

use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::approval::{Approval, Grant};
use lockplate_core::charter::CharterFile;
use lockplate_core::decision::HumanDecision;
use lockplate_core::disclosure::Disclosure;
use lockplate_core::entry::{Leaf, leaf_time, parse_leaf};
use lockplate_core::epoch::{EpochClose, EpochHeader, Prekey, PrekeyOrder, ShareReceipt};
use lockplate_core::id::AgencyId;
use lockplate_core::json::{parse_canonical, parse_time, time_text};
use lockplate_core::open::Evaluation;
use lockplate_core::passkey::{Assertion, CoseKey, Passkey, RelyingParty, read_registration};
use lockplate_core::person::ByPerson;
use lockplate_core::plate::{Jurisdiction, Plate, PlateInput};
use lockplate_core::read::Read;
use lockplate_core::request::{DisclosureClaim, FiledRequest, SearchRequest};
use lockplate_core::segment::BucketProof;
use lockplate_core::sign::{Signed, Statement};
use lockplate_core::signed::SignedObject;
use lockplate_core::statement::StatementText;
use lockplate_core::timekeeping::TimeStatement;
use lockplate_intake::hotlist_file::{
    Complete, Delivery, FileRefused, Header, HotlistFile, Load, Mode, Outcome, OwnForm, Template,
};
use lockplate_intake::limits::TEXT_BYTES_MAX;
use lockplate_intake::normalise::{Arrival, Rules};
use lockplate_intake::source::{Parsed, Part, Payload, SourceConfig, SourceKind};
use lockplate_intake::time::Zone;
use lockplate_intake::{Intake, own::FieldMap, xml};
use lockplate_log::tile::{parse_bundle, parse_tile, push_leaf, tile_bytes};
use lockplate_log::{
    AddCheckpoint, Checkpoint, NoteSignature, Origin, Receipt, SignedNote, TilePath, VerifierKey, WitnessPolicy,
};

pub mod log;

/// 20 March 2026: inside the years a capture time may have.
const NOW_MS: i64 = 1_774_000_000_000;
/// The same, s.
const LIST_NOW: Timestamp = Timestamp(1_774_000_000);
/// The templates of the docs.
const SAMPLE_TEMPLATES: [&str; 6] = [
    include_str!("../../docs/samples/hotlists/ncic-lpr-extract.toml"),
    include_str!("../../docs/samples/hotlists/state-list.toml"),
    include_str!("../../docs/samples/hotlists/flock-custom-list.toml"),
    include_str!("../../docs/samples/hotlists/vigilant.toml"),
    include_str!("../../docs/samples/hotlists/genetec.toml"),
    include_str!("../../docs/samples/hotlists/rekor.toml"),
];
/// Longest retention, so that age alone refuses little.
const YEAR_MS: i64 = 365 * 86_400_000;

/// Own format, lines of JSON.
pub fn ndjson(data: &[u8]) {
    let (choice, body) = split(data);
    let mut config = config(SourceKind::Own);
    config.fields = match choice % 3 {
        0 => FieldMap::own(),
        1 => FieldMap::traffic(),
        _ => FieldMap::fast_alpr(),
    };
    through(&config, &Payload { content_type: "application/x-ndjson", body, ..Payload::default() });
}

/// Own format, CSV, in both character sets.
pub fn csv(data: &[u8]) {
    let (choice, body) = split(data);
    let content_type = if choice & 1 == 0 { "text/csv; charset=utf-8" } else { "text/csv; charset=windows-1252" };
    through(&config(SourceKind::Own), &Payload { content_type, body, ..Payload::default() });
}

/// Files of hot lists in the own formats; the first byte chooses.
pub fn hotlist(data: &[u8]) {
    let (choice, body) = split(data);
    let form = if choice & 1 == 0 { OwnForm::Ndjson } else { OwnForm::Csv };
    let signed = BTreeSet::new();
    let file = || HotlistFile::own(form, Load { now: LIST_NOW, signed_placeholders: &signed });
    listed(&file, usize::from(choice >> 1), body);
}

/// A template and a file that it reads, parted by the first NUL. With a first byte under 6, a sample is the template.
pub fn hotlist_template(data: &[u8]) {
    let (choice, rest) = split(data);
    let (text, body) = match SAMPLE_TEMPLATES.get(usize::from(choice)) {
        Some(sample) => (*sample, rest),
        None => {
            let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
            let (text, body) = data.split_at(end);
            let Ok(text) = core::str::from_utf8(text) else { return };
            (text, body.get(1..).unwrap_or_default())
        }
    };
    let Ok(template) = Template::parse(text) else { return };
    let header = Header {
        list: "Millbrook hot list".into(),
        mode: Mode::Incremental,
        sequence: 2,
        base: Some(1),
        produced_at: LIST_NOW,
        entries: None,
    };
    let delivery = Delivery { header, source_file: Some("stolen".into()), removes: false, id_key: [7; 32] };
    let signed = BTreeSet::new();
    let load = Load { now: LIST_NOW, signed_placeholders: &signed };
    let file = || HotlistFile::by_template(&template, &delivery, load).expect("the delivery is good");
    listed(&file, 7, body);
}

/// Read whole and in pieces, a file says the same; what it adds is lawful, and its counts add up.
fn listed<'a>(file: &dyn Fn() -> HotlistFile<'a>, piece: usize, body: &[u8]) {
    let (rows, verdict) = list_rows(file(), body.len(), body);
    let (in_pieces, same_verdict) = list_rows(file(), piece, body);
    assert!(rows == in_pieces && verdict == same_verdict, "pieces do not matter");
    for row in &rows {
        if let Outcome::Add(entry) = row {
            assert!(entry.class.may_be_loaded(), "no class that is never loaded");
            assert!(entry.expires_at > LIST_NOW, "nothing that has ended");
            assert!((2..=16).contains(&entry.plate.expose_text().chars().count()), "a plate is bounded");
            assert!(entry.note.chars().count() <= 200 && (1..=64).contains(&entry.entry_id.len()), "texts are bounded");
        }
    }
    if let Ok(complete) = verdict {
        let counts = complete.counts();
        let sum = counts.added.values().chain(counts.dropped.values()).chain(counts.refused.values()).sum::<u64>();
        assert_eq!(sum + counts.removed, counts.rows, "every row is counted once");
        assert_eq!(rows.len() as u64, counts.rows, "every row is handed out");
    }
}

fn list_rows(mut file: HotlistFile<'_>, piece: usize, body: &[u8]) -> (Vec<Outcome>, Result<Complete, FileRefused>) {
    let mut rows = Vec::new();
    for bytes in body.chunks(piece.max(1)) {
        if let Err(refused) = file.push(bytes, |_, outcome| rows.push(outcome)) {
            return (rows, Err(refused));
        }
    }
    let verdict = file.finish(|_, outcome| rows.push(outcome));
    (rows, verdict)
}

/// The webhooks of OpenALPR and Rekor, and the lines of `alpr -j`.
pub fn openalpr(data: &[u8]) {
    let (choice, body) = split(data);
    let kind = match choice % 3 {
        0 => SourceKind::Rekor,
        1 => SourceKind::Alprd,
        _ => SourceKind::AlprLines,
    };
    through(&config(kind), &Payload { content_type: "application/json", body, ..Payload::default() });
}

/// Plate Recognizer's three forms of transport, and Stream's CSV.
pub fn platerecognizer(data: &[u8]) {
    let (choice, body) = split(data);
    let config = config(SourceKind::PlateRecognizer);
    let part = [Part { name: "json", content_type: None, body }];
    let payload = match choice % 5 {
        0 => Payload { content_type: "application/json", body, ..Payload::default() },
        4 => Payload { content_type: "text/csv", body, ..Payload::default() },
        1 => Payload { content_type: "application/x-www-form-urlencoded", body, ..Payload::default() },
        2 => Payload { content_type: "multipart/form-data; boundary=b", parts: &part, ..Payload::default() },
        _ => Payload { content_type: "application/json", body, camera_header: Some("c1"), ..Payload::default() },
    };
    through(&config, &payload);
}

/// Hikvision's alerts, as the body and as a part beside pictures.
pub fn hikvision(data: &[u8]) {
    let (choice, body) = split(data);
    let part = |name, body| Part { name, content_type: None, body };
    let parts = [part("licensePlatePicture.jpg", b"\xff\xd8\xff".as_slice()), part("anpr.xml", body)];
    let payload = match choice % 2 {
        0 => Payload { content_type: "application/xml", body, ..Payload::default() },
        _ => Payload { content_type: "multipart/form-data; boundary=b", parts: &parts, ..Payload::default() },
    };
    through(&config(SourceKind::Hikvision), &payload);
}

/// Dahua's ITSAPI, JSON and XML.
pub fn dahua(data: &[u8]) {
    through(
        &config(SourceKind::Dahua),
        &Payload { content_type: "application/json", body: data, ..Payload::default() },
    );
}

/// The text of Dahua's event stream in its three shapes.
pub fn dahua_events(data: &[u8]) {
    through(
        &config(SourceKind::DahuaEvents),
        &Payload { content_type: "text/plain", body: data, ..Payload::default() },
    );
}

/// Tattile's messages.
pub fn tattile(data: &[u8]) {
    let (choice, body) = split(data);
    let mut config = config(SourceKind::Tattile);
    config.confidence_scale = (choice & 1 == 1).then_some(999);
    through(&config, &Payload { content_type: "text/xml", body, ..Payload::default() });
}

/// XML as every source of it reads it.
pub fn xml(data: &[u8]) {
    if let Ok(text) = xml::text_of(data)
        && let Ok(root) = xml::parse(&text)
    {
        let bounded = root.as_text().is_none_or(|text| text.len() <= TEXT_BYTES_MAX && !text.contains('\0'));
        assert!(bounded, "a text is bounded and has no NUL");
        let _none = root.find("absTime");
        drop(root.to_value());
    }
}

/// Frigate's messages: on both topics, on another, retained, and posted without a topic.
pub fn frigate(data: &[u8]) {
    let (choice, body) = split(data);
    let topic = match choice % 4 {
        0 => None,
        1 => Some("frigate/events"),
        2 => Some("frigate/tracked_object_update"),
        _ => Some("frigate/reviews"),
    };
    through(&config(SourceKind::Frigate), &Payload { body, topic, retained: choice > 0xf0, ..Payload::default() });
}

/// Axis License Plate Verifier: the event alone, and with a picture cut from the same bytes.
pub fn axis(data: &[u8]) {
    let (choice, body) = split(data);
    let (image, event) = body.split_at(if choice & 1 == 0 { 0 } else { body.len().min(16) });
    let parts = [
        Part { name: "event", content_type: None, body: event },
        Part { name: "image", content_type: None, body: image },
    ];
    let config = config(SourceKind::Axis);
    if choice & 1 == 0 {
        through(&config, &Payload { content_type: "application/json", body, ..Payload::default() });
    } else {
        through(&config, &Payload { content_type: "multipart/form-data", parts: &parts, ..Payload::default() });
    }
}

/// Milesight.
pub fn milesight(data: &[u8]) {
    json(SourceKind::Milesight, data);
}

/// UniFi.
pub fn unifi(data: &[u8]) {
    json(SourceKind::UniFi, data);
}

/// Genetec.
pub fn genetec(data: &[u8]) {
    json(SourceKind::Genetec, data);
}

/// Blue Iris.
pub fn blueiris(data: &[u8]) {
    json(SourceKind::BlueIris, data);
}

/// Verkada.
pub fn verkada(data: &[u8]) {
    json(SourceKind::Verkada, data);
}

/// A source that takes a JSON body and nothing else.
fn json(kind: SourceKind, body: &[u8]) {
    through(&config(kind), &Payload { content_type: "application/json", body, ..Payload::default() });
}

/// Plate text, jurisdictions, and the input of the key.
pub fn plate(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data) {
        if let Some(plate) = Plate::parse(text) {
            let canonical = plate.expose_text().to_owned();
            assert!(
                (1..=16).contains(&canonical.chars().count()) && canonical.len() <= 57,
                "canonical text is bounded"
            );
            let again = Plate::parse(&canonical).expect("canonical text is a plate");
            assert_eq!(again.expose_text(), canonical, "canonical text is a fixed point");
            assert!(!again.is_overlong(), "canonical text needs no cut");
            assert_eq!(plate.fold().chars().count(), canonical.chars().count(), "the fold keeps the length");
        }
        if let Some(jurisdiction) = Jurisdiction::parse(text) {
            assert_eq!(Jurisdiction::parse(jurisdiction.code()), Some(jurisdiction), "a code reads back");
        }
    }
    if let Some(input) = PlateInput::from_bytes(data) {
        assert_eq!(input.expose_bytes(), data, "one input, one encoding");
    }
}

/// The record inside an opened cell.
pub fn record(data: &[u8]) {
    if let Ok(read) = Read::from_record(data) {
        let written = read.to_record().expect("what was read can be written");
        let again = Read::from_record(&written).expect("what was written can be read");
        assert!(read == again, "a record means one read");
    }
}

/// Every signed and framed structure of LPv1, by the first byte.
pub fn wire(data: &[u8]) {
    let (choice, body) = split(data);
    match choice % 16 {
        0 => statement::<EpochHeader>(body),
        1 => statement::<SearchRequest>(body),
        2 => statement::<Approval>(body),
        3 => statement::<Evaluation>(body),
        4 => statement::<Prekey>(body),
        5 => statement::<ShareReceipt>(body),
        6 => statement::<EpochClose>(body),
        7 => statement::<PrekeyOrder>(body),
        8 => statement::<DisclosureClaim>(body),
        9 => statement::<HumanDecision>(body),
        10 => statement::<TimeStatement>(body),
        11 => same(Grant::from_bytes(body).ok().map(|grant| grant.to_bytes()), body),
        12 => same(FiledRequest::from_bytes(body).ok().map(|filed| filed.to_bytes()), body),
        13 => {
            let proof = BucketProof::from_bytes(body).ok();
            if let Some(proof) = &proof {
                for bits in [0, 1, 7, 24, u8::MAX] {
                    drop(proof.verify(0, &[0; 32], bits).map(drop));
                }
            }
            same(proof.map(|proof| proof.to_bytes()), body);
        }
        14 => same(Signed::<EpochHeader>::from_bytes(body).ok().map(|signed| signed.to_bytes()), body),
        _ => same(Signed::<SearchRequest>::from_bytes(body).ok().map(|signed| signed.to_bytes()), body),
    }
}

/// What a browser hands over: assertions, keys, registrations; and a person's signature. The first byte chooses.
pub fn passkey(data: &[u8]) {
    let (choice, body) = split(data);
    let Ok(site) = RelyingParty::new("clerk.millbrook.example", &["https://keeper.clerk.millbrook.example".to_owned()])
    else {
        return;
    };
    match choice % 4 {
        0 => same(Assertion::from_bytes(body).ok().map(|assertion| assertion.to_bytes()), body),
        1 => same(CoseKey::parse(body).ok().map(|key| key.as_bytes().to_vec()), body),
        2 => same(ByPerson::<HumanDecision>::from_bytes(body).ok().map(|said| said.to_bytes()), body),
        _ => {
            // The challenge of the vectors, so that seeds come as far as the key.
            let (authenticator, client) = body.split_at(body.len().min(153));
            drop(read_registration(&site, &[7; 32], authenticator, client).map(drop));
        }
    }
    if let (Ok(key), Ok(assertion)) =
        (CoseKey::parse(body.get(..77).unwrap_or_default()), Assertion::from_bytes(body.get(77..).unwrap_or_default()))
    {
        drop(Passkey { key, site }.verify(&[7; 32], &assertion));
    }
}

/// Signed notes, signature lines, keys and origins.
pub fn note(data: &[u8]) {
    same(SignedNote::parse(data).ok().map(|note| note.to_bytes()), data);
    if let Ok(text) = core::str::from_utf8(data) {
        same_text(NoteSignature::parse(text).ok().map(|line| line.to_string()), text);
        same_text(VerifierKey::parse(text).ok().map(|key| key.to_string()), text);
        same_text(Origin::parse(text).ok().map(|origin| origin.to_string()), text);
    }
}

/// Bodies of checkpoints.
pub fn checkpoint(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(checkpoint) = Checkpoint::parse(text)
    {
        let again = Checkpoint::parse(&checkpoint.to_text()).expect("what was written can be read");
        assert!(again == checkpoint, "a checkpoint means one head");
    }
}

/// Paths of tiles and bundles as a stranger asks for them.
pub fn tile_path(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(path) = TilePath::parse(text)
    {
        assert_eq!(path.to_string(), text, "one tile, one path");
        assert!(!text.contains("..") && !text.starts_with('/'), "a path stays inside the log's folder");
        let _fits = path.fits(u64::MAX);
    }
}

/// Receipts of log entries, and what a trust file says of them.
pub fn receipt(data: &[u8]) {
    let receipt = Receipt::parse(data).ok();
    if let Some(receipt) = &receipt {
        log::judge_receipt(receipt);
    }
    same(receipt.map(|receipt| receipt.to_bytes()), data);
}

/// Trust files.
pub fn policy(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(policy) = WitnessPolicy::parse(text)
    {
        assert_eq!(WitnessPolicy::parse(&policy.to_text()).as_ref(), Ok(&policy), "a trust file means one policy");
        // More witnesses never make a quorum less of one, and everybody is one where there is any.
        let some = |key: &VerifierKey| key.id()[0] & 1 == 0;
        let more = |key: &VerifierKey| key.id()[0] & 3 != 3;
        assert!(!policy.is_quorum(&some) || policy.is_quorum(&more), "quorums are monotonic");
        assert!(policy.is_enough_answers(&|_| true) || !policy.is_quorum(&|_| true), "all answers are enough");
    }
}

/// Bodies of add-checkpoint as a witness gets them, and its decision about any proof between two signed heads.
pub fn add_checkpoint(data: &[u8]) {
    let asked = AddCheckpoint::parse(data).ok();
    if let Some(asked) = &asked {
        log::judge_request(asked);
    }
    same(asked.map(|asked| asked.to_bytes()), data);
    log::judge_proof(data);
}

/// Tiles and bundles, alone and as all that a reader gets of a log.
pub fn tile(data: &[u8]) {
    for width in [0, 1, 2, 3, 255, 256, u16::MAX] {
        if let Ok(hashes) = parse_tile(data, width) {
            assert_eq!(tile_bytes(&hashes), data, "one tile, one text");
        }
        if let Ok(leaves) = parse_bundle(data, width) {
            let mut bundle = Vec::new();
            for leaf in leaves {
                push_leaf(&mut bundle, leaf).expect("a leaf that was read can be written");
            }
            assert_eq!(bundle, data, "one bundle, one text");
        }
    }
    log::judge_tiles(data);
}

/// Leaves of the public logs, canonical JSON, and disclosures.
pub fn leaf(data: &[u8]) {
    if let Ok(value) = parse_canonical(data) {
        let bytes = value.to_canonical_bytes().expect("what was read can be written");
        assert_eq!(bytes, data, "one value, one text");
    }
    let _time = leaf_time(data);
    match parse_leaf(data) {
        Ok(Leaf::Known(stamped)) => assert_eq!(stamped.leaf_bytes(), data, "a leaf keeps its bytes"),
        Ok(Leaf::Unknown(_)) | Err(_) => {}
    }
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(disclosure) = Disclosure::parse(text)
    {
        assert_eq!(disclosure.expose_text(), text, "a disclosure keeps its text");
    }
    if let Ok(statement) = StatementText::from_bytes(data) {
        assert_eq!(statement.expose_bytes(), data, "a statement keeps its bytes");
    }
}

/// Charters and every other signed object. The charter's content is reached without signatures too: a forger can sign.
pub fn charter(data: &[u8]) {
    drop(CharterFile::verify(data).map(drop));
    if let Ok(object) = SignedObject::parse(data) {
        assert_eq!(object.to_bytes(), data, "one object, one file");
        drop(object.read::<lockplate_core::charter::Charter>().map(drop));
        drop(object.read::<lockplate_core::authorisation::Paper>().map(drop));
        drop(object.read::<lockplate_core::authorisation::SessionStatement>().map(drop));
    }
    if let Ok(text) = core::str::from_utf8(data)
        && let Some(time) = parse_time(text)
    {
        assert_eq!(time_text(time), text, "one moment, one text");
    }
}

fn split(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

fn config(kind: SourceKind) -> SourceConfig {
    let mut config = SourceConfig::new(3, kind);
    config.zone = Zone::parse("America/New_York");
    config.camera = Some("gate".into());
    config
}

/// A payload on its whole way: parsed, taken, drained; every read that comes out can be written as a record.
fn through(config: &SourceConfig, payload: &Payload<'_>) {
    let parsed: Parsed = config.kind.parser().parse(payload, config);
    let observations = parsed.observations.len();
    let mut intake = Intake::new(&[7; 32]);
    let rules = Rules::new(config, Arrival::Live, YEAR_MS);
    let taken = intake.take(NOW_MS, rules, parsed, |key| (key != "unknown").then_some(7));
    let drained = intake.drain(NOW_MS + 60_000);
    assert!(taken.sealables.len() + drained.sealables.len() <= observations, "no read out of nothing");
    for sealable in taken.sealables.iter().chain(&drained.sealables) {
        let record = sealable.read.to_record().expect("a read fits its record");
        let again = Read::from_record(&record).expect("a record reads back");
        assert_eq!(again.to_record().expect("a read fits its record"), record, "one read, one record");
        // The sealer sees the record, not the read: both must lead to the same key.
        let key = |read: &Read| PlateInput::new(AgencyId([1; 16]), &read.plate, read.key_jurisdiction());
        assert_eq!(key(&again).expose_bytes(), key(&sealable.read).expose_bytes(), "one read, one key");
    }
}

fn statement<T: Statement>(body: &[u8]) {
    assert!(T::BYTES_MAX > 0, "a statement has a bound");
    same(T::decode(body).ok().map(|value| value.encode()), body);
}

fn same(written: Option<Vec<u8>>, read: &[u8]) {
    if let Some(written) = written {
        assert_eq!(written, read, "one value, one encoding");
    }
}

fn same_text(written: Option<String>, read: &str) {
    if let Some(written) = written {
        assert_eq!(written, read, "one value, one text");
    }
}
