//! Who commits, as git would say in the person's repository.

use super::{GitError, Identity, Person, UserRepository};
use crate::process::Exit;

impl UserRepository {
    /// Who commits here: by the environment, by the person's configuration, or by what git makes of the system, in git's own order.
    ///
    /// # Errors
    /// [`GitError::Repository`] when git does not know, with its words and the fix.
    pub async fn identity(&self) -> Result<Identity, GitError> {
        let committer = self.person("GIT_COMMITTER_IDENT").await?;
        let author = self.person("GIT_AUTHOR_IDENT").await?;
        let sign = self
            .call()
            .args(["config", "--get", "--type=bool", "commit.gpgSign"])
            .answer()
            .await?;
        Ok(Identity {
            author: (author != committer).then_some(author),
            committer,
            sign: sign.stdout.starts_with(b"true"),
        })
    }

    async fn person(&self, variable: &str) -> Result<Person, GitError> {
        let answer = self
            .call()
            .args(["var", variable])
            .identifies()
            .answer()
            .await?;
        if answer.exit == Exit::Code(0)
            && let Some(person) = parse_person(&answer.text())
        {
            return Ok(person);
        }
        let git = answer
            .stderr
            .lines()
            .rfind(|line| line.starts_with("fatal:"))
            .unwrap_or("fatal: no name");
        Err(GitError::Repository {
            path: self.git_dir().display().to_string(),
            why: format!(
                "git does not know who you are: set `git config --global user.name` and `user.email` ({git})"
            ),
        })
    }
}

/// `Name <email> seconds zone`.
fn parse_person(ident: &str) -> Option<Person> {
    let (name, rest) = ident.trim_end().split_once(" <")?;
    let (email, _) = rest.rsplit_once("> ")?;
    Some(Person {
        name: name.to_owned(),
        email: email.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_person_takes_name_and_address() {
        let person = |name: &str, email: &str| {
            let (name, email) = (name.to_owned(), email.to_owned());
            Some(Person { name, email })
        };
        assert_eq!(
            parse_person("A <b> C <a@b.c> 1700000000 +0100\n"),
            person("A", "b> C <a@b.c")
        );
        assert_eq!(parse_person("Ada <> 1 +0000"), person("Ada", ""));
        assert_eq!(parse_person("Ada a@b.c"), None);
    }
}
