//! One question to several owners in one command. Each owner gets a request of its own: own elements, own window, own keepers, own law, own
//! answer; nothing is pooled, and no owner learns of the others. This module draws the requests up, waits for all of them at once, and
//! says what became of each as soon as it is known. It must never let one owner wait for another, or pass a silent owner off as "no match".
//! One owner is the same path with one request.
//!
//! Between the calls a search of several owners is one file beside the pending requests: their owners, numbers and ends, sealed to the
//! officer's key. Its number is the hash of theirs.

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, FuturesUnordered, StreamExt as _, TryStreamExt as _};
use lockplate_core::authorisation::owners_named;
use lockplate_core::charter::CharterFile;
use lockplate_core::id::AgencyId;
use lockplate_core::sign::SigningKey;
use lockplate_core::signed::SignedObject;
use lockplate_store::durable;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::package::holds_only;
use super::pending::{Pending, TORN, open_sealed, seal_to};
use super::{Asked, Fetched, Filed, Keep, Officer, SearchFault, Searcher, check_package_folder};
use crate::api::DeskStatus;
use crate::client::PeerClient;
use crate::clock::Clock;
use crate::rng::SystemRng;
use crate::shutdown::ExitKind;

/// Owners that one officer's configuration names, and one command asks.
pub const OWNERS_MAX: usize = 100;
/// Requests that are handed to the own desk at a time.
const FILINGS_AT_A_TIME: usize = 4;
/// Domain of the federation's number, its file's key and associated data.
const LABEL: &[u8] = b"LPv1 federated search";
/// First byte of the file.
const VERSION: u8 = 1;
/// Bytes of one request in the file: owner, request digest, end.
const PART_BYTES: usize = 16 + 32 + 1;

/// An owner that may be asked: the charter is pinned by the caller.
#[derive(Debug, Clone)]
pub struct NamedOwner {
    /// The name by which the officer asks for it; none for that of its charter.
    pub name: Option<String>,
    /// Its charter.
    pub charter: CharterFile,
}

impl NamedOwner {
    /// The name by which it is asked for.
    #[must_use]
    pub fn called(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.charter.charter().owner.name)
    }

    /// Place of the owner of this id, or of this name in whatever case.
    #[must_use]
    pub fn find(owners: &[Self], text: &str) -> Option<usize> {
        find(owners.iter().map(|owner| (owner.charter.charter().owner.id, owner.called())), text)
    }
}

/// An owner and who searches its archive.
#[derive(Debug)]
struct Owner {
    name: String,
    id: AgencyId,
    searcher: Searcher,
}

/// How a request ended for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With reads.
    Found,
    /// No match, checked.
    NoMatch,
    /// Refused by its owner's keepers.
    Refused,
    /// The hours asked for are destroyed.
    Gone,
}

impl End {
    const fn of(ended: &Result<Fetched, SearchFault>) -> Option<Self> {
        match ended {
            // Undisclosed, it has to be fetched again.
            Ok(fetched) if fetched.disclosure.is_none() => None,
            Ok(fetched) if fetched.found.is_empty() => Some(Self::NoMatch),
            Ok(_) => Some(Self::Found),
            Err(SearchFault::Refused(_)) => Some(Self::Refused),
            Err(SearchFault::Gone | SearchFault::Over) => Some(Self::Gone),
            Err(
                SearchFault::Usage(_)
                | SearchFault::NotSignedIn
                | SearchFault::Lied { .. }
                | SearchFault::Unavailable(_)
                | SearchFault::Waiting(_)
                | SearchFault::File(_)
                | SearchFault::Internal(_),
            ) => None,
        }
    }

    const fn code(end: Option<Self>) -> u8 {
        match end {
            None => 0,
            Some(Self::Found) => 1,
            Some(Self::NoMatch) => 2,
            Some(Self::Refused) => 3,
            Some(Self::Gone) => 4,
        }
    }

    const fn of_code(code: u8) -> Result<Option<Self>, SearchFault> {
        Ok(match code {
            0 => None,
            1 => Some(Self::Found),
            2 => Some(Self::NoMatch),
            3 => Some(Self::Refused),
            4 => Some(Self::Gone),
            _ => return Err(TORN),
        })
    }
}

/// One owner's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Place of the owner ([`Federation::name`]).
    pub owner: usize,
    /// Number of the request.
    pub request: [u8; 32],
    /// How it ended, if it has and the officer was told.
    pub end: Option<End>,
}

/// Requests that are signed and on this machine's disk. Nobody has heard of them.
#[derive(Debug)]
pub struct Drafted {
    /// Number by which the search is gone on with: of the one request, or of the federation.
    pub number: [u8; 32],
    /// The requests, with what each asks.
    pub parts: Vec<(Part, Filed)>,
    /// Owners that cannot be asked this, and why; in a search of one owner that is an error.
    pub left_out: Vec<(usize, SearchFault)>,
}

/// What became known of one owner.
#[derive(Debug)]
pub enum News<'a> {
    /// The own desk has the request.
    Filed,
    /// Where it stands.
    Status(&'a DeskStatus),
    /// The answer, or why there is none.
    Ended(&'a Result<Fetched, SearchFault>),
}

/// Is told what becomes known of each request, in the order in which it does.
pub type Told<'a> = dyn FnMut(&Part, News<'_>) + Send + 'a;

/// How the requests of a search ended, counted. Adds up to the owners that were asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Reads found.
    pub found: usize,
    /// No match, checked.
    pub no_match: usize,
    /// Refused.
    pub refused: usize,
    /// Hours destroyed.
    pub gone: usize,
    /// Somebody lied, and there is no result.
    pub lied: usize,
    /// Not all keepers have said something yet, or a person is asked.
    pub waiting: usize,
    /// Cannot be reached.
    pub unavailable: usize,
    /// Failed on this machine or at the own desk.
    pub failed: usize,
    /// The exit code of what failed.
    pub worst: Option<ExitKind>,
}

impl Tally {
    fn end(&mut self, end: End) {
        let count = match end {
            End::Found => &mut self.found,
            End::NoMatch => &mut self.no_match,
            End::Refused => &mut self.refused,
            End::Gone => &mut self.gone,
        };
        *count = count.saturating_add(1);
    }

    /// Counts one owner's end.
    pub fn count(&mut self, ended: &Result<Fetched, SearchFault>) {
        let fault = match ended {
            Ok(fetched) => return self.end(if fetched.is_no_match() { End::NoMatch } else { End::Found }),
            Err(fault) => fault,
        };
        let count = match fault {
            SearchFault::Refused(_) => return self.end(End::Refused),
            SearchFault::Gone | SearchFault::Over => return self.end(End::Gone),
            SearchFault::Lied { .. } => &mut self.lied,
            SearchFault::Waiting(_) => &mut self.waiting,
            SearchFault::Unavailable(_) => &mut self.unavailable,
            SearchFault::Usage(_) | SearchFault::NotSignedIn | SearchFault::File(_) | SearchFault::Internal(_) => {
                let worst = self.worst.filter(|worst| *worst == ExitKind::Internal);
                self.worst = worst.or(Some(fault.exit_kind()));
                &mut self.failed
            }
        };
        *count = count.saturating_add(1);
    }

    /// Owners with an answer that was opened and proved.
    #[must_use]
    pub const fn answered(&self) -> usize {
        self.found.saturating_add(self.no_match)
    }

    /// Owners whose request stands: it can be fetched later.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.waiting.saturating_add(self.unavailable)
    }

    /// The exit code of the whole, the first that holds: somebody lied (5), something failed here (1, 3, 2), an owner's answer is still
    /// to come (6), an owner answered (0), one refused (4), all that was asked for is destroyed (8). So 0 means that every owner has said
    /// its last word and one at least has searched. With one owner it is that owner's.
    #[must_use]
    pub fn exit_kind(&self) -> ExitKind {
        if self.lied > 0 {
            return ExitKind::Lied;
        }
        if let Some(worst) = self.worst {
            return worst;
        }
        if self.open() > 0 {
            ExitKind::Unavailable
        } else if self.answered() > 0 {
            ExitKind::Done
        } else if self.refused > 0 {
            ExitKind::Refused
        } else if self.gone > 0 {
            ExitKind::Gone
        } else {
            ExitKind::Done
        }
    }
}

/// The owners that an officer may ask, through the one desk of the own agency.
#[derive(Debug)]
pub struct Federation {
    owners: Vec<Owner>,
    folder: PathBuf,
}

impl Federation {
    /// As [`Searcher::new`], for 1 to [`OWNERS_MAX`] owners.
    ///
    /// # Errors
    /// `File` where there are none or too many, where two have one name or one id, or where a charter's address cannot be used.
    pub fn new(
        owners: Vec<NamedOwner>,
        desk: &PeerClient,
        folder: &Path,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, SearchFault> {
        if owners.is_empty() || owners.len() > OWNERS_MAX {
            return Err(SearchFault::File("an officer's configuration names 1 to 100 owners"));
        }
        let mut made: Vec<Owner> = Vec::with_capacity(owners.len());
        for NamedOwner { name, charter } in owners {
            let owner = &charter.charter().owner;
            let (name, id) = (name.unwrap_or_else(|| owner.name.clone()), owner.id);
            if made.iter().any(|other| other.id == id || is_named(&other.name, &name)) {
                return Err(SearchFault::File(
                    "an owner, or a name of one, stands twice in the officer's configuration",
                ));
            }
            let mut searcher = Searcher::new(charter, desk.clone(), folder.to_owned(), Arc::clone(clock))?;
            if let Some(first) = made.first() {
                searcher.load = Arc::clone(&first.searcher.load);
            }
            made.push(Owner { name, id, searcher });
        }
        Ok(Self { owners: made, folder: folder.to_owned() })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Never: there is one at least.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// The name of an owner; empty for a place that is none.
    #[must_use]
    pub fn name(&self, owner: usize) -> &str {
        self.owners.get(owner).map_or("", |owner| &owner.name)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self, owner: usize) -> Option<AgencyId> {
        self.owners.get(owner).map(|owner| owner.id)
    }

    /// Its charter.
    #[must_use]
    pub fn charter(&self, owner: usize) -> Option<&CharterFile> {
        self.owners.get(owner).map(|owner| &owner.searcher.charter)
    }

    /// The owner of this id, or of this name in whatever case.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<usize> {
        find(self.owners.iter().map(|owner| (owner.id, owner.name.as_str())), text)
    }

    /// Of `owners`, those whom the attached paper names; all where there is no paper or it names nobody. The others' keepers could only
    /// refuse, and each refusal would stand in a public log under the officer's name.
    #[must_use]
    pub fn named_by_paper(&self, owners: &[usize], asked: &Asked) -> Vec<usize> {
        let paper = asked.authorisation.as_deref().and_then(|file| SignedObject::parse(file).ok());
        let Some(named) = paper.as_ref().and_then(owners_named) else { return owners.to_vec() };
        owners.iter().copied().filter(|at| self.id(*at).is_some_and(|id| named.contains(&id))).collect()
    }

    /// Draws up and signs a request to each of `owners`; what is needed to open the answers is sealed to the folder. Nothing is sent.
    ///
    /// # Errors
    /// `Usage` where no owner can be asked this; `File`.
    pub fn draft<R: CryptoRng + Send>(
        &self,
        officer: &Officer,
        asked: &Asked,
        owners: &[usize],
        rng: &mut R,
    ) -> Result<Drafted, SearchFault> {
        let (mut parts, mut left_out) = (Vec::new(), Vec::new());
        for at in owners {
            let owner = self.owner(*at)?;
            match owner.searcher.draft(officer, asked, rng) {
                Ok((pending, filed)) => {
                    parts.push((Part { owner: *at, request: pending.request_digest, end: None }, filed));
                }
                // Periods differ: a window can hold a whole one here and none there.
                Err(fault @ SearchFault::Usage(_)) => left_out.push((*at, fault)),
                Err(fault) => return Err(fault),
            }
        }
        let number = match parts.as_slice() {
            [] => {
                let first = left_out.into_iter().next().map(|(_, fault)| fault);
                return Err(first.unwrap_or(SearchFault::Usage("no owner is asked")));
            }
            [(only, _)] => only.request,
            many => {
                let parts: Vec<Part> = many.iter().map(|(part, _)| *part).collect();
                let number = number_of(&parts);
                self.save(&number, &parts, &officer.key, rng)?;
                number
            }
        };
        Ok(Drafted { number, parts, left_out })
    }

    /// Hands the requests to the own desk and returns when it has them on stable storage.
    ///
    /// # Errors
    /// As [`Searcher::file`], where the desk does not take the first one or does not know the officer. What becomes of the others is told.
    pub async fn file(&self, officer: &Officer, drafted: &Drafted, told: &mut Told<'_>) -> Result<Tally, SearchFault> {
        self.each(officer, &parts_of(drafted), Until::Filed, told).await.map(|(tally, _)| tally)
    }

    /// [`file`](Self::file), and [`fetch`](Self::fetch) of each request as soon as the desk has it.
    ///
    /// # Errors
    /// As both.
    pub async fn search(
        &self,
        officer: &Officer,
        drafted: &Drafted,
        wait: Duration,
        keep: Keep<'_>,
        told: &mut Told<'_>,
    ) -> Result<Tally, SearchFault> {
        let (tally, ends) = self.each(officer, &parts_of(drafted), Until::FiledAndFetched(wait, keep), told).await?;
        self.forget(&drafted.number, &ends)?;
        Ok(tally)
    }

    /// The requests of a number: of a federation, or the one request that it is the number of.
    fn parts(&self, officer: &SigningKey, number: &[u8; 32]) -> Result<Vec<Part>, SearchFault> {
        let Some(bytes) = open_sealed(&self.path(number), LABEL, number, officer)? else {
            let pending = Pending::load(&self.folder, officer, number)?;
            let of_charter = |owner: &Owner| owner.searcher.charter.hash() == pending.charter_hash;
            let owner = self.owners.iter().position(of_charter).ok_or(OTHER_OWNER)?;
            return Ok(vec![Part { owner, request: *number, end: None }]);
        };
        let parts = self.decode(&bytes)?;
        if number_of(&parts) == *number { Ok(parts) } else { Err(TORN) }
    }

    /// How many requests a number stands for.
    ///
    /// # Errors
    /// `File` where there is no such search here, or it is not this officer's.
    pub fn requests(&self, officer: &Officer, number: &[u8; 32]) -> Result<usize, SearchFault> {
        self.parts(&officer.key, number).map(|parts| parts.len())
    }

    /// Where the requests of a search stand, as the own desk says. Where only one owner is configured, also of a request that was fetched.
    ///
    /// # Errors
    /// `File` where there is no such search here; as [`Searcher::status`].
    pub async fn status(&self, officer: &Officer, number: &[u8; 32]) -> Result<Vec<(Part, DeskStatus)>, SearchFault> {
        let parts = match self.parts(&officer.key, number) {
            Err(SearchFault::File(_)) if self.owners.len() == 1 => {
                vec![Part { owner: 0, request: *number, end: None }]
            }
            parts => parts?,
        };
        let ask = |part: Part| async move {
            let status = self.owner(part.owner)?.searcher.status(officer, &part.request).await?;
            Ok::<_, SearchFault>((part, status))
        };
        stream::iter(parts.into_iter().map(ask)).buffered(FILINGS_AT_A_TIME).try_collect().await
    }

    /// Waits for the answers of filed requests, each at most `wait`, opens and discloses them. Those that ended before are counted and not
    /// asked for again.
    ///
    /// # Errors
    /// `File` where there is no such search here; `NotSignedIn`. How each request ended is told and counted.
    pub async fn fetch(
        &self,
        officer: &Officer,
        number: &[u8; 32],
        wait: Duration,
        keep: Keep<'_>,
        told: &mut Told<'_>,
    ) -> Result<Tally, SearchFault> {
        let parts = self.parts(&officer.key, number)?;
        let (tally, ends) = self.each(officer, &parts, Until::Fetched(wait, keep), told).await?;
        self.forget(number, &ends)?;
        Ok(tally)
    }

    /// Takes every request that has not ended as far as `until` says, all at once; the counts, and the requests with their ends.
    async fn each(
        &self,
        officer: &Officer,
        parts: &[Part],
        until: Until<'_>,
        told: &mut Told<'_>,
    ) -> Result<(Tally, Vec<Part>), SearchFault> {
        self.check_folders(parts, until)?;
        let (mut tally, mut ends) = (Tally::default(), parts.to_vec());
        parts.iter().filter_map(|part| part.end).for_each(|end| tally.end(end));
        let told = Mutex::new(told);
        let tell = |part: &Part, news: News<'_>| told.lock().unwrap_or_else(PoisonError::into_inner)(part, news);
        let work = Work {
            officer,
            is_single: parts.len() == 1,
            until,
            filing: Semaphore::new(FILINGS_AT_A_TIME),
            tell: &tell,
        };
        let mut open = parts.iter().enumerate().filter(|(_, part)| part.end.is_none());
        let mut all = FuturesUnordered::new();
        if !matches!(until, Until::Fetched(..))
            && let Some((at, first)) = open.next()
        {
            // A desk that is away, or does not know the officer, is found out by one request and not by a hundred.
            let owner = self.owner(first.owner)?;
            work.send(owner, first).await?;
            all.push(self.one(&work, at, first, true));
        }
        all.extend(open.map(|(at, part)| self.one(&work, at, part, false)));
        let number = (parts.len() > 1).then(|| number_of(parts));
        while let Some((at, part, ended)) = all.next().await {
            let Some(ended) = ended else { continue };
            // A wrong passcode is wrong for all, and five tries lock the officer out.
            if let Err(SearchFault::NotSignedIn) = ended {
                return Err(SearchFault::NotSignedIn);
            }
            tally.count(&ended);
            tell(part, News::Ended(&ended));
            if let (Some(number), Some(end)) = (&number, End::of(&ended)) {
                ends.iter_mut().skip(at).take(1).for_each(|part| part.end = Some(end));
                // The end first: after a crash between the two, a request without an end would have nothing to go on with.
                self.save(number, &ends, &officer.key, &mut SystemRng)?;
                Pending::remove(&self.folder, &part.request)?;
            }
        }
        Ok((tally, ends))
    }

    /// Before anybody is asked or told: the packages that are still to be written have a place.
    fn check_folders(&self, parts: &[Part], until: Until<'_>) -> Result<(), SearchFault> {
        let (Until::FiledAndFetched(_, Keep::Package { folder }) | Until::Fetched(_, Keep::Package { folder })) = until
        else {
            return Ok(());
        };
        match parts {
            [_] => check_package_folder(folder),
            many => {
                let name = |part: &Part| self.owner(part.owner).map(|owner| owner.id.to_string());
                // Packages of owners that have answered before lie there.
                let ended = many.iter().filter(|part| part.end.is_some()).map(name).collect::<Result<Vec<_>, _>>()?;
                holds_only(folder, |file| ended.iter().any(|name| file == name.as_str()))
            }
        }
    }

    /// One request to its end; no end where it was to be filed only.
    async fn one<'a>(
        &self,
        work: &Work<'_>,
        at: usize,
        part: &'a Part,
        is_sent: bool,
    ) -> (usize, &'a Part, Option<Result<Fetched, SearchFault>>) {
        let ended = async {
            let owner = self.owner(part.owner)?;
            if !is_sent && !matches!(work.until, Until::Fetched(..)) {
                work.send(owner, part).await?;
            }
            match work.until {
                Until::Filed => Ok(None),
                Until::FiledAndFetched(wait, keep) | Until::Fetched(wait, keep) => {
                    let mut seen = |status: &DeskStatus| (work.tell)(part, News::Status(status));
                    // Each owner's answer stands for itself, in a folder of its own where there are several.
                    let own = keep.folder().filter(|_| !work.is_single).map(|folder| folder.join(owner.id.to_string()));
                    let keep = match (&own, keep.folder()) {
                        (Some(own), Some(folder)) => {
                            make_folders(folder, own, keep)?;
                            keep.within(own)
                        }
                        _ => keep,
                    };
                    owner.searcher.fetch_kept(work.officer, &part.request, wait, keep, &mut seen).await.map(Some)
                }
            }
        };
        (at, part, ended.await.transpose())
    }

    /// Nothing of a federation is kept once all its requests have ended.
    fn forget(&self, number: &[u8; 32], ends: &[Part]) -> Result<(), SearchFault> {
        if ends.len() < 2 || ends.iter().any(|part| part.end.is_none()) {
            return Ok(());
        }
        // Left by a crash after the end of one was written down.
        ends.iter().try_for_each(|part| Pending::remove(&self.folder, &part.request))?;
        durable::remove(&self.path(number)).map_err(|_os| SearchFault::File("the finished search could not be removed"))
    }

    fn owner(&self, at: usize) -> Result<&Owner, SearchFault> {
        self.owners.get(at).ok_or(OTHER_OWNER)
    }

    fn path(&self, number: &[u8; 32]) -> PathBuf {
        self.folder.join(format!("{}.federation", hex::encode(number)))
    }

    fn save(
        &self,
        number: &[u8; 32],
        parts: &[Part],
        officer: &SigningKey,
        rng: &mut impl CryptoRng,
    ) -> Result<(), SearchFault> {
        let mut plaintext = Vec::with_capacity(PART_BYTES.saturating_mul(parts.len()).saturating_add(1));
        plaintext.push(VERSION);
        for part in parts {
            plaintext.extend_from_slice(&self.id(part.owner).ok_or(OTHER_OWNER)?.0);
            plaintext.extend_from_slice(&part.request);
            plaintext.push(End::code(part.end));
        }
        seal_to(&self.path(number), LABEL, number, officer, &plaintext, rng)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<Part>, SearchFault> {
        let Some((&VERSION, rest)) = bytes.split_first() else { return Err(TORN) };
        let (parts, []) = rest.as_chunks::<PART_BYTES>() else { return Err(TORN) };
        if parts.is_empty() || parts.len() > OWNERS_MAX {
            return Err(TORN);
        }
        let part = |bytes: &[u8; PART_BYTES]| {
            let (id, rest) = bytes.split_first_chunk::<16>().ok_or(TORN)?;
            let (request, rest) = rest.split_first_chunk::<32>().ok_or(TORN)?;
            let &[end] = rest else { return Err(TORN) };
            let owner = self.owners.iter().position(|owner| owner.id.0 == *id).ok_or(OTHER_OWNER)?;
            Ok(Part { owner, request: *request, end: End::of_code(end)? })
        };
        parts.iter().map(part).collect()
    }
}

const OTHER_OWNER: SearchFault =
    SearchFault::File("the search asks an owner that the officer's configuration does not name any more");

/// How far each request is taken.
#[derive(Debug, Clone, Copy)]
enum Until<'a> {
    Filed,
    FiledAndFetched(Duration, Keep<'a>),
    Fetched(Duration, Keep<'a>),
}

struct Work<'a> {
    officer: &'a Officer,
    is_single: bool,
    until: Until<'a>,
    filing: Semaphore,
    tell: &'a (dyn Fn(&Part, News<'_>) + Send + Sync + 'a),
}

impl Work<'_> {
    async fn send(&self, owner: &Owner, part: &Part) -> Result<(), SearchFault> {
        let _turn = self.filing.acquire().await;
        let pending = Pending::load(&owner.searcher.folder, &self.officer.key, &part.request)?;
        owner.searcher.send(self.officer, &pending).await?;
        (self.tell)(part, News::Filed);
        Ok(())
    }
}

/// The folder of all owners, closed to others, and for holds that of one; a package makes its own.
fn make_folders(folder: &Path, own: &Path, keep: Keep<'_>) -> Result<(), SearchFault> {
    let made = durable::create_dir(folder).and_then(|()| match keep {
        Keep::Hold { .. } => durable::create_dir(own),
        Keep::Nothing | Keep::Package { .. } => Ok(()),
    });
    made.map_err(|_os| SearchFault::File("the folder for what is kept cannot be made"))
}

fn parts_of(drafted: &Drafted) -> Vec<Part> {
    drafted.parts.iter().map(|(part, _)| *part).collect()
}

/// SHA-256 over the label and the numbers of the requests, in the order in which owners were asked.
fn number_of(parts: &[Part]) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(LABEL);
    for part in parts {
        hash.update(part.request);
    }
    hash.finalize().into()
}

fn find<'a>(owners: impl Iterator<Item = (AgencyId, &'a str)> + Clone, text: &str) -> Option<usize> {
    let id = AgencyId::parse(text);
    let by_id = owners.clone().position(|(own, _)| Some(own) == id);
    by_id.or_else(|| owners.clone().position(|(_, name)| is_named(name, text)))
}

fn is_named(name: &str, text: &str) -> bool {
    name.trim().to_lowercase() == text.trim().to_lowercase()
}

#[cfg(test)]
mod tests;
