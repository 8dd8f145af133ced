//! A role's own log between its folder and its first signature: taken up from the disk, or not begun. Both are compared with what
//! the witnesses confirmed before anything is signed (`log.md` section 3, check 5). A keeper's log goes to its office, an
//! agency's to [`party_log`](crate::party_log).

use lockplate_core::entry::leaf_time;
use lockplate_log::{Checkpoint, Error, Log, LogFile, LogStorage, NoteSigner};

/// The own log before its witnesses were asked.
#[expect(clippy::large_enum_variant, reason = "there is one a log, and it is moved at the start only")]
pub(crate) enum OwnLog<S> {
    /// Taken up from the disk.
    There(Log<S>),
    /// Not begun.
    New(S, NoteSigner),
}

impl<S: LogStorage> OwnLog<S> {
    /// Takes up the log of a folder if there is one, without signing anything. `now` is in seconds since 1970. Blocks.
    ///
    /// # Errors
    /// Those of [`Log::load`].
    pub(crate) fn load(storage: S, signer: NoteSigner, now: u64) -> Result<Self, Error> {
        let head = storage.read_head().map_err(|fault| Error::Storage { file: LogFile::Head, fault })?;
        match head {
            None => Ok(Self::New(storage, signer)),
            Some(_) => Ok(Self::There(Log::load(storage, signer, leaf_time, now)?)),
        }
    }

    /// Not begun.
    pub(crate) const fn is_new(&self) -> bool {
        matches!(self, Self::New(..))
    }

    /// Compares what a witness confirmed with what is here.
    ///
    /// # Errors
    /// [`Error::OldCopy`] and the others of [`Log::check_witnessed`].
    pub(crate) fn check_witnessed(&self, seen: &Checkpoint) -> Result<(), Error> {
        match self {
            Self::There(log) => log.check_witnessed(seen),
            Self::New(..) if seen.size() == 0 => Ok(()),
            Self::New(..) => Err(Error::OldCopy),
        }
    }

    /// The log, begun if it was not.
    ///
    /// # Errors
    /// Those of [`Log::create`].
    pub(crate) fn begin(self) -> Result<Log<S>, Error> {
        match self {
            Self::There(log) => Ok(log),
            Self::New(storage, signer) => Log::create(storage, signer),
        }
    }
}
