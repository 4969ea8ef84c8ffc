//! A persistent radix tree from page number to page. Cloning is one reference count; writing to a
//! clone copies only the nodes on the way to the page.
//!
//! Work on a contiguous range goes a leaf at a time ([`Tree::leaf`], [`Tree::edit_leaf`]): one
//! descent for 64 pages.

use std::sync::Arc;

/// Bits of the page number each level resolves.
const BITS: u32 = 6;
/// Children of an inner node, pages of a leaf.
pub(crate) const FANOUT: usize = 1 << BITS;

/// 64 consecutive pages, the first of which has a number divisible by 64.
pub(crate) type Leaf<P> = [Option<P>; FANOUT];

/// The tree. `P` is what a page is: cheap to clone, shared until replaced.
#[derive(Debug)]
pub(crate) struct Tree<P> {
    root: Option<Arc<Node<P>>>,
    /// Levels below the root: a tree of height h holds page numbers below 64^(h+1).
    height: u32,
    pages: u64,
}

#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "with pages of two words a leaf is at most twice an inner node"
)]
pub(crate) enum Node<P> {
    Inner([Option<Arc<Node<P>>>; FANOUT]),
    Leaf(Leaf<P>),
}

impl<P> Clone for Tree<P> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), height: self.height, pages: self.pages }
    }
}

impl<P> Tree<P> {
    pub(crate) fn new() -> Self {
        Self { root: None, height: 0, pages: 0 }
    }

    /// A tree put together from its nodes.
    pub(crate) fn from_root(root: Option<Arc<Node<P>>>, height: u32, pages: u64) -> Self {
        Self { root, height, pages }
    }

    pub(crate) fn root(&self) -> Option<&Arc<Node<P>>> {
        self.root.as_ref()
    }

    pub(crate) fn height(&self) -> u32 {
        self.height
    }

    /// Pages present.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// The leaf that has the place of a page, and whether this tree alone has it.
    pub(crate) fn leaf(&self, number: u64) -> Option<(&Leaf<P>, bool)> {
        if !fits(number, self.height) {
            return None;
        }
        let mut node = self.root.as_ref()?;
        let mut level = self.height;
        let mut alone = true;
        loop {
            alone &= Arc::strong_count(node) == 1;
            match node.as_ref() {
                Node::Inner(children) => node = children.get(slot(number, level))?.as_ref()?,
                Node::Leaf(pages) => return Some((pages, alone)),
            }
            level = level.saturating_sub(1);
        }
    }

    pub(crate) fn find(&self, number: u64) -> Option<&P> {
        self.leaf(number)?.0[slot(number, 0)].as_ref()
    }

    /// The first page number in `from..to` that is (or is not) present; `to` when there is none.
    /// What is absent is skipped a subtree at a time.
    pub(crate) fn seek(&self, from: u64, to: u64, present: bool) -> u64 {
        let mut at = from;
        while at < to {
            let (node, level) = self.deepest(at);
            match node {
                Some(leaf) => {
                    let first = at - slot(at, 0) as u64;
                    let mut rest = (at..).zip(&leaf[slot(at, 0)..]);
                    match rest.find(|(_, page)| page.is_some() == present) {
                        Some((number, _)) => return number.min(to),
                        None => at = first.saturating_add(FANOUT as u64),
                    }
                }
                None if !present => return at,
                // Nothing below this node: on to the next of its siblings.
                None => at = (at / span(level) + 1).checked_mul(span(level)).unwrap_or(to),
            }
        }
        to
    }

    /// Numbers of the pages that the two trees do not share, ascending: present in one alone, or another page in
    /// each (`same` tells). Leaves that are shared are not entered.
    pub(crate) fn differing(&self, other: &Self, same: impl Fn(&P, &P) -> bool) -> Vec<u64> {
        let mut numbers = Vec::new();
        let next = |at| self.seek(at, u64::MAX, true).min(other.seek(at, u64::MAX, true));
        let mut at = next(0);
        while at < u64::MAX {
            let first = at - slot(at, 0) as u64;
            let (ours, theirs) =
                (self.leaf(first).map(|found| found.0), other.leaf(first).map(|found| found.0));
            if !matches!((ours, theirs), (Some(ours), Some(theirs)) if std::ptr::eq(ours, theirs)) {
                for (number, place) in (first..).zip(0..FANOUT) {
                    let ours = ours.and_then(|leaf| leaf.get(place)?.as_ref());
                    let theirs = theirs.and_then(|leaf| leaf.get(place)?.as_ref());
                    let shared = match (ours, theirs) {
                        (Some(ours), Some(theirs)) => same(ours, theirs),
                        (None, None) => true,
                        _ => false,
                    };
                    if !shared {
                        numbers.push(number);
                    }
                }
            }
            at = first.checked_add(FANOUT as u64).map_or(u64::MAX, next);
        }
        numbers
    }

    /// The leaf of a page, or the level at which the way to it ends: a whole span of that level
    /// is absent.
    fn deepest(&self, number: u64) -> (Option<&Leaf<P>>, u32) {
        if !fits(number, self.height) {
            // Past what this tree can hold, everything is absent.
            return (None, u64::BITS);
        }
        let mut level = self.height + 1;
        let mut next = self.root.as_deref();
        loop {
            match next {
                None => return (None, level),
                Some(Node::Leaf(pages)) => return (Some(pages), 0),
                Some(Node::Inner(children)) => {
                    level -= 1;
                    next = children[slot(number, level)].as_deref();
                }
            }
        }
    }

    /// Pages that this tree alone holds: no snapshot or clone shares them. `alone` tells it of a
    /// page. Shared subtrees are not entered.
    pub(crate) fn unshared(&self, alone: impl Fn(&P) -> bool) -> u64 {
        fn walk<P>(node: &Arc<Node<P>>, alone: &impl Fn(&P) -> bool) -> u64 {
            if Arc::strong_count(node) > 1 {
                return 0;
            }
            match node.as_ref() {
                Node::Inner(children) => children.iter().flatten().map(|child| walk(child, alone)).sum(),
                Node::Leaf(pages) => pages.iter().flatten().filter(|page| alone(page)).count() as u64,
            }
        }
        self.root.as_ref().map_or(0, |root| walk(root, &alone))
    }
}

impl<P: Clone> Tree<P> {
    /// The leaf with the place of a page, made ready to be written: the nodes on the way belong to
    /// this tree alone afterwards. `edit` returns how many pages it added.
    pub(crate) fn edit_leaf(&mut self, number: u64, edit: impl FnOnce(&mut Leaf<P>) -> u64) {
        while !fits(number, self.height) {
            let mut children = [const { None }; FANOUT];
            children[0] = self.root.take();
            self.root = children[0].is_some().then(|| Arc::new(Node::Inner(children)));
            self.height += 1;
        }
        let height = self.height;
        let mut node = Arc::make_mut(self.root.get_or_insert_with(|| empty(height)));
        let mut level = height;
        loop {
            match node {
                Node::Inner(children) => {
                    let child = &mut children[slot(number, level)];
                    level -= 1;
                    node = Arc::make_mut(child.get_or_insert_with(|| empty(level)));
                }
                Node::Leaf(pages) => {
                    self.pages += edit(pages);
                    return;
                }
            }
        }
    }

    /// Puts a page in its place.
    pub(crate) fn put(&mut self, number: u64, page: P) {
        self.edit_leaf(number, |leaf| u64::from(leaf[slot(number, 0)].replace(page).is_none()));
    }

    /// Removes the pages `from..to`, and every node that becomes empty with them.
    pub(crate) fn remove(&mut self, from: u64, to: u64) {
        if let Some(root) = &mut self.root
            && from < to
        {
            let removed = prune(root, self.height, 0, from, to);
            self.pages -= removed;
            if self.pages == 0 {
                *self = Self::new();
            }
        }
    }
}

/// The place of a page in its leaf.
pub(crate) fn place(number: u64) -> usize {
    slot(number, 0)
}

/// Whether a tree of this height has a place for the page.
fn fits(number: u64, height: u32) -> bool {
    number.checked_shr(BITS * (height + 1)).unwrap_or(0) == 0
}

fn slot(number: u64, level: u32) -> usize {
    (number.checked_shr(BITS * level).unwrap_or(0) % FANOUT as u64) as usize
}

/// Page numbers below one child of a node at `level`.
fn span(level: u32) -> u64 {
    1u64.checked_shl(BITS.saturating_mul(level)).unwrap_or(u64::MAX)
}

fn empty<P>(level: u32) -> Arc<Node<P>> {
    Arc::new(if level == 0 {
        Node::Leaf([const { None }; FANOUT])
    } else {
        Node::Inner([const { None }; FANOUT])
    })
}

fn count<P>(node: &Node<P>) -> u64 {
    match node {
        Node::Inner(children) => children.iter().flatten().map(|child| count(child)).sum(),
        Node::Leaf(pages) => pages.iter().flatten().count() as u64,
    }
}

/// Removes what lies in `from..to` below `node`, whose first page number is `base`; how many pages
/// that were.
fn prune<P: Clone>(node: &mut Arc<Node<P>>, level: u32, base: u64, from: u64, to: u64) -> u64 {
    let mut removed = 0;
    let step = span(level);
    match Arc::make_mut(node) {
        Node::Leaf(pages) => {
            for (number, page) in (base..).zip(pages.iter_mut()) {
                if (from..to).contains(&number) && page.take().is_some() {
                    removed += 1;
                }
            }
        }
        Node::Inner(children) => {
            for (index, child) in (0u64..).zip(children.iter_mut()) {
                let first = base.saturating_add(index.saturating_mul(step));
                let past = first.saturating_add(step);
                if past <= from || first >= to {
                    continue;
                }
                if from <= first && past <= to {
                    removed += child.take().map_or(0, |gone| count(&gone));
                } else if let Some(inner) = child {
                    removed += prune(inner, level - 1, first, from, to);
                    if is_empty(inner) {
                        *child = None;
                    }
                }
            }
        }
    }
    removed
}

fn is_empty<P>(node: &Node<P>) -> bool {
    match node {
        Node::Inner(children) => children.iter().all(Option::is_none),
        Node::Leaf(pages) => pages.iter().all(Option::is_none),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_far_out_grows_the_tree_and_keeps_the_near_ones() {
        let mut tree = Tree::new();
        for number in [0, 63, 64, 1 << 20, u64::MAX >> 12] {
            tree.put(number, number);
        }
        for number in [0, 63, 64, 1 << 20, u64::MAX >> 12] {
            assert_eq!(tree.find(number), Some(&number));
        }
        assert_eq!(tree.find(65), None);
        assert_eq!(tree.pages(), 5);
    }

    #[test]
    fn removal_in_a_clone_leaves_the_original_whole() {
        let mut tree = Tree::new();
        for number in 0..10_000u64 {
            tree.put(number, number);
        }
        let mut clone = tree.clone();
        assert_eq!(tree.unshared(|_| true), 0);
        clone.remove(5, 9_990);
        assert_eq!(clone.pages(), 15);
        assert_eq!((clone.find(4), clone.find(5), clone.find(9_990)), (Some(&4), None, Some(&9_990)));
        assert_eq!(tree.pages(), 10_000);
        assert_eq!(tree.find(5_000), Some(&5_000));
    }

    #[test]
    fn a_search_passes_over_what_is_absent_and_stops_at_its_end() {
        let mut tree = Tree::new();
        let far = u64::MAX >> 12;
        for number in [3, 4, 70, 1 << 30] {
            tree.put(number, ());
        }
        let seeks = [
            (0, far, true, 3),
            (3, far, false, 5),
            (5, far, true, 70),
            (71, far, true, 1 << 30),
            (71, 1 << 29, true, 1 << 29),
            ((1 << 30) + 1, far, true, far),
            (71, far, false, 71),
            (3, 4, false, 4),
        ];
        for (from, to, present, found) in seeks {
            assert_eq!(tree.seek(from, to, present), found, "{present} from {from} to {to}");
        }
    }
}
