//! Errors sorted by fault: every kind says whose fault it is and what to do next.
//! Texts are fixed sentences without any value from the input; they are never an API.

use crate::id::KeeperIndex;

/// Result with the error of this crate.
pub type Result<T> = core::result::Result<T, Error>;

/// Whose fault an error is. `architecture.md`: errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The bytes are not a well-formed message. The sender mends them.
    Malformed,
    /// Well-formed, but not acceptable here and now (wrong party, window, state). The sender asks for something else.
    Invalid,
    /// A keeper answered wrongly; [`Error::culprits`] names it. Ask the other keepers and report it.
    KeeperMisbehaved,
    /// The owner's archive or recorder answered wrongly. Nothing of it may be shown; report it.
    OwnerMisbehaved,
    /// Fewer keepers than the charter's threshold gave a usable answer. Try again later.
    TooFewKeepers {
        /// Usable answers.
        got: u8,
        /// Answers needed.
        needed: u8,
    },
    /// The keys of the epoch are destroyed; nobody can open it. Final.
    EpochDestroyed,
    /// A resource is missing for now (no receipted epoch, no prekey). Try again later.
    Unavailable,
    /// A broken invariant of this program: our bug.
    Internal,
}

/// An error of the protocol. No value from any input is kept in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    what: &'static str,
    culprits: Vec<KeeperIndex>,
}

impl Error {
    /// An error of `kind`; `what` is a fixed sentence, lower case, no full stop.
    #[must_use]
    pub const fn new(kind: ErrorKind, what: &'static str) -> Self {
        Self { kind, what, culprits: Vec::new() }
    }

    /// Not a well-formed message.
    #[must_use]
    pub const fn malformed(what: &'static str) -> Self {
        Self::new(ErrorKind::Malformed, what)
    }

    /// Well-formed, but refused here and now.
    #[must_use]
    pub const fn invalid(what: &'static str) -> Self {
        Self::new(ErrorKind::Invalid, what)
    }

    /// The owner's archive or recorder lied.
    #[must_use]
    pub const fn owner(what: &'static str) -> Self {
        Self::new(ErrorKind::OwnerMisbehaved, what)
    }

    /// Our own bug.
    #[must_use]
    pub const fn internal(what: &'static str) -> Self {
        Self::new(ErrorKind::Internal, what)
    }

    /// A keeper lied; `culprit` is its place in the charter.
    #[must_use]
    pub fn keeper(culprit: KeeperIndex, what: &'static str) -> Self {
        Self { kind: ErrorKind::KeeperMisbehaved, what, culprits: vec![culprit] }
    }

    /// Whose fault.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The fixed sentence.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        self.what
    }

    /// The keepers that misbehaved, by their place in the charter; empty for every other kind.
    #[must_use]
    pub fn culprits(&self) -> &[KeeperIndex] {
        &self.culprits
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.what)
    }
}

impl core::error::Error for Error {}

impl From<lockplate_oprf::Error> for Error {
    /// At every call in this crate the group's input comes from outside, so what fails there is malformed; where a party is to
    /// be named, the caller maps the error itself.
    fn from(_: lockplate_oprf::Error) -> Self {
        Self::malformed("a group element, scalar, share or proof is not valid")
    }
}
