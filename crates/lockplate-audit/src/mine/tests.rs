use lockplate_core::disclosure::{SD_REQUEST, disclose, fill_digests};
use lockplate_core::entry::{EmbargoLeaf, OpeningsErased, SaltedDigests};
use lockplate_core::json::Json;
use lockplate_core::notice::NoticeKey;
use lockplate_core::plate::{Jurisdiction, Plate, PlateInput};
use lockplate_oprf::Secret;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::fixture::*;

const EMBARGO: u64 = NOON + 86_400;
const WINDOW: (Timestamp, Timestamp) = (Timestamp(NOON - 7_200), Timestamp(NOON - 3_600));

fn key(place: u8) -> NoticeKey {
    NoticeKey::from_seed(&Secret::new([place; 32])).unwrap()
}

fn inputs(plate: &str) -> Vec<PlateInput> {
    let plate = Plate::parse(plate).unwrap();
    [Jurisdiction::parse("US-CT"), None].map(|state| PlateInput::new(OWNER, &plate, state)).to_vec()
}

/// What the owner of AB12345 holds: its values at the keepers given.
fn owner(places: &[u8]) -> Mine {
    let values = |place: u8| inputs("AB12345").iter().map(|input| key(place).value(input).unwrap()).collect();
    Mine::new(places.iter().map(|place| (KeeperIndex(*place), values(*place))).collect())
}

/// A town in which keepers decided requests for plates, and what they would publish.
struct Searched {
    book: Book,
    openings: BTreeMap<LeafRef, Vec<String>>,
}

impl Searched {
    fn new() -> Self {
        Self { book: Book::founded(), openings: BTreeMap::new() }
    }

    /// One keeper's leaf about a plate. `says` is the plate for which it computes its tags.
    fn leaf(&mut self, place: u8, digest: u8, says: &str) -> LeafRef {
        let salts = Secret::new([digest; 32]);
        let nonce = nonce_of(self.book.logs.seen(&keeper(place)));
        let tags = key(place).tags(inputs(says).iter(), &nonce).unwrap();
        let notice = disclose(&salts, "notice", &tags.to_json()).unwrap();
        let window = disclose(&salts, "window", &WINDOW.to_json()).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let digests = fill_digests(&[notice.digest(), window.digest()], SD_REQUEST, &mut rng).unwrap();
        let sd = SaltedDigests::new(digests).unwrap();
        let leaf = RequestLeaf { request: [digest; 32], sd, embargo: Timestamp(EMBARGO), ..request() };
        let here = self.book.say(keeper(place), NOON, LogEntry::Request(Box::new(leaf)));
        let texts = [notice, window].iter().map(|one| one.expose_text().to_owned()).collect();
        self.openings.insert(here, texts);
        here
    }

    fn plate(&mut self, digest: u8, plate: &str) -> [LeafRef; 3] {
        [1, 2, 3].map(|place| self.leaf(place, digest, plate))
    }

    /// The owner's answer when keepers publish what `published` says.
    fn answer<'p>(&self, mut mine: Mine, now: u64, published: impl Fn(&LeafRef) -> Published<'p>) -> Answer {
        for (log, leaves) in self.book.leaves() {
            let LogName::Keeper(keeper) = log else { continue };
            for (index, leaf) in (0..).zip(leaves) {
                mine.look(*keeper, index, leaf, || published(&LeafRef { log: *log, index }));
            }
        }
        mine.answer(&self.book.logs, Timestamp(now))
    }

    fn all_open(&self, mine: Mine) -> Answer {
        self.answer(mine, EMBARGO, |leaf| Published::Disclosures(&self.openings[leaf]))
    }
}

#[test]
fn a_search_of_the_plate_is_found_at_every_keeper() {
    let mut town = Searched::new();
    let leaves = town.plate(1, "AB12345");
    town.plate(2, "XY99999");
    let answer = town.all_open(owner(&[1, 2, 3]));
    assert_eq!(answer.verdict, Verdict::Searched);
    assert_eq!((answer.compared, answer.closed, answer.searches.len()), (2, 0, 1));
    let search = &answer.searches[0];
    assert_eq!(search.leaves, leaves);
    assert_eq!(search.requester.label(), "Eastport Police");
    assert_eq!((search.from, search.to), (Some(WINDOW.0), Some(WINDOW.1)));
    assert_eq!(search.decision, Decision::Granted);
    assert_eq!(answer.contradicted, []);
    let json = serde_json::to_value(&answer).unwrap();
    assert_eq!(json["verdict"], "searched");
    assert_eq!(json["searches"][0]["from"], "2026-11-22T10:00:00Z");
}

#[test]
fn no_is_said_only_when_everything_was_compared() {
    let mut town = Searched::new();
    town.plate(1, "XY99999");
    let answer = town.all_open(owner(&[1, 2, 3]));
    assert_eq!((answer.verdict, answer.compared), (Verdict::InNone, 1));
    let closed = town.answer(owner(&[1, 2, 3]), NOON, |_| Published::NotYet);
    assert_eq!(closed.verdict, Verdict::NotAmongPublished);
    assert_eq!((closed.closed, closed.closed_until), (1, Some(Timestamp(EMBARGO))));
    let erased = town.answer(owner(&[1, 2, 3]), NOON, |_| Published::Erased);
    assert_eq!((erased.verdict, erased.erased), (Verdict::NotAmongPublished, 1));
    assert_eq!(Searched::new().all_open(owner(&[1])).verdict, Verdict::InNone);
}

#[test]
fn a_closed_search_of_the_plate_is_no_no() {
    let mut town = Searched::new();
    town.plate(1, "AB12345");
    let answer = town.answer(owner(&[1, 2, 3]), NOON, |_| Published::NotYet);
    assert_eq!((answer.verdict, answer.searches.len()), (Verdict::NotAmongPublished, 0));
}

#[test]
fn one_open_leaf_compares_a_request_that_is_closed_elsewhere() {
    let mut town = Searched::new();
    town.plate(1, "XY99999");
    let answer = town.answer(owner(&[1, 2, 3]), NOON, |leaf| {
        if leaf.log == keeper(2) { Published::Disclosures(&town.openings[leaf]) } else { Published::NotYet }
    });
    assert_eq!((answer.verdict, answer.compared, answer.closed), (Verdict::InNone, 1, 0));
}

#[test]
fn what_is_not_published_a_day_after_its_date_is_withheld() {
    let mut town = Searched::new();
    let leaves = town.plate(1, "XY99999");
    let withheld = |town: &Searched, now| town.answer(owner(&[1, 2, 3]), now, |_| Published::NotYet).withheld;
    assert_eq!(withheld(&town, EMBARGO + PUBLISH_SECONDS - 1), []);
    assert_eq!(withheld(&town, EMBARGO + PUBLISH_SECONDS), leaves);
    let empty = town.answer(owner(&[1]), EMBARGO + PUBLISH_SECONDS, |_| Published::Disclosures(&[]));
    assert_eq!(empty.withheld, [leaves[0]], "an empty answer is none");
    let (until, authorisation) = (Timestamp(EMBARGO + 30 * 86_400), [1; 32]);
    for leaf in leaves {
        let request_index = leaf.index;
        town.book.say(leaf.log, NOON + 1, LogEntry::Embargo(EmbargoLeaf { request_index, until, authorisation }));
    }
    assert_eq!(withheld(&town, EMBARGO + PUBLISH_SECONDS), [], "a court prolonged it");
    let answer = town.answer(owner(&[1]), NOON, |_| Published::NotYet);
    assert_eq!(answer.closed_until, Some(until));
}

#[test]
fn what_is_not_the_leafs_own_proves_nothing() {
    let mut town = Searched::new();
    let leaves = town.plate(1, "XY99999");
    let others = town.plate(2, "AB12345");
    // Another leaf's disclosures, which match by themselves.
    let answer = town.answer(owner(&[1]), EMBARGO, |leaf| {
        let served = if *leaf == leaves[0] { others[0] } else { *leaf };
        Published::Disclosures(&town.openings[&served])
    });
    assert_eq!(answer.forged, [leaves[0]]);
    assert_eq!(answer.searches.len(), 1, "the other one's own");

    for bad in ["", "not a disclosure", "e30"] {
        let texts = vec![bad.to_owned()];
        let answer = town.answer(owner(&[1]), EMBARGO, |_| Published::Disclosures(&texts));
        assert_eq!((answer.forged.len(), answer.verdict), (2, Verdict::NotAmongPublished), "{bad:?}");
    }
}

#[test]
fn a_disclosure_under_another_name_is_none() {
    let mut town = Searched::new();
    let salts = Secret::new([1; 32]);
    let nonce = nonce_of(town.book.logs.seen(&keeper(1)));
    let tags = key(1).tags(inputs("AB12345").iter(), &nonce).unwrap();
    let facts = disclose(&salts, "facts", &tags.to_json()).unwrap();
    let unsorted = disclose(&salts, "notice", &Json::text("no list")).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let digests = fill_digests(&[facts.digest(), unsorted.digest()], SD_REQUEST, &mut rng).unwrap();
    let leaf = RequestLeaf { sd: SaltedDigests::new(digests).unwrap(), embargo: Timestamp(EMBARGO), ..request() };
    let here = town.book.say(keeper(1), NOON, LogEntry::Request(Box::new(leaf)));
    let answer = |disclosure: &Disclosure| {
        let texts = vec![disclosure.expose_text().to_owned()];
        town.answer(owner(&[1]), NOON, |_| Published::Disclosures(&texts))
    };
    assert_eq!((answer(&facts).verdict, answer(&facts).closed), (Verdict::NotAmongPublished, 1));
    assert_eq!(answer(&unsorted).forged, [here]);
}

#[test]
fn keepers_that_contradict_each_other_are_named() {
    let mut town = Searched::new();
    town.leaf(1, 1, "AB12345");
    let denies = town.leaf(2, 1, "XY99999");
    let answer = town.all_open(owner(&[1, 2]));
    assert_eq!(answer.verdict, Verdict::Searched);
    assert_eq!(answer.contradicted, [denies]);
}

#[test]
fn silent_keepers_and_their_requests_are_counted() {
    let mut town = Searched::new();
    town.leaf(3, 1, "AB12345");
    let answer = town.all_open(owner(&[1, 2]));
    assert_eq!(answer.silent, [3]);
    assert_eq!((answer.unread, answer.verdict), (1, Verdict::NotAmongPublished));
}

#[test]
fn another_keepers_value_finds_nothing() {
    let mut town = Searched::new();
    town.plate(1, "AB12345");
    let values: Vec<_> = inputs("AB12345").iter().map(|input| key(2).value(input).unwrap()).collect();
    let answer = town.all_open(Mine::new(BTreeMap::from([(KeeperIndex(1), values)])));
    assert_eq!(answer.verdict, Verdict::InNone);
}

#[test]
fn erasure_is_what_the_log_says() {
    let mut town = Searched::new();
    let [first, ..] = town.plate(1, "AB12345");
    let (from, to, count) = (first.index, first.index + 1, 1);
    assert_eq!(town.book.logs.opening_state(&first), crate::logs::OpeningState::Closed);
    town.book.say(keeper(1), EMBARGO, LogEntry::OpeningsErased(OpeningsErased { from, to, count }));
    assert_eq!(town.book.logs.opening_state(&first), crate::logs::OpeningState::Erased);
    let after = LeafRef { index: to, ..first };
    assert_eq!(town.book.logs.opening_state(&after), crate::logs::OpeningState::Closed);
    let mut say = |from, to| {
        let count = 0;
        town.book.say(keeper(1), EMBARGO, LogEntry::OpeningsErased(OpeningsErased { from, to, count }));
    };
    say(20, 30);
    say(22, 25);
    say(40, 50);
    say(28, 45);
    let state = |index| town.book.logs.opening_state(&LeafRef { index, ..first });
    let erased: Vec<u64> = (0..60).filter(|index| state(*index) == crate::logs::OpeningState::Erased).collect();
    assert_eq!(erased, [vec![from], (20..50).collect()].concat(), "ranges that overlap are one");
    let before = LeafRef { index: from - 1, ..first };
    assert_eq!(town.book.logs.opening_state(&before), crate::logs::OpeningState::Closed);
}
