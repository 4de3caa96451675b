//! Integration tests, linked as one binary.

#[cfg(unix)]
mod files;
