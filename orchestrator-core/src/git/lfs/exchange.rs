//! Speaking to the place where the person's repository keeps its objects.
//!
//! git-lfs runs in a repository of ours that is made for one exchange, with the person's settings
//! as its global configuration, and nothing of a worker's. What was measured with git-lfs 3.3.0 and
//! forms it:
//!
//! - The store must be named in the repository's own configuration. Given as `-c lfs.storage=…`, or
//!   with `GIT_DIR` set, the agent for remotes that are directories inherits it, and looks for the
//!   remote's objects in our store.
//! - `.lfsconfig` is read in the work tree; where there is none, in the index and in HEAD. So there
//!   always is one: that of the target's tip, or an empty one.
//! - A remote's relative path is taken from the directory in which git-lfs runs.
//! - `fetch` leaves out what `lfs.fetchinclude` and `lfs.fetchexclude` say, and ends with 0; what
//!   the remote does not have ends it with 2.
//! - `push --object-id` sends what the server says that it lacks, and needs no ref. It fails before
//!   it sends anything if an object is not in the store.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use tempfile::TempDir;

use super::{
    pointer::{Named, Pointer},
    said::complaint,
    settings::Settings,
};
use crate::{
    git::{GitError, Trusted, cli::Call, error::io_error, user::Destination},
    model::{RepoPath, TreeId},
};

/// So many objects are named in one call: a command line is bounded.
const BATCH: usize = 500;
/// The largest `.lfsconfig` that is taken over, in bytes.
const MAX_CONFIG: u64 = 1 << 20;

/// A repository of ours in which git-lfs speaks to the remote.
pub(super) struct Exchange<'a> {
    trusted: &'a Trusted,
    room: TempDir,
    /// The remote's name; `None` where the person's repository has none, and names no endpoint.
    remote: Option<String>,
}

impl Trusted {
    /// Prepares an exchange. `lfsconfig` is the tree of which the `.lfsconfig` counts.
    pub(super) async fn exchange(
        &self,
        lfsconfig: Option<TreeId>,
    ) -> Result<Exchange<'_>, GitError> {
        let listed = self.user().call().args(["config", "--list", "--null"]);
        let mut settings = Settings::parse(&listed.bytes().await?);
        settings.resolve(self.user().base());
        let config = self.lfsconfig(lfsconfig).await?;
        let remote = match self.destination() {
            Destination::Remote { name, .. } => Some(name.clone()),
            Destination::Local => settings.remote(&self.target().to_string()),
        };
        let has_endpoint = settings.get("lfs.url").is_some() || !config.is_empty();
        let remote = match remote {
            None if has_endpoint => Some(settings.add_remote()),
            remote => remote,
        };
        let room = tempfile::Builder::new()
            .prefix("incoming-lfs-")
            .tempdir_in(self.dir())
            .map_err(io_error(self.dir()))?;
        let tip = match self.tip()? {
            Some(tip) => format!("{tip}\n"),
            None => String::new(),
        };
        let top = room.path();
        let git_dir = top.join(".git");
        let files = [
            (
                git_dir.join("HEAD"),
                format!("ref: {}\n", self.target().full()).into_bytes(),
            ),
            (git_dir.join("config"), self.exchange_config().into_bytes()),
            (
                git_dir.join("objects/info/alternates"),
                format!("{}\n", self.dir().join("objects").display()).into_bytes(),
            ),
            // A server may ask for which branch an object is.
            (git_dir.join(self.target().full()), tip.into_bytes()),
            (top.join(".lfsconfig"), config),
            (top.join(PERSONS), settings.file()?.into_bytes()),
        ];
        for (path, content) in files {
            if content.is_empty() && !path.ends_with(".lfsconfig") {
                continue;
            }
            fs::create_dir_all(path.parent().unwrap_or(top)).map_err(io_error(&path))?;
            fs::write(&path, content).map_err(io_error(&path))?;
            // Settings can hold passwords.
            fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(io_error(&path))?;
        }
        Ok(Exchange {
            trusted: self,
            room,
            remote,
        })
    }

    fn exchange_config(&self) -> String {
        let store = self.lfs.store().to_string_lossy();
        let store = store.replace('\\', "\\\\").replace('"', "\\\"");
        format!(
            "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\thooksPath = /dev/null\n[gc]\n\tauto = 0\n\
             [lfs]\n\tstorage = \"{store}\"\n"
        )
    }

    /// The `.lfsconfig` of a tree; nothing where it has none.
    async fn lfsconfig(&self, tree: Option<TreeId>) -> Result<Vec<u8>, GitError> {
        let Some(tree) = tree else {
            return Ok(Vec::new());
        };
        let path: RepoPath = ".lfsconfig".parse().expect("a relative path");
        self.look(move |objects| match objects.file(tree, &path)? {
            Some(blob) => Ok(objects.blob(blob, MAX_CONFIG)?.unwrap_or_default()),
            None => Ok(Vec::new()),
        })
        .await
    }
}

/// The file with the person's settings.
const PERSONS: &str = "persons-settings";

impl Exchange<'_> {
    fn call(&self) -> Call<'_> {
        self.trusted
            .git
            .call(self.room.path())
            .var("GIT_CONFIG_NOSYSTEM", "1")
            .var("GIT_CONFIG_GLOBAL", self.room.path().join(PERSONS))
            .args(["lfs"])
    }

    /// Fetches the objects of these files that our store lacks, but for those that the person's
    /// settings leave out by their paths.
    ///
    /// # Errors
    /// In git-lfs's words, when it did not get all of them.
    pub(super) async fn fetch(&self, files: &[Named]) -> Result<Result<(), String>, GitError> {
        let mut outcome = Ok(());
        let mut left: Vec<_> = files.iter().collect();
        while !left.is_empty() {
            let later = take_tree(&mut left);
            if let Err(why) = self.fetch_tree(&left).await? {
                outcome = Err(why);
            }
            left = later;
        }
        Ok(outcome)
    }

    async fn fetch_tree(&self, files: &[&Named]) -> Result<Result<(), String>, GitError> {
        let Some(remote) = &self.remote else {
            return Ok(Err("the repository has no remote to ask".to_owned()));
        };
        // What is fetched is named by a commit; this one has these files alone, and goes with the
        // room.
        let git_dir = self.room.path().join(".git");
        let git = || {
            let call = self.trusted.call_in(&git_dir);
            let call = call.args(["-c", "user.name=none", "-c", "user.email=none"]);
            call.var("GIT_INDEX_FILE", self.room.path().join("index"))
        };
        let mut lines = Vec::new();
        for named in files {
            lines.extend_from_slice(format!("100644 {}\t", named.blob).as_bytes());
            lines.extend_from_slice(named.path.as_bytes());
            lines.push(0);
        }
        let index = git().args(["update-index", "-z", "--index-info"]);
        git().args(["read-tree", "--empty"]).run().await?;
        index.input(lines).run().await?;
        let tree = git().args(["write-tree"]).text().await?;
        let commit = git().args(["commit-tree", "-m", "objects"]).args([tree]);
        let commit = commit.text().await?;
        let fetch = self.call().args(["fetch"]).args([remote.clone(), commit]);
        complaint(fetch.reaches_out().answer().await)
    }

    /// Sends objects of our store that the server lacks.
    ///
    /// # Errors
    /// In git-lfs's words.
    pub(super) async fn push(&self, pointers: &[Pointer]) -> Result<Result<(), String>, GitError> {
        let Some(remote) = &self.remote else {
            return Ok(Err(
                "the repository has no remote to send them to".to_owned()
            ));
        };
        for some in pointers.chunks(BATCH) {
            let push = self.call().args(["push", "--object-id"]);
            let push = push
                .args([remote.clone()])
                .args(some.iter().map(|pointer| pointer.oid.to_string()));
            if let Err(why) = complaint(push.reaches_out().answer().await)? {
                return Ok(Err(why));
            }
        }
        Ok(Ok(()))
    }
}

/// Leaves those files that can be in one tree; the others. Commits of a history can have several
/// files at one path, or a file where another has a directory.
fn take_tree<'a>(files: &mut Vec<&'a Named>) -> Vec<&'a Named> {
    let mut taken: BTreeSet<&[u8]> = BTreeSet::new();
    let mut later = Vec::new();
    files.retain(|named| {
        let path = named.path.as_bytes();
        let ends = (1..path.len()).filter(|at| path[*at] == b'/');
        let beneath = [path, b"/"].concat();
        let mut after = taken.range(&*beneath..);
        let fits = !taken.contains(path)
            && !ends.clone().any(|end| taken.contains(&path[..end]))
            && !after.next().is_some_and(|next| next.starts_with(&beneath));
        if fits {
            taken.insert(path);
        } else {
            later.push(*named);
        }
        fits
    });
    later
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_in_one_tree_are_fetched_one_after_another() {
        let named = |path: &str, size| Named {
            path: path.parse().expect("a path"),
            blob: "0123456789abcdef0123456789abcdef01234567"
                .parse()
                .expect("an id"),
            pointer: Pointer {
                oid: crate::model::ContentHash::of(b""),
                size,
            },
        };
        let paths = ["a", "a/b", "b/c/d", "b", "b/c", "b-", "a", "c"];
        let all: Vec<_> = (0..)
            .zip(paths)
            .map(|(size, path)| named(path, size))
            .collect();
        let mut left: Vec<_> = all.iter().collect();
        let mut rounds = Vec::new();
        while !left.is_empty() {
            let later = take_tree(&mut left);
            rounds.push(
                left.iter()
                    .map(|named| named.path.to_string())
                    .collect::<Vec<_>>(),
            );
            left = later;
        }
        assert_eq!(
            rounds,
            [
                vec!["a", "b/c/d", "b-", "c"],
                vec!["a/b", "b"],
                vec!["b/c", "a"]
            ]
        );
    }
}
