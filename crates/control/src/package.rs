//! Bandwidth packages: EIPs that share one bandwidth.

use crate::cloud::Cloud;
use crate::draft::Draft;
use crate::eip::not_protected;
use crate::quota::Quota;
use crate::records::*;
use crate::refusal::{Refusal, Result};
use model::{Id, limits};

impl Draft {
    /// Makes a bandwidth package.
    ///
    /// # Errors
    /// If there are too many or the bandwidth is out of bounds.
    pub fn create_package(
        &mut self,
        meta: Meta,
        region: &str,
        bandwidth: u32,
    ) -> Result<BandwidthPackage> {
        check_bandwidth(bandwidth, *limits::BANDWIDTH.end())?;
        self.room_for(Quota::BandwidthPackages, "There are", self.packages.len())?;
        let package = BandwidthPackage {
            id: self.new_id("cbwp")?,
            meta,
            region: region.into(),
            bandwidth,
            deletion_protection: false,
        };
        self.packages.put(package.clone());
        Ok(package)
    }

    /// Sets a package's bandwidth, in Mbit/s each way.
    ///
    /// # Errors
    /// If it does not exist, the bandwidth is out of bounds, or one of its EIPs may have more of it than that.
    pub fn set_package_bandwidth(&mut self, id: &str, bandwidth: u32) -> Result<()> {
        self.package(id)?;
        check_bandwidth(bandwidth, *limits::BANDWIDTH.end())?;
        let mut eips = self.eips_of_package(id);
        if let Some((eip, limit)) = eips.find_map(|eip| {
            let limit = eip.package_bandwidth?;
            (limit > bandwidth).then_some((&eip.id, limit))
        }) {
            let why = format!(
                "The EIP {eip} may have {limit} Mbit/s of the package: lower or cancel that first."
            );
            return Err(Refusal::bad("InvalidParameter.Bandwidth", why));
        }
        drop(eips);
        if let Some(package) = self.packages.get_mut(id) {
            package.bandwidth = bandwidth;
        }
        Ok(())
    }

    /// Has an EIP share a package.
    ///
    /// # Errors
    /// If one of them does not exist, the EIP shares a package, or the package has its fill.
    pub fn add_to_package(&mut self, id: &str, eip: &str) -> Result<()> {
        let package = self.package(id)?;
        let eip = self.package_eip(eip)?;
        if let Some(other) = &eip.package {
            let why = format!("The EIP {} is in the package {other}.", eip.id);
            return Err(Refusal::bad("IpInstanceId.AlreadyInBandwidthPackage", why));
        }
        if !eip.region.is_empty() && !package.region.is_empty() && eip.region != package.region {
            let why = format!(
                "The EIP is in {}, the package in {}.",
                eip.region, package.region
            );
            return Err(Refusal::bad("InvalidParameter.Mismatch", why));
        }
        let used = self.eips_of_package(id).count();
        let whose = format!("The package {id} has");
        self.room_for(Quota::PackageEips, &whose, used)?;
        let (package, eip) = (package.id.clone(), eip.id.clone());
        if let Some(eip) = self.eips.get_mut(&eip) {
            eip.package = Some(package);
        }
        Ok(())
    }

    /// Takes an EIP from its package: it has its own bandwidth again.
    ///
    /// # Errors
    /// If it is not in this package.
    pub fn remove_from_package(&mut self, id: &str, eip: &str) -> Result<()> {
        let eip = self.eip_in_package(id, eip)?;
        if let Some(eip) = self.eips.get_mut(&eip) {
            eip.package = None;
            eip.package_bandwidth = None;
        }
        Ok(())
    }

    /// Sets how much of a package's bandwidth one of its EIPs may have, in Mbit/s each way; `None`: all of it.
    ///
    /// # Errors
    /// If it is not in this package, or the bandwidth is out of bounds or more than the package's.
    pub fn limit_in_package(&mut self, id: &str, eip: &str, bandwidth: Option<u32>) -> Result<()> {
        let eip = self.eip_in_package(id, eip)?;
        if let Some(bandwidth) = bandwidth {
            check_bandwidth(bandwidth, self.package(id)?.bandwidth)?;
        }
        if let Some(eip) = self.eips.get_mut(&eip) {
            eip.package_bandwidth = bandwidth;
        }
        Ok(())
    }

    /// Deletes a package. With `force` its EIPs are taken from it first.
    ///
    /// # Errors
    /// If there are EIPs in it, or it is protected.
    pub fn delete_package(&mut self, id: &str, force: bool) -> Result<()> {
        let package = self.package(id)?;
        not_protected(id, package.deletion_protection)?;
        let eips: Vec<Id> = self.eips_of_package(id).map(|it| it.id.clone()).collect();
        if !force && let Some(eip) = eips.first() {
            let why = format!("The EIP {eip} is in the package: remove it, or use Force.");
            return Err(Refusal::bad("DependencyViolation.Ips", why));
        }
        for eip in eips {
            self.remove_from_package(id, &eip)?;
        }
        self.packages.remove(id);
        Ok(())
    }

    fn package_eip(&self, id: &str) -> Result<&Eip> {
        let missing = || {
            let why = format!("There is no EIP {id:?}.");
            Refusal::not_found("InvalidIpInstanceId.NotFound", why)
        };
        self.eips.get(id).ok_or_else(missing)
    }

    fn eip_in_package(&self, id: &str, eip: &str) -> Result<Id> {
        self.package(id)?;
        let eip = self.package_eip(eip)?;
        if eip.package.as_deref() == Some(id) {
            return Ok(eip.id.clone());
        }
        let why = format!("The EIP {} is not in the package {id}.", eip.id);
        Err(Refusal::bad("OperationUnsupported.IpNotInCbwp", why))
    }
}

impl Cloud {
    /// The EIPs that share a package.
    pub fn eips_of_package(&self, id: &str) -> impl Iterator<Item = &Eip> {
        let eips = self.eips.iter();
        eips.filter(move |it| it.package.as_deref() == Some(id))
    }
}

fn check_bandwidth(bandwidth: u32, most: u32) -> Result<()> {
    let least = *limits::BANDWIDTH.start();
    if (least..=most).contains(&bandwidth) {
        return Ok(());
    }
    let why = format!("{bandwidth} is not between {least} and {most} Mbit/s.");
    Err(Refusal::bad("InvalidParameter.Bandwidth", why))
}
