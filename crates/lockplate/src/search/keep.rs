//! What is kept of a search: an evidence package for a court, or a hold for a records custodian, who opens it here.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use lockplate_core::Timestamp;
use lockplate_core::envelope::HpkePublicKey;
use lockplate_core::hold::HOLD_BYTES_MAX;
use lockplate_core::json::{parse_time, time_text};
use lockplate_core::package::Package;
use lockplate_node::founding::{CaseKeyCard, read_case_key};
use lockplate_node::search::{
    Fetched, HoldFile, Keep, Kept, SearchFault, check_package_folder, open_hold, write_package,
};
use lockplate_node::shutdown::ExitKind;
use lockplate_node::verify::{package, pin};
use serde_json::{Value, json};

use super::{hex_of, usage};
use crate::agency::now;
use crate::exit::Ended;
use crate::screen::Screen;

/// Where an answer goes besides the screen.
#[derive(Debug, Args)]
pub(super) struct KeepArgs {
    /// Write an evidence package for a court into this folder, which is made, or is empty. It names the plate
    #[arg(long, value_name = "DIR", conflicts_with = "case_key")]
    package: Option<PathBuf>,
    /// Public key of the records custodian, to which what --hold asked for is sealed
    #[arg(long, value_name = "FILE")]
    case_key: Option<PathBuf>,
    /// Folder for the file of a hold
    #[arg(long, value_name = "DIR", default_value = ".")]
    hold_folder: PathBuf,
    /// End of a hold, such as 2027-11-22T14:00:00Z; as long as the charter lets where not said
    #[arg(long, value_name = "TIME", requires = "case_key")]
    hold_until: Option<String>,
}

impl KeepArgs {
    /// Wrong words, before anybody is asked.
    pub(super) fn check(&self) -> Result<()> {
        self.until().map(drop)
    }

    /// A folder for packages that a new search would write to is new or empty, before anything is drawn up.
    pub(super) fn check_folder(&self) -> Result<()> {
        Ok(self.package.as_deref().map_or(Ok(()), check_package_folder)?)
    }

    pub(super) const fn holds(&self) -> bool {
        self.case_key.is_some()
    }

    fn until(&self) -> Result<Option<Timestamp>> {
        let parse = |text: &String| parse_time(text).ok_or_else(|| usage("--hold-until", "2027-11-22T14:00:00Z"));
        Ok(self.hold_until.as_ref().map(parse).transpose()?)
    }

    pub(super) fn case_key(&self) -> Result<Option<HpkePublicKey>> {
        let Some(file) = &self.case_key else { return Ok(None) };
        let key = CaseKeyCard::read(file)?.public_key();
        Ok(Some(key.ok_or_else(|| Ended::internal("a card that was read has a key"))?))
    }

    pub(super) fn keep<'a>(&'a self, case_key: Option<&'a HpkePublicKey>) -> Result<Keep<'a>> {
        Ok(match (case_key, &self.package) {
            (Some(case_key), _) => Keep::Hold { folder: &self.hold_folder, case_key, until: self.until()? },
            (None, Some(folder)) => Keep::Package { folder },
            (None, None) => Keep::Nothing,
        })
    }
}

/// What is held is not shown: it is the custodian's now.
pub(super) fn document(fetched: &Fetched) -> Value {
    match &fetched.kept {
        Some(Kept::Hold(HoldFile { path, until, register, cells })) => json!({
            "schema": lockplate_node::search::SCHEMA,
            "request": hex_of(&fetched.request_digest),
            "grant": hex_of(&fetched.grant_digest),
            "result": "held",
            "cells": cells,
            "until": time_text(*until),
            "file": path,
            "hold": register,
            "disclosure": fetched.disclosure,
        }),
        Some(Kept::Package { .. }) | None => fetched.to_json(),
    }
}

/// True if the reads went to a custodian, and not to the officer.
pub(super) const fn is_held(fetched: &Fetched) -> bool {
    matches!(fetched.kept, Some(Kept::Hold(_)))
}

/// Says what was kept.
pub(super) fn show_kept(fetched: &Fetched, screen: &Screen) {
    match &fetched.kept {
        None => {}
        Some(Kept::Package { folder, keep_until }) => {
            screen.note(&format!(
                "The evidence package is in {}; it names the plate and may be kept until {}.",
                folder.display(),
                time_text(*keep_until)
            ));
        }
        Some(Kept::Hold(HoldFile { path, until, register, cells })) => {
            let reads = if *cells == 1 { "1 read".to_owned() } else { format!("{cells} reads") };
            screen.heading(&format!("{reads} held as evidence until {}.", time_text(*until)));
            screen.line(&format!("Sealed for the records custodian: {}", path.display()));
            screen.line(&format!("On the public register of the desk: no. {register}."));
        }
    }
}

/// The custodian's side; needs no desk and no network.
#[derive(Debug, Args)]
pub(super) struct OpenHoldArgs {
    /// The file of the hold
    file: PathBuf,
    /// Key file of the case
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Folder for the evidence package that is in it; made, or empty
    #[arg(long, value_name = "DIR")]
    package: PathBuf,
    /// Hash that the owner's charter must have
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
}

pub(super) fn open(args: &OpenHoldArgs, screen: &Screen) -> Result<ExitKind> {
    let hash = args.hash.as_deref().map(pin::parse_hash).transpose()?;
    check_package_folder(&args.package)?;
    let key = read_case_key(&args.key)?;
    let unreadable = || Ended::config(format!("{}: cannot be read", args.file.display()));
    let size = std::fs::metadata(&args.file).map_err(|_os| unreadable())?.len();
    if usize::try_from(size).map_or(true, |size| size > HOLD_BYTES_MAX) {
        return Err(Ended::config("the file is larger than a hold can be").into());
    }
    let file = std::fs::read(&args.file).map_err(|_os| unreadable())?;
    let refused = |fault: &dyn std::fmt::Display| {
        Ended::of(ExitKind::Lied, format!("{fault}; the file is the evidence: {}", args.file.display()))
    };
    let (head, bytes) = open_hold(&file, &key, now())
        .map_err(|fault| if matches!(fault, SearchFault::Lied { .. }) { refused(&fault) } else { ended(&fault) })?;
    let inside = Package::parse(&bytes).map_err(|fault| refused(&fault))?;
    let charter = crate::verify::pinned(pin::pin(&inside.charter.0, hash))?;
    let checked = package::check(&bytes, &charter, now().0).map_err(|fault| refused(&fault))?;
    let held = checked.checked.held.filter(|held| held.until == head.until);
    if held.is_none() || checked.checked.opened.request().digest() != head.request_digest {
        return Err(refused(&"the package in it is of another hold").into());
    }
    write_package(&charter, &bytes, &args.package, now()).map_err(|fault| ended(&fault))?;
    let reads = checked.package.reads.len();
    let charter_hash = hex_of(&charter.hash());
    if screen.json() {
        screen.document(&json!({
            "schema": lockplate_node::search::SCHEMA,
            "request": hex_of(&head.request_digest),
            "result": "opened",
            "reads": reads,
            "until": time_text(head.until),
            "package": args.package,
            "charter": charter_hash,
            "pinned": hash.is_some(),
        }));
        return Ok(ExitKind::Done);
    }
    if hash.is_none() {
        screen.note(&format!(
            "TRUSTING THE FILE ITSELF: its charter has the hash {charter_hash}; compare it with what the agency and the keepers print"
        ));
    }
    let reads = if reads == 1 { "1 read".to_owned() } else { format!("{reads} reads") };
    screen.heading(&format!("{reads}: {}", args.package.display()));
    screen.line(&format!("To be kept until {}; then destroy the folder, the file and the key.", time_text(head.until)));
    Ok(ExitKind::Done)
}

fn ended(fault: &SearchFault) -> Ended {
    Ended::of(fault.exit_kind(), fault.to_string())
}
