//! The person's git configuration holds where we fetch, push and sign: as git sees it in their repository, each value once.
//!
//! Two tests are their own children: with `SETTINGS_TOP` set they run under another global configuration, or another environment.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    thread,
};

use orchestrator_core::{
    git::{Git, Trusted, UserRepository},
    model::{EndReason, Push},
};
use orchestrator_testkit::{Sandbox, git, run_checked};

use crate::common::{WORK, builder, program, sandbox};

/// Runs a test of this file again as a process with this environment.
fn as_child(test: &str, top: &Path, variables: &[(&str, &str)]) {
    let mut child = crate::this_test(test);
    child
        .env("HOME", top)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("SETTINGS_TOP", top)
        .envs(variables.iter().copied());
    crate::assert_passes(child);
}

fn child_of() -> Option<PathBuf> {
    std::env::var_os("SETTINGS_TOP").map(PathBuf::from)
}

/// Makes settings that hold only where `main` is checked out.
fn include_on_main(sandbox: &Sandbox, settings: &str) {
    let included = sandbox.path().join("included");
    fs::write(&included, settings).expect("writes");
    let included = included.display().to_string();
    git(
        &sandbox.repo(),
        &["config", "includeIf.onbranch:main.path", &included],
    );
}

async fn opened(repository: &Path, dir: PathBuf) -> Trusted {
    let git = Git::find().await.expect("git");
    let user = UserRepository::open(git.clone(), repository)
        .await
        .expect("a repository");
    let push = Push::Remote("origin".to_owned());
    let destination = user.destination(&push).await.expect("a remote");
    let target = "main".parse().expect("a branch");
    Trusted::open(user, git, dir, target, destination, &BTreeMap::new())
        .await
        .expect("opens")
}

async fn lands(sandbox: &Sandbox) {
    let outcome = run_checked(sandbox, builder(sandbox, WORK, "")).await;
    assert_eq!(outcome.report.ended, EndReason::Complete);
}

#[tokio::test]
async fn ssh_command_of_the_repository_is_used_from_where_it_is_meant() {
    let sandbox = sandbox(&[("A", "")]);
    let log = sandbox.path().join("ssh.log");
    // Asked for its kind with -G, it is none that git knows; then it gets a host and a command.
    program(
        &sandbox.repo().join(".git/dial"),
        &format!(
            "[ \"$1\" = -G ] && exit 1\nshift\necho \"$*\" >> '{}'\nexec sh -c \"$*\"",
            log.display()
        ),
    );
    include_on_main(&sandbox, "[core]\n\tsshCommand = .git/dial\n");
    let url = format!("ssh://host.invalid{}", sandbox.remote().display());
    git(&sandbox.repo(), &["remote", "set-url", "origin", &url]);
    lands(&sandbox).await;
    let log = fs::read_to_string(log).expect("was called");
    assert!(
        log.contains("git-upload-pack") && log.contains("git-receive-pack"),
        "{log}"
    );
}

#[tokio::test]
async fn key_and_program_of_the_repository_sign_what_lands() {
    let sandbox = sandbox(&[("A", "")]);
    let signer = program(
        &sandbox.path().join("signer"),
        "while [ \"$1\" != -f ]; do shift; done\nkey=$2\nfor file; do :; done\n\
         printf -- '-----BEGIN SSH SIGNATURE-----\\n%s\\n-----END SSH SIGNATURE-----\\n' \"$(cat \"$key\")\" > \"$file.sig\"",
    );
    fs::write(sandbox.repo().join(".git/key"), "whose-key").expect("writes");
    let signer = signer.display();
    include_on_main(
        &sandbox,
        &format!(
            "[commit]\n\tgpgSign = true\n[gpg]\n\tformat = ssh\n[gpg \"ssh\"]\n\tprogram = {signer}\n\
             [user]\n\tsigningKey = .git/key\n"
        ),
    );
    lands(&sandbox).await;
    let landed = git(&sandbox.remote(), &["cat-file", "commit", "main"]);
    assert!(
        landed.contains("gpgsig -----BEGIN SSH SIGNATURE-----\n whose-key"),
        "{landed}"
    );
}

#[tokio::test]
async fn programs_that_a_remote_is_answered_by_are_used() {
    let sandbox = sandbox(&[("A", "")]);
    let log = sandbox.path().join("pack.log");
    for service in ["upload-pack", "receive-pack"] {
        let called = program(
            &sandbox.path().join(service),
            &format!(
                "echo {service} >> '{}'\nexec git {service} \"$@\"",
                log.display()
            ),
        );
        let key = format!("remote.origin.{}", service.replace('-', ""));
        git(
            &sandbox.repo(),
            &["config", &key, &called.display().to_string()],
        );
    }
    lands(&sandbox).await;
    let log = fs::read_to_string(log).expect("was called");
    assert!(
        log.contains("upload-pack") && log.contains("receive-pack"),
        "{log}"
    );
}

/// The head of an HTTP request.
fn request(stream: &TcpStream) -> Vec<String> {
    let lines = BufReader::new(stream).lines();
    let head = lines.map_while(|line| line.ok().filter(|line| !line.is_empty()));
    head.collect()
}

/// A proxy that asks for a login once, and then says that there is nothing; gives what the second request said.
fn proxy(listener: &TcpListener) -> Vec<String> {
    let (mut first, _) = listener.accept().expect("is asked");
    request(&first);
    first
        .write_all(b"HTTP/1.1 401 no\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .expect("listens");
    drop(first);
    let (mut second, _) = listener.accept().expect("is asked again");
    let head = request(&second);
    second
        .write_all(b"HTTP/1.1 404 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .expect("listens");
    head
}

#[tokio::test]
async fn http_settings_hold_once_from_wherever_they_come() {
    if let Some(top) = child_of() {
        let trusted = opened(&top.join("repo"), top.join("trusted.git")).await;
        let error = trusted.fetch_target().await.expect_err("there is none");
        assert!(error.to_string().contains("not found"), "{error}");
        return;
    }
    let sandbox = sandbox(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("has one"));
    let repo = sandbox.repo();
    // Rewritten once, the address is what it should be; twice, it is another.
    let global = "[http]\n\textraHeader = X-Everywhere: yes\n\
                  [url \"http://right.invalid/\"]\n\tinsteadOf = short:\n\
                  [url \"http://wrong.invalid/\"]\n\tinsteadOf = http://right.invalid/\n";
    fs::write(sandbox.path().join("gitconfig"), global).expect("writes");
    include_on_main(
        &sandbox,
        "[credential]\n\thelper = \"!f() {\\n cat >/dev/null; echo username=me; echo password=pass; }; f\"\n",
    );
    git(&repo, &["config", "http.extraHeader", "X-Here: yes"]);
    git(&repo, &["config", "remote.origin.proxy", &address]);
    git(&repo, &["remote", "set-url", "origin", "short:project.git"]);
    let served = thread::spawn(move || proxy(&listener));
    let global = sandbox.path().join("gitconfig").display().to_string();
    as_child(
        "settings::http_settings_hold_once_from_wherever_they_come",
        sandbox.path(),
        &[("GIT_CONFIG_GLOBAL", &global)],
    );
    let head = served.join().expect("served");
    assert!(
        head[0].starts_with("GET http://right.invalid/project.git/info/refs"),
        "{head:?}"
    );
    for line in [
        "Authorization: Basic bWU6cGFzcw==",
        "X-Everywhere: yes",
        "X-Here: yes",
    ] {
        let times = head.iter().filter(|said| *said == line).count();
        assert_eq!(times, 1, "{line}: {head:?}");
    }
}

#[tokio::test]
async fn identity_is_what_git_would_take() {
    if let Some(top) = child_of() {
        let trusted = opened(&top.join("repo"), top.join("trusted.git")).await;
        let identity = trusted.identity();
        let author = identity.author.as_ref().expect("is another");
        assert_eq!(
            (&*identity.committer.name, &*identity.committer.email),
            ("Env", "env@example.org")
        );
        assert_eq!(
            (&*author.name, &*author.email),
            ("Author", "author@example.org")
        );
        return;
    }
    let sandbox = sandbox(&[]);
    let repo = sandbox.repo();
    git(&repo, &["config", "user.useConfigOnly", "true"]);
    git(&repo, &["config", "--unset", "user.name"]);
    git(&repo, &["config", "author.name", "Author"]);
    git(&repo, &["config", "author.email", "author@example.org"]);
    as_child(
        "settings::identity_is_what_git_would_take",
        sandbox.path(),
        &[
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_COMMITTER_NAME", "Env"),
            ("GIT_COMMITTER_EMAIL", "env@example.org"),
        ],
    );
}

#[tokio::test]
async fn logins_are_asked_for_and_not_changed_where_it_is_only_looked() {
    let sandbox = sandbox(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("has one"));
    let repo = sandbox.repo();
    let log = sandbox.path().join("helper.log");
    let helper = format!(
        "!f() {{ echo $1 >> '{}'; cat > /dev/null; echo username=me; echo password=pass; }}; f",
        log.display()
    );
    git(&repo, &["config", "credential.helper", &helper]);
    git(&repo, &["config", "http.proxy", &address]);
    git(
        &repo,
        &[
            "remote",
            "set-url",
            "origin",
            "http://host.invalid/project.git",
        ],
    );
    let served = thread::spawn(move || proxy(&listener));
    let trusted = opened(&repo, sandbox.path().join("trusted.git")).await;
    let trusted = trusted.leaving_logins().await.expect("writes");
    // The login serves, so that git would have it kept.
    trusted.fetch_target().await.expect_err("there is none");
    served.join().expect("served");
    assert_eq!(fs::read_to_string(log).expect("was asked"), "get\n");
}

#[tokio::test]
async fn settings_are_kept_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = sandbox(&[]);
    opened(&sandbox.repo(), sandbox.path().join("trusted.git")).await;
    let file = sandbox.path().join("trusted.git/settings");
    let mode = fs::metadata(file).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
