//! The town's cameras: webhook payloads as two engines send them, posted over TLS to the agency as they would be. The stolen
//! car and the cars of the other acts pass again and again between invented traffic.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lockplate_core::Timestamp;
use lockplate_core::json::time_text;
use lockplate_node::clock::{Clock as _, SystemClock};
use lockplate_node::tls;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// The stolen car of the first act; every plate of the demo is invented.
pub(super) const STOLEN: &str = "QXZ4471";
/// The car that the neighbour looks for.
pub(super) const WANTED: &str = "QXV8825";
/// The car of the person whom the federal agency looks for.
pub(super) const PERSON: &str = "QXW3310";

/// Cameras: the engine's key, the source that speaks for it, the place.
pub(super) const CAMERAS: [(&str, &str, &str); 8] = [
    ("agent-1/1", "rekor", "Main Street at the library"),
    ("agent-1/2", "rekor", "Main Street at the mill"),
    ("agent-1/3", "rekor", "River Road, north"),
    ("agent-1/4", "rekor", "River Road, south"),
    ("gate-a", "stream", "School Lane"),
    ("gate-b", "stream", "Station Square"),
    ("gate-c", "stream", "Old Bridge"),
    ("gate-d", "stream", "Harbour Way"),
];

/// Pause between two passages.
const EVERY: Duration = Duration::from_millis(250);

/// Where the cameras post to.
pub(super) struct Posts {
    /// Base address of the agency.
    pub(super) base: String,
    /// Pin of its TLS key.
    pub(super) pin: [u8; 32],
    /// Path of the Rekor source, with its token.
    pub(super) rekor: String,
    /// Path of the Plate Recognizer source, with its token.
    pub(super) stream: String,
}

impl Posts {
    fn client(&self) -> Result<reqwest::Client> {
        let config = tls::client_config(self.pin)?;
        Ok(reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(config)
            .timeout(Duration::from_secs(10))
            .build()?)
    }

    /// Lets cars pass until `stopping`; the number of payloads that were taken.
    pub(super) async fn run(self, stopping: CancellationToken) -> Result<u64> {
        let client = self.client()?;
        let mut taken = 0_u64;
        let mut number = 0_u64;
        while !stopping.is_cancelled() {
            let now = SystemClock::new().now_ms();
            let (path, payload) = self.passage(number, now);
            let url = format!("{}{path}", self.base);
            // A camera that gets no answer drops the read, as real ones do; the next car comes anyway.
            if let Ok(answer) = client.post(&url).json(&payload).send().await
                && answer.status().is_success()
            {
                taken = taken.saturating_add(1);
            }
            number = number.saturating_add(1);
            tokio::select! { () = stopping.cancelled() => {}, () = tokio::time::sleep(EVERY) => {} }
        }
        Ok(taken)
    }

    /// One car at one camera: every fourth is one of the three cars of the story, each at another camera every time.
    fn passage(&self, number: u64, now: i64) -> (&str, Value) {
        let of_story = [STOLEN, WANTED, PERSON];
        let turn = |modulus: usize| usize::try_from(number).unwrap_or(0).checked_rem(modulus).unwrap_or(0);
        let plate = match number.checked_rem(4) {
            Some(0) => of_story.get(turn(12) / 4).copied().unwrap_or(STOLEN).to_owned(),
            _ => format!("TR{:05}", number.wrapping_mul(7_919).checked_rem(100_000).unwrap_or(0)),
        };
        let camera = usize::try_from(number.wrapping_mul(5).checked_rem(8).unwrap_or(0)).unwrap_or(0);
        let (key, source, _) = CAMERAS.get(camera).copied().unwrap_or(("agent-1/1", "rekor", ""));
        if source == "rekor" {
            (&self.rekor, rekor(key, &plate, number, now))
        } else {
            (&self.stream, stream(key, &plate, number, now))
        }
    }
}

/// A finished group of the Rekor agent (OpenALPR's `alpr_group`).
fn rekor(key: &str, plate: &str, number: u64, now: i64) -> Value {
    let (agent, camera) = key.split_once('/').unwrap_or((key, "1"));
    let camera: u32 = camera.parse().unwrap_or(1);
    json!({
        "data_type": "alpr_group", "version": 2, "agent_uid": agent, "camera_id": camera,
        "epoch_start": now, "epoch_end": now,
        "best_uuid": format!("{agent}-cam{camera}-n{number}-{now}"), "uuids": [format!("{agent}-cam{camera}-n{number}-{now}")],
        "best_plate_number": plate, "best_confidence": 93.4, "best_region": "us-ct", "best_region_confidence": 88,
        "is_preview": false, "is_parked": false, "matches_template": true,
        "vehicle": { "color": [{ "name": "blue", "confidence": 81.0 }], "make": [{ "name": "ford", "confidence": 70.5 }], "body_type": [] },
    })
}

/// A webhook of Plate Recognizer's Stream.
fn stream(key: &str, plate: &str, number: u64, now: i64) -> Value {
    let whole = time_text(Timestamp(u64::try_from(now.div_euclid(1_000)).unwrap_or(0)));
    let time = format!("{}.{:03}000Z", whole.trim_end_matches('Z'), now.rem_euclid(1_000));
    json!({
        "hook": { "target": "https://alpr.example/in", "id": key, "event": "recognition", "filename": format!("{key}/{number}.jpg") },
        "data": {
            "camera_id": key, "filename": format!("{key}/{number}.jpg"), "timestamp": time, "timestamp_local": time,
            "results": [{
                "plate": plate.to_lowercase(), "score": 0.902, "dscore": 0.81,
                "region": { "code": "us-ct", "score": 0.86 },
                "vehicle": { "type": "Sedan", "score": 0.7 },
                "box": { "xmin": 153, "ymin": 91, "xmax": 302, "ymax": 125 },
            }],
        },
    })
}

/// The camera file that `lockplate agency camera import` reads.
pub(super) fn csv() -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["key", "place", "lat", "lon", "group", "source"])?;
    for (key, source, place) in CAMERAS {
        writer.write_record([key, place, "", "", "millbrook", source])?;
    }
    writer.into_inner().ok().context("a line could not be written to memory")
}
