//! What open tasks occupy, so arranged that a waiting task is compared only with those that it could meet.
//!
//! Two patterns can only meet if the words that one begins with begin the other's too, and if both end in a given word, in the
//! same one. A tree over the first words, with the last words at its nodes, leaves few pairs to be compared exactly.

use std::collections::HashMap;

use super::{ready::NotReady, state::TaskEntry};
use crate::model::{Pattern, ResourceName, TaskId};

/// What one open task occupies.
pub(super) struct Occupied<'a> {
    pub(super) task: &'a TaskId,
    pub(super) allow: &'a [Pattern],
    pub(super) resources: &'a [ResourceName],
}

impl<'a> Occupied<'a> {
    pub(super) fn of(entry: &'a TaskEntry) -> Option<Self> {
        let contract = &entry.occupying()?.contract;
        Some(Self { task: &entry.task.id, allow: &contract.allow, resources: &contract.resources })
    }
}

/// What all open tasks occupy.
#[derive(Default)]
pub(super) struct Fence<'a> {
    open: Vec<Occupied<'a>>,
    nodes: Vec<Node<'a>>,
    next: HashMap<(usize, &'a [u8]), usize>,
}

/// Where the patterns stand whose given first words lead here.
#[derive(Default)]
struct Node<'a> {
    children: Vec<usize>,
    /// By the word that they end with, if it is given; each with the position of its task.
    here: HashMap<Option<&'a [u8]>, Vec<(usize, &'a Pattern)>>,
}

impl<'a> Fence<'a> {
    pub(super) fn around(open: impl IntoIterator<Item = Occupied<'a>>) -> Self {
        let mut fence = Self { nodes: vec![Node::default()], ..Self::default() };
        open.into_iter().for_each(|occupied| fence.add(occupied));
        fence
    }

    pub(super) fn add(&mut self, occupied: Occupied<'a>) {
        let position = self.open.len();
        for pattern in occupied.allow {
            for (lead, last) in pattern.ends() {
                let mut at = 0;
                for word in lead {
                    at = *self.next.entry((at, word)).or_insert_with(|| {
                        self.nodes.push(Node::default());
                        let new = self.nodes.len() - 1;
                        self.nodes[at].children.push(new);
                        new
                    });
                }
                self.nodes[at].here.entry(last).or_default().push((position, pattern));
            }
        }
        self.open.push(occupied);
    }

    /// Whether a task's paths and resources are free: the first open task in the way, if not.
    pub(super) fn lets_in(&self, task: &TaskId, allow: &[Pattern], needs: &[ResourceName]) -> Result<(), NotReady> {
        let other = |position: &usize| self.open[*position].task != task;
        let taken = |needed: &ResourceName| {
            let holder = |occupied: &Occupied<'_>| occupied.task != task && occupied.resources.contains(needed);
            self.open.iter().position(holder)
        };
        let held = needs.iter().filter_map(|needed| taken(needed).map(|position| (position, needed))).min_by_key(|(at, _)| *at);
        let meets = |(ours, found): (&'_ Pattern, Vec<(usize, &'a Pattern)>)| {
            let met = found.into_iter().filter(|(position, theirs)| other(position) && ours.overlaps(theirs));
            met.min_by_key(|(position, _)| *position).map(|(position, theirs)| (position, ours.clone(), theirs))
        };
        let met = allow.iter().map(|ours| (ours, self.near(ours))).filter_map(meets).min_by_key(|(position, ..)| *position);
        match (held, met) {
            (Some((position, resource)), met) if met.as_ref().is_none_or(|(other, ..)| position <= *other) => {
                Err(NotReady::Resource { with: self.open[position].task.clone(), resource: resource.clone() })
            }
            (_, Some((position, ours, theirs))) => {
                Err(NotReady::Overlaps { with: self.open[position].task.clone(), ours, theirs: theirs.clone() })
            }
            (_, None) => Ok(()),
        }
    }

    /// The patterns that this one could meet.
    fn near(&self, pattern: &Pattern) -> Vec<(usize, &'a Pattern)> {
        let mut found = Vec::new();
        for (mut lead, last) in pattern.ends() {
            let mut at = 0;
            // Those that are given up to some word of ours, and all that are given further than we are.
            let all = loop {
                self.nodes[at].that_end(last, &mut found);
                let Some(word) = lead.next() else { break true };
                let Some(next) = self.next.get(&(at, word)) else { break false };
                at = *next;
            };
            let mut beneath = if all { self.nodes[at].children.clone() } else { Vec::new() };
            while let Some(at) = beneath.pop() {
                self.nodes[at].that_end(last, &mut found);
                beneath.extend_from_slice(&self.nodes[at].children);
            }
        }
        found
    }
}

impl<'a> Node<'a> {
    /// The patterns here that can end as one does.
    fn that_end(&self, last: Option<&[u8]>, found: &mut Vec<(usize, &'a Pattern)>) {
        if self.here.is_empty() {
            return;
        }
        match last {
            Some(_) => found.extend([last, None].iter().filter_map(|last| self.here.get(last)).flatten()),
            None => found.extend(self.here.values().flatten()),
        }
    }
}
