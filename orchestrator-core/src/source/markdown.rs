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
//! beneath it is its contract ([`ContractKeys`]); everything else beneath it is its text. A heading `Package: NAME` puts what
//! follows into a package, until a heading of the same or a higher level. All other Markdown is prose.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::{
    model::{AttemptId, ContractKeys, PackageName, RepoPath, Task, TaskId},
    port::{LandingEdit, Outcome, SourceError, SourceSnapshot, TaskSource, TreeView},
};

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

#[derive(Debug, Clone, PartialEq)]
struct Item {
    task: Task,
    /// Where its checkbox stands.
    tick: Range<usize>,
}

#[derive(Debug, PartialEq, Eq)]
struct Fault {
    at: usize,
    why: String,
}

fn fault<T>(at: usize, why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault {
        at,
        why: why.into(),
    })
}

/// A checkbox item while it is read.
struct Open {
    whole: Range<usize>,
    tick: Range<usize>,
    done: bool,
    id: Option<String>,
    title: String,
    /// Where the first line ends.
    head_end: Option<usize>,
    contract: Option<(Range<usize>, String)>,
}

fn parse(text: &str) -> Result<Vec<Item>, Fault> {
    let mut items: Vec<Item> = Vec::new();
    let mut package: Option<(HeadingLevel, PackageName)> = None;
    let mut heading: Option<(HeadingLevel, usize, String)> = None;
    let mut lists = 0_u32;
    let mut item: Option<Range<usize>> = None;
    let mut open: Option<Open> = None;
    let (mut bold, mut code): (bool, Option<(Range<usize>, bool, String)>) = (false, None);
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TASKLISTS).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { level, .. }) if lists == 0 => {
                heading = Some((level, range.start, String::new()));
            }
            Event::End(TagEnd::Heading(_)) if heading.is_some() => {
                let (level, at, title) =
                    heading
                        .take()
                        .unwrap_or((HeadingLevel::H1, 0, String::new()));
                if let Some(name) = title.trim().strip_prefix("Package:") {
                    let name = PackageName::new(name.trim()).map_err(|error| Fault {
                        at,
                        why: error.to_string(),
                    })?;
                    package = Some((level, name));
                } else if package.as_ref().is_some_and(|(of, _)| level <= *of) {
                    package = None;
                }
            }
            Event::Start(Tag::List(_)) => {
                close_head(&mut open, range.start);
                lists += 1;
            }
            Event::End(TagEnd::List(_)) => lists -= 1,
            Event::Start(Tag::Item) if lists == 1 => item = Some(range),
            Event::TaskListMarker(done) if lists == 1 => {
                let whole = item.clone().unwrap_or_else(|| range.clone());
                // The marker's range may include the blank behind it.
                let tick = range.start..range.start + 3;
                open = Some(Open {
                    whole,
                    tick,
                    done,
                    id: None,
                    title: String::new(),
                    head_end: None,
                    contract: None,
                });
            }
            Event::End(TagEnd::Item) if lists == 1 => {
                item = None;
                if let Some(open) = open.take() {
                    items.push(close(
                        text,
                        open,
                        package.as_ref().map(|(_, name)| name.clone()),
                    )?);
                }
            }
            Event::Start(Tag::CodeBlock(kind)) => {
                close_head(&mut open, range.start);
                let toml = matches!(&kind, CodeBlockKind::Fenced(language) if language.split_whitespace().next() == Some("toml"));
                code = Some((range, toml && lists == 1, String::new()));
            }
            Event::End(TagEnd::CodeBlock) => {
                if let (Some((range, true, content)), Some(open)) = (code.take(), open.as_mut()) {
                    if open.contract.is_some() {
                        return fault(
                            range.start,
                            "a second `toml` block beneath one task: a task has one contract",
                        );
                    }
                    open.contract = Some((range, content));
                }
            }
            Event::Start(Tag::Strong) => bold = true,
            Event::End(TagEnd::Strong) => bold = false,
            Event::SoftBreak | Event::HardBreak => close_head(&mut open, range.start),
            Event::End(TagEnd::Paragraph) => close_head(&mut open, range.end),
            Event::Text(piece) | Event::Code(piece) => {
                if let Some((_, _, content)) = &mut code {
                    content.push_str(&piece);
                } else if let Some((_, _, title)) = &mut heading {
                    title.push_str(&piece);
                } else if let Some(open) = open.as_mut().filter(|open| open.head_end.is_none()) {
                    if bold && open.id.is_none() && open.title.trim().is_empty() {
                        open.id = Some(piece.to_string());
                    } else {
                        open.title.push_str(&piece);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(items)
}

/// The first line of an item is over.
fn close_head(open: &mut Option<Open>, at: usize) {
    if let Some(open) = open {
        open.head_end.get_or_insert(at);
    }
}

fn close(text: &str, open: Open, package: Option<PackageName>) -> Result<Item, Fault> {
    let at = open.tick.start;
    let Some(id) = open.id else {
        return fault(
            at,
            "a checkbox without a task id: write it in bold in front, as in `- [ ] **R1** Title`",
        );
    };
    let id = TaskId::new(id.trim()).map_err(|error| Fault {
        at,
        why: error.to_string(),
    })?;
    let title = open.title.trim().trim_start_matches(':').trim().to_owned();
    if title.is_empty() {
        return fault(
            at,
            format!("task `{id}` has no title: write it behind the id, on the same line"),
        );
    }
    let keys = match &open.contract {
        None => ContractKeys::default(),
        Some((block, content)) => toml::from_str(content).map_err(|error| {
            let inside = error.span().map_or(0, |span| span.start);
            let line = content
                .get(..inside)
                .map_or(0, |before| before.matches('\n').count());
            // The line behind the fence is the first of the block's content.
            let at = text[block.start..]
                .match_indices('\n')
                .nth(line)
                .map_or(block.start, |(offset, _)| block.start + offset + 1);
            Fault {
                at,
                why: format!(
                    "task `{id}`: {}",
                    error.message().trim().replace('\n', ", ")
                ),
            }
        })?,
    };
    let body = open.head_end.unwrap_or(open.whole.end)..open.whole.end;
    let (before, after) = match &open.contract {
        Some((block, _)) => (
            &text[body.start..block.start.max(body.start)],
            text[block.end..body.end].trim_start_matches(['`', '~']),
        ),
        None => (&text[body], ""),
    };
    let mut task = Task::new(id, title)
        .with_text(dedent(&format!("{before}\n{after}")))
        .with_keys(keys);
    task.package = package;
    task.done = open.done;
    Ok(Item {
        task,
        tick: open.tick,
    })
}

/// Without the indentation that all lines share, and without blank lines around.
fn dedent(text: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let least = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(indent)
        .min()
        .unwrap_or(0);
    let lines: Vec<_> = text
        .lines()
        .map(|line| {
            line.get(least.min(indent(line))..)
                .unwrap_or_default()
                .trim_end()
        })
        .collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROADMAP: &str = "# Shop\n\nSome prose, with a list:\n\n- not a task\n\n## Package: receipts\n\n\
        - [ ] **R1** Print `line` totals\n  ```toml\n  allow = [\"src/**\"]\n  after = [\"R0\"]\n  ```\n  What is wanted.\n\n  \
        - [ ] a step, not a task\n\n- [x] **R0**: Read prices\n\n## Other\n\n* [ ] **X-1** Loose\n";

    fn why(text: &str) -> (usize, String) {
        let Err(Fault { at, why }) = parse(text) else {
            panic!("accepted: {text}")
        };
        (Lines::of(text).line_of(at), why)
    }

    #[test]
    fn tasks_packages_contracts_and_texts_are_read() {
        let items = parse(ROADMAP).expect("parses");
        let seen: Vec<_> = items
            .iter()
            .map(|Item { task, .. }| {
                (
                    task.id.as_str(),
                    task.title.as_str(),
                    task.package.as_ref().map(PackageName::as_str),
                    task.done,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("R1", "Print line totals", Some("receipts"), false),
                ("R0", "Read prices", Some("receipts"), true),
                ("X-1", "Loose", None, false)
            ]
        );
        assert_eq!(
            items[0].task.text,
            "What is wanted.\n\n- [ ] a step, not a task"
        );
        assert_eq!(
            items[0].task.keys.after,
            Some(vec![TaskId::new("R0").expect("an id")])
        );
        assert_eq!(
            items
                .iter()
                .map(|item| &ROADMAP[item.tick.clone()])
                .collect::<Vec<_>>(),
            ["[ ]", "[x]", "[ ]"]
        );
    }

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

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(why("\n- [ ] no id\n").0, 2);
        assert_eq!(
            why("- [ ] **R1**\n"),
            (
                1,
                "task `R1` has no title: write it behind the id, on the same line".to_owned()
            )
        );
        let (line, message) =
            why("- [ ] **R1** t\n  ```toml\n  allow = [\"a\"]\n  alow = 1\n  ```\n");
        assert_eq!(line, 4);
        assert!(
            message.starts_with("task `R1`: unknown field `alow`"),
            "{message}"
        );
        let (line, message) = why("- [ ] **R1** t\n  ```toml\n  ```\n  ```toml\n  ```\n");
        assert_eq!(
            (line, message.as_str()),
            (
                4,
                "a second `toml` block beneath one task: a task has one contract"
            )
        );
        assert!(why("- [ ] **a/b** t\n").1.contains("is no valid task id"));
        assert!(
            why("- [ ] **R1** t\n  ```toml\n  allow = [\"a**\"]\n  ```\n")
                .1
                .contains("`**` must stand alone")
        );
    }
}
