//! The icon in its five states, drawn here, so that it is sharp at every size. The states differ in shape as well as in colour.

use crate::controls::Standing;

type Colour = [u8; 3];

const INK: Colour = [0xf6, 0xf1, 0xe8];
const EDGE: Colour = [0x1a, 0x15, 0x1f];
const ACCENT: Colour = [0xff, 0x7a, 0x59];
const AMBER: Colour = [0xff, 0xc8, 0x4a];
const RED: Colour = [0xe5, 0x3e, 0x3e];

/// Samples per pixel and direction.
const FINE: usize = 4;

/// The icon as rows of pixels, four bytes each: red, green, blue, opacity.
pub fn rgba(standing: Standing, size: usize) -> Vec<u8> {
    let mut pixels = Vec::with_capacity(size * size * 4);
    for y in 0..size {
        for x in 0..size {
            pixels.extend(pixel(standing, size, x, y));
        }
    }
    pixels
}

fn pixel(standing: Standing, size: usize, x: usize, y: usize) -> [u8; 4] {
    let (mut sum, mut hits) = ([0u32; 3], 0u32);
    for sample in 0..FINE * FINE {
        let at = |pixel: usize, part: usize| {
            (pixel as f32 + (part as f32 + 0.5) / FINE as f32) / size as f32 * 2.0 - 1.0
        };
        if let Some(colour) = shape(standing, at(x, sample % FINE), at(y, sample / FINE)) {
            hits += 1;
            for (sum, part) in sum.iter_mut().zip(colour) {
                *sum += u32::from(part);
            }
        }
    }
    if hits == 0 {
        return [0; 4];
    }
    let [red, green, blue] = sum.map(|sum| (sum / hits) as u8);
    [red, green, blue, (hits * 255 / (FINE * FINE) as u32) as u8]
}

/// A record with a label; coordinates from -1 to 1.
fn shape(standing: Standing, x: f32, y: f32) -> Option<Colour> {
    let from_centre = x.hypot(y);
    // A dark edge, so that it can be seen on any panel.
    if from_centre > 0.98 {
        return None;
    }
    if from_centre > 0.86 {
        return Some(EDGE);
    }
    match standing {
        // A ring.
        Standing::Idle => Some(if (0.34..0.62).contains(&from_centre) { INK } else { EDGE }),
        // A full disc with a hole.
        Standing::Live => Some(if from_centre < 0.2 { EDGE } else { ACCENT }),
        // Crossed out.
        Standing::Hidden if (x - y).abs() < 0.34 => Some(if (x - y).abs() < 0.16 { INK } else { EDGE }),
        Standing::Hidden => Some(if from_centre < 0.2 { EDGE } else { ACCENT }),
        // An hourglass.
        Standing::Queueing => Some(if x.abs() < y.abs().max(0.1) && y.abs() < 0.6 { EDGE } else { AMBER }),
        // An exclamation mark.
        Standing::Error => {
            let is_mark = x.abs() < 0.14 && ((-0.6..0.18).contains(&y) || (0.34..0.62).contains(&y));
            Some(if is_mark { INK } else { RED })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_a_shape_of_its_own() {
        let all = [Standing::Idle, Standing::Live, Standing::Hidden, Standing::Queueing, Standing::Error];
        let grey = |standing| {
            // As somebody sees it who tells no colours apart: light or dark.
            let lit = |pixel: &[u8]| {
                pixel[3] > 0 && pixel[..3].iter().map(|&part| u32::from(part)).sum::<u32>() > 300
            };
            rgba(standing, 22).chunks(4).map(lit).collect::<Vec<_>>()
        };
        for (at, one) in all.iter().enumerate() {
            assert_eq!(rgba(*one, 22).len(), 22 * 22 * 4);
            for other in &all[at + 1..] {
                let differ = grey(*one).iter().zip(grey(*other)).filter(|(one, other)| *one != other).count();
                assert!(differ > 22, "{one:?} and {other:?} differ in {differ} pixels only");
            }
        }
    }
}
