//! Which filter failed on which file, in the words of git.

use std::fmt;

use crate::model::clean;

/// A filter that `.gitattributes` require and that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterFailure {
    /// Its name, as in `filter=NAME`.
    pub filter: String,
    /// The file, as git prints it.
    pub path: String,
    /// Whether it was to write the file of a work tree (smudge) and not to read it (clean).
    pub smudge: bool,
    /// What was said before, by the filter or by git.
    pub said: String,
}

impl FilterFailure {
    /// Out of what git complained.
    pub(super) fn parse(stderr: &str) -> Option<Self> {
        let mut said = Vec::new();
        for line in stderr.lines() {
            if let Some((path, smudge, filter)) = failed(line) {
                return Some(Self {
                    filter: clean(filter),
                    path: clean(path),
                    smudge,
                    said: clean(&said.join("\n")),
                });
            }
            said.push(line);
        }
        None
    }
}

/// `fatal: PATH: smudge filter NAME failed`, or `clean`.
fn failed(line: &str) -> Option<(&str, bool, &str)> {
    let line = line
        .strip_prefix("fatal: ")
        .or(line.strip_prefix("error: "))?;
    let line = line.strip_suffix(" failed")?;
    for (middle, smudge) in [(": smudge filter ", true), (": clean filter ", false)] {
        if let Some((path, filter)) = line.rsplit_once(middle) {
            let quoted = filter
                .strip_prefix('\'')
                .and_then(|name| name.strip_suffix('\''));
            return Some((path, smudge, quoted.unwrap_or(filter)));
        }
    }
    None
}

impl fmt::Display for FilterFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            filter, path, said, ..
        } = self;
        let (what, key) = if self.smudge {
            ("write", "smudge")
        } else {
            ("read", "clean")
        };
        write!(
            f,
            "the filter `{filter}` of `.gitattributes` could not {what} `{path}` ({key}): {said}; make its \
             command run outside of your checkout, or name another one as `[filters.{filter}]` in the policy"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_names_the_filter_the_file_and_what_was_said() {
        let smudge = "error: external filter 'false' failed 1\nerror: external filter 'false' failed\n\
            fatal: a/b: c.bin: smudge filter case failed\n";
        let failure = FilterFailure::parse(smudge).expect("is one");
        assert_eq!((&*failure.filter, &*failure.path), ("case", "a/b: c.bin"));
        assert!(
            failure.smudge
                && failure
                    .said
                    .starts_with("error: external filter 'false' failed 1")
        );
        let clean = FilterFailure::parse("fatal: a.c: clean filter 'bad' failed").expect("is one");
        assert_eq!((&*clean.filter, clean.smudge), ("bad", false));
        assert_eq!(FilterFailure::parse("fatal: not a git repository"), None);
    }
}
