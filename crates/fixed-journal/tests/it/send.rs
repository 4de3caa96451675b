//! What a runtime with several threads asks for, checked by the compiler: every future is `Send`, handles are `Send` and
//! `Sync`, streams are `'static`.

use std::sync::Arc;

use blob_runtime::{MemoryStorage, Storage};
use fixed_journal::{Config, Items, Journal, RawJournal, Recovery, Replay};
use futures::Stream;

fn is_send<T: Send>(_: T) {}
fn is_shared<T: Clone + Send + Sync + 'static>() {}
fn is_stream<T: Stream + Send + Unpin + 'static>() {}

#[test]
fn handles_are_shared_and_streams_own_what_they_need() {
    is_shared::<RawJournal>();
    is_shared::<Journal<u64>>();
    is_shared::<Config>();
    is_shared::<Recovery>();
    is_shared::<fixed_journal::Error>();
    is_stream::<Replay>();
    is_stream::<Items<(u64, [u8; 32])>>();
}

#[test]
fn every_future_is_send() {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    is_send(RawJournal::open(Arc::clone(&storage), Config::new("raw"), Some(8)));
    is_send(Journal::<u64>::open(Arc::clone(&storage), Config::new("items")));
    let journal = futures::executor::block_on(Journal::<u64>::open(storage, Config::new("items"))).unwrap();
    is_send(journal.append(1, &1));
    is_send(journal.append_all(1, &[1, 2]));
    is_send(journal.get(1, 0));
    is_send(journal.get_many(1, &[0]));
    is_send(journal.last(1));
    let raw = journal.raw();
    is_send(raw.append(1, &[0; 8]));
    is_send(raw.append_many(1, &[0; 16]));
    is_send(raw.get(1, 0));
    is_send(raw.get_many(1, &[0]));
    is_send(raw.last(1));
    is_send(raw.len(1));
    is_send(raw.durable_len(1));
    is_send(raw.bytes(1));
    is_send(raw.item_bytes(1));
    is_send(raw.sync(1));
    is_send(raw.sync_all());
    is_send(raw.wait_durable(1, 1));
    is_send(raw.flush(1, 1));
    is_send(raw.prune(1));
    is_send(raw.rewind(1, 0));
    is_send(raw.rewind_section(1, 0));
    is_send(raw.remove_section(1));
    is_send(raw.clear());
    is_send(raw.reopen_section(1));
    is_send(raw.close());
    is_send(raw.destroy());
}
