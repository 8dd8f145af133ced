//! What people sign about hot lists and alerts.

use serde_json::json;

use super::{Case, MALFORMED, hx};
use crate::Timestamp;
use crate::hotlist::alert::{AlertStep, StepKind};
use crate::hotlist::handover::AlertsAsked;
use crate::hotlist::load::LoadMode;
use crate::hotlist::set::{ListSettings, SetKind};
use crate::hotlist::steward::{ListConfig, LoadOrder, OrderedDelivery};
use crate::id::AgencyId;
use crate::sign::Statement as _;
use crate::vocabulary::Purpose;

const NOW: Timestamp = Timestamp(1_795_348_800);

pub(super) fn cases() -> Vec<Case> {
    let config = ListConfig {
        agency: AgencyId([7; 16]),
        name: "state extract".to_owned(),
        settings: ListSettings { list: [1; 16], kind: SetKind::Extract, conf_min: 800, trust_jurisdiction: false },
        purpose: None,
        template: [3; 32],
        entries_max: 1_000_000,
        alert_key: None,
        serial: 1,
        retired: false,
        time: NOW,
    };
    let custom = ListConfig {
        settings: ListSettings { kind: SetKind::Custom, ..config.settings },
        purpose: Some(Purpose::MissingPerson),
        template: [0; 32],
        ..config.clone()
    };
    let purposed = ListConfig { purpose: Some(Purpose::StolenVehicle), ..config.clone() };
    let certain = ListConfig { settings: ListSettings { conf_min: 1_001, ..config.settings }, ..config.clone() };
    let delivery = OrderedDelivery {
        mode: LoadMode::Incremental { base: 4 },
        sequence: 5,
        produced_at: NOW,
        source_file: "Vehicle".to_owned(),
        removes: false,
    };
    let order = LoadOrder { list: [1; 16], file: [2; 32], delivery: None, time: NOW };
    let delivered = LoadOrder { delivery: Some(delivery), ..order.clone() };
    let step = AlertStep { alert: [4; 16], step: StepKind::Look, said: [5; 32], time: NOW };
    let of = |name, title, op, bytes: &[u8]| Case::good(name, title, op, json!({"bytes": hx(bytes)}));
    let extract = of("good_list_config", "how an extract is matched", "decode-list-config", &config.encode());
    let own = of(
        "good_list_config_custom",
        "how the agency's own entries are matched",
        "decode-list-config",
        &custom.encode(),
    );
    let whole = of("good_load_order", "a file that says itself what it is", "decode-load-order", &order.encode());
    let part =
        of("good_load_order_delivery", "a file that says nothing of itself", "decode-load-order", &delivered.encode());
    let look = of("good_alert_step", "an officer's look at an alert", "decode-alert-step", &step.encode());
    let bad = |name, title, like: &Case, bytes: Vec<u8>| {
        Case::bad(name, title, like, json!({"bytes": hx(bytes)}), &["bytes"], MALFORMED)
    };
    let asked = AlertsAsked { charter: [6; 32], list: [1; 16], after: [4; 16], time_ms: NOW.0 * 1_000 + 250 };
    let asked_bytes = asked.encode();
    let asked = of("good_alerts_asked", "an agency asks for its alerts", "decode-alerts-asked", &asked_bytes);
    let mut unknown_step = step.encode();
    unknown_step[16] = 4;
    let mut full_with_base = delivered.encode();
    full_with_base[48] = 1;
    vec![
        bad("bad_list_config_purpose_of_an_extract", "an extract with a purpose", &extract, purposed.encode()),
        bad("bad_list_config_too_certain", "a confidence over 1000", &extract, certain.encode()),
        bad("bad_load_order_full_with_base", "a complete file after another load", &part, full_with_base),
        bad("bad_load_order_one_byte_short", "the last byte is missing", &whole, order.encode()[1..].to_vec()),
        bad("bad_alert_step_unknown", "a step that an alert does not have", &look, unknown_step),
        bad("bad_alerts_asked_one_byte_long", "a byte too many", &asked, [asked_bytes.as_slice(), &[0]].concat()),
        asked,
        extract,
        own,
        whole,
        part,
        look,
    ]
}
