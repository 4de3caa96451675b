use super::super::build::Place;
use super::*;

const SOURCE: &str = "fn f() {\n    a();\n    b();\n}\nfn g() {\n    c();\n}\nconst D: u8 = 4;\n";

fn row(name: &str, file: &str, find: &str, also: &[&str]) -> Mutation {
    Mutation {
        name: name.to_owned(),
        file: file.to_owned(),
        find: find.to_owned(),
        replace: "x();".to_owned(),
        also: also.iter().map(|&name| name.to_owned()).collect(),
        test: "cargo test -p a".to_owned(),
        seeds: None,
        caught_by: Vec::new(),
        survives: None,
    }
}

/// The rows that are refused when these are wanted.
fn refused(all: &[Mutation], rows: &[usize]) -> (Vec<usize>, BTreeMap<String, Switched>) {
    let folder = tempfile::tempdir().unwrap();
    tree::write(&folder.path().join("crates/a/src/x.rs"), SOURCE.as_bytes()).unwrap();
    let mut refused = BTreeMap::new();
    let files = plan(folder.path(), all, rows, &mut refused).unwrap();
    (refused.into_keys().collect(), files)
}

#[test]
fn rows_that_need_others() {
    let file = "crates/a/src/x.rs";
    let all = [
        row("a", file, "a();", &[]),
        row("b with a, in one block", file, "b();", &["a"]),
        row("c with a", file, "c();", &["a"]),
        row("d is a constant", file, "const D: u8 = 4;", &[]),
        row("a with d", file, "a();\n", &["d is a constant"]),
        row("of a program", "crates/a/src/bin/x.rs", "a();", &[]),
        row("of the tests", "crates/a/tests/it/x.rs", "a();", &[]),
    ];
    let (alone, files) = refused(&all, &[0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(alone, [1, 3, 4, 5, 6]);
    assert!(files[file].text.contains("if crate::__mutated(0) {"));
    assert_eq!(on(&all, 2), "2,0");
    // One that is only needed by another is switched as well.
    let (alone, files) = refused(&all, &[2]);
    assert_eq!(alone, Vec::<usize>::new());
    assert!(files[file].text.contains("if crate::__mutated(0) {"));
}

/// An error in the block as it was, with a copy named beside it: the copy is to blame.
#[test]
fn blame_goes_to_a_copy() {
    let file = "crates/a/src/x.rs";
    let all = [row("a", file, "a();", &[]), row("b", file, "b();", &[]), row("c", file, "c();", &[])];
    let (_, files) = refused(&all, &[0, 1, 2]);
    let text = &files[file].text;
    let place = |at: usize| Place { file: file.to_owned(), bytes: at..at + 1 };
    let complaint = |places| Complaint { text: String::new(), places };
    let (first, last) = (text.find("x();").unwrap(), text.rfind("a();").unwrap());
    assert_eq!(blame(&files, &complaint(vec![place(last), place(first)])), [0]);
    assert_eq!(blame(&files, &complaint(vec![place(last)])), [0, 1]);
    assert_eq!(blame(&files, &complaint(vec![place(text.find("const").unwrap())])), Vec::<usize>::new());
    assert_eq!(blame(&files, &complaint(vec![Place { file: "b.rs".to_owned(), bytes: 0..1 }])), Vec::<usize>::new());
}
