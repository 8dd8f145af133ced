//! The operations of the vectors of [`register`](super::register).

use lockplate_oprf::{Blind, Element, Secret};
use serde_json::{Value, json};

use super::hx;
use super::ops::{array, byte, bytes, list, number, of, time};
use crate::audit::is_sampled;
use crate::authorisation::Withdrawn;
use crate::charter::{CharterFile, LogName};
use crate::directory::{Trust, TrustEntry};
use crate::disclosure::Disclosure;
use crate::embargo::verify_delay;
use crate::entry::{Leaf, LogEntry, LogKind, parse_leaf};
use crate::error::{Error, Result};
use crate::id::{AgencyId, KeeperIndex};
use crate::json::{Field as _, parse_canonical};
use crate::notice::{BlindedInputs, NoticeKey, verify_code};
use crate::ownership::judge_ownership;
use crate::plate::PlateInput;
use crate::signed::SignedObject;
use crate::statement::PlateName;

/// Runs one step.
///
/// # Errors
/// What the crate says.
pub(super) fn execute(op: &str, input: &Value) -> Result<Value> {
    match op {
        "check-leaf" => leaf(input),
        "check-disclosure" => {
            let disclosure = Disclosure::parse(text(input, "disclosure"))?;
            let Leaf::Known(stamped) = parse_leaf(text(input, "leaf").as_bytes())? else { panic!("an unknown leaf") };
            let LogEntry::Request(leaf) = stamped.entry() else { panic!("not a request leaf") };
            let value = leaf.sd.expose_field(text(input, "name"), &disclosure)?.to_canonical_bytes()?;
            Ok(json!({"value": String::from_utf8(value).unwrap()}))
        }
        "sampled" => {
            let sampled = is_sampled(&array(input, "root"), number(input, "index"), byte(input, "percent"));
            Ok(json!({"sampled": sampled}))
        }
        "notice-tags" => {
            let inputs = inputs(input)?;
            let tags = notice_key(input)?.tags(inputs.iter(), &array(input, "nonce"))?;
            Ok(json!({"tags": tags.iter().map(hx).collect::<Value>()}))
        }
        "notice-evaluate" => {
            let evaluated = notice_key(input)?.evaluate_blinded(&elements(input, "elements")?)?;
            Ok(json!({"evaluated": evaluated.iter().map(|element| hx(element.to_bytes())).collect::<Value>()}))
        }
        "notice-finalize" => {
            let rs = list(input, "rs").iter().map(|r| Ok(Blind::from_bytes(&of(r))?)).collect::<Result<Vec<_>>>()?;
            let blinded = BlindedInputs::from_parts(inputs(input)?.into_iter().zip(rs).collect());
            let values = blinded.finalize(&elements(input, "evaluated")?)?;
            let nonce = array(input, "nonce");
            let tags = values.iter().map(|value| Ok(hx(value.tag(&nonce)?))).collect::<Result<Value>>()?;
            Ok(json!({"tags": tags}))
        }
        "check-notice-code" => {
            let object = SignedObject::parse(&bytes(input, "object"))?;
            let owner = AgencyId(array(input, "owner"));
            let code = verify_code(&object, owner, &trust(input)?, &Withdrawn::default(), time(input, "now"))?;
            let elements: Value = code.elements().iter().map(|element| hx(element.to_bytes())).collect();
            Ok(json!({"digest": hx(code.digest()), "elements": elements, "until": code.until().0}))
        }
        "check-delay-notice" => {
            let object = SignedObject::parse(&bytes(input, "object"))?;
            let delay = verify_delay(
                &object,
                &array(input, "request"),
                time(input, "embargo"),
                &trust(input)?,
                &Withdrawn::default(),
                time(input, "now"),
            )?;
            Ok(json!({"authorisation": hx(delay.authorisation), "until": delay.until.0}))
        }
        "check-ownership" => ownership(input),
        "witness-policy" => {
            let charter = CharterFile::verify(&bytes(input, "charter"))?;
            let log = match text(input, "log").split_once(' ') {
                Some(("keeper", place)) => LogName::Keeper(KeeperIndex(place.parse().unwrap())),
                _ => LogName::Recorder,
            };
            Ok(json!({"trust_file": charter.charter().witness_policy(&log)?.to_text()}))
        }
        other => panic!("unknown op {other:?}"),
    }
}

fn leaf(input: &Value) -> Result<Value> {
    let kind = LogKind::from_name(text(input, "log")).unwrap();
    match parse_leaf(text(input, "leaf").as_bytes())? {
        Leaf::Known(stamped) if stamped.entry().belongs_in(kind) => {
            Ok(json!({"known": true, "type": stamped.entry().type_name()}))
        }
        Leaf::Known(_) => Err(Error::invalid("this log does not take leaves of this type")),
        Leaf::Unknown(unknown) => Ok(json!({"known": false, "type": unknown.type_name})),
    }
}

fn ownership(input: &Value) -> Result<Value> {
    let object = SignedObject::parse(&bytes(input, "object"))?;
    let plate = PlateName::from_json(parse_canonical(&bytes(input, "plate"))?)?;
    let disclosures = list(input, "disclosures")
        .iter()
        .map(|one| Disclosure::parse(one.as_str().unwrap()))
        .collect::<Result<Vec<_>>>()?;
    let facts = judge_ownership(
        &object,
        AgencyId(array(input, "owner")),
        &plate,
        &disclosures,
        &trust(input)?,
        &Withdrawn::default(),
        time(input, "now"),
    );
    Ok(json!({
        "registered_owner": facts.registered_owner, "co_registrants_consent": facts.co_registrants_consent,
    }))
}

pub(super) fn text<'a>(input: &'a Value, name: &str) -> &'a str {
    input[name].as_str().unwrap_or_else(|| panic!("the input {name} is no text"))
}

fn trust(input: &Value) -> Result<Trust> {
    let entries = Vec::<TrustEntry>::from_json(parse_canonical(&bytes(input, "trust"))?)?;
    Ok(Trust::founding(AgencyId(array_or(input, "owner")), &entries))
}

/// The owner that a list is of plays no part in these checks.
fn array_or(input: &Value, name: &str) -> [u8; 16] {
    if input.get(name).is_some() { array(input, name) } else { [0; 16] }
}

fn notice_key(input: &Value) -> Result<NoticeKey> {
    NoticeKey::from_seed(&Secret::new(array(input, "seed")))
}

fn inputs(input: &Value) -> Result<Vec<PlateInput>> {
    let input_of = |bytes: &Value| PlateInput::from_bytes(&of(bytes)).ok_or(Error::malformed("no plate input"));
    list(input, "inputs").iter().map(input_of).collect()
}

fn elements(input: &Value, name: &str) -> Result<Vec<Element>> {
    list(input, name).iter().map(|bytes| Ok(Element::from_bytes(&of(bytes))?)).collect()
}
