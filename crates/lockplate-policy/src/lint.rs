//! Reads a bundle and refuses it unless it is exactly what `law.md` section 3 asks for. Cedar does not look at annotations,
//! accepts arithmetic that can overflow, and skips a policy that fails while deciding, so what the validator cannot see is
//! checked here. It must never mend or guess. What passes goes to `cedar.rs`.

use core::str::FromStr as _;
use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::ffi::{FormattingAnswer, FormattingCall};
use cedar_policy::{
    Context, Effect, Policy, PolicyId, PolicySet, RestrictedExpression, Schema, ValidationMode, Validator,
};
use lockplate_core::facts::{Obligations, Reason};
use serde_json::{Value, json};

use crate::bundle::{BASE_PACK, Bundle, POLICIES_MAX, SCHEMA};
use crate::checked::{Check, Property};
use crate::error::{Fault, LoadError};

/// Attribute accesses in a row that a policy may use: `principal.agency.state` and `resource.owner.state` need three.
const DEREFERENCES_MAX: u32 = 3;
/// The only form in which a pack is accepted, so that a difference between two packs is a difference in meaning.
const FORMAT_LINE_WIDTH: u32 = 120;
/// Spaces of indentation in that form.
const FORMAT_INDENT: u32 = 2;
/// Longest period in an obligation, days: 100 years.
const DAYS_MAX: u32 = 36_525;
/// Most keepers in a charter, so most humans who can be asked.
const APPROVERS_MAX: u8 = 16;
/// Stands in `@redundant` where no rule, but the absence of a permit, refuses the same.
const DEFAULT_DENIAL: &str = "default denial";
/// Everything an expression may consist of, by its name in Cedar's JSON form. The list is closed: none of these can fail on
/// a well-typed input, and what is not on it (arithmetic, `durationSince`, `offset`, `has`, `like`, tags) may.
const CONSTRUCTS: [&str; 20] = [
    "Value",
    "Var",
    "Set",
    ".",
    "!",
    "==",
    "!=",
    "in",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    "contains",
    "containsAll",
    "containsAny",
    "isEmpty",
    "is",
    "if-then-else",
];
/// The attribute of a search's context in which the epochs of one request differ.
pub(crate) const AGE: &str = "ageDays";
/// The one function: a date written into a rule.
const DATE_LITERAL: &str = "datetime";

/// A bundle in the engine's form.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) schema: Schema,
    pub(crate) policies: PolicySet,
    /// By policy id.
    pub(crate) words: BTreeMap<String, Words>,
}

/// What the annotations of one policy say.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) reason: Reason,
    /// Of a permit; a forbid has none.
    pub(crate) obligations: Option<Obligations>,
    pub(crate) file: String,
    pub(crate) redundant: Option<String>,
}

/// Parses schema and packs and takes the annotations in. The result is only fit for a decision after [`check`].
pub(crate) fn read(bundle: &Bundle) -> Result<Rules, LoadError> {
    let schema = read_schema(bundle.schema().unwrap_or_default())?;
    let mut policies = PolicySet::new();
    let mut words = BTreeMap::new();
    for (path, pack, text) in bundle.packs() {
        let prefix = if path == BASE_PACK { "base." } else { &format!("{pack}.") };
        for policy in read_policies(path, text)? {
            let id = read_id(path, &policy)?;
            if !id.starts_with(prefix) {
                return Err(LoadError::new(path, Some(&id), Fault::Id("does not begin with the name of its pack")));
            }
            if words.len() == POLICIES_MAX {
                return Err(LoadError::new(path, Some(&id), Fault::TooLarge));
            }
            let said = Notes::of(path, &id, &policy);
            let read = match policy.effect() {
                Effect::Permit => said.permit(path)?,
                Effect::Forbid => said.forbid(path)?,
            };
            if words.insert(id.clone(), read).is_some() {
                return Err(LoadError::new(path, Some(&id), Fault::Id("is taken")));
            }
            policies
                .add(policy.new_id(PolicyId::new(&id)))
                .map_err(|error| LoadError::new(path, Some(&id), Fault::Syntax(error.to_string())))?;
        }
    }
    Ok(Rules { schema, policies, words })
}

/// Everything of `law.md` section 3 that [`read`] did not need to know. The properties, in the order of the files.
pub(crate) fn check(bundle: &Bundle, rules: &Rules) -> Result<Vec<Property>, LoadError> {
    for (path, _, text) in bundle.packs() {
        check_format(path, text)?;
    }
    for policy in sorted(&rules.policies) {
        let id: &str = policy.id().as_ref();
        let file = rules.file_of(id);
        check_constructs(&policy).map_err(|fault| LoadError::new(file, Some(id), fault))?;
    }
    for (id, words) in &rules.words {
        let named = words.redundant.iter().flat_map(|list| list.split(", ")).filter(|name| *name != DEFAULT_DENIAL);
        for other in named {
            if other == id || !rules.words.contains_key(other) {
                return Err(LoadError::new(&words.file, Some(id), Fault::AnnotationMalformed("redundant")));
            }
        }
    }
    validate(&rules.policies, &rules.schema, |id| rules.file_of(id))?;
    check_properties(bundle, &rules.schema)
}

impl Rules {
    fn file_of(&self, id: &str) -> &str {
        self.words.get(id).map_or(BASE_PACK, |words| &words.file)
    }
}

fn read_schema(text: &str) -> Result<Schema, LoadError> {
    let refused = |fault| LoadError::new(SCHEMA, None, fault);
    let (schema, mut warnings) =
        Schema::from_cedarschema_str(text).map_err(|error| refused(Fault::Syntax(error.to_string())))?;
    match warnings.next() {
        Some(warning) => Err(refused(Fault::Validation(warning.to_string()))),
        None => Ok(schema),
    }
}

/// The policies of one file in the order of the file.
fn read_policies(path: &str, text: &str) -> Result<Vec<Policy>, LoadError> {
    let set =
        PolicySet::from_str(text).map_err(|error| LoadError::new(path, None, Fault::Syntax(error.to_string())))?;
    if let Some(template) = set.templates().next() {
        let id = template.annotation("id");
        return Err(LoadError::new(path, id, Fault::Template));
    }
    Ok(sorted(&set))
}

/// Cedar hands policies out in the order of a hash table; errors must not depend on that. Numbered ids sort by number.
fn sorted(set: &PolicySet) -> Vec<Policy> {
    let mut list: Vec<Policy> = set.policies().cloned().collect();
    list.sort_by_cached_key(|policy| {
        let id: &str = policy.id().as_ref();
        (id.strip_prefix("policy").and_then(|number| number.parse::<u32>().ok()), id.to_owned())
    });
    list
}

fn read_id(path: &str, policy: &Policy) -> Result<String, LoadError> {
    let id = policy.annotation("id").ok_or_else(|| LoadError::new(path, None, Fault::Id("is missing")))?;
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
    if id.is_empty() || !id.bytes().all(lawful) {
        return Err(LoadError::new(path, None, Fault::Id("has characters outside a-z A-Z 0-9 . -")));
    }
    Ok(id.to_owned())
}

/// The annotations of one policy while they are read.
struct Notes<'a> {
    file: &'a str,
    id: &'a str,
    all: BTreeMap<&'a str, &'a str>,
}

impl<'a> Notes<'a> {
    fn of(file: &'a str, id: &'a str, policy: &'a Policy) -> Self {
        Self { file, id, all: policy.annotations().collect() }
    }

    fn refused(&self, fault: Fault) -> LoadError {
        LoadError::new(self.file, Some(self.id), fault)
    }

    /// The text of an annotation; one that is there but says nothing is malformed.
    fn optional(&self, name: &'static str) -> Result<Option<&'a str>, LoadError> {
        match self.all.get(name) {
            Some(text) if text.trim().is_empty() => Err(self.refused(Fault::AnnotationMalformed(name))),
            found => Ok(found.copied()),
        }
    }

    fn required(&self, name: &'static str) -> Result<&'a str, LoadError> {
        self.optional(name)?.ok_or_else(|| self.refused(Fault::AnnotationMissing(name)))
    }

    fn parsed<T>(&self, name: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, LoadError> {
        parse(self.required(name)?).ok_or_else(|| self.refused(Fault::AnnotationMalformed(name)))
    }

    /// Only these are known on this kind of policy: a misspelt obligation must not vanish in silence.
    fn only(&self, known: &[&str]) -> Result<(), LoadError> {
        match self.all.keys().find(|name| **name != "id" && !known.contains(*name)) {
            Some(name) => Err(self.refused(Fault::AnnotationUnknown((*name).to_owned()))),
            None => Ok(()),
        }
    }

    fn permit(&self, path: &str) -> Result<Words, LoadError> {
        if path != BASE_PACK {
            return Err(self.refused(Fault::PermitOutsideBase));
        }
        self.only(&["title", "retain", "approvers", "notice", "confirm"])?;
        let confirm_visual = match self.optional("confirm")? {
            None => false,
            Some("visual") => true,
            Some(_) => return Err(self.refused(Fault::AnnotationMalformed("confirm"))),
        };
        let obligations = Obligations {
            approvers: self.parsed("approvers", approvers)?,
            retain_days: self.parsed("retain", days)?,
            notice_days: self.parsed("notice", days)?,
            confirm_visual,
        };
        Ok(self.words(self.required("title")?, None, None, Some(obligations), None))
    }

    fn forbid(&self, path: &str) -> Result<Words, LoadError> {
        self.only(&["say", "fix", "cite", "since", "mark", "reading", "redundant"])?;
        if path != BASE_PACK {
            self.required("cite")?;
            self.parsed("since", date)?;
            self.parsed("mark", |mark| ["A", "B", "C"].contains(&mark).then_some(()))?;
        }
        self.optional("reading")?;
        let (say, fix) = (self.required("say")?, self.required("fix")?);
        Ok(self.words(say, self.optional("cite")?, Some(fix), None, self.optional("redundant")?))
    }

    fn words(
        &self,
        say: &str,
        cite: Option<&str>,
        fix: Option<&str>,
        obligations: Option<Obligations>,
        redundant: Option<&str>,
    ) -> Words {
        let reason = Reason {
            rule: self.id.to_owned(),
            say: say.to_owned(),
            cite: cite.map(str::to_owned),
            fix: fix.map(str::to_owned),
        };
        Words { reason, obligations, file: self.file.to_owned(), redundant: redundant.map(str::to_owned) }
    }

    fn property(&self, policy: Policy) -> Result<Property, LoadError> {
        self.only(&["check", "constitution", "say"])?;
        let say = self.required("say")?.to_owned();
        let check = self.parsed("check", |check| match check {
            "never" => Some(Check::Never),
            "always" => Some(Check::Always),
            _ => None,
        })?;
        let constitution = match self.optional("constitution")? {
            None => false,
            Some("true") => true,
            Some(_) => return Err(self.refused(Fault::AnnotationMalformed("constitution"))),
        };
        Ok(Property { policy, file: self.file.to_owned(), say, check, constitution })
    }
}

/// `P90D`: whole days of ISO 8601, nothing else.
pub(crate) fn days(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('P')?.strip_suffix('D')?;
    number(digits).filter(|days| *days <= DAYS_MAX)
}

fn approvers(text: &str) -> Option<u8> {
    number(text)?.try_into().ok().filter(|count| *count <= APPROVERS_MAX)
}

/// Decimal digits alone: `parse` by itself would take a sign.
fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// `2026-10-01`. Cedar knows the calendar.
fn date(text: &str) -> Option<()> {
    let literal = RestrictedExpression::new_datetime(text);
    let evaluated = Context::from_pairs([(String::from("since"), literal)]);
    (text.len() == 10 && evaluated.is_ok()).then_some(())
}

/// Every construct in the conditions is on the closed list. A walk without recursion: the depth comes from the text.
fn check_constructs(policy: &Policy) -> Result<(), Fault> {
    let form = policy.to_json().map_err(|error| Fault::Syntax(error.to_string()))?;
    let conditions = form.get("conditions").and_then(Value::as_array).into_iter().flatten();
    let mut open: Vec<&Value> = conditions.filter_map(|condition| condition.get("body")).collect();
    while let Some(expression) = open.pop() {
        let Some((name, operands)) = expression.as_object().and_then(|node| node.iter().next()) else {
            continue; // a name beside the operands: the attribute of `.`, the type of `is`
        };
        if name == "Value" || name == "Var" || name == DATE_LITERAL {
            continue;
        }
        if !CONSTRUCTS.contains(&name.as_str()) {
            return Err(Fault::Construct(name.clone()));
        }
        match operands {
            Value::Array(list) => open.extend(list),
            Value::Object(named) => open.extend(named.values()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

/// True unless every use of the context in the conditions is an attribute other than the age of the reads.
pub(crate) fn looks_at_age(policy: &Policy) -> bool {
    let Ok(form) = policy.to_json() else { return true };
    let mut open = vec![&form];
    while let Some(node) = open.pop() {
        match node {
            Value::Object(named) => {
                let attribute = |access: &Value| {
                    let of_context = access.pointer("/left/Var").and_then(Value::as_str) == Some("context");
                    of_context && access.get("attr").and_then(Value::as_str).is_some_and(|name| name != AGE)
                };
                if named.get(".").is_some_and(attribute) {
                    continue;
                }
                if named.get("Var").and_then(Value::as_str) == Some("context") {
                    return true;
                }
                open.extend(named.values());
            }
            Value::Array(list) => open.extend(list),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    false
}

/// Strict validation, no error and no warning.
fn validate<'a>(policies: &PolicySet, schema: &Schema, file_of: impl Fn(&str) -> &'a str) -> Result<(), LoadError> {
    let validator = Validator::new(schema.clone());
    let result = validator.validate_with_level(policies, ValidationMode::Strict, DEREFERENCES_MAX);
    let errors = result.validation_errors().map(|error| (error.policy_id(), error.to_string()));
    let warnings = result.validation_warnings().map(|warning| (warning.policy_id(), warning.to_string()));
    match errors
        .chain(warnings)
        .min_by(|left, right| (left.0.as_ref() as &str, &left.1).cmp(&(right.0.as_ref(), &right.1)))
    {
        Some((id, sentence)) => {
            let id: &str = id.as_ref();
            Err(LoadError::new(file_of(id), Some(id), Fault::Validation(sentence)))
        }
        // The same question in the engine's own words, should it ever count something as failed that is neither.
        None if result.validation_passed_without_warnings() => Ok(()),
        None => Err(LoadError::new(SCHEMA, None, Fault::Validation(result.to_string()))),
    }
}

fn check_format(path: &str, text: &str) -> Result<(), LoadError> {
    let call = json!({ "policyText": text, "lineWidth": FORMAT_LINE_WIDTH, "indentWidth": FORMAT_INDENT });
    let call: FormattingCall =
        serde_json::from_value(call).map_err(|error| LoadError::new(path, None, Fault::Syntax(error.to_string())))?;
    match cedar_policy::ffi::format(call) {
        FormattingAnswer::Success { formatted_policy } if formatted_policy == text => Ok(()),
        FormattingAnswer::Success { .. } | FormattingAnswer::Failure { .. } => {
            Err(LoadError::new(path, None, Fault::NotFormatted))
        }
    }
}

/// Properties are proved by `policy prove`, not here; but one that cannot be read would prove nothing.
fn check_properties(bundle: &Bundle, schema: &Schema) -> Result<Vec<Property>, LoadError> {
    let mut taken = BTreeSet::new();
    let mut list = Vec::new();
    for (path, text) in bundle.properties() {
        check_format(path, text)?;
        let mut properties = PolicySet::new();
        for property in read_policies(path, text)? {
            let id = read_id(path, &property)?;
            let refused = |fault| LoadError::new(path, Some(&id), fault);
            if property.effect() != Effect::Permit {
                return Err(refused(Fault::PropertyNotPermit));
            }
            let renamed = property.new_id(PolicyId::new(&id));
            let read = Notes::of(path, &id, &property).property(renamed.clone())?;
            check_constructs(&property).map_err(refused)?;
            properties.add(renamed).map_err(|error| refused(Fault::Syntax(error.to_string())))?;
            if !taken.insert(id.clone()) {
                return Err(LoadError::new(path, Some(&id), Fault::Id("is taken")));
            }
            if list.len() == POLICIES_MAX {
                return Err(LoadError::new(path, Some(&id), Fault::TooLarge));
            }
            list.push(read);
        }
        validate(&properties, schema, |_| path)?;
    }
    Ok(list)
}
