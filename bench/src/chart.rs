//! Two kinds of picture as inline SVG: bars and lines, both with whiskers from the smallest to the largest sample.
//!
//! Colours are classes (`c0` …) whose meaning in light and dark is the page's; every mark has a tooltip (`<title>`).
use crate::stats::{Summary, short};
use std::fmt::Write;

/// Series that can be told apart by colour in one picture.
pub const SERIES_MAX: usize = 6;
/// Width of every picture, in its own units; the page scales it.
const WIDTH: f64 = 640.0;
/// Height of a picture of lines.
const HEIGHT: f64 = 300.0;
/// Thickness of a bar and the distances around it.
const BAR: f64 = 16.0;
const BAR_GAP: f64 = 3.0;
const GROUP_GAP: f64 = 16.0;
/// Space right of a bar for its value.
const VALUE_SPACE: f64 = 60.0;
/// Mean width of a character of the labels.
const CHAR: f64 = 6.6;
/// Half the width of a whisker's end.
const CAP: f64 = 4.0;
/// Distance between lines at the same place, so that their whiskers stand side by side.
const DODGE: f64 = 7.0;
/// About how many lines a grid has.
const TICKS: f64 = 5.0;

/// A scale from zero to a round number above the largest value.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    step: f64,
    top: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// For values up to `max`, drawn between the coordinates `from` (zero) and `to` (the top).
    pub fn new(max: f64, from: f64, to: f64) -> Scale {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let rough = max / TICKS;
        let decade = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * decade).into_iter().find(|s| *s >= rough * 0.999).unwrap_or(rough);
        // A value that is a step but for its rounding must not open another one.
        let top = (max / step - 1e-9).ceil().max(1.0) * step;
        Scale { step, top, from, to }
    }

    /// Coordinate of a value.
    pub fn at(&self, value: f64) -> f64 {
        self.from + (self.to - self.from) * value / self.top
    }

    /// Round values from zero to the top.
    pub fn ticks(&self) -> Vec<f64> {
        (0..=(self.top / self.step).round() as u32).map(|i| f64::from(i) * self.step).collect()
    }
}

/// Bars of one configuration.
pub struct Group {
    /// Its label.
    pub label: String,
    /// Name, colour and value of each bar.
    pub bars: Vec<(String, usize, Summary)>,
}

/// A line through the medians.
pub struct Line {
    /// Its name.
    pub name: String,
    /// Its colour; none: a dashed line for an ideal, without marks.
    pub color: Option<usize>,
    /// Places and values.
    pub points: Vec<(f64, Summary)>,
}

/// Lying bars, grouped, with whiskers and the median as text.
pub fn bars(what: &str, unit: &str, groups: &[Group]) -> String {
    let longest = groups.iter().map(|g| g.label.chars().count()).max().unwrap_or(0);
    let left = longest as f64 * CHAR + 12.0;
    let max = groups.iter().flat_map(|g| &g.bars).map(|(.., v)| v.max).fold(0.0, f64::max);
    let x = Scale::new(max, left, WIDTH - VALUE_SPACE);
    let group_height = |g: &Group| g.bars.len() as f64 * (BAR + BAR_GAP) + GROUP_GAP;
    let bottom = 8.0 + groups.iter().map(group_height).sum::<f64>();
    let mut svg = open(what, bottom + 40.0);
    for tick in x.ticks() {
        let at = x.at(tick);
        rule(&mut svg, "grid", (at, 4.0), (at, bottom));
        text(&mut svg, "tick", (at, bottom + 16.0), "middle", &tick_text(tick));
    }
    text(&mut svg, "unit", ((left + WIDTH - VALUE_SPACE) / 2.0, bottom + 34.0), "middle", unit);
    let mut y = 8.0 + GROUP_GAP / 2.0;
    for g in groups {
        let middle = y + (g.bars.len() as f64 * (BAR + BAR_GAP) - BAR_GAP) / 2.0;
        text(&mut svg, "label", (left - 8.0, middle + 4.0), "end", &g.label);
        for (name, color, v) in &g.bars {
            let (end, centre) = (x.at(v.median), y + BAR / 2.0);
            let tip = format!("{name}, {}: {} {unit}", g.label, v.text(short));
            let width = (end - left).max(1.0);
            let _ = write!(
                svg,
                r#"<rect class="c{color} bar" x="{left:.1}" y="{y:.1}" width="{width:.1}" height="{BAR}" rx="2">"#
            );
            let _ = write!(svg, "<title>{}</title></rect>", escape(&tip));
            let (lo, hi) = (x.at(v.min), x.at(v.max));
            whisker(&mut svg, "whisker", (lo, centre), (hi, centre));
            text(&mut svg, "value", (end.max(hi) + 8.0, centre + 4.0), "start", &short(v.median));
            y += BAR + BAR_GAP;
        }
        y += GROUP_GAP;
    }
    rule(&mut svg, "axis", (left, 4.0), (left, bottom));
    svg + "</svg>"
}

/// Lines over the places `x` (value and label), with whiskers; the vertical scale starts at zero.
pub fn lines(what: &str, x_unit: &str, y_unit: &str, x: &[(f64, String)], lines: &[Line]) -> String {
    let (left, right, top, bottom) = (56.0, WIDTH - 24.0, 28.0, HEIGHT - 44.0);
    let max = lines.iter().flat_map(|l| &l.points).map(|(_, v)| v.max).fold(0.0, f64::max);
    let y = Scale::new(max, bottom, top);
    let mut svg = open(what, HEIGHT);
    for tick in y.ticks() {
        rule(&mut svg, if tick == 0.0 { "axis" } else { "grid" }, (left, y.at(tick)), (right, y.at(tick)));
        text(&mut svg, "tick", (left - 8.0, y.at(tick) + 4.0), "end", &tick_text(tick));
    }
    text(&mut svg, "unit", (4.0, 14.0), "start", y_unit);
    text(&mut svg, "unit", ((left + right) / 2.0, HEIGHT - 8.0), "middle", x_unit);
    let place = Place::new(x, left + 40.0, right - 40.0);
    let mut free = f64::MIN;
    for (value, label) in x {
        let (at, half) = (place.at(*value), label.chars().count() as f64 * CHAR / 2.0);
        if at - half >= free {
            text(&mut svg, "tick", (at, bottom + 18.0), "middle", label);
            free = at + half + CHAR;
        }
    }
    let drawn = lines.iter().filter(|l| l.color.is_some()).count();
    let mut nth = 0.0;
    for line in lines {
        let shift = if line.color.is_some() { (nth - (drawn as f64 - 1.0) / 2.0) * DODGE } else { 0.0 };
        nth += f64::from(u8::from(line.color.is_some()));
        draw(&mut svg, line, |value| place.at(value) + shift, &y, y_unit, x);
    }
    svg + "</svg>"
}

fn draw(svg: &mut String, line: &Line, x: impl Fn(f64) -> f64, y: &Scale, unit: &str, labels: &[(f64, String)]) {
    let path =
        line.points.iter().map(|(at, v)| format!("{:.1},{:.1}", x(*at), y.at(v.median))).collect::<Vec<_>>().join(" ");
    let class = line.color.map_or("ideal".into(), |c| format!("c{c} line"));
    let _ =
        write!(svg, r#"<polyline class="{class}" points="{path}"><title>{}</title></polyline>"#, escape(&line.name));
    let Some(color) = line.color else { return };
    for (at, v) in &line.points {
        let (px, py) = (x(*at), y.at(v.median));
        whisker(svg, &format!("c{color} whisker"), (px, y.at(v.min)), (px, y.at(v.max)));
        let label = labels.iter().find(|(l, _)| l == at).map_or("", |(_, l)| l);
        let tip = format!("{}, {label}: {} {unit}", line.name, v.text(short));
        let _ = write!(
            svg,
            r#"<circle class="c{color} dot" cx="{px:.1}" cy="{py:.1}" r="4"><title>{}</title></circle>"#,
            escape(&tip)
        );
    }
}

/// Places on the horizontal axis: in proportion, or in the middle when there is one only.
struct Place {
    first: f64,
    span: f64,
    left: f64,
    right: f64,
}

impl Place {
    fn new(x: &[(f64, String)], left: f64, right: f64) -> Place {
        let first = x.iter().map(|(v, _)| *v).fold(f64::INFINITY, f64::min);
        let last = x.iter().map(|(v, _)| *v).fold(f64::NEG_INFINITY, f64::max);
        Place { first, span: last - first, left, right }
    }

    fn at(&self, value: f64) -> f64 {
        let part = if self.span > 0.0 { (value - self.first) / self.span } else { 0.5 };
        self.left + (self.right - self.left) * part
    }
}

fn open(what: &str, height: f64) -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {height:.0}" role="img" aria-label="{}">"#, escape(what))
}

fn rule(svg: &mut String, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    let _ = write!(svg, r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#);
}

/// A line with caps at its ends, lying or standing; nothing when both ends are the same place.
fn whisker(svg: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    if (from.0 - to.0).abs() + (from.1 - to.1).abs() < 0.5 {
        return;
    }
    let (dx, dy) = if from.1 == to.1 { (0.0, CAP) } else { (CAP, 0.0) };
    rule(svg, class, from, to);
    for (x, y) in [from, to] {
        rule(svg, class, (x - dx, y - dy), (x + dx, y + dy));
    }
}

fn text(svg: &mut String, class: &str, (x, y): (f64, f64), anchor: &str, text: &str) {
    let _ =
        write!(svg, r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#, escape(text));
}

/// A round number of a scale: `0`, `0.5`, `250`, `1.5k`, `2M`.
fn tick_text(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let digits = format!("{value:.3}");
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// Text that is safe between tags and in quoted attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(v: f64) -> Summary {
        Summary { median: v, min: v, max: v }
    }

    #[test]
    fn scales_end_on_round_numbers_at_or_above_the_largest() {
        for (max, top, step) in [
            (1.0, 1.0, 0.2),
            (0.87, 1.0, 0.2),
            (0.3, 0.3, 0.1),
            (5.1, 6.0, 2.0),
            (432_900.0, 500_000.0, 100_000.0),
            (1e-9, 1e-9, 2e-10),
        ] {
            let s = Scale::new(max, 0.0, 100.0);
            assert!((s.top / top - 1.0).abs() < 1e-6 && (s.step / step - 1.0).abs() < 1e-6, "{max}: {s:?}");
            assert!(s.top >= max * (1.0 - 1e-9));
        }
    }

    #[test]
    fn scales_survive_nothing_and_nonsense() {
        for max in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Scale::new(max, 0.0, 10.0).at(1.0), 10.0);
        }
    }

    #[test]
    fn every_scale_has_few_ticks_that_cover_it() {
        for i in 1..5000 {
            let s = Scale::new(f64::from(i) * 0.37, 300.0, 20.0);
            let ticks = s.ticks();
            assert!((2..=7).contains(&ticks.len()), "{i}: {ticks:?}");
            assert!((s.at(0.0) - 300.0).abs() < 1e-9 && (s.at(ticks[ticks.len() - 1]) - 20.0).abs() < 1e-6);
        }
    }

    #[test]
    fn ticks_read_well() {
        let text: Vec<_> = [0.0, 0.5, 0.25, 1.0, 250.0, 1500.0, 200_000.0, 2e6].map(tick_text).into();
        assert_eq!(text, ["0", "0.5", "0.25", "1", "250", "1.5k", "200k", "2M"]);
    }

    #[test]
    fn one_place_is_in_the_middle_and_many_in_proportion() {
        let x = |v: &[f64]| v.iter().map(|v| (*v, v.to_string())).collect::<Vec<_>>();
        assert_eq!(Place::new(&x(&[7.0]), 0.0, 100.0).at(7.0), 50.0);
        let p = Place::new(&x(&[1.0, 2.0, 5.0]), 0.0, 100.0);
        assert_eq!([1.0, 2.0, 5.0].map(|v| p.at(v)), [0.0, 25.0, 100.0]);
    }

    #[test]
    fn bars_carry_value_whisker_and_tooltip() {
        let v = Summary { median: 2.0, min: 1.0, max: 4.0 };
        let bars_of = |v| [Group { label: "a<b".into(), bars: vec![("ours".into(), 0, v)] }];
        let svg = bars("w", "s", &bars_of(v));
        assert!(svg.contains("a&lt;b") && svg.contains("<title>ours, a&lt;b: 2.00 (1.00–4.00) s</title>"), "{svg}");
        assert_eq!(svg.matches("whisker").count(), 3, "a line and two caps");
        assert_eq!(bars("w", "s", &bars_of(flat(2.0))).matches("whisker").count(), 0);
    }

    #[test]
    fn lines_have_a_dot_for_each_point_but_ideals_none() {
        let x = [(1.0, "1".to_string()), (2.0, "2".to_string())];
        let line = |color| Line { name: "n".into(), color, points: vec![(1.0, flat(1.0)), (2.0, flat(2.0))] };
        let svg = lines("w", "x", "y", &x, &[line(Some(0)), line(None)]);
        assert_eq!((svg.matches("<circle").count(), svg.matches("<polyline").count()), (2, 2));
        assert!(svg.contains(r#"class="ideal""#) && svg.ends_with("</svg>"));
    }

    #[test]
    fn labels_that_would_overlap_are_left_out() {
        let x: Vec<_> = (0..40).map(|i| (f64::from(i), format!("{i},000,000"))).collect();
        let shown = lines("w", "x", "y", &x, &[]).matches(",000,000<").count();
        assert!((3..15).contains(&shown), "{shown}");
    }
}
