use super::*;

const CODE: &str = "fn sync() {\n    one();\n    two();\n    one();\n}\n";

fn findings(entry: &str) -> Vec<String> {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    let files = [
        file("crates/a/src/sync.rs", CODE),
        file("crates/a/src/sync/tests.rs", "fn the_order_is_kept() {}"),
        file("xtask/mutations/a.toml", entry),
    ];
    check(&files).iter().map(ToString::to_string).collect()
}

fn entry(find: &str, rest: &str) -> String {
    format!("[[mutation]]\nname = 'm'\nfile = 'crates/a/src/sync.rs'\nfind = '{find}'\nreplace = ''\n{rest}\n")
}

const CAUGHT: &str = "test = 'cargo test -p a'\ncaught-by = ['sync::tests::the_order_is_kept']";

#[test]
fn what_can_be_applied_and_is_caught_is_fine() {
    assert_eq!(findings(&entry("two();", CAUGHT)), [""; 0]);
    assert_eq!(findings(&entry("two();", "test = 'cargo test -p a'\nsurvives = 'it is done twice'")), [""; 0]);
}

/// The source has moved on: the mutation would change another place, or none, and its test would prove nothing.
#[test]
fn what_has_moved_is_found() {
    let at = "xtask/mutations/a.toml:2: [mutation] m: ";
    for (find, count) in [("one();", 2), ("three();", 0)] {
        let message = format!("{at}its `find` occurs {count} times in crates/a/src/sync.rs");
        assert_eq!(findings(&entry(find, CAUGHT)), [message]);
    }
    let gone = entry("two();", CAUGHT).replace("a/src", "b/src");
    assert_eq!(findings(&gone), [format!("{at}there is no crates/b/src/sync.rs")]);
    assert_eq!(
        findings(&entry("two();", &CAUGHT.replace("is_kept", "is_lost"))),
        [format!("{at}there is no test sync::tests::the_order_is_lost")]
    );
}

#[test]
fn what_proves_nothing_is_found() {
    let at = "xtask/mutations/a.toml:2: [mutation] m: ";
    assert_eq!(
        findings(&entry("two();", "test = 'cargo test -p a'")),
        [format!("{at}no test has caught it, and nothing says why none can")]
    );
    assert_eq!(
        findings(&entry("two();", &format!("{CAUGHT}\nsurvives = 'why'"))),
        [format!("{at}it is caught, and is said to survive")]
    );
    assert_eq!(
        findings(&entry("two();", CAUGHT).replace("replace = ''", "replace = 'two();'")),
        [format!("{at}it changes nothing")]
    );
    assert_eq!(
        findings(&entry("two();", &CAUGHT.replace("cargo test", "true"))),
        [format!("{at}its `test` is no `cargo test`")]
    );
    let twice = format!("{}{}", entry("two();", CAUGHT), entry("two();", CAUGHT));
    assert_eq!(findings(&twice), [format!("{at}there are two of this name")]);
    let also = entry("two();", &format!("{CAUGHT}\nalso = ['n']"));
    assert_eq!(findings(&also), [format!("{at}there is no mutation n")]);
    assert_eq!(findings("[[mutation]]\nname = 'm'\n").len(), 1);
}

/// A list that is kept by hand falls behind what it lists.
#[test]
fn the_document_lists_each_and_no_other() {
    let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
    let told = |table: &str| -> Vec<String> {
        let survivor =
            entry("fn sync()", "test = 'cargo test -p a'\nsurvives = 'it is done twice'").replace("'m'", "'n'");
        let files = [
            file("crates/a/src/sync.rs", CODE),
            file("crates/a/src/sync/tests.rs", "fn the_order_is_kept() {}"),
            file("xtask/mutations/a.toml", &format!("{}{survivor}", entry("two();", CAUGHT))),
            file(TESTING, table),
        ];
        check(&files).iter().map(ToString::to_string).collect()
    };
    let (m, n) = ("| m | `sync::tests::the_order_is_kept` |", "| n | none can: it is done twice |");
    assert_eq!(told(&format!("# T\n\n{LIST}{m}\n{n}\n\nmore\n")), [""; 0]);
    assert_eq!(told(&format!("# T\n\n{LIST}{m}\n")), [format!("docs/testing.md:4: [mutation] not in the list: {n}")]);
    assert_eq!(
        told(&format!("{LIST}{m}\n{n}\n| o | `gone` |\n")),
        ["docs/testing.md:5: [mutation] no mutation of `xtask/mutations`"]
    );
    assert_eq!(told("# T\n").len(), 1);
}
