//! Runs the crash suite; `cargo xtask test-crash` starts it.

use std::process::ExitCode;
use std::time::Instant;

use testkit::crash::{Breadth, Script, run};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let breadth = match args.next().as_deref() {
        Some("plain") => Breadth::Plain,
        Some("wide") => Breadth::Wide,
        Some("faulty") => Breadth::Faulty,
        _ => Breadth::Stale,
    };
    let first: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(0);
    let count: u64 = args.next().and_then(|a| a.parse().ok()).unwrap_or(1);
    let start = Instant::now();
    let mut failures = 0;
    for seed in first..first + count {
        let script = Script::draw(seed, breadth);
        if count == 1 {
            println!("{script:?}");
            let (_, story) = testkit::crash::tell(&script);
            story.iter().for_each(|line| println!("{line}"));
        }
        let outcome = run(&script);
        if let Some(violation) = outcome.violation {
            println!("seed {seed}: {violation}");
            failures += 1;
            if failures >= 20 {
                break;
            }
        }
    }
    println!("{failures} failures, {:.0} seeds/s", count as f64 / start.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}
