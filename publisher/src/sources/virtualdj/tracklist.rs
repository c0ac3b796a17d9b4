//! The grammar of VirtualDJ's `tracklist.txt`: a log over years, with a header per day and a line format that the DJ
//! may change. Used when there are no lists.

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::history::{Days, Found, Read};
use crate::sources::observation::{Location, Observation, SourceKind, artist_and_title};
use crate::sources::{decode, playlist};

const LABELS: [&str; 8] = ["deck", "artist", "genre", "title", "year", "bpm", "key", "filepath"];

/// All plays of the log, in file order, without their repeats being counted yet.
pub(super) fn read(bytes: &[u8], zone: &TimeZone) -> Read {
    let mut read = Read::default();
    let mut days = Days::starting(None);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (raw, ended, after) = match rest.iter().position(|&byte| byte == b'\n') {
            Some(at) => (&rest[..at], true, &rest[at + 1..]),
            None => (rest, false, &rest[rest.len()..]),
        };
        rest = after;
        if !ended && decode::ends_inside_character(raw) {
            break;
        }
        let line = decode::line(raw);
        let line = line.trim();
        if let Some(day) = line.strip_prefix("VirtualDJ History ") {
            days = Days::starting(header_day(day));
            continue;
        }
        let Some(found) = play(line, &mut days, zone) else { continue };
        if ended { read.found.push(found) } else { read.tail = Some(found) }
    }
    read
}

fn header_day(text: &str) -> Option<Date> {
    let mut parts = text.trim().splitn(3, '/');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse().ok()?;
    Date::new(year, month, parts.next()?.parse().ok()?).ok()
}

fn play(line: &str, days: &mut Days, zone: &TimeZone) -> Option<Found> {
    if line.is_empty() || line.bytes().all(|byte| byte == b'-' || byte == b'=') {
        return None;
    }
    let (time, shown) = match line.split_once(" : ") {
        Some((clock, shown)) if playlist::clock(clock).is_some() => (playlist::clock(clock), shown),
        _ => (None, line),
    };
    let mut observation = Observation::new(SourceKind::VirtualDj, String::new());
    observation.started_ms = days.moment(time, None, zone);
    let labels = labelled(shown);
    if labels.is_empty() {
        (observation.track.artist, observation.track.title) = artist_and_title(shown);
    }
    for (label, value) in labels {
        let Some(value) = decode::field(value) else { continue };
        match label {
            "deck" => observation.deck = value.parse().ok(),
            "artist" => observation.track.artist = Some(value),
            "genre" => observation.track.genre = Some(value),
            "title" => observation.track.title = Some(value),
            "year" => observation.track.year = value.parse().ok(),
            "bpm" => {
                observation.track.bpm =
                    value.replace(',', ".").parse().ok().filter(|bpm| (20.0..=400.0).contains(bpm))
            }
            "key" => observation.track.key = Some(value),
            _ => observation.location = Some(Location::parse(&value)),
        }
    }
    if observation.track.title.is_none() {
        let (artist, title) = observation.location.as_ref()?.stem()?;
        observation.track.title = Some(title);
        observation.track.artist = observation.track.artist.or(artist);
    }
    let base = match observation.started_ms {
        Some(ms) => format!("tracklist|{ms}|{shown}"),
        None => format!("tracklist|{line}"),
    };
    let started_ms = observation.started_ms;
    Some(Found { base, repeat: 0, place: shown.to_owned(), started_ms, exact: false, observation })
}

/// `label=value` pairs of a line in the recommended format: a value runs to the next label.
fn labelled(text: &str) -> Vec<(&'static str, &str)> {
    let mut starts: Vec<(&'static str, usize, usize)> = Vec::new();
    for (at, _) in text.match_indices('=') {
        let before = &text[..at];
        let label = LABELS.into_iter().find(|label| {
            before.strip_suffix(label).is_some_and(|before| before.is_empty() || before.ends_with(' '))
        });
        if let Some(label) = label {
            starts.push((label, at - label.len(), at + 1));
        }
    }
    if starts.first().is_none_or(|&(_, at, _)| at != 0) {
        return Vec::new();
    }
    let ends = starts.iter().skip(1).map(|&(_, at, _)| at).chain([text.len()]);
    starts.iter().zip(ends).map(|(&(label, _, from), until)| (label, &text[from..until])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paris() -> TimeZone {
        TimeZone::get("Europe/Paris").expect("the time zone is known")
    }

    #[test]
    fn v18_a_night_over_midnight() {
        let bytes = "VirtualDJ History 2026/11/20\r\n------------------------------\r\n\
            23:58 : Nova Harbor - Glass Tide\r\n00:03 : Ana Ruiz, Kilo - Night - Day (Live)\r\n";
        let read = read(bytes.as_bytes(), &paris());
        let second = &read.found[1].observation;
        assert_eq!(read.found.len(), 2);
        assert_eq!(second.track.artist.as_deref(), Some("Ana Ruiz, Kilo"));
        assert_eq!(second.track.title.as_deref(), Some("Night - Day (Live)"));
        assert_eq!(second.started_ms, Some(1_795_215_780_000));
    }

    #[test]
    fn v19_the_recommended_line_format() {
        let line = r"22:45 : deck=2 artist=Oskar L. genre=Tango title=Remolino year=1941 filepath=C:\M\Remolino.flac";
        let read = read(format!("{line}\r\n").as_bytes(), &paris());
        let play = &read.found[0].observation;
        assert_eq!(play.deck, Some(2));
        assert_eq!(play.track.artist.as_deref(), Some("Oskar L."));
        assert_eq!(play.track.genre.as_deref(), Some("Tango"));
        assert_eq!(play.track.title.as_deref(), Some("Remolino"));
        assert_eq!(play.track.year, Some(1941));
        assert_eq!(play.location, Some(Location::Path(r"C:\M\Remolino.flac".to_owned())));
    }

    #[test]
    fn a_title_with_an_equals_sign_stays_whole() {
        let read = read(b"22:45 : Ana - key=value\n", &paris());
        assert_eq!(read.found[0].observation.track.title.as_deref(), Some("key=value"));
    }
}
