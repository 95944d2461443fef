use crate::meta::load;
use crate::rule::{Body, Rule};
use model::files::MemFiles;
use model::{Problem, Severity};

const BASE: &str = "AnalysisType: rule\nRuleID: Base\nEnabled: false\nSeverity: Low\nLogTypes: [A.B]\nFilename: base.py\n\
                    Threshold: 3\nTags: [one]\nDescription: of the base\nSummaryAttributes: [p_any_usernames]\n";
const BODY: &str = "def rule(event):\n    return event.get('a') == 1\n";

fn loaded(derived: &[(&str, &str)]) -> (Vec<Rule>, Vec<Problem>) {
    let mut files = MemFiles::of(&[("base/b.yml", BASE), ("base/base.py", BODY)]);
    for (name, text) in derived {
        let text = format!("AnalysisType: rule\nEnabled: true\n{text}");
        files.0.insert(format!("own/{name}.yml"), text.into_bytes().into());
    }
    load(&files, &["own".into(), "base".into()])
}

fn find<'a>(rules: &'a [Rule], id: &str) -> &'a Rule {
    rules.iter().find(|r| &*r.meta.id == id).unwrap_or_else(|| panic!("{id} is not there"))
}

#[test]
fn it_has_the_logic_of_its_base_and_facts_of_its_own() {
    let (rules, problems) = loaded(&[(
        "d",
        "RuleID: D\nBaseDetection: Base\nSeverity: High\nTags: [two]\nInlineFilters: [{KeyPath: b, Condition: Exists}]\n",
    )]);
    assert_eq!(problems, []);
    let (base, d) = (find(&rules, "Base"), find(&rules, "D"));
    assert!(d.enabled && !base.enabled);
    assert_eq!((d.meta.severity, d.meta.threshold, base.meta.severity), (Severity::High, 3, Severity::Low));
    assert_eq!((d.meta.tags.join(","), d.meta.description.as_str()), ("two".into(), "of the base"));
    assert_eq!((d.log_types.clone(), d.filters.len()), (base.log_types.clone(), 1));
    assert_eq!((d.file.as_str(), d.meta.name.as_str()), ("own/d.yml", "D"));
    assert!(matches!(&d.body, Body::Python(s) if *s.module.file == *"base/base.py"));
    assert_ne!(d.meta.version, base.meta.version);
}

#[test]
fn a_base_may_be_derived_and_stand_behind() {
    let (rules, problems) =
        loaded(&[("a", "RuleID: A\nBaseDetection: Z\n"), ("z", "RuleID: Z\nBaseDetection: Base\nThreshold: 9\n")]);
    assert_eq!(problems, []);
    assert_eq!(find(&rules, "A").meta.threshold, 9);
}

#[test]
fn mistakes_have_a_place() {
    for (text, line, what) in [
        ("RuleID: D\nBaseDetection: Bsae\n", 4, "there is no detection `Bsae`"),
        ("RuleID: D\nBaseDetection: D\n", 4, "there is no detection `D`"),
        ("RuleID: D\nBaseDetection: Base\nLogTypes: [A.C]\n", 5, "`LogTypes` of a derived detection"),
        ("RuleID: D\nBaseDetection: Base\nSeverity: Loud\n", 5, "`Severity` cannot be"),
        ("RuleID: D\nBaseDetection: Base\nSevrity: Low\n", 5, "`Sevrity` is not a key"),
        ("RuleID: D\nBaseDetection: []\n", 4, "must be the id of a detection"),
        ("BaseDetection: Base\n", 1, "`RuleID` is missing"),
    ] {
        let (rules, problems) = loaded(&[("d", text)]);
        let errors: Vec<_> = problems.iter().filter(|p| !p.warning).collect();
        let [e] = &errors[..] else { panic!("{text}: {errors:#?}") };
        let (file, l, _) = e.file.clone().unwrap();
        assert!(e.message.contains(what) && file == "own/d.yml" && l == line, "{text}: {e:?}");
        assert_eq!(rules.len(), 1, "{text}");
    }
}
