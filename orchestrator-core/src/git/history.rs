//! What a branch says of how it came about.

use std::path::Path;

use super::{Git, GitError, cli::Call, parse::unexpected};
use crate::model::{CommitId, TreeId};

/// Trailers of a landed commit.
pub(super) const LANDING: &str = "Orchestrator-Landing";
pub(super) const RECORD: &str = "Orchestrator-Record";

/// A commit, with what trailers of ours say in it. Anybody can write such a trailer: what it
/// is worth is found by comparing it with the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BranchCommit {
    pub commit: CommitId,
    pub tree: TreeId,
    /// Its parents, in order.
    pub parents: Vec<CommitId>,
    /// The landing's id that it bears, if it bears one.
    pub landing: Option<String>,
    /// The record's hash that it bears, as `sha256:…`.
    pub record: Option<String>,
    /// The first line of its message, without control characters.
    pub subject: String,
}

impl BranchCommit {
    /// Whether it bears a trailer that only a landing bears.
    #[must_use]
    pub(crate) fn claims_to_be_a_landing(&self) -> bool {
        self.landing.is_some() || self.record.is_some()
    }
}

/// Whether a message could bear a trailer that only a landing bears: git reads their keys in any case.
pub(super) fn may_claim_to_be_a_landing(message: &[u8]) -> bool {
    let holds = |key: &str| {
        message
            .windows(key.len())
            .any(|part| part.eq_ignore_ascii_case(key.as_bytes()))
    };
    holds(LANDING) || holds(RECORD)
}

/// The first-parent line of a ref, by its full name, newest first. Nothing is written.
///
/// # Errors
/// When there is no such ref, or the history cannot be read.
pub(crate) async fn first_parents(
    git: &Git,
    git_dir: &Path,
    reference: &str,
) -> Result<Vec<BranchCommit>, GitError> {
    let call = git
        .with_dir(git_dir)
        .args(["rev-parse", "--verify", "--end-of-options"]);
    let tip: CommitId = call.args([format!("{reference}^{{commit}}")]).id().await?;
    commits(
        git.with_dir(git_dir),
        &["--first-parent".to_owned(), tip.to_string()],
    )
    .await
}

/// The commits that `git rev-list` gives for these arguments, newest first.
pub(super) async fn commits(
    call: Call<'_>,
    which: &[String],
) -> Result<Vec<BranchCommit>, GitError> {
    let trailer = |key: &str| format!("%(trailers:key={key},valueonly,unfold,separator=%x2C)");
    let format = format!(
        "--format=%H%x00%T%x00%P%x00{}%x00{}%x00%s",
        trailer(LANDING),
        trailer(RECORD)
    );
    let listed = call
        .args(["rev-list", "--no-commit-header"])
        .args([format])
        .args(which)
        .transfers()
        .bytes()
        .await?;
    String::from_utf8_lossy(&listed)
        .lines()
        .map(|line| parse_branch_commit(line).ok_or_else(|| unexpected("rev-list", line)))
        .collect()
}

/// A line of `git rev-list --format=%H%x00%T%x00%P%x00…%x00…%x00%s` with the trailers of a landing and of its record.
fn parse_branch_commit(line: &str) -> Option<BranchCommit> {
    let fields: Vec<_> = line.splitn(6, '\0').collect();
    let [commit, tree, parents, landing, record, subject] = fields[..] else {
        return None;
    };
    let parents = parents.split_whitespace().map(|id| id.parse().ok());
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Some(BranchCommit {
        commit: commit.parse().ok()?,
        tree: tree.parse().ok()?,
        parents: parents.collect::<Option<_>>()?,
        landing: said(landing),
        record: said(record),
        subject: crate::model::clean(subject),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_branch_commit_takes_every_field() {
        let [one, two] = ["1", "2"].map(|digit| digit.repeat(40));
        let commit = |hex: &str| hex.parse().expect("an id");
        let line = format!("{one}\0{two}\0{two} {one}\0run/A#1/7\0\0A: title\u{1b}");
        let expected = BranchCommit {
            commit: commit(&one),
            tree: two.parse().expect("an id"),
            parents: vec![commit(&two), commit(&one)],
            landing: Some("run/A#1/7".to_owned()),
            record: None,
            subject: "A: title".to_owned(),
        };
        assert_eq!(parse_branch_commit(&line), Some(expected));
        for wrong in ["", &line[..60], &line.replace(&two, "tree")] {
            assert_eq!(parse_branch_commit(wrong), None, "{wrong}");
        }
    }
}
