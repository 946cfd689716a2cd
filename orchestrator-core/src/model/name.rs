//! Names that people write: parsed once, valid ever after.
//!
//! Each name is a newtype over text that obeys one of two grammars, so that code behind the border never asks
//! whether a task id may become part of a ref, or a gate name part of a file name. A name is shared, not copied.

use std::{
    fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    str::FromStr,
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::text::is_hidden;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{value}` is no valid {what}: {why}")]
#[non_exhaustive]
pub struct InvalidName {
    /// What the text was to become, such as `task id`.
    pub what: &'static str,
    /// The text as given, cut after 80 characters, control characters replaced.
    pub value: String,
    /// The rule that it breaks.
    pub why: &'static str,
}

fn invalid(what: &'static str, value: &str, why: &'static str) -> InvalidName {
    let value = value
        .chars()
        .take(80)
        .map(|c| if is_unfit(c) { '\u{fffd}' } else { c })
        .collect();
    InvalidName { what, value, why }
}

fn is_unfit(c: char) -> bool {
    c.is_control() || is_hidden(c)
}

/// May stand as one component of a ref and of a file name.
fn check_component(what: &'static str, text: &str) -> Result<(), InvalidName> {
    let fail = |why| Err(invalid(what, text, why));
    if text.is_empty() || text.len() > 64 {
        return fail("it must have 1 to 64 characters");
    }
    if !text.as_bytes()[0].is_ascii_alphanumeric() {
        return fail("it must begin with a letter or a digit");
    }
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    {
        return fail("only letters, digits, `.`, `_` and `-` are allowed");
    }
    if text.contains("..") || text.ends_with('.') || text.ends_with(".lock") {
        return fail("it may not contain `..` or end with `.` or `.lock`");
    }
    Ok(())
}

/// May stand in front of a `.` in a marker: no other one begins with the same name and a `.`.
fn check_marker(what: &'static str, text: &str) -> Result<(), InvalidName> {
    check_component(what, text)?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.bytes().all(fits) {
        return Ok(());
    }
    Err(invalid(
        what,
        text,
        "only lower-case letters, digits and `-` are allowed",
    ))
}

/// May stand on one line in front of a person.
fn check_line(what: &'static str, text: &str) -> Result<(), InvalidName> {
    if text.trim().is_empty() || text.len() > 128 {
        return Err(invalid(what, text, "it must have 1 to 128 characters"));
    }
    if text.trim() != text || text.chars().any(is_unfit) {
        return Err(invalid(
            what,
            text,
            "it may not begin or end with space, or hold control or invisible characters",
        ));
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $Name:ident = $what:literal, $check:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        #[schemars(with = "String")]
        pub struct $Name(Arc<str>);

        impl $Name {
            /// Checks the text against the grammar of this name.
            ///
            /// # Errors
            /// [`InvalidName`] with the rule that the text breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
                let text = text.as_ref();
                $check($what, text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Serialize for $Name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $Name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                super::text::parsed(from)
            }
        }

        impl FromStr for $Name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $Name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$Name> for String {
            fn from(name: $Name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    )*};
}

names! {
    /// A task's id in the roadmap, such as `R1`. One component of a ref: letters, digits, `.`, `_`, `-`, at most 64.
    TaskId = "task id", check_component;
    /// The name of a gate in the policy, such as `unit`. The grammar of [`TaskId`].
    GateName = "gate name", check_component;
    /// A kind of agent, such as `command`. The grammar of [`TaskId`].
    AgentKind = "kind of agent", check_component;
    /// The name of an agent in the policy, such as `worker`. The grammar of [`TaskId`].
    BackendName = "agent name", check_component;
    /// The id of a claim within one contract, such as `totals`. The grammar of [`TaskId`].
    ClaimId = "claim id", check_component;
    /// One run of the orchestrator: 16 hexadecimal digits from the system's randomness.
    RunId = "run id", check_component;
    /// One ledger, wherever its store is: lower-case letters, digits and `-`, at most 64. Markers of processes begin with it.
    LedgerId = "ledger id", check_marker;
    /// The group of tasks that makes one product advance. One line, at most 128 bytes.
    PackageName = "package name", check_line;
    /// Something that only one open task may hold, such as `migrations` or `device:printer`. One line.
    ResourceName = "resource name", check_line;
    /// Where a claim is to be seen true, or where a gate looks: `repo` unless said. One line.
    Surface = "surface", check_line;
}

impl LedgerId {
    /// A new one: 32 hexadecimal digits from the system's randomness.
    #[must_use]
    pub fn random() -> Self {
        let [high, low] = [(); 2].map(|()| RandomState::new().build_hasher().finish());
        Self(format!("{high:016x}{low:016x}").into())
    }
}

impl Surface {
    /// The surface of this repository: what a gate observes, and a claim is about, unless it says otherwise.
    ///
    /// ```
    /// assert_eq!(orchestrator_core::model::Surface::repo().as_str(), "repo");
    /// ```
    #[must_use]
    pub fn repo() -> Self {
        Self("repo".into())
    }
}

/// A branch, by its full name under `refs/heads/`. Short names are ambiguous to git, and one that begins with `-`
/// is an option to it: so the full ref is what we ever pass.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct BranchName(Box<str>);

impl BranchName {
    /// Takes `main` or `refs/heads/main`.
    ///
    /// # Errors
    /// [`InvalidName`] when git would refuse the name, or read it as something else.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        let text = text.as_ref();
        let short = text.strip_prefix("refs/heads/").unwrap_or(text);
        let fail = |why| Err(invalid("branch name", text, why));
        if short.is_empty() || short.len() > 200 {
            return fail("it must have 1 to 200 characters");
        }
        if short
            .chars()
            .any(|c| is_unfit(c) || " ~^:?*[\\".contains(c))
            || short.contains("@{")
            || short == "@"
        {
            return fail(
                "no space, control or invisible character, `~^:?*[\\` or `@{` is allowed in it",
            );
        }
        if short
            .split('/')
            .any(|part| part.is_empty() || part.starts_with(['.', '-']) || part.ends_with(".lock"))
        {
            return fail(
                "no part between slashes may be empty, begin with `.` or `-`, or end with `.lock`",
            );
        }
        if short.contains("..") || short.ends_with('.') {
            return fail("it may not contain `..` or end with `.`");
        }
        Ok(Self(short.into()))
    }

    /// The short name, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0
    }

    /// The full ref, for git.
    #[must_use]
    pub fn full(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for BranchName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl TryFrom<String> for BranchName {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl From<BranchName> for String {
    fn from(name: BranchName) -> String {
        name.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_is_one_ref_component() {
        for good in ["R1", "a", "fix-2.1_b"] {
            assert!(TaskId::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-x",
            "a/b",
            "a..b",
            "a.lock",
            "a.",
            "é",
            &"x".repeat(65),
        ] {
            assert!(TaskId::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_branch_is_never_an_option_or_a_revision() {
        assert_eq!(
            BranchName::new("refs/heads/a/b").map(|b| b.full()),
            Ok("refs/heads/a/b".to_owned())
        );
        for bad in [
            "", "-x", "a/-x", "a..b", "a b", "a~1", "a@{1}", "@", "/a", "a/", "a/.b", "x.lock",
        ] {
            assert!(BranchName::new(bad).is_err(), "{bad}");
        }
    }
}
