//! A site that a NAT firewall can protect, and calls about firewalls.

use super::{World, text};
use api::ApiError;
use model::NextHop;
use serde_json::Value;

/// A VPC with a vSwitch, and a gateway with EIPs and an SNAT entry.
pub struct Site {
    pub world: World,
    pub vpc: String,
    pub vswitch: String,
    pub gateway: String,
    pub table: String,
    pub eips: Vec<(String, String)>,
}

pub fn site(eips: usize) -> Site {
    let world = World::new();
    let block = [("CidrBlock", "192.168.0.0/16"), ("VpcName", "shop")];
    let vpc = text(&world.vpc("CreateVpc", &block).unwrap(), "/VpcId");
    let vswitch = vswitch(&world, &vpc, "192.168.1.0/24");
    let params = [("VpcId", &*vpc), ("VSwitchId", &*vswitch), ("Name", "out")];
    let made = world.vpc("CreateNatGateway", &params).unwrap();
    let gateway = text(&made, "/NatGatewayId");
    let eips = (0..eips).map(|_| eip(&world, &gateway)).collect::<Vec<_>>();
    if let Some((_, address)) = eips.first() {
        let table = text(&made, "/SnatTableIds/SnatTableId/0");
        let params = [
            ("SnatTableId", &*table),
            ("SourceCIDR", "192.168.0.0/16"),
            ("SnatIp", address),
        ];
        world.vpc("CreateSnatEntry", &params).unwrap();
    }
    let tables = world.vpc("DescribeRouteTableList", &[("VpcId", &vpc)]);
    let path = "/RouterTableList/RouterTableListType/0/RouteTableId";
    let table = text(&tables.unwrap(), path);
    Site {
        world,
        vpc,
        vswitch,
        gateway,
        table,
        eips,
    }
}

pub fn eip(world: &World, gateway: &str) -> (String, String) {
    let made = world.vpc("AllocateEipAddress", &[]).unwrap();
    let id = text(&made, "/AllocationId");
    let params = [
        ("AllocationId", &*id),
        ("InstanceId", gateway),
        ("InstanceType", "Nat"),
    ];
    world.vpc("AssociateEipAddress", &params).unwrap();
    (id, text(&made, "/EipAddress"))
}

pub fn vswitch(world: &World, vpc: &str, block: &str) -> String {
    let params = [
        ("VpcId", vpc),
        ("CidrBlock", block),
        ("ZoneId", "cn-hangzhou-h"),
    ];
    text(&world.vpc("CreateVSwitch", &params).unwrap(), "/VSwitchId")
}

impl Site {
    pub fn cfw(&self, action: &str, params: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.world.cfw(action, params)
    }

    pub fn create_of(&self, tables: &[&str], more: &[(&str, &str)]) -> Result<String, ApiError> {
        let mut params: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: &str| params.push((name.into(), value.into()));
        add("RegionNo", "cn-hangzhou");
        add("VpcId", &self.vpc);
        add("NatGatewayId", &self.gateway);
        add("ProxyName", "shop_firewall");
        for (n, table) in tables.iter().enumerate() {
            let n = n + 1;
            add(&format!("NatRouteEntryList.{n}.RouteTableId"), table);
            add(
                &format!("NatRouteEntryList.{n}.DestinationCidr"),
                "0.0.0.0/0",
            );
            add(&format!("NatRouteEntryList.{n}.NextHopType"), "NatGateway");
            add(&format!("NatRouteEntryList.{n}.NextHopId"), &self.gateway);
        }
        more.iter().for_each(|(name, value)| add(name, value));
        let params: Vec<(&str, &str)> = params.iter().map(|(a, b)| (&**a, &**b)).collect();
        self.cfw("CreateSecurityProxy", &params)
            .map(|it| text(&it, "/ProxyId"))
    }

    pub fn create(&self, more: &[(&str, &str)]) -> Result<String, ApiError> {
        self.create_of(&[&self.table], more)
    }

    pub fn shown(&self, proxy: &str) -> Value {
        let list = self
            .cfw("DescribeNatFirewallList", &[("ProxyId", proxy)])
            .unwrap();
        assert_eq!(list["TotalCount"], 1, "{list}");
        list["NatFirewallList"][0].clone()
    }

    /// Where a table's default route leads in the engine's eyes.
    pub fn default(&self, table: &str) -> Option<NextHop> {
        let config = self.world.control.config();
        let table = config.route_tables.iter().find(|it| it.id == table)?;
        let mut routes = table.routes.iter();
        let route = routes.find(|it| it.destination.prefix_len() == 0)?;
        Some(route.next_hop.clone())
    }

    /// The entries of a table as the API shows them, by destination.
    pub fn entry(&self, table: &str, destination: &str) -> Value {
        let params = [
            ("RouteTableId", table),
            ("DestinationCidrBlock", destination),
        ];
        let list = self.world.vpc("DescribeRouteEntryList", &params).unwrap();
        list["RouteEntrys"]["RouteEntry"][0].clone()
    }

    pub fn precheck(&self, params: &[(&str, &str)]) -> Vec<String> {
        let mut all = vec![
            ("NatGatewayId", &*self.gateway),
            ("RegionNo", "cn-hangzhou"),
        ];
        all.extend(params);
        let mut with_vpc = all.clone();
        with_vpc.push(("VpcId", &self.vpc));
        let made = self.cfw("CreateNatFirewallPreCheck", &with_vpc).unwrap();
        assert_ne!(made["PreCheckId"], "");
        let told = self.cfw("DescribeNatFirewallPrecheckDetail", &all).unwrap();
        assert_eq!(told["IsFound"], true);
        let detail = &told["PrecheckDetail"];
        let groups = detail["PrecheckEntityGroups"].as_array().unwrap();
        let items = groups
            .iter()
            .flat_map(|it| it["PrecheckEntities"].as_array().unwrap());
        let failed: Vec<String> = items
            .filter(|it| it["Status"] == "failed")
            .inspect(|it| {
                assert_ne!(it["Info"], "");
                assert_ne!(it["Suggestion"], "");
            })
            .map(|it| text(it, "/Name"))
            .collect();
        let status = if failed.is_empty() {
            "passed"
        } else {
            "failed"
        };
        assert_eq!(detail["PrecheckStatus"], status);
        failed
    }

    pub fn bypasses(&self, proxy: &str) -> Vec<(String, String)> {
        let told = self
            .cfw("DescribeNatFirewallBypass", &[("ProxyId", proxy)])
            .unwrap();
        let list = told["Bypasses"].as_array().unwrap().clone();
        let mut list: Vec<_> = list
            .iter()
            .map(|it| (text(it, "/Way"), text(it, "/DestinationCidr")))
            .collect();
        list.sort();
        list
    }
}
