//! The size of the batches while a backlog comes and goes, and how long the backlog lasts.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::Outcome;
pub use super::growing::AS_SHIPPED;
use super::growing::{FIXED, OF_FIXED_SIZE};
use crate::context::{Context, Load};
use crate::http::{self, Batches};
use crate::process::Process;
use crate::report::{Curve, Quantity, Row};
use crate::systems::{BatchSize, Job, System};
use crate::{Result, pause};

pub const NAME: &str = "growing-over-time";
/// The file of its plot.
pub const PLOT: &str = "growing-batches.svg";

/// Messages a second before, during and after the backlog.
const STEADY: u32 = 500;
/// How long the load is steady before the backlog comes, and after it has gone.
const CALM: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_millis(500);
/// If the backlog lasts longer, the row fails.
const GIVE_UP: Duration = Duration::from_secs(180);

/// What was seen at one time.
struct Look {
    seconds: f64,
    batches: Batches,
    lag: f64,
}

pub fn run(context: &Context) -> Outcome {
    let flood = context.scale(1_000_000, 100_000);
    let title = format!("{STEADY} messages a second, and {flood} more after 5 s");
    let mut row = Row::new(NAME, &title);
    for (subject, batch_size) in [(AS_SHIPPED, BatchSize::AsShipped), (OF_FIXED_SIZE, FIXED)] {
        row.settings[subject] = System::Worker.settings(context, batch_size)?;
        let looks = watch(context, subject, batch_size, flood)?;
        let sizes = looks.windows(2).filter_map(|pair| {
            let [before, after] = pair else { return None };
            let batches = after.batches.batches - before.batches.batches;
            let messages = after.batches.messages - before.batches.messages;
            (batches > 0.0).then(|| (after.seconds, messages / batches))
        });
        let sizes: Vec<(f64, f64)> = sizes.collect();
        let largest = sizes.iter().map(|&(_, size)| size).reduce(f64::max);
        context.say(&format!(
            "{subject}: {:.1} s, {:.0} messages a batch at most",
            looks.last().map_or(0.0, |look| look.seconds),
            largest.unwrap_or_default()
        ));
        let all: Vec<f64> = sizes.iter().map(|&(_, size)| size).collect();
        row.figure(subject, Quantity::BatchSize, &all);
        let lags: Vec<(f64, f64)> = looks.iter().map(|it| (it.seconds, it.lag)).collect();
        for (quantity, points) in [(Quantity::BatchSize, sizes), (Quantity::Lag, lags)] {
            row.curves.push(Curve {
                subject: subject.to_owned(),
                quantity,
                points,
            });
        }
    }
    row.notes.push(String::from(
        "each value is the mean of half a second; the messages of the backlog are produced as fast as Kafka takes them",
    ));
    Ok(row)
}

fn watch(context: &Context, subject: &str, batch_size: BatchSize, flood: u64) -> Result<Vec<Look>> {
    let name = format!("bench_over_time_{}", subject.replace(' ', "_"));
    let empty = Load {
        partitions: 6,
        count: 0,
        size: 0,
    };
    context.fill(&name, empty)?;
    let mut job = Job::new(&name, &name, batch_size);
    job.metrics_port = http::free_port()?;
    context.prepare_database(&job.run)?;
    let command = System::Worker.command(context, &job);
    let mut worker = Process::start("worker", command, &context.log(&name))?;
    http::await_ready(&mut worker, job.metrics_port)?;
    let generator = |prefix: &str, rate: u32, count: u64| {
        let mut generator = context.load_generator(&name);
        generator
            .args(["--rate", &rate.to_string(), "--count", &count.to_string()])
            .args(["--id-prefix", prefix])
            .stderr(Stdio::null());
        let log = context.log(&format!("{name}-{prefix}"));
        Process::start("load_generator", generator, &log)
    };
    let steady = generator("steady-", STEADY, u64::from(u32::MAX))?;
    // Let caches and connections warm up.
    pause(Duration::from_secs(1));

    let started = Instant::now();
    let mut looks = Vec::new();
    let mut burst = None;
    let mut settled_at = None;
    while settled_at.is_none_or(|at: Instant| at.elapsed() < CALM) {
        if burst.is_none() && started.elapsed() >= CALM {
            burst = Some(generator("flood-", 0, flood)?);
        }
        let look = Look {
            seconds: started.elapsed().as_secs_f64(),
            batches: Batches::read(job.metrics_port)?,
            lag: http::lag(job.metrics_port)?,
        };
        if settled_at.is_none() && is_over(&look, flood) {
            settled_at = Some(Instant::now());
        }
        looks.push(look);
        worker.check()?;
        if started.elapsed() > GIVE_UP {
            return Err("the backlog does not go".into());
        }
        pause(INTERVAL);
    }
    drop((steady, burst));
    worker.terminate()?;
    worker.await_end()?;
    context.drop_database(&job.run)?;
    Ok(looks)
}

/// Whether the backlog has come and gone.
fn is_over(look: &Look, flood: u64) -> bool {
    look.batches.messages >= crate::statistics::float(flood) && look.lag < f64::from(STEADY)
}
