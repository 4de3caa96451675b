//! The ordering rules of the protocol, each a switch.

use std::fmt;

/// Declares the rules: variant, number, doc.
macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal,)+) => {
        /// An ordering rule, with the number under which the protocol has it: an invariant (I), a step of an open (S), a
        /// commit (C), the manifest (M), a rewind (R), a removal (P).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Rule {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its number.
            pub const fn number(self) -> &'static str {
                match self {
                    $(Self::$name => $number,)+
                }
            }
        }
    };
}

rules! {
    /// Values are synced before the index pages that point to them are written.
    IndexBehindValues = "I1",
    /// What no index page says is read from the frames.
    FramesTellAll = "I2.frames",
    /// After a failed write of the index its file is removed, durably, and made anew; never patched.
    UnlinkBrokenIndex = "I2.unlink",
    /// A rewind cuts the index before the values.
    RewindIndexFirst = "I3.rewind",
    /// A removal removes the index, durably, before the values.
    RemoveIndexFirst = "I3.remove",
    /// A rewind overwrites what it cuts with zeros before it truncates.
    RewindZeros = "I4.zeros",
    /// Those zeros are synced before the truncation.
    RewindZerosSynced = "I4.zeros-synced",
    /// A rewind's truncation of the values is synced before its seal is written.
    RewindCutSynced = "I4.cut-synced",
    /// Recovery overwrites what it cuts with zeros before it truncates.
    RecoveryZeros = "I4.recovery-zeros",
    /// Those zeros are synced before the truncation.
    RecoveryZerosSynced = "I4.recovery-zeros-synced",
    /// Recovery's truncation of the values is synced before its seal is written.
    RecoveryCutSynced = "I4.recovery-cut-synced",
    /// Pages that are cut off are overwritten with zeros, durably, before the truncation.
    IndexZeros = "I4.index-zeros",
    /// A truncation of the index is synced before the slot of its last page is shortened.
    IndexCutSynced = "I4.index-cut-synced",
    /// The intent is cleared, durably, before the rewind or the open returns.
    IntentCleared = "I4.intent-cleared",
    /// Nothing is appended to a section from its cut until the rewind's intent is cleared.
    RewindHolds = "I4.hold",
    /// Nor from before the intent is set until the cut.
    RewindHoldsEarly = "I4.hold-early",
    /// Nor to the later sections that a rewind removes.
    RewindHoldsLater = "I4.hold-later",
    /// A floor says only what a sync has returned for.
    FloorSynced = "I5.synced",
    /// A floor never lies inside a batch.
    FloorOutsideBatch = "I5.batch",
    /// A rewind lowers the floor.
    RewindLowersFloor = "I5.rewind",
    /// A sync that returns after a cut does not raise the floor beyond it.
    LateSyncKeepsFloor = "I5.late-sync",
    /// The first sync of a section's values makes their name durable.
    FirstSyncNames = "I6",
    /// A page that is written again keeps the slot that is durable.
    DurableSlotKept = "I7",
    /// A failed sync poisons.
    FailedSyncPoisons = "I8.poison",
    /// Zeros ahead are written only by a commit, in its own write, behind its last frame.
    ZerosWithCommit = "I8.zeros",
    /// `dirty` is durable before the first write after a clean open.
    DirtyFirst = "C.dirty",
    /// Also before a checkpoint.
    DirtyBeforeCheckpoint = "C.dirty-checkpoint",
    /// What a failed write has left is written before anything else of the section.
    FailedWriteRetried = "C.retry",
    /// No checkpoint falls inside a batch.
    CheckpointOutsideBatch = "C.checkpoint-batch",
    /// A seal is written after the frames before it are synced.
    SealAfterSync = "C.seal-after-sync",
    /// A seal is synced.
    SealSynced = "C.seal-synced",
    /// Sealing cuts off what was written ahead.
    SealCutsAhead = "C.seal-cuts",
    /// A close seals.
    CloseSeals = "C.close-seals",
    /// `clean` is written only when everything is durable.
    CleanWhenDurable = "C.clean",
    /// An open writes the newest slot of the manifest again, and syncs it, before it is believed.
    SettleNewest = "S0.newest",
    /// Before the other one is touched.
    SettleNewestFirst = "S0.newest-first",
    /// And then brings the other one level.
    SettleBoth = "S0.both",
    /// After a clean close too.
    SettleClean = "S0.clean",
    /// After an unclean stop both directories are synced before anything is looked at.
    SyncFoundNames = "S0.names",
    /// A page above the floor counts only if its entries match their frames.
    PagesMatchFrames = "S1",
    /// A proven entry whose frame does not match is damage.
    ProvenEntryMatches = "S2",
    /// A frame counts only at the position that is expected.
    PositionExpected = "S3.position",
    /// A batch that is not whole is dropped.
    BatchWhole = "S3.batch",
    /// Where the index ends inside a batch, and the frames behind it do not end it, that is damage.
    IndexedBatchEnds = "S3.indexed-batch",
    /// A later frame whose floor lies beyond the end of the frames tells damage.
    LaterFloorTells = "S4.floor",
    /// After an unclean stop everything behind the end is cut, also zeros.
    ZerosCut = "S4.zeros",
    /// Where nothing is seen behind the end, the length is set again.
    LengthSetAgain = "S4.length",
    /// All plans are made, and free of damage, before any is carried out.
    JudgedFirst = "S5.first",
    /// What an unfinished rewind has doomed is not judged.
    DoomedNotJudged = "S5.doomed",
    /// What is shown above the proven floor is written again and synced.
    WrittenAgain = "S6.again",
    /// Recovery seals.
    RecoverySeals = "S6.seal",
    /// And syncs that seal.
    RecoverySealSynced = "S6.seal-synced",
    /// A change of the manifest is in both slots before it is acted upon.
    BothSlots = "M.both",
    /// The first slot is synced before the other one is written.
    SlotBySlot = "M.slot-by-slot",
    /// What a rewind keeps is synced before the intent is set.
    KeptSynced = "R.kept-synced",
    /// The intent is durable before anything is cut.
    IntentFirst = "R.intent",
    /// A rewind ends with a seal.
    RewindSeals = "R.seal",
    /// That is synced before the intent is cleared.
    RewindSealSynced = "R.seal-synced",
    /// `pruned_to` is durable before a prune removes anything.
    PrunedFirst = "P.first",
    /// A prune returns when the removals are durable.
    PruneSynced = "P.synced",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({self:?})", self.number())
    }
}

/// Which rules are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules(u64);

impl Rules {
    /// All of them.
    pub const fn all() -> Self {
        Self(u64::MAX)
    }

    /// All of these but one.
    #[must_use]
    pub const fn without(self, rule: Rule) -> Self {
        Self(self.0 & !(1 << rule as u64))
    }

    pub(crate) const fn has(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u64) != 0
    }
}

// Each rule has a bit.
const _: () = assert!(Rule::ALL.len() <= 64, "more rules than bits");

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let broken = Rule::ALL.iter().filter(|rule| !self.has(**rule));
        f.write_str("all but ")?;
        f.debug_set().entries(broken).finish()
    }
}
