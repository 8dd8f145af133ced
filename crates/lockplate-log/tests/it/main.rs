//! Integration tests of the log crate; one binary.
