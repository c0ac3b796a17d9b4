//! VirtualDJ's history files byte for byte, and what must be seen in them.

use jiff::tz::TimeZone;
use pika_publisher::sources::observation::{Location, Observation, is_fresh};
use pika_publisher::sources::virtualdj::history::Format;
use pika_publisher::sources::virtualdj::reader::{CatchUp, Reader};

use crate::folder::{Folder, NOW_MS};

const LIST: &str = "2026-11-21.m3u";
const V1: &[u8] = include_bytes!("../../samples/virtualdj/v1/2026-11-21.m3u");
const V2: &[u8] = include_bytes!("../../samples/virtualdj/v2/2026-11-21.m3u");
const V3: &[u8] = include_bytes!("../../samples/virtualdj/v3/2026-11-21.m3u");
const V4: &[u8] = include_bytes!("../../samples/virtualdj/v4/history.m3u");
const V5A: &[u8] = include_bytes!("../../samples/virtualdj/v5a/2026-11-20.m3u");
const V8: &[u8] = include_bytes!("../../samples/virtualdj/v8/2026-11-21.m3u");
const V9: &[u8] = include_bytes!("../../samples/virtualdj/v9/history.m3u");
const V18: &[u8] = include_bytes!("../../samples/virtualdj/v18/tracklist.txt");

fn reader_since(since_ms: i64) -> Reader {
    let zone = TimeZone::get("Europe/Paris").expect("the time zone is known");
    Reader::new(Format::List, zone, CatchUp { since_ms, ..CatchUp::default() })
}

/// "artist / title" of each play.
fn lines(observations: &[Observation]) -> Vec<String> {
    observations
        .iter()
        .map(|seen| {
            let artist = seen.track.artist.clone().unwrap_or_default();
            format!("{artist} / {}", seen.track.display_title())
        })
        .collect()
}

/// A list that is written whole while we watch.
#[track_caller]
fn check(name: &str, bytes: &[u8], expected: &[&str]) -> Vec<Observation> {
    let mut reader = reader_since(0);
    let mut folder = Folder::default();
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS)), [""; 0]);
    folder.replace(name, bytes, NOW_MS);
    let seen = folder.look(&mut reader, NOW_MS);
    assert_eq!(lines(&seen), expected);
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS + 60_000)), [""; 0], "nothing is told twice");
    seen
}

/// A list that grows from one read to the next, 10 s apart; what each read brings.
#[track_caller]
fn check_growth(reads: &[&[u8]], expected: &[&[&str]]) {
    let mut reader = reader_since(NOW_MS);
    let mut folder = Folder::of(LIST, "");
    let mut now_ms = NOW_MS;
    folder.look(&mut reader, now_ms);
    for (index, (bytes, expected)) in reads.iter().zip(expected).enumerate() {
        now_ms += 10_000;
        folder.append(LIST, bytes, now_ms);
        assert_eq!(lines(&folder.look(&mut reader, now_ms)), *expected, "read {}", index + 1);
    }
}

fn entry(artist: &str, title: &str, last_play: &str, location: &str) -> String {
    format!(
        "#EXTVDJ:<lastplaytime>{last_play}</lastplaytime><artist>{artist}</artist><title>{title}</title>\n{location}\n"
    )
}

#[test]
fn v1_mac() {
    let seen =
        check(LIST, V1, &["Nova Harbor / Glass Tide", "Ana Ruiz & The Low Tides / Rock <3 Roll (Late Edit)"]);
    assert_eq!(seen[1].track.duration_ms, Some(198_040));
    assert_eq!(seen[1].started_ms, Some(1_795_291_601_000));
}

#[test]
fn v2_windows_with_a_byte_order_mark() {
    let seen = check(LIST, V2, &["Søren Åkerblom / Bølge (Kilo Remix)"]);
    assert_eq!(seen[0].track.duration_ms, None);
    let path = r"F:\Musik\Søren Åkerblom - Bølge (Kilo Remix).mp3";
    assert_eq!(seen[0].location, Some(Location::Path(path.to_owned())));
}

#[test]
fn v3_a_stream() {
    let seen = check(LIST, V3, &["Kid 'N Tow / Can You Dig It"]);
    assert_eq!(
        seen[0].location,
        Some(Location::Stream { service: "dz".to_owned(), id: "85144450".to_owned() })
    );
}

#[test]
fn v4_missing_tags() {
    let mut reader = reader_since(0);
    let mut folder = Folder::of("history.m3u", "");
    folder.look(&mut reader, NOW_MS);
    folder.append("history.m3u", V4, NOW_MS);
    let seen = folder.look(&mut reader, NOW_MS);
    assert_eq!(lines(&seen), [" / white label 03", "Artist X / Song Y", " / untagged"]);
    assert_eq!(seen[2].started_ms, None);
}

#[test]
fn v5_midnight_in_one_list_or_two() {
    let both = check("2026-11-20.m3u", V5A, &["A / Before", "B / After"]);
    assert_eq!(both[1].started_ms, Some(1_795_215_792_000));

    let at = V5A.windows(7).rposition(|bytes| bytes == b"#EXTVDJ").expect("two entries");
    let mut reader = reader_since(0);
    let mut folder = Folder::default();
    folder.look(&mut reader, NOW_MS);
    folder.replace("2026-11-20.m3u", &V5A[..at], NOW_MS);
    folder.replace("2026-11-21.m3u", &V5A[at..], NOW_MS);
    let split = folder.look(&mut reader, NOW_MS);
    assert_eq!(split, both);
}

#[test]
fn v5_midnight_by_the_clock_alone() {
    let bytes = b"#EXTVDJ:<time>23:58</time>\n/m/before.mp3\n#EXTVDJ:<time>00:03</time>\n/m/after.mp3\n";
    let seen = check("2026-11-20.m3u", bytes, &[" / before", " / after"]);
    assert_eq!(seen[1].started_ms, Some(1_795_215_780_000));
}

#[test]
fn v6_written_by_pieces() {
    let nothing: &[&str] = &[];
    check_growth(
        &[b"#EXTVDJ:<artist>Ana</artist><title>Hal", b"f Life</title>\n", b"/m/half", b".mp3\n"],
        &[nothing, nothing, nothing, &["Ana / Half Life"]],
    );
    check_growth(
        &[b"#EXTVDJ:<title>Caf\xC3", b"\xA9</title>\n/m/caf\xC3", b"\xA9.mp3\n"],
        &[nothing, nothing, &[" / Café"]],
    );
}

/// Appends without the last line end, then lets time pass.
#[test]
fn v7_a_last_line_without_end() {
    let mut reader = reader_since(0);
    let mut folder = Folder::of(LIST, "");
    folder.look(&mut reader, NOW_MS);
    folder.append(LIST, entry("A", "T", "1795291800", "/m/t.mp3").trim_end(), NOW_MS);
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS)), [""; 0]);
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS + 749)), [""; 0]);
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS + 750)), ["A / T"]);
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS + 5000)), [""; 0]);
    folder.append(LIST, "\n", NOW_MS + 9000);
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS + 9000)), [""; 0]);
    folder.append(LIST, entry("A", "Next", "1795292000", "/m/n.mp3"), NOW_MS + 200_000);
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS + 200_000)), ["A / Next"]);
}

#[test]
fn v7_a_location_that_stood_still_half_written() {
    let mut reader = reader_since(0);
    let mut folder = Folder::of(LIST, "");
    folder.look(&mut reader, NOW_MS);
    folder.append(LIST, entry("A", "T", "0", "/m/t").trim_end(), NOW_MS);
    folder.look(&mut reader, NOW_MS);
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS + 750)), ["A / T"]);
    folder.append(LIST, "rack.mp3\n", NOW_MS + 1000);
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS + 1000)), [""; 0]);
}

#[test]
fn v8_one_line_in_an_old_encoding() {
    check(LIST, V8, &["Björk / Jóga", "Sigur Rós / Hoppípolla"]);
}

#[test]
fn v9_generic_list() {
    let seen = check("history.m3u", V9, &["Artist / Title"]);
    assert_eq!(seen[0].track.duration_ms, Some(198_000));
}

#[test]
fn v10_an_old_list_is_touched() {
    let mut reader = reader_since(NOW_MS);
    let old = entry("Old", "Song", "1682971200", "/m/old.mp3");
    let mut folder = Folder::of(LIST, V1);
    folder.replace("2023-05-01.m3u", &old, 1_682_971_200_000);
    assert_eq!(folder.look(&mut reader, NOW_MS).len(), 1, "what plays now");
    folder.write("2023-05-01.m3u", &old, NOW_MS + 1000);
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS + 1000)), [""; 0]);
    folder.replace("2023-05-01.m3u", old.replace("Old", "Olde"), NOW_MS + 2000);
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS + 2000)), [""; 0]);
}

#[test]
fn v11_replaced_with_a_correction() {
    let mut reader = reader_since(0);
    let mut folder = Folder::of(LIST, V1);
    folder.look(&mut reader, NOW_MS);
    let text = String::from_utf8(V1.to_vec()).expect("the sample is UTF-8");
    for (now_ms, corrected) in [
        (NOW_MS + 1000, text.replace("Nova Harbor<", "Nova Harbour<")),
        (NOW_MS + 2000, text.replace("1795291330", "1795291510")),
        (NOW_MS + 3000, text.replace("02 Rock.mp3", "Rock.mp3")),
    ] {
        folder.replace(LIST, corrected, now_ms);
        assert_eq!(lines(&folder.look(&mut reader, now_ms)), [""; 0]);
    }
}

#[test]
fn v12_the_same_song_again() {
    for (second, third) in [("1795291808", "1795294200"), ("1795291800", "1795291800"), ("0", "0")] {
        let first = if second == "0" { "0" } else { "1795291800" };
        let mut reader = reader_since(0);
        let mut folder = Folder::of(LIST, "");
        folder.look(&mut reader, NOW_MS);
        folder.append(LIST, entry("A", "T", first, "/m/t.mp3"), NOW_MS);
        assert_eq!(lines(&folder.look(&mut reader, NOW_MS)), ["A / T"]);
        folder.append(LIST, entry("A", "T", second, "/m/t.mp3"), NOW_MS + 8000);
        assert_eq!(lines(&folder.look(&mut reader, NOW_MS + 8000)), [""; 0]);
        folder.append(LIST, entry("A", "T", third, "/m/t.mp3"), NOW_MS + 2_400_000);
        let seen = folder.look(&mut reader, NOW_MS + 2_400_000);
        assert_eq!(lines(&seen), ["A / T"], "{second} {third}");
    }
}

#[test]
fn v13_an_old_list_is_moved_away() {
    let mut reader = reader_since(0);
    let mut folder = Folder::of(LIST, V1);
    folder.replace("2026-10-21.m3u", entry("Old", "Song", "1792616400", "/m/old.mp3"), 1_792_616_400_000);
    folder.look(&mut reader, NOW_MS);
    folder.remove("2026-10-21.m3u");
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS + 1000)), [""; 0]);
}

#[test]
fn v14_nothing_in_it() {
    for bytes in ["", "#EXTM3U\n", "#EXTVDJ:<time>21:02</time><title>T</title>\n"] {
        check(LIST, bytes.as_bytes(), &[]);
    }
}

#[test]
fn v15_hostile() {
    let mut long = b"#EXTVDJ:<title>".to_vec();
    long.extend(std::iter::repeat_n(b'x', 1 << 20));
    long.extend_from_slice(b"</title>\n/m/long.mp3\n");
    check(LIST, &long, &[" / long"]);
    check(LIST, b"#EXTVDJ:<title>N\0U\0L</title>\n/m/nul.mp3\n", &[" / NUL"]);
    check(LIST, b"#EXTVDJ:<title></artist><artist>x</title>\n/m/crossed.mp3\n", &[" / crossed"]);
    check(LIST, b"#EXTVDJ:<title>&#x0;</title>\n/m/zero.mp3\n", &[" / zero"]);
    let seen = check(
        LIST,
        b"#EXTVDJ:<time>99:99</time><lastplaytime>100000000000000000000</lastplaytime><title>T</title>\n/m/t.mp3\n",
        &[" / T"],
    );
    assert_eq!(seen[0].started_ms, None);
}

#[test]
fn v16_three_entries_in_one_write() {
    let bytes = [
        entry("A", "One", "1795291200", "/m/1.mp3"),
        entry("A", "Two", "1795291500", "/m/2.mp3"),
        entry("A", "Three", "1795291790", "/m/3.mp3"),
    ]
    .concat();
    check(LIST, bytes.as_bytes(), &["A / One", "A / Two", "A / Three"]);
}

#[test]
fn v17_times() {
    let seen = check(LIST, entry("A", "T", "1795291330000", "/m/t.mp3").as_bytes(), &["A / T"]);
    assert_eq!(seen[0].started_ms, Some(1_795_291_330_000));
    let seen = check(LIST, entry("A", "T", "0", "/m/t.mp3").as_bytes(), &["A / T"]);
    assert_eq!(seen[0].started_ms, None);
}

#[test]
fn v18_the_tracklist_grows() {
    let zone = TimeZone::get("Europe/Paris").expect("the time zone is known");
    let mut reader = Reader::new(Format::Tracklist, zone, CatchUp::default());
    let mut folder = Folder::of("tracklist.txt", "");
    folder.look(&mut reader, NOW_MS);
    folder.append("tracklist.txt", V18, NOW_MS);
    let seen = folder.look(&mut reader, NOW_MS);
    assert_eq!(lines(&seen), ["Nova Harbor / Glass Tide", "Ana Ruiz, Kilo / Night - Day (Live)"]);
}

#[test]
fn the_first_song_of_a_new_list_may_have_begun_before_us() {
    let mut reader = reader_since(NOW_MS + 500);
    let mut folder = Folder::default();
    folder.look(&mut reader, NOW_MS + 500);
    folder.replace(LIST, entry("A", "T", "1795291770", "/m/t.mp3"), NOW_MS + 15_000);
    assert_eq!(lines(&folder.look(&mut reader, NOW_MS + 15_000)), ["A / T"]);
}

#[test]
fn at_start_only_what_still_plays_is_told() {
    let folder = Folder::of(LIST, V1);
    let mut evening = reader_since(NOW_MS);
    let seen = folder.look(&mut evening, NOW_MS);
    assert_eq!(lines(&seen), ["Ana Ruiz & The Low Tides / Rock <3 Roll (Late Edit)"]);
    assert!(is_fresh(seen[0].started_ms.expect("it is timed"), seen[0].track.duration_ms, NOW_MS));
    let mut next_day = reader_since(NOW_MS + 20 * 3_600_000);
    assert_eq!(lines(&folder.look(&mut next_day, NOW_MS + 20 * 3_600_000)), [""; 0]);
}

#[test]
fn after_a_restart_what_was_missed_comes_in_order() {
    let bytes = [
        entry("A", "Before the set", "1795290000", "/m/0.mp3"),
        entry("A", "Journaled", "1795290300", "/m/1.mp3"),
        entry("A", "Missed", "1795290600", "/m/2.mp3"),
        "/m/untimed.mp3\n".to_owned(),
        entry("A", "Now", "1795291790", "/m/3.mp3"),
    ]
    .concat();
    let zone = TimeZone::get("Europe/Paris").expect("the time zone is known");
    let seen = [format!("/m/1.mp3|{}", 1_795_290_300_000_i64)].into();
    let mut reader = Reader::new(Format::List, zone, CatchUp { seen, since_ms: 1_795_290_200_000 });
    let folder = Folder::of(LIST, bytes);
    let told = folder.look(&mut reader, NOW_MS);
    assert_eq!(lines(&told), ["A / Missed", " / untimed", "A / Now"]);
}
