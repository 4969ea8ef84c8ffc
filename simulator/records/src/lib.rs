//! What a simulator keeps its state in: tables of rows that remember how they were, and a data
//! directory that brings them back.
//!
//! ```text
//! request ─ state (records!) ─ refused: roll_back_rows ─ as if it had never been
//!                            └ done: dirty_rows ─ DataDir::save ─ durable ─ forget_dirty ─ answer
//! start ─ DataDir::open ─ load ─ load_row ─ the state as it was
//! ```
//!
//! It knows nothing of arrays. What rows mean, and the contents that rows name, are the simulators'.

mod data_dir;
mod state;
mod table;

pub use data_dir::{DataDir, DataDirError};
pub use state::{Marks, Records};
pub use table::{Part, Row, RowMut, RowWrite, Single, Table};
