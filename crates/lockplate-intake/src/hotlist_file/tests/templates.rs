//! Templates: the samples, the `T` items of `hotlists.md` section 3 for each source, and how strictly a template is read.

use lockplate_core::entry::ListClass;
use lockplate_core::hotlist::AlertLevel;
use lockplate_core::plate::Jurisdiction;

use super::super::dates::{pattern_has_clock, rfc3339};
use super::super::limits::*;
use super::super::*;
use super::{NOW, PRODUCED_AT, Told, load};

pub(super) const NCIC: &str = include_str!("../../../../../docs/samples/hotlists/ncic-lpr-extract.toml");
pub(super) const STATE: &str = include_str!("../../../../../docs/samples/hotlists/state-list.toml");
pub(super) const FLOCK: &str = include_str!("../../../../../docs/samples/hotlists/flock-custom-list.toml");
pub(super) const VIGILANT: &str = include_str!("../../../../../docs/samples/hotlists/vigilant.toml");
pub(super) const GENETEC: &str = include_str!("../../../../../docs/samples/hotlists/genetec.toml");
pub(super) const REKOR: &str = include_str!("../../../../../docs/samples/hotlists/rekor.toml");
pub(super) const SAMPLES: [&str; 6] = [NCIC, STATE, FLOCK, VIGILANT, GENETEC, REKOR];

pub(super) fn delivery(mode: Mode, source_file: &str) -> Delivery {
    let base = if mode == Mode::Full { None } else { Some(41) };
    let header = Header {
        list: "Millbrook hot list".into(),
        mode,
        sequence: 42,
        base,
        produced_at: Timestamp(PRODUCED_AT),
        entries: None,
    };
    let source_file = (!source_file.is_empty()).then(|| source_file.to_owned());
    Delivery { header, source_file, removes: false, id_key: [7; 32] }
}

pub(super) fn read(template: &str, delivery: &Delivery, bytes: &[u8]) -> Told {
    let template = Template::parse(template).unwrap();
    match HotlistFile::by_template(&template, delivery, load()) {
        Ok(file) => super::told(file, bytes, 1000),
        Err(refused) => Told { rows: Vec::new(), verdict: Err(refused) },
    }
}

fn full(template: &str, source_file: &str, text: &str) -> Told {
    read(template, &delivery(Mode::Full, source_file), text.as_bytes())
}

fn reason(told: &Told, at: usize) -> Refusal {
    match &told.rows[at].1 {
        Outcome::Refuse { reason, .. } => *reason,
        Outcome::Over { .. } => Refusal::Expired,
        other => panic!("not refused: {other:?}"),
    }
}

/// A line of the sample for the extract.
pub(super) fn ncic_line(id: &str, plate: &str, state: &str, class: &str) -> String {
    format!("{id:<10}{plate:<10}{state:<2}{class:<30}20260318CT0000001RED        \n")
}

#[test]
fn the_samples_are_templates() {
    let sources: Vec<String> = SAMPLES.iter().map(|text| Template::parse(text).unwrap().source().to_owned()).collect();
    assert_eq!(
        sources,
        [
            "NCIC LPR extract",
            "State list",
            "Flock custom list",
            "Vigilant hot plates",
            "Genetec hot list",
            "Rekor list"
        ]
    );
}

#[test]
fn the_whole_extract_loads_four_files_and_counts_nine_by_class() {
    let text: String = NCIC_FILES
        .iter()
        .zip(0..)
        .map(|((file, _), n)| ncic_line(&format!("V{n}"), &format!("XK4120{n}"), "CT", file))
        .collect();
    let told = full(NCIC, "", &text);
    let counts = told.counts();
    assert_eq!(counts.rows, 13);
    let loaded = ["missingPerson", "stolenPlate", "stolenVehicle", "wantedPerson"];
    assert_eq!(counts.added.iter().map(|(class, n)| (*class, *n)).collect::<Vec<_>>(), loaded.map(|class| (class, 1)));
    let dropped = [
        "extremeRiskOrder",
        "gang",
        "immigrationViolator",
        "protectionOrder",
        "protectiveInterest",
        "sexOffender",
        "supervisedRelease",
        "terroristScreening",
        "violentPerson",
    ];
    assert_eq!(
        counts.dropped.iter().map(|(class, n)| (*class, *n)).collect::<Vec<_>>(),
        dropped.map(|class| (class, 1))
    );
    assert!(counts.refused.is_empty());
    let entry = told.entries()[0];
    assert_eq!(
        (entry.source_file.as_str(), entry.agency.as_str(), entry.vehicle.colour.unwrap().code),
        ("Vehicle", "CT0000001", 5)
    );
    // 00:00 in New York; and 48 hours from the making of the file.
    assert_eq!((entry.entered_at.0, entry.expires_at.0), (1_773_806_400, PRODUCED_AT + 48 * 3_600));
}

#[test]
fn the_extract_item_by_item() {
    let text = [
        // No code, a code of no file, a felony vehicle: no class.
        ncic_line("V1", "XK41207", "CT", ""),
        ncic_line("V2", "XK41207", "CT", "Boat"),
        ncic_line("V3", "XK41207", "CT", "Felony Vehicle"),
        // One plate in two files that are loaded stands twice; in one that is dropped, it leaves no trace.
        ncic_line("V4", "XK41207", "NB", "Wanted Person"),
        ncic_line("V5", "XK41207", "NB", "License Plate"),
        ncic_line("V6", "XK41207", "NB", "Gang"),
        ncic_line("V7", "XK41208", "NK", "Vehicle"),
        ncic_line("V8", "XK41209", "US", "Vehicle"),
        ncic_line("V9", "XK41210", "ZZ", "Vehicle"),
    ]
    .concat();
    let told = full(NCIC, "", &text);
    let states: Vec<_> = told
        .entries()
        .iter()
        .map(|entry| (entry.class.name(), entry.jurisdiction.map(|j| j.code().to_owned())))
        .collect();
    let state = |code: &str| Some(code.to_owned());
    assert_eq!(
        states,
        [
            ("wantedPerson", state("US-NE")),
            ("stolenPlate", state("US-NE")),
            ("stolenVehicle", state("CA-NB")),
            ("stolenVehicle", None)
        ]
    );
    assert_eq!((told.counts().dropped["unknown"], told.counts().dropped["gang"]), (3, 1));
    assert_eq!(told.counts().refused[&("stolenVehicle", Refusal::UnknownState)], 1);
    // A line that is one character short has another layout.
    let short = format!(
        "{}{}",
        ncic_line("V1", "XK41207", "CT", "Vehicle"),
        ncic_line("V2", "XK41207", "CT", "Vehicle").replace(" \n", "\n")
    );
    assert_eq!(reason(&full(NCIC, "", &short), 1), Refusal::BadLine);
    // Cut off.
    assert_eq!(full(NCIC, "", text.trim_end()).refused(), Some(FileRefused::Truncated));
}

#[test]
fn a_list_called_like_a_class_loads_nothing_by_its_name_or_a_note() {
    let mut delivery = delivery(Mode::Full, "");
    delivery.header.list = "HSI MASTER wantedPerson".into();
    let rows = "XK41207,wantedPerson\nXK41208,Stolen vehicle\n";
    let told = read(REKOR, &delivery, rows.as_bytes());
    assert!(told.entries().is_empty());
    assert_eq!(told.counts().dropped["unknown"], 2);
    // In the own format neither.
    let header = r#"{"list":"stolenVehicle","mode":"full","sequence":1,"base":null,"produced_at":"2026-03-20T09:00:00Z","entries":1}"#;
    let row = super::with("class", None).replace("}", r#","note":"class: stolenVehicle","source_file":"Vehicle"}"#);
    let told = super::ndjson(&format!("{header}\n{row}\n"));
    assert_eq!((told.entries().len(), told.counts().dropped["unknown"]), (0, 1));
}

const STATE_HEADER: &str = "RECORD\tACTION\tLIC\tLIS\tCODE\tDOE\tOCA\tVMA\tMIS\tEXTRA\n";

fn state_line(id: &str, action: &str, code: &str) -> String {
    format!("{id}\t{action}\tXK41207\tCO\t{code}\t03/18/2026 08:00:00\t26-1042\tFORD\tRed \u{93}roof\u{94}\t\n")
}

#[test]
fn a_state_list_item_by_item() {
    // Suspended registration, expired insurance: no class.
    let text =
        [STATE_HEADER.to_owned(), state_line("1", "A", "SV"), state_line("2", "A", "SR"), state_line("3", "A", "EI")]
            .concat();
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let told = read(STATE, &delivery(Mode::Full, ""), &latin);
    assert_eq!((told.counts().added["stolenVehicle"], told.counts().dropped["unknown"]), (1, 2));
    let entry = told.entries()[0];
    assert_eq!((entry.jurisdiction.unwrap().code(), entry.entered_at.0), ("US-CO", 1_773_842_400));
    assert_eq!(
        (entry.note.as_str(), entry.vehicle.make.unwrap().code, entry.entry_id.as_str()),
        ("Red “roof”", 13, "1")
    );
    // Removals are for incremental files; an action that nobody knows is a bad value.
    let text =
        [STATE_HEADER.to_owned(), state_line("1", "D", "SV"), state_line("2", "A", "SV"), state_line("3", "X", "SV")]
            .concat();
    let told = read(STATE, &delivery(Mode::Incremental, ""), text.replace(['\u{93}', '\u{94}'], "").as_bytes());
    assert_eq!(told.rows[0], (2, Outcome::Remove("1".into())));
    assert_eq!((told.entries().len(), reason(&told, 2)), (1, Refusal::BadValue));
    let told = read(STATE, &delivery(Mode::Full, ""), text.replace(['\u{93}', '\u{94}'], "").as_bytes());
    assert_eq!(reason(&told, 0), Refusal::BadValue);
    // A column that is not there, or there twice.
    for header in [STATE_HEADER.replace("OCA", "CASE"), STATE_HEADER.replace("EXTRA", "LIC")] {
        assert_eq!(full(STATE, "", &header).refused(), Some(FileRefused::BadHeader));
    }
}

fn flock_entry(plate: &str, state: &str, expiry: &str) -> String {
    format!(
        r#"{{"plate":"{plate}","reason":"stolenVehicle, Wanted Person","caseNumber":"26-1042","state":{state},"expiry":{expiry},"note":{{"message":"seen twice"}}}}"#
    )
}

fn flock(entries: &[String]) -> Told {
    full(FLOCK, "custom-list", &format!(r#"{{"entries":[{}]}}"#, entries.join(",")))
}

const TOMORROW: &str = "\"2026-03-21T09:00:00Z\"";

#[test]
fn flock_item_by_item() {
    let told = flock(&[
        flock_entry("XK41207", "\"washington_dc\"", TOMORROW),
        flock_entry("XK41208", "null", "null"),
        flock_entry("XK41209", "\"new_york\"", "\"2026-06-21T09:00:00Z\""),
        flock_entry("XK41210", "\"DC\"", TOMORROW),
        flock_entry("XK41211", "null", TOMORROW).replace("26-1042", ""),
        "7".into(),
    ]);
    let entry = told.entries()[0];
    // The reason is a text, and the class is the source's.
    assert_eq!(
        (entry.class, entry.source_file.as_str(), entry.note.as_str()),
        (ListClass::Custom, "custom-list", "seen twice")
    );
    assert_eq!((entry.jurisdiction.unwrap().code(), entry.case.as_str()), ("US-DC", "26-1042"));
    assert_eq!(reason(&told, 1), Refusal::NoExpiry);
    assert_eq!(told.entries()[1].expires_at.0, PRODUCED_AT + CUSTOM_LIFE_SECONDS_MAX);
    assert_eq!(
        (reason(&told, 3), reason(&told, 4), reason(&told, 5)),
        (Refusal::UnknownState, Refusal::NoCase, Refusal::BadLine)
    );
    assert_eq!((told.counts().lives_cut, told.rows[5].0), (1, 6));
    // Without the steward's word for the source there is no class.
    let body = format!(r#"{{"entries":[{}]}}"#, flock_entry("XK41207", "null", TOMORROW));
    for source_file in ["", "stolenVehicle", "custom"] {
        assert_eq!(full(FLOCK, source_file, &body).counts().dropped["unknown"], 1, "{source_file}");
    }
}

#[test]
fn flock_takes_3000_entries_a_request() {
    let entries = vec![flock_entry("XK41207", "null", TOMORROW); 3_001];
    assert_eq!(flock(&entries[1..]).counts().added["custom"], 3_000);
    assert_eq!(flock(&entries).refused(), Some(FileRefused::TooManyRows));
    let whole = format!(r#"{{"entries":[{}]}}"#, entries[0]);
    for (body, why) in [
        (whole.get(..whole.len() - 1).unwrap(), FileRefused::Malformed),
        ("", FileRefused::Malformed),
        ("[]", FileRefused::Malformed),
        ("{}", FileRefused::BadHeader),
        (r#"{"entries":{}}"#, FileRefused::BadHeader),
        (r#"{"entries":[],"entries":[]}"#, FileRefused::BadHeader),
        (r#"{"entries":[]}"#, FileRefused::Empty),
    ] {
        assert_eq!(full(FLOCK, "custom-list", body).refused(), Some(why), "{body}");
    }
    // Keys that nobody reads are no reason to refuse a list; too many of them are a reason of their own.
    let more = |n: usize| (0..n).fold(String::new(), |more, at| format!("{more}\"f{at}\":0,"));
    let with_more = |n| entries[0].replacen('{', &format!("{{{}", more(n)), 1);
    assert_eq!(flock(&vec![with_more(20); 3_000]).counts().added["custom"], 3_000);
    let many = format!(r#"{{"more":[0{}],"entries":[]}}"#, ",0".repeat(crate::limits::LIST_VALUES_MAX));
    assert_eq!(full(FLOCK, "custom-list", &many).refused(), Some(FileRefused::TooLarge));
    let large = vec![b' '; crate::limits::BODY_BYTES_MAX + 1];
    assert_eq!(read(FLOCK, &delivery(Mode::Full, "custom-list"), &large).refused(), Some(FileRefused::TooLarge));
}

#[test]
fn ids_made_of_a_plate_are_stable_and_keyed() {
    let ids = |told: &Told| told.entries().iter().map(|entry| entry.entry_id.clone()).collect::<Vec<_>>();
    let (state, other) = ("\"new_york\"", "\"ohio\"");
    let first = ids(&flock(&[flock_entry("XK41207", state, TOMORROW), flock_entry("XK41207", other, TOMORROW)]));
    let again = ids(&flock(&[flock_entry("xk-41207", state, TOMORROW)
        .replace("seen twice", "gone")
        .replace("26-1042", "26-1")]));
    assert_eq!((first[0].len(), &first[0]), (32, &again[0]));
    assert_ne!(first[0], first[1]);
    let mut keyed = delivery(Mode::Full, "custom-list");
    keyed.id_key = [8; 32];
    let body = format!(r#"{{"entries":[{}]}}"#, flock_entry("XK41207", state, TOMORROW));
    assert_ne!(ids(&read(FLOCK, &keyed, body.as_bytes()))[0], first[0]);
    // A file to remove names the same entry.
    let mut removing = delivery(Mode::Incremental, "custom-list");
    removing.removes = true;
    assert_eq!(read(FLOCK, &removing, body.as_bytes()).rows[0].1, Outcome::Remove(first[0].clone()));
}

#[test]
fn what_vigilant_made_inactive_does_not_come_back() {
    let header = "Hot Plate,State,Alert,Entered,Inactive After,Case Number,Comment\n";
    let text = format!(
        "{header}XK41207,New York,High,2026-03-10,5,26-1042,\"gone, they say\"\nXK41208,Ohio,Low,2026-03-18,10,26-1043,\n"
    );
    for later in 0..3_u64 {
        // The same rows in a file that is made and loaded anew.
        let mut delivery = delivery(Mode::Full, "hot-plates");
        delivery.header.produced_at = Timestamp(PRODUCED_AT + later * 86_400);
        let template = Template::parse(VIGILANT).unwrap();
        let load = Load { now: Timestamp(NOW.0 + later * 86_400), ..load() };
        let told = super::told(HotlistFile::by_template(&template, &delivery, load).unwrap(), text.as_bytes(), 7);
        assert_eq!((told.plates(), reason(&told, 0)), (vec!["XK41208"], Refusal::Expired));
        let entry = told.entries()[0];
        assert_eq!((entry.level, entry.jurisdiction.unwrap().code()), (AlertLevel::Low, "US-OH"));
        assert_eq!(entry.expires_at.0, entry.entered_at.0 + 10 * 86_400);
    }
    // Days without an entering would begin anew with each load: no such template.
    let endless = VIGILANT
        .replace("entered_at = \"Entered\"\n", "")
        .replace("entry_id_from_plate", "entered_at_from_file = true\nentry_id_from_plate");
    let problem = Template::parse(
        &endless
            .replace("date = \"%Y-%m-%d\"\n", "")
            .replace("zone = \"America/Chicago\"\nlast_day_included = false\n", ""),
    )
    .unwrap_err();
    assert_eq!(problem, TemplateProblem { at: "expires_in_days", fault: TemplateFault::EndlessLife });
    // No level but those three, and no days that are no number.
    let wrong = format!(
        "{header}XK41207,Ohio,Urgent,2026-03-18,10,26-1,\nXK41207,Ohio,Low,2026-03-18,soon,26-1,\nXK41207,Ohio,Low,2026-03-18,3651,26-1,\nXK41207,Ohio,Low,2026-03-18,,26-1,\n"
    );
    let told = full(VIGILANT, "hot-plates", &wrong);
    assert_eq!(
        [0, 1, 2, 3].map(|at| reason(&told, at)),
        [Refusal::BadValue, Refusal::BadValue, Refusal::BadValue, Refusal::NoExpiry]
    );
}

/// A source that makes one file a class, and yet names one in each row.
#[test]
fn of_a_file_that_nobody_loads_no_row_is_loaded_whatever_it_calls_itself() {
    let row = ncic_line("V1", "XK41200", "CT", "Vehicle");
    assert_eq!(full(NCIC, "Vehicle", &row).counts().added["stolenVehicle"], 1);
    for name in ["Immigration Violator", "immigration_violator", "NCIC IMMIGRATION VIOLATORS.txt"] {
        let told = full(NCIC, name, &row);
        assert_eq!((told.counts().added.len(), told.counts().dropped["immigrationViolator"]), (0, 1), "{name}");
    }
}

#[test]
fn genetec_item_by_item() {
    let long_ago = "QC;DEF228;2012-01-31;2012-05-31;PermitID_1\n";
    assert_eq!(reason(&full(GENETEC, "stolen", long_ago), 0), Refusal::Expired);
    let text = "QC;DEF228;2026-03-21;2026-03-21;PermitID_1\nQC;DEF229;;2026-03-20;2\nQC;DEF230;;2026-03-19;3\nQC;DEF231;2026-03-21;;4\nQC;DEF232;;2026-03-21\n";
    let told = full(GENETEC, "stolen", text);
    // In force from tomorrow on; the last day counts.
    let entry = told.entries()[0];
    assert_eq!((entry.jurisdiction.unwrap().code(), entry.entry_id.as_str()), ("CA-QC", "PermitID_1"));
    assert_eq!((entry.effective_at.unwrap().0, entry.expires_at.0), (1_774_065_600, 1_774_152_000));
    assert!(entry.effective_at.unwrap() > NOW);
    assert_eq!(told.plates(), ["DEF228", "DEF229"]);
    assert_eq!([2, 3, 4].map(|at| reason(&told, at)), [Refusal::Expired, Refusal::NoExpiry, Refusal::BadLine]);
    // The same with every other delimiter, and in fixed columns.
    for (word, delimiter) in [(":", ":"), (",", ","), ("tab", "\t")] {
        let template = GENETEC.replace("delimiter = \";\"", &format!("delimiter = \"{word}\""));
        assert_eq!(full(&template, "stolen", &text.replace(';', delimiter)).plates(), told.plates(), "{word}");
    }
    let mut fixed =
        GENETEC.replace("\"delimited\"", "\"fixed\"").replace("delimiter = \";\"\n", "").replace("cells = 5\n", "");
    for (field, place) in [
        ("state = 1", "[1, 2]"),
        ("plate = 2", "[3, 8]"),
        ("effective_at = 3", "[11, 10]"),
        ("expires_at = 4", "[21, 10]"),
        ("entry_id = 5", "[31, 12]"),
    ] {
        let name = field.split(' ').next().unwrap();
        fixed = fixed.replace(field, &format!("{name} = {place}"));
    }
    let line = format!("QC{:<8}{:<10}{:<10}PermitID_1\n", "DEF228", "2026-03-21", "2026-03-21");
    assert!(full(&fixed, "stolen", &line).entries()[0] == entry);
}

#[test]
fn a_hundred_thousand_lines_and_one() {
    let text = "QC;DEF228;;2026-03-21;P\n".repeat(100_001);
    assert_eq!(full(GENETEC, "stolen", &text).counts().added["stolenVehicle"], 100_001);
    let mut counted = delivery(Mode::Full, "stolen");
    counted.header.entries = Some(100_000);
    assert_eq!(read(GENETEC, &counted, text.as_bytes()).refused(), Some(FileRefused::Truncated));
}

#[test]
fn rekor_lists_have_no_class_and_white_lists_are_none() {
    let told = full(REKOR, "blacklist", "XK41207,\nXK41208,stolen\n");
    assert_eq!((told.entries().len(), told.counts().dropped["unknown"]), (0, 2));
    let white = REKOR.replace("kind = \"hot\"", "kind = \"white\"");
    assert_eq!(Template::parse(&white).unwrap_err(), TemplateProblem { at: "kind", fault: TemplateFault::NotAHotList });
}

#[test]
fn a_delivery_is_judged_like_a_header() {
    let refused = |change: fn(&mut Header)| {
        let mut delivery = delivery(Mode::Full, "stolen");
        change(&mut delivery.header);
        read(GENETEC, &delivery, b"QC;DEF228;;2026-03-21;P\n").refused()
    };
    assert_eq!(refused(|_| {}), None);
    assert_eq!(refused(|header| header.list.clear()), Some(FileRefused::BadHeader));
    assert_eq!(refused(|header| header.mode = Mode::Incremental), Some(FileRefused::BadHeader));
    assert_eq!(refused(|header| header.produced_at = Timestamp(NOW.0 + 301)), Some(FileRefused::BadHeader));
    assert_eq!(refused(|header| header.entries = Some(0)), Some(FileRefused::Empty));
    assert_eq!(refused(|header| header.entries = Some(2)), Some(FileRefused::Truncated));
    assert_eq!(full(GENETEC, "stolen", "").refused(), Some(FileRefused::Empty));
}

#[test]
fn a_long_remark_is_cut_and_counted() {
    let header = "Hot Plate,State,Alert,Entered,Inactive After,Case Number,Comment\n";
    let line = |note: usize| format!("XK41207,Ohio,Low,2026-03-18,10,26-1,{}\n", "é".repeat(note));
    let told = full(VIGILANT, "hot-plates", &format!("{header}{}{}", line(NOTE_CHARS_MAX), line(NOTE_CHARS_MAX + 1)));
    assert!(told.entries().iter().all(|entry| entry.note.chars().count() == NOTE_CHARS_MAX));
    assert_eq!(told.counts().notes_cut, 1);
}

#[test]
fn what_a_template_may_not_say() {
    use TemplateFault::*;
    let at = |template: &str, from: &str, to: &str| {
        assert!(template.contains(from), "{from}");
        let problem = Template::parse(&template.replacen(from, to, 1)).unwrap_err();
        (problem.at, problem.fault)
    };
    for (template, from, to, problem) in [
        (NCIC, "source", "sourc", ("source", Missing)),
        (NCIC, "kind = \"hot\"", "kind = 1", ("kind", BadValue)),
        (NCIC, "kind = \"hot\"\n", "", ("kind", Missing)),
        (NCIC, "format = \"fixed\"", "format = \"xml\"", ("format", BadValue)),
        (NCIC, "header = false", "header = 0", ("header", BadValue)),
        (NCIC, "header = false\n", "", ("header", Missing)),
        (NCIC, "width = 80", "width = 79", ("vehicle_colour", BadValue)),
        (NCIC, "width = 80", "width = 0", ("width", BadValue)),
        (NCIC, "encoding = \"utf-8\"", "encoding = \"utf-16\"", ("encoding", BadValue)),
        (NCIC, "end = \"line_break\"\n", "", ("end", Missing)),
        (NCIC, "%Y%m%d", "%Y%m", ("date", BadValue)),
        (NCIC, "%Y%m%d", "%Y%m%d%Z", ("date", BadValue)),
        (NCIC, "date = \"%Y%m%d\"\n", "", ("date", Missing)),
        (NCIC, "%Y%m%d", "rfc3339", ("zone", UnknownKey)),
        (NCIC, "America/New_York", "Mars/Olympus", ("zone", BadValue)),
        (NCIC, "zone = \"America/New_York\"\n", "", ("zone", Missing)),
        (NCIC, "last_day_included = true\n", "", ("last_day_included", Missing)),
        (STATE, "states =", "last_day_included = true\nstates =", ("last_day_included", UnknownKey)),
        (NCIC, "states = \"ncic\"", "states = \"fips\"", ("states", BadValue)),
        (NCIC, "class_from = \"column\"", "class_from = \"file\"", ("class_from", UnknownKey)),
        (NCIC, "class_from = \"column\"", "class_from = \"nothing\"", ("class_from", UnknownKey)),
        (NCIC, "class_from = \"column\"", "class_from = \"list\"", ("class_from", BadValue)),
        (NCIC, "class = [23, 30]\n", "", ("class", UnknownKey)),
        (NCIC, "\"stolenVehicle\"", "\"unknown\"", ("classes", BadValue)),
        (NCIC, "\"stolenVehicle\"", "\"Vehicle\"", ("classes", BadValue)),
        (NCIC, "\"Vehicle\" =", "\" Vehicle\" =", ("classes", BadValue)),
        (NCIC, "\"Vehicle\" =", "\"\" =", ("classes", BadValue)),
        (NCIC, "life_hours = 48", "life_hours = 49", ("life_hours", BadValue)),
        (NCIC, "\"statutoryDuty\"", "\"none\"", ("basis", BadValue)),
        (NCIC, "basis = \"statutoryDuty\"\n", "", ("basis", Missing)),
        (NCIC, "basis =", "default_class = \"custom\"\nbasis =", ("template", UnknownKey)),
        (NCIC, "basis =", "agency = \"CT0000000\"\nbasis =", ("agency", UnknownKey)),
        (NCIC, "agency = [61, 9]\n", "", ("agency", Missing)),
        (NCIC, "entry_id = [1, 10]\n", "", ("entry_id", Missing)),
        (NCIC, "entered_at = [53, 8]\n", "", ("entered_at", Missing)),
        (NCIC, "plate = [11, 10]\n", "", ("plate", Missing)),
        (NCIC, "plate = [11, 10]", "plate = [0, 10]", ("plate", BadValue)),
        (NCIC, "plate = [11, 10]", "plate = [11, 0]", ("plate", BadValue)),
        (NCIC, "plate = [11, 10]", "plate = [11]", ("plate", BadValue)),
        (NCIC, "plate = [11, 10]", "plate = \"LIC\"", ("plate", BadValue)),
        (NCIC, "plate = [11, 10]", "plate = [21, 2]", ("state", BadValue)),
        (NCIC, "plate = [11, 10]", "plate = [11, 10]\nowner = [3, 4]", ("columns", UnknownKey)),
        (NCIC, "[columns]", "[column]", ("columns", Missing)),
        (NCIC, "US = \"unknown\"", "US = \"US\"", ("named_states", BadValue)),
        (NCIC, "US = \"unknown\"", "US = \"us-ct\"", ("named_states", BadValue)),
        (STATE, "[operations]\nA = \"add\"\nD = \"remove\"", "", ("operation", Missing)),
        (STATE, "operation = \"ACTION\"\n", "", ("operation", UnknownKey)),
        (STATE, "\"remove\"", "\"delete\"", ("operations", BadValue)),
        (STATE, "delimiter = \"tab\"", "delimiter = \"|\"", ("delimiter", BadValue)),
        (STATE, "header = true", "header = true\ncells = 9", ("cells", UnknownKey)),
        (GENETEC, "cells = 5\n", "", ("cells", Missing)),
        (GENETEC, "cells = 5", "cells = 4", ("entry_id", BadValue)),
        (GENETEC, "state = 1", "state = 0", ("state", BadValue)),
        (GENETEC, "entry_id = 5", "entry_id = 5\nexpires_in_days = 3", ("effective_at", BadValue)),
        (VIGILANT, "expires_in_days", "expires_at = \"End\"\nexpires_in_days", ("expires_in_days", UnknownKey)),
        (VIGILANT, "Medium = \"medium\"", "Medium = \"middle\"", ("levels", BadValue)),
        (FLOCK, "rows_max = 3000", "rows_max = 10001", ("rows_max", BadValue)),
        (FLOCK, "rows = \"entries\"\n", "", ("rows", Missing)),
        (FLOCK, "note.message", "note..message", ("note", BadValue)),
        (FLOCK, "note.message", "a.b.c.d.e", ("note", BadValue)),
        (FLOCK, "states =", "encoding = \"utf-8\"\nstates =", ("template", UnknownKey)),
        (FLOCK, "custom-list = \"custom\"", "", ("classes", Missing)),
        (FLOCK, "entry_id_from_plate = true", "entry_id_from_plate = \"yes\"", ("entry_id_from_plate", BadValue)),
        (REKOR, "states = ", "date = \"rfc3339\"\nstates = ", ("date", UnknownKey)),
        (REKOR, "[columns]", "[columns]\nlevel = 2", ("note", BadValue)),
    ] {
        assert_eq!(at(template, from, to), problem, "{from} -> {to}");
    }
    let no_toml = Template::parse("kind = \"hot\"\n\na = ").unwrap_err();
    assert_eq!((no_toml.fault, no_toml.to_string().as_str()), (NotToml(3), "line 3 is no TOML"));
    let missing = Template::parse("source = \"Invented\"").unwrap_err();
    assert_eq!(missing.to_string(), "`kind` is missing");
    let padded = format!("{REKOR}{}", "#".repeat(TEMPLATE_BYTES_MAX - REKOR.len()));
    assert!(Template::parse(&padded).is_ok());
    assert_eq!(Template::parse(&format!("{padded}#")).unwrap_err().fault, TooLarge);
    let codes = |n: usize| {
        let codes: String = (0..n - 4).map(|code| format!("C{code} = \"custom\"\n")).collect();
        Template::parse(&NCIC.replace("[classes]\n", &format!("[classes]\n{codes}"))).map(drop)
    };
    assert_eq!(codes(TEMPLATE_MAP_ROWS_MAX), Ok(()));
    assert_eq!(codes(TEMPLATE_MAP_ROWS_MAX + 1).unwrap_err(), TemplateProblem { at: "classes", fault: TooLarge });
}

#[test]
fn each_bound_of_a_template_and_one_beyond() {
    use TemplateFault::BadValue;
    let fault = |template: &str, from: &str, to: String| {
        Template::parse(&template.replacen(from, &to, 1)).map_or_else(|problem| Some(problem.fault), |_| None)
    };
    for (template, from, key, most) in [
        (GENETEC, "cells = 5", "cells", CELLS_MAX),
        (NCIC, "width = 80", "width", WIDTH_MAX),
        (NCIC, "life_hours = 48", "life_hours", 48),
        (FLOCK, "rows_max = 3000", "rows_max", 10_000),
    ] {
        assert_eq!(fault(template, from, format!("{key} = {most}")), None, "{key}");
        assert_eq!(fault(template, from, format!("{key} = {}", most + 1)), Some(BadValue), "{key}");
    }
    for (template, from, key, most) in [
        (NCIC, "source = \"NCIC LPR extract\"", "source", TEMPLATE_TEXT_BYTES_MAX),
        (GENETEC, "agency = \"QC0000000\"", "agency", AGENCY_BYTES_MAX),
        (VIGILANT, "case = \"Case Number\"", "case", TEMPLATE_TEXT_BYTES_MAX),
    ] {
        assert_eq!(fault(template, from, format!("{key} = \"{}\"", "t".repeat(most))), None, "{key}");
        assert_eq!(fault(template, from, format!("{key} = \"{}\"", "t".repeat(most + 1))), Some(BadValue), "{key}");
    }
    assert_eq!(fault(FLOCK, "note.message", "a.b.c.d".into()), None);
    let code = |bytes: usize| fault(NCIC, "\"Vehicle\"", format!("\"{}\"", "c".repeat(bytes)));
    assert_eq!((code(CODE_BYTES_MAX), code(CODE_BYTES_MAX + 1)), (None, Some(BadValue)));
    // A line of more cells than there may be.
    let wide = GENETEC.replacen("cells = 5", &format!("cells = {CELLS_MAX}"), 1);
    let line = format!("QC;DEF228;;2026-03-21;P{}", ";".repeat(CELLS_MAX - 5));
    let told = full(&wide, "stolen", &format!("{line}\n{line};\n"));
    assert_eq!((told.plates(), reason(&told, 1)), (vec!["DEF228"], Refusal::BadLine));
}

#[test]
fn states_as_four_tables_write_them() {
    let state = |table: StateTable, text: &str| table.state(text).map(|state| state.code().to_owned());
    let some = |code: &str| Some(code.to_owned());
    for (text, iso, ncic, snake, name) in [
        ("CT", some("US-CT"), some("US-CT"), None, None),
        ("us-mo", some("US-MO"), None, None, None),
        ("QC", some("CA-QC"), None, None, None),
        ("PQ", None, some("CA-QC"), None, None),
        ("NE", some("US-NE"), None, None, None),
        ("NB", some("CA-NB"), some("US-NE"), None, None),
        ("NK", None, some("CA-NB"), None, None),
        ("SK", some("CA-SK"), None, None, None),
        ("SN", None, some("CA-SK"), None, None),
        ("NL", some("CA-NL"), some("MX-NLE"), None, None),
        ("NF", None, some("CA-NL"), None, None),
        ("GU", some("US-GU"), some("MX-GUA"), None, None),
        ("GM", None, some("US-GU"), None, None),
        ("MP", some("US-MP"), None, None, None),
        ("PR", some("US-PR"), some("US-PR"), None, None),
        ("washington_dc", None, None, some("US-DC"), None),
        ("new_york", None, None, some("US-NY"), None),
        ("New York", None, None, None, some("US-NY")),
        ("ohio", None, None, some("US-OH"), some("US-OH")),
        ("POL", None, None, None, None),
        ("Atlantis", None, None, None, None),
        ("", None, None, None, None),
        ("X", None, None, None, None),
    ] {
        let found =
            [StateTable::Iso, StateTable::Ncic, StateTable::Snake, StateTable::Name].map(|table| state(table, text));
        assert_eq!(found, [iso, ncic, snake, name], "{text}");
    }
    // Every row of the table is a jurisdiction that a read can have.
    for (own, iso) in NCIC_STATES {
        let named = crate::jurisdiction::named(iso, crate::jurisdiction::TwoLetters::Country);
        assert_eq!(named.as_ref().map(Jurisdiction::code), Some(*iso), "{own}");
        assert_eq!(state(StateTable::Ncic, own), some(iso));
    }
    let all = (b'A'..=b'Z').flat_map(|a| (b'A'..=b'Z').map(move |b| String::from_utf8(vec![a, b]).unwrap()));
    let mut named: Vec<String> = all.filter_map(|code| state(StateTable::Ncic, &code)).collect();
    let count = named.len();
    named.sort_unstable();
    named.dedup();
    // 50 states, DC and five territories, twelve provinces and territories of Canada, 32 states of Mexico; each by one code.
    assert_eq!((count, named.len()), (56 + 12 + 32, 56 + 12 + 32));
}

#[test]
fn times_need_an_offset_or_a_zone() {
    for (text, want) in [
        ("2026-03-20T09:46:40Z", Some(1_774_000_000)),
        ("2026-03-20t05:46:40.9-04:00", Some(1_774_000_000)),
        ("2026-03-20 09:46:40+00:00", Some(1_774_000_000)),
        ("9999-12-30T00:00:00Z", Some(253_402_128_000)),
        ("2026-03-20T09:46:40", None),
        ("20260320T094640Z", None),
        ("2026-02-30T00:00:00Z", None),
        ("1969-12-31T23:59:59Z", None),
        ("1774000000", None),
        ("", None),
    ] {
        assert_eq!(rfc3339(text).map(|time| time.0), want, "{text}");
    }
    for (pattern, has_clock) in [
        ("%Y-%m-%d", Some(false)),
        ("%d %b %y", Some(false)),
        ("%Y%j", Some(false)),
        ("%m/%d/%Y %I:%M %p", Some(true)),
        ("%Y-%m-%d %H", Some(true)),
        ("%m/%d/%Y %I:%M", None),
        ("%Y-%m-%d %M:%S", None),
        ("%d.%m.", None),
        ("%H:%M", None),
        ("%Y-%m-%d%", None),
        ("%Y-%m-%d %z", None),
        ("2026-%m-%d", None),
        ("", None),
    ] {
        assert_eq!(pattern_has_clock(pattern), has_clock, "{pattern}");
    }
}

#[test]
fn hours_that_come_twice_or_not_at_all_have_one_meaning() {
    let end = |text: &str| {
        let template = STATE
            .replace("entered_at = \"DOE\"", "entered_at = \"DOE\"\nexpires_at = \"EXTRA\"")
            .replace("America/Denver", "America/New_York");
        let line = format!("{STATE_HEADER}1\tA\tXK41207\tCO\tSV\t03/18/2026 08:00:00\t\t\t\t{text}\n");
        let parsed = Template::parse(&template).unwrap();
        let load = Load { now: Timestamp(1_772_900_000), ..load() };
        let mut delivery = delivery(Mode::Full, "");
        delivery.header.produced_at = load.now;
        let line = line.replace("03/18/2026", "03/01/2026");
        super::told(HotlistFile::by_template(&parsed, &delivery, load).unwrap(), line.as_bytes(), 99).entries()[0]
            .expires_at
            .0
    };
    // 8 March 2026, 02:30 does not happen in New York; it is 03:30 -04:00.
    assert_eq!(end("03/08/2026 02:30:00"), 1_772_955_000);
    assert_eq!(end("03/08/2026 03:30:00"), 1_772_955_000);
}
