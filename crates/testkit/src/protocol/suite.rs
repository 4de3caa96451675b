//! The searches that every commit has to pass, and a wider form of them.

use super::actions::Op;
use super::bounds::Bounds;

/// A search with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// What it looks at.
    pub name: &'static str,
    /// How far it goes.
    pub bounds: Bounds,
}

/// Searches over all operations, in any order; `ops` of them, or one less where much else may happen. With 4 they take
/// about a minute on two cores, and each more operation takes about 15 times as long.
pub fn suite(ops: u8) -> Vec<Search> {
    let all = || Bounds::free(Op::all(), ops);
    let fewer = || Bounds::free(Op::all(), ops.saturating_sub(1));
    let search = |name, bounds| Search { name, bounds };
    vec![
        search("a crash, and one in the recovery behind it", all().crashes(2)),
        search("torn cells, blocks that come back, three crashes", fewer().crashes(2).torn().stale()),
        search("a sync or a write fails", fewer().crashes(2).faults(1).torn().stale()),
        search("a cell rots", all().crashes(1).rots(1)),
        search("a cell rots, and something fails", fewer().crashes(2).faults(1).rots(1)),
        search("somebody gets in", all().crashes(1).guests(1)),
        search("zeros are written ahead", fewer().crashes(2).faults(1).guests(1).ahead()),
    ]
}
