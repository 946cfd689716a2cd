//! What each record means to somebody who watches.

use orchestrator_core::{
    driver::roughly,
    model::{
        AttemptId, Effect, Finding, Findings, GateReport, Record, ReviewerChoice, TurnEnd,
        TurnOutcome, Verdict, Withdrawal, WorkspaceFate,
    },
};

/// What a record means to somebody who watches; `None` for what only the machine needs.
pub(crate) fn describe(record: &Record) -> Option<(Option<&AttemptId>, String)> {
    Some(match record {
        Record::RunOpened {
            opened, resumed, ..
        } => (
            None,
            format!(
                "run {} {}",
                opened.run,
                if *resumed { "goes on" } else { "begins" }
            ),
        ),
        Record::PackageEntered { why, package } => {
            let name = package.as_ref().map_or_else(
                || "tasks without a package".to_owned(),
                |name| format!("package {name}"),
            );
            (None, format!("{name}: {why}"))
        }
        Record::Dispatched {
            attempt,
            base,
            contract,
            failover,
            ..
        } => {
            let agent = match failover {
                Some(failover) => format!("{} {failover};", contract.agent),
                None => contract.agent.to_string(),
            };
            let (base, title) = (base.short(), &contract.title);
            let line = format!("dispatched to {agent} from {base}: {title}");
            (Some(attempt), line)
        }
        Record::Requested { what, .. } => return requested(what),
        Record::Submitted {
            attempt,
            submission,
            ended,
            completion,
            ..
        } => {
            let state = match completion {
                Some(_) => String::new(),
                None => format!(", not said to be complete: {ended}"),
            };
            let (commits, files) = (submission.commits, submission.changes.len());
            (
                Some(attempt),
                format!("left {commits} commit(s), {files} file(s){state}"),
            )
        }
        Record::Continued { attempt, ended, .. } if waits_for_its_agent(ended) => (
            Some(attempt),
            "its session goes on as soon as its agent can be used".to_owned(),
        ),
        Record::Continued { attempt, ended, .. } => {
            (Some(attempt), format!("its session goes on: {ended}"))
        }
        Record::Noticed { attempt, finding } => (Some(attempt), format!("noticed: {finding}")),
        Record::ReviewerAsked {
            attempt,
            reviewer,
            choice: Some(choice),
            ..
        } => {
            let stands = match choice {
                ReviewerChoice::Other => String::new(),
                choice => format!(", {choice}"),
            };
            (
                Some(attempt),
                format!("is reviewed by `{reviewer}`{stands}"),
            )
        }
        Record::Completed {
            attempt,
            completion,
        } => (Some(attempt), format!("is complete: {completion}")),
        Record::AgentTroubled {
            agent,
            trouble,
            at,
            until,
            named,
            ..
        } => {
            let what = trouble.with_its_end(*until, *named, Some(*at));
            (None, format!("agent {agent}: {what}"))
        }
        Record::AgentRecovered {
            agent,
            from: Some(_),
            ..
        } => (None, format!("agent {agent} can be used again")),
        Record::GateReported {
            candidate_of,
            report,
        } => (
            candidate_of.as_ref(),
            gate_reported(candidate_of.is_none(), report),
        ),
        Record::ContractAdopted { attempt, .. } => (
            Some(attempt),
            "is judged by its contract as it is now".to_owned(),
        ),
        Record::RepairAsked { attempt, why } => {
            (Some(attempt), format!("is asked for its handoff: {why}"))
        }
        Record::RoadmapRefused { tip, why } => (
            None,
            format!(
                "the roadmap at {} cannot be used, so nothing new begins: {why}",
                tip.short()
            ),
        ),
        Record::TargetRewritten { from, tip } => {
            let (from, tip) = (from.short(), tip.short());
            (
                None,
                format!(
                    "the target was rewritten: {tip} does not have {from}, and nothing of that is merged again"
                ),
            )
        }
        Record::CarriedOver {
            attempt,
            submission,
        } => {
            let base = submission.base.short();
            (
                Some(attempt),
                format!("the target has dropped its base: its changes are committed on {base}"),
            )
        }
        Record::Reopened { task, .. } => (None, format!("{task} is to be done again")),
        Record::Withdrawn { task, why } => (
            None,
            format!("{task} is no longer wanted: {}", withdrawal(*why)),
        ),
        Record::RemoteAway { why, .. } => (
            None,
            format!("the remote cannot be reached, and is asked again: {why}"),
        ),
        Record::RemoteBack => (None, "the remote can be reached again".to_owned()),
        Record::ClockJumped { by, .. } => (
            None,
            format!(
                "the clock jumped {by}: the machine slept, or its clock was set; limits count the time awake"
            ),
        ),
        Record::Judged {
            attempt, verdict, ..
        } => match verdict {
            Verdict::Accept => (Some(attempt), "accepted".to_owned()),
            Verdict::Revise { findings } => {
                (Some(attempt), format!("sent back: {}", first(findings)))
            }
            Verdict::Reject { findings } => {
                let text = format!("rejected: {}", Findings::of(findings));
                (Some(attempt), text)
            }
            // The attempt's end says it.
            Verdict::GaveUp { .. } | Verdict::Blocked { .. } => return None,
            // The question is told when it is asked.
            Verdict::Escalate(_) => return None,
        },
        Record::Landed { attempt, commit } => {
            (Some(attempt), format!("landed as {}", commit.short()))
        }
        Record::AttemptEnded { attempt, cause, .. } => (Some(attempt), format!("ended: {cause}")),
        Record::HoldOpened { hold } => (
            None,
            format!(
                "{} waits for a person: {}: {}",
                hold.task,
                hold.id,
                hold.question()
            ),
        ),
        Record::AnswerRefused { answer, why } => (
            None,
            format!("the answer to {} was refused: {why}", answer.hold),
        ),
        Record::Parked { task, reason, .. } => (None, format!("{task} is parked: {reason}")),
        Record::WorkspaceSettled {
            attempt,
            fate: WorkspaceFate::Kept { reason },
        } => (Some(attempt), format!("its workspace stays: {reason}")),
        Record::ModeSet(mode) => (None, format!("mode: {mode}")),
        _ => return None,
    })
}

fn requested(what: &Effect) -> Option<(Option<&AttemptId>, String)> {
    Some(match what {
        Effect::RunTurn { attempt, turn, .. } => (Some(attempt), format!("turn {turn} runs")),
        Effect::Merge { attempt, .. } => {
            (Some(attempt), "is merged into the target's tip".to_owned())
        }
        Effect::Nudge { attempt, .. } => (
            Some(attempt),
            "was silent for too long, and is reminded to go on".to_owned(),
        ),
        Effect::StopTurn { attempt, why, .. } => (Some(attempt), format!("is stopped: {why}")),
        _ => return None,
    })
}

fn gate_reported(on_tip: bool, report: &GateReport) -> String {
    let place = if on_tip {
        " on the target's own tip"
    } else {
        ""
    };
    let how = if report.passed() {
        "passed".to_owned()
    } else {
        report.outcome.to_string()
    };
    let took = roughly(report.took.to_std());
    format!("gate {}{place}: {how} after {took}", report.gate.name)
}

fn first(findings: &[Finding]) -> String {
    findings
        .first()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn withdrawal(why: Withdrawal) -> &'static str {
    match why {
        Withdrawal::Removed => "it is not in the roadmap any more",
        Withdrawal::Ticked => "it is ticked in the roadmap",
    }
}

/// Whether a turn was cut off by what keeps its agent from being used, which is told of the agent.
fn waits_for_its_agent(ended: &TurnEnd) -> bool {
    let is_of_agent = matches!(
        ended.outcome,
        TurnOutcome::UsageLimited { .. }
            | TurnOutcome::Overloaded { .. }
            | TurnOutcome::Authentication { .. }
            | TurnOutcome::Misconfigured { .. }
            | TurnOutcome::Missing { .. }
            | TurnOutcome::Drifted { .. }
    );
    is_of_agent && ended.stopped.is_none()
}
