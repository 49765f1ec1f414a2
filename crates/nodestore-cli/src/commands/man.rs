//! `man`: manual pages.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;

use crate::cli::{self, Cli};
use crate::failure::{Failure, Outcome};
use crate::output::{count, print, print_raw};

/// Print the manual page, or write one for each command into a folder
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nodestore man > nodestore.1
  nodestore man ~/.local/share/man/man1      nodestore.1, nodestore-search.1 and so on

After the second one, `man nodestore` and `man nodestore-search` show them.")]
pub(crate) struct Man {
    /// The folder for the pages; made when it is not there
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

pub(crate) fn run(options: &Man) -> Result<Outcome, Failure> {
    let mut command = Cli::command().after_help(cli::manual()).disable_help_subcommand(true);
    // Gives every subcommand its full name and the options of every command.
    command.build();
    match &options.folder {
        None => print_raw(&rendered(command)?)?,
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| {
                Failure::new(format!("the folder {} can not be made: {error}", folder.display()))
                    .with_cause(error)
            })?;
            let pages = write(command, "nodestore", folder)?;
            print(format_args!("{} written to {}", count(pages, "page"), folder.display()))?;
        }
    }
    Ok(Outcome::Done)
}

/// Writes the page of a command and those of its subcommands; answers how many.
fn write(command: Command, name: &str, folder: &Path) -> Result<usize, Failure> {
    let mut pages = 1;
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        pages += write(subcommand.clone(), &format!("{name}-{}", subcommand.get_name()), folder)?;
    }
    let path = folder.join(format!("{name}.1"));
    let page = rendered(command.display_name(name.to_owned()))?;
    std::fs::write(&path, page).map_err(|error| {
        Failure::new(format!("{} can not be written: {error}", path.display())).with_cause(error)
    })?;
    Ok(pages)
}

fn rendered(command: Command) -> Result<Vec<u8>, Failure> {
    let has_subcommands = command.has_subcommands();
    let page =
        Page::new(command).source(concat!("nodestore ", env!("CARGO_PKG_VERSION"))).manual("nodestore");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if has_subcommands {
        page.render_subcommands_section(&mut text)?;
    }
    // The examples keep their lines.
    let mut extra = Vec::new();
    page.render_extra_section(&mut extra)?;
    let extra = String::from_utf8_lossy(&extra).replacen(".SH EXTRA\n", ".SH EXAMPLES AND NOTES\n.nf\n", 1);
    text.extend_from_slice(extra.as_bytes());
    text.extend_from_slice(b".fi\n");
    Ok(text)
}
