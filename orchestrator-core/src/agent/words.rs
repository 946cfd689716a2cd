//! What a person is shown of what an agent says: its words, and not its JSON.
//!
//! An agent may end with its handoff as JSON, alone, in a fenced block or behind its last sentence; a
//! command may print a line of JSON for each event. That is data for a program.

use serde::de::IgnoredAny;

/// Of data that goes over several lines, so many bytes are waited for.
const MOST_HELD: usize = 64 << 10;

/// What is left of a text when JSON is taken out: a text that is an object or a list, fenced blocks
/// and lines that are one, and one behind the last words. An object that is cut off counts as one.
/// `None` where nothing is left.
#[must_use]
pub fn words(text: &str) -> Option<String> {
    let mut left = without_blocks(text);
    if let Some(at) = last_object(&left) {
        left.truncate(at);
    }
    let kept: Vec<&str> = left.lines().filter(|line| !is_data(line)).collect();
    let kept = kept.join("\n");
    let kept = kept.trim_end().trim_start_matches('\n');
    (!kept.is_empty()).then(|| kept.to_owned())
}

/// The same for text that comes line by line, where one piece of JSON may go over many lines.
#[derive(Debug, Default)]
pub(crate) struct LineWords {
    /// Lines that begin JSON, or a fenced block, and have not ended it.
    held: String,
    fenced: bool,
}

impl LineWords {
    /// What is to be shown now that this line was said, in its order; nothing while it may be JSON.
    pub(crate) fn line(&mut self, line: &str) -> Vec<String> {
        let text = line.trim();
        if self.held.is_empty() && !self.fenced {
            if is_fence_of_json(text) {
                self.fenced = true;
                return Vec::new();
            }
            return match state_of(text) {
                Json::Whole => Vec::new(),
                Json::Open => {
                    self.hold(line);
                    Vec::new()
                }
                Json::No => vec![line.to_owned()],
            };
        }
        if self.fenced && text.starts_with("```") {
            self.fenced = false;
            return self.let_go();
        }
        self.hold(line);
        match state_of(self.held.trim()) {
            Json::Whole => {
                self.held.clear();
                Vec::new()
            }
            Json::Open if self.held.len() < MOST_HELD => Vec::new(),
            Json::Open | Json::No if self.fenced && self.held.len() < MOST_HELD => Vec::new(),
            Json::Open | Json::No => {
                self.fenced = false;
                self.let_go()
            }
        }
    }

    fn hold(&mut self, line: &str) {
        self.held.push_str(line);
        self.held.push('\n');
    }

    /// What was held back, and is no JSON.
    fn let_go(&mut self) -> Vec<String> {
        let held = std::mem::take(&mut self.held);
        held.lines()
            .filter(|line| !is_data(line))
            .map(str::to_owned)
            .collect()
    }
}

/// What a text is, as far as it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Json {
    /// An object, or a list that begins with one.
    Whole,
    /// The beginning of one.
    Open,
    No,
}

fn state_of(text: &str) -> Json {
    if !begins_json(text) {
        return Json::No;
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => Json::Whole,
        Err(error) if error.is_eof() => Json::Open,
        Err(_) => Json::No,
    }
}

/// Whether a text can begin as an object, or as a list of objects. `[note]` and `{}` in prose do not.
fn begins_json(text: &str) -> bool {
    let mut signs = text.chars().filter(|c| !c.is_whitespace());
    match (signs.next(), signs.next()) {
        (Some('{'), next) => matches!(next, None | Some('"' | '}')),
        (Some('['), next) => matches!(next, None | Some('{')),
        (_, _) => false,
    }
}

fn is_data(line: &str) -> bool {
    let line = line.trim();
    line.len() > 2 && state_of(line) == Json::Whole
}

fn is_fence_of_json(text: &str) -> bool {
    let Some(language) = text.strip_prefix("```") else {
        return false;
    };
    let language = language.trim();
    language.eq_ignore_ascii_case("json") || language.eq_ignore_ascii_case("jsonl")
}

/// The text without fenced blocks that are JSON.
fn without_blocks(text: &str) -> String {
    let fences: Vec<_> = text.match_indices("```").map(|(at, _)| at).collect();
    let mut left = String::new();
    let mut from = 0;
    for pair in fences.windows(2) {
        let (open, close) = (pair[0], pair[1]);
        if open < from {
            continue;
        }
        let block = text[open + 3..close].split_once('\n');
        if block.is_some_and(|(_, block)| state_of(block.trim()) == Json::Whole) {
            left.push_str(&text[from..open]);
            from = close + 3;
        }
    }
    left.push_str(&text[from..]);
    left
}

/// Where a JSON object begins that goes to the end of the text, perhaps cut off there.
fn last_object(text: &str) -> Option<usize> {
    let text = text.trim_end();
    let begins = text
        .match_indices(['{', '['])
        .map(|(at, _)| at)
        .filter(|at| {
            text[..*at].trim_end_matches([' ', '\t']).is_empty() || text[..*at].ends_with('\n')
        });
    let is_object = |at: &usize| {
        let rest = &text[*at..];
        rest.len() > 2 && state_of(rest) != Json::No
    };
    begins.into_iter().find(is_object)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDOFF: &str = r#"{"version":1,"status":"done","self_review":"all {is} well"}"#;

    #[test]
    fn json_is_not_shown_as_words() {
        let pretty = "{\n  \"version\": 1,\n  \"status\": \"done\"\n}";
        for text in [
            HANDOFF.to_owned(),
            format!("\n {HANDOFF}\n"),
            format!("```json\n{pretty}\n```"),
            format!("```\n{HANDOFF}\n```\n"),
            pretty.to_owned(),
            format!("[{HANDOFF},\n{HANDOFF}]"),
            format!("{HANDOFF}\n{HANDOFF}"),
            // Cut off by whoever told it.
            HANDOFF[..30].to_owned(),
        ] {
            assert_eq!(words(&text), None, "{text}");
        }
        for text in [
            format!("All done.\n```json\n{pretty}\n```"),
            format!("All done.\n{pretty}"),
            format!("```json\n{HANDOFF}\n```\nAll done."),
            format!("{HANDOFF}\nAll done."),
            format!("All done.\n{}", &HANDOFF[..30]),
        ] {
            assert_eq!(words(&text).as_deref(), Some("All done."), "{text}");
        }
    }

    #[test]
    fn words_stay_as_they_are() {
        for text in [
            "it is {\"inline\": 1} here",
            "[note] see {this}",
            "{} is empty",
            "use `{ a }`\n{ not json",
            "```rust\nfn a() {}\n```",
            "a\n\nb",
        ] {
            assert_eq!(words(text).as_deref(), Some(text), "{text}");
        }
    }

    #[test]
    fn json_over_many_lines_is_not_shown() {
        let mut lines = LineWords::default();
        let mut shown = |text: &str| {
            let said = text.lines().flat_map(|line| lines.line(line));
            said.collect::<Vec<_>>()
        };
        let pretty = "before\n{\n  \"a\": [\n    1\n  ]\n}\nafter";
        assert_eq!(shown(pretty), ["before", "after"]);
        let fenced = "before\n```json\n{\n  \"a\": 1\n}\n```\nafter";
        assert_eq!(shown(fenced), ["before", "after"]);
        assert_eq!(shown("{\nno json\nafter"), ["{", "no json", "after"]);
        assert_eq!(shown(&format!("{HANDOFF}\n[info] x")), ["[info] x"]);
        assert_eq!(shown("```json\nno json\n```\nafter"), ["no json", "after"]);
    }
}
