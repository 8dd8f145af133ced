//! What a search gives: reads with why they matched and their proofs, or "no match, checked". This is the one place of the node
//! where a plate's text leaves in clear: the officer's own result, on the officer's own machine.

use core::fmt;
use std::collections::BTreeMap;
use std::path::PathBuf;

use lockplate_core::json::{time_ms_text, time_text};
use lockplate_core::open::OpenedRead;
use lockplate_core::plate::Jurisdiction;
use lockplate_core::read::{ReadFlag, ReadFlags, TimeQuality, remarks};
use lockplate_core::spellings::{Why, why_matched};
use serde_json::{Value, json};

use super::Snapped;
use super::package::Kept;
use super::timings::Timings;
use crate::api::CameraListed;

/// Schema name of [`Fetched::to_json`].
pub const SCHEMA: &str = "lockplate/search/1";

/// Where a read stood before anybody searched. All bytes as they are; hexadecimal in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The epoch.
    pub epoch_id: [u8; 16],
    /// Hash of its signed header, 32 bytes.
    pub header_hash: [u8; 32],
    /// Logged root of its segment.
    pub segment_root: [u8; 32],
    /// The bucket whose inclusion under that root was verified.
    pub bucket: u32,
    /// Tag of the cell in that bucket.
    pub tag: [u8; 32],
}

/// One read of the plate.
#[derive(Clone)]
pub struct Found {
    /// Capture time, Unix ms.
    pub time_ms: i64,
    /// How good that time is.
    pub time_quality: TimeQuality,
    /// The camera's own time where the time of receipt stands instead of it, Unix ms.
    pub source_time_ms: Option<i64>,
    /// Flags of the read.
    pub flags: ReadFlags,
    /// Camera number.
    pub camera: u32,
    /// The place in words, where the camera register names it.
    pub place: Option<String>,
    /// Text as read.
    pub text: String,
    /// Confidence of the text, 1/1000.
    pub confidence: Option<u16>,
    /// State the engine named.
    pub state: Option<String>,
    /// Why it matched.
    pub why: Why,
    /// Evidence.
    pub proof: Proof,
    /// Copies of the same engine event that were merged into this line.
    pub merged: u32,
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Found(..)")
    }
}

impl Found {
    /// The time as RFC 3339 UTC with milliseconds.
    #[must_use]
    pub fn time_text(&self) -> String {
        time_ms_text(self.time_ms)
    }

    /// What its time and text do not say of themselves, in words.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let source_time = self.source_time_ms.map(time_ms_text);
        remarks(self.time_quality, source_time.as_deref(), &self.flags.names())
    }

    /// Why its text matched, in words without a character of a plate.
    #[must_use]
    pub const fn why_text(&self) -> &'static str {
        self.why.text.label()
    }

    /// How its state relates to the one asked, in words.
    #[must_use]
    pub const fn why_state(&self) -> &'static str {
        self.why.state.label()
    }

    fn to_json(&self) -> Value {
        json!({
            "time": self.time_text(),
            "time_quality": self.time_quality.name(),
            "source_time": self.source_time_ms.map(time_ms_text),
            "flags": self.flags.names().into_iter().map(ReadFlag::name).collect::<Vec<_>>(),
            "camera": self.camera,
            "place": self.place,
            "text": self.text,
            "state": self.state,
            "confidence": self.confidence.map(|conf| f64::from(conf) / 1000.0),
            "why": {
                "text": self.why_text(),
                "state": self.why_state(),
                "possible_misread": self.why.text.is_possible_misread(),
            },
            "merged": self.merged,
            "proof": {
                "epoch": hex::encode(self.proof.epoch_id),
                "header_hash": hex::encode(self.proof.header_hash),
                "segment_root": hex::encode(self.proof.segment_root),
                "bucket": self.proof.bucket,
                "tag": hex::encode(self.proof.tag),
            },
        })
    }
}

/// A keeper whose answer did not verify although the others sufficed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Culprit {
    /// Its place in the charter.
    pub keeper: u8,
    /// Its name.
    pub name: String,
    /// The evidence file, where one could be written.
    pub evidence: Option<PathBuf>,
}

/// A finished search: every epoch of the grant was opened and every bucket proved.
#[derive(Debug)]
pub struct Fetched {
    /// The request.
    pub request_digest: [u8; 32],
    /// The grant.
    pub grant_digest: [u8; 32],
    /// Window that was searched.
    pub window: Snapped,
    /// Elements asked.
    pub elements: usize,
    /// Epochs searched.
    pub epochs: usize,
    /// Epochs of the window that are destroyed.
    pub epochs_destroyed: u32,
    /// Epochs of the window that the grant does not cover: not closed yet, or not held or allowed by all of its keepers.
    pub epochs_not_searched: usize,
    /// The reads, oldest first. Empty is "no match, checked" for the epochs searched.
    pub found: Vec<Found>,
    /// Cells opened.
    pub cells: u64,
    /// Of them, cells that cannot be the plate asked for; not shown.
    pub others: u64,
    /// Keepers that lied and were done without.
    pub culprits: Vec<Culprit>,
    /// Entries of the request in the keepers' public logs: place, name, number.
    pub register: Vec<(u8, String, u64)>,
    /// Entry of the disclosure in the desk's log; `None` if the desk could not be told yet (fetch again).
    pub disclosure: Option<u64>,
    /// What was written of it.
    pub kept: Option<Kept>,
    /// How long its parts took.
    pub timings: Timings,
}

impl Fetched {
    /// True where no epoch searched holds a read of the plate.
    #[must_use]
    pub fn is_no_match(&self) -> bool {
        self.found.is_empty()
    }

    /// The document of `--json`, schema [`SCHEMA`].
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "schema": SCHEMA,
            "request": hex::encode(self.request_digest),
            "grant": hex::encode(self.grant_digest),
            "result": match (self.is_no_match(), self.epochs_not_searched) {
                (false, _) => "found",
                (true, 0) => "no match, checked",
                (true, _) => "no match in the periods searched",
            },
            "window": { "from": time_text(self.window.from), "to": time_text(self.window.to) },
            "elements": self.elements,
            "epochs": self.epochs,
            "epochs_destroyed": self.epochs_destroyed,
            "epochs_not_searched": self.epochs_not_searched,
            "found": self.found.iter().map(Found::to_json).collect::<Vec<_>>(),
            "others": self.others,
            "culprits": self.culprits.iter().map(|culprit| json!({
                "keeper": culprit.keeper,
                "name": culprit.name,
                "evidence": culprit.evidence,
            })).collect::<Vec<_>>(),
            "register": self.register.iter().map(|(keeper, name, entry)| json!({
                "keeper": keeper, "name": name, "entry": entry,
            })).collect::<Vec<_>>(),
            "disclosure": self.disclosure,
        })
    }
}

/// One opened cell with its proof.
pub(super) struct OpenedCell {
    pub(super) read: OpenedRead,
    pub(super) proof: Proof,
}

/// Merges, classifies, sorts. Returns the lines and the number of cells that cannot be the plate asked for.
pub(super) fn lines(
    cells: Vec<OpenedCell>,
    asked: &str,
    state: Option<Jurisdiction>,
    cameras: &BTreeMap<u32, CameraListed>,
) -> (Vec<Found>, u64) {
    let states: Vec<Jurisdiction> = state.into_iter().collect();
    let mut others = 0_u64;
    let mut found: Vec<Found> = Vec::new();
    // One engine event can be in two cells (a repeat after a crash, a late copy): it is one sighting.
    let mut seen: BTreeMap<(u16, [u8; 8]), usize> = BTreeMap::new();
    let mut cells = cells;
    cells.sort_by_key(|cell| (cell.read.read.captured_at, cell.proof.epoch_id, cell.read.element, cell.read.counter));
    for OpenedCell { read: opened, proof } in cells {
        let read = opened.read;
        let why = why_matched(asked, &states, &read.plate, read.jurisdiction, read.jur_conf, read.jurisdiction_trusted);
        if why.is_other() {
            others = others.saturating_add(1);
            continue;
        }
        if let Some(reference) = read.engine_ref {
            if let Some(first) = seen.get(&(read.source, reference)).and_then(|at| found.get_mut(*at)) {
                first.merged = first.merged.saturating_add(1);
                continue;
            }
            seen.insert((read.source, reference), found.len());
        }
        found.push(Found {
            time_ms: read.captured_at,
            time_quality: read.time_quality,
            source_time_ms: read.source_time,
            flags: read.flags,
            camera: read.camera,
            place: cameras.get(&read.camera).map(|camera| camera.place.clone()).filter(|place| !place.is_empty()),
            text: read.plate.expose_text().to_owned(),
            confidence: read.conf,
            state: read.jurisdiction.map(|code| code.code().to_owned()),
            why,
            proof,
            merged: 0,
        });
    }
    (found, others)
}

#[cfg(test)]
mod tests;
