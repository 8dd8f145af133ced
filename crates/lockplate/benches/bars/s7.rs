//! Row S7: the log. How many leaves a second are durable under a signed head when `append_batch` returns, beside a plain file to which the
//! same bytes are written and synced once a batch; and how long it takes to verify a whole log, beside the Go verifier on the same folder.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use super::report::{Bar, Figure, Series};
use super::{Measured, Options, fresh, seconds};
use anyhow::{Context as _, bail};
use lockplate_log::{
    AddCheckpoint, ConsistencyProof, CosignatureSigner, Entry, Error, Log, LogView, NoteSigner, Origin, PolicyGroup,
    PolicyLog, PolicyWitness, Standing, Threshold, WitnessPolicy, consider,
};
use lockplate_store::log_files::{FileLogStorage, folder_reader};

/// A request leaf with sixteen salted digests is about this long.
const LEAF_BYTES: usize = 900;
/// Batch sizes and how many batches one round has.
const BATCHES: [(usize, usize); 4] = [(1, 150), (50, 60), (500, 25), (4_096, 6)];
/// Leaves a second that are asked for, at batches of 500.
const LEAVES_A_SECOND_MIN: f64 = 5_000.0;
const BAR_BATCH: usize = 500;
/// Seconds in which a log of 1,000,000 leaves must be verified.
const VERIFY_SECONDS_MAX: f64 = 20.0;
/// Threads that verify.
const THREADS: u64 = 2;
/// When the leaves were made: before the witnesses' clocks.
const LEAF_TIME: u64 = 1_700_000_000;
const ORIGIN: &str = "clerk.millbrook.example/log/keeper";

/// A leaf of realistic length, each another.
struct Leaf(u64);

impl Entry for Leaf {
    fn leaf(&self) -> Vec<u8> {
        let mut leaf = format!("{{\"nonce\":\"{:022}\",\"text\":\"", self.0);
        // Digests do not repeat, so neither does this.
        let mut state = self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        while leaf.len() < LEAF_BYTES - 2 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            leaf.push(char::from(b'a' + u8::try_from((state >> 40) % 26).unwrap_or(0)));
        }
        leaf.push_str("\"}");
        leaf.into_bytes()
    }
    fn time(&self) -> u64 {
        LEAF_TIME
    }
}

/// The present, because a verifier compares the times of cosignatures with its clock.
fn now() -> anyhow::Result<u64> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).context("a clock before 1970")?.as_secs())
}

fn leaves(from: u64, count: usize) -> Vec<Leaf> {
    (from..).take(count).map(Leaf).collect()
}

fn signer() -> anyhow::Result<NoteSigner> {
    Ok(NoteSigner::new(Origin::parse(ORIGIN)?, &[7; 32])?)
}

fn create(folder: &Path) -> anyhow::Result<Log<FileLogStorage>> {
    Ok(Log::create(FileLogStorage::acquire(folder, &Origin::parse(ORIGIN)?)?, signer()?)?)
}

pub(super) fn measure(options: &Options) -> anyhow::Result<Measured> {
    let mut measured = measure_append(options)?;
    let verified = measure_verify(options)?;
    measured.figures.extend(verified.figures);
    measured.how.extend(verified.how);
    Ok(measured)
}

fn measure_append(options: &Options) -> anyhow::Result<Measured> {
    let rounds = if options.quick { 3 } else { 7 };
    let mut figures = Vec::new();
    for (batch, per_round) in BATCHES {
        let per_round = if options.quick { per_round.div_ceil(3) } else { per_round };
        let (mut ours, mut peers) = (Series::default(), Series::default());
        let folder = options.work.join(format!("append-{batch}"));
        fresh(&folder)?;
        let mut log = create(&folder.join("log"))?;
        let mut plain = File::create(folder.join("plain"))?;
        for _ in 0..rounds {
            // Entries are made outside of the measured time; both sides get the same.
            let first = log.size();
            let batches: Vec<Vec<Leaf>> = (0..per_round)
                .map(|number| leaves(first + u64::try_from(number * batch).unwrap_or(0), batch))
                .collect();
            let bytes: Vec<Vec<u8>> =
                batches.iter().map(|batch| batch.iter().flat_map(Entry::leaf).collect()).collect();
            let count = f64::from(u32::try_from(per_round * batch)?);
            let (mine, ()) = seconds(|| {
                for batch in batches {
                    drop(log.append_batch(batch)?);
                }
                Ok(())
            })?;
            let (peer, ()) = seconds(|| {
                for bytes in &bytes {
                    plain.write_all(bytes)?;
                    plain.sync_all()?;
                }
                Ok(())
            })?;
            ours.0.push(count / mine);
            peers.0.push(count / peer);
        }
        let public = log.storage().public();
        let view = LogView::load(log.head().checkpoint().clone(), folder_reader(&public))?;
        view.verify::<Error>(0..view.bundle_count(), |_, _| Ok(()))?;
        drop(view);
        drop(log);
        std::fs::remove_dir_all(&folder).context("the log that was measured cannot be removed")?;
        figures.push(Figure {
            what: format!("durable in batches of {batch}"),
            unit: "leaves/s",
            ours,
            peer: Some(("file".to_owned(), peers)),
            bar: (batch == BAR_BATCH).then_some(Bar::AtLeast(LEAVES_A_SECOND_MIN)),
        });
    }
    let how = format!(
        "Append: {rounds} rounds in turn; leaves of {LEAF_BYTES} bytes through the file storage, one thread: staged, signed, head replaced, \
         tiles applied, all synced. Peer: the same bytes, one `write` and `fsync` a batch."
    );
    Ok(Measured { figures, how: vec![how] })
}

fn measure_verify(options: &Options) -> anyhow::Result<Measured> {
    let count: u32 = if options.quick { 100_000 } else { 1_000_000 };
    let rounds = if options.quick { 3 } else { 5 };
    let folder = options.work.join("verify");
    fresh(&folder)?;
    let (build, public) = build_log(&folder, u64::from(count))?;
    let reader = folder_reader(&public);
    let policy = WitnessPolicy::parse(&std::fs::read_to_string(public.join("policy"))?)?;
    let ours = || -> anyhow::Result<()> {
        let cosigned = policy.check(&std::fs::read(public.join("checkpoint"))?, now()?)?;
        let view = LogView::load(cosigned.signed.checkpoint().clone(), &reader)?;
        let bundles = view.bundle_count();
        let seen = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let range = bundles * thread / THREADS..bundles * (thread + 1) / THREADS;
                    let view = &view;
                    scope.spawn(move || {
                        let mut seen = 0_u64;
                        view.verify::<Error>(range, |_, _| {
                            seen += 1;
                            Ok(())
                        })
                        .map(|()| seen)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or(Err(Error::Poisoned))).sum::<Result<u64, Error>>()
        })?;
        if seen == u64::from(count) { Ok(()) } else { bail!("{seen} leaves of {count} were seen") }
    };
    let go = || -> anyhow::Result<()> {
        // Without inclusion proofs of single leaves, which ours does not make either: every leaf stands in a proved tile.
        let output = Command::new(&options.go).args(["-proofs", "0"]).arg(&public).output();
        let output = output.context("the Go verifier cannot be started")?;
        if !output.status.success() {
            bail!("the Go verifier refuses our log: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    };
    let has_go = options.go.is_file();
    if !has_go {
        eprintln!("SKIPPED the Go verifier: there is no {}", options.go.display());
    }
    // Once each, unmeasured, so that the page cache is warm for both.
    ours()?;
    if has_go {
        go()?;
    }
    let (mut mine, mut theirs) = (Series::default(), Series::default());
    for _ in 0..rounds {
        mine.0.push(seconds(ours)?.0);
        if has_go {
            theirs.0.push(seconds(go)?.0);
        }
    }
    std::fs::remove_dir_all(&folder).context("the log that was measured cannot be removed")?;
    let most = VERIFY_SECONDS_MAX * f64::from(count) / 1_000_000.0;
    let figure = Figure {
        what: format!("verification of {count} leaves"),
        unit: "s",
        ours: mine,
        peer: has_go.then(|| ("Go".to_owned(), theirs)),
        bar: Some(Bar::AtMost(most)),
    };
    let how = format!(
        "Verification: {rounds} rounds in turn; signatures, quorum, every leaf and every tile, from a folder in the page cache, {THREADS} \
         threads. The bar is {VERIFY_SECONDS_MAX} s for 1,000,000 leaves. Peer: `golang.org/x/mod`, every leaf. The JavaScript and Python verifiers \
         read receipts only. The log was written in {build:.1} s."
    );
    Ok(Measured { figures: vec![figure], how: vec![how] })
}

/// Writes a log, has it cosigned by two witnesses, and puts the trust file beside it: the folder that every verifier reads.
fn build_log(folder: &Path, count: u64) -> anyhow::Result<(f64, std::path::PathBuf)> {
    let (build, mut log) = seconds(|| {
        let mut log = create(&folder.join("log"))?;
        while log.size() < count {
            let batch = usize::try_from((count - log.size()).min(4_096))?;
            drop(log.append_batch(leaves(log.size(), batch))?);
        }
        Ok(log)
    })?;
    let head = log.head().clone();
    let asked = AddCheckpoint::new(&ConsistencyProof::from_parts(0, count, Vec::new())?, &head)?;
    let (mut lines, mut witnesses) = (Vec::new(), Vec::new());
    for (seed, name) in [(8, "court"), (9, "library")] {
        let witness =
            CosignatureSigner::new(Origin::parse(&format!("{name}.millbrook.example/witness"))?, &[seed; 32])?;
        let consistent = consider(&asked, signer()?.verifier_key(), &Standing::default())?;
        let record = consistent.cosign(&witness, now()?, |_| Ok::<(), Error>(()))?;
        lines.push(record.line().clone());
        witnesses.push(PolicyWitness { name: name.to_owned(), key: witness.verifier_key().clone(), url: None });
    }
    log.publish(&head, &lines)?;
    let group = PolicyGroup {
        name: "both".to_owned(),
        threshold: Threshold::All,
        members: witnesses.iter().map(|witness| witness.name.clone()).collect(),
    };
    let logs = vec![PolicyLog { key: signer()?.verifier_key().clone(), url: None }];
    let policy = WitnessPolicy::new(logs, witnesses, vec![group], Some("both".to_owned()))?;
    let public = log.storage().public();
    std::fs::write(public.join("policy"), policy.to_text())?;
    Ok((build, public))
}
