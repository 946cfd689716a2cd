//! The repository of a gate's directory: as much of a clone as builds ask git for, and thrown away with the directory.
//!
//! Its objects are borrowed from ours by alternates, which git only reads: whatever the gate commits, packs or prunes is its own. HEAD is on
//! a branch named as the target is, at a commit that has just the gated tree: the target's tip itself, or a merge as it would land.

use std::path::Path;

use super::{
    Destination, GitError, Module, Trusted, checkout::index_of, cli::absolute, config,
    error::io_error, module_places::place_in,
};
use crate::{
    model::{CommitId, GateHead, Pattern, RepoPath, TreeId},
    untrusted::{copy, fresh_directory, write_new},
};

/// The target's tags, as last fetched.
const TAGS: &str = "refs/orchestrator/tags";

impl Trusted {
    /// Fetches the target's tags from where the target is fetched from.
    ///
    /// # Errors
    /// As `git fetch`.
    pub(crate) async fn fetch_tags(&self) -> Result<(), GitError> {
        let user = self.user.git_dir().to_string_lossy().into_owned();
        let from = match &self.destination {
            Destination::Remote { fetch_url, .. } => fetch_url.clone(),
            Destination::Local => user,
        };
        let call = self.call().fetching();
        let call = call.args(["--prune".to_owned(), "--end-of-options".to_owned(), from]);
        let call = call.args([format!("+refs/tags/*:{TAGS}/*")]);
        match &self.destination {
            Destination::Remote { .. } => call.reaches_out().run().await,
            Destination::Local => call.transfers_any().run().await,
        }
    }

    /// Makes a directory in which a tree was [exported](Self::export) a repository. `ignored` are paths that are put there besides.
    ///
    /// # Errors
    /// When its files cannot be written, or git fails.
    pub async fn write_gate_repository(
        &self,
        directory: &Path,
        tree: TreeId,
        at: GateHead,
        ignored: &[RepoPath],
    ) -> Result<(), GitError> {
        let directory = &absolute(directory);
        fresh_directory(directory, &[".git"]).map_err(io_error(directory))?;
        let git_dir = directory.join(".git");
        let branch = self.target().full();
        let remote = format!("refs/remotes/origin/{}", self.target());
        let excludes = ignored
            .iter()
            .map(|path| format!("/{}\n", Pattern::exactly(path)));
        let objects = self.dir().join("objects");
        let files = [
            ("HEAD", format!("ref: {branch}\n")),
            ("config", config::gate(&self.identity, &self.filters)),
            (
                "objects/info/alternates",
                format!("{}\n", objects.display()),
            ),
            ("info/exclude", excludes.collect()),
            ("packed-refs", self.tags_of(at.tip()).await?),
            (&remote, format!("{}\n", at.tip())),
        ];
        for (name, text) in files {
            write_beneath(&git_dir, name, text)?;
        }
        let commit = match at {
            GateHead::Tip(tip) => tip,
            GateHead::Merge { tip, head } => self.candidate(&git_dir, tree, tip, head).await?,
        };
        write_beneath(&git_dir, &branch, format!("{commit}\n"))?;
        let index = git_dir.join("index");
        copy(&index_of(directory), &index).map_err(io_error(&index))
    }

    /// Gives a submodule in such a directory a repository as well. The index of its files lies beside where they were
    /// [laid out](Self::export_module).
    ///
    /// # Errors
    /// When its files cannot be written.
    pub(crate) fn write_gate_module(
        &self,
        directory: &Path,
        module: &Module,
        laid_out: &Path,
    ) -> Result<(), GitError> {
        let directory = &absolute(directory);
        let git_dir = directory.join(".git");
        let repository = git_dir.join(&module.place);
        let place = place_in(directory, &module.path)?;
        self.write_module_repository(module, &repository, &place)?;
        let index = repository.join("index");
        copy(&index_of(laid_out), &index).map_err(io_error(&index))?;
        let outer = module.outer_place().map(|outer| git_dir.join(outer));
        module.say_active(&outer.unwrap_or(git_dir))
    }

    /// The tags that the history of a commit has, as a file of packed refs.
    async fn tags_of(&self, tip: CommitId) -> Result<String, GitError> {
        let call = self
            .call()
            .args(["for-each-ref", "--format=%(objectname) %(refname)"]);
        let call = call.args([format!("--merged={tip}"), TAGS.to_owned()]);
        let listed = call.text().await?;
        let tags = listed
            .lines()
            .map(|line| line.replacen(TAGS, "refs/tags", 1) + "\n");
        Ok(tags.collect())
    }

    /// Makes the commit of a candidate, in the gate's own objects.
    async fn candidate(
        &self,
        git_dir: &Path,
        tree: TreeId,
        tip: CommitId,
        head: CommitId,
    ) -> Result<CommitId, GitError> {
        let mut parents = vec![tip];
        parents.extend(Some(head).filter(|head| *head != tip));
        let ids: Vec<_> = parents.iter().map(ToString::to_string).collect();
        let dates = self
            .call()
            .args(["show", "--no-patch", "--format=%ct"])
            .args(ids.clone());
        let dates = dates.text().await?;
        // The same candidate has the same id, whenever it is gated.
        let newest = dates
            .lines()
            .filter_map(|date| date.parse::<u64>().ok())
            .max();
        let date = format!("@{} +0000", newest.unwrap_or(0));
        let call = self.call_in(git_dir).args(["commit-tree", "--no-gpg-sign"]);
        let call = call.args(ids.iter().flat_map(|id| ["-p", id.as_str()]));
        let call = call.args(["-F", "-"]).args([tree.to_string()]);
        call.var("GIT_AUTHOR_DATE", &date)
            .var("GIT_COMMITTER_DATE", &date)
            .input(format!("Candidate for {}\n", self.target()))
            .id()
            .await
    }
}

fn write_beneath(git_dir: &Path, name: &str, text: String) -> Result<(), GitError> {
    let path = git_dir.join(name);
    let parent = path.parent().unwrap_or(git_dir);
    std::fs::create_dir_all(parent).map_err(io_error(parent))?;
    write_new(&path, text).map_err(io_error(&path))
}
