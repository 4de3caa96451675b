//! Many writers at once.

use std::future::Future;
use std::sync::Barrier;
use std::time::Instant;

use futures::future::try_join_all;

use crate::outcome::nanos;
use crate::{Item, Result, Values};

#[cfg(test)]
mod tests;

/// Who commits what.
#[derive(Debug, Clone, Copy)]
pub struct Writers {
    /// How many there are.
    pub count: u64,
    /// The position of each one's first commit, in its own section.
    pub first: u64,
    /// Commits of each, one after the other.
    pub each: u64,
    /// The values.
    pub values: Values,
}

impl Writers {
    /// What a writer commits. Each has a section of its own there, from 1 on; an engine that lets many append to one
    /// section puts all into one and leaves the positions to itself.
    fn item(&self, writer: u64, position: u64) -> Item {
        let position = self.first.wrapping_add(position);
        let id = writer.wrapping_mul(self.first + self.each).wrapping_add(position);
        Item { section: writer + 1, position, id, value: self.values.of(id) }
    }

    /// Each writer a thread: for engines that block.
    ///
    /// # Errors
    /// The first of any commit.
    pub fn threads(&self, commit: impl Fn(Item) -> Result<()> + Sync) -> Result<Vec<u64>> {
        let barrier = Barrier::new(usize::try_from(self.count)?);
        let run = |writer: u64| -> Result<Vec<u64>> {
            let mut times = Vec::new();
            barrier.wait();
            for position in 0..self.each {
                let started = Instant::now();
                commit(self.item(writer, position))?;
                times.push(nanos(started.elapsed()));
            }
            Ok(times)
        };
        let run = &run;
        let mut all = Vec::new();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.count).map(|writer| scope.spawn(move || run(writer))).collect();
            for thread in threads {
                all.extend(thread.join().map_err(|_| "a writer panicked")??);
            }
            Ok(all)
        })
    }

    /// Each writer a future, all polled by one task: for engines that do not block.
    ///
    /// # Errors
    /// The first of any commit.
    pub async fn futures<F: Future<Output = Result<()>>>(&self, commit: impl Fn(Item) -> F) -> Result<Vec<u64>> {
        let run = |writer: u64| {
            let commit = &commit;
            async move {
                let mut times = Vec::new();
                for position in 0..self.each {
                    let started = Instant::now();
                    commit(self.item(writer, position)).await?;
                    times.push(nanos(started.elapsed()));
                }
                Result::Ok(times)
            }
        };
        Ok(try_join_all((0..self.count).map(run)).await?.concat())
    }
}
