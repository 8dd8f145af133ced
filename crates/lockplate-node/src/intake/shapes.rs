//! The shapes of the last payloads that failed, in memory, for ten minutes after a camera or a source was added: somebody is at
//! work then who needs to see them. Outside that time nothing is looked at, and when it is over nothing is left.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

/// Shapes that are kept; the oldest goes.
const SHAPES_MAX: usize = 8;

/// How long they are kept and shown.
const WINDOW: Duration = Duration::from_secs(600);

/// One payload that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedShape {
    /// Name of its source.
    pub source: String,
    /// When, Unix ms.
    pub at_ms: i64,
    /// Slug of the first of its problems.
    pub slug: &'static str,
    /// Its shape ([`lockplate_intake::shape`]): names, types and lengths, no value.
    pub lines: Vec<String>,
}

/// The window and what was seen in it.
#[derive(Debug, Default)]
pub(super) struct Shapes(Mutex<Option<(Duration, VecDeque<FailedShape>)>>);

impl Shapes {
    /// Opens the window, or opens it anew; `now` is monotonic.
    pub(super) fn watch(&self, now: Duration) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = now.saturating_add(WINDOW);
        match window.as_mut() {
            Some((until, _)) => *until = end,
            None => *window = Some((end, VecDeque::new())),
        }
    }

    /// True while somebody needs them.
    pub(super) fn is_open(&self, now: Duration) -> bool {
        let window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.as_ref().is_some_and(|(until, _)| now < *until)
    }

    /// Those to be shown; none when the window is closed, which empties it.
    pub(super) fn seen(&self, now: Duration) -> Option<Vec<FailedShape>> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *window = window.take().filter(|(until, _)| now < *until);
        window.as_ref().map(|(_, shapes)| shapes.iter().cloned().collect())
    }

    /// Keeps one, if the window is open.
    pub(super) fn note(&self, now: Duration, shape: FailedShape) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, shapes)) = window.as_mut().filter(|(until, _)| now < *until) {
            if shapes.len() >= SHAPES_MAX {
                drop(shapes.pop_front());
            }
            shapes.push_back(shape);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_kept_for_ten_minutes_and_eight_of_them() {
        let shapes = Shapes::default();
        let at = Duration::from_secs;
        let shape =
            |n: i64| FailedShape { source: "gate".into(), at_ms: n, slug: "intake-malformed", lines: Vec::new() };
        shapes.note(at(0), shape(0));
        assert_eq!(shapes.seen(at(0)), None);
        shapes.watch(at(0));
        (1..=9).for_each(|n| shapes.note(at(1), shape(n)));
        assert_eq!(
            shapes.seen(at(599)).unwrap().iter().map(|s| s.at_ms).collect::<Vec<_>>(),
            (2..=9).collect::<Vec<_>>()
        );
        shapes.note(at(600), shape(10));
        assert_eq!(shapes.seen(at(600)), None);
        shapes.watch(at(601));
        assert_eq!(shapes.seen(at(601)), Some(Vec::new()), "nothing is left of the last time");
    }
}
