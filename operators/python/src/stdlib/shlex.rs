//! `shlex.split`, in its POSIX mode.

use crate::exc::{R, attribute_error, unknown, value_error};
use crate::native::{Args, NativeFn, Vm};
use crate::value::Value;

/// Functions of the module.
pub static FUNCTIONS: &[NativeFn] = &[NativeFn { name: "split", call: split }];

fn split(vm: &mut Vm, args: Args) -> R<Value> {
    args.check("split", 1, 1)?;
    let text = match &args.pos[0] {
        Value::Str(s) => s,
        Value::Missing(name) => return unknown(format!("`{name}` is not available")),
        Value::None => return unknown("shlex.split(None), which reads the standard input"),
        // What is no text is taken for a stream.
        v => return attribute_error(v, "read"),
    };
    vm.memory(text.len() * 2)?;
    let mut words = Vec::new();
    let mut word = String::new();
    // A word is there from its first character or quote on, so that '' is a word.
    let mut started = false;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => {
                if started {
                    words.push(Value::str(std::mem::take(&mut word)));
                }
                started = false;
            }
            '\\' => match chars.next() {
                Some(c) => {
                    word.push(c);
                    started = true;
                }
                None => return value_error("No escaped character"),
            },
            '\'' | '"' => {
                started = true;
                loop {
                    match chars.next() {
                        None => return value_error("No closing quotation"),
                        Some(end) if end == c => break,
                        // In double quotes a backslash escapes a quote and itself, and stands before all others.
                        Some('\\') if c == '"' => match chars.next() {
                            None => return value_error("No escaped character"),
                            Some(e) if e == '"' || e == '\\' => word.push(e),
                            Some(e) => {
                                word.push('\\');
                                word.push(e);
                            }
                        },
                        Some(inner) => word.push(inner),
                    }
                }
            }
            c => {
                word.push(c);
                started = true;
            }
        }
    }
    if started {
        words.push(Value::str(word));
    }
    vm.memory(words.len() * 48)?;
    Ok(Value::list(words))
}
