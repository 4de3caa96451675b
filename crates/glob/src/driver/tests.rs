use blob_runtime::MemoryStorage;
use futures::executor::block_on;

use super::*;
use crate::compress::{Compression, Packer};
use crate::config::Config;

/// A rewind holds its section until its intent is cleared. An append that comes in between would be cut off again by a
/// crash: it waits, and goes on when the hold ends.
#[test]
fn an_append_waits_for_a_hold() {
    block_on(async {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
        let settings = Config::new("values").settings();
        let driver = Sections::new(storage, StoreId(1), "values", Some(0), settings, 0);
        let found = driver.survey(1, Look::Clean, true).await.unwrap();
        let section = Arc::new(driver.attach(1, found).await.unwrap());
        let packer = Packer::new(Compression::None, 100);
        let packed = packer.pack(b"value").unwrap();
        let hold = driver.hold(&section).await;
        let mut append = Box::pin(section.append(&packed, |_, _, _| {}));
        assert!(futures::poll!(&mut append).is_pending());
        assert_eq!(section.len(), 0);
        drop(hold);
        assert_eq!((append.await.unwrap().position, section.len()), (0, 1));
    });
}
