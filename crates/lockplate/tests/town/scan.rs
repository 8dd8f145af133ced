//! Looks for secrets in bytes: every needle raw, in hexadecimal (both cases), in base64 at its three alignments, and in
//! UTF-16 of both byte orders. Used on files, on outputs and on the memory of processes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Bytes of memory that are looked at in one piece.
const PIECE: usize = 4 * 1024 * 1024;
/// Every pattern is at least so long: shorter ones would be found by chance.
const PATTERN_MIN: usize = 7;

/// What is looked for.
pub struct Scanner {
    names: Vec<String>,
    patterns: Vec<(usize, &'static str, Vec<u8>)>,
    by_head: BTreeMap<[u8; 4], Vec<usize>>,
    first_two: Vec<bool>,
    longest: usize,
}

/// Where something was found: what, in which encoding, at which byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Name of the needle.
    pub name: String,
    /// Its encoding.
    pub encoding: &'static str,
    /// File, or process and address.
    pub place: String,
}

impl Scanner {
    /// For named needles. A text is looked for in UTF-16 too.
    pub fn new(texts: &[String], secrets: &[(String, Vec<u8>)]) -> Self {
        let mut scanner = Self {
            names: Vec::new(),
            patterns: Vec::new(),
            by_head: BTreeMap::new(),
            first_two: vec![false; 1 << 16],
            longest: 0,
        };
        for text in texts {
            let name = scanner.names.len();
            scanner.names.push(text.clone());
            scanner.encodings(name, text.as_bytes());
            let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
            scanner.pattern(name, "UTF-16LE", wide(u16::to_le_bytes));
            scanner.pattern(name, "UTF-16BE", wide(u16::to_be_bytes));
        }
        for (secret, bytes) in secrets {
            let name = scanner.names.len();
            scanner.names.push(secret.clone());
            scanner.encodings(name, bytes);
        }
        scanner
    }

    fn encodings(&mut self, name: usize, bytes: &[u8]) {
        self.pattern(name, "raw", bytes.to_vec());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.pattern(name, "hex", hex.clone().into_bytes());
        self.pattern(name, "HEX", hex.to_uppercase().into_bytes());
        for (alignment, label) in ["base64+0", "base64+1", "base64+2"].into_iter().enumerate() {
            for (alphabet, label) in [(STANDARD, label), (URL, "base64url")] {
                let pattern = base64_at(bytes, alignment, alphabet);
                if !self.patterns.iter().rev().take(8).any(|(own, _, known)| *own == name && *known == pattern) {
                    self.pattern(name, label, pattern);
                }
            }
        }
    }

    fn pattern(&mut self, name: usize, encoding: &'static str, bytes: Vec<u8>) {
        assert!(bytes.len() >= PATTERN_MIN, "a pattern of {} bytes would be found by chance", bytes.len());
        let head: [u8; 4] = bytes[..4].try_into().unwrap();
        self.first_two[usize::from(u16::from_be_bytes([head[0], head[1]]))] = true;
        self.longest = self.longest.max(bytes.len());
        self.by_head.entry(head).or_default().push(self.patterns.len());
        self.patterns.push((name, encoding, bytes));
    }

    /// Everything in some bytes.
    pub fn bytes(&self, place: &str, bytes: &[u8]) -> Vec<Hit> {
        let mut hits = Vec::new();
        for at in 0..bytes.len().saturating_sub(PATTERN_MIN - 1) {
            if !self.first_two[usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]))] {
                continue;
            }
            let head: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
            for pattern in self.by_head.get(&head).into_iter().flatten() {
                let (name, encoding, pattern) = &self.patterns[*pattern];
                if bytes[at..].starts_with(pattern) {
                    hits.push(Hit { name: self.names[*name].clone(), encoding, place: format!("{place}@{at:x}") });
                }
            }
        }
        hits
    }

    /// Everything in the files of a folder, links not followed. Files that vanish meanwhile are passed over.
    pub fn folder(&self, folder: &Path) -> (Vec<Hit>, Vec<PathBuf>) {
        let (mut hits, mut files, mut next) = (Vec::new(), Vec::new(), vec![folder.to_owned()]);
        while let Some(folder) = next.pop() {
            for entry in std::fs::read_dir(&folder).unwrap().flatten() {
                let path = entry.path();
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    next.push(path);
                } else if kind.is_file() {
                    // The name is data too.
                    let name = path.to_string_lossy().into_owned();
                    hits.extend(self.bytes(&format!("the name {name}"), name.as_bytes()));
                    hits.extend(self.bytes(&name, &std::fs::read(&path).unwrap_or_default()));
                    files.push(path);
                }
            }
        }
        (hits, files)
    }

    /// Everything in the readable memory of a process. `None` where the system refuses to show it.
    pub fn memory(&self, pid: u32) -> Option<(Vec<Hit>, u64)> {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
        let mut memory = File::open(format!("/proc/{pid}/mem")).ok()?;
        let (mut hits, mut seen) = (Vec::new(), 0);
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
            let special = line.ends_with("[vvar]") || line.ends_with("[vsyscall]") || line.ends_with("[vvar_vclock]");
            if !rights.starts_with('r') || special {
                continue;
            }
            let (from, to) = range.split_once('-')?;
            let (mut from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
            memory.seek(SeekFrom::Start(from)).ok()?;
            while from < to {
                let length = usize::try_from(to - from).unwrap().min(PIECE);
                let mut piece = vec![0; length];
                // Guard pages and holes of files cannot be read; the rest of the range can.
                let read = memory.read_at(&mut piece, from).unwrap_or(0);
                if read == 0 {
                    break;
                }
                seen += u64::try_from(read).unwrap();
                hits.extend(self.bytes(&format!("process {pid} {range}"), &piece[..read]));
                let step = if read > self.longest && from + u64::try_from(read).unwrap() < to {
                    read - self.longest
                } else {
                    read
                };
                from += u64::try_from(step).unwrap();
            }
        }
        let mut probe = [0; 1];
        let _readable = memory.read(&mut probe);
        (seen > 0).then_some((hits, seen))
    }
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The characters that depend on `bytes` alone where they stand `alignment` bytes into a group of base64.
fn base64_at(bytes: &[u8], alignment: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bit = |at: usize| bytes[at / 8] >> (7 - at % 8) & 1;
    // A character holds 6 bits; the first whole one begins where the padding bytes' bits are over.
    let first = (6 - alignment * 8 % 6) % 6;
    let mut out = Vec::new();
    let mut at = first;
    while at + 6 <= bytes.len() * 8 {
        let value = (at..at + 6).fold(0_u8, |value, at| value << 1 | bit(at));
        out.push(alphabet[usize::from(value)]);
        at += 6;
    }
    out
}

/// Whole base64, with padding: for the scanner's own controls.
pub fn base64(bytes: &[u8]) -> String {
    let mut padded = bytes.to_vec();
    while !padded.len().is_multiple_of(3) {
        padded.push(0);
    }
    let mut text = String::from_utf8(base64_at(&padded, 0, STANDARD)).unwrap();
    let pad = padded.len() - bytes.len();
    text.truncate(text.len() - pad);
    text.push_str(&"=".repeat(pad));
    text
}
