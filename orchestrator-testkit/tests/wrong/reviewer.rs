//! Wrong reviewers.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use async_trait::async_trait;
use orchestrator_core::{
    model::{Finding, Severity},
    port::{ReviewError, ReviewRequest, Reviewer},
};
use orchestrator_testkit::{
    ProposedChange,
    conformance::reviewer::{CLAUSES, ReviewerFixture, check},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    HasNoName,
    FindsFaultWithEverything,
    FindsNothing,
    CountsItsReviews,
    RemembersTheLastChange,
    NamesAPathThatIsNotThere,
    SaysEverythingTwice,
    TakesTheUnreadableForWrong,
    RemembersWhatWasDropped,
}

#[test]
fn each_clause_of_the_reviewer_suite_catches_a_fault() {
    use Fault::*;
    let faults = [
        ("it_has_a_name", HasNoName),
        ("it_lets_a_clean_change_pass", FindsFaultWithEverything),
        ("it_finds_what_is_wrong", FindsNothing),
        ("the_same_change_gives_the_same_findings", CountsItsReviews),
        ("two_changes_do_not_mix", RemembersTheLastChange),
        ("findings_can_be_acted_on", NamesAPathThatIsNotThere),
        ("findings_are_not_doubled", SaysEverythingTwice),
        (
            "what_cannot_be_read_is_not_judged",
            TakesTheUnreadableForWrong,
        ),
        ("a_dropped_review_changes_nothing", RemembersWhatWasDropped),
    ];
    super::caught(CLAUSES, &faults, |clause, fault, deadline| {
        check(clause, &Bent(fault), deadline)
    });
}

#[derive(Debug)]
struct Bent(Fault);

impl ReviewerFixture for Bent {
    fn reviewer(&self) -> Arc<dyn Reviewer> {
        Arc::new(NoSwearing {
            fault: self.0,
            reviews: AtomicU32::new(0),
            seen: AtomicU32::new(0),
        })
    }

    fn clean(&self) -> ReviewRequest {
        ProposedChange::new().writes("a.txt", "fine\n").request()
    }

    fn flawed(&self) -> ReviewRequest {
        ProposedChange::new().writes("a.txt", "damn\n").request()
    }
}

/// Finds a word, and has a fault.
#[derive(Debug)]
struct NoSwearing {
    fault: Fault,
    reviews: AtomicU32,
    seen: AtomicU32,
}

#[async_trait]
impl Reviewer for NoSwearing {
    fn name(&self) -> &str {
        if self.fault == Fault::HasNoName {
            ""
        } else {
            "no-swearing"
        }
    }

    async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
        let begun = self.reviews.fetch_add(1, Ordering::Relaxed);
        let mut findings = Vec::new();
        for change in &request.submission.changes {
            let Some(new) = change.new else { continue };
            let read = request.view.blob(new.id, 1000).await;
            let content = match (self.fault, read) {
                (Fault::TakesTheUnreadableForWrong, Err(_)) => Some(b"damn".to_vec()),
                (_, read) => read?,
            };
            let swears = content
                .unwrap_or_default()
                .windows(4)
                .any(|word| word == b"damn");
            if swears {
                self.seen.fetch_add(1, Ordering::Relaxed);
            }
            let remembers = self.fault == Fault::RemembersTheLastChange
                && self.seen.load(Ordering::Relaxed) > 0;
            if swears && self.fault != Fault::FindsNothing
                || remembers
                || self.fault == Fault::FindsFaultWithEverything
            {
                findings.push(
                    Finding::new(Severity::Error, "words/swearing", "mind your words")
                        .at(change.path.clone()),
                );
            }
        }
        match self.fault {
            Fault::CountsItsReviews => findings
                .iter_mut()
                .for_each(|finding| finding.message += &format!(" ({begun})")),
            Fault::NamesAPathThatIsNotThere => {
                findings
                    .iter_mut()
                    .for_each(|finding| finding.path = Some("b.txt".parse().expect("a path")));
            }
            Fault::SaysEverythingTwice => findings.extend(findings.clone()),
            Fault::RemembersWhatWasDropped => {
                tokio::task::yield_now().await;
                // Of the reviews that were begun, one that was dropped never gets here.
                if self.reviews.fetch_sub(1, Ordering::Relaxed) > 1 {
                    findings.clear();
                }
            }
            _ => {}
        }
        Ok(findings)
    }
}
