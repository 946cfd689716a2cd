//! Submodules: where their commits come from, and repositories of ours that keep them.
//!
//! ```text
//! the person's .git/modules/NAME  ──┐
//!                                   ├── fetch ──► modules/ID.git   bare, ours: as trusted.git is
//! the URL that the person has     ──┘
//! ```
//!
//! What is checked out, and from where, follows from the target and from the person's configuration. A worker's `.gitmodules` names no
//! place that anything is fetched from.

use std::path::{Path, PathBuf};

use super::{
    GitError, Objects, Trusted,
    module_declared::{Declared, is_safe},
    module_url::resolved,
};
use crate::model::{CommitId, ContentHash, Mode, RepoPath, TreeId};

/// The file in our repository of a submodule that has its remote's address.
pub(super) const ADDRESS: &str = "address";
/// So many submodules are checked out, those within others included.
const MOST: usize = 1000;
/// So deep they may lie in one another.
const DEEPEST: usize = 8;

/// A submodule of a tree, or of a submodule of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// Its place in the tree.
    pub path: RepoPath,
    /// The commit that the tree names.
    pub commit: CommitId,
    /// Its name in the repository that it lies in.
    pub(super) name: String,
    /// The names from the outermost to this one, as directories of a git directory: `modules/NAME/modules/NAME`.
    pub(super) place: PathBuf,
    pub(super) source: Source,
    /// Whether the target's tip names this very commit, or one that this lies in.
    is_of_target: bool,
}

/// Where a submodule's commits come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Our repository of it.
    pub(super) dir: PathBuf,
    /// The person's own repository of it, if they have one.
    pub(super) person: Option<PathBuf>,
    /// The remote's address, as the person has it.
    pub(super) url: Option<String>,
}

/// What is declared in one repository, by the target or by the person.
struct Within<'a> {
    objects: Objects,
    tree: TreeId,
    /// `None` for the target itself.
    outer: Option<&'a Module>,
}

impl Module {
    /// The git directory of the one that it lies in, as [`place`](Self::place) is given; `None` for one of the tree itself.
    pub(super) fn outer_place(&self) -> Option<&Path> {
        let own = Path::new("modules").join(&self.name);
        let depth = own.components().count();
        let outer = self.place.ancestors().nth(depth)?;
        (!outer.as_os_str().is_empty()).then_some(outer)
    }
}

impl Trusted {
    /// The submodules that a tree has as entries, by path; those within others not.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub(crate) async fn gitlinks(
        &self,
        tree: TreeId,
    ) -> Result<Vec<(RepoPath, CommitId)>, GitError> {
        self.look(move |objects| links(objects, tree)).await
    }

    /// The submodules of a tree that can be checked out, those in submodules included, each after the one that it is in.
    /// Their commits are in our repositories then.
    ///
    /// # Errors
    /// [`GitError::Repository`] when the commit of one is to be had nowhere.
    pub(crate) async fn modules(&self, tree: TreeId) -> Result<Vec<Module>, GitError> {
        let top = Within {
            objects: self.objects().clone(),
            tree,
            outer: None,
        };
        let mut found = self.modules_within(&top).await?;
        let mut next = 0;
        while next < found.len() {
            let outer = found[next].clone();
            self.have(&outer).await?;
            let objects = Objects::open_small(&outer.source.dir)?;
            let within = Within {
                tree: objects.tree_of(outer.commit)?,
                objects,
                outer: Some(&outer),
            };
            let beneath = self.modules_within(&within).await?;
            found.splice(next + 1..next + 1, beneath);
            next += 1;
            if found.len() > MOST {
                let why = format!("it has more than {MOST} submodules");
                return Err(wrong(&outer.path, why));
            }
        }
        Ok(found)
    }

    /// The submodule at a path of the target, whatever its commit; `None` where the target declares none there.
    ///
    /// # Errors
    /// When `.gitmodules` of the target cannot be read.
    pub(super) async fn declared_at(
        &self,
        path: &RepoPath,
        commit: CommitId,
    ) -> Result<Option<Module>, GitError> {
        let Some(tip) = self.tip()? else {
            return Ok(None);
        };
        let tree = self.tree_of(tip)?;
        let declared = self.declared(self.objects(), tree).await?;
        let Some(declared) = declared.into_iter().find(|one| one.path == *path) else {
            return Ok(None);
        };
        self.module(declared, commit, None).await.map(Some)
    }

    async fn modules_within(&self, within: &Within<'_>) -> Result<Vec<Module>, GitError> {
        let (objects, tree) = (within.objects.clone(), within.tree);
        let links = self.look(move |_| links(&objects, tree)).await?;
        if links.is_empty() {
            return Ok(Vec::new());
        }
        let mut declared = self.declared(&within.objects, tree).await?;
        if within.outer.is_none() {
            declared = self.as_the_target_says(declared).await?;
        }
        let mut modules = Vec::new();
        for (path, commit) in links {
            let Some(one) = declared.iter().find(|one| one.path == path) else {
                continue;
            };
            let module = self.module(one.clone(), commit, within.outer).await?;
            let depth = module.place.components().count();
            if depth > DEEPEST * 8 {
                return Err(wrong(&module.path, "it lies too deep in others".to_owned()));
            }
            modules.push(module);
        }
        Ok(modules)
    }

    /// What a tree declares, with the addresses that the target's tip has: another one that a worker wrote is none.
    async fn as_the_target_says(&self, declared: Vec<Declared>) -> Result<Vec<Declared>, GitError> {
        let known = match self.tip()? {
            Some(tip) => self.declared(self.objects(), self.tree_of(tip)?).await?,
            None => Vec::new(),
        };
        let of_target = |one: &Declared| known.iter().find(|known| known.path == one.path).cloned();
        let as_known = |one: Declared| of_target(&one).unwrap_or(Declared { url: None, ..one });
        Ok(declared.into_iter().map(as_known).collect())
    }

    async fn module(
        &self,
        declared: Declared,
        commit: CommitId,
        outer: Option<&Module>,
    ) -> Result<Module, GitError> {
        let Declared { name, path, url } = declared;
        let path = outer.map_or_else(|| path.clone(), |outer| outer.path.join(&path));
        if !is_safe(&name) {
            let why = format!(
                "its name `{}` is none that can be used",
                name.escape_debug()
            );
            return Err(wrong(&path, why));
        }
        let inner = Path::new("modules").join(&name);
        let place = outer.map_or_else(|| inner.clone(), |outer| outer.place.join(&inner));
        let user = self.user();
        let base = match outer {
            None => user.relative_to().await?,
            Some(outer) => outer.source.url.clone(),
        };
        let person = user.git_dir().join(&place);
        let config = match outer {
            None => user.git_dir().join("config"),
            Some(outer) => user.git_dir().join(&outer.place).join("config"),
        };
        let set = user.module_url(&config, &name).await?;
        // Within a submodule, its own commit has named the address; which commit that is, the target must have said.
        let is_said = outer.is_none_or(|outer| outer.is_of_target);
        let url = url
            .filter(|_| is_said)
            .and_then(|url| resolved(base.as_deref(), &url));
        let id = ContentHash::of(place.as_os_str().as_encoded_bytes()).to_string();
        let dir = self
            .dir()
            .with_file_name("modules")
            .join(format!("{}.git", &id[..16]));
        let source = Source {
            person: person.join("HEAD").is_file().then_some(person),
            // One that was known before holds for commits that the target does not name yet.
            url: set.or(url).or_else(|| known_address(&dir)),
            dir,
        };
        let is_of_target = match outer {
            Some(outer) => outer.is_of_target,
            None => self.target_names(&path, commit).await?,
        };
        Ok(Module {
            path,
            commit,
            name,
            place,
            source,
            is_of_target,
        })
    }

    async fn target_names(&self, path: &RepoPath, commit: CommitId) -> Result<bool, GitError> {
        let Some(tip) = self.tip()? else {
            return Ok(false);
        };
        let (tree, path) = (self.tree_of(tip)?, path.clone());
        let named = self.look(move |objects| objects.entry(tree, &path)).await?;
        Ok(named.is_some_and(|named| named.mode == Mode::Submodule && named.id.0 == commit.0))
    }
}

fn links(objects: &Objects, tree: TreeId) -> Result<Vec<(RepoPath, CommitId)>, GitError> {
    let gitmodules: RepoPath = ".gitmodules".parse().expect("a path");
    // To look for them costs a look at all of the tree.
    if objects.file(tree, &gitmodules)?.is_none() {
        return Ok(Vec::new());
    }
    let all = objects.compared(None, tree)?.into_iter();
    let links = all.filter_map(|change| {
        let link = change.new.filter(|new| new.mode == Mode::Submodule)?;
        Some((change.path, CommitId(link.id.0)))
    });
    Ok(links.collect())
}

pub(super) fn wrong(path: &RepoPath, why: String) -> GitError {
    GitError::Repository {
        path: format!("submodule `{path}`"),
        why,
    }
}

/// The address that a repository of ours was fetched from before.
fn known_address(dir: &Path) -> Option<String> {
    std::fs::read_to_string(dir.join(ADDRESS)).ok()
}
