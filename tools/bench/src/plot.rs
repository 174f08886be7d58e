//! The plots, as SVG. They show figures of the rows and nothing else, so that they can be drawn again from
//! published results.

mod panel;

use std::path::Path;

use crate::Result;
use crate::report::{Quantity, Row};
use crate::rows::batching;
use crate::rows::growth::{self, Dimension};
use crate::rows::over_time;
use crate::statistics::{Summary, float};

pub use panel::number_on_axis;
use panel::{Axis, Dot, Panel, Series, draw};

/// Draws the plot of each row that has one.
pub fn draw_all(folder: &Path, rows: &[Row]) -> Result<()> {
    let named = |name: &str| rows.iter().find(|row| row.name == name);
    backlog(&folder.join("backlog.svg"), rows)?;
    if let Some(row) = named(batching::NAME) {
        natural_batching(&folder.join("natural-batching.svg"), row)?;
    }
    if let Some(row) = named(growth::NAME) {
        growth(&folder.join("growth.svg"), row)?;
    }
    if let Some(row) = named(over_time::NAME) {
        over_time(&folder.join(over_time::PLOT), row)?;
    }
    Ok(())
}

/// Throughput and cost of each system, for each batch size that was measured.
fn backlog(path: &Path, rows: &[Row]) -> Result<()> {
    let rows: Vec<&Row> = rows
        .iter()
        .filter(|row| row.name.starts_with("backlog-"))
        .collect();
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let systems = first.subjects_of(Quantity::Throughput);
    let panel = |title: &'static str, unit: &'static str, quantity| {
        let series = rows.iter().enumerate().map(|(index, row)| {
            // Side by side around the system's place.
            let shift = (float(index as u64) + 0.5 - float(rows.len() as u64) / 2.0) * 0.2;
            let dots = systems.iter().enumerate().filter_map(|(place, system)| {
                let summary = row.summary_of(system, quantity)?;
                Some(Dot::of(float(place as u64) + shift, &summary))
            });
            let batch_size = row.name.trim_start_matches("backlog-");
            Series {
                name: format!("batches of {batch_size}"),
                is_line: false,
                dots: dots.collect(),
            }
        });
        Panel {
            title,
            x_label: "",
            y_label: unit,
            x: Axis::Categories(systems.iter().map(|&system| system.to_owned()).collect()),
            y: Axis::FromZero,
            series: series.collect(),
        }
    };
    let panels = [
        panel("Throughput", "messages/s", Quantity::Throughput),
        panel("Cost", "CPU µs a message", Quantity::Cpu),
    ];
    draw(path, (980, 420), (1, 2), &panels)
}

/// Batch size and latency by load. The flood is no steady load, so it stands by itself.
fn natural_batching(path: &Path, row: &Row) -> Result<()> {
    let loads = row.subjects_of(Quantity::Throughput);
    let series = |name: &str, quantity, value: fn(&Summary) -> f64| {
        [false, true].map(|is_flood| {
            let loads = loads
                .iter()
                .filter(|load| (**load == batching::FLOOD) == is_flood);
            let dots = loads.filter_map(|load| {
                let throughput = row.summary_of(load, Quantity::Throughput)?;
                let summary = row.summary_of(load, quantity)?;
                Some(Dot::at(throughput.median, value(&summary)))
            });
            Series {
                name: format!("{name}{}", if is_flood { ", flood" } else { "" }),
                is_line: !is_flood,
                dots: dots.collect(),
            }
        })
    };
    let panel = |title, y_label, series| Panel {
        title,
        x_label: "messages/s",
        y_label,
        x: Axis::Log,
        y: Axis::Log,
        series,
    };
    let mean = series("mean", Quantity::BatchSize, |size| size.median);
    let median = series("median", Quantity::Latency, |latency| latency.median);
    let p99 = series("99th percentile", Quantity::Latency, |latency| latency.p99);
    let panels = [
        panel("Batch size", "messages a batch", mean.into()),
        panel(
            "Latency, from acknowledged by Kafka to readable in MongoDB",
            "ms",
            median.into_iter().chain(p99).collect(),
        ),
    ];
    draw(path, (980, 420), (1, 2), &panels)
}

/// Batch size and backlog while a backlog comes and goes.
fn over_time(path: &Path, row: &Row) -> Result<()> {
    let panel = |title, y_label, quantity| {
        let curves = row.curves.iter().filter(|it| it.quantity == quantity);
        let series = curves.map(|curve| Series {
            name: curve.subject.clone(),
            is_line: true,
            dots: curve.points.iter().map(|&(x, y)| Dot::at(x, y)).collect(),
        });
        Panel {
            title,
            x_label: "seconds",
            y_label,
            x: Axis::FromZero,
            y: Axis::FromZero,
            series: series.collect(),
        }
    };
    let panels = [
        panel("Batch size", "messages a batch, mean", Quantity::BatchSize),
        panel("Backlog", "messages", Quantity::Lag),
    ];
    draw(path, (980, 420), (1, 2), &panels)
}

/// Throughput above, cost below, a column for each dimension.
fn growth(path: &Path, row: &Row) -> Result<()> {
    let panel = |dimension: Dimension, title, y_label, quantity| {
        let points = row.subjects_of(quantity);
        let points = points.into_iter().filter_map(|subject| {
            let value = dimension.value_of(subject)?;
            Some((value, row.summary_of(subject, quantity)?))
        });
        let (values, summaries): (Vec<String>, Vec<Summary>) = points.unzip();
        let dots = summaries.iter().enumerate();
        let dots = dots.map(|(place, summary)| Dot::of(float(place as u64), summary));
        Panel {
            title,
            x_label: dimension.name(),
            y_label,
            x: Axis::Categories(values),
            y: Axis::FromZero,
            series: vec![Series {
                name: String::from("worker"),
                is_line: true,
                dots: dots.collect(),
            }],
        }
    };
    let throughput = |dimension| panel(dimension, "Throughput", "messages/s", Quantity::Throughput);
    let cost = |dimension| panel(dimension, "Cost", "CPU µs a message", Quantity::Cpu);
    let panels: Vec<Panel<'_>> = Dimension::ALL
        .into_iter()
        .map(throughput)
        .chain(Dimension::ALL.into_iter().map(cost))
        .collect();
    draw(path, (1400, 640), (2, 4), &panels)
}
