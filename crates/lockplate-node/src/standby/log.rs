//! A log's files where they are also in the journal. A head, which is the log's commit, is in the journal before anybody hears of it,
//! behind the staging file from which all its tiles can be made again; the tiles themselves and what strangers see follow unhurried.

use std::path::PathBuf;

use lockplate_log::{LogStorage, StagingName, StorageFault, TilePath};
use lockplate_store::log_files::{FaultRecord, FileLogStorage};

use super::record::{LogFileName, LogOf, Piece};
use super::ship::Shipper;

/// Ships the files of one log.
#[derive(Clone, Debug)]
pub struct LogShip {
    shipper: Shipper,
    log: LogOf,
}

impl LogShip {
    /// For the log `log`.
    #[must_use]
    pub const fn new(shipper: Shipper, log: LogOf) -> Self {
        Self { shipper, log }
    }

    fn later(&self, file: LogFileName, bytes: &[u8]) {
        self.shipper.later(Piece::log_file(self.log, file, bytes));
    }
}

/// The files of an agency's log, shipped where the agency has a standby.
#[derive(Debug)]
pub struct PartyStorage {
    files: FileLogStorage,
    ship: Option<LogShip>,
}

impl PartyStorage {
    pub(crate) const fn new(files: FileLogStorage, ship: Option<LogShip>) -> Self {
        Self { files, ship }
    }

    pub(crate) fn public(&self) -> PathBuf {
        self.files.public()
    }

    pub(crate) fn faults(&self) -> FaultRecord {
        self.files.faults()
    }
}

impl LogStorage for PartyStorage {
    fn read_head(&self) -> Result<Option<Vec<u8>>, StorageFault> {
        self.files.read_head()
    }

    fn replace_head(&mut self, bytes: &[u8]) -> Result<(), StorageFault> {
        let Some(ship) = &self.ship else { return self.files.replace_head(bytes) };
        // A base that is being written must find no head that is not in the journal, and none missing that is.
        let _until_it_is_here = ship.shipper.while_heads_stand();
        let pieces = Piece::log_file(ship.log, LogFileName::Head, bytes);
        ship.shipper.ship_blocking(pieces).map_err(|_not_shipped| StorageFault::Io)?;
        self.files.replace_head(bytes)
    }

    fn read_published(&self) -> Result<Option<Vec<u8>>, StorageFault> {
        self.files.read_published()
    }

    fn replace_published(&mut self, bytes: &[u8]) -> Result<(), StorageFault> {
        self.files.replace_published(bytes)?;
        self.ship.iter().for_each(|ship| ship.later(LogFileName::Published, bytes));
        Ok(())
    }

    fn read_tile(&self, path: TilePath) -> Result<Option<Vec<u8>>, StorageFault> {
        self.files.read_tile(path)
    }

    fn create_tile(&mut self, path: TilePath, bytes: &[u8]) -> Result<(), StorageFault> {
        self.files.create_tile(path, bytes)?;
        self.ship.iter().for_each(|ship| ship.later(LogFileName::Tile(path), bytes));
        Ok(())
    }

    fn list_staging(&self) -> Result<Vec<StagingName>, StorageFault> {
        self.files.list_staging()
    }

    fn read_staging(&self, name: StagingName) -> Result<Option<Vec<u8>>, StorageFault> {
        self.files.read_staging(name)
    }

    fn write_staging(&mut self, name: StagingName, bytes: &[u8]) -> Result<(), StorageFault> {
        self.files.write_staging(name, bytes)?;
        self.ship.iter().for_each(|ship| ship.later(LogFileName::Staging(name), bytes));
        Ok(())
    }

    fn remove_staging(&mut self, name: StagingName) -> Result<(), StorageFault> {
        self.files.remove_staging(name)?;
        if let Some(ship) = &self.ship {
            ship.shipper.later(vec![Piece::LogGone { log: ship.log, file: LogFileName::Staging(name) }]);
        }
        Ok(())
    }
}
