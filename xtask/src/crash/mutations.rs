//! Applies mutations one by one and sees that the tests find each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::mutation::{self, Mutation};
use crate::process::{Failure, ask};
use crate::workspace::Workspace;

/// A test that a mutation has sent into a loop has failed.
const LIMIT: Duration = Duration::from_secs(1800);

/// What came of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Caught,
    /// It is said to survive, and does.
    Harmless,
    Survived,
    /// It is said to survive, and a test fails.
    CaughtAfterAll,
    /// The workspace does not compile with it: that says nothing about the tests.
    DoesNotCompile,
}

impl Fate {
    fn is_right(self) -> bool {
        matches!(self, Self::Caught | Self::Harmless)
    }
}

/// Applies each mutation in a scratch copy below `target`.
///
/// # Errors
/// When one is not caught, or cannot be applied.
pub(super) fn run_all(workspace: &Workspace, only: Option<&str>) -> Result<(), Failure> {
    let copy = workspace.root.join("target").join("mutations");
    let tree = copy.join("tree");
    copy_tree(&workspace.root, &tree)?;
    let mut wrong = Vec::new();
    let mut count = 0;
    let all = mutation::load(&workspace.root)?;
    for mutation in &all {
        if only.is_some_and(|only| !mutation.name.contains(only)) {
            continue;
        }
        count += 1;
        let began = Instant::now();
        let fate = fate(mutation, &all, &tree, &copy.join("target"))?;
        println!("{:<18}{:>6.0} s  {}", format!("{fate:?}"), began.elapsed().as_secs_f64(), mutation.name);
        if !fate.is_right() {
            wrong.push(mutation.name.as_str());
        }
    }
    match wrong.is_empty() {
        true => {
            println!("{count} mutations, all as they should be");
            Ok(())
        }
        false => Err(Failure::new(format!("not as they should be: {}", wrong.join("; ")))),
    }
}

fn fate(mutation: &Mutation, all: &[Mutation], tree: &Path, target: &Path) -> Result<Fate, Failure> {
    let beside = all.iter().filter(|other| mutation.also.contains(&other.name));
    let mut sound: Vec<(PathBuf, String)> = Vec::new();
    let outcome = std::iter::once(mutation)
        .chain(beside)
        .try_for_each(|part| apply(part, tree).map(|file| sound.push(file)))
        .and_then(|()| test(mutation, tree, target));
    // The last change first: two may be in one file.
    for (path, text) in sound.into_iter().rev() {
        fs::write(&path, text).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    }
    outcome
}

/// Applies one; answers the file and its text as it was.
fn apply(mutation: &Mutation, tree: &Path) -> Result<(PathBuf, String), Failure> {
    let path = tree.join(&mutation.file);
    let failed = |error: std::io::Error| Failure::new(format!("{}: {}: {error}", mutation.name, path.display()));
    let sound = fs::read_to_string(&path).map_err(failed)?;
    if sound.matches(&mutation.find).count() != 1 {
        return Err(Failure::new(format!("{}: its `find` does not occur once", mutation.name)));
    }
    fs::write(&path, sound.replace(&mutation.find, &mutation.replace)).map_err(failed)?;
    Ok((path, sound))
}

fn test(mutation: &Mutation, tree: &Path, target: &Path) -> Result<Fate, Failure> {
    let words: Vec<&str> = mutation.test.split_whitespace().skip(1).collect();
    let cargo = |words: &[&str]| {
        let mut command = crate::process::cargo();
        if let Some(seeds) = mutation.seeds.filter(|_| std::env::var_os("SEEDS").is_none()) {
            command.env("SEEDS", seeds.to_string());
        }
        command.args(words).current_dir(tree).env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", "--cap-lints=warn");
        command
    };
    // Built first: a mutation that does not compile has caught nothing.
    let split = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    let mut build: Vec<&str> = words.get(..split).unwrap_or_default().to_vec();
    build.push("--no-run");
    if !ends_well(&mut cargo(&build))? {
        return Ok(Fate::DoesNotCompile);
    }
    Ok(match (ends_well(&mut cargo(&words))?, mutation.survives.is_some()) {
        (false, false) => Fate::Caught,
        (true, true) => Fate::Harmless,
        (true, false) => Fate::Survived,
        (false, true) => Fate::CaughtAfterAll,
    })
}

/// Runs a program in silence: whether it exits with 0 in time.
fn ends_well(command: &mut Command) -> Result<bool, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("cannot run a test: {error}"));
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = silent.spawn().map_err(failed)?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return Ok(status.success());
        }
        if began.elapsed() > LIMIT {
            child.kill().and_then(|()| child.wait()).map_err(failed)?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Copies what git knows, as it is now. Files that are as they were keep their times, so that little is built anew.
fn copy_tree(root: &Path, tree: &Path) -> Result<(), Failure> {
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let Some(files) = ask(&mut list)? else { return Err(Failure::new("there is no git")) };
    for file in files.lines() {
        let (from, to): (PathBuf, PathBuf) = (root.join(file), tree.join(file));
        let failed = |error: std::io::Error| Failure::new(format!("cannot copy {}: {error}", from.display()));
        let Ok(bytes) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        fs::write(&to, bytes).map_err(failed)?;
    }
    Ok(())
}
