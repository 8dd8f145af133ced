//! The owner's side as a searcher meets it: epochs, buckets, the recorder's register. Nothing the archive says is believed:
//! headers and closes are signed by the charter's recorders, closes stand in the signed register, buckets under their roots.

use std::collections::{BTreeMap, BTreeSet};

use lockplate_core::Timestamp;
use lockplate_core::charter::CharterFile;
use lockplate_core::entry::{Leaf, LogEntry, parse_leaf};
use lockplate_core::epoch::{EpochClose, EpochHeader};
use lockplate_core::id::EpochId;
use lockplate_core::package;
use lockplate_log::limits::TILE_WIDTH;
use lockplate_log::merkle::{self, leaf_hash};
use lockplate_log::tile::parse_bundle;
use lockplate_log::{SignedCheckpoint, TileKind, TilePath};

use super::{Liar, SearchFault};
use crate::api::{CameraList, CameraListed, EpochList};
use crate::client::PeerClient;

/// Leaves of a recorder's register that a searcher reads: 16 million are 40 years of hourly epochs in 50 recorders.
const REGISTER_LEAVES_MAX: u64 = 1 << 24;
/// Cameras of a register.
const CAMERAS_MAX: usize = 100_000;

/// One closed epoch, its recorder's signatures checked.
#[derive(Debug, Clone)]
pub(super) struct ClosedEpoch {
    pub(super) header: EpochHeader,
    pub(super) close: EpochClose,
    /// As they came, for evidence.
    pub(super) signed: (Vec<u8>, Vec<u8>),
}

/// What a register says of closed epochs: `segment_root` by `header_hash`.
pub type LoggedRoots = BTreeMap<[u8; 32], [u8; 32]>;

fn owner_lied(what: &'static str) -> SearchFault {
    SearchFault::Lied { who: Liar::Owner, what, evidence: None }
}

/// The epochs of a grant, in its order, and how many the window has beside them: open ones, and those that not all keepers of the grant
/// hold or allow. What is in them was not asked for, and must not pass for "no match" either.
pub(super) async fn epochs(
    archive: &PeerClient,
    charter: &CharterFile,
    window: (Timestamp, Timestamp),
    wanted: &[EpochId],
) -> Result<(Vec<ClosedEpoch>, usize), SearchFault> {
    let (from, to) = (window.0.0.to_string(), window.1.0.to_string());
    let listed: EpochList =
        archive.get_json("/v1/epochs", &[("from", &from), ("to", &to)]).await.map_err(SearchFault::of_archive)?;
    let mut known = BTreeMap::new();
    for one in &listed.epochs {
        let epoch = check_epoch(charter, &one.header.0, &one.close.0)?;
        known.insert(epoch.header.epoch_id, epoch);
    }
    let mut epochs = Vec::with_capacity(wanted.len());
    for id in wanted {
        let Some(epoch) = known.remove(id) else {
            // Destroyed between grant and fetch, or withheld; neither may pass for "no match".
            return Err(if listed.destroyed > 0 {
                SearchFault::Gone
            } else {
                owner_lied("the archive withholds a period that its keepers granted")
            });
        };
        if epoch.header.cap_from < window.0 || epoch.header.cap_to > window.1 {
            return Err(owner_lied("a period of the grant lies outside the window"));
        }
        epochs.push(epoch);
    }
    let beside = known.len().saturating_add(usize::try_from(listed.open).unwrap_or(usize::MAX));
    Ok((epochs, beside))
}

fn check_epoch(charter: &CharterFile, header: &[u8], close: &[u8]) -> Result<ClosedEpoch, SearchFault> {
    let signed = (header.to_vec(), close.to_vec());
    let (header, close) = package::check_epoch(charter, header, close)?;
    Ok(ClosedEpoch { header, close, signed })
}

/// Reads the whole register of the owner's recorder, checks every leaf against its signed head, and returns the roots it says.
/// One root an epoch: a second one with another value is a lie.
///
/// # Errors
/// `Lied` if the head is not signed by the charter's key or the leaves are not its leaves; `Unavailable` without an answer.
pub async fn logged_roots(archive: &PeerClient, charter: &CharterFile) -> Result<LoggedRoots, SearchFault> {
    let mut roots = LoggedRoots::new();
    read_register(archive, charter, |_, entry| {
        if let LogEntry::EpochClosed(closed) = entry
            && roots.insert(closed.header, closed.root).is_some_and(|before| before != closed.root)
        {
            return Err(owner_lied("the register closes one period twice"));
        }
        Ok(())
    })
    .await?;
    Ok(roots)
}

/// Where in the register of the owner's recorder these periods were closed, by `header_hash`.
pub(super) async fn closed_at(
    archive: &PeerClient,
    charter: &CharterFile,
    headers: &BTreeSet<[u8; 32]>,
) -> Result<BTreeMap<[u8; 32], u64>, SearchFault> {
    let mut found = BTreeMap::new();
    read_register(archive, charter, |index, entry| {
        if let LogEntry::EpochClosed(closed) = entry
            && headers.contains(&closed.header)
        {
            found.insert(closed.header, index);
        }
        Ok(())
    })
    .await?;
    Ok(found)
}

/// Shows every known entry of the register with its index; all of them are checked against the signed head, after they were seen.
async fn read_register(
    archive: &PeerClient,
    charter: &CharterFile,
    mut see: impl FnMut(u64, &LogEntry) -> Result<(), SearchFault> + Send,
) -> Result<(), SearchFault> {
    let bytes = archive.get_bytes("/log/recorder/checkpoint", &[]).await?;
    let signed = SignedCheckpoint::parse(&bytes, &charter.charter().archive.log_key)
        .map_err(|_note| owner_lied("the head of the register is not signed by the recorder"))?;
    let head = signed.checkpoint();
    if head.size() > REGISTER_LEAVES_MAX {
        return Err(SearchFault::Unavailable("the register is larger than this client reads"));
    }
    let other = || owner_lied("the register's entries are not those of its signed head");
    let mut hashes = Vec::new();
    let width = u64::from(TILE_WIDTH);
    for index in 0..head.size().div_ceil(width) {
        let rest = head.size().saturating_sub(index.saturating_mul(width)).min(width);
        let rest = u16::try_from(rest).map_err(|_wide| SearchFault::Internal("a tile is at most 256 wide"))?;
        let path = TilePath::new(TileKind::Entries, index, rest)
            .map_err(|_range| SearchFault::Internal("a tile of a bounded log has a path"))?;
        let bundle = archive.get_bytes(&format!("/log/recorder/{path}"), &[]).await?;
        for leaf in parse_bundle(&bundle, rest).map_err(|_form| other())? {
            let at = u64::try_from(hashes.len()).unwrap_or(u64::MAX);
            hashes.push(leaf_hash(leaf));
            let Ok(Leaf::Known(stamped)) = parse_leaf(leaf) else { continue };
            see(at, stamped.entry())?;
        }
    }
    if merkle::root(&hashes) != head.root() {
        return Err(other());
    }
    Ok(())
}

/// Every close must be the one in the register.
pub(super) fn check_logged(epochs: &[ClosedEpoch], roots: &LoggedRoots) -> Result<(), SearchFault> {
    for epoch in epochs {
        match roots.get(&epoch.close.header_hash) {
            Some(root) if *root == epoch.close.segment_root => {}
            Some(_) => return Err(owner_lied("the archive shows another content of a period than the register")),
            None => return Err(SearchFault::Unavailable("the close of a period is not on the public register yet")),
        }
    }
    Ok(())
}

/// The camera register by number; only words for people, nothing is decided on it.
pub(super) async fn cameras(archive: &PeerClient) -> BTreeMap<u32, CameraListed> {
    match archive.get_json::<CameraList>("/v1/cameras", &[]).await {
        Ok(list) => list.cameras.into_iter().take(CAMERAS_MAX).map(|camera| (camera.camera, camera)).collect(),
        // A result without the names of places is still a result.
        Err(_peer) => BTreeMap::new(),
    }
}
