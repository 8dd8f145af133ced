//! An evidence hold: the desk logs it, then the reads are sealed to the key of a records custodian (LPv1 section 10.2). The file's name and
//! what is clear in it tell nothing that the public register does not.

use std::path::{Path, PathBuf};

use lockplate_core::disclosure::Disclosure;
use lockplate_core::envelope::{HpkePublicKey, HpkeSecretKey};
use lockplate_core::hold::{
    HOLD_MAGIC, HeldFor, HoldClaim, HoldHead, case_key_id, hold_head, latest_until, unwrap_hold, wrap_hold,
};
use lockplate_core::package::{held_digest, show};
use lockplate_core::{ErrorKind, Timestamp};
use zeroize::Zeroizing;

use super::package::{Answer, private_file};
use super::{Liar, SearchFault, Searcher};
use crate::api::{B64, DisclosureLogged, HoldMade};
use crate::client::PeerError;
use crate::problem::ProblemKind;
use crate::rng::SystemRng;

/// A hold that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldFile {
    /// The file.
    pub path: PathBuf,
    /// Until when it can be opened.
    pub until: Timestamp,
    /// Entry in the desk's log.
    pub register: u64,
    /// Cells held.
    pub cells: u64,
}

/// A hold that the desk has logged.
#[derive(Clone)]
pub(super) struct Logged {
    /// `Signed<HoldClaim>`.
    pub(super) claim: Vec<u8>,
    pub(super) case_key: [u8; 32],
    pub(super) register: u64,
    head: HoldHead,
    cells: u64,
    name: String,
}

impl core::fmt::Debug for Logged {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Logged(..)")
    }
}

impl Searcher {
    /// Has the own desk log the hold; none where nothing was found that may be held.
    pub(super) async fn log_hold(
        &self,
        answer: &Answer<'_>,
        case_key: &HpkePublicKey,
        until: Option<Timestamp>,
    ) -> Result<Option<Logged>, SearchFault> {
        let pending = answer.pending;
        let shown = answer.shown().map(|find| (find.shown.clone(), find.read.clone())).collect();
        let (cells, _) = show(shown, &pending.statement);
        if cells.is_empty() {
            return Ok(None);
        }
        let latest = latest_until(self.charter.charter(), answer.grant);
        let until = until.unwrap_or(latest);
        if until > latest {
            return Err(SearchFault::Usage("the charter lets a hold last no longer than the keepers keep the request"));
        }
        let case_key = case_key_id(case_key);
        let held = HeldFor {
            salts: &pending.salts,
            case_number: &pending.statement.statement().case_number,
            seconds: &answer.filed.seconds,
            held: held_digest(&cells),
            case_key,
        };
        let (request_digest, grant_digest) = (pending.request_digest, answer.grant.digest());
        let cells = u64::try_from(cells.len()).unwrap_or(u64::MAX);
        let claim = HoldClaim { request_digest, grant_digest, cells, until, sd: held.digests()? };
        let claim = answer.officer.key.sign(claim).to_bytes();
        let path = format!("/v1/desk/requests/{}/hold", hex::encode(request_digest));
        let made = HoldMade { claim: B64(claim.clone()) };
        let logged: DisclosureLogged = self.desk.post_json(&path, &made, None).await.map_err(|error: PeerError| {
            if error.problem() == Some(ProblemKind::Conflicting) {
                SearchFault::Usage("another hold of this request was logged before: of another end, key or content")
            } else {
                error.into()
            }
        })?;
        let register = logged.register;
        let head = HoldHead { request_digest, grant_digest, until, register, case_key };
        // Salted, so that a number that can be guessed is not found in the name.
        let [case_number, ..] = held.disclosures()?.map(|one: Disclosure| one.digest());
        let name = format!("hold-{}.sealed", hex::encode(case_number.get(..8).unwrap_or_default()));
        Ok(Some(Logged { claim, case_key, register, head, cells, name }))
    }
}

impl Logged {
    /// Seals a package to the case key and writes it, durably.
    pub(super) fn write(
        &self,
        folder: &Path,
        case_key: &HpkePublicKey,
        package: &[u8],
    ) -> Result<HoldFile, SearchFault> {
        let file = wrap_hold(&self.head, case_key, package, &mut SystemRng)?;
        let path = folder.join(&self.name);
        private_file(&path, &file)?;
        Ok(HoldFile { path, until: self.head.until, register: self.register, cells: self.cells })
    }
}

/// Opens the file of a hold for the custodian: the evidence package in it, not checked yet.
///
/// # Errors
/// `Gone` once the hold is over; `File` if it is no hold, or names another key; `Lied` if it was altered after it was sealed.
pub fn open_hold(
    file: &[u8],
    key: &HpkeSecretKey,
    now: Timestamp,
) -> Result<(HoldHead, Zeroizing<Vec<u8>>), SearchFault> {
    if !file.starts_with(HOLD_MAGIC) {
        return Err(SearchFault::File("the file is no hold"));
    }
    // It does not say by whom; the officer, the custodian and whoever carried it had it.
    let altered = SearchFault::Lied {
        who: Liar::Holder,
        what: "the hold was altered, or cut off, after it was sealed",
        evidence: None,
    };
    let Ok(head) = hold_head(file) else { return Err(altered) };
    if head.case_key != case_key_id(&key.public_key()?) {
        return Err(SearchFault::File("the hold is sealed to another key; take the key file of its case"));
    }
    unwrap_hold(file, key, now)
        .map_err(|error| if error.kind() == ErrorKind::EpochDestroyed { SearchFault::Over } else { altered })
}
