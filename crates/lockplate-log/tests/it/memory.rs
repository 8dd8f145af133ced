//! The double of the storage: two maps, what a reader sees and what a power cut leaves, and one call that strikes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use lockplate_log::{Entry, LogStorage, NoteSigner, Origin, StagingName, StorageFault, TilePath};

/// What happens at the call that strikes. It always returns an error; the process is then gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    /// The call does nothing.
    Before,
    /// The call is done and durable.
    After,
    /// The call is done, the next process sees it, and a power cut takes it back: a failed fsync.
    Cached,
}

#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Files {
    pub(crate) head: Option<Vec<u8>>,
    pub(crate) published: Option<Vec<u8>>,
    pub(crate) tiles: BTreeMap<TilePath, Vec<u8>>,
    pub(crate) staging: BTreeMap<StagingName, Vec<u8>>,
}

#[derive(Default, Debug)]
pub(crate) struct Disk {
    /// What readers see.
    pub(crate) seen: Files,
    /// What a power cut leaves.
    pub(crate) stable: Files,
    /// Writing calls made by the running process.
    pub(crate) writes: usize,
    /// The writing call (counted from 0) that strikes.
    pub(crate) plan: Option<(usize, Strike)>,
    /// Set once struck: a write after that is a broken promise.
    pub(crate) struck: bool,
}

/// A storage on a disk that outlives it, as a process does not.
#[derive(Clone, Default, Debug)]
pub(crate) struct Memory(pub(crate) Rc<RefCell<Disk>>);

impl Memory {
    /// Another process on the same disk, which will be struck or not.
    pub(crate) fn restart(&self, plan: Option<(usize, Strike)>) -> Self {
        let mut disk = self.0.borrow_mut();
        disk.writes = 0;
        disk.struck = false;
        disk.plan = plan;
        Self(Rc::clone(&self.0))
    }

    pub(crate) fn cut_power(&self) {
        let mut disk = self.0.borrow_mut();
        disk.seen = disk.stable.clone();
    }

    pub(crate) fn was_struck(&self) -> bool {
        self.0.borrow().struck
    }

    /// Changes the disk behind the log's back.
    pub(crate) fn tamper(&self, change: impl Fn(&mut Files)) {
        let mut disk = self.0.borrow_mut();
        change(&mut disk.seen);
        change(&mut disk.stable);
    }

    fn write(&self, change: impl Fn(&mut Files)) -> Result<(), StorageFault> {
        let mut disk = self.0.borrow_mut();
        assert!(!disk.struck, "a log wrote after a failed write");
        let number = disk.writes;
        disk.writes += 1;
        match disk.plan {
            Some((at, strike)) if at == number => {
                disk.struck = true;
                if strike != Strike::Before {
                    change(&mut disk.seen);
                }
                if strike == Strike::After {
                    change(&mut disk.stable);
                }
                Err(StorageFault::Io)
            }
            _ => {
                change(&mut disk.seen);
                change(&mut disk.stable);
                Ok(())
            }
        }
    }
}

impl LogStorage for Memory {
    fn read_head(&self) -> Result<Option<Vec<u8>>, StorageFault> {
        Ok(self.0.borrow().seen.head.clone())
    }
    fn replace_head(&mut self, bytes: &[u8]) -> Result<(), StorageFault> {
        self.write(|files| files.head = Some(bytes.to_vec()))
    }
    fn read_published(&self) -> Result<Option<Vec<u8>>, StorageFault> {
        Ok(self.0.borrow().seen.published.clone())
    }
    fn replace_published(&mut self, bytes: &[u8]) -> Result<(), StorageFault> {
        self.write(|files| files.published = Some(bytes.to_vec()))
    }
    fn read_tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, StorageFault> {
        Ok(self.0.borrow().seen.tiles.get(&path).cloned())
    }
    fn create_tile(&mut self, path: TilePath, bytes: &[u8]) -> Result<(), StorageFault> {
        if self.0.borrow().seen.tiles.get(&path).is_some_and(|existing| existing != bytes) {
            return Err(StorageFault::Conflict);
        }
        self.write(|files| {
            files.tiles.insert(path, bytes.to_vec());
        })
    }
    fn list_staging(&self) -> Result<Vec<StagingName>, StorageFault> {
        Ok(self.0.borrow().seen.staging.keys().copied().collect())
    }
    fn read_staging(&self, name: StagingName) -> Result<Option<Vec<u8>>, StorageFault> {
        Ok(self.0.borrow().seen.staging.get(&name).cloned())
    }
    fn write_staging(&mut self, name: StagingName, bytes: &[u8]) -> Result<(), StorageFault> {
        self.write(|files| {
            files.staging.insert(name, bytes.to_vec());
        })
    }
    fn remove_staging(&mut self, name: StagingName) -> Result<(), StorageFault> {
        self.write(|files| {
            files.staging.remove(&name);
        })
    }
}

/// An entry: its time, then a text that depends on its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) time: u64,
    pub(crate) number: usize,
}

pub(crate) fn said(number: usize) -> Said {
    Said { time: 1_000 + number as u64 / 3, number }
}

impl Entry for Said {
    fn leaf(&self) -> Vec<u8> {
        let mut leaf = self.time.to_be_bytes().to_vec();
        leaf.extend_from_slice(format!("{}", self.number).repeat(1 + self.number % 5).as_bytes());
        leaf
    }
    fn time(&self) -> u64 {
        self.time
    }
}

pub(crate) fn leaf_time(leaf: &[u8]) -> Option<u64> {
    leaf.first_chunk::<8>().map(|time| u64::from_be_bytes(*time))
}

pub(crate) const ORIGIN: &str = "clerk.millbrook.example/log/keeper";
/// Any time after all entries.
pub(crate) const NOW: u64 = 1_000_000_000;

pub(crate) fn signer() -> NoteSigner {
    NoteSigner::new(Origin::parse(ORIGIN).unwrap(), &[7; 32]).unwrap()
}
