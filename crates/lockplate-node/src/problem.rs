//! Problem documents (RFC 9457): the one shape in which any HTTP surface of Lockplate says no, and in which a client
//! reads it. They never carry a value from an input, a path, SQL or a backtrace: title and detail are fixed sentences
//! of the table below. A handler makes a [`Problem`] from a [`ProblemKind`]; `http` adds the request id and sends it,
//! `client` parses it back.

use core::fmt;

use serde::{Deserialize, Serialize};

/// What stands before the slug in the member `type` (interfaces.md section 6).
pub const TYPE_PREFIX: &str = "urn:lockplate:problem:";

/// What stands before the request id in the member `instance`.
pub const INSTANCE_PREFIX: &str = "urn:lockplate:request:";

/// The media type of a problem document (RFC 9457 §3).
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Largest problem document a client reads, in bytes.
pub const PROBLEM_BYTES_MAX: usize = 16 * 1024;

/// Most culprits a document names: the greatest number of keepers of a charter (LPv1 §3).
pub const KEEPERS_MAX: usize = 16;

/// Longest `rule`, `citation` or `pointer`, in bytes.
pub const MEMBER_BYTES_MAX: usize = 512;

/// Shortest request id taken over from a caller, in characters: longer than any plate (16), so that no plate comes back
/// as an id.
pub const REQUEST_ID_CHARS_MIN: usize = 20;

/// Longest request id taken over from a caller, in characters.
pub const REQUEST_ID_CHARS_MAX: usize = 64;

/// An id by which a caller and an operator speak of one HTTP request: 20 to 64 of `A-Z a-z 0-9 - _`.
///
/// Not the id of a search request, which is signed and logged; this one is only for traces and support.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// Takes over the id of a caller, or nothing where it is too short, too long or of other characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let length_fits = (REQUEST_ID_CHARS_MIN..=REQUEST_ID_CHARS_MAX).contains(&text.len());
        let characters_fit = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (length_fits && characters_fit).then(|| Self(text.to_owned()))
    }

    /// An id of 16 random bytes, as 32 hexadecimal digits.
    #[must_use]
    pub fn random(rng: &mut impl rand_core::CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(hex::encode(bytes))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! problem_table {
    ($($(#[$doc:meta])* $kind:ident, $slug:literal, $status:literal, $title:literal, $detail:literal;)+) => {
        /// Why a request got no answer. Slug, status, title and sentence of each stand in one table (interfaces.md
        /// section 6, intake.md section 6).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ProblemKind {
            $($(#[$doc])* $kind,)+
        }

        impl ProblemKind {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The last part of the member `type`.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$kind => $slug,)+ }
            }

            /// The HTTP status, 400 to 599.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$kind => $status,)+ }
            }

            /// A few words for a heading.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)+ }
            }

            /// The fixed sentence: whose fault, and what to do.
            #[must_use]
            pub const fn detail(self) -> &'static str {
                match self { $(Self::$kind => $detail,)+ }
            }
        }
    };
}

problem_table! {
    /// The bytes are not what the endpoint reads.
    Malformed, "malformed", 400, "Malformed request", "the request cannot be read as this endpoint expects it; compare it with the API description";
    /// Readable, but a value or a signature is not acceptable.
    Invalid, "invalid", 422, "Invalid request", "the request can be read but a value, signature or reference in it does not hold; repeating it will not help";
    /// Refused by policy: a decision, with its rule and its number on the register.
    Refused, "refused", 403, "Refused by policy", "the policy refuses this request; the rule names what would make it lawful";
    /// Nobody is signed in, or the signature of the caller is missing.
    NotSignedIn, "not-signed-in", 401, "Not signed in", "sign in, or sign the request, and send it again";
    /// Not there, or not the caller's: the two cannot be told apart from outside.
    NotFound, "not-found", 404, "Not found", "there is nothing here, or it is not yours";
    /// The endpoint exists, with other methods.
    MethodNotAllowed, "method-not-allowed", 405, "Method not allowed", "this address does not answer this method";
    /// The body is larger than this endpoint reads.
    TooLarge, "too-large", 413, "Too large", "the body is larger than this endpoint accepts";
    /// The media type of the body is not the endpoint's.
    UnsupportedType, "unsupported-type", 415, "Unsupported media type", "send the body in the media type of the API description";
    /// A grant or prekey was used before.
    Spent, "spent", 409, "Already spent", "this was used before and works only once";
    /// Another request has changed what this one builds on, or its id was used for other content.
    Conflicting, "conflicting", 409, "Conflict", "this contradicts what is already recorded; read the present state and try again";
    /// What a request rested on no longer counts.
    Lapsed, "lapsed", 403, "Not allowed any more", "what the request rested on no longer counts: its paper was withdrawn or is over, or the officer is no longer in service; file a new request";
    /// Too many requests of this caller.
    Rate, "rate", 429, "Too many requests", "the quota is used up; try again later";
    /// The epochs asked for are destroyed; nobody can open them again.
    EpochDestroyed, "epoch-destroyed", 410, "Destroyed", "the hours asked for are destroyed and cannot be read again by anybody";
    /// What was private of the request is erased after the time the charter sets.
    OpeningErased, "opening-erased", 410, "Erased", "what was private of this request is erased after its time and cannot be read again by anybody";
    /// Fewer keepers answered than the threshold needs.
    TooFewKeepers, "too-few-keepers", 503, "Too few keepers", "not enough keepers have answered; try again later";
    /// A keeper's answer failed verification; `keepers` names it.
    KeeperMisbehaved, "keeper-misbehaved", 502, "A keeper misbehaved", "the answer of a keeper failed verification; it was discarded and recorded";
    /// Something this depends on is down, full or slow.
    Unavailable, "unavailable", 503, "Unavailable", "this cannot be answered at the moment; try again later";
    /// Our bug. Nothing but the request id leaves.
    Internal, "internal", 500, "Internal error", "this is a fault of the software; report the request id";
    /// The log's witnesses have not confirmed, so nothing is done.
    LogUnwitnessed, "log-unwitnessed", 503, "Register not confirmed", "the independent watchers have not confirmed the register; the same request works once they have";
    /// A payload of a camera cannot be parsed.
    IntakeMalformed, "intake-malformed", 400, "Malformed payload", "the payload cannot be parsed in the format of this camera";
    /// The camera is unknown or its token is wrong.
    IntakeUnknownCamera, "intake-unknown-camera", 403, "Unknown camera", "no camera is known by this token";
    /// No intake at this address.
    IntakeNotFound, "intake-not-found", 404, "No such intake", "there is no intake at this address";
    /// A payload beyond the size limit of its format.
    IntakeTooLarge, "intake-too-large", 413, "Payload too large", "the payload is larger than this intake accepts";
    /// A media type the engine of this camera does not send.
    IntakeUnsupportedType, "intake-unsupported-type", 415, "Unsupported payload type", "the media type is not one this camera's format uses";
    /// A field without which there is no read.
    IntakeMissingField, "intake-missing-field", 422, "Missing field", "a field without which there is no read is missing";
    /// A time, place or confidence out of range.
    IntakeOutOfRange, "intake-out-of-range", 422, "Value out of range", "a value of the payload is out of its range";
    /// A read older than retention or backfill allows.
    IntakeTooOld, "intake-too-old", 422, "Read too old", "the read is older than may be taken in";
    /// The camera sends faster than its quota.
    IntakeRate, "intake-rate", 429, "Too many reads", "this camera sends faster than its quota; keep the reads and send them later";
    /// No sealed place for reads is ready.
    IntakeUnavailable, "intake-unavailable", 503, "Intake unavailable", "reads cannot be sealed at the moment; keep them and send them later";
}

impl ProblemKind {
    /// The kind a slug names, or nothing.
    #[must_use]
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.slug() == slug)
    }

    /// The kind for a response that some library made with a bare status, so that its text never leaves the process.
    #[must_use]
    pub const fn from_bare_status(status: u16) -> Self {
        match status {
            401 => Self::NotSignedIn,
            403 | 404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            409 => Self::Conflicting,
            410 => Self::EpochDestroyed,
            413 => Self::TooLarge,
            415 => Self::UnsupportedType,
            422 => Self::Invalid,
            429 => Self::Rate,
            503 => Self::Unavailable,
            400..=499 => Self::Malformed,
            _ => Self::Internal,
        }
    }
}

/// A problem document: a kind and the members that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    kind: ProblemKind,
    request_id: Option<RequestId>,
    rule: Option<String>,
    citation: Option<String>,
    register: Option<u64>,
    keepers: Vec<u8>,
    retry_after_s: Option<u32>,
    pointer: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
}

impl Problem {
    /// A problem of this kind without further members.
    #[must_use]
    pub const fn new(kind: ProblemKind) -> Self {
        Self {
            kind,
            request_id: None,
            rule: None,
            citation: None,
            register: None,
            keepers: Vec::new(),
            retry_after_s: None,
            pointer: None,
            line: None,
            column: None,
        }
    }

    /// A refusal by policy: the rule, its citation, and the number of the decision on the public register.
    #[must_use]
    pub fn refused(rule: impl Into<String>, citation: impl Into<String>, register: u64) -> Self {
        let (rule, citation) = (Some(rule.into()), Some(citation.into()));
        Self { rule, citation, register: Some(register), ..Self::new(ProblemKind::Refused) }
    }

    /// Names the rule that refuses, where nothing is on a register.
    #[must_use]
    pub fn with_rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// Names culprits by their index in the charter (1..n); at most [`KEEPERS_MAX`] are kept.
    #[must_use]
    pub fn with_keepers(mut self, keepers: impl IntoIterator<Item = u8>) -> Self {
        self.keepers = keepers.into_iter().take(KEEPERS_MAX).collect();
        self
    }

    /// Says when to try again, in seconds; also sent as `Retry-After`.
    #[must_use]
    pub const fn with_retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Points at a field by name. Takes only text of the program, so that no key of an input comes back (RFC 6901
    /// pointer).
    #[must_use]
    pub fn with_pointer(mut self, pointer: &'static str) -> Self {
        self.pointer = Some(pointer.to_owned());
        self
    }

    /// Says where in the body parsing failed, both counted from 1.
    #[must_use]
    pub const fn with_position(mut self, line: u32, column: u32) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }

    /// Sets the id of the request; done by the server for every problem that leaves it.
    #[must_use]
    pub fn with_request_id(mut self, request_id: RequestId) -> Self {
        self.request_id = Some(request_id);
        self
    }

    /// Why there is no answer.
    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The id under which the server traced the request.
    #[must_use]
    pub const fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }

    /// The rule that refused.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// The law the rule stands for.
    #[must_use]
    pub fn citation(&self) -> Option<&str> {
        self.citation.as_deref()
    }

    /// Part of the request that does not fit.
    #[must_use]
    pub fn pointer(&self) -> Option<&str> {
        self.pointer.as_deref()
    }

    /// The number of the decision on the public register.
    #[must_use]
    pub const fn register(&self) -> Option<u64> {
        self.register
    }

    /// The culprits, by index in the charter.
    #[must_use]
    pub fn keepers(&self) -> &[u8] {
        &self.keepers
    }

    /// Seconds to wait before the next try.
    #[must_use]
    pub const fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }

    /// Line and column where parsing failed, counted from 1.
    #[must_use]
    pub const fn position(&self) -> Option<(u32, u32)> {
        match (self.line, self.column) {
            (Some(line), Some(column)) => Some((line, column)),
            (None, _) | (_, None) => None,
        }
    }

    /// The document as JSON text.
    #[must_use]
    #[expect(
        clippy::missing_panics_doc,
        reason = "no caller can make it panic: the struct has string keys and plain values"
    )]
    pub fn to_json(&self) -> String {
        let id = self.request_id.as_ref().map(RequestId::as_str);
        let wire = WireOut {
            r#type: format!("{TYPE_PREFIX}{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.kind.status(),
            detail: self.kind.detail(),
            instance: id.map(|id| format!("{INSTANCE_PREFIX}{id}")),
            request_id: id,
            rule: self.rule.as_deref(),
            citation: self.citation.as_deref(),
            register: self.register,
            keepers: &self.keepers,
            retry_after_s: self.retry_after_s,
            pointer: self.pointer.as_deref(),
            line: self.line,
            column: self.column,
        };
        serde_json::to_string(&wire).expect("strings and numbers always serialise")
    }

    /// Parses the document another party sent with HTTP status `status`.
    ///
    /// The other party is not trusted: the slug must be one of the table, the status must be that of the slug and of
    /// the response, and title and detail are ignored, so that only our own sentences are ever shown. Unknown members
    /// are ignored (RFC 9457 §3.2).
    ///
    /// # Errors
    /// [`NotAProblem`] for anything else.
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, NotAProblem> {
        if body.len() > PROBLEM_BYTES_MAX {
            return Err(NotAProblem);
        }
        let wire: WireIn = serde_json::from_slice(body).map_err(|_shown_to_nobody| NotAProblem)?;
        let slug = wire.r#type.strip_prefix(TYPE_PREFIX).ok_or(NotAProblem)?;
        let kind = ProblemKind::from_slug(slug).ok_or(NotAProblem)?;
        let short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= MEMBER_BYTES_MAX);
        let members_fit =
            short(&wire.rule) && short(&wire.citation) && short(&wire.pointer) && wire.keepers.len() <= KEEPERS_MAX;
        if kind.status() != status || wire.status.is_some_and(|said| said != status) || !members_fit {
            return Err(NotAProblem);
        }
        Ok(Self {
            kind,
            request_id: wire.request_id.as_deref().and_then(RequestId::parse),
            rule: wire.rule,
            citation: wire.citation,
            register: wire.register,
            keepers: wire.keepers,
            retry_after_s: wire.retry_after_s,
            pointer: wire.pointer,
            line: wire.line,
            column: wire.column,
        })
    }
}

impl From<ProblemKind> for Problem {
    fn from(kind: ProblemKind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.detail())
    }
}

impl core::error::Error for Problem {}

/// The body of an error response is not a problem document of this table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAProblem;

impl fmt::Display for NotAProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the error response is not a problem document of Lockplate")
    }
}

impl core::error::Error for NotAProblem {}

#[derive(Serialize)]
struct WireOut<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    citation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    register: Option<u64>,
    #[serde(skip_serializing_if = "<[u8]>::is_empty")]
    keepers: &'a [u8],
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
}

#[derive(Deserialize)]
struct WireIn {
    r#type: String,
    status: Option<u16>,
    request_id: Option<String>,
    rule: Option<String>,
    citation: Option<String>,
    register: Option<u64>,
    #[serde(default)]
    keepers: Vec<u8>,
    retry_after_s: Option<u32>,
    pointer: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SystemRng;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_survives_the_wire_and_no_slug_stands_twice() {
        let mut slugs = BTreeSet::new();
        for &kind in ProblemKind::ALL {
            assert!(slugs.insert(kind.slug()), "{} twice", kind.slug());
            assert_eq!(ProblemKind::from_slug(kind.slug()), Some(kind));
            assert!((400..600).contains(&kind.status()));
            assert!(!kind.detail().ends_with('.') && kind.detail().starts_with(|first: char| first.is_lowercase()));
            let problem = Problem::new(kind)
                .with_request_id(RequestId::random(&mut SystemRng))
                .with_keepers([2, 3])
                .with_retry_after_s(7)
                .with_pointer("/results/0/plate")
                .with_position(3, 14);
            assert_eq!(Problem::parse(kind.status(), problem.to_json().as_bytes()), Ok(problem));
        }
        let refused = Problem::refused("CT-2.1", "Conn. Gen. Stat. (example)", 1042);
        assert_eq!(Problem::parse(403, refused.to_json().as_bytes()), Ok(refused));
    }

    #[test]
    fn statuses_are_those_of_the_design() {
        let expected = [
            (ProblemKind::Malformed, 400),
            (ProblemKind::Invalid, 422),
            (ProblemKind::Refused, 403),
            (ProblemKind::NotSignedIn, 401),
            (ProblemKind::NotFound, 404),
            (ProblemKind::Spent, 409),
            (ProblemKind::Conflicting, 409),
            (ProblemKind::Lapsed, 403),
            (ProblemKind::Rate, 429),
            (ProblemKind::TooFewKeepers, 503),
            (ProblemKind::Unavailable, 503),
            (ProblemKind::KeeperMisbehaved, 502),
            (ProblemKind::EpochDestroyed, 410),
            (ProblemKind::OpeningErased, 410),
            (ProblemKind::Internal, 500),
            (ProblemKind::IntakeMalformed, 400),
            (ProblemKind::IntakeUnknownCamera, 403),
            (ProblemKind::IntakeNotFound, 404),
            (ProblemKind::IntakeTooLarge, 413),
            (ProblemKind::IntakeUnsupportedType, 415),
            (ProblemKind::IntakeMissingField, 422),
            (ProblemKind::IntakeOutOfRange, 422),
            (ProblemKind::IntakeTooOld, 422),
            (ProblemKind::IntakeRate, 429),
            (ProblemKind::IntakeUnavailable, 503),
            (ProblemKind::LogUnwitnessed, 503),
        ];
        for (kind, status) in expected {
            assert_eq!(kind.status(), status, "{}", kind.slug());
        }
    }

    #[test]
    fn a_document_looks_as_published() {
        let id = RequestId::parse("0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(
            Problem::new(ProblemKind::NotFound).with_request_id(id).to_json(),
            r#"{"type":"urn:lockplate:problem:not-found","title":"Not found","status":404,"detail":"there is nothing here, or it is not yours","instance":"urn:lockplate:request:0123456789abcdef0123456789abcdef","request_id":"0123456789abcdef0123456789abcdef"}"#
        );
    }

    #[test]
    fn a_lying_peer_is_not_repeated() {
        let lies = [
            (404, r#"{"type":"urn:lockplate:problem:spent"}"#, "status of another kind"),
            (409, r#"{"type":"urn:lockplate:problem:spent","status":410}"#, "two statuses"),
            (409, r#"{"type":"about:blank"}"#, "foreign type"),
            (409, r#"{"type":"urn:lockplate:problem:nonsense"}"#, "unknown slug"),
            (409, "<html>", "no JSON"),
        ];
        for (status, body, what) in lies {
            assert_eq!(Problem::parse(status, body.as_bytes()), Err(NotAProblem), "{what}");
        }
        let said =
            Problem::parse(409, br#"{"type":"urn:lockplate:problem:spent","detail":"call this number","more":1}"#)
                .unwrap();
        assert_eq!(said.to_string(), ProblemKind::Spent.detail());
        let long = format!(r#"{{"type":"urn:lockplate:problem:spent","rule":"{}"}}"#, "x".repeat(MEMBER_BYTES_MAX + 1));
        assert_eq!(Problem::parse(409, long.as_bytes()), Err(NotAProblem));
    }

    #[test]
    fn request_ids_are_bounded_and_never_as_short_as_a_plate() {
        let at = |len: usize| RequestId::parse(&"a".repeat(len)).is_some();
        assert_eq!([19, 20, 64, 65].map(at), [false, true, true, false]);
        assert_eq!(RequestId::parse("0123456789 0123456789\r\n"), None);
    }

    proptest! {
        #[test]
        fn parsing_is_total(status in 0_u16..700, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _either = Problem::parse(status, &body);
        }
    }
}
