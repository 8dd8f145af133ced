//! The trust file: what is read, what is refused and why, and what counts as a quorum.

use std::collections::BTreeSet;

use lockplate_log::limits::{POLICY_BYTES_MAX, POLICY_GROUPS_MAX, POLICY_LOGS_MAX, POLICY_WITNESSES_MAX};
use lockplate_log::{
    CosignatureSigner, Error, Log, NoteSignature, NoteSigner, Origin, PolicyFault, PolicyGroup, PolicyLog,
    PolicyWitness, Receipt, SignatureType, SignedNote, Threshold, VerifierKey, WitnessPolicy,
};
use proptest::prelude::*;

use crate::memory::{Memory, NOW, said, signer};

pub(crate) fn cosigner(name: &str) -> CosignatureSigner {
    let mut seed = [0; 32];
    seed[..name.len().min(32)].copy_from_slice(&name.as_bytes()[..name.len().min(32)]);
    CosignatureSigner::new(Origin::parse(&format!("{name}.example/witness")).unwrap(), &seed).unwrap()
}

fn witness_line(name: &str) -> String {
    format!("witness {name} {}\n", cosigner(name).verifier_key())
}

fn log_line() -> String {
    format!("log {}\n", signer().verifier_key())
}

/// Two of three towns, and the court or the paper.
fn nested() -> String {
    let mut text = log_line();
    for name in ["mill", "east", "west", "court", "paper"] {
        text.push_str(&witness_line(name));
    }
    text + "group towns 2 mill east west\ngroup outside any court paper\ngroup both all towns outside\nquorum both\n"
}

fn fault(text: &str) -> (u32, PolicyFault) {
    match WitnessPolicy::parse(text) {
        Err(Error::Policy { line, fault }) => (line, fault),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_trust_file_is_read_and_written() {
    let policy = WitnessPolicy::parse(&nested()).unwrap();
    assert_eq!(policy.to_text(), nested());
    assert_eq!(policy.logs().len(), 1);
    assert_eq!(
        policy.witnesses().iter().map(|w| w.name.as_str()).collect::<Vec<_>>(),
        ["mill", "east", "west", "court", "paper"]
    );
    assert_eq!(policy.quorum(), Some("both"));
    // Comments, empty lines, tabs, blanks around, URLs, names of another alphabet; lines in any order that defines before it uses.
    let odd = format!(
        "# a comment\n\n \t # another\n\twitness \u{212a} {}  https://town.example/w\t\n  group\tg  1 \u{212a}\nquorum g\nlog {} https://clerk.example/log\n",
        cosigner("k").verifier_key(),
        signer().verifier_key()
    );
    let policy = WitnessPolicy::parse(&odd).unwrap();
    assert_eq!(policy.witnesses()[0].url.as_deref(), Some("https://town.example/w"));
    assert_eq!(policy.logs()[0].url.as_deref(), Some("https://clerk.example/log"));
    assert_eq!(policy.witnesses()[0].name, "\u{212a}", "a Kelvin sign is not a K");
    assert_eq!(WitnessPolicy::parse(&policy.to_text()), Ok(policy));
    // A quorum line alone is a policy, and so is one of a witness by name.
    assert_eq!(WitnessPolicy::parse("quorum none\n").unwrap().quorum(), None);
    assert_eq!(WitnessPolicy::parse(&format!("{}quorum mill\n", witness_line("mill"))).unwrap().quorum(), Some("mill"));
}

/// `log.md` section 10, line "Trust file", and the other ways to write none.
#[test]
fn malformed_trust_files_are_refused_with_the_line() {
    let (log, a, b) = (log_line(), witness_line("a"), witness_line("b"));
    let two = format!("{log}{a}{b}");
    let key = cosigner("c").verifier_key().to_string();
    let renamed = VerifierKey::new(
        Origin::parse("renamed.example").unwrap(),
        SignatureType::CosignatureV1,
        cosigner("a").verifier_key().public_key(),
    )
    .unwrap();
    let as_witness = VerifierKey::new(
        Origin::parse("log.example").unwrap(),
        SignatureType::CosignatureV1,
        signer().verifier_key().public_key(),
    )
    .unwrap();
    for (what, text, expected) in [
        ("undefined name in the quorum", format!("{two}quorum nobody\n"), (4, PolicyFault::Undefined)),
        ("undefined name in a group", format!("{two}group g any a nobody\nquorum g\n"), (4, PolicyFault::Undefined)),
        ("group before its members", format!("{log}group g any a\n{a}quorum g\n"), (2, PolicyFault::Undefined)),
        ("quorum before its group", format!("{a}quorum g\ngroup g any a\n"), (2, PolicyFault::Undefined)),
        ("group of itself", format!("{a}group g any g\nquorum g\n"), (2, PolicyFault::Undefined)),
        ("none in a group", format!("{a}group g any none\nquorum g\n"), (2, PolicyFault::Undefined)),
        ("two quorum lines", format!("{two}quorum a\nquorum a\n"), (5, PolicyFault::QuorumTwice)),
        ("two quorum lines, none first", format!("{two}quorum none\nquorum a\n"), (5, PolicyFault::QuorumTwice)),
        ("no quorum line", two.clone(), (0, PolicyFault::NoQuorumLine)),
        ("empty", "\n".to_owned(), (0, PolicyFault::NoQuorumLine)),
        ("k = 0", format!("{two}group g 0 a b\nquorum g\n"), (4, PolicyFault::Threshold)),
        ("k > n", format!("{two}group g 3 a b\nquorum g\n"), (4, PolicyFault::Threshold)),
        ("k = 02", format!("{two}group g 02 a b\nquorum g\n"), (4, PolicyFault::Threshold)),
        ("k = +1", format!("{two}group g +1 a b\nquorum g\n"), (4, PolicyFault::Threshold)),
        ("k = 2^64", format!("{two}group g 18446744073709551616 a b\nquorum g\n"), (4, PolicyFault::Threshold)),
        ("k = two", format!("{two}group g two a b\nquorum g\n"), (4, PolicyFault::Threshold)),
        ("any of nobody", format!("{two}group g any\nquorum g\n"), (4, PolicyFault::Threshold)),
        ("all of nobody", format!("{two}group g all\nquorum g\n"), (4, PolicyFault::Threshold)),
        ("same witness key twice", format!("{two}{}", a.replace("witness a", "witness c")), (4, PolicyFault::KeyTwice)),
        ("same witness key, renamed", format!("{two}witness c {renamed}\nquorum a\n"), (4, PolicyFault::KeyTwice)),
        ("same log key twice", format!("{log}{log}quorum none\n"), (2, PolicyFault::KeyTwice)),
        ("a log as its own witness", format!("{log}witness l {as_witness}\nquorum l\n"), (2, PolicyFault::KeyTwice)),
        ("member twice in a group", format!("{two}group g 2 a a\nquorum g\n"), (4, PolicyFault::MemberTwice)),
        (
            "member of two groups",
            format!("{two}group g any a b\ngroup h any a\nquorum g\n"),
            (5, PolicyFault::MemberTwice),
        ),
        ("name twice", format!("{two}witness a {key}\nquorum a\n"), (4, PolicyFault::NameTwice)),
        ("group named as a witness", format!("{two}group a any b\nquorum a\n"), (4, PolicyFault::NameTwice)),
        ("witness named none", format!("witness none {key}\nquorum none\n"), (1, PolicyFault::Name)),
        ("group named none", format!("{two}group none any a\nquorum none\n"), (4, PolicyFault::Name)),
        ("name of 256 bytes", format!("witness {} {key}\nquorum none\n", "a".repeat(256)), (1, PolicyFault::Name)),
        ("log with a witness's key", format!("log {key}\nquorum none\n"), (1, PolicyFault::KeyType)),
        (
            "witness with a log's key",
            format!("witness a {}\nquorum a\n", signer().verifier_key()),
            (1, PolicyFault::KeyType),
        ),
        ("no key", "log nothing\nquorum none\n".to_owned(), (1, PolicyFault::Key)),
        (
            "wrong id",
            format!("log {}\nquorum none\n", signer().verifier_key().to_string().replace('+', "+0")),
            (1, PolicyFault::Key),
        ),
        ("log without key", "log\nquorum none\n".to_owned(), (1, PolicyFault::Grammar)),
        ("two words after a key", format!("{} u v\nquorum none\n", log.trim_end()), (1, PolicyFault::Grammar)),
        ("group without threshold", format!("{a}group g\nquorum a\n"), (2, PolicyFault::Grammar)),
        ("quorum without name", format!("{a}quorum\n"), (2, PolicyFault::Grammar)),
        ("quorum with two names", format!("{two}quorum a b\n"), (4, PolicyFault::Grammar)),
        ("unknown word", "policy 1\nquorum none\n".to_owned(), (1, PolicyFault::Grammar)),
        ("upper case", "Quorum none\n".to_owned(), (1, PolicyFault::Grammar)),
        ("comment behind a line", "quorum none # why\n".to_owned(), (1, PolicyFault::Grammar)),
        ("no-break space", "quorum\u{a0}none\n".to_owned(), (1, PolicyFault::Grammar)),
        ("CR", "quorum none\r\n".to_owned(), (1, PolicyFault::Character)),
        ("NUL in a comment", "# \0\nquorum none\n".to_owned(), (1, PolicyFault::Character)),
        ("DEL in a comment", "# \u{7f}\nquorum none\n".to_owned(), (1, PolicyFault::Character)),
        ("no final LF", "quorum none".to_owned(), (0, PolicyFault::Character)),
        ("nothing", String::new(), (0, PolicyFault::Character)),
    ] {
        assert_eq!(fault(&text), expected, "{what}");
    }
}

#[test]
fn every_bound_of_a_trust_file_is_met_and_not_passed() {
    let log = |i: usize| {
        let mut seed = [1; 32];
        seed[..8].copy_from_slice(&i.to_be_bytes());
        let key = NoteSigner::new(Origin::parse(&format!("log{i}.example")).unwrap(), &seed).unwrap();
        format!("log {}\n", key.verifier_key())
    };
    let witness = |i: usize| witness_line(&format!("w{i}"));
    let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let with = |text: String| WitnessPolicy::parse(&(text + "quorum none\n"));
    assert_eq!(with(lines(POLICY_LOGS_MAX, &log)).unwrap().logs().len(), 64);
    assert_eq!(fault(&lines(POLICY_LOGS_MAX + 1, &log)), (65, PolicyFault::TooMany));
    assert_eq!(with(lines(POLICY_WITNESSES_MAX, &witness)).unwrap().witnesses().len(), 64);
    assert_eq!(fault(&lines(POLICY_WITNESSES_MAX + 1, &witness)), (65, PolicyFault::TooMany));
    // A chain of groups of one: g0 of the witness, each of the one before.
    let group = |i: usize| match i.checked_sub(1) {
        None => "group g0 all w0\n".to_owned(),
        Some(before) => format!("group g{i} all g{before}\n"),
    };
    let chain = |count: usize| witness(0) + &lines(count, &group);
    let policy = WitnessPolicy::parse(&(chain(POLICY_GROUPS_MAX) + "quorum g63\n")).unwrap();
    assert!(policy.is_quorum(&|_| true) && !policy.is_quorum(&|_| false));
    assert_eq!(fault(&chain(POLICY_GROUPS_MAX + 1)), (66, PolicyFault::TooMany));
    let padded = |length: usize| format!("#{}\nquorum none\n", "-".repeat(length - "#\nquorum none\n".len()));
    assert!(WitnessPolicy::parse(&padded(POLICY_BYTES_MAX)).is_ok());
    assert_eq!(fault(&padded(POLICY_BYTES_MAX + 1)), (0, PolicyFault::TooMany));
    let name = |length: usize| format!("witness {} {}\n", "n".repeat(length), cosigner("a").verifier_key());
    assert!(with(name(255)).is_ok());
}

/// A key of a post-quantum cosigner is carried along, and never counts.
#[test]
fn keys_of_other_types_do_not_break_the_file_and_never_count() {
    let other =
        VerifierKey::new(Origin::parse("later.example/witness").unwrap(), SignatureType::Other(0x06), &[5; 1_312])
            .unwrap();
    let text = format!("{}{}witness later {other}\ngroup g any a later\nquorum g\n", log_line(), witness_line("a"));
    let policy = WitnessPolicy::parse(&text).unwrap();
    assert_eq!(policy.to_text(), text);
    assert!(policy.is_quorum(&|key| key.name().as_str() == "a.example/witness"));
    assert!(!policy.is_quorum(&|key| key == &other));
}

/// Two keys of one name and id: found by trying some 100,000 seeds. Nobody can say whose such a signature is.
#[test]
fn two_keys_of_one_id_are_refused() {
    let key = |number: u32| {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        CosignatureSigner::new(Origin::parse("twin.example/witness").unwrap(), &seed).unwrap()
    };
    let (one, other) = (key(TWINS.0), key(TWINS.1));
    assert_ne!(one.verifier_key(), other.verifier_key());
    assert_eq!(one.verifier_key().id(), other.verifier_key().id());
    let text = format!("witness a {}\nwitness b {}\nquorum none\n", one.verifier_key(), other.verifier_key());
    assert_eq!(fault(&text), (2, PolicyFault::KeyTwice));
    let checkpoint = Log::create(Memory::default(), signer()).unwrap().head().checkpoint().clone();
    let note = SignedNote::new(&checkpoint.to_text(), vec![one.cosign(&checkpoint, 1).unwrap()]).unwrap();
    let keys = [one.verifier_key().clone(), other.verifier_key().clone()];
    assert_eq!(note.verify(&keys), Err(Error::AmbiguousKey));
    assert_eq!(note.verify(&keys[..1]).unwrap().len(), 1);
    assert_eq!(note.verify(&keys[1..]), Err(Error::BadSignature));
}

const TWINS: (u32, u32) = (10_649, 16_965);

#[test]
fn a_policy_is_made_from_parts_or_refused() {
    let witness =
        |name: &str| PolicyWitness { name: name.to_owned(), key: cosigner(name).verifier_key().clone(), url: None };
    let log =
        || PolicyLog { key: signer().verifier_key().clone(), url: Some("https://clerk.example/log/keeper".to_owned()) };
    let group = |threshold, members: &[&str]| PolicyGroup {
        name: "keepers".to_owned(),
        threshold,
        members: members.iter().map(|&name| name.to_owned()).collect(),
    };
    let make = |group: PolicyGroup, quorum: Option<&str>| {
        WitnessPolicy::new(vec![log()], vec![witness("a"), witness("b")], vec![group], quorum.map(str::to_owned))
    };
    let policy = make(group(Threshold::AtLeast(2), &["a", "b"]), Some("keepers")).unwrap();
    assert_eq!(WitnessPolicy::parse(&policy.to_text()).unwrap(), policy);
    let faulty = |result: Result<WitnessPolicy, Error>| match result {
        Err(Error::Policy { line: 0, fault }) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(faulty(make(group(Threshold::AtLeast(3), &["a", "b"]), None)), PolicyFault::Threshold);
    assert_eq!(faulty(make(group(Threshold::All, &[]), None)), PolicyFault::Threshold);
    assert_eq!(faulty(make(group(Threshold::Any, &["a", "c"]), None)), PolicyFault::Undefined);
    assert_eq!(faulty(make(group(Threshold::Any, &["a"]), Some("b c"))), PolicyFault::Undefined);
    // What would not be read back as it was.
    let spaced = PolicyWitness { name: "a b".to_owned(), ..witness("a") };
    assert_eq!(faulty(WitnessPolicy::new(Vec::new(), vec![spaced], Vec::new(), None)), PolicyFault::Grammar);
    let lined = PolicyLog { url: Some("https://x.example\nquorum none".to_owned()), ..log() };
    assert_eq!(faulty(WitnessPolicy::new(vec![lined], Vec::new(), Vec::new(), None)), PolicyFault::Grammar);
    let empty = PolicyLog { url: Some(String::new()), ..log() };
    assert_eq!(faulty(WitnessPolicy::new(vec![empty], Vec::new(), Vec::new(), None)), PolicyFault::Grammar);
}

/// A log of 20 leaves whose newest head is cosigned by these at these times.
fn published(cosigners: &[(&str, u64)]) -> (Log<Memory>, Vec<u8>) {
    let mut log = Log::create(Memory::default(), signer()).unwrap();
    drop(log.append_batch((0..20).map(said).collect()).unwrap());
    let head = log.head().clone();
    let lines: Vec<NoteSignature> =
        cosigners.iter().map(|(name, time)| cosigner(name).cosign(head.checkpoint(), *time).unwrap()).collect();
    log.publish(&head, &lines).unwrap();
    let note = log.published().unwrap().to_bytes();
    (log, note)
}

#[test]
fn a_checkpoint_needs_its_log_and_a_quorum() {
    let policy = WitnessPolicy::parse(&nested()).unwrap();
    let check = |cosigners: &[(&str, u64)]| policy.check(&published(cosigners).1, NOW);
    for (present, enough) in [
        (&["mill", "east", "court"][..], true),
        (&["mill", "west", "paper"], true),
        (&["mill", "east", "west", "court", "paper"], true),
        (&["mill", "east"], false),
        (&["mill", "court", "paper"], false),
        (&["court", "paper"], false),
        (&[], false),
        (&["stranger", "mill", "east"], false),
        (&["stranger", "mill", "east", "paper"], true),
    ] {
        let cosigners: Vec<(&str, u64)> = present.iter().map(|name| (*name, NOW)).collect();
        assert_eq!(check(&cosigners).map(|_| ()), if enough { Ok(()) } else { Err(Error::NoQuorum) }, "{present:?}");
    }
    // The times: the quorum is as fresh as the newest moment since which enough have cosigned.
    let good = check(&[("mill", NOW - 50), ("east", NOW - 10), ("west", NOW - 30), ("court", NOW - 20)]).unwrap();
    assert_eq!(good.quorum_at, Some(NOW - 30));
    assert_eq!(good.cosignatures.len(), 4);
    assert_eq!(good.signed.checkpoint().size(), 20);
    assert_eq!((good.check_age(NOW, 30), good.check_age(NOW, 29)), (Ok(()), Err(Error::StaleQuorum)));
    // One known line too far ahead, or broken, spoils the note; of a stranger it is ignored.
    let trio = [("mill", NOW), ("east", NOW), ("court", NOW)];
    let with = |line: (&'static str, u64)| check(&[&trio[..], &[line]].concat()).map(|_| ());
    assert_eq!(with(("paper", NOW + 300)), Ok(()));
    assert_eq!(with(("paper", NOW + 301)), Err(Error::CosignatureTime));
    assert_eq!(with(("stranger", NOW + 301)), Ok(()));
    let (_, note) = published(&trio);
    let note = SignedNote::parse(&note).unwrap();
    let key = cosigner("paper").verifier_key().clone();
    let forged = NoteSignature::new(key.name().clone(), key.id(), &[9; 72]).unwrap();
    let forged = note.clone().with_signature(forged).unwrap();
    assert!(matches!(policy.check_note(&forged, NOW), Err(Error::BadSignature | Error::CosignatureTime)));
    // Without the log's own line, or of another log.
    let lines = note.signatures()[1..].to_vec();
    let unsigned = SignedNote::new(note.text(), lines.clone()).unwrap();
    assert_eq!(policy.check_note(&unsigned, NOW), Err(Error::NoKnownSignature));
    let foreign = nested().replace(&signer().verifier_key().to_string(), &{
        let other = NoteSigner::new(Origin::parse("mayor.example/log").unwrap(), &[7; 32]).unwrap();
        other.verifier_key().to_string()
    });
    let foreign = WitnessPolicy::parse(&foreign).unwrap();
    assert_eq!(foreign.check_note(&note, NOW), Err(Error::ForeignOrigin));
    // Another log of the file cannot sign for this one.
    let other = NoteSigner::new(Origin::parse("mayor.example/log").unwrap(), &[6; 32]).unwrap();
    let two = WitnessPolicy::parse(&format!("log {}\n{}", other.verifier_key(), nested())).unwrap();
    let mut lines = lines;
    lines.push(other.sign(note.text()).unwrap());
    let by_other = SignedNote::new(note.text(), lines).unwrap();
    assert_eq!(two.check_note(&by_other, NOW), Err(Error::NoKnownSignature));
    assert!(two.check_note(&note, NOW).is_ok());
    // No quorum asked: the log's signature is enough, and there is no time.
    let none = WitnessPolicy::parse(&format!("{}quorum none\n", log_line())).unwrap();
    let good = none.check(&published(&[]).1, NOW).unwrap();
    assert_eq!((good.quorum_at, good.check_age(u64::MAX, 0)), (None, Ok(())));
}

#[test]
fn a_receipt_is_checked_against_the_trust_file() {
    let policy = WitnessPolicy::parse(&nested()).unwrap();
    let (log, _) = published(&[("mill", NOW - 9), ("east", NOW - 9), ("court", NOW - 9)]);
    let receipt = Receipt::parse(&log.receipt(7).unwrap()).unwrap();
    use lockplate_log::Entry as _;
    assert_eq!(receipt.check(&policy, &said(7).leaf(), NOW).unwrap().quorum_at, Some(NOW - 9));
    assert_eq!(receipt.check(&policy, &said(8).leaf(), NOW), Err(Error::InvalidProof));
    assert_eq!(receipt.check(&policy, &said(7).leaf(), NOW - 310), Err(Error::CosignatureTime));
    let (log, _) = published(&[("mill", NOW), ("east", NOW)]);
    let receipt = Receipt::parse(&log.receipt(7).unwrap()).unwrap();
    assert_eq!(receipt.check(&policy, &said(7).leaf(), NOW), Err(Error::NoQuorum));
}

/// Check 5 of a start: enough answered exactly when every quorum, by whomever, has a member who answered.
#[test]
fn enough_answers_are_those_that_meet_every_quorum() {
    let names = ["mill", "east", "west", "court", "paper"];
    let sets = || {
        (0..1_u32 << names.len()).map(|bits| {
            names.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, name)| *name).collect::<BTreeSet<_>>()
        })
    };
    let has = |set: &BTreeSet<&str>, key: &VerifierKey| set.contains(key.name().as_str().split('.').next().unwrap());
    let policy = WitnessPolicy::parse(&nested()).unwrap();
    for answered in sets() {
        let meets_all = sets()
            .filter(|quorum| policy.is_quorum(&|key| has(quorum, key)))
            .all(|quorum| quorum.intersection(&answered).next().is_some());
        assert_eq!(policy.is_enough_answers(&|key| has(&answered, key)), meets_all, "{answered:?}");
    }
    // One of two others, the default of three keepers with a threshold of two: both must answer.
    let text = format!("{}{}group others any mill east\nquorum others\n", witness_line("mill"), witness_line("east"));
    let policy = WitnessPolicy::parse(&text).unwrap();
    assert!(!policy.is_enough_answers(&|key| key.name().as_str().starts_with("mill")));
    assert!(policy.is_enough_answers(&|_| true));
    assert!(WitnessPolicy::parse("quorum none\n").unwrap().is_enough_answers(&|_| false));
}

proptest! {
    #[test]
    fn trust_files_are_total(text in "((log|witness|group|quorum|none|any|all|a|b|2|#|w\\+0+\\+AA==)[ \t]{0,2}|\n){0,40}") {
        if let Ok(policy) = WitnessPolicy::parse(&text) {
            prop_assert_eq!(WitnessPolicy::parse(&policy.to_text()), Ok(policy));
        }
    }

    #[test]
    fn altered_trust_files_are_total(at in any::<prop::sample::Index>(), byte in 0_u8..128) {
        let mut bytes = nested().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(text) = String::from_utf8(bytes) && let Ok(policy) = WitnessPolicy::parse(&text) {
            prop_assert_eq!(WitnessPolicy::parse(&policy.to_text()), Ok(policy));
        }
    }
}
