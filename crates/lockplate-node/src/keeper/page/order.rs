//! What a judge or a records custodian orders, in words for the page on which it is signed. The fields are those of the order; nothing is
//! left out, and what the page cannot say better stands as it was written.

use lockplate_core::authorisation::PaperKind;
use lockplate_core::json::parse_time;
use lockplate_core::vocabulary::Purpose;

use super::cards::{offence_class, purpose};
use super::words::Words;
use crate::founding::{Order, PlateOrdered, WarrantOrder};
use crate::register::say;
use crate::register::words::{Lang, fill};

/// A line of an order: what it is, and what was written.
pub(in crate::keeper) type Term = (&'static str, String);

/// The lines of an order.
pub(in crate::keeper) fn terms(lang: Lang, order: &Order) -> Vec<Term> {
    let w = Words::of(lang);
    let yes = |holds: bool| if holds { w.yes } else { w.no }.to_owned();
    match order {
        Order::Warrant(order) => warrant(lang, w, order),
        Order::Attestation(order) => {
            let called = fill(w.order_called_text, &[&order.called.who, &moment(lang, &order.called.time)]);
            let seen = [(w.order_kind, w.order_attestation.to_owned()), (w.order_called, called)];
            seen.into_iter().chain(warrant(lang, w, &order.paper)).collect()
        }
        Order::Delay(order) => vec![
            (w.order_kind, w.order_delay.to_owned()),
            (w.order_court, order.court.clone()),
            (w.order_docket, order.docket.clone()),
            (w.done_number, order.request.clone()),
            (w.order_delay_until, moment(lang, &order.until)),
        ],
        Order::Ownership(order) => {
            let mut terms = vec![
                (w.order_kind, w.order_ownership.to_owned()),
                (w.order_archive, order.owner.clone()),
                (w.order_person, order.person.clone()),
            ];
            terms.extend(plates(w, &order.plates));
            terms.extend([
                (w.order_registered, yes(order.registered)),
                (w.order_consents, yes(order.co_registrants_consent)),
                (w.order_until, moment(lang, &order.until)),
            ]);
            terms
        }
        Order::Revocation(order) => vec![
            (w.order_kind, w.order_revocation.to_owned()),
            (w.order_revoked, format!("{}{}", order.object, order.key)),
            (w.order_reason, order.reason.clone()),
            (w.order_from, moment(lang, &order.from)),
        ],
        // Policy signers have key files; should one of these come here all the same, it is shown as on the terminal.
        Order::TrustList(_) | Order::PolicyChange(_) => vec![(w.order_kind, order.expose_words().join("\n"))],
    }
}

fn warrant(lang: Lang, w: &'static Words, order: &WarrantOrder) -> Vec<Term> {
    let kind = PaperKind::from_name(&order.kind);
    let kind = kind.map_or_else(|| order.kind.clone(), |kind| say::basis(lang, kind.basis()).to_owned());
    let span = |(from, to): (&str, &str)| fill(w.days_text, &[&moment(lang, from), &moment(lang, to)]);
    let officer = if order.officer.is_empty() { w.order_any_officer.to_owned() } else { order.officer.clone() };
    let mut terms = vec![
        (w.order_kind, kind),
        (w.order_court, order.court.clone()),
        (w.order_docket, order.docket.clone()),
        (w.order_requester, order.requester.clone()),
        (w.officer, officer),
        (w.order_archive, order.owners.join(", ")),
    ];
    terms.extend(plates(w, &order.plates));
    terms.extend([
        (w.days, span((&order.window.0, &order.window.1))),
        (
            w.purpose,
            Purpose::from_name(&order.purpose)
                .map_or_else(|| order.purpose.clone(), |_| purpose(lang, &order.purpose).to_owned()),
        ),
        (w.offence, offence_class(w, &order.offence).to_owned()),
        (w.order_force, span((&order.valid_from, &order.valid_until))),
        (w.order_uses, order.max_requests.to_string()),
    ]);
    let named = [(w.order_file, &order.pdf), (w.order_supersedes, &order.supersedes)];
    terms.extend(named.into_iter().filter(|(_, text)| !text.is_empty()).map(|(what, text)| (what, text.clone())));
    terms
}

fn plates(w: &'static Words, plates: &[PlateOrdered]) -> impl Iterator<Item = Term> {
    plates.iter().map(|plate| {
        let stateless = plate.state.is_empty();
        let text = if stateless {
            fill(w.plate_stateless, &[&plate.text])
        } else {
            fill(w.plate_state, &[&plate.text, &plate.state])
        };
        (w.plate, text)
    })
}

fn moment(lang: Lang, text: &str) -> String {
    parse_time(text).map_or_else(|| text.to_owned(), |time| say::moment(lang, time).text)
}
