//! The one clock of the driver.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// Now, as the ledger writes it.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
