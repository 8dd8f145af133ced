//! The client of `lockplate import`: a file of reads goes to an agency in chunks, bad lines are reported by number and the
//! good ones kept, and an interrupted run goes on where it stopped. It must never keep a read on disk: the resume file
//! holds a line number and nothing else. The agency's side is [`crate::intake`].
//!
//! Repeats are harmless while the agency remembers (24 h, this process): a line's id is its own or comes from the file's
//! digest and its number. The rule "same camera and plate within 10 s is one read" is not applied to files.

mod chunks;
#[cfg(test)]
mod tests;

use core::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use lockplate_intake::limits::ID_BYTES_MAX;
use lockplate_intake::own::{FieldMap, Form};
use lockplate_store::durable;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::api::{CameraChanged, CameraEdit, CameraTested, Done, ImportAnswer, ImportProblem};
use crate::client::{AddressError, CallLimits, PeerClient, PeerError, PeerTrust};
use crate::intake::{
    CAMERAS_OF_CALL_MAX, CameraHealth, CamerasAdded, CamerasNew, HEADER_FIELDS, HEADER_FILE, HEADER_GROUP,
    HEADER_LINE_OFFSET, HEADER_TRUST, NewCamera, token_text,
};
use crate::problem::ProblemKind;
use crate::shutdown::ExitKind;
use chunks::{Chunk, Reading};

/// Refused lines listed in a report; the rest is only counted.
pub const REPORT_PROBLEMS_MAX: usize = 1_000;

/// Chunks under way at a time: one is synced, one sealed, one read by the agency.
const CHUNKS_IN_FLIGHT: usize = 3;

/// Bytes of a camera file.
const CAMERAS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Tries of one call while the agency cannot take reads or cannot be reached: five minutes at the longest pause.
const TRIES_MAX: u32 = 64;

/// Tries while late epochs close: each waits up to 20 s at the agency.
const DONE_TRIES_MAX: u32 = 360;

const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Folder of resume files below the one of the plan.
const RESUME_FOLDER: &str = ".lockplate-import";

/// What to bring in, and how to read it.
#[derive(Clone, Debug)]
pub struct ImportPlan {
    /// NDJSON or CSV, plain, gzip or zstd (told apart by their first bytes).
    pub file: PathBuf,
    /// `None`: by the name (`.csv`, `.csv.gz`: CSV; anything else: NDJSON).
    pub form: Option<Form>,
    /// Preset of field names: `own`, `traffic` or `fast-alpr`.
    pub fields: String,
    /// Only cameras of this group of the register.
    pub group: Option<String>,
    /// A named jurisdiction without a confidence becomes part of the key.
    pub trust_jurisdiction: bool,
    /// Folder in which `.lockplate-import/` stands.
    pub state_folder: PathBuf,
    /// Begin with the first line, whatever a resume file says.
    pub restart: bool,
}

impl ImportPlan {
    /// A file in the own format, resumable from the working directory.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        Self {
            file,
            form: None,
            fields: "own".into(),
            group: None,
            trust_jurisdiction: false,
            state_folder: PathBuf::from("."),
            restart: false,
        }
    }

    fn form(&self) -> Form {
        let name = self.file.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let is_csv = [".gz", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name).ends_with(".csv");
        self.form.unwrap_or(if is_csv { Form::Csv { latin: false } } else { Form::Ndjson })
    }
}

/// How far an import is; handed to the caller after each chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Bytes of the file (packed, if it is) that are behind.
    pub bytes_done: u64,
    /// Bytes of the file.
    pub bytes_total: u64,
    /// Lines that are behind.
    pub lines_done: u64,
    /// Reads accepted so far.
    pub accepted: u64,
    /// Lines refused so far.
    pub rejected: u64,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Lines of the file.
    pub lines: u64,
    /// Reads sealed.
    pub accepted: u64,
    /// Reads seen before.
    pub duplicate: u64,
    /// Lines without a readable plate.
    pub unreadable: u64,
    /// Lines of cameras of other groups.
    pub skipped: u64,
    /// Lines refused.
    pub rejected: u64,
    /// The first [`REPORT_PROBLEMS_MAX`] of them, by line.
    pub problems: Vec<ImportProblem>,
    /// The line an earlier, broken run went on from.
    pub resumed_from: Option<u64>,
}

impl ImportReport {
    fn add(&mut self, answer: ImportAnswer) {
        let ImportAnswer { accepted, duplicate, unreadable, skipped, rejected, problems } = answer;
        for (sum, more) in [
            (&mut self.accepted, accepted),
            (&mut self.duplicate, duplicate),
            (&mut self.unreadable, unreadable),
            (&mut self.skipped, skipped),
            (&mut self.rejected, rejected),
        ] {
            *sum = sum.saturating_add(more);
        }
        let room = REPORT_PROBLEMS_MAX.saturating_sub(self.problems.len());
        self.problems.extend(problems.into_iter().take(room));
    }
}

/// Why an import stopped. What was acknowledged is durable; the same command goes on from there.
#[derive(Debug)]
pub enum ImportError {
    /// The file cannot be read, or is not what its packing says.
    File(PathBuf, std::io::Error),
    /// The camera file is not one.
    Cameras(PathBuf, &'static str),
    /// A setting of the plan, or a field of a camera, is wrong; nothing was sent.
    Plan(&'static str),
    /// The agency's address.
    Address(AddressError),
    /// The agency, while it took a file.
    Peer(PeerError),
    /// The agency, while it kept the register of cameras.
    Register(PeerError),
    /// The resume file cannot be written.
    Resume(PathBuf, durable::Error),
}

impl ImportError {
    /// The exit code that fits.
    #[must_use]
    pub fn exit_kind(&self) -> ExitKind {
        match self {
            Self::File(..) | Self::Cameras(..) | Self::Plan(_) => ExitKind::Usage,
            Self::Address(error) => error.exit_kind(),
            Self::Resume(..) => ExitKind::Unavailable,
            Self::Peer(error) | Self::Register(error) => match error {
                PeerError::WrongKey => ExitKind::Lied,
                PeerError::Problem(problem) => match problem.kind().status() {
                    401 | 404 => ExitKind::Config,
                    400..=499 => ExitKind::Usage,
                    _ => ExitKind::Unavailable,
                },
                PeerError::Unreachable | PeerError::TimedOut => ExitKind::Unavailable,
                PeerError::TooLarge | PeerError::Malformed | PeerError::Unsendable => ExitKind::Internal,
            },
        }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, _) => write!(f, "{}: the file cannot be read", path.display()),
            Self::Cameras(path, what) => write!(f, "{}: {what}", path.display()),
            Self::Plan(what) => f.write_str(what),
            Self::Address(error) => error.fmt(f),
            Self::Peer(error) => {
                write!(f, "the agency did not take the file: {error}\nrun the same command again to go on")
            }
            Self::Register(error) => {
                write!(f, "the register of cameras is not as it was asked for: {error}")
            }
            Self::Resume(path, _) => write!(f, "{}: how far the import is cannot be written down", path.display()),
        }
    }
}

impl core::error::Error for ImportError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::File(_, cause) => Some(cause),
            Self::Address(cause) => Some(cause),
            Self::Peer(cause) | Self::Register(cause) => Some(cause),
            Self::Resume(_, cause) => Some(cause),
            Self::Cameras(..) | Self::Plan(_) => None,
        }
    }
}

/// What a resume file holds: a line number and nothing else.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {
    next_line: u64,
}

/// The part of the health page that is about cameras.
#[derive(Deserialize)]
struct CamerasOf {
    cameras: Vec<CameraHealth>,
}

/// An agency that takes files.
pub struct ImportClient {
    peer: PeerClient,
    base: String,
    bearer: HeaderValue,
}

impl fmt::Debug for ImportClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportClient").field("base", &self.base).finish_non_exhaustive()
    }
}

impl ImportClient {
    /// A client of the agency at `base`; `key` is its import key ([`crate::settings::read_secret`]). Connects to nothing
    /// yet.
    ///
    /// # Errors
    /// `Address`.
    pub fn new(base: &str, trust: PeerTrust, key: &Zeroizing<[u8; 32]>) -> Result<Self, ImportError> {
        let limits = CallLimits { total: Duration::from_secs(60), ..CallLimits::default() };
        let peer = PeerClient::new(base, trust, limits).map_err(ImportError::Address)?;
        let text = Zeroizing::new(format!("Bearer {}", token_text(key).as_str()));
        let mut bearer = HeaderValue::from_str(&text).map_err(|_text| ImportError::Peer(PeerError::Unsendable))?;
        bearer.set_sensitive(true);
        Ok(Self { peer, base: base.trim_end_matches('/').to_owned(), bearer })
    }

    /// Registers the cameras of a CSV file: columns `camera` (or `key`), `lat`, `lon`, `place` (or `road`), `agency` (or
    /// `group`), `source`, `purpose`, `zone`; only the first is mandatory, others are ignored. Cameras that are there stay as
    /// they are.
    ///
    /// # Errors
    /// `Cameras` for a file that is none (nothing was sent); `Register` after minutes of trying: some may be registered all the
    /// same, and a repeat registers the rest.
    pub async fn add_cameras(&self, file: &Path) -> Result<CamerasAdded, ImportError> {
        self.register_all(&read_cameras(file)?, TRIES_MAX).await
    }

    /// Registers one camera. If it is there it stays as it is.
    ///
    /// # Errors
    /// `Plan`; `Register`, at once: a repeat is harmless.
    pub async fn register(&self, camera: NewCamera) -> Result<CamerasAdded, ImportError> {
        if let Some(fault) = camera.fault() {
            return Err(ImportError::Plan(fault.says));
        }
        self.register_all(&[camera], 1).await
    }

    async fn register_all(&self, cameras: &[NewCamera], tries: u32) -> Result<CamerasAdded, ImportError> {
        let mut sum = CamerasAdded { added: 0, known: 0 };
        for batch in cameras.chunks(CAMERAS_OF_CALL_MAX) {
            let added: CamerasAdded = self.tell("/v1/cameras", &CamerasNew { cameras: batch.to_vec() }, tries).await?;
            sum.added = sum.added.saturating_add(added.added);
            sum.known = sum.known.saturating_add(added.known);
        }
        Ok(sum)
    }

    /// Changes a camera.
    ///
    /// # Errors
    /// `Plan`; `Register`: a repeat is harmless.
    pub async fn change_camera(&self, camera: u32, edit: &CameraEdit) -> Result<CameraChanged, ImportError> {
        if let Some(fault) = edit.fault() {
            return Err(ImportError::Plan(fault.says));
        }
        self.tell(&format!("/v1/cameras/{camera}"), edit, 1).await
    }

    /// How each camera stands that was not removed.
    ///
    /// # Errors
    /// `Register`.
    pub async fn camera_health(&self) -> Result<Vec<CameraHealth>, ImportError> {
        let told = self.peer.get_with("/v1/intake/health", self.headers()).await.map_err(ImportError::Register)?;
        Ok(decode::<CamerasOf>(&told)?.cameras)
    }

    /// Has an invented read of a camera sealed; how far it came.
    ///
    /// # Errors
    /// `Register`.
    pub async fn test_camera(&self, camera: u32) -> Result<CameraTested, ImportError> {
        let sent = self.peer.post_with(&format!("/v1/cameras/{camera}/test"), self.headers(), Bytes::new()).await;
        decode(&sent.map_err(ImportError::Register)?)
    }

    /// Says something of cameras that is harmless to repeat.
    async fn tell<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        tries: u32,
    ) -> Result<T, ImportError> {
        let body = serde_json::to_vec(body).map_err(|_our_type| ImportError::Register(PeerError::Unsendable))?;
        let mut headers = self.headers();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.call(path, &headers, &Bytes::from(body), tries).await {
            Ok(bytes) => decode(&bytes),
            Err(ImportError::Peer(error)) => Err(ImportError::Register(error)),
            Err(error) => Err(error),
        }
    }

    /// Brings a file in, chunk by chunk, then closes the late epochs so that its reads can be searched. `on_progress` is
    /// called after each chunk. When this returns `Ok` every accepted read is durable and in the archive.
    ///
    /// # Errors
    /// [`ImportError`]; the same call goes on after the last chunk that was acknowledged in order.
    pub async fn import(
        &self,
        plan: &ImportPlan,
        mut on_progress: impl FnMut(&ImportProgress),
    ) -> Result<ImportReport, ImportError> {
        let file_error = |cause| ImportError::File(plan.file.clone(), cause);
        let path = plan.file.clone();
        let digest = tokio::task::spawn_blocking(move || digest_of(&path));
        let (digest, bytes_total) =
            digest.await.map_err(|_panicked| ImportError::Peer(PeerError::Unsendable))?.map_err(file_error)?;
        let headers = self.chunk_headers(plan, &digest)?;
        let resume = self.resume_file(plan, &digest)?;
        let first_line = if plan.restart { 1 } else { resume_from(&resume) };
        let mut report =
            ImportReport { resumed_from: Some(first_line).filter(|line| *line > 1), ..ImportReport::default() };
        let mut progress = ImportProgress { bytes_total, ..ImportProgress::default() };

        let (give, take) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let reading = Reading { path: plan.file.clone(), form: plan.form(), first_line };
        let reader = tokio::task::spawn_blocking(move || reading.run(&give));
        let chunks = stream::unfold(take, |mut take| async move { take.recv().await.map(|chunk| (chunk, take)) });
        let headers = &headers;
        let mut answers = core::pin::pin!(
            chunks.map(|chunk| async move { self.send(headers, chunk).await }).buffered(CHUNKS_IN_FLIGHT)
        );
        while let Some(answered) = answers.next().await {
            let (chunk, answer) = answered?;
            report.add(answer);
            report.lines = chunk.next_line.saturating_sub(1);
            progress.bytes_done = chunk.bytes_done.min(bytes_total);
            progress.lines_done = report.lines;
            (progress.accepted, progress.rejected) = (report.accepted, report.rejected);
            let text = serde_json::to_vec(&Resume { next_line: chunk.next_line }).unwrap_or_default();
            durable::replace(&resume, &text).map_err(|cause| ImportError::Resume(resume.clone(), cause))?;
            on_progress(&progress);
        }
        reader.await.map_err(|_panicked| ImportError::Peer(PeerError::Unsendable))?.map_err(file_error)?;
        self.done().await?;
        // The file is in: a later run begins anew, so that an agency with a new archive gets all of it.
        durable::remove(&resume).map_err(|cause| ImportError::Resume(resume.clone(), cause))?;
        report.problems.sort_by_key(|problem| problem.line);
        Ok(report)
    }

    /// Closes the late epochs and waits until they are in the archive. Part of [`import`](Self::import).
    ///
    /// # Errors
    /// `Peer`.
    pub async fn done(&self) -> Result<(), ImportError> {
        let bytes = self.call("/v1/import/done", &self.headers(), &Bytes::new(), DONE_TRIES_MAX).await?;
        decode::<Done>(&bytes).map(drop)
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.bearer.clone());
        headers
    }

    fn chunk_headers(&self, plan: &ImportPlan, digest: &[u8; 32]) -> Result<HeaderMap, ImportError> {
        if FieldMap::preset(&plan.fields).is_none() {
            return Err(ImportError::Plan("the field names must be `own`, `traffic` or `fast-alpr`"));
        }
        let mut headers = self.headers();
        let mut put = |name: HeaderName, text: &str| match HeaderValue::from_bytes(text.as_bytes()) {
            Ok(value) => {
                headers.insert(name, value);
                Ok(())
            }
            Err(_control) => Err(ImportError::Plan("the group name has characters that no group has")),
        };
        put(HEADER_FILE, &hex::encode(digest))?;
        put(HEADER_FIELDS, &plan.fields)?;
        put(HEADER_TRUST, if plan.trust_jurisdiction { "true" } else { "false" })?;
        put(CONTENT_TYPE, content_type(plan.form()))?;
        if let Some(group) = &plan.group {
            if group.is_empty() || group.len() > ID_BYTES_MAX {
                return Err(ImportError::Plan("a group name has 1 to 128 bytes"));
            }
            put(HEADER_GROUP, group)?;
        }
        Ok(headers)
    }

    async fn send(&self, headers: &HeaderMap, chunk: Chunk) -> Result<(Chunk, ImportAnswer), ImportError> {
        let mut answer =
            ImportAnswer { accepted: 0, duplicate: 0, unreadable: 0, skipped: 0, rejected: 0, problems: Vec::new() };
        if !chunk.body.is_empty() {
            let mut headers = headers.clone();
            headers.insert(HEADER_LINE_OFFSET, HeaderValue::from(chunk.line_offset));
            let bytes = self.call("/v1/import", &headers, &chunk.body, TRIES_MAX).await?;
            answer = decode(&bytes)?;
        }
        let slug = lockplate_intake::Slug::TooLarge.text();
        for line in &chunk.too_long {
            answer.rejected = answer.rejected.saturating_add(1);
            answer.problems.push(ImportProblem { line: *line, r#type: slug.into(), pointer: None });
        }
        Ok((chunk, answer))
    }

    /// Repeats what is harmless to repeat, as everything here is, with growing pauses.
    async fn call(&self, path: &str, headers: &HeaderMap, body: &Bytes, tries: u32) -> Result<Bytes, ImportError> {
        let mut pause = PAUSE_FIRST;
        let mut left = tries;
        loop {
            let error = match self.peer.post_with(path, headers.clone(), body.clone()).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            left = left.saturating_sub(1);
            if left == 0 || !passes(&error) {
                return Err(ImportError::Peer(error));
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    /// Named after everything that changes what the agency would store: file, agency, field names, group, trust.
    fn resume_file(&self, plan: &ImportPlan, digest: &[u8; 32]) -> Result<PathBuf, ImportError> {
        let folder = plan.state_folder.join(RESUME_FOLDER);
        durable::create_dir(&folder).map_err(|cause| ImportError::Resume(folder.clone(), cause))?;
        let mut name = Sha256::new();
        name.update(digest);
        for part in [
            self.base.as_str(),
            plan.fields.as_str(),
            plan.group.as_deref().unwrap_or(""),
            content_type(plan.form()),
            if plan.trust_jurisdiction { "1" } else { "0" },
        ] {
            name.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            name.update(part);
        }
        Ok(folder.join(format!("{}.json", hex::encode(name.finalize()))))
    }
}

const fn content_type(form: Form) -> &'static str {
    match form {
        Form::Ndjson => "application/x-ndjson",
        Form::Csv { latin: false } => "text/csv",
        Form::Csv { latin: true } => "text/csv; charset=windows-1252",
    }
}

/// Is it worth another try?
fn passes(error: &PeerError) -> bool {
    match error {
        PeerError::Unreachable | PeerError::TimedOut => true,
        PeerError::Problem(problem) => {
            matches!(
                problem.kind(),
                ProblemKind::IntakeUnavailable | ProblemKind::Unavailable | ProblemKind::IntakeRate
            )
        }
        PeerError::WrongKey | PeerError::TooLarge | PeerError::Malformed | PeerError::Unsendable => false,
    }
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, ImportError> {
    serde_json::from_slice(bytes).map_err(|_peers_text| ImportError::Peer(PeerError::Malformed))
}

/// SHA-256 of a file as it is, and its length.
fn digest_of(path: &Path) -> std::io::Result<([u8; 32], u64)> {
    let mut file = File::open(path)?;
    let mut digest = DigestWriter(Sha256::new());
    let length = std::io::copy(&mut file, &mut digest)?;
    Ok((digest.0.finalize().into(), length))
}

struct DigestWriter(Sha256);

impl std::io::Write for DigestWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The line to begin with. A resume file that cannot be read means the first: repeats are harmless.
fn resume_from(path: &Path) -> u64 {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(256).read_to_string(&mut text));
    let resume = read.ok().and_then(|_bytes| serde_json::from_str::<Resume>(&text).ok());
    resume.map_or(1, |resume| resume.next_line.max(1))
}

/// The cameras of a CSV file with a header row.
fn read_cameras(path: &Path) -> Result<Vec<NewCamera>, ImportError> {
    let refuse = |what| ImportError::Cameras(path.to_owned(), what);
    let file = File::open(path).map_err(|cause| ImportError::File(path.to_owned(), cause))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file.take(CAMERAS_BYTES_MAX));
    let header = reader.headers().map_err(|_library| refuse("the file is not CSV with a header row"))?.clone();
    let column = |names: &[&str]| header.iter().position(|name| names.contains(&name));
    let key = column(&["camera", "key"]).ok_or(refuse("the file has no column `camera`"))?;
    let columns = [
        column(&["place", "road"]),
        column(&["agency", "group"]),
        column(&["lat"]),
        column(&["lon"]),
        column(&["source"]),
        column(&["purpose"]),
        column(&["zone"]),
    ];
    let mut cameras = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|_library| refuse("a row of the file is not CSV or has another number of cells"))?;
        let cell = |at: Option<usize>| at.and_then(|at| row.get(at)).filter(|text| !text.is_empty());
        let degrees = |at: Option<usize>| match cell(at).map(str::parse::<f64>) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_text)) => Err(refuse("lat and lon must be degrees in decimal numbers")),
        };
        let [place, group, lat, lon, source, purpose, zone] = columns;
        let key = cell(Some(key)).ok_or(refuse("a row has no camera key"))?;
        let camera = NewCamera {
            key: key.to_owned(),
            place: cell(place).unwrap_or(key).to_owned(),
            lat: degrees(lat)?,
            lon: degrees(lon)?,
            group: cell(group).unwrap_or_default().to_owned(),
            source: cell(source).map(str::to_owned),
            purpose: cell(purpose).map(str::to_owned),
            zone: cell(zone).map(str::to_owned),
        };
        if let Some(fault) = camera.fault() {
            return Err(refuse(fault.says));
        }
        cameras.push(camera);
    }
    Ok(cameras)
}
