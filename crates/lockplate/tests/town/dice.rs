//! Malformed payloads: good ones of each format, mutated as a broken camera, a broken network or an attacker would. The same
//! seed gives the same payloads.

use super::now_ms;

/// A small generator (`xorshift64*`): the payloads need variety, not secrecy.
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Next 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    /// One of several.
    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

fn good(format: &str) -> (&'static str, String) {
    let now = now_ms();
    match format {
        "own" => (
            "application/x-ndjson",
            format!(
                "{{\"plate\":\"XKP4120\",\"camera\":\"c1\",\"captured_at\":{now},\"id\":\"a{now}\",\"conf\":0.9,\
                 \"vehicle\":{{\"class\":\"car\"}},\"motion\":\"approaching\"}}\n{{\"plate\":\"XKP4120\",\"camera\":\"c1\",\
                 \"captured_at\":\"2026-03-20T09:46:40Z\",\"track\":\"t\",\"final\":false}}\n"
            ),
        ),
        "csv" => (
            "text/csv; charset=utf-8",
            format!("plate,camera,captured_at,conf,note\r\nXKP4120,c1,{now},0.9,\"a\nb\"\r\nXKP4120,c1,2026-03-20T09:46:40Z,,\r\n"),
        ),
        "openalpr" => (
            "application/json",
            format!(
                "{{\"data_type\":\"alpr_group\",\"epoch_start\":{now},\"epoch_end\":{now},\"camera_id\":7,\"agent_uid\":\"A\",\
                 \"best_uuid\":\"u-{now}\",\"uuids\":[\"u1\"],\"best_plate_number\":\"XKP4120\",\"best_confidence\":92.5,\
                 \"best_region\":\"us-ct\",\"best_region_confidence\":91,\"is_preview\":false,\"is_parked\":false,\
                 \"img_width\":1,\"img_width\":1,\"vehicle\":{{\"color\":[{{\"name\":\"red\",\"confidence\":80}}]}}}}"
            ),
        ),
        _ => (
            "application/json",
            "{\"hook\":{\"event\":\"recognition\",\"id\":\"c1\"},\"data\":{\"camera_id\":\"c1\",\"filename\":\"a.jpg\",\
             \"timestamp\":\"2026-03-20T09:46:40Z\",\"results\":[{\"plate\":\"xkp4120\",\"score\":0.9,\
             \"region\":{\"code\":\"us-ct\",\"score\":0.8},\"vehicle\":{\"type\":\"Sedan\",\"score\":0.5}}]}}"
                .to_owned(),
        ),
    }
}

const TOKENS: &[&str] = &[
    "NaN",
    "1e400",
    "-1",
    "18446744073709551616",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "\"\\ud800\"",
    "\\",
    "\"",
    ",",
    "\0",
    "\u{feff}",
    "\r",
    "\n",
    "\u{202e}",
    "2026-02-30T25:61:61Z",
    "=HYPERLINK(1)",
    "'; DROP TABLE source; --",
    "../../etc/passwd",
    "<!ENTITY x>",
];

/// A payload of a format with its content type, nearly always a bad one.
pub fn payload(format: &str, dice: &mut Dice) -> (&'static str, Vec<u8>) {
    let (mut kind, text) = good(format);
    let mut body = text.into_bytes();
    for _mutation in 0..=dice.below(3) {
        mutate(&mut body, dice);
    }
    if dice.below(50) == 0 {
        kind = dice.pick(&[
            "text/xml",
            "multipart/form-data; boundary=b",
            "application/x-www-form-urlencoded",
            "",
            "a/b; charset=utf-16",
        ]);
    }
    (kind, body)
}

fn mutate(body: &mut Vec<u8>, dice: &mut Dice) {
    let length = body.len();
    match dice.below(12) {
        0 => body.truncate(dice.below(length)),
        1 => {
            for _ in 0..=dice.below(8) {
                let (at, byte) = (dice.below(body.len()), dice.roll().to_le_bytes()[0]);
                if let Some(place) = body.get_mut(at) {
                    *place = byte;
                }
            }
        }
        2 | 3 => {
            let (at, token) = (dice.below(length + 1), dice.pick(TOKENS));
            body.splice(at..at, token.bytes());
        }
        4 => {
            let from = dice.below(length);
            let to = (from + dice.below(40)).min(length);
            body.drain(from..to);
        }
        5 => {
            let from = dice.below(length);
            let to = (from + dice.below(60)).min(length);
            let copy = body[from..to].to_vec();
            body.splice(from..from, copy);
        }
        6 => {
            let depth = 1 + dice.below(3_000);
            let bracket = *dice.pick(&["[", "{\"a\":"]).as_bytes().first().unwrap();
            let open: Vec<u8> = if bracket == b'[' { vec![b'['; depth] } else { b"{\"a\":".repeat(depth) };
            body.splice(0..0, open);
        }
        7 => *body = (0..dice.below(600)).map(|_| dice.roll().to_le_bytes()[3]).collect(),
        8 => *body = String::from_utf8_lossy(body).encode_utf16().flat_map(u16::to_le_bytes).collect(),
        9 => {
            let at = dice.below(length + 1);
            let long = 1 << (4 + dice.below(14));
            body.splice(at..at, vec![b'A'; long]);
        }
        10 => {
            // A value of another type where a key is good.
            if let Some(at) = body.iter().position(|byte| *byte == b':') {
                let token = dice.pick(TOKENS);
                let end = body[at..].iter().position(|byte| *byte == b',').map_or(body.len(), |end| at + end);
                body.splice(at + 1..end, token.bytes());
            }
        }
        _ => body.reverse(),
    }
}
