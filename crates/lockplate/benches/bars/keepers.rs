//! Row S6: what one keeper decides and logs in a second on one core, and how many grants over a week of hours it evaluates. The keeper is a
//! process with its disk, database and log; requests come over TLS, each another officer's, prepared before the time is taken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use lockplate_core::Timestamp;
use lockplate_core::approval::{Approval, Grant};
use lockplate_core::authorisation::{SessionBody, SessionStatement};
use lockplate_core::envelope::{HpkePublicKey, HpkeSecretKey};
use lockplate_core::filing::FilingSlip;
use lockplate_core::id::{KeeperIndex, RequestId};
use lockplate_core::open::Evaluation;
use lockplate_core::plate::{Jurisdiction, Plate, PlateInput};
use lockplate_core::request::{FiledRequest, OpeningText, SearchRequest, draft_request};
use lockplate_core::sign::{Signed, SigningKey, VerifyKey};
use lockplate_core::signed::{Header, Signable as _, VersionOne};
use lockplate_core::statement::{OffenceStated, PlateName, Statement, StatementText};
use lockplate_core::vocabulary::{Basis, Offence, Purpose};
use lockplate_node::api::{AnswerState, B64, Evaluated, GrantShown, KeeperAnswer, RequestFiled};
use lockplate_node::client::{CallLimits, PeerClient, PeerTrust};
use lockplate_node::founding::{AgencyFiles, make_person_key, note_signer, statement_signer};
use lockplate_node::officers::Roster;
use lockplate_node::rng::SystemRng;
use lockplate_oprf::Secret;
use lockplate_oprf::oprf::Blind;
use rand_core::Rng as _;

use super::filled::{self, Filled, HOUR, Size};
use super::plates::plate;
use super::report::{Bar, Figure, Series};
use super::town::now_ms;
use super::town::process::Process;
use super::{Measured, Options};

/// A week of hours.
const EPOCHS: u64 = 168;
/// Enough that none comes near the 200 requests a day after which the rules refuse for that.
const OFFICERS: usize = 64;
/// Requests under way: a keeper asks its witnesses nine times a second at most, and answers all that came between two rounds together.
const AT_A_TIME: usize = 256;
const REFUSALS_MIN: f64 = 500.0;
const EVALUATIONS_MIN: f64 = 100.0;
const DAY: u64 = 86_400;

/// Whoever signs requests, and where they go.
struct Desk<'a> {
    filled: &'a Filled,
    officers: Vec<SigningKey>,
    files: AgencyFiles,
    keepers: Vec<PeerClient>,
    next: u64,
}

/// A request as each keeper gets it.
struct Asked {
    filed: FiledRequest,
    bodies: Vec<RequestFiled>,
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRng.fill_bytes(&mut bytes);
    bytes
}

impl<'a> Desk<'a> {
    fn open(filled: &'a Filled) -> anyhow::Result<Self> {
        let town = &filled.town;
        let roster = Roster::at(&town.data("agency").join("officers.json"));
        let until = Timestamp(filled.until + 300 * DAY);
        let mut officers = Vec::new();
        for at in 0..OFFICERS {
            let file = town.home("officer").join(format!("bench-{at}.pem"));
            let key = make_person_key(&file, &mut SystemRng)?;
            roster.add_officer(&key, until, &std::collections::BTreeSet::new(), None, &mut SystemRng)?;
            officers.push(statement_signer(&file)?);
        }
        let limits = CallLimits { total: Duration::from_secs(60), ..CallLimits::default() };
        let charter = town.charter.charter();
        let keepers = charter
            .keepers
            .iter()
            .map(|keeper| PeerClient::new(&keeper.url, PeerTrust::Pinned(keeper.tls_pin), limits));
        Ok(Self {
            filled,
            officers,
            files: AgencyFiles::in_folder(&town.data("agency").join("keys")),
            keepers: keepers.collect::<Result<_, _>>()?,
            next: 0,
        })
    }

    /// A request for another plate by another officer over the whole window. One without `purpose` of its own is lawful.
    fn ask(&mut self, purpose: Purpose) -> anyhow::Result<Asked> {
        self.next += 1;
        let charter = self.filled.town.charter.charter();
        let owner = charter.owner.id;
        let officer = self.officers.get(usize::try_from(self.next)? % OFFICERS).context("an officer")?;
        let now = u64::try_from(now_ms() / 1_000)?;
        let text = Plate::parse(&plate(1_000_000 + self.next)).context("an invented plate is one")?;
        let state = Jurisdiction::parse("US-NJ");
        let response = HpkeSecretKey::random(&mut SystemRng);
        let draft = SearchRequest {
            request_id: RequestId(random()),
            owner_agency: owner,
            requester_agency: owner,
            officer_key: officer.verify_key().0,
            purpose,
            basis: Basis::None,
            authorisation_digest: [0; 32],
            elements: Vec::new(),
            win_from: Timestamp(self.filled.until - EPOCHS * HOUR),
            win_to: Timestamp(self.filled.until),
            not_after: Timestamp(now + DAY),
            notice_after: Timestamp(now + 30 * DAY),
            response_pk: response.public_key()?,
            openings_hash: [0; 32],
        };
        let statement = Statement {
            v: VersionOne,
            plate: PlateName::new(&text, state),
            on_behalf_of: owner,
            case_number: format!("26-{}", self.next),
            offence: OffenceStated { class: Offence::Felony, text: "larceny of a motor vehicle".to_owned() },
            facts: "The owner reported the grey van stolen from the yard this morning.".to_owned(),
            emergency: false,
            hold: false,
            attachments: Vec::new(),
        };
        let opening = OpeningText {
            elements: vec![(PlateInput::new(owner, &text, state), Blind::random(&mut SystemRng))],
            statement: StatementText::new(statement)?,
            disclosures: Vec::new(),
            salts: Secret::random(&mut SystemRng),
        };
        let keepers = charter.keepers.iter().map(|keeper| &keeper.opening_key);
        let auditors = charter.auditors.iter().map(|auditor| &auditor.opening_key);
        let recipients = keepers
            .chain(auditors)
            .map(|key| HpkePublicKey::from_slice(key))
            .collect::<Option<Vec<_>>>()
            .context("the charter's keys")?;
        let (request, openings) = draft_request(draft, &opening, &recipients, &mut SystemRng)?;
        let filed = FiledRequest { request: officer.sign(request), seconds: Vec::new() };
        let session = self.session(filed.request.signed_hash(), now)?;
        let (to_keepers, to_auditors) =
            openings.sealed.split_at_checked(charter.keepers.len()).context("an Opening for each keeper")?;
        let desk = statement_signer(&self.files.desk)?;
        let filed_bytes = filed.to_bytes();
        let hashes: Vec<&[u8]> = openings.hashes.iter().map(<[u8; 32]>::as_slice).collect();
        let bodies = (1_u8..).zip(to_keepers).map(|(place, opening)| {
            let slip = FilingSlip::of(KeeperIndex(place), &filed_bytes, opening, &hashes, &[], Some(&session), false);
            RequestFiled {
                filed: B64(filed_bytes.clone()),
                opening: B64(opening.clone()),
                auditor_openings: to_auditors.iter().cloned().map(B64).collect(),
                opening_hashes: openings.hashes.iter().map(|hash| B64(hash.to_vec())).collect(),
                attachments: Vec::new(),
                session: Some(B64(session.clone())),
                ask_human: false,
                slip: B64(desk.sign(slip).to_bytes()),
            }
        });
        Ok(Asked { bodies: bodies.collect(), filed })
    }

    fn session(&self, request_digest: [u8; 32], now: u64) -> anyhow::Result<Vec<u8>> {
        let name = self.filled.town.card().desk_key.split('+').next().unwrap_or_default().to_owned();
        let signer = note_signer(&self.files.desk, &name)?;
        let body = SessionBody {
            provider: "desk".to_owned(),
            subject: "officer".to_owned(),
            acr: String::new(),
            amr: ["pwd", "swk"].map(str::to_owned).into(),
            auth_time: Timestamp(now),
            request_digest,
        };
        let header = Header { v: VersionOne, nonce: random(), issued: Timestamp(now), issuer: name };
        Ok(SessionStatement { header, body }.sign(&[&signer])?)
    }

    fn file(&self, place: usize, body: &RequestFiled) -> anyhow::Result<KeeperAnswer> {
        let keeper = self.keepers.get(place).context("a keeper")?;
        Ok(self.filled.town.runtime().block_on(keeper.post_json("/v1/requests", body, None))?)
    }

    /// The grant of a lawful request: the yes of two keepers.
    fn grant(&mut self) -> anyhow::Result<Grant> {
        let asked = self.ask(Purpose::StolenVehicle)?;
        let mut approvals = Vec::new();
        for place in 0..2 {
            let answer = self.file(place, asked.bodies.get(place).context("a filing")?)?;
            let Some(B64(approval)) = answer.approval.filter(|_| answer.state == AnswerState::Approved) else {
                bail!("keeper {} did not approve: {:?}", place + 1, answer.rules);
            };
            approvals.push(Signed::<Approval>::from_bytes(&approval)?);
        }
        let epoch_ids = approvals.first().context("an approval")?.claimed().epochs.clone();
        if epoch_ids.len() != usize::try_from(EPOCHS)? {
            bail!("{} epochs were approved", epoch_ids.len());
        }
        Ok(Grant { request: asked.filed.request, approvals, epoch_ids })
    }

    /// Calls a second at the first keeper, so many at a time.
    fn rate<B: serde::Serialize + Sync, T: serde::de::DeserializeOwned + Send>(
        &self,
        path: &str,
        bodies: &[B],
        is_right: impl Fn(&T) -> bool + Sync,
    ) -> anyhow::Result<f64> {
        let keeper = self.keepers.first().context("a keeper")?;
        let next = AtomicUsize::new(0);
        let begun = Instant::now();
        let calls = (0..AT_A_TIME).map(|_| async {
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer: T = keeper.post_json(path, body, None).await?;
                if !is_right(&answer) {
                    bail!("{path}: another answer than was expected");
                }
            }
            Ok(())
        });
        let ended = self.filled.town.runtime().block_on(futures_util::future::join_all(calls));
        ended.into_iter().collect::<anyhow::Result<()>>()?;
        Ok(f64::from(u32::try_from(bodies.len())?) / begun.elapsed().as_secs_f64())
    }
}

pub(super) fn measure(options: &Options) -> anyhow::Result<Measured> {
    let (rounds, refusals, evaluations) = if options.quick { (2, 1_000, 40) } else { (5, 2_000, 150) };
    let filled = filled::build(options, Size { epochs: EPOCHS, cells_each: 16 }, &mut filled::Folder)?
        .context("room for a small archive")?;
    let mut desk = Desk::open(&filled)?;
    // The directory with the new officers is on its way to the keepers: it is there when it names the last of them.
    let begun = Instant::now();
    let last = u64::try_from(OFFICERS)?.saturating_sub(2);
    desk.next = last;
    while let Err(error) = desk.grant() {
        desk.next = last;
        if begun.elapsed() > Duration::from_secs(60) {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    // One core is the keeper's, and all else of this machine's is not on it.
    let mut others = vec![std::process::id()];
    others.extend(filled.town.agency.as_ref().map(Process::pid));
    others.extend(filled.town.keepers.iter().skip(1).flatten().map(Process::pid));
    on_core("1", &others)?;
    on_core("0", &[filled.town.keepers.first().and_then(Option::as_ref).context("keeper 1")?.pid()])?;
    let keeper = filled.town.charter.charter().keepers.first().context("keeper 1")?;
    let keeper_key = VerifyKey(keeper.key.public_key().try_into()?);
    let (mut refused, mut evaluated) = (Series::default(), Series::default());
    for _ in 0..rounds {
        let mut bodies = Vec::new();
        for _ in 0..refusals {
            bodies.extend(desk.ask(Purpose::CivilImmigration)?.bodies.into_iter().next());
        }
        refused
            .0
            .push(desk.rate("/v1/requests", &bodies, |answer: &KeeperAnswer| answer.state == AnswerState::Refused)?);
        let mut grants = Vec::new();
        for _ in 0..evaluations {
            grants.push(GrantShown { grant: B64(desk.grant()?.to_bytes()) });
        }
        evaluated.0.push(desk.rate(
            "/v1/evaluations",
            &grants,
            |Evaluated { evaluation: B64(bytes) }: &Evaluated| {
                Signed::<Evaluation>::from_bytes(bytes).is_ok_and(|signed| signed.verify(&keeper_key).is_ok())
            },
        )?);
    }
    drop(desk);
    on_core("0-1", &[std::process::id()])?;
    Ok(Measured {
        figures: vec![
            Figure::alone(
                "requests refused and logged, one core",
                "a second",
                refused,
                Some(Bar::AtLeast(REFUSALS_MIN)),
            ),
            Figure::alone(
                "grants over 168 epochs evaluated and logged, one core",
                "a second",
                evaluated,
                Some(Bar::AtLeast(EVALUATIONS_MIN)),
            ),
        ],
        how: vec![format!(
            "{rounds} rounds; {refusals} requests (civil immigration without a paper, so that the rules are asked) and {evaluations} grants a round, each answer signed by the keeper, \
             {AT_A_TIME} under way at a time, {OFFICERS} officers, over TLS on kept connections; keeper 1 is bound to one core (`taskset`) and all else to another, its leaves and rows are \
             synced before each answer. Preparing the requests is not in the time."
        )],
    })
}

/// Binds every thread of processes to cores.
fn on_core(cores: &str, pids: &[u32]) -> anyhow::Result<()> {
    for pid in pids {
        let mut taskset = super::town::command("taskset");
        let done = taskset.args(["--all-tasks", "--cpu-list", "--pid", cores]).arg(pid.to_string()).output();
        let done = done.context("taskset cannot be started")?;
        if !done.status.success() {
            bail!("taskset: {}", String::from_utf8_lossy(&done.stderr));
        }
    }
    Ok(())
}
