//! The Internet border: which EIPs it protects.

use crate::draft::Draft;
use crate::refusal::Result;

impl Draft {
    /// Puts an EIP under the protection of the Internet border, or takes it from there.
    ///
    /// # Errors
    /// If it does not exist, or if what was bought has ended.
    pub fn protect_eip(&mut self, id: &str, protected: bool) -> Result<()> {
        if protected {
            self.bought()?;
        }
        self.eip(id)?;
        if let Some(eip) = self.eips.get_mut(id) {
            eip.protected = protected;
        }
        Ok(())
    }
}
