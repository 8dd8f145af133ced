//! The people of a keeper: they enrol, sign in, read the card of a request and answer it with a passkey; and they are told by mail
//! that something waits. Real HTTP and a real mail server; the authenticator is software.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lockplate_core::Timestamp;
use lockplate_core::entry::{HumanDecision as Said, Leaf, LogEntry, RefusalReason, parse_leaf};
use lockplate_core::keeper::Verdict;
use lockplate_node::founding::statement_signer;
use lockplate_node::keeper::enrol::{EnrolOffice, EnrolTerms, enrol};
use lockplate_node::keeper::once::OnceError;
use lockplate_node::keeper::{KeeperConfig, KeeperSettings, admin};
use lockplate_node::passkeys::EnrolledPasskey;
use lockplate_node::rng::SystemRng;
use lockplate_node::settings;
use lockplate_node::shutdown::Tasks;

use crate::authenticator::{Authenticator, ORIGIN, RP_ID, b64};
use crate::keeper::{NOW, PLATE, Town};
use crate::ports::free_port;
use crate::register::{banned_in, seen};

/// What a browser gets.
pub(crate) struct Got {
    pub(crate) status: u16,
    headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The value of the first attribute or hidden field of this name.
    pub(crate) fn value(&self, before: &str) -> String {
        let (_, rest) = self.body.split_once(before).unwrap_or_else(|| panic!("no {before} in {}", self.body));
        rest.split_once('"').unwrap().0.to_owned()
    }
}

/// A browser with one cookie and no other state.
pub(crate) struct Browser {
    client: reqwest::Client,
    at: String,
    cookie: Option<String>,
    /// `Sec-Fetch-Site` of what it posts.
    pub(crate) site: &'static str,
}

impl Browser {
    pub(crate) fn new(at: SocketAddr) -> Self {
        // Only plain HTTP is spoken here; the client wants to know how it would speak TLS all the same.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.build().unwrap();
        Self { client, at: format!("http://{at}"), cookie: None, site: "same-origin" }
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Got {
        let request = match &self.cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        };
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let got = Got { status, headers, body: response.text().await.unwrap() };
        let set = got.header("set-cookie");
        if !set.is_empty() {
            self.cookie = Some(set.split(';').next().unwrap().to_owned());
        }
        got
    }

    pub(crate) async fn get(&mut self, path: &str) -> Got {
        let request = self.client.get(format!("{}{path}", self.at));
        self.send(request).await
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Got {
        // Every value here is base64url, hex or a name: nothing to escape.
        let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self
            .client
            .post(format!("{}{path}", self.at))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", self.site)
            .header("origin", "null")
            .body(body.join("&"));
        self.send(request).await
    }

    async fn sign_in(&mut self, key: &Authenticator) -> Got {
        let page = self.get("/").await;
        assert_eq!(page.status, 200);
        let (ceremony, challenge) = (page.value("name=\"ceremony\" value=\""), page.value("data-challenge=\""));
        let (credential, assertion) = (b64(&key.credential), key.sign(&challenge));
        let form = [("ceremony", &*ceremony), ("credential", &credential), ("assertion", &assertion)];
        self.post("/sign-in", &form).await
    }

    /// What the page's script does: has the decision prepared, signed, and posted.
    async fn answer(&mut self, key: &Authenticator, digest: &str, csrf: &str, verdict: &str) -> Got {
        let prepared = self.prepare(digest, csrf, verdict).await;
        let assertion = key.sign(prepared["challenge"].as_str().unwrap());
        let decision = prepared["decision"].as_str().unwrap();
        self.finish(key, digest, csrf, verdict, decision, &assertion).await
    }

    async fn prepare(&mut self, digest: &str, csrf: &str, verdict: &str) -> serde_json::Value {
        let got = self.post(&format!("/request/{digest}/prepare"), &[("csrf", csrf), ("verdict", verdict)]).await;
        assert_eq!(got.status, 200, "{}", got.body);
        serde_json::from_str(&got.body).unwrap()
    }

    async fn finish(
        &mut self,
        key: &Authenticator,
        digest: &str,
        csrf: &str,
        verdict: &str,
        decision: &str,
        assertion: &str,
    ) -> Got {
        let credential = b64(&key.credential);
        let form = [
            ("csrf", csrf),
            ("verdict", verdict),
            ("decision", decision),
            ("credential", &credential),
            ("assertion", assertion),
        ];
        self.post(&format!("/request/{digest}/answer"), &form).await
    }
}

/// A town whose second keeper has a page, and two people with a passkey each.
async fn town_with_page(clerk: &Authenticator, deputy: &Authenticator, more: &str) -> (Town, SocketAddr) {
    let page = free_port();
    let town = Town::with_people(|folder| {
        let mut files = Vec::new();
        let mut text = format!(
            "[page]\naddress = '{page}'\nplain_loopback = true\norigin = '{ORIGIN}'\nrp_id = '{RP_ID}'\n{more}\n"
        );
        for (key, name, after) in [(clerk, "A. Clerk", 0), (deputy, "B. Deputy", 20)] {
            let file = folder.join(format!("{}.json", name.replace(". ", "-")));
            let enrolled = serde_json::to_vec(&key.enrolled(name).to_file()).unwrap();
            crate::keeper::write(&file, &enrolled);
            text += &format!(
                "[[people]]\nname = '{name}'\npasskeys = ['{}']\nafter_minutes = {after}\nmail = '{after}@clerk.example'\n",
                file.file_name().unwrap().to_str().unwrap()
            );
            files.push(file);
        }
        (files, text)
    })
    .await;
    town.one_closed_hour().await;
    (town, page)
}

/// The decisions in the second keeper's log.
async fn decided(town: &Town) -> Vec<(Said, Option<RefusalReason>)> {
    let leaves = town.leaves(1).await;
    let entries = leaves.iter().filter_map(|leaf| match parse_leaf(leaf).unwrap() {
        Leaf::Known(stamped) => match stamped.entry() {
            LogEntry::Approval(leaf) => Some((leaf.decision, leaf.reason)),
            _ => None,
        },
        Leaf::Unknown(_) => None,
    });
    entries.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_reads_and_answers_with_a_passkey_and_nothing_else_counts() {
    let (clerk, deputy) = (Authenticator::new(1), Authenticator::new(2));
    let (mut town, page) = town_with_page(&clerk, &deputy, "").await;
    let paper = town.warrant();
    let first = town.wait_for_a_person(&paper).await;
    let second = town.wait_for_a_person(&paper).await;
    let mut browser = Browser::new(page);

    // Nobody who is not signed in reads anything, whatever the address; the page has its own strict policy.
    for path in ["/", "/es/", &format!("/request/{first}"), &format!("/es/request/{first}")] {
        let got = browser.get(path).await;
        assert_eq!(got.status, 200);
        assert!(!got.body.contains(PLATE) && !got.body.contains("26-1234") && !got.body.contains("A. Clerk"), "{path}");
        assert!(got.body.contains("data-ceremony=\"sign-in\""));
        let policy = got.header("content-security-policy");
        assert!(policy.contains("script-src 'self'") && policy.contains("require-trusted-types-for 'script'"));
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
        assert_eq!(got.header("cache-control"), "no-store");
    }
    let unprepared = browser.post(&format!("/request/{first}/prepare"), &[("csrf", ""), ("verdict", "approve")]).await;
    assert_eq!(unprepared.status, 401);

    // A sign-in by another key, on another page, or caused by another site opens nothing.
    let stranger = Authenticator::new(3);
    let mut forged = Authenticator::new(3);
    forged.credential = clerk.credential.clone();
    for wrong in [&stranger, &forged] {
        assert_eq!((browser.sign_in(wrong).await.status, browser.cookie.is_none()), (403, true));
    }
    browser.site = "cross-site";
    assert_eq!((browser.sign_in(&clerk).await.status, browser.cookie.is_none()), (403, true));
    browser.site = "same-origin";
    let page_of = browser.get("/").await;
    let (ceremony, challenge) = (page_of.value("name=\"ceremony\" value=\""), page_of.value("data-challenge=\""));
    let elsewhere = clerk.get(&challenge, RP_ID, "https://evil.example");
    let credential = b64(&clerk.credential);
    let form = [("ceremony", &*ceremony), ("credential", &credential), ("assertion", &elsewhere)];
    assert_eq!(browser.post("/sign-in", &form).await.status, 403);
    let right = clerk.sign(&challenge);
    let form = [("ceremony", &*ceremony), ("credential", &credential), ("assertion", &right)];
    assert_eq!(browser.post("/sign-in", &form).await.status, 403, "a challenge is answered once");

    let signed_in = browser.sign_in(&clerk).await;
    assert_eq!((signed_in.status, signed_in.header("location")), (303, "/"));
    let cookie = signed_in.header("set-cookie");
    assert!(cookie.starts_with("__Host-session=") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"));

    // The list, and the card in both languages, without a word of jargon and without the names of machine things.
    let list = browser.get("/").await;
    assert!(list.body.contains("2 requests wait for an answer.") && list.body.contains(&first));
    let mut csrf = String::new();
    for (home, wanted) in [
        (
            "/",
            [
                "Millbrook Police Department",
                "only this one",
                "26-1234",
                "larceny of a motor vehicle (felony)",
                "own key",
            ],
        ),
        ("/es/", ["Millbrook Police Department", "solo esta", "26-1234", "delito grave", "firma del tribunal"]),
    ] {
        let card = browser.get(&format!("{home}request/{first}")).await;
        let text = seen(&card.body);
        for wanted in wanted.iter().chain(&[PLATE, "US-CT", "The owner reported the grey van stolen"]) {
            assert!(text.contains(wanted), "{home}: {wanted} is missing in {text}");
        }
        assert_eq!(banned_in(&text), Vec::<String>::new());
        assert_eq!(banned_in(&seen(&browser.get(home).await.body)), Vec::<String>::new());
        csrf = card.value("name=\"csrf\" value=\"");
    }

    // A session is no approval: each of these is one thing short, and nothing is decided.
    let yes = browser.prepare(&first, &csrf, "approve").await;
    let (decision, challenge) = (yes["decision"].as_str().unwrap(), yes["challenge"].as_str().unwrap());
    assert_eq!(yes["credentials"], serde_json::json!([credential]), "only the keys of whoever is signed in");
    let good = clerk.sign(challenge);
    let no = browser.prepare(&first, &csrf, "doubt").await;
    let of_no = clerk.sign(no["challenge"].as_str().unwrap());
    let of_other = browser.prepare(&second, &csrf, "approve").await;
    let of_other_signed = clerk.sign(of_other["challenge"].as_str().unwrap());
    let of_sign_in = clerk.sign(&b64(&[7; 32]));
    let elsewhere = clerk.get(challenge, RP_ID, "https://evil.example");
    let attempts: Vec<(&str, Got)> = vec![
        ("signed a no", browser.finish(&clerk, &first, &csrf, "approve", decision, &of_no).await),
        ("signed another request", browser.finish(&clerk, &first, &csrf, "approve", decision, &of_other_signed).await),
        ("signed a sign-in", browser.finish(&clerk, &first, &csrf, "approve", decision, &of_sign_in).await),
        ("signed on another page", browser.finish(&clerk, &first, &csrf, "approve", decision, &elsewhere).await),
        ("not the verdict on the page", browser.finish(&clerk, &first, &csrf, "doubt", decision, &good).await),
        ("not the request of the page", browser.finish(&clerk, &second, &csrf, "approve", decision, &good).await),
        (
            "another person's key",
            browser.finish(&deputy, &first, &csrf, "approve", decision, &deputy.sign(challenge)).await,
        ),
        (
            "another key's signature",
            browser.finish(&clerk, &first, &csrf, "approve", decision, &deputy.sign(challenge)).await,
        ),
        ("without the page's secret", browser.finish(&clerk, &first, "", "approve", decision, &good).await),
        ("no assertion", browser.finish(&clerk, &first, &csrf, "approve", decision, "").await),
    ];
    for (what, got) in attempts {
        assert!(!got.body.contains("badge granted") && !got.body.contains("badge refused"), "{what}: {}", got.body);
    }
    browser.site = "cross-site";
    let foreign = browser.finish(&clerk, &first, &csrf, "approve", decision, &good).await;
    assert!(foreign.body.contains("data-ceremony=\"sign-in\""));
    browser.site = "same-origin";
    assert_eq!(decided(&town).await, Vec::new());

    // Yes, once.
    let done = browser.finish(&clerk, &first, &csrf, "approve", decision, &good).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let text = seen(&done.body);
    assert!(text.contains("You approved the request.") && text.contains(&first) && !text.contains(PLATE), "{text}");
    assert_eq!(banned_in(&text), Vec::<String>::new());
    assert_eq!(decided(&town).await, vec![(Said::Approve, None)]);
    let again = browser.answer(&clerk, &first, &csrf, "doubt").await;
    assert_eq!(again.status, 404, "{}", again.body);
    assert_eq!(decided(&town).await.len(), 1);

    // The deputy says no, with a reason, in Spanish.
    let mut other = Browser::new(page);
    other.sign_in(&deputy).await;
    let card = other.get(&format!("/es/request/{second}")).await;
    let csrf = card.value("name=\"csrf\" value=\"");
    let refused = other.answer(&deputy, &second, &csrf, "wrong_plate").await;
    assert!(refused.body.contains("You refused the request: the paper names another plate."), "{}", refused.body);
    assert_eq!(decided(&town).await[1], (Said::Refuse, Some(RefusalReason::WrongPlate)));
    assert!(other.get("/es/").await.body.contains("No hay nada que le espere."));

    // Signed out is signed out, on the server as well.
    let kept = browser.cookie.clone();
    let csrf = browser.get("/").await.value("name=\"csrf\" value=\"");
    assert!(browser.post("/sign-out", &[("csrf", &csrf)]).await.header("set-cookie").contains("Max-Age=0"));
    browser.cookie = kept;
    assert!(browser.get("/").await.body.contains("data-ceremony=\"sign-in\""));

    // Key files go on as before, beside passkeys.
    let third = town.wait_for_a_person(&paper).await;
    let human = statement_signer(&town.folder.path().join("human-2.pem")).unwrap();
    let socket = town.settings_of(1).admin_socket();
    admin::decide(&socket, &third, Verdict::Doubt, &human, Timestamp(NOW)).await.unwrap();
    assert_eq!(decided(&town).await.len(), 3);
    // Nothing that was read or said lies on disk in clear.
    for place in 0..3 {
        town.stop(place).await;
    }
    for found in files_below(&town.data(1)) {
        let bytes = std::fs::read(&found).unwrap();
        for secret in [PLATE.as_bytes(), b"A. Clerk", &clerk.key_id()] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret), "{}", found.display());
        }
    }
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: std::path::PathBuf| if path.is_dir() { files_below(&path) } else { vec![path] };
    entries.flat_map(below).filter(|path| path.is_file()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolment_takes_one_passkey_that_works_on_this_very_page() {
    let listen = free_port();
    let terms = EnrolTerms {
        office: EnrolOffice::Keeper,
        name: "A. Clerk".to_owned(),
        listen,
        origin: ORIGIN.to_owned(),
        rp_id: RP_ID.to_owned(),
    };
    let tasks = Tasks::new();
    let strange = EnrolTerms { rp_id: "evil.example".to_owned(), ..terms.clone() };
    assert!(matches!(enrol(strange, &tasks, &mut SystemRng).await, Err(OnceError::Site(_))));
    let waiting = enrol(terms, &tasks, &mut SystemRng).await.unwrap();
    let path = waiting.url.strip_prefix(ORIGIN).unwrap().to_owned();
    assert!(path.len() > 40, "the address holds a secret");
    let mut browser = Browser::new(listen);
    assert_eq!(browser.get("/").await.status, 404);
    assert_eq!(browser.get("/enrol/guess/").await.status, 404);
    let page = browser.get(&path).await;
    assert_eq!(banned_in(&seen(&page.body)), Vec::<String>::new());
    let spanish = browser.get(&format!("{path}es/")).await;
    assert!(spanish.body.contains("Para A. Clerk"));
    assert_eq!(banned_in(&seen(&spanish.body)), Vec::<String>::new());
    let (made, shown) = (page.value("data-challenge=\""), page.value("data-shown=\""));
    let (key, other) = (Authenticator::new(1), Authenticator::new(2));
    let (authenticator, client) = key.create(&made, RP_ID, ORIGIN);
    let (_, foreign) = key.create(&made, RP_ID, "https://evil.example");
    let good = key.sign(&shown);
    for (client, assertion) in [(&foreign, &good), (&client, &other.sign(&shown)), (&client, &key.sign(&made))] {
        let form = [("authenticator", &*authenticator), ("client", client), ("assertion", assertion)];
        assert_eq!(browser.post(&path, &form).await.status, 403);
    }
    let form = [("authenticator", &*authenticator), ("client", &*client), ("assertion", &*good)];
    browser.site = "cross-site";
    assert_eq!(browser.post(&path, &form).await.status, 403);
    browser.site = "same-origin";
    let done = browser.post(&path, &form).await;
    assert!(done.status == 200 && done.body.contains("The passkey works."), "{}", done.body);
    assert_eq!(browser.post(&path, &form).await.status, 403, "one only");
    let enrolled = waiting.finish().await.unwrap();
    assert_eq!(enrolled, key.enrolled("A. Clerk"));
    let text = serde_json::to_vec(&enrolled.to_file()).unwrap();
    assert_eq!(EnrolledPasskey::parse(&text).unwrap(), enrolled);
    tasks.finish(Duration::from_secs(10)).await.unwrap();
}

#[test]
fn a_page_that_browsers_or_the_network_would_refuse_is_a_configuration_to_mend() {
    let file = Path::new("keeper.toml");
    let with = |more: &str| {
        let text = format!("data = 'd'\ncharter = 'c'\nplace = 1\n[listen]\naddress = '127.0.0.1:1'\n{more}");
        let config: KeeperConfig = settings::parse(file, &text).map_err(drop)?;
        KeeperSettings::try_from((file, config)).map(drop).map_err(drop)
    };
    let page = |origin: &str, rp_id: &str| {
        format!("[page]\naddress = '127.0.0.1:2'\nplain_loopback = true\norigin = '{origin}'\nrp_id = '{rp_id}'\n")
    };
    let good = page(ORIGIN, RP_ID);
    assert!(with(&good).is_ok());
    assert!(with(&page("http://keeper.example", "keeper.example")).is_err());
    assert!(with(&page(ORIGIN, "other.example")).is_err());
    let mail = |server: &str, security: &str| {
        format!("[mail]\nserver = '{server}'\nport = 25\nsecurity = '{security}'\nfrom = 'keeper@clerk.example'\n")
    };
    assert!(with(&(good.clone() + &mail("127.0.0.1", "plain_loopback"))).is_ok());
    assert!(with(&(good.clone() + &mail("mail.clerk.example", "starttls"))).is_ok());
    assert!(
        with(&(good.clone() + &mail("mail.clerk.example", "plain_loopback"))).is_err(),
        "in clear over the network"
    );
    assert!(with(&(good.clone() + &mail("mail.clerk.example", "none"))).is_err());
    assert!(with(&mail("127.0.0.1", "plain_loopback")).is_err(), "a link that leads nowhere");
    assert!(with(&(good + &mail("mail.clerk.example", "tls") + "user = 'keeper'\n")).is_err(), "no password");
}

/// Other people's mail server: PyPI's `aiosmtpd`, which writes what it gets into a folder.
struct MailServer(Child);

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl MailServer {
    fn start(at: SocketAddr, folder: &Path) -> Option<Self> {
        let python = crate::verifiers::python_of("passkeys")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/verifiers/passkeys/mail.py");
        let mut command = Command::new(python);
        command.arg("-B").arg(script).arg(at.port().to_string()).arg(folder).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It says one line when it listens.
        let mut ready = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut ready).unwrap();
        assert_eq!(ready, "READY\n");
        Some(Self(child))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_a_number_and_a_link_to_whoever_is_on_duty() {
    let (mails, at) = (tempfile::tempdir().unwrap(), free_port());
    let Some(_server) = MailServer::start(at, mails.path()) else { return };
    let (clerk, deputy) = (Authenticator::new(1), Authenticator::new(2));
    let mail = format!(
        "[mail]\nserver = '127.0.0.1'\nport = {}\nsecurity = 'plain_loopback'\nfrom = 'keeper@clerk.example'",
        at.port()
    );
    let (mut town, page) = town_with_page(&clerk, &deputy, &mail).await;
    let digest = town.wait_for_a_person(&town.warrant()).await;
    let arrived = |count: usize| {
        let folder = mails.path().to_owned();
        async move {
            for _tenth in 0..600 {
                if files_below(&folder).len() >= count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("{} of {count} mails came", files_below(&folder).len());
        }
    };
    let mail_of = |name: &str| std::fs::read_to_string(mails.path().join(name)).unwrap();
    arrived(1).await;
    let first = mail_of("1.eml");
    let waiting = admin::waiting(&town.settings_of(1).admin_socket()).await.unwrap();
    let number = waiting[0].register;
    let (head, body) = first.split_once("\n\n").unwrap();
    assert_eq!(body.trim_end(), format!("{number}\n{ORIGIN}/"), "a number and a link");
    assert!(head.contains("To: 0@clerk.example") && head.contains(&format!("Subject: {number}\n")), "{head}");
    for secret in [PLATE, "26-1234", "Clerk", "Millbrook", "warrant", &digest] {
        assert!(!first.contains(secret), "{secret}: {first}");
    }

    // Twenty minutes later the deputy is told; after the answer nobody is.
    town.clock.advance(Duration::from_secs(20 * 60));
    arrived(2).await;
    assert!(mail_of("2.eml").contains("To: 20@clerk.example"));
    let mut browser = Browser::new(page);
    browser.sign_in(&clerk).await;
    let csrf = browser.get("/").await.value("name=\"csrf\" value=\"");
    assert_eq!(browser.answer(&clerk, &digest, &csrf, "approve").await.status, 200);
    town.clock.advance(Duration::from_secs(60 * 60));
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(files_below(mails.path()).len(), 2);
    for place in 0..3 {
        town.stop(place).await;
    }
    let noted = std::fs::read_to_string(town.data(1).join("prompts.json")).unwrap();
    assert!(!noted.contains("clerk") && noted.len() < 200, "{noted}");
}
