//! What the tree reads, what it refuses, and how soon.

use super::*;
use crate::source::Part;

fn parsed(text: &str) -> Result<Element<'_>, Problem> {
    parse(text)
}

fn refused(text: &str) -> Option<Slug> {
    parse(text).err().map(|problem| problem.slug)
}

#[test]
fn local_names_count_and_namespaces_declarations_comments_and_attributes_do_not() {
    for text in [
        "<a><b>1</b></a>",
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<a xmlns=\"urn:x\" v='2.0'><b>1</b></a>\r\n",
        "<x:a xmlns:x=\"urn:x\"><!-- no --><x:b y:z=\"&undefined;\">\n 1 \n</x:b><?pi no?></x:a>",
        "  <a>mixed<b><![CDATA[1]]></b>content</a>",
    ] {
        let root = parsed(text).unwrap();
        assert_eq!((root.name(), root.text("b"), root.number("b"), root.as_text()), ("a", Some("1"), Some(1.0), None));
    }
}

#[test]
fn absent_forms_order_and_depth() {
    let root = parsed("<a><e/><e>2</e><s> </s><d>-</d><n>NaN</n><l><m><k/><k>3</k></m></l></a>").unwrap();
    assert!(["e", "s", "d", "none", "l"].iter().all(|name| root.text(name).is_none()));
    assert!(root.get("e").is_some() && root.number("n").is_none() && root.get("k").is_none());
    assert_eq!(root.find("k").and_then(Element::as_text), Some("3"));
    let value = serde_json::json!({"e": "2", "s": "", "d": "-", "n": "NaN", "l": {"m": {"k": "3"}}});
    assert_eq!(root.to_value(), value);
}

#[test]
fn the_five_entities_and_numbers_of_characters() {
    let root = parsed("<a>&lt;&gt;&amp;&apos;&quot;&#65;&#x0E01;&#10;.</a>").unwrap();
    assert_eq!(root.as_text(), Some("<>&'\"A\u{e01}\n."));
    for bad in ["&nbsp;", "&LT;", "&xxe;", "&#0;", "&#x0;", "&#8;", "&#xd800;", "&#x110000;", "&#;", "&;", "& ", "&"] {
        assert_eq!(refused(&format!("<a>{bad}</a>")), Some(Slug::Malformed), "{bad}");
    }
}

#[test]
fn what_is_no_document_is_refused() {
    for bad in [
        "",
        "text",
        "<a>",
        "</a>",
        "<a></b>",
        "<a><b></a></b>",
        "<a/><a/>",
        "<a/>text",
        "text<a/>",
        "<a/>&amp;",
        "<a",
        "<!-- -->",
        "<a><![CDATA[</a>",
        "<?xml version=\"1.0\"?>",
        "<html><br></html>",
    ] {
        assert_eq!(refused(bad), Some(Slug::Malformed), "{bad}");
    }
}

#[test]
fn document_types_and_external_entities_are_refused() {
    for bad in [
        "<!DOCTYPE a><a/>",
        "<!doctype a><a/>",
        "<?xml version=\"1.0\"?><!DOCTYPE a SYSTEM \"http://192.0.2.1/x.dtd\"><a/>",
        "<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a>&e;</a>",
        "<!DOCTYPE a [<!ENTITY % p SYSTEM \"http://192.0.2.1/\">%p;]><a/>",
        "<a><!DOCTYPE b></a>",
    ] {
        assert_eq!(refused(bad), Some(Slug::Malformed), "{bad}");
    }
}

#[test]
fn nesting_and_size_at_the_bound_and_beyond() {
    let nested = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
    assert!(parsed(&nested(NESTING_MAX)).is_ok());
    assert_eq!(refused(&nested(NESTING_MAX + 1)), Some(Slug::Malformed));
    assert_eq!(refused(&nested(NESTING_MAX).replacen("</a>", "<b/></a>", 1)), Some(Slug::Malformed));
    // Start, end of the root and end of the document beside the rest.
    let flat = |n: usize| format!("<a>{}</a>", "<b/>".repeat(n));
    assert!(parsed(&flat(XML_EVENTS_MAX - 3)).is_ok());
    assert_eq!(refused(&flat(XML_EVENTS_MAX - 2)), Some(Slug::TooLarge));
    for (len, fits) in [(TEXT_BYTES_MAX, true), (TEXT_BYTES_MAX + 1, false)] {
        assert_eq!(parsed(&format!("<a><b>{}</b></a>", "x".repeat(len))).unwrap().text("b").is_some(), fits);
    }
    let body = |len: usize| vec![b' '; len];
    assert!(text_of(&body(BODY_BYTES_MAX)).is_ok());
    assert_eq!(text_of(&body(BODY_BYTES_MAX + 1)), Err(Problem::whole(Slug::TooLarge)));
}

#[test]
fn character_sets() {
    let declared = |name: &str, bytes: &[u8]| {
        let head = format!("<?xml version='1.0' encoding = '{name}' ?><a>");
        [head.as_bytes(), bytes, b"</a>"].concat()
    };
    let says = |bytes: &[u8]| text_of(bytes).map(|text| parse(&text).unwrap().as_text().map(str::to_owned));
    let unsupported = Err(Problem::whole(Slug::UnsupportedType));
    let malformed = Err(Problem::whole(Slug::Malformed));
    assert_eq!(says("\u{feff}<a>กก</a>".as_bytes()), Ok(Some("กก".into())));
    assert_eq!(says(&declared("UTF-8", "กก".as_bytes())), Ok(Some("กก".into())));
    assert_eq!(says(&declared("Windows-1252", b"\xc4\x80")), Ok(Some("Ä€".into())));
    assert_eq!(says(&declared("GB2312", b"A1")), Ok(Some("A1".into())));
    assert_eq!(says(&declared("GB2312", b"\xcb\xd5A1")), unsupported);
    assert_eq!(says(&declared("UTF-8", b"\xc4")), malformed);
    assert_eq!(says(b"<a>\xc4</a>"), malformed);
    assert_eq!(says(b"<a>\0</a>"), malformed);
    for little in [true, false] {
        let wide = |unit: u16| if little { unit.to_le_bytes() } else { unit.to_be_bytes() };
        let utf16: Vec<u8> = "\u{feff}<a/>".encode_utf16().flat_map(wide).collect();
        assert_eq!(says(&utf16), unsupported);
        assert_eq!(says(&utf16[2..]), malformed);
    }
}

#[test]
fn the_document_is_found_by_its_content() {
    let part = |name, body| Part { name, content_type: None, body };
    let parts =
        [part("a.xml", b"\xff\xd8\xff".as_slice()), part("b.jpg", b"\xef\xbb\xbf \r\n<a/>"), part("c", b"<b/>")];
    let payload = Payload { parts: &parts, ..Payload::default() };
    assert_eq!(document(&payload), Ok(Some(parts[1].body)));
    assert_eq!(document(&Payload { body: b"<c/>", ..payload }), Ok(Some(b"<c/>".as_slice())));
    assert_eq!(document(&Payload { parts: &parts[..1], ..payload }), Ok(None));
    for (count, fits) in [(PARTS_MAX, true), (PARTS_MAX + 1, false)] {
        let many = vec![parts[1]; count];
        assert_eq!(document(&Payload { parts: &many, ..payload }).is_ok(), fits);
    }
}

#[test]
#[expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "how long a refusal takes is what is tested")]
fn bombs_are_refused_in_50_milliseconds() {
    const MIB: usize = 1 << 20;
    let entities: String = (1..10).fold("<!ENTITY e0 \"ha\">".to_owned(), |all, n| {
        format!("{all}<!ENTITY e{n} \"{}\">", format!("&e{};", n - 1).repeat(10))
    });
    let long = |unit: &str| unit.repeat((8 * MIB - 64) / unit.len());
    let bombs = [
        ("a billion laughs", format!("<!DOCTYPE a [{entities}]><a>&e9;</a>")),
        ("8 MiB of entities", format!("<!DOCTYPE a [{}]><a/>", long("<!ENTITY e 'x'>"))),
        ("8 MiB of entities in small letters", format!("<!doctype a [{}]><a/>", long("<!ENTITY e 'x'>"))),
        ("depth 100,000", "<a>".repeat(100_000)),
        ("8 MiB of depth", long("<a>")),
        ("8 MiB of elements", format!("<a>{}", long("<a/>"))),
        ("8 MiB of references", format!("<a>{}", long("&lt;"))),
        ("8 MiB of numbers", format!("<a>{}", long("&#65;"))),
        ("8 MiB of comments", format!("<a>{}", long("<!---->"))),
        ("8 MiB of marks", long("<!")),
    ];
    // Nothing grows out of these: they cost their length.
    let lengths = [
        ("8 MiB of an open comment", format!("<!--{}", long("-"))),
        ("8 MiB of an open tag", format!("<a {}", long("b='c' "))),
        ("8 MiB of an unknown entity's name", format!("<a>&{};</a>", long("e"))),
    ];
    for (ms, name, bomb) in bombs.map(|(n, b)| (50, n, b)).into_iter().chain(lengths.map(|(n, b)| (200, n, b))) {
        assert!((1..=BODY_BYTES_MAX).contains(&bomb.len()), "{name}");
        // The machine may be busy with something else: the best of three.
        let took = (0..3).map(|_| {
            let began = std::time::Instant::now();
            assert!(text_of(bomb.as_bytes()).and_then(|text| parse(&text).map(drop)).is_err(), "{name}");
            began.elapsed()
        });
        let took = took.min().unwrap();
        assert!(took < std::time::Duration::from_millis(ms), "{name}: {took:?}");
    }
}
