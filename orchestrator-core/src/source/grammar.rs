//! The grammar of a roadmap: tasks, packages and contracts in Markdown.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::model::{ContractKeys, PackageName, Task, TaskId};

/// The tasks of a roadmap, in the order of their checkboxes.
pub(super) fn parse(text: &str) -> Result<Vec<Item>, Fault> {
    let mut reading = Reading {
        text,
        items: Vec::new(),
        package: None,
        heading: None,
        lists: 0,
        item: None,
        open: None,
        is_bold: false,
        code: None,
    };
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TASKLISTS).into_offset_iter() {
        reading.take(event, range)?;
    }
    Ok(reading.items)
}

/// A roadmap while it is read.
struct Reading<'a> {
    text: &'a str,
    items: Vec<Item>,
    package: Option<(HeadingLevel, PackageName)>,
    /// The heading that is open: its level, where it begins, and its words.
    heading: Option<(HeadingLevel, usize, String)>,
    /// How many lists are open.
    lists: u32,
    /// The item of the outermost list that is open.
    item: Option<Range<usize>>,
    open: Option<Open>,
    is_bold: bool,
    code: Option<Code>,
}

/// A block of code while it is read.
struct Code {
    whole: Range<usize>,
    /// Whether it is the contract of the item that it is in.
    is_contract: bool,
    content: String,
}

impl Reading<'_> {
    fn take(&mut self, event: Event<'_>, range: Range<usize>) -> Result<(), Fault> {
        match event {
            Event::Start(Tag::Heading { level, .. }) if self.lists == 0 => {
                self.heading = Some((level, range.start, String::new()));
            }
            Event::End(TagEnd::Heading(_)) => self.end_heading()?,
            Event::Start(Tag::List(_)) => {
                self.close_head(range.start);
                self.lists += 1;
            }
            Event::End(TagEnd::List(_)) => self.lists -= 1,
            Event::Start(Tag::Item) if self.lists == 1 => self.item = Some(range),
            Event::TaskListMarker(done) if self.lists == 1 => self.begin_task(done, range),
            Event::End(TagEnd::Item) if self.lists == 1 => self.end_item()?,
            Event::Start(Tag::CodeBlock(kind)) => self.begin_code(&kind, range),
            Event::End(TagEnd::CodeBlock) => self.end_code()?,
            Event::Start(Tag::Strong) => self.is_bold = true,
            Event::End(TagEnd::Strong) => self.is_bold = false,
            Event::SoftBreak | Event::HardBreak => self.close_head(range.start),
            Event::End(TagEnd::Paragraph) => self.close_head(range.end),
            Event::Text(piece) | Event::Code(piece) => self.add_text(&piece),
            _ => {}
        }
        Ok(())
    }

    fn end_heading(&mut self) -> Result<(), Fault> {
        let Some((level, at, title)) = self.heading.take() else {
            return Ok(());
        };
        if let Some(name) = title.trim().strip_prefix("Package:") {
            let name = PackageName::new(name.trim()).map_err(|error| Fault {
                at,
                why: error.to_string(),
            })?;
            self.package = Some((level, name));
        } else if self.package.as_ref().is_some_and(|(of, _)| level <= *of) {
            self.package = None;
        }
        Ok(())
    }

    fn begin_task(&mut self, done: bool, marker: Range<usize>) {
        self.open = Some(Open {
            whole: self.item.clone().unwrap_or_else(|| marker.clone()),
            // The marker's range may include the blank behind it.
            tick: marker.start..marker.start + 3,
            done,
            id: None,
            title: String::new(),
            head_end: None,
            contract: None,
        });
    }

    fn end_item(&mut self) -> Result<(), Fault> {
        self.item = None;
        if let Some(open) = self.open.take() {
            let package = self.package.as_ref().map(|(_, name)| name.clone());
            self.items.push(close(self.text, open, package)?);
        }
        Ok(())
    }

    fn begin_code(&mut self, kind: &CodeBlockKind<'_>, whole: Range<usize>) {
        self.close_head(whole.start);
        let is_toml = matches!(kind, CodeBlockKind::Fenced(language) if language.split_whitespace().next() == Some("toml"));
        self.code = Some(Code {
            whole,
            is_contract: is_toml && self.lists == 1,
            content: String::new(),
        });
    }

    fn end_code(&mut self) -> Result<(), Fault> {
        let code = self.code.take().filter(|code| code.is_contract);
        let (Some(code), Some(open)) = (code, &mut self.open) else {
            return Ok(());
        };
        if open.contract.is_some() {
            let why = "a second `toml` block beneath one task: a task has one contract";
            return fault(code.whole.start, why);
        }
        open.contract = Some((code.whole, code.content));
        Ok(())
    }

    fn add_text(&mut self, piece: &str) {
        if let Some(code) = &mut self.code {
            code.content.push_str(piece);
        } else if let Some((_, _, title)) = &mut self.heading {
            title.push_str(piece);
        } else if let Some(open) = self.open.as_mut().filter(|open| open.head_end.is_none()) {
            if self.is_bold && open.id.is_none() && open.title.trim().is_empty() {
                open.id = Some(piece.to_owned());
            } else {
                open.title.push_str(piece);
            }
        }
    }

    /// The first line of an item is over.
    fn close_head(&mut self, at: usize) {
        if let Some(open) = &mut self.open {
            open.head_end.get_or_insert(at);
        }
    }
}

/// A task, and where its checkbox stands in the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) task: Task,
    pub(super) tick: Range<usize>,
}

/// What is wrong at a byte of the text, and the fix.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) why: String,
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
pub(super) mod tests {
    use super::*;

    pub(in crate::source) const ROADMAP: &str = "# Shop\n\nSome prose, with a list:\n\n- not a task\n\n## Package: receipts\n\n\
        - [ ] **R1** Print `line` totals\n  ```toml\n  allow = [\"src/**\"]\n  after = [\"R0\"]\n  ```\n  What is wanted.\n\n  \
        - [ ] a step, not a task\n\n- [x] **R0**: Read prices\n\n## Other\n\n* [ ] **X-1** Loose\n";

    fn why(text: &str) -> (usize, String) {
        let Err(Fault { at, why }) = parse(text) else {
            panic!("accepted: {text}")
        };
        (text[..at].matches('\n').count() + 1, why)
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
