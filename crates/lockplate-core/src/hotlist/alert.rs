//! Alerts (`hotlists.md` sections 6 and 7): what an alert says, sealed to the key of the list's owner, and what officers may do with it.
//! A hit is something to look at: nothing here lets anybody act on an alert before a person has typed plate and state and the entry was
//! confirmed at its source. What is in clear names no plate, case or camera. No step leads from an alert to a search.

use std::collections::BTreeSet;

use rand_core::CryptoRng;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::limits::{
    ALERT_BYTES_MAX, ALERT_CROP_BYTES_MAX, CLOSED_KEPT_SECONDS, CONFIRMATION_BYTES_MAX, DISPOSITION_SECONDS,
    EXPIRED_KEPT_SECONDS, LOOK_SECONDS, STOPPED_KEPT_SECONDS,
};
use super::load::Ruling;
use super::matching::{Hit, Remark};
use super::set::{SetKind, SetStamp};
use crate::Timestamp;
use crate::directory::{CLOCK_SKEW_SECONDS_MAX, VerifiedDirectory};
use crate::entry::{Disposition, ListClass, MatchKind};
use crate::envelope::{HpkePublicKey, HpkeSecretKey, decrypt, encrypt};
use crate::error::{Error, Result};
use crate::json::{Field, Json, json_names, json_object, parse_canonical_within, time_ms_text};
use crate::person::{ByPerson, PersonKey};
use crate::plate::{Jurisdiction, Plate};
use crate::read::{Coded, Motion, Read, TimeQuality};
use crate::sign::Statement;
use crate::vocabulary::{Basis, Offence, Role};
use crate::wire::{Reader, Writer, th};

/// First line of every alert.
pub const BANNER: &str = "This is not probable cause. Read plate and state yourself and confirm with dispatch.";

/// Bytes of the text of an alert; what it quotes has bounds of its own, far below.
const TEXT_BYTES_MAX: usize = ALERT_BYTES_MAX - ALERT_CROP_BYTES_MAX - 8;

/// A number that may be missing: `""` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given(pub Option<u16>);

impl Field for Given {
    fn to_json(&self) -> Json {
        self.0.map_or_else(|| Json::text(""), |number| Json::Int(u64::from(number)))
    }

    fn from_json(value: Json) -> Result<Self> {
        if value == Json::text("") {
            return Ok(Self(None));
        }
        let number = u16::try_from(u64::from_json(value)?).ok();
        number.map(|number| Self(Some(number))).ok_or(Error::malformed("a number is too large"))
    }
}

impl From<Option<Coded>> for Given {
    fn from(coded: Option<Coded>) -> Self {
        Self(coded.map(|coded| coded.code))
    }
}

json_names! {
    /// Motion of the vehicle.
    MotionWords {
        /// Not known.
        Unknown = "unknown",
        /// Towards the camera.
        Approaching = "approaching",
        /// Away from it.
        Receding = "receding",
    }
    /// Where an entry comes from.
    Origin {
        /// An extract.
        Extract = "extract",
        /// The agency's own.
        Custom = "custom",
        /// AMBER.
        Amber = "amber",
    }
}

json_object! {
    /// The entry, as an alert shows it.
    #[derive(Clone, PartialEq, Eq)]
    AlertEntry {
        /// Id in its list.
        entry_id: String,
        /// Where it comes from.
        origin: Origin,
        /// Class.
        class: ListClass,
        /// The source's own code.
        source_file: String,
        /// Offence.
        offence: Offence,
        /// Legal basis.
        basis: Basis,
        /// Case number.
        case: String,
        /// ORI of the agency that entered it.
        agency: String,
        /// Whole days since it was entered.
        age_days: u64,
        /// When it ends.
        expires_at: Timestamp,
        /// Whole hours since its list was made.
        list_age_hours: u64,
        /// The plate listed.
        plate: String,
        /// The state listed.
        jurisdiction: Option<Jurisdiction>,
        /// Body class listed.
        vehicle_class: Given,
        /// Make listed.
        vehicle_make: Given,
        /// Colour listed.
        vehicle_colour: Given,
        /// For whoever looks.
        note: String,
        /// Key of the officer who brought a custom entry, whose case it is.
        creator: Option<[u8; 32]>,
    }
    /// The read, as an alert shows it.
    #[derive(Clone, PartialEq, Eq)]
    AlertRead {
        /// The text read.
        plate: String,
        /// The state read.
        jurisdiction: Option<Jurisdiction>,
        /// Confidence of the state, 1/1000.
        jurisdiction_conf: Given,
        /// Confidence of the text, 1/1000.
        conf: Given,
        /// When, UTC.
        captured_at: String,
        /// How good that time is.
        time_quality: TimeQuality,
        /// Camera.
        camera: u32,
        /// Where it stands, in words of the camera register.
        place: String,
        /// Motion.
        motion: MotionWords,
        /// Body class read.
        vehicle_class: Given,
        /// Make read.
        vehicle_make: Given,
        /// Colour read.
        vehicle_colour: Given,
    }
    /// What the law of the place says about alerts; from the policy.
    #[derive(Clone, Debug, PartialEq, Eq)]
    AlertLaw {
        /// Plate and state must be confirmed by eye.
        visual_confirmation: bool,
        /// An alert alone is no suspicion.
        no_suspicion: bool,
        /// How long alerts are kept, days.
        retain_days: u32,
        /// Rules of the decision.
        rules: Vec<String>,
    }
    /// All that an alert says.
    #[derive(Clone, PartialEq, Eq)]
    AlertText {
        /// [`BANNER`].
        banner: String,
        /// Id of the alert.
        alert: [u8; 16],
        /// The list.
        list: [u8; 16],
        /// Salt of what officers sign about it: nobody without the alert can try plates on their statements.
        salt: [u8; 32],
        /// How the read met the entry.
        matched: MatchKind as "match",
        /// Each difference and doubt in words.
        remarks: Vec<String>,
        /// Live; a late read notifies nobody.
        live: bool,
        /// The entry.
        entry: AlertEntry,
        /// The read.
        read: AlertRead,
        /// The law.
        law: AlertLaw,
        /// To be looked at before.
        look_by: Timestamp,
        /// To be disposed of before.
        dispose_by: Timestamp,
    }
}

macro_rules! redacted {
    ($($name:ident)*) => {$(
        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

redacted! { AlertEntry AlertRead AlertText AlertContent Seen LiveCheck }

/// What is sealed: text and crop.
#[derive(Clone, PartialEq, Eq)]
pub struct AlertContent {
    /// The text.
    pub text: AlertText,
    /// JPEG or PNG of the plate alone; empty where there is none.
    pub crop: Vec<u8>,
}

/// What an alert is raised with beside hit and read.
#[derive(Clone, Copy)]
pub struct Raising<'a> {
    /// Random id of the alert.
    pub alert: [u8; 16],
    /// Random salt.
    pub salt: [u8; 32],
    /// The set that was hit.
    pub stamp: &'a SetStamp,
    /// Where the camera stands.
    pub place: &'a str,
    /// Key of the officer who brought a custom entry, whose case it is.
    pub creator: Option<[u8; 32]>,
    /// The law of the place.
    pub law: &'a AlertLaw,
    /// The clock.
    pub now: Timestamp,
}

impl core::fmt::Debug for Raising<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Raising(..)")
    }
}

/// Raises an alert: its content, and what is kept of it in clear.
#[must_use]
pub fn raise(hit: &Hit, read: &Read, crop: &[u8], raising: &Raising<'_>) -> (AlertContent, AlertRecord) {
    let record = AlertRecord {
        alert: raising.alert,
        list: hit.list,
        kind: hit.kind,
        class: hit.entry.class,
        matched: hit.matched,
        live: hit.live,
        raised_at: raising.now.to_minute(),
        state: AlertState::Raised,
    };
    let text = AlertText {
        banner: BANNER.to_owned(),
        alert: raising.alert,
        list: hit.list,
        salt: raising.salt,
        matched: hit.matched,
        remarks: hit.remarks.iter().map(|remark| words(*remark)).collect(),
        live: hit.live,
        entry: entry_of(hit, raising),
        read: read_of(read, raising.place),
        law: AlertLaw { rules: raising.law.rules.iter().map(|rule| shown(rule)).collect(), ..raising.law.clone() },
        look_by: record.look_by(),
        dispose_by: record.dispose_by(),
    };
    // A crop that is too long is another thing than a plate; the alert is raised without it.
    let crop = if crop.len() <= ALERT_CROP_BYTES_MAX { crop.to_vec() } else { Vec::new() };
    (AlertContent { text, crop }, record)
}

fn words(remark: Remark) -> String {
    remark.label().to_owned()
}

/// As canonical text can carry it: composed, without control characters. A list's odd byte must not cost an alert.
fn shown(text: &str) -> String {
    text.nfc().filter(|c| !c.is_control()).collect()
}

fn entry_of(hit: &Hit, raising: &Raising<'_>) -> AlertEntry {
    let entry = &hit.entry;
    let since = |time: Timestamp| raising.now.0.saturating_sub(time.0);
    AlertEntry {
        entry_id: shown(&entry.entry_id),
        origin: match hit.kind {
            SetKind::Extract => Origin::Extract,
            SetKind::Custom => Origin::Custom,
            SetKind::Amber => Origin::Amber,
        },
        class: entry.class,
        source_file: shown(&entry.source_file),
        offence: entry.offence,
        basis: entry.basis,
        case: shown(&entry.case),
        agency: shown(&entry.agency),
        age_days: since(entry.entered_at) / 86_400,
        expires_at: entry.expires_at,
        list_age_hours: since(raising.stamp.produced_at) / 3_600,
        plate: entry.plate.expose_text().to_owned(),
        jurisdiction: entry.jurisdiction,
        vehicle_class: entry.vehicle.class.into(),
        vehicle_make: entry.vehicle.make.into(),
        vehicle_colour: entry.vehicle.colour.into(),
        note: shown(&entry.note),
        creator: raising.creator,
    }
}

fn read_of(read: &Read, place: &str) -> AlertRead {
    AlertRead {
        plate: read.plate.expose_text().to_owned(),
        jurisdiction: read.jurisdiction,
        jurisdiction_conf: Given(read.jur_conf),
        conf: Given(read.conf),
        captured_at: time_ms_text(read.captured_at),
        time_quality: read.time_quality,
        camera: read.camera,
        place: shown(place),
        motion: match read.motion {
            Motion::Unknown => MotionWords::Unknown,
            Motion::Approaching => MotionWords::Approaching,
            Motion::Receding => MotionWords::Receding,
        },
        vehicle_class: read.vehicle.class.into(),
        vehicle_make: read.vehicle.make.into(),
        vehicle_colour: read.vehicle.colour.into(),
    }
}

fn info(list: &[u8; 16]) -> Vec<u8> {
    [b"LPv1 alert".as_slice(), list].concat()
}

/// Seals an alert to the alert key of the list's owner: HPKE of `lv32(canonical text) || lv32(crop)`, info `"LPv1 alert" || list`, aad
/// the alert's id, so that no sealed alert can be put in another's place.
///
/// # Errors
/// `Malformed` if the key is not usable; `Invalid` if the text is longer than its parts can make it.
pub fn seal_alert(to: &HpkePublicKey, content: &AlertContent, rng: &mut impl CryptoRng) -> Result<Vec<u8>> {
    let text = Zeroizing::new(content.text.to_json().to_canonical_bytes_within(TEXT_BYTES_MAX)?);
    if content.crop.len() > ALERT_CROP_BYTES_MAX {
        return Err(Error::invalid("the crop of an alert is too long"));
    }
    let plain = Zeroizing::new(Writer::new().lv32(&text).lv32(&content.crop).finish());
    encrypt(to, &info(&content.text.list), &content.text.alert, &plain, rng)
}

/// Opens what [`seal_alert`] sealed.
///
/// # Errors
/// `Malformed` if it was sealed to another key, for another list or alert, or holds something else.
pub fn open_alert(secret: &HpkeSecretKey, record: &AlertRecord, sealed: &[u8]) -> Result<AlertContent> {
    open_sealed(secret, &record.list, &record.alert, sealed)
}

/// Opens an alert that another agency's recorder sealed to the own key. Its record is made from what was sealed and from nothing else that
/// is said about it.
///
/// # Errors
/// `Malformed` as [`open_alert`], or if it is no alert as [`raise`] makes it on an extract, which is all that other agencies match.
pub fn open_handed(
    secret: &HpkeSecretKey,
    list: &[u8; 16],
    alert: &[u8; 16],
    sealed: &[u8],
) -> Result<(AlertContent, AlertRecord)> {
    let content = open_sealed(secret, list, alert, sealed)?;
    let text = &content.text;
    let record = AlertRecord {
        alert: *alert,
        list: *list,
        kind: SetKind::Extract,
        class: text.entry.class,
        matched: text.matched,
        live: text.live,
        raised_at: Timestamp(text.look_by.0.saturating_sub(LOOK_SECONDS)),
        state: AlertState::Raised,
    };
    let is_raised = text.banner == BANNER
        && text.entry.origin == Origin::Extract
        && text.entry.class.may_be_loaded()
        && record.raised_at == record.raised_at.to_minute()
        && (record.look_by(), record.dispose_by()) == (text.look_by, text.dispose_by);
    if is_raised { Ok((content, record)) } else { Err(Error::malformed("no alert on a list that others match")) }
}

fn open_sealed(secret: &HpkeSecretKey, list: &[u8; 16], alert: &[u8; 16], sealed: &[u8]) -> Result<AlertContent> {
    let plain = Zeroizing::new(decrypt(secret, &info(list), alert, sealed)?);
    let mut r = Reader::new(&plain);
    let (text, crop) = (r.lv32(TEXT_BYTES_MAX)?, r.lv32(ALERT_CROP_BYTES_MAX)?.to_vec());
    r.end()?;
    let text = AlertText::from_json(parse_canonical_within(text, TEXT_BYTES_MAX)?)?;
    if text.alert != *alert || text.list != *list {
        return Err(Error::malformed("a sealed alert is another one than its record"));
    }
    Ok(AlertContent { text, crop })
}

fn said_info(list: &[u8; 16]) -> Vec<u8> {
    [b"LPv1 alert-said".as_slice(), list].concat()
}

/// Seals what an officer said with a step to the key of its alert: what was typed is a plate as well. Info `"LPv1 alert-said" || list`,
/// aad the alert's id and the step's code. Without the words the signature over their salted digest would prove nothing.
///
/// # Errors
/// `Malformed` if the key is not usable.
pub fn seal_said(
    to: &HpkePublicKey,
    record: &AlertRecord,
    step: StepKind,
    said: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>> {
    encrypt(to, &said_info(&record.list), &[record.alert.as_slice(), &[step.code()]].concat(), said, rng)
}

/// Opens what [`seal_said`] sealed.
///
/// # Errors
/// `Malformed` if it was sealed to another key, or for another alert or step.
pub fn open_said(
    secret: &HpkeSecretKey,
    record: &AlertRecord,
    step: StepKind,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    decrypt(secret, &said_info(&record.list), &[record.alert.as_slice(), &[step.code()]].concat(), sealed)
        .map(Zeroizing::new)
}

/// What is kept of an alert in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRecord {
    /// Random id.
    pub alert: [u8; 16],
    /// The list.
    pub list: [u8; 16],
    /// Where the list comes from, which decides who confirms an entry.
    pub kind: SetKind,
    /// Class of the entry.
    pub class: ListClass,
    /// How the read met it.
    pub matched: MatchKind,
    /// Somebody was notified.
    pub live: bool,
    /// Minute in which it was raised.
    pub raised_at: Timestamp,
    /// What became of it.
    pub state: AlertState,
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertState {
    /// Nobody has looked.
    Raised,
    /// Somebody typed the plate and state that are listed.
    Looked {
        /// Key of the officer.
        by: [u8; 32],
    },
    /// And the entry was confirmed.
    Verified,
    /// The plate, the state or the entry is not what the alert took it for.
    Rejected {
        /// As what it is closed.
        reason: Disposition,
    },
    /// Disposed of.
    Closed {
        /// How.
        disposition: Disposition,
        /// Somebody was stopped.
        stopped: bool,
        /// It had been verified.
        verified: bool,
        /// When.
        at: Timestamp,
    },
    /// Not looked at in time: cannot be acted on.
    Expired {
        /// Since.
        at: Timestamp,
    },
}

/// What a step does beside the alert itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The entry is suspended here ([`Marks::suspend`](super::matching::Marks::suspend)).
    Suspend,
    /// The agency that entered it is told.
    NotifyAgency,
    /// The entry was hit by another state's plate once more ([`Marks::wrong_state`](super::matching::Marks::wrong_state)).
    CountWrongState,
    /// Camera and engine misread once more.
    CountMisread,
}

fn effects_of(disposition: Disposition) -> BTreeSet<Effect> {
    match disposition {
        Disposition::StaleEntry => BTreeSet::from([Effect::Suspend, Effect::NotifyAgency]),
        Disposition::WrongState => BTreeSet::from([Effect::CountWrongState]),
        Disposition::Misread => BTreeSet::from([Effect::CountMisread]),
        Disposition::Recovered
        | Disposition::Arrest
        | Disposition::LocatedSafe
        | Disposition::CheckedNoAction
        | Disposition::WrongVehicle
        | Disposition::Lost
        | Disposition::NotFollowedUp
        | Disposition::Duplicate => BTreeSet::new(),
    }
}

/// A step that an officer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// 1: typed plate and state.
    Look,
    /// 2: the entry is confirmed, or not.
    LiveCheck,
    /// 3: disposed of.
    Close,
}

impl StepKind {
    const fn code(self) -> u8 {
        match self {
            Self::Look => 1,
            Self::LiveCheck => 2,
            Self::Close => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Look),
            2 => Some(Self::LiveCheck),
            3 => Some(Self::Close),
            _ => None,
        }
    }
}

/// What an officer signs of a step: which alert, which step, and a salted digest of what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertStep {
    /// The alert.
    pub alert: [u8; 16],
    /// The step.
    pub step: StepKind,
    /// [`Seen::said`], [`LiveCheck::said`] or [`Closing::said`].
    pub said: [u8; 32],
    /// The officer's clock.
    pub time: Timestamp,
}

impl Statement for AlertStep {
    const LABEL: &'static str = "alert-step";
    const BYTES_MAX: usize = 57;

    fn encode(&self) -> Vec<u8> {
        Writer::new().raw(&self.alert).u8(self.step.code()).raw(&self.said).u64(self.time.0).finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut r = Reader::new(bytes);
        let (alert, step) = (r.array()?, StepKind::from_code(r.u8()?));
        let step = step.ok_or(Error::malformed("an alert has no such step"))?;
        let statement = Self { alert, step, said: r.array()?, time: Timestamp(r.u64()?) };
        r.end()?;
        Ok(statement)
    }
}

/// An officer who signed one step and whom the policy lets read hits. Only [`Acting::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acting {
    officer: [u8; 32],
    step: AlertStep,
    decision: [u8; 32],
}

impl Acting {
    /// Checks the signature and its time. `ruling` is the policy's `readHit` decision on this officer and alert.
    ///
    /// # Errors
    /// `Invalid` if the policy refuses, the signature is not the key's, or its time is not now.
    pub fn verify(signed: &ByPerson<AlertStep>, key: &PersonKey, ruling: &Ruling, now: Timestamp) -> Result<Self> {
        if !ruling.allowed {
            return Err(Error::invalid("the policy does not let this officer read the hit"));
        }
        let step = signed.verify(key)?.clone();
        if step.time.0.abs_diff(now.0) > CLOCK_SKEW_SECONDS_MAX {
            return Err(Error::invalid("a step of an alert was signed at another time"));
        }
        Ok(Self { officer: key.id(), step, decision: ruling.digest })
    }

    /// The officer's key.
    #[must_use]
    pub const fn officer(&self) -> &[u8; 32] {
        &self.officer
    }

    /// The decision that lets the officer.
    #[must_use]
    pub const fn decision(&self) -> &[u8; 32] {
        &self.decision
    }

    fn said(&self, record: &AlertRecord, step: StepKind, said: &[u8; 32]) -> Result<()> {
        if self.step.alert == record.alert && self.step.step == step && self.step.said == *said {
            Ok(())
        } else {
            Err(Error::invalid("the officer signed another step"))
        }
    }
}

fn said(text: &AlertText, step: StepKind, parts: &[&[u8]]) -> [u8; 32] {
    let head = [text.salt.as_slice(), &[step.code()]];
    th("alert-said", &head.iter().chain(parts).copied().collect::<Vec<_>>())
}

/// Where plate and state were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenOn {
    /// On the crop.
    Crop,
    /// On the road.
    Road,
}

/// What a verifier typed.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen {
    /// The plate.
    pub plate: Plate,
    /// The state; none if it cannot be made out.
    pub jurisdiction: Option<Jurisdiction>,
    /// Where.
    pub on: SeenOn,
}

impl Seen {
    /// What the officer signs.
    #[must_use]
    pub fn said(&self, text: &AlertText) -> [u8; 32] {
        let on = match self.on {
            SeenOn::Crop => [1],
            SeenOn::Road => [2],
        };
        let state = self.jurisdiction.as_ref().map_or("", Jurisdiction::code);
        said(text, StepKind::Look, &[self.plate.expose_text().as_bytes(), state.as_bytes(), &on])
    }
}

/// What was asked at the source of an entry, and answered.
#[derive(Clone, PartialEq, Eq)]
pub struct LiveCheck {
    /// The entry holds.
    pub confirmed: bool,
    /// By whom.
    pub by: ConfirmedBy,
}

/// Who confirms an entry.
#[derive(Clone, PartialEq, Eq)]
pub enum ConfirmedBy {
    /// Its source, asked now.
    Source {
        /// The source's reference.
        reference: String,
        /// Who answered.
        who: String,
        /// When.
        at: Timestamp,
    },
    /// The officer whose case it is, who signs the step.
    CaseOfficer,
    /// A supervisor, who signs the step.
    Supervisor,
}

impl core::fmt::Debug for ConfirmedBy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Source { .. } => "Source",
            Self::CaseOfficer => "CaseOfficer",
            Self::Supervisor => "Supervisor",
        })
    }
}

impl LiveCheck {
    /// What the officer signs.
    #[must_use]
    pub fn said(&self, text: &AlertText) -> [u8; 32] {
        let confirmed = [u8::from(self.confirmed)];
        let parts: (u8, &str, &str, u64) = match &self.by {
            ConfirmedBy::Source { reference, who, at } => (1, reference, who, at.0),
            ConfirmedBy::CaseOfficer => (2, "", "", 0),
            ConfirmedBy::Supervisor => (3, "", "", 0),
        };
        let (by, reference, who, at) = parts;
        let at = at.to_be_bytes();
        said(text, StepKind::LiveCheck, &[&confirmed, &[by], reference.as_bytes(), who.as_bytes(), &at])
    }
}

/// How an alert ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// How.
    pub disposition: Disposition,
    /// Somebody was stopped.
    pub stopped: bool,
}

impl Closing {
    /// What the officer signs.
    #[must_use]
    pub fn said(&self, text: &AlertText) -> [u8; 32] {
        said(text, StepKind::Close, &[self.disposition.name().as_bytes(), &[u8::from(self.stopped)]])
    }
}

/// An alert after a step, and what else the step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stepped {
    /// The alert.
    pub record: AlertRecord,
    /// What else.
    pub effects: BTreeSet<Effect>,
}

impl AlertRecord {
    /// To be looked at before.
    #[must_use]
    pub const fn look_by(&self) -> Timestamp {
        Timestamp(self.raised_at.0.saturating_add(LOOK_SECONDS))
    }

    /// To be disposed of before.
    #[must_use]
    pub const fn dispose_by(&self) -> Timestamp {
        Timestamp(self.raised_at.0.saturating_add(DISPOSITION_SECONDS))
    }

    /// The alert as it is at `now`: one that nobody looked at in time is expired.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        let state = match self.state {
            AlertState::Raised if now >= self.look_by() => AlertState::Expired { at: self.look_by() },
            same @ (AlertState::Raised
            | AlertState::Looked { .. }
            | AlertState::Verified
            | AlertState::Rejected { .. }
            | AlertState::Closed { .. }
            | AlertState::Expired { .. }) => same,
        };
        Self { state, ..self.clone() }
    }

    /// True if it was looked at and not disposed of in time: counted in public.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        let waits = match self.state {
            AlertState::Looked { .. } | AlertState::Verified | AlertState::Rejected { .. } => true,
            AlertState::Raised | AlertState::Closed { .. } | AlertState::Expired { .. } => false,
        };
        waits && now >= self.dispose_by()
    }

    /// When it is erased; none before a look. Where somebody was stopped, after two years or what records law says. One that nobody
    /// disposes of goes as if it had been closed when it should have been: nothing lies for ever.
    #[must_use]
    pub fn erase_at(&self, records_law_seconds: Option<u64>) -> Option<Timestamp> {
        let (at, kept) = match self.state {
            AlertState::Expired { at } => (at, EXPIRED_KEPT_SECONDS),
            AlertState::Closed { stopped: true, at, .. } => (at, records_law_seconds.unwrap_or(STOPPED_KEPT_SECONDS)),
            AlertState::Closed { stopped: false, at, .. } => (at, CLOSED_KEPT_SECONDS),
            AlertState::Looked { .. } | AlertState::Verified | AlertState::Rejected { .. } => {
                (self.dispose_by(), CLOSED_KEPT_SECONDS)
            }
            AlertState::Raised => return None,
        };
        Some(Timestamp(at.0.saturating_add(kept)))
    }

    /// The verifier typed plate and state. Another text than listed rejects the alert as a misread, another state as such.
    ///
    /// # Errors
    /// `Invalid` if the alert waits for no look, there is no crop to look at, the state is listed and was not typed, or the officer
    /// signed something else.
    pub fn look(&self, content: &AlertContent, seen: &Seen, acting: &Acting, now: Timestamp) -> Result<Stepped> {
        let text = self.text(content)?;
        if self.at(now).state != AlertState::Raised {
            return Err(Error::invalid("the alert waits for no look"));
        }
        if seen.on == SeenOn::Crop && content.crop.is_empty() {
            return Err(Error::invalid("there is no crop to look at; plate and state must be seen on the road"));
        }
        acting.said(self, StepKind::Look, &seen.said(text))?;
        let state = if seen.plate.is_overlong() || seen.plate.expose_text() != text.entry.plate {
            AlertState::Rejected { reason: Disposition::Misread }
        } else {
            match (text.entry.jurisdiction, seen.jurisdiction) {
                (Some(_), None) => return Err(Error::invalid("the state must be typed as well")),
                (Some(listed), Some(typed)) if listed != typed => {
                    AlertState::Rejected { reason: Disposition::WrongState }
                }
                (Some(_) | None, Some(_)) | (None, None) => AlertState::Looked { by: acting.officer },
            }
        };
        Ok(self.stepped(state))
    }

    /// The entry was asked about at its source: with the look it makes the alert verified, or the entry is out of date.
    ///
    /// # Errors
    /// `Invalid` if nobody looked yet, whoever confirms may not, the creator of a custom entry would verify alone, or the officer signed
    /// something else.
    pub fn live_check(
        &self,
        content: &AlertContent,
        check: &LiveCheck,
        acting: &Acting,
        directory: &VerifiedDirectory,
        now: Timestamp,
    ) -> Result<Stepped> {
        let text = self.text(content)?;
        let AlertState::Looked { by: looker } = self.state else {
            return Err(Error::invalid("an entry is confirmed after a look and once"));
        };
        acting.said(self, StepKind::LiveCheck, &check.said(text))?;
        self.may_confirm(text, check, acting, directory, now)?;
        if !check.confirmed {
            return Ok(self.stepped(AlertState::Rejected { reason: Disposition::StaleEntry }));
        }
        // The creator and somebody else; where the creator is not known any more, two people of whom one is not the creator.
        let two = |one: &[u8; 32], other: &[u8; 32]| directory.are_two_persons(one, other);
        let others = text.entry.creator.is_some_and(|creator| two(&creator, &looker) || two(&creator, &acting.officer));
        if self.kind == SetKind::Custom && !others && !two(&looker, &acting.officer) {
            return Err(Error::invalid("the creator of an entry does not verify its alert alone"));
        }
        Ok(self.stepped(AlertState::Verified))
    }

    fn may_confirm(
        &self,
        text: &AlertText,
        check: &LiveCheck,
        acting: &Acting,
        directory: &VerifiedDirectory,
        now: Timestamp,
    ) -> Result<()> {
        let may = match (&check.by, self.kind) {
            (ConfirmedBy::Source { reference, who, at }, SetKind::Extract | SetKind::Amber) => {
                let named = |text: &str| !text.trim().is_empty() && text.len() <= CONFIRMATION_BYTES_MAX;
                // An answer from before the read says nothing of now.
                let is_live = *at >= self.raised_at && at.0 <= now.0.saturating_add(CLOCK_SKEW_SECONDS_MAX);
                named(reference) && named(who) && is_live
            }
            (ConfirmedBy::CaseOfficer, SetKind::Custom) => text.entry.creator == Some(acting.officer),
            (ConfirmedBy::Supervisor, SetKind::Custom) => {
                directory.roles(&acting.officer).is_some_and(|roles| roles.contains(&Role::Supervisor))
                    && directory.is_in_service(&acting.officer, now)
            }
            (ConfirmedBy::Source { .. }, SetKind::Custom)
            | (ConfirmedBy::CaseOfficer | ConfirmedBy::Supervisor, SetKind::Extract | SetKind::Amber) => false,
        };
        if may { Ok(()) } else { Err(Error::invalid("this does not confirm an entry of this list")) }
    }

    /// Disposes of an alert. One that was rejected ends as what it was rejected for. One that was looked at and never verified may end in
    /// any way, since what happened must be said; it stands as not verified for ever.
    ///
    /// # Errors
    /// `Invalid` if nobody looked, it is closed, it was rejected for something else, or the officer signed something else.
    pub fn close(&self, content: &AlertContent, closing: Closing, acting: &Acting, now: Timestamp) -> Result<Stepped> {
        let text = self.text(content)?;
        acting.said(self, StepKind::Close, &closing.said(text))?;
        let Closing { disposition, stopped } = closing;
        let (verified, effects) = match self.state {
            AlertState::Verified => (true, effects_of(disposition)),
            AlertState::Looked { .. } => (false, effects_of(disposition)),
            // Its effects came with the rejection.
            AlertState::Rejected { reason } if reason == disposition => (false, BTreeSet::new()),
            AlertState::Rejected { .. } => {
                return Err(Error::invalid("a rejected alert ends as what it was rejected for"));
            }
            AlertState::Raised | AlertState::Closed { .. } | AlertState::Expired { .. } => {
                return Err(Error::invalid("an alert is disposed of after a look and once"));
            }
        };
        let state = AlertState::Closed { disposition, stopped, verified, at: now.to_minute() };
        Ok(Stepped { record: Self { state, ..self.clone() }, effects })
    }

    fn stepped(&self, state: AlertState) -> Stepped {
        let effects = match state {
            AlertState::Rejected { reason } => effects_of(reason),
            AlertState::Raised
            | AlertState::Looked { .. }
            | AlertState::Verified
            | AlertState::Closed { .. }
            | AlertState::Expired { .. } => BTreeSet::new(),
        };
        Stepped { record: Self { state, ..self.clone() }, effects }
    }

    fn text<'a>(&self, content: &'a AlertContent) -> Result<&'a AlertText> {
        if content.text.alert == self.alert {
            Ok(&content.text)
        } else {
            Err(Error::invalid("the content is another alert's"))
        }
    }
}

#[cfg(test)]
mod tests;
