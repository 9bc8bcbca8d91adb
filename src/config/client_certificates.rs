//! `client_certificates`: whose certificates count, and what an application learns of them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::AuthorityFile;
use super::field::Field;
use super::findings::Findings;
use super::guard::{Guarding, accesses, path};
use super::section::Section;
use super::sign_on::header_name;
use crate::model::{
    Application, ClientCertificates, Condition, ExternalUrl, Host, HostPattern, Place,
    PreAuthentication, Scheme, SignOn,
};

/// What is read, and the file that has to be loaded for it.
pub(super) type Read = (Arc<ClientCertificates>, AuthorityFile);

/// Reads it, where it is written; `None` where it is no good.
pub(super) fn client_certificates(
    section: &Section<'_>,
    guarding: &Guarding,
    outsides: &[&ExternalUrl],
    folder: &Path,
) -> Option<Option<Read>> {
    let field = section.optional("client_certificates");
    let Some(field) = field else {
        return asks_for_none(section, guarding).then_some(None);
    };
    let read = field.section(&[], |section| settings(section, outsides, folder))?;
    if let Some(url) = outsides.iter().find(|url| url.scheme == Scheme::Http) {
        return field.refuse(
            "conflict",
            format!("`{url}` is http, where no client shows a certificate"),
            "publish it with https, or remove `client_certificates`",
        );
    }
    let is_address = |url: &&&ExternalUrl| matches!(url.host, HostPattern::Exact(Host::Address(_)));
    if let Some(url) = outsides.iter().find(is_address) {
        return field.refuse(
            "conflict",
            format!("`{url}` is an address, and clients name no server where they open one"),
            "publish it under a name: which certificate is asked for goes by that",
        );
    }
    read.map(Some)
}

/// Whether the application's own field for the certificate is not one that says who somebody is.
pub(super) fn check_header(
    section: &Section<'_>,
    read: Option<&ClientCertificates>,
    sign_on: Option<&SignOn>,
) {
    let pem = read.and_then(|settings| settings.pem_header.as_ref());
    let mut names = sign_on.into_iter().flat_map(SignOn::names);
    if let Some(name) = names.find(|name| Some(*name) == pem) {
        section.error_at_key(
            "client_certificates",
            "conflict",
            &format!("`{name}` also stands in `single_sign_on`"),
            "give the certificate a field of its own",
        );
    }
}

/// Whether no part of the application goes by certificates.
fn asks_for_none(section: &Section<'_>, guarding: &Guarding) -> bool {
    const REMEDY: &str = "add whose certificates count, such as `client_certificates: { ca: \
                          /etc/appproxy/devices.pem }`";
    let by_method = PreAuthentication::ClientCertificate;
    let methods = guarding.methods.as_deref().unwrap_or_default();
    let mut conditions = accesses(guarding).flat_map(|access| access.conditions());
    let what = match conditions.find(|one| Condition::needs_certificate(one)) {
        _ if methods.contains(&by_method) => {
            "`pre_authentication` has `client_certificate`, and it is not said whose count"
                .to_owned()
        }
        Some(condition) => {
            format!("`{condition}` is never so: clients are asked for no certificate")
        }
        None => return true,
    };
    section.error_at_key("client_certificates", "no_authorities", &what, REMEDY);
    false
}

fn settings(section: &Section<'_>, outsides: &[&ExternalUrl], folder: &Path) -> Option<Read> {
    let at_ca = section.required("ca", "/etc/appproxy/devices.pem");
    let ca = at_ca.and_then(|field| field.path(folder));
    let forward = section.optional("forward").map(Field::boolean);
    let forward_chain = section.optional("forward_chain").map(Field::boolean);
    let pem_header = section.optional("pem_header").map(|field| {
        let text = field.text()?;
        header_name(text, field, &[])
    });
    let outside = outsides.first().copied();
    let without_origin = section.optional("without_origin").map(|field| {
        field.distinct(|item| {
            let path = path(item)?;
            let outside = outside.map_or("/", |url| url.path.as_str());
            match path.is_inside(outside) {
                true => Some(path),
                false => item.refuse(
                    "outside",
                    format!(
                        "`{}` is nowhere in the application, or all of it: it is published below \
                         `{outside}`",
                        path.as_str()
                    ),
                    "write it as the browser's address has it, from the first `/` on",
                ),
            }
        })
    });
    let ca = ca?;
    let settings = ClientCertificates {
        ca: ca.as_path().into(),
        forward: forward.unwrap_or(Some(true))?,
        forward_chain: forward_chain.unwrap_or(Some(false))?,
        pem_header: match pem_header {
            Some(read) => Some(read?),
            None => None,
        },
        without_origin: without_origin.unwrap_or_else(|| Some(Vec::new()))?.into(),
    };
    let file = AuthorityFile {
        file: ca,
        place: at_ca?.place().clone(),
    };
    Some((Arc::new(settings), file))
}

/// Whether all applications of a host ask for certificates of the same authorities: a connection is asked
/// once, before it is known what it will ask for.
pub(super) fn agree<'a>(
    applications: impl Iterator<Item = (&'a Application, &'a Place)>,
    findings: &Findings,
) -> bool {
    let mut of_host: HashMap<&HostPattern, (&Path, &Place)> = HashMap::new();
    let mut agree = true;
    for (application, place) in applications {
        let Some(settings) = &application.client_certificates else {
            continue;
        };
        for url in application.external_urls() {
            let (first, at) = *of_host.entry(&url.host).or_insert((&settings.ca, place));
            if first != &*settings.ca {
                agree = false;
                findings.error(
                    "conflict",
                    place,
                    format!(
                        "`{}` is asked for certificates of {} in line {} already, and a connection is \
                         asked once for its whole host",
                        url.host,
                        first.display(),
                        at.line
                    ),
                    "give one of the two another host; one file for both would let the certificates of each \
                     authority count for both",
                );
                break;
            }
        }
    }
    agree
}
