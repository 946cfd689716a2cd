//! Whether bubblewrap works here, in which agents run the commands of their models.

use std::{collections::BTreeMap, fmt, path::Path, time::Duration};

use crate::{
    port::AgentError,
    process::{Exit, OutputLimits, Spawn, can_run, run_to_end},
};

/// How long the trial may take; measured are 20 ms.
const PATIENCE: Duration = Duration::from_secs(20);

/// What keeps bubblewrap from working. None of it ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BubblewrapFault {
    /// A program is not there, or may not be run.
    NotInstalled,
    /// The kernel, or a filter such as a container's, refuses user namespaces.
    NoNamespaces,
    /// No more user namespaces are allowed here.
    NoMoreNamespaces,
    /// A security module, such as AppArmor on Ubuntu, takes from a user namespace what it needs.
    Confined,
    /// A new `/proc` cannot be mounted, as in most containers.
    NoProc,
    /// A cause that none of the known words tell.
    Other,
}

/// Words of bubblewrap 0.8.0, and of its kernel's refusals, in the order in which they are looked for.
const WORDS: &[(&str, BubblewrapFault)] = &[
    (
        "no permissions to create new namespace",
        BubblewrapFault::NoNamespaces,
    ),
    (
        "no permissions to creating new namespace",
        BubblewrapFault::NoNamespaces,
    ),
    (
        "creating new namespace failed",
        BubblewrapFault::NoMoreNamespaces,
    ),
    ("setting up uid map", BubblewrapFault::Confined),
    ("failed rtm_newaddr", BubblewrapFault::Confined),
    ("failed to make / slave", BubblewrapFault::Confined),
    ("can't mount proc", BubblewrapFault::NoProc),
    ("bwrap: not found", BubblewrapFault::NotInstalled),
];

impl BubblewrapFault {
    /// What these words of a program's standard error say; `None` where they are not bubblewrap's.
    #[must_use]
    pub fn of(words: &str) -> Option<Self> {
        let lower = words.to_lowercase();
        let known = WORDS.iter().find(|(part, _)| lower.contains(part));
        let is_its = lower.lines().any(|line| line.starts_with("bwrap: "));
        known
            .map(|(_, fault)| *fault)
            .or_else(|| is_its.then_some(Self::Other))
    }

    /// How to set it right.
    #[must_use]
    pub fn fix(self) -> &'static str {
        match self {
            Self::NotInstalled => "install bubblewrap and socat, or correct the PATH",
            Self::NoNamespaces => {
                "allow user namespaces (on the host `sysctl -w kernel.unprivileged_userns_clone=1`; for a container, a seccomp \
                 profile that permits them); or turn the agent's sandbox off where a container is the wall"
            }
            Self::NoMoreNamespaces => {
                "raise `user.max_user_namespaces` by sysctl, or start this outside of the other sandbox"
            }
            Self::Confined => {
                "load an AppArmor profile that lets bwrap make user namespaces (Ubuntu's `bwrap-userns-restrict`), or turn the \
                 agent's sandbox off where a container is the wall"
            }
            Self::NoProc => {
                "start this outside of the container, or turn the agent's sandbox off, since the container is the wall"
            }
            Self::Other => "run `bwrap --ro-bind / / true` and see what it says",
        }
    }
}

/// The cause in words.
impl fmt::Display for BubblewrapFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotInstalled => "bubblewrap is not there",
            Self::NoNamespaces => "user namespaces are refused",
            Self::NoMoreNamespaces => "no more user namespaces are allowed",
            Self::Confined => "a security module confines user namespaces",
            Self::NoProc => "a new /proc cannot be mounted",
            Self::Other => "bubblewrap fails",
        })
    }
}

/// Runs `true` in bubblewrap, in namespaces of its own without a network, with the `bwrap` of this environment's `PATH`. The programs of
/// `also` must be there as well.
///
/// # Errors
/// [`AgentError::Misconfigured`] with the cause and the fix; [`AgentError::Unavailable`] when it does not end, as on a machine that is
/// very busy; [`AgentError::Spawn`].
pub async fn try_bubblewrap(
    environment: &BTreeMap<String, String>,
    also: &[&str],
) -> Result<(), AgentError> {
    let path = environment.get("PATH").map(String::as_ref);
    for program in ["bwrap"].iter().chain(also) {
        if can_run(program.as_ref(), Path::new("/"), path).is_err() {
            return Err(AgentError::Misconfigured {
                what: format!("its sandbox needs `{program}`, which is not on its PATH"),
                fix: BubblewrapFault::NotInstalled.fix().to_owned(),
            });
        }
    }
    let arguments = [
        "--new-session",
        "--die-with-parent",
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--unshare-user",
        "--unshare-pid",
        "--unshare-net",
        "--proc",
        "/proc",
        "--",
        "true",
    ];
    let spawn = Spawn::new("bwrap", "/").args(arguments).envs(environment);
    let limits = OutputLimits {
        head: 0,
        tail: 2000,
    };
    let ran = run_to_end(spawn, &[], PATIENCE, limits)
        .await
        .map_err(AgentError::Spawn)?;
    match ran.exit {
        Some(Exit::Code(0)) => Ok(()),
        None => Err(AgentError::Unavailable {
            reason: format!("bubblewrap did not end within {} s", PATIENCE.as_secs()),
        }),
        Some(_) => {
            let said = ran.stderr.end(400);
            let fault = BubblewrapFault::of(&said).unwrap_or(BubblewrapFault::Other);
            Err(AgentError::Misconfigured {
                what: format!("its sandbox cannot work here: {fault}: {}", said.trim()),
                fix: fault.fix().to_owned(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_known_by_bubblewraps_words() {
        let rows = [
            (
                "bwrap: No permissions to create new namespace, likely because the kernel does not allow non-privileged user \
                 namespaces.",
                Some(BubblewrapFault::NoNamespaces),
            ),
            (
                "bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)",
                Some(BubblewrapFault::NoMoreNamespaces),
            ),
            (
                "bwrap: setting up uid map: Permission denied",
                Some(BubblewrapFault::Confined),
            ),
            (
                "bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted",
                Some(BubblewrapFault::Confined),
            ),
            (
                "bwrap: Can't mount proc on /newroot/proc: Operation not permitted",
                Some(BubblewrapFault::NoProc),
            ),
            (
                "WARNING: x\nbwrap: pivot_root: Invalid argument",
                Some(BubblewrapFault::Other),
            ),
            ("Error loading config", None),
            ("it says bwrap: in the middle", None),
        ];
        for (words, fault) in rows {
            assert_eq!(BubblewrapFault::of(words), fault, "{words}");
        }
    }
}
