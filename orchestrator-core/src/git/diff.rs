//! The difference in one path as a unified diff, computed in process, in the form that git gives it.

use gix_imara_diff::{Algorithm, Diff, Hunk, InternedInput};

use super::{GitError, Objects, Trusted, cli::LOCAL};
use crate::model::{CommitId, Entry, Mode, RepoPath, is_binary};

/// The longest file that is compared line by line, in bytes. A longer one is told as a binary file is.
const MAX_TEXT: u64 = 16 << 20;
/// Unchanged lines before and after a change.
const CONTEXT: u32 = 3;
/// The longest heading of a hunk, in bytes.
const MAX_HEADING: usize = 80;
/// How git writes that there is no object.
const NO_ID: &str = "0000000000000000000000000000000000000000";

impl Trusted {
    /// The difference between two commits in one path, as a unified diff. No attribute of the repository counts, so no
    /// worker can hide a file from it. A rename is not looked for: the old path is deleted, the new one added.
    ///
    /// # Errors
    /// [`GitError::Object`] when an object cannot be read, [`GitError::TimedOut`] after a minute.
    pub async fn diff(
        &self,
        old: CommitId,
        new: CommitId,
        path: &RepoPath,
    ) -> Result<Vec<u8>, GitError> {
        let path = path.clone();
        let compared = self.look(move |objects| objects.diff(old, new, &path));
        let timed_out = || GitError::TimedOut {
            verb: "diff".to_owned(),
            after: LOCAL,
        };
        tokio::time::timeout(LOCAL, compared)
            .await
            .map_err(|_| timed_out())?
    }
}

impl Objects {
    fn diff(&self, old: CommitId, new: CommitId, path: &RepoPath) -> Result<Vec<u8>, GitError> {
        let old = self.entry(self.tree_of(old)?, path)?;
        let new = self.entry(self.tree_of(new)?, path)?;
        if old == new {
            return Ok(Vec::new());
        }
        let old = old.map(|entry| self.side(entry)).transpose()?;
        let new = new.map(|entry| self.side(entry)).transpose()?;
        Ok(unified(path, old.as_ref(), new.as_ref()))
    }

    fn side(&self, entry: Entry) -> Result<Side, GitError> {
        let text = if entry.mode == Mode::Submodule {
            Some(format!("Subproject commit {}\n", entry.id).into_bytes())
        } else {
            self.blob(entry.id, MAX_TEXT)?
                .filter(|content| !is_binary(content))
        };
        Ok(Side { entry, text })
    }
}

/// What one commit has at the path.
struct Side {
    entry: Entry,
    /// `None` for what cannot be shown line by line.
    text: Option<Vec<u8>>,
}

impl Side {
    fn mode(&self) -> &'static str {
        match self.entry.mode {
            Mode::File => "100644",
            Mode::Executable => "100755",
            Mode::Symlink => "120000",
            Mode::Submodule => "160000",
        }
    }

    fn id(&self) -> String {
        self.entry.id.to_string()
    }

    /// Whether both are files, links or submodules: the first three digits of a mode tell.
    fn is_same_kind(&self, other: &Self) -> bool {
        self.mode()[..3] == other.mode()[..3]
    }
}

/// The unified diff of two sides that differ.
fn unified(path: &RepoPath, old: Option<&Side>, new: Option<&Side>) -> Vec<u8> {
    if let (Some(before), Some(after)) = (old, new)
        && !before.is_same_kind(after)
    {
        // A file that became a link is another thing: git shows the one deleted and the other added.
        let mut whole = unified(path, old, None);
        whole.extend(unified(path, None, new));
        return whole;
    }
    let names = Names::of(path, old.is_some(), new.is_some());
    let mut diff = header(&names, old, new);
    if old.map(Side::id) == new.map(Side::id) {
        return diff;
    }
    match (text(old), text(new)) {
        (Some(old), Some(new)) => hunks(&mut diff, &names, old, new),
        (None, _) | (_, None) => {
            diff.extend([b"Binary files ", &names.old[..], b" and ", &names.new[..]].concat());
            diff.extend(b" differ\n");
        }
    }
    diff
}

/// A side's lines, none where nothing is; `None` for what cannot be shown line by line.
fn text(side: Option<&Side>) -> Option<&[u8]> {
    side.map_or(Some(&[]), |side| side.text.as_deref())
}

/// The path as a diff names it.
struct Names {
    both: Vec<u8>,
    old: Vec<u8>,
    new: Vec<u8>,
}

impl Names {
    fn of(path: &RepoPath, is_old: bool, is_new: bool) -> Self {
        let old = quoted(b"a/", path);
        let new = quoted(b"b/", path);
        let nothing = || b"/dev/null".to_vec();
        Self {
            both: [&old[..], b" ", &new[..]].concat(),
            old: if is_old { old } else { nothing() },
            new: if is_new { new } else { nothing() },
        }
    }
}

/// A path in C's quotes if one of its bytes needs them, as `core.quotePath` has it.
fn quoted(prefix: &[u8], path: &RepoPath) -> Vec<u8> {
    let bytes = [prefix, path.as_bytes()].concat();
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    if bytes.iter().all(is_plain) {
        return bytes;
    }
    let mut quoted = vec![b'"'];
    for byte in &bytes {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', *byte]),
            7..=13 => quoted.extend([b'\\', b"abtnvfr"[usize::from(byte - 7)]]),
            byte if is_plain(byte) => quoted.push(*byte),
            byte => quoted.extend(format!("\\{byte:03o}").into_bytes()),
        }
    }
    quoted.push(b'"');
    quoted
}

/// The lines before the first hunk that tell names, modes and ids.
fn header(names: &Names, old: Option<&Side>, new: Option<&Side>) -> Vec<u8> {
    let mut header = [b"diff --git ", &names.both[..], b"\n"].concat();
    let modes = match (old.map(Side::mode), new.map(Side::mode)) {
        (None, Some(new)) => format!("new file mode {new}\n"),
        (Some(old), None) => format!("deleted file mode {old}\n"),
        (Some(old), Some(new)) if old != new => format!("old mode {old}\nnew mode {new}\n"),
        (Some(_), Some(_)) | (None, None) => String::new(),
    };
    header.extend(modes.bytes());
    let before = old.map_or(NO_ID.to_owned(), Side::id);
    let after = new.map_or(NO_ID.to_owned(), Side::id);
    if before != after {
        let mode = match (old.map(Side::mode), new.map(Side::mode)) {
            (Some(old), Some(new)) if old == new => format!(" {new}"),
            _ => String::new(),
        };
        header.extend(format!("index {before}..{after}{mode}\n").bytes());
    }
    header
}

/// Adds the hunks, and before the first of them both names.
fn hunks(diff: &mut Vec<u8>, names: &Names, old: &[u8], new: &[u8]) {
    let input = InternedInput::new(old, new);
    let mut compared = Diff::compute(Algorithm::Myers, &input);
    compared.postprocess_lines(&input);
    let mut heading = Heading::default();
    let groups = groups(&compared);
    if groups.is_empty() {
        return;
    }
    for (sign, name) in [("--- ", &names.old), ("+++ ", &names.new)] {
        // A tab ends a name with spaces: patch(1) would cut it.
        let end = if name.contains(&b' ') { "\t\n" } else { "\n" };
        diff.extend([sign.as_bytes(), name, end.as_bytes()].concat());
    }
    for group in groups {
        hunk(diff, &input, &group, &mut heading);
    }
}

/// Changes that are so near to each other that one hunk shows them.
fn groups(compared: &Diff) -> Vec<Vec<Hunk>> {
    let mut groups: Vec<Vec<Hunk>> = Vec::new();
    for change in compared.hunks() {
        match groups.last_mut() {
            Some(group)
                if group
                    .last()
                    .is_some_and(|last| change.before.start - last.before.end <= 2 * CONTEXT) =>
            {
                group.push(change);
            }
            Some(_) | None => groups.push(vec![change]),
        }
    }
    groups
}

/// Adds one hunk: its places, its heading, and its lines with what is around them.
fn hunk<'a>(
    diff: &mut Vec<u8>,
    input: &InternedInput<&'a [u8]>,
    group: &[Hunk],
    heading: &mut Heading<'a>,
) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else {
        return;
    };
    let lead = first.before.start.min(CONTEXT);
    let left = input.before.len() as u32 - last.before.end;
    let tail = left.min(CONTEXT);
    let old = first.before.start - lead..last.before.end + tail;
    let new = first.after.start - lead..last.after.end + tail;

    diff.extend(format!("@@ -{} +{} @@", place(&old), place(&new)).bytes());
    if let Some(heading) = heading.before(old.start, input) {
        diff.push(b' ');
        diff.extend(heading);
    }
    diff.push(b'\n');

    let before = |at: u32| input.interner[input.before[at as usize]];
    let after = |at: u32| input.interner[input.after[at as usize]];
    let mut at = old.start;
    for change in group {
        (at..change.before.start).for_each(|line| add_line(diff, b' ', before(line)));
        change
            .before
            .clone()
            .for_each(|line| add_line(diff, b'-', before(line)));
        change
            .after
            .clone()
            .for_each(|line| add_line(diff, b'+', after(line)));
        at = change.before.end;
    }
    (at..old.end).for_each(|line| add_line(diff, b' ', before(line)));
}

/// The first line of a hunk, from 1, and how many there are where it is not one; of none, the line before.
fn place(lines: &std::ops::Range<u32>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => format!("{}", lines.start + 1),
        more => format!("{},{more}", lines.start + 1),
    }
}

fn add_line(diff: &mut Vec<u8>, sign: u8, line: &[u8]) {
    diff.push(sign);
    diff.extend(line);
    if !line.ends_with(b"\n") {
        diff.extend(b"\n\\ No newline at end of file\n");
    }
}

/// The last line before a hunk that begins something: with a letter, `_` or `$`. git takes it for the function's.
#[derive(Default)]
struct Heading<'a> {
    /// The lines before this one were looked at.
    seen: u32,
    found: Option<&'a [u8]>,
}

impl<'a> Heading<'a> {
    fn before(&mut self, line: u32, input: &InternedInput<&'a [u8]>) -> Option<&'a [u8]> {
        let unseen = self.seen..line.max(self.seen);
        let begins = |line: &&[u8]| {
            line.first()
                .is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$'))
        };
        let last = unseen
            .rev()
            .map(|at| input.interner[input.before[at as usize]])
            .find(begins);
        self.found = last.or(self.found);
        self.seen = line.max(self.seen);
        self.found
            .map(|line| line[..line.len().min(MAX_HEADING)].trim_ascii_end())
    }
}
