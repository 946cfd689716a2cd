//! What nobody means to commit: conflict markers, secrets, files that are far too large or that a tool has made.

use std::collections::HashMap;

use async_trait::async_trait;

use super::past::add_past;
use crate::{
    model::{Change, ChangeKind, Entry, Finding, Mode, RepoPath, Severity, is_binary},
    port::{ReviewError, ReviewRequest, Reviewer},
};

/// Names that only tools give. Where a repository keeps such a file already, a change of it is no finding.
const MADE: [&str; 6] = [
    "node_modules",
    "__pycache__",
    ".DS_Store",
    ".venv",
    ".pytest_cache",
    "Thumbs.db",
];

/// Reads what was added, line by line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Contents;

#[async_trait]
impl Reviewer for Contents {
    fn name(&self) -> &str {
        "contents"
    }

    async fn review(&self, request: &ReviewRequest) -> Result<Vec<Finding>, ReviewError> {
        let mut findings = Vec::new();
        for change in &request.submission.changes {
            findings.extend(judge(request, change).await?);
        }
        let history = request.view.history().await?;
        for past in &history.changes {
            let found = judge(request, &past.change).await?;
            add_past(&mut findings, found, past, history.onto);
        }
        Ok(findings)
    }
}

/// What is wrong with a file as it is after a change, and was not before.
async fn judge(request: &ReviewRequest, change: &Change) -> Result<Vec<Finding>, ReviewError> {
    let mut findings: Vec<_> = made_by_a_tool(change).into_iter().collect();
    let Some(new) = change.new.filter(is_file) else {
        return Ok(findings);
    };
    let Some(content) = request.view.blob(new.id, request.readable.0).await? else {
        let why = format!(
            "a file of more than {}: nobody can review it",
            request.readable
        );
        findings.push(Finding::new(Severity::Error, "size/file", why).at(change.path.clone()));
        return Ok(findings);
    };
    // Most files have nothing of the kind, and need not be compared.
    if is_binary(&content) || !lines(&content).any(|(_, line)| is_suspicious(line)) {
        return Ok(findings);
    }
    // What the file had before is not the worker's.
    let before = match change.old.filter(is_file) {
        Some(old) => request
            .view
            .blob(old.id, request.readable.0)
            .await?
            .unwrap_or_default(),
        None => Vec::new(),
    };
    findings.extend(in_lines(
        &change.path,
        new_lines(&before, &content).into_iter(),
    ));
    Ok(findings)
}

fn is_file(entry: &Entry) -> bool {
    matches!(entry.mode, Mode::File | Mode::Executable)
}

/// New files beneath a directory that tools fill.
fn made_by_a_tool(change: &Change) -> Option<Finding> {
    let new = matches!(change.kind, ChangeKind::Added | ChangeKind::Renamed { .. });
    let made =
        |part: &[u8]| MADE.iter().any(|name| name.as_bytes() == part) || part.ends_with(b".pyc");
    let found = new && change.path.as_bytes().split(|byte| *byte == b'/').any(made);
    let why = "this looks like something that a tool has made: let git ignore it";
    found.then(|| Finding::new(Severity::Error, "paths/generated", why).at(change.path.clone()))
}

fn in_lines<'a>(path: &RepoPath, lines: impl Iterator<Item = (u32, &'a [u8])>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut marked = false;
    for (number, line) in lines {
        let at = |rule: &str, why: String| {
            Finding::new(Severity::Error, rule, why)
                .at(path.clone())
                .on(number)
        };
        if is_marker(line) && !marked {
            marked = true;
            findings.push(at(
                "content/conflict-marker",
                "a conflict that was not resolved".to_owned(),
            ));
        }
        if let Some(kind) = secret(line) {
            let why = format!(
                "this looks like {kind}: take it out of every commit of the branch, and consider it known to others"
            );
            findings.push(at("content/secret", why));
        }
    }
    findings
}

/// A line of equals signs is a heading in many a text: only the other markers tell.
fn is_marker(line: &[u8]) -> bool {
    [&b"<<<<<<< "[..], b">>>>>>> ", b"||||||| "]
        .iter()
        .any(|marker| line.starts_with(marker))
}

/// What a secret of a known form begins with, and at least how many letters, digits, `-` and `_` follow.
const TOKENS: [(&str, usize, &str); 12] = [
    ("AKIA", 16, "an AWS access key"),
    ("ASIA", 16, "an AWS access key"),
    ("ghp_", 36, "a GitHub token"),
    ("gho_", 36, "a GitHub token"),
    ("ghs_", 36, "a GitHub token"),
    ("github_pat_", 22, "a GitHub token"),
    ("glpat-", 20, "a GitLab token"),
    ("xoxb-", 20, "a Slack token"),
    ("sk-ant-", 20, "an Anthropic key"),
    ("sk-proj-", 20, "an OpenAI key"),
    ("AIza", 35, "a Google key"),
    ("npm_", 36, "an npm token"),
];

/// What secret a line seems to hold. Forms that are beyond doubt only: a reviewer that cries wolf is switched off.
fn secret(line: &[u8]) -> Option<&'static str> {
    let line = String::from_utf8_lossy(line);
    if line.contains("-----BEGIN ") && line.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    let known = |(prefix, length, kind): &(&'static str, usize, &'static str)| {
        let long = |from: usize| {
            let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            let begins = line[..from]
                .bytes()
                .next_back()
                .is_none_or(|before| !word(before));
            begins
                && line[from + prefix.len()..]
                    .bytes()
                    .take_while(|byte| word(*byte))
                    .count()
                    >= *length
        };
        line.match_indices(prefix)
            .any(|(from, _)| long(from))
            .then_some(*kind)
    };
    TOKENS.iter().find_map(known)
}

fn is_suspicious(line: &[u8]) -> bool {
    is_marker(line) || secret(line).is_some()
}

fn lines(content: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    (1..).zip(content.split(|byte| *byte == b'\n'))
}

/// The suspicious lines that a file has more often than before, with their numbers.
fn new_lines<'a>(before: &[u8], content: &'a [u8]) -> Vec<(u32, &'a [u8])> {
    let mut known: HashMap<&[u8], usize> = HashMap::new();
    for (_, line) in lines(before).filter(|(_, line)| is_suspicious(line)) {
        *known.entry(line).or_default() += 1;
    }
    let mut new = Vec::new();
    for (number, line) in lines(content).filter(|(_, line)| is_suspicious(line)) {
        match known.get_mut(line) {
            Some(left) if *left > 0 => *left -= 1,
            Some(_) | None => new.push((number, line)),
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_were_there_before_are_nobodys_and_as_often_as_they_were() {
        let before = b"<<<<<<< one\ntext\n<<<<<<< two\n";
        let after = b"<<<<<<< two\n<<<<<<< one\n<<<<<<< one\nmore\n<<<<<<< three";
        let new: Vec<_> = new_lines(before, after)
            .into_iter()
            .map(|(number, line)| (number, line.escape_ascii().to_string()))
            .collect();
        assert_eq!(
            new,
            [
                (3, "<<<<<<< one".to_owned()),
                (5, "<<<<<<< three".to_owned())
            ]
        );
    }

    #[test]
    fn a_secret_is_told_from_what_only_begins_like_one() {
        // Put together here, so that no scanner of this repository is troubled.
        let letters = |prefix: &str, length: usize| {
            format!(
                "key = \"{prefix}{}\"",
                "A1b2".repeat(length)[..length].to_owned()
            )
        };
        for (prefix, length, kind) in TOKENS {
            assert_eq!(
                secret(letters(prefix, length).as_bytes()),
                Some(kind),
                "{prefix}"
            );
            assert_eq!(
                secret(letters(prefix, length - 1).as_bytes()),
                None,
                "{prefix}, too short"
            );
            assert_eq!(
                secret(letters(&format!("x{prefix}"), length).as_bytes()),
                None,
                "{prefix} within a word"
            );
        }
        assert_eq!(
            secret(format!("-----BEGIN RSA {} KEY-----", "PRIVATE").as_bytes()),
            Some("a private key")
        );
        assert_eq!(secret(b"-----BEGIN CERTIFICATE-----"), None);
    }

    #[test]
    fn an_unresolved_conflict_is_named_once_and_a_heading_is_none() {
        let path: RepoPath = "a.md".parse().expect("a path");
        let lines = [
            "Title",
            "=======",
            "<<<<<<< HEAD",
            "a",
            "=======",
            "b",
            ">>>>>>> theirs",
        ];
        let found = in_lines(&path, (1..).zip(lines.iter().map(|line| line.as_bytes())));
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["content/conflict-marker: a.md:3: a conflict that was not resolved"]
        );
    }
}
