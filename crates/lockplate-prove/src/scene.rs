//! A request that the solver invented: read, made as ordinary as it can be, and asked again at the engine itself. A solver picks
//! any values that serve, and most of them do not matter; so each fact is set to what it usually is, and stays so as long as the
//! request still shows what it was found for. What remains out of the ordinary is the point. It must never change what was
//! found: the engine is asked after each step. The result is told by `story.rs`.

use std::collections::BTreeMap;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, EntityUid, Policy, PolicySet, Request, Response,
    Schema,
};
use cedar_policy_symcc::Env;
use serde_json::{Map, Value, json};

/// Rounds of simplification: a fact that mattered may not any more after another was simplified.
const ROUNDS: usize = 3;

/// One request with everything that the rules may look at.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    action: EntityUid,
    principal: Value,
    resource: Value,
    context: Map<String, Value>,
    /// Attributes by type and id.
    entities: BTreeMap<(String, String), Map<String, Value>>,
}

/// What the engine says of a request.
pub(crate) struct Said {
    pub(crate) allowed: bool,
    /// The permits that allow it, or the forbids that refuse it; sorted.
    pub(crate) rules: Vec<String>,
    /// Rules that failed; sorted.
    pub(crate) failed: Vec<String>,
}

pub(crate) fn ask(policies: &PolicySet, request: &Request, entities: &Entities) -> Said {
    let response: Response = Authorizer::new().is_authorized(request, policies, entities);
    let mut rules: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
    let mut failed: Vec<String> = response.diagnostics().errors().map(policy_of).collect();
    rules.sort();
    failed.sort();
    Said { allowed: response.decision() == Decision::Allow, rules, failed }
}

fn policy_of(error: &AuthorizationError) -> String {
    let AuthorizationError::PolicyEvaluationError(error) = error;
    error.policy_id().to_string()
}

/// Whether one permit, alone, allows the request.
pub(crate) fn describes(permit: &Policy, request: &Request, entities: &Entities) -> bool {
    PolicySet::from_policies([permit.clone()]).is_ok_and(|alone| ask(&alone, request, entities).allowed)
}

impl Scene {
    /// `None` where the engine's text forms cannot be read back; the solver's own values are then all there is.
    pub(crate) fn of(found: &Env) -> Option<Self> {
        let reference = |uid: &EntityUid| json!({ "type": uid.type_name().to_string(), "id": uid.id().unescaped() });
        let mut entities = BTreeMap::new();
        for entity in found.entities.to_json_value().ok()?.as_array()? {
            let attributes = entity.get("attrs")?.as_object()?.clone();
            entities.insert(key(entity.get("uid")?)?, attributes);
        }
        Some(Self {
            action: found.request.action()?.clone(),
            principal: reference(found.request.principal()?),
            resource: reference(found.request.resource()?),
            context: found.request.context()?.to_json_value().ok()?.as_object()?.clone(),
            entities,
        })
    }

    /// Request and entities, checked against the schema.
    pub(crate) fn build(&self, schema: &Schema) -> Option<(Request, Entities)> {
        let described = |((kind, id), attributes): (&(String, String), &Map<String, Value>)| json!({ "uid": { "type": kind, "id": id }, "attrs": attributes, "parents": [] });
        // Actions come with the schema; what a vocabulary holds has no attributes.
        let own = self.entities.iter().filter(|(_, attributes)| !attributes.is_empty());
        let entities = Entities::from_json_value(own.map(described).collect(), Some(schema)).ok()?;
        let context =
            Context::from_json_value(Value::Object(self.context.clone()), Some((schema, &self.action))).ok()?;
        let uid = |reference: &Value| EntityUid::from_json(reference.clone()).ok();
        let (principal, resource) = (uid(&self.principal)?, uid(&self.resource)?);
        let request = Request::new(principal, self.action.clone(), resource, context, Some(schema)).ok()?;
        Some((request, entities))
    }

    /// The same request, as ordinary as it can be while `shows` says that it still shows what it was found for.
    pub(crate) fn ordinary(mut self, schema: &Schema, shows: impl Fn(&Request, &Entities) -> bool) -> Self {
        let still = |scene: &Self| scene.build(schema).is_some_and(|(request, entities)| shows(&request, &entities));
        for _ in 0..ROUNDS {
            let mut changed = false;
            for step in STEPS {
                let mut next = self.clone();
                step(&mut next);
                if !next.same(&self) && still(&next) {
                    self = next;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        self
    }

    fn same(&self, other: &Self) -> bool {
        self.context == other.context && self.entities == other.entities
    }

    pub(crate) fn action(&self) -> &str {
        self.action.id().unescaped()
    }

    pub(crate) fn context(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.context.get(*first)?, |value, name| value.get(name))
    }

    pub(crate) fn principal(&self) -> &Value {
        &self.principal
    }

    pub(crate) fn resource(&self) -> &Value {
        &self.resource
    }

    /// An attribute of the entity that `reference` names.
    pub(crate) fn attribute(&self, reference: &Value, name: &str) -> Option<&Value> {
        self.entities.get(&key(reference)?)?.get(name)
    }

    fn set(&mut self, path: &[&str], value: &Value) {
        let Some((last, before)) = path.split_last() else { return };
        let mut place = &mut self.context;
        for name in before {
            match place.get_mut(*name).and_then(Value::as_object_mut) {
                Some(inner) => place = inner,
                None => return,
            }
        }
        // What the schema does not know must not appear.
        if let Some(known) = place.get_mut(*last) {
            known.clone_from(value);
        }
    }

    fn set_attribute(&mut self, reference: Option<Value>, name: &str, value: Value) {
        let entity = reference.and_then(|reference| key(&reference)).and_then(|key| self.entities.get_mut(&key));
        if let Some(known) = entity.and_then(|attributes| attributes.get_mut(name)) {
            *known = value;
        }
    }

    fn agency(&self) -> Option<Value> {
        self.attribute(&self.principal, "agency").cloned()
    }

    fn owner(&self) -> Option<Value> {
        self.attribute(&self.resource, "owner").cloned()
    }

    fn on_behalf_of(&self) -> Option<Value> {
        self.context.get("onBehalfOf").cloned()
    }
}

/// Type and id of a reference, with or without the escape of the engine's JSON form.
pub(crate) fn key(reference: &Value) -> Option<(String, String)> {
    let plain = reference.get("__entity").unwrap_or(reference);
    Some((plain.get("type")?.as_str()?.to_owned(), plain.get("id")?.as_str()?.to_owned()))
}

fn word(kind: &str, name: &str) -> Value {
    json!({ "__entity": { "type": format!("Lockplate::{kind}"), "id": name } })
}

fn date(text: &str) -> Value {
    json!({ "__extn": { "fn": "datetime", "arg": text } })
}

/// The ordinary request: an officer looks for a stolen car in the own agency's archive, over the last week. The owner comes first:
/// made ordinary, it is told apart from a requester that is not.
const STEPS: &[fn(&mut Scene)] = &[
    |scene| ordinary_agency(scene, Scene::owner, "level"),
    |scene| ordinary_agency(scene, Scene::owner, "state"),
    |scene| ordinary_agency(scene, Scene::owner, "lawEnforcement"),
    |scene| ordinary_agency(scene, Scene::owner, "declarations"),
    |scene| ordinary_agency(scene, Scene::owner, "overduePapers"),
    |scene| {
        let own = scene.owner();
        let principal = scene.principal.clone();
        if let Some(own) = own {
            scene.set_attribute(Some(principal), "agency", own);
        }
    },
    |scene| {
        if let Some(agency) = scene.agency() {
            scene.set(&["onBehalfOf"], &agency);
        }
    },
    |scene| ordinary_agency(scene, Scene::agency, "level"),
    |scene| ordinary_agency(scene, Scene::agency, "state"),
    |scene| ordinary_agency(scene, Scene::agency, "lawEnforcement"),
    |scene| ordinary_agency(scene, Scene::agency, "declarations"),
    |scene| ordinary_agency(scene, Scene::agency, "overduePapers"),
    |scene| ordinary_agency(scene, Scene::on_behalf_of, "level"),
    |scene| ordinary_agency(scene, Scene::on_behalf_of, "state"),
    |scene| ordinary_agency(scene, Scene::on_behalf_of, "lawEnforcement"),
    |scene| ordinary_agency(scene, Scene::on_behalf_of, "declarations"),
    |scene| ordinary_agency(scene, Scene::on_behalf_of, "overduePapers"),
    |scene| {
        let moments =
            [("now", "2026-11-22"), ("from", "2026-11-15"), ("to", "2026-11-22")].map(|(name, day)| (name, date(day)));
        for (name, day) in &moments {
            scene.set(&[name], day);
        }
        scene.set(&["legal", "validFrom"], &date("2026-11-21"));
        scene.set(&["legal", "validUntil"], &date("2026-12-01"));
        scene.set_attribute(Some(scene.principal.clone()), "trainedUntil", date("2027-01-01"));
    },
    |scene| scene.set(&["now"], &date("2026-11-22")),
    |scene| scene.set(&["from"], &date("2026-11-15")),
    |scene| scene.set(&["to"], &date("2026-11-22")),
    |scene| scene.set_attribute(Some(scene.principal.clone()), "trainedUntil", date("2027-01-01")),
    |scene| {
        scene.set(&["purpose"], &word("Purpose", "stolenVehicle"));
        no_paper(scene, "none");
    },
    |scene| scene.set(&["purpose"], &word("Purpose", "stolenVehicle")),
    |scene| {
        let stolen = word("Purpose", "stolenVehicle");
        if scene.context.get("purpose").and_then(key) != key(&stolen) {
            scene.set(&["purpose"], &word("Purpose", "crimeInvestigation"));
            no_paper(scene, "reasonableSuspicion");
        }
    },
    |scene| no_paper(scene, "none"),
    |scene| scene.set(&["legal", "judicial"], &Value::Bool(false)),
    |scene| scene.set(&["legal", "kind"], &word("Basis", "none")),
    |scene| scene.set(&["legal", "assurance"], &word("Assurance", "none")),
    |scene| scene.set(&["legal", "caseNumber"], &Value::Bool(true)),
    |scene| scene.set(&["legal", "factsStated"], &Value::Bool(true)),
    |scene| scene.set(&["legal", "offence"], &word("Offence", "felony")),
    |scene| scene.set(&["listClass"], &word("ListClass", "stolenVehicle")),
    |scene| scene.set(&["emergencyDeclared"], &Value::Bool(false)),
    |scene| {
        scene.set(&["approvers"], &json!([]));
        scene.set(&["approverRoles"], &json!([]));
    },
    |scene| scene.set(&["approverRoles"], &json!([])),
    |scene| {
        // Roles are those of second persons.
        if scene.context.get("approverRoles") == Some(&json!([])) {
            scene.set(&["approvers"], &json!([]));
        }
    },
    |scene| scene.set(&["mfa"], &Value::Bool(true)),
    |scene| scene.set(&["registeredOwner"], &Value::Bool(false)),
    |scene| scene.set(&["coRegistrantsConsent"], &Value::Bool(false)),
    |scene| smaller(scene, "windowDays", 32),
    |scene| smaller(scene, "windowDays", 7),
    |scene| smaller(scene, "ageDays", 200),
    |scene| smaller(scene, "ageDays", 61),
    |scene| smaller(scene, "ageDays", 22),
    |scene| smaller(scene, "ageDays", 7),
    |scene| smaller(scene, "plates", 2),
    |scene| smaller(scene, "plates", 1),
    |scene| smaller(scene, "variants", 65),
    |scene| smaller(scene, "variants", 1),
    |scene| smaller(scene, "elementEpochs", 2_001),
    |scene| smaller(scene, "elementEpochs", 168),
    |scene| smaller(scene, "priorSamePlate30d", 10),
    |scene| smaller(scene, "priorSamePlate30d", 0),
    |scene| smaller(scene, "requestsLast24h", 200),
    |scene| smaller(scene, "requestsLast24h", 0),
    |scene| smaller(scene, "expiresInDays", 31),
    |scene| smaller(scene, "expiresInDays", 7),
    |scene| scene.set_attribute(Some(scene.principal.clone()), "active", Value::Bool(true)),
    |scene| scene.set_attribute(Some(scene.resource.clone()), "kind", word("ArchiveKind", "police")),
];

/// No court's paper, and this basis.
fn no_paper(scene: &mut Scene, basis: &str) {
    scene.set(&["legal", "judicial"], &Value::Bool(false));
    scene.set(&["legal", "assurance"], &word("Assurance", "none"));
    scene.set(&["legal", "kind"], &word("Basis", basis));
    scene.set(&["legal", "validFrom"], &date("1970-01-01"));
    scene.set(&["legal", "validUntil"], &date("1970-01-01"));
}

/// A number of the size that people know; what is smaller already stays.
fn smaller(scene: &mut Scene, fact: &str, value: i64) {
    if scene.context.get(fact).and_then(Value::as_i64).is_some_and(|now| now < 0 || now > value) {
        scene.set(&[fact], &json!(value));
    }
}

/// A local law-enforcement agency of Connecticut that owes nothing and declared nothing.
fn ordinary_agency(scene: &mut Scene, which: fn(&Scene) -> Option<Value>, attribute: &str) {
    let level = which(scene).and_then(|agency| key(scene.attribute(&agency, "level")?)).map(|(_, level)| level);
    let value = match attribute {
        // As the directory of agencies has it.
        "state" => word(
            "State",
            match level.as_deref() {
                Some("federal") => "US",
                Some("foreign") => "XX",
                _ => "CT",
            },
        ),
        "level" => word("Level", "local"),
        "declarations" => json!([]),
        "overduePapers" => json!(0),
        _ => Value::Bool(true),
    };
    scene.set_attribute(which(scene), attribute, value);
}
