//! The event stream of Dahua cameras (`intake.md` 8.6): the text of its parts in all three shapes, alone or several
//! after each other. Lines `Code=..;data={..}`, flat keys `Events[0].TrafficCar.PlateNumber=..`, and JSON with a list
//! of events. Fetching the stream, splitting its parts and the pictures in it are not here. Lists, belts, telephones
//! and riders are never looked at.

#![deny(clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;

use lockplate_core::plate::Plate;
use serde_json::{Map, Value};

use crate::confidence::confidence;
use crate::dahua::{PLACEHOLDERS, motion, nested, put};
use crate::json::{self, Cursor};
use crate::limits::{BODY_BYTES_MAX, FLAT_LINES_MAX, ID_BYTES_MAX, OBSERVATIONS_MAX};
use crate::source::{Heartbeat, Observation, Parsed, Payload, Problem, Profile, Slug, Source, SourceConfig};
use crate::time::{SourceTime, Zone, from_local_number, from_number, from_text};
use crate::vehicle::{CLASSES, COLOURS, MAKES, coded};

#[cfg(test)]
mod tests;

const SCALE: f64 = 255.0;

/// The event that is a read; others say that a car parked, sped or that something moved.
const READ_CODE: &str = "TrafficJunction";

/// A stream is of one device and does not name it: the camera is configured, and its further channels have their number
/// behind it.
pub(crate) const PROFILE: Profile = Profile {
    local_times: true,
    camera_configured: true,
    placeholders: PLACEHOLDERS,
    ..Profile::plain("dahua-events", &DahuaEvents)
};

/// Text of Dahua's event stream as a [`Source`].
#[derive(Clone, Copy, Debug)]
pub struct DahuaEvents;

impl Source for DahuaEvents {
    fn parse(&self, payload: &Payload<'_>, config: &SourceConfig) -> Parsed {
        if payload.body.len() > BODY_BYTES_MAX {
            return Parsed::refused(Problem::whole(Slug::TooLarge));
        }
        let bytes = payload.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload.body);
        match core::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => {
                let mut stream = Stream { config, parsed: Parsed::default(), flat: Flat::default(), events: 0 };
                if let Err(problem) = stream.text(text) {
                    stream.parsed.refuse(problem);
                }
                stream.parsed
            }
            Ok(_) | Err(_) => Parsed::refused(Problem::whole(Slug::Malformed)),
        }
    }
}

/// What a line says of its event before the data.
#[derive(Default)]
struct Head<'a> {
    code: Option<&'a str>,
    channel: Option<&'a str>,
}

/// Flat keys that belong together.
#[derive(Default)]
struct Flat {
    tree: Map<String, Value>,
    keys: BTreeSet<String>,
    lines: usize,
}

struct Stream<'c> {
    config: &'c SourceConfig,
    parsed: Parsed,
    flat: Flat,
    events: usize,
}

impl Stream<'_> {
    /// An error ends the payload; what was read before it stays.
    fn text(&mut self, text: &str) -> Result<(), Problem> {
        let mut rest = text;
        while !rest.is_empty() {
            let (whole, after) = line_at(rest);
            let line = whole.trim();
            if line.starts_with(['{', '[']) {
                self.end_flat()?;
                rest = self.json(&Head::default(), rest)?;
            } else if line.starts_with("Code=") {
                self.end_flat()?;
                let (head, data) = match whole.find(";data=").and_then(|at| rest.split_at_checked(at)) {
                    Some((head, data)) => (head, data.strip_prefix(";data=")),
                    None => (line, None),
                };
                let head = head_of(head);
                rest = match data {
                    Some(data) => self.json(&head, data)?,
                    None => {
                        self.value(&head, Value::Object(Map::new()))?;
                        after
                    }
                };
            } else if let Some((key, value)) = line.split_once('=').filter(|(key, _)| is_numbered(key)) {
                self.flat_line(key.trim(), value.trim())?;
                rest = after;
            } else {
                self.other_line(line)?;
                rest = after;
            }
        }
        self.end_flat()
    }

    /// Takes the JSON at the beginning of `text`, over as many lines as it has; returns the lines behind it. One event
    /// begins on a line: what stands behind it there is none.
    fn json<'t>(&mut self, head: &Head<'_>, text: &'t str) -> Result<&'t str, Problem> {
        let (value, behind) = value_at(text.trim_start());
        match json::parse(value.as_bytes()) {
            Ok(value) => self.value(head, value)?,
            Err(problem) => {
                self.count_event()?;
                self.parsed.refuse(problem);
            }
        }
        let (stray, following) = line_at(behind);
        self.stray(stray);
        Ok(following)
    }

    /// A key that comes again begins the next event; nothing else need stand between two.
    fn flat_line(&mut self, key: &str, value: &str) -> Result<(), Problem> {
        if self.flat.keys.contains(key) {
            self.end_flat()?;
        }
        self.flat.lines = self.flat.lines.saturating_add(1);
        if self.flat.lines > FLAT_LINES_MAX {
            return Err(Problem::whole(Slug::TooLarge));
        }
        self.flat.keys.insert(key.to_owned());
        put(&mut self.flat.tree, key, Value::String(value.to_owned()));
        Ok(())
    }

    fn end_flat(&mut self) -> Result<(), Problem> {
        self.flat.keys.clear();
        let tree = core::mem::take(&mut self.flat.tree);
        if tree.is_empty() { Ok(()) } else { self.value(&Head::default(), Value::Object(tree)) }
    }

    /// Boundaries, headers of parts, signs of life.
    fn other_line(&mut self, line: &str) -> Result<(), Problem> {
        self.end_flat()?;
        let lower = line.get(..13).unwrap_or(line).to_ascii_lowercase();
        if lower == "heartbeat" {
            self.parsed.ignored.other_events = self.parsed.ignored.other_events.saturating_add(1);
            self.heard(&Head::default());
        } else if !lower.starts_with("--") && !lower.starts_with("content-") {
            self.stray(line);
        }
        Ok(())
    }

    fn stray(&mut self, line: &str) {
        let count = u64::from(!line.trim().is_empty());
        self.parsed.ignored.stray_lines = self.parsed.ignored.stray_lines.saturating_add(count);
    }

    fn count_event(&mut self) -> Result<(), Problem> {
        self.events = self.events.saturating_add(1);
        if self.events > OBSERVATIONS_MAX { Err(Problem::whole(Slug::TooLarge)) } else { Ok(()) }
    }

    /// One JSON value: an event, or several.
    fn value(&mut self, head: &Head<'_>, value: Value) -> Result<(), Problem> {
        for event in events_of(nested(value)) {
            self.count_event()?;
            self.event(head, event);
        }
        Ok(())
    }

    fn event(&mut self, head: &Head<'_>, event: Value) {
        let mut event = nested(event);
        let (code, channel) = {
            let root = Cursor::root(&event);
            let base = root.get("EventBaseInfo");
            let either = |key: &str| {
                root.text(key).or_else(|| base.as_ref().and_then(|base| base.text(key))).map(|t| t.into_owned())
            };
            (either("Code"), either("Index"))
        };
        let head = Head { code: head.code.or(code.as_deref()), channel: head.channel.or(channel.as_deref()) };
        let data = match event.get_mut("Data").map(Value::take) {
            Some(inner @ Value::Object(_)) => nested(inner),
            _ => event,
        };
        let data = Cursor::root(&data);
        // Without a code it is a read if it is about a car.
        if head.code.map_or_else(|| data.has("TrafficCar"), |code| code == READ_CODE) {
            let read = self.observations(&head, &data);
            match read {
                Ok(observations) => observations.into_iter().for_each(|o| self.parsed.observe(Ok(Some(o)))),
                Err(problem) => self.parsed.refuse(problem),
            }
        } else {
            self.parsed.ignored.other_events = self.parsed.ignored.other_events.saturating_add(1);
            self.heard(&head);
        }
    }

    fn heard(&mut self, head: &Head<'_>) {
        if let Ok(camera) = self.camera_key(head) {
            let cameras = &mut self.parsed.heartbeat.get_or_insert_with(Heartbeat::default).cameras;
            if !cameras.iter().any(|(known, _)| *known == camera) {
                cameras.push((camera, None));
            }
        }
    }

    /// The configured camera; behind it the channel, if that is not the first.
    fn camera_key(&self, head: &Head<'_>) -> Result<String, Problem> {
        let camera = self.config.camera.as_deref().ok_or(Problem::whole(Slug::MissingField))?;
        let channel = head
            .channel
            .filter(|channel| (1..=4).contains(&channel.len()) && channel.bytes().all(|b| b.is_ascii_digit()));
        match channel {
            None | Some("0") => Ok(camera.to_owned()),
            Some(channel) => Ok(format!("{camera}/{channel}")),
        }
    }

    /// One read, or two where the plates in front and behind differ.
    fn observations(&mut self, head: &Head<'_>, data: &Cursor<'_>) -> Result<Vec<Observation>, Problem> {
        let car = data.get("TrafficCar");
        // The text of another object is its make.
        let is_plate = |object: &Cursor<'_>| object.text("ObjectType").is_none_or(|kind| kind == "Plate");
        let object = data.get("Object").filter(is_plate);
        let has_car_text = car.as_ref().is_some_and(|car| car.has("PlateNumber"));
        let has_object_text = object.as_ref().is_some_and(|object| object.has("Text"));
        if !has_car_text && !has_object_text {
            return Err(Problem::at(Slug::MissingField, "/TrafficCar/PlateNumber"));
        }
        let camera = self.camera_key(head)?;
        let time = Self::captured_at(data, car.as_ref(), self.config.zone_of(&camera))?;
        let plate_of = |place: Option<&Cursor<'_>>, key: &str| self.config.plate(place?.text(key).as_deref());
        let of_object = plate_of(object.as_ref(), "Text");
        let main = plate_of(car.as_ref(), "PlateNumber").or_else(|| of_object.clone());
        let sides = ["FrontPlateNumber", "BackPlateNumber"]
            .map(|key| plate_of(Some(data), key).or_else(|| plate_of(car.as_ref(), key)));
        let mut plates: Vec<Plate> = Vec::new();
        for plate in main.into_iter().chain(sides.into_iter().flatten()) {
            if !plates.contains(&plate) {
                plates.push(plate);
            }
        }
        if plates.is_empty() {
            self.parsed.ignored.unreadable = self.parsed.ignored.unreadable.saturating_add(1);
            self.parsed.hear(&camera);
        }
        let ignored = &mut self.parsed.ignored;
        let pass = pass_id(data, car.as_ref());
        let mut out = Vec::new();
        for (at, plate) in plates.into_iter().enumerate() {
            let mut read = Observation::new(camera.clone(), time, plate);
            // Pictures of a pass share its group. A second plate has an id of its own, or the two would be one pass.
            read.engine_id = pass.as_ref().map(|pass| match at {
                0 => format!("{camera}/{pass}"),
                _ => format!("{camera}/{pass}/{at}"),
            });
            // The number is about the text of the object, not about another.
            if of_object.as_ref() == Some(&read.plate) {
                read.conf = confidence(object.as_ref().and_then(|object| object.number("Confidence")), SCALE, ignored);
            }
            if let Some(car) = &car {
                read.vehicle.colour = coded(COLOURS, car.text("VehicleColor").as_deref(), None);
                read.vehicle.make = coded(MAKES, car.text("VehicleSign").as_deref(), None);
                let words = car.list("DrivingDirection");
                let word = words.first().and_then(Cursor::as_text).or_else(|| car.text("DrivingDirection[0]"));
                read.motion = motion(word.as_deref());
            }
            let class = data.get("Vehicle").and_then(|vehicle| vehicle.text("Category"));
            read.vehicle.class = coded(CLASSES, class.as_deref(), None);
            out.push(read);
        }
        Ok(out)
    }

    /// `RealUTC`. Without it `UTC`, which is local time dressed as UTC where both were seen; should it be true
    /// elsewhere, the camera's clock is off by its zone, and the time of receipt is taken.
    fn captured_at(data: &Cursor<'_>, car: Option<&Cursor<'_>>, zone: Option<&Zone>) -> Result<SourceTime, Problem> {
        let ms = data.number("UTCMS").filter(|ms| (0.0..1000.0).contains(ms)).unwrap_or(0.0);
        let with_ms = |seconds: f64| if seconds < 1e11 { seconds + ms / 1e3 } else { seconds };
        if let Some(time) = data.number("RealUTC").and_then(|seconds| from_number(with_ms(seconds))) {
            return Ok(time);
        }
        let place = [Some(data), car].into_iter().flatten().find(|place| place.get("UTC").is_some());
        let place = place.ok_or_else(|| Problem::at(Slug::MissingField, "/RealUTC"))?;
        let time = match place.number("UTC") {
            Some(seconds) => from_local_number(with_ms(seconds), zone),
            None => place.text("UTC").and_then(|text| from_text(&text, zone)),
        };
        time.ok_or_else(|| Problem::at(Slug::OutOfRange, "/UTC"))
    }
}

/// `GroupID`, one a pass; else `EventID`, one an event. 0 is none.
fn pass_id(data: &Cursor<'_>, car: Option<&Cursor<'_>>) -> Option<String> {
    let id = |key: &str| {
        let text = data.text(key).or_else(|| car.and_then(|car| car.text(key)))?;
        (text.len() <= ID_BYTES_MAX && text != "0").then(|| text.into_owned())
    };
    id("GroupID").or_else(|| id("EventID").map(|id| format!("event/{id}")))
}

/// `Code=..;action=..;index=..`.
fn head_of(line: &str) -> Head<'_> {
    let field = |name: &str| {
        line.split(';')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| key.trim() == name))
            .map(|(_, v)| v.trim())
    };
    Head { code: field("Code"), channel: field("index") }
}

fn is_numbered(key: &str) -> bool {
    let key = key.trim_start();
    key.starts_with("Events[") || key.starts_with("ReturnEvents[")
}

/// The events in a value: those of `params.eventList` or `Events`, those under numbered keys, or itself.
fn events_of(mut value: Value) -> Vec<Value> {
    for place in ["/params/eventList", "/Events"] {
        if let Some(Value::Array(list)) = value.pointer_mut(place).map(Value::take) {
            return list;
        }
    }
    match value {
        Value::Array(list) => list,
        Value::Object(map) if map.keys().any(|key| is_numbered(key)) => {
            map.into_iter().filter(|(key, _)| is_numbered(key)).map(|(_, event)| event).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => vec![value],
    }
}

/// A line and what stands behind its end.
fn line_at(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

/// The JSON value at the beginning of `text`, over several lines, and what stands behind it. Where it does not end, or
/// does not begin: all of the text, or the line.
fn value_at(text: &str) -> (&str, &str) {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth = depth.saturating_add(1),
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            b'\n' if depth == 0 => return text.split_at_checked(at).unwrap_or((text, "")),
            _ => continue,
        }
        if depth == 0 && !in_text && matches!(byte, b'}' | b']') {
            return text.split_at_checked(at.saturating_add(1)).unwrap_or((text, ""));
        }
    }
    (text, "")
}
