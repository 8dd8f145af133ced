//! What is kept of a search: evidence packages that a stranger checks without the network, and holds for a records custodian.

use std::os::unix::fs::PermissionsExt as _;

use lockplate_core::entry::HoldLeaf;
use lockplate_core::hold::HoldClaim;
use lockplate_core::package::PackageFault;
use lockplate_node::api::HoldMade;
use lockplate_node::founding::{CaseKeyCard, make_case_key, read_case_key};
use lockplate_node::search::{HoldFile, Keep, Kept, open_hold};
use lockplate_node::verify::package::{self, CheckedPackage, PackageError};
use lockplate_node::verify::receipt::ReceiptFault;

use super::*;

impl Town {
    async fn keep(&self, digest: &[u8; 32], keep: Keep<'_>) -> Result<Fetched, SearchFault> {
        self.searcher().fetch_kept(&self.officer, digest, PATIENCE, keep, &mut |_| {}).await
    }

    async fn package(&self, asked: &Asked) -> PathBuf {
        let digest = self.file(asked).await;
        let folder = self.folder.path().join(format!("package-{}", hex::encode(&digest[..4])));
        let kept = self.keep(&digest, Keep::Package { folder: &folder }).await.unwrap().kept;
        let Some(Kept::Package { folder: written, .. }) = kept else { panic!("a package: {kept:?}") };
        assert_eq!(written, folder);
        folder
    }

    fn check(&self, bytes: &[u8]) -> Result<CheckedPackage, PackageError> {
        package::check(bytes, &self.charter, NOW + 700)
    }

    /// The officer with a supervisor beside him.
    fn with_supervisor(&self) -> Officer {
        Officer {
            key: SigningKey::from_seed(&self.officer.key.to_seed()),
            agency: self.officer.agency,
            passcode: self.officer.passcode.clone(),
            seconds: vec![SigningKey::from_seed(&self.supervisor.to_seed())],
        }
    }

    async fn file_hold(&self) -> [u8; 32] {
        let asked = Asked { hold: true, ..self.ask(PLATE) };
        self.searcher().file(&self.with_supervisor(), &asked, &mut SystemRng).await.unwrap().request_digest
    }

    async fn holds(&self) -> Vec<HoldLeaf> {
        let leaves = Self::leaves(&self.public(), "desk").await;
        let known = leaves.iter().filter_map(|leaf| match parse_leaf(leaf).unwrap() {
            Leaf::Known(stamped) => match stamped.entry() {
                LogEntry::Hold(leaf) => Some(leaf.clone()),
                _ => None,
            },
            Leaf::Unknown(_) => None,
        });
        known.collect()
    }
}

fn case_key(folder: &Path) -> (PathBuf, CaseKeyCard) {
    let path = folder.join("case.key");
    let card = make_case_key(&path, "Records, Millbrook", &mut SystemRng).unwrap();
    (path, card)
}

fn altered(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1).into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_is_checked_without_the_network_and_no_byte_of_it_can_be_changed() {
    let town = Town::new().await;
    let folder = town.package(&town.ask(PLATE)).await;
    assert!(town.searcher().pending().unwrap().is_empty(), "kept, then forgotten");
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["index.html", "package.json"]);
    for path in [folder.clone(), folder.join("index.html"), folder.join("package.json")] {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} is its maker's alone", path.display());
    }
    let elsewhere = files_with(town.folder.path(), PLATE);
    assert!(elsewhere.iter().all(|path| path.starts_with(&folder)) && elsewhere.len() == 2, "{elsewhere:?}");

    let bytes = std::fs::read(folder.join("package.json")).unwrap();
    let page = std::fs::read(folder.join("index.html")).unwrap();
    let good = town.check(&bytes).unwrap();
    let lines: Vec<_> =
        good.package.reads.iter().map(|read| (read.time.as_str(), read.camera, read.plate.as_str())).collect();
    assert_eq!(lines, [("2026-11-22T09:01:00.000Z", 1, PLATE), ("2026-11-22T10:01:10.000Z", 2, PLATE)]);
    assert!(good.checked.replayed && good.checked.held.is_none() && good.checked.disclosure.is_some());
    assert!(good.checked.approvers.len() >= 2 && good.checked.approvers.iter().all(|one| !one.by_person));
    assert!(good.rules.iter().all(|rule| rule.say.is_some()) && !good.confirmed_by.is_empty());
    assert!(good.checked.keep_until >= Timestamp(NOW + 90 * DAY), "{:?}", good.checked.keep_until);
    good.check_page(&page).unwrap();
    let shown = String::from_utf8(page.clone()).unwrap();
    for needed in [PLATE, "26-1234", "grey van", "Keeper 1", "2026-11-22 09:01:00.000", "not legal advice", "2 periods"]
    {
        assert!(shown.contains(needed), "{needed}");
    }
    assert!(!shown.contains("<script") && !shown.contains("http://"));

    // The page: a number, a time, a space.
    for (from, to) in [("2 periods", "3 periods"), ("09:01:00", "09:02:00"), ("</p>", "</p> ")] {
        let refused = good.check_page(&altered(&page, from, to)).unwrap_err();
        assert_eq!(refused, PackageError::Page);
    }
    // Fields that people read, and the rules.
    let package = |fault| Some(PackageError::Package(fault));
    let refused = |from: &str, to: &str| town.check(&altered(&bytes, from, to)).err();
    assert_eq!(refused("2026-11-22T09:01:00.000Z", "2026-11-22T09:01:01.000Z"), package(PackageFault::Reads));
    assert_eq!(refused("\"plate\":\"AB12345\"", "\"plate\":\"AB12346\""), package(PackageFault::Reads));
    assert_eq!(refused("\"camera\":1,", "\"camera\":3,"), package(PackageFault::Reads));
    assert_eq!(refused("\"maker\":\"lockplate", "\"maker\":\"somebody"), package(PackageFault::Signature));
    assert_eq!(refused("\"path\":\"00-base.cedar\"", "\"path\":\"ct.cedar\""), Some(PackageError::Rules));
    // Every kind of content, wherever a byte falls: charter, request, receipts, buckets, keys, signature.
    let step = bytes.len() / 150;
    for at in (0..bytes.len()).step_by(step) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(town.check(&changed).is_err(), "byte {at} of {}", bytes.len());
    }
    for field in
        ["bundle", "charter", "filed", "statement", "grant", "disclosure", "receipts", "header", "close", "proof"]
    {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some(at) = text.find(&format!("\"{field}\":")) else { continue };
        let mut changed = bytes.clone();
        let inside = at + field.len() + 40;
        changed[inside] = if changed[inside] == b'A' { b'B' } else { b'A' };
        assert!(town.check(&changed).is_err(), "{field}");
    }
    // A receipt of another entry.
    let mut swapped = good.package.clone();
    swapped.receipts[0] = swapped.receipts[1].clone();
    let swapped = swapped.sign(&town.officer.key).unwrap().to_bytes().unwrap();
    assert_eq!(town.check(&swapped).err(), package(PackageFault::Missing));
    // No rules came along: then they are not asked again, and that is said.
    let mut bare = good.package.clone();
    bare.rules.clear();
    let bare = town.check(&bare.sign(&town.officer.key).unwrap().to_bytes().unwrap()).unwrap();
    assert!(!bare.checked.replayed && bare.page().unwrap().contains("were not asked again"));

    // Nothing found.
    let folder = town.package(&town.ask(NOBODY)).await;
    let bytes = std::fs::read(folder.join("package.json")).unwrap();
    let none = town.check(&bytes).unwrap();
    assert!(none.package.reads.is_empty() && none.package.buckets.is_empty());
    assert!(none.page().unwrap().contains("this package cannot prove it to others"));

    // A register that shows its receipt altered, or none: nothing is written, and the request stands.
    let digest = town.file(&town.ask(PLATE)).await;
    let spoilt = town.folder.path().join("spoilt");
    town.archive.lie(|path, honest| {
        let mut told = honest.to_vec();
        if path.starts_with("/log/recorder/receipt/") {
            let at = told.len() / 2;
            told[at] ^= 1;
        }
        told.into()
    });
    let fault = town.keep(&digest, Keep::Package { folder: &spoilt }).await.unwrap_err();
    assert!(matches!(fault, SearchFault::Lied { who: Liar::Owner, .. }), "{fault:?}");
    assert!(!spoilt.exists());
    town.archive.be_honest();
    town.keep(&digest, Keep::Package { folder: &spoilt }).await.unwrap();
    assert!(spoilt.join("index.html").exists());

    // A folder that holds something is left as it is, and the request stands.
    let digest = town.file(&town.ask(PLATE)).await;
    let (taken, notes) = (town.folder.path().join("taken"), town.folder.path().join("taken/notes"));
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(&notes, "mine").unwrap();
    let fault = town.keep(&digest, Keep::Package { folder: &taken }).await.unwrap_err();
    assert!(matches!(fault, SearchFault::File(_)), "{fault:?}");
    assert_eq!(std::fs::read_dir(&taken).unwrap().count(), 1);
    std::fs::remove_file(&notes).unwrap();
    town.keep(&digest, Keep::Package { folder: &taken }).await.unwrap();
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_shows_the_person_and_the_court_paper() {
    let town = Town::new().await;
    let paper = town.warrant();
    let asked = Asked {
        purpose: Purpose::CrimeInvestigation,
        basis: Basis::SearchWarrant,
        authorisation: Some(paper.auth.clone()),
        disclosures: paper.disclosures.iter().cloned().map(Zeroizing::new).collect(),
        ..town.ask(PLATE)
    };
    let digest = town.file(&asked).await;
    let status = town.status(&digest, DeskState::WaitingForHuman).await;
    let waiting = status.keepers.iter().position(|keeper| {
        keeper.answer.as_ref().is_some_and(|answer| answer.state == lockplate_node::api::AnswerState::Waiting)
    });
    let place = waiting.unwrap();
    let socket = town.keeper_settings[place].admin_socket();
    let human = statement_signer(&town.folder.path().join(format!("human-{}.pem", place + 1))).unwrap();
    admin::decide(&socket, &hex::encode(&digest[..4]), Verdict::Approve, &human, Timestamp(NOW + 600)).await.unwrap();
    let folder = town.folder.path().join("package");
    town.keep(&digest, Keep::Package { folder: &folder }).await.unwrap();
    let checked = town.check(&std::fs::read(folder.join("package.json")).unwrap()).unwrap();
    let by_person: Vec<_> = checked.checked.approvers.iter().filter(|one| one.by_person).collect();
    assert!(by_person.len() == 1 && usize::from(by_person[0].keeper.0) == place + 1);
    assert!(checked.checked.judicial);
    let page = checked.page().unwrap();
    assert!(page.contains("a person of this keeper") && page.contains("counted as signed by a judge"));
    // The entry of the person alone does not show what was asked.
    let mut without = checked.package.clone();
    let request = without.receipts.iter().position(|receipt| {
        let receipt = lockplate_log::Receipt::parse(&receipt.0).unwrap();
        let leaf = receipt.leaf().unwrap().to_vec();
        request_outcome(&leaf).is_some_and(|said| said.decision == lockplate_core::entry::RequestDecision::Ask)
    });
    without.receipts.remove(request.unwrap());
    let without = without.sign(&town.officer.key).unwrap().to_bytes().unwrap();
    assert_eq!(town.check(&without).err(), Some(PackageError::Package(PackageFault::Missing)));
    town.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_is_logged_before_it_is_written_and_opens_for_the_custodian_until_its_end() {
    let town = Town::new().await;
    let (key, card) = case_key(town.folder.path());
    let case_key = card.public_key().unwrap();
    let held = town.folder.path().join("held");
    std::fs::create_dir(&held).unwrap();
    let hold = Keep::Hold { folder: &held, case_key: &case_key, until: None };

    // Without a supervisor the rules of holds refuse, by name.
    let alone = town.file(&Asked { hold: true, ..town.ask(PLATE) }).await;
    let fault = town.fetch(&alone, PATIENCE).await.unwrap_err();
    assert!(matches!(fault, SearchFault::Usage(_)), "a hold is not shown: {fault:?}");
    let SearchFault::Refused(refusals) = town.keep(&alone, hold).await.unwrap_err() else { panic!("refused") };
    assert!(refusals.iter().all(|one| one.reasons.iter().any(|reason| reason.rule == "base.hold")), "{refusals:?}");
    // A search is not held.
    let search = town.file(&town.ask(PLATE)).await;
    assert!(matches!(town.keep(&search, hold).await, Err(SearchFault::Usage(_))));

    let digest = town.file_hold().await;
    // Longer than the charter lets; then the folder is not there: the hold is logged, and the next try finds its entry.
    let latest = NOW + 600 + 366 * DAY;
    let far = Keep::Hold { folder: &held, case_key: &case_key, until: Some(Timestamp(latest + 2 * DAY)) };
    assert!(matches!(town.keep(&digest, far).await, Err(SearchFault::Usage(_))));
    assert!(town.holds().await.is_empty());
    let missing = town.folder.path().join("missing");
    let nowhere = Keep::Hold { folder: &missing, case_key: &case_key, until: None };
    assert!(matches!(town.keep(&digest, nowhere).await, Err(SearchFault::File(_))));
    let other = case_key_of_another();
    let wrong = Keep::Hold { folder: &held, case_key: &other, until: None };
    assert!(matches!(town.keep(&digest, wrong).await, Err(SearchFault::Usage(_))), "one hold a request");
    let fetched = town.keep(&digest, hold).await.unwrap();
    let kept = fetched.kept.clone();
    let Some(Kept::Hold(HoldFile { path, until, register, cells })) = kept else { panic!("{kept:?}") };
    assert_eq!((cells, fetched.cells), (2, 2));
    assert!((latest..latest + 60).contains(&until.0), "{until:?}");
    let holds = town.holds().await;
    let [leaf] = holds.as_slice() else { panic!("{holds:?}") };
    assert_eq!((leaf.request, leaf.grant, leaf.cells, leaf.until), (digest, fetched.grant_digest, 2, until));
    assert!(matches!(town.fetch(&digest, PATIENCE).await, Err(SearchFault::File(_))), "kept, then forgotten");

    // One sealed file; neither plate nor case number in it or in its name, nor anywhere else.
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with("hold-") && name.ends_with(".sealed") && !name.contains("26-1234"));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    for private in [PLATE, "26-1234", "grey van"] {
        assert_eq!(files_with(town.folder.path(), private), [] as [PathBuf; 0], "{private}");
    }
    let file = std::fs::read(&path).unwrap();
    let secret = read_case_key(&key).unwrap();
    let (head, bytes) = open_hold(&file, &secret, Timestamp(until.0 - 1)).unwrap();
    assert_eq!((head.register, head.request_digest), (register, digest));
    let checked = town.check(&bytes).unwrap();
    assert_eq!(checked.checked.held.map(|held| (held.until, held.register)), Some((until, Some(register))));
    assert_eq!(checked.package.reads.len(), 2);
    assert!(checked.page().unwrap().contains("Held as evidence until"));
    let over = open_hold(&file, &secret, until).unwrap_err();
    assert!(matches!(over, SearchFault::Over) && over.exit_kind().code() == 8);
    let stranger = town.folder.path().join("stranger.key");
    make_case_key(&stranger, "Somebody", &mut SystemRng).unwrap();
    assert!(matches!(open_hold(&file, &read_case_key(&stranger).unwrap(), until), Err(SearchFault::File(_))));
    assert!(matches!(open_hold(b"some other file", &secret, until), Err(SearchFault::File(_))));
    let mut altered = file.clone();
    *altered.last_mut().unwrap() ^= 1;
    for bad in [altered.as_slice(), &file[..file.len() - 1], &file[..20]] {
        let fault = open_hold(bad, &secret, Timestamp(until.0 - 1)).unwrap_err();
        assert!(matches!(fault, SearchFault::Lied { who: Liar::Holder, .. }), "{fault:?}");
    }
    for place in 0..3 {
        let leaves = town.keeper_leaves(place).await;
        let of_hold = leaves.iter().filter_map(|leaf| match parse_leaf(leaf).unwrap() {
            Leaf::Known(stamped) => match stamped.entry() {
                LogEntry::Request(leaf) if leaf.request == digest => Some(leaf.action.name()),
                _ => None,
            },
            Leaf::Unknown(_) => None,
        });
        assert!(of_hold.into_iter().all(|action| action == "holdEvidence"));
    }

    // The desk believes no claim that is not the officer's, and logs nothing longer than the charter lets.
    let (door, made) = town.archive.posted("/hold");
    let made: HoldMade = serde_json::from_slice(&made).unwrap();
    let again: DisclosureLogged = town.public().post_json(&door, &made, None).await.unwrap();
    assert_eq!(again.register, register);
    let claim = Signed::<HoldClaim>::from_bytes(&made.claim.0).unwrap().claimed().clone();
    for (forged, expected) in [
        (town.supervisor.sign(claim.clone()).to_bytes(), ProblemKind::Invalid),
        (town.officer.key.sign(HoldClaim { cells: 3, ..claim }).to_bytes(), ProblemKind::Conflicting),
        (Vec::new(), ProblemKind::Malformed),
    ] {
        let answer =
            town.public().post_json::<_, DisclosureLogged>(&door, &HoldMade { claim: B64(forged) }, None).await;
        assert!(matches!(&answer, Err(PeerError::Problem(p)) if p.kind() == expected), "{answer:?}");
    }
    assert_eq!(town.holds().await.len(), 1);

    // Nothing found is nothing to hold; and a hold comes too late when the keys are gone.
    let nobody = Asked { hold: true, ..town.ask(NOBODY) };
    let nobody = town.searcher().file(&town.with_supervisor(), &nobody, &mut SystemRng).await.unwrap().request_digest;
    let fetched = town.keep(&nobody, hold).await.unwrap();
    let kept = fetched.kept.clone();
    assert!(kept.is_none() && fetched.is_no_match());
    town.clock.advance(Duration::from_secs(RETENTION));
    let late = async {
        loop {
            let late = town.file_hold().await;
            match town.keep(&late, hold).await {
                Err(SearchFault::Gone) => break,
                // Shares go one after the other.
                Ok(_) | Err(SearchFault::Unavailable(_) | SearchFault::Waiting(_) | SearchFault::Refused(_)) => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(fault) => panic!("{fault:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, late).await.expect("destroyed is said");
    town.end().await;
}

/// The duties of the rules: an officer who wishes for ten years of silence gets what `@notice` says, in every keeper's log, and
/// the package ends when `@retain` says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notice_and_retention_are_those_of_the_rules_whatever_the_officer_wishes() {
    let town = Town::new().await;
    let mut asked = town.ask(PLATE);
    asked.embargo_s = 3_650 * DAY;
    let bytes = std::fs::read(town.package(&asked).await.join("package.json")).unwrap();
    let checked = town.check(&bytes).unwrap().checked;
    let mut decided = Vec::new();
    for place in 0..3 {
        for leaf in town.keeper_leaves(place).await {
            let parsed = parse_leaf(&leaf).unwrap();
            let time = parsed.time().0;
            if let Leaf::Known(stamped) = parsed
                && let LogEntry::Request(leaf) = stamped.entry()
            {
                let duties = leaf.obligations.unwrap();
                assert_eq!((duties.notice_days, duties.retain_days), (180, 90), "the base pack's");
                assert_eq!(leaf.embargo, Timestamp(time + 180 * DAY), "keeper {}", place + 1);
                decided.push(time);
            }
        }
    }
    assert_eq!(decided.len(), 3);
    let ends: Vec<_> = decided.iter().map(|time| Timestamp(time + 90 * DAY)).collect();
    assert!(ends.contains(&checked.keep_until), "{:?} {ends:?}", checked.keep_until);
    // A shorter wish is the officer's to make.
    asked.embargo_s = 2 * DAY;
    let digest = town.file(&asked).await;
    town.fetch(&digest, PATIENCE).await.unwrap();
    let leaves = town.keeper_leaves(0).await;
    let embargoes = leaves.iter().filter_map(|leaf| match parse_leaf(leaf).unwrap() {
        Leaf::Known(stamped) => match stamped.entry() {
            LogEntry::Request(leaf) if leaf.request == digest => Some(leaf.embargo.0),
            _ => None,
        },
        Leaf::Unknown(_) => None,
    });
    assert!(embargoes.max().unwrap() < NOW + 3 * DAY);
}

fn case_key_of_another() -> lockplate_core::envelope::HpkePublicKey {
    lockplate_core::envelope::HpkeSecretKey::random(&mut SystemRng).public_key().unwrap()
}

#[test]
fn what_is_no_package_says_so() {
    assert!(!package::is_package(b"{\"schema\":\"lockplate/evidence/1\"}"));
    assert!(package::is_package(b"{\"schema\":\"lockplate/package/1\"}"));
    assert_eq!(PackageError::Receipt(ReceiptFault::Unconfirmed).to_string(), ReceiptFault::Unconfirmed.to_string());
}
