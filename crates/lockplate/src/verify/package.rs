//! `lockplate verify` of an evidence package: the package, and the page beside it.

use std::path::Path;

use anyhow::Result;
use lockplate_core::Timestamp;
use lockplate_core::charter::CharterFile;
use lockplate_core::json::time_text;
use lockplate_core::package::{Package, PackageFault};
use lockplate_node::shutdown::ExitKind;
use lockplate_node::verify::package::{self, CheckedPackage, PAGE_FILE, PackageError};
use lockplate_node::verify::pin;
use serde_json::json;

use super::{VerifyArgs, hex_of, listed, pinned, read_file, show_parties};
use crate::agency::now;
use crate::exit::Ended;
use crate::screen::Screen;

/// Whether a file is one, or was one before somebody changed it.
pub(super) fn is_package(path: &Path, bytes: &[u8]) -> bool {
    package::is_package(bytes) || path.file_name().is_some_and(|name| name == package::PACKAGE_FILE)
}

pub(super) fn judge(
    args: &VerifyArgs,
    path: &Path,
    bytes: &[u8],
    hash: Option<[u8; 32]>,
    screen: &Screen,
) -> Result<ExitKind> {
    let refused = |fault: PackageError| {
        let text = format!("NOT VALID: {fault}; the file is the evidence: {}", path.display());
        Ended::of(ExitKind::Lied, text)
    };
    let charter = match (&args.charter, hash) {
        (Some(file), hash) => pinned(pin::read_charter(file, hash))?,
        (None, hash) => {
            let inside = Package::parse(bytes).map_err(|fault| refused(fault.into()))?;
            let own = CharterFile::verify(&inside.charter.0).map_err(|_form| refused(PackageFault::Form.into()))?;
            match hash {
                None => {
                    return Err(Ended::usage(format!(
                        "a package is checked against a charter that you know from elsewhere\nits own has the hash {}: \
                         compare it, then add --hash HASH or --charter FILE",
                        hex_of(&own.hash())
                    ))
                    .into());
                }
                Some(hash) if hash != own.hash() => return Err(refused(PackageFault::OtherCharter.into()).into()),
                Some(_) => own,
            }
        }
    };
    let checked = package::check(bytes, &charter, now().0).map_err(refused)?;
    let page = path.with_file_name(PAGE_FILE);
    let paged = page.is_file();
    if paged {
        checked.check_page(&read_file(&page)?).map_err(refused)?;
    }
    let kind = ending(checked.checked.keep_until, now());
    show(&checked, paged, kind, screen);
    Ok(kind)
}

/// A package past its time (`@retain`, or the end of a hold) is one to be destroyed, and that is no good end.
fn ending(keep_until: Timestamp, now: Timestamp) -> ExitKind {
    if now >= keep_until { ExitKind::Problems } else { ExitKind::Done }
}

fn show(it: &CheckedPackage, paged: bool, kind: ExitKind, screen: &Screen) {
    let charter = it.charter.charter();
    let (checked, reads) = (&it.checked, it.package.reads.len());
    let keep_until = time_text(checked.keep_until);
    let approved: Vec<String> = checked
        .approvers
        .iter()
        .map(|yes| {
            let name = charter.keeper(yes.keeper).map(|keeper| keeper.name.clone()).unwrap_or_default();
            format!("{name} (entry {})", yes.register)
        })
        .collect();
    if screen.json() {
        screen.document(&json!({
            "schema": "lockplate/verify/1",
            "kind": "package",
            "valid": true,
            "owner": charter.owner.name,
            "charter": hex_of(&it.charter.hash()),
            "custody_label": charter.custody_label(),
            "request": hex_of(&checked.opened.request().digest()),
            "reads": reads,
            "others": checked.others,
            "approved_by": approved,
            "rules": checked.rules,
            "rules_asked_again": checked.replayed,
            "page": paged,
            "held": checked.held.is_some(),
            "keep_until": keep_until,
            "confirmed_by": it.confirmed_by,
            "exit": kind.code(),
        }));
        return;
    }
    let reads = if reads == 1 { "1 read".to_owned() } else { format!("{reads} reads") };
    screen.heading(&format!(
        "valid: {reads}, each sealed and logged before anybody asked{}",
        if paged { "; the page says the same" } else { "" }
    ));
    show_parties(charter, screen);
    screen.line(&format!("approved by: {}", listed(&approved)));
    let rules: Vec<String> = checked.rules.iter().cloned().collect();
    let asked =
        if checked.replayed { "asked again, they can give this decision" } else { "their text is not in the package" };
    screen.line(&format!("under the rules: {} ({asked})", listed(&rules)));
    screen.line(&format!("confirmed by: {}", listed(&it.confirmed_by)));
    screen.line("not proved: that nothing else was found, and the words for the cameras' places");
    if kind == ExitKind::Done {
        screen.line(&format!("may be kept until: {keep_until}"));
    } else {
        screen.line(&format!("TO BE DESTROYED: it was to be kept until {keep_until} only"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_past_its_time_ends_badly() {
        assert_eq!(ending(Timestamp(100), Timestamp(99)), ExitKind::Done);
        assert_eq!(ending(Timestamp(100), Timestamp(100)), ExitKind::Problems);
    }
}
