//! One load from its taking to its being in force: who acts, what is judged, why it waits, its leaf, its numbers, the swap. A list ends
//! here as well. Judging a file is in [`super::loading`]; what is said of lists in [`super::health`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use axum::body::Bytes;
use lockplate_core::Timestamp;
use lockplate_core::entry::{HotlistLeaf, ListClass, ListKind, LogEntry};
use lockplate_core::facts::OfficerFacts;
use lockplate_core::hotlist::kept::{Kept, KeptLoad, seal_kept};
use lockplate_core::hotlist::load::{HoldReason, LoadOutcome, LoadRefusal, Loaded, PastLoad, TwoPeople, retired};
use lockplate_core::hotlist::set::SetKind;
use lockplate_core::hotlist::steward::{ListConfig, LoadOrder, OrderedDelivery, steward_digests};
use lockplate_core::person::ByPerson;
use lockplate_core::vocabulary::Role;
use lockplate_core::wire::th;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::law::Acted;
use super::loading::{self, Judged, NotRead};
use super::matcher::InForce;
use super::people::Party;
use super::store::{self, LoadRow};
use super::{HotLists, List, down, locked};
use crate::party_log::NotLogged;
use crate::problem::{Problem, ProblemKind};
use crate::rng::SystemRng;

const DAY_SECONDS: u64 = 86_400;

/// How a load came to the recorder.
pub(super) enum Brought {
    /// By people who signed for the file.
    Ordered { order: LoadOrder, signers: Vec<(OfficerFacts, BTreeSet<Role>)>, orders: Vec<Vec<u8>> },
    /// From where the steward's list is fetched.
    Fetched { delivery: OrderedDelivery },
    /// From `agency.db`, after a restart: logged before.
    Kept { order: Option<LoadOrder>, signers: Vec<(OfficerFacts, BTreeSet<Role>)> },
}

/// One class of a load, in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// `live`, `held` or `refused`.
    pub state: String,
    /// Why it is held or refused, in words.
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
        let _one_at_a_time = list.turn.lock().await;
        // It may have ended, or been signed anew, while this load waited for its turn.
        if self.list(&list.config.settings.list).is_none_or(|now| now.config != list.config) {
            return Err(ProblemKind::Conflicting.into());
        }
        let (id, kind, now) = (list.config.settings.list, list.config.settings.kind, self.now());
        let party = self.party(list).await?;
        let history = store::loads(self.db(), id).await.map_err(down)?;
        let before = self.0.matcher.list(&id);
        let (acted, delivery, ordered) = self.acting(list, &party, &brought, now)?;
        let officer = acted.officer.key_id;
        let (live_elsewhere, new_today) = if kind == SetKind::Custom && !brought.is_kept() {
            self.custom_counts(&id, officer, now).await?
        } else {
            (0, 0)
        };
        let is_kept = brought.is_kept();
        let supervised = acted.approvers.iter().any(|(_, roles)| roles.contains(&Role::Supervisor));
        let past = |row: &LoadRow| PastLoad {
            entries: row.entries,
            classes: row.classes.iter().filter(|(_, n)| *n > 0).map(|(class, _)| *class).collect(),
        };
        let past: Vec<PastLoad> = history.iter().map(past).collect();
        let lost: BTreeMap<ListClass, u64> =
            history.last().map(|row| row.classes.iter().copied().collect()).unwrap_or_default();
        let file = ordered.as_ref().map(|order| order.file);
        let work = {
            let (list, law, before) = (Arc::clone(list), Arc::clone(&self.0.law), before.clone());
            let (index_key, id_key) = (self.0.index_key, self.0.id_key);
            let mut pieces = pieces;
            move || {
                let judged = Judged {
                    config: &list.config,
                    template: list.template.as_ref(),
                    delivery,
                    law: &law,
                    acted,
                    steward: list.steward,
                    supervised,
                    before: before.as_deref(),
                    history: &past,
                    lost: &lost,
                    live_elsewhere,
                    new_today,
                    index_key,
                    id_key,
                    now,
                };
                loading::read(&judged, &mut pieces, file)
            }
        };
        let read = tokio::task::spawn_blocking(work).await.map_err(|_panicked| ProblemKind::Internal)?;
        let read = match read {
            Ok(read) => read,
            Err(why) => return Ok(refused(list, why)),
        };
        let (loaded, held) = match read.outcome {
            LoadOutcome::Ready(loaded) => (*loaded, Vec::new()),
            // What is kept was released before it was logged.
            LoadOutcome::Held(held) if is_kept => (held.into_loaded(), Vec::new()),
            LoadOutcome::Held(held) => {
                let reasons: Vec<HoldReason> = held.reasons().iter().copied().collect();
                match (*held).release(brought.two_people(&party), false) {
                    Ok(loaded) => (loaded, Vec::new()),
                    Err(held) => (held.into_loaded(), reasons),
                }
            }
        };
        if !held.is_empty() {
            locked(&list.note).refused = Some("it waits for people to release it");
            let why = held.iter().map(|reason| reason.label().to_owned()).collect();
            return Ok(LoadReport { state: "held".to_owned(), why, ..report_of(list, &loaded) });
        }
        // The same file once more, after a restart: it is in the log. An earlier one would bring back what was taken off.
        let sequence = loaded.set().stamp().sequence;
        let last = history.last().filter(|last| last.sequence >= sequence);
        let is_same = |last: &LoadRow| last.sequence == sequence && last.file == read.file && is_within(&loaded, last);
        let is_logged = is_kept || last.is_some_and(is_same);
        if !is_logged && last.is_some() {
            return Ok(refused(list, NotRead::Load(LoadRefusal::Gap)));
        }
        let report = report_of(list, &loaded);
        if !is_logged {
            self.log_and_keep(list, &loaded, &brought, officer, (read.file, &read.bytes, read.is_full)).await?;
        }
        // What is kept is in parts: the first of them does not know the entries of the later ones.
        if !is_kept {
            loaded.confirm(&mut locked(&list.marks));
            self.keep_marks(list).await;
        }
        locked(&list.note).refused = None;
        let in_force = InForce {
            name: list.config.name.clone(),
            set: loaded.into_set(),
            marks: Arc::clone(&list.marks),
            purpose: list.config.purpose,
            sealed_to: list.config.alert_key.clone(),
            creators: read.creators,
        };
        // The set before is wiped there, which takes a moment for millions.
        let matcher = self.0.matcher.clone();
        tokio::task::spawn_blocking(move || matcher.swap(id, Some(in_force)))
            .await
            .map_err(|_panicked| ProblemKind::Internal)?;
        if !is_kept {
            self.fly_canary(list).await;
        }
        Ok(report)
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
            Brought::Fetched { delivery } => {
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

    /// Live entries in other custom lists, and entries that the officer has added today.
    async fn custom_counts(&self, id: &[u8; 16], officer: [u8; 32], now: Timestamp) -> Result<(u64, u64), Problem> {
        let custom: Vec<[u8; 16]> = {
            let lists = self.0.lists.read().unwrap_or_else(PoisonError::into_inner);
            let custom = lists.values().filter(|list| list.config.settings.kind == SetKind::Custom);
            custom.map(|list| list.config.settings.list).collect()
        };
        let elsewhere = custom.iter().filter(|other| *other != id).filter_map(|other| self.0.matcher.list(other));
        let live = elsewhere.map(|list| list.set.entries()).fold(0, u64::saturating_add);
        let midnight = Timestamp(now.0.saturating_sub(now.0 % DAY_SECONDS));
        let today = store::added_by(self.db(), officer, midnight, custom).await.map_err(down)?;
        Ok((live, today))
    }

    /// Writes the leaf, and when it is cosigned the numbers, and sealed what lives with the recorder.
    async fn log_and_keep(
        &self,
        list: &List,
        loaded: &Loaded,
        brought: &Brought,
        officer: [u8; 32],
        (file, bytes, is_full): ([u8; 32], &[u8], bool),
    ) -> Result<(), Problem> {
        let (id, stamp) = (list.config.settings.list, *loaded.set().stamp());
        let mut salts = self.salts(&id, stamp.sequence, &file);
        let mut set_salt = [0; 16];
        salts.fill_bytes(&mut set_salt);
        let (sd, who) = steward_digests(&list.steward, &mut salts).map_err(|_core| ProblemKind::Internal)?;
        let leaf = loaded.leaf(&set_salt, sd);
        self.append_once(leaf).await?;
        let kept = if list.config.settings.kind == SetKind::Extract {
            None
        } else {
            let plain = KeptLoad { file: Zeroizing::new(bytes.to_vec()), orders: brought.orders().to_vec() }.to_bytes();
            let kept = Kept::Load { sequence: stamp.sequence };
            let sealed = seal_kept(&self.0.public, &id, kept, &plain, &mut SystemRng);
            Some(sealed.map_err(|_core| ProblemKind::Internal)?)
        };
        let row = LoadRow {
            sequence: stamp.sequence,
            loaded_at: self.now(),
            file,
            officer,
            added: loaded.counts().iter().map(|one| one.added).fold(0, u64::saturating_add),
            entries: loaded.set().entries(),
            classes: loaded.counts().iter().map(|one| (one.class, one.accepted)).collect(),
            set_salt,
            steward: who.expose_text().to_owned(),
        };
        store::put_load(self.db(), id, row, kept, is_full).await.map_err(down)
    }

    /// Salts of a leaf, from the key, the list and the file: tried again after its quorum was missing, it is the same leaf.
    fn salts(&self, list: &[u8; 16], sequence: u64, file: &[u8; 32]) -> ChaCha20Rng {
        let secret = self.0.key.seed();
        let parts: [&[u8]; 4] = [secret.expose_secret(), list, &sequence.to_be_bytes(), file];
        ChaCha20Rng::from_seed(th("list-salts", &parts))
    }

    /// Logs a leaf, unless it is the newest one of its list.
    async fn append_once(&self, leaf: HotlistLeaf) -> Result<(), Problem> {
        let said = leaf.clone();
        #[expect(clippy::wildcard_enum_match_arm, reason = "asks for one variant; every other one is no list")]
        let same = move |entry: &LogEntry| match entry {
            LogEntry::Hotlist(known) if known.list == said.list => Some(*known == said),
            _ => None,
        };
        self.0.log.append_once(LogEntry::Hotlist(leaf), same).await.map(drop).map_err(unlogged)
    }

    /// Ends a list whose turn the caller holds: its leaf, and then nothing of it is matched or kept.
    pub(super) async fn retire(&self, list: &Arc<List>) -> Result<(), Problem> {
        let id = list.config.settings.list;
        let history = store::loads(self.db(), id).await.map_err(down)?;
        if let Some(last) = history.last() {
            let classes = retired(&last.classes.iter().copied().collect());
            let sequence = last.sequence.saturating_add(1);
            let mut salts = self.salts(&id, sequence, &last.file);
            let (sd, _who) = steward_digests(&list.steward, &mut salts).map_err(|_core| ProblemKind::Internal)?;
            let decisions =
                classes.iter().map(|one| th("list-retired", &[&id, one.class.name().as_bytes(), &list.row.config]));
            let leaf = HotlistLeaf {
                list: id,
                kind: ListKind::Retire,
                sequence,
                // Tried again it is the same leaf, so it has no time of its own.
                produced_at: Timestamp(last.loaded_at.0.saturating_sub(last.loaded_at.0 % 60)),
                decisions: decisions.collect(),
                classes,
                set: [0; 32],
                sd,
            };
            self.append_once(leaf).await?;
        }
        let matcher = self.0.matcher.clone();
        tokio::task::spawn_blocking(move || matcher.swap(id, None)).await.map_err(|_panicked| ProblemKind::Internal)?;
        store::forget_kept(self.db(), id).await.map_err(down)
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

fn report_of(list: &List, loaded: &Loaded) -> LoadReport {
    let class = |one: &lockplate_core::entry::ListCounts| ClassReport {
        class: one.class.name().to_owned(),
        accepted: one.accepted,
        added: one.added,
        removed: one.removed,
        dropped: one.dropped,
        refused: one.refused,
    };
    LoadReport {
        list: list.config.name.clone(),
        state: "live".to_owned(),
        why: Vec::new(),
        sequence: loaded.set().stamp().sequence,
        entries: loaded.set().entries(),
        classes: loaded.counts().iter().map(class).collect(),
        refusals: loaded.refusals().iter().map(|(why, n)| (why.label().to_owned(), *n)).collect(),
        cut: loaded.cut(),
        alarms: loaded.alarms().iter().map(|alarm| alarm.label().to_owned()).collect(),
    }
}

fn unlogged(_not_logged: NotLogged) -> Problem {
    Problem::new(ProblemKind::Unavailable)
}
