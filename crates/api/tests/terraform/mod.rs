//! The calls that Terraform's provider `aliyun/alicloud` makes, replayed: the tables beside this file have them, one
//! block for each resource, and what the provider needs of the answers.
//!
//! As `terraform` would, the player makes all resources of a table and reads each one back, reads all of them again (what
//! it reads then must still be what was configured, or there would be changes to plan), updates them, deletes them the
//! other way round and looks whether they are gone. A table has lines of these forms:
//!
//! ```text
//! [alicloud_eip_address]
//! create vpc.AllocateEipAddress ClientToken={token} Bandwidth=5
//!     AllocationId -> eip                  a value, for `{eip}` in what follows
//! read   vpc.DescribeEipAddresses AllocationId={eip}
//!     EipAddresses.EipAddress is list      the type of a value
//!     EipAddresses.EipAddress[0].Bandwidth = 5
//!     EipAddresses.EipAddress[Status=Available].Tags.Tag is empty
//! gone   vpc.DescribeEipAddresses AllocationId={eip}
//!     ! 404 InvalidAllocationId.NotFound   a refusal
//! ```

use crate::common::World;
use crate::tables::{self, Phase, Resource};
use serde_json::Value;
use std::collections::BTreeMap;

/// What the provider takes for a failure although the call has succeeded.
fn failed(answer: &Value) -> bool {
    let code = answer.get("Code");
    answer.get("Success") == Some(&Value::Bool(false)) || code.is_some_and(|it| *it != "200")
}

#[derive(Default)]
struct Player {
    names: BTreeMap<String, String>,
    tokens: u32,
    complaints: Vec<String>,
}

impl Player {
    /// A text with the values of its names.
    fn fill(&mut self, text: &str) -> String {
        self.tokens += 1;
        let token = format!("TF-{:09}-1764500000", self.tokens);
        let mut out = text.replace("{token}", &token);
        for (name, value) in &self.names {
            out = out.replace(&format!("{{{name}}}"), value);
        }
        out.replace('\\', "")
    }

    /// Makes the calls of a phase.
    fn play(&mut self, world: &World, resource: &Resource, phase: Phase) {
        for call in resource.calls.iter().filter(|it| it.phase == phase) {
            let mut params = call.product.params();
            for (name, value) in &call.params {
                params.push((name.clone(), self.fill(value)));
            }
            let params: Vec<(&str, &str)> = params.iter().map(|(a, b)| (&**a, &**b)).collect();
            let answer = world.call(call.product.version(), &call.action, &params);
            let mut complaints = Vec::new();
            match &answer {
                Ok(answer) if failed(answer) => complaints.push("taken for a failure".into()),
                Err(error) if !call.is_refused() => complaints.push(error.to_string()),
                _ => {}
            }
            for want in call
                .wants
                .iter()
                .filter(|_| answer.is_ok() || call.is_refused())
            {
                match want.clone().map(|text| self.fill(text)).check(&answer) {
                    Ok(Some((name, value))) => drop(self.names.insert(name, value)),
                    Ok(None) => {}
                    Err(why) => complaints.push(why),
                }
            }
            let at = format!("{}, line {}: {}", resource.name, call.line, call.action);
            let complaints = complaints.into_iter().map(|why| format!("{at}: {why}"));
            self.complaints.extend(complaints);
        }
    }
}

fn play(text: &str) {
    let world = World::new();
    let resources = tables::read(text);
    let mut player = Player::default();
    for resource in &resources {
        player.play(&world, resource, Phase::Create);
        player.play(&world, resource, Phase::Read);
    }
    for phase in [Phase::Read, Phase::Update] {
        for resource in &resources {
            player.play(&world, resource, phase);
        }
    }
    for resource in resources.iter().rev() {
        player.play(&world, resource, Phase::Delete);
        player.play(&world, resource, Phase::Gone);
    }
    assert!(player.complaints.is_empty(), "{:#?}", player.complaints);
}

#[test]
fn networks() {
    play(include_str!("network.txt"));
}

#[test]
fn gateways() {
    play(include_str!("gateway.txt"));
}

#[test]
fn instances() {
    play(include_str!("compute.txt"));
}

#[test]
fn firewalls() {
    play(include_str!("firewall.txt"));
}
