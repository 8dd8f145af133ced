//! Packed bytes as they are read: gzip (RFC 1952) of any number of members, zstd (RFC 8878) of any number of frames. Memory is
//! bounded by a window; how much may come out is the bound of whoever reads.

use std::io::{BufRead, Error, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Largest window of a zstd frame, bytes: what a sender over HTTP may use (RFC 9659). `zstd --ultra` goes beyond it.
const ZSTD_WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// As they are.
    Plain,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Packing {
    /// By the value of `Content-Encoding`, any case; none of one that nobody here unpacks.
    pub(crate) fn of_encoding(value: &[u8]) -> Option<Self> {
        match value.to_ascii_lowercase().as_slice() {
            b"" | b"identity" => Some(Self::Plain),
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// By the first bytes of a file.
    pub(crate) fn of_file(start: &[u8]) -> Self {
        if start.starts_with(&GZIP_MAGIC) {
            Self::Gzip
        } else if start.starts_with(&ZSTD_MAGIC) {
            Self::Zstd
        } else {
            Self::Plain
        }
    }

    /// What was packed.
    pub(crate) fn unpack<'a>(self, packed: impl BufRead + 'a) -> Box<dyn Read + 'a> {
        match self {
            Self::Plain => Box::new(packed),
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Zstd => Box::new(Frames::new(packed)),
        }
    }
}

/// Frames of zstd, one after the other; those that are to be skipped are.
struct Frames<R> {
    packed: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(packed: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW_BYTES_MAX);
        Self { packed, decoder, in_frame: false }
    }

    /// False at the end.
    fn next_frame(&mut self) -> std::io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if std::io::copy(&mut (&mut self.packed).take(length), &mut std::io::sink())? < length {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(fault) => return Err(Error::new(ErrorKind::InvalidData, fault)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if !self.in_frame && !self.next_frame()? {
                return Ok(0);
            }
            self.in_frame = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.packed, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|fault| Error::new(ErrorKind::InvalidData, fault))?;
            }
            let count = self.decoder.read(out)?;
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            let promised = self.decoder.get_checksum_from_data();
            if promised.is_some() && promised != self.decoder.get_calculated_checksum() {
                return Err(Error::new(ErrorKind::InvalidData, "a frame of zstd with another checksum"));
            }
            self.in_frame = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `zstd` 1.5.4 made it of "camera,plate\n" and three times "cam-1,QXV8825\n", with a checksum.
    const OF_THE_TOOL: &str =
        "28b52ffd0458050100d063616d6572612c706c6174650a63616d2d312c515856383832350100c63dc7e0fa94bb";

    fn unpacked(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        Packing::of_file(bytes).unpack(bytes).take(1 << 23).read_to_end(&mut out)?;
        Ok(out)
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn frames_follow_each_other_and_some_are_skipped() {
        let tool = hex::decode(OF_THE_TOOL).unwrap();
        let text = format!("camera,plate\n{}", "cam-1,QXV8825\n".repeat(3)).into_bytes();
        assert_eq!(unpacked(&tool).unwrap(), text);
        // A frame to be skipped: magic number, length, bytes (RFC 8878, 3.1.2).
        let skipped = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let both = [&tool[..], &skipped, &tool, &packed(b""), &packed(&text)].concat();
        assert_eq!(unpacked(&both).unwrap(), text.repeat(3));
        assert!(unpacked(&[&tool[..], &skipped[..9]].concat()).is_err());
        assert!(unpacked(&[&tool[..], b"more"].concat()).is_err());
    }

    #[test]
    fn a_cut_or_changed_frame_is_refused() {
        let tool = hex::decode(OF_THE_TOOL).unwrap();
        for len in 4..tool.len() {
            assert!(unpacked(&tool[..len]).is_err(), "{len}");
        }
        let mut changed = tool;
        *changed.last_mut().unwrap() ^= 1;
        assert!(unpacked(&changed).unwrap_err().to_string().contains("checksum"));
    }

    #[test]
    fn a_window_beyond_that_of_http_is_refused() {
        // No single segment, window of 2^(10+n) bytes, one empty last block.
        let frame = |exponent: u8| [&ZSTD_MAGIC[..], &[0, exponent << 3, 1, 0, 0]].concat();
        assert_eq!(unpacked(&frame(13)).unwrap(), b"");
        assert!(unpacked(&frame(14)).is_err() && unpacked(&frame(31)).is_err());
    }

    /// Total: whatever comes, an answer, and soon.
    #[test]
    fn changed_bytes_never_panic() {
        let text: Vec<u8> = (0..40_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 22).to_le_bytes()).collect();
        let seeds = [hex::decode(OF_THE_TOOL).unwrap(), packed(&text), packed(&[7; 300_000])];
        let mut state = 0x1234_5678_9abc_def0_u64;
        let mut below = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % u64::try_from(bound).unwrap()).unwrap()
        };
        let mut refused = 0;
        for round in 0..10_000 {
            let mut bytes = seeds[round % seeds.len()].clone();
            for _ in 0..=below(4) {
                let reach = 64 + below(bytes.len());
                let at = 4 + below(reach.min(bytes.len() - 4));
                bytes[at] = u8::try_from(below(256)).unwrap();
            }
            refused += u32::from(unpacked(&bytes).is_err());
        }
        assert!(refused > 3_000, "{refused}");
    }

    #[test]
    fn a_body_full_of_empty_frames_ends() {
        let empty = [&ZSTD_MAGIC[..], &[0x20, 0, 1, 0, 0]].concat();
        assert_eq!(unpacked(&empty.repeat(100_000)).unwrap(), b"");
    }
}
