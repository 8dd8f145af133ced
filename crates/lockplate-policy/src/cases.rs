//! Files of test cases: a request, the decision it must get, and by which rules (`law.md` section 8). The format is that of
//! `cases.ndjson`, whose head line gives the facts of an ordinary request; every other line says what differs. A file that is not
//! exactly of that form is an error, so that no case is left out in silence. The questions go to [`crate::CedarPolicy`].

use core::fmt;
use std::collections::BTreeSet;

use lockplate_core::Timestamp;
use lockplate_core::entry::ListClass;
use lockplate_core::facts::{AgencyFacts, LegalFacts, Obligations, OfficerFacts, PolicyAnswer, SearchFacts};
use lockplate_core::id::AgencyId;
use lockplate_core::vocabulary::{
    ArchiveKind, Assurance, Basis, DeclarationName, Level, Offence, Purpose, Role, State,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::facts::ListFacts;
use crate::lint::days;
use crate::question::{AnyAction, Question, Time, Word, strict, told_again};

/// Bytes of a file of cases; 546 cases have 113 KB.
pub const CASES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Seconds in an hour and in a day.
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// One case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name, such as `S001`.
    pub id: String,
    /// State of the owner.
    pub owner: State,
    /// What is asked.
    pub question: Question,
    /// What must be answered: decision, exact rules, duties.
    pub expected: PolicyAnswer,
}

/// Why a file is no file of cases: the line, counted from 1, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CasesError {
    line: usize,
    what: String,
}

impl fmt::Display for CasesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl core::error::Error for CasesError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    default: Map<String, Value>,
    now: Time,
    cases: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    set: Map<String, Value>,
    expect: Expected,
    rules: BTreeSet<String>,
    obligations: Option<Duties>,
}

#[derive(Deserialize, PartialEq, Eq)]
enum Expected {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Duties {
    approvers: u8,
    retain: String,
    notice: String,
    confirm: Option<Confirm>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Confirm {
    Visual,
}

/// The facts of one case, the default's with the case's own over them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Facts {
    action: Word<AnyAction>,
    owner: Word<State>,
    kind: Word<ArchiveKind>,
    req: Requester,
    req_state: Word<State>,
    level: Word<Level>,
    le: bool,
    decl: Vec<Word<DeclarationName>>,
    overdue: u32,
    active: bool,
    trained: bool,
    behalf: Option<Behalf>,
    purpose: Word<Purpose>,
    basis: Word<Basis>,
    judicial: bool,
    assurance: Word<Assurance>,
    paper: Paper,
    case_number: bool,
    offence: Word<Offence>,
    facts: bool,
    approvers: Vec<Approver>,
    roles: Vec<Word<Role>>,
    mfa: bool,
    emergency: bool,
    plates: u32,
    variants: u32,
    element_epochs: u32,
    window_days: i64,
    window: Window,
    age_days: i64,
    prior: u32,
    last24h: u32,
    registered: bool,
    consent: bool,
    list_class: Word<ListClass>,
    expires: i64,
}

/// Is the requester the owner?
#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Requester {
    Own,
    Other,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Behalf {
    state: Word<State>,
    level: Word<Level>,
    decl: Vec<Word<DeclarationName>>,
    overdue: u32,
}

/// The court paper, seen from now.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Paper {
    Valid,
    Expired,
    Future,
    None,
}

/// The dates asked for, seen from now.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Window {
    Ok,
    Empty,
    Future,
}

/// Who signed as second person.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Approver {
    #[serde(rename = "self")]
    Same,
    Second,
}

impl Case {
    /// Reads a file of cases: a head line and one case a line, as many as the head says.
    ///
    /// # Errors
    /// The first line that is not of the form.
    pub fn read_all(text: &str) -> Result<Vec<Self>, CasesError> {
        if text.len() > CASES_BYTES_MAX {
            return Err(CasesError { line: 1, what: "the file is longer than a file of cases may be".to_owned() });
        }
        let mut lines = (1..).zip(text.lines());
        let (_, first) = lines.next().ok_or(CasesError { line: 1, what: "there is no head line".to_owned() })?;
        let head: Head = read(1, first)?;
        let cases: Vec<Self> = lines.map(|(line, text)| case(&head, line, text)).collect::<Result<_, _>>()?;
        if cases.len() == head.cases {
            Ok(cases)
        } else {
            let what = format!("the head says {} cases, and {} follow", head.cases, cases.len());
            Err(CasesError { line: 1, what })
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(line: usize, text: &str) -> Result<T, CasesError> {
    strict(text).map_err(|error| CasesError { line, what: error.to_string().replacen("line 1, ", "", 1) })
}

fn case(head: &Head, line: usize, text: &str) -> Result<Case, CasesError> {
    let row: Line = read(line, text)?;
    let refused = |what: String| CasesError { line, what };
    let mut facts = head.default.clone();
    for (name, value) in row.set {
        match facts.get_mut(&name) {
            Some(place) => *place = value,
            None => return Err(refused(format!("unknown key `{name}`"))),
        }
    }
    let facts: Facts = serde_json::from_value(Value::Object(facts)).map_err(|error| refused(told_again(&error)))?;
    let rules = row.rules;
    let expected = match (row.expect, row.obligations) {
        (Expected::Deny, None) => PolicyAnswer::Deny { rules },
        (Expected::Allow, Some(duties)) => {
            let obligations = duties.obligations().ok_or_else(|| refused("a duty cannot be read".to_owned()))?;
            PolicyAnswer::Allow { rules, obligations }
        }
        (Expected::Deny, Some(_)) | (Expected::Allow, None) => {
            return Err(refused("duties come with an Allow, and only with one".to_owned()));
        }
    };
    Ok(Case { id: row.id, owner: facts.owner.0, question: facts.question(head.now.0), expected })
}

impl Duties {
    fn obligations(&self) -> Option<Obligations> {
        Some(Obligations {
            approvers: self.approvers,
            retain_days: days(&self.retain)?,
            notice_days: days(&self.notice)?,
            confirm_visual: match self.confirm {
                Some(Confirm::Visual) => true,
                None => false,
            },
        })
    }
}

impl Facts {
    fn question(&self, now: Timestamp) -> Question {
        let (owner, requester, on_behalf_of) = self.agencies();
        let officer = self.officer(now, &requester);
        let second = OfficerFacts {
            key_id: [2; 32],
            agency: requester.clone(),
            trained_until: Timestamp(now.0.saturating_add(40 * DAY)),
            active: true,
        };
        let approvers = self.approvers.iter().map(|approver| match approver {
            Approver::Same => officer.clone(),
            Approver::Second => second.clone(),
        });
        let approvers: Vec<OfficerFacts> = approvers.collect();
        let approver_roles: BTreeSet<Role> = self.roles.iter().map(|role| role.0).collect();
        let legal = self.legal(now);
        match self.action.0 {
            AnyAction::List(action) => Question::List(ListFacts {
                action,
                officer,
                owner,
                archive_kind: self.kind.0,
                now,
                purpose: self.purpose.0,
                legal,
                list_class: self.list_class.0,
                expires_in_days: self.expires,
                on_behalf_of,
                approvers,
                approver_roles,
                mfa: self.mfa,
                emergency_declared: self.emergency,
            }),
            AnyAction::Search(action) => {
                let from = Timestamp(now.0.saturating_sub(12 * DAY + 12 * HOUR));
                let to = match self.window {
                    Window::Ok => now,
                    Window::Empty => from,
                    Window::Future => Timestamp(now.0.saturating_add(1)),
                };
                Question::Search(SearchFacts {
                    action,
                    officer,
                    owner,
                    archive_kind: self.kind.0,
                    now,
                    from,
                    to,
                    window_days: self.window_days,
                    age_days: self.age_days,
                    purpose: self.purpose.0,
                    legal,
                    plates: self.plates,
                    variants: self.variants,
                    element_epochs: self.element_epochs,
                    on_behalf_of,
                    approvers,
                    approver_roles,
                    mfa: self.mfa,
                    emergency_declared: self.emergency,
                    prior_same_plate_30d: self.prior,
                    requests_last_24h: self.last24h,
                    registered_owner: self.registered,
                    co_registrants_consent: self.consent,
                })
            }
        }
    }

    /// Owner, requester, and the agency asked for.
    fn agencies(&self) -> (AgencyFacts, AgencyFacts, AgencyFacts) {
        let own = self.req == Requester::Own;
        let requester = AgencyFacts {
            id: AgencyId([if own { 1 } else { 2 }; 16]),
            state: if own { self.owner.0 } else { self.req_state.0 },
            level: self.level.0,
            law_enforcement: self.le,
            declarations: self.decl.iter().map(|name| name.0).collect(),
            overdue_papers: self.overdue,
        };
        let owner = if own {
            requester.clone()
        } else {
            AgencyFacts {
                id: AgencyId([1; 16]),
                state: self.owner.0,
                level: Level::Local,
                law_enforcement: true,
                declarations: BTreeSet::new(),
                overdue_papers: 0,
            }
        };
        let on_behalf_of = match &self.behalf {
            None => requester.clone(),
            Some(other) => AgencyFacts {
                id: AgencyId([3; 16]),
                state: other.state.0,
                level: other.level.0,
                law_enforcement: true,
                declarations: other.decl.iter().map(|name| name.0).collect(),
                overdue_papers: other.overdue,
            },
        };
        (owner, requester, on_behalf_of)
    }

    fn officer(&self, now: Timestamp, requester: &AgencyFacts) -> OfficerFacts {
        OfficerFacts {
            key_id: [1; 32],
            agency: requester.clone(),
            trained_until: if self.trained { Timestamp(now.0.saturating_add(40 * DAY)) } else { now },
            active: self.active,
        }
    }

    fn legal(&self, now: Timestamp) -> LegalFacts {
        let soon = Timestamp(now.0.saturating_add(8 * DAY + 12 * HOUR));
        let (valid_from, valid_until) = match self.paper {
            Paper::Valid => (Timestamp(now.0.saturating_sub(DAY + 12 * HOUR)), soon),
            Paper::Expired => (Timestamp(now.0.saturating_sub(21 * DAY + 12 * HOUR)), now),
            Paper::Future => (Timestamp(now.0.saturating_add(1)), soon),
            Paper::None => (Timestamp(0), Timestamp(0)),
        };
        LegalFacts {
            kind: self.basis.0,
            judicial: self.judicial,
            assurance: self.assurance.0,
            valid_from,
            valid_until,
            case_number: self.case_number,
            offence: self.offence.0,
            facts_stated: self.facts,
        }
    }
}
