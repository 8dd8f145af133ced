//! `add-checkpoint`: what a witness cosigns, what it refuses and in which order, and what the log makes of the answer.

use std::cell::RefCell;

use lockplate_log::limits::ADD_CHECKPOINT_BYTES_MAX;
use lockplate_log::merkle::leaf_hash;
use lockplate_log::witness::{read_answer, read_conflict};
use lockplate_log::{
    AddCheckpoint, Checkpoint, ConsistencyProof, CosignError, Entry as _, Error, Hash, Log, NoteSigner, Origin,
    Refusal, SignedCheckpoint, SignedNote, Standing, WitnessRecord, consider,
};

use crate::memory::{Memory, NOW, Said, said, signer};
use crate::policy::cosigner;

/// A log whose heads of every size are kept.
struct Heads {
    log: Log<Memory>,
    at: Vec<SignedCheckpoint>,
}

fn heads(count: usize) -> Heads {
    let mut log = Log::create(Memory::default(), signer()).unwrap();
    let mut at = vec![log.head().clone()];
    for number in 0..count {
        drop(log.append(said(number)).unwrap());
        at.push(log.head().clone());
    }
    Heads { log, at }
}

impl Heads {
    /// What the log sends to have `new` cosigned by a witness that has `old`.
    fn ask(&self, old: usize, new: usize) -> AddCheckpoint {
        AddCheckpoint::new(&self.log.consistency_proof(old as u64, new as u64).unwrap(), &self.at[new]).unwrap()
    }
}

/// A body of any parts, sent through the parser as a stranger would.
fn body(old: u64, proof: &[Hash], note: &SignedNote) -> AddCheckpoint {
    let mut bytes = format!("old {old}\n");
    for hash in proof {
        bytes.push_str(&hash.to_base64());
        bytes.push('\n');
    }
    AddCheckpoint::parse(&[bytes.as_bytes(), b"\n", &note.to_bytes()].concat()).unwrap()
}

/// Another tree of the same log, signed by its key: the log has forked.
fn forked(size: usize) -> SignedCheckpoint {
    let mut log = Log::create(Memory::default(), signer()).unwrap();
    drop(log.append_batch((0..size).map(|number| Said { time: 5_000, number }).collect()).unwrap());
    log.head().clone()
}

fn judge(asked: &AddCheckpoint, standing: &Standing) -> Result<(), Refusal> {
    consider(asked, signer().verifier_key(), standing).map(drop)
}

fn cosign(asked: &AddCheckpoint, standing: &Standing, now: u64) -> WitnessRecord {
    let consistent = consider(asked, signer().verifier_key(), standing).unwrap();
    consistent.cosign(&cosigner("town"), now, |_| Ok::<(), Error>(())).unwrap()
}

fn standing(heads: &Heads, size: usize) -> Standing {
    Standing { newest: Some(cosign(&heads.ask(0, size), &Standing::default(), NOW)), frozen: false }
}

#[test]
fn a_witness_follows_a_log() {
    let heads = heads(40);
    let town = cosigner("town");
    let mut standing = Standing::default();
    let mut old = 0;
    for (step, new) in [0, 0, 1, 2, 7, 7, 8, 16, 33, 40, 40].into_iter().enumerate() {
        let asked = heads.ask(old, new);
        assert_eq!(AddCheckpoint::parse(&asked.to_bytes()).unwrap(), asked);
        let now = NOW + step as u64 / 2;
        let kept = RefCell::new(Vec::new());
        let record = consider(&asked, signer().verifier_key(), &standing)
            .unwrap()
            .cosign(&town, now, |bytes| {
                kept.borrow_mut().extend_from_slice(bytes);
                Ok::<(), Error>(())
            })
            .unwrap();
        // What was persisted is what was answered, with the log's line and the witness's.
        let read = WitnessRecord::parse(&kept.borrow(), signer().verifier_key(), town.verifier_key()).unwrap();
        assert_eq!(read, record);
        assert_eq!((read.checkpoint().size(), read.time()), (new as u64, now));
        assert_eq!(read.signed().note().signatures().len(), 2);
        let (line, cosignature) =
            read_answer(record.answer().as_bytes(), town.verifier_key(), heads.at[new].checkpoint(), now).unwrap();
        assert_eq!((&line, cosignature.time()), (record.line(), now));
        standing.newest = Some(record);
        old = new;
    }
}

/// `log.md` section 10, line "Witness". Where a request has two faults, the earlier check answers.
#[test]
fn a_witness_refuses_in_the_order_of_its_checks() {
    let heads = heads(40);
    let known = standing(&heads, 16);
    let log = signer();
    let proof = |old, new| heads.log.consistency_proof(old, new).unwrap().hashes().to_vec();
    let note = |size: usize| heads.at[size].note().clone();
    // Unknown origin: 404, before the signature.
    let elsewhere = NoteSigner::new(Origin::parse("mayor.example/log").unwrap(), &[9; 32]).unwrap();
    let asked = heads.ask(16, 40);
    assert_eq!(consider(&asked, elsewhere.verifier_key(), &known).unwrap_err(), Refusal::UnknownLog);
    // Wrong key, no key, and a good key with a broken line: 403, before sizes.
    let text = heads.at[40].checkpoint().to_text();
    let wrong = NoteSigner::new(log.verifier_key().name().clone(), &[9; 32]).unwrap();
    let by_wrong = SignedNote::new(&text, vec![wrong.sign(&text).unwrap()]).unwrap();
    assert_eq!(judge(&body(99, &[], &by_wrong), &known), Err(Refusal::Untrusted));
    let moved = SignedNote::new(&text, note(39).signatures().to_vec()).unwrap();
    assert_eq!(judge(&body(99, &[], &moved), &known), Err(Refusal::Untrusted), "the line of another checkpoint");
    // A stranger's line beside the log's is ignored, and not kept.
    let beside = note(40).with_signature(wrong.sign(&text).unwrap()).unwrap();
    let record = cosign(&body(16, &proof(16, 40), &beside), &known, NOW);
    assert_eq!(record.signed().note().signatures().len(), 2);
    // Frozen: 403, whatever else.
    let frozen = Standing { frozen: true, ..known.clone() };
    assert_eq!(judge(&asked, &frozen), Err(Refusal::Frozen));
    assert_eq!(judge(&body(99, &[], &by_wrong), &frozen), Err(Refusal::Untrusted), "only of the log itself");
    // Old above the size: 400, before the record is looked at.
    assert_eq!(judge(&body(41, &[], &note(40)), &known), Err(Refusal::OldAboveSize));
    assert_eq!(judge(&body(16, &[], &note(15)), &known), Err(Refusal::OldAboveSize));
    // Old other than recorded: 409 with the size, before the proof.
    assert_eq!(judge(&body(15, &[], &note(40)), &known), Err(Refusal::Conflict(16)));
    assert_eq!(judge(&body(17, &[], &note(40)), &known), Err(Refusal::Conflict(16)));
    assert_eq!(judge(&body(0, &[], &note(40)), &known), Err(Refusal::Conflict(16)));
    assert_eq!(judge(&body(0, &[], &note(40)), &Standing::default()), Ok(()));
    assert_eq!(judge(&body(7, &[], &note(40)), &Standing::default()), Err(Refusal::Conflict(0)));
    // A smaller tree cannot come in: it conflicts, or old is above it.
    assert_eq!(judge(&heads.ask(8, 12), &known), Err(Refusal::Conflict(16)));
    // Equal sizes with other roots: a fork, and nobody needs the proof.
    let fork = forked(16);
    assert_eq!(judge(&body(16, &[], fork.note()), &known), Err(Refusal::Forked));
    assert_eq!(judge(&body(16, &proof(8, 16), fork.note()), &known), Err(Refusal::Forked));
    // A proof that fails, in every way.
    let good = proof(16, 40);
    let inconsistent = |proof: &[Hash], note: &SignedNote| {
        assert_eq!(judge(&body(16, proof, note), &known), Err(Refusal::Inconsistent));
    };
    inconsistent(&[], &note(40));
    inconsistent(&good[1..], &note(40));
    inconsistent(&good[..good.len() - 1], &note(40));
    inconsistent(&[&good[..], &good[..1]].concat(), &note(40));
    inconsistent(&proof(17, 40), &note(40));
    inconsistent(&good, &note(39));
    inconsistent(&good, forked(40).note());
    inconsistent(&vec![good[0]; 63], &note(40));
    inconsistent(&good, &note(16));
    assert_eq!(judge(&body(0, &good, &note(40)), &Standing::default()), Err(Refusal::Inconsistent), "proof with old 0");
    assert_eq!(judge(&heads.ask(16, 40), &known), Ok(()));
    assert_eq!(judge(&heads.ask(16, 16), &known), Ok(()));
}

#[test]
fn refusals_have_their_status_and_say_what_to_do() {
    for (refusal, status, evidence, fork) in [
        (Refusal::Malformed, 400, false, false),
        (Refusal::OldAboveSize, 400, false, false),
        (Refusal::Untrusted, 403, false, false),
        (Refusal::Frozen, 403, false, false),
        (Refusal::UnknownLog, 404, false, false),
        (Refusal::Conflict(16), 409, false, false),
        (Refusal::Forked, 409, true, true),
        (Refusal::Inconsistent, 422, true, false),
    ] {
        assert_eq!(
            (refusal.status(), refusal.is_evidence(), refusal.proves_fork()),
            (status, evidence, fork),
            "{refusal}"
        );
        assert_eq!(refusal.size_body().is_some(), refusal == Refusal::Conflict(16));
    }
    let body = Refusal::Conflict(16).size_body().unwrap();
    assert_eq!(body, "16\n");
    assert_eq!(read_conflict(body.as_bytes()), Ok(16));
    for bad in ["", "\n", "16", "16\n\n", "016\n", "-1\n", "+1\n", " 1\n", "18446744073709551616\n", "16\r\n"] {
        assert_eq!(read_conflict(bad.as_bytes()), Err(Error::MalformedRequest), "{bad:?}");
    }
}

#[test]
fn the_time_of_a_cosigner_never_goes_back() {
    let heads = heads(20);
    let known = standing(&heads, 16);
    let town = cosigner("town");
    let at = |now: u64| {
        let consistent = consider(&heads.ask(16, 20), signer().verifier_key(), &known).unwrap();
        consistent.cosign(&town, now, |_| Ok::<(), Error>(())).map(|record| record.time())
    };
    assert_eq!(at(NOW - 1), Err(CosignError::Log(Error::ClockBack)));
    assert_eq!(at(NOW), Ok(NOW));
    assert_eq!(at(1 << 63), Err(CosignError::Log(Error::CosignatureTime)));
}

/// Without the record on the disk no cosignature leaves; killed between the two, the log asks again and gets a 409 or the same size.
#[test]
fn a_record_is_kept_before_anything_is_answered() {
    let heads = heads(20);
    let known = standing(&heads, 16);
    let town = cosigner("town");
    let fresh = || consider(&heads.ask(16, 20), signer().verifier_key(), &known).unwrap();
    assert_eq!(fresh().cosign(&town, NOW, |_| Err("disk full")).unwrap_err(), CosignError::Persist("disk full"));
    // Killed after `persist`: the answer is lost, the record is not.
    let kept = RefCell::new(Vec::new());
    let lost = fresh().cosign(&town, NOW, |bytes| {
        kept.borrow_mut().extend_from_slice(bytes);
        Err("killed")
    });
    assert!(lost.is_err());
    let newest = WitnessRecord::parse(&kept.borrow(), signer().verifier_key(), town.verifier_key()).unwrap();
    let after = Standing { newest: Some(newest), frozen: false };
    assert_eq!(judge(&heads.ask(16, 20), &after), Err(Refusal::Conflict(20)), "the log believes the old size");
    assert_eq!(judge(&heads.ask(20, 20), &after), Ok(()), "and then asks with the size from the answer");
}

#[test]
fn malformed_bodies_are_refused() {
    let heads = heads(20);
    let good = String::from_utf8(heads.ask(7, 20).to_bytes()).unwrap();
    let parse = |text: &str| AddCheckpoint::parse(text.as_bytes());
    assert_eq!(parse(&good).unwrap().old(), 7);
    let hash = good.split('\n').nth(1).unwrap().to_owned();
    let many = |count: usize| good.replacen(&format!("{hash}\n"), &format!("{hash}\n").repeat(count), 1);
    let lines = parse(&good).unwrap().proof().len();
    assert_eq!(parse(&many(64 - lines)).unwrap().proof().len(), 63);
    for (what, text) in [
        ("64 lines", many(65 - lines)),
        ("no old line", good.replacen("old 7\n", "", 1)),
        ("old 07", good.replacen("old 7", "old 07", 1)),
        ("old -7", good.replacen("old 7", "old -7", 1)),
        ("old +7", good.replacen("old 7", "old +7", 1)),
        ("two spaces", good.replacen("old 7", "old  7", 1)),
        ("Old", good.replacen("old 7", "Old 7", 1)),
        ("no size", good.replacen("old 7", "old ", 1)),
        ("old of 2^64", good.replacen("old 7", "old 18446744073709551616", 1)),
        ("short hash", good.replacen(&hash, "AAAA", 1)),
        ("hash without padding", good.replacen(&hash, hash.trim_end_matches('='), 1)),
        ("trailing space", good.replacen(&hash, &format!("{hash} "), 1)),
        ("CRLF", good.replace('\n', "\r\n")),
        ("no empty line", good.replacen("\n\n", "\n", 1)),
        ("no final LF", good.trim_end().to_owned()),
        ("one LF more", format!("{good}\n")),
        ("four lines in the checkpoint", good.replacen("=\n\n\u{2014}", "=\nmore\n\n\u{2014}", 1)),
        ("nothing", String::new()),
        ("no note", "old 7\n\n".to_owned()),
    ] {
        assert_ne!(text, good, "{what} changes something");
        assert_eq!(parse(&text), Err(Error::MalformedRequest), "{what}");
    }
    assert_eq!(AddCheckpoint::parse(&[good.as_bytes(), &[0xff]].concat()), Err(Error::MalformedRequest));
    // With a stranger's line; then one as long as the bound allows, and longer ones.
    let text = good.clone() + "\u{2014} s AAAAAAA=\n";
    assert!(parse(&text).is_ok());
    let padded = |length: usize| {
        let line = |signature: usize| format!("\u{2014} s {}\n", "A".repeat(signature));
        let rest = length - good.len() - line(0).len();
        good.clone() + &line(rest)
    };
    let fits = (0..4).map(|less| ADD_CHECKPOINT_BYTES_MAX - less).find(|length| parse(&padded(*length)).is_ok());
    assert!(fits.is_some(), "a body of the bound, as far as base64 can fill it");
    assert!((1..5).all(|more| parse(&padded(ADD_CHECKPOINT_BYTES_MAX + more)).is_err()));
}

#[test]
fn a_log_sends_only_proofs_to_its_head() {
    let heads = heads(20);
    let proof = heads.log.consistency_proof(7, 19).unwrap();
    assert_eq!(AddCheckpoint::new(&proof, &heads.at[20]), Err(Error::InvalidProof));
    let proof = ConsistencyProof::from_parts(0, 20, Vec::new()).unwrap();
    assert!(AddCheckpoint::new(&proof, &heads.at[20]).is_ok());
}

#[test]
fn bad_answers_are_dropped_and_say_why() {
    let heads = heads(20);
    let town = cosigner("town");
    let checkpoint = heads.at[20].checkpoint();
    let line = town.cosign(checkpoint, NOW).unwrap().to_string();
    let read =
        |body: &str, now| read_answer(body.as_bytes(), town.verifier_key(), checkpoint, now).map(|(_, c)| c.time());
    let stranger = cosigner("stranger").cosign(checkpoint, NOW).unwrap();
    assert_eq!(read(&format!("{line}\n"), NOW), Ok(NOW));
    assert_eq!(read(&format!("{stranger}\n{line}\n"), NOW), Ok(NOW), "unknown lines are ignored");
    assert_eq!(read(&format!("{stranger}\n"), NOW), Err(Error::NoKnownSignature));
    assert_eq!(read(&format!("{line}\n"), NOW - 300), Ok(NOW));
    assert_eq!(read(&format!("{line}\n"), NOW - 301), Err(Error::CosignatureTime));
    let other = town.cosign(heads.at[19].checkpoint(), NOW).unwrap();
    assert_eq!(read(&format!("{other}\n"), NOW), Err(Error::BadSignature), "of another checkpoint");
    for bad in ["", "\n", "ok\n", &line, &format!("{line}\n\n"), &format!("{line}\n{line}\n"), &format!("{line}\r\n")] {
        assert_eq!(read(bad, NOW), Err(Error::MalformedNote), "{bad:?}");
    }
    assert!(read_answer(&[0xff, b'\n'], town.verifier_key(), checkpoint, NOW).is_err());
    // The log's own line is no cosignature, even under the witness's name.
    let log = NoteSigner::new(town.verifier_key().name().clone(), &[7; 32]).unwrap();
    assert_eq!(read(&format!("{}\n", log.sign(&checkpoint.to_text()).unwrap()), NOW), Err(Error::NoKnownSignature));
}

#[test]
fn records_need_both_signatures() {
    let heads = heads(20);
    let town = cosigner("town");
    let record = standing(&heads, 16).newest.unwrap();
    let parse = |bytes: &[u8]| WitnessRecord::parse(bytes, signer().verifier_key(), town.verifier_key());
    assert_eq!(parse(&record.to_bytes()).unwrap(), record);
    assert_eq!(parse(&heads.at[16].to_bytes()), Err(Error::NoKnownSignature), "without the witness's");
    let text = record.checkpoint().to_text();
    let unsigned = SignedNote::new(&text, vec![record.line().clone()]).unwrap();
    assert_eq!(parse(&unsigned.to_bytes()), Err(Error::NoKnownSignature), "without the log's");
    let bytes = record.to_bytes();
    for cut in 0..bytes.len() {
        assert!(parse(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

/// Check 5 of a start, for one witness: an older record is normal, a larger or another one stops the log.
#[test]
fn an_old_copy_of_a_log_is_known_by_what_witnesses_have() {
    let full = heads(20);
    let old = heads(12);
    for size in [0, 1, 11, 12] {
        assert_eq!(old.log.check_witnessed(full.at[size].checkpoint()), Ok(()));
    }
    assert_eq!(old.log.check_witnessed(full.at[13].checkpoint()), Err(Error::OldCopy));
    assert_eq!(old.log.check_witnessed(full.at[20].checkpoint()), Err(Error::OldCopy));
    for size in [5, 12] {
        assert_eq!(old.log.check_witnessed(forked(size).checkpoint()), Err(Error::OldCopy));
    }
    assert!(Error::OldCopy.is_fatal());
    let foreign = Checkpoint::new(Origin::parse("mayor.example/log").unwrap(), 1, leaf_hash(b"x")).unwrap();
    assert_eq!(old.log.check_witnessed(&foreign), Err(Error::ForeignOrigin));
    assert!(old.log.leaf(0).unwrap() == said(0).leaf());
}
