//! Backends that are wrong on purpose: each must fail the suite, with the promise that it breaks.

use std::collections::BTreeSet;
use std::sync::Arc;

use blob_runtime::contract::{self, Ability, Violation};
use futures::executor::block_on;

use self::memory::{Flaw, Wrong};
use crate::disk::{DiskHarness, Flaw as DiskFlaw};

mod memory;

fn violation(flaw: Flaw) -> Violation {
    match block_on(contract::run(|| Arc::new(Wrong::new(flaw)))) {
        Err(violation) => violation,
        Ok(report) => panic!("{flaw:?} passes:\n{report}"),
    }
}

fn disk_violation(flaw: DiskFlaw, able: fn(Ability) -> bool) -> Violation {
    match block_on(contract::run_on(&DiskHarness::new(flaw, able))) {
        Err(violation) => violation,
        Ok(report) => panic!("{flaw:?} passes:\n{report}"),
    }
}

/// One test for each: the flaw, the promise it must be caught by, and words of what was found.
macro_rules! caught {
    ($all:ident by $run:expr; $($name:ident: $flaw:expr => $promise:literal, $found:literal;)*) => {
        /// The promises that are broken here.
        pub(super) const $all: &[&str] = &[$($promise),*];

        $(
        #[test]
        fn $name() {
            let violation = ($run)($flaw);
            assert_eq!(violation.promise.id, $promise, "{violation}");
            assert!(violation.to_string().contains($found), "{violation}");
        }
        )*
    };
}

caught! { OF_CALLS by violation;
    loses_order: Flaw::LosesOrder => "order", "changes at once";
    dropped_lands_late: Flaw::DroppedLandsLate => "drop.after", "after a sync";
    begins_unpolled: Flaw::BeginsUnpolled => "drop.before", "never polled";
    dropped_wedges: Flaw::DroppedWedges => "drop.after", "still waiting after";
    dropped_removal_lands_late: Flaw::DroppedRemovalLandsLate => "drop.storage", "a removal dropped after 1 polls";
    zeroes_first: Flaw::ZeroesFirst => "order.overlap", "other bytes";
    short_read: Flaw::ShortRead => "read.whole", "expected 4096 bytes, found 4095 bytes";
    short_at_the_end: Flaw::ShortAtTheEnd => "read.whole", "reading 1 byte of an empty blob";
    other_error_at_the_end: Flaw::OtherErrorAtTheEnd => "read.whole", "Closed";
    stale_try_read: Flaw::StaleTryRead => "read.now", "reading all without blocking";
    stops_at_an_empty_part: Flaw::StopsAtAnEmptyPart => "write.parts", "writing parts cut at";
    stops_at_1024_parts: Flaw::StopsAt1024Parts => "write.parts", "2,500 parts";
    dirty_gap: Flaw::DirtyGap => "write.gap", "0x01 at 0";
    write_of_nothing_extends: Flaw::WriteOfNothingExtends => "write.nothing", "writing no bytes";
    wraps: Flaw::Wraps => "write.limit", "Ok(())";
    resize_keeps_bytes: Flaw::ResizeKeepsBytes => "resize", "regrown";
    old_length: Flaw::OldLength => "len", "expected 5000 bytes, found 0 bytes";
    write_sync_only_syncs: Flaw::WriteSyncOnlySyncs => "write_sync", "writing and syncing 100 bytes at 0";
    header_truncates: Flaw::HeaderTruncates => "write_header", "after writing the header";
    ignores_claims: Flaw::IgnoresClaims => "claim", "claiming what is claimed";
    claim_waits: Flaw::ClaimWaits => "claim", "still waiting after";
    one_claim: Flaw::OneClaim => "claim", "claiming another partition";
    claim_stays: Flaw::ClaimStays => "claim", "Locked";
    any_partition: Flaw::AnyPartition => "name.partition", "claim in partition \"\"";
    any_name: Flaw::AnyName => "name.blob", "opening a name of 0 bytes";
    scan_unsorted: Flaw::ScanUnsorted => "scan", "sorted, each once";
    scan_twice: Flaw::ScanTwice => "scan", "sorted, each once";
    scan_hides_new: Flaw::ScanHidesNew => "name.blob", "names after that";
    remove_minds: Flaw::RemoveMinds => "remove", "NotFound";
    removed_works_on: Flaw::RemovedWorksOn => "remove.handles", "read_at of a removed blob";
    remove_partition_leaves_one: Flaw::RemovePartitionLeavesOne => "remove.handles", "of a removed blob";
    ignores_format: Flaw::IgnoresFormat => "open.format", "another kind";
    ignores_unit: Flaw::IgnoresUnit => "open.format", "another unit";
    always_makes: Flaw::AlwaysMakes => "open.missing", "opening a missing blob";
    same_salt: Flaw::SameSalt => "open.life", "salts of the lives";
    always_sound: Flaw::AlwaysSound => "open.state", "a new blob";
    not_random: Flaw::NotRandom => "random", "expected 64, found 1";
    sync_many_answers_for_one_less: Flaw::SyncManyAnswersForOneLess => "sync_many.order", "found 1 answers";
    sync_many_backwards: Flaw::SyncManyBackwards => "sync_many.order", "of the order";
    open_truncates: Flaw::OpenTruncates => "open.create", "opened again";
    draws_its_own_salt: Flaw::DrawsItsOwnSalt => "open.header", "salt that was asked for";
    miscounts_the_end: Flaw::MiscountsTheEnd => "read.bounds", "the numbers named";
    dropped_open_wedges: Flaw::DroppedOpenWedges => "drop.open", "still waiting after";
    removes_by_prefix: Flaw::RemovesByPrefix => "remove.partition", "names beside it";
    dropped_claim_stays: Flaw::DroppedClaimStays => "claim.drop", "after a claim was dropped after 1 polls";
}

fn all(_: Ability) -> bool {
    true
}

/// As far as files can be tested without a machine to switch off.
fn counting(ability: Ability) -> bool {
    matches!(ability, Ability::Counts | Ability::Reopen)
}

caught! { OF_THE_DISK by |flaw| disk_violation(flaw, all);
    forgets_directory: DiskFlaw::ForgetsDirectory => "durable.new", "NotFound";
    forgets_root: DiskFlaw::ForgetsRoot => "durable.new", "NotFound";
    forgets_length: DiskFlaw::ForgetsLength => "durable.new", "the end at 0";
    forgets_header: DiskFlaw::ForgetsHeader => "durable.new", "Bad(Zero)";
    write_sync_forgets_sync: DiskFlaw::WriteSyncForgetsSync => "write_sync", "NotFound";
    forgets_one_of_many: DiskFlaw::ForgetsOneOfMany => "sync_many", "blob 8 of a sync of many";
    syncs_at_open: DiskFlaw::SyncsAtOpen => "open.cost", "syncs of 3 new blobs";
    forgets_removal: DiskFlaw::ForgetsRemoval => "remove.durable", "names";
    syncs_each_removal: DiskFlaw::SyncsEachRemoval => "remove.durable", "one sync of the directory";
    forgets_failed_sync: DiskFlaw::ForgetsFailedSync => "failure.sync", "sync after a failed sync";
    poisons_one_handle: DiskFlaw::PoisonsOneHandle => "failure.sync", "sync after a failed sync";
    never_heals: DiskFlaw::NeverHeals => "failure.reopen", "Poisoned";
    forgets_failed_directory: DiskFlaw::ForgetsFailedDirectory => "failure.directory", "creating after";
    failed_write_hurts: DiskFlaw::FailedWriteHurts => "failure.change", "a failed write";
    failed_list_is_empty: DiskFlaw::FailedListIsEmpty => "scan.error", "found []";
    failed_open_is_missing: DiskFlaw::FailedOpenIsMissing => "open.io", "an open that met no fault";
    failed_read_is_short: DiskFlaw::FailedReadIsShort => "failure.read", "a failed read";
    leaves_bad_header: DiskFlaw::LeavesBadHeader => "open.state", "after the first change";
    takes_first_twin: DiskFlaw::TakesFirstTwin => "open.twins", "twins";
    removes_foreign: DiskFlaw::RemovesForeign => "remove.foreign", "foreign files";
    disk_dropped_lands_late: DiskFlaw::DroppedLandsLate => "drop.after", "dropped after";
    newest_first: DiskFlaw::NewestFirst => "order", "changes at once";
    claim_does_not_wait: DiskFlaw::ClaimDoesNotWait => "claim.waits", "after the next writer has looked";
    claim_survives_kill: DiskFlaw::ClaimSurvivesKill => "durable", "claiming after a kill";
    read_only_writes: DiskFlaw::ReadOnlyWrites => "read_only", "claiming";
    overlooks_directory: DiskFlaw::OverlooksDirectory => "open.unexpected", "opening a directory";
    header_with_tail: DiskFlaw::HeaderWithTail => "name.file", "the header's bytes";
    loss_takes_neighbours: DiskFlaw::LossTakesNeighbours => "durable.loss", "not synced, after a power cut";
    blurs_write_and_sync: DiskFlaw::BlursWriteAndSync => "failure.kind", "the write of a failed write_at_sync";
    changes_go_on: DiskFlaw::ChangesGoOn => "change_all", "the third cannot be made";
    changes_sync_once: DiskFlaw::ChangesSyncOnce => "change_all", "after a power cut";
}

/// A promise whose case no wrong backend fails may as well not be checked: this table is whole.
#[test]
fn every_promise_is_broken_by_somebody() {
    let broken: BTreeSet<_> = [OF_CALLS, OF_THE_DISK, by_counting::OF_COUNTS].concat().into_iter().collect();
    let promises: BTreeSet<_> = contract::PROMISES.iter().map(|promise| promise.id).collect();
    assert_eq!(broken, promises);
}

mod by_counting {
    use super::*;

    caught! { OF_COUNTS by |flaw| disk_violation(flaw, counting);
        forgets_directory: DiskFlaw::ForgetsDirectory => "durable.new", "directories: 0";
        forgets_root: DiskFlaw::ForgetsRoot => "durable.new", "directories: 1";
        write_sync_forgets_sync: DiskFlaw::WriteSyncForgetsSync => "write_sync", "files: 0";
        forgets_one_of_many: DiskFlaw::ForgetsOneOfMany => "sync_many", "files: 8";
        syncs_at_open: DiskFlaw::SyncsAtOpen => "open.cost", "syncs of 3 new blobs";
        forgets_removal: DiskFlaw::ForgetsRemoval => "remove.durable", "directories: 0";
        syncs_each_removal: DiskFlaw::SyncsEachRemoval => "remove.durable", "directories: 6";
        changes_sync_once: DiskFlaw::ChangesSyncOnce => "change_all", "files: 1";
    }
}
