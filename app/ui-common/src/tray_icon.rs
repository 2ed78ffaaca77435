//! The icon: a banyan tree with its crown, trunk and hanging roots, drawn as vector geometry at any size.
//!
//! The icon is drawn by code because its fill follows the progress. A tray icon cannot know whether its panel is light or
//! dark, so its colours contrast with both; a test checks that.

/// The variable parts of the icon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrayIcon {
    /// The filled part of the crown, from below (percent); none: outline only.
    pub filled_percent: Option<u8>,
    /// The badge in the corner.
    pub badge: Option<Badge>,
}

/// A badge in the corner. Badges differ in shape, not only in colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Badge {
    /// Two bars: paused.
    Pause,
    /// A moon: an update is waiting for its scheduled time.
    Moon,
    /// An arrow to the right: this computer is sharing.
    Arrow,
    /// A dot: the person should act.
    Dot,
    /// An exclamation mark: something failed.
    Mark,
    /// A line across the whole crown: not connected.
    Crossed,
}

/// A colour as red, green, blue.
pub type Rgb = [u8; 3];

/// Banyan green, between a light and a dark panel.
pub const GREEN: Rgb = [0x2A, 0x93, 0x70];
/// The colour of waiting states.
pub const GREY: Rgb = [0x7A, 0x81, 0x88];
/// The colour of states in progress.
pub const BLUE: Rgb = [0x3F, 0x7F, 0xE8];
/// The colour of states that need the person.
pub const AMBER: Rgb = [0xB8, 0x7A, 0x14];
/// The colour of failures.
pub const RED: Rgb = [0xE0, 0x4A, 0x3F];

/// Samples per pixel in each direction: enough for smooth edges at 16 pixels.
const SAMPLES: u32 = 4;

/// A point in the unit square, y downwards.
type Point = (f32, f32);

/// Draws the icon: `size` × `size` pixels in rows of red, green, blue and alpha (not premultiplied).
#[must_use]
pub fn draw_icon(icon: TrayIcon, size: u32) -> Vec<u8> {
    let mut pixels = Vec::with_capacity((size * size * 4) as usize);
    for y in 0..size {
        for x in 0..size {
            pixels.extend(blend_pixel(icon, size, x, y));
        }
    }
    pixels
}

fn blend_pixel(icon: TrayIcon, size: u32, x: u32, y: u32) -> [u8; 4] {
    let (mut sum, mut hits) = ([0_u32; 3], 0_u32);
    for sample in 0..SAMPLES * SAMPLES {
        let inside = |n: u32| (n as f32 + 0.5) / SAMPLES as f32;
        let at = |pixel: u32, n: u32| (pixel as f32 + inside(n)) / size as f32;
        if let Some(colour) = colour_at(icon, size, (at(x, sample % SAMPLES), at(y, sample / SAMPLES))) {
            hits += 1;
            sum.iter_mut().zip(colour).for_each(|(sum, part)| *sum += u32::from(part));
        }
    }
    if hits == 0 {
        return [0; 4];
    }
    let part = |sum: u32| u8::try_from(sum / hits).unwrap_or(u8::MAX);
    let alpha = u8::try_from(hits * 255 / (SAMPLES * SAMPLES)).unwrap_or(u8::MAX);
    [part(sum[0]), part(sum[1]), part(sum[2]), alpha]
}

/// Returns the colour of a point; none where nothing is drawn.
fn colour_at(icon: TrayIcon, size: u32, at: Point) -> Option<Rgb> {
    if let Some(badge) = icon.badge {
        let (distance, colour) = distance_to_badge(badge, at);
        if distance <= 0.0 {
            return Some(colour);
        }
        // A gap separates the badge from the crown behind it.
        if distance < 0.06 {
            return None;
        }
    }
    let tree = if icon.badge == Some(Badge::Crossed) { GREY } else { GREEN };
    let line = (1.3 / size as f32).max(0.055);
    let leaves = distance_to_leaves(at);
    let is_filled = icon.filled_percent.is_some_and(|percent| {
        let (top, bottom) = (0.08, 0.66);
        at.1 >= bottom - (bottom - top) * f32::from(percent.min(100)) / 100.0
    });
    let drawn = match leaves {
        inside if inside <= -line => is_filled,
        edge if edge <= 0.0 => true,
        _ => distance_to_roots(at, line) <= 0.0,
    };
    drawn.then_some(tree)
}

/// Returns the distance to the leaves, three circles on a flat base. Negative inside.
fn distance_to_leaves(at: Point) -> f32 {
    let rounds = [((0.27, 0.44), 0.21), ((0.5, 0.31), 0.25), ((0.73, 0.44), 0.21)];
    let rounds = rounds.iter().map(|&(centre, radius)| distance_to_circle(at, centre, radius)).fold(f32::MAX, f32::min);
    rounds.min(distance_to_bar(at, (0.27, 0.5), (0.73, 0.5), 0.14))
}

/// Returns the distance to the trunk and the hanging roots.
fn distance_to_roots(at: Point, line: f32) -> f32 {
    let thin = line * 0.5;
    distance_to_bar(at, (0.5, 0.6), (0.5, 0.94), line.max(0.06))
        .min(distance_to_bar(at, (0.27, 0.6), (0.27, 0.94 - thin), thin))
        .min(distance_to_bar(at, (0.73, 0.6), (0.73, 0.94 - thin), thin))
}

fn distance_to_badge(badge: Badge, at: Point) -> (f32, Rgb) {
    match badge {
        Badge::Pause => (
            distance_to_bar(at, (0.66, 0.66), (0.66, 0.92), 0.055).min(distance_to_bar(
                at,
                (0.86, 0.66),
                (0.86, 0.92),
                0.055,
            )),
            GREY,
        ),
        Badge::Moon => {
            (distance_to_circle(at, (0.76, 0.76), 0.22).max(-distance_to_circle(at, (0.86, 0.68), 0.17)), BLUE)
        }
        Badge::Arrow => {
            let head = distance_to_bar(at, (0.76, 0.6), (0.92, 0.76), 0.055).min(distance_to_bar(
                at,
                (0.76, 0.92),
                (0.92, 0.76),
                0.055,
            ));
            (head.min(distance_to_bar(at, (0.56, 0.76), (0.9, 0.76), 0.055)), BLUE)
        }
        Badge::Dot => (distance_to_circle(at, (0.77, 0.77), 0.2), AMBER),
        Badge::Mark => {
            (distance_to_bar(at, (0.82, 0.5), (0.82, 0.73), 0.07).min(distance_to_circle(at, (0.82, 0.91), 0.075)), RED)
        }
        Badge::Crossed => (distance_to_bar(at, (0.1, 0.1), (0.9, 0.9), 0.05), RED),
    }
}

fn distance_to_circle(at: Point, centre: Point, radius: f32) -> f32 {
    (at.0 - centre.0).hypot(at.1 - centre.1) - radius
}

/// Returns the distance to a line with round ends.
fn distance_to_bar(at: Point, from: Point, to: Point, half_width: f32) -> f32 {
    let (along, to_at) = ((to.0 - from.0, to.1 - from.1), (at.0 - from.0, at.1 - from.1));
    let length = along.0 * along.0 + along.1 * along.1;
    let part = ((to_at.0 * along.0 + to_at.1 * along.1) / length).clamp(0.0, 1.0);
    (to_at.0 - part * along.0).hypot(to_at.1 - part * along.1) - half_width
}

/// Returns the contrast of two colours as defined in WCAG 2.2, from 1 to 21.
#[must_use]
pub fn contrast(a: Rgb, b: Rgb) -> f32 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn luminance(colour: Rgb) -> f32 {
    let linear = colour.map(|part| {
        let part = f32::from(part) / 255.0;
        if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNS: [Badge; 6] = [Badge::Pause, Badge::Moon, Badge::Arrow, Badge::Dot, Badge::Mark, Badge::Crossed];

    fn shape(icon: TrayIcon, size: u32) -> Vec<bool> {
        draw_icon(icon, size).chunks(4).map(|pixel| pixel[3] > 127).collect()
    }
    fn covered(icon: TrayIcon, size: u32) -> usize {
        shape(icon, size).iter().filter(|on| **on).count()
    }

    #[test]
    fn every_badge_differs_in_shape_at_every_size() {
        for size in [16, 22, 32] {
            let mut shapes = vec![shape(TrayIcon { filled_percent: None, badge: None }, size)];
            shapes.extend(SIGNS.map(|badge| shape(TrayIcon { filled_percent: None, badge: Some(badge) }, size)));
            for (n, one) in shapes.iter().enumerate() {
                for other in &shapes[n + 1..] {
                    let differ = one.iter().zip(other).filter(|(a, b)| a != b).count();
                    assert!(differ * 40 >= one.len(), "{size}: only {differ} pixels differ");
                }
            }
        }
    }

    #[test]
    fn it_fills_from_below() {
        for size in [16, 22, 32] {
            let steps = [None, Some(25), Some(50), Some(75), Some(100)]
                .map(|filled_percent| TrayIcon { filled_percent, badge: None });
            let areas = steps.map(|icon| covered(icon, size));
            assert!(areas.is_sorted_by(|less, more| less < more), "{size}: {areas:?}");
        }
        let half = shape(TrayIcon { filled_percent: Some(50), badge: None }, 32);
        assert!(half[17 * 32 + 16] && !half[8 * 32 + 16], "the lower part is filled, the upper part is not");
    }

    #[test]
    fn it_is_seen_on_light_and_on_dark_panels() {
        for colour in [GREEN, GREY, BLUE, AMBER, RED] {
            for panel in [[0xFF, 0xFF, 0xFF], [0x1B, 0x1B, 0x1E]] {
                let contrast = contrast(colour, panel);
                assert!(contrast >= 3.0, "{colour:02X?} on {panel:02X?}: {contrast:.2}");
            }
        }
    }
}
