//! The page as Markdown (CommonMark with tables).

use std::fmt::Write as _;

use super::{
    page::Block,
    timeline::{KINDS, Timeline, word},
};
use crate::model::fenced;

/// Characters of a timeline's row.
const WIDTH: usize = 72;

pub(super) fn render(page: &[Block]) -> String {
    let mut text = String::new();
    for block in page {
        let _ = match block {
            Block::Title(title) => writeln!(text, "# {}\n", line(title)),
            Block::Lead(lead) => writeln!(text, "**{}**\n", line(lead)),
            Block::Section(title) => writeln!(text, "## {title}\n"),
            Block::Entry(title) => writeln!(text, "### {}\n", line(title)),
            Block::Paragraph(words) => writeln!(text, "{}\n", line(words)),
            Block::Facts(facts) => facts
                .iter()
                .try_for_each(|[name, value]| writeln!(text, "- {}: {}", line(name), line(value)))
                .and_then(|()| writeln!(text)),
            Block::List(items) if items.is_empty() => Ok(()),
            Block::List(items) => items
                .iter()
                .try_for_each(|item| writeln!(text, "- {}", line(item)))
                .and_then(|()| writeln!(text)),
            Block::Printed(printed) => writeln!(text, "{}", fenced(printed)),
            Block::Timeline(timeline) => writeln!(text, "{}", fenced(&drawn(timeline))),
        };
    }
    text
}

/// On one line, with nothing in it that a reader of Markdown would follow or run.
fn line(text: &str) -> String {
    let mut safe = String::new();
    for c in crate::model::clean(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
    {
        match c {
            '<' => safe.push_str("&lt;"),
            '[' | ']' | '*' | '\\' => safe.extend(['\\', c]),
            c => safe.push(c),
        }
    }
    safe
}

fn drawn(timeline: &Timeline) -> String {
    let name = timeline
        .rows
        .iter()
        .map(|row| row.name.chars().count())
        .max()
        .unwrap_or(0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place on a line"
    )]
    let column = |place: f64| ((place * WIDTH as f64) as usize).min(WIDTH - 1);
    let mut text = String::new();
    let mut axis = vec![' '; WIDTH + 8];
    for (at, label) in &timeline.ticks {
        let from = column(timeline.at(*at));
        if axis[from.saturating_sub(1)..(from + label.len() + 1).min(axis.len())]
            .iter()
            .all(|c| *c == ' ')
        {
            axis.splice(from..(from + label.len()).min(axis.len()), label.chars());
        }
    }
    let _ = writeln!(
        text,
        "{:name$} {}",
        "",
        axis.iter().collect::<String>().trim_end()
    );
    for row in &timeline.rows {
        let mut cells = vec![' '; WIDTH];
        for bar in &row.bars {
            cells[column(timeline.at(bar.from))..=column(timeline.at(bar.to))]
                .fill(word(bar.what).1);
        }
        let _ = writeln!(
            text,
            "{:name$} {} {}",
            row.name,
            cells.iter().collect::<String>(),
            row.end
        );
    }
    let legend: Vec<_> = KINDS
        .iter()
        .map(|kind| format!("{} {}", word(*kind).1, word(*kind).0))
        .collect();
    let _ = write!(text, "\n{}", legend.join("   "));
    text
}
