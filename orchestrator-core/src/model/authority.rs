//! Files by which other tools are told what to do: who may change them may have more done than the task's own code does.

use std::{fmt, sync::LazyLock};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Pattern, RepoPath, folded};

/// What a file tells other tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PrivilegedKind {
    /// How git treats files, and which repositories belong to this one.
    Git,
    /// What runs in CI.
    Ci,
    /// Who must agree to a change.
    Approval,
    /// What agents obey.
    Agents,
    /// What editors and shells run.
    Editors,
    /// What git runs at a commit or a push.
    Hooks,
    /// Which programs build the project.
    Build,
    /// The policy names it.
    Policy,
}

impl fmt::Display for PrivilegedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Git => {
                "it decides how git treats files: filters, merge drivers, other repositories"
            }
            Self::Ci => "it decides what runs in CI, with what the CI is trusted with",
            Self::Approval => "it decides who must agree to a change",
            Self::Agents => "agents obey it, also those that review and those that come after",
            Self::Editors => {
                "it makes editors and shells run something when somebody enters the directory"
            }
            Self::Hooks => "git runs it, or what it names, at each commit or push",
            Self::Build => {
                "it decides which programs build the project, and where packages come from"
            }
            Self::Policy => "the policy says that a person is asked",
        })
    }
}

/// A changed file by which other tools are told what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivilegedPath {
    /// The file.
    pub path: RepoPath,
    /// What it tells them.
    pub kind: PrivilegedKind,
}

/// What such files are, and their patterns. In lower case: names are compared as file systems do that are not exact with them.
/// `**/` stands where the tool reads such a file in any directory.
const TABLE: [(PrivilegedKind, &[&str]); 7] = [
    (
        PrivilegedKind::Git,
        &[
            "**/.gitattributes",
            "**/gitatt~1",
            "**/.gitmodules",
            "**/gitmod~1",
            "**/.lfsconfig",
        ],
    ),
    (
        PrivilegedKind::Ci,
        &[
            ".github/workflows/**",
            ".github/actions/**",
            "action.{yml,yaml}",
            ".github/dependabot.{yml,yaml}",
            ".gitlab-ci.yml",
            ".gitlab/**",
            ".circleci/**",
            "**/jenkinsfile",
            "**/jenkinsfile.*",
            "azure-pipelines.{yml,yaml}",
            "azure-pipelines/**",
            ".azure-pipelines/**",
            ".azuredevops/**",
            ".drone.{yml,yaml,star,jsonnet}",
            ".woodpecker*",
            ".woodpecker/**",
            "bitbucket-pipelines.yml",
            ".buildkite/**",
            ".travis.yml",
            ".forgejo/**",
            ".gitea/**",
            "{.,}appveyor.yml",
            ".cirrus.{yml,yaml,star}",
            ".semaphore/**",
            ".teamcity/**",
            ".tekton/**",
            ".builds/**",
            ".build.yml",
            "cloudbuild.{yml,yaml,json}",
            "buildspec.{yml,yaml}",
            "codemagic.yaml",
            "bitrise.yml",
            "{renovate,.renovaterc}.{json,json5}",
            ".renovaterc",
        ],
    ),
    (
        PrivilegedKind::Approval,
        &[
            "codeowners",
            ".github/codeowners",
            "docs/codeowners",
            ".mergify.yml",
            ".github/mergify.yml",
        ],
    ),
    (
        PrivilegedKind::Agents,
        &[
            "**/agents.md",
            "**/agents.override.md",
            "**/agent.md",
            "**/.agents/**",
            "**/.agent/**",
            "**/claude.md",
            "**/claude.local.md",
            "**/.claude/**",
            "**/.claude-plugin/**",
            "**/.codex/**",
            "**/.cursor/**",
            "**/.cursorrules",
            "**/.mcp.json",
            "**/opencode.{json,jsonc}",
            "**/.opencode/**",
            "**/gemini.md",
            "**/.gemini/**",
            "**/qwen.md",
            "**/.qwen/**",
            ".github/copilot-instructions.md",
            ".github/{instructions,prompts,chatmodes,agents,skills,hooks}/**",
            "**/.windsurf/**",
            "**/.windsurfrules",
            "**/.clinerules",
            "**/.clinerules/**",
            "**/.roo/**",
            "**/.roorules",
            "**/.continue/**",
            "**/.aider.conf.yml",
            "**/.junie/**",
            "**/.kiro/**",
            "**/.amazonq/**",
            "**/.augment/**",
            "**/.augment-guidelines",
            "**/.goosehints",
            "**/{.,}crush.json",
            "**/crush.md",
            "**/.factory/**",
            "**/.trae/**",
            "**/.rules",
        ],
    ),
    (
        PrivilegedKind::Editors,
        &[
            "**/.vscode/**",
            "**/*.code-workspace",
            "**/.idea/**",
            "**/.fleet/**",
            "**/.zed/**",
            ".devcontainer/**",
            ".devcontainer.json",
            ".gitpod.yml",
            "**/.envrc",
            "**/.dir-locals.el",
            "**/{.exrc,.vimrc,.nvimrc,.nvim.lua,.lvimrc}",
            "**/{.gdbinit,.lldbinit}",
        ],
    ),
    (
        PrivilegedKind::Hooks,
        &[
            "**/.husky/**",
            "**/.githooks/**",
            "**/.pre-commit-config.{yaml,yml}",
            "{.,}lefthook.{yml,yaml,toml,json}",
            ".lefthook/**",
        ],
    ),
    (
        PrivilegedKind::Build,
        &[
            "**/.cargo/**",
            "**/rust-toolchain",
            "**/rust-toolchain.toml",
            "**/.tool-versions",
            "**/{.,}mise.toml",
            "**/{.,}mise.*.toml",
            "**/.mise/**",
            "mise/config.toml",
            "**/.config/mise/**",
            "**/.npmrc",
            "**/.yarnrc",
            "**/.yarnrc.yml",
            "**/.yarn/{plugins,releases}/**",
            "**/.pnpmfile.{cjs,mjs}",
            "**/bunfig.toml",
            "**/.pypirc",
            "**/pip.{conf,ini}",
            "**/.bundle/**",
            "**/.mvn/**",
            "**/gradle/wrapper/**",
            "**/nuget.config",
            "**/.bazelrc",
            "**/.bazelversion",
            "**/.swiftpm/**",
        ],
    ),
];

static PATTERNS: LazyLock<Vec<(PrivilegedKind, Pattern)>> = LazyLock::new(|| {
    let parsed = |text: &&str| text.parse().expect("the table has valid patterns");
    let row = |(kind, texts): &(PrivilegedKind, &[&str])| {
        texts
            .iter()
            .map(|text| (*kind, parsed(text)))
            .collect::<Vec<_>>()
    };
    TABLE.iter().flat_map(row).collect()
});

/// Which changes a person is asked about though the contract allows them: files by which other tools are told what to do. A
/// contract that names such a file, or the directory that makes it one (`.github/**`, `docs/AGENTS.md`), has said so already;
/// wildcards (`**`, `docs/**/*.md`) have not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Authority {
    /// Paths that a person is asked about as well, such as `["deploy/**"]`; in any case.
    pub ask: Vec<Pattern>,
    /// Paths that a person is not asked about, such as `[".vscode/**"]`; wins over `ask` and over the built-in list.
    pub except: Vec<Pattern>,
}

impl Authority {
    /// Why a person is asked before this path changes under a contract that allows these; `None` if they are not.
    #[must_use]
    pub fn asks(&self, path: &RepoPath, allow: &[Pattern]) -> Option<PrivilegedKind> {
        if self.except.iter().any(|pattern| pattern.matches(path)) {
            return None;
        }
        let form = path
            .as_bytes()
            .split(|byte| *byte == b'/')
            .map(folded)
            .collect::<Vec<_>>()
            .join(&b'/');
        let form = RepoPath::from_bytes(&form).unwrap_or_else(|_| path.clone());
        let built_in = PATTERNS
            .iter()
            .filter(|(_, pattern)| pattern.matches(&form))
            .map(|(kind, pattern)| (*kind, telling(pattern, &form)));
        let own = self
            .ask
            .iter()
            .map(lower)
            .filter(|pattern| pattern.matches(&form));
        let own = own.map(|pattern| (PrivilegedKind::Policy, telling(&pattern, &form)));
        // Another pattern may take another part of the path for what tells.
        let mut asked = built_in.chain(own);
        asked
            .find(|(_, telling)| !allow.iter().any(|pattern| names(pattern, path, *telling)))
            .map(|(kind, _)| kind)
    }
}

/// The pattern in lower case, as it is held against names in their folded form.
fn lower(pattern: &Pattern) -> Pattern {
    pattern
        .as_str()
        .to_lowercase()
        .parse()
        .unwrap_or_else(|_| pattern.clone())
}

/// How many components of the path lead to the one that makes it what the pattern is about: for `**/.claude/**` down to `.claude`,
/// for `.github/workflows/**` only `.github`.
fn telling(pattern: &Pattern, path: &RepoPath) -> usize {
    let Some(beneath) = pattern.as_str().strip_prefix("**/") else {
        return 1;
    };
    let name: Option<Pattern> = beneath.split('/').next().and_then(|name| name.parse().ok());
    let is_it = |part: &[u8]| {
        RepoPath::from_bytes(part)
            .is_ok_and(|part| name.as_ref().is_some_and(|name| name.matches(&part)))
    };
    let mut parts = path.as_bytes().split(|byte| *byte == b'/');
    let all = parts.clone().count();
    parts.position(is_it).map_or(all, |at| at + 1)
}

/// Whether a pattern of a contract leads to the path, and spells out this many of its components.
fn names(pattern: &Pattern, path: &RepoPath, components: usize) -> bool {
    let parts: Vec<_> = path
        .as_bytes()
        .split(|byte| *byte == b'/')
        .take(components)
        .collect();
    pattern.matches(path)
        && pattern
            .ends()
            .any(|(words, _)| words.take(components).eq(parts.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    fn asked(authority: &Authority, path: &str, allow: &[&str]) -> bool {
        authority
            .asks(&path.parse().expect("a path"), &patterns(allow))
            .is_some()
    }

    #[test]
    fn what_tells_other_tools_what_to_do_is_asked_about_in_any_case_and_where_the_tool_reads_it() {
        let of = |path: &str| asked(&Authority::default(), path, &["**"]);
        for path in [
            ".github/workflows/ci.yml",
            ".GitHub/Workflows/ci.yml",
            ".gitlab-ci.yml",
            ".circleci/config.yml",
            "Jenkinsfile",
            "azure-pipelines.yml",
            ".drone.yml",
            ".woodpecker.yml",
            ".woodpecker/a.yml",
            "bitbucket-pipelines.yml",
            ".buildkite/pipeline.yml",
            ".travis.yml",
            ".forgejo/workflows/a.yml",
            ".gitea/workflows/a.yml",
            "AGENTS.md",
            "deep/down/agents.md",
            "CLAUDE.md",
            "a/.claude/settings.json",
            ".codex/config.toml",
            ".cursor/rules/x.mdc",
            ".cursorrules",
            ".mcp.json",
            "opencode.jsonc",
            ".opencode/agent/a.md",
            "GEMINI.md",
            ".github/copilot-instructions.md",
            ".cargo/config.toml",
            "crates/x/.cargo/config",
            ".vscode/tasks.json",
            ".idea/workspace.xml",
            ".devcontainer/devcontainer.json",
            ".envrc",
            ".tool-versions",
            "mise.toml",
            ".mise.toml",
            ".husky/pre-commit",
            ".githooks/pre-push",
            ".pre-commit-config.yaml",
            ".npmrc",
            "web/.yarnrc.yml",
            ".pypirc",
            "rust-toolchain.toml",
            ".gitattributes",
            "a/.gitmodules",
            ".lfsconfig",
            "CLAUDE.md.",
            "GITATT~1",
            ".claude\u{200d}/settings.json",
            "CODEOWNERS",
        ] {
            assert!(of(path), "{path}");
        }
        for path in [
            "src/lib.rs",
            ".mailmap",
            ".gitignore",
            "Cargo.toml",
            "package.json",
            "docs/agents/overview.md",
            ".github/logo.png",
            "docs/.github/workflows/a.yml",
            ".editorconfig",
            "src/codex/config.toml",
            "README.md",
        ] {
            assert!(!of(path), "{path}");
        }
    }

    #[test]
    fn a_contract_that_names_it_has_said_so_and_wildcards_have_not() {
        for (path, allow, is_asked) in [
            (".github/workflows/ci.yml", ".github/**", false),
            (
                ".github/workflows/ci.yml",
                ".github/workflows/ci.yml",
                false,
            ),
            (".github/workflows/ci.yml", "{src,.github}/**", false),
            (".github/workflows/ci.yml", ".git*/**", true),
            (".github/workflows/ci.yml", "*/**", true),
            ("AGENTS.md", "AGENTS.md", false),
            ("AGENTS.md", "*", true),
            ("AGENTS.md", "**/*.md", true),
            ("AGENTS.md", "**/AGENTS.md", true),
            ("docs/AGENTS.md", "docs/**", true),
            ("docs/AGENTS.md", "docs/AGENTS.md", false),
            ("docs/.claude/x", "docs/.claude/**", false),
            ("docs/.claude/x", "docs/**", true),
            // The workflow is named, and not the instructions among them.
            (".github/workflows/AGENTS.md", ".github/**", true),
        ] {
            assert_eq!(
                asked(&Authority::default(), path, &["src/**", allow]),
                is_asked,
                "{path} under {allow}"
            );
        }
    }

    #[test]
    fn the_policy_makes_the_list_longer_and_shorter() {
        let authority = Authority {
            ask: patterns(&["Deploy/**", "**/*.sql"]),
            except: patterns(&[".vscode/**"]),
        };
        for (path, allow, is_asked) in [
            ("deploy/prod.toml", "**", true),
            ("deploy/prod.toml", "deploy/**", false),
            ("db/a.sql", "db/**", true),
            ("db/a.sql", "db/a.sql", false),
            (".vscode/tasks.json", "**", false),
            (".VSCODE/tasks.json", "**", true),
            (".envrc", "**", true),
        ] {
            assert_eq!(
                asked(&authority, path, &[allow]),
                is_asked,
                "{path} under {allow}"
            );
        }
    }
}
