//! The common workload out of Kafka: the bytes that the file gives, and in Kafka the same records, however it is run.
use tests::kafka::{Broker, read_all, unique};
use tests::project::{common_input, common_reference, root};
use tests::run::{Pipeline, copy_dir};

/// Processes and workers.
const SIZES: [(usize, usize); 3] = [(1, 1), (1, 4), (2, 2)];

#[test]
fn from_one_partition_come_the_bytes_of_the_file_with_any_size() {
    let broker = Broker::shared();
    let (input, lookup) = common_input(200_000, 20_260_301).unwrap();
    let want = common_reference(&input, &lookup, 1000).unwrap();
    let topic = unique("common-in");
    broker.fill(&topic, 1, &input).unwrap();
    let case = root().join("bench/cases/common");
    let text = std::fs::read_to_string(case.join("topology.toml")).unwrap();
    let file = "type = \"file\"\npath = \"${INPUT}\"\nfollow = false";
    let source = format!("type = \"kafka\"\nbrokers = \"{}\"\ntopics = [\"{topic}\"]", broker.bootstrap());
    assert!(text.contains(file));
    for (processes, workers) in SIZES {
        let name = format!("name = \"{}\"", unique("common"));
        let mut p = Pipeline::new(&text.replace(file, &source).replace("name = \"common\"", &name)).unwrap();
        copy_dir(&case.join("rules"), &p.dir.path().join("rules")).unwrap();
        p.set("LOOKUP", &lookup.to_string_lossy());
        p.once_as(processes, workers).unwrap();
        assert!(p.read("alerts.jsonl") == want, "{processes} processes of {workers} workers: other bytes");
    }
}

#[test]
fn from_four_partitions_to_kafka_come_the_same_records_with_any_size() {
    let broker = Broker::shared();
    let (input, lookup) = common_input(200_000, 20_260_301).unwrap();
    let alerts = common_reference(&input, &lookup, 1000).unwrap().iter().filter(|b| **b == b'\n').count();
    let topic = unique("common-in");
    broker.fill(&topic, 4, &input).unwrap();
    let mut first: Option<Vec<String>> = None;
    for (processes, workers) in SIZES {
        let (p, out) = Pipeline::common_kafka(broker, &topic, &lookup).unwrap();
        p.once_as(processes, workers).unwrap();
        let mut got: Vec<String> =
            read_all(&broker.bootstrap(), &out, true).unwrap().iter().map(|m| m.text()).collect();
        got.sort();
        assert_eq!(got.len(), alerts, "{processes} processes of {workers} workers");
        assert!(*first.get_or_insert_with(|| got.clone()) == got, "{processes} processes of {workers} workers");
    }
}
