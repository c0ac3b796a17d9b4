//! The tempo of a set over its time, drawn as SVG: what was played how fast, and how dancers took it.

use std::fmt::Write;

use maud::{Markup, PreEscaped, Render, html};
use store::SetPlay;

/// Room for the line, in units of the drawing.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 34.0;
const TOP: f64 = 18.0;

/// Dots of a set drawn at most: more cannot be told apart.
const DOTS_MAX: usize = 400;

/// One play in the drawing.
#[derive(Debug, Clone, PartialEq)]
struct Dot {
    x: f64,
    y: f64,
    radius: f64,
    bpm: f64,
    name: String,
}

/// The curve of a set; nothing when fewer than two plays have a tempo.
pub(super) struct Curve<'a> {
    pub started_ms: i64,
    pub plays: &'a [SetPlay],
    /// What a screen reader says of it.
    pub label: &'a str,
}

impl Curve<'_> {
    fn known(&self) -> impl Iterator<Item = (&SetPlay, f64)> {
        self.plays.iter().filter_map(|play| Some((play, play.past.play.track.bpm?))).take(DOTS_MAX)
    }

    /// The slowest and the fastest, to the next ten, never the same.
    fn bounds(&self) -> Option<(f64, f64)> {
        let (low, high) =
            self.known().fold((f64::MAX, f64::MIN), |(low, high), (_, bpm)| (low.min(bpm), high.max(bpm)));
        if self.known().count() < 2 {
            return None;
        }
        let (low, high) = ((low / 10.0).floor() * 10.0, (high / 10.0).ceil() * 10.0);
        Some(if high - low < 20.0 { (low - 10.0, high + 10.0) } else { (low, high) })
    }

    fn dots(&self, low: f64, high: f64) -> Vec<Dot> {
        let last_ms = self.plays.last().map_or(self.started_ms, |play| play.past.play.started_ms);
        let span_ms = (last_ms - self.started_ms).max(1) as f64;
        let most = self.plays.iter().map(|play| play.tally.likes).max().unwrap_or(0).max(1);
        self.known()
            .map(|(play, bpm)| {
                let time = ((play.past.play.started_ms - self.started_ms) as f64 / span_ms).clamp(0.0, 1.0);
                let height = ((bpm - low) / (high - low)).clamp(0.0, 1.0);
                Dot {
                    x: LEFT + time * (WIDTH - LEFT - 16.0),
                    y: TOP + (1.0 - height) * (HEIGHT - TOP - BOTTOM),
                    radius: 4.0 + 9.0 * (f64::from(play.tally.likes) / f64::from(most)).sqrt(),
                    bpm,
                    name: play.past.play.track.line(),
                }
            })
            .collect()
    }
}

impl Render for Curve<'_> {
    fn render(&self) -> Markup {
        let Some((low, high)) = self.bounds() else { return html! {} };
        let dots = self.dots(low, high);
        let mut line = String::new();
        for (place, dot) in dots.iter().enumerate() {
            let _ = write!(line, "{}{:.1} {:.1}", if place == 0 { "M" } else { "L" }, dot.x, dot.y);
        }
        let floor = HEIGHT - BOTTOM;
        let area = match (dots.first(), dots.last()) {
            (Some(first), Some(last)) => format!("{line}L{:.1} {floor}L{:.1} {floor}Z", last.x, first.x),
            _ => String::new(),
        };
        let middle = (low + high) / 2.0;
        let last_ms = self.plays.last().map_or(self.started_ms, |play| play.past.play.started_ms);
        let hour_ms = 3_600_000;
        let hours = (last_ms - self.started_ms).max(0) / hour_ms;
        let step = hours / 12 + 1;
        html! {
            figure.curve {
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.label) {
                    @for bpm in [low, middle, high] {
                        @let y = TOP + (1.0 - (bpm - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
                        line.grid x1=(LEFT) x2=(WIDTH) y1=(format!("{y:.1}")) y2=(format!("{y:.1}")) {}
                        text.tick x=(LEFT - 10.0) y=(format!("{:.1}", y + 5.0)) text-anchor="end" { (bpm) }
                    }
                    @for hour in (1..=hours).step_by(usize::try_from(step).unwrap_or(1)) {
                        @let x = LEFT + (hour * hour_ms) as f64 / (last_ms - self.started_ms).max(1) as f64 * (WIDTH - LEFT - 16.0);
                        line.grid x1=(format!("{x:.1}")) x2=(format!("{x:.1}")) y1=(TOP) y2=(floor) {}
                        text.tick x=(format!("{x:.1}")) y=(HEIGHT - 8.0) text-anchor="middle" { (hour) " h" }
                    }
                    path.area d=(PreEscaped(area)) {}
                    path.line d=(PreEscaped(line)) {}
                    @for dot in &dots {
                        circle.dot cx=(format!("{:.1}", dot.x)) cy=(format!("{:.1}", dot.y)) r=(format!("{:.1}", dot.radius)) {
                            title { (dot.name) " · " (dot.bpm.round()) " BPM" }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::{PastPlay, Play, PlayId, SetId, Track};
    use store::Tally;

    use super::*;

    fn play(minute: i64, bpm: Option<f64>, likes: u32) -> SetPlay {
        let play = Play {
            id: PlayId::at(minute, [1; 10]),
            started_ms: minute * 60_000,
            ended_ms: None,
            track: Track { title: Some("<b>".into()), bpm, ..Track::default() },
        };
        let past = PastPlay { set_id: SetId::at(0, [0; 10]), dj: None, play };
        SetPlay { past, tally: Tally { likes, ..Tally::default() } }
    }

    fn drawn(plays: &[SetPlay]) -> String {
        Curve { started_ms: 0, plays, label: "tempo" }.render().into_string()
    }

    #[test]
    fn a_set_without_tempo_has_no_curve() {
        assert_eq!(drawn(&[]), "");
        assert_eq!(drawn(&[play(0, None, 0), play(5, Some(100.0), 0)]), "");
    }

    #[test]
    fn every_dot_is_inside_and_a_title_is_no_markup() {
        for plays in [
            vec![play(0, Some(100.0), 0), play(5, Some(100.0), 0)],
            vec![play(-90, Some(20.0), 0), play(0, Some(399.9), 4_000_000_000), play(700, Some(60.0), 1)],
            (0..2_000).map(|minute| play(minute, Some(100.0 + (minute % 40) as f64), 3)).collect(),
        ] {
            let curve = Curve { started_ms: 0, plays: &plays, label: "tempo" };
            let (low, high) = curve.bounds().unwrap();
            let dots = curve.dots(low, high);
            assert!(dots.len() <= DOTS_MAX && !dots.is_empty());
            for dot in dots {
                assert!(
                    (LEFT..=WIDTH).contains(&dot.x) && (TOP..=HEIGHT - BOTTOM).contains(&dot.y),
                    "{dot:?}"
                );
                assert!((4.0..=13.1).contains(&dot.radius), "{dot:?}");
            }
            assert!(!drawn(&plays).contains("<b>"));
        }
    }
}
