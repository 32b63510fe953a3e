//! What a file says of the records besides what the engine is told: names, tags and the like.

use crate::cloud::Cloud;
use crate::records::{self, Meta, SnatSource};
use model::{Detail, Details, Kind};

/// A text that is worth a line of the file.
fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A yes that is worth a line of the file.
fn yes(flag: bool) -> Option<bool> {
    flag.then_some(true)
}

/// Name, description, tags and resource group.
fn labels(meta: &Meta) -> Detail {
    let Meta {
        name,
        description,
        created: _,
        resource_group,
        tags,
        of_file: _,
    } = meta;
    Detail {
        name: text(name),
        description: text(description),
        tags: (!tags.is_empty()).then(|| tags.clone()),
        resource_group: text(resource_group),
        ..Detail::default()
    }
}

impl Cloud {
    /// What a file says besides. What is as a resource has it that nobody has said anything of is left out.
    pub(crate) fn details(&self) -> Details {
        let mut details = Details::default();
        self.network_details(&mut details);
        self.instance_details(&mut details);
        self.outside_details(&mut details);
        self.gateway_details(&mut details);
        details
    }

    fn network_details(&self, details: &mut Details) {
        for vpc in self.vpcs.iter() {
            let detail = Detail {
                region: text(&vpc.region),
                user_cidrs: (!vpc.user_cidrs.is_empty()).then(|| vpc.user_cidrs.clone()),
                ..labels(&vpc.meta)
            };
            details.say(Kind::Vpc, &vpc.id, detail);
        }
        for vswitch in self.vswitches.iter() {
            let detail = Detail {
                zone: text(&vswitch.zone),
                ..labels(&vswitch.meta)
            };
            details.say(Kind::VSwitch, &vswitch.id, detail);
        }
        for table in self.route_tables.iter() {
            details.say(Kind::RouteTable, &table.id, labels(&table.meta));
        }
        for route in self.routes.iter() {
            details.say_of_route(&route.table, route.destination, labels(&route.meta));
        }
        for peering in self.peerings.iter() {
            let detail = Detail {
                accepted: (!peering.accepted).then_some(false),
                accepting_account: (peering.accepting_account != 0)
                    .then_some(peering.accepting_account),
                bandwidth: (peering.bandwidth != 0).then_some(peering.bandwidth),
                link_type: text(&peering.link_type),
                deletion_protection: yes(peering.deletion_protection),
                ..labels(&peering.meta)
            };
            if !peering.rejected {
                details.say(Kind::Peering, &peering.id, detail);
            }
        }
    }

    fn instance_details(&self, details: &mut Details) {
        for group in self.security_groups.iter() {
            let rules = group.rules.iter();
            let mut rules: Vec<String> = rules.map(|it| it.description.clone()).collect();
            if rules.iter().all(|it| it.is_empty()) {
                rules.clear();
            }
            let normal = group.kind == model::SecurityGroupKind::Normal;
            let detail = Detail {
                isolated: yes(group.isolated && normal),
                rules,
                ..labels(&group.meta)
            };
            details.say(Kind::SecurityGroup, &group.id, detail);
        }
        for instance in self.instances.iter() {
            let detail = Detail {
                zone: text(&instance.zone),
                running: (!instance.running).then_some(false),
                host_name: text(&instance.host_name),
                image: text(&instance.image),
                instance_type: text(&instance.instance_type),
                deletion_protection: yes(instance.deletion_protection),
                ..labels(&instance.meta)
            };
            details.say(Kind::Instance, &instance.id, detail);
        }
        for eni in self.enis.iter() {
            let secondary = &eni.secondary;
            let detail = Detail {
                secondary_addresses: (!secondary.is_empty()).then(|| secondary.clone()),
                delete_with_instance: yes(eni.delete_on_release && !eni.primary),
                detached: eni.instance.is_none(),
                ..labels(&eni.meta)
            };
            let name = match (&eni.instance, eni.primary) {
                (Some(instance), true) => instance,
                _ => &eni.id,
            };
            details.say(Kind::Eni, name, detail);
        }
    }

    fn outside_details(&self, details: &mut Details) {
        for eip in self.eips.iter() {
            let detail = Detail {
                region: text(&eip.region),
                charge_type: text(&eip.internet_charge_type),
                deletion_protection: yes(eip.deletion_protection),
                ..labels(&eip.meta)
            };
            details.say(Kind::Eip, &eip.id, detail);
        }
        for package in self.packages.iter() {
            let detail = Detail {
                region: text(&package.region),
                deletion_protection: yes(package.deletion_protection),
                ..labels(&package.meta)
            };
            details.say(Kind::BandwidthPackage, &package.id, detail);
        }
        for firewall in self.nat_firewalls.iter() {
            let detail = Detail {
                name: text(&firewall.meta.name),
                ..Detail::default()
            };
            details.say(Kind::NatFirewall, &firewall.id, detail);
        }
        for book in self.books.iter() {
            let detail = Detail {
                description: text(&book.meta.description),
                ..Detail::default()
            };
            details.say(Kind::AddressBook, &book.id, detail);
        }
    }

    fn gateway_details(&self, details: &mut Details) {
        for gateway in self.nat_gateways.iter() {
            let vswitch = gateway.vswitch.as_ref();
            let vswitch = vswitch.filter(|it| !gateway.intranet && self.vswitches.contains(it));
            let detail = Detail {
                standard: yes(!gateway.enhanced),
                bind_mode: text(&gateway.eip_bind_mode)
                    .filter(|it| it != records::NatGateway::BIND_MODE),
                vswitch: vswitch.cloned(),
                private_address: gateway
                    .private_address
                    .filter(|_| vswitch.is_some() || gateway.intranet),
                deletion_protection: yes(gateway.deletion_protection),
                ..labels(&gateway.meta)
            };
            details.say(Kind::NatGateway, &gateway.id, detail);
        }
        for entry in self.snat.iter() {
            let detail = Detail {
                vswitch: match &entry.source {
                    SnatSource::VSwitch(id) => Some(id.clone()),
                    SnatSource::Cidr(_) => None,
                },
                name: text(&entry.meta.name),
                ..Detail::default()
            };
            details.say(Kind::SnatEntry, &entry.id, detail);
        }
        for entry in self.dnat.iter() {
            let detail = Detail {
                name: text(&entry.meta.name),
                ..Detail::default()
            };
            details.say(Kind::DnatEntry, &entry.id, detail);
        }
        for nat_ip in self.nat_ips.iter() {
            let detail = named(&nat_ip.meta);
            details.say(Kind::NatIp, &nat_ip.id, detail);
        }
        let blocks = self.nat_ip_cidrs.iter().filter(|it| !it.default);
        let blocks = blocks.map(|block| model::NatIpCidr {
            id: block.id.clone(),
            gateway: block.gateway.clone(),
            cidr: block.cidr,
            detail: named(&block.meta),
        });
        details.nat_ip_cidrs = blocks.collect();
    }
}

/// Name and description.
fn named(meta: &Meta) -> Detail {
    Detail {
        tags: None,
        resource_group: None,
        ..labels(meta)
    }
}
