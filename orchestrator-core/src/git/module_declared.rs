//! What `.gitmodules` and the person's configuration say of submodules.

use std::path::{Component, Path};

use super::{GitError, Objects, Trusted, UserRepository, parse::parse_sections};
use crate::model::{RepoPath, TreeId};

/// The largest `.gitmodules` that is read, in bytes.
const MAX_GITMODULES: u64 = 1 << 20;
/// A section of `.gitmodules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) path: RepoPath,
    pub(super) url: Option<String>,
}

impl Trusted {
    /// What `.gitmodules` of a tree declares.
    pub(super) async fn declared(
        &self,
        objects: &Objects,
        tree: TreeId,
    ) -> Result<Vec<Declared>, GitError> {
        let objects = objects.clone();
        let name: RepoPath = ".gitmodules".parse().expect("a path");
        let read = move |_: &Objects| match objects.file(tree, &name)? {
            Some(blob) => objects.blob(blob, MAX_GITMODULES),
            None => Ok(None),
        };
        let Some(text) = self.look(read).await? else {
            return Ok(Vec::new());
        };
        let call = self
            .call()
            .args(["config", "--file", "-", "--null", "--get-regexp"]);
        let answer = call
            .args([r"^submodule\..+\.(path|url)$"])
            .input(text)
            .answer()
            .await?;
        Ok(sections(&answer.stdout))
    }
}

impl UserRepository {
    /// What relative addresses of submodules are relative to, as git has it: the remote of the branch, `origin`, or the repository
    /// itself.
    pub(super) async fn relative_to(&self) -> Result<Option<String>, GitError> {
        if let Some(url) = self.config("remote.origin.url").await? {
            return Ok(Some(url));
        }
        let place = self.root().unwrap_or(self.git_dir());
        Ok(Some(place.to_string_lossy().into_owned()))
    }

    /// The address of a submodule in a configuration file of the person's.
    pub(super) async fn module_url(
        &self,
        config: &Path,
        name: &str,
    ) -> Result<Option<String>, GitError> {
        if !config.is_file() {
            return Ok(None);
        }
        let mut file = std::ffi::OsString::from("--file=");
        file.push(config);
        let call = self
            .git()
            .call(self.git_dir())
            .args(["config"])
            .args([file]);
        let key = format!("submodule.{name}.url");
        let answer = call.args(["--null", "--get", &key]).answer().await?;
        let text = String::from_utf8_lossy(&answer.stdout);
        let url = text.trim_end_matches('\0').to_owned();
        Ok(Some(url).filter(|url| !url.is_empty()))
    }
}

/// Whether a name can be a directory of a git directory. Git has refused others since they led out of it (CVE-2018-11235).
pub(super) fn is_safe(name: &str) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    !name.is_empty()
        && !name.starts_with('-')
        && !name.chars().any(char::is_control)
        && Path::new(name).components().all(plain)
        && !name
            .split('/')
            .any(|part| matches!(part, "" | "." | "..") || part.eq_ignore_ascii_case("modules"))
}

/// What `git config --null` says of the sections.
fn sections(listed: &[u8]) -> Vec<Declared> {
    let settings = parse_sections(listed, "submodule");
    let value = |name: &str, key: &str| {
        let mut found = settings.iter().filter(|(n, k, _)| n == name && k == key);
        found.next_back().map(|(_, _, value)| value.clone())
    };
    let mut names: Vec<_> = settings.iter().map(|(name, ..)| name.clone()).collect();
    names.sort();
    names.dedup();
    let declared = names.into_iter().filter_map(|name| {
        let path = value(&name, "path")?;
        Some(Declared {
            path: RepoPath::from_bytes(path.trim_end_matches('/').as_bytes()).ok()?,
            url: value(&name, "url"),
            name,
        })
    });
    declared.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for good in ["lib", "vendor/lib", "a.b", "x y"] {
            assert!(is_safe(good), "{good}");
        }
        for bad in [
            "",
            "..",
            "../x",
            "a/../b",
            "/a",
            "-u",
            "a\r",
            "a//b",
            "./a",
            "a/modules/b",
        ] {
            assert!(!is_safe(bad), "{bad:?}");
        }
    }

    #[test]
    fn sections_without_a_path_are_none_and_the_last_value_counts() {
        let listed = b"submodule.a.b.path\nvendor/a\0submodule.a.b.url\n../a\0submodule.c.url\nx\0submodule.a.b.url\n../b\0";
        let declared = sections(listed);
        assert_eq!(declared.len(), 1);
        assert_eq!(declared[0].name, "a.b");
        assert_eq!(declared[0].url.as_deref(), Some("../b"));
    }
}
