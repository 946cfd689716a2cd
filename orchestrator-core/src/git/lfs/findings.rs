//! What is found in the objects that a head brings.

use std::cmp::Reverse;

use super::pointer::Named;
use crate::{
    git::IngressLimits,
    model::{Finding, Severity},
};

/// How a worker fixes a pointer.
const AGAIN: &str =
    "put the content itself there, `git add` it with git-lfs installed, and commit again";

/// What commits bring.
#[derive(Debug, Default)]
pub(super) struct Brought {
    pub(super) named: Vec<Named>,
    /// The bytes of all of git's objects.
    pub(super) total: u64,
}

/// What is larger than it may be. The bytes of LFS objects count as those of git's own do.
pub(super) fn too_much(brought: &Brought, limits: IngressLimits) -> Vec<(Named, Finding)> {
    let mut by_size: Vec<_> = brought.named.iter().collect();
    by_size.sort_by_key(|named| Reverse(named.pointer.size));
    let mut found: Vec<_> = by_size
        .iter()
        .take_while(|named| named.pointer.size > limits.blob)
        .map(|named| {
            let message = format!(
                "its LFS object has {} bytes; at most {} are taken in (`limits.file`)",
                named.pointer.size, limits.blob
            );
            (
                (*named).clone(),
                Finding::new(Severity::Error, "size/file", message),
            )
        })
        .collect();
    let sizes = brought.named.iter().map(|named| named.pointer.size);
    let total = sizes.fold(brought.total, u64::saturating_add);
    if found.is_empty() && total > limits.total {
        let message = format!(
            "its new objects have {total} bytes together, those of Git LFS among them; \
             at most {} are taken in (`limits.work`). This is the largest",
            limits.total
        );
        let finding = Finding::new(Severity::Error, "size/total", message);
        let largest = by_size.first().map(|named| ((*named).clone(), finding));
        found.extend(largest);
    }
    found
}

pub(super) fn other_size(named: &Named, size: u64) -> Finding {
    let message = format!(
        "its pointer says that the LFS object has {} bytes, and it has {size}: {AGAIN}",
        named.pointer.size
    );
    Finding::new(Severity::Error, "lfs/size", message)
}

pub(super) fn damaged() -> Finding {
    let message =
        format!("its LFS object is not what the pointer says: its SHA-256 is another; {AGAIN}");
    Finding::new(Severity::Error, "lfs/damaged", message)
}

/// `why` is what the remote said.
pub(super) fn nowhere(named: &Named, why: &str) -> Finding {
    let oid = named.pointer.oid;
    let message = format!(
        "it is a pointer to the LFS object {oid}, which is neither in this repository \
         (`lfs/objects`) nor in the remote ({why}): {AGAIN}"
    );
    Finding::new(Severity::Error, "lfs/missing", message)
}
