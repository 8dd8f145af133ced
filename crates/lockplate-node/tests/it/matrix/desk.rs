//! The door that an officer uses: a federal desk, and a federation of all owners. The desk files with both keepers of each owner; what comes
//! back to the officer, and what stands in the logs, is compared as at the keepers' own door.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use lockplate_core::Timestamp;
use lockplate_core::emergency::Danger;
use lockplate_core::entry::RequestDecision;
use lockplate_core::envelope::HpkeSecretKey;
use lockplate_core::facts::PolicyAnswer;
use lockplate_core::plate::Jurisdiction;
use lockplate_core::sign::SigningKey;
use lockplate_core::vocabulary::{ArchiveKind, Basis, Level, Offence, Purpose, Role, State};
use lockplate_node::agency::{self, Agency, AgencySettings};
use lockplate_node::client::{PeerClient, PeerTrust};
use lockplate_node::clock::{Clock, TestClock};
use lockplate_node::officers::Roster;
use lockplate_node::rng::SystemRng;
use lockplate_node::search::federation::{Federation, NamedOwner, News, Part};
use lockplate_node::search::{Asked, EMBARGO_S, Keep, Mode, Officer, Refusal, SearchFault, desk_limits};
use lockplate_node::shutdown::Tasks;
use zeroize::Zeroizing;

use super::ask::{Ask, By, CourtPaper, Expected, Filer, Flaw, Second};
use super::nation::{Nation, OwnerKind, Party};
use super::{Watch, cases, names_immigration, not_a_warrant};
use crate::keeper::{DAY, NOW, write};
use crate::town_clock::TownClock;

const PASSCODE: &str = "correct horse";
const PATIENCE: Duration = Duration::from_secs(90);
/// Federations under way at a time.
const AT_A_TIME: usize = 4;

struct Desk {
    party: Party,
    running: Agency,
    clock: Arc<TestClock>,
}

impl Desk {
    /// The desk of `party`, which asks every owner of the nation.
    async fn start(party: Party, nation: &Nation) -> Self {
        let path = |name: &str| nation.folder.path().join(name);
        write(&path("card.json"), &serde_json::to_vec(&party.card).unwrap());
        let address = party.card.url.trim_start_matches("https://");
        let mut text = format!("data = 'desk'\n[listen]\naddress = '{address}'\n[desk]\ncard = 'card.json'\n");
        for (number, owner) in nation.owners.values().enumerate() {
            let hash = hex::encode(owner.charter.hash());
            text.push_str(&format!("[[desk.owner]]\ncharter = 'owner-{number:02}/charter.auth'\nhash = '{hash}'\n"));
        }
        write(&path("desk.toml"), text.as_bytes());
        let roster = Roster::at(&path("desk/officers.json"));
        let staff = &party.staff;
        let people: [(&SigningKey, BTreeSet<Role>, Option<&str>); 3] = [
            (staff.first(), BTreeSet::new(), Some(PASSCODE)),
            (&staff.colleague, BTreeSet::new(), None),
            (staff.with(Role::Supervisor), BTreeSet::from([Role::Supervisor]), None),
        ];
        for (key, roles, passcode) in people {
            let trained = Timestamp(NOW + 40 * DAY);
            roster.add_officer(&key.verify_key().0, trained, &roles, passcode, &mut SystemRng).unwrap();
        }
        let clock = Arc::new(TestClock::new(i64::try_from(NOW * 1_000).unwrap()));
        let settings = AgencySettings::load(&path("desk.toml"), []).unwrap();
        let running = agency::start(settings, clock.clone(), &Tasks::new()).await.unwrap();
        Self { party, running, clock }
    }

    fn federation(&self, nation: &Nation) -> Federation {
        let pin = lockplate_core::id::from_b64url(&self.party.card.tls_pin).unwrap();
        let client = PeerClient::new(&self.party.card.url, PeerTrust::Pinned(pin), desk_limits()).unwrap();
        let owners = nation.owners.values().map(|owner| NamedOwner { name: None, charter: owner.charter.clone() });
        let clock: Arc<dyn Clock> = TownClock::over(&self.clock);
        Federation::new(owners.collect(), &client, &nation.folder.path().join("pending"), &clock).unwrap()
    }

    fn officer(&self, ask: &Ask<'_>) -> Officer {
        let copy = |key: &SigningKey| SigningKey::from_seed(&key.to_seed());
        Officer {
            key: copy(self.party.staff.first()),
            agency: self.party.id,
            passcode: ask.mfa.then(|| Zeroizing::new(PASSCODE.to_owned())),
            seconds: ask.seconds.iter().map(|second| copy(ask.key(*second))).collect(),
        }
    }
}

impl Ask<'_> {
    /// The same, as an officer types it.
    fn typed(&self, plate: &str) -> Asked {
        let paper = self.papers(plate, NOW);
        Asked {
            plate: Zeroizing::new(plate.to_owned()),
            state: Jurisdiction::parse("US-CT"),
            spellings: Mode::Fold,
            purpose: self.purpose,
            basis: self.basis,
            case_number: if self.case_number { "26-1234" } else { "none" }.to_owned(),
            offence: self.offence,
            offence_text: "an invented offence".to_owned(),
            facts: if self.facts { "A witness saw this invented car leave the yard." } else { "As above." }.to_owned(),
            emergency: self.emergency.then_some(Danger::Life),
            hold: self.hold,
            from: Timestamp(self.window.0),
            to: Timestamp(self.window.1),
            on_behalf_of: None,
            authorisation: paper.as_ref().map(|paper| paper.auth.clone()),
            disclosures: paper.into_iter().flat_map(|paper| paper.disclosures).map(Zeroizing::new).collect(),
            valid_for_s: DAY,
            embargo_s: EMBARGO_S,
        }
    }
}

/// What a federal officer asks, the ordinary question first; each of the others differs in what its name says.
fn questions<'n>(plain: &Ask<'n>) -> Vec<(String, Ask<'n>)> {
    let mut all: Vec<(String, Ask<'n>)> = Vec::new();
    let mut add = |name: &str, change: &dyn Fn(&mut Ask<'n>)| {
        let mut ask = plain.clone();
        change(&mut ask);
        all.push((name.to_owned(), ask));
    };
    let paper = |kind, by| Some(CourtPaper { kind, by, flaw: Flaw::None });
    let ago = |ask: &mut Ask<'n>, days: u64| ask.window = (NOW - days * DAY, NOW - (days - 1) * DAY);
    add("plain", &|_| {});
    add("alone", &|ask| ask.seconds.clear());
    add("without a second factor", &|ask| ask.mfa = false);
    add("without a case", &|ask| ask.case_number = false);
    add("without facts", &|ask| ask.facts = false);
    add("for a small offence", &|ask| ask.offence = Offence::Misdemeanor);
    add("on a claimed warrant", &|ask| ask.basis = Basis::SearchWarrant);
    add("of old reads", &|ask| ago(ask, 182));
    add("of a long time", &|ask| ask.window = (NOW - 37 * DAY, NOW - 5 * DAY));
    for purpose in Purpose::ALL {
        add(purpose.name(), &|ask| ask.purpose = *purpose);
    }
    add("a hold", &|ask| ask.hold = true);
    add("a hold without a supervisor", &|ask| {
        ask.hold = true;
        ask.seconds = vec![Second::Colleague];
    });
    add("an emergency", &|ask| {
        *ask = Ask { purpose: Purpose::MissingPerson, ..ask.as_emergency() };
    });
    add("an emergency without a supervisor", &|ask| {
        let alone = vec![Second::Colleague];
        *ask = Ask { purpose: Purpose::MissingPerson, seconds: alone, ..ask.as_emergency() };
    });
    let papers = [
        (Purpose::CrimeInvestigation, Basis::SearchWarrant, By::Judge),
        (Purpose::CrimeInvestigation, Basis::CourtOrder, By::Judge),
        (Purpose::CivilImmigration, Basis::SearchWarrant, By::Judge),
        (Purpose::CivilImmigration, Basis::CourtOrder, By::Judge),
        (Purpose::CivilImmigration, Basis::SearchWarrant, By::Custodian),
    ];
    for (purpose, kind, by) in papers {
        add(&format!("{} on a {} of {by:?}", purpose.name(), kind.name()), &|ask| {
            *ask = Ask { purpose, basis: kind, paper: paper(kind, by), ..ask.clone() };
        });
    }
    for (basis, _) in not_a_warrant().into_iter().filter(|(_, paper)| paper.is_none()) {
        add(&format!("civil immigration on {}", basis.name()), &|ask| {
            (ask.purpose, ask.basis) = (Purpose::CivilImmigration, basis);
        });
    }
    add("civil immigration as an emergency", &|ask| {
        *ask = Ask { purpose: Purpose::CivilImmigration, ..ask.as_emergency() };
    });
    add("civil immigration as a hold", &|ask| {
        (ask.purpose, ask.hold) = (Purpose::CivilImmigration, true);
    });
    all
}

/// A request of the desk, for the comparison with the logs.
struct Filed {
    name: String,
    owner: usize,
    request: [u8; 32],
    expected: Expected,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desk_and_a_federation_are_answered_as_the_keepers_answer() {
    let watch = Watch::start();
    let folder = tempfile::tempdir().unwrap();
    let kind = cases::police("US", Level::Federal);
    let party = Party::found(&folder.path().join("desk/keys"), "desk.federal.example", kind, false);
    let toll = OwnerKind { archive: ArchiveKind::Toll, ..OwnerKind::police(State::parse("CT").unwrap()) };
    let owners = cases::states().into_iter().map(OwnerKind::police).chain([toll]);
    let nation = Nation::found(owners, [], Some(&party.card), folder).await;
    let desk = Desk::start(party, &nation).await;
    watch.say(&format!("{} owners and a desk", nation.owners.len()));

    let federation = desk.federation(&nation);
    let owners: Vec<_> = nation.owners.values().collect();
    let plain = |owner| Ask {
        nation: &nation,
        owner,
        requester: &desk.party,
        on_behalf_of: &desk.party,
        filer: Filer::First,
        mfa: true,
        seconds: vec![Second::With(Role::Supervisor)],
        purpose: Purpose::CrimeInvestigation,
        basis: Basis::ReasonableSuspicion,
        offence: Offence::Felony,
        case_number: true,
        facts: true,
        paper: None,
        ownership: None,
        window: (NOW - 5 * DAY, NOW - 4 * DAY),
        plates: 1,
        variants: 2,
        hold: false,
        emergency: false,
        prior: 0,
        overdue: (0, 0),
    };
    let asked: Vec<Vec<(String, Ask<'_>)>> = owners.iter().map(|owner| questions(&plain(owner))).collect();
    let questions = asked[0].len();
    let (mut jobs, mut immigration) = (Vec::new(), 0);
    for at in 0..questions {
        let (name, first) = &asked[0][at];
        let expected: Vec<Expected> = asked.iter().map(|of_owner| of_owner[at].1.expected()).collect();
        let (yes, no): (Vec<usize>, Vec<usize>) = (0..owners.len()).partition(|owner| expected[*owner].is_allowed());
        if first.purpose == Purpose::CivilImmigration && first.paper.is_none() {
            assert!(yes.is_empty() && expected.iter().all(|one| names_immigration(&one.rules())), "{name}");
            immigration += no.len();
        }
        // A paper names one owner, so each owner is asked with a paper of its own; without papers all are asked at once.
        let groups: Vec<Vec<usize>> = match first.paper {
            Some(_) => (0..owners.len()).map(|owner| vec![owner]).collect(),
            None => vec![no, yes].into_iter().filter(|group| !group.is_empty()).collect(),
        };
        jobs.extend(groups.into_iter().map(|group| (at, group, expected.clone())));
    }
    let (jobs_all, case_key) = (jobs.len(), HpkeSecretKey::random(&mut SystemRng).public_key().unwrap());
    let ask = async |(at, group, expected): (usize, Vec<usize>, Vec<Expected>)| {
        let (name, first) = &asked[group[0]][at];
        let officer = desk.officer(first);
        let drafted = federation.draft(&officer, &first.typed(&format!("D{at:05}")), &group, &mut SystemRng).unwrap();
        assert!(drafted.left_out.is_empty(), "{name}");
        let filed = drafted.parts.iter().map(|(part, _)| Filed {
            name: format!("{name} in {}", owners[part.owner].kind.state.code()),
            owner: part.owner,
            request: part.request,
            expected: expected[part.owner].clone(),
        });
        let filed: Vec<Filed> = filed.collect();
        if expected[group[0]].is_allowed() {
            // A person is asked next, which is another test's.
            federation.file(&officer, &drafted, &mut |_, _| {}).await.unwrap();
            return filed;
        }
        let mut told: BTreeMap<usize, Vec<BTreeSet<String>>> = BTreeMap::new();
        let mut hear = |part: &Part, news: News<'_>| match news {
            News::Filed | News::Status(_) => {}
            News::Ended(Err(SearchFault::Refused(refusals))) => {
                // Why a paper does not count is told beside the rules.
                let rules = |refusal: &Refusal| {
                    let named = refusal.reasons.iter().map(|reason| reason.rule.clone());
                    named.filter(|rule| !rule.starts_with("paper.")).collect()
                };
                told.insert(part.owner, refusals.iter().map(rules).collect());
            }
            News::Ended(other) => panic!("{name}: {other:?}"),
        };
        let folder = nation.folder.path();
        let keep = if first.hold { Keep::Hold { folder, case_key: &case_key, until: None } } else { Keep::Nothing };
        let tally = federation.search(&officer, &drafted, PATIENCE, keep, &mut hear).await.unwrap();
        assert_eq!(tally.refused, group.len(), "{name}");
        for one in &filed {
            let of_keepers = &told[&one.owner];
            assert!(!of_keepers.is_empty(), "{}", one.name);
            assert!(of_keepers.iter().all(|rules| *rules == one.expected.rules()), "{}: {of_keepers:?}", one.name);
        }
        filed
    };
    let filed: Vec<Vec<Filed>> = stream::iter(jobs).map(ask).buffer_unordered(AT_A_TIME).collect().await;
    assert_eq!(filed.len(), jobs_all);
    let filed: Vec<Filed> = filed.into_iter().flatten().collect();
    let refused = filed.iter().filter(|one| !one.expected.is_allowed());
    let rules: BTreeSet<String> = refused.flat_map(|one| one.expected.rules()).collect();
    watch.say(&format!("{questions} questions, {} requests", filed.len()));
    eprintln!(
        "{immigration} of them for civil immigration without a court's paper; {} rules refused: {rules:?}",
        rules.len()
    );
    assert!(filed.len() >= 400 && immigration >= 100);
    // The rules that take counters, other requesters or other archives are seen at the keepers' own door.
    let elsewhere = [
        "base.court-paper",
        "base.one-plate",
        "base.overdue-paper",
        "base.quota",
        "base.repeat",
        "base.requester",
        "base.size",
    ];
    let of_all: BTreeSet<String> = cases::all()
        .into_iter()
        .filter(|case| matches!(case.question, lockplate_policy::Question::Search(_)))
        .filter_map(|case| match case.expected {
            PolicyAnswer::Deny { rules } => Some(rules),
            PolicyAnswer::Allow { .. } => None,
        })
        .flatten()
        .collect();
    let unseen: Vec<&String> =
        of_all.iter().filter(|rule| !rules.contains(*rule) && !elsewhere.contains(&rule.as_str())).collect();
    assert!(unseen.is_empty(), "refused by no owner at this door: {unseen:?}");

    for (number, owner) in owners.iter().enumerate() {
        let mine: Vec<&Filed> = filed.iter().filter(|one| one.owner == number).collect();
        for place in [1, 2] {
            let leaves = owner.leaves(place, mine.iter().map(|one| one.request)).await;
            assert_eq!(leaves.len(), mine.len());
            for Filed { name, request, expected, .. } in &mine {
                let leaf = &leaves[request];
                if expected.is_allowed() {
                    // The desk asks the people of as many keepers as the rules want.
                    assert_eq!(leaf.rules, expected.rules(), "{name}");
                    assert_ne!(leaf.decision, RequestDecision::Deny, "{name}");
                } else {
                    expected.check_leaf(name, leaf);
                }
            }
        }
    }
    watch.say("compared with the logs");
    desk.running.end().await.unwrap();
    nation.end().await;
}
