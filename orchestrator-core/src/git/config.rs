//! The configuration of the repositories that we make, which we write: what a repository that a worker could write to says is
//! never used.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use super::{Git, GitError, UserRepository, lfs, parse::parse_sections};
use crate::{model, process::Exit};

/// A name and an address, as commits bear them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Person {
    /// As in `user.name`.
    pub name: String,
    /// As in `user.email`.
    pub email: String,
}

/// Who commits, as `git var` says in the person's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The committer, who is also the author unless `author` is set.
    pub committer: Person,
    /// The author, where that is somebody else.
    pub author: Option<Person>,
    /// Whether commits are signed; with which key and program, the person's configuration says.
    pub sign: bool,
}

impl Identity {
    /// As sections of a configuration file.
    fn sections(&self) -> String {
        let user = self.committer.section("user");
        let author = self.author.as_ref().map(|author| author.section("author"));
        user + &author.unwrap_or_default()
    }
}

impl Person {
    fn section(&self, name: &str) -> String {
        format!(
            "[{name}]\n\tname = {}\n\temail = {}\n",
            quoted(&self.name),
            quoted(&self.email)
        )
    }
}

/// Filters from the policy, or from the person's own configuration.
#[derive(Debug, Clone, Default)]
pub(super) struct Filters {
    /// Settings such as `filter.lfs.clean`, each with its name and key.
    settings: BTreeMap<(String, String), String>,
    /// Settings that say which files Git LFS leaves as pointers: `lfs.fetchinclude`, `lfs.fetchexclude`.
    left_out: Vec<(&'static str, String)>,
}

/// What `git lfs install` writes.
const LFS: [(&str, &str); 4] = [
    ("clean", "git-lfs clean -- %f"),
    ("smudge", "git-lfs smudge -- %f"),
    ("process", "git-lfs filter-process"),
    ("required", "true"),
];

impl Filters {
    /// The policy's; of those that it does not name, the person's; and that of Git LFS where it is installed and nobody names it.
    pub(super) async fn of(
        git: &Git,
        user: &UserRepository,
        policy: &BTreeMap<String, model::Filter>,
    ) -> Result<Self, GitError> {
        let mut settings = persons(git).await?;
        settings.retain(|(name, _), _| !policy.contains_key(name));
        for (name, filter) in policy {
            let lines = [
                ("clean", &filter.clean),
                ("smudge", &filter.smudge),
                ("process", &filter.process),
            ];
            let given = lines
                .into_iter()
                .filter_map(|(key, line)| Some((key, line.clone()?)));
            for (key, line) in given.chain([("required", filter.required.to_string())]) {
                settings.insert((name.clone(), key.to_owned()), line);
            }
        }
        let mut filters = Self {
            settings,
            left_out: Vec::new(),
        };
        if !filters.has("lfs") && lfs::is_installed(git.path()) {
            for (key, line) in LFS {
                let key = ("lfs".to_owned(), key.to_owned());
                filters.settings.insert(key, line.to_owned());
            }
        }
        if filters.has("lfs") {
            for key in ["fetchinclude", "fetchexclude"] {
                let value = user.config(&format!("lfs.{key}")).await?;
                filters.left_out.extend(value.map(|value| (key, value)));
            }
        }
        Ok(filters)
    }

    /// Whether there is one.
    pub(super) fn any(&self) -> bool {
        !self.settings.is_empty()
    }

    /// Whether there is one of this name that does something.
    pub(super) fn has(&self, name: &str) -> bool {
        ["clean", "smudge", "process"]
            .into_iter()
            .any(|key| self.line(name, key).is_some())
    }

    /// Whether the command of a filter is this program.
    pub(super) fn runs(&self, name: &str, program: &str) -> bool {
        let line = self.line(name, "process").or(self.line(name, "smudge"));
        line.is_some_and(|line| line.split_whitespace().next() == Some(program))
    }

    fn line(&self, name: &str, key: &str) -> Option<&str> {
        self.settings
            .get(&(name.to_owned(), key.to_owned()))
            .map(String::as_str)
    }

    /// As sections of a configuration file.
    fn sections(&self) -> String {
        let mut text = String::new();
        for ((name, key), value) in &self.settings {
            let _ = writeln!(
                text,
                "[filter {}]\n\t{key} = {}",
                quoted(name),
                quoted(value)
            );
        }
        for (key, value) in &self.left_out {
            let _ = writeln!(text, "[lfs]\n\t{key} = {}", quoted(value));
        }
        text
    }
}

/// The filters of the person's own configuration, and of their system's: not those of their repository.
async fn persons(git: &Git) -> Result<BTreeMap<(String, String), String>, GitError> {
    let mut settings = BTreeMap::new();
    // In the order in which a later one wins. Debian's package of git-lfs writes to the system's.
    for scope in ["--system", "--global"] {
        let call = git.call(Path::new("/")).args([
            "config",
            scope,
            "--null",
            "--get-regexp",
            r"^filter\..+\.",
        ]);
        let answer = call.answer().await?;
        // There is none, or not even a file.
        if answer.exit != Exit::Code(0) {
            continue;
        }
        let found = parse_sections(&answer.stdout, "filter").into_iter();
        settings.extend(found.map(|(name, key, value)| ((name, key), value)));
    }
    Ok(settings)
}

/// Of our own repository.
pub(super) fn trusted(identity: &Identity, filters: &Filters) -> String {
    format!(
        "# Written anew at every start: changes here are lost.\n\
         [core]\n\trepositoryformatversion = 0\n\tbare = true\n\thooksPath = /dev/null\n\tfsync = committed,loose-object,reference\n\
         [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[receive]\n\tautogc = false\n\
         [i18n]\n\tcommitEncoding = UTF-8\n{}{}",
        identity.sections(),
        filters.sections()
    )
}

/// Of an attempt's repository, before it is lent.
pub(super) fn workspace(identity: &Identity, filters: &Filters) -> String {
    format!(
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tlogAllRefUpdates = true\n[gc]\n\tauto = 0\n\
         [maintenance]\n\tauto = false\n[commit]\n\tgpgSign = false\n{}{}",
        identity.sections(),
        filters.sections()
    )
}

/// Of a submodule's repository in a workspace or a gate's directory, whose files are in this directory.
pub(super) fn module(
    identity: &Identity,
    filters: &Filters,
    directory: &Path,
    url: Option<&str>,
) -> String {
    let remote = url.map(|url| {
        let url = quoted(url);
        format!(
            "[remote \"origin\"]\n\turl = {url}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
        )
    });
    format!(
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tlogAllRefUpdates = true\n\tworktree = {}\n[gc]\n\tauto = 0\n\
         [maintenance]\n\tauto = false\n[commit]\n\tgpgSign = false\n{}{}{}",
        quoted(&directory.to_string_lossy()),
        remote.unwrap_or_default(),
        identity.sections(),
        filters.sections()
    )
}

/// Of the repository of a gate's directory.
pub(super) fn gate(identity: &Identity, filters: &Filters) -> String {
    format!(
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tlogAllRefUpdates = true\n[gc]\n\tauto = 0\n\
         [maintenance]\n\tauto = false\n[commit]\n\tgpgSign = false\n{}{}",
        identity.sections(),
        filters.sections()
    )
}

/// That a submodule is in use, for the configuration of the repository that it lies in.
pub(super) fn active(name: &str, url: Option<&str>) -> String {
    let url = url.map(|url| format!("\turl = {}\n", quoted(url)));
    let name = quoted(name);
    format!(
        "[submodule {name}]\n\tactive = true\n{}",
        url.unwrap_or_default()
    )
}

/// A value as git-config(1) reads it back.
fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace(['\n', '\r'], " ")
    )
}
