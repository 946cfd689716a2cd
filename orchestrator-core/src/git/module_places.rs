//! Submodules in a workspace: their files, and a repository of each one's own for its worker.
//!
//! ```text
//! tree/vendor/lib                                  the files, and `.git`, which names
//! repo.git/worktrees/tree/modules/NAME             the worker's repository of it; objects borrowed from modules/ID.git
//! modules                                          our own indexes, and what was placed where
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    GitError, Module, Objects, Trusted, Workspace, checkout::Checkout, config, error::io_error,
};
use crate::{
    model::{CommitId, RepoPath},
    untrusted::{copy, is_dir, place_beneath, read_small, remove, write_new},
};

/// A submodule that was checked out in a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placed {
    /// Its place in the tree.
    pub path: RepoPath,
    /// The worker's repository of it.
    pub(super) repository: PathBuf,
    /// Our repository of it.
    pub(super) ours: PathBuf,
    /// Our index of its files.
    pub(super) index: PathBuf,
}

impl Workspace {
    /// Checks the submodules of a commit out in a workspace that nobody was in yet.
    ///
    /// # Errors
    /// [`GitError`] with what went wrong.
    pub(crate) async fn place_modules(
        &self,
        trusted: &Trusted,
        base: CommitId,
    ) -> Result<(), GitError> {
        let mut placed = Vec::new();
        for module in trusted.modules(trusted.tree_of(base)?).await? {
            // In a sparse workspace it may be left out, and so is what lies in it.
            if !is_dir(&self.tree().join(module.path.to_path())) {
                continue;
            }
            placed.push(self.place(trusted, &module, placed.len()).await?);
        }
        if placed.is_empty() {
            return Ok(());
        }
        let list = self.placed_list();
        let text = serde_json::to_vec(&placed).expect("our own data serialises");
        write_new(&list, text).map_err(io_error(&list))
    }

    /// What was placed, each after the one that it lies in. That list is ours: no worker has a reason to write it.
    #[must_use]
    pub(crate) fn placed(&self) -> Vec<Placed> {
        let text = read_small(&self.placed_list()).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn placed_list(&self) -> PathBuf {
        self.root().join("modules/placed.json")
    }

    async fn place(
        &self,
        trusted: &Trusted,
        module: &Module,
        number: usize,
    ) -> Result<Placed, GitError> {
        trusted.have(module).await?;
        let linked = self.repository().join("worktrees/tree");
        let placed = Placed {
            path: module.path.clone(),
            repository: linked.join(&module.place),
            ours: module.source.dir.clone(),
            index: self.root().join("modules").join(number.to_string()),
        };
        let indexes = self.root().join("modules");
        std::fs::create_dir_all(&indexes).map_err(io_error(&indexes))?;
        let directory = place_in(&self.tree(), &module.path)?;
        let checkout = Checkout {
            directory: directory.clone(),
            index: placed.index.clone(),
        };
        let commit = module.commit.to_string();
        checkout
            .lay_out(trusted, &module.source.dir, &commit)
            .await?;
        trusted.write_module_repository(module, &placed.repository, &directory)?;
        let theirs = placed.repository.join("index");
        copy(&placed.index, &theirs).map_err(io_error(&theirs))?;
        // The repository that it lies in must know that it is in use, or `git submodule` passes over it.
        let outer = match module.outer_place() {
            Some(outer) => linked.join(outer),
            None => self.repository(),
        };
        module.say_active(&outer)?;
        Ok(placed)
    }
}

impl Module {
    /// Says in the repository that it lies in that it is in use. Nobody else has been able to write there yet.
    pub(super) fn say_active(&self, outer: &Path) -> Result<(), GitError> {
        let path = outer.join("config");
        let text = config::active(&self.name, self.source.url.as_deref());
        let whole = read_small(&path).map_err(io_error(&path))?;
        let whole = [whole.as_slice(), text.as_bytes()].concat();
        write_new(&path, whole).map_err(io_error(&path))
    }
}

impl Trusted {
    /// Makes a repository for whoever works in a submodule's files, and links the files to it. Nobody has been in either.
    pub(super) fn write_module_repository(
        &self,
        module: &Module,
        repository: &Path,
        directory: &Path,
    ) -> Result<(), GitError> {
        let ours = &module.source.dir;
        let url = module.source.url.as_deref();
        let refs = Objects::open_small(ours)?;
        let mut packed = String::new();
        for prefix in ["refs/remotes/origin", "refs/tags"] {
            for (name, id) in refs.refs(prefix)? {
                packed.push_str(&format!("{id} {name}\n"));
            }
        }
        let files = [
            ("HEAD", format!("{}\n", module.commit)),
            (
                "config",
                config::module(&self.identity, &self.filters, directory, url),
            ),
            ("packed-refs", packed),
            (
                "objects/info/alternates",
                format!("{}\n", ours.join("objects").display()),
            ),
            ("refs/heads/.keep", String::new()),
        ];
        for (name, text) in files {
            let path = repository.join(name);
            let parent = path.parent().unwrap_or(repository);
            std::fs::create_dir_all(parent).map_err(io_error(parent))?;
            if !name.ends_with(".keep") {
                write_new(&path, text).map_err(io_error(&path))?;
            }
        }
        let link = directory.join(".git");
        let text = format!("gitdir: {}\n", repository.display());
        write_new(&link, text).map_err(io_error(&link))
    }

    /// Lays the files of a submodule out in a directory that may hold what an earlier call left, whatever was done to that since.
    ///
    /// # Errors
    /// As [`export`](Self::export), and when its commit cannot be had.
    pub(crate) async fn export_module(&self, module: &Module, into: &Path) -> Result<(), GitError> {
        self.have(module).await?;
        let checkout = Checkout::beside(into);
        let commit = module.commit.to_string();
        checkout.lay_out(self, &module.source.dir, &commit).await
    }
}

/// The place of a submodule in a tree: a directory that git has made empty, and no link is on the way (CVE-2024-32002).
pub(super) fn place_in(tree: &Path, path: &RepoPath) -> Result<PathBuf, GitError> {
    let whole = tree.join(path.to_path());
    let place = place_beneath(tree, path, true).map_err(io_error(&whole))?;
    let in_the_way = || GitError::Repository {
        path: format!("submodule `{path}`"),
        why: "a link or a file is in its way".to_owned(),
    };
    let place = place.ok_or_else(in_the_way)?;
    if place.symlink_metadata().is_ok_and(|meta| !meta.is_dir()) {
        return Err(in_the_way());
    }
    let git = place.join(".git");
    remove(&git).map_err(io_error(&git))?;
    Ok(place)
}
