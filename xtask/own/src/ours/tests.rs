use workloads::Values;

use super::*;

/// What comes back is what the same loop finds in the other engines: the benchmark measures our store, and not less.
#[test]
fn our_store_does_what_is_measured() {
    for (io, threads) in [(Io::Pool, false), (Io::Pool, true), (Io::Inline, false)] {
        let directory = tempfile::tempdir().unwrap();
        let ours = Ours { io, threads };
        block_on(async {
            let values = Values::new(300);
            let mut store = ours.open(directory.path()).await.unwrap();
            let writers = Writers { count: 4, first: 0, each: 5, values };
            assert_eq!(store.write_together(writers).await.unwrap().len(), 20);
            store.append(Run::new(values, 2, 1..4, 0..2)).await.unwrap();
            store.sync().await.unwrap();
            let (mut entries, mut with_values) = (Vec::new(), Vec::new());
            store.replay_entries(|id| entries.push(id)).await.unwrap();
            store.replay_values(|id, _| with_values.push(id)).await.unwrap();
            assert_eq!(entries, with_values);
            assert_eq!((entries.len(), &entries[20..]), (26, &[2, 3, 4, 5, 6, 7][..]));
            store.prune(2).await.unwrap();
            store.close().await.unwrap();

            let mut store = ours.open(directory.path()).await.unwrap();
            for item in Run::new(values, 2, 2..4, 0..2) {
                let place = Place { section: item.section, position: item.position };
                let mut found = None;
                store.read(place, |id, value| found = Some((id, value.to_vec()))).await.unwrap();
                assert_eq!(found, Some((item.id, item.value.to_vec())));
                assert_eq!(store.entry(place).await.unwrap(), item.id);
            }
        });
    }
}
