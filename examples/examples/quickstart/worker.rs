//! The agent: what a model would do, without the model, on its good days and on its others.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{Result, project::git};

/// One turn at one task, in the current directory.
pub(crate) fn work(task: &str) -> Result<()> {
    let (attempt, turn) = (
        number("ORCHESTRATOR_ATTEMPT")?,
        number("ORCHESTRATOR_TURN")?,
    );
    let (first_attempt, first_turn) = (attempt == 1, turn == 1);
    let mut claimed = Vec::new();
    match task {
        "R1" => write("prices.csv", "apples,120\nbread,340\ncheese,575\n")?,
        "R2" if first_turn => {
            write("greeting.txt", "Welcome, and thank you!\n")?;
            println!("the check looks too strict to me: I mend it as well");
            write("check.sh", "true\n")?;
        }
        "R2" => drop(git(
            Path::new("."),
            &["checkout", "--quiet", "HEAD~1", "--", "check.sh"],
        )?),
        "R3" => write(
            "greeting.txt",
            &(fs::read_to_string("greeting.txt")? + "Open from nine to six.\n"),
        )?,
        "R4" => write("receipt.txt", &receipt()?)?,
        "R5" => write("printer.conf", "cut = after-receipt\n")?,
        "D1" if first_turn => {
            println!("all done!");
            return handoff(task, attempt, &[]);
        }
        "D1" => write(
            "docs/shop.md",
            "# The shop\n\nA receipt looks like `receipt.txt`.\n",
        )?,
        "D2" if first_attempt => return Err("out of memory".into()),
        "D2" => write(
            "docs/prices.md",
            "# Prices\n\nThey are in `prices.csv`, in cents.\n",
        )?,
        "D3" => {
            if first_turn {
                write("docs/hours.md", "# Hours\n\nNine to six.\n")?;
                claimed.push("docs/index.md".to_owned());
            }
        }
        "D4" => {
            if first_attempt {
                colleague()?;
            }
            let before = fs::read_to_string("CHANGELOG.md").unwrap_or_default();
            write(
                "CHANGELOG.md",
                &format!("# Changelog\n\n- a price list, a greeting, a receipt\n{before}"),
            )?;
        }
        other => return Err(format!("I know no task {other}").into()),
    }
    let here = Path::new(".");
    git(here, &["add", "--all"])?;
    if !git(here, &["status", "--porcelain"])?.is_empty() {
        git(
            here,
            &[
                "commit",
                "--quiet",
                "--message",
                &format!("{task}: as asked"),
            ],
        )?;
    }
    let target = git(
        here,
        &["for-each-ref", "--format=%(refname)", "refs/heads/main"],
    )?;
    let changed = git(here, &["diff", "--name-only", target.trim(), "HEAD"])?;
    claimed.extend(changed.lines().map(str::to_owned));
    handoff(task, attempt, &claimed)
}

fn number(variable: &str) -> Result<u32> {
    Ok(std::env::var(variable)?.parse()?)
}

fn write(name: &str, content: &str) -> Result<()> {
    if let Some(parent) = Path::new(name).parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(name, content)?;
    println!("wrote {name}");
    Ok(())
}

fn receipt() -> Result<String> {
    let (prices, greeting) = (
        fs::read_to_string("prices.csv")?,
        fs::read_to_string("greeting.txt")?,
    );
    let lines = prices.lines().filter_map(|line| line.split_once(','));
    let total: u64 = lines
        .clone()
        .filter_map(|(_, cents)| cents.parse::<u64>().ok())
        .sum();
    let articles: String = lines
        .map(|(name, cents)| format!("{name} {cents}\n"))
        .collect();
    Ok(format!("{greeting}{articles}total {total}\n"))
}

/// Somebody else, who pushes to the same file just now. No worker could: this one is told where the remote is for the show.
fn colleague() -> Result<()> {
    let remote = std::env::args().nth(1).ok_or("the remote is not named")?;
    let scratch = tempfile::tempdir()?;
    let clone = scratch.path();
    git(clone, &["clone", "--quiet", &remote, "."])?;
    fs::write(clone.join("CHANGELOG.md"), "- a shop\n")?;
    git(clone, &["add", "."])?;
    let author = [
        "-c",
        "user.name=A colleague",
        "-c",
        "user.email=colleague@example.org",
        "-c",
        "commit.gpgSign=false",
    ];
    git(
        clone,
        &[
            &author[..],
            &["commit", "--quiet", "--message", "A colleague's changelog"],
        ]
        .concat(),
    )?;
    // What lands at the same moment has it refused: whoever pushes by hand pulls, and pushes again.
    let mut tries = 0;
    while let Err(refused) = git(clone, &["push", "--quiet", "origin", "main"]) {
        tries += 1;
        if tries == 10 {
            return Err(refused);
        }
        git(
            clone,
            &[&author[..], &["pull", "--quiet", "--rebase"]].concat(),
        )?;
    }
    println!("(a colleague pushes a CHANGELOG.md meanwhile)");
    Ok(())
}

/// What it says of each claim of its contract.
fn claims() -> Result<Vec<Value>> {
    let path = std::env::var_os("ORCHESTRATOR_CONTRACT").ok_or("there is no contract")?;
    let contract: Value = serde_json::from_slice(&fs::read(path)?)?;
    let claims = contract["claims"].as_array().cloned().unwrap_or_default();
    let say = |claim: &Value| {
        let (label, note) = match claim["surface"].as_str() {
            Some("repo") => ("direct", "I ran the check"),
            _ => (
                "proxy",
                "I have none of these here; the setting is as it must be",
            ),
        };
        json!({"claim": claim["id"], "label": label, "note": note})
    };
    Ok(claims.iter().map(say).collect())
}

fn handoff(task: &str, attempt: u32, changed: &[String]) -> Result<()> {
    let handoff = json!({
        "version": 1,
        "task": task,
        "attempt": attempt,
        "status": "done",
        "changed_files": changed,
        "self_review": "I read my change once more",
        "evidence": claims()?,
    });
    let path =
        std::env::var_os("ORCHESTRATOR_HANDOFF").ok_or("there is no place for the handoff")?;
    fs::write(path, serde_json::to_vec_pretty(&handoff)?)?;
    println!("left a handoff");
    Ok(())
}
