//! What may not leave the process before other parties have confirmed the log (`log.md` section 3, step 9): a value that rests
//! on a leaf is an [`Unreleased`], and only a [`Releaser`] gives it out, once the checkpoint that covers the leaf is published
//! with its quorum. A value cannot be read before that, so no door can forget to wait:
//!
//! ```compile_fail,E0616
//! fn tell_early(answer: lockplate_node::release::Unreleased<u8>) -> u8 {
//!     answer.value
//! }
//! ```

use core::fmt;
use std::time::Duration;

use lockplate_core::charter::LeafWait;
use tokio::sync::watch;

use crate::problem::ProblemKind;

/// How long a caller is kept waiting for the quorum. The leaf stays; the same request finds it later.
pub const RELEASE_MAX: Duration = Duration::from_secs(10);

/// A value that rests on the leaves of a log below some size. Dropped, it was never told.
#[must_use = "a value that is not released is told to nobody"]
pub struct Unreleased<T> {
    value: T,
    size: u64,
}

impl<T> fmt::Debug for Unreleased<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unreleased").field("size", &self.size).finish_non_exhaustive()
    }
}

impl<T> Unreleased<T> {
    /// Rests on leaf `index`.
    pub const fn on_leaf(value: T, index: u64) -> Self {
        Self { value, size: index.saturating_add(1) }
    }

    /// Rests on everything the log holds, `size` leaves: for values whose own leaf is not known any more.
    pub const fn on_log(value: T, size: u64) -> Self {
        Self { value, size }
    }

    /// Rests on no leaf of this log.
    pub const fn at_once(value: T) -> Self {
        Self { value, size: 0 }
    }

    /// Another value made from this one; it rests on the same leaves.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Unreleased<U> {
        Unreleased { value: make(self.value), size: self.size }
    }
}

/// The size of a log that is published with its quorum: whoever publishes raises it, and everybody who waits goes on. Cheap to
/// clone; all clones are the same log's.
#[derive(Clone, Debug)]
pub struct Published(watch::Sender<u64>);

impl Published {
    /// So many leaves are published already.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self(watch::Sender::new(size))
    }

    /// What waits for it.
    #[must_use]
    pub fn releaser(&self) -> Releaser {
        Releaser { published: self.0.subscribe(), patience: RELEASE_MAX }
    }

    /// So many leaves are published now; it only grows.
    pub fn raise(&self, size: u64) {
        self.0.send_if_modified(|published| {
            let grows = *published < size;
            *published = (*published).max(size);
            grows
        });
    }
}

/// Gives out what is confirmed. Cheap to clone; all clones watch the same log.
#[derive(Clone, Debug)]
pub struct Releaser {
    published: watch::Receiver<u64>,
    patience: Duration,
}

impl Releaser {
    /// The published size.
    #[must_use]
    pub fn published(&self) -> u64 {
        *self.published.borrow()
    }

    /// The value, once its leaves are published; at once where they are, or where the charter has this log wait for its own disk
    /// only.
    ///
    /// # Errors
    /// [`ProblemKind::LogUnwitnessed`] after [`RELEASE_MAX`], or where the log's process ends.
    pub async fn release<T>(&self, held: Unreleased<T>, wait: LeafWait) -> Result<T, ProblemKind> {
        let Unreleased { value, size } = held;
        match wait {
            LeafWait::Durable => Ok(value),
            LeafWait::Cosigned => self.wait_for(size).await.map(|()| value),
        }
    }

    /// Waits until so many leaves are published.
    ///
    /// # Errors
    /// As [`release`](Self::release).
    pub async fn wait_for(&self, size: u64) -> Result<(), ProblemKind> {
        let mut published = self.published.clone();
        let reached = published.wait_for(|published| *published >= size);
        match tokio::time::timeout(self.patience, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(ProblemKind::LogUnwitnessed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_value_comes_out_when_its_leaf_is_published_and_not_before() {
        let published = Published::new(3);
        let releaser = Releaser { patience: Duration::from_millis(50), ..published.releaser() };
        assert_eq!(releaser.release(Unreleased::on_leaf("old", 2), LeafWait::Cosigned).await, Ok("old"));
        assert_eq!(releaser.release(Unreleased::at_once("none"), LeafWait::Cosigned).await, Ok("none"));
        assert_eq!(releaser.release(Unreleased::on_leaf("own disk", 3), LeafWait::Durable).await, Ok("own disk"));
        let refused = releaser.release(Unreleased::on_leaf("new", 3), LeafWait::Cosigned).await;
        assert_eq!(refused, Err(ProblemKind::LogUnwitnessed));
        let patient = published.releaser();
        let (told, ()) = tokio::join!(patient.release(Unreleased::on_leaf("new", 3), LeafWait::Cosigned), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            published.raise(2);
            assert_eq!(patient.published(), 3, "it only grows");
            published.raise(4);
        });
        assert_eq!(told, Ok("new"));
        let refused = releaser.release(Unreleased::on_log("log", 5), LeafWait::Cosigned).await;
        assert_eq!(refused, Err(ProblemKind::LogUnwitnessed));
        drop(published);
        assert_eq!(patient.wait_for(5).await, Err(ProblemKind::LogUnwitnessed), "nobody publishes any more");
    }
}
