//! Full pages in memory, shared by many streams.
//!
//! Sharded, each shard a CLOCK (F. J. Corbató, "A Paging Experiment with the Multics System", 1968): a hit sets a bit, a
//! hand that looks for room clears it and takes the first page without it. A page is read under the shard's lock, in
//! place: no allocation, no copy, no reference count.
//!
//! A page that is missing is fetched once however many ask for it. What a fetch brings is kept only if its stream was
//! not cut meanwhile.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use crate::error::Error;

#[cfg(test)]
mod tests;

const SHARDS: usize = 16;

/// A cache of pages. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct PageCache(Arc<Inner>);

struct Inner {
    shards: [Mutex<Shard>; SHARDS],
    next_stream: AtomicU64,
}

/// How a cache has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStats {
    /// Bytes of pages held.
    pub bytes: usize,
    /// Pages held.
    pub pages: usize,
    /// Look-ups that found their page.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
}

struct Shard {
    capacity_bytes: usize,
    bytes: usize,
    places: HashMap<Key, usize, BuildHasherDefault<KeyHasher>>,
    slots: Vec<Option<Held>>,
    free: Vec<usize>,
    hand: usize,
    hits: u64,
    misses: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    stream: u64,
    page: u64,
}

struct Held {
    key: Key,
    data: Bytes,
    referenced: bool,
}

/// Mixes the two numbers of a key by multiplication (D. E. Knuth, The Art of Computer Programming 3, 6.4).
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(25) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Key {
    fn shard(self) -> usize {
        let mut hasher = KeyHasher::default();
        hasher.write_u64(self.stream);
        hasher.write_u64(self.page);
        // The map uses the low bits, the shard the high ones.
        usize::try_from(hasher.finish() >> 60).unwrap_or(0) % SHARDS
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PageCache {
    /// A cache that holds up to `capacity_bytes` of page data, spread over its shards; 0 holds nothing.
    pub fn new(capacity_bytes: usize) -> Self {
        let shard = |_| {
            Mutex::new(Shard {
                capacity_bytes: capacity_bytes / SHARDS,
                bytes: 0,
                places: HashMap::default(),
                slots: Vec::new(),
                free: Vec::new(),
                hand: 0,
                hits: 0,
                misses: 0,
            })
        };
        Self(Arc::new(Inner { shards: std::array::from_fn(shard), next_stream: AtomicU64::new(0) }))
    }

    /// How it has done so far.
    pub fn stats(&self) -> CacheStats {
        let mut stats = CacheStats { bytes: 0, pages: 0, hits: 0, misses: 0 };
        for shard in &self.0.shards {
            let shard = lock(shard);
            stats.bytes += shard.bytes;
            stats.pages += shard.places.len();
            stats.hits += shard.hits;
            stats.misses += shard.misses;
        }
        stats
    }

    /// A place in the cache for one more stream.
    pub(crate) fn member(&self) -> Member {
        let stream = self.0.next_stream.fetch_add(1, Ordering::Relaxed);
        Member { cache: self.clone(), stream, fetches: Mutex::default() }
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, Shard> {
        let [first, ..] = &self.0.shards;
        lock(self.0.shards.get(key.shard()).unwrap_or(first))
    }
}

impl Default for PageCache {
    /// 64 MiB.
    fn default() -> Self {
        Self::new(64 << 20)
    }
}

/// One stream's share of a cache. Its pages are left behind when it is dropped, and go as others need the room.
pub(crate) struct Member {
    cache: PageCache,
    stream: u64,
    fetches: Mutex<Fetches>,
}

/// Pages on their way. They live here, not with one of their callers: whoever waits for a page polls it on, and it goes with
/// the last of them.
#[derive(Default)]
struct Fetches {
    running: HashMap<u64, Fetch>,
}

type Fetch = Shared<BoxFuture<'static, Result<Bytes, Error>>>;

impl Member {
    /// Looks at a page that is held, under the shard's lock.
    pub(crate) fn try_with<T>(&self, page: u64, look: impl FnOnce(&Bytes) -> T) -> Option<T> {
        let key = self.key(page);
        let mut shard = self.cache.shard(key);
        shard.get(key).map(look)
    }

    /// The data of a page, fetched by `fetch` when it is not held. Of many that ask at once one fetches. It is held from
    /// then on when it is `whole_bytes` long: a page that is shorter still changes.
    pub(crate) async fn get_or_fetch(
        &self,
        page: u64,
        whole_bytes: usize,
        fetch: impl FnOnce() -> BoxFuture<'static, Result<Bytes, Error>>,
    ) -> Result<Bytes, Error> {
        if let Some(data) = self.try_with(page, Bytes::clone) {
            return Ok(data);
        }
        let running = lock(&self.fetches).running.entry(page).or_insert_with(|| fetch().shared()).clone();
        let mut caller = Caller { member: self, page, fetch: Some(running.clone()) };
        let result = running.await;
        let Some(running) = caller.fetch.take() else { return result };
        let mut fetches = lock(&self.fetches);
        // Only the fetch that is still noted may leave its page here; a cut has struck out what it concerns.
        if fetches.running.get(&page).is_some_and(|noted| noted.ptr_eq(&running)) {
            fetches.running.remove(&page);
            if let Ok(data) = &result
                && data.len() == whole_bytes
            {
                let key = self.key(page);
                self.cache.shard(key).insert(key, data.clone());
            }
        }
        result
    }

    /// Forgets the pages from `first` to before `end`, and what is on its way from `first` on.
    pub(crate) fn forget_from(&self, first: u64, end: u64) {
        let mut fetches = lock(&self.fetches);
        fetches.running.retain(|page, _| *page < first);
        for page in first..end {
            let key = self.key(page);
            self.cache.shard(key).remove(key);
        }
    }

    fn key(&self, page: u64) -> Key {
        Key { stream: self.stream, page }
    }
}

/// One who waits for a page. When the last of them is dropped the fetch goes too: nobody may ever ask for that page again,
/// and it would stay in memory beside the cache.
struct Caller<'a> {
    member: &'a Member,
    page: u64,
    fetch: Option<Fetch>,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        let Some(mine) = self.fetch.take() else { return };
        let mut fetches = lock(&self.member.fetches);
        let Some(noted) = fetches.running.get(&self.page).filter(|noted| noted.ptr_eq(&mine)) else { return };
        // This one, the one that was polled, and the one that is noted.
        let is_last = noted.strong_count().is_some_and(|count| count <= 3);
        let gone = if is_last { fetches.running.remove(&self.page) } else { None };
        drop(mine);
        drop(fetches);
        drop(gone);
    }
}

impl Shard {
    fn get(&mut self, key: Key) -> Option<&Bytes> {
        let found = self.places.get(&key).and_then(|place| self.slots.get_mut(*place)).and_then(Option::as_mut);
        let Some(held) = found else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        held.referenced = true;
        Some(&held.data)
    }

    fn insert(&mut self, key: Key, data: Bytes) {
        if data.len() > self.capacity_bytes || self.places.contains_key(&key) {
            return;
        }
        while self.bytes + data.len() > self.capacity_bytes {
            self.evict();
        }
        self.bytes += data.len();
        let held = Some(Held { key, data, referenced: false });
        let place = match self.free.pop() {
            Some(place) => {
                if let Some(slot) = self.slots.get_mut(place) {
                    *slot = held;
                }
                place
            }
            None => {
                self.slots.push(held);
                self.slots.len() - 1
            }
        };
        self.places.insert(key, place);
    }

    /// Takes out the next page the hand finds without the bit; the caller knows that there is one.
    fn evict(&mut self) {
        loop {
            self.hand = if self.hand + 1 < self.slots.len() { self.hand + 1 } else { 0 };
            match self.slots.get_mut(self.hand) {
                Some(Some(held)) if held.referenced => held.referenced = false,
                Some(Some(held)) => {
                    let key = held.key;
                    self.remove(key);
                    return;
                }
                Some(None) => {}
                None => return,
            }
        }
    }

    fn remove(&mut self, key: Key) {
        let Some(place) = self.places.remove(&key) else { return };
        if let Some(held) = self.slots.get_mut(place).and_then(Option::take) {
            self.bytes -= held.data.len();
            self.free.push(place);
        }
    }
}

impl fmt::Debug for PageCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PageCache").field(&self.stats()).finish()
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("stream", &self.stream).finish_non_exhaustive()
    }
}
