//! Hot lists at the recorder: lists are taken from files, decided, logged and only then matched, beside the sealing of reads
//! (`hotlists.md` sections 4 and 5). Entries of extracts are in memory only. Hits go to [`crate::alerts`]; what is a hit is decided in
//! `lockplate_core::hotlist`.

pub mod law;
