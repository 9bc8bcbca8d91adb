//! What an error says, with why.

use std::error::Error;

/// An error with all its causes, as one text.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn every_cause_is_said_in_its_order() {
        let inner = Layer("no route", None);
        let error = Layer(
            "the answer",
            Some(Box::new(Layer("the stream", Some(Box::new(inner))))),
        );
        assert_eq!(with_causes(&error), "the answer: the stream: no route");
        assert_eq!(with_causes(&Layer("alone", None)), "alone");
    }
}
