//! Panels of dots with their spread, and how they are drawn. Axes are scaled here: the library sees linear
//! ones only.

use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Result;
use crate::report::number;
use crate::statistics::{Summary, float};

const COLORS: [RGBColor; 4] = [
    RGBColor(0x2b, 0x6c, 0xb0),
    RGBColor(0xd9, 0x77, 0x2b),
    RGBColor(0x3c, 0x8d, 0x4f),
    RGBColor(0x8a, 0x4f, 0xa3),
];
const GRID: RGBColor = RGBColor(0xe2, 0xe6, 0xea);
const TEXT: RGBColor = RGBColor(0x33, 0x3d, 0x47);
const FONT: &str = "sans-serif";

pub struct Panel<'a> {
    pub title: &'a str,
    pub x_label: &'a str,
    pub y_label: &'a str,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
}

pub enum Axis {
    FromZero,
    /// Whole decades.
    Log,
    /// These names, at 0, 1, 2 and so on.
    Categories(Vec<String>),
}

pub struct Series {
    pub name: String,
    pub is_line: bool,
    pub dots: Vec<Dot>,
}

/// A value; with its quartiles and its extremes where there are several values.
pub struct Dot {
    x: f64,
    y: f64,
    quartiles: (f64, f64),
    ends: (f64, f64),
}

impl Dot {
    pub fn at(x: f64, y: f64) -> Self {
        Self {
            x,
            y,
            quartiles: (y, y),
            ends: (y, y),
        }
    }

    pub fn of(x: f64, summary: &Summary) -> Self {
        Self {
            x,
            y: summary.median,
            quartiles: (summary.lower_quartile, summary.upper_quartile),
            ends: (summary.min, summary.max),
        }
    }
}

impl Axis {
    /// The position of a value.
    fn place(&self, value: f64) -> f64 {
        match self {
            Self::FromZero | Self::Categories(_) => value,
            Self::Log => value.max(f64::MIN_POSITIVE).log10(),
        }
    }

    fn range(&self, values: impl Iterator<Item = f64>) -> Range<f64> {
        let places = values.map(|value| self.place(value));
        let (least, most) = places.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), at| {
            (least.min(at), most.max(at))
        });
        match self {
            Self::FromZero => 0.0..(most * 1.1).max(f64::MIN_POSITIVE),
            // A decade at least.
            Self::Log => least.floor()..most.ceil().max(least.floor() + 1.0),
            Self::Categories(names) => -0.5..float(names.len() as u64) - 0.5,
        }
    }

    /// The most labels: one for each category or decade.
    fn places(&self, range: &Range<f64>) -> usize {
        match self {
            Self::FromZero => 6,
            Self::Categories(names) => names.len(),
            Self::Log => (0..20)
                .take_while(|&index| range.start + f64::from(index) <= range.end)
                .count(),
        }
    }

    /// Between whole decades, and between categories, there is no label.
    fn label(&self, place: f64) -> String {
        let is_whole = (place - place.round()).abs() < 1e-6;
        match self {
            Self::FromZero => number_on_axis(place),
            Self::Log if is_whole => number_on_axis(10_f64.powf(place.round())),
            Self::Categories(names) if is_whole => {
                let index = (0..)
                    .zip(names)
                    .find(|(index, _)| (f64::from(*index) - place).abs() < 0.1);
                index.map(|(_, name)| name.clone()).unwrap_or_default()
            }
            Self::Log | Self::Categories(_) => String::new(),
        }
    }
}

/// A number on an axis, without superfluous digits.
pub fn number_on_axis(value: f64) -> String {
    if value >= 1000.0 {
        number(value)
    } else {
        // A sum of steps may differ a little from its exact value.
        ((value * 1e6).round() / 1e6).to_string()
    }
}

/// Draws panels in rows and columns.
pub fn draw(
    path: &Path,
    size: (u32, u32),
    (rows, columns): (usize, usize),
    panels: &[Panel<'_>],
) -> Result<()> {
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, panel) in root.split_evenly((rows, columns)).iter().zip(panels) {
        panel.draw(area)?;
    }
    root.present()?;
    Ok(())
}

impl Panel<'_> {
    fn dots(&self) -> impl Iterator<Item = &Dot> {
        self.series.iter().flat_map(|series| &series.dots)
    }

    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<()> {
        let xs = self.x.range(self.dots().map(|dot| dot.x));
        let mut ys = self
            .y
            .range(self.dots().flat_map(|dot| [dot.ends.0, dot.ends.1]));
        if matches!(self.y, Axis::FromZero) && self.series.len() > 1 {
            // For the legend, above all dots.
            ys.end *= 1.25;
        }
        let mut chart = ChartBuilder::on(area)
            .margin(14)
            .margin_right(32)
            .caption(self.title, (FONT, 16).into_font().color(&TEXT))
            .x_label_area_size(44)
            .y_label_area_size(74)
            .build_cartesian_2d(xs.clone(), ys.clone())?;
        let mut mesh = chart.configure_mesh();
        mesh.light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(TEXT)
            .label_style((FONT, 12).into_font().color(&TEXT))
            .axis_desc_style((FONT, 13).into_font().color(&TEXT))
            .x_desc(self.x_label)
            .y_desc(self.y_label)
            .x_labels(self.x.places(&xs))
            .y_labels(self.y.places(&ys));
        let x_label = |place: &f64| self.x.label(*place);
        let y_label = |place: &f64| self.y.label(*place);
        mesh.x_label_formatter(&x_label).y_label_formatter(&y_label);
        if matches!(self.x, Axis::Categories(_)) {
            mesh.disable_x_mesh();
        }
        mesh.draw()?;

        for (series, color) in self.series.iter().zip(COLORS.into_iter().cycle()) {
            let at = |x: f64, y: f64| (self.x.place(x), self.y.place(y));
            if series.is_line {
                let line = series.dots.iter().map(|dot| at(dot.x, dot.y));
                chart.draw_series(LineSeries::new(line, color.stroke_width(2)))?;
            }
            for dot in &series.dots {
                for ((low, high), width) in [(dot.ends, 1), (dot.quartiles, 4)] {
                    let bar = PathElement::new(
                        vec![at(dot.x, low), at(dot.x, high)],
                        color.mix(0.6).stroke_width(width),
                    );
                    chart.draw_series([bar])?;
                }
            }
            let circles = series.dots.iter();
            let circles = circles.map(|dot| Circle::new(at(dot.x, dot.y), 4, color.filled()));
            chart
                .draw_series(circles)?
                .label(&series.name)
                .legend(move |(x, y)| Circle::new((x + 10, y), 4, color.filled()));
        }
        if self.series.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE)
                .border_style(GRID)
                .label_font((FONT, 12).into_font().color(&TEXT))
                .draw()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_axis_has_whole_decades() {
        let range = Axis::Log.range([3.0, 400.0].into_iter());
        assert_eq!((range.start, range.end), (0.0, 3.0));
        assert_eq!(Axis::Log.label(3.0), "1,000");
        assert_eq!(Axis::Log.label(0.0), "1");
        assert_eq!(Axis::Log.label(-1.0), "0.1");
        assert_eq!(Axis::Log.label(0.5), "");
        assert_eq!(Axis::FromZero.label(0.1 + 0.2), "0.3");
    }

    #[test]
    fn categories_are_named_at_their_places() {
        let axis = Axis::Categories(vec![String::from("a"), String::from("b")]);
        assert_eq!(axis.label(1.0), "b");
        assert_eq!(axis.label(0.5), "");
        assert_eq!(axis.label(2.0), "");
    }
}
