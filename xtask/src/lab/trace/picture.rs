//! Draws a history as SVG: a panel for each machine, time from left to right, held chunks from bottom to top, one curve
//! for each stripe. The title names each stripe's first source; a dot with a name marks where another source begins.

use super::{
    TracedHost,
    history::{Curve, History},
};
use std::fmt::Write;

const COLUMNS: usize = 4;
/// The size of a panel's area and the space around it (points).
const WIDTH: f64 = 250.0;
const HEIGHT: f64 = 110.0;
const MARGIN: [f64; 2] = [34.0, 34.0];
const TOP: f64 = 58.0;
/// Colours of the stripes that are also told apart by readers who do not see red and green.
const COLOURS: [&str; 2] = ["#0072b2", "#d55e00"];
/// At most one point for each step of this width (points).
const STEP: f64 = 1.0;
/// The most names of sources in one panel; further changes have dots only.
const NAMES: usize = 4;

/// Draws all hosts except the first, which is the server.
pub(super) fn draw(title: &str, hosts: &[TracedHost], history: &History) -> String {
    let end = history.end().max(0.1);
    let machines = hosts.len() - 1;
    let size = [
        COLUMNS as f64 * (WIDTH + MARGIN[0]) + 16.0,
        TOP + machines.div_ceil(COLUMNS) as f64 * (HEIGHT + MARGIN[1]) + 8.0,
    ];
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0} {1:.0}\" width=\"{0:.0}\" height=\"{1:.0}\" \
         font-family=\"sans-serif\" font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{2}\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{3}</text>\n",
        size[0],
        size[1],
        MARGIN[0],
        escaped(title)
    );
    let legend: Vec<String> = (0..history.stripes())
        .map(|stripe| format!("<tspan fill=\"{}\">stripe {stripe}</tspan>", COLOURS[stripe % COLOURS.len()]))
        .collect();
    write(
        &mut svg,
        format_args!(
            "<text x=\"{}\" y=\"36\">{}; dots: another source begins; dashes: no machine with this link can be faster; \
         all panels end after {end:.1} s</text>",
            MARGIN[0],
            legend.join(", ")
        ),
    );
    for host in 1..hosts.len() {
        let at = host - 1;
        let left = MARGIN[0] + (at % COLUMNS) as f64 * (WIDTH + MARGIN[0]);
        let top = TOP + (at / COLUMNS) as f64 * (HEIGHT + MARGIN[1]);
        write(&mut svg, format_args!("<g transform=\"translate({left:.1},{top:.1})\">"));
        panel(&mut svg, host, hosts, history, end);
        svg.push_str("</g>\n");
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, host: usize, hosts: &[TracedHost], history: &History, end: f64) {
    let traced = &hosts[host];
    let remark = traced.remark.as_ref().map(|remark| format!(", {remark}")).unwrap_or_default();
    let colour = if traced.remark.is_some() { "#b00020" } else { "black" };
    write(
        svg,
        format_args!(
            "<text y=\"-4\"><tspan fill=\"{colour}\" font-weight=\"bold\">{}{}</tspan>{}</text>",
            escaped(&traced.label),
            escaped(&remark),
            first_sources(host, hosts, history)
        ),
    );
    write(
        svg,
        format_args!(
            "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#bbb\"/>\
         <text x=\"-4\" y=\"8\" text-anchor=\"end\">all</text><text x=\"-4\" y=\"{HEIGHT}\" text-anchor=\"end\">0</text>"
        ),
    );
    let every = tick(end);
    let mut seconds = every;
    while seconds < end {
        let x = seconds / end * WIDTH;
        write(
            svg,
            format_args!(
                "<path d=\"M{x:.1} 0V{HEIGHT}\" stroke=\"#eee\"/><text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{seconds} s</text>",
                HEIGHT + 11.0
            ),
        );
        seconds += every;
    }
    // The bound may lie outside the panel.
    let share = (end / traced.bound.max(1e-3)).min(1.0);
    write(
        svg,
        format_args!(
            "<path d=\"M0 {HEIGHT}L{:.1} {:.1}\" stroke=\"#999\" stroke-dasharray=\"4 3\"/>",
            traced.bound.min(end) / end * WIDTH,
            HEIGHT * (1.0 - share)
        ),
    );
    for stripe in 0..history.stripes() {
        let colour = COLOURS[stripe % COLOURS.len()];
        let place = |seconds: f64, held: u32| {
            let share = f64::from(held) / f64::from(history.chunks(stripe).max(1));
            (seconds / end * WIDTH, HEIGHT * (1.0 - share))
        };
        let curve = history.curve(host, stripe);
        write(
            svg,
            format_args!("<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>", path(curve, place)),
        );
        for (number, change) in curve.changes().iter().enumerate().skip(1) {
            let (x, y) = place(change.seconds, change.held);
            write(svg, format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"/>"));
            if let Some(source) = change.source.filter(|_| number <= NAMES) {
                // Stripe 0 is labelled above its curve, stripe 1 below.
                let (x, y) = (x + 4.0, if stripe == 0 { (y - 3.0).max(9.0) } else { (y + 9.0).min(HEIGHT - 2.0) });
                write(
                    svg,
                    format_args!(
                        "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{}</text>",
                        escaped(&hosts[source].label)
                    ),
                );
            }
        }
    }
}

/// Returns the first source of each stripe, in the stripe's colour.
fn first_sources(host: usize, hosts: &[TracedHost], history: &History) -> String {
    let mut text = String::new();
    for stripe in 0..history.stripes() {
        if let Some(source) = history.curve(host, stripe).changes().first().and_then(|first| first.source) {
            let colour = COLOURS[stripe % COLOURS.len()];
            let _ = write!(text, " <tspan fill=\"{colour}\">← {}</tspan>", escaped(&hosts[source].label));
        }
    }
    text
}

/// Returns a curve as steps, with no more points than can be seen.
fn path(curve: &Curve, place: impl Fn(f64, u32) -> (f64, f64)) -> String {
    let mut text = String::new();
    let mut drawn = f64::NEG_INFINITY;
    for (number, point) in curve.points.iter().enumerate() {
        let (x, y) = place(point.seconds, point.held);
        if text.is_empty() {
            let _ = write!(text, "M{x:.1} {y:.1}");
        } else if x - drawn >= STEP || number + 1 == curve.points.len() {
            let _ = write!(text, "H{x:.1}V{y:.1}");
        } else {
            continue;
        }
        drawn = x;
    }
    text
}

/// Returns the distance of the marks on the time axis: 1, 2 or 5 times a power of ten, about five marks.
fn tick(end: f64) -> f64 {
    let power = 10_f64.powf((end / 5.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|&every| end / every <= 6.0).unwrap_or(end)
}

fn write(svg: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(svg, "{text}");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::history::Point;
    use super::*;

    #[test]
    fn curves_are_steps_and_the_last_point_is_drawn() {
        let point = |seconds, held| Point { seconds, held, source: Some(0) };
        let curve = Curve { points: vec![point(1.0, 1), point(1.2, 2), point(3.0, 3), point(3.1, 4)] };
        assert_eq!(path(&curve, |seconds, held| (seconds, f64::from(held))), "M1.0 1.0H3.0V3.0H3.1V4.0");
    }

    #[test]
    fn the_time_axis_has_round_marks() {
        assert_eq!([tick(7.0), tick(77.0), tick(0.9)].map(|every| (every * 100.0).round() / 100.0), [2.0, 20.0, 0.2]);
    }
}
