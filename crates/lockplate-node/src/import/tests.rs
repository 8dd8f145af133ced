use super::*;
use crate::http::{Limits, ListenOn, Server, TlsMode};
use crate::intake::Door;
use crate::intake::tests::{IMPORT_KEY, NOW_MS, Town, town};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

async fn served() -> (Town, ImportClient) {
    let town = town().await;
    let on = ListenOn { addr: ([127, 0, 0, 1], 0).into(), tls: TlsMode::PlainLoopback };
    let server = Server::bind(on, Limits::default()).await.unwrap();
    let base = format!("http://{}", server.local_addr());
    server.serve(town.state.routes(Door::Protected), &town.tasks);
    let client = ImportClient::new(&base, PeerTrust::PlainLoopback, &Zeroizing::new(IMPORT_KEY)).unwrap();
    (town, client)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    use std::io::Write as _;
    let path = folder.join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

async fn with_cameras(client: &ImportClient, folder: &Path) {
    let csv = "camera,agency,lat,lon,road\ncam-01,north-pd,44.8,-68.7,Union Street\ncam-02,south-pd,44.9,-68.8,\n";
    let file = write(folder, "cameras.csv", csv.as_bytes());
    assert_eq!(client.add_cameras(&file).await.unwrap(), CamerasAdded { added: 2, known: 0 });
    assert_eq!(
        client.add_cameras(&file).await.unwrap(),
        CamerasAdded { added: 0, known: 2 },
        "a repeat changes nothing"
    );
}

fn plan(file: PathBuf, folder: &Path) -> ImportPlan {
    ImportPlan { state_folder: folder.to_owned(), fields: "traffic".into(), ..ImportPlan::new(file) }
}

/// Lines as in the traffic data: a third of them the same plate at the same camera within a second.
fn traffic(lines: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for at in 0..lines {
        let plate = if at % 3 == 0 { "SAME1".to_owned() } else { format!("T{at}") };
        let camera = 1 + at % 2;
        let ms = NOW_MS - 86_400_000 + i64::try_from(at).unwrap();
        let line = format!(
            "{{\"plate\":\"{plate}\",\"state\":\"CT\",\"time\":{ms},\"camera\":\"cam-0{camera}\",\"lat\":1.5,\"confidence\":0.9}}\n"
        );
        out.extend(line.bytes());
    }
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_upload_goes_on_without_a_duplicate_or_a_loss() {
    let (town, client) = served().await;
    let folder = tempfile::tempdir().unwrap();
    with_cameras(&client, folder.path()).await;
    let lines = 20_000;
    let plan = plan(write(folder.path(), "reads.ndjson.gz", &gzip(&traffic(lines))), folder.path());

    // The first run is cut off while its third chunk or so is being sealed.
    *town.sink.limit.lock().unwrap() = Some(12_288);
    let (tell, mut told) = mpsc::unbounded_channel();
    let cut = client.import(&plan, |progress| tell.send(*progress).unwrap());
    tokio::select! {
        _ = cut => panic!("the import ended before it was cut off"),
        () = async { told.recv().await.unwrap(); told.recv().await.unwrap(); } => {}
    }
    *town.sink.limit.lock().unwrap() = None;
    let resume: Vec<_> = std::fs::read_dir(folder.path().join(RESUME_FOLDER)).unwrap().collect();
    let text = std::fs::read_to_string(resume[0].as_ref().unwrap().path()).unwrap();
    let digits = text.strip_prefix("{\"next_line\":").and_then(|rest| rest.strip_suffix('}'));
    let next_line: u64 = digits.expect("a line number and nothing else").parse().unwrap();
    assert!(next_line >= 8_193 && next_line % 4_096 == 1, "{next_line}");

    let mut last = ImportProgress::default();
    let report = client.import(&plan, |progress| last = *progress).await.unwrap();
    assert_eq!(report.resumed_from, Some(next_line));
    assert_eq!((report.lines, report.rejected), (20_000, 0));
    assert_eq!(last.bytes_done, last.bytes_total);
    assert_eq!(town.sink.late_done.load(Ordering::SeqCst), 1);
    let sealed = town.sink.sealed.lock().unwrap().clone();
    let mut found = BTreeMap::<i64, u32>::new();
    for (read, placement) in &sealed {
        *found.entry(read.captured_at).or_default() += 1;
        assert_eq!(*placement, crate::intake::tests::late(read.captured_at));
        assert_eq!(read.jurisdiction.map(|code| code.code().to_owned()).as_deref(), Some("US-CT"));
        assert!(!read.jurisdiction_trusted);
    }
    assert!(found.len() == lines && found.values().all(|count| *count == 1), "{} of {lines}", found.len());
    assert_eq!(std::fs::read_dir(folder.path().join(RESUME_FOLDER)).unwrap().count(), 0, "nothing to go on from");

    // The whole file again: every line is known.
    let again = client.import(&plan, |_| ()).await.unwrap();
    assert_eq!((again.accepted, again.duplicate), (0, 20_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_lines_are_counted_with_their_numbers_and_good_ones_kept() {
    let (town, client) = served().await;
    let folder = tempfile::tempdir().unwrap();
    with_cameras(&client, folder.path()).await;
    let mut lines: Vec<String> = String::from_utf8(traffic(9_000)).unwrap().lines().map(str::to_owned).collect();
    lines[2] = "nonsense".into();
    lines[4] = String::new();
    lines[4_100] = lines[4_100].replace("cam-0", "cam-9");
    lines[5_000] = "x".repeat(600 * 1024);
    lines[8_999] = lines[8_999].replace("\"time\":", "\"time\":1000000000000,\"was\":");
    let plan = plan(write(folder.path(), "reads.ndjson", lines.join("\n").as_bytes()), folder.path());
    let report = client.import(&plan, |_| ()).await.unwrap();
    let problems: Vec<_> = report.problems.iter().map(|problem| (problem.line, problem.r#type.as_str())).collect();
    assert_eq!(
        problems,
        [
            (3, "intake-malformed"),
            (4_101, "intake-unknown-camera"),
            (5_001, "intake-too-large"),
            (9_000, "intake-too-old")
        ]
    );
    assert_eq!((report.lines, report.accepted, report.rejected), (9_000, 8_995, 4));
    assert_eq!(town.sink.texts().len(), 8_995);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_with_quoted_line_breaks_keeps_its_line_numbers_across_chunks() {
    let (town, client) = served().await;
    let folder = tempfile::tempdir().unwrap();
    with_cameras(&client, folder.path()).await;
    let mut text = String::from("\u{feff}note,captured_at,\"camera\",plate\r\n");
    for at in 0..6_000 {
        // Every record takes two lines.
        text += &format!("\"a \"\"note\"\"\nof two lines\",{},cam-01,CSV{at}\r\n", NOW_MS - 1_000_000 + at);
    }
    text += "x,yesterday,cam-01,BAD\n";
    let file = write(folder.path(), "reads.csv", text.as_bytes());
    let plan = ImportPlan { fields: "own".into(), ..plan(file, folder.path()) };
    let report = client.import(&plan, |_| ()).await.unwrap();
    assert_eq!((report.accepted, report.rejected, report.lines), (6_000, 1, 12_002));
    assert_eq!((report.problems[0].line, report.problems[0].r#type.as_str()), (12_002, "intake-out-of-range"));
    assert_eq!(town.sink.texts().len(), 6_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_cameras_of_a_group_are_taken() {
    let (town, client) = served().await;
    let folder = tempfile::tempdir().unwrap();
    with_cameras(&client, folder.path()).await;
    let file = write(folder.path(), "reads.ndjson", &traffic(100));
    let north =
        ImportPlan { group: Some("north-pd".into()), trust_jurisdiction: true, ..plan(file.clone(), folder.path()) };
    let report = client.import(&north, |_| ()).await.unwrap();
    assert_eq!((report.accepted, report.skipped, report.rejected), (50, 50, 0));
    let trusted = town.sink.sealed.lock().unwrap().iter().all(|(read, _)| read.jurisdiction_trusted);
    assert!(trusted);
    let all = client.import(&plan(file, folder.path()), |_| ()).await.unwrap();
    assert_eq!((all.accepted, all.duplicate), (50, 50), "the other half, and what is there stays there");
}

#[tokio::test]
async fn a_camera_that_cannot_be_logged_now_is_said_at_once() {
    let (town, calls) = (town().await, Arc::new(std::sync::atomic::AtomicU32::new(0)));
    let on = ListenOn { addr: ([127, 0, 0, 1], 0).into(), tls: TlsMode::PlainLoopback };
    let server = Server::bind(on, Limits::default()).await.unwrap();
    let base = format!("http://{}", server.local_addr());
    let counted = calls.clone();
    let away = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { axum::response::IntoResponse::into_response(ProblemKind::Unavailable) }
    };
    server.serve(axum::Router::new().fallback(away), &town.tasks);
    let client = ImportClient::new(&base, PeerTrust::PlainLoopback, &Zeroizing::new(IMPORT_KEY)).unwrap();
    let camera = serde_json::from_str(r#"{"key":"c","place":"Main Street"}"#).unwrap();
    let refused = client.register(camera).await.unwrap_err();
    assert_eq!((refused.exit_kind(), calls.load(Ordering::SeqCst)), (ExitKind::Unavailable, 1));
}

#[tokio::test]
async fn without_the_import_key_nothing_is_taken() {
    let (town, client) = served().await;
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "reads.ndjson", &traffic(3));
    let stranger = ImportClient::new(&client.base, PeerTrust::PlainLoopback, &Zeroizing::new([1; 32])).unwrap();
    let refused = stranger.import(&plan(file, folder.path()), |_| ()).await.unwrap_err();
    assert_eq!(refused.exit_kind(), ExitKind::Config);
    let cameras = write(folder.path(), "cameras.csv", b"camera\ncam-01\n");
    assert!(stranger.add_cameras(&cameras).await.is_err() && stranger.done().await.is_err());
    assert!(town.sink.texts().is_empty() && town.sink.late_done.load(Ordering::SeqCst) == 0);
    assert!(!format!("{stranger:?}").contains("AQEB"));
}

#[tokio::test]
async fn files_that_are_none_are_refused_with_their_name() {
    let (_town, client) = served().await;
    let folder = tempfile::tempdir().unwrap();
    let missing = client.import(&plan(folder.path().join("none"), folder.path()), |_| ()).await.unwrap_err();
    assert!(matches!(missing, ImportError::File(..)) && missing.exit_kind() == ExitKind::Usage);
    for (at, text) in
        ["plate\nx\n", "camera,lat,lon\ncam,91,0\n", "camera,lat\ncam,north\n", "camera\na,b\n"].iter().enumerate()
    {
        let file = write(folder.path(), &format!("{at}.csv"), text.as_bytes());
        assert!(matches!(client.add_cameras(&file).await.unwrap_err(), ImportError::Cameras(..)), "{text}");
    }
    with_cameras(&client, folder.path()).await;
    let mut cut = gzip(&traffic(10));
    cut.truncate(cut.len() - 12);
    let zstd = ruzstd::encoding::compress_to_vec(&*traffic(10), ruzstd::encoding::CompressionLevel::Fastest);
    let files = [("cut.ndjson.gz", &cut[..]), ("cut.ndjson.zst", &zstd[..zstd.len() - 6])];
    for (name, bytes) in files {
        let file = write(folder.path(), name, bytes);
        let error = client.import(&plan(file, folder.path()), |_| ()).await.unwrap_err();
        assert!(matches!(error, ImportError::File(..)), "{error}");
    }
    let whole = write(folder.path(), "whole.ndjson.zst", &zstd);
    assert_eq!(client.import(&plan(whole, folder.path()), |_| ()).await.unwrap().lines, 10);
}
