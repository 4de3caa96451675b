//! The exclusive right to write a partition.

use futures::FutureExt;

use super::case::{Case, Verdict, cases, noise, refused, shown};
use super::order::{Change, MOST_POLLS};
use crate::error::Error;

cases! {
    CLAIM "the second is refused, at once, and the first goes on" exclusive;
    CLAIM "asked for at the same time, one is let in" race;
    CLAIM "partitions are claimed each by itself" independent;
    CLAIM "a dropped claim is free again" freed;
    CLAIM "what is removed and made again stays claimed" survives_removal;
    CLAIM_DROP "after every number of polls" dropped;
    CLAIM_WAITS "for a change that was begun and dropped" waits;
}

/// A backend that queues the second writer would let it in later, on top of what the first one left.
async fn exclusive(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let claim = case.ends("claiming", storage.claim("claims")).await?;
    let claim = case.ok("claiming", claim)?;
    case.same("the partition", "claims", claim.partition())?;
    for _ in 0..3 {
        let second = case.ends("claiming what is claimed", storage.claim("claims")).await?;
        refused!(case, "claiming what is claimed", second, Error::Locked { what } if what.contains("claims"))?;
    }
    // The refused ones took nothing with them.
    let second = case.ends("claiming what is claimed", storage.claim("claims")).await?;
    refused!(case, "claiming what is claimed", second, Error::Locked { .. })?;
    // A claim keeps writers apart by agreement; its holder works as ever.
    let blob = case.durable(&storage, "claims", b"a", b"x").await?;
    case.content("a blob of the claimed partition", blob.as_ref(), b"x").await?;
    drop(claim);
    Ok(())
}

async fn race(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for _ in 0..4 {
        let claims = (0..5).map(|_| storage.claim("claims").boxed()).collect();
        let claims = case.together("claiming five times at once", claims).await?;
        let held = claims.iter().filter(|claim| claim.is_ok()).count();
        case.same("claims that are held", 1, held)?;
        for claim in claims.iter().filter(|claim| claim.is_err()) {
            refused!(case, "claiming five times at once", claim, Error::Locked { .. })?;
        }
    }
    Ok(())
}

async fn independent(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    let mut held = Vec::new();
    for partition in ["a", "b", "A", "a-", "aa"] {
        let claim = case.ends("claiming another partition", storage.claim(partition)).await?;
        held.push(case.ok("claiming another partition", claim)?);
    }
    drop(held.remove(1));
    let claim = case.ends("claiming the one that was dropped", storage.claim("b")).await?;
    drop(case.ok("claiming the one that was dropped", claim)?);
    let claim = case.ends("claiming one that is held", storage.claim("a")).await?;
    refused!(case, "claiming one that is held", claim, Error::Locked { .. })
}

async fn freed(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for round in 0..4 {
        let doing = format!("claiming, round {round}");
        let claim = case.ends(&doing, storage.claim("claims")).await?;
        let claim = case.ok(&doing, claim)?;
        let second = case.ends(&doing, storage.claim("claims")).await?;
        refused!(case, &doing, second, Error::Locked { .. })?;
        drop(claim);
    }
    Ok(())
}

async fn survives_removal(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    drop(case.durable(&storage, "claims", b"a", b"x").await?);
    let claim = case.ends("claiming", storage.claim("claims")).await?;
    let claim = case.ok("claiming", claim)?;
    let gone = case.ends("removing the claimed partition", storage.remove_partition("claims")).await?;
    case.ok("removing the claimed partition", gone)?;
    drop(case.durable(&storage, "claims", b"a", b"x").await?);
    let second = case.ends("claiming what is claimed", storage.claim("claims")).await?;
    refused!(case, "claiming what is claimed", second, Error::Locked { .. })?;
    drop(claim);
    Ok(())
}

/// A writer that gave up while it waited must not keep the next one out.
async fn dropped(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for polls in 0..MOST_POLLS {
        // With a change under way, the claim has something to wait for.
        let blob = case.open(&storage, "claims", b"a").await?;
        let write = Change::Write(0, noise(polls as u64, 9_000));
        case.polled("a dropped write", write.on(blob.as_ref()), polls).await?;
        let claim = case.polled("a dropped claim", storage.claim("claims"), polls).await?;
        let ended = claim.is_some();
        drop(claim);
        let doing = format!("claiming after a claim was dropped after {polls} polls");
        let claim = case.ends(&doing, storage.claim("claims")).await?;
        drop(case.ok(&doing, claim)?);
        if ended {
            break;
        }
    }
    Ok(())
}

/// A writer goes away while its write is still on the way. The next writer looks at the blob, and what it sees must
/// stay so: the write has landed by then, or never will.
async fn waits(case: &Case<'_>) -> Verdict {
    let storage = case.fresh().await?;
    for (at, change) in Change::kinds().into_iter().enumerate() {
        for polls in 0..MOST_POLLS {
            let name = format!("{at}-{polls}");
            let old = noise(at as u64, 8_000);
            let first = case.ends("claiming", storage.claim("claims")).await?;
            let first = case.ok("claiming", first)?;
            let blob = case.durable(&storage, "claims", name.as_bytes(), &old).await?;
            let ended = case.polled("a dropped change", change.on(blob.as_ref()), polls).await?.is_some();
            drop(first);
            let second = case.ends("claiming after a dropped change", storage.claim("claims")).await?;
            let second = case.ok("claiming after a dropped change", second)?;
            let doing = format!("{change:?} dropped after {polls} polls");
            let seen = case.all(&doing, blob.as_ref()).await?;
            let new = change.of(&old);
            case.holds(&doing, "the old content or the new", &shown(&seen.len()), seen == old || seen == new)?;
            case.sync(blob.as_ref()).await?;
            case.content(&format!("{doing}, after the next writer has looked"), blob.as_ref(), &seen).await?;
            drop(second);
            if ended {
                break;
            }
        }
    }
    Ok(())
}
