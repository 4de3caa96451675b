//! Appends beside a seal, in the order that could do harm.

use std::sync::Arc;
use std::task::Poll;

use blob_runtime::append::Config as LogConfig;
use blob_runtime::append::Spares;
use blob_runtime::sim;
use blob_runtime::{Format, Kind, Storage, StoreId, Want};
use glob::section::{Section, Settings};
use glob::{Compression, Packer};

const NAME: [u8; 8] = 1_u64.to_be_bytes();

/// A section at rest is sealed; while the zeros written ahead are cut off an append comes, and gets in before the seal. A
/// seal behind it would say of what is only in memory that it is durable; and to try for as long as appends go on would
/// keep up the sync that seals. So it is given up; the next one comes through.
#[test]
fn a_seal_gives_way_to_an_append() {
    for seed in 0..20 {
        sim::run(seed, async |sim| {
            let packer = Arc::new(Packer::new(Compression::None, 1000));
            let settings = Settings {
                log: LogConfig { buffer_bytes: 300, unsynced_bytes: u64::MAX, spares: Spares::new(1 << 20) },
                preallocate_bytes: 1 << 16,
                packer: Arc::clone(&packer),
                read_only: false,
            };
            let format = Format::new(Kind::VALUES, Want::Exactly(StoreId(1))).unit(Want::Exactly(0));
            let blob = sim.storage().open("values", &NAME, &format).await.unwrap();
            let section = Section::create(1, blob, settings).unwrap();
            for _ in 0..3 {
                section.append(&packer.pack(b"early").unwrap(), |_, _, _| {}).await.unwrap();
                section.sync().await.unwrap();
            }
            assert!(section.blob().len() > section.bytes(), "zeros lie ahead");
            let mut seal = Box::pin(section.try_seal());
            assert!(futures::poll!(&mut seal).is_pending());
            let packed = packer.pack(b"late").unwrap();
            let mut late = Box::pin(section.append(&packed, |_, _, _| {}));
            let mut appended = None;
            let sealed = loop {
                if appended.is_none()
                    && let Poll::Ready(at) = futures::poll!(&mut late)
                {
                    appended = Some(at.unwrap().position);
                }
                if let Poll::Ready(sealed) = futures::poll!(&mut seal) {
                    break sealed.unwrap();
                }
                sim.yield_now().await;
            };
            assert_eq!((appended, sealed, section.is_sealed()), (Some(3), false, false), "seed {seed}");
            assert_eq!((section.len(), section.durable_len()), (4, 3), "seed {seed}");
            assert!(section.try_seal().await.unwrap());
            assert_eq!((section.is_sealed(), section.durable_len()), (true, 4), "seed {seed}");
        });
    }
}
