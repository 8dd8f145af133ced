//! What a keeper sees of a change: nothing that is looser is ever seen as narrower.

use lockplate_core::vocabulary::State;
use lockplate_policy::{BASE_PACK, Bundle, CheckedBundle, SCHEMA, SeenRelation, Unseen, seen_relation};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;

use crate::sample::{formatted, state, with_file};

fn changed(old: &Bundle, path: &str, change: impl FnOnce(&str) -> String) -> Bundle {
    let text = old.files().find(|(other, _)| *other == path).unwrap().1;
    let changed = change(text);
    assert_ne!(text, changed, "{path} is as it was");
    Bundle::from_files(with_file(old, path, &changed)).unwrap()
}

fn replaced(path: &str, from: &str, to: &str) -> SeenRelation {
    let old = Bundle::shipped(state("CT"));
    let new = changed(&old, path, |text| text.replacen(from, to, 1));
    seen_relation(&old, &new)
}

fn forbid(id: &str, condition: &str) -> String {
    formatted(&format!(
        "@id(\"local.{id}\") @cite(\"c\") @since(\"2026-10-01\") @mark(\"A\") @say(\"s\") @fix(\"f\")
        forbid (principal, action, resource) when {{ {condition} }};"
    ))
}

#[test]
fn the_same_is_equal() {
    let old = Bundle::shipped(state("CT"));
    assert_eq!(seen_relation(&old, &old), SeenRelation::Equal);
    let commented = changed(&old, BASE_PACK, |text| text.replacen("// Base pack.", "// The base pack.", 1));
    assert_ne!(old.digest(), commented.digest());
    assert_eq!(seen_relation(&old, &commented), SeenRelation::Equal);
}

#[test]
fn a_stricter_duty_is_narrower_and_a_lighter_one_is_not_seen() {
    for (from, to, duty) in [
        ("@retain(\"P90D\")", "@retain(\"P89D\")", "retain"),
        ("@approvers(\"0\")", "@approvers(\"1\")", "approvers"),
        ("@notice(\"P180D\")", "@notice(\"P179D\")", "notice"),
        ("@notice(\"P180D\")", "@notice(\"P180D\")\n@confirm(\"visual\")", "confirm"),
    ] {
        assert_eq!(replaced(BASE_PACK, from, to), SeenRelation::Narrower, "{to}");
        let old = Bundle::shipped(state("CT"));
        let stricter = changed(&old, BASE_PACK, |text| text.replacen(from, to, 1));
        let unseen = Unseen::DutyLooser { rule: "base.search".to_owned(), duty };
        assert_eq!(seen_relation(&stricter, &old), SeenRelation::NotSeen(unseen), "{to}");
    }
}

#[test]
fn everything_else_is_not_seen() {
    let not_seen = SeenRelation::NotSeen;
    let altered = |rule: &str| not_seen(Unseen::RuleChanged(rule.to_owned()));
    // A condition, words, a statute, an effect.
    assert_eq!(replaced("ct.cedar", "context.ageDays > 21", "context.ageDays > 22"), altered("ct.21-days"));
    // Stricter to a reader, but a keeper does not reason.
    assert_eq!(replaced("ct.cedar", "context.ageDays > 21", "context.ageDays > 20"), altered("ct.21-days"));
    assert_eq!(replaced("ct.cedar", "State the facts", "Tell the facts"), altered("ct.reason"));
    assert_eq!(
        replaced("ct.cedar", "@mark(\"A\")\n@say(\"In Connecticut every", "@mark(\"B\")\n@say(\"In Connecticut every"),
        altered("ct.reason")
    );
    assert_eq!(replaced(BASE_PACK, "An officer of a law", "Any officer of a law"), altered("base.search"));
    assert_eq!(replaced(SCHEMA, "// Lockplate", "// The Lockplate"), not_seen(Unseen::SchemaChanged));
    let changed_property = not_seen(Unseen::PropertyChanged("CT3".to_owned()));
    assert_eq!(replaced("props/ct.cedar", "context.ageDays > 21 }", "context.ageDays > 22 }"), changed_property);

    let ohio = Bundle::shipped(state("OH"));
    let connecticut = Bundle::shipped(state("CT"));
    assert_eq!(seen_relation(&ohio, &connecticut), SeenRelation::Narrower, "a pack adds forbids and properties only");
    let SeenRelation::NotSeen(Unseen::RuleGone(rule)) = seen_relation(&connecticut, &ohio) else { panic!("seen") };
    assert!(rule.starts_with("ct."), "{rule}");

    // Only a property is gone.
    let files = connecticut.files().filter(|(path, _)| *path != "props/ct.cedar");
    let without = Bundle::from_files(files.map(|(path, text)| (path.to_owned(), text.to_owned()))).unwrap();
    assert_eq!(seen_relation(&connecticut, &without), not_seen(Unseen::PropertyGone("CT1".to_owned())));
    assert_eq!(seen_relation(&without, &connecticut), SeenRelation::Narrower);

    // A permit that covers what another covers: its duties are what makes it looser or not, and a keeper does not reason.
    let permit = formatted(
        "@id(\"base.more\") @title(\"t\") @retain(\"P1D\") @approvers(\"9\") @notice(\"P1D\")
        permit (principal is Lockplate::Officer, action, resource is Lockplate::Archive) when { context.mfa };",
    );
    let more = changed(&connecticut, BASE_PACK, |text| format!("{text}\n{permit}"));
    assert_eq!(seen_relation(&connecticut, &more), not_seen(Unseen::PermitAdded("base.more".to_owned())));

    // What cannot be loaded is no change at all.
    let broken = Bundle::from_files(with_file(&connecticut, "local.cedar", "forbid everything;\n")).unwrap();
    assert!(matches!(seen_relation(&connecticut, &broken), SeenRelation::NotSeen(Unseen::NewUnfit(_))));
    assert!(matches!(seen_relation(&broken, &connecticut), SeenRelation::NotSeen(Unseen::OldUnfit(_))));
}

#[test]
fn a_forbid_turned_into_a_permit_is_not_seen() {
    // The words are altered with the effect, or the lint refuses it; the body alone must be enough.
    let local =
        Bundle::from_files(with_file(&Bundle::shipped(state("CT")), "local.cedar", &forbid("x", "!context.mfa")));
    let old = local.unwrap();
    let new = changed(&old, "local.cedar", |text| text.replacen("!context.mfa", "context.mfa", 1));
    assert_eq!(seen_relation(&old, &new), SeenRelation::NotSeen(Unseen::RuleChanged("local.x".to_owned())));
}

/// Conditions for forbids; some match nearly everything, some nearly nothing.
fn conditions() -> impl Strategy<Value = String> {
    let atoms = vec![
        "!context.mfa",
        "context.emergencyDeclared",
        "principal.active",
        "principal.agency == resource.owner",
        "context.purpose == Lockplate::Purpose::\"stolenVehicle\"",
        "context.approvers.contains(principal)",
        "context.now < principal.trainedUntil",
        "context.legal.judicial",
        "resource.owner.state in [Lockplate::State::\"CT\", Lockplate::State::\"OH\"]",
    ];
    let one = select(atoms).prop_map(str::to_owned);
    one.prop_recursive(3, 8, 2, |inner| {
        (inner.clone(), inner, any::<bool>()).prop_map(|(left, right, and)| {
            let operator = if and { "&&" } else { "||" };
            format!("({left}) {operator} !({right})")
        })
    })
}

#[test]
fn adding_any_forbid_is_narrower_and_taking_it_away_is_not_seen() {
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    let states = select(State::ALL.to_vec());
    TestRunner::new(config)
        .run(&(states, conditions(), conditions()), |(code, first, second)| {
            let old = Bundle::shipped(state(code));
            let text = format!("{}\n{}", forbid("a", &first), forbid("b", &second));
            let new = Bundle::from_files(with_file(&old, "local.cedar", &formatted(&text))).unwrap();
            // A condition that can never apply is a warning of the validator, and no bundle at all.
            prop_assume!(CheckedBundle::of(&new).is_ok());
            prop_assert_eq!(seen_relation(&old, &new), SeenRelation::Narrower);
            let gone = Unseen::RuleGone("local.a".to_owned());
            prop_assert_eq!(seen_relation(&new, &old), SeenRelation::NotSeen(gone));
            Ok(())
        })
        .unwrap();
}

#[test]
fn taking_away_or_altering_anything_is_not_seen() {
    let all = Bundle::shipped_all();
    let config = ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config)
        .run(&(any::<Index>(), any::<bool>()), |(which, remove)| {
            // Every statement of every file, rules and properties, begins at its @id.
            let places: Vec<(String, usize)> = all
                .files()
                .flat_map(|(path, text)| text.match_indices("@id(").map(move |(at, _)| (path.to_owned(), at)))
                .collect();
            let (path, at) = which.get(&places);
            let text = all.files().find(|(other, _)| other == path).unwrap().1;
            let end = text[*at..].find(";\n").map_or(text.len(), |length| at + length + 2);
            let statement = &text[*at..end];
            let other = if remove {
                String::new()
            } else {
                // Never applies; the words stay as they are.
                let opening = [" when {", "\nwhen\n{", "\nunless\n{", " unless {", "\nwhen {", "\nunless {"];
                let found = opening.iter().filter_map(|word| Some((statement.find(word)?, word.len()))).min();
                let (start, length) = found.unwrap();
                format!("{} principal.active && {}", &statement[..start + length], &statement[start + length..])
            };
            let changed = format!("{}{}{}", &text[..*at], other, &text[end..]);
            let changed = formatted(&changed);
            let new = Bundle::from_files(with_file(&all, path, &changed)).unwrap();
            prop_assert!(matches!(seen_relation(&all, &new), SeenRelation::NotSeen(_)), "{}", statement);
            Ok(())
        })
        .unwrap();
}
