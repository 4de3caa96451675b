use super::*;
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
