use super::*;
use crate::count::{count_rows, files};
use arrow_array::cast::AsArray;
use model::event::{Field, FieldType, FullEvent, Layout, tag};
use model::raw::{Origin, RawRecord};
use model::time::TimeFormat;

struct NoFull;
impl FullEvent for NoFull {
    fn event(&self, _: &EventBatch, _: usize) -> serde_json::Map<String, serde_json::Value> {
        serde_json::Map::new()
    }
    fn any(&self, _: &EventBatch, _: usize, _: &str, _: &mut Vec<String>) {}
}

fn layout() -> Arc<Layout> {
    Arc::new(layout_parts())
}

fn layout_parts() -> Layout {
    let field = |n: &str, ty, slot| Field { name: n.into(), ty, slot, quoted: false };
    Layout {
        log_type: "Test.Log".into(),
        table: "test_log".into(),
        version: 1,
        slots: ["name", "n", "at", "p_any_ip_addresses"].map(model::Path::key).to_vec(),
        index: [(model::Path::key("p_any_ip_addresses"), 3)].into(),
        fields: vec![
            field("name", FieldType::String, 0),
            field("n", FieldType::Int, 1),
            field("at", FieldType::Timestamp(TimeFormat::Rfc3339), 2),
        ],
        full: Arc::new(NoFull),
    }
}

/// Row i: name `x<i>`, n = i (absent for every third row), an hour apart.
fn batch(layout: &Arc<Layout>, from: u64, n: usize) -> Packet {
    let (mut data, mut pos, mut tags) = (Vec::new(), vec![0u64; 4 * n], vec![tag::ABSENT; 4 * n]);
    let mut put = |slot: usize, row: usize, text: String, t: u8| {
        pos[slot * n + row] = data.len() as u64 | (text.len() as u64) << 32;
        tags[slot * n + row] = t;
        data.extend_from_slice(text.as_bytes());
    };
    let ms = |i: u64| 1_767_225_600_000 + i as i64 * 3_600_000;
    for r in 0..n {
        let i = from + r as u64;
        put(0, r, format!("x{i}"), tag::STR);
        if i % 3 != 0 {
            put(1, r, i.to_string(), tag::NUM);
        }
        put(2, r, time::rfc3339_ms(ms(i)), tag::STR);
        put(3, r, "[\"192.0.2.1\"]".into(), tag::ARR);
    }
    data.resize(data.len() + model::raw::PAD, 0);
    Packet::Events(Arc::new(EventBatch {
        origin: Arc::new(Origin { source: "s".into(), name: "f".into(), ..Origin::default() }),
        now_ms: 0,
        lane: 0,
        layout: layout.clone(),
        data: Arc::new(data),
        rows: (0..n).map(|r| RawRecord { offset: from + r as u64, ..RawRecord::default() }).collect(),
        stride: n,
        pos,
        tag: tags,
        event_time: (0..n).map(|r| ms(from + r as u64) * 1_000_000).collect(),
        enrich: Vec::new(),
        header: None,
    }))
}

/// A shard whose files appear with every snapshot.
fn shard(dir: &Path) -> Box<dyn Sink> {
    shard_at(dir, "lake", "0s")
}

fn shard_at(dir: &Path, path: &str, max_age: &str) -> Box<dyn Sink> {
    let settings = serde_json::json!({ "path": path, "max_age": max_age });
    let node = ParquetPart.open("lake", &settings, &model::files::MemFiles::default());
    let cx = BuildCx {
        id: "lake".into(),
        topology: "test".into(),
        generation: 1,
        index: 0,
        needs: Needs::default(),
        store_events: false,
        groups: 1,
        shard: 0,
        data_dir: dir.into(),
        work_dir: dir.into(),
        event_time: true,
        once: true,
        objects: model::OpenObjects::new(aws::objects),
        ..Default::default()
    };
    match node.node.unwrap().build(&cx).unwrap() {
        Built::Sink(s) => s,
        _ => unreachable!(),
    }
}

fn info(epoch: u64, snapshot: bool) -> EpochInfo {
    EpochInfo { epoch, now_ms: 0, commands: vec![], snapshot, seal: false }
}

#[test]
fn files_appear_at_snapshots_by_hour_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (l, mut s) = (layout(), shard(dir.path()));
    s.recover(None).unwrap();
    s.stage(&batch(&l, 0, 4)).unwrap();
    assert_eq!(s.commit(&info(1, false)).unwrap(), None);
    assert_eq!(count_rows(&dir.path().join("lake")).unwrap(), 0);
    s.stage(&batch(&l, 2, 4)).unwrap();
    let r = s.commit(&info(2, true)).unwrap().unwrap();
    assert_eq!((r.rows, count_rows(&dir.path().join("lake")).unwrap(), r.waiting), (8, 8, false));
    let found = files(&dir.path().join("lake")).unwrap();
    assert_eq!(found.len(), 6);
    assert!(
        found[2].ends_with("logs/test_log/year=2026/month=01/day=01/hour=02/000000000002-000-002.parquet"),
        "{found:?}"
    );
    let file = std::fs::File::open(&found[2]).unwrap();
    let mut reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 100).unwrap();
    let b = reader.next().unwrap().unwrap();
    assert_eq!(b.num_rows(), 2);
    assert_eq!(b.column(0).as_string::<i32>().value(0), "x2");
    assert_eq!(b.column(1).as_primitive::<arrow_array::types::Int32Type>().value(1), 2);
    let ips = b.column_by_name("p_any_ip_addresses").unwrap().as_list::<i32>().value(0);
    assert_eq!(ips.as_string::<i32>().value(0), "192.0.2.1");
}

#[test]
fn a_commit_that_was_not_recorded_is_undone_and_replays_alike() {
    let dir = tempfile::tempdir().unwrap();
    let l = layout();
    let mut first = shard(dir.path());
    first.recover(None).unwrap();
    first.stage(&batch(&l, 0, 5)).unwrap();
    let r1 = first.commit(&info(1, true)).unwrap().unwrap();
    first.stage(&batch(&l, 5, 5)).unwrap();
    let r2 = first.commit(&info(2, true)).unwrap().unwrap();
    // The record of epoch 2 was never written: the next incarnation knows only epoch 1.
    let mut second = shard(dir.path());
    second.recover(Some(&r1)).unwrap();
    assert_eq!(count_rows(&dir.path().join("lake")).unwrap(), 5);
    second.stage(&batch(&l, 5, 5)).unwrap();
    let again = second.commit(&info(2, true)).unwrap().unwrap();
    assert_eq!((again.rows, &again.digest), (r2.rows, &r2.digest));
    assert_eq!(count_rows(&dir.path().join("lake")).unwrap(), 10);
    // A replay of what is committed writes nothing and says the same.
    let mut third = shard(dir.path());
    third.recover(Some(&again)).unwrap();
    third.stage(&batch(&l, 5, 5)).unwrap();
    assert_eq!(third.discard(&info(2, true)).unwrap().unwrap().digest, r2.digest);
    assert_eq!(count_rows(&dir.path().join("lake")).unwrap(), 10);
}

#[test]
fn open_files_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (l, mut s) = (layout(), shard(dir.path()));
    s.recover(None).unwrap();
    s.stage(&batch(&l, 0, OPEN_FILES_MAX + 20)).unwrap();
    let r = s.commit(&info(1, true)).unwrap().unwrap();
    assert_eq!(r.rows as usize, OPEN_FILES_MAX + 20);
    assert_eq!(count_rows(&dir.path().join("lake")).unwrap() as usize, OPEN_FILES_MAX + 20);
}

#[test]
fn a_lake_in_a_bucket_is_the_same_lake() {
    let moto = ::tests::moto::Moto::shared();
    moto.public_bucket("lake").unwrap();
    let url = format!("s3://lake/x?endpoint={}&anonymous=true", moto.url());
    let (dir, l) = (tempfile::tempdir().unwrap(), layout());
    let bucket = aws::objects(&url).unwrap();
    let rows = || crate::count_rows_in(&*bucket).unwrap();
    let mut first = shard_at(dir.path(), &url, "0s");
    first.recover(None).unwrap();
    first.stage(&batch(&l, 0, 5)).unwrap();
    assert_eq!((first.commit(&info(1, false)).unwrap(), rows()), (None, 0));
    let r2 = first.commit(&info(2, true)).unwrap().unwrap();
    assert_eq!((r2.rows, rows()), (5, 5));
    let names = bucket.list("logs/test_log/").unwrap();
    assert_eq!(names[2], "logs/test_log/year=2026/month=01/day=01/hour=02/000000000002-000-002.parquet");
    first.stage(&batch(&l, 5, 5)).unwrap();
    let r3 = first.commit(&info(3, true)).unwrap().unwrap();
    // The record of epoch 3 was lost: its files go, on this machine or another one, and the replay brings them back.
    let other = tempfile::tempdir().unwrap();
    for at in [dir.path(), other.path()] {
        let mut next = shard_at(at, &url, "0s");
        next.recover(Some(&r2)).unwrap();
        assert_eq!(rows(), 5);
        next.stage(&batch(&l, 5, 5)).unwrap();
        assert_eq!((next.commit(&info(3, true)).unwrap().unwrap(), rows()), (r3.clone(), 10));
    }
    // Where the record was written after all, staging holds nothing any more.
    let mut last = shard_at(dir.path(), &url, "0s");
    last.recover(Some(&r3)).unwrap();
    assert_eq!((bucket.list("_staging/").unwrap(), rows()), (vec![], 10));
    // Another run must not write here.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut foreign = shard_at(elsewhere.path(), &url, "0s");
    foreign.recover(None).unwrap();
    foreign.stage(&batch(&l, 40, 1)).unwrap();
    foreign.stage(&batch(&l, 0, 1)).unwrap();
    foreign.stage(&batch(&l, 0, 1)).unwrap();
    let e = foreign.commit(&info(2, true)).unwrap_err().to_string();
    assert!(e.contains("exists with other bytes") && e.contains("hour=00/000000000002-000-000.parquet"), "{e}");
}

/// A snapshot epoch at a time in seconds.
fn at(epoch: u64, seconds: i64) -> EpochInfo {
    EpochInfo { now_ms: seconds * 1000, ..info(epoch, true) }
}

#[test]
fn rows_wait_for_a_larger_file_and_survive() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let state = || (files(&lake).unwrap().len(), count_rows(&lake).unwrap());
    let (l, mut s) = (layout(), shard_at(dir.path(), "lake", "60s"));
    s.recover(None).unwrap();
    s.stage(&batch(&l, 0, 2)).unwrap();
    let r1 = s.commit(&at(1, 0)).unwrap().unwrap();
    assert_eq!((r1.rows, r1.waiting, state()), (2, true, (0, 2)));
    s.stage(&batch(&l, 1, 2)).unwrap();
    let r2 = s.commit(&at(2, 30)).unwrap().unwrap();
    assert_eq!((r2.rows, r2.waiting, state()), (2, true, (0, 4)));
    // Killed before the record of epoch 2 was written: its rows are replayed, those of epoch 1 are still there.
    let mut s = shard_at(dir.path(), "lake", "60s");
    s.recover(Some(&r1)).unwrap();
    assert_eq!(state(), (0, 2));
    s.stage(&batch(&l, 1, 2)).unwrap();
    assert_eq!(s.commit(&at(2, 30)).unwrap().unwrap(), r2);
    // Nothing comes in, but a minute is over for the rows of epoch 1: hours 0 and 1 appear, one file each.
    let r3 = s.commit(&at(3, 60)).unwrap().unwrap();
    assert_eq!((r3.rows, r3.waiting, state()), (0, true, (2, 4)));
    // Killed before the record of epoch 3: the files go, and come again with the same bytes.
    let bytes = || files(&lake).unwrap().iter().map(|f| std::fs::read(f).unwrap()).collect::<Vec<_>>();
    let before = bytes();
    let mut s = shard_at(dir.path(), "lake", "60s");
    s.recover(Some(&r2)).unwrap();
    assert_eq!(state(), (0, 4));
    assert_eq!(s.commit(&at(3, 60)).unwrap().unwrap(), r3);
    assert_eq!(bytes(), before);
    // The end of a session leaves nothing behind.
    let r4 = s.commit(&EpochInfo { seal: true, ..at(4, 61) }).unwrap().unwrap();
    assert_eq!((r4.rows, r4.waiting, state()), (0, false, (3, 4)));
    s.finish(0).unwrap();
    assert_eq!(std::fs::read_dir(lake.join("_staging/lake-0")).unwrap().count(), 0);
    assert_eq!(names(&files(&lake).unwrap()[1]), ["x1", "x1"]);
}

#[test]
fn what_waits_becomes_the_same_file_after_a_start_that_sees_no_event() {
    // A text field with the name of the records' time.
    let mut with_time = layout_parts();
    with_time.fields[0].name = "time".into();
    let l = Arc::new(with_time);
    let file = |restart: bool| {
        let dir = tempfile::tempdir().unwrap();
        let mut s = shard_at(dir.path(), "lake", "60s");
        s.recover(None).unwrap();
        s.stage(&backwards(&l, 3)).unwrap();
        s.commit(&at(1, 0)).unwrap();
        s.stage(&backwards(&l, 3)).unwrap();
        let r = s.commit(&at(2, 1)).unwrap().unwrap();
        if restart {
            s = shard_at(dir.path(), "lake", "60s");
            s.recover(Some(&r)).unwrap();
        }
        s.commit(&EpochInfo { seal: true, ..at(3, 2) }).unwrap();
        let found = files(&dir.path().join("lake")).unwrap();
        assert_eq!(names(&found[0]), ["x2", "x2", "x1", "x1", "x0", "x0"]);
        std::fs::read(&found[0]).unwrap()
    };
    assert!(file(false) == file(true));
}

#[test]
fn rows_that_wait_must_be_where_they_were_left() {
    let dir = tempfile::tempdir().unwrap();
    let (l, mut s) = (layout(), shard_at(dir.path(), "lake", "60s"));
    s.recover(None).unwrap();
    s.stage(&batch(&l, 0, 2)).unwrap();
    let r = s.commit(&at(1, 0)).unwrap().unwrap();
    std::fs::write(dir.path().join("lake/_staging/lake-0/000000000001-001.parquet"), "cut").unwrap();
    let e = shard_at(dir.path(), "lake", "60s").recover(Some(&r)).unwrap_err().to_string();
    assert!(e.contains("logs/test_log") && e.contains("000000000001-001.parquet is not there as it was left"), "{e}");
}

#[test]
fn rows_wait_in_the_bucket_where_any_machine_finds_them() {
    let moto = ::tests::moto::Moto::shared();
    moto.public_bucket("waiting").unwrap();
    let url = format!("s3://waiting/x?endpoint={}&anonymous=true", moto.url());
    let (one, two, l) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), layout());
    let bucket = aws::objects(&url).unwrap();
    let mut s = shard_at(one.path(), &url, "60s");
    s.recover(None).unwrap();
    s.stage(&batch(&l, 0, 1)).unwrap();
    let r = s.commit(&at(1, 0)).unwrap().unwrap();
    assert_eq!((bucket.list("logs/").unwrap().len(), crate::count_rows_in(&*bucket).unwrap()), (0, 1));
    let mut s = shard_at(two.path(), &url, "60s");
    s.recover(Some(&r)).unwrap();
    s.stage(&batch(&l, 0, 1)).unwrap();
    s.commit(&EpochInfo { seal: true, ..at(2, 1) }).unwrap();
    assert_eq!((bucket.list("logs/").unwrap().len(), crate::count_rows_in(&*bucket).unwrap()), (1, 2));
    s.finish(0).unwrap();
    assert_eq!((bucket.list("_staging/").unwrap(), crate::count_rows_in(&*bucket).unwrap()), (vec![], 2));
}

/// Values of the first column.
fn names(file: &Path) -> Vec<String> {
    let file = std::fs::File::open(file).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 1 << 20).unwrap();
    let of = |b: arrow_array::RecordBatch| {
        b.column(0).as_string::<i32>().iter().map(|v| v.unwrap().to_string()).collect::<Vec<_>>()
    };
    reader.flat_map(|b| of(b.unwrap())).collect()
}

/// `n` rows of one hour, the last one first.
fn backwards(layout: &Arc<Layout>, n: usize) -> Packet {
    let Packet::Events(b) = batch(layout, 0, n) else { unreachable!() };
    let mut b = EventBatch::clone(&b);
    b.event_time = (0..n as i64).map(|i| 1_767_225_600_000_000_000 + (n as i64 - i) * 1_000_000).collect();
    Packet::Events(Arc::new(b))
}

#[test]
fn few_rows_become_one_sorted_row_group_and_many_are_copied_with_their_indexes() {
    use parquet::bloom_filter::Sbbf;
    use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
    for (rows, groups) in [(50, 1), (20_000, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let (l, mut s) = (layout(), shard_at(dir.path(), "lake", "60s"));
        s.recover(None).unwrap();
        s.stage(&backwards(&l, rows)).unwrap();
        s.commit(&at(1, 0)).unwrap();
        s.stage(&backwards(&l, rows)).unwrap();
        s.commit(&EpochInfo { seal: true, ..at(2, 1) }).unwrap();
        let found = files(&dir.path().join("lake")).unwrap();
        let [file] = &found[..] else { panic!("{found:?}") };
        let got = names(file);
        assert_eq!(got.len(), 2 * rows);
        let first = format!("x{}", rows - 1);
        let again = if groups == 1 { 1 } else { rows };
        assert_eq!((&got[0], &got[again]), (&first, &first), "{rows}");
        let file = std::fs::File::open(file).unwrap();
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
        let metadata = reader.parse_and_finish(&file).unwrap();
        assert_eq!(metadata.num_row_groups(), groups);
        for group in 0..groups {
            let bloom = |name: &str| {
                let columns = metadata.row_group(group).columns();
                let column = columns.iter().find(|c| c.column_path().string() == name).unwrap();
                Sbbf::read_from_column_chunk(column, &file).unwrap()
            };
            let ips = bloom("p_any_ip_addresses.list.item").unwrap();
            assert!(ips.check("192.0.2.1") && !ips.check("192.0.2.2"));
            assert!(bloom("p_any_emails.list.item").is_none() && bloom("name").is_none());
            assert!(metadata.offset_index().unwrap()[group].iter().all(|c| !c.page_locations().is_empty()));
        }
    }
}
