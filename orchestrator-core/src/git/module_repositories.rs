//! Our own repositories of submodules.

use super::{
    GitError, Module, Objects, Trusted,
    cli::Call,
    config,
    error::io_error,
    modules::{ADDRESS, Source, wrong},
};

impl Trusted {
    /// Gets the commit of a submodule into our repository of it, if it is not there.
    pub(super) async fn have(&self, module: &Module) -> Result<(), GitError> {
        let source = &module.source;
        self.make_module(source).await?;
        let objects = Objects::open_small(&source.dir)?;
        if objects.has(module.commit) {
            return Ok(());
        }
        let id = module.commit.to_string();
        if let Some(person) = &source.person {
            let person = person.to_string_lossy().into_owned();
            for what in ["+refs/remotes/origin/*:refs/remotes/origin/*", &id] {
                let fetched = self.module_fetch(source, &person, &[what]).transfers_any();
                drop(fetched.run().await);
            }
            if objects.has(module.commit) {
                return Ok(());
            }
        }
        let why = match self.fetch_module(module).await {
            Ok(()) => "its remote has no such commit".to_owned(),
            Err(GitError::Repository { why, .. }) => why,
            Err(error) => error.to_string(),
        };
        if objects.has(module.commit) {
            return Ok(());
        }
        let at = module.commit.short();
        Err(wrong(
            &module.path,
            format!(
                "its commit {at} cannot be had: {why}; `git submodule update --init --recursive` in your checkout brings it"
            ),
        ))
    }

    /// Brings our repository of a submodule up to its remote.
    ///
    /// # Errors
    /// [`GitError::Repository`] when the person has no address of it, and as `git fetch`.
    pub(super) async fn fetch_module(&self, module: &Module) -> Result<(), GitError> {
        let source = &module.source;
        self.make_module(source).await?;
        let Some(url) = &source.url else {
            let why = "neither the target nor your configuration has an address of it".to_owned();
            return Err(wrong(&module.path, why));
        };
        let refs = [
            "+refs/heads/*:refs/remotes/origin/*",
            "+refs/tags/*:refs/tags/*",
        ];
        self.module_fetch(source, url, &refs)
            .reaches_out()
            .run()
            .await
    }

    /// Whether a commit is in what the submodule's remote had when it was fetched last.
    pub(super) async fn is_in_remote(&self, module: &Module) -> Result<bool, GitError> {
        if !Objects::open_small(&module.source.dir)?.has(module.commit) {
            return Ok(false);
        }
        let call = self
            .call_in(&module.source.dir)
            .args(["for-each-ref", "--count=1"]);
        let call = call.args([format!("--contains={}", module.commit)]);
        let listed = call
            .args(["refs/remotes/origin", "refs/tags"])
            .text()
            .await?;
        Ok(!listed.is_empty())
    }

    fn module_fetch(&self, source: &Source, from: &str, what: &[&str]) -> Call<'_> {
        let call = self.call_in(&source.dir).fetching();
        let call = call.args(["--prune", "--end-of-options", from]);
        call.args(what.iter().copied())
    }

    async fn make_module(&self, source: &Source) -> Result<(), GitError> {
        let dir = &source.dir;
        if !dir.join("HEAD").exists() {
            std::fs::create_dir_all(dir).map_err(io_error(dir))?;
            let init = self
                .call_in(dir)
                .args(["init", "--quiet", "--bare", "--template="]);
            init.args(["--object-format=sha1"])
                .args([dir])
                .run()
                .await?;
        }
        let config = dir.join("config");
        let text = config::trusted(&self.identity, &self.filters);
        std::fs::write(&config, text).map_err(io_error(&config))?;
        match &source.url {
            Some(url) => {
                let address = dir.join(ADDRESS);
                std::fs::write(&address, url).map_err(io_error(&address))
            }
            None => Ok(()),
        }
    }
}
