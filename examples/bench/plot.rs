//! The plots, as SVG.

mod panel;

use std::path::Path;

use crate::Result;
use crate::report::{Quantity, Row};
use crate::rows::batching;
use crate::rows::growth::{self, Dimension};
use crate::statistics::float;

use panel::{Axis, Dot, Panel, Series, draw, plain};

/// Throughput and cost of each system, for each batch size that was measured.
pub fn backlog(path: &Path, rows: &[Row]) -> Result<()> {
    let rows: Vec<&Row> = rows
        .iter()
        .filter(|row| row.name.starts_with("backlog-"))
        .collect();
    let Some(first) = rows.first() else {
        return Ok(());
    };
    let systems: Vec<String> = first
        .figures
        .iter()
        .filter(|figure| figure.quantity == Quantity::Throughput)
        .map(|figure| figure.subject.clone())
        .collect();
    let panel = |title: &'static str, unit: &'static str, quantity| {
        let series = rows.iter().enumerate().map(|(index, row)| {
            // Beside each other around the system's place.
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
            x: Axis::Categories(systems.clone()),
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

/// Batch size and latency by load; a flood, which is no steady load, stands by itself.
pub fn batching(path: &Path, points: &[batching::Point]) -> Result<()> {
    let series = |name: &str, value: fn(&batching::Point) -> f64| {
        [false, true].map(|is_flood| {
            let points = points.iter().filter(|point| point.is_flood == is_flood);
            let dots = points.map(|point| Dot::at(point.messages_per_second, value(point)));
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
    let median = series("median", |point| point.latency.median);
    let p99 = series("99th percentile", |point| point.latency.p99);
    let panels = [
        panel(
            "Batch size",
            "messages a batch",
            series("mean", |point| point.batch_size).into(),
        ),
        panel(
            "Latency, from acknowledged by Kafka to readable in MongoDB",
            "ms",
            median.into_iter().chain(p99).collect(),
        ),
    ];
    draw(path, (980, 420), (1, 2), &panels)
}

/// Throughput above, cost below, a column for each dimension.
pub fn growth(path: &Path, points: &[growth::Point]) -> Result<()> {
    let panel = |dimension: Dimension, title, y_label, pick: fn(&growth::Point) -> _| {
        let points: Vec<&growth::Point> = points
            .iter()
            .filter(|point| point.dimension == dimension)
            .collect();
        let dots = points.iter().enumerate();
        let dots = dots.map(|(place, point)| Dot::of(float(place as u64), &pick(point)));
        Panel {
            title,
            x_label: dimension.name(),
            y_label,
            x: Axis::Categories(
                points
                    .iter()
                    .map(|point| plain(point.value.into()))
                    .collect(),
            ),
            y: Axis::FromZero,
            series: vec![Series {
                name: String::from("worker"),
                is_line: true,
                dots: dots.collect(),
            }],
        }
    };
    let mut panels = Vec::new();
    for dimension in Dimension::ALL {
        panels.push(panel(dimension, "Throughput", "messages/s", |point| {
            point.throughput
        }));
    }
    for dimension in Dimension::ALL {
        panels.push(panel(dimension, "Cost", "CPU µs a message", |point| {
            point.cpu
        }));
    }
    draw(path, (1400, 640), (2, 4), &panels)
}
