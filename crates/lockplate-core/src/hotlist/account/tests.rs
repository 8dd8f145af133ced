use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::super::fixture_tests::{DAY, NOW, after, before, plate, read, state};
use super::*;

const LIST: [u8; 16] = [0x70; 16];
const IL: Option<&str> = Some("US-IL");

fn settings(allow_state_unread: bool) -> AccountSettings {
    AccountSettings {
        list: LIST,
        archive: ArchiveKind::Toll,
        accounts_max: 100,
        allow_state_unread,
        trust_jurisdiction: true,
    }
}

fn account(id: &str, text: &str, code: &str) -> AccountEntry {
    AccountEntry {
        plate: plate(text),
        jurisdiction: state(code),
        account_id: id.to_owned(),
        valid_from: before(DAY),
        valid_to: after(DAY),
    }
}

fn accounts(allow_state_unread: bool, entries: Vec<AccountEntry>) -> AccountSet {
    AccountSet::build(settings(allow_state_unread), 7, entries.into_iter()).unwrap()
}

fn found(set: &AccountSet, read: &Read) -> Option<(String, MatchKind)> {
    set.account_of(read, NOW).map(|found| (found.account_id, found.matched))
}

#[test]
fn rule_1_only_unless_a_state_may_be_unread() {
    let entries = || vec![account("a", "AB12345", "US-IL"), account("b", "XY12345", "US-IL")];
    let strict = accounts(false, entries());
    let full = Some(("a".to_owned(), MatchKind::PlateAndState));
    assert_eq!(found(&strict, &read("AB12345", IL, Some(800))), full);
    assert_eq!(found(&strict, &read("AB12345", IL, None)), full);
    for read in [read("AB12345", IL, Some(799)), read("AB12345", None, None), read("AB12345", Some("US-IN"), Some(900))]
    {
        assert_eq!(found(&strict, &read), None);
    }
    let loose = accounts(true, entries());
    assert_eq!(found(&loose, &read("AB12345", None, None)), Some(("a".to_owned(), MatchKind::PlateOnly)));
    assert_eq!(found(&loose, &read("AB12345", Some("US-IN"), Some(900))), None);
    for text in ["A812345", "AB1234", "1AB12345", "AB12346"] {
        assert_eq!(found(&loose, &read(text, IL, Some(900))), None, "never a misreading: {text}");
    }
}

#[test]
fn without_the_state_two_customers_are_nobody() {
    let set = accounts(true, vec![account("a", "AB12345", "US-IL"), account("b", "AB12345", "US-IN")]);
    assert_eq!(found(&set, &read("AB12345", None, None)), None);
    assert_eq!(found(&set, &read("AB12345", Some("US-IN"), Some(900))).unwrap().0, "b");
}

#[test]
fn an_account_is_valid_from_and_to() {
    let set = accounts(false, vec![account("a", "AB12345", "US-IL")]);
    let read = read("AB12345", IL, Some(900));
    let at = |now| set.may_pass(&read, now);
    assert!(at(before(DAY)) && at(after(DAY - 1)));
    assert!(!at(before(DAY + 1)) && !at(after(DAY)));
}

#[test]
fn one_plate_is_one_account_at_a_time() {
    let later = AccountEntry { valid_from: after(DAY), valid_to: after(2 * DAY), ..account("b", "AB12345", "US-IL") };
    let set = accounts(false, vec![account("a", "AB12345", "US-IL"), later]);
    let read = read("AB12345", IL, Some(900));
    assert_eq!(set.account_of(&read, after(DAY)).unwrap().account_id, "b");
    let twice = vec![account("a", "AB12345", "US-IL"), account("b", "AB12345", "US-IL")];
    assert!(AccountSet::build(settings(false), 7, twice.into_iter()).is_err());
}

#[test]
fn what_an_account_list_refuses() {
    let build = |settings: AccountSettings, entries: Vec<AccountEntry>| {
        AccountSet::build(settings, 7, entries.into_iter()).is_ok()
    };
    let many = |n: usize| (0..n).map(|at| account("a", &format!("P{at:04}"), "US-IL")).collect::<Vec<_>>();
    assert!(build(settings(false), many(100)) && !build(settings(false), many(101)));
    let police = AccountSettings { archive: ArchiveKind::Police, ..settings(false) };
    assert!(!build(police, many(1)));
    assert!(build(AccountSettings { archive: ArchiveKind::Parking, ..settings(false) }, many(1)));
    let id = |id: &str| vec![account(id, "AB12345", "US-IL")];
    assert!(build(settings(false), id(&"a".repeat(64))));
    assert!(
        !build(settings(false), id(&"a".repeat(65)))
            && !build(settings(false), id(""))
            && !build(settings(false), id("a\n"))
    );
    let never = AccountEntry { valid_to: before(DAY), ..account("a", "AB12345", "US-IL") };
    assert!(!build(settings(false), vec![never]));
}

#[test]
fn a_passage_goes_sealed_to_the_billing_key_and_has_no_plate() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let secret = HpkeSecretKey::random(&mut rng);
    let set = accounts(false, vec![account("acct-9", "AB12345", "US-IL")]);
    let found = set.account_of(&read("AB12345", IL, Some(900)), NOW).unwrap();
    let passage = Passage::new(found, "plaza-41", "3", NOW).unwrap();
    let text = passage.to_json().to_canonical_bytes().unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(
        text,
        r#"{"account_id":"acct-9","facility":"plaza-41","lane":"3","match":"plate_and_state","time":"2026-11-22T14:00:00Z"}"#
    );
    let sealed = seal_passage(&secret.public_key().unwrap(), set.list(), &passage, &mut rng).unwrap();
    assert!(open_passage(&secret, set.list(), &sealed).unwrap() == passage);
    assert!(open_passage(&secret, &[0; 16], &sealed).is_err());
    assert!(open_passage(&HpkeSecretKey::random(&mut rng), set.list(), &sealed).is_err());
    let again = set.account_of(&read("AB12345", IL, Some(900)), NOW).unwrap();
    assert!(Passage::new(again, "plaza\n", "3", NOW).is_err());
}

#[test]
fn debug_shows_no_plate_and_no_account() {
    let set = accounts(false, vec![account("acct-9", "AB12345", "US-IL")]);
    let found = set.account_of(&read("AB12345", IL, Some(900)), NOW).unwrap();
    let shown = format!("{set:?} {found:?} {:?}", account("acct-9", "AB12345", "US-IL"));
    assert!(!shown.contains("AB12345") && !shown.contains("acct-9"), "{shown}");
    assert!(set.heap_bytes() > 0);
}

proptest! {
    #[test]
    fn only_the_own_plate_and_state_ever_match(
        entries in proptest::collection::btree_map(("[AB01]{2,4}", "US-(IL|IN)"), "[a-z]{1,4}", 0..20),
        text in "[AB01]{2,4}",
        code in proptest::option::of("US-(IL|IN|WI)"),
        conf in 0..=1_000_u16,
        loose: bool,
    ) {
        let list = entries.iter().map(|((text, code), id)| account(id, text, code)).collect();
        let set = accounts(loose, list);
        let read = read(&text, code.as_deref(), Some(conf));
        if let Some((id, matched)) = found(&set, &read) {
            let own = |code: &str| entries.get(&(text.clone(), code.to_owned())) == Some(&id);
            match matched {
                MatchKind::PlateAndState => prop_assert!(conf >= 800 && own(code.as_deref().unwrap())),
                MatchKind::PlateOnly => prop_assert!(loose && (own("US-IL") || own("US-IN"))),
                MatchKind::PossibleMisread => prop_assert!(false),
            }
        }
    }
}
