//! Security groups: who is in them, and their rules.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::quota::Quota;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use model::{Direction, Id, RulePeer, SecurityGroupKind};

/// What a rule says. That tells it from others: a group has no two that say the same.
pub use model::SecurityRule as Rule;

impl SecurityRule {
    /// What it says.
    pub fn says(&self) -> Rule {
        Rule {
            direction: self.direction,
            policy: self.policy,
            priority: self.priority,
            protocol: self.protocol,
            ports: self.ports.clone(),
            peer: self.peer.clone(),
        }
    }

    /// The group that it names.
    fn names(&self) -> Option<&Id> {
        named(&self.peer)
    }
}

impl SecurityGroup {
    /// Whether its members reach each other, as the engine is told.
    pub fn effect(&self) -> SecurityGroupKind {
        match self.isolated {
            true => SecurityGroupKind::Enterprise,
            false => self.kind,
        }
    }
}

impl Cloud {
    /// The network interfaces in a security group.
    pub fn members(&self, group: &str) -> impl Iterator<Item = &Eni> {
        self.enis
            .iter()
            .filter(move |it| it.security_groups.iter().any(|id| id == group))
    }

    /// The other security groups with rules that name a group.
    pub fn references(&self, group: &str) -> impl Iterator<Item = &SecurityGroup> {
        self.security_groups.iter().filter(move |it| {
            it.id != group
                && it
                    .rules
                    .iter()
                    .any(|rule| rule.names().is_some_and(|id| id == group))
        })
    }
}

impl Draft {
    /// Makes a security group.
    ///
    /// # Errors
    /// If the VPC does not exist, or there are too many.
    pub fn create_security_group(
        &mut self,
        vpc: &str,
        kind: SecurityGroupKind,
        meta: Meta,
    ) -> Result<SecurityGroup> {
        self.vpc(vpc)?;
        self.room_for(
            Quota::SecurityGroups,
            "There are",
            self.security_groups.len(),
        )?;
        let group = SecurityGroup {
            id: self.new_id("sg")?,
            meta,
            vpc: vpc.into(),
            kind,
            isolated: false,
            rules: Vec::new(),
        };
        self.security_groups.put(group.clone());
        Ok(group)
    }

    /// Deletes a security group.
    ///
    /// # Errors
    /// `DependencyViolation` if a network interface is in it or a rule of another group names it.
    pub fn delete_security_group(&mut self, id: &str) -> Result<()> {
        self.security_group(id)?;
        let member = self.members(id).next().map(|it| &it.id);
        let depends = member.or_else(|| self.references(id).next().map(|it| &it.id));
        if let Some(other) = depends {
            let why = format!("The security group {id} cannot be deleted: {other} depends on it.");
            return Err(Refusal::forbidden("DependencyViolation", why));
        }
        self.security_groups.remove(id);
        Ok(())
    }

    /// Says whether the members of a normal group reach each other unless a rule says otherwise.
    ///
    /// # Errors
    /// If it is an enterprise group: the members of one never do.
    pub fn isolate_security_group(&mut self, id: &str, isolated: bool) -> Result<()> {
        let enterprise = self.security_group(id)?.kind == SecurityGroupKind::Enterprise;
        if enterprise {
            let why = "The members of an enterprise group reach each other by rules alone.";
            return Err(Refusal::bad("InvalidGroupParameter.OperationDenied", why));
        }
        if let Some(group) = self.security_groups.get_mut(id) {
            group.isolated = isolated;
        }
        Ok(())
    }

    /// Adds rules, each with its description. One that the group has is passed over.
    ///
    /// # Errors
    /// If a rule names a group that it cannot name, or there would be too many.
    pub fn authorize(&mut self, id: &str, rules: Vec<(Rule, String)>) -> Result<()> {
        let mut group = self.security_group(id)?.clone();
        for (rule, description) in rules {
            self.check_peer(&group, &rule)?;
            if group.rules.iter().all(|it| it.says() != rule) {
                let new = SecurityRule {
                    id: self.new_id("sgr")?,
                    description,
                    created: self.now,
                    direction: rule.direction,
                    policy: rule.policy,
                    priority: rule.priority,
                    protocol: rule.protocol,
                    ports: rule.ports,
                    peer: rule.peer,
                };
                group.rules.push(new);
            }
        }
        let named = group
            .rules
            .iter()
            .filter(|it| it.names().is_some_and(|other| *other != group.id))
            .count();
        let whose = format!("The security group {id} would have");
        self.room_for(Quota::GroupReferences, &whose, named.saturating_sub(1))?;
        self.security_groups.put(group);
        self.count_rules(id)
    }

    /// Takes rules away. Rules that the group does not have do not matter.
    ///
    /// # Errors
    /// If the group does not exist.
    pub fn revoke(&mut self, id: &str, rules: &[Rule]) -> Result<()> {
        self.security_group(id)?;
        if let Some(group) = self.security_groups.get_mut(id) {
            group.rules.retain(|it| !rules.contains(&it.says()));
        }
        Ok(())
    }

    /// Takes rules of one direction away by their identifiers.
    ///
    /// # Errors
    /// `InvalidParam.SecurityGroupRuleId` if the group has no such rule.
    pub fn revoke_by_id(&mut self, id: &str, direction: Direction, rules: &[&str]) -> Result<()> {
        for rule in rules {
            self.rule(id, direction, rule)?;
        }
        if let Some(group) = self.security_groups.get_mut(id) {
            group.rules.retain(|it| !rules.contains(&&*it.id));
        }
        Ok(())
    }

    /// Has a rule say something else.
    ///
    /// # Errors
    /// If another rule says it, or addresses would become a group or the reverse.
    pub fn modify_rule(
        &mut self,
        id: &str,
        rule_id: &str,
        says: Rule,
        description: Option<String>,
    ) -> Result<()> {
        let had = self.rule(id, says.direction, rule_id)?;
        if had.names().is_some() != named(&says.peer).is_some() {
            let why =
                "A rule about addresses stays one, as does one about a group: make another rule.";
            return Err(Refusal::bad("InvalidOperation.ModifySgRuleEntityType", why));
        }
        let group = self.security_group(id)?;
        self.check_peer(group, &says)?;
        if let Some(other) = group
            .rules
            .iter()
            .find(|it| it.id != rule_id && it.says() == says)
        {
            let why = format!("The rule {} says this.", other.id);
            return Err(Refusal::bad("InvalidOperation.RuleDuplicate", why));
        }
        let group = self.security_groups.get_mut(id);
        let rule = group.and_then(|it| it.rules.iter_mut().find(|it| it.id == rule_id));
        if let Some(rule) = rule {
            *rule = SecurityRule {
                id: rule.id.clone(),
                description: description.unwrap_or_else(|| rule.description.clone()),
                created: rule.created,
                direction: says.direction,
                policy: says.policy,
                priority: says.priority,
                protocol: says.protocol,
                ports: says.ports,
                peer: says.peer,
            };
        }
        Ok(())
    }

    /// Puts a network interface into one more security group.
    ///
    /// # Errors
    /// If it is in it, or cannot be.
    pub fn join_security_group(&mut self, eni: &str, group: &str) -> Result<()> {
        let mut groups = self.eni(eni)?.security_groups.clone();
        self.security_group(group)?;
        if groups.iter().any(|it| it == group) {
            let why = format!("{eni} is in the security group {group}.");
            return Err(Refusal::forbidden("InvalidInstanceId.AlreadyExists", why));
        }
        groups.push(group.into());
        self.set_security_groups(eni, groups, "InvalidInstanceId.Mismatch")
    }

    /// Takes a network interface out of a security group.
    ///
    /// # Errors
    /// If it is not in it, or in no other one.
    pub fn leave_security_group(&mut self, eni: &str, group: &str) -> Result<()> {
        self.security_group(group)?;
        let groups = &self.eni(eni)?.security_groups;
        if groups.iter().all(|it| it != group) {
            let why = format!("{eni} is not in the security group {group}.");
            return Err(Refusal::forbidden("InstanceNotInSecurityGroup", why));
        }
        let rest: Vec<Id> = groups.iter().filter(|it| *it != group).cloned().collect();
        if rest.is_empty() {
            let why =
                format!("{group} is the only security group of {eni}: have it join another first.");
            return Err(Refusal::forbidden("InstanceLastSecurityGroup", why));
        }
        if let Some(eni) = self.enis.get_mut(eni) {
            eni.security_groups = rest;
        }
        Ok(())
    }

    /// Puts a network interface into these security groups and no others.
    ///
    /// # Errors
    /// If it cannot be in one of them; `mismatch` if one is of another VPC.
    pub fn set_security_groups(
        &mut self,
        eni: &str,
        groups: Vec<Id>,
        mismatch: &'static str,
    ) -> Result<()> {
        let vswitch = &self.eni(eni)?.vswitch;
        let vpc = &self.vswitch(vswitch)?.vpc;
        let groups = self.check_groups(vpc, groups, mismatch)?;
        if let Some(eni) = self.enis.get_mut(eni) {
            eni.security_groups = groups;
        }
        Ok(())
    }

    /// Checks the security groups that a network interface in a VPC is to have: at least one, all of the VPC
    /// and of one kind, and not too many rules. One that is named twice counts once.
    ///
    /// # Errors
    /// `mismatch` if one is of another VPC.
    pub(crate) fn check_groups(
        &self,
        vpc: &str,
        groups: Vec<Id>,
        mismatch: &'static str,
    ) -> Result<Vec<Id>> {
        let mut checked: Vec<Id> = Vec::new();
        let mut rules = 0;
        let mut first: Option<SecurityGroupKind> = None;
        for id in groups {
            let group = self.security_group(&id)?;
            if group.vpc != vpc {
                let why = format!(
                    "The security group {id} is of the VPC {}, not of {vpc}.",
                    group.vpc
                );
                // Of an interface it is forbidden, of an instance wrong.
                return Err(match mismatch {
                    "InvalidOperation.VpcMismatch" => Refusal::forbidden(mismatch, why),
                    _ => Refusal::bad(mismatch, why),
                });
            }
            if *first.get_or_insert(group.kind) != group.kind {
                let why =
                    "A network interface is in normal groups or in enterprise groups, not in both.";
                return Err(Refusal::forbidden(
                    "InvalidOperation.InvalidSecurityGroupType",
                    why,
                ));
            }
            if !checked.contains(&id) {
                rules += group.rules.len();
                checked.push(id);
            }
        }
        if checked.is_empty() {
            let why = "A network interface is in at least one security group.";
            return Err(Refusal::forbidden(
                "InvalidOperation.AtLeastInOneGroup",
                why,
            ));
        }
        let whose = "The network interface would have";
        self.room_for(Quota::EniGroups, whose, checked.len() - 1)?;
        self.room_for(Quota::EniRules, whose, rules.saturating_sub(1))?;
        Ok(checked)
    }

    fn rule(&self, group: &str, direction: Direction, id: &str) -> Result<&SecurityRule> {
        let rules = self.security_group(group)?.rules.iter();
        let mut rules = rules.filter(|it| it.direction == direction);
        rules.find(|it| it.id == id).ok_or_else(|| {
            let why = format!("The security group {group} has no such rule {id:?}.");
            Refusal::bad("InvalidParam.SecurityGroupRuleId", why)
        })
    }

    /// A rule names groups of its own VPC, and only if both are normal groups.
    fn check_peer(&self, group: &SecurityGroup, rule: &Rule) -> Result<()> {
        let Some(other) = named(&rule.peer) else {
            return Ok(());
        };
        let (missing, mismatch) = match rule.direction {
            Direction::Ingress => (
                "InvalidSourceGroupId.NotFound",
                "InvalidSourceGroupId.Mismatch",
            ),
            Direction::Egress => ("InvalidDestGroupId.NotFound", "InvalidDestGroupId.Mismatch"),
        };
        let Some(other) = self.security_groups.get(other) else {
            let why = format!("There is no security group {other:?}.");
            return Err(Refusal::not_found(missing, why));
        };
        if other.vpc != group.vpc {
            let why = format!(
                "The security group {} is of the VPC {}, {} of {}.",
                other.id, other.vpc, group.id, group.vpc
            );
            return Err(Refusal::bad(mismatch, why));
        }
        let enterprise = SecurityGroupKind::Enterprise;
        if group.kind == enterprise || other.kind == enterprise {
            let why = "The rules of enterprise groups name no groups, and no rules name enterprise groups.";
            return Err(Refusal::bad(
                "InvalidGroupAuthParameter.OperationDenied",
                why,
            ));
        }
        Ok(())
    }

    /// Checks that neither a group nor a network interface in it has too many rules.
    fn count_rules(&self, id: &str) -> Result<()> {
        let count = |id: &Id| self.security_groups.get(id).map_or(0, |it| it.rules.len());
        let members = self
            .members(id)
            .map(|eni| eni.security_groups.iter().map(count).sum());
        let most: usize = members.chain([count(&id.into())]).max().unwrap_or(0);
        let whose = "A network interface would have";
        self.room_for(Quota::EniRules, whose, most.saturating_sub(1))
    }
}

fn named(peer: &RulePeer) -> Option<&Id> {
    match peer {
        RulePeer::Group(id) => Some(id),
        RulePeer::Cidr(_) => None,
    }
}
