//! The JSON Schema of the configuration files, for editors: `schema.json`, written by hand.
//!
//! `tests/schema.rs` asks the readers beside this file which keys they take, and fails where the
//! schema says anything else.

use serde_json::{Value, json};

const TEXT: &str = include_str!("schema.json");

/// What a schema is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaOf {
    /// A gateway's file and a connector's, told apart by `kind`.
    Either,
    /// `gateway.yaml`.
    Gateway,
    /// A file that `include` of `gateway.yaml` names.
    Applications,
    /// `connector.yaml`.
    Connector,
}

/// The schema, as JSON of draft 2020-12.
///
/// # Errors
/// Where the schema that is built in is no JSON.
pub fn schema(of: SchemaOf) -> serde_json::Result<String> {
    let name = match of {
        SchemaOf::Either => return Ok(TEXT.to_owned()),
        SchemaOf::Gateway => "gateway",
        SchemaOf::Applications => "applications",
        SchemaOf::Connector => "connector",
    };
    let whole: Value = serde_json::from_str(TEXT)?;
    let one = json!({
        "$schema": whole["$schema"],
        "$ref": format!("#/$defs/{name}"),
        "$defs": whole["$defs"],
    });
    Ok(format!("{one:#}\n"))
}
