//! What was measured, as a table and as JSON.

use serde::Serialize;
use std::fmt::Write;

/// What a ratio must be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Floor {
    /// At least so much.
    Least(f64),
    /// At most so much.
    Most(f64),
}

impl Floor {
    /// Whether a value is what it must be.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Floor::Least(least) => value >= least,
            Floor::Most(most) => value <= most,
        }
    }
}

/// A value held against something.
#[derive(Clone, Debug, Serialize)]
pub struct Against {
    /// Whose value it is held against.
    pub whom: String,
    /// How many times better it is.
    pub ratio: f64,
    /// Where the middle half of the ratios lies, pair by pair.
    pub spread: [f64; 2],
}

/// One measured value.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What work.
    pub work: String,
    /// Whose.
    pub contender: String,
    /// The median.
    pub value: f64,
    /// Where the middle half of the samples lies.
    pub spread: Option<[f64; 2]>,
    /// In what it is measured.
    pub unit: &'static str,
    /// What it is held against.
    pub against: Option<Against>,
    /// What the ratio, or without one the value, must be.
    pub floor: Option<Floor>,
    /// Something to know about it.
    pub note: Option<String>,
}

impl Row {
    /// A value alone.
    pub fn new(
        work: impl Into<String>,
        contender: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) -> Row {
        Row {
            work: work.into(),
            contender: contender.into(),
            value,
            spread: None,
            unit,
            against: None,
            floor: None,
            note: None,
        }
    }

    /// It with what it must be.
    pub fn floor(self, floor: Floor) -> Row {
        let floor = Some(floor);
        Row { floor, ..self }
    }

    /// Whether it is what it must be.
    pub fn holds(&self) -> Option<bool> {
        let value = self.against.as_ref().map_or(self.value, |it| it.ratio);
        Some(self.floor?.holds(value))
    }
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: String,
    /// Its kernel.
    pub kernel: String,
    /// Seconds since the epoch when it began.
    pub began: u64,
    /// The rows.
    pub rows: Vec<Row>,
}

impl Report {
    /// Adds a row, and tells it at once.
    pub fn push(&mut self, row: Row) {
        eprintln!("{}", cells(&row).join("  "));
        self.rows.push(row);
    }

    /// The table, in Markdown.
    pub fn table(&self) -> String {
        let head = [
            "work",
            "contender",
            "median",
            "middle half",
            "against",
            "ratio",
            "middle half",
            "must be",
            "",
        ];
        let mut lines = vec![head.map(str::to_owned)];
        lines.extend(self.rows.iter().map(cells));
        let width = |column: usize| {
            let widths = lines.iter().map(|line| line[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let mut text = format!("{}, Linux {}\n\n", self.machine, self.kernel);
        for (n, line) in lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(&widths) {
                let _ = write!(text, "| {cell:width$} ");
            }
            text += "|\n";
            if n == 0 {
                for width in &widths {
                    let _ = write!(text, "|{}", "-".repeat(width + 2));
                }
                text += "|\n";
            }
        }
        text
    }
}

fn cells(row: &Row) -> [String; 9] {
    let spread = |spread: &[f64; 2]| format!("{}–{}", number(spread[0]), number(spread[1]));
    let against = row.against.as_ref();
    let verdict = match row.holds() {
        None => "",
        Some(true) => "holds",
        Some(false) => "missed",
    };
    [
        row.work.clone(),
        row.contender.clone(),
        format!("{} {}", number(row.value), row.unit),
        row.spread.as_ref().map(spread).unwrap_or_default(),
        against.map(|it| it.whom.clone()).unwrap_or_default(),
        against.map(|it| number(it.ratio)).unwrap_or_default(),
        against.map(|it| spread(&it.spread)).unwrap_or_default(),
        match row.floor {
            None => String::new(),
            Some(Floor::Least(least)) => format!("≥ {}", number(least)),
            Some(Floor::Most(most)) => format!("≤ {}", number(most)),
        },
        match &row.note {
            None => verdict.into(),
            Some(note) => format!("{verdict} ({note})").trim_start().into(),
        },
    ]
}

/// A number with as many digits as it deserves.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        ..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        100.0..10_000.0 => format!("{value:.0}"),
        10_000.0..1e6 => format!("{:.0}k", value / 1e3),
        _ if value.is_finite() => format!("{:.2}M", value / 1e6),
        _ => "-".into(),
    }
}
