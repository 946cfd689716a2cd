//! What a brief says of each kind of question: why it comes, what is in the way, and what follows.

use crate::{
    machine::Consequence,
    model::{Approval, Hold, HoldReason, StopReason, Trouble, TurnEnd, TurnOutcome, WorkLeft},
};

/// Why it is asked just now.
pub(super) fn why_now(about: &HoldReason) -> String {
    match about {
        HoldReason::Incomplete { ended } => {
            let how = ended.in_words();
            return format!(
                "{how}; what it left is reviewed, and nobody has said that it is complete"
            );
        }
        HoldReason::CutOff { ended, .. } => {
            let how = ended.in_words();
            return format!("{how}, as the turns before it, and nothing is committed");
        }
        HoldReason::Approval(Approval::Dispatch) => "the task is next, and its contract asks for approval before an agent starts",
        HoldReason::Approval(Approval::Landing) => "it is reviewed and gated, and its contract asks for approval before it lands",
        HoldReason::Unproven => "it is reviewed and gated, and no gate here observes what these claims speak of",
        HoldReason::CheckoutDirty { .. } => "landing would have to touch a checkout with uncommitted changes",
        HoldReason::LandingRefused(refusal) if refusal.is_of_a_push() => "it was accepted, and could not be pushed",
        HoldReason::LandingRefused(_) => "it was accepted, and could not be made the target's tip",
        HoldReason::TipRed { .. } => "its candidate failed, and so does the target without it: it cannot be judged",
        HoldReason::Authority { .. } => "it is reviewed and gated, and it touches files by which other tools are told what to do",
        HoldReason::PastReview { .. } => "it is reviewed, and its commit is in the target without a landing of ours",
        HoldReason::LandingDropped { .. } => "the target was rewritten, and its landing is not in it",
        HoldReason::NothingToDo { .. } => "the agent ended its turn without a change",
        HoldReason::Blocked { .. } => "the worker gave the task back",
        HoldReason::MergeImpossible { .. } => "it is reviewed, and its candidate could not be built",
        HoldReason::Question { .. } => "the agent ended its turn with a question",
        HoldReason::ContextFull { .. } => "the agent filled its context again, and another attempt would fill it too",
        HoldReason::PromptTooLong { .. } => "the agent's model does not take the prompt",
        HoldReason::Agent { .. } => "the agent cannot be used, and all of its tasks wait",
        HoldReason::Declined { .. } => "the agent declined the task, and another turn would cost as much",
        HoldReason::CapReached { .. } => "the agent reached a cap of its own, and would reach it again",
        HoldReason::Review => "its commit is there, and not everybody who must look at it could",
        HoldReason::Repeated { .. } => "its worker was told, and the same was found wrong again",
        HoldReason::Exhausted { .. } => "it has had all the attempts, or all of the budget, that it may have",
    }
    .to_owned()
}

/// What the hold itself says is in the way.
pub(super) fn in_the_way(about: &HoldReason) -> Vec<String> {
    match about {
        HoldReason::CheckoutDirty { paths } => vec![format!("a clean checkout: {}", joined(paths))],
        HoldReason::LandingRefused(refusal) => vec![refusal.to_string()],
        HoldReason::TipRed { tip, gates } => vec![format!(
            "{} on the target's tip {}",
            joined(&gates.iter().map(|red| &red.gate).collect::<Vec<_>>()),
            tip.short()
        )],
        HoldReason::Authority { paths } => {
            let paths: Vec<_> = paths.iter().map(|file| &file.path).collect();
            vec![format!("a contract that names {}", joined(&paths))]
        }
        HoldReason::PastReview { tip, .. } => vec![format!(
            "a word on how it came into the target, seen at {}",
            tip.short()
        )],
        HoldReason::LandingDropped { commit, tip } => {
            vec![format!(
                "commit {} in the history of {}",
                commit.short(),
                tip.short()
            )]
        }
        HoldReason::MergeImpossible { reason } => vec![reason.clone()],
        HoldReason::Exhausted { .. } => vec![about.question(&[])],
        HoldReason::Incomplete { .. } => {
            vec!["a handoff that says done: nobody has said that the work is complete".to_owned()]
        }
        HoldReason::Approval(_)
        | HoldReason::Unproven
        | HoldReason::NothingToDo { .. }
        | HoldReason::Blocked { .. }
        | HoldReason::Question { .. }
        | HoldReason::ContextFull { .. }
        | HoldReason::PromptTooLong { .. }
        | HoldReason::Declined { .. }
        | HoldReason::CapReached { .. }
        | HoldReason::CutOff { .. }
        | HoldReason::Agent { .. }
        | HoldReason::Repeated { .. }
        | HoldReason::Review => Vec::new(),
    }
}

fn joined<T: ToString>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// What follows from an answer, in words. `goes_on`: whether the attempt is still there.
pub(super) fn then(
    about: &HoldReason,
    follows: Consequence,
    goes_on: bool,
    left: Option<&WorkLeft>,
) -> String {
    match follows {
        Consequence::Start => "an agent starts",
        Consequence::Land | Consequence::ChangeFiles => {
            "it lands, if the target has not moved in a way that speaks against it"
        }
        Consequence::LandUnproven => "it lands, and the claims stay labelled as they are",
        Consequence::Observe => {
            "it lands, and what you saw is evidence: say what it was, and bring a proof if there is one"
        }
        Consequence::GoOnWithoutReview => {
            "it goes on without the reviewer that could not look: a waiver, under your name"
        }
        Consequence::ReviewAgain => "the reviewers are asked again",
        Consequence::WaiveFindings => {
            "it goes on as it is: each finding is waived, under your name"
        }
        Consequence::CountAsComplete => {
            "it counts as complete, under your name, and goes on to land"
        }
        Consequence::Continue => {
            "the session goes on and reads your note, or another attempt begins with this commit \
             for reference"
        }
        Consequence::AnotherAttempt => return another_attempt(about, left),
        Consequence::AdoptContract => {
            "the same work is reviewed and gated under the contract as it is now; no agent starts"
        }
        Consequence::Tick => "the task is ticked, if its gates pass on the target as it is",
        Consequence::CountAsDone => {
            "it counts as done without its commit; tick it in the roadmap as well"
        }
        Consequence::DoAgain => {
            "another attempt does it again on the target as it is now, and reads your note"
        }
        Consequence::ResetLimits => {
            "it gets as much once more, and another attempt reads your note"
        }
        Consequence::CheckTargetAgain => {
            "the gates run again, on the candidate and, if need be, on the tip"
        }
        Consequence::UseAgent if goes_on => {
            "the agent is used again, for all tasks that wait for it, and this session goes on"
        }
        Consequence::UseAgent => "the agent is used again, for all tasks that wait for it",
        Consequence::TryAgain => return tried_again(about, goes_on, left),
        Consequence::Park if matches!(about, HoldReason::LandingDropped { .. }) => {
            "it stays undone until you answer `retry`"
        }
        Consequence::Park => "the task is given up until you answer `retry`; what was done is kept",
    }
    .to_owned()
}

fn tried_again(about: &HoldReason, goes_on: bool, left: Option<&WorkLeft>) -> String {
    match about {
        HoldReason::LandingRefused(refusal) if refusal.is_of_a_push() => {
            "it is merged, gated and pushed again".to_owned()
        }
        HoldReason::LandingRefused(_) => {
            "it is merged and gated again, and made the target's tip".to_owned()
        }
        _ if goes_on => "the same work is tried again".to_owned(),
        _ => another_attempt(about, left),
    }
}

pub(super) fn recommendation(hold: &Hold) -> String {
    let about = &hold.about;
    if hold.redefined.is_some() {
        return "adopt the new contract, if it was changed for this".to_owned();
    }
    let would = match about {
        HoldReason::Approval(_) => "read it and say; nothing that we saw speaks against it",
        HoldReason::Unproven => {
            "try it where the claim is to be seen, and answer `observed` with what you saw; approve what may land unproven"
        }
        HoldReason::CheckoutDirty { .. } => {
            "commit or stash what is there; the run then goes on by itself"
        }
        HoldReason::LandingRefused(refusal) => return format!("{}; then retry", refusal.fix()),
        HoldReason::TipRed { .. } => {
            "mend the target, or let a task of this roadmap do it: when the tip moves, this ends by itself"
        }
        HoldReason::Authority { .. } => {
            "read these files in the diff, and approve only what you would have written yourself"
        }
        HoldReason::PastReview { .. } => {
            "find out who pushed it; revert it and retry, or tick the task if it may stay"
        }
        HoldReason::LandingDropped { .. } => {
            "park it if it was dropped on purpose; retry if it is still wanted"
        }
        HoldReason::NothingToDo { .. } => {
            "look whether the target has it: answer `done` if it does, `retry` with a note if not"
        }
        HoldReason::ContextFull { .. } | HoldReason::PromptTooLong { .. } => {
            "make the task smaller in the roadmap, or name another agent for it, then retry"
        }
        HoldReason::Blocked { .. } | HoldReason::Question { .. } => {
            "retry with what is missing as a note, or mend the task in the roadmap first"
        }
        HoldReason::MergeImpossible { .. } => "mend what is in the way, then retry",
        HoldReason::Agent { trouble, .. } => match trouble {
            Trouble::Login { .. } => "log the agent in, or replace its key, then retry",
            Trouble::Misconfigured { .. } => "correct the agent's settings, then retry",
            Trouble::Missing { .. } => {
                "put back what is missing, or correct its path in the policy, then retry"
            }
            Trouble::Drifted { .. } => {
                "install a version of the agent that its backend knows, then retry"
            }
            Trouble::Failing { .. } => "run the agent by hand to see why it fails, then retry",
            Trouble::UsageLimit | Trouble::Outage { .. } => {
                "retry when the agent's service can be used again"
            }
        },
        HoldReason::Declined { .. } => {
            "change the task in the roadmap, or name another agent for it, then retry"
        }
        HoldReason::CapReached { .. } => "raise the cap in the agent's settings, then retry",
        HoldReason::Incomplete { ended } => finish(ended),
        HoldReason::CutOff { ended, .. } => begin_again(ended),
        HoldReason::Review => "retry when the reviewer can be reached again",
        HoldReason::Repeated { .. } => {
            "read the findings beside the contract: restate what is meant in a note, and retry"
        }
        HoldReason::Exhausted { .. } => {
            "read how the attempts ended; retry only with a note that changes something"
        }
    };
    would.to_owned()
}

/// What to do where a session is cut off again and again.
fn begin_again(ended: &TurnEnd) -> &'static str {
    match ended.outcome {
        TurnOutcome::UsageLimited { .. } => {
            "retry when the limit is reset, or name another agent for the task first"
        }
        TurnOutcome::Overloaded { .. } => "retry when the agent's service can be used again",
        _ => "find out what cuts the session off, then retry",
    }
}

fn another_attempt(about: &HoldReason, left: Option<&WorkLeft>) -> String {
    let more = match about {
        HoldReason::Repeated { .. } => ": say what was unclear",
        HoldReason::NothingToDo { .. } => ": say what is missing",
        HoldReason::Question { .. } => ": write the answer there",
        HoldReason::Declined { .. } => "; the same task may be declined again",
        HoldReason::CapReached { .. } => "; with the same cap it ends in the same way",
        _ => "",
    };
    let shown = match left.and_then(|left| left.kept) {
        Some(_) => "; it is shown what was left uncommitted",
        None => "",
    };
    format!("another attempt begins, and reads your note{more}{shown}")
}

/// What to do with work that may not be complete, by how its last turn ended.
fn finish(ended: &TurnEnd) -> &'static str {
    match (&ended.outcome, ended.stopped) {
        (_, Some(StopReason::Budget)) => {
            "read the change: approve it if it is all that the task wants; else raise the task's \
             budget, then retry"
        }
        (TurnOutcome::Completed, None) => {
            "read the change: approve it if it is all that the task wants, else retry. Where this \
             agent never writes a handoff, set `done = \"exit\"` for it in the policy"
        }
        (TurnOutcome::NeedsInput { .. }, None) => {
            "answer its question in a note and retry; approve only what is whole without the answer"
        }
        (TurnOutcome::Refused { .. }, None) => {
            "read the change: approve it if it is all that the task wants; else change the task, or \
             name another agent for it, then retry"
        }
        (TurnOutcome::CapReached { .. }, None) => {
            "read the change: approve it if it is all that the task wants; else raise the cap in the \
             agent's settings, then retry"
        }
        _ => "read the change: approve it if it is all that the task wants, else retry",
    }
}
