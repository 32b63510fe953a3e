//! A hit in the flow table, as the kernel itself measures the program: `crates/datapath/examples/hit.rs`.

use crate::report::{Floor::Most, Report, Row};
use std::process::Command;

/// Runs the measurement, which `bench/run` has built beside this program.
pub fn run(out: &mut Report) {
    let program = std::env::current_exe().expect("the path of this program");
    let program = program.with_file_name("examples").join("hit");
    let output = Command::new(&program)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", program.display()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}: {text}{}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [flows, meter, hook, _, net, memory] = words[..] else {
            panic!("{} prints something else: {line}", program.display());
        };
        let number = |word: &str| word.parse::<f64>().expect("a number");
        let with = if meter == "yes" { ", metered" } else { "" };
        let work = format!("flow table hit, {flows} flows{with}");
        let mut row = Row::new(work, format!("sluice {hook}"), number(net), "ns");
        row.note = Some(format!("a dependent cache line: {memory} ns"));
        if meter == "no" {
            row = row.floor(Most(if flows == "1" { 60.0 } else { 150.0 }));
        }
        out.push(row);
    }
}
