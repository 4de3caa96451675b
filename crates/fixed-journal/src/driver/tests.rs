use blob_runtime::MemoryStorage;
use futures::executor::block_on;

use super::*;

/// A new section of items of 8 bytes.
async fn section() -> (Sections, Arc<Section>) {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let driver = Sections::new(storage, StoreId(1), Want::Exactly(8), Config::new("items").page_bytes(64));
    let found = driver.survey(1, Look::Clean, true).await.unwrap();
    let section = driver.attach(1, found).await.unwrap();
    (driver, Arc::new(section))
}

/// A rewind holds its section until its intent is cleared. An append that comes in between would be cut off again by a
/// crash: it waits, and goes on when the hold ends.
#[test]
fn an_append_waits_for_a_hold() {
    block_on(async {
        let (driver, section) = section().await;
        let hold = driver.hold(&section).await;
        let mut append = Box::pin(section.append(&[1; 8]));
        assert!(futures::poll!(&mut append).is_pending());
        assert_eq!(section.len(), 0);
        drop(hold);
        assert_eq!((append.await.unwrap(), section.len()), (0, 1));
    });
}

/// A section is opened anew, closed or removed, and somebody still holds the old one: it takes nothing any more, and
/// writes nothing into the file that another one is looking at.
#[test]
fn a_retired_section_takes_nothing() {
    block_on(async {
        let (driver, section) = section().await;
        section.append(&[1; 8]).await.unwrap();
        let before = section.paged().blob().len();
        driver.retire(&section).await;
        for failure in [section.append(&[2; 8]).await.map(drop), section.paged().sync().await.map_err(Error::from)] {
            let error = failure.unwrap_err();
            assert!(matches!(error.storage(), Some(blob_runtime::Error::Closed)), "{error:?}");
        }
        assert_eq!((section.len(), section.paged().blob().len()), (1, before));
    });
}
