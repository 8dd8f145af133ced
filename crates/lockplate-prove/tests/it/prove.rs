//! Proofs: what ships holds, and what does not hold is found and told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use lockplate_policy::Bundle;
use lockplate_prove::{Because, Failure, Proof, Prover, Report};

use crate::sample::{changed, checked, cvc5, emergency_amendment, formatted, local, proved, shipped, small, with};

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
fn what_ships_holds() {
    let Some(cvc5) = cvc5() else { return };
    // The small ones first: which requests their rules decide is then known to all packs together.
    let prover = Prover::new(cvc5);
    for (code, checks) in [
        ("OH", 226),
        ("CA", 240),
        ("CT", 259),
        ("IL", 245),
        ("MN", 244),
        ("NH", 239),
        ("NJ", 240),
        ("NM", 240),
        ("VA", 247),
        ("VT", 250),
        ("WA", 254),
    ] {
        let report = prover.prove(&checked(&shipped(code)), &|_| {}).unwrap();
        assert!(report.failures.is_empty(), "{code}: {}", told(&report.failures));
        assert_eq!(report.checks, checks, "{code}");
    }
    let (done, planned) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let report = prover
        .prove(&checked(&Bundle::shipped_all()), &|progress| {
            done.fetch_max(progress.done, Ordering::Relaxed);
            planned.store(progress.planned, Ordering::Relaxed);
        })
        .unwrap();
    assert!(report.failures.is_empty(), "{}", told(&report.failures));
    // Base and what each state adds: the NH property speaks of three kinds of request.
    assert_eq!((report.rules, report.properties, report.checks), (59, 36, 424));
    assert_eq!((report.forbids, report.redundant), (54, 6));
    assert_eq!(done.into_inner(), planned.into_inner(), "the progress ends at its end");
}

#[test]
fn what_an_earlier_bundle_showed_is_shown_again() {
    let Some(cvc5) = cvc5() else { return };
    let prover = Prover::new(cvc5.clone());
    let prove = |bundle: &Bundle| prover.prove(&checked(bundle), &|_| {}).unwrap();
    assert_eq!(prove(&small()).failures, []);
    assert_eq!(prove(&small()).failures, []);
    // A request that showed a rule to be needed does not show it where another rule refuses the same.
    let other = formatted(
        r#"@id("base.second") @say("s") @fix("f")
        forbid (principal, action, resource) unless { context.mfa && principal.active };"#,
    );
    let text = small().files().find(|(path, _)| *path == "00-base.cedar").unwrap().1.to_owned();
    let both = with(&small(), "00-base.cedar", &format!("{text}\n{other}"));
    let failures = prove(&both).failures;
    let about: Vec<_> = failures.iter().map(|failure| (failure.proof, failure.about.as_deref())).collect();
    assert_eq!(about, [(Proof::Needed, Some("base.second")), (Proof::Needed, Some("base.session"))]);
    assert_eq!(failures, proved(&both, &cvc5).failures);
}

#[test]
fn an_emergency_that_needs_no_judge_is_found_and_told() {
    let Some(cvc5) = cvc5() else { return };
    let report = proved(&emergency_amendment(&shipped("OH")), &cvc5);
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
    let report = proved(&with(&small(), "local.cedar", &local("context.emergencyDeclared")), &cvc5);
    let failures = only(&report, Proof::Always, Some("M2"));
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].action.as_deref(), Some("search"));
    let story = story(failures[0]);
    assert!(story.ends_with("It is refused by local.x."), "{story}");
    assert!(story.contains("Emergency declared: yes."), "{story}");
}

#[test]
fn a_refusal_without_a_name_is_found() {
    let Some(cvc5) = cvc5() else { return };
    let mirror = "unless { principal.agency.lawEnforcement };";
    let wider = "unless { principal.agency.lawEnforcement || context.emergencyDeclared };";
    let report = proved(&changed(&small(), "00-base.cedar", mirror, wider), &cvc5);
    let failures = only(&report, Proof::RefusalNamed, None);
    assert_eq!(failures.len(), 5);
    let story = story(failures[0]);
    assert!(story.contains("agency that is no law enforcement"), "{story}");
    assert!(story.ends_with("No rule allows it, and no rule says why it is refused."), "{story}");
}

#[test]
fn rules_that_allow_nothing_are_found() {
    let Some(cvc5) = cvc5() else { return };
    let report = proved(&with(&small(), "local.cedar", &local("context.mfa || !context.mfa")), &cvc5);
    let nothing: Vec<_> = report.failures.iter().filter(|failure| failure.proof == Proof::AllowsSomething).collect();
    assert_eq!(nothing.len(), 5, "{}", told(&report.failures));
    assert!(nothing.iter().all(|failure| matches!(failure.because, Because::Empty(_))));
}

#[test]
fn a_property_that_describes_nothing_is_found() {
    let Some(cvc5) = cvc5() else { return };
    let text = formatted(
        r#"@id("L1") @check("never") @say("Nothing is at once older and younger than a week.")
        permit (principal, action == Lockplate::Action::"search", resource)
        when { context.ageDays > 7 && context.ageDays < 7 };"#,
    );
    let bundle = with(&with(&small(), "local.cedar", "\n"), "props/local.cedar", &text);
    let report = proved(&bundle, &cvc5);
    let failures = only(&report, Proof::Describes, Some("L1"));
    assert_eq!(failures.len(), 1);
    assert!(matches!(failures[0].because, Because::Empty(_)));
}

#[test]
fn a_forbid_that_changes_nothing_must_say_so() {
    let Some(cvc5) = cvc5() else { return };
    let silent = local("!context.mfa");
    let report = proved(&with(&small(), "local.cedar", &silent), &cvc5);
    assert_eq!(only(&report, Proof::Needed, Some("local.x")).len(), 1);
    let said = silent.replace("@say", "@redundant(\"base.session\")\n@say");
    let report = proved(&with(&small(), "local.cedar", &said), &cvc5);
    assert!(report.failures.is_empty(), "{}", told(&report.failures));
    // And one that says so and is wrong. M2 is no part of this.
    let condition = "context.emergencyDeclared && !principal.agency.declarations.isEmpty()";
    let wrong = local(condition).replace("@say", "@redundant(\"base.session\")\n@say");
    let bundle = with(&with(&small(), "props/00-base.cedar", "\n"), "local.cedar", &wrong);
    let report = proved(&bundle, &cvc5);
    assert_eq!(only(&report, Proof::Needed, Some("local.x")).len(), 1);
}
