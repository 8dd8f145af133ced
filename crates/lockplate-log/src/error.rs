//! What can go wrong, and whose fault it is. One closed `Copy` enum for the crate; no variant carries a byte of the input that caused it, so
//! an error can be printed anywhere. It goes up to the shell, which turns the fatal ones ([`Error::is_fatal`]) into a stop.

use core::fmt;

use crate::tile::TilePath;

/// A file of a log, by its role (`log.md` section 3). Names what an [`Error`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFile {
    /// `head`: the signed checkpoint that is the commit point.
    Head,
    /// The file in `staging/`.
    Staging,
    /// `public/checkpoint`.
    Published,
    /// A hash tile or an entry bundle below `public/`.
    Tile(TilePath),
}

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Staging => f.write_str("staging"),
            Self::Published => f.write_str("public/checkpoint"),
            Self::Tile(path) => write!(f, "public/{path}"),
        }
    }
}

/// How a [`LogStorage`](crate::storage::LogStorage) call failed. The storage keeps the details (path, operating system's error).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFault {
    /// The medium failed, or may have: what is on it is not known. Never retried.
    Io,
    /// An immutable file exists with other bytes.
    Conflict,
    /// The file is larger than any this log writes.
    TooLarge,
}

impl fmt::Display for StorageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Io => "input or output failed",
            Self::Conflict => "an immutable file exists with other bytes",
            Self::TooLarge => "the file is too large",
        })
    }
}

/// What is wrong with a trust file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyFault {
    /// A control character, or no LF at the end.
    Character,
    /// A line of no known form.
    Grammar,
    /// A key that is not a verifier key.
    Key,
    /// A log's key of a witness's type, or the reverse.
    KeyType,
    /// A key that stands in the file already.
    KeyTwice,
    /// A name that is reserved or too long.
    Name,
    /// A name that is defined already.
    NameTwice,
    /// A name that is not defined on a line before.
    Undefined,
    /// A member that is in a group already.
    MemberTwice,
    /// A threshold that is no decimal, zero, or above the number of members.
    Threshold,
    /// More bytes, logs, witnesses or groups than are accepted.
    TooMany,
    /// A second quorum line.
    QuorumTwice,
    /// No quorum line.
    NoQuorumLine,
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Character => "a control character, or no line feed at the end",
            Self::Grammar => "not a line of a trust file",
            Self::Key => "not a verifier key",
            Self::KeyType => "the key is not of the type for this line",
            Self::KeyTwice => "the key stands in the file already",
            Self::Name => "the name is reserved or too long",
            Self::NameTwice => "the name is defined already",
            Self::Undefined => "the name is not defined on a line before",
            Self::MemberTwice => "the member is in a group already",
            Self::Threshold => "the threshold is not between one and the number of members",
            Self::TooMany => "the trust file is too large",
            Self::QuorumTwice => "there is a quorum line already",
            Self::NoQuorumLine => "there is no quorum line",
        })
    }
}

/// Every failure of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A key name or origin is empty, over 255 bytes, or has a space, a plus or a control character.
    MalformedName,
    /// A verifier key is not `name+id+base64`, its id is wrong, or its key is not a point.
    MalformedKey,
    /// A note breaks the grammar of `signed-note`, or a limit.
    MalformedNote,
    /// No signature of the note is by a key that the reader trusts.
    NoKnownSignature,
    /// A signature by a trusted key does not verify: the whole note is refused.
    BadSignature,
    /// Two of the reader's keys have one name and one id.
    AmbiguousKey,
    /// A checkpoint is not exactly three lines of origin, size and root.
    MalformedCheckpoint,
    /// A checkpoint is of another log.
    ForeignOrigin,
    /// A cosignature's time is zero, over 2^63 - 1, or too far ahead of the reader's clock.
    CosignatureTime,
    /// A trust file is refused.
    Policy {
        /// The line, from 1; 0 for the whole.
        line: u32,
        /// What is wrong with it.
        fault: PolicyFault,
    },
    /// The cosignatures of a checkpoint are no quorum of the trust file.
    NoQuorum,
    /// The quorum of a checkpoint cosigned too long ago.
    StaleQuorum,
    /// The body of an `add-checkpoint` request, or a witness's answer to it, breaks its grammar or a limit.
    MalformedRequest,
    /// A path is not of the grammar of `tlog-tiles`.
    MalformedTilePath,
    /// A tile is not exactly its width in hashes, or is not part of the tree.
    MalformedTile,
    /// An entry bundle is cut, too long, or has an empty leaf.
    MalformedBundle,
    /// A proof or receipt breaks its grammar, or a limit.
    MalformedProof,
    /// A proof does not lead to the root.
    InvalidProof,
    /// An index or size is not in the tree.
    OutOfRange,
    /// A leaf is empty or over 65,535 bytes.
    LeafLength,
    /// A batch has more than 4,096 leaves or 8 MiB.
    BatchTooLarge,
    /// The tree would reach 2^48 leaves.
    TreeFull,
    /// An entry's time is before the last leaf's: the clock went back (alarm `clock-back`).
    ClockBack,
    /// The last leaf's time is after the present: this machine's clock, or the earlier one, is wrong.
    ClockAhead,
    /// The last leaf has no readable time.
    LeafTime,
    /// The receipt or checkpoint asked for has not been published yet.
    NotPublished,
    /// A published checkpoint would shrink.
    PublishedBackwards,
    /// A log was to be created where there already is one.
    AlreadyExists,
    /// A file that must exist does not.
    Missing(LogFile),
    /// A file is not what the signed head says it must be.
    Altered(LogFile),
    /// The right edge on disk does not hash to the signed head's root.
    EdgeUnproved,
    /// The head on disk is not the one this process wrote: another process writes this log.
    HeadReplaced,
    /// The published checkpoint is larger than the head, or of its size with another root: this is an old copy of the log, or a fork.
    PublishedAhead,
    /// A witness has cosigned more leaves than this log has, or others: this is an old copy of the log, or a fork.
    OldCopy,
    /// The storage failed.
    Storage {
        /// Which file.
        file: LogFile,
        /// How.
        fault: StorageFault,
    },
    /// An earlier append failed after it began to write. Nothing may be done with this log before a restart.
    Poisoned,
}

impl Error {
    /// Whether the process that owns the log must stop (exit 3 of `log.md` section 3): what is on disk is unknown, altered or foreign.
    #[must_use]
    pub const fn is_fatal(self) -> bool {
        match self {
            Self::Missing(_)
            | Self::Altered(_)
            | Self::EdgeUnproved
            | Self::HeadReplaced
            | Self::PublishedAhead
            | Self::OldCopy
            | Self::Storage { .. }
            | Self::LeafTime
            | Self::ClockAhead
            | Self::Poisoned => true,
            Self::MalformedName
            | Self::MalformedKey
            | Self::MalformedNote
            | Self::NoKnownSignature
            | Self::BadSignature
            | Self::AmbiguousKey
            | Self::MalformedCheckpoint
            | Self::ForeignOrigin
            | Self::CosignatureTime
            | Self::Policy { .. }
            | Self::NoQuorum
            | Self::StaleQuorum
            | Self::MalformedRequest
            | Self::MalformedTilePath
            | Self::MalformedTile
            | Self::MalformedBundle
            | Self::MalformedProof
            | Self::InvalidProof
            | Self::OutOfRange
            | Self::LeafLength
            | Self::BatchTooLarge
            | Self::TreeFull
            | Self::ClockBack
            | Self::NotPublished
            | Self::PublishedBackwards
            | Self::AlreadyExists => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::MalformedName => "malformed key name",
            Self::MalformedKey => "malformed verifier key",
            Self::MalformedNote => "malformed signed note",
            Self::NoKnownSignature => "no signature by a known key",
            Self::BadSignature => "a signature by a known key does not verify",
            Self::AmbiguousKey => "two known keys have one name and id",
            Self::MalformedCheckpoint => "malformed checkpoint",
            Self::ForeignOrigin => "checkpoint of another log",
            Self::CosignatureTime => "cosignature time out of range",
            Self::Policy { line, fault } => return write!(f, "trust file, line {line}: {fault}"),
            Self::NoQuorum => "too few cosignatures for the quorum",
            Self::StaleQuorum => "the quorum cosigned too long ago",
            Self::MalformedRequest => "malformed add-checkpoint body or answer",
            Self::MalformedTilePath => "malformed tile path",
            Self::MalformedTile => "malformed tile",
            Self::MalformedBundle => "malformed entry bundle",
            Self::MalformedProof => "malformed proof",
            Self::InvalidProof => "the proof does not lead to the root",
            Self::OutOfRange => "index or size outside the tree",
            Self::LeafLength => "leaf empty or too long",
            Self::BatchTooLarge => "batch too large",
            Self::TreeFull => "tree full",
            Self::ClockBack => "entry time before the last leaf",
            Self::ClockAhead => "the last leaf is in the future",
            Self::LeafTime => "the last leaf has no readable time",
            Self::NotPublished => "not published yet",
            Self::PublishedBackwards => "a published checkpoint never shrinks",
            Self::AlreadyExists => "a log exists here already",
            Self::EdgeUnproved => "the right edge on disk does not match the signed head",
            Self::HeadReplaced => "head was replaced under this process",
            Self::PublishedAhead => {
                "public/checkpoint does not fit the head: this is an old copy of the log, or a fork"
            }
            Self::OldCopy => {
                "a witness has cosigned what this log does not have: this is an old copy of the log; restore what is missing"
            }
            Self::Poisoned => "an earlier write failed; restart before using this log",
            Self::Missing(file) => return write!(f, "{file} is missing"),
            Self::Altered(file) => return write!(f, "{file} does not match the signed head"),
            Self::Storage { file, fault } => return write!(f, "{file}: {fault}"),
        };
        f.write_str(text)
    }
}

impl core::error::Error for Error {}
