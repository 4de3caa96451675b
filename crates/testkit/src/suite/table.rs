//! The table at the end.

use std::fmt::Write;

use super::Summary;
use crate::crash::Promise;

/// What came of the tiers, as a table.
pub fn table(tiers: &[Summary]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(text, "{:<12}{:>14}{:>16}{:>12}{:>12}", "tier", "runs", "crashed states", "runs/s", "violations");
    for tier in tiers {
        let rate = tier.runs as f64 / tier.took.as_secs_f64().max(1e-9);
        let _ = writeln!(
            text,
            "{:<12}{:>14}{:>16}{:>12.0}{:>12}",
            tier.tier,
            tier.runs,
            tier.states,
            rate,
            tier.violations.len()
        );
    }
    for tier in tiers.iter().filter(|tier| !tier.reach.is_empty()) {
        let _ = writeln!(text, "\ngone through, tier {}", tier.tier);
        for (what, count) in &tier.reach {
            let _ = writeln!(text, "  {what:<30}{count:>14}");
        }
    }
    for tier in tiers.iter().filter(|tier| !tier.faults.is_empty()) {
        let _ = writeln!(text, "\nfaults, tier {}", tier.tier);
        for (fault, count) in &tier.faults {
            let _ = writeln!(text, "  {fault:<30}{count:>14}");
        }
    }
    for tier in tiers {
        let _ = writeln!(text, "\npromises checked, tier {}", tier.tier);
        for (promise, name) in Promise::ALL {
            let count = tier.checked.of(promise);
            if count > 0 {
                let _ = writeln!(text, "  {:<30}{count:>14}", format!("{promise:?} {name}"));
            }
        }
    }
    for tier in tiers {
        for violation in &tier.violations {
            let _ = writeln!(text, "\n{violation}");
        }
    }
    text
}
