//! Owns the plot: how late deliveries were, and how many there were a second against the number of members.
//! Knows no file: it is SVG in a text, complete in itself.

use std::fmt;
use std::ops::Range;

use hdrhistogram::Histogram;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::figures::{millis, three_digits, with_thousands};
use super::rounds::pace;
use super::{Case, Report, Round};
use crate::load::{Outcome, Pace};

/// Why there is no plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlotError {
    /// Nothing was received.
    Nothing,
    /// The drawing library could not.
    Drawing(String),
}

/// Two panels side by side: on the left the latency at each percentile, on the right deliveries per second by
/// members. The floor's lines are dashed. All rounds of a case are one line: on the left together, on the
/// right their median.
pub fn plot(report: &Report) -> Result<String, PlotError> {
    let curves = latency_lines(report);
    let scaling = scaling_lines(report);
    if curves.is_empty() || scaling.is_empty() {
        return Err(PlotError::Nothing);
    }
    let mut svg = String::new();
    draw(report, &curves, &scaling, &mut svg)?;
    Ok(svg)
}

/// A line of either panel.
struct Line {
    /// What the legend calls it; a floor's line has the colour of its server's and no entry.
    title: Option<String>,
    colour: RGBColor,
    /// Left: how many nines, and milliseconds. Right: members, and deliveries per second.
    points: Vec<(f64, f64)>,
}

impl Line {
    fn is_floor(&self) -> bool {
        self.title.is_none()
    }
}

/// A line for each case, and its floor.
fn latency_lines(report: &Report) -> Vec<Line> {
    let mut lines = Vec::new();
    for case in &report.cases {
        let colour = colour(report, case);
        let floors = case.rounds.iter().filter_map(|round| round.floor.as_ref());
        let points = distribution(floors);
        lines.extend(line(None, colour, points));
        let points = distribution(case.rounds.iter().map(|round: &Round| &round.server));
        lines.extend(line(Some(case.title()), colour, points));
    }
    lines
}

/// A line for each pace, and its floor.
fn scaling_lines(report: &Report) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, pace_of_line) in paces(report).into_iter().enumerate() {
        let cases = report.cases.iter();
        let cases: Vec<&Case> = cases
            .filter(|case| case.plan.pace == pace_of_line)
            .collect();
        let members = |case: &Case| case.plan.members as f64;
        let server = cases.iter().filter_map(|case| {
            let rate = case.server().deliveries_per_s?;
            (rate > 0.0).then_some((members(case), rate))
        });
        let floor = cases.iter().filter_map(|case| {
            let rate = case.floor()?.deliveries_per_s?;
            (rate > 0.0).then_some((members(case), rate))
        });
        let colour = hue(index);
        lines.extend(line(None, colour, floor.collect()));
        lines.extend(line(Some(pace(pace_of_line)), colour, server.collect()));
    }
    lines
}

fn line(title: Option<String>, colour: RGBColor, mut points: Vec<(f64, f64)>) -> Option<Line> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    (!points.is_empty()).then_some(Line {
        title,
        colour,
        points,
    })
}

/// How many nines there are before so many receipts were no later than that: 0 is none, 1 is 90 %, 2 is 99 %.
fn distribution<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Vec<(f64, f64)> {
    let mut all: Option<Histogram<u64>> = None;
    for outcome in outcomes {
        let each = &outcome.lateness.each;
        match &mut all {
            // They have the same bounds: one generator made them.
            Some(all) => drop(all.add(each)),
            None => all = Some(each.clone()),
        }
    }
    let Some(all) = all.filter(|all| !all.is_empty()) else {
        return Vec::new();
    };
    // Beyond the last receipt there is nothing to tell.
    let most = (all.len() as f64).log10().min(MOST_NINES);
    let steps = (most / STEP).floor() as u32;
    let at = |nines: f64| {
        let late = all.value_at_quantile(1.0 - 10f64.powf(-nines));
        (nines, millis(late).max(LEAST_MS))
    };
    (0..=steps).map(|step| at(f64::from(step) * STEP)).collect()
}

fn draw(
    report: &Report,
    latency: &[Line],
    scaling: &[Line],
    svg: &mut String,
) -> Result<(), PlotError> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut y = 14;
    for line in wrapped(&report.command, 130, 2) {
        root.draw_text(&line, &font(20).into_text_style(&root), (20, y))?;
        y += 24;
    }
    let dashed = match report.has_floor() {
        true => "; dashed: the floor",
        false => "",
    };
    let circumstances = format!(
        "{} against {}, {} CPUs, {}{dashed}",
        report.crowd, report.server, report.machine.cpus, report.machine.kernel
    );
    root.draw_text(&circumstances, &font(16).into_text_style(&root), (20, y))?;
    let (_, below) = root.split_vertically(y + 24);
    let (panels, legend) = below.split_horizontally(SIZE.0 - LEGEND);
    let (left, right) = panels.split_horizontally((SIZE.0 - LEGEND) / 2);
    draw_latency(&left, latency)?;
    draw_scaling(&right, scaling)?;
    // With one pace its line has no colour of its own on the left.
    let by_pace = scaling.iter().filter(|_| paces(report).len() > 1);
    draw_legend(&legend, latency, by_pace)?;
    root.present()?;
    Ok(())
}

fn draw_latency<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    lines: &[Line],
) -> Result<(), PlotError> {
    let nines = spread(lines, |point| point.0).end.max(1.0);
    let range = decades(spread(lines, |point| point.1));
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .margin_right(24)
        .x_label_area_size(50)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..nines, range.log_scale())?;
    chart
        .configure_mesh()
        .x_labels(nines as usize + 1)
        .x_max_light_lines(0)
        .light_line_style(LIGHT)
        .bold_line_style(BOLD)
        .axis_style(AXIS)
        .label_style(font(15))
        .axis_desc_style(font(16))
        .x_desc("percentile of deliveries")
        .y_desc("latency, ms")
        .x_label_formatter(&|nines| percent(*nines))
        .y_label_formatter(&|ms| plain(*ms))
        .draw()?;
    for line in lines {
        draw_line(&mut chart, line)?;
    }
    Ok(())
}

fn draw_scaling<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    lines: &[Line],
) -> Result<(), PlotError> {
    let members = spread(lines, |point| point.0);
    let mut measured: Vec<f64> = Vec::new();
    for (members, _) in lines.iter().flat_map(|line| &line.points) {
        // What stands too near to its neighbour would be written over it.
        if measured
            .iter()
            .all(|other| (members / other).ln().abs() > 0.12)
        {
            measured.push(*members);
        }
    }
    let members = members.start / 1.4..members.end * 1.4;
    let rates = decades(spread(lines, |point| point.1));
    let mut chart = ChartBuilder::on(area)
        .margin(14)
        .margin_right(24)
        .x_label_area_size(50)
        .y_label_area_size(70)
        .build_cartesian_2d(
            members.log_scale().with_key_points(measured),
            rates.log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_max_light_lines(0)
        .light_line_style(LIGHT)
        .bold_line_style(BOLD)
        .axis_style(AXIS)
        .label_style(font(15))
        .axis_desc_style(font(16))
        .x_desc("members")
        .y_desc("deliveries per second")
        .x_label_formatter(&|members| plain(*members))
        .y_label_formatter(&|rate| short(*rate))
        .draw()?;
    for line in lines {
        draw_line(&mut chart, line)?;
        let colour = line.colour;
        let filled = !line.is_floor();
        chart.draw_series(line.points.iter().map(|point| {
            let style = match filled {
                true => colour.filled(),
                false => colour.stroke_width(1),
            };
            Circle::new(*point, 3, style)
        }))?;
    }
    Ok(())
}

fn draw_line<'a, B, X, Y>(
    chart: &mut ChartContext<'a, B, Cartesian2d<X, Y>>,
    line: &Line,
) -> Result<(), PlotError>
where
    B: DrawingBackend + 'a,
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let points = line.points.iter().copied();
    let colour = line.colour;
    match &line.title {
        None => {
            let style = colour.stroke_width(1);
            chart.draw_series(DashedLineSeries::new(points, 5, 4, style))?;
        }
        Some(_) => {
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        }
    }
    Ok(())
}

/// What the lines are, one below the other: those of the left panel, then those of the right.
fn draw_legend<'a, B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    latency: &'a [Line],
    scaling: impl Iterator<Item = &'a Line>,
) -> Result<(), PlotError> {
    let latency = latency.iter().map(|line| (line, false));
    let scaling = scaling.map(|line| (line, true));
    let titled = latency.chain(scaling).filter_map(|(line, is_scaling)| {
        let title = line.title.as_deref()?;
        Some((line, title, is_scaling))
    });
    let titled: Vec<(&Line, &str, bool)> = titled.collect();
    let style = font(15).into_text_style(area);
    let bottom = area.dim_in_pixel().1 as i32;
    let mut y = 24;
    let mut was_scaling = false;
    for (drawn, (line, title, is_scaling)) in titled.iter().enumerate() {
        if *is_scaling && !was_scaling {
            y += LEGEND_LINE / 2;
            was_scaling = true;
        }
        let more = titled.len() - drawn;
        // The last line that there is room for tells of the rest, if it is more than one.
        if y + 2 * LEGEND_LINE > bottom && more > 1 {
            area.draw_text(&format!("and {more} more"), &style, (24, y - 6))?;
            break;
        }
        let stroke = line.colour.stroke_width(2);
        area.draw(&PathElement::new([(0, y), (18, y)], stroke))?;
        if *is_scaling {
            area.draw(&Circle::new((9, y), 3, line.colour.filled()))?;
        }
        area.draw_text(title, &style, (24, y - 6))?;
        y += LEGEND_LINE;
    }
    Ok(())
}

fn font(size: u32) -> FontDesc<'static> {
    ("sans-serif", size).into_font()
}

/// One hue for each pace, lighter for fewer members; with one pace a hue for each number of members.
fn colour(report: &Report, case: &Case) -> RGBColor {
    let paces = paces(report);
    let mut members: Vec<usize> = report.cases.iter().map(|case| case.plan.members).collect();
    members.sort_unstable();
    members.dedup();
    let rank = members.iter().position(|n| *n == case.plan.members);
    let rank = rank.unwrap_or(0);
    if paces.len() == 1 {
        return hue(rank);
    }
    let index = paces.iter().position(|pace| *pace == case.plan.pace);
    let RGBColor(r, g, b) = hue(index.unwrap_or(0));
    let more = members.len() - 1 - rank.min(members.len() - 1);
    let white = 0.6 * more as f64 / members.len() as f64;
    let mixed = |part: u8| (f64::from(part) * (1.0 - white) + 255.0 * white) as u8;
    RGBColor(mixed(r), mixed(g), mixed(b))
}

/// The paces that were measured, in their order.
fn paces(report: &Report) -> Vec<Pace> {
    let mut paces = Vec::new();
    for case in &report.cases {
        if !paces.contains(&case.plan.pace) {
            paces.push(case.plan.pace);
        }
    }
    paces
}

fn hue(index: usize) -> RGBColor {
    HUES[index % HUES.len()]
}

/// The least and the greatest of what the points have.
fn spread(lines: &[Line], of: impl Fn(&(f64, f64)) -> f64) -> Range<f64> {
    let values = lines.iter().flat_map(|line| &line.points).map(of);
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        least = least.min(value);
        most = most.max(value);
    }
    least..most
}

/// Whole powers of ten around a range, so that each has its line.
fn decades(range: Range<f64>) -> Range<f64> {
    let start = 10f64.powf(range.start.log10().floor());
    let end = 10f64.powf(range.end.log10().ceil());
    match start < end {
        true => start..end,
        false => start..start * 10.0,
    }
}

/// A number of nines as a percentile: 0 %, 90 %, 99 %, 99.9 %.
fn percent(nines: f64) -> String {
    let decimals = (nines.round() as usize).saturating_sub(2);
    format!("{:.decimals$} %", 100.0 * (1.0 - 10f64.powf(-nines)))
}

/// A number as short as it can be: `0.01`, `2.5`, `1000`.
fn plain(value: f64) -> String {
    let text = three_digits(value);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}

/// The same with a letter for thousands: `2.05 k`, `10 M`.
fn short(value: f64) -> String {
    let text = with_thousands(value);
    let (number, letter) = text.split_once(' ').unwrap_or((&text, ""));
    let number = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    };
    format!("{number} {letter}").trim_end().into()
}

/// A text in lines of at most so many characters, broken at spaces; what does not fit ends in dots.
fn wrapped(text: &str, width: usize, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let begun = lines.len();
        let last = lines.last_mut().expect("invariant: there is a line");
        let fits = last.chars().count() + 1 + word.chars().count() <= width;
        match last.is_empty() {
            true => *last = word.into(),
            false if fits => {
                last.push(' ');
                last.push_str(word);
            }
            false if begun < most => lines.push(word.into()),
            false => {
                last.push_str(" ...");
                break;
            }
        }
    }
    lines
}

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for PlotError {
    fn from(error: DrawingAreaErrorKind<E>) -> PlotError {
        PlotError::Drawing(error.to_string())
    }
}

impl fmt::Display for PlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlotError::Nothing => f.write_str("nothing was received that could be drawn"),
            PlotError::Drawing(reason) => write!(f, "the plot cannot be drawn: {reason}"),
        }
    }
}

impl std::error::Error for PlotError {}

const SIZE: (u32, u32) = (1360, 600);
/// The legend's share of the width.
const LEGEND: u32 = 220;
const LEGEND_LINE: i32 = 19;
/// Beyond that there is nothing but the one worst.
const MOST_NINES: f64 = 6.0;
/// Of a line's points, in nines.
const STEP: f64 = 0.04;
/// A logarithm has no zero.
const LEAST_MS: f64 = 0.0001;

/// Colours that people tell apart who see few (Okabe and Ito).
const HUES: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(60, 60, 60),
];
const LIGHT: RGBColor = RGBColor(242, 242, 242);
const BOLD: RGBColor = RGBColor(215, 215, 215);
const AXIS: RGBColor = RGBColor(90, 90, 90);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::rounds::tests::report;

    fn texts(svg: &str) -> Vec<String> {
        let document = roxmltree::Document::parse(svg).unwrap();
        let texts = document
            .descendants()
            .filter(|node| node.has_tag_name(TEXT));
        let texts = texts.filter_map(|node| node.text());
        texts.map(|text| text.trim().to_string()).collect()
    }

    const TEXT: (&str, &str) = ("http://www.w3.org/2000/svg", "text");

    #[test]
    fn it_is_svg_with_a_line_for_each_case() {
        let report = report();
        let svg = plot(&report).unwrap();
        let texts = texts(&svg);
        let expected = [
            "mynah bench --members 100,1000,5000 --window 1,16,256 --floor --repeat 3",
            "tcp-room against its own server, 2 CPUs, Linux 6.18.44; dashed: the floor",
            "latency, ms",
            "percentile of deliveries",
            "0 %",
            "90 %",
            "99.9 %",
            "members",
            "5000",
            "deliveries per second",
            "100 k",
            "10 M",
            "100 members, window 1",
            "5000 members, window 256",
            "window 16",
        ];
        for text in expected {
            assert!(texts.iter().any(|t| t == text), "{text}: {texts:?}");
        }
        // Nine cases, three paces, and the same of the floor.
        assert_eq!(latency_lines(&report).len(), 18);
        assert_eq!(scaling_lines(&report).len(), 6);
        let solid = |svg: &str| svg.matches("stroke-width=\"2\" points").count();
        assert!(solid(&svg) >= 12, "{}", solid(&svg));
        for outside in ["href", "<script", "url(", "@import"] {
            assert!(!svg.contains(outside), "{outside}: it stands alone");
        }
    }

    #[test]
    fn one_case_is_a_plot_and_none_is_not() {
        let mut report = report();
        report.cases.truncate(1);
        report.command = "mynah bench \"<&>\"".into();
        for round in &mut report.cases[0].rounds {
            round.floor = None;
        }
        let svg = plot(&report).unwrap();
        assert!(texts(&svg).contains(&report.command));
        assert!(!svg.contains("dashed"));
        for round in &mut report.cases[0].rounds {
            round.server.lateness.each.reset();
            round.server.deliveries.received = 0;
        }
        assert_eq!(plot(&report).unwrap_err(), PlotError::Nothing);
        report.cases.clear();
        assert_eq!(plot(&report).unwrap_err(), PlotError::Nothing);
    }

    #[test]
    fn a_legend_that_is_too_long_says_so() {
        let mut report = report();
        let few = texts(&plot(&report).unwrap());
        assert!(!few.iter().any(|text| text.ends_with(" more")), "{few:?}");
        let case = report.cases[0].clone();
        report.cases = (1..=50)
            .map(|members| {
                let mut case = case.clone();
                case.plan.members = members;
                case
            })
            .collect();
        let texts = texts(&plot(&report).unwrap());
        let shown = |members: &usize| texts.contains(&format!("{members} members, window 1"));
        let shown = 1 + (2..=50).filter(shown).count();
        assert!(shown > 20, "{shown}");
        let rest = format!("and {} more", 50 - shown);
        assert!(texts.contains(&rest), "{rest}: {texts:?}");
    }

    #[test]
    fn labels_are_short() {
        for (nines, text) in [(0.0, "0 %"), (1.0, "90 %"), (2.0, "99 %"), (4.0, "99.99 %")] {
            assert_eq!(percent(nines), text);
        }
        for (value, text) in [(0.01, "0.01"), (2.5, "2.5"), (1000.0, "1000")] {
            assert_eq!(plain(value), text);
        }
        for (value, text) in [
            (2050.0, "2.05 k"),
            (1e7, "10 M"),
            (100.0, "100"),
            (1.0, "1"),
        ] {
            assert_eq!(short(value), text);
        }
        assert_eq!(wrapped("a bb ccc dddd", 4, 2), ["a bb", "ccc ..."]);
        assert_eq!(decades(0.3..20.0), 0.1..100.0);
        assert_eq!(decades(1.0..1.0), 1.0..10.0);
    }
}
