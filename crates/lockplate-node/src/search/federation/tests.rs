use super::*;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use lockplate_core::Timestamp;
use lockplate_core::vocabulary::{Basis, Offence, Purpose};
use zeroize::Zeroizing;

use crate::api::DeskState;
use crate::client::{CallLimits, PeerTrust};
use crate::clock::TestClock;
use crate::founding::tests::signed_charter;
use crate::http::{Limits, ListenOn, Server, TlsMode};
use crate::problem::{Problem, ProblemKind};
use crate::search::{EMBARGO_S, Liar, Mode};
use crate::shutdown::Tasks;

const NOW: u64 = 1_795_348_800;

fn owners(names: &[&str]) -> Vec<NamedOwner> {
    names.iter().map(|name| NamedOwner { name: None, charter: signed_charter(name, 3_600) }).collect()
}

fn federation(owners: Vec<NamedOwner>, desk: &str, folder: &Path) -> Result<Federation, SearchFault> {
    let desk = PeerClient::new(desk, PeerTrust::PlainLoopback, CallLimits::default()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(TestClock::new(i64::try_from(NOW * 1_000).unwrap()));
    Federation::new(owners, &desk, folder, &clock)
}

fn officer() -> Officer {
    Officer {
        key: SigningKey::random(&mut SystemRng),
        agency: AgencyId([9; 16]),
        passcode: Some(Zeroizing::new("wrong horse".to_owned())),
        seconds: Vec::new(),
    }
}

fn asked() -> Asked {
    Asked {
        plate: Zeroizing::new("AB12345".to_owned()),
        state: None,
        spellings: Mode::Fold,
        purpose: Purpose::StolenVehicle,
        basis: Basis::None,
        case_number: "26-1234".to_owned(),
        offence: Offence::None,
        offence_text: String::new(),
        facts: "An invented car was reported stolen this morning.".to_owned(),
        emergency: None,
        hold: false,
        from: Timestamp(NOW - 7_200),
        to: Timestamp(NOW),
        on_behalf_of: None,
        authorisation: None,
        disclosures: Vec::new(),
        valid_for_s: 86_400,
        embargo_s: EMBARGO_S,
    }
}

/// Tells the texts of faults apart.
fn text<T: core::fmt::Debug>(refused: Result<T, SearchFault>) -> String {
    refused.unwrap_err().to_string()
}

#[test]
fn the_whole_ends_as_its_worst_owner_and_well_only_when_every_owner_has_said_its_last_word() {
    let lied = || SearchFault::Lied { who: Liar::Owner, what: "a lie", evidence: None };
    let refused = || SearchFault::Refused(Vec::new());
    let waiting = || SearchFault::Waiting(DeskState::WaitingForHuman);
    let away = || SearchFault::Unavailable("away");
    let found = |tally: &mut Tally| tally.end(End::Found);
    let exit = |faults: Vec<SearchFault>, answers: usize| {
        let mut tally = Tally::default();
        (0..answers).for_each(|_| found(&mut tally));
        faults.into_iter().for_each(|fault| tally.count(&Err(fault)));
        tally.exit_kind()
    };
    for (faults, answers, expected) in [
        (vec![], 1, ExitKind::Done),
        (vec![refused(), SearchFault::Gone], 1, ExitKind::Done),
        (vec![refused(), SearchFault::Gone], 0, ExitKind::Refused),
        (vec![SearchFault::Gone], 0, ExitKind::Gone),
        (vec![waiting()], 84, ExitKind::Unavailable),
        (vec![refused(), away()], 0, ExitKind::Unavailable),
        (vec![away(), SearchFault::Usage("no")], 1, ExitKind::Usage),
        (vec![SearchFault::Usage("no"), SearchFault::Internal("bug"), SearchFault::File("no")], 1, ExitKind::Internal),
        (vec![SearchFault::Internal("bug"), lied(), away()], 84, ExitKind::Lied),
    ] {
        let shown = format!("{faults:?}, {answers} answers");
        assert_eq!(exit(faults, answers), expected, "{shown}");
    }
    // One owner ends as a search of one owner does.
    for fault in
        [lied(), refused(), waiting(), away(), SearchFault::Gone, SearchFault::File("no"), SearchFault::Usage("no")]
    {
        let alone = fault.exit_kind();
        assert_eq!(exit(vec![fault], 0), alone);
    }
}

#[test]
fn an_owner_is_found_by_name_or_id_and_none_stands_twice() {
    let folder = tempfile::tempdir().unwrap();
    let make = |owners| federation(owners, "http://127.0.0.1:1", folder.path());
    let two = owners(&["Millbrook", "Eastport"]);
    let id = two[1].charter.charter().owner.id;
    let made = make(two.clone()).unwrap();
    assert_eq!((made.find("eastport "), made.find(&lockplate_core::id::b64url(&id.0))), (Some(1), Some(1)));
    assert_eq!((made.find("East"), made.find("")), (None, None));
    assert_eq!((made.name(0), made.name(2), made.id(2)), ("Millbrook", "", None));

    let twice = "an owner, or a name of one, stands twice in the officer's configuration";
    assert_eq!(text(make([two.clone(), two[..1].to_vec()].concat())), twice);
    let named = NamedOwner { name: Some("MILLBROOK".to_owned()), charter: two[1].charter.clone() };
    assert_eq!(text(make(vec![two[0].clone(), named])), twice);
    let bound = "an officer's configuration names 1 to 100 owners";
    assert_eq!(text(make(Vec::new())), bound);
    assert_eq!(text(make(vec![two[0].clone(); OWNERS_MAX + 1])), bound);
    assert_eq!(text(make(vec![two[0].clone(); OWNERS_MAX])), twice, "a hundred are not too many");
}

#[test]
fn each_owner_gets_a_request_of_its_own_and_the_file_that_lists_them_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let named = owners(&["Millbrook", "Eastport", "Harbour"]);
    let made = federation(named.clone(), "http://127.0.0.1:1", folder.path()).unwrap();
    let officer = officer();
    let mut drafted = made.draft(&officer, &asked(), &[2, 0], &mut SystemRng).unwrap();
    let parts = parts_of(&drafted);
    assert_eq!(parts.iter().map(|part| part.owner).collect::<Vec<_>>(), [2, 0]);
    let pending: Vec<Pending> =
        parts.iter().map(|part| Pending::load(folder.path(), &officer.key, &part.request).unwrap()).collect();
    let inputs: BTreeSet<&[u8]> = pending.iter().map(|one| one.inputs[0].0.expose_bytes()).collect();
    assert_eq!(inputs.len(), 2, "one plate, bound to each owner");

    // The number finds them again, in this configuration and in one of another order.
    assert_eq!(made.parts(&officer.key, &drafted.number).unwrap(), parts);
    let other_order = federation(named.iter().rev().cloned().collect(), "http://127.0.0.1:1", folder.path()).unwrap();
    let there: Vec<usize> =
        other_order.parts(&officer.key, &drafted.number).unwrap().iter().map(|part| part.owner).collect();
    assert_eq!(there, [0, 2]);
    let fewer = federation(named[..1].to_vec(), "http://127.0.0.1:1", folder.path()).unwrap();
    assert_eq!(text(fewer.parts(&officer.key, &drafted.number)), OTHER_OWNER.to_string());
    // So does the number of one of them.
    assert_eq!(made.parts(&officer.key, &parts[1].request).unwrap(), parts[1..]);
    assert_eq!(made.requests(&officer, &drafted.number).unwrap(), 2);
    assert!(made.parts(&officer.key, &[7; 32]).is_err());

    // How they ended comes back as well.
    let ended = [Part { end: Some(End::Refused), ..parts[0] }, Part { end: Some(End::NoMatch), ..parts[1] }];
    made.save(&drafted.number, &ended, &officer.key, &mut SystemRng).unwrap();
    assert_eq!(made.parts(&officer.key, &drafted.number).unwrap(), ended);
    for code in 0..=4 {
        assert_eq!(End::of_code(code).map(End::code).unwrap(), code);
    }
    assert!(End::of_code(5).is_err());

    // Neither owner nor number stands in it in clear; torn, changed, another's or renamed it is refused.
    let file = made.path(&drafted.number);
    let good = std::fs::read(&file).unwrap();
    let owner = named[2].charter.charter().owner.id;
    assert!(!good.windows(16).any(|part| part == owner.0) && !good.windows(32).any(|part| part == parts[0].request));
    assert_eq!(text(made.parts(&SigningKey::random(&mut SystemRng), &drafted.number)), TORN.to_string());
    for length in [0, 11, 40, good.len() - 1] {
        std::fs::write(&file, &good[..length]).unwrap();
        assert_eq!(text(made.parts(&officer.key, &drafted.number)), TORN.to_string(), "{length}");
    }
    drafted.number[0] ^= 1;
    std::fs::write(made.path(&drafted.number), &good).unwrap();
    assert_eq!(text(made.parts(&officer.key, &drafted.number)), TORN.to_string());
    for bytes in [&[][..], &[VERSION], &[VERSION + 1; 50], &[VERSION; 49], &[VERSION; 51], &[VERSION; 50]] {
        assert!(made.decode(bytes).is_err(), "{} bytes", bytes.len());
    }
}

#[test]
fn an_owner_whose_periods_do_not_fit_is_left_out_and_the_others_are_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut named = owners(&["Millbrook"]);
    named.push(NamedOwner { name: Some("By the day".to_owned()), charter: signed_charter("Eastport", 86_400) });
    let made = federation(named, "http://127.0.0.1:1", folder.path()).unwrap();
    let drafted = made.draft(&officer(), &asked(), &[0, 1], &mut SystemRng).unwrap();
    let [(only, filed)] = drafted.parts.as_slice() else { panic!("one is asked") };
    assert_eq!((only.owner, filed.request_digest, drafted.number), (0, only.request, only.request));
    let [(1, SearchFault::Usage(_))] = drafted.left_out.as_slice() else { panic!("{:?}", drafted.left_out) };
    let none = made.draft(&officer(), &asked(), &[1], &mut SystemRng);
    assert!(matches!(none, Err(SearchFault::Usage(_))), "{none:?}");
    assert!(matches!(made.draft(&officer(), &asked(), &[], &mut SystemRng), Err(SearchFault::Usage(_))));
}

/// A desk that counts who asks for a session and gives none.
async fn desk(kind: ProblemKind, tasks: &Tasks) -> (String, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let sessions = move |State(calls): State<Arc<AtomicUsize>>| async move {
        calls.fetch_add(1, Ordering::Relaxed);
        Problem::new(kind)
    };
    let router = Router::new().route("/v1/desk/sessions", post(sessions)).with_state(Arc::clone(&calls));
    let on = ListenOn { addr: "127.0.0.1:0".parse().unwrap(), tls: TlsMode::PlainLoopback };
    let server = Server::bind(on, Limits::default()).await.unwrap();
    let address = format!("http://{}", server.local_addr());
    server.serve(router, tasks);
    (address, calls)
}

#[tokio::test]
async fn a_wrong_passcode_and_a_desk_that_is_away_are_found_out_by_the_first_request() {
    let tasks = Tasks::new();
    let folder = tempfile::tempdir().unwrap();
    let named = owners(&["Millbrook", "Eastport", "Harbour"]);
    let officer = officer();
    for (kind, expected) in
        [(ProblemKind::NotSignedIn, ExitKind::Usage), (ProblemKind::Unavailable, ExitKind::Unavailable)]
    {
        let (address, calls) = desk(kind, &tasks).await;
        let made = federation(named.clone(), &address, folder.path()).unwrap();
        let drafted = made.draft(&officer, &asked(), &[0, 1, 2], &mut SystemRng).unwrap();
        let mut told = 0;
        let ended = made.search(&officer, &drafted, Duration::ZERO, Keep::Nothing, &mut |_, _| told += 1).await;
        assert_eq!(ended.unwrap_err().exit_kind(), expected);
        assert_eq!((calls.load(Ordering::Relaxed), told), (1, 0), "five tries would lock the officer out");
        // Nothing is lost: all three can be sent when the desk is there.
        assert_eq!(made.parts(&officer.key, &drafted.number).unwrap().len(), 3);
    }
    tasks.finish(Duration::from_secs(5)).await.unwrap();
}
