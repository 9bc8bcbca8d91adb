//! `appproxy demo`: the whole product on one machine.
