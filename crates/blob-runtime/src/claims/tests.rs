use super::*;
use futures::FutureExt;
use futures::executor::block_on;

#[test]
fn one_claim_a_partition() {
    let claims = Claims::new();
    let first = block_on(claims.claim("a")).unwrap();
    assert_eq!(first.partition(), "a");
    match block_on(claims.claim("a")) {
        Err(Error::Locked { what }) => assert_eq!(&*what, "partition a"),
        other => panic!("{other:?}"),
    }
    let _other = block_on(claims.claim("b")).unwrap();
    drop(first);
    drop(block_on(claims.claim("a")).unwrap());
    assert_eq!(format!("{claims:?}"), r#"{"b": (true, 0)}"#);
}

/// A job of an earlier holder still runs: the new claim waits for its end, and keeps others out meanwhile.
#[test]
fn a_claim_waits_for_what_had_begun() {
    let claims = Claims::new();
    let partition: Arc<str> = "a".into();
    let (one, two) = (claims.begin(&partition), claims.begin(&partition));
    let mut claim = Box::pin(claims.claim("a"));
    assert!((&mut claim).now_or_never().is_none());
    assert!(matches!(block_on(claims.claim("a")), Err(Error::Locked { .. })));
    drop(one);
    assert!((&mut claim).now_or_never().is_none());
    drop(two);
    let held = claim.now_or_never().unwrap().unwrap();
    drop(held);

    let job = claims.begin(&partition);
    assert!(claims.claim("a").now_or_never().is_none(), "given up at once");
    drop(job);
    drop(block_on(claims.claim("a")).unwrap());
    assert_eq!(format!("{claims:?}"), "{}");
}
