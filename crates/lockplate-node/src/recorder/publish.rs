//! What the recorder tells archive servers, in the bucket beside the epochs ([`crate::archive::published`]). Nothing where the archive is a
//! folder.
//!
//! It must never tell less than keepers were told: a searcher who was granted an epoch that is not listed takes the archive for a liar. So
//! the list is made and put by one at a time, and an epoch is in it from the moment its close is stored, whatever the table says yet.

use std::collections::BTreeSet;

use bytes::Bytes;
use lockplate_core::id::EpochId;
use lockplate_store::contract::Error as ArchiveError;
use tokio::sync::Mutex;

use super::actor::Shared;
use crate::agency_db::{self, EpochState};
use crate::archive::published::{EPOCHS_PUBLISHED_MAX, EpochPublished, Published};
use crate::db::DbError;

/// What was told. One at a time: a list that was made earlier must not be put later.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    /// Epochs whose close is stored and whose row does not say so yet.
    stored: BTreeSet<EpochId>,
    bytes: Bytes,
    tag: Option<String>,
}

/// Why it was not told.
pub(super) enum Untold {
    Table(DbError),
    Store(ArchiveError),
}

impl From<DbError> for Untold {
    fn from(cause: DbError) -> Self {
        Self::Table(cause)
    }
}

/// Puts the list where it has changed; with `stored`, an epoch whose close was just stored. On return everybody may be told of it.
pub(super) async fn publish(shared: &Shared, stored: Option<EpochId>) -> Result<(), Untold> {
    if !shared.parts.archive.is_remote() {
        return Ok(());
    }
    let mut last = shared.told.0.lock().await;
    last.stored.extend(stored);
    let charter = shared.parts.charter.charter();
    // Epochs of a window past its retention are told as gone for as long again.
    let span = charter.retention_seconds.saturating_mul(2).saturating_add(charter.epoch_seconds);
    let rows = shared.parts.db.epochs_inside(shared.now().saturating_sub(span), u64::MAX, EPOCHS_PUBLISHED_MAX).await?;
    if rows.len() >= EPOCHS_PUBLISHED_MAX {
        tracing::error!(
            "the archive has more epochs than archive servers are told of: searches through them lack some"
        );
    }
    let done = |row: &agency_db::EpochRow| matches!(row.state, EpochState::Closed | EpochState::Destroyed);
    for row in rows.iter().filter(|row| done(row)) {
        last.stored.remove(&row.header.claimed().epoch_id);
    }
    let told = |row| EpochPublished::of(row, last.stored.contains(&row.header.claimed().epoch_id));
    let published = Published {
        epochs: rows.iter().filter_map(told).collect(),
        cameras: agency_db::listed(&shared.parts.db.cameras().await?),
    };
    let bytes = Bytes::from(serde_json::to_vec(&published).map_err(|_our_type| Untold::Store(ArchiveError::Invalid))?);
    let archive = &shared.parts.archive;
    // A machine that was paused in this very put, and woke when this one had taken over, has put an older list since.
    let overwritten = shared.parts.shipper.is_some()
        && bytes == last.bytes
        && archive.public_tag().await.map_err(Untold::Store)? != last.tag;
    if bytes != last.bytes || overwritten {
        last.tag = archive.put_public(bytes.clone()).await.map_err(Untold::Store)?;
        last.bytes = bytes;
    }
    Ok(())
}
