//! What was measured, compared with its bar and its peer: as JSON, as a Markdown table, and drawn.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use plotters::prelude::{
    BLACK, ChartBuilder, Circle, Color as _, IntoDrawingArea as _, IntoLogRange as _, PathElement, RGBColor,
    SVGBackend, ShapeStyle, Text, TextStyle, WHITE,
};
use serde_json::{Value, json};

/// Several measurements of one thing, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(pub(crate) Vec<f64>);

impl Series {
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// By linear interpolation between the two nearest.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let mut below = f64::NAN;
        let place = part * (f64::from(u32::try_from(sorted.len()).unwrap_or(u32::MAX)) - 1.0);
        for (at, value) in sorted.iter().enumerate() {
            let over = f64::from(u32::try_from(at).unwrap_or(u32::MAX)) - place;
            if over >= 0.0 {
                return if over > 0.0 && below.is_finite() { value - (value - below) * over } else { *value };
            }
            below = *value;
        }
        below
    }

    fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    fn json(&self) -> Value {
        json!({ "median": self.median(), "min": self.min(), "max": self.max(), "all": self.0 })
    }

    /// Median, and in brackets what it lies between.
    fn show(&self) -> String {
        match self.0.as_slice() {
            [one] => number(*one),
            _ => format!("{} ({} to {})", number(self.median()), number(self.min()), number(self.max())),
        }
    }
}

/// Three significant digits or, from a thousand on, whole numbers.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => {
            let digits = format!("{value:.0}");
            let mut grouped = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) && !grouped.ends_with('-') {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// What must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bar {
    /// Ours, in its unit.
    AtLeast(f64),
    /// Ours, in its unit.
    AtMost(f64),
    /// Ours over the peer's.
    TimesPeerAtLeast(f64),
    /// Ours over the peer's.
    TimesPeerAtMost(f64),
}

/// One thing that was measured.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: Series,
    /// What it is compared with, measured in turn with ours: the ratios are those of the rounds.
    pub(crate) peer: Option<(String, Series)>,
    pub(crate) bar: Option<Bar>,
}

impl Figure {
    /// Without a peer.
    pub(crate) fn alone(what: impl Into<String>, unit: &'static str, ours: Series, bar: Option<Bar>) -> Self {
        Self { what: what.into(), unit, ours, peer: None, bar }
    }

    /// Ours over the peer's, a round.
    fn ratios(&self) -> Option<Series> {
        let (_, peer) = self.peer.as_ref()?;
        Some(Series(self.ours.0.iter().zip(&peer.0).map(|(ours, peer)| ours / peer).collect()))
    }

    /// How far beyond the bar: 1 is just met, 2 twice as good as asked for. None without bar.
    fn beyond(&self) -> Option<f64> {
        let ratio = || self.ratios().map_or(f64::NAN, |ratios| ratios.median());
        Some(match self.bar? {
            Bar::AtLeast(bar) => self.ours.median() / bar,
            // Nothing where nothing is asked for.
            Bar::AtMost(bar) if bar <= 0.0 && self.ours.median() <= 0.0 => 1.0,
            Bar::AtMost(bar) => bar / self.ours.median(),
            Bar::TimesPeerAtLeast(bar) => ratio() / bar,
            Bar::TimesPeerAtMost(bar) => bar / ratio(),
        })
    }

    /// None without bar, and where the peer that the bar speaks of is not there.
    fn met(&self) -> Option<bool> {
        self.beyond().filter(|beyond| !beyond.is_nan()).map(|beyond| beyond >= 1.0)
    }

    fn bar_text(&self) -> String {
        match self.bar {
            None => String::new(),
            Some(Bar::AtLeast(bar)) => format!("≥ {} {}", number(bar), self.unit),
            Some(Bar::AtMost(bar)) => format!("≤ {} {}", number(bar), self.unit),
            Some(Bar::TimesPeerAtLeast(bar)) => format!("≥ {bar} × peer"),
            Some(Bar::TimesPeerAtMost(bar)) => format!("≤ {bar} × peer"),
        }
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what, "unit": self.unit, "ours": self.ours.json(),
            "peer": self.peer.as_ref().map(|(name, series)| json!({ "name": name, "figures": series.json() })),
            "ratio": self.ratios().map(|ratios| ratios.json()), "bar": self.bar.map(|_| self.bar_text()), "met": self.met(),
            "times_bar": self.beyond(),
        })
    }
}

struct Part {
    row: &'static str,
    about: &'static str,
    figures: Vec<Figure>,
    how: Vec<String>,
}

/// All rows of a run.
pub(crate) struct Report {
    quick: bool,
    machine: Value,
    parts: Vec<Part>,
}

impl Report {
    pub(crate) fn new(quick: bool, machine: Value) -> Self {
        Self { quick, machine, parts: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: &'static str, about: &'static str, figures: Vec<Figure>, how: Vec<String>) {
        self.parts.push(Part { row, about, figures, how });
    }

    /// No bar was missed. A quick run is too short to judge by.
    pub(crate) fn bars_met(&self) -> bool {
        self.quick || self.parts.iter().flat_map(|part| &part.figures).all(|figure| figure.met() != Some(false))
    }

    pub(crate) fn markdown(&self) -> String {
        let machine = |name: &str| {
            let value = &self.machine[name];
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        };
        let mut text = format!(
            "# Bars{}\n\n{}, {} cores, {}, Linux {}, {}; load when it began: {}. {}, {} build. Commit {}{}.\n\nMedians, and in brackets the lowest and the \
             highest round.\n\n| Row | What | Ours | Peer | Ours / peer | Bar | |\n|---|---|---:|---:|---:|---|---|\n",
            if self.quick { " (quick)" } else { "" },
            machine("processor"),
            machine("cores"),
            machine("memory"),
            machine("kernel"),
            machine("file_system"),
            machine("load"),
            machine("rustc"),
            machine("build"),
            machine("commit"),
            if self.machine["changed_since_commit"] == true { ", with changes that are not in it" } else { "" },
        );
        for part in &self.parts {
            for figure in &part.figures {
                text.push_str(&format!(
                    "| {} | {}, {} | {} | {} | {} | {} | {} |\n",
                    part.row,
                    figure.what,
                    figure.unit,
                    figure.ours.show(),
                    figure
                        .peer
                        .as_ref()
                        .map_or_else(String::new, |(name, series)| format!("{name}: {}", series.show())),
                    figure.ratios().map_or_else(String::new, |ratios| ratios.show()),
                    figure.bar_text(),
                    match (figure.bar, figure.met()) {
                        (None, _) => "",
                        (Some(_), Some(true)) => "met",
                        (Some(_), Some(false)) => "**missed**",
                        (Some(_), None) => "no peer here",
                    },
                ));
            }
        }
        for part in &self.parts {
            text.push_str(&format!("\n## {}: {}\n\n", part.row, part.about));
            for sentence in &part.how {
                text.push_str(&format!("- {sentence}\n"));
            }
        }
        text
    }

    /// Writes `bars.json`, `bars.md` and `bars.svg`.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let rows: Vec<Value> = self
            .parts
            .iter()
            .map(|part| {
                let figures: Vec<Value> = part.figures.iter().map(Figure::json).collect();
                json!({ "row": part.row, "about": part.about, "figures": figures, "how": part.how })
            })
            .collect();
        let document = json!({ "quick": self.quick, "machine": self.machine, "rows": rows });
        std::fs::write(folder.join("bars.json"), serde_json::to_vec_pretty(&document)?).context("bars.json")?;
        std::fs::write(folder.join("bars.md"), self.markdown()).context("bars.md")?;
        std::fs::write(folder.join("bars.svg"), self.plot()?).context("bars.svg")
    }

    /// A line a figure that has a bar: how far beyond it, on a logarithmic scale.
    fn plot(&self) -> anyhow::Result<String> {
        let lines: Vec<(String, f64)> = self
            .parts
            .iter()
            .flat_map(|part| part.figures.iter().map(move |figure| (part, figure)))
            .filter_map(|(part, figure)| {
                let beyond = figure.beyond().filter(|beyond| beyond.is_finite() && *beyond > 0.0)?;
                Some((format!("{} {} ({})", part.row, figure.what, figure.bar_text()), beyond))
            })
            .collect();
        let count = i32::try_from(lines.len())?;
        let (width, height) = (1_000_u32, 90 + 34 * u32::try_from(lines.len())?);
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
            area.fill(&WHITE)?;
            let least = lines.iter().map(|(_, beyond)| *beyond).fold(0.5, f64::min) * 0.8;
            let most = lines.iter().map(|(_, beyond)| *beyond).fold(2.0, f64::max) * 1.25;
            let mut chart = ChartBuilder::on(&area)
                .margin(12)
                .caption("Times better than the bar (1 = just met)", ("sans-serif", 17))
                .x_label_area_size(28)
                .build_cartesian_2d((least..most).log_scale(), -count..1)?;
            chart
                .configure_mesh()
                .disable_y_mesh()
                .disable_y_axis()
                .x_label_formatter(&|value| number(*value))
                .draw()?;
            chart.draw_series([PathElement::new(vec![(1.0, -count), (1.0, 1)], BLACK.stroke_width(2))])?;
            for (at, (label, beyond)) in (0_i32..).zip(&lines) {
                let colour = if *beyond >= 1.0 { RGBColor(0, 110, 60) } else { RGBColor(176, 30, 30) };
                let style = ShapeStyle { color: colour.to_rgba(), filled: true, stroke_width: 3 };
                chart.draw_series([PathElement::new(vec![(1.0, -at), (*beyond, -at)], style)])?;
                chart.draw_series([Circle::new((*beyond, -at), 5, style)])?;
                let text = TextStyle::from(("sans-serif", 13)).color(&BLACK);
                chart.draw_series([Text::new(
                    format!("{label}: {}", number(*beyond)),
                    (least * 1.02, -at),
                    text.pos(plotters::style::text_anchor::Pos::new(
                        plotters::style::text_anchor::HPos::Left,
                        plotters::style::text_anchor::VPos::Bottom,
                    )),
                )])?;
            }
            area.present()?;
        }
        Ok(svg)
    }
}

/// On what was measured.
pub(crate) fn machine(root: &Path, work: &Path) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(root).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let dirty =
        said("git", &["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    let existing = work.ancestors().find(|folder| folder.exists()).unwrap_or(root);
    json!({
        "processor": field(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().ok().map(std::num::NonZero::get),
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
        "load": read("/proc/loadavg").trim(),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "file_system": said("df", &["--output=fstype", &existing.display().to_string()])
            .and_then(|text| text.lines().last().map(str::to_owned)),
        "rustc": said("rustc", &["--version"]),
        "commit": said("git", &["rev-parse", "HEAD"]),
        "changed_since_commit": dirty,
        "profile": "release",
        "build": if cfg!(target_feature = "avx2") { "native" } else { "portable" },
    })
}
