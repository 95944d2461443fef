//! Lateness as a page: its distribution at each rate, and how it went over time.
use super::late::{CLASSES, EDGES_MS, Late};
use std::fmt::Write;

/// A run in the page.
pub struct Part<'a> {
    /// What it is.
    pub title: &'a str,
    /// What came out, in a sentence.
    pub note: &'a str,
    /// The figures.
    pub late: &'a Late,
}

const WIDTH: f64 = 760.0;
const LEFT: f64 = 64.0;
/// Lateness at the ends of the axis of the distribution, milliseconds.
const AXIS_MS: (f64, f64) = (1.0, 100_000.0);
const COLORS: [&str; 4] = ["#2a6fd6", "#d9641a", "#16875f", "#8b52c9"];

/// The page.
pub fn page(facts: &[String], parts: &[Part]) -> String {
    let facts: String = facts.iter().map(|f| format!("<li>{f}</li>")).collect();
    let maps: String = parts.iter().map(|p| format!("<h2>{}</h2><p>{}</p>{}", p.title, p.note, map(p.late))).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Lateness</title>\n\
         <style>body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 820px; margin: 24px auto; padding: 0 16px; }}\n\
         svg {{ width: 100%; height: auto; font: 12px system-ui, sans-serif; }} h2 {{ font-size: 17px; margin: 28px 0 0; }}\n\
         p, li {{ color: #555; }}</style>\n<h1>How late an output is</h1>\n\
         <p>Every event is due at a planned time; late is the time from there until a reader of committed records has its \
         output. A sender that is held up makes nothing less late.</p><ul>{facts}</ul>\n\
         <h2>Share of events that are later</h2><p>Both axes logarithmic: each step down is a tenth of the events.</p>{}\n{maps}</html>\n",
        distribution(parts)
    )
}

fn distribution(parts: &[Part]) -> String {
    let (height, bottom) = (300.0, 260.0);
    let x = |ms: f64| {
        let (low, high) = (AXIS_MS.0.ln(), AXIS_MS.1.ln());
        LEFT + (WIDTH - LEFT - 16.0) * (ms.clamp(AXIS_MS.0, AXIS_MS.1).ln() - low) / (high - low)
    };
    // From all events at the top to one in 100,000.
    let y = |later: f64| 12.0 + (bottom - 12.0) * (-later.log10()).clamp(0.0, 5.0) / 5.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    for ms in [1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0] {
        let at = x(ms);
        let _ = write!(svg, "<path d=\"M{at:.1} 12V{bottom}\" stroke=\"#ddd\"/>");
        let text = if ms < 1_000.0 { format!("{ms} ms") } else { format!("{} s", ms / 1_000.0) };
        let _ = write!(svg, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>", bottom + 18.0);
    }
    for (n, text) in ["all", "10 %", "1 %", "0.1 %", "0.01 %"].iter().enumerate() {
        let at = y(10f64.powi(-(n as i32)));
        let _ = write!(svg, "<path d=\"M{LEFT} {at:.1}H{}\" stroke=\"#ddd\"/>", WIDTH - 16.0);
        let _ = write!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 8.0, at + 4.0);
    }
    for (i, part) in parts.iter().enumerate() {
        let color = COLORS[i % COLORS.len()];
        let points = (0..=100).map(|i| 10f64.powf(-(i as f64) / 20.0)).map(|later| {
            let ms = part.late.quantile(1.0 - later).as_secs_f64() * 1e3;
            format!("{:.1},{:.1}", x(ms), y(later))
        });
        let points: Vec<String> = points.collect();
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"><title>{}</title></polyline>",
            points.join(" "),
            part.title
        );
        let at = 28.0 + 18.0 * i as f64;
        let _ = write!(svg, "<path d=\"M{} {at}h18\" stroke=\"{color}\" stroke-width=\"3\"/>", WIDTH - 330.0);
        let _ = write!(svg, "<text x=\"{}\" y=\"{}\">{}</text>", WIDTH - 306.0, at + 4.0, part.title);
    }
    svg + "</svg>"
}

/// Columns are seconds of the due time, rows classes of lateness; the darker, the more events.
fn map(late: &Late) -> String {
    let row = 14.0;
    let bottom = 8.0 + row * CLASSES as f64;
    let width = (WIDTH - LEFT - 16.0) / late.seconds.len().max(1) as f64;
    let most = late.seconds.iter().map(|s| s.classes.iter().sum::<u32>()).max().unwrap_or(1).max(1) as f64;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\">", bottom + 24.0);
    for (class, edge) in EDGES_MS.iter().enumerate() {
        let at = bottom - row * (class as f64 + 1.0);
        let text = if *edge < 1_000 { format!("{edge} ms") } else { format!("{} s", *edge as f64 / 1_000.0) };
        let _ = write!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 8.0, at + 4.0);
        let _ = write!(svg, "<path d=\"M{LEFT} {at:.1}H{}\" stroke=\"#eee\"/>", WIDTH - 16.0);
    }
    for (second, s) in late.seconds.iter().enumerate() {
        for (class, n) in s.classes.iter().enumerate().filter(|(_, n)| **n > 0) {
            let (x, y) = (LEFT + width * second as f64, bottom - row * (class as f64 + 1.0));
            // The square root keeps single late events visible.
            let dark = (*n as f64 / most).sqrt().max(0.08);
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.2}\" height=\"{row}\" fill=\"#2a6fd6\" fill-opacity=\"{dark:.2}\"><title>second {second}: {n} events</title></rect>",
                width.max(1.0)
            );
        }
    }
    let step = (late.seconds.len() / 6).max(1);
    for second in (0..late.seconds.len()).step_by(step) {
        let x = LEFT + width * second as f64;
        let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{second} s</text>", bottom + 18.0);
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_that_has_events_is_in_the_map() {
        let mut late = Late::default();
        late.add(0, 5_000);
        late.add(3, 70_000_000);
        late.sort();
        let part = Part { title: "at 100", note: "calm", late: &late };
        let page = page(&["a fact".into()], &[part]);
        assert_eq!(page.matches("<rect").count(), 2);
        assert!(page.contains("second 3: 1 events") && page.contains("a fact") && page.contains("<polyline"), "{page}");
    }
}
