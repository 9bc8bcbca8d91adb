//! What other programs want to be told: shells and packages of the command line (`appproxy
//! completions`, `appproxy man`), made from its definition, and editors of the configuration files
//! (`appproxy schema`).

use std::io::Write as _;
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Exit};
use crate::config::{self, SchemaOf};

/// Print what a shell completes commands with, for its start file
///
/// In bash: `source <(appproxy completions bash)`. Packages of appproxy bring the files along.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell that is to read it
    shell: Shell,
}

/// Write the manual pages, one for each command
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// The folder to write them into; it must exist
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Print what an editor checks and completes configuration files with (JSON Schema)
///
/// For yaml-language-server, the file's first line says where it is:
/// `# yaml-language-server: $schema=gateway.schema.json`
#[derive(Debug, clap::Args)]
pub(super) struct Schema {
    /// Whose file it is for; of a gateway's and a connector's, told apart by `kind`, without it
    file: Option<File>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum File {
    /// gateway.yaml
    Gateway,
    /// connector.yaml
    Connector,
    /// A file that `include` of gateway.yaml names
    Applications,
}

pub(super) fn completions(args: &Completions) -> Result<(), Exit> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "appproxy", &mut text);
    print(&text)
}

pub(super) fn schema(args: &Schema) -> Result<(), Exit> {
    let of = match args.file {
        None => SchemaOf::Either,
        Some(File::Gateway) => SchemaOf::Gateway,
        Some(File::Connector) => SchemaOf::Connector,
        Some(File::Applications) => SchemaOf::Applications,
    };
    let text = config::schema(of);
    let text = text.map_err(|e| Exit::failed(format!("the schema is no JSON: {e}")))?;
    print(text.as_bytes())
}

fn print(text: &[u8]) -> Result<(), Exit> {
    let written = std::io::stdout().write_all(text);
    written.map_err(|e| Exit::failed(format!("cannot write: {e}")))
}

pub(super) fn man(args: &Man) -> Result<(), Exit> {
    let folder = &args.folder;
    clap_mangen::generate_to(Cli::command(), folder).map_err(|e| {
        Exit::failed(format!(
            "cannot write the manual pages into {}: {e}; make the folder first",
            folder.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let args = Man {
            folder: folder.path().to_owned(),
        };
        man(&args).unwrap();
        let entries = fs::read_dir(folder.path()).unwrap();
        let pages: BTreeSet<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut expected = BTreeSet::new();
        let mut commands = vec![("appproxy".to_owned(), Cli::command())];
        while let Some((name, command)) = commands.pop() {
            expected.insert(format!("{name}.1"));
            let below = command.get_subcommands().filter(|c| !c.is_hide_set());
            commands.extend(below.map(|c| (format!("{name}-{}", c.get_name()), c.clone())));
        }
        assert_eq!(pages, expected);
        assert_eq!(pages.len(), 37);
        for page in pages {
            let text = fs::read_to_string(folder.path().join(&page)).unwrap();
            assert!(text.contains(".SH SYNOPSIS"), "{page}: {text}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none");
        let Err(Exit::Failed(text)) = man(&Man {
            folder: missing.clone(),
        }) else {
            panic!("it was written");
        };
        assert!(text.contains(&missing.display().to_string()), "{text}");
    }
}
