use lockplate_core::entry::{LogEntry, RequestLeaf};

use super::*;
use crate::fixture::*;

/// A keeper's log of `count` requests, the checkpoints after each, and the plan at the end.
fn town(count: u8) -> Book {
    let mut book = Book::founded();
    for digest in 0..count {
        book.say(keeper(1), NOON, LogEntry::Request(Box::new(RequestLeaf { request: [digest; 32], ..request() })));
    }
    book
}

#[test]
fn the_root_of_a_day_later_decides() {
    let book = town(200);
    let at = |time| book.head(&keeper(1), Some(time));
    let plan = |heads: &[Head]| plan(&book.logs, KeeperIndex(1), heads, 0, u64::MAX);
    let early = plan(&[at(NOON), at(NOON + SAMPLE_AFTER_SECONDS - 1)]);
    assert_eq!((early.due.len(), early.passed, early.undecided), (0, 0, 200));
    let decided = plan(&[at(NOON), at(NOON + SAMPLE_AFTER_SECONDS)]);
    assert_eq!(decided.undecided, 0);
    assert_eq!(decided.due.len() + usize::try_from(decided.passed).unwrap(), 200);
    assert!((1..40).contains(&decided.due.len()), "about 5 of a hundred: {}", decided.due.len());
    let root = *book.root(&keeper(1)).as_bytes();
    assert!(decided.due.iter().all(|due| is_sampled(&root, due.leaf.index, 5)));
    assert!(decided.due.is_sorted_by_key(|due| due.leaf.index));
}

#[test]
fn the_first_of_several_decides_whatever_order_they_come_in() {
    let mut book = town(100);
    let first = book.head(&keeper(1), Some(NOON + SAMPLE_AFTER_SECONDS));
    book.say(keeper(1), NOON + SAMPLE_AFTER_SECONDS + 1, received(1));
    let second = book.head(&keeper(1), Some(NOON + SAMPLE_AFTER_SECONDS + 2));
    let plan = |heads: &[Head]| plan(&book.logs, KeeperIndex(1), heads, 0, u64::MAX);
    let alone = plan(core::slice::from_ref(&first));
    assert_eq!(plan(&[first.clone(), second.clone()]), alone);
    assert_eq!(plan(&[second.clone(), first]), alone);
    assert_ne!(plan(&[second]).due, alone.due);
}

#[test]
fn checkpoints_that_cannot_decide_do_not() {
    let mut book = Book::founded();
    let before = book.head(&keeper(1), Some(NOON + SAMPLE_AFTER_SECONDS));
    let foreign = book.head(&keeper(2), Some(NOON + SAMPLE_AFTER_SECONDS));
    book.say(keeper(1), NOON, LogEntry::Request(Box::new(request())));
    let unconfirmed = book.head(&keeper(1), None);
    let plan = |heads: &[Head]| plan(&book.logs, KeeperIndex(1), heads, 0, u64::MAX).undecided;
    assert_eq!(plan(&[before]), 1, "it does not hold the leaf");
    assert_eq!(plan(&[foreign]), 1, "another log's");
    assert_eq!(plan(&[unconfirmed]), 1, "nobody confirmed it");
    assert_eq!(plan(&[book.head(&keeper(1), Some(NOON + SAMPLE_AFTER_SECONDS))]), 0);
}

#[test]
fn a_plan_is_of_its_range_and_of_requests_only() {
    let mut book = town(10);
    book.say(keeper(1), NOON, received(1));
    let heads = [book.head(&keeper(1), Some(NOON + SAMPLE_AFTER_SECONDS))];
    let count = |from, to| {
        let plan = plan(&book.logs, KeeperIndex(1), &heads, from, to);
        plan.due.len() + usize::try_from(plan.passed).unwrap()
    };
    assert_eq!(count(0, u64::MAX), 10);
    assert_eq!(count(3, 13), 10);
    assert_eq!(count(4, 12), 8);
    assert_eq!(count(13, 14), 0);
    assert_eq!(plan(&book.logs, KeeperIndex(9), &heads, 0, u64::MAX), Plan::default());
}
