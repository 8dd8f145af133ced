//! `lockplate agency camera`: the register of cameras at the running agency. Every change is in the agency's public log
//! before it counts; this is only the form that asks for it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use lockplate_core::vocabulary::State;
use lockplate_node::api::{
    CameraChanged, CameraEdit, CameraList, CameraListed, CameraState, CameraTested, Station, StationResult,
};
use lockplate_node::intake::{CameraHealth, CamerasAdded, NewCamera, offset_text};
use lockplate_node::shutdown::ExitKind;
use lockplate_policy::MinuteLaw;
use serde_json::{Value, json};

use super::snippet::Setup;
use crate::alerts::plain;
use crate::desk_client::{OwnAgency, new_source};
use crate::exit::Ended;
use crate::screen::Screen;

/// Tasks around cameras.
#[derive(Debug, Subcommand)]
pub(crate) enum CameraTask {
    /// Add one camera, and print what to enter at its engine
    Add(Box<AddArgs>),
    /// List the cameras: state, clock, last sign of life
    List,
    /// Refuse a camera's reads until it is resumed
    Pause(Which),
    /// Take a paused camera's reads again
    Resume(Which),
    /// Say that a camera stands elsewhere now
    Move(Box<MoveArgs>),
    /// Remove a camera for good; its number is not used again, its reads stay as long as any
    Remove(Which),
    /// Send one invented read of a camera through the whole path, and say where it stops
    Test(Which),
    /// Add the cameras of a CSV file: columns key, place, lat, lon, group, source, purpose, zone
    Import {
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The engine's name for it
    #[arg(long)]
    key: String,
    #[command(flatten)]
    place: Place,
    /// Group
    #[arg(long, default_value = "")]
    group: String,
    /// The source that speaks for it; without one it belongs to imported files
    #[arg(long)]
    source: Option<String>,
    /// What it is there for; must be the archive's kind, and is without this
    #[arg(long, value_parser = ["police", "toll", "parking"])]
    purpose: Option<String>,
    /// Make the source as `agency source new` does instead, for this engine: the camera is added once it is configured
    #[arg(long, value_name = "ENGINE", requires = "source")]
    new_source: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Place {
    /// Where it stands, in words; public
    #[arg(long)]
    place: String,
    /// Degrees north; public
    #[arg(long, allow_hyphen_values = true, requires = "lon")]
    lat: Option<f64>,
    /// Degrees east; public
    #[arg(long, allow_hyphen_values = true, requires = "lat")]
    lon: Option<f64>,
    /// IANA zone of its local times, where it is not its source's
    #[arg(long)]
    zone: Option<String>,
}

/// One camera of the register.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// Its number
    #[arg(value_name = "NUMBER")]
    number: Option<u32>,
    /// The engine's name for it
    #[arg(long)]
    key: Option<String>,
}

impl Which {
    /// Its number, if one camera is meant and is there.
    fn among(&self, list: &CameraList) -> Result<u32, String> {
        let there = list.cameras.iter().filter(|camera| camera.state != CameraState::Removed);
        let meant = |camera: &&CameraListed| match (&self.key, self.number) {
            (Some(key), _) => camera.key == *key,
            (None, number) => Some(camera.camera) == number,
        };
        match there.filter(meant).map(|camera| camera.camera).collect::<Vec<_>>().as_slice() {
            [one] => Ok(*one),
            [] => Err("there is no such camera; see `lockplate agency camera list`".to_owned()),
            several => Err(format!("{} cameras have this key: give the number", several.len())),
        }
    }
}

/// Carries out a task around cameras.
pub(crate) async fn run(task: CameraTask, config: &Path, screen: &Screen) -> Result<ExitKind> {
    let agency = OwnAgency::open(config)?;
    match task {
        CameraTask::Add(args) => add(&agency, *args, screen).await,
        CameraTask::Import { file } => {
            told_added(agency.import_client()?.add_cameras(&file).await?, json!({}), screen);
            Ok(ExitKind::Done)
        }
        CameraTask::List => list(&agency, screen).await,
        CameraTask::Pause(which) => change(&agency, &which, CameraEdit::Pause, screen).await,
        CameraTask::Resume(which) => change(&agency, &which, CameraEdit::Resume, screen).await,
        CameraTask::Remove(which) => change(&agency, &which, CameraEdit::Remove, screen).await,
        CameraTask::Move(args) => {
            let MoveArgs { which, place: Place { place, lat, lon, zone } } = *args;
            change(&agency, &which, CameraEdit::Move { place, lat, lon, zone }, screen).await
        }
        CameraTask::Test(which) => test(&agency, &which, screen).await,
    }
}

async fn register(agency: &OwnAgency) -> Result<CameraList> {
    Ok(agency.client.get_json("/v1/cameras", &[]).await?)
}

fn told_added(said: CamerasAdded, more: Value, screen: &Screen) {
    let CamerasAdded { added, known } = said;
    if screen.json() {
        let mut document = json!({ "schema": "lockplate/agency/1", "added": added, "known": known });
        merge(&mut document, more);
        screen.document(&document);
    } else {
        screen.line(&format!("{added} cameras added, {known} were there before."));
    }
}

/// Adds the members of `more`.
fn merge(document: &mut Value, more: Value) {
    if let (Value::Object(to), Value::Object(from)) = (document, more) {
        to.extend(from);
    }
}

async fn add(agency: &OwnAgency, args: AddArgs, screen: &Screen) -> Result<ExitKind> {
    let AddArgs { key, place: Place { place, lat, lon, zone }, group, source, purpose, new_source } = args;
    if let (Some(engine), Some(name)) = (&new_source, &source) {
        return made_source(agency, name, engine, zone.as_deref(), &key, screen);
    }
    let kind = agency.charter()?.charter().archive_kind.name();
    if purpose.as_deref().is_some_and(|purpose| purpose != kind) {
        return Err(
            Ended::usage(format!("the charter's archive is for {kind}: its cameras are for nothing else")).into()
        );
    }
    let at_engine = match &source {
        Some(name) => {
            let found = agency.source(name);
            let (table, kind) =
                found.ok_or_else(|| Ended::usage("agency.toml has no such source: see --new-source"))?;
            Some(Setup::of(table, kind, &agency.base_for(Some(table))?, &key)?)
        }
        None => None,
    };
    let camera = NewCamera { key: key.clone(), place, lat, lon, group, source, purpose, zone };
    let said = agency.import_client()?.register(camera).await?;
    let more = at_engine.as_ref().map_or_else(|| json!({}), |setup| setup.document());
    told_added(said, more, screen);
    if let Some(setup) = at_engine.filter(|_| !screen.json()) {
        setup.show(screen);
    }
    Ok(ExitKind::Done)
}

/// The section of a new source, with everything to enter at the engine. The running agency knows no source that is not in its
/// configuration, so the camera comes afterwards.
fn made_source(
    agency: &OwnAgency,
    name: &str,
    engine: &str,
    zone: Option<&str>,
    key: &str,
    screen: &Screen,
) -> Result<ExitKind> {
    let made = new_source(name, engine, zone, Some(key))?;
    let setup = Setup::by_token(made.kind, &agency.base_for(None)?, name, &made.token, key)?;
    if screen.json() {
        let mut document = json!({ "schema": "lockplate/agency/1", "section": made.section });
        merge(&mut document, setup.document());
        screen.document(&document);
    } else {
        screen.line(made.section.trim_end());
        setup.show(screen);
    }
    screen.note("No camera is added yet: put the section into agency.toml, restart the agency, and run this without --new-source.");
    Ok(ExitKind::Done)
}

async fn list(agency: &OwnAgency, screen: &Screen) -> Result<ExitKind> {
    let list = register(agency).await?;
    // Told on the agency's own machine and to whoever holds its import key; the list is for everybody.
    let health: Vec<CameraHealth> = match agency.import_client() {
        Ok(client) => client.camera_health().await?,
        Err(_no_key) => Vec::new(),
    };
    // The state whose law counts in minutes what is kept of a read.
    let state = agency.charter().ok().map(|charter| charter.charter().owner.state);
    let profile = state.as_ref().filter(|state| MinuteLaw::of(**state).is_some()).map(State::code);
    let of = |camera: &CameraListed| health.iter().find(|health| health.camera == camera.camera);
    if screen.json() {
        let mut cameras = Vec::new();
        for camera in &list.cameras {
            let mut document = serde_json::to_value(camera)?;
            merge(&mut document, of(camera).map(serde_json::to_value).transpose()?.unwrap_or(Value::Null));
            cameras.push(document);
        }
        screen.document(&json!({ "schema": "lockplate/agency/1", "cameras": cameras, "profile": profile }));
        return Ok(ExitKind::Done);
    }
    let now = super::now().0;
    screen.line(LIST_HEADER);
    for camera in &list.cameras {
        screen.line(&list_line(camera, of(camera), now));
    }
    if let Some(profile) = profile {
        screen.line(&format!("profile {profile}: {PROFILE_WORDS}"));
    }
    Ok(ExitKind::Done)
}

const LIST_HEADER: &str =
    "number  state    engine           purpose  last seen   clock     reads  zone              key, place, alarms";

/// What a law of minutes means for every camera of the archive ([`MinuteLaw`]).
const PROFILE_WORDS: &str =
    "every camera is for hot lists alone; reads are in memory for minutes, and nobody opens one (not legal advice)";

fn list_line(camera: &CameraListed, health: Option<&CameraHealth>, now: u64) -> String {
    let seen = health.and_then(|health| health.last_seen_ms).map(|ms| ago(now, ms));
    let clock = health.and_then(|health| health.clock_offset_ms).map(offset_text);
    let reads = health.map(|health| health.reads.to_string());
    let zone = health.and_then(|health| health.zone.clone()).or_else(|| camera.zone.clone());
    let alarms: String =
        health.iter().flat_map(|health| &health.alarms).map(|alarm| format!("  {}", alarm.name())).collect();
    let dash = || "-".to_owned();
    format!(
        "{:>6}  {:<7}  {:<15}  {:<7}  {:>9}  {:>8}  {:>6}  {:<16}  {}  {}{alarms}",
        camera.camera,
        camera.state.name(),
        camera.engine,
        camera.purpose,
        seen.unwrap_or_else(dash),
        clock.unwrap_or_else(dash),
        reads.unwrap_or_else(dash),
        zone.unwrap_or_else(dash),
        plain(&camera.key),
        plain(&camera.place),
    )
}

/// How long ago a moment was.
fn ago(now_s: u64, then_ms: i64) -> String {
    let then = u64::try_from(then_ms.div_euclid(1_000)).unwrap_or(0);
    match now_s.saturating_sub(then) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds.div_euclid(60)),
        seconds => format!("{} h", seconds.div_euclid(3_600)),
    }
}

async fn change(agency: &OwnAgency, which: &Which, edit: CameraEdit, screen: &Screen) -> Result<ExitKind> {
    let client = agency.import_client()?;
    let number = which.among(&register(agency).await?).map_err(Ended::usage)?;
    let CameraChanged { camera, changed } = client.change_camera(number, &edit).await?;
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/agency/1", "camera": camera, "changed": changed }));
    } else {
        let logged = if changed { "the public log says so" } else { "it was so before" };
        screen.line(&format!(
            "Camera {} ({}, {}) is {}; {logged}.",
            camera.camera,
            plain(&camera.key),
            plain(&camera.place),
            camera.state.name()
        ));
    }
    Ok(ExitKind::Done)
}

async fn test(agency: &OwnAgency, which: &Which, screen: &Screen) -> Result<ExitKind> {
    let client = agency.import_client()?;
    let tested = match which.among(&register(agency).await?) {
        Ok(number) => client.test_camera(number).await?,
        Err(says) => {
            let station = Station { station: "register".to_owned(), result: StationResult::Stops, says };
            let plate = lockplate_core::plate::TEST_PLATE.to_owned();
            CameraTested { camera: which.number.unwrap_or(0), plate, stations: vec![station] }
        }
    };
    let passed = tested.passed();
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/agency/1", "test": tested, "passed": passed }));
    } else {
        for Station { station, result, says } in &tested.stations {
            let mark = match result {
                StationResult::Ok => "ok",
                StationResult::Warning => "warning",
                StationResult::Stops => "stops",
            };
            screen.line(&format!("{station:<8}  {mark:<7}  {says}"));
        }
        if passed {
            screen.line(&format!(
                "One read of {} is sealed now. It is published as a count like every read, and is gone when its period is.",
                tested.plate
            ));
        }
    }
    Ok(if passed { ExitKind::Done } else { ExitKind::Problems })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(camera: u32, key: &str, state: CameraState) -> CameraListed {
        CameraListed {
            camera,
            key: key.to_owned(),
            place: "Bridge".to_owned(),
            lat: None,
            lon: None,
            purpose: "police".to_owned(),
            engine: "own".to_owned(),
            state,
            zone: None,
        }
    }

    #[test]
    fn a_line_of_the_list_shows_the_zone_and_moves_no_cursor() {
        let (health, list) = (
            |zone: &str| {
                serde_json::from_value::<CameraHealth>(json!({
                    "camera": 1, "state": "active", "added_at": 0, "changed_at": 0, "last_seen_ms": null, "reads": 3,
                    "clock_offset_ms": null, "zone": zone, "alarms": ["camera-silent"],
                }))
                .unwrap()
            },
            CameraListed { place: "y\nz\u{1b}[31m".to_owned(), ..listed(1, "k\r1", CameraState::Active) },
        );
        let line = list_line(&list, Some(&health("America/New_York")), 5);
        assert!(
            line.ends_with("3  America/New_York  k1  yz[31m  camera-silent") && !line.contains(char::is_control),
            "{line}"
        );
        let own = CameraListed { zone: Some("America/Chicago".to_owned()), ..list.clone() };
        assert!(list_line(&own, None, 5).contains("  America/Chicago   k1"), "where no health is told");
        assert!(list_line(&list, None, 5).contains("  -                 k1"));
        let at = |text: &str, word: &str| text.find(word).unwrap();
        assert_eq!(at(LIST_HEADER, "zone"), at(&line, "America"));
    }

    #[test]
    fn one_camera_that_is_there_is_meant() {
        let list = CameraList {
            cameras: vec![
                listed(1, "a", CameraState::Removed),
                listed(2, "a", CameraState::Paused),
                listed(3, "b", CameraState::Active),
                listed(4, "b", CameraState::Active),
            ],
        };
        let by_key = |key: &str| Which { number: None, key: Some(key.to_owned()) }.among(&list);
        let by_number = |number| Which { number: Some(number), key: None }.among(&list);
        assert_eq!((by_key("a"), by_number(3)), (Ok(2), Ok(3)));
        assert!(by_key("b").is_err_and(|why| why.contains("2 cameras")));
        assert!(by_key("c").is_err() && by_number(1).is_err() && by_number(9).is_err());
    }

    #[test]
    fn moments_ago() {
        let at = |seconds: i64| (1_000 - seconds) * 1_000;
        assert_eq!([ago(1_000, at(3)), ago(1_000, at(600)), ago(8_200, 1_000_000)], ["3 s", "10 min", "2 h"]);
        assert_eq!(ago(1_000, 2_000_000), "0 s", "a clock that went back");
    }
}
