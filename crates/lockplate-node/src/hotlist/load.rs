//! One load from its taking to its being in force: who acts, what is judged, why it waits, what is said of it, the swap. Judging a file is
//! in [`super::loading`]; its leaf, and what waits for the log, in [`super::change`]; what is said of lists in [`super::health`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use axum::body::Bytes;
use lockplate_core::Timestamp;
use lockplate_core::entry::{HotlistLeaf, ListClass};
use lockplate_core::facts::OfficerFacts;
use lockplate_core::hotlist::kept::{Kept, KeptLoad, seal_kept};
use lockplate_core::hotlist::load::{
    HoldReason, HumanKeeper, LoadOutcome, LoadRefusal, Loaded, PastLoad, TwoPeople, VoidLoad,
};
use lockplate_core::hotlist::set::SetKind;
use lockplate_core::hotlist::steward::{ListConfig, LoadOrder, OrderedDelivery, steward_digests};
use lockplate_core::person::ByPerson;
use lockplate_core::vocabulary::Role;
use rand_core::Rng as _;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::change::{Change, Effect, Patience, Settled};
use super::health::{NOT_TAKEN, SHRUNK};
use super::law::Acted;
use super::loading::{self, FileRead, Judged, NotRead, Read};
use super::matcher::InForce;
use super::people::Party;
use super::store::{self, LoadRow, LoadSaid};
use super::{HotLists, List, down, locked};
use crate::problem::{Problem, ProblemKind};
use crate::rng::SystemRng;

const DAY_SECONDS: u64 = 86_400;

/// A load that is logged, and whose leaf is not confirmed yet.
pub(super) struct Waiting {
    pub(super) loaded: Loaded,
    pub(super) creators: BTreeMap<String, [u8; 32]>,
}

impl Waiting {
    pub(super) const fn sequence(&self) -> u64 {
        self.loaded.set().stamp().sequence
    }
}

/// A file that may be put in force once it is logged.
pub(super) struct Taken {
    pub(super) loaded: Loaded,
    pub(super) read: FileRead,
    officer: [u8; 32],
    /// It is in the log from before.
    is_logged: bool,
}

/// How a load came to the recorder.
pub(super) enum Brought {
    /// By people who signed for the file; `keeper` is a human keeper among them.
    Ordered {
        order: LoadOrder,
        signers: Vec<(OfficerFacts, BTreeSet<Role>)>,
        keeper: Option<HumanKeeper>,
        orders: Vec<Vec<u8>>,
    },
    /// From where the steward's list is fetched. `is_dated`: the source said when it made the file.
    Fetched { delivery: OrderedDelivery, is_dated: bool },
    /// From `agency.db`, after a restart: logged before.
    Kept { order: Option<LoadOrder>, signers: Vec<(OfficerFacts, BTreeSet<Role>)> },
}

/// One class of a load, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassReport {
    /// The class.
    pub class: String,
    /// In the list after the load.
    pub accepted: u64,
    /// Of them new.
    pub added: u64,
    /// Gone.
    pub removed: u64,
    /// Of a class that is not matched here.
    pub dropped: u64,
    /// Refused one by one.
    pub refused: u64,
}

/// What became of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadReport {
    /// Name of the list.
    pub list: String,
    /// `live`, `waiting` (logged, in force once the log's witnesses have confirmed it), `held` or `refused`.
    pub state: String,
    /// Why it waits, is held or refused, in words.
    pub why: Vec<String>,
    /// Number of the load; 0 where it was refused.
    pub sequence: u64,
    /// Entries of the list after it.
    pub entries: u64,
    /// By class.
    pub classes: Vec<ClassReport>,
    /// Refused entries by reason, in words.
    pub refusals: BTreeMap<String, u64>,
    /// Entries whose end was brought forward to the longest life of their class.
    pub cut: u64,
    /// Entries that were to be taken off and are not in the list.
    #[serde(default)]
    pub removals_unknown: u64,
    /// What somebody must be told, in words.
    pub alarms: Vec<String>,
}

impl HotLists {
    /// Takes one file. Pieces end with an empty one; a channel that closes before is a file that broke off.
    pub(super) async fn load(
        &self,
        list: &Arc<List>,
        brought: Brought,
        pieces: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<LoadReport, Problem> {
        // Caps of custom lists are the agency's: of two loads one must know of the other.
        let is_custom = list.config.settings.kind == SetKind::Custom;
        let _one_of_the_agency = if is_custom { Some(self.0.customs.lock().await) } else { None };
        let _one_at_a_time = list.turn.lock().await;
        if let Some(report) = self.behind(list, &brought).await? {
            return Ok(report);
        }
        let taken = match self.take(list, &brought, pieces).await? {
            Ok(taken) => taken,
            Err(report) => {
                // Nobody waits for the answer.
                if matches!(brought, Brought::Fetched { .. }) && report.state != "live" {
                    locked(&list.note).alarm = Some(NOT_TAKEN);
                }
                return Ok(*report);
            }
        };
        let report = report_of(list, &taken.loaded);
        if taken.is_logged {
            self.put_in_force(list, taken.loaded, taken.read.creators, true).await?;
            return Ok(report);
        }
        let (leaf, effect) = self.said(list, &taken, &brought)?;
        *locked(&list.waiting) = Some(Waiting { loaded: taken.loaded, creators: taken.read.creators });
        match self.change(leaf, effect).await {
            Ok(()) => Ok(report),
            Err(problem) if problem.kind() == ProblemKind::LogUnwitnessed => Ok(waiting(report)),
            Err(problem) => {
                *locked(&list.waiting) = None;
                Err(problem)
            }
        }
    }

    /// What is said of a load that another change stands before, or that is in force already.
    async fn behind(&self, list: &List, brought: &Brought) -> Result<Option<LoadReport>, Problem> {
        let id = list.config.settings.list;
        let Brought::Ordered { order, .. } = brought else {
            return match self.settle(&id, Patience::None).await? {
                Settled::Nothing => Ok(None),
                // Whoever fetches comes again.
                Settled::Waits(_) => Err(ProblemKind::LogUnwitnessed.into()),
            };
        };
        if let Settled::Waits(change) = self.settle(&id, Patience::Some).await? {
            return Ok(Some(match change.effect {
                Effect::Load { row, .. } if row.file == order.file => waiting(known(list, &row)),
                Effect::Load { .. } | Effect::Signed(_) => refused(list, NotRead::Behind),
            }));
        }
        if list.config.settings.kind == SetKind::Custom {
            self.settle_all().await;
            let others = store::changes(self.db()).await.map_err(down)?;
            let is_custom_load = |change: &Change| {
                let other = self.list(&change.leaf.list);
                let is_custom = other.is_some_and(|other| other.config.settings.kind == SetKind::Custom);
                is_custom && matches!(change.effect, Effect::Load { .. })
            };
            if others.iter().any(is_custom_load) {
                return Ok(Some(refused(list, NotRead::OtherBefore)));
            }
        }
        // Asked again after its quorum came in, or because the answer was lost.
        let history = store::loads(self.db(), id).await.map_err(down)?;
        let sequence = self.0.matcher.list(&id).map(|in_force| in_force.set.stamp().sequence);
        let last = history.last().filter(|last| last.file == order.file && Some(last.sequence) == sequence);
        Ok(last.map(|last| known(list, last)))
    }

    /// Reads and judges a file: what may be put in force, or the report that says why nothing is.
    pub(super) async fn take(
        &self,
        list: &Arc<List>,
        brought: &Brought,
        pieces: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<Result<Taken, Box<LoadReport>>, Problem> {
        let id = list.config.settings.list;
        // It may have ended, or been signed anew, while this load waited for its turn.
        if self.list(&id).is_none_or(|now| now.config != list.config) {
            return Err(ProblemKind::Conflicting.into());
        }
        let now = self.now();
        let party = self.party(list).await?;
        let history = store::loads(self.db(), id).await.map_err(down)?;
        let (acted, delivery, ordered) = self.acting(list, &party, brought, now)?;
        let officer = acted.officer.key_id;
        let is_supervised = acted.approvers.iter().any(|(_, roles)| roles.contains(&Role::Supervisor))
            || party.officer(&officer).is_some_and(|(_, roles)| roles.contains(&Role::Supervisor));
        let file = ordered.as_ref().map(|order| order.file);
        let read = match self.judge(list, brought, (acted, delivery, file), &history, pieces, now).await? {
            Ok(read) => read,
            Err(why) => return Ok(Err(Box::new(refused(list, why)))),
        };
        let Read { outcome, of: read } = read;
        // The same file once more, after a restart: it is in the log. If neither it nor its source says when it was made, nothing is new.
        let undated = list.template.is_some() && matches!(brought, Brought::Fetched { is_dated: false, .. });
        let again = |loaded: &Loaded| {
            let same_number = |last: &&LoadRow| last.sequence == loaded.set().stamp().sequence;
            let same_file = |last: &&LoadRow| last.file == read.file && is_within(loaded, last);
            history.last().filter(same_file).filter(|last| undated || same_number(last))
        };
        let mut loaded = match outcome {
            LoadOutcome::Ready(loaded) => *loaded,
            // What is kept, or known, was released before it was logged.
            LoadOutcome::Void(void) if brought.is_kept() || again(void.loaded()).is_some() => void.into_loaded(),
            LoadOutcome::Void(void) => return Ok(Err(Box::new(void_report(list, &void)))),
            LoadOutcome::Held(held) if brought.is_kept() || again(held.loaded()).is_some() => held.into_loaded(),
            LoadOutcome::Held(held) => {
                let reasons: Vec<HoldReason> = held.reasons().iter().copied().collect();
                match (*held).release(brought.two_people(&party), brought.keeper()) {
                    Ok(loaded) => loaded,
                    Err(held) => return Ok(Err(Box::new(held_back(list, &held.into_loaded(), &reasons)))),
                }
            }
        };
        let last = again(&loaded);
        if let Some(last) = last.filter(|_| undated) {
            if self.0.matcher.list(&id).is_some_and(|in_force| in_force.set.stamp().sequence == last.sequence) {
                return Ok(Err(Box::new(known(list, last))));
            }
            loaded.as_logged(last.sequence, last.loaded_at);
        }
        if history.last().is_some_and(|last| last.file == read.file) {
            loaded.confirms_nothing();
        }
        let is_logged = brought.is_kept() || last.is_some();
        let is_stewards = officer == list.steward || list.config.settings.kind != SetKind::Custom;
        if !is_logged && !is_stewards && !is_supervised && self.takes_from_others(&loaded, officer, now) {
            return Ok(Err(Box::new(refused(list, NotRead::OthersEntries))));
        }
        // An earlier one would bring back what was taken off.
        let sequence = loaded.set().stamp().sequence;
        if !is_logged && history.last().is_some_and(|last| last.sequence >= sequence) {
            return Ok(Err(Box::new(refused(list, NotRead::Load(LoadRefusal::Gap)))));
        }
        Ok(Ok(Taken { loaded, read, officer, is_logged }))
    }

    /// Whether a load takes entries off a custom list that have not ended and that somebody else brought.
    fn takes_from_others(&self, loaded: &Loaded, officer: [u8; 32], now: Timestamp) -> bool {
        let Some(before) = self.0.matcher.list(&loaded.set().settings().list) else { return false };
        let is_others = |id: &str| before.creators.get(id).is_none_or(|creator| *creator != officer);
        before.set.gone_in(loaded.set(), now).any(is_others)
    }

    async fn judge(
        &self,
        list: &Arc<List>,
        brought: &Brought,
        (acted, delivery, file): (Acted, Option<OrderedDelivery>, Option<[u8; 32]>),
        history: &[LoadRow],
        mut pieces: mpsc::Receiver<Option<Bytes>>,
        now: Timestamp,
    ) -> Result<Result<Read, NotRead>, Problem> {
        let id = list.config.settings.list;
        let counts_for_the_agency = list.config.settings.kind == SetKind::Custom && !brought.is_kept();
        let (elsewhere, new_today) = if counts_for_the_agency {
            self.of_the_agency(&id, acted.officer.key_id, now).await?
        } else {
            (Vec::new(), 0)
        };
        let supervised = acted.approvers.iter().any(|(_, roles)| roles.contains(&Role::Supervisor));
        let past = |row: &LoadRow| PastLoad {
            entries: row.entries,
            classes: row.classes.iter().filter(|(_, n)| *n > 0).map(|(class, _)| *class).collect(),
        };
        let past: Vec<PastLoad> = history.iter().map(past).collect();
        let lost: BTreeMap<ListClass, u64> =
            history.last().map(|row| row.classes.iter().copied().collect()).unwrap_or_default();
        let before = self.0.matcher.list(&id);
        let (list, law) = (Arc::clone(list), Arc::clone(&self.0.law));
        let (index_key, id_key) = (self.0.index_key, self.0.id_key);
        let entries_max = list.config.entries_max.min(self.extract_entries_max());
        let by_hand = matches!(brought, Brought::Ordered { .. });
        let work = move || {
            let judged = Judged {
                config: &list.config,
                template: list.template.as_ref(),
                delivery,
                law: &law,
                acted,
                steward: list.steward,
                entries_max,
                supervised,
                before: before.as_deref(),
                history: &past,
                lost: &lost,
                elsewhere: &elsewhere,
                new_today,
                by_hand,
                index_key,
                id_key,
                now,
            };
            loading::read(&judged, &mut pieces, file)
        };
        tokio::task::spawn_blocking(work).await.map_err(|_panicked| ProblemKind::Internal.into())
    }

    /// Puts a set in force in place of the one before. `is_new`: not one of the parts that are kept, which do not know each other's
    /// entries.
    pub(super) async fn put_in_force(
        &self,
        list: &Arc<List>,
        loaded: Loaded,
        creators: BTreeMap<String, [u8; 32]>,
        is_new: bool,
    ) -> Result<(), Problem> {
        if is_new {
            let is_other = {
                let mut marks = locked(&list.marks);
                let before = marks.clone();
                loaded.confirm(&mut marks);
                *marks != before
            };
            if is_other {
                self.keep_marks(list).await;
            }
        }
        let alarm = (!loaded.alarms().is_empty()).then_some(SHRUNK);
        let in_force = InForce {
            set: loaded.into_set(),
            marks: Arc::clone(&list.marks),
            purpose: list.config.purpose,
            sealed_to: list.config.alert_key.clone(),
            creators,
        };
        self.swap(list.config.settings.list, Some(in_force)).await?;
        {
            let mut note = locked(&list.note);
            note.refused = None;
            note.alarm = alarm;
            note.was_loaded = true;
        }
        if is_new {
            self.fly_canary(list).await;
        }
        Ok(())
    }

    /// The set before is wiped there, which takes a moment for millions.
    pub(super) async fn swap(&self, list: [u8; 16], in_force: Option<InForce>) -> Result<(), Problem> {
        let matcher = self.0.matcher.clone();
        let swapped = tokio::task::spawn_blocking(move || matcher.swap(list, in_force)).await;
        swapped.map_err(|_panicked| ProblemKind::Internal.into())
    }

    /// Who does it, what the file is, and what was signed.
    fn acting(
        &self,
        list: &List,
        party: &Party,
        brought: &Brought,
        now: Timestamp,
    ) -> Result<(Acted, Option<OrderedDelivery>, Option<LoadOrder>), ProblemKind> {
        let is_own = list.config.agency == self.own();
        let refuse = || ProblemKind::NotSignedIn;
        let steward = || party.officer(&list.steward).map(|(facts, _)| facts).ok_or_else(refuse);
        let seconds: Vec<_> = match &list.row.approval {
            Some(bytes) if !is_own => {
                let approval = ByPerson::<ListConfig>::from_bytes(bytes).map_err(|_form| refuse())?;
                party.signer(&approval).into_iter().collect()
            }
            Some(_) | None => Vec::new(),
        };
        match brought {
            Brought::Fetched { delivery, .. } => {
                let acted = party.acted(steward()?, seconds, list.row.mfa, now);
                Ok((acted, Some(delivery.clone()), None))
            }
            Brought::Ordered { order, signers, .. } => {
                let ((first, _), others) = signers.split_first().ok_or_else(refuse)?;
                // An extract is its steward's; a custom entry is brought by whoever has the case.
                let may = first.key_id == list.steward || (is_own && list.config.settings.kind == SetKind::Custom);
                if !may || !party.directory.is_in_service(&first.key_id, now) {
                    return Err(refuse());
                }
                let others = others.iter().cloned().chain(seconds).collect();
                let acted = party.acted(first.clone(), others, list.row.mfa || is_own, now);
                Ok((acted, order.delivery.clone(), Some(order.clone())))
            }
            Brought::Kept { order, signers } => {
                let (officer, others) = match signers.split_first() {
                    Some(((first, _), others)) => (first.clone(), others.to_vec()),
                    None => (steward()?, Vec::new()),
                };
                let delivery = order.as_ref().and_then(|order| order.delivery.clone());
                Ok((party.acted(officer, others, true, now), delivery, None))
            }
        }
    }

    /// The agency's other custom lists, and entries that the officer has added to all of them today.
    async fn of_the_agency(
        &self,
        id: &[u8; 16],
        officer: [u8; 32],
        now: Timestamp,
    ) -> Result<(Vec<Arc<InForce>>, u64), Problem> {
        let custom: Vec<[u8; 16]> = {
            let lists = self.0.lists.read().unwrap_or_else(PoisonError::into_inner);
            let custom = lists.values().filter(|list| list.config.settings.kind == SetKind::Custom);
            custom.map(|list| list.config.settings.list).collect()
        };
        let elsewhere = custom.iter().filter(|other| *other != id).filter_map(|other| self.0.matcher.list(other));
        let elsewhere = elsewhere.collect();
        let midnight = Timestamp(now.0.saturating_sub(now.0 % DAY_SECONDS));
        let today = store::added_by(self.db(), officer, midnight, custom).await.map_err(down)?;
        Ok((elsewhere, today))
    }

    /// What the log says of a load, and what follows: its numbers, and sealed what lives with the recorder.
    fn said(&self, list: &List, taken: &Taken, brought: &Brought) -> Result<(HotlistLeaf, Effect), ProblemKind> {
        let internal = |_core| ProblemKind::Internal;
        let (id, loaded) = (list.config.settings.list, &taken.loaded);
        let mut set_salt = [0; 16];
        SystemRng.fill_bytes(&mut set_salt);
        let (sd, who) = steward_digests(&list.steward, &mut SystemRng).map_err(internal)?;
        let leaf = loaded.leaf(&set_salt, sd);
        let kept = if list.config.settings.kind == SetKind::Extract {
            None
        } else {
            let file = Zeroizing::new(taken.read.bytes.to_vec());
            let mut creators = taken.read.creators.clone();
            creators.retain(|_, creator| *creator != taken.officer);
            let plain = KeptLoad { file, orders: brought.orders().to_vec(), creators }.to_bytes();
            let kept = Kept::Load { sequence: leaf.sequence };
            Some(seal_kept(&self.0.public, &id, kept, &plain, &mut SystemRng).map_err(internal)?)
        };
        let said = LoadSaid {
            loaded_at: self.now(),
            file: taken.read.file,
            officer: taken.officer,
            set_salt,
            steward: who.expose_text().to_owned(),
        };
        let effect = Effect::Load { row: LoadRow::of(&leaf, said), kept, is_full: taken.read.is_full };
        Ok((leaf, effect))
    }
}

impl Brought {
    const fn is_kept(&self) -> bool {
        matches!(self, Self::Kept { .. })
    }

    fn orders(&self) -> &[Vec<u8>] {
        match self {
            Self::Ordered { orders, .. } => orders,
            Self::Fetched { .. } | Self::Kept { .. } => &[],
        }
    }

    const fn keeper(&self) -> Option<HumanKeeper> {
        match self {
            Self::Ordered { keeper, .. } => *keeper,
            Self::Fetched { .. } | Self::Kept { .. } => None,
        }
    }

    /// Two persons who signed for this file.
    fn two_people(&self, party: &Party) -> Option<TwoPeople> {
        let Self::Ordered { signers, .. } = self else { return None };
        let (first, others) = signers.split_first()?;
        others.iter().find_map(|(other, _)| TwoPeople::new(&party.directory, &first.0.key_id, &other.key_id))
    }
}

/// Nothing in the set that the leaf does not speak of: the same file loaded again under the rules of today.
fn is_within(loaded: &Loaded, row: &LoadRow) -> bool {
    loaded.set().classes().iter().all(|(class, n)| row.classes.iter().any(|(known, most)| known == class && n <= most))
}

fn refused(list: &List, why: NotRead) -> LoadReport {
    let label = why.label();
    locked(&list.note).refused = Some(label);
    tracing::warn!(list = list.config.name, why = label, "a load of a hot list was refused: the set before stays");
    LoadReport {
        list: list.config.name.clone(),
        state: "refused".to_owned(),
        why: vec![label.to_owned()],
        ..LoadReport::default()
    }
}

/// Its entries stay out, and none of the set before goes: of its numbers those are shown that say why.
fn void_report(list: &List, void: &VoidLoad) -> LoadReport {
    let LoadReport { list, state, why, .. } = refused(list, NotRead::Load(void.why()));
    let report = numbers_of(void.loaded());
    let left_out = |class: ClassReport| ClassReport { accepted: 0, added: 0, removed: 0, ..class };
    let says = |class: &ClassReport| class.dropped > 0 || class.refused > 0;
    let classes = report.classes.into_iter().filter(says).map(left_out).collect();
    LoadReport { list, state, why, sequence: 0, entries: 0, classes, alarms: Vec::new(), ..report }
}

fn held_back(list: &List, loaded: &Loaded, reasons: &[HoldReason]) -> LoadReport {
    locked(&list.note).refused = Some("it waits for people to release it");
    let why = reasons.iter().map(|reason| reason.label().to_owned()).collect();
    LoadReport { state: "held".to_owned(), why, ..report_of(list, loaded) }
}

/// A report of what is logged and not in force yet.
fn waiting(report: LoadReport) -> LoadReport {
    let why = "it is logged, and the log's witnesses have not confirmed it: it takes effect by itself once they have";
    LoadReport { state: "waiting".to_owned(), why: vec![why.to_owned()], ..report }
}

/// A report of a load that was taken before, by its numbers.
fn known(list: &List, row: &LoadRow) -> LoadReport {
    let class = |(class, accepted): &(ListClass, u64)| ClassReport {
        class: class.name().to_owned(),
        accepted: *accepted,
        ..ClassReport::default()
    };
    LoadReport {
        list: list.config.name.clone(),
        state: "live".to_owned(),
        sequence: row.sequence,
        entries: row.entries,
        classes: row.classes.iter().map(class).collect(),
        ..LoadReport::default()
    }
}

fn report_of(list: &List, loaded: &Loaded) -> LoadReport {
    LoadReport { list: list.config.name.clone(), state: "live".to_owned(), ..numbers_of(loaded) }
}

fn numbers_of(loaded: &Loaded) -> LoadReport {
    let class = |one: &lockplate_core::entry::ListCounts| ClassReport {
        class: one.class.name().to_owned(),
        accepted: one.accepted,
        added: one.added,
        removed: one.removed,
        dropped: one.dropped,
        refused: one.refused,
    };
    LoadReport {
        sequence: loaded.set().stamp().sequence,
        entries: loaded.set().entries(),
        classes: loaded.counts().iter().map(class).collect(),
        refusals: loaded.refusals().iter().map(|(why, n)| (why.label().to_owned(), *n)).collect(),
        cut: loaded.cut(),
        removals_unknown: loaded.removals_unknown(),
        alarms: loaded.alarms().iter().map(|alarm| alarm.label().to_owned()).collect(),
        ..LoadReport::default()
    }
}
