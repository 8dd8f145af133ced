//! Owners and agencies of the matrix, founded as operators found them: each owner with a charter, two keepers over TLS and closed hours;
//! each agency with keys, a signed directory and declarations. Both keepers must agree, so the second one confirms the first one's log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use lockplate_core::Timestamp;
use lockplate_core::charter::{AcceptKeyFiles, CharterFile, LeafWait, LogName};
use lockplate_core::directory::{Directory, DirectoryBody, OfficerEntry};
use lockplate_core::entry::{Leaf, LogEntry, RequestLeaf, parse_leaf};
use lockplate_core::epoch::{EpochClose, EpochKind, EpochPlan, Prekey, PrekeyOrder, VerifiedPrekey, deal};
use lockplate_core::id::{AgencyId, KeeperIndex};
use lockplate_core::sign::{Signed, SigningKey, VerifyKey};
use lockplate_core::signed::Signable as _;
use lockplate_core::vocabulary::{ArchiveKind, DeclarationName, Level, Role, State};
use lockplate_log::note::VerifierKey;
use lockplate_node::api::{B64, Done, EpochEnded, ObjectFiled, Prekeys, PrekeysAsked, ShareDealt, ShareStored};
use lockplate_node::client::{CallLimits, PeerClient, PeerTrust};
use lockplate_node::clock::{Clock as _, TestClock};
use lockplate_node::follow::{LogSource, Reader, follow};
use lockplate_node::founding::{
    AgencyCard, AgencyFiles, AgencyParty, CharterTerms, DeclarationTerms, KeeperFiles, KeeperParty, agency_trust_entry,
    assemble, court_trust_entry, custodian_trust_entry, draft_charter, found_agency, found_keeper, make_note_key,
    note_signer, sign_as_agency, sign_as_keeper, sign_declaration, statement_signer,
};
use lockplate_node::keeper::{self, KeeperConfig, KeeperSettings};
use lockplate_node::problem::ProblemKind;
use lockplate_node::rng::SystemRng;
use lockplate_node::settings;
use lockplate_node::shutdown::Tasks;
use lockplate_policy::{Bundle, CedarPolicy};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::keeper::{DAY, HOUR, JUDGE, NOW, header_at, post, problem, write};
use crate::ports::free_port;
use crate::town_clock::TownClock;

/// The court of the judge whom every owner recognises.
pub(super) const COURT: &str = "Superior Court";
/// Name of every custodian's key; each owner recognises its own one's.
pub(super) const CUSTODIAN: &str = "records.example";
/// Ages at which an archive of old reads has a closed hour, days; the others have one of five days.
const AGES: [u64; 8] = [7, 8, 21, 22, 60, 61, 181, 182];
/// Closed hours of a busy archive, one after the other.
pub(super) const BUSY_HOURS: u64 = 69;
/// Officers who file in turn: 200 requests in a day are one officer's limit at one keeper.
const FILERS: usize = 32;

/// What the cases say of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OwnerKind {
    pub(super) state: State,
    pub(super) archive: ArchiveKind,
    /// The owner's own directory says so; a charter cannot.
    pub(super) law_enforcement: bool,
    pub(super) accept_attested: bool,
    pub(super) hours: Hours,
    /// Its clock goes a day further than the others': papers of emergencies are overdue there.
    pub(super) late: bool,
}

/// Closed hours of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hours {
    /// One of five days ago.
    Young,
    /// One of each of [`AGES`].
    Old,
    /// [`BUSY_HOURS`], from five days ago on.
    Busy,
}

impl OwnerKind {
    pub(super) fn police(state: State) -> Self {
        Self {
            state,
            archive: ArchiveKind::Police,
            law_enforcement: true,
            accept_attested: true,
            hours: Hours::Young,
            late: false,
        }
    }
}

/// What the cases say of an agency that is not the owner. Two that differ in nothing but `acted_for` are two agencies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PartyKind {
    pub(super) state: State,
    pub(super) level: Level,
    pub(super) law_enforcement: bool,
    pub(super) declares: BTreeSet<DeclarationName>,
    pub(super) acted_for: bool,
}

/// People of an agency.
pub(super) struct Staff {
    filers: Vec<SigningKey>,
    next: AtomicU32,
    /// A second key of the first filer.
    pub(super) spare: SigningKey,
    pub(super) inactive: SigningKey,
    pub(super) untrained: SigningKey,
    pub(super) colleague: SigningKey,
    with_role: BTreeMap<Role, SigningKey>,
}

impl Staff {
    fn random() -> Self {
        let key = || SigningKey::random(&mut SystemRng);
        let roles = [Role::Supervisor, Role::Prosecutor, Role::StateCustodian];
        Self {
            filers: (0..FILERS).map(|_| key()).collect(),
            next: AtomicU32::new(0),
            spare: key(),
            inactive: key(),
            untrained: key(),
            colleague: key(),
            with_role: roles.into_iter().map(|role| (role, key())).collect(),
        }
    }

    /// The officer whose turn it is.
    pub(super) fn filer(&self) -> &SigningKey {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) as usize;
        &self.filers[turn % self.filers.len()]
    }

    pub(super) fn first(&self) -> &SigningKey {
        &self.filers[0]
    }

    pub(super) fn with(&self, role: Role) -> &SigningKey {
        &self.with_role[&role]
    }

    fn entries(&self) -> Vec<OfficerEntry> {
        let mut persons = 0_u8;
        let mut entry = |keys: &[&SigningKey], roles: &[Role], active: bool, trained_until: u64| {
            persons += 1;
            OfficerEntry {
                person: [persons; 32],
                keys: keys.iter().map(|key| key.verify_key().0).collect(),
                trained_until: Timestamp(trained_until),
                active,
                roles: roles.iter().copied().collect(),
            }
        };
        let later = NOW + 40 * DAY;
        let mut entries = vec![entry(&[self.first(), &self.spare], &[], true, later)];
        entries.extend(self.filers[1..].iter().map(|key| entry(&[key], &[], true, later)));
        entries.push(entry(&[&self.inactive], &[], false, later));
        entries.push(entry(&[&self.untrained], &[], true, NOW));
        entries.push(entry(&[&self.colleague], &[], true, later));
        entries.extend(self.with_role.iter().map(|(role, key)| entry(&[key], &[*role], true, later)));
        entries
    }
}

/// An agency that asks.
pub(super) struct Party {
    pub(super) kind: PartyKind,
    pub(super) card: AgencyCard,
    pub(super) id: AgencyId,
    pub(super) staff: Staff,
    host: String,
    files: AgencyFiles,
    directory: Vec<u8>,
}

impl Party {
    pub(super) fn found(home: &Path, host: &str, kind: PartyKind, owner: bool) -> Self {
        std::fs::create_dir_all(home).unwrap();
        let files = AgencyFiles::in_folder(home);
        let party = AgencyParty {
            name: format!("Agency of {host}"),
            ori: String::new(),
            state: kind.state.code().to_owned(),
            level: kind.level.name().to_owned(),
            law_enforcement: kind.law_enforcement,
            host: host.to_owned(),
            url: format!("https://{}", free_port()),
            owner,
        };
        let card = found_agency(&files, &party, None, &mut SystemRng).unwrap();
        let (id, staff) = (AgencyId::parse(&card.id).unwrap(), Staff::random());
        let issuer = format!("{host}/agency");
        let body = DirectoryBody {
            agency: id,
            name: card.name.clone(),
            ori: String::new(),
            state: kind.state,
            level: kind.level,
            law_enforcement: kind.law_enforcement,
            serial: 1,
            valid_until: Timestamp(NOW + 6 * DAY),
            officers: staff.entries(),
            desk_log: format!("{host}/log/desk"),
            desk_key: VerifierKey::parse(&card.desk_key).unwrap(),
        };
        let signer = note_signer(&files.agency, &issuer).unwrap();
        let directory = Directory { header: header_at(&issuer, NOW), body }.sign(&[&signer]).unwrap();
        Self { kind, card, id, staff, host: host.to_owned(), files, directory }
    }

    /// Signs for its desk.
    pub(super) fn desk(&self) -> SigningKey {
        statement_signer(&self.files.desk).unwrap()
    }

    /// The desk's name and signer of session statements.
    pub(super) fn session_signer(&self) -> (String, lockplate_log::NoteSigner) {
        let name = format!("{}/desk", self.host);
        let signer = note_signer(&self.files.desk, &name).unwrap();
        (name, signer)
    }

    fn declaration(&self, declaration: DeclarationName, owner: AgencyId) -> Vec<u8> {
        let terms = DeclarationTerms {
            declaration,
            owner: Some(owner),
            signer: "A. Chief, chief of police".to_owned(),
            valid_from: Timestamp(NOW - DAY),
            valid_until: Timestamp(NOW + 300 * DAY),
        };
        sign_declaration(&self.card, &self.files.agency, &terms, Timestamp(NOW), &mut SystemRng).unwrap()
    }
}

/// Who may file which declaration: a reading of its own, of what the statutes say (not legal advice).
pub(super) fn may_declare(declaration: DeclarationName, from: State, to: State) -> bool {
    let (made_to, neighbours) = match declaration {
        DeclarationName::Ct2614 => ("CT", Some(["NY", "RI", "MA"])),
        DeclarationName::Il2130c => ("IL", None),
        DeclarationName::Nj20264 => ("NJ", None),
        DeclarationName::Nm202620 => ("NM", None),
    };
    let outsider = neighbours.map_or(from.code() != made_to, |list| list.contains(&from.code()));
    to.code() == made_to && outsider
}

/// An owner agency with its keepers.
pub(super) struct Owner {
    pub(super) kind: OwnerKind,
    pub(super) own: Party,
    pub(super) charter: CharterFile,
    pub(super) policy: CedarPolicy,
    pub(super) custodian: PathBuf,
    /// Keeper 1, which is asked.
    pub(super) keeper: PeerClient,
    clock: Arc<TestClock>,
    keepers: Vec<(KeeperSettings, Option<Tasks>)>,
    known: Mutex<BTreeSet<AgencyId>>,
    owing: Mutex<BTreeSet<AgencyId>>,
    home: PathBuf,
}

impl Owner {
    fn found(home: &Path, number: usize, kind: OwnerKind, nation: &Trusted<'_>) -> Self {
        let path = |name: &str| home.join(name);
        let own = PartyKind {
            state: kind.state,
            level: Level::Local,
            law_enforcement: kind.law_enforcement,
            declares: BTreeSet::new(),
            acted_for: false,
        };
        let own = Party::found(&path("agency"), &format!("alpr.town-{number:02}.example"), own, true);
        let (mut cards, mut files, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        for place in 1..=2 {
            let keys = path(&format!("keeper-{place}/keys"));
            std::fs::create_dir_all(&keys).unwrap();
            let address = free_port();
            let party = KeeperParty {
                name: format!("Keeper {place} of town {number:02}"),
                legal_entity: format!("Office {place}"),
                host: format!("k{place}.town-{number:02}.example"),
                url: format!("https://{address}"),
            };
            files.push(KeeperFiles::in_folder(&keys));
            let human = path(&format!("human-{place}.pem"));
            cards.push(found_keeper(files.last().unwrap(), &[human], &party, &mut SystemRng).unwrap());
            addresses.push(address);
        }
        let (from, until) = (Timestamp(NOW - 400 * DAY), Timestamp(NOW + 300 * DAY));
        let custodian = path("records.pem");
        let custodian_key = make_note_key(&custodian, CUSTODIAN, &mut SystemRng).unwrap();
        let mut trust = vec![
            agency_trust_entry(&own.card, from, until).unwrap(),
            court_trust_entry("Judge 17", COURT, nation.judge.clone(), from, until),
            custodian_trust_entry("Records", own.id, custodian_key, from, until),
        ];
        trust.extend(nation.cards.iter().map(|card| agency_trust_entry(card, from, until).unwrap()));
        let bundle = Bundle::shipped(kind.state);
        let terms = CharterTerms {
            archive_kind: kind.archive,
            threshold: 2,
            epoch_seconds: HOUR,
            retention_seconds: 400 * DAY,
            opening_keep_seconds: 366 * DAY,
            extract_entries_max: if kind.archive == ArchiveKind::Police { 1_000_000 } else { 0 },
            accounts_max: 0,
            accept_key_files: AcceptKeyFiles::All,
            accept_attested: kind.accept_attested,
            trust,
            policy: bundle.digest(),
            policy_signers: vec![make_note_key(&path("policy.pem"), "clerk.example", &mut SystemRng).unwrap()],
            policy_quorum: 1,
            auditors: Vec::new(),
            audit_percent: 5,
            witnesses: Vec::new(),
            outside_witnesses: 0,
            keeper_leaves: LeafWait::Durable,
            agency_leaves: LeafWait::Durable,
            agencies: nation.cards.to_vec(),
        };
        let draft = draft_charter(&own.card, &cards, terms).unwrap();
        let mut lines = vec![sign_as_agency(&draft, &own.files).unwrap().to_string()];
        lines.extend(files.iter().map(|files| sign_as_keeper(&draft, files).unwrap().1.to_string()));
        let charter = assemble(&draft, &lines).unwrap();
        write(&path("charter.auth"), charter.bytes());
        let keepers = addresses.iter().zip(1..).map(|(address, place)| {
            let text = format!(
                "data = 'keeper-{place}'\ncharter = 'charter.auth'\nplace = {place}\n[listen]\naddress = '{address}'\n\
                 [limits]\nrequests_an_hour = 1000000"
            );
            let config: KeeperConfig = settings::parse(&path("keeper.toml"), &text).unwrap();
            (KeeperSettings::try_from((path("keeper.toml").as_path(), config)).unwrap(), None)
        });
        let entry = &charter.charter().keepers[0];
        let keeper = PeerClient::new(&entry.url, PeerTrust::Pinned(entry.tls_pin), CallLimits::default()).unwrap();
        Self {
            kind,
            own,
            policy: CedarPolicy::load(&bundle).unwrap(),
            custodian,
            keeper,
            clock: Arc::new(TestClock::new(i64::try_from(NOW * 1_000).unwrap())),
            keepers: keepers.collect(),
            known: Mutex::default(),
            owing: Mutex::default(),
            home: home.to_owned(),
            charter,
        }
    }

    /// Seconds since 1970 on this owner's clock.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.clock.now_ms()).unwrap() / 1_000
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Notes that an agency's paper will be overdue here; true if it was noted before.
    pub(super) async fn owes(&self, party: &Party) -> bool {
        !self.owing.lock().await.insert(party.id)
    }

    /// Begins of the hours that are closed.
    pub(super) fn hours(&self) -> Vec<u64> {
        // An hour later than the full days, so that a window of whole days holds it.
        let of_age = |days: u64| NOW - days * DAY + HOUR;
        match self.kind.hours {
            Hours::Young => vec![of_age(5)],
            Hours::Old => AGES.into_iter().map(of_age).collect(),
            Hours::Busy => (0..BUSY_HOURS).map(|hour| of_age(5) + hour * HOUR).collect(),
        }
    }

    async fn start(&mut self) {
        let mut started = Vec::new();
        for (settings, running) in &mut self.keepers {
            let tasks = Tasks::new();
            started.push(keeper::start(settings.clone(), TownClock::over(&self.clock), &tasks).await.unwrap());
            *running = Some(tasks);
        }
        for mut keeper in started {
            keeper.ready().await.unwrap();
        }
        self.close_hours().await;
        self.introduce(&self.own).await;
    }

    fn clients(&self) -> Vec<PeerClient> {
        let limits = CallLimits::default();
        let entries = self.charter.charter().keepers.iter();
        entries.map(|entry| PeerClient::new(&entry.url, PeerTrust::Pinned(entry.tls_pin), limits).unwrap()).collect()
    }

    /// The hours' keys are dealt to both keepers and the hours closed; their segments are nobody's.
    async fn close_hours(&self) {
        let charter = self.charter.charter();
        let recorder = statement_signer(&self.own.files.recorder).unwrap();
        let (hours, clients) = (self.hours(), self.clients());
        let count = u16::try_from(hours.len()).unwrap();
        let order = PrekeyOrder { agency: self.own.id, recorder: charter.recorders[0].id, count, time: Timestamp(NOW) };
        let asked = PrekeysAsked { order: B64(recorder.sign(order).to_bytes()) };
        let mut stocks = Vec::new();
        for (client, entry) in clients.iter().zip(&charter.keepers) {
            let got: Prekeys = post(client, "/v1/prekeys", &asked).await.unwrap();
            let key = VerifyKey(entry.key.public_key().try_into().unwrap());
            let verified = got.prekeys.iter().map(|B64(bytes)| {
                VerifiedPrekey::new(&Signed::<Prekey>::from_bytes(bytes).unwrap(), &key, Timestamp(NOW)).unwrap()
            });
            stocks.push(verified.collect::<Vec<_>>().into_iter());
        }
        for cap_from in hours {
            let plan = EpochPlan {
                agency: self.own.id,
                recorder: charter.recorders[0].id,
                cap_from: Timestamp(cap_from),
                cap_to: Timestamp(cap_from + HOUR),
                kind: EpochKind::Late,
                bucket_bits: 1,
                threshold: self.charter.threshold(),
                charter_hash: self.charter.hash(),
                destroy_after: Timestamp(charter.destroy_after(cap_from + HOUR)),
            };
            let prekeys = stocks.iter_mut().map(|stock| stock.next().unwrap()).collect();
            let dealt = deal(&plan, prekeys, &mut SystemRng).unwrap();
            let header = B64(recorder.sign(dealt.header().clone()).to_bytes());
            let close = EpochClose {
                header_hash: dealt.header().hash(),
                cells_padded: 16,
                segment_root: [1; 32],
                erased_at: Timestamp(NOW),
            };
            let ended = EpochEnded { close: B64(recorder.sign(close).to_bytes()) };
            for (client, (_, envelope)) in clients.iter().zip(dealt.envelopes()) {
                let share = ShareDealt { header: header.clone(), envelope: B64(envelope.clone()) };
                let _stored: ShareStored = post(client, "/v1/shares", &share).await.unwrap();
                let _done: Done = post(client, "/v1/closes", &ended).await.unwrap();
            }
        }
    }

    /// Leaves an agency's directory and declarations with keeper 1, once. One that it cannot file is refused.
    pub(super) async fn introduce(&self, party: &Party) {
        let mut known = self.known.lock().await;
        if !known.insert(party.id) {
            return;
        }
        let filed = |object: Vec<u8>| ObjectFiled { object: B64(object) };
        let _done: Done = post(&self.keeper, "/v1/directories", &filed(party.directory.clone())).await.unwrap();
        for declaration in &party.kind.declares {
            let object = filed(party.declaration(*declaration, self.own.id));
            let answer = post::<_, Done>(&self.keeper, "/v1/declarations", &object).await;
            if may_declare(*declaration, party.kind.state, self.kind.state) {
                let _done: Done = answer.unwrap();
            } else {
                assert_eq!(problem(answer), ProblemKind::Invalid, "{} {declaration:?}", party.kind.state.code());
            }
        }
    }

    /// The request leaves of a keeper's public log, by request: every leaf is proved under a head that the other keeper confirmed, and
    /// each request has one leaf. Waits until those of `answered` are there: the last ones are confirmed a moment after their answers.
    pub(super) async fn leaves(
        &self,
        place: u8,
        answered: impl Iterator<Item = [u8; 32]> + Clone,
    ) -> BTreeMap<[u8; 32], RequestLeaf> {
        let charter = self.charter.charter();
        let name = LogName::Keeper(KeeperIndex(place));
        let log = charter.log(&name).unwrap();
        let source = LogSource {
            prefix_url: log.url(),
            trust: PeerTrust::Pinned(log.tls_pin),
            policy: charter.witness_policy(&name).unwrap(),
            reader: Reader::RelyingParty,
        };
        let folder = self.home.join(format!("watched-{place}"));
        let published = async {
            loop {
                let followed = follow(&source, &folder, self.now()).await.unwrap();
                let view = followed.view();
                let mut leaves = BTreeMap::new();
                let every_leaf = view.verify::<lockplate_log::Error>(0..view.bundle_count(), |_, leaf| {
                    if let Leaf::Known(stamped) = parse_leaf(leaf).unwrap()
                        && let LogEntry::Request(request) = stamped.entry()
                    {
                        let leaf = RequestLeaf::clone(request);
                        assert!(leaves.insert(leaf.request, leaf).is_none(), "a second leaf of one request");
                    }
                    Ok(())
                });
                every_leaf.unwrap();
                if answered.clone().all(|request| leaves.contains_key(&request)) {
                    return leaves;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), published).await.expect("every decision is published")
    }

    async fn stop(&mut self) {
        for (_, running) in &mut self.keepers {
            if let Some(tasks) = running.take() {
                tasks.finish(Duration::from_secs(30)).await.unwrap();
            }
        }
    }
}

/// Whom every owner recognises.
struct Trusted<'a> {
    judge: &'a VerifierKey,
    cards: &'a [AgencyCard],
}

/// Everybody.
pub(super) struct Nation {
    pub(super) folder: TempDir,
    /// Key file of the judge.
    pub(super) judge: PathBuf,
    /// Key file of somebody who calls himself by the judge's name.
    pub(super) impostor: PathBuf,
    pub(super) parties: BTreeMap<PartyKind, Party>,
    pub(super) owners: BTreeMap<OwnerKind, Owner>,
}

impl Nation {
    /// Founds and starts them. `desk` has a desk of its own, and its card is in every charter.
    pub(super) async fn found(
        owners: impl IntoIterator<Item = OwnerKind>,
        parties: impl IntoIterator<Item = PartyKind>,
        desk: Option<&AgencyCard>,
        folder: TempDir,
    ) -> Self {
        let path = |name: &str| folder.path().join(name);
        let judge = make_note_key(&path("judge.pem"), JUDGE, &mut SystemRng).unwrap();
        make_note_key(&path("impostor.pem"), JUDGE, &mut SystemRng).unwrap();
        let kinds: BTreeSet<PartyKind> = parties.into_iter().collect();
        let parties: BTreeMap<PartyKind, Party> = kinds
            .into_iter()
            .enumerate()
            .map(|(number, kind)| {
                let host = format!("desk.agency-{number:02}.example");
                let party = Party::found(&path(&format!("agency-{number:02}")), &host, kind.clone(), false);
                (kind, party)
            })
            .collect();
        let cards: Vec<AgencyCard> = parties.values().map(|party| party.card.clone()).chain(desk.cloned()).collect();
        let trusted = Trusted { judge: &judge, cards: &cards };
        let kinds: BTreeSet<OwnerKind> = owners.into_iter().collect();
        let mut owners: BTreeMap<OwnerKind, Owner> = kinds
            .into_iter()
            .enumerate()
            .map(|(number, kind)| (kind, Owner::found(&path(&format!("owner-{number:02}")), number, kind, &trusted)))
            .collect();
        stream::iter(owners.values_mut().map(Owner::start)).buffer_unordered(4).collect::<()>().await;
        let (judge, impostor) = (path("judge.pem"), path("impostor.pem"));
        Self { folder, judge, impostor, parties, owners }
    }

    pub(super) async fn end(mut self) {
        stream::iter(self.owners.values_mut().map(Owner::stop)).buffer_unordered(8).collect::<()>().await;
    }
}
