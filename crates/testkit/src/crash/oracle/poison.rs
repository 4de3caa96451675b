//! Which sections have told of a failed sync: they take nothing until they are opened anew (I8).

use super::Oracle;

/// When something began, as far as the sections are concerned that it may tell of.
#[derive(Debug, Clone, Default)]
pub struct Since {
    renewals: u32,
    /// Sections that held something.
    held: Vec<u64>,
}

impl Oracle {
    /// Now.
    pub fn since(&self) -> Since {
        let (first, others) = match &self.worlds[..] {
            [first, others @ ..] => (first, others),
            [] => return Since { renewals: self.renewals, held: Vec::new() },
        };
        let sections = first.sections.keys().copied();
        let held = |section: &u64| first.len(*section) > 0 && others.iter().all(|world| world.len(*section) > 0);
        Since { renewals: self.renewals, held: sections.filter(held).collect() }
    }

    /// A section has told of a failed sync: so was told what began then. One that was removed since, or opened anew, is
    /// another one; beside a change it may be; and one that held nothing may have been taken back and made again.
    pub fn poisoned(&mut self, section: u64, since: &Since) {
        if since.renewals == self.renewals && !self.is_changing() && since.held.contains(&section) {
            self.poisoned.push(section);
        }
    }

    /// Whether a section has told of a failed sync, and was not opened anew since.
    pub fn is_poisoned(&self, section: u64) -> bool {
        self.poisoned.contains(&section)
    }
}
