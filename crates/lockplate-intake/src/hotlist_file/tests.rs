//! The own format of hot lists, what refuses a row and what refuses a file. Every plate, case and agency is invented.

mod mutated;
mod templates;

use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::entry::ListClass;
use lockplate_core::hotlist::{AlertLevel, ListEntry, Variants};
use lockplate_core::vocabulary::{Basis, Offence};

use super::limits::*;
use super::*;

/// 2026-03-20T09:46:40Z.
const NOW: Timestamp = Timestamp(1_774_000_000);
const PRODUCED: &str = "2026-03-20T09:00:00Z";
const PRODUCED_AT: u64 = 1_773_997_200;
static NOBODY_SIGNED: BTreeSet<String> = BTreeSet::new();

fn load() -> Load<'static> {
    Load { now: NOW, signed_placeholders: &NOBODY_SIGNED }
}

/// What came of a file: the rows with their lines, and the verdict.
struct Told {
    rows: Vec<(u64, Outcome)>,
    verdict: Result<Complete, FileRefused>,
}

impl Told {
    fn entries(&self) -> Vec<&ListEntry> {
        let mut entries = Vec::new();
        for (_, outcome) in &self.rows {
            if let Outcome::Add(entry) = outcome {
                entries.push(entry.as_ref());
            }
        }
        entries
    }

    fn plates(&self) -> Vec<&str> {
        self.entries().iter().map(|entry| entry.plate.expose_text()).collect()
    }

    fn counts(&self) -> &Counts {
        self.verdict.as_ref().expect("the file was not refused").counts()
    }

    fn refused(&self) -> Option<FileRefused> {
        self.verdict.as_ref().err().copied()
    }
}

fn told(mut file: HotlistFile<'_>, bytes: &[u8], chunk: usize) -> Told {
    let mut rows = Vec::new();
    for piece in bytes.chunks(chunk.max(1)) {
        if let Err(refused) = file.push(piece, |at, outcome| rows.push((at, outcome))) {
            return Told { rows, verdict: Err(refused) };
        }
    }
    let verdict = file.finish(|at, outcome| rows.push((at, outcome)));
    Told { rows, verdict }
}

fn ndjson(text: &str) -> Told {
    told(HotlistFile::own(OwnForm::Ndjson, load()), text.as_bytes(), 1 << 20)
}

fn csv(text: &str) -> Told {
    told(HotlistFile::own(OwnForm::Csv, load()), text.as_bytes(), 1 << 20)
}

fn header(mode: &str, rows: usize) -> String {
    let base = if mode == "full" { "null" } else { "41" };
    format!(
        r#"{{"list":"Millbrook hot list","mode":"{mode}","sequence":42,"base":{base},"produced_at":"{PRODUCED}","entries":{rows}}}"#
    )
}

fn full(rows: &[String]) -> Told {
    ndjson(&format!("{}\n{}\n", header("full", rows.len()), rows.join("\n")))
}

const ROW: &str = r#"{"entry_id":"s-1","plate":"XK41207","jurisdiction":"US-CT","class":"stolenVehicle","entered_at":"2026-03-18T08:00:00Z","expires_at":"2026-03-21T08:00:00Z","basis":"statutoryDuty","agency":"CT0000001"}"#;

/// The row with one field written otherwise; `None` takes it out.
fn with(key: &str, value: Option<&str>) -> String {
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(ROW).unwrap();
    match value {
        None => drop(object.remove(key)),
        Some(json) => drop(object.insert(key.into(), serde_json::from_str(json).unwrap())),
    }
    serde_json::Value::Object(object).to_string()
}

/// What one row comes to in a file of good ones.
fn one(row: String) -> Outcome {
    let told = full(&[ROW.to_owned(), row]);
    told.counts();
    told.rows[1].1.clone()
}

fn refusal(row: String) -> (&'static str, Refusal) {
    match one(row) {
        Outcome::Refuse { class, reason } => (class.name(), reason),
        Outcome::Over { class, .. } => (class.name(), Refusal::Expired),
        other => panic!("not refused: {other:?}"),
    }
}

const WHOLE: &str = r#"{"entry_id":"c-7","op":"add","plate":"XK41207","jurisdiction":"US-CT","class":"custom","source_file":"desk","offence":"felony","entered_at":"2026-03-18T08:00:00-04:00","expires_at":"2026-03-25T08:00:00Z","effective_at":"2026-03-20T12:00:00Z","case":"26-1042","basis":"reasonableSuspicion","agency":"CT0000001","vehicle":{"class":"pickup","make":"gmc","colour":"grey"},"level":"high","state_required":true,"variants":"near","note":"Tailgate missing"}"#;

#[test]
fn a_row_with_every_field_as_lines_and_as_csv() {
    let lines = full(&[WHOLE.to_owned()]);
    let entry = lines.entries()[0];
    assert_eq!(
        (entry.entry_id.as_str(), entry.plate.expose_text(), entry.class, entry.source_file.as_str()),
        ("c-7", "XK41207", ListClass::Custom, "desk")
    );
    assert_eq!(
        (entry.jurisdiction.unwrap().code(), entry.offence, entry.basis),
        ("US-CT", Offence::Felony, Basis::ReasonableSuspicion)
    );
    assert_eq!(
        (entry.entered_at.0, entry.expires_at.0, entry.effective_at.unwrap().0),
        (1_773_835_200, 1_774_425_600, 1_774_008_000)
    );
    assert_eq!(
        (entry.case.as_str(), entry.agency.as_str(), entry.note.as_str()),
        ("26-1042", "CT0000001", "Tailgate missing")
    );
    let vehicle = entry.vehicle;
    assert_eq!((vehicle.class.unwrap().code, vehicle.make.unwrap().code, vehicle.colour.unwrap().code), (4, 14, 3));
    assert_eq!((entry.level, entry.state_required, entry.variants), (AlertLevel::High, true, Variants::Near));
    let text = format!(
        "\u{feff}#{}\r\nplate,entry_id,op,jurisdiction,class,source_file,offence,entered_at,expires_at,effective_at,case,basis,agency,\
         vehicle_class,vehicle_make,vehicle_colour,level,state_required,variants,note\r\n\
         XK41207,c-7,add,US-CT,custom,desk,felony,2026-03-18T08:00:00-04:00,2026-03-25T08:00:00Z,2026-03-20T12:00:00Z,26-1042,\
         reasonableSuspicion,CT0000001,pickup,gmc,grey,high,true,near,\"Tailgate missing\"\r\n",
        header("full", 1)
    );
    assert!(csv(&text).entries() == lines.entries());
    let complete = lines.verdict.as_ref().unwrap();
    assert_eq!((complete.header().sequence, complete.header().base, complete.header().entries), (42, None, Some(1)));
    assert_eq!((complete.counts().rows, complete.counts().added["custom"], complete.counts().bad_lines), (1, 1, 0));
    assert_eq!(lines.rows[0].0, 2, "the header is line 1");
}

#[test]
fn what_a_row_may_leave_out() {
    let row = r#"{"entry_id":"s-1","plate":"xk-41 207","class":"stolenVehicle","entered_at":"2026-03-18T08:00:00Z","expires_at":"2026-03-21T08:00:00Z","basis":"statutoryDuty","agency":"CT0000001","jurisdiction":null,"note":""}"#;
    let told = full(&[row.to_owned()]);
    let entry = told.entries()[0];
    assert_eq!((entry.plate.expose_text(), entry.jurisdiction, entry.level), ("XK41207", None, AlertLevel::Medium));
    assert_eq!((entry.state_required, entry.variants, entry.offence), (false, Variants::None, Offence::None));
    // An unknown word for a vehicle is absent, as in reads.
    assert!(
        matches!(one(with("vehicle", Some(r#"{"class":"hovercraft"}"#))), Outcome::Add(entry) if entry.vehicle.class.is_none())
    );
}

#[test]
fn how_a_plate_is_spelled_is_no_wildcard() {
    for spelled in ["XK4-1207", "XK4 1207", "XK4.1207", "XK4·1207", "xk4\u{2019}1207", "XK\u{2665}41207", "XK4/1207"] {
        let row = one(with("plate", Some(&format!("\"{spelled}\""))));
        assert!(matches!(row, Outcome::Add(entry) if entry.plate.expose_text() == "XK41207"), "{spelled}");
    }
}

#[test]
fn a_line_of_a_file_that_nobody_loads_is_of_its_class_whatever_it_calls_itself() {
    for (name, class) in NCIC_FILES {
        for spelled in [name.to_owned(), name.to_uppercase(), name.replace(' ', "_"), name.replace(' ', "")] {
            let row = one(with("source_file", Some(&format!("\"{spelled}\""))));
            let Outcome::Add(entry) = row else { panic!("{spelled}") };
            assert_eq!(entry.class, if class.may_be_loaded() { ListClass::StolenVehicle } else { class }, "{spelled}");
        }
    }
}

#[test]
fn a_file_that_nobody_loads_is_known_whatever_stands_around_its_name() {
    let never = classes::never_loaded;
    for (name, class) in NCIC_FILES {
        let joined = name.replace(' ', "");
        for spelled in [
            name.to_owned(),
            name.to_lowercase(),
            joined.clone(),
            format!("{name}s"),
            format!("{name}.ndjson"),
            format!("{}.csv", name.replace(' ', "-")),
            format!("NCIC_{}", name.replace(' ', "_")),
            format!("NCIC{joined}_20261130.txt"),
            format!("{} FILE", name.to_uppercase()),
            format!("ncic{joined}file"),
            format!("2026-11-30 {name} (2).xml"),
        ] {
            assert_eq!(never(&spelled), (!class.may_be_loaded()).then_some(class), "{spelled}");
        }
    }
    for (spelled, class) in [
        ("extremeRiskOrder", ListClass::ExtremeRiskOrder),
        ("extreme_risk_orders.csv", ListClass::ExtremeRiskOrder),
        ("ERPO.txt", ListClass::ExtremeRiskOrder),
        ("terroristScreening", ListClass::TerroristScreening),
        ("Known_or_Suspected_Terrorists.csv", ListClass::TerroristScreening),
        ("Threat_Screening_Centre.txt", ListClass::TerroristScreening),
        ("sexOffender", ListClass::SexOffender),
        ("Sex Offenders.csv", ListClass::SexOffender),
        ("nsor", ListClass::SexOffender),
        ("GangMembers.csv", ListClass::Gang),
        ("LPRGang.txt", ListClass::Gang),
        ("NCIC_GangsFile.txt", ListClass::Gang),
        ("Orders_of_Protection.csv", ListClass::ProtectionOrder),
        ("ImmigrationViolations.csv", ListClass::ImmigrationViolator),
        ("ICE.csv", ListClass::ImmigrationViolator),
    ] {
        assert_eq!(never(spelled), Some(class), "{spelled}");
    }
    let loaded =
        ["", "stolen vehicle", "Stolen Plates", "missing person", "wanted", "AMBER", "custom-list", "INV", "V"];
    for name in loaded.into_iter().chain([
        "Gangway Towing",
        "Wolfgang file",
        "Police Vehicles",
        "person",
        "order",
        "release",
        "ncic",
    ]) {
        assert_eq!(never(name), None, "{name}");
    }
}

#[test]
fn the_name_of_a_file_counts_for_each_of_its_lines() {
    let row = |file: Option<&str>| with("source_file", file.map(|file| format!("\"{file}\"")).as_deref());
    let text = format!("{}\n{}\n{}\n", header("full", 2), row(None), row(Some("INV")));
    let of = |name: &str| told(HotlistFile::own(OwnForm::Ndjson, load()).of_source_file(name), text.as_bytes(), 64);
    let files: Vec<String> = of("desk").entries().iter().map(|entry| entry.source_file.clone()).collect();
    assert_eq!(files, ["desk", "INV"]);
    let never = of("Immigration Violator");
    assert_eq!((never.entries().len(), never.counts().dropped["immigrationViolator"]), (0, 2));
}

#[test]
fn every_reason_that_refuses_a_row() {
    use Refusal::*;
    let text = |text: &str| Some(format!("\"{text}\""));
    let long_note = text(&"n".repeat(NOTE_CHARS_MAX + 1));
    for (key, value, reason) in [
        ("plate", None, MissingField),
        ("plate", text(""), MissingField),
        ("plate", Some("7".into()), BadValue),
        ("plate", text("XK4*"), Wildcard),
        ("plate", text("XK4%07"), Wildcard),
        ("plate", text("XK_1207"), Wildcard),
        ("plate", text("XK4?207"), Wildcard),
        ("plate", text("XK4？207"), Wildcard),
        ("plate", text("XK4#207"), Wildcard),
        ("plate", text("XK4@207"), Wildcard),
        ("plate", text("XK4\u{2217}207"), Wildcard),
        ("plate", text("XK4\u{29cd}207"), Wildcard),
        ("plate", text("XK4\u{204e}207"), Wildcard),
        ("plate", text("XK4~207"), Wildcard),
        ("plate", text("----"), TooShort),
        ("plate", text("X"), TooShort),
        ("plate", text("ABCDEFGHJKLMNPRTX"), TooLong),
        ("plate", text(&"A-".repeat(500)), TooLong),
        ("plate", text("unknown"), Placeholder),
        ("plate", text("No Plate"), Placeholder),
        ("plate", text("AAAAAAA"), Placeholder),
        ("plate", text("00"), Placeholder),
        ("expires_at", None, NoExpiry),
        ("expires_at", text(""), NoExpiry),
        ("expires_at", text("2026-03-20T09:46:40Z"), Expired),
        ("expires_at", text("next week"), BadValue),
        ("expires_at", text("2026-03-21T08:00:00"), BadValue),
        ("expires_at", text("2026-03-21"), BadValue),
        ("expires_at", Some("1774080000".into()), BadValue),
        ("entered_at", None, MissingField),
        ("entered_at", text("2026-03-20T10:00:00Z"), BadValue),
        ("entry_id", None, MissingField),
        ("entry_id", text(&"e".repeat(ENTRY_ID_BYTES_MAX + 1)), BadValue),
        ("agency", None, MissingField),
        ("basis", None, MissingField),
        ("basis", text("none"), MissingField),
        ("basis", text("hunch"), BadValue),
        ("offence", text("theft"), BadValue),
        ("jurisdiction", text("CT"), UnknownState),
        ("jurisdiction", text("us-ct"), UnknownState),
        ("jurisdiction", text("US"), UnknownState),
        ("level", text("urgent"), BadValue),
        ("variants", text("wide"), BadValue),
        ("state_required", text("yes"), BadValue),
        ("state_requird", Some("true".into()), BadValue),
        ("vehicle", text("car"), BadValue),
        ("vehicle", Some(r#"{"vin":"1"}"#.into()), BadValue),
        ("note", long_note, BadValue),
        ("note", text("two\\nlines"), BadValue),
        ("op", text("replace"), BadValue),
        ("op", text("remove"), BadValue),
    ] {
        assert_eq!(refusal(with(key, value.as_deref())), ("stolenVehicle", reason), "{key} {value:?}");
    }
    assert_eq!(refusal(with("class", Some("\"custom\""))), ("custom", NoCase));
    for line in ["[]", "{", "7", "not json", r#"{"entry_id":"a","entry_id":"b"}"#, "{\"a\":\"\\u0000\"}"] {
        assert_eq!(refusal(line.to_owned()), ("unknown", BadLine), "{line}");
    }
    // Also where nothing of it would be read: too deep, and too many keys.
    let deep = |depth| format!(r#"{{"entry_id":"a","op":"remove","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(refusal(deep(63)), ("unknown", BadValue), "a full file takes nothing off");
    assert_eq!(refusal(deep(64)), ("unknown", BadLine));
    let keys: Vec<_> = (0..65).map(|at| format!("\"k{at}\":1")).collect();
    assert_eq!(refusal(format!("{{{}}}", keys.join(","))), ("unknown", BadLine));
    // Two files, one behind the other: a BOM stands before a file and nowhere else.
    assert_eq!(refusal(format!("\u{feff}{ROW}")), ("unknown", BadLine));
    let reasons: BTreeSet<&str> = Refusal::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(reasons.len(), Refusal::ALL.len());
}

#[test]
fn of_two_classes_in_one_line_none_is_loaded() {
    let row = ROW.replace(r#""class":"stolenVehicle""#, r#""class":"immigrationViolator","class":"stolenVehicle""#);
    assert_eq!(refusal(row), ("unknown", Refusal::BadLine));
    let nested = ROW.replace(r#""plate":"#, r#""vehicle":{"make":"gmc","make":"ford"},"plate":"#);
    assert_eq!(refusal(nested), ("unknown", Refusal::BadLine));
    // A colon in a text is no key.
    assert!(matches!(one(with("note", Some(r#""a: \"b\": c""#))), Outcome::Add(_)));
}

#[test]
fn classes_that_nobody_may_load_are_counted_and_nothing_else_of_them_is_read() {
    let dropped = [
        "protectionOrder",
        "extremeRiskOrder",
        "gang",
        "terroristScreening",
        "supervisedRelease",
        "sexOffender",
        "immigrationViolator",
        "protectiveInterest",
        "violentPerson",
    ];
    // Not even a plate stands in these rows.
    let rows: Vec<String> = dropped.iter().map(|class| format!(r#"{{"entry_id":"x","class":"{class}"}}"#)).collect();
    let told = full(&rows);
    assert!(told.entries().is_empty() && told.counts().refused.is_empty());
    for class in dropped {
        assert_eq!(told.counts().dropped[class], 1, "{class}");
    }
    let class = |value: Option<&str>| one(with("class", value));
    assert_eq!(class(Some("\"Immigration Violator\"")), Outcome::Drop(ListClass::ImmigrationViolator));
    for unknown in
        [None, Some("null"), Some("\"\""), Some("\"unknown\""), Some("\"StolenVehicle\""), Some("\"Wanted Person\"")]
    {
        assert_eq!(class(unknown), Outcome::Drop(ListClass::Unknown), "{unknown:?}");
    }
}

#[test]
fn a_placeholder_is_loaded_if_somebody_signed_for_it() {
    let signed = BTreeSet::from(["s-1".to_owned()]);
    let load = Load { now: NOW, signed_placeholders: &signed };
    let text = format!("{}\n{}\n", header("full", 1), ROW.replace("XK41207", "NOPLATE"));
    let told = told(HotlistFile::own(OwnForm::Ndjson, load), text.as_bytes(), 64);
    assert_eq!(told.plates(), ["NOPLATE"]);
}

#[test]
fn an_end_beyond_the_life_of_the_class_is_brought_forward_and_counted() {
    let far = Some("\"2099-01-01T00:00:00Z\"");
    let told = full(&[with("expires_at", far), ROW.to_owned()]);
    let ends: Vec<u64> = told.entries().iter().map(|entry| entry.expires_at.0).collect();
    assert_eq!(ends, [PRODUCED_AT + EXTRACT_LIFE_SECONDS_MAX, 1_774_080_000]);
    assert_eq!(told.counts().lives_cut, 1);
    let entered = |class: &str, at: &str| {
        let row = with("expires_at", far).replace("2026-03-18T08:00:00Z", at).replace("stolenVehicle", class);
        one(row.replace("\"plate\"", "\"case\":\"26-1\",\"plate\""))
    };
    let end = |outcome: Outcome| if let Outcome::Add(entry) = outcome { Ok(entry.expires_at.0) } else { Err(outcome) };
    // Thirty days and 72 hours from the entering: what is loaded again is not renewed.
    assert_eq!(end(entered("custom", "2026-02-20T00:00:00Z")), Ok(1_771_545_600 + CUSTOM_LIFE_SECONDS_MAX));
    assert_eq!(end(entered("amberAlert", "2026-03-18T00:00:00Z")), Ok(1_773_792_000 + AMBER_LIFE_SECONDS_MAX));
    for (class, at) in [("custom", "2026-02-18T09:46:40Z"), ("amberAlert", "2026-03-17T09:46:40Z")] {
        let Outcome::Refuse { reason, .. } = entered(class, at) else { panic!("{class} is too old") };
        assert_eq!(reason, Refusal::TooOld);
    }
    // An old extract, however far its entries reach.
    let old = format!("{}\n{ROW}\n", header("full", 1)).replace(PRODUCED, "2026-03-18T09:46:40Z");
    assert_eq!(ndjson(&old).counts().refused[&("stolenVehicle", Refusal::TooOld)], 1);
}

#[test]
fn incremental_files_add_and_remove() {
    let rows = [
        ROW,
        r#"{"entry_id":"s-9","op":"remove"}"#,
        r#"{"op":"remove"}"#,
        r#"{"entry_id":"s-8","op":"remove","class":"gang"}"#,
    ];
    let told = ndjson(&format!("{}\n{}", header("incremental", 4), rows.join("\n")));
    assert_eq!(told.rows[1], (3, Outcome::Remove("s-9".into())));
    assert_eq!(told.rows[2].1, Outcome::Refuse { class: ListClass::Unknown, reason: Refusal::MissingField });
    assert_eq!(told.rows[3].1, Outcome::Remove("s-8".into()));
    assert_eq!((told.counts().removed, told.counts().bad_lines), (2, 1));
    // Nothing changed: that is no empty list.
    let header = header("incremental", 0);
    assert_eq!(ndjson(&header).counts().rows, 0);
}

#[test]
fn headers_that_refuse_the_file() {
    let good = header("full", 1);
    let refused = |header: &str| ndjson(&format!("{header}\n{ROW}\n")).refused();
    assert_eq!(refused(&good), None);
    for (from, to, why) in [
        (r#""list":"Millbrook hot list","#, "", FileRefused::BadHeader),
        ("Millbrook hot list", "", FileRefused::BadHeader),
        ("\"full\"", "\"whole\"", FileRefused::BadHeader),
        ("\"full\"", "\"incremental\"", FileRefused::BadHeader),
        ("\"base\":null", "\"base\":41", FileRefused::BadHeader),
        ("42", "-1", FileRefused::BadHeader),
        ("42", "42.5", FileRefused::BadHeader),
        (PRODUCED, "2026-03-20", FileRefused::BadHeader),
        (PRODUCED, "2026-03-20T09:51:41Z", FileRefused::BadHeader),
        ("\"entries\":1", "\"entries\":\"1\"", FileRefused::BadHeader),
        (",\"entries\":1", "", FileRefused::BadHeader),
        ("\"entries\":1", "\"entries\":1,\"class\":\"stolenVehicle\"", FileRefused::BadHeader),
        ("\"entries\":1", "\"entries\":2,\"entries\":1", FileRefused::BadHeader),
        ("\"entries\":1", "\"entries\":0", FileRefused::Empty),
        ("\"entries\":1", "\"entries\":10000001", FileRefused::TooManyRows),
    ] {
        assert!(good.contains(from));
        assert_eq!(refused(&good.replace(from, to)), Some(why), "{from} -> {to}");
    }
    assert_eq!(refused(&good.replace(PRODUCED, "2026-03-20T09:51:40Z")), None, "five minutes are clocks");
    let gap = header("incremental", 1).replace("41", "40");
    assert_eq!(refused(&gap), Some(FileRefused::BadHeader));
    for text in ["", "\n\n", "\u{feff}"] {
        assert_eq!(ndjson(text).refused(), Some(FileRefused::BadHeader), "{text:?}");
        assert_eq!(csv(text).refused(), Some(FileRefused::BadHeader), "{text:?}");
    }
    let utf16: Vec<u8> = format!("{good}\n{ROW}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let read = told(HotlistFile::own(OwnForm::Ndjson, load()), &utf16, 4096);
    assert_eq!(read.refused(), Some(FileRefused::BadHeader));
}

#[test]
fn a_byte_order_mark_stands_before_a_file_once_and_nowhere_else() {
    let header = header("full", 1);
    let lines = format!("{header}\n{ROW}\n");
    for chunk in [1, 1 << 20] {
        let read = |text: &str| told(HotlistFile::own(OwnForm::Ndjson, load()), text.as_bytes(), chunk);
        assert_eq!(read(&format!("\u{feff}{lines}")).plates(), ["XK41207"]);
        for text in [format!("\u{feff}\u{feff}{lines}"), format!("\n\u{feff}{lines}")] {
            assert_eq!(read(&text).refused(), Some(FileRefused::BadHeader), "{text:?}");
        }
    }
    let table = format!("#\u{feff}{header}\nentry_id,plate\ns-1,XK41207\n");
    assert_eq!(csv(&table).refused(), Some(FileRefused::BadHeader), "not inside of a line either");
}

#[test]
fn columns_that_refuse_the_file() {
    let refused = |columns: &str| csv(&format!("#{}\n{columns}\nx,y\n", header("full", 1))).refused();
    for columns in ["entry_id,plat", "entry_id,entry_id", "vehicle,plate", "vehicle_vin,plate", "entry_id,\"plate"] {
        assert_eq!(refused(columns), Some(FileRefused::BadHeader), "{columns}");
    }
    assert_eq!(csv(&format!("{}\nplate\n", header("full", 1))).refused(), Some(FileRefused::BadHeader), "no #");
    assert_eq!(csv(&format!("#{}\n", header("full", 1))).refused(), Some(FileRefused::BadHeader), "no columns");
    // A cell too many, a quote that does not end and a second record behind a carriage return.
    let body = "entry_id,op\na,remove\nb,remove,c\n\"c,remove\nd,remove\re,remove\nf,remove\n";
    let told = csv(&format!("#{}\n{body}", header("incremental", 5)));
    let ids = told.rows.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Remove(_))).map(|(at, _)| *at);
    assert_eq!((ids.collect::<Vec<_>>(), told.counts().bad_lines), (vec![3, 7], 3));
}

#[test]
fn a_truncated_file_is_refused() {
    let rows: Vec<String> = (0..50).map(|n| ROW.replace("s-1", &format!("s-{n}"))).collect();
    let text = format!("{}\n{}\n", header("full", 50), rows.join("\n"));
    assert_eq!(ndjson(&text).counts().added["stolenVehicle"], 50);
    assert_eq!(ndjson(text.trim_end()).refused(), None, "the rows are all there");
    for cut in [text.len() / 2, text.len() - ROW.len(), text.len() - ROW.len() - 4] {
        assert_eq!(ndjson(text.get(..cut).unwrap()).refused(), Some(FileRefused::Truncated), "cut at {cut}");
    }
    // In the middle of the last row the number of rows is right.
    assert_eq!(ndjson(text.get(..text.len() - 10).unwrap()).refused(), Some(FileRefused::Truncated));
    let columns = "entry_id,class,entered_at,expires_at,basis,agency,plate";
    let row = "s-1,stolenVehicle,2026-03-18T08:00:00Z,2026-03-21T08:00:00Z,statutoryDuty,CT0000001,XK41207";
    let plates_last = format!("#{}\n{columns}\n{row}\n", header("full", 1));
    assert_eq!(csv(&plates_last).plates(), ["XK41207"]);
    for cut in [1, 2, 4] {
        let half = csv(plates_last.get(..plates_last.len() - cut).unwrap());
        assert_eq!(half.refused(), Some(FileRefused::Truncated), "half a plate looks like a plate");
    }
    let more = format!("{text}{ROW}\n");
    assert_eq!(ndjson(&more).refused(), Some(FileRefused::Truncated));
}

#[test]
fn one_bad_line_in_a_hundred_is_borne_and_one_more_is_not() {
    let file = |good: usize, bad: usize| {
        let mut rows = vec![ROW.to_owned(); good];
        rows.extend(vec!["oops".to_owned(); bad]);
        full(&rows).verdict.map(|complete| complete.counts().bad_lines)
    };
    assert_eq!(file(1, 9), Ok(9), "nine may always be bad");
    assert_eq!(file(1, 10), Err(FileRefused::TooManyBadLines));
    assert_eq!(file(990, 10), Ok(10));
    assert_eq!(file(1_089, 11), Ok(11));
    assert_eq!(file(1_088, 11), Err(FileRefused::TooManyBadLines));
    assert_eq!(file(0, 1), Err(FileRefused::TooManyBadLines), "no row could be read");
    // Entries that are refused for what they say are no bad lines.
    let wild = vec![ROW.replace("XK4", "XK*"); 50];
    assert_eq!(full(&wild).counts().refused_for(Refusal::Wildcard), 50);
}

#[test]
fn each_bound_and_one_beyond() {
    let fits = |row: String| matches!(one(row), Outcome::Add(_));
    assert!(fits(with("entry_id", Some(&format!("\"{}\"", "e".repeat(ENTRY_ID_BYTES_MAX))))));
    assert!(fits(with("note", Some(&format!("\"{}\"", "\u{20000}".repeat(NOTE_CHARS_MAX))))));
    assert!(fits(with("plate", Some("\"XK\""))) && fits(with("plate", Some("\"ABCDEFGHJKLMNPRT\""))));
    for (key, most) in [("source_file", CODE_BYTES_MAX), ("case", CASE_BYTES_MAX), ("agency", AGENCY_BYTES_MAX)] {
        assert!(fits(with(key, Some(&format!("\"{}\"", "c".repeat(most))))), "{key}");
        let beyond = refusal(with(key, Some(&format!("\"{}\"", "c".repeat(most + 1)))));
        assert_eq!(beyond, ("stolenVehicle", Refusal::BadValue), "{key}");
    }
    let pad = |to: usize| format!("{ROW}{}", " ".repeat(to - ROW.len()));
    assert!(fits(pad(LINE_BYTES_MAX)));
    assert_eq!(refusal(pad(LINE_BYTES_MAX + 1)), ("unknown", Refusal::BadLine));
    let long_header = format!("{}{}\n{ROW}\n", header("full", 1), " ".repeat(LINE_BYTES_MAX));
    assert_eq!(ndjson(&long_header).refused(), Some(FileRefused::BadHeader));
    for (bytes, refused) in [(LIST_BYTES_MAX, None), (LIST_BYTES_MAX + 1, Some(FileRefused::BadHeader))] {
        let header = header("full", 1).replace("Millbrook hot list", &"l".repeat(bytes));
        assert_eq!(ndjson(&format!("{header}\n{ROW}\n")).refused(), refused);
    }
}

#[test]
fn a_file_of_two_gibibytes_and_a_byte_more() {
    let mut file = HotlistFile::own(OwnForm::Ndjson, load());
    file.push(format!("{}\n{ROW}\n", header("full", 1)).as_bytes(), |_, _| {}).unwrap();
    // As if all but its last two bytes had come.
    file.reading.bytes = FILE_BYTES_MAX - 2;
    file.push(b"\n", |_, _| {}).unwrap();
    file.push(b"\n", |_, _| {}).unwrap();
    assert_eq!(file.push(b"\n", |_, _| {}), Err(FileRefused::TooLarge));
    assert_eq!(file.push(b"\n", |_, _| {}), Err(FileRefused::TooLarge), "and it stays refused");
    assert_eq!(file.finish(|_, _| {}), Err(FileRefused::TooLarge));
}

#[test]
fn the_size_of_the_pieces_does_not_matter() {
    let rows: Vec<String> =
        (0..20).map(|n| if n % 7 == 3 { "oops".into() } else { ROW.replace("s-1", &format!("s-{n}")) }).collect();
    let text = format!("{}\r\n\r\n{}", header("full", 20), rows.join("\r\n"));
    let whole = ndjson(&text);
    assert_eq!((whole.counts().bad_lines, whole.entries().len()), (3, 17));
    for chunk in [1, 2, 7, 64, 1000] {
        let pieces = told(HotlistFile::own(OwnForm::Ndjson, load()), text.as_bytes(), chunk);
        assert!(pieces.rows == whole.rows && pieces.verdict == whole.verdict, "{chunk}");
    }
}

#[test]
fn nothing_prints_a_plate_a_note_or_a_case() {
    let told = full(&[WHOLE.to_owned()]);
    let mut file = HotlistFile::own(OwnForm::Ndjson, load());
    file.push(WHOLE.as_bytes(), |_, _| {}).unwrap();
    let texts = format!("{file:?} {:?} {:?} {:?}", told.rows, told.verdict, Outcome::Remove("XK41207".into()));
    for secret in ["XK41207", "Tailgate", "26-1042", "c-7"] {
        assert!(!texts.contains(secret), "{secret}");
    }
}

/// Rows of every kind in one large file: as many as are asked for, and what must come of them.
fn mixed(rows: u64) {
    let kinds: [(String, Option<Refusal>); 10] = [
        (ROW.to_owned(), None),
        (with("class", Some("\"wantedPerson\"")), None),
        (with("plate", Some("\"XK4*\"")), Some(Refusal::Wildcard)),
        (with("plate", Some("\"X\"")), Some(Refusal::TooShort)),
        (with("plate", Some("\"ABCDEFGHJKLMNPRTX\"")), Some(Refusal::TooLong)),
        (with("plate", Some("\"UNK\"")), Some(Refusal::Placeholder)),
        (with("expires_at", None), Some(Refusal::NoExpiry)),
        (with("expires_at", Some("\"2026-03-20T00:00:00Z\"")), Some(Refusal::Expired)),
        (with("class", Some("\"custom\"")), Some(Refusal::NoCase)),
        (with("jurisdiction", Some("\"ZZ\"")), Some(Refusal::UnknownState)),
    ];
    let block: String = kinds.iter().map(|(row, _)| format!("{row}\n")).collect();
    let mut file = HotlistFile::own(OwnForm::Ndjson, load());
    let (mut loaded, mut unlawful) = (0_u64, 0_u64);
    let mut take = |_: u64, outcome: Outcome| {
        if let Outcome::Add(entry) = outcome {
            loaded += 1;
            let lawful = [ListClass::StolenVehicle, ListClass::WantedPerson].contains(&entry.class);
            unlawful += u64::from(!lawful || entry.plate.expose_text() != "XK41207" || entry.expires_at <= NOW);
        }
    };
    file.push(format!("{}\n", header("full", usize::try_from(rows).unwrap())).as_bytes(), &mut take).unwrap();
    for _ in 0..rows / 10 {
        file.push(block.as_bytes(), &mut take).unwrap();
    }
    let complete = file.finish(&mut take).unwrap();
    assert_eq!((loaded, unlawful, complete.counts().rows), (rows / 5, 0, rows));
    for (_, reason) in kinds {
        assert!(reason.is_none_or(|reason| complete.counts().refused_for(reason) == rows / 10));
    }
}

#[test]
fn mixed_rows_of_every_kind_load_nothing_unlawful() {
    mixed(100_000);
}

/// The size that `hotlists.md` section 4 names, as far as 2 GiB hold such rows.
#[test]
#[ignore = "some minutes; the same with 100,000 rows runs always"]
fn a_file_full_of_mixed_rows_loads_nothing_unlawful() {
    mixed(9_000_000);
}
