//! A town whose second keeper has a page: what the browser tests sign in to and decide at.
//!
//! `keeper_town DIR` first serves an enrolment and writes its address to `DIR/enrol`; when somebody has made a passkey there, it
//! founds the town with it, has three requests wait for a person, writes the page's address to `DIR/page`, and serves until it is
//! killed. After each answer, `DIR/answers` holds the decisions in that keeper's log, one a line.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    dead_code,
    unused_imports,
    reason = "a tool of the tests: it ends where something is not as it must be, and uses a part of what it shares with them"
)]

#[path = "../tests/it/keeper.rs"]
mod keeper;
#[path = "../tests/it/ports.rs"]
mod ports;
#[path = "../tests/it/town_clock.rs"]
mod town_clock;

use std::path::Path;
use std::time::Duration;

use keeper::{Town, write};
use lockplate_core::entry::{Leaf, LogEntry, parse_leaf};
use lockplate_node::keeper::enrol::{EnrolOffice, EnrolTerms, enrol};
use lockplate_node::rng::SystemRng;
use lockplate_node::shutdown::Tasks;

/// Written whole or not at all: the script waits for the file.
fn say(folder: &Path, name: &str, text: &str) {
    let part = folder.join(format!("{name}.part"));
    write(&part, text.as_bytes());
    std::fs::rename(part, folder.join(name)).unwrap();
}

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).unwrap();
    let folder = Path::new(&folder);
    let listen = ports::free_port();
    let origin = format!("http://localhost:{}", listen.port());
    let tasks = Tasks::new();
    let terms = EnrolTerms {
        office: EnrolOffice::Keeper,
        name: "A. Clerk".to_owned(),
        listen,
        origin: origin.clone(),
        rp_id: "localhost".to_owned(),
    };
    let waiting = enrol(terms, &tasks, &mut SystemRng).await.unwrap();
    say(folder, "enrol", &waiting.url);
    let enrolled = waiting.finish().await.unwrap();
    // The last page fetches its style.
    tokio::time::sleep(Duration::from_secs(2)).await;
    tasks.finish(Duration::from_secs(20)).await.unwrap();

    let town = Town::with_people(|folder| {
        let file = folder.join("clerk.json");
        write(&file, &serde_json::to_vec(&enrolled.to_file()).unwrap());
        let text = format!(
            "[page]\naddress = '{listen}'\nplain_loopback = true\norigin = '{origin}'\nrp_id = 'localhost'\n\
             [[people]]\nname = 'A. Clerk'\npasskeys = ['clerk.json']\n"
        );
        (vec![file], text)
    })
    .await;
    town.one_closed_hour().await;
    let paper = town.warrant();
    for _request in 0..3 {
        town.wait_for_a_person(&paper).await;
    }
    say(folder, "page", &origin);
    loop {
        let leaves = town.leaves(1).await;
        let decisions = leaves.iter().filter_map(|leaf| match parse_leaf(leaf).unwrap() {
            Leaf::Known(stamped) => match stamped.entry() {
                LogEntry::Approval(leaf) => Some(format!("{:?} {:?}", leaf.decision, leaf.reason)),
                _ => None,
            },
            Leaf::Unknown(_) => None,
        });
        say(folder, "answers", &decisions.collect::<Vec<_>>().join("\n"));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
