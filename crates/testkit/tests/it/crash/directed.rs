//! Runs that have broken a promise once, cut down. Each failed before the fix it tells of.
