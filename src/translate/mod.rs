//! Link translation: internal URLs become external ones.
