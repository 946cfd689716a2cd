//! The configuration of the repositories that we make, which we write: what a repository that a worker could write to says is
//! never used.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use super::{Git, GitError};
use crate::{model, process::Exit};

/// Who commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// As in `user.name`.
    pub name: String,
    /// As in `user.email`.
    pub email: String,
    /// Whether commits are signed; with which key and program is the person's global configuration's business.
    pub sign: bool,
}

impl Identity {
    /// As a section of a configuration file.
    fn section(&self) -> String {
        format!(
            "[user]\n\tname = {}\n\temail = {}\n",
            quoted(&self.name),
            quoted(&self.email)
        )
    }
}

/// Filters from the policy, or from the person's own configuration: settings such as `filter.lfs.clean`, each with its name and key.
#[derive(Debug, Clone, Default)]
pub(super) struct Filters(BTreeMap<(String, String), String>);

impl Filters {
    /// The policy's, and of those that it does not name, the person's.
    pub(super) async fn of(
        git: &Git,
        policy: &BTreeMap<String, model::Filter>,
    ) -> Result<Self, GitError> {
        let call = git.call(Path::new("/")).args([
            "config",
            "--global",
            "--null",
            "--get-regexp",
            r"^filter\..+\.",
        ]);
        let answer = call.answer().await?;
        // There is none, or not even a file.
        let listed = if answer.exit == Exit::Code(0) {
            answer.stdout
        } else {
            Vec::new()
        };
        let mut settings = BTreeMap::new();
        for setting in String::from_utf8_lossy(&listed).split('\0') {
            let Some((key, value)) = setting.split_once('\n') else {
                continue;
            };
            let Some((name, key)) = key
                .strip_prefix("filter.")
                .and_then(|rest| rest.rsplit_once('.'))
            else {
                continue;
            };
            if !policy.contains_key(name) {
                settings.insert((name.to_owned(), key.to_owned()), value.to_owned());
            }
        }
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
        Ok(Self(settings))
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As sections of a configuration file.
    fn sections(&self) -> String {
        let mut text = String::new();
        for ((name, key), value) in &self.0 {
            let _ = writeln!(
                text,
                "[filter {}]\n\t{key} = {}",
                quoted(name),
                quoted(value)
            );
        }
        text
    }
}

/// Of our own repository.
pub(super) fn trusted(identity: &Identity, filters: &Filters) -> String {
    format!(
        "# Written anew at every start: changes here are lost.\n\
         [core]\n\trepositoryformatversion = 0\n\tbare = true\n\thooksPath = /dev/null\n\tfsync = committed,loose-object,reference\n\
         [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[receive]\n\tautogc = false\n{}{}",
        identity.section(),
        filters.sections()
    )
}

/// Of an attempt's repository, before it is lent.
pub(super) fn workspace(identity: &Identity, filters: &Filters) -> String {
    format!(
        "[core]\n\trepositoryformatversion = 0\n\tbare = true\n\tlogAllRefUpdates = true\n[gc]\n\tauto = 0\n\
         [maintenance]\n\tauto = false\n[commit]\n\tgpgSign = false\n{}{}",
        identity.section(),
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
        identity.section(),
        filters.sections()
    )
}

/// Of the repository of a gate's directory.
pub(super) fn gate(identity: &Identity, filters: &Filters) -> String {
    format!(
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tlogAllRefUpdates = true\n[gc]\n\tauto = 0\n\
         [maintenance]\n\tauto = false\n[commit]\n\tgpgSign = false\n{}{}",
        identity.section(),
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
