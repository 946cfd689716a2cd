//! What every [`Reviewer`] must do.

use std::{fmt::Debug, path::Path, sync::Arc};

use async_trait::async_trait;
use orchestrator_core::{
    model::{BlobId, Finding, PastChanges, RepoPath, TreeShape},
    port::{ChangeView, ReviewError, ReviewRequest, Reviewer},
};

use super::{Checked, must, polled_once, suite};

/// A reviewer, and changes that it looks at.
pub trait ReviewerFixture: Debug + Send + Sync {
    /// The reviewer.
    fn reviewer(&self) -> Arc<dyn Reviewer>;

    /// A change in which it finds nothing; [`ProposedChange`](crate::ProposedChange) makes one.
    fn clean(&self) -> ReviewRequest;

    /// A change with which it finds fault.
    fn flawed(&self) -> ReviewRequest;
}

suite! { $ reviewer_conformance in reviewer: ReviewerFixture;
    /// It has a name, and keeps it.
    it_has_a_name,
    /// It finds nothing where nothing is wrong.
    it_lets_a_clean_change_pass,
    /// It finds what it is there to find.
    it_finds_what_is_wrong,
    /// The same change gives the same findings.
    the_same_change_gives_the_same_findings,
    /// One change has no part in another's findings, also when both are looked at together.
    two_changes_do_not_mix,
    /// A finding has a rule to be known again by, a message, and a path that the change or its tree has.
    findings_can_be_acted_on,
    /// No two findings of one review are the same.
    findings_are_not_doubled,
    /// A change that cannot be read is not judged.
    what_cannot_be_read_is_not_judged,
    /// A review that was dropped changes nothing.
    a_dropped_review_changes_nothing,
}

async fn it_has_a_name(fixture: &dyn ReviewerFixture) -> Checked {
    let reviewer = fixture.reviewer();
    let before = reviewer.name().to_owned();
    reviewer.review(&fixture.clean()).await?;
    must(
        !before.trim().is_empty() && before == reviewer.name(),
        || format!("it is `{before}`, then `{}`", reviewer.name()),
    )
}

async fn it_lets_a_clean_change_pass(fixture: &dyn ReviewerFixture) -> Checked {
    let findings = fixture.reviewer().review(&fixture.clean()).await?;
    must(findings.is_empty(), || {
        format!("in a clean change it finds {findings:?}")
    })
}

async fn it_finds_what_is_wrong(fixture: &dyn ReviewerFixture) -> Checked {
    let findings = fixture.reviewer().review(&fixture.flawed()).await?;
    must(!findings.is_empty(), || {
        "in a flawed change it finds nothing".to_owned()
    })
}

async fn the_same_change_gives_the_same_findings(fixture: &dyn ReviewerFixture) -> Checked {
    let (reviewer, request) = (fixture.reviewer(), fixture.flawed());
    let (first, second) = (
        reviewer.review(&request).await?,
        reviewer.review(&request).await?,
    );
    must(first == second, || {
        format!("first {first:?}, then {second:?}")
    })
}

async fn two_changes_do_not_mix(fixture: &dyn ReviewerFixture) -> Checked {
    let (reviewer, clean, flawed) = (fixture.reviewer(), fixture.clean(), fixture.flawed());
    let alone = fixture.reviewer().review(&flawed).await?;
    let (nothing, found) = tokio::join!(reviewer.review(&clean), reviewer.review(&flawed));
    let behind = reviewer.review(&clean).await?;
    must(nothing?.is_empty() && behind.is_empty(), || {
        "beside a flawed change, it finds something in a clean one".to_owned()
    })?;
    let found = found?;
    must(found == alone, || {
        format!("alone it finds {alone:?}, beside another {found:?}")
    })
}

async fn findings_can_be_acted_on(fixture: &dyn ReviewerFixture) -> Checked {
    let request = fixture.flawed();
    let mut paths = request
        .view
        .shapes()
        .await?
        .map(|shape| shape.paths)
        .concat();
    paths.extend(
        request
            .submission
            .changes
            .iter()
            .flat_map(|change| change.touched().cloned()),
    );
    for Finding {
        rule,
        path,
        line,
        message,
        ..
    } in fixture.reviewer().review(&request).await?
    {
        must(
            !rule.is_empty() && !rule.contains(char::is_whitespace),
            || format!("`{rule}` is no rule to be known again by"),
        )?;
        must(!message.trim().is_empty(), || {
            format!("`{rule}` says nothing")
        })?;
        must(
            path.as_ref().is_none_or(|path| paths.contains(path)),
            || format!("`{rule}` is about {path:?}, which is not there"),
        )?;
        must(line.is_none_or(|line| line > 0 && path.is_some()), || {
            format!("`{rule}` is on line {line:?} of {path:?}")
        })?;
    }
    Ok(())
}

async fn findings_are_not_doubled(fixture: &dyn ReviewerFixture) -> Checked {
    let findings = fixture.reviewer().review(&fixture.flawed()).await?;
    let doubled = findings
        .iter()
        .enumerate()
        .find(|(at, finding)| findings[..*at].contains(finding));
    must(doubled.is_none(), || format!("it finds twice: {doubled:?}"))
}

/// A repository that cannot be read.
#[derive(Debug)]
struct Unreadable;

fn refused<T>() -> Result<T, ReviewError> {
    Err(ReviewError::Unreadable("the disk is on fire".to_owned()))
}

#[async_trait]
impl ChangeView for Unreadable {
    async fn blob(&self, _: BlobId, _: u64) -> Result<Option<Vec<u8>>, ReviewError> {
        refused()
    }

    async fn shapes(&self) -> Result<[TreeShape; 2], ReviewError> {
        refused()
    }

    async fn history(&self) -> Result<PastChanges, ReviewError> {
        refused()
    }

    async fn diff(&self, _: &RepoPath) -> Result<Vec<u8>, ReviewError> {
        refused()
    }

    async fn export(&self, _: &Path) -> Result<(), ReviewError> {
        refused()
    }
}

async fn what_cannot_be_read_is_not_judged(fixture: &dyn ReviewerFixture) -> Checked {
    let reviewer = fixture.reviewer();
    for mut request in [fixture.clean(), fixture.flawed()] {
        // Who needs no content finds the same without it; who does must say that it could not look.
        let seen = reviewer.review(&request).await?;
        request.view = Arc::new(Unreadable);
        if let Ok(blind) = reviewer.review(&request).await {
            must(blind == seen, || {
                format!("with everything to see it finds {seen:?}, with nothing to see {blind:?}")
            })?;
        }
    }
    Ok(())
}

async fn a_dropped_review_changes_nothing(fixture: &dyn ReviewerFixture) -> Checked {
    let (reviewer, request) = (fixture.reviewer(), fixture.flawed());
    let before = reviewer.review(&request).await?;
    for _ in 0..3 {
        polled_once(reviewer.review(&request)).await;
    }
    let after = reviewer.review(&request).await?;
    must(before == after, || {
        format!("before {before:?}, behind reviews that were dropped {after:?}")
    })
}
