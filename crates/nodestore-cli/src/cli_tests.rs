//! Every command's help teaches: each option is explained, each command has examples, no line is too wide.

use clap::{Command, CommandFactory};

use super::Cli;

/// Columns of a narrow window.
const COLUMNS: usize = 100;

/// Every command under its full name, with the options of every command.
fn commands() -> Vec<(String, Command)> {
    fn walk(name: &str, command: &Command, all: &mut Vec<(String, Command)>) {
        for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
            walk(&format!("{name} {}", subcommand.get_name()), subcommand, all);
        }
        all.push((name.to_owned(), command.clone()));
    }
    let mut root = Cli::command();
    root.build();
    let mut all = Vec::new();
    walk("nodestore", &root, &mut all);
    all
}

#[test]
fn the_command_line_holds_together() {
    Cli::command().debug_assert();
    assert!(commands().len() > 15);
}

#[test]
fn every_command_and_option_is_explained() {
    for (name, command) in commands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && !about.ends_with('.'), "{name}: {about:?}");
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty() && !help.ends_with('.'), "{name} {}: {help:?}", argument.get_id());
            let values = argument.get_possible_values();
            let unexplained = values.iter().filter(|value| value.get_help().is_none());
            let explained = matches!(argument.get_id().as_str(), "role" | "shell");
            assert!(
                explained || unexplained.count() == 0,
                "{name} {}: a value has no help",
                argument.get_id()
            );
        }
    }
}

#[test]
fn every_command_has_examples_that_are_its_own() {
    for (name, command) in commands() {
        let help = command.clone().render_long_help().to_string();
        let examples = help.split_once("Examples:\n").map(|(_, rest)| rest).unwrap_or_default();
        let examples: Vec<&str> = examples.lines().take_while(|line| line.starts_with("  ")).collect();
        assert!(!examples.is_empty(), "{name} has no examples");
        let own = name.split_once(' ').map_or("nodestore", |(_, own)| own);
        assert!(examples.iter().any(|line| line.contains(own)), "{name}: {examples:?}");
    }
}

#[test]
fn no_line_of_help_is_too_wide() {
    for (name, command) in commands() {
        let mut command = command.term_width(COLUMNS);
        for help in [command.render_help().to_string(), command.render_long_help().to_string()] {
            for line in help.lines() {
                // A path of this machine is as long as it is.
                let given = line.trim_start().starts_with("Without either");
                assert!(given || line.chars().count() <= COLUMNS, "{name}: {line:?}");
            }
        }
    }
}

#[test]
fn no_line_of_examples_and_notes_is_broken_in_two() {
    for (name, command) in commands() {
        for notes in [command.get_after_help(), command.get_after_long_help()].into_iter().flatten() {
            for line in notes.to_string().lines() {
                let given = line.trim_start().starts_with("Without either");
                assert!(given || line.chars().count() <= COLUMNS, "{name}: {line:?}");
            }
        }
    }
}

#[test]
fn the_readme_names_every_command() {
    let readme = include_str!("../README.md");
    for subcommand in Cli::command().get_subcommands() {
        let row = format!("`{}", subcommand.get_name());
        let named = readme.lines().any(|line| line.starts_with("| `") && line.contains(&row));
        assert!(named, "{} is not in the table of commands", subcommand.get_name());
    }
}

#[test]
fn the_help_of_the_program_names_every_command_once() {
    let help = Cli::command().render_long_help().to_string();
    let commands = help.split_once("Commands:\n").map(|(_, rest)| rest).unwrap_or_default();
    for subcommand in Cli::command().get_subcommands() {
        let named = commands.lines().filter(|line| line.trim_start().starts_with(subcommand.get_name()));
        assert_eq!(named.count(), 1, "{}", subcommand.get_name());
    }
}
