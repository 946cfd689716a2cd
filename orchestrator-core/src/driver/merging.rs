//! Building candidates: a head merged into the target's tip, judged again, with the landing edits.

use super::{
    effects::Sink,
    lane::{Lane, MergeJob},
};
use crate::{
    git::{GitError, Merge, Start},
    model::{AttemptId, Candidate, Finding, MergeFailure, Severity, TreeId, with_source},
    port::ErrorClass,
    review::{needs_the_tree, path_findings, tree_findings},
};

impl Lane {
    pub(super) async fn merge(
        &self,
        job: MergeJob,
        sink: &Sink,
    ) -> Result<Candidate, MergeFailure> {
        let MergeJob {
            attempt,
            contract,
            base,
            head,
            waived,
        } = job;
        let tip = match self.trusted.fetch_target().await {
            Ok(tip) => tip,
            Err(GitError::Unreachable { why, .. }) => {
                return Err(MergeFailure::Unreachable { reason: why });
            }
            Err(error) => {
                sink.target_gone(&error).await;
                return Err(impossible(&error));
            }
        };
        if head == base {
            // A person has said that nothing has to be done: only the landing edits land.
            let tip_tree = self
                .trusted
                .tree_of(tip)
                .map_err(|error| impossible(&error))?;
            let tree = self.edited(&attempt, tip_tree).await?;
            return Ok(Candidate {
                head: tip,
                tip,
                tip_tree,
                tree,
                changes: Vec::new(),
            });
        }
        match self
            .trusted
            .start_of(tip, base, head)
            .await
            .map_err(|error| impossible(&error))?
        {
            Start::Kept => {}
            Start::Dropped(start) => {
                let subject = format!("{}: {}", attempt.task, contract.title);
                let carried = self
                    .trusted
                    .carry_over(&attempt, &subject, start, head, tip)
                    .await;
                return Err(match carried.map_err(|error| impossible(&error))? {
                    Ok(carried) => MergeFailure::CarriedOver(carried),
                    Err(paths) => MergeFailure::Conflict { tip, paths },
                });
            }
            Start::Tangled(dropped) => {
                let message = format!(
                    "the work contains {}, which was dropped from the target, beside other history: \
                     make it again on {} without that commit",
                    dropped.short(),
                    base.short(),
                );
                let finding = Finding::new(Severity::Error, "history/dropped", message);
                return Err(MergeFailure::Offends {
                    findings: vec![finding],
                });
            }
        }
        let merged = match self
            .trusted
            .merge(tip, head)
            .await
            .map_err(|error| impossible(&error))?
        {
            Merge::Clean(tree) => tree,
            Merge::Conflict(paths) => return Err(MergeFailure::Conflict { tip, paths }),
        };
        let before = self
            .trusted
            .tree_of(tip)
            .map_err(|error| impossible(&error))?;
        let changes = self
            .trusted
            .changes(before, merged)
            .await
            .map_err(|error| impossible(&error))?;
        let mut findings = path_findings(&contract, &changes);
        // What neither side has alone, both may have together.
        if needs_the_tree(&changes) {
            let shapes = self
                .trusted
                .shapes(before, merged)
                .await
                .map_err(|error| impossible(&error))?;
            findings.extend(tree_findings(&changes, &shapes));
        }
        findings.retain(|finding| !waived.contains(&finding.id()));
        if changes.is_empty() {
            if self
                .trusted
                .contains(tip, head)
                .await
                .map_err(|error| impossible(&error))?
            {
                return Err(MergeFailure::PastReview { tip });
            }
            findings.push(Finding::new(
                Severity::Error,
                "commit/empty",
                "the target has all of this already",
            ));
        }
        if !findings.is_empty() {
            return Err(MergeFailure::Offends { findings });
        }
        let tree = self.edited(&attempt, merged).await?;
        Ok(Candidate {
            head,
            tip,
            tip_tree: before,
            tree,
            changes,
        })
    }

    /// A tree with the landing edits of an attempt's task.
    async fn edited(&self, attempt: &AttemptId, tree: TreeId) -> Result<TreeId, MergeFailure> {
        let view = self.tree(tree, format!("the merge of {attempt}"));
        let edits = self
            .source
            .landing_edits(&attempt.task, &view)
            .await
            .map_err(|error| match error.class() {
                // The work waits, and is merged again.
                ErrorClass::Transient { .. } => MergeFailure::Unreachable {
                    reason: with_source(&error),
                },
                ErrorClass::NeedsPerson | ErrorClass::Permanent | ErrorClass::Bug => {
                    impossible(&error)
                }
            })?;
        self.trusted
            .edit(tree, &edits)
            .await
            .map_err(|error| impossible(&error))
    }
}

/// A candidate could not be built.
fn impossible(error: &dyn std::error::Error) -> MergeFailure {
    MergeFailure::Impossible {
        reason: with_source(error),
    }
}
