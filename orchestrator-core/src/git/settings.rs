//! How the person's git reaches remotes and signs, as it sees it in their repository.
//!
//! Our own repository lies elsewhere: git would find neither the settings of the person's repository there, nor what an `includeIf`
//! brings in for it. So the effective values are read once, before any worker exists, and written to a file that takes the place of
//! the global configuration for calls that speak to the remote or sign. Each value is there once, in git's order: a header or a
//! credential helper that came from two places would be used twice.

use std::{
    ffi::{OsStr, OsString},
    io::Write as _,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use super::{Destination, GitError, UserRepository, cli::Call, error::io_error, output::split_nul};

/// Sections that count whole. `url.*` is not among them: addresses are resolved before they come here, and would be rewritten twice.
/// Neither is `i18n.*`: our messages are UTF-8.
const SECTIONS: [&str; 10] = [
    "author",
    "committer",
    "credential",
    "gpg",
    "http",
    "lfs",
    "pack",
    "protocol",
    "ssh",
    "user",
];

/// Single settings that count.
const KEYS: [&str; 9] = [
    "core.askpass",
    "core.bigfilethreshold",
    "core.compression",
    "core.gitproxy",
    "core.sshcommand",
    "fetch.negotiationalgorithm",
    "push.gpgsign",
    "push.negotiate",
    "push.pushoption",
];

/// What git obeys only where the system or the person says it, for all repositories: a remote that is a directory is under it as well.
const PROTECTED: [&str; 4] = ["receive", "safe", "transfer", "uploadpack"];

/// What git may do with the logins that the person's helpers keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logins {
    /// As it does for the person: those that served are kept, those that did not are forgotten.
    Kept,
    /// Ask for them, and change none.
    Left,
}

/// One value of a setting, as `git config --list` gives it: section and variable in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    key: Vec<u8>,
    /// `None` where it is only named, which means true.
    value: Option<Vec<u8>>,
}

/// What calls that speak to the remote, or sign, go by.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    file: PathBuf,
    /// Where relative paths in values are meant from.
    base: PathBuf,
    upload_pack: Option<OsString>,
    receive_pack: Option<OsString>,
}

impl Settings {
    /// Reads them in the person's repository, and writes them to this file, for its owner alone: it may hold a password.
    pub(super) async fn fix(
        user: &UserRepository,
        destination: &Destination,
        file: PathBuf,
        logins: Logins,
    ) -> Result<Self, GitError> {
        let listed = user
            .call()
            .args(["config", "--list", "--null", "--show-scope", "--includes"])
            .bytes()
            .await?;
        let all = parse(&listed);
        let mut kept: Vec<Setting> = all
            .iter()
            .filter(|(scope, setting)| counts(scope, &setting.key))
            .map(|(_, setting)| setting.clone())
            .collect();
        let mut settings = Self {
            file,
            base: user.base().to_owned(),
            upload_pack: None,
            receive_pack: None,
        };
        if let Destination::Remote {
            name,
            fetch_url,
            push_url,
        } = destination
        {
            let of_remote = |variable: &str| last(&all, &format!("remote.{name}.{variable}"));
            settings.upload_pack = of_remote("uploadpack").map(OsString::from_vec);
            settings.receive_pack = of_remote("receivepack").map(OsString::from_vec);
            for variable in ["proxy", "proxyauthmethod"] {
                let value = of_remote(variable);
                kept.extend(value.iter().flat_map(|value| {
                    [fetch_url, push_url].map(|url| of_url(url, variable, value))
                }));
            }
        }
        if logins == Logins::Left {
            kept.iter_mut().for_each(only_ask);
        }
        write(&settings.file, &text(&kept))?;
        Ok(settings)
    }

    /// Puts a call under them.
    pub(super) fn govern<'a>(&self, call: Call<'a>) -> Call<'a> {
        call.in_directory(&self.base)
            .var("GIT_CONFIG_GLOBAL", &self.file)
            .var("GIT_CONFIG_SYSTEM", "/dev/null")
            .var("GIT_CONFIG_NOSYSTEM", "1")
    }

    /// The option that names the program which the remote answers a fetch with, where the person names one.
    pub(super) fn upload_pack(&self) -> Option<OsString> {
        option("--upload-pack=", self.upload_pack.as_deref())
    }

    /// The same for a push.
    pub(super) fn receive_pack(&self) -> Option<OsString> {
        option("--receive-pack=", self.receive_pack.as_deref())
    }
}

fn option(name: &str, program: Option<&OsStr>) -> Option<OsString> {
    let mut option = OsString::from(name);
    option.push(program?);
    Some(option)
}

/// The output of `git config --list --null --show-scope`: a scope, then a key with its value after a line's end.
fn parse(listed: &[u8]) -> Vec<(Vec<u8>, Setting)> {
    let mut parts = split_nul(listed);
    let mut all = Vec::new();
    while let (Some(scope), Some(said)) = (parts.next(), parts.next()) {
        let mut halves = said.splitn(2, |byte| *byte == b'\n');
        let key = halves.next().unwrap_or_default().to_vec();
        let value = halves.next().map(<[u8]>::to_vec);
        all.push((scope.to_vec(), Setting { key, value }));
    }
    all
}

/// Makes a credential helper one that is only asked: git tells each what served, and what did not, to be kept or erased.
fn only_ask(setting: &mut Setting) {
    let is_helper = setting.key.starts_with(b"credential.") && setting.key.ends_with(b".helper");
    let helper = match &setting.value {
        Some(helper) if is_helper && !helper.is_empty() => helper,
        Some(_) | None => return,
    };
    // In git's own way to make a command of it.
    let command = match helper.as_slice() {
        [b'!', command @ ..] => command.to_vec(),
        [b'/', ..] => helper.clone(),
        name => [b"git credential-", name].concat(),
    };
    setting.value = Some(
        [
            b"!only_ask() { [ \"$1\" = get ] || { cat > /dev/null; return; }; ",
            &*command,
            b" \"$1\"\n}; only_ask",
        ]
        .concat(),
    );
}

/// Whether a setting has to do with remotes or signatures.
fn counts(scope: &[u8], key: &[u8]) -> bool {
    let Some(Key { section, .. }) = Key::of(key) else {
        return false;
    };
    let is = |name: &&str| name.as_bytes() == section;
    let protected = matches!(scope, b"system" | b"global");
    SECTIONS.iter().any(is)
        || KEYS.iter().any(|name| name.as_bytes() == key)
        || (protected && PROTECTED.iter().any(is))
}

/// The parts of a key.
struct Key<'a> {
    section: &'a [u8],
    subsection: Option<&'a [u8]>,
    variable: &'a [u8],
}

impl<'a> Key<'a> {
    fn of(key: &'a [u8]) -> Option<Self> {
        let first = key.iter().position(|byte| *byte == b'.')?;
        let last = key.iter().rposition(|byte| *byte == b'.')?;
        Some(Self {
            section: &key[..first],
            subsection: (first < last).then(|| &key[first + 1..last]),
            variable: &key[last + 1..],
        })
    }
}

/// The value that counts where one counts.
fn last(all: &[(Vec<u8>, Setting)], key: &str) -> Option<Vec<u8>> {
    let found = all
        .iter()
        .rfind(|(_, setting)| setting.key == key.as_bytes());
    found.and_then(|(_, setting)| setting.value.clone())
}

/// What a remote's own setting is for a remote that is known by its address alone.
fn of_url(url: &str, variable: &str, value: &[u8]) -> Setting {
    Setting {
        key: format!("remote.{url}.{variable}").into_bytes(),
        value: Some(value.to_vec()),
    }
}

/// As a configuration file.
fn text(settings: &[Setting]) -> Vec<u8> {
    let mut text = b"# Written anew at every start: changes here are lost.\n".to_vec();
    for Setting { key, value } in settings {
        let Some(Key {
            section,
            subsection,
            variable,
        }) = Key::of(key)
        else {
            continue;
        };
        text.push(b'[');
        text.extend_from_slice(section);
        if let Some(subsection) = subsection {
            text.extend_from_slice(b" \"");
            text.extend(escaped(subsection));
            text.push(b'"');
        }
        text.extend_from_slice(b"]\n\t");
        text.extend_from_slice(variable);
        if let Some(value) = value {
            text.extend_from_slice(b" = \"");
            text.extend(escaped(value));
            text.push(b'"');
        }
        text.push(b'\n');
    }
    text
}

/// Between double quotes, as git-config(1) reads it back.
fn escaped(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len());
    for byte in value {
        match byte {
            b'\n' => text.extend_from_slice(b"\\n"),
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', *byte]),
            byte => text.push(*byte),
        }
    }
    text
}

/// Replaces the file; nobody but its owner ever reads it. A temporary file is created with mode 0600.
fn write(path: &Path, content: &[u8]) -> Result<(), GitError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(io_error(path))?;
    file.write_all(content).map_err(io_error(path))?;
    file.persist(path)
        .map_err(|error| io_error(path)(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Git;

    /// What git reads in a file that holds these settings.
    async fn read_back(settings: &[Setting]) -> Vec<Setting> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("settings");
        write(&file, &text(settings)).expect("writes");
        let git = Git::find().await.expect("git");
        let call = git.call(directory.path()).args(["config", "--file"]);
        let listed = call.args([file]).args(["--list", "--null"]).bytes().await;
        let listed = listed.expect("reads");
        let with_scope: Vec<u8> = split_nul(&listed)
            .flat_map(|part| [b"file\0", part, b"\0"].concat())
            .collect();
        let read = parse(&with_scope).into_iter();
        read.map(|(_, setting)| setting).collect()
    }

    #[tokio::test]
    async fn settings_are_read_back_as_they_were() {
        let setting = |key: &str, value: Option<&[u8]>| Setting {
            key: key.as_bytes().to_vec(),
            value: value.map(<[u8]>::to_vec),
        };
        let settings = [
            setting("credential.helper", Some(b"")),
            setting(
                "credential.https://a.example/x y.helper",
                Some(b"!f() {\n\techo \"a;b\" # c\n}; f"),
            ),
            setting("http.https://a.example.extraheader", Some(b" Two: spaces ")),
            setting("http.sslverify", None),
            setting("remote.C:\\a \"b\".proxy", Some(b"\xff\xfe")),
        ];
        assert_eq!(read_back(&settings).await, settings);
    }

    #[test]
    fn settings_that_count_are_of_remotes_and_signatures() {
        let counted = |scope: &str, key: &str| counts(scope.as_bytes(), key.as_bytes());
        for key in [
            "core.sshcommand",
            "gpg.ssh.program",
            "user.signingkey",
            "http.https://x.y.proxy",
        ] {
            assert!(counted("local", key) && counted("worktree", key), "{key}");
        }
        for key in [
            "core.hookspath",
            "core.worktree",
            "alias.push",
            "url.a.insteadof",
            "include.path",
            "safe.directory",
        ] {
            assert!(!counted("local", key), "{key}");
        }
        assert!(counted("global", "safe.directory"));
    }
}
