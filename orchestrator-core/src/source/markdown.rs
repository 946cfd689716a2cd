//! A roadmap in Markdown, read from the base commit; its ticks land with their tasks.
//!
//! ````text
//! ## Package: receipts
//!
//! - [ ] **R1** Print line totals on receipts
//!   ```toml
//!   allow = ["src/receipt/**"]
//!   ```
//!   What is wanted, in prose.
//! ````
//!
//! A task is a checkbox item at the top level of a list: a bold id, then a title on the same line. The one fenced `toml` block
//! beneath it is its contract ([`ContractKeys`](crate::model::ContractKeys)); everything else beneath it is its text. A heading `Package: NAME` puts what
//! follows into a package, until a heading of the same or a higher level. All other Markdown is prose.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use super::grammar::{Fault, Item, parse};
use crate::{
    model::{AttemptId, RepoPath, TaskId},
    port::{LandingEdit, Outcome, SourceError, SourceSnapshot, TaskSource, TreeView},
};
use async_trait::async_trait;

/// A Markdown file in the repository. Clones share what was parsed last.
#[derive(Debug, Clone)]
pub struct MarkdownRoadmap {
    path: RepoPath,
    /// What was read last: the file is read twice for each landing, and mostly only ticks in it have changed.
    last: Arc<Mutex<Option<Arc<Parsed>>>>,
}

impl MarkdownRoadmap {
    /// The file at this path.
    #[must_use]
    pub fn new(path: RepoPath) -> Self {
        Self {
            path,
            last: Arc::default(),
        }
    }

    async fn read(&self, tree: &dyn TreeView) -> Result<String, SourceError> {
        let missing = || SourceError::Missing {
            path: self.path.to_string(),
            revision: tree.revision(),
        };
        let bytes = tree.read(&self.path).await?.ok_or_else(missing)?;
        String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            SourceError::Invalid {
                path: self.path.to_string(),
                line,
                why: "it is not UTF-8 here".to_owned(),
            }
        })
    }

    fn parse(&self, text: String) -> Result<Arc<Parsed>, SourceError> {
        let last = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(known) = last.as_ref().filter(|last| last.text == text) {
            return Ok(Arc::clone(known));
        }
        let ticked = last.and_then(|last| last.with_other_ticks(&text));
        let items = match ticked {
            Some(items) => items,
            None => self.parse_anew(&text)?,
        };
        let parsed = Arc::new(Parsed { text, items });
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&parsed));
        Ok(parsed)
    }

    fn parse_anew(&self, text: &str) -> Result<Vec<Item>, SourceError> {
        let mut items = parse(text).map_err(|Fault { at, why }| {
            let line = Lines::of(text).line_of(at);
            SourceError::Invalid {
                path: self.path.to_string(),
                line,
                why,
            }
        })?;
        let mut lines = Lines::of(text);
        for Item { task, tick } in &mut items {
            task.place = Some(format!("{}:{}", self.path, lines.line_of(tick.start)));
        }
        Ok(items)
    }
}

#[async_trait]
impl TaskSource for MarkdownRoadmap {
    async fn snapshot(&self, tree: &dyn TreeView) -> Result<SourceSnapshot, SourceError> {
        let parsed = self.parse(self.read(tree).await?)?;
        let tasks: Vec<_> = parsed.items.iter().map(|item| item.task.clone()).collect();
        if tasks.is_empty() {
            let why = "no task is in it: a task is a checkbox with a bold id and a title, as in `- [ ] **R1** Title`".to_owned();
            return Err(SourceError::Invalid {
                path: self.path.to_string(),
                line: 1,
                why,
            });
        }
        Ok(SourceSnapshot {
            revision: tree.revision(),
            tasks,
        })
    }

    async fn landing_edits(
        &self,
        task: &TaskId,
        tree: &dyn TreeView,
    ) -> Result<Vec<LandingEdit>, SourceError> {
        let parsed = self.parse(self.read(tree).await?)?;
        let cannot = |why: &str| SourceError::CannotEdit {
            path: self.path.to_string(),
            task: task.clone(),
            why: why.to_owned(),
        };
        let item = parsed.items.iter().find(|item| item.task.id == *task);
        let item =
            item.ok_or_else(|| cannot("is no longer in the roadmap, so that it cannot be ticked"))?;
        if item.task.done {
            return Ok(Vec::new());
        }
        let mut text = parsed.text.clone();
        text.replace_range(item.tick.clone(), "[x]");
        Ok(vec![LandingEdit {
            path: self.path.clone(),
            content: text.into_bytes(),
        }])
    }

    async fn report(&self, _: &TaskId, _: &AttemptId, _: &Outcome) -> Result<(), SourceError> {
        // The tick landed with the task; a parked task stays unticked, which is what the roadmap can say of it.
        Ok(())
    }

    fn own_paths(&self) -> Vec<RepoPath> {
        vec![self.path.clone()]
    }
}

/// Counts lines from where the last one was asked for: to count each from the beginning takes time that grows with the square of
/// the roadmap's length.
struct Lines<'a> {
    text: &'a [u8],
    counted: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            counted: 0,
            line: 1,
        }
    }

    /// The line of a byte, counted from 1. No byte may be before the one that was asked for last.
    fn line_of(&mut self, at: usize) -> usize {
        let at = at.min(self.text.len());
        let between = &self.text[self.counted..at];
        self.line += between.iter().filter(|byte| **byte == b'\n').count();
        self.counted = at;
        self.line
    }
}

/// A roadmap as it was read.
#[derive(Debug)]
struct Parsed {
    text: String,
    /// In the order of their checkboxes.
    items: Vec<Item>,
}

impl Parsed {
    /// The items of a text that differs from this one in ticks alone, which mean nothing else; `None` if it differs in more.
    fn with_other_ticks(&self, text: &str) -> Option<Vec<Item>> {
        let old = self.text.as_bytes();
        let new = text.as_bytes();
        if old.len() != new.len() {
            return None;
        }
        let mut items = Vec::with_capacity(self.items.len());
        let mut compared = 0;
        for item in &self.items {
            let Range { start, end } = item.tick;
            let done = match &new[start..end] {
                b"[ ]" => false,
                b"[x]" | b"[X]" => true,
                _ => return None,
            };
            if old[compared..start] != new[compared..start] {
                return None;
            }
            let mut item = item.clone();
            item.task.done = done;
            items.push(item);
            compared = end;
        }
        (old[compared..] == new[compared..]).then_some(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::grammar::tests::ROADMAP;

    #[test]
    fn lines_are_counted_on_from_the_last_one() {
        let mut lines = Lines::of("a\nb\n\nc");
        let asked = [0, 1, 2, 2, 4, 5, 100];
        assert_eq!(asked.map(|at| lines.line_of(at)), [1, 1, 2, 2, 3, 4, 4]);
        assert_eq!(lines.counted, 6, "no byte is counted twice");
    }

    #[test]
    fn ticks_alone_need_no_second_parse_and_mean_the_same() {
        let source = MarkdownRoadmap::new("ROADMAP.md".parse().expect("a path"));
        let known = source.parse(ROADMAP.to_owned()).expect("parses");
        let ticked = ROADMAP
            .replacen("- [ ] **R1**", "- [x] **R1**", 1)
            .replacen("- [x] **R0**", "- [ ] **R0**", 1);
        let anew = source.parse_anew(&ticked).expect("parses");
        assert_eq!(known.with_other_ticks(&ticked), Some(anew));
        let others = [
            ROADMAP.replacen("- [ ] **R1**", "- [-] **R1**", 1),
            ROADMAP.replacen("R0\"]", "R9\"]", 1),
            ROADMAP.replacen("  - [ ] a step", "  - [x] a step", 1),
            ROADMAP.replacen("Loose", "Moose", 1),
            format!("{ROADMAP}\n"),
            String::new(),
        ];
        for other in others {
            assert_eq!(known.with_other_ticks(&other), None, "{other}");
        }
        let same = source.parse(ROADMAP.to_owned()).expect("parses");
        assert!(
            Arc::ptr_eq(&known, &same),
            "the same text is not parsed again"
        );
    }
}
