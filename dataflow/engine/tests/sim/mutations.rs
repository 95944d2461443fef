//! Steps of the protocol that are broken on purpose, one at a time: some by switches in the code (`model::fault`), those
//! called `mock_` in the simulated world.

/// Name and meaning.
pub const MUTATIONS: &[(&str, &str)] = &[
    ("commit_before_write", "a commit record is written before its rows"),
    ("manifest_early", "a manifest claims epochs that are not committed"),
    ("apply_on_arrival", "state takes records of epochs that are not due"),
    ("claim_twice", "two workers read the same split"),
    ("keep_events", "events of another worker's lane stay with whoever read them"),
    ("skip_state", "changed state is not saved"),
    ("no_epoch_log", "epochs are not logged"),
    ("mock_late_epoch", "an epoch is read before its record is durable"),
    ("mock_read_on", "a reader reads what is there, not what was logged"),
    ("mock_trim_too_much", "the log forgets an epoch that is needed"),
    ("kafka_no_fence", "progress is read before earlier writers are fenced"),
    ("mock_no_fence", "earlier writers are not fenced"),
    ("kafka_commit_twice", "rows are written again after an unknown outcome, without a look at what is visible"),
    ("mock_keep_producer", "a producer is kept after an unknown outcome"),
    ("kafka_progress_outside", "progress is not in the transaction of its rows"),
    ("mock_lane_by_worker", "lanes follow workers, not splits"),
    ("mock_no_truncate", "what is beyond the commit record stays"),
    ("mock_no_data_sync", "rows are not synced before their commit record"),
    ("mock_no_object_sync", "objects are not synced before they are named"),
    ("mock_no_folder_sync", "names are not synced"),
];
