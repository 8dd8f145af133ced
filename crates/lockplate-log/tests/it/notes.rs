//! Notes, keys, checkpoints, cosignatures: good ones as `signed_note` sees them, and the bad cases of `log.md` section 10.

use lockplate_log::limits::{KEY_NAME_BYTES_MAX, NOTE_BYTES_MAX};
use lockplate_log::{
    Checkpoint, Cosignature, CosignatureSigner, Error, Hash, NoteSignature, NoteSigner, Origin, SignatureType,
    SignedCheckpoint, SignedNote, VerifierKey,
};
use proptest::prelude::*;
use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};

use crate::memory::{ORIGIN, signer};

const TEXT: &str = "clerk.millbrook.example/log/keeper\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

fn origin(name: &str) -> Origin {
    Origin::parse(name).unwrap()
}

fn note(text: &str) -> SignedNote {
    SignedNote::new(text, vec![signer().sign(text).unwrap()]).unwrap()
}

fn parse(bytes: impl AsRef<[u8]>) -> Result<SignedNote, Error> {
    SignedNote::parse(bytes.as_ref())
}

fn line() -> String {
    signer().sign(TEXT).unwrap().to_string()
}

#[test]
fn a_note_is_written_read_and_verified() {
    let note = note(TEXT);
    let bytes = note.to_bytes();
    assert_eq!(parse(&bytes).unwrap(), note);
    let keys = [signer().verifier_key().clone()];
    assert_eq!(note.verify(&keys).unwrap()[0].key, &keys[0]);
    assert_eq!(note.verify(&keys).unwrap()[0].cosigned_at, None);
    // The text may have empty lines of its own.
    let odd = self::note("\n\na\n\nb\n");
    assert_eq!(parse(odd.to_bytes()).unwrap().text(), "\n\na\n\nb\n");
}

#[test]
fn malformed_notes_are_refused() {
    let line = line();
    let good = format!("{TEXT}\n{line}\n");
    parse(&good).unwrap();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("CRLF", good.replace('\n', "\r\n").into_bytes()),
        ("no final LF", good.trim_end().into()),
        ("control byte", good.replace("clerk", "cl\u{1}erk").into_bytes()),
        ("tab", good.replace("clerk", "cl\terk").into_bytes()),
        ("NUL", good.replace("clerk", "cl\0erk").into_bytes()),
        ("not UTF-8", [&b"\xff"[..], good.as_bytes()].concat()),
        ("no empty line", format!("{TEXT}{line}\n").into_bytes()),
        ("0 signatures", format!("{TEXT}\n").into_bytes()),
        ("0 signatures, text only", TEXT.as_bytes().to_vec()),
        ("empty", Vec::new()),
        ("empty line among signatures", format!("{TEXT}\n{line}\n\n").into_bytes()),
        ("name with plus", format!("{TEXT}\n{}\n", line.replace("log/", "log+")).into_bytes()),
        ("name with no-break space", format!("{TEXT}\n{}\n", line.replace("log/", "log\u{a0}")).into_bytes()),
        ("name with space", format!("{TEXT}\n{}\n", line.replace("log/", "log ")).into_bytes()),
        ("no name", format!("{TEXT}\n{}\n", line.replace(ORIGIN, "")).into_bytes()),
        ("bad base64", format!("{TEXT}\n{}!\n", line).into_bytes()),
        ("base64 without padding", format!("{TEXT}\n{}\n", line.trim_end_matches('=')).into_bytes()),
        ("hyphen for dash", format!("{TEXT}\n{}\n", line.replace('\u{2014}', "-")).into_bytes()),
        ("3-byte signature", format!("{TEXT}\n\u{2014} a AAAA\n").into_bytes()),
        ("id and nothing", format!("{TEXT}\n\u{2014} a AAAAAA==\n").into_bytes()),
        ("duplicate line", format!("{TEXT}\n{line}\n{line}\n").into_bytes()),
        ("trailing space", format!("{TEXT}\n{line} \n").into_bytes()),
        ("too long", format!("{}\n\n{line}\n", "a".repeat(NOTE_BYTES_MAX)).into_bytes()),
    ];
    for (what, bytes) in cases {
        assert_eq!(parse(&bytes), Err(Error::MalformedNote), "{what}");
    }
    let many = |count: usize| {
        (0..count).map(|i| NoteSignature::new(origin(&format!("w{i}")), [0; 4], &[1]).unwrap()).collect::<Vec<_>>()
    };
    let lines = |count: usize| many(count).iter().map(|line| format!("{line}\n")).collect::<String>();
    assert_eq!(parse(format!("{TEXT}\n{}", lines(32))).unwrap().signatures().len(), 32);
    assert_eq!(parse(format!("{TEXT}\n{}", lines(33))), Err(Error::MalformedNote));
    assert_eq!(SignedNote::new(TEXT, many(33)), Err(Error::MalformedNote));
    assert_eq!(SignedNote::new(TEXT, Vec::new()), Err(Error::MalformedNote));
    assert_eq!(SignedNote::new("no LF", many(1)), Err(Error::MalformedNote));
    assert!(signer().sign("a\tb\n").is_err());
    let name = |length: usize| Origin::parse(&"a".repeat(length));
    assert!(name(KEY_NAME_BYTES_MAX).is_ok());
    assert_eq!(name(KEY_NAME_BYTES_MAX + 1), Err(Error::MalformedName));
}

#[test]
fn one_known_key_that_fails_spoils_the_note() {
    let mut broken = signer().sign(TEXT).unwrap().signature().to_vec();
    broken[5] ^= 1;
    let log = signer();
    let other = NoteSigner::new(origin("paper.example"), &[3; 32]).unwrap();
    let good = other.sign(TEXT).unwrap();
    let bad = NoteSignature::new(origin(ORIGIN), log.verifier_key().id(), &broken).unwrap();
    let short = NoteSignature::new(origin(ORIGIN), log.verifier_key().id(), &broken[..63]).unwrap();
    let both = [log.verifier_key().clone(), other.verifier_key().clone()];
    for forged in [bad, short] {
        for lines in [vec![good.clone(), forged.clone()], vec![forged.clone(), good.clone()]] {
            let note = SignedNote::new(TEXT, lines).unwrap();
            assert_eq!(note.verify(&both), Err(Error::BadSignature), "beside a good one, in either order");
            assert_eq!(note.verify(&both[1..]).unwrap().len(), 1, "unknown: ignored");
        }
    }
    assert_eq!(note(TEXT).verify(&[]), Err(Error::NoKnownSignature));
    assert_eq!(note(TEXT).verify(&both[1..]), Err(Error::NoKnownSignature));
    // The same name, another key; the same key, another name.
    let rotated = NoteSigner::new(origin(ORIGIN), &[4; 32]).unwrap();
    let renamed = NoteSigner::new(origin("paper.example"), &[7; 32]).unwrap();
    for key in [rotated.verifier_key(), renamed.verifier_key()] {
        assert_eq!(note(TEXT).verify(core::slice::from_ref(key)), Err(Error::NoKnownSignature));
    }
    let twice = [log.verifier_key().clone(), log.verifier_key().clone()];
    assert_eq!(note(TEXT).verify(&twice), Err(Error::AmbiguousKey));
}

#[test]
fn verifier_keys_are_read_and_written() {
    let key = signer().verifier_key().clone();
    let text = key.to_string();
    assert_eq!(VerifierKey::parse(&text).unwrap(), key);
    let (name, rest) = text.split_once('+').unwrap();
    let (id, public) = rest.split_once('+').unwrap();
    let upper = id.to_uppercase();
    assert_ne!(upper, id, "the case below needs a letter");
    for bad in [
        String::new(),
        name.to_owned(),
        format!("{name}+{id}"),
        format!("{name}+{upper}+{public}"),
        format!("{name}+00000000+{public}"),
        format!("{name}+{id}+{}", public.split_at(1).1),
        format!("{name}+{id}+{public}="),
        format!("{name}+{id}0+{public}"),
        format!("{name}+{id}+"),
        format!("{name}+{id}+AQ=="),
        format!("x{name}+{id}+{public}"),
        format!("+{id}+{public}"),
        format!("{name}\n+{id}+{public}"),
    ] {
        assert!(VerifierKey::parse(&bad).is_err(), "{bad}");
    }
    // The identity, of small order: one signature would fit many texts.
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(VerifierKey::new(origin("a"), SignatureType::Ed25519, &identity), Err(Error::MalformedKey));
    // A point in a second spelling (y = 18 + p) would be a second key of the same owner.
    let mut second = [0xff; 32];
    second[31] = 0x7f;
    assert_eq!(VerifierKey::new(origin("a"), SignatureType::Ed25519, &second), Err(Error::MalformedKey));
    assert_eq!(VerifierKey::new(origin("a"), SignatureType::Ed25519, &[0xff; 32]), Err(Error::MalformedKey));
    assert_eq!(VerifierKey::new(origin("a"), SignatureType::Ed25519, &[1; 31]), Err(Error::MalformedKey));
    assert_eq!(VerifierKey::new(origin("a"), SignatureType::Other(1), key.public_key()), Err(Error::MalformedKey));
}

#[test]
fn other_types_pass_through_and_are_never_known() {
    let ml_dsa = VerifierKey::new(origin("w"), SignatureType::Other(0x06), &[5; 1_312]).unwrap();
    assert_eq!(VerifierKey::parse(&ml_dsa.to_string()).unwrap(), ml_dsa);
    let passkey = VerifierKey::new(origin("judge"), SignatureType::Other(0xff), b"lockplate/webauthn-v1..").unwrap();
    assert_eq!(VerifierKey::parse(&passkey.to_string()).unwrap().public_key(), b"lockplate/webauthn-v1..");
    let long = NoteSignature::new(origin("w"), ml_dsa.id(), &[1; 2_420]).unwrap();
    let note = note(TEXT).with_signature(long).unwrap();
    assert_eq!(parse(note.to_bytes()).unwrap(), note);
    let keys = [ml_dsa, signer().verifier_key().clone()];
    assert_eq!(note.verify(&keys).unwrap().len(), 1);
    assert_eq!(note.verify(&keys[..1]), Err(Error::NoKnownSignature));
}

#[test]
fn malformed_checkpoints_are_refused() {
    let root = Hash::empty().to_base64();
    Checkpoint::parse(&format!("o\n0\n{root}\n")).unwrap();
    Checkpoint::parse(&format!("o\n281474976710655\n{root}\n")).unwrap();
    for bad in [
        String::new(),
        "\n".into(),
        "o\n0\n".into(),
        format!("o\n0\n{root}"),
        format!("o\n0\n{root}\n\n"),
        format!("o\n0\n{root}\nextension\n"),
        format!("o\n007\n{root}\n"),
        format!("o\n-1\n{root}\n"),
        format!("o\n+1\n{root}\n"),
        format!("o\n 1\n{root}\n"),
        format!("o\n\n{root}\n"),
        format!("o\n9223372036854775808\n{root}\n"),
        format!("o\n281474976710656\n{root}\n"),
        format!("o\n99999999999999999999999\n{root}\n"),
        format!("\n1\n{root}\n"),
        format!("o o\n1\n{root}\n"),
        format!("o+o\n1\n{root}\n"),
        "o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuA==\n".into(),
        "o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFUA\n".into(),
        "o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n".into(),
        "o\n1\n47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=\n".into(),
        format!("o\n0\n{}\n", Hash::from([1; 32]).to_base64()),
    ] {
        assert_eq!(Checkpoint::parse(&bad), Err(Error::MalformedCheckpoint), "{bad:?}");
    }
}

#[test]
fn a_checkpoint_of_another_log_is_refused() {
    let key = signer().verifier_key().clone();
    let bytes = note(TEXT).to_bytes();
    assert_eq!(SignedCheckpoint::parse(&bytes, &key).unwrap().checkpoint().size(), 0);
    // Our key's signature over another origin's lines.
    let foreign = note(&TEXT.replace("clerk", "mayor")).to_bytes();
    assert_eq!(SignedCheckpoint::parse(&foreign, &key), Err(Error::ForeignOrigin));
    let other = NoteSigner::new(origin(ORIGIN), &[4; 32]).unwrap();
    assert_eq!(SignedCheckpoint::parse(&bytes, other.verifier_key()), Err(Error::NoKnownSignature));
    // A cosigner's key cannot stand in for the log's, even of the same name.
    let witness = CosignatureSigner::new(origin(ORIGIN), &[7; 32]).unwrap();
    assert_eq!(SignedCheckpoint::parse(&bytes, witness.verifier_key()), Err(Error::NoKnownSignature));
}

#[test]
fn cosignatures_bind_key_time_and_checkpoint() {
    let witness = CosignatureSigner::new(origin("town.example/witness"), &[9; 32]).unwrap();
    let key = witness.verifier_key().clone();
    let checkpoint = Checkpoint::parse(TEXT).unwrap();
    let line = witness.cosign(&checkpoint, 1_700_000_000).unwrap();
    let read = NoteSignature::parse(&line.to_string()).unwrap();
    let good = Cosignature::verify(&read, &key, &checkpoint).unwrap();
    assert_eq!((good.time(), good.witness().as_str()), (1_700_000_000, "town.example/witness"));
    let larger = Checkpoint::new(origin(ORIGIN), 1, Hash::empty()).unwrap();
    assert_eq!(Cosignature::verify(&line, &key, &larger), Err(Error::BadSignature));
    let with_field = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut field = line.signature().to_vec();
        change(&mut field);
        let line = NoteSignature::new(key.name().clone(), key.id(), &field).unwrap();
        let both = note(TEXT)
            .with_signature(line.clone())
            .unwrap()
            .verify(&[signer().verifier_key().clone(), key.clone()])
            .map(|_| ());
        let one = Cosignature::verify(&line, &key, &checkpoint).map(|_| ());
        assert_eq!(both, one, "the note and the line are judged alike");
        one
    };
    assert_eq!(with_field(&|_| ()), Ok(()));
    assert_eq!(with_field(&|field| field[7] ^= 1), Err(Error::BadSignature));
    assert_eq!(with_field(&|field| field[20] ^= 1), Err(Error::BadSignature));
    assert_eq!(with_field(&|field| field[..8].fill(0)), Err(Error::CosignatureTime));
    assert_eq!(with_field(&|field| field[0] = 0x80), Err(Error::CosignatureTime));
    assert_eq!(with_field(&|field| field.truncate(71)), Err(Error::BadSignature));
    assert_eq!(with_field(&|field| field.truncate(7)), Err(Error::BadSignature));
    assert_eq!(with_field(&|field| field.push(0)), Err(Error::BadSignature));
    let other = CosignatureSigner::new(origin("town.example/witness"), &[8; 32]).unwrap();
    assert_eq!(Cosignature::verify(&line, other.verifier_key(), &checkpoint), Err(Error::NoKnownSignature));
    assert_eq!(Cosignature::verify(&line, signer().verifier_key(), &checkpoint), Err(Error::NoKnownSignature));
    assert_eq!(witness.cosign(&checkpoint, 0), Err(Error::CosignatureTime));
    assert_eq!(witness.cosign(&checkpoint, 1 << 63), Err(Error::CosignatureTime));
    assert_eq!(Cosignature::check_time(1_300, 1_000), Ok(()));
    assert_eq!(Cosignature::check_time(1_301, 1_000), Err(Error::CosignatureTime));
}

#[test]
fn no_secret_is_shown() {
    let shown = format!("{:?}", signer());
    assert_eq!(shown, format!("NoteSigner {{ name: Origin({ORIGIN:?}), .. }}"));
}

/// The private key text of `signed_note` for a seed: what follows is a test key that guards nothing.
fn their_signer(name: &str, seed: [u8; 32]) -> StandardSigner {
    use base64::Engine as _;
    let id = NoteSigner::new(origin(name), &seed).unwrap().verifier_key().id();
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = base64::engine::general_purpose::STANDARD.encode([&[1][..], &seed].concat());
    StandardSigner::new(&format!("PRIVATE+KEY+{name}+{id}+{key}")).unwrap()
}

proptest! {
    #[test]
    fn notes_are_those_of_signed_note(seed in any::<[u8; 32]>(), lines in prop::collection::vec("[ -~\u{a1}-\u{2ff}]{0,40}", 1..6)) {
        let text = format!("{}\n", lines.join("\n"));
        let ours = NoteSigner::new(origin("a.example/x"), &seed).unwrap();
        let our_note = SignedNote::new(&text, vec![ours.sign(&text).unwrap()]).unwrap();
        let mut their_note = Note::new(text.as_bytes(), &[]).unwrap();
        their_note.add_sigs(&[&their_signer("a.example/x", seed)]).unwrap();
        prop_assert_eq!(their_note.to_bytes(), our_note.to_bytes());

        let verifier = StandardVerifier::new(&ours.verifier_key().to_string()).unwrap();
        let parsed = Note::from_bytes(&our_note.to_bytes()).unwrap();
        prop_assert!(parsed.verify(&VerifierList::new(vec![Box::new(verifier)])).is_ok());
    }

    #[test]
    fn what_we_accept_of_an_altered_note_signed_note_accepts(at in 0_usize..400, byte in any::<u8>(), kind in 0..3) {
        let mut bytes = note(TEXT).with_signature(NoteSignature::new(origin("w"), [1; 4], &[9; 72]).unwrap()).unwrap().to_bytes();
        let at = at % bytes.len();
        match kind {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
        let keys = [signer().verifier_key().clone()];
        let verifiers = VerifierList::new(vec![Box::new(StandardVerifier::new(&keys[0].to_string()).unwrap())]);
        let ours = SignedNote::parse(&bytes);
        if let Ok(note) = &ours {
            prop_assert_eq!(&note.to_bytes(), &bytes, "one spelling");
            if note.verify(&keys).is_ok() {
                prop_assert_eq!(note.text(), TEXT);
                prop_assert!(Note::from_bytes(&bytes).unwrap().verify(&verifiers).is_ok());
            }
        }
    }
}
