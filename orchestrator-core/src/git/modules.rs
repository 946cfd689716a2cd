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

use std::path::{Component, Path, PathBuf};

use super::{
    GitError, Objects, Trusted, UserRepository,
    cli::{Call, io_error},
    config,
    module_url::resolved,
};
use crate::model::{CommitId, ContentHash, Mode, RepoPath, TreeId};

/// The largest `.gitmodules` that is read, in bytes.
const MAX_GITMODULES: u64 = 1 << 20;
/// The file in our repository of a submodule that has its remote's address.
const ADDRESS: &str = "address";
/// So many submodules are checked out, those within others included.
const MOST: usize = 1000;
/// So deep they may lie in one another.
const DEEPEST: usize = 8;

/// A submodule of a tree, or of a submodule of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
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
    /// The person's.
    person: Option<PathBuf>,
    /// The remote's address, as the person has it.
    pub(super) url: Option<String>,
}

/// A section of `.gitmodules`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Declared {
    name: String,
    path: RepoPath,
    url: Option<String>,
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
    pub async fn gitlinks(&self, tree: TreeId) -> Result<Vec<(RepoPath, CommitId)>, GitError> {
        self.look(move |objects| links(objects, tree)).await
    }

    /// The submodules of a tree that can be checked out, those in submodules included, each after the one that it is in.
    /// Their commits are in our repositories then.
    ///
    /// # Errors
    /// [`GitError::Repository`] when the commit of one is to be had nowhere.
    pub async fn modules(&self, tree: TreeId) -> Result<Vec<Module>, GitError> {
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

    /// What `.gitmodules` of a tree declares.
    async fn declared(&self, objects: &Objects, tree: TreeId) -> Result<Vec<Declared>, GitError> {
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

    /// Gets the commit of a submodule into our repository of it, if it is not there.
    pub(super) async fn have(&self, module: &Module) -> Result<(), GitError> {
        let source = &module.source;
        self.make_module(source).await?;
        let objects = Objects::open_small(&source.dir)?;
        if objects.has(module.commit) {
            return Ok(());
        }
        let id = module.commit.to_string();
        if let Some(person) = &source.person {
            let person = person.to_string_lossy().into_owned();
            for what in ["+refs/remotes/origin/*:refs/remotes/origin/*", &id] {
                let fetched = self.module_fetch(source, &person, &[what]).transfers_any();
                drop(fetched.run().await);
            }
            if objects.has(module.commit) {
                return Ok(());
            }
        }
        let why = match self.fetch_module(module).await {
            Ok(()) => "its remote has no such commit".to_owned(),
            Err(GitError::Repository { why, .. }) => why,
            Err(error) => error.to_string(),
        };
        if objects.has(module.commit) {
            return Ok(());
        }
        let at = module.commit.short();
        Err(wrong(
            &module.path,
            format!(
                "its commit {at} cannot be had: {why}; `git submodule update --init --recursive` in your checkout brings it"
            ),
        ))
    }

    /// Brings our repository of a submodule up to its remote.
    ///
    /// # Errors
    /// [`GitError::Repository`] when the person has no address of it, and as `git fetch`.
    pub(super) async fn fetch_module(&self, module: &Module) -> Result<(), GitError> {
        let source = &module.source;
        self.make_module(source).await?;
        let Some(url) = &source.url else {
            let why = "neither the target nor your configuration has an address of it".to_owned();
            return Err(wrong(&module.path, why));
        };
        let refs = [
            "+refs/heads/*:refs/remotes/origin/*",
            "+refs/tags/*:refs/tags/*",
        ];
        self.module_fetch(source, url, &refs)
            .reaches_out()
            .run()
            .await
    }

    /// Whether a commit is in what the submodule's remote had when it was fetched last.
    pub(super) async fn is_in_remote(&self, module: &Module) -> Result<bool, GitError> {
        if !Objects::open_small(&module.source.dir)?.has(module.commit) {
            return Ok(false);
        }
        let call = self
            .call_in(&module.source.dir)
            .args(["for-each-ref", "--count=1"]);
        let call = call.args([format!("--contains={}", module.commit)]);
        let listed = call
            .args(["refs/remotes/origin", "refs/tags"])
            .text()
            .await?;
        Ok(!listed.is_empty())
    }

    fn module_fetch(&self, source: &Source, from: &str, what: &[&str]) -> Call<'_> {
        let call = self.call_in(&source.dir).args([
            "-c",
            "fetch.fsckObjects=false",
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
        ]);
        let call = call.args(["--prune", "--end-of-options", from]);
        call.args(what.iter().copied())
    }

    async fn make_module(&self, source: &Source) -> Result<(), GitError> {
        let dir = &source.dir;
        if !dir.join("HEAD").exists() {
            std::fs::create_dir_all(dir).map_err(io_error(dir))?;
            let init = self
                .call_in(dir)
                .args(["init", "--quiet", "--bare", "--template="]);
            init.args(["--object-format=sha1"])
                .args([dir])
                .run()
                .await?;
        }
        let config = dir.join("config");
        let text = config::trusted(&self.identity, &self.filters);
        std::fs::write(&config, text).map_err(io_error(&config))?;
        match &source.url {
            Some(url) => {
                let address = dir.join(ADDRESS);
                std::fs::write(&address, url).map_err(io_error(&address))
            }
            None => Ok(()),
        }
    }
}

impl UserRepository {
    /// What relative addresses of submodules are relative to, as git has it: the remote of the branch, `origin`, or the repository
    /// itself.
    async fn relative_to(&self) -> Result<Option<String>, GitError> {
        if let Some(url) = self.config("remote.origin.url").await? {
            return Ok(Some(url));
        }
        let place = self.root().unwrap_or(self.git_dir());
        Ok(Some(place.to_string_lossy().into_owned()))
    }

    /// The address of a submodule in a configuration file of the person's.
    async fn module_url(&self, config: &Path, name: &str) -> Result<Option<String>, GitError> {
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

fn wrong(path: &RepoPath, why: String) -> GitError {
    GitError::Repository {
        path: format!("submodule `{path}`"),
        why,
    }
}

/// The address that a repository of ours was fetched from before.
fn known_address(dir: &Path) -> Option<String> {
    std::fs::read_to_string(dir.join(ADDRESS)).ok()
}

/// Whether a name can be a directory of a git directory. Git has refused others since they led out of it (CVE-2018-11235).
fn is_safe(name: &str) -> bool {
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
    let text = String::from_utf8_lossy(listed);
    let settings = text.split('\0').filter_map(|setting| {
        let (key, value) = setting.split_once('\n')?;
        let (name, key) = key.strip_prefix("submodule.")?.rsplit_once('.')?;
        Some((name.to_owned(), key.to_owned(), value.to_owned()))
    });
    let settings: Vec<_> = settings.collect();
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
