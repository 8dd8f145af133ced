//! A request told in plain words: who, of which agency, asks which archive, for what, on which paper. For a lawyer and a council,
//! so no word of the solver's appears in it. It invents nothing: a fact that the schema does not have is left out, one whose
//! form is not known is told as it stands. Nothing of a real request is ever in a story; all of them come from a solver.

use core::fmt;

use serde_json::Value;

use crate::scene::{Scene, key};

/// A request in words, a line each: who asks, for what, on which basis, when and how much, who signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    lines: Vec<String>,
}

impl Story {
    /// Its lines; each a sentence or a few.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// With one line more, which says what the rules do with the request.
    pub(crate) fn ending(mut self, line: String) -> Self {
        self.lines.push(line);
        self
    }

    pub(crate) fn of(scene: &Scene) -> Self {
        let lines = [who(scene), what_for(scene), said(scene), when(scene), people(scene), before(scene)];
        Self { lines: lines.into_iter().flatten().collect() }
    }

    /// Where the solver's values cannot be read at all.
    pub(crate) fn untold() -> Self {
        Self { lines: vec!["The request that was found cannot be told in words.".to_owned()] }
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

/// Who asks whom: officer, agency, archive, and for whom.
fn who(scene: &Scene) -> Option<String> {
    let agency = scene.attribute(scene.principal(), "agency")?;
    let owner = scene.attribute(scene.resource(), "owner")?;
    let mut officer = "An officer".to_owned();
    let mut lacks = Vec::new();
    if scene.attribute(scene.principal(), "active") == Some(&Value::Bool(false)) {
        lacks.push("not active".to_owned());
    }
    if let (Some(until), Some(now)) = (scene.attribute(scene.principal(), "trainedUntil"), scene.context(&["now"]))
        && day(until) != "2027-01-01"
    {
        lacks.push(format!("trained until {}, and it is {}", day(until), day(now)));
    }
    if scene.context(&["mfa"]) == Some(&Value::Bool(false)) {
        lacks.push("signed in without a second factor".to_owned());
    }
    if !lacks.is_empty() {
        officer = format!("{officer} ({})", lacks.join("; "));
    }
    let does = match scene.action() {
        "search" => "searches one plate in",
        "holdEvidence" => "asks for an evidence hold from",
        "ownerAccess" => "answers a registered owner from",
        "readHit" => "reads a hot-list hit of",
        "addHotlistEntry" => "puts a plate on a hot list of",
        _ => "asks",
    };
    let kind = scene.attribute(scene.resource(), "kind").map_or_else(|| "archive".to_owned(), name);
    let whose = if key(agency) == key(owner) {
        format!("the {kind} archive of the own agency")
    } else {
        format!("the {kind} archive of another agency, {}", agency_words(scene, owner))
    };
    let mut line = format!("{officer} of {} {does} {whose}", agency_words(scene, agency));
    if let Some(other) = scene.context(&["onBehalfOf"])
        && key(other) != key(agency)
    {
        if key(other) == key(owner) {
            line.push_str(", on behalf of that agency");
        } else {
            line.push_str(&format!(", on behalf of {}", agency_words(scene, other)));
        }
    }
    Some(format!("{line}."))
}

/// "a local law-enforcement agency of CT, which filed CT-26-14".
fn agency_words(scene: &Scene, agency: &Value) -> String {
    let level = scene.attribute(agency, "level").map(name).unwrap_or_default();
    let enforces = match scene.attribute(agency, "lawEnforcement") {
        Some(Value::Bool(false)) => "agency that is no law enforcement",
        _ => "law-enforcement agency",
    };
    let state = scene.attribute(agency, "state").map(code).unwrap_or_default();
    let mut text = format!("a {level} {enforces} of {state}");
    if let Some(Value::Array(filed)) = scene.attribute(agency, "declarations")
        && !filed.is_empty()
    {
        text.push_str(&format!(" with the declaration {}", filed.iter().map(code).collect::<Vec<_>>().join(", ")));
    }
    if let Some(owed) = scene.attribute(agency, "overduePapers")
        && owed.as_i64() != Some(0)
    {
        text.push_str(&format!(" with {owed} overdue emergency papers"));
    }
    text
}

/// Purpose, legal basis and court paper.
fn what_for(scene: &Scene) -> Option<String> {
    let purpose = name(scene.context(&["purpose"])?);
    let basis = scene.context(&["legal", "kind"]).map(name).unwrap_or_default();
    let verified = match scene.context(&["legal", "assurance"]).map(code).as_deref() {
        Some("courtKey") => "verified with a court's key",
        Some("custodianAttested") => "attested by the owner's records custodian",
        _ => "verified by nobody",
    };
    let judge = scene.context(&["legal", "judicial"]) == Some(&Value::Bool(true));
    let valid = |which| scene.context(&["legal", which]).map(day).unwrap_or_default();
    let paper = if judge || verified != "verified by nobody" {
        let whose = if judge { "a judge's paper" } else { "a paper that counts as no judge's" };
        format!("{whose}, {verified}, in force from {} until {}", valid("validFrom"), valid("validUntil"))
    } else {
        "no judge's paper".to_owned()
    };
    Some(format!("Purpose: {purpose}. Basis stated: {basis}; {paper}."))
}

/// What was said of the case, and of the list.
fn said(scene: &Scene) -> Option<String> {
    let yes = |path: &[&str]| Some(yes_or_no(scene.context(path)?));
    let mut parts = Vec::new();
    if let Some(class) = scene.context(&["listClass"]) {
        let days = scene.context(&["expiresInDays"]).map(ToString::to_string).unwrap_or_default();
        parts.push(format!("List entry: {}, ends in {days} days.", name(class)));
    }
    if let (Some(case), Some(facts)) = (yes(&["legal", "caseNumber"]), yes(&["legal", "factsStated"])) {
        let offence = scene.context(&["legal", "offence"]).map(name).unwrap_or_default();
        parts.push(format!("Case number: {case}; facts stated: {facts}; offence: {offence}."));
    }
    if scene.action() == "ownerAccess"
        && let (Some(owner), Some(consent)) = (yes(&["registeredOwner"]), yes(&["coRegistrantsConsent"]))
    {
        parts.push(format!("Registration proved: {owner}; every co-registrant consents: {consent}."));
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Dates and amounts of a search.
fn when(scene: &Scene) -> Option<String> {
    let number = |fact| scene.context(&[fact]).map(ToString::to_string).unwrap_or_default();
    let (from, to, now) = (scene.context(&["from"])?, scene.context(&["to"])?, scene.context(&["now"])?);
    Some(format!(
        "Dates: {} to {}, counted as {} days; the reads are {} days old, and it is {}. Plates: {}; spellings: {}; hours and spellings to open: {}.",
        day(from),
        day(to),
        number("windowDays"),
        number("ageDays"),
        day(now),
        number("plates"),
        number("variants"),
        number("elementEpochs"),
    ))
}

/// Second persons and emergency.
fn people(scene: &Scene) -> Option<String> {
    let Value::Array(approvers) = scene.context(&["approvers"])? else { return None };
    let itself = approvers.iter().filter(|approver| key(approver) == key(scene.principal())).count();
    let others = approvers.len().saturating_sub(itself);
    let signed = match (itself, others) {
        (0, 0) => "nobody else".to_owned(),
        (0, 1) => "one other person".to_owned(),
        (0, more) => format!("{more} other persons"),
        (_, 0) => "the same officer again".to_owned(),
        (_, more) => format!("the same officer again, and {more} more"),
    };
    let roles = match scene.context(&["approverRoles"]) {
        Some(Value::Array(roles)) if !roles.is_empty() => {
            format!(" (as {})", roles.iter().map(name).collect::<Vec<_>>().join(", "))
        }
        _ => String::new(),
    };
    let emergency = yes_or_no(scene.context(&["emergencyDeclared"])?);
    Some(format!("Signed by {signed}{roles}. Emergency declared: {emergency}."))
}

/// What the agency and the officer asked before.
fn before(scene: &Scene) -> Option<String> {
    let (plate, officer) = (scene.context(&["priorSamePlate30d"])?, scene.context(&["requestsLast24h"])?);
    Some(format!(
        "Asked before: {plate} times for this plate in 30 days; {officer} requests by this officer in 24 hours."
    ))
}

fn yes_or_no(value: &Value) -> &'static str {
    if *value == Value::Bool(true) { "yes" } else { "no" }
}

/// The name of a vocabulary's member as it stands there: `CT`, `CT-26-14`, `courtKey`.
fn code(value: &Value) -> String {
    key(value).map_or_else(|| value.to_string(), |(_, id)| id)
}

/// The name of a vocabulary's member in words: `crimeInvestigation` is "crime investigation".
fn name(value: &Value) -> String {
    let mut words = String::new();
    for letter in code(value).chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// The day of a moment, with the time of day where it has one; anything else as it stands.
fn day(value: &Value) -> String {
    let called = value.get("__extn");
    let Some(text) = called.and_then(|called| called.get("arg")).and_then(Value::as_str) else {
        return "another time".to_owned();
    };
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    if time.is_empty() || time.starts_with("00:00:00") { date.to_owned() } else { text.to_owned() }
}
