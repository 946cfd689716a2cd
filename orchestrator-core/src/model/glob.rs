//! Path patterns of a contract: what they match, and whether two of them can match the same path.
//!
//! The grammar: `?` and `*` match within one component, `**` as a whole component matches any number of them,
//! `[a-z]` and `[!a-z]` match one character, `{a,b}` one of several texts, `\` takes the next character as it is, and a
//! trailing `/` means everything beneath. Matching is done by `globset`. The overlap test is ours, and sound: it may call
//! two disjoint patterns overlapping, never the reverse (law 9).

use std::{fmt, str::FromStr, sync::Arc};

use globset::{GlobBuilder, GlobMatcher};
use thiserror::Error;

use super::{RepoPath, text::text_form};

/// A text is no path pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{pattern}` is no path pattern: {why}")]
pub struct InvalidPattern {
    pattern: String,
    why: String,
}

/// A path pattern of a contract, such as `src/receipt/**`.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    parts: Arc<Parts>,
}

struct Parts {
    matcher: GlobMatcher,
    /// One entry for each way to choose from the braces.
    shapes: Vec<Vec<Part>>,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    /// `**`: any number of components.
    Any,
    /// One component that matches this sequence.
    One(Vec<Piece>),
}

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Char(char),
    /// `?` or a character class: one character, which one is not asked.
    AnyChar,
    /// `*`
    AnyText,
}

/// More ways to choose from braces than this are taken as "may match anything".
const MAX_SHAPES: usize = 64;

impl Pattern {
    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A pattern that matches just this path.
    #[must_use]
    pub fn exactly(path: &RepoPath) -> Self {
        let escape = |text: &str| {
            text.chars().fold(String::new(), |mut out, c| {
                if "\\*?[]{},!".contains(c) {
                    out.push('\\');
                }
                out.push(c);
                out
            })
        };
        let text = String::from_utf8_lossy(path.as_bytes());
        escape(&text).parse().expect("an escaped path is a pattern")
    }

    /// Whether the pattern matches the path.
    #[must_use]
    pub fn matches(&self, path: &RepoPath) -> bool {
        self.parts.matcher.is_match(path.to_path())
    }

    /// Whether some path can match both. Sound: `false` is a proof, `true` is none.
    ///
    /// ```
    /// use orchestrator_core::model::Pattern;
    /// let pattern = |text: &str| text.parse::<Pattern>().unwrap();
    /// assert!(pattern("src/**").overlaps(&pattern("**/*.rs")));
    /// assert!(!pattern("src/**").overlaps(&pattern("docs/**")));
    /// ```
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.parts.shapes.iter().any(|a| other.parts.shapes.iter().any(|b| paths_meet(a, b)))
    }
}

/// Whether one path matches both.
fn paths_meet(a: &[Part], b: &[Part]) -> bool {
    match (a, b) {
        ([], []) => true,
        ([Part::Any, rest_a @ ..], _) => paths_meet(rest_a, b) || (!b.is_empty() && paths_meet(a, &b[1..])),
        (_, [Part::Any, ..]) => paths_meet(b, a),
        ([], _) | (_, []) => false,
        ([Part::One(x), rest_a @ ..], [Part::One(y), rest_b @ ..]) => texts_meet(x, y) && paths_meet(rest_a, rest_b),
    }
}

/// Whether one text matches both.
fn texts_meet(a: &[Piece], b: &[Piece]) -> bool {
    match (a, b) {
        ([], []) => true,
        ([Piece::AnyText, rest_a @ ..], _) => texts_meet(rest_a, b) || (!b.is_empty() && texts_meet(a, &b[1..])),
        (_, [Piece::AnyText, ..]) => texts_meet(b, a),
        ([], _) | (_, []) => false,
        ([Piece::Char(x), rest_a @ ..], [Piece::Char(y), rest_b @ ..]) => x == y && texts_meet(rest_a, rest_b),
        ([_, rest_a @ ..], [_, rest_b @ ..]) => texts_meet(rest_a, rest_b),
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;
    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let fail = |why: &str| InvalidPattern { pattern: text.chars().take(200).collect(), why: why.to_owned() };
        if text.is_empty() || text.len() > 1000 {
            return Err(fail("it must have 1 to 1000 characters"));
        }
        if text.starts_with('/') || text.split('/').any(|part| part == "." || part == "..") {
            return Err(fail("it must be relative to the repository's root, without `.` or `..`"));
        }
        if text.matches('*').count() > 32 {
            return Err(fail("it may hold at most 32 stars"));
        }
        let whole = if text.ends_with('/') { format!("{text}**") } else { text.to_owned() };
        if whole.split('/').any(|part| part.contains("**") && part != "**") {
            return Err(fail("`**` must stand alone between slashes"));
        }
        if whole.split('/').any(str::is_empty) {
            return Err(fail("no component may be empty"));
        }
        let glob = GlobBuilder::new(&whole).literal_separator(true).backslash_escape(true).empty_alternates(true).build();
        let matcher = glob.map_err(|error| fail(&error.kind().to_string()))?.compile_matcher();
        let shapes = match choose(&whole.chars().collect::<Vec<_>>()) {
            Some(texts) => texts.iter().map(|text| parts_of(text)).collect(),
            None => vec![vec![Part::Any]],
        };
        Ok(Self { text: text.into(), parts: Arc::new(Parts { matcher, shapes }) })
    }
}

/// All texts without braces that the pattern stands for, or `None` when they are too many.
fn choose(pattern: &[char]) -> Option<Vec<Vec<char>>> {
    let Some((open, close, commas)) = first_braces(pattern) else { return Some(vec![pattern.to_vec()]) };
    let mut texts = Vec::new();
    let mut start = open + 1;
    for end in commas.into_iter().chain([close]) {
        let one = [&pattern[..open], &pattern[start..end], &pattern[close + 1..]].concat();
        texts.extend(choose(&one)?);
        if texts.len() > MAX_SHAPES {
            return None;
        }
        start = end + 1;
    }
    Some(texts)
}

/// Where the first unescaped brace group opens and closes, and its own commas.
fn first_braces(pattern: &[char]) -> Option<(usize, usize, Vec<usize>)> {
    let (mut open, mut depth, mut commas, mut class) = (None, 0_u32, Vec::new(), false);
    let mut at = 0;
    while at < pattern.len() {
        match pattern[at] {
            '\\' => at += 1,
            '[' if !class => {
                class = true;
                // A `]` right behind the opening (or its negation) belongs to the class.
                at += usize::from(matches!(pattern.get(at + 1), Some('!' | '^')));
                at += usize::from(pattern.get(at + 1) == Some(&']'));
            }
            ']' if class => class = false,
            '{' if !class => {
                depth += 1;
                open = open.or(Some(at));
            }
            '}' if !class && depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    return open.map(|open| (open, at, commas));
                }
            }
            ',' if !class && depth == 1 => commas.push(at),
            _ => {}
        }
        at += 1;
    }
    None
}

fn parts_of(pattern: &[char]) -> Vec<Part> {
    let (mut parts, mut piece) = (Vec::new(), Vec::new());
    let mut at = 0;
    let mut end = |piece: &mut Vec<Piece>| {
        let any = matches!(piece[..], [Piece::AnyText, Piece::AnyText]);
        parts.push(if any { Part::Any } else { Part::One(std::mem::take(piece)) });
        piece.clear();
    };
    while at < pattern.len() {
        match pattern[at] {
            '/' => end(&mut piece),
            '*' => piece.push(Piece::AnyText),
            '?' => piece.push(Piece::AnyChar),
            '\\' if at + 1 < pattern.len() => {
                at += 1;
                piece.push(Piece::Char(pattern[at]));
            }
            '[' => {
                let from = at + 1 + usize::from(matches!(pattern.get(at + 1), Some('!' | '^')));
                let close = (from + 1..pattern.len()).find(|i| pattern[*i] == ']');
                at = close.unwrap_or(pattern.len() - 1);
                piece.push(Piece::AnyChar);
            }
            c => piece.push(Piece::Char(c)),
        }
        at += 1;
    }
    end(&mut piece);
    parts
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

text_form!(Pattern);

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().expect(text)
    }

    #[test]
    fn overlap_is_decided_component_by_component() {
        for (a, b, expected) in [
            ("src/**", "docs/**", false),
            ("src/**", "src/a.rs", true),
            ("**/*.rs", "docs/*.md", false),
            ("**/*.rs", "docs/**", true),
            ("src/*.rs", "src/lib.rs", true),
            ("src/*.rs", "src/a/lib.rs", false),
            ("src/{a,b}/**", "src/c/**", false),
            ("src/{a,b}/**", "src/b/x", true),
            ("src/[ab].rs", "src/a.rs", true),
            ("a/", "a/b/c", true),
            ("a", "a/b", false),
            ("**/a", "a/**", true),
            ("a/**/z", "**/b/z", true),
            ("a\\*b", "axb", false),
            ("**", "anything/at/all", true),
            ("a*c", "*b*", true),
            ("x{,y}/z", "x/z", true),
        ] {
            assert_eq!(pattern(a).overlaps(&pattern(b)), expected, "{a} and {b}");
            assert_eq!(pattern(b).overlaps(&pattern(a)), expected, "{b} and {a}");
        }
    }

    #[test]
    fn a_pattern_matches_what_its_grammar_says() {
        let path = |text: &str| text.parse::<RepoPath>().expect("a path");
        assert!(pattern("src/").matches(&path("src/a/b.rs")));
        assert!(!pattern("src/*").matches(&path("src/a/b.rs")));
        assert!(pattern("src/**/b.rs").matches(&path("src/b.rs")));
        let odd = path("we[i]rd/{x}*?.txt");
        assert!(Pattern::exactly(&odd).matches(&odd));
        assert!(!Pattern::exactly(&odd).matches(&path("weird/x.txt")));
    }

    #[test]
    fn bad_patterns_say_why() {
        for bad in ["", "/abs", "a/../b", "a**b", "a[", "a//b", "{a"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
