//! The facts that tests start from. All of it invented.

use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::facts::{AgencyFacts, LegalFacts, OfficerFacts, SearchFacts};
use lockplate_core::id::AgencyId;
use lockplate_core::vocabulary::{Action, ArchiveKind, Assurance, Basis, Level, Offence, Purpose, State};

/// 2026-11-22T12:00:00Z.
pub(crate) const NOW: u64 = 1_795_348_800;
pub(crate) const DAY: u64 = 86_400;

pub(crate) fn state(code: &str) -> State {
    State::parse(code).unwrap()
}

pub(crate) fn agency(number: u8, code: &str) -> AgencyFacts {
    AgencyFacts {
        id: AgencyId([number; 16]),
        state: state(code),
        level: Level::Local,
        law_enforcement: true,
        declarations: BTreeSet::new(),
        overdue_papers: 0,
    }
}

pub(crate) fn officer(number: u8, agency: &AgencyFacts) -> OfficerFacts {
    OfficerFacts {
        key_id: [number; 32],
        agency: agency.clone(),
        trained_until: Timestamp(NOW + 40 * DAY),
        active: true,
    }
}

/// A Connecticut officer looks for a stolen car in the own archive, within 21 days: allowed by `base.search` alone.
pub(crate) fn stolen_car() -> SearchFacts {
    let own = agency(1, "CT");
    SearchFacts {
        action: Action::Search,
        officer: officer(1, &own),
        owner: own.clone(),
        archive_kind: ArchiveKind::Police,
        now: Timestamp(NOW),
        from: Timestamp(NOW - 7 * DAY),
        to: Timestamp(NOW),
        window_days: 7,
        age_days: 7,
        purpose: Purpose::StolenVehicle,
        legal: LegalFacts {
            kind: Basis::None,
            judicial: false,
            assurance: Assurance::None,
            valid_from: Timestamp(0),
            valid_until: Timestamp(0),
            case_number: true,
            offence: Offence::Felony,
            facts_stated: true,
        },
        plates: 1,
        variants: 1,
        element_epochs: 168,
        on_behalf_of: own,
        approvers: Vec::new(),
        approver_roles: BTreeSet::new(),
        mfa: true,
        emergency_declared: false,
        prior_same_plate_30d: 0,
        requests_last_24h: 0,
        registered_owner: false,
        co_registrants_consent: false,
    }
}
