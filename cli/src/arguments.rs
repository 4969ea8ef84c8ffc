//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Look at and change what a tine-controller serves.
#[derive(Debug, Parser)]
#[command(name = "tinectl", disable_version_flag = true)]
pub(crate) struct Arguments {
    /// The controller's admin socket
    #[arg(
        long,
        global = true,
        env = "TINE_CONTROLLER",
        value_name = "unix:///PATH",
        default_value = "unix:///run/tine/controller/admin.sock"
    )]
    pub(crate) controller: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Register something
    #[command(subcommand)]
    Create(Create),
    /// Show what there is
    #[command(subcommand)]
    Get(Get),
    /// Remove something
    #[command(subcommand)]
    Delete(Delete),
    /// Show the versions of tinectl and of the controller
    Version,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Create {
    /// Register an array from a backend file
    Backend {
        /// The backend file (JSON)
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Get {
    /// Arrays that are registered
    #[command(alias = "backends")]
    Backend(Selection),
    /// Volumes
    #[command(alias = "volumes")]
    Volume(Selection),
    /// Worker nodes that have registered
    #[command(alias = "nodes")]
    Node(Selection),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Delete {
    /// Forget an array; it must hold no volume, and nothing on it is touched
    Backend {
        /// Its name
        name: String,
    },
    /// Forget a worker node, so that a machine made anew can have its name; its agent must have
    /// stopped and no volume be published to it
    Node {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Only the one of this name
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// How to print; without it, a table
    #[arg(short = 'o', long = "output", value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Everything, as JSON
    Json,
    /// A table with more columns
    Wide,
    /// Names alone, one a line
    Name,
}
