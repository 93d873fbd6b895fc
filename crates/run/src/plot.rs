//! Line plots as SVG, without a dependency: curves over steps, panel under panel.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 48.0;
/// Colors that differ for most kinds of color vision (Okabe and Ito).
const COLORS: [&str; 7] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// One plot: what its axis shows, and its curves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Panel {
    /// Stands above it.
    pub title: String,
    /// Quantity and unit of the horizontal axis.
    pub x_label: String,
    /// Quantity and unit of the vertical axis.
    pub y_label: String,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// A named curve; points that are not finite are left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Curve {
    /// Stands in the legend.
    pub name: String,
    /// Points by ascending x.
    pub points: Vec<(f64, f64)>,
}

/// The panels, one under the other, as an SVG document. Text is escaped.
pub fn svg(panels: &[Panel]) -> String {
    let height = HEIGHT * panels.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        let _ = writeln!(out, "<g transform=\"translate(0 {})\">", HEIGHT * number as f64);
        draw(&mut out, panel);
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, panel: &Panel) {
    let points = || {
        let all = panel.curves.iter().flat_map(|curve| &curve.points);
        all.filter(|(x, y)| x.is_finite() && y.is_finite())
    };
    let (x_min, x_max) = span(points().map(|point| point.0));
    let (y_min, y_max) = span(points().map(|point| point.1).chain([0.0]));
    let (x_step, y_step) = (tick(x_max - x_min), tick(y_max - y_min));
    let y_max = (y_max / y_step).ceil() * y_step;
    let y_min = (y_min / y_step).floor() * y_step;
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let x_at = |x: f64| LEFT + (x - x_min) / (x_max - x_min) * (right - LEFT);
    let y_at = |y: f64| bottom - (y - y_min) / (y_max - y_min) * (bottom - TOP);
    text(out, LEFT, TOP - 14.0, "start", "", &panel.title);
    text(out, (LEFT + right) / 2.0, HEIGHT - 10.0, "middle", "", &panel.x_label);
    let middle = (TOP + bottom) / 2.0;
    let turned = format!(" transform=\"rotate(-90 16 {middle})\"");
    text(out, 16.0, middle, "middle", &turned, &panel.y_label);
    for n in 0..=((y_max - y_min) / y_step).round() as u32 {
        let value = y_min + f64::from(n) * y_step;
        let y = y_at(value);
        let _ =
            writeln!(out, "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#dddddd\" fill=\"none\"/>");
        text(out, LEFT - 6.0, y + 4.0, "end", "", &number(value));
    }
    let first = (x_min / x_step).ceil();
    for n in 0..=((x_max / x_step).floor() - first).max(0.0) as u32 {
        let value = (first + f64::from(n)) * x_step;
        text(out, x_at(value), bottom + 16.0, "middle", "", &number(value));
    }
    let _ = writeln!(
        out,
        "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" stroke=\"black\" fill=\"none\"/>"
    );
    for (number, curve) in panel.curves.iter().enumerate() {
        let color = COLORS[number % COLORS.len()];
        let mut line = String::new();
        for (x, y) in curve.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
            let (x, y) = (x_at(*x), y_at(*y));
            let _ = write!(line, "{}{x:.1} {y:.1}", if line.is_empty() { "M" } else { "L" });
            let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{color}\"/>");
        }
        if !line.is_empty() {
            let _ = writeln!(
                out,
                "<path d=\"{line}\" stroke=\"{color}\" fill=\"none\" stroke-width=\"1.5\"/>"
            );
        }
        let y = TOP + 16.0 * number as f64;
        let (from, to) = (right + 10.0, right + 30.0);
        let _ = writeln!(
            out,
            "<path d=\"M{from} {y:.1}H{to}\" stroke=\"{color}\" stroke-width=\"2\"/>"
        );
        text(out, right + 36.0, y + 4.0, "start", "", &curve.name);
    }
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, attributes: &str, content: &str) {
    let content = escaped(content);
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{attributes}>{content}</text>"
    );
}

/// Text for XML; control characters, which XML does not allow, are left out.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// Least and largest value, at least a little apart.
fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    match most - least {
        width if width > 0.0 => (least, most),
        0.0 => (least, least + 1.0),
        _ => (0.0, 1.0),
    }
}

/// A distance between ticks of 1, 2 or 5 times a power of ten, of which about five fit into `width`.
fn tick(width: f64) -> f64 {
    let power = 10_f64.powf((width / 5.0).log10().floor());
    let ratio = width / 5.0 / power;
    power * [1.0, 2.0, 5.0].into_iter().find(|&step| ratio <= step).unwrap_or(10.0)
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_labelled_axes_a_legend_and_its_points_in_place() {
        let curve = Curve { name: "mean".into(), points: vec![(0.0, 0.0), (10.0, 50.0)] };
        let panel = Panel {
            title: "held-out".into(),
            x_label: "step".into(),
            y_label: "solve rate (%)".into(),
            curves: vec![curve],
        };
        let image = svg(&[panel.clone(), panel]);
        for part in [">step<", ">solve rate (%)<", ">mean<", ">held-out<", ">50<", ">8<"] {
            assert_eq!(image.matches(part).count(), 2, "{part} in {image}");
        }
        assert!(image.contains("M64.0 212.0L550.0 34.0"), "corner to corner: {image}");
    }

    #[test]
    fn nothing_and_nonsense_make_a_plot_too() {
        let points = vec![(f64::NAN, 1.0), (1.0, f64::INFINITY), (2.0, 3.0)];
        let curves = vec![Curve { name: "<&\u{7}\">".into(), points }];
        let image = svg(&[Panel::default(), Panel { curves, ..Panel::default() }]);
        assert!(image.contains("&lt;&amp;&quot;&gt;") && !image.contains("NaN"), "{image}");
        assert!(!image.contains("inf"), "{image}");
    }

    #[test]
    fn ticks_are_round() {
        for (width, expected) in [(1.0, 0.2), (100.0, 20.0), (37.0, 10.0), (0.6, 0.2)] {
            assert!((tick(width) - expected).abs() < 1e-12, "{width}");
        }
    }
}
