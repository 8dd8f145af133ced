//! What recorder and sealer say to each other over their socket pair. It carries plates, so frames are wiped after use; it
//! never carries the key of an epoch. Both ends are the same binary, so there is one version and no negotiation.
//!
//! ```text
//! frame   uint32 length of what follows, at most 1 MiB | uint8 type | body            integers big-endian
//! Hello    1  to the recorder   "LPSEAL01" | uint8 memory locked (0, 1)
//! Deal     2  to the sealer     "LPSEAL01" | device secret[32] | run[16] | lv16 spool folder | uint64 now | recorder[16]
//!                               | uint64 cap_from, cap_to | uint8 kind | uint8 bucket_bits | lv32 charter file
//!                               | uint8 count | lv16 Signed<Prekey>*
//! Dealt    3  to the recorder   lv32 EpochHeader | uint8 count | (uint8 keeper | lv16 share envelope)*
//! Receipts 4  to the sealer     uint8 count | lv16 Signed<ShareReceipt>*
//! Started  5  to the recorder   the spool is there and durable
//! TooFew   6  to the recorder   uint8 got | uint8 needed; more receipts may follow
//! Seal     7  to the sealer     uint16 count, at most 4,096 | (uint8 length | record)*     `Read::to_record`
//! Sealed   8  to the recorder   uint32 cells of this commit, durable | uint64 bytes of the spool that are
//! NotSealed 9 to the recorder   uint8 1 = the epoch has no room for them, 2 = the disk has none; nothing of the commit counts
//! Close   10  to the sealer
//! Closed  11  to the recorder   uint64 cells | digest[32]; then the process exits
//! Refused 12  to the recorder   uint8 1 charter, 2 prekeys, 3 receipts, 4 spool, 5 frame; then the process exits
//! ```
#![deny(clippy::arithmetic_side_effects)]

use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use lockplate_core::Timestamp;
use lockplate_core::epoch::EpochKind;
use lockplate_core::id::{KeeperIndex, RecorderId};
use lockplate_store::spool::{FRAME_CELLS_MAX, SpoolTally};
use zeroize::Zeroizing;

/// First bytes of both first frames.
const MAGIC: &[u8; 8] = b"LPSEAL01";

/// Bytes of a frame after its length: 4,096 records of 196 bytes are 784 KiB, a charter with 16 prekeys under 96 KiB.
pub(crate) const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// The other side sent what this protocol does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadFrame;

/// What the recorder asks.
pub(crate) enum Ask {
    Deal(Box<Deal>),
    Receipts(Vec<Vec<u8>>),
    Seal(Vec<Zeroizing<Vec<u8>>>),
    Close,
}

/// What is dealt, and what for.
pub(crate) struct Deal {
    pub(crate) device_secret: Zeroizing<[u8; 32]>,
    /// Random, for the hedged generator: the epoch id is itself drawn from it.
    pub(crate) run: [u8; 16],
    pub(crate) spool: PathBuf,
    pub(crate) now: Timestamp,
    pub(crate) recorder: RecorderId,
    pub(crate) cap_from: Timestamp,
    pub(crate) cap_to: Timestamp,
    pub(crate) kind: EpochKind,
    pub(crate) bucket_bits: u8,
    pub(crate) charter: Vec<u8>,
    pub(crate) prekeys: Vec<Vec<u8>>,
}

/// What the sealer answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    Hello { locked: bool },
    Dealt { header: Vec<u8>, envelopes: Vec<(KeeperIndex, Vec<u8>)> },
    Started,
    TooFew { got: u8, needed: u8 },
    Sealed { cells: u32, spool_bytes: u64 },
    NotSealed(NotSealed),
    Closed(SpoolTally),
    Refused(Refusal),
}

/// Why a commit was not made. The sealer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSealed {
    EpochFull,
    DiskFull,
}

/// Why the sealer ended before it sealed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Charter,
    Prekeys,
    Receipts,
    Spool,
    Frame,
}

/// A frame's bytes, length included. The room is taken at once, so that no half-written copy of a plate stays behind.
struct Frame(Zeroizing<Vec<u8>>);

impl Frame {
    fn new(kind: u8, room: usize) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(room.saturating_add(16)));
        bytes.extend_from_slice(&[0; 4]);
        bytes.push(kind);
        Self(bytes)
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u8(&mut self, value: u8) -> &mut Self {
        self.raw(&[value])
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.raw(&value.to_be_bytes())
    }

    fn count(&mut self, items: usize) -> Result<&mut Self, BadFrame> {
        Ok(self.u8(u8::try_from(items).map_err(|_wide| BadFrame)?))
    }

    fn lv8(&mut self, bytes: &[u8]) -> Result<&mut Self, BadFrame> {
        Ok(self.count(bytes.len())?.raw(bytes))
    }

    fn lv16(&mut self, bytes: &[u8]) -> Result<&mut Self, BadFrame> {
        let length = u16::try_from(bytes.len()).map_err(|_wide| BadFrame)?;
        Ok(self.raw(&length.to_be_bytes()).raw(bytes))
    }

    fn lv32(&mut self, bytes: &[u8]) -> Result<&mut Self, BadFrame> {
        let length = u32::try_from(bytes.len()).map_err(|_wide| BadFrame)?;
        Ok(self.raw(&length.to_be_bytes()).raw(bytes))
    }

    fn finish(mut self) -> Result<Zeroizing<Vec<u8>>, BadFrame> {
        let length = self.0.len().saturating_sub(4);
        if length > FRAME_BYTES_MAX {
            return Err(BadFrame);
        }
        let length = u32::try_from(length).map_err(|_wide| BadFrame)?;
        for (to, from) in self.0.iter_mut().zip(length.to_be_bytes()) {
            *to = from;
        }
        Ok(self.0)
    }
}

/// Takes a frame's body apart; total.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn raw(&mut self, length: usize) -> Result<&'a [u8], BadFrame> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(BadFrame)?;
        self.0 = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadFrame> {
        self.raw(N)?.try_into().map_err(|_length| BadFrame)
    }

    fn u8(&mut self) -> Result<u8, BadFrame> {
        self.array().map(u8::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, BadFrame> {
        self.array().map(u64::from_be_bytes)
    }

    fn lv8(&mut self) -> Result<&'a [u8], BadFrame> {
        let length = self.u8()?;
        self.raw(usize::from(length))
    }

    fn lv16(&mut self) -> Result<&'a [u8], BadFrame> {
        let length = u16::from_be_bytes(self.array()?);
        self.raw(usize::from(length))
    }

    fn lv32(&mut self) -> Result<&'a [u8], BadFrame> {
        let length = usize::try_from(u32::from_be_bytes(self.array()?)).map_err(|_narrow| BadFrame)?;
        self.raw(length)
    }

    fn magic(&mut self) -> Result<(), BadFrame> {
        if self.array::<8>()? == *MAGIC { Ok(()) } else { Err(BadFrame) }
    }

    const fn end(&self) -> Result<(), BadFrame> {
        if self.0.is_empty() { Ok(()) } else { Err(BadFrame) }
    }
}

impl Ask {
    pub(crate) fn to_frame(&self) -> Result<Zeroizing<Vec<u8>>, BadFrame> {
        match self {
            Self::Deal(deal) => deal.to_frame(),
            Self::Receipts(receipts) => {
                let mut frame = Frame::new(4, 0);
                frame.count(receipts.len())?;
                for receipt in receipts {
                    frame.lv16(receipt)?;
                }
                frame.finish()
            }
            Self::Seal(records) => {
                if records.len() > FRAME_CELLS_MAX {
                    return Err(BadFrame);
                }
                let room =
                    records.iter().fold(2_usize, |sum, record| sum.saturating_add(record.len()).saturating_add(1));
                let mut frame = Frame::new(7, room);
                frame.raw(&u16::try_from(records.len()).map_err(|_wide| BadFrame)?.to_be_bytes());
                for record in records {
                    frame.lv8(record)?;
                }
                frame.finish()
            }
            Self::Close => Frame::new(10, 0).finish(),
        }
    }

    pub(crate) fn from_frame(frame: &[u8]) -> Result<Self, BadFrame> {
        let mut body = Body(frame);
        let ask = match body.u8()? {
            2 => Self::Deal(Box::new(Deal::read(&mut body)?)),
            4 => {
                let count = body.u8()?;
                Self::Receipts((0..count).map(|_| body.lv16().map(<[u8]>::to_vec)).collect::<Result<_, _>>()?)
            }
            7 => {
                let count = u16::from_be_bytes(body.array()?);
                if usize::from(count) > FRAME_CELLS_MAX {
                    return Err(BadFrame);
                }
                let records = (0..count).map(|_| body.lv8().map(|record| Zeroizing::new(record.to_vec())));
                Self::Seal(records.collect::<Result<_, _>>()?)
            }
            10 => Self::Close,
            _ => return Err(BadFrame),
        };
        body.end()?;
        Ok(ask)
    }
}

impl Deal {
    fn to_frame(&self) -> Result<Zeroizing<Vec<u8>>, BadFrame> {
        let mut frame = Frame::new(2, FRAME_BYTES_MAX / 8);
        frame.raw(MAGIC).raw(self.device_secret.as_slice()).raw(&self.run);
        frame.lv16(self.spool.as_os_str().as_bytes())?.u64(self.now.0).raw(&self.recorder.0);
        let kind = match self.kind {
            EpochKind::Live => 1,
            EpochKind::Late => 2,
            EpochKind::Canary => 3,
        };
        frame.u64(self.cap_from.0).u64(self.cap_to.0).u8(kind).u8(self.bucket_bits).lv32(&self.charter)?;
        frame.count(self.prekeys.len())?;
        for prekey in &self.prekeys {
            frame.lv16(prekey)?;
        }
        frame.finish()
    }

    fn read(body: &mut Body<'_>) -> Result<Self, BadFrame> {
        body.magic()?;
        let device_secret = Zeroizing::new(body.array()?);
        let run = body.array()?;
        let spool = PathBuf::from(std::ffi::OsString::from_vec(body.lv16()?.to_vec()));
        let (now, recorder) = (Timestamp(body.u64()?), RecorderId(body.array()?));
        let (cap_from, cap_to) = (Timestamp(body.u64()?), Timestamp(body.u64()?));
        let kind = match body.u8()? {
            1 => EpochKind::Live,
            2 => EpochKind::Late,
            3 => EpochKind::Canary,
            _ => return Err(BadFrame),
        };
        let (bucket_bits, charter) = (body.u8()?, body.lv32()?.to_vec());
        let count = body.u8()?;
        let prekeys = (0..count).map(|_| body.lv16().map(<[u8]>::to_vec)).collect::<Result<_, _>>()?;
        Ok(Self { device_secret, run, spool, now, recorder, cap_from, cap_to, kind, bucket_bits, charter, prekeys })
    }
}

impl Tell {
    pub(crate) fn to_frame(&self) -> Result<Zeroizing<Vec<u8>>, BadFrame> {
        let mut frame;
        match self {
            Self::Hello { locked } => {
                frame = Frame::new(1, 0);
                frame.raw(MAGIC).u8(u8::from(*locked));
            }
            Self::Dealt { header, envelopes } => {
                frame = Frame::new(3, 0);
                frame.lv32(header)?.count(envelopes.len())?;
                for (KeeperIndex(keeper), envelope) in envelopes {
                    frame.u8(*keeper).lv16(envelope)?;
                }
            }
            Self::Started => frame = Frame::new(5, 0),
            Self::TooFew { got, needed } => {
                frame = Frame::new(6, 0);
                frame.u8(*got).u8(*needed);
            }
            Self::Sealed { cells, spool_bytes } => {
                frame = Frame::new(8, 0);
                frame.raw(&cells.to_be_bytes()).u64(*spool_bytes);
            }
            Self::NotSealed(why) => {
                frame = Frame::new(9, 0);
                frame.u8(match why {
                    NotSealed::EpochFull => 1,
                    NotSealed::DiskFull => 2,
                });
            }
            Self::Closed(tally) => {
                frame = Frame::new(11, 0);
                frame.u64(tally.count).raw(&tally.digest);
            }
            Self::Refused(why) => {
                frame = Frame::new(12, 0);
                frame.u8(match why {
                    Refusal::Charter => 1,
                    Refusal::Prekeys => 2,
                    Refusal::Receipts => 3,
                    Refusal::Spool => 4,
                    Refusal::Frame => 5,
                });
            }
        }
        frame.finish()
    }

    pub(crate) fn from_frame(frame: &[u8]) -> Result<Self, BadFrame> {
        let mut body = Body(frame);
        let tell = match body.u8()? {
            1 => {
                body.magic()?;
                Self::Hello { locked: body.u8()? == 1 }
            }
            3 => {
                let header = body.lv32()?.to_vec();
                let count = body.u8()?;
                let envelope = |_| Ok((KeeperIndex(body.u8()?), body.lv16()?.to_vec()));
                Self::Dealt { header, envelopes: (0..count).map(envelope).collect::<Result<_, _>>()? }
            }
            5 => Self::Started,
            6 => Self::TooFew { got: body.u8()?, needed: body.u8()? },
            8 => Self::Sealed { cells: u32::from_be_bytes(body.array()?), spool_bytes: body.u64()? },
            9 => Self::NotSealed(match body.u8()? {
                1 => NotSealed::EpochFull,
                2 => NotSealed::DiskFull,
                _ => return Err(BadFrame),
            }),
            11 => Self::Closed(SpoolTally { count: body.u64()?, digest: body.array()? }),
            12 => Self::Refused(match body.u8()? {
                1 => Refusal::Charter,
                2 => Refusal::Prekeys,
                3 => Refusal::Receipts,
                4 => Refusal::Spool,
                5 => Refusal::Frame,
                _ => return Err(BadFrame),
            }),
            _ => return Err(BadFrame),
        };
        body.end()?;
        Ok(tell)
    }
}

/// The length in a frame's first four bytes, if a frame may be so long.
pub(crate) fn frame_length(head: [u8; 4]) -> Result<usize, BadFrame> {
    let length = usize::try_from(u32::from_be_bytes(head)).map_err(|_narrow| BadFrame)?;
    if (1..=FRAME_BYTES_MAX).contains(&length) { Ok(length) } else { Err(BadFrame) }
}

/// Reads a frame without its length, blocking; `None` at the end of the stream or if it broke.
pub(crate) fn read_frame(stream: &mut impl Read) -> Option<Result<Zeroizing<Vec<u8>>, BadFrame>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).ok()?;
    let Ok(length) = frame_length(head) else { return Some(Err(BadFrame)) };
    let mut frame = Zeroizing::new(vec![0; length]);
    stream.read_exact(&mut frame).ok()?;
    Some(Ok(frame))
}

/// Writes an answer, blocking; `false` if the stream broke.
pub(crate) fn write_tell(stream: &mut impl Write, tell: &Tell) -> bool {
    tell.to_frame().is_ok_and(|frame| stream.write_all(&frame).and_then(|()| stream.flush()).is_ok())
}
