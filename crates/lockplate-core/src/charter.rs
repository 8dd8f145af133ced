//! The charter (LPv1 section 3): the signed founding file of one archive. It says who owns it, who keeps the keys, how many of
//! them must agree, who may sign court papers, and which rules hold. It is public and holds no secret. Everything else rests on
//! it: headers, requests and grants carry its hash or its parties' keys.

mod logs;

use std::collections::{BTreeMap, BTreeSet};

use lockplate_log::note::{NoteSignature, NoteSigner, SignatureType, SignedNote, VerifierKey};
use lockplate_oprf::Threshold;

use crate::directory::TrustEntry;
use crate::error::{Error, Result};
use crate::hotlist::limits::{ACCOUNTS_MAX, EXTRACT_ENTRIES_MAX};
use crate::id::{AgencyId, KeeperIndex, RecorderId};
use crate::json::{json_names, json_object};
use crate::limits::{CHARTER_BYTES_MAX, EPOCHS_PER_DAY_MAX, KEEPERS_MAX};
use crate::signed::{SignedObject, VersionOne, sign_text, text_of};
use crate::vocabulary::{ArchiveKind, Level, State};
use crate::wire::th;

pub use logs::{CharterLog, CharterWitness, LogName};

/// Bytes of a public X-Wing key.
pub const OPENING_KEY_BYTES: usize = 1216;
/// Signature lines of a charter: the agency's and 16 keepers'. The next charter's parties may sign too.
pub const CHARTER_SIGNATURES_MAX: usize = 32;
/// Recorders of a charter.
pub const RECORDERS_MAX: usize = 64;
/// Auditors of a charter: each gets an Opening of every request, and the request leaf has room for so many digests.
pub const AUDITORS_MAX: usize = 8;
/// Entries of the trust list in a charter.
pub const TRUST_ENTRIES_MAX: usize = 512;
/// Outside witnesses of a charter. With 16 keepers they stay within the signatures that a note may carry.
pub const WITNESSES_MAX: usize = 15;
/// Agencies that a charter names, the owner included.
pub const AGENCIES_MAX: usize = 256;
/// Human keys of one keeper, and policy signers.
pub const HUMANS_MAX: usize = 16;
/// Characters of a name or address of a party.
pub const NAME_CHARS_MAX: usize = 200;
/// Shortest and longest epoch: a second (demonstrations), a day.
pub const EPOCH_SECONDS: core::ops::RangeInclusive<u64> = 1..=86_400;
const DAY_SECONDS: u64 = 86_400;
/// Longest retention: ten years.
pub const RETENTION_SECONDS_MAX: u64 = 3_653 * 86_400;
/// Shortest time that openings are kept: a year (CJIS audit floor).
pub const OPENING_KEEP_SECONDS_MIN: u64 = 365 * 86_400;

/// Shown on every page and in the log where [`Charter::custody_label`] is true.
pub const CUSTODY_LABEL: &str = "one party can open everything";

json_names! {
    /// What kind of statement a charter file is; there is one.
    CharterKind {
        /// The charter.
        Charter = "charter",
    }
    /// Whose Ed25519 key files count beside a session statement (`authorisation.md` section 4).
    AcceptKeyFiles {
        /// Officers of the owner agency only.
        Own = "own",
        /// Officers of every agency.
        All = "all",
    }
    /// What must have happened to a leaf before anything is done about it (`log.md` section 3).
    LeafWait {
        /// A published checkpoint with the quorum of its log covers it.
        Cosigned = "cosigned",
        /// It is on the log's own disk, under a head that the log signed.
        Durable = "durable",
    }
    /// What an outside witness does besides cosigning.
    WitnessKind {
        /// Nothing.
        Witness = "witness",
        /// It keeps a copy of the log and serves it.
        Mirror = "mirror",
    }
}

json_object! {
    /// The agency that owns the archive.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Owner {
        /// Its id.
        id: AgencyId,
        /// Its name.
        name: String,
        /// Its state.
        state: State,
        /// Its level.
        level: Level,
    }
    /// A recorder and the Ed25519 key that signs its epoch headers and closes.
    #[derive(Clone, Debug, PartialEq, Eq)]
    RecorderEntry {
        /// Its id.
        id: RecorderId,
        /// Ed25519 public key.
        key: [u8; 32],
    }
    /// A keeper: an office that holds one share of every epoch.
    #[derive(Clone, Debug, PartialEq, Eq)]
    KeeperEntry {
        /// Its place, 1 to n, without gap.
        index: KeeperIndex,
        /// The legal entity it belongs to. Equal texts are one entity.
        legal_entity: String,
        /// Its name for people.
        name: String,
        /// The key that signs approvals, receipts, prekeys, evaluations, and this charter. Type 0x01.
        key: VerifierKey,
        /// X-Wing public key to which Openings are sealed.
        opening_key: [u8; OPENING_KEY_BYTES],
        /// Its log's key; the name is the log's origin. Type 0x01.
        log_key: VerifierKey,
        /// The key by which it cosigns the logs of others; it signs nothing else. Type 0x04.
        witness_key: VerifierKey,
        /// Base address, `https://..`.
        url: String,
        /// SHA-256 of its TLS certificate's SubjectPublicKeyInfo.
        tls_pin: [u8; 32],
        /// Ed25519 keys of the people who decide for it.
        human_keys: Vec<[u8; 32]>,
    }
    /// An auditor, who gets an Opening of every request.
    #[derive(Clone, Debug, PartialEq, Eq)]
    AuditorEntry {
        /// His name for people.
        name: String,
        /// X-Wing public key.
        opening_key: [u8; OPENING_KEY_BYTES],
    }
    /// Where the agency's archive and recorder log are.
    #[derive(Clone, Debug, PartialEq, Eq)]
    ArchiveEntry {
        /// Base address, `https://..`.
        url: String,
        /// SHA-256 of its TLS certificate's SubjectPublicKeyInfo.
        tls_pin: [u8; 32],
        /// The recorder log's key; the name is the log's origin. Type 0x01.
        log_key: VerifierKey,
    }
    /// A witness that is neither keeper nor owner: a court, a library, a newspaper.
    #[derive(Clone, Debug, PartialEq, Eq)]
    WitnessEntry {
        /// Its name for people.
        name: String,
        /// The legal entity that runs it; neither the owner nor a keeper's.
        operator: String,
        /// Its cosigning key. Type 0x04.
        key: VerifierKey,
        /// Base address, `https://..`.
        url: String,
        /// SHA-256 of its TLS certificate's SubjectPublicKeyInfo.
        tls_pin: [u8; 32],
        /// What it does besides cosigning.
        kind: WitnessKind,
    }
    /// An agency that the register shows by name, and where its desk's log is.
    #[derive(Clone, Debug, PartialEq, Eq)]
    AgencyPage {
        /// Its id.
        id: AgencyId,
        /// Its name for people.
        name: String,
        /// Its state.
        state: State,
        /// Its level.
        level: Level,
        /// Its desk's log's key; the name is the log's origin. Type 0x01. None for an agency that runs no desk.
        desk_log: Option<VerifierKey>,
        /// Base address, `https://..`.
        url: String,
        /// SHA-256 of its TLS certificate's SubjectPublicKeyInfo.
        tls_pin: [u8; 32],
    }
    /// The founding file. Plain data: only [`CharterFile::verify`] and [`CharterFile::assemble`] say that it is a valid one.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Charter {
        /// Version.
        v: VersionOne,
        /// Always `charter`.
        kind: CharterKind,
        /// Who owns the archive.
        owner: Owner,
        /// What the archive is for.
        archive_kind: ArchiveKind,
        /// The agency's signing key. Type 0x01.
        agency_key: VerifierKey,
        /// Archive and recorder log.
        archive: ArchiveEntry,
        /// Recorders.
        recorders: Vec<RecorderEntry>,
        /// Keepers in order of index.
        keepers: Vec<KeeperEntry>,
        /// t: keepers that must agree.
        threshold: u8,
        /// Outside witnesses.
        witnesses: Vec<WitnessEntry>,
        /// How many of them must cosign a log on top of the keepers.
        outside_witnesses: u8,
        /// What a keeper's leaf waits for.
        keeper_leaves: LeafWait,
        /// What a leaf of recorder and desk waits for; camera and hot-list leaves always wait for the quorum.
        agency_leaves: LeafWait,
        /// The owner and the requesters it knows.
        agencies: Vec<AgencyPage>,
        /// p: how many of a hundred leaves are audited.
        audit_percent: u8,
        /// Auditors in the order of their digests in `openings_hash`.
        auditors: Vec<AuditorEntry>,
        /// The trust list at the founding; later ones are signed objects of their own.
        trust: Vec<TrustEntry>,
        /// Digest of the policy bundle in force at the founding.
        policy: [u8; 32],
        /// Keys of the policy signers. Type 0x01.
        policy_signers: Vec<VerifierKey>,
        /// k: policy signers needed for a looser policy.
        policy_quorum: u8,
        /// Length of a capture window, seconds.
        epoch_seconds: u64,
        /// Retention, seconds after the end of the capture window.
        retention_seconds: u64,
        /// How long keepers keep openings, seconds.
        opening_keep_seconds: u64,
        /// Entries of one extract, at most; 0 of an operator, whose reads are not matched with hot lists.
        extract_entries_max: u64,
        /// Accounts of a toll or parking operator, at most; 0 of the police.
        accounts_max: u64,
        /// Whose key files count.
        accept_key_files: AcceptKeyFiles,
        /// Whether a court paper that only the owner's custodian attests counts.
        accept_attested: bool,
    }
}

impl Charter {
    /// The threshold.
    ///
    /// # Errors
    /// `Invalid` unless 2 <= t <= n <= 16.
    pub fn threshold(&self) -> Result<Threshold> {
        let keepers = u8::try_from(self.keepers.len()).unwrap_or(u8::MAX);
        Threshold::new(self.threshold, keepers).ok().ok_or(Error::invalid("the charter's threshold is out of range"))
    }

    /// True if one legal entity holds t or more shares and so can open everything ([`CUSTODY_LABEL`]).
    #[must_use]
    pub fn custody_label(&self) -> bool {
        let mut shares: BTreeMap<String, usize> = BTreeMap::new();
        for keeper in &self.keepers {
            let entity = fold_entity(&keeper.legal_entity);
            let held = shares.entry(entity).or_default();
            *held = held.saturating_add(1);
        }
        shares.values().any(|held| *held >= usize::from(self.threshold))
    }

    /// Distinct legal entities among the keepers.
    #[must_use]
    pub fn legal_entities(&self) -> usize {
        self.keepers.iter().map(|keeper| fold_entity(&keeper.legal_entity)).collect::<BTreeSet<_>>().len()
    }

    /// The keeper at a place.
    #[must_use]
    pub fn keeper(&self, index: KeeperIndex) -> Option<&KeeperEntry> {
        self.keepers.iter().find(|keeper| keeper.index == index)
    }

    /// The recorder of an id.
    #[must_use]
    pub fn recorder(&self, id: RecorderId) -> Option<&RecorderEntry> {
        self.recorders.iter().find(|recorder| recorder.id == id)
    }

    /// The agency of an id, if the charter names it.
    #[must_use]
    pub fn agency(&self, id: AgencyId) -> Option<&AgencyPage> {
        self.agencies.iter().find(|agency| agency.id == id)
    }

    /// When shares of a capture window that ends at `cap_to` are destroyed: unix seconds, saturating.
    #[must_use]
    pub const fn destroy_after(&self, cap_to: u64) -> u64 {
        cap_to.saturating_add(self.retention_seconds)
    }

    /// Live epochs that a recorder may begin in 24 hours: [`EPOCHS_PER_DAY_MAX`], or twice the windows of a day where that is
    /// more. One half is for windows as they pass, the other for restarts and dead sealers.
    #[must_use]
    pub fn live_epochs_per_day_max(&self) -> u32 {
        let windows = DAY_SECONDS.div_ceil(self.epoch_seconds.max(1));
        u32::try_from(windows.saturating_mul(2)).unwrap_or(u32::MAX).max(EPOCHS_PER_DAY_MAX)
    }

    /// The signed text: canonical JSON and LF.
    ///
    /// # Errors
    /// `Invalid` if the charter breaks one of its rules.
    pub fn to_text(&self) -> Result<String> {
        self.check()?;
        text_of(self)
    }

    /// One party's signature over this charter.
    ///
    /// # Errors
    /// As [`Charter::to_text`].
    pub fn sign(&self, signer: &NoteSigner) -> Result<NoteSignature> {
        sign_text(&self.to_text()?, signer)
    }

    fn check(&self) -> Result<()> {
        let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Error::invalid(what)) };
        let named = |name: &str| !name.trim().is_empty() && name.chars().count() <= NAME_CHARS_MAX;
        let https = |url: &str| named(url) && url.starts_with("https://") && !url.ends_with('/');
        let note_key = |key: &VerifierKey| key.signature_type() == SignatureType::Ed25519;
        let cosigner = |key: &VerifierKey| key.signature_type() == SignatureType::CosignatureV1;

        self.threshold()?;
        let in_order = self.keepers.iter().zip(1..=KEEPERS_MAX).all(|(keeper, place)| keeper.index.0 == place);
        rule(in_order, "the charter's keepers are not numbered from 1 without gap")?;
        rule(
            self.owner.state.code() == state_of_level(self.owner.level, self.owner.state),
            "the owner's state and level do not fit",
        )?;
        let mut keys: Vec<&[u8]> = vec![self.agency_key.public_key(), self.archive.log_key.public_key()];
        keys.extend(self.recorders.iter().map(|recorder| recorder.key.as_slice()));
        for keeper in &self.keepers {
            keys.extend([&keeper.key, &keeper.log_key, &keeper.witness_key].map(VerifierKey::public_key));
            keys.extend(keeper.human_keys.iter().map(<[u8; 32]>::as_slice));
            rule(note_key(&keeper.key) && note_key(&keeper.log_key), "a keeper's key is not of type ed25519")?;
            rule(cosigner(&keeper.witness_key), "a keeper's witness key is not of type cosignature")?;
            rule(named(&keeper.name) && named(&keeper.legal_entity), "a keeper's name is empty or too long")?;
            rule(https(&keeper.url), "a keeper's address is not https")?;
            rule(keeper.human_keys.len() <= HUMANS_MAX, "a keeper has too many human keys")?;
        }
        keys.extend(self.witnesses.iter().map(|witness| witness.key.public_key()));
        keys.extend(self.agencies.iter().filter_map(|agency| agency.desk_log.as_ref()).map(VerifierKey::public_key));
        // One key in two roles would let a signature made in one be shown in the other.
        rule(keys.iter().collect::<BTreeSet<_>>().len() == keys.len(), "a key stands in two places of the charter")?;
        rule(distinct(self.logs().map(|log| log.key.name().as_str())), "two logs have one origin")?;
        self.check_witnesses(named, https, cosigner)?;
        rule((1..=AGENCIES_MAX).contains(&self.agencies.len()), "the charter names no agency, or too many")?;
        rule(distinct(self.agencies.iter().map(|agency| agency.id)), "an agency stands twice in the charter")?;
        for agency in &self.agencies {
            rule(named(&agency.name), "an agency's name is empty or too long")?;
            rule(https(&agency.url), "an agency's address is not https")?;
            rule(
                agency.state.code() == state_of_level(agency.level, agency.state),
                "an agency's state and level do not fit",
            )?;
            rule(agency.desk_log.iter().all(note_key), "the key of a desk's log is not of type ed25519")?;
        }
        let owner = &self.owner;
        rule(
            self.agency(owner.id)
                .is_some_and(|page| (&page.name, page.state, page.level) == (&owner.name, owner.state, owner.level)),
            "the owner is not among the agencies as it calls itself",
        )?;
        rule((1..=100).contains(&self.audit_percent), "the share of audited leaves is out of range")?;
        rule(note_key(&self.agency_key) && note_key(&self.archive.log_key), "an agency key is not of type ed25519")?;
        rule(https(&self.archive.url), "the archive's address is not https")?;
        rule(named(&self.owner.name), "the owner's name is empty or too long")?;
        rule((1..=RECORDERS_MAX).contains(&self.recorders.len()), "the charter has no recorder, or too many")?;
        rule(distinct(self.recorders.iter().map(|recorder| recorder.id)), "two recorders have one id")?;
        rule(self.auditors.len() <= AUDITORS_MAX, "the charter has too many auditors")?;
        rule(self.auditors.iter().all(|auditor| named(&auditor.name)), "an auditor's name is empty or too long")?;
        rule(distinct(self.auditors.iter().map(|auditor| &auditor.opening_key)), "two auditors have one key")?;
        rule(distinct(self.keepers.iter().map(|keeper| &keeper.opening_key)), "two keepers have one opening key")?;
        rule(self.trust.len() <= TRUST_ENTRIES_MAX, "the charter's trust list is too long")?;
        rule(self.policy_signers.len() <= HUMANS_MAX, "the charter has too many policy signers")?;
        rule(self.policy_signers.iter().all(note_key), "a policy signer's key is not of type ed25519")?;
        rule(distinct(self.policy_signers.iter().map(VerifierKey::public_key)), "a policy signer stands twice")?;
        let quorum = usize::from(self.policy_quorum);
        rule((1..=self.policy_signers.len()).contains(&quorum), "the quorum of policy signers is out of range")?;
        rule(EPOCH_SECONDS.contains(&self.epoch_seconds), "the epoch length is out of range")?;
        rule((1..=RETENTION_SECONDS_MAX).contains(&self.retention_seconds), "the retention is out of range")?;
        rule(self.opening_keep_seconds >= OPENING_KEEP_SECONDS_MIN, "openings are kept a year at least")?;
        let (extracts, accounts) = match self.archive_kind {
            ArchiveKind::Police => (1..=EXTRACT_ENTRIES_MAX, 0..=0),
            ArchiveKind::Toll | ArchiveKind::Parking => (0..=0, 0..=ACCOUNTS_MAX),
        };
        rule(extracts.contains(&self.extract_entries_max), "the entries of an extract are out of range")?;
        rule(accounts.contains(&self.accounts_max), "the accounts are out of range")
    }

    /// A witness of the owner or of a keeper is none from outside, and two of one operator are one.
    fn check_witnesses(
        &self,
        named: impl Fn(&str) -> bool,
        https: impl Fn(&str) -> bool,
        cosigner: impl Fn(&VerifierKey) -> bool,
    ) -> Result<()> {
        let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Error::invalid(what)) };
        rule(self.witnesses.len() <= WITNESSES_MAX, "the charter has too many outside witnesses")?;
        for witness in &self.witnesses {
            rule(named(&witness.name) && named(&witness.operator), "a witness's name is empty or too long")?;
            rule(https(&witness.url), "a witness's address is not https")?;
            rule(cosigner(&witness.key), "a witness's key is not of type cosignature")?;
        }
        let parties = self.keepers.iter().map(|keeper| &keeper.legal_entity).chain([&self.owner.name]);
        let parties: BTreeSet<_> = parties.map(|name| fold_entity(name)).collect();
        let operators: Vec<_> = self.witnesses.iter().map(|witness| fold_entity(&witness.operator)).collect();
        rule(!operators.iter().any(|operator| parties.contains(operator)), "an outside witness belongs to a party")?;
        rule(distinct(operators.iter()), "two outside witnesses belong to one operator")?;
        rule(
            usize::from(self.outside_witnesses) <= self.witnesses.len(),
            "more outside witnesses must cosign than are",
        )?;
        // The names and addresses that a trust file cannot hold show here, not when a log is checked.
        self.logs().try_for_each(|log| self.witness_policy(&log.name).map(drop))
    }
}

/// What the state of an agency of this level must be: `US` for federal ones, `XX` for foreign ones, neither for others.
pub(crate) fn state_of_level(level: Level, stated: State) -> &'static str {
    match level {
        Level::Federal => "US",
        Level::Foreign => "XX",
        Level::Local | Level::County | Level::State | Level::Tribal | Level::Private => {
            State::ALL.into_iter().find(|code| *code == stated.code() && !matches!(*code, "US" | "XX")).unwrap_or("")
        }
    }
}

pub(crate) fn fold_entity(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    let mut values = values;
    values.all(|value| seen.insert(value))
}

/// A charter that its agency and every one of its keepers signed: the evidence that the founding happened. Only
/// [`CharterFile::verify`] and [`CharterFile::assemble`] make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharterFile {
    charter: Charter,
    threshold: Threshold,
    hash: [u8; 32],
    bytes: Vec<u8>,
}

impl CharterFile {
    /// Reads a charter file and checks everything that can be checked without pinning it: the caller still has to know that it
    /// is the right one, by its hash or by its agency's key.
    ///
    /// # Errors
    /// `Malformed` if it is not a signed object of exactly the charter's fields; `Invalid` if a rule of the charter is broken,
    /// or a signature of the agency or of a keeper is missing or wrong.
    pub fn verify(bytes: &[u8]) -> Result<Self> {
        let object = SignedObject::parse_within(bytes, CHARTER_BYTES_MAX, CHARTER_SIGNATURES_MAX)?;
        let charter: Charter = object.read()?;
        charter.check()?;
        let threshold = charter.threshold()?;
        let mut parties = vec![charter.agency_key.clone()];
        parties.extend(charter.keepers.iter().map(|keeper| keeper.key.clone()));
        let good = object.verify(&parties)?;
        if parties.iter().any(|party| !good.contains(&party)) {
            return Err(Error::invalid("the charter lacks the signature of its agency or of a keeper"));
        }
        let hash = charter_hash(object.text());
        Ok(Self { charter, threshold, hash, bytes: bytes.to_vec() })
    }

    /// Joins a charter with its parties' signatures and verifies the result.
    ///
    /// # Errors
    /// As [`CharterFile::verify`].
    pub fn assemble(charter: &Charter, signatures: Vec<NoteSignature>) -> Result<Self> {
        let note = SignedNote::new(&charter.to_text()?, signatures);
        Self::verify(&note.ok().ok_or(Error::invalid("the charter's signatures cannot be joined"))?.to_bytes())
    }

    /// The charter.
    #[must_use]
    pub const fn charter(&self) -> &Charter {
        &self.charter
    }

    /// Its threshold.
    #[must_use]
    pub const fn threshold(&self) -> Threshold {
        self.threshold
    }

    /// TH("charter", text): what epoch headers carry.
    #[must_use]
    pub const fn hash(&self) -> [u8; 32] {
        self.hash
    }

    /// The file, verbatim.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// TH("charter", text), where the text is the canonical JSON with its LF.
#[must_use]
pub fn charter_hash(text: &str) -> [u8; 32] {
    th("charter", &[text.as_bytes()])
}

#[cfg(test)]
mod tests;
