//! The reference's known defects, and those an executable model found in drafts of this protocol: a scenario for each, by
//! number. What is a lower layer's is tested there; `docs/testing.md` has the whole list.

mod found;
mod lost;
mod media;
mod misc;
mod order;
mod protocol;
