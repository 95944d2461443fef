//! Events of Sysmon for Linux, which writes them to syslog as XML in one line:
//! `Nov 24 09:14:00 host sysmon: <Event><System>…</System><EventData><Data Name="Image">/bin/sh</Data>…</EventData></Event>`.
//!
//! What stands before `<Event>` is the transport's and is not looked at. Elements of `System` become fields of their
//! name, their attributes those that the Windows event log type has for them; each `Data` becomes the field it names, but
//! for `-`, which says that there is no value.
use super::columns::text;
use super::{Native, NativeStream};
use crate::flat::FlatMap;
use std::borrow::Cow;

/// `Linux.Sysmon`.
pub struct SysmonLinux;

impl Native for SysmonLinux {
    fn name(&self) -> &'static str {
        "sysmon_linux"
    }
    fn new_stream(&self) -> Box<dyn NativeStream> {
        Box::new(SysmonLinux)
    }
}

/// Element of `System`, its attribute, the field.
const ATTRIBUTES: &[(&str, &str, &str)] = &[
    ("Provider", "Name", "Provider_Name"),
    ("Provider", "Guid", "ProviderGuid"),
    ("TimeCreated", "SystemTime", "SystemTime"),
    ("Execution", "ProcessID", "ExecutionProcessID"),
    ("Execution", "ThreadID", "ThreadID"),
    ("Security", "UserId", "UserID"),
];

impl NativeStream for SysmonLinux {
    fn parse(&mut self, line: &str, _header: Option<&str>, out: &mut FlatMap) -> Result<Option<()>, String> {
        let at = line.find("<Event>").or_else(|| line.find("<Event ")).ok_or("there is no <Event> in the line")?;
        let event = &line[at..];
        let mut system = between(event, "<System>", "</System>").ok_or("the event has no <System>")?;
        while let Some((e, rest)) = element(system)? {
            for (_, attribute, field) in ATTRIBUTES.iter().filter(|(name, ..)| *name == e.name) {
                if let Some(value) = e.attribute(attribute) {
                    out.put(field, &decoded(value));
                }
            }
            if !e.text.trim().is_empty() {
                out.put(e.name, &decoded(e.text.trim()));
            }
            system = rest;
        }
        let mut data = between(event, "<EventData>", "</EventData>").unwrap_or_default();
        while let Some((e, rest)) = element(data)? {
            let name = e.attribute("Name").filter(|n| e.name == "Data" && !n.is_empty());
            let name = name.ok_or("an element of <EventData> is not <Data Name=\"…\">")?;
            text(out, name, &decoded(e.text));
            data = rest;
        }
        Ok(Some(()))
    }
}

/// What is between the first `open` and the last `close`.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let inner = &text[text.find(open)? + open.len()..];
    Some(&inner[..inner.rfind(close)?])
}

/// An element without others in it.
struct Element<'a> {
    name: &'a str,
    attributes: &'a str,
    text: &'a str,
}

impl<'a> Element<'a> {
    fn attribute(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.attributes.trim_start();
        while let Some((key, after)) = rest.split_once('=') {
            let quote = after.chars().next().filter(|c| ['"', '\''].contains(c))?;
            let (value, after) = after[1..].split_once(quote)?;
            if key.trim() == name {
                return Some(value);
            }
            rest = after.trim_start();
        }
        None
    }
}

/// The element at the start of `text`, and what follows it; none at the end.
fn element(text: &str) -> Result<Option<(Element<'_>, &str)>, String> {
    let text = text.trim_start();
    if text.is_empty() {
        return Ok(None);
    }
    let broken = || format!("no element of XML: {}", text.chars().take(40).collect::<String>());
    let inner = text.strip_prefix('<').ok_or_else(broken)?;
    let end = tag_end(inner).ok_or_else(broken)?;
    let (tag, after) = (&inner[..end], &inner[end + 1..]);
    let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |t| (t, true));
    let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(broken());
    }
    if empty {
        return Ok(Some((Element { name, attributes, text: "" }, after)));
    }
    let (text, rest) = after.split_once(&format!("</{name}>")).ok_or_else(broken)?;
    Ok(Some((Element { name, attributes, text }, rest)))
}

/// Where the `>` is that ends a tag: one in quotes does not.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = None;
    text.bytes().position(|b| match quote {
        Some(q) => {
            if b == q {
                quote = None;
            }
            false
        }
        None if b == b'"' || b == b'\'' => {
            quote = Some(b);
            false
        }
        None => b == b'>',
    })
}

/// Text with its entities decoded; what is none stays as it is.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let known = after.split_once(';').and_then(|(name, after)| Some((entity(name)?, after)));
        rest = match known {
            Some((c, after)) => {
                out.push(c);
                after
            }
            None => {
                out.push('&');
                after
            }
        };
    }
    out.push_str(rest);
    Cow::Owned(out)
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{field, parse};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_system_and_data() {
        let line = "Nov 24 09:14:00 h sysmon: <Event><System><Provider Name=\"Linux-Sysmon\" Guid='{ff032593}'/>\
                    <EventID>1</EventID><TimeCreated SystemTime=\"2026-11-24T09:14:00.5Z\"/><Correlation/>\
                    <Execution ProcessID=\"7\" ThreadID=\"8\"/><Computer>h</Computer><Security UserId=\"0\"/></System>\
                    <EventData><Data Name=\"Image\">/bin/sh</Data>\
                    <Data Name=\"CommandLine\">sh -c &quot;a &gt; b &amp;&amp; c&#39;&#x41; &no; &\"</Data>\
                    <Data Name=\"Hashes\"></Data><Data Name=\"RuleName\">-</Data></EventData></Event>";
        let f = parse(&SysmonLinux, line).unwrap().unwrap();
        for (name, want) in [
            ("Provider_Name", "Linux-Sysmon"),
            ("ProviderGuid", "{ff032593}"),
            ("EventID", "1"),
            ("SystemTime", "2026-11-24T09:14:00.5Z"),
            ("ExecutionProcessID", "7"),
            ("ThreadID", "8"),
            ("Computer", "h"),
            ("UserID", "0"),
            ("Image", "/bin/sh"),
            ("CommandLine", "sh -c \"a > b && c'A &no; &\""),
        ] {
            assert_eq!(field(&f, name), Some(want), "{name}");
        }
        assert_eq!((field(&f, "Correlation"), field(&f, "Hashes"), field(&f, "RuleName")), (None, None, None));
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "Nov 24 09:14:00 h sysmon[8]: Sysmon v1.3.3 started",
            "<Event></Event>",
            "<Event><System><EventID>1</EventID>",
            "<Event><System><EventID>1</System>",
            "<Event><System>1</System></Event>",
            "<Event><System></System><EventData><Image>/bin/sh</Image></EventData></Event>",
            "<Event><System></System><EventData><Data Name=\"\">x</Data></EventData></Event>",
        ] {
            assert!(parse(&SysmonLinux, line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(
            line in "\\PC{0,60}|<Event><System>[<>/&;=\"' EvntID1#x]{0,40}</System><EventData>[<>/&;=\"' DatNme]{0,40}</EventData>",
        ) {
            let _ = parse(&SysmonLinux, line.trim());
        }
    }
}
