use axum::http::HeaderValue;

use super::*;

#[test]
fn origin_and_rp_id_are_such_that_a_browser_lets_passkeys_work() {
    for (origin, rp_id) in [
        ("https://keeper.court.example", "keeper.court.example"),
        ("https://keeper.court.example", "court.example"),
        ("https://keeper.court.example:8543", "keeper.court.example"),
        ("http://localhost:8543", "localhost"),
    ] {
        assert!(site_of(origin, rp_id).is_ok(), "{origin} {rp_id}");
    }
    for (origin, rp_id) in [
        ("http://keeper.court.example", "keeper.court.example"),
        ("http://127.0.0.1:8543", "127.0.0.1"),
        ("https://keeper.court.example/", "keeper.court.example"),
        ("https://keeper.court.example", "eeper.court.example"),
        ("https://keeper.court.example", "x.keeper.court.example"),
        ("https://keeper.court.example", "other.example"),
        ("https://keeper.court.example", ""),
        ("keeper.court.example", "keeper.court.example"),
    ] {
        assert!(site_of(origin, rp_id).is_err(), "{origin} {rp_id}");
    }
}

#[test]
fn a_post_of_another_page_is_known_by_its_headers() {
    let own = ["https://keeper.court.example".to_owned()];
    let with = |pairs: &[(&'static str, &'static str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        is_own_post(&headers, &own)
    };
    assert!(with(&[("sec-fetch-site", "same-origin"), ("origin", "null")]));
    assert!(with(&[("origin", "https://keeper.court.example")]));
    assert!(!with(&[("sec-fetch-site", "cross-site"), ("origin", "null")]));
    assert!(!with(&[("sec-fetch-site", "same-site")]));
    assert!(!with(&[("sec-fetch-site", "none")]));
    assert!(!with(&[("origin", "https://evil.example")]));
    assert!(!with(&[("origin", "https://keeper.court.example:8443")]));
}
