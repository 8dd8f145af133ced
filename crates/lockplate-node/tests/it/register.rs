//! The register of an invented town, page by page: every link leads somewhere, no jargon, nothing of another party's text is
//! markup or a formula, small pages, the same bytes from the same logs. What only a browser can tell is in `tests/browser`.

pub(crate) mod town;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use lockplate_audit::logs::LogName;
use lockplate_core::id::AgencyId;
use lockplate_node::register::{ExportError, File, Record, Shown, Site, Trouble, routes, write_to};
use tower::ServiceExt as _;

use town::{Plan, Town};

/// The rule of `interfaces.md` section 4.
const PAGE_BYTES_MAX: usize = 100_000;

/// Words that no page says (`interfaces.md` section 3), and what a Spanish text would say for them. `*` stands for any ending.
const BANNED: [&str; 52] = [
    "OPRF",
    "scalar*",
    "curve*",
    "ristretto*",
    "Shamir*",
    "Feldman*",
    "nonce*",
    "DLEQ",
    "HPKE",
    "Merkle*",
    "hash*",
    "digest*",
    "ciphertext*",
    "blinded",
    "threshold*",
    "quorum*",
    "epoch*",
    "cell",
    "cells",
    "bucket*",
    "segment*",
    "prekey*",
    "tile",
    "tiles",
    "leaf",
    "leaves",
    "cosign*",
    "canary",
    "canaries",
    "escalar*",
    "curva*",
    "cifrad*",
    "cegad*",
    "umbral*",
    "quórum*",
    "época*",
    "celda*",
    "cubeta*",
    "cubo*",
    "segmento*",
    "preclave*",
    "tesela*",
    "mosaico*",
    "hoja*",
    "cofirm*",
    "canari*",
    "resúmenes",
    "criptográfic*",
    "nodo*",
    "cosigner*",
    "hasheo*",
    "token*",
];

fn files(site: &Site) -> BTreeMap<String, File> {
    site.paths()
        .map(|path| {
            let file = site.file(&path).unwrap().unwrap_or_else(|| panic!("{path} is in the table and has no file"));
            (path, file)
        })
        .collect()
}

fn html(files: &BTreeMap<String, File>) -> impl Iterator<Item = (&String, &str)> {
    let pages = files.iter().filter(|(path, _)| path.ends_with(".html"));
    pages.map(|(path, file)| (path, core::str::from_utf8(&file.bytes).unwrap()))
}

/// What a person reads or hears of a page: text, and the attributes that are read out.
pub(crate) fn seen(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html.split_once("<body>").map_or(html, |(_, body)| body);
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let Some((tag, mut behind)) = after.split_once('>') else { break };
        if tag.contains("translate=\"no\"") {
            // Words of a fingerprint: the dictionary's choice and no text of ours.
            behind = behind.split_once('<').map_or("", |(words, _)| behind.split_at(words.len()).1);
        }
        for name in ["alt=\"", "title=\"", "aria-label=\""] {
            if let Some((_, value)) = tag.split_once(name) {
                text.push(' ');
                text.push_str(value.split('"').next().unwrap());
            }
        }
        let block =
            ["p", "/p", "li", "/li", "h1", "h2", "h3", "td", "th", "dt", "dd", "tr", "br", "caption", "div", "/dd"];
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default();
        text.push(if block.contains(&name) || block.contains(&tag) { '\n' } else { ' ' });
        rest = behind;
    }
    text.push_str(rest);
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let text = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    text.replace("&#39;", "'").replace("&#34;", "\"").replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&")
}

pub(crate) fn banned_in(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).map(str::to_lowercase);
    let banned = |word: &String| {
        BANNED.iter().map(|one| one.to_lowercase()).any(|one| match one.strip_suffix('*') {
            Some(stem) => word.starts_with(stem),
            None => *word == one,
        })
    };
    words.filter(banned).collect()
}

#[test]
fn every_path_has_one_spelling_and_every_link_leads_to_a_page() {
    let site = Town::of(&Plan { requests: 130, ..Plan::default() }).site();
    let files = files(&site);
    assert!(files.len() > 300, "{} files", files.len());
    assert!(files.keys().all(|path| path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"./-_".contains(&byte))));
    for (path, html) in html(&files) {
        for link in
            html.split("href=\"").chain(html.split("src=\"")).skip(1).map(|rest| rest.split('"').next().unwrap())
        {
            if link.starts_with("https://") || link.starts_with('#') || link.starts_with('<') {
                continue;
            }
            let mut parts: Vec<&str> = path.split('/').collect();
            parts.pop();
            for part in link.split('/') {
                if part == ".." { assert!(parts.pop().is_some(), "{path}: {link} leads out") } else { parts.push(part) }
            }
            assert!(files.contains_key(&parts.join("/")), "{path}: {link}");
        }
    }
    for path in [
        "",
        "/",
        "index.htm",
        "../index.html",
        "./index.html",
        "es",
        "es/",
        "ES/index.html",
        "entries.1.html",
        "entries.0.html",
        "entries.99.html",
        "entries.02.html",
        "entry/00.html",
        "rule/.html",
        "rule/base.search.html",
        "rule/base_2Esearch.html",
        "agency/_.html",
        "month/2020-01.html",
        "report/2020-01.json",
        "chart/months.png",
        "es/style.css",
        "es/register.csv",
        "register.json/",
        "entry/../index.html",
        "index.html\0",
    ] {
        assert_eq!(site.file(path).unwrap(), None, "{path}");
    }
    let upper = site.paths().find(|path| path.starts_with("entry/")).unwrap().to_uppercase();
    assert_eq!(site.file(&upper).unwrap(), None);
}

#[test]
fn no_page_speaks_jargon_in_either_language() {
    assert_eq!(banned_in("Two leaves, one Hash; quórum, the cells."), ["leaves", "hash", "quórum", "cells"]);
    assert_eq!(banned_in("She leaves? No: they left the cellar."), ["leaves"], "a verb too; say it another way");
    for plan in [Plan { requests: 60, ..Plan::default() }, Plan { one_party: true, trouble: true, ..Plan::default() }] {
        let files = files(&Town::of(&plan).site());
        for (path, html) in html(&files) {
            // A title of the law's pack, where the word is a verb.
            let text = seen(html).replace("plate data leaves Connecticut", "");
            assert_eq!(banned_in(&text), Vec::<String>::new(), "{path}");
        }
        for (path, file) in files.iter().filter(|(path, _)| path.ends_with(".svg") || path.ends_with(".atom")) {
            assert_eq!(banned_in(&seen(core::str::from_utf8(&file.bytes).unwrap())), Vec::<String>::new(), "{path}");
        }
    }
}

#[test]
fn the_pages_of_both_languages_have_the_same_shape() {
    let files = files(&Town::of(&Plan { requests: 60, trouble: true, ..Plan::default() }).site());
    let count = |html: &str, tag: &str| html.matches(tag).count();
    for (path, english) in html(&files).filter(|(path, _)| !path.starts_with("es/")) {
        let spanish = core::str::from_utf8(&files[&format!("es/{path}")].bytes).unwrap();
        assert!(english.contains("<html lang=\"en-US\">") && spanish.contains("<html lang=\"es-US\">"), "{path}");
        for tag in ["<h1", "<h2", "<li", "<tr", "<td", "<dt", "<img", "<time", "class=\"badge"] {
            assert_eq!(count(english, tag), count(spanish, tag), "{tag} of {path}");
        }
        assert!(!english.contains("{0}") && !spanish.contains("{0}"), "{path}");
    }
}

#[test]
fn a_foreign_text_is_never_markup_and_never_a_formula() {
    let corpus = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)",
        "</title><script>alert(1)</script>",
        "]]><script>alert(1)</script>",
        "&lt;script&gt; {{ 7*7 }} {% raw %}",
        "javascript:alert(1)//<svg onload=alert(1)>",
        "=cmd|'/C calc'!A0",
        "+1+1",
        "-2+3",
        "@SUM(1+1)*cmd",
    ];
    for name in corpus {
        let plan = Plan { requests: 20, one_party: true, trouble: true, name: Some(name) };
        let files = files(&Town::of(&plan).site());
        for (path, file) in files.iter().filter(|(path, _)| !path.ends_with(".json") && !path.ends_with(".csv")) {
            let text = core::str::from_utf8(&file.bytes).unwrap();
            for bad in
                ["<script", "<svg onload", "<img src=x", "onerror=alert(1)>", "' onmouseover='", "&lt;script&gt; {"]
            {
                assert!(!text.contains(bad), "{path} with {name}: {bad}");
            }
        }
        // It is there, as text.
        assert!(seen(core::str::from_utf8(&files["index.html"].bytes).unwrap()).contains(name), "{name}");
        let mut table = csv::Reader::from_reader(files["register.csv"].bytes.as_slice());
        let mut rows = 0;
        for row in table.records() {
            let row = row.unwrap();
            assert!(row.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r'])), "{row:?}");
            rows += 1;
        }
        assert_eq!(rows, 20);
        let json: serde_json::Value = serde_json::from_slice(&files["register.json"].bytes).unwrap();
        assert_eq!(json["summary"]["owner"]["name"], name);
    }
}

#[test]
fn pages_stay_small_however_much_there_is() {
    let files = files(&Town::of(&Plan { requests: 700, trouble: true, one_party: true, ..Plan::default() }).site());
    let largest = html(&files).max_by_key(|(_, html)| html.len()).unwrap();
    assert!(largest.1.len() <= PAGE_BYTES_MAX, "{}: {} bytes", largest.0, largest.1.len());
    assert!(files.contains_key("entries.14.html") && !files.contains_key("entries.15.html"));
    let listed: usize = (1..=14)
        .map(|page| if page == 1 { "entries.html".to_owned() } else { format!("entries.{page}.html") })
        .map(|path| core::str::from_utf8(&files[&path].bytes).unwrap().matches("class=\"what\"").count())
        .sum();
    assert_eq!(listed, 700, "each entry is on one page of the list");
}

#[test]
fn the_same_logs_make_the_same_bytes() {
    let plan = Plan { requests: 45, trouble: true, ..Plan::default() };
    assert_eq!(files(&Town::of(&plan).site()), files(&Town::of(&plan).site()));
    let other = files(&Town::of(&Plan { requests: 46, ..plan }).site());
    assert_ne!(other["index.html"], files(&Town::of(&Plan { requests: 45, ..Plan::default() }).site())["index.html"]);
}

#[test]
fn figures_of_table_chart_and_document_are_the_same() {
    let files = files(&Town::of(&Plan { requests: 90, ..Plan::default() }).site());
    let json: serde_json::Value = serde_json::from_slice(&files["report/2026-11.json"].bytes).unwrap();
    let text = |path: &str| seen(core::str::from_utf8(&files[path].bytes).unwrap());
    let granted = json["figures"]["requests"]["granted"].as_u64().unwrap();
    assert!(granted > 5);
    assert!(text("report/2026-11.html").contains(&format!("Granted\n{granted}")));
    assert!(text("chart/2026-11-decisions.svg").contains(&format!("Granted\n{granted}")), "the chart");
    for line in json["figures"]["by_agency"].as_array().unwrap() {
        let counts = &line["counts"];
        let all = ["granted", "refused", "waiting"].iter().map(|key| counts[key].as_u64().unwrap()).sum::<u64>();
        let name = line["key"]["name"].as_str().unwrap_or_else(|| line["key"]["id"].as_str().unwrap());
        assert!(text("report/2026-11.html").contains(&format!("{name}\n{all}\n")), "{name} {all}");
        let shown: String = name.chars().take(40).collect();
        assert!(text("es/chart/2026-11-agencies.svg").contains(&shown), "{shown}");
    }
}

#[test]
fn texts_of_a_few_pages() {
    let files = files(&Town::of(&Plan { requests: 40, ..Plan::default() }).site());
    let text = |path: &str| seen(core::str::from_utf8(&files[path].bytes).unwrap());
    insta::assert_snapshot!("overview", text("index.html"));
    insta::assert_snapshot!("overview-es", text("es/index.html"));
    assert!(text("index.html").split("Who asked").next().unwrap().contains("No single party can open a read."));
    insta::assert_snapshot!("how", text("how.html"));
    let entry = |state: &str| {
        let list = core::str::from_utf8(&files[&format!("decision/{state}.html")].bytes).unwrap();
        let (_, rest) = list.split_once("href=\"../entry/").unwrap();
        format!("entry/{}", rest.split('"').next().unwrap())
    };
    insta::assert_snapshot!("entry-refused", text(&entry("refused")));
    insta::assert_snapshot!("entry-granted-es", text(&format!("es/{}", entry("granted"))));
    let loud = self::files(&Town::of(&Plan { one_party: true, trouble: true, ..Plan::default() }).site());
    insta::assert_snapshot!("overview-loud", seen(core::str::from_utf8(&loud["index.html"].bytes).unwrap()));
}

#[test]
fn an_export_is_what_is_served_and_never_mixes_with_another() {
    let folder = tempfile::tempdir().unwrap();
    let site = Town::of(&Plan { requests: 12, ..Plan::default() }).site();
    let out = folder.path().join("out");
    let written = write_to(&site, &out).unwrap();
    let files = files(&site);
    assert_eq!(written, files.len() as u64);
    for (path, file) in &files {
        assert_eq!(std::fs::read(out.join(path)).unwrap(), file.bytes, "{path}");
    }
    assert!(matches!(write_to(&site, &out), Err(ExportError::NotEmpty)));
    assert!(matches!(write_to(&site, &out.join("index.html")), Err(ExportError::Folder(_))));
}

async fn ask(
    shown: &Shown,
    method: Method,
    path: &str,
    etag: Option<&str>,
) -> (StatusCode, BTreeMap<String, String>, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(etag) = etag {
        request = request.header(header::IF_NONE_MATCH, etag);
    }
    let response = routes(shown.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (parts.status, headers.collect(), body.collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn it_is_served_with_etags_and_types_and_nothing_else() {
    let shown = Shown::new();
    let (status, ..) = ask(&shown, Method::GET, "/register/", None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "no site yet is not an empty register");
    let site = Arc::new(Town::of(&Plan { requests: 12, ..Plan::default() }).site());
    shown.show(Arc::clone(&site));
    for (from, to) in [("/", "/register/"), ("/register", "/register/"), ("/register/es", "/register/es/")] {
        let (status, headers, _) = ask(&shown, Method::GET, from, None).await;
        assert_eq!((status, headers["location"].as_str()), (StatusCode::SEE_OTHER, to));
    }
    let (status, headers, body) = ask(&shown, Method::GET, "/register/", None).await;
    assert_eq!((status, &body), (StatusCode::OK, &site.file("index.html").unwrap().unwrap().bytes));
    let etag = headers["etag"].clone();
    for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let (status, headers, body) = ask(&shown, Method::GET, "/register/index.html", Some(&known)).await;
        assert_eq!(
            (status, headers["etag"].as_str(), body.len()),
            (StatusCode::NOT_MODIFIED, etag.as_str(), 0),
            "{known}"
        );
    }
    let (status, ..) = ask(&shown, Method::GET, "/register/", Some("\"x\"")).await;
    assert_eq!(status, StatusCode::OK);
    for (path, media_type) in [
        ("es/", "text/html; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("register.csv", "text/csv; charset=utf-8; header=present"),
        ("register.json", "application/json"),
        ("report/2026-11.json", "application/json"),
        ("es/register.atom", "application/atom+xml; charset=utf-8"),
        ("chart/months.svg", "image/svg+xml"),
    ] {
        let (status, headers, body) = ask(&shown, Method::GET, &format!("/register/{path}"), None).await;
        assert_eq!((status, headers["content-type"].as_str()), (StatusCode::OK, media_type), "{path}");
        assert_eq!(headers["cache-control"], "no-cache");
        assert!(body.len() > 50);
        let (status, _, body) = ask(&shown, Method::HEAD, &format!("/register/{path}"), None).await;
        assert_eq!((status, body.len()), (StatusCode::OK, 0), "{path}");
    }
    for path in ["nothing.html", "%2e%2e/index.html", "es/nothing", "entry/%00.html", &"a/".repeat(200)] {
        let (status, ..) = ask(&shown, Method::GET, &format!("/register/{path}"), None).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    let (status, ..) = ask(&shown, Method::POST, "/register/", None).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn what_cannot_be_followed_is_named_and_its_entries_stay() {
    let quiet = files(&Town::of(&Plan { requests: 60, ..Plan::default() }).site());
    let loud = files(&Town::of(&Plan { requests: 60, trouble: true, ..Plan::default() }).site());
    let text = |files: &BTreeMap<String, File>, path: &str| seen(core::str::from_utf8(&files[path].bytes).unwrap());
    assert!(!text(&quiet, "index.html").contains("Not everything could be checked"));
    for needle in ["Not everything could be checked", "Superior Court, Harbor District, keeper 2", "Sheriff’s Office"]
    {
        assert!(text(&loud, "index.html").contains(needle), "{needle}");
    }
    assert!(text(&loud, "es/index.html").contains("No todo se pudo comprobar"));
    let entries = |files: &BTreeMap<String, File>| -> BTreeSet<String> {
        files.keys().filter(|path| path.starts_with("entry/")).cloned().collect()
    };
    assert_eq!(entries(&quiet), entries(&loud));
}

#[test]
fn what_was_never_confirmed_is_told_without_a_date() {
    let mut town = Town::of(&Plan { trouble: true, ..Plan::default() });
    // The sheriff's desk has no confirmed head.
    let sheriff = LogName::Desk(AgencyId([8; 16]));
    for (trouble, english, spanish) in [
        (
            Trouble::Stale,
            "No confirmation of the records of Harbor County Sheriff’s Office",
            "Aquí no se conoce ninguna confirmación de los registros de Harbor County",
        ),
        (Trouble::Lied, "No confirmation of them is known here. Do not rely on them.", "No confíe en ellos."),
    ] {
        let record = Record { address: String::new(), confirmed_by: Vec::new(), trouble: Some(trouble) };
        town.records.insert(sheriff, record);
        let files = files(&town.site());
        for (path, needle) in [("index.html", english), ("es/index.html", spanish)] {
            let text = seen(core::str::from_utf8(&files[path].bytes).unwrap());
            assert!(text.contains(needle), "{text}");
            assert!(!text.contains("since never") && !text.contains("after never") && !text.contains("el nunca"));
        }
    }
}
