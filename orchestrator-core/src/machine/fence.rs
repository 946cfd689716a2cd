//! What open tasks occupy, so arranged that a waiting task is compared only with those that it could meet.
//!
//! Two patterns can only meet if the words that one begins with begin the other's too, and if both end in a given word, in the
//! same one. A tree over the first words, with the last words at its nodes, leaves few pairs to be compared exactly.

use std::{collections::BTreeSet, ops::ControlFlow};

use foldhash::{HashMap, HashMapExt as _};

use crate::model::{Contract, Pattern, ResourceName};

/// An open task that is in the way of another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Obstacle<'a> {
    /// Its place in the roadmap.
    pub(super) at: usize,
    pub(super) what: Met<'a>,
}

/// Where the two meet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Met<'a> {
    /// Both want it.
    Resource(&'a ResourceName),
    /// Some path matches both.
    Paths {
        ours: &'a Pattern,
        theirs: &'a Pattern,
    },
}

/// What all open tasks occupy.
#[derive(Debug, Clone)]
pub(super) struct Fence {
    nodes: Vec<Node>,
    holders: HashMap<ResourceName, BTreeSet<usize>>,
}

/// Where the patterns stand whose given first words lead here.
#[derive(Debug, Clone, Default)]
struct Node {
    children: HashMap<Box<[u8]>, usize>,
    /// Those that end with a given word.
    with_end: HashMap<Box<[u8]>, Vec<Post>>,
    /// Those that may end with any.
    without_end: Vec<Post>,
}

/// One pattern of an open task.
#[derive(Debug, Clone)]
struct Post {
    /// The task's place in the roadmap.
    at: usize,
    pattern: Pattern,
}

impl Default for Fence {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            holders: HashMap::new(),
        }
    }
}

impl Fence {
    /// The task at this place occupies what its contract says.
    pub(super) fn add(&mut self, at: usize, contract: &Contract) {
        for pattern in &contract.allow {
            self.each_post(pattern, |posts| {
                posts.push(Post {
                    at,
                    pattern: pattern.clone(),
                });
            });
        }
        for resource in &contract.resources {
            self.holders.entry(resource.clone()).or_default().insert(at);
        }
    }

    /// It no longer does.
    pub(super) fn remove(&mut self, at: usize, contract: &Contract) {
        for pattern in &contract.allow {
            self.each_post(pattern, |posts| posts.retain(|post| post.at != at));
        }
        for resource in &contract.resources {
            self.holders
                .get_mut(resource)
                .map(|holders| holders.remove(&at));
        }
    }

    /// Where the pattern stands: in one place for each way to choose from its braces.
    fn each_post(&mut self, pattern: &Pattern, mut change: impl FnMut(&mut Vec<Post>)) {
        for (lead, last) in pattern.ends() {
            let mut at = 0;
            for word in lead {
                at = match self.nodes[at].children.get(word) {
                    Some(next) => *next,
                    None => {
                        let new = self.nodes.len();
                        self.nodes.push(Node::default());
                        self.nodes[at].children.insert(word.into(), new);
                        new
                    }
                };
            }
            let node = &mut self.nodes[at];
            let Some(last) = last else {
                change(&mut node.without_end);
                continue;
            };
            match node.with_end.get_mut(last) {
                Some(posts) => change(posts),
                None => change(node.with_end.entry(last.into()).or_default()),
            }
        }
    }

    /// What is in the way of the task at this place, if it is to change these paths and hold these resources: of all that is,
    /// the first in the roadmap's order.
    pub(super) fn obstacle<'a>(
        &'a self,
        at: usize,
        allow: &'a [Pattern],
        needs: &'a [ResourceName],
    ) -> Option<Obstacle<'a>> {
        let held = needs.iter().filter_map(|needed| {
            Some(Obstacle {
                at: self.holder(at, needed)?,
                what: Met::Resource(needed),
            })
        });
        let mut first = held.min_by_key(|obstacle| obstacle.at);
        for ours in allow {
            let _ = self.near(ours, &mut |post| {
                let earlier = post.at != at && first.is_none_or(|first| post.at < first.at);
                if earlier && ours.overlaps(&post.pattern) {
                    first = Some(Obstacle {
                        at: post.at,
                        what: Met::Paths {
                            ours,
                            theirs: &post.pattern,
                        },
                    });
                }
                ControlFlow::Continue(())
            });
        }
        first
    }

    /// Whether anything is in its way: the same question, over with the first answer.
    pub(super) fn keeps_out(&self, at: usize, allow: &[Pattern], needs: &[ResourceName]) -> bool {
        let meets = |ours: &Pattern| {
            let found = self.near(ours, &mut |post| match post.at != at
                && ours.overlaps(&post.pattern)
            {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            });
            found.is_break()
        };
        needs.iter().any(|needed| self.holder(at, needed).is_some()) || allow.iter().any(meets)
    }

    /// The first other than this one that holds a resource.
    fn holder(&self, at: usize, resource: &ResourceName) -> Option<usize> {
        self.holders
            .get(resource)?
            .iter()
            .copied()
            .find(|other| *other != at)
    }

    /// Tells the patterns that this one could meet, until that is enough.
    fn near<'s>(&'s self, pattern: &Pattern, found: &mut Found<'_, 's>) -> ControlFlow<()> {
        for (mut lead, last) in pattern.ends() {
            let mut node = &self.nodes[0];
            // Those that are given up to some word of ours, and all that are given further than we are.
            let all = loop {
                node.that_end(last, found)?;
                let Some(word) = lead.next() else { break true };
                let Some(next) = node.children.get(word) else {
                    break false;
                };
                node = &self.nodes[*next];
            };
            let mut beneath: Vec<_> = if all {
                node.children.values().copied().collect()
            } else {
                Vec::new()
            };
            while let Some(at) = beneath.pop() {
                self.nodes[at].that_end(last, found)?;
                beneath.extend(self.nodes[at].children.values());
            }
        }
        ControlFlow::Continue(())
    }
}

/// Who is told of a pattern, and whether that was enough.
type Found<'f, 's> = dyn FnMut(&'s Post) -> ControlFlow<()> + 'f;

impl Node {
    /// The patterns here that can end as one does.
    fn that_end<'s>(&'s self, last: Option<&[u8]>, found: &mut Found<'_, 's>) -> ControlFlow<()> {
        self.without_end.iter().try_for_each(&mut *found)?;
        match last {
            Some(last) => self
                .with_end
                .get(last)
                .into_iter()
                .flatten()
                .try_for_each(found),
            None => self.with_end.values().flatten().try_for_each(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        machine::freeze,
        model::{BackendName, ContractKeys, Policy, Task, TaskId},
    };

    fn contract(allow: &[&str], resources: &[&str]) -> Contract {
        let keys = ContractKeys {
            allow: Some(
                allow
                    .iter()
                    .map(|text| text.parse().expect("a pattern"))
                    .collect(),
            ),
            resources: Some(
                resources
                    .iter()
                    .map(|text| text.parse().expect("a name"))
                    .collect(),
            ),
            ..ContractKeys::default()
        };
        let agent = BackendName::new("a").expect("a name");
        freeze(
            &Task::new(TaskId::new("T").expect("an id"), "T").with_keys(keys),
            &Policy::default(),
            [&agent],
        )
        .expect("freezes")
    }

    fn lets_in(fence: &Fence, at: usize, contract: &Contract) -> Result<(), usize> {
        let obstacle = fence.obstacle(at, &contract.allow, &contract.resources);
        assert_eq!(
            fence.keeps_out(at, &contract.allow, &contract.resources),
            obstacle.is_some()
        );
        obstacle.map_or(Ok(()), |obstacle| Err(obstacle.at))
    }

    #[test]
    fn it_keeps_out_just_what_overlaps_and_only_as_long_as_it_is_taken() {
        let patterns = [
            "**",
            "a/**",
            "a/b/**",
            "a/b/c",
            "a/b",
            "a",
            "b/**",
            "*/b",
            "a/*",
            "a/*/c",
            "a/**/c",
            "**/c",
            "**/*.rs",
            "a/x.rs",
            "{a,b}/c",
            "{a,b}/**/d",
            "docs/**/p.md",
            "docs/x/p.md",
            "docs/**",
            "[ab]/c",
            "a/b/",
        ];
        for a in patterns {
            for b in patterns {
                let (ours, theirs) = (contract(&[a], &[]), contract(&[b], &[]));
                let mut fence = Fence::default();
                fence.add(3, &theirs);
                let expected = if ours.allow[0].overlaps(&theirs.allow[0]) {
                    Err(3)
                } else {
                    Ok(())
                };
                assert_eq!(lets_in(&fence, 1, &ours), expected, "{a} and {b}");
                assert_eq!(
                    lets_in(&fence, 3, &ours),
                    Ok(()),
                    "it is no obstacle to itself"
                );
                fence.remove(3, &theirs);
                assert_eq!(
                    lets_in(&fence, 1, &ours),
                    Ok(()),
                    "{a} after {b} was removed"
                );
            }
        }
    }

    #[test]
    fn the_first_in_the_way_is_named() {
        let mut fence = Fence::default();
        fence.add(5, &contract(&["a/**"], &["printer"]));
        fence.add(2, &contract(&["a/b"], &[]));
        fence.add(7, &contract(&["c"], &["scanner"]));
        assert_eq!(
            lets_in(&fence, 9, &contract(&["a/b", "c"], &["scanner"])),
            Err(2)
        );
        assert_eq!(lets_in(&fence, 9, &contract(&["c"], &["printer"])), Err(5));
        assert_eq!(lets_in(&fence, 9, &contract(&["d"], &["scanner"])), Err(7));
        assert_eq!(lets_in(&fence, 9, &contract(&["d"], &["camera"])), Ok(()));
    }
}
