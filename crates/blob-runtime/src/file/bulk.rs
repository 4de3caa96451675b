//! Syncing many blobs at once.

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;

use super::blob::{FileBlob, Held, Job};
use super::inner::{Head, Unsynced};
use super::jobs::Io;
use super::options::BulkSync;
use super::partition::Partition;
use super::root::Root;
use crate::claims::Activity;
use crate::error::{Error, Operation};
use crate::header::HeaderState;
use crate::storage::Blob;
use crate::sync::{Mutex, lock};

#[cfg(test)]
mod tests;

/// How many files are synced side by side.
const LANES: usize = 16;

type Results = Vec<Option<Result<(), Error>>>;

/// A place in the answer, and what goes there.
type Answer<T> = (usize, Result<T, Error>);

/// A blob whose turn it is.
struct Task {
    /// Its place in the answer.
    at: usize,
    job: Job,
}

/// A blob whose file is durable, and perhaps not its name.
struct Done {
    at: usize,
    held: Held,
}

/// Syncs blobs; see [`Storage::sync_many`](crate::Storage::sync_many).
///
/// Blobs that nobody is changing are done together. The others are synced each by itself, when its turn comes: nobody
/// holds one blob's turn while waiting for another's.
pub(super) async fn sync_many(root: &Arc<Root>, blobs: &[Arc<dyn Blob>]) -> Vec<Result<(), Error>> {
    let mut results: Results = vec![None; blobs.len()];
    let mut tasks = Vec::new();
    let mut alone = Vec::new();
    let mut first = HashMap::new();
    let mut same = Vec::new();
    for (at, (blob, result)) in blobs.iter().zip(&mut results).enumerate() {
        let any: &dyn Any = blob.as_ref();
        let own = any.downcast_ref::<FileBlob>().filter(|own| Arc::ptr_eq(&own.held.root, root));
        let Some(own) = own else {
            alone.push(at);
            continue;
        };
        if let Err(error) = own.check_writable(Operation::Sync) {
            *result = Some(Err(error));
            continue;
        }
        match first.entry(Arc::as_ptr(&own.held.inner).addr()) {
            Entry::Occupied(first) => same.push((at, *first.get())),
            Entry::Vacant(entry) => {
                entry.insert(at);
                match own.held.inner.queue.try_enter() {
                    Some(ticket) => tasks.push(Task { at, job: Job::new(own, ticket) }),
                    None => alone.push(at),
                }
            }
        }
    }
    let alone = async {
        let syncs = alone.iter().filter_map(|at| blobs.get(*at).map(|blob| async move { (*at, blob.sync().await) }));
        // All of them take their place in their queues now.
        syncs.collect::<FuturesUnordered<_>>().collect::<Vec<_>>().await
    };
    let (together, alone) = futures::join!(sync_together(root, tasks), alone);
    for (at, result) in together.into_iter().chain(alone) {
        put(&mut results, at, result);
    }
    for (at, first) in same {
        if let Some(result) = results.get(first).cloned().flatten() {
            put(&mut results, at, result);
        }
    }
    // Every place has been filled: each blob was either a task, alone, refused, or the same as another.
    results.into_iter().map(|result| result.unwrap_or(Err(Error::Closed))).collect()
}

fn put(results: &mut Results, at: usize, result: Result<(), Error>) {
    if let Some(place) = results.get_mut(at) {
        *place = Some(result);
    }
}

/// Syncs the files, then each directory once.
async fn sync_together(root: &Arc<Root>, tasks: Vec<Task>) -> Vec<Answer<()>> {
    if tasks.is_empty() {
        return Vec::new();
    }
    let mut results = Vec::with_capacity(tasks.len());
    let tasks = match root.bulk_sync {
        BulkSync::FileSystem { threshold } if tasks.len() >= threshold => {
            let all = Arc::clone(root);
            let (left, done) = root.io.run(move || whole_file_system(&all, tasks, threshold)).await;
            results.extend(done);
            left
        }
        _ => tasks,
    };
    let lanes = match root.io {
        Io::Inline => 1,
        Io::Pool => LANES.min(tasks.len()),
    };
    let queue = Arc::new(Mutex::new(tasks.into_iter()));
    let lanes = (0..lanes).map(|_| {
        let queue = Arc::clone(&queue);
        root.io.run(move || lane(&queue))
    });
    let mut by_partition: HashMap<Arc<str>, Vec<Done>> = HashMap::new();
    for (at, result) in join_all(lanes).await.into_iter().flatten() {
        match result {
            Ok(held) => {
                let partition = Arc::clone(&held.inner.partition.name);
                by_partition.entry(partition).or_default().push(Done { at, held });
            }
            Err(error) => results.push((at, Err(error))),
        }
    }
    let directories = by_partition.into_values().map(|done| sync_names(root, done));
    results.extend(join_all(directories).await.into_iter().flatten());
    results
}

/// Takes blobs until none is left and makes their files durable.
fn lane(queue: &Mutex<std::vec::IntoIter<Task>>) -> Vec<Answer<Held>> {
    let mut results = Vec::new();
    loop {
        // By itself, so that the lock is free again while the file is synced.
        let next = lock(queue).next();
        let Some(Task { at, job }) = next else { return results };
        let result = job.change(|inner, root, changing, header| inner.sync_file(root, changing, header));
        let held = job.into_held();
        results.push((at, result.map(|()| held)));
    }
}

/// Makes the names of blobs of one partition durable.
async fn sync_names(root: &Arc<Root>, done: Vec<Done>) -> Vec<Answer<()>> {
    let is_durable = |done: &Done| {
        let partition = &done.held.inner.partition;
        partition.dir.is_durable(done.held.inner.generation)
            && root.entries.is_durable(partition.made.load(Ordering::Acquire))
    };
    if done.iter().all(is_durable) {
        return done.into_iter().map(|done| (done.at, Ok(()))).collect();
    }
    let Some(partition) = done.first().map(|done| Arc::clone(&done.held.inner.partition)) else { return Vec::new() };
    let activity = root.claims.begin(&partition.name);
    root.io.run(move || sync_names_now(&partition, done, activity)).await
}

fn sync_names_now(partition: &Partition, done: Vec<Done>, activity: Activity) -> Vec<Answer<()>> {
    let Some(root) = done.first().map(|done| Arc::clone(&done.held.root)) else { return Vec::new() };
    let latest = done.iter().map(|done| done.held.inner.generation).max().unwrap_or_default();
    let synced = root.sync_names(partition, latest);
    let finish = |Done { at, held }| {
        if let Err(error) = &synced {
            held.inner.sync_failed(error);
        }
        (at, synced.clone())
    };
    let results = done.into_iter().map(finish).collect();
    drop((activity, root));
    results
}

/// One `syncfs` for all blobs with unsynced changes, then one `fdatasync` of a file that was written: where there was
/// nothing for the file system's journal to do, that still empties the drive's cache. Answers the blobs that are left
/// to be synced one by one, and what became of the others.
fn whole_file_system(root: &Arc<Root>, tasks: Vec<Task>, threshold: usize) -> (Vec<Task>, Vec<Answer<()>>) {
    let device = root.device();
    let suits = |task: &Task| {
        let inner = task.job.inner();
        // Where a directory's sync has failed nothing may be taken for durable any more, whatever another sync answers.
        let failed = || inner.partition.dir.has_failed() || root.entries.has_failed();
        device == Some(inner.identity.device)
            && !failed()
            && inner.begin().is_ok_and(|changing| changing.unsynced != Unsynced::Nothing)
    };
    let (suited, mut left): (Vec<_>, Vec<_>) = tasks.into_iter().partition(suits);
    if suited.len() < threshold || !root.has_trusted_syncfs() {
        left.extend(suited);
        return (left, Vec::new());
    }
    let mut results = Vec::with_capacity(suited.len());
    let mut covered = Vec::with_capacity(suited.len());
    for Task { at, job } in suited {
        let prepared = match job.inner().head() {
            Head { state: HeaderState::New, .. } => {
                job.change(|inner, root, changing, header| inner.write_header(root, changing, header))
            }
            _ => Ok(()),
        };
        match prepared {
            Ok(()) => covered.push(Task { at, job }),
            Err(error) => results.push((at, Err(error))),
        }
    }
    let partitions: HashMap<_, _> = covered
        .iter()
        .map(|task| &task.job.inner().partition)
        .map(|partition| (Arc::clone(&partition.name), (Arc::clone(partition), partition.dir.latest())))
        .collect();
    let root_generation = root.entries.latest();
    let outcome = sync_file_system(root, &covered);
    match &outcome {
        Ok(()) => {
            partitions.values().for_each(|(partition, generation)| partition.dir.covered(*generation));
            root.entries.covered(root_generation);
        }
        Err(error) if error.is_sync_failure() => {
            partitions.values().for_each(|(partition, _)| partition.dir.fail(error.clone()));
            root.entries.fail(error.clone());
        }
        Err(_) => {}
    }
    for Task { at, job } in covered {
        let result = match &outcome {
            Ok(()) => job.change(|_, _, changing, _| {
                changing.unsynced = Unsynced::Nothing;
                Ok(())
            }),
            Err(error) => {
                job.inner().sync_failed(error);
                Err(error.clone())
            }
        };
        results.push((at, result));
    }
    (left, results)
}

#[cfg(target_os = "linux")]
fn sync_file_system(root: &Arc<Root>, covered: &[Task]) -> Result<(), Error> {
    use std::os::fd::AsFd;

    let path = || root.path.clone();
    root.sys
        .syncfs(root.dir.as_fd(), path)
        .map_err(|source| Error::io(Operation::Sync, root.target(), None, source))?;
    let written = |task: &&Task| task.job.inner().begin().is_ok_and(|changing| changing.unsynced == Unsynced::Writes);
    match covered.iter().find(written).or(covered.first()) {
        Some(task) => task.job.change(|inner, root, changing, _| inner.sync_written(root, changing)),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(_root: &Arc<Root>, _covered: &[Task]) -> Result<(), Error> {
    // `has_trusted_syncfs` has said no.
    Ok(())
}

impl Root {
    /// The device the root is on.
    fn device(&self) -> Option<u64> {
        use std::os::unix::fs::MetadataExt;
        self.dir.metadata().ok().map(|found| found.dev())
    }

    /// Whether `syncfs` reports every failed write-back here: Linux 5.17 or later, on a file system that is known to.
    #[cfg(target_os = "linux")]
    fn has_trusted_syncfs(&self) -> bool {
        /// `statfs(2)`.
        const TRUSTED: [i128; 3] = [0xEF53 /* ext4 */, 0x5846_5342 /* xfs */, 0x9123_683E /* btrfs */];
        // 32 bits, which some platforms widen with their sign.
        let kind = |found: rustix::fs::StatFs| i128::from(found.f_type) & 0xFFFF_FFFF;
        let known = rustix::fs::fstatfs(&self.dir).is_ok_and(|found| TRUSTED.contains(&kind(found)));
        let system = rustix::system::uname();
        known && system.release().to_str().is_ok_and(|release| is_at_least(release, (5, 17)))
    }

    #[cfg(not(target_os = "linux"))]
    fn has_trusted_syncfs(&self) -> bool {
        false
    }
}

/// Whether a kernel's release, like `6.1.0-13-amd64`, is this version or a later one.
#[cfg(target_os = "linux")]
fn is_at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return false };
    (major, minor) >= wanted
}
