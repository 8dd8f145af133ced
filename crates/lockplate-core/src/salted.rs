//! The private fields of a request (`log.md` section 6.1): which there are, what each commits to, and which of them the public
//! gets after the embargo. A leaf holds their salted digests; the values are in the Openings only. Every keeper and auditor who
//! opens the same request computes the same digests here, but for `notice`, which hangs on a keeper's own key and leaf.

use crate::disclosure::{Disclosure, disclose};
use crate::error::{Error, Result};
use crate::json::{Field as _, Json, json_names};
use crate::notice::{NoticeKey, NoticeTag};
use crate::request::{Opened, SearchRequest};

json_names! {
    /// A salted field of a `request` leaf.
    SaltedName {
        /// The case number.
        CaseNumber = "case_number",
        /// The facts.
        Facts = "facts",
        /// One tag an element, by which a registered owner finds searches of the own plate.
        Notice = "notice",
        /// The offence in words.
        Offence = "offence",
        /// The officer: key and name.
        Officer = "officer",
        /// What was asked: index kind, input and blinding factor of each element.
        Plate = "plate",
        /// The second persons: key and name of each.
        Second = "second",
        /// The window asked, [from, to).
        Window = "window",
    }
}

impl SaltedName {
    /// Every field, by name.
    pub const ALL: &'static [Self] = &[
        Self::CaseNumber,
        Self::Facts,
        Self::Notice,
        Self::Offence,
        Self::Officer,
        Self::Plate,
        Self::Second,
        Self::Window,
    ];

    /// True for what everybody may read once the embargo is over.
    #[must_use]
    pub const fn is_for_the_public(self) -> bool {
        matches!(self, Self::Notice | Self::Window)
    }
}

/// A person as leaves commit to one. No name travels in a request (the directory has none either), so it is the empty text; the
/// agency knows whose key it is.
pub(crate) fn person(key: &[u8; 32]) -> Json {
    Json::object([("key", Json::bytes(key)), ("name", Json::text(""))])
}

fn plate_value(opened: &Opened<SearchRequest>) -> Json {
    let element = |(input, r): &(crate::plate::PlateInput, lockplate_oprf::Blind)| {
        Json::Array(vec![
            Json::Int(u64::from(input.kind().code())),
            Json::bytes(input.expose_bytes()),
            Json::bytes(r.to_secret().expose_secret()),
        ])
    };
    Json::Array(opened.text().elements.iter().map(element).collect())
}

/// The disclosure of one field of an opened request. `tags` are those of the keeper whose leaf it is.
///
/// # Errors
/// `Invalid` if the value is too long for a disclosure.
pub fn disclosure_of(opened: &Opened<SearchRequest>, name: SaltedName, tags: &[NoticeTag]) -> Result<Disclosure> {
    let (asked, text) = (opened.request(), opened.text());
    let statement = text.statement.statement();
    let value = match name {
        SaltedName::CaseNumber => Json::text(&statement.case_number),
        SaltedName::Facts => Json::text(&statement.facts),
        SaltedName::Notice => tags.to_vec().to_json(),
        SaltedName::Offence => Json::text(&statement.offence.text),
        SaltedName::Officer => person(&asked.officer_key),
        SaltedName::Plate => plate_value(opened),
        SaltedName::Second => Json::Array(opened.filed().seconds.iter().map(|second| person(&second.key_id)).collect()),
        SaltedName::Window => (asked.win_from, asked.win_to).to_json(),
    };
    disclose(&text.salts, name.name(), &value)
}

/// The digests of all fields, in the order of [`SaltedName::ALL`].
///
/// # Errors
/// As [`disclosure_of`].
pub(crate) fn digests_of(opened: &Opened<SearchRequest>, tags: &[NoticeTag]) -> Result<Vec<[u8; 32]>> {
    SaltedName::ALL.iter().map(|name| disclosure_of(opened, *name, tags).map(|one| one.digest())).collect()
}

/// What a keeper serves of a leaf once its embargo is over: the disclosures of `notice` and `window`, in this order, each found
/// among the leaf's digests. `key` and `nonce` are those under which the leaf was written.
///
/// # Errors
/// `Internal` if a digest is not in the leaf: the request, the key or the nonce is another one. `Invalid` as [`disclosure_of`].
pub fn published(
    opened: &Opened<SearchRequest>,
    key: &NoticeKey,
    nonce: &[u8; 16],
    digests: &[[u8; 32]],
) -> Result<Vec<Disclosure>> {
    let tags = key.tags(opened.text().elements.iter().map(|(input, _)| input), nonce)?;
    let names = SaltedName::ALL.iter().filter(|name| name.is_for_the_public());
    let disclosures = names.map(|name| disclosure_of(opened, *name, &tags)).collect::<Result<Vec<_>>>()?;
    if disclosures.iter().all(|one| digests.contains(&one.digest())) {
        Ok(disclosures)
    } else {
        Err(Error::internal("a field to publish is not the one that the leaf commits to"))
    }
}

/// Reads the tags out of a published `notice` disclosure.
///
/// # Errors
/// `Malformed` if it is of another field, or not at most 64 sorted tags.
pub fn published_tags(disclosure: &Disclosure) -> Result<Vec<NoticeTag>> {
    let tags: Vec<NoticeTag> = Vec::from_json(disclosure.expose_value().clone())?;
    let sorted = tags.is_sorted() && tags.len() <= crate::limits::ELEMENTS_MAX;
    if disclosure.name() == SaltedName::Notice.name() && sorted {
        Ok(tags)
    } else {
        Err(Error::malformed("not the notice tags of a leaf"))
    }
}
