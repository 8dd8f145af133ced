//! Evidence packages (LPv1 section 10.3): what an officer hands to a court, so that somebody who was not there can check, offline and with
//! nothing but the charter's hash, what was asked, who approved, and that each read shown stood sealed in a segment whose root was public
//! before anybody asked.
//!
//! **What is given away.** Of each cell shown its own key, which opens that cell and no other; the elements with their blinding factors and
//! the secret of the salts, which open this request and no other. **Never** the response key, an evaluation, a pepper or the key of a plate
//! in an epoch: those would open cells that are not shown, among them reads of other vehicles whose plates look alike. So a package proves
//! that what it shows is true, and not that nothing else was found: for that stands the officer's signed count in the public log.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockplate_oprf::Secret;
use lockplate_oprf::oprf::Blind;

use crate::Timestamp;
use crate::approval::{Decided, Grant};
use crate::audit::replay::{self, ReplayFault, Replayed};
use crate::charter::{Charter, CharterFile, LogName};
use crate::entry::{Leaf, LogEntry, Outcome, RequestDecision, RequestLeaf, human_outcome, parse_leaf};
use crate::epoch::{EpochClose, EpochHeader};
use crate::error::{Error, Result};
use crate::evidence::plates_named;
use crate::facts::AccessPolicy;
use crate::hold::{HeldFor, HoldClaim, latest_until};
use crate::id::{EpochId, KeeperIndex, b64url};
use crate::json::{Field, Fields, Json, JsonObject, json_object, parse_canonical_within, time_ms_text};
use crate::limits::{ELEMENT_EPOCHS_MAX, ELEMENTS_MAX, KEEPERS_MAX};
use crate::open::CellKey;
use crate::plate::PlateInput;
use crate::read::Read;
use crate::request::{DisclosureClaim, FiledRequest, Opened, OpeningText, SearchRequest, check_text};
use crate::salted::{SaltedName, disclosure_of};
use crate::segment::BucketProof;
use crate::sign::{Signed, SigningKey, Statement, VerifyKey};
use crate::spellings::why_matched;
use crate::statement::StatementText;
use crate::wire::{Writer, th};

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
        /// Number of the camera.
        camera: u32,
        /// Text as read.
        plate: String,
        /// State as read, or "".
        state: String,
        /// Confidence of the text, or "".
        confidence: String,
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

/// A leaf whose receipt was verified under the charter's trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Its log.
    pub log: LogName,
    /// Its index.
    pub index: u64,
    /// Its bytes.
    pub leaf: Vec<u8>,
}

/// One keeper's yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approver {
    /// The keeper.
    pub keeper: KeeperIndex,
    /// A person of the keeper decided.
    pub by_person: bool,
    /// When.
    pub time: Timestamp,
    /// Entry in its log.
    pub register: u64,
}

/// The hold of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Until when.
    pub until: Timestamp,
    /// Entry in the desk's log; none where the charter does not know that log.
    pub register: Option<u64>,
}

/// A package that holds.
#[derive(Debug)]
pub struct Checked {
    /// What was asked, as keepers saw it.
    pub opened: Opened<SearchRequest>,
    /// Who approved, in charter order.
    pub approvers: Vec<Approver>,
    /// Rules that took part.
    pub rules: BTreeSet<String>,
    /// Digest of the rule bundle.
    pub policy: [u8; 32],
    /// True if the rules were asked again.
    pub replayed: bool,
    /// A court paper counted, with this assurance.
    pub judicial: bool,
    /// Periods that were searched.
    pub epochs: usize,
    /// Cells opened, and of them those of other vehicles, which are not shown.
    pub cells: u64,
    /// See `cells`.
    pub others: u64,
    /// Entry of the disclosure in the desk's log; none where the charter does not know that log.
    pub disclosure: Option<u64>,
    /// The hold.
    pub held: Option<Held>,
    /// Until when the reads may be kept: the end of the hold, or the shortest duty of the rules, counted from the earliest decision.
    pub keep_until: Timestamp,
}

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
            camera: read.camera,
            plate: read.plate.expose_text().to_owned(),
            state: read.jurisdiction.map(|code| code.code().to_owned()).unwrap_or_default(),
            confidence: read.conf.map(|conf| format!("{}.{} %", conf / 10, conf % 10)).unwrap_or_default(),
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

    /// Checks everything but the receipts themselves and that `charter` is the right one, which the caller has done. `proven` are the leaves
    /// of the package's receipts, in any order; `policy` is the bundle of `rules`, where there is one.
    ///
    /// # Errors
    /// The first [`PackageFault`].
    pub fn check(
        &self,
        charter: &CharterFile,
        proven: &[Proven],
        policy: Option<&dyn AccessPolicy>,
    ) -> core::result::Result<Checked, PackageFault> {
        if self.charter.0 != charter.bytes() {
            let other = CharterFile::verify(&self.charter.0);
            // The same text under other signature lines is no other charter, and still not what was written.
            return Err(match other {
                Ok(other) if other.hash() == charter.hash() => PackageFault::Signature,
                Ok(_) => PackageFault::OtherCharter,
                Err(_) => PackageFault::Form,
            });
        }
        let mut register = Register::of(proven)?;
        let opened = self.opened(charter.charter())?;
        let asked = opened.request();
        let grant = Grant::from_bytes(&self.grant.0).map_err(|_form| PackageFault::Grant)?;
        if grant.request.to_bytes() != opened.filed().request.to_bytes() || grant.epoch_ids.is_empty() {
            return Err(PackageFault::Grant);
        }
        let decided = approvals(charter.charter(), &grant, &opened, policy, &mut register)?;
        let cells = self.cells(charter, &grant, opened.text(), &mut register)?;
        let desk = LogName::Desk(asked.requester_agency);
        let desk = charter.charter().log(&desk).is_some().then_some(desk);
        let claim = self.disclosed(&opened, &grant, desk, &mut register)?;
        if claim.0.cells.checked_sub(claim.0.others) != u64::try_from(cells).ok() {
            return Err(PackageFault::Count);
        }
        let held = self.held(&opened, &grant, charter.charter(), desk, &mut register)?;
        if !register.0.is_empty() {
            return Err(PackageFault::Extra);
        }
        let signed = self.claim().ok().zip(self.signature).is_some_and(|(claim, signature)| {
            let framed = Writer::new().lv32(&claim.digest).raw(&signature).finish();
            let signed = Signed::<PackageClaim>::from_bytes(&framed);
            signed.is_ok_and(|signed| signed.verify(&VerifyKey(asked.officer_key)).is_ok())
        });
        if !signed {
            return Err(PackageFault::Signature);
        }
        Ok(Checked {
            approvers: decided.approvers,
            rules: decided.rules,
            policy: decided.policy,
            replayed: policy.is_some(),
            judicial: decided.judicial,
            epochs: grant.epoch_ids.len(),
            cells: claim.0.cells,
            others: claim.0.others,
            disclosure: claim.1,
            held,
            keep_until: held.map_or(decided.keep_until, |held| held.until),
            opened,
        })
    }

    /// The request as a keeper would see it.
    fn opened(&self, charter: &Charter) -> core::result::Result<Opened<SearchRequest>, PackageFault> {
        let filed = FiledRequest::from_bytes(&self.filed.0).map_err(|_form| PackageFault::Request)?;
        let asked = filed.verify().map_err(|_signature| PackageFault::Request)?;
        if asked.owner_agency != charter.owner.id {
            return Err(PackageFault::Request);
        }
        let bad = |_form| PackageFault::Statement;
        let element = |shown: &ElementShown| {
            let input = PlateInput::from_bytes(&shown.input.0).ok_or(PackageFault::Statement)?;
            Ok((input, Blind::from_bytes(&shown.blind).map_err(|_scalar| PackageFault::Statement)?))
        };
        let text = OpeningText {
            elements: self.elements.iter().map(element).collect::<core::result::Result<_, _>>()?,
            statement: StatementText::from_bytes(&self.statement.0).map_err(bad)?,
            // They open plates of court papers to keepers; nobody else needs them.
            disclosures: Vec::new(),
            salts: Secret::new(self.salts),
        };
        let opened = check_text(filed, text, self.openings.clone()).map_err(bad)?;
        if plates_named(&opened) == 1 { Ok(opened) } else { Err(PackageFault::Plates) }
    }

    /// Opens every cell; how many.
    fn cells(
        &self,
        charter: &CharterFile,
        grant: &Grant,
        asked: &OpeningText,
        register: &mut Register<'_>,
    ) -> core::result::Result<usize, PackageFault> {
        let mut epochs = BTreeMap::new();
        for shown in &self.epochs {
            let (header, close) =
                check_epoch(charter, &shown.header.0, &shown.close.0).map_err(|_owner| PackageFault::Epoch)?;
            let window = (grant.request.claimed().win_from, grant.request.claimed().win_to);
            let granted = grant.epoch_ids.binary_search(&header.epoch_id).is_ok();
            let logged = register.take(|log, entry| {
                matches!(entry, LogEntry::EpochClosed(said)
                    if log == LogName::Recorder && said.header == close.header_hash && said.root == close.segment_root)
            });
            logged.ok_or(PackageFault::Missing)?;
            if !granted || header.cap_from < window.0 || header.cap_to > window.1 {
                return Err(PackageFault::Epoch);
            }
            if epochs.last_key_value().is_some_and(|(last, _)| *last >= header.epoch_id) {
                return Err(PackageFault::Form);
            }
            epochs.insert(header.epoch_id, (close.segment_root, header.bucket_bits));
        }
        let mut proofs = Vec::with_capacity(self.buckets.len());
        for shown in &self.buckets {
            let proof = BucketProof::from_bytes(&shown.proof.0).map_err(|_form| PackageFault::Bucket)?;
            proofs.push((shown.epoch, proof));
        }
        if !proofs.is_sorted_by(|a, b| (a.0, a.1.bucket) < (b.0, b.1.bucket)) {
            return Err(PackageFault::Form);
        }
        let mut buckets = BTreeMap::new();
        for (epoch, proof) in &proofs {
            let (root, bits) = epochs.get(epoch).ok_or(PackageFault::Extra)?;
            let bucket = proof.verify(proof.bucket, root, *bits).map_err(|_unproved| PackageFault::Bucket)?;
            buckets.insert((*epoch, proof.bucket), bucket);
        }
        let mut reads = Vec::with_capacity(self.cells.len());
        let (mut tags, mut used) = (BTreeSet::new(), BTreeSet::new());
        let mut last: Option<Place> = None;
        for cell in &self.cells {
            let bucket = buckets.get(&(cell.epoch, cell.bucket)).ok_or(PackageFault::Cell)?;
            let key = CellKey::from_bytes(cell.key);
            let read = key.read(cell.epoch, cell.tag, bucket).map_err(|_closed| PackageFault::Cell)?;
            let here = place(cell, &read);
            if last.is_some_and(|last| last >= here) || !tags.insert((cell.epoch, cell.tag)) {
                return Err(PackageFault::Form);
            }
            if is_other(&read, &asked.statement) {
                return Err(PackageFault::Cell);
            }
            last = Some(here);
            used.insert((cell.epoch, cell.bucket));
            reads.push(read);
        }
        let idle = epochs.keys().any(|epoch| !used.iter().any(|(other, _)| other == epoch));
        if used.len() != buckets.len() || idle {
            return Err(PackageFault::Extra);
        }
        if words(reads.iter(), &asked.statement) != self.reads {
            return Err(PackageFault::Reads);
        }
        Ok(reads.len())
    }

    fn disclosed(
        &self,
        opened: &Opened<SearchRequest>,
        grant: &Grant,
        desk: Option<LogName>,
        register: &mut Register<'_>,
    ) -> core::result::Result<(DisclosureClaim, Option<u64>), PackageFault> {
        let bad = |_form| PackageFault::Disclosure;
        let asked = opened.request();
        let signed = Signed::<DisclosureClaim>::from_bytes(&self.disclosure.0).map_err(bad)?;
        let claim = signed.verify(&VerifyKey(asked.officer_key)).map_err(bad)?;
        if claim.request_digest != asked.digest() || claim.grant_digest != grant.digest() {
            return Err(PackageFault::Disclosure);
        }
        let outcome = if self.cells.is_empty() { Outcome::None } else { Outcome::Found };
        let logged = register.take(|log, entry| {
            matches!(entry, LogEntry::Disclosure(said) if Some(log) == desk
                && (said.request, said.grant, said.owner) == (claim.request_digest, claim.grant_digest, asked.owner_agency)
                && (said.cells, said.others, said.outcome) == (claim.cells, claim.others, outcome))
        });
        match (desk, &logged) {
            (Some(_), None) => Err(PackageFault::Missing),
            (None, _) | (_, Some(_)) => Ok((claim.clone(), logged.map(|logged| logged.index))),
        }
    }

    fn held(
        &self,
        opened: &Opened<SearchRequest>,
        grant: &Grant,
        charter: &Charter,
        desk: Option<LogName>,
        register: &mut Register<'_>,
    ) -> core::result::Result<Option<Held>, PackageFault> {
        let statement = opened.text().statement.statement();
        let (Some(case_key), true) = (self.case_key, statement.hold) else {
            // A hold that is not held is no package: its rules are not those of a search.
            let none = self.case_key.is_none() && self.hold.0.is_empty() && !statement.hold;
            return if none { Ok(None) } else { Err(PackageFault::Hold) };
        };
        let bad = |_form| PackageFault::Hold;
        let signed = Signed::<HoldClaim>::from_bytes(&self.hold.0).map_err(bad)?;
        let claim = signed.verify(&VerifyKey(opened.request().officer_key)).map_err(bad)?;
        let held = HeldFor {
            salts: &opened.text().salts,
            case_number: &statement.case_number,
            seconds: &opened.filed().seconds,
            held: held_digest(&self.cells),
            case_key,
        };
        let holds = claim.request_digest == opened.request().digest()
            && claim.grant_digest == grant.digest()
            && u64::try_from(self.cells.len()) == Ok(claim.cells)
            && claim.until <= latest_until(charter, grant)
            && held.digests().is_ok_and(|digests| digests == claim.sd);
        if !holds {
            return Err(PackageFault::Hold);
        }
        let leaf = claim.leaf().map_err(bad)?;
        let logged =
            register.take(|log, entry| matches!(entry, LogEntry::Hold(said) if Some(log) == desk && *said == leaf));
        match (desk, &logged) {
            (Some(_), None) => Err(PackageFault::Missing),
            (None, _) | (_, Some(_)) => {
                Ok(Some(Held { until: claim.until, register: logged.map(|logged| logged.index) }))
            }
        }
    }
}

/// A leaf of the package that is not accounted for yet.
struct Entry<'a> {
    log: LogName,
    index: u64,
    leaf: &'a [u8],
    entry: LogEntry,
    time: Timestamp,
}

/// What the receipts prove; every entry must be needed for something.
struct Register<'a>(Vec<Entry<'a>>);

impl<'a> Register<'a> {
    fn of(proven: &'a [Proven]) -> core::result::Result<Self, PackageFault> {
        let entries = proven.iter().map(|one| match parse_leaf(&one.leaf) {
            Ok(Leaf::Known(stamped)) => Ok(Entry {
                log: one.log,
                index: one.index,
                leaf: &one.leaf,
                time: stamped.at(),
                entry: stamped.entry().clone(),
            }),
            Ok(Leaf::Unknown(_)) | Err(_) => Err(PackageFault::Entry),
        });
        entries.collect::<core::result::Result<_, _>>().map(Self)
    }

    fn take(&mut self, wanted: impl Fn(LogName, &LogEntry) -> bool) -> Option<Entry<'a>> {
        let at = self.0.iter().position(|entry| wanted(entry.log, &entry.entry))?;
        Some(self.0.swap_remove(at))
    }

    fn take_at(&mut self, log: LogName, index: u64) -> core::result::Result<Entry<'a>, PackageFault> {
        let at = self.0.iter().position(|entry| (entry.log, entry.index) == (log, index));
        at.map(|at| self.0.swap_remove(at)).ok_or(PackageFault::Missing)
    }

    fn take_request(
        &mut self,
        log: LogName,
        index: u64,
    ) -> core::result::Result<(Box<RequestLeaf>, Timestamp), PackageFault> {
        let entry = self.take_at(log, index)?;
        #[expect(clippy::wildcard_enum_match_arm, reason = "asks for one variant; every other one is no request")]
        match entry.entry {
            LogEntry::Request(leaf) => Ok((leaf, entry.time)),
            _ => Err(PackageFault::Entry),
        }
    }
}

/// What the approvals of a grant come to.
struct Approved {
    approvers: Vec<Approver>,
    rules: BTreeSet<String>,
    policy: [u8; 32],
    judicial: bool,
    keep_until: Timestamp,
}

/// Every approval stands in its keeper's log, which commits to this very request, and the rules can have given it.
fn approvals(
    charter: &Charter,
    grant: &Grant,
    opened: &Opened<SearchRequest>,
    policy: Option<&dyn AccessPolicy>,
    register: &mut Register<'_>,
) -> core::result::Result<Approved, PackageFault> {
    let first = grant.approvals.first().ok_or(PackageFault::Grant)?;
    let in_force = first.claimed().policy_digest;
    if policy.is_some_and(|policy| policy.digest() != in_force) {
        return Err(PackageFault::Rules(ReplayFault::Unknown));
    }
    let mut approved = Approved {
        approvers: Vec::new(),
        rules: BTreeSet::new(),
        policy: in_force,
        judicial: true,
        keep_until: Timestamp(u64::MAX),
    };
    let mut humans = 0;
    for signed in &grant.approvals {
        let approval = signed.claimed();
        let keeper = charter.keepers.iter().find(|keeper| keeper.key.public_key() == approval.keeper_key);
        let keeper = keeper.ok_or(PackageFault::Grant)?;
        if approval.log_origin != keeper.log_key.name().as_str() {
            return Err(PackageFault::Grant);
        }
        let log = LogName::Keeper(keeper.index);
        let by_person = approval.decision == Decided::ApprovedByHuman;
        let request_index = if by_person {
            let entry = register.take_at(log, approval.leaf_index)?;
            let said = human_outcome(entry.leaf).ok_or(PackageFault::Entry)?;
            if !said.approved || said.request != approval.request_digest || said.time != approval.time {
                return Err(PackageFault::Entry);
            }
            said.request_index
        } else {
            approval.leaf_index
        };
        let (leaf, time) = register.take_request(log, request_index)?;
        let decided = if by_person { RequestDecision::Ask } else { RequestDecision::Allow };
        if leaf.request != approval.request_digest
            || leaf.decision != decided
            || leaf.policy != in_force
            || (!by_person && time != approval.time)
        {
            return Err(PackageFault::Entry);
        }
        check_leaf(charter, opened, &leaf, time, policy)?;
        let duties = leaf.obligations.ok_or(PackageFault::Entry)?;
        humans = duties.approvers.max(humans);
        let kept = u64::from(duties.retain_days).saturating_mul(DAY);
        approved.keep_until = approved.keep_until.min(Timestamp(time.0.saturating_add(kept)));
        approved.judicial &= leaf.judicial;
        approved.rules.extend(leaf.rules);
        approved.approvers.push(Approver {
            keeper: keeper.index,
            by_person,
            time: approval.time,
            register: approval.leaf_index,
        });
    }
    grant.check_approvals(charter, &in_force, humans).map_err(|_grant| PackageFault::Grant)?;
    approved.approvers.sort_unstable_by_key(|approver| approver.keeper);
    Ok(approved)
}

fn check_leaf(
    charter: &Charter,
    opened: &Opened<SearchRequest>,
    leaf: &RequestLeaf,
    time: Timestamp,
    policy: Option<&dyn AccessPolicy>,
) -> core::result::Result<(), PackageFault> {
    // The tags of a notice hang on the keeper's own key.
    for name in SaltedName::ALL.iter().filter(|name| **name != SaltedName::Notice) {
        let digest = disclosure_of(opened, *name, &[]).map(|one| one.digest());
        if !digest.is_ok_and(|digest| leaf.sd.contains(&digest)) {
            return Err(PackageFault::Salted(*name));
        }
    }
    let decided = replay::Decided { leaf, time, dealt: None };
    match policy {
        None => replay::check_stated(charter, opened, decided).map_err(PackageFault::Rules),
        Some(policy) => match replay::replay(policy, charter, opened, decided) {
            Ok(Replayed::Same) => Ok(()),
            Ok(Replayed::ByCode | Replayed::OtherRules) => Err(PackageFault::Rules(ReplayFault::Allowed)),
            Err(fault) => Err(PackageFault::Rules(fault)),
        },
    }
}

#[cfg(test)]
mod tests;
