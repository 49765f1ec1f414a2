//! `completions`: scripts by which a shell completes commands and options.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::{Failure, Outcome};
use crate::output::print_raw;

/// Print a script by which a shell completes commands and options
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  source <(nodestore completions bash)                       in this shell only
  nodestore completions bash > ~/.local/share/bash-completion/completions/nodestore
  nodestore completions zsh > ~/.zfunc/_nodestore            with ~/.zfunc in fpath
  nodestore completions fish > ~/.config/fish/completions/nodestore.fish
  nodestore completions powershell >> $PROFILE
  nodestore completions elvish >> ~/.config/elvish/rc.elv")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

pub(crate) fn run(options: &Completions) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "nodestore", &mut script);
    print_raw(&script)?;
    Ok(Outcome::Done)
}
