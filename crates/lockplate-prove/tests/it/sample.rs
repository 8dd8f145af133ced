//! The solver, and bundles with something planted.

use std::ffi::OsString;

use lockplate_core::vocabulary::State;
use lockplate_policy::{Bundle, CheckedBundle};
use lockplate_prove::{Cvc5, Prover, Report};

/// `None` where there is no solver; then the test must end.
pub(crate) fn cvc5() -> Option<Cvc5> {
    let named = std::env::var_os("CVC5").filter(|path| !path.is_empty());
    match Cvc5::at(&named.unwrap_or_else(|| OsString::from("cvc5"))) {
        Ok(cvc5) => Some(cvc5),
        Err(error) => {
            eprintln!("SKIPPED: {error}; the rules are NOT PROVED (Debian: apt install cvc5)");
            None
        }
    }
}

pub(crate) fn shipped(code: &str) -> Bundle {
    Bundle::shipped(State::parse(code).unwrap())
}

pub(crate) fn checked(bundle: &Bundle) -> CheckedBundle {
    CheckedBundle::of(bundle).unwrap()
}

pub(crate) fn proved(bundle: &Bundle, cvc5: &Cvc5) -> Report {
    Prover::new(cvc5.clone()).prove(&checked(bundle), &|_| {}).unwrap()
}

/// The form in which a pack is accepted.
pub(crate) fn formatted(text: &str) -> String {
    let call = serde_json::json!({ "policyText": text, "lineWidth": 120, "indentWidth": 2 });
    match cedar_policy::ffi::format(serde_json::from_value(call).unwrap()) {
        cedar_policy::ffi::FormattingAnswer::Success { formatted_policy } => formatted_policy,
        cedar_policy::ffi::FormattingAnswer::Failure { errors } => panic!("{errors:?}"),
    }
}

/// A small bundle that keeps its promises, with the shipped schema.
pub(crate) fn small() -> Bundle {
    let base = r#"
        @id("base.police") @title("t") @retain("P1D") @approvers("0") @notice("P1D")
        permit (principal is Lockplate::Officer, action, resource is Lockplate::Archive)
        when { principal.agency.lawEnforcement };
        @id("base.agency") @redundant("default denial") @say("s") @fix("f")
        forbid (principal, action, resource) unless { principal.agency.lawEnforcement };
        @id("base.session") @say("s") @fix("f")
        forbid (principal, action, resource) unless { context.mfa && principal.active };
    "#;
    let promises = r#"
        @id("M1") @check("never") @say("Nobody without a second factor.")
        permit (principal, action, resource) when { !context.mfa };
        @id("M2") @check("always") @say("An active officer with two factors searches.")
        permit (principal, action == Lockplate::Action::"search", resource)
        when { principal.agency.lawEnforcement && context.mfa && principal.active };
    "#;
    let shipped = shipped("OH");
    let schema = shipped.files().find(|(path, _)| *path == "lockplate.cedarschema").unwrap().1;
    Bundle::from_files(
        [
            ("lockplate.cedarschema", schema.to_owned()),
            ("00-base.cedar", formatted(base)),
            ("props/00-base.cedar", formatted(promises)),
        ]
        .map(|(path, text)| (path.to_owned(), text)),
    )
    .unwrap()
}

/// A bundle with one file changed; the change must be one.
pub(crate) fn changed(bundle: &Bundle, path: &str, from: &str, to: &str) -> Bundle {
    let files = bundle.files().map(|(other, text)| {
        let text = if other == path {
            assert!(text.contains(from), "{path} has no {from}");
            text.replacen(from, to, 1)
        } else {
            text.to_owned()
        };
        (other.to_owned(), text)
    });
    Bundle::from_files(files.collect::<Vec<_>>()).unwrap()
}

/// A bundle with one file more, or another text of it.
pub(crate) fn with(bundle: &Bundle, path: &str, text: &str) -> Bundle {
    let files = bundle.files().filter(|(other, _)| *other != path);
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    Bundle::from_files(files.chain([(path.to_owned(), text.to_owned())])).unwrap()
}

/// A local forbid in the form that the lint accepts.
pub(crate) fn local(condition: &str) -> String {
    format!(
        r#"@id("local.x")
@cite("c")
@since("2026-10-01")
@mark("C")
@say("s")
@fix("f")
forbid (principal, action, resource)
when {{ {condition} }};
"#
    )
}

/// The amendment that somebody will propose one day: in an emergency no judge is needed for civil immigration.
pub(crate) fn emergency_amendment(bundle: &Bundle) -> Bundle {
    let opened = r#"when { context.purpose == Lockplate::Purpose::"civilImmigration" }
unless
{
  context.legal.judicial &&
  context.legal.kind == Lockplate::Basis::"searchWarrant" &&
  context.legal.assurance == Lockplate::Assurance::"courtKey"
};"#;
    let to = r#"when { context.purpose == Lockplate::Purpose::"civilImmigration" }
unless
{
  (context.legal.judicial &&
   context.legal.kind == Lockplate::Basis::"searchWarrant" &&
   context.legal.assurance == Lockplate::Assurance::"courtKey") ||
  context.emergencyDeclared
};"#;
    changed(bundle, "00-base.cedar", opened, to)
}
