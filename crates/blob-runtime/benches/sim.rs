//! How many seeds a second and core the simulated machine does: the target is 10,000 of about 30 operations each.
#![allow(missing_docs, reason = "criterion_group! makes a public function without one")]

use std::hint::black_box;

use blob_runtime::sim::{self, Crash, Cut, Sim};
use blob_runtime::{Error, Format, Kind, Storage, StoreId, Want};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Operations of one seed: three lives of ten.
const OPERATIONS: u64 = 30;

async fn life(sim: Sim, operations: u64, value: Bytes) -> Result<(), Error> {
    let format = Format::new(Kind::USER, Want::Default(StoreId(1)));
    let storage = sim.storage();
    let mut rng = sim.rng();
    let blobs = [storage.open("p", b"index", &format).await?, storage.open("p", b"values", &format).await?];
    for _ in 2..operations {
        let blob = &blobs[rng.usize(..2)];
        match rng.u8(..6) {
            0..=2 => blob.write_at(blob.len(), vec![value.clone()]).await?,
            3 => blob.sync().await?,
            4 => blob.write_at_sync(blob.len(), vec![value.clone()]).await?,
            _ => drop(blob.read_at(0, value.len().min(usize::try_from(blob.len()).unwrap_or(0))).await?),
        }
    }
    Ok(())
}

fn seed(seed: u64, value: &Bytes) -> u64 {
    sim::run(seed, async |sim| {
        let mut rng = sim.rng();
        for _ in 0..3 {
            sim.crash_at(rng.u64(30..60), Crash::Power(Cut::Random));
            drop(sim.life(life(sim.clone(), OPERATIONS / 3, value.clone())).await);
            sim.crash(if rng.bool() { Crash::Kill } else { Crash::Power(Cut::Random) });
        }
        sim.counts().steps
    })
}

fn seeds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sim");
    for bytes in [100, 4096] {
        let value = Bytes::from(vec![7; bytes]);
        let mut next = 0;
        group.throughput(Throughput::Elements(1)).bench_function(
            format!("seeds of 30 operations, {bytes} bytes"),
            |b| {
                b.iter(|| {
                    next += 1;
                    black_box(seed(next, &value))
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, seeds);
criterion_main!(benches);
