//! `FileStorage` against real directories, and against a hook that watches and breaks its system calls.

#![expect(clippy::unwrap_used, clippy::panic, reason = "also the helpers of tests fail by panicking")]

mod bulk;
mod calls;
mod drops;
mod group;
mod limits;
mod locking;
mod names;
mod permissions;
mod poison;
mod read_only;
mod space;
mod support;
mod twins;
