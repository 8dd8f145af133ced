//! Who may speak: tokens, address ranges, and how fast. It must never say which of them was wrong, and never hold a token,
//! only its hash.

use core::fmt;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Payloads a second of one source; also the burst (`intake.md` section 3).
pub const PAYLOADS_PER_SECOND_MAX: u32 = 200;

/// SHA-256 of a 32-byte token. The token itself is shown once, to the person who sets the camera up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

impl TokenHash {
    /// Of a token.
    #[must_use]
    pub fn of(token: &[u8; 32]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// From its 64 hexadecimal digits in the configuration.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).ok()?;
        Some(Self(hash))
    }

    /// As it stands in the configuration.
    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// The 32 bytes of the hash.
    #[must_use]
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// From its 32 bytes.
    #[must_use]
    pub const fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// A hash no token is known for, so that an unknown source costs the same comparison as a wrong token.
    pub(super) const NOBODY: Self = Self([0; 32]);

    /// The hash of a source that has no token and is none of the revoked ones: no token is known for it.
    pub const NO_TOKEN: Self = Self([0xff; 32]);

    /// True if `text` is the token, in 43 characters of unpadded base64url or 64 hexadecimal digits. The comparison
    /// takes the same time wherever the first difference stands.
    #[must_use]
    pub fn admits(self, text: &str) -> bool {
        let token = parse_token(text);
        let readable = token.is_some();
        let token = token.unwrap_or_else(|| Zeroizing::new([0; 32]));
        let equal: bool = Self::of(&token).0.ct_eq(&self.0).into();
        equal && readable
    }
}

/// A token as it stands in an address: 43 characters of base64url without padding.
#[must_use]
pub fn token_text(token: &[u8; 32]) -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE_NO_PAD.encode(token))
}

fn parse_token(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut token = Zeroizing::new([0; 32]);
    if text.len() == 64 {
        hex::decode_to_slice(text, token.as_mut_slice()).ok()?;
        return Some(token);
    }
    // The decoder asks for room for a whole group more.
    let mut room = Zeroizing::new([0; 36]);
    let len = URL_SAFE_NO_PAD.decode_slice(text.get(..43).filter(|all| *all == text)?, room.as_mut_slice()).ok()?;
    token.iter_mut().zip(room.iter()).for_each(|(to, from)| *to = *from);
    (len == 32).then_some(token)
}

/// A range of addresses, `10.1.0.0/16` or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    network: IpAddr,
    prefix: u32,
}

impl AddressRange {
    /// From its text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (network, prefix) = match text.split_once('/') {
            Some((network, prefix)) => (network.parse::<IpAddr>().ok()?, Some(prefix.parse::<u32>().ok()?)),
            None => (text.parse::<IpAddr>().ok()?, None),
        };
        let most = if network.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(most);
        (prefix <= most).then_some(Self { network, prefix })
    }

    /// True if `address` lies in it. An IPv4 address that came over an IPv6 socket is one.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shift = 32_u32.saturating_sub(self.prefix);
                (network.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shift = 128_u32.saturating_sub(self.prefix);
                (network.to_bits() ^ address.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// A token bucket: [`PAYLOADS_PER_SECOND_MAX`] a second, and as many at once.
#[derive(Debug)]
pub(super) struct Pace {
    millis: u64,
    seen: Duration,
}

/// One payload in thousandths, so that whole milliseconds refill without rounding.
const PAYLOAD_MILLIS: u64 = 1_000;
const FULL_MILLIS: u64 = PAYLOADS_PER_SECOND_MAX as u64 * PAYLOAD_MILLIS;

impl Pace {
    pub(super) const fn new(now: Duration) -> Self {
        Self { millis: FULL_MILLIS, seen: now }
    }

    /// Takes one place, if there is one. `now` is monotonic.
    pub(super) fn admits(&mut self, now: Duration) -> bool {
        let passed = u64::try_from(now.saturating_sub(self.seen).as_millis()).unwrap_or(u64::MAX);
        if passed > 0 {
            let refill = passed.saturating_mul(u64::from(PAYLOADS_PER_SECOND_MAX));
            self.millis = self.millis.saturating_add(refill).min(FULL_MILLIS);
            self.seen = now;
        }
        match self.millis.checked_sub(PAYLOAD_MILLIS) {
            Some(left) => {
                self.millis = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_admitted_in_both_spellings_and_nothing_else_is() {
        let token = [7; 32];
        let hash = TokenHash::of(&token);
        assert!(hash.admits(&token_text(&token)) && hash.admits(&hex::encode(token)));
        assert_eq!(TokenHash::from_hex(&hash.to_hex()), Some(hash));
        let other = token_text(&[8; 32]);
        for wrong in ["", "x", other.as_str(), &hex::encode([8; 32]), &token_text(&token)[..42], &"é".repeat(40)] {
            assert!(!hash.admits(wrong), "{wrong}");
        }
        assert!(!TokenHash::NOBODY.admits(&hex::encode([0; 32])));
        assert_eq!(format!("{hash:?}"), "TokenHash(..)");
    }

    #[test]
    fn ranges_at_their_edges() {
        let cases = [
            ("10.1.0.0/16", "10.1.255.255", true),
            ("10.1.0.0/16", "10.2.0.0", false),
            ("10.1.0.0/16", "::ffff:10.1.2.3", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::", false),
        ];
        for (range, address, inside) in cases {
            let range = AddressRange::parse(range).unwrap();
            assert_eq!(range.contains(address.parse().unwrap()), inside, "{range:?} {address}");
        }
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "host", "10.0.0.0/-1"] {
            assert_eq!(AddressRange::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_pace_at_its_bound() {
        let mut pace = Pace::new(Duration::ZERO);
        let at = Duration::from_millis;
        assert_eq!((0..201).filter(|_| pace.admits(at(0))).count(), 200);
        assert!(!pace.admits(at(4)), "one place takes 5 ms");
        assert!(pace.admits(at(5)) && !pace.admits(at(5)));
        assert_eq!((0..500).filter(|_| pace.admits(at(60_000))).count(), 200, "never more than the burst");
    }
}
