//! Tables of rows that remember how they were.
//!
//! A [`Table`] reads like a `BTreeMap` and is written through methods that note the row as it was
//! before. From these notes come two things: a request that is refused is taken back as if it had
//! never been ([`Part::roll_back`]), and one that succeeds says which rows must be made durable
//! ([`RowWrite`]). Rows also say under which tags they are to be found ([`Row::tags`]): a name in an
//! SVM, the volume a LUN lies in. Looking up by key or tag takes logarithmic time.
//!
//! A new table is one line in the list of a [`crate::records!`], a `Serialize` and `Deserialize` for
//! its rows, and an implementation of [`Row`], which [`crate::untagged!`] writes for a row without
//! tags.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::{Deref, DerefMut};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a table holds.
pub trait Row: Clone {
    /// What a row can be found under besides its key.
    type Tag: Ord + Clone + Debug;

    /// What this row is found under.
    fn tags(&self) -> Vec<Self::Tag> {
        Vec::new()
    }

    /// What this row adds to the total of one of its tags: [`Table::total`].
    fn weight(&self, _tag: &Self::Tag) -> u64 {
        0
    }
}

/// Rows that are found by their key alone: `untagged!(Job, About);`.
#[macro_export]
macro_rules! untagged {
    ($($row:ty),* $(,)?) => {
        $(impl $crate::Row for $row {
            type Tag = ();
        })*
    };
}
/// A row to be made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowWrite {
    /// Name of the table.
    pub table: &'static str,
    /// Its key, as JSON.
    pub key: Vec<u8>,
    /// The row as JSON; absent when it is gone.
    pub row: Option<Vec<u8>>,
}

/// What the state is made of: tables, and values there is one of.
pub trait Part {
    /// How many changes are noted: a place to come back to.
    fn mark(&self) -> usize;

    /// Takes back every change after `mark`.
    fn roll_back(&mut self, mark: usize);

    /// Adds the rows that changed since the notes were last forgotten.
    fn dirty(&self, table: &'static str, writes: &mut Vec<RowWrite>) -> Result<(), serde_json::Error>;

    /// Adds all there is.
    fn all(&self, table: &'static str, writes: &mut Vec<RowWrite>) -> Result<(), serde_json::Error>;

    /// Forgets what was noted: it is durable, or there is nowhere to keep it.
    fn forget(&mut self);

    /// Takes a row that was made durable before, without noting it.
    fn load(&mut self, key: &[u8], row: &[u8]) -> Result<(), serde_json::Error>;
}

/// Rows under a tag.
#[derive(Debug, Clone)]
struct Group<K> {
    keys: BTreeSet<K>,
    total: u128,
}

type Index<K, V> = BTreeMap<<V as Row>::Tag, Group<K>>;

/// Rows by key, in the order of the keys.
#[derive(Debug, Clone)]
pub struct Table<K, V: Row> {
    rows: BTreeMap<K, V>,
    index: Index<K, V>,
    /// Rows as they were before each change, oldest first; absent for a row that is new.
    undo: Vec<(K, Option<V>)>,
}

impl<K, V: Row> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), index: BTreeMap::new(), undo: Vec::new() }
    }
}

impl<K: Ord + Clone, V: Row> Table<K, V> {
    /// The row of this key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }

    /// Whether there is a row of this key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.rows.contains_key(key)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Keys, ascending.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.rows.keys()
    }

    /// Rows in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.rows.values()
    }

    /// Keys and rows in the order of the keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.iter()
    }

    /// Rows whose key is in the range, in order.
    pub fn range(&self, range: impl std::ops::RangeBounds<K>) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.rows.range(range)
    }

    /// The row with the lowest key.
    pub fn first(&self) -> Option<&V> {
        self.rows.values().next()
    }

    /// The row with the highest key.
    pub fn last_key_value(&self) -> Option<(&K, &V)> {
        self.rows.last_key_value()
    }

    /// The first row under a tag.
    pub fn find(&self, tag: &V::Tag) -> Option<&V> {
        self.tagged(tag).next()
    }

    /// The rows under a tag, in the order of their keys.
    pub fn tagged<'t>(&'t self, tag: &V::Tag) -> impl Iterator<Item = &'t V> + use<'t, K, V> {
        let keys = self.index.get(tag).map(|group| group.keys.iter());
        keys.into_iter().flatten().filter_map(|key| self.rows.get(key))
    }

    /// How many rows are under a tag.
    pub fn count(&self, tag: &V::Tag) -> usize {
        self.index.get(tag).map_or(0, |group| group.keys.len())
    }

    /// What the rows under a tag weigh together.
    pub fn total(&self, tag: &V::Tag) -> u64 {
        self.index.get(tag).map_or(0, |group| u64::try_from(group.total).unwrap_or(u64::MAX))
    }

    /// Puts a row in; the one it replaces.
    pub fn insert(&mut self, key: K, row: V) -> Option<V> {
        let before = self.put(key.clone(), row);
        self.undo.push((key, before.clone()));
        before
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let before = self.take(key)?;
        self.undo.push((key.clone(), Some(before.clone())));
        Some(before)
    }

    /// The row of this key, to be changed. Its tags are brought up to date when the guard is
    /// dropped.
    pub fn get_mut(&mut self, key: &K) -> Option<RowMut<'_, K, V>> {
        let row = self.rows.get_mut(key)?;
        self.undo.push((key.clone(), Some(row.clone())));
        let tags = weighed(row);
        Some(RowMut { row, tags, key: key.clone(), index: &mut self.index })
    }

    /// Takes out every row whose key is wanted.
    pub fn remove_where(&mut self, wanted: impl Fn(&K) -> bool) {
        let keys: Vec<_> = self.rows.keys().filter(|key| wanted(key)).cloned().collect();
        keys.iter().for_each(|key| drop(self.remove(key)));
    }

    /// Changes every row that is wanted.
    pub fn edit_where(&mut self, wanted: impl Fn(&V) -> bool, change: impl Fn(&mut V)) {
        let keys: Vec<_> =
            self.rows.iter().filter(|(_, row)| wanted(row)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            if let Some(mut row) = self.get_mut(&key) {
                change(&mut row);
            }
        }
    }

    fn put(&mut self, key: K, row: V) -> Option<V> {
        let before = self.take(&key);
        note(&mut self.index, &key, weighed(&row));
        self.rows.insert(key, row);
        before
    }

    fn take(&mut self, key: &K) -> Option<V> {
        let row = self.rows.remove(key)?;
        unnote(&mut self.index, key, weighed(&row));
        Some(row)
    }
}

impl<K, V> Part for Table<K, V>
where
    K: Ord + Clone + Serialize + DeserializeOwned,
    V: Row + Serialize + DeserializeOwned,
{
    fn mark(&self) -> usize {
        self.undo.len()
    }

    fn roll_back(&mut self, mark: usize) {
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some((key, Some(before))) => drop(self.put(key, before)),
                Some((key, None)) => drop(self.take(&key)),
                None => break,
            }
        }
    }

    fn dirty(&self, table: &'static str, writes: &mut Vec<RowWrite>) -> Result<(), serde_json::Error> {
        let keys: BTreeSet<_> = self.undo.iter().map(|(key, _)| key).collect();
        for key in keys {
            let row = self.rows.get(key).map(serde_json::to_vec).transpose()?;
            writes.push(RowWrite { table, key: serde_json::to_vec(key)?, row });
        }
        Ok(())
    }

    fn all(&self, table: &'static str, writes: &mut Vec<RowWrite>) -> Result<(), serde_json::Error> {
        for (key, row) in &self.rows {
            let (key, row) = (serde_json::to_vec(key)?, Some(serde_json::to_vec(row)?));
            writes.push(RowWrite { table, key, row });
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.undo.clear();
    }

    fn load(&mut self, key: &[u8], row: &[u8]) -> Result<(), serde_json::Error> {
        self.put(serde_json::from_slice(key)?, serde_json::from_slice(row)?);
        Ok(())
    }
}

/// A row that is being changed.
#[derive(Debug)]
pub struct RowMut<'t, K: Ord + Clone, V: Row> {
    row: &'t mut V,
    tags: Vec<(V::Tag, u64)>,
    key: K,
    index: &'t mut Index<K, V>,
}

impl<K: Ord + Clone, V: Row> Deref for RowMut<'_, K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        self.row
    }
}

impl<K: Ord + Clone, V: Row> DerefMut for RowMut<'_, K, V> {
    fn deref_mut(&mut self) -> &mut V {
        self.row
    }
}

impl<K: Ord + Clone, V: Row> Drop for RowMut<'_, K, V> {
    fn drop(&mut self) {
        let after = weighed(self.row);
        if after != self.tags {
            unnote(self.index, &self.key, std::mem::take(&mut self.tags));
            note(self.index, &self.key, after);
        }
    }
}

fn weighed<V: Row>(row: &V) -> Vec<(V::Tag, u64)> {
    let weighed = |tag| {
        let weight = row.weight(&tag);
        (tag, weight)
    };
    row.tags().into_iter().map(weighed).collect()
}

fn note<T: Ord, K: Ord + Clone>(index: &mut BTreeMap<T, Group<K>>, key: &K, tags: Vec<(T, u64)>) {
    for (tag, weight) in tags {
        let group = index.entry(tag).or_insert_with(|| Group { keys: BTreeSet::new(), total: 0 });
        if group.keys.insert(key.clone()) {
            group.total = group.total.saturating_add(weight.into());
        }
    }
}

fn unnote<T: Ord, K: Ord>(index: &mut BTreeMap<T, Group<K>>, key: &K, tags: Vec<(T, u64)>) {
    for (tag, weight) in tags {
        let Some(group) = index.get_mut(&tag) else { continue };
        if group.keys.remove(key) {
            group.total = group.total.saturating_sub(weight.into());
        }
        if group.keys.is_empty() {
            index.remove(&tag);
        }
    }
}

/// A value there is one of; read through it as it is, changed by [`Single::edit`].
#[derive(Debug, Clone, Default)]
pub struct Single<T> {
    value: T,
    undo: Vec<T>,
}

impl<T: Clone> Single<T> {
    /// The value, to be changed.
    pub fn edit(&mut self) -> &mut T {
        self.undo.push(self.value.clone());
        &mut self.value
    }
}

impl<T> Deref for Single<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Clone + Serialize + DeserializeOwned> Part for Single<T> {
    fn mark(&self) -> usize {
        self.undo.len()
    }

    fn roll_back(&mut self, mark: usize) {
        if let Some(before) = self.undo.get(mark) {
            self.value = before.clone();
        }
        self.undo.truncate(mark);
    }

    fn dirty(&self, table: &'static str, writes: &mut Vec<RowWrite>) -> Result<(), serde_json::Error> {
        if self.undo.is_empty() { Ok(()) } else { self.all(table, writes) }
    }

    fn all(&self, table: &'static str, writes: &mut Vec<RowWrite>) -> Result<(), serde_json::Error> {
        let row = Some(serde_json::to_vec(&self.value)?);
        writes.push(RowWrite { table, key: serde_json::to_vec(&())?, row });
        Ok(())
    }

    fn forget(&mut self) {
        self.undo.clear();
    }

    fn load(&mut self, _key: &[u8], row: &[u8]) -> Result<(), serde_json::Error> {
        self.value = serde_json::from_slice(row)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Fruit {
        name: String,
        grams: u64,
    }

    impl Row for Fruit {
        type Tag = String;

        fn tags(&self) -> Vec<String> {
            vec![self.name.clone()]
        }

        fn weight(&self, _: &String) -> u64 {
            self.grams
        }
    }

    fn fruit(name: &str, grams: u64) -> Fruit {
        Fruit { name: name.into(), grams }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u8, u8, u64),
        Remove(u8),
        Edit(u8, u8, u64),
        Mark,
        RollBack,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..8_u8, 0..4_u8, 0..100_u64).prop_map(|(key, name, grams)| Step::Insert(key, name, grams)),
            (0..8_u8).prop_map(Step::Remove),
            (0..8_u8, 0..4_u8, 0..100_u64).prop_map(|(key, name, grams)| Step::Edit(key, name, grams)),
            Just(Step::Mark),
            Just(Step::RollBack),
        ]
    }

    fn check(table: &Table<u8, Fruit>, model: &BTreeMap<u8, Fruit>) {
        assert_eq!(&table.rows, model);
        for name in ["0", "1", "2", "3"].map(String::from) {
            let under: Vec<_> = model.values().filter(|fruit| fruit.name == name).collect();
            assert_eq!(table.tagged(&name).collect::<Vec<_>>(), under);
            assert_eq!(table.count(&name), under.len());
            assert_eq!(table.total(&name), under.iter().map(|fruit| fruit.grams).sum::<u64>());
        }
    }

    proptest! {
        #[test]
        fn rows_tags_and_totals_agree_after_any_changes_and_come_back_as_they_were(
            steps in prop::collection::vec(step(), 0..60)
        ) {
            let (mut table, mut model) = (Table::default(), BTreeMap::new());
            let mut marks = Vec::new();
            for step in steps {
                match step {
                    Step::Insert(key, name, grams) => {
                        let row = fruit(&name.to_string(), grams);
                        prop_assert_eq!(table.insert(key, row.clone()), model.insert(key, row));
                    }
                    Step::Remove(key) => prop_assert_eq!(table.remove(&key), model.remove(&key)),
                    Step::Edit(key, name, grams) => {
                        let row = fruit(&name.to_string(), grams);
                        if let Some(mut edited) = table.get_mut(&key) {
                            *edited = row.clone();
                        }
                        model.entry(key).and_modify(|place| *place = row);
                    }
                    Step::Mark => marks.push((table.mark(), model.clone())),
                    Step::RollBack => {
                        if let Some((mark, was)) = marks.pop() {
                            table.roll_back(mark);
                            model = was;
                        }
                    }
                }
                check(&table, &model);
            }
        }

        #[test]
        fn the_dirty_rows_bring_a_copy_of_before_to_now(
            first in prop::collection::vec(step(), 0..20),
            second in prop::collection::vec(step(), 0..20),
        ) {
            let apply = |table: &mut Table<u8, Fruit>, steps: Vec<Step>| for step in steps {
                match step {
                    Step::Insert(key, name, grams) => drop(table.insert(key, fruit(&name.to_string(), grams))),
                    Step::Remove(key) => drop(table.remove(&key)),
                    Step::Edit(key, _, grams) => if let Some(mut row) = table.get_mut(&key) { row.grams = grams },
                    Step::Mark | Step::RollBack => {}
                }
            };
            let mut table = Table::default();
            apply(&mut table, first);
            table.forget();
            let mut copy = table.clone();
            apply(&mut table, second);
            let mut writes = Vec::new();
            table.dirty("fruit", &mut writes).unwrap();
            for write in writes {
                match write.row {
                    Some(row) => copy.load(&write.key, &row).unwrap(),
                    None => drop(copy.take(&serde_json::from_slice(&write.key).unwrap())),
                }
            }
            check(&copy, &table.rows);
        }
    }

    #[test]
    fn a_single_value_goes_back_to_any_mark_and_is_dirty_only_after_a_change() {
        let mut single = Single { value: 1, undo: Vec::new() };
        let mark = single.mark();
        *single.edit() = 2;
        *single.edit() = 3;
        let mut writes = Vec::new();
        single.dirty("one", &mut writes).unwrap();
        assert_eq!(writes[0].row.as_deref(), Some(&b"3"[..]));
        single.roll_back(mark);
        assert_eq!(*single, 1);
        writes.clear();
        single.dirty("one", &mut writes).unwrap();
        assert_eq!(writes, []);
    }
}
