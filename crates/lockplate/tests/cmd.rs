//! Transcripts of the command line: help, wrong usage, refused configuration. `TRYCMD=overwrite` writes them anew.

#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
