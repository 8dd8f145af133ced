//! The officer's side of a search: blind, sign, file at the own desk, wait, verify, combine, fetch, open, disclose. It runs on
//! the officer's machine and trusts nobody: keepers' answers are proved, the archive's buckets stand under logged roots, and
//! what does not verify is never shown, least of all as "no match". Results go to the command line; nothing else is kept.

mod answer;
mod draft;
mod fault;
pub mod federation;
mod hold;
mod load;
mod owner;
mod package;
mod pending;
mod timings;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use lockplate_core::approval::Grant;
use lockplate_core::charter::{CharterFile, KeeperEntry};
use lockplate_core::emergency::Danger;
use lockplate_core::epoch::EpochHeader;
use lockplate_core::filing::{DeskCall, DeskCallKind};
use lockplate_core::id::{AgencyId, EpochId, KeeperIndex};
use lockplate_core::open::{Combining, Evaluation, PlateKey, VerifiedEvaluation, answer_of, open, verify_evaluation};
use lockplate_core::plate::Jurisdiction;
use lockplate_core::request::{DisclosureClaim, FiledRequest};
use lockplate_core::segment::BucketProof;
use lockplate_core::sign::{Signed, SigningKey, VerifyKey};
pub use lockplate_core::spellings::Mode;
use lockplate_core::vocabulary::{Basis, Offence, Purpose};
use lockplate_core::{ErrorKind, Timestamp};
use lockplate_oprf::Secret;
use lockplate_store::durable;
use rand_core::CryptoRng;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub use answer::{Culprit, Fetched, Found, Proof, SCHEMA};
pub use draft::{Snapped, count_elements, has_wildcard, snap};
pub use fault::{Liar, Refusal, SearchFault};
pub use hold::{HoldFile, open_hold};
pub use owner::{LoggedRoots, logged_roots};
pub use package::{Keep, Kept, check_package_folder, write_package};
pub use timings::Timings;

use crate::api::{
    AnswerState, B64, BucketAsked, BucketsAsked, CulpritNamed, DeskFiled, DeskLooked, DeskState, DeskStatus,
    DisclosureLogged, DisclosureMade, Done, ReasonText,
};
use crate::client::{CallLimits, Frames, PeerClient, PeerError, PeerTrust};
use crate::clock::Clock;
use crate::problem::ProblemKind;
use crate::settings;
use crate::shift::session;
use answer::OpenedCell;
use load::Load;
use owner::ClosedEpoch;
use pending::Pending;
use timings::Laps;

/// Buckets of one request, at most [`BUCKETS_ASKED_MAX`](crate::archive::buckets::BUCKETS_ASKED_MAX): many enough that a request costs little
/// beside them, few enough that opening begins soon.
const BUCKETS_A_REQUEST: usize = 32;
/// Requests for buckets that are under way at one owner's archive: it reads for one while the other is on its way.
const BUCKET_REQUESTS_AT_A_TIME: usize = 2;
/// How often the rest of one request is asked for again where the answer broke off.
const BUCKETS_ASKED_AGAIN_MAX: u32 = 2;
/// And where the archive or its store took its time in vain.
const BUCKETS_WAITED_FOR_AGAIN_MAX: u32 = 1;
/// Pause before that: a server that has ended is started anew meanwhile.
const BUCKETS_ASKED_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Bytes of one answer of the archive: a bucket of a quarter million cells.
const ARCHIVE_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of one answer of the desk: a grant and 16 evaluations at their bounds, in base64.
const DESK_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a request may wait for its keepers, unless said otherwise: a day.
pub const VALID_FOR_S: u64 = 86_400;
/// The wish for the end of the embargo, unless said otherwise: 180 days after filing.
pub const EMBARGO_S: u64 = 180 * 86_400;

/// What an officer asks.
#[derive(Clone)]
pub struct Asked {
    /// The plate as typed; `#`, `@`, `?` are wildcards.
    pub plate: Zeroizing<String>,
    /// Its state, for example `US-CT`; none where it is not known.
    pub state: Option<Jurisdiction>,
    /// How far spellings go.
    pub spellings: Mode,
    /// Purpose.
    pub purpose: Purpose,
    /// Legal basis.
    pub basis: Basis,
    /// Case number.
    pub case_number: String,
    /// Class of the offence.
    pub offence: Offence,
    /// The offence in words.
    pub offence_text: String,
    /// The facts that make the search lawful; one line.
    pub facts: String,
    /// What is feared, where it is declared as an emergency: then a second person of [`Officer::seconds`] is a supervisor.
    pub emergency: Option<Danger>,
    /// The reads are to be kept as evidence ([`hold`]).
    pub hold: bool,
    /// Window, from (inclusive); snapped inward.
    pub from: Timestamp,
    /// Window, to (exclusive); snapped inward.
    pub to: Timestamp,
    /// For another agency; none for the officer's own.
    pub on_behalf_of: Option<AgencyId>,
    /// The court's `.auth` file.
    pub authorisation: Option<Vec<u8>>,
    /// Disclosures of the plates it names.
    pub disclosures: Vec<Zeroizing<String>>,
    /// Seconds the request may wait; [`VALID_FOR_S`].
    pub valid_for_s: u64,
    /// Seconds of embargo wished for; [`EMBARGO_S`].
    pub embargo_s: u64,
}

impl core::fmt::Debug for Asked {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Asked(..)")
    }
}

/// The officer at the keyboard.
pub struct Officer {
    /// Signing key.
    pub key: SigningKey,
    /// The officer's agency.
    pub agency: AgencyId,
    /// Passcode at the desk: the second factor. Without one the request carries no session statement.
    pub passcode: Option<Zeroizing<String>>,
    /// Keys of second persons who sign the same request.
    pub seconds: Vec<SigningKey>,
}

impl core::fmt::Debug for Officer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Officer(..)")
    }
}

/// The Ed25519 key file of a person (PKCS#8 PEM, mode 0600).
///
/// # Errors
/// As [`settings::read_signing_key`].
pub fn read_person_key(path: &Path) -> Result<SigningKey, settings::KeyFileError> {
    let key = settings::read_signing_key(path)?;
    Ok(SigningKey::from_seed(&Secret::new(key.to_bytes())))
}

/// A filed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filed {
    /// Its number: the request digest.
    pub request_digest: [u8; 32],
    /// The window that is searched.
    pub window: Snapped,
    /// Elements asked.
    pub elements: usize,
}

/// One searcher: an owner's charter (the caller has pinned it), the officer's own desk, a folder of pending searches.
#[derive(Clone)]
pub struct Searcher {
    charter: CharterFile,
    desk: PeerClient,
    archive: PeerClient,
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    load: Arc<Load>,
}

impl core::fmt::Debug for Searcher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Searcher(..)")
    }
}

/// The limits for a client of a desk: grants and evaluations are large.
#[must_use]
pub fn desk_limits() -> CallLimits {
    CallLimits { body_bytes: DESK_BODY_BYTES_MAX, ..CallLimits::default() }
}

impl Searcher {
    /// `desk` is a client of the officer's own desk (made with [`desk_limits`]); the archive is reached under the charter's pin.
    ///
    /// # Errors
    /// `File` if the charter's address cannot be used.
    pub fn new(
        charter: CharterFile,
        desk: PeerClient,
        folder: PathBuf,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SearchFault> {
        let owner = &charter.charter().archive;
        let limits = CallLimits { body_bytes: ARCHIVE_BODY_BYTES_MAX, ..CallLimits::default() };
        let archive = PeerClient::new(&owner.url, PeerTrust::Pinned(owner.tls_pin), limits)
            .map_err(|_address| SearchFault::File("the charter's archive address cannot be used"))?;
        Ok(Self { charter, desk, archive, folder, clock, load: Arc::default() })
    }

    fn now(&self) -> Timestamp {
        Timestamp(u64::try_from(self.clock.now_ms().div_euclid(1_000)).unwrap_or(0))
    }

    /// Draws up, signs and files a request; returns when the own desk has it on stable storage. What is needed to open the
    /// answer is sealed to the folder before anything is sent, so a crash loses nothing.
    ///
    /// # Errors
    /// `Usage`, `NotSignedIn`, `File`, `Unavailable`.
    pub async fn file<R: CryptoRng + Send>(
        &self,
        officer: &Officer,
        asked: &Asked,
        rng: &mut R,
    ) -> Result<Filed, SearchFault> {
        let (pending, filed) = self.draft(officer, asked, rng)?;
        self.send(officer, &pending).await?;
        Ok(filed)
    }

    /// The request, signed and on this machine's disk; nothing is sent.
    fn draft<R: CryptoRng + Send>(
        &self,
        officer: &Officer,
        asked: &Asked,
        rng: &mut R,
    ) -> Result<(Pending, Filed), SearchFault> {
        let (pending, window) = draft::draft(&self.charter, officer, asked, self.now(), rng)?;
        pending.save(&self.folder, &officer.key, rng)?;
        let filed = Filed { request_digest: pending.request_digest, window, elements: pending.inputs.len() };
        Ok((pending, filed))
    }

    /// Files the pending request again: the same bytes, so a repeat changes nothing.
    async fn send(&self, officer: &Officer, pending: &Pending) -> Result<DeskStatus, SearchFault> {
        let session = match &officer.passcode {
            None => None,
            Some(passcode) => {
                let _turn = self.load.log_on().await;
                Some(session(&self.desk, &officer.key, passcode, &pending.request_digest, self.now()).await?)
            }
        };
        let body = DeskFiled {
            filed: B64(pending.filed.clone()),
            openings: pending.openings.iter().cloned().map(B64).collect(),
            attachments: pending.attachments.iter().cloned().map(B64).collect(),
            session,
        };
        Ok(self.desk.post_json("/v1/desk/requests", &body, None).await?)
    }

    /// Numbers of the searches that were filed from this folder and not fetched yet, sorted: also those whose filing was
    /// interrupted before the desk answered.
    ///
    /// # Errors
    /// `File` if the folder cannot be read.
    pub fn pending(&self) -> Result<Vec<[u8; 32]>, SearchFault> {
        Pending::list(&self.folder)
    }

    /// Where a request of this officer stands at the desk.
    ///
    /// # Errors
    /// `Unavailable`; also for a request that another key filed, which the desk does not show.
    pub async fn status(&self, officer: &Officer, request_digest: &[u8; 32]) -> Result<DeskStatus, SearchFault> {
        Ok(self.ask_status(officer, request_digest).await?)
    }

    async fn ask_status(&self, officer: &Officer, digest: &[u8; 32]) -> Result<DeskStatus, PeerError> {
        let looked = DeskLooked { call: self.call(officer, digest, DeskCallKind::Look) };
        self.desk.post_json(&format!("/v1/desk/requests/{}/look", hex::encode(digest)), &looked, None).await
    }

    /// Proves to the own desk that this is the officer: digests are public.
    fn call(&self, officer: &Officer, request_digest: &[u8; 32], kind: DeskCallKind) -> B64 {
        let call = DeskCall { request_digest: *request_digest, kind, time: self.now() };
        B64(officer.key.sign(call).to_bytes())
    }

    /// Waits for the answer of a filed request, at most `wait` (zero: what there is now), opens it, and discloses. The pending
    /// search is deleted once the disclosure is logged. `seen` is told each status, for a progress line.
    ///
    /// # Errors
    /// Any [`SearchFault`]; after `Waiting` and `Unavailable` a later fetch goes on.
    pub async fn fetch(
        &self,
        officer: &Officer,
        request_digest: &[u8; 32],
        wait: Duration,
        seen: &mut (dyn FnMut(&DeskStatus) + Send),
    ) -> Result<Fetched, SearchFault> {
        self.fetch_kept(officer, request_digest, wait, Keep::Nothing, seen).await
    }

    /// As [`fetch`](Self::fetch), and keeps the answer as an evidence package or a hold. The pending search is deleted once that is
    /// durable too.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch); `Usage` if a hold was asked for and none is kept, or the other way round.
    pub async fn fetch_kept(
        &self,
        officer: &Officer,
        request_digest: &[u8; 32],
        wait: Duration,
        keep: Keep<'_>,
        seen: &mut (dyn FnMut(&DeskStatus) + Send),
    ) -> Result<Fetched, SearchFault> {
        let pending = Pending::load(&self.folder, &officer.key, request_digest)?;
        keep.fits(pending.statement.statement().hold)?;
        if let Keep::Package { folder } = keep {
            check_package_folder(folder)?;
        }
        if pending.charter_hash != self.charter.hash() {
            return Err(SearchFault::File("the pending search was filed under another charter"));
        }
        let filed = FiledRequest::from_bytes(&pending.filed)?;
        let deadline = self.clock.monotonic().saturating_add(wait);
        let _under_way = self.load.waits();
        let mut laps = Laps::start(self.clock.as_ref());
        let early = async { Ok(if wait.is_zero() { None } else { self.list_early(&filed).await }) };
        let (status, early) = tokio::try_join!(self.granted(officer, &pending, deadline, seen), early)?;
        let grant = self.check_grant(&status, &filed)?;
        let approving = laps.lap();
        let opened = self.open_all(officer, &pending, &filed, (&grant, early), deadline, seen).await;
        let grant_digest = grant.digest();
        let opened = match opened {
            Ok(opened) => opened,
            Err(fault) => {
                if matches!(fault, SearchFault::Lied { .. }) {
                    // The register shows that the search was made and could not be finished; the fault is what the officer sees.
                    let _told = self.disclose(officer, request_digest, &grant_digest, (0, 0), "failed").await;
                }
                return Err(fault);
            }
        };
        laps.lap();
        let cells = u64::try_from(opened.cells.len()).unwrap_or(u64::MAX);
        let cameras = if opened.cells.is_empty() { BTreeMap::new() } else { owner::cameras(&self.archive).await };
        let mut answer = package::Answer {
            officer,
            pending: &pending,
            filed: &filed,
            grant: &grant,
            finds: opened.finds,
            epochs: opened.epochs,
            cells,
            others: 0,
            hold: None,
            deadline,
        };
        let (found, others) = answer::lines(opened.cells, &pending.asked, pending.state, &cameras);
        let outcome = if found.is_empty() { "none" } else { "found" };
        answer.others = others;
        if let Keep::Hold { case_key, until, .. } = keep {
            answer.hold = self.log_hold(&answer, case_key, until).await?;
        }
        let disclosure = self.disclose(officer, request_digest, &grant_digest, (cells, others), outcome).await;
        let kept = self.keep(answer, keep, disclosure, &cameras).await?;
        if disclosure.is_some() {
            Pending::remove(&self.folder, request_digest)?;
        }
        let request = filed.request.claimed();
        let timings = Timings { approving, telling: laps.lap(), ..opened.timings };
        tracing::debug!(?timings, epochs = grant.epoch_ids.len(), "a search was opened");
        Ok(Fetched {
            request_digest: *request_digest,
            grant_digest,
            window: Snapped { from: request.win_from, to: request.win_to, moved: false },
            elements: request.elements.len(),
            epochs: grant.epoch_ids.len(),
            epochs_destroyed: destroyed(&status),
            epochs_not_searched: opened.not_searched,
            found,
            cells,
            others,
            culprits: opened.culprits,
            register: register(&status),
            disclosure,
            kept,
            timings,
        })
    }

    /// [`file`](Self::file), then [`fetch`](Self::fetch).
    ///
    /// # Errors
    /// As both.
    pub async fn search<R: CryptoRng + Send>(
        &self,
        officer: &Officer,
        asked: &Asked,
        wait: Duration,
        rng: &mut R,
        seen: &mut (dyn FnMut(&DeskStatus) + Send),
    ) -> Result<Fetched, SearchFault> {
        let mut laps = Laps::start(self.clock.as_ref());
        let filed = self.file(officer, asked, rng).await?;
        let filing = laps.lap();
        let mut fetched = self.fetch(officer, &filed.request_digest, wait, seen).await?;
        fetched.window = filed.window;
        fetched.timings.filing = filing;
        Ok(fetched)
    }

    /// Polls until there is a grant.
    async fn granted(
        &self,
        officer: &Officer,
        pending: &Pending,
        deadline: Duration,
        seen: &mut (dyn FnMut(&DeskStatus) + Send),
    ) -> Result<DeskStatus, SearchFault> {
        let mut looks = 0;
        loop {
            let status = match self.look(officer, &pending.request_digest).await? {
                Some(status) => status,
                // Unknown there: a process ended before the desk had it.
                None => self.send(officer, pending).await?,
            };
            seen(&status);
            if status.grant.is_some() {
                return Ok(status);
            }
            match status.state {
                DeskState::Refused => return Err(SearchFault::Refused(refusals(&status))),
                DeskState::Gone => return Err(SearchFault::Gone),
                DeskState::Filing
                | DeskState::WaitingForHuman
                | DeskState::Granted
                | DeskState::Answered
                | DeskState::Unavailable
                | DeskState::Disclosed => self.pause(&mut looks, deadline, status.state).await?,
            }
        }
    }

    async fn look(&self, officer: &Officer, digest: &[u8; 32]) -> Result<Option<DeskStatus>, SearchFault> {
        match self.ask_status(officer, digest).await {
            Ok(status) => Ok(Some(status)),
            Err(PeerError::Problem(problem)) if problem.kind() == ProblemKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn pause(&self, looks: &mut u32, deadline: Duration, state: DeskState) -> Result<(), SearchFault> {
        if self.clock.monotonic() >= deadline {
            return Err(if state == DeskState::Unavailable {
                SearchFault::Unavailable("too few keepers can be reached; the request stands, fetch it later")
            } else {
                SearchFault::Waiting(state)
            });
        }
        tokio::time::sleep(self.load.pause(*looks)).await;
        *looks = looks.saturating_add(1);
        Ok(())
    }

    /// The grant must be for this very request and carry enough approvals; the desk could have made it up.
    fn check_grant(&self, status: &DeskStatus, filed: &FiledRequest) -> Result<Grant, SearchFault> {
        let lied = |what| SearchFault::Lied { who: Liar::Desk, what, evidence: None };
        let bytes = status.grant.as_ref().ok_or(SearchFault::Internal("a granted request has a grant"))?;
        let grant = Grant::from_bytes(&bytes.0).map_err(|_form| lied("the desk's grant is not well-formed"))?;
        let policy = grant.approvals.first().map(|approval| approval.claimed().policy_digest).unwrap_or_default();
        let holds = grant.request.to_bytes() == filed.request.to_bytes()
            && !grant.epoch_ids.is_empty()
            && grant.check_approvals(self.charter.charter(), &policy, 0).is_ok();
        if holds { Ok(grant) } else { Err(lied("the desk's grant does not hold")) }
    }

    /// What does not depend on the grant, while keepers decide. It may be older than the grant, and the archive may be away meanwhile: what
    /// it lacks is asked for again.
    async fn list_early(&self, filed: &FiledRequest) -> Option<Early> {
        let listed = owner::list(&self.archive, &self.charter, window_of(filed));
        let (listed, roots) = tokio::join!(listed, logged_roots(&self.archive, &self.charter));
        Some(Early { listed: listed.ok()?, roots: roots.ok()? })
    }

    async fn open_all(
        &self,
        officer: &Officer,
        pending: &Pending,
        filed: &FiledRequest,
        (grant, early): (&Grant, Option<Early>),
        deadline: Duration,
        seen: &mut (dyn FnMut(&DeskStatus) + Send),
    ) -> Result<OpenedAll, SearchFault> {
        let mut timings = Timings::default();
        let mut laps = Laps::start(self.clock.as_ref());
        let (listed, roots) = match early.filter(|early| early.listed.has(&grant.epoch_ids)) {
            Some(Early { listed, roots }) => (listed, Some(roots)),
            None => (owner::list(&self.archive, &self.charter, window_of(filed)).await?, None),
        };
        let (epochs, not_searched) = listed.of_grant(&grant.epoch_ids)?;
        if roots.is_none_or(|roots| owner::check_logged(&epochs, &roots).is_err()) {
            self.check_register(&epochs, pending, deadline).await?;
        }
        timings.listing = laps.lap();
        let headers: Vec<_> = epochs.iter().map(|epoch| epoch.header.clone()).collect();
        let (evaluations, culprits, verifying) =
            self.evaluations(officer, pending, grant, &headers, deadline, seen).await?;
        timings.evaluating = laps.lap();
        let mut work = Laps::start(self.clock.as_ref());
        let combining = Combining::new(&evaluations, &pending.inputs, &headers)?;
        let mut places: Vec<_> = combining.places().collect();
        // What is shared by the buckets of an epoch is read once by an archive that is asked for them together.
        places.sort_unstable_by_key(|(element, epoch)| (*epoch, *element));
        let keys: Vec<_> =
            places.into_par_iter().map(|(element, epoch)| combining.key(element, epoch)).collect::<Result<_, _>>()?;
        timings.cryptography = verifying.saturating_add(work.lap());
        let places: BTreeMap<_, _> = epochs.iter().map(|epoch| (epoch.header.epoch_id, epoch)).collect();
        let asked = keys.chunks(BUCKETS_A_REQUEST).map(|keys| self.buckets(pending, keys, &places));
        let opened: Vec<_> = stream::iter(asked).buffered(BUCKET_REQUESTS_AT_A_TIME).try_collect().await?;
        let (mut cells, mut finds) = (Vec::new(), Vec::new());
        for (found, took) in opened {
            timings.cryptography = timings.cryptography.saturating_add(took);
            let (of_these, their_finds): (Vec<_>, Vec<_>) = found.into_iter().unzip();
            cells.extend(of_these);
            finds.extend(their_finds);
        }
        timings.opening = laps.lap();
        Ok(OpenedAll { cells, finds, epochs, not_searched, culprits, timings })
    }

    /// Every close must be on the register. The archive shows a close once it is durable, the register once it is confirmed.
    async fn check_register(
        &self,
        epochs: &[ClosedEpoch],
        pending: &Pending,
        deadline: Duration,
    ) -> Result<(), SearchFault> {
        let mut looks = 0_u32;
        loop {
            let roots = logged_roots(&self.archive, &self.charter).await?;
            let Err(fault) = owner::check_logged(epochs, &roots) else { return Ok(()) };
            if !matches!(fault, SearchFault::Unavailable(_)) || self.clock.monotonic() >= deadline {
                return Err(self.with_evidence(fault, "register", pending, &json!({ "epochs": shown_epochs(epochs) })));
            }
            tokio::time::sleep(self.load.pause(looks)).await;
            looks = looks.saturating_add(1);
        }
    }

    /// Keeps the proof of a keeper's wrong answer.
    fn name_culprit(&self, pending: &Pending, keeper: &KeeperEntry, proof: &Value) -> Culprit {
        let place = keeper.index.0;
        let evidence = self.write_evidence(&format!("keeper-{place}"), pending, proof);
        Culprit { keeper: place, name: keeper.name.clone(), evidence }
    }

    /// Tells the desk of a keeper's wrong answer: it asks another keeper.
    async fn tell_of_culprit(&self, officer: &Officer, pending: &Pending, keeper: u8) -> Result<(), PeerError> {
        let path = format!("/v1/desk/requests/{}/culprits", hex::encode(pending.request_digest));
        let call = self.call(officer, &pending.request_digest, DeskCallKind::Culprit);
        let _told: Done = self.desk.post_json(&path, &CulpritNamed { keeper, call }, None).await?;
        Ok(())
    }

    /// Collects t evaluations that verify. A wrong one that its keeper signed for this grant names the keeper, goes to an evidence file and
    /// to the desk, which asks another keeper. What the keeper did not sign for it is put aside: the desk showed it, and the keeper may not even
    /// have been asked.
    async fn evaluations(
        &self,
        officer: &Officer,
        pending: &Pending,
        grant: &Grant,
        headers: &[EpochHeader],
        deadline: Duration,
        seen: &mut (dyn FnMut(&DeskStatus) + Send),
    ) -> Result<(Vec<VerifiedEvaluation>, Vec<Culprit>, Duration), SearchFault> {
        let (mut looks, mut verifying) = (0, Duration::ZERO);
        let needed = usize::from(self.charter.threshold().t());
        let mut judged: BTreeSet<u8> = BTreeSet::new();
        let mut good = Vec::new();
        let mut culprits: Vec<Culprit> = Vec::new();
        let mut made_up = false;
        loop {
            let status = self.status(officer, &pending.request_digest).await?;
            seen(&status);
            let mut untold = None;
            let mut known = status.evaluations.iter().filter_map(|(place, bytes)| {
                let keeper = self.charter.charter().keeper(KeeperIndex(*place))?;
                if judged.contains(place) {
                    return None;
                }
                // Its place stays open: the keeper's own answer may come yet.
                let Some(signed) = answer_by(keeper, grant, bytes) else {
                    if !made_up {
                        tracing::warn!(
                            keeper = *place,
                            "the desk shows an answer that the keeper did not give to this grant"
                        );
                    }
                    made_up = true;
                    return None;
                };
                judged.insert(*place);
                Some((keeper, bytes, signed))
            });
            // Where one is wrong, the others of the same answer are looked at before anything is waited for.
            while good.len() < needed {
                let mut work = Laps::start(self.clock.as_ref());
                let these: Vec<_> = known.by_ref().take(needed.saturating_sub(good.len())).collect();
                if these.is_empty() {
                    break;
                }
                let verified: Vec<_> = these
                    .into_par_iter()
                    .map(|(keeper, bytes, signed)| {
                        let (key, index, response) = (key_of(keeper), keeper.index, &pending.response);
                        (keeper, bytes, verify_evaluation(&signed, &key, index, grant, headers, response))
                    })
                    .collect();
                verifying = verifying.saturating_add(work.lap());
                for (keeper, bytes, verified) in verified {
                    match verified {
                        Ok(evaluation) => good.push(evaluation),
                        Err(error) if error.kind() == ErrorKind::KeeperMisbehaved => {
                            let place = keeper.index.0;
                            let proof = json!({ "keeper": place, "grant": B64(grant.to_bytes()), "evaluation": bytes });
                            culprits.push(self.name_culprit(pending, keeper, &proof));
                            // The answers that are there may suffice whether the desk hears of it or not.
                            if let Err(error) = self.tell_of_culprit(officer, pending, place).await {
                                tracing::warn!(keeper = place, %error, "the desk cannot be told of a wrong answer");
                                untold = Some(error);
                            }
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            if good.len() >= needed {
                return Ok((good, culprits, verifying));
            }
            // Without having heard of it the desk asks no other keeper: waiting would be in vain.
            if let Some(error) = untold {
                return Err(error.into());
            }
            let pause = match status.state {
                DeskState::Gone => Err(SearchFault::Gone),
                DeskState::Refused => Err(SearchFault::Refused(refusals(&status))),
                DeskState::Filing
                | DeskState::WaitingForHuman
                | DeskState::Granted
                | DeskState::Answered
                | DeskState::Unavailable
                | DeskState::Disclosed => self.pause(&mut looks, deadline, status.state).await,
            };
            // Another keeper may come back in time; where none does, the end is the lie and not the absence.
            match pause {
                Ok(()) => {}
                Err(SearchFault::Unavailable(_) | SearchFault::Waiting(_)) if !culprits.is_empty() => {
                    return Err(SearchFault::Lied {
                        who: Liar::Keepers(culprits.iter().map(|culprit| culprit.keeper).collect()),
                        what: "keepers answered wrongly and too few others answered",
                        evidence: culprits.into_iter().find_map(|culprit| culprit.evidence),
                    });
                }
                Err(SearchFault::Unavailable(_) | SearchFault::Waiting(_)) if made_up => {
                    return Err(SearchFault::Lied {
                        who: Liar::Desk,
                        what: "the desk showed an answer that its keeper did not give to this grant and too few others came",
                        evidence: None,
                    });
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Some buckets: fetched hit or miss alike, each opened while the next ones come; and how long the opening took. Where an answer
    /// breaks off, or the archive's store was away, what has not come is asked for again: the archive's server may have ended in the middle
    /// of it. What came and is wrong is a lie, and not asked for twice.
    async fn buckets(
        &self,
        pending: &Pending,
        keys: &[PlateKey],
        places: &BTreeMap<EpochId, &ClosedEpoch>,
    ) -> Result<(Vec<(OpenedCell, package::Find)>, Duration), SearchFault> {
        let (mut found, mut took) = (Vec::new(), Duration::ZERO);
        let (mut to_come, mut answer) = (keys, None);
        let (mut breaks_left, mut waits_left) = (BUCKETS_ASKED_AGAIN_MAX, BUCKETS_WAITED_FOR_AGAIN_MAX);
        while let Some((key, rest)) = to_come.split_first() {
            let epoch =
                places.get(&key.epoch_id()).ok_or(SearchFault::Internal("a key is of an epoch of the grant"))?;
            let bucket = match self.next_bucket(&mut answer, to_come).await {
                Ok(bucket) => bucket,
                Err(error) => {
                    let left = match repeat(&error) {
                        Some(Repeat::Broken) => &mut breaks_left,
                        Some(Repeat::Waited) => &mut waits_left,
                        None => return Err(SearchFault::of_archive(error)),
                    };
                    *left = left.checked_sub(1).ok_or_else(|| SearchFault::of_archive(error))?;
                    answer = None;
                    tokio::time::sleep(BUCKETS_ASKED_AGAIN_AFTER).await;
                    continue;
                }
            };
            let mut work = Laps::start(self.clock.as_ref());
            found.extend(self.opened(pending, key, epoch, &bucket)?);
            took = took.saturating_add(work.lap());
            to_come = rest;
        }
        Ok((found, took))
    }

    /// The next bucket of the answer that is being read; where there is none, all that are to come are asked for.
    async fn next_bucket(&self, answer: &mut Option<Frames>, to_come: &[PlateKey]) -> Result<Bytes, PeerError> {
        let frames = match answer {
            Some(frames) => frames,
            None => {
                let asked =
                    |key: &PlateKey| BucketAsked { epoch: B64(key.epoch_id().0.to_vec()), bucket: key.bucket() };
                let asked = BucketsAsked { buckets: to_come.iter().map(asked).collect() };
                answer.insert(self.archive.post_json_framed("/v1/buckets", &asked).await?)
            }
        };
        frames.next().await?.ok_or(PeerError::Malformed)
    }

    /// A bucket, proved under the logged root and opened.
    fn opened(
        &self,
        pending: &Pending,
        key: &PlateKey,
        epoch: &ClosedEpoch,
        bytes: &Bytes,
    ) -> Result<Vec<(OpenedCell, package::Find)>, SearchFault> {
        let root = epoch.close.segment_root;
        let opened = BucketProof::from_bytes(bytes)
            .map_err(|_form| lockplate_core::Error::owner("the archive's bucket is not well-formed"))
            .and_then(|proof| {
                let bucket = proof.verify(key.bucket(), &root, epoch.header.bucket_bits)?;
                open(key, &bucket)
            });
        match opened {
            Ok(reads) => reads
                .into_iter()
                .map(|read| {
                    let find = package::Find::of(key, &read, bytes)?;
                    let proof = Proof {
                        epoch_id: key.epoch_id().0,
                        header_hash: epoch.close.header_hash,
                        segment_root: root,
                        bucket: key.bucket(),
                        tag: read.tag,
                    };
                    Ok((OpenedCell { read, proof }, find))
                })
                .collect(),
            Err(error) => {
                let shown = json!({
                    "epoch": shown_epochs(core::slice::from_ref(epoch)),
                    "bucket": key.bucket(),
                    "answer": B64(bytes.to_vec()),
                });
                Err(self.with_evidence(error.into(), "archive", pending, &shown))
            }
        }
    }

    async fn disclose(
        &self,
        officer: &Officer,
        request_digest: &[u8; 32],
        grant_digest: &[u8; 32],
        (cells, others): (u64, u64),
        outcome: &str,
    ) -> Option<u64> {
        let claim = DisclosureClaim { request_digest: *request_digest, grant_digest: *grant_digest, cells, others };
        let signed = officer.key.sign(claim).to_bytes();
        let signature = signed.last_chunk::<64>()?.to_vec();
        let body = DisclosureMade { cells, others, outcome: outcome.to_owned(), signed: B64(signature) };
        let path = format!("/v1/desk/requests/{}/disclosure", hex::encode(request_digest));
        match self.desk.post_json::<_, DisclosureLogged>(&path, &body, None).await {
            Ok(logged) => Some(logged.register),
            // The result stands; the pending search stays, so the next fetch discloses.
            Err(_peer) => None,
        }
    }

    fn with_evidence(&self, fault: SearchFault, name: &str, pending: &Pending, shown: &Value) -> SearchFault {
        #[expect(clippy::wildcard_enum_match_arm, reason = "only a lie has evidence")]
        match fault {
            SearchFault::Lied { who, what, evidence: None } => {
                SearchFault::Lied { who, what, evidence: self.write_evidence(name, pending, shown) }
            }
            other => other,
        }
    }

    /// Signed and sealed bytes only: no plate, blind or response key. The name holds the request's public digest.
    fn write_evidence(&self, name: &str, pending: &Pending, shown: &Value) -> Option<PathBuf> {
        let digest = hex::encode(pending.request_digest);
        let document = json!({
            "schema": "lockplate/search-evidence/1",
            "about": name,
            "charter": hex::encode(self.charter.hash()),
            "request": B64(pending.filed.clone()),
            "shown": shown,
        });
        let path = self.folder.join(format!("evidence-{}-{name}.json", digest.get(..16).unwrap_or(&digest)));
        durable::replace(&path, document.to_string().as_bytes()).ok().map(|()| path)
    }
}

fn key_of(keeper: &KeeperEntry) -> VerifyKey {
    VerifyKey(keeper.key.public_key().try_into().unwrap_or([0; 32]))
}

/// Why the same buckets may be asked for once more.
enum Repeat {
    /// The answer broke off.
    Broken,
    /// The archive waited for its store, or did not answer, each time as long as it may.
    Waited,
}

/// None for what stays.
fn repeat(error: &PeerError) -> Option<Repeat> {
    match error {
        PeerError::Unreachable | PeerError::Malformed => Some(Repeat::Broken),
        PeerError::TimedOut => Some(Repeat::Waited),
        PeerError::Problem(problem) if problem.kind() == ProblemKind::Unavailable => Some(Repeat::Waited),
        PeerError::WrongKey | PeerError::Problem(_) | PeerError::TooLarge | PeerError::Unsendable => None,
    }
}

/// The answer that a keeper gave to this grant; none where these bytes are not that, whatever the desk says of them. The desk checks
/// as much before it keeps an answer, so such bytes are the desk's.
fn answer_by(keeper: &KeeperEntry, grant: &Grant, B64(bytes): &B64) -> Option<Signed<Evaluation>> {
    let signed = Signed::<Evaluation>::from_bytes(bytes).ok()?;
    answer_of(&signed, &key_of(keeper), keeper.index, grant).is_ok().then_some(signed)
}

fn window_of(filed: &FiledRequest) -> (Timestamp, Timestamp) {
    let request = filed.request.claimed();
    (request.win_from, request.win_to)
}

/// What the archive showed before there was a grant.
struct Early {
    listed: owner::Listed,
    roots: LoggedRoots,
}

struct OpenedAll {
    cells: Vec<OpenedCell>,
    finds: Vec<package::Find>,
    epochs: Vec<ClosedEpoch>,
    not_searched: usize,
    culprits: Vec<Culprit>,
    timings: Timings,
}

fn shown_epochs(epochs: &[ClosedEpoch]) -> Value {
    epochs
        .iter()
        .map(|epoch| json!({ "header": B64(epoch.signed.0.clone()), "close": B64(epoch.signed.1.clone()) }))
        .collect()
}

fn refusals(status: &DeskStatus) -> Vec<Refusal> {
    status
        .keepers
        .iter()
        .filter_map(|keeper| {
            let answer = keeper.answer.as_ref()?;
            let lapsed = keeper.problem.as_deref() == Some(ProblemKind::Lapsed.slug());
            let reasons = match answer.state {
                AnswerState::Refused => answer.reasons.clone(),
                AnswerState::Approved | AnswerState::Waiting if lapsed => vec![ReasonText {
                    rule: ProblemKind::Lapsed.slug().to_owned(),
                    say: "What the request rested on no longer counts: its paper was withdrawn or is over, or the officer left.".to_owned(),
                    cite: None,
                    fix: Some("File a new request, under a paper that counts.".to_owned()),
                }],
                AnswerState::Approved | AnswerState::Waiting => return None,
            };
            Some(Refusal { keeper: keeper.index, name: keeper.name.clone(), register: answer.register, reasons })
        })
        .collect()
}

fn register(status: &DeskStatus) -> Vec<(u8, String, u64)> {
    status
        .keepers
        .iter()
        .filter_map(|keeper| Some((keeper.index, keeper.name.clone(), keeper.answer.as_ref()?.register)))
        .collect()
}

fn destroyed(status: &DeskStatus) -> u32 {
    status
        .keepers
        .iter()
        .filter_map(|keeper| keeper.answer.as_ref())
        .map(|answer| answer.epochs_destroyed)
        .max()
        .unwrap_or(0)
}
