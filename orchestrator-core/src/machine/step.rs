//! How far an attempt is, and what it holds at each step.

use std::sync::Arc;

use crate::model::{
    Ask, Candidate, Contract, EffectId, GateName, GateSpec, Landing, Pulse, Review, StopReason,
    Submission, Timestamp, TreeId, TurnEnd,
};

/// Whether what a step needs was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Not yet.
    Due,
    /// Yes, by this effect.
    Open(EffectId),
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Its workspace is made.
    Prepare(Asked),
    /// A turn is due.
    TurnDue {
        /// Its number.
        turn: u32,
        /// What the agent is asked.
        ask: Ask,
    },
    /// A turn runs.
    Working(Working),
    /// Its work is taken in.
    Collect {
        /// By which effect.
        asked: Asked,
        /// How the turn ended.
        ended: TurnEnd,
    },
    /// Reviewers look.
    Review {
        /// By which effect.
        asked: Asked,
        /// The turn that is over.
        turn: u32,
        /// At this.
        work: Arc<Submission>,
    },
    /// It waits for the landing lane, or its candidate is built.
    Merge {
        /// By which effect.
        asked: Asked,
        /// Of this.
        reviewed: Box<Reviewed>,
    },
    /// Gates run on the candidate, one after another, and where it is red, on the tip by itself.
    Gate(Box<Checked>),
    /// The candidate is landed.
    Land {
        /// By which effect.
        asked: Asked,
        /// The intent.
        landing: Arc<Landing>,
        /// What it rests on.
        checked: Box<Checked>,
    },
}

/// A turn that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Working {
    /// By which effect.
    pub(crate) effect: EffectId,
    /// Its number.
    pub(crate) turn: u32,
    /// When it began; a jump of the clock moves it, so that its limits count time awake.
    pub(crate) began: Timestamp,
    /// Whether it was told to stop, and why.
    pub(crate) stopping: Option<StopReason>,
    /// How it looked at the last heartbeat.
    pub(crate) pulse: Pulse,
    /// How often it was reminded to go on, and when last.
    pub(crate) nudges: (u32, Option<Timestamp>),
}

impl Working {
    /// A turn of which nothing is known yet.
    #[must_use]
    pub fn begin(effect: EffectId, turn: u32, began: Timestamp) -> Self {
        Self {
            effect,
            turn,
            began,
            stopping: None,
            pulse: Pulse::Unknown,
            nudges: (0, None),
        }
    }

    /// How it looked at the last heartbeat.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse
    }
}

/// Work that reviewers have seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Reviewed {
    /// The turn that it came from.
    pub(crate) turn: u32,
    /// The work.
    pub(crate) work: Arc<Submission>,
    /// What was said of it.
    pub(crate) reviews: Vec<Review>,
    /// The tree of its last candidate, while it waits for another.
    pub(crate) tried: Option<TreeId>,
    /// Gates that were red on its last candidate, and may be red on the tip by itself.
    pub(crate) red: Vec<GateName>,
}

impl Reviewed {
    /// No candidate of it waits, or has failed.
    pub(super) fn untried(turn: u32, work: Arc<Submission>, reviews: Vec<Review>) -> Self {
        Self {
            turn,
            work,
            reviews,
            tried: None,
            red: Vec::new(),
        }
    }

    /// The gates of the contract that were red on the last candidate.
    pub(super) fn red_gates<'a>(
        &'a self,
        contract: &'a Contract,
    ) -> impl Iterator<Item = &'a GateSpec> {
        let gates = contract.gates.iter();
        gates.filter(|gate| self.red.contains(&gate.name))
    }
}

/// A candidate in the lane.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The work.
    pub(crate) reviewed: Reviewed,
    /// What is to land.
    pub(crate) candidate: Candidate,
}

impl Step {
    /// Back to the reviewers, where they have spoken already.
    pub(super) fn review_again(&mut self) {
        if let Self::Merge { reviewed, .. } = self {
            let (turn, work) = (reviewed.turn, Arc::clone(&reviewed.work));
            *self = Self::Review {
                asked: Asked::Due,
                turn,
                work,
            };
        }
    }

    /// The effect that the step waits for.
    #[must_use]
    pub fn asked(&self) -> Asked {
        match self {
            Self::Prepare(asked)
            | Self::Collect { asked, .. }
            | Self::Review { asked, .. }
            | Self::Merge { asked, .. }
            | Self::Land { asked, .. } => *asked,
            // Its gates belong to trees.
            Self::TurnDue { .. } | Self::Gate(_) => Asked::Due,
            Self::Working(working) => Asked::Open(working.effect),
        }
    }

    /// The turn that runs.
    #[must_use]
    pub fn working(&self) -> Option<&Working> {
        if let Self::Working(working) = self {
            Some(working)
        } else {
            None
        }
    }

    /// Whether the attempt takes a session: an agent runs, or its workspace is made.
    #[must_use]
    pub fn takes_session(&self) -> bool {
        matches!(self, Self::Prepare(_) | Self::Working(_))
    }

    /// Whether the attempt waits for a session: a turn is due.
    #[must_use]
    pub fn waits_for_session(&self) -> bool {
        matches!(self, Self::TurnDue { .. })
    }

    /// Whether the attempt is in the landing lane, which holds one at a time.
    #[must_use]
    pub fn in_lane(&self) -> bool {
        matches!(
            self,
            Self::Merge {
                asked: Asked::Open(_),
                ..
            } | Self::Gate(_)
                | Self::Land { .. }
        )
    }

    /// The candidate, from the first gate on.
    #[must_use]
    pub fn checked(&self) -> Option<&Checked> {
        match self {
            Self::Gate(checked) | Self::Land { checked, .. } => Some(checked),
            Self::Prepare(_)
            | Self::TurnDue { .. }
            | Self::Working(_)
            | Self::Collect { .. }
            | Self::Review { .. }
            | Self::Merge { .. } => None,
        }
    }

    /// The work as reviewers have seen it, once they have.
    #[must_use]
    pub fn reviewed(&self) -> Option<&Reviewed> {
        match self {
            Self::Merge { reviewed, .. } => Some(reviewed),
            Self::Gate(checked) | Self::Land { checked, .. } => Some(&checked.reviewed),
            Self::Prepare(_)
            | Self::TurnDue { .. }
            | Self::Working(_)
            | Self::Collect { .. }
            | Self::Review { .. } => None,
        }
    }

    /// The work, once it was taken in.
    #[must_use]
    pub fn submission(&self) -> Option<&Submission> {
        if let Self::Review { work, .. } = self {
            return Some(work);
        }
        self.reviewed().map(|reviewed| &*reviewed.work)
    }

    /// The tree of the candidate: of the one in the lane, or, while the attempt waits for the lane, of the last one.
    #[must_use]
    pub fn tree(&self) -> Option<TreeId> {
        if let Self::Merge { reviewed, .. } = self {
            return reviewed.tried;
        }
        self.checked().map(|checked| checked.candidate.tree)
    }

    /// The turn that is over and that the step is about.
    #[must_use]
    pub fn turn_over(&self) -> Option<u32> {
        if let Self::Collect { ended, .. } = self {
            return Some(ended.turn);
        }
        if let Self::Review { turn, .. } = self {
            return Some(*turn);
        }
        self.reviewed().map(|reviewed| reviewed.turn)
    }
}
