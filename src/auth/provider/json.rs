//! JSON in which no key stands twice: of two readers of such a text each may believe another value.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is no such object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not JSON, nested too deeply, or not an object.
    NotAnObject,
    /// A key stands twice.
    Duplicate,
}

/// Reads an object.
pub(super) fn object(text: &[u8]) -> Result<Map<String, Value>, Fault> {
    let duplicate = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict(&duplicate).deserialize(&mut reader);
    match (value, reader.end()) {
        (Ok(Value::Object(map)), Ok(())) => Ok(map),
        _ if duplicate.get() => Err(Fault::Duplicate),
        _ => Err(Fault::NotAnObject),
    }
}

/// A value; notes whether a key stood twice.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            if map.insert(key, value).is_some() {
                self.0.set(true);
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_once_however_deep_and_however_spelled() {
        let read = object(br#" {"a": [1, -2, 2.5, {"b": null}], "c": true, "d": "x"} "#).unwrap();
        assert_eq!(read.len(), 3);
        assert_eq!(read["a"].to_string(), r#"[1,-2,2.5,{"b":null}]"#);
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
        ] {
            assert_eq!(object(twice.as_bytes()), Err(Fault::Duplicate), "{twice}");
        }
        let deep = "[".repeat(1000);
        for other in ["", "[]", "1", "{} {}", "{\"a\":}", "{\"a\":NaN}", &deep] {
            assert_eq!(object(other.as_bytes()), Err(Fault::NotAnObject), "{other}");
        }
    }
}
