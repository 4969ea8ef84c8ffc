//! A persistent radix tree from page number to page. Cloning is one reference count; writing to a
//! clone copies only the nodes on the way to the page.

use std::sync::Arc;

/// Bits of the page number each level resolves.
const BITS: u32 = 6;
/// Children of an inner node, pages of a leaf.
const FANOUT: usize = 1 << BITS;

/// The tree. `P` is what a page is: cheap to clone, shared until replaced.
#[derive(Debug)]
pub(crate) struct Tree<P> {
    root: Option<Arc<Node<P>>>,
    /// Levels below the root: a tree of height h holds page numbers below 64^(h+1).
    height: u32,
    pages: u64,
}

#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a page is a pointer: both variants have the same size")]
enum Node<P> {
    Inner([Option<Arc<Node<P>>>; FANOUT]),
    Leaf([Option<P>; FANOUT]),
}

impl<P> Clone for Tree<P> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), height: self.height, pages: self.pages }
    }
}

impl<P: Clone> Tree<P> {
    pub(crate) fn new() -> Self {
        Self { root: None, height: 0, pages: 0 }
    }

    /// Pages present.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    pub(crate) fn find(&self, number: u64) -> Option<&P> {
        if !fits(number, self.height) {
            return None;
        }
        let mut node = self.root.as_deref()?;
        let mut level = self.height;
        loop {
            match node {
                Node::Inner(children) => node = children.get(slot(number, level))?.as_deref()?,
                Node::Leaf(pages) => return pages.get(slot(number, 0))?.as_ref(),
            }
            level = level.saturating_sub(1);
        }
    }

    /// The place of a page, made ready to be written: the nodes on the way belong to this tree
    /// alone afterwards. The caller says through `edit` what the page becomes.
    pub(crate) fn edit(&mut self, number: u64, edit: impl FnOnce(&mut Option<P>)) {
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
                    let place = &mut pages[slot(number, 0)];
                    let before = u64::from(place.is_some());
                    edit(place);
                    self.pages = self.pages - before + u64::from(place.is_some());
                    return;
                }
            }
        }
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

/// Whether a tree of this height has a place for the page.
fn fits(number: u64, height: u32) -> bool {
    number.checked_shr(BITS * (height + 1)).unwrap_or(0) == 0
}

fn slot(number: u64, level: u32) -> usize {
    (number.checked_shr(BITS * level).unwrap_or(0) % FANOUT as u64) as usize
}

/// Page numbers below one child of a node at `level`.
fn span(level: u32) -> u64 {
    1u64.checked_shl(BITS * level).unwrap_or(u64::MAX)
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

/// Removes what lies in `from..to` below `node`, whose first page number is `base`.
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
                }
            }
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_far_out_grows_the_tree_and_keeps_the_near_ones() {
        let mut tree = Tree::new();
        for number in [0, 63, 64, 1 << 20, u64::MAX >> 12] {
            tree.edit(number, |page| *page = Some(number));
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
            tree.edit(number, |page| *page = Some(number));
        }
        let mut clone = tree.clone();
        clone.remove(5, 9_990);
        assert_eq!(clone.pages(), 15);
        assert_eq!((clone.find(4), clone.find(5), clone.find(9_990)), (Some(&4), None, Some(&9_990)));
        assert_eq!(tree.pages(), 10_000);
        assert_eq!(tree.find(5_000), Some(&5_000));
    }
}
