//! What git prints, read. Every function here is pure: it takes bytes or text, and knows no repository.

use std::path::PathBuf;

use super::{
    GitError,
    output::{path_of, split_nul},
};
use crate::model::{BranchName, CommitId, MissingTarget, Oid, RepoPath};

/// How much of a line that is not understood is told, in characters.
const SHOWN: usize = 200;

/// The error for a line of git's that is not what it should be.
pub(super) fn unexpected(verb: &str, line: &str) -> GitError {
    GitError::Output {
        verb: verb.to_owned(),
        what: line.chars().take(SHOWN).collect(),
    }
}

/// One commit id on each line.
pub(super) fn parse_commits(verb: &str, listed: &str) -> Result<Vec<CommitId>, GitError> {
    let parse = |line: &str| line.parse().map_err(|_| unexpected(verb, line));
    listed.lines().map(parse).collect()
}

/// `git rev-list --left-right --count`: how many commits only the left side has, and only the right.
pub(super) fn parse_counts(counted: &str) -> Option<(u32, u32)> {
    let (left, right) = counted.split_once('\t')?;
    Some((left.parse().ok()?, right.parse().ok()?))
}

/// `git rev-list --objects`: each object, with a path that it has; the path is empty for a commit and for a top tree.
pub(super) fn parse_objects(listed: &[u8]) -> Result<Vec<(Oid, &[u8])>, GitError> {
    let lines = listed
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let parse = |line| {
        parse_object(line).ok_or_else(|| unexpected("rev-list", &String::from_utf8_lossy(line)))
    };
    lines.map(parse).collect()
}

fn parse_object(line: &[u8]) -> Option<(Oid, &[u8])> {
    let end = line.iter().position(|byte| *byte == b' ');
    let id = &line[..end.unwrap_or(line.len())];
    let path = end.map_or(&[][..], |end| &line[end + 1..]);
    Some((std::str::from_utf8(id).ok()?.parse().ok()?, path))
}

/// What `git rev-parse` says of a repository with [`Place::ASKED`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) git_dir: PathBuf,
    pub(super) is_bare: bool,
    pub(super) format: String,
    pub(super) in_work_tree: bool,
}

impl Place {
    /// The arguments whose answer this is.
    pub(super) const ASKED: [&str; 6] = [
        "rev-parse",
        "--path-format=absolute",
        "--git-common-dir",
        "--is-bare-repository",
        "--show-object-format",
        "--is-inside-work-tree",
    ];

    pub(super) fn parse(said: &[u8]) -> Self {
        let mut lines = said.split(|byte| *byte == b'\n');
        let mut next = || lines.next().unwrap_or_default();
        Self {
            git_dir: path_of(next()),
            is_bare: next() == b"true",
            format: String::from_utf8_lossy(next()).into_owned(),
            in_work_tree: next() == b"true",
        }
    }
}

/// `git worktree list --porcelain -z`: the worktree in which a branch is checked out.
pub(super) fn parse_worktree_of(listed: &[u8], branch: &BranchName) -> Option<PathBuf> {
    let wanted = format!("branch {}", branch.full());
    let mut path = None;
    for line in split_nul(listed) {
        if let Some(worktree) = line.strip_prefix(b"worktree ") {
            path = Some(path_of(worktree));
        } else if line == wanted.as_bytes() {
            return path;
        }
    }
    None
}

/// `git status --porcelain=v1 -z --no-renames`: the paths.
pub(super) fn parse_status(listed: &[u8]) -> impl Iterator<Item = RepoPath> {
    split_nul(listed).filter_map(|line| RepoPath::from_bytes(line.get(3..)?).ok())
}

/// `git config --null --get-regexp` for settings of one kind of section, such as `filter`: name, key and value.
pub(super) fn parse_sections(listed: &[u8], kind: &str) -> Vec<(String, String, String)> {
    let text = String::from_utf8_lossy(listed);
    let setting = |setting: &str| {
        let (key, value) = setting.split_once('\n')?;
        let rest = key.strip_prefix(kind)?.strip_prefix('.')?;
        let (name, key) = rest.rsplit_once('.')?;
        Some((name.to_owned(), key.to_owned(), value.to_owned()))
    };
    text.split('\0').filter_map(setting).collect()
}

/// `git ls-remote --symref` for HEAD, the target and what is beneath its name: what is there in the target's place; `None` if the
/// target is.
pub(super) fn parse_missing(listed: &str, mut missing: MissingTarget) -> Option<MissingTarget> {
    let target = missing.target.full();
    for line in listed.lines() {
        let (what, name) = line.split_once('\t')?;
        if name == target {
            return None;
        }
        if let Some(head) = what.strip_prefix("ref: refs/heads/")
            && name == "HEAD"
        {
            missing.default = head.parse().ok().filter(|head| *head != missing.target);
        } else if name.starts_with(&format!("{target}/")) && missing.taken_by.is_none() {
            missing.taken_by = name.trim_start_matches("refs/heads/").parse().ok();
        }
    }
    Some(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(hex: &str) -> T {
        hex.parse().expect("an id")
    }

    #[test]
    fn parse_commits_takes_ids_alone() {
        let listed = format!("{ONE}\n{TWO}\n");
        let parsed = parse_commits("rev-list", &listed).expect("ids");
        assert_eq!(parsed, [id(ONE), id(TWO)]);
        assert_eq!(parse_commits("rev-list", "").expect("none"), []);
        let wrong = parse_commits("rev-list", "warning: odd").expect_err("is none");
        assert_eq!(
            wrong.to_string(),
            "`git rev-list` gave what was not expected: warning: odd"
        );
    }

    #[test]
    fn parse_counts_takes_two_numbers() {
        assert_eq!(parse_counts("3\t12"), Some((3, 12)));
        for wrong in ["", "3", "3 12", "3\tx", "-1\t2"] {
            assert_eq!(parse_counts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn parse_objects_takes_paths_of_any_bytes() {
        let listed = [ONE.as_bytes(), b"\n", TWO.as_bytes(), b" a b\xff\n"].concat();
        let parsed = parse_objects(&listed).expect("objects");
        assert_eq!(parsed, [(id(ONE), &b""[..]), (id(TWO), &b"a b\xff"[..])]);
        assert!(parse_objects(b"odd\n").is_err());
    }

    #[test]
    fn place_is_parsed_line_by_line() {
        let place = |git_dir: &str, is_bare, format: &str, in_work_tree| Place {
            git_dir: git_dir.into(),
            is_bare,
            format: format.to_owned(),
            in_work_tree,
        };
        let parsed = Place::parse(b"/a b/.git\nfalse\nsha1\ntrue\n");
        assert_eq!(parsed, place("/a b/.git", false, "sha1", true));
        let parsed = Place::parse(b"/r\ntrue\nsha256\nfalse\n");
        assert_eq!(parsed, place("/r", true, "sha256", false));
        assert_eq!(Place::parse(b""), place("", false, "", false));
    }

    #[test]
    fn parse_worktree_of_finds_the_branch_in_its_own_block() {
        let listed = b"worktree /bare\0bare\0\0worktree /a\nb\0HEAD 1\0branch refs/heads/main\0\0worktree /c\0HEAD 2\0detached\0\0";
        let found = |name: &str| parse_worktree_of(listed, &name.parse().expect("a branch"));
        assert_eq!(found("main"), Some(PathBuf::from("/a\nb")));
        assert_eq!(found("mai"), None);
    }

    #[test]
    fn parse_status_takes_the_paths() {
        let parsed: Vec<_> = parse_status(b" M a b\0D  c\nd\0R\0")
            .map(|path| path.as_bytes().to_vec())
            .collect();
        assert_eq!(parsed, [b"a b".to_vec(), b"c\nd".to_vec()]);
    }

    #[test]
    fn parse_sections_takes_names_with_dots() {
        let listed = b"filter.a.b.clean\ncat\nmore\0filter.c.required\0other.d.e\nf\0";
        let setting = ["a.b", "clean", "cat\nmore"].map(str::to_owned);
        assert_eq!(parse_sections(listed, "filter"), [setting.into()]);
    }

    #[test]
    fn parse_missing_tells_what_is_in_the_place_of_the_target() {
        let parse = |listed: &str| {
            let target = "main".parse().expect("a branch");
            parse_missing(listed, MissingTarget::new(target, false)).map(|missing| {
                [missing.default, missing.taken_by].map(|name| name.map(|name| name.to_string()))
            })
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(parse(&format!("{ONE}\trefs/heads/main\n")), None);
        assert_eq!(
            parse(&format!("ref: refs/heads/trunk\tHEAD\n{ONE}\tHEAD\n")),
            Some([some("trunk"), None])
        );
        assert_eq!(
            parse(&format!(
                "{ONE}\trefs/heads/main/a\n{ONE}\trefs/heads/main/b\n"
            )),
            Some([None, some("main/a")])
        );
        assert_eq!(parse("ref: refs/heads/main\tHEAD\n"), Some([None, None]));
        assert_eq!(parse("odd"), None);
    }
}
