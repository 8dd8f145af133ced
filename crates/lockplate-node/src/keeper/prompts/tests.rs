use super::*;

const NOON: u64 = 1_790_000_000;

fn waits(number: u64, since: u64) -> Waits {
    Waits { number, since: Timestamp(since) }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(NOON + seconds)
}

/// Clerk at once, deputy after twenty minutes, and somebody without an address.
const PEOPLE: [Option<u32>; 3] = [Some(0), Some(20), None];

/// Runs the plan every ten seconds and notes who is told of what, and when.
fn day(waiting: impl Fn(u64) -> Vec<Waits>, seconds: u64) -> Vec<(u64, usize, u64)> {
    let (mut told, mut all) = (Vec::new(), Vec::new());
    for second in (0..seconds).step_by(10) {
        let (waiting, now) = (waiting(second), at(second));
        forget(&mut told, &waiting, now);
        for Prompt { person, number } in due(&PEOPLE, &waiting, &told, now) {
            told.push(Told { person, number, at: now.0 });
            all.push((second, person, number));
        }
    }
    all
}

#[test]
fn the_clerk_at_once_the_deputy_later_both_again_and_nobody_after_the_answer() {
    let answered_at = 4_000;
    let waiting = |second| if second < answered_at { vec![waits(7, NOON)] } else { Vec::new() };
    assert_eq!(day(waiting, 20_000), vec![(0, 0, 7), (1_200, 1, 7), (1_800, 0, 7), (3_000, 1, 7), (3_600, 0, 7)]);
}

#[test]
fn a_person_has_six_prompts_in_any_hour_and_news_come_before_reminders() {
    let many: Vec<_> = (0..40).map(|number| waits(number, NOON + number)).collect();
    let all = day(|_| many.clone(), 4 * 3_600);
    for person in [0, 1] {
        let times: Vec<u64> = all.iter().filter(|(_, who, _)| *who == person).map(|(time, ..)| *time).collect();
        assert!(times.len() > 12, "{times:?}");
        for (first, seventh) in times.iter().zip(times.iter().skip(PROMPTS_AN_HOUR_MAX)) {
            assert!(seventh - first >= HOUR_SECONDS, "person {person}: {first} and {seventh}");
        }
    }
    let clerk: Vec<u64> = all.iter().filter(|(_, who, _)| *who == 0).map(|(.., number)| *number).collect();
    assert_eq!(clerk[..24], (0..24).collect::<Vec<u64>>(), "each is new once before one comes again");
    assert!(all.iter().all(|(_, who, _)| *who < 2));
}

#[test]
fn what_was_told_before_a_restart_is_told_again_only_as_a_reminder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    assert!(read(&file).is_empty());
    let told = vec![Told { person: 0, number: 7, at: NOON }];
    write(&file, &told).unwrap();
    let told = read(&file);
    let waiting = [waits(7, NOON)];
    assert!(due(&PEOPLE, &waiting, &told, at(1_199)).is_empty());
    assert_eq!(due(&PEOPLE, &waiting, &told, at(1_800)).len(), 2);
    std::fs::write(&file, b"torn").unwrap();
    assert!(read(&file).is_empty());
}

#[test]
fn what_is_answered_is_forgotten_once_its_hour_is_over() {
    let mut told = vec![Told { person: 0, number: 7, at: NOON }, Told { person: 0, number: 8, at: NOON }];
    forget(&mut told, &[waits(8, NOON)], at(3_599));
    assert_eq!(told.len(), 2, "it counts in this hour");
    forget(&mut told, &[waits(8, NOON)], at(3_600));
    assert_eq!(told, vec![Told { person: 0, number: 8, at: NOON }]);
}
