//! Proofs: what ships holds, and what does not hold is found and told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use lockplate_policy::Bundle;
use lockplate_prove::{Because, Failure, Proof, Report, prove};

use crate::sample::{changed, checked, cvc5, emergency_amendment, local, proved, shipped, with};

fn told(failures: &[Failure]) -> String {
    failures.iter().map(|failure| format!("{failure:#?}\n")).collect()
}

fn story(failure: &Failure) -> String {
    match &failure.because {
        Because::Story(story) => story.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Failures of these proofs, and no other.
fn only<'a>(report: &'a Report, proof: Proof, about: Option<&str>) -> Vec<&'a Failure> {
    assert!(!report.failures.is_empty());
    for failure in &report.failures {
        assert_eq!((failure.proof, failure.about.as_deref()), (proof, about), "{}", told(&report.failures));
    }
    report.failures.iter().collect()
}

#[test]
fn all_packs_together() {
    let Some(cvc5) = cvc5() else { return };
    let (done, planned) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let report = prove(&checked(&Bundle::shipped_all()), &cvc5, &|progress| {
        done.fetch_max(progress.done, Ordering::Relaxed);
        planned.store(progress.planned, Ordering::Relaxed);
    })
    .unwrap();
    assert!(report.failures.is_empty(), "{}", told(&report.failures));
    // The figures of `law.md` section 6.
    assert_eq!((report.rules, report.properties, report.checks), (59, 36, 422));
    assert_eq!((report.forbids, report.redundant), (54, 6));
    assert_eq!(done.into_inner(), planned.into_inner(), "the progress ends at its end");
}

#[test]
fn the_base_pack_alone() {
    let Some(cvc5) = cvc5() else { return };
    let report = proved(&shipped("OH"), &cvc5);
    assert!(report.failures.is_empty(), "{}", told(&report.failures));
    assert_eq!(report.checks, 226);
}

/// One test a state, so that they share the processors.
macro_rules! states {
    ($($name:ident $code:literal $checks:literal)*) => {$(
        #[test]
        fn $name() {
            let Some(cvc5) = cvc5() else { return };
            let report = proved(&shipped($code), &cvc5);
            assert!(report.failures.is_empty(), "{}", told(&report.failures));
            assert_eq!(report.checks, $checks);
        }
    )*};
}

states! {
    california "CA" 240 connecticut "CT" 259 illinois "IL" 245 minnesota "MN" 244 new_hampshire "NH" 237
    new_jersey "NJ" 240 new_mexico "NM" 240 virginia "VA" 247 vermont "VT" 250 washington "WA" 254
}

#[test]
fn an_emergency_that_needs_no_judge_is_found_and_told() {
    let Some(cvc5) = cvc5() else { return };
    let report = proved(&emergency_amendment(&shipped("CT")), &cvc5);
    // Connecticut's own rule refuses the same, so this is not about a town there.
    let failures = only(&report, Proof::Never, Some("P1"));
    let actions: BTreeSet<&str> = failures.iter().filter_map(|failure| failure.action.as_deref()).collect();
    assert_eq!(actions, BTreeSet::from(["holdEvidence", "search"]));
    for failure in failures {
        let story = story(failure);
        assert!(story.contains("Purpose: civil immigration. Basis stated: exigency; no judge's paper."), "{story}");
        assert!(story.contains("Emergency declared: yes."), "{story}");
        assert!(story.contains("It is allowed by base.search, "), "{story}");
        // What does not matter is as usual.
        assert!(story.contains("An officer of a local law-enforcement agency of "), "{story}");
        assert!(story.contains("Dates: 2026-11-15 to 2026-11-22, counted as 7 days;"), "{story}");
        for jargon in ["Lockplate::", "cvc5", "SMT", "counterexample", "__entity", "datetime"] {
            assert!(!story.contains(jargon), "{story}");
        }
    }
}

#[test]
fn a_promise_that_something_is_always_allowed_is_broken_by_a_forbid() {
    let Some(cvc5) = cvc5() else { return };
    let bundle = with(&shipped("CT"), "local.cedar", &local("context.ageDays > 14"));
    // A search alone has an age; the rule is about searches.
    let text = local("context.ageDays > 14").replace(
        "forbid (principal, action, resource)",
        "forbid (\n  principal,\n  action == Lockplate::Action::\"search\",\n  resource\n)",
    );
    drop(bundle.files());
    let report = proved(&with(&shipped("CT"), "local.cedar", &text), &cvc5);
    let failures = only(&report, Proof::Always, Some("CT5"));
    assert_eq!(failures.len(), 1);
    let story = story(failures[0]);
    assert!(story.ends_with("It is refused by local.x."), "{story}");
    assert!(story.contains("the reads are 15 days old") || story.contains("days old"), "{story}");
}

#[test]
fn a_refusal_without_a_name_is_found() {
    let Some(cvc5) = cvc5() else { return };
    // The forbid that mirrors the permit's list of purposes no longer knows one of them, so it refuses by default only.
    let hidden = changed(
        &shipped("OH"),
        "00-base.cedar",
        "   Lockplate::Purpose::\"courtProceeding\",\n   Lockplate::Purpose::\"civilImmigration\"]\n};\n\n@id(\"base.case\")",
        "   Lockplate::Purpose::\"courtProceeding\",\n   Lockplate::Purpose::\"tollOrParking\",\n   Lockplate::Purpose::\"civilImmigration\"]\n};\n\n@id(\"base.case\")",
    );
    let report = proved(&hidden, &cvc5);
    let failures = only(&report, Proof::RefusalNamed, None);
    let story = story(failures[0]);
    assert!(story.contains("Purpose: toll or parking."), "{story}");
    assert!(story.ends_with("No rule allows it, and no rule says why it is refused."), "{story}");
}

#[test]
fn rules_that_allow_nothing_are_found() {
    let Some(cvc5) = cvc5() else { return };
    let text = local("context.mfa || !context.mfa");
    let report = proved(&with(&shipped("OH"), "local.cedar", &text), &cvc5);
    let nothing: Vec<_> = report.failures.iter().filter(|failure| failure.proof == Proof::AllowsSomething).collect();
    assert_eq!(nothing.len(), 5, "{}", told(&report.failures));
    assert!(nothing.iter().all(|failure| matches!(failure.because, Because::Empty(_))));
}

#[test]
fn a_property_that_describes_nothing_is_found() {
    let Some(cvc5) = cvc5() else { return };
    let text = r#"@id("L1")
@check("never")
@say("Nobody is at once older and younger than a week.")
permit (
  principal,
  action == Lockplate::Action::"search",
  resource
)
when { context.ageDays > 7 && context.ageDays < 7 };
"#;
    let local = local("context.mfa && context.legal.caseNumber == false && context.legal.factsStated == false");
    let bundle = with(&with(&shipped("OH"), "local.cedar", &local), "props/local.cedar", text);
    let report = proved(&bundle, &cvc5);
    let failures = only(&report, Proof::Describes, Some("L1"));
    assert_eq!(failures.len(), 1);
    assert!(matches!(failures[0].because, Because::Empty(_)));
}

#[test]
fn a_forbid_that_changes_nothing_must_say_so() {
    let Some(cvc5) = cvc5() else { return };
    let silent = local("!context.mfa");
    let report = proved(&with(&shipped("OH"), "local.cedar", &silent), &cvc5);
    assert_eq!(only(&report, Proof::Needed, Some("local.x")).len(), 1);
    let said = silent.replace("@say", "@redundant(\"base.session\")\n@say");
    let report = proved(&with(&shipped("OH"), "local.cedar", &said), &cvc5);
    assert!(report.failures.is_empty(), "{}", told(&report.failures));
    // And one that says so and is wrong.
    let wrong = local("context.emergencyDeclared").replace("@say", "@redundant(\"base.session\")\n@say");
    let report = proved(&with(&shipped("OH"), "local.cedar", &wrong), &cvc5);
    assert_eq!(only(&report, Proof::Needed, Some("local.x")).len(), 1);
}
