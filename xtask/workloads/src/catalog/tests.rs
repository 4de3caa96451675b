use std::collections::BTreeSet;

use super::*;
use crate::growth;

#[test]
fn every_row_has_its_workload_in_both_scales() {
    for scale in [Scale::Full, Scale::Quick] {
        let workloads: BTreeSet<_> = workloads(scale).into_iter().map(|workload| workload.id).collect();
        let rows: BTreeSet<_> = ROWS.iter().map(|row| row.workload.to_owned()).collect();
        assert_eq!(rows, workloads);
    }
}

/// Results are found by their ids; two workloads of one id would be averaged into nonsense.
#[test]
fn ids_are_unique() {
    let curves = growth::curves(Scale::Full).into_iter().flat_map(|curve| curve.points);
    let all: Vec<_> = workloads(Scale::Full).into_iter().chain(curves.map(|(_, workload)| workload)).collect();
    let ids: BTreeSet<_> = all.iter().map(|workload| &workload.id).collect();
    assert_eq!(ids.len(), all.len());
    let rows: BTreeSet<_> = ROWS.iter().map(|row| row.id).collect();
    assert_eq!(rows.len(), ROWS.len());
}

/// The titles name the sizes; a size that is changed in one place alone makes the table lie.
#[test]
fn the_sizes_are_those_of_the_titles() {
    let all = workloads(Scale::Full);
    let shape = |id: &str| all.iter().find(|workload| workload.id == id).unwrap().shape;
    let (sections, items, value_bytes) = (1_000, 20, 256);
    for id in ["reopen-sections", "reopen-unclean", "load", "prune"] {
        assert_eq!(shape(id), Shape { sections, items, value_bytes }, "{id}");
    }
    assert_eq!(shape("reopen-items"), Shape { sections: 4, items: 50_000, value_bytes: 256 });
    assert_eq!(shape("append-64k"), Shape { sections: 1, items: 4_096, value_bytes: 65_536 });
    assert_eq!(shape("size"), Shape { sections: 1, items: 20_000, value_bytes: 256 });
    assert_eq!(shape("replay-values").value_bytes, 64);
}
