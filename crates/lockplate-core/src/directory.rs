//! Who is who: the signed agency directory, the owner's trust list, and statutory declarations (`authorisation.md` sections 5
//! to 7). A keeper fetches or stores them as files and believes a field only after the signature, the times and the serials
//! here held; stale or contradictory ones are refused whole, never merged. The facts go to the policy.

use std::collections::{BTreeMap, BTreeSet};

use lockplate_log::note::{SignatureType, VerifierKey};

use crate::Timestamp;
use crate::charter::{AgencyPage, state_of_level};
use crate::error::{Error, Result};
use crate::facts::{AgencyFacts, OfficerFacts};
use crate::id::AgencyId;
use crate::json::{json_names, json_object};
use crate::signed::{Header, SignedObject, signed_kind};
use crate::vocabulary::{DeclarationName, Level, Role, State};

/// A directory is valid for at most seven days.
pub const DIRECTORY_SECONDS_MAX: u64 = 7 * 86_400;
/// A declaration is valid for at most two years.
pub const DECLARATION_SECONDS_MAX: u64 = 731 * 86_400;
/// A trust list that adds a key waits so long after its leaf: a false court is the shortest way round the law, and everybody gets time to see
/// it.
pub const TRUST_NOTICE_SECONDS: u64 = 72 * 3_600;
/// What one party's clock may be ahead of another's, seconds.
pub const CLOCK_SKEW_SECONDS_MAX: u64 = 300;

json_names! {
    /// Role of a key in the trust list.
    TrustRole {
        /// A judge.
        Judge = "judge",
        /// A court's clerk.
        Clerk = "clerk",
        /// The owner's records custodian.
        Custodian = "custodian",
        /// A supervisor.
        Supervisor = "supervisor",
        /// An agency: signs its directory and session statements.
        Agency = "agency",
        /// An auditor.
        Auditor = "auditor",
        /// A hot-list steward.
        Steward = "steward",
    }
}

json_object! {
    /// One key that the owner's keepers recognise.
    #[derive(Clone, Debug, PartialEq, Eq)]
    TrustEntry {
        /// Whose, for people.
        name: String,
        /// What it may sign.
        role: TrustRole,
        /// The court, for a judge or a clerk; else empty.
        court: String,
        /// The key; type 0xff with the identifier `lockplate/webauthn-v1` and a COSE key for a passkey.
        vkey: VerifierKey,
        /// RP ID of a passkey; else empty.
        rp_id: String,
        /// Origins of a passkey.
        origins: Vec<String>,
        /// Valid from (inclusive).
        valid_from: Timestamp,
        /// Valid until (exclusive).
        valid_until: Timestamp,
        /// A clerk who may issue papers.
        may_issue: bool,
        /// The agency, for roles agency, custodian and supervisor; else none.
        agency: Option<[u8; 16]>,
    }
    /// Fields of a trust list.
    #[derive(Clone, Debug, PartialEq, Eq)]
    TrustListBody {
        /// The owner whose keepers follow it.
        owner: AgencyId,
        /// One more than the one before.
        serial: u64,
        /// Digest of the one before; none for the first.
        previous: Option<[u8; 32]>,
        /// The entries.
        entries: Vec<TrustEntry>,
    }
    /// An officer of a directory.
    #[derive(Clone, PartialEq, Eq)]
    OfficerEntry {
        /// Salted digest of the person: two keys of one person are seen as one.
        person: [u8; 32],
        /// Ids of the person's signing keys.
        keys: Vec<[u8; 32]>,
        /// Training is valid until then.
        trained_until: Timestamp,
        /// Active.
        active: bool,
        /// Roles.
        roles: BTreeSet<Role>,
    }
    /// Fields of a directory.
    #[derive(Clone, Debug, PartialEq, Eq)]
    DirectoryBody {
        /// The agency.
        agency: AgencyId,
        /// Its name.
        name: String,
        /// Its ORI number, or empty.
        ori: String,
        /// Its state; `US` for federal, `XX` for foreign agencies.
        state: State,
        /// Its level.
        level: Level,
        /// A law-enforcement agency.
        law_enforcement: bool,
        /// Strictly rising.
        serial: u64,
        /// At most seven days after `issued`.
        valid_until: Timestamp,
        /// Its officers.
        officers: Vec<OfficerEntry>,
        /// Origin of its desk's log.
        desk_log: String,
        /// The key that signs its session statements, type 0x01.
        desk_key: VerifierKey,
    }
    /// Fields of a declaration.
    #[derive(Clone, Debug, PartialEq, Eq)]
    DeclarationBody {
        /// The agency that declares.
        agency: AgencyId,
        /// The owner it declares to; none (written `""`) for every owner of that state.
        owner: Option<[u8; 16]>,
        /// Which.
        declaration: DeclarationName,
        /// SHA-256 of the exact words, from the versioned list.
        text: [u8; 32],
        /// Name and office of the person who signs.
        signer: String,
        /// In force from (inclusive).
        valid_from: Timestamp,
        /// In force until (exclusive), at most two years.
        valid_until: Timestamp,
        /// SHA-256 of the paper; none if there is none.
        pdf: Option<[u8; 32]>,
    }
}

impl core::fmt::Debug for OfficerEntry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OfficerEntry(..)")
    }
}

signed_kind! {
    /// A trust list, signed by k policy signers.
    TrustList(TrustListBody) = "trust-list"
    /// An agency's directory, signed by the agency's key.
    Directory(DirectoryBody) = "directory"
    /// A declaration, signed by the agency's key.
    Declaration(DeclarationBody) = "declaration"
}

impl TrustEntry {
    /// True if the key was valid at `time`.
    #[must_use]
    pub fn is_valid_at(&self, time: Timestamp) -> bool {
        self.valid_from <= time && time < self.valid_until
    }
}

/// Refuses an object whose issuer is not among the keys whose signature is good.
pub(crate) fn issued_by(header: &Header, good: &[&VerifierKey]) -> Result<()> {
    if good.iter().any(|key| key.name().as_str() == header.issuer) {
        Ok(())
    } else {
        Err(Error::invalid("the issuer's own signature is missing"))
    }
}

/// A trust list that may follow the one in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustChange {
    /// The list.
    pub next: Trust,
    /// Entries that it adds or widens; with one it waits [`TRUST_NOTICE_SECONDS`] after its leaves.
    pub added: Vec<TrustEntry>,
    /// Entries that it drops or changes.
    pub gone: Vec<TrustEntry>,
}

/// The keys a keeper of one owner recognises: the charter's list, or the newest verified one after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    owner: AgencyId,
    serial: u64,
    digest: Option<[u8; 32]>,
    entries: Vec<TrustEntry>,
}

impl Trust {
    /// The list of a charter: serial 0.
    #[must_use]
    pub fn founding(owner: AgencyId, entries: &[TrustEntry]) -> Self {
        Self { owner, serial: 0, digest: None, entries: entries.to_vec() }
    }

    /// Its serial.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// Its entries.
    #[must_use]
    pub fn entries(&self) -> &[TrustEntry] {
        &self.entries
    }

    /// The owner's keepers follow it.
    #[must_use]
    pub const fn owner(&self) -> AgencyId {
        self.owner
    }

    /// The list that follows this one. The caller has already seen a cosigned `key` leaf that names the object's digest and
    /// whose waiting time is over; this function cannot.
    ///
    /// # Errors
    /// `Malformed` if it is not a trust list; `Invalid` if it is another owner's, not serial + 1, does not name the list before
    /// it, or has fewer than `quorum` good signatures of policy signers.
    pub fn succeed(&self, object: &SignedObject, signers: &[VerifierKey], quorum: u8) -> Result<Self> {
        let list: TrustList = object.read()?;
        let good = object.verify(signers)?;
        issued_by(&list.header, &good)?;
        if good.len() < usize::from(quorum) {
            return Err(Error::invalid("the trust list has too few signers"));
        }
        if list.body.owner != self.owner {
            return Err(Error::invalid("the trust list is another owner's"));
        }
        if self.serial.checked_add(1) != Some(list.body.serial) || list.body.previous != self.digest {
            return Err(Error::invalid("the trust list does not follow the one in force"));
        }
        Ok(Self {
            owner: self.owner,
            serial: list.body.serial,
            digest: Some(object.digest()),
            entries: list.body.entries,
        })
    }

    /// What the list that follows would change, and how much that takes (`authorisation.md` section 7).
    ///
    /// # Errors
    /// As [`Trust::succeed`], with the quorum that the change needs: one signer to take away, `quorum` for anything that adds.
    pub fn follow(&self, object: &SignedObject, signers: &[VerifierKey], quorum: u8) -> Result<TrustChange> {
        let list: TrustList = object.read()?;
        let before = &self.entries;
        // A key that stays with a later begin or an earlier end is less than it was; with anything else it is a new one.
        let is_less = |entry: &TrustEntry| {
            before.iter().any(|known| {
                let span = TrustEntry { valid_from: known.valid_from, valid_until: known.valid_until, ..entry.clone() };
                span == *known && known.valid_from <= entry.valid_from && entry.valid_until <= known.valid_until
            })
        };
        let added: Vec<_> = list.body.entries.iter().filter(|entry| !is_less(entry)).cloned().collect();
        let gone = before.iter().filter(|known| !list.body.entries.contains(known)).cloned().collect();
        let quorum = if added.is_empty() { 1 } else { quorum };
        Ok(TrustChange { next: self.succeed(object, signers, quorum)?, added, gone })
    }
}

/// A directory whose signature, age and form held when it was verified. The shell keeps it and asks
/// [`VerifiedDirectory::is_fresh`] before each use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedDirectory {
    body: DirectoryBody,
    issued: Timestamp,
    digest: [u8; 32],
}

impl VerifiedDirectory {
    /// Checks a directory under an agency's keys. `known` is how the charter describes the agency: an agency cannot make itself
    /// another state's or a lesser level's, on which the law asks less of it. `last_serial` is the serial of the one in use; none
    /// for the first.
    ///
    /// # Errors
    /// `Malformed` if it is not a directory; `Invalid` if the signature, serial, times, state, level or an officer's key do not
    /// hold.
    pub fn verify(
        object: &SignedObject,
        known: &AgencyPage,
        keys: &[VerifierKey],
        last_serial: Option<u64>,
        now: Timestamp,
    ) -> Result<Self> {
        let directory: Directory = object.read()?;
        issued_by(&directory.header, &object.verify(keys)?)?;
        let body = directory.body;
        if body.agency != known.id {
            return Err(Error::invalid("the directory is another agency's"));
        }
        if (body.state, body.level) != (known.state, known.level) {
            return Err(Error::invalid("the directory describes the agency otherwise than the charter"));
        }
        if last_serial.is_some_and(|last| body.serial <= last) {
            return Err(Error::invalid("the directory's serial does not rise"));
        }
        if state_of_level(body.level, body.state) != body.state.code() {
            return Err(Error::invalid("the directory's state does not fit its level"));
        }
        if body.desk_key.signature_type() != SignatureType::Ed25519 {
            return Err(Error::invalid("the desk's key is not of type ed25519"));
        }
        let mut keys = BTreeSet::new();
        let mut persons = BTreeSet::new();
        for officer in &body.officers {
            // A key of two persons, or a person in two places, would let one person pass for two.
            if !persons.insert(officer.person) || !officer.keys.iter().all(|key| keys.insert(*key)) {
                return Err(Error::invalid("the directory names a key or a person twice"));
            }
        }
        let verified = Self { issued: directory.header.issued, digest: object.digest(), body };
        if verified.is_fresh(now) { Ok(verified) } else { Err(Error::invalid("the directory is stale")) }
    }

    /// True while it may be used: issued at most seven days ago and not in the future, and before its `valid_until`, which is at
    /// most seven days after `issued`.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let latest = self.issued.0.saturating_add(DIRECTORY_SECONDS_MAX);
        self.issued.0 <= now.0.saturating_add(CLOCK_SKEW_SECONDS_MAX)
            && self.body.valid_until.0 <= latest
            && now < self.body.valid_until
    }

    /// Its serial.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.body.serial
    }

    /// Digest of the object.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The fields.
    #[must_use]
    pub const fn body(&self) -> &DirectoryBody {
        &self.body
    }

    /// The agency for the policy.
    #[must_use]
    pub fn agency_facts(&self, declarations: BTreeSet<DeclarationName>, overdue_papers: u32) -> AgencyFacts {
        AgencyFacts {
            id: self.body.agency,
            state: self.body.state,
            level: self.body.level,
            law_enforcement: self.body.law_enforcement,
            declarations,
            overdue_papers,
        }
    }

    /// The officer of a signing key, for the policy; `None` if the directory has no such key.
    #[must_use]
    pub fn officer_facts(&self, key_id: &[u8; 32], agency: AgencyFacts) -> Option<OfficerFacts> {
        let officer = self.officer(key_id)?;
        Some(OfficerFacts { key_id: *key_id, agency, trained_until: officer.trained_until, active: officer.active })
    }

    /// The roles of a signing key.
    #[must_use]
    pub fn roles(&self, key_id: &[u8; 32]) -> Option<&BTreeSet<Role>> {
        self.officer(key_id).map(|officer| &officer.roles)
    }

    /// True if the key is an active person's whose training is not over.
    #[must_use]
    pub fn is_in_service(&self, key_id: &[u8; 32], now: Timestamp) -> bool {
        self.officer(key_id).is_some_and(|officer| officer.active && now < officer.trained_until)
    }

    /// The person who has a signing key.
    #[must_use]
    pub fn person(&self, key_id: &[u8; 32]) -> Option<[u8; 32]> {
        self.officer(key_id).map(|officer| officer.person)
    }

    /// All signing keys of a person: what is counted for a person counts under each.
    #[must_use]
    pub fn keys_of(&self, person: &[u8; 32]) -> BTreeSet<[u8; 32]> {
        let own = self.body.officers.iter().filter(|officer| officer.person == *person);
        own.flat_map(|officer| officer.keys.iter().copied()).collect()
    }

    /// True if both keys are in the directory and belong to two persons: a filer's own other key is no second person.
    #[must_use]
    pub fn are_two_persons(&self, one: &[u8; 32], other: &[u8; 32]) -> bool {
        match (self.officer(one), self.officer(other)) {
            (Some(one), Some(other)) => one.person != other.person,
            (Some(_) | None, None) | (None, Some(_)) => false,
        }
    }

    fn officer(&self, key_id: &[u8; 32]) -> Option<&OfficerEntry> {
        self.body.officers.iter().find(|officer| officer.keys.contains(key_id))
    }
}

/// Whether agencies of a state may file a declaration (`authorisation.md` section 6).
fn may_file(declaration: DeclarationName, state: State) -> bool {
    match declaration {
        DeclarationName::Ct2614 => matches!(state.code(), "NY" | "RI" | "MA"),
        DeclarationName::Il2130c | DeclarationName::Nj20264 | DeclarationName::Nm202620 => {
            state.code() != state_of(declaration)
        }
    }
}

/// The state to whose owners a declaration is made.
const fn state_of(declaration: DeclarationName) -> &'static str {
    match declaration {
        DeclarationName::Ct2614 => "CT",
        DeclarationName::Il2130c => "IL",
        DeclarationName::Nj20264 => "NJ",
        DeclarationName::Nm202620 => "NM",
    }
}

/// A declaration that holds for one owner, once it is filed and not withdrawn (the keeper's own log says that).
///
/// `agency` is the declaring agency's fresh directory, `keys` its keys, `texts` the exact words a declaration may carry, by
/// SHA-256.
///
/// # Errors
/// `Malformed` if it is not a declaration; `Invalid` if the signature, agency, state, owner, words or times do not hold.
pub fn verify_declaration(
    object: &SignedObject,
    agency: &VerifiedDirectory,
    keys: &[VerifierKey],
    owner: (AgencyId, State),
    texts: &BTreeMap<DeclarationName, [u8; 32]>,
    now: Timestamp,
) -> Result<DeclarationName> {
    let declaration: Declaration = object.read()?;
    issued_by(&declaration.header, &object.verify(keys)?)?;
    let body = declaration.body;
    let rule = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(Error::invalid(what)) };
    rule(body.agency == agency.body.agency, "the declaration is another agency's")?;
    rule(may_file(body.declaration, agency.body.state), "agencies of this state cannot file this declaration")?;
    rule(state_of(body.declaration) == owner.1.code(), "the declaration is made to another state")?;
    rule(body.owner.is_none_or(|named| named == owner.0.0), "the declaration is made to another owner")?;
    rule(texts.get(&body.declaration) == Some(&body.text), "the declaration has other words")?;
    rule(!body.signer.trim().is_empty(), "the declaration names no signer")?;
    let length = body.valid_until.0.saturating_sub(body.valid_from.0);
    rule(length <= DECLARATION_SECONDS_MAX, "the declaration is valid for too long")?;
    rule(body.valid_from <= now && now < body.valid_until, "the declaration is not in force")?;
    Ok(body.declaration)
}

#[cfg(test)]
mod tests;
