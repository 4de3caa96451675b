//! The tests of the protocol's model.

mod protocol;
