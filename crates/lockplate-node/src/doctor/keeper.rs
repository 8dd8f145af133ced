//! A keeper's folder: log, database and key table tell of the same shares and requests, and every share that must be there opens
//! and fits its header. A share is opened to be compared and dropped; nothing of it leaves this module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lockplate_core::Timestamp;
use lockplate_core::charter::CharterFile;
use lockplate_core::entry::{DeclarationChange, LogEntry, LogKind};
use lockplate_core::epoch::{DealtShare, EpochHeader, HeldShare};
use lockplate_core::id::{EpochId, KeeperIndex};
use lockplate_core::sign::{Signed, VerifyKey};
use lockplate_oprf::Secret;
use rusqlite::{Connection, Row};

use super::log::{LogCheck, folder_name};
use super::{COMPARED_MAX, Report, open_db, place};
use crate::keeper::kek::{KekError, KekName, KekTable};

/// Version of `keeper.db`.
const KEEPER_SCHEMA: u32 = 3;
/// A table of keys is two files; more are what an interrupted change left.
const KEK_FILES: usize = 2;

/// What the keeper's log says.
#[derive(Default)]
struct Logged {
    /// Header hashes.
    received: BTreeSet<[u8; 32]>,
    destroyed: BTreeSet<[u8; 32]>,
    /// Request digests.
    requests: BTreeSet<[u8; 32]>,
    /// Grant digests.
    evaluations: BTreeSet<[u8; 32]>,
    /// Request digests of which a person decided.
    decided: BTreeSet<[u8; 32]>,
    /// Digests of declarations in force.
    declared: BTreeSet<[u8; 32]>,
    /// The first that a person decided twice: request, index of the second entry.
    decided_twice: Option<([u8; 32], u64)>,
    /// The first declaration filed twice: object, index of the second entry.
    declared_twice: Option<([u8; 32], u64)>,
    full: bool,
}

impl Logged {
    #[expect(clippy::wildcard_enum_match_arm, reason = "asks for the kinds of entry that leave a row behind")]
    fn take(&mut self, index: u64, entry: &LogEntry) {
        let (set, digest) = match entry {
            LogEntry::ShareReceived(leaf) => (&mut self.received, leaf.header),
            LogEntry::ShareDestroyed(leaf) => (&mut self.destroyed, leaf.header),
            LogEntry::Request(leaf) => (&mut self.requests, leaf.request),
            LogEntry::Evaluation(leaf) => (&mut self.evaluations, leaf.grant),
            LogEntry::Approval(leaf) => {
                if self.decided.contains(&leaf.request) {
                    self.decided_twice.get_or_insert((leaf.request, index));
                }
                (&mut self.decided, leaf.request)
            }
            LogEntry::Declaration(leaf) if leaf.change == DeclarationChange::Withdraw => {
                self.declared.remove(&leaf.object);
                return;
            }
            LogEntry::Declaration(leaf) => {
                if self.declared.contains(&leaf.object) {
                    self.declared_twice.get_or_insert((leaf.object, index));
                }
                (&mut self.declared, leaf.object)
            }
            _ => return,
        };
        if set.len() < COMPARED_MAX {
            set.insert(digest);
        } else {
            self.full = true;
        }
    }

    /// What stands twice that may stand once. A repeated declaration changes nothing in force; a repeated decision may
    /// contradict the first.
    fn tell(&self, report: &mut Report) {
        let place = |name, digest: &[u8; 32], index| format!("{name} {} entry {index}", hex::encode(digest));
        if let Some((request, index)) = &self.decided_twice {
            report.fail("the log has two decisions of a person on one request", place("request", request, index));
        }
        if let Some((object, index)) = &self.declared_twice {
            report.warn("the log has one declaration filed twice", place("declaration", object, index));
        }
    }
}

/// Checks everything.
pub(super) fn check(dir: &Path, charter: &CharterFile, now: Timestamp, report: &mut Report) {
    let keepers = &charter.charter().keepers;
    let own = keepers.iter().find(|keeper| dir.join("log").join(folder_name(&keeper.log_key)).is_dir());
    let Some(own) = own else {
        report.fail("there is no log of a keeper of this charter", "log");
        return;
    };
    let folder = dir.join("log").join(folder_name(&own.log_key));
    let mut logged = Logged::default();
    let log = LogCheck { dir, folder: &folder, key: Some(&own.log_key), kind: LogKind::Keeper, now };
    let log_holds = log.run(report, |index, entry| logged.take(index, entry));
    logged.tell(report);
    if logged.full {
        report.warn("the log tells of more than this check compares", place(dir, &folder));
    }
    let logged = (log_holds && !logged.full).then_some(logged);
    let kek = key_table(dir, report);
    let Some(db) = open_db(dir, "keeper.db", KEEPER_SCHEMA, report) else { return };
    let mut look = Look { charter, index: own.index, now, kek, logged, used: BTreeSet::new(), report };
    let read = look
        .shares(&db)
        .and_then(|()| look.requests(&db))
        .and_then(|()| look.openings(&db))
        .and_then(|()| look.other_secrets(&db));
    if read.is_err() {
        look.report.fail("a row of the database cannot be read", "keeper.db");
    }
}

fn key_table(dir: &Path, report: &mut Report) -> Option<KekTable> {
    let folder = dir.join("kek");
    let Ok(table) = KekTable::look(&folder) else {
        report.fail("the table of key-encryption keys does not open", "kek");
        return None;
    };
    let files = std::fs::read_dir(&folder).map(Iterator::count).unwrap_or(0);
    if files > KEK_FILES {
        report.warn("an older table of key-encryption keys was not removed yet; the next start removes it", "kek");
    }
    report.ok("the table of key-encryption keys opens", "kek");
    Some(table)
}

struct Look<'a> {
    charter: &'a CharterFile,
    index: KeeperIndex,
    now: Timestamp,
    kek: Option<KekTable>,
    /// `None` where the log does not hold: then nothing is compared with it.
    logged: Option<Logged>,
    /// Names of keys that have a use.
    used: BTreeSet<KekName>,
    report: &'a mut Report,
}

/// A row of `epoch`.
struct ShareRow {
    id: EpochId,
    header_hash: [u8; 32],
    header: Vec<u8>,
    share: Option<Vec<u8>>,
    receipted: bool,
    destroyed: bool,
}

impl ShareRow {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: EpochId(row.get(0)?),
            header_hash: row.get(1)?,
            header: row.get(2)?,
            share: row.get(3)?,
            receipted: row.get(4)?,
            destroyed: row.get(5)?,
        })
    }
}

impl Look<'_> {
    fn shares(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let sql = "SELECT id, header_hash, header, share, receipt IS NOT NULL, destroyed_at IS NOT NULL FROM epoch ORDER BY id";
        let mut statement = db.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut headers = BTreeSet::new();
        while let Some(row) = rows.next()? {
            let row = ShareRow::of(row)?;
            headers.insert(row.header_hash);
            if headers.len() > COMPARED_MAX {
                self.report.warn("the database knows more epochs than this check compares", "keeper.db epoch");
                return Ok(());
            }
            self.share(&row);
        }
        let lost = self.logged.iter().flat_map(|logged| logged.received.difference(&logged.destroyed));
        for header in lost.filter(|header| !headers.contains(*header)) {
            let place = format!("header {}", hex::encode(header));
            self.report.fail("the log says that a share was received, and it is not there", place);
        }
        Ok(())
    }

    fn share(&mut self, row: &ShareRow) {
        let place = format!("keeper.db epoch {}", row.id);
        let recorders = &self.charter.charter().recorders;
        let header = Signed::<EpochHeader>::from_bytes(&row.header).ok().and_then(|signed| {
            let recorder = recorders.iter().find(|recorder| recorder.id == signed.claimed().recorder)?;
            signed.verify(&VerifyKey(recorder.key)).ok().cloned()
        });
        let header = header.filter(|header| header.epoch_id == row.id && header.hash() == row.header_hash);
        let Some(header) = header else {
            self.report.fail("the header of a share is not signed by a recorder of the charter", place);
            return;
        };
        let said_destroyed = self.logged.as_ref().map(|logged| logged.destroyed.contains(&row.header_hash));
        let said_received = self.logged.as_ref().map(|logged| logged.received.contains(&row.header_hash));
        if row.destroyed {
            if self.kek.as_ref().is_some_and(|kek| kek.holds(&row.id.0)) {
                self.report.fail("the key of a destroyed share is still there", place.clone());
            }
            if row.share.is_some() {
                self.report.fail("a destroyed share is still in the database", place.clone());
            }
            if said_destroyed == Some(false) {
                self.report.fail("a share is destroyed and the log does not say so", place);
            }
            return;
        }
        self.used.insert(row.id.0);
        if row.receipted && said_received == Some(false) {
            self.report.fail("a share was receipted and the log does not say so", place.clone());
        } else if !row.receipted && said_received == Some(true) {
            self.report.warn(
                "a receipt was cut off after it was logged; it is given when it is asked for again",
                place.clone(),
            );
        }
        let Some(kek) = &self.kek else { return };
        if !kek.holds(&row.id.0) {
            // A destruction begins with its key, and only when its time is over.
            if said_destroyed == Some(true) || header.destroy_after <= self.now {
                self.report.warn("a destruction was cut off after its key was gone; the next start finishes it", place);
            } else {
                self.report.fail("the key of a share is gone before its time", place);
            }
            return;
        }
        if said_destroyed == Some(true) {
            self.report.fail("the log says that a share is destroyed, and it opens", place);
            return;
        }
        let Some(wrapped) = &row.share else {
            self.report.fail("a share is not there and not destroyed", place);
            return;
        };
        let held = kek.unwrap(&row.id.0, wrapped).ok().and_then(|secret| Secret::<64>::from_slice(&secret));
        let dealt = DealtShare::of(&header, self.index).ok();
        if held.zip(dealt).is_some_and(|(secret, dealt)| HeldShare::from_secret(&secret, &dealt).is_ok()) {
            self.report.counts.shares = self.report.counts.shares.saturating_add(1);
        } else {
            self.report.fail("a share does not open, or does not fit its header", place);
        }
    }

    fn requests(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let Some(mut logged) = self.logged.take() else { return Ok(()) };
        let mut statement = db.prepare("SELECT digest FROM request")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let digest: [u8; 32] = row.get(0)?;
            self.report.counts.requests = self.report.counts.requests.saturating_add(1);
            if !logged.requests.remove(&digest) {
                self.report
                    .fail("a request was decided and is not in the log", format!("request {}", hex::encode(digest)));
            }
        }
        for digest in &logged.requests {
            let what = "a decision was cut off after it was logged; it is taken up when the request comes again";
            self.report.warn(what, format!("request {}", hex::encode(digest)));
        }
        let mut statement = db.prepare("SELECT grant_digest FROM evaluation")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let grant: [u8; 32] = row.get(0)?;
            if !logged.evaluations.remove(&grant) {
                self.report
                    .fail("a grant was evaluated and is not in the log", format!("grant {}", hex::encode(grant)));
            }
        }
        for grant in &logged.evaluations {
            let what = "an evaluation was cut off after it was logged; it is taken up when the grant comes again";
            self.report.warn(what, format!("grant {}", hex::encode(grant)));
        }
        Ok(())
    }

    /// What is private of requests opens under the key of its month, or is gone with it.
    fn openings(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let Some(kek) = &self.kek else { return Ok(()) };
        let months: BTreeMap<u32, KekName> = db
            .prepare("SELECT month, name FROM month_key")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        self.used.extend(months.values().copied());
        let (mut torn, mut keyless) = (0_u64, 0_u64);
        for sql in [
            "SELECT month, kept FROM request WHERE kept IS NOT NULL",
            "SELECT month, shown FROM request WHERE shown IS NOT NULL",
            "SELECT month, who FROM request WHERE who IS NOT NULL",
            "SELECT request.month, escrow.opening FROM escrow JOIN request ON escrow.request = request.digest",
        ] {
            let mut statement = db.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (month, wrapped): (u32, Vec<u8>) = (row.get(0)?, row.get(1)?);
                match months.get(&month).map(|name| kek.unwrap(name, &wrapped)) {
                    Some(Ok(_private)) => {}
                    Some(Err(KekError::Unknown)) => keyless = keyless.saturating_add(1),
                    Some(Err(_)) | None => torn = torn.saturating_add(1),
                }
            }
        }
        if torn > 0 {
            self.report.fail(
                "what is private of a request does not open under the key of its month",
                format!("keeper.db request ({torn})"),
            );
        }
        if keyless > 0 {
            // An erasure begins with its key.
            self.report.warn(
                "an erasure was cut off after its key was gone; the next start finishes it",
                format!("keeper.db request ({keyless})"),
            );
        }
        Ok(())
    }

    /// Prekeys and the keys of the counters' periods, and keys that wrap nothing.
    fn other_secrets(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let Some(kek) = &self.kek else { return Ok(()) };
        for (sql, name) in [
            ("SELECT id, seed FROM prekey", "keeper.db prekey"),
            ("SELECT name, secret FROM period_key", "keeper.db period_key"),
        ] {
            let mut statement = db.prepare(sql)?;
            let mut rows = statement.query([])?;
            let (mut torn, mut keyless) = (0_u64, 0_u64);
            while let Some(row) = rows.next()? {
                let (id, wrapped): (KekName, Vec<u8>) = (row.get(0)?, row.get(1)?);
                self.used.insert(id);
                match kek.unwrap(&id, &wrapped) {
                    Ok(_secret) => {}
                    // Old ones go from the table first.
                    Err(KekError::Unknown) => keyless = keyless.saturating_add(1),
                    Err(_torn) => torn = torn.saturating_add(1),
                }
            }
            if torn > 0 {
                self.report.fail("secrets of the database do not open under their keys", format!("{name} ({torn})"));
            }
            if keyless > 0 {
                self.report.warn(
                    "the key of a secret is gone and its row is not; the row goes next",
                    format!("{name} ({keyless})"),
                );
            }
        }
        if kek.names().any(|name| !self.used.contains(name)) {
            self.report.warn("a key-encryption key wraps nothing; the next start removes it", "kek");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lockplate_core::entry::{DeclarationLeaf, Genesis, HumanApprovalLeaf, HumanDecision, SaltedDigests, Stamped};
    use lockplate_core::id::AgencyId;
    use lockplate_core::vocabulary::DeclarationName;
    use lockplate_log::{Log, NoteSigner, Origin};
    use lockplate_store::log_files::FileLogStorage;

    use super::*;
    use crate::doctor::{Role, Severity};
    use crate::rng::SystemRng;

    const ORIGIN: &str = "clerk.example/log/keeper";

    fn decision(request: u8, decision: HumanDecision) -> LogEntry {
        LogEntry::Approval(HumanApprovalLeaf {
            request: [request; 32],
            policy: [0; 32],
            request_index: 0,
            decision,
            opened: true,
            reason: None,
            sd: SaltedDigests::new(vec![[1; 32], [2; 32], [3; 32], [4; 32]]).unwrap(),
        })
    }

    fn declaration(object: u8, change: DeclarationChange) -> LogEntry {
        LogEntry::Declaration(DeclarationLeaf {
            owner: AgencyId([1; 16]),
            agency: AgencyId([2; 16]),
            declaration: DeclarationName::Ct2614,
            change,
            object: [object; 32],
            valid_from: Timestamp(0),
            valid_until: Timestamp(9),
        })
    }

    /// The report on a keeper's real log of these entries after its genesis.
    fn report_of(entries: Vec<LogEntry>) -> Report {
        let data = tempfile::tempdir().unwrap();
        let signer = NoteSigner::new(Origin::parse(ORIGIN).unwrap(), &[3; 32]).unwrap();
        let key = signer.verifier_key().clone();
        let storage = FileLogStorage::acquire(&data.path().join("log"), key.name()).unwrap();
        let mut log = Log::create(storage, signer).unwrap();
        let genesis = LogEntry::Genesis(Genesis { party: [0; 16], role: LogKind::Keeper, charter: [0; 32] });
        let stamped = core::iter::once(genesis)
            .chain(entries)
            .map(|entry| Stamped::new(entry, LogKind::Keeper, ORIGIN, Timestamp(1), &mut SystemRng).unwrap())
            .collect();
        drop(log.append_batch(stamped).unwrap());
        let head = log.head().clone();
        log.publish(&head, &[]).unwrap();
        let (mut report, mut logged) = (Report::new(Role::Keeper), Logged::default());
        let folder = data.path().join("log").join(folder_name(&key));
        let check =
            LogCheck { dir: data.path(), folder: &folder, key: Some(&key), kind: LogKind::Keeper, now: Timestamp(9) };
        assert!(check.run(&mut report, |index, entry| logged.take(index, entry)), "{:?}", report.findings);
        logged.tell(&mut report);
        report
    }

    #[test]
    fn two_decisions_on_one_request_are_a_failure_and_on_two_are_none() {
        let twice = vec![
            decision(7, HumanDecision::Approve),
            decision(8, HumanDecision::Approve),
            decision(7, HumanDecision::Approve),
        ];
        let report = report_of(twice);
        let failed = report.findings.iter().find(|finding| finding.severity == Severity::Failed).unwrap();
        assert!(failed.place.contains(&"07".repeat(32)) && failed.place.ends_with("entry 3"), "{failed:?}");
        let once = vec![decision(7, HumanDecision::Approve), decision(8, HumanDecision::Approve)];
        assert_eq!(report_of(once).worst(), Severity::Ok);
    }

    #[test]
    fn a_declaration_filed_twice_is_a_warning_unless_it_was_withdrawn_between() {
        let file = || declaration(7, DeclarationChange::File);
        let report = report_of(vec![file(), declaration(8, DeclarationChange::File), file()]);
        let told = report.findings.iter().find(|finding| finding.severity == Severity::Warning).unwrap();
        assert_eq!(report.worst(), Severity::Warning);
        assert!(told.place.contains(&"07".repeat(32)) && told.place.ends_with("entry 3"), "{told:?}");
        let withdrawn = report_of(vec![file(), declaration(7, DeclarationChange::Withdraw), file()]);
        assert_eq!(withdrawn.worst(), Severity::Ok, "{:?}", withdrawn.findings);
    }
}
