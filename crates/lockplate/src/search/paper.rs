//! `lockplate search paper`: the paper of an emergency, filed with every keeper of the owner. A court's paper goes with what discloses its
//! plate, sealed to each keeper; a supervisor's report stays with the agency, and only its fingerprint goes.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use lockplate_core::Timestamp;
use lockplate_core::charter::{CharterFile, KeeperEntry};
use lockplate_core::disclosure::Disclosure;
use lockplate_core::emergency::{seal_disclosures, sign_report};
use lockplate_core::envelope::HpkePublicKey;
use lockplate_node::api::{B64, PaperFiled};
use lockplate_node::client::PeerError;
use lockplate_node::clock::{Clock as _, SystemClock};
use lockplate_node::oversight::Oversight;
use lockplate_node::problem::ProblemKind;
use lockplate_node::rng::SystemRng;
use lockplate_node::search::read_person_key;
use lockplate_node::shutdown::ExitKind;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{attached, digest_of, usage};
use crate::exit::Ended;
use crate::screen::Screen;

/// Largest written report.
const REPORT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// File the paper of an emergency.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct PaperArgs {
    /// Number of the request, 64 digits
    request: String,
    /// Name or id of the owner that was asked; the first of officer.toml unless said otherwise
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
    /// A court's signed paper (.auth) that covers the request
    #[arg(long, value_name = "FILE", group = "what")]
    auth: Option<PathBuf>,
    /// File that discloses the paper's plate
    #[arg(long, value_name = "FILE", requires = "auth")]
    disclosure: Vec<PathBuf>,
    /// A supervisor's written report, any file; only its fingerprint is sent
    #[arg(long, value_name = "FILE", group = "what", requires = "supervisor")]
    report: Option<PathBuf>,
    /// Key file of the supervisor, who is another person than the officer
    #[arg(long, value_name = "FILE", requires = "report")]
    supervisor: Option<PathBuf>,
}

impl PaperArgs {
    pub(super) fn request(&self) -> &str {
        &self.request
    }

    pub(super) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }
}

/// Every keeper writes it into its own log, and each stands for itself: one that is away gets it by the same command later.
pub(super) async fn file(args: &PaperArgs, charter: &CharterFile, screen: &Screen) -> Result<ExitKind> {
    let request = digest_of(&args.request)?;
    let (object, disclosures) = match (&args.auth, &args.report, &args.supervisor) {
        (Some(auth), None, _) => (attached(auth)?, Some(read_disclosures(&args.disclosure)?)),
        (None, Some(report), Some(key)) => {
            let written: [u8; 32] = Sha256::digest(read_report(report)?).into();
            let now = Timestamp(u64::try_from(SystemClock::new().now_ms().div_euclid(1_000)).unwrap_or(0));
            (sign_report(request, written, &read_person_key(key)?, now, &mut SystemRng)?, None)
        }
        _ => return Err(usage("--auth or --report", "a paper").into()),
    };
    let oversight = Oversight::new(charter.charter())?;
    let (mut ended, mut told) = (ExitKind::Done, Vec::new());
    for keeper in &charter.charter().keepers {
        let sealed = disclosures.as_ref().map(|disclosures| seal(keeper, &request, disclosures)).transpose()?;
        let paper = PaperFiled { request: B64(request.to_vec()), object: B64(object.clone()), disclosures: sealed };
        let said = match oversight.file_paper(keeper.index, &paper).await {
            Ok(()) => "written into its register".to_owned(),
            Err(PeerError::Problem(problem)) if problem.kind() == ProblemKind::NotFound => {
                ended = ExitKind::Refused;
                "knows of no such emergency".to_owned()
            }
            Err(PeerError::Problem(problem)) if problem.kind().status() < 500 => {
                ended = ExitKind::Refused;
                "refused; the paper must cover the plate, the time and the purpose of the request, or be another supervisor's"
                    .to_owned()
            }
            Err(error) => {
                ended = if ended == ExitKind::Done { ExitKind::Unavailable } else { ended };
                error.to_string()
            }
        };
        if !screen.json() {
            screen.line(&format!("{}: {said}", keeper.name));
        }
        told.push(json!({ "keeper": keeper.index.0, "said": said }));
    }
    if screen.json() {
        screen.document(&json!({ "schema": "lockplate/search/1", "request": args.request, "filed": told }));
    }
    Ok(ended)
}

fn read_report(path: &Path) -> Result<Vec<u8>> {
    let refuse = |what: &str| Ended::usage(format!("{}: {what}", path.display()));
    let length = std::fs::metadata(path).map_err(|_cause| refuse("cannot be read"))?.len();
    if length == 0 || length > REPORT_BYTES_MAX {
        return Err(refuse("a report has 1 byte to 64 MiB").into());
    }
    Ok(std::fs::read(path).map_err(|_cause| refuse("cannot be read"))?)
}

fn read_disclosures(files: &[PathBuf]) -> Result<Vec<Disclosure>> {
    files.iter().map(|path| read_disclosure(path)).collect()
}

fn read_disclosure(path: &Path) -> Result<Disclosure> {
    let text = String::from_utf8(attached(path)?).map_err(|_bytes| usage("--disclosure", "a text file"))?;
    Ok(Disclosure::parse(text.trim()).map_err(|_form| usage("--disclosure", "a file that lockplate sign wrote"))?)
}

fn seal(keeper: &KeeperEntry, request: &[u8; 32], disclosures: &[Disclosure]) -> Result<B64> {
    let key = HpkePublicKey::from_slice(&keeper.opening_key)
        .ok_or_else(|| Ended::config("the charter names an opening key that is none"))?;
    Ok(B64(seal_disclosures(&key, request, disclosures, &mut SystemRng)?))
}
