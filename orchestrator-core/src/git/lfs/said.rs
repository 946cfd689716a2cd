//! What git-lfs says when it fails, as people may read it.

use crate::{
    git::{GitError, output::Answer},
    process::Exit,
};

/// What git-lfs complained, if it failed.
pub(super) fn complaint(answer: Result<Answer, GitError>) -> Result<Result<(), String>, GitError> {
    match answer {
        Ok(answer) if answer.exit == Exit::Code(0) => Ok(Ok(())),
        Ok(answer) => Ok(Err(without_passwords(&words(&answer.stderr)))),
        Err(error @ (GitError::TimedOut { .. } | GitError::Silent { .. })) => {
            Ok(Err(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// What git-lfs says, without where its log is: that is in a directory of ours.
fn words(stderr: &str) -> String {
    let said = stderr.lines().filter(|line| {
        !(line.is_empty()
            || line.starts_with("Errors logged to ")
            || line.starts_with("Use `git lfs logs last`"))
    });
    crate::model::clean(&said.collect::<Vec<_>>().join("\n"))
}

/// A text in which addresses have no user and no password: git-lfs prints them as the settings have
/// them.
fn without_passwords(text: &str) -> String {
    let mut parts = text.split("://");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let host = part
            .find(|c: char| c == '/' || c.is_whitespace() || c == '\'' || c == '"')
            .unwrap_or(part.len());
        let begin = part[..host].rfind('@').map_or(0, |at| at + 1);
        clean.push_str("://");
        clean.push_str(&part[begin..]);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_are_not_repeated() {
        let said = "batch 'https://ada:s3cret@example.org/x/info/lfs': 403 http://b/c@d";
        let expected = "batch 'https://example.org/x/info/lfs': 403 http://b/c@d";
        assert_eq!(without_passwords(said), expected);
    }
}
