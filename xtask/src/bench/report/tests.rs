use super::*;
use crate::bench::session::tests::example;

/// The report as a whole. `report/tests/golden.md` is what people saw and found right; whoever changes the report looks
/// at it again.
#[test]
fn the_report_of_an_example() {
    let folder = tempfile::tempdir().unwrap();
    write(&example(), folder.path()).unwrap();
    let report = fs::read_to_string(folder.path().join("report.md")).unwrap();
    assert_eq!(report, include_str!("tests/golden.md"));
    let mut plots: Vec<_> = fs::read_dir(folder.path().join("plots"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    plots.sort();
    assert_eq!(plots, ["commit-4k-times.svg", "commit-4k.svg", "entry-mean.svg", "entry-times.svg", "entry.svg"]);
    for plot in plots {
        assert!(report.contains(&format!("(plots/{plot})")), "{plot} is in no text");
    }
}

#[test]
fn a_saved_report_takes_the_place_of_the_old_one_alone() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("benchmarks.md");
    save(&example(), folder.path()).unwrap();
    let first = fs::read_to_string(&page).unwrap();
    assert!(first.starts_with("# Benchmarks\n\n<!-- made by"), "{first}");
    assert!(first.contains("(benchmarks/commit-4k.svg)"), "{first}");

    fs::write(&page, first.replace("# Benchmarks\n", "# Benchmarks\n\nBefore.\n") + "\n## Profiles\n\nBehind.\n")
        .unwrap();
    fs::write(folder.path().join("benchmarks/old.svg"), "").unwrap();
    save(&example(), folder.path()).unwrap();
    let second = fs::read_to_string(&page).unwrap();
    assert!(
        second.starts_with("# Benchmarks\n\nBefore.\n") && second.ends_with("## Profiles\n\nBehind.\n"),
        "{second}"
    );
    assert_eq!(second.matches(BEGIN).count(), 1);
    assert!(!folder.path().join("benchmarks/old.svg").exists(), "a plot of an earlier report");
}

#[test]
fn a_page_without_a_report_keeps_its_text() {
    assert_eq!(insert("# Title\n", "new\n"), format!("# Title\n{BEGIN}\n\nnew\n\n{END}\n"));
    assert_eq!(insert(&format!("a\n{BEGIN}old{END}\nb\n"), "new"), format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
}
