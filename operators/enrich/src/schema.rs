//! What a log schema says about the rows of a lookup table: column types, which columns are address blocks, until when
//! a row is valid, and which indicators a column holds (functional spec §1.6, §3.1).
use crate::spec::{ColumnType, Expiry};
use model::time::TimeFormat;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Nesting of a schema's fields.
const MAX_DEPTH: usize = 64;

/// Columns by dotted name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowSchema {
    /// Types of columns.
    pub types: BTreeMap<String, ColumnType>,
    /// Columns with `validate.cidr`.
    pub blocks: BTreeSet<String>,
    /// The `isExpiration` column.
    pub expires: Option<Expiry>,
    /// `p_any_*` fields that hold the same kind of value, by column.
    pub indicators: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct SchemaFile {
    schema: Option<String>,
    fields: Vec<FieldFile>,
}

#[derive(Deserialize)]
struct FieldFile {
    name: String,
    #[serde(flatten)]
    value: ValueFile,
}

#[derive(Default, Deserialize)]
struct ValueFile {
    #[serde(default, rename = "type")]
    ty: String,
    #[serde(default)]
    validate: BTreeMap<String, yaml_serde::Value>,
    #[serde(default)]
    indicators: Vec<String>,
    #[serde(default, rename = "isExpiration")]
    is_expiration: bool,
    #[serde(rename = "timeFormat")]
    time_format: Option<String>,
    #[serde(default)]
    fields: Vec<FieldFile>,
    element: Option<Box<ValueFile>>,
}

/// Reads a schema file: its id (if it names itself) and its columns. The error names line and column if it can.
pub fn read(bytes: &[u8]) -> Result<(Option<String>, RowSchema), (String, u32, u32)> {
    let file: SchemaFile = yaml_serde::from_slice(bytes).map_err(crate::lookup_file::yaml_problem)?;
    let mut out = RowSchema::default();
    add("", &file.fields, 0, &mut out).map_err(|e| (e, 1, 1))?;
    Ok((file.schema, out))
}

fn add(prefix: &str, fields: &[FieldFile], depth: usize, out: &mut RowSchema) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("fields nest deeper than {MAX_DEPTH} levels"));
    }
    for f in fields {
        let name = if prefix.is_empty() { f.name.clone() } else { format!("{prefix}.{}", f.name) };
        if f.value.ty == "object" {
            add(&name, &f.value.fields, depth + 1, out)?;
            continue;
        }
        let ty = match f.value.ty.as_str() {
            "smallint" | "int" | "bigint" => ColumnType::Int,
            "float" => ColumnType::Float,
            "boolean" => ColumnType::Boolean,
            "array" | "json" => ColumnType::Json,
            "timestamp" => {
                expiry(&name, &f.value, out)?;
                // Unix times are numbers in JSON and text in CSV: both are kept as they are.
                ColumnType::String
            }
            _ => ColumnType::String,
        };
        let value = f.value.element.as_deref().unwrap_or(&f.value);
        if value.validate.contains_key("cidr") {
            out.blocks.insert(name.clone());
        }
        let any: Vec<String> = value.indicators.iter().flat_map(|i| any_fields(i)).map(|s| s.to_string()).collect();
        if !any.is_empty() {
            out.indicators.insert(name.clone(), any);
        }
        out.types.insert(name, ty);
    }
    Ok(())
}

fn expiry(name: &str, value: &ValueFile, out: &mut RowSchema) -> Result<(), String> {
    if !value.is_expiration {
        return Ok(());
    }
    let format = value.time_format.as_deref().ok_or_else(|| format!("field `{name}`: timeFormat is required"))?;
    let format = TimeFormat::parse_name(format).map_err(|e| format!("field `{name}`: {e}"))?;
    match out.expires.replace(Expiry { column: name.to_string(), format }) {
        None => Ok(()),
        Some(first) => Err(format!("fields `{}` and `{name}` both have isExpiration", first.column)),
    }
}

/// `p_any_*` fields an indicator scanner writes to (functional spec §2.3).
fn any_fields(indicator: &str) -> &'static [&'static str] {
    match indicator {
        "ip" => &["p_any_ip_addresses"],
        "domain" => &["p_any_domain_names"],
        "hostname" | "url" | "net_addr" => &["p_any_ip_addresses", "p_any_domain_names"],
        "md5" => &["p_any_md5_hashes"],
        "sha1" => &["p_any_sha1_hashes"],
        "sha256" => &["p_any_sha256_hashes"],
        "email" => &["p_any_emails"],
        "username" => &["p_any_usernames"],
        "trace_id" => &["p_any_trace_ids"],
        "aws_arn" | "aws_arn_only" => &["p_any_aws_arns"],
        "aws_account_id" => &["p_any_aws_account_ids"],
        "aws_instance_id" => &["p_any_aws_instance_ids"],
        "aws_tag" => &["p_any_aws_tags"],
        "actor_id" => &["p_any_actor_ids"],
        "mac" => &["p_any_mac_addresses"],
        "serial_number" => &["p_any_serial_numbers"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_types_blocks_expiry_and_indicators() {
        let (id, s) = read(
            b"schema: Custom.Net\nversion: 0\nfields:\n\
              - {name: block, type: string, required: true, validate: {cidr: any}, indicators: [ip]}\n\
              - {name: hosts, type: array, element: {type: string, indicators: [hostname]}}\n\
              - {name: asn, type: object, fields: [{name: number, type: bigint}]}\n\
              - {name: until, type: timestamp, timeFormat: rfc3339, isExpiration: true}\n",
        )
        .unwrap();
        assert_eq!(id.as_deref(), Some("Custom.Net"));
        assert!(s.blocks.contains("block"));
        assert_eq!(s.types["asn.number"], ColumnType::Int);
        assert_eq!(s.types["hosts"], ColumnType::Json);
        assert_eq!(s.indicators["hosts"], ["p_any_ip_addresses", "p_any_domain_names"]);
        assert_eq!(s.expires.unwrap().column, "until");
    }

    #[test]
    fn damage_has_a_place() {
        assert_eq!(read(b"fields:\n- {name: [}\n").unwrap_err().1, 2);
        let two = b"fields:\n- {name: a, type: timestamp, timeFormat: unix, isExpiration: true}\n- {name: b, type: timestamp, timeFormat: unix, isExpiration: true}\n";
        assert!(read(two).unwrap_err().0.contains("both"));
    }
}
