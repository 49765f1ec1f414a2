//! docs/program.md: everything on the page is run, and must say what stands there.
//!
//! In a `console` block, `$ ` begins a command, `? 3` below it is its exit code (else 0), and what follows is what it
//! prints, stdout and stderr together. `[..]` stands for any text within a line, `...` for any lines.

use std::collections::BTreeSet;
use std::process::Stdio;

use snapbox::{Assert, IntoData};

use crate::{Home, Run};

/// One command of the page.
#[derive(Debug, Default)]
struct Step {
    line: usize,
    command: String,
    code: i32,
    output: String,
}

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/program.md");
    std::fs::read_to_string(path).unwrap()
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (line, text) in page.lines().enumerate() {
        if text.starts_with("```") {
            inside = text == "```console";
        } else if let (true, Some(command)) = (inside, text.strip_prefix("$ ")) {
            steps.push(Step { line: line + 1, command: command.to_owned(), ..Step::default() });
        } else if inside {
            let step = steps.last_mut().unwrap_or_else(|| panic!("line {}: no command before", line + 1));
            match text.strip_prefix("? ") {
                Some(code) => step.code = code.parse().unwrap(),
                None => step.output.extend([text, "\n"]),
            }
        }
    }
    steps
}

#[cfg(unix)]
#[test]
fn the_page_says_what_the_program_says() {
    let home = Home::new();
    let assert = Assert::new();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_nodestore")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut variables: Vec<(String, String)> = Vec::new();
    for step in steps(&page()) {
        if let Some((name, value)) = step.command.strip_prefix("export ").and_then(|set| set.split_once('='))
        {
            variables.push((name.to_owned(), value.to_owned()));
            continue;
        }
        let script = format!("exec 2>&1; {}", step.command);
        let mut command = home.shell(&script);
        command.env("PATH", &path).envs(variables.iter().cloned()).stdin(Stdio::null());
        let run = Run::of(&mut command);
        let place = format!("docs/program.md:{}: {}", step.line, step.command);
        assert_eq!(run.code, step.code, "{place}: {}", run.out);
        if let Err(difference) = assert.try_eq(Some(&place), run.out.into_data(), step.output.into_data()) {
            panic!("{place}\n{difference}");
        }
    }
}

#[test]
fn the_page_goes_through_every_command() {
    let home = Home::new();
    let help = Run::of(&mut home.command(&["--help"])).ok().out;
    let commands = help.split_once("Commands:\n").unwrap().1;
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let named: BTreeSet<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(named.len() > 10, "{named:?}");
    let page = steps(&page());
    for name in named.into_iter().filter(|name| *name != "help") {
        let call = format!("nodestore {name}");
        let with_store = format!("{name} ");
        let calls = page.iter().filter(|step| {
            step.command.contains(&call)
                || step.command.starts_with("nodestore --store") && step.command.contains(&with_store)
        });
        assert!(calls.count() > 0, "docs/program.md does not show {name}");
    }
}
