//! The day of a town, which stands still until a test moves it, and seconds that really pass for what waits or is rationed.

use std::sync::Arc;
use std::time::Duration;

use lockplate_node::clock::{Clock, SystemClock, TestClock};

pub(crate) struct TownClock {
    wall: Arc<TestClock>,
    waits: SystemClock,
}

impl TownClock {
    pub(crate) fn over(wall: &Arc<TestClock>) -> Arc<Self> {
        Arc::new(Self { wall: Arc::clone(wall), waits: SystemClock::new() })
    }
}

impl Clock for TownClock {
    fn now_ms(&self) -> i64 {
        self.wall.now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.wall.monotonic() + self.waits.monotonic()
    }
}
