//! What is promised, in the words of the traits.

use std::fmt;

#[cfg(test)]
mod tests;

/// One promise of a backend: a name that stays the same from version to version, and the sentence it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Promise {
    /// Stable; to be asserted on and searched for.
    pub id: &'static str,
    /// As the documentation of [`Storage`](crate::Storage), [`Blob`](crate::Blob) and what they use has it.
    pub text: &'static str,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

macro_rules! promises {
    ($($name:ident $id:literal $text:literal;)*) => {
        $(pub(super) static $name: Promise = Promise { id: $id, text: $text };)*

        /// Every promise the suite knows, in the order in which it checks them.
        pub static PROMISES: &[&Promise] = &[$(&$name),*];
    };
}

promises! {
    OPEN_CREATE "open.create" "Opens a blob, creating it when it is missing and `format` says so.";
    OPEN_MISSING "open.missing" "Only a blob that is there: a missing one is [`Error::NotFound`].";
    OPEN_FORMAT "open.format" "A sound header says something else than the caller expects. Nothing was changed.";
    OPEN_HEADER "open.header" "What the blob says it is: kind, format parameters, store id, salt.";
    OPEN_STATE "open.state" "What was found where the header should be, when this handle was opened.";
    OPEN_LIFE "open.life"
        "The salt is drawn when a blob is created and lives and dies with its directory entry, so that bytes of \
         an earlier life of the same name never verify.";
    OPEN_COST "open.cost" "A new blob costs no sync; it becomes durable with its first one.";
    OPEN_TWINS "open.twins"
        "the one without anything valid is the remnant of a creation that a crash cut short and is removed; when \
         both have something, that is [`Error::Corrupt`].";
    OPEN_UNEXPECTED "open.unexpected"
        "A name on disk is held by something that is no regular file of ours. Nothing was changed.";
    OPEN_IO "open.io" "The operating system refused. `source` is its answer.";
    RANDOM "random" "A random number, for store ids.";
    READ_ONLY "read_only" "A change was asked of storage that was opened read-only. Nothing was changed.";

    PARTITION_NAME "name.partition"
        "Checks a partition's name: `[A-Za-z0-9_-]{1,128}` and not `LOCK`, before any path is built from it.";
    BLOB_NAME "name.blob" "Checks a blob's name: 1 to [`MAX_NAME_BYTES`] bytes.";
    FILE_NAME "name.file" "The file name of a blob: hex of its name, a dot, the salt as 8 hex digits.";
    SCAN "scan" "Names in a partition, sorted, each once; empty when the partition does not exist.";
    SCAN_ERROR "scan.error" "Any other failure is an error.";

    READ_WHOLE "read.whole" "A read returns exactly what it was asked for, or an error.";
    READ_BOUNDS "read.bounds" "[`Error::OutOfBounds`] past the end";
    READ_NOW "read.now" "Reads without blocking: `None` when that would need the disk.";
    LEN "len" "Logical length in bytes, as the running process sees it.";
    WRITE_PARTS "write.parts" "Writes the parts one after the other from `offset` on;";
    WRITE_GAP "write.gap" "what lies between the old end and `offset` reads as zeros.";
    WRITE_NOTHING "write.nothing" "A write of no bytes changes nothing, not the length either.";
    WRITE_LIMIT "write.limit" "A length or an offset that no file can have. Nothing was changed.";
    RESIZE "resize" "Sets the logical length: cuts bytes off, or adds zeros.";
    WRITE_SYNC "write_sync"
        "[`write_at`](Self::write_at), then [`sync`](Self::sync), with no other change in between;";
    WRITE_HEADER "write_header" "Writes [`header`](Self::header) into the file again;";
    CHANGE_ALL "change_all"
        "Makes changes one after the other, each as its own method would, and none behind one that has failed.";

    ORDER "order"
        "take effect one after the other, in the order in which their futures were first polled, also through \
         several handles.";
    OVERLAP "order.overlap"
        "a read that overlaps a running write may see any mix of old and new bytes in the overlap, and nothing \
         else.";
    DROP_BEFORE "drop.before" "A future that is dropped before it began has done nothing.";
    DROP_AFTER "drop.after"
        "One that began runs to its end; the next change of that blob waits for it, also through a handle that is \
         opened later.";
    DROP_OPEN "drop.open" "Cancel safety: dropping the future may leave a new, empty blob.";
    DROP_STORAGE "drop.storage" "Cancel safety: an operation that has begun runs to its end.";

    REMOVE "remove" "A name that is not there is no error: what was asked for holds.";
    REMOVE_HANDLES "remove.handles" "Handles that are still open answer [`Error::Removed`].";
    REMOVE_PARTITION "remove.partition" "Removes all blobs of a partition and the partition;";
    REMOVE_FOREIGN "remove.foreign" "Files that are not this crate's stay, and then so does the directory.";
    REMOVE_DURABLE "remove.durable"
        "Removes blobs; durable when it returns, with one sync of the directory for all of them.";

    CLAIM "claim" "[`Error::Locked`] while another claim is held";
    CLAIM_WAITS "claim.waits"
        "It is held until the [`Claim`] is dropped and the last change of the partition that had begun by then \
         has ended; a claim that comes in between waits for that end.";
    CLAIM_DROP "claim.drop" "Cancel safety: dropping the future takes nothing.";

    SYNC_MANY "sync_many" "Syncs many blobs, as [`Blob::sync`] on each would;";
    SYNC_MANY_ORDER "sync_many.order" "Answers in the order of `blobs`.";

    DURABLE "durable" "After `sync` has returned Ok, what was changed before it began is there after any crash:";
    DURABLE_NEW "durable.new"
        "Makes bytes, length and header durable, and for a new blob its name and the directories above it.";
    DURABLE_LOSS "durable.loss" "Until then any part of it may be lost, at any byte.";

    FAILED_CHANGE "failure.change"
        "A failed write or resize leaves every byte of its own range old or new, all others as they were, and may \
         be tried again.";
    FAILED_READ "failure.read" "Everything else that fails loses nothing and may be tried again.";
    FAILED_SYNC "failure.sync"
        "After a failed sync nothing is known about what was written since the last good one: the blob refuses \
         every change with [`Error::Poisoned`] until it is opened anew.";
    FAILED_KIND "failure.kind" "[`Error::is_sync_failure`] tells which of the two failed.";
    FAILED_REOPEN "failure.reopen" "A poisoned blob that is opened again starts afresh, from what the file shows.";
    FAILED_DIRECTORY "failure.directory"
        "After a failed sync of the directory the partition refuses creation and removal with [`Error::Poisoned`] \
         until the storage is opened anew.";
}
