//! Names of parties and things: 16 random bytes each, told apart by type, printed as base64url without padding.
//! They carry no meaning and no secret, and they never name a person or a plate.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// base64url without padding (RFC 4648 section 5), the form of ids, digests and keys in text.
#[must_use]
pub fn b64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url without padding to exactly `N` bytes.
#[must_use]
pub fn from_b64url<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// Parses the 22 characters of its text form.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                from_b64url(text).map(Self)
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&b64url(&self.0))
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )*};
}

id! {
    /// An agency: owner of an archive, or requester.
    AgencyId
    /// A recorder of an agency.
    RecorderId
    /// An epoch: one run of one sealer.
    EpochId
    /// A request, chosen by the requester.
    RequestId
}

/// Place of a keeper in its charter, 1 to 16; also the index of its key shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeeperIndex(pub u8);
