//! What can be done to the disk.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use blob_runtime::contract::{Ability, Counts, Edit, Harness};
use blob_runtime::{Error, Operation, Storage};

use super::{Disk, Flaw};

/// Everything a harness can do to a [`Disk`], as far as `able` says so.
pub(crate) struct DiskHarness {
    pub(crate) flaw: Flaw,
    pub(crate) able: fn(Ability) -> bool,
}

impl DiskHarness {
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
        Ok(Arc::new(Disk::new(self.flaw)))
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
