//! The register of cameras. Each change is a `camera` leaf first and a row second, one change at a time. A row is never
//! deleted: the reads of a camera that was removed are in the archive for as long as any, and its number says where they
//! were made.

use lockplate_core::Timestamp;
use lockplate_core::entry::{CameraChange, CameraLeaf, LogEntry};
use lockplate_core::hotlist::limits::ACCOUNT_TEXT_BYTES_MAX;
use lockplate_core::id::AgencyId;
use lockplate_core::vocabulary::ArchiveKind;
use lockplate_core::wire::th;
use lockplate_intake::time::Zone;
use rusqlite::types::Type;
use rusqlite::{Row, params};

use super::{AgencyDb, CAMERAS_MAX, TEXT_CHARS_MAX, integer};
use crate::api::{CameraEdit, CameraList, CameraListed, CameraState};
use crate::db::DbError;
use crate::party_log::{NotLogged, PartyLog};

/// A camera to be registered.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCamera {
    /// Number of its source.
    pub source: u16,
    /// The engine's key for it.
    pub key: String,
    /// Place in words, public.
    pub place: String,
    /// Degrees north and east, public.
    pub position: Option<(f64, f64)>,
    /// A group name, or empty.
    pub group: String,
    /// What it is there for, public: the kind of the archive that its reads go to.
    pub purpose: ArchiveKind,
    /// IANA zone of its local times, or empty: its source's.
    pub zone: String,
}

impl NewCamera {
    fn fits(&self) -> bool {
        let text = |text: &str| !text.trim().is_empty() && text.chars().count() <= TEXT_CHARS_MAX;
        let on_earth = |(lat, lon): (f64, f64)| (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon);
        // Lane and facility of the passages of an operator.
        let is_billable = |text: &str| text.len() <= ACCOUNT_TEXT_BYTES_MAX;
        let passes = self.purpose == ArchiveKind::Police || (is_billable(&self.place) && is_billable(&self.group));
        text(&self.key)
            && text(&self.place)
            && passes
            && self.group.chars().count() <= TEXT_CHARS_MAX
            && self.position.is_none_or(on_earth)
            && (self.zone.is_empty() || Zone::parse(&self.zone).is_some())
    }
}

/// A camera of the register.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    /// Number in records.
    pub number: u32,
    /// The rest.
    pub camera: NewCamera,
    /// Engine of its source, public.
    pub engine: String,
    /// Whether its reads are taken in.
    pub state: CameraState,
    /// When it was added; 0 if that was before it was noted.
    pub added_at: Timestamp,
    /// When it was last changed, or added; 0 as before.
    pub changed_at: Timestamp,
}

impl Camera {
    fn is_there(&self) -> bool {
        self.state != CameraState::Removed
    }

    /// Makes a change; how the log calls it.
    fn apply(&mut self, edit: CameraEdit) -> Result<CameraChange, CameraError> {
        Ok(match edit {
            CameraEdit::Move { place, lat, lon, zone } => {
                if lat.is_some() != lon.is_some() {
                    return Err(CameraError::Invalid);
                }
                self.camera.place = place;
                self.camera.position = lat.zip(lon);
                self.camera.zone = zone.unwrap_or_else(|| self.camera.zone.clone());
                CameraChange::Change
            }
            CameraEdit::Pause => {
                self.state = CameraState::Paused;
                CameraChange::Pause
            }
            CameraEdit::Resume => {
                self.state = CameraState::Active;
                CameraChange::Change
            }
            CameraEdit::Remove => {
                self.state = CameraState::Removed;
                CameraChange::Remove
            }
        })
    }
}

/// Why a camera was not registered or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameraError {
    /// A text is empty or too long, a position is out of range, a zone is none, there are too many cameras, or the key is
    /// registered.
    Invalid,
    /// There is no such camera, or it was removed.
    Unknown,
    /// The change is not logged as it must be, so it was not made.
    NotLogged(NotLogged),
    /// The database.
    Db(DbError),
}

impl core::fmt::Display for CameraError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Invalid => {
                "the camera's key or place is empty, too long or taken, its position is out of range or its zone is none"
            }
            Self::Unknown => "there is no such camera",
            Self::NotLogged(cause) => return write!(f, "the camera was not changed: {cause}"),
            Self::Db(_) => "the camera was not changed, because the database failed",
        })
    }
}

impl core::error::Error for CameraError {}

impl From<DbError> for CameraError {
    fn from(cause: DbError) -> Self {
        Self::Db(cause)
    }
}

impl AgencyDb {
    /// All cameras, by number, those that were removed among them.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn cameras(&self) -> Result<Vec<Camera>, DbError> {
        self.db
            .call(|db| {
                let mut rows = db.prepare_cached(
                    "SELECT camera.number, source, key, place, lat, lon, grp, purpose, zone, source.kind, state, added_at, changed_at
                     FROM camera JOIN source ON source.number = camera.source ORDER BY camera.number",
                )?;
                let cameras = rows.query_map([], camera_of)?.collect::<Result<_, _>>()?;
                Ok(cameras)
            })
            .await
    }

    /// Says of cameras that were registered before purposes were noted that they are there for `kind`; how many these were.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn cameras_serve(&self, kind: ArchiveKind) -> Result<usize, DbError> {
        self.db
            .transaction(move |db| Ok(db.execute("UPDATE camera SET purpose = ?1 WHERE purpose = ''", [kind.name()])?))
            .await
    }

    /// Registers a camera: the digest of the register with it is logged, and only then is it accepted. Its number.
    ///
    /// # Errors
    /// [`CameraError`]. A crash between leaf and row leaves a leaf whose digest no register has; the next change says the truth
    /// again.
    pub async fn add_camera(
        &self,
        log: &PartyLog,
        owner: AgencyId,
        camera: NewCamera,
        now: Timestamp,
    ) -> Result<u32, CameraError> {
        let _one_change_at_a_time = self.register.lock().await;
        let mut all = self.cameras().await?;
        let taken = all
            .iter()
            .any(|other| other.is_there() && (other.camera.source, &other.camera.key) == (camera.source, &camera.key));
        if !camera.fits() || taken || all.len() >= CAMERAS_MAX {
            return Err(CameraError::Invalid);
        }
        let sources = self.sources().await?;
        let source = sources.into_iter().find(|source| source.number == camera.source).ok_or(CameraError::Invalid)?;
        let number = all.iter().map(|camera| camera.number).max().unwrap_or(0).saturating_add(1);
        let state = CameraState::Active;
        let added = Camera { number, camera, engine: source.kind, state, added_at: now, changed_at: now };
        all.push(added.clone());
        log_change(log, owner, CameraChange::Add, &all, now).await?;
        self.db
            .transaction(move |db| {
                let Camera { camera: NewCamera { source, key, place, position, group, purpose, zone }, .. } = added;
                let (lat, lon) = position.unzip();
                db.execute(
                    "INSERT INTO camera (number, source, key, place, lat, lon, grp, purpose, zone, state, added_at, changed_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)",
                    params![
                        number,
                        source,
                        key,
                        place,
                        lat,
                        lon,
                        group,
                        purpose.name(),
                        zone,
                        code(state),
                        integer(now.0)?
                    ],
                )?;
                Ok(())
            })
            .await?;
        Ok(number)
    }

    /// Changes a camera, in the same order. The camera afterwards, and whether that is another than before: what is so
    /// already is neither logged nor made.
    ///
    /// # Errors
    /// As [`add_camera`](Self::add_camera).
    pub async fn change_camera(
        &self,
        log: &PartyLog,
        owner: AgencyId,
        number: u32,
        edit: CameraEdit,
        now: Timestamp,
    ) -> Result<(Camera, bool), CameraError> {
        let _one_change_at_a_time = self.register.lock().await;
        let mut all = self.cameras().await?;
        let camera = all.iter_mut().find(|camera| camera.number == number && camera.is_there());
        let camera = camera.ok_or(CameraError::Unknown)?;
        let before = camera.clone();
        let change = camera.apply(edit)?;
        if *camera == before {
            return Ok((before, false));
        }
        if camera.camera != before.camera && !camera.camera.fits() {
            return Err(CameraError::Invalid);
        }
        camera.changed_at = now;
        let after = camera.clone();
        log_change(log, owner, change, &all, now).await?;
        let Camera { camera: NewCamera { place, position, zone, .. }, state, .. } = after.clone();
        self.db
            .transaction(move |db| {
                let (lat, lon) = position.unzip();
                db.execute(
                    "UPDATE camera SET place = ?2, lat = ?3, lon = ?4, zone = ?5, state = ?6, changed_at = ?7 WHERE number = ?1",
                    params![number, place, lat, lon, zone, code(state), integer(now.0)?],
                )?;
                Ok(())
            })
            .await?;
        Ok((after, true))
    }

    /// Logs the register as it is, where the public one differs without a change of a camera: a source has another engine.
    ///
    /// # Errors
    /// As [`add_camera`](Self::add_camera).
    pub async fn restate_cameras(&self, log: &PartyLog, owner: AgencyId, now: Timestamp) -> Result<(), CameraError> {
        let _one_change_at_a_time = self.register.lock().await;
        let all = self.cameras().await?;
        if all.is_empty() { Ok(()) } else { log_change(log, owner, CameraChange::Change, &all, now).await }
    }
}

/// Logs what the register will be. What the log's newest statement says already is not said again: a first try had no quorum
/// or ended after it, or nothing of the change is public.
async fn log_change(
    log: &PartyLog,
    owner: AgencyId,
    change: CameraChange,
    all: &[Camera],
    effective: Timestamp,
) -> Result<(), CameraError> {
    let register = register_digest(all).ok_or(CameraError::Invalid)?;
    let cameras = u64::try_from(all.iter().filter(|camera| camera.is_there()).count()).unwrap_or(u64::MAX);
    #[expect(clippy::wildcard_enum_match_arm, reason = "asks for one variant; every other one is no camera")]
    let same = move |entry: &LogEntry| match entry {
        LogEntry::Camera(known) => Some(known.register == register),
        _ => None,
    };
    let leaf = LogEntry::Camera(CameraLeaf { owner, change, register, cameras, effective });
    log.append_once(leaf, same).await.map(drop).map_err(CameraError::NotLogged)
}

/// The public register: what `GET /v1/cameras` answers.
#[must_use]
pub fn listed(cameras: &[Camera]) -> CameraList {
    CameraList { cameras: cameras.iter().map(Camera::listed).collect() }
}

impl Camera {
    /// As the public register shows it.
    #[must_use]
    pub fn listed(&self) -> CameraListed {
        CameraListed {
            camera: self.number,
            key: self.camera.key.clone(),
            place: self.camera.place.clone(),
            lat: self.camera.position.map(|(lat, _)| lat),
            lon: self.camera.position.map(|(_, lon)| lon),
            purpose: self.camera.purpose.name().to_owned(),
            engine: self.engine.clone(),
            state: self.state,
            zone: Some(self.camera.zone.clone()).filter(|zone| !zone.is_empty()),
        }
    }
}

/// Digest of the register: TH("camera-register", the exact body of `GET /v1/cameras`), so that anybody can compare the two.
/// `None` if a position is not a number.
#[must_use]
pub fn register_digest(cameras: &[Camera]) -> Option<[u8; 32]> {
    serde_json::to_vec(&listed(cameras)).ok().map(|body| th("camera-register", &[&body]))
}

/// The number of a state in the database. Before there were states, 1 was active and 0 was not.
const fn code(state: CameraState) -> i64 {
    match state {
        CameraState::Paused => 0,
        CameraState::Active => 1,
        CameraState::Removed => 2,
    }
}

fn camera_of(row: &Row<'_>) -> rusqlite::Result<Camera> {
    let position = row.get::<_, Option<f64>>(4)?.zip(row.get(5)?);
    let purpose = ArchiveKind::from_name(&row.get::<_, String>(7)?)
        .ok_or_else(|| rusqlite::Error::InvalidColumnType(7, "purpose".into(), Type::Text))?;
    let camera = NewCamera {
        source: row.get(1)?,
        key: row.get(2)?,
        place: row.get(3)?,
        position,
        group: row.get(6)?,
        purpose,
        zone: row.get(8)?,
    };
    let stored: i64 = row.get(10)?;
    let states = [CameraState::Active, CameraState::Paused, CameraState::Removed];
    let state = states.into_iter().find(|state| code(*state) == stored);
    let time = |column| row.get::<_, i64>(column).map(|seconds| Timestamp(u64::try_from(seconds).unwrap_or(0)));
    Ok(Camera {
        number: row.get(0)?,
        camera,
        engine: row.get(9)?,
        state: state.ok_or(rusqlite::Error::IntegralValueOutOfRange(10, stored))?,
        added_at: time(11)?,
        changed_at: time(12)?,
    })
}

#[cfg(test)]
mod tests;
