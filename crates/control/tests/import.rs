//! What a configuration file says is what the engine is told, and what else there is stays.

use control::eni::{NewEni, Secondary};
use control::records::{EipBinding, Meta, NextHop, SecurityGroup, Vpc};
use control::{Cloud, Draft};
use model::{Config, Driver, SecurityGroupKind};

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
    config.firewalls.books.sort_by_key(|it| it.id.clone());
    config.firewalls.policies.sort_by_key(|it| it.scope.clone());
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
    let said = parse(EXAMPLE);
    // The engine is not told of names.
    assert_ne!(said.details, model::Details::default());
    let told = Config {
        details: model::Details::default(),
        ..said
    };
    assert_eq!(sorted(cloud.config()), sorted(told));
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
fn a_file_that_says_nothing_of_the_border_leaves_protected_what_the_api_protects() {
    let (silent, _) = EXAMPLE.split_once("[border_firewall]").unwrap();
    let protected = |cloud: &Cloud| cloud.config().firewalls.border.eips;
    let mut draft = Draft::new(import(Cloud::default(), silent), 1_000);
    draft.protect_eip("eip-3", true).unwrap();
    let cloud = import(draft.into_cloud(), silent);
    assert_eq!(protected(&cloud), ["eip-3"]);
    // What a file protects ceases with it, and the rest does not.
    let cloud = import(cloud, EXAMPLE);
    assert_eq!(protected(&cloud), ["eip-1", "eip-2", "eip-3"]);
    let cloud = import(cloud, silent);
    assert_eq!(protected(&cloud), ["eip-3"]);
}

#[test]
fn identifiers_and_names_stay_when_a_file_is_applied_again() {
    let mut cloud = import(Cloud::default(), EXAMPLE);
    let named = cloud.vpcs.get_mut("vpc-lab").unwrap();
    named.meta.name = "the lab".into();
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
    assert_eq!(cloud.vpcs.get("vpc-lab").unwrap().meta.name, "the lab");
    // What the file says, it says again.
    assert_eq!(cloud.vpcs.get("vpc-shop").unwrap().meta.name, "Shop");
    let gateway = cloud.nat_gateways.get("ngw-shop").unwrap();
    assert_eq!(gateway.nat.max_sessions_per_source, Some(20_000));
    assert_eq!(gateway.snat_table, table);
}

const NETWORK: &str = r#"
[[uplink]]
id = "wan"
device = "eth1"
address = "203.0.113.2/24"
pool = ["203.0.113.128/25"]
[[vpc]]
id = "vpc-1"
cidr = "192.168.0.0/16"
[[vswitch]]
id = "vsw-1"
vpc = "vpc-1"
cidr = "192.168.1.0/24"
"#;

const TENANTS: &str = r#"
[[instance]]
id = "web"
vswitch = "vsw-1"
address = "192.168.1.10"
[[nat_gateway]]
id = "ngw-1"
vpc = "vpc-1"
"#;

#[test]
fn what_hung_on_something_that_goes_is_let_go() {
    let cloud = import(Cloud::default(), &format!("{NETWORK}{TENANTS}"));
    let mut draft = Draft::new(cloud, 2_000);
    let meta = draft.meta("", "");
    let group = draft
        .create_security_group("vpc-1", SecurityGroupKind::Normal, meta.clone())
        .unwrap();
    let eni = draft.create_eni(NewEni {
        meta: meta.clone(),
        vswitch: "vsw-1".into(),
        address: None,
        secondary: Secondary::Count(0),
        security_groups: vec![group.id],
        driver: Driver::Netns,
        delete_on_release: true,
    });
    let eni = eni.unwrap().id;
    draft.attach_eni(&eni, "web").unwrap();
    let table = draft.create_route_table("vpc-1", meta.clone()).unwrap().id;
    let mut route = |block: &str, hop| {
        let block = block.parse().unwrap();
        let made = draft.create_route(&table, block, hop, meta.clone());
        made.unwrap().id
    };
    let to_web = route("10.1.0.0/16", NextHop::Instance("web".into()));
    let to_gateway = route("10.2.0.0/16", NextHop::NatGateway("ngw-1".into()));
    let to_eni = route("10.3.0.0/16", NextHop::Eni(eni.clone()));
    let eip = |draft: &mut Draft, binding| {
        let id = format!("eip-{}", draft.eips.len());
        let mut eip = import(Cloud::default(), BOUND)
            .eips
            .get("eip-file")
            .unwrap()
            .clone();
        eip.id = id.clone();
        eip.address = [203, 0, 113, 140 + draft.eips.len() as u8].into();
        eip.meta = Meta::default();
        eip.binding = Some(binding);
        draft.eips.put(eip);
        id
    };
    let of_web = eip(&mut draft, EipBinding::Instance("web".into()));
    let of_gateway = eip(&mut draft, EipBinding::NatGateway("ngw-1".into()));
    let of_eni = eip(&mut draft, EipBinding::Eni(eni.clone()));

    let cloud = import(draft.into_cloud(), NETWORK);
    assert_eq!(cloud.enis.get(&eni).unwrap().instance, None);
    let hop = |id: &str| cloud.routes.get(id).unwrap().next_hop.clone();
    assert_eq!(
        (hop(&to_web), hop(&to_gateway)),
        (NextHop::Blackhole, NextHop::Blackhole)
    );
    assert_eq!(hop(&to_eni), NextHop::Eni(eni.clone()));
    let binding = |id: &str| cloud.eips.get(id).unwrap().binding.clone();
    assert_eq!((binding(&of_web), binding(&of_gateway)), (None, None));
    assert_eq!(binding(&of_eni), Some(EipBinding::Eni(eni)));
    assert_eq!(model::validate::check(&cloud.config()), []);
}

const BOUND: &str = r#"
[[uplink]]
id = "wan"
device = "eth1"
address = "203.0.113.2/24"
[[eip]]
id = "eip-file"
address = "203.0.113.9"
uplink = "wan"
"#;

#[test]
fn an_isolated_group_stays_what_it_is() {
    let text = r#"
        [[vpc]]
        id = "vpc-1"
        cidr = "192.168.0.0/16"
        [[security_group]]
        id = "sg-1"
        vpc = "vpc-1"
        kind = "KIND"
    "#;
    let mut cloud = import(Cloud::default(), &text.replace("KIND", "normal"));
    cloud.security_groups.get_mut("sg-1").unwrap().isolated = true;
    let told = cloud.config().security_groups[0].kind;
    assert_eq!(told, SecurityGroupKind::Enterprise);
    // What the engine is told, written as a file and applied, changes nothing.
    let again = import(cloud.clone(), &text.replace("KIND", "enterprise"));
    assert_eq!(again, cloud);
    let other = import(cloud, &text.replace("KIND", "normal"));
    assert!(!other.security_groups.get("sg-1").unwrap().isolated);
}

/// A gateway with an address book and these policies.
fn with_policies(policies: &str) -> String {
    format!(
        r#"
        [[uplink]]
        id = "wan"
        device = "eth1"
        [[vpc]]
        id = "v"
        cidr = "192.168.0.0/16"
        [[nat_gateway]]
        id = "n"
        vpc = "v"
        {policies}
        "#
    )
}

const BOOK: &str = "[[address_book]]\nid = \"b\"\nname = \"The book\"\nip = [\"192.0.2.0/24\"]\n";

fn policy(id: &str, more: &str) -> String {
    format!("[[policy]]\nfirewall = \"n\"\nid = \"{id}\"\naction = \"drop\"\n{more}\n")
}

fn order(cloud: &Cloud) -> Vec<String> {
    let scope = model::PolicyScope::NatGateway("n".into());
    let policies = cloud.policies_of(&scope);
    policies.iter().map(|it| it.policy.id.clone()).collect()
}

#[test]
fn policies_of_the_file_come_in_its_order_and_those_of_the_api_behind_them() {
    use control::firewall::policy::Order;
    let scope = model::PolicyScope::NatGateway("n".into());
    let (a, b) = (policy("a", ""), policy("b", "destination_book = \"b\""));
    let file = with_policies(&format!("{BOOK}{a}{b}"));
    let cloud = import(Cloud::default(), &file);
    assert_eq!(order(&cloud), ["a", "b"]);
    let mut draft = Draft::new(cloud, 2_000);
    let like_b = draft.policy(&scope, "b").unwrap().1.policy.as_ref().clone();
    let made = draft.create_policy(&scope, Order::At(1), like_b).unwrap();
    let cloud = draft.into_cloud();
    assert_eq!(order(&cloud), [&*made, "a", "b"]);
    let c = policy("c", "protocol = \"tcp\"");
    let cloud = import(cloud, &with_policies(&format!("{BOOK}{c}{b}{a}")));
    assert_eq!(order(&cloud), ["c", "b", "a", &made]);
    // When a policy was made is kept; the file says what it says.
    let (_, b) = cloud.policy(&scope, "b").unwrap();
    assert_eq!((b.created, b.modified, b.of_file), (1_000, 0, true));

    // The file names neither policies nor book any more: the API's policy keeps the book.
    let cloud = import(cloud, &with_policies(""));
    assert_eq!(order(&cloud), [&*made]);
    assert_eq!(cloud.books.get("b").map(|it| it.meta.of_file), Some(false));
    assert!(model::validate::check(&cloud.config()).is_empty());
    // And with the gateway its policies go.
    let cloud = import(cloud, "[[uplink]]\nid = \"wan\"\ndevice = \"eth1\"\n");
    assert_eq!(order(&cloud), [""; 0]);
}

#[test]
fn a_book_goes_on_following_tags_although_a_file_names_its_addresses() {
    use control::firewall::books::Follows;
    use control::records::TagRule;
    let mut draft = Draft::new(import(Cloud::default(), EXAMPLE), 2_000);
    let meta = draft.meta("prod", "");
    let rule = TagRule {
        tags: vec![("env".into(), "prod".into())],
        all: true,
        auto: true,
        members: Vec::new(),
    };
    let content = model::BookContent::Tag(Vec::new());
    let id = draft.create_book(meta, content, Default::default(), Some(Follows::Tags(rule)));
    let id = id.unwrap();
    let web = draft.instances.iter().next().unwrap().id.clone();
    let instance = draft.instances.get_mut(&web).unwrap();
    instance.meta.tags.insert("env".into(), "prod".into());
    let cloud = draft.into_cloud();
    let exported = model::file::write(&cloud.config());
    assert_eq!(parse(&exported).firewalls, cloud.config().firewalls);
    let mut cloud = import(cloud, &exported);
    let tagged = |cloud: &Cloud| match &*cloud.content(cloud.books.get(&id).unwrap()) {
        model::BookContent::Tag(list) => list.len(),
        other => panic!("{other:?}"),
    };
    assert_ne!(tagged(&cloud), 0);
    cloud.instances.get_mut(&web).unwrap().meta.tags.clear();
    assert_eq!(tagged(&cloud), 0);
}

#[test]
fn what_an_unchanged_firewall_is_told_is_the_same_and_not_only_equal() {
    use std::sync::Arc;
    let cloud = import(Cloud::default(), EXAMPLE);
    let before = cloud.config();
    let cloud = import(cloud, EXAMPLE);
    let after = cloud.config();
    let lists = before
        .firewalls
        .policies
        .iter()
        .zip(&after.firewalls.policies);
    assert!(lists.clone().count() > 1);
    for (before, after) in lists {
        assert!(Arc::ptr_eq(&before.policies, &after.policies));
    }
}

/// A file can take away the route that leads to a firewall of the API. It is told that nothing goes through it any more, it
/// cannot be switched on again while that is so, and when the route is back, so is the firewall.
#[test]
fn a_firewall_whose_route_is_taken_away_is_abnormal() {
    use control::firewall::nat::{NewDiversion, NewNatFirewall, Status};
    let file = |more: &str| {
        let gateway = with_policies(
            "eips = [\"e\"]\n[[nat_gateway.snat]]\nid = \"s\"\nvpc = true\neips = [\"e\"]\n",
        );
        let eip = "[[eip]]\nid = \"e\"\naddress = \"203.0.113.10\"\n";
        let table = "[[route_table]]\nid = \"v/system\"\nvpc = \"v\"\nsystem = true\n";
        format!("{gateway}{eip}{table}{more}")
    };
    let routed = import(Cloud::default(), &file(""));
    let mut draft = Draft::new(routed, 1_000);
    let made = draft.create_nat_firewall(NewNatFirewall {
        name: "shop_firewall".into(),
        gateway: "n".into(),
        tables: vec!["v/system".into()],
        diversion: NewDiversion::Automatic {
            cidr: None,
            zone: None,
        },
        enabled: true,
        inbound: false,
        settings: model::FirewallSettings::default(),
        skip_precheck: false,
        service_mode: String::new(),
        service_zones: Vec::new(),
    });
    let id = made.unwrap().id;
    let cloud = draft.into_cloud();
    let status = |cloud: &Cloud| cloud.firewall_status(cloud.nat_firewall(&id).unwrap());
    let diverts = |cloud: &Cloud| {
        let config = cloud.config();
        let mut routes = config.route_tables.iter().flat_map(|it| &it.routes);
        routes.any(|it| it.next_hop == model::NextHop::NatFirewall(id.clone()))
    };
    assert!(status(&cloud) == Status::Normal && diverts(&cloud));
    let cloud = import(cloud, &file("default_route = false\n"));
    assert_eq!(status(&cloud).name(), "abnormal");
    assert!(status(&cloud).detail().contains("0.0.0.0/0"));
    assert!(!diverts(&cloud));
    let mut draft = Draft::new(cloud.clone(), 1_000);
    draft.switch_nat_firewall(&id, false).unwrap();
    let refused = draft.switch_nat_firewall(&id, true).unwrap_err();
    assert_eq!(refused.code, "MissingNatRouteEntryList");
    let cloud = import(cloud, &file(""));
    assert!(status(&cloud) == Status::Normal && diverts(&cloud));
}
