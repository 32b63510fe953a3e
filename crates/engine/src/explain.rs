//! Watching a decision: the same code decides with and without a witness.

use crate::view::StepView;

/// Is told each step of a decision.
pub(crate) trait Recorder {
    /// A step: what was asked, which resource answered, what it said. The closure is only called if
    /// somebody listens.
    fn step(&mut self, step: &'static str, answer: impl FnOnce() -> (Option<String>, String));
}

/// Nobody listens.
pub(crate) struct Silent;

impl Recorder for Silent {
    #[inline(always)]
    fn step(&mut self, _: &'static str, _: impl FnOnce() -> (Option<String>, String)) {}
}

impl Recorder for Vec<StepView> {
    fn step(&mut self, step: &'static str, answer: impl FnOnce() -> (Option<String>, String)) {
        let (resource, result) = answer();
        self.push(StepView {
            step: step.into(),
            resource,
            result,
        });
    }
}
