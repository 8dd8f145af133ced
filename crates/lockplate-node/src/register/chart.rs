//! Charts as SVG files. Each is drawn from the same rows as the table beside it, and says nothing that the table does not:
//! who cannot see the picture loses nothing. No colour alone: every bar has its label and its figure, and a second kind of
//! bar is an outline. No style attribute, so that the pages' policy holds for a picture opened by itself too.

use plotters::prelude::{
    BLACK, Color as _, DrawingAreaErrorKind, EmptyElement, IntoDrawingArea as _, IntoFont as _, RGBColor, Rectangle,
    SVGBackend, Text, TextStyle, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Bars of one chart; more are not readable, and the table has them all.
pub(crate) const BARS_MAX: usize = 16;
/// Characters of a label; the table has the whole one.
const LABEL_CHARS_MAX: usize = 46;

/// Width of a picture. Small, so that its text is still readable where a page of 320 px shrinks it.
const WIDTH: u32 = 420;
const MARGIN: i32 = 6;
/// One label line and one bar.
const ROW: i32 = 42;
/// Room for the figure behind the longest bar.
const FIGURE_ROOM: i32 = 74;

const FILLED: RGBColor = RGBColor(22, 54, 95);
const OUTLINED: RGBColor = RGBColor(138, 28, 22);

/// How a bar looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Solid.
    Filled,
    /// An outline, for what was refused.
    Outlined,
}

/// One bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    /// What it counts.
    pub(crate) label: String,
    /// How many.
    pub(crate) value: u64,
    /// The figure as the table writes it.
    pub(crate) figure: String,
    /// How it looks.
    pub(crate) look: Look,
}

/// Horizontal bars, one below the other, each under its label. Where there are more than [`BARS_MAX`] the first ones are
/// drawn; the caller orders them.
///
/// # Errors
/// None in practice: writing to memory does not fail.
pub(crate) fn bars(bars: &[Bar]) -> Result<String, ChartError> {
    let drawn: Vec<&Bar> = bars.iter().take(BARS_MAX).collect();
    let (_, height) = size(drawn.len());
    let most = drawn.iter().map(|bar| bar.value).max().unwrap_or(0).max(1);
    let full = i32::try_from(WIDTH).unwrap_or(0).saturating_sub(2 * MARGIN).saturating_sub(FIGURE_ROOM);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let style = TextStyle::from(("sans-serif", 18).into_font()).color(&BLACK);
        let at = |v_pos| style.pos(Pos::new(HPos::Left, v_pos));
        for (bar, place) in drawn.iter().zip(0_i32..) {
            let top = MARGIN.saturating_add(place.saturating_mul(ROW));
            let long = scaled(bar.value, most, full);
            let (from, to) = ((MARGIN, top.saturating_add(20)), (MARGIN.saturating_add(long), top.saturating_add(36)));
            area.draw(&(EmptyElement::at((MARGIN, top)) + Text::new(shortened(&bar.label), (0, 1), at(VPos::Top))))?;
            match bar.look {
                Look::Filled => area.draw(&Rectangle::new([from, to], FILLED.filled()))?,
                Look::Outlined => area.draw(&Rectangle::new([from, to], OUTLINED.stroke_width(2)))?,
            }
            let beside = (to.0.saturating_add(6), top.saturating_add(28));
            area.draw(&Text::new(bar.figure.clone(), beside, at(VPos::Center)))?;
        }
        area.present()?;
    }
    Ok(svg)
}

/// Width and height of a picture of so many bars.
pub(crate) fn size(bars: usize) -> (u32, u32) {
    let rows = u32::try_from(bars.clamp(1, BARS_MAX)).unwrap_or(1);
    (WIDTH, rows.saturating_mul(ROW.unsigned_abs()).saturating_add(2 * MARGIN.unsigned_abs()))
}

/// Length of a bar; a value above zero is never drawn as nothing.
fn scaled(value: u64, most: u64, full: i32) -> i32 {
    let long = u128::from(value).saturating_mul(u128::from(full.unsigned_abs())).checked_div(u128::from(most));
    let long = i32::try_from(long.unwrap_or(0)).unwrap_or(full);
    if value == 0 { 0 } else { long.max(2) }
}

fn shortened(label: &str) -> String {
    if label.chars().count() <= LABEL_CHARS_MAX {
        return label.to_owned();
    }
    let kept: String = label.chars().take(LABEL_CHARS_MAX.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// The drawing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChartError;

impl<E: core::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for ChartError {
    fn from(_memory_does_not_fail: DrawingAreaErrorKind<E>) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, value: u64) -> Bar {
        Bar { label: label.to_owned(), value, figure: value.to_string(), look: Look::Filled }
    }

    #[test]
    fn a_chart_holds_every_label_and_figure_and_no_style() {
        let svg = bars(&[bar("Granted", 1_031), Bar { look: Look::Outlined, ..bar("Refused", 7) }]).unwrap();
        for text in ["Granted", "1031", "Refused", ">\n7"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(svg.starts_with("<svg") && !svg.contains("style="), "{svg}");
    }

    #[test]
    fn text_cannot_leave_its_element() {
        let svg = bars(&[bar("<script>alert(1)</script>&\"'", 1)]).unwrap();
        assert!(!svg.contains("<script") && svg.contains("&lt;script"), "{svg}");
    }

    #[test]
    fn lengths_are_in_proportion_and_never_vanish() {
        assert_eq!((scaled(10, 10, 300), scaled(5, 10, 300), scaled(0, 10, 300)), (300, 150, 0));
        assert_eq!((scaled(1, u64::MAX, 300), scaled(u64::MAX, u64::MAX, 300)), (2, 300));
    }

    #[test]
    fn long_labels_and_many_bars_are_bounded() {
        let svg = bars(&(0..=BARS_MAX).map(|n| bar(&format!("agency {n}"), 1)).collect::<Vec<_>>()).unwrap();
        assert!(svg.contains("agency 15") && !svg.contains("agency 16"));
        assert_eq!(shortened(&"é".repeat(LABEL_CHARS_MAX)).chars().count(), LABEL_CHARS_MAX);
        let cut = shortened(&"é".repeat(LABEL_CHARS_MAX + 1));
        assert!(cut.ends_with('…') && cut.chars().count() == LABEL_CHARS_MAX);
        assert!(bars(&[]).unwrap().starts_with("<svg"));
    }
}
