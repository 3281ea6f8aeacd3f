//! Plots as SVG, without a script: lines, bars, and bars to both sides of nothing. Each brings its own background and
//! follows the reader's light or dark scheme.

use std::fmt::Write;

/// The look of every plot. The ground is painted, so that a page of another scheme does no harm.
const STYLE: &str = "<style>\
    svg{font-family:system-ui,sans-serif;font-size:13px}\
    .ground{fill:#ffffff}.ink{fill:#1f2328}.faint{fill:#59636e}.grid{stroke:#d1d9e0;stroke-width:1}\
    .axis{stroke:#59636e;stroke-width:1}.spread{stroke:#1f2328;stroke-width:1.5}.target{stroke:#1f2328;stroke-width:1.5;stroke-dasharray:5 4}\
    .title{font-size:16px;font-weight:600}.line{fill:none;stroke-width:2.5;stroke-linejoin:round}\
    @media (prefers-color-scheme:dark){.ground{fill:#0d1117}.ink{fill:#f0f6fc}.faint{fill:#9198a1}.grid{stroke:#2f353d}\
    .axis{stroke:#9198a1}.spread,.target{stroke:#f0f6fc}}</style>";

/// How a value is written.
pub type Written = fn(f64) -> String;

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    label: &'static str,
    from: f64,
    to: f64,
    is_log: bool,
    ticks: Vec<f64>,
    written: Written,
}

impl Axis {
    /// From one value to another, with about so many steps between them.
    pub fn linear(label: &'static str, from: f64, to: f64, steps: f64, written: Written) -> Self {
        let step = nice((to - from).max(1e-9) / steps);
        let (first, last) = ((from / step).floor(), (to / step).ceil());
        let ticks = (0..=(last - first) as u32).map(|n| (first + f64::from(n)) * step).collect();
        Self { label, from: first * step, to: last * step, is_log: false, ticks, written }
    }

    /// Powers of ten.
    pub fn log(label: &'static str, from: f64, to: f64, written: Written) -> Self {
        let (first, last) = (from.max(1e-9).log10().floor(), to.max(from * 10.0).log10().ceil());
        let ticks: Vec<f64> = (0..=(last - first) as u32).map(|n| 10_f64.powf(first + f64::from(n))).collect();
        Self { label, from: first, to: last, is_log: true, ticks, written }
    }

    /// Where a value is, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let value = if self.is_log { value.max(1e-9).log10() } else { value };
        ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5, times a power of ten: the next one that is no smaller.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|digit| digit * power).find(|nice| *nice >= step * 0.999).unwrap_or(step)
}

/// A curve.
#[derive(Clone, Debug)]
pub struct Line {
    /// In the legend.
    pub name: String,
    /// Of the stroke.
    pub colour: &'static str,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// A bar: a mean, and how far single runs are from it.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Below, or beside it.
    pub name: String,
    /// Its fill.
    pub colour: &'static str,
    /// Its length.
    pub value: f64,
    /// The least and the most of all seeds.
    pub spread: (f64, f64),
}

/// Bars on one axis.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Above.
    pub title: &'static str,
    /// Of their length.
    pub axis: Axis,
    /// From left to right, or from the top.
    pub bars: Vec<Bar>,
    /// A line to compare with.
    pub target: Option<f64>,
}

/// What is drawn on.
struct Sheet {
    body: String,
    width: f64,
    height: f64,
}

impl Sheet {
    fn new(width: f64, height: f64, title: &str) -> Self {
        let mut sheet = Self { body: String::new(), width, height };
        sheet.text((16.0, 26.0), "start", "title ink", title);
        sheet
    }

    fn text(&mut self, (x, y): (f64, f64), anchor: &str, class: &str, text: &str) {
        let text = escaped(text);
        let _ =
            write!(self.body, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#);
    }

    fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let _ = write!(self.body, r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="{class}"/>"#);
    }

    fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
        let _ = write!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2" fill="{colour}"/>"#
        );
    }

    fn legend<'a>(&mut self, names: impl Iterator<Item = (&'a str, &'static str)>) {
        let mut x = 16.0;
        for (name, colour) in names {
            self.rect((x, 38.0), (14.0, 10.0), colour);
            self.text((x + 20.0, 48.0), "start", "ink", name);
            x += 34.0 + 7.5 * name.chars().count() as f64;
        }
    }

    /// The grid of an axis that goes up.
    fn upward(&mut self, axis: &Axis, (left, right): (f64, f64), (top, bottom): (f64, f64)) {
        for tick in &axis.ticks {
            let y = bottom - (bottom - top) * axis.place(*tick);
            self.line((left, y), (right, y), "grid");
            self.text((left - 8.0, y + 4.0), "end", "faint", &(axis.written)(*tick));
        }
        if !axis.label.is_empty() {
            let (x, y) = (left - 52.0, f64::midpoint(top, bottom));
            let label = escaped(axis.label);
            let _ = write!(
                self.body,
                r#"<text transform="translate({x:.1} {y:.1}) rotate(-90)" text-anchor="middle" class="faint">{label}</text>"#
            );
        }
    }

    fn finish(self) -> String {
        let Self { body, width, height } = self;
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img">{STYLE}<rect class="ground" width="100%" height="100%" rx="6"/>{body}</svg>
"#
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Curves over one axis.
pub fn lines(title: &str, x: &Axis, y: &Axis, lines: &[Line], mark: Option<(f64, &str)>) -> String {
    let mut sheet = Sheet::new(860.0, 420.0, title);
    let ((left, right), (top, bottom)) = ((84.0, 836.0), (70.0, 362.0));
    sheet.legend(lines.iter().map(|line| (line.name.as_str(), line.colour)));
    sheet.upward(y, (left, right), (top, bottom));
    let across = |value: f64| left + (right - left) * x.place(value);
    for tick in &x.ticks {
        sheet.line((across(*tick), bottom), (across(*tick), bottom + 5.0), "axis");
        sheet.text((across(*tick), bottom + 20.0), "middle", "faint", &(x.written)(*tick));
    }
    sheet.line((left, bottom), (right, bottom), "axis");
    sheet.text((f64::midpoint(left, right), bottom + 44.0), "middle", "faint", x.label);
    if let Some((at, what)) = mark {
        sheet.line((across(at), top), (across(at), bottom), "target");
        sheet.text((across(at) + 6.0, top + 12.0), "start", "ink", what);
    }
    for Line { colour, points, .. } in lines {
        let mut path = String::new();
        for (n, (at, value)) in points.iter().enumerate() {
            let to = if n == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{to}{:.1} {:.1}", across(*at), bottom - (bottom - top) * y.place(*value));
        }
        let _ = write!(sheet.body, r#"<path d="{path}" class="line" stroke="{colour}"/>"#);
    }
    sheet.finish()
}

/// Panels of upright bars, side by side.
pub fn bars(title: &str, panels: &[Panel]) -> String {
    let each = 270.0;
    let mut sheet = Sheet::new(each * panels.len() as f64 + 10.0, 380.0, title);
    for (Panel { title, axis, bars, target }, n) in panels.iter().zip(0..) {
        let ((left, right), (top, bottom)) = ((each * f64::from(n) + 58.0, each * f64::from(n) + each), (92.0, 330.0));
        sheet.text((left, 62.0), "start", "ink", title);
        sheet.upward(axis, (left, right), (top, bottom));
        let slot = (right - left) / bars.len() as f64;
        let up = |value: f64| bottom - (bottom - top) * axis.place(value);
        for (bar, at) in bars.iter().zip(0..) {
            let middle = left + slot * (f64::from(at) + 0.5);
            let wide = (slot * 0.62).min(46.0);
            sheet.rect((middle - wide / 2.0, up(bar.value)), (wide, bottom - up(bar.value)), bar.colour);
            sheet.line((middle, up(bar.spread.0)), (middle, up(bar.spread.1)), "spread");
            sheet.text((middle, up(bar.spread.1) - 6.0), "middle", "ink", &(axis.written)(bar.value));
            sheet.text((middle, bottom + 18.0), "middle", "faint", &bar.name);
        }
        sheet.line((left, bottom), (right, bottom), "axis");
        if let Some(target) = target {
            sheet.line((left, up(*target)), (right, up(*target)), "target");
        }
    }
    sheet.finish()
}

/// Panels of bars that lie, to the left and the right of nothing, beside one column of names.
pub fn changes(title: &str, panels: &[Panel]) -> String {
    let names: Vec<&str> =
        panels.first().map_or(Vec::new(), |panel| panel.bars.iter().map(|bar| bar.name.as_str()).collect());
    let (first, each, row) = (200.0, 250.0, 26.0);
    let mut sheet = Sheet::new(first + each * panels.len() as f64 + 16.0, 118.0 + row * names.len() as f64, title);
    let (top, bottom) = (72.0, 72.0 + row * names.len() as f64);
    for (name, at) in names.iter().zip(0..) {
        sheet.text((first - 12.0, top + row * (f64::from(at) + 0.5) + 4.0), "end", "ink", name);
    }
    for (Panel { title, axis, bars, .. }, n) in panels.iter().zip(0..) {
        let (left, right) = (first + each * f64::from(n), first + each * f64::from(n + 1) - 50.0);
        let across = |value: f64| left + (right - left) * axis.place(value);
        sheet.text((left, 60.0), "start", "ink", title);
        for tick in &axis.ticks {
            sheet.line((across(*tick), top), (across(*tick), bottom), "grid");
            sheet.text((across(*tick), bottom + 18.0), "middle", "faint", &(axis.written)(*tick));
        }
        for (bar, at) in bars.iter().zip(0..) {
            let middle = top + row * (f64::from(at) + 0.5);
            let (from, to) = (across(bar.value.min(0.0)), across(bar.value.max(0.0)));
            sheet.rect((from, middle - 8.0), ((to - from).max(0.5), 16.0), bar.colour);
            sheet.line((across(bar.spread.0), middle), (across(bar.spread.1), middle), "spread");
        }
        sheet.line((across(0.0), top), (across(0.0), bottom), "axis");
        sheet.text((f64::midpoint(left, right), bottom + 38.0), "middle", "faint", axis.label);
    }
    sheet.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_round_steps_and_keeps_values_inside() {
        let axis = Axis::linear("", 0.0, 0.83, 4.0, |value| format!("{value:.2}"));
        assert_eq!(axis.ticks.iter().map(|tick| (axis.written)(*tick)).collect::<Vec<_>>(), ["0.00", "0.50", "1.00"]);
        let axis = Axis::linear("", -0.031, 0.012, 4.0, |value| format!("{value:.2}"));
        assert_eq!(axis.ticks.len(), 4);
        assert!((axis.place(-0.04)).abs() < 1e-9 && (axis.place(9.0) - 1.0).abs() < 1e-9);
        let axis = Axis::log("", 1.0, 585.0, |value| format!("{value:.0}"));
        assert_eq!(axis.ticks.len(), 4);
        assert!((axis.place(10.0) - 1.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn names_cannot_break_the_picture() {
        let line = Line { name: "a<b&c".into(), colour: "#000", points: vec![(0.0, 0.0), (1.0, 1.0)] };
        let axis = Axis::linear("x", 0.0, 1.0, 4.0, |value| format!("{value}"));
        let svg = lines("t", &axis, &axis, &[line], None);
        assert!(svg.contains("a&lt;b&amp;c") && !svg.contains("a<b"));
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
    }
}
