//! The policies that are always there, under the names that the cloud has for them.

/// A policy that is always there.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// See [`super::Document`].
    pub document: &'static str,
}

/// The policy of administrators.
pub const ADMINISTRATOR: &str = "AdministratorAccess";

/// All of them.
pub const ALL: &[Builtin] = &[
    Builtin {
        name: ADMINISTRATOR,
        description: "Everything.",
        document: r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
    },
    Builtin {
        name: "AliyunECSFullAccess",
        description: "Everything about instances, network interfaces and security groups.",
        document: r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["ecs:*","vpc:DescribeVpcs","vpc:DescribeVSwitches"],"Resource":"*"}]}"#,
    },
    Builtin {
        name: "AliyunECSReadOnlyAccess",
        description: "Seeing instances, network interfaces and security groups.",
        document: r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["ecs:Describe*","ecs:List*","vpc:DescribeVpcs","vpc:DescribeVSwitches"],"Resource":"*"}]}"#,
    },
    Builtin {
        name: "AliyunRAMFullAccess",
        description: "Everything about users, access keys and policies: whoever has it can give himself the rest.",
        document: r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"ram:*","Resource":"*"}]}"#,
    },
    Builtin {
        name: "AliyunRAMReadOnlyAccess",
        description: "Seeing users, access keys and policies.",
        document: r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["ram:Get*","ram:List*"],"Resource":"*"}]}"#,
    },
    Builtin {
        name: "AliyunVPCFullAccess",
        description: "Everything about networks: VPCs, routes, EIPs, NAT gateways, peer connections.",
        document: r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["vpc:*","vpcpeer:*"],"Resource":"*"}]}"#,
    },
    Builtin {
        name: "AliyunVPCReadOnlyAccess",
        description: "Seeing networks.",
        document: r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["vpc:Check*","vpc:Describe*","vpc:Get*","vpc:List*","vpc:TraceFlow","vpcpeer:Get*","vpcpeer:List*"],"Resource":"*"}]}"#,
    },
    Builtin {
        name: "AliyunYundunCloudFirewallFullAccess",
        description: "Everything about firewalls, their policies and address books.",
        document: r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"yundun-cloudfirewall:*","Resource":"*"}]}"#,
    },
    Builtin {
        name: "AliyunYundunCloudFirewallReadOnlyAccess",
        description: "Seeing firewalls, their policies and address books.",
        document: r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"yundun-cloudfirewall:Describe*","Resource":"*"}]}"#,
    },
    Builtin {
        name: "ReadOnlyAccess",
        description: "Seeing everything, the audit trail too.",
        document: r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["*:Check*","*:Describe*","*:Get*","*:List*","actiontrail:LookupEvents","vpc:TraceFlow"],"Resource":"*"}]}"#,
    },
];

/// The policy with a name.
pub fn find(name: &str) -> Option<&'static Builtin> {
    ALL.iter().find(|it| it.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Document;

    #[test]
    fn they_can_be_read_and_only_one_makes_an_administrator() {
        for builtin in ALL {
            let document = Document::parse(builtin.document)
                .unwrap_or_else(|error| panic!("{}: {error}", builtin.name));
            assert_eq!(
                document.allows_everything(),
                builtin.name == ADMINISTRATOR,
                "{}",
                builtin.name
            );
        }
    }
}
