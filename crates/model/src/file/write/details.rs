//! What is said of resources besides what the engine is told: names, tags and the like.

use super::*;

impl Out<'_> {
    /// Name, description, tags and resource group.
    pub(super) fn labels(&mut self, detail: &Detail) {
        let Detail {
            name,
            description,
            tags,
            resource_group,
            ..
        } = detail;
        name.iter().for_each(|it| self.set("name", it));
        let description = description.iter();
        description.for_each(|it| self.set("description", it));
        if let Some(tags) = tags {
            let tags = tags.iter();
            let tags = tags.map(|(key, value)| (key.clone(), Value::String(value.clone())));
            self.value("tags", Value::Table(tags.collect()));
        }
        let group = resource_group.iter();
        group.for_each(|it| self.set("resource_group", it));
    }

    /// Everything that is said of a resource in its own table, but what depends on more than this.
    pub(super) fn detail(&mut self, kind: Kind, id: &Id) {
        let detail = self.details.of(kind, id);
        self.labels(detail);
        let Detail {
            name: _,
            description: _,
            tags: _,
            resource_group: _,
            deletion_protection,
            region,
            zone,
            user_cidrs,
            isolated,
            rules: _,
            running,
            host_name,
            image,
            instance_type,
            secondary_addresses: _,
            delete_with_instance,
            detached: _,
            charge_type,
            standard: _,
            bind_mode,
            vswitch: _,
            private_address,
            accepted,
            accepting_account,
            bandwidth,
            link_type,
        } = detail;
        for (key, value) in [
            ("region", region),
            ("zone", zone),
            ("host_name", host_name),
            ("image", image),
            ("type", instance_type),
            ("charge_type", charge_type),
            ("bind_mode", bind_mode),
            ("link_type", link_type),
        ] {
            value.iter().for_each(|it| self.set(key, it));
        }
        for (key, value) in [
            ("deletion_protection", deletion_protection),
            ("isolated", isolated),
            ("running", running),
            ("delete_with_instance", delete_with_instance),
            ("accepted", accepted),
        ] {
            value.iter().for_each(|it| self.flag(key, *it));
        }
        let user_cidrs = user_cidrs.iter();
        user_cidrs.for_each(|it| self.list("user_cidrs", it));
        let private = private_address.iter();
        private.for_each(|it| self.set("private_address", it));
        if let Some(account) = accepting_account {
            let account = i64::try_from(*account).unwrap_or(i64::MAX);
            self.number("accepting_account", account);
        }
        let bandwidth = bandwidth.iter();
        bandwidth.for_each(|it| self.number("bandwidth", *it));
    }

    pub(super) fn gateway_detail(&mut self, id: &Id, network: &Network) {
        let detail = self.details.of(Kind::NatGateway, id);
        if let (Some(vswitch), Network::Internet) = (&detail.vswitch, network) {
            self.set("network", "internet");
            self.set("vswitch", vswitch);
        }
        if let Some(standard) = detail.standard {
            let kind = if standard { "standard" } else { "enhanced" };
            self.set("type", kind);
        }
        self.detail(Kind::NatGateway, id);
    }

    /// What is said of the primary interface of an instance.
    pub(super) fn interface(&mut self, detail: &Detail) {
        let labels = [&detail.name, &detail.description, &detail.resource_group];
        if labels.iter().any(|it| it.is_some()) || detail.tags.is_some() {
            self.table("[instance.interface]");
            self.labels(detail);
        }
    }

    pub(super) fn nat_ip_cidr(&mut self, block: &NatIpCidr) {
        let NatIpCidr {
            id,
            gateway,
            cidr,
            detail,
        } = block;
        self.table("[[nat_ip_cidr]]");
        self.set("id", id);
        self.set("nat_gateway", gateway);
        self.set("cidr", cidr);
        self.labels(detail);
    }
}
