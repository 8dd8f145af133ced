//! Confidences in 1/1000, on the source's own scale. None is ever invented.

use crate::source::Ignored;

/// `value` on a scale of 0 to `scale`, as 0..=1000. More than 1% outside: absent, and counted.
#[must_use]
pub fn confidence(value: Option<f64>, scale: f64, ignored: &mut Ignored) -> Option<u16> {
    let share = value? / scale;
    if !(-0.01..=1.01).contains(&share) {
        ignored.confidences = ignored.confidences.saturating_add(1);
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000 in the same line")]
    let thousandths = (share.clamp(0.0, 1.0) * 1000.0).round() as u16;
    Some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_confidences() {
        for (value, scale, want) in [
            (Some(0.871), 1.0, Some(871)),
            (Some(87.1), 100.0, Some(871)),
            (Some(0.0), 1.0, Some(0)),
            (Some(1.0), 1.0, Some(1000)),
            (Some(1.01), 1.0, Some(1000)),
            (Some(1.011), 1.0, None),
            (Some(-0.01), 1.0, Some(0)),
            (Some(-0.011), 1.0, None),
            (Some(160.0), 100.0, None),
            (Some(f64::NAN), 1.0, None),
            (Some(f64::INFINITY), 1.0, None),
            (None, 1.0, None),
        ] {
            let mut ignored = Ignored::default();
            assert_eq!(confidence(value, scale, &mut ignored), want, "{value:?}/{scale}");
            assert_eq!(ignored.confidences, u64::from(want.is_none() && value.is_some()));
        }
    }
}
