//! Figures of several rounds, and the table that is printed of their medians.

use crate::system::Kind;

/// What was measured, by name and system, a value a round.
#[derive(Debug, Default)]
pub struct Table {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    name: String,
    values: [Vec<f64>; Kind::ALL.len()],
}

impl Table {
    pub fn note(&mut self, name: &str, kind: Kind, value: f64) {
        eprintln!("  {:<14}{name}: {}", kind.name(), shown(value));
        let at = self.lines.iter().position(|line| line.name == name).unwrap_or_else(|| {
            self.lines.push(Line { name: name.to_owned(), values: Default::default() });
            self.lines.len() - 1
        });
        self.lines[at].values[kind as usize].push(value);
    }

    /// The median of what was measured, if it was.
    pub fn median(&self, name: &str, kind: Kind) -> Option<f64> {
        let line = self.lines.iter().find(|line| line.name == name)?;
        let values = &line.values[kind as usize];
        (!values.is_empty()).then(|| quantile(values.clone(), 0.5))
    }

    pub fn print(&self, rounds: usize) {
        println!(
            "\nmedians of {rounds} rounds; below 1 pika needs less\n\n{:<58}{:>10}{:>10}{:>14}{:>10}{:>14}",
            "", "pika", "limit", "mosquitto-ws", ": limit", ": mosquitto-ws"
        );
        for line in &self.lines {
            let [pika, limit, mosquitto] = Kind::ALL.map(|kind| self.median(&line.name, kind));
            let ratio = |other: Option<f64>| match (pika, other) {
                (Some(pika), Some(other)) if other != 0.0 => format!("{:.2}", pika / other),
                _ => String::new(),
            };
            let value = |value: Option<f64>| value.map(shown).unwrap_or_default();
            println!(
                "{:<58}{:>10}{:>10}{:>14}{:>10}{:>14}",
                line.name,
                value(pika),
                value(limit),
                value(mosquitto),
                ratio(limit),
                ratio(mosquitto)
            );
        }
    }
}

fn shown(value: f64) -> String {
    match value {
        value if value.is_infinite() => "never".to_owned(),
        0.0 => "0".to_owned(),
        value if value.abs() < 10.0 => format!("{value:.2}"),
        value if value.abs() < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

pub fn quantile(mut all: Vec<f64>, share: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(((all.len() as f64 * share) as usize).min(all.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
