//! What keepers keep beside the log: auditors' Openings, what is published after the embargo, and its end.

use lockplate_core::request::check_opening;
use lockplate_core::vocabulary::{Basis, Purpose};
use lockplate_node::api::{AnswerState, B64, KeeperAnswer};
use lockplate_node::problem::ProblemKind;

use crate::keeper::{PLATE, Town, auditor_key, post, problem};

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
    assert_eq!(answer.reasons, [], "{:?}", answer.rules);
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
    assert_eq!(town.doctor(0).worst(), lockplate_node::doctor::Severity::Ok);
}
