//! A target that its remote does not have.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::BranchName;

/// What a remote has in the place of a target that it does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MissingTarget {
    /// The target.
    pub target: BranchName,
    /// Whether the remote had it before, as far as we know.
    pub existed: bool,
    /// The remote's default branch, if it names one that exists.
    pub default: Option<BranchName>,
    /// A branch whose name begins with the target's and a slash: as long as it is there, the target
    /// cannot be.
    pub taken_by: Option<BranchName>,
}

impl MissingTarget {
    /// A target that a remote does not have.
    #[must_use]
    pub fn new(target: BranchName, existed: bool) -> Self {
        Self {
            target,
            existed,
            default: None,
            taken_by: None,
        }
    }

    /// How to fix it.
    #[must_use]
    pub fn fix(&self) -> String {
        let Self {
            target,
            existed,
            default,
            taken_by,
        } = self;
        match (taken_by, existed, default) {
            (Some(other), _, _) => format!(
                "git cannot have both `{target}` and `{other}`: rename `{other}` there, or set another `target` in the policy"
            ),
            (None, true, Some(default)) => format!(
                "set `target = \"{default}\"` in the policy, or push `{target}` there again"
            ),
            (None, true, None) => {
                format!("push `{target}` there again, or set another `target` in the policy")
            }
            (None, false, Some(default)) => format!(
                "push it first (`git push REMOTE {target}`), or set `target = \"{default}\"` in the policy"
            ),
            (None, false, None) => format!(
                "push it first (`git push REMOTE {target}`), or set another `target` in the policy"
            ),
        }
    }
}

impl fmt::Display for MissingTarget {
    /// What happened, without the fix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.existed { " any more" } else { "" };
        write!(f, "it has no branch `{}`{more}", self.target)?;
        if let Some(other) = &self.taken_by {
            write!(f, ", and has a branch `{other}`")?;
        } else if let Some(default) = &self.default {
            let now = if self.existed { "now " } else { "" };
            write!(f, "; its default branch is {now}`{default}`")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn branch(name: &str) -> BranchName {
        name.parse().expect("a branch")
    }

    #[test]
    fn missing_target_names_the_fix() {
        let mut missing = MissingTarget::new(branch("main"), true);
        missing.default = Some(branch("trunk"));
        assert_eq!(
            missing.to_string(),
            "it has no branch `main` any more; its default branch is now `trunk`"
        );
        assert!(missing.fix().contains("set `target = \"trunk\"`"));
        missing.existed = false;
        assert!(missing.fix().starts_with("push it first"));
        missing.taken_by = Some(branch("main/x"));
        assert!(
            missing.fix().contains("both `main` and `main/x`"),
            "{}",
            missing.fix()
        );
    }
}
