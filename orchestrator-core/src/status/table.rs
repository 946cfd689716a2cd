//! The snapshot as a table, for a terminal or a log.

use std::fmt::Write as _;

use super::Snapshot;

/// One line for each task: id, state, attempts, why, evidence. Plain text, no colours; the widths follow the content.
#[must_use]
pub fn table(snapshot: &Snapshot) -> String {
    let head = ["task", "state", "attempts", "why", "evidence"].map(str::to_owned);
    let rows: Vec<[String; 5]> = snapshot
        .tasks
        .iter()
        .map(|task| {
            let why = task
                .hold
                .as_ref()
                .map(|hold| format!("{}: {}", hold.id, hold.question))
                .or_else(|| task.reason.clone());
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
    text
}

/// The first line, at most 100 characters of it.
fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let more = line.chars().count() > 100 || text.lines().nth(1).is_some();
    let kept: String = line.chars().take(100).collect();
    if more { format!("{kept} …") } else { kept }
}
