//! Digest of HTTP (RFC 7616) with `qop=auth`, MD5 and SHA-256, in both directions: what a camera shows to us, and what we show
//! to a camera. It must never hold a password longer than it takes to hash it, nor tell by an answer or by its time which part
//! of what was shown is wrong. What is known by it decide `login.rs` and `pull.rs`.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The realm in which our users have their names.
pub(super) const REALM: &str = "lockplate";

/// How long a nonce of ours is taken. A camera then gets another one and repeats, which costs it one round trip.
const NONCE_LIFE: Duration = Duration::from_secs(60);

/// Nonces whose counter is remembered; further ones are refused as too old until some have ended.
const NONCES_MAX: usize = 50_000;

/// Parameters of one header.
const PARAMETERS_MAX: usize = 32;

/// Schemes of one header.
const SCHEMES_MAX: usize = 16;

/// A hash of Digest. MD5 is no protection worth the name; it is what many cameras have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    /// Its name on the wire.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn of(parameters: &Parameters) -> Option<Self> {
        match parameters.get("algorithm") {
            None => Some(Self::Md5),
            Some(name) => [Self::Md5, Self::Sha256].into_iter().find(|known| known.name().eq_ignore_ascii_case(name)),
        }
    }

    /// Hexadecimal digits of the hash over the parts with colons between them.
    fn hash(self, parts: &[&str]) -> Zeroizing<String> {
        let joined = Zeroizing::new(parts.join(":"));
        Zeroizing::new(match self {
            Self::Md5 => hex::encode(Md5::digest(joined.as_bytes())),
            Self::Sha256 => hex::encode(Sha256::digest(joined.as_bytes())),
        })
    }
}

/// What is kept of a password: the hashes with name and realm, as good as the password in this realm and nowhere else.
#[derive(Clone)]
pub(super) struct Ha1 {
    md5: Zeroizing<String>,
    sha256: Zeroizing<String>,
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ha1(..)")
    }
}

impl Ha1 {
    pub(super) fn of(user: &str, realm: &str, password: &str) -> Self {
        let of = |algorithm: Algorithm| algorithm.hash(&[user, realm, password]);
        Self { md5: of(Algorithm::Md5), sha256: of(Algorithm::Sha256) }
    }

    /// Hashes of no password, so that an unknown user costs the same comparison as a wrong password.
    pub(super) fn nobody() -> Self {
        Self { md5: Zeroizing::new("0".repeat(32)), sha256: Zeroizing::new("0".repeat(64)) }
    }

    /// True for the hashes of one password; takes the same time wherever they differ.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.sha256.as_bytes().ct_eq(other.sha256.as_bytes()).into()
    }

    const fn by(&self, algorithm: Algorithm) -> &Zeroizing<String> {
        match algorithm {
            Algorithm::Md5 => &self.md5,
            Algorithm::Sha256 => &self.sha256,
        }
    }

    /// The `response`; `counted` is `nc` and `cnonce`, absent for a camera that asks for no `qop`.
    fn response(
        &self,
        algorithm: Algorithm,
        nonce: &str,
        counted: Option<(&str, &str)>,
        method: &str,
        uri: &str,
    ) -> Zeroizing<String> {
        let asked = algorithm.hash(&[method, uri]);
        let ha1 = self.by(algorithm);
        match counted {
            Some((count, cnonce)) => algorithm.hash(&[ha1, nonce, count, cnonce, "auth", &asked]),
            None => algorithm.hash(&[ha1, nonce, &asked]),
        }
    }
}

/// `name=value` pairs of a header; names in lower case, none twice.
#[derive(Default)]
struct Parameters(BTreeMap<String, String>);

impl Parameters {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// One scheme of a header with its parameters.
type Scheme = (String, Parameters);

/// The schemes in a header's value; none where it is not of that form.
fn schemes(text: &str) -> Option<Vec<Scheme>> {
    let mut found: Vec<Scheme> = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        if found.len() > SCHEMES_MAX {
            return None;
        }
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, behind) = rest.split_at_checked(end)?;
        let value = behind.trim_start_matches([' ', '\t']).strip_prefix('=');
        if word.is_empty() {
            return None;
        }
        rest = match (value, found.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let (value, behind) = value_at(value.trim_start_matches([' ', '\t']))?;
                let twice = parameters.0.insert(word.to_ascii_lowercase(), value).is_some();
                if twice || parameters.0.len() > PARAMETERS_MAX {
                    return None;
                }
                behind
            }
            (Some(_), None) => return None,
            (None, _) => {
                found.push((word.to_ascii_lowercase(), Parameters::default()));
                behind
            }
        };
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    Some(found)
}

/// A value, in quotation marks or not, and what stands behind it.
fn value_at(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, behind) = text.split_at_checked(text.find([',', ' ', '\t']).unwrap_or(text.len()))?;
        return Some((value.to_owned(), behind));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((value, quoted.get(at..)?.strip_prefix('"')?)),
            _ => value.push(c),
        }
    }
    None
}

/// What a camera shows of itself in `Authorization: Digest`.
pub(super) struct Shown {
    /// Who it says it is.
    pub(super) user: String,
    /// The address it asks for, as it wrote it.
    pub(super) uri: String,
    algorithm: Algorithm,
    nonce: String,
    count: (u32, String),
    cnonce: String,
    response: String,
}

impl Shown {
    /// From the value of the header.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let found = schemes(header)?;
        let [(scheme, parameters)] = found.as_slice() else { return None };
        let text = |name: &str| parameters.get(name).map(str::to_owned);
        let is_ours = scheme == "digest"
            && parameters.get("realm") == Some(REALM)
            && parameters.get("qop") == Some("auth")
            && parameters.get("userhash").is_none_or(|hashed| hashed == "false");
        let count = text("nc").filter(|digits| digits.len() == 8)?;
        is_ours.then_some(Self {
            user: text("username")?,
            uri: text("uri")?,
            algorithm: Algorithm::of(parameters)?,
            nonce: text("nonce")?,
            count: (u32::from_str_radix(&count, 16).ok()?, count),
            cnonce: text("cnonce")?,
            response: text("response")?,
        })
    }

    /// True if it knows the password behind `ha1`.
    pub(super) fn is_by(&self, ha1: &Ha1, method: &str) -> bool {
        let counted = Some((self.count.1.as_str(), self.cnonce.as_str()));
        let right = ha1.response(self.algorithm, &self.nonce, counted, method, &self.uri);
        right.as_bytes().ct_eq(self.response.to_ascii_lowercase().as_bytes()).into()
    }
}

/// The nonces we give out. Nothing is kept of one before it was used rightly: asking for many costs us nothing.
pub(super) struct Nonces {
    key: Zeroizing<[u8; 64]>,
    given: AtomicU64,
    /// By number: when it was made, and the highest count that it was used with.
    used: Mutex<BTreeMap<u64, (Duration, u32)>>,
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces(..)")
    }
}

impl Nonces {
    pub(super) const fn new(key: Zeroizing<[u8; 64]>) -> Self {
        Self { key, given: AtomicU64::new(0), used: Mutex::new(BTreeMap::new()) }
    }

    /// A new one; `now` is monotonic.
    pub(super) fn give(&self, now: Duration) -> String {
        let number = self.given.fetch_add(1, Ordering::SeqCst);
        let made = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut bytes = [number.to_be_bytes(), made.to_be_bytes()].concat();
        bytes.extend(self.seal(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The number of a nonce of ours that has not ended, and when it was made.
    fn read(&self, nonce: &str, now: Duration) -> Option<(u64, Duration)> {
        let bytes = URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let (said, sealed) = bytes.split_at_checked(16)?;
        let is_ours: bool = self.seal(said).ct_eq(sealed).into();
        let (number, made) = said.split_first_chunk::<8>().filter(|_| is_ours)?;
        let made = Duration::from_millis(u64::from_be_bytes(made.try_into().ok()?));
        (now.saturating_sub(made) <= NONCE_LIFE).then_some((u64::from_be_bytes(*number), made))
    }

    fn seal(&self, bytes: &[u8]) -> [u8; 32] {
        Hmac::<Sha256>::new(&(*self.key).into()).chain_update(bytes).finalize().into_bytes().into()
    }

    /// True while the nonce of `shown` is ours and has not ended.
    pub(super) fn knows(&self, shown: &Shown, now: Duration) -> bool {
        self.read(&shown.nonce, now).is_some()
    }

    /// Takes the count of one who knows the password. False for one that was there before: somebody else's repeat.
    pub(super) fn count(&self, shown: &Shown, now: Duration) -> bool {
        let Some((number, made)) = self.read(&shown.nonce, now) else { return false };
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while used.first_key_value().is_some_and(|(_, (made, _))| now.saturating_sub(*made) > NONCE_LIFE) {
            used.pop_first();
        }
        let (_, last) = used.get(&number).copied().unwrap_or((made, 0));
        let is_new = shown.count.0 > last && (last > 0 || used.len() < NONCES_MAX);
        if is_new {
            used.insert(number, (made, shown.count.0));
        }
        is_new
    }
}

/// What a camera wants to be shown, and how often it was.
pub(super) struct Challenge {
    algorithm: Algorithm,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    counts: bool,
    count: u32,
}

impl Challenge {
    /// The best of those in the values of `WWW-Authenticate`.
    pub(super) fn best<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Self> {
        let all = headers.filter_map(schemes).flatten();
        let digests = all.filter(|(scheme, _)| scheme == "digest").filter_map(|(_, parameters)| {
            let text = |name: &str| parameters.get(name).map(str::to_owned);
            let qop = parameters.get("qop");
            let has_auth = qop.is_none_or(|words| words.split(',').any(|word| word.trim() == "auth"));
            has_auth.then_some(Self {
                algorithm: Algorithm::of(&parameters)?,
                realm: text("realm")?,
                nonce: text("nonce")?,
                opaque: text("opaque"),
                counts: qop.is_some(),
                count: 0,
            })
        });
        digests.max_by_key(|challenge| challenge.algorithm == Algorithm::Sha256)
    }

    /// The value of `Authorization` for the next request. None where the camera's own words cannot be said back in a header.
    pub(super) fn answer(
        &mut self,
        user: &str,
        password: &str,
        method: &str,
        uri: &str,
        cnonce: &str,
    ) -> Option<Zeroizing<String>> {
        let unquotable = |text: &str| text.contains(['"', '\\']) || text.chars().any(char::is_control);
        if [&self.realm, &self.nonce].into_iter().chain(&self.opaque).any(|text| unquotable(text)) {
            return None;
        }
        self.count = self.count.saturating_add(1);
        let count = format!("{:08x}", self.count);
        let counted = self.counts.then_some((count.as_str(), cnonce));
        let ha1 = Ha1::of(user, &self.realm, password);
        let response = ha1.response(self.algorithm, &self.nonce, counted, method, uri);
        let Self { realm, nonce, .. } = self;
        let mut header = Zeroizing::new(format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{}\", algorithm={}",
            response.as_str(),
            self.algorithm.name()
        ));
        if let Some((count, cnonce)) = counted {
            header.push_str(&format!(", qop=auth, nc={count}, cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = &self.opaque {
            header.push_str(&format!(", opaque=\"{opaque}\""));
        }
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616, section 3.9.1.
    #[test]
    fn the_example_of_the_specification() {
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let ha1 = Ha1::of("Mufasa", "http-auth@example.org", "Circle of Life");
        let counted = Some(("00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"));
        let by = |algorithm| ha1.response(algorithm, nonce, counted, "GET", "/dir/index.html");
        assert_eq!(by(Algorithm::Md5).as_str(), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(by(Algorithm::Sha256).as_str(), "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
    }

    #[test]
    fn challenges_in_one_header_and_in_several_and_none_of_them() {
        let both =
            "Basic realm=\"x, y\", Digest realm=\"a \\\"b\\\"\", nonce=\"n\", qop=\"auth,auth-int\" , algorithm=MD5";
        let sha = "Digest realm=\"r\",nonce=\"m\",qop=auth,algorithm=SHA-256,opaque=\"o\"";
        let best = Challenge::best([both, sha].into_iter()).unwrap();
        assert_eq!((best.algorithm, best.nonce.as_str(), best.opaque.as_deref()), (Algorithm::Sha256, "m", Some("o")));
        let old = Challenge::best(["Digest realm=\"r\", nonce=\"n\""].into_iter()).unwrap();
        assert_eq!((old.algorithm, old.counts), (Algorithm::Md5, false));
        // A realm that could not be said back.
        assert!(Challenge::best([both].into_iter()).unwrap().answer("u", "p", "GET", "/", "c").is_none());
        for none in [
            "",
            "Basic realm=\"x\"",
            "Digest",
            "Digest realm=\"r",
            "Digest realm=\"r\", realm=\"r\", nonce=\"n\"",
            "realm=\"r\"",
            "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256",
            "Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"",
            "=",
        ] {
            assert!(Challenge::best([none].into_iter()).is_none(), "{none}");
        }
    }

    fn shown(nonce: &str, count: u32, change: impl Fn(String) -> String) -> Option<Shown> {
        let mut challenge = Challenge {
            algorithm: Algorithm::Sha256,
            realm: REALM.into(),
            nonce: nonce.into(),
            opaque: None,
            counts: true,
            count: count - 1,
        };
        let header = challenge.answer("gate", "secret word", "POST", "/x?y=1", "c").unwrap();
        Shown::parse(&change(header.to_string()))
    }

    #[test]
    fn what_we_show_is_what_we_take() {
        let nonces = Nonces::new(Zeroizing::new([1; 64]));
        let nonce = nonces.give(Duration::ZERO);
        let ha1 = Ha1::of("gate", REALM, "secret word");
        let right = shown(&nonce, 1, |header| header).unwrap();
        assert!(right.is_by(&ha1, "POST") && !right.is_by(&ha1, "GET"));
        assert!(!right.is_by(&Ha1::of("gate", REALM, "secret worD"), "POST"));
        assert_eq!((right.user.as_str(), right.uri.as_str()), ("gate", "/x?y=1"));
        for (from, to) in [("uri=\"/x?y=1\"", "uri=\"/x?y=2\""), ("nc=00000001", "nc=00000002"), ("SHA-256", "MD5")] {
            assert!(!shown(&nonce, 1, |header| header.replace(from, to)).unwrap().is_by(&ha1, "POST"), "{from}");
        }
        for (from, to) in [
            ("realm=\"lockplate\"", "realm=\"x\""),
            ("qop=auth", "qop=auth-int"),
            ("qop=auth, ", ""),
            ("nc=00000001", "nc=1"),
            ("nc=00000001", "nc=0000000g"),
            ("Digest", "Basic"),
            ("username", "username*"),
            ("SHA-256", "MD4"),
            ("qop=auth", "qop=auth, userhash=true"),
        ] {
            assert!(shown(&nonce, 1, |header| header.replace(from, to)).is_none(), "{from} {to}");
        }
        assert_eq!(format!("{ha1:?} {nonces:?}"), "Ha1(..) Nonces(..)");
    }

    #[test]
    fn a_nonce_ends_and_counts_go_up() {
        let nonces = Nonces::new(Zeroizing::new([1; 64]));
        let nonce = nonces.give(Duration::from_secs(5));
        let at = |seconds| Duration::from_secs(seconds);
        let with = |count| shown(&nonce, count, |header| header).unwrap();
        assert!(nonces.knows(&with(1), at(65)) && !nonces.knows(&with(1), at(66)));
        assert!(nonces.count(&with(1), at(6)) && !nonces.count(&with(1), at(6)), "a repeat");
        assert!(nonces.count(&with(9), at(6)) && !nonces.count(&with(8), at(6)));
        assert!(!nonces.count(&with(10), at(66)), "after its end");
        let other = Nonces::new(Zeroizing::new([2; 64]));
        for foreign in
            [other.give(at(5)), String::new(), "!".into(), URL_SAFE_NO_PAD.encode([0; 48]), "A".repeat(9_000)]
        {
            assert!(!nonces.knows(&shown(&foreign, 1, |header| header).unwrap(), at(6)), "{foreign}");
        }
        // What ended is forgotten.
        let late = nonces.give(at(100));
        assert!(nonces.count(&shown(&late, 1, |header| header).unwrap(), at(100)));
        assert_eq!(nonces.used.lock().unwrap().len(), 1);
    }
}
