//! Digest and shape of bundles.

use lockplate_core::facts::AccessPolicy as _;
use lockplate_policy::{BASE_PACK, Bundle, CedarPolicy, FILE_BYTES_MAX, FILES_MAX, Fault, SCHEMA};

use crate::sample::{shipped, state, with_file};

#[test]
fn the_digest_is_that_of_sha256sum() {
    // `law.md` section 7: LC_ALL=C sha256sum 00-base.cedar ct.cedar lockplate.cedarschema props/* | sha256sum
    let known = "4fdaea120ae73f001dcb399a919b503e924a78d1792e4b575255105a36a57fb6";
    let bundle = Bundle::shipped(state("CT"));
    assert_eq!(hex::encode(bundle.digest()), known);
    assert_eq!(shipped("CT").digest(), bundle.digest());
}

#[test]
fn every_states_files_are_the_reviewed_ones() {
    // Each by `LC_ALL=C sha256sum 00-base.cedar lockplate.cedarschema XX.cedar props/* | sha256sum`, files sorted by path: a byte
    // that changes in a shipped pack changes what its owners agreed to.
    let known = [
        ("CA", "0fcfed51dc0fae112323510ed8780e668fda41d049598582a1c9b38450127932"),
        ("CT", "4fdaea120ae73f001dcb399a919b503e924a78d1792e4b575255105a36a57fb6"),
        ("IL", "69848cc5ae9240b5eab8f1080a938bc3e8873be424ab54de407ac74af9522207"),
        ("MN", "eb4af81202dfe1beb62a413f9aa9a0209c0d41b8bc6da96c79751ac4da1aed3c"),
        ("NH", "535f7f871e99bbb469128bb525b568e4be519c998a1e0480bf4e75e10838d63c"),
        ("NJ", "5d72dd01f2c098894f8be0456067667cfc42d973912e6375fcac66f7d78cc9e7"),
        ("NM", "ff09ffa61256a8f24b92d0425dee6ec0b48fbafd8b874122cf9d9bfdb788d391"),
        ("VA", "3ac19f6037f26ec68b1ca15b80a69e71cc92f530113fb04d11d15c4ab581c12a"),
        ("VT", "3394bc4bb540b8074ade0f0078a47bfe0142937734c6edf13da0c8c11566786e"),
        ("WA", "3020678d1e367c6dce6061ce0e608bcb4c12957acb28f7f8ea53da126051aef9"),
    ];
    let shipped: Vec<(&str, String)> =
        known.iter().map(|(code, _)| (*code, hex::encode(Bundle::shipped(state(code)).digest()))).collect();
    assert_eq!(shipped, known.map(|(code, digest)| (code, digest.to_owned())));
    let states: Vec<String> = Bundle::states_with_a_pack().map(|state| state.code().to_owned()).collect();
    assert_eq!(states, known.map(|(code, _)| code.to_owned()));
    let base = "003cfad1c41b5d9732be37369b84f67e69fb109befbb3fcfd608aa2f2ca66884";
    assert_eq!(hex::encode(Bundle::shipped(state("OH")).digest()), base);
    let all = "1275d506c4f66272059eabd445c4a0350f71dd47643db8121873e04315298098";
    assert_eq!(hex::encode(Bundle::shipped_all().digest()), all);
}

#[test]
fn every_shipped_bundle_can_be_loaded() {
    for (code, forbids) in [
        ("CT", 4),
        ("CA", 2),
        ("IL", 2),
        ("NJ", 2),
        ("NH", 2),
        ("VA", 3),
        ("WA", 4),
        ("VT", 4),
        ("MN", 3),
        ("NM", 2),
        ("TX", 0),
    ] {
        assert_eq!(shipped(code).rules().count(), 5 + 26 + forbids, "{code}");
    }
}

#[test]
fn the_digest_covers_every_file_and_no_order_of_giving() {
    let bundle = Bundle::shipped(state("CT"));
    let mut files = with_file(&bundle, SCHEMA, bundle.files().find(|(path, _)| *path == SCHEMA).unwrap().1);
    files.reverse();
    assert_eq!(Bundle::from_files(files.clone()).unwrap().digest(), bundle.digest());
    for place in 0..files.len() {
        let mut other = files.clone();
        other[place].1.push('\n');
        assert_ne!(Bundle::from_files(other).unwrap().digest(), bundle.digest(), "{}", files[place].0);
    }
}

#[test]
fn a_state_without_a_pack_gets_the_base_alone() {
    let (connecticut, ohio) = (shipped("CT"), shipped("OH"));
    assert_eq!(ohio.rules().count(), 5 + 26);
    assert_eq!(connecticut.rules().count(), 5 + 26 + 4);
    assert_ne!(ohio.digest(), connecticut.digest());
    assert!(ohio.explain("ct.21-days").is_none());
    assert!(connecticut.explain("ct.21-days").unwrap().cite.unwrap().contains("26-14"));
    assert!(connecticut.engine().starts_with("cedar-policy 4."));
}

#[test]
fn paths_that_no_bundle_has_are_refused() {
    for path in [
        "",
        "ct.txt",
        "CT.cedar",
        "../ct.cedar",
        "a/ct.cedar",
        "props/props/ct.cedar",
        ".cedar",
        "c t.cedar",
        "c\nt.cedar",
    ] {
        let error = Bundle::from_files([(path.to_owned(), String::new())]).unwrap_err();
        assert_eq!((error.file(), error.fault()), (path, &Fault::UnknownFile));
    }
}

#[test]
fn a_bundle_has_schema_base_and_packs_for_its_properties() {
    let bundle = Bundle::shipped(state("CT"));
    for missing in [SCHEMA, BASE_PACK] {
        let rest = bundle.files().filter(|(path, _)| *path != missing && !path.starts_with("props/"));
        let error = Bundle::from_files(rest.map(|(path, text)| (path.to_owned(), text.to_owned()))).unwrap_err();
        assert_eq!((error.file(), error.fault()), (missing, &Fault::FileMissing));
    }
    let error = Bundle::from_files(with_file(&bundle, "props/va.cedar", "")).unwrap_err();
    assert_eq!((error.file(), error.fault()), ("props/va.cedar", &Fault::NoPackForProperties));
    let twice = [("ct.cedar".to_owned(), String::new()), ("ct.cedar".to_owned(), String::new())];
    assert_eq!(Bundle::from_files(twice).unwrap_err().fault(), &Fault::FileTwice);
}

#[test]
fn sizes_are_bounded() {
    let bundle = Bundle::shipped(state("CT"));
    let fill = |bytes| "/".repeat(bytes);
    assert!(Bundle::from_files(with_file(&bundle, "local.cedar", &fill(FILE_BYTES_MAX))).is_ok());
    let error = Bundle::from_files(with_file(&bundle, "local.cedar", &fill(FILE_BYTES_MAX + 1))).unwrap_err();
    assert_eq!((error.file(), error.fault()), ("local.cedar", &Fault::TooLarge));

    let files = |count: usize| {
        let more = (0..count).map(|number| (format!("x{number}.cedar"), String::new()));
        let own: Vec<_> = bundle.files().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
        Bundle::from_files(own.into_iter().chain(more))
    };
    assert!(files(FILES_MAX - 5).is_ok());
    assert_eq!(files(FILES_MAX - 4).unwrap_err().fault(), &Fault::TooLarge);
}

#[test]
fn an_empty_base_pack_denies_everything() {
    use lockplate_core::facts::PolicyAnswer;
    let schema = Bundle::shipped(state("OH")).files().find(|(path, _)| *path == SCHEMA).unwrap().1.to_owned();
    let files = [(SCHEMA.to_owned(), schema), (BASE_PACK.to_owned(), "\n".to_owned())];
    let policy = CedarPolicy::load(&Bundle::from_files(files).unwrap()).unwrap();
    let answer = policy.rule_on(&crate::sample::stolen_car());
    assert_eq!(answer, PolicyAnswer::Deny { rules: [lockplate_policy::ENGINE_RULE.to_owned()].into() });
}

#[test]
fn a_text_that_nests_too_deep_is_refused_before_it_is_parsed() {
    // Unbounded, a thousand brackets overflow the parser's stack and end the process.
    let local = |condition: String| {
        let text = format!("forbid (principal, action, resource) when {{ {condition} }};\n");
        let shipped = Bundle::shipped(lockplate_core::vocabulary::State::parse("OH").unwrap());
        let mut files: Vec<_> = shipped.files().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
        files.push(("local.cedar".to_owned(), text));
        Bundle::from_files(files).and_then(|bundle| CedarPolicy::load(&bundle).map(drop))
    };
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    // At the bound (the braces of `when` are one) it is parsed, and refused for other reasons.
    assert_ne!(local(nested(63)).unwrap_err().fault(), &Fault::TooLarge);
    for condition in [
        nested(64),
        nested(100_000),
        format!("{}true", "if true then true else ".repeat(129)),
        format!("context{}", ".a".repeat(129)),
        format!("{}true", "!".repeat(129)),
    ] {
        assert_eq!(local(condition).unwrap_err().fault(), &Fault::TooLarge);
    }
}
