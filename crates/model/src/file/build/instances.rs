//! The tables of security groups, instances and network interfaces.

use super::*;

/// The [`Leg`] of a table that has its keys.
macro_rules! leg {
    ($raw:ident, $instance:expr, $detail:expr) => {
        Leg {
            id: &$raw.id,
            instance: $instance,
            detail: $detail,
            vswitch: &$raw.vswitch,
            address: &$raw.address,
            security_groups: &$raw.security_groups,
            driver: &$raw.driver,
            device: &$raw.device,
            hosts: &$raw.hosts,
            mtu: &$raw.mtu,
            secondary_addresses: $raw.secondary_addresses.as_ref(),
        }
    };
}

impl Builder {
    pub(super) fn security_group(&mut self, table: &Spanned<schema::SecurityGroup>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::SecurityGroup, &raw.id, table.span());
        let id = entry.need("id", &raw.id, any);
        let vpc = entry.need("vpc", &raw.vpc, any);
        let mut kind = entry.read("kind", &raw.kind, word).unwrap_or_default();
        let mut detail = entry.labels(Kind::SecurityGroup, labels!(raw));
        if let Some(isolated) = &raw.isolated {
            detail.isolated = Some(*isolated.get_ref());
            match (isolated.get_ref(), kind) {
                (false, _) => {}
                (true, SecurityGroupKind::Normal) => kind = SecurityGroupKind::Enterprise,
                (true, SecurityGroupKind::Enterprise) => {
                    let what = "isolated is only for a normal group";
                    entry.fail(isolated.span().start, what);
                }
            }
        }
        let sound = self.sound(&mut entry, Kind::SecurityGroup, &raw.id);
        let (true, Some(id), Some(vpc)) = (sound, id, vpc) else {
            return;
        };
        let n = self.config.security_groups.len();
        self.place(Item::SecurityGroup(n), &entry);
        let mut rules = Vec::with_capacity(raw.rule.len());
        for rule in &raw.rule {
            let mut inner = Entry::named(format!("{}, rule", entry.name), rule.span());
            let raw = rule.get_ref();
            let rule = read_rule(&mut inner, raw);
            let description = inner.read("description", &raw.description, details::description);
            if let (true, Some(rule)) = (self.sound(&mut inner, Kind::SecurityGroup, &None), rule) {
                self.place(Item::Rule(n, rules.len()), &inner);
                rules.push(rule);
                detail.rules.push(description.unwrap_or_default());
            }
        }
        if detail.rules.iter().all(|it| it.is_empty()) {
            detail.rules.clear();
        }
        self.config.details.say(Kind::SecurityGroup, &id, detail);
        self.config.security_groups.push(SecurityGroup {
            id,
            vpc,
            kind,
            rules,
        });
    }

    pub(super) fn instance(&mut self, table: &Spanned<schema::Instance>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::Instance, &raw.id, table.span());
        let instance = self.instance_detail(&mut entry, raw);
        let detail = self.interface_detail(&mut entry, raw);
        let leg = leg!(raw, Some(&raw.id), detail);
        if let Some(id) = self.leg(entry, leg) {
            self.config.details.say(Kind::Instance, &id, instance);
        }
    }

    pub(super) fn eni(&mut self, table: &Spanned<schema::Eni>) {
        let raw = table.get_ref();
        let mut entry = Entry::new(Kind::Eni, &raw.id, table.span());
        if let (Some(id), Some(instance)) = (&raw.id, &raw.instance)
            && id == instance
        {
            let what = "an additional interface needs an identifier other than its instance's";
            entry.fail(id.span().start, what);
        }
        let detail = self.eni_detail(&mut entry, raw);
        // One that is attached to nothing is checked as if it were an instance of its own.
        let instance = Some(&raw.instance).filter(|it| it.is_some());
        let leg = leg!(raw, instance, detail);
        self.leg(entry, leg);
    }

    /// Its identifier, if it could be read.
    fn leg(&mut self, mut entry: Entry, mut raw: Leg<'_>) -> Option<Id> {
        let id = entry.need("id", raw.id, any);
        let instance = match (&id, raw.instance) {
            (Some(_), Some(instance)) => entry.need("instance", instance, any),
            (id, _) => id.clone(),
        };
        let vswitch = entry.need("vswitch", raw.vswitch, any);
        let address = entry.need("address", raw.address, address);
        let security_groups = entry.list("security_groups", raw.security_groups, any);
        let driver = read_driver(&mut entry, raw.driver, raw.device);
        let mut all_hosts = Vec::new();
        if let Some(values) = raw.secondary_addresses {
            let addresses = self.secondary_addresses(&mut entry, values, vswitch.as_ref());
            all_hosts.extend(addresses.iter().map(|&it| Ipv4Net::from(it)));
            raw.detail.secondary_addresses = Some(addresses);
        }
        // In the model they are one list.
        for (n, value) in raw.hosts.iter().enumerate() {
            entry.mark("hosts", all_hosts.len() + n, value);
        }
        let hosts = entry.list("hosts", raw.hosts, block);
        all_hosts.extend(hosts.unwrap_or_default());
        let mtu = entry.number("mtu", raw.mtu, limits::MTU);
        let sound = self.sound(&mut entry, Kind::Eni, raw.id);
        let (true, Some(id), Some(instance), Some(vswitch), Some(address)) =
            (sound, id, instance, vswitch, address)
        else {
            return None;
        };
        self.config.details.say(Kind::Eni, &id, raw.detail);
        self.place(Item::Eni(self.config.enis.len()), &entry);
        self.config.enis.push(Eni {
            id: id.clone(),
            instance,
            vswitch,
            address,
            hosts: all_hosts,
            security_groups: security_groups.unwrap_or_default(),
            driver: driver.unwrap_or(Driver::Netns),
            mtu: mtu.unwrap_or(1500),
        });
        Some(id)
    }

    /// Puts interfaces that name no security group into the default one of their VPC, which is made if
    /// the file has none.
    pub(super) fn default_groups(&mut self) {
        let vpcs: HashMap<&Id, usize> = (self.config.vpcs.iter().enumerate())
            .map(|(n, vpc)| (&vpc.id, n))
            .collect();
        let vpc_of: HashMap<&Id, usize> = (self.config.vswitches.iter())
            .filter_map(|vswitch| Some((&vswitch.id, *vpcs.get(&vswitch.vpc)?)))
            .collect();
        let groups = self.config.security_groups.iter();
        let mut groups: HashSet<Id> = groups.map(|group| group.id.clone()).collect();
        let mut made = Vec::new();
        for eni in &mut self.config.enis {
            if let ([], Some(&n)) = (&eni.security_groups[..], vpc_of.get(&eni.vswitch)) {
                let id = SecurityGroup::default_id(&self.config.vpcs[n].id);
                eni.security_groups.push(id.clone());
                if groups.insert(id.clone())
                    && !self.broken.contains(&(Kind::SecurityGroup, id.clone()))
                {
                    made.push((n, id));
                }
            }
        }
        drop((vpcs, vpc_of));
        for (n, id) in made {
            let item = Item::SecurityGroup(self.config.security_groups.len());
            self.belongs_to(item, Item::Vpc(n));
            self.config.security_groups.push(SecurityGroup {
                id,
                vpc: self.config.vpcs[n].id.clone(),
                kind: SecurityGroupKind::Normal,
                rules: Vec::new(),
            });
        }
    }
}

/// What instances and ENIs have in common.
struct Leg<'a> {
    id: &'a Text,
    /// `None`: itself.
    instance: Option<&'a Text>,
    /// What is said of it besides.
    detail: Detail,
    vswitch: &'a Text,
    address: &'a Text,
    security_groups: &'a Texts,
    driver: &'a Text,
    device: &'a Text,
    hosts: &'a Texts,
    mtu: &'a Number,
    secondary_addresses: Option<&'a Texts>,
}

/// A device is named exactly if the driver is `device`; naming one is enough to say so.
fn read_driver(entry: &mut Entry, driver: &Text, device: &Text) -> Option<Driver> {
    let named = entry.read("device", device, any);
    let kind = driver.as_ref().map(|driver| driver.get_ref().as_str());
    match (kind, named) {
        (None | Some("device"), Some(device)) => Some(Driver::Device { device }),
        (None | Some("netns"), None) => Some(Driver::Netns),
        (Some("netns"), Some(_)) => {
            let at = place(device).unwrap_or(entry.start);
            entry.fail(at, "device is only for driver = \"device\"");
            None
        }
        (Some("device"), None) => {
            let at = place(driver).unwrap_or(entry.start);
            entry.fail(at, "driver \"device\" needs device = \"INTERFACE\"");
            None
        }
        (Some(other), _) => {
            let at = place(driver).unwrap_or(entry.start);
            entry.fail(
                at,
                format!("driver {} is none of netns, device", quote(other)),
            );
            None
        }
    }
}

fn read_rule(entry: &mut Entry, raw: &schema::Rule) -> Option<SecurityRule> {
    let direction = entry.need("direction", &raw.direction, word);
    let policy = entry.read("policy", &raw.policy, word).unwrap_or_default();
    let priority = entry
        .number("priority", &raw.priority, limits::PRIORITY)
        .unwrap_or(1);
    let mut protocol = None;
    if let Some(value) = &raw.protocol {
        entry.mark("protocol", 0, value);
        protocol = match value.get_ref() {
            Value::Number(number) => u8::try_from(*number).ok(),
            Value::Text(name) => protocol_number(name),
        };
        let all = matches!(value.get_ref(), Value::Text(name) if name == "all");
        if protocol.is_none() && !all {
            let given = quote(&value.get_ref().to_string());
            let what = format!("protocol {given} is none of tcp, udp, icmp, gre, all, 0 to 255");
            entry.fail(value.span().start, what);
        }
    }
    let ports = entry.ports("ports", &raw.ports);
    let choice = entry.choice(&[("cidr", place(&raw.cidr)), ("group", place(&raw.group))])?;
    let peer = match choice {
        "cidr" => RulePeer::Cidr(entry.read_as("peer", choice, &raw.cidr, block)?),
        _ => RulePeer::Group(entry.read_as("peer", choice, &raw.group, any)?),
    };
    Some(SecurityRule {
        direction: direction?,
        policy,
        priority,
        protocol,
        ports,
        peer,
    })
}
