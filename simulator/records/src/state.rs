//! A whole state: many tables, to which the same is done.

/// A moment of a state to come back to: what `mark_rows` of a [`crate::records!`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks(#[doc(hidden)] pub Vec<usize>);

/// A state that can be kept in a [`crate::DataDir`]; [`crate::records!`] writes it.
pub trait Records: Default {
    /// Takes a row back in that was made durable before; whether there is such a table.
    ///
    /// # Errors
    /// When key or row are not of this table.
    fn load_row(&mut self, table: &str, key: &[u8], row: &[u8]) -> Result<bool, serde_json::Error>;
}

/// Writes a state from the list of what it holds, and what is done to all of it alike. The fields in
/// `beside` are neither rolled back nor durable.
///
/// ```
/// use records::{Records as _, Single, Table};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Clone, Serialize, Deserialize)]
/// struct Fruit(String);
/// records::untagged!(Fruit);
///
/// records::records! {
///     /// All there is.
///     #[derive(Debug, Default)]
///     pub struct Larder beside { door_open: bool, }
///
///     /// What can be eaten.
///     fruits: Table<u32, Fruit>,
///     /// The last number.
///     last: Single<u32>,
/// }
///
/// let mut larder = Larder::default();
/// let before = larder.mark_rows();
/// larder.fruits.insert(1, Fruit("plum".into()));
/// let rows = larder.dirty_rows()?;
/// larder.roll_back_rows(&before);
/// assert!(larder.fruits.is_empty());
/// let row = &rows[0];
/// assert!(larder.load_row(row.table, &row.key, row.row.as_ref().unwrap())?);
/// assert_eq!(larder.fruits.len(), 1);
/// # larder.door_open = *larder.last > 1;
/// # larder.forget_dirty();
/// # Ok::<(), serde_json::Error>(())
/// ```
#[macro_export]
macro_rules! records {
    (
        $(#[$meta:meta])*
        $vis:vis struct $state:ident beside { $($beside:ident: $beside_type:ty,)* }
        $($(#[$doc:meta])* $name:ident: $part:ty,)*
    ) => {
        $(#[$meta])*
        $vis struct $state {
            $($beside: $beside_type,)*
            $($(#[$doc])* pub(crate) $name: $part,)*
        }

        impl $state {
            /// Where the rows stand, for [`Self::roll_back_rows`].
            pub(crate) fn mark_rows(&self) -> $crate::Marks {
                use $crate::Part as _;
                $crate::Marks(vec![$(self.$name.mark(),)*])
            }

            /// Takes back all that was done to rows since.
            pub(crate) fn roll_back_rows(&mut self, marks: &$crate::Marks) {
                use $crate::Part as _;
                let mut marks = marks.0.iter().copied();
                $(if let Some(mark) = marks.next() { self.$name.roll_back(mark); })*
            }

            /// The rows that changed since [`Self::forget_dirty`].
            ///
            /// # Errors
            /// When a row has no JSON.
            $vis fn dirty_rows(&self) -> Result<Vec<$crate::RowWrite>, serde_json::Error> {
                use $crate::Part as _;
                let mut writes = Vec::new();
                $(self.$name.dirty(stringify!($name), &mut writes)?;)*
                Ok(writes)
            }

            /// Every row there is.
            ///
            /// # Errors
            /// When a row has no JSON.
            $vis fn all_rows(&self) -> Result<Vec<$crate::RowWrite>, serde_json::Error> {
                use $crate::Part as _;
                let mut writes = Vec::new();
                $(self.$name.all(stringify!($name), &mut writes)?;)*
                Ok(writes)
            }

            /// What changed is durable now, or need not be.
            $vis fn forget_dirty(&mut self) {
                use $crate::Part as _;
                $(self.$name.forget();)*
            }
        }

        impl $crate::Records for $state {
            fn load_row(&mut self, table: &str, key: &[u8], row: &[u8]) -> Result<bool, serde_json::Error> {
                use $crate::Part as _;
                match table {
                    $(stringify!($name) => self.$name.load(key, row).map(|()| true),)*
                    _ => Ok(false),
                }
            }
        }
    };
}
