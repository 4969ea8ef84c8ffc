//! What a power cut may take: the writes since the last flush.
//!
//! A volume whose power cut is armed keeps its content as of the last flush (sharing its pages) and
//! the writes since. At the cut some of these are applied again, each wholly, and the others are
//! lost, whatever their order: so does a volatile write cache. A volume that is not armed pays
//! nothing.

use std::collections::VecDeque;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::image::Image;

/// Unflushed bytes beyond which a volume counts as flushed: an array writes its cache back by
/// itself at some time. 64 MiB.
const LIMIT: u64 = 64 << 20;

/// Which unflushed writes a power cut loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerCut {
    /// All of them.
    All,
    /// Each with even odds. The same seed loses the same ones.
    Seeded(u64),
}

/// What a power cut did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Unflushed writes and deallocations that are gone.
    pub lost: u64,
    /// Unflushed ones that had reached the medium.
    pub kept: u64,
}

/// A change that was not flushed.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Deallocate { offset: u64, length: u64 },
    Write { offset: u64, data: Vec<u8> },
}

/// See the [module](self).
pub(crate) struct Unflushed {
    durable: Image,
    ops: VecDeque<Op>,
    /// Number of the first of `ops`, counted since the volume was armed.
    first: u64,
    bytes: u64,
}

/// A moment that a flush makes durable.
pub(crate) struct Mark {
    image: Image,
    upto: u64,
}

impl Unflushed {
    pub(crate) fn new(durable: Image) -> Self {
        Self { durable, ops: VecDeque::new(), first: 0, bytes: 0 }
    }

    /// Takes note of a change, after which the volume holds `image`.
    pub(crate) fn note(&mut self, op: Op, image: &Image) {
        self.bytes += op.bytes();
        self.ops.push_back(op);
        if self.bytes > LIMIT {
            self.settle(image);
        }
    }

    /// The moment at which the volume holds `image`.
    pub(crate) fn mark(&self, image: &Image) -> Mark {
        Mark { image: image.clone(), upto: self.first + self.ops.len() as u64 }
    }

    /// What was before the mark cannot be lost any more.
    pub(crate) fn flushed(&mut self, mark: Mark) {
        if mark.upto < self.first {
            return;
        }
        while self.first < mark.upto
            && let Some(op) = self.ops.pop_front()
        {
            self.bytes -= op.bytes();
            self.first += 1;
        }
        self.durable = mark.image;
    }

    /// All of `image` is durable.
    pub(crate) fn settle(&mut self, image: &Image) {
        self.flushed(self.mark(image));
    }

    /// The power goes: what is durable, and the changes that had reached the medium besides.
    pub(crate) fn cut(self, cut: PowerCut) -> (Image, Vec<Op>, Lost) {
        let total = self.ops.len() as u64;
        let kept: Vec<Op> = match cut {
            PowerCut::All => Vec::new(),
            PowerCut::Seeded(seed) => {
                let mut random = StdRng::seed_from_u64(seed);
                self.ops.into_iter().filter(|_| random.random()).collect()
            }
        };
        let counts = Lost { lost: total - kept.len() as u64, kept: kept.len() as u64 };
        (self.durable, kept, counts)
    }
}

impl Op {
    fn bytes(&self) -> u64 {
        match self {
            Self::Deallocate { .. } => size_of::<Self>() as u64,
            Self::Write { data, .. } => (size_of::<Self>() + data.len()) as u64,
        }
    }
}
