//! Facts as Cedar entities, context and request, always checked against the schema (`law.md` section 5, point 1). It decides
//! nothing and fills in nothing: what does not fit the schema is no request. Entities are named by ids and key ids only, never
//! by names. The result goes to the authorizer in `cedar.rs` and nowhere else.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Context, Entities, EntityUid, Request, Schema};
use lockplate_core::Timestamp;
use lockplate_core::entry::ListClass;
use lockplate_core::facts::{AgencyFacts, LegalFacts, OfficerFacts, SearchFacts};
use lockplate_core::id::b64url;
use lockplate_core::vocabulary::{ArchiveKind, Purpose, Role};
use serde_json::{Value, json};

/// Second persons in one request: beyond this the facts are not credible and the request is none.
const APPROVERS_MAX: usize = 16;

/// What is done with a hot list: the two actions of the schema beside those of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListAction {
    /// Reading a hit.
    ReadHit,
    /// Putting a plate on a list.
    AddEntry,
}

/// Everything the policy may look at for one entry of a hot list or one hit (`ListFacts` of the schema).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFacts {
    /// What is done.
    pub action: ListAction,
    /// Who does it.
    pub officer: OfficerFacts,
    /// Owner of the archive whose cameras match the list.
    pub owner: AgencyFacts,
    /// Kind of the archive.
    pub archive_kind: ArchiveKind,
    /// The clock of whoever decides.
    pub now: Timestamp,
    /// Purpose stated.
    pub purpose: Purpose,
    /// The legal side.
    pub legal: LegalFacts,
    /// Class of the entry.
    pub list_class: ListClass,
    /// Days until the entry ends, rounded up.
    pub expires_in_days: i64,
    /// For whom it is done.
    pub on_behalf_of: AgencyFacts,
    /// Second persons whose signature was verified.
    pub approvers: Vec<OfficerFacts>,
    /// Their roles.
    pub approver_roles: BTreeSet<Role>,
    /// Signed in with two factors.
    pub mfa: bool,
    /// Declared as an emergency.
    pub emergency_declared: bool,
}

impl ListAction {
    /// Name in the policy schema.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadHit => "readHit",
            Self::AddEntry => "addHotlistEntry",
        }
    }
}

/// Who takes part in a request of either kind.
struct Parties<'a> {
    officer: &'a OfficerFacts,
    owner: &'a AgencyFacts,
    archive_kind: ArchiveKind,
    on_behalf_of: &'a AgencyFacts,
    approvers: &'a [OfficerFacts],
}

/// Request and entities for one decision; `None` where anything does not fit the schema, two different descriptions of one
/// agency or officer included.
pub(crate) fn cedar_request(facts: &SearchFacts, schema: &Schema) -> Option<(Request, Entities)> {
    let parties = Parties {
        officer: &facts.officer,
        owner: &facts.owner,
        archive_kind: facts.archive_kind,
        on_behalf_of: &facts.on_behalf_of,
        approvers: &facts.approvers,
    };
    asked(&parties, facts.action.name(), context(facts), schema)
}

/// The same for a hot list.
pub(crate) fn cedar_list_request(facts: &ListFacts, schema: &Schema) -> Option<(Request, Entities)> {
    let parties = Parties {
        officer: &facts.officer,
        owner: &facts.owner,
        archive_kind: facts.archive_kind,
        on_behalf_of: &facts.on_behalf_of,
        approvers: &facts.approvers,
    };
    asked(&parties, facts.action.name(), list_context(facts), schema)
}

fn asked(parties: &Parties<'_>, action: &str, context: Value, schema: &Schema) -> Option<(Request, Entities)> {
    if parties.approvers.len() > APPROVERS_MAX {
        return None;
    }
    let principal = uid(officer_ref(parties.officer))?;
    let action = uid(entity("Action", action))?;
    let archive = entity("Archive", &parties.owner.id.to_string());
    let resource = uid(archive.clone())?;
    let entities = Entities::from_json_value(entities(parties, archive)?, Some(schema)).ok()?;
    let context = Context::from_json_value(context, Some((schema, &action))).ok()?;
    let request = Request::new(principal, action, resource, context, Some(schema)).ok()?;
    Some((request, entities))
}

/// Every agency and officer the facts name, once, and the archive.
fn entities(parties: &Parties<'_>, archive: Value) -> Option<Value> {
    let mut agencies = BTreeMap::new();
    let mut officers = BTreeMap::new();
    for officer in core::iter::once(parties.officer).chain(parties.approvers) {
        add(&mut officers, officer.key_id, officer)?;
        add(&mut agencies, officer.agency.id, &officer.agency)?;
    }
    for agency in [parties.owner, parties.on_behalf_of] {
        add(&mut agencies, agency.id, agency)?;
    }
    let archive_attributes = json!({
        "owner": agency_ref(parties.owner),
        "kind": entity("ArchiveKind", parties.archive_kind.name()),
    });
    let mut list = vec![described(archive, archive_attributes)];
    list.extend(agencies.into_values().map(agency));
    list.extend(officers.into_values().map(officer));
    Some(Value::Array(list))
}

/// Adds `item` under `id`; `None` if something else stands there already. Which of the two would hold is not ours to choose.
fn add<'a, K: Ord, V: PartialEq>(list: &mut BTreeMap<K, &'a V>, id: K, item: &'a V) -> Option<()> {
    match list.entry(id) {
        Entry::Vacant(place) => {
            place.insert(item);
            Some(())
        }
        Entry::Occupied(place) => (*place.get() == item).then_some(()),
    }
}

fn agency(facts: &AgencyFacts) -> Value {
    let declarations: Vec<Value> = facts.declarations.iter().map(|name| entity("Declaration", name.name())).collect();
    let attributes = json!({
        "state": entity("State", facts.state.code()),
        "level": entity("Level", facts.level.name()),
        "lawEnforcement": facts.law_enforcement,
        "declarations": declarations,
        "overduePapers": facts.overdue_papers,
    });
    described(agency_ref(facts), attributes)
}

fn officer(facts: &OfficerFacts) -> Value {
    let attributes = json!({
        "agency": agency_ref(&facts.agency),
        "trainedUntil": datetime(facts.trained_until),
        "active": facts.active,
    });
    described(officer_ref(facts), attributes)
}

fn context(facts: &SearchFacts) -> Value {
    let (approvers, roles) = (approvers(&facts.approvers), roles(&facts.approver_roles));
    json!({
        "now": datetime(facts.now),
        "from": datetime(facts.from),
        "to": datetime(facts.to),
        "windowDays": facts.window_days,
        "ageDays": facts.age_days,
        "purpose": entity("Purpose", facts.purpose.name()),
        "legal": legal(&facts.legal),
        "plates": facts.plates,
        "variants": facts.variants,
        "elementEpochs": facts.element_epochs,
        "onBehalfOf": agency_ref(&facts.on_behalf_of),
        "approvers": approvers,
        "approverRoles": roles,
        "mfa": facts.mfa,
        "emergencyDeclared": facts.emergency_declared,
        "priorSamePlate30d": facts.prior_same_plate_30d,
        "requestsLast24h": facts.requests_last_24h,
        "registeredOwner": facts.registered_owner,
        "coRegistrantsConsent": facts.co_registrants_consent,
    })
}

fn list_context(facts: &ListFacts) -> Value {
    let (approvers, roles) = (approvers(&facts.approvers), roles(&facts.approver_roles));
    json!({
        "now": datetime(facts.now),
        "purpose": entity("Purpose", facts.purpose.name()),
        "legal": legal(&facts.legal),
        "listClass": entity("ListClass", facts.list_class.name()),
        "expiresInDays": facts.expires_in_days,
        "onBehalfOf": agency_ref(&facts.on_behalf_of),
        "approvers": approvers,
        "approverRoles": roles,
        "mfa": facts.mfa,
        "emergencyDeclared": facts.emergency_declared,
    })
}

fn approvers(officers: &[OfficerFacts]) -> Vec<Value> {
    officers.iter().map(officer_ref).collect()
}

fn roles(roles: &BTreeSet<Role>) -> Vec<Value> {
    roles.iter().map(|role| entity("Role", role.name())).collect()
}

fn legal(facts: &LegalFacts) -> Value {
    json!({
        "kind": entity("Basis", facts.kind.name()),
        "judicial": facts.judicial,
        "assurance": entity("Assurance", facts.assurance.name()),
        "validFrom": datetime(facts.valid_from),
        "validUntil": datetime(facts.valid_until),
        "caseNumber": facts.case_number,
        "offence": entity("Offence", facts.offence.name()),
        "factsStated": facts.facts_stated,
    })
}

/// Seconds since the Unix epoch as a Cedar datetime, whose text form ends at the year 9999; so it is written as epoch plus
/// duration, and no calendar arithmetic of ours can be wrong. Beyond the engine's range the request is none.
fn datetime(moment: Timestamp) -> Value {
    let epoch = json!({ "__extn": { "fn": "datetime", "arg": "1970-01-01" } });
    let since = json!({ "__extn": { "fn": "duration", "arg": format!("{}s", moment.0) } });
    json!({ "__extn": { "fn": "offset", "args": [epoch, since] } })
}

fn agency_ref(facts: &AgencyFacts) -> Value {
    entity("Agency", &facts.id.to_string())
}

fn officer_ref(facts: &OfficerFacts) -> Value {
    entity("Officer", &b64url(&facts.key_id))
}

/// Reference to an entity of the schema's namespace.
fn entity(kind: &str, id: &str) -> Value {
    json!({ "type": format!("Lockplate::{kind}"), "id": id })
}

fn described(uid: Value, attributes: Value) -> Value {
    json!({ "uid": uid, "attrs": attributes, "parents": [] })
}

fn uid(reference: Value) -> Option<EntityUid> {
    EntityUid::from_json(reference).ok()
}
