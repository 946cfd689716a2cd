//! The person's settings of git, as git sees them in their repository, written down for a
//! repository of ours.

use std::{fmt::Write as _, path::Path};

use crate::git::{GitError, module_url::is_path};

/// The name of the remote that stands for an endpoint which the settings name without a remote.
const NO_REMOTE: &str = "origin";

/// Settings that say what a repository is, and not how it speaks to others; and settings of git-lfs
/// that would make it look elsewhere, fetch more than it is asked for, or leave out what it could
/// not get without an error.
const LEFT_OUT: [&str; 16] = [
    "core.bare",
    "core.fsmonitor",
    "core.hookspath",
    "core.repositoryformatversion",
    "core.worktree",
    "extensions.",
    "filter.",
    "include.",
    "includeif.",
    "lfs.allowincompletepush",
    "lfs.fetchrecent",
    "lfs.repositoryformatversion",
    "lfs.skipdownloaderrors",
    "lfs.storage",
    "maintenance.",
    "submodule.",
];

/// Settings in their order: a later one wins, or adds to the earlier.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings(Vec<(String, Option<String>)>);

impl Settings {
    /// Out of what `git config --list --null` prints.
    pub(super) fn parse(listed: &[u8]) -> Self {
        let listed = String::from_utf8_lossy(listed);
        let settings = listed.split_terminator('\0').map(|setting| {
            match setting.split_once('\n') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                // One that is there, and has no value, is true.
                None => (setting.to_owned(), None),
            }
        });
        Self(settings.collect())
    }

    /// The last value of a key, which is in lower case but for its middle part.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(known, _)| known == key);
        found.and_then(|(_, value)| value.as_deref())
    }

    /// The remote that git-lfs would speak to on this branch; `None` where nothing names one.
    pub(super) fn remote(&self, branch: &str) -> Option<String> {
        let mut remotes: Vec<_> = self
            .0
            .iter()
            .filter_map(|(key, _)| key.strip_prefix("remote.")?.strip_suffix(".url"))
            .collect();
        remotes.sort_unstable();
        remotes.dedup();
        let named = [
            self.get("remote.lfsdefault"),
            self.get(&format!("branch.{branch}.remote")),
            Some(NO_REMOTE),
        ];
        let named = named
            .into_iter()
            .flatten()
            .find(|name| remotes.contains(name));
        let only = match remotes[..] {
            [only] => Some(only),
            _ => None,
        };
        named.or(only).map(str::to_owned)
    }

    /// A remote for an endpoint that has none: git-lfs wants a name.
    pub(super) fn add_remote(&mut self) -> String {
        let key = format!("remote.{NO_REMOTE}.url");
        self.0.push((key, Some("none".to_owned())));
        NO_REMOTE.to_owned()
    }

    /// Makes paths of remotes absolute: they are meant from the person's repository.
    pub(super) fn resolve(&mut self, base: &Path) {
        for (key, value) in &mut self.0 {
            let is_url = key.starts_with("remote.")
                && [".url", ".pushurl"].iter().any(|end| key.ends_with(end));
            if let Some(url) = value.as_mut().filter(|url| is_url && is_path(url)) {
                *url = base.join(&*url).to_string_lossy().into_owned();
            }
        }
    }

    /// As a configuration file (git-config(1)).
    ///
    /// # Errors
    /// [`GitError::Output`] when a key is none.
    pub(super) fn file(&self) -> Result<String, GitError> {
        let mut text = String::new();
        for (key, value) in &self.0 {
            if LEFT_OUT.iter().any(|prefix| key.starts_with(prefix)) {
                continue;
            }
            let (section, name) = parts(key).ok_or_else(|| GitError::Output {
                verb: "config".to_owned(),
                what: key.chars().take(80).collect(),
            })?;
            let _ = match value {
                Some(value) => writeln!(text, "{section}\n\t{name} = {}", quoted(value)),
                None => writeln!(text, "{section}\n\t{name}"),
            };
        }
        Ok(text)
    }
}

/// The header of a key's section, and the key's last part.
fn parts(key: &str) -> Option<(String, &str)> {
    let (section, rest) = key.split_once('.')?;
    Some(match rest.rsplit_once('.') {
        Some((subsection, name)) => {
            let subsection = subsection.replace('\\', "\\\\").replace('"', "\\\"");
            (format!("[{section} \"{subsection}\"]"), name)
        }
        None => (format!("[{section}]"), rest),
    })
}

fn quoted(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", value.replace('\n', "\\n").replace('\t', "\\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), Some((*value).to_owned()));
        Settings(pairs.iter().map(pair).collect())
    }

    #[test]
    fn settings_are_written_as_git_reads_them_back() {
        let listed =
            b"core.bare\nfalse\0http.https://a.b/.extraheader\nX: \"y\\z\"\0lfs.locksverify\0\
            remote.o\"r.url\n../x\0user.name\nA\tB\nC\0lfs.storage\n/elsewhere\0";
        let mut settings = Settings::parse(listed);
        settings.resolve(Path::new("/home/repo"));
        let expected = "[http \"https://a.b/\"]\n\textraheader = \"X: \\\"y\\\\z\\\"\"\n[lfs]\n\tlocksverify\n\
            [remote \"o\\\"r\"]\n\turl = \"/home/repo/../x\"\n[user]\n\tname = \"A\\tB\\nC\"\n";
        assert_eq!(settings.file().expect("keys are keys"), expected);
    }

    #[test]
    fn remote_is_the_one_that_git_lfs_would_take() {
        let urls = [("remote.a.url", "/a"), ("remote.origin.url", "/o")];
        assert_eq!(settings(&[]).remote("main"), None);
        assert_eq!(settings(&urls[..1]).remote("main").as_deref(), Some("a"));
        assert_eq!(settings(&urls).remote("main").as_deref(), Some("origin"));
        let tracked = [&urls[..], &[("branch.main.remote", "a")]].concat();
        assert_eq!(settings(&tracked).remote("main").as_deref(), Some("a"));
        let named = [&tracked[..], &[("remote.lfsdefault", "origin")]].concat();
        assert_eq!(settings(&named).remote("main").as_deref(), Some("origin"));
        // A branch that tracks one of the same repository.
        let local = [&urls[..], &[("branch.main.remote", ".")]].concat();
        assert_eq!(settings(&local).remote("main").as_deref(), Some("origin"));
    }

    #[test]
    fn addresses_are_told_from_paths() {
        for path in ["../x", "/x", "x/y:z"] {
            assert!(is_path(path), "{path}");
        }
        for address in ["https://a/b", "git@a:b", "file:///x"] {
            assert!(!is_path(address), "{address}");
        }
    }
}
