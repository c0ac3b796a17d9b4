//! What senders tell of a track beside the audio: tags by name, updates of `/admin/metadata`, and the ID3v2 tag that
//! an MP3 stream may begin with. Pure.

use protocol::Track;

use crate::sources::decode;
use crate::sources::observation::artist_and_title;

/// A longer tag is read so far; the texts come before the pictures.
pub const TAG_BYTES_MAX: usize = 256 * 1024;

/// Tags as they come, by the names that Vorbis comments have.
#[derive(Debug, Default)]
pub struct Tags {
    artists: Vec<String>,
    track: Track,
}

/// More artists of one track are a broken tag.
const ARTISTS_MAX: usize = 16;

impl Tags {
    /// Takes in a tag. Of those that come again, all artists and the first of the others count.
    pub fn add(&mut self, name: &str, value: &str) {
        let Some(value) = usable(value) else { return };
        let track = &mut self.track;
        let keep = |field: &mut Option<String>, value: String| {
            field.get_or_insert(value);
        };
        match name.to_ascii_uppercase().as_str() {
            "ARTIST" if self.artists.len() < ARTISTS_MAX && !self.artists.contains(&value) => {
                self.artists.push(value);
            }
            "TITLE" => keep(&mut track.title, value),
            "ALBUM" => keep(&mut track.album, value),
            "GENRE" => keep(&mut track.genre, value),
            "KEY" | "INITIALKEY" => keep(&mut track.key, value),
            "BPM" | "TEMPO" => track.bpm = track.bpm.or(value.parse().ok()),
            "DATE" | "YEAR" => {
                track.year = track.year.or(decode::year(&value));
            }
            _ => {}
        }
    }

    /// The track that the tags name, if they name one.
    pub fn track(self) -> Option<Track> {
        let artist = decode::field(&self.artists.join(", "));
        let is_named = artist.is_some() || self.track.title.is_some();
        is_named.then_some(Track { artist, ..self.track })
    }
}

/// A field with something in it: senders write text that they cannot encode as question marks.
fn usable(value: &str) -> Option<String> {
    decode::field(value)
        .filter(|value| value.chars().any(|character| !matches!(character, '?' | '-' | '–' | ' ')))
}

/// What a sender's request to `/admin/metadata` asks for.
#[derive(Debug, Default, PartialEq)]
pub struct Update {
    /// Of which stream; absent when the sender does not say.
    pub mount: Option<String>,
    /// Nothing when it says nothing that can be used.
    pub track: Option<Track>,
}

impl Update {
    /// Reads what follows the question mark.
    pub fn parse(query: &[u8]) -> Self {
        let pairs = decode::form(query);
        let value = |name: &str| {
            let wanted = name.as_bytes();
            pairs
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.as_slice())
        };
        let charset = value("charset").and_then(encoding_rs::Encoding::for_label);
        let text = |name: &str| {
            let bytes = value(name)?;
            match charset {
                Some(charset) => usable(&charset.decode_with_bom_removal(bytes).0),
                None => usable(&decode::line(bytes)),
            }
        };
        // Some senders go on sending an old song beside a new artist and title.
        let (artist, title) = match (text("artist"), text("title"), text("song")) {
            (artist, None, Some(song)) => match artist_and_title(&song) {
                (None, title) => (artist, title),
                pair => pair,
            },
            (artist, title, _) => (artist, title),
        };
        let is_named = artist.is_some() || title.is_some();
        let track = is_named.then(|| Track {
            artist: artist.as_deref().and_then(usable),
            title: title.as_deref().and_then(usable),
            album: text("album"),
            ..Track::default()
        });
        Self { mount: value("mount").and_then(|mount| decode::field(&decode::line(mount))), track }
    }
}

/// The tag before the first sound of an MP3 stream.
#[derive(Debug, Default)]
pub struct LeadingTag {
    bytes: Vec<u8>,
    is_over: bool,
}

const TAG_HEADER_BYTES: usize = 10;

impl LeadingTag {
    /// Takes in the next bytes of the stream, and gives the track when the tag is complete.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Track> {
        if self.is_over {
            return None;
        }
        let room = TAG_BYTES_MAX - self.bytes.len();
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let mark = &self.bytes[..self.bytes.len().min(3)];
        if !b"ID3".starts_with(mark) {
            self.is_over = true;
            self.bytes = Vec::new();
            return None;
        }
        let header = self.bytes.first_chunk::<TAG_HEADER_BYTES>()?;
        let wanted = (TAG_HEADER_BYTES + synchsafe(&header[6..])).min(TAG_BYTES_MAX);
        if self.bytes.len() < wanted {
            return None;
        }
        self.is_over = true;
        let tag = std::mem::take(&mut self.bytes);
        read_tag(&tag[..wanted])
    }
}

/// The track that an ID3v2 tag names, as far as the tag goes.
pub fn read_tag(tag: &[u8]) -> Option<Track> {
    const UNSYNCHRONISED: u8 = 0x80;
    const EXTENDED: u8 = 0x40;
    let header = tag.first_chunk::<TAG_HEADER_BYTES>()?;
    let (version, flags) = (header[3], header[5]);
    let mut body = tag[TAG_HEADER_BYTES..].to_vec();
    if flags & UNSYNCHRONISED != 0 && version < 4 {
        body = synchronised(&body);
    }
    let mut rest = body.as_slice();
    if flags & EXTENDED != 0 && version > 2 {
        let size = rest.get(..4)?;
        let bytes = if version > 3 { synchsafe(size) } else { plain(size) + 4 };
        rest = rest.get(bytes..)?;
    }
    let name_bytes = if version == 2 { 3 } else { 4 };
    let header_bytes = if version == 2 { 6 } else { 10 };
    let mut tags = Tags::default();
    while let Some(header) = rest.get(..header_bytes).filter(|header| header[0] != 0) {
        let size = match version {
            2 => plain(&header[3..6]),
            3 => plain(&header[4..8]),
            _ => synchsafe(&header[4..8]),
        };
        let name = &header[..name_bytes];
        let Some((frame, after)) = rest[header_bytes..].split_at_checked(size) else { break };
        rest = after;
        let tag_name = match name {
            b"TPE1" | b"TP1" => "ARTIST",
            b"TIT2" | b"TT2" => "TITLE",
            b"TALB" | b"TAL" => "ALBUM",
            b"TBPM" | b"TBP" => "BPM",
            b"TKEY" | b"TKE" => "KEY",
            b"TYER" | b"TYE" | b"TDRC" => "DATE",
            _ => continue,
        };
        for value in texts(frame) {
            tags.add(tag_name, &value);
        }
    }
    tags.track()
}

/// The values of a text frame; the first byte says how they are encoded.
fn texts(frame: &[u8]) -> Vec<String> {
    let Some((&encoding, bytes)) = frame.split_first() else { return Vec::new() };
    let text = match encoding {
        1 => match bytes {
            [0xFE, 0xFF, ..] => encoding_rs::UTF_16BE.decode_with_bom_removal(bytes).0.into_owned(),
            _ => encoding_rs::UTF_16LE.decode_with_bom_removal(bytes).0.into_owned(),
        },
        2 => encoding_rs::UTF_16BE.decode_with_bom_removal(bytes).0.into_owned(),
        // Both kinds of 8-bit text are found under both names.
        _ => return bytes.split(|&byte| byte == 0).take(ARTISTS_MAX).map(decode::line).collect(),
    };
    text.split('\0').take(ARTISTS_MAX).map(str::to_owned).collect()
}

fn synchronised(bytes: &[u8]) -> Vec<u8> {
    let mut before = 0;
    let mut plain = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if !(before == 0xFF && byte == 0) {
            plain.push(byte);
        }
        before = byte;
    }
    plain
}

fn synchsafe(bytes: &[u8]) -> usize {
    bytes.iter().take(4).fold(0, |size, &byte| (size << 7) | usize::from(byte & 0x7F))
}

fn plain(bytes: &[u8]) -> usize {
    bytes.iter().take(4).fold(0, |size, &byte| (size << 8) | usize::from(byte))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(query: &str, expected: &str) {
        let line = Update::parse(query.as_bytes()).track.map(|track| track.line()).unwrap_or_default();
        assert_eq!(line, expected);
    }

    #[test]
    fn updates() {
        check("mode=updinfo&charset=UTF-8&song=Nova+Harbor%20-%20Glass%20Tide", "Nova Harbor – Glass Tide");
        check("artist=S%f8ren&title=B%f8lge", "Søren – Bølge");
        check("artist=S%c3%b8ren&title=B%c3%b8lge", "Søren – Bølge");
        check("charset=windows-1251&title=%cd%ee%f7%fc", "Ночь");
        check("song=Old+-+Song&artist=New&title=One", "New – One");
        check("song=Kilo+-+Song&artist=&title=", "Kilo – Song");
        check("song=Only+a+title", "Only a title");
        check("artist=%3f%3f&title=%3f%3f%3f", "");
        check("song=%3f%3f+-+%3f%3f", "");
        check("song=", "");
        check("song=+-+", "");
        check("", "");
        check("title=100%&artist=%zz", "%zz – 100%");
    }

    #[test]
    fn an_update_names_its_stream() {
        let update = Update::parse(b"mount=%2flive&song=x");
        assert_eq!(update.mount.as_deref(), Some("/live"));
    }

    fn frame(name: &[u8; 4], text: &[u8]) -> Vec<u8> {
        let size = (text.len() as u32).to_be_bytes();
        [name.as_slice(), &size, &[0, 0], text].concat()
    }

    fn tag(version: u8, flags: u8, frames: &[Vec<u8>]) -> Vec<u8> {
        let body = [frames.concat(), vec![0; 20]].concat();
        let size = body.len();
        let size = [0, (size >> 14) as u8 & 0x7F, (size >> 7) as u8 & 0x7F, size as u8 & 0x7F];
        [b"ID3".as_slice(), &[version, 0, flags], &size, &body].concat()
    }

    fn sample() -> Vec<u8> {
        let title: Vec<u8> = "Bølge".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let title = [vec![1, 0xFF, 0xFE], title].concat();
        tag(4, 0, &[frame(b"TSSE", b"\x03Lavf"), frame(b"TPE1", b"\x03Ana\0Kilo"), frame(b"TIT2", &title)])
    }

    #[test]
    fn tags_of_mp3() {
        assert_eq!(read_tag(&sample()).expect("named").line(), "Ana, Kilo – Bølge");
        let old = tag(3, 0x80, &[frame(b"TIT2", b"\0Bj\xF6rn"), frame(b"TBPM", b"\x00124")]);
        let track = read_tag(&old).expect("named");
        assert_eq!((track.line().as_str(), track.bpm), ("Björn", Some(124.0)));
        assert_eq!(read_tag(&tag(4, 0, &[frame(b"TSSE", b"\x03Lavf")])), None);
        assert_eq!(LeadingTag::default().push(b"\xFF\xFBaudio"), None);
    }

    proptest! {
        #[test]
        fn slices_do_not_matter(cuts in vec(1_usize..40, 1..20)) {
            let stream = [sample(), b"\xFF\xFBaudio and more audio".to_vec()].concat();
            let whole: Vec<Track> = LeadingTag::default().push(&stream).into_iter().collect();
            let (mut tag, mut tracks, mut rest) = (LeadingTag::default(), Vec::new(), stream.as_slice());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (slice, after) = rest.split_at((*cut).min(rest.len()));
                tracks.extend(tag.push(slice));
                rest = after;
            }
            prop_assert_eq!(whole.len(), 1);
            prop_assert_eq!(tracks, whole);
        }

        #[test]
        fn nothing_breaks_it(query in vec(any::<u8>(), 0..400), version in 0_u8..6, flags in any::<u8>()) {
            Update::parse(&query);
            let mut bytes = tag(version, flags, std::slice::from_ref(&query));
            read_tag(&bytes);
            bytes.truncate(query.len());
            read_tag(&bytes);
            LeadingTag::default().push(&bytes);
        }
    }
}
