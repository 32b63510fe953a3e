//! What a configuration file says is what the engine is told, and what else there is stays.

use control::records::{Meta, SecurityGroup, Vpc};
use control::{Cloud, Draft};
use model::{Config, SecurityGroupKind};

const EXAMPLE: &str = include_str!("../../../docs/example.toml");

fn parse(text: &str) -> Config {
    model::file::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A configuration whose lists are in the order of their identifiers.
fn sorted(mut config: Config) -> Config {
    config.uplinks.sort_by_key(|it| it.id.clone());
    config.vpcs.sort_by_key(|it| it.id.clone());
    config.vswitches.sort_by_key(|it| it.id.clone());
    config.route_tables.sort_by_key(|it| it.id.clone());
    config.security_groups.sort_by_key(|it| it.id.clone());
    config.enis.sort_by_key(|it| it.id.clone());
    config.eips.sort_by_key(|it| it.id.clone());
    config.nat_gateways.sort_by_key(|it| it.id.clone());
    for table in &mut config.route_tables {
        table.routes.sort_by_key(|it| it.destination);
    }
    for gateway in &mut config.nat_gateways {
        gateway.snat.sort_by_key(|it| it.id.clone());
        gateway.dnat.sort_by_key(|it| it.id.clone());
    }
    config
}

fn import(cloud: Cloud, text: &str) -> Cloud {
    let mut draft = Draft::new(cloud, 1_000);
    draft.import(&parse(text)).unwrap();
    draft.into_cloud()
}

#[test]
fn what_a_file_says_is_what_the_engine_is_told() {
    let cloud = import(Cloud::default(), EXAMPLE);
    assert_eq!(sorted(cloud.config()), sorted(parse(EXAMPLE)));
}

#[test]
fn the_same_file_again_changes_nothing() {
    let once = import(Cloud::default(), EXAMPLE);
    assert_eq!(import(once.clone(), EXAMPLE), once);
}

#[test]
fn what_a_later_file_leaves_out_goes_and_what_is_not_of_a_file_stays() {
    let mut cloud = import(Cloud::default(), EXAMPLE);
    cloud.vpcs.put(Vpc {
        id: "vpc-of-the-api".into(),
        meta: Meta::default(),
        region: String::new(),
        router: "vrt-1".into(),
        router_meta: Meta::default(),
        cidrs: vec!["10.0.0.0/16".parse().unwrap()],
        user_cidrs: Vec::new(),
        default: false,
    });
    cloud.security_groups.put(SecurityGroup {
        id: "sg-of-the-api".into(),
        meta: Meta::default(),
        vpc: "vpc-of-the-api".into(),
        kind: SecurityGroupKind::Normal,
        isolated: false,
        rules: Vec::new(),
    });
    let (system, _) = EXAMPLE.split_once("# --- Networks").unwrap();
    let cloud = import(cloud, system);
    let vpcs: Vec<&str> = cloud.vpcs.iter().map(|it| &*it.id).collect();
    assert_eq!(vpcs, ["vpc-of-the-api"]);
    assert_eq!(cloud.security_groups.len(), 1);
    assert_eq!(cloud.uplinks.len(), 1);
    let left = cloud.config();
    assert!(left.enis.is_empty() && left.nat_gateways.is_empty() && left.eips.is_empty());
    assert!(cloud.instances.is_empty() && cloud.snat.is_empty() && cloud.dnat.is_empty());
    assert!(cloud.routes.is_empty() && cloud.enis.is_empty());
}

#[test]
fn identifiers_and_names_stay_when_a_file_is_applied_again() {
    let mut cloud = import(Cloud::default(), EXAMPLE);
    let named = cloud.vpcs.get_mut("vpc-shop").unwrap();
    named.meta.name = "the shop".into();
    let table = cloud
        .nat_gateways
        .get("ngw-shop")
        .unwrap()
        .snat_table
        .clone();
    let edited = EXAMPLE.replace(
        "max_sessions_per_source = 10000",
        "max_sessions_per_source = 20000",
    );
    let cloud = import(cloud, &edited);
    assert_eq!(cloud.vpcs.get("vpc-shop").unwrap().meta.name, "the shop");
    let gateway = cloud.nat_gateways.get("ngw-shop").unwrap();
    assert_eq!(gateway.nat.max_sessions_per_source, Some(20_000));
    assert_eq!(gateway.snat_table, table);
}
