//! A look at the raw disk, and a hand on it, for tests of damage.

use std::sync::Arc;

use super::crash::Granularity;
use super::disk::Pending;
use super::image::Image;
use super::world::{Core, World};
use crate::name::{Salt, check_name, check_partition};
use crate::sync::lock;

/// The files of a run's disk; see [`Sim::disk`](super::Sim::disk).
///
/// Bytes are those of the file: the header is bytes 0 to 4095 ([`HEADER_BYTES`](crate::HEADER_BYTES)), and logical
/// offset 0 of a blob is byte 4096. A file is named by partition and blob name; of several files of one name the one
/// with the lowest salt is meant. An edit is on the disk and in the page cache at once, and what was pending for the
/// file is forgotten; blobs that are open see it.
#[derive(Debug, Clone)]
pub struct RawDisk(pub(super) Arc<Core>);

/// One file, as [`RawDisk::files`] lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawFile {
    /// The partition it is in.
    pub partition: Arc<str>,
    /// The blob's name.
    pub name: Arc<[u8]>,
    /// The salt in the file's name.
    pub salt: Salt,
    /// Whether the process sees the name.
    pub visible: bool,
    /// Whether the name, and the partition's, are on the disk, so that a power cut shows them.
    pub durable: bool,
    /// The file's length in bytes as the process sees it.
    pub visible_len: usize,
    /// The file's length in bytes on the disk.
    pub durable_len: usize,
}

impl RawDisk {
    /// Every file whose name the process sees or a power cut would show, sorted by partition, name and salt.
    pub fn files(&self) -> Vec<RawFile> {
        let world = lock(&self.0.world);
        let disk = &world.disk;
        let mut partitions: Vec<_> = disk.root.visible.iter().chain(&disk.root.durable).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let mut files: Vec<RawFile> = Vec::new();
        for (partition, directory) in partitions {
            let names = &disk.directories[*directory];
            let seen = disk.root.visible.get(partition) == Some(directory);
            let kept = disk.root.durable.get(partition) == Some(directory);
            let mut keys: Vec<_> = names.visible.iter().chain(&names.durable).collect();
            keys.sort_unstable();
            keys.dedup();
            files.extend(keys.into_iter().map(|(key, inode)| RawFile {
                partition: Arc::clone(partition),
                name: Arc::clone(&key.0),
                salt: key.1,
                visible: seen && names.visible.get(key) == Some(inode),
                durable: kept && names.durable.get(key) == Some(inode),
                visible_len: disk.inodes[*inode].visible.len(),
                durable_len: disk.inodes[*inode].durable.len(),
            }));
        }
        files
    }

    /// A file's bytes as the process sees them. `None` when there is no such name.
    pub fn visible(&self, partition: &str, name: &[u8]) -> Option<Vec<u8>> {
        let world = lock(&self.0.world);
        Some(world.disk.inodes[world.find(partition, name)?].visible.clone())
    }

    /// A file's bytes on the disk, whether or not its name is. `None` when the process sees no such name.
    pub fn durable(&self, partition: &str, name: &[u8]) -> Option<Vec<u8>> {
        let world = lock(&self.0.world);
        Some(world.disk.inodes[world.find(partition, name)?].durable.clone())
    }

    /// Changes a file's bytes. False when there is no such name.
    pub fn edit(&self, partition: &str, name: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(mut bytes) = self.visible(partition, name) else { return false };
        change(&mut bytes);
        self.replace(partition, name, bytes)
    }

    /// Replaces a file's bytes. False when there is no such name.
    pub fn replace(&self, partition: &str, name: &[u8], bytes: Vec<u8>) -> bool {
        let mut world = lock(&self.0.world);
        let Some(inode) = world.find(partition, name) else { return false };
        world.disk.edit(inode, bytes);
        true
    }

    /// Takes a file away. False when there is no such name.
    pub fn remove(&self, partition: &str, name: &[u8]) -> bool {
        let mut world = lock(&self.0.world);
        let Some((directory, salt, inode)) = first(&world, partition, name) else { return false };
        world.disk.remove_file(directory, &(name.into(), salt), inode);
        true
    }

    /// Puts a file in place; one of the same name and salt is replaced, one of the same name and another salt is not.
    /// False when a name is not valid.
    pub fn put(&self, partition: &str, name: &[u8], salt: Salt, bytes: Vec<u8>) -> bool {
        if check_partition(partition).is_err() || check_name(name).is_err() {
            return false;
        }
        lock(&self.0.world).disk.put(&partition.into(), (name.into(), salt), bytes);
        true
    }

    /// Copies a file, with its salt, to another partition or name, in place of what is there. False when there is no
    /// such file or the new name is not valid.
    pub fn copy(&self, from: (&str, &[u8]), to: (&str, &[u8])) -> bool {
        let found = {
            let world = lock(&self.0.world);
            first(&world, from.0, from.1).map(|(_, salt, inode)| (salt, world.disk.inodes[inode].visible.clone()))
        };
        let Some((salt, bytes)) = found else { return false };
        if check_partition(to.0).is_err() || check_name(to.1).is_err() {
            return false;
        }
        while from != to && self.remove(to.0, to.1) {}
        self.put(to.0, to.1, salt, bytes)
    }

    /// Swaps the bytes of two files; names and salts stay. False when one of them is not there.
    pub fn swap(&self, one: (&str, &[u8]), other: (&str, &[u8])) -> bool {
        match (self.visible(one.0, one.1), self.visible(other.0, other.1)) {
            (Some(of_one), Some(of_other)) => {
                self.replace(one.0, one.1, of_other) && self.replace(other.0, other.1, of_one)
            }
            _ => false,
        }
    }

    /// Bytes of all files that have a name, headers included.
    pub fn used_bytes(&self) -> u64 {
        lock(&self.0.world).disk.used_bytes
    }

    /// The effects that are not durable, in the order in which a [`Cut`](super::Cut) counts them. Changes in flight,
    /// which come after them, are not listed.
    pub fn pending(&self) -> Vec<Pending> {
        lock(&self.0.world).disk.pending()
    }

    /// The disk as it is now, to be crashed in many ways.
    pub fn image(&self) -> Image {
        Image(lock(&self.0.world).disk.copied())
    }

    /// The smallest unit that survives whole; `None`, the default: drawn for each crash.
    pub fn set_granularity(&self, granularity: Option<Granularity>) {
        lock(&self.0.world).disk.granularity = granularity;
    }

    /// Whether a new block whose bytes were lost may show, instead of zeros, what the disk held at that place of the
    /// file before it was cut off, as ext4 does with `data=writeback`. Set it before anything is written: the disk
    /// remembers a file's past only while it is on.
    pub fn set_stale(&self, stale: bool) {
        lock(&self.0.world).disk.stale = stale;
    }
}

/// The first file of a name: its directory, salt and inode.
fn first(world: &World, partition: &str, name: &[u8]) -> Option<(usize, Salt, usize)> {
    let directory = world.disk.directory(partition)?;
    let (salt, inode) = *world.disk.files_of(directory, name).first()?;
    Some((directory, salt, inode))
}
