//! The public register: pages, data and charts made from the charter and the verified logs alone (ADR 0012). No other input
//! goes in, so anybody can make the same pages anew; no JavaScript, no other origin, no form that would see who asks about
//! what. English and Spanish. Where it goes: the agency serves it, and `lockplate agency register` writes it as a folder.

mod alarms;
mod chart;
mod data;
mod entries;
mod entry;
mod export;
mod figures;
mod keep;
mod overview;
mod prose;
pub(crate) mod say;
mod serve;
mod shell;
mod site;
pub(crate) mod words;

pub use export::{ExportError, write_to};
pub use keep::Keeping;
pub use serve::{PREFIX, Shown, routes};
pub use site::{File, Inputs, Record, RenderError, RuleWords, Site, Trouble};
pub use words::Lang;
