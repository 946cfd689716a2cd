//! Path patterns of a contract: what they match, and whether two of them can match the same path.
//!
//! The grammar: `?` matches one byte and `*` any text within one component; `**` as a whole component matches any number of
//! them (at the end, at least one); `[a-z]` and `[!a-z]` match one byte of, or not of, these ASCII characters, and never a
//! slash; `{a,b}` stands for one of several texts; `\` takes the next character as it is; a trailing `/` means everything beneath.
//!
//! Both questions are one: a pattern matches a path if it overlaps the pattern that is just this path. So what is permitted
//! and what is kept apart can never be judged by two different readings (law 9). The answer is exact; `tests/suite/overlap.rs` holds
//! it against another implementation.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use super::{RepoPath, text::text_form};

/// A text is no path pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{pattern}` is no path pattern: {why}")]
pub struct InvalidPattern {
    pattern: String,
    why: &'static str,
}

/// A path pattern of a contract, such as `src/receipt/**`.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    /// One entry for each way to choose from the braces.
    shapes: Arc<[Vec<Part>]>,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    /// `**`: any number of components.
    Any,
    /// This component.
    Word(Box<[u8]>),
    /// One component that matches this sequence.
    One(Vec<Piece>),
}

impl Part {
    fn any(&self) -> bool {
        matches!(self, Self::Any)
    }

    /// Whether one component matches both.
    fn meets(&self, other: &Self) -> bool {
        let literal = |word: &[u8]| {
            word.iter()
                .map(|byte| Piece::One(Bytes::just(*byte)))
                .collect::<Vec<_>>()
        };
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Word(a), Self::Word(b)) => a == b,
            (Self::One(a), Self::One(b)) => texts_meet(a, b),
            (Self::One(pieces), Self::Word(word)) | (Self::Word(word), Self::One(pieces)) => {
                texts_meet(pieces, &literal(word))
            }
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    /// One byte out of these. Names are bytes to git, and so to us.
    One(Bytes),
    /// `*`
    Any,
}

/// A set of bytes, one bit for each.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bytes([u64; 4]);

impl Bytes {
    const NONE: Self = Self([0; 4]);

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn just(byte: u8) -> Self {
        let mut set = Self::NONE;
        set.insert(byte);
        set
    }

    /// The byte, if it is just one.
    fn only(self) -> Option<u8> {
        let mut bytes =
            (0..=u8::MAX).filter(|byte| self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0);
        bytes.next().filter(|_| bytes.next().is_none())
    }

    fn others(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    fn meet(self, other: Self) -> bool {
        self.0.iter().zip(other.0).any(|(a, b)| a & b != 0)
    }
}

/// How many patterns one pattern's braces may stand for.
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
        let text =
            String::from_utf8_lossy(path.as_bytes())
                .chars()
                .fold(String::new(), |mut text, c| {
                    if "\\*?[]{}".contains(c) {
                        text.push('\\');
                    }
                    text.push(c);
                    text
                });
        Self {
            text: text.into(),
            shapes: Arc::new([just(path)]),
        }
    }

    /// Patterns that match this path and, if it is a directory, everything beneath it.
    #[must_use]
    pub fn at_and_beneath(path: &RepoPath) -> [Self; 2] {
        let at = Self::exactly(path);
        let beneath = [just(path), vec![Part::Any]].concat();
        let beneath = Self {
            text: format!("{}/**", at.text).into(),
            shapes: Arc::new([beneath]),
        };
        [at, beneath]
    }

    /// Whether the pattern matches the path.
    #[must_use]
    pub fn matches(&self, path: &RepoPath) -> bool {
        let path = just(path);
        self.shapes.iter().any(|shape| paths_meet(shape, &path))
    }

    /// The words that every path which it matches begins with, and the one that it ends with, as far as they are given: for
    /// each way to choose from the braces.
    pub(crate) fn ends(
        &self,
    ) -> impl Iterator<Item = (impl Iterator<Item = &[u8]>, Option<&[u8]>)> {
        fn word(part: &Part) -> Option<&[u8]> {
            if let Part::Word(word) = part {
                Some(word)
            } else {
                None
            }
        }
        self.shapes
            .iter()
            .map(|shape| (shape.iter().map_while(word), shape.last().and_then(word)))
    }

    /// Whether some path matches both.
    ///
    /// ```
    /// use orchestrator_core::model::Pattern;
    /// let pattern = |text: &str| text.parse::<Pattern>().unwrap();
    /// assert!(pattern("src/**").overlaps(&pattern("**/*.rs")));
    /// assert!(!pattern("src/**").overlaps(&pattern("docs/**")));
    /// ```
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.shapes
            .iter()
            .any(|a| other.shapes.iter().any(|b| paths_meet(a, b)))
    }
}

fn just(path: &RepoPath) -> Vec<Part> {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .map(|word| Part::Word(word.into()))
        .collect()
}

/// Whether one path matches both. Components at either end that are one component in both must meet by themselves, which
/// tells most patterns apart.
fn paths_meet(mut a: &[Part], mut b: &[Part]) -> bool {
    while let ([x, rest_a @ ..], [y, rest_b @ ..]) = (a, b)
        && !x.any()
        && !y.any()
    {
        if !x.meets(y) {
            return false;
        }
        (a, b) = (rest_a, rest_b);
    }
    while let ([rest_a @ .., x], [rest_b @ .., y]) = (a, b)
        && !x.any()
        && !y.any()
    {
        if !x.meets(y) {
            return false;
        }
        (a, b) = (rest_a, rest_b);
    }
    sequences_meet(a, b, Part::any, Part::meets)
}

/// Whether one text matches both.
fn texts_meet(a: &[Piece], b: &[Piece]) -> bool {
    let any = |piece: &Piece| matches!(piece, Piece::Any);
    sequences_meet(a, b, any, |x, y| match (x, y) {
        (Piece::One(x), Piece::One(y)) => x.meet(*y),
        (Piece::Any, _) | (_, Piece::Any) => true,
    })
}

/// Whether some sequence matches both patterns, where an element that is `any` matches any number of items, and two others
/// match a common item if they `meet`. From the end: row by row, what the rests of the two have in common; so the cost is
/// the product of their lengths.
fn sequences_meet<T>(
    a: &[T],
    b: &[T],
    any: impl Fn(&T) -> bool,
    meet: impl Fn(&T, &T) -> bool,
) -> bool {
    let all = |one: &[T]| matches!(one, [only] if any(only));
    if all(a) || all(b) {
        return true;
    }
    let mut below = vec![false; b.len() + 1];
    for i in (0..=a.len()).rev() {
        let mut row = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            row[j] = match (a.get(i), b.get(j)) {
                (None, None) => true,
                // A star stands for nothing, or for one more item of the other.
                (Some(x), _) if any(x) && (below[j] || (j < b.len() && row[j + 1])) => true,
                (_, Some(y)) if any(y) && (row[j + 1] || (i < a.len() && below[j])) => true,
                (Some(x), Some(y)) => !any(x) && !any(y) && below[j + 1] && meet(x, y),
                (None, Some(_)) | (Some(_), None) => false,
            };
        }
        below = row;
    }
    below[0]
}

impl FromStr for Pattern {
    type Err = InvalidPattern;
    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let fail = |why: &'static str| InvalidPattern {
            pattern: text.chars().take(200).collect(),
            why,
        };
        if text.is_empty() || text.len() > 1000 {
            return Err(fail("it must have 1 to 1000 bytes"));
        }
        if let Some(parts) = plain(text) {
            return Ok(Self {
                text: text.into(),
                shapes: Arc::new([parts]),
            });
        }
        let whole = if text.ends_with('/') {
            format!("{text}**")
        } else {
            text.to_owned()
        };
        let mut shapes = Vec::new();
        for shape in choose(&whole.chars().collect::<Vec<_>>()).map_err(fail)? {
            shapes.push(parts_of(&shape).map_err(fail)?);
        }
        Ok(Self {
            text: text.into(),
            shapes: shapes.into(),
        })
    }
}

/// The parts of a pattern of mere words and `**`, which most are; `None` where it must be read with care.
fn plain(text: &str) -> Option<Vec<Part>> {
    if text.bytes().any(|byte| b"?[]{}\\".contains(&byte)) {
        return None;
    }
    let part = |word: &str| match word {
        "**" => Some(Part::Any),
        "" | "." | ".." => None,
        _ if word.contains('*') => None,
        _ => Some(Part::Word(word.as_bytes().into())),
    };
    let mut parts = Vec::with_capacity(8);
    for word in text.split('/') {
        parts.push(part(word)?);
    }
    beneath(&mut parts);
    Some(parts)
}

/// What is beneath a directory is not the directory itself.
fn beneath(parts: &mut Vec<Part>) {
    if parts.last() == Some(&Part::Any) {
        parts.insert(parts.len() - 1, Part::One(vec![Piece::Any]));
    }
}

/// All texts without braces that the pattern stands for.
fn choose(pattern: &[char]) -> Result<Vec<Vec<char>>, &'static str> {
    let Some(Braces {
        open,
        close,
        commas,
    }) = first_braces(pattern)?
    else {
        return Ok(vec![pattern.to_vec()]);
    };
    let mut texts = Vec::new();
    let mut start = open + 1;
    for end in commas.into_iter().chain([close]) {
        let one = [
            &pattern[..open],
            &pattern[start..end],
            &pattern[close + 1..],
        ]
        .concat();
        texts.extend(choose(&one)?);
        if texts.len() > MAX_SHAPES {
            return Err("its braces stand for more than 64 patterns");
        }
        start = end + 1;
    }
    Ok(texts)
}

/// Where a brace group opens and closes, and its own commas.
struct Braces {
    open: usize,
    close: usize,
    commas: Vec<usize>,
}

fn first_braces(pattern: &[char]) -> Result<Option<Braces>, &'static str> {
    let (mut open, mut depth, mut commas) = (None, 0_u32, Vec::new());
    let mut at = 0;
    while let Some(c) = pattern.get(at) {
        match c {
            '\\' => at += 1,
            '[' => at = class_end(pattern, at).ok_or(UNCLOSED_CLASS)?,
            '{' => {
                depth += 1;
                open = open.or(Some(at));
            }
            '}' => {
                depth = depth
                    .checked_sub(1)
                    .ok_or("a `}` closes nothing; write `\\}` for a brace")?;
                if let (0, Some(open)) = (depth, open) {
                    return Ok(Some(Braces {
                        open,
                        close: at,
                        commas,
                    }));
                }
            }
            ',' if depth == 1 => commas.push(at),
            _ => {}
        }
        at += 1;
    }
    if depth == 0 {
        Ok(None)
    } else {
        Err("a `{` is not closed; write `\\{` for a brace")
    }
}

const UNCLOSED_CLASS: &str = "a `[` is not closed; write `\\[` for a bracket";

/// Where the class that opens here closes. A `]` right behind the opening, or its negation, belongs to the class.
fn class_end(pattern: &[char], open: usize) -> Option<usize> {
    let first = open + 1 + usize::from(matches!(pattern.get(open + 1), Some('!' | '^')));
    (first + 1..pattern.len()).find(|at| pattern[*at] == ']')
}

/// A text without braces as components.
fn parts_of(pattern: &[char]) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut piece = Vec::new();
    let mut at = 0;
    let (mut from, mut doubled) = (0, false);
    while at <= pattern.len() {
        match pattern.get(at) {
            None | Some('/') => {
                match &pattern[from..at] {
                    [] => {
                        return Err(
                            "it must be relative to the repository's root, and no component may be empty",
                        );
                    }
                    ['.'] | ['.', '.'] => return Err("no component may be `.` or `..`"),
                    ['*', '*'] => parts.push(Part::Any),
                    _ if doubled => return Err("`**` must stand alone between slashes"),
                    _ => parts.push(component(std::mem::take(&mut piece))),
                }
                piece.clear();
                (from, doubled) = (at + 1, false);
            }
            Some('*') => {
                doubled |= piece.last() == Some(&Piece::Any);
                piece.push(Piece::Any);
            }
            Some('?') => piece.push(Piece::One(Bytes::NONE.others())),
            Some('[') => {
                let close = class_end(pattern, at).ok_or(UNCLOSED_CLASS)?;
                piece.push(Piece::One(class(&pattern[at + 1..close])?));
                at = close;
            }
            Some('\\') => {
                at += 1;
                push_char(
                    &mut piece,
                    *pattern.get(at).ok_or("a `\\` at the end takes nothing")?,
                );
            }
            Some(c) => push_char(&mut piece, *c),
        }
        at += 1;
    }
    beneath(&mut parts);
    Ok(parts)
}

/// A component without wildcards is a word.
fn component(pieces: Vec<Piece>) -> Part {
    let byte = |piece: &Piece| {
        if let Piece::One(bytes) = piece {
            bytes.only()
        } else {
            None
        }
    };
    match pieces.iter().map(byte).collect::<Option<Box<[u8]>>>() {
        Some(word) => Part::Word(word),
        None => Part::One(pieces),
    }
}

fn push_char(piece: &mut Vec<Piece>, c: char) {
    piece.extend(
        c.encode_utf8(&mut [0; 4])
            .bytes()
            .map(|byte| Piece::One(Bytes::just(byte))),
    );
}

/// The inside of `[...]`.
fn class(inside: &[char]) -> Result<Bytes, &'static str> {
    let (negated, members) = match inside {
        ['!' | '^', members @ ..] => (true, members),
        members => (false, members),
    };
    let byte = |c: &char| {
        u8::try_from(*c)
            .ok()
            .filter(u8::is_ascii)
            .ok_or("only ASCII characters may stand in `[...]`")
    };
    let mut set = Bytes::NONE;
    let mut rest = members;
    while let [first, tail @ ..] = rest {
        let (last, tail) = match tail {
            ['-', last, tail @ ..] => (last, tail),
            tail => (first, tail),
        };
        (byte(first)?..=byte(last)?).for_each(|byte| set.insert(byte));
        rest = tail;
    }
    Ok(if negated { set.others() } else { set })
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
        for bad in [
            "",
            "/abs",
            "a/../b",
            "a**b",
            "***",
            "a/**b",
            "a[",
            "a//b",
            "{a",
            "a}",
            "{,a}/b",
            "a\\",
            "[\u{e9}]",
            "{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}",
        ] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
