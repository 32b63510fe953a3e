//! The names in a certificate.

use crate::name::text;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// More are not kept.
const MAX_NAMES: usize = 8;

/// The domain names in a certificate, else its subject's common name.
pub(super) fn names(der: &[u8]) -> Vec<Arc<str>> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Vec::new();
    };
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let alternatives = alternatives.iter().flat_map(|it| &it.value.general_names);
    let names: Vec<_> = alternatives
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(text(name.to_ascii_lowercase().as_bytes())),
            _ => None,
        })
        .take(MAX_NAMES)
        .collect();
    if !names.is_empty() {
        return names;
    }
    let common = certificate.subject().iter_common_name().next();
    let common = common.and_then(|name| name.as_str().ok());
    common
        .map(|name| text(name.as_bytes()))
        .into_iter()
        .collect()
}
