//! The words every room speaks: events, positions, epochs, matches, alerts, and the traits a part implements.
//!
//! No I/O loops, no timely, no threads. Operators and connectors depend on this crate alone; the engine drives
//! them through the traits of [`part`], [`operator`], [`source`] and [`sink`].
//!
//! How an event travels: a [`source::Source`] cuts its input into [`source::Split`]s, an epoch names the splits it
//! holds ([`epoch::EpochRecord`]), a reader turns a split into [`raw::RawBatch`]es, `parse` turns those into
//! [`event::EventBatch`]es (raw bytes plus span columns), `detect` turns rows into [`record::Match`]es, and keyed
//! operators turn those into [`record::Alert`]s.

mod alert_row;
pub mod codec;
pub mod epoch;
pub mod event;
pub mod fault;
pub mod fields;
pub mod files;
pub mod json;
pub mod key;
pub mod lookup;
pub mod needs;
pub mod objects;
pub mod operator;
pub mod part;
pub mod path;
pub mod pos;
pub mod random;
pub mod raw;
pub mod record;
pub mod severity;
pub mod sink;
pub mod source;
pub mod store;
pub mod time;
pub mod units;
pub mod value;
pub mod waits;

pub use epoch::{Epoch, EpochInfo, EpochRecord};
pub use event::{EventBatch, Layout};
pub use fields::Fields;
pub use files::Files;
pub use lookup::{EnrichColumn, LookupTable};
pub use needs::Needs;
pub use objects::{Objects, OpenObjects};
pub use operator::{Ctx, Keyed, Map, Packet};
pub use part::{BuildCx, Built, Flow, Inner, Kind, Node, Part, Port, Problem, Spec};
pub use path::Path;
pub use pos::Pos;
pub use raw::{Origin, RawBatch, RawRecord};
pub use record::{Alert, AlertKind, Change, Judges, LedgerRow, Match, Record, Rejected, RuleMeta, Signal};
pub use severity::Severity;
pub use sink::{Receipt, Sink};
pub use source::{Reader, Source, Split};
pub use value::Value;

/// Errors of the outside world (disk, network, a corrupt log): they end this incarnation of the engine, and the
/// supervisor starts the next one from the log. Bad *data* is never an error: it is a [`record::Rejected`].
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// Result with the engine-stopping [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
