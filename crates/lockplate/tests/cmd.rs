//! Transcripts of the command line: help, wrong usage, refused configuration. `TRYCMD=overwrite` writes them anew.

#![expect(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test asks for the solver, and says where it is skipped"
)]

#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}

/// What needs the solver cvc5 ($CVC5, or on the PATH).
#[test]
fn transcripts_with_a_solver() {
    let named = std::env::var_os("CVC5").filter(|path| !path.is_empty());
    let mut asked = std::process::Command::new(named.unwrap_or_else(|| "cvc5".into()));
    if asked.arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no cvc5; `policy prove` and `policy diff` were NOT tested");
        return;
    }
    trycmd::TestCases::new().case("tests/cmd/solver/*.trycmd");
}
