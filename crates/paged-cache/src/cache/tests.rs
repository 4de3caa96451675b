use super::*;
use futures::channel::oneshot;
use futures::executor::block_on;

fn page(byte: u8) -> Bytes {
    Bytes::from(vec![byte; 100])
}

fn fetch(byte: u8) -> impl FnOnce() -> BoxFuture<'static, Result<Bytes, Error>> {
    move || async move { Ok(page(byte)) }.boxed()
}

fn none() -> BoxFuture<'static, Result<Bytes, Error>> {
    async { panic!("it is held") }.boxed()
}

#[test]
fn a_page_is_fetched_once_and_then_held() {
    let cache = PageCache::new(1 << 20);
    let (a, b) = (cache.member(), cache.member());
    assert_eq!(block_on(a.get_or_fetch(7, 100, fetch(1))).unwrap(), page(1));
    assert_eq!(block_on(a.get_or_fetch(7, 100, none)).unwrap(), page(1));
    assert_eq!(b.try_with(7, Bytes::clone), None, "another stream's");
    assert_eq!(a.try_with(7, |data| data.len()), Some(100));
    assert_eq!(cache.stats(), CacheStats { bytes: 100, pages: 1, hits: 2, misses: 2 });
}

#[test]
fn many_who_ask_at_once_share_one_fetch_and_its_failure_is_not_kept() {
    let cache = PageCache::new(1 << 20);
    let member = cache.member();
    let (answer, wait) = oneshot::channel::<Result<Bytes, Error>>();
    let mut first = Box::pin(member.get_or_fetch(1, 100, || async { wait.await.unwrap() }.boxed()));
    let mut second = Box::pin(member.get_or_fetch(1, 100, none));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    answer.send(Err(Error::InvalidPageSize { page_bytes: 3 })).unwrap();
    assert!(matches!(second.now_or_never(), Some(Err(Error::InvalidPageSize { page_bytes: 3 }))));
    assert_eq!(block_on(member.get_or_fetch(1, 100, fetch(2))).unwrap(), page(2));
}

/// All who asked for a page are gone before it has come: it does not wait, outside of the cache's bound, for somebody who may
/// never ask. While one is left it goes on for him.
#[test]
fn a_fetch_goes_with_the_last_who_waits_for_it() {
    let cache = PageCache::new(1 << 20);
    let member = cache.member();
    for number in 0..50 {
        let mut left = Box::pin(member.get_or_fetch(number, 100, || futures::future::pending().boxed()));
        assert!((&mut left).now_or_never().is_none());
    }
    assert!(lock(&member.fetches).running.is_empty());
    let (answer, wait) = oneshot::channel::<Result<Bytes, Error>>();
    let mut first = Box::pin(member.get_or_fetch(1, 100, || async { wait.await.unwrap() }.boxed()));
    let mut second = Box::pin(member.get_or_fetch(1, 100, none));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    drop(second);
    answer.send(Ok(page(9))).unwrap();
    assert_eq!(first.now_or_never().unwrap().unwrap(), page(9));
    assert_eq!(block_on(member.get_or_fetch(1, 100, none)).unwrap(), page(9));
}

/// A page is on its way while its stream is cut: what arrives is handed to who asked, and not kept.
#[test]
fn a_fetch_that_a_cut_overtakes_leaves_nothing_behind() {
    let cache = PageCache::new(1 << 20);
    let member = cache.member();
    for page_number in [4, 5, 6] {
        block_on(member.get_or_fetch(page_number, 100, fetch(0))).unwrap();
    }
    let (answer, wait) = oneshot::channel::<Result<Bytes, Error>>();
    let mut late = Box::pin(member.get_or_fetch(9, 100, || async { wait.await.unwrap() }.boxed()));
    assert!((&mut late).now_or_never().is_none());
    member.forget_from(5, 10);
    answer.send(Ok(page(9))).unwrap();
    assert_eq!(late.now_or_never().unwrap().unwrap(), page(9));
    let held: Vec<bool> = [4, 5, 6, 9].iter().map(|number| member.try_with(*number, |_| ()).is_some()).collect();
    assert_eq!(held, [true, false, false, false]);
    assert_eq!(cache.stats().bytes, 100);
}

/// A page that is read while the stream is cut and grows again may be the last one, and is not full: kept, it would hide
/// what comes to it later.
#[test]
fn a_page_that_is_not_full_is_not_held() {
    let cache = PageCache::new(1 << 20);
    let member = cache.member();
    assert_eq!(block_on(member.get_or_fetch(3, 101, fetch(1))).unwrap(), page(1));
    assert_eq!(member.try_with(3, Bytes::clone), None);
    assert_eq!(block_on(member.get_or_fetch(3, 100, fetch(2))).unwrap(), page(2));
    assert_eq!(member.try_with(3, Bytes::clone), Some(page(2)));
}

/// The hand passes over a page that was used since it came by last.
#[test]
fn what_is_used_stays_and_the_bound_holds() {
    let cache = PageCache::new(SHARDS * 1000);
    let member = cache.member();
    block_on(member.get_or_fetch(0, 100, fetch(7))).unwrap();
    for number in 1..2_000 {
        assert!(member.try_with(0, |_| ()).is_some(), "{number}");
        block_on(member.get_or_fetch(number, 100, fetch(1))).unwrap();
        assert!(cache.stats().bytes <= SHARDS * 1000);
    }
    assert!(cache.stats().pages > SHARDS * 5, "{:?}", cache.stats());
    let nothing = PageCache::new(0);
    let member = nothing.member();
    block_on(member.get_or_fetch(0, 100, fetch(7))).unwrap();
    assert_eq!(nothing.stats().pages, 0);
}

#[test]
fn keys_spread_over_the_shards() {
    let mut counts = [0; SHARDS];
    for stream in 0..8 {
        for page in 0..1_000 {
            counts[Key { stream, page }.shard()] += 1;
        }
    }
    assert!(counts.iter().all(|count| (350..650).contains(count)), "{counts:?}");
}
