//! The keeper's own people at the keeper's own machine: which requests wait for a decision, and the decision. The door is a
//! Unix socket of mode 0600 in the data folder; what comes over it is still believed only by the signature of a key that the
//! charter names for this keeper. One line of JSON asks, one line answers, then the connection ends.
//!
//! The answer shows the plate: the keeper's node opens its own Opening for its own people, and for nobody else.

use core::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_core::id::KeeperIndex;
use lockplate_core::keeper::{HumanDecision, Verdict};
use lockplate_core::person::ByPerson;
use lockplate_core::sign::SigningKey;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::db;
use super::office::{Desk, Fault, Office};
use super::requests::place;
use crate::api::{B64, KeeperAnswer, ReasonText};
use crate::problem::ProblemKind;
use crate::shutdown::{ExitKind, Tasks};
use crate::witness::{StandingError, Witness};

/// Name of the socket in the data folder.
pub const SOCKET_NAME: &str = "admin.sock";

/// Waiting requests of one answer.
pub const WAITING_MAX: u32 = 100;

/// Bytes of a question.
const ASKED_BYTES_MAX: u64 = 16 * 1024;

/// Bytes of an answer: a hundred requests with 32 KiB of facts each.
const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Least digits of a digest's beginning by which a request is named.
const PREFIX_DIGITS_MIN: usize = 4;

/// Longest time for one exchange.
const EXCHANGE_MAX: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
enum Asked {
    Waiting {},
    Decide { decision: B64 },
    Witnessed {},
    Clear { origin: String },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
enum Said {
    Waiting { requests: Vec<WaitingRequest> },
    Decided { answer: KeeperAnswer },
    Witnessed { logs: Vec<WitnessedLog> },
    Cleared { was_frozen: bool },
    Refused { problem: String },
}

/// A request that waits for one of this keeper's people, as the Opening says it and the keeper verified it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingRequest {
    /// Request digest, 64 hex digits.
    pub digest: String,
    /// This keeper's place in the charter.
    pub keeper: u8,
    /// The asking agency's id.
    pub requester: String,
    /// Its name in the charter, or empty.
    pub requester_name: String,
    /// The officer's pseudonym of this year, as in the public register, 20 hex digits.
    pub officer: String,
    /// The agency for which it asks.
    pub on_behalf_of: String,
    /// Its name in the charter, or empty.
    pub on_behalf_of_name: String,
    /// Purpose, as in the policy schema.
    pub purpose: String,
    /// Legal basis stated.
    pub basis: String,
    /// Digest of the court paper, hex; none without one. Rules that name a court's paper took part only if it was verified.
    pub authorisation: Option<String>,
    /// How the machine verified a court paper, as in the policy schema: none, custodianAttested, courtKey.
    pub assurance: String,
    /// A paper by a judge that counts for this request.
    pub judicial: bool,
    /// Statutory declarations of the two agencies that are in force here.
    pub declarations: Vec<String>,
    /// Fingerprints (digests, hex) of the files that came along.
    pub attachments: Vec<String>,
    /// The plate.
    pub plate: String,
    /// Its state, if named.
    pub state: Option<String>,
    /// Spellings asked for.
    pub spellings: u32,
    /// Window, from (inclusive) and to (exclusive), unix seconds.
    pub window: (u64, u64),
    /// Case number.
    pub case_number: String,
    /// Offence in words.
    pub offence: String,
    /// Class of the offence, as in the policy schema.
    pub offence_class: String,
    /// Facts stated.
    pub facts: String,
    /// Declared as an emergency.
    pub emergency: bool,
    /// Its paper was withdrawn or is over, or its officer has left: a yes is not possible any more.
    pub lapsed: bool,
    /// The reads are to be kept as evidence.
    pub hold: bool,
    /// Second persons whose signature was verified.
    pub second_signatures: u32,
    /// Epochs the rules allow.
    pub epochs: u32,
    /// The rules that took part.
    pub rules: Vec<String>,
    /// What they say, in their order; those that say nothing are left out.
    pub rule_words: Vec<ReasonText>,
    /// Entry in the public log.
    pub register: u64,
    /// Nothing can be decided from then on, unix seconds.
    pub not_after: u64,
}

/// A log that this keeper witnesses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessedLog {
    /// Its origin.
    pub origin: String,
    /// Entries that were confirmed; none if it never asked.
    pub size: Option<u64>,
    /// There is evidence against it; nothing of it is confirmed before a person has cleared it.
    pub frozen: bool,
    /// Bodies that are kept against it.
    pub evidence: usize,
}

impl fmt::Debug for WaitingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WaitingRequest(..)")
    }
}

impl Office {
    pub(super) fn list_waiting(
        &mut self,
        connection: &mut Connection,
        now: Timestamp,
    ) -> Result<Vec<WaitingRequest>, Fault> {
        let rows = db::requests_waiting(connection, WAITING_MAX)?;
        let shown = rows.iter().filter(|row| self.may_be_decided(row, now)).map(|row| self.show(connection, row, now));
        shown.collect()
    }

    /// Entry in the log, since when it waits, and until when, of every request that waits for a person; nothing is opened.
    pub(super) fn waiting_numbers(&mut self, connection: &mut Connection, now: Timestamp) -> Result<Vec<Waits>, Fault> {
        let rows = db::requests_waiting(connection, WAITING_MAX)?;
        let open = rows.iter().filter(|row| self.may_be_decided(row, now));
        let numbers = open.filter_map(|row| Some(Waits { number: row.record.leaf_index?, since: row.record.time }));
        Ok(numbers.collect())
    }

    /// A person decides on what stands in a confirmed log, and in time, only.
    fn may_be_decided(&self, row: &db::RequestRow, now: Timestamp) -> bool {
        let published = self.releaser.published();
        row.record.leaf_index.is_some_and(|index| index < published) && now < row.record.not_after
    }

    fn show(&self, connection: &Connection, row: &db::RequestRow, now: Timestamp) -> Result<WaitingRequest, Fault> {
        let opened = self.reopen(connection, row)?;
        let (asked, statement) = (opened.request(), opened.text().statement.statement());
        let paper = asked.authorisation_digest;
        let count = |many: usize| u32::try_from(many).unwrap_or(u32::MAX);
        let name_of = |id| self.charter().agency(id).map(|page| page.name.clone()).unwrap_or_default();
        let register = row.record.leaf_index.unwrap_or(0);
        let leaf = self.logged_request(register)?.leaf;
        let mut declarations = self.declared(connection, asked.requester_agency, now)?;
        if statement.on_behalf_of != asked.requester_agency {
            declarations.extend(self.declared(connection, statement.on_behalf_of, now)?);
        }
        let policy = self.keeper.policy();
        Ok(WaitingRequest {
            digest: hex::encode(row.record.request_digest),
            keeper: place(self.index()),
            requester: asked.requester_agency.to_string(),
            requester_name: name_of(asked.requester_agency),
            officer: hex::encode(leaf.officer),
            on_behalf_of: statement.on_behalf_of.to_string(),
            on_behalf_of_name: name_of(statement.on_behalf_of),
            purpose: asked.purpose.name().to_owned(),
            basis: asked.basis.name().to_owned(),
            authorisation: (paper != [0; 32]).then(|| hex::encode(paper)),
            assurance: leaf.assurance.name().to_owned(),
            judicial: leaf.judicial,
            declarations: declarations.into_iter().map(|name| name.name().to_owned()).collect(),
            attachments: statement.attachments.iter().map(hex::encode).collect(),
            plate: statement.plate.text.clone(),
            state: statement.plate.state.map(|state| state.code().to_owned()),
            spellings: count(asked.elements.len()),
            window: (asked.win_from.0, asked.win_to.0),
            case_number: statement.case_number.clone(),
            offence: statement.offence.text.clone(),
            offence_class: statement.offence.class.name().to_owned(),
            facts: statement.facts.clone(),
            emergency: statement.emergency,
            lapsed: !self.still_stands(connection, row, now)?,
            hold: statement.hold,
            second_signatures: count(opened.filed().seconds.len()),
            epochs: count(row.record.epochs.len()),
            rules: row.record.rules.iter().cloned().collect(),
            rule_words: row.record.rules.iter().filter_map(|rule| policy.explain(rule)).map(ReasonText::from).collect(),
            register,
            not_after: row.record.not_after.0,
        })
    }
}

/// A request that waits, without anything of what it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    /// Entry in the public log.
    pub(super) number: u64,
    /// When it was decided that a person is asked.
    pub(super) since: Timestamp,
}

/// Binds the socket, in place of one that an earlier process left. The caller holds the lock of the data folder.
///
/// # Errors
/// Where the operating system refuses the address or its mode.
pub(super) fn bind(socket: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // The folder is of mode 0700, so nobody else gets in between these two steps.
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers at the socket until `tasks` stop.
pub(super) fn serve(listener: UnixListener, desk: Desk, witness: Witness, tasks: &Tasks) {
    let stopping = tasks.stopping().clone();
    let connections = tasks.clone();
    tasks.spawn_essential("admin", async move {
        loop {
            let accepted = tokio::select! {
                () = stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (desk, witness) = (desk.clone(), witness.clone());
                    connections.spawn("admin-connection", async move {
                        if !matches!(
                            tokio::time::timeout(EXCHANGE_MAX, exchange(stream, &desk, &witness)).await,
                            Ok(Ok(()))
                        ) {
                            tracing::debug!("an exchange at the admin socket ended early");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(kind = ?error.kind(), "a connection at the admin socket could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
}

async fn exchange(mut stream: UnixStream, desk: &Desk, witness: &Witness) -> std::io::Result<()> {
    let (reading, mut writing) = stream.split();
    let mut line = String::new();
    BufReader::new(reading.take(ASKED_BYTES_MAX)).read_line(&mut line).await?;
    let said = match serde_json::from_str::<Asked>(&line) {
        Err(_shown_to_nobody) => Err(ProblemKind::Malformed),
        Ok(Asked::Waiting {}) => desk.visit(Office::list_waiting).await.map(|requests| Said::Waiting { requests }),
        Ok(Asked::Decide { decision: B64(decision) }) => {
            let told = desk.answer(move |office, db, now| office.conclude(db, &decision, now)).await;
            told.and_then(|told| {
                let answer = serde_json::from_slice(&told).map_err(|_our_own| ProblemKind::Internal)?;
                Ok(Said::Decided { answer })
            })
        }
        Ok(Asked::Witnessed {}) => witness.standings().await.map_err(problem_of).map(|logs| {
            let logs = logs.into_iter().map(|log| WitnessedLog {
                origin: log.origin.as_str().to_owned(),
                size: log.size,
                frozen: log.frozen,
                evidence: log.evidence,
            });
            Said::Witnessed { logs: logs.collect() }
        }),
        Ok(Asked::Clear { origin }) => {
            witness.clear(&origin).await.map_err(problem_of).map(|was_frozen| Said::Cleared { was_frozen })
        }
    };
    let said = said.unwrap_or_else(|problem| Said::Refused { problem: problem.slug().to_owned() });
    let mut text = serde_json::to_vec(&said)?;
    text.push(b'\n');
    writing.write_all(&text).await?;
    writing.shutdown().await
}

const fn problem_of(error: StandingError) -> ProblemKind {
    match error {
        StandingError::Unknown => ProblemKind::NotFound,
        StandingError::Disk => ProblemKind::Unavailable,
    }
}

/// Why the keeper's own people got no answer.
#[derive(Debug)]
pub enum AdminError {
    /// Nobody answers at the socket: no keeper runs on this folder, or not as this user.
    Unreachable(std::io::Error),
    /// The answer is not one of this version.
    Malformed,
    /// No waiting request begins with these digits, or they are fewer than four.
    NoSuchRequest,
    /// More than one waiting request begins with these digits.
    Ambiguous,
    /// The keeper said no.
    Refused(ProblemKind),
}

impl AdminError {
    /// The exit code that fits.
    #[must_use]
    pub const fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Unreachable(_) => ExitKind::Unavailable,
            Self::Malformed => ExitKind::Internal,
            Self::NoSuchRequest | Self::Ambiguous => ExitKind::Usage,
            Self::Refused(_) => ExitKind::Refused,
        }
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable(_) => "no keeper answers at its admin socket\nis it running, and are you its user?",
            Self::Malformed => "the keeper's answer is not of this version",
            Self::NoSuchRequest => "no waiting request begins with these digits (give four or more)",
            Self::Ambiguous => "more than one waiting request begins with these digits; give more of them",
            Self::Refused(kind) => kind.detail(),
        })
    }
}

impl core::error::Error for AdminError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Unreachable(cause) => Some(cause),
            Self::Malformed | Self::NoSuchRequest | Self::Ambiguous | Self::Refused(_) => None,
        }
    }
}

/// The requests that wait at the keeper of this socket, oldest first, at most [`WAITING_MAX`].
///
/// # Errors
/// [`AdminError`].
pub async fn waiting(socket: &Path) -> Result<Vec<WaitingRequest>, AdminError> {
    match call(socket, &Asked::Waiting {}).await? {
        Said::Waiting { requests } => Ok(requests),
        Said::Decided { .. } | Said::Witnessed { .. } | Said::Cleared { .. } | Said::Refused { .. } => {
            Err(AdminError::Malformed)
        }
    }
}

/// The logs that the keeper of this socket witnesses.
///
/// # Errors
/// [`AdminError`].
pub async fn witnessed(socket: &Path) -> Result<Vec<WitnessedLog>, AdminError> {
    match call(socket, &Asked::Witnessed {}).await? {
        Said::Witnessed { logs } => Ok(logs),
        Said::Decided { .. } | Said::Waiting { .. } | Said::Cleared { .. } | Said::Refused { .. } => {
            Err(AdminError::Malformed)
        }
    }
}

/// Has the keeper of this socket confirm a log again, because a person has looked at the evidence. False if it was not frozen.
///
/// # Errors
/// [`AdminError`]; refused with `NotFound` for a log that it does not witness.
pub async fn clear(socket: &Path, origin: &str) -> Result<bool, AdminError> {
    match call(socket, &Asked::Clear { origin: origin.to_owned() }).await? {
        Said::Cleared { was_frozen } => Ok(was_frozen),
        Said::Decided { .. } | Said::Waiting { .. } | Said::Witnessed { .. } | Said::Refused { .. } => {
            Err(AdminError::Malformed)
        }
    }
}

/// Decides the one waiting request whose digest begins with `digest_prefix` (at least four hex digits), signed with the key
/// of one of the keeper's people. `now` is that person's clock.
///
/// # Errors
/// [`AdminError`].
pub async fn decide(
    socket: &Path,
    digest_prefix: &str,
    verdict: Verdict,
    key: &SigningKey,
    now: Timestamp,
) -> Result<KeeperAnswer, AdminError> {
    let prefix = digest_prefix.to_ascii_lowercase();
    let all = waiting(socket).await?;
    let mut found = all.iter().filter(|request| request.digest.starts_with(&prefix));
    let request = found.next().filter(|_| prefix.len() >= PREFIX_DIGITS_MIN).ok_or(AdminError::NoSuchRequest)?;
    if found.next().is_some() {
        return Err(AdminError::Ambiguous);
    }
    let mut request_digest = [0; 32];
    hex::decode_to_slice(&request.digest, &mut request_digest).map_err(|_form| AdminError::Malformed)?;
    let decision = HumanDecision { request_digest, index: KeeperIndex(request.keeper), verdict, time: now };
    match call(socket, &Asked::Decide { decision: B64(ByPerson::with_key(key, decision).to_bytes()) }).await? {
        Said::Decided { answer } => Ok(answer),
        Said::Waiting { .. } | Said::Witnessed { .. } | Said::Cleared { .. } | Said::Refused { .. } => {
            Err(AdminError::Malformed)
        }
    }
}

async fn call(socket: &Path, asked: &Asked) -> Result<Said, AdminError> {
    let mut stream = UnixStream::connect(socket).await.map_err(AdminError::Unreachable)?;
    let mut text = serde_json::to_vec(asked).map_err(|_our_type| AdminError::Malformed)?;
    text.push(b'\n');
    let mut answer = Vec::new();
    let exchanged = async {
        stream.write_all(&text).await?;
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await
    };
    let timed_out = || std::io::Error::from(std::io::ErrorKind::TimedOut);
    match tokio::time::timeout(EXCHANGE_MAX, exchanged).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(AdminError::Unreachable(error)),
        Err(_elapsed) => return Err(AdminError::Unreachable(timed_out())),
    }
    match serde_json::from_slice(&answer).map_err(|_form| AdminError::Malformed)? {
        Said::Refused { problem } => {
            Err(ProblemKind::from_slug(&problem).map_or(AdminError::Malformed, AdminError::Refused))
        }
        said @ (Said::Waiting { .. } | Said::Decided { .. } | Said::Witnessed { .. } | Said::Cleared { .. }) => {
            Ok(said)
        }
    }
}
