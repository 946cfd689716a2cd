//! What each thing that happens looks like.

use orchestrator_core::model::{
    Effect, EffectId, EndCause, Finding, Findings, Hold, HoldId, Pulse, ReviewerChoice, Severity,
    StopReason, Verdict,
};

use super::*;

const NOON: Timestamp = Timestamp(951_825_600_000);

fn attempt() -> AttemptId {
    "A#1".parse().expect("an id")
}

fn shown(records: &[Record]) -> Vec<String> {
    let mut screen = Screen::default();
    let lines = records.iter().filter_map(|record| screen.record(record));
    lines.map(|line| line.text).collect()
}

fn asked(what: Effect) -> Record {
    Record::Requested {
        effect: EffectId(9),
        at: NOON,
        what,
    }
}

fn hold(about: HoldReason) -> Record {
    Record::HoldOpened {
        hold: Hold {
            id: HoldId(1),
            task: "A".parse().expect("an id"),
            about,
            items: Vec::new(),
            left: None,
            redefined: None,
            since: NOON,
        },
    }
}

fn ended(cause: EndCause) -> Record {
    Record::AttemptEnded {
        attempt: attempt(),
        cause,
        counts: true,
        left: None,
    }
}

#[test]
fn nudge_is_told_with_what_came_of_it() {
    let turn = EffectId(1);
    let nudge = || {
        asked(Effect::Nudge {
            attempt: attempt(),
            turn,
        })
    };
    let pulse = Record::PulseSeen {
        attempt: attempt(),
        pulse: Pulse::Active,
    };
    let why = StopReason::Stalled;
    let stop = asked(Effect::StopTurn {
        attempt: attempt(),
        turn,
        why,
    });
    assert_eq!(
        shown(&[nudge(), pulse, nudge(), stop]),
        [
            "A#1      was silent for too long, and is reminded to go on",
            "A#1      goes on after the reminder",
            "A#1      was silent for too long, and is reminded to go on",
            "A#1      is stopped: the reminder was in vain, and it is still silent",
        ]
    );
}

#[test]
fn question_is_told_once() {
    let said = "no\nnever".to_owned();
    let declined = HoldReason::Declined { said };
    let cause = EndCause::Asked(Box::new(declined.clone()));
    assert_eq!(
        shown(&[ended(cause), hold(declined)]),
        [
            "A#1      ended: the agent declined the task: no | never",
            "A waits for a person: H1"
        ]
    );
    let finding = Finding::new(Severity::Error, "paths/forbidden", "a.txt");
    let cause = EndCause::Rejected(Findings::of(std::slice::from_ref(&finding)));
    let rejected = Record::Judged {
        attempt: attempt(),
        head: "1".repeat(40).parse().expect("an id"),
        verdict: Verdict::Reject {
            findings: vec![finding],
        },
        counted: Vec::new(),
    };
    assert_eq!(
        shown(&[rejected, ended(cause)]),
        ["A#1      rejected: paths/forbidden: a.txt"]
    );
}

#[test]
fn agent_that_cannot_be_used_is_told_once() {
    let limited = || Record::AgentTroubled {
        agent: "codex".parse().expect("a name"),
        trouble: Trouble::UsageLimit,
        at: NOON,
        until: Some(Timestamp(NOON.0 + 7_500_000)),
        named: true,
        tries: 1,
    };
    let recovered = Record::AgentRecovered {
        agent: "codex".parse().expect("a name"),
        at: NOON,
        from: Some(Trouble::UsageLimit),
    };
    let told = "agent codex: its usage limit is reached; it is reset at 2000-02-29 14:05 UTC, in \
                2 h 5 min";
    assert_eq!(
        shown(&[limited(), limited(), recovered, limited()]),
        [told, "agent codex can be used again", told]
    );
    let about = HoldReason::Agent {
        agent: "codex".parse().expect("a name"),
        trouble: Trouble::UsageLimit,
    };
    assert_eq!(
        shown(&[hold(about)]),
        ["A waits for a person: H1: see to agent codex"]
    );
}

#[test]
fn refused_call_and_reviewer_are_told() {
    let finding = Finding::new(
        Severity::Warning,
        "tool/refused",
        "`git push` was refused: Codex declined it",
    );
    let noticed = Record::Noticed {
        attempt: attempt(),
        finding,
    };
    let reviewer = |choice| Record::ReviewerAsked {
        attempt: attempt(),
        effect: EffectId(2),
        reviewer: "agent/claude".to_owned(),
        choice,
        since: NOON,
    };
    let worker = "codex".parse().expect("a name");
    let instead = reviewer(Some(ReviewerChoice::InPlaceOf { worker }));
    let own = reviewer(Some(ReviewerChoice::WorkersOwn));
    assert_eq!(
        shown(&[noticed, instead, own, reviewer(None)]),
        [
            "A#1      noticed: tool/refused: `git push` was refused: Codex declined it",
            "A#1      is reviewed by `agent/claude`, in place of the worker's own agent `codex`",
            "A#1      is reviewed by `agent/claude`, the worker's own agent, for lack of another",
        ]
    );
}

#[test]
fn gaps_and_deaths_have_their_times() {
    let text = |notice: &Notice| Screen::notice(notice).map(|line| line.text);
    let gap = |jumped| Notice::Gap {
        since: NOON,
        missed: 28,
        jumped,
    };
    assert_eq!(text(&gap(true)), None);
    let told = "warning: 28 heartbeats were missed since 2000-02-29 12:00 UTC: this process was \
                held up, and the cause is not known";
    assert_eq!(text(&gap(false)).as_deref(), Some(told));
    let (from, to) = (NOON, Timestamp(NOON.0 + 300_000));
    let told = "the orchestrator was not running from 2000-02-29 12:00:00 UTC to 2000-02-29 \
                12:05:00 UTC, 5 min";
    let away = Notice::NotRunning { from, to };
    assert_eq!(text(&away).as_deref(), Some(told));
}

#[test]
fn text_of_many_lines_is_one_line() {
    let attempt = attempt();
    let line = Screen::activity(&attempt, "one\n\n  two\r\n\tthree\n").text;
    assert_eq!(line, "A#1      says: one | two | three");
    let long = Screen::activity(&attempt, &"x ".repeat(2000)).text;
    assert!(
        long.chars().count() < 1100 && !long.contains('\n'),
        "{long}"
    );
}
