//! What keepers keep beside the log: auditors' Openings, what is published after the embargo, and its end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_core::audit::{
    Audited, AuditorCall, AuditorCallBody, EscrowFault, Review, ReviewBody, auditor_digest, check_escrow, check_notice,
};
use lockplate_core::disclosure::Disclosure;
use lockplate_core::embargo::{DelayNotice, DelayNoticeBody};
use lockplate_core::entry::{Leaf, LogEntry, RequestLeaf, parse_leaf};
use lockplate_core::notice::{BlindedInputs, NoticeValue, OwnerCode};
use lockplate_core::plate::{Jurisdiction, Plate, PlateInput};
use lockplate_core::request::{FiledRequest, check_opening};
use lockplate_core::salted::published_tags;
use lockplate_core::signed::Signable as _;
use lockplate_core::vocabulary::{Basis, Purpose};
use lockplate_node::api::{
    AnswerState, B64, Done, KeeperAnswer, NoticeEvaluated, ObjectFiled, OpeningGiven, ReviewLogged,
};
use lockplate_node::client::PeerError;
use lockplate_node::clock::{Clock as _, TestClock};
use lockplate_node::doctor::Severity;
use lockplate_node::founding::note_signer;
use lockplate_node::keeper::KeeperError;
use lockplate_node::keeper::kek::KekTable;
use lockplate_node::problem::ProblemKind;
use lockplate_node::rng::SystemRng;
use lockplate_node::shutdown::Tasks;
use lockplate_oprf::Element;

use crate::keeper::{AUDITOR, CUSTODIAN, DAY, HOUR, JUDGE, NOW, PLATE, Town, auditor_key, header_at, post, problem};

/// End of November 2026, UTC.
const MONTH_END: u64 = 1_796_083_200;
/// What the town's charter says.
const KEEP: u64 = 366 * DAY;

/// What a keeper serves of a leaf.
async fn opened(town: &Town, place: usize, index: u64) -> Result<Vec<Disclosure>, ProblemKind> {
    match town.keepers()[place].get_bytes(&format!("/log/keeper/openings/{index}"), &[]).await {
        Ok(bytes) => {
            let texts: Vec<String> = serde_json::from_slice(&bytes).unwrap();
            Ok(texts.iter().map(|text| Disclosure::parse(text).unwrap()).collect())
        }
        Err(PeerError::Problem(problem)) => Err(problem.kind()),
        Err(other) => panic!("{other}"),
    }
}

/// As [`opened`], once it is not `before` any more.
async fn opened_after(
    town: &Town,
    place: usize,
    index: u64,
    before: ProblemKind,
) -> Result<Vec<Disclosure>, ProblemKind> {
    for _tenth in 0..300 {
        let now = opened(town, place, index).await;
        if now != Err(before) {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(before)
}

/// The entries of a keeper's published log.
async fn entries(town: &Town, place: usize) -> Vec<LogEntry> {
    let leaves = town.leaves(place).await;
    leaves
        .iter()
        .map(|leaf| match parse_leaf(leaf).unwrap() {
            Leaf::Known(stamped) => stamped.entry().clone(),
            Leaf::Unknown(unknown) => panic!("{}", unknown.type_name),
        })
        .collect()
}

async fn request_leaf(town: &Town, place: usize, index: u64) -> Box<RequestLeaf> {
    let entries = entries(town, place).await;
    let LogEntry::Request(leaf) = &entries[usize::try_from(index).unwrap()] else { panic!("no request") };
    leaf.clone()
}

fn move_to(clock: &TestClock, time: u64) {
    let now = u64::try_from(clock.now_ms()).unwrap() / 1_000;
    clock.advance(Duration::from_secs(time.checked_sub(now).unwrap()));
}

fn month_key(data: &Path) -> [u8; 16] {
    let database = rusqlite::Connection::open(data.join("keeper.db")).unwrap();
    database.query_row("SELECT name FROM month_key", [], |row| row.get(0)).unwrap()
}

/// Bytes of a file of the keeper that stand in clear.
fn holds(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|part| part == what)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_auditors_openings_come_with_the_filing_and_nothing_private_lies_in_clear() {
    let mut town = Town::new().await;
    let keepers = town.keepers();
    let asked = town.ask(Purpose::StolenVehicle, Basis::None, None);
    let [sealed] = asked.body[0].auditor_openings.as_slice() else { panic!("one auditor, one Opening") };

    // Missing, one too many, another one: the desk's fault, and nothing is logged.
    let size = town.leaves(0).await.len();
    let other = town.ask(Purpose::StolenVehicle, Basis::None, None);
    for wrong in [Vec::new(), vec![sealed.clone(); 2], other.body[0].auditor_openings.clone()] {
        let mut filing = asked.body[0].clone();
        filing.auditor_openings = wrong;
        town.vouch(0, &mut filing);
        let answer = post::<_, KeeperAnswer>(&keepers[0], "/v1/requests", &filing).await;
        assert_eq!(problem(answer), ProblemKind::Invalid);
    }
    let mut filing = asked.body[0].clone();
    filing.auditor_openings = vec![B64(vec![0; 64 * 1024 + 1])];
    town.vouch(0, &mut filing);
    assert_eq!(problem(post::<_, KeeperAnswer>(&keepers[0], "/v1/requests", &filing).await), ProblemKind::TooLarge);
    assert_eq!(town.leaves(0).await.len(), size, "no leaf");

    // The hashes are the officer's word: a recipient left out is a refusal that everybody sees.
    let mut short = other.body[0].clone();
    short.opening_hashes.pop();
    short.auditor_openings.clear();
    town.vouch(0, &mut short);
    let answer: KeeperAnswer = post(&keepers[0], "/v1/requests", &short).await.unwrap();
    assert_eq!(answer.state, AnswerState::Refused);
    assert_eq!(answer.rules, ["keeper.opening"]);

    let answer: KeeperAnswer = post(&keepers[0], "/v1/requests", &asked.body[0]).await.unwrap();
    assert_eq!(answer.rules, ["keeper.epochs"], "opened and judged: this town has no reads");
    let hashes: Vec<[u8; 32]> =
        asked.body[0].opening_hashes.iter().map(|hash| hash.0.as_slice().try_into().unwrap()).collect();
    check_opening(asked.filed.clone(), &sealed.0, hashes, 3, &auditor_key()).unwrap();

    // On the disk: neither Opening as it came, nor window, nor plate.
    town.stop(0).await;
    let database = std::fs::read(town.data(0).join("keeper.db")).unwrap();
    assert!(holds(&database, &asked.filed.request.signed_hash()), "the file looked at is the right one");
    for (what, bytes) in [
        ("the Opening", &asked.body[0].opening.0[..64]),
        ("the auditor's Opening", &sealed.0[..64]),
        ("the window", &asked.filed.request.claimed().win_from.0.to_be_bytes()),
        ("the plate", PLATE.as_bytes()),
    ] {
        assert!(!holds(&database, bytes), "{what}");
    }
    assert_eq!(town.doctor(0).worst(), Severity::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_private_opens_after_the_embargo_by_two_clocks_and_is_gone_after_its_time() {
    let mut town = Town::new().await;
    let keepers = town.keepers();
    let asked = town.ask(Purpose::StolenVehicle, Basis::None, None);
    let mut index = [0; 3];
    for (place, keeper) in keepers.iter().enumerate() {
        let answer: KeeperAnswer = post(keeper, "/v1/requests", &asked.body[place]).await.unwrap();
        index[place] = answer.register;
    }
    // A request whose Opening does not open: its leaf holds decoys, and there is nothing to publish.
    let mut spoilt = town.ask(Purpose::StolenVehicle, Basis::None, None).body.swap_remove(0);
    spoilt.opening = B64(vec![1; 2_000]);
    town.vouch(0, &mut spoilt);
    let bare: KeeperAnswer = post(&keepers[0], "/v1/requests", &spoilt).await.unwrap();
    assert_eq!(bare.rules, ["keeper.opening"]);

    let leaf = request_leaf(&town, 0, index[0]).await;
    assert!(leaf.embargo > Timestamp(NOW) && leaf.embargo <= Timestamp(NOW + 30 * DAY));
    for strange in ["99", "1", "0", "01", "x", "-1", "18446744073709551616"] {
        let answer = keepers[0].get_bytes(&format!("/log/keeper/openings/{strange}"), &[]).await;
        assert!(
            matches!(&answer, Err(PeerError::Problem(problem)) if problem.kind() == ProblemKind::NotFound),
            "{strange}"
        );
    }
    assert_eq!(opened(&town, 0, index[0]).await, Err(ProblemKind::NotFound), "still closed");

    // A keeper's clock that jumps ahead by years opens and erases nothing: the others' says otherwise.
    let size = town.leaves(0).await.len();
    town.stop(0).await;
    let key = month_key(&town.data(0));
    let ahead = Arc::new(TestClock::new(i64::try_from((MONTH_END + 3 * KEEP) * 1_000).unwrap()));
    town.begin_by(0, ahead).await.ready().await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(opened(&town, 0, index[0]).await, Err(ProblemKind::NotFound));
    assert_eq!(town.leaves(0).await.len(), size);
    town.stop(0).await;
    assert!(KekTable::look(&town.data(0).join("kek")).unwrap().holds(&key));
    town.start(0).await;

    // A court gives keeper 2 ten more days: logged once and before it counts, never to shorten, never beyond the erasure.
    let digest = asked.filed.request.signed_hash();
    let order = |issuer: &str, file: &str, request: [u8; 32], until: u64| {
        let (court, docket) = ("Superior Court".to_owned(), "26-1".to_owned());
        let body = DelayNoticeBody { court, docket, request, until: Timestamp(until) };
        let signer = note_signer(&town.folder.path().join(file), issuer).unwrap();
        ObjectFiled { object: B64(DelayNotice { header: header_at(issuer, NOW), body }.sign(&[&signer]).unwrap()) }
    };
    let until = leaf.embargo.0 + 10 * DAY;
    for (wrong, refused) in [
        (order(CUSTODIAN, "records.pem", digest, until), ProblemKind::Invalid),
        (order(JUDGE, "judge.pem", digest, leaf.embargo.0), ProblemKind::Invalid),
        (order(JUDGE, "judge.pem", digest, MONTH_END + KEEP), ProblemKind::Invalid),
        (order(JUDGE, "judge.pem", [1; 32], until), ProblemKind::NotFound),
    ] {
        assert_eq!(problem(post::<_, Done>(&keepers[2], "/v1/authorisations", &wrong).await), refused);
    }
    let delay = order(JUDGE, "judge.pem", digest, until);
    for _repeat in 0..2 {
        let _done: Done = post(&keepers[2], "/v1/authorisations", &delay).await.unwrap();
    }
    let delays: Vec<_> = entries(&town, 2)
        .await
        .into_iter()
        .filter_map(|entry| match entry {
            LogEntry::Embargo(entry) => Some((entry.request_index, entry.until.0)),
            _ => None,
        })
        .collect();
    assert_eq!(delays, [(index[2], until)]);

    // One second before the end of the embargo, and at it.
    move_to(&town.clock, leaf.embargo.0 - 1);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(opened(&town, 0, index[0]).await, Err(ProblemKind::NotFound));
    move_to(&town.clock, leaf.embargo.0);
    let shown = opened_after(&town, 0, index[0], ProblemKind::NotFound).await.unwrap();
    let names: Vec<_> = shown.iter().map(Disclosure::name).collect();
    assert_eq!(names, ["notice", "window"], "and nothing else");
    assert!(shown.iter().all(|disclosure| leaf.sd.contains(&disclosure.digest())));
    assert_eq!(opened(&town, 0, index[0]).await.unwrap(), shown, "the same whoever asks");
    let published: Vec<_> = entries(&town, 0)
        .await
        .into_iter()
        .filter_map(|entry| match entry {
            LogEntry::OpeningPublished(entry) => Some(entry.index),
            _ => None,
        })
        .collect();
    assert_eq!(published, [index[0]], "said once, before it is served");
    assert_eq!(opened(&town, 2, index[2]).await, Err(ProblemKind::NotFound), "the court said so");
    move_to(&town.clock, leaf.embargo.0 + 10 * DAY - 1);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(opened(&town, 2, index[2]).await, Err(ProblemKind::NotFound));
    move_to(&town.clock, leaf.embargo.0 + 10 * DAY);
    opened_after(&town, 2, index[2], ProblemKind::NotFound).await.unwrap();
    let late = order(JUDGE, "judge.pem", digest, leaf.embargo.0 + 20 * DAY);
    let late = post::<_, Done>(&keepers[2], "/v1/authorisations", &late).await;
    assert_eq!(problem(late), ProblemKind::Conflicting, "what is open stays open");

    // What could not be opened holds decoys: nothing is ever shown of it, and nothing said.
    assert!(request_leaf(&town, 0, bare.register).await.embargo.0 < leaf.embargo.0 + 10 * DAY);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(opened(&town, 0, bare.register).await, Err(ProblemKind::NotFound));
    let size = town.leaves(0).await.len();
    assert!(
        !matches!(&entries(&town, 0).await[size - 1], LogEntry::OpeningPublished(entry) if entry.index == bare.register)
    );

    // The process ended after the entry and before the row.
    opened_after(&town, 1, index[1], ProblemKind::NotFound).await.unwrap();
    let size = town.leaves(1).await.len();
    town.stop(1).await;
    let database = rusqlite::Connection::open(town.data(1).join("keeper.db")).unwrap();
    assert_eq!(database.execute("UPDATE request SET published = NULL, shown = NULL", []).unwrap(), 1);
    database.execute("DELETE FROM progress", []).unwrap();
    drop(database);
    town.start(1).await;
    opened_after(&town, 1, index[1], ProblemKind::NotFound).await.unwrap();
    assert_eq!(town.leaves(1).await.len(), size, "no second entry");

    // The time of the month's Openings is over: key, entry, rows. At keeper 1 the process ends after the key, at keeper 2 after the
    // entry.
    town.stop(1).await;
    town.stop(2).await;
    let (database, copy) = (town.data(2).join("keeper.db"), town.data(2).join("before.db"));
    std::fs::copy(&database, &copy).unwrap();
    let gone = month_key(&town.data(1));
    KekTable::open(&town.data(1).join("kek"), &mut SystemRng).unwrap().change(&[], &[gone], &mut SystemRng).unwrap();
    assert_eq!(town.doctor(1).worst(), Severity::Warning, "{:?}", town.doctor(1).findings);
    move_to(&town.clock, MONTH_END + KEEP - 1);
    // Each needs the other to vouch for its log.
    let (mut one, mut two) = (town.begin(1).await, town.begin(2).await);
    one.ready().await.unwrap();
    two.ready().await.unwrap();
    assert_eq!(opened(&town, 1, index[1]).await, Err(ProblemKind::OpeningErased), "finished at the start");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(opened(&town, 0, index[0]).await.is_ok(), "not a second too early");
    move_to(&town.clock, MONTH_END + KEEP);
    for place in [0, 2] {
        while opened(&town, place, index[place]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    for (place, erased) in
        [(0, (index[0], bare.register + 1, 2)), (1, (index[1], index[1] + 1, 1)), (2, (index[2], index[2] + 1, 1))]
    {
        assert_eq!(opened(&town, place, index[place]).await, Err(ProblemKind::OpeningErased));
        // The key goes first, the entry follows.
        let said = loop {
            let entries = entries(&town, place).await.into_iter();
            let said: Vec<_> = entries
                .filter_map(|entry| match entry {
                    LogEntry::OpeningsErased(entry) => Some((entry.from, entry.to, entry.count)),
                    _ => None,
                })
                .collect();
            if !said.is_empty() {
                break said;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(said, [erased], "keeper {place}");
    }
    let size = town.leaves(2).await.len();
    town.stop(2).await;
    std::fs::rename(&copy, &database).unwrap();
    town.start(2).await;
    assert_eq!(
        opened(&town, 2, index[2]).await,
        Err(ProblemKind::OpeningErased),
        "a copy of the rows brings nothing back"
    );
    assert_eq!(town.leaves(2).await.len(), size, "and the log says it once");
    // The old copy has the row of a counter's key as well; housekeeping takes it away within its second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for place in 0..3 {
        town.stop(place).await;
        assert_eq!(town.doctor(place).worst(), Severity::Ok, "{:?}", town.doctor(place).findings);
        let table = KekTable::look(&town.data(place).join("kek")).unwrap();
        assert!(!table.holds(&key) && !table.holds(&gone));
        let officer = town.officer.verify_key().0;
        assert!(!holds(&std::fs::read(town.data(place).join("keeper.db")).unwrap(), &officer), "who asked is gone too");
    }
}

/// Files below a folder that hold `text` in clear.
fn files_with(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if path.is_file() && holds(&std::fs::read(&path).unwrap(), text.as_bytes()) {
            found.push(path);
        }
    }
    found
}

fn elements(answered: &[B64]) -> Vec<Element> {
    answered.iter().map(|bytes| Element::from_bytes(&bytes.0).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_learns_whether_the_plate_was_searched_and_an_auditor_whether_it_is_true() {
    let mut town = Town::new().await;
    let keepers = town.keepers();
    let owner = town.charter.charter().owner.id;
    let asked = town.ask(Purpose::StolenVehicle, Basis::None, None);
    let mut index = [0; 3];
    for (place, keeper) in keepers.iter().enumerate() {
        let answer: KeeperAnswer = post(keeper, "/v1/requests", &asked.body[place]).await.unwrap();
        index[place] = answer.register;
    }

    // The counter: a code for one plate. Keepers answer who is signed for, once, and again for a day.
    let state = Jurisdiction::parse("US-CT").unwrap();
    let issue = |plate: &str, issuer: &str, file: &str, until: u64| {
        let signer = note_signer(&town.folder.path().join(file), issuer).unwrap();
        let times = (Timestamp(NOW), Timestamp(until));
        OwnerCode::issue(owner, &Plate::parse(plate).unwrap(), state, times, &signer, &mut SystemRng).unwrap()
    };
    let filed = |code: &OwnerCode| ObjectFiled { object: B64(code.code().to_vec()) };
    let own = issue(PLATE, CUSTODIAN, "records.pem", NOW + 20 * DAY);
    let neighbour = issue("ZZ00001", CUSTODIAN, "records.pem", NOW + 20 * DAY);
    let mut values: Vec<Vec<NoticeValue>> = Vec::new();
    for keeper in &keepers {
        let first: NoticeEvaluated = post(keeper, "/v1/notice", &filed(&own)).await.unwrap();
        let again: NoticeEvaluated = post(keeper, "/v1/notice", &filed(&own)).await.unwrap();
        assert_eq!(first, again, "a repeat gets the same bytes");
        values.push(own.inputs().finalize(&elements(&first.elements)).unwrap());
    }
    assert!(values[0] != values[1], "each keeper has a key of its own");
    let other: NoticeEvaluated = post(&keepers[0], "/v1/notice", &filed(&neighbour)).await.unwrap();
    let other = neighbour.inputs().finalize(&elements(&other.elements)).unwrap();
    for wrong in [issue(PLATE, AUDITOR, "auditor.pem", NOW + DAY), issue(PLATE, JUDGE, "judge.pem", NOW + DAY)] {
        assert_eq!(
            problem(post::<_, NoticeEvaluated>(&keepers[0], "/v1/notice", &filed(&wrong)).await),
            ProblemKind::Invalid
        );
    }
    // 30 a minute: two are counted for keeper 0, one for keeper 1.
    for _code in 0..29 {
        let code = issue("XY1", CUSTODIAN, "records.pem", NOW + HOUR);
        let _answer: NoticeEvaluated = post(&keepers[1], "/v1/notice", &filed(&code)).await.unwrap();
    }
    let hour = issue("XY1", CUSTODIAN, "records.pem", NOW + HOUR);
    let refused = post::<_, NoticeEvaluated>(&keepers[1], "/v1/notice", &filed(&hour)).await;
    assert_eq!(problem(refused), ProblemKind::Rate);
    let _repeats_are_free: NoticeEvaluated = post(&keepers[1], "/v1/notice", &filed(&own)).await.unwrap();

    // The auditor: his Opening, the tags of the plate, his review.
    let auditor = auditor_digest(&town.charter.charter().auditors[0].opening_key);
    let origin = town.charter.charter().keepers[0].log_key.name().as_str().to_owned();
    let plate = Plate::parse(PLATE).unwrap();
    let blinded = BlindedInputs::new(vec![PlateInput::new(owner, &plate, Some(state))], &mut SystemRng);
    let call = |issuer: &str, file: &str, index: u64, log: &str, until: u64| {
        let elements = blinded.elements().unwrap().iter().map(Element::to_bytes).collect();
        let body = AuditorCallBody { log: log.to_owned(), index, auditor, elements, until: Timestamp(until) };
        let signer = note_signer(&town.folder.path().join(file), issuer).unwrap();
        ObjectFiled { object: B64(AuditorCall { header: header_at(issuer, NOW), body }.sign(&[&signer]).unwrap()) }
    };
    const DOOR: &str = "/v1/auditor/openings";
    for (wrong, refused) in [
        (call(CUSTODIAN, "records.pem", index[0], &origin, NOW + 60), ProblemKind::Invalid),
        (call(AUDITOR, "auditor.pem", index[0], "k2.example/log/keeper", NOW + 60), ProblemKind::Invalid),
        (call(AUDITOR, "auditor.pem", index[0], &origin, NOW), ProblemKind::Invalid),
        (call(AUDITOR, "auditor.pem", index[0], &origin, NOW + HOUR + 1), ProblemKind::Invalid),
        (call(AUDITOR, "auditor.pem", 1, &origin, NOW + HOUR), ProblemKind::NotFound),
        (call(AUDITOR, "auditor.pem", 999, &origin, NOW + HOUR), ProblemKind::NotFound),
    ] {
        assert_eq!(problem(post::<_, OpeningGiven>(&keepers[0], DOOR, &wrong).await), refused);
    }
    let given: OpeningGiven =
        post(&keepers[0], DOOR, &call(AUDITOR, "auditor.pem", index[0], &origin, NOW + HOUR)).await.unwrap();
    assert_eq!(given.opening, asked.body[0].auditor_openings[0]);
    let bytes = town.leaves(0).await.swap_remove(usize::try_from(index[0]).unwrap());
    let Leaf::Known(stamped) = parse_leaf(&bytes).unwrap() else { panic!("a leaf of ours") };
    let leaf = request_leaf(&town, 0, index[0]).await;
    let audited = |leaf| Audited {
        leaf,
        nonce: stamped.nonce(),
        filed: FiledRequest::from_bytes(&given.filed.0).unwrap(),
        hashes: given.opening_hashes.iter().map(|hash| hash.0.as_slice().try_into().unwrap()).collect(),
        opening: &given.opening.0,
    };
    let opened_by_auditor = check_escrow(town.charter.charter(), &auditor_key(), audited(&leaf)).unwrap();
    let own_values = blinded.finalize(&elements(&given.evaluated)).unwrap();
    check_notice(&opened_by_auditor, &own_values, &leaf, &stamped.nonce()).unwrap();
    assert_eq!(check_notice(&opened_by_auditor, &other[..1], &leaf, &stamped.nonce()), Err(EscrowFault::Notice));
    let lying = RequestLeaf { escrow: Vec::new(), ..(*leaf).clone() };
    let found = check_escrow(town.charter.charter(), &auditor_key(), audited(&lying));
    assert_eq!(found.unwrap_err(), EscrowFault::Escrow);

    let review = |issuer: &str, file: &str, numbers: (u64, u64, u64, u64)| {
        let (from, to, sampled, failed) = numbers;
        let body = ReviewBody { log: origin.clone(), auditor, from, to, sampled, failed };
        let signer = note_signer(&town.folder.path().join(file), issuer).unwrap();
        ObjectFiled { object: B64(Review { header: header_at(issuer, NOW), body }.sign(&[&signer]).unwrap()) }
    };
    let size = u64::try_from(town.leaves(0).await.len()).unwrap();
    for (wrong, refused) in [
        (review(CUSTODIAN, "records.pem", (0, size, 1, 0)), ProblemKind::Invalid),
        (review(AUDITOR, "auditor.pem", (0, size + 1, 1, 0)), ProblemKind::Invalid),
        (review(AUDITOR, "auditor.pem", (0, size, 1, 2)), ProblemKind::Invalid),
    ] {
        assert_eq!(problem(post::<_, ReviewLogged>(&keepers[0], "/v1/reviews", &wrong).await), refused);
    }
    for _repeat in 0..2 {
        let good = review(AUDITOR, "auditor.pem", (0, size, 1, 0));
        let logged: ReviewLogged = post(&keepers[0], "/v1/reviews", &good).await.unwrap();
        assert_eq!(logged.register, size);
    }
    let other_result = review(AUDITOR, "auditor.pem", (0, size, 1, 1));
    let refused = post::<_, ReviewLogged>(&keepers[0], "/v1/reviews", &other_result).await;
    assert_eq!(problem(refused), ProblemKind::Conflicting);

    // A day later a code is spent; after its date it is none.
    town.clock.advance(Duration::from_secs(DAY));
    assert_eq!(problem(post::<_, NoticeEvaluated>(&keepers[0], "/v1/notice", &filed(&own)).await), ProblemKind::Spent);
    assert_eq!(
        problem(post::<_, NoticeEvaluated>(&keepers[0], "/v1/notice", &filed(&hour)).await),
        ProblemKind::Invalid
    );

    // After the embargo: the owner finds the search at every keeper, a neighbour finds nothing.
    move_to(&town.clock, leaf.embargo.0);
    for place in 0..3 {
        let shown = opened_after(&town, place, index[place], ProblemKind::NotFound).await.unwrap();
        let tags = published_tags(&shown[0]).unwrap();
        let bytes = town.leaves(place).await.swap_remove(usize::try_from(index[place]).unwrap());
        let Leaf::Known(stamped) = parse_leaf(&bytes).unwrap() else { panic!("a leaf of ours") };
        let found =
            |values: &[NoticeValue]| values.iter().any(|value| value.is_among(&tags, &stamped.nonce()).unwrap());
        assert!(found(&values[place]), "keeper {place}");
        assert!(!found(&other) && !found(&values[(place + 1) % 3]));
    }

    // Another key would answer every owner "not found": a keeper does not start without its own.
    for place in 0..3 {
        town.stop(place).await;
        assert_eq!(files_with(&town.data(place), PLATE), [] as [std::path::PathBuf; 0]);
    }
    std::fs::remove_file(town.data(0).join("keys/notice.secret")).unwrap();
    let refused = lockplate_node::keeper::start(town.settings_of(0).clone(), town.clock.clone(), &Tasks::new()).await;
    assert!(matches!(&refused, Err(KeeperError::File(_))), "{refused:?}");
}
