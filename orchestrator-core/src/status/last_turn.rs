//! How the last turn ended, and what there is: what a person who is asked about it has to know.

use crate::{
    machine::{Active, Step},
    model::{Ask, HandoffLeft, HandoffStatus, WorkLeft},
};

/// Of files that are not committed, so many are named.
const MAX_FILES: usize = 8;

/// One sentence each: how it ended, what is committed, what is not, and what the handoff says.
pub(super) fn last_turn(left: &WorkLeft) -> Vec<String> {
    vec![
        left.ended.in_words(),
        committed(left),
        uncommitted(left),
        handoff(&left.handoff),
    ]
}

/// The same for a session that goes on when its agent can be used again.
pub(super) fn cut_off_session(active: &Active) -> Vec<String> {
    let Step::TurnDue {
        ask: Ask::Continue { ended, .. },
        ..
    } = &active.step
    else {
        return Vec::new();
    };
    let attempt = &active.attempt;
    let head = attempt.head.filter(|head| *head != attempt.base);
    let committed = match head {
        Some(head) => format!("what it committed is there, head {}", head.short()),
        None => "nothing is committed".to_owned(),
    };
    vec![
        ended.in_words(),
        committed,
        "its workspace stays as it is, with what is not committed".to_owned(),
    ]
}

fn committed(left: &WorkLeft) -> String {
    let head = left.head.map(|head| format!(", head {}", head.short()));
    let head = head.unwrap_or_default();
    match left.commits {
        0 => "nothing is committed".to_owned(),
        1 => format!("1 commit is there{head}"),
        commits => format!("{commits} commits are there{head}"),
    }
}

fn uncommitted(left: &WorkLeft) -> String {
    let named: Vec<_> = left
        .uncommitted
        .iter()
        .take(MAX_FILES)
        .map(|path| format!("`{path}`"))
        .collect();
    let more = match left.uncommitted.len().saturating_sub(MAX_FILES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match (named.is_empty(), left.kept) {
        (true, None) => "nothing is left uncommitted".to_owned(),
        (true, Some(kept)) => format!("what was not committed is kept as commit {}", kept.short()),
        (false, Some(kept)) => format!(
            "changed and not committed: {}{more}; kept as commit {}",
            named.join(", "),
            kept.short()
        ),
        (false, None) => format!("changed and not committed: {}{more}", named.join(", ")),
    }
}

fn handoff(handoff: &HandoffLeft) -> String {
    match handoff {
        HandoffLeft::Missing => "there is no handoff".to_owned(),
        HandoffLeft::Broken { reason } => format!("its handoff cannot be read: {reason}"),
        HandoffLeft::Says { status, reason } => {
            let status = match status {
                HandoffStatus::Done => "done",
                HandoffStatus::Blocked => "blocked",
                HandoffStatus::Failed => "failed",
            };
            match reason {
                Some(reason) => format!("its handoff says {status}: {reason}"),
                None => format!("its handoff says {status}"),
            }
        }
    }
}
