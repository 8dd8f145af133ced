//! Civil immigration at the command line: `lockplate search` as an officer runs it, with real keepers. Without a judge's search warrant
//! it ends with 4, names the rule, and stands in every keeper's public log. The other doors are in the node's tests, `it/matrix.rs`.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::wildcard_enum_match_arm,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test says by a panic what is wrong"
)]

mod town;

use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::entry::{Leaf, LogEntry, RequestDecision, RequestLeaf, parse_leaf};
use lockplate_core::json::time_text;
use lockplate_core::vocabulary::Purpose;
use lockplate_node::client::{CallLimits, PeerClient, PeerTrust};
use lockplate_node::founding::{PlateOrdered, SignedPaper, WarrantOrder, sign_warrant};
use lockplate_node::rng::SystemRng;
use serde_json::Value;
use town::{BINARY, COURT, JUDGE, Terms, Town, command, now_ms, wait_until, write};

const PLATE: &str = "KLM8067";
const MINUTE: u64 = 60;

/// A judge's order, which is no search warrant, for exactly what is asked.
fn court_order(town: &Town, window: (u64, u64)) -> SignedPaper {
    let now = u64::try_from(now_ms() / 1_000).unwrap();
    let order = WarrantOrder {
        kind: "court-order".to_owned(),
        issuer: JUDGE.to_owned(),
        court: COURT.to_owned(),
        docket: "26-7".to_owned(),
        valid_from: time_text(Timestamp(now - MINUTE)),
        valid_until: time_text(Timestamp(now + 60 * MINUTE)),
        requester: town.agency_id().to_owned(),
        officer: String::new(),
        owners: vec![town.agency_id().to_owned()],
        plates: vec![PlateOrdered { state: "US-CT".to_owned(), text: PLATE.to_owned() }],
        window: (time_text(Timestamp(window.0)), time_text(Timestamp(window.1))),
        purpose: Purpose::CivilImmigration.name().to_owned(),
        offence: "none".to_owned(),
        max_requests: 1,
        pdf: String::new(),
        supersedes: String::new(),
    };
    sign_warrant(&order, &town.home("people").join("judge.pem"), Timestamp(now), &mut SystemRng).unwrap()
}

/// Exit code and document of one search.
fn search(town: &Town, (from, to): (u64, u64), words: &[&str]) -> (i32, Value) {
    let config = town.home("officer").join("officer.toml");
    let (from, to) = (time_text(Timestamp(from)), time_text(Timestamp(to)));
    let facts = "A clerk of another office asked where this invented car is kept.";
    let asked =
        ["--plate", PLATE, "--state", "US-CT", "--case", "26-1234", "--facts", facts, "--from", &from, "--to", &to];
    let mut line = command(BINARY);
    line.arg("search").arg("--json").arg("--config").arg(config).args(asked).args(["--wait", "30"]);
    let done = line.args(["--purpose", "civilImmigration"]).args(words).output().unwrap();
    let document = serde_json::from_slice(&done.stdout).unwrap_or(Value::Null);
    eprintln!("{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    (done.status.code().unwrap_or(-1), document)
}

/// Request leaves of a keeper's published log.
fn requests(town: &Town, place: usize) -> Vec<RequestLeaf> {
    let entry = &town.charter.charter().keepers[place];
    let keeper = PeerClient::new(&entry.url, PeerTrust::Pinned(entry.tls_pin), CallLimits::default()).unwrap();
    let get = |path: String| town.runtime().block_on(keeper.get_bytes(&path, &[])).unwrap();
    let checkpoint = String::from_utf8(get("/log/keeper/checkpoint".to_owned()).to_vec()).unwrap();
    let size: u16 = checkpoint.lines().nth(1).unwrap().parse().unwrap();
    assert!(size < 256, "one bundle of entries");
    let bundle = get(format!("/log/keeper/tile/entries/000.p/{size}"));
    let leaves = lockplate_log::tile::parse_bundle(&bundle, size).unwrap();
    let request = |leaf: &&[u8]| match parse_leaf(leaf).unwrap() {
        Leaf::Known(stamped) => match stamped.entry() {
            LogEntry::Request(request) => Some(RequestLeaf::clone(request)),
            _ => None,
        },
        Leaf::Unknown(_) => None,
    };
    leaves.iter().filter_map(request).collect()
}

#[test]
fn no_search_for_civil_immigration_passes_the_command_line_without_a_judges_warrant() {
    let mut town = Town::found(Terms::default());
    let supervisor = town.supervisor().display().to_string();
    town.start_everything();
    town.post_all(&[PLATE], 1);
    town.wait_closed();
    let now = u64::try_from(now_ms() / 1_000).unwrap();
    let window = (now - 30 * MINUTE, now);
    let paper = court_order(&town, window);
    let (auth, disclosure) = (town.home("officer").join("order.auth"), town.home("officer").join("order.plate"));
    write(&auth, &paper.auth);
    write(&disclosure, paper.disclosures[0].as_bytes());
    let (auth, disclosure) = (auth.display().to_string(), disclosure.display().to_string());

    let asked: [(&[&str], &[&str]); 3] = [
        (&["--basis", "administrativeWarrant"], &["base.civil-immigration", "base.immigration-paper", "ct.uses"]),
        (
            &["--basis", "exigency", "--emergency", "life", "--second", &supervisor],
            &["base.civil-immigration", "ct.uses"],
        ),
        (
            &["--basis", "courtOrder", "--auth", &auth, "--disclosure", &disclosure],
            &["base.civil-immigration", "ct.uses"],
        ),
    ];
    let mut expected = Vec::new();
    for (words, rules) in asked {
        let (code, document) = search(&town, window, words);
        assert_eq!(code, 4, "{document}");
        let text = document.to_string();
        assert!(rules.iter().all(|rule| text.contains(rule)), "{text}");
        assert!(!text.contains(PLATE), "a refusal repeats no plate");
        expected.push(rules.iter().map(|rule| (*rule).to_owned()).collect::<BTreeSet<String>>());
    }
    expected.sort();
    for place in 0..3 {
        wait_until("every refusal is in the log", || requests(&town, place).len() == expected.len());
        let leaves = requests(&town, place);
        let immigration = |leaf: &RequestLeaf| leaf.purpose == Purpose::CivilImmigration;
        assert!(leaves.iter().all(|leaf| immigration(leaf) && leaf.decision == RequestDecision::Deny));
        let mut rules: Vec<BTreeSet<String>> = leaves.into_iter().map(|leaf| leaf.rules).collect();
        rules.sort();
        assert_eq!(rules, expected, "keeper {}", place + 1);
    }
    town.stop_and_check();
    town.nobody_panicked();
}
