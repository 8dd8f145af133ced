//! An evidence package from a search that was opened: what is shown, the receipts of all that it rests on, checked as a stranger would
//! check it before anything is written. It holds a plate in clear, so its files are the officer's alone (mode 0600).

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use lockplate_core::approval::{Decided, Grant};
use lockplate_core::charter::{Charter, LogName};
use lockplate_core::entry::human_outcome;
use lockplate_core::envelope::HpkePublicKey;
use lockplate_core::id::EpochId;
use lockplate_core::json::Json;
use lockplate_core::open::{CellKey, OpenedRead, PlateKey};
use lockplate_core::package::{
    self, Blob, BucketShown, CellShown, ElementShown, EpochShown, Package, PlaceShown, RuleFile,
};
use lockplate_core::read::Read;
use lockplate_core::request::{DisclosureClaim, FiledRequest};
use lockplate_core::{ErrorKind, Timestamp};
use lockplate_log::Receipt;
use lockplate_policy::Bundle;
use zeroize::Zeroizing;

use super::hold::{HoldFile, Logged};
use super::owner::{ClosedEpoch, closed_at};
use super::pending::Pending;
use super::{Liar, Officer, SearchFault, Searcher};
use crate::api::CameraListed;
use crate::client::{CallLimits, PeerClient, PeerError, PeerTrust};
use crate::problem::ProblemKind;
use crate::settings::create_secret_file;
use crate::verify::package::{self as checker, PACKAGE_FILE, PAGE_FILE, PackageError};
use crate::verify::receipt::ReceiptFault;

/// What is kept of an answer besides what the screen shows.
#[derive(Clone, Copy, Debug)]
pub enum Keep<'a> {
    /// Nothing.
    Nothing,
    /// An evidence package in this folder, which is made, or is there and empty.
    Package {
        /// The folder.
        folder: &'a Path,
    },
    /// A hold: a file in this folder, sealed to a records custodian.
    Hold {
        /// The folder.
        folder: &'a Path,
        /// The custodian's key.
        case_key: &'a HpkePublicKey,
        /// Until when; as long as the charter lets, where not said.
        until: Option<Timestamp>,
    },
}

impl<'a> Keep<'a> {
    /// The folder that is written to.
    pub(super) const fn folder(&self) -> Option<&'a Path> {
        match self {
            Self::Nothing => None,
            Self::Package { folder } | Self::Hold { folder, .. } => Some(folder),
        }
    }

    /// The same in another folder.
    pub(super) const fn within<'b>(self, folder: &'b Path) -> Keep<'b>
    where
        'a: 'b,
    {
        match self {
            Self::Nothing => Keep::Nothing,
            Self::Package { .. } => Keep::Package { folder },
            Self::Hold { case_key, until, .. } => Keep::Hold { folder, case_key, until },
        }
    }

    /// A hold is decided under rules of its own, so what it finds goes to the custodian and nowhere else.
    pub(super) const fn fits(&self, hold: bool) -> Result<(), SearchFault> {
        match (self, hold) {
            (Self::Hold { .. }, true) | (Self::Nothing | Self::Package { .. }, false) => Ok(()),
            (Self::Hold { .. }, false) => {
                Err(SearchFault::Usage("the request was not filed as a hold; file it with --hold"))
            }
            (Self::Nothing | Self::Package { .. }, true) => {
                Err(SearchFault::Usage("the request was filed as a hold: name the key of the case"))
            }
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A package's folder, and until when it may be kept.
    Package {
        /// The folder.
        folder: PathBuf,
        /// Until when.
        keep_until: Timestamp,
    },
    /// A hold.
    Hold(HoldFile),
}

/// One opened cell as a package needs it.
#[derive(Debug)]
pub(super) struct Find {
    pub(super) shown: CellShown,
    pub(super) read: Read,
    /// `BucketProof`, as the archive gave it.
    pub(super) bucket: Bytes,
}

impl Find {
    pub(super) fn of(key: &PlateKey, read: &OpenedRead, bucket: &Bytes) -> Result<Self, SearchFault> {
        let cell = CellKey::of(key, read)?;
        let shown = CellShown {
            epoch: read.epoch_id,
            bucket: key.bucket(),
            tag: read.tag,
            key: *cell.to_secret().expose_secret(),
        };
        Ok(Self { shown, read: read.read.clone(), bucket: bucket.clone() })
    }
}

/// An answer that was opened, with all that a package rests on.
pub(super) struct Answer<'a> {
    pub(super) officer: &'a Officer,
    pub(super) pending: &'a Pending,
    pub(super) filed: &'a FiledRequest,
    pub(super) grant: &'a Grant,
    pub(super) finds: Vec<Find>,
    pub(super) epochs: Vec<ClosedEpoch>,
    pub(super) cells: u64,
    pub(super) others: u64,
    pub(super) hold: Option<Logged>,
    pub(super) deadline: Duration,
}

impl Answer<'_> {
    /// The finds that may be the plate asked for.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Find> {
        self.finds.iter().filter(|find| !package::is_other(&find.read, &self.pending.statement))
    }
}

impl Searcher {
    /// Keeps what is asked for, durably.
    pub(super) async fn keep(
        &self,
        answer: Answer<'_>,
        keep: Keep<'_>,
        disclosure: Option<u64>,
        cameras: &BTreeMap<u32, CameraListed>,
    ) -> Result<Option<Kept>, SearchFault> {
        let (folder, hold) = match keep {
            Keep::Nothing => return Ok(None),
            // Nothing found is nothing to hold.
            Keep::Hold { .. } if answer.hold.is_none() => return Ok(None),
            Keep::Package { folder } => (folder, None),
            Keep::Hold { folder, case_key, .. } => (folder, Some(case_key)),
        };
        let disclosure = disclosure
            .ok_or(SearchFault::Unavailable("the desk cannot be told what was opened; fetch again, then it is kept"))?;
        let logged = answer.hold.clone();
        let (bytes, keep_until) = self.package(answer, disclosure, cameras).await?;
        if self.now() >= keep_until {
            return Err(SearchFault::Over);
        }
        match hold.zip(logged) {
            Some((case_key, logged)) => logged.write(folder, case_key, &bytes).map(|file| Some(Kept::Hold(file))),
            None => {
                write_package(&self.charter, &bytes, folder, self.now())?;
                Ok(Some(Kept::Package { folder: folder.to_path_buf(), keep_until }))
            }
        }
    }

    /// The bytes of a package that holds, and until when it may be kept.
    async fn package(
        &self,
        answer: Answer<'_>,
        disclosure: u64,
        cameras: &BTreeMap<u32, CameraListed>,
    ) -> Result<(Zeroizing<Vec<u8>>, Timestamp), SearchFault> {
        let (pending, grant) = (answer.pending, answer.grant);
        let charter = self.charter.charter();
        let shown: Vec<&Find> = answer.shown().collect();
        let places: BTreeSet<(EpochId, u32)> = shown.iter().map(|find| (find.shown.epoch, find.shown.bucket)).collect();
        let mut buckets: BTreeMap<(EpochId, u32), &Bytes> = BTreeMap::new();
        for find in &shown {
            buckets.insert((find.shown.epoch, find.shown.bucket), &find.bucket);
        }
        let epochs: Vec<&ClosedEpoch> =
            answer.epochs.iter().filter(|epoch| places.iter().any(|(id, _)| *id == epoch.header.epoch_id)).collect();
        let receipts = self.receipts(&answer, &epochs, disclosure).await?;
        let (cells, reads) = package::show(
            shown.iter().map(|find| (find.shown.clone(), find.read.clone())).collect(),
            &pending.statement,
        );
        let claim = DisclosureClaim {
            request_digest: pending.request_digest,
            grant_digest: grant.digest(),
            cells: answer.cells,
            others: answer.others,
        };
        let seen: BTreeSet<u32> = reads.iter().map(|read| read.camera).collect();
        let named = seen.into_iter().filter_map(|camera| {
            let place = cameras.get(&camera)?.place.clone();
            // A name that canonical JSON cannot hold is left out: the number stands beside it anyway.
            let fits = !place.is_empty() && Json::text(&place).to_canonical_bytes().is_ok();
            fits.then_some(PlaceShown { camera, place })
        });
        let element = |(input, blind): &(lockplate_core::plate::PlateInput, lockplate_oprf::Blind)| ElementShown {
            input: Blob(input.expose_bytes().to_vec()),
            blind: *blind.to_secret().expose_secret(),
        };
        let made = Package {
            schema: package::SCHEMA.to_owned(),
            maker: concat!("lockplate ", env!("CARGO_PKG_VERSION")).to_owned(),
            made: self.now(),
            charter: Blob(self.charter.bytes().to_vec()),
            filed: Blob(pending.filed.clone()),
            statement: Blob(pending.statement.expose_bytes().to_vec()),
            elements: pending.inputs.iter().map(element).collect(),
            salts: *pending.salts.expose_secret(),
            openings: pending.openings.iter().map(|opening| hash(opening)).collect(),
            grant: Blob(grant.to_bytes()),
            rules: rules(charter, grant),
            receipts: receipts.into_iter().map(Blob).collect(),
            epochs: epochs
                .iter()
                .map(|epoch| EpochShown { header: Blob(epoch.signed.0.clone()), close: Blob(epoch.signed.1.clone()) })
                .collect(),
            buckets: buckets
                .into_iter()
                .map(|((epoch, _), proof)| BucketShown { epoch, proof: Blob(proof.to_vec()) })
                .collect(),
            cells,
            reads,
            places: named.collect(),
            disclosure: Blob(answer.officer.key.sign(claim).to_bytes()),
            hold: Blob(answer.hold.as_ref().map(|hold| hold.claim.clone()).unwrap_or_default()),
            case_key: answer.hold.as_ref().map(|hold| hold.case_key),
            signature: None,
        };
        let bytes =
            made.sign(&answer.officer.key).and_then(|made| made.to_bytes()).map_err(|error| match error.kind() {
                ErrorKind::Invalid => {
                    SearchFault::Usage("so many reads do not fit one package; ask for a shorter window")
                }
                ErrorKind::Malformed
                | ErrorKind::KeeperMisbehaved
                | ErrorKind::OwnerMisbehaved
                | ErrorKind::TooFewKeepers { .. }
                | ErrorKind::EpochDestroyed
                | ErrorKind::Unavailable
                | ErrorKind::Internal => error.into(),
            })?;
        // What a stranger would refuse is not handed out.
        let checked =
            checker::check(&bytes, &self.charter, self.now().0).map_err(|error| refused(&error, charter, grant))?;
        Ok((Zeroizing::new(bytes), checked.checked.keep_until))
    }

    /// Receipts of everything that a package rests on, each once its log has published it.
    async fn receipts(
        &self,
        answer: &Answer<'_>,
        epochs: &[&ClosedEpoch],
        disclosure: u64,
    ) -> Result<Vec<Vec<u8>>, SearchFault> {
        let charter = self.charter.charter();
        let mut receipts = Vec::new();
        for signed in &answer.grant.approvals {
            let approval = signed.claimed();
            let keeper = charter.keepers.iter().find(|keeper| keeper.key.public_key() == approval.keeper_key);
            let keeper = keeper.ok_or(SearchFault::Internal("a checked grant is of keepers of the charter"))?;
            let client = PeerClient::new(&keeper.url, PeerTrust::Pinned(keeper.tls_pin), CallLimits::default())
                .map_err(|_address| SearchFault::File("the charter's address of a keeper cannot be used"))?;
            let path = LogName::Keeper(keeper.index).path();
            let receipt = self.receipt(&client, path, approval.leaf_index, answer.deadline).await?;
            if approval.decision == Decided::ApprovedByHuman {
                let lied = SearchFault::Lied {
                    who: Liar::Keepers(vec![keeper.index.0]),
                    what: "a keeper's register has another entry than the approval names",
                    evidence: None,
                };
                let said = Receipt::parse(&receipt).ok().and_then(|receipt| human_outcome(receipt.leaf()?));
                let request_index = said.ok_or(lied)?.request_index;
                receipts.push(self.receipt(&client, path, request_index, answer.deadline).await?);
            }
            receipts.push(receipt);
        }
        if !epochs.is_empty() {
            let headers = epochs.iter().map(|epoch| epoch.close.header_hash).collect();
            let path = LogName::Recorder.path();
            for index in closed_at(&self.archive, &self.charter, &headers).await?.into_values() {
                receipts.push(self.receipt(&self.archive, path, index, answer.deadline).await?);
            }
        }
        let desk = LogName::Desk(answer.officer.agency);
        // Receipts of a log that the charter does not name would prove nothing to anybody.
        if charter.log(&desk).is_some() {
            let hold = answer.hold.as_ref().map(|hold| hold.register);
            for index in [Some(disclosure), hold].into_iter().flatten() {
                receipts.push(self.receipt(&self.desk, desk.path(), index, answer.deadline).await?);
            }
        }
        Ok(receipts)
    }

    async fn receipt(
        &self,
        client: &PeerClient,
        log: &str,
        index: u64,
        deadline: Duration,
    ) -> Result<Vec<u8>, SearchFault> {
        let mut looks = 0_u32;
        loop {
            match client.get_bytes(&format!("{log}/receipt/{index}"), &[]).await {
                Ok(bytes) => return Ok(bytes.to_vec()),
                // Written, and not confirmed by its witnesses yet.
                Err(PeerError::Problem(problem)) if problem.kind() == ProblemKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            if self.clock.monotonic() >= deadline {
                return Err(SearchFault::Unavailable("an entry is not on a public register yet; fetch again"));
            }
            tokio::time::sleep(self.load.pause(looks)).await;
            looks = looks.saturating_add(1);
        }
    }
}

/// The rules under which was decided, where this program has them.
fn rules(charter: &Charter, grant: &Grant) -> Vec<RuleFile> {
    let shipped = Bundle::shipped(charter.owner.state);
    let digest = shipped.digest();
    if grant.approvals.iter().any(|approval| approval.claimed().policy_digest != digest) {
        return Vec::new();
    }
    let file = |(path, text): (&str, &str)| RuleFile { path: path.to_owned(), text: Blob(text.as_bytes().to_vec()) };
    shipped.files().map(file).collect()
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(bytes).into()
}

/// Whose fault it is that the own package does not hold.
fn refused(error: &PackageError, charter: &Charter, grant: &Grant) -> SearchFault {
    use package::PackageFault;
    let keepers = || {
        let of_grant = |key: &[u8]| grant.approvals.iter().any(|approval| approval.claimed().keeper_key == key);
        charter.keepers.iter().filter(|keeper| of_grant(keeper.key.public_key())).map(|keeper| keeper.index.0).collect()
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "what no other party can have caused is our bug")]
    match error {
        PackageError::Receipt(ReceiptFault::Unconfirmed) => {
            SearchFault::Unavailable("a public register is not confirmed by its witnesses yet; fetch again")
        }
        PackageError::Receipt(_) => SearchFault::Lied {
            who: Liar::Owner,
            what: "a receipt of a public register does not hold; no package was written",
            evidence: None,
        },
        PackageError::Package(
            PackageFault::Entry | PackageFault::Salted(_) | PackageFault::Rules(_) | PackageFault::Grant,
        ) => SearchFault::Lied {
            who: Liar::Keepers(keepers()),
            what: "keepers' registers do not bear out what they approved; no package was written",
            evidence: None,
        },
        PackageError::Package(PackageFault::Missing) => SearchFault::Unavailable(
            "a public register does not show what the package rests on; no package was written",
        ),
        _ => SearchFault::Internal("the own package does not hold; none was written"),
    }
}

/// Checks that a package can have the folder: it is not there yet, or empty. Whatever else lay in it could be handed on with the package.
///
/// # Errors
/// `File` if it holds something, or cannot be looked into.
pub fn check_package_folder(folder: &Path) -> Result<(), SearchFault> {
    holds_only(folder, |_name| false)
}

/// The same, where it may hold what `is_known` names.
pub(super) fn holds_only(folder: &Path, is_known: impl Fn(&OsStr) -> bool) -> Result<(), SearchFault> {
    let unreadable = SearchFault::File("the folder of the package is none, or cannot be looked into");
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(_os) => return Err(unreadable),
    };
    for file in files {
        let Ok(file) = file else { return Err(unreadable) };
        if !is_known(&file.file_name()) {
            return Err(SearchFault::File("the folder of the package is there and not empty; name a new one"));
        }
    }
    Ok(())
}

/// Writes the folder of a package: `package.json` and the page made from it.
///
/// # Errors
/// `Internal` if the package does not hold; `File` if the folder holds something or cannot be written.
pub fn write_package(
    charter: &lockplate_core::charter::CharterFile,
    bytes: &[u8],
    folder: &Path,
    now: Timestamp,
) -> Result<(), SearchFault> {
    let page = checker::check(bytes, charter, now.0)
        .and_then(|checked| checked.page())
        .map_err(|_ours| SearchFault::Internal("the own package does not hold; none was written"))?;
    check_package_folder(folder)?;
    let unwritten = |_os| SearchFault::File("the folder of the package cannot be written");
    std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700)
        .create(folder)
        .map_err(unwritten)?;
    private_file(&folder.join(PACKAGE_FILE), bytes)?;
    private_file(&folder.join(PAGE_FILE), page.as_bytes())
}

/// A file for its owner only, durable on return.
pub(super) fn private_file(path: &Path, bytes: &[u8]) -> Result<(), SearchFault> {
    let unwritten = SearchFault::File("a file of the package or hold cannot be written");
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unwritten),
        Ok(()) | Err(_) => {}
    }
    create_secret_file(path, bytes).map_err(|_os| unwritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_has_a_folder_of_its_own() {
        let home = tempfile::tempdir().unwrap();
        assert!(check_package_folder(&home.path().join("new")).is_ok());
        assert!(check_package_folder(home.path()).is_ok(), "empty");
        let file = home.path().join("notes.txt");
        std::fs::write(&file, "mine").unwrap();
        assert!(holds_only(home.path(), |name| name == "notes.txt").is_ok());
        for taken in [home.path(), &file] {
            let fault = check_package_folder(taken).unwrap_err();
            assert!(matches!(fault, SearchFault::File(_)) && fault.exit_kind().code() == 3, "{fault}");
        }
    }
}
