//! The solver, and bundles with something planted.

use std::ffi::OsString;

use lockplate_core::vocabulary::State;
use lockplate_policy::{Bundle, CheckedBundle};
use lockplate_prove::{Cvc5, Report, prove};

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
    prove(&checked(bundle), cvc5, &|_| {}).unwrap()
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
