use lockplate_core::plate::{Jurisdiction, Plate};

use super::super::loading::tests::set_of;
use super::*;
use crate::clock::TestClock;

/// What was told: kinds of hits, and comparisons that counted.
#[derive(Default)]
struct Told {
    hits: Mutex<Vec<&'static str>>,
    counted: AtomicU64,
}

impl AlertSink for Told {
    fn hit(&self, sighted: Sighted) {
        self.hits.lock().unwrap().push(sighted.hit.matched.name());
    }

    fn suppressed(&self, _comparison: &Comparison) {
        self.counted.fetch_add(1, Ordering::Relaxed);
    }
}

const NOW_MS: i64 = 1_795_348_800_000;

/// One pass: words about it, each so many ms after the first. What was told of it.
fn pass(words: &[(i64, Read)]) -> Vec<&'static str> {
    let set = set_of("AB12345;ME;V\n");
    let (told, clock) = (Arc::new(Told::default()), Arc::new(TestClock::new(NOW_MS)));
    let matcher = Matcher::new();
    let list = InForce { set, marks: Arc::default(), purpose: None, sealed_to: None, creators: BTreeMap::new() };
    matcher.swap([9; 16], Some(list));
    let mut worker = Worker {
        shared: Arc::clone(&matcher.shared),
        alerts: told.clone(),
        clock: clock.clone(),
        tracks: HeldTracks::default(),
        held: BTreeMap::new(),
    };
    for (at, (after, read)) in (1..).zip(words) {
        clock.jump_to(NOW_MS + after);
        let is_final = at == words.len();
        let (crop, of_frames, conf_min, is_parked) = (None, false, 0, false);
        worker.take(Seen { read: read.clone(), crop, track: 7, is_final, of_frames, conf_min, is_parked });
        clock.jump_to(NOW_MS + after + 3_500);
        worker.look_at_tracks(NOW_MS + after + 3_500);
    }
    assert_eq!(told.counted.load(Ordering::Relaxed), 1, "a pass counts once");
    let hits = told.hits.lock().unwrap();
    hits.clone()
}

fn read(state: Option<(&str, u16)>, conf: u16) -> Read {
    let plate = Plate::parse("AB12345").unwrap();
    let jurisdiction = state.map(|(code, _)| Jurisdiction::parse(code).unwrap());
    let sure = Read::beyond_doubt(plate, jurisdiction, NOW_MS);
    Read { conf: Some(conf), jur_conf: state.map(|(_, conf)| conf), ..sure }
}

#[test]
fn the_last_word_on_a_pass_counts_whatever_was_said_before() {
    let here = |conf| read(Some(("US-ME", 970)), conf);
    let elsewhere = |state_conf| read(Some(("US-NH", state_conf)), 950);
    let stateless = read(None, 950);
    let both = |first: &Read, last: &Read| pass(&[(0, first.clone()), (5_000, last.clone())]);
    assert_eq!(both(&here(700), &here(950)), ["plate_and_state"], "sharper in the end");
    assert_eq!(both(&elsewhere(850), &here(950)), ["plate_and_state"], "another state in the end");
    assert_eq!(both(&stateless, &elsewhere(970)), [""; 0], "nobody is stopped for a state that was read later");
    assert_eq!(both(&stateless, &here(950)), ["plate_and_state"]);
    assert_eq!(both(&stateless, &stateless), ["plate_only"], "once, when nothing more comes");
    assert_eq!(both(&here(950), &here(950)), ["plate_and_state"], "once");
    let early = pass(&[(0, here(950)), (5_000, here(950)), (20_000, here(960))]);
    assert_eq!(early, ["plate_and_state"]);
}
