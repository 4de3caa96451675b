//! Looking at everything: each frame with its value, each page of the index, each record against its frame, each header,
//! the manifest. Changes nothing.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use blob_runtime::segmented::Driver;
use blob_runtime::{Blob, Error as StorageError, HeaderState, manifest};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use glob::section::Frames;

use crate::error::Error;
use crate::index::Place;
use crate::raw::RawOversized;
use crate::section::Section;

/// Findings of one section that are told, at most: a file of zeros is one finding, not a million.
const MAX_FINDINGS: usize = 1000;

/// Something that is not as it should be.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The section; `None` for what concerns the whole store.
    pub section: Option<u64>,
    /// The entry; `None` when it concerns no single one.
    pub position: Option<u64>,
    /// What is wrong, and where.
    pub error: Error,
}

/// Yields what is found; see [`RawOversized::verify`]. `Err`: something could not be read, and nothing is known about it.
pub struct Verify {
    store: RawOversized,
    sections: VecDeque<u64>,
    manifest: bool,
    found: VecDeque<Finding>,
    step: Option<BoxFuture<'static, Result<Vec<Finding>, Error>>>,
}

impl Verify {
    pub(crate) fn new(store: RawOversized, sections: Vec<u64>) -> Self {
        Self { store, sections: sections.into(), manifest: true, found: VecDeque::new(), step: None }
    }
}

impl Stream for Verify {
    type Item = Result<Finding, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(finding) = this.found.pop_front() {
                return Poll::Ready(Some(Ok(finding)));
            }
            if let Some(step) = &mut this.step {
                match step.poll_unpin(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(result) => {
                        this.step = None;
                        match result {
                            Ok(found) => this.found = found.into(),
                            Err(error) => return Poll::Ready(Some(Err(error))),
                        }
                    }
                }
                continue;
            }
            let store = this.store.clone();
            if std::mem::take(&mut this.manifest) {
                this.step = Some(async move { look_at_manifest(&store).await }.boxed());
            } else if let Some(section) = this.sections.pop_front() {
                this.step = Some(async move { look_at(&store, section).await }.boxed());
            } else {
                return Poll::Ready(None);
            }
        }
    }
}

/// How often something is looked at that changes under the look.
const TRIES: usize = 8;

/// A slot that is being written is no finding: only what two looks find alike is.
async fn look_at_manifest(store: &RawOversized) -> Result<Vec<Finding>, Error> {
    let mut before = read_manifest(store).await?;
    for _ in 0..TRIES {
        if before.is_empty() {
            break;
        }
        if !store.store().is_read_only() {
            store.store().enter().await?;
        }
        let again = read_manifest(store).await?;
        let text = |findings: &[Finding]| findings.iter().map(|found| found.error.to_string()).collect::<Vec<_>>();
        if text(&again) == text(&before) {
            break;
        }
        before = again;
    }
    Ok(before)
}

async fn read_manifest(store: &RawOversized) -> Result<Vec<Finding>, Error> {
    let shared = store.store().driver().shared();
    let damage = |error: StorageError| Finding { section: None, position: None, error: error.into() };
    let found = match manifest::look(&shared.storage, &shared.values_partition).await {
        Ok(found) => found,
        Err(error @ (StorageError::Corrupt { .. } | StorageError::FormatMismatch { .. })) => {
            return Ok(vec![damage(error)]);
        }
        Err(error) => return Err(error.into()),
    };
    let manifest::Finding::Found(found) = found else {
        return Ok(match found {
            manifest::Finding::Damaged(damaged) => vec![damage(damaged.error())],
            _ if store.sections().is_empty() => Vec::new(),
            _ => vec![Finding { section: None, position: None, error: Error::Closed }],
        });
    };
    let mut findings = Vec::new();
    let blob = || found.blob().id().clone();
    if let HeaderState::Bad(fault) = found.header_state() {
        findings.push(damage(bad_header(found.blob().as_ref(), fault)));
    }
    for (number, fault) in (0_u64..).zip(found.faults()) {
        if let Some(fault) = fault {
            findings.push(damage(StorageError::Corrupt {
                blob: blob(),
                offset: number * manifest::SLOT_BYTES as u64,
                expected: "a slot whose checksum matches; the other one is sound".into(),
                found: format!("{fault:?}"),
            }));
        }
    }
    Ok(findings)
}

fn bad_header(blob: &dyn Blob, fault: blob_runtime::HeaderFault) -> StorageError {
    StorageError::Corrupt {
        blob: blob.id().clone(),
        offset: 0,
        expected: "a header whose checksum matches".into(),
        found: fault.to_string(),
    }
}

/// Looks at a section until it has not changed its structure under the look: what was read of two states belongs to none.
async fn look_at(store: &RawOversized, section: u64) -> Result<Vec<Finding>, Error> {
    for _ in 0..TRIES {
        let mut findings = Vec::new();
        let Some(open) = opened(store, section, &mut findings).await? else { return Ok(findings) };
        let cuts = open.values.cuts();
        let looked = look_into(store, &open, &mut findings).await;
        let is_changed = open.values.is_held() || open.values.cuts() != cuts || open.values.shut_reason().is_some();
        if !is_changed {
            return match looked {
                Ok(()) => told(store, findings).await,
                Err(error) => Err(store.explain(section, error).await),
            };
        }
        store.store().guard(u64::MAX)?;
        if !store.store().is_read_only() {
            store.store().enter().await?;
        }
    }
    Err(Error::Rewound { section })
}

/// The findings; in a read-only store that a writer has changed meanwhile they say nothing.
async fn told(store: &RawOversized, findings: Vec<Finding>) -> Result<Vec<Finding>, Error> {
    let Some(Finding { section: Some(section), error, .. }) = findings.first() else { return Ok(findings) };
    match store.explain(*section, error.clone()).await {
        stale @ Error::Stale { .. } => Err(stale),
        _ => Ok(findings),
    }
}

/// The section; `None` when it cannot be opened, which is a finding, or is not there any more, which is none.
async fn opened(
    store: &RawOversized,
    section: u64,
    findings: &mut Vec<Finding>,
) -> Result<Option<Arc<Section>>, Error> {
    let error = match store.existing(section).await {
        Ok(open) => return Ok(Some(open)),
        Err(error) => error,
    };
    match error {
        Error::Corrupt { .. } | Error::ChecksumMismatch { .. } | Error::FormatMismatch { .. } => {
            findings.push(Finding { section: Some(section), position: None, error });
            Ok(None)
        }
        Error::Pruned { .. } | Error::SectionOutOfRange { .. } => Ok(None),
        error => Err(error),
    }
}

async fn look_into(store: &RawOversized, open: &Arc<Section>, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let section = open.number();
    found_at_open(store, open, findings).await?;
    headers(store, open, findings).await?;
    let mut position = 0;
    let mut frames = Frames::new(Arc::clone(&open.values), glob::Cursor::START);
    while findings.len() < MAX_FINDINGS {
        match frames.next().await {
            None => break,
            Some(Ok(frame)) => {
                position = frame.position + 1;
                compare(open, frame.position, &frame.tag, findings).await?;
            }
            Some(Err(error)) => {
                let error = open.of_values(error);
                if !error.is_damage() && !matches!(error, Error::ValueTooLarge { .. }) {
                    return Err(error);
                }
                let at = frames.at().position.max(position);
                findings.push(Finding { section: Some(section), position: Some(at), error });
                // The index knows where the next one begins.
                position = at + 1;
                let Some(next) = next_frame(open, position).await? else { break };
                frames = Frames::new(Arc::clone(&open.values), next);
            }
        }
    }
    Ok(())
}

/// What the open of a reader has found: the section ends there, so whoever goes through it sees nothing of it. It is looked
/// at again, for a writer may have been at work: what it had not written then is there now.
async fn found_at_open(store: &RawOversized, open: &Section, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let Some(look) = open.damaged else { return Ok(()) };
    let section = open.number();
    let driver = store.store().driver();
    let found = driver.survey(section, look, false).await?;
    if let Some(damage) = driver.damage(section, &found) {
        findings.push(Finding { section: Some(section), position: Some(open.len()), error: damage.error.into() });
    }
    Ok(())
}

/// Where the frame of an entry begins, as its record in the index says.
async fn next_frame(open: &Section, position: u64) -> Result<Option<glob::Cursor>, Error> {
    if position >= open.len() {
        return Ok(None);
    }
    let record = match open.index.look(position, bytes::Bytes::copy_from_slice) {
        Place::Found(record) => record,
        Place::Frames => return Ok(None),
        Place::Pages(pages) => match pages.get(position).await {
            Ok(record) => record,
            Err(error) => {
                let error = Error::of_index(open.number(), error);
                return if error.is_damage() { Ok(None) } else { Err(error) };
            }
        },
    };
    let location = (open.shared.locate)(&record);
    Ok(location.map(|location| glob::Cursor { offset: location.offset, position }))
}

/// The record in the index is that of the frame.
async fn compare(open: &Section, position: u64, tag: &[u8], findings: &mut Vec<Finding>) -> Result<(), Error> {
    let same = match open.index.look(position, |record| record == tag) {
        Place::Found(same) => Ok(same),
        Place::Frames => Ok(true),
        Place::Pages(pages) => match pages.get(position).await {
            Ok(record) => Ok(record == tag),
            Err(error) => Err(Error::of_index(open.number(), error)),
        },
    };
    let error = match same {
        Ok(true) | Err(Error::ItemOutOfRange { .. } | Error::Rewound { .. }) => return Ok(()),
        Err(error) if !error.is_damage() => return Err(error),
        Err(error) => error,
        Ok(false) => Error::Corrupt {
            blob: open.values.blob().id().clone(),
            offset: (open.shared.locate)(tag).map_or(0, |location| location.offset),
            expected: format!("the record that the index has for entry {position}"),
            found: "another".into(),
        },
    };
    // One finding for each page, not for each of its records.
    let same_place = |finding: &Finding| finding.error.to_string() == error.to_string();
    if !findings.last().is_some_and(same_place) {
        findings.push(Finding { section: Some(open.number()), position: Some(position), error });
    }
    Ok(())
}

/// The headers of both files, as they are now. A header reaches its file with the first sync, at the latest: before that
/// it may be anything.
async fn headers(store: &RawOversized, open: &Section, findings: &mut Vec<Finding>) -> Result<(), Error> {
    let section = open.number();
    let shared = store.store().driver().shared();
    let values = match open.values.floor() {
        0 => None,
        _ => Some(store.store().driver().look_at_values(section).await),
    };
    let index = match open.index.pages().filter(|pages| pages.durable_len() > 0) {
        Some(_) => Some(shared.open_index(section, open.values.blob().header().salt).await.map_err(Error::from)),
        None => None,
    };
    for opened in [values, index].into_iter().flatten() {
        let error = match opened {
            Ok(blob) => match blob.header_state() {
                HeaderState::Bad(fault) => bad_header(blob.as_ref(), fault).into(),
                _ => continue,
            },
            Err(error) if matches!(error.storage(), Some(StorageError::NotFound { .. })) => error,
            Err(error @ (Error::FormatMismatch { .. } | Error::Corrupt { .. })) => error,
            Err(error) => return Err(error),
        };
        findings.push(Finding { section: Some(section), position: None, error });
    }
    Ok(())
}

impl fmt::Debug for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verify").field("sections", &self.sections.len()).finish_non_exhaustive()
    }
}
