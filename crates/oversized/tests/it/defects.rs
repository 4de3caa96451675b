//! The reference's known defects, and those an executable model found in drafts of this protocol: a scenario for each, by
//! number, each told in words. What is a lower layer's is tested there.

mod found;
mod lost;
mod media;
mod misc;
mod order;
mod protocol;
