//! `lockplate search paper`: the paper of an emergency, filed with every keeper of the owner. A court's paper goes with what discloses its
//! plate, sealed to each keeper; a supervisor's report stays with the agency, and only its fingerprint goes.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use lockplate_core::charter::{CharterFile, KeeperEntry};
use lockplate_core::disclosure::Disclosure;
use lockplate_core::emergency::{EmergencyReport, seal_disclosures, sign_report};
use lockplate_core::envelope::HpkePublicKey;
use lockplate_core::sign::SigningKey;
use lockplate_core::signed::SignedObject;
use lockplate_node::api::{B64, PaperFiled};
use lockplate_node::client::PeerError;
use lockplate_node::oversight::Oversight;
use lockplate_node::problem::ProblemKind;
use lockplate_node::rng::SystemRng;
use lockplate_node::search::read_person_key;
use lockplate_node::shutdown::ExitKind;
use lockplate_store::durable;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{attached, digest_of, hex_of, usage};
use crate::agency::now;
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

/// Every keeper writes it into its own log, and each stands for itself: one that is away gets it by the same command later. `folder` is the
/// officer's, where a report stays as it was signed.
pub(super) async fn file(args: &PaperArgs, charter: &CharterFile, folder: &Path, screen: &Screen) -> Result<ExitKind> {
    let request = digest_of(&args.request)?;
    let (object, disclosures) = match (&args.auth, &args.report, &args.supervisor) {
        (Some(auth), None, _) => (attached(auth)?, Some(read_disclosures(&args.disclosure)?)),
        (None, Some(report), Some(key)) => {
            let written = Sha256::digest(read_report(report)?).into();
            (signed_report(folder, request, written, &read_person_key(key)?)?, None)
        }
        _ => return Err(usage("--auth or --report", "a paper").into()),
    };
    let oversight = Oversight::new(charter.charter())?;
    let (mut ended, mut told) = (ExitKind::Done, Vec::new());
    for keeper in &charter.charter().keepers {
        let sealed = disclosures.as_ref().map(|disclosures| seal(keeper, &request, disclosures)).transpose()?;
        let paper = PaperFiled { request: B64(request.to_vec()), object: B64(object.clone()), disclosures: sealed };
        let (kind, said) = said_of(&oversight.file_paper(keeper.index, &paper).await);
        ended = worse(ended, kind);
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

/// What a keeper says of a paper. One that has this very paper says the same as one that gets it now: a repeat is harmless.
fn said_of(filed: &Result<(), PeerError>) -> (ExitKind, String) {
    match filed {
        Ok(()) => (ExitKind::Done, "written into its register".to_owned()),
        Err(PeerError::Problem(problem)) if problem.kind() == ProblemKind::NotFound => {
            (ExitKind::Refused, "knows of no such emergency".to_owned())
        }
        Err(PeerError::Problem(problem)) if problem.kind() == ProblemKind::Conflicting => {
            (ExitKind::Refused, "another paper was filed already, and one files it; this one was not needed".to_owned())
        }
        Err(PeerError::Problem(problem)) if problem.kind().status() < 500 => {
            let what = "refused; the paper must cover the plate, the time and the purpose of the request, or be another supervisor's";
            (ExitKind::Refused, what.to_owned())
        }
        Err(error) => (ExitKind::Unavailable, error.to_string()),
    }
}

/// A no stays a no, whoever was away besides.
const fn worse(one: ExitKind, other: ExitKind) -> ExitKind {
    match (one, other) {
        (ExitKind::Refused, _) | (_, ExitKind::Refused) => ExitKind::Refused,
        (ExitKind::Done, other) => other,
        (one, _) => one,
    }
}

/// The supervisor's signed report. Signed anew it would be another paper, and keepers that have the first would refuse it; so it stays in
/// the officer's folder, and a repeat files the same one. It names nobody and no plate.
fn signed_report(folder: &Path, request: [u8; 32], written: [u8; 32], supervisor: &SigningKey) -> Result<Vec<u8>> {
    let mut name = Sha256::new_with_prefix(request);
    name.update(written);
    name.update(supervisor.verify_key().0);
    let path = folder.join(format!("{}.report", hex_of(&name.finalize())));
    let unusable = |what: &str| Ended::config(format!("{}: {what}", path.display()));
    if path.try_exists().map_err(|_os| unusable("cannot be read"))? {
        let kept = attached(&path)?;
        let body = SignedObject::parse(&kept).and_then(|object| object.read::<EmergencyReport>()).map(|kept| kept.body);
        return match body {
            Ok(body) if body.request == request && body.report == written => Ok(kept),
            Ok(_) | Err(_) => {
                Err(unusable("is no report that was filed before; delete it, and the report is signed anew").into())
            }
        };
    }
    let signed = sign_report(request, written, supervisor, now(), &mut SystemRng)?;
    durable::write_new(&path, &signed).map_err(|_os| unusable("cannot be written"))?;
    Ok(signed)
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

#[cfg(test)]
mod tests {
    use super::*;
    use lockplate_node::problem::Problem;
    use lockplate_oprf::Secret;

    fn no(kind: ProblemKind) -> Result<(), PeerError> {
        Err(PeerError::Problem(Box::new(Problem::new(kind))))
    }

    #[test]
    fn a_repeat_is_harmless_and_another_paper_is_told() {
        let other = said_of(&no(ProblemKind::Conflicting));
        assert!(other.0 == ExitKind::Refused && other.1.starts_with("another paper was filed already"), "{}", other.1);
        let bad = said_of(&no(ProblemKind::Invalid));
        assert!(bad.0 == ExitKind::Refused && bad.1.contains("must cover"), "{}", bad.1);
        let end = |all: &[Result<(), PeerError>]| all.iter().map(|filed| said_of(filed).0).fold(ExitKind::Done, worse);
        assert_eq!(end(&[Ok(()), Ok(())]), ExitKind::Done, "some had it, others get it now");
        assert_eq!(end(&[Ok(()), no(ProblemKind::Conflicting)]), ExitKind::Refused);
        assert_eq!(end(&[Err(PeerError::Unreachable), Ok(())]), ExitKind::Unavailable);
        assert_eq!(end(&[no(ProblemKind::Invalid), Err(PeerError::Unreachable)]), ExitKind::Refused);
    }

    #[test]
    fn a_report_is_signed_once_and_filed_again_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let supervisor = SigningKey::from_seed(&Secret::new([5; 32]));
        let sign = |written| signed_report(folder.path(), [1; 32], written, &supervisor);
        let first = sign([2; 32]).unwrap();
        assert_eq!(sign([2; 32]).unwrap(), first);
        assert_ne!(sign([3; 32]).unwrap(), first, "another report");
        for file in std::fs::read_dir(folder.path()).unwrap() {
            durable::replace(&file.unwrap().path(), b"torn").unwrap();
        }
        assert!(sign([2; 32]).unwrap_err().to_string().contains("delete it"));
    }
}
