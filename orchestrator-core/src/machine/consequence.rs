//! What a person's answer means. One table says it; the options of a question, the decision and the
//! brief are made from it.

use crate::model::{Approval, Hold, HoldOption, HoldReason};

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consequence {
    /// An agent may start.
    Start,
    /// The candidate may land.
    Land,
    /// It may land with claims that are not proven.
    LandUnproven,
    /// The task may change the files.
    ChangeFiles,
    /// What the person saw is evidence.
    Observe,
    /// It goes on without the reviewers that could not look.
    GoOnWithoutReview,
    /// The reviewers are asked again.
    ReviewAgain,
    /// The findings are waived.
    WaiveFindings,
    /// The work counts as complete.
    CountAsComplete,
    /// The session goes on, or another attempt begins with its commit.
    Continue,
    /// Another attempt begins.
    AnotherAttempt,
    /// The task is ticked without a change.
    Tick,
    /// The task counts as done without its commit.
    CountAsDone,
    /// The task is done again.
    DoAgain,
    /// The task gets as many attempts, and as much budget, again.
    ResetLimits,
    /// Gates that failed on the target run again.
    CheckTargetAgain,
    /// The agent is used again.
    UseAgent,
    /// What did not work is tried again.
    TryAgain,
    /// The same work is judged by the contract as it is now.
    AdoptContract,
    /// The task is parked until a person answers `retry`.
    Park,
}

/// What may be answered to a question, and what each answer means. Each task can be parked.
pub fn choices(hold: &Hold) -> impl Iterator<Item = (HoldOption, Consequence)> {
    let adopt = (HoldOption::Adopt, Consequence::AdoptContract);
    let adopt = hold.redefined.as_ref().map(|_| adopt);
    let park = (HoldOption::Park, Consequence::Park);
    let own = own_choices(&hold.about).iter().copied();
    own.chain(adopt).chain([park])
}

fn own_choices(about: &HoldReason) -> &'static [(HoldOption, Consequence)] {
    use Consequence as Means;
    use HoldOption::{Approve, Done, Observed, Retry};
    match about {
        HoldReason::Approval(Approval::Dispatch) => &[(Approve, Means::Start)],
        HoldReason::Approval(Approval::Landing) => &[(Approve, Means::Land)],
        HoldReason::Authority { .. } => &[(Approve, Means::ChangeFiles)],
        HoldReason::Unproven => &[(Approve, Means::LandUnproven), (Observed, Means::Observe)],
        HoldReason::Review => &[
            (Approve, Means::GoOnWithoutReview),
            (Retry, Means::ReviewAgain),
        ],
        HoldReason::Repeated { .. } => &[
            (Approve, Means::WaiveFindings),
            (Retry, Means::AnotherAttempt),
        ],
        HoldReason::Incomplete { .. } => {
            &[(Approve, Means::CountAsComplete), (Retry, Means::Continue)]
        }
        HoldReason::NothingToDo { .. } => &[(Done, Means::Tick), (Retry, Means::AnotherAttempt)],
        HoldReason::LandingDropped { .. } => {
            &[(Approve, Means::CountAsDone), (Retry, Means::DoAgain)]
        }
        HoldReason::Exhausted { .. } => &[(Retry, Means::ResetLimits)],
        HoldReason::TipRed { .. } => &[(Retry, Means::CheckTargetAgain)],
        HoldReason::Agent { .. } => &[(Retry, Means::UseAgent)],
        HoldReason::CheckoutDirty { .. }
        | HoldReason::LandingRefused(_)
        | HoldReason::MergeImpossible { .. }
        | HoldReason::PastReview { .. }
        | HoldReason::CutOff { .. }
        | HoldReason::Blocked { .. }
        | HoldReason::Question { .. }
        | HoldReason::ContextFull { .. }
        | HoldReason::PromptTooLong { .. }
        | HoldReason::Declined { .. }
        | HoldReason::CapReached { .. } => &[(Retry, Means::TryAgain)],
    }
}

/// What an answer to a question means; `None` for one that is not offered.
#[must_use]
pub fn consequence(hold: &Hold, option: HoldOption) -> Option<Consequence> {
    choices(hold).find_map(|(offered, means)| (offered == option).then_some(means))
}
