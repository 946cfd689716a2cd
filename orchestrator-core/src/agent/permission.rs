//! Calls of tools, judged at the moment at which an agent tries them.
//!
//! Some agents ask before they run a tool. What they are told is decided here, in code; each refusal becomes a finding. It holds back an
//! agent that errs: one that hides what it does (a path behind a link, a command in a script) is found out by what git says of its work,
//! and stopped by what it was never given.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    model::{Contract, Finding, RepoPath, Severity},
    port::TurnRequest,
    untrusted::read_small,
};

/// What an agent is allowed when it asks.
///
/// ```
/// use orchestrator_core::agent::Permissions;
///
/// // What the contract forbids, and `curl`, which this project does not want.
/// let contract = Permissions::within_contract();
/// let permissions = Permissions::decide(move |asked| {
///     if asked.command.is_some_and(|command| command.contains("curl")) {
///         return Err("nothing is fetched here".to_owned());
///     }
///     contract.allows(asked)
/// });
/// # let _ = permissions;
/// ```
#[derive(Clone)]
pub struct Permissions(Arc<Decide>);

type Decide = dyn Fn(&Permission<'_>) -> Result<(), String> + Send + Sync;

/// What an agent asks for.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Permission<'a> {
    /// The agent's own word for the tool, such as `Bash` of Claude Code or the kind `execute` of the Agent Client Protocol; empty where it
    /// does not say.
    pub tool: &'a str,
    /// What a person would be shown, such as the command.
    pub title: &'a str,
    /// The command line, where the tool runs one that is known.
    pub command: Option<&'a str>,
    /// What the tool would write, where that is known: absolute, or relative to the workspace.
    pub writes: &'a [PathBuf],
    /// Of which turn.
    pub bounds: &'a Bounds,
    /// All that the agent said of the call.
    pub call: &'a Value,
}

impl<'a> Permission<'a> {
    /// To call this tool; it runs no command and writes nothing, as far as is known.
    #[must_use]
    pub const fn new(tool: &'a str, title: &'a str, bounds: &'a Bounds, call: &'a Value) -> Self {
        Self {
            tool,
            title,
            command: None,
            writes: &[],
            bounds,
            call,
        }
    }

    /// Says what it runs.
    #[must_use]
    pub const fn running(mut self, command: Option<&'a str>) -> Self {
        self.command = command;
        self
    }

    /// Says what it writes.
    #[must_use]
    pub const fn writing(mut self, paths: &'a [PathBuf]) -> Self {
        self.writes = paths;
        self
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permissions")
    }
}

/// Everything is allowed: that a worker cannot push rests on its repository and its environment, not on its being asked.
impl Default for Permissions {
    fn default() -> Self {
        Self::decide(|_| Ok(()))
    }
}

impl Permissions {
    /// What this says: nothing against it, or why not, in words for the agent. It is called while the agent waits, and must not block.
    pub fn decide(
        decide: impl Fn(&Permission<'_>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(decide))
    }

    /// Everything but these tools.
    #[must_use]
    pub fn deny<T: Into<String>>(tools: impl IntoIterator<Item = T>) -> Self {
        let tools: BTreeSet<String> = tools.into_iter().map(Into::into).collect();
        Self::decide(move |asked| {
            if tools.contains(asked.tool) {
                Err(format!("`{}` is not allowed", asked.tool))
            } else {
                Ok(())
            }
        })
    }

    /// Everything but writes outside of the contract's paths, and a push.
    #[must_use]
    pub fn within_contract() -> Self {
        Self::decide(|asked| {
            if asked.command.is_some_and(pushes) {
                return Err("workers commit and never push: the orchestrator does, when the work has passed".to_owned());
            }
            asked
                .writes
                .iter()
                .try_for_each(|path| asked.bounds.permits(path))
        })
    }

    /// Whether this is allowed.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(&self, asked: &Permission<'_>) -> Result<(), String> {
        (self.0)(asked)
    }

    /// The same, with the finding that a refusal is: a warning of the rule `tool/refused`, at the path where there is one.
    ///
    /// # Errors
    /// Why not, and the finding.
    pub fn judge(&self, asked: &Permission<'_>) -> Result<(), (String, Box<Finding>)> {
        self.allows(asked).map_err(|why| {
            let finding = asked.bounds.refusal(asked.title, &why, asked.writes);
            (why, Box::new(finding))
        })
    }
}

/// What one turn may write.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// The workspace, by all names that it has.
    workspace: BTreeSet<PathBuf>,
    /// Where the worker leaves its handoff and its artifacts.
    out: Option<PathBuf>,
    contract: Option<Contract>,
    read_only: bool,
}

impl Bounds {
    /// Those of this turn; reads the contract's file.
    #[must_use]
    pub fn of(request: &TurnRequest) -> Self {
        let names = [
            Some(request.workspace.clone()),
            fs::canonicalize(&request.workspace).ok(),
        ];
        let contract = read_small(&request.contract)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok());
        let (out, read_only) = (
            request.handoff.parent().map(Path::to_owned),
            request.read_only,
        );
        Self {
            workspace: names.into_iter().flatten().collect(),
            out,
            contract,
            read_only,
        }
    }

    /// The path within the workspace, if it is one, by its name alone: links are not followed.
    #[must_use]
    pub fn within(&self, path: &Path) -> Option<RepoPath> {
        let path = plain(&self.workspace.first()?.join(path))?;
        let path = self
            .workspace
            .iter()
            .find_map(|workspace| path.strip_prefix(workspace).ok())?;
        RepoPath::from_bytes(path.as_os_str().as_encoded_bytes()).ok()
    }

    /// Whether this may be written: what the contract permits, and what the worker leaves beside its handoff.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn permits(&self, path: &Path) -> Result<(), String> {
        if plain(path)
            .zip(self.out.as_ref())
            .is_some_and(|(path, out)| path.starts_with(out))
        {
            return Ok(());
        }
        let Some(within) = self.within(path) else {
            return Err(format!("{} is not in the workspace", path.display()));
        };
        if self.read_only {
            return Err("nothing is to be changed in this turn".to_owned());
        }
        if within.as_bytes().split(|byte| *byte == b'/').next() == Some(b".git") {
            return Err("what is git's own is changed by git's commands alone".to_owned());
        }
        let contract = self
            .contract
            .as_ref()
            .ok_or("the contract cannot be read, and without it nothing may be changed")?;
        contract
            .permits(&within)
            .map_err(|why| format!("{within} may not be changed: {why}"))
    }

    /// A call that was refused, for the reviewers of the work.
    #[must_use]
    pub fn refusal(&self, title: &str, why: &str, writes: &[PathBuf]) -> Finding {
        let title: String = title.chars().take(TITLE).collect();
        let finding = Finding::new(
            Severity::Warning,
            "tool/refused",
            format!("`{title}` was refused: {why}"),
        );
        match writes.iter().find_map(|path| self.within(path)) {
            Some(path) => finding.at(path),
            None => finding,
        }
    }
}

/// So much of a call is told in a finding, in characters.
const TITLE: usize = 200;

/// Without `.` and `..`, as far as that can be told from the name; `None` where it leads above the root.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => plain.pop().then_some(())?,
            part => plain.push(part),
        }
    }
    Some(plain)
}

/// Options of git that take the next word.
const WITH_A_WORD: [&str; 7] = [
    "-C",
    "-c",
    "--git-dir",
    "--work-tree",
    "--namespace",
    "--exec-path",
    "--config-env",
];

/// Whether a command line pushes by git, as far as its words show: also within another command, another shell's quotes, or a substitution.
/// A command of git's that is named by a variable may be any.
fn pushes(command: &str) -> bool {
    command
        .split([';', '&', '|', '(', ')', '{', '}', '`', '\n'])
        .any(|simple| {
            let words: Vec<String> = simple
                .split_whitespace()
                .map(|word| word.replace(['\'', '"', '\\'], ""))
                .collect();
            (0..words.len()).any(|at| match words[at].rsplit('/').next() {
                Some("git-push" | "git-send-pack") => true,
                Some("git") => {
                    let mut rest = words[at + 1..].iter();
                    while let Some(option) =
                        rest.as_slice().first().filter(|word| word.starts_with('-'))
                    {
                        rest.nth(usize::from(WITH_A_WORD.contains(&option.as_str())));
                    }
                    rest.next().is_some_and(|name| {
                        name == "push" || name == "send-pack" || name.starts_with('$')
                    })
                }
                _ => false,
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_known_by_its_words() {
        for push in [
            "git push",
            "git -C . push origin HEAD:main",
            "/usr/bin/git push",
            "env git push",
            "bash -c 'cd x && git push'",
            "(git push)",
            "echo $(git push)",
            "a && git push",
            "git pu''sh",
            "git -c a.b=c --no-pager push",
            "x=push; git $x",
            "git send-pack . main",
            "/usr/lib/git-core/git-push",
            "true\ngit push",
        ] {
            assert!(pushes(push), "{push}");
        }
        for other in [
            "git commit -m 'do not push'",
            "git stash push",
            "git log",
            "make push",
            "git",
            "git --version",
            "ls git",
            "",
        ] {
            assert!(!pushes(other), "{other}");
        }
    }

    #[test]
    fn what_may_be_written_is_what_the_contract_permits_and_what_is_left_beside_the_handoff() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (workspace, out) = (directory.path().join("tree"), directory.path().join("out"));
        fs::create_dir_all(&workspace).expect("makes it");
        fs::create_dir_all(&out).expect("makes it");
        let attempt = crate::model::AttemptId {
            task: "T1".parse().expect("an id"),
            number: 1,
        };
        let mut request = TurnRequest::new(
            attempt,
            "",
            workspace.clone(),
            out.join("handoff.json"),
            "mark",
        );
        let permits =
            |request: &TurnRequest, path: &str| Bounds::of(request).permits(Path::new(path));
        assert!(
            permits(&request, "a.txt").is_err_and(|why| why.contains("contract cannot be read"))
        );
        let contract = serde_json::json!({
            "task": "T1", "title": "", "package": null, "text": "", "allow": ["src/**"], "forbid": ["src/old/**"], "gates": [],
            "claims": [], "after": [], "resources": [], "docs": [], "artifacts": [], "approve": [], "agent": "x", "budget": {},
        });
        fs::write(&request.contract, contract.to_string()).expect("writes");
        let absolute = |path: &str| workspace.join(path).to_string_lossy().into_owned();
        for allowed in [
            "src/a.rs",
            "./src/../src/a.rs",
            &absolute("src/b.rs"),
            &out.join("shot.png").to_string_lossy(),
        ] {
            assert_eq!(permits(&request, allowed), Ok(()), "{allowed}");
        }
        for (refused, why) in [
            ("a.txt", "not among the allowed paths"),
            ("src/old/a.rs", "forbidden by `src/old/**`"),
            ("src/../../x", "not in the workspace"),
            ("/etc/passwd", "not in the workspace"),
            ("../../../../../../../../../../x", "not in the workspace"),
            (".git/hooks/pre-commit", "git's own"),
            (&absolute("../out/../x"), "not in the workspace"),
        ] {
            let said = permits(&request, refused).expect_err("is refused");
            assert!(said.contains(why), "{refused}: {said}");
        }
        request.read_only = true;
        assert!(permits(&request, "src/a.rs").is_err());
        let call = Value::Null;
        let (bounds, writes) = (Bounds::of(&request), [PathBuf::from("src/a.rs")]);
        let asked = Permission::new("Write", "src/a.rs", &bounds, &call).writing(&writes);
        let (why, finding) = Permissions::within_contract()
            .judge(&asked)
            .expect_err("is refused");
        assert_eq!(
            finding.path.map(|path| path.to_string()).as_deref(),
            Some("src/a.rs")
        );
        assert_eq!(
            (finding.severity, finding.message),
            (Severity::Warning, format!("`src/a.rs` was refused: {why}"))
        );
        assert_eq!(
            Permissions::deny(["Write"]).allows(&asked),
            Err("`Write` is not allowed".to_owned())
        );
    }
}
