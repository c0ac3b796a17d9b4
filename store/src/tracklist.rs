//! Sets as track lists in the formats others read: pure texts, beside the queries whose results they show, because
//! the executable decides nothing and no program has a use for them.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use protocol::Track;
use serde::Serialize;
use serde_json::json;

use crate::archive::SetRow;
use crate::directory::Event;
use crate::pages::{LikedPlay, PastSet, SetPlay};

/// What a track list can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrackListFormat {
    /// `[03:05] Artist - Title`, as one pastes it below a recording.
    Text,
    Markdown,
    Csv,
    Json,
    /// One play a line.
    Jsonl,
    M3u8,
    /// For a recording that begins with the set.
    Cue,
}

/// Sets of one event, each with its plays in their order.
#[derive(Debug)]
pub struct TrackList {
    pub event: Event,
    pub sets: Vec<(SetRow, Vec<SetPlay>)>,
}

/// A CUE sheet numbers tracks with two digits.
const CUE_TRACKS_MAX: usize = 99;

const CUE_FRAMES_PER_S: i64 = 75;

impl TrackList {
    /// The whole file.
    pub fn render(&self, format: TrackListFormat) -> String {
        match format {
            TrackListFormat::Text => self.text(),
            TrackListFormat::Markdown => self.markdown(),
            TrackListFormat::Csv => self.csv(),
            TrackListFormat::Json => self.json(),
            TrackListFormat::Jsonl => self.jsonl(),
            TrackListFormat::M3u8 => self.m3u8(),
            TrackListFormat::Cue => self.cue(),
        }
    }

    fn text(&self) -> String {
        let set = |(set, plays): &(SetRow, Vec<SetPlay>)| {
            let lines = plays
                .iter()
                .map(|play| format!("[{}] {}\n", clock(offset_ms(set, play)), line(&play.past.play.track)));
            format!("{}\n\n{}", self.heading(set), lines.collect::<String>())
        };
        self.sets.iter().map(set).collect::<Vec<_>>().join("\n")
    }

    fn markdown(&self) -> String {
        let set = |(set, plays): &(SetRow, Vec<SetPlay>)| {
            let mut text =
                format!("## {}\n\n| # | Time | Artist | Title | Likes |\n", markdown(&self.heading(set)));
            text += "| ---: | ---: | --- | --- | ---: |\n";
            for (number, play) in (1..).zip(plays) {
                let track = &play.past.play.track;
                let (artist, title) = (track.artist.as_deref().unwrap_or_default(), track.display_title());
                let (time, likes) = (clock(offset_ms(set, play)), play.tally.likes);
                text += &format!(
                    "| {number} | {time} | {} | {} | {likes} |\n",
                    markdown(artist),
                    markdown(&title)
                );
            }
            text
        };
        self.sets.iter().map(set).collect::<Vec<_>>().join("\n")
    }

    fn csv(&self) -> String {
        let names = "set,dj,floor,number,started,offset,artist,title,remix,album,genre,year,bpm,key,duration_s,\
                     likes,slower,perfect,faster,thanks";
        let mut text = format!("{names}\r\n");
        for (set, plays) in &self.sets {
            for (number, play) in (1_u32..).zip(plays) {
                let (track, tally) = (&play.past.play.track, play.tally);
                let written = |text: &Option<String>| csv(text.as_deref().unwrap_or_default());
                let cells = [
                    set.id.to_string(),
                    written(&set.dj),
                    set.floor.floor.to_string(),
                    number.to_string(),
                    local(&self.event, play.past.play.started_ms, "%Y-%m-%dT%H:%M:%S%:z"),
                    clock(offset_ms(set, play)),
                    written(&track.artist),
                    written(&track.title),
                    written(&track.remix),
                    written(&track.album),
                    written(&track.genre),
                    track.year.map(|year| year.to_string()).unwrap_or_default(),
                    track.bpm.map(|bpm| bpm.to_string()).unwrap_or_default(),
                    written(&track.key),
                    track.duration_ms.map(|ms| (ms / 1000).to_string()).unwrap_or_default(),
                    tally.likes.to_string(),
                    tally.tempo.slower.to_string(),
                    tally.tempo.perfect.to_string(),
                    tally.tempo.faster.to_string(),
                    tally.thanks.to_string(),
                ];
                text += &cells.join(",");
                text += "\r\n";
            }
        }
        text
    }

    fn json(&self) -> String {
        let sets = self.sets.iter().map(|(set, plays)| {
            json!({
                "id": set.id,
                "dj": set.dj,
                "floor": set.floor.floor,
                "started_ms": set.started_ms,
                "ended_ms": set.ended_ms,
                "plays": plays.iter().map(|play| PlayJson::of(set, play)).collect::<Vec<_>>(),
            })
        });
        let event = &self.event;
        let value = json!({
            "event": { "id": event.id, "name": event.name, "time_zone": event.time_zone },
            "sets": sets.collect::<Vec<_>>(),
        });
        format!("{value:#}\n")
    }

    fn jsonl(&self) -> String {
        let plays =
            self.sets.iter().flat_map(|(set, plays)| plays.iter().map(move |play| PlayJson::of(set, play)));
        plays.map(|play| format!("{}\n", json!(play))).collect()
    }

    fn m3u8(&self) -> String {
        let mut text = String::from("#EXTM3U\n");
        for (set, plays) in &self.sets {
            text += &format!("#PLAYLIST:{}\n", self.heading(set));
            for play in plays {
                push_m3u(&mut text, &play.past.play.track);
            }
        }
        text
    }

    /// Each set is a recording of its own, and most players want a sheet for each.
    fn cue(&self) -> String {
        let mut text = String::new();
        for (set, plays) in &self.sets {
            let dj = set.dj.as_deref().unwrap_or(set.desk.as_str());
            text += &format!("PERFORMER {}\nTITLE {}\n", cue(dj), cue(&self.heading(set)));
            text += &format!("FILE {} WAVE\n", cue(&format!("{}.wav", set.id)));
            let mut last = -1;
            for (number, play) in (1..).zip(plays.iter().take(CUE_TRACKS_MAX)) {
                let track = &play.past.play.track;
                // Two tracks cannot begin in the same frame.
                let frames = (offset_ms(set, play) * CUE_FRAMES_PER_S / 1000).max(last + 1);
                last = frames;
                let (seconds, frame) = (frames / CUE_FRAMES_PER_S, frames % CUE_FRAMES_PER_S);
                let _ = write!(
                    text,
                    "  TRACK {number:02} AUDIO\n    TITLE {}\n    PERFORMER {}\n    INDEX 01 {:02}:{:02}:{frame:02}\n",
                    cue(&track.display_title()),
                    cue(track.artist.as_deref().unwrap_or_default()),
                    seconds / 60,
                    seconds % 60,
                );
            }
            for play in plays.iter().skip(CUE_TRACKS_MAX) {
                text += &format!(
                    "REM beyond 99 tracks: {} {}\n",
                    clock(offset_ms(set, play)),
                    line(&play.past.play.track)
                );
            }
        }
        text
    }

    /// `DJ, Tonight, Main floor, 2026-12-31 22:00`
    fn heading(&self, set: &SetRow) -> String {
        let floor = self.event.floors.iter().find(|floor| floor.id == set.floor.floor);
        let floor = floor.map_or(set.floor.floor.as_str(), |floor| floor.name.as_str());
        let dj = set.dj.as_deref().unwrap_or(set.desk.as_str());
        one_line(&format!(
            "{dj}, {}, {floor}, {}",
            self.event.name,
            local(&self.event, set.started_ms, "%Y-%m-%d %H:%M")
        ))
    }
}

/// What sets there are, one a line between tabs: id, start, floor, DJ, number of plays.
pub fn listing(event: &Event, sets: &[PastSet]) -> String {
    let line = |PastSet { set, plays }: &PastSet| {
        let dj = set.dj.as_deref().unwrap_or(set.desk.as_str());
        let started = local(event, set.started_ms, "%Y-%m-%d %H:%M");
        format!("{}\t{started}\t{}\t{}\t{plays}\n", set.id, set.floor.floor, one_line(dj))
    };
    sets.iter().map(line).collect()
}

/// A time as the clocks at the event showed it.
fn local(event: &Event, at_ms: i64, format: &str) -> String {
    local_in(&TimeZone::get(&event.time_zone).unwrap_or(TimeZone::UTC), at_ms, format)
}

fn local_in(zone: &TimeZone, at_ms: i64, format: &str) -> String {
    Timestamp::from_millisecond(at_ms)
        .map_or_else(|_| at_ms.to_string(), |at| at.to_zoned(zone.clone()).strftime(format).to_string())
}

fn push_m3u(text: &mut String, track: &Track) {
    // Nobody knows is -1 there. Paths are none of anybody's business, so a player searches by the text.
    let seconds = track.duration_ms.map_or(-1, |ms| ms / 1000);
    let line = line(track);
    let entry = if line.starts_with('#') { format!("- {line}") } else { line.clone() };
    *text += &format!("#EXTINF:{seconds},{line}\n{entry}\n");
}

/// What a dancer likes, to take along. Formats that are about sets have nothing to say here.
pub fn liked_list(likes: &[LikedPlay], format: TrackListFormat, zone: &TimeZone) -> Option<String> {
    Some(match format {
        TrackListFormat::Text => {
            likes.iter().map(|like| format!("{}\n", line(&like.past.play.track))).collect()
        }
        TrackListFormat::Csv => {
            let mut text = String::from("day,event,floor,dj,artist,title,remix,bpm\r\n");
            for like in likes {
                let (play, floor) = (&like.past.play, &like.floor);
                let written = |text: &Option<String>| csv(text.as_deref().unwrap_or_default());
                let cells = [
                    local_in(zone, play.started_ms, "%Y-%m-%d"),
                    floor.event.to_string(),
                    floor.floor.to_string(),
                    csv(like.past.dj.as_ref().map_or("", |dj| dj.name.as_str())),
                    written(&play.track.artist),
                    written(&play.track.title),
                    written(&play.track.remix),
                    play.track.bpm.map(|bpm| bpm.to_string()).unwrap_or_default(),
                ];
                text += &cells.join(",");
                text += "\r\n";
            }
            text
        }
        TrackListFormat::M3u8 => {
            let mut text = String::from("#EXTM3U\n");
            for like in likes {
                push_m3u(&mut text, &like.past.play.track);
            }
            text
        }
        TrackListFormat::Json => {
            let likes = likes.iter().map(|like| {
                json!({
                    "event": like.floor.event,
                    "floor": like.floor.floor,
                    "dj": like.past.dj.as_ref().map(|dj| &dj.name),
                    "played_ms": like.past.play.started_ms,
                    "liked_ms": like.liked_ms,
                    "track": like.past.play.track,
                })
            });
            format!("{:#}\n", json!({ "likes": likes.collect::<Vec<_>>() }))
        }
        TrackListFormat::Markdown | TrackListFormat::Jsonl | TrackListFormat::Cue => return None,
    })
}

/// A play as JSON, whole sets and single lines alike.
#[derive(Serialize)]
struct PlayJson<'a> {
    id: String,
    set: String,
    dj: Option<&'a str>,
    started_ms: i64,
    ended_ms: Option<i64>,
    offset_ms: i64,
    #[serde(flatten)]
    track: &'a Track,
    likes: u32,
    tempo: protocol::TempoTally,
    thanks: u32,
}

impl<'a> PlayJson<'a> {
    fn of(set: &'a SetRow, play: &'a SetPlay) -> Self {
        Self {
            id: play.past.play.id.to_string(),
            set: set.id.to_string(),
            dj: set.dj.as_deref(),
            started_ms: play.past.play.started_ms,
            ended_ms: play.past.play.ended_ms,
            offset_ms: offset_ms(set, play),
            track: &play.past.play.track,
            likes: play.tally.likes,
            tempo: play.tally.tempo,
            thanks: play.tally.thanks,
        }
    }
}

/// From the start of the set; a play that a clock put before it begins with it.
fn offset_ms(set: &SetRow, play: &SetPlay) -> i64 {
    play.past.play.started_ms.saturating_sub(set.started_ms).max(0)
}

/// `03:05`, and `1:03:05` from an hour on.
fn clock(ms: i64) -> String {
    let seconds = ms / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes:02}:{seconds:02}")
    }
}

/// `Artist - Title (Remix)`, with the hyphen that those who read such lists look for.
fn line(track: &Track) -> String {
    let title = track.display_title();
    let line = match (track.artist.as_deref().unwrap_or_default(), title.as_str()) {
        ("", "") => "unknown".to_owned(),
        ("", one) | (one, "") => one.to_owned(),
        (artist, title) => format!("{artist} - {title}"),
    };
    one_line(&line)
}

/// A text that came from elsewhere may have line ends, and each of these formats ends something with the line.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect()
}

/// A cell as RFC 4180 quotes it. A spreadsheet would run what begins like a formula; an apostrophe makes it a text.
fn csv(text: &str) -> String {
    let safe =
        if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if safe.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

/// Markdown has a meaning for many characters, and a cell of a table ends with a pipe.
fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        if "\\`*_[]<>|~&#".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A quoted text. CUE sheets have no escape for the quote itself.
fn cue(text: &str) -> String {
    format!("\"{}\"", one_line(text).replace('"', "'"))
}

#[cfg(test)]
mod tests {
    use protocol::{PastPlay, Play, PlayId, SetId, TempoTally};

    use super::*;
    use crate::directory::Floor;
    use crate::reactions::Tally;

    fn track(artist: &str, title: &str) -> Track {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Track { artist: text(artist), title: text(title), ..Track::default() }
    }

    fn set() -> SetRow {
        SetRow {
            floor: "tonight/main".parse().unwrap(),
            desk: "booth".parse().unwrap(),
            id: SetId::at(1, [1; 10]),
            dj: Some("DJ \"One\" | two".into()),
            started_ms: 1_798_750_800_000,
            ended_ms: None,
        }
    }

    /// A set of these tracks, each with when it began.
    fn list(tracks: Vec<(i64, Track)>) -> TrackList {
        let set = set();
        let play = |(at_ms, track): (i64, Track)| SetPlay {
            past: PastPlay {
                set_id: set.id,
                dj: None,
                play: Play {
                    id: PlayId::derived(&set.desk, "test", &at_ms.to_string()),
                    started_ms: set.started_ms + at_ms,
                    ended_ms: None,
                    track,
                },
            },
            tally: Tally { likes: 2, tempo: TempoTally { slower: 0, perfect: 1, faster: 0 }, thanks: 0 },
        };
        let plays = tracks.into_iter().map(play).collect();
        let event = Event {
            id: "tonight".parse().unwrap(),
            name: "Tonight".into(),
            time_zone: "Europe/Warsaw".into(),
            accent: None,
            floors: vec![Floor { id: "main".parse().unwrap(), name: "Main floor".into() }],
        };
        TrackList { event, sets: vec![(set, plays)] }
    }

    fn odd() -> TrackList {
        let full = Track {
            remix: Some("Late Edit".into()),
            year: Some(1984),
            bpm: Some(92.5),
            key: Some("8A".into()),
            duration_ms: Some(185_900),
            ..track("A, B.", "Bolero")
        };
        list(vec![
            (-5_000, full),
            (185_000, track("", "=cmd|' /C calc'!A0")),
            (185_000, track("", "#1 \"Hit\"")),
            (3_785_013, track("-Łąka-", "a|b *c* <d>\r\ne")),
            (4_000_000, track("", "")),
        ])
    }

    #[test]
    fn as_text() {
        assert_eq!(
            odd().render(TrackListFormat::Text),
            "DJ \"One\" | two, Tonight, Main floor, 2026-12-31 22:00\n\n\
             [00:00] A, B. - Bolero (Late Edit)\n\
             [03:05] =cmd|' /C calc'!A0\n\
             [03:05] #1 \"Hit\"\n\
             [1:03:05] -Łąka- - a|b *c* <d>  e\n\
             [1:06:40] unknown\n"
        );
    }

    #[test]
    fn as_markdown() {
        assert_eq!(
            odd().render(TrackListFormat::Markdown),
            r#"## DJ "One" \| two, Tonight, Main floor, 2026-12-31 22:00

| # | Time | Artist | Title | Likes |
| ---: | ---: | --- | --- | ---: |
| 1 | 00:00 | A, B. | Bolero (Late Edit) | 2 |
| 2 | 03:05 |  | =cmd\|' /C calc'!A0 | 2 |
| 3 | 03:05 |  | \#1 "Hit" | 2 |
| 4 | 1:03:05 | -Łąka- | a\|b \*c\* \<d\>  e | 2 |
| 5 | 1:06:40 |  |  | 2 |
"#
        );
    }

    #[test]
    fn as_csv() {
        let id = set().id;
        let text = odd().render(TrackListFormat::Csv);
        let start = format!("{id},\"DJ \"\"One\"\" | two\",main");
        let expected = [
            "set,dj,floor,number,started,offset,artist,title,remix,album,genre,year,bpm,key,duration_s,likes,slower,perfect,faster,thanks".to_owned(),
            format!("{start},1,2026-12-31T21:59:55+01:00,00:00,\"A, B.\",Bolero,Late Edit,,,1984,92.5,8A,185,2,0,1,0,0"),
            format!("{start},2,2026-12-31T22:03:05+01:00,03:05,,'=cmd|' /C calc'!A0,,,,,,,,2,0,1,0,0"),
            format!("{start},3,2026-12-31T22:03:05+01:00,03:05,,\"#1 \"\"Hit\"\"\",,,,,,,,2,0,1,0,0"),
            format!("{start},4,2026-12-31T23:03:05+01:00,1:03:05,'-Łąka-,\"a|b *c* <d>\r\ne\",,,,,,,,2,0,1,0,0"),
            format!("{start},5,2026-12-31T23:06:40+01:00,1:06:40,,,,,,,,,,2,0,1,0,0"),
        ];
        assert_eq!(text, expected.map(|line| format!("{line}\r\n")).concat());
    }

    #[test]
    fn a_cell_runs_nothing() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\r=1", "\"'\r=1\""),
            ("=\"a\",b", "\"'=\"\"a\"\",b\""),
            ("a=1", "a=1"),
            ("", ""),
        ] {
            assert_eq!(csv(text), cell);
        }
    }

    #[test]
    fn as_json() {
        let value: serde_json::Value = serde_json::from_str(&odd().render(TrackListFormat::Json)).unwrap();
        assert_eq!(value["event"]["time_zone"], "Europe/Warsaw");
        let play = &value["sets"][0]["plays"][0];
        assert_eq!(
            (&play["title"], &play["offset_ms"], &play["bpm"]),
            (&json!("Bolero"), &json!(0), &json!(92.5))
        );
        assert_eq!(value["sets"][0]["plays"][3]["title"], "a|b *c* <d>\r\ne");
        let lines = odd().render(TrackListFormat::Jsonl);
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(json!(lines), value["sets"][0]["plays"], "a line is what a play in the whole is");
    }

    #[test]
    fn as_a_playlist() {
        assert_eq!(
            odd().render(TrackListFormat::M3u8),
            "#EXTM3U\n\
             #PLAYLIST:DJ \"One\" | two, Tonight, Main floor, 2026-12-31 22:00\n\
             #EXTINF:185,A, B. - Bolero (Late Edit)\nA, B. - Bolero (Late Edit)\n\
             #EXTINF:-1,=cmd|' /C calc'!A0\n=cmd|' /C calc'!A0\n\
             #EXTINF:-1,#1 \"Hit\"\n- #1 \"Hit\"\n\
             #EXTINF:-1,-Łąka- - a|b *c* <d>  e\n-Łąka- - a|b *c* <d>  e\n\
             #EXTINF:-1,unknown\nunknown\n"
        );
    }

    #[test]
    fn as_a_cue_sheet() {
        let text = odd().render(TrackListFormat::Cue);
        let id = set().id;
        let expected = format!(
            r##"PERFORMER "DJ 'One' | two"
TITLE "DJ 'One' | two, Tonight, Main floor, 2026-12-31 22:00"
FILE "{id}.wav" WAVE
  TRACK 01 AUDIO
    TITLE "Bolero (Late Edit)"
    PERFORMER "A, B."
    INDEX 01 00:00:00
  TRACK 02 AUDIO
    TITLE "=cmd|' /C calc'!A0"
    PERFORMER ""
    INDEX 01 03:05:00
  TRACK 03 AUDIO
    TITLE "#1 'Hit'"
    PERFORMER ""
    INDEX 01 03:05:01
  TRACK 04 AUDIO
    TITLE "a|b *c* <d>  e"
    PERFORMER "-Łąka-"
    INDEX 01 63:05:00
"##
        );
        assert!(text.starts_with(&expected), "{text}");
        let many =
            list((0..101).map(|n| (n * 60_000, track("A", "B"))).collect()).render(TrackListFormat::Cue);
        assert!(many.contains("TRACK 99 AUDIO") && !many.contains("TRACK 100"));
        assert!(many.ends_with("REM beyond 99 tracks: 1:39:00 A - B\nREM beyond 99 tracks: 1:40:00 A - B\n"));
    }
}
