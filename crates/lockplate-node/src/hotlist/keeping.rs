//! What outlives a restart: loads that live with the recorder, and what is known of single entries. Sealed, in `agency.db`.

use std::sync::{Arc, Weak};

use axum::body::Bytes;
use lockplate_core::Timestamp;
use lockplate_core::hotlist::kept::{Kept, KeptLoad, open_kept, seal_kept};
use lockplate_core::hotlist::matching::Marks;
use lockplate_core::hotlist::steward::LoadOrder;
use lockplate_core::person::ByPerson;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::load::Brought;
use super::{HotListError, HotLists, Inner, List, PIECES_MAX, locked, store};
use crate::alerts::Marking;
use crate::rng::SystemRng;

impl HotLists {
    /// What is known of single entries, and the loads that live with the recorder.
    pub(super) async fn restore(&self, list: Arc<List>) -> Result<(), HotListError> {
        let id = list.config.settings.list;
        if let Some(sealed) = store::marks(self.db(), id).await? {
            match open_kept(&self.0.key, &id, Kept::Marks, &sealed).and_then(|plain| Marks::from_bytes(&plain)) {
                Ok(marks) => *locked(&list.marks) = marks,
                Err(_torn) => {
                    tracing::error!(list = list.config.name, "what was known of its entries cannot be opened")
                }
            }
        }
        self.put(Arc::clone(&list));
        if list.config.retired {
            return Ok(());
        }
        locked(&list.note).was_loaded = !store::loads(self.db(), id).await?.is_empty();
        for (sequence, sealed) in store::kept(self.db(), id).await? {
            self.load_kept(&list, sequence, &sealed).await;
        }
        Ok(())
    }

    /// Puts a load in force that was logged before. Nobody else has the turn of the list.
    pub(super) async fn load_kept(&self, list: &Arc<List>, sequence: u64, sealed: &[u8]) {
        if !self.try_kept(list, Kept::Load { sequence }, sealed).await {
            tracing::error!(list = list.config.name, "a kept load cannot be put in force again");
        }
    }

    async fn try_kept(&self, list: &Arc<List>, kept: Kept, sealed: &[u8]) -> bool {
        let Ok(plain) = open_kept(&self.0.key, &list.config.settings.list, kept, sealed).map(Zeroizing::new) else {
            return false;
        };
        let Ok(KeptLoad { file, orders, creators }) = KeptLoad::from_bytes(&plain) else { return false };
        let Ok(party) = self.party(list).await else { return false };
        let signed: Option<Vec<_>> = orders.iter().map(|bytes| ByPerson::<LoadOrder>::from_bytes(bytes).ok()).collect();
        let Some(signed) = signed else { return false };
        // Whoever left the agency since signs for nothing any more: such entries are refused, as they would be today.
        let signers = signed.iter().filter_map(|order| party.signer(order)).collect();
        let order = signed.first().map(|order| order.claimed().clone());
        let (send, pieces) = mpsc::channel(PIECES_MAX);
        let whole = Bytes::from(file.to_vec());
        if send.send(Some(whole)).await.is_err() || send.send(Some(Bytes::new())).await.is_err() {
            return false;
        }
        let Ok(Ok(mut taken)) = self.take(list, &Brought::Kept { order, signers }, pieces).await else { return false };
        taken.read.creators.extend(creators);
        self.put_in_force(list, taken.loaded, taken.read.creators, false).await.is_ok()
    }

    pub(super) async fn keep_marks(&self, list: &List) {
        let id = list.config.settings.list;
        let plain = Zeroizing::new(locked(&list.marks).to_bytes());
        let stored = match seal_kept(&self.0.public, &id, Kept::Marks, &plain, &mut SystemRng) {
            Ok(sealed) => store::put_marks(self.db(), id, sealed).await.is_ok(),
            Err(_core) => false,
        };
        if !stored {
            tracing::error!(list = list.config.name, "what is known of its entries cannot be kept over a restart");
        }
    }
}

/// The lists as alerts know them. Weak, so that the two do not keep each other, and the log they write to, open for ever.
struct Marked(Weak<Inner>);

impl Marked {
    fn mark(&self, list: &[u8; 16], change: impl FnOnce(&mut Marks, Timestamp)) {
        if let Some(inner) = self.0.upgrade() {
            HotLists(inner).mark(list, change);
        }
    }
}

impl Marking for Marked {
    fn suspend(&self, list: &[u8; 16], entry_id: &str) {
        self.mark(list, |marks, now| marks.suspend(entry_id, now));
    }

    fn wrong_state(&self, list: &[u8; 16], entry_id: &str) {
        self.mark(list, |marks, _| marks.wrong_state(entry_id));
    }
}

impl HotLists {
    /// What closed alerts do to entries.
    #[must_use]
    pub fn marking(&self) -> Arc<dyn Marking> {
        Arc::new(Marked(Arc::downgrade(&self.0)))
    }

    fn mark(&self, list: &[u8; 16], change: impl FnOnce(&mut Marks, Timestamp)) {
        let Some(list) = self.list(list) else { return };
        change(&mut locked(&list.marks), self.now());
        let lists = self.clone();
        self.0.tasks.spawn("keep marks", async move { lists.keep_marks(&list).await });
    }
}
