//! A VPC with a vSwitch and a security group, and instances in it.

use super::{World, text};
use control::quota::Quota;
use control::records::System;
use model::{Eni, SecurityGroup};

/// A cloud with a network.
pub struct Net {
    pub world: World,
    pub vpc: String,
    pub vswitch: String,
    pub group: String,
}

impl Net {
    /// 192.168.0.0/16 with 192.168.1.0/24 in the first zone, and a normal group without rules.
    pub fn new() -> Net {
        let world = World::new();
        let vpc = vpc(&world, "192.168.0.0/16");
        let vswitch = vswitch(&world, &vpc, "192.168.1.0/24", "cn-hangzhou-h");
        let group = group(&world, &vpc, "web");
        Net {
            world,
            vpc,
            vswitch,
            group,
        }
    }

    /// Sets the cloud's own quotas.
    pub fn limit_as_the_cloud(&self) {
        let system = model::System::default();
        let limited = self.world.control.change(2_000, |draft| {
            draft.system.put(System {
                id: System::ID.into(),
                name: system.name,
                hook: system.hook,
                max_sessions: system.max_sessions,
                regions: Vec::new(),
                quotas: Quota::of_the_cloud(),
                services: Default::default(),
            });
            Ok(())
        });
        limited.unwrap();
    }

    pub fn restart(self) -> Net {
        let Net {
            world,
            vpc,
            vswitch,
            group,
        } = self;
        let before = world.control.cloud();
        let config = world.control.config();
        let world = world.restart();
        assert_eq!(*world.control.cloud(), *before);
        assert_eq!(world.control.config(), config);
        Net {
            world,
            vpc,
            vswitch,
            group,
        }
    }

    /// The parameters of `RunInstances` for this network, and more; a later one replaces an earlier one, an
    /// empty one takes it away.
    pub fn params<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut params = vec![
            ("ImageId", "image-1"),
            ("InstanceType", "ecs.g6.large"),
            ("VSwitchId", &*self.vswitch),
            ("SecurityGroupId", &*self.group),
        ];
        params.extend(more);
        params
    }

    /// Runs an instance.
    pub fn run(&self, more: &[(&str, &str)]) -> String {
        let answer = self.world.ecs("RunInstances", &self.params(more)).unwrap();
        text(&answer, "/InstanceIdSets/InstanceIdSet/0")
    }

    /// What the engine is told of an interface: of an instance's primary one by the instance's identifier.
    pub fn eni(&self, id: &str) -> Option<Eni> {
        let config = self.world.control.config();
        config.enis.iter().find(|it| it.id == id).cloned()
    }

    /// What the engine is told of a security group.
    pub fn security_group(&self, id: &str) -> Option<SecurityGroup> {
        let config = self.world.control.config();
        let mut groups = config.security_groups.iter();
        groups.find(|it| it.id == id).cloned()
    }

    /// The identifier of an instance's primary interface.
    pub fn primary(&self, instance: &str) -> String {
        self.world
            .control
            .cloud()
            .instances
            .get(instance)
            .unwrap()
            .eni
            .clone()
    }
}

/// An interface in the network's vSwitch and group that belongs to no instance.
pub fn eni(net: &Net, more: &[(&str, &str)]) -> String {
    let mut params = vec![
        ("VSwitchId", &*net.vswitch),
        ("SecurityGroupId", &*net.group),
    ];
    params.extend(more);
    let answer = net.world.ecs("CreateNetworkInterface", &params).unwrap();
    text(&answer, "/NetworkInterfaceId")
}

pub fn vpc(world: &World, cidr: &str) -> String {
    text(
        &world.vpc("CreateVpc", &[("CidrBlock", cidr)]).unwrap(),
        "/VpcId",
    )
}

pub fn vswitch(world: &World, vpc: &str, cidr: &str, zone: &str) -> String {
    let params = [("VpcId", vpc), ("CidrBlock", cidr), ("ZoneId", zone)];
    text(&world.vpc("CreateVSwitch", &params).unwrap(), "/VSwitchId")
}

pub fn group(world: &World, vpc: &str, name: &str) -> String {
    let params = [("VpcId", vpc), ("SecurityGroupName", name)];
    let answer = world.ecs("CreateSecurityGroup", &params).unwrap();
    text(&answer, "/SecurityGroupId")
}
