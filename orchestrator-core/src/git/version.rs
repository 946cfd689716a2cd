//! Which git is new enough.

use std::fmt;

/// The oldest git that is used: older ones have known holes when they read a repository that others can write
/// (CVE-2024-32002, -32004, -32020, -32021, -32465; fixed in 2.39.4).
pub(crate) const MINIMUM_VERSION: GitVersion = GitVersion(2, 39, 4);

/// A version of git.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitVersion(pub u32, pub u32, pub u32);

impl fmt::Display for GitVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// What `git version` says.
pub(super) fn parse_version(said: &str) -> Option<GitVersion> {
    let mut numbers = said
        .trim()
        .strip_prefix("git version ")?
        .split(['.', ' ', '-'])
        .map(|n| n.parse().unwrap_or(0));
    Some(GitVersion(
        numbers.next()?,
        numbers.next()?,
        numbers.next().unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(
            parse_version("git version 2.47.3\n"),
            Some(GitVersion(2, 47, 3))
        );
        assert_eq!(
            parse_version("git version 2.50.1 (Apple Git-155)"),
            Some(GitVersion(2, 50, 1))
        );
        assert!(parse_version("git version 2.9.5").is_some_and(|old| old < MINIMUM_VERSION));
        assert_eq!(parse_version("hg 6"), None);
    }
}
