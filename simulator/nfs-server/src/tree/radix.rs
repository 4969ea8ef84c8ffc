//! A persistent map from numbers: a clone takes constant time and shares everything with its
//! original until one of them changes, and then all but the path to the change.
//!
//! Snapshots, clones and checkpoints of a tree stand on this.

use std::sync::Arc;

const BITS: u32 = 5;
const FANOUT: usize = 1 << BITS;

/// A map from `u64` to `V`, ordered by key; made for keys that lie close together.
#[derive(Debug, Clone)]
pub(super) struct Radix<V> {
    root: Option<Arc<Node<V>>>,
    /// Levels below the root.
    height: u32,
    len: u64,
}

#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "nodes are always behind an Arc, and leaves of pointers as large"
)]
enum Node<V> {
    Inner([Option<Arc<Node<V>>>; FANOUT]),
    Leaf([Option<V>; FANOUT]),
}

impl<V> Default for Radix<V> {
    fn default() -> Self {
        Self { root: None, height: 0, len: 0 }
    }
}

/// Whether a tree of this height has a place for the key.
fn fits(key: u64, height: u32) -> bool {
    key.checked_shr(BITS * (height + 1)).unwrap_or(0) == 0
}

fn slot(key: u64, level: u32) -> usize {
    (key.checked_shr(BITS * level).unwrap_or(0) % FANOUT as u64) as usize
}

/// Keys below one slot of a node at `level`.
fn step(level: u32) -> u64 {
    1u64.checked_shl(BITS * level).unwrap_or(u64::MAX)
}

impl<V> Node<V> {
    fn empty(level: u32) -> Self {
        if level == 0 { Self::Leaf([const { None }; FANOUT]) } else { Self::Inner([const { None }; FANOUT]) }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Inner(children) => children.iter().all(Option::is_none),
            Self::Leaf(values) => values.iter().all(Option::is_none),
        }
    }
}

impl<V> Radix<V> {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn get(&self, key: u64) -> Option<&V> {
        if !fits(key, self.height) {
            return None;
        }
        let mut node = self.root.as_deref()?;
        for level in (0..=self.height).rev() {
            match node {
                Node::Inner(children) => node = children.get(slot(key, level))?.as_deref()?,
                Node::Leaf(values) => return values.get(slot(key, level))?.as_ref(),
            }
        }
        None
    }

    /// Entries in the order of their keys, from `from` on.
    pub(super) fn range_from(&self, from: u64) -> Iter<'_, V> {
        let stack = self.root.as_deref().map(|root| Place::new(root, self.height, 0));
        Iter { stack: stack.into_iter().collect(), from, besides: None }
    }

    pub(super) fn iter(&self) -> Iter<'_, V> {
        self.range_from(0)
    }

    /// Entries but those in parts shared with `other`: all that differ, and few that do not. Takes
    /// time by the difference, not by the size.
    pub(super) fn iter_besides<'map>(&'map self, other: &'map Self) -> Iter<'map, V> {
        Iter { besides: Some(other), ..self.iter() }
    }

    /// The node that covers `base` at `level`.
    fn node_at(&self, level: u32, base: u64) -> Option<&Arc<Node<V>>> {
        if level > self.height || !fits(base, self.height) {
            return None;
        }
        let mut node = self.root.as_ref()?;
        for above in (level + 1..=self.height).rev() {
            let Node::Inner(children) = &**node else { return None };
            node = children.get(slot(base, above))?.as_ref()?;
        }
        Some(node)
    }
}

impl<V: Clone> Radix<V> {
    /// The value of a key, unshared. A key that is not there leaves everything shared.
    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        self.get(key)?;
        let mut node = self.root.as_mut()?;
        for level in (0..=self.height).rev() {
            match Arc::make_mut(node) {
                Node::Inner(children) => node = children.get_mut(slot(key, level))?.as_mut()?,
                Node::Leaf(values) => return values.get_mut(slot(key, level))?.as_mut(),
            }
        }
        None
    }

    /// Puts a value, and returns the one it replaces.
    pub(super) fn insert(&mut self, key: u64, value: V) -> Option<V> {
        while !fits(key, self.height) {
            if let Some(root) = self.root.take() {
                let mut above = [const { None }; FANOUT];
                if let Some(first) = above.first_mut() {
                    *first = Some(root);
                }
                self.root = Some(Arc::new(Node::Inner(above)));
            }
            self.height += 1;
        }
        let root = self.root.get_or_insert_with(|| Arc::new(Node::empty(self.height)));
        let replaced = insert_below(root, self.height, key, value);
        self.len += u64::from(replaced.is_none());
        replaced
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<V> {
        self.get(key)?;
        let removed = remove_below(self.root.as_mut()?, self.height, key);
        self.len -= u64::from(removed.is_some());
        if self.len == 0 {
            *self = Self::default();
        }
        removed
    }
}

fn insert_below<V: Clone>(node: &mut Arc<Node<V>>, level: u32, key: u64, value: V) -> Option<V> {
    match Arc::make_mut(node) {
        Node::Inner(children) => {
            let child = children.get_mut(slot(key, level))?;
            let below = level - 1;
            insert_below(child.get_or_insert_with(|| Arc::new(Node::empty(below))), below, key, value)
        }
        Node::Leaf(values) => values.get_mut(slot(key, level))?.replace(value),
    }
}

fn remove_below<V: Clone>(node: &mut Arc<Node<V>>, level: u32, key: u64) -> Option<V> {
    match Arc::make_mut(node) {
        Node::Inner(children) => {
            let child = children.get_mut(slot(key, level))?;
            let removed = remove_below(child.as_mut()?, level - 1, key);
            if child.as_ref().is_some_and(|child| child.is_empty()) {
                *child = None;
            }
            removed
        }
        Node::Leaf(values) => values.get_mut(slot(key, level))?.take(),
    }
}

/// Walks a [`Radix`].
#[derive(Debug)]
pub(super) struct Iter<'map, V> {
    stack: Vec<Place<'map, V>>,
    from: u64,
    besides: Option<&'map Radix<V>>,
}

#[derive(Debug)]
struct Place<'map, V> {
    node: &'map Node<V>,
    level: u32,
    base: u64,
    next: usize,
}

impl<'map, V> Place<'map, V> {
    fn new(node: &'map Node<V>, level: u32, base: u64) -> Self {
        Self { node, level, base, next: 0 }
    }
}

impl<'map, V> Iter<'map, V> {
    fn is_shared(&self, node: &Arc<Node<V>>, level: u32, base: u64) -> bool {
        let other = self.besides.and_then(|besides| besides.node_at(level, base));
        other.is_some_and(|other| Arc::ptr_eq(node, other))
    }
}

impl<'map, V> Iterator for Iter<'map, V> {
    type Item = (u64, &'map V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let place = self.stack.last_mut()?;
            if place.next == FANOUT {
                self.stack.pop();
                continue;
            }
            let (node, level, index) = (place.node, place.level, place.next);
            let first = place.base.saturating_add(step(level).saturating_mul(index as u64));
            place.next += 1;
            match node {
                Node::Leaf(values) => {
                    if let Some(value) = values.get(index).and_then(Option::as_ref)
                        && first >= self.from
                    {
                        return Some((first, value));
                    }
                }
                Node::Inner(children) => {
                    if let Some(child) = children.get(index).and_then(Option::as_ref)
                        && first.saturating_add(step(level) - 1) >= self.from
                        && !self.is_shared(child, level - 1, first)
                    {
                        self.stack.push(Place::new(child, level - 1, first));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn it_behaves_as_an_ordered_map_and_a_clone_stays_as_it_was(
            ops in proptest::collection::vec((any::<bool>(), prop_oneof![0..40u64, 0..3000u64, any::<u64>()]), 1..120),
            at in 0..120usize, from: u64,
        ) {
            let (mut map, mut model) = (Radix::default(), BTreeMap::new());
            let (mut kept, mut kept_model) = (map.clone(), model.clone());
            for (n, (put, key)) in ops.into_iter().enumerate() {
                if n == at {
                    (kept, kept_model) = (map.clone(), model.clone());
                }
                match put {
                    true => prop_assert_eq!(map.insert(key, n), model.insert(key, n)),
                    false => prop_assert_eq!(map.remove(key), model.remove(&key)),
                }
                prop_assert_eq!(map.len(), model.len() as u64);
                if let Some(value) = map.get_mut(key) {
                    *value += 1;
                    model.insert(key, n + 1);
                }
            }
            let all = |map: &Radix<usize>| map.iter().map(|(key, value)| (key, *value)).collect::<Vec<_>>();
            prop_assert_eq!(all(&map), model.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(all(&kept), kept_model.clone().into_iter().collect::<Vec<_>>());
            let tail: Vec<_> = map.range_from(from % 3000).map(|(key, _)| key).collect();
            prop_assert_eq!(tail, model.range(from % 3000..).map(|(key, _)| *key).collect::<Vec<_>>());
            let besides: BTreeMap<_, _> = map.iter_besides(&kept).collect();
            for (key, value) in &model {
                prop_assert!(kept_model.get(key) == Some(value) || besides.get(key) == Some(&value));
            }
        }
    }

    #[test]
    fn what_differs_from_a_clone_is_found_without_walking_the_rest() {
        let mut map = Radix::default();
        for key in 0..100_000u64 {
            map.insert(key, 0);
        }
        let old = map.clone();
        map.insert(50_000, 1);
        assert!(map.iter_besides(&old).count() <= FANOUT);
        assert!(map.iter_besides(&old).any(|entry| entry == (50_000, &1)));
    }
}
