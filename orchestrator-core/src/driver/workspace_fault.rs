//! What can be wrong with a workspace while a worker has it.

/// Something about a workspace that is not as it was lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum WorkspaceFault {
    /// The worktree is on another branch, or on none. What is elsewhere does not count: a finding when the turn is over.
    OffBranch,
    /// The worker's directory is gone. What was committed counts; the rest is lost, by its worker's own hand.
    TreeGone,
    /// The attempt's branch cannot be read. If that is still so when the turn is over, the attempt is over with it.
    HeadUnreadable,
    /// Its files cannot be looked at: something there would keep git waiting, such as a FIFO where git reads rules, or cannot be read.
    /// What was committed counts; if that is still so when the turn is over, it is a finding, and the workspace stays.
    Unreadable,
    /// The branch lost commits that it had: they were amended or rebased. What counts is what is there in the end; what does
    /// not descend from the base is refused.
    Rewritten,
    /// No attempt of ours is under way in it, and none is being cleaned up. It is left alone.
    Orphan,
}

impl std::fmt::Display for WorkspaceFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::OffBranch => {
                "its worktree is not on its branch: what is elsewhere does not count"
            }
            Self::TreeGone => "its directory is gone; what was committed counts",
            Self::HeadUnreadable => "its branch cannot be read",
            Self::Unreadable => "its files cannot be looked at; what was committed counts",
            Self::Rewritten => "its branch lost commits that it had",
            Self::Orphan => "a workspace that belongs to no attempt under way; it is left alone",
        })
    }
}
