//! Single sign-on to an application: what it is told of the person.

use std::sync::Arc;

use http::HeaderName;

use super::template::Template;

/// What an application is told of whoever signed in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignOn {
    /// Fields of each request. Whatever a client sends under these names is deleted, in every spelling.
    pub headers: Vec<SignOnHeader>,
    /// Names that are deleted in what clients send: those of all applications. Behind two of them may be
    /// one program, of which only one is told who somebody is.
    pub deleted: Arc<[HeaderName]>,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOnHeader {
    /// Its name.
    pub name: HeaderName,
    /// What it says.
    pub value: Arc<Template>,
}
