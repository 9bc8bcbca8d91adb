//! Puts every place of a schema to the reader of the file.

use std::collections::BTreeSet;

use appproxy::config::{ConnectorConfig, GatewayConfig};
use appproxy::model::Finding;
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::checker::Checker;
use crate::{Step, file, lines};

/// A key that no reader has, and that is near to none.
const NO_KEY: &str = "a_key_that_there_cannot_be";

/// A key where keys are the operator's own words.
const OWN_WORD: &str = "wiki.corp.local";

/// Reads the text of a file: what it comes to, without the places where things stand in the text.
pub(crate) type Read = fn(&str) -> Result<String, Vec<Finding>>;

pub(crate) fn gateway(text: &str) -> Result<String, Vec<Finding>> {
    let mut config = GatewayConfig::from_text(file(), text)?;
    // It says that a key is written, and not what counts.
    config.connections_are_written = false;
    Ok(without_places(&format!("{config:?}")))
}

pub(crate) fn connector(text: &str) -> Result<String, Vec<Finding>> {
    let config = ConnectorConfig::from_text(file(), text)?;
    Ok(without_places(&format!("{config:?}")))
}

fn without_places(debug: &str) -> String {
    let places = Regex::new(r"Place \{[^}]*\}").unwrap();
    places.replace_all(debug, "Place").into_owned()
}

/// A schema and the reader of its file.
pub(crate) struct Probe<'s> {
    schema: &'s Value,
    checker: Checker<'s>,
    read: Read,
    complaints: Vec<String>,
    /// What was referred to on the way here: some forms stand inside themselves.
    within: Vec<&'s str>,
}

/// One way to write a value: a part of the schema, and where in `schema.json` it stands.
#[derive(Clone)]
struct Form<'s> {
    schema: &'s Value,
    pointer: String,
}

impl<'s> Probe<'s> {
    pub(crate) fn new(schema: &'s Value, read: Read) -> Self {
        Self {
            schema,
            checker: Checker {
                defs: &schema["$defs"],
            },
            read,
            complaints: Vec::new(),
            within: Vec::new(),
        }
    }

    /// Where schema and reader differ, each with what to do.
    pub(crate) fn complaints(mut self) -> Vec<String> {
        self.visit(self.schema, &[], "#");
        self.complaints.sort();
        self.complaints.dedup();
        self.complaints
    }

    fn visit(&mut self, schema: &'s Value, path: &[Step], pointer: &str) {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
            return self.look(schema, path, pointer);
        };
        // Once inside itself is as good as any number of times.
        if self
            .within
            .iter()
            .filter(|known| **known == reference)
            .count()
            < 2
        {
            self.within.push(reference);
            self.look(schema, path, pointer);
            self.within.pop();
        }
    }

    fn look(&mut self, schema: &'s Value, path: &[Step], pointer: &str) {
        self.offer_values(schema, path, pointer);
        let keyed = self.form(schema, pointer, |form| form.get("properties").is_some());
        self.compare_keys(keyed.as_ref(), path, pointer);
        if let Some(form) = keyed {
            for (name, below) in form.schema["properties"].as_object().unwrap() {
                let pointer = format!("{}/properties/{name}", form.pointer);
                let description = below["description"].as_str().unwrap_or_default();
                if !description.ends_with('.') || description.contains(". ") {
                    self.complaints.push(format!(
                        "{pointer}: give it a `description` of one sentence, which ends in a full stop"
                    ));
                }
                self.visit(
                    below,
                    &[path, &[Step::Key(name.clone())]].concat(),
                    &pointer,
                );
            }
        }
        let item = [path, &[Step::Item]].concat();
        match self.form(schema, pointer, |form| form.get("items").is_some()) {
            Some(form) => self.visit(
                &form.schema["items"],
                &item,
                &format!("{}/items", form.pointer),
            ),
            // The reader may take a list all the same.
            None => self.compare_keys(None, &item, pointer),
        }
        let open = self.form(schema, pointer, |form| {
            form["additionalProperties"].is_object()
        });
        if let Some(form) = open {
            self.visit(
                &form.schema["additionalProperties"],
                &[path, &[Step::Key(OWN_WORD.to_owned())]].concat(),
                &format!("{}/additionalProperties", form.pointer),
            );
        }
    }

    /// The schema itself, what it refers to, and what its `anyOf` has.
    fn forms(&self, schema: &'s Value, pointer: &str) -> Vec<Form<'s>> {
        let mut forms = vec![Form {
            schema,
            pointer: pointer.to_owned(),
        }];
        if let Some(reference) = schema.get("$ref") {
            let pointer = reference.as_str().unwrap();
            forms.extend(self.forms(self.checker.referenced(reference), pointer));
        }
        let any = schema.get("anyOf").and_then(Value::as_array);
        for (number, form) in any.into_iter().flatten().enumerate() {
            forms.extend(self.forms(form, &format!("{pointer}/anyOf/{number}")));
        }
        forms
    }

    /// The form that is such a one: a place has one set of keys, and one kind of entries.
    fn form(
        &self,
        schema: &'s Value,
        pointer: &str,
        is_such: impl Fn(&Value) -> bool,
    ) -> Option<Form<'s>> {
        let mut forms = self.forms(schema, pointer);
        forms.retain(|form| is_such(form.schema));
        assert!(
            forms.len() < 2,
            "{pointer}: the reader tells no two forms apart"
        );
        forms.pop()
    }

    /// Whether reader and schema have the same keys at a place, and demand the same of them.
    fn compare_keys(&mut self, form: Option<&Form<'s>>, path: &[Step], pointer: &str) {
        let place = Step::join(path);
        let below = |name: &str| Step::join(&[path, &[Step::Key(name.to_owned())]].concat());
        let text = self.document(path, &json!({ NO_KEY: 1 }));
        let findings = (self.read)(&text).expect_err("a key that there cannot be is refused");
        let unknown = below(NO_KEY);
        let refused = findings
            .iter()
            .find(|f| f.code == "unknown_key" && key(f) == unknown);
        let taken: Option<BTreeSet<&str>> = refused.map(|finding| {
            let keys = finding.remedy.strip_prefix("the keys here are: ");
            keys.expect("an unknown key gets the known ones")
                .split(", ")
                .collect()
        });
        let (form, taken) = match (form, taken) {
            (None, None) => return,
            (Some(form), None) => {
                return self.complaints.push(format!(
                    "{}: the reader takes no keys at `{place}`: remove `properties`",
                    form.pointer
                ));
            }
            (None, Some(taken)) => {
                return self.complaints.push(format!(
                    "{pointer}: the reader takes keys at `{place}`: add \
                     `\"type\": \"object\", \"additionalProperties\": false` and `properties` with {taken:?}"
                ));
            }
            (Some(form), Some(taken)) => (form, taken),
        };
        let Form { schema, pointer } = form;
        if schema["additionalProperties"] != json!(false) || schema["type"] != "object" {
            self.complaints.push(format!(
                "{pointer}: the reader refuses unknown keys at `{place}`: add `\"type\": \"object\", \
                 \"additionalProperties\": false`"
            ));
        }
        let described = schema["properties"].as_object().unwrap();
        let described: BTreeSet<&str> = described.keys().map(String::as_str).collect();
        for name in taken.difference(&described) {
            self.complaints.push(format!(
                "{pointer}: the reader takes `{}`: add `\"{name}\"` to `properties`, with `description`, \
                 its type (or `$ref` to one of `$defs`), and `default` or `examples`",
                below(name)
            ));
        }
        for name in described.difference(&taken) {
            self.complaints.push(format!(
                "{pointer}: no reader takes `{}`: remove `\"{name}\"` from `properties`, or take it",
                below(name)
            ));
        }
        let missed: BTreeSet<&str> = taken
            .iter()
            .copied()
            .filter(|name| findings.iter().any(|f| key(f) == below(name)))
            .collect();
        let mut required = Map::new();
        self.complete(schema, &mut required);
        let required: BTreeSet<&str> = required.keys().map(String::as_str).collect();
        if missed != required {
            self.complaints.push(format!(
                "{pointer}: the reader misses {missed:?} at `{place}` where nothing is written, and \
                 `required` says {required:?}"
            ));
        }
    }

    /// Whether the reader takes the values that the schema offers, and has the defaults it says.
    fn offer_values(&mut self, schema: &'s Value, path: &[Step], pointer: &str) {
        let place = Step::join(path);
        let is_here = |finding: &Finding| {
            let rest = key(finding).strip_prefix(&place);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        for form in self.forms(schema, pointer) {
            let lists = ["examples", "enum"].into_iter();
            let offered = lists.filter_map(|list| form.schema.get(list)?.as_array());
            let single = ["const", "default"].into_iter();
            let single = single.filter_map(|one| form.schema.get(one));
            for value in offered.flatten().chain(single) {
                let read = (self.read)(&self.document(path, value));
                let mut findings = read.err().unwrap_or_default();
                // The one file that the readers open themselves is not on every machine.
                let is_absent = |finding: &Finding| {
                    finding.code == "country_database" && finding.what.contains("No such file")
                };
                findings.retain(|finding| is_here(finding) && !is_absent(finding));
                if !findings.is_empty() {
                    self.complaints.push(format!(
                        "{}: the reader does not take {value} at `{place}`: correct the schema\n{}",
                        form.pointer,
                        lines(&findings)
                    ));
                }
                if !self.checker.faults(schema, value, &[]).is_empty() {
                    self.complaints.push(format!(
                        "{}: it offers {value} and refuses it: correct it",
                        form.pointer
                    ));
                }
            }
            let Some((value, (Step::Key(name), around))) =
                form.schema.get("default").zip(path.split_last())
            else {
                continue;
            };
            let mut without = Map::new();
            let keyed = self.reached(around);
            self.complete(keyed, &mut without);
            without.remove(name);
            let without = (self.read)(&self.document(around, &Value::Object(without)));
            let with = (self.read)(&self.document(path, value));
            if without.is_err() || with != without {
                self.complaints.push(format!(
                    "{}: without `{place}` the reader has something else than {value}: correct \
                     `default`, or remove it\nwithout: {without:?}\nwith: {with:?}",
                    form.pointer
                ));
            }
        }
    }

    /// The schema of the keys at a place.
    fn reached(&self, path: &[Step]) -> &'s Value {
        let start = self.keyed(self.schema);
        path.iter().fold(start, |schema, step| match step {
            Step::Key(name) => self.keyed(self.below(schema, name)),
            Step::Item => self.keyed(&self.listed(schema)["items"]),
        })
    }

    /// The form of keys, or else the schema as it is.
    fn keyed(&self, schema: &'s Value) -> &'s Value {
        let form = self.form(schema, "", |form| form.get("properties").is_some());
        form.map_or(schema, |form| form.schema)
    }

    fn listed(&self, schema: &'s Value) -> &'s Value {
        let form = self.form(schema, "", |form| form.get("items").is_some());
        form.map_or(schema, |form| form.schema)
    }

    /// The schema of a key's value.
    fn below(&self, keyed: &'s Value, name: &str) -> &'s Value {
        let known = keyed["properties"].get(name);
        known.unwrap_or_else(|| {
            let open = self.form(keyed, "", |form| form["additionalProperties"].is_object());
            &open.expect(name).schema["additionalProperties"]
        })
    }

    /// The least file that has this value at this place.
    fn document(&self, path: &[Step], value: &Value) -> String {
        let mut document = self.around(self.schema, path, value);
        // Without one, each application has to have an external URL.
        let has_one = self.keyed(self.schema)["properties"].get("default_domain");
        if let (Some(of), Value::Object(root)) = (has_one, &mut document) {
            root.entry("default_domain")
                .or_insert_with(|| self.sample(of));
        }
        document.to_string()
    }

    fn around(&self, schema: &'s Value, path: &[Step], value: &Value) -> Value {
        match path.split_first() {
            None => value.clone(),
            Some((Step::Key(name), rest)) => {
                let keyed = self.keyed(schema);
                let mut object = Map::new();
                let below = self.around(self.below(keyed, name), rest, value);
                object.insert(name.clone(), below);
                self.complete(keyed, &mut object);
                Value::Object(object)
            }
            Some((Step::Item, rest)) => {
                let items = self.listed(schema).get("items");
                let item =
                    items.map_or_else(|| value.clone(), |items| self.around(items, rest, value));
                json!([item])
            }
        }
    }

    /// Adds what else has to be there.
    fn complete(&self, keyed: &'s Value, object: &mut Map<String, Value>) {
        let names = |list: &'s Value| {
            let names = list.as_array().into_iter().flatten();
            names.map(|name| name.as_str().unwrap())
        };
        let mut required: Vec<&str> = names(&keyed["required"]).collect();
        if let Some(choices) = keyed.get("oneOf").and_then(Value::as_array) {
            let has =
                |choice: &&'s Value| names(&choice["required"]).all(|n| object.contains_key(n));
            let choice = choices.iter().find(has).unwrap_or(&choices[0]);
            required.extend(names(&choice["required"]));
        }
        for (name, others) in keyed["dependentRequired"].as_object().into_iter().flatten() {
            if object.contains_key(name) {
                required.extend(names(others));
            }
        }
        if let Some(condition) = keyed.get("if")
            && let written = Value::Object(object.clone())
            && self.checker.faults(condition, &written, &[]).is_empty()
        {
            required.extend(names(&keyed["then"]["required"]));
        }
        for name in required {
            if !object.contains_key(name) {
                let of = keyed["properties"].get(name);
                let of =
                    of.unwrap_or_else(|| panic!("`{name}` is required and in no `properties`"));
                object.insert(name.to_owned(), self.sample(of));
            }
        }
    }

    /// A value as somebody may write it.
    fn sample(&self, schema: &'s Value) -> Value {
        for Form { schema, pointer } in self.forms(schema, "") {
            let listed = |list: &str| schema.get(list).and_then(|values| values.get(0));
            let offered = schema.get("const").or_else(|| listed("examples"));
            let offered = offered
                .or_else(|| schema.get("default"))
                .or_else(|| listed("enum"));
            if let Some(value) = offered {
                return value.clone();
            }
            if let Some(items) = schema.get("items") {
                return json!([self.sample(items)]);
            }
            if schema.get("properties").is_some() {
                let mut object = Map::new();
                self.complete(schema, &mut object);
                return Value::Object(object);
            }
            assert!(
                schema.get("$ref").is_some() || schema.get("anyOf").is_some(),
                "{pointer}"
            );
        }
        panic!("give it `examples`: {schema}")
    }
}

/// Where in the file a finding is; elsewhere where it is in another.
fn key(finding: &Finding) -> &str {
    let place = finding.place.as_ref().unwrap();
    if place.file == file() {
        &place.key
    } else {
        "(elsewhere)"
    }
}
