//! Each way in which a pack may not be, alone.

use lockplate_policy::{BASE_PACK, Bundle, CedarPolicy, Fault, LoadError};

use crate::sample::{formatted, state, with_file};

const NOTES: &str = r#"@id("local.x") @cite("c") @since("2026-10-01") @mark("A") @say("s") @fix("f") "#;

/// Loads the Connecticut bundle with this local pack; the text is brought into the formatter's form first.
fn local(text: &str) -> Result<(), LoadError> {
    with("local.cedar", &formatted(text))
}

fn with(path: &str, text: &str) -> Result<(), LoadError> {
    let bundle = Bundle::from_files(with_file(&Bundle::shipped(state("CT")), path, text))?;
    CedarPolicy::load(&bundle).map(|_| ())
}

fn base(from: &str, to: &str) -> LoadError {
    let bundle = Bundle::shipped(state("CT"));
    let text = bundle.files().find(|(path, _)| *path == BASE_PACK).unwrap().1.to_owned();
    assert!(text.contains(from), "the base pack has no {from}");
    with(BASE_PACK, &text.replacen(from, to, 1)).unwrap_err()
}

fn forbid(condition: &str) -> String {
    format!("{NOTES} forbid (principal, action == Lockplate::Action::\"search\", resource) when {{ {condition} }};")
}

fn local_fault(text: &str) -> Fault {
    let error = local(text).unwrap_err();
    assert_eq!((error.file(), error.rule()), ("local.cedar", Some("local.x")), "{error}");
    error.fault().clone()
}

#[test]
fn a_good_local_pack_loads() {
    local(&forbid("!context.mfa")).unwrap();
    local(&forbid(r#"context.now > datetime("2026-10-01T00:00:00Z") && [1, 2].contains(context.plates)"#)).unwrap();
    local(&forbid("if context.mfa then principal.active else principal is Lockplate::Officer")).unwrap();
    local(&forbid("!context.mfa").replace("@say", r#"@reading("r") @redundant("base.session, default denial") @say"#))
        .unwrap();
}

#[test]
fn what_the_validator_refuses() {
    for condition in [
        "context.colour == 1",                                   // unknown attribute
        r#"context.purpose == Lockplate::Purpose::"curiosity""#, // outside a closed vocabulary
        "context.plates == true",                                // types
        "context.plates",                                        // not a Bool
        "resource.owner == resource",                            // strict: never equal
        "context.mfa && false",                                  // a warning: can never apply
        r#"context.now > datetime("2026-13-01")"#,               // no such date
    ] {
        let fault = local_fault(&forbid(condition));
        assert!(matches!(fault, Fault::Validation(_)), "{condition}: {fault}");
    }
}

#[test]
fn constructs_that_could_fail() {
    for (condition, name) in [
        ("context.plates + context.variants > 2", "+"),
        ("context.plates - context.variants > 2", "-"),
        ("context.plates * 2 > 2", "*"),
        ("-context.plates < 2", "neg"),
        ("context has plates", "has"),
        (r#""a" like "a*""#, "like"),
        ("context.to.durationSince(context.from).toDays() > 3", "toDays"),
        ("context.to.durationSince(context.from) == context.now.durationSince(context.from)", "durationSince"),
        (r#"context.to.offset(duration("1d")) > context.now"#, "offset"),
        ("context.to.toDate() > context.now", "toDate"),
        (r#"context.mfa && !(context.plates == 1 || {"plates": 1} == {"plates": 2})"#, "Record"),
    ] {
        assert_eq!(local_fault(&forbid(condition)), Fault::Construct(name.to_owned()), "{condition}");
    }
    for condition in [r#"decimal("1.0").lessThan(decimal("2.0"))"#, r#"ip("::1").isLoopback()"#] {
        let error = local(&forbid(condition)).unwrap_err();
        assert_eq!(error.file(), "local.cedar");
    }
}

#[test]
fn templates() {
    let text = format!("{NOTES} forbid (principal == ?principal, action, resource);");
    assert_eq!(local_fault(&text), Fault::Template);
}

#[test]
fn permits_outside_the_base_pack() {
    let text = r#"@id("local.x") @title("t") @retain("P1D") @approvers("0") @notice("P1D") permit (principal, action, resource);"#;
    assert_eq!(local_fault(text), Fault::PermitOutsideBase);
}

#[test]
fn ids() {
    let good = forbid("!context.mfa");
    let fault = |text: &str| {
        let error = local(text).unwrap_err();
        assert_eq!(error.file(), "local.cedar");
        error.fault().clone()
    };
    assert_eq!(fault(&good.replace(r#"@id("local.x")"#, "")), Fault::Id("is missing"));
    assert_eq!(fault(&good.replace("local.x", "base.x")), Fault::Id("does not begin with the name of its pack"));
    assert_eq!(fault(&good.replace("local.x", "keeper.engine")), Fault::Id("does not begin with the name of its pack"));
    assert_eq!(fault(&good.replace("local.x", "local.\\u{e9}")), Fault::Id("has characters outside a-z A-Z 0-9 . -"));
    assert_eq!(fault(&format!("{good}\n\n{good}")), Fault::Id("is taken"));
}

#[test]
fn annotations_of_forbids() {
    let good = forbid("!context.mfa");
    for (text, name) in [
        (r#"@cite("c")"#, "cite"),
        (r#"@since("2026-10-01")"#, "since"),
        (r#"@mark("A")"#, "mark"),
        (r#"@say("s")"#, "say"),
        (r#"@fix("f")"#, "fix"),
    ] {
        assert_eq!(local_fault(&good.replace(text, "")), Fault::AnnotationMissing(name));
        assert_eq!(local_fault(&good.replace(text, &format!(r#"@{name}(" ")"#))), Fault::AnnotationMalformed(name));
    }
    for since in ["2026-02-30", "2026-1-01", "October 1", "2026-10-01T00:00:00Z"] {
        assert_eq!(local_fault(&good.replace("2026-10-01", since)), Fault::AnnotationMalformed("since"));
    }
    assert_eq!(local_fault(&good.replace(r#"@mark("A")"#, r#"@mark("D")"#)), Fault::AnnotationMalformed("mark"));
    for redundant in ["base.nothing", "local.x", "base.session,base.case"] {
        let text = good.replace("@say", &format!(r#"@redundant("{redundant}") @say"#));
        assert_eq!(local_fault(&text), Fault::AnnotationMalformed("redundant"));
    }
    for name in ["retain", "approvers", "titel"] {
        let text = good.replace("@say", &format!(r#"@{name}("1") @say"#));
        assert_eq!(local_fault(&text), Fault::AnnotationUnknown(name.to_owned()));
    }
}

#[test]
fn annotations_of_permits() {
    let cases = [
        (r#"@retain("P90D")"#, r#"@retain("90")"#, Fault::AnnotationMalformed("retain")),
        (r#"@retain("P90D")"#, r#"@retain("P+9D")"#, Fault::AnnotationMalformed("retain")),
        (r#"@retain("P90D")"#, r#"@retain("P99999D")"#, Fault::AnnotationMalformed("retain")),
        ("@retain(\"P90D\")\n", "", Fault::AnnotationMissing("retain")),
        (r#"@approvers("0")"#, r#"@approvers("17")"#, Fault::AnnotationMalformed("approvers")),
        ("@approvers(\"0\")\n", "", Fault::AnnotationMissing("approvers")),
        (r#"@notice("P180D")"#, r#"@notice("P6M")"#, Fault::AnnotationMalformed("notice")),
        ("@notice(\"P180D\")\n", "", Fault::AnnotationMissing("notice")),
        ("@retain(\"P90D\")\n", "@retain(\"P90D\")\n@confirm(\"phone\")\n", Fault::AnnotationMalformed("confirm")),
        ("@retain(\"P90D\")\n", "@retain(\"P90D\")\n@say(\"s\")\n", Fault::AnnotationUnknown("say".to_owned())),
    ];
    for (from, to, fault) in cases {
        let error = base(from, to);
        assert_eq!((error.file(), error.rule(), error.fault()), (BASE_PACK, Some("base.search"), &fault));
    }
}

#[test]
fn files_that_are_not_cedar_or_not_formatted() {
    let error = with("local.cedar", "forbid everything;\n").unwrap_err();
    assert!(matches!(error.fault(), Fault::Syntax(_)), "{error}");
    let error = with("local.cedar", &formatted(&forbid("!context.mfa")).replace("resource", " resource")).unwrap_err();
    assert_eq!((error.file(), error.fault()), ("local.cedar", &Fault::NotFormatted));
    let error = with("lockplate.cedarschema", "entity;").unwrap_err();
    assert_eq!(error.file(), "lockplate.cedarschema");
    assert!(matches!(error.fault(), Fault::Syntax(_)), "{error}");
}

#[test]
fn a_schema_that_lost_an_attribute_fails_the_packs() {
    let bundle = Bundle::shipped(state("CT"));
    let schema = bundle.files().find(|(path, _)| *path == "lockplate.cedarschema").unwrap().1;
    let error = with("lockplate.cedarschema", &schema.replacen("\"mfa\": Bool,", "", 1)).unwrap_err();
    assert_eq!((error.file(), error.rule()), (BASE_PACK, Some("base.session")), "{error}");
    assert!(matches!(error.fault(), Fault::Validation(_)), "{error}");
}

#[test]
fn properties() {
    let good = r#"@id("L1") @check("never") @say("s") permit (principal, action, resource) when { !context.mfa };"#;
    let load = |text: &str| {
        with("props/ct.cedar", &formatted(text)).map_err(|error| {
            assert_eq!(error.file(), "props/ct.cedar");
            error.fault().clone()
        })
    };
    assert_eq!(load(good), Ok(()));
    assert_eq!(load(&good.replace("permit", "forbid")), Err(Fault::PropertyNotPermit));
    assert_eq!(load(&good.replace("never", "sometimes")), Err(Fault::AnnotationMalformed("check")));
    assert_eq!(load(&good.replace(r#"@say("s")"#, "")), Err(Fault::AnnotationMissing("say")));
    assert_eq!(
        load(&good.replace(r#"@say("s")"#, r#"@constitution("no") @say("s")"#)),
        Err(Fault::AnnotationMalformed("constitution"))
    );
    assert_eq!(load(&good.replace("L1", "P1")), Err(Fault::Id("is taken")));
    assert_eq!(load(&good.replace("!context.mfa", "context.plates * 2 > 1")), Err(Fault::Construct("*".to_owned())));
    assert!(matches!(load(&good.replace("mfa", "mfb")), Err(Fault::Validation(_))));
}

#[test]
fn the_text_of_an_error_names_file_rule_and_fault() {
    let error = local(&forbid("context has plates")).unwrap_err();
    assert_eq!(error.to_string(), "local.cedar: local.x: construct `has` is not allowed");
}
