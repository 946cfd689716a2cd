//! Which ports each workspace, and the gates, may listen on.
//!
//! A range belongs to whoever was given it until the workspace is gone. It is written down in the workspace's own directory, so that an
//! attempt has the same ports after a restart.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::{
    git::{Workspace, Workspaces},
    model::{AttemptId, ContentHash, Ports},
    untrusted::{read_small, write_new},
};

/// The variable that names the first port of a range.
pub(super) const PORT_BASE: &str = "ORCHESTRATOR_PORT_BASE";

/// The file in an attempt's directory that has its first port.
const FILE: &str = "ports";

/// Who has a range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Attempt(AttemptId),
    /// All gates: they run one at a time.
    Gates,
}

/// The ranges of one orchestrator.
#[derive(Debug)]
pub(super) struct PortRanges {
    ports: Ports,
    /// The range that is tried first. Each state directory has another, so that two orchestrators on one machine begin far apart.
    first: u32,
    taken: Mutex<BTreeMap<Holder, u32>>,
}

impl PortRanges {
    /// With those of the workspaces that are there.
    pub(super) fn of(ports: Ports, state_dir: &Path, workspaces: &Workspaces) -> Self {
        let mut taken = BTreeMap::new();
        for workspace in workspaces.discover().unwrap_or_default() {
            // Of two that say the same, one was written by somebody else.
            if let Some(range) = written(ports, &workspace)
                && !taken.values().any(|other| *other == range)
            {
                taken.insert(Holder::Attempt(workspace.attempt), range);
            }
        }
        let hash = ContentHash::of(state_dir.as_os_str().as_encoded_bytes()).to_string();
        let hash = u32::from_str_radix(&hash[..8], 16).unwrap_or(0);
        Self {
            ports,
            first: hash.checked_rem(ports.ranges()).unwrap_or(0),
            taken: Mutex::new(taken),
        }
    }

    /// The first port of the gates.
    ///
    /// # Errors
    /// In words, when every range is taken.
    pub(super) fn of_gates(&self) -> Result<u16, String> {
        self.given(Holder::Gates)
    }

    /// The first port of an attempt.
    ///
    /// # Errors
    /// In words, when every range is taken.
    pub(super) fn of_attempt(&self, workspace: &Workspace) -> Result<u16, String> {
        let base = self.given(Holder::Attempt(workspace.attempt.clone()))?;
        if written(self.ports, workspace) != self.ports.range_of(base) {
            let kept = write_new(&workspace.root().join(FILE), format!("{base}\n"));
            // It is lost with this process then, and nothing else.
            kept.unwrap_or_else(|error| tracing::warn!(%error, "ports cannot be written down"));
        }
        Ok(base)
    }

    /// The workspace is gone: its ports are free.
    pub(super) fn release(&self, attempt: &AttemptId) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&Holder::Attempt(attempt.clone()));
    }

    fn given(&self, holder: Holder) -> Result<u16, String> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(base) = taken.get(&holder).and_then(|range| self.ports.base(*range)) {
            return Ok(base);
        }
        let count = self.ports.ranges();
        let in_order = (0..count).map(|step| (self.first + step) % count);
        let free: Vec<_> = in_order
            .filter(|range| !taken.values().any(|other| other == range))
            .collect();
        let is_unused = |range: &&u32| self.is_unused(**range);
        // Where others use all of them, whoever listens finds out; some of its ports may be free.
        let range = free.iter().find(is_unused).or(free.first());
        let none = || {
            format!(
                "all {count} ranges of ports belong to workspaces that are there: clean some of them up, or set \
                 `environment.ports` in the policy"
            )
        };
        let range = *range.ok_or_else(none)?;
        taken.insert(holder, range);
        self.ports.base(range).ok_or_else(none)
    }

    /// Whether nobody on this machine listens on a port of the range now.
    fn is_unused(&self, range: u32) -> bool {
        let Some(base) = self.ports.base(range) else {
            return false;
        };
        let last = base.saturating_add(self.ports.each - 1);
        (base..=last).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
    }
}

/// The range that a workspace's own directory names.
fn written(ports: Ports, workspace: &Workspace) -> Option<u32> {
    let text = read_small(&workspace.root().join(FILE)).ok()?;
    let base = std::str::from_utf8(&text).ok()?.trim().parse().ok()?;
    ports.range_of(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn few() -> Ports {
        let text = "[environment]\nports = { first = 21000, last = 21029, each = 10 }";
        let policy = crate::model::Policy::parse(text).expect("a valid policy");
        policy.environment.ports
    }

    fn workspace(workspaces: &Workspaces, attempt: &str) -> Workspace {
        let workspace = workspaces.of(&attempt.parse().expect("an id"));
        std::fs::create_dir_all(workspace.root()).expect("makes");
        workspace
    }

    #[test]
    fn ranges_never_meet_outlive_a_restart_and_are_used_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let workspaces = Workspaces::beneath(dir.path());
        let [one, two, three] =
            ["R1#1", "R1#2", "R2#1"].map(|attempt| workspace(&workspaces, attempt));
        let ranges = PortRanges::of(few(), dir.path(), &workspaces);
        let gates = ranges.of_gates().expect("is free");
        let [first, second] = [&one, &two].map(|own| ranges.of_attempt(own).expect("is free"));
        assert!(gates != first && gates != second && first != second);
        assert_eq!(ranges.of_attempt(&one), Ok(first), "it stays");
        let none = ranges.of_attempt(&three).expect_err("there are three");
        assert!(none.starts_with("all 3 ranges of ports"), "{none}");
        let again = PortRanges::of(few(), dir.path(), &workspaces);
        assert_eq!(again.of_attempt(&two), Ok(second), "after a restart");
        assert_eq!(again.of_attempt(&one), Ok(first));
        again.release(&one.attempt);
        assert!(again.of_attempt(&three).is_ok());
    }

    #[test]
    fn ranges_that_two_workspaces_claim_belong_to_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let workspaces = Workspaces::beneath(dir.path());
        let [one, two] = ["R1#1", "R2#1"].map(|attempt| workspace(&workspaces, attempt));
        for claimed in [&one, &two] {
            std::fs::write(claimed.root().join(FILE), "21010").expect("writes");
        }
        let ranges = PortRanges::of(few(), dir.path(), &workspaces);
        let [first, second] = [&one, &two].map(|own| ranges.of_attempt(own).expect("is free"));
        assert_eq!(first, 21_010);
        assert_ne!(second, first);
    }

    #[test]
    fn ranges_that_somebody_listens_on_are_passed_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let ranges = PortRanges::of(few(), dir.path(), &Workspaces::beneath(dir.path()));
        let before = ranges.of_gates().expect("is free");
        let listens = TcpListener::bind((Ipv4Addr::LOCALHOST, before + 3)).expect("is free");
        let again = PortRanges::of(few(), dir.path(), &Workspaces::beneath(dir.path()));
        assert_ne!(again.of_gates(), Ok(before));
        drop(listens);
    }
}
