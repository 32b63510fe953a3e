//! `sluice demo`: a gateway with everything around it, out of network namespaces, and the proof with
//! real clients that it works.

mod preflight;
mod proof;
mod scenario;
mod stage;

use crate::cli::Demo;
use crate::error::Error;
use crate::socket::protocol::StatsReport;
use engine::SessionView;
use model::Hook;
use proof::Proof;
use scenario::{CONFIG, DIR, DOWNLOAD, GATEWAY, INTERNET, LOG, NAME, WEB_SERVERS, XDP};
use serde::de::DeserializeOwned;
use stage::{Output, Stage};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Runs the demo. The exit code is 1 if a proof failed.
///
/// # Errors
/// If something is missing, cannot be built, or the user interrupts. In every case what was built is
/// removed, unless it is to be kept.
pub fn run(args: &Demo, out: &mut impl Write) -> Result<ExitCode, Error> {
    let hook = match (args.tc, args.xdp) {
        (true, _) => Hook::Tc,
        (_, true) => Hook::Xdp,
        _ => Hook::Auto,
    };
    let missing = preflight::missing(hook);
    if !missing.is_empty() {
        return Err(Error::Other(format!(
            "the demo cannot run here. What is missing:\n  {}",
            missing.join("\n  ")
        )));
    }
    let mut stage = Stage::open(out)?;
    let mut show = Show {
        out,
        colour: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        count: 0,
        failed: 0,
    };
    if args.remove {
        show.text("Nothing of the demo is left.\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let begin = Instant::now();
    build(&mut stage, &mut show, hook)?;
    prove(&stage, &mut show)?;
    let failed = show.failed;
    show.heading("Result")?;
    if failed == 0 {
        let seconds = begin.elapsed().as_secs_f64();
        let count = show.count;
        show.text(&format!("All {count} proofs hold ({seconds:.1} s).\n"))?;
    } else {
        let count = show.count;
        show.text(&format!(
            "{failed} of {count} proofs FAILED. The gateway's log ends with\n{}\n",
            stage::log_end()
        ))?;
    }
    if args.keep {
        stage.keep();
        show.text(KEPT)?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        if let Some(line) = std::env::current_exe()
            .ok()
            .and_then(|it| on_the_path(&it, &path))
        {
            show.text(&line)?;
        }
    } else {
        drop(stage);
        show.text("Everything was removed.\n")?;
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// What can be done with a demo that was left standing.
const KEPT: &str = "
It is left standing. Some things to try, as root:

  sluice sessions --watch
  sluice stats
  sluice exec web-1 -- curl http://198.51.100.7/
  sluice exec web-2 -- bash
  ip netns exec sluice-demo-net curl http://203.0.113.10:8003/
  sluice trace --from web-1 --to 198.51.100.7:443/tcp
  sluice apply /run/sluice/demo/gateway.toml        after a change of the file
  tail -f /run/sluice/demo/gateway.log

To remove it: sluice demo --remove
";

/// What makes `sluice` a command of the shell, if it is none by the path that is given: so it is where it was only built.
fn on_the_path(program: &Path, path: &OsStr) -> Option<String> {
    let name = program.file_name()?;
    if std::env::split_paths(path).any(|it| it.join(name).is_file()) {
        return None;
    }
    let dir = program.parent()?.display();
    Some(format!(
        "\nFor that, where the shell finds it:\n\n  export PATH=$PATH:{dir}\n"
    ))
}

/// Prints what happens.
struct Show<'a, W> {
    out: &'a mut W,
    colour: bool,
    count: u32,
    failed: u32,
}

impl<W: Write> Show<'_, W> {
    fn text(&mut self, text: &str) -> Result<(), Error> {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(Error::Output)
    }

    fn styled(&mut self, style: &str, text: &str) -> Result<(), Error> {
        match self.colour {
            true => self.text(&format!("\x1b[{style}m{text}\x1b[0m\n")),
            false => self.text(&format!("{text}\n")),
        }
    }

    fn heading(&mut self, text: &str) -> Result<(), Error> {
        self.text("\n")?;
        self.styled("1", text)
    }

    /// A command line, as a user would type it.
    fn command(&mut self, line: &str) -> Result<(), Error> {
        self.styled("36", &format!("  # {line}"))
    }

    fn claim(&mut self, claim: &str) -> Result<(), Error> {
        self.count += 1;
        let count = self.count;
        self.text("\n")?;
        self.styled("1", &format!("{count}. {claim}"))
    }

    fn verdict(&mut self, result: Result<(), String>) -> Result<(), Error> {
        match result {
            Ok(()) => self.styled("32", "  ok"),
            Err(expected) => {
                self.failed += 1;
                self.styled("31", &format!("  FAILED: expected {expected}"))
            }
        }
    }

    /// What a program printed, indented.
    fn output(&mut self, output: &Output) -> Result<(), Error> {
        let both = [output.stdout.trim_end(), output.stderr.trim_end()];
        self.text(&indent(both.iter().flat_map(|text| text.lines())))
    }
}

/// Lines with two spaces before what is in them.
fn indent<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let indented = lines.map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("  {line}\n"),
    });
    indented.collect()
}

/// Builds the scenario, from the outside in.
fn build(stage: &mut Stage, show: &mut Show<impl Write>, hook: Hook) -> Result<(), Error> {
    show.heading("The Internet: a router, and behind it a network with a server and a client")?;
    let xdp = XDP.iter().filter(|_| hook == Hook::Xdp);
    for line in INTERNET.iter().chain(xdp) {
        show.command(line)?;
        stage.must(line)?;
    }

    show.heading("The gateway: a VPC with two vSwitches and two instances, two EIPs, SNAT, DNAT")?;
    write(Path::new(CONFIG), &scenario::config(hook))?;
    show.command(&format!("cat {CONFIG}"))?;
    let shown = scenario::config(hook);
    show.text(&indent(shown.lines().filter(|line| !line.is_empty())))?;
    let serve = format!("sluice serve --config {CONFIG} --state {DIR}/state --netns {GATEWAY}");
    show.command(&format!("{serve} 2> {LOG} &"))?;
    stage.start_gateway(&serve)?;
    show.command(&format!("export SLUICE_NAME={NAME}"))?;
    show.command("sluice ports")?;
    let ports = stage.must("sluice ports")?;
    show.output(&ports)?;

    show.heading(
        "Web servers in the instances and on the Internet: each answers with what it sees",
    )?;
    let download =
        File::create(Path::new(DIR).join("download")).and_then(|file| file.set_len(DOWNLOAD));
    download.map_err(Error::io("make the file to download"))?;
    for server in &WEB_SERVERS {
        let path = server.file("conf");
        write(&path, &server.config())?;
        let line = format!("{} nginx -c {}", server.place, path.display());
        show.command(&line)?;
        stage.must(&line)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(Error::io(format!("make {}", dir.display())))?;
    }
    fs::write(path, text).map_err(Error::io(format!("write {}", path.display())))
}

/// Shows that everything works, and compares what is seen with what is expected.
fn prove(stage: &Stage, show: &mut Show<impl Write>) -> Result<(), Error> {
    show.heading("Proofs")?;
    for proof in proof::proofs() {
        attempt(stage, show, &proof)?;
    }

    let stats = || json::<StatsReport>(stage, "sluice stats --json");
    let before = proof::dropped(&stats()?, "security_group_in");
    attempt(stage, show, &proof::blocked())?;
    let dropped = proof::dropped(&stats()?, "security_group_in") - before;
    show.claim("The drop has a reason, and the reason is counted")?;
    show.command("sluice stats")?;
    let text = stage.must("sluice stats")?;
    show.output(&text)?;
    show.verdict(match dropped {
        0 => Err("security_group_in to have grown".into()),
        _ => Ok(()),
    })?;

    show.claim("Live sessions, with their translations and counters")?;
    show.command("sluice sessions")?;
    let text = stage.must("sluice sessions")?;
    show.output(&text)?;
    let sessions = json::<Vec<SessionView>>(stage, "sluice sessions --json --limit 0")?;
    show.verdict(proof::check_download(&sessions))?;

    for trace in proof::traces() {
        attempt(stage, show, &trace)?;
    }
    Ok(())
}

fn attempt(stage: &Stage, show: &mut Show<impl Write>, proof: &Proof) -> Result<(), Error> {
    show.claim(proof.claim)?;
    show.command(&proof.command)?;
    let seen = stage.run(&proof.command)?;
    show.output(&seen)?;
    show.verdict(proof.expect.check(&seen))
}

fn json<T: DeserializeOwned>(stage: &Stage, line: &str) -> Result<T, Error> {
    let output = stage.must(line)?;
    serde_json::from_str(&output.stdout)
        .map_err(|error| Error::Other(format!("`{line}` prints no JSON that is known: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_the_shell_does_not_find_is_told_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("sluice");
        std::fs::write(&program, "").unwrap();
        let there = std::env::join_paths([Path::new("/nonexistent"), dir.path()]).unwrap();
        assert_eq!(on_the_path(&program, &there), None);
        let line = on_the_path(&program, OsStr::new("/nonexistent")).unwrap();
        assert!(line.contains(&format!("PATH=$PATH:{}\n", dir.path().display())));
    }
}
