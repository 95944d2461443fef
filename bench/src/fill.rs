//! Placeholders in commands and paths: `{INPUT}` becomes the value of INPUT.
//!
//! Only upper-case names in braces are placeholders, so that shell and awk braces pass unchanged; `${NAME}` belongs to
//! the shell. A name without a value is an error, not an empty string: a misspelt command must not be measured.
use anyhow::{Result, bail};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Values by name.
pub type Values = BTreeMap<String, String>;

/// `template` with every placeholder replaced by its value as it is.
pub fn plain(template: &str, values: &Values) -> Result<String> {
    fill(template, values, |v| Cow::Borrowed(v))
}

/// `template`, a shell command, with every placeholder replaced by its value as one quoted word.
pub fn shell(template: &str, values: &Values) -> Result<String> {
    fill(template, values, quoted)
}

fn fill(template: &str, values: &Values, form: impl Fn(&str) -> Cow<'_, str>) -> Result<String> {
    let (mut out, mut rest) = (String::with_capacity(template.len()), template);
    while let Some(open) = rest.find('{') {
        let (before, after) = (&rest[..open], &rest[open + 1..]);
        out += before;
        match name(after).filter(|_| !before.ends_with('$')) {
            Some(name) => {
                let Some(value) = values.get(name) else {
                    let known = values.keys().map(|k| format!("{{{k}}}")).collect::<Vec<_>>().join(" ");
                    bail!("{{{name}}} in `{template}` has no value; there are {known}");
                };
                out += &form(value);
                rest = &after[name.len() + 1..];
            }
            None => {
                out.push('{');
                rest = after;
            }
        }
    }
    Ok(out + rest)
}

/// The placeholder's name at the start of `text`, if its closing brace follows.
fn name(text: &str) -> Option<&str> {
    let name = &text[..text.find('}')?];
    let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    fits.then_some(name)
}

/// `value` as one word of a POSIX shell.
fn quoted(value: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+:,@%".contains(&b);
    match !value.is_empty() && value.bytes().all(plain) {
        true => Cow::Borrowed(value),
        false => Cow::Owned(format!("'{}'", value.replace('\'', r"'\''"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        [("INPUT", "/data/in put.jsonl"), ("OUT", "/out"), ("Q", "it's")].map(|(k, v)| (k.into(), v.into())).into()
    }

    #[test]
    fn names_become_values() {
        assert_eq!(plain("{OUT}/{INPUT}{OUT}", &values()).unwrap(), "/out//data/in put.jsonl/out");
        assert_eq!(plain("nothing", &values()).unwrap(), "nothing");
    }

    #[test]
    fn values_are_one_shell_word() {
        assert_eq!(shell("cat {INPUT} >{OUT}/x", &values()).unwrap(), "cat '/data/in put.jsonl' >/out/x");
        assert_eq!(shell("echo {Q}", &values()).unwrap(), r"echo 'it'\''s'");
    }

    #[test]
    fn other_braces_pass() {
        for text in ["awk '{print $1}'", "${OUT}", "{}", "{ OUT }", "a{", "}{", "{a,b}"] {
            assert_eq!(plain(text, &values()).unwrap(), text);
        }
        assert_eq!(plain("{x{OUT}", &values()).unwrap(), "{x/out");
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known() {
        let e = plain("run {INPUTS}", &values()).unwrap_err().to_string();
        assert!(e.contains("{INPUTS}") && e.contains("{INPUT} {OUT} {Q}"), "{e}");
    }
}
