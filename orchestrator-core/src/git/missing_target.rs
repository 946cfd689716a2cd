//! A target that its remote does not have.

use super::{Trusted, parse::parse_missing, user::Destination};
use crate::{model::MissingTarget, process::Exit};

impl Trusted {
    /// What the remote at `url` has in the place of the target; `None` when it has the target, or does not answer.
    pub(super) async fn missing_target(&self, url: &str) -> Option<MissingTarget> {
        let target = self.target().full();
        let call = self
            .call()
            .args(["ls-remote", "--symref", "--quiet"])
            .args(self.settings.upload_pack())
            .args(["--end-of-options"]);
        let call = call.args([url.to_owned(), "HEAD".to_owned(), target.clone()]);
        let call = call.args([format!("{target}/*")]);
        let answer = self.settings.govern(call).reaches_out().answer();
        let answer = answer.await.ok()?;
        if answer.exit != Exit::Code(0) {
            return None;
        }
        let existed = self.tip().ok().flatten().is_some() || self.user_has_followed().await;
        let missing = MissingTarget::new(self.target().clone(), existed);
        parse_missing(&answer.text(), missing)
    }

    /// Whether the person's repository has fetched the target from the remote before.
    async fn user_has_followed(&self) -> bool {
        let Destination::Remote { name, .. } = &self.destination else {
            return false;
        };
        let call = self
            .user
            .call()
            .args(["rev-parse", "--verify", "--quiet", "--end-of-options"]);
        let call = call.args([format!("refs/remotes/{name}/{}", self.target())]);
        call.answer()
            .await
            .is_ok_and(|answer| answer.exit == Exit::Code(0))
    }
}
