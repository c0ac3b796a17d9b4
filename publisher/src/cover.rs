//! The small picture that is made of any other: bytes in, bytes out, whatever they are.

use std::io::Cursor;

use anyhow::{Context, ensure};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, Rgb, RgbImage};
use protocol::Jpeg;
use protocol::cover::JPEG_BYTES_MAX;

/// The longer side of what is shown.
const SIDE_MAX: u32 = 500;

/// The longer side of what is taken. Nobody scans a record sleeve larger.
const SOURCE_SIDE_MAX: u32 = 6_000;

/// Memory for one picture: a file of a few bytes may claim any size.
const SOURCE_BYTES_MAX: u64 = 160 * 1024 * 1024;

/// Tried one after the other until the picture is small enough. The last of them always is, by far.
const QUALITIES: [(u32, u8); 5] =
    [(SIDE_MAX, 85), (SIDE_MAX, 70), (SIDE_MAX, 50), (SIDE_MAX / 2, 60), (SIDE_MAX / 4, 50)];

/// A picture of at most 500 by 500, as a JPEG without anything beside it: what else stood in the file (places, names of
/// programs and people) is left behind.
///
/// # Errors
/// The bytes are no picture that we read, or too large a one.
pub fn small(picture: &[u8]) -> anyhow::Result<Jpeg> {
    let image = decoded(picture)?;
    let mut image = flat(&fitting(&image, SIDE_MAX));
    for (side, quality) in QUALITIES {
        if image.width().max(image.height()) > side {
            image = flat(&fitting(&DynamicImage::ImageRgb8(image), side));
        }
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&image).context("write a JPEG")?;
        if bytes.len() <= JPEG_BYTES_MAX {
            return Jpeg::new(&bytes).context("name a cover");
        }
    }
    anyhow::bail!("a cover that does not become small")
}

fn decoded(picture: &[u8]) -> anyhow::Result<DynamicImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(SOURCE_SIDE_MAX);
    limits.max_image_height = Some(SOURCE_SIDE_MAX);
    limits.max_alloc = Some(SOURCE_BYTES_MAX);
    let mut reader =
        ImageReader::new(Cursor::new(picture)).with_guessed_format().context("read a picture")?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder().context("read a picture")?;
    let bytes = decoder.total_bytes();
    ensure!(bytes <= SOURCE_BYTES_MAX, "a picture of {bytes} bytes in memory");
    // What a camera knows of up and down. Without it the picture is shown as it lies there.
    let orientation = decoder.orientation().ok();
    let mut image = DynamicImage::from_decoder(decoder).context("read a picture")?;
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    ensure!(image.width() > 0 && image.height() > 0, "an empty picture");
    Ok(image)
}

/// As large as fits, never larger than it was.
fn fitting(image: &DynamicImage, side: u32) -> DynamicImage {
    if image.width().max(image.height()) <= side {
        return image.clone();
    }
    // The filter needs memory for a band of the whole width in floating point; what is very large is thinned out first.
    let thinned = (image.width().max(image.height()) > 4 * side).then(|| image.thumbnail(2 * side, 2 * side));
    thinned.as_ref().unwrap_or(image).resize(side, side, FilterType::Triangle)
}

/// A JPEG knows nothing of transparency: what is behind the picture is the dark ground of the pages.
fn flat(image: &DynamicImage) -> RgbImage {
    const GROUND: [u8; 3] = [0x18, 0x15, 0x1d];
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let image = image.to_rgba8();
    let mut flat = RgbImage::new(image.width(), image.height());
    for (to, from) in flat.pixels_mut().zip(image.pixels()) {
        let [red, green, blue, alpha] = from.0;
        let mix = |colour: u8, ground: u8| {
            let (colour, ground, alpha) = (u32::from(colour), u32::from(ground), u32::from(alpha));
            u8::try_from((colour * alpha + ground * (255 - alpha)) / 255).unwrap_or(u8::MAX)
        };
        *to = Rgb([mix(red, GROUND[0]), mix(green, GROUND[1]), mix(blue, GROUND[2])]);
    }
    flat
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgba, RgbaImage};
    use proptest::prelude::*;

    use super::*;

    /// As hard to compress as a picture can be.
    fn noise(width: u32, height: u32) -> DynamicImage {
        let mut state = 1u32;
        let mut image = RgbImage::new(width, height);
        for byte in image.iter_mut() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
        DynamicImage::ImageRgb8(image)
    }

    fn written(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), format).expect("written");
        bytes
    }

    fn size(jpeg: &Jpeg) -> (u32, u32) {
        let image = image::load_from_memory_with_format(jpeg.as_bytes(), ImageFormat::Jpeg).expect("a JPEG");
        (image.width(), image.height())
    }

    #[test]
    fn any_picture_becomes_a_small_one() {
        for (width, height, expected) in [
            (1_200, 600, (500, 250)),
            (2_200, 2_200, (500, 500)),
            (40, 40, (40, 40)),
            (1, 1, (1, 1)),
            (2_600, 2, (500, 1)),
        ] {
            for format in [ImageFormat::Jpeg, ImageFormat::Png] {
                let jpeg = small(&written(&noise(width, height), format)).expect("a picture");
                assert_eq!(size(&jpeg), expected, "{width}x{height} {format:?}");
                assert!(jpeg.as_bytes().len() <= JPEG_BYTES_MAX);
            }
        }
    }

    #[test]
    fn the_same_picture_has_the_same_name() {
        let png = written(&noise(60, 60), ImageFormat::Png);
        assert_eq!(small(&png).expect("a picture").id(), small(&png).expect("a picture").id());
    }

    #[test]
    fn what_is_transparent_shows_the_ground() {
        let clear = DynamicImage::ImageRgba8(RgbaImage::from_pixel(8, 8, Rgba([255, 255, 255, 0])));
        let jpeg = small(&written(&clear, ImageFormat::Png)).expect("a picture");
        let image = image::load_from_memory(jpeg.as_bytes()).expect("a JPEG").to_rgb8();
        assert!(image.get_pixel(4, 4).0.iter().all(|part| *part < 0x30), "{:?}", image.get_pixel(4, 4));
    }

    #[test]
    fn a_picture_that_claims_to_be_huge_is_refused() {
        // Of a PNG of 1 by 1, the width is made a number that no memory holds.
        let mut png = written(&noise(1, 1), ImageFormat::Png);
        png[16..20].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes());
        let sum = crc32fast::hash(&png[12..29]);
        png[29..33].copy_from_slice(&sum.to_be_bytes());
        assert!(small(&png).is_err());
        // A JPEG's size stands after its mark, in two bytes each.
        let mut jpeg = written(&noise(8, 8), ImageFormat::Jpeg);
        let at = jpeg.windows(2).position(|mark| mark == [0xff, 0xc0]).expect("a baseline JPEG");
        jpeg[at + 5..at + 9].copy_from_slice(&[0xff; 4]);
        assert!(small(&jpeg).is_err());
        // A tall one that is within no bound, though its file is small.
        let tall = written(&DynamicImage::ImageLuma8(image::GrayImage::new(1, 20_000)), ImageFormat::Png);
        assert!(small(&tall).is_err());
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        for bytes in [&b""[..], b"\xff\xd8\xff", b"GIF89a", b"<svg/>", b"%PDF-1.4"] {
            assert!(small(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn nothing_beside_the_picture_is_passed_on() {
        let mut jpeg = written(&noise(16, 16), ImageFormat::Jpeg);
        let comment = b"/home/dj/Secret";
        let mut mark = vec![0xff, 0xfe, 0, comment.len() as u8 + 2];
        mark.extend_from_slice(comment);
        jpeg.splice(2..2, mark);
        let small = small(&jpeg).expect("a picture");
        assert!(!small.as_bytes().windows(comment.len()).any(|part| part == comment));
    }

    #[test]
    fn cut_anywhere_it_does_not_fail() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP] {
            let whole = written(&noise(12, 12), format);
            assert!(small(&whole).is_ok(), "{format:?}");
            for end in 0..whole.len() {
                let _ = small(&whole[..end]);
            }
        }
    }

    proptest! {
        #[test]
        fn a_damaged_picture_is_answered(at in 0usize..1_000, byte: u8, kind in 0usize..4) {
            let formats = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP];
            let mut bytes = written(&noise(24, 24), formats[kind]);
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(jpeg) = small(&bytes) {
                prop_assert!(jpeg.as_bytes().len() <= JPEG_BYTES_MAX);
            }
        }
    }
}
