//! What every [`AgentBackend`] whose agent is a program must do.
//!
//! The suite puts a program of its own in the agent's place. It knows *what* is to be said; how this agent says it, the
//! [`AgentFixture`] knows: its phrases are the bytes that the real agent would write.

use std::{fmt::Debug, path::Path, sync::Arc, time::Duration};

use orchestrator_core::{
    model::{SessionRef, TurnOutcome},
    port::{AgentBackend, AgentError, Silence, TurnInput, Update},
};

use super::{
    Checked, Violation, must,
    stage::{GRACE, HANDOFF, Heard, Stage, all_steps, begun, heard, steps, until_said, whole},
    suite,
};
use crate::{Play, Player, Step};

/// A backend, and how its agent says things.
pub trait AgentFixture: Debug + Send + Sync {
    /// How this test binary plays the agent: `player()`, where [`scripted_worker!`](crate::scripted_worker) was written.
    fn player(&self) -> Player;

    /// The backend, running this program instead of the agent's own.
    fn backend(&self, program: &Path) -> Arc<dyn AgentBackend>;

    /// What the agent does in order to say this. `None` only where [`Phrase`] allows it.
    fn phrase(&self, phrase: Phrase<'_>) -> Option<Vec<Step>>;

    /// Variables that the backend itself gives to its agent, besides the request's.
    fn variables(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the agent answers at once to a first argument, such as `--version`.
    fn answers(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// What an agent says in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phrase<'a> {
    /// It reads its prompt, and its session begins.
    Begin {
        /// The session's name, where the agent chooses it.
        session: &'a str,
    },
    /// It says this, in words; the backend makes an [`Update::Activity`] of it that contains it.
    Say(&'a str),
    /// It listens to what is said to it, until it has heard one thing. `None` where it does not listen while it works.
    Listen,
    /// It says something that no version says yet.
    Unknown,
    /// It does not know the session that it was to go on with, and ends. `None` where every session can be gone on with.
    SessionLost,
    /// It leaves this handoff, in the way in which it leaves handoffs, and ends the turn as it should.
    End {
        /// The handoff's bytes: JSON, on one line.
        handoff: &'a str,
    },
}

suite! { $ agent_conformance in agent: AgentFixture;
    /// Updates, one end, then nothing, for ever.
    a_turn_ends_exactly_once,
    /// What the agent says is told, in its order, after the session.
    what_it_says_is_told_in_order,
    /// A turn that is completed has left its handoff where it should be, also one that may only read.
    the_handoff_is_where_it_should_be,
    /// The raw output is kept, where somebody wants it.
    the_raw_stream_is_kept,
    /// A stop before the first update ends the turn, and nobody lives.
    it_can_be_stopped_before_its_first_update,
    /// A second stop, and one of a turn that is over, do nothing.
    it_can_be_stopped_twice,
    /// An agent that does not want to end, and its children in sessions of their own, are gone when `stop` returns.
    stopping_leaves_no_process,
    /// Nobody lives for long after a turn was dropped.
    dropping_leaves_no_process,
    /// An agent that ends and leaves children behind leaves none when the end is told.
    an_end_leaves_no_process,
    /// More than a pipe holds passes, in all three directions.
    more_than_a_pipe_holds_passes,
    /// A line of 16 MiB is no end of anything.
    a_line_of_sixteen_mebibytes_passes,
    /// Neither are bytes that are no text, and half a line.
    garbage_is_no_end,
    /// What a later version says is no failure.
    an_unknown_event_is_no_crash,
    /// A program that ends without having ended the turn, or with a failure, or by a signal, has not completed it.
    a_program_that_breaks_off_has_not_completed,
    /// A session that the agent does not know is told as such.
    a_lost_session_is_told,
    /// Two turns at once share nothing.
    two_turns_do_not_mix,
    /// The agent sees what the request allows, and nothing of ours.
    the_environment_is_not_inherited,
    /// The agent works in the workspace.
    it_runs_in_the_workspace,
    /// What the capabilities say of resuming is true, both ways.
    resuming_is_as_the_capabilities_say,
    /// What the capabilities say of listening is true, both ways.
    listening_is_as_the_capabilities_say,
    /// Name and capabilities stay as they are.
    it_describes_itself_the_same_way_twice,
    /// A reader that takes its time loses no update.
    a_slow_reader_loses_nothing,
    /// `next`, dropped while it waits, loses no update.
    a_dropped_next_loses_nothing,
    /// A program that is not there is an error of the probe and of the start, and nothing lives.
    a_missing_program_is_an_error,
    /// The probe of an agent that is there finds it, and changes nothing.
    the_probe_finds_the_agent,
}

async fn a_turn_ends_exactly_once(fixture: &dyn AgentFixture) -> Checked {
    let stage = Stage::new(
        fixture,
        whole(fixture, &[Phrase::Say("one"), Phrase::Say("two")])?,
    )?;
    let heard = heard(&mut *stage.start().await?).await?;
    heard.completed()
}

async fn what_it_says_is_told_in_order(fixture: &dyn AgentFixture) -> Checked {
    let stage = Stage::new(
        fixture,
        whole(
            fixture,
            &[Phrase::Say("one"), Phrase::Say("two"), Phrase::Say("three")],
        )?,
    )?;
    let heard = heard(&mut *stage.start().await?).await?;
    heard.has_in_order(["one", "two", "three"])?;
    must(
        heard.sessions.len() == 1 && !heard.sessions[0].is_empty(),
        || format!("its sessions are {:?}", heard.sessions),
    )
}

async fn the_handoff_is_where_it_should_be(fixture: &dyn AgentFixture) -> Checked {
    let stage = Stage::new(fixture, whole(fixture, &[Phrase::Say("one")])?)?;
    let (first, second) = (stage.request(1)?, stage.request(2)?.reading_only());
    for request in [first, second] {
        let place = request.handoff.clone();
        heard(&mut *stage.backend.start(request).await?)
            .await?
            .completed()?;
        let left = std::fs::read_to_string(&place).unwrap_or_default();
        let (same, wanted) = (
            serde_json::from_str::<serde_json::Value>(&left).ok(),
            serde_json::from_str(HANDOFF)?,
        );
        must(same == Some(wanted), || {
            format!("{} holds `{left}`", place.display())
        })?;
    }
    Ok(())
}

async fn the_raw_stream_is_kept(fixture: &dyn AgentFixture) -> Checked {
    let play = begun(fixture, &[Phrase::Say("to be kept")])?
        .then([Step::Complain(b"a complaint to be kept\n".to_vec())]);
    let stage = Stage::new(
        fixture,
        play.then(steps(fixture, Phrase::End { handoff: HANDOFF })?),
    )?;
    let request = stage.request(1)?;
    let streams = request.streams.clone().unwrap_or_default();
    let mut turn = stage.backend.start(request).await?;
    heard(&mut *turn).await?;
    drop(turn);
    let mut kept = String::new();
    for entry in std::fs::read_dir(&streams)? {
        kept += &String::from_utf8_lossy(&std::fs::read(entry?.path())?);
    }
    let whole = kept.contains("to be kept") && kept.contains("a complaint to be kept");
    must(whole, || {
        format!("in {} is kept: `{kept}`", streams.display())
    })
}

async fn it_can_be_stopped_before_its_first_update(fixture: &dyn AgentFixture) -> Checked {
    let stage = Stage::new(fixture, begun(fixture, &[])?.then([Step::Hang]))?;
    let mut turn = stage.start().await?;
    turn.control().stop(GRACE).await;
    stage.nobody_lives("after `stop` has returned")?;
    let heard = heard(&mut *turn).await?;
    must(heard.outcome == Some(TurnOutcome::Stopped), || {
        format!("it ended with {:?}, not stopped", heard.outcome)
    })
}

async fn it_can_be_stopped_twice(fixture: &dyn AgentFixture) -> Checked {
    let stage = Stage::new(
        fixture,
        begun(fixture, &[Phrase::Say("ready")])?.then([Step::Hang]),
    )?;
    let mut turn = stage.start().await?;
    until_said(&mut *turn, "ready").await?;
    let control = turn.control();
    tokio::join!(control.stop(GRACE), control.stop(GRACE));
    let heard = heard(&mut *turn).await?;
    must(heard.outcome == Some(TurnOutcome::Stopped), || {
        format!("it ended with {:?}, not stopped", heard.outcome)
    })?;
    control.stop(GRACE).await;
    let more = turn.next().await;
    must(more.is_none(), || {
        format!("after a stop behind its end it said {more:?}")
    })?;

    let stage = Stage::new(fixture, whole(fixture, &[])?)?;
    let mut turn = stage.start().await?;
    let heard = self::heard(&mut *turn).await?;
    turn.control().stop(GRACE).await;
    heard.completed()
}

/// It has children in sessions of their own, does not want to end, and has said so.
fn with_children(fixture: &dyn AgentFixture) -> Result<Play, Violation> {
    Ok(begun(fixture, &[])?
        .stubborn()
        .then([Step::Fork])
        .then(steps(fixture, Phrase::Say("children are there"))?)
        .then([Step::Hang]))
}

async fn stopping_leaves_no_process(fixture: &dyn AgentFixture) -> Checked {
    let stage = Stage::new(fixture, with_children(fixture)?)?;
    let mut turn = stage.start().await?;
    until_said(&mut *turn, "children are there").await?;
    let alive = stage.alive();
    must(alive > 1, || {
        format!("{alive} of its processes bear the marker while it works")
    })?;
    turn.control().stop(GRACE).await;
    stage.nobody_lives("after `stop` has returned")?;
    heard(&mut *turn).await.map(drop)
}

async fn dropping_leaves_no_process(fixture: &dyn AgentFixture) -> Checked {
    let stage = Stage::new(fixture, with_children(fixture)?)?;
    let mut turn = stage.start().await?;
    until_said(&mut *turn, "children are there").await?;
    drop(turn);
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    // One look that finds nobody proves nothing: who is just becoming another program has no environment for a moment.
    let mut quiet = 0;
    while quiet < 20 && tokio::time::Instant::now() < until {
        quiet = if stage.alive() > 0 { 0 } else { quiet + 1 };
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stage.nobody_lives("10 s after the turn was dropped")
}

async fn an_end_leaves_no_process(fixture: &dyn AgentFixture) -> Checked {
    let play = begun(fixture, &[])?
        .then([Step::Fork])
        .then(steps(fixture, Phrase::End { handoff: HANDOFF })?);
    let stage = Stage::new(fixture, play)?;
    let mut turn = stage.start().await?;
    while let Some(update) = turn.next().await {
        if matches!(update, Update::Ended { .. }) {
            stage.nobody_lives("when its end is told")?;
        }
    }
    Ok(())
}

async fn more_than_a_pipe_holds_passes(fixture: &dyn AgentFixture) -> Checked {
    let text = "x".repeat(1000);
    let flood: Vec<_> = (0..200).map(|_| Phrase::Say(&text)).collect();
    let complaint = Step::Complain(b"e".repeat(200_000));
    let play = begun(fixture, &[])?
        .then([complaint])
        .then(all_steps(fixture, &flood)?);
    let stage = Stage::new(
        fixture,
        play.then(steps(fixture, Phrase::End { handoff: HANDOFF })?),
    )?;
    let mut request = stage.request(1)?;
    request.prompt = "p".repeat(1_000_000);
    let heard = heard(&mut *stage.backend.start(request).await?).await?;
    heard.completed()?;
    let told = heard
        .said
        .iter()
        .filter(|said| said.contains("xxxxxxxxxx"))
        .count();
    must(told >= flood.len(), || {
        format!("of {} things that it said, {told} were told", flood.len())
    })
}

async fn a_line_of_sixteen_mebibytes_passes(fixture: &dyn AgentFixture) -> Checked {
    let long = "l".repeat(16 << 20);
    let stage = Stage::new(
        fixture,
        whole(
            fixture,
            &[
                Phrase::Say("before"),
                Phrase::Say(&long),
                Phrase::Say("behind"),
            ],
        )?,
    )?;
    let heard = heard(&mut *stage.start().await?).await?;
    heard.has_in_order(["before", "behind"])?;
    let longest = heard.said.iter().map(String::len).max().unwrap_or(0);
    must(longest <= 8192, || {
        format!("a line for people has {longest} bytes")
    })?;
    heard.completed()
}

async fn garbage_is_no_end(fixture: &dyn AgentFixture) -> Checked {
    let garbage: [&[u8]; 5] = [
        b"{\"half\": \n",
        b"\xff\xfe\x00\x01\n",
        b"\n\r\n",
        b"[1, 2\n\"\n",
        b"\x1b[31mred\x1b[0m\n",
    ];
    let garbage = garbage.map(|bytes| Step::Say(bytes.to_vec()));
    let play = begun(fixture, &[Phrase::Say("before")])?
        .then(garbage)
        .then(steps(fixture, Phrase::Say("behind"))?);
    let stage = Stage::new(
        fixture,
        play.then(steps(fixture, Phrase::End { handoff: HANDOFF })?),
    )?;
    let heard = heard(&mut *stage.start().await?).await?;
    heard.has_in_order(["before", "behind"])?;
    let control = heard
        .said
        .iter()
        .flat_map(|said| said.chars())
        .any(|char| char.is_control() && !matches!(char, '\n' | '\t'));
    must(!control, || {
        "control characters were passed on to people".to_owned()
    })?;
    heard.completed()?;

    // And half a line at the very end, from a program that fails.
    let play = begun(fixture, &[])?.then([Step::Say(b"{\"type\":\"half".to_vec()), Step::Exit(3)]);
    let outcome = self::heard(&mut *Stage::new(fixture, play)?.start().await?)
        .await?
        .outcome;
    must(outcome != Some(TurnOutcome::Completed), || {
        "half a line and a failure completed it".to_owned()
    })
}

async fn an_unknown_event_is_no_crash(fixture: &dyn AgentFixture) -> Checked {
    let stage = Stage::new(
        fixture,
        whole(
            fixture,
            &[
                Phrase::Say("before"),
                Phrase::Unknown,
                Phrase::Say("behind"),
            ],
        )?,
    )?;
    let heard = heard(&mut *stage.start().await?).await?;
    heard.has_in_order(["before", "behind"])?;
    let fine = matches!(
        heard.outcome,
        Some(TurnOutcome::Completed | TurnOutcome::Drifted { .. })
    );
    must(fine, || format!("it ended with {:?}", heard.outcome))
}

async fn a_program_that_breaks_off_has_not_completed(fixture: &dyn AgentFixture) -> Checked {
    let says = steps(fixture, Phrase::End { handoff: HANDOFF })?
        .iter()
        .any(|step| matches!(step, Step::Say(_)));
    let ways = [Step::Exit(0), Step::Exit(1), Step::Die(9)];
    // Where an agent has no word for the end, its exit status is the word.
    for way in ways.into_iter().skip(usize::from(!says)) {
        let play = begun(fixture, &[Phrase::Say("one")])?
            .then([Step::Complain(b"out of luck\n".to_vec()), way.clone()]);
        let stage = Stage::new(fixture, play)?;
        let heard = heard(&mut *stage.start().await?).await?;
        let fine = !matches!(
            heard.outcome,
            Some(TurnOutcome::Completed | TurnOutcome::Stopped)
        );
        must(fine, || {
            format!("after {way:?} it ended with {:?}", heard.outcome)
        })?;
        if let Some(TurnOutcome::Crashed { detail }) = &heard.outcome {
            must(detail.contains("out of luck"), || {
                format!("after {way:?} nobody learns what it complained: `{detail}`")
            })?;
        }
    }
    Ok(())
}

async fn a_lost_session_is_told(fixture: &dyn AgentFixture) -> Checked {
    let resumes = fixture.backend(Path::new("/nowhere")).capabilities().resume;
    let lost = fixture.phrase(Phrase::SessionLost);
    let unknown = Some(SessionRef("conformance-unknown".to_owned()));
    let stage = Stage::new(
        fixture,
        lost.clone()
            .map_or_else(|| whole(fixture, &[]), |steps| Ok(Play::new(steps)))?,
    )?;
    let request = stage.request(1)?.with_turn(2, unknown);
    let outcome = match stage.backend.start(request).await {
        Err(AgentError::Unsupported(_)) if !resumes => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(mut turn) => heard(&mut *turn).await?.outcome,
    };
    let expected = if lost.is_some() {
        TurnOutcome::SessionLost
    } else {
        TurnOutcome::Completed
    };
    must(outcome == Some(expected), || {
        format!("with a session that it does not know it ended with {outcome:?}")
    })
}

async fn two_turns_do_not_mix(fixture: &dyn AgentFixture) -> Checked {
    // Each is held until both have begun.
    let directory = tempfile::tempdir()?;
    let (there, back) = (
        directory.path().join("there"),
        directory.path().join("back"),
    );
    must(
        std::process::Command::new("mkfifo")
            .args([&there, &back])
            .status()?
            .success(),
        || "mkfifo".to_owned(),
    )?;
    let (there, back) = (there.display(), back.display());
    let meet = format!(
        "case $ORCHESTRATOR_TASK in C1) : > '{there}'; : < '{back}';; *) : < '{there}'; : > '{back}';; esac"
    );
    let play = begun(fixture, &[])?
        .then([Step::Shell(meet)])
        .then(steps(fixture, Phrase::Say("this is @TASK@ and no other"))?);
    let handoff = r#"{"version":1,"task":"@TASK@","attempt":1,"status":"done"}"#;
    let stage = Stage::in_directory(
        directory,
        fixture,
        play.then(steps(fixture, Phrase::End { handoff })?),
    )?;
    let (one, two) = (stage.request(1)?, stage.request(2)?);
    let places = [one.handoff.clone(), two.handoff.clone()];
    let (one, two) = tokio::join!(stage.backend.start(one), stage.backend.start(two));
    let (mut one, mut two) = (one?, two?);
    let (one, two) = tokio::join!(heard(&mut *one), heard(&mut *two));
    for (heard, place, own, other) in [
        (one?, &places[0], "C1", "C2"),
        (two?, &places[1], "C2", "C1"),
    ] {
        heard.completed()?;
        heard.has_in_order([format!("this is {own} and no other").as_str()])?;
        must(
            !heard
                .said
                .iter()
                .any(|said| said.contains(&format!("this is {other}"))),
            || "one turn told what another said".to_owned(),
        )?;
        let left = std::fs::read_to_string(place).unwrap_or_default();
        must(left.contains(own) && !left.contains(other), || {
            format!("{} holds `{left}`", place.display())
        })?;
    }
    Ok(())
}

async fn the_environment_is_not_inherited(fixture: &dyn AgentFixture) -> Checked {
    must(std::env::vars_os().count() > 3, || {
        "this process has no environment that could be inherited: the clause proves nothing"
            .to_owned()
    })?;
    let play = begun(fixture, &[])?.then([Step::Shell("env > environment".to_owned())]);
    let stage = Stage::new(
        fixture,
        play.then(steps(fixture, Phrase::End { handoff: HANDOFF })?),
    )?;
    let request = stage.request(1)?;
    let (workspace, allowed, mark) = (
        request.workspace.clone(),
        request.environment.clone(),
        request.mark.clone(),
    );
    heard(&mut *stage.backend.start(request).await?).await?;
    let seen = std::fs::read_to_string(workspace.join("environment")).unwrap_or_default();
    must(seen.contains("ALLOWED=yes"), || {
        format!("it does not see what the request allows: {seen}")
    })?;
    must(
        seen.lines()
            .any(|line| line == format!("ORCHESTRATOR_MARK={mark}")),
        || "it does not bear the marker".to_owned(),
    )?;
    let own = stage.fixture.variables();
    let shells = ["PWD", "OLDPWD", "SHLVL", "_"];
    let names = seen
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name);
    for name in names {
        let known = allowed.contains_key(name)
            || name.starts_with("ORCHESTRATOR_")
            || shells.contains(&name);
        must(known || own.iter().any(|own| own == name), || {
            format!("it sees `{name}`, which nobody allowed")
        })?;
    }
    Ok(())
}

async fn it_runs_in_the_workspace(fixture: &dyn AgentFixture) -> Checked {
    let edit = Step::Edit {
        path: "here.txt".into(),
        content: "here".to_owned(),
    };
    let play = begun(fixture, &[])?
        .then([edit])
        .then(steps(fixture, Phrase::End { handoff: HANDOFF })?);
    let stage = Stage::new(fixture, play)?;
    let request = stage.request(1)?;
    let workspace = request.workspace.clone();
    heard(&mut *stage.backend.start(request).await?).await?;
    must(workspace.join("here.txt").is_file(), || {
        "what it wrote to its directory is not in the workspace".to_owned()
    })
}

async fn resuming_is_as_the_capabilities_say(fixture: &dyn AgentFixture) -> Checked {
    let stage = Stage::new(fixture, whole(fixture, &[Phrase::Say("one")])?)?;
    let first = heard(&mut *stage.start().await?).await?;
    let session = first.sessions.first().cloned().unwrap_or_default();
    let request = stage.request(1)?;
    // Each turn has a handoff of its own.
    std::fs::remove_file(&request.handoff)?;
    let again = stage
        .backend
        .start(request.with_turn(2, Some(SessionRef(session.clone()))))
        .await;
    match (stage.backend.capabilities().resume, again) {
        (true, Ok(mut turn)) => {
            let heard = heard(&mut *turn).await?;
            let same = heard.sessions.iter().all(|now| *now == session);
            must(same, || {
                format!("it went on with {:?}, not with {session}", heard.sessions)
            })?;
            heard.completed()
        }
        (true, Err(error)) => Err(error.into()),
        (false, Err(AgentError::Unsupported(_))) => Ok(()),
        (false, other) => must(false, || {
            format!(
                "it says that it cannot resume; asked to, it did not say `Unsupported` but {:?}",
                other.map(drop)
            )
        }),
    }
}

async fn listening_is_as_the_capabilities_say(fixture: &dyn AgentFixture) -> Checked {
    let listens = fixture.phrase(Phrase::Listen);
    let play = begun(fixture, &[Phrase::Say("ready")])?;
    let play = match &listens {
        Some(listen) => play.then(listen.clone()).then(all_steps(
            fixture,
            &[Phrase::Say("heard"), Phrase::End { handoff: HANDOFF }],
        )?),
        None => play.then([Step::Hang]),
    };
    let stage = Stage::new(fixture, play)?;
    let says = stage.backend.capabilities().input;
    must(says == listens.is_some(), || {
        format!(
            "the capabilities say {says}, the fixture says {}",
            listens.is_some()
        )
    })?;
    let mut turn = stage.start().await?;
    until_said(&mut *turn, "ready").await?;
    let control = turn.control();
    let sent = control.send(TurnInput::Nudge("go on".to_owned())).await;
    if says {
        sent?;
        let heard = heard(&mut *turn).await?;
        heard.has_in_order(["heard"])?;
        return heard.completed();
    }
    let typed = matches!(sent, Err(AgentError::Unsupported(_)));
    control.stop(GRACE).await;
    must(typed, || {
        format!(
            "it says that it does not listen; spoken to, it did not say `Unsupported` but {sent:?}"
        )
    })
}

async fn it_describes_itself_the_same_way_twice(fixture: &dyn AgentFixture) -> Checked {
    let stage = Stage::new(fixture, whole(fixture, &[])?)?;
    let before = (
        stage.backend.name().to_owned(),
        stage.backend.capabilities(),
    );
    heard(&mut *stage.start().await?).await?;
    let behind = (
        stage.backend.name().to_owned(),
        stage.backend.capabilities(),
    );
    must(before == behind, || format!("{before:?} became {behind:?}"))?;
    must(!before.0.is_empty(), || "it has no name".to_owned())?;
    let unreadable = matches!(before.1.silence, Silence::Beyond(limit) if limit.is_zero());
    must(!unreadable, || {
        "it says that every silence is too long".to_owned()
    })
}

/// So many that no queue holds them.
const MANY: usize = 3000;

fn many(fixture: &dyn AgentFixture) -> Result<(Play, Vec<String>), Violation> {
    let texts: Vec<_> = (0..MANY)
        .map(|number| format!("number {number}."))
        .collect();
    let phrases: Vec<_> = texts.iter().map(|text| Phrase::Say(text)).collect();
    Ok((whole(fixture, &phrases)?, texts))
}

async fn a_slow_reader_loses_nothing(fixture: &dyn AgentFixture) -> Checked {
    let (play, texts) = many(fixture)?;
    let stage = Stage::new(fixture, play)?;
    let mut turn = stage.start().await?;
    let mut heard = Heard::default();
    // Whoever looks again only after a while finds every queue full.
    let mut pauses = 5;
    while let Some(update) = turn.next().await {
        heard.take(update)?;
        if pauses > 0 && heard.said.len() > (5 - pauses) * 100 {
            pauses -= 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    heard.has_in_order(texts.iter().map(String::as_str))?;
    heard.completed()
}

async fn a_dropped_next_loses_nothing(fixture: &dyn AgentFixture) -> Checked {
    let (play, texts) = many(fixture)?;
    let stage = Stage::new(fixture, play)?;
    let mut turn = stage.start().await?;
    let mut heard = Heard::default();
    let mut rounds = 0;
    while heard.outcome.is_none() {
        // Polled once, or a few times, and dropped.
        rounds += 1;
        let polled = tokio::select! {
            biased;
            update = turn.next() => Some(update),
            () = async { for _ in 0..rounds % 4 { tokio::task::yield_now().await } } => None,
        };
        match polled {
            Some(Some(update)) => heard.take(update)?,
            Some(None) => return must(false, || "its updates ran out without an end".to_owned()),
            // Whether or not a dropped call is woken, the next one looks for itself.
            None => tokio::time::sleep(Duration::from_micros(200)).await,
        }
    }
    heard.has_in_order(texts.iter().map(String::as_str))?;
    heard.completed()
}

async fn a_missing_program_is_an_error(fixture: &dyn AgentFixture) -> Checked {
    let stage = Stage::new(fixture, Play::default())?;
    let backend = fixture.backend(&stage.directory.path().join("not-there"));
    let probed = backend.probe().await;
    must(probed.is_err(), || format!("its probe says {probed:?}"))?;
    let started = backend.start(stage.request(1)?).await;
    must(started.is_err(), || {
        "it started a turn of a program that is not there".to_owned()
    })?;
    stage.nobody_lives("though its program is not there")
}

async fn the_probe_finds_the_agent(fixture: &dyn AgentFixture) -> Checked {
    let stage = Stage::new(fixture, whole(fixture, &[])?)?;
    let request = stage.request(1)?;
    let probe = stage.backend.probe().await?;
    must(
        probe
            .version
            .as_ref()
            .is_none_or(|version| !version.trim().is_empty()),
        || "its version is empty".to_owned(),
    )?;
    let clean =
        std::fs::read_dir(&request.workspace)?.next().is_none() && !request.handoff.exists();
    must(clean, || {
        "the probe left something in the workspace".to_owned()
    })?;
    must(stage.program.is_file(), || {
        "the probe took the agent away".to_owned()
    })?;
    stage.nobody_lives("after the probe")
}
