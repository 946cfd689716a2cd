//! Trees and changes in memory, for what reads them through a port.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use async_trait::async_trait;
use orchestrator_core::{
    model::{
        AttemptId, BlobId, Budget, Change, ChangeKind, CommitId, ContentHash, Contract, Entry,
        HandoffReport, Mode, PastChanges, RepoPath, Submission, TaskId, TreeId, TreeShape,
    },
    port::{ChangeView, LandingEdit, ReviewError, ReviewRequest, SourceError, TreeView},
};

/// Files by path, as a source sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryTree {
    files: BTreeMap<RepoPath, Vec<u8>>,
}

fn path(text: &str) -> RepoPath {
    text.parse().expect("a relative path")
}

impl MemoryTree {
    /// With nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, or replaces it.
    ///
    /// # Panics
    /// When the path is none of a repository's.
    #[must_use]
    pub fn with(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path(name), content.into());
        self
    }

    /// As it is with these edits.
    #[must_use]
    pub fn edited(mut self, edits: &[LandingEdit]) -> Self {
        self.files.extend(
            edits
                .iter()
                .map(|edit| (edit.path.clone(), edit.content.clone())),
        );
        self
    }
}

#[async_trait]
impl TreeView for MemoryTree {
    fn revision(&self) -> String {
        let texts = self
            .files
            .iter()
            .map(|(path, content)| (path.to_string(), ContentHash::of(content).to_string()));
        ContentHash::of_json(&texts.collect::<Vec<_>>()).to_string()
    }

    async fn read(&self, path: &RepoPath) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.files.get(path).cloned())
    }
}

/// What a worker proposes: files before, files afterwards. Ids are made from the contents, and are not git's.
#[derive(Debug, Clone, Default)]
pub struct ProposedChange {
    before: BTreeMap<RepoPath, Vec<u8>>,
    after: BTreeMap<RepoPath, Vec<u8>>,
    /// What the worker had to keep.
    allow: Vec<String>,
}

impl ProposedChange {
    /// Nothing is proposed, and everything is allowed.
    #[must_use]
    pub fn new() -> Self {
        Self {
            allow: vec!["**".to_owned()],
            ..Self::default()
        }
    }

    /// A file that was there before, and still is.
    ///
    /// # Panics
    /// When the path is none of a repository's.
    #[must_use]
    pub fn with(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        self.before.insert(path(name), content.clone());
        self.after.insert(path(name), content);
        self
    }

    /// A file as it is afterwards.
    ///
    /// # Panics
    /// When the path is none of a repository's.
    #[must_use]
    pub fn writes(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.after.insert(path(name), content.into());
        self
    }

    /// A file that is gone afterwards.
    ///
    /// # Panics
    /// When the path is none of a repository's.
    #[must_use]
    pub fn removes(mut self, name: &str) -> Self {
        self.after.remove(&path(name));
        self
    }

    /// Sets the patterns of what may change.
    #[must_use]
    pub fn allowing(mut self, patterns: &[&str]) -> Self {
        self.allow = patterns.iter().map(ToString::to_string).collect();
        self
    }

    /// The contract.
    ///
    /// # Panics
    /// When a pattern is none.
    #[must_use]
    pub fn contract(&self) -> Contract {
        Contract {
            task: TaskId::new("T1").expect("an id"),
            title: "A task".to_owned(),
            package: None,
            text: String::new(),
            allow: self
                .allow
                .iter()
                .map(|pattern| pattern.parse().expect("a pattern"))
                .collect(),
            forbid: Vec::new(),
            gates: Vec::new(),
            claims: Vec::new(),
            after: Vec::new(),
            resources: Vec::new(),
            docs: Vec::new(),
            artifacts: Vec::new(),
            approve: Default::default(),
            agent: "worker".parse().expect("a name"),
            budget: Budget::default(),
        }
    }

    /// What a reviewer is asked. Whatever else it is to see can be set in it.
    ///
    /// # Panics
    /// When a pattern is none.
    #[must_use]
    pub fn request(&self) -> ReviewRequest {
        let attempt = AttemptId {
            task: TaskId::new("T1").expect("an id"),
            number: 1,
        };
        let submission = Submission {
            base: id::<CommitId>(b"base"),
            carried: None,
            head: id::<CommitId>(b"head"),
            tree: id::<TreeId>(b"tree"),
            commits: 1,
            changes: self.changes(),
            uncommitted: Vec::new(),
            handoff: HandoffReport::Missing,
            handoff_hash: None,
            findings: Vec::new(),
            artifacts: Vec::new(),
        };
        ReviewRequest::new(
            attempt,
            self.contract(),
            id::<CommitId>(b"base"),
            submission,
            Arc::new(self.clone()),
        )
    }

    fn changes(&self) -> Vec<Change> {
        let entry = |content: &Vec<u8>| Entry {
            mode: Mode::File,
            id: id::<BlobId>(content),
        };
        let paths: std::collections::BTreeSet<_> =
            self.before.keys().chain(self.after.keys()).collect();
        let change = |path: &RepoPath| {
            let (old, new) = (self.before.get(path), self.after.get(path));
            let kind = match (old, new) {
                (None, _) => ChangeKind::Added,
                (_, None) => ChangeKind::Deleted,
                (Some(old), Some(new)) if old == new => return None,
                (Some(_), Some(_)) => ChangeKind::Modified,
            };
            Some(Change {
                path: path.clone(),
                kind,
                old: old.map(entry),
                new: new.map(entry),
            })
        };
        paths.into_iter().filter_map(change).collect()
    }
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(content: &[u8]) -> T {
    ContentHash::of(content).to_string()[..40]
        .parse()
        .expect("forty hexadecimal digits")
}

#[async_trait]
impl ChangeView for ProposedChange {
    async fn blob(&self, wanted: BlobId, limit: u64) -> Result<Option<Vec<u8>>, ReviewError> {
        let found = self
            .before
            .values()
            .chain(self.after.values())
            .find(|content| id::<BlobId>(content) == wanted);
        let content = found.ok_or_else(|| ReviewError::Unreadable(format!("no blob {wanted}")))?;
        Ok((content.len() as u64 <= limit).then(|| content.clone()))
    }

    async fn shapes(&self) -> Result<[TreeShape; 2], ReviewError> {
        let shape = |files: &BTreeMap<RepoPath, Vec<u8>>| TreeShape {
            paths: files.keys().cloned().collect(),
            links: BTreeMap::new(),
        };
        Ok([shape(&self.before), shape(&self.after)])
    }

    /// All of it is one commit.
    async fn history(&self) -> Result<PastChanges, ReviewError> {
        Ok(PastChanges {
            onto: id::<CommitId>(b"base"),
            changes: Vec::new(),
        })
    }

    /// All lines of before taken out, all of afterwards put in.
    async fn diff(&self, path: &RepoPath) -> Result<Vec<u8>, ReviewError> {
        let [old, new] = [&self.before, &self.after]
            .map(|files| files.get(path).map(Vec::as_slice).unwrap_or_default());
        if old == new {
            return Ok(Vec::new());
        }
        let lines = |content: &[u8]| {
            content
                .split_inclusive(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        };
        let (old, new) = (lines(old), lines(new));
        let mut diff = format!(
            "--- a/{path}\n+++ b/{path}\n@@ -1,{} +1,{} @@\n",
            old.len(),
            new.len()
        )
        .into_bytes();
        for (sign, lines) in [(b'-', old), (b'+', new)] {
            for line in lines {
                diff.push(sign);
                diff.extend(&line);
                if !line.ends_with(b"\n") {
                    diff.extend(b"\n\\ No newline at end of file\n");
                }
            }
        }
        Ok(diff)
    }

    async fn export(&self, into: &Path) -> Result<(), ReviewError> {
        let unreadable = |error: std::io::Error| ReviewError::Unreadable(error.to_string());
        for (path, content) in &self.after {
            let file = into.join(path.to_string());
            std::fs::create_dir_all(file.parent().unwrap_or(into)).map_err(unreadable)?;
            std::fs::write(file, content).map_err(unreadable)?;
        }
        Ok(())
    }
}
