//! An invented read in the form of each engine: the test of a camera sends it through the parser that the camera's own reads go
//! through. It says what the engine always says and its parser asks for, with ids of its own; it must never look like a pass that was.

use core::net::IpAddr;

use quick_xml::escape::escape;
use serde_json::{Map, Value, json};

use crate::dahua::put;
use crate::source::{SourceConfig, SourceKind};
use crate::time::Zone;

/// A payload of one read.
#[derive(Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its content type.
    pub content_type: &'static str,
    /// The body; empty where it comes in parts.
    pub body: String,
    /// Name and bytes of each part.
    pub parts: Vec<(&'static str, String)>,
    /// Topic of a message.
    pub topic: Option<&'static str>,
}

impl core::fmt::Debug for Sample {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sample(..)")
    }
}

/// What a source with this configuration sends where the camera `camera_key` saw `plate` at `at_ms`, Unix time. `is_asked`: the source is
/// asked, which some cameras answer in another form. A key that the engine cannot send is one that its parser reads otherwise. None where a
/// zone is missing that [`SourceConfig::check`] asks for, and where `at_ms` is no time.
#[must_use]
pub fn sample(config: &SourceConfig, is_asked: bool, camera_key: &str, plate: &str, at_ms: i64) -> Option<Sample> {
    let pass = Pass { config, key: camera_key, plate, at_ms, id: format!("lockplate-test-{at_ms}") };
    Some(match config.kind {
        SourceKind::Own => Sample::of("application/x-ndjson", pass.own()),
        SourceKind::Alprd | SourceKind::AlprLines => Sample::json(&pass.frame()),
        SourceKind::Rekor => Sample::json(&pass.group()),
        SourceKind::PlateRecognizer => Sample::part("json", &pass.recognition()?),
        SourceKind::Hikvision if is_asked => Sample::of("application/xml", pass.hikvision_list()?),
        SourceKind::Hikvision => Sample::of("application/xml; charset=\"UTF-8\"", pass.hikvision_alert()?),
        SourceKind::Dahua => Sample::json(&pass.dahua()?),
        SourceKind::DahuaEvents => Sample::of("text/plain", pass.dahua_event()),
        SourceKind::Tattile => Sample::of("text/xml", pass.tattile()?),
        SourceKind::Frigate => Sample { topic: Some("frigate/events"), ..Sample::json(&pass.frigate()?) },
        SourceKind::Axis if is_asked => Sample::of("text/xml", pass.axis_log()),
        SourceKind::Axis => Sample::part("event", &pass.axis()),
        SourceKind::Milesight if is_asked => Sample::of("text/plain", pass.milesight_lines()?),
        SourceKind::Milesight => Sample::json(&pass.milesight()?),
        SourceKind::UniFi => Sample::json(&pass.unifi()),
        SourceKind::Genetec => Sample::json(&pass.genetec()?),
        SourceKind::BlueIris => Sample::json(&pass.blueiris()?),
        SourceKind::Verkada => Sample::json(&pass.verkada()),
    })
}

impl Sample {
    const fn of(content_type: &'static str, body: String) -> Self {
        Self { content_type, body, parts: Vec::new(), topic: None }
    }

    fn json(value: &Value) -> Self {
        Self::of("application/json", value.to_string())
    }

    fn part(name: &'static str, value: &Value) -> Self {
        Self { parts: vec![(name, value.to_string())], ..Self::of("multipart/form-data", String::new()) }
    }
}

/// An element of XML.
fn tag(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", escape(text))
}

struct Pass<'a> {
    config: &'a SourceConfig,
    key: &'a str,
    plate: &'a str,
    at_ms: i64,
    id: String,
}

impl Pass<'_> {
    /// The wall clock at the camera.
    fn local(&self, form: &str) -> Option<String> {
        self.config.zone_of(self.key)?.wall_clock(self.at_ms, form)
    }

    fn utc(&self, form: &str) -> Option<String> {
        Zone::parse("UTC")?.wall_clock(self.at_ms, form)
    }

    const fn whole_seconds(&self) -> i64 {
        self.at_ms.div_euclid(1_000)
    }

    const fn ms(&self) -> i64 {
        self.at_ms.rem_euclid(1_000)
    }

    fn own(&self) -> String {
        let (names, mut line) = (&self.config.fields, Map::new());
        line.insert(names.camera.clone(), self.key.into());
        line.insert(names.captured_at.clone(), self.at_ms.into());
        line.insert(names.id.clone(), self.id.as_str().into());
        // A dot leads into an object.
        put(&mut line, &names.plate, self.plate.into());
        format!("{}\n", Value::Object(line))
    }

    /// Agent, empty where none is named, and camera, which is a number.
    fn agent_and_camera(&self) -> (&str, Value) {
        let (agent, camera) = self.key.rsplit_once('/').unwrap_or(("", self.key));
        (agent, camera.parse::<u64>().map_or_else(|_no_number| camera.into(), Value::from))
    }

    fn frame(&self) -> Value {
        let results = json!([{ "plate": self.plate, "confidence": 100.0 }]);
        let mut frame =
            json!({ "version": 2, "data_type": "alpr_results", "epoch_time": self.at_ms, "results": results });
        if let (SourceKind::Alprd, Some(map)) = (self.config.kind, frame.as_object_mut()) {
            let (agent, camera) = self.agent_and_camera();
            let head = [("uuid", self.id.as_str().into()), ("agent_uid", agent.into()), ("camera_id", camera)];
            map.extend(head.map(|(name, value)| (name.to_owned(), value)));
        }
        frame
    }

    fn group(&self) -> Value {
        let (agent, camera) = self.agent_and_camera();
        json!({
            "version": 2, "data_type": "alpr_group", "agent_uid": agent, "camera_id": camera, "epoch_start": self.at_ms,
            "epoch_end": self.at_ms, "best_plate_number": self.plate, "best_confidence": 100.0, "best_uuid": self.id,
            "uuids": [self.id], "is_preview": false,
        })
    }

    fn recognition(&self) -> Option<Value> {
        let file = format!("{}.jpg", self.id);
        Some(json!({
            "hook": { "event": "recognition", "id": self.key, "filename": file },
            "data": {
                "camera_id": self.key, "filename": file, "timestamp": self.local("%Y-%m-%d %H:%M:%S%.3f")?,
                "results": [{ "plate": self.plate, "score": 1.0 }],
            },
        }))
    }

    /// The key has the channel behind it, if the camera sends one.
    fn hikvision_alert(&self) -> Option<String> {
        let (device, channel) = match self.key.rsplit_once('/') {
            Some((device, channel)) => (device, tag("channelID", channel)),
            None => (self.key, String::new()),
        };
        let device_name = if device.parse::<IpAddr>().is_ok() { "ipAddress" } else { "macAddress" };
        let anpr = [tag("licensePlate", self.plate), tag("confidenceLevel", "100")].concat();
        let fields = [
            tag(device_name, device),
            channel,
            tag("dateTime", &self.local("%Y-%m-%dT%H:%M:%S%.3f%:z")?),
            tag("eventType", "ANPR"),
            format!("<ANPR>{anpr}</ANPR>"),
            tag("UUID", &self.id),
        ];
        let root = "EventNotificationAlert";
        Some(format!(
            "<{root} version=\"2.0\" xmlns=\"http://www.hikvision.com/ver20/XMLSchema\">{}</{root}>",
            fields.concat()
        ))
    }

    fn hikvision_list(&self) -> Option<String> {
        let fields = [
            tag("captureTime", &self.local("%Y%m%dT%H%M%S0000")?),
            tag("plateNumber", self.plate),
            tag("picName", &self.id),
        ];
        Some(format!("<Plates><Plate>{}</Plate></Plates>", fields.concat()))
    }

    fn dahua(&self) -> Option<Value> {
        Some(json!({ "Picture": {
            "Plate": { "PlateNumber": self.plate, "Confidence": 100 },
            "SnapInfo": { "DeviceID": self.key, "AccurateTime": self.local("%Y-%m-%d %H:%M:%S%.3f")? },
            "NormalPic": { "PicName": format!("{}.jpg", self.id) },
        } }))
    }

    fn dahua_event(&self) -> String {
        let camera = self.config.camera.as_deref().unwrap_or_default();
        let behind = self.key.strip_prefix(camera).and_then(|rest| rest.strip_prefix('/'));
        let channel = behind.filter(|channel| channel.bytes().all(|byte| byte.is_ascii_digit())).unwrap_or("0");
        let data = json!({
            "GroupID": self.at_ms, "RealUTC": self.whole_seconds(), "UTCMS": self.ms(),
            "Object": { "ObjectType": "Plate", "Text": self.plate, "Confidence": 255 },
            "TrafficCar": { "PlateNumber": self.plate },
        });
        format!("Code=TrafficJunction;action=Pulse;index={channel};data={data}\r\n\r\n")
    }

    fn tattile(&self) -> Option<String> {
        let fields = [
            tag("PLATE_STRING", self.plate),
            tag("DATE", &self.local("%Y-%m-%d")?),
            tag("TIME", &self.local("%H-%M-%S-%3f")?),
            tag("OCRSCORE", &self.config.confidence_scale.unwrap_or(crate::tattile::SCALE).to_string()),
            tag("DEVICE_SN", self.key),
        ];
        Some(format!("<Msg>{}</Msg>", fields.concat()))
    }

    fn frigate(&self) -> Option<Value> {
        let seconds: f64 = format!("{}.{:03}", self.whole_seconds(), self.ms()).parse().ok()?;
        Some(json!({ "type": "end", "after": {
            "id": self.id, "camera": self.key, "frame_time": seconds, "label": "car", "false_positive": false,
            "stationary": false, "recognized_license_plate": self.plate, "recognized_license_plate_score": 1.0,
        } }))
    }

    fn axis(&self) -> Value {
        json!({
            "plateUTF8": self.plate, "plateText": self.plate, "plateASCII": self.plate, "plateConfidence": "1.0",
            "carState": "lost", "carID": self.id, "capture_timestamp": self.at_ms.to_string(),
            "camera_info": { "SerialNumber": self.key },
        })
    }

    fn axis_log(&self) -> String {
        let fields = [tag("TS", &self.at_ms.to_string()), tag("LPR", self.plate), tag("CAR_ID", &self.id)];
        format!("<events><event>{}</event></events>", fields.concat())
    }

    fn milesight(&self) -> Option<Value> {
        Some(json!({
            "time": self.local("%Y-%m-%d %H:%M:%S%.3f")?, "plate": self.plate, "confidence": "100", "region": "-",
        }))
    }

    fn milesight_lines(&self) -> Option<String> {
        let time = self.local("%Y-%m-%d %H:%M:%S")?;
        Some(format!("time_0={time}\nplate_0={}\npath_0={}.jpg\n", self.plate, self.id))
    }

    fn unifi(&self) -> Value {
        let trigger = json!({
            "key": "license_plate_unknown", "device": self.key, "value": self.plate, "timestamp": self.at_ms,
            "eventId": self.id,
        });
        json!({ "alarm": { "triggers": [trigger] }, "timestamp": self.at_ms })
    }

    /// As Security Center sends it.
    fn genetec(&self) -> Option<Value> {
        Some(json!({
            "CameraName": self.key, "Plate": self.plate, "DateUtc": self.utc("%d/%m/%Y")?, "TimeUtc": self.utc("%H:%M:%S")?,
            "ConfidenceScore": "100",
        }))
    }

    fn blueiris(&self) -> Option<Value> {
        let found = json!({
            "success": true, "requestId": self.id, "timestampUTC": self.utc("%a, %d %b %Y %H:%M:%S GMT")?,
            "predictions": [{ "plate": self.plate, "confidence": 1.0 }],
        });
        let at = self.local("%Y-%m-%d %H:%M:%S%.3f")?;
        Some(json!({ "camera": self.key, "timestamp": at, "ai_dump": [{ "api": "alpr", "found": found }] }))
    }

    fn verkada(&self) -> Value {
        json!({ "webhook_type": "lpr", "webhook_id": self.id, "data": {
            "camera_id": self.key, "license_plate_number": self.plate, "confidence": 1.0, "detected": self.at_ms,
            "created": self.whole_seconds(),
        } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own::FieldMap;
    use crate::source::{Ignored, Parsed, Part, Payload, Stage};
    use crate::tests::{NOW, config};
    use lockplate_core::plate::TEST_PLATE;
    use lockplate_core::read::TimeQuality;

    /// Not a whole second.
    const AT: i64 = NOW + 123;
    const ODD: &str = "a&b\"<c";

    fn parsed(config: &SourceConfig, is_asked: bool, key: &str, at_ms: i64) -> Parsed {
        assert_eq!(config.check(), Ok(()));
        let sample = sample(config, is_asked, key, TEST_PLATE, at_ms).unwrap();
        let parts: Vec<Part<'_>> =
            sample.parts.iter().map(|(name, body)| Part { name, content_type: None, body: body.as_bytes() }).collect();
        let payload = Payload {
            content_type: sample.content_type,
            body: sample.body.as_bytes(),
            parts: &parts,
            topic: sample.topic,
            ..Payload::default()
        };
        config.kind.parser().parse(&payload, config)
    }

    /// Every kind, and again as its camera answers; where the payload names no camera, `key` is the configured one.
    fn configs(key: &str) -> Vec<(SourceConfig, bool)> {
        let asked = [SourceKind::Hikvision, SourceKind::Axis, SourceKind::Milesight, SourceKind::DahuaEvents];
        let ways = SourceKind::ALL.iter().map(|kind| (*kind, false)).chain(asked.map(|kind| (kind, true)));
        ways.map(|(kind, is_asked)| {
            let mut config = config(kind);
            config.camera = (kind.profile().camera_configured || is_asked).then(|| key.to_owned());
            (config, is_asked)
        })
        .collect()
    }

    #[test]
    fn the_sample_of_every_engine_is_one_read_of_its_camera() {
        for key in ["gate", "agent-1/12", "02:00:5e:00:00:01/1", "192.0.2.64/2", "192.0.2.64", "North Gate", ODD] {
            for (mut config, is_asked) in configs(key) {
                let kind = config.kind;
                for zone in [None, Zone::parse("Asia/Kolkata")] {
                    config.camera_zones = zone.into_iter().map(|zone| (key.to_owned(), zone)).collect();
                    let parsed = parsed(&config, is_asked, key, AT);
                    assert_eq!((parsed.problems, parsed.rejected), (vec![], 0), "{kind:?} {key}");
                    assert_eq!(parsed.ignored, Ignored::default(), "{kind:?} {key}");
                    let [read] = parsed.observations.as_slice() else { panic!("{kind:?} {key}") };
                    assert_eq!((read.camera_key.as_str(), read.plate.expose_text()), (key, TEST_PLATE), "{kind:?}");
                    assert!((0..1_000).contains(&(AT - read.time.ms)), "{kind:?} {key} {}", read.time.ms);
                    assert!(matches!(read.time.quality, TimeQuality::Exact | TimeQuality::AssumedZone), "{kind:?}");
                    let stage = match kind {
                        SourceKind::Alprd | SourceKind::AlprLines => Stage::Frame,
                        SourceKind::Frigate => Stage::Ending,
                        _ => Stage::Final,
                    };
                    assert_eq!((read.stage, read.jurisdiction.is_none()), (stage, true), "{kind:?}");
                }
            }
        }
    }

    #[test]
    fn an_id_is_used_once() {
        for (config, is_asked) in configs("gate") {
            let id = |at_ms| parsed(&config, is_asked, "gate", at_ms).observations.remove(0).engine_id;
            assert!(id(AT) != id(AT + 1) || id(AT).is_none(), "{:?}", config.kind);
        }
    }

    #[test]
    fn a_key_that_the_engine_cannot_send_is_read_otherwise() {
        for (kind, is_asked, registered, read) in [
            (SourceKind::AlprLines, false, "street", "gate"),
            (SourceKind::Milesight, false, "street", "gate"),
            (SourceKind::Milesight, true, "street", "gate"),
            (SourceKind::Hikvision, true, "street", "gate"),
            (SourceKind::Axis, true, "street", "gate"),
            (SourceKind::DahuaEvents, true, "street", "gate"),
            (SourceKind::DahuaEvents, true, "gate/3", "gate/3"),
            (SourceKind::DahuaEvents, true, "gate/0", "gate"),
            (SourceKind::DahuaEvents, true, "gate/x;index=3", "gate"),
            (SourceKind::Rekor, false, "agent-1/012", "agent-1/12"),
            (SourceKind::Alprd, false, "007", "7"),
            (SourceKind::Tattile, false, " T-0001", "T-0001"),
        ] {
            let mut config = config(kind);
            config.camera = (kind.profile().camera_configured || is_asked).then(|| "gate".to_owned());
            let parsed = parsed(&config, is_asked, registered, AT);
            assert_eq!(parsed.observations[0].camera_key, read, "{kind:?} {registered}");
        }
        let mut nobody = config(SourceKind::Own);
        nobody.fields = FieldMap::fast_alpr();
        assert_eq!(parsed(&nobody, false, "-", AT).rejected, 1, "no camera is called so");
    }

    #[test]
    fn it_is_written_as_the_configuration_reads() {
        for fields in [FieldMap::own(), FieldMap::traffic(), FieldMap::fast_alpr()] {
            let mut config = config(SourceKind::Own);
            config.fields = fields;
            let parsed = parsed(&config, false, ODD, AT);
            assert_eq!((parsed.observations.len(), parsed.ignored), (1, Ignored::default()));
        }
        for scale in [None, Some(999)] {
            let mut config = config(SourceKind::Tattile);
            config.confidence_scale = scale;
            assert_eq!(parsed(&config, false, "gate", AT).observations[0].conf, Some(1_000));
        }
        let mut zoneless = config(SourceKind::Tattile);
        zoneless.zone = None;
        assert_eq!(sample(&zoneless, false, "gate", TEST_PLATE, AT), None);
    }
}
