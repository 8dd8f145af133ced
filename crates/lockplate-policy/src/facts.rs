//! Facts as Cedar entities, context and request, always checked against the schema (`law.md` section 5, point 1). It decides
//! nothing and fills in nothing: what does not fit the schema is no request. Entities are named by ids and key ids only, never
//! by names. The result goes to the authorizer in `cedar.rs` and nowhere else.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression, Schema,
};
use lockplate_core::Timestamp;
use lockplate_core::entry::ListClass;
use lockplate_core::facts::{AgencyFacts, LegalFacts, OfficerFacts, SearchFacts};
use lockplate_core::id::b64url;
use lockplate_core::json::{parse_time, time_text};
use lockplate_core::vocabulary::{ArchiveKind, Purpose, Role};

use crate::lint::AGE;

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

/// A question in the engine's form, for whatever age of the reads: all else is the same for every epoch.
pub(crate) struct Asked<'a> {
    schema: &'a Schema,
    entities: Entities,
    parts: (EntityUid, EntityUid, EntityUid),
    /// Without the age.
    context: Context,
}

impl<'a> Asked<'a> {
    /// `None` where anything does not fit the schema, two different descriptions of one agency or officer included.
    pub(crate) fn search(facts: &SearchFacts, schema: &'a Schema) -> Option<Self> {
        let parties = Parties {
            officer: &facts.officer,
            owner: &facts.owner,
            archive_kind: facts.archive_kind,
            on_behalf_of: &facts.on_behalf_of,
            approvers: &facts.approvers,
        };
        Self::of(&parties, facts.action.name(), context(facts)?, schema)
    }

    /// The same for a hot list.
    pub(crate) fn list(facts: &ListFacts, schema: &'a Schema) -> Option<Self> {
        let parties = Parties {
            officer: &facts.officer,
            owner: &facts.owner,
            archive_kind: facts.archive_kind,
            on_behalf_of: &facts.on_behalf_of,
            approvers: &facts.approvers,
        };
        Self::of(&parties, facts.action.name(), list_context(facts)?, schema)
    }

    fn of(parties: &Parties<'_>, action: &str, context: Pairs, schema: &'a Schema) -> Option<Self> {
        if parties.approvers.len() > APPROVERS_MAX {
            return None;
        }
        let archive = uid("Archive", &parties.owner.id.to_string())?;
        let parts = (officer_uid(parties.officer)?, uid("Action", action)?, archive.clone());
        let entities = Entities::from_entities(entities(parties, archive)?, Some(schema)).ok()?;
        let context = Context::from_pairs(context).ok()?;
        Some(Self { schema, entities, parts, context })
    }

    /// Who and what there is.
    pub(crate) const fn entities(&self) -> &Entities {
        &self.entities
    }

    /// The request about reads of an age in days; one about a hot list has none.
    pub(crate) fn request(&self, age_days: Option<i64>) -> Option<Request> {
        self.made(age_days, Some(self.schema))
    }

    /// The same without a look at the schema: to compare one that was looked at with others, which differ in nothing but the age.
    pub(crate) fn unchecked(&self, age_days: i64) -> Option<Request> {
        self.made(Some(age_days), None)
    }

    fn made(&self, age_days: Option<i64>, schema: Option<&Schema>) -> Option<Request> {
        let (principal, action, resource) = self.parts.clone();
        let age = age_days.map(|days| pair(AGE, RestrictedExpression::new_long(days)));
        let context = self.context.clone().merge(age).ok()?;
        Request::new(principal, action, resource, context, schema).ok()
    }
}

/// Names and values of a record.
type Pairs = Vec<(String, RestrictedExpression)>;

/// Every agency and officer the facts name, once, and the archive.
fn entities(parties: &Parties<'_>, archive: EntityUid) -> Option<Vec<Entity>> {
    let mut agencies = BTreeMap::new();
    let mut officers = BTreeMap::new();
    for officer in core::iter::once(parties.officer).chain(parties.approvers) {
        add(&mut officers, officer.key_id, officer)?;
        add(&mut agencies, officer.agency.id, &officer.agency)?;
    }
    for agency in [parties.owner, parties.on_behalf_of] {
        add(&mut agencies, agency.id, agency)?;
    }
    let of_archive = vec![
        pair("owner", agency_ref(parties.owner)?),
        pair("kind", entity("ArchiveKind", parties.archive_kind.name())?),
    ];
    let agencies = agencies.into_values().map(agency);
    let officers = officers.into_values().map(officer);
    core::iter::once(described(archive, of_archive)).chain(agencies).chain(officers).collect()
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

fn agency(facts: &AgencyFacts) -> Option<Entity> {
    let attributes = vec![
        pair("state", entity("State", facts.state.code())?),
        pair("level", entity("Level", facts.level.name())?),
        pair("lawEnforcement", boolean(facts.law_enforcement)),
        pair("declarations", set(facts.declarations.iter().map(|name| entity("Declaration", name.name())))?),
        pair("overduePapers", long(facts.overdue_papers)),
    ];
    described(uid("Agency", &facts.id.to_string())?, attributes)
}

fn officer(facts: &OfficerFacts) -> Option<Entity> {
    let attributes = vec![
        pair("agency", agency_ref(&facts.agency)?),
        pair("trainedUntil", datetime(facts.trained_until)?),
        pair("active", boolean(facts.active)),
    ];
    described(officer_uid(facts)?, attributes)
}

fn context(facts: &SearchFacts) -> Option<Pairs> {
    Some(vec![
        pair("now", datetime(facts.now)?),
        pair("from", datetime(facts.from)?),
        pair("to", datetime(facts.to)?),
        pair("windowDays", long(facts.window_days)),
        pair("purpose", entity("Purpose", facts.purpose.name())?),
        pair("legal", legal(&facts.legal)?),
        pair("plates", long(facts.plates)),
        pair("variants", long(facts.variants)),
        pair("elementEpochs", long(facts.element_epochs)),
        pair("onBehalfOf", agency_ref(&facts.on_behalf_of)?),
        pair("approvers", approvers(&facts.approvers)?),
        pair("approverRoles", roles(&facts.approver_roles)?),
        pair("mfa", boolean(facts.mfa)),
        pair("emergencyDeclared", boolean(facts.emergency_declared)),
        pair("priorSamePlate30d", long(facts.prior_same_plate_30d)),
        pair("requestsLast24h", long(facts.requests_last_24h)),
        pair("registeredOwner", boolean(facts.registered_owner)),
        pair("coRegistrantsConsent", boolean(facts.co_registrants_consent)),
    ])
}

fn list_context(facts: &ListFacts) -> Option<Pairs> {
    Some(vec![
        pair("now", datetime(facts.now)?),
        pair("purpose", entity("Purpose", facts.purpose.name())?),
        pair("legal", legal(&facts.legal)?),
        pair("listClass", entity("ListClass", facts.list_class.name())?),
        pair("expiresInDays", long(facts.expires_in_days)),
        pair("onBehalfOf", agency_ref(&facts.on_behalf_of)?),
        pair("approvers", approvers(&facts.approvers)?),
        pair("approverRoles", roles(&facts.approver_roles)?),
        pair("mfa", boolean(facts.mfa)),
        pair("emergencyDeclared", boolean(facts.emergency_declared)),
    ])
}

fn approvers(officers: &[OfficerFacts]) -> Option<RestrictedExpression> {
    set(officers.iter().map(|officer| officer_uid(officer).map(RestrictedExpression::new_entity_uid)))
}

fn roles(roles: &BTreeSet<Role>) -> Option<RestrictedExpression> {
    set(roles.iter().map(|role| entity("Role", role.name())))
}

fn legal(facts: &LegalFacts) -> Option<RestrictedExpression> {
    let fields = [
        pair("kind", entity("Basis", facts.kind.name())?),
        pair("judicial", boolean(facts.judicial)),
        pair("assurance", entity("Assurance", facts.assurance.name())?),
        pair("validFrom", datetime(facts.valid_from)?),
        pair("validUntil", datetime(facts.valid_until)?),
        pair("caseNumber", boolean(facts.case_number)),
        pair("offence", entity("Offence", facts.offence.name())?),
        pair("factsStated", boolean(facts.facts_stated)),
    ];
    RestrictedExpression::new_record(fields).ok()
}

/// Seconds since the Unix epoch as a Cedar datetime. Its text form ends at the year 9999; what is later is written as epoch plus
/// duration, which takes a parser. Beyond the engine's range the request is none.
fn datetime(moment: Timestamp) -> Option<RestrictedExpression> {
    let text = time_text(moment);
    if parse_time(&text) == Some(moment) {
        return Some(RestrictedExpression::new_datetime(text));
    }
    format!(r#"datetime("1970-01-01").offset(duration("{}s"))"#, moment.0).parse().ok()
}

fn pair(name: &str, value: RestrictedExpression) -> (String, RestrictedExpression) {
    (name.to_owned(), value)
}

fn boolean(value: bool) -> RestrictedExpression {
    RestrictedExpression::new_bool(value)
}

fn long(value: impl Into<i64>) -> RestrictedExpression {
    RestrictedExpression::new_long(value.into())
}

fn set(values: impl Iterator<Item = Option<RestrictedExpression>>) -> Option<RestrictedExpression> {
    values.collect::<Option<Vec<_>>>().map(RestrictedExpression::new_set)
}

fn agency_ref(facts: &AgencyFacts) -> Option<RestrictedExpression> {
    entity("Agency", &facts.id.to_string())
}

fn officer_uid(facts: &OfficerFacts) -> Option<EntityUid> {
    uid("Officer", &b64url(&facts.key_id))
}

/// Reference to an entity of the schema's namespace.
fn entity(kind: &str, id: &str) -> Option<RestrictedExpression> {
    uid(kind, id).map(RestrictedExpression::new_entity_uid)
}

fn described(uid: EntityUid, attributes: Pairs) -> Option<Entity> {
    Entity::new_with_tags(uid, attributes, [], []).ok()
}

fn uid(kind: &str, id: &str) -> Option<EntityUid> {
    Some(EntityUid::from_type_name_and_id(KINDS.get(kind)?.clone(), EntityId::new(id)))
}

/// The schema's types: reading their names anew for each request is most of what a decision costs.
static KINDS: LazyLock<BTreeMap<&str, EntityTypeName>> = LazyLock::new(|| {
    let kinds = [
        "Action",
        "Agency",
        "Archive",
        "ArchiveKind",
        "Assurance",
        "Basis",
        "Declaration",
        "Level",
        "ListClass",
        "Offence",
        "Officer",
        "Purpose",
        "Role",
        "State",
    ];
    kinds.into_iter().filter_map(|kind| Some((kind, format!("Lockplate::{kind}").parse().ok()?))).collect()
});

#[cfg(test)]
mod tests {
    use cedar_policy::{EvalResult, Expression, eval_expression};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The engine counts the days of the text form as we do.
        #[test]
        fn a_datetime_is_the_moment_it_was_made_of(seconds in 0..=400_000_000_000_u64) {
            let asked = Context::from_pairs([pair("now", datetime(Timestamp(seconds)).unwrap())]).unwrap();
            let since: Expression =
                r#"context.now.durationSince(datetime("1970-01-01")).toSeconds()"#.parse().unwrap();
            let any: EntityUid = r#"Lockplate::State::"US""#.parse().unwrap();
            let request = Request::new(any.clone(), any.clone(), any, asked, None).unwrap();
            let told = eval_expression(&request, &Entities::empty(), &since).unwrap();
            prop_assert_eq!(told, EvalResult::Long(i64::try_from(seconds).unwrap()));
        }
    }
}
