//! What changes whom a keeper believes, at three keepers on loopback TLS: emergencies and their papers, revocations, later papers,
//! trust lists, policy changes, and what one agency may ask for.

use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_core::approval::{Approval, Grant};
use lockplate_core::directory::{TrustEntry, TrustRole};
use lockplate_core::disclosure::Disclosure;
use lockplate_core::emergency::{seal_disclosures, sign_report};
use lockplate_core::entry::{KeyChange, KeyLeaf, Leaf, LogEntry, PaperStatus, PolicyRelation, parse_leaf};
use lockplate_core::envelope::HpkePublicKey;
use lockplate_core::id::b64url;
use lockplate_core::json::{Field as _, time_text};
use lockplate_core::keeper::Verdict;
use lockplate_core::sign::{Signed, SigningKey};
use lockplate_core::vocabulary::{Basis, Purpose, State};
use lockplate_node::api::{
    AnswerState, B64, Done, Evaluated, GrantShown, KeeperAnswer, ObjectFiled, PaperFiled, PolicyFile, PolicyFiled,
    PolicyShown,
};
use lockplate_node::client::PeerError;
use lockplate_node::founding::{
    Order, PolicyChangeOrder, RevocationOrder, SignedPaper, TrustListOrder, cosign, court_trust_entry, make_note_key,
    sign_warrant, statement_signer,
};
use lockplate_node::keeper::admin::{self, AdminError};
use lockplate_node::problem::ProblemKind;
use lockplate_node::rng::SystemRng;
use lockplate_policy::Bundle;
use sha2::{Digest as _, Sha256};

use crate::keeper::{DAY, Emergency, HOUR, JUDGE, NOW, REQUESTS_AN_HOUR, Searched, Town, post, problem};

const SIGNER: &str = "clerk.example";

/// One more forbid than the law has.
const LOCAL: &str = r#"@id("local.no-purple")
@cite("Rule 7 of the town")
@since("2026-11-01")
@mark("C")
@say("The town does not search for stolen vehicles.")
@fix("Put the plate on a hot list.")
forbid (
  principal,
  action == Lockplate::Action::"search",
  resource
)
when { context.purpose == Lockplate::Purpose::"stolenVehicle" };
"#;

async fn file(town: &Town, place: usize, searched: &Searched) -> KeeperAnswer {
    post(&town.keepers()[place], "/v1/requests", &searched.body[place]).await.unwrap()
}

fn entries(leaves: &[Vec<u8>]) -> Vec<LogEntry> {
    let known = leaves.iter().filter_map(|leaf| match parse_leaf(leaf).unwrap() {
        Leaf::Known(stamped) => Some(stamped.entry().clone()),
        Leaf::Unknown(_) => None,
    });
    known.collect()
}

async fn papers(town: &Town, place: usize) -> Vec<PaperStatus> {
    let papers = entries(&town.leaves(place).await).into_iter().filter_map(|entry| match entry {
        LogEntry::Paper(leaf) => Some(leaf.status),
        _ => None,
    });
    papers.collect()
}

async fn order(town: &Town, place: usize, object: &[u8]) -> Result<Done, PeerError> {
    post(&town.keepers()[place], "/v1/authorisations", &ObjectFiled { object: B64(object.to_vec()) }).await
}

fn signed(town: &Town, order: Order, key: &str) -> SignedPaper {
    order.sign(&town.folder.path().join(key), Timestamp(town.now()), &mut SystemRng).unwrap()
}

/// The judge takes back a paper, or, where there is one, a key.
fn revocation(object: &[u8; 32], key: &str) -> RevocationOrder {
    RevocationOrder {
        kind: "revocation".to_owned(),
        issuer: JUDGE.to_owned(),
        object: if key.is_empty() { b64url(object) } else { String::new() },
        key: key.to_owned(),
        reason: "mistake".to_owned(),
        from: time_text(Timestamp(NOW)),
    }
}

impl Town {
    fn emergency(&self, seconds: &[&SigningKey], declared_by: Option<&[&SigningKey]>) -> Searched {
        self.ask_with(Purpose::MissingPerson, Basis::Exigency, None, Some(Emergency { seconds, declared_by }))
    }

    fn owner_name(&self) -> String {
        self.agency.id.clone()
    }

    async fn stop_all(&mut self) {
        for place in 0..3 {
            self.stop(place).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_takes_two_people_and_a_paper_within_a_day() {
    let mut town = Town::new().await;
    town.close_epoch().await;
    let supervisor = SigningKey::from_seed(&town.supervisor.to_seed());

    // Said alone, or declared by the officer alone, it is none.
    let refused = [
        town.emergency(&[], None),
        town.emergency(&[&supervisor], None),
        town.emergency(&[&supervisor], Some(&[])),
        town.emergency(&[], Some(&[&supervisor])),
    ];
    for searched in &refused {
        let answer = file(&town, 0, searched).await;
        assert_eq!(answer.state, AnswerState::Refused);
        assert!(answer.rules.contains(&"base.emergency".to_owned()), "{:?}", answer.rules);
    }
    assert_eq!(papers(&town, 0).await, []);

    let first = town.emergency(&[&supervisor], Some(&[&supervisor]));
    let answer = file(&town, 0, &first).await;
    assert_eq!(answer.state, AnswerState::Approved, "{:?}", answer.rules);
    assert_eq!(papers(&town, 0).await, [PaperStatus::Due], "it is due before anything is answered");
    let second = town.emergency(&[&supervisor], Some(&[&supervisor]));
    assert_eq!(file(&town, 0, &second).await.state, AnswerState::Approved);

    // Nothing is owed a second before the deadline; from it on the agency is suspended, and the log says so.
    let owes = |answer: &KeeperAnswer| answer.rules.contains(&"base.overdue-paper".to_owned());
    town.clock.advance(Duration::from_secs(DAY - 1));
    town.push_directory(2).await;
    assert!(!owes(&file(&town, 0, &town.ask(Purpose::MissingPerson, Basis::None, None)).await));
    town.clock.advance(Duration::from_secs(1));
    let suspended = file(&town, 0, &town.ask(Purpose::MissingPerson, Basis::None, None)).await;
    assert!(owes(&suspended), "{:?}", suspended.rules);
    for _tenth in 0..100 {
        if papers(&town, 0).await.ends_with(&[PaperStatus::Overdue, PaperStatus::Overdue]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(papers(&town, 0).await.ends_with(&[PaperStatus::Overdue, PaperStatus::Overdue]));

    // A report of the officer's own, of nobody, of another request; then the supervisor's, after a restart.
    town.stop(0).await;
    town.start(0).await;
    town.push_directory(3).await;
    let digest = first.filed.request.signed_hash();
    let report = |key: &SigningKey, request: [u8; 32]| {
        sign_report(request, [7; 32], key, Timestamp(town.now()), &mut SystemRng).unwrap()
    };
    let keeper = town.keepers().remove(0);
    let paper = |object: Vec<u8>| PaperFiled { request: B64(digest.to_vec()), object: B64(object), disclosures: None };
    for bad in [report(&town.officer, digest), report(&supervisor, [9; 32])] {
        assert_eq!(problem(post::<_, Done>(&keeper, "/v1/papers", &paper(bad)).await), ProblemKind::Invalid);
    }
    let good = report(&supervisor, digest);
    for _repeat in 0..2 {
        let _done: Done = post(&keeper, "/v1/papers", &paper(good.clone())).await.unwrap();
    }
    let other = post::<_, Done>(&keeper, "/v1/papers", &paper(report(&supervisor, digest))).await;
    assert_eq!(problem(other), ProblemKind::Conflicting, "one paper files it");
    assert!(owes(&file(&town, 0, &town.ask(Purpose::MissingPerson, Basis::None, None)).await), "one is still owed");

    // The second is filed by a court's paper for the same plate, time and purpose.
    let digest = second.filed.request.signed_hash();
    let mut ordered = town.order();
    ordered.purpose = "missingPerson".to_owned();
    let judge = town.folder.path().join("judge.pem");
    let sign = |order| sign_warrant(order, &judge, Timestamp(town.now()), &mut SystemRng).unwrap();
    let late = |paper: &SignedPaper| {
        let entry = &town.charter.charter().keepers[0];
        let key = HpkePublicKey::from_slice(&entry.opening_key).unwrap();
        let disclosures: Vec<_> = paper.disclosures.iter().map(|text| Disclosure::parse(text).unwrap()).collect();
        let sealed = seal_disclosures(&key, &digest, &disclosures, &mut SystemRng).unwrap();
        let (request, object) = (B64(digest.to_vec()), B64(paper.auth.clone()));
        PaperFiled { request, object, disclosures: Some(B64(sealed)) }
    };
    let mut other_plate = ordered.clone();
    other_plate.plates[0].text = "ZZ99999".to_owned();
    let mut other_time = ordered.clone();
    other_time.window.0 = time_text(Timestamp(NOW - HOUR));
    let other_purpose = town.order();
    for bad in [&other_plate, &other_time, &other_purpose] {
        let answer = post::<_, Done>(&keeper, "/v1/papers", &late(&sign(bad))).await;
        assert_eq!(problem(answer), ProblemKind::Invalid);
    }
    ordered.max_requests = 1;
    let filing = sign(&ordered);
    let _done: Done = post(&keeper, "/v1/papers", &late(&filing)).await.unwrap();
    let due = [PaperStatus::Due, PaperStatus::Due, PaperStatus::Overdue, PaperStatus::Overdue];
    let all: Vec<_> = due.into_iter().chain([PaperStatus::Filed, PaperStatus::Filed]).collect();
    assert_eq!(papers(&town, 0).await, all);
    assert!(!owes(&file(&town, 0, &town.ask(Purpose::MissingPerson, Basis::None, None)).await), "nothing is owed");
    let used_up = town.ask(Purpose::MissingPerson, Basis::SearchWarrant, Some(&filing));
    let answer = file(&town, 0, &used_up).await;
    assert!(answer.reasons.iter().any(|reason| reason.rule == "paper.used-up"), "to file an emergency is a use");
    let unknown = PaperFiled { request: B64(vec![8; 32]), ..late(&sign(&ordered)) };
    assert_eq!(problem(post::<_, Done>(&keeper, "/v1/papers", &unknown).await), ProblemKind::NotFound);
    town.stop_all().await;
}

/// Why the paper of a request does not count at keeper 1; none if it does.
pub(crate) async fn fault(town: &Town, paper: &SignedPaper) -> Option<String> {
    let answer = file(town, 0, &town.ask(Purpose::CrimeInvestigation, Basis::SearchWarrant, Some(paper))).await;
    let named = answer.reasons.iter().find(|reason| reason.rule.starts_with("paper."));
    assert_eq!(answer.state == AnswerState::Refused, named.is_some(), "{:?}", answer.rules);
    named.map(|reason| reason.rule.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn papers_and_keys_are_withdrawn_and_a_bad_paper_is_refused_by_name() {
    let mut town = Town::new().await;
    town.close_epoch().await;
    let judge = town.folder.path().join("judge.pem");
    let plain = town.order();
    let of = |change: &dyn Fn(&mut lockplate_node::founding::WarrantOrder)| {
        let mut order = plain.clone();
        change(&mut order);
        sign_warrant(&order, &judge, Timestamp(NOW), &mut SystemRng).unwrap()
    };
    let good = of(&|_| {});
    assert_eq!(fault(&town, &good).await, None);
    let cases: [(&str, SignedPaper); 8] = [
        ("paper.other-plate", of(&|order| order.plates[0].text = "ZZ99999".to_owned())),
        ("paper.other-scope", of(&|order| order.window.0 = time_text(Timestamp(NOW - HOUR)))),
        ("paper.other-scope", of(&|order| order.offence = "misdemeanor".to_owned())),
        ("paper.other-agency", of(&|order| order.requester = b64url(&[9; 16]))),
        ("paper.other-owner", of(&|order| order.owners = vec![b64url(&[9; 16])])),
        ("paper.expired", of(&|order| order.valid_until = time_text(Timestamp(NOW)))),
        ("paper.signature", of(&|order| order.court = "Moot Court".to_owned())),
        ("paper.other-plate", SignedPaper { disclosures: Vec::new(), ..good.clone() }),
    ];
    for (expected, paper) in cases {
        assert_eq!(fault(&town, &paper).await.as_deref(), Some(expected));
    }
    let other_kind = town.ask(Purpose::CrimeInvestigation, Basis::CourtOrder, Some(&good));
    let answer = file(&town, 0, &other_kind).await;
    assert_eq!(answer.rules, ["keeper.facts"]);
    assert!(answer.reasons.iter().any(|reason| reason.rule == "paper.other-kind"), "{:?}", answer.reasons);
    let once = of(&|order| order.max_requests = 1);
    assert_eq!(fault(&town, &once).await, None);
    assert_eq!(fault(&town, &once).await.as_deref(), Some("paper.used-up"));
    let unattached = {
        let mut searched = town.ask(Purpose::CrimeInvestigation, Basis::SearchWarrant, Some(&good));
        searched.body[0].attachments.clear();
        town.vouch(0, &mut searched.body[0]);
        file(&town, 0, &searched).await
    };
    assert!(unattached.reasons.iter().any(|reason| reason.rule == "paper.other-file"), "{:?}", unattached.reasons);

    // Another judge's word, then the issuer's own; then the same after a restart.
    let withdrawn = of(&|_| {});
    let by_custodian =
        RevocationOrder { issuer: crate::keeper::CUSTODIAN.to_owned(), ..revocation(&withdrawn.digest, "") };
    let by_custodian = signed(&town, Order::Revocation(by_custodian), "records.pem");
    let _done = order(&town, 0, &by_custodian.auth).await.unwrap();
    assert_eq!(fault(&town, &withdrawn).await, None, "it is not the custodian's to take back");
    let by_judge = signed(&town, Order::Revocation(revocation(&withdrawn.digest, "")), "judge.pem");
    for _repeat in 0..2 {
        let _done = order(&town, 0, &by_judge.auth).await.unwrap();
    }
    assert_eq!(fault(&town, &withdrawn).await.as_deref(), Some("paper.withdrawn"));
    town.stop(0).await;
    town.start(0).await;
    assert_eq!(fault(&town, &withdrawn).await.as_deref(), Some("paper.withdrawn"));

    // A later paper of the court takes the place of the earlier as soon as this keeper has seen it.
    let earlier = of(&|_| {});
    let later = of(&|order| order.supersedes = b64url(&earlier.digest));
    assert_eq!(fault(&town, &earlier).await, None);
    assert_eq!(fault(&town, &later).await, None);
    assert_eq!(fault(&town, &earlier).await.as_deref(), Some("paper.withdrawn"));

    // The judge's key.
    let stranger = make_note_key(&town.folder.path().join("stranger.pem"), "stranger.example", &mut SystemRng).unwrap();
    let key =
        town.charter.charter().trust.iter().find(|entry| entry.court == "Superior Court").unwrap().vkey.to_string();
    let by_stranger = RevocationOrder { issuer: "stranger.example".to_owned(), ..revocation(&[0; 32], &key) };
    let by_stranger = signed(&town, Order::Revocation(by_stranger), "stranger.pem");
    assert_eq!(problem(order(&town, 0, &by_stranger.auth).await), ProblemKind::Invalid);
    let unknown = RevocationOrder { issuer: SIGNER.to_owned(), ..revocation(&[0; 32], &stranger.to_string()) };
    let unknown = signed(&town, Order::Revocation(unknown), "policy.pem");
    assert_eq!(problem(order(&town, 0, &unknown.auth).await), ProblemKind::Invalid);
    let by_signer = RevocationOrder { issuer: SIGNER.to_owned(), ..revocation(&[0; 32], &key) };
    let by_signer = signed(&town, Order::Revocation(by_signer), "policy.pem");
    for _repeat in 0..2 {
        let _done = order(&town, 0, &by_signer.auth).await.unwrap();
    }
    assert_eq!(fault(&town, &good).await.as_deref(), Some("paper.signature"));
    let revoked = entries(&town.leaves(0).await)
        .into_iter()
        .filter(|entry| matches!(entry, LogEntry::Key(KeyLeaf { entry, .. }) if entry.change == KeyChange::Revoke));
    assert_eq!(revoked.count(), 1, "once in the log");

    // The agency's key, by a revocation whose process ended before its leaf: the next start tells of it, once, and the directory that
    // the key signed is worth nothing.
    let agency =
        town.charter.charter().trust.iter().find(|entry| entry.role == TrustRole::Agency).unwrap().vkey.to_string();
    assert_eq!(fault(&town, &of(&|_| {})).await.as_deref(), Some("paper.signature"));
    town.stop(0).await;
    let database = rusqlite::Connection::open(town.data(0).join("keeper.db")).unwrap();
    let sql = "INSERT INTO revoked_key (vkey, since, revocation, logged) VALUES (?1, ?2, ?3, 0)";
    assert_eq!(database.execute(sql, rusqlite::params![agency, i64::try_from(NOW).unwrap(), [7_u8; 32]]).unwrap(), 1);
    drop(database);
    for _again in 0..2 {
        town.start(0).await;
        let is_its = |entry: &LogEntry| matches!(entry, LogEntry::Key(KeyLeaf { entry, .. }) if entry.list == [7; 32]);
        let mut told = 0;
        for _tenth in 0..100 {
            told = entries(&town.leaves(0).await).iter().filter(|entry| is_its(entry)).count();
            if told > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(told, 1);
        let asked = town.ask(Purpose::StolenVehicle, Basis::None, None);
        let refused = post::<_, KeeperAnswer>(&town.keepers()[0], "/v1/requests", &asked.body[0]).await;
        assert_eq!(problem(refused), ProblemKind::NotSignedIn);
        town.stop(0).await;
    }
    for place in [1, 2] {
        town.stop(place).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_court_stands_in_the_log_for_three_days_before_it_counts() {
    let mut town = Town::new().await;
    town.close_epoch().await;
    let trust = town.charter.charter().trust.clone();
    let path = town.folder.path().join("judge-2.pem");
    let key = make_note_key(&path, "judge-2.court.example", &mut SystemRng).unwrap();
    let (from, until) = (Timestamp(NOW - DAY), Timestamp(NOW + 300 * DAY));
    let new = court_trust_entry("Judge 18", "Superior Court", key, from, until);
    let json = |entry: &TrustEntry| serde_json::from_slice(&entry.to_json().to_canonical_bytes().unwrap()).unwrap();
    let owner = town.owner_name();
    let list = |entries: Vec<&TrustEntry>, serial: u64| TrustListOrder {
        kind: "trust-list".to_owned(),
        issuer: SIGNER.to_owned(),
        owner: owner.clone(),
        serial,
        previous: String::new(),
        entries: entries.into_iter().map(json).collect(),
    };
    let with_new: Vec<_> = trust.iter().chain([&new]).collect();
    let skipped = signed(&town, Order::TrustList(list(with_new.clone(), 2)), "policy.pem");
    assert_eq!(problem(order(&town, 0, &skipped.auth).await), ProblemKind::Invalid, "serial + 2");
    let by_judge = TrustListOrder { issuer: JUDGE.to_owned(), ..list(with_new.clone(), 1) };
    let by_judge = signed(&town, Order::TrustList(by_judge), "judge.pem");
    assert_eq!(problem(order(&town, 0, &by_judge.auth).await), ProblemKind::Invalid, "no policy signer");
    let good = signed(&town, Order::TrustList(list(with_new, 1)), "policy.pem");
    for place in [0, 0, 1] {
        let _done = order(&town, place, &good.auth).await.unwrap();
    }
    // Whoever sees a false court may stop it, alone, before it counts: here keeper 2 is told.
    let stop = RevocationOrder { issuer: SIGNER.to_owned(), ..revocation(&[0; 32], &new.vkey.to_string()) };
    let stop = signed(&town, Order::Revocation(stop), "policy.pem");
    let _done = order(&town, 1, &stop.auth).await.unwrap();
    let enrolled = entries(&town.leaves(0).await).into_iter().filter_map(|entry| match entry {
        LogEntry::Key(KeyLeaf { entry, .. }) => Some((entry.change, entry.effective)),
        _ => None,
    });
    assert_eq!(enrolled.collect::<Vec<_>>(), [(KeyChange::Enrol, Timestamp(NOW + 72 * HOUR))]);

    let warrant = |town: &Town| {
        let mut order = town.order();
        order.issuer = "judge-2.court.example".to_owned();
        sign_warrant(&order, &path, Timestamp(town.now()), &mut SystemRng).unwrap()
    };
    town.clock.advance(Duration::from_secs(72 * HOUR - 1));
    town.push_directory(2).await;
    assert_eq!(fault(&town, &warrant(&town)).await.as_deref(), Some("paper.signature"));
    // What waits is not lost by a restart.
    town.stop(0).await;
    town.start(0).await;
    town.clock.advance(Duration::from_secs(1));
    assert_eq!(fault(&town, &warrant(&town)).await, None);
    let stopped = town.ask(Purpose::CrimeInvestigation, Basis::SearchWarrant, Some(&warrant(&town)));
    assert_eq!(file(&town, 1, &stopped).await.state, AnswerState::Refused);
    town.stop(0).await;
    town.start(0).await;
    assert_eq!(fault(&town, &warrant(&town)).await, None);

    // To take it away again takes one signer and no time.
    let founding: Vec<_> = trust.iter().collect();
    let back = TrustListOrder { previous: b64url(&good.digest), ..list(founding, 2) };
    let back = signed(&town, Order::TrustList(back), "policy.pem");
    let _done = order(&town, 0, &back.auth).await.unwrap();
    assert_eq!(fault(&town, &warrant(&town)).await.as_deref(), Some("paper.signature"));
    town.stop_all().await;
}

/// A bundle of the town's state with a local pack.
fn tightened() -> Bundle {
    let shipped = Bundle::shipped(State::parse("CT").unwrap());
    let files = shipped.files().chain([("local.cedar", LOCAL)]);
    Bundle::from_files(files.map(|(path, text)| (path.to_owned(), text.to_owned()))).unwrap()
}

impl Town {
    fn change(&self, old: &Bundle, new: &Bundle, effective: u64, allows: Option<&str>) -> PolicyFiled {
        let order = PolicyChangeOrder {
            kind: "policy-change".to_owned(),
            issuer: SIGNER.to_owned(),
            owner: self.owner_name(),
            old: hex::encode(old.digest()),
            new: hex::encode(new.digest()),
            effective: time_text(Timestamp(effective)),
            allows: allows.map(|text| hex::encode(Sha256::digest(text.as_bytes()))).unwrap_or_default(),
        };
        let object = signed(self, Order::PolicyChange(order), "policy.pem").auth;
        let files = new.files().map(PolicyFile::new).collect();
        PolicyFiled { object: B64(object), files, allows: allows.map(str::to_owned) }
    }

    async fn file_policy(&self, place: usize, change: &PolicyFiled) -> Result<Done, PeerError> {
        post(&self.keepers()[place], "/v1/policies", change).await
    }

    async fn policies(&self) -> Vec<(PolicyRelation, [u8; 32], Timestamp)> {
        let leaves = entries(&self.leaves(0).await).into_iter().filter_map(|entry| match entry {
            LogEntry::Policy(leaf) => Some((leaf.relation, leaf.new, leaf.effective)),
            _ => None,
        });
        leaves.collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_tightened_at_once_and_loosened_after_fourteen_days() {
    let mut town = Town::new().await;
    town.close_epoch().await;
    let (shipped, tighter) = (Bundle::shipped(State::parse("CT").unwrap()), tightened());
    let stolen = |town: &Town| town.ask(Purpose::StolenVehicle, Basis::None, None);
    assert_eq!(file(&town, 0, &stolen(&town)).await.state, AnswerState::Approved);

    // Files that are not those signed for; a policy that drops a rule of the constitution; a pack that the lint refuses.
    let mut other = town.change(&shipped, &tighter, NOW, None);
    other.files.pop();
    assert_eq!(problem(town.file_policy(0, &other).await), ProblemKind::Invalid);
    let without = |path: &str, from: &str, to: &str| {
        let files = shipped.files().map(|(name, text)| {
            let text = if name == path { text.replacen(from, to, 1) } else { text.to_owned() };
            (name.to_owned(), text)
        });
        Bundle::from_files(files).unwrap()
    };
    let in_a_month = NOW + 30 * DAY;
    let unfit = without("00-base.cedar", "context.windowDays > 31", "context.windowDays > 310");
    let unstarred = without("props/00-base.cedar", "@constitution(\"true\")\n", "");
    assert_ne!(unstarred.digest(), shipped.digest());
    let change = town.change(&shipped, &unstarred, in_a_month, Some("nothing"));
    assert_eq!(problem(town.file_policy(0, &change).await), ProblemKind::Invalid, "pinned by the charter");

    // Tighter: one signer, the next full minute.
    let change = town.change(&shipped, &tighter, NOW, None);
    for _repeat in 0..2 {
        let _done = town.file_policy(0, &change).await.unwrap();
    }
    let told = town.policies().await;
    assert_eq!(told[1..], [(PolicyRelation::Narrower, tighter.digest(), Timestamp(NOW + 60))]);
    town.clock.advance(Duration::from_secs(59));
    assert_eq!(file(&town, 0, &stolen(&town)).await.state, AnswerState::Approved, "a second too early");
    town.clock.advance(Duration::from_secs(1));
    let answer = file(&town, 0, &stolen(&town)).await;
    assert_eq!((answer.state, answer.rules), (AnswerState::Refused, vec!["local.no-purple".to_owned()]));
    assert!(answer.reasons.iter().any(|reason| reason.cite.as_deref() == Some("Rule 7 of the town")));
    town.stop(0).await;
    town.start(0).await;
    assert_eq!(file(&town, 0, &stolen(&town)).await.rules, ["local.no-purple"], "after a restart too");
    let path = format!("/policy/{}", hex::encode(tighter.digest()));
    let shown: PolicyShown = town.keepers()[0].get_json(&path, &[]).await.unwrap();
    assert!(shown.in_force);
    assert!(shown.files.iter().any(|file| file.path == "local.cedar" && file.text == LOCAL));
    let path = format!("/policy/{}", hex::encode(shipped.digest()));
    let before: PolicyShown = town.keepers()[0].get_json(&path, &[]).await.unwrap();
    assert!(!before.in_force, "what was in force stays readable");

    // Looser, back to where it was: 14 days, and what becomes allowed is published.
    let now = town.now();
    let allows = "Searches for stolen vehicles become allowed again.";
    let early = town.change(&tighter, &shipped, now + 14 * DAY - 1, Some(allows));
    assert_eq!(problem(town.file_policy(0, &early).await), ProblemKind::Invalid, "a second too early");
    let silent = town.change(&tighter, &shipped, now + 15 * DAY, None);
    assert_eq!(problem(town.file_policy(0, &silent).await), ProblemKind::Invalid, "nothing published");
    let empty = town.change(&tighter, &shipped, now + 15 * DAY, Some(" \n"));
    assert_eq!(problem(town.file_policy(0, &empty).await), ProblemKind::Invalid, "an empty text says nothing");
    let mut lying = town.change(&tighter, &shipped, now + 15 * DAY, Some(allows));
    lying.allows = Some("Nothing.".to_owned());
    assert_eq!(problem(town.file_policy(0, &lying).await), ProblemKind::Invalid, "another text");
    let good = town.change(&tighter, &shipped, now + 15 * DAY, Some(allows));
    let _done = town.file_policy(0, &good).await.unwrap();
    let another = town.change(&tighter, &unfit, now + 15 * DAY, Some(allows));
    assert_eq!(problem(town.file_policy(0, &another).await), ProblemKind::Conflicting, "one change at a time");

    // Cancelled by one signer, and filed again.
    let cancel = PolicyFiled { files: Vec::new(), ..town.change(&tighter, &tighter, now, None) };
    let _done = town.file_policy(0, &cancel).await.unwrap();
    town.clock.advance(Duration::from_secs(16 * DAY));
    town.push_directory(2).await;
    assert!(file(&town, 0, &stolen(&town)).await.rules.contains(&"local.no-purple".to_owned()), "it never came");
    let now = town.now();
    let good = town.change(&tighter, &shipped, now + 14 * DAY, Some(allows));
    let _done = town.file_policy(0, &good).await.unwrap();
    town.clock.advance(Duration::from_secs(14 * DAY));
    town.push_directory(3).await;
    assert!(!file(&town, 0, &stolen(&town)).await.rules.contains(&"local.no-purple".to_owned()));
    let relations: Vec<_> = town.policies().await.iter().map(|(relation, ..)| *relation).collect();
    let (looser, equal) = (PolicyRelation::Looser, PolicyRelation::Equal);
    assert_eq!(relations, [looser, PolicyRelation::Narrower, looser, equal, looser]);
    town.stop_all().await;
}

#[test]
fn several_signers_sign_one_change() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["clerk.example", "council.example"];
    let keys: Vec<_> = names.iter().map(|name| folder.path().join(name)).collect();
    for (key, name) in keys.iter().zip(names) {
        make_note_key(key, name, &mut SystemRng).unwrap();
    }
    let order = RevocationOrder {
        kind: "revocation".to_owned(),
        issuer: names[0].to_owned(),
        object: b64url(&[1; 32]),
        key: String::new(),
        reason: "other".to_owned(),
        from: time_text(Timestamp(NOW)),
    };
    let one = Order::Revocation(order).sign(&keys[0], Timestamp(NOW), &mut SystemRng).unwrap();
    let both = cosign(&one.auth, &keys[1], names[1]).unwrap();
    let lines = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap().matches("\n\u{2014} ").count();
    assert_eq!((lines(&one.auth), lines(&both)), (1, 2));
    assert!(cosign(&both, &keys[1], names[1]).is_err(), "twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_agency_cannot_fill_the_log() {
    let mut town = Town::new().await;
    let size = town.leaves(0).await.len();
    for _request in 0..REQUESTS_AN_HOUR {
        let answer = file(&town, 0, &town.ask(Purpose::CivilImmigration, Basis::Detainer, None)).await;
        assert_eq!(answer.state, AnswerState::Refused);
    }
    let full = town.leaves(0).await.len();
    assert_eq!(full - size, usize::try_from(REQUESTS_AN_HOUR).unwrap());
    // Another key of the same agency does not help, and what was answered is still told.
    let first = town.ask(Purpose::StolenVehicle, Basis::None, None);
    let refused = post::<_, KeeperAnswer>(&town.keepers()[0], "/v1/requests", &first.body[0]).await;
    assert_eq!(problem(refused), ProblemKind::Rate);
    town.officer = SigningKey::from_seed(&town.supervisor.to_seed());
    let other = town.ask(Purpose::StolenVehicle, Basis::None, None);
    let refused = post::<_, KeeperAnswer>(&town.keepers()[0], "/v1/requests", &other.body[0]).await;
    assert_eq!(problem(refused), ProblemKind::Rate);
    assert_eq!(town.leaves(0).await.len(), full);
    town.clock.advance(Duration::from_secs(HOUR + 1));
    let later = town.ask(Purpose::StolenVehicle, Basis::None, None);
    assert_eq!(file(&town, 0, &later).await.state, AnswerState::Refused, "an hour later it is heard again");
    town.stop_all().await;
}

/// Whatever a desk files, and with whom first, each keeper counts for itself, in its own log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_desk_cannot_get_round_the_limits_of_an_officer_and_a_plate() {
    const SAME_PLATE: u32 = 10;
    const OF_AN_OFFICER: u32 = 200;
    let mut town = Town::new().await;
    town.close_epoch().await;
    let stolen = |town: &Town| town.ask(Purpose::StolenVehicle, Basis::None, None);
    let refused_by = |answer: &KeeperAnswer, rule: &str| {
        answer.state == AnswerState::Refused && answer.rules.iter().any(|one| one == rule)
    };

    // One plate within 30 days: keepers 1 and 2 are asked, keeper 3 is kept in the dark.
    let (mut of_officer, mut in_this_hour) = (0, 0);
    for _request in 0..SAME_PLATE {
        let searched = stolen(&town);
        for place in [0, 1] {
            assert_eq!(file(&town, place, &searched).await.state, AnswerState::Approved);
        }
        (of_officer, in_this_hour) = (of_officer + 1, in_this_hour + 1);
    }
    let eleventh = stolen(&town);
    let answers = [file(&town, 0, &eleventh).await, file(&town, 1, &eleventh).await, file(&town, 2, &eleventh).await];
    assert!(refused_by(&answers[0], "base.repeat") && refused_by(&answers[1], "base.repeat"), "{answers:?}");
    assert_eq!(answers[2].state, AnswerState::Approved, "it has heard of none, and alone it is not enough");
    // Nor does another officer of the agency help, nor a restart, nor the same request once more.
    town.stop(0).await;
    town.start(0).await;
    assert_eq!(file(&town, 0, &eleventh).await, answers[0]);
    let officer = std::mem::replace(&mut town.officer, SigningKey::from_seed(&town.supervisor.to_seed()));
    assert!(refused_by(&file(&town, 0, &stolen(&town)).await, "base.repeat"));
    town.officer = officer;
    // Nor to call it a hold, nor to write the plate as a camera might misread it.
    town.hold = true;
    assert!(refused_by(&file(&town, 0, &stolen(&town)).await, "keeper.quota"));
    town.hold = false;
    town.plate = "A8I2345";
    assert!(refused_by(&file(&town, 0, &stolen(&town)).await, "base.repeat"), "it opens the same reads");
    town.plate = "AB12346";
    assert_eq!(file(&town, 0, &stolen(&town)).await.state, AnswerState::Approved, "another car");
    town.plate = crate::keeper::PLATE;
    (of_officer, in_this_hour) = (of_officer + 4, in_this_hour + 5);

    // One officer within a day, whatever becomes of the requests; the desk waits an hour each time the agency's own limit is reached.
    let unlawful = |town: &Town| town.ask(Purpose::CivilImmigration, Basis::Detainer, None);
    let mut hours = 0;
    while of_officer < OF_AN_OFFICER {
        if in_this_hour == REQUESTS_AN_HOUR {
            town.clock.advance(Duration::from_secs(HOUR));
            (hours, in_this_hour) = (hours + 1, 0);
        }
        let answer = file(&town, 0, &unlawful(&town)).await;
        assert!(!answer.rules.iter().any(|rule| rule == "base.quota"), "{of_officer}");
        (of_officer, in_this_hour) = (of_officer + 1, in_this_hour + 1);
    }
    town.clock.advance(Duration::from_secs(HOUR));
    let over = stolen(&town);
    let answer = file(&town, 0, &over).await;
    assert!(refused_by(&answer, "base.quota"), "{:?}", answer.rules);
    let leaf = entries(&town.leaves(0).await).into_iter().find_map(|entry| match entry {
        LogEntry::Request(leaf) if leaf.request == over.filed.request.signed_hash() => Some(leaf),
        _ => None,
    });
    assert!(leaf.unwrap().rules.contains("base.quota"), "it stands in the public log");
    let officer = std::mem::replace(&mut town.officer, SigningKey::from_seed(&town.second_key.to_seed()));
    assert!(refused_by(&file(&town, 0, &unlawful(&town)).await, "base.quota"), "another key is the same person");
    town.officer = officer;
    let officer = std::mem::replace(&mut town.officer, SigningKey::from_seed(&town.supervisor.to_seed()));
    assert!(
        !refused_by(&file(&town, 0, &unlawful(&town)).await, "base.quota"),
        "another officer has a count of his own"
    );
    town.officer = officer;
    town.clock.advance(Duration::from_secs(DAY - (hours + 1) * HOUR));
    let answer = file(&town, 0, &unlawful(&town)).await;
    assert!(answer.rules.iter().any(|rule| rule == "base.civil-immigration"), "{:?}", answer.rules);
    assert!(!answer.rules.iter().any(|rule| rule == "base.quota"), "a day after the first of them");
    town.stop_all().await;
}

/// A grant of keeper 1, whose rules said yes, and keeper 2, where a person did if the rules want one.
async fn granted(town: &Town, purpose: Purpose, paper: Option<&SignedPaper>) -> GrantShown {
    let basis = if paper.is_some() { Basis::SearchWarrant } else { Basis::None };
    let mut searched = town.ask(purpose, basis, paper);
    searched.body[0].ask_human = false;
    town.vouch(0, &mut searched.body[0]);
    let first = file(town, 0, &searched).await;
    let mut second = file(town, 1, &searched).await;
    if second.state == AnswerState::Waiting {
        let digest = hex::encode(searched.filed.request.signed_hash());
        second = decide(town, &digest, Verdict::Approve).await.unwrap();
    }
    let approval = |answer: KeeperAnswer| Signed::<Approval>::from_bytes(&answer.approval.unwrap().0).unwrap();
    let approvals = vec![approval(first), approval(second)];
    let epoch_ids = approvals[0].claimed().epochs.clone();
    GrantShown { grant: B64(Grant { request: searched.filed.request, approvals, epoch_ids }.to_bytes()) }
}

async fn decide(town: &Town, digest: &str, verdict: Verdict) -> Result<KeeperAnswer, AdminError> {
    let human = statement_signer(&town.folder.path().join("human-2.pem")).unwrap();
    admin::decide(&town.settings_of(1).admin_socket(), digest, verdict, &human, Timestamp(town.now())).await
}

async fn evaluated(town: &Town, place: usize, grant: &GrantShown) -> Result<Evaluated, PeerError> {
    post(&town.keepers()[place], "/v1/evaluations", grant).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_allowed_or_waits_ends_with_its_paper_its_key_and_its_officer() {
    let mut town = Town::new().await;
    town.close_epoch().await;
    let crime = Purpose::CrimeInvestigation;
    let revoked = |town: &Town, object: &[u8; 32], key: &str| {
        let order = RevocationOrder { issuer: SIGNER.to_owned(), ..revocation(object, key) };
        signed(town, Order::Revocation(order), "policy.pem").auth
    };

    // Allowed, and then the paper is taken back at keeper 1: it multiplies nothing. Keeper 2 has not been told.
    let paper = town.warrant();
    let grant = granted(&town, crime, Some(&paper)).await;
    let later = granted(&town, crime, Some(&paper)).await;
    assert!(evaluated(&town, 0, &grant).await.is_ok());
    let _done = order(&town, 0, &revoked(&town, &paper.digest, "")).await.unwrap();
    assert_eq!(problem(evaluated(&town, 0, &later).await), ProblemKind::Lapsed);
    assert!(evaluated(&town, 1, &later).await.is_ok());

    // It waits, and then the paper is taken back: no is still possible, yes is not, and the card says why.
    let paper = town.warrant();
    let digest = town.wait_for_a_person(&paper).await;
    let _done = order(&town, 1, &revoked(&town, &paper.digest, "")).await.unwrap();
    let waiting = admin::waiting(&town.settings_of(1).admin_socket()).await.unwrap();
    assert_eq!(waiting.iter().map(|one| one.lapsed).collect::<Vec<_>>(), [true]);
    let yes = decide(&town, &digest, Verdict::Approve).await;
    assert!(matches!(yes, Err(AdminError::Refused(ProblemKind::Lapsed))), "{yes:?}");
    assert_eq!(decide(&town, &digest, Verdict::Doubt).await.unwrap().state, AnswerState::Refused);

    // A paper that is over in an hour, and the judge's key.
    let mut short = town.order();
    short.valid_until = time_text(Timestamp(NOW + HOUR));
    let short = sign_warrant(&short, &town.folder.path().join("judge.pem"), Timestamp(NOW), &mut SystemRng).unwrap();
    let over = granted(&town, crime, Some(&short)).await;
    let waits = town.wait_for_a_person(&short).await;
    let of_key = granted(&town, crime, Some(&town.warrant())).await;
    town.clock.advance(Duration::from_secs(HOUR));
    for place in [0, 1] {
        assert_eq!(problem(evaluated(&town, place, &over).await), ProblemKind::Lapsed);
    }
    assert!(decide(&town, &waits, Verdict::Approve).await.is_err());
    let key = town.charter.charter().trust.iter().find(|entry| entry.court == "Superior Court").unwrap();
    let _done = order(&town, 0, &revoked(&town, &[0; 32], &key.vkey.to_string())).await.unwrap();
    assert_eq!(problem(evaluated(&town, 0, &of_key).await), ProblemKind::Lapsed);

    // The officer leaves.
    let grant = granted(&town, Purpose::StolenVehicle, None).await;
    town.officer_left = true;
    town.push_directory(9).await;
    assert_eq!(problem(evaluated(&town, 0, &grant).await), ProblemKind::Lapsed);
    town.stop_all().await;
}
