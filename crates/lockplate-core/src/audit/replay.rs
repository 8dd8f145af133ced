//! Asking the rules again (monitor rule M5 of `log.md`): what an auditor who has opened a request can say of its leaf. What the leaf states
//! in public must be what the officer signed, and the decision must be one that the rules can give.
//!
//! **What he has not got.** The directory, the session, the paper's text and the keeper's counters stay with the keeper. Each of these is
//! taken in the keeper's favour ([`favour`]), so that no honest keeper is ever accused; a yes that even then no rule gives was never one.
//! Whether a paper is a judge's is taken from the leaf, which says it in public. A yes must state the duties and the permits that the rules
//! give, and no more epochs than were dealt. A no can rest on what he has not got; it only must name the rules that refuse whatever that was,
//! and a reason of the keeper's own code that he can check must hold.

use std::collections::BTreeSet;

use crate::Timestamp;
use crate::charter::Charter;
use crate::decision::CodeRule;
use crate::entry::{RequestDecision, RequestLeaf, officer_pseudonym};
use crate::evidence::{NO_DUTIES_NOTICE_DAYS, action_of, days_up, embargo_of, plates_named};
use crate::facts::{AccessPolicy, AgencyFacts, LegalFacts, Obligations, OfficerFacts, PolicyAnswer, SearchFacts};
use crate::id::AgencyId;
use crate::limits::ELEMENT_EPOCHS_MAX;
use crate::request::{Opened, SearchRequest};
use crate::vocabulary::{Assurance, DeclarationName, Level, Role, State};

/// How the ids of rules of the keeper's own code begin.
const BY_CODE: &str = "keeper.";

/// What a replay came to where nobody lied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The rules can give this decision.
    Same,
    /// Refused before the rules were asked, for a reason that holds or that he cannot check.
    ByCode,
    /// The leaf names other rules than those at hand.
    OtherRules,
}

/// What the leaf says is not what was opened. Each is a lie of the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayFault {
    /// A public field is not that of the signed request.
    Stated(&'static str),
    /// Allowed, and the rules allow it on no facts.
    Allowed,
    /// A rule that the rules do not hold.
    Unknown,
    /// Allowed, with duties or by rules that the rules do not give.
    Duties,
    /// Refused, and a rule that refuses it on all facts is not named.
    Refused,
    /// Refused by the keeper's own code, for a reason that does not hold.
    Code,
}

impl core::fmt::Display for ReplayFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Stated(field) => write!(f, "the leaf states another {field} than the request"),
            Self::Allowed => f.write_str("it was allowed, and the rules it names allow it on no facts"),
            Self::Unknown => f.write_str("the leaf names a rule that the rules it names do not hold"),
            Self::Duties => {
                f.write_str("it was allowed with other duties, or by other rules, than the rules it names give")
            }
            Self::Code => f.write_str("it was refused for a reason that does not hold"),
            Self::Refused => f.write_str("it was refused, and the leaf does not name the rules that refuse it"),
        }
    }
}

impl core::error::Error for ReplayFault {}

/// What the auditor does not know of an agency other than the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guess {
    /// Its state.
    pub state: State,
    /// Its level.
    pub level: Level,
    /// A law-enforcement agency?
    pub law_enforcement: bool,
}

/// A leaf that is replayed, and what the logs say beside it.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// The leaf.
    pub leaf: &'a RequestLeaf,
    /// When the keeper wrote it.
    pub time: Timestamp,
    /// Epochs that the recorder's log says it dealt for capture windows inside the request's; none where that log is not known.
    pub dealt: Option<u64>,
}

/// Replays a decision.
///
/// # Errors
/// The first [`ReplayFault`].
pub fn replay(
    policy: &dyn AccessPolicy,
    charter: &Charter,
    opened: &Opened<SearchRequest>,
    decided: Decided<'_>,
) -> Result<Replayed, ReplayFault> {
    let Decided { leaf, time, .. } = decided;
    check_stated(charter, opened, decided)?;
    let allowed = leaf.decision != RequestDecision::Deny;
    if !allowed && leaf.rules.iter().any(|rule| rule.starts_with(BY_CODE)) {
        return check_code(opened, decided);
    }
    let engine = |name: &str| name.split(' ').next().map(str::to_owned);
    if engine(&leaf.engine) != engine(policy.engine()) {
        return Err(ReplayFault::Stated("engine"));
    }
    if leaf.policy != policy.digest() {
        return Ok(Replayed::OtherRules);
    }
    if leaf.rules.iter().any(|rule| policy.explain(rule).is_none()) {
        return Err(ReplayFault::Unknown);
    }
    let owner = owner_facts(charter);
    let foreign = leaf.requester != owner.id || leaf.on_behalf_of != owner.id;
    let mut some_allow = false;
    for guess in guesses(&owner, foreign) {
        let ask = |age_days| policy.rule_on(&favour(&facts(&owner, charter, opened, leaf, (time, age_days)), guess));
        let mut answers = ages(charter, opened.request(), leaf, time).map(ask);
        if !allowed {
            if answers.any(|answer| could_refuse(&answer, leaf)) {
                return Ok(Replayed::Same);
            }
            continue;
        }
        let answers = Answers::of(answers);
        if answers.could_allow(leaf) {
            return Ok(Replayed::Same);
        }
        some_allow |= !answers.duties.is_empty();
    }
    Err(match (allowed, some_allow) {
        (true, true) => ReplayFault::Duties,
        (true, false) => ReplayFault::Allowed,
        (false, _) => ReplayFault::Refused,
    })
}

/// A refusal names the rules that refuse whatever the auditor has not got.
fn could_refuse(answer: &PolicyAnswer, leaf: &RequestLeaf) -> bool {
    match answer {
        PolicyAnswer::Allow { .. } => true,
        PolicyAnswer::Deny { rules } => rules.is_subset(&leaf.rules),
    }
}

/// What allows, for every age that an epoch of the window can have.
#[derive(Default)]
struct Answers {
    permits: BTreeSet<String>,
    duties: Vec<Obligations>,
}

impl Answers {
    fn of(answers: impl Iterator<Item = PolicyAnswer>) -> Self {
        let mut all = Self::default();
        for answer in answers {
            if let PolicyAnswer::Allow { rules, obligations } = answer {
                all.permits.extend(rules);
                all.duties.push(obligations);
            }
        }
        all
    }

    /// Duties of several epochs are put together field by field, so each is one of the answers'. The rules that refused other epochs of the
    /// window may rest on what the auditor has not got.
    fn could_allow(&self, leaf: &RequestLeaf) -> bool {
        let Some(stated) = leaf.obligations else { return false };
        let each = [
            self.duties.iter().any(|one| one.approvers == stated.approvers),
            self.duties.iter().any(|one| one.retain_days == stated.retain_days),
            self.duties.iter().any(|one| one.notice_days == stated.notice_days),
            self.duties.iter().any(|one| one.confirm_visual == stated.confirm_visual),
        ];
        let permits = leaf.rules.intersection(&self.permits).count();
        let asked = leaf.decision != RequestDecision::Ask || stated.approvers > 0;
        each == [true; 4] && asked && permits > 0 && (leaf.epochs_refused > 0 || permits == leaf.rules.len())
    }
}

/// A refusal of the keeper's own code stands alone, and what it says must hold where the auditor can tell.
fn check_code(opened: &Opened<SearchRequest>, decided: Decided<'_>) -> Result<Replayed, ReplayFault> {
    let (Decided { leaf, time, dealt }, asked) = (decided, opened.request());
    // How many holds there were stays with the keeper.
    let counted = opened.text().statement.statement().hold;
    let by = |rule: CodeRule| leaf.rules.contains(rule.id());
    let too_many = |dealt: u64| {
        let all = leaf.elements.saturating_mul(dealt);
        all > u64::try_from(ELEMENT_EPOCHS_MAX).unwrap_or(u64::MAX)
    };
    // An engine that failed names what had spoken.
    let alone = leaf.rules.len() == 1 || !CodeRule::ALL.into_iter().any(by);
    let holds = alone
        && (!by(CodeRule::Expired) || time >= asked.not_after)
        && (!by(CodeRule::Quota) || counted || dealt.is_none_or(too_many));
    if holds { Ok(Replayed::ByCode) } else { Err(ReplayFault::Code) }
}

/// What the leaf repeats of the request.
pub(crate) fn check_stated(
    charter: &Charter,
    opened: &Opened<SearchRequest>,
    Decided { leaf, time, dealt }: Decided<'_>,
) -> Result<(), ReplayFault> {
    let (asked, statement) = (opened.request(), opened.text().statement.statement());
    let paper = (asked.authorisation_digest != [0; 32]).then_some(asked.authorisation_digest);
    let notice = leaf.obligations.map_or(NO_DUTIES_NOTICE_DAYS, |duties| duties.notice_days);
    let epochs = leaf.epochs_allowed.saturating_add(leaf.epochs_refused);
    let counted = match leaf.decision {
        RequestDecision::Allow | RequestDecision::Ask => leaf.epochs_allowed > 0,
        RequestDecision::Deny => leaf.epochs_allowed == 0,
    };
    // A request to another owner is refused for that, and logged.
    let owner = asked.owner_agency == leaf.owner || leaf.rules.contains(CodeRule::Facts.id());
    let without_paper = !leaf.judicial && leaf.assurance == Assurance::None;
    let holds = [
        ("owner", leaf.owner == charter.owner.id && owner),
        ("agency", leaf.requester == asked.requester_agency),
        ("agency that it is for", leaf.on_behalf_of == statement.on_behalf_of),
        ("officer", leaf.officer == officer_pseudonym(leaf.owner, &asked.officer_key, time)),
        ("action", leaf.action == action_of(asked.purpose, statement.hold)),
        ("purpose", leaf.purpose == asked.purpose),
        ("basis", leaf.basis == asked.basis),
        ("paper", leaf.authorisation == paper && (paper.is_some() || without_paper)),
        ("emergency", leaf.emergency == statement.emergency),
        ("number of spellings", usize::try_from(leaf.elements) == Ok(asked.elements.len())),
        ("window", i64::try_from(leaf.window_days) == Ok(days_up(asked.win_from, asked.win_to).max(0))),
        ("number of periods", counted && dealt.is_none_or(|dealt| epochs <= dealt)),
        ("embargo", leaf.embargo == embargo_of(asked, time, notice)),
    ];
    match holds.iter().find(|(_, holds)| !holds) {
        Some((field, _)) => Err(ReplayFault::Stated(field)),
        None => Ok(()),
    }
}

fn owner_facts(charter: &Charter) -> AgencyFacts {
    let owner = &charter.owner;
    agency(owner.id, Guess { state: owner.state, level: owner.level, law_enforcement: true })
}

fn agency(id: AgencyId, Guess { state, level, law_enforcement }: Guess) -> AgencyFacts {
    let declarations = DeclarationName::ALL.iter().copied().collect();
    AgencyFacts { id, state, level, law_enforcement, declarations, overdue_papers: 0 }
}

/// What the requester may be; the owner's own kind first, which is nearly always enough.
fn guesses(owner: &AgencyFacts, foreign: bool) -> impl Iterator<Item = Guess> {
    let first = Guess { state: owner.state, level: owner.level, law_enforcement: true };
    let states = State::ALL.iter().filter_map(|code| State::parse(code));
    let levels = move |state| Level::ALL.iter().map(move |level| (state, *level));
    let kinds = |(state, level)| [true, false].map(|law_enforcement| Guess { state, level, law_enforcement });
    core::iter::once(first).chain(states.flat_map(levels).flat_map(kinds).filter(move |_| foreign))
}

/// The ages that an epoch of the window can have, the youngest first: as many as are kept at most, whatever window was asked. Without an
/// epoch the keeper asks about the window's begin.
fn ages(
    charter: &Charter,
    asked: &SearchRequest,
    leaf: &RequestLeaf,
    time: Timestamp,
) -> impl Iterator<Item = i64> + use<> {
    let oldest = days_up(asked.win_from, time);
    let (from, to) = if leaf.epochs_allowed == 0 && leaf.epochs_refused == 0 {
        (oldest, oldest)
    } else {
        // An older one is destroyed.
        let kept = days_up(Timestamp(0), Timestamp(charter.retention_seconds)).saturating_add(1);
        (days_up(asked.win_to, time).max(0), oldest.min(kept))
    };
    from..=to
}

/// What the auditor knows; the rest is anything, for [`favour`] to fill in.
fn facts(
    owner: &AgencyFacts,
    charter: &Charter,
    opened: &Opened<SearchRequest>,
    leaf: &RequestLeaf,
    (now, age_days): (Timestamp, i64),
) -> SearchFacts {
    let (asked, statement) = (opened.request(), opened.text().statement.statement());
    let named = |id| AgencyFacts { id, ..owner.clone() };
    let person = |key_id| OfficerFacts { key_id, agency: named(leaf.requester), trained_until: now, active: true };
    let elements = u32::try_from(asked.elements.len()).unwrap_or(u32::MAX);
    let epochs = u32::try_from(leaf.epochs_allowed.saturating_add(leaf.epochs_refused)).unwrap_or(u32::MAX);
    SearchFacts {
        action: leaf.action,
        officer: person(asked.officer_key),
        owner: owner.clone(),
        archive_kind: charter.archive_kind,
        now,
        from: asked.win_from,
        to: asked.win_to,
        window_days: days_up(asked.win_from, asked.win_to),
        age_days,
        purpose: asked.purpose,
        legal: LegalFacts {
            kind: asked.basis,
            judicial: leaf.judicial,
            assurance: leaf.assurance,
            valid_from: now,
            valid_until: now,
            case_number: statement.has_case_number(),
            offence: statement.offence.class,
            facts_stated: statement.has_facts(),
        },
        plates: plates_named(opened),
        variants: elements,
        element_epochs: elements.saturating_mul(epochs),
        on_behalf_of: named(leaf.on_behalf_of),
        approvers: opened.filed().seconds.iter().map(|second| person(second.key_id)).collect(),
        approver_roles: core::iter::empty().collect(),
        mfa: true,
        emergency_declared: statement.emergency,
        prior_same_plate_30d: 0,
        requests_last_24h: 0,
        registered_owner: leaf.authorisation.is_some(),
        co_registrants_consent: leaf.authorisation.is_some(),
    }
}

/// The facts with everything that an auditor cannot know turned so that the rules allow the most: people active and trained, declarations
/// on file, counters at nought, a paper that counts in force, and agencies other than the owner as `guess` says. A test asks the shipped
/// rules whether it does.
#[must_use]
pub fn favour(facts: &SearchFacts, guess: Guess) -> SearchFacts {
    let owner = AgencyFacts { overdue_papers: 0, ..facts.owner.clone() };
    let known = |id: AgencyId| if id == owner.id { owner.clone() } else { agency(id, guess) };
    let later = Timestamp(facts.now.0.saturating_add(1));
    let person = |officer: &OfficerFacts| OfficerFacts {
        key_id: officer.key_id,
        agency: known(officer.agency.id),
        trained_until: later,
        active: true,
    };
    let (valid_from, valid_until) =
        if facts.legal.assurance == Assurance::None { (Timestamp(0), Timestamp(0)) } else { (facts.now, later) };
    SearchFacts {
        officer: person(&facts.officer),
        legal: LegalFacts { valid_from, valid_until, ..facts.legal.clone() },
        on_behalf_of: known(facts.on_behalf_of.id),
        approvers: facts.approvers.iter().map(person).collect(),
        approver_roles: if facts.approvers.is_empty() {
            core::iter::empty().collect()
        } else {
            Role::ALL.iter().copied().collect()
        },
        mfa: true,
        prior_same_plate_30d: 0,
        requests_last_24h: 0,
        owner,
        ..facts.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::town::{Asked, TestPolicy, Town};
    use crate::vocabulary::{Basis, Purpose};

    struct Case {
        town: Town,
        asked: Asked,
        leaf: RequestLeaf,
    }

    fn case(purpose: Purpose) -> Case {
        let mut town = Town::new(0);
        let asked = town.ask("AB12345", purpose);
        let (leaf, _) = town.leaf(0, &asked);
        Case { town, asked, leaf }
    }

    impl Case {
        fn replay_with(&self, policy: &TestPolicy) -> Result<Replayed, ReplayFault> {
            let opened = self.town.opened(0, &self.asked);
            replay(
                policy,
                self.town.charter.charter(),
                &opened,
                Decided { leaf: &self.leaf, time: self.town.now, dealt: Some(4) },
            )
        }

        fn replay(&self) -> Result<Replayed, ReplayFault> {
            self.replay_with(&TestPolicy { humans: 0, digest: [5; 32] })
        }

        fn allow(&mut self) {
            let duties = Obligations { approvers: 0, retain_days: 90, notice_days: 180, confirm_visual: false };
            self.leaf.decision = RequestDecision::Allow;
            self.leaf.obligations = Some(duties);
            self.leaf.rules = ["test.permit".to_owned()].into();
            self.leaf.epochs_allowed = 1;
        }
    }

    #[test]
    fn an_honest_decision_is_the_one_that_the_rules_give() {
        assert_eq!(case(Purpose::StolenPlate).replay(), Ok(Replayed::Same), "refused by a rule");
        let mut allowed = case(Purpose::StolenVehicle);
        assert_eq!(allowed.replay(), Ok(Replayed::ByCode), "no epoch in the window");
        allowed.allow();
        assert_eq!(allowed.replay(), Ok(Replayed::Same));
        let other = TestPolicy { humans: 0, digest: [6; 32] };
        assert_eq!(allowed.replay_with(&other), Ok(Replayed::OtherRules));
    }

    #[test]
    fn a_yes_that_no_rule_gives_and_a_no_without_its_rule_are_found() {
        let mut one = case(Purpose::StolenPlate);
        one.allow();
        assert_eq!(one.replay(), Err(ReplayFault::Allowed));
        one.leaf.decision = RequestDecision::Ask;
        assert_eq!(one.replay(), Err(ReplayFault::Allowed));
        let mut one = case(Purpose::StolenPlate);
        one.leaf.rules = ["test.permit".to_owned()].into();
        assert_eq!(one.replay(), Err(ReplayFault::Refused));
    }

    #[test]
    fn a_yes_states_the_duties_and_the_permits_that_the_rules_give() {
        type Change = fn(&mut RequestLeaf);
        let duties =
            |change: fn(&mut Obligations)| move |leaf: &mut RequestLeaf| leaf.obligations.iter_mut().for_each(change);
        for (what, fault) in [
            ("approvers", duties(|duties| duties.approvers = 1)),
            ("retain", duties(|duties| duties.retain_days = 3_650)),
            ("confirm", duties(|duties| duties.confirm_visual = true)),
        ] {
            let mut one = case(Purpose::StolenVehicle);
            one.allow();
            fault(&mut one.leaf);
            assert_eq!(one.replay(), Err(ReplayFault::Duties), "{what}");
        }
        let changes: [(Change, ReplayFault); 8] = [
            (|leaf| leaf.rules = ["test.forbid".to_owned()].into(), ReplayFault::Duties),
            (|leaf| leaf.rules.extend(["test.forbid".to_owned()]), ReplayFault::Duties),
            (|leaf| leaf.rules.extend(["test.other".to_owned()]), ReplayFault::Unknown),
            (|leaf| leaf.decision = RequestDecision::Ask, ReplayFault::Duties),
            (|leaf| leaf.obligations = None, ReplayFault::Duties),
            (|leaf| leaf.epochs_allowed = 5, ReplayFault::Stated("number of periods")),
            (|leaf| leaf.epochs_allowed = 0, ReplayFault::Stated("number of periods")),
            (|leaf| leaf.engine = "none 0".to_owned(), ReplayFault::Stated("engine")),
        ];
        for (change, fault) in changes {
            let mut one = case(Purpose::StolenVehicle);
            one.allow();
            change(&mut one.leaf);
            assert_eq!(one.replay(), Err(fault));
        }
        let mut one = case(Purpose::StolenVehicle);
        one.allow();
        one.leaf.epochs_refused = 3;
        one.leaf.rules.insert("test.forbid".to_owned());
        assert_eq!(one.replay(), Ok(Replayed::Same), "some periods were refused");
        // A shorter embargo with the duty that would give it.
        let mut one = case(Purpose::StolenVehicle);
        one.allow();
        let asked = one.asked.filed.request.claimed().clone();
        one.leaf.obligations.iter_mut().for_each(|duties| duties.notice_days = 0);
        one.leaf.embargo = embargo_of(&asked, one.town.now, 0);
        assert_eq!(one.replay(), Err(ReplayFault::Duties));
    }

    #[test]
    fn a_reason_of_the_keepers_own_code_holds_where_it_can_be_checked() {
        for (rules, expected) in [
            (&["keeper.expired"][..], Err(ReplayFault::Code)),
            (&["keeper.quota"], Err(ReplayFault::Code)),
            (&["keeper.replay"], Ok(Replayed::ByCode)),
            (&["keeper.facts", "test.forbid"], Err(ReplayFault::Code)),
            (&["keeper.engine", "test.forbid"], Ok(Replayed::ByCode)),
        ] {
            let mut one = case(Purpose::StolenVehicle);
            one.leaf.rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
            assert_eq!(one.replay(), expected, "{rules:?}");
        }
    }

    #[test]
    fn a_request_to_another_owner_is_refused_for_that_and_accuses_nobody() {
        let mut one = case(Purpose::StolenVehicle);
        let mut charter = one.town.charter.charter().clone();
        charter.owner.id.0[0] ^= 1;
        one.leaf.owner = charter.owner.id;
        let officer_key = one.asked.filed.request.claimed().officer_key;
        one.leaf.officer = officer_pseudonym(charter.owner.id, &officer_key, one.town.now);
        let opened = one.town.opened(0, &one.asked);
        let policy = TestPolicy { humans: 0, digest: [5; 32] };
        let mut refused_by = |rule: &str| {
            one.leaf.rules = [rule.to_owned()].into();
            let decided = Decided { leaf: &one.leaf, time: one.town.now, dealt: None };
            replay(&policy, &charter, &opened, decided)
        };
        assert_eq!(refused_by("keeper.facts"), Ok(Replayed::ByCode));
        assert_eq!(refused_by("test.forbid"), Err(ReplayFault::Stated("owner")));
    }

    #[test]
    fn no_window_makes_the_auditor_work_for_long() {
        let case = case(Purpose::StolenVehicle);
        let count = |from, to, epochs_refused| {
            let asked = SearchRequest {
                win_from: Timestamp(from),
                win_to: Timestamp(to),
                ..case.asked.filed.request.claimed().clone()
            };
            let leaf = RequestLeaf { epochs_refused, ..case.leaf.clone() };
            ages(case.town.charter.charter(), &asked, &leaf, case.town.now).count()
        };
        let kept = usize::try_from(case.town.charter.charter().retention_seconds / 86_400).unwrap();
        assert!(count(0, 253_402_300_799, 13) <= kept + 2);
        assert_eq!(count(0, 253_402_300_799, 0), 1);
        assert_eq!(count(case.town.now.0 + 86_400, 253_402_300_799, 13), 0, "nothing was read yet");
    }

    #[test]
    fn each_public_field_is_that_of_the_request() {
        type Change = fn(&mut RequestLeaf);
        let changes: [(&str, Change); 13] = [
            ("owner", |leaf| leaf.owner.0[0] ^= 1),
            ("agency", |leaf| leaf.requester.0[0] ^= 1),
            ("agency that it is for", |leaf| leaf.on_behalf_of.0[0] ^= 1),
            ("officer", |leaf| leaf.officer[0] ^= 1),
            ("action", |leaf| leaf.action = crate::vocabulary::Action::OwnerAccess),
            ("purpose", |leaf| leaf.purpose = Purpose::AmberAlert),
            ("basis", |leaf| leaf.basis = Basis::SearchWarrant),
            ("paper", |leaf| leaf.authorisation = Some([1; 32])),
            ("paper", |leaf| leaf.judicial = true),
            ("emergency", |leaf| leaf.emergency = !leaf.emergency),
            ("number of spellings", |leaf| leaf.elements += 1),
            ("window", |leaf| leaf.window_days += 1),
            ("embargo", |leaf| leaf.embargo.0 += 1),
        ];
        for (field, change) in changes {
            let mut one = case(Purpose::StolenVehicle);
            change(&mut one.leaf);
            assert_eq!(one.replay(), Err(ReplayFault::Stated(field)));
        }
    }
}
