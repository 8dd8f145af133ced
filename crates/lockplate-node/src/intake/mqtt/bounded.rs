//! What a broker sends, with every message beyond a bound cut short before the library sees it. The library would end the connection, and
//! the broker send the message again on the next one, for ever: MQTT 3.1.1 knows no way to refuse a single message. What is left of it is
//! acknowledged like any other, so that the broker keeps all that waits behind it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Stands for the content of a message that was cut short. Whoever publishes these very bytes is told the same.
pub(super) const CUT: &[u8] = b"\0cut: too large";

/// Bytes taken from the line at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// Type of a packet, in the upper half of its first byte: a message.
const PUBLISH: u8 = 3;

/// Bytes of a fixed header (MQTT 3.1.1, 2.2): the type, and a length of 7 bits a byte.
const HEADER_BYTES_MAX: usize = 5;

/// A stream whose messages have at most so many bytes after their fixed header.
pub(super) struct Bounded<S> {
    stream: S,
    piece: Box<[u8]>,
    cutter: Cutter,
    out: BytesMut,
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S, bytes_max: usize) -> Self {
        let piece = vec![0; PIECE_BYTES].into_boxed_slice();
        Self { stream, piece, cutter: Cutter::new(bytes_max), out: BytesMut::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.out.is_empty() {
            let mut piece = ReadBuf::new(&mut this.piece);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.cutter.push(piece.filled(), &mut this.out);
        }
        let bytes = this.out.len().min(into.remaining());
        into.put_slice(&this.out.split_to(bytes));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, from)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// Where in a packet the stream stands.
enum At {
    /// In its fixed header, of which this was read.
    Header(Vec<u8>),
    /// Behind it: so many bytes go on as they are.
    Through(usize),
    /// In the topic and the number of a message that is too large, of which this was read.
    Named { first: u8, left: usize, name: Vec<u8> },
    /// In its content: so many bytes go nowhere.
    Away(usize),
}

struct Cutter {
    bytes_max: usize,
    at: At,
}

impl Cutter {
    const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, at: At::Header(Vec::new()) }
    }

    fn push(&mut self, mut bytes: &[u8], out: &mut BytesMut) {
        while let Some((next, rest)) = bytes.split_first() {
            match &mut self.at {
                At::Header(header) => {
                    header.push(*next);
                    bytes = rest;
                    if let Some(length) = length_of(header) {
                        self.at = behind(header, length, self.bytes_max, out);
                    }
                }
                At::Through(left) | At::Away(left) => {
                    let (now, later) = bytes.split_at(bytes.len().min(*left));
                    *left = left.saturating_sub(now.len());
                    let is_over = *left == 0;
                    if matches!(self.at, At::Through(_)) {
                        out.put_slice(now);
                    }
                    bytes = later;
                    if is_over {
                        self.at = At::Header(Vec::new());
                    }
                }
                At::Named { first, left, name } => {
                    name.push(*next);
                    *left = left.saturating_sub(1);
                    bytes = rest;
                    if name.len() == name_bytes(*first, name) || *left == 0 {
                        out.put_u8(*first);
                        put_length(name.len().saturating_add(CUT.len()), out);
                        out.put_slice(name);
                        out.put_slice(CUT);
                        self.at = At::Away(*left);
                    }
                }
            }
        }
    }
}

fn behind(header: &[u8], length: Option<usize>, bytes_max: usize, out: &mut BytesMut) -> At {
    let first = header.first().copied().unwrap_or_default();
    match length {
        Some(left) if left > bytes_max && first >> 4 == PUBLISH => At::Named { first, left, name: Vec::new() },
        // A length that is none is for the library to refuse, and nothing is known of what follows it.
        length => {
            out.put_slice(header);
            match length {
                Some(0) => At::Header(Vec::new()),
                Some(left) => At::Through(left),
                None => At::Through(usize::MAX),
            }
        }
    }
}

/// The length in a fixed header: none while it is not whole; `Some(None)` where it has more bytes than it may.
#[expect(clippy::option_option, reason = "not yet, and never, are two answers")]
fn length_of(header: &[u8]) -> Option<Option<usize>> {
    let (_, digits) = header.split_first()?;
    let is_whole = digits.last()? & 0x80 == 0;
    if !is_whole {
        return (header.len() >= HEADER_BYTES_MAX).then_some(None);
    }
    let length = digits.iter().rev().fold(0_usize, |sum, digit| sum.saturating_mul(128) | usize::from(digit & 0x7f));
    Some(Some(length))
}

fn put_length(mut length: usize, out: &mut BytesMut) {
    loop {
        let digit = u8::try_from(length % 128).unwrap_or_default();
        length /= 128;
        if length == 0 {
            return out.put_u8(digit);
        }
        out.put_u8(digit | 0x80);
    }
}

/// Bytes of topic and number, as far as that can be said yet.
fn name_bytes(first: u8, name: &[u8]) -> usize {
    let Some(topic) = name.first_chunk::<2>() else { return usize::MAX };
    let number = if first & 0b0110 == 0 { 0 } else { 2 };
    usize::from(u16::from_be_bytes(*topic)).saturating_add(2).saturating_add(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(first: u8, body: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        out.put_u8(first);
        put_length(body.len(), &mut out);
        out.put_slice(body);
        out.to_vec()
    }

    fn message(first: u8, topic: &str, number: &[u8], content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(topic.len()).unwrap().to_be_bytes();
        packet(first, &[&length, topic.as_bytes(), number, content].concat())
    }

    fn through(cutter: &mut Cutter, bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut out = BytesMut::new();
        bytes.chunks(piece).for_each(|piece| cutter.push(piece, &mut out));
        out.to_vec()
    }

    #[test]
    fn a_message_beyond_the_bound_keeps_its_name_and_number_and_the_others_all() {
        let small = message(0x32, "a/b", &[0, 7], &[9; 300]);
        let at_the_bound = message(0x30, "a/b", &[], &[9; 995]);
        let others = [packet(0x20, &[0, 0]), packet(0xd0, &[]), packet(0x90, &[0, 1, 1])].concat();
        for (first, number) in [(0x30, &[][..]), (0x32, &[1, 2]), (0x3a, &[1, 2]), (0x35, &[255, 255])] {
            let large = message(first, "frigate/events", number, &[9; 20_000]);
            let cut = message(first, "frigate/events", number, CUT);
            let bytes = [&others[..], &small, &large, &large, &at_the_bound, &others, &small].concat();
            let expected = [&others[..], &small, &cut, &cut, &at_the_bound, &others, &small].concat();
            for piece in [1, 2, 3, 7, 1_000, 16 * 1024, bytes.len()] {
                assert!(through(&mut Cutter::new(1_000), &bytes, piece) == expected, "{first:x} {piece}");
            }
        }
    }

    #[test]
    fn what_is_no_packet_is_the_librarys_to_refuse() {
        let endless = [0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3];
        assert_eq!(through(&mut Cutter::new(1_000), &endless, 1), endless);
        // Large, and no message.
        let large = packet(0x20, &[1; 5_000]);
        assert_eq!(through(&mut Cutter::new(1_000), &large, 9), large);
        // A topic that is longer than its message.
        let torn = [&packet(0x32, &[0xff; 2_000])[..], &packet(0xd0, &[])].concat();
        let out = through(&mut Cutter::new(1_000), &torn, 9);
        assert!(out.ends_with(&packet(0xd0, &[])) && out.len() < 2_100, "{}", out.len());
    }
}
