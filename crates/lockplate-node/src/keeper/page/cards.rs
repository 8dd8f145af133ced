//! The pages themselves: what a request says and what the machine checked, in words. Nothing here is believed that the office did
//! not verify; the office hands it over as [`WaitingRequest`].

use askama::Template;
use lockplate_core::Timestamp;
use lockplate_core::entry::RefusalReason;
use lockplate_core::keeper::Verdict;
use lockplate_core::vocabulary::{Assurance, Basis, Offence, Purpose};

use super::frame::Frame;
use super::order::Term;
use super::words::Words;
use crate::api::ReasonText;
use crate::fingerprint;
use crate::keeper::admin::WaitingRequest;
use crate::register::say::{self, Moment, number};
use crate::register::words::{Lang, fill};

/// What a browser needs to sign in.
pub(super) struct Ceremony {
    pub(super) id: String,
    pub(super) challenge: String,
    pub(super) credentials: String,
    pub(super) rp_id: String,
}

#[derive(Template)]
#[template(path = "keeper/sign_in.html")]
pub(super) struct SignIn {
    pub(super) frame: Frame,
    pub(super) w: &'static Words,
    pub(super) refused: bool,
    pub(super) ceremony: Option<Ceremony>,
}

#[derive(Template)]
#[template(path = "keeper/trouble.html")]
pub(super) struct Trouble {
    pub(super) frame: Frame,
    pub(super) w: &'static Words,
    pub(super) what: &'static str,
}

#[derive(Template)]
#[template(path = "keeper/enrol.html")]
pub(in crate::keeper) struct Enrol {
    pub(in crate::keeper) frame: Frame,
    pub(in crate::keeper) w: &'static Words,
    pub(in crate::keeper) done: bool,
    pub(in crate::keeper) refused: bool,
    pub(in crate::keeper) who: String,
    pub(in crate::keeper) what: &'static str,
    pub(in crate::keeper) name: String,
    pub(in crate::keeper) user: String,
    pub(in crate::keeper) rp_id: String,
    pub(in crate::keeper) action: String,
    pub(in crate::keeper) made: String,
    pub(in crate::keeper) shown: String,
}

#[derive(Template)]
#[template(path = "keeper/paper.html")]
pub(in crate::keeper) struct PaperPage {
    pub(in crate::keeper) frame: Frame,
    pub(in crate::keeper) w: &'static Words,
    pub(in crate::keeper) done: bool,
    pub(in crate::keeper) refused: bool,
    pub(in crate::keeper) who: String,
    pub(in crate::keeper) order: Vec<Term>,
    pub(in crate::keeper) words: String,
    pub(in crate::keeper) digits: String,
    pub(in crate::keeper) rp_id: String,
    pub(in crate::keeper) credential: String,
    pub(in crate::keeper) action: String,
    pub(in crate::keeper) challenge: String,
}

#[derive(Template)]
#[template(path = "keeper/waiting.html")]
pub(super) struct Waiting {
    frame: Frame,
    w: &'static Words,
    count: String,
    rows: Vec<Row>,
}

struct Row {
    number: String,
    digest: String,
    what: String,
    until: String,
    emergency: bool,
}

impl Waiting {
    pub(super) fn new(frame: Frame, w: &'static Words, requests: &[WaitingRequest]) -> Self {
        let lang = frame.lang;
        let row = |request: &WaitingRequest| Row {
            number: fill(w.entry_number, &[&number(request.register)]),
            digest: request.digest.clone(),
            what: fill(w.row, &[name_of(&request.requester_name, &request.requester), purpose(lang, &request.purpose)]),
            until: fill(w.row_until, &[&say::moment(lang, Timestamp(request.not_after)).text]),
            emergency: request.emergency,
        };
        let count = match requests.len() {
            0 => w.waiting_none.to_owned(),
            many => say::plural(say::wide(many), w.waiting_one, w.waiting_many),
        };
        Self { rows: requests.iter().map(row).collect(), count, frame, w }
    }
}

#[derive(Template)]
#[template(path = "keeper/card.html")]
pub(super) struct Card {
    frame: Frame,
    w: &'static Words,
    emergency: bool,
    judge: &'static str,
    terms: Vec<(&'static str, String)>,
    until: Moment,
    facts: String,
    checked: Vec<(bool, String)>,
    rules: Vec<ReasonText>,
    files: Vec<File>,
    digest: String,
    csrf: String,
    reasons: Vec<(&'static str, &'static str)>,
}

impl Card {
    pub(super) fn new(frame: Frame, w: &'static Words, request: &WaitingRequest, csrf: &str) -> Self {
        let lang = frame.lang;
        Self {
            emergency: request.emergency,
            judge: judge(w, request),
            terms: terms(lang, w, request),
            until: say::moment(lang, Timestamp(request.not_after)),
            facts: stated(w, &request.facts),
            checked: checked(w, request),
            rules: request.rule_words.clone(),
            files: files(w, request),
            digest: request.digest.clone(),
            csrf: csrf.to_owned(),
            reasons: REFUSALS
                .into_iter()
                .map(|(verdict, reason)| (verdict.name(), say::reason(lang, reason)))
                .collect(),
            frame,
            w,
        }
    }
}

/// Every no, in the order of the card.
const REFUSALS: [(Verdict, RefusalReason); 5] = [
    (Verdict::PaperUnclear, RefusalReason::PaperUnclear),
    (Verdict::WrongPlate, RefusalReason::WrongPlate),
    (Verdict::OutOfScope, RefusalReason::OutOfScope),
    (Verdict::Doubt, RefusalReason::Doubt),
    (Verdict::Other, RefusalReason::Other),
];

fn name_of<'a>(name: &'a str, id: &'a str) -> &'a str {
    if name.is_empty() { id } else { name }
}

pub(super) fn purpose(lang: Lang, name: &str) -> &'static str {
    Purpose::from_name(name).map_or(lang.words().unknown, |purpose| say::purpose(lang, purpose))
}

pub(super) fn offence_class(w: &'static Words, name: &str) -> &'static str {
    match Offence::from_name(name) {
        Some(Offence::Felony) => w.offence_felony,
        Some(Offence::GrossMisdemeanor) => w.offence_gross,
        Some(Offence::Misdemeanor) => w.offence_misdemeanor,
        Some(Offence::Infraction) => w.offence_infraction,
        Some(Offence::None) | None => w.offence_none,
    }
}

fn stated(w: &Words, text: &str) -> String {
    if text.trim().is_empty() { w.not_stated.to_owned() } else { text.to_owned() }
}

/// The one thing that no machine can say.
fn judge(w: &'static Words, request: &WaitingRequest) -> &'static str {
    if request.emergency {
        return w.judge_emergency;
    }
    match (&request.authorisation, Assurance::from_name(&request.assurance)) {
        (None, _) => w.judge_none,
        (Some(_), Some(Assurance::CourtKey)) => w.judge_court,
        (Some(_), Some(Assurance::CustodianAttested)) => w.judge_attested,
        (Some(_), Some(Assurance::None) | None) => w.judge_unverified,
    }
}

fn terms(lang: Lang, w: &'static Words, request: &WaitingRequest) -> Vec<(&'static str, String)> {
    let asks = name_of(&request.requester_name, &request.requester);
    let who = if request.on_behalf_of == request.requester {
        asks.to_owned()
    } else {
        fill(w.who_for, &[asks, name_of(&request.on_behalf_of_name, &request.on_behalf_of)])
    };
    let plate = match &request.state {
        Some(state) => fill(w.plate_state, &[&request.plate, state]),
        None => fill(w.plate_stateless, &[&request.plate]),
    };
    let spellings = say::plural(request.spellings.into(), w.spellings_one, w.spellings_many);
    let (from, to) = (Timestamp(request.window.0), Timestamp(request.window.1));
    let days = fill(w.days_text, &[&say::moment(lang, from).text, &say::moment(lang, to).text]);
    let basis = Basis::from_name(&request.basis).map_or(lang.words().unknown, |basis| say::basis(lang, basis));
    let class = offence_class(w, &request.offence_class);
    vec![
        (w.who, who),
        (w.officer, fill(w.officer_text, &[&request.officer])),
        (w.plate, plate),
        (w.spellings, spellings),
        (w.days, days),
        (w.periods, number(request.epochs.into())),
        (w.purpose, purpose(lang, &request.purpose).to_owned()),
        (w.basis, basis.to_owned()),
        (w.case_number, stated(w, &request.case_number)),
        (w.offence, fill(w.offence_text, &[&stated(w, &request.offence), class])),
    ]
}

/// Lines with a tick where something holds, and without one where there is only nothing to say against it.
fn checked(w: &'static Words, request: &WaitingRequest) -> Vec<(bool, String)> {
    let seconds = match request.second_signatures {
        0 => (false, w.checked_seconds_none.to_owned()),
        more => (true, say::plural(more.into(), w.checked_seconds_one, w.checked_seconds)),
    };
    let paper = match (&request.authorisation, Assurance::from_name(&request.assurance), request.judicial) {
        (None, _, _) => (false, w.checked_no_paper),
        (Some(_), Some(Assurance::CourtKey), true) => (true, w.checked_court),
        (Some(_), Some(Assurance::CustodianAttested), true) => (true, w.checked_attested),
        (Some(_), Some(Assurance::CustodianAttested), false) => (false, w.checked_attested_not),
        (Some(_), Some(Assurance::CourtKey), false) | (Some(_), Some(Assurance::None) | None, _) => {
            (false, w.checked_paper_no)
        }
    };
    let declared = (!request.declarations.is_empty())
        .then(|| (true, fill(w.checked_declared, &[&request.declarations.join(", ")])));
    let mut lines = vec![(true, w.checked_officer.to_owned()), seconds, (paper.0, paper.1.to_owned())];
    lines.extend(declared);
    lines.push(if request.lapsed { (false, w.checked_lapsed.to_owned()) } else { (true, w.checked_rules.to_owned()) });
    lines
}

struct File {
    what: &'static str,
    fingerprint: String,
    /// As the paper order may carry it.
    words: String,
}

fn files(w: &'static Words, request: &WaitingRequest) -> Vec<File> {
    let paper = |digest: &String| request.authorisation.as_ref() == Some(digest);
    let words = |digits: &String| {
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest).map(|()| fingerprint::words(&digest)).unwrap_or_default()
    };
    let file = |digest: &String| File {
        what: if paper(digest) { w.files_paper } else { w.files_other },
        fingerprint: digest.clone(),
        words: words(digest),
    };
    request.attachments.iter().map(file).collect()
}

#[derive(Template)]
#[template(path = "keeper/answer.html")]
pub(super) struct Done {
    frame: Frame,
    w: &'static Words,
    class: &'static str,
    badge: &'static str,
    said: String,
    receipt: String,
    digest: String,
}

impl Done {
    pub(super) fn new(
        frame: Frame,
        w: &'static Words,
        approved: bool,
        verdict: Verdict,
        entries: (u64, u64),
        digest: String,
    ) -> Self {
        let lang = frame.lang;
        let reason = REFUSALS.into_iter().find(|(refusal, _)| *refusal == verdict);
        let reason = reason.map_or(lang.words().unknown, |(_, reason)| say::reason(lang, reason));
        let (own, request) = (number(entries.0), number(entries.1));
        let (class, badge, said) = if approved {
            ("granted", lang.words().state_granted, w.done_yes.to_owned())
        } else {
            ("refused", lang.words().state_refused, fill(w.done_no, &[reason]))
        };
        Self { frame, w, class, badge, said, receipt: fill(w.done_receipt, &[&own, &request]), digest }
    }
}
