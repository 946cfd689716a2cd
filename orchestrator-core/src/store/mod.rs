//! Ledgers and evidence stores in the box: on disk, and in memory.
//!
//! `docs/storage.md` argues why plain files carry them.

mod file_evidence;
mod file_ledger;
mod ledger_lines;
mod memory;

pub use file_evidence::FileEvidence;
pub use file_ledger::FileLedger;
pub use memory::{MemoryEvidence, MemoryLedger};
