//! The keepers as the recorder calls them: prekeys, shares, closes. Every answer is checked against the charter's keys
//! before it counts; a keeper that cannot be reached or lies costs that keeper and nothing else.

use lockplate_core::charter::CharterFile;
use lockplate_core::epoch::{EpochClose, EpochHeader, Prekey, PrekeyOrder, ShareReceipt};
use lockplate_core::id::KeeperIndex;
use lockplate_core::sign::{Signed, VerifyKey};

use crate::api::{B64, Done, EpochEnded, Prekeys, PrekeysAsked, ShareDealt, ShareStored};
use crate::client::{AddressError, CallLimits, PeerClient, PeerError, PeerTrust};

/// One keeper of the charter.
#[derive(Clone)]
pub(super) struct Keeper {
    pub(super) index: KeeperIndex,
    key: VerifyKey,
    client: PeerClient,
}

/// A keeper gave no usable answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// It said no, or nothing.
    Peer(PeerError),
    /// What it said is not signed by it, or is not about what was asked.
    Lied,
}

impl NoAnswer {
    /// For a trace: no text of the peer.
    pub(super) fn trace(&self, keeper: KeeperIndex, what: &'static str) {
        match self {
            Self::Peer(error) => tracing::warn!(keeper = keeper.0, what, %error, "a keeper gave no usable answer"),
            Self::Lied => tracing::warn!(keeper = keeper.0, what, "a keeper's answer does not verify and is not used"),
        }
    }
}

/// All keepers of a charter, in its order.
pub(super) fn of(charter: &CharterFile) -> Result<Vec<Keeper>, AddressError> {
    let keeper = |entry: &lockplate_core::charter::KeeperEntry| {
        let key = entry.key.public_key().try_into().map_err(|_length| AddressError::NotAnAddress)?;
        let client = PeerClient::new(&entry.url, PeerTrust::Pinned(entry.tls_pin), CallLimits::default())?;
        Ok(Keeper { index: entry.index, key: VerifyKey(key), client })
    };
    charter.charter().keepers.iter().map(keeper).collect()
}

impl Keeper {
    /// Orders prekeys: id, end of validity, signed bytes of each that verifies.
    pub(super) async fn order_prekeys(
        &self,
        order: &Signed<PrekeyOrder>,
    ) -> Result<Vec<([u8; 16], u64, Vec<u8>)>, NoAnswer> {
        let asked = PrekeysAsked { order: B64(order.to_bytes()) };
        let answer: Prekeys = self.client.post_json("/v1/prekeys", &asked, None).await.map_err(NoAnswer::Peer)?;
        let count = usize::from(order.claimed().count);
        let checked = answer.prekeys.iter().take(count).map(|B64(bytes)| {
            let prekey = Signed::<Prekey>::from_bytes(bytes).map_err(|_bad| NoAnswer::Lied)?;
            let value = prekey.verify(&self.key).map_err(|_unsigned| NoAnswer::Lied)?;
            if value.keeper_key_id != self.key.0 {
                return Err(NoAnswer::Lied);
            }
            Ok((value.prekey_id, value.not_after.0, bytes.clone()))
        });
        checked.collect()
    }

    /// Hands over a share; a repeat gets the same receipt.
    pub(super) async fn deal_share(
        &self,
        header: &Signed<EpochHeader>,
        envelope: &[u8],
    ) -> Result<Signed<ShareReceipt>, NoAnswer> {
        let dealt = ShareDealt { header: B64(header.to_bytes()), envelope: B64(envelope.to_vec()) };
        let answer: ShareStored = self.client.post_json("/v1/shares", &dealt, None).await.map_err(NoAnswer::Peer)?;
        let receipt = Signed::<ShareReceipt>::from_bytes(&answer.receipt.0).map_err(|_bad| NoAnswer::Lied)?;
        let value = receipt.verify(&self.key).map_err(|_unsigned| NoAnswer::Lied)?;
        if value.header_hash != header.claimed().hash() || value.index != self.index {
            return Err(NoAnswer::Lied);
        }
        Ok(receipt)
    }

    /// Tells of a close; a repeat is harmless.
    pub(super) async fn tell_close(&self, close: &Signed<EpochClose>) -> Result<(), PeerError> {
        let ended = EpochEnded { close: B64(close.to_bytes()) };
        self.client.post_json("/v1/closes", &ended, None).await.map(|Done {}| ())
    }
}
