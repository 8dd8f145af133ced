//! What the store's check of its files found, in the words of this report.

use std::path::Path;

use lockplate_store::fsck::{self, Problem};

use super::{Report, Severity, place};

/// Adds all of it.
pub(super) fn tell(dir: &Path, checked: &fsck::Report, what: &str, report: &mut Report) {
    for finding in &checked.findings {
        let (severity, sentence) = (severity(&finding.problem), sentence(&finding.problem));
        report.add(severity, sentence, problem_place(dir, &finding.path, &finding.problem));
    }
    left_out(checked, what, report);
}

/// Says that there was more.
pub(super) fn left_out(checked: &fsck::Report, what: &str, report: &mut Report) {
    if checked.more > 0 {
        let severity = if checked.more_failed { Severity::Failed } else { Severity::Warning };
        report.add(severity, "more was found than is listed", what);
    }
}

/// How bad.
pub(super) const fn severity(problem: &Problem) -> Severity {
    match problem.severity() {
        // The brief word of the store is that of a crash; people should know that there was one.
        fsck::Severity::Ok if matches!(problem, Problem::LeftoverTemporary) => Severity::Warning,
        fsck::Severity::Ok => Severity::Ok,
        fsck::Severity::Warning => Severity::Warning,
        fsck::Severity::Failed => Severity::Failed,
    }
}

/// What.
pub(super) const fn sentence(problem: &Problem) -> &'static str {
    match problem {
        Problem::LeftoverTemporary => "a temporary file of an interrupted write; the next start removes it",
        Problem::Foreign => "a file or folder that this program did not write",
        Problem::Unfinished => "an epoch that was never finished; its spool has the reads, or it is destroyed",
        Problem::NotClosed => "a segment without close; the next start closes it",
        Problem::Papers => "a closed epoch lacks its header, or a paper of it is damaged",
        Problem::Unverified => "the papers of an epoch are not signed by a recorder of the charter",
        Problem::Mismatch(what) => what,
        Problem::Missing => "a file of the log is missing",
        Problem::Bucket(_) => "a bucket does not lead to the signed root",
        Problem::Unreadable(_) => "a file cannot be read, or is shorter than it must be",
        Problem::OrphanSpool(_) => "the spool of an open epoch; the next start closes it",
        Problem::TornSpool(_) => {
            "the spool of an open epoch with a torn end, which was never acknowledged; the next start closes it"
        }
        Problem::DamagedSpool => "a spool is damaged where reads were acknowledged",
    }
}

fn problem_place(dir: &Path, path: &Path, problem: &Problem) -> String {
    let file = place(dir, path);
    if let Problem::Bucket(bucket) = problem { format!("{file} bucket {bucket}") } else { file }
}
