use super::*;
use crate::sim::{self, Crash, Cut};
use crate::{MemoryStorage, StoreId};
use futures::executor::block_on;

#[test]
fn a_cut_is_kept_with_a_note_and_again_changes_nothing() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let format = Format::new(Kind::VALUES, Want::Exactly(StoreId(1)));
    let blob = block_on(storage.open("p", b"x", &format)).unwrap();
    block_on(blob.write_at(0, vec![Bytes::from_static(b"0123456789")])).unwrap();
    for _ in 0..2 {
        assert_eq!(block_on(copy(&storage, &blob, 4, 99, 3, "a \"torn\" tail\n")).unwrap(), 3);
    }
    assert_eq!(block_on(copy(&storage, &blob, 10, 99, 3, "nothing")).unwrap(), 0);
    let names = block_on(storage.scan("p-quarantine")).unwrap();
    assert_eq!(names.len(), 2);
    assert_eq!(names[0], b"x\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x0a");
    let read = |name: &[u8]| {
        let blob = block_on(storage.open("p-quarantine", name, &Format::new(Kind::USER, Want::Exactly(StoreId(1)))));
        let blob = blob.unwrap();
        block_on(blob.read_at(0, usize::try_from(blob.len()).unwrap())).unwrap()
    };
    assert_eq!(read(&names[0]), "456");
    let note = r#"{"blob":"p/78","offset":4,"bytes":6,"copied":3,"reason":"a \"torn\" tail\u000a"}"#;
    assert_eq!(read(&names[1]), format!("{note}\n"));
}

/// The bytes are in quarantine, the cut has begun to write zeros over them, and the machine goes down. The next recovery
/// sees zeros where frames were: it must not copy those over what was saved. Later in the blob's life another tail is cut
/// off the same place: both are kept.
#[test]
fn an_interrupted_cut_does_not_spoil_what_was_saved() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let format = Format::new(Kind::VALUES, Want::Exactly(StoreId(1)));
    let blob = block_on(storage.open("p", b"x", &format)).unwrap();
    let write = |text: &'static [u8]| block_on(blob.write_at(0, vec![Bytes::from_static(text)])).unwrap();
    let keep = || block_on(copy(&storage, &blob, 4, 10, 99, "torn")).unwrap();
    write(b"0123456789");
    assert_eq!(keep(), 6);
    write(b"0123\x00\x006\x0089");
    assert_eq!(keep(), 6);
    write(b"0123abcdef");
    assert_eq!(keep(), 6);
    assert_eq!(keep(), 6);
    let names = block_on(storage.scan("p-quarantine")).unwrap();
    let kept: Vec<_> = names
        .iter()
        .map(|name| block_on(storage.open("p-quarantine", name, &Format::new(Kind::USER, Want::Exactly(StoreId(1))))))
        .map(|blob| blob.unwrap())
        .filter(|blob| blob.len() == 6)
        .map(|blob| block_on(blob.read_at(0, 6)).unwrap())
        .collect();
    assert_eq!(kept, ["456789", "abcdef"]);
    assert_eq!(names.len(), 4, "and a note for each");
}

/// Killed between the bytes and their note: what is there is no proof that all of it is, and it is copied again.
#[test]
fn a_copy_without_a_note_is_made_again() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let format = Format::new(Kind::VALUES, Want::Exactly(StoreId(1)));
    let blob = block_on(storage.open("p", b"x", &format)).unwrap();
    block_on(blob.write_at(0, vec![Bytes::from_static(b"0123456789")])).unwrap();
    let name = [&b"x"[..], &4_u64.to_be_bytes(), &10_u64.to_be_bytes()].concat();
    let half =
        block_on(storage.open("p-quarantine", &name, &Format::new(Kind::USER, Want::Exactly(StoreId(1))))).unwrap();
    block_on(half.write_at(0, vec![Bytes::from_static(b"4\0\0\0\0\0\0\0\0")])).unwrap();
    assert_eq!(block_on(copy(&storage, &blob, 4, 10, 99, "torn")).unwrap(), 6);
    assert_eq!(half.len(), 6);
    assert_eq!(block_on(half.read_at(0, 6)).unwrap(), "456789");
}

/// The power goes before every step of a copy. The recovery that follows copies again before it cuts; a note that is durable
/// while its bytes are not would tell it that all is saved.
#[test]
fn a_power_cut_before_every_step_of_a_copy() {
    for seed in 0..40 {
        for step in 1.. {
            let ended = sim::run(seed, async |sim| {
                let storage: Arc<dyn Storage> = sim.storage();
                let format = Format::new(Kind::VALUES, Want::Exactly(StoreId(1)));
                let blob = storage.open("p", b"x", &format).await.unwrap();
                blob.write_at_sync(0, vec![Bytes::from_static(b"0123456789")]).await.unwrap();
                let keep = move |storage: Arc<dyn Storage>| async move {
                    let format = Format::new(Kind::VALUES, Want::Exactly(StoreId(1)));
                    let blob = storage.open("p", b"x", &format.existing()).await?;
                    copy(&storage, &blob, 4, 10, 99, "torn").await
                };
                sim.crash_at(step, Crash::Power(Cut::Random));
                let ended = sim.life(keep(sim.storage())).await.is_some();
                if sim.disarm() {
                    sim.crash(Crash::Power(Cut::LoseAll));
                }
                assert_eq!(keep(sim.storage()).await.unwrap(), 6, "seed {seed}, step {step}");
                let storage = sim.storage();
                let name = [&b"x"[..], &4_u64.to_be_bytes(), &10_u64.to_be_bytes()].concat();
                let format = Format::new(Kind::USER, Want::Exactly(StoreId(1)));
                let kept = storage.open("p-quarantine", &name, &format.existing()).await.unwrap();
                let saved = kept.read_at(0, usize::try_from(kept.len()).unwrap()).await.unwrap();
                assert_eq!(saved, "456789", "seed {seed}, step {step}");
                ended
            });
            if ended {
                break;
            }
        }
    }
}
