//! Sealing and nothing else: an epoch dealt in memory, and its sealer. What the rows compare with, because it is what no database beside it
//! does, and the floor of ours.

use std::hint::black_box;

use anyhow::Context as _;
use lockplate_core::Timestamp;
use lockplate_core::envelope::HpkeSecretKey;
use lockplate_core::epoch::{EpochKind, EpochPlan, Prekey, ShareReceipt, VerifiedPrekey, deal};
use lockplate_core::id::{AgencyId, KeeperIndex, RecorderId};
use lockplate_core::plate::{Jurisdiction, Plate};
use lockplate_core::read::{Motion, Read, ReadFlags, TimeQuality, Vehicle};
use lockplate_core::seal::Sealer;
use lockplate_core::sign::SigningKey;
use lockplate_node::rng::SystemRng;
use lockplate_oprf::{PrfKey, Secret, Threshold, evaluate, hash_to_group};

use super::plates::plate;
use super::seconds;

/// When the epoch begins, Unix seconds.
const FROM: u64 = 1_790_000_000;

/// The sealer of an epoch whose three keepers are keys in memory.
fn sealer() -> anyhow::Result<Sealer> {
    let rng = &mut SystemRng;
    let keys: Vec<SigningKey> = (1..=3_u8).map(|seed| SigningKey::from_seed(&Secret::new([seed; 32]))).collect();
    let prekeys = keys.iter().map(|key| {
        let public_key = HpkeSecretKey::random(rng).public_key()?;
        let id = key.verify_key().0;
        let prekey = Prekey {
            keeper_key_id: id,
            prekey_id: *id.first_chunk().unwrap_or(&[0; 16]),
            not_before: Timestamp(0),
            not_after: Timestamp(u64::MAX),
            public_key,
        };
        VerifiedPrekey::new(&key.sign(prekey), &key.verify_key(), Timestamp(FROM))
    });
    let prekeys = prekeys.collect::<Result<Vec<_>, _>>()?;
    let plan = EpochPlan {
        agency: AgencyId([1; 16]),
        recorder: RecorderId([2; 16]),
        cap_from: Timestamp(FROM),
        cap_to: Timestamp(FROM + 3_600),
        kind: EpochKind::Live,
        bucket_bits: 10,
        threshold: Threshold::new(2, 3)?,
        charter_hash: [3; 32],
        destroy_after: Timestamp(FROM + 21 * 86_400),
    };
    let dealt = deal(&plan, prekeys, rng)?;
    let header_hash = dealt.header().hash();
    let receipts: Vec<_> = (1..=2_u8)
        .zip(&keys)
        .map(|(index, key)| key.sign(ShareReceipt { header_hash, index: KeeperIndex(index), time: Timestamp(FROM) }))
        .collect();
    let receipted = dealt.receipted(&receipts).map_err(|refused| refused.1)?;
    Ok(Sealer::start(receipted))
}

/// A read of plate number `number`.
pub(super) fn read(number: u64) -> anyhow::Result<Read> {
    Ok(Read {
        source: 1,
        engine_ref: Some(number.to_be_bytes()),
        camera: 7,
        captured_at: i64::try_from(FROM * 1_000)?,
        source_time: None,
        time_quality: TimeQuality::Exact,
        plate: Plate::parse(&plate(number)).context("an invented plate is one")?,
        jurisdiction: Jurisdiction::parse("US-CT"),
        jur_conf: Some(950),
        jurisdiction_trusted: true,
        conf: Some(930),
        vehicle: Vehicle::default(),
        motion: Motion::default(),
        frames: 1,
        flags: ReadFlags::default(),
    })
}

/// Reads a second that so many threads seal, each in an epoch of its own, of plates that are numbered so.
pub(super) fn rate(threads: usize, numbers: &[u64]) -> anyhow::Result<f64> {
    let mut parts = Vec::new();
    for part in numbers.chunks(numbers.len().div_ceil(threads)) {
        parts.push((sealer()?, part.iter().map(|number| read(*number)).collect::<anyhow::Result<Vec<_>>>()?));
    }
    let (took, ()) = seconds(|| {
        std::thread::scope(|scope| {
            let sealing: Vec<_> = parts
                .into_iter()
                .map(|(mut sealer, reads)| {
                    scope.spawn(move || reads.iter().try_for_each(|read| sealer.seal(read, &mut SystemRng).map(drop)))
                })
                .collect();
            for thread in sealing {
                thread.join().map_err(|_panic| anyhow::anyhow!("a sealer panicked"))??;
            }
            Ok(())
        })
    })?;
    Ok(f64::from(u32::try_from(numbers.len())?) / took)
}

/// Microseconds of each step of sealing, one core: what the floor is made of.
pub(super) fn steps() -> anyhow::Result<Vec<(&'static str, f64)>> {
    const TIMES: u64 = 4_000;
    let inputs: Vec<String> = (1..=TIMES).map(plate).collect();
    let key = PrfKey::random(&mut SystemRng);
    let each = |took: f64| took * 1e6 / f64::from(u32::try_from(TIMES).unwrap_or(u32::MAX));
    let (hashing, ()) = seconds(|| {
        for input in &inputs {
            black_box(hash_to_group(input.as_bytes())?);
        }
        Ok(())
    })?;
    let (evaluating, ()) = seconds(|| {
        for input in &inputs {
            black_box(evaluate(&key, input.as_bytes())?);
        }
        Ok(())
    })?;
    let mut sealer = sealer()?;
    let known = read(1)?;
    let (cells, ()) = seconds(|| {
        for _ in 0..TIMES {
            black_box(sealer.seal(&known, &mut SystemRng)?);
        }
        Ok(())
    })?;
    Ok(vec![
        ("a plate hashed to the curve", each(hashing)),
        ("the same, multiplied by the key and encoded: what a plate new to its epoch costs", each(evaluating)),
        ("a cell of a plate that the epoch knows", each(cells)),
    ])
}
