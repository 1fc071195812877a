//! Runs the library's model and writes its tables and plots.

use std::path::Path;

use cidalloc_benches::locality::growth::{self, Load};
use cidalloc_benches::locality::inputs::{Costs, IN_FLIGHT_MAX, ZEN_4};
use cidalloc_benches::locality::intermittent::{self, Cell, Index, Setup};
use cidalloc_benches::locality::machine::{EPYC_9654_TWICE, Machine};
use cidalloc_benches::locality::plots::{self, Sweep};
use cidalloc_benches::locality::published::{Row, TABLE};
use cidalloc_benches::locality::tables::{self, Form};

use crate::cli;

/// Machines of 16, 128, 384 and 1024 CPUs.
const MACHINES: [Machine; 4] = [
    Machine { sockets: 1, l3s: 1, cores: 8, threads: 2 },
    Machine { sockets: 2, l3s: 4, cores: 8, threads: 2 },
    EPYC_9654_TWICE,
    Machine { sockets: 4, l3s: 16, cores: 8, threads: 2 },
];

const THREADS: [usize; 9] = [10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000];

fn cell(row: &Row, index: Index, costs: &Costs, options: &cli::Simulate) -> Cell {
    let cpus = row.placement.cpus(&EPYC_9654_TWICE);
    let bursts = if options.quick { options.bursts / 10 } else { options.bursts };
    let setup = Setup {
        rounds: bursts.div_ceil(cpus.len()).max(2),
        cpus,
        delay_ms: f64::from(row.delay_ms),
        warm_up: 2,
        seed: options.seed,
    };
    intermittent::simulate(EPYC_9654_TWICE, &ZEN_4, costs, index, &setup)
}

fn table(costs: &Costs, options: &cli::Simulate) -> Vec<[Cell; 3]> {
    TABLE.iter().map(|row| Index::ALL.map(|index| cell(row, index, costs, options))).collect()
}

fn gains(cells: &[[Cell; 3]]) -> Vec<f64> {
    cells.iter().map(|[_, plain, local]| plain.ns / local.ns).collect()
}

fn sweep(machine: Machine, options: &cli::Simulate) -> Sweep {
    let point = |threads| {
        let server = Load::server(threads);
        let load = Load {
            duty: options.duty,
            migration: options.migration,
            seed: options.seed,
            watch_ms: if options.quick { server.watch_ms / 10.0 } else { server.watch_ms },
            ..server
        };
        (threads, growth::simulate(machine, &load))
    };
    Sweep { cpus: machine.cpu_count(), nodes: machine.sockets, points: THREADS.map(point).to_vec() }
}

/// `locality simulate`
pub(crate) fn run(options: &cli::Simulate) -> Result<(), String> {
    for (name, value, most) in [
        ("--in-flight", options.in_flight, 1000.0),
        ("--duty", options.duty, 1.0),
        ("--migration", options.migration, 1.0),
        ("--shard-kib", options.shard_kib, 1e9),
    ] {
        if !(value > 0.0 && value <= most) {
            return Err(format!("{name} {value}: want a number above 0 and up to {most}"));
        }
    }
    let cells = table(&Costs::with_in_flight(options.in_flight), options);
    let in_flight = [1.0, 4.0, options.in_flight, IN_FLIGHT_MAX];
    let by_flight: Vec<_> =
        in_flight.map(|n| gains(&table(&Costs::with_in_flight(n), options))).to_vec();
    let sweeps = MACHINES.map(|machine| sweep(machine, options));

    let all = |form: Form| {
        [
            tables::inputs(&form),
            tables::cells(&cells, &form),
            tables::places(&cells, &form),
            tables::sensitivity(&in_flight, &by_flight, &form),
            tables::growth(&sweeps, options.shard_kib, &form),
            tables::arenas(&sweeps[2], &form),
        ]
        .concat()
    };
    print!("{}", all(Form::Text));
    let source = format!(
        "locality simulate: seed {}, {} lines in flight beyond an L3",
        options.seed, options.in_flight
    );
    let load = format!(
        "locality simulate: seed {}; threads run for {} % of their time, 1 ms at a time; one \
         waking in {:.0} migrates",
        options.seed,
        options.duty * 100.0,
        1.0 / options.migration
    );
    let ns: Vec<_> = cells.iter().map(|row| row.each_ref().map(|cell| cell.ns)).collect();
    let memory = format!("{load}; {} KiB a shard", options.shard_kib);
    std::fs::create_dir_all(&options.out)
        .map_err(|error| format!("--out {}: {error}", options.out.display()))?;
    for (name, plot) in [
        ("locality-bursts.svg", plots::bursts(&ns, &source)),
        ("locality-gains.svg", plots::gains(&gains(&cells), &source)),
        ("locality-shards.svg", plots::shards(&sweeps, &load)),
        ("locality-memory.svg", plots::memory(&sweeps, options.shard_kib, &memory)),
        ("locality-arenas.svg", plots::arenas(&sweeps[2], &load)),
    ] {
        write(&options.out.join(name), &plot)?;
    }
    if let Some(path) = &options.markdown {
        write(path, &all(Form::Markdown))?;
    }
    println!("\nplots written to {}", options.out.display());
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text)
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
