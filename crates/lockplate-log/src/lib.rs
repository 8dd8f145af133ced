//! Written in this session.
