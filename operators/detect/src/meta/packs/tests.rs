use super::*;
use crate::meta::{self, Collection};
use crate::sigma::mapping::Mappings;
use model::files::MemFiles;

fn rule(id: &str, enabled: bool) -> String {
    format!(
        "AnalysisType: rule\nRuleID: {id}\nEnabled: {enabled}\nSeverity: Low\nLogTypes: [A.B]\n\
         Detection: [{{Key: a, Condition: Exists}}]\n"
    )
}

const AWS: &str = "AnalysisType: pack\nPackID: P.AWS.Core\nDisplayName: AWS\nPackDefinition:\n  IDs:\n    - A.On\n    - A.Off\n    - Gone\n    - Q\n";
const GCP: &str = "AnalysisType: pack\nPackID: P.GCP\nPackDefinition: {IDs: [G.On, A.On]}\n";

fn checkout() -> MemFiles {
    MemFiles::of(&[
        ("c/rules/on.yml", &rule("A.On", true)),
        ("c/rules/off.yml", &rule("A.Off", false)),
        ("c/rules/g.yml", &rule("G.On", true)),
        ("c/rules/alone.yml", &rule("Alone", true)),
        ("c/queries/q.yml", "AnalysisType: saved_query\nQueryName: Q\nQuery: x\n"),
        ("c/packs/aws.yml", AWS),
        ("c/packs/gcp.yml", GCP),
        ("own/r.yml", &rule("Own", true)),
        ("own/off.yml", &rule("Own.Off", false)),
    ])
}

fn load(files: &MemFiles) -> Collection {
    meta::collect(files, &["c".into(), "own".into()], &Mappings::shipped())
}

/// Ids that run, and what was found.
fn chosen(packs: Option<&[&str]>, except: &[&str]) -> (Vec<String>, Vec<Problem>) {
    let c = load(&checkout());
    assert!(c.problems.iter().all(|p| p.warning), "{:?}", c.problems);
    let texts = |list: &[&str]| list.iter().map(|t| t.to_string()).collect::<Vec<_>>();
    let mut problems = Vec::new();
    let packs = packs.map(texts);
    let chosen = c.packs.choose(packs.as_deref(), &texts(except), &mut problems);
    let mut ids: Vec<String> =
        c.rules.iter().filter(|r| chosen.runs(&r.meta.id, r.enabled)).map(|r| r.meta.id.to_string()).collect();
    ids.sort();
    (ids, problems)
}

#[test]
fn a_chosen_pack_runs_its_members_and_nothing_else_of_its_source() {
    assert_eq!(chosen(None, &[]).0, ["A.On", "Alone", "G.On", "Own"]);
    let (ids, problems) = chosen(Some(&["P.AWS.Core"]), &[]);
    assert_eq!(ids, ["A.Off", "A.On", "Own"]);
    let [gone] = &problems[..] else { panic!("{problems:?}") };
    assert!(gone.warning && gone.message.contains("`Gone`"), "{gone:?}");
    assert_eq!(gone.file, Some(("c/packs/aws.yml".into(), 8, 7)));
    assert_eq!(chosen(Some(&["P.*"]), &[]).0, ["A.Off", "A.On", "G.On", "Own"]);
    assert_eq!(chosen(Some(&[]), &[]).0, ["Own"]);
}

#[test]
fn what_is_excepted_does_not_run() {
    assert_eq!(chosen(Some(&["P.*"]), &["A.Off", "Own"]).0, ["A.On", "G.On"]);
    assert_eq!(chosen(Some(&["P.*"]), &["P.GCP"]).0, ["A.Off", "Own"]);
    assert_eq!(chosen(None, &["A.*"]).0, ["Alone", "G.On", "Own"]);
}

#[test]
fn what_is_named_in_vain_is_told() {
    let (_, problems) = chosen(Some(&["P.AWS.Coer", "P.GCP"]), &["Nothing.Like.This"]);
    let errors: Vec<_> = problems.iter().filter(|p| !p.warning).collect();
    assert_eq!(errors.iter().map(|p| p.setting.as_str()).collect::<Vec<_>>(), ["packs[0]", "except[0]"]);
    assert_eq!(errors[0].hint.as_deref(), Some("did you mean `P.AWS.Core`?"));
}

#[test]
fn the_version_of_a_pack_follows_its_members() {
    let version = |files: &MemFiles, id: &str| {
        let c = load(files);
        c.packs.version(c.packs.packs.iter().find(|p| p.id == id).unwrap())
    };
    let (before, mut files) = (checkout(), checkout());
    files.0.insert("c/rules/g.yml".into(), rule("G.On", true).replace("Low", "High").into_bytes().into());
    assert_eq!(version(&before, "P.AWS.Core"), version(&files, "P.AWS.Core"));
    assert_ne!(version(&before, "P.GCP"), version(&files, "P.GCP"));
    files.0.insert("c/queries/q.yml".into(), b"AnalysisType: saved_query\nQueryName: Q\nQuery: y\n"[..].into());
    assert_ne!(version(&before, "P.AWS.Core"), version(&files, "P.AWS.Core"));
}

#[test]
fn mistakes_have_a_place() {
    for (text, line, what) in [
        ("AnalysisType: pack\nPackID: P\n", 1, "`PackDefinition` must have a list `IDs`"),
        ("AnalysisType: pack\nPackID: P\nPackDefinition:\n  IDs: [A, 1]\n", 4, "must be the id of"),
        ("AnalysisType: pack\nPackDefinition: {IDs: []}\n", 1, "`PackID` must be an id"),
        ("AnalysisType: pack\nPackID: P\nPackDef: {}\nPackDefinition: {IDs: []}\n", 3, "PackDef"),
        ("AnalysisType: pack\nPackID: P.GCP\nPackDefinition: {IDs: []}\n", 1, "is the id of the pack in"),
    ] {
        let mut files = checkout();
        files.0.insert("c/packs/zz.yml".into(), text.as_bytes().into());
        let c = load(&files);
        let errors: Vec<_> = c.problems.iter().filter(|p| !p.warning).collect();
        let [e] = &errors[..] else { panic!("{text}: {errors:?}") };
        let (file, l, _) = e.file.clone().unwrap();
        assert!(file == "c/packs/zz.yml" && l == line && e.message.contains(what), "{text}: {e:?}");
    }
}

#[test]
fn stars_stand_for_any_text() {
    for (id, like, want) in [
        ("a.b.c", "a.b.c", true),
        ("a.b.c", "a.b", false),
        ("a.b.c", "a.*", true),
        ("a.b.c", "*", true),
        ("a.b.c", "*.c", true),
        ("a.b.c", "a*b*c", true),
        ("a.b.c", "a*c*b", false),
        ("a", "a*a", false),
    ] {
        assert_eq!(is_like(id, like), want, "{id} {like}");
    }
}
