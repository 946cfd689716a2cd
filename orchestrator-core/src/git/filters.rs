//! Filters, and where they may come from: the policy, or the person's own configuration. What a repository's configuration says is
//! never used, since a worker could have written it.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use super::{Git, GitError};
use crate::{model, process::Exit};

/// Settings such as `filter.lfs.clean`, each with its name and key.
#[derive(Debug, Clone, Default)]
pub(super) struct Filters(BTreeMap<(String, String), String>);

impl Filters {
    /// The policy's, and of those that it does not name, the person's.
    pub(super) async fn of(git: &Git, policy: &BTreeMap<String, model::Filter>) -> Result<Self, GitError> {
        let call = git.call(Path::new("/")).args(["config", "--global", "--null", "--get-regexp", r"^filter\..+\."]);
        let answer = call.answer().await?;
        // There is none, or not even a file.
        let listed = if answer.exit == Exit::Code(0) { answer.stdout } else { Vec::new() };
        let mut settings = BTreeMap::new();
        for setting in String::from_utf8_lossy(&listed).split('\0') {
            let Some((key, value)) = setting.split_once('\n') else { continue };
            let Some((name, key)) = key.strip_prefix("filter.").and_then(|rest| rest.rsplit_once('.')) else { continue };
            if !policy.contains_key(name) {
                settings.insert((name.to_owned(), key.to_owned()), value.to_owned());
            }
        }
        for (name, filter) in policy {
            let lines = [("clean", &filter.clean), ("smudge", &filter.smudge), ("process", &filter.process)];
            let given = lines.into_iter().filter_map(|(key, line)| Some((key, line.clone()?)));
            for (key, line) in given.chain([("required", filter.required.to_string())]) {
                settings.insert((name.clone(), key.to_owned()), line);
            }
        }
        Ok(Self(settings))
    }

    /// As sections of a configuration file.
    pub(super) fn sections(&self) -> String {
        let mut text = String::new();
        for ((name, key), value) in &self.0 {
            let _ = writeln!(text, "[filter {}]\n\t{key} = {}", quoted(name), quoted(value));
        }
        text
    }
}

/// A value as git-config(1) reads it back.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " "))
}
