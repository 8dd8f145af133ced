//! Checking an evidence package (LPv1 section 10.3): what a reader who was not there can say of it, in the order of the specification.

use std::collections::{BTreeMap, BTreeSet};

use lockplate_oprf::Secret;
use lockplate_oprf::oprf::Blind;

use super::{
    DAY, ElementShown, Package, PackageClaim, PackageFault, Place, check_epoch, held_digest, is_other, place, words,
};
use crate::Timestamp;
use crate::approval::{Decided, Grant};
use crate::audit::replay::{self, ReplayFault, Replayed};
use crate::charter::{Charter, CharterFile, LogName};
use crate::entry::{Leaf, LogEntry, Outcome, RequestDecision, RequestLeaf, human_outcome, parse_leaf};
use crate::evidence::plates_named;
use crate::facts::AccessPolicy;
use crate::hold::{HeldFor, HoldClaim, latest_until};
use crate::id::KeeperIndex;
use crate::open::CellKey;
use crate::plate::PlateInput;
use crate::request::{DisclosureClaim, FiledRequest, Opened, OpeningText, SearchRequest, check_text};
use crate::salted::{SaltedName, disclosure_of};
use crate::segment::BucketProof;
use crate::sign::{Signed, VerifyKey};
use crate::statement::StatementText;
use crate::wire::Writer;

/// A leaf whose receipt was verified under the charter's trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Its log.
    pub log: LogName,
    /// Its index.
    pub index: u64,
    /// Its bytes.
    pub leaf: Vec<u8>,
}

/// One keeper's yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approver {
    /// The keeper.
    pub keeper: KeeperIndex,
    /// A person of the keeper decided.
    pub by_person: bool,
    /// When.
    pub time: Timestamp,
    /// Entry in its log.
    pub register: u64,
}

/// The hold of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Until when.
    pub until: Timestamp,
    /// Entry in the desk's log; none where the charter does not know that log.
    pub register: Option<u64>,
}

/// A package that holds.
#[derive(Debug)]
pub struct Checked {
    /// What was asked, as keepers saw it.
    pub opened: Opened<SearchRequest>,
    /// Who approved, in charter order.
    pub approvers: Vec<Approver>,
    /// Rules that took part.
    pub rules: BTreeSet<String>,
    /// Digest of the rule bundle.
    pub policy: [u8; 32],
    /// True if the rules were asked again.
    pub replayed: bool,
    /// A court paper counted, with this assurance.
    pub judicial: bool,
    /// Periods that were searched.
    pub epochs: usize,
    /// Cells opened, and of them those of other vehicles, which are not shown.
    pub cells: u64,
    /// See `cells`.
    pub others: u64,
    /// Entry of the disclosure in the desk's log; none where the charter does not know that log.
    pub disclosure: Option<u64>,
    /// The hold.
    pub held: Option<Held>,
    /// Until when the reads may be kept: the end of the hold, or the shortest duty of the rules, counted from the earliest decision.
    pub keep_until: Timestamp,
}

impl Package {
    /// Checks everything but the receipts themselves and that `charter` is the right one, which the caller has done. `proven` are the leaves
    /// of the package's receipts, in any order; `policy` is the bundle of `rules`, where there is one.
    ///
    /// # Errors
    /// The first [`PackageFault`].
    pub fn check(
        &self,
        charter: &CharterFile,
        proven: &[Proven],
        policy: Option<&dyn AccessPolicy>,
    ) -> Result<Checked, PackageFault> {
        if self.charter.0 != charter.bytes() {
            let other = CharterFile::verify(&self.charter.0);
            // The same text under other signature lines is no other charter, and still not what was written.
            return Err(match other {
                Ok(other) if other.hash() == charter.hash() => PackageFault::Signature,
                Ok(_) => PackageFault::OtherCharter,
                Err(_) => PackageFault::Form,
            });
        }
        let mut register = Register::of(proven)?;
        let opened = self.opened(charter.charter())?;
        let asked = opened.request();
        let grant = Grant::from_bytes(&self.grant.0).map_err(|_form| PackageFault::Grant)?;
        if grant.request.to_bytes() != opened.filed().request.to_bytes() || grant.epoch_ids.is_empty() {
            return Err(PackageFault::Grant);
        }
        let decided = approvals(charter.charter(), &grant, &opened, policy, &mut register)?;
        let cells = self.cells(charter, &grant, opened.text(), &mut register)?;
        let desk = LogName::Desk(asked.requester_agency);
        let desk = charter.charter().log(&desk).is_some().then_some(desk);
        let claim = self.disclosed(&opened, &grant, desk, &mut register)?;
        if claim.0.cells.checked_sub(claim.0.others) != u64::try_from(cells).ok() {
            return Err(PackageFault::Count);
        }
        let held = self.held(&opened, &grant, charter.charter(), desk, &mut register)?;
        if !register.0.is_empty() {
            return Err(PackageFault::Extra);
        }
        let signed = self.claim().ok().zip(self.signature).is_some_and(|(claim, signature)| {
            let framed = Writer::new().lv32(&claim.digest).raw(&signature).finish();
            let signed = Signed::<PackageClaim>::from_bytes(&framed);
            signed.is_ok_and(|signed| signed.verify(&VerifyKey(asked.officer_key)).is_ok())
        });
        if !signed {
            return Err(PackageFault::Signature);
        }
        Ok(Checked {
            approvers: decided.approvers,
            rules: decided.rules,
            policy: decided.policy,
            replayed: policy.is_some(),
            judicial: decided.judicial,
            epochs: grant.epoch_ids.len(),
            cells: claim.0.cells,
            others: claim.0.others,
            disclosure: claim.1,
            held,
            keep_until: held.map_or(decided.keep_until, |held| held.until),
            opened,
        })
    }

    /// The request as a keeper would see it.
    fn opened(&self, charter: &Charter) -> Result<Opened<SearchRequest>, PackageFault> {
        let filed = FiledRequest::from_bytes(&self.filed.0).map_err(|_form| PackageFault::Request)?;
        let asked = filed.verify().map_err(|_signature| PackageFault::Request)?;
        if asked.owner_agency != charter.owner.id {
            return Err(PackageFault::Request);
        }
        let bad = |_form| PackageFault::Statement;
        let element = |shown: &ElementShown| {
            let input = PlateInput::from_bytes(&shown.input.0).ok_or(PackageFault::Statement)?;
            Ok((input, Blind::from_bytes(&shown.blind).map_err(|_scalar| PackageFault::Statement)?))
        };
        let text = OpeningText {
            elements: self.elements.iter().map(element).collect::<Result<_, _>>()?,
            statement: StatementText::from_bytes(&self.statement.0).map_err(bad)?,
            // They open plates of court papers to keepers; nobody else needs them.
            disclosures: Vec::new(),
            salts: Secret::new(self.salts),
        };
        let opened = check_text(filed, text, self.openings.clone()).map_err(bad)?;
        if plates_named(&opened) == 1 { Ok(opened) } else { Err(PackageFault::Plates) }
    }

    /// Opens every cell; how many.
    fn cells(
        &self,
        charter: &CharterFile,
        grant: &Grant,
        asked: &OpeningText,
        register: &mut Register<'_>,
    ) -> Result<usize, PackageFault> {
        let mut epochs = BTreeMap::new();
        for shown in &self.epochs {
            let (header, close) =
                check_epoch(charter, &shown.header.0, &shown.close.0).map_err(|_owner| PackageFault::Epoch)?;
            let window = (grant.request.claimed().win_from, grant.request.claimed().win_to);
            let granted = grant.epoch_ids.binary_search(&header.epoch_id).is_ok();
            let logged = register.take(|log, entry| {
                matches!(entry, LogEntry::EpochClosed(said)
                    if log == LogName::Recorder && said.header == close.header_hash && said.root == close.segment_root)
            });
            logged.ok_or(PackageFault::Missing)?;
            if !granted || header.cap_from < window.0 || header.cap_to > window.1 {
                return Err(PackageFault::Epoch);
            }
            if epochs.last_key_value().is_some_and(|(last, _)| *last >= header.epoch_id) {
                return Err(PackageFault::Form);
            }
            epochs.insert(header.epoch_id, (close.segment_root, header.bucket_bits));
        }
        let mut proofs = Vec::with_capacity(self.buckets.len());
        for shown in &self.buckets {
            let proof = BucketProof::from_bytes(&shown.proof.0).map_err(|_form| PackageFault::Bucket)?;
            proofs.push((shown.epoch, proof));
        }
        if !proofs.is_sorted_by(|a, b| (a.0, a.1.bucket) < (b.0, b.1.bucket)) {
            return Err(PackageFault::Form);
        }
        let mut buckets = BTreeMap::new();
        for (epoch, proof) in &proofs {
            let (root, bits) = epochs.get(epoch).ok_or(PackageFault::Extra)?;
            let bucket = proof.verify(proof.bucket, root, *bits).map_err(|_unproved| PackageFault::Bucket)?;
            buckets.insert((*epoch, proof.bucket), bucket);
        }
        let mut reads = Vec::with_capacity(self.cells.len());
        let (mut tags, mut used) = (BTreeSet::new(), BTreeSet::new());
        let mut last: Option<Place> = None;
        for cell in &self.cells {
            let bucket = buckets.get(&(cell.epoch, cell.bucket)).ok_or(PackageFault::Cell)?;
            let key = CellKey::from_bytes(cell.key);
            let read = key.read(cell.epoch, cell.tag, bucket).map_err(|_closed| PackageFault::Cell)?;
            let here = place(cell, &read);
            if last.is_some_and(|last| last >= here) || !tags.insert((cell.epoch, cell.tag)) {
                return Err(PackageFault::Form);
            }
            if is_other(&read, &asked.statement) {
                return Err(PackageFault::Cell);
            }
            last = Some(here);
            used.insert((cell.epoch, cell.bucket));
            reads.push(read);
        }
        let idle = epochs.keys().any(|epoch| !used.iter().any(|(other, _)| other == epoch));
        if used.len() != buckets.len() || idle {
            return Err(PackageFault::Extra);
        }
        if words(reads.iter(), &asked.statement) != self.reads {
            return Err(PackageFault::Reads);
        }
        Ok(reads.len())
    }

    fn disclosed(
        &self,
        opened: &Opened<SearchRequest>,
        grant: &Grant,
        desk: Option<LogName>,
        register: &mut Register<'_>,
    ) -> Result<(DisclosureClaim, Option<u64>), PackageFault> {
        let bad = |_form| PackageFault::Disclosure;
        let asked = opened.request();
        let signed = Signed::<DisclosureClaim>::from_bytes(&self.disclosure.0).map_err(bad)?;
        let claim = signed.verify(&VerifyKey(asked.officer_key)).map_err(bad)?;
        if claim.request_digest != asked.digest() || claim.grant_digest != grant.digest() {
            return Err(PackageFault::Disclosure);
        }
        let outcome = if self.cells.is_empty() { Outcome::None } else { Outcome::Found };
        let logged = register.take(|log, entry| {
            matches!(entry, LogEntry::Disclosure(said) if Some(log) == desk
                && (said.request, said.grant, said.owner) == (claim.request_digest, claim.grant_digest, asked.owner_agency)
                && (said.cells, said.others, said.outcome) == (claim.cells, claim.others, outcome))
        });
        match (desk, &logged) {
            (Some(_), None) => Err(PackageFault::Missing),
            (None, _) | (_, Some(_)) => Ok((claim.clone(), logged.map(|logged| logged.index))),
        }
    }

    fn held(
        &self,
        opened: &Opened<SearchRequest>,
        grant: &Grant,
        charter: &Charter,
        desk: Option<LogName>,
        register: &mut Register<'_>,
    ) -> Result<Option<Held>, PackageFault> {
        let statement = opened.text().statement.statement();
        let (Some(case_key), true) = (self.case_key, statement.hold) else {
            // A hold that is not held is no package: its rules are not those of a search.
            let none = self.case_key.is_none() && self.hold.0.is_empty() && !statement.hold;
            return if none { Ok(None) } else { Err(PackageFault::Hold) };
        };
        let bad = |_form| PackageFault::Hold;
        let signed = Signed::<HoldClaim>::from_bytes(&self.hold.0).map_err(bad)?;
        let claim = signed.verify(&VerifyKey(opened.request().officer_key)).map_err(bad)?;
        let held = HeldFor {
            salts: &opened.text().salts,
            case_number: &statement.case_number,
            seconds: &opened.filed().seconds,
            held: held_digest(&self.cells),
            case_key,
        };
        let holds = claim.request_digest == opened.request().digest()
            && claim.grant_digest == grant.digest()
            && u64::try_from(self.cells.len()) == Ok(claim.cells)
            && claim.until <= latest_until(charter, grant)
            && held.digests().is_ok_and(|digests| digests == claim.sd);
        if !holds {
            return Err(PackageFault::Hold);
        }
        let leaf = claim.leaf().map_err(bad)?;
        let logged =
            register.take(|log, entry| matches!(entry, LogEntry::Hold(said) if Some(log) == desk && *said == leaf));
        match (desk, &logged) {
            (Some(_), None) => Err(PackageFault::Missing),
            (None, _) | (_, Some(_)) => {
                Ok(Some(Held { until: claim.until, register: logged.map(|logged| logged.index) }))
            }
        }
    }
}

/// A leaf of the package that is not accounted for yet.
struct Entry<'a> {
    log: LogName,
    index: u64,
    leaf: &'a [u8],
    entry: LogEntry,
    time: Timestamp,
}

/// What the receipts prove; every entry must be needed for something.
struct Register<'a>(Vec<Entry<'a>>);

impl<'a> Register<'a> {
    fn of(proven: &'a [Proven]) -> Result<Self, PackageFault> {
        let entries = proven.iter().map(|one| match parse_leaf(&one.leaf) {
            Ok(Leaf::Known(stamped)) => Ok(Entry {
                log: one.log,
                index: one.index,
                leaf: &one.leaf,
                time: stamped.at(),
                entry: stamped.entry().clone(),
            }),
            Ok(Leaf::Unknown(_)) | Err(_) => Err(PackageFault::Entry),
        });
        entries.collect::<Result<_, _>>().map(Self)
    }

    fn take(&mut self, wanted: impl Fn(LogName, &LogEntry) -> bool) -> Option<Entry<'a>> {
        let at = self.0.iter().position(|entry| wanted(entry.log, &entry.entry))?;
        Some(self.0.swap_remove(at))
    }

    fn take_at(&mut self, log: LogName, index: u64) -> Result<Entry<'a>, PackageFault> {
        let at = self.0.iter().position(|entry| (entry.log, entry.index) == (log, index));
        at.map(|at| self.0.swap_remove(at)).ok_or(PackageFault::Missing)
    }

    fn take_request(&mut self, log: LogName, index: u64) -> Result<(Box<RequestLeaf>, Timestamp), PackageFault> {
        let entry = self.take_at(log, index)?;
        #[expect(clippy::wildcard_enum_match_arm, reason = "asks for one variant; every other one is no request")]
        match entry.entry {
            LogEntry::Request(leaf) => Ok((leaf, entry.time)),
            _ => Err(PackageFault::Entry),
        }
    }
}

/// What the approvals of a grant come to.
struct Approved {
    approvers: Vec<Approver>,
    rules: BTreeSet<String>,
    policy: [u8; 32],
    judicial: bool,
    keep_until: Timestamp,
}

/// Every approval stands in its keeper's log, which commits to this very request, and the rules can have given it.
fn approvals(
    charter: &Charter,
    grant: &Grant,
    opened: &Opened<SearchRequest>,
    policy: Option<&dyn AccessPolicy>,
    register: &mut Register<'_>,
) -> Result<Approved, PackageFault> {
    let first = grant.approvals.first().ok_or(PackageFault::Grant)?;
    let in_force = first.claimed().policy_digest;
    if policy.is_some_and(|policy| policy.digest() != in_force) {
        return Err(PackageFault::Rules(ReplayFault::Unknown));
    }
    let mut approved = Approved {
        approvers: Vec::new(),
        rules: BTreeSet::new(),
        policy: in_force,
        judicial: true,
        keep_until: Timestamp(u64::MAX),
    };
    let mut humans = 0;
    for signed in &grant.approvals {
        let approval = signed.claimed();
        let keeper = charter.keepers.iter().find(|keeper| keeper.key.public_key() == approval.keeper_key);
        let keeper = keeper.ok_or(PackageFault::Grant)?;
        if approval.log_origin != keeper.log_key.name().as_str() {
            return Err(PackageFault::Grant);
        }
        let log = LogName::Keeper(keeper.index);
        let by_person = approval.decision == Decided::ApprovedByHuman;
        let request_index = if by_person {
            let entry = register.take_at(log, approval.leaf_index)?;
            let said = human_outcome(entry.leaf).ok_or(PackageFault::Entry)?;
            if !said.approved || said.request != approval.request_digest || said.time != approval.time {
                return Err(PackageFault::Entry);
            }
            said.request_index
        } else {
            approval.leaf_index
        };
        let (leaf, time) = register.take_request(log, request_index)?;
        let decided = if by_person { RequestDecision::Ask } else { RequestDecision::Allow };
        if leaf.request != approval.request_digest
            || leaf.decision != decided
            || leaf.policy != in_force
            || (!by_person && time != approval.time)
        {
            return Err(PackageFault::Entry);
        }
        check_leaf(charter, opened, &leaf, time, policy)?;
        let duties = leaf.obligations.ok_or(PackageFault::Entry)?;
        humans = duties.approvers.max(humans);
        let kept = u64::from(duties.retain_days).saturating_mul(DAY);
        approved.keep_until = approved.keep_until.min(Timestamp(time.0.saturating_add(kept)));
        approved.judicial &= leaf.judicial;
        approved.rules.extend(leaf.rules);
        approved.approvers.push(Approver {
            keeper: keeper.index,
            by_person,
            time: approval.time,
            register: approval.leaf_index,
        });
    }
    grant.check_approvals(charter, &in_force, humans).map_err(|_grant| PackageFault::Grant)?;
    approved.approvers.sort_unstable_by_key(|approver| approver.keeper);
    Ok(approved)
}

fn check_leaf(
    charter: &Charter,
    opened: &Opened<SearchRequest>,
    leaf: &RequestLeaf,
    time: Timestamp,
    policy: Option<&dyn AccessPolicy>,
) -> Result<(), PackageFault> {
    // The tags of a notice hang on the keeper's own key.
    for name in SaltedName::ALL.iter().filter(|name| **name != SaltedName::Notice) {
        let digest = disclosure_of(opened, *name, &[]).map(|one| one.digest());
        if !digest.is_ok_and(|digest| leaf.sd.contains(&digest)) {
            return Err(PackageFault::Salted(*name));
        }
    }
    let decided = replay::Decided { leaf, time, dealt: None };
    match policy {
        None => replay::check_stated(charter, opened, decided).map_err(PackageFault::Rules),
        Some(policy) => match replay::replay(policy, charter, opened, decided) {
            Ok(Replayed::Same) => Ok(()),
            Ok(Replayed::ByCode | Replayed::OtherRules) => Err(PackageFault::Rules(ReplayFault::Allowed)),
            Err(fault) => Err(PackageFault::Rules(fault)),
        },
    }
}
