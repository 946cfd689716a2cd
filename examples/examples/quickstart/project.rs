//! The small project that is worked on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::Result;

/// What the roadmap's tasks are there to show.
pub(crate) const PROGRAMME: &str = "  R1  lands at once, beside R2
  R2  touches a forbidden path, is sent back to the same session, and lands mended
  R3  may change the same file as R2, so the two are never at work together
  R4  comes after R1 and R3: it starts from a base that contains them
  R5  claims what only a printer can show: a person is asked
  D1  says that it is done without having committed
  D2  crashes; another attempt lands
  D3  lies about its files
  D4  meets a colleague who pushes to the same file: a new attempt starts where the target is now
";

const ROADMAP: &str = r#"# Roadmap of a small shop

## Package: receipts

- [ ] **R1** Keep a price list
  ```toml
  allow = ["prices.csv"]
  claims = [{ id = "prices", text = "every line of the price list has a price" }]
  ```
  One article a line, as `name,cents`.

- [ ] **R2** Greet the customer
  ```toml
  allow = ["greeting.txt"]
  ```
  One friendly line.

- [ ] **R3** Say when we are open
  ```toml
  allow = ["greeting.txt"]
  ```
  Beneath the greeting.

- [ ] **R4** Print a receipt
  ```toml
  allow = ["receipt.txt"]
  after = ["R1", "R3"]
  claims = [{ id = "total", text = "the receipt's total is the sum of the prices" }]
  ```
  The greeting, the articles, and their total.

- [ ] **R5** Cut the paper
  ```toml
  allow = ["printer.conf"]
  claims = [{ id = "cuts", text = "the printer cuts the paper behind each receipt", surface = "device:printer" }]
  ```
  The printer's setting for it.

## Package: documentation

- [ ] **D1** Describe the shop
  ```toml
  allow = ["docs/shop.md"]
  ```

- [ ] **D2** Describe the prices
  ```toml
  allow = ["docs/prices.md"]
  ```

- [ ] **D3** Describe the hours
  ```toml
  allow = ["docs/hours.md"]
  ```

- [ ] **D4** Begin a changelog
  ```toml
  allow = ["CHANGELOG.md"]
  ```
"#;

/// What the gate runs, on the tree that is about to land.
const CHECK: &str = r#"set -eu
if [ -e prices.csv ]; then awk -F, 'NF != 2 || $2 !~ /^[0-9]+$/ { exit 1 }' prices.csv; fi
if [ -e receipt.txt ]; then
    sum=$(awk -F, '{ sum += $2 } END { print sum }' prices.csv)
    grep -qx "total $sum" receipt.txt
    head -n 2 receipt.txt | cmp - greeting.txt
fi
"#;

/// A bare remote, a person's clone of it, and a place for the orchestrator's state.
pub(crate) struct Project {
    pub(crate) remote: PathBuf,
    pub(crate) repository: PathBuf,
    pub(crate) state: PathBuf,
}

impl Project {
    pub(crate) fn make(top: &Path) -> Result<Self> {
        let project = Self {
            remote: top.join("remote.git"),
            repository: top.join("shop"),
            state: top.join("state"),
        };
        git(
            top,
            &[
                "init",
                "--quiet",
                "--bare",
                "--initial-branch=main",
                &project.remote.to_string_lossy(),
            ],
        )?;
        git(
            top,
            &[
                "init",
                "--quiet",
                "--initial-branch=main",
                &project.repository.to_string_lossy(),
            ],
        )?;
        let repository = &project.repository;
        for (key, value) in [
            ("user.name", "Quickstart"),
            ("user.email", "quickstart@example.org"),
            ("commit.gpgSign", "false"),
        ] {
            git(repository, &["config", key, value])?;
        }
        for (name, content) in [
            ("ROADMAP.md", ROADMAP),
            ("check.sh", CHECK),
            ("README.md", "# A small shop\n"),
        ] {
            fs::write(repository.join(name), content)?;
        }
        git(repository, &["add", "."])?;
        git(repository, &["commit", "--quiet", "--message", "Begin"])?;
        git(
            repository,
            &["remote", "add", "origin", &project.remote.to_string_lossy()],
        )?;
        git(repository, &["push", "--quiet", "origin", "main"])?;
        Ok(project)
    }
}

pub(crate) fn git(directory: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .output()?;
    if !output.status.success() {
        return Err(format!(
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
