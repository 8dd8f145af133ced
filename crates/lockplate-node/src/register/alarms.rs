//! What the monitor holds against a party, as one sentence a rule in either language. English is the monitor's own text.

use std::collections::BTreeMap;

use lockplate_audit::monitor::{Alarm, MonitorRule};

use super::say;
use super::words::Lang;

/// The alarms in words, one line a rule.
pub(crate) fn lines(lang: Lang, alarms: &BTreeMap<MonitorRule, u64>) -> Vec<String> {
    let w = lang.words();
    let line = |(rule, count): (&MonitorRule, &u64)| {
        let times = say::plural(*count, w.alarm_once, w.alarm_times);
        format!("{} {} ({times}).", w.trouble_alarm, sentence(lang, *rule))
    };
    alarms.iter().map(line).collect()
}

/// How often each rule is broken.
pub(crate) fn count(alarms: &[Alarm]) -> BTreeMap<MonitorRule, u64> {
    let mut counts = BTreeMap::new();
    for alarm in alarms {
        let count: &mut u64 = counts.entry(alarm.rule).or_default();
        *count = count.saturating_add(1);
    }
    counts
}

const fn sentence(lang: Lang, rule: MonitorRule) -> &'static str {
    match lang {
        Lang::En => rule.explain(),
        Lang::Es => spanish(rule),
    }
}

const fn spanish(rule: MonitorRule) -> &'static str {
    match rule {
        MonitorRule::EvaluationWithoutRequest => {
            "un guardián respondió a una búsqueda que su propio registro no muestra como permitida antes"
        }
        MonitorRule::ApprovalWithoutRequest => {
            "una persona de un guardián decidió una solicitud que su registro no muestra como pendiente de una persona"
        }
        MonitorRule::DisclosureWithoutEvaluation => {
            "una agencia dice que abrió lecturas, y dicen que respondieron menos guardianes de los necesarios"
        }
        MonitorRule::TwinMissing => {
            "se respondió a una búsqueda, y la solicitud está en los registros de menos guardianes de los necesarios"
        }
        MonitorRule::GrantTooFew => {
            "se respondió a una búsqueda, y la habían permitido a tiempo menos guardianes de los necesarios"
        }
        MonitorRule::HumanMissing => "se respondió a una búsqueda sin el sí de las personas que piden sus reglas",
        MonitorRule::TwinsDiffer => "dos guardianes describen de distinta forma la misma solicitud",
        MonitorRule::DisclosureMissing => {
            "una agencia no ha dicho qué abrió, un día después de que los guardianes respondieron"
        }
        MonitorRule::DisclosureTooMany => {
            "una agencia dice que abrió más lecturas de las que caben en los períodos que buscó"
        }
        MonitorRule::ReceiptsMissing => {
            "se guardaron lecturas antes de que suficientes guardianes confirmaran que tienen su parte de la llave"
        }
        MonitorRule::CloseMissing => "un período de lecturas terminó y no se ha cerrado",
        MonitorRule::ClosedTwice => "un período de lecturas se cerró dos veces",
        MonitorRule::DestructionMissing => {
            "un guardián no ha dicho que destruyó su parte de la llave de un período que ya terminó"
        }
        MonitorRule::PolicyNotInForce => "un guardián decidió con reglas que no estaban en vigor",
        MonitorRule::RuleUnknown => "un guardián cita una regla que no está en las reglas que nombra",
        MonitorRule::ReviewFailed => "un auditor abrió entradas de un registro y halló que no dicen lo que se pidió",
        MonitorRule::PolicyTooEarly => "un guardián decidió con reglas anunciadas que aún no estaban en vigor",
        MonitorRule::LooserTooSoon => {
            "unas reglas que permiten más iban a valer menos de 14 días después de anunciarse"
        }
        MonitorRule::CharterTooEarly => "un período de lecturas se repartió según un acta que no estaba en vigor",
        MonitorRule::KeyTooSoon => "una llave nueva iba a valer menos de 72 horas después de anunciarse",
        MonitorRule::Fork => "un registro se mostró en dos versiones que no pueden ser ciertas a la vez",
        MonitorRule::Stale => "no se conoce ninguna confirmación independiente de un registro en la última hora",
        MonitorRule::StaleRefused => {
            "no se conoce ninguna confirmación independiente de un registro en el último día; no confíe en él"
        }
        MonitorRule::LeafMalformed => {
            "un registro tiene una entrada que no está en la forma acordada, o que no puede estar en él"
        }
        MonitorRule::EscrowMissing => {
            "un guardián anotó una solicitud de modo que no todos los auditores pueden abrirla"
        }
        MonitorRule::TimeBack => {
            "una entrada de un registro tiene una fecha anterior a la de la entrada que la precede"
        }
        MonitorRule::PaperMissing => "se hizo una búsqueda como emergencia, y su documento no se entregó a tiempo",
        MonitorRule::HotlistCounts => "no cuadran los números con los que se cargó una lista de alerta",
    }
}
