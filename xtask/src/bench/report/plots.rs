//! Plots as SVG: bars for one row of the table, distributions of times, curves of growth.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::{
    ChartBuilder, Color as _, DrawingArea, DrawingAreaErrorKind, IntoDrawingArea as _, IntoLogRange as _, LineSeries,
    PathElement, RGBColor, Rectangle, SVGBackend, SeriesLabelPosition, Text, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{BLACK, IntoFont as _};

use super::number;

#[cfg(test)]
mod tests;

/// Colours that people who see few colours tell apart (Okabe and Ito 2008, "Color universal design"), and two more.
const COLOURS: [RGBColor; 9] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x99, 0x99, 0x99),
    RGBColor(0xf0, 0xe4, 0x42),
    RGBColor(0x00, 0x00, 0x00),
];

/// The colour of the engine at a place of the session's list.
fn colour(engine: usize) -> RGBColor {
    COLOURS.get(engine % COLOURS.len()).copied().unwrap_or(BLACK)
}

/// A bar: an engine, its place in the session's list, median, and range.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bar {
    pub(super) engine: String,
    pub(super) place: usize,
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// A line: an engine, its place in the session's list, and points.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) engine: String,
    pub(super) place: usize,
    pub(super) points: Vec<(f64, f64)>,
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as plotters::prelude::DrawingBackend>::ErrorType>>;

/// Horizontal bars, one an engine, with the range as a thin line. The axis is logarithmic where the longest bar is more
/// than 20 times the shortest. `None` when there is nothing to draw.
pub(super) fn bars(title: &str, bars: &[Bar]) -> Option<String> {
    let drawable = bars.iter().all(|bar| bar.min > 0.0 && bar.max.is_finite());
    if bars.is_empty() || !drawable {
        return None;
    }
    let height = 60 + 28 * u32::try_from(bars.len()).ok()?;
    let mut svg = String::new();
    draw_bars(&SVGBackend::with_string(&mut svg, (760, height)).into_drawing_area(), title, bars).ok()?;
    Some(svg)
}

/// Where the bars begin, and how many pixels they may be long.
const LEFT: f64 = 150.0;
const LONGEST: f64 = 500.0;

fn draw_bars<'a>(area: &DrawingArea<SVGBackend<'a>, Shift>, title: &str, bars: &[Bar]) -> Drawn<'a> {
    area.fill(&WHITE)?;
    let largest = bars.iter().map(|bar| bar.max).fold(0.0, f64::max);
    let smallest = bars.iter().map(|bar| bar.min).fold(f64::INFINITY, f64::min);
    let logarithmic = bars.iter().map(|bar| bar.median).fold(0.0, f64::max) > 20.0 * smallest;
    let floor = smallest / 2.0;
    let length = |value: f64| match logarithmic {
        true => (value / floor).ln() / (largest / floor).ln() * LONGEST,
        false => value / largest * LONGEST,
    };
    let note = if logarithmic { " (logarithmic)" } else { "" };
    area.draw(&Text::new(format!("{title}{note}"), (10, 12), ("sans-serif", 16).into_font()))?;
    let font = ("sans-serif", 13).into_font();
    let right = Pos::new(HPos::Right, VPos::Center);
    let left = Pos::new(HPos::Left, VPos::Center);
    let name_style = plotters::style::TextStyle::from(font.clone()).pos(right);
    let value_style = plotters::style::TextStyle::from(font).pos(left);
    for (row, bar) in (0_i32..).zip(bars) {
        let middle = 54 + 28 * row;
        let end = pixel(LEFT + length(bar.median));
        area.draw(&Text::new(bar.engine.clone(), (pixel(LEFT) - 8, middle), name_style.clone()))?;
        let corners = [(pixel(LEFT), middle - 9), (end, middle + 9)];
        area.draw(&Rectangle::new(corners, colour(bar.place).filled()))?;
        let (min, max) = (pixel(LEFT + length(bar.min)), pixel(LEFT + length(bar.max)));
        area.draw(&PathElement::new(vec![(min, middle), (max, middle)], BLACK))?;
        area.draw(&Text::new(number::figure(bar.median), (end.max(max) + 8, middle), value_style.clone()))?;
    }
    area.present()
}

#[expect(clippy::cast_possible_truncation, reason = "a place in a picture of 760 pixels")]
fn pixel(place: f64) -> i32 {
    place.round() as i32
}

/// How many of all operations took at most how long: the time's axis is logarithmic. Points are nanoseconds and shares
/// from 0 to 1. `None` when there is nothing to draw.
pub(super) fn distribution(title: &str, lines: &[Line]) -> Option<String> {
    let times = range(lines, |point| point.0)?;
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (760, 420)).into_drawing_area();
    let draw = || -> Drawn<'_> {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(56)
            .build_cartesian_2d(times.log_scale(), 0.0..1.0)?;
        chart
            .configure_mesh()
            .x_label_formatter(&|nanos| number::time(*nanos))
            .y_label_formatter(&|share| format!("{:.0} %", share * 100.0))
            .light_line_style(WHITE)
            .draw()?;
        for line in lines {
            let series = LineSeries::new(line.points.iter().copied(), colour(line.place).stroke_width(2));
            let place = line.place;
            chart
                .draw_series(series)?
                .label(line.engine.clone())
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour(place).stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        area.present()
    };
    draw().ok()?;
    drop(area);
    Some(svg)
}

/// Cost by size, both axes logarithmic: a straight line is a power, and a slope of 1 is a cost that grows as the size
/// does. Points are sizes and nanoseconds. `None` when there is nothing to draw.
pub(super) fn growth(title: &str, axis: &str, lines: &[Line]) -> Option<String> {
    let (sizes, costs) = (range(lines, |point| point.0)?, range(lines, |point| point.1)?);
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (760, 420)).into_drawing_area();
    let draw = || -> Drawn<'_> {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 16))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(sizes.log_scale(), costs.log_scale())?;
        chart
            .configure_mesh()
            .x_desc(axis)
            .x_label_formatter(&|size| number::figure(*size))
            .y_label_formatter(&|nanos| number::time(*nanos))
            .light_line_style(WHITE)
            .draw()?;
        for line in lines {
            let series = LineSeries::new(line.points.iter().copied(), colour(line.place).stroke_width(2));
            let place = line.place;
            chart
                .draw_series(series.point_size(3))?
                .label(line.engine.clone())
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour(place).stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        area.present()
    };
    draw().ok()?;
    drop(area);
    Some(svg)
}

/// From the smallest to the largest, with some room; `None` without points, or with one that has no logarithm.
fn range(lines: &[Line], of: fn(&(f64, f64)) -> f64) -> Option<Range<f64>> {
    let values: Vec<f64> = lines.iter().flat_map(|line| &line.points).map(of).collect();
    let (min, max) =
        values.iter().fold((f64::INFINITY, 0.0_f64), |(min, max), value| (min.min(*value), max.max(*value)));
    (min > 0.0 && min.is_finite() && max.is_finite()).then_some(min * 0.8..max * 1.25)
}
