//! From what an officer types to a signed request: spellings, window, blinding, Openings, signatures. Nothing leaves this
//! module in clear but the officer's own result.

use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::charter::{Charter, CharterFile};
use lockplate_core::disclosure::Disclosure;
use lockplate_core::emergency::{declare, facts_digest};
use lockplate_core::envelope::{HpkePublicKey, HpkeSecretKey};
use lockplate_core::id::{AgencyId, RequestId};
use lockplate_core::limits::{ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX, ELEMENTS_MAX};
use lockplate_core::plate::{Jurisdiction, Plate, PlateInput};
use lockplate_core::request::{FiledRequest, OpeningText, SearchRequest, SecondSignature, draft_request};
use lockplate_core::signed::{SignedObject, VersionOne};
use lockplate_core::spellings::Spellings;
use lockplate_core::statement::{OffenceStated, PlateName, Statement, StatementText};
use lockplate_oprf::Secret;
use lockplate_oprf::oprf::Blind;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::pending::Pending;
use super::{Asked, Officer, SearchFault};

/// A window of whole capture periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapped {
    /// From (inclusive).
    pub from: Timestamp,
    /// To (exclusive).
    pub to: Timestamp,
    /// The window asked for was not of whole periods and was made smaller.
    pub moved: bool,
}

/// Snaps a window **inward** to whole capture windows of an owner: a period that is only partly inside is never evaluated
/// (LPv1 section 9), so asking for it would promise more than can be answered.
///
/// # Errors
/// `Usage` if no whole period lies inside.
pub fn snap(charter: &Charter, from: Timestamp, to: Timestamp) -> Result<Snapped, SearchFault> {
    snap_to(charter.epoch_seconds, from, to)
}

fn snap_to(length: u64, from: Timestamp, to: Timestamp) -> Result<Snapped, SearchFault> {
    let none = SearchFault::Usage("no whole period of this archive lies inside the window; widen it");
    let inner_from = from.0.checked_next_multiple_of(length).ok_or(SearchFault::Usage("the window is out of range"))?;
    let inner_to = to.0.checked_rem(length).map_or(0, |part| to.0.saturating_sub(part));
    if inner_from >= inner_to {
        return Err(none);
    }
    let moved = inner_from != from.0 || inner_to != to.0;
    Ok(Snapped { from: Timestamp(inner_from), to: Timestamp(inner_to), moved })
}

/// Whether a text has a character that some program knows as a wildcard: the plate's canonical form leaves it out like a blank, and
/// another plate than the one meant would be asked for.
#[must_use]
pub fn has_wildcard(plate: &str) -> bool {
    plate.contains(['*', '%', '_', '?', '#', '@'])
}

/// The inputs of a search, one element each: every spelling under the state asked and under "unknown".
fn inputs(owner: AgencyId, asked: &Asked) -> Result<Vec<PlateInput>, SearchFault> {
    let states: Vec<Option<Jurisdiction>> = asked.state.map(Some).into_iter().chain([None]).collect();
    let spellings = Spellings::new(&asked.plate, asked.spellings, states.len().saturating_sub(1), ELEMENTS_MAX)
        .map_err(|fault| SearchFault::Usage(sentence(fault)))?;
    let mut inputs = Vec::with_capacity(spellings.elements());
    for text in spellings.expose_texts() {
        for state in &states {
            let input = PlateInput::from_spelling(owner, text, *state);
            inputs.push(input.ok_or(SearchFault::Usage("this is not a plate: 1 to 16 letters and digits"))?);
        }
    }
    Ok(inputs)
}

/// Number of elements a search will ask for, before it is filed.
///
/// # Errors
/// `Usage` if the plate or mode cannot be asked so.
pub fn count_elements(asked: &Asked) -> Result<usize, SearchFault> {
    Spellings::new(&asked.plate, asked.spellings, usize::from(asked.state.is_some()), ELEMENTS_MAX)
        .map(|spellings| spellings.elements())
        .map_err(|fault| SearchFault::Usage(sentence(fault)))
}

const fn sentence(fault: lockplate_core::spellings::SpellingFault) -> &'static str {
    use lockplate_core::spellings::SpellingFault;
    match fault {
        SpellingFault::NotAPlate => "this is not a plate: 1 to 16 letters and digits",
        SpellingFault::WildcardWithMode => "wildcards cannot be combined with near or wide",
        SpellingFault::TooMany => "this asks for more elements than a request may have",
    }
}

/// Everything of a request that is made before anybody is asked.
pub(super) fn draft(
    charter: &CharterFile,
    officer: &Officer,
    asked: &Asked,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<(Pending, Snapped), SearchFault> {
    let owner = charter.charter();
    let window = snap(owner, asked.from, asked.to)?;
    check_persons(officer.key.verify_key().0, officer.seconds.iter().map(|key| key.verify_key().0))?;
    let inputs: Vec<(PlateInput, Blind)> =
        inputs(owner.owner.id, asked)?.into_iter().map(|input| (input, Blind::random(rng))).collect();
    let authorisation = authorisation(asked)?;
    let disclosures = disclosures(asked)?;
    let salts = Secret::random(rng);
    let mut request_id = [0; 16];
    rng.fill_bytes(&mut request_id);
    let exigency = match asked.emergency {
        None => None,
        Some(danger) => {
            let what = (request_id, danger, facts_digest(&salts, &asked.facts));
            Some(declare(what, &officer.key, &officer.seconds, now, rng)?)
        }
    };
    let attachments: Vec<Vec<u8>> = asked.authorisation.iter().cloned().chain(exigency).collect();
    let statement = statement(officer, asked, &attachments, &disclosures)?;
    let text = OpeningText { elements: inputs, statement, disclosures, salts };
    let response = HpkeSecretKey::random(rng);
    let plan = SearchRequest {
        request_id: RequestId(request_id),
        owner_agency: owner.owner.id,
        requester_agency: officer.agency,
        officer_key: officer.key.verify_key().0,
        purpose: asked.purpose,
        basis: asked.basis,
        authorisation_digest: authorisation.as_ref().map(SignedObject::digest).unwrap_or_default(),
        elements: Vec::new(),
        win_from: window.from,
        win_to: window.to,
        not_after: Timestamp(now.0.saturating_add(asked.valid_for_s)),
        notice_after: Timestamp(now.0.saturating_add(asked.embargo_s)),
        response_pk: response.public_key()?,
        openings_hash: [0; 32],
    };
    let (request, openings) = draft_request(plan, &text, &recipients(owner)?, rng)?;
    let request = officer.key.sign(request);
    let seconds = officer
        .seconds
        .iter()
        .map(|key| SecondSignature { key_id: key.verify_key().0, signature: key.countersign(&request) })
        .collect();
    let request_digest = request.signed_hash();
    let filed = FiledRequest { request, seconds };
    filed.verify()?;
    let pending = Pending {
        request_digest,
        charter_hash: charter.hash(),
        response,
        inputs: text.elements,
        statement: text.statement,
        salts: text.salts,
        asked: asked.plate.clone(),
        state: asked.state,
        filed: filed.to_bytes(),
        openings: openings.sealed,
        attachments,
    };
    Ok((pending, window))
}

/// Whoever signs with the officer is somebody else, each of them.
fn check_persons(officer: [u8; 32], seconds: impl IntoIterator<Item = [u8; 32]>) -> Result<(), SearchFault> {
    let mut keys = BTreeSet::new();
    for second in seconds {
        if second == officer {
            return Err(SearchFault::Usage("a second person must sign, and --second names the officer's own key"));
        }
        if !keys.insert(second) {
            return Err(SearchFault::Usage(
                "--second names one key twice; each second person signs with a key of their own",
            ));
        }
    }
    Ok(())
}

/// Keepers in charter order, then auditors: the order of `openings_hash`.
fn recipients(charter: &Charter) -> Result<Vec<HpkePublicKey>, SearchFault> {
    let keepers = charter.keepers.iter().map(|keeper| &keeper.opening_key);
    let auditors = charter.auditors.iter().map(|auditor| &auditor.opening_key);
    keepers
        .chain(auditors)
        .map(|key| {
            HpkePublicKey::from_slice(key).ok_or(SearchFault::Internal("a charter's opening key has 1216 bytes"))
        })
        .collect()
}

/// The court's paper, if there is one.
fn authorisation(asked: &Asked) -> Result<Option<SignedObject>, SearchFault> {
    let Some(bytes) = &asked.authorisation else { return Ok(None) };
    if bytes.len() > ATTACHMENT_BYTES_MAX {
        return Err(SearchFault::Usage("the authorisation is over 16 KiB"));
    }
    SignedObject::parse(bytes)
        .map(Some)
        .map_err(|_form| SearchFault::Usage("the authorisation is not a signed .auth file"))
}

/// What opens the plates that the paper names: into the Openings, past the desk.
fn disclosures(asked: &Asked) -> Result<Vec<Disclosure>, SearchFault> {
    let carried = asked
        .disclosures
        .len()
        .saturating_add(asked.authorisation.iter().len())
        .saturating_add(asked.emergency.iter().len());
    if carried > ATTACHMENTS_MAX {
        return Err(SearchFault::Usage("too many disclosures: a request carries 16 with its paper"));
    }
    let parse = |text: &Zeroizing<String>| Disclosure::parse(text.trim());
    let parsed = asked.disclosures.iter().map(parse).collect::<Result<_, _>>();
    parsed.map_err(|_form| SearchFault::Usage("a disclosure is not one that lockplate writes"))
}

fn statement(
    officer: &Officer,
    asked: &Asked,
    attachments: &[Vec<u8>],
    disclosures: &[Disclosure],
) -> Result<StatementText, SearchFault> {
    // A statement names one plate; keepers refuse elements that are no spellings of it.
    if has_wildcard(&asked.plate) {
        return Err(SearchFault::Usage("wildcards cannot be asked in this version: name the whole plate"));
    }
    let plate = Plate::parse(&asked.plate)
        .filter(|plate| !plate.is_overlong())
        .ok_or(SearchFault::Usage("the plate needs at least one letter or digit, and at most 16"))?;
    // Named here too, so that all recipients were told of the same ones.
    let objects = attachments.iter().filter_map(|bytes| Some(SignedObject::parse(bytes).ok()?.digest()));
    let digests = objects.chain(disclosures.iter().map(Disclosure::digest));
    Ok(StatementText::new(Statement {
        v: VersionOne,
        plate: PlateName::new(&plate, asked.state),
        on_behalf_of: asked.on_behalf_of.unwrap_or(officer.agency),
        case_number: asked.case_number.clone(),
        offence: OffenceStated { class: asked.offence, text: asked.offence_text.clone() },
        facts: asked.facts.clone(),
        emergency: asked.emergency.is_some(),
        hold: asked.hold,
        attachments: digests.collect(),
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn snapped(from: u64, to: u64) -> Option<(u64, u64, bool)> {
        snap_to(3_600, Timestamp(from), Timestamp(to)).ok().map(|to| (to.from.0, to.to.0, to.moved))
    }

    #[test]
    fn a_window_is_snapped_inward_and_says_so() {
        assert_eq!(snapped(3_600, 10_800), Some((3_600, 10_800, false)));
        assert_eq!(snapped(3_601, 10_800), Some((7_200, 10_800, true)));
        assert_eq!(snapped(3_600, 10_799), Some((3_600, 7_200, true)));
        assert_eq!(snapped(1, 14_399), Some((3_600, 10_800, true)));
        assert_eq!(snapped(3_601, 7_199), None, "no whole period inside");
        assert_eq!(snapped(3_601, 7_200), None);
        assert_eq!(snapped(7_200, 7_200), None);
        assert_eq!(snapped(10_800, 3_600), None);
        assert_eq!(snapped(u64::MAX - 5, u64::MAX), None);
    }

    #[test]
    fn wildcards_are_seen_and_blanks_are_none() {
        for plate in ["QXZ*", "%4471", "QXZ_471", "Q?", "#", "A@1"] {
            assert!(has_wildcard(plate), "{plate}");
        }
        for plate in ["QXZ4471", "QXZ 4471", "QXZ-4471", "QXZ.4471", ""] {
            assert!(!has_wildcard(plate), "{plate}");
        }
    }

    #[test]
    fn a_second_person_is_another_than_the_officer() {
        let said = |seconds: &[[u8; 32]]| match check_persons([1; 32], seconds.iter().copied()) {
            Ok(()) => "",
            Err(SearchFault::Usage(what)) => what,
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!((said(&[]), said(&[[2; 32]]), said(&[[2; 32], [3; 32]])), ("", "", ""));
        assert!(said(&[[1; 32]]).contains("second person"), "in an emergency too");
        assert!(said(&[[2; 32], [2; 32]]).contains("twice"));
    }

    proptest! {
        #[test]
        fn a_snapped_window_never_asks_for_more(from: u64, to: u64, length in 1_u64..100_000) {
            if let Ok(window) = snap_to(length, Timestamp(from), Timestamp(to)) {
                prop_assert!(from <= window.from.0 && window.to.0 <= to && window.from < window.to);
                prop_assert!(window.from.0 - from < length && to - window.to.0 < length);
                prop_assert_eq!((window.from.0 % length, window.to.0 % length), (0, 0));
            }
        }
    }
}
