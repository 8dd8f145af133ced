//! The journal in the store: one sequence of objects an agency, each made once, by put-if-absent. Whoever makes the next number says so by
//! having made it; whoever finds it taken by another is no longer the one. That is all the fencing there is, and all that is needed: no
//! clock, no lease, no third service.
//!
//! Two things keep a number that was removed from being taken again by somebody who slept through its removal. A record that says who owns
//! the journal is never removed, and the first number that a former owner will try is always such a one. And a standby that takes over
//! looks, after it made its record, whether a base begins beyond it: bases are written before what they replace is removed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lockplate_store::segment_store::is_absent;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use rand_core::Rng as _;

use super::cipher::{Cipher, OBJECT_BYTES_MAX, Place, Run};
use super::record::{Piece, decode, encode};
use crate::rng::SystemRng;

/// Longest wait for one answer of the store.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The store gave no answer that can be used. The caller tries again, or gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// No answer, or one that says to come again.
    Down,
    /// An object is not one of this journal: another key, or damage.
    Foreign,
    /// An object that must be there is not, and the store says so.
    Lost,
    /// The store cannot put an object only if it is absent.
    NotConditional,
    /// A bound was reached: our bug.
    Internal,
}

impl core::fmt::Display for StoreFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Down => "the store of the standby's journal cannot be reached",
            Self::Foreign => {
                "the journal in the store cannot be read: it is damaged, or `keys/standby` is another machine's"
            }
            Self::Lost => {
                "the store has lost a part of the standby's journal: nothing here is touched; restore the store's objects, or let the \
                 other machine go on if it still has its files (docs/standby.md)"
            }
            Self::NotConditional => {
                "the store cannot make an object only where there is none (If-None-Match): a standby is not safe on it"
            }
            Self::Internal => "a record of the journal could not be made: internal error, our bug",
        })
    }
}

impl core::error::Error for StoreFault {}

/// What came of a try to make a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is there, with these bytes.
    Mine,
    /// Somebody else's is there.
    Taken,
}

/// A record read.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// Who wrote it.
    pub run: Run,
    /// What it says.
    pub pieces: Vec<Piece>,
}

/// The journal and the bases of one agency. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    cipher: Cipher,
}

impl Journal {
    /// Below `prefix` of a store.
    #[must_use]
    pub const fn new(store: Arc<dyn ObjectStore>, prefix: Path, cipher: Cipher) -> Self {
        Self { store, prefix, cipher }
    }

    fn folder(&self, name: &'static str) -> Path {
        self.prefix.clone().join(name)
    }

    fn numbered(&self, name: &'static str, number: u64) -> Path {
        self.folder(name).join(format!("{number:020}"))
    }

    fn part(&self, base: u64, run: Run, part: u32) -> Path {
        self.numbered("parts", base).join(format!("{}-{part:06}", hex::encode(run.0)))
    }

    /// Makes an object only if there is none: one try.
    async fn make(&self, path: &Path, object: &Bytes) -> Result<Claimed, StoreFault> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = self.store.put_opts(path, PutPayload::from_bytes(object.clone()), options);
        match tokio::time::timeout(ANSWER_MAX, put).await.map_err(|_elapsed| StoreFault::Down)? {
            Ok(_made) => Ok(Claimed::Mine),
            // Mine, if an earlier try's answer was lost.
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                let there = self.get(path).await?;
                Ok(if there.as_ref() == Some(object) { Claimed::Mine } else { Claimed::Taken })
            }
            Err(StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }) => Err(StoreFault::NotConditional),
            Err(error) => {
                tracing::debug!(error = kind(&error), "the store did not take a record of the journal");
                Err(StoreFault::Down)
            }
        }
    }

    async fn get(&self, path: &Path) -> Result<Option<Bytes>, StoreFault> {
        let get = async {
            let found = self.store.get(path).await?;
            let bound = u64::try_from(OBJECT_BYTES_MAX).unwrap_or(u64::MAX);
            if found.meta.size > bound { Ok(None) } else { found.bytes().await.map(Some) }
        };
        match tokio::time::timeout(ANSWER_MAX, get).await.map_err(|_elapsed| StoreFault::Down)? {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => Err(StoreFault::Foreign),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => {
                tracing::debug!(error = kind(&error), "the store did not give an object of the journal");
                Err(StoreFault::Down)
            }
        }
    }

    /// Whether the store makes an object only where there is none.
    ///
    /// # Errors
    /// [`StoreFault::NotConditional`] where it does not; [`StoreFault::Down`] where it does not answer.
    pub async fn probe(&self) -> Result<(), StoreFault> {
        let mut name = [0; 16];
        SystemRng.fill_bytes(&mut name);
        let path = self.folder("probe").join(hex::encode(name));
        let first = self.make(&path, &Bytes::from_static(b"first")).await?;
        let second = self.make(&path, &Bytes::from_static(b"second")).await;
        let _tidied = self.store.delete(&path).await;
        match (first, second?) {
            (Claimed::Mine, Claimed::Taken) => Ok(()),
            (Claimed::Mine | Claimed::Taken, _) => Err(StoreFault::NotConditional),
        }
    }

    /// The bytes of a record. They are made once: a repeat of [`Journal::claim`] needs the same.
    ///
    /// # Errors
    /// [`StoreFault::Internal`].
    pub fn record(&self, run: Run, number: u64, pieces: &[Piece]) -> Result<Bytes, StoreFault> {
        let object = self.cipher.encrypt(run, Place::Record(number), &encode(pieces));
        object.map(Bytes::from).filter(|object| object.len() <= OBJECT_BYTES_MAX).ok_or(StoreFault::Internal)
    }

    /// Tries to make record `number`. After an error nobody knows whether it is there: only the same bytes again tell.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub async fn claim(&self, number: u64, object: &Bytes) -> Result<Claimed, StoreFault> {
        self.make(&self.numbered("journal", number), object).await
    }

    /// Record `number`, if it is there.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub async fn read(&self, number: u64) -> Result<Option<Record>, StoreFault> {
        let Some(object) = self.get(&self.numbered("journal", number)).await? else { return Ok(None) };
        let (run, plaintext) = self.cipher.decrypt(Place::Record(number), &object).ok_or(StoreFault::Foreign)?;
        let pieces = decode(&plaintext).ok_or(StoreFault::Foreign)?;
        Ok(Some(Record { run, pieces }))
    }

    /// Numbers below a folder, ascending.
    async fn numbers(&self, name: &'static str) -> Result<Vec<u64>, StoreFault> {
        let folder = self.folder(name);
        let listed = self.store.list(Some(&folder)).try_collect::<Vec<_>>();
        let listed = listed.await.map_err(|error| {
            tracing::debug!(error = kind(&error), "the store did not list the journal");
            StoreFault::Down
        })?;
        let number = |path: &Path| path.filename().filter(|name| name.len() == 20)?.parse::<u64>().ok();
        let mut numbers: Vec<u64> = listed.iter().filter_map(|object| number(&object.location)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Whether there is a record beyond `number`, which is not there: then the store has lost it.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub(super) async fn lacks(&self, number: u64) -> Result<bool, StoreFault> {
        let beyond = self.numbers("journal").await?.last().is_some_and(|last| *last > number);
        // A live owner may have made this one and more since it was looked for.
        Ok(beyond && self.get(&self.numbered("journal", number)).await?.is_none())
    }

    /// The record at which the newest base begins.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub async fn newest_base(&self) -> Result<Option<u64>, StoreFault> {
        Ok(self.numbers("base").await?.pop())
    }

    /// Writes a part of a base.
    ///
    /// # Errors
    /// [`StoreFault`].
    pub(super) async fn put_part(&self, base: u64, run: Run, part: u32, pieces: &[Piece]) -> Result<(), StoreFault> {
        let object =
            self.cipher.encrypt(run, Place::Part { base, part }, &encode(pieces)).ok_or(StoreFault::Internal)?;
        match self.make(&self.part(base, run, part), &Bytes::from(object)).await? {
            Claimed::Mine => Ok(()),
            Claimed::Taken => Err(StoreFault::Foreign),
        }
    }

    /// Reads a part of a base; `None` where a newer base has replaced it.
    pub(super) async fn read_part(&self, base: u64, run: Run, part: u32) -> Result<Option<Vec<Piece>>, StoreFault> {
        let Some(object) = self.get(&self.part(base, run, part)).await? else { return Ok(None) };
        let opened = self.cipher.decrypt(Place::Part { base, part }, &object);
        let (_, plaintext) = opened.filter(|(by, _)| *by == run).ok_or(StoreFault::Foreign)?;
        decode(&plaintext).map(Some).ok_or(StoreFault::Foreign)
    }

    /// Makes a base: from now on it is what a machine begins with. `list` names its parts.
    pub(super) async fn put_list(&self, base: u64, run: Run, list: &[u8]) -> Result<Claimed, StoreFault> {
        let object = self.cipher.encrypt(run, Place::List { base }, list).ok_or(StoreFault::Internal)?;
        if object.len() > OBJECT_BYTES_MAX {
            return Err(StoreFault::Internal);
        }
        self.make(&self.numbered("base", base), &Bytes::from(object)).await
    }

    /// The list of a base's parts.
    pub(super) async fn read_list(&self, base: u64) -> Result<Option<Vec<u8>>, StoreFault> {
        let Some(object) = self.get(&self.numbered("base", base)).await? else { return Ok(None) };
        let (_, list) = self.cipher.decrypt(Place::List { base }, &object).ok_or(StoreFault::Foreign)?;
        Ok(Some(list))
    }

    /// Removes what base `base` replaces: records before it that say nothing of an owner, older bases, and their parts but those that
    /// it goes on to use.
    pub(super) async fn remove_before(
        &self,
        base: u64,
        owners: &BTreeSet<u64>,
        used: &BTreeSet<(u64, Run)>,
    ) -> Result<(), StoreFault> {
        let older = |number: &u64| *number < base;
        let mut gone: Vec<Path> = Vec::new();
        gone.extend(self.numbers("base").await?.into_iter().filter(older).map(|number| self.numbered("base", number)));
        let records = self.numbers("journal").await?.into_iter().filter(older);
        gone.extend(records.filter(|number| !owners.contains(number)).map(|number| self.numbered("journal", number)));
        let folder = self.folder("parts");
        let parts = self.store.list(Some(&folder)).try_collect::<Vec<_>>().await.map_err(|_error| StoreFault::Down)?;
        gone.extend(
            parts
                .into_iter()
                .map(|part| part.location)
                .filter(|part| self.part_of(part).is_some_and(|(of, run)| of < base && !used.contains(&(of, run)))),
        );
        let mut removed = self.store.delete_stream(stream::iter(gone.into_iter().map(Ok)).boxed());
        while let Some(removed) = removed.next().await {
            match removed {
                Ok(_) | Err(StoreError::NotFound { .. }) => {}
                Err(_error) => return Err(StoreFault::Down),
            }
        }
        Ok(())
    }

    /// Base and writing that a part belongs to.
    fn part_of(&self, path: &Path) -> Option<(u64, Run)> {
        let mut names = path.prefix_match(&self.folder("parts"))?;
        let base = names.next()?.as_ref().parse().ok()?;
        let name = names.next()?;
        let (run, _) = name.as_ref().split_once('-')?;
        Some((base, Run(hex::decode(run).ok()?.try_into().ok()?)))
    }
}

/// What an error is, without an address or a name from the store.
fn kind(error: &StoreError) -> &'static str {
    if matches!(error, StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }) {
        "no permission"
    } else {
        "failed"
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
pub(super) mod tests;
