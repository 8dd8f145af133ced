//! The demo as its audience sees it: one command, every act with its expected end, and nothing left behind.
#![expect(clippy::disallowed_methods, reason = "a test starts the binary")]

use std::process::Command;

#[test]
fn the_story_is_told_to_its_end() {
    let temp = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lockplate"))
        .args(["demo", "--story"])
        .env("TMPDIR", temp.path())
        .output()
        .unwrap();
    let story = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{story}\n{said}");
    let mut rest = story.as_str();
    for outcome in [
        "1. A stolen car",
        "=> found, ",
        "2. A neighbour asks",
        "=> granted under the declaration, after a person said yes",
        "3. A federal agency asks with its own paper",
        // Two refusals end it; the third office may not have answered yet.
        "=> refused by ",
        " of 3 offices: base.immigration-paper, base.civil-immigration. Nothing was opened",
        "4. The same with a judge's warrant",
        "=> granted: a judge signed, and a person at two offices said yes",
        "5. A keeper lies",
        "=> found without the liar: County Auditor is named, the evidence is in a file",
        "6. A destroyed hour",
        "=> destroyed: exit 8, for everybody and for ever",
        "7. What the public sees",
        "and no plate in any of them",
        "=> valid, and the same pages can be made by anybody",
    ] {
        let Some((_, after)) = rest.split_once(outcome) else {
            panic!("`{outcome}` is missing or out of order in:\n{story}");
        };
        rest = after;
    }
    let seconds = |text: &str, before: &str| -> u64 {
        let (_, after) = text.split_once(before).unwrap();
        after.split(' ').next().unwrap().parse().unwrap()
    };
    assert!(seconds(&story, "=> found, ") <= 60, "the first search is answered within a minute");
    assert!(seconds(&story, "The end, after ") <= 120, "the whole story takes at most two minutes");
    for jargon in ["OPRF", "epoch", "quorum", "nonce", "digest", "bucket", "prekey", "Merkle", "ciphertext"] {
        assert!(!story.contains(jargon), "`{jargon}` is no word for this audience");
    }
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "it cleans up after itself");
}
