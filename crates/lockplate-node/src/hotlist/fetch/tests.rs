//! Files of lists that are fetched, from real folders and a real server with TLS, read by what reads every load. Only the log and the
//! database are not there; with them it is tested in `crates/lockplate/tests/hotlists.rs`.

mod sftp;

use std::collections::VecDeque;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use futures_util::{StreamExt as _, stream};
use lockplate_core::hotlist::load::LoadOutcome;
use lockplate_core::hotlist::set::ListSettings;
use lockplate_core::person::ByPerson;
use lockplate_core::sign::SigningKey;
use lockplate_oprf::Secret;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;

use super::super::law::tests::law;
use super::super::loading;
use super::super::loading::tests::judged;
use super::super::store::ListRow;
use super::*;
use crate::http::{Limits, ListenOn, Server, TlsMode};
use crate::problem::ProblemKind;
use crate::shutdown::Tasks;

/// 2026-11-22T12:00:00Z.
const NOW: Timestamp = Timestamp(1_795_348_800);
const NOW_MS: u64 = NOW.0 * 1_000;
const SECRET: &str = "Bearer an-invented-secret";

fn config(agency: u8, kind: SetKind) -> ListConfig {
    ListConfig {
        agency: AgencyId([agency; 16]),
        name: "state".to_owned(),
        settings: ListSettings { list: [9; 16], kind, conf_min: 800, trust_jurisdiction: false },
        purpose: None,
        template: [0; 32],
        entries_max: 1_000,
        alert_key: None,
        serial: 1,
        retired: false,
        time: NOW,
    }
}

fn fetched() -> Fetched {
    Fetched { name: "state".to_owned(), from: From::Folder(PathBuf::new()), source_file: String::new() }
}

/// A file of the own format.
fn file(entries: usize) -> String {
    let mut text = header_line(entries);
    (0..entries).for_each(|number| text.push_str(&line(number)));
    text
}

fn header_line(entries: usize) -> String {
    format!(
        "{{\"list\":\"state\",\"mode\":\"full\",\"sequence\":1,\"produced_at\":\"2026-11-22T11:00:00Z\",\"entries\":{entries}}}\n"
    )
}

fn line(number: usize) -> String {
    format!(
        "{{\"entry_id\":\"e{number}\",\"plate\":\"ZKX{number:06}\",\"jurisdiction\":\"US-CT\",\"class\":\"stolenVehicle\",\
         \"source_file\":\"INV\",\"offence\":\"felony\",\"entered_at\":\"2026-11-21T12:00:00Z\",\
         \"expires_at\":\"2026-11-23T12:00:00Z\",\"case\":\"26-0042\",\"basis\":\"statutoryDuty\",\"agency\":\"CT0000000\"}}\n"
    )
}

/// The set in force, by its entries, and what became of the loads.
#[derive(Debug, Default)]
struct Recorder(Mutex<Told>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    entries: Option<u64>,
    sequences: Vec<u64>,
    refused: Vec<String>,
    is_away: bool,
}

impl Recorder {
    fn told(&self) -> Told {
        self.0.lock().unwrap().clone()
    }
}

impl Loads for Recorder {
    async fn load(
        &self,
        delivery: OrderedDelivery,
        _is_dated: bool,
        mut pieces: mpsc::Receiver<Option<Bytes>>,
    ) -> Result<LoadReport, Problem> {
        if self.0.lock().unwrap().is_away {
            return Err(ProblemKind::Unavailable.into());
        }
        let sequence = delivery.sequence;
        let reading = tokio::task::spawn_blocking(move || {
            let (law, config) = (law("CT"), config(1, SetKind::Extract));
            let judged = judged(&config, &law, None, delivery);
            let read = loading::read(&judged, &mut pieces, None).map_err(|why| why.label())?;
            let loaded = match read.outcome {
                LoadOutcome::Ready(loaded) => *loaded,
                LoadOutcome::Held(held) => held.into_loaded(),
                LoadOutcome::Void(void) => panic!("void: {:?}", void.why()),
            };
            Ok(loaded.set().entries())
        });
        let read = reading.await.unwrap();
        let mut told = self.0.lock().unwrap();
        let state = match read {
            Ok(entries) => {
                told.entries = Some(entries);
                told.sequences.push(sequence);
                "live"
            }
            Err(why) => {
                let why: &'static str = why;
                told.refused.push(why.to_owned());
                "refused"
            }
        };
        Ok(LoadReport { state: state.to_owned(), ..LoadReport::default() })
    }

    fn is_in_force(&self) -> bool {
        self.told().entries.is_some()
    }
}

fn folder_at(path: &Path) -> Folder {
    Folder::new(Shelf::Here(path.to_owned()))
}

fn put(path: &Path, text: &str, modified_ms: u64) {
    let mut file = File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_millis(modified_ms)).unwrap();
}

/// Two looks: what is there rests.
async fn looks(folder: &mut Folder, to: &Recorder) -> Result<(), NotFetched> {
    folder.look(&fetched(), NOW, to).await?;
    folder.look(&fetched(), NOW, to).await
}

#[tokio::test]
async fn a_file_of_a_folder_is_taken_once_it_rests_and_once() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path().join("drop");
    let (mut folder, to) = (folder_at(&at), Recorder::default());
    assert_eq!(looks(&mut folder, &to).await, Err(NotFetched::soon("the folder of its files cannot be read")));
    std::fs::create_dir(&at).unwrap();
    assert_eq!(looks(&mut folder, &to).await, Ok(()), "it came later");

    // What is no file that somebody put down whole.
    for name in ["list.part", "list.tmp", "list.filepart", ".list"] {
        put(&at.join(name), &file(1), NOW_MS);
    }
    std::fs::create_dir(at.join("folder")).unwrap();
    put(&place.path().join("outside"), &file(1), NOW_MS);
    symlink(place.path().join("outside"), at.join("link")).unwrap();
    assert_eq!(looks(&mut folder, &to).await, Ok(()));
    assert_eq!(to.told(), Told::default());

    // It grows between two looks.
    let whole = file(3);
    put(&at.join("a"), &whole[..400], NOW_MS - 60_000);
    folder.look(&fetched(), NOW, &to).await.unwrap();
    put(&at.join("a"), &whole, NOW_MS - 60_000);
    folder.look(&fetched(), NOW, &to).await.unwrap();
    assert_eq!(to.told(), Told::default(), "it grew");
    folder.look(&fetched(), NOW, &to).await.unwrap();
    assert_eq!((to.told().entries, to.told().sequences), (Some(3), vec![NOW_MS - 60_000]));
    looks(&mut folder, &to).await.unwrap();
    assert_eq!(to.told().sequences.len(), 1, "the same file once");

    // Another one of the same second comes after it; one whose time went back does not.
    put(&at.join("0"), &file(4), NOW_MS - 59_999);
    looks(&mut folder, &to).await.unwrap();
    put(&at.join("z"), &file(9), NOW_MS - 90_000);
    looks(&mut folder, &to).await.unwrap();
    assert_eq!((to.told().entries, to.told().sequences), (Some(4), vec![NOW_MS - 60_000, NOW_MS - 59_999]));

    // After a restart nothing of it is in memory: the newest is loaded again, under the same number.
    let after = Recorder::default();
    looks(&mut folder_at(&at), &after).await.unwrap();
    assert_eq!((after.told().entries, after.told().sequences), (Some(4), vec![NOW_MS - 59_999]));
}

#[tokio::test]
async fn the_name_of_a_file_that_nobody_loads_is_that_file_whatever_is_in_it() {
    for (name, entries) in [("stolen.ndjson", 3), ("NCIC_Immigration_Violators.ndjson", 0)] {
        let place = tempfile::tempdir().unwrap();
        let to = Recorder::default();
        put(&place.path().join(name), &file(3), NOW_MS - 60_000);
        looks(&mut folder_at(place.path()), &to).await.unwrap();
        assert_eq!(to.told().entries, Some(entries), "{name}");
    }
}

#[tokio::test]
async fn a_bad_file_is_judged_once_and_one_that_cannot_be_judged_again_and_again() {
    let at = tempfile::tempdir().unwrap();
    let (mut folder, to) = (folder_at(at.path()), Recorder::default());
    put(&at.path().join("1"), &file(2), NOW_MS - 9_000);
    looks(&mut folder, &to).await.unwrap();
    put(&at.path().join("2"), "no list at all\n", NOW_MS - 8_000);
    for _round in 0..3 {
        looks(&mut folder, &to).await.unwrap();
    }
    assert_eq!((to.told().entries, to.told().refused.len()), (Some(2), 1), "{:?}", to.told());

    // Its steward signs the list anew, with another template perhaps.
    let mut place = Place::Folder(folder);
    place.signed_anew();
    place.look(&fetched(), NOW, &to).await.unwrap();
    assert_eq!(to.told().refused.len(), 2);
    let Place::Folder(mut folder) = place else { panic!("it was a folder") };

    put(&at.path().join("3"), &file(5), NOW_MS - 7_000);
    to.0.lock().unwrap().is_away = true;
    assert_eq!(looks(&mut folder, &to).await, Err(AWAY));
    to.0.lock().unwrap().is_away = false;
    folder.look(&fetched(), NOW, &to).await.unwrap();
    assert_eq!(to.told().entries, Some(5));
    let mut place = Place::Folder(folder);
    place.signed_anew();
    place.look(&fetched(), NOW, &to).await.unwrap();
    assert_eq!(to.told().sequences.len(), 2, "what is in force is not loaded again");
}

#[tokio::test]
async fn where_nothing_is_in_force_the_last_good_file_is_and_that_a_newer_one_is_bad_is_said() {
    let at = tempfile::tempdir().unwrap();
    let (mut folder, to) = (folder_at(at.path()), Recorder::default());
    put(&at.path().join("1"), &file(2), NOW_MS - 9_000);
    put(&at.path().join("2"), "no list at all\n", NOW_MS - 8_000);
    put(&at.path().join("3"), "", NOW_MS - 7_000);
    let said = NotFetched::soon("a newer file was refused: the one before it is in force");
    for _round in 0..4 {
        let _not_yet = looks(&mut folder, &to).await;
    }
    assert_eq!(folder.look(&fetched(), NOW, &to).await, Err(said));
    assert_eq!((to.told().entries, to.told().refused.len()), (Some(2), 2), "each judged once");

    // A good one that is newer than all of them.
    put(&at.path().join("4"), &file(3), NOW_MS - 6_000);
    assert_eq!(folder.look(&fetched(), NOW, &to).await, Err(said));
    assert_eq!(folder.look(&fetched(), NOW, &to).await, Ok(()));
    assert_eq!((to.told().entries, to.told().refused.len()), (Some(3), 2));
}

#[tokio::test]
async fn a_file_of_tomorrow_does_not_stand_before_todays() {
    let at = tempfile::tempdir().unwrap();
    let (mut folder, to) = (folder_at(at.path()), Recorder::default());
    put(&at.path().join("tomorrow"), &file(7), NOW_MS + 86_400_000);
    put(&at.path().join("today"), &file(2), NOW_MS);
    let said = NotFetched::soon("a file has a time in the future: it is left out");
    assert_eq!(folder.look(&fetched(), NOW, &to).await, Err(said));
    assert_eq!(folder.look(&fetched(), NOW, &to).await, Err(said));
    assert_eq!(to.told().entries, Some(2));
}

#[test]
fn what_is_read_is_what_was_found_resting() {
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("list");
    let found = |path: &Path| Newest::of(path.to_owned(), &std::fs::symlink_metadata(path).unwrap());
    let sent = |newest: &Newest| {
        let (send, mut pieces) = mpsc::channel(64);
        let sent = send_file(newest, &send);
        drop(send);
        let mut bytes = Vec::new();
        let mut is_ended = false;
        while let Some(piece) = pieces.blocking_recv().flatten() {
            is_ended = piece.is_empty();
            bytes.extend_from_slice(&piece);
        }
        (sent, is_ended, bytes.len())
    };
    put(&path, &"x".repeat(150_000), NOW_MS);
    let newest = found(&path).unwrap();
    assert_eq!(sent(&newest), (Sent::Whole, true, 150_000));
    put(&path, &"x".repeat(150_001), NOW_MS);
    assert_eq!(sent(&newest), (Sent::Changed, false, 0));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(sent(&newest), (Sent::Unreadable, false, 0));
    put(&at.path().join("other"), &"x".repeat(150_000), NOW_MS);
    symlink(at.path().join("other"), &path).unwrap();
    assert_eq!(sent(&newest), (Sent::Unreadable, false, 0), "a link is not followed");
    assert_eq!(found(&path), None);
    assert_eq!(found(at.path()), None);
    let (send, pieces) = mpsc::channel(1);
    drop(pieces);
    assert_eq!(send_file(&found(&at.path().join("other")).unwrap(), &send), Sent::Unwanted);
}

/// What the server answers next; afterwards its file, as servers of files do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Status(StatusCode),
    Elsewhere,
    BrokenOff,
    Endless,
}

#[derive(Clone, Default)]
struct Source(Arc<Mutex<Serves>>);

#[derive(Default)]
struct Serves {
    file: String,
    etag: &'static str,
    modified: &'static str,
    next: VecDeque<Answer>,
    asked: Vec<(String, HeaderMap)>,
}

/// Set once nobody reads a body any more.
struct Ends(mpsc::Sender<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        let _nobody_waits = self.0.try_send(());
    }
}

async fn serve(State((source, ends)): State<(Source, mpsc::Sender<()>)>, uri: Uri, headers: HeaderMap) -> Response {
    let mut serves = source.0.lock().unwrap();
    serves.asked.push((uri.path().to_owned(), headers.clone()));
    match serves.next.pop_front() {
        Some(Answer::Status(status)) => return status.into_response(),
        Some(Answer::Elsewhere) => return Redirect::temporary("/elsewhere").into_response(),
        Some(Answer::BrokenOff) => {
            let half = serves.file[..serves.file.len() / 2].to_owned();
            let cut = async {
                // What came before is on the line by then.
                tokio::time::sleep(Duration::from_millis(200)).await;
                Err(std::io::Error::other("the line is cut"))
            };
            let pieces = stream::once(core::future::ready(Ok(half))).chain(stream::once(cut));
            let body = Body::from_stream(pieces);
            return ([(ETAG, serves.etag)], body).into_response();
        }
        Some(Answer::Endless) => {
            let (ends, mut number) = (Ends(ends), 0);
            let pieces = stream::repeat_with(move || {
                let _held_as_long = &ends;
                number += 1;
                let piece = if number == 1 { header_line(10) } else { line(number) };
                Ok::<_, std::io::Error>(piece)
            });
            return Body::from_stream(pieces).into_response();
        }
        None => {}
    }
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known == serves.etag) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let version = [(ETAG, serves.etag), (LAST_MODIFIED, serves.modified)];
    (version, serves.file.clone()).into_response()
}

/// Starts the server with a certificate of an authority of its own, whose file is made in `folder`. The address, and what says that a
/// body is not read any more.
async fn start(source: &Source, folder: &Path, tasks: &Tasks) -> (Address, mpsc::Receiver<()>) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let ca_file = folder.join("ca.pem");
    put(&ca_file, &authority.pem(), NOW_MS);
    let issuer = rcgen::Issuer::new(params, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    let on = ListenOn { addr: ([127, 0, 0, 1], 0).into(), tls: TlsMode::Pinned(Arc::new(tls)) };
    let server = Server::bind(on, Limits::default()).await.unwrap();
    let url = format!("https://{}/state.csv", server.local_addr());
    let (send, ended) = mpsc::channel(1);
    server.serve(Router::new().fallback(serve).with_state((source.clone(), send)), tasks);
    let authorization = folder.join("authorization");
    if !authorization.exists() {
        crate::settings::create_secret_file(&authorization, format!("{SECRET}\n").as_bytes()).unwrap();
    }
    let pull = PullTable {
        url,
        every_seconds: 60,
        ca_file: Some(ca_file),
        authorization_file: Some(authorization),
        host_key: None,
        key_file: None,
    };
    (Address::new(&pull), ended)
}

impl Source {
    fn of(entries: usize, etag: &'static str, modified: &'static str) -> Self {
        let source = Self::default();
        source.gives(entries, etag, modified);
        source
    }

    fn gives(&self, entries: usize, etag: &'static str, modified: &'static str) {
        let mut serves = self.0.lock().unwrap();
        (serves.file, serves.etag, serves.modified) = (file(entries), etag, modified);
    }

    /// The value of a header of the last question.
    fn asked(&self, name: header::HeaderName) -> Option<String> {
        let serves = self.0.lock().unwrap();
        let (_, headers) = serves.asked.last().unwrap();
        headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn an_address_is_asked_whether_its_file_is_another_one() {
    let (folder, tasks, to) = (tempfile::tempdir().unwrap(), Tasks::new(), Recorder::default());
    let source = Source::of(3, "\"v1\"", "Sun, 22 Nov 2026 11:00:00 GMT");
    let (mut address, _ended) = start(&source, folder.path(), &tasks).await;
    address.look(&fetched(), NOW, &to).await.unwrap();
    assert_eq!(source.asked(AUTHORIZATION).as_deref(), Some(SECRET));
    assert_eq!((source.asked(IF_NONE_MATCH), source.asked(IF_MODIFIED_SINCE)), (None, None));
    assert_eq!((to.told().entries, to.told().sequences), (Some(3), vec![NOW_MS - 3_600_000]));

    address.look(&fetched(), NOW, &to).await.unwrap();
    assert_eq!(source.asked(IF_NONE_MATCH).as_deref(), Some("\"v1\""));
    assert_eq!(source.asked(IF_MODIFIED_SINCE).as_deref(), Some("Sun, 22 Nov 2026 11:00:00 GMT"));
    assert_eq!((to.told().entries, to.told().sequences.len()), (Some(3), 1), "not modified: the set stays");

    // A new one; and one whose time is yet to come, which would stand before all that follow.
    source.gives(4, "\"v2\"", "Sun, 22 Nov 2026 11:30:00 GMT");
    address.look(&fetched(), NOW, &to).await.unwrap();
    source.gives(5, "\"v3\"", "Tue, 22 Nov 2033 11:30:00 GMT");
    address.look(&fetched(), NOW, &to).await.unwrap();
    assert_eq!(to.told().entries, Some(5));
    assert_eq!(to.told().sequences, [NOW_MS - 3_600_000, NOW_MS - 1_800_000, NOW_MS]);

    // After a restart nothing is known, neither of the file nor what was said of it.
    let after = Recorder::default();
    Address::new(&address.pull).look(&fetched(), NOW, &after).await.unwrap();
    assert_eq!((after.told().entries, source.asked(IF_NONE_MATCH)), (Some(5), None));
    tasks.finish(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn what_is_no_whole_file_leaves_the_set_before_and_is_said() {
    let (folder, tasks, to) = (tempfile::tempdir().unwrap(), Tasks::new(), Recorder::default());
    let source = Source::of(3, "\"v1\"", "Sun, 22 Nov 2026 11:00:00 GMT");
    let (mut address, mut ended) = start(&source, folder.path(), &tasks).await;
    address.look(&fetched(), NOW, &to).await.unwrap();
    source.gives(4, "\"v2\"", "Sun, 22 Nov 2026 11:30:00 GMT");
    for (answer, why) in [
        (Answer::Status(StatusCode::INTERNAL_SERVER_ERROR), "the address answers with an error"),
        (Answer::Status(StatusCode::NO_CONTENT), "the address answers with an error"),
        (Answer::Status(StatusCode::NOT_FOUND), "the address has no file"),
        (Answer::Status(StatusCode::UNAUTHORIZED), "the address refuses the authorization"),
        (Answer::Elsewhere, "the address sends elsewhere, where nobody follows"),
        (Answer::BrokenOff, "the file broke off on its way"),
    ] {
        source.0.lock().unwrap().next.push_back(answer);
        assert_eq!(address.look(&fetched(), NOW, &to).await, Err(NotFetched::later(why)));
        assert_eq!((to.told().entries, to.told().sequences.len()), (Some(3), 1), "{why}");
        assert_eq!(source.asked(IF_NONE_MATCH).as_deref(), Some("\"v1\""), "{why}");
    }
    assert!(source.0.lock().unwrap().asked.iter().all(|(path, _)| path == "/state.csv"), "nobody followed");
    // Of the one that broke off nothing was remembered, its name neither: it is asked for again.
    address.look(&fetched(), NOW, &to).await.unwrap();
    assert_eq!(to.told().entries, Some(4));

    // A file without an end is read until it is more than it said, and then nobody listens any more.
    source.0.lock().unwrap().next.push_back(Answer::Endless);
    address.look(&fetched(), NOW, &to).await.unwrap();
    ended.recv().await.unwrap();
    assert_eq!((to.told().entries, to.told().refused.len()), (Some(4), 2));

    // What cannot be read as a list is judged once.
    source.0.lock().unwrap().file = "no list at all\n".to_owned();
    source.0.lock().unwrap().etag = "\"v3\"";
    for _round in 0..3 {
        address.look(&fetched(), NOW, &to).await.unwrap();
    }
    assert_eq!((to.told().entries, to.told().refused.len()), (Some(4), 3));

    // The log is away: asked for again.
    source.gives(6, "\"v4\"", "Sun, 22 Nov 2026 11:45:00 GMT");
    to.0.lock().unwrap().is_away = true;
    assert_eq!(address.look(&fetched(), NOW, &to).await, Err(AWAY));
    to.0.lock().unwrap().is_away = false;
    address.look(&fetched(), NOW, &to).await.unwrap();
    assert_eq!(to.told().entries, Some(6));

    // A machine that somebody else vouches for is asked nothing and shown nothing.
    let other = tempfile::tempdir().unwrap();
    let (stranger, _ended) = start(&source, other.path(), &tasks).await;
    let asked = source.0.lock().unwrap().asked.len();
    address.pull.url = stranger.pull.url.clone();
    let untrusted = NotFetched::later("the address cannot be reached, or its certificate is not trusted");
    assert_eq!(address.look(&fetched(), NOW, &to).await, Err(untrusted));
    address.pull.ca_file = Some(folder.path().join("nothing"));
    let unread = NotFetched::later("the certificates to trust cannot be read");
    assert_eq!(address.look(&fetched(), NOW, &to).await, Err(unread));
    assert_eq!((to.told().entries, source.0.lock().unwrap().asked.len()), (Some(6), asked));
    tasks.finish(Duration::from_secs(5)).await.unwrap();
}

#[test]
fn only_own_lists_that_nobody_has_to_sign_for_are_fetched() {
    let own = AgencyId([1; 16]);
    assert_eq!(refuses(&config(1, SetKind::Extract), own), None);
    assert_eq!(refuses(&config(1, SetKind::Amber), own), None);
    assert!(refuses(&config(1, SetKind::Custom), own).is_some());
    assert!(refuses(&config(2, SetKind::Extract), own).is_some());
}

#[test]
fn what_stands_in_the_way_is_on_the_list_for_as_long_as_it_lasts() {
    let key = SigningKey::from_seed(&Secret::new([8; 32]));
    let row = ListRow {
        list: [9; 16],
        name: "state".to_owned(),
        config: ByPerson::with_key(&key, config(1, SetKind::Extract)).to_bytes(),
        approval: None,
        template: None,
        directory: None,
        mfa: true,
    };
    let list = List::of(row).unwrap();
    let said = || locked(&list.note).refused;
    let mut trouble = Trouble::default();
    locked(&list.note).refused = Some("the file is empty");
    trouble.is(&list, "no folder");
    trouble.is(&list, "no file");
    trouble.is(&list, "no file");
    assert_eq!(said(), Some("no file"));
    trouble.is_over(&list);
    assert_eq!(said(), Some("the file is empty"), "what a load said before is so still");
    trouble.is(&list, "no file");
    // A load by hand meanwhile.
    locked(&list.note).refused = None;
    trouble.is_over(&list);
    assert_eq!(said(), None);
}
