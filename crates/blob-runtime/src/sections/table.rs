//! Section number to what is kept for it: read without a lock, changed by copying a small part.
//!
//! A sorted row of sorted chunks. A look-up is two binary searches behind one atomic load; a change copies one chunk and
//! the row, so that making the next of 100,000 sections costs microseconds, not a copy of all. Most of what is asked for is
//! the newest section: that is found without a search.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::queue::{Queue, Ticket};
use crate::sync::{Mutex, lock};

#[cfg(test)]
mod tests;

/// Sections in a chunk, at most.
const CHUNK: usize = 128;

/// What is kept for each section that exists. Reads take no lock.
pub struct Table<T> {
    rows: ArcSwap<Rows<T>>,
    /// Held while the rows are changed.
    change: Mutex<()>,
}

struct Rows<T> {
    chunks: Arc<Vec<Arc<Vec<Row<T>>>>>,
    len: usize,
    newest: Option<Newest<T>>,
}

/// The highest section, and what is kept for it when it is open: the same as in its row.
struct Newest<T> {
    section: u64,
    open: Option<Arc<T>>,
}

struct Row<T> {
    section: u64,
    entry: Arc<Entry<T>>,
}

struct Entry<T> {
    /// Lets one open the section at a time.
    queue: Queue,
    open: ArcSwapOption<T>,
    /// Nobody has made the section yet. Known here, not by whoever put it into the table: another one may be the first in
    /// line.
    is_new: AtomicBool,
}

impl<T> Entry<T> {
    fn is_kept(&self, keep: impl Fn(Option<&T>) -> bool) -> bool {
        !self.is_new.load(Ordering::Acquire) && keep(self.open.load().as_deref())
    }
}

impl<T> Clone for Row<T> {
    fn clone(&self) -> Self {
        Self { section: self.section, entry: Arc::clone(&self.entry) }
    }
}

impl<T> Rows<T> {
    fn new(chunks: Arc<Vec<Arc<Vec<Row<T>>>>>, len: usize) -> Self {
        let newest = chunks.last().and_then(|chunk| chunk.last());
        let newest = newest.map(|row| Newest { section: row.section, open: row.entry.open.load_full() });
        Self { chunks, len, newest }
    }

    fn newest(&self, section: u64) -> Option<&Newest<T>> {
        self.newest.as_ref().filter(|newest| newest.section == section)
    }

    /// The chunk a section is or would be in.
    fn chunk_of(&self, section: u64) -> usize {
        self.chunks.partition_point(|chunk| chunk.first().is_some_and(|row| row.section <= section)).saturating_sub(1)
    }

    #[inline]
    fn find(&self, section: u64) -> Option<&Arc<Entry<T>>> {
        let chunk = self.chunks.get(self.chunk_of(section))?;
        let at = chunk.binary_search_by_key(&section, |row| row.section).ok()?;
        chunk.get(at).map(|row| &row.entry)
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &Row<T>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: ArcSwap::from_pointee(Rows::new(Arc::default(), 0)), change: Mutex::new(()) }
    }
}

impl<T: Send + Sync + 'static> Table<T> {
    /// No sections.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is kept for a section that is open.
    pub fn get(&self, section: u64) -> Option<Arc<T>> {
        let rows = self.rows.load();
        match rows.newest(section) {
            Some(newest) => newest.open.clone(),
            None => rows.find(section)?.open.load_full(),
        }
    }

    /// Looks at what is kept for a section that is open. Cheaper than [`get`](Self::get): nobody counts who has it.
    #[inline]
    pub fn look<R>(&self, section: u64, look: impl FnOnce(&T) -> Option<R>) -> Option<R> {
        let rows = self.rows.load();
        match rows.newest(section) {
            Some(newest) => look(newest.open.as_deref()?),
            None => look(rows.find(section)?.open.load().as_deref()?),
        }
    }

    /// Whether the section exists, open or not.
    pub fn contains(&self, section: u64) -> bool {
        self.rows.load().find(section).is_some()
    }

    /// All sections, ascending.
    pub fn sections(&self) -> Vec<u64> {
        self.rows.load().iter().map(|row| row.section).collect()
    }

    /// The sections that somebody has made and `keep` holds for, ascending; it is shown what is kept for one that is open.
    pub fn sections_with(&self, keep: impl Fn(Option<&T>) -> bool) -> Vec<u64> {
        self.rows.load().iter().filter(|row| row.entry.is_kept(&keep)).map(|row| row.section).collect()
    }

    /// Whether somebody has made a section and `keep` holds for it.
    pub fn has(&self, section: u64, keep: impl Fn(Option<&T>) -> bool) -> bool {
        self.rows.load().find(section).is_some_and(|entry| entry.is_kept(keep))
    }

    /// The lowest section.
    pub fn oldest(&self) -> Option<u64> {
        self.rows.load().iter().next().map(|row| row.section)
    }

    /// The highest section.
    pub fn newest(&self) -> Option<u64> {
        self.rows.load().newest.as_ref().map(|newest| newest.section)
    }

    /// The section that comes next behind this one, which need not exist: two binary searches.
    pub fn next_after(&self, section: u64) -> Option<u64> {
        let rows = self.rows.load();
        let at = rows.chunk_of(section);
        let chunk = rows.chunks.get(at)?;
        match chunk.get(chunk.partition_point(|row| row.section <= section)) {
            Some(next) => Some(next.section),
            None => rows.chunks.get(at + 1)?.first().map(|row| row.section),
        }
    }

    /// All that are open, ascending.
    pub fn open(&self) -> Vec<(u64, Arc<T>)> {
        let rows = self.rows.load();
        rows.iter().filter_map(|row| Some((row.section, row.entry.open.load_full()?))).collect()
    }

    /// What is kept for a section; `init` makes it when the section is not open, and is told whether it did not exist. Of
    /// many that ask at once the first makes it, the others wait. `None` when the section does not exist and `create` is
    /// not set.
    ///
    /// Cancel safety: dropped, the next one to ask makes it.
    ///
    /// # Errors
    /// Those of `init`; a section that was not there before is not there then either.
    pub async fn get_or_init<E, F, Fut>(&self, section: u64, create: bool, init: F) -> Result<Option<Arc<T>>, E>
    where
        F: Fn(bool) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        loop {
            let (entry, added) = match self.entry(section) {
                Some(entry) => (entry, false),
                None if create => self.add(section),
                None => return Ok(None),
            };
            // Whoever adds a section and does not get to open it takes it back.
            let undo = Undo { table: self, section, entry: &entry, armed: added };
            let _ticket = entry.queue.enter().await;
            // Dropped before the ticket: nobody is let in while it is taken back.
            let mut undo = undo;
            if !self.holds(section, &entry) {
                // It was removed meanwhile; look again.
                undo.armed = false;
                continue;
            }
            if let Some(open) = entry.open.load_full() {
                undo.armed = false;
                return Ok(Some(open));
            }
            let is_new = entry.is_new.load(Ordering::Acquire);
            if is_new && !create {
                return Ok(None);
            }
            undo.armed = is_new;
            let made = Arc::new(init(is_new).await?);
            undo.armed = false;
            let _change = lock(&self.change);
            let is_there = self.holds(section, &entry);
            if is_there {
                self.put(section, &entry, Some(Arc::clone(&made)));
            }
            // Behind that: whoever lists the sections is shown what is kept for it.
            entry.is_new.store(false, Ordering::Release);
            if is_there {
                return Ok(Some(made));
            }
            // It was removed while it was being made: what was made is of a blob that is gone.
        }
    }

    /// Waits until nobody is making a section, and keeps it so until what is returned is dropped: whoever wants to make it
    /// looks again then. `None` when it does not exist.
    ///
    /// Cancel safety: safe.
    pub async fn turn(&self, section: u64) -> Option<Ticket> {
        loop {
            let entry = self.entry(section)?;
            let ticket = entry.queue.enter().await;
            if self.holds(section, &entry) {
                return Some(ticket);
            }
        }
    }

    /// Waits until nobody is making a section any more that was being made when this was called.
    ///
    /// Cancel safety: safe.
    pub async fn quiesce(&self) {
        let rows = self.rows.load_full();
        for row in rows.iter() {
            drop(row.entry.queue.enter().await);
        }
    }

    /// Takes note that sections exist.
    pub fn know(&self, sections: &[u64]) {
        let _change = lock(&self.change);
        let rows = self.rows.load_full();
        let mut all: Vec<Row<T>> = rows.iter().cloned().collect();
        let known = all.len();
        all.extend(
            sections.iter().filter(|section| rows.find(**section).is_none()).map(|section| Row::new(*section, false)),
        );
        if all.len() == known {
            return;
        }
        all.sort_by_key(|row| row.section);
        all.dedup_by_key(|row| row.section);
        let chunks: Vec<_> = all.chunks(CHUNK).map(|chunk| Arc::new(chunk.to_vec())).collect();
        self.rows.store(Arc::new(Rows::new(Arc::new(chunks), all.len())));
    }

    /// Drops what is kept for a section; it exists on, and is opened again at its next use.
    pub fn close(&self, section: u64) -> Option<Arc<T>> {
        let _change = lock(&self.change);
        let entry = self.entry(section)?;
        self.put(section, &entry, None)
    }

    /// [`close`](Self::close) of a section that nobody else holds: `None`, and it stays open, when somebody does. The caller
    /// has its [`turn`](Self::turn), so nobody opens it meanwhile.
    pub fn close_unshared(&self, section: u64) -> Option<Arc<T>> {
        let _change = lock(&self.change);
        let entry = self.entry(section)?;
        // Behind this whoever was just loading it is counted, and nobody else can come by it.
        let open = self.put(section, &entry, None)?;
        if Arc::strong_count(&open) == 1 {
            return Some(open);
        }
        self.put(section, &entry, Some(open));
        None
    }

    /// Puts another in the place of what is kept for a section that exists.
    pub fn replace(&self, section: u64, with: Arc<T>) -> Option<Arc<T>> {
        let _change = lock(&self.change);
        let entry = self.entry(section)?;
        self.put(section, &entry, Some(with))
    }

    /// Forgets a section.
    pub fn forget(&self, section: u64) -> Option<Arc<T>> {
        let _change = lock(&self.change);
        let rows = self.rows.load_full();
        let entry = Arc::clone(rows.find(section)?);
        self.change_chunk(&rows, section, |chunk| chunk.retain(|row| row.section != section));
        entry.open.load_full()
    }

    fn entry(&self, section: u64) -> Option<Arc<Entry<T>>> {
        self.rows.load().find(section).cloned()
    }

    /// Puts this in the place of what is kept for a section, also where that is found without a search; the caller holds
    /// `change`.
    fn put(&self, section: u64, entry: &Entry<T>, open: Option<Arc<T>>) -> Option<Arc<T>> {
        let before = entry.open.swap(open);
        let rows = self.rows.load();
        if rows.newest(section).is_some() {
            self.rows.store(Arc::new(Rows::new(Arc::clone(&rows.chunks), rows.len)));
        }
        before
    }

    fn holds(&self, section: u64, entry: &Arc<Entry<T>>) -> bool {
        self.rows.load().find(section).is_some_and(|found| Arc::ptr_eq(found, entry))
    }

    /// Puts a section that nobody has made into the table; whether it was not there.
    fn add(&self, section: u64) -> (Arc<Entry<T>>, bool) {
        let _change = lock(&self.change);
        let rows = self.rows.load_full();
        if let Some(entry) = rows.find(section) {
            return (Arc::clone(entry), false);
        }
        let row = Row::new(section, true);
        let entry = Arc::clone(&row.entry);
        self.change_chunk(&rows, section, |chunk| {
            let at = chunk.partition_point(|other| other.section < section);
            chunk.insert(at, row);
        });
        (entry, true)
    }

    /// Replaces the chunk a section is or would be in; the caller holds `change`.
    fn change_chunk(&self, rows: &Rows<T>, section: u64, change: impl FnOnce(&mut Vec<Row<T>>)) {
        let at = rows.chunk_of(section);
        let mut chunk = rows.chunks.get(at).map(|chunk| chunk.to_vec()).unwrap_or_default();
        let before = chunk.len();
        change(&mut chunk);
        let len = rows.len - before + chunk.len();
        let mut chunks = rows.chunks.to_vec();
        let replaced = at..(at + 1).min(chunks.len());
        // A full chunk at the end is left full: sections mostly come in ascending order.
        let half = if at + 1 >= chunks.len() { CHUNK } else { CHUNK / 2 };
        let parts: Vec<_> = if chunk.len() > CHUNK {
            let rest = chunk.split_off(half);
            vec![Arc::new(chunk), Arc::new(rest)]
        } else if chunk.is_empty() {
            Vec::new()
        } else {
            vec![Arc::new(chunk)]
        };
        chunks.splice(replaced, parts);
        self.rows.store(Arc::new(Rows::new(Arc::new(chunks), len)));
    }
}

impl<T> Table<T> {
    /// How many sections exist.
    pub fn len(&self) -> usize {
        self.rows.load().len
    }

    /// Whether no section exists.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Row<T> {
    fn new(section: u64, is_new: bool) -> Self {
        let entry = Entry { queue: Queue::new(), open: ArcSwapOption::empty(), is_new: AtomicBool::new(is_new) };
        Self { section, entry: Arc::new(entry) }
    }
}

struct Undo<'a, T: Send + Sync + 'static> {
    table: &'a Table<T>,
    section: u64,
    entry: &'a Arc<Entry<T>>,
    armed: bool,
}

impl<T: Send + Sync + 'static> Drop for Undo<'_, T> {
    fn drop(&mut self) {
        if self.armed && self.entry.open.load().is_none() && self.table.holds(self.section, self.entry) {
            self.table.forget(self.section);
        }
    }
}

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.len()).finish_non_exhaustive()
    }
}
