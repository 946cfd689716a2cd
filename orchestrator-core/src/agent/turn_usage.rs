//! What a turn has used: by what its agent has told, or by the files of its session.

use super::{protocol::Reply, session_files::SessionCount};
use crate::{
    model::{TurnUsage, UsageSource},
    port::Update,
};

/// How a program ended, as far as it matters for what it has said of its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By itself: what it has said is all that it had to say.
    ByItself,
    /// It was asked to end.
    CutOff,
    /// It was killed: it may have used what it could write nowhere.
    Killed,
}

/// Asks the session's files what the turn has used, where the agent has not said all of it. They also
/// decide where turns before are not known: the agent may count those in.
pub(super) async fn count_the_rest(count: &SessionCount, reply: &mut Reply, end: End) {
    let told = reply.told.clone();
    let is_all = told.is_some() && reply.counted && end == End::ByItself;
    if is_all && !count.has_unknown() {
        return;
    }
    let read = match &reply.session {
        Some(session) => count.read(session).await,
        None => None,
    };
    let mut usage = better_known(told, read, is_all);
    let is_told = usage.source == UsageSource::Protocol && usage.turn.is_some();
    // An answer that was under way when the agent was told to stop is charged, and the agent does
    // not count it.
    usage.incomplete |= end != End::ByItself || (is_told && !reply.counted);
    // What says nothing need not be said.
    if usage != TurnUsage::default() {
        reply.updates.push_back(Update::Usage(usage));
    }
}

/// What the files say, where they know more than the agent has told. Where the agent has told all, and
/// turns before are not known, it may have counted those in: then it counts only where the files agree.
fn better_known(told: Option<TurnUsage>, read: Option<TurnUsage>, is_all: bool) -> TurnUsage {
    let (Some(said), Some(found)) = (&told, &read) else {
        let mut known = told.or(read).unwrap_or_default();
        // Who counts earlier turns in is not told of them twice.
        known.earlier = known.earlier.filter(|_| !is_all);
        return known;
    };
    let tokens = |usage: &TurnUsage| usage.turn.as_ref().map(|turn| turn.total().tokens());
    let agrees = if is_all {
        tokens(found) == tokens(said)
    } else {
        tokens(found) <= tokens(said)
    };
    let known = if agrees { told } else { read };
    known.unwrap_or_default()
}
