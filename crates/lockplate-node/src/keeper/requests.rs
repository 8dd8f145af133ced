//! Deciding requests (LPv1 section 8) and ending the waiting of those a person is asked about. The order of work stands in
//! `lockplate_core::keeper`; here stands what is loaded before it and stored after it. A request has one leaf and one answer
//! at this keeper, whatever is repeated (reliability.md I9). Strangers leave no trace: before the officer's signature and the
//! officer's place in a fresh directory hold, nothing is logged or stored.

use std::collections::{BTreeMap, BTreeSet};

use hkdf::Hkdf;
use lockplate_core::Timestamp;
use lockplate_core::approval::{Approval, Decided};
use lockplate_core::authorisation::{Step, agency_keys};
use lockplate_core::charter::AUDITORS_MAX;
use lockplate_core::directory::VerifiedDirectory;
use lockplate_core::evidence::{EpochInWindow, Evidence, NotGathered, declarations_in_force, gather};
use lockplate_core::facts::Reason;
use lockplate_core::filing::FilingSlip;
use lockplate_core::id::{AgencyId, KeeperIndex};
use lockplate_core::keeper::{Answer, CodeRule, Decision, DecisionRecord, HumanDecision, Outcome, Verdict};
use lockplate_core::limits::{ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX, ELEMENT_EPOCHS_MAX, OPENING_BYTES_MAX};
use lockplate_core::person::{ByPerson, PersonKey};
use lockplate_core::request::{FiledRequest, SearchRequest, check_opening};
use lockplate_core::sign::{Signed, VerifyKey};
use lockplate_core::signed::SignedObject;
use lockplate_core::vocabulary::DeclarationName;
use lockplate_log::note::VerifierKey;
use lockplate_oprf::Secret;
use rand_core::Rng as _;
use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::Sha256;

use super::office::{Fault, Office};
use super::openings::months::Month;
use super::{db, openings};
use crate::api::{AnswerState, B64, KeeperAnswer, ReasonText, RequestFiled};
use crate::problem::ProblemKind;
use crate::release::Unreleased;
use crate::rng::SystemRng;

/// Recipients of an Opening: keepers and auditors.
const RECIPIENTS_MAX: usize = 32;

/// Length of the periods whose keys hide plates in the counter "same plate within 30 days", seconds. With the period before,
/// one always reaches back 30 days.
const PERIOD_SECONDS: u64 = 30 * 86_400;

/// A request as it came, decoded but not believed.
pub(super) struct Filing {
    pub(super) filed: FiledRequest,
    opening: Vec<u8>,
    escrow: Vec<Vec<u8>>,
    hashes: Vec<[u8; 32]>,
    attachments: Vec<Vec<u8>>,
    session: Option<Vec<u8>>,
    ask_human: bool,
    slip: Signed<FilingSlip>,
    filed_bytes: Vec<u8>,
}

impl Filing {
    /// Checks sizes and shapes; costs nothing but memory that is there already.
    pub(super) fn decode(body: RequestFiled) -> Result<Self, ProblemKind> {
        let attachments: Vec<Vec<u8>> = body.attachments.into_iter().map(|B64(bytes)| bytes).collect();
        let session = body.session.map(|B64(bytes)| bytes);
        let too_long = |bytes: &Vec<u8>| bytes.len() > ATTACHMENT_BYTES_MAX;
        if attachments.len() > ATTACHMENTS_MAX
            || attachments.iter().any(too_long)
            || session.as_ref().is_some_and(too_long)
            || body.opening.0.len() > OPENING_BYTES_MAX
            || body.auditor_openings.len() > AUDITORS_MAX
            || body.auditor_openings.iter().any(|B64(bytes)| bytes.len() > OPENING_BYTES_MAX)
            || body.opening_hashes.len() > RECIPIENTS_MAX
        {
            return Err(ProblemKind::TooLarge);
        }
        let B64(filed_bytes) = body.filed;
        let hash = |B64(bytes): &B64| bytes.as_slice().try_into().map_err(|_length| ProblemKind::Malformed);
        Ok(Self {
            filed: FiledRequest::from_bytes(&filed_bytes).map_err(|_core| ProblemKind::Malformed)?,
            hashes: body.opening_hashes.iter().map(hash).collect::<Result<_, _>>()?,
            opening: body.opening.0,
            escrow: body.auditor_openings.into_iter().map(|B64(bytes)| bytes).collect(),
            attachments,
            session,
            ask_human: body.ask_human,
            slip: Signed::from_bytes(&body.slip.0).map_err(|_core| ProblemKind::Malformed)?,
            filed_bytes,
        })
    }

    /// True if the requester's desk vouches for exactly this filing at exactly this keeper. Without that, whoever has seen the
    /// signed request (another keeper) could file it first, with a spoilt Opening or without its session, and have it refused for
    /// ever.
    fn is_vouched_for(&self, keeper: KeeperIndex, directory: &VerifiedDirectory) -> bool {
        let Ok(desk_key) = directory.body().desk_key.public_key().try_into() else { return false };
        let hashes: Vec<&[u8]> = self.hashes.iter().map(<[u8; 32]>::as_slice).collect();
        let attachments: Vec<&[u8]> = self.attachments.iter().map(Vec::as_slice).collect();
        let session = self.session.as_deref();
        let sent =
            FilingSlip::of(keeper, &self.filed_bytes, &self.opening, &hashes, &attachments, session, self.ask_human);
        self.slip.verify(&VerifyKey(desk_key)).is_ok_and(|vouched| *vouched == sent)
    }
}

/// What is stored beside a decision.
struct Prepared {
    decision: Decision,
    beside: Beside,
}

/// What stands in no record of a decision.
#[derive(Clone, Default)]
struct Beside {
    /// The texts that are asked for, hidden, for the counter of searches for one plate.
    plate_tags: Vec<[u8; 32]>,
    /// Whose searches of the day it counts among.
    person: Option<(AgencyId, [u8; 32])>,
    /// Why the paper that came along does not count.
    paper_fault: Option<Step>,
}

/// What a filing comes to before its leaf.
enum Begun {
    /// There is an answer already.
    Answered(Unreleased<Vec<u8>>),
    /// Decided; the leaf is there from before, or is still to be written.
    Decided { prepared: Box<Prepared>, leaf: Option<u64> },
}

/// Filings of one turn that count in each other's facts are decided one after the other: the second must see the row of the first.
#[derive(Default)]
struct Counted {
    digests: BTreeSet<[u8; 32]>,
    officers: BTreeSet<[u8; 32]>,
    requests: BTreeSet<([u8; 16], [u8; 16])>,
    papers: BTreeSet<[u8; 32]>,
    plates: BTreeSet<[u8; 32]>,
    persons: BTreeSet<(AgencyId, [u8; 32])>,
}

impl Counted {
    /// Notes what a filing says of itself; false if an earlier one of the batch shares any of it.
    fn takes(&mut self, filing: &Filing) -> bool {
        let asked = filing.filed.request.claimed();
        let fresh_paper = asked.authorisation_digest == [0; 32] || self.papers.insert(asked.authorisation_digest);
        let fresh = [
            self.digests.insert(filing.filed.request.signed_hash()),
            self.officers.insert(asked.officer_key),
            self.requests.insert((asked.request_id.0, asked.requester_agency.0)),
            fresh_paper,
        ];
        fresh == [true; 4]
    }

    /// Notes the hidden plate and the person of a decided one; false if an earlier one of the batch was about the same for the same
    /// agency, or of the same person under another key.
    fn takes_decided(&mut self, beside: &Beside) -> bool {
        let before = self.plates.len();
        self.plates.extend(&beside.plate_tags);
        let fresh_plate = self.plates.len() == before.saturating_add(beside.plate_tags.len());
        let fresh_person = beside.person.is_none_or(|person| self.persons.insert(person));
        fresh_plate && fresh_person
    }
}

/// One of several filings and what became of it.
pub(super) type FilingAnswer = Result<Unreleased<Vec<u8>>, Fault>;

impl Office {
    /// `POST /v1/requests`, several at once: each gets the stored answer, or a new one after its leaf; leaves that are new come under one
    /// head, rows in one transaction. What is wrong with one is told to that one alone. The answers are the exact bytes of their JSON, in
    /// the order of the filings.
    pub(super) fn file_requests(
        &mut self,
        connection: &mut Connection,
        filings: Vec<Filing>,
        now: Timestamp,
    ) -> Vec<FilingAnswer> {
        let mut answers: BTreeMap<usize, FilingAnswer> = BTreeMap::new();
        let mut left: Vec<(usize, Filing)> = (0..).zip(filings).collect();
        while !left.is_empty() {
            let mut counted = Counted::default();
            let (mut later, mut decided) = (Vec::new(), Vec::new());
            let facts = match db::at_once(connection) {
                Ok(facts) => facts,
                Err(error) => {
                    answers.extend(left.into_iter().map(|(at, _)| (at, Err(Fault::Db(error)))));
                    break;
                }
            };
            for (at, filing) in left {
                if !counted.takes(&filing) {
                    later.push((at, filing));
                    continue;
                }
                match self.begin_filing(&facts, &filing, now) {
                    Ok(Begun::Answered(answer)) => drop(answers.insert(at, Ok(answer))),
                    // Dropped, a decision was never made: it is decided again when the row of the other one is there.
                    Ok(Begun::Decided { prepared, .. }) if !counted.takes_decided(&prepared.beside) => {
                        later.push((at, filing));
                    }
                    Ok(Begun::Decided { prepared, leaf }) => decided.push((at, filing, *prepared, leaf)),
                    Err(fault) => drop(answers.insert(at, Err(fault))),
                }
            }
            // Before any leaf: what a leaf rests on is durable, or there is none.
            match facts.commit() {
                Ok(()) => self.log_and_store(connection, decided, &mut answers, now),
                Err(error) => {
                    let fault = Fault::from(error);
                    answers.extend(decided.into_iter().map(|(at, ..)| (at, Err(fault.again()))));
                    // What was noted in memory with it counts as little: a repeat notes both again.
                    match db::orders::withdrawn(connection) {
                        Ok(withdrawn) => self.withdrawn = withdrawn,
                        Err(error) => {
                            answers.extend(later.into_iter().map(|(at, _)| (at, Err(Fault::Db(error)))));
                            break;
                        }
                    }
                }
            }
            left = later;
        }
        answers.into_values().collect()
    }

    /// Leaves, then rows. From the leaf on, a retry finds it by its note in `unfinished`, a restart by reading the log.
    fn log_and_store(
        &mut self,
        connection: &mut Connection,
        decided: Vec<(usize, Filing, Prepared, Option<u64>)>,
        answers: &mut BTreeMap<usize, FilingAnswer>,
        now: Timestamp,
    ) {
        let (mut fresh, mut decisions, mut logged) = (Vec::new(), Vec::new(), Vec::new());
        for (at, filing, Prepared { decision, beside }, leaf) in decided {
            match leaf {
                Some(index) => match self.keeper.resume(decision, index) {
                    Ok(answer) => logged.push((at, filing, beside, answer)),
                    Err(error) => drop(answers.insert(at, Err(self.log_fault(error)))),
                },
                None => {
                    fresh.push((at, filing, beside));
                    decisions.push(decision);
                }
            }
        }
        match self.keeper.answer_batch(decisions) {
            Ok(told) => {
                let fresh = fresh.into_iter().zip(told);
                logged.extend(fresh.map(|((at, filing, beside), answer)| (at, filing, beside, answer)));
            }
            Err(error) => {
                for (at, ..) in fresh {
                    answers.insert(at, Err(self.log_fault(error.clone())));
                }
            }
        }
        for (_, filing, _, answer) in &logged {
            if let Some(index) = answer.record().leaf_index {
                self.unfinished.requests.insert(filing.filed.request.signed_hash(), index);
            }
        }
        self.publish();
        let stored = (|| -> Result<Vec<(usize, FilingAnswer)>, Fault> {
            let mut transaction = db::begin(connection)?;
            let mut stored = Vec::new();
            for (at, filing, beside, answer) in &logged {
                let savepoint = transaction.savepoint()?;
                let one = self.store_answer(&savepoint, filing, beside, answer, now);
                match one {
                    Ok(told) => {
                        savepoint.commit()?;
                        stored.push((*at, Ok(told)));
                    }
                    // Dropped, the savepoint takes back what this one wrote; its leaf is found by the retry.
                    Err(fault) => {
                        drop(savepoint);
                        stored.push((*at, Err(fault)));
                    }
                }
            }
            transaction.commit()?;
            Ok(stored)
        })();
        match stored {
            Ok(stored) => {
                for (at, told) in stored {
                    if told.is_ok()
                        && let Some((_, filing, ..)) = logged.iter().find(|(other, ..)| *other == at)
                    {
                        self.unfinished.requests.remove(&filing.filed.request.signed_hash());
                    }
                    answers.insert(at, told);
                }
            }
            Err(fault) => {
                for (at, ..) in &logged {
                    answers.insert(*at, Err(fault.again()));
                }
            }
        }
    }

    /// Everything before the leaf.
    fn begin_filing(&mut self, connection: &Connection, filing: &Filing, now: Timestamp) -> Result<Begun, Fault> {
        let digest = filing.filed.request.signed_hash();
        let asked = filing.filed.request.claimed().clone();
        let requester = self.fresh_directory(connection, asked.requester_agency, now)?;
        let requester = requester.filter(|directory| filing.is_vouched_for(self.index(), directory));
        let Some(requester) = requester else { return Err(ProblemKind::NotSignedIn.into()) };
        if let Some(row) = db::request(connection, &digest)? {
            return Ok(Begun::Answered(resting(row.answer, self.keeper.log().size())));
        }
        let hour = Timestamp(now.0.saturating_sub(3_600));
        if db::requests_of(connection, asked.requester_agency, hour)? >= self.requests_an_hour {
            return Err(ProblemKind::Rate.into());
        }
        filing.filed.verify().map_err(|_signature| ProblemKind::NotSignedIn)?;
        if requester.roles(&asked.officer_key).is_none() {
            return Err(ProblemKind::NotSignedIn.into());
        }
        let all_recipients = filing.hashes.len() == openings::recipients(self.charter());
        if all_recipients && !openings::are_the_auditors(self.charter(), &filing.hashes, &filing.escrow) {
            // The desk's fault and no leaf: what the officer signed may still come whole.
            return Err(ProblemKind::Invalid.into());
        }
        // Before the leaf: afterwards nothing may fail but the disk.
        self.month_key(connection, Month::of(now))?;
        let prepared = Box::new(self.decide(connection, filing, now)?);
        Ok(Begun::Decided { prepared, leaf: self.unfinished.requests.get(&digest).copied() })
    }

    /// The row of a request whose leaf is there.
    fn store_answer(
        &mut self,
        connection: &Connection,
        filing: &Filing,
        Beside { plate_tags, paper_fault, .. }: &Beside,
        answer: &Answer,
        now: Timestamp,
    ) -> FilingAnswer {
        let digest = filing.filed.request.signed_hash();
        let asked = filing.filed.request.claimed();
        let record = answer.record();
        let index = record.leaf_index.ok_or(ProblemKind::Internal)?;
        let told = tell(answer, index, *paper_fault, self)?;
        let due = self.paper_is_due(answer, now)?;
        let paper = (asked.authorisation_digest != [0; 32]).then_some(asked.authorisation_digest);
        let logged = self.logged_request(index)?;
        let month = Month::of(logged.time);
        let month_key = self.month_key(connection, month)?;
        let kept =
            self.wrap_request(&month_key, &filing.filed, &filing.opening, &filing.hashes, &filing.attachments)?;
        let escrow = logged.leaf.escrow.iter().zip(&filing.escrow);
        let escrow: Vec<_> = escrow
            .map(|(named, opening)| Ok((named.auditor, self.wrap_private(&month_key, opening)?)))
            .collect::<Result<_, Fault>>()?;
        let leaf = i64::try_from(index).map_err(|_range| ProblemKind::Internal)?;
        connection.execute(
            "INSERT INTO request (digest, request_id, requester, officer, paper, filed_at, allowed, waits, record, answer,
                                  leaf, month, embargo, kept)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            params![
                digest,
                asked.request_id.0,
                asked.requester_agency.0,
                asked.officer_key,
                paper,
                db::column(record.time),
                record.outcome != Outcome::Deny,
                matches!(answer, Answer::Waiting { .. }),
                record.to_bytes(),
                told,
                leaf,
                month.0,
                db::column(logged.leaf.embargo),
                kept,
            ],
        )?;
        for tag in plate_tags {
            connection.execute("INSERT INTO plate_tag (tag, request) VALUES (?1, ?2)", params![tag, digest])?;
        }
        for (auditor, opening) in escrow {
            let sql = "INSERT INTO escrow (request, auditor, opening) VALUES (?1, ?2, ?3)";
            connection.execute(sql, params![digest, auditor, opening])?;
        }
        if let Some((deadline, due_leaf)) = due {
            self.store_emergency(connection, record, deadline)?;
            return Ok(Unreleased::on_leaf(told, due_leaf));
        }
        Ok(Unreleased::on_leaf(told, index))
    }

    fn decide(&mut self, connection: &Connection, filing: &Filing, now: Timestamp) -> Result<Prepared, Fault> {
        let position = usize::from(self.index().0.saturating_sub(1));
        let opened =
            check_opening(filing.filed.clone(), &filing.opening, filing.hashes.clone(), position, &self.opening_key);
        // An Opening for every recipient of the charter and for nobody else.
        let opened = opened.and_then(|opened| {
            let all = filing.hashes.len() == openings::recipients(self.charter());
            if all {
                Ok(opened)
            } else {
                Err(lockplate_core::Error::invalid("a recipient of the charter was left out"))
            }
        });
        let refused = |office: &Self, NotGathered { rule, paper_fault }| -> Result<Prepared, Fault> {
            let decision = office.keeper.refuse(&filing.filed, rule, now, &mut SystemRng)?;
            Ok(Prepared { decision, beside: Beside { paper_fault, ..Beside::default() } })
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::debug!(what = error.what(), "an Opening was refused");
                return refused(self, CodeRule::Opening.into());
            }
        };
        self.note_superseded(connection, &filing.attachments, now)?;
        let asked = opened.request().clone();
        let statement = opened.text().statement.statement();
        let acted_for = statement.on_behalf_of;
        // Folded, as they are looked for: another spelling of the same car is no other car.
        let texts: BTreeSet<&str> = opened.text().elements.iter().map(|(input, _)| input.folded_text()).collect();
        let tags = self.plate_tags(connection, asked.requester_agency, &texts, now)?;
        let digest = filing.filed.request.signed_hash();
        let (epochs, epochs_destroyed) = self.epochs_of(connection, &asked, now)?;
        let mut directories = BTreeMap::new();
        let mut declarations = Vec::new();
        for agency in [asked.requester_agency, acted_for] {
            if directories.contains_key(&agency) {
                continue;
            }
            if let Some(directory) = self.fresh_directory(connection, agency, now)? {
                directories.insert(agency, directory);
                declarations.extend(filed_declarations(connection, agency)?);
            }
        }
        let requester = directories.get(&asked.requester_agency);
        let person = requester.and_then(|directory| directory.person(&asked.officer_key));
        let counted = db::CountedFor {
            digest: &digest,
            request_id: &asked.request_id.0,
            requester: asked.requester_agency,
            officer_keys: &requester.zip(person).map(|(known, person)| known.keys_of(&person)).unwrap_or_default(),
            paper: &asked.authorisation_digest,
            tags: &tags,
        };
        let counters = db::counters(connection, &counted, now)?;
        let overdue_papers = Self::overdue_papers(connection, [asked.requester_agency, acted_for], self.latest(now))?;
        let evidence = Evidence {
            charter: self.charter(),
            trust: &self.trust,
            withdrawn: &self.withdrawn,
            directories: &directories,
            declarations: &declarations,
            declaration_texts: &self.declaration_texts,
            overdue_papers: &overdue_papers,
            attachments: &filing.attachments,
            session: filing.session.as_deref(),
            factors: &self.factors,
            paper_uses: counters.paper_uses,
            epochs,
            epochs_destroyed,
            prior_same_plate_30d: counters.prior_same_plate_30d,
            requests_last_24h: counters.requests_last_24h,
            replayed: counters.replayed,
            ask_human: filing.ask_human,
        };
        match gather(&opened, evidence, now) {
            Ok(standing) => {
                let decision = self.keeper.decide(opened, &standing, now, &mut SystemRng)?;
                let beside = Beside {
                    plate_tags: tags.into_iter().map(|[this_period, _]| this_period).collect(),
                    person: person.map(|person| (asked.requester_agency, person)),
                    paper_fault: standing.paper_fault,
                };
                Ok(Prepared { decision, beside })
            }
            Err(not_gathered) => refused(self, not_gathered),
        }
    }

    /// Epochs that can be evaluated, and how many of the window are gone.
    fn epochs_of(
        &self,
        connection: &Connection,
        asked: &SearchRequest,
        now: Timestamp,
    ) -> Result<(Vec<EpochInWindow>, u32), Fault> {
        if asked.win_from >= asked.win_to || asked.owner_agency != self.charter().owner.id {
            return Ok((Vec::new(), 0));
        }
        // One more than allowed, so that core sees that it is too many.
        let limit = ELEMENT_EPOCHS_MAX.saturating_add(1);
        let rows = db::epochs_in_window(connection, (asked.win_from, asked.win_to), self.latest(now), limit)?;
        let gone = rows.iter().filter(|row| row.gone).count();
        let epochs = rows
            .iter()
            .filter(|row| !row.gone)
            .map(|row| EpochInWindow { epoch_id: row.id, cap_from: row.cap_from })
            .collect();
        Ok((epochs, u32::try_from(gone).unwrap_or(u32::MAX)))
    }

    /// The keys that sign for an agency now.
    pub(super) fn agency_keys(&self, agency: AgencyId, now: Timestamp) -> Vec<VerifierKey> {
        agency_keys(&self.trust, &self.withdrawn, agency, now)
    }

    /// The declarations of an agency that are in force for this owner.
    pub(super) fn declared(
        &self,
        connection: &Connection,
        agency: AgencyId,
        now: Timestamp,
    ) -> Result<BTreeSet<DeclarationName>, Fault> {
        let Some(directory) = self.fresh_directory(connection, agency, now)? else { return Ok(BTreeSet::new()) };
        let filed = filed_declarations(connection, agency)?;
        let (keys, owner) = (self.agency_keys(agency, now), &self.charter().owner);
        Ok(declarations_in_force(&filed, &directory, &keys, owner, &self.declaration_texts, now))
    }

    /// HMAC of (agency, text) under the key of this period and of the one before, for each text. The keys of older periods are
    /// destroyed, and with them what the tags could tell.
    fn plate_tags(
        &mut self,
        connection: &Connection,
        agency: AgencyId,
        texts: &BTreeSet<&str>,
        now: Timestamp,
    ) -> Result<Vec<[[u8; 32]; 2]>, Fault> {
        let period = now.0 / PERIOD_SECONDS;
        let this = self.period_key(connection, period)?;
        let last = self.period_key(connection, period.saturating_sub(1))?;
        texts.iter().map(|text| Ok([plate_tag(&this, agency, text)?, plate_tag(&last, agency, text)?])).collect()
    }

    fn period_key(&mut self, connection: &Connection, period: u64) -> Result<Secret<32>, Fault> {
        let number = i64::try_from(period).unwrap_or(i64::MAX);
        let stored: Option<(Vec<u8>, Vec<u8>)> = connection
            .prepare_cached("SELECT name, secret FROM period_key WHERE period = ?1")?
            .query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((name, secret)) = stored {
            let name: [u8; 16] = name.try_into().map_err(|_length| ProblemKind::Internal)?;
            return Ok(Secret::from_slice(&self.kek.unwrap(&name, &secret)?).ok_or(ProblemKind::Internal)?);
        }
        let mut name = [0; 16];
        SystemRng.fill_bytes(&mut name);
        let key = Secret::random(&mut SystemRng);
        self.kek.change(&[name], &[], &mut SystemRng)?;
        let secret = self.kek.wrap(&name, key.expose_secret(), &mut SystemRng)?;
        connection.execute(
            "INSERT INTO period_key (period, name, secret) VALUES (?1, ?2, ?3)",
            params![number, name, secret],
        )?;
        Ok(key)
    }

    /// Destroys the keys of periods that no counter reaches any more.
    pub(super) fn drop_old_periods(&mut self, connection: &mut Connection, now: Timestamp) -> Result<(), Fault> {
        let oldest = i64::try_from((now.0 / PERIOD_SECONDS).saturating_sub(1)).unwrap_or(i64::MAX);
        let names: Vec<Vec<u8>> = connection
            .prepare_cached("SELECT name FROM period_key WHERE period < ?1")?
            .query_map([oldest], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<[u8; 16]> = names.into_iter().filter_map(|name| name.try_into().ok()).collect();
        self.kek.change(&[], &names, &mut SystemRng)?;
        connection.execute("DELETE FROM period_key WHERE period < ?1", [oldest])?;
        Ok(())
    }

    /// Ends the waiting of a request by the signed decision of one of this keeper's people.
    pub(super) fn conclude(
        &mut self,
        connection: &mut Connection,
        decision: &[u8],
        now: Timestamp,
    ) -> Result<Unreleased<Vec<u8>>, Fault> {
        let decision = ByPerson::<HumanDecision>::from_bytes(decision)?;
        let digest = decision.claimed().request_digest;
        let row = db::request(connection, &digest)?.ok_or(ProblemKind::NotFound)?;
        if !row.waits {
            return Err(ProblemKind::Conflicting.into());
        }
        let own = self.charter().keeper(self.index()).ok_or(ProblemKind::Internal)?;
        let claimed = *decision.claimed_key();
        let human = match self.passkeys.get(&claimed) {
            Some(passkey) => PersonKey::Passkey(Box::new(passkey.clone())),
            None => PersonKey::File(VerifyKey(claimed)),
        };
        if !own.human_keys.contains(&claimed) || decision.verify(&human).is_err() {
            return Err(ProblemKind::NotSignedIn.into());
        }
        if self.unfinished.approvals.contains_key(&digest) {
            // The decision stands in the log already; a second one, the opposite even, must not.
            let told = self.finish_waiting(connection, digest, None, now)?;
            return Ok(self.resting_on_all(told));
        }
        // No is always possible.
        if decision.claimed().verdict == Verdict::Approve && !self.still_stands(connection, &row, now)? {
            return Err(ProblemKind::Lapsed.into());
        }
        let first = self.keeper.log().size();
        let concluded = self.keeper.conclude(row.record, &decision, &human, now, &mut SystemRng);
        if self.keeper.log().size() > first {
            self.unfinished.approvals.insert(digest, first);
            self.publish();
        }
        let (_answer, who) = concluded.map_err(|error| self.log_fault(error))?;
        let told = self.finish_waiting(connection, digest, Some(who.expose_text()), now)?;
        Ok(self.resting_on_all(told))
    }

    /// Stores what a person's leaf says about a waiting request. `who` opens the leaf's salted digest; it is lost where the
    /// process ended between leaf and here.
    pub(super) fn finish_waiting(
        &mut self,
        connection: &mut Connection,
        digest: [u8; 32],
        who: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<u8>, Fault> {
        let row = db::request(connection, &digest)?.ok_or(ProblemKind::NotFound)?;
        let index = self.unfinished.approvals.get(&digest).copied().ok_or(ProblemKind::Internal)?;
        let register = row.record.leaf_index.ok_or(ProblemKind::Internal)?;
        let answer = self.keeper.finish(row.record, index)?;
        let told = tell(&answer, register, None, self)?;
        let record = answer.record();
        // A person's yes makes an emergency one: from here on its paper is due.
        if let Some((deadline, _leaf)) = self.paper_is_due(&answer, now)? {
            self.store_emergency(connection, record, deadline)?;
        }
        let who = match who {
            Some(text) => {
                let name = self.month_key(connection, row.month)?;
                Some(self.wrap_private(&name, text.as_bytes())?)
            }
            None => None,
        };
        connection.execute(
            "UPDATE request SET waits = 0, allowed = ?2, record = ?3, answer = ?4, who = ?5 WHERE digest = ?1",
            params![digest, record.outcome != Outcome::Deny, record.to_bytes(), told, who],
        )?;
        self.unfinished.approvals.remove(&digest);
        Ok(told)
    }
}

/// The declarations that an agency filed and did not withdraw, whether they are in force or not.
fn filed_declarations(connection: &Connection, agency: AgencyId) -> Result<Vec<SignedObject>, Fault> {
    let filed = db::declarations(connection, agency)?;
    Ok(filed.iter().filter_map(|object| SignedObject::parse(object).ok()).collect())
}

/// A stored answer rests on the leaf that its approval names, a person's or the request's own; without an approval on that of
/// the request. One that cannot be read rests on all there is.
fn resting(answer: Vec<u8>, size: u64) -> Unreleased<Vec<u8>> {
    let told = serde_json::from_slice::<KeeperAnswer>(&answer).ok();
    let leaf = told.and_then(|told| match told.approval {
        Some(B64(approval)) => Some(Signed::<Approval>::from_bytes(&approval).ok()?.claimed().leaf_index),
        None => Some(told.register),
    });
    match leaf {
        Some(index) => Unreleased::on_leaf(answer, index),
        None => Unreleased::on_log(answer, size),
    }
}

/// HKDF-Expand of one block is HMAC-SHA-256 under the key over the text and a final 0x01.
fn plate_tag(key: &Secret<32>, agency: AgencyId, plate: &str) -> Result<[u8; 32], Fault> {
    let mut tag = [0; 32];
    Hkdf::<Sha256>::from_prk(key.expose_secret())
        .ok()
        .and_then(|hmac| hmac.expand_multi_info(&[b"LPv1 same plate", &agency.0, plate.as_bytes()], &mut tag).ok())
        .ok_or(ProblemKind::Internal)?;
    Ok(tag)
}

impl From<Reason> for ReasonText {
    fn from(reason: Reason) -> Self {
        Self { rule: reason.rule, say: reason.say, cite: reason.cite, fix: reason.fix }
    }
}

/// The step of `authorisation.md` section 3 at which the paper fell: no rule of the leaf, but what the officer has to mend.
fn why_no_paper(step: Step) -> Reason {
    Reason { rule: step.id().to_owned(), say: step.say().to_owned(), cite: None, fix: Some(step.fix().to_owned()) }
}

fn refused_by_a_person() -> Reason {
    Reason {
        rule: "keeper.person".to_owned(),
        say: "A person at this office looked at the request and said no.".to_owned(),
        cite: None,
        fix: Some("Ask the office what was missing, then file a new request.".to_owned()),
    }
}

/// The answer as it is stored and sent. `register` is the entry of the request, not that of a person's decision.
fn tell(answer: &Answer, register: u64, paper_fault: Option<Step>, office: &Office) -> Result<Vec<u8>, Fault> {
    let record: &DecisionRecord = answer.record();
    let (state, approval) = match answer {
        Answer::Approved { approval, .. } => (AnswerState::Approved, Some(B64(approval.to_bytes()))),
        Answer::Waiting { .. } => (AnswerState::Waiting, None),
        Answer::Refused { approval, .. } => (AnswerState::Refused, Some(B64(approval.to_bytes()))),
    };
    let policy = office.keeper.policy();
    let reasons = match answer {
        // The rules allowed it; what they say is no reason.
        Answer::Refused { approval, .. } if approval.claimed().decision == Decided::RefusedByHuman => {
            vec![refused_by_a_person()]
        }
        Answer::Refused { .. } => {
            let by_rule = record.rules.iter().filter_map(|rule| policy.explain(rule));
            by_rule.chain(paper_fault.map(why_no_paper)).collect()
        }
        Answer::Approved { .. } | Answer::Waiting { .. } => Vec::new(),
    };
    let told = KeeperAnswer {
        state,
        approval,
        reasons: reasons.into_iter().map(ReasonText::from).collect(),
        rules: record.rules.iter().cloned().collect(),
        register,
        humans_needed: match record.outcome {
            Outcome::Allow(duties) | Outcome::Ask(duties) => duties.approvers,
            Outcome::Deny => 0,
        },
        epochs_destroyed: record.epochs_destroyed,
    };
    serde_json::to_vec(&told).map_err(|_our_type| ProblemKind::Internal.into())
}

/// What the admin socket shows of this keeper's place.
pub(super) const fn place(index: KeeperIndex) -> u8 {
    index.0
}
