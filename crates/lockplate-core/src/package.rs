//! Evidence packages (LPv1 section 10.3): what an officer hands to a court, so that somebody who was not there can check, offline and with
//! nothing but the charter's hash, what was asked, who approved, and that each read shown stood sealed in a segment whose root was public
//! before anybody asked.
//!
//! **What is given away.** Of each cell shown its own key, which opens that cell and no other; the elements with their blinding factors and
//! the secret of the salts, which open this request and no other. **Never** the response key, an evaluation, a pepper or the key of a plate
//! in an epoch: those would open cells that are not shown, among them reads of other vehicles whose plates look alike. So a package proves
//! that what it shows is true, and not that nothing else was found: for that stands the officer's signed count in the public log.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Timestamp;
use crate::audit::replay::ReplayFault;
use crate::charter::CharterFile;
use crate::epoch::{EpochClose, EpochHeader};
use crate::error::{Error, Result};
use crate::id::{EpochId, b64url};
use crate::json::{Field, Fields, Json, JsonObject, json_object, parse_canonical_within, time_ms_text};
use crate::limits::{ELEMENT_EPOCHS_MAX, ELEMENTS_MAX, KEEPERS_MAX};
use crate::read::{Read, ReadFlag, TimeQuality, remarks};
use crate::salted::SaltedName;
use crate::sign::{Signed, SigningKey, Statement, VerifyKey};
use crate::spellings::why_matched;
use crate::statement::StatementText;
use crate::wire::{Writer, th};

pub use check::{Approver, Checked, Held, Proven};

/// Schema of a package.
pub const SCHEMA: &str = "lockplate/package/1";
/// Bytes of a package: about a thousand buckets of 64 KiB.
pub const PACKAGE_BYTES_MAX: usize = 96 * 1024 * 1024;
/// Receipts of a package beside those of its epochs: two a keeper, disclosure and hold.
const OTHER_RECEIPTS_MAX: usize = 2 * KEEPERS_MAX as usize + 2;
/// Files of a rule bundle.
const RULE_FILES_MAX: usize = 128;
/// Seconds of a day.
const DAY: u64 = 86_400;

/// Bytes as base64url without padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl core::fmt::Debug for Blob {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Field for Blob {
    fn to_json(&self) -> Json {
        Json::Str(b64url(&self.0))
    }

    fn from_json(value: Json) -> Result<Self> {
        let text = String::from_json(value)?;
        URL_SAFE_NO_PAD.decode(text).ok().map(Self).ok_or(Error::malformed("not base64url"))
    }
}

json_object! {
    /// One element of the request, opened.
    #[derive(Clone, PartialEq, Eq)]
    ElementShown {
        /// `PlateInput`.
        input: Blob,
        /// r.
        blind: [u8; 32],
    }
    /// An epoch in which something was found.
    #[derive(Clone, PartialEq, Eq)]
    EpochShown {
        /// `Signed<EpochHeader>`.
        header: Blob,
        /// `Signed<EpochClose>`.
        close: Blob,
    }
    /// A bucket in which something was found, with its path to the logged root.
    #[derive(Clone, PartialEq, Eq)]
    BucketShown {
        /// Its epoch.
        epoch: EpochId,
        /// `BucketProof`.
        proof: Blob,
    }
    /// A cell that is opened.
    #[derive(Clone, PartialEq, Eq)]
    CellShown {
        /// Its epoch.
        epoch: EpochId,
        /// Its bucket.
        bucket: u32,
        /// Its tag.
        tag: [u8; 32],
        /// Its key ([`CellKey`]).
        key: [u8; 32],
    }
    /// A read in words. Everything in it is computed from the cell, so that nothing else can be shown.
    #[derive(Clone, PartialEq, Eq)]
    ReadShown {
        /// Capture time, UTC with milliseconds.
        time: String,
        /// How good that time is.
        time_quality: TimeQuality,
        /// The camera's own time where that is not the capture time, or "".
        source_time: String,
        /// Number of the camera.
        camera: u32,
        /// Text as read.
        plate: String,
        /// State as read, or "".
        state: String,
        /// Confidence of the text, or "".
        confidence: String,
        /// Flags of the read.
        flags: Vec<ReadFlag>,
        /// Why it matches the plate asked for.
        why: String,
        /// A further copy of an event that is shown above.
        repeat: bool,
    }
    /// A camera's place as the owner's list named it when the package was made. No proof: the officer's word.
    #[derive(Clone, PartialEq, Eq)]
    PlaceShown {
        /// Number of the camera.
        camera: u32,
        /// Its place.
        place: String,
    }
    /// A file of the rules under which was decided.
    #[derive(Clone, PartialEq, Eq)]
    RuleFile {
        /// Path in the bundle.
        path: String,
        /// The file.
        text: Blob,
    }
    /// A package. Printed and checked by [`Package::check`]; private, for it names a plate and opens cells.
    #[derive(Clone, PartialEq, Eq)]
    Package {
        /// [`SCHEMA`].
        schema: String,
        /// Version of the program that made it.
        maker: String,
        /// When, by the officer's clock.
        made: Timestamp,
        /// The charter file, exact bytes.
        charter: Blob,
        /// `FiledRequest`.
        filed: Blob,
        /// The statement, exact bytes.
        statement: Blob,
        /// The elements of the request, in order.
        elements: Vec<ElementShown>,
        /// s_r.
        salts: [u8; 32],
        /// SHA-256 of every Opening, keepers in charter order, then auditors.
        openings: Vec<[u8; 32]>,
        /// `Grant`.
        grant: Blob,
        /// The rules in force; none where the maker did not have them.
        rules: Vec<RuleFile>,
        /// Receipts with their leaves (C2SP tlog-proof).
        receipts: Vec<Blob>,
        /// Epochs with finds, sorted by id.
        epochs: Vec<EpochShown>,
        /// Buckets with finds, sorted by epoch and number.
        buckets: Vec<BucketShown>,
        /// Cells, sorted by capture time, epoch, tag.
        cells: Vec<CellShown>,
        /// The same, in words.
        reads: Vec<ReadShown>,
        /// Places of the cameras of `reads`, sorted.
        places: Vec<PlaceShown>,
        /// `Signed<DisclosureClaim>`.
        disclosure: Blob,
        /// `Signed<HoldClaim>`, or "".
        hold: Blob,
        /// Key to which the hold is sealed, or "".
        case_key: Option<[u8; 32]>,
        /// The officer's signature over all of the above.
        signature: Option<[u8; 64]>,
    }
}

impl ReadShown {
    /// What its time and text do not say of themselves, in words.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let source_time = Some(self.source_time.as_str()).filter(|time| !time.is_empty());
        remarks(self.time_quality, source_time, &self.flags)
    }
}

macro_rules! nothing_printed {
    ($($name:ident)*) => {$(
        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

nothing_printed! { ElementShown EpochShown BucketShown CellShown ReadShown PlaceShown RuleFile Package }

/// The officer's signature over a package: it makes the parts that nothing else proves (places, time, maker) at least his word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageClaim {
    /// `TH("package", ..)` of the package with an empty signature.
    pub digest: [u8; 32],
}

impl Statement for PackageClaim {
    const LABEL: &'static str = "package-claim";
    const BYTES_MAX: usize = 32;

    fn encode(&self) -> Vec<u8> {
        self.digest.to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let digest = bytes.try_into().ok().ok_or(Error::malformed("not a package's digest"))?;
        Ok(Self { digest })
    }
}

/// Why a package is not what it says. Each is a lie of whoever made or changed it, but `OtherCharter`, which may be a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageFault {
    /// Not the one form of a package.
    Form,
    /// Made under another charter than the one it is checked against.
    OtherCharter,
    /// The request's signatures, or that it is a request to this owner.
    Request,
    /// The statement, a spelling or a blinding factor is not what the request binds.
    Statement,
    /// The request names more than one plate.
    Plates,
    /// The grant.
    Grant,
    /// An entry of a public log that is needed has no receipt.
    Missing,
    /// A receipt that proves nothing here.
    Extra,
    /// An entry is not about this request, or does not say what was approved.
    Entry,
    /// An entry commits to another value of a private field.
    Salted(SaltedName),
    /// The rules cannot give the decision.
    Rules(ReplayFault),
    /// An epoch is not of the grant, or not as its recorder signed and logged it.
    Epoch,
    /// A bucket does not lead to the logged root.
    Bucket,
    /// A cell does not open under its key.
    Cell,
    /// The reads in words are not those of the cells.
    Reads,
    /// The reads are not as many as the officer said in public.
    Count,
    /// The officer's disclosure.
    Disclosure,
    /// The hold.
    Hold,
    /// Places, time or maker were changed after the officer signed.
    Signature,
}

impl core::fmt::Display for PackageFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Form => "the file is not as it was written: it does not have the form of a package",
            Self::OtherCharter => "the package was made under another charter than the one it is checked against",
            Self::Request => "the request is not the one that the officer signed to this owner",
            Self::Statement => "the statement or a spelling is not what the signed request binds",
            Self::Plates => "the request names more than one plate",
            Self::Grant => "too few keepers approved, or an approval is not theirs",
            Self::Missing => "an entry of a public register that is needed has no receipt",
            Self::Extra => "a receipt, period or bucket is there that belongs to nothing shown",
            Self::Entry => "an entry of a public register does not say what the package says",
            Self::Salted(name) => return write!(f, "a public entry commits to another {}", name.name()),
            Self::Rules(fault) => return write!(f, "the rules do not give the decision: {fault}"),
            Self::Epoch => "a period is not as its recorder signed and logged it",
            Self::Bucket => "sealed reads do not lead to the root that was logged before",
            Self::Cell => "a read does not open from the sealed form that was logged",
            Self::Reads => "a read is shown otherwise than it was sealed",
            Self::Count => "not as many reads are shown as the officer declared in public",
            Self::Disclosure => "the officer's declaration of what was opened is not his, or of another request",
            Self::Hold => "the hold is not what the public register says",
            Self::Signature => "a place, the time or the maker was changed after the officer signed",
        })
    }
}

impl core::error::Error for PackageFault {}

/// What of a read decides where it stands among others.
type Place = (i64, EpochId, [u8; 32]);

/// What is held: `TH("held", (epoch || tag || key)*)` in the order of a package's cells.
#[must_use]
pub fn held_digest(cells: &[CellShown]) -> [u8; 32] {
    let mut w = Writer::new();
    for cell in cells {
        w.raw(&cell.epoch.0).raw(&cell.tag).raw(&cell.key);
    }
    th("held", &[&w.finish()])
}

/// Puts cells in the order of a package and says the reads in words.
#[must_use]
pub fn show(mut cells: Vec<(CellShown, Read)>, statement: &StatementText) -> (Vec<CellShown>, Vec<ReadShown>) {
    cells.sort_by_key(|(cell, read)| place(cell, read));
    let reads = words(cells.iter().map(|(_, read)| read), statement);
    (cells.into_iter().map(|(cell, _)| cell).collect(), reads)
}

/// True for a read that cannot be of the plate asked for: it is counted and never shown.
#[must_use]
pub fn is_other(read: &Read, statement: &StatementText) -> bool {
    why(read, statement).is_other()
}

const fn place(cell: &CellShown, read: &Read) -> Place {
    (read.captured_at, cell.epoch, cell.tag)
}

fn why(read: &Read, statement: &StatementText) -> crate::spellings::Why {
    let plate = &statement.statement().plate;
    let states: Vec<_> = plate.state.into_iter().collect();
    why_matched(&plate.text, &states, &read.plate, read.jurisdiction, read.jur_conf, read.jurisdiction_trusted)
}

fn words<'a>(reads: impl Iterator<Item = &'a Read>, statement: &StatementText) -> Vec<ReadShown> {
    let mut seen = BTreeSet::new();
    let say = |read: &Read| {
        let why = why(read, statement);
        ReadShown {
            time: time_ms_text(read.captured_at),
            time_quality: read.time_quality,
            source_time: read.source_time.map(time_ms_text).unwrap_or_default(),
            camera: read.camera,
            plate: read.plate.expose_text().to_owned(),
            state: read.jurisdiction.map(|code| code.code().to_owned()).unwrap_or_default(),
            confidence: read.conf.map(|conf| format!("{}.{} %", conf / 10, conf % 10)).unwrap_or_default(),
            flags: read.flags.names(),
            why: format!("{}; {}", why.text.label(), why.state.label()),
            repeat: read.engine_ref.is_some_and(|event| !seen.insert((read.source, event))),
        }
    };
    reads.map(say).collect()
}

/// An epoch that its recorder signed and closed for this charter.
///
/// # Errors
/// `OwnerMisbehaved` if signature, recorder, owner, charter or close does not fit.
pub fn check_epoch(charter: &CharterFile, header: &[u8], close: &[u8]) -> Result<(EpochHeader, EpochClose)> {
    let unsigned = |_form| Error::owner("the archive shows a period that its recorder did not sign");
    let header: Signed<EpochHeader> = Signed::from_bytes(header).map_err(unsigned)?;
    let owner = charter.charter();
    let recorder = owner.recorder(header.claimed().recorder);
    let key = VerifyKey(recorder.ok_or(Error::owner("the archive shows a period of an unknown recorder"))?.key);
    let header = header.verify(&key).map_err(unsigned)?;
    let close: Signed<EpochClose> = Signed::from_bytes(close).map_err(unsigned)?;
    let close = close.verify(&key).map_err(unsigned)?;
    if header.agency != owner.owner.id || header.charter_hash != charter.hash() || close.header_hash != header.hash() {
        return Err(Error::owner("a period of the archive belongs to another archive, charter or close"));
    }
    Ok((header.clone(), close.clone()))
}

/// Whether bytes say that they are a package.
#[must_use]
pub fn is_package(bytes: &[u8]) -> bool {
    let needle = b"\"schema\":\"lockplate/package/1\"";
    bytes.len() <= PACKAGE_BYTES_MAX
        && bytes.starts_with(b"{")
        && bytes.windows(needle.len()).any(|part| part == needle)
}

impl Package {
    /// Reads a package; nothing is checked but its form.
    ///
    /// # Errors
    /// [`PackageFault::Form`].
    pub fn parse(bytes: &[u8]) -> core::result::Result<Self, PackageFault> {
        let read = || {
            let mut fields = Fields::of(parse_canonical_within(bytes, PACKAGE_BYTES_MAX)?)?;
            let package = <Self as JsonObject>::take(&mut fields)?;
            fields.finish()?;
            Ok::<_, Error>(package)
        };
        let package = read().map_err(|_form| PackageFault::Form)?;
        let bounded = package.schema == SCHEMA
            && (1..=ELEMENTS_MAX).contains(&package.elements.len())
            && package.epochs.len() <= ELEMENT_EPOCHS_MAX
            && package.buckets.len() <= ELEMENT_EPOCHS_MAX
            && package.receipts.len() <= package.epochs.len().saturating_add(OTHER_RECEIPTS_MAX)
            && package.rules.len() <= RULE_FILES_MAX;
        if bounded { Ok(package) } else { Err(PackageFault::Form) }
    }

    /// Its one form.
    ///
    /// # Errors
    /// `Invalid` if it is over [`PACKAGE_BYTES_MAX`], or a text is outside the alphabet of canonical JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut fields = BTreeMap::new();
        self.put(&mut fields);
        Json::Object(fields).to_canonical_bytes_within(PACKAGE_BYTES_MAX)
    }

    fn claim(&self) -> Result<PackageClaim> {
        let unsigned = Self { signature: None, ..self.clone() };
        Ok(PackageClaim { digest: th("package", &[&unsigned.to_bytes()?]) })
    }

    /// Signs it with the key that filed the request.
    ///
    /// # Errors
    /// As [`Package::to_bytes`].
    pub fn sign(mut self, officer: &SigningKey) -> Result<Self> {
        let signed = officer.sign(self.claim()?).to_bytes();
        self.signature = signed.last_chunk::<64>().copied();
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
