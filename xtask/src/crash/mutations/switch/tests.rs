use super::*;

fn edit<'a>(row: u32, find: &'a str, replace: &'a str) -> Edit<'a> {
    Edit { row, find, replace }
}

/// The text with one space where there was some, so that the tests say no more than what is there.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn switched(source: &str, edits: &[Edit<'_>]) -> String {
    let switched = switch(source, edits).unwrap();
    assert_eq!(switched.refused, []);
    syn::parse_file(&switched.text).unwrap();
    squeezed(&switched.text)
}

fn refused(source: &str, find: &str, replace: &str) -> &'static str {
    let switched = switch(source, &[edit(0, find, replace)]).unwrap();
    assert_eq!(switched.text, source);
    assert_eq!(switched.refused.len(), 1);
    switched.refused[0].1
}

#[test]
fn the_block_around_it_is_there_twice() {
    assert_eq!(
        switched("fn f() -> u8 { 1 + 1 }", &[edit(17, "+ 1", "- 1")]),
        "fn f() -> u8 { if crate::__mutated(17) { 1 - 1 } else { 1 + 1 } }"
    );
}

/// A change within a block that has a switch already: the copy of the outer one is as the file was, so one mutation at a
/// time is in.
#[test]
fn blocks_within_blocks() {
    assert_eq!(
        switched("fn f() { a(); if b { c(); } }", &[edit(1, "a()", "x()"), edit(2, "c()", "y()")]),
        "fn f() { if crate::__mutated(1) { x(); if b { c(); } } else { a(); if b { if crate::__mutated(2) { y(); } \
         else { c(); } } } }"
    );
}

#[test]
fn two_in_one_block() {
    assert_eq!(
        switched("fn f() { a(); b(); }", &[edit(1, "a();", ""), edit(2, "b();", "")]),
        "fn f() { if crate::__mutated(1) { b(); } else if crate::__mutated(2) { a(); } else { a(); b(); } }"
    );
}

#[test]
fn two_blocks_side_by_side_within_a_third() {
    let edits = [edit(3, "b", "y"), edit(2, "c", "z"), edit(1, "f2", "x")];
    assert_eq!(
        switched("fn f() { if a { b } else { c } f2 }", &edits),
        "fn f() { if crate::__mutated(1) { if a { b } else { c } x } else { if a { if crate::__mutated(3) { y } else { b \
         } } else { if crate::__mutated(2) { z } else { c } } f2 } }"
    );
}

#[test]
fn blocks_of_futures_closures_arms_and_loops() {
    let cases = [
        ("fn f() { g(async move { a }) }", "async move { if crate::__mutated(0) { x } else { a } }"),
        ("fn f() { g(|b| { a }) }", "|b| { if crate::__mutated(0) { x } else { a } }"),
        ("fn f() { match b { C => { a } _ => d } }", "C => { if crate::__mutated(0) { x } else { a } }"),
        ("fn f() { let Some(b) = c else { a }; }", "else { if crate::__mutated(0) { x } else { a } };"),
        ("fn f() { for b in c { a } }", "for b in c { if crate::__mutated(0) { x } else { a } }"),
        ("impl T { async fn f() { a } }", "async fn f() { if crate::__mutated(0) { x } else { a } }"),
        ("trait T { fn f() { a } }", "fn f() { if crate::__mutated(0) { x } else { a } }"),
        ("mod m { fn f() { a } }", "fn f() { if crate::__mutated(0) { x } else { a } }"),
    ];
    for (source, part) in cases {
        let text = switched(source, &[edit(0, "a ", "x ")]);
        assert!(text.contains(part), "{text}");
    }
}

/// Macros are no blocks: the one around them is taken.
#[test]
fn a_block_in_the_arguments_of_a_macro() {
    assert_eq!(
        switched("fn f() { m!({ a }); }", &[edit(0, "a", "x")]),
        "fn f() { if crate::__mutated(0) { m!({ x }); } else { m!({ a }); } }"
    );
}

/// The lists' texts begin and end with a line, and a block's content may begin later than that.
#[test]
fn space_around_what_is_found() {
    let source = "fn f() {\n    a();\n    b();\n}\n";
    for (find, replace) in [("    b();\n", "    x();\n"), ("\n    b();\n", "\n    x();\n"), ("b", "x")] {
        assert_eq!(
            switch(source, &[edit(0, find, replace)]).unwrap().text,
            "fn f() { if crate::__mutated(0) {\n    a();\n    x();\n\n} else {\n    a();\n    b();\n\n} }\n"
        );
    }
    assert_eq!(
        switched("fn f() { g(|| {\n    a }) }", &[edit(0, "\n    a ", "")]),
        "fn f() { g(|| { if crate::__mutated(0) { } else { a } }) }"
    );
}

/// What occurs twice is told apart by what is around it: that stays, so it says nothing of the block that is meant.
#[test]
fn context_is_no_part_of_a_change() {
    let source = "fn f() {\n    a();\n    b();\n}\nfn g() {\n    b();\n}\n";
    for (find, replace) in [
        ("    b();\n}\nfn g", "    x();\n}\nfn g"),
        ("    b();\n}\nfn g", "}\nfn g"),
        ("fn f() {\n    a();\n    b();", "fn f() {\n    a();\n"),
        ("}\nfn g() {\n", "}\nfn g() {\n    y();\n"),
    ] {
        let text = switched(source, &[edit(0, find, replace)]);
        let half = text.find("fn g").unwrap();
        let (first, second) = text.split_at(half);
        assert_eq!(replace.contains("y();"), second.contains("__mutated"), "{text}");
        assert_ne!(first.contains("__mutated"), second.contains("__mutated"), "{text}");
    }
}

/// A condition is taken away, with its braces and the block that they were.
#[test]
fn a_change_of_blocks_is_made_around_them() {
    let found = "if c { a }";
    let around = "fn f() { if crate::__mutated(0) { X } else { if c { a } } }";
    for replace in ["a", "if d { a }", "if c { b } else { a }", "if c { a } else { b }", "{ a }", ""] {
        let text = switched("fn f() { if c { a } }", &[edit(0, found, replace)]);
        assert_eq!(text, around.replace(" X ", &format!(" {replace} ")).replace("  ", " "));
    }
}

/// A comment at the end of a block does not take the brace with it.
#[test]
fn a_comment_at_the_end() {
    assert_eq!(
        switch("fn f() { a // b\n}", &[edit(0, "a // b\n", "x // b")]).unwrap().text,
        "fn f() { if crate::__mutated(0) { x // b\n} else { a // b\n\n} }"
    );
}

#[test]
fn inner_attributes_stay_where_they_are() {
    assert_eq!(
        switched("fn f() { #![allow(x)] #![allow(y)] a }", &[edit(0, "a }", "")].map(|_| edit(0, " a ", " x "))),
        "fn f() { #![allow(x)] #![allow(y)] if crate::__mutated(0) { x } else { a } }"
    );
    assert_eq!(refused("fn f() { #![allow(x)] a }", "allow(x)", "deny(x)"), "it changes an attribute");
}

/// The compiler cannot ask the environment.
#[test]
fn what_the_compiler_runs_is_refused() {
    for source in [
        "const fn f() -> u8 { a }",
        "impl T { const fn f() -> u8 { a } }",
        "const fn f() -> u8 { if b { a } else { c } }",
        "const A: u8 = { a };",
        "static A: u8 = { a };",
        "impl T { const A: u8 = { a }; }",
        "type A = [u8; { a }];",
        "enum A { B = { a } }",
        "struct A { b: u8, c: u8, a : u8 }",
        "fn f( a : u8) {}",
    ] {
        assert_eq!(refused(source, " a ", " x "), "it is in no block that runs", "{source}");
    }
}

/// A constant within a function that runs is copied with it.
#[test]
fn a_constant_in_a_function() {
    for source in ["fn f() { const A: u8 = { a }; }", "fn f() { const { a } }", "fn f() { [0; { a }] }"] {
        assert!(
            switched(source, &[edit(0, " a ", " x ")]).starts_with("fn f() { if crate::__mutated(0) {"),
            "{source}"
        );
    }
    let within = switched("const fn f() { fn g() { a } }", &[edit(0, " a ", " x ")]);
    assert_eq!(within, "const fn f() { fn g() { if crate::__mutated(0) { x } else { a } } }");
}

#[test]
fn what_cannot_be_made_is_refused() {
    assert_eq!(refused("fn f() { a }", "b", "x"), "its `find` does not occur once");
    assert_eq!(refused("fn f() { a; a }", "a", "x"), "its `find` does not occur once");
    assert_eq!(refused("fn f() { a }", "a", "{ x"), "no block around it parses");
    let broken = switch("fn f() { a", &[]).unwrap_err().to_string();
    assert!(broken.starts_with("cannot parse string into token stream"), "{broken}");
}

/// What the compiler says of a copy is that row's fault; what it says of a whole chain, that of all its rows.
#[test]
fn blame() {
    let switched = switch(
        "fn f() { a(); if b { c(); } }\nfn g() {}",
        &[edit(1, "a()", "x()"), edit(2, "c()", "y()"), edit(3, "if b", "if z")],
    )
    .unwrap();
    let at = |text: &str| {
        let start = switched.text.find(text).unwrap();
        start..start + text.len()
    };
    assert_eq!(switched.blame(&at("x()")), [1]);
    assert_eq!(switched.blame(&at("if z")), [3]);
    assert_eq!(switched.blame(&at("y()")), [2]);
    assert!(switched.is_copy(&at("y()")));
    assert_eq!(switched.blame(&at("if crate::__mutated(1)")), [1, 3]);
    assert_eq!(switched.blame(&at("__mutated(2)")), [2]);
    assert!(!switched.is_copy(&at("__mutated(2)")));
    assert_eq!(switched.blame(&at("fn g()")), Vec::<u32>::new());
    assert_eq!(switched.places[1].1, 20..26);
}
