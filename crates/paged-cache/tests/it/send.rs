//! What a runtime with several threads asks for, checked by the compiler: every future is `Send`, handles are `Send` and
//! `Sync`.

use std::sync::Arc;

use blob_runtime::append::Config;
use blob_runtime::{Blob, Format, Kind, MemoryStorage, Storage, StoreId, Want};
use bytes::Bytes;
use futures::FutureExt;
use futures::executor::block_on;
use paged_cache::{PageCache, Paged, Replay, Survey};

fn is_send<T: Send>(_: T) {}
fn is_shared<T: Clone + Send + Sync + 'static>() {}
fn is_owned<T: Send + 'static>() {}

async fn blob() -> Arc<dyn Blob> {
    let format = Format::new(Kind::PAGED, Want::Exactly(StoreId(1))).unit(Want::Exactly(64));
    MemoryStorage::new().open("p", b"stream", &format).await.unwrap()
}

#[test]
fn handles_are_shared() {
    is_shared::<Paged>();
    is_shared::<PageCache>();
    is_shared::<paged_cache::Error>();
    is_owned::<Survey>();
    is_owned::<Replay>();
}

#[test]
fn every_future_is_send() {
    let (blob, cache) = (block_on(blob()), PageCache::default());
    let judge = |_: u64, _: Bytes| async { Ok(true) }.boxed();
    is_send(Survey::new(Arc::clone(&blob), Some(&judge)));
    let found = || block_on(Survey::new(Arc::clone(&blob), None)).unwrap();
    is_send(found().limit(0));
    is_send(found().carry_out(0));
    let paged = Paged::new(found(), 0, &cache, Config::default());
    is_send(paged.append(1, |_, space| space.put(b"x")));
    is_send(paged.flush());
    is_send(paged.sync());
    is_send(paged.sync_through(0));
    is_send(paged.wait_durable(0));
    is_send(paged.settle());
    is_send(paged.hold());
    is_send(paged.retire());
    is_send(paged.cut(0));
    is_send(paged.read_at(0, 0));
    let mut replay = paged.replay(0).unwrap();
    is_send(replay.next());
}
