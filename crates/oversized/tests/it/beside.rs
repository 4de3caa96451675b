//! Calls beside changes of structure: what each of them answers, and that none hangs.

use std::sync::Arc;

use blob_runtime::MemoryStorage;
use futures::executor::block_on;
use futures::{FutureExt, StreamExt};
use oversized::{Error, Until};

use crate::common::{fill, open};

/// A tail has shown two entries of a section; that is removed, made anew, and longer than before. What the tail would show
/// next is not what follows on what it has shown.
#[test]
fn a_tail_in_a_section_that_is_made_anew() {
    block_on(async {
        let store = open(Arc::new(MemoryStorage::new())).await.unwrap();
        for until in [Until::Appended, Until::Durable] {
            fill(&store, 1, 10..12).await;
            store.sync(1).await.unwrap();
            let mut tail = store.tail(1, 0, until);
            assert_eq!(tail.next().await.unwrap().unwrap().record.data, 10);
            assert_eq!(tail.next().await.unwrap().unwrap().record.data, 11);
            assert!(tail.next().now_or_never().is_none());
            assert!(store.remove_section(1).await.unwrap());
            fill(&store, 1, 20..25).await;
            store.sync(1).await.unwrap();
            let told = tail.next().await.unwrap().unwrap_err();
            assert!(matches!(told, Error::Rewound { section: 1 }), "{told:?}");
            assert!(tail.next().await.is_none());
            store.remove_section(1).await.unwrap();
        }
    });
}
