//! Holds a value to a schema: the keywords of JSON Schema (draft 2020-12) that ours is written in.
//! One that is not among them ends the test, so that none is passed over in silence.

use std::collections::BTreeSet;
use std::fmt;

use regex::Regex;
use serde_json::{Map, Value};

use crate::Step;

/// What a value is not as the schema has it.
pub(crate) struct Fault {
    /// The path of keys to it, as findings have it.
    pub(crate) at: String,
    /// The keyword that it does not meet.
    pub(crate) keyword: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.at, self.keyword)
    }
}

/// A schema whose references lead to `$defs`.
pub(crate) struct Checker<'s> {
    pub(crate) defs: &'s Value,
}

impl<'s> Checker<'s> {
    /// The schema that a `$ref` leads to.
    pub(crate) fn referenced(&self, reference: &Value) -> &'s Value {
        let name = reference.as_str().unwrap().strip_prefix("#/$defs/");
        let name = name.expect("references lead to `$defs`");
        self.defs
            .get(name)
            .unwrap_or_else(|| panic!("there is no {name} in `$defs`"))
    }

    /// Everything about a value at a path that the schema does not allow.
    pub(crate) fn faults(&self, schema: &Value, value: &Value, path: &[Step]) -> Vec<Fault> {
        let mut faults = Vec::new();
        let schema = schema.as_object().expect("a schema is an object");
        for (keyword, asked) in schema {
            if let Some(below) = self.below(schema, keyword, asked, value, path) {
                faults.extend(below);
            } else if !self.is_met(keyword, asked, value) {
                faults.push(Fault {
                    at: Step::join(path),
                    keyword: format!("{keyword}: {asked}"),
                });
            }
        }
        faults
    }

    fn passes(&self, schema: &Value, value: &Value) -> bool {
        self.faults(schema, value, &[]).is_empty()
    }

    /// The faults that a keyword finds where it points to; `None`: it is about the value itself.
    fn below(
        &self,
        schema: &Map<String, Value>,
        keyword: &str,
        asked: &Value,
        value: &Value,
        path: &[Step],
    ) -> Option<Vec<Fault>> {
        let at = |step| [path, &[step]].concat();
        let missing = |names: &Value, object: &Map<String, Value>| {
            let names = names
                .as_array()
                .unwrap()
                .iter()
                .map(|n| n.as_str().unwrap());
            let absent = names.filter(|name| !object.contains_key(*name));
            let fault = |name: &str| Fault {
                at: Step::join(&at(Step::Key(name.to_owned()))),
                keyword: "required".to_owned(),
            };
            absent.map(fault).collect::<Vec<_>>()
        };
        let faults = match (keyword, value) {
            ("$ref", _) => self.faults(self.referenced(asked), value, path),
            ("if", _) => {
                let branch = if self.passes(asked, value) {
                    "then"
                } else {
                    "else"
                };
                let branch = schema.get(branch);
                branch.map_or(Vec::new(), |branch| self.faults(branch, value, path))
            }
            ("items", Value::Array(items)) => {
                let item = |item| self.faults(asked, item, &at(Step::Item));
                items.iter().flat_map(item).collect()
            }
            ("required", Value::Object(object)) => missing(asked, object),
            ("dependentRequired", Value::Object(object)) => {
                let rules = asked.as_object().unwrap().iter();
                let rules = rules.filter(|(name, _)| object.contains_key(*name));
                rules
                    .flat_map(|(_, names)| missing(names, object))
                    .collect()
            }
            ("properties", Value::Object(object)) => {
                let known = asked.as_object().unwrap().iter();
                let written = known.filter_map(|(name, of)| Some((name, of, object.get(name)?)));
                let below = |(name, of, value): (&String, _, _)| {
                    self.faults(of, value, &at(Step::Key(name.clone())))
                };
                written.flat_map(below).collect()
            }
            ("additionalProperties", Value::Object(object)) => {
                let known = schema.get("properties").and_then(Value::as_object);
                let is_known = |name| known.is_some_and(|known| known.contains_key(name));
                let others = object.iter().filter(|(name, _)| !is_known(*name));
                let below = |(name, value): (&String, _)| {
                    let at = at(Step::Key(name.clone()));
                    match asked {
                        Value::Bool(true) => Vec::new(),
                        Value::Bool(false) => vec![Fault {
                            at: Step::join(&at),
                            keyword: "additionalProperties".to_owned(),
                        }],
                        of => self.faults(of, value, &at),
                    }
                };
                others.flat_map(below).collect()
            }
            _ => return None,
        };
        Some(faults)
    }

    fn is_met(&self, keyword: &str, asked: &Value, value: &Value) -> bool {
        let passing = || {
            let branches = asked.as_array().unwrap().iter();
            branches.filter(|branch| self.passes(branch, value)).count()
        };
        let size = || usize::try_from(asked.as_u64().unwrap()).unwrap();
        match (keyword, value) {
            ("type", _) => match asked {
                Value::Array(types) => types.iter().any(|name| is_type(name, value)),
                name => is_type(name, value),
            },
            ("const", _) => asked == value,
            ("enum", _) => asked.as_array().unwrap().contains(value),
            ("anyOf", _) => passing() > 0,
            ("oneOf", _) => passing() == 1,
            ("pattern", Value::String(text)) => {
                Regex::new(asked.as_str().unwrap()).unwrap().is_match(text)
            }
            ("minLength", Value::String(text)) => text.chars().count() >= size(),
            ("maxLength", Value::String(text)) => text.chars().count() <= size(),
            ("minimum", Value::Number(number)) => number.as_f64() >= asked.as_f64(),
            ("maximum", Value::Number(number)) => number.as_f64() <= asked.as_f64(),
            ("minItems", Value::Array(items)) => items.len() >= size(),
            ("maxItems", Value::Array(items)) => items.len() <= size(),
            ("uniqueItems", Value::Array(items)) => {
                let distinct: BTreeSet<String> = items.iter().map(Value::to_string).collect();
                distinct.len() == items.len()
            }
            ("minProperties", Value::Object(object)) => object.len() >= size(),
            ("maxProperties", Value::Object(object)) => object.len() <= size(),
            // About values of another type.
            (
                "pattern"
                | "minLength"
                | "maxLength"
                | "minimum"
                | "maximum"
                | "items"
                | "minItems"
                | "maxItems"
                | "uniqueItems"
                | "required"
                | "dependentRequired"
                | "properties"
                | "additionalProperties"
                | "minProperties"
                | "maxProperties",
                _,
            ) => true,
            // Read with `if`, or for people.
            (
                "then" | "else" | "$schema" | "$defs" | "title" | "description" | "default"
                | "examples",
                _,
            ) => true,
            _ => panic!("src/config/schema.json: teach tests/schema/checker.rs `{keyword}` first"),
        }
    }
}

fn is_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        other => panic!("teach tests/schema/checker.rs the type `{other}` first"),
    }
}
