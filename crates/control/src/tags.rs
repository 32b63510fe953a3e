//! Tags and resource groups, for every kind of resource alike.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::names;
use crate::records::Meta;
use crate::refusal::{Refusal, Result};
use std::collections::BTreeMap;

/// A kind of resource that has tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are the resources of the cloud")]
pub enum Tagged {
    Vpc,
    VSwitch,
    RouteTable,
    Eip,
    BandwidthPackage,
    NatGateway,
    Peering,
    Instance,
    Eni,
    SecurityGroup,
}

macro_rules! tagged {
    ($($kind:ident: $table:ident,)*) => {
        impl Cloud {
            /// What a resource has besides what it is.
            pub fn meta_of(&self, kind: Tagged, id: &str) -> Option<&Meta> {
                match kind {
                    $(Tagged::$kind => self.$table.get(id).map(|it| &it.meta),)*
                }
            }

            /// All resources of a kind, with their identifiers.
            pub fn metas(&self, kind: Tagged) -> Vec<(&str, &Meta)> {
                match kind {
                    $(Tagged::$kind => self.$table.iter().map(|it| (&*it.id, &it.meta)).collect(),)*
                }
            }
        }

        impl Draft {
            /// What a resource has besides what it is, to be changed.
            ///
            /// # Errors
            /// `InvalidResourceId.NotFound`.
            pub fn meta_mut(&mut self, kind: Tagged, id: &str) -> Result<&mut Meta> {
                let meta = match kind {
                    $(Tagged::$kind => self.$table.get_mut(id).map(|it| &mut it.meta),)*
                };
                meta.ok_or_else(|| {
                    let why = format!("There is no resource {id:?} of this type.");
                    Refusal::not_found("InvalidResourceId.NotFound", why)
                })
            }
        }
    };
}

tagged! {
    Vpc: vpcs,
    VSwitch: vswitches,
    RouteTable: route_tables,
    Eip: eips,
    BandwidthPackage: packages,
    NatGateway: nat_gateways,
    Peering: peerings,
    Instance: instances,
    Eni: enis,
    SecurityGroup: security_groups,
}

impl Draft {
    /// Adds tags to a resource; a key that it has gets the new value.
    ///
    /// # Errors
    /// If it would have more than [`names::MAX_TAGS`].
    pub fn tag(&mut self, kind: Tagged, id: &str, tags: &BTreeMap<String, String>) -> Result<()> {
        let meta = self.meta_mut(kind, id)?;
        meta.tags.extend(tags.clone());
        match meta.tags.len() {
            0..=names::MAX_TAGS => Ok(()),
            many => Err(Refusal::bad(
                "QuotaExceeded.TagKey",
                format!(
                    "{id} would have {many} tags: at most {} are allowed.",
                    names::MAX_TAGS
                ),
            )),
        }
    }

    /// Takes tags from a resource; keys that it does not have do not matter. `None`: all.
    ///
    /// # Errors
    /// If the resource does not exist.
    pub fn untag(&mut self, kind: Tagged, id: &str, keys: Option<&[&str]>) -> Result<()> {
        let tags = &mut self.meta_mut(kind, id)?.tags;
        tags.retain(|key, _| keys.is_some_and(|keys| !keys.contains(&&**key)));
        Ok(())
    }

    /// Moves a resource to another resource group.
    ///
    /// # Errors
    /// If the resource does not exist.
    pub fn move_resource_group(&mut self, kind: Tagged, id: &str, group: &str) -> Result<()> {
        self.meta_mut(kind, id)?.resource_group = group.into();
        Ok(())
    }
}
