//! A bar chart as SVG: the ratios of a run with their spreads and targets.

use std::fmt::Write;

use super::figure::{Figure, Spread};
use super::outcome::{Outcome, typical};

const LEFT: f64 = 330.0;
const WIDTH: f64 = 420.0;
const ROW: f64 = 26.0;
const TOP: f64 = 64.0;

/// Draws every figure that has a base. A bar that ends at 1 takes as long as its base.
pub(super) fn draw(outcome: &Outcome) -> String {
    let rows: Vec<(&Figure, Spread)> =
        outcome.figures.iter().filter_map(|figure| Some((figure, figure.ratio()?))).collect();
    let greatest =
        rows.iter().map(|(figure, ratio)| ratio.median.max(figure.target.unwrap_or(0.0))).fold(2.0, f64::max);
    let scale = WIDTH / (greatest * 1.1);
    let height = TOP + ROW * rows.len() as f64 + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"960\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}: time relative to the raw client (1.0 = equal; lower is better)</text>\n\
         <text x=\"16\" y=\"44\" fill=\"#555\">{}</text>\n",
        escape(&outcome.name),
        escape(&outcome.conditions()),
    );
    for (index, (figure, ratio)) in rows.iter().enumerate() {
        bar(&mut svg, TOP + ROW * index as f64, scale, figure, *ratio);
    }
    let one = LEFT + scale;
    // Writing to a String cannot fail.
    writeln!(svg, "<line x1=\"{one}\" x2=\"{one}\" y1=\"{TOP}\" y2=\"{}\" stroke=\"#222\"/>", height - 26.0).ok();
    writeln!(
        svg,
        "<text x=\"16\" y=\"{}\" fill=\"#555\">Thin line: least to greatest ratio of a round. Red mark: target.</text>\n</svg>",
        height - 8.0
    )
    .ok();
    svg
}

fn bar(svg: &mut String, y: f64, scale: f64, figure: &Figure, ratio: Spread) {
    let colour = if figure.keeps_target() == Some(false) { "#d08770" } else { "#5e81ac" };
    let limit = |ratio: f64| LEFT + (ratio * scale).min(WIDTH + 20.0);
    let (middle, end) = (y + ROW / 2.0, limit(ratio.median));
    let unit = if figure.by_rate { String::new() } else { format!(" {}", figure.unit) };
    let ours = typical(figure, &figure.ours);
    let (name, base) = (escape(&figure.name), escape(figure.base_is.as_deref().unwrap_or_default()));
    writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>", LEFT - 8.0, middle + 4.0).ok();
    writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{colour}\"/>",
        y + 4.0,
        end - LEFT,
        ROW - 8.0
    )
    .ok();
    let (least, most) = (limit(ratio.least), limit(ratio.greatest));
    writeln!(svg, "<line x1=\"{least}\" x2=\"{most}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"#222\"/>").ok();
    if let Some(target) = figure.target.map(limit) {
        let (from, to) = (y + 2.0, y + ROW - 2.0);
        writeln!(
            svg,
            "<line x1=\"{target}\" x2=\"{target}\" y1=\"{from}\" y2=\"{to}\" stroke=\"#bf2a2a\" stroke-width=\"2\"/>"
        )
        .ok();
    }
    let words = format!("{:.2}  ({ours}{unit}; {base})", ratio.median);
    writeln!(svg, "<text x=\"{}\" y=\"{}\" fill=\"#333\">{words}</text>", end.max(most) + 8.0, middle + 4.0).ok();
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::figure::Round;
    use super::*;

    #[test]
    fn a_chart_has_a_bar_for_each_comparison() {
        let mut compared = Figure::new("a < b").beside("base", Some(1.5));
        (compared.ours, compared.base) = (vec![Round::of_value(20.0)], vec![Round::of_value(10.0)]);
        let figures = vec![compared, Figure::new("alone")];
        let svg = draw(&Outcome::new("x", ("program".into(), "1".into()), (true, false), figures));
        assert!(svg.contains("a &lt; b") && svg.contains("2.00") && !svg.contains("alone"));
        assert_eq!(svg.matches("#bf2a2a").count(), 1);
    }
}
