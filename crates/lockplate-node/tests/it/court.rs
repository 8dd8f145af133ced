//! A judge makes a passkey and signs an order with it; keepers that trust the passkey take the paper, and take no other. Real HTTP;
//! the authenticator is software.

use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_core::directory::TrustEntry;
use lockplate_core::id::b64url;
use lockplate_core::passkey::{Assertion, RelyingParty};
use lockplate_core::signed::SignedObject;
use lockplate_node::fingerprint;
use lockplate_node::founding::{FoundingError, Order, PasskeyPaper, SignedPaper, TrustedKey, court_trust_entry};
use lockplate_node::keeper::enrol::{EnrolOffice, EnrolTerms, enrol};
use lockplate_node::keeper::once::OnceError;
use lockplate_node::keeper::sign_page;
use lockplate_node::passkeys::EnrolledPasskey;
use lockplate_node::rng::SystemRng;
use lockplate_node::shutdown::Tasks;

use crate::authenticator::{Authenticator, ORIGIN, RP_ID};
use crate::keeper::{DAY, NOW, PLATE, Town};
use crate::orders::fault;
use crate::people::Browser;
use crate::ports::free_port;
use crate::register::{banned_in, seen};

/// The passkey's key; the town's own judge has a key file.
const NAME: &str = "judge-19.court.example";

/// What a judge does with `sign new-passkey`.
async fn enrolled(key: &Authenticator) -> EnrolledPasskey {
    let listen = free_port();
    let (origin, rp_id) = (ORIGIN.to_owned(), RP_ID.to_owned());
    let terms = EnrolTerms { office: EnrolOffice::Court, name: NAME.to_owned(), listen, origin, rp_id };
    let tasks = Tasks::new();
    let waiting = enrol(terms, &tasks, &mut SystemRng).await.unwrap();
    let path = waiting.url.strip_prefix(ORIGIN).unwrap().to_owned();
    let mut browser = Browser::new(listen);
    let page = browser.get(&path).await;
    assert!(page.body.contains("With it you sign papers") && !page.body.contains("Office of a keeper"));
    for page in [&page, &browser.get(&format!("{path}es/")).await] {
        assert_eq!(banned_in(&seen(&page.body)), Vec::<String>::new());
    }
    let (authenticator, client) = key.create(&page.value("data-challenge=\""), RP_ID, ORIGIN);
    let shown = key.sign(&page.value("data-shown=\""));
    let form = [("authenticator", &*authenticator), ("client", &*client), ("assertion", &*shown)];
    assert_eq!(browser.post(&path, &form).await.status, 200);
    let made = waiting.finish().await.unwrap();
    tasks.finish(Duration::from_secs(10)).await.unwrap();
    made
}

fn trusted(passkey: &EnrolledPasskey) -> TrustEntry {
    let key = TrustedKey::of_passkey(passkey).unwrap();
    court_trust_entry("Judge 19", "Superior Court", key, Timestamp(NOW - DAY), Timestamp(NOW + 300 * DAY))
}

fn order(town: &Town) -> Order {
    let mut order = town.order();
    order.issuer = NAME.to_owned();
    Order::Warrant(Box::new(order))
}

fn paper(order: &Order, passkey: &EnrolledPasskey) -> Result<PasskeyPaper, FoundingError> {
    PasskeyPaper::new(order.draft(Timestamp(NOW), &mut SystemRng)?, passkey.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_judge_signs_with_a_passkey_what_the_page_shows_and_keepers_take_it() {
    let key = Authenticator::new(19);
    let passkey = enrolled(&key).await;
    assert_eq!(passkey, key.enrolled(NAME));
    let mut town = Town::with_trust(vec![trusted(&passkey)]).await;
    town.close_epoch().await;

    let (order, listen, tasks) = (order(&town), free_port(), Tasks::new());
    let to_sign = paper(&order, &passkey).unwrap();
    let challenge = b64url(&to_sign.digest());
    let (words, digits) = (fingerprint::words(&to_sign.digest()), fingerprint::digits(&to_sign.digest()));
    let waiting = sign_page::ask(to_sign, order.clone(), listen, &tasks, &mut SystemRng).await.unwrap();
    let path = waiting.url.strip_prefix(ORIGIN).unwrap().to_owned();
    assert!(path.len() > 40, "the address holds a secret");
    let mut browser = Browser::new(listen);
    for guess in ["/", "/sign/", "/sign/guess/"] {
        let got = browser.get(guess).await;
        assert!(got.status == 404 && !got.body.contains(PLATE));
    }
    let english = browser.get(&path).await;
    let spanish = browser.get(&format!("{path}es/")).await;
    for page in [&english, &spanish] {
        assert_eq!(page.status, 200);
        let policy = page.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("script-src 'self'") && !policy.contains("unsafe")
        );
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(banned_in(&seen(&page.body)), Vec::<String>::new());
        for shown in [PLATE, "Superior Court", &words, &digits, NAME] {
            assert!(page.body.contains(shown), "{shown} in {}", page.body);
        }
        assert_eq!(page.value("data-challenge=\""), challenge);
    }
    for shown in
        ["Your device does not show what it signs", "Search warrant", "December 22, 2026", "Crime investigation"]
    {
        assert!(english.body.contains(shown), "{shown} in {}", english.body);
    }
    for shown in ["Su aparato no muestra lo que firma", "22 de diciembre de 2026"] {
        assert!(spanish.body.contains(shown), "{shown} in {}", spanish.body);
    }

    // Another key, another paper, another page, another site, no signature at all: nothing is signed, and the page still waits.
    let other_paper = paper(&order, &passkey).unwrap();
    for assertion in [
        Authenticator::new(18).sign(&challenge),
        key.sign(&b64url(&other_paper.digest())),
        key.get(&challenge, RP_ID, "https://evil.example"),
        key.get(&challenge, "evil.example", ORIGIN),
        String::new(),
    ] {
        let refused = browser.post(&path, &[("assertion", &assertion)]).await;
        assert!(refused.status == 403 && refused.body.contains("No paper was written."), "{}", refused.body);
    }
    let good = key.sign(&challenge);
    browser.site = "cross-site";
    assert_eq!(browser.post(&path, &[("assertion", &good)]).await.status, 403);
    browser.site = "same-origin";
    let done = browser.post(&path, &[("assertion", &good)]).await;
    assert!(done.status == 200 && done.body.contains("Your passkey signed the paper"), "{}", done.body);
    assert!(!done.body.contains(PLATE), "what is done needs no plate");
    assert_eq!(browser.post(&path, &[("assertion", &good)]).await.status, 403, "one only");
    let signed = waiting.finish().await.unwrap();
    tasks.finish(Duration::from_secs(10)).await.unwrap();

    // The file says what the page showed, and keepers take it; any letter of it changed, they do not.
    assert_eq!(signed.digest, SignedObject::parse(&signed.auth).unwrap().digest());
    assert_eq!((b64url(&signed.digest), signed.disclosures.len()), (challenge, 1));
    assert_eq!(fault(&town, &signed).await, None);
    let text = String::from_utf8(signed.auth.clone()).unwrap();
    let altered = text.replace("\"max_requests\":3", "\"max_requests\":4").into_bytes();
    let digest = SignedObject::parse(&altered).unwrap().digest();
    let altered = SignedPaper { auth: altered, digest, ..signed.clone() };
    assert_eq!(fault(&town, &altered).await.as_deref(), Some("paper.signature"));

    // The same key on pages of another origin: a paper of its own, which no entry of the list covers.
    let mut elsewhere = passkey.clone();
    elsewhere.passkey.site = RelyingParty::new(RP_ID, &["https://other.millbrook.example".to_owned()]).unwrap();
    let to_sign = paper(&order, &elsewhere).unwrap();
    let assertion = key.get(&b64url(&to_sign.digest()), RP_ID, "https://other.millbrook.example");
    let foreign = to_sign.sign(&assertion_of(&assertion)).unwrap();
    assert_eq!(fault(&town, &foreign).await.as_deref(), Some("paper.signature"));
    for place in 0..3 {
        town.stop(place).await;
    }
}

fn assertion_of(text: &str) -> Assertion {
    use base64::Engine as _;
    Assertion::from_bytes(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

#[tokio::test]
async fn a_passkey_that_cannot_sign_this_paper_is_refused_before_a_person_is_asked() {
    let key = Authenticator::new(19);
    let order = Order::from_json(
        br#"{"kind":"delay-notice","issuer":"judge-19.court.example","court":"Superior Court","docket":"26-1",
            "request":"0101010101010101010101010101010101010101010101010101010101010101","until":"2027-01-01T00:00:00Z"}"#,
    )
    .unwrap();
    assert!(paper(&order, &key.enrolled(NAME)).is_ok());
    let other = paper(&order, &key.enrolled("judge-20.court.example"));
    assert!(matches!(other, Err(FoundingError::Refused("issuer: not the name of this passkey"))));
    assert!(matches!(paper(&order, &key.enrolled("A. Judge")), Err(FoundingError::Name(_))), "one for a keeper's page");

    // Made for a page on which browsers use no passkeys; and an address that the world could reach.
    let mut plain = key.enrolled(NAME);
    plain.passkey.site = RelyingParty::new("court.example", &["http://court.example".to_owned()]).unwrap();
    let tasks = Tasks::new();
    let refused =
        sign_page::ask(paper(&order, &plain).unwrap(), order.clone(), free_port(), &tasks, &mut SystemRng).await;
    assert!(matches!(refused, Err(OnceError::Site(_))));
    let open = "0.0.0.0:0".parse().unwrap();
    let to_sign = paper(&order, &key.enrolled(NAME)).unwrap();
    assert!(matches!(
        sign_page::ask(to_sign, order.clone(), open, &tasks, &mut SystemRng).await,
        Err(OnceError::Listen(_))
    ));

    // Stopped before the person was there: no paper.
    let to_sign = paper(&order, &key.enrolled(NAME)).unwrap();
    let waiting = sign_page::ask(to_sign, order.clone(), free_port(), &tasks, &mut SystemRng).await.unwrap();
    tasks.finish(Duration::from_secs(10)).await.unwrap();
    assert!(matches!(waiting.finish().await, Err(OnceError::Stopped)));
}
