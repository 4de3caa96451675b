//! Points at which a process can be killed: before or after the n-th system call of a kind.

use std::fmt;
use std::str::FromStr;

use blob_runtime::file::Call;

/// A kind of system call that changes what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Syscall {
    Create,
    Mkdir,
    Write,
    Resize,
    Fdatasync,
    FsyncDirectory,
    Unlink,
}

impl Syscall {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Create, "create"),
        (Self::Mkdir, "mkdir"),
        (Self::Write, "write"),
        (Self::Resize, "resize"),
        (Self::Fdatasync, "fdatasync"),
        (Self::FsyncDirectory, "fsync-directory"),
        (Self::Unlink, "unlink"),
    ];

    fn of(call: &Call<'_>) -> Option<Self> {
        Some(match call {
            Call::Create => Self::Create,
            Call::Mkdir => Self::Mkdir,
            Call::Write { .. } => Self::Write,
            Call::Resize { .. } => Self::Resize,
            Call::Fdatasync => Self::Fdatasync,
            Call::FsyncDirectory => Self::FsyncDirectory,
            Call::Unlink => Self::Unlink,
            _ => return None,
        })
    }
}

/// Before, or after, the n-th call of a kind. Written as `before:write:3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The kind.
    pub syscall: Syscall,
    /// Whether the call has been made.
    pub after: bool,
    /// Which, from 1.
    pub nth: u64,
}

impl Point {
    pub(super) fn draw(rng: &mut fastrand::Rng) -> Self {
        let (syscall, _) = Syscall::ALL[rng.usize(..Syscall::ALL.len())];
        let most = match syscall {
            Syscall::Mkdir => 3,
            Syscall::Create | Syscall::FsyncDirectory => 8,
            _ => 40,
        };
        Self { syscall, after: rng.bool(), nth: rng.u64(1..=most) }
    }

    /// Whether a call is of the kind.
    pub(super) fn is_of(&self, call: &Call<'_>) -> bool {
        Syscall::of(call) == Some(self.syscall)
    }

    /// Its name without the number.
    pub(super) fn name(&self) -> String {
        let name = Syscall::ALL.iter().find(|(syscall, _)| *syscall == self.syscall).map_or("", |(_, name)| name);
        format!("{} {name}", if self.after { "after" } else { "before" })
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name().replace(' ', ":"), self.nth)
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not like before:write:3");
        let mut parts = text.split(':');
        let (Some(when), Some(call), Some(nth), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let after = match when {
            "before" => false,
            "after" => true,
            _ => return Err(wrong()),
        };
        let (syscall, _) = Syscall::ALL.into_iter().find(|(_, name)| *name == call).ok_or_else(wrong)?;
        Ok(Self { syscall, after, nth: nth.parse().map_err(|_| wrong())? })
    }
}
