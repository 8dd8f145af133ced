//! The real ends of intake's seams: the recorder, and the register in the agency's database. Nothing is decided here.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use lockplate_core::Timestamp;
use lockplate_core::charter::Charter;
use lockplate_core::id::AgencyId;
use lockplate_core::read::Read;
use lockplate_core::vocabulary::ArchiveKind;
use lockplate_intake::SourceKind;
use lockplate_intake::normalise::Placement;
use lockplate_intake::time::Zone;

use super::access::TokenHash;
use super::settings::{IMPORT_SOURCE_NAME, SourceRefused, SourceSettings, SourceTable, check_files, check_tables};
use super::sink::{
    Asked, Fate, KnownCamera, NewCamera, NotTaken, Obstacle, ReadSink, Register, RegisterDown, Registered,
};
use crate::agency_db::{self, AgencyDb, CameraError, SourceRow};
use crate::api::{CameraChanged, CameraEdit, CameraState};
use crate::clock::Clock;
use crate::party_log::{PartyLog, seconds};
use crate::problem::ProblemKind;
use crate::recorder::{PlacedRead, RecorderError, RecorderHandle, Sealed};

impl From<RecorderError> for NotTaken {
    fn from(error: RecorderError) -> Self {
        match error {
            RecorderError::Busy => Self::Busy,
            RecorderError::Interrupted => Self::Interrupted,
            RecorderError::Stopping => Self::Stopping,
        }
    }
}

impl ReadSink for RecorderHandle {
    fn seal(&self, reads: Vec<(Read, Placement)>) -> BoxFuture<'_, Result<Vec<Fate>, NotTaken>> {
        async move {
            let placed = reads.into_iter().map(|(read, place)| PlacedRead { read, place }).collect();
            let fates = Self::seal(self, placed).await?;
            let fate = |sealed| match sealed {
                Sealed::Stored => Fate::Stored,
                Sealed::TooOld => Fate::TooOld,
                Sealed::Not(why) => Fate::Not(why.into()),
            };
            Ok(fates.into_iter().map(fate).collect())
        }
        .boxed()
    }

    fn late_done(&self) -> BoxFuture<'_, Result<(), NotTaken>> {
        async move { Ok(Self::late_done(self).await?) }.boxed()
    }

    fn obstacle(&self) -> BoxFuture<'_, Option<Obstacle>> {
        async move {
            match self.state().await {
                Err(_stopping) => Some(Obstacle::Stopping),
                Ok(state) if state.sealing => None,
                Ok(state) if state.prekeys.contains(&0) => Some(Obstacle::NoPrekeys),
                Ok(_) => Some(Obstacle::NoEpoch),
            }
        }
        .boxed()
    }
}

/// The register of `agency.db`, whose changes are logged.
#[derive(Clone)]
pub struct AgencyRegister {
    db: AgencyDb,
    log: PartyLog,
    owner: AgencyId,
    /// What its cameras are there for.
    kind: ArchiveKind,
    clock: Arc<dyn Clock>,
}

impl core::fmt::Debug for AgencyRegister {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AgencyRegister(..)")
    }
}

/// Why the sources of a configuration are not in the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourcesRefused {
    /// One of them is wrong: a configuration to mend.
    Source(SourceRefused),
    /// The database.
    Down(RegisterDown),
}

impl core::fmt::Display for SourcesRefused {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Source(refused) => refused.fmt(f),
            Self::Down(down) => down.fmt(f),
        }
    }
}

impl core::error::Error for SourcesRefused {}

impl AgencyRegister {
    /// Brings the register to the sources of the configuration: each table gets a number for life; a source that is no
    /// longer there keeps its number and loses its token; the source of imported files is made where it is not.
    ///
    /// # Errors
    /// [`SourcesRefused`].
    pub async fn open(
        db: AgencyDb,
        log: PartyLog,
        charter: &Charter,
        clock: Arc<dyn Clock>,
        tables: &[SourceTable],
    ) -> Result<Self, SourcesRefused> {
        check_tables(tables).and_then(|()| check_files(tables)).map_err(SourcesRefused::Source)?;
        let down = |_db| SourcesRefused::Down(RegisterDown);
        let (owner, kind) = (charter.owner.id, charter.archive_kind);
        let mut shown_otherwise = db.cameras_serve(kind).await.map_err(down)? > 0;
        let rows = db.sources().await.map_err(down)?;
        let own = SourceKind::Own.name();
        let nobody = TokenHash::NOBODY.bytes();
        if !rows.iter().any(|row| row.name == IMPORT_SOURCE_NAME) {
            db.add_source(IMPORT_SOURCE_NAME.into(), own.into(), nobody, "{}".into()).await.map_err(down)?;
        }
        for table in tables {
            let hash = table.token_sha256.as_deref().map_or(Some(TokenHash::NO_TOKEN), TokenHash::from_hex);
            let hash = hash.unwrap_or(TokenHash::NOBODY).bytes();
            let settings = serde_json::to_string(table).map_err(|_our_type| SourcesRefused::Down(RegisterDown))?;
            match rows.iter().find(|row| row.name == table.name) {
                None => {
                    db.add_source(table.name.clone(), table.engine.clone(), hash, settings).await.map_err(down)?;
                }
                Some(row) => {
                    let kind = table.engine.clone();
                    let changed = SourceRow { kind, token_hash: hash, settings, ..row.clone() };
                    if changed != *row {
                        shown_otherwise |= changed.kind != row.kind;
                        db.change_source(changed).await.map_err(down)?;
                    }
                }
            }
        }
        for row in rows {
            let configured = tables.iter().any(|table| table.name == row.name);
            if !configured && row.token_hash != nobody {
                db.change_source(SourceRow { token_hash: nobody, ..row }).await.map_err(down)?;
            }
        }
        let register = Self { db, log, owner, kind, clock };
        if shown_otherwise && register.db.restate_cameras(&register.log, owner, register.now()).await.is_err() {
            tracing::warn!(
                "the register of cameras is not logged as it is shown now; the next change of a camera logs it"
            );
        }
        Ok(register)
    }

    fn now(&self) -> Timestamp {
        Timestamp(seconds(self.clock.as_ref()))
    }

    fn source(row: &SourceRow) -> Option<SourceSettings> {
        if row.token_hash == TokenHash::NOBODY.bytes() {
            return None;
        }
        let table: SourceTable = serde_json::from_str(&row.settings).ok()?;
        let checked = table.check(row.number).ok()?;
        Some(SourceSettings { token: TokenHash::from_bytes(row.token_hash), ..checked })
    }
}

impl Register for AgencyRegister {
    fn registered(&self) -> BoxFuture<'_, Result<Registered, RegisterDown>> {
        async move {
            let rows = self.db.sources().await.map_err(|_db| RegisterDown)?;
            let cameras = self.db.cameras().await.map_err(|_db| RegisterDown)?;
            let import = rows.iter().find(|row| row.name == IMPORT_SOURCE_NAME).ok_or(RegisterDown)?;
            let known = |camera: agency_db::Camera| KnownCamera {
                number: camera.number,
                source: camera.camera.source,
                key: camera.camera.key,
                place: camera.camera.place,
                group: camera.camera.group,
                active: camera.state == CameraState::Active,
                zone: Zone::parse(&camera.camera.zone),
                added_at: camera.added_at.0,
                changed_at: camera.changed_at.0,
            };
            let there = cameras.into_iter().filter(|camera| camera.state != CameraState::Removed);
            Ok(Registered {
                cameras: there.map(known).collect(),
                sources: rows.iter().filter_map(Self::source).collect(),
                import_source: import.number,
            })
        }
        .boxed()
    }

    fn add(&self, source: u16, camera: NewCamera) -> BoxFuture<'_, Result<(), RegisterDown>> {
        async move {
            let NewCamera { key, place, lat, lon, group, source: _, purpose: _, zone } = camera;
            // The one purpose that intake lets through.
            let (purpose, zone) = (self.kind, zone.unwrap_or_default());
            let camera = agency_db::NewCamera { source, key, place, position: lat.zip(lon), group, purpose, zone };
            let added = self.db.add_camera(&self.log, self.owner, camera, self.now()).await;
            added.map(drop).map_err(|_not_added| RegisterDown)
        }
        .boxed()
    }

    fn asked(&self, source: u16) -> BoxFuture<'_, Result<Option<Asked>, RegisterDown>> {
        async move { self.db.asked(source).await.map_err(|_db| RegisterDown) }.boxed()
    }

    fn set_asked(&self, source: u16, asked: Asked) -> BoxFuture<'_, Result<(), RegisterDown>> {
        async move { self.db.set_asked(source, asked).await.map_err(|_db| RegisterDown) }.boxed()
    }

    fn right_clocks(&self) -> BoxFuture<'_, Result<BTreeMap<u32, i64>, RegisterDown>> {
        async move { self.db.right_clocks().await.map_err(|_db| RegisterDown) }.boxed()
    }

    fn set_right_clocks(&self, right: BTreeMap<u32, i64>) -> BoxFuture<'_, Result<(), RegisterDown>> {
        async move { self.db.set_right_clocks(right).await.map_err(|_db| RegisterDown) }.boxed()
    }

    fn change(&self, camera: u32, edit: CameraEdit) -> BoxFuture<'_, Result<CameraChanged, ProblemKind>> {
        async move {
            match self.db.change_camera(&self.log, self.owner, camera, edit, self.now()).await {
                Ok((camera, changed)) => Ok(CameraChanged { camera: camera.listed(), changed }),
                Err(CameraError::Unknown) => Err(ProblemKind::NotFound),
                Err(CameraError::Invalid) => Err(ProblemKind::Invalid),
                Err(CameraError::NotLogged(why)) => Err(why.problem()),
                Err(CameraError::Db(_)) => Err(ProblemKind::Unavailable),
            }
        }
        .boxed()
    }
}
