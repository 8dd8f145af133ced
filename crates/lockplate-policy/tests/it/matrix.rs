//! The 546 cases of `cases.ndjson`, written by `cases.py`, a plain-Python reading of the rules that shares nothing with
//! Cedar. Searches, holds and owner access go through [`AccessPolicy`]; hot lists, which have no adapter on this floor,
//! through the raw engine with the same packs.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, Schema};
use lockplate_core::Timestamp;
use lockplate_core::facts::{AccessPolicy as _, AgencyFacts, PolicyAnswer, SearchFacts};
use lockplate_core::id::AgencyId;
use lockplate_core::vocabulary::{
    Action, ArchiveKind, Assurance, Basis, DeclarationName, Level, Offence, Purpose, Role,
};
use lockplate_policy::{Bundle, CedarPolicy};
use serde_json::{Map, Value, json};

use crate::sample::{NOW, agency, officer, state, stolen_car};

const CASES: &str = include_str!("../data/cases.ndjson");

macro_rules! packs {
    ($($state:literal)*) => {[$(
        (concat!($state, ".cedar"), include_str!(concat!("../data/packs/", $state, ".cedar"))),
        (concat!("props/", $state, ".cedar"), include_str!(concat!("../data/packs/props/", $state, ".cedar"))),
    )*]};
}

/// Every state's pack together: each of its rules asks for the owner's state.
fn all_packs() -> Bundle {
    let others = packs!("ca" "il" "mn" "nh" "nj" "nm" "va" "vt" "wa");
    let shipped = Bundle::shipped(state("CT"));
    let files = shipped.files().chain(others);
    Bundle::from_files(files.map(|(path, text)| (path.to_owned(), text.to_owned()))).unwrap()
}

/// One case: the defaults with the case's own values over them.
struct Case {
    id: String,
    values: Map<String, Value>,
    allow: bool,
    rules: BTreeSet<String>,
    obligations: Option<Map<String, Value>>,
}

impl Case {
    fn text(&self, name: &str) -> &str {
        self.values[name].as_str().unwrap()
    }

    fn yes(&self, name: &str) -> bool {
        self.values[name].as_bool().unwrap()
    }

    fn number(&self, name: &str) -> i64 {
        self.values[name].as_i64().unwrap()
    }

    fn count(&self, name: &str) -> u32 {
        self.number(name).try_into().unwrap()
    }

    fn names(&self, name: &str) -> Vec<&str> {
        self.values[name].as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
    }
}

fn cases() -> Vec<Case> {
    let mut lines = CASES.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let head = lines.next().unwrap();
    assert_eq!(head["now"], "2026-11-22T12:00:00Z");
    let list: Vec<Case> = lines
        .map(|line| {
            let mut values = head["default"].as_object().unwrap().clone();
            for (name, value) in line["set"].as_object().unwrap() {
                assert!(values.insert(name.clone(), value.clone()).is_some(), "unknown fact {name}");
            }
            Case {
                id: line["id"].as_str().unwrap().to_owned(),
                values,
                allow: match line["expect"].as_str() {
                    Some("Allow") => true,
                    Some("Deny") => false,
                    other => panic!("{other:?}"),
                },
                rules: line["rules"].as_array().unwrap().iter().map(|rule| rule.as_str().unwrap().to_owned()).collect(),
                obligations: line.get("obligations").map(|duties| duties.as_object().unwrap().clone()),
            }
        })
        .collect();
    assert_eq!(list.len() as u64, head["cases"].as_u64().unwrap());
    list
}

/// (owner, requester, on behalf of)
fn agencies(case: &Case) -> (AgencyFacts, AgencyFacts, AgencyFacts) {
    let own = case.text("req") == "own";
    let declared = |list: &[&str]| list.iter().map(|name| DeclarationName::from_name(name).unwrap()).collect();
    let requester = AgencyFacts {
        id: AgencyId([if own { 1 } else { 2 }; 16]),
        state: state(case.text(if own { "owner" } else { "reqState" })),
        level: Level::from_name(case.text("level")).unwrap(),
        law_enforcement: case.yes("le"),
        declarations: declared(&case.names("decl")),
        overdue_papers: case.count("overdue"),
    };
    let owner = if own { requester.clone() } else { agency(1, case.text("owner")) };
    let other = &case.values["behalf"];
    let behalf = if other.is_null() {
        requester.clone()
    } else {
        AgencyFacts {
            level: Level::from_name(other["level"].as_str().unwrap()).unwrap(),
            declarations: declared(
                &other["decl"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect::<Vec<_>>(),
            ),
            overdue_papers: other["overdue"].as_u64().unwrap().try_into().unwrap(),
            ..agency(3, other["state"].as_str().unwrap())
        }
    };
    (owner, requester, behalf)
}

/// Days of 2026 and 2027 that the cases name, as Unix time.
const NOVEMBER_1: u64 = 1_793_491_200;
const NOVEMBER_10: u64 = 1_794_268_800;
const NOVEMBER_21: u64 = 1_795_219_200;
const DECEMBER_1: u64 = 1_796_083_200;
const JANUARY_1: u64 = 1_798_761_600;

fn facts(case: &Case, action: Action) -> SearchFacts {
    let (owner, requester, on_behalf_of) = agencies(case);
    let mut asker = officer(1, &requester);
    asker.active = case.yes("active");
    asker.trained_until = Timestamp(if case.yes("trained") { JANUARY_1 } else { NOW });
    let approver = |name: &str| match name {
        "self" => asker.clone(),
        "second" => officer(2, &requester),
        other => panic!("{other}"),
    };
    let (valid_from, valid_until) = match case.text("paper") {
        "valid" => (NOVEMBER_21, DECEMBER_1),
        "expired" => (NOVEMBER_1, NOW),
        "future" => (NOW + 1, DECEMBER_1),
        "none" => (0, 0),
        other => panic!("{other}"),
    };
    let (from, to) = match case.text("window") {
        "ok" => (NOVEMBER_10, NOW),
        "empty" => (NOVEMBER_10, NOVEMBER_10),
        "future" => (NOVEMBER_10, NOW + 1),
        other => panic!("{other}"),
    };
    let mut facts = stolen_car();
    facts.action = action;
    facts.approvers = case.names("approvers").into_iter().map(approver).collect();
    facts.approver_roles = case.names("roles").into_iter().map(|name| Role::from_name(name).unwrap()).collect();
    facts.officer = asker;
    facts.owner = owner;
    facts.on_behalf_of = on_behalf_of;
    facts.archive_kind = ArchiveKind::from_name(case.text("kind")).unwrap();
    (facts.from, facts.to) = (Timestamp(from), Timestamp(to));
    facts.window_days = case.number("windowDays");
    facts.age_days = case.number("ageDays");
    facts.purpose = Purpose::from_name(case.text("purpose")).unwrap();
    facts.legal.kind = Basis::from_name(case.text("basis")).unwrap();
    facts.legal.judicial = case.yes("judicial");
    facts.legal.assurance = Assurance::from_name(case.text("assurance")).unwrap();
    (facts.legal.valid_from, facts.legal.valid_until) = (Timestamp(valid_from), Timestamp(valid_until));
    facts.legal.case_number = case.yes("caseNumber");
    facts.legal.offence = Offence::from_name(case.text("offence")).unwrap();
    facts.legal.facts_stated = case.yes("facts");
    facts.plates = case.count("plates");
    facts.variants = case.count("variants");
    facts.element_epochs = case.count("elementEpochs");
    facts.mfa = case.yes("mfa");
    facts.emergency_declared = case.yes("emergency");
    facts.prior_same_plate_30d = case.count("prior");
    facts.requests_last_24h = case.count("last24h");
    facts.registered_owner = case.yes("registered");
    facts.co_registrants_consent = case.yes("consent");
    facts
}

fn expected(case: &Case) -> PolicyAnswer {
    let rules = case.rules.clone();
    let Some(duties) = &case.obligations else {
        assert!(!case.allow);
        return PolicyAnswer::Deny { rules };
    };
    assert!(case.allow);
    let days = |name: &str| duties[name].as_str().unwrap().trim_matches(['P', 'D']).parse().unwrap();
    let obligations = lockplate_core::facts::Obligations {
        approvers: duties["approvers"].as_u64().unwrap().try_into().unwrap(),
        retain_days: days("retain"),
        notice_days: days("notice"),
        confirm_visual: duties.get("confirm").is_some(),
    };
    PolicyAnswer::Allow { rules, obligations }
}

#[test]
fn the_engine_agrees_with_the_plain_reading() {
    let bundle = all_packs();
    let all = CedarPolicy::load(&bundle).unwrap();
    assert_eq!(all.rules().count(), 59);
    let lists = RawEngine::new(&bundle);
    // A state's shipped bundle must say the same as all packs together.
    let shipped: BTreeMap<&str, CedarPolicy> =
        ["CT", "OH"].map(|code| (code, CedarPolicy::load(&Bundle::shipped(state(code))).unwrap())).into();
    let (mut searches, mut hot_lists, mut by_shipped) = (0, 0, 0);
    let mut seen = BTreeSet::new();
    for case in cases() {
        let wanted = expected(&case);
        let answer = match Action::from_name(case.text("action")) {
            Some(action) => {
                searches += 1;
                let facts = facts(&case, action);
                if let Some(policy) = shipped.get(case.text("owner")) {
                    by_shipped += 1;
                    assert_eq!(policy.rule_on(&facts), wanted, "{} under the shipped bundle", case.id);
                }
                all.rule_on(&facts)
            }
            None => {
                hot_lists += 1;
                lists.rule_on(&case)
            }
        };
        assert_eq!(answer, wanted, "{}", case.id);
        seen.extend(case.rules);
    }
    assert_eq!((searches, hot_lists), (472, 74));
    assert_eq!(by_shipped, 249); // owners in Connecticut, and in Ohio, which has no pack
    let unseen: Vec<&str> = all.rules().filter(|rule| !seen.contains(*rule)).collect();
    assert!(unseen.is_empty(), "no case for {unseen:?}");
}

/// The engine without an adapter, for the two actions of hot lists.
struct RawEngine {
    schema: Schema,
    policies: PolicySet,
    duties: BTreeMap<String, lockplate_core::facts::Obligations>,
}

impl RawEngine {
    fn new(bundle: &Bundle) -> Self {
        let mut policies = PolicySet::new();
        let mut duties = BTreeMap::new();
        let mut schema = None;
        for (path, text) in bundle.files() {
            if path == lockplate_policy::SCHEMA {
                schema = Some(Schema::from_cedarschema_str(text).unwrap().0);
            } else if !path.starts_with("props/") {
                for policy in text.parse::<PolicySet>().unwrap().policies() {
                    let id = policy.annotation("id").unwrap();
                    let days = |name| policy.annotation(name).unwrap().trim_matches(['P', 'D']).parse().unwrap();
                    if policy.annotation("retain").is_some() {
                        let one = lockplate_core::facts::Obligations {
                            approvers: policy.annotation("approvers").unwrap().parse().unwrap(),
                            retain_days: days("retain"),
                            notice_days: days("notice"),
                            confirm_visual: policy.annotation("confirm").is_some(),
                        };
                        duties.insert(id.to_owned(), one);
                    }
                    policies.add(policy.new_id(id.parse().unwrap())).unwrap();
                }
            }
        }
        Self { schema: schema.unwrap(), policies, duties }
    }

    fn rule_on(&self, case: &Case) -> PolicyAnswer {
        let entity = |kind: &str, id: &str| json!({ "type": format!("Lockplate::{kind}"), "id": id });
        let names =
            |kind: &str, list: &[&str]| Value::from(list.iter().map(|name| entity(kind, name)).collect::<Vec<_>>());
        let date = |text: &str| json!({ "__extn": { "fn": "datetime", "arg": text } });
        let agency = |id: &str, code: &str, level: &str, le: bool, decl: &[&str], overdue: i64| {
            json!({ "uid": entity("Agency", id), "parents": [], "attrs": {
                "state": entity("State", code), "level": entity("Level", level), "lawEnforcement": le,
                "declarations": names("Declaration", decl), "overduePapers": overdue,
            }})
        };
        assert_eq!((&case.values["behalf"], case.text("paper")), (&Value::Null, "none"), "{}", case.id);
        let requester = if case.text("req") == "own" { "owner" } else { "other" };
        let mut all = vec![agency(
            requester,
            case.text(if requester == "owner" { "owner" } else { "reqState" }),
            case.text("level"),
            case.yes("le"),
            &case.names("decl"),
            case.number("overdue"),
        )];
        if requester == "other" {
            all.push(agency("owner", case.text("owner"), "local", true, &[], 0));
        }
        for id in ["self", "second"] {
            all.push(json!({ "uid": entity("Officer", id), "parents": [], "attrs": {
                "agency": entity("Agency", requester), "active": id == "second" || case.yes("active"),
                "trainedUntil": date(if id == "second" || case.yes("trained") { "2027-01-01" } else { "2026-11-22T12:00:00Z" }),
            }}));
        }
        let archive = entity("Archive", "archive");
        all.push(json!({ "uid": archive, "parents": [], "attrs": {
            "owner": entity("Agency", "owner"), "kind": entity("ArchiveKind", case.text("kind")),
        }}));
        let context = json!({
            "now": date("2026-11-22T12:00:00Z"),
            "purpose": entity("Purpose", case.text("purpose")),
            "legal": {
                "kind": entity("Basis", case.text("basis")), "judicial": case.yes("judicial"),
                "assurance": entity("Assurance", case.text("assurance")),
                "validFrom": date("1970-01-01"), "validUntil": date("1970-01-01"),
                "caseNumber": case.yes("caseNumber"), "offence": entity("Offence", case.text("offence")),
                "factsStated": case.yes("facts"),
            },
            "listClass": entity("ListClass", case.text("listClass")),
            "expiresInDays": case.number("expires"),
            "onBehalfOf": entity("Agency", requester),
            "approvers": names("Officer", &case.names("approvers")),
            "approverRoles": names("Role", &case.names("roles")),
            "mfa": case.yes("mfa"),
            "emergencyDeclared": case.yes("emergency"),
        });
        let uid = |value: Value| EntityUid::from_json(value).unwrap();
        let action = uid(entity("Action", case.text("action")));
        let entities = Entities::from_json_value(Value::from(all), Some(&self.schema)).unwrap();
        let context = Context::from_json_value(context, Some((&self.schema, &action))).unwrap();
        let request =
            Request::new(uid(entity("Officer", "self")), action, uid(archive), context, Some(&self.schema)).unwrap();
        let response = Authorizer::new().is_authorized(&request, &self.policies, &entities);
        assert_eq!(response.diagnostics().errors().count(), 0, "{}", case.id);
        let rules: BTreeSet<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        match response.decision() {
            Decision::Deny => PolicyAnswer::Deny { rules },
            Decision::Allow => {
                assert_eq!(rules.len(), 1, "{}", case.id);
                let obligations = self.duties[rules.first().unwrap()];
                PolicyAnswer::Allow { rules, obligations }
            }
        }
    }
}
