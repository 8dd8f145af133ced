//! The account list of a toll or parking operator (`hotlists.md` section 8): the plates of its own customers. Only a match leaves the
//! recorder, as a passage without a plate; a read that matches nothing is sealed like every other and handed to nobody. Accounts are no
//! hot list: no function makes an entry of the one from an entry of the other.
//!
//! ```
//! use lockplate_core::hotlist::account::AccountEntry;
//! fn same(entry: AccountEntry) -> AccountEntry { entry.into() }
//! ```
//! ```compile_fail,E0277
//! use lockplate_core::hotlist::{ListEntry, account::AccountEntry};
//! fn to_hot_list(entry: AccountEntry) -> ListEntry { entry.into() }
//! ```
//! ```compile_fail,E0277
//! use lockplate_core::hotlist::{ListEntry, account::AccountEntry};
//! fn to_accounts(entry: ListEntry) -> AccountEntry { entry.into() }
//! ```
//! ```compile_fail,E0308
//! use lockplate_core::hotlist::{account::AccountSet, matching::{compare, Comparison, Marks, ReadFacts}};
//! use lockplate_core::Timestamp;
//! fn alerts(set: &AccountSet, facts: &ReadFacts<'_>) -> Comparison { compare(set, &Marks::default(), facts, Timestamp(0)) }
//! ```

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::limits::{ACCOUNT_TEXT_BYTES_MAX, ACCOUNTS_MAX, SAME_TEXT_MAX};
use super::matching::state_matches;
use super::packed::{Beside, Packed, Put, Taker, put_number, put_text};
use crate::Timestamp;
use crate::entry::MatchKind;
use crate::envelope::{HpkePublicKey, HpkeSecretKey, decrypt, encrypt};
use crate::error::{Error, Result};
use crate::json::{Field as _, json_object, parse_canonical};
use crate::plate::{Jurisdiction, Plate};
use crate::read::{Read, ReadFlags};
use crate::vocabulary::ArchiveKind;

/// A customer's plate.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountEntry {
    /// Canonical text.
    pub plate: Plate,
    /// Who issued it.
    pub jurisdiction: Jurisdiction,
    /// The operator's id of the account, opaque, 1 to 64 bytes without control characters.
    pub account_id: String,
    /// From then on.
    pub valid_from: Timestamp,
    /// Before then.
    pub valid_to: Timestamp,
}

impl core::fmt::Debug for AccountEntry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AccountEntry(..)")
    }
}

/// How an account list is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountSettings {
    /// Id of the list.
    pub list: [u8; 16],
    /// Kind of the operator's archive: police have no account list.
    pub archive: ArchiveKind,
    /// Accounts that the charter states.
    pub accounts_max: u64,
    /// A read without a state matches too.
    pub allow_state_unread: bool,
    /// A state that an engine names without a confidence counts as read, where the source's setting trusts it too.
    pub trust_jurisdiction: bool,
}

/// An operator's accounts, packed; wiped on drop.
pub struct AccountSet {
    settings: AccountSettings,
    packed: Packed,
}

impl core::fmt::Debug for AccountSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AccountSet({} entries)", self.packed.len())
    }
}

/// A pass that matched an account.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountMatch {
    /// The account.
    pub account_id: String,
    /// How it was met; never a misreading.
    pub matched: MatchKind,
}

impl core::fmt::Debug for AccountMatch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AccountMatch({})", self.matched.name())
    }
}

impl AccountSet {
    /// The set of an operator's accounts. One plate and state stands for one account at a time: of two whose times overlap neither could
    /// be billed rightly.
    ///
    /// # Errors
    /// `Invalid` if the archive is not an operator's, there are more accounts than the charter states, an entry is not well-formed, or
    /// two accounts have one plate and state at one time.
    pub fn build(
        settings: AccountSettings,
        index_key: u64,
        entries: impl Iterator<Item = AccountEntry>,
    ) -> Result<Self> {
        match settings.archive {
            ArchiveKind::Toll | ArchiveKind::Parking => {}
            ArchiveKind::Police => return Err(Error::invalid("only a toll or parking operator has an account list")),
        }
        let accounts_max = settings.accounts_max.min(ACCOUNTS_MAX);
        let mut packed = Packed::new(index_key, entries.size_hint().0);
        let mut payload = Zeroizing::new(Vec::with_capacity(256));
        for entry in entries {
            if !is_well_formed(&entry) {
                return Err(Error::invalid("an account entry is not well-formed"));
            }
            payload.clear();
            put_text(&mut payload, entry.jurisdiction.code());
            put_number(&mut payload, entry.valid_from.0);
            put_number(&mut payload, entry.valid_to.0);
            put_text(&mut payload, &entry.account_id);
            let text = entry.plate.expose_text();
            let new = AccountView::of(&payload).ok_or(Error::internal("a packed account is read back"))?;
            let beside = |old: &[u8]| match AccountView::of(old) {
                Some(old) if old.overlaps(&new) => Beside::Keep,
                Some(_) | None => Beside::Both,
            };
            match packed.put(text, &payload, SAME_TEXT_MAX, beside)? {
                Put::Added => {}
                Put::Replaced | Put::Kept | Put::TooMany => {
                    return Err(Error::invalid("two accounts have one plate and state at one time"));
                }
            }
            if u64::try_from(packed.len()).unwrap_or(u64::MAX) > accounts_max {
                return Err(Error::invalid("more accounts than the charter states"));
            }
        }
        Ok(Self { settings, packed })
    }

    /// The account of a pass, if it is exactly one: text and state equal, or the state not read where the operator allows it. Never a
    /// misreading, and nothing is suppressed with a count: what does not match leaves no trace.
    #[must_use]
    pub fn account_of(&self, read: &Read, now: Timestamp) -> Option<AccountMatch> {
        if read.plate.is_overlong() || read.flags.has(ReadFlags::OVERLONG) {
            return None;
        }
        let mut found: Option<AccountMatch> = None;
        for payload in self.packed.under(read.plate.expose_text()) {
            let Some(view) = AccountView::of(payload).filter(|view| view.from <= now && now < view.to) else {
                continue;
            };
            let matched = match state_matches(read, &view.jurisdiction, self.settings.trust_jurisdiction) {
                Some(MatchKind::PlateAndState) => MatchKind::PlateAndState,
                Some(MatchKind::PlateOnly) if self.settings.allow_state_unread => MatchKind::PlateOnly,
                Some(MatchKind::PlateOnly | MatchKind::PossibleMisread) | None => continue,
            };
            // Two customers' plates that differ in their state alone: without the state nobody is billed.
            if found.is_some() {
                return None;
            }
            found = Some(AccountMatch { account_id: view.account_id.to_owned(), matched });
        }
        found
    }

    /// A gate's question: may this plate pass now? A no is no alert and is stored nowhere.
    #[must_use]
    pub fn may_pass(&self, read: &Read, now: Timestamp) -> bool {
        self.account_of(read, now).is_some()
    }

    /// How many there are.
    #[must_use]
    pub fn accounts(&self) -> u64 {
        u64::try_from(self.packed.len()).unwrap_or(u64::MAX)
    }

    /// Id of the list.
    #[must_use]
    pub const fn list(&self) -> &[u8; 16] {
        &self.settings.list
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.packed.heap_bytes()
    }
}

fn is_well_formed(entry: &AccountEntry) -> bool {
    is_name(&entry.account_id) && !entry.plate.is_overlong() && entry.valid_from < entry.valid_to
}

/// 1 to 64 bytes that canonical text can carry.
fn is_name(text: &str) -> bool {
    let fits = (1..=ACCOUNT_TEXT_BYTES_MAX).contains(&text.len());
    fits && !text.chars().any(char::is_control) && unicode_normalization::is_nfc(text)
}

struct AccountView<'a> {
    jurisdiction: Jurisdiction,
    from: Timestamp,
    to: Timestamp,
    account_id: &'a str,
}

impl<'a> AccountView<'a> {
    fn of(payload: &'a [u8]) -> Option<Self> {
        let mut taker = Taker(payload);
        let jurisdiction = Jurisdiction::parse(taker.text()?)?;
        let (from, to) = (Timestamp(taker.number()?), Timestamp(taker.number()?));
        Some(Self { jurisdiction, from, to, account_id: taker.text()? })
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.jurisdiction == other.jurisdiction && self.from < other.to && other.from < self.to
    }
}

json_object! {
    /// What leaves the recorder of a pass that matched. It has no plate.
    #[derive(Clone, PartialEq, Eq)]
    Passage {
        /// The account.
        account_id: String,
        /// Where.
        facility: String,
        /// Which lane.
        lane: String,
        /// When.
        time: Timestamp,
        /// How the account was met.
        matched: MatchKind as "match",
    }
}

impl core::fmt::Debug for Passage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Passage(..)")
    }
}

impl Passage {
    /// The passage of a match.
    ///
    /// # Errors
    /// `Invalid` if facility or lane is not 1 to 64 bytes of plain text.
    pub fn new(found: AccountMatch, facility: &str, lane: &str, time: Timestamp) -> Result<Self> {
        if !is_name(facility) || !is_name(lane) {
            return Err(Error::invalid("facility and lane have 1 to 64 bytes of plain text"));
        }
        let AccountMatch { account_id, matched } = found;
        Ok(Self { account_id, facility: facility.to_owned(), lane: lane.to_owned(), time, matched })
    }
}

fn info(list: &[u8; 16]) -> Vec<u8> {
    [b"LPv1 passage".as_slice(), list].concat()
}

/// Seals a passage to the operator's billing key: HPKE of its canonical text, info `"LPv1 passage" || list`.
///
/// # Errors
/// `Malformed` if the key is not usable.
pub fn seal_passage(
    to: &HpkePublicKey,
    list: &[u8; 16],
    passage: &Passage,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>> {
    encrypt(to, &info(list), &[], &Zeroizing::new(passage.to_json().to_canonical_bytes()?), rng)
}

/// Opens what [`seal_passage`] sealed.
///
/// # Errors
/// `Malformed` if it was sealed to another key or for another list, or holds something else.
pub fn open_passage(secret: &HpkeSecretKey, list: &[u8; 16], sealed: &[u8]) -> Result<Passage> {
    let plain = Zeroizing::new(decrypt(secret, &info(list), &[], sealed)?);
    Passage::from_json(parse_canonical(&plain)?)
}

#[cfg(test)]
mod tests;
