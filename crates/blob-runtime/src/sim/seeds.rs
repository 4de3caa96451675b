//! Which seeds a run takes, from the environment.

use std::ops::Range;

#[cfg(test)]
mod tests;

/// A variable of the environment that should be a number and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}={value} is no number of 64 bits")]
pub struct InvalidSeeds {
    /// `SEED`, `SEEDS` or `FIRST_SEED`.
    pub variable: &'static str,
    /// What it is set to.
    pub value: String,
}

/// The seeds a test is to run: `usual` many from 0 on, unless the environment says otherwise. `SEED`: exactly this one,
/// to see a failure again. `SEEDS`: how many. `FIRST_SEED`: where to begin.
///
/// # Errors
/// [`InvalidSeeds`]: a slip of the pen must not pass for a run.
pub fn seeds(usual: u64) -> Result<Range<u64>, InvalidSeeds> {
    of(usual, |variable| std::env::var(variable).ok())
}

fn of(usual: u64, value_of: impl Fn(&str) -> Option<String>) -> Result<Range<u64>, InvalidSeeds> {
    let number = |variable| match value_of(variable) {
        None => Ok(None),
        Some(value) => value.parse::<u64>().map(Some).map_err(|_| InvalidSeeds { variable, value }),
    };
    let (one, many, first) = (number("SEED")?, number("SEEDS")?, number("FIRST_SEED")?);
    let (first, many) = match one {
        Some(seed) => (seed, 1),
        None => (first.unwrap_or(0), many.unwrap_or(usual)),
    };
    Ok(first..first.saturating_add(many))
}
