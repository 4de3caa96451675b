//! What can be done to the disk.

use std::any::Any;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use async_trait::async_trait;
use blob_runtime::contract::{Ability, Counts, Edit, Harness};
use blob_runtime::{Error, Operation, Storage};

use super::{Disk, Flaw};

/// Everything a harness can do to a [`Disk`], as far as `able` says so.
pub(crate) struct DiskHarness {
    flaw: Flaw,
    able: fn(Ability) -> bool,
    made: AtomicUsize,
}

impl DiskHarness {
    pub(crate) fn new(flaw: Flaw, able: fn(Ability) -> bool) -> Self {
        Self { flaw, able, made: AtomicUsize::new(0) }
    }

    /// How many disks were made.
    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::Relaxed)
    }

    fn again(
        &self,
        ability: Ability,
        storage: &Arc<dyn Storage>,
        next: impl FnOnce(&Disk) -> Disk,
    ) -> Option<Result<Arc<dyn Storage>, Error>> {
        (self.able)(ability).then(|| Ok(Arc::new(next(disk(storage))) as Arc<dyn Storage>))
    }
}

/// The disk behind the trait object.
fn disk(storage: &Arc<dyn Storage>) -> &Disk {
    let any: &dyn Any = storage.as_ref();
    any.downcast_ref().expect("storage of this harness")
}

#[async_trait]
impl Harness for DiskHarness {
    async fn fresh(&self) -> Result<Arc<dyn Storage>, Error> {
        self.made.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Disk::new(self.flaw)))
    }

    /// A turn of the executor is a turn of the disk.
    async fn pass_time(&self) -> bool {
        let mut turns = 0;
        poll_fn(|cx| {
            turns += 1;
            cx.waker().wake_by_ref();
            if turns > 1 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        true
    }

    async fn reopen(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        self.again(Ability::Reopen, &storage, |disk| {
            disk.0.finish();
            disk.restart(false, false)
        })
    }

    async fn read_only(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        self.again(Ability::ReadOnly, &storage, |disk| {
            disk.0.finish();
            disk.restart(false, true)
        })
    }

    async fn power_cut(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        self.again(Ability::PowerCut, &storage, |disk| disk.restart(true, false))
    }

    async fn kill(&self, storage: Arc<dyn Storage>) -> Option<Result<Arc<dyn Storage>, Error>> {
        self.again(Ability::Kill, &storage, |disk| disk.restart(false, false))
    }

    fn fail_next(&self, storage: &Arc<dyn Storage>, operation: Operation) -> bool {
        if !(self.able)(Ability::FailNext(operation)) {
            return false;
        }
        disk(storage).0.lock().faults.push(operation);
        true
    }

    fn counts(&self, storage: &Arc<dyn Storage>) -> Option<Counts> {
        (self.able)(Ability::Counts).then(|| std::mem::take(&mut disk(storage).0.lock().counts))
    }

    async fn edit(
        &self,
        storage: Arc<dyn Storage>,
        partition: &str,
        edit: &mut Edit<'_>,
    ) -> Option<Result<Arc<dyn Storage>, Error>> {
        self.again(Ability::Edit, &storage, |disk| {
            disk.0.finish();
            disk.edited(partition, edit)
        })
    }
}
