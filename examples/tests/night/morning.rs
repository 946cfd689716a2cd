//! What must be true in the morning.

use std::collections::{BTreeMap, BTreeSet};

use orchestrator_core::{
    model::{
        Completion, Effect, EndReason, HoldOption, Record, Spend, Timestamp, Trouble, WorkspaceFate,
    },
    port::LedgerEntry,
};
use orchestrator_testkit::{git, replayed};

use crate::{
    model::{FAULTS, Fault},
    person::{is_landing_of_claude, login_question},
    stage::Stage,
};

pub(crate) fn comes(stage: &Stage, status: Option<i32>, said: &[String]) {
    let entries = stage.ledger();
    assert_eq!(status, Some(0), "{}", said.join("\n"));
    assert_eq!(replayed(&entries).ended(), Some(EndReason::Complete));
    assert_eq!(stage.sandbox.processes(), Vec::<i32>::new());
    there_were_two_restarts(&entries);
    no_incomplete_work_landed(stage, &entries);
    no_attempt_was_lost(stage, &entries);
    one_question_was_asked(&entries);
    nothing_was_asked_of_who_was_limited(&entries);
    services_were_left_alone(stage);
    let (reported, charged) = (reported(&entries), charged(stage));
    let wrong = tokens_that_differ(&reported, &charged);
    assert!(wrong.is_empty(), "reported and charged: {wrong:?}");
    let cut_off = cut_off(&entries);
    let unknown = reported.iter().filter(|(_, tokens)| tokens.is_none());
    let unknown: Vec<_> = unknown
        .map(|(task, _)| task)
        .filter(|task| !cut_off.contains(*task))
        .collect();
    assert!(
        unknown.is_empty(),
        "unknown, and never cut off: {unknown:?}"
    );
}

fn there_were_two_restarts(entries: &[LedgerEntry]) {
    let opened = entries.iter().filter_map(|entry| match &entry.record {
        Record::RunOpened { resumed, .. } => Some(*resumed),
        _ => None,
    });
    let ended = entries.iter().filter_map(|entry| match &entry.record {
        Record::RunEnded { reason, .. } => Some(*reason),
        _ => None,
    });
    // One that was stopped has ended; one that was killed goes on.
    assert_eq!(opened.collect::<Vec<_>>(), [false, false, true]);
    let ends: Vec<_> = ended.collect();
    assert_eq!(ends, [EndReason::Stopped, EndReason::Complete]);
}

/// Each landing brings a whole file, which nobody but its worker said to be complete.
fn no_incomplete_work_landed(stage: &Stage, entries: &[LedgerEntry]) {
    for entry in entries {
        if let Record::Accepted { landing } = &entry.record {
            let completion = landing.acceptance.completion.as_ref();
            assert_eq!(
                completion,
                Some(&Completion::Handoff),
                "{}",
                landing.acceptance.attempt
            );
        }
    }
    let format = "--format=%H %(trailers:key=Orchestrator-Task,valueonly,separator=%x2C)";
    let log = git(
        &stage.sandbox.remote(),
        &["log", "--first-parent", format, "main"],
    );
    let landed: BTreeMap<_, _> = log
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, task)| !task.is_empty())
        .map(|(commit, task)| (task.to_owned(), commit.to_owned()))
        .collect();
    assert_eq!(landed.len(), stage.jobs.len(), "{log}");
    for job in &stage.jobs {
        let commit = &landed[&job.id];
        let file = format!("{}.txt", job.id);
        let brought = git(
            &stage.sandbox.remote(),
            &["show", &format!("{commit}:{file}")],
        );
        assert_eq!(brought + "\n", job.content(), "{commit}");
        let before = git(
            &stage.sandbox.remote(),
            &["ls-tree", &format!("{commit}^1"), &file],
        );
        assert_eq!(before, "", "{file} came whole, in {commit}");
    }
}

/// Each task has landed in its first attempt, and those in which a fault came went on from their
/// first step.
fn no_attempt_was_lost(stage: &Stage, entries: &[LedgerEntry]) {
    let mut landed = 0;
    for entry in entries {
        match &entry.record {
            Record::Landed { attempt, .. } => {
                landed += 1;
                assert_eq!(attempt.number, 1, "{attempt}");
            }
            Record::AttemptEnded { attempt, cause, .. } => panic!("{attempt} was lost: {cause}"),
            Record::WorkspaceSettled {
                attempt,
                fate: WorkspaceFate::Kept { reason },
            } => panic!("{attempt} was left: {reason}"),
            _ => {}
        }
    }
    assert_eq!(landed, stage.jobs.len());
    let begun = stage.model.begun();
    assert_eq!(begun.len(), FAULTS.len(), "each fault has come: {begun:?}");
    for (fault, task) in &begun {
        let went_on = |entry: &LedgerEntry| matches!(&entry.record, Record::Continued { attempt, head: Some(_), .. } if attempt.task.as_str() == task);
        assert!(
            entries.iter().any(went_on),
            "{task} went on after {fault:?}"
        );
    }
}

fn one_question_was_asked(entries: &[LedgerEntry]) {
    let holds: Vec<_> = entries
        .iter()
        .filter(|entry| matches!(entry.record, Record::HoldOpened { .. }))
        .collect();
    assert_eq!(holds.len(), 1, "{holds:#?}");
    assert!(login_question(&holds[0].record).is_some(), "{holds:#?}");
    let place = |of: &dyn Fn(&Record) -> bool| {
        let found = entries.iter().position(|entry| of(&entry.record));
        found.expect("it is recorded")
    };
    let asked = place(&|record| login_question(record).is_some());
    let answered = place(
        &|record| matches!(record, Record::HoldAnswered { answer: Some(answer), .. } if answer.option == HoldOption::Retry),
    );
    let between = &entries[asked..answered];
    assert!(
        between
            .iter()
            .any(|entry| is_landing_of_claude(&entry.record)),
        "the other agent went on"
    );
    let dispatched = between.iter().find(|entry| begins_turn_of(entry, "codex"));
    assert!(dispatched.is_none(), "{dispatched:?}");
}

/// From the moment at which a limit is known until its reset, no turn of that agent begins.
fn nothing_was_asked_of_who_was_limited(entries: &[LedgerEntry]) {
    let mut limits = BTreeMap::<&str, Vec<Timestamp>>::new();
    for (place, entry) in entries.iter().enumerate() {
        let Record::AgentTroubled {
            agent,
            trouble: Trouble::UsageLimit,
            until: Some(until),
            named,
            ..
        } = &entry.record
        else {
            continue;
        };
        assert!(named, "{agent} has named the reset");
        limits.entry(agent.as_str()).or_default().push(*until);
        let early = entries[place..]
            .iter()
            .take_while(|later| later.at < *until)
            .find(|later| begins_turn_of(later, agent.as_str()));
        assert!(early.is_none(), "{agent} until {until:?}: {early:?}");
    }
    let agents: Vec<_> = limits.keys().copied().collect();
    assert_eq!(agents, ["claude", "codex"], "both have reached a limit");
}

fn begins_turn_of(entry: &LedgerEntry, agent: &str) -> bool {
    matches!(&entry.record, Record::Requested { what: Effect::RunTurn { backend, .. }, .. } if backend.as_str() == agent)
}

/// Who is known to be away is not asked again and again: each session has met each fault at most
/// once, with the one retry of Claude Code's own.
fn services_were_left_alone(stage: &Stage) {
    for (_, fault) in FAULTS {
        let refused = stage.model.refused(fault);
        let expected = match fault {
            Fault::Stop | Fault::Kill => 0..=0,
            _ => 1..=12,
        };
        assert!(expected.contains(&refused), "{fault:?}: {refused} requests");
    }
}

/// Tokens of each task as they are reported; `None` where they are unknown.
fn reported(entries: &[LedgerEntry]) -> BTreeMap<String, Option<u64>> {
    let state = replayed(entries);
    let mut tokens = BTreeMap::new();
    for entry in state.tasks() {
        let spends = entry.costs().values().flat_map(BTreeMap::values);
        let used = spends.fold(Spend::default(), Spend::plus);
        let known = (used.unknown == 0).then(|| used.total().tokens());
        tokens.insert(entry.task().id.to_string(), known);
    }
    tokens
}

/// Tasks of which a turn was cut off: nobody may have heard what that had used.
fn cut_off(entries: &[LedgerEntry]) -> BTreeSet<String> {
    let mut turns = BTreeMap::new();
    let mut cut_off = BTreeSet::new();
    for entry in entries {
        match &entry.record {
            Record::Requested {
                effect,
                what: Effect::RunTurn { attempt, .. },
                ..
            } => drop(turns.insert(*effect, attempt.task.to_string())),
            Record::Closed {
                effect,
                interrupted: true,
            } => cut_off.extend(turns.remove(effect)),
            Record::Continued { attempt, .. } => {
                cut_off.insert(attempt.task.to_string());
            }
            _ => {}
        }
    }
    cut_off
}

/// Tokens of each task as the server has charged them.
fn charged(stage: &Stage) -> BTreeMap<String, u64> {
    let mut tokens = BTreeMap::new();
    for served in stage.server.served() {
        let thread = served.thread.unwrap_or_default();
        let task = thread.trim_start_matches("# Task ").trim_end_matches(':');
        *tokens.entry(task.to_owned()).or_default() += served.input_tokens + served.output_tokens;
    }
    tokens
}

/// Where what is reported is neither what was charged nor unknown: the task, reported and charged.
fn tokens_that_differ(
    reported: &BTreeMap<String, Option<u64>>,
    charged: &BTreeMap<String, u64>,
) -> Vec<(String, Option<u64>, u64)> {
    let tasks = reported.keys().chain(charged.keys());
    let tasks: BTreeSet<_> = tasks.collect();
    let both = tasks.into_iter().map(|task| {
        let of_server = charged.get(task).copied().unwrap_or_default();
        let of_report = reported.get(task).copied().unwrap_or(Some(0));
        (task.clone(), of_report, of_server)
    });
    both.filter(|(_, reported, charged)| reported.is_some_and(|reported| reported != *charged))
        .collect()
}
