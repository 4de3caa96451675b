//! The system calls, each under the hook. Here are the loops over short reads, short writes and `EINTR`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::hook::{Call, Hook, ask};

#[cfg(test)]
mod tests;

/// Permissions of a new directory.
const DIRECTORY_MODE: Mode = Mode::RWXU;
/// Permissions of a new file: `rw-------`.
pub(super) const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
/// The most parts one `pwritev` takes (`IOV_MAX`, `writev(2)`).
const MAX_PARTS: usize = 1024;

/// The system calls, and who watches them.
pub(super) struct Sys {
    /// For the paths a hook is told.
    root: PathBuf,
    hook: Option<Arc<dyn Hook>>,
}

/// A directory entry.
pub(super) struct Listed {
    pub(super) name: OsString,
    pub(super) kind: FileType,
}

/// A write that did not come to its end.
#[derive(Debug)]
pub(super) struct CutShort {
    /// Bytes written before it failed.
    pub(super) written: u64,
    pub(super) error: io::Error,
}

impl Sys {
    pub(super) fn new(root: PathBuf, hook: Option<Arc<dyn Hook>>) -> Self {
        Self { root, hook }
    }

    /// The path of a partition.
    pub(super) fn path_of(&self, partition: &str) -> PathBuf {
        self.root.join(partition)
    }

    fn ask<T>(
        &self,
        call: Call<'_>,
        path: impl FnOnce() -> PathBuf,
        skipped: impl FnOnce() -> Option<T>,
        run: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        ask(self.hook.as_deref(), call, path, skipped, run)
    }

    /// Opens a file that exists. `O_NOFOLLOW`: a symbolic link is refused. `O_NONBLOCK`: a fifo does not hang the
    /// open; it means nothing for regular files (`open(2)`).
    pub(super) fn open(
        &self,
        dir: BorrowedFd<'_>,
        file: &str,
        write: bool,
        path: impl FnOnce() -> PathBuf,
    ) -> io::Result<File> {
        let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let open = || Ok(retry_on_intr(|| rustix::fs::openat(dir, file, flags, Mode::empty()))?.into());
        self.ask(Call::Open, path, || None, open)
    }

    /// Creates a file that must not exist.
    pub(super) fn create(&self, dir: BorrowedFd<'_>, file: &str, path: impl FnOnce() -> PathBuf) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || Ok(retry_on_intr(|| rustix::fs::openat(dir, file, flags, FILE_MODE))?.into());
        self.ask(Call::Create, path, || None, create)
    }

    pub(super) fn mkdir(
        &self,
        dir: BorrowedFd<'_>,
        name: impl rustix::path::Arg,
        path: impl FnOnce() -> PathBuf,
    ) -> io::Result<()> {
        self.ask(Call::Mkdir, path, || Some(()), || Ok(rustix::fs::mkdirat(dir, name, DIRECTORY_MODE)?))
    }

    pub(super) fn unlink(&self, dir: BorrowedFd<'_>, file: &str, path: impl FnOnce() -> PathBuf) -> io::Result<()> {
        self.ask(Call::Unlink, path, || Some(()), || Ok(rustix::fs::unlinkat(dir, file, AtFlags::empty())?))
    }

    pub(super) fn rmdir(
        &self,
        dir: BorrowedFd<'_>,
        name: impl rustix::path::Arg,
        path: impl FnOnce() -> PathBuf,
    ) -> io::Result<()> {
        self.ask(Call::Rmdir, path, || Some(()), || Ok(rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)?))
    }

    /// All entries but `.` and `..`. A file system that does not tell their kinds is asked one by one.
    pub(super) fn list(&self, dir: BorrowedFd<'_>, path: impl FnOnce() -> PathBuf) -> io::Result<Vec<Listed>> {
        self.ask(
            Call::List,
            path,
            || Some(Vec::new()),
            || {
                let mut entries = Vec::new();
                for entry in rustix::fs::Dir::read_from(dir)? {
                    let entry = entry?;
                    let name = entry.file_name();
                    if matches!(name.to_bytes(), b"." | b"..") {
                        continue;
                    }
                    let kind = match entry.file_type() {
                        FileType::Unknown => match kind_of(dir, name) {
                            Ok(kind) => kind,
                            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                            Err(error) => return Err(error),
                        },
                        kind => kind,
                    };
                    entries.push(Listed { name: OsString::from_vec(name.to_bytes().to_vec()), kind });
                }
                Ok(entries)
            },
        )
    }

    /// Fills `buf` from `offset` on. Answers how many bytes there were: fewer only at the end of the file.
    pub(super) fn read(
        &self,
        file: &File,
        buf: &mut [u8],
        offset: u64,
        path: impl Fn() -> PathBuf,
    ) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let (at, len) = (offset.saturating_add(done as u64), rest.len());
            let skip = std::cell::Cell::new(false);
            let skipped = || {
                skip.set(true);
                Some(len)
            };
            let result = self
                .ask(Call::Read { offset: at, len }, &path, skipped, || Ok(rustix::io::pread(file, &mut *rest, at)?));
            if skip.get() {
                rest.fill(0);
            }
            match result {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Fills `buf` with what the page cache has (`RWF_NOWAIT`, `preadv2(2)`, Linux 4.14). `None`: that would block,
    /// or is left to a read that may.
    ///
    /// # Errors
    /// `EOPNOTSUPP` or `ENOSYS`: it is never possible here.
    #[cfg(target_os = "linux")]
    pub(super) fn read_cached(
        &self,
        file: &File,
        buf: &mut [u8],
        offset: u64,
        path: impl Fn() -> PathBuf,
    ) -> io::Result<Option<()>> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let (at, len) = (offset.saturating_add(done as u64), rest.len());
            let result = self.ask(
                Call::Read { offset: at, len },
                &path,
                || Some(0),
                || {
                    let flags = rustix::io::ReadWriteFlags::NOWAIT;
                    Ok(rustix::io::preadv2(file, &mut [io::IoSliceMut::new(rest)], at, flags)?)
                },
            );
            match result {
                Ok(0) => return Ok(None),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_one_of(&error, &[Errno::OPNOTSUPP, Errno::NOSYS]) => return Err(error),
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(()))
    }

    /// There is no such call here.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn read_cached(
        &self,
        _file: &File,
        _buf: &mut [u8],
        _offset: u64,
        _path: impl Fn() -> PathBuf,
    ) -> io::Result<Option<()>> {
        Err(Errno::NOSYS.into())
    }

    /// Writes all parts, one after the other, from `offset` on.
    pub(super) fn write(
        &self,
        file: &File,
        mut parts: &mut [IoSlice<'_>],
        offset: u64,
        path: impl Fn() -> PathBuf,
    ) -> Result<(), CutShort> {
        let mut written = 0;
        // Parts without bytes at the front would make a call that writes nothing.
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let data = parts.get(..MAX_PARTS).unwrap_or(parts);
            let at = offset.saturating_add(written);
            let len = data.iter().map(|part| part.len() as u64).sum();
            let all = data.iter().map(|part| part.len()).sum();
            let write = || Ok(rustix::io::pwritev(file, data, at)?);
            match self.ask(Call::Write { offset: at, len, data }, &path, || Some(all), write) {
                Ok(0) => return Err(CutShort { written, error: io::ErrorKind::WriteZero.into() }),
                Ok(count) => {
                    written += count as u64;
                    IoSlice::advance_slices(&mut parts, count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CutShort { written, error }),
            }
        }
        Ok(())
    }

    pub(super) fn resize(&self, file: &File, len: u64, path: impl Fn() -> PathBuf) -> io::Result<()> {
        loop {
            match self.ask(Call::Resize { len }, &path, || Some(()), || Ok(rustix::fs::ftruncate(file, len)?)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Makes a file's bytes and length durable. Never tried again, not after `EINTR` either: a sync that failed may
    /// have used up the report of a failed write-back (`fsync(2)`, notes).
    pub(super) fn fdatasync(&self, file: &File, path: impl FnOnce() -> PathBuf) -> io::Result<()> {
        self.ask(
            Call::Fdatasync,
            path,
            || Some(()),
            || {
                #[cfg(not(target_vendor = "apple"))]
                rustix::fs::fdatasync(file)?;
                // `fsync` leaves the data in the drive's cache there (`fsync(2)` of macOS).
                #[cfg(target_vendor = "apple")]
                rustix::fs::fcntl_fullfsync(file)?;
                Ok(())
            },
        )
    }

    /// Makes a directory's entries durable. Never tried again.
    pub(super) fn fsync_directory(&self, dir: BorrowedFd<'_>, path: impl FnOnce() -> PathBuf) -> io::Result<()> {
        self.ask(
            Call::FsyncDirectory,
            path,
            || Some(()),
            || {
                #[cfg(not(target_vendor = "apple"))]
                rustix::fs::fsync(dir)?;
                #[cfg(target_vendor = "apple")]
                rustix::fs::fcntl_fullfsync(dir)?;
                Ok(())
            },
        )
    }

    /// Makes everything on the file system of `dir` durable. Reports failed write-backs since Linux 5.8 (`sync(2)`).
    #[cfg(target_os = "linux")]
    pub(super) fn syncfs(&self, dir: BorrowedFd<'_>, path: impl FnOnce() -> PathBuf) -> io::Result<()> {
        self.ask(Call::Syncfs, path, || Some(()), || Ok(rustix::fs::syncfs(dir)?))
    }
}

/// Opens a directory to list it, to sync it, or to open what is in it. A symbolic link in its place is refused.
pub(super) fn open_directory(dir: impl AsFd, name: impl rustix::path::Arg + Copy) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty()))?)
}

/// What a name stands for; a symbolic link is not followed.
pub(super) fn kind_of(dir: BorrowedFd<'_>, name: impl rustix::path::Arg) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode))
}

/// A kind of file in words.
pub(super) fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "symbolic link",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "character device",
        FileType::BlockDevice => "block device",
        FileType::Unknown => "file of unknown kind",
    }
}

/// Whether the process or the system has no descriptor left.
pub(super) fn out_of_descriptors(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::MFILE, Errno::NFILE])
}

/// Whether it is one of these errors of the operating system.
pub(super) fn is_one_of(error: &io::Error, errnos: &[Errno]) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| errnos.contains(&errno))
}
