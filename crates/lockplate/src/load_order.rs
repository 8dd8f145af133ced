//! `lockplate sign load`: a person who decides for a keeper signs for a load of a hot list with many plates of one case. It runs where that
//! person's key is; the officer hands over the file and what is to be signed, and gets a signature back.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use lockplate_core::hotlist::steward::LoadOrder;
use lockplate_core::json::time_text;
use lockplate_core::person::ByPerson;
use lockplate_core::sign::Statement as _;
use lockplate_node::api::B64;
use lockplate_node::search::read_person_key;
use lockplate_node::shutdown::ExitKind;
use lockplate_store::durable;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::exit::Ended;
use crate::screen::Screen;

/// Bytes of a file of orders.
const ORDER_FILE_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a file of a custom list.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Sign for a load of a hot list, as a person who decides for a keeper
#[derive(Debug, Args)]
pub(crate) struct SignLoadArgs {
    /// The load's file: read it before you sign
    file: PathBuf,
    /// What the officer wrote with `agency hotlist load --ask`; the signature is added to it
    #[arg(long, value_name = "FILE")]
    order: PathBuf,
    /// Your key file, one of those that the charter has for your keeper
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Do not ask before signing
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What is signed for a load, and by whom so far.
pub(crate) struct OrderFile {
    pub(crate) order: LoadOrder,
    pub(crate) signed: Vec<ByPerson<LoadOrder>>,
}

/// Its form on a disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    schema: String,
    order: B64,
    signed: Vec<B64>,
}

const SCHEMA: &str = "lockplate/load-order/1";

impl OrderFile {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let what = || Ended::usage(format!("{}: no order that `agency hotlist load --ask` wrote", path.display()));
        let length = std::fs::metadata(path).with_context(|| format!("{}: cannot be read", path.display()))?.len();
        if length > ORDER_FILE_BYTES_MAX {
            return Err(what().into());
        }
        let written: Written = serde_json::from_slice(&std::fs::read(path)?).map_err(|_json| what())?;
        let order = LoadOrder::decode(&written.order.0).map_err(|_form| what())?;
        let signed = written.signed.iter().map(|B64(bytes)| ByPerson::<LoadOrder>::from_bytes(bytes));
        let signed = signed.collect::<Result<Vec<_>, _>>().map_err(|_form| what())?;
        if written.schema != SCHEMA || signed.iter().any(|one| *one.claimed() != order) {
            return Err(what().into());
        }
        Ok(Self { order, signed })
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let written = Written {
            schema: SCHEMA.to_owned(),
            order: B64(self.order.encode()),
            signed: self.signed.iter().map(|one| B64(one.to_bytes())).collect(),
        };
        durable::replace(path, &serde_json::to_vec(&written)?)
            .with_context(|| format!("{}: cannot be written", path.display()))?;
        Ok(())
    }
}

/// Shows what is signed, asks with `agreed`, and signs.
pub(crate) fn sign(args: &SignLoadArgs, screen: &Screen, agreed: impl FnOnce() -> Result<bool>) -> Result<ExitKind> {
    let mut orders = OrderFile::read(&args.order)?;
    let length =
        std::fs::metadata(&args.file).with_context(|| format!("{}: cannot be read", args.file.display()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(
            Ended::usage(format!("{}: more than 4 MiB, which no custom list's file has", args.file.display())).into()
        );
    }
    let file =
        Zeroizing::new(std::fs::read(&args.file).with_context(|| format!("{}: cannot be read", args.file.display()))?);
    let digest: [u8; 32] = Sha256::digest(file.as_slice()).into();
    if digest != orders.order.file {
        return Err(Ended::of(ExitKind::Refused, "the order is for another file than this one").into());
    }
    let key = read_person_key(&args.key)?;
    let lines = file.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
    screen.note(&format!(
        "A load of the hot list {}, ordered {}: {lines} lines with its first.",
        crate::search::hex_of(&orders.order.list),
        time_text(orders.order.time)
    ));
    screen.note("Cameras will look for these plates, more than five of one case. Read the file, and ask for the case, before you sign.");
    if !args.yes && !agreed()? {
        return Ok(ExitKind::Refused);
    }
    let signature = ByPerson::with_key(&key, orders.order.clone());
    orders.signed.retain(|one| one.claimed_key() != signature.claimed_key());
    orders.signed.push(signature);
    orders.write(&args.order)?;
    screen.line(&format!("Signed: give {} back to the officer.", args.order.display()));
    Ok(ExitKind::Done)
}
