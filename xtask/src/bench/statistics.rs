//! Medians, ranges, ratios, and how cost grows.

#[cfg(test)]
mod tests;

/// Differences of less than this factor are ties: two runs of one program on one machine differ by as much.
pub(super) const TIE: f64 = 1.2;

/// Several measurements of one figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Summary {
    /// `None` when there are none. The median of an even number is the mean of the two in the middle.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let (low, high) = (*sorted.get((sorted.len() - 1) / 2)?, *sorted.get(sorted.len() / 2)?);
        Some(Self { median: f64::midpoint(low, high), min, max })
    }
}

/// How many times as good `ours` is as `theirs`. `None` when one of them is 0 or no number.
pub(super) fn times_as_good(ours: f64, theirs: f64, more_is_better: bool) -> Option<f64> {
    let ratio = if more_is_better { ours / theirs } else { theirs / ours };
    (ratio.is_finite() && ratio > 0.0).then_some(ratio)
}

/// How two figures stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Ahead,
    Tie,
    Behind,
}

/// What a ratio of [`times_as_good`] says.
pub(super) fn standing(ratio: f64) -> Standing {
    if ratio >= TIE {
        Standing::Ahead
    } else if ratio <= 1.0 / TIE {
        Standing::Behind
    } else {
        Standing::Tie
    }
}

/// The exponent `e` of the curve `cost = c * size^e` that fits the points best: the slope of the least-squares line
/// through their logarithms. `None` for fewer than two sizes, and for sizes or costs that are not positive.
pub(super) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points.iter().map(|(size, cost)| (size.ln(), cost.ln())).collect();
    if logs.iter().any(|(size, cost)| !size.is_finite() || !cost.is_finite()) {
        return None;
    }
    let count = f64::from(u32::try_from(logs.len()).ok()?);
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / count;
    let (mean_size, mean_cost) = (mean(|log| log.0), mean(|log| log.1));
    let covariance: f64 = logs.iter().map(|(size, cost)| (size - mean_size) * (cost - mean_cost)).sum();
    let variance: f64 = logs.iter().map(|(size, _)| (size - mean_size).powi(2)).sum();
    let slope = covariance / variance;
    slope.is_finite().then_some(slope)
}
