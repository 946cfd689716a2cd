//! The snapshot as a table, for a terminal or a log.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Snapshot, TaskView, costs};
use crate::model::clean;

/// The longest reason, in characters.
const WIDTH: usize = 100;

/// One line for each task: id, state, attempts, what they have used, why, evidence; below them what
/// each agent has used. Plain text, no colours; the widths follow the content.
#[must_use]
pub fn table(snapshot: &Snapshot) -> String {
    let head = ["task", "state", "attempts", "used", "why", "evidence"].map(str::to_owned);
    let rows: Vec<[String; 6]> = snapshot
        .tasks
        .iter()
        .map(|task| {
            let why = task
                .hold
                .as_ref()
                .map(|hold| format!("{}: {}", hold.id, hold.question))
                .or_else(|| task.reason.clone())
                .or_else(|| task.doing.as_ref().map(ToString::to_string));
            let why = why
                .or_else(|| {
                    task.landed_commit
                        .map(|commit| format!("landed as {}", commit.short()))
                })
                .unwrap_or_default();
            let evidence: Vec<_> = task
                .evidence
                .iter()
                .map(|evidence| format!("{}: {}", evidence.claim, evidence.label))
                .collect();
            [
                task.id.to_string(),
                task.state.to_string(),
                task.attempts.to_string(),
                used(task),
                shorten(&why),
                evidence.join(", "),
            ]
        })
        .collect();
    let width = |column: usize| {
        rows.iter()
            .chain([&head])
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in [&head].into_iter().chain(&rows) {
        let cells: Vec<_> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    for line in costs::lines(&snapshot.used) {
        let _ = writeln!(text, "used by {line}");
    }
    text
}

/// What the attempts of a task have used; nothing for one that was not begun.
fn used(task: &TaskView) -> String {
    let spend = costs::sum(task.used.values().flat_map(BTreeMap::values));
    match (spend.tokens_text(), spend.money_text()) {
        _ if task.used.is_empty() => String::new(),
        (tokens, money) if money == "unknown" => tokens,
        (tokens, money) => format!("{tokens}, {money}"),
    }
}

/// The first line, at most 100 characters of it, cut between words.
fn shorten(text: &str) -> String {
    let text = clean(text);
    let line = text.lines().next().unwrap_or_default();
    let more = text.lines().nth(1).is_some();
    if line.chars().count() <= WIDTH {
        return if more {
            format!("{line} …")
        } else {
            line.to_owned()
        };
    }
    let kept: String = line.chars().take(WIDTH).collect();
    let is_whole = line[kept.len()..].starts_with(' ');
    let kept = match kept.rsplit_once(' ') {
        Some((words, part)) if !is_whole && part.len() < WIDTH / 2 => words,
        _ => &kept,
    };
    format!("{kept} …")
}
